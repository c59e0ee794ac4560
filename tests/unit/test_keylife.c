/* States of keys against matrices written out here, the waits, and STATES.md.
 * `unit_keylife --write` writes agent/core/STATES.md instead of comparing it. */
#include <stdlib.h>
#include <string.h>

#include "agent/core/keylife.h"
#include "agent/core/keylife_internal.h"
#include "agent/core/statedoc.h"
#include "tests/support/rows.h"

#define DAY_MS (24 * 3600 * INT64_C(1000))

/* Facts under which every guard says yes that can: time is over, the self-test passed. */
static struct ag_key_facts ripe(enum ag_key_state state)
{
    return (struct ag_key_facts){.state = state,
                                 .suspended_from = AG_KEY_ACTIVE,
                                 .state_observed_ms = 365 * DAY_MS,
                                 .watch_window_ms = DAY_MS,
                                 .destroy_wait_ms = 30 * DAY_MS,
                                 .profile_has_other_active = false,
                                 .self_tested = true,
                                 .destroy_automatic = true};
}

/* ---- the matrix: what each pair leads to under those facts, - for refused, and the action */

#define NO                                                                                         \
    {                                                                                              \
        false, AG_KEY_STATE_COUNT, AG_KEYACT_NONE                                                  \
    }
#define SIGN                                                                                       \
    {                                                                                              \
        true, AG_KEY_ACTIVE, AG_KEYACT_START_SIGNING                                               \
    }
#define STOP                                                                                       \
    {                                                                                              \
        true, AG_KEY_SUSPENDED, AG_KEYACT_STOP_SIGNING                                             \
    }
#define WIPE                                                                                       \
    {                                                                                              \
        true, AG_KEY_DESTROYED, AG_KEYACT_WIPE                                                     \
    }
#define OLD                                                                                        \
    {                                                                                              \
        true, AG_KEY_RETIRING, AG_KEYACT_STOP_SIGNING                                              \
    }
#define WAIT                                                                                       \
    {                                                                                              \
        true, AG_KEY_RETIRING, AG_KEYACT_NONE                                                      \
    }
#define REST                                                                                       \
    {                                                                                              \
        true, AG_KEY_RETIRED, AG_KEYACT_NONE                                                       \
    }
#define BAD                                                                                        \
    {                                                                                              \
        true, AG_KEY_COMPROMISED, AG_KEYACT_STOP_SIGNING                                           \
    }

struct cell {
    bool ok;
    enum ag_key_state to;
    enum ag_key_action action;
};

/* clang-format off */
static const struct cell matrix[AG_KEY_STATE_COUNT][AG_KEY_EVENT_COUNT] = {
    /*               activate supersede withdraw roll back tick  suspend resume compromise destroy */
    /* staged */      { SIGN,   NO,       WAIT,    NO,       NO,   STOP,   NO,    NO,        NO   },
    /* active */      { NO,     OLD,      NO,      NO,       NO,   STOP,   NO,    NO,        NO   },
    /* retiring */    { SIGN,   NO,       NO,      SIGN,     REST, STOP,   NO,    NO,        NO   },
    /* retired */     { NO,     NO,       NO,      NO,       WIPE, STOP,   NO,    NO,        WIPE },
    /* suspended */   { NO,     NO,       NO,      NO,       NO,   NO,     SIGN,  BAD,       NO   },
    /* compromised */ { NO,     NO,       NO,      NO,       NO,   NO,     NO,    NO,        WIPE },
    /* destroyed */   { NO,     NO,       NO,      NO,       NO,   NO,     NO,    NO,        NO   },
};
/* clang-format on */

static void test_matrix(void)
{
    for (size_t s = 0; s < AG_KEY_STATE_COUNT; s++) {
        for (size_t e = 0; e < AG_KEY_EVENT_COUNT; e++) {
            const struct cell *want = &matrix[s][e];
            struct ag_key_facts facts = ripe((enum ag_key_state)s);
            struct ag_key_step step = {AG_KEY_STATE_COUNT, AG_KEYACT_NONE};
            struct ag_wait why = {.reason = ""};
            char name[64];

            snprintf(name, sizeof name, "%s, %s", ag_key_state_name((enum ag_key_state)s),
                     ag_key_event_name((enum ag_key_event)e));
            ROW_ASSERT(name, ag_keylife_step(&facts, (enum ag_key_event)e, &step, &why) ==
                                 (want->ok ? ANTAG_OK : ANTAG_ERR_KEY_STATE));
            ROW_ASSERT(name, step.to == want->to && step.action == want->action);
            ROW_ASSERT(name, want->ok || why.reason[0] != '\0');
        }
    }
}

/* ---- guards: pairs whose outcome depends on facts */

static const struct guard_row {
    const char *name;
    struct ag_key_facts facts;
    enum ag_key_event event;
    bool ok;
    struct ag_key_step step;
    enum ag_actor_kind who; /* refused: who acts next, and when */
    int64_t for_ms;
} guard_rows[] = {
    {"activate, not self-tested",
     {.state = AG_KEY_STAGED},
     AG_KEYEV_ACTIVATE,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     -1},
    {"activate beside an active key",
     {.state = AG_KEY_STAGED, .self_tested = true, .profile_has_other_active = true},
     AG_KEYEV_ACTIVATE,
     true,
     {AG_KEY_ACTIVE, AG_KEYACT_START_SIGNING},
     0,
     0},
    {"roll back, not self-tested",
     {.state = AG_KEY_RETIRING},
     AG_KEYEV_ROLL_BACK,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     -1},
    {"reactivate, not self-tested",
     {.state = AG_KEY_RETIRING},
     AG_KEYEV_ACTIVATE,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     -1},
    {"abandon the only key",
     {.state = AG_KEY_STAGED, .self_tested = true},
     AG_KEYEV_DESTROY,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"abandon a key that cannot sign",
     {.state = AG_KEY_STAGED},
     AG_KEYEV_DESTROY,
     true,
     {AG_KEY_DESTROYED, AG_KEYACT_WIPE},
     0,
     0},
    {"abandon beside an active key",
     {.state = AG_KEY_STAGED, .self_tested = true, .profile_has_other_active = true},
     AG_KEYEV_DESTROY,
     true,
     {AG_KEY_DESTROYED, AG_KEYACT_WIPE},
     0,
     0},

    {"watch window but 1 ms",
     {.state = AG_KEY_RETIRING, .watch_window_ms = DAY_MS, .state_observed_ms = DAY_MS - 1},
     AG_KEYEV_TICK,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     1},
    {"watch window",
     {.state = AG_KEY_RETIRING, .watch_window_ms = DAY_MS, .state_observed_ms = DAY_MS},
     AG_KEYEV_TICK,
     true,
     {AG_KEY_RETIRED, AG_KEYACT_NONE},
     0,
     0},
    {"watch window of nothing",
     {.state = AG_KEY_RETIRING},
     AG_KEYEV_TICK,
     true,
     {AG_KEY_RETIRED, AG_KEYACT_NONE},
     0,
     0},
    {"watch window, time ran backwards",
     {.state = AG_KEY_RETIRING, .watch_window_ms = DAY_MS, .state_observed_ms = -DAY_MS},
     AG_KEYEV_TICK,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     DAY_MS},
    {"watch window, first instant",
     {.state = AG_KEY_RETIRING, .watch_window_ms = INT64_MAX, .state_observed_ms = INT64_MIN},
     AG_KEYEV_TICK,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     INT64_MAX},
    {"negative watch window never ends",
     {.state = AG_KEY_RETIRING, .watch_window_ms = -1, .state_observed_ms = DAY_MS},
     AG_KEYEV_TICK,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     -1},

    {"destroy but 1 ms",
     {.state = AG_KEY_RETIRED, .destroy_wait_ms = DAY_MS, .state_observed_ms = DAY_MS - 1},
     AG_KEYEV_DESTROY,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     1},
    {"destroy",
     {.state = AG_KEY_RETIRED, .destroy_wait_ms = DAY_MS, .state_observed_ms = DAY_MS},
     AG_KEYEV_DESTROY,
     true,
     {AG_KEY_DESTROYED, AG_KEYACT_WIPE},
     0,
     0},
    {"negative wait never ends",
     {.state = AG_KEY_RETIRED, .destroy_wait_ms = -1, .state_observed_ms = INT64_MAX},
     AG_KEYEV_DESTROY,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"time destroys nothing unless set",
     {.state = AG_KEY_RETIRED, .destroy_wait_ms = DAY_MS, .state_observed_ms = DAY_MS},
     AG_KEYEV_TICK,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"time destroys where set, but 1 ms",
     {.state = AG_KEY_RETIRED,
      .destroy_wait_ms = DAY_MS,
      .state_observed_ms = DAY_MS - 1,
      .destroy_automatic = true},
     AG_KEYEV_TICK,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     1},
    {"time destroys where set",
     {.state = AG_KEY_RETIRED,
      .destroy_wait_ms = DAY_MS,
      .state_observed_ms = DAY_MS,
      .destroy_automatic = true},
     AG_KEYEV_TICK,
     true,
     {AG_KEY_DESTROYED, AG_KEYACT_WIPE},
     0,
     0},

    {"resume to staged",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_STAGED},
     AG_KEYEV_RESUME,
     true,
     {AG_KEY_STAGED, AG_KEYACT_NONE},
     0,
     0},
    {"resume to active",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_ACTIVE, .self_tested = true},
     AG_KEYEV_RESUME,
     true,
     {AG_KEY_ACTIVE, AG_KEYACT_START_SIGNING},
     0,
     0},
    {"resume to active, not self-tested",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_ACTIVE},
     AG_KEYEV_RESUME,
     false,
     {0, 0},
     AG_ACTS_AGENT,
     -1},
    {"resume beside an active key",
     {.state = AG_KEY_SUSPENDED,
      .suspended_from = AG_KEY_ACTIVE,
      .self_tested = true,
      .profile_has_other_active = true},
     AG_KEYEV_RESUME,
     true,
     {AG_KEY_RETIRING, AG_KEYACT_NONE},
     0,
     0},
    {"resume beside an active key, not self-tested",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_ACTIVE, .profile_has_other_active = true},
     AG_KEYEV_RESUME,
     true,
     {AG_KEY_RETIRING, AG_KEYACT_NONE},
     0,
     0},
    {"resume to retiring",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_RETIRING, .self_tested = true},
     AG_KEYEV_RESUME,
     true,
     {AG_KEY_RETIRING, AG_KEYACT_NONE},
     0,
     0},
    {"resume to retired",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_RETIRED},
     AG_KEYEV_RESUME,
     true,
     {AG_KEY_RETIRED, AG_KEYACT_NONE},
     0,
     0},
    {"resume to suspended",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_SUSPENDED, .self_tested = true},
     AG_KEYEV_RESUME,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"resume to compromised",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_COMPROMISED, .self_tested = true},
     AG_KEYEV_RESUME,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"resume to destroyed",
     {.state = AG_KEY_SUSPENDED, .suspended_from = AG_KEY_DESTROYED, .self_tested = true},
     AG_KEYEV_RESUME,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"resume to nowhere",
     {.state = AG_KEY_SUSPENDED, .suspended_from = (enum ag_key_state)99, .self_tested = true},
     AG_KEYEV_RESUME,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
    {"unknown state",
     {.state = (enum ag_key_state)99, .self_tested = true},
     AG_KEYEV_ACTIVATE,
     false,
     {0, 0},
     AG_ACTS_NOBODY,
     -1},
    {"unknown event",
     {.state = AG_KEY_STAGED, .self_tested = true},
     (enum ag_key_event)99,
     false,
     {0, 0},
     AG_ACTS_STAFF,
     -1},
};

static void test_guards(void)
{
    for (size_t i = 0; i < ROW_COUNT(guard_rows); i++) {
        const struct guard_row *r = &guard_rows[i];
        struct ag_key_step step = {AG_KEY_STATE_COUNT, AG_KEYACT_NONE}, untouched = step;
        struct ag_wait why;
        enum antag_err err = ag_keylife_step(&r->facts, r->event, &step, &why);
        const struct ag_key_step *want = r->ok ? &r->step : &untouched;

        ROW_ASSERT(r->name, err == (r->ok ? ANTAG_OK : ANTAG_ERR_KEY_STATE));
        ROW_ASSERT(r->name, step.to == want->to && step.action == want->action);
        ROW_ASSERT(r->name, ag_keylife_step(&r->facts, r->event, &step, NULL) == err);
        if (r->ok)
            continue;
        ROW_ASSERT(r->name, why.who == r->who && why.for_ms == r->for_ms);
        ROW_ASSERT(r->name, why.reason[0] != '\0');
    }
}

/* Without facts that allow it, nothing but a stop or a mark goes anywhere: all-zero facts, the shape of a
 * bug, neither sign nor destroy a key that could. */
static void test_zero_facts(void)
{
    for (size_t s = 0; s < AG_KEY_STATE_COUNT; s++) {
        for (size_t e = 0; e < AG_KEY_EVENT_COUNT; e++) {
            struct ag_key_facts facts = {.state = (enum ag_key_state)s};
            struct ag_key_step step;

            if (ag_keylife_step(&facts, (enum ag_key_event)e, &step, NULL) == ANTAG_OK)
                CU_ASSERT_NOT_EQUAL(step.to, AG_KEY_ACTIVE);
        }
    }
}

/* ---- the rows themselves */

static void test_rows(void)
{
    for (size_t i = 0; i < ag_keylife_row_count; i++) {
        const struct ag_keylife_row *r = &ag_keylife_rows[i];
        char name[64];

        snprintf(name, sizeof name, "%s to %s", ag_key_state_name(r->from),
                 ag_key_state_name(r->to));
        ROW_ASSERT(name, (r->to == AG_KEY_ACTIVE) == (r->action == AG_KEYACT_START_SIGNING));
        ROW_ASSERT(name, (r->to == AG_KEY_DESTROYED) == (r->action == AG_KEYACT_WIPE));
        ROW_ASSERT(name, r->from != AG_KEY_ACTIVE || r->action == AG_KEYACT_STOP_SIGNING);
        ROW_ASSERT(name, r->from != AG_KEY_DESTROYED);
        ROW_ASSERT(name, r->from != AG_KEY_COMPROMISED || r->to == AG_KEY_DESTROYED);
        ROW_ASSERT(name, r->to != AG_KEY_COMPROMISED || r->from == AG_KEY_SUSPENDED);
        ROW_ASSERT(name, r->to != AG_KEY_SUSPENDED || r->guard == AG_KEYGUARD_always);
    }
}

static void test_reachable(void)
{
    bool reached[AG_KEY_STATE_COUNT] = {[AG_KEY_STAGED] = true};

    for (size_t round = 0; round < AG_KEY_STATE_COUNT; round++)
        for (size_t i = 0; i < ag_keylife_row_count; i++)
            if (reached[ag_keylife_rows[i].from])
                reached[ag_keylife_rows[i].to] = true;
    for (size_t s = 0; s < AG_KEY_STATE_COUNT; s++)
        ROW_ASSERT(ag_key_state_name((enum ag_key_state)s), reached[s]);
}

/* ---- names and waits */

static void test_names(void)
{
    static const char *const bad[] = {"",        "Staged",  "STAGED", "stage",
                                      "stageds", "unknown", " staged"};

    for (size_t s = 0; s < AG_KEY_STATE_COUNT; s++) {
        const char *name = ag_key_state_name((enum ag_key_state)s);
        enum ag_key_state back = AG_KEY_STATE_COUNT;

        ROW_ASSERT(name, ag_key_state_parse(antag_slice_of(name), &back) == ANTAG_OK);
        ROW_ASSERT(name, back == (enum ag_key_state)s);
        ROW_ASSERT(name, ag_key_state_signs((enum ag_key_state)s) == (s == AG_KEY_ACTIVE));
    }
    for (size_t i = 0; i < ROW_COUNT(bad); i++) {
        enum ag_key_state out = AG_KEY_RETIRED;
        enum ag_antom_key_state antom_out = AG_ANTOM_KEY_RETIRING;

        ROW_ASSERT(bad[i], ag_key_state_parse(antag_slice_of(bad[i]), &out) != ANTAG_OK);
        ROW_ASSERT(bad[i],
                   ag_antom_key_state_parse(antag_slice_of(bad[i]), &antom_out) != ANTAG_OK);
        ROW_ASSERT(bad[i], out == AG_KEY_RETIRED && antom_out == AG_ANTOM_KEY_RETIRING);
    }
    CU_ASSERT_STRING_EQUAL(ag_key_state_name(AG_KEY_STATE_COUNT), "unknown");
    CU_ASSERT_STRING_EQUAL(ag_key_event_name((enum ag_key_event) - 1), "unknown");
    CU_ASSERT_STRING_EQUAL(ag_key_event_name(AG_KEYEV_ROLL_BACK), "roll back");
    CU_ASSERT_FALSE(ag_key_state_signs(AG_KEY_STATE_COUNT));
    CU_ASSERT_FALSE(ag_antom_key_state_verifies(AG_ANTOM_KEY_STATE_COUNT));
}

static void test_waits(void)
{
    static const struct {
        const char *name;
        struct ag_key_facts facts;
        enum ag_actor_kind who;
        int64_t for_ms;
    } rows[] = {
        {"staged", {.state = AG_KEY_STAGED, .self_tested = true}, AG_ACTS_STAFF, -1},
        {"staged, no self-test", {.state = AG_KEY_STAGED}, AG_ACTS_AGENT, -1},
        {"active", {.state = AG_KEY_ACTIVE}, AG_ACTS_NOBODY, -1},
        {"retiring",
         {.state = AG_KEY_RETIRING, .watch_window_ms = 100, .state_observed_ms = 40},
         AG_ACTS_AGENT,
         60},
        {"retiring, over",
         {.state = AG_KEY_RETIRING, .watch_window_ms = 100, .state_observed_ms = 140},
         AG_ACTS_AGENT,
         0},
        {"retired",
         {.state = AG_KEY_RETIRED, .destroy_wait_ms = 100, .state_observed_ms = 1},
         AG_ACTS_STAFF,
         99},
        {"retired, automatic",
         {.state = AG_KEY_RETIRED, .destroy_wait_ms = 100, .destroy_automatic = true},
         AG_ACTS_AGENT,
         100},
        {"suspended", {.state = AG_KEY_SUSPENDED}, AG_ACTS_STAFF, -1},
        {"compromised", {.state = AG_KEY_COMPROMISED}, AG_ACTS_STAFF, -1},
        {"destroyed", {.state = AG_KEY_DESTROYED}, AG_ACTS_NOBODY, -1},
        {"unknown", {.state = (enum ag_key_state)99}, AG_ACTS_NOBODY, -1},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_wait wait;

        ag_keylife_wait(&rows[i].facts, &wait);
        ROW_ASSERT(rows[i].name, wait.who == rows[i].who && wait.for_ms == rows[i].for_ms);
        ROW_ASSERT(rows[i].name, wait.reason[0] != '\0');
        ROW_ASSERT(rows[i].name, strlen(wait.reason) + 1 < sizeof wait.reason); /* not cut */
    }
}

/* ---- Antom keys */

static void test_antom_matrix(void)
{
    enum { ACTIVE = AG_ANTOM_KEY_ACTIVE, RETIRING = AG_ANTOM_KEY_RETIRING };
    enum { REVOKED = AG_ANTOM_KEY_REVOKED, NONE = AG_ANTOM_KEY_STATE_COUNT };
    /* clang-format off */
    static const int want[AG_ANTOM_KEY_STATE_COUNT][AG_ANTOM_KEY_EVENT_COUNT] = {
        /*              start   supersede  tick     revoke */
        /* staged */   {ACTIVE, NONE,      NONE,    REVOKED},
        /* active */   {NONE,   RETIRING,  NONE,    REVOKED},
        /* retiring */ {NONE,   NONE,      REVOKED, REVOKED},
        /* revoked */  {NONE,   NONE,      NONE,    NONE},
    };
    /* clang-format on */
    static const bool verifies[] = {false, true, true, false};

    for (size_t s = 0; s < AG_ANTOM_KEY_STATE_COUNT; s++) {
        const char *state = ag_antom_key_state_name((enum ag_antom_key_state)s);
        enum ag_antom_key_state back = AG_ANTOM_KEY_STATE_COUNT;

        ROW_ASSERT(state, ag_antom_key_state_verifies((enum ag_antom_key_state)s) == verifies[s]);
        ROW_ASSERT(state, ag_antom_key_state_parse(antag_slice_of(state), &back) == ANTAG_OK);
        ROW_ASSERT(state, back == (enum ag_antom_key_state)s);
        for (size_t e = 0; e < AG_ANTOM_KEY_EVENT_COUNT; e++) {
            struct ag_antom_key_facts facts = {(enum ag_antom_key_state)s, 365 * DAY_MS, 0};
            enum ag_antom_key_state to = AG_ANTOM_KEY_STATE_COUNT;
            struct ag_wait why = {.reason = ""};
            enum antag_err err =
                ag_antom_keylife_step(&facts, (enum ag_antom_key_event)e, &to, &why);
            char name[64];

            snprintf(name, sizeof name, "%s, %s", state,
                     ag_antom_key_event_name((enum ag_antom_key_event)e));
            ROW_ASSERT(name, (int)to == want[s][e]);
            ROW_ASSERT(name, err == (want[s][e] != NONE ? ANTAG_OK : ANTAG_ERR_KEY_STATE));
            ROW_ASSERT(name, err == ANTAG_OK || why.reason[0] != '\0');
        }
    }
}

static void test_antom_overlap(void)
{
    static const int64_t min = AG_ANTOM_OVERLAP_MIN_MS;
    const struct {
        const char *name;
        int64_t observed, overlap;
        bool over;
        int64_t left;
    } rows[] = {
        {"least overlap", min, 0, true, 0},
        {"least overlap but 1 ms", min - 1, 0, false, 1},
        {"shorter than allowed", min - 1, 1000, false, 1},
        {"negative", min - 1, -1, false, 1},
        {"longer", min, min + 5, false, 5},
        {"longer, over", min + 5, min + 5, true, 0},
        {"time ran backwards", INT64_MIN, min, false, min},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_antom_key_facts facts = {AG_ANTOM_KEY_RETIRING, rows[i].observed,
                                           rows[i].overlap};
        enum ag_antom_key_state to = AG_ANTOM_KEY_RETIRING;
        struct ag_wait why = {.for_ms = 0};
        enum antag_err err = ag_antom_keylife_step(&facts, AG_ANTOMEV_TICK, &to, &why);

        ROW_ASSERT(rows[i].name, err == (rows[i].over ? ANTAG_OK : ANTAG_ERR_KEY_STATE));
        ROW_ASSERT(rows[i].name,
                   to == (rows[i].over ? AG_ANTOM_KEY_REVOKED : AG_ANTOM_KEY_RETIRING));
        ROW_ASSERT(rows[i].name, rows[i].over || why.for_ms == rows[i].left);
    }
}

/* ---- the document */

#define STATES_MD SOURCE_DIR "/agent/core/STATES.md"

static void test_document(void)
{
    static char stored[64 * 1024];
    char *made = ag_states_document();
    FILE *f = fopen(STATES_MD, "rb");
    size_t len;

    CU_ASSERT_PTR_NOT_NULL_FATAL(made);
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    len = fread(stored, 1, sizeof stored - 1, f);
    fclose(f);
    stored[len] = '\0';
    ROW_ASSERT("agent/core/STATES.md is old; unit_keylife --write makes it anew",
               len == strlen(made) && memcmp(stored, made, len) == 0);
    free(made);
}

static int write_document(void)
{
    char *made = ag_states_document();
    FILE *f = made != NULL ? fopen(STATES_MD, "wb") : NULL;
    bool ok = f != NULL && fputs(made, f) >= 0;

    if (f != NULL && fclose(f) != 0)
        ok = false;
    free(made);
    if (!ok)
        perror(STATES_MD);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"matrix", test_matrix},
        {"guards", test_guards},
        {"zero facts", test_zero_facts},
        {"rows", test_rows},
        {"every state can be reached", test_reachable},
        {"names", test_names},
        {"waits", test_waits},
        {"matrix of Antom keys", test_antom_matrix},
        {"overlap of Antom keys", test_antom_overlap},
        {"STATES.md", test_document},
        CU_TEST_INFO_NULL,
    };

    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return write_document();
    return run_tests("keylife", tests);
}
