/* lanes: the pairs to the front's threads: who holds one, how it ends, and what comes over it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/keeper/worker_internal.h"

/* ---- lanes */

void ag_lane_release(struct lane *lane)
{
    if (atomic_fetch_sub(&lane->refs, 1) != 1)
        return;
    close(lane->fd);
    free(lane);
}

static void lane_done(struct ag_grace_item *item)
{
    ag_lane_release((struct lane *)((char *)item - offsetof(struct lane, item)));
}

void ag_lane_fail(struct ag_workers *ws, struct lane *lane, enum ag_log_level level,
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
        ag_work_done(q, work);
    }
    ag_lane_fail(w->all, lane, AG_LOG_ERROR, "out of memory");
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
        ag_lane_fail(w->all, lane, n == 0 ? AG_LOG_INFO : AG_LOG_WARN,
                     n == 0 ? "the front closed it" : "it cannot be read");
        return;
    }
    count = (size_t)n / sizeof w->jobs[0];
    if ((size_t)n % sizeof w->jobs[0] != 0 || count > AG_SIGNWIRE_BATCH) {
        ag_lane_fail(w->all, lane, AG_LOG_WARN, "a packet was malformed");
        return;
    }
    take_jobs(w, lane, count);
}

void ag_worker_on_lane(struct worker *w, uint64_t data)
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
