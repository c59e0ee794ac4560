/* rotation_internal: the rows behind rotation.h, for its file and the tests. Rows of a pair are tried in order, and the
 * first whose guard says yes is taken; a pair without one is refused. */
#ifndef AG_CORE_ROTATION_INTERNAL_H
#define AG_CORE_ROTATION_INTERNAL_H

#include "agent/core/rotation.h"

/*  guard, when it says yes ("": always) */
#define AG_ROTATION_GUARDS(R)                                                                      \
    R(always, "")                                                                                  \
    R(in_time, "the plan's time is not over")                                                      \
    R(past, "the plan's time is over")                                                             \
    R(may_cut_over, "the plan's time is not over, no freeze is on, and the last probe of the new " \
                    "key was accepted or the officer insists")                                     \
    R(may_roll_back, "the last probe of the old key was not refused, or the officer insists")      \
    R(watch_over, "the watch window is over")

enum ag_rotation_guard {
#define AG_ROW(name, text) AG_ROTATIONGUARD_##name,
    AG_ROTATION_GUARDS(AG_ROW)
#undef AG_ROW
        AG_ROTATION_GUARD_COUNT
};

/*     from       event      guard          to */
/* clang-format off */
#define AG_ROTATION_TABLE(R)                                                                       \
    R(PREPARED,  APPROVE,   in_time,       APPROVED)                                               \
    R(PREPARED,  CANCEL,    always,        CANCELLED)                                              \
    R(PREPARED,  TICK,      past,          EXPIRED)                                                \
    R(APPROVED,  SUBMIT,    in_time,       SUBMITTED)                                              \
    R(APPROVED,  CANCEL,    always,        CANCELLED)                                              \
    R(APPROVED,  TICK,      past,          EXPIRED)                                                \
    R(SUBMITTED, SUBMIT,    in_time,       SUBMITTED)                                              \
    R(SUBMITTED, CUT_OVER,  may_cut_over,  WATCHING)                                               \
    R(SUBMITTED, CANCEL,    always,        CANCELLED)                                              \
    R(SUBMITTED, TICK,      past,          EXPIRED)                                                \
    R(WATCHING,  ROLL_BACK, may_roll_back, ROLLED_BACK)                                            \
    R(WATCHING,  TICK,      watch_over,    COMPLETE)
/* clang-format on */

struct ag_rotation_row {
    enum ag_rotation_state from;
    enum ag_rotation_event event;
    enum ag_rotation_guard guard;
    enum ag_rotation_state to;
};
extern const struct ag_rotation_row ag_rotation_rows[];
extern const size_t ag_rotation_row_count;

#endif
