/* bucket: a token bucket in one number: the instant at which it would be full again. That number moves
 * ahead with every token that is taken, and stands still otherwise: no timer fills anything. (The generic
 * cell rate algorithm, ITU-T I.371.) Pure; limiter.h shares one between threads. */
#ifndef AG_CORE_BUCKET_H
#define AG_CORE_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "antag/limits.h"

struct ag_bucket {
    uint32_t rate;  /* tokens a second, 1 … ANTAG_RATE_MAX */
    uint32_t burst; /* as many are there at most, 1 … ANTAG_RATE_MAX */
};

/* Take `tokens` (1 … burst) at `now_ns`. *full_at_ns: when the bucket is full again; 0 at first, moved ahead
 * when they were there. False: they were not, and are in *wait_ns (> 0) if nobody takes any until then.
 * More than `burst` tokens never come: the price is then that of all of them. */
bool ag_bucket_take(const struct ag_bucket *b, uint32_t tokens, int64_t now_ns, int64_t *full_at_ns,
                    int64_t *wait_ns);

#endif
