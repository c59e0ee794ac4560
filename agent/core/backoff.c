#include "agent/core/backoff.h"

int64_t ag_backoff_ms(int64_t first_ms, uint32_t attempts, int64_t max_ms)
{
    int64_t ms = first_ms;

    while (attempts > 1 && ms < max_ms) {
        ms = ms > max_ms / 2 ? max_ms : ms * 2;
        attempts--;
    }
    return ms < max_ms ? ms : max_ms;
}
