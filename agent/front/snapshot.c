#include "agent/front/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "agent/front/rows.h"
#include "agent/lib/keyform.h"
#include "agent/lib/log.h"

struct ag_rows {
    struct ag_rowmap now;
    struct ag_rowmap before;   /* since begin: the rows it made us forget, for their loaded keys */
    struct antag_fault spoilt; /* err is ANTAG_OK when it is not */
};

struct ag_snapshot {
    unsigned refs;
    uint64_t epoch;
    size_t profile_count;
    struct ag_profile *profiles;
    size_t slot_count; /* a power of two, more than half of it empty */
    uint32_t *by_name; /* index + 1 of a profile; 0: empty */
    uint32_t *by_id;   /* while it is built only */
    struct ag_verify_key *keys;
    struct ag_verify_key *others;
    struct ag_granted *grants;
    const char **fences;
    size_t merchant_slots;         /* a power of two, more than half of it empty */
    struct ag_merchant *merchants; /* by profile and name; row NULL: empty */
    size_t held_count;
    struct ag_held_row **held; /* what all the pointers above lead to */
};

/* ---- the master copy */

struct ag_rows *ag_rows_new(void)
{
    return calloc(1, sizeof(struct ag_rows));
}

void ag_rows_free(struct ag_rows *rows)
{
    if (!rows)
        return;
    ag_rowmap_fini(&rows->now);
    ag_rowmap_fini(&rows->before);
    free(rows);
}

enum antag_err ag_rows_begin(struct ag_rows *rows)
{
    /* A load that broke off before its commit leaves the older rows the better source of keys. */
    if (rows->before.count == 0) {
        ag_rowmap_fini(&rows->before);
        rows->before = rows->now;
        rows->now = (struct ag_rowmap){0};
    } else {
        ag_rowmap_fini(&rows->now);
    }
    rows->spoilt = (struct antag_fault){0};
    return ANTAG_OK;
}

void ag_rows_spoil(struct ag_rows *rows, const struct antag_fault *fault)
{
    if (rows->spoilt.err == ANTAG_OK)
        rows->spoilt = *fault;
}

/* A loaded key is kept when its row returns with the same bytes: loading costs 85 us. */
static EVP_PKEY *known_pkey(const struct ag_rowmap *m, const struct ag_snap_row *row)
{
    const struct ag_held_row *old = ag_rowmap_get(m, AG_SNAP_ANTOM_KEY, row->id);

    if (!old || !old->pkey || old->row.u.antom_key.spki_len != row->u.antom_key.spki_len ||
        memcmp(old->row.u.antom_key.spki, row->u.antom_key.spki, /* public */
               row->u.antom_key.spki_len) != 0 ||
        EVP_PKEY_up_ref(old->pkey) != 1)
        return NULL;
    return old->pkey;
}

static EVP_PKEY *load_pkey(const struct ag_rows *rows, const struct ag_snap_row *row)
{
    struct antag_slice spki = {row->u.antom_key.spki, row->u.antom_key.spki_len};
    struct antag_fault fault = {0};
    EVP_PKEY *pkey = known_pkey(&rows->now, row);

    if (!pkey)
        pkey = known_pkey(&rows->before, row);
    if (!pkey && ag_keyform_public(spki, &pkey, &fault) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "antom_key.unusable", AG_F_UINT("id", row->id),
               AG_F_UINT("version", row->u.antom_key.version),
               AG_F_TEXT("reason", antag_fault_text(&fault)));
        pkey = NULL;
    }
    return pkey;
}

/* What was counted of a merchant goes on. */
static void keep_used(const struct ag_rows *rows, struct ag_held_row *held)
{
    struct ag_held_row *old = ag_rowmap_get(&rows->now, AG_SNAP_MERCHANT, held->row.id);

    if (!old)
        old = ag_rowmap_get(&rows->before, AG_SNAP_MERCHANT, held->row.id);
    if (!old)
        return;
    atomic_store(&held->used.count, atomic_exchange(&old->used.count, 0));
    atomic_store(&held->used.last_ms, atomic_load(&old->used.last_ms));
}

/* What a grant has let through of its rate holds when its row returns with the same rate. */
static void keep_spent(const struct ag_rows *rows, struct ag_held_row *held)
{
    const struct ag_held_row *old = ag_rowmap_get(&rows->now, AG_SNAP_GRANT, held->row.id);

    if (!old)
        old = ag_rowmap_get(&rows->before, AG_SNAP_GRANT, held->row.id);
    if (old && old->row.u.grant.rate.rate == held->row.u.grant.rate.rate &&
        old->row.u.grant.rate.burst == held->row.u.grant.rate.burst)
        atomic_init(&held->spent.full_at_ns, atomic_load(&old->spent.full_at_ns));
}

enum antag_err ag_rows_apply(struct ag_rows *rows, struct ag_snap_row *row)
{
    struct antag_fault fault;
    struct ag_held_row *held;
    enum antag_err err = ANTAG_OK;

    if (row->gone) {
        ag_rowmap_remove(&rows->now, row->table, row->id);
        ag_snap_row_fini(row);
        return ANTAG_OK;
    }
    held = calloc(1, sizeof(*held));
    if (held) {
        held->refs = 1;
        held->row = *row;
        memset(row, 0, sizeof(*row)); /* transferred */
        row->gone = true;
        if (held->row.table == AG_SNAP_ANTOM_KEY)
            held->pkey = load_pkey(rows, &held->row);
        else if (held->row.table == AG_SNAP_GRANT)
            keep_spent(rows, held);
        else if (held->row.table == AG_SNAP_MERCHANT)
            keep_used(rows, held);
        err = ag_rowmap_put(&rows->now, held);
    } else {
        err = ANTAG_ERR_NO_MEMORY;
    }
    if (err != ANTAG_OK) {
        antag_fault_set(&fault, err, NULL, "out of memory while rows were taken");
        ag_rows_spoil(rows, &fault);
    }
    ag_held_row_release(held);
    return err;
}

/* ---- building a snapshot */

static uint64_t hash_name(struct antag_slice name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ name.p[i]) * UINT64_C(0x100000001b3);
    return h ^ (h >> 29);
}

static uint64_t hash_id(uint64_t id)
{
    uint64_t h = id * UINT64_C(0x9e3779b97f4a7c15);

    return h ^ (h >> 32);
}

static void put_slot(uint32_t *slots, size_t slot_count, uint64_t hash, size_t index)
{
    size_t at = (size_t)hash & (slot_count - 1);

    while (slots[at] != 0)
        at = (at + 1) & (slot_count - 1);
    slots[at] = (uint32_t)index + 1;
}

static struct ag_profile *find_id(const struct ag_snapshot *s, uint64_t id)
{
    size_t at;

    if (s->profile_count == 0)
        return NULL;
    at = (size_t)hash_id(id) & (s->slot_count - 1);
    for (; s->by_id[at] != 0; at = (at + 1) & (s->slot_count - 1)) {
        if (s->profiles[s->by_id[at] - 1].id == id)
            return &s->profiles[s->by_id[at] - 1];
    }
    return NULL;
}

struct totals {
    size_t rows, profiles, keys, grants, fences, merchants;
};

static void count_rows(const struct ag_rowmap *m, struct totals *n)
{
    size_t at;

    *n = (struct totals){0};
    for (struct ag_held_row *r = ag_rowmap_first(m, &at); r; r = ag_rowmap_next(m, &at, r)) {
        n->rows++;
        n->profiles += r->row.table == AG_SNAP_PROFILE;
        n->keys += r->row.table == AG_SNAP_ANTOM_KEY;
        n->grants += r->row.table == AG_SNAP_GRANT;
        n->fences += r->row.table == AG_SNAP_FENCE;
        n->merchants += r->row.table == AG_SNAP_MERCHANT;
    }
}

static enum antag_err reserve(struct ag_snapshot *s, const struct totals *n)
{
    for (s->slot_count = 8; s->slot_count <= n->profiles * 2;)
        s->slot_count *= 2;
    for (s->merchant_slots = 2; s->merchant_slots <= n->merchants * 2;)
        s->merchant_slots *= 2;
    s->merchants = calloc(s->merchant_slots, sizeof(*s->merchants));
    s->profiles = calloc(n->profiles + 1, sizeof(*s->profiles));
    s->by_name = calloc(s->slot_count, sizeof(*s->by_name));
    s->by_id = calloc(s->slot_count, sizeof(*s->by_id));
    s->keys = calloc(n->keys + 1, sizeof(*s->keys));
    s->others = calloc(n->keys + 1, sizeof(*s->others));
    s->grants = calloc(n->grants + 1, sizeof(*s->grants));
    s->fences = calloc(n->fences + 1, sizeof(*s->fences));
    s->held = calloc(n->rows + 1, sizeof(*s->held));
    return s->profiles && s->by_name && s->by_id && s->keys && s->others && s->grants &&
                   s->fences && s->held && s->merchants
               ? ANTAG_OK
               : ANTAG_ERR_NO_MEMORY;
}

static void add_profiles(struct ag_snapshot *s, const struct ag_rowmap *m)
{
    size_t at;

    for (struct ag_held_row *r = ag_rowmap_first(m, &at); r; r = ag_rowmap_next(m, &at, r)) {
        struct ag_profile *p = &s->profiles[s->profile_count];

        s->held[s->held_count++] = ag_held_row_hold(r);
        if (r->row.table != AG_SNAP_PROFILE)
            continue;
        p->id = r->row.id;
        p->row = &r->row.u.profile;
        p->proved = &r->proved;
        put_slot(s->by_name, s->slot_count, hash_name(antag_slice_of(p->row->name)),
                 s->profile_count);
        put_slot(s->by_id, s->slot_count, hash_id(p->id), s->profile_count);
        s->profile_count++;
    }
}

static bool verifies(const struct ag_held_row *r)
{
    return r->pkey && ag_antom_key_state_verifies(r->row.u.antom_key.state);
}

/* The profile that a row other than a profile belongs to; NULL: to none, or it is of no use. */
static struct ag_profile *owner_of(const struct ag_snapshot *s, const struct ag_held_row *r)
{
    switch (r->row.table) {
    case AG_SNAP_ANTOM_KEY:
        return r->pkey ? find_id(s, r->row.u.antom_key.profile_id) : NULL;
    case AG_SNAP_GRANT:
        return find_id(s, r->row.u.grant.profile_id);
    case AG_SNAP_FENCE:
        return find_id(s, r->row.u.fence.profile_id);
    case AG_SNAP_MERCHANT:
        return find_id(s, r->row.u.merchant.profile_id);
    case AG_SNAP_PROFILE:
        break;
    }
    return NULL;
}

/* The place of a merchant, or the empty one where it would stand. */
static struct ag_merchant *merchant_place(const struct ag_snapshot *s, uint64_t profile_id,
                                          struct antag_slice name)
{
    size_t at = (size_t)(hash_name(name) ^ hash_id(profile_id)) & (s->merchant_slots - 1);

    for (;; at = (at + 1) & (s->merchant_slots - 1)) {
        struct ag_merchant *m = &s->merchants[at];

        if (!m->row || (m->row->profile_id == profile_id && antag_slice_is(name, m->row->name)))
            return m;
    }
}

static void count_owned(struct ag_snapshot *s)
{
    for (size_t i = 0; i < s->held_count; i++) {
        struct ag_profile *p = owner_of(s, s->held[i]);

        if (!p)
            continue;
        if (s->held[i]->row.table == AG_SNAP_ANTOM_KEY)
            *(verifies(s->held[i]) ? &p->key_count : &p->other_count) += 1;
        p->grant_count += s->held[i]->row.table == AG_SNAP_GRANT;
        p->fence_count += s->held[i]->row.table == AG_SNAP_FENCE;
    }
}

/* Give each profile its stretch of the flat arrays, and set the counts back for filling. */
static void lay_out(struct ag_snapshot *s)
{
    size_t key_at = 0, other_at = 0, grant_at = 0, fence_at = 0;

    for (size_t i = 0; i < s->profile_count; i++) {
        struct ag_profile *p = &s->profiles[i];

        p->keys = s->keys + key_at;
        p->others = s->others + other_at;
        p->grants = s->grants + grant_at;
        p->fences = s->fences + fence_at;
        key_at += p->key_count;
        other_at += p->other_count;
        grant_at += p->grant_count;
        fence_at += p->fence_count;
        p->key_count = p->other_count = p->grant_count = p->fence_count = 0;
    }
}

static void put_key(struct ag_snapshot *s, struct ag_profile *p, const struct ag_held_row *r)
{
    struct ag_verify_key key = {
        .pkey = r->pkey,
        .sig_len = (size_t)EVP_PKEY_get_size(r->pkey),
        .version = r->row.u.antom_key.version,
        .active = r->row.u.antom_key.state == AG_ANTOM_KEY_ACTIVE,
        .staged = r->row.u.antom_key.state == AG_ANTOM_KEY_STAGED,
    };

    if (verifies(r))
        s->keys[(size_t)(p->keys - s->keys) + p->key_count++] = key;
    else
        s->others[(size_t)(p->others - s->others) + p->other_count++] = key;
}

static void fill_owned(struct ag_snapshot *s)
{
    for (size_t i = 0; i < s->held_count; i++) {
        struct ag_held_row *r = s->held[i];
        struct ag_profile *p = owner_of(s, r);

        if (!p)
            continue;
        if (r->row.table == AG_SNAP_ANTOM_KEY) {
            put_key(s, p, r);
        } else if (r->row.table == AG_SNAP_GRANT) {
            s->grants[(size_t)(p->grants - s->grants) + p->grant_count++] =
                (struct ag_granted){&r->row.u.grant, &r->spent};
        } else if (r->row.table == AG_SNAP_MERCHANT) {
            *merchant_place(s, p->id, antag_slice_of(r->row.u.merchant.name)) =
                (struct ag_merchant){&r->row.u.merchant, r->row.id, &r->used};
        } else {
            s->fences[(size_t)(p->fences - s->fences) + p->fence_count++] = r->row.u.fence.path;
        }
    }
}

static int by_trial_order(const void *a, const void *b)
{
    const struct ag_verify_key *x = a, *y = b;

    if (x->active != y->active)
        return x->active ? -1 : 1;
    return x->version > y->version ? -1 : x->version < y->version;
}

static void sort_keys(struct ag_snapshot *s)
{
    for (size_t i = 0; i < s->profile_count; i++) {
        struct ag_profile *p = &s->profiles[i];

        if (p->key_count > 1)
            qsort(s->keys + (p->keys - s->keys), p->key_count, sizeof(*p->keys), by_trial_order);
    }
}

enum antag_err ag_rows_commit(struct ag_rows *rows, uint64_t epoch, struct ag_snapshot **out,
                              struct antag_fault *fault)
{
    struct ag_snapshot *s = NULL;
    struct totals n;
    enum antag_err err = ANTAG_OK;

    if (rows->spoilt.err != ANTAG_OK) {
        if (fault)
            *fault = rows->spoilt;
        return rows->spoilt.err;
    }
    count_rows(&rows->now, &n);
    s = calloc(1, sizeof(*s));
    if (s)
        s->refs = 1;
    if (!s || reserve(s, &n) != ANTAG_OK) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a snapshot");
        goto out;
    }
    s->epoch = epoch;
    add_profiles(s, &rows->now);
    count_owned(s);
    lay_out(s);
    fill_owned(s);
    sort_keys(s);
    free(s->by_id);
    s->by_id = NULL;
    ag_rowmap_fini(&rows->before);
    *out = s;
    s = NULL; /* transferred */
out:
    ag_snapshot_release(s);
    return err;
}

struct ag_snapshot *ag_snapshot_hold(struct ag_snapshot *s)
{
    if (s)
        s->refs++;
    return s;
}

void ag_snapshot_release(struct ag_snapshot *s)
{
    if (!s || --s->refs > 0)
        return;
    for (size_t i = 0; i < s->held_count; i++)
        ag_held_row_release(s->held[i]);
    free(s->held);
    free(s->profiles);
    free(s->by_name);
    free(s->by_id);
    free(s->keys);
    free(s->others);
    free(s->grants);
    free(s->fences);
    free(s->merchants);
    free(s);
}

/* ---- readers */

uint64_t ag_snapshot_epoch(const struct ag_snapshot *s)
{
    return s ? s->epoch : 0;
}

size_t ag_snapshot_count(const struct ag_snapshot *s)
{
    return s ? s->profile_count : 0;
}

const struct ag_profile *ag_snapshot_at(const struct ag_snapshot *s, size_t i)
{
    return &s->profiles[i];
}

const struct ag_profile *ag_snapshot_find(const struct ag_snapshot *s, struct antag_slice name)
{
    size_t at;

    if (!s)
        return NULL;
    at = (size_t)hash_name(name) & (s->slot_count - 1);
    for (; s->by_name[at] != 0; at = (at + 1) & (s->slot_count - 1)) {
        const struct ag_profile *p = &s->profiles[s->by_name[at] - 1];

        if (antag_slice_is(name, p->row->name))
            return p;
    }
    return NULL;
}

const struct ag_merchant *ag_snapshot_merchant(const struct ag_snapshot *s,
                                               const struct ag_profile *p, struct antag_slice name)
{
    const struct ag_merchant *m = merchant_place(s, p->id, name);

    return m->row ? m : NULL;
}

void ag_rows_take_used(struct ag_rows *rows, size_t max, ag_used_fn *visit, void *ctx)
{
    size_t at;

    for (struct ag_held_row *r = ag_rowmap_first(&rows->now, &at); r;
         r = ag_rowmap_next(&rows->now, &at, r)) {
        uint64_t count =
            r->row.table == AG_SNAP_MERCHANT && max > 0 ? atomic_exchange(&r->used.count, 0) : 0;

        if (count == 0)
            continue;
        visit(r->row.id, count, atomic_load(&r->used.last_ms), ctx);
        max--;
    }
}

unsigned ag_profile_ops(const struct ag_profile *p, const struct ag_caller *c)
{
    unsigned ops = 0;

    for (size_t i = 0; i < p->grant_count; i++) {
        if (ag_grant_names(p->grants[i].grant, c))
            ops |= p->grants[i].grant->ops;
    }
    return ops;
}

enum antag_err ag_profile_permits(const struct ag_profile *p, const struct ag_caller *c,
                                  enum ag_op op, struct antag_slice method, struct antag_slice uri,
                                  struct antag_slice merchant, size_t body_len, int64_t now_ns,
                                  struct antag_fault *fault)
{
    const struct ag_grant *soonest = NULL;
    int64_t least_ms = 0, wait_ms;

    for (size_t i = 0; i < p->grant_count; i++) {
        const struct ag_granted *g = &p->grants[i];

        if (!ag_grant_permits(g->grant, c, op, method, uri, body_len) ||
            !ag_grant_covers_merchant(g->grant, op, merchant))
            continue;
        if (g->grant->rate.rate == 0 || now_ns == 0)
            return ANTAG_OK;
        wait_ms = ag_limiter_take(g->spent, &g->grant->rate, 1, now_ns);
        if (wait_ms == 0)
            return ANTAG_OK;
        if (!soonest || wait_ms < least_ms) {
            soonest = g->grant;
            least_ms = wait_ms;
        }
    }
    if (!soonest)
        return antag_fault_set(fault, ANTAG_ERR_DENIED, NULL, "%s",
                               antag_err_message(ANTAG_ERR_DENIED));
    antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                    "grant %llu on %s lets %u requests a second through, %u at once",
                    (unsigned long long)soonest->id, p->row->name, (unsigned)soonest->rate.rate,
                    (unsigned)soonest->rate.burst);
    fault->retry_after_ms = least_ms;
    return ANTAG_ERR_BUSY;
}

bool ag_profile_is_excepted(const struct ag_profile *p, struct antag_slice uri)
{
    struct antag_slice path, query;
    bool has_query;

    if (p->fence_count == 0)
        return false;
    ag_antom_uri_split(uri, &path, &query, &has_query);
    for (size_t i = 0; i < p->fence_count; i++) {
        if (ag_glob_match(antag_slice_of(p->fences[i]), path))
            return true;
    }
    return false;
}
