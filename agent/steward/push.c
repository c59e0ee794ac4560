/* push: the driver, the one thread that makes front and keepers what the registry says. A pass reads the
 * registry and brings them there from wherever they are, so it does not matter why it was asked for:
 * a commit, a part that came back, a stop, a minute that has passed.
 *
 * The order of a pass is the switch protocol: keepers are raised and acknowledge; the front gets its rows,
 * commits them as the registry's epoch and acknowledges; when no job of an older epoch is in flight,
 * keepers are lowered. So at any moment a keeper signs with every key that the front may name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/frontlink.h"
#include "agent/steward/steward.h"

#define STOP_RETRY_MS  2000
#define FRONT_RETRY_MS 1000
#define IDLE_MS        3600000 /* nothing is due: the tick's persisting of time */

struct ag_driver {
    struct ag_steward *st;
    uv_thread_t thread;
    struct ag_book *book; /* the last one that could be read; what a pass works from */
    struct ag_merchant_list *merchants; /* of it; NULL: none was read yet */
    /* of the present front */
    uint64_t front_gen;
    bool front_has_rows;
    struct ag_front_rows rows;
    uint64_t committed; /* epoch */
    bool state_told;
    enum ag_agent_state told;
    char told_reason[256];
    uint64_t drain_asked;
    int64_t tick_at_ms, next_ms; /* monotonic */
    uint64_t ticked_epoch;       /* of the last book with a watched key */
};

void ag_driver_kick(struct ag_steward *st)
{
    uv_mutex_lock(&st->lock);
    st->kicks++;
    uv_cond_broadcast(&st->changed);
    uv_mutex_unlock(&st->lock);
}

static void look_again(struct ag_driver *d, int64_t at_ms)
{
    if (at_ms < d->next_ms)
        d->next_ms = at_ms;
}

/* ---- the registry's side */

/* The registry as it is now; when it cannot be read, as it was: stops must reach the front all the same. */
static bool read_book(struct ag_driver *d)
{
    struct ag_steward *st = d->st;
    struct ag_txn t;
    struct antag_fault fault = {0};
    bool good =
        ag_txn_begin(st, 0, &t, &fault) == ANTAG_OK &&
        ag_merchants_read(st->reg, t.era, d->merchants, &t.book->merchants, &fault) == ANTAG_OK;

    if (good) {
        ag_merchants_release(d->merchants);
        d->merchants = ag_merchants_hold(t.book->merchants);
        ag_book_publish(st, t.book); /* under the registry's lock: it cannot be closed meanwhile */
        t.book = NULL;               /* transferred */
    }
    ag_txn_end(&t);
    ag_book_release(st, d->book);
    d->book = (struct ag_book *)(uintptr_t)ag_book_hold(st);
    if (!good && d->book != NULL)
        ag_log_fault(AG_LOG_ERROR, "registry.unreadable", &fault);
    return d->book != NULL;
}

/* ---- the front's side */

static void forget_front(struct ag_driver *d)
{
    ag_front_rows_fini(&d->rows);
    d->front_has_rows = false;
    d->committed = 0;
    d->state_told = false;
    d->drain_asked = 0;
}

/* The present front, or NULL; a fresh one has nothing. */
static struct ag_chan *present_front(struct ag_driver *d)
{
    uint64_t gen;
    struct ag_chan *c = ag_front_hold(d->st, &gen);

    if (c == NULL || gen != d->front_gen) {
        forget_front(d);
        d->front_gen = gen;
    }
    return c;
}

static bool tell_state(struct ag_driver *d, struct ag_chan *c, enum ag_agent_state state,
                       const char *reason)
{
    struct ag_steward *st = d->st;
    struct antag_fault fault = {0};

    if (d->state_told && d->told == state && strcmp(d->told_reason, reason) == 0)
        return true;
    if (ag_front_send_state(c, state, reason, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_WARN, "front.state", &fault);
        look_again(d, ag_clock_mono_ms() + FRONT_RETRY_MS);
        return false;
    }
    d->state_told = true;
    d->told = state;
    snprintf(d->told_reason, sizeof d->told_reason, "%s", reason);
    uv_mutex_lock(&st->lock);
    if (st->front_gen == d->front_gen && st->front != NULL)
        st->front_told = state;
    uv_cond_broadcast(&st->changed);
    uv_mutex_unlock(&st->lock);
    return true;
}

static void source(void *ctx, const struct ag_row_key *active, uint64_t epoch,
                   struct ag_sign_source *out)
{
    ag_sign_source_of(ctx, active, epoch, out);
}

static enum antag_err no_difference(void *ctx, const struct ag_front_row *row, bool gone)
{
    (void)ctx;
    (void)row;
    (void)gone;
    return ANTAG_ERR_EXISTS; /* there is one: enough seen */
}

/* Rows and commit. True when the front works from the book. */
static bool send_rows(struct ag_driver *d, struct ag_chan *c)
{
    struct ag_front_rows now = {0};
    const struct ag_front_rows *had = d->front_has_rows ? &d->rows : NULL;
    struct antag_fault fault = {0};
    enum antag_err err;

    if ((err = ag_front_rows_make(d->book, had, source, d->st, &now)) != ANTAG_OK) {
        antag_fault_set(&fault, err, NULL, "the front's rows cannot be made");
        goto out;
    }
    if (had != NULL && d->committed == d->book->epoch &&
        ag_front_rows_diff(had, &now, no_difference, NULL) == ANTAG_OK)
        goto out;
    if ((err = ag_front_send(c, had, &now, d->book->epoch, &fault)) != ANTAG_OK) {
        forget_front(d); /* what it has now is not known */
        goto out;
    }
    ag_front_rows_fini(&d->rows);
    d->rows = now;
    memset(&now, 0, sizeof now); /* transferred */
    d->front_has_rows = true;
    d->committed = d->book->epoch;
out:
    if (err != ANTAG_OK) {
        ag_log_fault(AG_LOG_WARN, "front.rows", &fault);
        look_again(d, ag_clock_mono_ms() + FRONT_RETRY_MS);
    }
    ag_front_rows_fini(&now);
    return err == ANTAG_OK;
}

static void tell_front_epoch(struct ag_driver *d, bool keepers_agree)
{
    struct ag_steward *st = d->st;

    uv_mutex_lock(&st->lock);
    if (st->front != NULL && st->front_gen == d->front_gen) {
        st->front_epoch = d->committed;
        if (keepers_agree)
            st->synced_epoch = d->committed;
        uv_cond_broadcast(&st->changed);
    }
    uv_mutex_unlock(&st->lock);
}

/* ---- after the front */

struct drain_ask {
    struct ag_steward *st;
    struct ag_chan *front;
    uint64_t epoch;
};

/* Whatever the answer: the wait is bounded, and a front that is gone has no jobs. */
static void on_drained(struct ag_reply *r, void *ctx)
{
    struct drain_ask *ask = ctx;
    struct ag_steward *st = ask->st;

    if (r->fault.err != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "front.drained", &r->fault);
    uv_mutex_lock(&st->lock);
    if (st->drained_epoch < ask->epoch)
        st->drained_epoch = ask->epoch;
    st->kicks++;
    uv_cond_broadcast(&st->changed);
    uv_mutex_unlock(&st->lock);
    free(ask);
}

static void ask_drained(void *ctx)
{
    struct drain_ask *ask = ctx;
    struct antag_writer w;
    uint32_t id = ag_chan_next_id(ask->front);

    antag_writer_init(&w, 256);
    antag_m_request(&w, id, "drained");
    antag_w_map(&w);
    antag_w_kv_uint(&w, "epoch", ask->epoch);
    antag_w_end(&w);
    antag_m_close(&w);
    ag_chan_ask(ask->front, id, &w, NULL, 0, AG_WAIT_DRAINED_MS, on_drained, ask);
    antag_writer_fini(&w);
}

/* Keepers go down when the front's jobs of older epochs are over. */
static void lower_keepers(struct ag_driver *d, struct ag_chan *front)
{
    struct ag_steward *st = d->st;
    uint64_t epoch = ag_keepers_mark(st, d->book, d->committed), drained;
    struct drain_ask *ask;

    if (epoch == 0)
        return;
    uv_mutex_lock(&st->lock);
    drained = st->drained_epoch;
    uv_mutex_unlock(&st->lock);
    ag_keepers_lower(st, d->book, drained);
    if (epoch <= drained || epoch <= d->drain_asked)
        return;
    if ((ask = malloc(sizeof *ask)) == NULL)
        return;
    *ask = (struct drain_ask){.st = st, .front = front, .epoch = epoch};
    d->drain_asked = epoch;
    if (!ag_loop_run(st, ask_drained, ask))
        free(ask);
}

/* ---- a pass */

/* A front that has nothing yet waits a little for keepers that are coming, so that it does not report
 * keys as out of reach that will be there in a moment. */
static bool front_waits(const struct ag_driver *d, bool keepers_agree)
{
    return !d->front_has_rows && !keepers_agree;
}

/* A watch window that began a moment ago may end before the next tick. */
static void tick_for_watched(struct ag_driver *d)
{
    bool watched = false;

    for (size_t i = 0; i < d->book->rotation_count; i++)
        watched = watched || d->book->rotations[i].state == AG_ROTATION_WATCHING;
    if (!watched || d->ticked_epoch == d->book->epoch)
        return;
    d->ticked_epoch = d->book->epoch;
    d->tick_at_ms = ag_tick(d->st, ag_clock_mono_ms());
}

static void pass_unlocked(struct ag_driver *d)
{
    struct ag_steward *st = d->st;
    struct ag_chan *front;
    bool agree;

    if (!ag_stops_retry(st))
        look_again(d, ag_clock_mono_ms() + STOP_RETRY_MS);
    if (ag_clock_mono_ms() >= d->tick_at_ms)
        d->tick_at_ms = ag_tick(st, ag_clock_mono_ms());
    if (!read_book(d))
        return;
    tick_for_watched(d);
    look_again(d, d->tick_at_ms);
    agree = ag_keepers_raise(st, d->book, &d->next_ms);
    front = present_front(d);
    if (front != NULL && !front_waits(d, agree) && send_rows(d, front) &&
        tell_state(d, front, AG_STATE_UNLOCKED, "")) {
        tell_front_epoch(d, agree);
        lower_keepers(d, front);
    }
    ag_chan_release(front);
    ag_stops_drop(st, d->book->epoch);
    ag_refusals_pass(st, &d->next_ms);
    ag_proofs_pass(st);
    ag_seal_pass(st, &d->next_ms);
    ag_heads_exchange(st, &d->next_ms);
}

static void pass(struct ag_driver *d)
{
    struct ag_steward *st = d->st;
    char reason[256];
    enum ag_agent_state state;
    struct ag_chan *front;
    bool open;

    d->next_ms = ag_clock_mono_ms() + IDLE_MS;
    uv_mutex_lock(&st->lock);
    open = st->want_open;
    uv_mutex_unlock(&st->lock);
    if (open) {
        ag_registry_start(st);
        d->tick_at_ms = ag_clock_mono_ms() + 5000;
    }
    state = ag_state_get(st, reason);
    if (state == AG_STATE_UNLOCKED) {
        pass_unlocked(d);
        return;
    }
    ag_book_release(st, d->book);
    d->book = NULL;
    if (state == AG_STATE_STARTING)
        return;
    front = present_front(d);
    if (front != NULL && tell_state(d, front, state, reason)) /* locked, or failed */
        d->front_has_rows = false; /* it gets everything anew when the agent is unlocked */
    ag_chan_release(front);
}

/* Sleeps until something changed or `next_ms`. False: the role ends. */
static bool wait_for_work(struct ag_driver *d, uint64_t *kicks)
{
    struct ag_steward *st = d->st;
    bool go_on;

    uv_mutex_lock(&st->lock);
    while (!st->quit && st->kicks == *kicks) {
        int64_t left = d->next_ms - ag_clock_mono_ms();

        if (left <= 0)
            break;
        uv_cond_timedwait(&st->changed, &st->lock, (uint64_t)left * 1000000);
    }
    *kicks = st->kicks;
    go_on = !st->quit;
    uv_mutex_unlock(&st->lock);
    return go_on;
}

static void run(void *ctx)
{
    struct ag_driver *d = ctx;
    struct ag_steward *st = d->st;
    uint64_t kicks = 0;

    while (wait_for_work(d, &kicks)) {
        pass(d);
        uv_mutex_lock(&st->lock);
        st->passes = kicks;
        uv_cond_broadcast(&st->changed);
        uv_mutex_unlock(&st->lock);
    }
    forget_front(d);
    ag_book_release(st, d->book);
    d->book = NULL;
    ag_merchants_release(d->merchants);
    d->merchants = NULL;
}

enum antag_err ag_driver_start(struct ag_steward *st)
{
    struct ag_driver *d = calloc(1, sizeof *d);

    if (d == NULL)
        return ANTAG_ERR_NO_MEMORY;
    d->st = st;
    d->next_ms = ag_clock_mono_ms();
    if (uv_thread_create(&d->thread, run, d) != 0) {
        free(d);
        return ANTAG_ERR_NO_MEMORY;
    }
    st->driver = d;
    return ANTAG_OK;
}

void ag_driver_join(struct ag_steward *st)
{
    if (st->driver == NULL)
        return;
    uv_thread_join(&st->driver->thread);
    free(st->driver);
    st->driver = NULL;
}

/* ---- waiting for it */

enum antag_err ag_push_wait(struct ag_steward *st, uint64_t epoch, bool keys,
                            struct antag_fault *fault)
{
    int64_t until = ag_clock_mono_ms() + AG_WAIT_PUSH_MS;
    bool reached = false, front = false;

    uv_mutex_lock(&st->lock);
    st->kicks++;
    uv_cond_broadcast(&st->changed);
    while (!st->quit && st->state == AG_STATE_UNLOCKED) {
        int64_t left = until - ag_clock_mono_ms();

        reached = (keys ? st->synced_epoch : st->front_epoch) >= epoch;
        if (reached || left <= 0)
            break;
        uv_cond_timedwait(&st->changed, &st->lock, (uint64_t)left * 1000000);
    }
    front = st->front != NULL && st->front_epoch >= epoch;
    uv_mutex_unlock(&st->lock);
    if (reached)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                           "the change is committed (epoch %llu) and takes force as soon as %s; "
                           "do not repeat it, `antomctl status` shows when",
                           (unsigned long long)epoch,
                           front ? "the keyring's keeper is back" : "the front is back");
}

bool ag_push_pass(struct ag_steward *st, int64_t timeout_ms)
{
    int64_t until = ag_clock_mono_ms() + timeout_ms;
    uint64_t wanted;
    bool done;

    uv_mutex_lock(&st->lock);
    wanted = ++st->kicks;
    uv_cond_broadcast(&st->changed);
    while (!st->quit && st->passes < wanted) {
        int64_t left = until - ag_clock_mono_ms();

        if (left <= 0)
            break;
        uv_cond_timedwait(&st->changed, &st->lock, (uint64_t)left * 1000000);
    }
    done = st->passes >= wanted;
    uv_mutex_unlock(&st->lock);
    return done;
}
