/* Globs of grants: what they match, what may be stored. */
#include <string.h>
#include <time.h>

#include "agent/core/grant.h"
#include "tests/support/rows.h"

static const struct {
    const char *pattern, *text;
    bool matches;
} match_rows[] = {
    {"/ams/api/v1/payments/pay", "/ams/api/v1/payments/pay", true},
    {"/ams/api/v1/payments/pay", "/ams/api/v1/payments/pa", false},
    {"/ams/api/v1/payments/pay", "/ams/api/v1/payments/pays", false},
    {"/ams/api/v1/payments/pay", "/ams/api/v1/payments/Pay", false},
    {"/a/*", "/a/b", true},
    {"/a/*", "/a/", true},
    {"/a/*", "/a", false},
    {"/a/*", "/a/b/c", false},
    {"/a/*", "/a/b/", false},
    {"/a/*/c", "/a/b/c", true},
    {"/a/*/c", "/a//c", true},
    {"/a/*/c", "/a/b/b/c", false},
    {"/a/b*", "/a/b", true},
    {"/a/b*", "/a/bcd", true},
    {"/a/*d", "/a/bcd", true},
    {"/a/b*d", "/a/bd", true},
    {"/a/b*d", "/a/bcdcd", true},
    {"/a/b*d", "/a/b/d", false},
    {"/*/*", "/a/b", true},
    {"/*/*", "/a", false},
    {"/a/**", "/a/", true},
    {"/a/**", "/a/b/c/d", true},
    {"/a/**", "/a", false},
    {"/a**", "/a", true},
    {"/a**", "/ab/c", true},
    {"/**", "/", true},
    {"/**", "/a/b", true},
    {"/**/pay", "/x/y/pay", true},
    {"/**/pay", "/pay", false},
    {"/**/pay", "/x/pays", false},
    {"/**/a/*/b", "/a/x/a/y/b", true},
    {"/**/a/*/b", "/z/a/x/y/b", false},
    {"/*a*/**b*", "/xax/y/zby", true},
    {"/*a*/**b*", "/xax/y/zby/w", false},
    {"/a?c", "/abc", false}, /* no other wildcard */
    {"/a[bc]", "/ab", false},
    {"/a[bc]", "/a[bc]", true},
    {"/a\\*", "/a*", false}, /* no escape: a backslash, then anything */
    {"/a\\*", "/a\\bc", true},
    {"/a/*", "/a/*", true},
    {"", "", true},
    {"", "/", false},
    {"*", "", true},
    {"**", "", true},
    {"/", "", false},
    {"POST", "POST", true},
    {"P*", "PATCH", true},
    {"P*", "GET", false},
    {"*", "POST", true},
};

static void test_match(void)
{
    for (size_t i = 0; i < ROW_COUNT(match_rows); i++) {
        char name[160];

        snprintf(name, sizeof name, "%s on %s", match_rows[i].pattern, match_rows[i].text);
        ROW_ASSERT(name,
                   ag_glob_match(antag_slice_of(match_rows[i].pattern),
                                 antag_slice_of(match_rows[i].text)) == match_rows[i].matches);
    }
}

static void test_bytes(void)
{
    static const uint8_t pattern[] = {'/', 0xFF, '*', 0}, text[] = {'/', 0xFF, 0, '\n', 0xC3, 0};

    CU_ASSERT(ag_glob_match((struct antag_slice){pattern, 4}, (struct antag_slice){text, 6}));
    CU_ASSERT_FALSE(ag_glob_match((struct antag_slice){pattern, 4}, (struct antag_slice){text, 5}));
}

/* The patterns that take other matchers hours: many stars, a text that almost matches. */
static void test_worst_case(void)
{
    static uint8_t pattern[ANTAG_GLOB_MAX + 1], text[ANTAG_URI_MAX];
    clock_t began = clock();

    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = "a*"[i % 2];
    pattern[ANTAG_GLOB_MAX - 1] = 'b';
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_FALSE(ag_glob_match((struct antag_slice){pattern, ANTAG_GLOB_MAX},
                                      (struct antag_slice){text, sizeof text}));
    }
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = "a**"[i % 3];
    pattern[ANTAG_GLOB_MAX - 1] = 'b';
    for (int i = 0; i < 10; i++) {
        CU_ASSERT_FALSE(ag_glob_match((struct antag_slice){pattern, ANTAG_GLOB_MAX},
                                      (struct antag_slice){text, sizeof text}));
    }
    /* a generous bound, also for sanitizers: 20 times half a million steps */
    CU_ASSERT((clock() - began) / CLOCKS_PER_SEC < 10);
}

static void test_too_long(void)
{
    static uint8_t pattern[ANTAG_GLOB_MAX + 1];

    memset(pattern, '*', sizeof pattern);
    CU_ASSERT(ag_glob_match((struct antag_slice){pattern, ANTAG_GLOB_MAX}, antag_slice_of("/a")));
    CU_ASSERT_FALSE(
        ag_glob_match((struct antag_slice){pattern, ANTAG_GLOB_MAX + 1}, antag_slice_of("/a")));
}

static void test_check(void)
{
    static const struct {
        const char *text;
        bool path_ok, method_ok;
    } rows[] = {
        {"/ams/api/v1/**", true, false},
        {"/", true, false},
        {"/*/**/x", true, false},
        {"/%41~!", true, false},
        {"", false, false},
        {"ams/api", false, false},
        {"**", false, true},
        {"*", false, true},
        {"POST", false, true},
        {"P*T", false, true},
        {"ABCDEFGHIJKLMNOP", false, true},
        {"ABCDEFGHIJKLMNOPQ", false, false},
        {"post", false, false},
        {"POST,GET", false, false},
        {"/a***", false, false},
        {"/****", false, false},
        {"/a?b", false, false},
        {"/a#b", false, false},
        {"/a b", false, false},
        {"/a\n", false, false},
        {"/\x7f", false, false},
        {"/\xc3\xa9", false, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice s = antag_slice_of(rows[i].text);
        struct antag_fault path = {0}, method = {0};

        ROW_ASSERT(rows[i].text, ag_glob_check_path(s, "paths", &path) ==
                                     (rows[i].path_ok ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        ROW_ASSERT(rows[i].text, rows[i].path_ok || strcmp(path.field, "paths") == 0);
        ROW_ASSERT(rows[i].text, ag_glob_check_method(s, "methods", &method) ==
                                     (rows[i].method_ok ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        ROW_ASSERT(rows[i].text, rows[i].method_ok || strcmp(method.field, "methods") == 0);
    }
}

static void test_check_length(void)
{
    static uint8_t text[ANTAG_GLOB_MAX + 1];

    memset(text, '/', sizeof text);
    CU_ASSERT_EQUAL(ag_glob_check_path((struct antag_slice){text, ANTAG_GLOB_MAX}, "path", NULL),
                    ANTAG_OK);
    CU_ASSERT_EQUAL(ag_glob_check_path((struct antag_slice){text, sizeof text}, "path", NULL),
                    ANTAG_ERR_BAD_PARAM);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"match", test_match},
        {"any bytes", test_bytes},
        {"worst case", test_worst_case},
        {"too long", test_too_long},
        {"what may be stored", test_check},
        {"length of what may be stored", test_check_length},
        CU_TEST_INFO_NULL,
    };

    return run_tests("glob", tests);
}
