/* worker: the threads of a keeper that sign. They share the lanes to the front's threads: each waits in
 * an epoll set of its own, every lane stands in all of them, and the kernel wakes one sleeper for a packet. What
 * comes goes into one queue (queue.h), from which each takes one job after the other, looking at the lanes in
 * between. A signature's record is begun before its arithmetic; where it is not on the disk by the end of
 * that, the job is parked and the worker goes on with the next. The locks of chain and queue, held for memory work
 * only, are the ones taken here. */
#ifndef AG_KEEPER_WORKER_H
#define AG_KEEPER_WORKER_H

#include "agent/keeper/keytable.h"
#include "agent/lib/chain/chain.h"

#define AG_WORKERS_MAX  64 /* threads */
#define AG_LANES_MAX    64 /* threads of the front */
/* A lane whose front does not take answers for this long is dropped, so that its jobs end with RETRY. */
#define AG_LANE_FULL_MS 1000
#define AG_PARKED_MAX   128 /* jobs of a thread that wait for their record; then it takes no more */
#define AG_QUEUE_MAX                                                                               \
    1024 /* jobs that wait for a thread; then lanes are not read. A packet a thread more. */
#define AG_TAKE_MAX 4 /* jobs whose lines are begun together */
#define AG_OUT_MAX  4 /* answers that leave together */

struct ag_workers;
struct ag_gauge;

/* What signing needs; borrowed, outlives the workers. The grace has at least `count` readers. */
struct ag_workers_conf {
    size_t count; /* threads, 1..AG_WORKERS_MAX */
    struct ag_grace *grace;
    struct ag_keytable *keys;
    struct ag_backend *backend;
    struct ag_chain *chain;
    struct ag_gauge *gauge;
    struct ag_bucket profile_rate; /* of signatures under one key; rate 0: not limited */
};

/* Starts the threads. errors: NO_MEMORY, IO. */
ANTAG_MUST_CHECK enum antag_err ag_workers_start(const struct ag_workers_conf *conf,
                                                 struct ag_workers **out);
/* true: a handle that is not in the table may yet come, so its jobs end with RETRY. At first: true. */
void ag_workers_set_loading(struct ag_workers *ws, bool loading);

/* Loop's thread. Takes `fd`; an older lane of that number ends. errors: BAD_PARAM (number), NO_MEMORY,
 * IO. */
ANTAG_MUST_CHECK enum antag_err ag_workers_add_lane(struct ag_workers *ws, uint32_t number, int fd);
/* Loop's thread, after the grace's wake_fd: closes lanes that workers found ended or malformed. */
void ag_workers_reap_lanes(struct ag_workers *ws);

/* Let the threads finish what lies in the lanes, at most `for_ms`, then end; the grace is woken when the
 * last has. */
void ag_workers_drain(struct ag_workers *ws, int64_t for_ms);
bool ag_workers_are_done(struct ag_workers *ws);
/* Any thread: the fate of lines has changed (the chain's on_change). */
void ag_workers_recorded(struct ag_workers *ws);
/* Ends the threads after their batch and waits for them; what is parked is not released. The chain is not
 * used from here on. NULL accepted. */
void ag_workers_stop(struct ag_workers *ws);
/* Closes the lanes, frees. After ag_workers_stop, and after the last ag_workers_recorded. */
void ag_workers_free(struct ag_workers *ws); /* NULL accepted */

#endif
