/* When the end of a key's period comes, and which reminders are due. */
#include "agent/core/cryptoperiod.h"
#include "tests/support/rows.h"

#define DAY INT64_C(86400000)

static void test_due(void)
{
    static const struct {
        const char *name;
        int64_t left_ms;
        uint32_t due;
    } rows[] = {
        {"31 days", 31 * DAY, 0},
        {"30 days and a moment", 30 * DAY + 1, 0},
        {"30 days", 30 * DAY, 1},
        {"15 days", 15 * DAY, 1},
        {"14 days", 14 * DAY, 2},
        {"7 days", 7 * DAY, 3},
        {"6 days", 6 * DAY, 3},
        {"a day", DAY, 4},
        {"a moment", 1, 4},
        {"the end", 0, 5},
        {"a year over", -365 * DAY, 5},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++)
        ROW_ASSERT(rows[i].name,
                   ag_cryptoperiod_due(1000 * DAY, 1000 * DAY - rows[i].left_ms) == rows[i].due);
}

static void test_end(void)
{
    CU_ASSERT_EQUAL(ag_cryptoperiod_end(5, 0), 5 + 365 * DAY);
    CU_ASSERT_EQUAL(ag_cryptoperiod_end(5, 1), 5 + DAY);
    CU_ASSERT_EQUAL(ag_cryptoperiod_end(0, AG_CRYPTOPERIOD_DAYS_MAX), 3650 * DAY);
}

int main(void)
{
    CU_TestInfo tests[] = {{"due", test_due}, {"end", test_end}, CU_TEST_INFO_NULL};

    return run_tests("cryptoperiod", tests);
}
