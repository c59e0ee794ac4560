/* backoff: how long to wait before something is tried again: longer each time, up to a limit. Pure. */
#ifndef AG_CORE_BACKOFF_H
#define AG_CORE_BACKOFF_H

#include "antag/types.h"

/* After `attempts` (at least 1) that failed: first_ms, doubled with each further one, at most max_ms. */
int64_t ag_backoff_ms(int64_t first_ms, uint32_t attempts, int64_t max_ms);

#endif
