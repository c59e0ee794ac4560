/* keylife: the states of merchant keys and Antom keys, as tables (states of NIST SP 800-57, part 1).
 * The rows below make the dispatch, the transition tables and diagrams in STATES.md, and the expected
 * matrix of the unit test. A pair that is not in the table is refused with KEY_STATE. Pure. */
#ifndef AG_CORE_KEYLIFE_H
#define AG_CORE_KEYLIFE_H

#include "antag/status.h"
#include "antag/types.h"

/*  state, what it signs, meaning */
#define AG_KEY_STATES(R)                                                                           \
    R(STAGED, PROBE, "made or imported, durable, public half shown")                               \
    R(ACTIVE, SIGN, "signs; at most one a profile")                                                \
    R(RETIRING, PROBE, "superseded, one step from active again")                                   \
    R(RETIRED, NOTHING, "waits for destruction")                                                   \
    R(SUSPENDED, NOTHING, "stopped by an officer")                                                 \
    R(COMPROMISED, NOTHING, "never signs again")                                                   \
    R(DESTROYED, NOTHING, "private half wiped; public half, dates and reasons stay")

enum ag_key_state {
#define AG_ROW(name, signs, text) AG_KEY_##name,
    AG_KEY_STATES(AG_ROW)
#undef AG_ROW
        AG_KEY_STATE_COUNT
};

/*  event, meaning */
#define AG_KEY_EVENTS(R)                                                                           \
    R(ACTIVATE, "staff makes it the signing key")                                                  \
    R(SUPERSEDE, "another key of the profile was activated")                                       \
    R(WITHDRAW, "the rotation it was made for ended without it")                                   \
    R(ROLL_BACK, "an officer makes the superseded key the signing key again")                      \
    R(TICK, "time passes")                                                                         \
    R(SUSPEND, "an officer stops it")                                                              \
    R(RESUME, "staff lets it go on in the state it was stopped in")                                \
    R(COMPROMISE, "staff marks it as known to others")                                             \
    R(DESTROY, "staff has it wiped")

enum ag_key_event {
#define AG_ROW(name, text) AG_KEYEV_##name,
    AG_KEY_EVENTS(AG_ROW)
#undef AG_ROW
        AG_KEY_EVENT_COUNT
};

enum ag_key_action {
    AG_KEYACT_NONE,
    AG_KEYACT_START_SIGNING,
    AG_KEYACT_STOP_SIGNING,
    AG_KEYACT_WIPE, /* private half in registry, backend and memory */
};

/* what a guard may look at; instants in UTC ms, durations of observed running time */
struct ag_key_facts {
    enum ag_key_state state;
    enum ag_key_state suspended_from; /* when SUSPENDED */
    int64_t state_observed_ms;        /* observed running time since the state was entered */
    int64_t watch_window_ms;          /* retiring for this long, then retired (24 h) */
    int64_t destroy_wait_ms;          /* retired for this long, then may be destroyed (30 days) */
    bool profile_has_other_active;
    bool self_tested;       /* the keyring holds it and a signature of it verified */
    bool destroy_automatic; /* retired keys are destroyed by time alone */
};

enum ag_actor_kind { AG_ACTS_NOBODY, AG_ACTS_AGENT, AG_ACTS_STAFF, AG_ACTS_ANTOM };

/* why a guard said no, and what ends a state: what it waits for, for how long yet (-1: no end in time)
 * and who acts next */
struct ag_wait {
    char reason[160];
    int64_t for_ms;
    enum ag_actor_kind who;
};

struct ag_key_step {
    enum ag_key_state to;
    enum ag_key_action action;
};

const char *ag_key_state_name(enum ag_key_state s); /* "staged" */
const char *ag_key_event_name(enum ag_key_event e); /* "activate" */
ANTAG_MUST_CHECK enum antag_err ag_key_state_parse(struct antag_slice text, enum ag_key_state *out);
bool ag_key_state_signs(enum ag_key_state s);

/* Decide, do nothing. errors: KEY_STATE; `why` (may be NULL) then says what it waits for. */
ANTAG_MUST_CHECK enum antag_err ag_keylife_step(const struct ag_key_facts *facts,
                                                enum ag_key_event event, struct ag_key_step *out,
                                                struct ag_wait *why);
/* What the key's present state waits for. */
void ag_keylife_wait(const struct ag_key_facts *facts, struct ag_wait *out);

/* ---- Antom keys */
#define AG_ANTOM_KEY_STATES(R)                                                                     \
    R(STAGED, false, "added, awaiting approval or its start")                                      \
    R(ACTIVE, true, "verifies; one, or two in an overlap")                                         \
    R(RETIRING, true, "superseded, verifies until its end")                                        \
    R(REVOKED, false, "never verifies again")

enum ag_antom_key_state {
#define AG_ROW(name, verifies, text) AG_ANTOM_KEY_##name,
    AG_ANTOM_KEY_STATES(AG_ROW)
#undef AG_ROW
        AG_ANTOM_KEY_STATE_COUNT
};
/*  SUPERSEDE: a newer Antom key became active; REVOKE: staff; TICK: its end has come */
#define AG_ANTOM_KEY_EVENTS(R)                                                                     \
    R(START, "approved, or its start has come")                                                    \
    R(SUPERSEDE, "a newer Antom key of the profile became active")                                 \
    R(TICK, "time passes")                                                                         \
    R(REVOKE, "staff withdraws trust")
enum ag_antom_key_event {
#define AG_ROW(name, text) AG_ANTOMEV_##name,
    AG_ANTOM_KEY_EVENTS(AG_ROW)
#undef AG_ROW
        AG_ANTOM_KEY_EVENT_COUNT
};
#define AG_ANTOM_OVERLAP_MIN_MS (25 * 3600 * INT64_C(1000))
struct ag_antom_key_facts {
    enum ag_antom_key_state state;
    int64_t state_observed_ms;
    int64_t overlap_ms; /* retiring for this long, at least AG_ANTOM_OVERLAP_MIN_MS */
};
const char *ag_antom_key_state_name(enum ag_antom_key_state s);
ANTAG_MUST_CHECK enum antag_err ag_antom_key_state_parse(struct antag_slice text,
                                                         enum ag_antom_key_state *out);
bool ag_antom_key_state_verifies(enum ag_antom_key_state s);
ANTAG_MUST_CHECK enum antag_err ag_antom_keylife_step(const struct ag_antom_key_facts *facts,
                                                      enum ag_antom_key_event event,
                                                      enum ag_antom_key_state *to,
                                                      struct ag_wait *why);

#endif
