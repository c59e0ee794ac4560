/* tick: what time alone changes. Timers that end a watch window or an overlap count running time observed
 * on this registry, taken from the monotonic clock, so that a clock that jumps ends nothing. */
#include "agent/core/cryptoperiod.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/notices.h"
#include "agent/steward/record.h"
#include "agent/steward/rotation.h"
#include "agent/steward/steward.h"

#define TICK_MS    60000   /* at the latest: clocks may be set */
#define PERSIST_MS 3600000 /* what a crash may lose of the observed time */

static void sooner(int64_t left_ms, int64_t *next_ms)
{
    if (left_ms >= 0 && left_ms < *next_ms)
        *next_ms = left_ms;
}

/* How long until the first of the timers that count observed running time is over; TICK_MS at most. */
static int64_t next_due(const struct ag_txn *t)
{
    int64_t next_ms = TICK_MS;

    for (size_t i = 0; i < t->book->rotation_count; i++)
        if (t->book->rotations[i].state == AG_ROTATION_WATCHING)
            sooner(t->life.watch_window_ms -
                       (t->life.observed_ms - t->book->rotations[i].state_observed_ms),
                   &next_ms);
    for (size_t i = 0; i < t->book->key_count; i++) {
        const struct ag_row_key *k = &t->book->keys[i];

        if (k->state == AG_KEY_RETIRING)
            sooner(t->life.watch_window_ms - (t->life.observed_ms - k->state_observed_ms),
                   &next_ms);
    }
    return next_ms < 100 ? 100 : next_ms;
}

/* Whoever waits on time alone; others are not asked every minute. */
static bool has_timer(const struct ag_row_key *k)
{
    return k->state == AG_KEY_RETIRING || k->state == AG_KEY_RETIRED;
}

/* One key a transaction, so that each has its line in the record. *written: it was one. */
static enum antag_err tick_keys(struct ag_txn *t, bool *written, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < t->book->key_count && err == ANTAG_OK && !*written;
         i++) { /* behind rotations, which end first */
        struct ag_row_key row = t->book->keys[i];
        const struct ag_row_profile *p = ag_book_profile(t->book, row.profile_id);

        if (!has_timer(&row) ||
            ag_life_step(&t->life, t->book, &row, AG_KEYEV_TICK, true, NULL, fault) != ANTAG_OK)
            continue;
        *written = true;
        ag_txn_deed(t, ag_actor_agent, "agent.key_time", p == NULL ? "" : p->name, row.id,
                    "version %u is %s", row.version, ag_key_state_name(row.state));
        if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
            break;
        ag_log(AG_LOG_INFO, "key.time", AG_F_UINT("handle", row.id),
               AG_F_UINT("version", row.version), AG_F_TEXT("state", ag_key_state_name(row.state)));
        err = ag_registry_put_key(t->st->reg, &row, fault);
    }
    return err;
}

static enum antag_err tick_antom_keys(struct ag_txn *t, bool *written, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < t->book->antom_key_count && err == ANTAG_OK && !*written; i++) {
        struct ag_row_antom_key row = t->book->antom_keys[i];
        const struct ag_row_profile *p = ag_book_profile(t->book, row.profile_id);
        const char *state;

        if (row.state != AG_ANTOM_KEY_RETIRING ||
            ag_life_antom_step(&t->life, &row, AG_ANTOMEV_TICK, fault) != ANTAG_OK)
            continue;
        *written = true;
        state = ag_antom_key_state_name(row.state);
        ag_txn_deed(t, ag_actor_agent, "agent.antom_key_time", p == NULL ? "" : p->name, 0,
                    "version %u is %s", row.version, state);
        if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
            break;
        ag_log(AG_LOG_INFO, "antom_key.time", AG_F_UINT("id", row.id),
               AG_F_UINT("version", row.version), AG_F_TEXT("state", state));
        err = ag_registry_put_antom_key(t->st->reg, &row, fault);
    }
    return err;
}

/* The signing key of a launched profile comes to its end: one reminder a key and step, to all staff. */
static enum antag_err tick_reminders(struct ag_txn *t, bool *written, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < t->book->profile_count && err == ANTAG_OK && !*written; i++) {
        const struct ag_row_profile *p = &t->book->profiles[i];
        const struct ag_row_key *k = ag_book_active_key(t->book, p->id);
        struct ag_row_key row;
        int64_t end;
        uint32_t due;

        if (!p->launched || k == NULL)
            continue;
        end = ag_cryptoperiod_end(k->created_at_ms, p->cryptoperiod_days);
        if ((due = ag_cryptoperiod_due(end, t->life.now_ms)) <= k->reminded)
            continue;
        row = *k;
        row.reminded = due;
        *written = true;
        ag_txn_deed(t, ag_actor_agent, "agent.key_due", p->name, row.id,
                    "version %u: reminder %u of its end", row.version, due);
        if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
            (err = ag_registry_put_key(t->st->reg, &row, fault)) != ANTAG_OK)
            break;
        err = ag_notice_due(t, p->name, row.version, end, fault);
    }
    return err;
}

/* What is due first. *more: there may be more; *next_ms: when there will be. */
static enum antag_err tick_once(struct ag_steward *st, bool *more, int64_t *next_ms,
                                struct antag_fault *fault)
{
    struct ag_txn t;
    bool written = false, persist;
    enum antag_err err;

    *more = false;
    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK ||
        (err = ag_rotation_tick(&t, &written, fault)) != ANTAG_OK ||
        (err = tick_keys(&t, &written, fault)) != ANTAG_OK ||
        (err = tick_antom_keys(&t, &written, fault)) != ANTAG_OK ||
        (err = tick_reminders(&t, &written, fault)) != ANTAG_OK)
        goto out;
    *more = written;
    *next_ms = next_due(&t);
    persist = t.life.observed_ms - ag_registry_observed_ms(st->reg) >= PERSIST_MS;
    if (!written && persist) {
        ag_txn_deed(&t, ag_actor_agent, "agent.time", "", 0, "observed running time, %lld s",
                    (long long)(t.life.observed_ms / 1000));
        if ((err = ag_txn_write(&t, fault)) != ANTAG_OK)
            goto out;
    }
    if (written || persist)
        err = ag_txn_commit(&t, fault);
    else
        ag_record_copy(st); /* what the disk did not take before */
out:
    ag_txn_end(&t);
    return err;
}

int64_t ag_tick(struct ag_steward *st, int64_t now_mono_ms)
{
    struct antag_fault fault = {0};
    enum antag_err err = ANTAG_OK;
    bool more = true;
    int64_t next_ms = TICK_MS;

    while (more && err == ANTAG_OK)
        err = tick_once(st, &more, &next_ms, &fault);
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "tick", &fault);
    ag_used_pass(st);
    return now_mono_ms + next_ms;
}
