/* changer: the thread that applies changes that are approved, one after the other, and ends those that are late. What a
 * crash left approved is applied by the next agent. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/core/backoff.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/changes.h"
#include "agent/steward/side.h"

#define LOOK_AGAIN_MS 60000 /* clocks may be set */
#define RETRY_MS      2000
#define RETRY_MAX_MS  300000

/* ---- looking */

struct look {
    struct ag_txn *t;
    uint64_t late_id, approved_id, old_id;
    uint64_t after; /* approved ones up to this were tried in this pass */
    size_t open, stuck;
    int64_t next_ms;
};

static int64_t left_ms(const struct ag_txn *t, const struct ag_row_change *row)
{
    int64_t wall = t->life.now_ms - row->state_at_ms;
    int64_t observed = t->life.observed_ms - row->state_observed_ms;
    int64_t gone = wall > observed ? wall : observed;

    return row->state == AG_CHANGE_OPEN ? row->holds_ms - gone : INT64_MAX;
}

static enum antag_err look_at(const struct ag_row_change *row, void *ctx)
{
    struct look *l = ctx;

    if (ag_change_is_over(row->state)) {
        if (l->t->life.now_ms - row->state_at_ms > AG_CHANGE_KEEP_MS)
            l->old_id = row->id;
        return ANTAG_OK;
    }
    l->open += row->state == AG_CHANGE_OPEN;
    l->stuck += row->state == AG_CHANGE_APPROVED && row->attempts > 0;
    if (ag_change_is_late(l->t, row))
        l->late_id = row->id;
    else if (row->state == AG_CHANGE_APPROVED && row->id > l->after && l->approved_id == 0)
        l->approved_id = row->id;
    if (left_ms(l->t, row) < l->next_ms)
        l->next_ms = left_ms(l->t, row);
    return ANTAG_OK;
}

/* ---- ending */

static enum antag_err end_late(struct ag_txn *t, uint64_t id, struct antag_fault *fault)
{
    struct ag_row_change *row = NULL;
    char reason[ANTAG_TEXT_MAX + 1];
    enum antag_err err = ag_change_get(t, id, &row, fault);

    if (err == ANTAG_OK) {
        snprintf(reason, sizeof reason, "%s",
                 row->state == AG_CHANGE_OPEN ? "not approved in time" : row->reason);
        err = ag_change_end(t, row, AG_CHANGEEV_TICK, ag_actor_agent, reason, fault);
    }
    if (err == ANTAG_OK)
        err = ag_txn_commit(t, fault);
    free(row);
    return err;
}

struct remove {
    struct ag_txn *t;
    uint64_t change_id;
    struct antag_fault *fault;
};

static enum antag_err remove_approval(const struct ag_row_approval *row, void *ctx)
{
    struct remove *r = ctx;

    return row->change_id == r->change_id
               ? ag_registry_delete_approval(r->t->st->reg, row->id, r->fault)
               : ANTAG_OK;
}

static enum antag_err remove_old(struct ag_txn *t, uint64_t id, struct antag_fault *fault)
{
    struct remove r = {t, id, fault};
    enum antag_err err;

    if ((err = ag_txn_write_quiet(t, fault)) != ANTAG_OK ||
        (err = ag_registry_each_approval(t->st->reg, remove_approval, &r, fault)) != ANTAG_OK ||
        (err = ag_registry_delete_change(t->st->reg, id, fault)) != ANTAG_OK)
        return err;
    return ag_txn_commit(t, fault);
}

/* One thing that is over. *approved: what is to be applied next, when there is nothing to end. */
static enum antag_err end_one(struct ag_steward *st, uint64_t after, bool *ended,
                              uint64_t *approved, int64_t *next_ms, struct antag_fault *fault)
{
    struct ag_txn t;
    struct look l = {.t = &t, .after = after, .next_ms = LOOK_AGAIN_MS};
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_registry_each_change(st->reg, look_at, &l, fault)) == ANTAG_OK) {
        uv_mutex_lock(&st->lock);
        st->waiting.changes_open = l.open;
        st->waiting.changes_stuck = l.stuck;
        uv_mutex_unlock(&st->lock);
        *ended = l.late_id != 0 || l.old_id != 0;
        if (l.late_id != 0)
            err = end_late(&t, l.late_id, fault);
        else if (l.old_id != 0)
            err = remove_old(&t, l.old_id, fault);
        *approved = l.approved_id;
        *next_ms = l.next_ms;
    }
    ag_txn_end(&t);
    return err;
}

/* ---- applying */

/* *wait_ms is lowered when it has to be tried again. */
static bool apply(struct ag_steward *st, uint64_t id, int64_t *wait_ms)
{
    struct antag_fault fault = {0};
    uint32_t attempts = 0;
    enum antag_err err = ag_change_run(st, id, false, &fault);
    int64_t ms;

    if (err == ANTAG_OK) {
        ag_log(AG_LOG_INFO, "change.applied", AG_F_UINT("change", id));
        return true;
    }
    ag_log_fault(AG_LOG_WARN, "change.not_applied", &fault);
    if (!ag_change_note(st, id, &fault, &attempts))
        return false;
    ms = ag_backoff_ms(RETRY_MS, attempts, RETRY_MAX_MS);
    if (ms < *wait_ms)
        *wait_ms = ms;
    return false;
}

struct open_ones {
    size_t count;
    uint64_t ids[AG_CHANGES_OPEN_MAX];
};

static enum antag_err collect_open(const struct ag_row_change *row, void *ctx)
{
    struct open_ones *o = ctx;

    if (row->state == AG_CHANGE_OPEN && o->count < AG_CHANGES_OPEN_MAX)
        o->ids[o->count++] = row->id;
    return ANTAG_OK;
}

/* Something was applied: those that began from what it altered are stale now, and their people should know. */
static void look_through_open(struct ag_steward *st)
{
    struct open_ones open = {0};
    struct antag_fault fault = {0};
    uint32_t unused;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, &fault)) == ANTAG_OK)
        err = ag_registry_each_change(st->reg, collect_open, &open, &fault);
    ag_txn_end(&t);
    for (size_t i = 0; i < open.count && err == ANTAG_OK; i++) {
        enum antag_err found = ag_change_run(st, open.ids[i], true, &fault);

        if (found == ANTAG_ERR_STALE || found == ANTAG_ERR_NOT_FOUND)
            (void)ag_change_note(st, open.ids[i], &fault, &unused);
    }
}

/* Returns how long to wait for the next one. */
static int64_t pass(struct ag_steward *st)
{
    struct antag_fault fault = {0};
    int64_t wait_ms = LOOK_AGAIN_MS, next_ms = LOOK_AGAIN_MS;
    uint64_t approved = 0, after = 0;
    bool ended, applied = false;
    enum antag_err err;

    do {
        ended = false;
        err = end_one(st, after, &ended, &approved, &next_ms, &fault);
        if (err != ANTAG_OK || ended || approved == 0)
            continue;
        after = approved;
        applied = apply(st, approved, &wait_ms) || applied;
    } while (err == ANTAG_OK && (ended || approved != 0));
    if (err != ANTAG_OK && err != ANTAG_ERR_LOCKED && err != ANTAG_ERR_NOT_READY)
        ag_log_fault(AG_LOG_ERROR, "change.pass", &fault);
    if (applied)
        look_through_open(st);
    if (next_ms < wait_ms)
        wait_ms = next_ms;
    return wait_ms > 0 ? wait_ms : 1;
}

/* ---- the thread */

enum antag_err ag_changer_start(struct ag_steward *st)
{
    return ag_side_start(st, pass, &st->changer);
}

void ag_changer_kick(struct ag_steward *st)
{
    ag_side_kick(st->changer);
}

void ag_changer_settle(struct ag_steward *st, int64_t timeout_ms)
{
    ag_side_settle(st->changer, timeout_ms);
}

void ag_changer_join(struct ag_steward *st)
{
    ag_side_join(st->changer);
    st->changer = NULL;
}
