/* Pauses between attempts, and what they make of a mail server that is down for an hour. */
#include "agent/core/backoff.h"
#include "tests/support/rows.h"

#define MINUTE INT64_C(60000)

static void test_pauses(void)
{
    static const struct {
        const char *name;
        int64_t first;
        uint32_t attempts;
        int64_t max, ms;
    } rows[] = {
        {"the first", 15000, 1, 30 * MINUTE, 15000},
        {"the second", 15000, 2, 30 * MINUTE, 30000},
        {"the seventh", 15000, 7, 30 * MINUTE, 960000},
        {"the eighth, at the limit", 15000, 8, 30 * MINUTE, 30 * MINUTE},
        {"for ever", 15000, UINT32_MAX, 30 * MINUTE, 30 * MINUTE},
        {"longer than the limit from the start", 3600000, 1, 30 * MINUTE, 30 * MINUTE},
        {"none yet", 15000, 0, 30 * MINUTE, 15000},
        {"no overflow", INT64_MAX / 2, 9, INT64_MAX, INT64_MAX},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++)
        ROW_ASSERT(rows[i].name,
                   ag_backoff_ms(rows[i].first, rows[i].attempts, rows[i].max) == rows[i].ms);
}

/* A server that is down for an hour is asked eight times in it, and a mail is out within half an hour after. */
static void test_an_hour(void)
{
    int64_t now = 0, at_most = 30 * MINUTE;
    uint32_t attempts = 0;

    while (now < 60 * MINUTE)
        now += ag_backoff_ms(15000, ++attempts, at_most);
    CU_ASSERT_EQUAL(attempts, 8);
    CU_ASSERT_TRUE(now < 60 * MINUTE + at_most);
}

int main(void)
{
    CU_TestInfo tests[] = {{"pauses", test_pauses}, {"an hour", test_an_hour}, CU_TEST_INFO_NULL};

    return run_tests("backoff", tests);
}
