/* staffsock: staff.sock: connections, frames, memory files. Loop thread.
 *
 * Frames of proto/frame.h, one request in flight per connection: a pipelined one is not read before the
 * answer is out. Memory files come with the first byte of the frame they belong to. What is malformed
 * ends its connection and nothing else. */
#ifndef AG_STEWARD_STAFFSOCK_H
#define AG_STEWARD_STAFFSOCK_H

#include "agent/steward/steward.h"

/* Takes `listen_fd`. errors: IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_staffsock_start(struct ag_steward *st, int listen_fd);
void ag_staffsock_refuse_new(struct ag_steward *st); /* stops accepting; connections go on */
void ag_staffsock_stop(struct ag_steward *st); /* closes all; the loop must run on to free it */

struct ag_task;
void ag_staffsock_answer(struct ag_task *task, void *st); /* ag_pool_done_fn */

#endif
