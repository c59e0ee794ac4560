/* clock: the only place that reads one. */
#ifndef AG_LIB_CLOCK_H
#define AG_LIB_CLOCK_H

#include <stdint.h>

int64_t ag_clock_wall_ms(void); /* UTC, ms since 1970 */
int64_t ag_clock_mono_ms(void); /* never goes back; for deadlines */

#endif
