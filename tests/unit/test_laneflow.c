/* A keyring that is slow, or hangs: who is let in, and when it is tried again. */
#include "agent/front/laneflow.h"

#include "tests/support/rows.h"

static void test_wait(void)
{
    static const struct {
        const char *name;
        int64_t wait_ms, max_ms, retry_ms;
        enum ag_flow flow;
    } rows[] = {
        {"nothing before it", 0, 1000, 0, AG_FLOW_GO},
        {"just", 1000, 1000, 0, AG_FLOW_GO},
        {"too long", 1001, 1000, 1001, AG_FLOW_LONG},
        {"no limit", INT64_MAX, 0, 0, AG_FLOW_GO},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_laneflow f = {0};
        int64_t retry_ms = -1;

        ROW_ASSERT(rows[i].name, ag_laneflow_ask(&f, 5, rows[i].wait_ms, rows[i].max_ms,
                                                 &retry_ms) == rows[i].flow);
        ROW_ASSERT(rows[i].name, retry_ms == rows[i].retry_ms);
    }
}

/* Silent is who was asked and has answered nobody for longer than the limit, and nobody else. */
static void test_silence(void)
{
    struct ag_laneflow f = {0};

    CU_ASSERT(!ag_laneflow_is_silent(&f, 1000000, 100));
    ag_laneflow_sent(&f, 1000);
    ag_laneflow_sent(&f, 1090); /* one more: the first still waits */
    CU_ASSERT(!ag_laneflow_is_silent(&f, 1100, 100));
    CU_ASSERT(ag_laneflow_is_silent(&f, 1101, 100));
    CU_ASSERT(!ag_laneflow_is_silent(&f, 1000000, 0));
    ag_laneflow_answered(&f, 1200, true);
    CU_ASSERT(!ag_laneflow_is_silent(&f, 1300, 100));
    CU_ASSERT(ag_laneflow_is_silent(&f, 1301, 100));
    ag_laneflow_answered(&f, 1400, false);
    CU_ASSERT(!ag_laneflow_is_silent(&f, 1000000, 100));
    ag_laneflow_sent(&f, 0); /* the clock's beginning is a time, too */
    CU_ASSERT(ag_laneflow_is_silent(&f, 200, 100));
}

/* A mean of what came while there was work; one long pause weighs little, a new pace is learnt. */
static void test_pace(void)
{
    struct ag_pace p = {0};
    uint64_t now = 5000000;

    ag_pace_came(&p, now, 1, true);
    CU_ASSERT_EQUAL(p.each_ns, 0);
    ag_pace_came(&p, now += 4000000, 4, true);
    CU_ASSERT_EQUAL(p.each_ns, 1000000);
    ag_pace_came(&p, now += 3000000, 1, true);
    CU_ASSERT_EQUAL(p.each_ns, 1400000);
    ag_pace_came(&p, now += 1400000, 1, false);
    ag_pace_came(&p, now += 90000000000, 1, true); /* nothing was asked in between */
    CU_ASSERT_EQUAL(p.each_ns, 1400000);
    for (int i = 0; i < 500; i++)
        ag_pace_came(&p, now += 1000000, 1, true);
    ag_pace_came(&p, now += 1000000000, 1, true);
    CU_ASSERT(p.each_ns > 1000000 && p.each_ns < 1120000);
    ag_pace_came(&p, now += 1000000000, 16, true);
    CU_ASSERT(p.each_ns < 3000000);
    for (int i = 0; i < 100; i++)
        ag_pace_came(&p, now += 150000000, 1, true);
    CU_ASSERT(p.each_ns > 75000000); /* a hundred signatures, and it is known */
    for (int i = 0; i < 500; i++)
        ag_pace_came(&p, now += 150000000, 1, true);
    CU_ASSERT(p.each_ns > 149000000 && p.each_ns <= 150000000);
}

/* One request at a time goes to see, at 250, 500, 1000, 2000, 2000 ms. */
static void test_trials(void)
{
    static const int64_t gaps[] = {250, 500, 1000, 2000, 2000};
    struct ag_laneflow f = {0};
    int64_t now = 1000, retry_ms;

    ag_laneflow_sent(&f, 10);
    CU_ASSERT_EQUAL(ag_laneflow_ask(&f, now, 0, 100, &retry_ms), AG_FLOW_SILENT);
    for (size_t i = 0; i < ROW_COUNT(gaps); i++) {
        CU_ASSERT_EQUAL(ag_laneflow_ask(&f, now + gaps[i] - 1, 0, 100, &retry_ms), AG_FLOW_SILENT);
        CU_ASSERT_EQUAL(retry_ms, 1);
        now += gaps[i];
        CU_ASSERT_EQUAL(ag_laneflow_ask(&f, now, 0, 100, &retry_ms), AG_FLOW_GO);
        CU_ASSERT_EQUAL(ag_laneflow_ask(&f, now, 0, 100, &retry_ms), AG_FLOW_SILENT);
    }
    ag_laneflow_answered(&f, now, false);
    CU_ASSERT_EQUAL(ag_laneflow_ask(&f, now, 0, 100, &retry_ms), AG_FLOW_GO);
    ag_laneflow_sent(&f, now);
    CU_ASSERT_EQUAL(ag_laneflow_ask(&f, now + 101, 0, 100, &retry_ms), AG_FLOW_SILENT);
    CU_ASSERT_EQUAL(retry_ms, AG_FLOW_AGAIN_MS); /* from the beginning */
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a wait that is too long", test_wait},
        {"silence", test_silence},
        {"trials", test_trials},
        {"pace", test_pace},
        CU_TEST_INFO_NULL,
    };

    return run_tests("laneflow", tests);
}
