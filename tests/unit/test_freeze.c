/* Periods without cut-overs. */
#include <string.h>

#include "agent/core/freeze.h"
#include "tests/support/rows.h"

static void test_texts(void)
{
    static const struct {
        const char *name, *text;
        int count; /* -1: refused */
        const char *says;
    } rows[] = {
        {"none", "", 0, NULL},
        {"blank", "   ", 0, NULL},
        {"one", "black-friday 2026-11-26/2026-12-01", 1, NULL},
        {"two", "a 2026-11-26/2026-12-01 , b 2026-12-20/2027-01-02T06:00:00Z", 2, NULL},
        {"no name", "2026-11-26/2026-12-01", -1, "NAME FROM/UNTIL"},
        {"no end", "a 2026-11-26", -1, "NAME FROM/UNTIL"},
        {"backwards", "a 2026-12-01/2026-11-26", -1, "ends before"},
        {"empty", "a 2026-12-01/2026-12-01", -1, "ends before"},
        {"no such day", "a 2026-02-30/2026-03-01", -1, "NAME FROM/UNTIL"},
        {"digits", "a 1700000000000/1700000000001", -1, "NAME FROM/UNTIL"},
        {"ten digits", "a 1700000000/1700000001", -1, "NAME FROM/UNTIL"},
        {"upper case", "Friday 2026-11-26/2026-12-01", -1, "a-z"},
        {"an empty one", "a 2026-11-26/2026-12-01,,", -1, "NAME FROM/UNTIL"},
        {"long name", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 2026-11-26/2026-12-01", -1, "31"},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_freezes fs;
        struct antag_fault f = {0};
        enum antag_err err = ag_freezes_parse(antag_slice_of(rows[i].text), &fs, &f);

        ROW_ASSERT(rows[i].name, err == (rows[i].count < 0 ? ANTAG_ERR_CONF : ANTAG_OK));
        ROW_ASSERT(rows[i].name, rows[i].count < 0 || (int)fs.count == rows[i].count);
        ROW_ASSERT(rows[i].name, rows[i].says == NULL || strstr(f.text, rows[i].says) != NULL);
    }
}

static void test_many(void)
{
    char text[1024] = "";
    struct ag_freezes fs;

    for (int i = 0; i < AG_FREEZES_MAX; i++)
        strcat(text, i == 0 ? "a 2026-11-26/2026-11-27" : ",a 2026-11-26/2026-11-27");
    CU_ASSERT_EQUAL(ag_freezes_parse(antag_slice_of(text), &fs, NULL), ANTAG_OK);
    strcat(text, ",a 2026-11-26/2026-11-27");
    CU_ASSERT_EQUAL(ag_freezes_parse(antag_slice_of(text), &fs, NULL), ANTAG_ERR_CONF);
}

static void test_times(void)
{
    struct ag_freezes fs;
    const int64_t day = 86400000, from = INT64_C(1795651200000); /* 2026-11-26T00:00:00Z */

    CU_ASSERT_EQUAL_FATAL(
        ag_freezes_parse(antag_slice_of("a 2026-11-26/2026-11-28,b 2026-11-27/2026-11-29"), &fs,
                         NULL),
        ANTAG_OK);
    CU_ASSERT_PTR_NULL(ag_freezes_at(&fs, from - 1));
    CU_ASSERT_PTR_EQUAL(ag_freezes_at(&fs, from), &fs.v[0]);
    CU_ASSERT_PTR_EQUAL(ag_freezes_at(&fs, from + day), &fs.v[1]);
    CU_ASSERT_PTR_EQUAL(ag_freezes_at(&fs, from + 3 * day - 1), &fs.v[1]);
    CU_ASSERT_PTR_NULL(ag_freezes_at(&fs, from + 3 * day));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"texts", test_texts},
        {"many", test_many},
        {"times", test_times},
        CU_TEST_INFO_NULL,
    };

    return run_tests("freeze", tests);
}
