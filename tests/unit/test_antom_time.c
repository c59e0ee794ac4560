/* Times in all forms that Antom and its SDKs write, and the age of messages. */
#include <inttypes.h>
#include <string.h>

#include "agent/core/antom.h"
#include "tests/support/rows.h"

#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static const struct {
    const char *name;
    struct antag_slice text;
    int64_t at_ms;
} good_rows[] = {
    {"milliseconds", S("1685599933871"), INT64_C(1685599933871)},
    {"seconds", S("1685599933"), INT64_C(1685599933000)},
    {"microseconds", S("1685599933871999"), INT64_C(1685599933871)},
    {"nanoseconds (old Go)", S("1685599933871000000"), INT64_C(1685599933871)},
    {"zero", S("0000000000000"), 0},
    {"largest seconds", S("9999999999"), INT64_C(9999999999000)},
    {"largest nanoseconds", S("9999999999999999999"), INT64_C(9999999999999)},
    {"documentation before 2023", S("2019-05-28T12:12:12+08:00"), INT64_C(1559016732000)},
    {"Python", S("2024-11-22T21:52:25+00:00"), INT64_C(1732312345000)},
    {"PHP", S("2024-11-22T21:52:25+0000"), INT64_C(1732312345000)},
    {".NET", S("2024-11-22T21:52:25.1234567Z"), INT64_C(1732312345123)},
    {"half an hour", S("2019-07-12T12:08:56+05:30"), INT64_C(1562913536000)},
    {"west", S("2024-11-22T13:52:25-0800"), INT64_C(1732312345000)},
    {"Z", S("2024-11-22T21:52:25Z"), INT64_C(1732312345000)},
    {"one digit of fraction", S("2024-11-22T21:52:25.1Z"), INT64_C(1732312345100)},
    {"two digits of fraction", S("2024-11-22T21:52:25.12Z"), INT64_C(1732312345120)},
    {"nine digits of fraction", S("2024-11-22T21:52:25.123999999+00:00"), INT64_C(1732312345123)},
    {"epoch", S("1970-01-01T00:00:00Z"), 0},
    {"before the epoch", S("1969-12-31T23:59:59.999Z"), -1},
    {"epoch by its zone", S("1970-01-01T05:30:00+05:30"), 0},
    {"29 February of a leap year", S("2024-02-29T00:00:00Z"), INT64_C(1709164800000)},
    {"29 February 2000", S("2000-02-29T00:00:00Z"), INT64_C(951782400000)},
    {"first instant", S("0000-01-01T00:00:00Z"), INT64_C(-62167219200000)},
    {"last instant", S("9999-12-31T23:59:59Z"), INT64_C(253402300799000)},
    {"leap second", S("2016-12-31T23:59:60Z"), INT64_C(1483228799000)},
    {"leap second in its zone", S("2017-01-01T08:59:60+09:00"), INT64_C(1483228799000)},
    {"largest zone", S("2024-11-22T21:52:25+23:59"), INT64_C(1732312345000) - 86340000},
    {"minus zero", S("2024-11-22T21:52:25-00:00"), INT64_C(1732312345000)},
};

static void test_good(void)
{
    for (size_t i = 0; i < ROW_COUNT(good_rows); i++) {
        int64_t at_ms = 1;

        ROW_ASSERT(good_rows[i].name,
                   ag_antom_time_parse(good_rows[i].text, &at_ms, NULL) == ANTAG_OK);
        ROW_ASSERT(good_rows[i].name, at_ms == good_rows[i].at_ms);
    }
}

static const struct {
    const char *name;
    struct antag_slice text;
} bad_rows[] = {
    {"empty", {NULL, 0}},
    {"9 digits", S("168559993")},
    {"11 digits", S("16855999338")},
    {"12 digits", S("168559993387")},
    {"14 digits", S("16855999338711")},
    {"20 digits", S("16855999338710000000")},
    {"sign", S("-685599933871")},
    {"plus", S("+685599933871")},
    {"blank before", S(" 685599933871")},
    {"blank behind", S("168559993387 ")},
    {"line feed behind", S("1685599933871\n")},
    {"NUL behind", S("1685599933871\0")},
    {"NUL inside", S("168559993\0871")},
    {"hexadecimal", S("0x85599933871")},
    {"exponent", S("1685599933e71")},
    {"fraction of seconds", S("1685599933.871")},
    {"digits with a comma", S("1685599933,87")},
    {"no zone", S("2024-11-22T21:52:25")},
    {"no zone behind a fraction", S("2024-11-22T21:52:25.123")},
    {"empty fraction", S("2024-11-22T21:52:25.Z")},
    {"ten digits of fraction", S("2024-11-22T21:52:25.1234567890Z")},
    {"comma fraction", S("2024-11-22T21:52:25,123Z")},
    {"two fractions", S("2024-11-22T21:52:25.1.2Z")},
    {"hours only in the zone", S("2024-11-22T21:52:25+08")},
    {"three digits in the zone", S("2024-11-22T21:52:25+080")},
    {"three digits and a colon in the zone", S("2024-11-22T21:52:25+08:0")},
    {"24 hours in the zone", S("2024-11-22T21:52:25+24:00")},
    {"60 minutes in the zone", S("2024-11-22T21:52:25+08:60")},
    {"zone behind Z", S("2024-11-22T21:52:25Z+08:00")},
    {"body behind Z", S("2024-11-22T21:52:25Z.{}")},
    {"blank before the zone", S("2024-11-22T21:52:25 +08:00")},
    {"space for plus", S("2024-11-22T21:52:25 08:00")},
    {"blank for T", S("2024-11-22 21:52:25Z")},
    {"small t", S("2024-11-22t21:52:25Z")},
    {"small z", S("2024-11-22T21:52:25z")},
    {"basic form", S("20241122T215225Z")},
    {"two-digit year", S("24-11-22T21:52:25Z")},
    {"month 0", S("2024-00-22T21:52:25Z")},
    {"month 13", S("2024-13-22T21:52:25Z")},
    {"day 0", S("2024-11-00T21:52:25Z")},
    {"31 November", S("2024-11-31T21:52:25Z")},
    {"32 January", S("2024-01-32T21:52:25Z")},
    {"30 February", S("2024-02-30T21:52:25Z")},
    {"29 February 2023", S("2023-02-29T21:52:25Z")},
    {"29 February 1900", S("1900-02-29T21:52:25Z")},
    {"hour 24", S("2024-11-22T24:00:00Z")},
    {"minute 60", S("2024-11-22T21:60:25Z")},
    {"second 61", S("2024-11-22T21:52:61Z")},
    {"full-width digit", S("2024-11-22T21:52:2\xef\xbc\x95Z")},
    {"HTTP date", S("Fri, 22 Nov 2024 21:52:25 GMT")},
    {"over the maximum", S("2024-11-22T21:52:25.123456789+08:000000000")},
};

static void test_bad(void)
{
    for (size_t i = 0; i < ROW_COUNT(bad_rows); i++) {
        struct antag_fault fault = {0};
        int64_t at_ms = 77;

        ROW_ASSERT(bad_rows[i].name,
                   ag_antom_time_parse(bad_rows[i].text, &at_ms, &fault) == ANTAG_ERR_TIME_FORM);
        ROW_ASSERT(bad_rows[i].name, at_ms == 77);
        ROW_ASSERT(bad_rows[i].name, fault.err == ANTAG_ERR_TIME_FORM);
        ROW_ASSERT(bad_rows[i].name, strstr(fault.text, "allowed") != NULL);
    }
}

/* Every prefix of a good text is refused, but where its length makes it digits of another unit. */
static void test_prefixes(void)
{
    static const struct antag_slice whole = S("2024-11-22T21:52:25.123456789+08:00");
    static const struct antag_slice digits = S("1685599933871000000");
    int64_t at_ms;

    for (size_t len = 0; len < whole.len; len++)
        CU_ASSERT_EQUAL(ag_antom_time_parse((struct antag_slice){whole.p, len}, &at_ms, NULL),
                        ANTAG_ERR_TIME_FORM);
    for (size_t len = 0; len < digits.len; len++) {
        bool unit = len == 10 || len == 13 || len == 16;

        CU_ASSERT_EQUAL(ag_antom_time_parse((struct antag_slice){digits.p, len}, &at_ms, NULL),
                        unit ? ANTAG_OK : ANTAG_ERR_TIME_FORM);
    }
}

static void test_render(void)
{
    static const struct {
        const char *name;
        int64_t at_ms;
        const char *text;
    } rows[] = {
        {"today", INT64_C(1685599933871), "1685599933871"},
        {"zero", 0, "0000000000000"},
        {"twelve digits", INT64_C(999999999999), "0999999999999"},
        {"largest of 13 digits", INT64_C(9999999999999), "9999999999999"},
    };
    char text[ANTAG_TIME_MAX];

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        int64_t back = -1;

        ag_antom_time_render(rows[i].at_ms, text);
        ROW_ASSERT(rows[i].name, strcmp(text, rows[i].text) == 0);
        ROW_ASSERT(rows[i].name,
                   ag_antom_time_parse(antag_slice_of(text), &back, NULL) == ANTAG_OK);
        ROW_ASSERT(rows[i].name, back == rows[i].at_ms);
    }
    ag_antom_time_render(INT64_MIN, text); /* absurd, but held by its buffer */
    CU_ASSERT_EQUAL(strlen(text), 20);
}

static void test_age(void)
{
    static const int64_t now = INT64_C(1732312345000), min15 = 900000, min5 = 300000;
    const struct {
        const char *name;
        int64_t now, at, max_age, skew;
        enum antag_err err;
    } rows[] = {
        {"now", now, now, min15, min5, ANTAG_OK},
        {"as old as allowed", now, now - min15, min15, min5, ANTAG_OK},
        {"1 ms older", now, now - min15 - 1, min15, min5, ANTAG_ERR_TOO_OLD},
        {"as far ahead as allowed", now, now + min5, min15, min5, ANTAG_OK},
        {"1 ms further", now, now + min5 + 1, min15, min5, ANTAG_ERR_IN_THE_FUTURE},
        {"any age", now, 0, 0, min5, ANTAG_OK},
        {"any age, but the future", now, now + min5 + 1, 0, min5, ANTAG_ERR_IN_THE_FUTURE},
        {"no skew checked", now, now + 86400000, min15, 0, ANTAG_OK},
        {"no skew checked, but age", now, now - min15 - 1, min15, 0, ANTAG_ERR_TOO_OLD},
        {"nothing checked", now, INT64_MIN, 0, 0, ANTAG_OK},
        {"first instant", now, INT64_MIN, min15, min5, ANTAG_ERR_TOO_OLD},
        {"last instant", now, INT64_MAX, min15, min5, ANTAG_ERR_IN_THE_FUTURE},
        {"extremes", INT64_MAX, INT64_MIN, min15, min5, ANTAG_ERR_TOO_OLD},
        {"extremes turned", INT64_MIN, INT64_MAX, min15, min5, ANTAG_ERR_IN_THE_FUTURE},
        {"smallest age", now, now - 1, 1, min5, ANTAG_OK},
        {"over the smallest age", now, now - 2, 1, min5, ANTAG_ERR_TOO_OLD},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};

        ROW_ASSERT(rows[i].name, ag_antom_check_age(rows[i].now, rows[i].at, rows[i].max_age,
                                                    rows[i].skew, &fault) == rows[i].err);
    }
}

static void test_age_names_both(void)
{
    struct antag_fault fault = {0};

    CU_ASSERT_EQUAL(
        ag_antom_check_age(INT64_C(1732312345000), INT64_C(951782400001), 900000, 300000, &fault),
        ANTAG_ERR_TOO_OLD);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "2024-11-22T21:52:25.000Z"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "2000-02-29T00:00:00.001Z"));
    CU_ASSERT_EQUAL(ag_antom_check_age(-1, INT64_C(253402300799000), 900000, 300000, &fault),
                    ANTAG_ERR_IN_THE_FUTURE);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "1969-12-31T23:59:59.999Z"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "9999-12-31T23:59:59.000Z"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"forms taken", test_good},  {"forms refused", test_bad},
        {"prefixes", test_prefixes}, {"render", test_render},
        {"age", test_age},           {"an age refused names both times", test_age_names_both},
        CU_TEST_INFO_NULL,
    };

    return run_tests("antom_time", tests);
}
