/* orders: what the steward asks of a keyring (agent/lib/edges/keyring.h). Loads and generations run on
 * threads of their own; everything else acts at once, so that a stop never waits behind them. */
#include <stdlib.h>
#include <string.h>

#include "agent/keeper/ring_internal.h"
#include "agent/lib/log.h"

/* a load or generation under way */
struct ag_ring_work {
    uv_work_t req;
    struct ag_ring *ring;
    struct ag_ring_work *next, **at; /* in ring->works */
    uint64_t steward_number;
    uint32_t message_id;
    bool generate, destroy, check, pin; /* else: load */
    bool adopt;                         /* a kind of generate */
    bool forgotten;                     /* by a forget that came meanwhile */
    struct ag_key_identity id;
    enum ag_key_use use;
    uint32_t bits;
    /* what comes of it */
    enum antag_err err;
    struct antag_fault fault;
    struct ag_backend_key *key;
    struct ag_keyring_made *made; /* generate */
    size_t spki_len, sealed_len;  /* load: what the registry holds, spki first */
    uint8_t bytes[];
};

/* an answer that waits until no worker can still release what was taken away */
struct late_answer {
    struct ag_grace_item item;
    struct ag_ring *ring;
    uint64_t steward_number;
    uint32_t message_id;
    bool ends_load;
};

/* ---- answers */

static void refuse(struct ag_ring *ring, uint32_t id, enum antag_err err, const char *field,
                   const char *text)
{
    struct antag_fault f;

    antag_fault_set(&f, err, field, "%s", text);
    ag_chan_refuse(ring->steward, id, &f);
}

static void late_answer_done(struct ag_grace_item *item)
{
    struct late_answer *late =
        (struct late_answer *)((char *)item - offsetof(struct late_answer, item));
    struct ag_ring *ring = late->ring;

    if (late->steward_number == ring->steward_number && ring->steward != NULL) {
        ag_chan_answer_ok(ring->steward, late->message_id);
        if (late->ends_load && !ring->ready) {
            ring->ready = true;
            ring->conf.on_ready(ring->conf.ctx);
        }
    }
    free(late);
}

/* Answered once every batch that may have seen the old state is over; the caller's message ends with
 * ag_grace_collect. */
static void answer_after_grace(struct ag_ring *ring, uint32_t id, bool ends_load)
{
    struct late_answer *late = calloc(1, sizeof *late);

    if (late == NULL) {
        refuse(ring, id, ANTAG_ERR_NO_MEMORY, NULL, "it took effect, but cannot be confirmed");
        return;
    }
    late->ring = ring;
    late->steward_number = ring->steward_number;
    late->message_id = id;
    late->ends_load = ends_load;
    ag_grace_defer(&ring->grace, &late->item, late_answer_done);
}

static void answer_made(struct ag_ring *ring, uint32_t id, const struct ag_keyring_made *made)
{
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, id);
    ag_keyring_made_write(&w, made);
    antag_m_close(&w);
    err = ag_chan_send(ring->steward, &w, NULL, 0);
    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "keeper.answer", AG_F_ERR(err));
    antag_writer_fini(&w);
}

/* ---- what keys may do */

/* What a full load or a new key says of use. A stop holds until a permit undoes it: the steward may
 * have died before it could write the stop down. */
static void apply_use(struct ag_held *held, enum ag_key_use use)
{
    if (use == AG_USE_NONE)
        held->stopped = false; /* the registry says so too */
    atomic_store(&held->use, held->stopped ? AG_USE_NONE : (int)use);
}

static void order_permit(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_held *held = ag_keytable_find(ring->keys, p->id.handle);

    if (held == NULL || held->key == NULL) {
        refuse(ring, id, ANTAG_ERR_NOT_FOUND, "handle", "the keyring does not hold this key");
        return;
    }
    held->stopped = false;
    atomic_store(&held->use, (int)p->use);
    ag_log(AG_LOG_INFO, "key.permitted", AG_F_UINT("handle", p->id.handle),
           AG_F_TEXT("use", ag_key_use_name(p->use)));
    answer_after_grace(ring, id, false);
}

/* A stop for a key that is not here (yet): remembered, so that a load under way does not undo it. */
static enum antag_err remember_stop(struct ag_ring *ring, const struct ag_key_identity *identity)
{
    struct ag_held *held = ag_held_new(identity, NULL, (struct antag_slice){NULL, 0}, AG_USE_NONE);

    if (held == NULL)
        return ANTAG_ERR_NO_MEMORY;
    held->stopped = true;
    held->named = ring->load_number;
    return ag_keytable_put(ring->keys, held);
}

static void forget_works(struct ag_ring *ring, uint64_t handle)
{
    for (struct ag_ring_work *w = ring->works; w != NULL; w = w->next)
        if (w->id.handle == handle)
            w->forgotten = true;
}

static void order_stop(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_held *held = ag_keytable_find(ring->keys, p->id.handle);
    enum antag_err err;

    if (held != NULL) {
        atomic_store(&held->use, AG_USE_NONE);
        held->stopped = true;
    } else if ((err = remember_stop(ring, &p->id)) != ANTAG_OK) {
        forget_works(ring, p->id.handle); /* so it is not loaded as permitted either */
        refuse(ring, id, err, NULL, "the key is not loaded, and there is no room to remember this");
        return;
    }
    ag_log(AG_LOG_INFO, "key.stopped", AG_F_UINT("handle", p->id.handle));
    answer_after_grace(ring, id, false);
}

static void order_forget(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    forget_works(ring, p->id.handle);
    if (ag_keytable_remove(ring->keys, p->id.handle))
        ag_log(AG_LOG_INFO, "key.forgotten", AG_F_UINT("handle", p->id.handle));
    answer_after_grace(ring, id, false);
}

/* ---- work on other threads */

static void work_free(struct ag_ring_work *w)
{
    if (w->key != NULL)
        w->key->backend->ops->forget(w->key);
    free(w->made);
    free(w);
}

static void work_run(uv_work_t *req)
{
    struct ag_ring_work *w = req->data;
    struct ag_backend *b = w->ring->backend;

    if (w->check)
        w->err = b->ops->check(b, &w->fault);
    else if (w->pin)
        w->err = b->ops->take_pin(b, (struct antag_slice){w->bytes, w->sealed_len}, &w->fault);
    else if (w->destroy)
        w->err = b->ops->destroy(b, w->id.handle, &w->fault);
    else if (w->adopt)
        w->err = b->ops->adopt(b, &w->id, (struct antag_slice){w->bytes, w->sealed_len}, &w->key,
                               w->made, &w->fault);
    else if (w->generate)
        w->err = b->ops->generate(b, &w->id, w->bits, &w->key, w->made, &w->fault);
    else
        w->err = b->ops->load(b, &w->id, (struct antag_slice){w->bytes, w->spki_len},
                              (struct antag_slice){w->bytes + w->spki_len, w->sealed_len}, &w->key,
                              &w->fault);
}

/* A key that was made or loaded takes its place. */
static enum antag_err publish(struct ag_ring *ring, struct ag_ring_work *w)
{
    struct ag_held *old = ag_keytable_find(ring->keys, w->id.handle), *held;
    struct antag_slice spki = w->generate ? (struct antag_slice){w->made->spki, w->made->spki_len}
                                          : (struct antag_slice){w->bytes, w->spki_len};

    held = ag_held_new(&w->id, w->key, spki, AG_USE_NONE);
    w->key = NULL; /* transferred */
    if (held == NULL)
        return ANTAG_ERR_NO_MEMORY;
    held->stopped = old != NULL && old->stopped;
    held->named = ring->load_number;
    if (!w->generate)
        apply_use(held, w->use);
    return ag_keytable_put(ring->keys, held);
}

static void load_ended(struct ag_ring *ring);

static void destroy_end(struct ag_ring *ring, struct ag_ring_work *w)
{
    if (w->err == ANTAG_OK) {
        ag_log(AG_LOG_INFO, "key.destroyed", AG_F_UINT("handle", w->id.handle));
        answer_after_grace(ring, w->message_id, false);
        return;
    }
    ag_log_fault(AG_LOG_ERROR, "key.not_destroyed", &w->fault);
    ag_chan_refuse(ring->steward, w->message_id, &w->fault);
}

static void work_end(struct ag_ring *ring, struct ag_ring_work *w)
{
    if (w->destroy) {
        destroy_end(ring, w);
        return;
    }
    if (w->check || w->pin) {
        if (w->err == ANTAG_OK)
            ag_chan_answer_ok(ring->steward, w->message_id);
        else
            ag_chan_refuse(ring->steward, w->message_id, &w->fault);
        return;
    }
    if (w->err == ANTAG_OK && w->forgotten)
        w->err = antag_fault_set(&w->fault, ANTAG_ERR_KEY_STATE, "handle",
                                 "the key was forgotten while it was being loaded");
    if (w->err == ANTAG_OK && (w->err = publish(ring, w)) != ANTAG_OK)
        antag_fault_set(&w->fault, w->err, NULL,
                        "the keyring holds at most %u keys, or is out of "
                        "memory",
                        AG_KEYTABLE_MAX);
    if (w->err != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, w->generate ? "key.not_generated" : "key.not_loaded", &w->fault);
        ag_chan_refuse(ring->steward, w->message_id, &w->fault);
    } else if (w->generate) {
        ag_log(AG_LOG_INFO, "key.generated", AG_F_UINT("handle", w->id.handle));
        answer_made(ring, w->message_id, w->made);
    } else {
        ag_log(AG_LOG_DEBUG, "key.loaded", AG_F_UINT("handle", w->id.handle));
        ag_chan_answer_ok(ring->steward, w->message_id);
    }
}

static bool loads_are_under_way(const struct ag_ring *ring)
{
    for (const struct ag_ring_work *w = ring->works; w != NULL; w = w->next)
        if (!w->generate && !w->destroy && !w->check && !w->pin &&
            w->steward_number == ring->steward_number)
            return true;
    return false;
}

static void work_done(uv_work_t *req, int status)
{
    struct ag_ring_work *w = req->data;
    struct ag_ring *ring = w->ring;

    *w->at = w->next;
    if (w->next != NULL)
        w->next->at = w->at;
    ring->work_count--;
    ring->generate_count -= w->generate ? 1 : 0;
    /* what a steward asked for that is gone is dropped: the next one begins anew */
    if (status == 0 && w->steward_number == ring->steward_number && ring->steward != NULL) {
        work_end(ring, w);
        if (ring->load_end_asked && !loads_are_under_way(ring))
            load_ended(ring);
    }
    work_free(w);
    ag_grace_collect(&ring->grace);
}

/* Takes `w`. */
static void work_start(struct ag_ring *ring, uint32_t id, struct ag_ring_work *w)
{
    w->req.data = w;
    w->ring = ring;
    w->steward_number = ring->steward_number;
    w->message_id = id;
    if (uv_queue_work(ring->conf.loop, &w->req, work_run, work_done) != 0) {
        refuse(ring, id, ANTAG_ERR_INTERNAL, NULL, "no thread could be had");
        work_free(w);
        return;
    }
    w->next = ring->works;
    w->at = &ring->works;
    if (w->next != NULL)
        w->next->at = &w->next;
    ring->works = w;
    ring->work_count++;
    ring->generate_count += w->generate ? 1 : 0;
}

static bool is_under_way(const struct ag_ring *ring, uint64_t handle)
{
    for (const struct ag_ring_work *w = ring->works; w != NULL; w = w->next)
        if (w->id.handle == handle)
            return true;
    return false;
}

static void order_destroy(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_ring_work *w = calloc(1, sizeof *w);

    if (w == NULL) {
        refuse(ring, id, ANTAG_ERR_NO_MEMORY, NULL, "out of memory");
        return;
    }
    forget_works(ring, p->id.handle);
    (void)ag_keytable_remove(ring->keys, p->id.handle);
    w->destroy = true;
    w->id = p->id;
    work_start(ring, id, w);
}

/* One at a time: where one hangs, others would. */
static void order_check(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_ring_work *w;

    (void)p;
    for (w = ring->works; w != NULL; w = w->next)
        if (w->check) {
            refuse(ring, id, ANTAG_ERR_BACKEND, NULL,
                   "the device has not answered an earlier check yet");
            return;
        }
    if ((w = calloc(1, sizeof *w)) == NULL) {
        refuse(ring, id, ANTAG_ERR_NO_MEMORY, NULL, "out of memory");
        return;
    }
    w->check = true;
    work_start(ring, id, w);
}

static void order_pin(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_ring_work *w;

    if (ring->backend->ops->take_pin == NULL) {
        refuse(ring, id, ANTAG_ERR_BAD_PARAM, NULL, "this keyring takes no PIN");
        return;
    }
    if ((w = calloc(1, sizeof *w + p->sealed.len)) == NULL) {
        refuse(ring, id, ANTAG_ERR_NO_MEMORY, NULL, "out of memory");
        return;
    }
    w->pin = true;
    w->sealed_len = p->sealed.len;
    memcpy(w->bytes, p->sealed.p, p->sealed.len);
    work_start(ring, id, w);
}

/* One of the keys that are being made; NULL: refused. more: bytes behind it. */
static struct ag_ring_work *making(struct ag_ring *ring, uint32_t id,
                                   const struct ag_keyring_params *p, size_t more)
{
    struct ag_ring_work *w;

    if (ag_keytable_find(ring->keys, p->id.handle) != NULL || is_under_way(ring, p->id.handle)) {
        refuse(ring, id, ANTAG_ERR_EXISTS, "handle", "the handle names another key");
        return NULL;
    }
    if (ring->generate_count >= AG_RING_GENERATES_MAX) {
        refuse(ring, id, ANTAG_ERR_BUSY, NULL, "as many keys are being made as may be at a time");
        return NULL;
    }
    w = calloc(1, sizeof *w + more);
    if (w == NULL || (w->made = calloc(1, sizeof *w->made)) == NULL) {
        free(w);
        refuse(ring, id, ANTAG_ERR_NO_MEMORY, NULL, "out of memory");
        return NULL;
    }
    w->generate = true;
    w->id = p->id;
    return w;
}

static void order_generate(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_ring_work *w = making(ring, id, p, 0);

    if (w == NULL)
        return;
    w->bits = p->bits;
    work_start(ring, id, w);
}

static void order_adopt(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_ring_work *w;

    if (ring->backend->ops->adopt == NULL) {
        refuse(ring, id, ANTAG_ERR_BAD_PARAM, NULL, "this keyring takes no keys that way");
        return;
    }
    if ((w = making(ring, id, p, p->sealed.len)) == NULL)
        return;
    w->adopt = true;
    w->sealed_len = p->sealed.len;
    memcpy(w->bytes, p->sealed.p, p->sealed.len);
    work_start(ring, id, w);
}

static bool same_key(const struct ag_held *held, const struct ag_keyring_params *p)
{
    return held->id.profile_id == p->id.profile_id && held->id.env == p->id.env &&
           held->id.version == p->id.version &&
           antag_slice_equal((struct antag_slice){held->spki, held->spki_len}, p->spki);
}

/* A key that is here already is kept; only what it may do is told anew. */
static void load_again(struct ag_ring *ring, uint32_t id, struct ag_held *held,
                       const struct ag_keyring_params *p)
{
    if (!same_key(held, p)) {
        refuse(ring, id, ANTAG_ERR_BAD_PARAM, "handle", "the handle names another key");
        return;
    }
    held->named = ring->load_number;
    apply_use(held, p->use);
    answer_after_grace(ring, id, false);
}

static void order_load(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct ag_held *held = ag_keytable_find(ring->keys, p->id.handle);
    struct ag_ring_work *w;

    if (held != NULL && held->key != NULL) {
        load_again(ring, id, held, p);
        return;
    }
    if (ring->work_count >= AG_RING_WORKS_MAX) {
        refuse(ring, id, ANTAG_ERR_BUSY, NULL, "as many keys are being loaded as may be at a time");
        return;
    }
    w = calloc(1, sizeof *w + p->spki.len + p->sealed.len);
    if (w == NULL) {
        refuse(ring, id, ANTAG_ERR_NO_MEMORY, NULL, "out of memory");
        return;
    }
    w->id = p->id;
    w->use = p->use;
    w->spki_len = p->spki.len;
    w->sealed_len = p->sealed.len;
    if (p->spki.len > 0)
        memcpy(w->bytes, p->spki.p, p->spki.len);
    if (p->sealed.len > 0)
        memcpy(w->bytes + p->spki.len, p->sealed.p, p->sealed.len);
    work_start(ring, id, w);
}

/* ---- a full load */

static void write_stopped(struct ag_held *held, void *ctx)
{
    if (held->stopped)
        antag_w_uint(ctx, held->id.handle);
}

static void order_begin(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    struct antag_writer w;
    enum antag_err err;

    (void)p;
    ring->load_number++;
    ring->loading = true;
    ring->load_end_asked = false;
    ag_workers_set_loading(ring->workers, true);
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, id);
    antag_w_map(&w);
    antag_w_key(&w, "stopped");
    antag_w_array(&w);
    ag_keytable_each(ring->keys, write_stopped, &w);
    antag_w_end(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    err = ag_chan_send(ring->steward, &w, NULL, 0);
    if (err != ANTAG_OK)
        refuse(ring, id, err, NULL, "the keys that were stopped cannot be told");
    antag_writer_fini(&w);
}

/* Keys that the full load did not name are forgotten; that one was stopped is not. */
static void forget_unnamed(struct ag_held *held, void *ctx)
{
    struct ag_ring *ring = ctx;

    if (held->named == ring->load_number)
        return;
    atomic_store(&held->use, AG_USE_NONE);
    if (!held->stopped)
        (void)ag_keytable_remove(ring->keys, held->id.handle);
    else if (held->key != NULL && remember_stop(ring, &held->id) != ANTAG_OK)
        ag_log(AG_LOG_WARN, "key.kept", AG_F_UINT("handle", held->id.handle));
}

static void load_ended(struct ag_ring *ring)
{
    ring->load_end_asked = false;
    ag_keytable_each(ring->keys, forget_unnamed, ring);
    ring->loading = false;
    ag_workers_set_loading(ring->workers, false);
    ag_log(AG_LOG_INFO, "keyring.loaded", AG_F_UINT("keys", ag_keytable_count(ring->keys)));
    answer_after_grace(ring, ring->load_end_id, true);
}

static void order_load_end(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p)
{
    (void)p;
    if (!ring->loading || ring->load_number == 0 || ring->load_end_asked) {
        refuse(ring, id, ANTAG_ERR_BAD_PARAM, NULL, "there was no begin before");
        return;
    }
    ring->load_end_asked = true;
    ring->load_end_id = id;
    if (!loads_are_under_way(ring))
        load_ended(ring);
}

void ag_orders_abandon(struct ag_ring *ring)
{
    ring->load_end_asked = false;
}

/* ---- dispatch */

static void tell_gauge(struct ag_ring *ring, uint32_t id)
{
    struct ag_gauge_told told;
    struct antag_writer w;

    ag_gauge_tell(&ring->gauge, &told);
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, id);
    ag_gauge_write(&w, &told);
    antag_m_close(&w);
    if (ag_chan_send(ring->steward, &w, NULL, 0) != ANTAG_OK)
        ag_log(AG_LOG_WARN, "keeper.gauge");
    antag_writer_fini(&w);
}

static const struct {
    const char *name;
    void (*take)(struct ag_ring *ring, uint32_t id, const struct ag_keyring_params *p);
} orders[] = {
    {"begin", order_begin},       {"load", order_load},     {"load_end", order_load_end},
    {"generate", order_generate}, {"adopt", order_adopt},   {"permit", order_permit},
    {"stop", order_stop},         {"forget", order_forget}, {"destroy", order_destroy},
    {"check", order_check},       {"pin", order_pin},
};

void ag_orders_take(struct ag_ring *ring, const struct antag_message *m)
{
    struct ag_keyring_params p;
    struct antag_fault fault;

    if (antag_slice_is(m->name, "heads")) {
        ag_ring_heads(ring, m);
        return;
    }
    if (antag_slice_is(m->name, "probe")) {
        ag_ring_probe(ring, m);
        return;
    }
    if (antag_slice_is(m->name, "gauge")) {
        tell_gauge(ring, m->id);
        return;
    }
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (!antag_slice_is(m->name, orders[i].name))
            continue;
        if (ag_keyring_params_parse(m->name, &m->params, &p, &fault) != ANTAG_OK)
            ag_chan_refuse(ring->steward, m->id, &fault);
        else
            orders[i].take(ring, m->id, &p);
        return;
    }
    antag_fault_set(&fault, ANTAG_ERR_UNKNOWN_METHOD, NULL, "a keeper has no method %.*s",
                    (int)(m->name.len < 40 ? m->name.len : 40), (const char *)m->name.p);
    ag_chan_refuse(ring->steward, m->id, &fault);
}
