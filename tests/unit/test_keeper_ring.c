/* ring: a keyring with real workers, real lanes and a real channel to the steward. */
#include "tests/support/ringrig.h"

#include <sys/ioctl.h>

#include "agent/lib/log.h"
#include "tests/support/rows.h"

static struct rig rig;
static struct ag_keyring_made made[4]; /* keys 1 to 3, made once */

static struct ag_keyring_params loading(uint64_t handle, enum ag_key_use use)
{
    struct ag_keyring_params p = rig_key(handle);

    p.use = use;
    p.spki = (struct antag_slice){made[handle].spki, made[handle].spki_len};
    p.sealed = (struct antag_slice){made[handle].sealed, made[handle].sealed_len};
    return p;
}

static enum antag_err load(uint64_t handle, enum ag_key_use use)
{
    struct ag_keyring_params p = loading(handle, use);

    return rig_ask(&rig, "load", &p, NULL);
}

static void set_up(void)
{
    rig_open(&rig, 2);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(load(1, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(load(2, AG_USE_PROBE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_OK);
}

/* ---- keys */

static void test_generate(void)
{
    struct ag_keyring_params p = rig_key(7);
    struct ag_sign_job job = rig_job(7, 70);
    struct ag_sign_done done;
    struct rig_reply reply;

    set_up();
    CU_ASSERT_EQUAL(rig_ask(&rig, "generate", &p, &reply), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 7), ANTAG_ERR_KEY_STATE); /* made, but not permitted */
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 7, AG_USE_PROBE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 7), ANTAG_ERR_KEY_STATE); /* the front's lanes are no probes */
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 7, AG_USE_SIGN), ANTAG_OK);
    done = rig_sign_job(&rig, 0, &job);
    CU_ASSERT_EQUAL(done.err, ANTAG_OK);
    CU_ASSERT_EQUAL(done.version, AG_SIGNWIRE_VERSION);
    CU_ASSERT_EQUAL(done.sig_len, 256);
    CU_ASSERT(rig_verifies(&done, &reply.made));
    CU_ASSERT_EQUAL(rig_ask(&rig, "generate", &p, NULL), ANTAG_ERR_EXISTS);
    p.id.handle = 8;
    p.bits = 1024;
    CU_ASSERT_EQUAL(rig_ask(&rig, "generate", &p, NULL), ANTAG_ERR_BAD_PARAM);
    rig_close(&rig);
}

static void test_load(void)
{
    struct ag_keyring_params p;
    uint8_t damaged[AG_SEALED_KEY_MAX];

    set_up();
    p = loading(3, AG_USE_SIGN);
    p.id.version = 2; /* sealed for another row */
    CU_ASSERT_EQUAL(rig_ask(&rig, "load", &p, NULL), ANTAG_ERR_REGISTRY);
    p = loading(3, AG_USE_SIGN);
    p.id.env = 0;
    CU_ASSERT_EQUAL(rig_ask(&rig, "load", &p, NULL), ANTAG_ERR_REGISTRY);
    p = loading(3, AG_USE_SIGN);
    p.spki = loading(1, AG_USE_SIGN).spki; /* another key's public half */
    CU_ASSERT_EQUAL(rig_ask(&rig, "load", &p, NULL), ANTAG_ERR_KEY_INCONSISTENT);
    p = loading(3, AG_USE_SIGN);
    memcpy(damaged, p.sealed.p, p.sealed.len);
    damaged[p.sealed.len / 2] ^= 1;
    p.sealed.p = damaged;
    CU_ASSERT_EQUAL(rig_ask(&rig, "load", &p, NULL), ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(load(3, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_OK);
    p = loading(3, AG_USE_SIGN); /* the handle now names this key and no other */
    p.id.profile_id++;
    CU_ASSERT_EQUAL(rig_ask(&rig, "load", &p, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_OK);
    rig_close(&rig);
}

static void test_unknown_requests(void)
{
    struct ag_keyring_params p = rig_key(1);

    set_up();
    CU_ASSERT_EQUAL(rig_ask(&rig, "export", NULL, NULL), ANTAG_ERR_UNKNOWN_METHOD);
    CU_ASSERT_EQUAL(rig_ask(&rig, "stop", NULL, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load", NULL, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(rig_ask(&rig, "import", &p, NULL), ANTAG_ERR_UNKNOWN_METHOD);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 99, AG_USE_SIGN), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
    rig_close(&rig);
}

/* ---- probes */

static struct ag_keyring_probe probing(uint64_t handle)
{
    return (struct ag_keyring_probe){.id = rig_key(handle).id,
                                     .profile = antag_slice_of("shop/live"),
                                     .client_id = antag_slice_of("5Y1"),
                                     .time = antag_slice_of("1700000000000"),
                                     .probe = antag_slice_of("0123456789abcdef")};
}

static enum antag_err probe(const struct ag_keyring_probe *p, struct rig_reply *reply)
{
    rig_send_probe(&rig, p, reply);
    return rig_wait(&rig, reply);
}

/* What Antom would be sent, written out here. */
static bool is_probe_signed(const struct rig_reply *reply, uint64_t handle)
{
    static const char text[] = "POST /ams/api/v1/payments/inquiryPayment\n5Y1.1700000000000."
                               "{\"paymentRequestId\":\"antom-agent-probe-0123456789abcdef\"}";
    const uint8_t *der = made[handle].spki;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &der, (long)made[handle].spki_len);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = key != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                EVP_DigestVerify(ctx, reply->sig, reply->sig_len, (const uint8_t *)text,
                                 sizeof text - 1) == 1;

    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return good;
}

/* Under keys that sign and those that only probe; of nothing but the one text. */
static void test_probe(void)
{
    struct ag_keyring_probe p = probing(2);
    struct rig_reply reply, second;

    set_up();
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_OK);
    CU_ASSERT_TRUE(is_probe_signed(&reply, 2));
    p = probing(1);
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_OK);
    CU_ASSERT_TRUE(is_probe_signed(&reply, 1));
    rig_send_probe(&rig, &p, &reply); /* one at a time */
    rig_send_probe(&rig, &p, &second);
    CU_ASSERT_EQUAL(rig_wait(&rig, &second), ANTAG_ERR_BUSY);
    CU_ASSERT_EQUAL(rig_wait(&rig, &reply), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 2, AG_USE_NONE), ANTAG_OK);
    p = probing(2);
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 1, AG_USE_NONE), ANTAG_OK);
    p = probing(1);
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(reply.sig_len, 0);
    p = probing(9);
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 1, AG_USE_SIGN), ANTAG_OK);
    p = probing(1);
    p.id.profile_id++;
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_ERR_BAD_PARAM);
    p = probing(1);
    p.probe = antag_slice_of("not a number");
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_ERR_BAD_PARAM);
    p = probing(1);
    p.client_id = antag_slice_of("5Y1.17"); /* it would shift a border of what is signed */
    CU_ASSERT_EQUAL(probe(&p, &reply), ANTAG_ERR_BAD_PARAM);
    rig_close(&rig);
}

/* The keyring ends while one is under way. */
static void test_probe_at_the_end(void)
{
    struct ag_keyring_probe p = probing(1);
    struct rig_reply reply;

    set_up();
    rig_send_probe(&rig, &p, &reply);
    for (int i = 0; i < 3; i++)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    rig_close(&rig);
    CU_PASS("it ended");
}

/* ---- jobs */

static void test_jobs(void)
{
    static const struct {
        const char *name;
        uint32_t version, env;
        uint64_t handle, profile;
        enum antag_err err;
    } rows[] = {
        {"right", AG_SIGNWIRE_VERSION, 1, 1, 101, ANTAG_OK},
        {"version 0", 0, 1, 1, 101, ANTAG_ERR_BAD_PARAM},
        {"version 1", 1, 1, 1, 101, ANTAG_ERR_BAD_PARAM},
        {"a later version", AG_SIGNWIRE_VERSION + 1, 1, 1, 101, ANTAG_ERR_BAD_PARAM},
        {"an earlier version", AG_SIGNWIRE_VERSION - 1, 1, 1, 101, ANTAG_ERR_BAD_PARAM},
        {"other environment", AG_SIGNWIRE_VERSION, 0, 1, 101, ANTAG_ERR_BAD_PARAM},
        {"no environment", AG_SIGNWIRE_VERSION, 2, 1, 101, ANTAG_ERR_BAD_PARAM},
        {"other profile", AG_SIGNWIRE_VERSION, 1, 1, 102, ANTAG_ERR_BAD_PARAM},
        {"no profile", AG_SIGNWIRE_VERSION, 1, 1, 0, ANTAG_ERR_BAD_PARAM},
        {"probes only", AG_SIGNWIRE_VERSION, 1, 2, 102, ANTAG_ERR_KEY_STATE},
        {"not there", AG_SIGNWIRE_VERSION, 1, 9, 109, ANTAG_ERR_KEY_STATE},
        {"no handle", AG_SIGNWIRE_VERSION, 1, 0, 100, ANTAG_ERR_KEY_STATE},
        {"largest handle", AG_SIGNWIRE_VERSION, 1, UINT64_MAX, 100, ANTAG_ERR_KEY_STATE},
    };
    static const uint8_t zero[ANTAG_SIG_MAX];

    set_up();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_sign_job job = rig_job(rows[i].handle, 1000 + i);
        struct ag_sign_done done;

        job.version = rows[i].version;
        job.env = rows[i].env;
        job.profile_id = rows[i].profile;
        done = rig_sign_job(&rig, 0, &job);
        ROW_ASSERT(rows[i].name, done.err == rows[i].err);
        ROW_ASSERT(rows[i].name, (done.sig_len > 0) == (rows[i].err == ANTAG_OK));
        if (rows[i].err != ANTAG_OK)
            ROW_ASSERT(rows[i].name, memcmp(done.sig, zero, sizeof zero) == 0);
    }
    rig_close(&rig);
}

/* A claim whose lengths do not fit is the front's mistake; the longest one fits. */
static void test_claims(void)
{
    struct ag_sign_job job;

    set_up();
#define AG_ROW(name, max)                                                                          \
    job = rig_job(1, 7);                                                                           \
    memset(job.claim.name, '"', sizeof job.claim.name);                                            \
    job.claim.name##_len = (max) + 1;                                                              \
    ROW_ASSERT(#name " too long", rig_sign_job(&rig, 0, &job).err == ANTAG_ERR_BAD_PARAM);         \
    job.claim.name##_len = (max);                                                                  \
    ROW_ASSERT(#name " longest", rig_sign_job(&rig, 0, &job).err == ANTAG_OK);
    AG_SIGN_TEXTS(AG_ROW)
#undef AG_ROW
    job = rig_job(1, 8);
    memset(&job.claim, 0xff, sizeof job.claim);
    CU_ASSERT_EQUAL(rig_sign_job(&rig, 0, &job).err, ANTAG_ERR_BAD_PARAM);
    rig_close(&rig);
}

/* `count` answers, in as many packets as they come; by their tags, which are less than `count` + `from`. */
static void gather(uint64_t from, size_t count, struct ag_sign_done *out)
{
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
    size_t have = 0;
    int n;

    memset(out, 0xff, count * sizeof *out);
    while (have < count && (n = rig_receive(rig.lane[0], dones, 20000)) > 0)
        for (int i = 0; i < n; i++, have++) {
            CU_ASSERT_FATAL(dones[i].tag >= from && dones[i].tag < from + count);
            CU_ASSERT_EQUAL(out[dones[i].tag - from].tag, UINT64_MAX); /* once */
            out[dones[i].tag - from] = dones[i];
        }
    CU_ASSERT_EQUAL_FATAL(have, count);
}

static void test_batches(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];

    set_up();
    for (size_t n = 1; n <= AG_SIGNWIRE_BATCH; n++) {
        for (size_t i = 0; i < n; i++)
            jobs[i] = rig_job(i % 3 == 2 ? 2 : 1, 50 + i);
        CU_ASSERT_EQUAL(send(rig.lane[0], jobs, n * sizeof jobs[0], 0),
                        (ssize_t)(n * sizeof jobs[0]));
        gather(50, n, dones);
        for (size_t i = 0; i < n; i++) {
            CU_ASSERT_EQUAL(dones[i].tag, 50 + i);
            CU_ASSERT_EQUAL(dones[i].err, i % 3 == 2 ? ANTAG_ERR_KEY_STATE : ANTAG_OK);
            CU_ASSERT(i % 3 == 2 || rig_verifies(&dones[i], &made[1]));
        }
    }
    rig_close(&rig);
}

/* Until the first full load is over, a key that is not there may yet come. */
static void test_before_load(void)
{
    rig_open(&rig, 2);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_RETRY);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_RETRY);
    CU_ASSERT_EQUAL(load(1, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 2), ANTAG_ERR_RETRY);
    CU_ASSERT_EQUAL(rig.ready, 0);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig.ready, 1);
    CU_ASSERT_EQUAL(rig_sign(&rig, 2), ANTAG_ERR_KEY_STATE);
    rig_close(&rig);
}

/* ---- full loads and stops */

static void test_load_again(void)
{
    struct rig_reply replies[4];
    struct ag_keyring_params p;

    set_up();
    CU_ASSERT_EQUAL(load(3, AG_USE_SIGN), ANTAG_OK);
    rig_send(&rig, "begin", NULL, &replies[0]); /* all at once: load_end waits for the loads */
    p = loading(1, AG_USE_NONE);
    rig_send(&rig, "load", &p, &replies[1]);
    p = loading(2, AG_USE_SIGN);
    rig_send(&rig, "load", &p, &replies[2]);
    rig_send(&rig, "load_end", NULL, &replies[3]);
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(rig_wait(&rig, &replies[i]), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_sign(&rig, 2), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_ERR_KEY_STATE); /* not named: forgotten */
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 3, AG_USE_SIGN), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(rig.ready, 1);
    rig_close(&rig);
}

static void test_stop(void)
{
    struct rig_reply reply;

    set_up();
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 1, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 3, AG_USE_NONE), ANTAG_OK); /* not loaded yet */

    /* a steward that came back does not undo a stop it may not have written down */
    rig_steward(&rig);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, &reply), ANTAG_OK);
    CU_ASSERT_EQUAL(reply.stopped_count, 2);
    CU_ASSERT_EQUAL(reply.stopped[0] + reply.stopped[1], 4);
    CU_ASSERT_EQUAL(load(1, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(load(3, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 3, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_OK);

    /* it knows of the stop when it says so itself */
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, &reply), ANTAG_OK);
    CU_ASSERT_EQUAL(reply.stopped_count, 1);
    CU_ASSERT_EQUAL(load(1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, &reply), ANTAG_OK);
    CU_ASSERT_EQUAL(reply.stopped_count, 0);
    rig_close(&rig);
}

/* A stop is remembered when a full load does not name the key, too. */
static void test_stop_outlives_the_key(void)
{
    struct rig_reply reply;

    set_up();
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 1, AG_USE_SIGN), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(load(1, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "forget", 1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, &reply), ANTAG_OK);
    CU_ASSERT_EQUAL(reply.stopped_count, 0);
    CU_ASSERT_EQUAL(rig_handle(&rig, "forget", 1, AG_USE_NONE), ANTAG_OK); /* twice is no harm */
    rig_close(&rig);
}

/* Loads under way when stop and forget come: both win. */
static void test_load_overtaken(void)
{
    struct ag_keyring_params p = loading(3, AG_USE_SIGN);
    struct rig_reply loaded, stopped;

    set_up();
    rig_send(&rig, "load", &p, &loaded);
    rig_send(&rig, "stop", &p, &stopped);
    CU_ASSERT_EQUAL(rig_wait(&rig, &stopped), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_wait(&rig, &loaded), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "forget", 3, AG_USE_NONE), ANTAG_OK);

    rig_send(&rig, "load", &p, &loaded);
    rig_send(&rig, "forget", &p, &stopped);
    CU_ASSERT_EQUAL(rig_wait(&rig, &stopped), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_wait(&rig, &loaded), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 3, AG_USE_SIGN), ANTAG_ERR_NOT_FOUND);
    rig_close(&rig);
}

/* A stop does not wait behind a key that is being made. */
static void test_stop_beside_generation(void)
{
    struct ag_keyring_params p = rig_key(8);
    struct rig_reply generated[4], stopped;
    int64_t from_ms;

    set_up();
    for (uint64_t i = 0; i < 4; i++) {
        p.id.handle = 8 + i;
        p.bits = 4096;
        rig_send(&rig, "generate", &p, &generated[i]);
    }
    uv_run(&rig.loop, UV_RUN_ONCE);
    from_ms = ag_clock_mono_ms();
    p = rig_key(1);
    rig_send(&rig, "stop", &p, &stopped);
    CU_ASSERT_EQUAL(rig_wait(&rig, &stopped), ANTAG_OK);
    CU_ASSERT(ag_clock_mono_ms() - from_ms < 500);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_ERR_KEY_STATE);
    rig_close(&rig); /* waits for the keys and wipes them */
}

/* What a steward asked for that is gone does not come to its successor. */
static void test_fresh_steward(void)
{
    struct ag_keyring_params p = loading(3, AG_USE_SIGN);
    struct rig_reply lost;

    set_up();
    rig_send(&rig, "load", &p, &lost);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    rig_steward(&rig);
    CU_ASSERT_EQUAL(rig_wait(&rig, &lost), ANTAG_ERR_RETRY);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK); /* signing goes on */
    CU_ASSERT_EQUAL(rig_ask(&rig, "begin", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_ask(&rig, "load_end", NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 3), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(rig.ready, 1);
    rig_close(&rig);
}

static void test_steward_gone(void)
{
    set_up();
    ag_chan_close(rig.steward);
    rig.steward = NULL;
    for (int i = 0; i < 20; i++) {
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
    }
    rig_close(&rig);
}

/* ---- lanes */

static void test_malformed_packets(void)
{
    static const struct {
        const char *name;
        size_t len;
    } rows[] = {
        {"one byte", 1},
        {"one byte short", sizeof(struct ag_sign_job) - 1},
        {"one byte more", sizeof(struct ag_sign_job) + 1},
        {"one entry too many", sizeof(struct ag_sign_job) * (AG_SIGNWIRE_BATCH + 1)},
        {"far too long", sizeof(struct ag_sign_job) * AG_SIGNWIRE_BATCH * 4},
        {"empty", 0},
    };
    static struct ag_sign_job jobs[AG_SIGNWIRE_BATCH * 4];
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];

    set_up();
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        rig_lane(&rig, 1);
        ROW_ASSERT(rows[i].name, send(rig.lane[1], jobs, rows[i].len, 0) == (ssize_t)rows[i].len);
        ROW_ASSERT(rows[i].name, rig_receive(rig.lane[1], dones, 5000) == 0);
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        ROW_ASSERT(rows[i].name, rig_sign(&rig, 1) == ANTAG_OK); /* on the lane beside it */
    }
    rig_close(&rig);
}

static void test_lane_replaced(void)
{
    struct ag_sign_job job = rig_job(1, 5);
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
    int fd[2];

    set_up();
    for (int i = 0; i < 50; i++) {
        rig_lane(&rig, 0);
        CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    }
    rig_pair(fd); /* the old end is closed */
    ag_ring_add_lane(rig.ring, 2, fd[0]);
    rig_lane(&rig, 2);
    for (int i = 0; i < 100 && rig_receive(fd[1], dones, 20) != 0; i++)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(send(fd[1], &job, sizeof job, MSG_NOSIGNAL), -1);
    close(fd[1]);
    rig_pair(fd); /* a number that is no lane's */
    ag_ring_add_lane(rig.ring, 64, fd[0]);
    CU_ASSERT_EQUAL(rig_receive(fd[1], dones, 1000), 0);
    close(fd[1]);
    rig_close(&rig);
}

/* As many packets as the lane takes. */
static uint64_t fill(int lane, uint64_t handle)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    uint64_t tag = 0;

    for (;;) {
        for (size_t i = 0; i < AG_SIGNWIRE_BATCH; i++)
            jobs[i] = rig_job(handle, tag + i);
        if (send(lane, jobs, sizeof jobs, MSG_DONTWAIT) < 0) {
            struct pollfd p = {.fd = lane, .events = POLLOUT};

            if (poll(&p, 1, 100) <= 0)
                return tag;
            continue;
        }
        tag += AG_SIGNWIRE_BATCH;
    }
}

/* A front that is slow to read loses nothing. */
static void test_full_lane(void)
{
    static uint8_t seen[65536];
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
    uint64_t sent, received = 0;

    set_up();
    sent = fill(rig.lane[0], 2); /* refused, so quick */
    CU_ASSERT_FATAL(sent > 100 && sent < sizeof seen);
    while (received < sent) {
        int n = rig_receive(rig.lane[0], dones, 5000);

        if (n <= 0)
            break;
        for (int i = 0; i < n; i++)
            if (dones[i].tag < sent)
                seen[dones[i].tag]++;
        received += (uint64_t)n;
    }
    CU_ASSERT_EQUAL(received, sent);
    for (uint64_t i = 0; i < sent; i++)
        CU_ASSERT(seen[i] == 1);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
    rig_close(&rig);
}

/* Signatures that wait for room in a lane when the stop comes do not leave any more. */
static void test_stop_of_waiting(void)
{
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
    int queued = 0, received = 0, n;
    size_t late = 0;

    set_up();
    rig_lane(&rig, 1);
    (void)fill(rig.lane[1], 1);
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT_EQUAL(ioctl(rig.lane[1], FIONREAD, &queued), 0); /* what left before the answer */
    queued /= (int)sizeof dones[0];
    CU_ASSERT(queued > 5);
    while ((n = rig_receive(rig.lane[1], dones, 1000)) > 0)
        for (int i = 0; i < n; i++)
            late += received++ >= queued && dones[i].err != ANTAG_ERR_KEY_STATE;
    CU_ASSERT_EQUAL(late, 0);
    CU_ASSERT(received > queued + 2);
    rig_close(&rig);
}

/* A front that does not read at all loses its lane; stops and other lanes do not wait for it. */
static void test_stuck_lane(void)
{
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
    int64_t from_ms;
    int n;

    set_up();
    rig_lane(&rig, 1);
    (void)fill(rig.lane[1], 2);
    from_ms = ag_clock_mono_ms();
    CU_ASSERT_EQUAL(rig_handle(&rig, "stop", 1, AG_USE_NONE), ANTAG_OK);
    CU_ASSERT(ag_clock_mono_ms() - from_ms < 500);
    do {
        uv_run(&rig.loop, UV_RUN_NOWAIT);
        usleep(10000);
    } while (ag_clock_mono_ms() - from_ms < 2500);
    while ((n = rig_receive(rig.lane[1], dones, 5000)) > 0)
        continue;
    CU_ASSERT_EQUAL(n, 0); /* ended, not silent */
    CU_ASSERT_EQUAL(rig_handle(&rig, "permit", 1, AG_USE_SIGN), ANTAG_OK);
    CU_ASSERT_EQUAL(rig_sign(&rig, 1), ANTAG_OK);
    rig_close(&rig);
}

/* ---- the end */

static void test_drain(void)
{
    static struct ag_sign_done dones[100];

    set_up();
    for (uint64_t i = 0; i < 100; i++) {
        struct ag_sign_job job = rig_job(1, i);

        CU_ASSERT_EQUAL(send(rig.lane[0], &job, sizeof job, 0), sizeof job);
    }
    ag_ring_drain(rig.ring);
    while (rig.ended == 0)
        uv_run(&rig.loop, UV_RUN_ONCE);
    CU_ASSERT_FALSE(rig.failed);
    gather(0, 100, dones);
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(dones[i].err, ANTAG_OK);
    CU_ASSERT_EQUAL(rig.ended, 1);
    rig_close(&rig);
}

static void test_unknown_type(void)
{
    struct ag_ring_conf conf = {.loop = &rig.loop, .keyring = {.name = "x", .type = 7}};
    struct ag_ring *ring = NULL;
    struct antag_fault fault;

    CU_ASSERT_EQUAL(ag_ring_open(&conf, &ring, &fault), ANTAG_ERR_CONF);
    CU_ASSERT_PTR_NULL(ring);
}

static void make_keys(void)
{
    rig_open(&rig, 1);
    for (uint64_t handle = 1; handle <= 3; handle++) {
        struct ag_keyring_params p = rig_key(handle);
        struct rig_reply reply;

        if (rig_ask(&rig, "generate", &p, &reply) != ANTAG_OK)
            abort();
        made[handle] = reply.made;
    }
    rig_close(&rig);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"generate", test_generate},
        {"load", test_load},
        {"unknown requests", test_unknown_requests},
        {"probe", test_probe},
        {"probe at the end", test_probe_at_the_end},
        {"jobs", test_jobs},
        {"claims", test_claims},
        {"batches", test_batches},
        {"before the first load", test_before_load},
        {"a second full load", test_load_again},
        {"stop", test_stop},
        {"stop outlives the key", test_stop_outlives_the_key},
        {"a load overtaken", test_load_overtaken},
        {"stop beside a generation", test_stop_beside_generation},
        {"fresh steward", test_fresh_steward},
        {"no steward", test_steward_gone},
        {"malformed packets", test_malformed_packets},
        {"lane replaced", test_lane_replaced},
        {"full lane", test_full_lane},
        {"stop of signatures that wait", test_stop_of_waiting},
        {"stuck lane", test_stuck_lane},
        {"drain", test_drain},
        {"unknown type of keyring", test_unknown_type},
        CU_TEST_INFO_NULL,
    };
    int status;

    ag_log_setup("test", AG_LOG_ERROR);
    if (ag_secret_setup(NULL) != ANTAG_OK)
        return 1;
    make_keys();
    status = run_tests("keeper_ring", tests);
    uv_library_shutdown(); /* its threads end while OpenSSL is there */
    return status;
}
