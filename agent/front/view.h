/* view: all that a worker decides by, in one immutable piece: snapshot, state of the agent and
 * configuration. A change of any of them makes a new view; swapping it is one pointer in each worker.
 * Made and freed on the main thread; held by workers and by jobs, whose last release wakes the main
 * thread to free it. */
#ifndef AG_FRONT_VIEW_H
#define AG_FRONT_VIEW_H

#include <stdatomic.h>

#include "agent/front/snapshot.h"
#include "agent/lib/conf.h"
#include "agent/lib/role.h"
#include "agent/lib/secret.h"

struct ag_view {
    atomic_uint refs;
    uint64_t seq;              /* 1, 2, 3 … in this process */
    struct ag_snapshot *snap;  /* NULL: none has been committed yet */
    enum ag_agent_state state; /* as the steward or the start event said */
    char reason[256];          /* why it is not ready; "": not known */
    struct ag_conf conf;
    struct ag_secret *token_key; /* opens merchants' tokens; NULL: not there */
    int main_wake;               /* eventfd of the main thread */
    struct ag_view *next;        /* main thread's list */
};

/* Wakes the main thread. An eventfd, because it outlives the loop. Any thread. */
void ag_front_wake(int eventfd);

/* main thread */
struct ag_view *ag_view_new(
    uint64_t seq, struct ag_snapshot *snap, const struct ag_conf *conf,
    const struct ag_secret *token_key,
    int main_wake); /* holds snap, copies the key (NULL: none); one reference; NULL: no memory */
void ag_view_free(struct ag_view *v); /* whatever its references */

/* any thread */
struct ag_view *ag_view_hold(struct ag_view *v);
void ag_view_release(struct ag_view *v); /* NULL accepted */
/* What callers are told: unlocked without a snapshot is still starting. */
enum ag_agent_state ag_view_state(const struct ag_view *v);
/* Text of why the agent does not work: the reason, with the remedy. For LOCKED, NOT_READY and REGISTRY. */
enum antag_err ag_view_refuse(const struct ag_view *v, struct antag_fault *fault);

#endif
