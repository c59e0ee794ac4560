/* What antomctl prints for people: clean text, widths, times, tables. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/antomctl/print.h"
#include "tests/support/rows.h"

static const struct {
    const char *name, *text;
    size_t len; /* 0: strlen */
    const char *clean;
    size_t columns;
} texts[] = {
    {"empty", "", 0, "", 0},
    {"plain", "shop/sandbox", 0, "shop/sandbox", 12},
    {"colour", "\033[31mred\033[0m", 0, "\\x1b[31mred\\x1b[0m", 18},
    {"bell and backspace", "a\a\b", 0, "a\\x07\\x08", 9},
    {"line ends", "a\nb\r\nc\td", 0, "a\\nb\\r\\nc\\td", 12},
    {"NUL", "a\0b", 3, "a\\x00b", 6},
    {"delete", "\x7f", 0, "\\x7f", 4},
    {"C1 control",
     "\xc2\x9b"
     "31m",
     0, "\\u009b31m", 9},
    {"right to left override",
     "a\xe2\x80\xae"
     "b",
     0, "a\\u202eb", 8},
    {"zero width",
     "a\xe2\x80\x8b"
     "b",
     0, "a\\u200bb", 8},
    {"line separator", "\xe2\x80\xa8", 0, "\\u2028", 6},
    {"byte order mark", "\xef\xbb\xbf", 0, "\\ufeff", 6},
    {"Chinese", "\xe4\xbd\x99\xe9\xa2\x9d", 0, "\xe4\xbd\x99\xe9\xa2\x9d", 4},
    {"emoji", "\xf0\x9f\x99\x82", 0, "\xf0\x9f\x99\x82", 2},
    {"combining", "e\xcc\x81", 0, "e\xcc\x81", 1},
    {"accent", "caf\xc3\xa9", 0, "caf\xc3\xa9", 4},
    {"lone continuation", "\x80", 0, "\\x80", 4},
    {"cut two", "\xc3", 0, "\\xc3", 4},
    {"cut three", "\xe4\xbd", 0, "\\xe4\\xbd", 8},
    {"cut four", "\xf0\x9f\x99", 0, "\\xf0\\x9f\\x99", 12},
    {"too long a form", "\xc0\xaf", 0, "\\xc0\\xaf", 8},
    {"surrogate", "\xed\xa0\x80", 0, "\\xed\\xa0\\x80", 12},
    {"over the last", "\xf4\x90\x80\x80", 0, "\\xf4\\x90\\x80\\x80", 16},
    {"no such head", "\xff", 0, "\\xff", 4},
    {"tag", "\xf3\xa0\x81\x81", 0, "\\ue0041", 7},
};

static void test_clean(void)
{
    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        size_t len = texts[i].len > 0 ? texts[i].len : strlen(texts[i].text);
        char *clean = ctl_clean(texts[i].text, len);

        ROW_ASSERT(texts[i].name, strcmp(clean, texts[i].clean) == 0);
        ROW_ASSERT(texts[i].name, ctl_columns(clean) == texts[i].columns);
        free(clean);
    }
}

static void test_clean_lines(void)
{
    char *clean = ctl_clean_lines("a\nb\033\r\n", 6);

    CU_ASSERT_STRING_EQUAL(clean, "a\nb\\x1b\\r\n");
    free(clean);
}

static const struct {
    const char *text;
    size_t columns, len;
} fits[] = {
    {"", 10, 0},        {"abc", 10, 3},      {"abc", 3, 3},          {"abc", 2, 2},
    {"abc", 0, 1},      {"ab cd", 4, 2},     {"ab cd", 2, 2},        {"ab cd", 5, 5},
    {"ab cd ef", 6, 5}, {"abcdef gh", 4, 4}, {"\xe4\xbd\x99", 1, 3}, {"a\xe4\xbd\x99", 2, 1},
};

static void test_fit(void)
{
    for (size_t i = 0; i < ROW_COUNT(fits); i++)
        ROW_ASSERT(fits[i].text, ctl_fit(fits[i].text, fits[i].columns) == fits[i].len);
}

static const struct {
    const char *name;
    int64_t at_ms, now_ms;
    const char *text;
} times[] = {
    {"now", 1700000000000, 1700000000999, "2023-11-14 22:13:20+00:00 (now)"},
    {"seconds", 1700000000000, 1700000119000, "2023-11-14 22:13:20+00:00 (119 s ago)"},
    {"minutes", 1700000000000, 1700000120000, "2023-11-14 22:13:20+00:00 (2 min ago)"},
    {"hours", 1700000000000, 1700007200000, "2023-11-14 22:13:20+00:00 (2 h ago)"},
    {"days", 1700000000000, 1700172800000, "2023-11-14 22:13:20+00:00 (2 days ago)"},
    {"to come", 1700000060000, 1700000000000, "2023-11-14 22:14:20+00:00 (in 60 s)"},
    {"to come, days", 1702592000000, 1700000000000, "2023-12-14 22:13:20+00:00 (in 30 days)"},
    {"epoch", 0, 1000, "1970-01-01 00:00:00+00:00 (1 s ago)"},
    {"before", -1, 0, "-1 ms"},
    {"no such year", INT64_MAX, 0, "9223372036854775807 ms"},
};

static void test_times(void)
{
    for (size_t i = 0; i < ROW_COUNT(times); i++) {
        char text[CTL_TIME_MAX];

        ctl_time_text(times[i].at_ms, times[i].now_ms, text);
        ROW_ASSERT(times[i].name, strcmp(text, times[i].text) == 0);
    }
}

static const struct {
    int64_t ms;
    const char *text;
} durations[] = {
    {0, "0 ms"},        {1, "1 ms"},           {1000, "1 s"},
    {1500, "1500 ms"},  {900000, "15 min"},    {90000000, "25 h"},
    {86400000, "24 h"}, {172800000, "2 days"}, {2592000000, "30 days"},
};

static void test_durations(void)
{
    for (size_t i = 0; i < ROW_COUNT(durations); i++) {
        char text[CTL_TIME_MAX];

        ctl_duration_text(durations[i].ms, text);
        ROW_ASSERT(durations[i].text, strcmp(text, durations[i].text) == 0);
    }
}

/* A table of one row as text, which the caller frees. */
static char *table_text(const char *const *heads, const char *const *cells, size_t cols)
{
    struct ctl_table *t = ctl_table_new(heads, cols);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    CU_ASSERT_FATAL(out != NULL);
    for (size_t i = 0; i < cols; i++)
        ctl_table_add(t, cells[i], CTL_GOOD);
    ctl_table_print(t, out, false);
    fclose(out);
    ctl_table_free(t);
    return text;
}

static void test_table(void)
{
    static const char *const heads[] = {"A", "LONGER"};
    static const char *const cells[] = {"shop/live", "x\ny"};
    char *text = table_text(heads, cells, 2);

    CU_ASSERT_STRING_EQUAL(text, "A          LONGER\nshop/live  x\\ny\n");
    free(text);
}

/* However long the cells are: no line over the width, and not a character lost. */
static void test_wide_table(void)
{
    static const char *const heads[] = {"A", "B", "C"};
    static char longest[3][700];
    const char *cells[3];
    size_t count[128] = {0}, width = 0;
    char *text;

    for (size_t i = 0; i < 3; i++) {
        memset(longest[i], 'x' + (int)i, sizeof longest[i] - 1);
        longest[i][100] = ' ';
        cells[i] = longest[i];
    }
    text = table_text(heads, cells, 3);
    for (const char *p = text; *p != '\0'; p++) {
        count[(unsigned char)*p & 127]++;
        width = *p == '\n' ? 0 : width + 1;
        CU_ASSERT(width <= CTL_WIDTH);
        CU_ASSERT(*p != '\n' || p == text || p[-1] != ' ');
    }
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(count['x' + i], sizeof longest[i] - 2);
    free(text);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"clean text", test_clean},        {"clean lines", test_clean_lines},
        {"what fits", test_fit},           {"times", test_times},
        {"durations", test_durations},     {"a table", test_table},
        {"a wide table", test_wide_table}, CU_TEST_INFO_NULL,
    };

    setenv("TZ", "UTC", 1);
    tzset();
    return run_tests("cli_print", tests);
}
