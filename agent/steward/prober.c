/* prober: the thread that asks Antom under both keys of each rotation that waits for it, cuts over armed ones when only
 * the new key is accepted, and rolls back those that were told to when failures are reported. */
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/rotation.h"
#include "agent/steward/side.h"

#define WATCH_MS 600000 /* while the new key is watched: its probes are for whoever looks */

#define PROBER_MAX 64 /* rotations looked after in one pass */

struct waiting {
    size_t count;
    uint64_t profile_ids[PROBER_MAX];
    bool soon; /* one of them waits for Antom, or may have to go back */
};

/* Those that Antom is to be asked about. False: the registry cannot be read now. */
static bool find_waiting(struct ag_steward *st, struct waiting *out)
{
    const struct ag_book *b = ag_book_hold(st);

    memset(out, 0, sizeof *out);
    for (size_t i = 0; b != NULL && i < b->rotation_count; i++) {
        const struct ag_row_rotation *r = &b->rotations[i];

        if (r->state != AG_ROTATION_SUBMITTED && r->state != AG_ROTATION_WATCHING)
            continue;
        if (out->count < PROBER_MAX)
            out->profile_ids[out->count++] = r->profile_id;
        out->soon = out->soon || r->state == AG_ROTATION_SUBMITTED || r->auto_back;
    }
    if (b != NULL)
        ag_book_release(st, b);
    return b != NULL;
}

/* ---- failure reports */

void ag_failures_take(struct ag_steward *st, const struct ag_failure *one)
{
    uv_mutex_lock(&st->lock);
    ag_failures_add(&st->failures, one);
    uv_mutex_unlock(&st->lock);
    ag_prober_kick(st, false);
}

static bool next_failure(struct ag_steward *st, struct ag_failure *out)
{
    bool any;

    uv_mutex_lock(&st->lock);
    any = st->failures.count > 0;
    if (any)
        *out = st->failures.v[--st->failures.count];
    uv_mutex_unlock(&st->lock);
    return any;
}

/* They stand beside the switch while its new key is watched. */
static enum antag_err note_failure(struct ag_steward *st, const struct ag_failure *f,
                                   struct antag_fault *fault)
{
    const struct ag_row_rotation *found;
    const struct ag_row_key *k;
    struct ag_row_rotation row;
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err == ANTAG_OK && (found = ag_book_open_rotation(t.book, f->profile_id)) != NULL &&
        found->state == AG_ROTATION_WATCHING &&
        (k = ag_book_key(t.book, found->new_key_id)) != NULL && k->version == f->version) {
        row = *found;
        row.failures += f->count;
        row.failures_at_ms = f->last_ms;
        if ((err = ag_txn_write_quiet(&t, fault)) == ANTAG_OK &&
            (err = ag_registry_put_rotation(st->reg, &row, fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, fault);
        ag_driver_kick(st);
    }
    ag_txn_end(&t);
    return err;
}

/* ---- what the agent does by itself */

static enum antag_err act(struct ag_steward *st, uint64_t profile_id, uint64_t *epoch,
                          struct antag_fault *fault)
{
    const struct ag_row_rotation *found;
    struct ag_row_rotation row;
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    *epoch = 0;
    if (err != ANTAG_OK || (found = ag_book_open_rotation(t.book, profile_id)) == NULL)
        goto out;
    row = *found;
    if (ag_rotation_is_due(&t.life, &row))
        err = ag_rotation_cut_over(&t, ag_actor_agent, &row, false, "", fault);
    else if (ag_rotation_fails(&t.life, &row))
        err = ag_rotation_roll_back(&t, ag_actor_agent, &row, false,
                                    "failures were reported right after the cut-over", fault);
    else
        goto out;
    if (err == ANTAG_OK && (err = ag_txn_commit(&t, fault)) == ANTAG_OK)
        *epoch = t.epoch;
out:
    ag_txn_end(&t);
    return err;
}

static void look_after(struct ag_steward *st, uint64_t profile_id)
{
    struct antag_fault fault = {0};
    uint64_t epoch = 0;
    enum antag_err err;

    if ((err = ag_probe_keys(st, profile_id, AG_PROBE_ALL, &fault)) == ANTAG_OK &&
        (err = act(st, profile_id, &epoch, &fault)) == ANTAG_OK && epoch != 0) {
        ag_driver_kick(st);
        err = ag_push_wait(st, epoch, true, &fault);
    }
    if (err != ANTAG_OK && err != ANTAG_ERR_LOCKED && err != ANTAG_ERR_NOT_FOUND)
        ag_log_fault(AG_LOG_WARN, "rotation", &fault);
}

/* Antom is asked as often as configured, however often this thread is woken. */
static int64_t pass(struct ag_steward *st)
{
    static int64_t due_ms; /* of this thread, of which there is one a process */
    struct antag_fault fault = {0};
    struct waiting waiting;
    struct ag_failure failure;
    struct ag_conf conf;

    ag_conf_copy(st, &conf);
    while (next_failure(st, &failure))
        if (note_failure(st, &failure, &fault) != ANTAG_OK)
            ag_log_fault(AG_LOG_WARN, "failures.not_counted", &fault);
    if (!find_waiting(st, &waiting) || waiting.count == 0)
        return -1; /* woken with the next book that has one */
    if (!atomic_exchange(&st->probe_now, false) && ag_clock_mono_ms() < due_ms)
        return due_ms - ag_clock_mono_ms() + 1;
    for (size_t i = 0; i < waiting.count; i++)
        look_after(st, waiting.profile_ids[i]);
    due_ms = ag_clock_mono_ms() + (waiting.soon || conf.rotation_probe_interval_ms > WATCH_MS
                                       ? conf.rotation_probe_interval_ms
                                       : WATCH_MS);
    return due_ms - ag_clock_mono_ms() + 1;
}

enum antag_err ag_prober_start(struct ag_steward *st)
{
    return ag_side_start(st, pass, &st->prober);
}

void ag_prober_kick(struct ag_steward *st, bool now)
{
    if (now)
        atomic_store(&st->probe_now, true);
    ag_side_kick(st->prober);
}

void ag_prober_join(struct ag_steward *st)
{
    ag_side_join(st->prober);
    st->prober = NULL;
}
