/* Explaining, where only rows of the registry make the case: keys that are staged, grants, other profiles. What people
 * do wrong with messages is in tests/integration/test_explain.py. */
#include "agent/front/explain.h"
#include "proto/message.h"
#include "tests/support/front_rows.h"

#define NOW  INT64_C(1700000000000)
#define TIME "1700000000000"
#define PAY  "/ams/api/v1/payments/pay"
#define SND  "/ams/sandbox/api/v1/payments/pay"
#define BODY "{\"a\":1}"

static EVP_PKEY *active, *staged, *live, *elsewhere;
static struct ag_rows *rows;
static struct ag_snapshot *snap;
static struct ag_hasher *hasher;
static struct ag_verifier *verifier;
static struct ag_conf conf;

static void set_up(void)
{
    ag_conf_default(&conf);
    hasher = ag_hasher_new();
    verifier = ag_verifier_new();
    active = make_key(2048);
    staged = make_key(2048);
    live = make_key(2048);
    elsewhere = make_key(2048);
    rows = ag_rows_new();
    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(2, "new/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(3, "shop/live", AG_ENV_LIVE, "5Y1"));
    apply(rows, profile_row(4, "other/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    for (uint64_t i = 1; i <= 3; i++)
        apply(rows, grant_row(i, i, i == 3 ? AG_OP_VERIFY : AG_OP_EXPLAIN, NULL));
    apply(rows, antom_key_row(1, 1, 1, AG_ANTOM_KEY_ACTIVE, active));
    apply(rows, antom_key_row(2, 1, 2, AG_ANTOM_KEY_STAGED, staged));
    apply(rows, antom_key_row(3, 2, 1, AG_ANTOM_KEY_STAGED, staged));
    apply(rows, antom_key_row(4, 3, 1, AG_ANTOM_KEY_ACTIVE, live));
    apply(rows, antom_key_row(5, 4, 1, AG_ANTOM_KEY_ACTIVE, elsewhere));
    snap = commit(rows, 1);
}

static void tear_down(void)
{
    EVP_PKEY *keys[] = {active, staged, live, elsewhere};

    ag_snapshot_release(snap);
    ag_rows_free(rows);
    ag_verifier_free(verifier);
    ag_hasher_free(hasher);
    for (size_t i = 0; i < ROW_COUNT(keys); i++)
        EVP_PKEY_free(keys[i]);
}

static void signature(EVP_PKEY *key, char header[AG_ANTOM_SIG_TEXT_MAX])
{
    static const char text[] = "POST " SND "\n" CLIENT_ID "." TIME "." BODY;
    uint8_t sig[ANTAG_SIG_MAX];
    size_t len = sizeof sig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, sig, &len, (const uint8_t *)text, sizeof text - 1) != 1)
        abort();
    EVP_MD_CTX_free(ctx);
    ag_antom_signature_render(1, (struct antag_slice){sig, len}, header);
}

/* As it comes from the wire. */
static enum antag_err explain(const char *kind, const char *profile, EVP_PKEY *by, uint32_t uid,
                              struct ag_explained *out, struct antag_fault *fault)
{
    struct ag_caller who = {.uid = uid};
    struct ag_asking asking = {snap, &conf, &who, NOW, false, 0};
    enum antag_agent_method which;
    struct antag_explain_params params;
    struct antag_decoder decoder;
    struct antag_message m;
    struct antag_slice bytes;
    struct antag_writer w;
    char header[AG_ANTOM_SIG_TEXT_MAX];
    enum antag_err err;

    signature(by, header);
    antag_writer_init(&w, 65536);
    antag_m_request(&w, 1, "explain");
    antag_w_map(&w);
    antag_w_kv_str(&w, "kind", kind);
    antag_w_kv_str(&w, "profile", profile);
    antag_w_kv_str(&w, "method", "POST");
    antag_w_kv_str(&w, "uri", PAY);
    antag_w_kv_str(&w, "body", BODY);
    antag_w_key(&w, "headers");
    antag_w_map(&w);
    antag_w_kv_str(&w, "client-id", CLIENT_ID);
    antag_w_kv_str(&w, "response-time", TIME);
    antag_w_kv_str(&w, "signature", header);
    antag_w_end(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    if (antag_writer_end(&w, &bytes) != ANTAG_OK || antag_decoder_init(&decoder) != ANTAG_OK ||
        antag_message_parse(&decoder, bytes, &m, fault) != ANTAG_OK)
        abort();
    err = antag_params_parse(&antag_agent_method(m.name, &which)->params, false, &m.params, &params,
                             fault);
    if (err == ANTAG_OK)
        err = ag_explain(&asking, &params, hasher, verifier, out, fault);
    antag_decoder_fini(&decoder);
    antag_writer_fini(&w);
    return err;
}

static void test_keys(void)
{
    const struct {
        const char *name, *profile;
        EVP_PKEY **by; /* made by set_up */
        enum antag_err verdict;
        int cause; /* -1: none */
        const char *more;
    } table[] = {
        {"its own key", "shop/sandbox", &active, ANTAG_OK, -1, ""},
        {"a staged key", "shop/sandbox", &staged, ANTAG_ERR_SIGNATURE_INVALID, AG_CAUSE_staged_key,
         "version 2"},
        {"a staged key and no other", "new/sandbox", &staged, ANTAG_ERR_NO_ANTOM_KEY,
         AG_CAUSE_staged_key, "version 1"},
        {"no key fits", "new/sandbox", &active, ANTAG_ERR_NO_ANTOM_KEY, AG_CAUSE_unknown, ""},
        {"the other environment's", "shop/sandbox", &live, ANTAG_ERR_SIGNATURE_INVALID,
         AG_CAUSE_other_environment_key, "shop/live version 1"},
        /* another application is none of the caller's business */
        {"another application's", "shop/sandbox", &elsewhere, ANTAG_ERR_SIGNATURE_INVALID,
         AG_CAUSE_unknown, ""},
    };

    set_up();
    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct ag_explained e;
        struct antag_fault fault;

        ROW_ASSERT(table[i].name, explain("response", table[i].profile, *table[i].by, CALLER_UID,
                                          &e, &fault) == ANTAG_OK);
        ROW_ASSERT(table[i].name, e.verdict == table[i].verdict && e.has_string);
        ROW_ASSERT(table[i].name, e.finding_count == (table[i].cause >= 0 ? 1 : 0));
        if (e.finding_count == 1)
            ROW_ASSERT(table[i].name, (int)e.findings[0].cause == table[i].cause &&
                                          strcmp(e.findings[0].more, table[i].more) == 0);
    }
    tear_down();
}

static void test_refusals(void)
{
    const struct {
        const char *name, *kind, *profile;
        uint32_t uid;
        enum antag_err err;
    } table[] = {
        {"no grant to explain", "response", "shop/live", CALLER_UID, ANTAG_ERR_DENIED},
        {"no such profile", "response", "none/live", CALLER_UID, ANTAG_ERR_DENIED},
        {"another uid", "response", "shop/sandbox", CALLER_UID + 1, ANTAG_ERR_DENIED},
        {"another uid, sign", "sign", "shop/sandbox", CALLER_UID + 1, ANTAG_ERR_DENIED},
        {"an unknown kind", "wish", "shop/sandbox", CALLER_UID, ANTAG_ERR_BAD_PARAM},
    };

    set_up();
    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct ag_explained e;
        struct antag_fault fault;

        ROW_ASSERT(table[i].name, explain(table[i].kind, table[i].profile, active, table[i].uid, &e,
                                          &fault) == table[i].err);
        ROW_ASSERT(table[i].name, e.finding_count == 0 && !e.has_string);
    }
    tear_down();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"keys", test_keys},
        {"refusals", test_refusals},
        CU_TEST_INFO_NULL,
    };

    return run_tests("front_explain", tests);
}
