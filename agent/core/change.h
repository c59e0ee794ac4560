/* change: the states of a change, a request to alter protected settings that waits for approvals; as a table. The rows
 * (change_internal.h) make the dispatch, its part of STATES.md and the expected matrix of the unit test. Pure. */
#ifndef AG_CORE_CHANGE_H
#define AG_CORE_CHANGE_H

#include "antag/status.h"
#include "antag/types.h"

/*  state, name, over: nothing comes after it, meaning */
#define AG_CHANGE_STATES(R)                                                                        \
    R(OPEN, "open", false, "waits for approvals")                                                  \
    R(APPROVED, "approved", false, "has its approvals and is being applied")                       \
    R(APPLIED, "applied", true, "was done, in one transaction with its record")                    \
    R(REJECTED, "rejected", true, "was refused by an approver")                                    \
    R(CANCELLED, "cancelled", true, "was withdrawn by an officer")                                 \
    R(EXPIRED, "expired", true, "was not approved in time")                                        \
    R(STALE, "stale", true, "came too late: something else altered what it alters")                \
    R(FAILED, "failed", true, "was approved, and could not be applied")

enum ag_change_state {
#define AG_ROW(state, name, over, text) AG_CHANGE_##state,
    AG_CHANGE_STATES(AG_ROW)
#undef AG_ROW
        AG_CHANGE_STATE_COUNT
};

/*  event, name, meaning */
#define AG_CHANGE_EVENTS(R)                                                                        \
    R(APPROVE, "approve", "an approval comes in")                                                  \
    R(REJECT, "reject", "an approver says no")                                                     \
    R(CANCEL, "cancel", "an officer withdraws it")                                                 \
    R(TICK, "tick", "time passes")                                                                 \
    R(APPLY, "apply", "the agent does what it says")                                               \
    R(DIFFER, "differ", "what it alters is not as it was when it was opened")                      \
    R(FAIL, "fail", "its operation is refused, or its requester may not ask for it any more")

enum ag_change_event {
#define AG_ROW(event, name, text) AG_CHANGEEV_##event,
    AG_CHANGE_EVENTS(AG_ROW)
#undef AG_ROW
        AG_CHANGE_EVENT_COUNT
};

#define AG_CHANGE_APPLIES_MS (24 * 3600 * INT64_C(1000))      /* approved -> applied */
#define AG_CHANGE_KEEP_MS    (90 * 24 * 3600 * INT64_C(1000)) /* rows of those that are over */

/* Two clocks, of which the one that is further counts: the wall clock, which goes on while the agent is down, and the
 * observed running time, which nobody can set back. ms. */
struct ag_change_time {
    int64_t wall, observed;
};
bool ag_change_is_past(struct ag_change_time from, struct ag_change_time now, int64_t ms);

struct ag_change_facts {
    enum ag_change_state state;
    bool past;         /* its time in this state is over */
    size_t have, need; /* approvals that count, with the one that comes in; need: at least 1 */
};

const char *ag_change_state_name(enum ag_change_state s); /* "open" */
const char *ag_change_event_name(enum ag_change_event e); /* "approve" */
bool ag_change_is_over(enum ag_change_state s);
/* Decide, do nothing. errors: CHANGE_STATE, saying in what state it is and what that means. */
ANTAG_MUST_CHECK enum antag_err ag_change_step(const struct ag_change_facts *facts,
                                               enum ag_change_event event, enum ag_change_state *to,
                                               struct antag_fault *fault);

#endif
