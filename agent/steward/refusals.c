/* refusals: what the front and staff.sock refused goes into the steward's chain: one line a kind, at most
 * LINES_MAX a period, whoever asks how often. The most frequent come first; the rest are counted in one. */
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/record.h"
#include "agent/steward/steward.h"

#define LINES_MAX  32
#define FIELDS_MAX 9

void ag_refusals_take(struct ag_steward *st, const struct ag_refusals *some)
{
    bool first;

    uv_mutex_lock(&st->lock);
    first = st->refused.since_ms == 0;
    ag_refusals_merge(&st->refused, some);
    uv_mutex_unlock(&st->lock);
    if (first)
        ag_driver_kick(st);
}

void ag_refusals_count(struct ag_steward *st, uint32_t uid, const char *what, enum antag_err err)
{
    struct ag_refusal one = {.uid = uid, .staff = true, .err = err, .count = 1};
    bool first;

    (void)antag_slice_copy(antag_slice_of(what), one.what, sizeof one.what);
    uv_mutex_lock(&st->lock);
    first = st->refused.since_ms == 0;
    ag_refusals_add(&st->refused, &one, ag_clock_wall_ms());
    uv_mutex_unlock(&st->lock);
    if (first)
        ag_driver_kick(st);
}

static int by_count(const void *a, const void *b)
{
    const struct ag_refusal *x = a, *y = b;

    return x->count > y->count ? -1 : x->count < y->count;
}

static void line_fields(const struct ag_refusal *r, int64_t since_ms,
                        struct ag_log_field f[FIELDS_MAX])
{
    size_t n = 0;

    f[n++] = AG_F_TEXT("at", r->staff ? "staff.sock" : "agent.sock");
    f[n++] = AG_F_UINT("uid", r->uid);
    if (r->what[0] != '\0')
        f[n++] = AG_F_TEXT("what", r->what);
    if (r->profile[0] != '\0')
        f[n++] = AG_F_TEXT("profile", r->profile);
    f[n++] = AG_F_TEXT("error", antag_err_name(r->err));
    f[n++] = AG_F_UINT("count", r->count);
    f[n++] = AG_F_INT("since_ms", since_ms);
    f[n] = (struct ag_log_field){.kind = AG_LF_END};
}

static void others_fields(const struct ag_refusals *r, size_t from,
                          struct ag_log_field f[FIELDS_MAX])
{
    uint64_t count = r->others;

    for (size_t i = from; i < r->count; i++)
        count += r->v[i].count;
    f[0] = AG_F_UINT("others", count);
    f[1] = AG_F_INT("since_ms", r->since_ms);
    f[2] = (struct ag_log_field){.kind = AG_LF_END};
}

/* All lines or none. */
static enum antag_err append(struct ag_chain *chain, struct ag_refusals *r)
{
    struct ag_log_field fields[LINES_MAX][FIELDS_MAX];
    struct ag_chain_record lines[LINES_MAX];
    bool rest = r->others > 0 || r->count > LINES_MAX;
    size_t own = rest && r->count >= LINES_MAX ? LINES_MAX - 1 : r->count, count = own;
    struct antag_fault fault;
    uint64_t seq;
    enum antag_err err;

    qsort(r->v, r->count, sizeof r->v[0], by_count);
    for (size_t i = 0; i < own; i++)
        line_fields(&r->v[i], r->since_ms, fields[i]);
    if (rest)
        others_fields(r, own, fields[count++]);
    for (size_t i = 0; i < count; i++)
        lines[i] = (struct ag_chain_record){.type = "refused", .fields = fields[i]};
    err = ag_chain_append(chain, lines, count, &seq, &fault);
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "refusals.wait", &fault);
    return err;
}

void ag_refusals_record(struct ag_steward *st, struct ag_chain *chain)
{
    struct ag_refusals *some = malloc(sizeof *some);

    if (some == NULL)
        return;
    uv_mutex_lock(&st->lock);
    *some = st->refused;
    memset(&st->refused, 0, sizeof st->refused);
    uv_mutex_unlock(&st->lock);
    if (some->since_ms != 0 && append(chain, some) != ANTAG_OK)
        ag_refusals_take(st, some);
    free(some);
}

void ag_refusals_pass(struct ag_steward *st, int64_t *next_ms)
{
    int64_t now_ms = ag_clock_mono_ms();
    bool any, due;

    uv_mutex_lock(&st->lock);
    any = st->refused.since_ms != 0;
    due = any && now_ms >= st->refused_at_ms;
    if (due)
        st->refused_at_ms = now_ms + st->conf.audit_refusals_every_ms;
    if (any && st->refused_at_ms < *next_ms)
        *next_ms = st->refused_at_ms;
    uv_mutex_unlock(&st->lock);
    if (!due)
        return;
    uv_mutex_lock(&st->reg_lock);
    ag_record_refusals(st);
    uv_mutex_unlock(&st->reg_lock);
}
