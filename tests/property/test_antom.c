/* What holds for every message: its parts read back from the string to sign in one way only, texts read
 * back what they were made of, a derived path stays what it is. */
#include <inttypes.h>
#include <string.h>

#include "agent/core/antom.h"
#include "tests/support/dice.h"
#include "tests/support/rows.h"

#define ROUNDS 3000

static char text_of[256];

static struct antag_slice pick(const char *letters, const char *first, size_t min, size_t max,
                               char *out)
{
    size_t len = min + dice_below(max - min + 1), at = strlen(first);

    memcpy(out, first, at);
    while (at < len)
        out[at++] = letters[dice_below(strlen(letters))];
    return (struct antag_slice){(const uint8_t *)out, at};
}

/* A time in any of the forms, of the years 0 to 9999. */
static struct antag_slice pick_time(char *out)
{
    static const char *const zones[] = {"Z", "+00:00", "+0530", "-08:00", "+2359"};
    static const size_t units[] = {10, 13, 16, 19};
    size_t at;

    if (dice_below(2) == 0) {
        size_t len = units[dice_below(4)];

        return pick("0123456789", "1", len, len, out);
    }
    at = (size_t)sprintf(out, "%04zu-%02zu-%02zuT%02zu:%02zu:%02zu", dice_below(10000),
                         1 + dice_below(12), 1 + dice_below(28), dice_below(24), dice_below(60),
                         dice_below(61));
    if (dice_below(2) == 0)
        at += (size_t)sprintf(out + at, ".%0*zu", (int)(1 + dice_below(9)), dice_below(10));
    at += (size_t)sprintf(out + at, "%s", zones[dice_below(5)]);
    return (struct antag_slice){(const uint8_t *)out, at};
}

/* Everything in front of a body, and the body: read it as METHOD SP URI LF ID . TIME . BODY with every
 * choice of separators and count the readings whose parts have their forms. */
static size_t readings(const uint8_t *p, size_t len)
{
    size_t count = 0;

    for (size_t sp = 0; sp < len; sp++) {
        if (p[sp] != ' ' || ag_antom_check_method((struct antag_slice){p, sp}, NULL) != ANTAG_OK)
            continue;
        for (size_t lf = sp + 1; lf < len; lf++) {
            struct antag_slice uri = {p + sp + 1, lf - sp - 1};

            if (p[lf] != '\n' || ag_antom_check_uri(uri, NULL) != ANTAG_OK)
                continue;
            for (size_t dot = lf + 1; dot < len; dot++) {
                struct antag_slice id = {p + lf + 1, dot - lf - 1};

                if (p[dot] != '.' || ag_antom_check_client_id(id, NULL) != ANTAG_OK)
                    continue;
                for (size_t end = dot + 1; end < len; end++) {
                    struct antag_slice time = {p + dot + 1, end - dot - 1};
                    int64_t at_ms;

                    count += p[end] == '.' && ag_antom_time_parse(time, &at_ms, NULL) == ANTAG_OK;
                }
            }
        }
    }
    return count;
}

static void test_one_reading(void)
{
    static const char letters[] = "abcXYZ019_-";
    static const char traps[] =
        "0123456789.:-+TZ \n/ABPOST{}"; /* what separators and times are of */

    for (int i = 0; i < ROUNDS; i++) {
        char method[32], uri[64], id[32], time[64], body[64], name[600];
        struct ag_antom_prefix prefix;
        struct antag_slice rest = pick(traps, "", 0, 40, body);
        enum antag_err err = ag_antom_prefix_render(
            pick("ABPOST", "", 1, 8, method), pick("/abc.019?=&%", "/", 1, 30, uri),
            pick(letters, "", 1, 20, id), pick_time(time), &prefix);

        CU_ASSERT_EQUAL_FATAL(err, ANTAG_OK);
        memcpy(prefix.text + prefix.len, rest.p, rest.len); /* short parts: there is room */
        if (readings(prefix.text, prefix.len + rest.len) == 1)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(prefix.len + rest.len), (char *)prefix.text);
        ROW_ASSERT(name, false);
    }
}

static void test_signature_back(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t raw[ANTAG_SIG_MAX];
        char text[AG_ANTOM_SIG_TEXT_MAX], version[16];
        struct ag_antom_signature back;
        uint32_t key_version = (uint32_t)dice();
        size_t len = 1 + dice_below(sizeof raw);
        bool ok;

        for (size_t j = 0; j < len; j++)
            raw[j] = (uint8_t)dice();
        ag_antom_signature_render(key_version, (struct antag_slice){raw, len}, text);
        snprintf(version, sizeof version, "%" PRIu32, key_version);
        ok = ag_antom_signature_parse(antag_slice_of(text), &back, NULL) == ANTAG_OK &&
             back.len == len && memcmp(back.raw, raw, len) == 0 &&
             strcmp(back.key_version, version) == 0;
        if (!ok)
            ROW_ASSERT(text, ok);
    }
}

/* One byte of a good header changed: it is refused, or it reads as something of a possible length. */
static void test_signature_bent(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t raw[256];
        char text[AG_ANTOM_SIG_TEXT_MAX];
        struct ag_antom_signature back;

        for (size_t j = 0; j < sizeof raw; j++)
            raw[j] = (uint8_t)dice();
        ag_antom_signature_render(1, (struct antag_slice){raw, sizeof raw}, text);
        text[dice_below(strlen(text))] = (char)(1 + dice_below(255));
        if (ag_antom_signature_parse(antag_slice_of(text), &back, NULL) != ANTAG_OK)
            continue;
        if (back.len == 0 || back.len > ANTAG_SIG_MAX)
            ROW_ASSERT(text, false);
    }
}

static void test_time_back(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        int64_t at_ms = (int64_t)(dice() % UINT64_C(10000000000000)), back = -1;
        char text[ANTAG_TIME_MAX];

        ag_antom_time_render(at_ms, text);
        if (ag_antom_time_parse(antag_slice_of(text), &back, NULL) != ANTAG_OK || back != at_ms)
            ROW_ASSERT(text, false);
    }
}

/* Later texts of one form are later instants: the calendar has no gaps and no turns. */
static void test_calendar(void)
{
    int64_t before = INT64_MIN, at_ms;
    char text[64];

    for (int year = 0; year <= 9999; year++) {
        for (int month = 1; month <= 12; month++) {
            for (int day = 27; day <= 32; day++) {
                snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00Z", year, month, day);
                if (ag_antom_time_parse(antag_slice_of(text), &at_ms, NULL) != ANTAG_OK)
                    continue; /* this month has no such day */
                if (day > 27 && at_ms - before != INT64_C(86400000))
                    ROW_ASSERT(text, false);
                if (day == 27 && before != INT64_MIN && at_ms - before != 27 * INT64_C(86400000))
                    ROW_ASSERT(text, false);
                before = at_ms;
            }
        }
    }
    CU_ASSERT_EQUAL(before, INT64_C(253402214400000)); /* 9999-12-31 */
}

/* Random paths of the pieces that matter. */
static struct antag_slice pick_uri(void)
{
    static const char *const pieces[] = {"/ams", "/sandbox", "/api",       "/v1",
                                         "/",    "s",        "?x=/ams/api"};
    size_t at = 0;

    text_of[at++] = '/';
    for (size_t n = dice_below(8); n > 0; n--)
        at += (size_t)sprintf(text_of + at, "%s", pieces[dice_below(7)]);
    return (struct antag_slice){(const uint8_t *)text_of, at};
}

static void test_paths(void)
{
    for (int i = 0; i < ROUNDS * 10; i++) {
        char once[ANTAG_URI_MAX + 16], twice[ANTAG_URI_MAX + 16];
        struct antag_slice uri = pick_uri(), derived;
        size_t once_len, twice_len;
        bool in_sandbox, in_live;

        CU_ASSERT_EQUAL_FATAL(
            ag_antom_uri_derive(AG_ENV_SANDBOX, uri, once, sizeof once, &once_len, NULL), ANTAG_OK);
        derived = (struct antag_slice){(const uint8_t *)once, once_len};
        CU_ASSERT_EQUAL_FATAL(
            ag_antom_uri_derive(AG_ENV_SANDBOX, derived, twice, sizeof twice, &twice_len, NULL),
            ANTAG_OK);
        if (once_len != twice_len || memcmp(once, twice, once_len) != 0)
            ROW_ASSERT(text_of, false); /* derived twice is derived once */
        in_sandbox = ag_antom_fence(AG_ENV_SANDBOX, derived, false, NULL) == ANTAG_OK;
        in_live = ag_antom_fence(AG_ENV_LIVE, derived, false, NULL) == ANTAG_OK;
        if (in_sandbox && in_live)
            ROW_ASSERT(text_of, false); /* no path is on both sides */
    }
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"a string to sign reads in one way", test_one_reading},
        {"a signature reads back", test_signature_back},
        {"a bent header", test_signature_bent},
        {"a time reads back", test_time_back},
        {"the calendar", test_calendar},
        {"paths", test_paths},
        CU_TEST_INFO_NULL,
    };

    dice_seed(argc, argv);
    return run_tests("antom", tests);
}
