#include "agent/core/cryptoperiod.h"

#include <stddef.h>

#define DAY_MS INT64_C(86400000)

int64_t ag_cryptoperiod_end(int64_t made_ms, uint32_t days)
{
    return made_ms + (int64_t)(days == 0 ? AG_CRYPTOPERIOD_DAYS : days) * DAY_MS;
}

uint32_t ag_cryptoperiod_due(int64_t end_ms, int64_t now_ms)
{
    static const int64_t before_days[] = {30, 14, 7, 1, 0};
    uint32_t due = 0;

    for (size_t i = 0; i < sizeof before_days / sizeof *before_days; i++)
        due += now_ms >= end_ms - before_days[i] * DAY_MS;
    return due;
}
