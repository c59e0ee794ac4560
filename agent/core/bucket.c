#include "agent/core/bucket.h"

#define SECOND_NS INT64_C(1000000000)

/* In which `tokens` come in. Each takes a whole number of ns, rounded up: the rate is never exceeded. */
static int64_t time_of(const struct ag_bucket *b, uint32_t tokens)
{
    return (SECOND_NS + b->rate - 1) / b->rate * tokens;
}

bool ag_bucket_take(const struct ag_bucket *b, uint32_t tokens, int64_t now_ns, int64_t *full_at_ns,
                    int64_t *wait_ns)
{
    uint32_t price = tokens > b->burst ? b->burst : tokens;
    int64_t from = *full_at_ns > now_ns ? *full_at_ns : now_ns;
    int64_t full_at = from + time_of(b, price);
    int64_t over = full_at - now_ns - time_of(b, b->burst);

    if (over > 0) {
        *wait_ns = over;
        return false;
    }
    *full_at_ns = full_at;
    return true;
}
