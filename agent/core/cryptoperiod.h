/* cryptoperiod: how long a merchant key is to be used, and when people are reminded of its end (NIST SP 800-57, part 1,
 * section 5.3). Nothing stops by itself: an overdue key goes on signing. Pure. */
#ifndef AG_CORE_CRYPTOPERIOD_H
#define AG_CORE_CRYPTOPERIOD_H

#include "antag/types.h"

#define AG_CRYPTOPERIOD_DAYS     365 /* where a profile says nothing */
#define AG_CRYPTOPERIOD_DAYS_MAX 3650

/* End of the period of a key made at made_ms; days 0: AG_CRYPTOPERIOD_DAYS. UTC ms. */
int64_t ag_cryptoperiod_end(int64_t made_ms, uint32_t days);
/* How many of the reminders (30, 14, 7, 1, 0 days before the end) are due: 0 to 5. */
uint32_t ag_cryptoperiod_due(int64_t end_ms, int64_t now_ms);

#endif
