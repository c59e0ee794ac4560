/* keylife_internal: the rows behind keylife.h, for its two files and the tests.
 *
 * A pair of state and event that has no row is refused. A pair may have several rows where the target
 * depends on what was before (resume); they are tried in order and the first whose guard says yes is
 * taken. So every arrow of the diagrams is a row, with its condition in words. */
#ifndef AG_CORE_KEYLIFE_INTERNAL_H
#define AG_CORE_KEYLIFE_INTERNAL_H

#include "agent/core/keylife.h"

/*  guard, when it says yes ("": always) */
#define AG_KEY_GUARDS(R)                                                                           \
    R(always, "")                                                                                  \
    R(self_tested, "its keyring holds it and a signature of it verified")                          \
    R(dispensable, "another key of the profile is active, or this one never passed its self-test") \
    R(watch_over, "the watch window is over")                                                      \
    R(wait_over, "its wait is over")                                                               \
    R(wait_over_unattended, "its wait is over and destruction is automatic")                       \
    R(was_staged, "it was stopped when staged")                                                    \
    R(was_active, "it was stopped when active, no other key is active, and it is self-tested")     \
    R(was_replaced, "it was stopped when active, and another key is active now")                   \
    R(was_retiring, "it was stopped when retiring")                                                \
    R(was_retired, "it was stopped when retired")

enum ag_key_guard {
#define AG_ROW(name, text) AG_KEYGUARD_##name,
    AG_KEY_GUARDS(AG_ROW)
#undef AG_ROW
        AG_KEY_GUARD_COUNT
};

/* A stop repeats STOP_SIGNING even where nothing should be signing any more: should an earlier order
 * have been lost, this one acts.
 *
 *     from        event       guard                 action         to */
/* clang-format off */
#define AG_KEYLIFE(R)                                                                              \
    R(STAGED,      ACTIVATE,   self_tested,          START_SIGNING, ACTIVE)                        \
    R(STAGED,      WITHDRAW,   always,               NONE,          RETIRING)                      \
    R(STAGED,      SUSPEND,    always,               STOP_SIGNING,  SUSPENDED)                     \
    R(STAGED,      DESTROY,    dispensable,          WIPE,          DESTROYED)                     \
    R(ACTIVE,      SUPERSEDE,  always,               STOP_SIGNING,  RETIRING)                      \
    R(ACTIVE,      SUSPEND,    always,               STOP_SIGNING,  SUSPENDED)                     \
    R(RETIRING,    ACTIVATE,   self_tested,          START_SIGNING, ACTIVE)                        \
    R(RETIRING,    ROLL_BACK,  self_tested,          START_SIGNING, ACTIVE)                        \
    R(RETIRING,    TICK,       watch_over,           NONE,          RETIRED)                       \
    R(RETIRING,    SUSPEND,    always,               STOP_SIGNING,  SUSPENDED)                     \
    R(RETIRED,     TICK,       wait_over_unattended, WIPE,          DESTROYED)                     \
    R(RETIRED,     SUSPEND,    always,               STOP_SIGNING,  SUSPENDED)                     \
    R(RETIRED,     DESTROY,    wait_over,            WIPE,          DESTROYED)                     \
    R(SUSPENDED,   RESUME,     was_staged,           NONE,          STAGED)                        \
    R(SUSPENDED,   RESUME,     was_active,           START_SIGNING, ACTIVE)                        \
    R(SUSPENDED,   RESUME,     was_replaced,         NONE,          RETIRING)                      \
    R(SUSPENDED,   RESUME,     was_retiring,         NONE,          RETIRING)                      \
    R(SUSPENDED,   RESUME,     was_retired,          NONE,          RETIRED)                       \
    R(SUSPENDED,   COMPROMISE, always,               STOP_SIGNING,  COMPROMISED)                   \
    R(COMPROMISED, DESTROY,    always,               WIPE,          DESTROYED)
/* clang-format on */

struct ag_keylife_row {
    enum ag_key_state from;
    enum ag_key_event event;
    enum ag_key_guard guard;
    enum ag_key_action action;
    enum ag_key_state to;
};
extern const struct ag_keylife_row ag_keylife_rows[];
extern const size_t ag_keylife_row_count;

/*  guard, when it says yes ("": always) */
#define AG_ANTOM_KEY_GUARDS(R)                                                                     \
    R(always, "")                                                                                  \
    R(overlap_over, "the overlap is over")

enum ag_antom_key_guard {
#define AG_ROW(name, text) AG_ANTOMGUARD_##name,
    AG_ANTOM_KEY_GUARDS(AG_ROW)
#undef AG_ROW
        AG_ANTOM_KEY_GUARD_COUNT
};

/*     from      event      guard         to */
/* clang-format off */
#define AG_ANTOM_KEYLIFE(R)                                                                        \
    R(STAGED,    START,     always,       ACTIVE)                                                  \
    R(STAGED,    REVOKE,    always,       REVOKED)                                                 \
    R(ACTIVE,    SUPERSEDE, always,       RETIRING)                                                \
    R(ACTIVE,    REVOKE,    always,       REVOKED)                                                 \
    R(RETIRING,  TICK,      overlap_over, REVOKED)                                                 \
    R(RETIRING,  REVOKE,    always,       REVOKED)
/* clang-format on */

struct ag_antom_keylife_row {
    enum ag_antom_key_state from;
    enum ag_antom_key_event event;
    enum ag_antom_key_guard guard;
    enum ag_antom_key_state to;
};
extern const struct ag_antom_keylife_row ag_antom_keylife_rows[];
extern const size_t ag_antom_keylife_row_count;

const char *ag_key_guard_text(enum ag_key_guard g);
const char *ag_key_action_name(enum ag_key_action a); /* "start signing"; "" for none */
const char *ag_antom_key_guard_text(enum ag_antom_key_guard g);
const char *ag_antom_key_event_name(enum ag_antom_key_event e);
const char *ag_actor_name(enum ag_actor_kind who); /* "staff" */
void ag_antom_keylife_wait(const struct ag_antom_key_facts *facts, struct ag_wait *out);

#endif
