/* clock: the only place that reads one. */
#ifndef AG_LIB_CLOCK_H
#define AG_LIB_CLOCK_H

#include <stdint.h>

int64_t ag_clock_wall_ms(void); /* UTC, ms since 1970 */
int64_t ag_clock_mono_ms(void); /* never goes back; for deadlines */
int64_t ag_clock_mono_ns(void); /* the same; for rates */

#define AG_CLOCK_TEXT_MAX 32
/* "2026-11-23T03:04:05.123Z", UTC, as in logs and records; "" for a time out of the calendar. */
void ag_clock_render(int64_t wall_ms, char out[AG_CLOCK_TEXT_MAX]);

#endif
