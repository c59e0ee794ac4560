/* freeze: periods in which no rotation cuts over, by name: "black-friday 2026-11-26/2026-12-01, new-year
 * 2026-12-20/2027-01-02T06:00:00Z". Days begin at 00:00 UTC; an end is not part of its period. Pure. */
#ifndef AG_CORE_FREEZE_H
#define AG_CORE_FREEZE_H

#include "antag/status.h"
#include "antag/types.h"

#define AG_FREEZES_MAX     16
#define AG_FREEZE_NAME_MAX 31
struct ag_freeze {
    char name[AG_FREEZE_NAME_MAX + 1]; /* [a-z0-9][a-z0-9-]* */
    int64_t from_ms, until_ms;         /* UTC */
};
struct ag_freezes {
    size_t count;
    struct ag_freeze v[AG_FREEZES_MAX];
};
/* "" are none. errors: CONF, naming the period and what is wrong with it. */
ANTAG_MUST_CHECK enum antag_err ag_freezes_parse(struct antag_slice text, struct ag_freezes *out,
                                                 struct antag_fault *f);
/* The one that is on and ends last; NULL: none is. */
const struct ag_freeze *ag_freezes_at(const struct ag_freezes *fs, int64_t now_ms);

#endif
