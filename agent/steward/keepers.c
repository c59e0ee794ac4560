/* keepers: makes keepers hold what the registry says. Raised before the front learns of a change, lowered
 * when no job of the front needs the old level any more. Driver's thread; what it knows of a keeper's
 * keys is read by others, so it is touched under the lock only. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/steward.h"

#define RETRY_MS       2000
#define TOKEN_AGAIN_MS 30000 /* after a token that did not destroy a key */

/* ---- what is known of a keeper's keys */

static struct ag_keeper_key *known(struct ag_keeper *kp, uint64_t handle)
{
    for (size_t i = 0; i < kp->key_count; i++)
        if (kp->keys[i].handle == handle)
            return &kp->keys[i];
    return NULL;
}

/* Lock held. NULL: out of memory. */
static struct ag_keeper_key *known_or_new(struct ag_keeper *kp, uint64_t handle)
{
    struct ag_keeper_key *key = known(kp, handle);

    if (key != NULL)
        return key;
    if (kp->key_count == kp->key_cap) {
        size_t cap = kp->key_cap == 0 ? 16 : 2 * kp->key_cap;
        struct ag_keeper_key *keys = reallocarray(kp->keys, cap, sizeof *keys);

        if (keys == NULL)
            return NULL;
        kp->keys = keys;
        kp->key_cap = cap;
    }
    key = &kp->keys[kp->key_count++];
    *key = (struct ag_keeper_key){.handle = handle, .level = AG_LEVEL_ABSENT};
    return key;
}

static void learn(struct ag_steward *st, struct ag_keeper *kp, uint64_t handle, enum ag_level level,
                  const struct antag_fault *fault)
{
    struct ag_keeper_key *key;

    uv_mutex_lock(&st->lock);
    if ((key = known_or_new(kp, handle)) != NULL) {
        key->level = level;
        key->dropped_at = 0;
        key->err = fault == NULL ? ANTAG_OK : fault->err;
        snprintf(key->why, sizeof key->why, "%.95s", fault == NULL ? "" : antag_fault_text(fault));
    }
    uv_mutex_unlock(&st->lock);
}

static void unlearn(struct ag_steward *st, struct ag_keeper *kp, uint64_t handle)
{
    struct ag_keeper_key *key;

    uv_mutex_lock(&st->lock);
    if ((key = known(kp, handle)) != NULL)
        *key = kp->keys[--kp->key_count];
    uv_mutex_unlock(&st->lock);
}

static enum ag_level level_of(struct ag_steward *st, struct ag_keeper *kp, uint64_t handle,
                              enum antag_err *failed)
{
    const struct ag_keeper_key *key;
    enum ag_level level;

    uv_mutex_lock(&st->lock);
    key = known(kp, handle);
    *failed = key == NULL ? ANTAG_OK : key->err;
    level = key == NULL ? AG_LEVEL_ABSENT : key->level;
    uv_mutex_unlock(&st->lock);
    return level;
}

static bool is_known(struct ag_steward *st, struct ag_keeper *kp, uint64_t handle)
{
    bool there;

    uv_mutex_lock(&st->lock);
    there = known(kp, handle) != NULL;
    uv_mutex_unlock(&st->lock);
    return there;
}

/* What the keeper holds is not known any more; retry_at_ms: when to load it anew. */
static void lose(struct ag_steward *st, struct ag_keeper *kp, int64_t retry_at_ms)
{
    uv_mutex_lock(&st->lock);
    if (kp->loaded_gen == kp->gen)
        kp->down_since_ms = ag_clock_mono_ms();
    kp->loaded_gen = 0;
    kp->retry_at_ms = retry_at_ms;
    uv_mutex_unlock(&st->lock);
}

/* Its two times, and whether it is up on channel `gen`. */
static bool look(struct ag_steward *st, const struct ag_keeper *kp, uint64_t gen,
                 int64_t *down_since_ms, int64_t *retry_at_ms)
{
    bool up;

    uv_mutex_lock(&st->lock);
    up = kp->loaded_gen == gen;
    *down_since_ms = kp->down_since_ms;
    *retry_at_ms = kp->retry_at_ms;
    uv_mutex_unlock(&st->lock);
    return up;
}

/* ---- requests. False: the keeper is in trouble, everything is to be loaded anew. */

static bool is_trouble(enum antag_err err)
{
    return err == ANTAG_ERR_RETRY || err == ANTAG_ERR_TIMEOUT || err == ANTAG_ERR_BUSY;
}

static bool send_load(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                      const struct ag_book *b, const struct ag_row_key *k, enum ag_level level)
{
    struct ag_keyring_params p;
    struct ag_reply reply = {0};
    enum ag_key_use use = (enum ag_key_use)level;
    enum antag_err err;

    ag_keyring_params_of(ag_book_profile(b, k->profile_id), k, use, &p);
    err = ag_call_keyring(c, "load", &p, NULL, 0, AG_WAIT_KEEPER_MS, &reply);
    if (err == ANTAG_OK) {
        learn(st, kp, k->id, level, NULL);
    } else if (!is_trouble(err)) {
        ag_log_fault(AG_LOG_ERROR, "key.load", &reply.fault);
        learn(st, kp, k->id, AG_LEVEL_ABSENT, &reply.fault);
    }
    ag_reply_fini(&reply);
    return !is_trouble(err);
}

/* permit, stop or forget */
static bool send_order(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                       const char *method, uint64_t handle, enum ag_level level)
{
    struct ag_keyring_params p = {.id = {.handle = handle}};
    struct ag_reply reply = {0};
    enum antag_err err;

    if (level >= AG_LEVEL_NONE)
        p.use = (enum ag_key_use)level;
    err = ag_call_keyring(c, method, &p, NULL, 0, AG_WAIT_KEEPER_MS, &reply);
    if (err == ANTAG_OK)
        learn(st, kp, handle, level, NULL);
    else if (!is_trouble(err)) {
        ag_log_fault(AG_LOG_ERROR, "key.order", &reply.fault);
        learn(st, kp, handle, AG_LEVEL_ABSENT, &reply.fault);
    }
    ag_reply_fini(&reply);
    return !is_trouble(err);
}

/* Once it is done the key is known to be nowhere; what cannot be done now, as the token is away, is tried again. */
static bool send_destroy(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                         uint64_t handle, bool *done)
{
    struct ag_keyring_params p = {.id = {.handle = handle}};
    struct ag_reply reply = {0};
    enum antag_err err = ag_call_keyring(c, "destroy", &p, NULL, 0, AG_WAIT_KEEPER_MS, &reply);

    *done = err == ANTAG_OK;
    if (*done)
        learn(st, kp, handle, AG_LEVEL_ABSENT, NULL);
    else
        ag_log_fault(AG_LOG_WARN, "key.not_destroyed", &reply.fault);
    ag_reply_fini(&reply);
    return !is_trouble(err);
}

/* ---- stops that the driver has not repeated yet: the order may have crossed a permit of ours */

static bool repeat_stops(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                         const struct ag_book *b)
{
    bool good = true;

    for (size_t i = 0; i < AG_STOPS_MAX && good; i++) {
        uint64_t handle = 0, id = 0;
        const struct ag_row_key *k;

        uv_mutex_lock(&st->lock);
        if (i < st->stop_count && !st->stops[i].seen) {
            handle = st->stops[i].handle;
            id = st->stops[i].id;
        }
        uv_mutex_unlock(&st->lock);
        k = handle == 0 ? NULL : ag_book_key(b, handle);
        if (k == NULL || strcmp(k->keyring, kp->name) != 0)
            continue;
        good = send_order(st, kp, c, "stop", handle, AG_LEVEL_STOPPED);
        uv_mutex_lock(&st->lock);
        for (size_t j = 0; good && j < st->stop_count; j++)
            if (st->stops[j].id == id)
                st->stops[j].seen = true;
        uv_mutex_unlock(&st->lock);
    }
    return good;
}

/* Stops of keys whose keeper is not up: a fresh one starts without permits. */
static void settle_stops(struct ag_steward *st, const struct ag_book *b, const char *keyring)
{
    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->stop_count; i++) {
        const struct ag_row_key *k = ag_book_key(b, st->stops[i].handle);

        if (k == NULL || strcmp(k->keyring, keyring) == 0)
            st->stops[i].seen = true;
    }
    uv_mutex_unlock(&st->lock);
}

/* ---- a full load */

/* The keeper says which keys it was told to stop: a steward that died between the stop and its record
 * left these. They stay stopped and are recorded now. */
static void take_stopped(struct ag_steward *st, const struct ag_book *b,
                         const msgpack_object *result)
{
    const msgpack_object *list = antag_object_get(result, "stopped");

    if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY)
        return;
    for (uint32_t i = 0; i < list->via.array.size; i++) {
        const msgpack_object *o = &list->via.array.ptr[i];
        const struct ag_row_key *k =
            o->type == MSGPACK_OBJECT_POSITIVE_INTEGER ? ag_book_key(b, o->via.u64) : NULL;
        struct antag_fault fault;
        uint64_t id;

        if (k == NULL || ag_desired_level(k, false) < AG_LEVEL_NONE ||
            ag_stop_is_pending(st, k->id, b->epoch))
            continue;
        ag_log(AG_LOG_WARN, "stop.found", AG_F_UINT("handle", k->id));
        if (ag_stop_add(st, ag_actor_agent, k->id, "stopped before a restart", true, &id, &fault) !=
            ANTAG_OK)
            ag_log_fault(AG_LOG_ERROR, "stop.found", &fault);
    }
}

/* A key that the front still works with is loaded at that level, though the registry has moved on: it is
 * lowered with the others. */
static enum ag_level loading_level(struct ag_steward *st, struct ag_keeper *kp,
                                   const struct ag_book *b, const struct ag_row_key *k)
{
    enum ag_level level = ag_desired_level(k, ag_stop_is_pending(st, k->id, b->epoch));
    enum antag_err failed;

    if (level >= AG_LEVEL_NONE && level < AG_LEVEL_SIGN &&
        level_of(st, kp, k->id, &failed) == AG_LEVEL_SIGN)
        return AG_LEVEL_SIGN;
    return level;
}

/* Loads the keys of one keyring, but for suspended ones: resuming does it. One that staff stopped and
 * the registry still calls active is not loaded either; the keeper is told so that it remembers. */
static bool load_all(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                     const struct ag_book *b)
{
    bool good = true;

    for (size_t i = 0; i < b->key_count && good; i++) {
        const struct ag_row_key *k = &b->keys[i];
        enum ag_level level;

        if (strcmp(k->keyring, kp->name) != 0)
            continue;
        level = loading_level(st, kp, b, k);
        if (level == AG_LEVEL_ABSENT || k->state == AG_KEY_SUSPENDED)
            unlearn(st, kp, k->id);
        else if (level == AG_LEVEL_STOPPED)
            good = send_order(st, kp, c, "stop", k->id, AG_LEVEL_STOPPED);
        else
            good = send_load(st, kp, c, b, k, level);
    }
    return good;
}

/* The token's PIN, where the registry has it. A token that is away, or refuses it, fails the loads, which say so. */
static bool send_pin(struct ag_steward *st, const struct ag_keeper *kp, struct ag_chan *c)
{
    const struct ag_conf_keyring *k;
    struct ag_reply reply = {0};
    struct ag_row_pin row = {.id = 0};
    struct antag_fault fault;
    struct ag_conf conf;
    struct ag_txn t;
    enum antag_err err;

    ag_conf_copy(st, &conf);
    if ((k = ag_conf_find_keyring(&conf, kp->name)) == NULL || !ag_keyring_keeps_pin(k))
        return true;
    if ((err = ag_txn_begin(st, 0, &t, &fault)) == ANTAG_OK)
        err = ag_pin_find(st->reg, kp->name, &row, &fault);
    ag_txn_end(&t);
    if (err != ANTAG_OK || row.id == 0)
        return err == ANTAG_OK;
    err = ag_call_keyring(c, "pin",
                          &(struct ag_keyring_params){.sealed = {row.sealed, row.sealed_len}}, NULL,
                          0, AG_WAIT_KEEPER_MS, &reply);
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "keyring.pin", &reply.fault);
    ag_reply_fini(&reply);
    return !is_trouble(err);
}

static bool full_load(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c, uint64_t gen,
                      const struct ag_book *b)
{
    struct ag_reply reply = {0};
    bool good;

    good = ag_call(c, "begin", NULL, 0, AG_WAIT_KEEPER_MS, &reply) == ANTAG_OK;
    if (good)
        take_stopped(st, b, reply.result);
    ag_reply_fini(&reply);
    good = good && send_pin(st, kp, c) && load_all(st, kp, c, b);
    if (good) {
        good = ag_call(c, "load_end", NULL, 0, AG_WAIT_KEEPER_MS, &reply) == ANTAG_OK;
        ag_reply_fini(&reply);
    }
    if (good) {
        uv_mutex_lock(&st->lock);
        kp->loaded_gen = gen;
        uv_cond_broadcast(&st->changed);
        uv_mutex_unlock(&st->lock);
    } else {
        lose(st, kp, ag_clock_mono_ms() + RETRY_MS);
    }
    ag_log(good ? AG_LOG_INFO : AG_LOG_WARN, good ? "keyring.loaded" : "keyring.not_loaded",
           AG_F_TEXT("keyring", kp->name), AG_F_UINT("keys", kp->key_count));
    if (good)
        settle_stops(st, b, kp->name);
    return good;
}

/* ---- steps upwards */

static bool raise_key(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                      const struct ag_book *b, const struct ag_row_key *k)
{
    enum ag_level wanted = ag_desired_level(k, ag_stop_is_pending(st, k->id, b->epoch));
    enum antag_err failed;
    enum ag_level level = level_of(st, kp, k->id, &failed);

    if (wanted == AG_LEVEL_ABSENT || failed != ANTAG_OK)
        return true;
    if (wanted == AG_LEVEL_STOPPED)
        return level <= AG_LEVEL_STOPPED || send_order(st, kp, c, "stop", k->id, AG_LEVEL_STOPPED);
    /* a resumed key may be loaded or not: one that is held is kept */
    if (level <= AG_LEVEL_STOPPED && !send_load(st, kp, c, b, k, AG_LEVEL_NONE))
        return false;
    level = level_of(st, kp, k->id, &failed);
    if (failed != ANTAG_OK || level >= wanted)
        return true;
    return send_order(st, kp, c, "permit", k->id, wanted);
}

/* False: an operation makes keys in the keyring now. */
static bool is_quiet(struct ag_steward *st, const struct ag_keeper *kp, uint64_t *seq)
{
    bool quiet;

    uv_mutex_lock(&st->lock);
    quiet = kp->making == 0;
    *seq = kp->making_seq;
    uv_mutex_unlock(&st->lock);
    return quiet;
}

/* Is the intent of nobody's? `b` may be old, and the key have been made since: so the registry is asked, while no
 * operation begins or ends. */
static bool is_left_over(struct ag_steward *st, const struct ag_keeper *kp, uint64_t handle)
{
    uint64_t before, after;
    bool there = false;
    struct ag_txn t;

    if (!is_quiet(st, kp, &before))
        return false;
    if (ag_txn_begin(st, 0, &t, NULL) == ANTAG_OK)
        for (size_t i = 0; i < t.book->intent_count; i++)
            there = there || t.book->intents[i].id == handle;
    ag_txn_end(&t);
    return there && is_quiet(st, kp, &after) && after == before;
}

/* What the token did not do now it is asked again. */
static void ask_again(int64_t *next_ms)
{
    int64_t at_ms = ag_clock_mono_ms() + TOKEN_AGAIN_MS;

    if (at_ms < *next_ms)
        *next_ms = at_ms;
}

/* Keys that were to be made in a token and came to nothing: nobody has seen their public half. */
static bool end_left_intents(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                             const struct ag_book *b, int64_t *next_ms)
{
    bool good = true, done;

    for (size_t i = 0; i < b->intent_count && good; i++) {
        const struct ag_row_intent *intent = &b->intents[i];
        struct antag_fault fault = {0};

        if (strcmp(intent->keyring, kp->name) != 0 || !is_left_over(st, kp, intent->id))
            continue;
        good = send_destroy(st, kp, c, intent->id, &done);
        unlearn(st, kp, intent->id);
        if (!done)
            ask_again(next_ms);
        else if (ag_intent_end(st, intent, &fault) != ANTAG_OK)
            ag_log_fault(AG_LOG_WARN, "key.intent_stays", &fault);
    }
    return good;
}

/* What is destroyed in the registry is destroyed in the token, and known to be from then on. */
static bool end_destroyed(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                          const struct ag_book *b, int64_t *next_ms)
{
    bool done = true;

    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_key *k = &b->keys[i];

        if (k->state == AG_KEY_DESTROYED && strcmp(k->keyring, kp->name) == 0 &&
            !is_known(st, kp, k->id) && !send_destroy(st, kp, c, k->id, &done))
            return false;
        if (!done)
            ask_again(next_ms);
    }
    return true;
}

static bool end_outside(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                        const struct ag_book *b, int64_t *next_ms)
{
    return !ag_keyring_is_outside(st, kp->name) ||
           (end_destroyed(st, kp, c, b, next_ms) && end_left_intents(st, kp, c, b, next_ms));
}

static bool raise_keys(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                       const struct ag_book *b, int64_t *next_ms)
{
    if (!end_outside(st, kp, c, b, next_ms))
        return false;
    if (!repeat_stops(st, kp, c, b))
        return false;
    for (size_t i = 0; i < b->key_count; i++)
        if (strcmp(b->keys[i].keyring, kp->name) == 0 && !raise_key(st, kp, c, b, &b->keys[i]))
            return false;
    return true;
}

/* Not up. Is it given up, or when is it? */
static bool is_given_up(struct ag_steward *st, const struct ag_book *b, struct ag_keeper *kp,
                        int64_t down_since_ms, int64_t *next_ms)
{
    int64_t end = down_since_ms + AG_GRACE_MS;

    settle_stops(st, b, kp->name);
    if (ag_clock_mono_ms() >= end)
        return true;
    if (end < *next_ms)
        *next_ms = end;
    return false;
}

static bool raise_one(struct ag_steward *st, struct ag_keeper *kp, const struct ag_book *b,
                      int64_t *next_ms)
{
    uint64_t gen = 0;
    struct ag_chan *c = ag_keeper_hold(st, kp->name, &gen);
    int64_t down_since_ms, retry_at_ms;
    bool good = false;

    if (c != NULL && look(st, kp, gen, &down_since_ms, &retry_at_ms)) {
        good = raise_keys(st, kp, c, b, next_ms);
        if (!good)
            lose(st, kp, 0);
    }
    look(st, kp, gen, &down_since_ms, &retry_at_ms);
    if (c != NULL && !good && ag_clock_mono_ms() >= retry_at_ms) {
        good = full_load(st, kp, c, gen, b);
        if (good && !end_outside(st, kp, c, b, next_ms)) {
            lose(st, kp, ag_clock_mono_ms() + RETRY_MS);
            good = false;
        }
    }
    if (!good) {
        look(st, kp, gen, &down_since_ms, &retry_at_ms);
        if (c != NULL && retry_at_ms < *next_ms)
            *next_ms = retry_at_ms;
        good = is_given_up(st, b, kp, down_since_ms, next_ms);
    }
    ag_chan_release(c);
    return good;
}

bool ag_keepers_raise(struct ag_steward *st, const struct ag_book *b, int64_t *next_ms)
{
    bool all = true;
    size_t count;

    uv_mutex_lock(&st->lock);
    count = st->keeper_count;
    uv_mutex_unlock(&st->lock);
    for (size_t i = 0; i < count; i++)
        all = raise_one(st, &st->keepers[i], b, next_ms) && all;
    return all;
}

/* ---- steps downwards */

static bool is_too_high(const struct ag_keeper_key *key, const struct ag_book *b,
                        enum ag_level *wanted)
{
    const struct ag_row_key *k = ag_book_key(b, key->handle);

    *wanted = k == NULL ? AG_LEVEL_ABSENT : ag_desired_level(k, false);
    if (*wanted == AG_LEVEL_STOPPED || key->err != ANTAG_OK)
        return false; /* stops do not wait for the front; they are orders of their own */
    return key->level > *wanted;
}

uint64_t ag_keepers_mark(struct ag_steward *st, const struct ag_book *b, uint64_t epoch)
{
    uint64_t last = 0;

    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->keeper_count; i++)
        for (size_t j = 0; j < st->keepers[i].key_count; j++) {
            struct ag_keeper_key *key = &st->keepers[i].keys[j];
            enum ag_level wanted;

            if (!is_too_high(key, b, &wanted))
                key->dropped_at = 0;
            else if (key->dropped_at == 0)
                key->dropped_at = epoch;
            if (key->dropped_at > last)
                last = key->dropped_at;
        }
    uv_mutex_unlock(&st->lock);
    return last;
}

/* The next key of `kp` that can be lowered, copied. */
static bool next_to_lower(struct ag_steward *st, struct ag_keeper *kp, const struct ag_book *b,
                          uint64_t drained_epoch, uint64_t *handle, enum ag_level *wanted)
{
    bool found = false;

    uv_mutex_lock(&st->lock);
    for (size_t j = 0; j < kp->key_count && !found; j++) {
        const struct ag_keeper_key *key = &kp->keys[j];

        if (key->dropped_at == 0 || key->dropped_at > drained_epoch)
            continue;
        found = is_too_high(key, b, wanted);
        *handle = key->handle;
    }
    uv_mutex_unlock(&st->lock);
    return found;
}

/* A key that was destroyed, or went with its application, is to be nowhere; others are forgotten. */
static const char *lowering_order(const struct ag_book *b, uint64_t handle, enum ag_level wanted)
{
    const struct ag_row_key *k = ag_book_key(b, handle);

    if (wanted != AG_LEVEL_ABSENT)
        return "permit";
    return k == NULL || k->state == AG_KEY_DESTROYED ? "destroy" : "forget";
}

static void lower_one(struct ag_steward *st, struct ag_keeper *kp, struct ag_chan *c,
                      const struct ag_book *b, uint64_t drained_epoch)
{
    enum ag_level wanted;
    uint64_t handle;

    while (next_to_lower(st, kp, b, drained_epoch, &handle, &wanted)) {
        const char *order = lowering_order(b, handle, wanted);

        if (!send_order(st, kp, c, order, handle, wanted)) {
            lose(st, kp, 0);
            ag_driver_kick(st);
            return;
        }
        if (wanted == AG_LEVEL_ABSENT)
            unlearn(st, kp, handle);
    }
}

void ag_keepers_lower(struct ag_steward *st, const struct ag_book *b, uint64_t drained_epoch)
{
    size_t count;

    uv_mutex_lock(&st->lock);
    count = st->keeper_count;
    uv_mutex_unlock(&st->lock);
    for (size_t i = 0; i < count; i++) {
        struct ag_keeper *kp = &st->keepers[i];
        int64_t down_since_ms, retry_at_ms;
        uint64_t gen = 0;
        struct ag_chan *c = ag_keeper_hold(st, kp->name, &gen);

        if (c != NULL && look(st, kp, gen, &down_since_ms, &retry_at_ms))
            lower_one(st, kp, c, b, drained_epoch);
        ag_chan_release(c);
    }
}
