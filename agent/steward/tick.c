/* tick: what time alone changes. Timers that end a watch window or an overlap count running time observed
 * on this registry, taken from the monotonic clock, so that a clock that jumps ends nothing. */
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/steward.h"

#define TICK_MS    60000
#define PERSIST_MS 3600000 /* what a crash may lose of the observed time */

/* Whoever waits on time alone; others are not asked every minute. */
static bool has_timer(const struct ag_row_key *k)
{
    return k->state == AG_KEY_RETIRING || k->state == AG_KEY_RETIRED;
}

static enum antag_err tick_keys(struct ag_txn *t, bool *writing, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < t->book->key_count && err == ANTAG_OK; i++) {
        struct ag_row_key row = t->book->keys[i];

        if (!has_timer(&row) ||
            ag_life_step(&t->life, t->book, &row, AG_KEYEV_TICK, true, NULL, fault) != ANTAG_OK)
            continue;
        if (!*writing && (err = ag_txn_write(t, fault)) != ANTAG_OK)
            break;
        *writing = true;
        ag_log(AG_LOG_INFO, "key.time", AG_F_UINT("handle", row.id),
               AG_F_UINT("version", row.version), AG_F_TEXT("state", ag_key_state_name(row.state)));
        err = ag_registry_put_key(t->st->reg, &row, fault);
    }
    return err;
}

static enum antag_err tick_antom_keys(struct ag_txn *t, bool *writing, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < t->book->antom_key_count && err == ANTAG_OK; i++) {
        struct ag_row_antom_key row = t->book->antom_keys[i];

        if (row.state != AG_ANTOM_KEY_RETIRING ||
            ag_life_antom_step(&t->life, &row, AG_ANTOMEV_TICK, fault) != ANTAG_OK)
            continue;
        if (!*writing && (err = ag_txn_write(t, fault)) != ANTAG_OK)
            break;
        *writing = true;
        ag_log(AG_LOG_INFO, "antom_key.time", AG_F_UINT("id", row.id),
               AG_F_UINT("version", row.version),
               AG_F_TEXT("state", ag_antom_key_state_name(row.state)));
        err = ag_registry_put_antom_key(t->st->reg, &row, fault);
    }
    return err;
}

int64_t ag_tick(struct ag_steward *st, int64_t now_mono_ms)
{
    struct ag_txn t;
    struct antag_fault fault = {0};
    bool writing = false;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, &fault)) != ANTAG_OK)
        goto out;
    if ((err = tick_keys(&t, &writing, &fault)) != ANTAG_OK)
        goto out;
    if ((err = tick_antom_keys(&t, &writing, &fault)) != ANTAG_OK)
        goto out;
    if (!writing && t.life.observed_ms - ag_registry_observed_ms(st->reg) >= PERSIST_MS) {
        if ((err = ag_txn_write(&t, &fault)) != ANTAG_OK)
            goto out;
        writing = true;
    }
    if (writing)
        err = ag_txn_commit(&t, &fault);
out:
    ag_txn_end(&t);
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "tick", &fault);
    return now_mono_ms + TICK_MS;
}
