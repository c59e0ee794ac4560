#include "agent/lib/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t ag_clock_wall_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t ag_clock_mono_ms(void)
{
    return read_ms(CLOCK_MONOTONIC);
}

int64_t ag_clock_mono_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void ag_clock_render(int64_t wall_ms, char out[AG_CLOCK_TEXT_MAX])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    size_t n = 0;

    out[0] = '\0';
    if (wall_ms >= 0 && gmtime_r(&seconds, &tm) != NULL)
        n = strftime(out, AG_CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    if (n > 0)
        snprintf(out + n, AG_CLOCK_TEXT_MAX - n, ".%03dZ", (int)(wall_ms % 1000));
}
