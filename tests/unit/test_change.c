/* States of changes against a matrix written out here, and their time. */
#include <string.h>

#include "agent/core/change_internal.h"
#include "tests/support/rows.h"

enum { NO = AG_CHANGE_STATE_COUNT };
#define OPEN AG_CHANGE_OPEN
#define OK_  AG_CHANGE_APPROVED
#define DONE AG_CHANGE_APPLIED
#define REJ  AG_CHANGE_REJECTED
#define CAN  AG_CHANGE_CANCELLED
#define EXP  AG_CHANGE_EXPIRED
#define OLD  AG_CHANGE_STALE
#define BAD  AG_CHANGE_FAILED

/* clang-format off */
/* enough approvals, in time but for the tick */
static const int matrix[AG_CHANGE_STATE_COUNT][AG_CHANGE_EVENT_COUNT] = {
    /*              approve reject cancel tick apply differ fail */
    /* open */      { OK_,  REJ,   CAN,   EXP, NO,   OLD,   NO  },
    /* approved */  { NO,   REJ,   CAN,   BAD, DONE, OLD,   BAD },
    /* applied */   { NO,   NO,    NO,    NO,  NO,   NO,    NO  },
    /* rejected */  { NO,   NO,    NO,    NO,  NO,   NO,    NO  },
    /* cancelled */ { NO,   NO,    NO,    NO,  NO,   NO,    NO  },
    /* expired */   { NO,   NO,    NO,    NO,  NO,   NO,    NO  },
    /* stale */     { NO,   NO,    NO,    NO,  NO,   NO,    NO  },
    /* failed */    { NO,   NO,    NO,    NO,  NO,   NO,    NO  },
};
/* clang-format on */

static void test_matrix(void)
{
    for (int s = 0; s < AG_CHANGE_STATE_COUNT; s++)
        for (int e = 0; e < AG_CHANGE_EVENT_COUNT; e++) {
            struct ag_change_facts f = {.state = (enum ag_change_state)s,
                                        .past = e == AG_CHANGEEV_TICK,
                                        .have = 2,
                                        .need = 2};
            enum ag_change_state to = AG_CHANGE_STATE_COUNT;
            struct antag_fault fault = {0};
            char name[64];
            enum antag_err err = ag_change_step(&f, (enum ag_change_event)e, &to, &fault);

            snprintf(name, sizeof name, "%s, %s", ag_change_state_name(f.state),
                     ag_change_event_name((enum ag_change_event)e));
            ROW_ASSERT(name, err == (matrix[s][e] == NO ? ANTAG_ERR_CHANGE_STATE : ANTAG_OK));
            ROW_ASSERT(name, (int)to == matrix[s][e]);
            ROW_ASSERT(name, err == ANTAG_OK || fault.text[0] != '\0');
        }
}

static void test_guards(void)
{
    static const struct {
        const char *name;
        struct ag_change_facts f;
        enum ag_change_event event;
        int to;
    } rows[] = {
        {"one of two", {OPEN, false, 1, 2}, AG_CHANGEEV_APPROVE, OPEN},
        {"two of two", {OPEN, false, 2, 2}, AG_CHANGEEV_APPROVE, OK_},
        {"three of two", {OPEN, false, 3, 2}, AG_CHANGEEV_APPROVE, OK_},
        {"none of none is not enough", {OPEN, false, 0, 0}, AG_CHANGEEV_APPROVE, OPEN},
        {"none of one", {OPEN, false, 0, 1}, AG_CHANGEEV_APPROVE, OPEN},
        {"enough, too late", {OPEN, true, 2, 2}, AG_CHANGEEV_APPROVE, NO},
        {"a tick in time", {OPEN, false, 0, 1}, AG_CHANGEEV_TICK, NO},
        {"a tick in time, approved", {OK_, false, 0, 1}, AG_CHANGEEV_TICK, NO},
        {"a late rejection", {OPEN, true, 0, 1}, AG_CHANGEEV_REJECT, REJ},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        enum ag_change_state to = AG_CHANGE_STATE_COUNT;
        struct antag_fault fault = {0};
        enum antag_err err = ag_change_step(&rows[i].f, rows[i].event, &to, &fault);

        ROW_ASSERT(rows[i].name, err == (rows[i].to == NO ? ANTAG_ERR_CHANGE_STATE : ANTAG_OK));
        ROW_ASSERT(rows[i].name, (int)to == rows[i].to);
    }
}

/* The stricter clock counts, and neither can be turned back to gain time. */
static void test_time(void)
{
    static const struct {
        const char *name;
        struct ag_change_time from, now;
        bool past;
    } rows[] = {
        {"at once", {1000, 10}, {1000, 10}, false},
        {"before the end", {1000, 10}, {1099, 109}, false},
        {"by the wall", {1000, 10}, {1100, 20}, true},
        {"by running time, the wall was set back", {1000, 10}, {0, 110}, true},
        {"the wall was set back, in time", {1000, 10}, {0, 109}, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++)
        ROW_ASSERT(rows[i].name, ag_change_is_past(rows[i].from, rows[i].now, 100) == rows[i].past);
}

/* Whatever is over stays so, and every state can be reached from open. */
static void test_shape(void)
{
    bool reached[AG_CHANGE_STATE_COUNT] = {[AG_CHANGE_OPEN] = true};

    for (size_t pass = 0; pass < ag_change_row_count; pass++)
        for (size_t i = 0; i < ag_change_row_count; i++)
            reached[ag_change_rows[i].to] |= reached[ag_change_rows[i].from];
    for (size_t s = 0; s < AG_CHANGE_STATE_COUNT; s++)
        ROW_ASSERT(ag_change_state_name((enum ag_change_state)s), reached[s]);
    for (size_t i = 0; i < ag_change_row_count; i++)
        ROW_ASSERT(ag_change_state_name(ag_change_rows[i].from),
                   !ag_change_is_over(ag_change_rows[i].from));
    CU_ASSERT_TRUE(ag_change_is_over(AG_CHANGE_STATE_COUNT)); /* of a damaged row */
    CU_ASSERT_STRING_EQUAL(ag_change_state_name(AG_CHANGE_STATE_COUNT), "unknown");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"matrix", test_matrix}, {"guards", test_guards}, {"time", test_time},
        {"shape", test_shape},   CU_TEST_INFO_NULL,
    };

    return run_tests("change", tests);
}
