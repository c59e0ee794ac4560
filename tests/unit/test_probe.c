/* What a probe says, and what unsigned answers say about keys. */
#include <string.h>

#include "agent/core/probe.h"
#include "tests/support/rows.h"

static void test_texts(void)
{
    char uri[AG_PROBE_URI_MAX], body[AG_PROBE_BODY_MAX];
    struct ag_antom_prefix prefix;
    static const char want[] = "POST /ams/api/v1/payments/inquiryPayment\n5Y1.1700000000000.";

    ag_probe_uri(AG_ENV_LIVE, uri);
    CU_ASSERT_STRING_EQUAL(uri, "/ams/api/v1/payments/inquiryPayment");
    ag_probe_uri(AG_ENV_SANDBOX, uri);
    CU_ASSERT_STRING_EQUAL(uri, "/ams/sandbox/api/v1/payments/inquiryPayment");
    CU_ASSERT_EQUAL(ag_probe_body(antag_slice_of("0123456789abcdef0123456789abcdef"), body),
                    strlen(body));
    CU_ASSERT_STRING_EQUAL(
        body, "{\"paymentRequestId\":\"antom-agent-probe-0123456789abcdef0123456789abcdef\"}");
    CU_ASSERT_EQUAL(ag_probe_prefix(AG_ENV_LIVE, antag_slice_of("5Y1"),
                                    antag_slice_of("1700000000000"), &prefix),
                    ANTAG_OK);
    CU_ASSERT_EQUAL(prefix.len, sizeof want - 1);
    CU_ASSERT_EQUAL(memcmp(prefix.text, want, sizeof want - 1), 0);
    CU_ASSERT_EQUAL(
        ag_probe_prefix(AG_ENV_LIVE, antag_slice_of("5.1"), antag_slice_of("17"), &prefix),
        ANTAG_ERR_BAD_PARAM);
}

static void test_ids(void)
{
    static const struct {
        const char *name, *id;
        bool good;
    } rows[] = {
        {"all", "0123456789abcdef0123456789abcdef", true},
        {"short", "01234567", true},
        {"empty", "", false},
        {"too short", "0123456", false},
        {"too long", "0123456789abcdef0123456789abcdef0", false},
        {"upper case", "0123456789ABCDEF", false},
        {"a quote", "01234567\"", false},
        {"not hexadecimal", "0123456789abcdeg", false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++)
        ROW_ASSERT(rows[i].name, ag_probe_check_id(antag_slice_of(rows[i].id), NULL) ==
                                     (rows[i].good ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
}

static void test_answers(void)
{
    static const struct {
        const char *name, *body;
        const char *code; /* NULL: it says nothing of keys */
    } rows[] = {
        {"the gateway's",
         "{\"result\":{\"resultCode\":\"INVALID_SIGNATURE\",\"resultStatus\":\"F\"}}",
         "INVALID_SIGNATURE"},
        {"an old sample", "{\"result\":{\"resultCode\":\"SIGNATURE_INVALID\"}}",
         "SIGNATURE_INVALID"},
        {"no key", "{\"result\":{\"resultCode\" : \n\"KEY_NOT_FOUND\"}}", "KEY_NOT_FOUND"},
        {"another code", "{\"result\":{\"resultCode\":\"ORDER_NOT_EXIST\"}}", NULL},
        {"a longer code", "{\"resultCode\":\"INVALID_SIGNATURE_X\"}", NULL},
        {"in another field", "{\"resultMessage\":\"INVALID_SIGNATURE\"}", NULL},
        {"a second code", "{\"resultCode\":\"X\",\"resultCode\":\"KEY_NOT_FOUND\"}",
         "KEY_NOT_FOUND"},
        {"not a text", "{\"resultCode\":5}", NULL},
        {"cut", "{\"resultCode\":\"INVALID_SIGNATURE", NULL},
        {"cut before", "{\"resultCode\":", NULL},
        {"cut at the name", "{\"resultCode\"", NULL},
        {"nothing", "", NULL},
        {"not JSON", "<html>INVALID_SIGNATURE</html>", NULL},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        const char *code = NULL;
        bool named = ag_probe_names_key(antag_slice_of(rows[i].body), &code);

        ROW_ASSERT(rows[i].name, named == (rows[i].code != NULL));
        ROW_ASSERT(rows[i].name, !named || strcmp(code, rows[i].code) == 0);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"texts", test_texts},
        {"ids", test_ids},
        {"answers", test_answers},
        CU_TEST_INFO_NULL,
    };

    return run_tests("probe", tests);
}
