/* Variants of a body, causes, and how often explanations are made. */
#include <stdlib.h>
#include <string.h>

#include "agent/front/explain.h"
#include "tests/support/rows.h"

static const struct {
    enum ag_body_variant variant;
    const char *body;
    const char *becomes; /* NULL: says nothing of this body */
} rows[] = {
    {AG_BODY_WITHOUT_LF, "{}\n", "{}"},
    {AG_BODY_WITHOUT_LF, "{}", NULL},
    {AG_BODY_WITHOUT_LF, "", NULL},
    {AG_BODY_WITHOUT_LF, "\n", ""},
    {AG_BODY_WITHOUT_CRLF, "{}\r\n", "{}"},
    {AG_BODY_WITHOUT_CRLF, "{}\n", NULL},
    {AG_BODY_WITHOUT_CRLF, "\n", NULL},
    {AG_BODY_WITH_LF, "", "\n"},
    {AG_BODY_WITH_LF, "{}", "{}\n"},
    {AG_BODY_WITH_CRLF, "{}", "{}\r\n"},
    {AG_BODY_CRLF, "a\nb\r\n\n", "a\r\nb\r\n\r\n"},
    {AG_BODY_CRLF, "a\r\n", NULL},
    {AG_BODY_LF, "a\r\nb\n\r", "a\nb\n\r"},
    {AG_BODY_LF, "a\n", NULL},
    {AG_BODY_JSON_COMPACT, "{ \"a b\" : [1 ,\t2],\n\"c\\\" d\": 1 }",
     "{\"a b\":[1,2],\"c\\\" d\":1}"},
    {AG_BODY_JSON_COMPACT, "{\"a\":1}", NULL},
    {AG_BODY_JSON_COMPACT, "{\"a\\\\\" : 1}", "{\"a\\\\\":1}"},
    {AG_BODY_JSON_SPACED, "{\"a:,\":1,\"b\":[2,3]}", "{\"a:,\": 1, \"b\": [2, 3]}"},
    {AG_BODY_JSON_SPACED, "{\"a\": 1, \"b\": 2}", NULL},
    {AG_BODY_JSON_SLASHES_ESCAPED, "{\"u\":\"a/b\"}", "{\"u\":\"a\\/b\"}"},
    {AG_BODY_JSON_SLASHES_ESCAPED, "{\"u\":\"a\\/b\"}", NULL},
    {AG_BODY_JSON_SLASHES_PLAIN, "{\"u\":\"a\\/b\"}", "{\"u\":\"a/b\"}"},
    {AG_BODY_JSON_SLASHES_PLAIN, "{\"u\":\"a\\\\/b\"}", NULL},
    {AG_BODY_JSON_SLASHES_PLAIN, "\\", NULL},
    {AG_BODY_JSON_ASCII, "\xc3\xa9 \xe4\xbd\x99 \xf0\x9f\x99\x82",
     "\\u00e9 \\u4f59 \\ud83d\\ude42"},
    {AG_BODY_JSON_ASCII, "\xff\xc3", NULL},
    {AG_BODY_JSON_UTF8, "\\u00e9 \\u4F59 \\ud83d\\ude42", "\xc3\xa9 \xe4\xbd\x99 \xf0\x9f\x99\x82"},
    {AG_BODY_JSON_UTF8, "\\u0041 \\ud83d \\ude42 \\ud83dx \\u12 \\uzzzz \\\\u00e9", NULL},
    {AG_BODY_PLUS, "a b", "a+b"},
    {AG_BODY_PLUS, "a+b", NULL},
    {AG_BODY_VARIANT_COUNT, "a", NULL},
};

static void test_variants(void)
{
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice body = antag_slice_of(rows[i].body);
        size_t size = 6 * body.len + 2, len = 0, want;
        uint8_t *out = malloc(size);
        bool says = ag_body_vary(rows[i].variant, body, out, size, &len);

        ROW_ASSERT(rows[i].body, says == (rows[i].becomes != NULL));
        if (says && rows[i].becomes != NULL) {
            want = strlen(rows[i].becomes);
            ROW_ASSERT(rows[i].body, len == want && memcmp(out, rows[i].becomes, len) == 0);
            /* no byte behind what it may have */
            ROW_ASSERT(rows[i].body,
                       len == 0 || !ag_body_vary(rows[i].variant, body, out, len - 1, &len));
        }
        free(out);
    }
}

/* Any bytes: never more than six times as long, and two. */
static void test_bounds(void)
{
    static const char alphabet[] = "\\u\"/ \n\r,:d8c3\xc3\xa9\xf0\x9f\x99\x82";
    uint8_t body[64], out[6 * sizeof body + 2];
    unsigned seed = 7;

    for (int round = 0; round < 20000; round++) {
        struct antag_slice s = {body, (size_t)(rand_r(&seed) % (int)sizeof body)};

        for (size_t i = 0; i < s.len; i++)
            body[i] = (uint8_t)alphabet[(size_t)rand_r(&seed) % (sizeof alphabet - 1)];
        for (int v = 0; v < AG_BODY_VARIANT_COUNT; v++) {
            size_t len;

            (void)ag_body_vary((enum ag_body_variant)v, s, out, 6 * s.len + 2, &len);
            CU_ASSERT_FATAL(len <= 6 * s.len + 2);
        }
    }
}

static void test_causes(void)
{
    for (int c = 0; c < AG_CAUSE_COUNT; c++) {
        CU_ASSERT_TRUE(strlen(ag_cause_name((enum ag_cause)c)) > 2);
        CU_ASSERT_TRUE(strlen(ag_cause_text((enum ag_cause)c)) > 10);
        CU_ASSERT_TRUE(strlen(ag_cause_remedy((enum ag_cause)c)) > 10);
    }
    CU_ASSERT_EQUAL(ag_body_variant_cause(AG_BODY_PLUS), AG_CAUSE_body_plus_as_space);
}

static void test_gate(void)
{
    struct ag_explain_gate g = {0};
    struct antag_fault fault;
    int64_t now = 1000;

    for (int i = 0; i < AG_EXPLAIN_BURST; i++)
        CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now, &fault), ANTAG_ERR_BUSY);
    CU_ASSERT_EQUAL(fault.retry_after_ms, 1000 / AG_EXPLAIN_RATE);
    CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now + fault.retry_after_ms - 1, &fault), ANTAG_ERR_BUSY);
    CU_ASSERT_EQUAL(fault.retry_after_ms, 1);
    CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now + 1000 / AG_EXPLAIN_RATE, &fault), ANTAG_OK);
    now += 3600 * 1000; /* an hour gives no more than a burst */
    for (int i = 0; i < AG_EXPLAIN_BURST; i++)
        CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now, &fault), ANTAG_ERR_BUSY);
    now += 3600 * 1000; /* the largest body can be explained, and is most of a burst */
    CU_ASSERT_EQUAL(ag_explain_pass(&g, ANTAG_BODY_MAX, now, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_explain_pass(&g, ANTAG_BODY_MAX, now, &fault), ANTAG_ERR_BUSY);
    CU_ASSERT_EQUAL(fault.retry_after_ms, (17 - 3) * 1000 / AG_EXPLAIN_RATE);
    CU_ASSERT_EQUAL(ag_explain_pass(&g, 9, now, &fault), ANTAG_OK);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"variants of a body", test_variants},
        {"their bounds", test_bounds},
        {"causes", test_causes},
        {"how often", test_gate},
        CU_TEST_INFO_NULL,
    };

    return run_tests("explain", tests);
}
