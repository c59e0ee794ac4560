/* worker: one event loop on a thread of its own, with the connections and keeper lanes that belong to
 * it. The main thread hands it things by its inbox; nothing on the way of a request takes a lock. */
#ifndef AG_FRONT_WORKER_H
#define AG_FRONT_WORKER_H

#include <stdatomic.h>
#include <sys/queue.h>
#include <uv.h>

#include "agent/front/explain.h"
#include "agent/front/keeperlink.h"
#include "agent/front/verify.h"
#include "agent/front/view.h"
#include "agent/lib/edges/failures.h"
#include "agent/lib/edges/proofs.h"
#include "agent/lib/edges/refusals.h"
#include "proto/message.h"

#define AG_READ_BUF (256 * 1024)

struct ag_conn;
TAILQ_HEAD(ag_conns, ag_conn);

/* what all workers count together; what it wakes */
struct ag_shared {
    int main_wake;          /* eventfd */
    atomic_size_t requests; /* in flight */
    atomic_size_t bytes;    /* of requests in flight, incomplete frames and unread answers */
    uv_mutex_t refused_lock;
    struct ag_refusals refused; /* since the last report (refused.h) */
    uv_mutex_t proved_lock;
    struct ag_proofs proved; /* that the steward is not told yet (proved.h) */
    uv_mutex_t failed_lock;
    struct ag_failures failed; /* likewise (failed.h) */
};

/* what one uid holds; owned by the listener, which keeps it to its end; counted down by the workers */
struct ag_uid {
    uid_t uid;
    atomic_uint conns;
    atomic_size_t requests, bytes; /* as of ag_shared */
};

/* Its members below are for the worker's own thread: conn.c, request.c and health.c work on them. */
#define AG_WORKER_SPARES 64

struct ag_worker {
    struct ag_shared *shared;
    uv_loop_t loop;
    struct ag_view *view; /* held */

    /* connections */
    struct ag_conns conns, due, dirty;
    uv_timer_t due_timer;

    /* tools, one of each for all requests, as they are handled one after the other */
    uint8_t *read_buf; /* AG_READ_BUF */
    struct {
        uint8_t *bytes;
        size_t cap;
    } spare
        [AG_WORKER_SPARES]; /* buffers for answers: a connection has one while it has something to say */
    size_t spare_count;
    struct antag_decoder decoder;
    struct antag_writer writer;
    struct ag_hasher *hasher;
    struct ag_verifier *verifier;
    struct ag_explain_gate explain_gate;
    struct ag_links *links;

    struct ag_inbox *inbox;
    bool draining;

    uint64_t linger_until_ns; /* of a loop that lingers */
    unsigned came;            /* requests read in this turn of the loop */
    unsigned linger_vain, linger_skip;
};

/* Main thread. `view` is held by the worker. NULL: out of memory, or no thread can be had. */
struct ag_worker *ag_worker_start(struct ag_shared *shared, struct ag_view *view);
/* Close everything, join the thread, free. NULL accepted. */
void ag_worker_stop(struct ag_worker *w);

/* Hand over; main thread. conn: takes `fd`, and counts `uid` down when it is closed. */
void ag_worker_give_conn(struct ag_worker *w, int fd, const struct ag_caller *caller,
                         struct ag_uid *uid);
void ag_worker_give_lane(struct ag_worker *w, const char *keyring, int fd); /* takes fd */
void ag_worker_give_view(struct ag_worker *w, struct ag_view *view);        /* cannot fail */
void ag_worker_drain(struct ag_worker *w); /* answer what is in flight, then close */

/* any thread */
uint64_t ag_worker_view_seq(const struct ag_worker *w); /* of the view it works from */
unsigned ag_worker_conn_count(const struct ag_worker *w);
bool ag_worker_is_drained(const struct ag_worker *w);

/* worker's thread */
/* At the end of each callback that made work: jobs to keepers, answers to callers. */
void ag_worker_settle(struct ag_worker *w);
/* A connection's memory is gone. */
void ag_worker_conn_closed(struct ag_worker *w);

#endif
