#include "agent/keeper/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/keeper/worker_internal.h"
#include "agent/lib/clock.h"

#define EVENTS_AT_ONCE 8
#define END_EVENT      UINT64_MAX       /* epoll data of the descriptor that ends the threads */
#define WAKE_EVENT     (UINT64_MAX - 1) /* and of the one that tells of the record and of work */
#define KEPT_STEP_MS   1                /* looks again, where a place was kept for another caller */

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
void ag_workers_wake_one(struct ag_workers *ws)
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

/* ---- threads */

static void on_event(struct worker *w, uint64_t data, bool *draining)
{
    if (data == WAKE_EVENT) {
        clear_event(w->wake_fd);
    } else if (data == END_EVENT) {
        *draining = true;
        (void)epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, w->all->end_fd, NULL);
    } else if (ag_queue_count(w->all->queue) < AG_QUEUE_MAX) {
        ag_worker_on_lane(w, data);
    }
}

/* So much waits for the disk that nothing can be taken: waits with it, and for nothing else, as lanes that cannot
 * be read either would not let it sleep. */
static void wait_for_record(struct worker *w)
{
    struct pollfd p = {.fd = w->wake_fd, .events = POLLIN};

    atomic_store(&w->waits, true);
    if (ag_work_fate(w, STAILQ_FIRST(&w->parked)) == AG_FATE_WAITS)
        (void)poll(&p, 1, FULL_STEP_MS);
    clear_event(w->wake_fd);
}

static bool may_take(const struct worker *w)
{
    return ag_queue_count(w->all->queue) > 0 && ag_worker_has_room(w);
}

/* 0 while there is work that can be done. Who is to sleep asks first to be told, then looks once more. */
static int sleep_ms(struct worker *w, bool draining)
{
    if (!STAILQ_EMPTY(&w->own) || (may_take(w) && !w->kept))
        return 0;
    ag_worker_send_out(w); /* nothing follows that could go with it */
    if (!STAILQ_EMPTY(&w->parked)) {
        atomic_store(&w->waits, true);
        ag_worker_release_parked(w); /* of those whose fate came before it was asked for */
    }
    atomic_store(&w->sleeps, true);
    if (may_take(w))
        return w->kept ? KEPT_STEP_MS : 0;
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
        ag_worker_release_parked(w);
        if (!ag_worker_has_room(w) && STAILQ_EMPTY(&w->own))
            wait_for_record(w);
        ag_worker_serve_next(w);
        if (draining &&
            ((n == 0 && is_idle(w)) || ag_clock_mono_ms() >= atomic_load(&ws->drain_until_ms)))
            break;
    }
    ag_worker_send_out(w);
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
    ws->queue = ag_queue_new(conf->count);
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
        ag_work_done(q, work);
    }
}

static void free_lane_of(struct ag_work *work)
{
    ag_lane_release(work->lane);
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
            ag_lane_release(lane);
    }
    if (ws->end_fd >= 0)
        close(ws->end_fd);
    free(ws);
}
