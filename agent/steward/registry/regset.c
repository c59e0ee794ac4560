#include <stdlib.h>
#include <string.h>

#include "agent/steward/registry/registry_internal.h"

void ag_regset_fini(struct ag_regset *s)
{
    free(s->v);
    *s = (struct ag_regset){0};
}

/* The place of the first entry whose id is not below `id`. */
static size_t place(const struct ag_regset *s, uint64_t id)
{
    size_t low = 0, high = s->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (s->v[mid].id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct ag_regmac *ag_regset_find(const struct ag_regset *s, uint64_t id)
{
    size_t at = place(s, id);

    return at < s->count && s->v[at].id == id ? &s->v[at] : NULL;
}

const struct ag_regmac *ag_regset_after(const struct ag_regset *s, uint64_t id)
{
    size_t at = id == UINT64_MAX ? s->count : place(s, id + 1);

    return at < s->count ? &s->v[at] : NULL;
}

static enum antag_err make_room(struct ag_regset *s)
{
    size_t cap = s->cap == 0 ? 64 : 2 * s->cap;
    struct ag_regmac *v;

    if (s->count < s->cap)
        return ANTAG_OK;
    if (cap > SIZE_MAX / sizeof(*v) || (v = realloc(s->v, cap * sizeof(*v))) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    s->v = v;
    s->cap = cap;
    return ANTAG_OK;
}

enum antag_err ag_regset_put(struct ag_regset *s, uint64_t id, const uint8_t mac[AG_MAC_LEN])
{
    size_t at = place(s, id);

    if (at == s->count || s->v[at].id != id) {
        if (make_room(s) != ANTAG_OK)
            return ANTAG_ERR_NO_MEMORY;
        memmove(s->v + at + 1, s->v + at, (s->count - at) * sizeof(*s->v));
        s->count++;
        s->v[at].id = id;
    }
    memcpy(s->v[at].mac, mac, AG_MAC_LEN);
    if (id > s->last_id)
        s->last_id = id;
    s->dirty = true;
    return ANTAG_OK;
}

void ag_regset_remove(struct ag_regset *s, uint64_t id)
{
    size_t at = place(s, id);

    if (at == s->count || s->v[at].id != id)
        return;
    memmove(s->v + at, s->v + at + 1, (s->count - at - 1) * sizeof(*s->v));
    s->count--;
    s->dirty = true;
}

enum antag_err ag_regset_copy(const struct ag_regset *s, struct ag_regset *out)
{
    struct ag_regset made = *s;

    made.v = NULL;
    made.cap = s->count;
    if (s->count > 0) {
        if ((made.v = malloc(s->count * sizeof(*s->v))) == NULL)
            return ANTAG_ERR_NO_MEMORY;
        memcpy(made.v, s->v, s->count * sizeof(*s->v));
    }
    *out = made;
    return ANTAG_OK;
}

enum antag_err ag_regset_digest(const struct ag_regset *s, const char *table,
                                const struct ag_secret *key, uint8_t out[AG_MAC_LEN])
{
    /* the label, three numbers, and what stands before every text */
    size_t cap = 128 + strlen(table) + s->count * (8 + AG_MAC_LEN);
    struct ag_regbuf b = {malloc(cap), 0, cap, false};
    enum antag_err err = ANTAG_OK;

    if (b.p == NULL)
        return ANTAG_ERR_NO_MEMORY;
    ag_regbuf_text(&b, "antag registry table 1");
    ag_regbuf_text(&b, table);
    ag_regbuf_u64(&b, s->last_id);
    ag_regbuf_u64(&b, s->count);
    for (size_t i = 0; i < s->count; i++) {
        ag_regbuf_u64(&b, s->v[i].id);
        ag_regbuf_mac(&b, s->v[i].mac);
    }
    if (b.full)
        err = ANTAG_ERR_INTERNAL;
    else
        ag_mac(key, (struct antag_slice){b.p, b.len}, out);
    free(b.p);
    return err;
}
