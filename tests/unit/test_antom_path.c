/* Paths: splitting, the sandbox form, the fence, calls that go unsigned, paths that may be signed. */
#include <string.h>

#include "agent/core/antom.h"
#include "tests/support/rows.h"

#define OWN "/ams/api//v1/payments/retrievePaymentSession"

static void test_split(void)
{
    static const struct {
        const char *uri, *path, *query; /* query NULL: none */
    } rows[] = {
        {"/a", "/a", NULL},      {"/a?", "/a", ""},           {"/a?b=c", "/a", "b=c"},
        {"/a?b?c", "/a", "b?c"}, {"/a%3Fb", "/a%3Fb", NULL},  {"", "", NULL},
        {"?", "", ""},           {"/a/?x=/b", "/a/", "x=/b"},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice path, query;
        bool has_query;

        ag_antom_uri_split(antag_slice_of(rows[i].uri), &path, &query, &has_query);
        ROW_ASSERT(rows[i].uri, antag_slice_is(path, rows[i].path));
        ROW_ASSERT(rows[i].uri, has_query == (rows[i].query != NULL));
        ROW_ASSERT(rows[i].uri, antag_slice_is(query, rows[i].query != NULL ? rows[i].query : ""));
    }
}

static void test_derive(void)
{
    static const struct {
        const char *uri, *sandbox; /* live never changes anything */
    } rows[] = {
        {"/ams/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"},
        {"/ams/sandbox/api/v1/payments/pay", "/ams/sandbox/api/v1/payments/pay"},
        {OWN, "/ams/sandbox/api//v1/payments/retrievePaymentSession"},
        {"/ams/api", "/ams/sandbox/api"},
        {"/ams/api?x=/ams/api", "/ams/sandbox/api?x=/ams/api"},
        {"/ams/v1/aba/funds/createExchange", "/ams/v1/aba/funds/createExchange"},
        {"/x?y=/ams/api/v1", "/x?y=/ams/api/v1"},
        {"/ams/api/v1/ams/api/v2", "/ams/sandbox/api/v1/ams/api/v2"},
        {"/ams/sandbox/api/v1/ams/api/v2", "/ams/sandbox/api/v1/ams/api/v2"},
        {"/gw/ams/api/v1", "/gw/ams/sandbox/api/v1"},
        {"/ams/api/v1/ams/sandbox/api", "/ams/sandbox/api/v1/ams/sandbox/api"},
        {"/ams/apis", "/ams/sandbox/apis"},
        {"/AMS/api/v1", "/AMS/api/v1"},
        {"/", "/"},
    };
    char out[ANTAG_URI_MAX + 16];
    size_t len;

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice uri = antag_slice_of(rows[i].uri), made;

        ROW_ASSERT(rows[i].uri,
                   ag_antom_uri_derive(AG_ENV_LIVE, uri, out, sizeof out, &len, NULL) == ANTAG_OK);
        ROW_ASSERT(rows[i].uri, len == uri.len && strcmp(out, rows[i].uri) == 0);
        ROW_ASSERT(rows[i].uri, ag_antom_uri_derive(AG_ENV_SANDBOX, uri, out, sizeof out, &len,
                                                    NULL) == ANTAG_OK);
        made = (struct antag_slice){(const uint8_t *)out, len};
        ROW_ASSERT(rows[i].uri, antag_slice_is(made, rows[i].sandbox) && out[len] == '\0');
    }
}

static void test_derive_sizes(void)
{
    static char uri[ANTAG_URI_MAX + 1] = "/ams/api/";
    char out[ANTAG_URI_MAX + 16], small[24];
    struct antag_fault fault;
    size_t len = 5;

    memset(uri + 9, 'a', ANTAG_URI_MAX - 9);
    CU_ASSERT_EQUAL(
        ag_antom_uri_derive(AG_ENV_SANDBOX, antag_slice_of(uri), out, sizeof out, &len, &fault),
        ANTAG_OK);
    CU_ASSERT_EQUAL(len, ANTAG_URI_MAX + 8);
    /* 15 + 8 + the end fill 24 bytes; one more does not fit, and neither does any into nothing */
    CU_ASSERT_EQUAL(ag_antom_uri_derive(AG_ENV_SANDBOX, antag_slice_of("/ams/api/v1/pay"), small,
                                        sizeof small, &len, &fault),
                    ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(small, "/ams/sandbox/api/v1/pay");
    CU_ASSERT_EQUAL(ag_antom_uri_derive(AG_ENV_SANDBOX, antag_slice_of("/ams/api/v1/pays"), small,
                                        sizeof small, &len, &fault),
                    ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_STRING_EQUAL(fault.field, "uri");
    CU_ASSERT_EQUAL(len, 23);
    CU_ASSERT_EQUAL(ag_antom_uri_derive(AG_ENV_LIVE, antag_slice_of("/"), small, 0, &len, &fault),
                    ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(
        ag_antom_uri_derive(AG_ENV_LIVE, (struct antag_slice){NULL, 0}, small, 1, &len, &fault),
        ANTAG_OK);
    CU_ASSERT_EQUAL(len, 0);
}

static void test_fence(void)
{
    static const struct {
        const char *uri;
        bool sandbox_ok, live_ok;
    } rows[] = {
        {"/ams/sandbox/api/v1/payments/pay", true, false},
        {"/ams/sandbox/api//v1/payments/retrievePaymentSession", true, false},
        {"/ams/sandbox/api", true, false},
        {"/ams/sandbox/api?x=1", true, false},
        {"/ams/sandbox/apis", false, false},
        {"/ams/sandbox", false, false},
        {"/ams/sandbox/v1", false, false},
        {"/ams/api/v1/payments/pay", false, true},
        {"/ams/api/v1/payments/pay?x=/ams/sandbox/api", false, true},
        {"/ams/v1/aba/funds/createExchange", false, true},
        {"/gw/ams/sandbox/api/v1", false, false},
        {"/ams/api/v1/ams/sandbox/api", false, false},
        {"/ams//sandbox/api/v1", false, false},
        {"//ams/sandbox/api/v1", false, false},
        {"/AMS/SandBox/api/v1", false, false},
        {"/ams/sandboxes/api", false, true},
        {"/sandbox/ams/api", false, true},
        {"/", false, true},
        {"", false, true},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice uri = antag_slice_of(rows[i].uri);
        struct antag_fault fault = {0};

        ROW_ASSERT(rows[i].uri, ag_antom_fence(AG_ENV_SANDBOX, uri, false, &fault) ==
                                    (rows[i].sandbox_ok ? ANTAG_OK : ANTAG_ERR_WRONG_ENVIRONMENT));
        ROW_ASSERT(rows[i].uri, ag_antom_fence(AG_ENV_LIVE, uri, false, &fault) ==
                                    (rows[i].live_ok ? ANTAG_OK : ANTAG_ERR_WRONG_ENVIRONMENT));
        ROW_ASSERT(rows[i].uri, ag_antom_fence(AG_ENV_SANDBOX, uri, true, NULL) == ANTAG_OK);
        ROW_ASSERT(rows[i].uri, ag_antom_fence(AG_ENV_LIVE, uri, true, NULL) == ANTAG_OK);
        ROW_ASSERT(rows[i].uri,
                   (rows[i].sandbox_ok && rows[i].live_ok) || strcmp(fault.field, "uri") == 0);
    }
}

static void test_unsigned_calls(void)
{
    static const struct {
        const char *uri;
        bool is_signed;
    } rows[] = {
        {"/ams/api/v1/meter/uploadEvent", false},
        {"/ams/sandbox/api/v1/meter/uploadEvent", false},
        {"/ams/api/v1/meter/uploadEvent?x=1", false},
        {"/ams/api/v1/meter/createSession", true},
        {"/ams/api/v1/meter/uploadEvents", true},
        {"/ams/api/v1/payments/pay", true},
        {"/ams/api/v1/billing/product/uploadImage", true},
        {"/x?/ams/api/v1/meter/uploadEvent", true},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};

        ROW_ASSERT(rows[i].uri, ag_antom_is_signed_call(antag_slice_of(rows[i].uri), &fault) ==
                                    (rows[i].is_signed ? ANTAG_OK : ANTAG_ERR_NOT_SIGNED_CALL));
    }
}

static const struct {
    const char *uri;
    const char *why; /* NULL: may be signed */
} sign_rows[] = {
    {"/ams/api/v1/payments/pay", NULL},
    {"/ams/sandbox/api/v1/payments/pay", NULL},
    {OWN, NULL},
    {OWN "?x=1", NULL},
    {"/ams/sandbox/api//v1/payments/retrievePaymentSession", NULL},
    {"/", NULL},
    {"/ams/api/", NULL},
    {"/a.b/.c/d./...", NULL},
    {"/a%20b", NULL},
    {"/a%3Ab", NULL},
    {"/%E4%BD%99", NULL},
    {"/a-_~!$&'()*+,:@=b", NULL},
    {"/a?b=../c;d//e%2F%zz\\", NULL}, /* a query passes no glob */

    {"", "no '/'"},
    {"ams/api", "no '/'"},
    {"?x", "no '/'"},
    {"/.", "dot segment"},
    {"/..", "dot segment"},
    {"/ams/api/./v1", "dot segment"},
    {"/ams/api/../v1", "dot segment"},
    {"/ams/api/v1/..", "dot segment"},
    {"/ams/api/v1/..?x", "dot segment"},
    {"/../ams/api", "dot segment"},
    {"/ams/api/%2e%2e/v1", "escaped"},
    {"/ams/api/.%2E/v1", "escaped"},
    {"/ams%2Fapi", "escaped"},
    {"/ams%2fapi", "escaped"},
    {"/ams%5Capi", "escaped"},
    {"/%61ms/api", "escaped"},
    {"/ams/%41pi", "escaped"},
    {"/ams/api/%7Euser", "escaped"},
    {"/ams/api/%2Dx", "escaped"},
    {"/ams/api/%5fx", "escaped"},
    {"/ams/api/%39", "escaped"},
    {"/ams/api/%252e", "escaped"},
    {"/ams/api/%3Bx", "escaped"},
    {"/ams/api/%3Fx", "escaped"},
    {"/ams/api/%00", "escaped"},
    {"/ams/api/%0a", "escaped"},
    {"/ams/api/%7f", "escaped"},
    {"/ams/api/%", "hexadecimal"},
    {"/ams/api/%2", "hexadecimal"},
    {"/ams/api/%2?F", "hexadecimal"},
    {"/ams/api/%zz", "hexadecimal"},
    {"/ams/api/%%41", "hexadecimal"},
    {"/ams/api;v=1/x", "';'"},
    {"/;", "';'"},
    {"/ams\\api", "backslash"},
    {"//", "double slash"},
    {"//ams/api", "double slash"},
    {"/ams//api/v1", "double slash"},
    {"/ams/api//v1/payments/pay", "double slash"},
    {OWN "/", "double slash"},
    {"/x" OWN, "double slash"},
    {"/ams/api//v1/payments/retrievePaymentSessio", "double slash"},
    {"/ams/api/v1//payments/retrievePaymentSession", "double slash"},
    {"/ams/api/v1//", "double slash"},
};

static void test_sign_path(void)
{
    for (size_t i = 0; i < ROW_COUNT(sign_rows); i++) {
        struct antag_fault fault = {0};
        enum antag_err err = ag_antom_check_sign_path(antag_slice_of(sign_rows[i].uri), &fault);

        ROW_ASSERT(sign_rows[i].uri,
                   err == (sign_rows[i].why == NULL ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        if (sign_rows[i].why == NULL)
            continue;
        ROW_ASSERT(sign_rows[i].uri, strcmp(fault.field, "uri") == 0);
        ROW_ASSERT(sign_rows[i].uri, strstr(fault.text, sign_rows[i].why) != NULL);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"split", test_split},
        {"derive", test_derive},
        {"sizes of a derived URI", test_derive_sizes},
        {"fence", test_fence},
        {"calls that go unsigned", test_unsigned_calls},
        {"paths for signing", test_sign_path},
        CU_TEST_INFO_NULL,
    };

    return run_tests("antom_path", tests);
}
