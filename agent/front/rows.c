#include "agent/front/rows.h"

#include <stdlib.h>

#define BUCKETS_MIN 64

struct ag_held_row *ag_held_row_hold(struct ag_held_row *r)
{
    r->refs++;
    return r;
}

void ag_held_row_release(struct ag_held_row *r)
{
    if (!r || --r->refs > 0)
        return;
    ag_snap_row_fini(&r->row);
    EVP_PKEY_free(r->pkey);
    free(r);
}

static size_t bucket_of(size_t bucket_count, enum ag_snap_table table, uint64_t id)
{
    uint64_t h = (id * 4 + (uint64_t)table) * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(h >> 32) & (bucket_count - 1);
}

void ag_rowmap_fini(struct ag_rowmap *m)
{
    for (size_t i = 0; i < m->bucket_count; i++) {
        while (m->buckets[i]) {
            struct ag_held_row *r = m->buckets[i];

            m->buckets[i] = r->next;
            ag_held_row_release(r);
        }
    }
    free(m->buckets);
    *m = (struct ag_rowmap){0};
}

/* Where the pointer to the row stands, or where it would be put at the end of its bucket. */
static struct ag_held_row **place_of(const struct ag_rowmap *m, enum ag_snap_table table,
                                     uint64_t id)
{
    struct ag_held_row **at = &m->buckets[bucket_of(m->bucket_count, table, id)];

    while (*at && !((*at)->row.table == table && (*at)->row.id == id))
        at = &(*at)->next;
    return at;
}

struct ag_held_row *ag_rowmap_get(const struct ag_rowmap *m, enum ag_snap_table table, uint64_t id)
{
    return m->bucket_count == 0 ? NULL : *place_of(m, table, id);
}

static enum antag_err grow(struct ag_rowmap *m)
{
    struct ag_rowmap wider = {0};

    wider.bucket_count = m->bucket_count == 0 ? BUCKETS_MIN : m->bucket_count * 2;
    wider.buckets = calloc(wider.bucket_count, sizeof(*wider.buckets));
    if (!wider.buckets)
        return ANTAG_ERR_NO_MEMORY;
    for (size_t i = 0; i < m->bucket_count; i++) {
        while (m->buckets[i]) {
            struct ag_held_row *r = m->buckets[i];
            struct ag_held_row **to =
                &wider.buckets[bucket_of(wider.bucket_count, r->row.table, r->row.id)];

            m->buckets[i] = r->next;
            r->next = *to;
            *to = r;
        }
    }
    free(m->buckets);
    m->buckets = wider.buckets;
    m->bucket_count = wider.bucket_count;
    return ANTAG_OK;
}

enum antag_err ag_rowmap_put(struct ag_rowmap *m, struct ag_held_row *r)
{
    struct ag_held_row **at, *old;
    enum antag_err err;

    if (m->count >= m->bucket_count && (err = grow(m)) != ANTAG_OK)
        return err;
    at = place_of(m, r->row.table, r->row.id);
    old = *at;
    r->next = old ? old->next : NULL;
    *at = ag_held_row_hold(r);
    if (old)
        ag_held_row_release(old);
    else
        m->count++;
    return ANTAG_OK;
}

void ag_rowmap_remove(struct ag_rowmap *m, enum ag_snap_table table, uint64_t id)
{
    struct ag_held_row **at, *r;

    if (m->bucket_count == 0)
        return;
    at = place_of(m, table, id);
    r = *at;
    if (!r)
        return;
    *at = r->next;
    m->count--;
    ag_held_row_release(r);
}

static struct ag_held_row *next_bucket(const struct ag_rowmap *m, size_t *at)
{
    for (; *at < m->bucket_count; ++*at) {
        if (m->buckets[*at])
            return m->buckets[*at];
    }
    return NULL;
}

struct ag_held_row *ag_rowmap_first(const struct ag_rowmap *m, size_t *at)
{
    *at = 0;
    return next_bucket(m, at);
}

struct ag_held_row *ag_rowmap_next(const struct ag_rowmap *m, size_t *at, struct ag_held_row *r)
{
    if (r->next)
        return r->next;
    ++*at;
    return next_bucket(m, at);
}
