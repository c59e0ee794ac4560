/* change_internal: the rows behind change.h, for its file and the tests. Rows of a pair are tried in order, and the
 * first whose guard says yes is taken; a pair without one is refused. */
#ifndef AG_CORE_CHANGE_INTERNAL_H
#define AG_CORE_CHANGE_INTERNAL_H

#include "agent/core/change.h"

/*  guard, when it says yes ("": always) */
#define AG_CHANGE_GUARDS(R)                                                                        \
    R(always, "")                                                                                  \
    R(enough, "it is in time, and with this one the quorum is met")                                \
    R(in_time, "it is in time, and more are needed")                                               \
    R(past, "its time is over")

enum ag_change_guard {
#define AG_ROW(name, text) AG_CHANGEGUARD_##name,
    AG_CHANGE_GUARDS(AG_ROW)
#undef AG_ROW
        AG_CHANGE_GUARD_COUNT
};

/*     from      event    guard    to */
/* clang-format off */
#define AG_CHANGE_TABLE(R)                                                                         \
    R(OPEN,     APPROVE, enough,  APPROVED)                                                        \
    R(OPEN,     APPROVE, in_time, OPEN)                                                            \
    R(OPEN,     REJECT,  always,  REJECTED)                                                        \
    R(OPEN,     CANCEL,  always,  CANCELLED)                                                       \
    R(OPEN,     TICK,    past,    EXPIRED)                                                         \
    R(OPEN,     DIFFER,  always,  STALE)                                                           \
    R(APPROVED, REJECT,  always,  REJECTED)                                                        \
    R(APPROVED, CANCEL,  always,  CANCELLED)                                                       \
    R(APPROVED, TICK,    past,    FAILED)                                                          \
    R(APPROVED, APPLY,   always,  APPLIED)                                                         \
    R(APPROVED, DIFFER,  always,  STALE)                                                           \
    R(APPROVED, FAIL,    always,  FAILED)
/* clang-format on */

struct ag_change_row {
    enum ag_change_state from;
    enum ag_change_event event;
    enum ag_change_guard guard;
    enum ag_change_state to;
};
extern const struct ag_change_row ag_change_rows[];
extern const size_t ag_change_row_count;

#endif
