/* Verifying: the order of errors, the headers, the keys that are tried, and the age. */
#include "agent/front/verify.h"
#include "proto/message.h"
#include "tests/support/front_rows.h"

#define NOW  INT64_C(1700000000000)
#define TIME "1700000000000"
#define PAY  "/ams/api/v1/payments/pay"
#define SND  "/ams/sandbox/api/v1/payments/pay"
#define BODY "{\"a\":1}"

static EVP_PKEY *active, *retiring, *foreign;
static struct ag_rows *rows;
static struct ag_snapshot *snap;
static struct ag_hasher *hasher;
static struct ag_verifier *verifier;
static struct ag_conf conf;
static const struct ag_caller caller = {.uid = CALLER_UID};

static void set_up(void)
{
    struct ag_snap_row ages = profile_row(4, "ages/sandbox", AG_ENV_SANDBOX, CLIENT_ID);

    ages.u.profile.response_max_age_ms = 1000;
    ages.u.profile.notification_max_age_ms = 0;
    ag_conf_default(&conf);
    hasher = ag_hasher_new();
    verifier = ag_verifier_new();
    active = make_key(2048);
    retiring = make_key(3072);
    foreign = make_key(2048);
    rows = ag_rows_new();
    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(2, "void/sandbox", AG_ENV_SANDBOX, ""));
    apply(rows, profile_row(3, "nokey/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, ages);
    apply(rows, profile_row(5, "secret/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(6, "sign/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    for (uint64_t i = 1; i <= 4; i++)
        apply(rows, grant_row(i, i, AG_OP_VERIFY, NULL));
    apply(rows, grant_row(6, 6, AG_OP_SIGN, NULL));
    apply(rows, antom_key_row(1, 1, 1, AG_ANTOM_KEY_RETIRING, retiring));
    apply(rows, antom_key_row(2, 1, 2, AG_ANTOM_KEY_ACTIVE, active));
    apply(rows, antom_key_row(3, 1, 3, AG_ANTOM_KEY_STAGED, foreign));
    apply(rows, antom_key_row(4, 4, 1, AG_ANTOM_KEY_ACTIVE, active));
    snap = commit(rows, 1);
}

static void tear_down(void)
{
    ag_snapshot_release(snap);
    ag_rows_free(rows);
    ag_verifier_free(verifier); /* after its keys: it holds them itself */
    ag_hasher_free(hasher);
    EVP_PKEY_free(active);
    EVP_PKEY_free(retiring);
    EVP_PKEY_free(foreign);
}

/* A Signature header over the text, made by OpenSSL alone. */
static const char *signature(EVP_PKEY *key, const char *uri, const char *time, const char *body)
{
    static char header[AG_ANTOM_SIG_TEXT_MAX];
    uint8_t sig[ANTAG_SIG_MAX];
    size_t len = sizeof sig;
    char text[4096];
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    snprintf(text, sizeof text, "POST %s\n%s.%s.%s", uri, CLIENT_ID, time, body);
    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, sig, &len, (const uint8_t *)text, strlen(text)) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    ag_antom_signature_render(99, (struct antag_slice){sig, len}, header);
    return header;
}

/* ---- params, packed and read again as they come from the wire */

struct header {
    const char *name;
    const char *value; /* NULL: nil; "[]": an empty list; "[x": a list of x; "[2x": of x twice */
};

struct message {
    const char *profile, *uri, *body;
    struct header headers[5]; /* ends with a NULL name */
    int64_t max_age_ms;       /* -1: not given */
    enum ag_verify_kind kind;
};

static void write_value(struct antag_writer *w, const char *value)
{
    int count;

    if (!value || value[0] != '[') {
        antag_w_str(w, value);
        return;
    }
    count = value[1] == ']' ? 0 : value[1] == '2' ? 2 : 1;
    antag_w_array(w);
    for (int i = 0; i < count; i++)
        antag_w_str(w, value + (count == 2 ? 2 : 1));
    antag_w_end(w);
}

static enum antag_err verify(const struct message *msg, struct ag_verified *out,
                             struct antag_fault *fault)
{
    struct ag_asking asking = {snap, &conf, &caller, NOW, false, 0};
    enum antag_agent_method which;
    struct antag_verify_params params;
    struct antag_decoder decoder;
    struct antag_message m;
    struct antag_slice bytes;
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, 65536);
    antag_m_request(&w, 1, "verify_response");
    antag_w_map(&w);
    antag_w_kv_str(&w, "profile", msg->profile);
    antag_w_kv_str(&w, "method", "POST");
    antag_w_kv_str(&w, "uri", msg->uri);
    antag_w_kv_str(&w, "body", msg->body);
    antag_w_key(&w, "headers");
    antag_w_map(&w);
    for (const struct header *h = msg->headers; h->name; h++) {
        antag_w_key(&w, h->name);
        write_value(&w, h->value);
    }
    antag_w_end(&w);
    if (msg->max_age_ms >= 0)
        antag_w_kv_int(&w, "max_age_ms", msg->max_age_ms);
    antag_w_end(&w);
    antag_m_close(&w);
    if (antag_writer_end(&w, &bytes) != ANTAG_OK || antag_decoder_init(&decoder) != ANTAG_OK ||
        antag_message_parse(&decoder, bytes, &m, fault) != ANTAG_OK)
        abort();
    err = antag_params_parse(&antag_agent_method(m.name, &which)->params, false, &m.params, &params,
                             fault);
    if (err == ANTAG_OK)
        err = ag_verify(&asking, msg->kind, &params, hasher, verifier, out, fault);
    out->time = (struct antag_slice){0}; /* borrowed from what is freed here */
    antag_decoder_fini(&decoder);
    antag_writer_fini(&w);
    return err;
}

static struct message response(const char *profile, const char *sig)
{
    return (struct message){
        profile, PAY,
        BODY,    {{"client-id", CLIENT_ID}, {"response-time", TIME}, {"signature", sig}},
        -1,      AG_VERIFY_RESPONSE};
}

/* ---- rows */

static void test_headers(void)
{
    char sig[AG_ANTOM_SIG_TEXT_MAX], list[AG_ANTOM_SIG_TEXT_MAX + 1], twice[sizeof list + 1];
    const struct {
        const char *name;
        struct header headers[5];
        enum antag_err err;
    } table[] = {
        {"as sent", {{"client-id", CLIENT_ID}, {"response-time", TIME}, {"signature", sig}}, 0},
        {"any case", {{"CLIENT-ID", CLIENT_ID}, {"Response-Time", TIME}, {"sIgNaTuRe", sig}}, 0},
        {"a list of one",
         {{"client-id", CLIENT_ID}, {"response-time", TIME}, {"signature", list}},
         0},
        {"others twice",
         {{"client-id", CLIENT_ID}, {"response-time", TIME}, {"signature", sig}, {"x", "[2a"}},
         0},
        {"request-time is another one",
         {{"client-id", CLIENT_ID},
          {"response-time", TIME},
          {"signature", sig},
          {"request-time", "x"}},
         0},

        {"none", {{NULL, NULL}}, ANTAG_ERR_UNSIGNED},
        {"only others", {{"content-type", "text/html"}}, ANTAG_ERR_UNSIGNED},
        {"client id alone", {{"client-id", CLIENT_ID}}, ANTAG_ERR_UNSIGNED},
        {"empty ones",
         {{"client-id", CLIENT_ID}, {"response-time", ""}, {"signature", ""}},
         ANTAG_ERR_UNSIGNED},
        {"nil and an empty list",
         {{"client-id", CLIENT_ID}, {"response-time", NULL}, {"signature", "[]"}},
         ANTAG_ERR_UNSIGNED},
        {"no client id", {{"response-time", TIME}, {"signature", sig}}, ANTAG_ERR_HALF_SIGNED},
        {"no time", {{"client-id", CLIENT_ID}, {"signature", sig}}, ANTAG_ERR_HALF_SIGNED},
        {"no signature",
         {{"client-id", CLIENT_ID}, {"response-time", TIME}},
         ANTAG_ERR_HALF_SIGNED},
        {"the time of a notification",
         {{"client-id", CLIENT_ID}, {"request-time", TIME}, {"signature", sig}},
         ANTAG_ERR_HALF_SIGNED},
        {"an empty client id",
         {{"client-id", ""}, {"response-time", TIME}, {"signature", sig}},
         ANTAG_ERR_HALF_SIGNED},
        {"signature out of form",
         {{"client-id", "x"}, {"response-time", "x"}, {"signature", "x"}},
         ANTAG_ERR_SIGNATURE_FORM},
        {"time out of form",
         {{"client-id", "x"}, {"response-time", TIME " "}, {"signature", sig}},
         ANTAG_ERR_TIME_FORM},
        {"another client id",
         {{"client-id", "SANDBOX_5X00000000000002"}, {"response-time", TIME}, {"signature", sig}},
         ANTAG_ERR_WRONG_CLIENT_ID},
        {"a longer client id",
         {{"client-id", CLIENT_ID "1"}, {"response-time", TIME}, {"signature", sig}},
         ANTAG_ERR_WRONG_CLIENT_ID},
        {"another time",
         {{"client-id", CLIENT_ID}, {"response-time", "1700000000001"}, {"signature", sig}},
         ANTAG_ERR_SIGNATURE_INVALID},
        {"a short signature",
         {{"client-id", CLIENT_ID}, {"response-time", TIME}, {"signature", "signature=AAAA"}},
         ANTAG_ERR_SIGNATURE_INVALID},
        {"twice, in two spellings",
         {{"client-id", CLIENT_ID},
          {"response-time", TIME},
          {"signature", sig},
          {"Signature", sig}},
         ANTAG_ERR_BAD_PARAM},
        {"twice, one empty",
         {{"client-id", CLIENT_ID}, {"CLIENT-ID", ""}, {"response-time", TIME}, {"signature", sig}},
         ANTAG_ERR_BAD_PARAM},
        {"a list of two",
         {{"client-id", CLIENT_ID}, {"response-time", TIME}, {"signature", twice}},
         ANTAG_ERR_BAD_PARAM},
    };

    snprintf(sig, sizeof sig, "%s", signature(active, SND, TIME, BODY));
    snprintf(list, sizeof list, "[%s", sig);
    snprintf(twice, sizeof twice, "[2%s", sig);
    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct message msg = response("shop/sandbox", sig);
        struct antag_fault fault = {.err = ANTAG_OK};
        struct ag_verified got = {.version = 77};

        memcpy(msg.headers, table[i].headers, sizeof msg.headers);
        ROW_ASSERT(table[i].name, verify(&msg, &got, &fault) == table[i].err);
        ROW_ASSERT(table[i].name, fault.err == table[i].err);
        ROW_ASSERT(table[i].name, got.version == (table[i].err == ANTAG_OK ? 2 : 77));
        ROW_ASSERT(table[i].name,
                   table[i].err != ANTAG_ERR_BAD_PARAM || strcmp(fault.field, "headers") == 0);
    }
}

/* Each profile breaks one rule; the message breaks all those that come after it. */
static void test_order(void)
{
    static const struct {
        const char *name, *profile, *uri;
        enum antag_err err;
    } table[] = {
        {"a URI out of form", "nope/sandbox", "x", ANTAG_ERR_BAD_PARAM},
        {"unknown", "nope/sandbox", "/x", ANTAG_ERR_DENIED},
        {"not granted", "secret/sandbox", "/x", ANTAG_ERR_DENIED},
        {"granted for signing only", "sign/sandbox", "/x", ANTAG_ERR_DENIED},
        {"incomplete", "void/sandbox", "/x", ANTAG_ERR_PROFILE_INCOMPLETE},
        {"fenced", "nokey/sandbox", "/x", ANTAG_ERR_WRONG_ENVIRONMENT},
        {"an unsigned call", "nokey/sandbox", "/ams/api/v1/meter/uploadEvent",
         ANTAG_ERR_NOT_SIGNED_CALL},
        {"no Antom key", "nokey/sandbox", PAY, ANTAG_ERR_NO_ANTOM_KEY},
        {"unsigned", "shop/sandbox", PAY, ANTAG_ERR_UNSIGNED},
        {"a query is no matter", "shop/sandbox", PAY "?a=1", ANTAG_ERR_UNSIGNED},
    };

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct message msg = response(table[i].profile, "");
        struct antag_fault fault;
        struct ag_verified got;

        msg.uri = table[i].uri;
        msg.headers[0].name = NULL;
        ROW_ASSERT(table[i].name, verify(&msg, &got, &fault) == table[i].err);
    }
}

static void test_keys(void)
{
    const struct {
        const char *name;
        EVP_PKEY *key;
        const char *uri, *signed_uri, *body;
        enum antag_err err;
        uint32_t version;
    } table[] = {
        {"active", active, PAY, SND, BODY, ANTAG_OK, 2},
        {"retiring, of another size", retiring, PAY, SND, BODY, ANTAG_OK, 1},
        {"a URI in its derived form", active, SND, SND, BODY, ANTAG_OK, 2},
        {"an empty body", active, PAY, SND, "", ANTAG_OK, 2},
        {"staged", foreign, PAY, SND, BODY, ANTAG_ERR_SIGNATURE_INVALID, 0},
        {"signed with the live path", active, PAY, PAY, BODY, ANTAG_ERR_SIGNATURE_INVALID, 0},
        {"another path", active, PAY "x", SND, BODY, ANTAG_ERR_SIGNATURE_INVALID, 0},
        {"a query added", active, PAY "?", SND, BODY, ANTAG_ERR_SIGNATURE_INVALID, 0},
    };

    for (int round = 0; round < 3; round++) { /* contexts are used again */
        for (size_t i = 0; i < ROW_COUNT(table); i++) {
            struct message msg = response(
                "shop/sandbox", signature(table[i].key, table[i].signed_uri, TIME, table[i].body));
            struct antag_fault fault;
            struct ag_verified got = {0};

            msg.uri = table[i].uri;
            msg.body = table[i].body;
            ROW_ASSERT(table[i].name, verify(&msg, &got, &fault) == table[i].err);
            ROW_ASSERT(table[i].name, got.version == table[i].version);
        }
    }
}

/* A notification: its own URI as it came, and the header's name for the time. */
static void test_notification(void)
{
    static const char *const uris[] = {"/notify/antom?shop=7", PAY, "/a/../b;c//d%2F", "/"};

    for (size_t i = 0; i < ROW_COUNT(uris); i++) {
        struct message msg = {"shop/sandbox",
                              uris[i],
                              BODY,
                              {{"client-id", CLIENT_ID},
                               {"Request-Time", TIME},
                               {"signature", signature(active, uris[i], TIME, BODY)}},
                              -1,
                              AG_VERIFY_NOTIFICATION};
        struct antag_fault fault;
        struct ag_verified got;

        ROW_ASSERT(uris[i], verify(&msg, &got, &fault) == ANTAG_OK);
        msg.headers[1].name = "response-time";
        ROW_ASSERT(uris[i], verify(&msg, &got, &fault) == ANTAG_ERR_HALF_SIGNED);
    }
}

static void test_age(void)
{
    static const struct {
        const char *name, *profile, *time;
        int64_t max_age_ms;
        enum antag_err err;
        int64_t age_ms;
    } table[] = {
        {"policy", "shop/sandbox", "1699999100000", -1, ANTAG_OK, 900000},
        {"over the policy", "shop/sandbox", "1699999099999", -1, ANTAG_ERR_TOO_OLD, 0},
        {"the profile's", "ages/sandbox", "1699999999000", -1, ANTAG_OK, 1000},
        {"over the profile's", "ages/sandbox", "1699999998999", -1, ANTAG_ERR_TOO_OLD, 0},
        {"the request's before the profile's", "ages/sandbox", "1699999998000", 2000, ANTAG_OK,
         2000},
        {"over the request's", "shop/sandbox", "1699999997999", 2000, ANTAG_ERR_TOO_OLD, 0},
        {"any age", "shop/sandbox", "1000000000", 0, ANTAG_OK, 700000000000},
        {"ahead, within the skew", "shop/sandbox", "1700000300000", -1, ANTAG_OK, -300000},
        {"too far ahead", "shop/sandbox", "1700000300001", 0, ANTAG_ERR_IN_THE_FUTURE, 0},
    };

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct message msg =
            response(table[i].profile, signature(active, SND, table[i].time, BODY));
        struct antag_fault fault;
        struct ag_verified got = {0};

        msg.headers[1].value = table[i].time;
        msg.max_age_ms = table[i].max_age_ms;
        ROW_ASSERT(table[i].name, verify(&msg, &got, &fault) == table[i].err);
        ROW_ASSERT(table[i].name, got.age_ms == table[i].age_ms);
    }
}

/* The age comes last: an old message that is not genuine is called not genuine. */
static void test_age_last(void)
{
    struct message msg = response("shop/sandbox", signature(foreign, SND, "1000000000", BODY));
    struct antag_fault fault;
    struct ag_verified got;

    msg.headers[1].value = "1000000000";
    CU_ASSERT_EQUAL(verify(&msg, &got, &fault), ANTAG_ERR_SIGNATURE_INVALID);
}

/* More keys than contexts are kept, each used in turn; none takes another's place. */
static void test_many_contexts(void)
{
    enum { COUNT = 40 };
    static const uint8_t digest[AG_DIGEST_LEN] = {1};
    struct ag_verifier *v = ag_verifier_new();
    EVP_PKEY *pair[2] = {active, foreign};
    uint8_t sig[2][ANTAG_SIG_MAX];
    struct ag_verify_key keys[COUNT];

    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(pair[i], NULL);
        size_t len = sizeof sig[i];

        if (EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) != 1 ||
            EVP_PKEY_sign(ctx, sig[i], &len, digest, sizeof digest) != 1)
            abort();
        EVP_PKEY_CTX_free(ctx);
    }
    for (size_t i = 0; i < COUNT; i++)
        keys[i] = (struct ag_verify_key){.pkey = EVP_PKEY_dup(pair[i % 2]), .sig_len = 256};
    for (size_t n = 0; n < (size_t)3 * COUNT; n++) {
        const struct ag_verify_key *key = &keys[n * 7 % COUNT];
        size_t own = n * 7 % COUNT % 2;

        CU_ASSERT(ag_verifier_fits(v, key, digest, (struct antag_slice){sig[own], 256}));
        CU_ASSERT(!ag_verifier_fits(v, key, digest, (struct antag_slice){sig[1 - own], 256}));
        CU_ASSERT(!ag_verifier_fits(v, key, digest, (struct antag_slice){sig[own], 255}));
        CU_ASSERT(!ag_verifier_fits(v, key, digest, (struct antag_slice){NULL, 0}));
    }
    for (size_t i = 0; i < COUNT; i++)
        EVP_PKEY_free(keys[i].pkey);
    ag_verifier_free(v);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"rows for all that follows", set_up}, /* it asserts, so it is a test */
        {"headers", test_headers},
        {"order of errors", test_order},
        {"keys", test_keys},
        {"notifications", test_notification},
        {"age", test_age},
        {"age comes last", test_age_last},
        {"many contexts", test_many_contexts},
        {"everything is freed", tear_down},
        CU_TEST_INFO_NULL,
    };

    return run_tests("front_verify", tests);
}
