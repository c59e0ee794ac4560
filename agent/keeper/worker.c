#include "agent/keeper/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/keeper/queue.h"
#include "agent/keeper/record.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define EVENTS_AT_ONCE 8
#define END_EVENT      UINT64_MAX       /* epoll data of the descriptor that ends the threads */
#define WAKE_EVENT     (UINT64_MAX - 1) /* and of the one that tells of the record and of work */
#define FULL_STEP_MS   10

/* a lane is kept by the table and by a worker that waits for room in it */
struct lane {
    int fd;
    uint32_t number;
    uint64_t serial; /* tells an event of this lane from one of an older lane of the same number */
    _Atomic unsigned refs;
    _Atomic bool dead; /* ended or malformed: to be reaped */
    struct ag_grace_item item;
};

struct worker {
    struct ag_workers *all;
    size_t number;
    pthread_t thread;
    bool running;
    int epoll_fd;
    int wake_fd;            /* eventfd: the fate of lines has changed, or work waits */
    _Atomic bool waits;     /* for the fate of a line, and wants to be told */
    _Atomic bool sleeps;    /* and wants to be told of work */
    struct ag_works own;    /* taken, in the record, to be signed next */
    bool own_more;          /* others of their caller were left in the queue */
    bool let_in;            /* the last one was not of those */
    struct ag_works parked; /* signed, and wait for their lines */
    size_t parked_count;
    struct ag_works out; /* signed, and not sent yet */
    size_t out_count;
    struct ag_sign_job
        jobs[AG_SIGNWIRE_BATCH + 1]; /* a packet; one more shows that it is too long */
    struct ag_sign_done dones[AG_OUT_MAX];
};

struct ag_workers {
    struct ag_workers_conf conf;
    _Atomic bool loading;
    _Atomic bool stopping; /* end after the batch */
    _Atomic int64_t drain_until_ms;
    _Atomic size_t alive;
    int end_fd; /* readable: finish, then end */
    uint64_t serial;
    struct ag_queue *queue;
    _Atomic(struct lane *) lanes[AG_LANES_MAX];
    struct worker workers[AG_WORKERS_MAX];
};

/* ---- lanes */

static void lane_release(struct lane *lane)
{
    if (atomic_fetch_sub(&lane->refs, 1) != 1)
        return;
    close(lane->fd);
    free(lane);
}

static void lane_done(struct ag_grace_item *item)
{
    lane_release((struct lane *)((char *)item - offsetof(struct lane, item)));
}

/* The lane is of no use any more. Shut down now, so that the front's jobs end with RETRY at once;
 * the loop takes it out of the table. */
static void lane_fail(struct ag_workers *ws, struct lane *lane, enum ag_log_level level,
                      const char *why)
{
    if (atomic_exchange(&lane->dead, true))
        return;
    ag_log(level, "keeper.lane.dropped", AG_F_UINT("lane", lane->number), AG_F_TEXT("why", why));
    (void)shutdown(lane->fd, SHUT_RDWR);
    ag_grace_wake(ws->conf.grace);
}

/* Loop's thread: out of every set and the table; freed after the grace. */
static void lane_remove(struct ag_workers *ws, struct lane *lane)
{
    atomic_store(&ws->lanes[lane->number], NULL);
    for (size_t i = 0; i < ws->conf.count; i++)
        (void)epoll_ctl(ws->workers[i].epoll_fd, EPOLL_CTL_DEL, lane->fd, NULL);
    ag_grace_defer(ws->conf.grace, &lane->item, lane_done);
}

static uint64_t lane_event(const struct lane *lane)
{
    return lane->serial << 8 | lane->number;
}

enum antag_err ag_workers_add_lane(struct ag_workers *ws, uint32_t number, int fd)
{
    struct lane *lane = number < AG_LANES_MAX ? calloc(1, sizeof *lane) : NULL;
    struct lane *old;

    if (lane == NULL) {
        close(fd);
        return number < AG_LANES_MAX ? ANTAG_ERR_NO_MEMORY : ANTAG_ERR_BAD_PARAM;
    }
    lane->fd = fd;
    lane->number = number;
    lane->serial = ++ws->serial;
    atomic_init(&lane->refs, 1);
    old = atomic_load(&ws->lanes[number]);
    if (old != NULL)
        lane_remove(ws, old);
    atomic_store(&ws->lanes[number], lane);
    for (size_t i = 0; i < ws->conf.count; i++) {
        struct epoll_event ev = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.u64 = lane_event(lane)};

        if (epoll_ctl(ws->workers[i].epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0) {
            ag_log(AG_LOG_ERROR, "keeper.epoll", AG_F_INT("errno", errno));
            lane_remove(ws, lane);
            return ANTAG_ERR_IO;
        }
    }
    return ANTAG_OK;
}

void ag_workers_reap_lanes(struct ag_workers *ws)
{
    for (size_t i = 0; i < AG_LANES_MAX; i++) {
        struct lane *lane = atomic_load(&ws->lanes[i]);

        if (lane != NULL && atomic_load(&lane->dead))
            lane_remove(ws, lane);
    }
}

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
    err = ag_chain_append(ws->conf.chain, lines, count, &seq, &fault);
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
        ws->conf.backend->ops->sign(ws->conf.backend, w->number, &job, 1);
        err = job.err == ANTAG_OK && job.sig_len > ANTAG_SIG_MAX ? ANTAG_ERR_INTERNAL : job.err;
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
    lane_fail(w->all, lane, AG_LOG_INFO, "the front is gone");
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
            lane_fail(w->all, lane, AG_LOG_WARN, "the front takes no answers");
            break;
        }
    }
}

/* ---- answers. Outside of the section. */

static void work_done(struct ag_queue *q, struct ag_work *work)
{
    lane_release(work->lane);
    ag_queue_give(q, work);
}

static void drop_lane(struct worker *w, const struct lane *lane)
{
    struct ag_works rest = STAILQ_HEAD_INITIALIZER(rest);
    struct ag_work *work;

    while ((work = STAILQ_FIRST(&w->out)) != NULL) {
        STAILQ_REMOVE_HEAD(&w->out, link);
        if (work->lane == lane)
            work_done(w->all->queue, work);
        else
            STAILQ_INSERT_TAIL(&rest, work, link);
    }
    STAILQ_CONCAT(&w->out, &rest);
}

/* What is signed leaves, one packet a lane. */
static void send_out(struct worker *w)
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

/* more: its caller has others waiting, whose answers may go with it. */
static void put_out(struct worker *w, struct ag_work *work, bool more)
{
    STAILQ_INSERT_TAIL(&w->out, work, link);
    if (++w->out_count == AG_OUT_MAX || !more)
        send_out(w);
}

static enum ag_fate fate_of(const struct worker *w, const struct ag_work *work)
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
static void release_parked(struct worker *w)
{
    struct ag_work *work;
    enum ag_fate fate;
    bool any = false;

    while ((work = STAILQ_FIRST(&w->parked)) != NULL &&
           (fate = fate_of(w, work)) != AG_FATE_WAITS) {
        STAILQ_REMOVE_HEAD(&w->parked, link);
        w->parked_count--;
        release(w, work, fate, true);
        any = true;
    }
    if (any)
        send_out(w);
}

static void park(struct worker *w, struct ag_work *work)
{
    STAILQ_INSERT_TAIL(&w->parked, work, link);
    w->parked_count++;
}

/* ---- waking others */

static void wake(struct worker *w)
{
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(w->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void ag_workers_recorded(struct ag_workers *ws)
{
    for (size_t i = 0; i < ws->conf.count; i++)
        if (atomic_exchange(&ws->workers[i].waits, false))
            wake(&ws->workers[i]);
}

/* One that sleeps, for work that waits. */
static void wake_sleeper(struct ag_workers *ws)
{
    for (size_t i = 0; i < ws->conf.count; i++)
        if (atomic_load(&ws->workers[i].sleeps) && atomic_exchange(&ws->workers[i].sleeps, false)) {
            wake(&ws->workers[i]);
            return;
        }
}

static void clear_event(int fd)
{
    uint64_t count;
    ssize_t n;

    do
        n = read(fd, &count, sizeof count);
    while (n < 0 && errno == EINTR);
}

/* ---- taking off the lanes */

/* The packet into the queue. */
static void take_jobs(struct worker *w, struct lane *lane, size_t count)
{
    struct ag_queue *q = w->all->queue;
    struct ag_works list = STAILQ_HEAD_INITIALIZER(list);
    struct ag_work *work;
    bool good = true;

    for (size_t i = 0; good && i < count; i++) {
        if ((work = ag_queue_blank(q)) == NULL) {
            good = false;
            continue;
        }
        work->job = w->jobs[i];
        work->lane = lane;
        atomic_fetch_add(&lane->refs, 1);
        STAILQ_INSERT_TAIL(&list, work, link);
    }
    if (good && ag_queue_put(q, &list) == ANTAG_OK)
        return;
    while ((work = STAILQ_FIRST(&list)) != NULL) {
        STAILQ_REMOVE_HEAD(&list, link);
        work_done(q, work);
    }
    lane_fail(w->all, lane, AG_LOG_ERROR, "out of memory");
}

/* One packet off the lane. */
static void read_lane(struct worker *w, struct lane *lane)
{
    size_t count;
    ssize_t n;

    do
        n = recv(lane->fd, w->jobs, sizeof w->jobs, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS))
        return; /* another worker had it */
    if (n <= 0) {
        lane_fail(w->all, lane, n == 0 ? AG_LOG_INFO : AG_LOG_WARN,
                  n == 0 ? "the front closed it" : "it cannot be read");
        return;
    }
    count = (size_t)n / sizeof w->jobs[0];
    if ((size_t)n % sizeof w->jobs[0] != 0 || count > AG_SIGNWIRE_BATCH) {
        lane_fail(w->all, lane, AG_LOG_WARN, "a packet was malformed");
        return;
    }
    take_jobs(w, lane, count);
}

static void on_lane(struct worker *w, uint64_t data)
{
    struct ag_grace *g = w->all->conf.grace;
    uint32_t number = (uint32_t)(data & 0xff);
    struct lane *lane;

    ag_grace_enter(g, w->number);
    lane = number < AG_LANES_MAX ? atomic_load(&w->all->lanes[number]) : NULL;
    if (lane != NULL && lane_event(lane) == data) {
        if (!atomic_load(&lane->dead))
            read_lane(w, lane);
        if (atomic_load(&lane->dead)) /* or it would wake us until the loop has taken it out */
            (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, lane->fd, NULL);
    }
    ag_grace_leave(g, w->number);
}

/* ---- serving */

static void serve(struct worker *w, struct ag_work *work, bool more)
{
    struct lane *lane = work->lane;
    enum ag_fate fate;

    if (atomic_load(&lane->dead)) {
        work_done(w->all->queue, work);
        return;
    }
    ag_grace_enter(w->all->conf.grace, w->number);
    sign(w, work);
    ag_grace_leave(w->all->conf.grace, w->number);
    fate = fate_of(w, work);
    if (fate == AG_FATE_WAITS)
        park(w, work);
    else
        release(w, work, fate, more);
}

static bool has_room(const struct worker *w)
{
    return w->parked_count < AG_PARKED_MAX;
}

/* Off the queue and into the record, as many as one call of it takes. */
static void take(struct worker *w, size_t max, struct ag_works *out, bool *more)
{
    ag_queue_take(w->all->queue, max, w->all->conf.count, out, more);
    if (ag_queue_count(w->all->queue) > 0)
        wake_sleeper(w->all);
    if (STAILQ_EMPTY(out))
        return;
    ag_grace_enter(w->all->conf.grace, w->number);
    admit(w->all, out);
    ag_grace_leave(w->all->conf.grace, w->number);
}

/* Of what this worker has taken; while it has some, others that wait get every second turn. */
static void serve_own(struct worker *w)
{
    struct ag_work *work = STAILQ_FIRST(&w->own);

    STAILQ_REMOVE_HEAD(&w->own, link);
    w->let_in = false;
    serve(w, work, w->own_more || !STAILQ_EMPTY(&w->own));
}

static bool another_waits(const struct worker *w)
{
    const struct ag_work *own = STAILQ_FIRST(&w->own);

    return !w->let_in && has_room(w) && ag_queue_has_other(w->all->queue, own->job.claim.uid);
}

/* The next job, if any. What another worker could do meanwhile, it does. */
static void serve_next(struct worker *w)
{
    struct ag_works other = STAILQ_HEAD_INITIALIZER(other);
    struct ag_work *work;
    bool more = false;

    if (STAILQ_EMPTY(&w->own)) {
        if (has_room(w))
            take(w, AG_TAKE_MAX, &w->own, &w->own_more);
    } else if (another_waits(w)) {
        take(w, 1, &other, &more);
    }
    if ((work = STAILQ_FIRST(&other)) != NULL) {
        w->let_in = true;
        serve(w, work, more);
    } else if (!STAILQ_EMPTY(&w->own)) {
        serve_own(w);
    } else if (ag_queue_count(w->all->queue) > 0) {
        wake_sleeper(w->all); /* one that has room */
    }
}

/* ---- threads */

static void on_event(struct worker *w, uint64_t data, bool *draining)
{
    if (data == WAKE_EVENT) {
        clear_event(w->wake_fd);
    } else if (data == END_EVENT) {
        *draining = true;
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->all->end_fd, NULL);
    } else if (ag_queue_count(w->all->queue) < AG_QUEUE_MAX) {
        on_lane(w, data);
    }
}

/* So much waits for the disk that nothing can be taken: waits with it, and for nothing else, as lanes that cannot
 * be read either would not let it sleep. */
static void wait_for_record(struct worker *w)
{
    struct pollfd p = {.fd = w->wake_fd, .events = POLLIN};

    atomic_store(&w->waits, true);
    if (fate_of(w, STAILQ_FIRST(&w->parked)) == AG_FATE_WAITS)
        (void)poll(&p, 1, FULL_STEP_MS);
    clear_event(w->wake_fd);
}

/* 0 while there is work that can be done. Who is to sleep asks first to be told, then looks once more. */
static int sleep_ms(struct worker *w, bool draining)
{
    if (!STAILQ_EMPTY(&w->own) || (ag_queue_count(w->all->queue) > 0 && has_room(w)))
        return 0;
    send_out(w); /* nothing follows that could go with it */
    if (!STAILQ_EMPTY(&w->parked)) {
        atomic_store(&w->waits, true);
        release_parked(w); /* of those whose fate came before it was asked for */
    }
    atomic_store(&w->sleeps, true);
    if (ag_queue_count(w->all->queue) > 0 && has_room(w))
        return 0;
    if (!draining)
        return -1;
    return STAILQ_EMPTY(&w->parked) ? 0 : FULL_STEP_MS;
}

static bool is_idle(const struct worker *w)
{
    return STAILQ_EMPTY(&w->own) && STAILQ_EMPTY(&w->parked) && ag_queue_count(w->all->queue) == 0;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct ag_workers *ws = w->all;
    struct epoll_event events[EVENTS_AT_ONCE];
    bool draining = false;

    while (!atomic_load(&ws->stopping)) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS_AT_ONCE, sleep_ms(w, draining));

        atomic_store(&w->sleeps, false);
        if (n < 0 && errno != EINTR) {
            ag_log(AG_LOG_ERROR, "keeper.epoll", AG_F_INT("errno", errno));
            break;
        }
        for (int i = 0; i < n; i++)
            on_event(w, events[i].data.u64, &draining);
        release_parked(w);
        if (!has_room(w) && STAILQ_EMPTY(&w->own))
            wait_for_record(w);
        serve_next(w);
        if (draining &&
            ((n == 0 && is_idle(w)) || ag_clock_mono_ms() >= atomic_load(&ws->drain_until_ms)))
            break;
    }
    send_out(w);
    atomic_fetch_sub(&ws->alive, 1);
    ag_grace_wake(ws->conf.grace);
    return NULL;
}

static enum antag_err worker_start(struct ag_workers *ws, size_t number)
{
    struct worker *w = &ws->workers[number];
    struct epoll_event end = {.events = EPOLLIN, .data.u64 = END_EVENT};
    struct epoll_event recorded = {.events = EPOLLIN, .data.u64 = WAKE_EVENT};
    int e;

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, ws->end_fd, &end) != 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->wake_fd, &recorded) != 0) {
        ag_log(AG_LOG_ERROR, "keeper.epoll", AG_F_INT("errno", errno));
        return ANTAG_ERR_IO;
    }
    atomic_fetch_add(&ws->alive, 1);
    e = pthread_create(&w->thread, NULL, worker_main, w);
    if (e != 0) {
        atomic_fetch_sub(&ws->alive, 1);
        ag_log(AG_LOG_ERROR, "keeper.thread", AG_F_INT("errno", e));
        return ANTAG_ERR_IO;
    }
    w->running = true;
    return ANTAG_OK;
}

static enum antag_err worker_init(struct ag_workers *ws, size_t number)
{
    struct worker *w = &ws->workers[number];

    w->all = ws;
    w->number = number;
    STAILQ_INIT(&w->own);
    STAILQ_INIT(&w->parked);
    STAILQ_INIT(&w->out);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return w->epoll_fd >= 0 && w->wake_fd >= 0 ? ANTAG_OK : ANTAG_ERR_IO;
}

enum antag_err ag_workers_start(const struct ag_workers_conf *conf, struct ag_workers **out)
{
    struct ag_workers *ws = calloc(1, sizeof *ws);
    enum antag_err err = ANTAG_OK;
    sigset_t all, before;

    if (ws == NULL)
        return ANTAG_ERR_NO_MEMORY;
    ws->conf = *conf;
    atomic_init(&ws->loading, true);
    ws->queue = ag_queue_new();
    ws->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ws->end_fd < 0 || ws->queue == NULL)
        err = ANTAG_ERR_IO;
    for (size_t i = 0; i < conf->count; i++) {
        if (worker_init(ws, i) != ANTAG_OK)
            err = ANTAG_ERR_IO;
    }
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < conf->count && err == ANTAG_OK; i++)
        err = worker_start(ws, i);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != ANTAG_OK) {
        ag_workers_stop(ws);
        ag_workers_free(ws);
    } else {
        *out = ws;
    }
    return err;
}

void ag_workers_set_loading(struct ag_workers *ws, bool loading)
{
    atomic_store(&ws->loading, loading);
}

static void end_threads(struct ag_workers *ws)
{
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(ws->end_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
}

void ag_workers_drain(struct ag_workers *ws, int64_t for_ms)
{
    atomic_store(&ws->drain_until_ms, ag_clock_mono_ms() + for_ms);
    end_threads(ws);
}

bool ag_workers_are_done(struct ag_workers *ws)
{
    return atomic_load(&ws->alive) == 0;
}

void ag_workers_stop(struct ag_workers *ws)
{
    if (ws == NULL)
        return;
    atomic_store(&ws->stopping, true);
    end_threads(ws);
    for (size_t i = 0; i < ws->conf.count; i++)
        if (ws->workers[i].running)
            pthread_join(ws->workers[i].thread, NULL);
}

static void works_free(struct ag_queue *q, struct ag_works *list)
{
    struct ag_work *work;

    while ((work = STAILQ_FIRST(list)) != NULL) {
        STAILQ_REMOVE_HEAD(list, link);
        work_done(q, work);
    }
}

static void free_lane_of(struct ag_work *work)
{
    lane_release(work->lane);
}

static void worker_fini(struct worker *w)
{
    if (w->all == NULL) /* never made */
        return;
    works_free(w->all->queue, &w->own);
    works_free(w->all->queue, &w->parked);
    works_free(w->all->queue, &w->out);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
}

void ag_workers_free(struct ag_workers *ws)
{
    if (ws == NULL)
        return;
    for (size_t i = 0; i < ws->conf.count; i++)
        worker_fini(&ws->workers[i]);
    ag_queue_free(ws->queue, free_lane_of);
    for (size_t i = 0; i < AG_LANES_MAX; i++) {
        struct lane *lane = atomic_load(&ws->lanes[i]);

        if (lane != NULL)
            lane_release(lane);
    }
    if (ws->end_fd >= 0)
        close(ws->end_fd);
    free(ws);
}
