/* ringrig: a keyring at work, with the test as its steward (over a real channel, on the same loop) and as
 * threads of the front (bare ends of lanes). */
#ifndef TESTS_SUPPORT_RINGRIG_H
#define TESTS_SUPPORT_RINGRIG_H

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/keeper/ring.h"
#include "agent/lib/chan.h"
#include "agent/lib/clock.h"
#include "agent/lib/edges/keyring.h"
#include "agent/lib/signwire.h"

#define RIG_LANES 4
#define RIG_ENV   1u /* live */

struct rig {
    uv_loop_t loop;
    struct ag_ring *ring;
    struct ag_chan *steward;
    int lane[RIG_LANES]; /* the front's end */
    char audit[40];
    int ready, ended;
    bool failed, steward_closed;
};

/* one answer */
struct rig_reply {
    bool come;
    enum antag_err err;
    struct ag_keyring_made made; /* generate */
    size_t sig_len;              /* probe */
    uint8_t sig[ANTAG_SIG_MAX];
    size_t stopped_count; /* begin */
    uint64_t stopped[64];
};

static inline void rig_ready(void *ctx)
{
    ((struct rig *)ctx)->ready++;
}

static inline void rig_ended(void *ctx, bool failed)
{
    struct rig *r = ctx;

    r->ended++;
    r->failed = failed;
}

static inline void rig_on_message(struct ag_chan *c, const struct antag_message *m,
                                  struct ag_fds *fds, void *ctx)
{
    (void)c;
    (void)m;
    (void)fds;
    (void)ctx;
}

static inline void rig_on_closed(struct ag_chan *c, void *ctx)
{
    (void)c;
    ((struct rig *)ctx)->steward_closed = true;
}

static const struct ag_chan_ops rig_ops = {.on_message = rig_on_message,
                                           .on_closed = rig_on_closed};

static inline void rig_pair(int fd[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd) != 0)
        abort();
}

static inline void rig_steward(struct rig *r)
{
    int fd[2];

    rig_pair(fd);
    ag_chan_close(r->steward);
    r->steward_closed = false;
    ag_ring_set_steward(r->ring, fd[0]);
    if (ag_chan_open(&r->loop, fd[1], "keeper", &rig_ops, r, &r->steward) != ANTAG_OK)
        abort();
}

static inline void rig_lane(struct rig *r, uint32_t number)
{
    int fd[2];

    rig_pair(fd);
    if (r->lane[number] >= 0)
        close(r->lane[number]);
    r->lane[number] = fd[1];
    ag_ring_add_lane(r->ring, number, fd[0]);
}

static inline struct ag_secret *rig_ring_key(void)
{
    struct ag_secret *key = ag_secret_new(AG_KEY_LEN);

    if (key == NULL)
        abort();
    memset(ag_secret_bytes(key), 0x5a, AG_KEY_LEN);
    ag_secret_set_len(key, AG_KEY_LEN);
    return key;
}

static inline void rig_open(struct rig *r, int64_t threads)
{
    struct ag_conf *agent_conf = calloc(1, sizeof *agent_conf);
    struct ag_secret *audit_key = rig_ring_key();
    struct ag_ring_conf conf = {.loop = &r->loop,
                                .keyring = {.name = "soft", .type = 0, .threads = threads},
                                .ring_key = rig_ring_key(),
                                .audit_key = audit_key,
                                .audit_dir = r->audit,
                                .conf = agent_conf,
                                .on_ready = rig_ready,
                                .on_ended = rig_ended,
                                .ctx = r};

    memset(r, 0, sizeof *r);
    snprintf(r->audit, sizeof r->audit, "/tmp/antag-ring-XXXXXX");
    if (agent_conf == NULL || mkdtemp(r->audit) == NULL)
        abort();
    ag_conf_default(agent_conf);
    for (size_t i = 0; i < RIG_LANES; i++)
        r->lane[i] = -1;
    if (uv_loop_init(&r->loop) != 0 || ag_ring_open(&conf, &r->ring, NULL) != ANTAG_OK)
        abort();
    ag_secret_free(audit_key);
    free(agent_conf);
    rig_steward(r);
    rig_lane(r, 0);
}

/* The record of the rig, for the end. */
static inline void rig_remove_audit(struct rig *r)
{
    char path[sizeof r->audit + 300];
    DIR *d;
    struct dirent *e;

    snprintf(path, sizeof path, "%s/soft", r->audit);
    d = opendir(path);
    while (d != NULL && (e = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/soft/%s", r->audit, e->d_name);
        (void)unlink(path);
    }
    if (d != NULL)
        closedir(d);
    snprintf(path, sizeof path, "%s/soft", r->audit);
    (void)rmdir(path);
    (void)rmdir(r->audit);
}

static inline void rig_close(struct rig *r)
{
    ag_chan_close(r->steward);
    ag_ring_close(r->ring);
    for (size_t i = 0; i < RIG_LANES; i++)
        if (r->lane[i] >= 0)
            close(r->lane[i]);
    while (uv_run(&r->loop, UV_RUN_NOWAIT) != 0)
        continue;
    if (uv_loop_close(&r->loop) != 0)
        abort();
    rig_remove_audit(r);
}

/* ---- the steward */

static inline void rig_on_reply(struct ag_reply *reply, void *ctx)
{
    struct rig_reply *out = ctx;
    const msgpack_object *stopped;
    struct antag_slice sig;

    out->come = true;
    out->err = reply->fault.err;
    if (reply->result == NULL)
        return;
    (void)!ag_keyring_made_parse(reply->result, &out->made);
    if (ag_keyring_signature_parse(reply->result, &sig) == ANTAG_OK) {
        memcpy(out->sig, sig.p, sig.len);
        out->sig_len = sig.len;
    }
    stopped = antag_object_get(reply->result, "stopped");
    if (stopped == NULL || stopped->type != MSGPACK_OBJECT_ARRAY)
        return;
    for (uint32_t i = 0; i < stopped->via.array.size && i < 64; i++)
        out->stopped[out->stopped_count++] = stopped->via.array.ptr[i].via.u64;
}

/* Send a request; `out` is filled when the loop runs. */
static inline void rig_send(struct rig *r, const char *method, const struct ag_keyring_params *p,
                            struct rig_reply *out)
{
    uint32_t id = ag_chan_next_id(r->steward);
    struct antag_writer w;

    memset(out, 0, sizeof *out);
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_request(&w, id, method);
    if (p != NULL) {
        ag_keyring_params_write(&w, method, p);
    } else {
        antag_w_map(&w);
        antag_w_end(&w);
    }
    antag_m_close(&w);
    ag_chan_ask(r->steward, id, &w, NULL, 0, 30000, rig_on_reply, out);
    antag_writer_fini(&w);
}

static inline void rig_send_probe(struct rig *r, const struct ag_keyring_probe *p,
                                  struct rig_reply *out)
{
    uint32_t id = ag_chan_next_id(r->steward);
    struct antag_writer w;

    memset(out, 0, sizeof *out);
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_request(&w, id, "probe");
    ag_keyring_probe_write(&w, p);
    antag_m_close(&w);
    ag_chan_ask(r->steward, id, &w, NULL, 0, 30000, rig_on_reply, out);
    antag_writer_fini(&w);
}

static inline enum antag_err rig_wait(struct rig *r, struct rig_reply *out)
{
    while (!out->come)
        uv_run(&r->loop, UV_RUN_ONCE);
    return out->err;
}

static inline enum antag_err rig_ask(struct rig *r, const char *method,
                                     const struct ag_keyring_params *p, struct rig_reply *out)
{
    static struct rig_reply none;
    struct rig_reply *to = out != NULL ? out : &none;

    rig_send(r, method, p, to);
    return rig_wait(r, to);
}

static inline struct ag_keyring_params rig_key(uint64_t handle)
{
    return (struct ag_keyring_params){
        .id = {.handle = handle, .profile_id = 100 + handle, .env = RIG_ENV, .version = 1},
        .use = AG_USE_SIGN,
        .bits = 2048};
}

static inline enum antag_err rig_handle(struct rig *r, const char *method, uint64_t handle,
                                        enum ag_key_use use)
{
    struct ag_keyring_params p = rig_key(handle);

    p.use = use;
    return rig_ask(r, method, &p, NULL);
}

/* ---- the front */

static inline struct ag_sign_job rig_job(uint64_t handle, uint64_t tag)
{
    struct ag_sign_job job = {.version = AG_SIGNWIRE_VERSION,
                              .env = RIG_ENV,
                              .tag = tag,
                              .handle = handle,
                              .profile_id = 100 + handle};

    memset(job.digest, (int)(tag & 0xff), sizeof job.digest);
    return job;
}

/* One packet of answers; their count, 0 when the lane has ended, -1 after `ms` without one. */
static inline int rig_receive(int lane, struct ag_sign_done *dones, int ms)
{
    struct pollfd p = {.fd = lane, .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, ms) <= 0)
        return -1;
    n = recv(lane, dones, sizeof *dones * AG_SIGNWIRE_BATCH, 0);
    return n < 0 ? 0 : (int)((size_t)n / sizeof *dones);
}

/* One job, answered. */
static inline struct ag_sign_done rig_sign_job(struct rig *r, uint32_t lane,
                                               const struct ag_sign_job *job)
{
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];

    memset(dones, 0xff, sizeof dones);
    if (send(r->lane[lane], job, sizeof *job, MSG_NOSIGNAL) != sizeof *job ||
        rig_receive(r->lane[lane], dones, 20000) != 1 || dones[0].tag != job->tag)
        dones[0].err = 9999;
    return dones[0];
}

static inline enum antag_err rig_sign(struct rig *r, uint64_t handle)
{
    static uint64_t tag;
    struct ag_sign_job job = rig_job(handle, ++tag);

    return (enum antag_err)rig_sign_job(r, 0, &job).err;
}

/* Is this a signature of rig_job's digest under that key? */
static inline bool rig_verifies(const struct ag_sign_done *done, const struct ag_keyring_made *made)
{
    const unsigned char *p = made->spki;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &p, (long)made->spki_len);
    EVP_PKEY_CTX *ctx = key != NULL ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    uint8_t digest[32];
    bool ok;

    memset(digest, (int)(done->tag & 0xff), sizeof digest);
    ok = ctx != NULL && EVP_PKEY_verify_init(ctx) > 0 &&
         EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) > 0 &&
         EVP_PKEY_verify(ctx, done->sig, done->sig_len, digest, sizeof digest) == 1;
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

#endif
