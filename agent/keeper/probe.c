/* probe: signs the harmless inquiry by which the steward learns whether Antom accepts a key (agent/core/probe.h). It is
 * the one signature that a key which is not the signing one may give. The text is made here: the steward names client id,
 * time and number, and cannot have anything else signed. One at a time, on a thread of its own. */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "agent/core/probe.h"
#include "agent/keeper/record.h"
#include "agent/keeper/ring_internal.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define RECORD_MS 5000 /* that its line may take to the disk */

struct ag_ring_probe {
    uv_work_t req;
    struct ag_ring *ring;
    uint64_t steward_number;
    uint32_t message_id;
    struct ag_sign_job job; /* what is signed, as the record has it */
    enum antag_err err;
    struct antag_fault fault;
    size_t sig_len;
    uint8_t sig[ANTAG_SIG_MAX];
};

/* ---- what is signed */

static enum antag_err digest(const struct ag_keyring_probe *p, uint8_t out[32])
{
    char body[AG_PROBE_BODY_MAX];
    struct ag_antom_prefix prefix;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = ag_probe_body(p->probe, body);
    enum antag_err err;

    err = ag_probe_prefix((enum ag_env)p->id.env, p->client_id, p->time, &prefix);
    if (err == ANTAG_OK &&
        (ctx == NULL || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1 ||
         EVP_DigestUpdate(ctx, prefix.text, prefix.len) != 1 ||
         EVP_DigestUpdate(ctx, body, len) != 1 || EVP_DigestFinal_ex(ctx, out, NULL) != 1))
        err = ANTAG_ERR_INTERNAL;
    EVP_MD_CTX_free(ctx);
    return err;
}

#define CLAIM(member, slice)                                                                       \
    do {                                                                                           \
        struct antag_slice s = (slice);                                                            \
        memcpy(c->member, s.p, s.len);                                                             \
        c->member##_len = (uint16_t)s.len;                                                         \
    } while (0)

/* The agent itself asks. */
static void claim(const struct ag_keyring_probe *p, struct ag_sign_claim *c)
{
    char uri[AG_PROBE_URI_MAX];

    ag_probe_uri((enum ag_env)p->id.env, uri);
    c->uid = (uint32_t)geteuid();
    c->gid = (uint32_t)getegid();
    c->pid = (int32_t)getpid();
    CLAIM(profile, p->profile);
    CLAIM(client_id, p->client_id);
    CLAIM(method, antag_slice_of(AG_PROBE_METHOD));
    CLAIM(path, antag_slice_of(uri));
    CLAIM(trace, antag_slice_of("probe of the agent"));
}

/* ---- on its thread */

/* The key, if it may be used for this. Within a section. */
static struct ag_held *find(struct ag_ring_probe *p)
{
    struct ag_held *held = ag_keytable_find(p->ring->keys, p->job.handle);
    int use = held == NULL || held->key == NULL ? AG_USE_NONE : atomic_load(&held->use);

    if (held != NULL && held->key != NULL &&
        (held->id.profile_id != p->job.profile_id || held->id.env != p->job.env)) {
        p->err = antag_fault_set(&p->fault, ANTAG_ERR_BAD_PARAM, "handle",
                                 "the key belongs to another profile");
        return NULL;
    }
    if (use == AG_USE_NONE) {
        p->err = antag_fault_set(&p->fault, ANTAG_ERR_KEY_STATE, "handle",
                                 "the keyring does not hold this key, or it is stopped");
        return NULL;
    }
    return held;
}

static enum antag_err record(struct ag_ring_probe *p, const struct ag_held *held, uint64_t *seq)
{
    struct ag_log_field fields[AG_RECORD_FIELDS_MAX];
    struct ag_chain_record line = {.type = "sign", .fields = fields};

    ag_record_sign(&p->job, &held->id, fields);
    return ag_chain_append_helped(p->ring->chain, &line, 1, seq, &p->fault);
}

static void sign(struct ag_ring_probe *p, uint64_t *seq)
{
    struct ag_backend *backend = p->ring->backend;
    struct ag_held *held = find(p);
    struct ag_backend_job job;

    if (held == NULL || (p->err = record(p, held, seq)) != ANTAG_OK)
        return;
    job = (struct ag_backend_job){.key = held->key, .digest = p->job.digest, .sig = p->sig};
    backend->ops->sign(backend, p->ring->prober, &job, 1);
    p->err = job.err;
    p->sig_len = job.sig_len;
    if (job.err != ANTAG_OK)
        antag_fault_set(&p->fault, job.err, NULL, "the keyring did not sign the probe");
}

/* It leaves when its line is recorded, as any other signature. */
static void wait_for_record(struct ag_ring_probe *p, uint64_t seq)
{
    static const struct timespec pause = {.tv_nsec = 1000000};
    int64_t until = ag_clock_mono_ms() + RECORD_MS;
    enum ag_fate fate;

    ag_chain_help(p->ring->chain);
    while ((fate = ag_chain_fate(p->ring->chain, seq)) == AG_FATE_WAITS &&
           ag_clock_mono_ms() < until)
        nanosleep(&pause, NULL);
    if (fate != AG_FATE_RECORDED)
        p->err = antag_fault_set(&p->fault, ANTAG_ERR_AUDIT, NULL,
                                 "the record of the probe cannot be written");
}

static void run(uv_work_t *req)
{
    struct ag_ring_probe *p = req->data;
    uint64_t seq = 0;

    ag_grace_enter(&p->ring->grace, p->ring->prober);
    sign(p, &seq);
    ag_grace_leave(&p->ring->grace, p->ring->prober);
    if (p->err == ANTAG_OK)
        wait_for_record(p, seq);
}

/* ---- on the loop's */

static void answer(struct ag_ring_probe *p)
{
    struct antag_writer w;

    if (p->err != ANTAG_OK) {
        p->fault.err = p->err;
        ag_chan_refuse(p->ring->steward, p->message_id, &p->fault);
        return;
    }
    antag_writer_init(&w, 4096);
    antag_m_answer(&w, p->message_id);
    ag_keyring_signature_write(&w, (struct antag_slice){p->sig, p->sig_len});
    antag_m_close(&w);
    if (ag_chan_send(p->ring->steward, &w, NULL, 0) != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "keeper.answer", AG_F_TEXT("method", "probe"));
    antag_writer_fini(&w);
}

/* Permission again: a stop since then lets nothing out. */
static void done(uv_work_t *req, int status)
{
    struct ag_ring_probe *p = req->data;
    struct ag_ring *ring = p->ring;

    ring->probe = NULL;
    if (status == 0 && p->err == ANTAG_OK && find(p) == NULL)
        p->sig_len = 0;
    if (status == 0 && p->steward_number == ring->steward_number && ring->steward != NULL)
        answer(p);
    ag_secret_wipe(p->sig, sizeof p->sig);
    free(p);
    ag_grace_collect(&ring->grace);
}

static enum antag_err start(struct ag_ring *ring, uint32_t id, const struct ag_keyring_probe *asked,
                            struct antag_fault *fault)
{
    struct ag_ring_probe *p;
    enum antag_err err;

    if (ring->probe != NULL)
        return antag_fault_set(fault, ANTAG_ERR_BUSY, NULL, "a probe is being signed");
    if ((p = calloc(1, sizeof *p)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a probe");
    p->req.data = p;
    p->ring = ring;
    p->steward_number = ring->steward_number;
    p->message_id = id;
    p->job.version = AG_SIGNWIRE_VERSION;
    p->job.env = asked->id.env;
    p->job.handle = asked->id.handle;
    p->job.profile_id = asked->id.profile_id;
    claim(asked, &p->job.claim);
    if ((err = digest(asked, p->job.digest)) != ANTAG_OK ||
        uv_queue_work(ring->conf.loop, &p->req, run, done) != 0) {
        free(p);
        return antag_fault_set(fault, err != ANTAG_OK ? err : ANTAG_ERR_INTERNAL, NULL,
                               "the probe cannot be made");
    }
    ring->probe = p;
    return ANTAG_OK;
}

void ag_ring_probe(struct ag_ring *ring, const struct antag_message *m)
{
    struct ag_keyring_probe asked;
    struct antag_fault fault;

    if (ag_keyring_probe_parse(&m->params, &asked, &fault) != ANTAG_OK ||
        start(ring, m->id, &asked, &fault) != ANTAG_OK)
        ag_chan_refuse(ring->steward, m->id, &fault);
}
