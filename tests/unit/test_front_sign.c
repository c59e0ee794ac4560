/* Signing up to the digest: what is refused, in which order, and what exactly would be signed. */
#include "agent/front/sign.h"
#include "proto/message.h"
#include "tests/support/front_rows.h"

#define NOW INT64_C(1700000000000)
#define PAY "/ams/api/v1/payments/pay"
#define SND "/ams/sandbox/api/v1/payments/pay"

static struct ag_rows *rows;
static struct ag_snapshot *snap;
static struct ag_hasher *hasher;
static struct ag_conf conf;
static const struct ag_caller caller = {.uid = CALLER_UID};
static const struct ag_caller stranger = {.uid = CALLER_UID + 1};

static void set_up(void)
{
    struct ag_snap_row no_key = profile_row(4, "nokey/live", AG_ENV_LIVE, "5Y4");
    struct ag_snap_row suspended = profile_row(5, "stopped/live", AG_ENV_LIVE, "5Y5");
    struct ag_snap_row query = grant_row(6, 6, AG_OP_SIGN, NULL);

    no_key.u.profile.handle = suspended.u.profile.handle = 0;
    no_key.u.profile.sign_err = ANTAG_ERR_NO_ACTIVE_KEY;
    suspended.u.profile.sign_err = ANTAG_ERR_KEY_STATE;
    snprintf(suspended.u.profile.sign_why, sizeof suspended.u.profile.sign_why,
             "version 3 is suspended");
    query.u.grant.query = true;
    query.u.grant.max_body = 8;
    ag_conf_default(&conf);
    hasher = ag_hasher_new();
    rows = ag_rows_new();
    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(2, "shop/live", AG_ENV_LIVE, "5Y1"));
    apply(rows, profile_row(3, "void/live", AG_ENV_LIVE, ""));
    apply(rows, no_key);
    apply(rows, suspended);
    apply(rows, profile_row(6, "query/live", AG_ENV_LIVE, "5Y6"));
    apply(rows, profile_row(7, "secret/live", AG_ENV_LIVE, "5Y7"));
    apply(rows, profile_row(8, "verify/live", AG_ENV_LIVE, "5Y8"));
    for (uint64_t i = 1; i <= 5; i++)
        apply(rows, grant_row(i, i, AG_OP_SIGN | AG_OP_VERIFY, i == 2 ? "/ams/api/v1/**" : NULL));
    apply(rows, query);
    apply(rows, grant_row(8, 8, AG_OP_VERIFY, NULL));
    apply(rows, fence_row(1, 1, "/ams/api/v1/risk/**"));
    apply(rows, fence_row(2, 1, "/ams/v1/aba/**"));
    snap = commit(rows, 1);
}

static void tear_down(void)
{
    ag_snapshot_release(snap);
    ag_rows_free(rows);
    ag_hasher_free(hasher);
}

static struct antag_opt_slice opt(const char *text)
{
    return (struct antag_opt_slice){text != NULL, antag_slice_of(text)};
}

static enum antag_err plan(const struct ag_caller *who, const char *profile, const char *method,
                           const char *uri, const char *time, const char *body,
                           struct ag_sign_plan *out, struct antag_fault *fault)
{
    struct ag_asking asking = {snap, &conf, who, NOW, false, 0};
    struct antag_sign_params p = {.profile = opt(profile),
                                  .method = opt(method),
                                  .uri = opt(uri),
                                  .body = opt(body),
                                  .time = opt(time)};

    return ag_sign_plan_make(&asking, &p, hasher, out, fault);
}

/* ---- what is signed: digests from Antom's string to sign, computed elsewhere */

static void test_digests(void)
{
    static const struct {
        const char *name, *uri, *body, *hex;
    } table[] = {
        {"a body", PAY, "{\"a\":1}",
         "003fc734a8f9ab973ae927e0db08bd93b2c71bca297f821c1bdb548812cff3ac"},
        {"a path already rewritten", SND, "{\"a\":1}",
         "003fc734a8f9ab973ae927e0db08bd93b2c71bca297f821c1bdb548812cff3ac"},
        {"an empty body", PAY, "",
         "43369f6acf6f5b2f36c15012c2f632064e12d1ad23a671adbfa6986ffe6f4ed4"},
    };

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct ag_sign_plan made;
        struct antag_fault fault;
        char hex[65] = "";

        ROW_ASSERT(table[i].name, plan(&caller, "shop/sandbox", "POST", table[i].uri, NULL,
                                       table[i].body, &made, &fault) == ANTAG_OK);
        for (size_t n = 0; n < sizeof made.digest; n++)
            snprintf(hex + 2 * n, 3, "%02x", made.digest[n]);
        ROW_ASSERT(table[i].name, strcmp(hex, table[i].hex) == 0);
        ROW_ASSERT(table[i].name, strcmp(made.uri, SND) == 0 && made.uri_len == strlen(SND));
        ROW_ASSERT(table[i].name, strcmp(made.time, "1700000000000") == 0);
    }
}

/* ---- refusals, and their order: each row breaks one rule and every later one it can */

static void test_outcomes(void)
{
    static const struct {
        const char *name, *profile, *method, *uri, *time, *body;
        enum antag_err err;
        const char *field; /* of a refusal */
    } table[] = {
        {"sandbox", "shop/sandbox", "POST", PAY, NULL, "", ANTAG_OK, ""},
        {"live", "shop/live", "POST", PAY, NULL, "", ANTAG_OK, ""},
        {"time now", "shop/live", "POST", PAY, "1700000000", "", ANTAG_OK, ""},
        {"time at the edge", "shop/live", "POST", PAY, "1699999700000", "", ANTAG_OK, ""},
        {"time at the other edge", "shop/live", "POST", PAY, "1700000300000", "", ANTAG_OK, ""},
        {"time as text", "shop/live", "POST", PAY, "2023-11-14T22:13:20Z", "", ANTAG_OK, ""},
        {"excepted by the fence", "shop/sandbox", "POST", "/ams/v1/aba/x", NULL, "", ANTAG_OK, ""},
        {"a query that is granted", "query/live", "POST", PAY "?a=1", NULL, "", ANTAG_OK, ""},
        {"a body at its edge", "query/live", "POST", PAY, NULL, "12345678", ANTAG_OK, ""},

        {"lower-case method", "nope/live", "post", PAY, NULL, "", ANTAG_ERR_BAD_PARAM, "method"},
        {"a line feed in the method", "nope/live", "POST\n", PAY, NULL, "", ANTAG_ERR_BAD_PARAM,
         "method"},
        {"a URI with a host", "nope/live", "POST", "https://x/y", NULL, "", ANTAG_ERR_BAD_PARAM,
         "uri"},
        {"a line feed in the URI", "nope/live", "POST", PAY "\n5Y1.1.", NULL, "",
         ANTAG_ERR_BAD_PARAM, "uri"},
        {"a dot segment", "nope/live", "POST", "/ams/api/../x", NULL, "", ANTAG_ERR_BAD_PARAM,
         "uri"},
        {"an escaped slash", "nope/live", "POST", "/ams/api%2fx", NULL, "", ANTAG_ERR_BAD_PARAM,
         "uri"},
        {"a double slash", "nope/live", "POST", "/ams//api", NULL, "", ANTAG_ERR_BAD_PARAM, "uri"},
        {"time out of form", "nope/live", "POST", PAY, "17000000000000", "", ANTAG_ERR_BAD_PARAM,
         "time"},
        {"time with a dot", "nope/live", "POST", PAY, "1700000000000.", "", ANTAG_ERR_BAD_PARAM,
         "time"},
        {"unknown profile", "nope/live", "POST", PAY, "1", "", ANTAG_ERR_BAD_PARAM, "time"},
        {"unknown profile, all else right", "nope/live", "POST", PAY, NULL, "", ANTAG_ERR_DENIED,
         ""},
        {"no grant", "secret/live", "POST", PAY, NULL, "", ANTAG_ERR_DENIED, ""},
        {"a grant to verify only", "verify/live", "POST", PAY, NULL, "", ANTAG_ERR_DENIED, ""},
        {"a path that is not granted", "shop/live", "POST", "/ams/api/v2/x", NULL, "",
         ANTAG_ERR_DENIED, ""},
        {"a query that is not granted", "shop/live", "POST", PAY "?a=1", NULL, "", ANTAG_ERR_DENIED,
         ""},
        {"a body over its edge", "query/live", "POST", PAY, NULL, "123456789", ANTAG_ERR_DENIED,
         ""},
        {"no client id", "void/live", "POST", SND, "1600000000000", "",
         ANTAG_ERR_PROFILE_INCOMPLETE, ""},
        {"an unsigned call", "shop/sandbox", "POST", "/ams/api/v1/meter/uploadEvent",
         "1600000000000", "", ANTAG_ERR_NOT_SIGNED_CALL, "uri"},
        {"a sandbox path in live", "nokey/live", "POST", SND, "1600000000000", "",
         ANTAG_ERR_WRONG_ENVIRONMENT, "uri"},
        {"no sandbox path in sandbox", "shop/sandbox", "POST", "/x", "1600000000000", "",
         ANTAG_ERR_WRONG_ENVIRONMENT, "uri"},
        {"time too old", "nokey/live", "POST", PAY, "1699999699999", "", ANTAG_ERR_TIME_SKEW,
         "time"},
        {"time too new", "nokey/live", "POST", PAY, "1700000300001", "", ANTAG_ERR_TIME_SKEW,
         "time"},
        {"no key", "nokey/live", "POST", PAY, "1700000000000", "", ANTAG_ERR_NO_ACTIVE_KEY, ""},
        {"a suspended key", "stopped/live", "POST", PAY, NULL, "", ANTAG_ERR_KEY_STATE, ""},
    };

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct ag_sign_plan made;
        struct antag_fault fault = {.err = ANTAG_OK};

        ROW_ASSERT(table[i].name,
                   plan(&caller, table[i].profile, table[i].method, table[i].uri, table[i].time,
                        table[i].body, &made, &fault) == table[i].err);
        ROW_ASSERT(table[i].name, fault.err == table[i].err);
        ROW_ASSERT(table[i].name, strcmp(fault.field, table[i].field) == 0);
    }
}

/* One text for what is not there and what is not granted. */
static void test_denied_alike(void)
{
    struct antag_fault nothing, forbidden, other;
    struct ag_sign_plan made;

    CU_ASSERT_EQUAL(plan(&caller, "nope/live", "POST", PAY, NULL, "", &made, &nothing),
                    ANTAG_ERR_DENIED);
    CU_ASSERT_EQUAL(plan(&caller, "secret/live", "POST", PAY, NULL, "", &made, &forbidden),
                    ANTAG_ERR_DENIED);
    CU_ASSERT_EQUAL(plan(&stranger, "shop/live", "POST", PAY, NULL, "", &made, &other),
                    ANTAG_ERR_DENIED);
    CU_ASSERT_STRING_EQUAL(nothing.text, forbidden.text);
    CU_ASSERT_STRING_EQUAL(nothing.text, other.text);
    CU_ASSERT_STRING_EQUAL(nothing.field, forbidden.field);
}

static void test_merchant(void)
{
    struct ag_asking asking = {snap, &conf, &caller, NOW, false, 0};
    struct antag_sign_params p = {.profile = opt("shop/live"),
                                  .method = opt("POST"),
                                  .uri = opt(PAY),
                                  .body = opt(""),
                                  .merchant = opt("m")};
    struct ag_sign_plan made;
    struct antag_fault fault;

    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(fault.field, "merchant");
    p.merchant = opt("a/b");
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_BAD_PARAM);
    asking.snap = NULL;
    p.merchant = opt(NULL);
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_DENIED);
}

/* An exception is for paths that the SDKs do not rewrite: it is signed as it was given. */
static void test_excepted(void)
{
    struct ag_sign_plan made;

    CU_ASSERT_EQUAL(plan(&caller, "shop/sandbox", "POST", "/ams/api/v1/risk/payments/decide", NULL,
                         "", &made, NULL),
                    ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(made.uri, "/ams/api/v1/risk/payments/decide");
}

/* Each profile has merchants of its own; a grant that names some is for these only. */
static void test_merchants(void)
{
    static const struct {
        const char *name, *profile, *merchant; /* NULL: none */
        enum antag_err err;
    } cases[] = {
        {"one of the profile", "hub/sandbox", "m1", ANTAG_OK},
        {"one of the other profile", "hub/sandbox", "m2", ANTAG_ERR_NOT_FOUND},
        {"of the other one, not named by the grant", "hub/live", "m1", ANTAG_ERR_DENIED},
        {"suspended", "hub/sandbox", "idle", ANTAG_ERR_MERCHANT_SUSPENDED},
        {"none is asked for", "hub/sandbox", NULL, ANTAG_OK},
        {"in another case", "hub/sandbox", "M1", ANTAG_ERR_NOT_FOUND},
        {"a part of it", "hub/sandbox", "m", ANTAG_ERR_NOT_FOUND},
        {"a form that no merchant has", "hub/sandbox", "m 1", ANTAG_ERR_BAD_PARAM},
        {"named by the grant", "hub/live", "m2", ANTAG_OK},
        {"by a glob of the grant", "hub/live", "eu-7", ANTAG_OK},
        {"there, and not named by the grant", "hub/live", "m3", ANTAG_ERR_DENIED},
        {"none, under a grant that names some", "hub/live", NULL, ANTAG_ERR_DENIED},
    };
    struct ag_snap_row named = grant_row(31, 31, AG_OP_SIGN, NULL);
    struct ag_asking asking = {NULL, &conf, &caller, NOW, false, 0};
    struct ag_snapshot *with;

    named.u.grant.merchants = calloc(2, sizeof *named.u.grant.merchants);
    named.u.grant.merchants[0] = strdup("m2");
    named.u.grant.merchants[1] = strdup("eu-*");
    named.u.grant.merchant_count = 2;
    apply(rows, profile_row(30, "hub/sandbox", AG_ENV_SANDBOX, "SANDBOX_5Y30"));
    apply(rows, profile_row(31, "hub/live", AG_ENV_LIVE, "5Y31"));
    apply(rows, grant_row(30, 30, AG_OP_SIGN, NULL));
    apply(rows, named);
    apply(rows, merchant_row(1, 30, "m1", false));
    apply(rows, merchant_row(2, 30, "idle", true));
    apply(rows, merchant_row(3, 31, "m2", false));
    apply(rows, merchant_row(4, 31, "m3", false));
    apply(rows, merchant_row(5, 31, "eu-7", false));
    asking.snap = with = commit(rows, 5);
    for (size_t i = 0; i < ROW_COUNT(cases); i++) {
        struct antag_sign_params p = {.profile = opt(cases[i].profile),
                                      .method = opt("POST"),
                                      .uri = opt(PAY),
                                      .body = opt(""),
                                      .merchant = opt(cases[i].merchant)};
        struct ag_sign_plan made = {0};
        struct antag_fault fault = {0};
        enum antag_err err;

        p.merchant.set = cases[i].merchant != NULL;
        err = ag_sign_plan_make(&asking, &p, hasher, &made, &fault);
        ROW_ASSERT(cases[i].name, err == cases[i].err);
        ROW_ASSERT(cases[i].name, err != ANTAG_OK || (made.merchant != NULL) == p.merchant.set);
        ROW_ASSERT(cases[i].name, made.merchant == NULL || err != ANTAG_OK ||
                                      strcmp(made.merchant->row->name, cases[i].merchant) == 0);
    }
    ag_snapshot_release(with);
}

static struct ag_snapshot *with_rates(uint32_t first, uint32_t second, bool again)
{
    struct ag_snap_row a = grant_row(20, 2, AG_OP_SIGN, NULL);
    struct ag_snap_row b = grant_row(21, 2, AG_OP_SIGN, NULL);

    if (again) { /* the steward starts anew */
        CU_ASSERT_EQUAL_FATAL(ag_rows_begin(rows), ANTAG_OK);
        apply(rows, profile_row(2, "shop/live", AG_ENV_LIVE, "5Y1"));
    }
    a.u.grant.rate = (struct ag_bucket){first, first};
    b.u.grant.rate = (struct ag_bucket){second, 1};
    apply(rows, a);
    apply(rows, b);
    return commit(rows, 9);
}

/* Grants 20 and 21 let through what they say, whichever has something left; a new snapshot gives nothing
 * back unless the rate is another. */
static void test_rates(void)
{
    struct ag_snapshot *rated = with_rates(2, 1, false);
    struct ag_asking asking = {rated, &conf, &caller, NOW, false, 1000000000};
    struct antag_sign_params p = {
        .profile = opt("shop/live"), .method = opt("POST"), .uri = opt("/x"), .body = opt("")};
    struct ag_sign_plan made;
    struct antag_fault fault;

    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_OK);
    for (int round = 0; round < 3; round++) {
        CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_BUSY);
        CU_ASSERT_EQUAL(fault.retry_after_ms, 500);
        CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "grant 20 on shop/live lets 2 requests"));
        ag_snapshot_release(rated);
        asking.snap = rated = with_rates(2, 1, round == 1);
    }
    p.method = opt("post"); /* forms come first, and cost nothing */
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_BAD_PARAM);
    p.method = opt("POST");
    asking.mono_ns += 500 * 1000000;
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_BUSY);
    ag_snapshot_release(rated);
    asking.snap = rated = with_rates(3, 1, false);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_ERR_BUSY);
    ag_snapshot_release(rated);
    asking.snap = rated = with_rates(3, 0, false); /* one without a limit opens the way */
    CU_ASSERT_EQUAL(ag_sign_plan_make(&asking, &p, hasher, &made, &fault), ANTAG_OK);
    ag_snapshot_release(rated);
}

static void test_skew_off(void)
{
    struct ag_sign_plan made;

    conf.policy_max_time_skew_ms = 0;
    CU_ASSERT_EQUAL(plan(&caller, "shop/live", "POST", PAY, "1000000000", "", &made, NULL),
                    ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(made.time, "1000000000");
    ag_conf_default(&conf);
}

static void test_longest(void)
{
    char uri[ANTAG_URI_MAX + 1];
    struct ag_sign_plan made;

    memset(uri, 'a', sizeof uri);
    memcpy(uri, "/ams/api/v1/", 12);
    uri[ANTAG_URI_MAX] = '\0';
    CU_ASSERT_EQUAL(plan(&caller, "shop/sandbox", "POST", uri, NULL, "", &made, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(made.uri_len, ANTAG_URI_MAX + strlen("/sandbox"));
    CU_ASSERT_EQUAL(strlen(made.uri), made.uri_len);
}

static void test_result(void)
{
    static const uint8_t sig[256] = {0xfb, 0xff};
    struct antag_decoder decoder;
    struct ag_sign_plan made;
    struct antag_writer w;
    struct antag_message m;
    struct antag_slice bytes;
    const msgpack_object *headers;
    char text[AG_ANTOM_SIG_TEXT_MAX];
    uint64_t number;

    CU_ASSERT_EQUAL_FATAL(plan(&caller, "shop/sandbox", "POST", PAY, NULL, "", &made, NULL),
                          ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(antag_decoder_init(&decoder), ANTAG_OK);
    antag_writer_init(&w, 8192);
    antag_m_answer(&w, 1);
    ag_sign_result_write(&w, &made, (struct antag_slice){sig, sizeof sig}, 4711, "");
    antag_m_close(&w);
    CU_ASSERT_EQUAL_FATAL(antag_writer_end(&w, &bytes), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(antag_message_parse(&decoder, bytes, &m, NULL), ANTAG_OK);
    headers = antag_object_get(&m.result, "headers");
    CU_ASSERT(antag_object_text(headers, "Client-Id", text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, CLIENT_ID);
    CU_ASSERT(antag_object_text(headers, "Request-Time", text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "1700000000000");
    CU_ASSERT(antag_object_text(headers, "Content-Type", text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, "application/json; charset=UTF-8");
    CU_ASSERT(antag_object_text(headers, "Signature", text, sizeof text));
    CU_ASSERT_EQUAL(strncmp(text, "algorithm=RSA256,keyVersion=7,signature=%2B%2F8AAA", 50), 0);
    CU_ASSERT(antag_object_text(&m.result, "uri", text, sizeof text));
    CU_ASSERT_STRING_EQUAL(text, SND);
    CU_ASSERT_PTR_NULL(antag_object_get(&m.result, "url")); /* no gateway is set */
    CU_ASSERT(antag_object_uint(&m.result, "version", &number) && number == 3);
    CU_ASSERT(antag_object_uint(&m.result, "key_version", &number) && number == 7);
    CU_ASSERT(antag_object_text(&m.result, "record", text, sizeof text));
    CU_ASSERT_STRING_EQUAL(strchr(text, ':'), ":4711");
    antag_writer_fini(&w);
    antag_decoder_fini(&decoder);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"rows for all that follows", set_up}, /* it asserts, so it is a test */
        {"digests", test_digests},
        {"outcomes in order", test_outcomes},
        {"unknown and forbidden alike", test_denied_alike},
        {"merchant, and no snapshot", test_merchant},
        {"excepted paths", test_excepted},
        {"skew check off", test_skew_off},
        {"longest URI", test_longest},
        {"result", test_result},
        {"merchants", test_merchants},
        {"rates", test_rates},
        {"everything is freed", tear_down},
        CU_TEST_INFO_NULL,
    };

    return run_tests("front_sign", tests);
}
