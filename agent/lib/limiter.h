/* limiter: a token bucket (core/bucket.h) that threads share without a lock. */
#ifndef AG_LIB_LIMITER_H
#define AG_LIB_LIMITER_H

#include <stdatomic.h>

#include "agent/core/bucket.h"

struct ag_limiter { /* all zero: full */
    _Atomic int64_t full_at_ns;
};

/* 0: the tokens are taken. Else the ms after which they are there, if nobody else takes them: at least 1.
 * now_ns: monotonic. Any thread. */
int64_t ag_limiter_take(struct ag_limiter *l, const struct ag_bucket *b, uint32_t tokens,
                        int64_t now_ns);

#endif
