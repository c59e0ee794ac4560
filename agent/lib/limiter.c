#include "agent/lib/limiter.h"

int64_t ag_limiter_take(struct ag_limiter *l, const struct ag_bucket *b, uint32_t tokens,
                        int64_t now_ns)
{
    int64_t was = atomic_load_explicit(&l->full_at_ns, memory_order_relaxed), full_at, wait_ns;

    do {
        full_at = was;
        if (!ag_bucket_take(b, tokens, now_ns, &full_at, &wait_ns))
            return (wait_ns + 999999) / 1000000;
    } while (!atomic_compare_exchange_weak_explicit(&l->full_at_ns, &was, full_at,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}
