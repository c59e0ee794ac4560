/* worker, inside: lanes.c takes packets off lanes, serve.c signs and answers, worker.c has the threads. */
#ifndef AG_KEEPER_WORKER_INTERNAL_H
#define AG_KEEPER_WORKER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "agent/keeper/queue.h"
#include "agent/keeper/worker.h"
#include "agent/lib/log.h"

#define FULL_STEP_MS 10

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
    bool kept;              /* what waits is not for this worker now (queue.h) */
    bool let_in;            /* the last one was not of those */
    struct ag_works parked; /* signed, and wait for their lines */
    size_t parked_count;
    struct ag_works out; /* signed, and not sent yet */
    size_t out_count;
    uint64_t took_us; /* by the last signature */
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

/* ---- lanes.c */
void ag_lane_release(struct lane *lane);
/* The lane is of no use any more. Shut down now, so that the front's jobs end with RETRY at once;
 * the loop takes it out of the table. */
void ag_lane_fail(struct ag_workers *ws, struct lane *lane, enum ag_log_level level,
                  const char *why);
void ag_worker_on_lane(struct worker *w, uint64_t event); /* one packet into the queue */

/* ---- serve.c */
/* A job is over, answered or not. */
void ag_work_done(struct ag_queue *q, struct ag_work *work);
void ag_worker_serve_next(struct worker *w);     /* the next job, if any */
void ag_worker_send_out(struct worker *w);       /* what is signed leaves, one packet a lane */
void ag_worker_release_parked(struct worker *w); /* those whose fate is known leave */
bool ag_worker_has_room(const struct worker *w); /* for one more that waits for the record */
enum ag_fate ag_work_fate(const struct worker *w, const struct ag_work *work);

/* ---- worker.c */
void ag_workers_wake_one(struct ag_workers *ws); /* that sleeps, for work that waits */

#endif
