/* keeperlink: a worker's lanes to the keepers, one a keyring. Jobs wait here, callers in turn (lib/turns.h),
 * until the keeper has room, go out a few a packet, and end here: with the keeper's answer, with RETRY when the lane
 * ended under them, with BACKEND when there was no lane for AG_LANE_WAIT_MS, with DEADLINE.
 * What a keeper sends is checked: a tag that is not in flight on this lane is dropped. One thread. */
#ifndef AG_FRONT_KEEPERLINK_H
#define AG_FRONT_KEEPERLINK_H

#include <uv.h>

#include "agent/front/job.h"

#define AG_LANE_WAIT_MS 2000
#define AG_LANE_PACKET_JOBS                                                                        \
    4 /* few, so that as many of the keeper's threads wake up as have work */
#define AG_LANE_JOBS_A_THREAD 4 /* in flight for each keeper thread; the rest waits here */

struct ag_links;

/* A job ended: `sig` is the raw signature when fault->err is OK, else empty. The job is no longer on
 * any lane; the callback ends it with ag_links_discard(). It must not call back into links otherwise. */
typedef void ag_job_on_done(struct ag_job *job, const struct antag_fault *fault,
                            struct antag_slice sig, void *ctx);

/* After a turn in which jobs ended or a lane took more: time to pump and to write answers. */
typedef void ag_links_on_settled(void *ctx);

struct ag_links *ag_links_new(uv_loop_t *loop, ag_job_on_done *on_done,
                              ag_links_on_settled *on_settled, void *ctx); /* NULL: no memory */
/* All jobs end with RETRY, all lanes are closed; frees when the loop has run its close callbacks. */
void ag_links_close(struct ag_links *links); /* NULL accepted */

/* A fresh pair to the keeper of `keyring`; takes `fd`. Jobs on the old one end with RETRY. */
void ag_links_join(struct ag_links *links, const char *keyring, int fd);
/* How long the work that is here will take, by what signatures took of late: what a caller who is refused
 * for want of room is told. 0: not known. */
int64_t ag_links_wait_ms(struct ag_links *links);
bool ag_links_are_busy(const struct ag_links *links); /* a job waits, or is in flight */
bool ag_links_is_up(struct ag_links *links, const char *keyring);

/* An empty job. NULL: out of memory. Ended by discard, or handed over by submit. */
struct ag_job *ag_links_job(struct ag_links *links);
void ag_links_discard(struct ag_links *links, struct ag_job *job);
/* Put a job whose plan, view and deadline are filled into the queue of its keyring. The callback may
 * run before this returns. */
void ag_links_submit(struct ag_links *links, struct ag_job *job);
/* Send what waits and has room. idle_only: only to keepers that have less than a job a thread, so that
 * a sleeper is woken at once while for the others more jobs can gather. */
void ag_links_pump(struct ag_links *links, bool idle_only);

#endif
