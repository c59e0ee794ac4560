/* rotation: the states of a rotation, the replacement of a merchant key that waits for Antom; as a table, with what its
 * probes mean. No overlap at Antom is assumed: it documents none, and may accept a new key at once, late, or beside the
 * old one. The rows (rotation_internal.h) make the dispatch, its part of STATES.md and the matrix of the unit test.
 * Pure. */
#ifndef AG_CORE_ROTATION_H
#define AG_CORE_ROTATION_H

#include "agent/core/keylife.h"

/*  state, name, over: nothing comes after it, meaning */
#define AG_ROTATION_STATES(R)                                                                      \
    R(PREPARED, "prepared", false, "a new key is staged, the plan is not approved yet")            \
    R(APPROVED, "approved", false, "every step is approved; Antom does not have the new key yet")  \
    R(SUBMITTED, "submitted", false, "Antom has been given the new key; the agent probes both")    \
    R(WATCHING, "watching", false,                                                                 \
      "the new key signs; the old one is one step from signing again")                             \
    R(COMPLETE, "complete", true, "the new key has signed for the whole watch window")             \
    R(ROLLED_BACK, "rolled_back", true, "the old key signs again")                                 \
    R(CANCELLED, "cancelled", true, "an officer gave it up before the new key signed")             \
    R(EXPIRED, "expired", true, "the plan's time was over before the new key signed")

enum ag_rotation_state {
#define AG_ROW(state, name, over, text) AG_ROTATION_##state,
    AG_ROTATION_STATES(AG_ROW)
#undef AG_ROW
        AG_ROTATION_STATE_COUNT
};

/*  event, name, meaning */
#define AG_ROTATION_EVENTS(R)                                                                      \
    R(APPROVE, "approve", "the plan is approved, or its profile needs no approval")                \
    R(SUBMIT, "submit", "an officer says that Antom has been given the new key")                   \
    R(CUT_OVER, "cut over", "the new key becomes the signing one, by an officer or an armed plan") \
    R(ROLL_BACK, "roll back", "the old key becomes the signing one again")                         \
    R(CANCEL, "cancel", "an officer gives it up")                                                  \
    R(TICK, "tick", "time passes")

enum ag_rotation_event {
#define AG_ROW(event, name, text) AG_ROTATIONEV_##event,
    AG_ROTATION_EVENTS(AG_ROW)
#undef AG_ROW
        AG_ROTATION_EVENT_COUNT
};

/* What came of asking Antom under one key.
 *  outcome, name, meaning */
#define AG_PROBE_OUTCOMES(R)                                                                       \
    R(NONE, "none", "not probed yet")                                                              \
    R(ACCEPTED, "accepted", "an answer came whose signature verifies")                             \
    R(REFUSED, "refused", "an answer without signature says that the key or signature is wrong")   \
    R(UNPROVEN, "unproven", "no answer, or one that proves nothing")

enum ag_probe_outcome {
#define AG_ROW(outcome, name, text) AG_PROBE_##outcome,
    AG_PROBE_OUTCOMES(AG_ROW)
#undef AG_ROW
        AG_PROBE_OUTCOME_COUNT
};

/* What both together mean. */
enum ag_probe_verdict {
    AG_VERDICT_UNKNOWN, /* one of the two proves nothing */
    AG_VERDICT_ONLY_OLD,
    AG_VERDICT_BOTH,
    AG_VERDICT_ONLY_NEW,
    AG_VERDICT_NEITHER, /* alarm: payments fail */
};

#define AG_ROTATION_PLAN_MS (14 * 24 * 3600 * INT64_C(1000)) /* from its start to the cut-over */
#define AG_ROTATION_REMIND_MS                                                                      \
    (24 * 3600 * INT64_C(1000)) /* submitted, and not accepted: a mail a day */
#define AG_ROTATION_ROLLBACK_MS                                                                    \
    (10 * 60 * INT64_C(1000))  /* after a cut-over: rolls back by itself if told so */
#define AG_ROTATION_FAILURES 3 /* so many failure reports make it do so */

struct ag_rotation_facts {
    enum ag_rotation_state state;
    bool past;                              /* the plan's time is over */
    bool watch_over;                        /* WATCHING: so is the watch window */
    bool frozen;                            /* a freeze is on: no cut-over */
    bool insists;                           /* the officer does it whatever the probes say */
    enum ag_probe_outcome old_key, new_key; /* last probes */
};

const char *ag_rotation_state_name(enum ag_rotation_state s); /* "prepared" */
const char *ag_rotation_event_name(enum ag_rotation_event e); /* "cut over" */
const char *ag_rotation_state_text(enum ag_rotation_state s); /* its meaning */
bool ag_rotation_is_over(enum ag_rotation_state s);
const char *ag_probe_outcome_name(enum ag_probe_outcome o);
enum ag_probe_verdict ag_probe_verdict(enum ag_probe_outcome old_key,
                                       enum ag_probe_outcome new_key);
/* Decide, do nothing. errors: ROTATION_STATE, saying what it waits for. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_step(const struct ag_rotation_facts *facts,
                                                 enum ag_rotation_event event,
                                                 enum ag_rotation_state *to,
                                                 struct antag_fault *fault);
/* What it waits for, and who acts next. armed: it cuts over by itself. for_ms of `out` is left to the caller. */
void ag_rotation_wait(const struct ag_rotation_facts *facts, bool armed, struct ag_wait *out);

#endif
