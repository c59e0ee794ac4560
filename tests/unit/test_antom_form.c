/* Strict forms and the string to sign, with the digests of Antom's examples. */
#include <sodium.h>
#include <string.h>

#include "agent/core/antom.h"
#include "tests/support/rows.h"

#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

static char long_text[ANTAG_URI_MAX + 128]; /* "/aaaa…" */

/* ---- forms */

typedef enum antag_err check_fn(struct antag_slice s, struct antag_fault *f);

struct form_row {
    const char *name;
    check_fn *check;
    const char *field;
    struct antag_slice text;
    bool ok;
};

static const struct form_row form_rows[] = {
    {"POST", ag_antom_check_method, "method", S("POST"), true},
    {"one letter", ag_antom_check_method, "method", S("G"), true},
    {"16 letters", ag_antom_check_method, "method", S("ABCDEFGHIJKLMNOP"), true},
    {"17 letters", ag_antom_check_method, "method", S("ABCDEFGHIJKLMNOPQ"), false},
    {"no method", ag_antom_check_method, "method", {NULL, 0}, false},
    {"lower case", ag_antom_check_method, "method", S("post"), false},
    {"mixed case", ag_antom_check_method, "method", S("POSt"), false},
    {"digit", ag_antom_check_method, "method", S("POST1"), false},
    {"space behind", ag_antom_check_method, "method", S("POST "), false},
    {"space before", ag_antom_check_method, "method", S(" POST"), false},
    {"URI inside the method", ag_antom_check_method, "method", S("POST /x"), false},
    {"NUL behind", ag_antom_check_method, "method", S("POST\0"), false},
    {"@ is before A", ag_antom_check_method, "method", S("@"), false},
    {"[ is behind Z", ag_antom_check_method, "method", S("["), false},

    {"pay", ag_antom_check_uri, "uri", S("/ams/api/v1/payments/pay"), true},
    {"root", ag_antom_check_uri, "uri", S("/"), true},
    {"query", ag_antom_check_uri, "uri", S("/notify/antom?shop=7&x=%2F"), true},
    {"Antom's double slash", ag_antom_check_uri, "uri",
     S("/ams/api//v1/payments/retrievePaymentSession"), true},
    {"first and last visible byte", ag_antom_check_uri, "uri", S("/!~"), true},
    {"no uri", ag_antom_check_uri, "uri", {NULL, 0}, false},
    {"no slash", ag_antom_check_uri, "uri", S("ams/api"), false},
    {"whole URL", ag_antom_check_uri, "uri", S("https://open-na-global.alipay.com/ams/api"), false},
    {"fragment", ag_antom_check_uri, "uri", S("/ams#x"), false},
    {"space", ag_antom_check_uri, "uri", S("/ams x"), false},
    {"line feed", ag_antom_check_uri, "uri", S("/ams\nx"), false},
    {"carriage return", ag_antom_check_uri, "uri", S("/ams\r"), false},
    {"tab", ag_antom_check_uri, "uri", S("/ams\t"), false},
    {"NUL", ag_antom_check_uri, "uri", S("/ams\0x"), false},
    {"delete", ag_antom_check_uri, "uri", S("/ams\x7f"), false},
    {"UTF-8", ag_antom_check_uri, "uri", S("/caf\xc3\xa9"), false},
    {"ff", ag_antom_check_uri, "uri", S("/\xff"), false},

    {"sandbox", ag_antom_check_client_id, "client_id", S("SANDBOX_5X00000000000001"), true},
    {"live", ag_antom_check_client_id, "client_id", S("5Y00000000000001"), true},
    {"older", ag_antom_check_client_id, "client_id", S("T_111222333"), true},
    {"dash", ag_antom_check_client_id, "client_id", S("a-Z"), true},
    {"one byte", ag_antom_check_client_id, "client_id", S("0"), true},
    {"no client id", ag_antom_check_client_id, "client_id", {NULL, 0}, false},
    {"dot", ag_antom_check_client_id, "client_id", S("5Y.1"), false},
    {"only a dot", ag_antom_check_client_id, "client_id", S("."), false},
    {"blank behind", ag_antom_check_client_id, "client_id", S("5Y1 "), false},
    {"line feed behind", ag_antom_check_client_id, "client_id", S("5Y1\n"), false},
    {"NUL inside", ag_antom_check_client_id, "client_id", S("5Y\0001"), false},
    {"slash", ag_antom_check_client_id, "client_id", S("5Y/1"), false},
    {"colon", ag_antom_check_client_id, "client_id", S("5Y:1"), false},
    {"umlaut", ag_antom_check_client_id, "client_id", S("5Y\xc3\xbc"), false},
};

static void test_forms(void)
{
    for (size_t i = 0; i < ROW_COUNT(form_rows); i++) {
        const struct form_row *r = &form_rows[i];
        struct antag_fault fault = {0};
        enum antag_err err = r->check(r->text, &fault);

        ROW_ASSERT(r->name, (err == ANTAG_OK) == r->ok);
        ROW_ASSERT(r->name, r->check(r->text, NULL) == err);
        if (r->ok)
            continue;
        ROW_ASSERT(r->name, err == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(r->name, fault.err == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(r->name, strcmp(fault.field, r->field) == 0);
        ROW_ASSERT(r->name, strstr(fault.text, "allowed") != NULL);
        for (const char *p = fault.text; *p != '\0'; p++)
            ROW_ASSERT(r->name, *p >= 0x20 && *p < 0x7F); /* foreign bytes do not reach a log raw */
    }
}

static void test_form_lengths(void)
{
    static const struct {
        const char *name;
        check_fn *check;
        size_t skip, max; /* skip: the leading '/' */
    } rows[] = {
        {"uri", ag_antom_check_uri, 0, ANTAG_URI_MAX},
        {"client id", ag_antom_check_client_id, 1, ANTAG_CLIENT_ID_MAX},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice s = {(const uint8_t *)long_text + rows[i].skip, rows[i].max};

        ROW_ASSERT(rows[i].name, rows[i].check(s, NULL) == ANTAG_OK);
        s.len++;
        ROW_ASSERT(rows[i].name, rows[i].check(s, NULL) == ANTAG_ERR_BAD_PARAM);
    }
}

/* ---- client id and environment */

static void test_client_id_env(void)
{
    static const struct {
        const char *name;
        enum ag_env env;
        struct antag_slice id;
        bool ok;
    } rows[] = {
        {"sandbox id in sandbox", AG_ENV_SANDBOX, S("SANDBOX_5X00000000000001"), true},
        {"live id in live", AG_ENV_LIVE, S("5Y00000000000001"), true},
        {"older live id in live", AG_ENV_LIVE, S("T_111222333"), true},
        {"mark elsewhere in live", AG_ENV_LIVE, S("5Y_SANDBOX_1"), true},
        {"mark without its underscore in live", AG_ENV_LIVE, S("SANDBOX1"), true},
        {"sandbox id in live", AG_ENV_LIVE, S("SANDBOX_5X00000000000001"), false},
        {"bare mark in live", AG_ENV_LIVE, S("SANDBOX_"), false},
        {"live id in sandbox", AG_ENV_SANDBOX, S("5Y00000000000001"), false},
        {"lower case in sandbox", AG_ENV_SANDBOX, S("sandbox_5X1"), false},
        {"cut mark in sandbox", AG_ENV_SANDBOX, S("SANDBOX"), false},
        {"empty in sandbox", AG_ENV_SANDBOX, {NULL, 0}, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        enum antag_err err = ag_antom_client_id_env(rows[i].env, rows[i].id, &fault);

        ROW_ASSERT(rows[i].name, err == (rows[i].ok ? ANTAG_OK : ANTAG_ERR_WRONG_ENVIRONMENT));
        ROW_ASSERT(rows[i].name, rows[i].ok || strcmp(fault.field, "client_id") == 0);
    }
    CU_ASSERT_STRING_EQUAL(ag_env_name(AG_ENV_SANDBOX), "sandbox");
    CU_ASSERT_STRING_EQUAL(ag_env_name(AG_ENV_LIVE), "live");
    CU_ASSERT_STRING_EQUAL(ag_env_name((enum ag_env)7), "unknown");
}

/* ---- the string to sign */

static const struct {
    const char *name;
    struct antag_slice uri, time, body;
    size_t len;
    const char *digest;
} digest_rows[] = {
    {"body", S("/ams/sandbox/api/v1/payments/pay"), S("1700000000000"), S("{\"a\":1}"), 84,
     "003fc734a8f9ab973ae927e0db08bd93b2c71bca297f821c1bdb548812cff3ac"},
    {"empty body",
     S("/ams/sandbox/api/v1/payments/pay"),
     S("1700000000000"),
     {NULL, 0},
     77,
     "43369f6acf6f5b2f36c15012c2f632064e12d1ad23a671adbfa6986ffe6f4ed4"},
    {"UTF-8 and CRLF", S("/notify/antom?shop=7"), S("2023-11-14T22:13:20+00:00"),
     S("{\"n\":\"\xe4\xbd\x99\xe9\xa2\x9d\xf0\x9f\x99\x82\"}\r\n"), 97,
     "11327357a0efb0476c5367bedb1939c3a85a6dc747aa0f5901a92f276f613a3c"},
};

static void test_digests(void)
{
    static const struct antag_slice method = S("POST"), client_id = S("SANDBOX_5X00000000000001");

    for (size_t i = 0; i < ROW_COUNT(digest_rows); i++) {
        struct antag_slice body = digest_rows[i].body;
        crypto_hash_sha256_state state;
        struct ag_antom_prefix prefix;
        uint8_t digest[crypto_hash_sha256_BYTES];
        char hex[2 * sizeof digest + 1];

        CU_ASSERT_EQUAL_FATAL(ag_antom_prefix_render(method, digest_rows[i].uri, client_id,
                                                     digest_rows[i].time, &prefix),
                              ANTAG_OK);
        crypto_hash_sha256_init(&state);
        crypto_hash_sha256_update(&state, prefix.text, prefix.len);
        crypto_hash_sha256_update(&state, body.p, body.len);
        crypto_hash_sha256_final(&state, digest);
        sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
        ROW_ASSERT(digest_rows[i].name, prefix.len + body.len == digest_rows[i].len);
        ROW_ASSERT(digest_rows[i].name, strcmp(hex, digest_rows[i].digest) == 0);
    }
}

static void test_prefix_bytes(void)
{
    static const struct antag_slice method = S("GET"), uri = S("/a?b"), id = S("c_D-1"),
                                    time = S("1685599933");
    static const struct antag_slice want = S("GET /a?b\nc_D-1.1685599933.");
    struct ag_antom_prefix prefix;

    CU_ASSERT_EQUAL_FATAL(ag_antom_prefix_render(method, uri, id, time, &prefix), ANTAG_OK);
    CU_ASSERT(antag_slice_equal((struct antag_slice){prefix.text, prefix.len}, want));
}

static void test_prefix_largest(void)
{
    static const struct antag_slice method = S("ABCDEFGHIJKLMNOP"),
                                    time = S("2024-11-22T21:52:25.123456789+08:00");
    struct antag_slice id = {(const uint8_t *)long_text + 1, ANTAG_CLIENT_ID_MAX};
    struct antag_slice uri = {(const uint8_t *)long_text, ANTAG_URI_MAX + 64};
    struct ag_antom_prefix prefix;

    CU_ASSERT_EQUAL(ag_antom_prefix_render(method, uri, id, time, &prefix), ANTAG_OK);
    CU_ASSERT_EQUAL(prefix.len, 16 + 1 + ANTAG_URI_MAX + 64 + 1 + 64 + 1 + 35 + 1);
    uri.len++;
    CU_ASSERT_EQUAL(ag_antom_prefix_render(method, uri, id, time, &prefix), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(prefix.len, 0);
}

/* One signature fits every split of the same bytes, so each split but one must be refused. The message is
 * POST LF-joined as documented; each row names the parts it would be read as. */
static void test_shifted_boundaries(void)
{
    static const struct {
        const char *name;
        struct antag_slice method, uri, id, time;
    } rows[] = {
        {"fraction moved to the body", S("POST"), S("/n"), S("5Y1"), S("2024-11-22T21:52:26")},
        {"half a fraction", S("POST"), S("/n"), S("5Y1"), S("2024-11-22T21:52:26.12")},
        {"body moved to the time", S("POST"), S("/n"), S("5Y1"), S("2024-11-22T21:52:26.123Z.{}")},
        {"body digits moved to the time", S("POST"), S("/n"), S("5Y1"), S("1700000000.123")},
        {"empty time", S("POST"), S("/n"), S("5Y1"), {NULL, 0}},
        {"client id takes the time", S("POST"), S("/n"), S("5Y1.1700000000000"),
         S("1700000000000")},
        {"client id cut at a dot", S("POST"), S("/n"), S("5Y1."), S("1700000000000")},
        {"empty client id", S("POST"), S("/n"), {NULL, 0}, S("1700000000000")},
        {"line feed inside the URI", S("POST"), S("/n\n5Y1.1700000000000.x"), S("5Y2"),
         S("1700000000000")},
        {"line feed inside the client id", S("POST"), S("/n"), S("x\n5Y1"), S("1700000000000")},
        {"space inside the URI", S("POST"), S("/a /n"), S("5Y1"), S("1700000000000")},
        {"space inside the method", S("POST /a"), S("/n"), S("5Y1"), S("1700000000000")},
        {"method takes the URI's slash", S("POST /"), S("n"), S("5Y1"), S("1700000000000")},
        {"URI without its slash", S("POST"), S("n"), S("5Y1"), S("1700000000000")},
        {"empty method", {NULL, 0}, S("/n"), S("5Y1"), S("1700000000000")},
        {"empty URI", S("POST"), {NULL, 0}, S("5Y1"), S("1700000000000")},
        {"lower-case method", S("post"), S("/n"), S("5Y1"), S("1700000000000")},
    };
    static const struct antag_slice method = S("POST"), uri = S("/n"), id = S("5Y1"),
                                    time = S("2024-11-22T21:52:26.123Z");
    struct ag_antom_prefix prefix;

    CU_ASSERT_EQUAL(ag_antom_prefix_render(method, uri, id, time, &prefix), ANTAG_OK);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        int64_t at_ms;
        bool refused = ag_antom_check_method(rows[i].method, NULL) != ANTAG_OK ||
                       ag_antom_check_uri(rows[i].uri, NULL) != ANTAG_OK ||
                       ag_antom_check_client_id(rows[i].id, NULL) != ANTAG_OK ||
                       ag_antom_time_parse(rows[i].time, &at_ms, NULL) != ANTAG_OK;

        ROW_ASSERT(rows[i].name, refused);
        prefix.len = 99;
        ROW_ASSERT(rows[i].name,
                   ag_antom_prefix_render(rows[i].method, rows[i].uri, rows[i].id, rows[i].time,
                                          &prefix) == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(rows[i].name, prefix.len == 0);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"forms", test_forms},
        {"lengths", test_form_lengths},
        {"client id and environment", test_client_id_env},
        {"digests of the string to sign", test_digests},
        {"bytes of the prefix", test_prefix_bytes},
        {"largest prefix", test_prefix_largest},
        {"shifted boundaries", test_shifted_boundaries},
        CU_TEST_INFO_NULL,
    };

    memset(long_text, 'a', sizeof long_text);
    long_text[0] = '/';
    return run_tests("antom_form", tests);
}
