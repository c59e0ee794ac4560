/* listen: accepts connections of agent.sock on the main thread, asks the kernel who calls, and counts
 * connections by uid. */
#ifndef AG_FRONT_LISTEN_H
#define AG_FRONT_LISTEN_H

#include <uv.h>

#include "agent/front/worker.h"

struct ag_listener;

/* An accepted connection, counted on `uid`; takes `fd`. */
typedef void ag_on_accept(int fd, const struct ag_caller *caller, struct ag_uid *uid, void *ctx);

/* Takes `fd`, a listening socket; accepts nothing yet: connections wait in the backlog.
 * NULL: out of memory (fd is closed). */
struct ag_listener *ag_listener_new(uv_loop_t *loop, int fd, ag_on_accept *on_accept, void *ctx);
void ag_listener_start(struct ag_listener *l);
void ag_listener_set_limit(struct ag_listener *l, unsigned conns_per_uid);
/* Accept nothing more. The records of uids stay until ag_listener_free. */
void ag_listener_stop(struct ag_listener *l); /* NULL accepted */
/* After the workers have ended; the loop must run once more, or be at its end. */
void ag_listener_free(struct ag_listener *l); /* NULL accepted */

#endif
