/* States of rotations against a matrix written out here, their guards, and what probes mean. */
#include <string.h>

#include "agent/core/rotation_internal.h"
#include "tests/support/rows.h"

enum { NO = AG_ROTATION_STATE_COUNT };
#define PRE  AG_ROTATION_PREPARED
#define OK_  AG_ROTATION_APPROVED
#define SUB  AG_ROTATION_SUBMITTED
#define WAT  AG_ROTATION_WATCHING
#define DONE AG_ROTATION_COMPLETE
#define BACK AG_ROTATION_ROLLED_BACK
#define CAN  AG_ROTATION_CANCELLED
#define EXP  AG_ROTATION_EXPIRED

/* clang-format off */
/* Antom accepts both keys; in time but for the tick */
static const int matrix[AG_ROTATION_STATE_COUNT][AG_ROTATION_EVENT_COUNT] = {
    /*                approve submit cut over roll back cancel tick */
    /* prepared */    { OK_,  NO,    NO,      NO,       CAN,   EXP  },
    /* approved */    { NO,   SUB,   NO,      NO,       CAN,   EXP  },
    /* submitted */   { NO,   SUB,   WAT,     NO,       CAN,   EXP  },
    /* watching */    { NO,   NO,    NO,      BACK,     NO,    DONE },
    /* complete */    { NO,   NO,    NO,      NO,       NO,    NO   },
    /* rolled back */ { NO,   NO,    NO,      NO,       NO,    NO   },
    /* cancelled */   { NO,   NO,    NO,      NO,       NO,    NO   },
    /* expired */     { NO,   NO,    NO,      NO,       NO,    NO   },
};
/* clang-format on */

static void test_matrix(void)
{
    for (int s = 0; s < AG_ROTATION_STATE_COUNT; s++)
        for (int e = 0; e < AG_ROTATION_EVENT_COUNT; e++) {
            bool tick = e == AG_ROTATIONEV_TICK;
            struct ag_rotation_facts f = {.state = (enum ag_rotation_state)s,
                                          .past = tick,
                                          .watch_over = tick,
                                          .old_key = AG_PROBE_ACCEPTED,
                                          .new_key = AG_PROBE_ACCEPTED};
            enum ag_rotation_state to = AG_ROTATION_STATE_COUNT;
            struct antag_fault fault = {0};
            char name[64];
            enum antag_err err = ag_rotation_step(&f, (enum ag_rotation_event)e, &to, &fault);

            snprintf(name, sizeof name, "%s, %s", ag_rotation_state_name(f.state),
                     ag_rotation_event_name((enum ag_rotation_event)e));
            ROW_ASSERT(name, err == (matrix[s][e] == NO ? ANTAG_ERR_ROTATION_STATE : ANTAG_OK));
            ROW_ASSERT(name, (int)to == matrix[s][e]);
            ROW_ASSERT(name, err == ANTAG_OK || fault.text[0] != '\0');
        }
}

#define YES AG_PROBE_ACCEPTED
#define REF AG_PROBE_REFUSED
#define UNP AG_PROBE_UNPROVEN
#define NIL AG_PROBE_NONE

static void test_guards(void)
{
    /* past, watch over, frozen, insists, old, new */
    static const struct {
        const char *name;
        struct ag_rotation_facts f;
        enum ag_rotation_event event;
        int to;
        const char *says;
    } rows[] = {
        {"approved too late", {PRE, true, 0, 0, 0, NIL, NIL}, AG_ROTATIONEV_APPROVE, NO, "time"},
        {"submitted too late", {OK_, true, 0, 0, 0, NIL, NIL}, AG_ROTATIONEV_SUBMIT, NO, "time"},
        {"a tick in time", {PRE, 0, 0, 0, 0, NIL, NIL}, AG_ROTATIONEV_TICK, NO, "not over"},
        {"cut over unproven", {SUB, 0, 0, 0, 0, YES, UNP}, AG_ROTATIONEV_CUT_OVER, NO, "no probe"},
        {"cut over unprobed", {SUB, 0, 0, 0, 0, NIL, NIL}, AG_ROTATIONEV_CUT_OVER, NO, "no probe"},
        {"cut over refused", {SUB, 0, 0, 0, 0, YES, REF}, AG_ROTATIONEV_CUT_OVER, NO, "no probe"},
        {"insisted", {SUB, 0, 0, 0, true, YES, REF}, AG_ROTATIONEV_CUT_OVER, WAT, NULL},
        {"only new", {SUB, 0, 0, 0, 0, REF, YES}, AG_ROTATIONEV_CUT_OVER, WAT, NULL},
        {"frozen", {SUB, 0, 0, true, 0, REF, YES}, AG_ROTATIONEV_CUT_OVER, NO, "freeze"},
        {"frozen, insisted",
         {SUB, 0, 0, true, true, REF, YES},
         AG_ROTATIONEV_CUT_OVER,
         NO,
         "freeze"},
        {"cut over too late",
         {SUB, true, 0, 0, true, REF, YES},
         AG_ROTATIONEV_CUT_OVER,
         NO,
         "time"},
        {"back, old accepted", {WAT, 0, 0, 0, 0, YES, YES}, AG_ROTATIONEV_ROLL_BACK, BACK, NULL},
        {"back, old unknown", {WAT, 0, 0, 0, 0, UNP, YES}, AG_ROTATIONEV_ROLL_BACK, BACK, NULL},
        {"back, old refused", {WAT, 0, 0, 0, 0, REF, YES}, AG_ROTATIONEV_ROLL_BACK, NO, "again"},
        {"back, insisted", {WAT, 0, 0, 0, true, REF, YES}, AG_ROTATIONEV_ROLL_BACK, BACK, NULL},
        {"back in a freeze", {WAT, 0, 0, true, 0, YES, YES}, AG_ROTATIONEV_ROLL_BACK, BACK, NULL},
        {"back after the plan",
         {WAT, true, 0, 0, 0, YES, YES},
         AG_ROTATIONEV_ROLL_BACK,
         BACK,
         NULL},
        {"watched too short", {WAT, true, 0, 0, 0, YES, YES}, AG_ROTATIONEV_TICK, NO, "not over"},
        {"watched", {WAT, 0, true, 0, 0, REF, YES}, AG_ROTATIONEV_TICK, DONE, NULL},
        {"a cancel is never late",
         {SUB, true, 0, true, 0, REF, REF},
         AG_ROTATIONEV_CANCEL,
         CAN,
         NULL},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        enum ag_rotation_state to = AG_ROTATION_STATE_COUNT;
        struct antag_fault fault = {0};
        enum antag_err err = ag_rotation_step(&rows[i].f, rows[i].event, &to, &fault);

        ROW_ASSERT(rows[i].name, err == (rows[i].to == NO ? ANTAG_ERR_ROTATION_STATE : ANTAG_OK));
        ROW_ASSERT(rows[i].name, (int)to == rows[i].to);
        ROW_ASSERT(rows[i].name, rows[i].says == NULL || strstr(fault.text, rows[i].says) != NULL);
    }
}

static void test_verdicts(void)
{
    static const enum ag_probe_verdict verdicts[AG_PROBE_OUTCOME_COUNT][AG_PROBE_OUTCOME_COUNT] = {
        [YES] = {[YES] = AG_VERDICT_BOTH, [REF] = AG_VERDICT_ONLY_OLD},
        [REF] = {[YES] = AG_VERDICT_ONLY_NEW, [REF] = AG_VERDICT_NEITHER},
    };

    for (int o = 0; o < AG_PROBE_OUTCOME_COUNT; o++)
        for (int n = 0; n < AG_PROBE_OUTCOME_COUNT; n++)
            ROW_ASSERT(ag_probe_outcome_name((enum ag_probe_outcome)o),
                       ag_probe_verdict((enum ag_probe_outcome)o, (enum ag_probe_outcome)n) ==
                           verdicts[o][n]);
    CU_ASSERT_EQUAL(AG_VERDICT_UNKNOWN, 0);
}

/* Who acts next, in every state that is not over, and with every pair of probes. */
static void test_waits(void)
{
    static const struct {
        const char *name;
        struct ag_rotation_facts f;
        bool armed;
        enum ag_actor_kind who;
        const char *says;
    } rows[] = {
        {"prepared", {.state = PRE}, true, AG_ACTS_STAFF, "approved"},
        {"approved", {.state = OK_}, true, AG_ACTS_STAFF, "gives Antom"},
        {"unprobed", {.state = SUB}, true, AG_ACTS_ANTOM, "a probe"},
        {"only old", {.state = SUB, .old_key = YES, .new_key = REF}, true, AG_ACTS_ANTOM, "mails"},
        {"both", {.state = SUB, .old_key = YES, .new_key = YES}, true, AG_ACTS_STAFF, "both"},
        {"only new", {.state = SUB, .old_key = REF, .new_key = YES}, true, AG_ACTS_AGENT, "cuts"},
        {"unarmed", {.state = SUB, .old_key = REF, .new_key = YES}, false, AG_ACTS_STAFF, "ALARM"},
        {"frozen",
         {.state = SUB, .frozen = true, .old_key = REF, .new_key = YES},
         true,
         AG_ACTS_STAFF,
         "freeze"},
        {"neither", {.state = SUB, .old_key = REF, .new_key = REF}, true, AG_ACTS_STAFF, "ALARM"},
        {"new at least",
         {.state = SUB, .old_key = UNP, .new_key = YES},
         true,
         AG_ACTS_STAFF,
         "new"},
        {"watching", {.state = WAT}, true, AG_ACTS_AGENT, "window"},
        {"over", {.state = DONE}, true, AG_ACTS_NOBODY, "over"},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_wait wait = {.reason = ""};

        ag_rotation_wait(&rows[i].f, rows[i].armed, &wait);
        ROW_ASSERT(rows[i].name, wait.who == rows[i].who);
        ROW_ASSERT(rows[i].name, strstr(wait.reason, rows[i].says) != NULL);
    }
}

/* Whatever is over stays so, and every state can be reached from the first. */
static void test_shape(void)
{
    bool reached[AG_ROTATION_STATE_COUNT] = {[AG_ROTATION_PREPARED] = true};

    for (size_t pass = 0; pass < ag_rotation_row_count; pass++)
        for (size_t i = 0; i < ag_rotation_row_count; i++)
            reached[ag_rotation_rows[i].to] |= reached[ag_rotation_rows[i].from];
    for (size_t s = 0; s < AG_ROTATION_STATE_COUNT; s++)
        ROW_ASSERT(ag_rotation_state_name((enum ag_rotation_state)s), reached[s]);
    for (size_t i = 0; i < ag_rotation_row_count; i++)
        ROW_ASSERT(ag_rotation_state_name(ag_rotation_rows[i].from),
                   !ag_rotation_is_over(ag_rotation_rows[i].from));
    CU_ASSERT_TRUE(ag_rotation_is_over(AG_ROTATION_STATE_COUNT)); /* of a damaged row */
    CU_ASSERT_STRING_EQUAL(ag_rotation_state_name(AG_ROTATION_STATE_COUNT), "unknown");
    CU_ASSERT_STRING_EQUAL(ag_probe_outcome_name(AG_PROBE_OUTCOME_COUNT), "unknown");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"matrix", test_matrix}, {"guards", test_guards}, {"verdicts", test_verdicts},
        {"waits", test_waits},   {"shape", test_shape},   CU_TEST_INFO_NULL,
    };

    return run_tests("rotation", tests);
}
