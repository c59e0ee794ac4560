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

#include "agent/keeper/record.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define EVENTS_AT_ONCE 8
#define END_EVENT      UINT64_MAX       /* epoll data of the descriptor that ends the threads */
#define RECORD_EVENT   (UINT64_MAX - 1) /* and of the one that tells of the record */
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

/* one packet of jobs and its answer */
struct batch {
    STAILQ_ENTRY(batch) of_worker;
    size_t count;
    uint64_t last_seq;                              /* of its lines in the record; 0: none */
    struct lane *lane;                              /* parked: kept */
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH + 1]; /* one more shows that a packet is too long */
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
};
STAILQ_HEAD(batches, batch);

struct worker {
    struct ag_workers *all;
    size_t number;
    pthread_t thread;
    bool running;
    int epoll_fd;
    int record_fd;         /* eventfd: the fate of lines has changed */
    _Atomic bool waits;    /* and it wants to be told */
    struct batches parked; /* in the order of their lines */
    struct batches free;
    size_t batch_count; /* of all */
};

struct ag_workers {
    struct ag_workers_conf conf;
    _Atomic bool loading;
    _Atomic bool stopping; /* end after the batch */
    _Atomic int64_t drain_until_ms;
    _Atomic size_t alive;
    int end_fd; /* readable: finish, then end */
    uint64_t serial;
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

/* ---- a batch. Stands inside a grace section but where it says otherwise. */

static void refuse(struct ag_sign_done *done, enum antag_err err)
{
    ag_secret_wipe(done->sig, sizeof done->sig); /* a signature that must not leave */
    done->sig_len = 0;
    done->err = (uint32_t)err;
}

/* One line for each job that may be signed; `held` is NULL for the others. Afterwards they are in the
 * record, or refused. */
static void record(struct ag_workers *ws, struct batch *b, struct ag_held *held[])
{
    struct ag_log_field fields[AG_SIGNWIRE_BATCH][AG_RECORD_FIELDS_MAX];
    struct ag_chain_record lines[AG_SIGNWIRE_BATCH];
    struct antag_fault fault;
    uint64_t seq = 0;
    size_t count = 0;
    enum antag_err err;

    b->last_seq = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (held[i] == NULL)
            continue;
        ag_record_sign(&b->jobs[i], &held[i]->id, fields[count]);
        lines[count] = (struct ag_chain_record){.type = "sign", .fields = fields[count]};
        count++;
    }
    if (count == 0)
        return;
    err = ag_chain_append(ws->conf.chain, lines, count, &seq, &fault);
    for (size_t i = 0; i < b->count; i++) {
        if (held[i] == NULL)
            continue;
        if (err != ANTAG_OK)
            refuse(&b->dones[i], err == ANTAG_ERR_AUDIT ? err : ANTAG_ERR_INTERNAL);
        else
            b->last_seq = b->dones[i].seq = seq++;
    }
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

static void check_jobs(struct ag_workers *ws, struct batch *b, struct ag_held *held[])
{
    bool loading = atomic_load(&ws->loading);

    for (size_t i = 0; i < b->count; i++) {
        struct ag_sign_done *done = &b->dones[i];

        held[i] = NULL;
        memset(done, 0, sizeof *done);
        done->version = AG_SIGNWIRE_VERSION;
        done->tag = b->jobs[i].tag;
        done->err = (uint32_t)ag_keytable_check(ws->conf.keys, loading, &b->jobs[i], &held[i]);
        if (done->err == ANTAG_OK && !ag_record_claim_ok(&b->jobs[i].claim))
            done->err = ANTAG_ERR_BAD_PARAM;
        if (done->err == ANTAG_OK && !within_rate(ws, held[i], done))
            done->err = ANTAG_ERR_BUSY;
        if (done->err != ANTAG_OK)
            held[i] = NULL;
    }
}

static void sign(struct worker *w, struct batch *b)
{
    struct ag_workers *ws = w->all;
    struct ag_held *held[AG_SIGNWIRE_BATCH];
    struct ag_backend_job jobs[AG_SIGNWIRE_BATCH];
    struct ag_sign_done *of[AG_SIGNWIRE_BATCH];
    size_t count = 0;

    check_jobs(ws, b, held);
    record(ws, b, held); /* and the disk works beside what follows */
    for (size_t i = 0; i < b->count; i++) {
        struct ag_sign_done *done = &b->dones[i];

        if (done->err != ANTAG_OK)
            continue;
        jobs[count] = (struct ag_backend_job){
            .key = held[i]->key, .digest = b->jobs[i].digest, .sig = done->sig};
        of[count++] = done;
    }
    if (count > 0)
        ws->conf.backend->ops->sign(ws->conf.backend, w->number, jobs, count);
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].err != ANTAG_OK || jobs[i].sig_len > ANTAG_SIG_MAX)
            record_outcome(ws, of[i], jobs[i].err != ANTAG_OK ? jobs[i].err : ANTAG_ERR_INTERNAL);
        else
            of[i]->sig_len = (uint32_t)jobs[i].sig_len;
    }
}

/* Permission again, in the section that sends: a stop since then lets nothing out. */
static void check_release(struct ag_workers *ws, struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct ag_held *held = NULL;
        enum antag_err err;

        if (b->dones[i].err != ANTAG_OK)
            continue;
        err = ag_keytable_check(ws->conf.keys, false, &b->jobs[i], &held);
        if (err != ANTAG_OK)
            record_outcome(ws, &b->dones[i], err);
    }
}

/* false: no room. */
static bool try_send(struct worker *w, struct lane *lane, struct batch *b)
{
    size_t len = b->count * sizeof b->dones[0];
    ssize_t n;

    check_release(w->all, b);
    do
        n = send(lane->fd, b->dones, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM))
        return false;
    lane_fail(w->all, lane, AG_LOG_INFO, "the front is gone");
    return true;
}

/* Send, waiting for room outside of the section, so that a stop does not wait for the front. Returns
 * inside the section. */
static void send_batch(struct worker *w, struct lane *lane, struct batch *b)
{
    struct ag_grace *g = w->all->conf.grace;
    int64_t until_ms;

    if (try_send(w, lane, b))
        return;
    until_ms = ag_clock_mono_ms() + AG_LANE_FULL_MS;
    for (;;) {
        struct pollfd p = {.fd = lane->fd, .events = POLLOUT};

        ag_grace_leave(g, w->number);
        (void)poll(&p, 1, FULL_STEP_MS);
        ag_grace_enter(g, w->number);
        if (atomic_load(&lane->dead) || try_send(w, lane, b))
            break;
        if (ag_clock_mono_ms() >= until_ms) {
            lane_fail(w->all, lane, AG_LOG_WARN, "the front takes no answers");
            break;
        }
    }
}

/* ---- batches, and those that wait for their record */

/* NULL: as many as may be are parked, or there is no memory. */
static struct batch *batch_take(struct worker *w)
{
    struct batch *b = STAILQ_FIRST(&w->free);

    if (b != NULL) {
        STAILQ_REMOVE_HEAD(&w->free, of_worker);
    } else if (w->batch_count < AG_PARKED_MAX && (b = calloc(1, sizeof *b)) != NULL) {
        w->batch_count++;
    }
    return b;
}

static void batch_give(struct worker *w, struct batch *b)
{
    ag_secret_wipe(b->dones, sizeof b->dones);
    STAILQ_INSERT_HEAD(&w->free, b, of_worker);
}

static enum ag_fate fate_of(const struct worker *w, const struct batch *b)
{
    return b->last_seq == 0 ? AG_FATE_RECORDED : ag_chain_fate(w->all->conf.chain, b->last_seq);
}

/* The record cannot be written: nothing leaves. The lines may come to stand in it later, and then say
 * of more than was released. */
static void refuse_batch(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++)
        if (b->dones[i].err == ANTAG_OK)
            refuse(&b->dones[i], ANTAG_ERR_AUDIT);
}

/* Inside the section. */
static void release_batch(struct worker *w, struct lane *lane, struct batch *b, enum ag_fate fate)
{
    if (fate == AG_FATE_STUCK)
        refuse_batch(b);
    if (!atomic_load(&lane->dead))
        send_batch(w, lane, b);
}

/* Outside of the section. Those whose fate is known leave. */
static void release_parked(struct worker *w)
{
    struct batch *b;
    enum ag_fate fate;

    while ((b = STAILQ_FIRST(&w->parked)) != NULL && (fate = fate_of(w, b)) != AG_FATE_WAITS) {
        STAILQ_REMOVE_HEAD(&w->parked, of_worker);
        ag_grace_enter(w->all->conf.grace, w->number);
        release_batch(w, b->lane, b, fate);
        ag_grace_leave(w->all->conf.grace, w->number);
        lane_release(b->lane);
        b->lane = NULL;
        batch_give(w, b);
    }
}

static void park(struct worker *w, struct lane *lane, struct batch *b)
{
    atomic_fetch_add(&lane->refs, 1);
    b->lane = lane;
    STAILQ_INSERT_TAIL(&w->parked, b, of_worker);
}

void ag_workers_recorded(struct ag_workers *ws)
{
    uint64_t one = 1;

    for (size_t i = 0; i < ws->conf.count; i++) {
        ssize_t n;

        if (!atomic_exchange(&ws->workers[i].waits, false))
            continue;
        do
            n = write(ws->workers[i].record_fd, &one, sizeof one);
        while (n < 0 && errno == EINTR);
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

/* ---- serving */

/* One packet off the lane. False: `b` is not used any more. */
static bool serve_lane(struct worker *w, struct lane *lane, struct batch *b)
{
    enum ag_fate fate;
    ssize_t n;

    do
        n = recv(lane->fd, b->jobs, sizeof b->jobs, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS))
        return false; /* another worker had it */
    if (n <= 0) {
        lane_fail(w->all, lane, n == 0 ? AG_LOG_INFO : AG_LOG_WARN,
                  n == 0 ? "the front closed it" : "it cannot be read");
        return false;
    }
    b->count = (size_t)n / sizeof b->jobs[0];
    if ((size_t)n % sizeof b->jobs[0] != 0 || b->count > AG_SIGNWIRE_BATCH) {
        lane_fail(w->all, lane, AG_LOG_WARN, "a packet was malformed");
        return false;
    }
    sign(w, b);
    fate = fate_of(w, b);
    if (fate == AG_FATE_WAITS) {
        park(w, lane, b);
        return true;
    }
    release_batch(w, lane, b, fate);
    return false;
}

static void serve_event(struct worker *w, uint64_t data, struct batch *b)
{
    struct ag_grace *g = w->all->conf.grace;
    uint32_t number = (uint32_t)(data & 0xff);
    struct lane *lane;
    bool parked = false;

    ag_grace_enter(g, w->number);
    lane = number < AG_LANES_MAX ? atomic_load(&w->all->lanes[number]) : NULL;
    if (lane != NULL && lane_event(lane) == data) {
        atomic_fetch_add(&lane->refs,
                         1); /* serving may leave the section, and the lane be taken out */
        if (!atomic_load(&lane->dead))
            parked = serve_lane(w, lane, b);
        if (atomic_load(&lane->dead)) /* or it would wake us until the loop has taken it out */
            (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, lane->fd, NULL);
        lane_release(lane);
    }
    ag_grace_leave(g, w->number);
    if (!parked)
        batch_give(w, b);
}

/* ---- threads */

/* So many batches wait for the disk that no other can be taken: waits with them. */
static struct batch *need_batch(struct worker *w)
{
    struct batch *b;

    while ((b = batch_take(w)) == NULL && !atomic_load(&w->all->stopping)) {
        struct pollfd p = {.fd = w->record_fd, .events = POLLIN};

        atomic_store(&w->waits, true);
        if (fate_of(w, STAILQ_FIRST(&w->parked)) == AG_FATE_WAITS)
            (void)poll(&p, 1, FULL_STEP_MS);
        clear_event(w->record_fd);
        release_parked(w);
    }
    return b;
}

static void on_event(struct worker *w, uint64_t data, bool *draining)
{
    struct batch *b;

    if (data == RECORD_EVENT) {
        clear_event(w->record_fd);
    } else if (data == END_EVENT) {
        *draining = true;
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->all->end_fd, NULL);
    } else if ((b = need_batch(w)) != NULL) {
        serve_event(w, data, b);
    }
    release_parked(w);
}

/* How long to sleep; asks to be told of the record where that is waited for. */
static int sleep_ms(struct worker *w, bool draining)
{
    if (!STAILQ_EMPTY(&w->parked)) {
        atomic_store(&w->waits, true);
        release_parked(w); /* of those whose fate came before it was asked for */
    }
    if (!draining)
        return -1;
    return STAILQ_EMPTY(&w->parked) ? 0 : FULL_STEP_MS;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct ag_workers *ws = w->all;
    struct epoll_event events[EVENTS_AT_ONCE];
    bool draining = false;

    while (!atomic_load(&ws->stopping)) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS_AT_ONCE, sleep_ms(w, draining));

        if (n < 0 && errno != EINTR) {
            ag_log(AG_LOG_ERROR, "keeper.epoll", AG_F_INT("errno", errno));
            break;
        }
        for (int i = 0; i < n && !atomic_load(&ws->stopping); i++)
            on_event(w, events[i].data.u64, &draining);
        if (draining && ((n == 0 && STAILQ_EMPTY(&w->parked)) ||
                         ag_clock_mono_ms() >= atomic_load(&ws->drain_until_ms)))
            break;
    }
    atomic_fetch_sub(&ws->alive, 1);
    ag_grace_wake(ws->conf.grace);
    return NULL;
}

static enum antag_err worker_start(struct ag_workers *ws, size_t number)
{
    struct worker *w = &ws->workers[number];
    struct epoll_event end = {.events = EPOLLIN, .data.u64 = END_EVENT};
    struct epoll_event recorded = {.events = EPOLLIN, .data.u64 = RECORD_EVENT};
    int e;

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, ws->end_fd, &end) != 0 ||
        epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, w->record_fd, &recorded) != 0) {
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
    STAILQ_INIT(&w->parked);
    STAILQ_INIT(&w->free);
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->record_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return w->epoll_fd >= 0 && w->record_fd >= 0 ? ANTAG_OK : ANTAG_ERR_IO;
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
    ws->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ws->end_fd < 0)
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

static void batches_free(struct batches *list)
{
    struct batch *b;

    while ((b = STAILQ_FIRST(list)) != NULL) {
        STAILQ_REMOVE_HEAD(list, of_worker);
        if (b->lane != NULL)
            lane_release(b->lane);
        ag_secret_wipe(b, sizeof *b);
        free(b);
    }
}

static void worker_fini(struct worker *w)
{
    batches_free(&w->parked);
    batches_free(&w->free);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    if (w->record_fd >= 0)
        close(w->record_fd);
}

void ag_workers_free(struct ag_workers *ws)
{
    if (ws == NULL)
        return;
    for (size_t i = 0; i < ws->conf.count; i++)
        worker_fini(&ws->workers[i]);
    for (size_t i = 0; i < AG_LANES_MAX; i++) {
        struct lane *lane = atomic_load(&ws->lanes[i]);

        if (lane != NULL)
            lane_release(lane);
    }
    if (ws->end_fd >= 0)
        close(ws->end_fd);
    free(ws);
}
