/* The status table and the faults made from it; slices. */
#include <string.h>

#include "antag/status.h"
#include "antag/types.h"
#include "tests/support/rows.h"

static const struct {
    int number;
    const char *name;
    enum antag_class class;
    const char *sentence;
} table[] = {
#define ANTAG_ROW(name, number, class, text) {(number), #name, ANTAG_CLASS_##class, text},
    ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
};

static void test_table(void)
{
    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        enum antag_err err = (enum antag_err)table[i].number;
        const char *row = table[i].name;

        ROW_ASSERT(row, strcmp(antag_err_name(err), table[i].name) == 0);
        ROW_ASSERT(row, strcmp(antag_err_message(err), table[i].sentence) == 0);
        ROW_ASSERT(row, antag_err_class(err) == table[i].class);
        ROW_ASSERT(row, antag_err_is_known((uint64_t)table[i].number));
        /* clients that do not know a number go by its hundreds, so these must agree */
        ROW_ASSERT(row, table[i].number / 100 == (int)table[i].class);
        ROW_ASSERT(row, table[i].sentence[strlen(table[i].sentence) - 1] != '.');
        if (i > 0)
            ROW_ASSERT(row, table[i].number > table[i - 1].number);
    }
}

/* numbers that were released once; a change here breaks clients */
static void test_numbers_stay(void)
{
    CU_ASSERT_EQUAL(ANTAG_OK, 0);
    CU_ASSERT_EQUAL(ANTAG_ERR_BAD_FRAME, 100);
    CU_ASSERT_EQUAL(ANTAG_ERR_BAD_PARAM, 104);
    CU_ASSERT_EQUAL(ANTAG_ERR_DENIED, 200);
    CU_ASSERT_EQUAL(ANTAG_ERR_LOCKED, 300);
    CU_ASSERT_EQUAL(ANTAG_ERR_UNSIGNED, 400);
    CU_ASSERT_EQUAL(ANTAG_ERR_SIGNATURE_INVALID, 405);
    CU_ASSERT_EQUAL(ANTAG_ERR_BUSY, 500);
    CU_ASSERT_EQUAL(ANTAG_ERR_INTERNAL, 600);
}

static const struct {
    const char *name;
    unsigned number;
    enum antag_class class;
    int exit;
} unknown_rows[] = {
    {"1", 1, ANTAG_CLASS_INTERNAL, 7},
    {"99", 99, ANTAG_CLASS_INTERNAL, 7},
    {"199", 199, ANTAG_CLASS_CALLER, 2},
    {"299", 299, ANTAG_CLASS_DENIED, 3},
    {"399", 399, ANTAG_CLASS_STATE, 4},
    {"499", 499, ANTAG_CLASS_VERIFY, 5},
    {"599", 599, ANTAG_CLASS_RETRY, 6},
    {"699", 699, ANTAG_CLASS_INTERNAL, 7},
    {"700", 700, ANTAG_CLASS_INTERNAL, 7},
    {"4711", 4711, ANTAG_CLASS_INTERNAL, 7},
    {"largest", INT32_MAX, ANTAG_CLASS_INTERNAL, 7},
};

static void test_unknown_numbers(void)
{
    for (size_t i = 0; i < ROW_COUNT(unknown_rows); i++) {
        enum antag_err err = (enum antag_err)unknown_rows[i].number;

        ROW_ASSERT(unknown_rows[i].name, strcmp(antag_err_name(err), "UNKNOWN") == 0);
        ROW_ASSERT(unknown_rows[i].name, antag_err_message(err)[0] != '\0');
        ROW_ASSERT(unknown_rows[i].name, antag_err_class(err) == unknown_rows[i].class);
        ROW_ASSERT(unknown_rows[i].name, antag_err_exit(err) == unknown_rows[i].exit);
        ROW_ASSERT(unknown_rows[i].name, !antag_err_is_known(unknown_rows[i].number));
    }
    CU_ASSERT_FALSE(antag_err_is_known(UINT64_MAX));
    CU_ASSERT_FALSE(antag_err_is_known(UINT64_C(0x100000064))); /* 100 in its low half */
}

static void test_classes(void)
{
    CU_ASSERT_STRING_EQUAL(antag_class_name(ANTAG_CLASS_OK), "ok");
    CU_ASSERT_STRING_EQUAL(antag_class_name(ANTAG_CLASS_VERIFY), "verify");
    CU_ASSERT_STRING_EQUAL(antag_class_name((enum antag_class)99), "internal");
    CU_ASSERT(strstr(antag_class_advice(ANTAG_CLASS_RETRY), "once") != NULL);
    CU_ASSERT_EQUAL(antag_err_exit(ANTAG_OK), 0);
    CU_ASSERT_EQUAL(antag_err_exit(ANTAG_ERR_BAD_PARAM), 2);
    CU_ASSERT_EQUAL(antag_err_exit(ANTAG_ERR_INTERNAL), 7);
}

static const struct {
    const char *name, *given, *text;
} text_rows[] = {
    {"plain", "starts with '/', got \"x\"", "starts with '/', got \"x\""},
    {"empty: the table's sentence", "", "a parameter is missing, unknown, or out of form"},
    {"terminal escape", "\x1b[2Jhidden", "\\x1b[2Jhidden"},
    {"line feed, tab, delete", "a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"},
    {"carriage return", "a\rb", "a\\x0db"},
    {"UTF-8", "caf\xc3\xa9", "caf\\xc3\\xa9"},
    {"control of the second block", "\xc2\x9b", "\\xc2\\x9b"},
    {"writing direction", "\xe2\x80\xae", "\\xe2\\x80\\xae"},
    {"no UTF-8", "\xff\x80", "\\xff\\x80"},
    {"a backslash stays", "a\\x0a", "a\\x0a"},
    {"percent", "100%s", "100%s"},
};

static void test_fault_texts(void)
{
    for (size_t i = 0; i < ROW_COUNT(text_rows); i++) {
        struct antag_fault f;

        memset(&f, 0xaa, sizeof f);
        ROW_ASSERT(text_rows[i].name, antag_fault_set(&f, ANTAG_ERR_BAD_PARAM, "uri", "%s",
                                                      text_rows[i].given) == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(text_rows[i].name, strcmp(antag_fault_text(&f), text_rows[i].text) == 0);
        ROW_ASSERT(text_rows[i].name, f.err == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(text_rows[i].name, strcmp(f.field, "uri") == 0);
        ROW_ASSERT(text_rows[i].name, f.retry_after_ms == -1);
    }
}

/* `count` times `unit` as text and as field: cut, terminated, never inside an escape */
static void cut(const char *row, const char *unit, size_t count, bool whole)
{
    char given[2048] = "";
    struct antag_fault f;
    size_t len;

    for (size_t i = 0; i < count; i++)
        strcat(given, unit);
    (void)antag_fault_set(&f, ANTAG_ERR_IO, given, "%s", given);
    len = strlen(f.text);
    ROW_ASSERT(row, len <= ANTAG_FAULT_TEXT_MAX);
    ROW_ASSERT(row, strlen(f.field) <= ANTAG_FAULT_FIELD_MAX);
    if (whole) {
        ROW_ASSERT(row, strcmp(f.text, given) == 0);
        return;
    }
    ROW_ASSERT(row, strcmp(f.text + len - 3, "...") == 0);
    ROW_ASSERT(row, len > ANTAG_FAULT_TEXT_MAX - 8);
    if (unit[0] < ' ')
        ROW_ASSERT(row, (len - 3) % 4 == 0);
}

static void test_fault_is_cut(void)
{
    cut("largest", "a", ANTAG_FAULT_TEXT_MAX, true);
    cut("one over", "a", ANTAG_FAULT_TEXT_MAX + 1, false);
    cut("far over", "a", 2000, false);
    cut("escapes", "\x01", ANTAG_FAULT_TEXT_MAX, false);
    cut("escapes far over", "\x01", 2000, false);
}

static void test_fault_field_edge(void)
{
    char given[80];
    struct antag_fault f;

    memset(given, 'f', sizeof given);
    given[ANTAG_FAULT_FIELD_MAX] = '\0';
    (void)antag_fault_set(&f, ANTAG_ERR_IO, given, "x");
    CU_ASSERT_STRING_EQUAL(f.field, given);
    given[ANTAG_FAULT_FIELD_MAX] = 'f';
    given[ANTAG_FAULT_FIELD_MAX + 1] = '\0';
    (void)antag_fault_set(&f, ANTAG_ERR_IO, given, "x");
    CU_ASSERT_EQUAL(strlen(f.field), ANTAG_FAULT_FIELD_MAX);
    CU_ASSERT_STRING_EQUAL(f.field + ANTAG_FAULT_FIELD_MAX - 3, "...");
}

static void test_fault_null_and_own_arguments(void)
{
    struct antag_fault f;

    CU_ASSERT_EQUAL(antag_fault_set(NULL, ANTAG_ERR_IO, NULL, "%s", "x"), ANTAG_ERR_IO);
    (void)antag_fault_set(&f, ANTAG_ERR_IO, NULL, NULL);
    CU_ASSERT_STRING_EQUAL(f.field, "");
    CU_ASSERT_STRING_EQUAL(antag_fault_text(&f), antag_err_message(ANTAG_ERR_IO));
    /* wrapping what is there already */
    (void)antag_fault_set(&f, ANTAG_ERR_CONF, "key", "inner");
    (void)antag_fault_set(&f, ANTAG_ERR_CONF, f.field, "outer: %s", f.text);
    CU_ASSERT_STRING_EQUAL(f.field, "key");
    CU_ASSERT_STRING_EQUAL(f.text, "outer: inner");
}

#define SLICE(text) ((struct antag_slice){(const uint8_t *)(text), sizeof(text) - 1})

static void test_slices(void)
{
    struct antag_slice none = {NULL, 0};
    char out[4];

    CU_ASSERT(antag_slice_of(NULL).p == NULL && antag_slice_of(NULL).len == 0);
    CU_ASSERT_EQUAL(antag_slice_of("abc").len, 3);
    CU_ASSERT_TRUE(antag_slice_is(none, ""));
    CU_ASSERT_TRUE(antag_slice_is(none, NULL));
    CU_ASSERT_TRUE(antag_slice_is(SLICE("ab"), "ab"));
    CU_ASSERT_FALSE(antag_slice_is(SLICE("ab"), "abc"));
    CU_ASSERT_FALSE(antag_slice_is(SLICE("ab\0"), "ab"));
    CU_ASSERT_FALSE(antag_slice_equal(SLICE("ab"), SLICE("ac")));
    CU_ASSERT_TRUE(antag_slice_copy(SLICE("abc"), out, sizeof out));
    CU_ASSERT_STRING_EQUAL(out, "abc");
    CU_ASSERT_FALSE(antag_slice_copy(SLICE("abcd"), out, sizeof out));
    CU_ASSERT_STRING_EQUAL(out, "");
    CU_ASSERT_FALSE(antag_slice_copy(SLICE("a\0b"), out, sizeof out));
    CU_ASSERT_STRING_EQUAL(out, "");
    CU_ASSERT_TRUE(antag_slice_copy(none, out, 1));
    CU_ASSERT_FALSE(antag_slice_copy(none, out, 0));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"table", test_table},
        {"numbers stay", test_numbers_stay},
        {"unknown numbers", test_unknown_numbers},
        {"classes", test_classes},
        {"fault texts are escaped", test_fault_texts},
        {"fault texts are cut", test_fault_is_cut},
        {"fault fields are cut", test_fault_field_edge},
        {"faults: NULL, own arguments", test_fault_null_and_own_arguments},
        {"slices", test_slices},
        CU_TEST_INFO_NULL,
    };

    return run_tests("status", tests);
}
