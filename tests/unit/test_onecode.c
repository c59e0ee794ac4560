/* One-time codes: as they are shown, as they are typed, and for how long they hold. */
#include <string.h>

#include "agent/core/onecode.h"
#include "tests/support/rows.h"

static void test_made(void)
{
    static const uint8_t zero[AG_ONECODE_RANDOM],
        ones[AG_ONECODE_RANDOM] = {255, 255, 255, 255, 255, 255, 255};
    char code[AG_ONECODE_CHARS + 1], shown[AG_ONECODE_TEXT], back[AG_ONECODE_CHARS + 1];
    uint8_t random[AG_ONECODE_RANDOM] = {0};

    ag_onecode_make(zero, code);
    CU_ASSERT_STRING_EQUAL(code, "0000000000");
    ag_onecode_make(ones, code);
    CU_ASSERT_STRING_EQUAL(code, "ZZZZZZZZZZ");
    ag_onecode_show(code, shown);
    CU_ASSERT_STRING_EQUAL(shown, "ZZZZZ-ZZZZZ");
    for (unsigned i = 0; i < 50; i++) { /* each of the 50 bits counts */
        memset(random, 0, sizeof random);
        random[6 - i / 8] = (uint8_t)(1u << i % 8);
        ag_onecode_make(random, code);
        CU_ASSERT_STRING_NOT_EQUAL(code, "0000000000");
        ag_onecode_show(code, shown);
        CU_ASSERT_EQUAL(ag_onecode_read(antag_slice_of(shown), back, NULL), ANTAG_OK);
        CU_ASSERT_STRING_EQUAL(back, code);
    }
}

static void test_typed(void)
{
    static const struct {
        const char *name, *typed, *code; /* NULL: refused */
    } rows[] = {
        {"as shown", "7H3KD-9QWXT", "7H3KD9QWXT"},
        {"lower case", "7h3kd-9qwxt", "7H3KD9QWXT"},
        {"without the hyphen", "7H3KD9QWXT", "7H3KD9QWXT"},
        {"blanks", " 7H3KD 9QWXT ", "7H3KD9QWXT"},
        {"look-alikes", "oOiIlL1100", "0011111100"},
        {"a U", "7H3KD-9QWXU", NULL},
        {"too short", "7H3KD-9QWX", NULL},
        {"too long", "7H3KD-9QWXT0", NULL},
        {"nothing", "", NULL},
        {"hyphens alone", "----------", NULL},
        {"other letters", "7H3KD-9QWX\xc3\xa9", NULL},
        {"a line feed", "7H3KD-9QWXT\n", NULL},
        {"an exclamation mark", "7H3KD-9QWX!", NULL},
    };
    char code[AG_ONECODE_CHARS + 1];

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        enum antag_err err = ag_onecode_read(antag_slice_of(rows[i].typed), code, &fault);

        ROW_ASSERT(rows[i].name, err == (rows[i].code != NULL ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        if (rows[i].code != NULL)
            ROW_ASSERT(rows[i].name, strcmp(code, rows[i].code) == 0);
        else
            ROW_ASSERT(rows[i].name, strstr(fault.text, "7H3KD-9QWXT") != NULL); /* the example */
    }
    CU_ASSERT_EQUAL(
        ag_onecode_read((struct antag_slice){(const uint8_t *)"7H3KD-9QWX\0T", 12}, code, NULL),
        ANTAG_ERR_BAD_PARAM);
}

/* Of both clocks the stricter one. */
static void test_holds(void)
{
    const int64_t min = 60000;
    static const struct {
        const char *name;
        bool sent;
        int64_t wall_min, observed_min; /* since it was made; sent one minute after that */
        bool holds;
    } rows[] = {
        {"fresh", true, 1, 1, true},
        {"the last minute", true, 15, 15, true},
        {"over", true, 16, 16, false},
        {"the agent was down", true, 16, 1, false},
        {"the clock was set back", true, -600, 16, false},
        {"the clock was set back, and it is fresh", true, -600, 2, true},
        {"not known to be sent", false, 60, 60, true},
        {"not known to be sent, for a day", false, 24 * 60, 60, false},
        {"the same by running time", false, 60, 24 * 60, false},
    };
    struct ag_onecode_time made = {1000000000, 5000};

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_onecode_time sent = {made.wall + min, made.observed + min}, none = {0, 0};
        struct ag_onecode_time now = {made.wall + rows[i].wall_min * min,
                                      made.observed + rows[i].observed_min * min};

        ROW_ASSERT(rows[i].name,
                   ag_onecode_holds(made, rows[i].sent ? sent : none, now) == rows[i].holds);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"made", test_made},
        {"typed", test_typed},
        {"holds", test_holds},
        CU_TEST_INFO_NULL,
    };

    return run_tests("onecode", tests);
}
