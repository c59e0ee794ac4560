/* stops: what staff stopped. A stop acts first and is recorded as soon as it can be; until then it stands
 * here, and front and keepers are told what stands here as if the registry said it. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/log.h"
#include "agent/steward/notices.h"
#include "agent/steward/steward.h"

enum antag_err ag_stop_add(struct ag_steward *st, struct ag_actor by, uint64_t handle,
                           const char *reason, bool unowned, uint64_t *id,
                           struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    uv_mutex_lock(&st->lock);
    if (st->stop_count == AG_STOPS_MAX) {
        err = antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                              "%d stops wait to be recorded; `antomctl doctor` says why",
                              AG_STOPS_MAX);
    } else {
        struct ag_stop *s = &st->stops[st->stop_count++];

        memset(s, 0, sizeof *s);
        s->id = *id = ++st->next_stop_id;
        s->by = by;
        s->handle = handle;
        s->unowned = unowned;
        snprintf(s->reason, sizeof s->reason, "%s", reason);
    }
    uv_mutex_unlock(&st->lock);
    return err;
}

static void mark(struct ag_steward *st, uint64_t id, bool recorded, uint64_t epoch)
{
    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->stop_count; i++)
        if (st->stops[i].id == id) {
            st->stops[i].recorded = recorded;
            st->stops[i].recorded_epoch = epoch;
            st->stops[i].unowned = true;
        }
    st->kicks++;
    uv_cond_broadcast(&st->changed);
    uv_mutex_unlock(&st->lock);
}

void ag_stop_recorded(struct ag_steward *st, uint64_t id, uint64_t epoch)
{
    mark(st, id, true, epoch);
}

void ag_stop_leave(struct ag_steward *st, uint64_t id)
{
    mark(st, id, false, 0);
}

bool ag_stop_is_pending(struct ag_steward *st, uint64_t handle, uint64_t epoch)
{
    bool found = false;

    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->stop_count && !found; i++)
        found = st->stops[i].handle == handle &&
                (!st->stops[i].recorded || st->stops[i].recorded_epoch > epoch);
    uv_mutex_unlock(&st->lock);
    return found;
}

size_t ag_stop_pending_count(struct ag_steward *st)
{
    size_t n = 0;

    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->stop_count; i++)
        n += !st->stops[i].recorded;
    uv_mutex_unlock(&st->lock);
    return n;
}

enum antag_err ag_stop_record(struct ag_steward *st, struct ag_actor by, uint64_t handle,
                              const char *reason, uint64_t *epoch, struct antag_fault *fault)
{
    struct ag_txn t;
    struct ag_row_key row;
    const struct ag_row_key *k;
    const struct ag_row_profile *p;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    *epoch = t.book->epoch;
    k = ag_book_key(t.book, handle);
    if (k == NULL || k->state == AG_KEY_SUSPENDED || k->state == AG_KEY_COMPROMISED ||
        k->state == AG_KEY_DESTROYED)
        goto out; /* it does not sign in the registry either */
    row = *k;
    err = ag_life_step(&t.life, t.book, &row, AG_KEYEV_SUSPEND, true, reason, fault);
    if (err != ANTAG_OK)
        goto out;
    p = ag_book_profile(t.book, row.profile_id);
    ag_txn_deed(&t, by, "key_suspend", p == NULL ? "" : p->name, handle, "version %u: %s",
                row.version, reason[0] == '\0' ? "no reason given" : reason);
    if ((err = ag_txn_write(&t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_put_key(st->reg, &row, fault)) != ANTAG_OK)
        goto out;
    err = ag_notice_stopped(&t, p == NULL ? "" : p->name, "merchant key", row.version, "suspended",
                            by, reason, fault);
    if (err != ANTAG_OK)
        goto out;
    if ((err = ag_txn_commit(&t, fault)) == ANTAG_OK)
        *epoch = t.epoch;
out:
    ag_txn_end(&t);
    return err;
}

bool ag_stops_retry(struct ag_steward *st)
{
    bool all = true;

    for (size_t i = 0; i < AG_STOPS_MAX; i++) {
        struct ag_stop s = {0};
        struct antag_fault fault = {0};
        uint64_t epoch;
        bool mine;

        uv_mutex_lock(&st->lock);
        mine = i < st->stop_count && st->stops[i].unowned && !st->stops[i].recorded;
        if (mine)
            s = st->stops[i];
        uv_mutex_unlock(&st->lock);
        if (!mine)
            continue;
        if (ag_stop_record(st, s.by, s.handle, s.reason, &epoch, &fault) == ANTAG_OK) {
            ag_log(AG_LOG_INFO, "stop.recorded", AG_F_UINT("handle", s.handle));
            ag_stop_recorded(st, s.id, epoch);
        } else {
            ag_log_fault(AG_LOG_WARN, "stop.not_recorded", &fault);
            all = false;
        }
    }
    return all;
}

void ag_stops_drop(struct ag_steward *st, uint64_t epoch)
{
    size_t kept = 0;

    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->stop_count; i++) {
        const struct ag_stop *s = &st->stops[i];

        if (!s->recorded || !s->seen || s->recorded_epoch > epoch)
            st->stops[kept++] = *s;
    }
    st->stop_count = kept;
    uv_mutex_unlock(&st->lock);
}
