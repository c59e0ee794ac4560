#include "agent/keeper/worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define EVENTS_AT_ONCE 8
#define END_EVENT      UINT64_MAX /* epoll data of the descriptor that ends the threads */
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

/* one packet of jobs and its answer */
struct batch {
    size_t count;
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH + 1]; /* one more shows that a packet is too long */
    struct ag_sign_done dones[AG_SIGNWIRE_BATCH];
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

static void sign(struct worker *w, struct batch *b)
{
    struct ag_workers *ws = w->all;
    struct ag_backend_job jobs[AG_SIGNWIRE_BATCH];
    struct ag_sign_done *of[AG_SIGNWIRE_BATCH];
    bool loading = atomic_load(&ws->loading);
    size_t count = 0;

    for (size_t i = 0; i < b->count; i++) {
        struct ag_sign_done *done = &b->dones[i];
        struct ag_held *held = NULL;

        memset(done, 0, sizeof *done);
        done->version = AG_SIGNWIRE_VERSION;
        done->tag = b->jobs[i].tag;
        done->err = (uint32_t)ag_keytable_check(ws->conf.keys, loading, &b->jobs[i], &held);
        if (done->err != ANTAG_OK)
            continue;
        jobs[count] = (struct ag_backend_job){
            .key = held->key, .digest = b->jobs[i].digest, .sig = done->sig};
        of[count++] = done;
    }
    if (count > 0)
        ws->conf.backend->ops->sign(ws->conf.backend, w->number, jobs, count);
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].err != ANTAG_OK || jobs[i].sig_len > ANTAG_SIG_MAX)
            refuse(of[i], jobs[i].err != ANTAG_OK ? jobs[i].err : ANTAG_ERR_INTERNAL);
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
            refuse(&b->dones[i], err);
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

/* One packet off the lane. */
static void serve_lane(struct worker *w, struct lane *lane, struct batch *b)
{
    ssize_t n;

    do
        n = recv(lane->fd, b->jobs, sizeof b->jobs, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS))
        return; /* another worker had it */
    if (n <= 0) {
        lane_fail(w->all, lane, n == 0 ? AG_LOG_INFO : AG_LOG_WARN,
                  n == 0 ? "the front closed it" : "it cannot be read");
        return;
    }
    b->count = (size_t)n / sizeof b->jobs[0];
    if ((size_t)n % sizeof b->jobs[0] != 0 || b->count > AG_SIGNWIRE_BATCH) {
        lane_fail(w->all, lane, AG_LOG_WARN, "a packet was malformed");
        return;
    }
    sign(w, b);
    send_batch(w, lane, b);
}

static void serve_event(struct worker *w, uint64_t data, struct batch *b)
{
    struct ag_grace *g = w->all->conf.grace;
    uint32_t number = (uint32_t)(data & 0xff);
    struct lane *lane;

    if (number >= AG_LANES_MAX)
        return;
    ag_grace_enter(g, w->number);
    lane = atomic_load(&w->all->lanes[number]);
    if (lane != NULL && lane_event(lane) == data) {
        atomic_fetch_add(&lane->refs,
                         1); /* serving may leave the section, and the lane be taken out */
        if (!atomic_load(&lane->dead))
            serve_lane(w, lane, b);
        if (atomic_load(&lane->dead)) /* or it would wake us until the loop has taken it out */
            (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, lane->fd, NULL);
        lane_release(lane);
    }
    ag_grace_leave(g, w->number);
}

/* ---- threads */

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct ag_workers *ws = w->all;
    struct epoll_event events[EVENTS_AT_ONCE];
    struct batch batch;
    bool draining = false;

    while (!atomic_load(&ws->stopping)) {
        int n = epoll_wait(w->epoll_fd, events, EVENTS_AT_ONCE, draining ? 0 : -1);

        if (n < 0 && errno != EINTR) {
            ag_log(AG_LOG_ERROR, "keeper.epoll", AG_F_INT("errno", errno));
            break;
        }
        for (int i = 0; i < n && !atomic_load(&ws->stopping); i++) {
            if (events[i].data.u64 != END_EVENT) {
                serve_event(w, events[i].data.u64, &batch);
                continue;
            }
            draining = true;
            (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, ws->end_fd, NULL);
        }
        if (draining && (n == 0 || ag_clock_mono_ms() >= atomic_load(&ws->drain_until_ms)))
            break;
    }
    ag_secret_wipe(&batch, sizeof batch);
    atomic_fetch_sub(&ws->alive, 1);
    ag_grace_wake(ws->conf.grace);
    return NULL;
}

static enum antag_err worker_start(struct ag_workers *ws, size_t number)
{
    struct worker *w = &ws->workers[number];
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = END_EVENT};
    int e;

    w->all = ws;
    w->number = number;
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, ws->end_fd, &ev) != 0) {
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
        ws->workers[i].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (ws->workers[i].epoll_fd < 0)
            err = ANTAG_ERR_IO;
    }
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (size_t i = 0; i < conf->count && err == ANTAG_OK; i++)
        err = worker_start(ws, i);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != ANTAG_OK)
        ag_workers_stop(ws);
    else
        *out = ws;
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
    for (size_t i = 0; i < AG_LANES_MAX; i++) {
        struct lane *lane = atomic_load(&ws->lanes[i]);

        if (lane != NULL)
            lane_release(lane);
    }
    for (size_t i = 0; i < ws->conf.count; i++)
        if (ws->workers[i].epoll_fd >= 0)
            close(ws->workers[i].epoll_fd);
    if (ws->end_fd >= 0)
        close(ws->end_fd);
    free(ws);
}
