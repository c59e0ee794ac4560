/* peers: the channels to front and keepers, and requests over them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/outbox.h"
#include "agent/steward/rotation.h"
#include "agent/steward/steward.h"

/* ---- channels; loop thread */

static void take_refusals(struct ag_steward *st, const struct antag_message *m)
{
    struct ag_refusals *some = malloc(sizeof *some);
    struct antag_fault fault = {.err = ANTAG_ERR_NO_MEMORY};

    if (some != NULL && ag_refusals_parse(&m->params, some, &fault) == ANTAG_OK)
        ag_refusals_take(st, some);
    else
        ag_log_fault(AG_LOG_WARN, "front.refusals", &fault);
    free(some);
}

static void take_proof(struct ag_steward *st, const struct antag_message *m)
{
    struct antag_fault fault = {0};
    uint64_t profile_id;
    unsigned methods;

    if (ag_proofs_parse(&m->params, &profile_id, &methods, &fault) == ANTAG_OK)
        ag_proofs_take(st, profile_id, methods);
    else
        ag_log_fault(AG_LOG_WARN, "front.proved", &fault);
}

static void take_failure(struct ag_steward *st, const struct antag_message *m)
{
    struct antag_fault fault = {0};
    struct ag_failure one;

    if (ag_failure_parse(&m->params, &one, &fault) == ANTAG_OK)
        ag_failures_take(st, &one);
    else
        ag_log_fault(AG_LOG_WARN, "front.failed", &fault);
}

/* Neither front nor keepers ask the steward for anything; the front tells what it refused. */
static void on_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    struct ag_steward *st = ctx;
    struct antag_fault fault;
    bool front;

    (void)fds;
    if (m->shape == ANTAG_EVENT) {
        uv_mutex_lock(&st->lock);
        front = st->front == c;
        uv_mutex_unlock(&st->lock);
        if (front && antag_slice_is(m->name, "refusals"))
            take_refusals(st, m);
        else if (front && antag_slice_is(m->name, "proved"))
            take_proof(st, m);
        else if (front && antag_slice_is(m->name, "failed"))
            take_failure(st, m);
        return;
    }
    if (m->shape != ANTAG_REQUEST)
        return;
    antag_fault_set(&fault, ANTAG_ERR_UNKNOWN_METHOD, NULL, "the steward takes no requests here");
    ag_chan_refuse(c, m->id, &fault);
}

static void forget_front(struct ag_steward *st)
{
    st->front = NULL;
    st->front_down_since_ms = ag_clock_mono_ms();
    st->front_epoch = 0;
    st->front_told = AG_STATE_STARTING;
}

static void on_closed(struct ag_chan *c, void *ctx)
{
    struct ag_steward *st = ctx;

    uv_mutex_lock(&st->lock);
    if (st->front == c)
        forget_front(st);
    if (st->courier == c)
        st->courier = NULL;
    for (size_t i = 0; i < st->keeper_count; i++)
        if (st->keepers[i].chan == c) {
            st->keepers[i].chan = NULL;
            st->keepers[i].down_since_ms = ag_clock_mono_ms();
        }
    uv_cond_broadcast(&st->changed);
    uv_mutex_unlock(&st->lock);
    ag_chan_close(c);
    ag_driver_kick(st);
}

static const struct ag_chan_ops peer_ops = {.on_message = on_message, .on_closed = on_closed};

void ag_peer_front(struct ag_steward *st, int fd)
{
    struct ag_chan *c = NULL, *old;

    if (ag_chan_open(st->loop, fd, "front", &peer_ops, st, &c) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "peer.open", AG_F_TEXT("peer", "front"));
        return;
    }
    uv_mutex_lock(&st->lock);
    old = st->front;
    forget_front(st);
    st->front = c;
    st->front_gen++;
    uv_mutex_unlock(&st->lock);
    ag_chan_close(old);
    ag_driver_kick(st);
}

void ag_peer_courier(struct ag_steward *st, int fd)
{
    struct ag_chan *c = NULL, *old;

    if (ag_chan_open(st->loop, fd, "courier", &peer_ops, st, &c) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "peer.open", AG_F_TEXT("peer", "courier"));
        return;
    }
    uv_mutex_lock(&st->lock);
    old = st->courier;
    st->courier = c;
    uv_mutex_unlock(&st->lock);
    ag_chan_close(old);
    ag_outbox_kick(st);
}

/* The place of a keyring, made when there is none. Lock held. NULL: no room. */
static struct ag_keeper *keeper_place(struct ag_steward *st, const char *name)
{
    struct ag_keeper *kp;

    for (size_t i = 0; i < st->keeper_count; i++)
        if (strcmp(st->keepers[i].name, name) == 0)
            return &st->keepers[i];
    if (st->keeper_count == AG_CONF_KEYRINGS_MAX)
        return NULL;
    kp = &st->keepers[st->keeper_count++];
    snprintf(kp->name, sizeof kp->name, "%s", name);
    kp->down_since_ms = ag_clock_mono_ms();
    return kp;
}

void ag_peers_conf(struct ag_steward *st)
{
    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->conf.keyring_count; i++)
        keeper_place(st, st->conf.keyrings[i].name);
    uv_mutex_unlock(&st->lock);
}

void ag_peer_keeper(struct ag_steward *st, const char *name, int fd)
{
    struct ag_chan *c = NULL, *old = NULL;
    struct ag_keeper *kp;

    if (ag_chan_open(st->loop, fd, name, &peer_ops, st, &c) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "peer.open", AG_F_TEXT("peer", name));
        return;
    }
    uv_mutex_lock(&st->lock);
    if ((kp = keeper_place(st, name)) != NULL) {
        old = kp->chan;
        kp->chan = c;
        kp->gen++;
        kp->retry_at_ms = 0;
        if (old != NULL)
            kp->down_since_ms = ag_clock_mono_ms();
    } else {
        old = c;
    }
    uv_mutex_unlock(&st->lock);
    ag_chan_close(old);
    ag_driver_kick(st);
}

void ag_peers_close(struct ag_steward *st)
{
    struct ag_chan *open[AG_CONF_KEYRINGS_MAX + 2];
    size_t n = 0;

    uv_mutex_lock(&st->lock);
    open[n++] = st->front;
    forget_front(st);
    open[n++] = st->courier;
    st->courier = NULL;
    for (size_t i = 0; i < st->keeper_count; i++) {
        open[n++] = st->keepers[i].chan;
        st->keepers[i].chan = NULL;
    }
    uv_mutex_unlock(&st->lock);
    while (n > 0)
        ag_chan_close(open[--n]);
}

struct ag_chan *ag_front_hold(struct ag_steward *st, uint64_t *gen)
{
    struct ag_chan *c;

    uv_mutex_lock(&st->lock);
    c = st->front == NULL ? NULL : ag_chan_hold(st->front);
    *gen = st->front_gen;
    uv_mutex_unlock(&st->lock);
    return c;
}

struct ag_chan *ag_courier_hold(struct ag_steward *st)
{
    struct ag_chan *c;

    uv_mutex_lock(&st->lock);
    c = st->courier == NULL ? NULL : ag_chan_hold(st->courier);
    uv_mutex_unlock(&st->lock);
    return c;
}

/* Lock held. */
static struct ag_keeper *find_keeper(struct ag_steward *st, const char *keyring)
{
    for (size_t i = 0; i < st->keeper_count; i++)
        if (strcmp(st->keepers[i].name, keyring) == 0)
            return &st->keepers[i];
    return NULL;
}

struct ag_chan *ag_keeper_hold(struct ag_steward *st, const char *keyring, uint64_t *gen)
{
    struct ag_chan *c = NULL;
    struct ag_keeper *kp;

    uv_mutex_lock(&st->lock);
    kp = find_keeper(st, keyring);
    if (kp != NULL && kp->chan != NULL) {
        c = ag_chan_hold(kp->chan);
        *gen = kp->gen;
    }
    uv_mutex_unlock(&st->lock);
    return c;
}

/* Lock held. */
static const struct ag_keeper_key *find_key(const struct ag_keeper *kp, uint64_t handle)
{
    for (size_t i = 0; i < kp->key_count; i++)
        if (kp->keys[i].handle == handle)
            return &kp->keys[i];
    return NULL;
}

static bool is_up(const struct ag_keeper *kp)
{
    return kp->chan != NULL && kp->loaded_gen == kp->gen;
}

void ag_keeper_making(struct ag_steward *st, const char *keyring, int by)
{
    struct ag_keeper *kp;

    uv_mutex_lock(&st->lock);
    if ((kp = find_keeper(st, keyring)) != NULL) {
        kp->making += by;
        kp->making_seq++;
    }
    uv_mutex_unlock(&st->lock);
}

bool ag_keeper_holds(struct ag_steward *st, const char *keyring, uint64_t handle)
{
    const struct ag_keeper *kp;
    const struct ag_keeper_key *key = NULL;
    bool holds;

    uv_mutex_lock(&st->lock);
    kp = find_keeper(st, keyring);
    if (kp != NULL && is_up(kp))
        key = find_key(kp, handle);
    holds = key != NULL && key->err == ANTAG_OK && key->level >= AG_LEVEL_NONE;
    uv_mutex_unlock(&st->lock);
    return holds;
}

void ag_keeper_learned(struct ag_steward *st, const char *keyring, uint64_t handle)
{
    struct ag_keeper *kp;
    struct ag_keeper_key *key;

    uv_mutex_lock(&st->lock);
    kp = find_keeper(st, keyring);
    key = kp == NULL ? NULL : (struct ag_keeper_key *)(uintptr_t)find_key(kp, handle);
    if (key != NULL && key->err != ANTAG_OK) {
        key->err = ANTAG_OK;
        key->level = AG_LEVEL_NONE;
        key->why[0] = '\0';
    }
    uv_mutex_unlock(&st->lock);
}

enum antag_err ag_keeper_check(struct ag_steward *st, const char *keyring, int64_t wait_ms,
                               struct antag_fault *fault)
{
    int64_t until = ag_clock_mono_ms() + wait_ms, left;
    struct ag_conf conf;
    const struct ag_keeper *kp;
    bool up;

    ag_conf_copy(st, &conf);
    if (ag_conf_find_keyring(&conf, keyring) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "keyring",
                               "agent.conf has no section [keyring %s]; \"soft\" is always there",
                               keyring);
    uv_mutex_lock(&st->lock);
    for (;;) {
        kp = find_keeper(st, keyring);
        up = kp != NULL && is_up(kp);
        left = until - ag_clock_mono_ms();
        if (up || left <= 0 || st->quit || st->state != AG_STATE_UNLOCKED)
            break;
        uv_cond_timedwait(&st->changed, &st->lock, (uint64_t)left * 1000000);
    }
    uv_mutex_unlock(&st->lock);
    if (up)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                           "the keeper of keyring \"%s\" is not up; nothing was changed", keyring);
}

/* Lock held. */
static void source_of(const struct ag_keeper *kp, const struct ag_row_key *active, int64_t now_ms,
                      struct ag_sign_source *out)
{
    const struct ag_keeper_key *key = kp == NULL ? NULL : find_key(kp, active->id);

    if (kp != NULL && !is_up(kp) && now_ms - kp->down_since_ms < AG_GRACE_MS) {
        out->kind = AG_SOURCE_COMING;
        snprintf(out->why, sizeof out->why, "keyring \"%s\" is being started", kp->name);
    } else if (kp == NULL || !is_up(kp)) {
        snprintf(out->why, sizeof out->why, "keyring \"%s\" cannot be reached", active->keyring);
    } else if (key != NULL && key->err != ANTAG_OK) {
        snprintf(out->why, sizeof out->why, "keyring \"%.32s\" cannot use version %u: %.45s",
                 kp->name, active->version, key->why);
    } else if (key == NULL || key->level < AG_LEVEL_SIGN) {
        snprintf(out->why, sizeof out->why, "keyring \"%s\" has not taken version %u yet", kp->name,
                 active->version);
    } else {
        out->kind = AG_SOURCE_READY;
    }
}

void ag_sign_source_of(struct ag_steward *st, const struct ag_row_key *active, uint64_t epoch,
                       struct ag_sign_source *out)
{
    *out = (struct ag_sign_source){.kind = AG_SOURCE_FAILED, .err = ANTAG_ERR_BACKEND};
    if (active == NULL)
        return;
    if (ag_stop_is_pending(st, active->id, epoch)) {
        out->kind = AG_SOURCE_STOPPED;
        out->err = ANTAG_ERR_KEY_STATE;
        return;
    }
    uv_mutex_lock(&st->lock);
    source_of(find_keeper(st, active->keyring), active, ag_clock_mono_ms(), out);
    uv_mutex_unlock(&st->lock);
}

/* ---- requests; threads that may wait */

enum antag_err ag_call_keyring(struct ag_chan *c, const char *method,
                               const struct ag_keyring_params *p, const int *fds, size_t fd_count,
                               int64_t timeout_ms, struct ag_reply *out)
{
    struct antag_writer w;
    uint32_t id = ag_chan_next_id(c);
    enum antag_err err;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_request(&w, id, method);
    if (p != NULL) {
        ag_keyring_params_write(&w, method, p);
    } else {
        antag_w_map(&w);
        antag_w_end(&w);
    }
    antag_m_close(&w);
    err = ag_chan_call(c, id, &w, fds, fd_count, timeout_ms, out);
    antag_writer_fini(&w);
    return err;
}

enum antag_err ag_call(struct ag_chan *c, const char *method, const int *fds, size_t fd_count,
                       int64_t timeout_ms, struct ag_reply *out)
{
    return ag_call_keyring(c, method, NULL, fds, fd_count, timeout_ms, out);
}

enum antag_err ag_keeper_call(struct ag_steward *st, const char *keyring, const char *method,
                              const struct ag_keyring_params *p, int64_t timeout_ms,
                              struct antag_fault *fault)
{
    uint64_t gen;
    struct ag_chan *c = ag_keeper_hold(st, keyring, &gen);
    struct ag_reply reply = {0};
    enum antag_err err;

    if (c == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the keeper of keyring \"%s\" is not up", keyring);
    err = ag_call_keyring(c, method, p, NULL, 0, timeout_ms, &reply);
    if (err != ANTAG_OK && fault != NULL)
        *fault = reply.fault;
    ag_reply_fini(&reply);
    ag_chan_release(c);
    return err;
}

void ag_keyring_params_of(const struct ag_row_profile *p, const struct ag_row_key *k,
                          enum ag_key_use use, struct ag_keyring_params *out)
{
    *out = (struct ag_keyring_params){
        .id = {.handle = k->id,
               .profile_id = k->profile_id,
               .env = p == NULL ? 0 : (uint32_t)p->env,
               .version = k->version},
        .use = use,
        .bits = k->bits,
        .spki = ag_key_spki(k),
        .sealed = {k->sealed, k->sealed_len},
    };
}

enum antag_err ag_key_make_ready(struct ag_steward *st, const struct ag_row_profile *profile,
                                 const struct ag_row_key *k, struct antag_fault *fault)
{
    struct ag_keyring_params p;
    struct antag_fault said;
    enum antag_err err;

    if ((err = ag_keeper_check(st, k->keyring, AG_WAIT_KEEPER_MS, fault)) != ANTAG_OK)
        return err;
    if (ag_keeper_holds(st, k->keyring, k->id))
        return ANTAG_OK;
    ag_keyring_params_of(profile, k, AG_USE_NONE, &p);
    err = ag_keeper_call(st, k->keyring, "load", &p, AG_WAIT_KEEPER_MS, &said);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL,
                               "keyring \"%s\" cannot use %s version %u, nothing was changed: %s",
                               k->keyring, profile->name, k->version, antag_fault_text(&said));
    ag_keeper_learned(st, k->keyring, k->id);
    return ANTAG_OK;
}
