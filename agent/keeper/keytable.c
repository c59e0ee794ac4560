#include "agent/keeper/keytable.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64u

/* an open-addressing array; at most half full, counting the slots that were used once */
struct slots {
    struct ag_grace_item item;
    size_t mask;
    _Atomic(struct ag_held *) slot[];
};

struct ag_keytable {
    struct ag_grace *grace;
    _Atomic(struct slots *) now;
    size_t count;     /* keys */
    size_t used_once; /* slots of `now` that are not NULL */
};

/* stands where a key was, so that a search goes on behind it */
static struct ag_held gone;

static size_t spread(uint64_t handle)
{
    handle *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(handle >> 32);
}

static struct slots *slots_new(size_t count)
{
    struct slots *s = calloc(1, sizeof *s + count * sizeof s->slot[0]);

    if (s != NULL)
        s->mask = count - 1;
    return s;
}

static void slots_done(struct ag_grace_item *item)
{
    free((struct slots *)((char *)item - offsetof(struct slots, item)));
}

static void held_done(struct ag_grace_item *item)
{
    ag_held_free((struct ag_held *)((char *)item - offsetof(struct ag_held, item)));
}

struct ag_held *ag_held_new(const struct ag_key_identity *id, struct ag_backend_key *key,
                            struct antag_slice spki, enum ag_key_use use)
{
    struct ag_held *held = NULL;

    if (spki.len <= ANTAG_SPKI_MAX)
        held = calloc(1, sizeof *held + spki.len);
    if (held == NULL) {
        if (key != NULL)
            key->backend->ops->forget(key);
        return NULL;
    }
    held->id = *id;
    held->key = key;
    atomic_init(&held->use, (int)use);
    held->spki_len = spki.len;
    if (spki.len > 0)
        memcpy(held->spki, spki.p, spki.len);
    return held;
}

void ag_held_free(struct ag_held *held)
{
    if (held == NULL)
        return;
    if (held->key != NULL)
        held->key->backend->ops->forget(held->key);
    free(held);
}

enum antag_err ag_keytable_new(struct ag_grace *grace, struct ag_keytable **out)
{
    struct ag_keytable *t = calloc(1, sizeof *t);
    struct slots *s = slots_new(SLOTS_MIN);

    if (t == NULL || s == NULL) {
        free(t);
        free(s);
        return ANTAG_ERR_NO_MEMORY;
    }
    t->grace = grace;
    atomic_init(&t->now, s);
    *out = t;
    return ANTAG_OK;
}

void ag_keytable_free(struct ag_keytable *t)
{
    struct slots *s;

    if (t == NULL)
        return;
    s = atomic_load(&t->now);
    for (size_t i = 0; i <= s->mask; i++) {
        struct ag_held *held = atomic_load(&s->slot[i]);

        if (held != &gone)
            ag_held_free(held);
    }
    free(s);
    free(t);
}

/* The slot of `handle`, or NULL. */
static _Atomic(struct ag_held *) *slot_of(struct slots *s, uint64_t handle)
{
    for (size_t i = spread(handle);; i++) {
        _Atomic(struct ag_held *) *slot = &s->slot[i & s->mask];
        struct ag_held *held = atomic_load(slot);

        if (held == NULL)
            return NULL;
        if (held != &gone && held->id.handle == handle)
            return slot;
    }
}

struct ag_held *ag_keytable_find(struct ag_keytable *t, uint64_t handle)
{
    struct slots *s = atomic_load(&t->now);

    for (size_t i = spread(handle);; i++) {
        struct ag_held *held = atomic_load(&s->slot[i & s->mask]);

        if (held == NULL || (held != &gone && held->id.handle == handle))
            return held;
    }
}

/* Into the first slot that was never used: a slot that is `gone` is left to the next array, so that a
 * reader never meets a key twice. */
static void place(struct slots *s, struct ag_held *held)
{
    size_t i = spread(held->id.handle);

    while (atomic_load(&s->slot[i & s->mask]) != NULL)
        i++;
    atomic_store(&s->slot[i & s->mask], held);
}

/* Make sure that one more slot can be used. */
static enum antag_err make_room(struct ag_keytable *t)
{
    struct slots *old = atomic_load(&t->now), *s;
    size_t want = SLOTS_MIN;

    if ((t->used_once + 1) * 2 <= old->mask + 1)
        return ANTAG_OK;
    while (want < (t->count + 1) * 4)
        want *= 2;
    s = slots_new(want);
    if (s == NULL)
        return ANTAG_ERR_NO_MEMORY;
    for (size_t i = 0; i <= old->mask; i++) {
        struct ag_held *held = atomic_load(&old->slot[i]);

        if (held != NULL && held != &gone)
            place(s, held);
    }
    t->used_once = t->count;
    atomic_store(&t->now, s);
    ag_grace_defer(t->grace, &old->item, slots_done);
    return ANTAG_OK;
}

enum antag_err ag_keytable_put(struct ag_keytable *t, struct ag_held *held)
{
    _Atomic(struct ag_held *) *slot = slot_of(atomic_load(&t->now), held->id.handle);
    enum antag_err err;

    if (slot != NULL) {
        struct ag_held *old = atomic_exchange(slot, held);

        ag_grace_defer(t->grace, &old->item, held_done);
        return ANTAG_OK;
    }
    err = t->count >= AG_KEYTABLE_MAX ? ANTAG_ERR_BUSY : make_room(t);
    if (err != ANTAG_OK) {
        ag_held_free(held);
        return err;
    }
    place(atomic_load(&t->now), held);
    t->count++;
    t->used_once++;
    return ANTAG_OK;
}

bool ag_keytable_remove(struct ag_keytable *t, uint64_t handle)
{
    _Atomic(struct ag_held *) *slot = slot_of(atomic_load(&t->now), handle);
    struct ag_held *old;

    if (slot == NULL)
        return false;
    old = atomic_exchange(slot, &gone);
    t->count--;
    ag_grace_defer(t->grace, &old->item, held_done);
    return true;
}

size_t ag_keytable_count(const struct ag_keytable *t)
{
    return t->count;
}

void ag_keytable_each(struct ag_keytable *t, void (*visit)(struct ag_held *held, void *ctx),
                      void *ctx)
{
    struct slots *s = atomic_load(&t->now);

    for (size_t i = 0; i <= s->mask; i++) {
        struct ag_held *held = atomic_load(&s->slot[i]);

        if (held != NULL && held != &gone)
            visit(held, ctx);
    }
}

enum antag_err ag_keytable_check(struct ag_keytable *t, bool loading, const struct ag_sign_job *job,
                                 struct ag_held **held)
{
    struct ag_held *found;

    if (job->version != AG_SIGNWIRE_VERSION)
        return ANTAG_ERR_BAD_PARAM;
    found = ag_keytable_find(t, job->handle);
    if (found == NULL)
        return loading ? ANTAG_ERR_RETRY : ANTAG_ERR_KEY_STATE;
    if (found->key != NULL &&
        (found->id.env != job->env || found->id.profile_id != job->profile_id))
        return ANTAG_ERR_BAD_PARAM;
    if (found->key == NULL || atomic_load(&found->use) != AG_USE_SIGN)
        return ANTAG_ERR_KEY_STATE;
    *held = found;
    return ANTAG_OK;
}
