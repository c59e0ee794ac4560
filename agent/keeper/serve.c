/* serve: from a job in the queue to its answer in a lane: permission, record, arithmetic, permission again. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/keeper/gauge.h"
#include "agent/keeper/record.h"
#include "agent/keeper/worker_internal.h"
#include "agent/lib/clock.h"

#define SLOW_US 5000 /* of a signature: no answer waits for the next */

/* ---- one job. Stands inside a grace section but where it says otherwise. */

static void refuse(struct ag_sign_done *done, enum antag_err err)
{
    ag_secret_wipe(done->sig, sizeof done->sig); /* a signature that must not leave */
    done->sig_len = 0;
    done->err = (uint32_t)err;
}

/* The record says that it may have been released; it was not. */
static void record_outcome(struct ag_workers *ws, struct ag_sign_done *done, enum antag_err err)
{
    struct ag_log_field fields[AG_RECORD_FIELDS_MAX];
    struct ag_chain_record line = {.type = "outcome", .fields = fields};
    struct antag_fault fault;
    uint64_t seq;

    ag_record_outcome(done->seq, err, fields);
    if (ag_chain_append(ws->conf.chain, &line, 1, &seq, &fault) != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "audit.outcome", &fault);
    refuse(done, err);
}

/* A front that is taken over asks for no more than this. */
static bool within_rate(struct ag_workers *ws, struct ag_held *held, struct ag_sign_done *done)
{
    if (ws->conf.profile_rate.rate == 0)
        return true;
    done->retry_after_ms =
        (uint32_t)ag_limiter_take(&held->spent, &ws->conf.profile_rate, 1, ag_clock_mono_ns());
    return done->retry_after_ms == 0;
}

/* NULL: refused. */
static struct ag_held *check_job(struct ag_workers *ws, struct ag_work *work)
{
    struct ag_sign_done *done = &work->done;
    struct ag_held *held = NULL;

    memset(done, 0, sizeof *done);
    done->version = AG_SIGNWIRE_VERSION;
    done->tag = work->job.tag;
    done->err =
        (uint32_t)ag_keytable_check(ws->conf.keys, atomic_load(&ws->loading), &work->job, &held);
    if (done->err == ANTAG_OK && !ag_record_claim_ok(&work->job.claim))
        done->err = ANTAG_ERR_BAD_PARAM;
    if (done->err == ANTAG_OK && !within_rate(ws, held, done))
        done->err = ANTAG_ERR_BUSY;
    return done->err == ANTAG_OK ? held : NULL;
}

/* Checks those in `list`, and begins the record of those that may be signed: one line each. */
static void admit(struct ag_workers *ws, struct ag_works *list)
{
    struct ag_log_field fields[AG_TAKE_MAX][AG_RECORD_FIELDS_MAX];
    struct ag_chain_record lines[AG_TAKE_MAX];
    struct ag_work *good[AG_TAKE_MAX], *work;
    struct antag_fault fault;
    size_t count = 0;
    uint64_t seq = 0;
    enum antag_err err;

    STAILQ_FOREACH(work, list, link)
    {
        const struct ag_held *held = check_job(ws, work);

        if (held == NULL)
            continue;
        ag_record_sign(&work->job, &held->id, fields[count]);
        lines[count] = (struct ag_chain_record){.type = "sign", .fields = fields[count]};
        good[count++] = work;
    }
    if (count == 0)
        return;
    err = ag_chain_append_helped(ws->conf.chain, lines, count, &seq, &fault);
    for (size_t i = 0; i < count; i++) {
        if (err == ANTAG_OK)
            good[i]->done.seq = seq + i;
        else
            refuse(&good[i]->done, err == ANTAG_ERR_AUDIT ? err : ANTAG_ERR_INTERNAL);
    }
}

/* One that was admitted, perhaps in an earlier section. The disk works beside it. One at a time: of several that one
 * call signs, the first would wait for the last, and who comes meanwhile for all of them. */
static void sign(struct worker *w, struct ag_work *work)
{
    struct ag_workers *ws = w->all;
    struct ag_sign_done *done = &work->done;
    struct ag_held *held = NULL;
    struct ag_backend_job job;
    enum antag_err err;

    if (done->err != ANTAG_OK)
        return;
    err = ag_keytable_check(ws->conf.keys, atomic_load(&ws->loading), &work->job, &held);
    if (err == ANTAG_OK) {
        job =
            (struct ag_backend_job){.key = held->key, .digest = work->job.digest, .sig = done->sig};
        ag_gauge_begin(ws->conf.gauge, w->number);
        ws->conf.backend->ops->sign(ws->conf.backend, w->number, &job, 1);
        err = job.err == ANTAG_OK && job.sig_len > ANTAG_SIG_MAX ? ANTAG_ERR_INTERNAL : job.err;
        w->took_us = ag_gauge_end(ws->conf.gauge, w->number, err == ANTAG_OK);
    }
    if (err != ANTAG_OK)
        record_outcome(ws, done, err);
    else
        done->sig_len = (uint32_t)job.sig_len;
}

/* Permission again, in the section that sends: a stop since then lets nothing out. */
static void check_release(struct ag_workers *ws, struct ag_work *work)
{
    struct ag_held *held = NULL;
    enum antag_err err;

    if (work->done.err != ANTAG_OK)
        return;
    err = ag_keytable_check(ws->conf.keys, false, &work->job, &held);
    if (err != ANTAG_OK)
        record_outcome(ws, &work->done, err);
}

/* false: no room. */
static bool try_send(struct worker *w, struct lane *lane)
{
    size_t count = 0, len;
    struct ag_work *work;
    ssize_t n;

    STAILQ_FOREACH(work, &w->out, link)
    {
        if (work->lane != lane)
            continue;
        check_release(w->all, work);
        w->dones[count++] = work->done;
    }
    len = count * sizeof w->dones[0];
    do
        n = send(lane->fd, w->dones, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    ag_secret_wipe(w->dones, len);
    if (n == (ssize_t)len)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
        return false;
    ag_lane_fail(w->all, lane, AG_LOG_INFO, "the front is gone");
    return true;
}

/* Send, waiting for room outside of the section, so that a stop does not wait for the front. Returns
 * inside the section. */
static void send_waiting(struct worker *w, struct lane *lane)
{
    struct ag_grace *g = w->all->conf.grace;
    int64_t until_ms;

    if (try_send(w, lane))
        return;
    until_ms = ag_clock_mono_ms() + AG_LANE_FULL_MS;
    for (;;) {
        struct pollfd p = {.fd = lane->fd, .events = POLLOUT};

        ag_grace_leave(g, w->number);
        (void)poll(&p, 1, FULL_STEP_MS);
        ag_grace_enter(g, w->number);
        if (atomic_load(&lane->dead) || try_send(w, lane))
            break;
        if (ag_clock_mono_ms() >= until_ms) {
            ag_lane_fail(w->all, lane, AG_LOG_WARN, "the front takes no answers");
            break;
        }
    }
}

/* ---- answers. Outside of the section. */

void ag_work_done(struct ag_queue *q, struct ag_work *work)
{
    ag_lane_release(work->lane);
    ag_queue_give(q, work);
}

static void drop_lane(struct worker *w, const struct lane *lane)
{
    struct ag_works rest = STAILQ_HEAD_INITIALIZER(rest);
    struct ag_work *work;

    while ((work = STAILQ_FIRST(&w->out)) != NULL) {
        STAILQ_REMOVE_HEAD(&w->out, link);
        if (work->lane == lane)
            ag_work_done(w->all->queue, work);
        else
            STAILQ_INSERT_TAIL(&rest, work, link);
    }
    STAILQ_CONCAT(&w->out, &rest);
}

/* What is signed leaves, one packet a lane. */
void ag_worker_send_out(struct worker *w)
{
    struct ag_work *work;

    while ((work = STAILQ_FIRST(&w->out)) != NULL) {
        struct lane *lane = work->lane;

        ag_grace_enter(w->all->conf.grace, w->number);
        if (!atomic_load(&lane->dead))
            send_waiting(w, lane);
        ag_grace_leave(w->all->conf.grace, w->number);
        drop_lane(w, lane);
    }
    w->out_count = 0;
}

/* more: its caller has others waiting, whose answers may go with it, unless they take long to come. */
static void put_out(struct worker *w, struct ag_work *work, bool more)
{
    STAILQ_INSERT_TAIL(&w->out, work, link);
    if (++w->out_count == AG_OUT_MAX || !more || w->took_us > SLOW_US)
        ag_worker_send_out(w);
}

enum ag_fate ag_work_fate(const struct worker *w, const struct ag_work *work)
{
    return work->done.seq == 0 ? AG_FATE_RECORDED
                               : ag_chain_fate(w->all->conf.chain, work->done.seq);
}

/* The record cannot be written: nothing leaves. The line may come to stand in it later, and then says of more
 * than was released. */
static void release(struct worker *w, struct ag_work *work, enum ag_fate fate, bool more)
{
    if (fate == AG_FATE_STUCK && work->done.err == ANTAG_OK)
        refuse(&work->done, ANTAG_ERR_AUDIT);
    put_out(w, work, more);
}

/* Those whose fate is known leave. */
void ag_worker_release_parked(struct worker *w)
{
    struct ag_work *work;
    enum ag_fate fate;
    bool any = false;

    while ((work = STAILQ_FIRST(&w->parked)) != NULL &&
           (fate = ag_work_fate(w, work)) != AG_FATE_WAITS) {
        STAILQ_REMOVE_HEAD(&w->parked, link);
        w->parked_count--;
        release(w, work, fate, true);
        any = true;
    }
    if (any)
        ag_worker_send_out(w);
}

static void park(struct worker *w, struct ag_work *work)
{
    STAILQ_INSERT_TAIL(&w->parked, work, link);
    w->parked_count++;
}

/* ---- serving */

/* The lines of a take are written by whoever first has signed one of it. Outside of the section, as a disk that
 * stands still must not keep a stop waiting. */
static enum ag_fate fate_with_help(struct worker *w, const struct ag_work *work)
{
    enum ag_fate fate = ag_work_fate(w, work);

    if (fate != AG_FATE_WAITS)
        return fate;
    ag_chain_help(w->all->conf.chain);
    return ag_work_fate(w, work);
}

static void serve(struct worker *w, struct ag_work *work, bool more)
{
    struct lane *lane = work->lane;
    bool dead = atomic_load(&lane->dead);
    enum ag_fate fate;

    if (!dead) {
        ag_grace_enter(w->all->conf.grace, w->number);
        sign(w, work);
        ag_grace_leave(w->all->conf.grace, w->number);
    }
    fate = fate_with_help(w, work);
    if (dead)
        ag_work_done(w->all->queue, work);
    else if (fate == AG_FATE_WAITS)
        park(w, work);
    else
        release(w, work, fate, more);
}

bool ag_worker_has_room(const struct worker *w)
{
    return w->parked_count < AG_PARKED_MAX;
}

/* Off the queue and into the record, as many as one call of it takes. */
static struct ag_took take(struct worker *w, size_t max, struct ag_works *out)
{
    struct ag_took took = ag_queue_take(w->all->queue, max, ag_clock_mono_ns(), out);

    if (took.rest)
        ag_workers_wake_one(w->all);
    if (STAILQ_EMPTY(out))
        return took;
    ag_grace_enter(w->all->conf.grace, w->number);
    admit(w->all, out);
    ag_grace_leave(w->all->conf.grace, w->number);
    return took;
}

static void take_own(struct worker *w)
{
    struct ag_took took = take(w, AG_TAKE_MAX, &w->own);

    w->own_more = took.more;
    w->kept = took.kept;
}

/* Of what this worker has taken; while it has some, others that wait get every second turn. */
static void serve_own(struct worker *w)
{
    struct ag_work *work = STAILQ_FIRST(&w->own);
    uint32_t uid = work->job.claim.uid;

    STAILQ_REMOVE_HEAD(&w->own, link);
    w->let_in = false;
    serve(w, work, w->own_more || !STAILQ_EMPTY(&w->own));
    if (STAILQ_EMPTY(&w->own))
        ag_queue_signed(w->all->queue, uid, ag_clock_mono_ns());
}

static void serve_other(struct worker *w, struct ag_work *work, bool more)
{
    uint32_t uid = work->job.claim.uid;

    w->let_in = true;
    serve(w, work, more);
    ag_queue_signed(w->all->queue, uid, ag_clock_mono_ns());
}

/* While it has some of its own: another caller's, every second turn; else that is for a worker that sleeps. */
static struct ag_took let_in(struct worker *w, struct ag_works *other)
{
    const struct ag_work *own = STAILQ_FIRST(&w->own);

    if (!ag_queue_has_other(w->all->queue, own->job.claim.uid))
        return (struct ag_took){0};
    if (!w->let_in && ag_worker_has_room(w))
        return take(w, 1, other);
    ag_workers_wake_one(w->all);
    return (struct ag_took){0};
}

/* The next job, if any. What another worker could do meanwhile, it does. */
void ag_worker_serve_next(struct worker *w)
{
    struct ag_works other = STAILQ_HEAD_INITIALIZER(other);
    bool more = false;

    w->kept = false;
    if (!STAILQ_EMPTY(&w->own))
        more = let_in(w, &other).more;
    else if (ag_worker_has_room(w))
        take_own(w);
    else if (ag_queue_count(w->all->queue) > 0)
        ag_workers_wake_one(w->all); /* one that has room */
    if (!STAILQ_EMPTY(&other))
        serve_other(w, STAILQ_FIRST(&other), more);
    else if (!STAILQ_EMPTY(&w->own))
        serve_own(w);
}
