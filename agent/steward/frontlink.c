#include "agent/steward/frontlink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/lib/clock.h"

#define ROW_MAX     (48 * 1024) /* a grant with all its globs has 34 KiB */
#define PACKET_LEN  (64 * 1024) /* a packet is sent when its rows have reached this */
/* or are so many: a message holds ANTAG_ITEMS_MAX values, and the largest row, a grant with all its globs, has so many */
#define ROW_ITEMS   (2 * 16 + 3 * ANTAG_GLOBS_PER_GRANT)
#define PACKET_ROWS ((ANTAG_ITEMS_MAX - 16) / ROW_ITEMS)
_Static_assert(PACKET_ROWS >= 1, "a row fits into a message");

void ag_front_rows_fini(struct ag_front_rows *r)
{
    for (size_t i = 0; i < r->count; i++)
        free((void *)(uintptr_t)r->v[i].bytes.p);
    free(r->v);
    memset(r, 0, sizeof *r);
}

static int compare(const struct ag_front_row *a, enum ag_snap_table table, uint64_t id)
{
    if (a->table != table)
        return a->table < table ? -1 : 1;
    return a->id == id ? 0 : a->id < id ? -1 : 1;
}

const struct ag_front_row *ag_front_row_find(const struct ag_front_rows *r,
                                             enum ag_snap_table table, uint64_t id)
{
    size_t low = 0, high = r == NULL ? 0 : r->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare(&r->v[mid], table, id);

        if (order == 0)
            return &r->v[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* ---- making rows */

static enum antag_err append(struct ag_front_rows *r, const struct ag_snap_row *row,
                             uint64_t handle)
{
    struct antag_writer w;
    struct antag_slice bytes;
    uint8_t *copy = NULL;
    enum antag_err err;

    antag_writer_init(&w, ROW_MAX);
    ag_snap_row_write(&w, row);
    if ((err = antag_writer_end(&w, &bytes)) != ANTAG_OK)
        goto out;
    err = ANTAG_ERR_NO_MEMORY;
    if (r->count == r->cap) {
        size_t cap = r->cap == 0 ? 64 : 2 * r->cap;
        struct ag_front_row *v = reallocarray(r->v, cap, sizeof *v);

        if (v == NULL)
            goto out;
        r->v = v;
        r->cap = cap;
    }
    if ((copy = malloc(bytes.len)) == NULL)
        goto out;
    memcpy(copy, bytes.p, bytes.len);
    r->v[r->count++] = (struct ag_front_row){
        .table = row->table, .id = row->id, .bytes = {copy, bytes.len}, .handle = handle};
    err = ANTAG_OK;
out:
    antag_writer_fini(&w);
    return err;
}

static enum antag_err add_profiles(const struct ag_book *b, const struct ag_front_rows *had,
                                   ag_source_fn *source, void *ctx, struct ag_front_rows *out)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < b->profile_count && err == ANTAG_OK; i++) {
        const struct ag_row_profile *p = &b->profiles[i];
        const struct ag_front_row *before = ag_front_row_find(had, AG_SNAP_PROFILE, p->id);
        struct ag_snap_profile previous = {.handle = before == NULL ? 0 : before->handle};
        struct ag_snap_row row = {.table = AG_SNAP_PROFILE, .id = p->id};
        struct ag_sign_source from;

        source(ctx, ag_book_active_key(b, p->id), b->epoch, &from);
        ag_desired_profile(b, p, &from, &previous, &row.u.profile);
        err = append(out, &row, row.u.profile.handle);
    }
    return err;
}

static enum antag_err add_antom_keys(const struct ag_book *b, struct ag_front_rows *out)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < b->antom_key_count && err == ANTAG_OK; i++) {
        const struct ag_row_antom_key *k = &b->antom_keys[i];
        struct ag_snap_row row = {.table = AG_SNAP_ANTOM_KEY, .id = k->id};

        row.u.antom_key.profile_id = k->profile_id;
        row.u.antom_key.version = k->version;
        row.u.antom_key.state = k->state;
        row.u.antom_key.spki_len = k->spki_len;
        memcpy(row.u.antom_key.spki, k->spki, k->spki_len);
        err = append(out, &row, 0);
    }
    return err;
}

static enum antag_err add_rules(const struct ag_book *b, struct ag_front_rows *out)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < b->grant_count && err == ANTAG_OK; i++) {
        struct ag_snap_row row = {.table = AG_SNAP_GRANT, .id = b->grants[i].id};

        row.u.grant = b->grants[i]; /* borrowed: only written */
        err = append(out, &row, 0);
    }
    for (size_t i = 0; i < b->fence_count && err == ANTAG_OK; i++) {
        struct ag_snap_row row = {.table = AG_SNAP_FENCE, .id = b->fences[i].id};

        row.u.fence.profile_id = b->fences[i].profile_id;
        snprintf(row.u.fence.path, sizeof row.u.fence.path, "%s", b->fences[i].path);
        err = append(out, &row, 0);
    }
    return err;
}

static enum antag_err add_merchants(const struct ag_book *b, struct ag_front_rows *out)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; b->merchants != NULL && i < b->merchants->count && err == ANTAG_OK; i++) {
        const struct ag_row_merchant *m = &b->merchants->v[i];
        struct ag_snap_row row = {.table = AG_SNAP_MERCHANT, .id = m->id};

        row.u.merchant.profile_id = m->profile_id;
        row.u.merchant.suspended = m->suspended;
        snprintf(row.u.merchant.name, sizeof row.u.merchant.name, "%s", m->name);
        row.u.merchant.sealed_len = m->sealed_len;
        memcpy(row.u.merchant.sealed, m->sealed, m->sealed_len);
        err = append(out, &row, 0);
    }
    return err;
}

enum antag_err ag_front_rows_make(const struct ag_book *b, const struct ag_front_rows *had,
                                  ag_source_fn *source, void *ctx, struct ag_front_rows *out)
{
    enum antag_err err;

    memset(out, 0, sizeof *out);
    if ((err = add_profiles(b, had, source, ctx, out)) != ANTAG_OK)
        goto out;
    if ((err = add_antom_keys(b, out)) != ANTAG_OK)
        goto out;
    if ((err = add_rules(b, out)) != ANTAG_OK)
        goto out;
    err = add_merchants(b, out);
out:
    if (err != ANTAG_OK)
        ag_front_rows_fini(out);
    return err;
}

/* ---- difference */

enum antag_err ag_front_rows_diff(const struct ag_front_rows *had, const struct ag_front_rows *now,
                                  ag_front_diff_fn *visit, void *ctx)
{
    size_t i = 0, j = 0, had_count = had == NULL ? 0 : had->count;
    enum antag_err err = ANTAG_OK;

    while (err == ANTAG_OK && (i < had_count || j < now->count)) {
        int order = i == had_count    ? 1
                    : j == now->count ? -1
                                      : compare(&had->v[i], now->v[j].table, now->v[j].id);

        if (order < 0) {
            err = visit(ctx, &had->v[i++], true);
        } else if (order > 0) {
            err = visit(ctx, &now->v[j++], false);
        } else {
            if (!antag_slice_equal(had->v[i].bytes, now->v[j].bytes))
                err = visit(ctx, &now->v[j], false);
            i++;
            j++;
        }
    }
    return err;
}

/* ---- sending */

struct sender {
    struct ag_chan *c;
    struct antag_writer w;
    size_t packed, rows; /* bytes and number of the rows in `w` */
    int64_t until_ms;
};

static void packet_open(struct sender *s)
{
    antag_writer_reset(&s->w);
    antag_m_event(&s->w, "rows");
    antag_w_map(&s->w);
    antag_w_key(&s->w, "rows");
    antag_w_array(&s->w);
    s->packed = s->rows = 0;
}

/* The channel's queue is bounded; a large registry waits for the front to read. */
static enum antag_err packet_send(struct sender *s)
{
    static const struct timespec pause = {.tv_nsec = 5000000};
    enum antag_err err;

    if (s->packed == 0)
        return ANTAG_OK;
    antag_w_end(&s->w);
    antag_w_end(&s->w);
    antag_m_close(&s->w);
    while ((err = ag_chan_send(s->c, &s->w, NULL, 0)) == ANTAG_ERR_BUSY &&
           ag_clock_mono_ms() < s->until_ms)
        nanosleep(&pause, NULL);
    packet_open(s);
    return err;
}

static enum antag_err send_row(void *ctx, const struct ag_front_row *row, bool gone)
{
    struct sender *s = ctx;
    struct ag_snap_row tomb = {.table = row->table, .id = row->id, .gone = true};

    if (gone)
        ag_snap_row_write(&s->w, &tomb);
    else
        antag_w_raw(&s->w, row->bytes);
    s->packed += gone ? 32 : row->bytes.len;
    s->rows++;
    return s->packed >= PACKET_LEN || s->rows >= PACKET_ROWS ? packet_send(s) : ANTAG_OK;
}

static enum antag_err send_commit(struct ag_chan *c, uint64_t epoch, struct antag_fault *fault)
{
    struct antag_writer w;
    struct ag_reply reply = {0};
    uint32_t id = ag_chan_next_id(c);
    enum antag_err err;

    antag_writer_init(&w, 256);
    antag_m_request(&w, id, "commit");
    antag_w_map(&w);
    antag_w_kv_uint(&w, "epoch", epoch);
    antag_w_end(&w);
    antag_m_close(&w);
    err = ag_chan_call(c, id, &w, NULL, 0, AG_WAIT_FRONT_MS, &reply);
    if (err != ANTAG_OK)
        *fault = reply.fault;
    ag_reply_fini(&reply);
    antag_writer_fini(&w);
    return err;
}

enum antag_err ag_front_send(struct ag_chan *c, const struct ag_front_rows *had,
                             const struct ag_front_rows *now, uint64_t epoch,
                             struct antag_fault *fault)
{
    struct sender s = {.c = c, .until_ms = ag_clock_mono_ms() + AG_WAIT_FRONT_MS};
    struct ag_reply reply = {0};
    enum antag_err err = ANTAG_OK;

    antag_writer_init(&s.w, AG_CHAN_PACKET_MAX);
    packet_open(&s);
    antag_fault_set(fault, ANTAG_ERR_RETRY, NULL, "the front does not take its rows");
    if (had == NULL) {
        if ((err = ag_call(c, "begin", NULL, 0, AG_WAIT_FRONT_MS, &reply)) != ANTAG_OK)
            *fault = reply.fault;
        ag_reply_fini(&reply);
    }
    if (err == ANTAG_OK)
        err = ag_front_rows_diff(had, now, send_row, &s);
    if (err == ANTAG_OK)
        err = packet_send(&s);
    antag_writer_fini(&s.w);
    if (err == ANTAG_OK)
        err = send_commit(c, epoch, fault);
    return err;
}

enum antag_err ag_front_send_state(struct ag_chan *c, enum ag_agent_state state, const char *reason,
                                   struct antag_fault *fault)
{
    struct antag_writer w;
    struct ag_reply reply = {0};
    uint32_t id = ag_chan_next_id(c);
    enum antag_err err;

    antag_writer_init(&w, 1024);
    antag_m_request(&w, id, "state");
    antag_w_map(&w);
    antag_w_kv_str(&w, "state", ag_agent_state_name(state));
    antag_w_kv_str(&w, "reason", reason);
    antag_w_end(&w);
    antag_m_close(&w);
    err = ag_chan_call(c, id, &w, NULL, 0, AG_WAIT_FRONT_MS, &reply);
    if (err != ANTAG_OK)
        *fault = reply.fault;
    ag_reply_fini(&reply);
    antag_writer_fini(&w);
    return err;
}
