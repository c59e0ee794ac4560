/* job: a signature that is being made: from the plan of a request to the answer of a keeper. It belongs
 * to the worker that took the request, and ends exactly once. */
#ifndef AG_FRONT_JOB_H
#define AG_FRONT_JOB_H

#include <sys/queue.h>

#include "agent/front/sign.h"
#include "agent/front/view.h"
#include "agent/lib/turns.h"

struct ag_conn;
struct ag_lane;
struct ag_uid;

struct ag_job {
    TAILQ_ENTRY(ag_job) of_conn, of_lane;
    struct ag_conn *conn; /* NULL: its connection has gone, and nobody waits for the answer */
    struct ag_uid *uid;   /* of its caller, also when its connection has gone */
    uint32_t id;          /* of the request */
    size_t bytes;         /* of its frame, counted against the limits */
    struct ag_view *view; /* held: what the plan borrows from */
    struct ag_sign_plan plan;
    uint64_t seq;        /* of its line in the record, once it is signed */
    int64_t deadline_at; /* loop's ms; no signature by then: DEADLINE. INT64_MAX: none */

    /* the lane's business */
    struct ag_lane *lane;
    struct ag_turn_item turn;
    int64_t lane_until; /* loop's ms; no lane by then: BACKEND. INT64_MAX: there is one */
    uint32_t slot, generation;
    bool sent;
};
TAILQ_HEAD(ag_jobs, ag_job);

#endif
