/* chan: messages between two roles over a SOCK_SEQPACKET pair, on a libuv loop. One packet is one
 * message of proto/message.h (no length prefix), with up to AG_CHAN_FDS descriptors.
 *
 * A channel is made on the loop's thread and its callbacks run there. Sending, and calls that wait, are
 * allowed from any thread. When the other end is gone every request in flight ends with RETRY, once,
 * and on_closed runs once; a channel is never reused. The bytes of a packet come from another role:
 * they are checked like a client's, and a malformed one closes the channel. */
#ifndef AG_LIB_CHAN_H
#define AG_LIB_CHAN_H

#include <uv.h>

#include "agent/lib/secret.h"
#include "antag/status.h"
#include "antag/types.h"
#include "proto/message.h"

#define AG_CHAN_PACKET_MAX (128 * 1024) /* bytes; a seqpacket holds at most 212,960 by default */
#define AG_CHAN_FDS        3

struct ag_chan;

struct ag_fds {
    size_t count;
    int fd[AG_CHAN_FDS]; /* -1: taken; what is left is closed after the callback */
};
int ag_fds_take(struct ag_fds *fds, size_t i); /* -1 when there is none */

struct ag_chan_ops {
    /* A request or an event. `m` and `fds` are valid during the call. A request must be answered, now
     * or later, by ag_chan_answer or ag_chan_refuse with m->id. */
    void (*on_message)(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx);
    /* A secret sent by ag_chan_send_secret; ownership goes to the callback. NULL: secrets are refused
     * and the channel has an ordinary receive buffer. */
    void (*on_secret)(struct ag_chan *c, const char *label, struct ag_secret *secret, void *ctx);
    /* The other end is gone, or what it sent was malformed. The channel is still to be closed. */
    void (*on_closed)(struct ag_chan *c, void *ctx);
};

/* Takes `fd` (closed on error too). `name` for logs, copied. */
ANTAG_MUST_CHECK enum antag_err ag_chan_open(uv_loop_t *loop, int fd, const char *name,
                                             const struct ag_chan_ops *ops, void *ctx,
                                             struct ag_chan **out);
/* Ends all requests in flight with RETRY, closes the descriptor, frees when the last user is gone.
 * Loop thread only; NULL accepted. on_closed does not run. */
void ag_chan_close(struct ag_chan *c);
/* Keeps the memory of `c` for use from another thread while it may be closed. */
struct ag_chan *ag_chan_hold(struct ag_chan *c);
void ag_chan_release(struct ag_chan *c);
bool ag_chan_is_open(struct ag_chan *c);

/* Ids for requests of this side. */
uint32_t ag_chan_next_id(struct ag_chan *c);
/* Send one message written by `w` (any thread); descriptors are duplicated by the kernel and stay the
 * caller's. Does not block: what the kernel does not take at once is queued (bounded).
 * errors: RETRY (closed), BUSY (queue full), FRAME_TOO_LARGE, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_chan_send(struct ag_chan *c, struct antag_writer *w,
                                             const int *fds, size_t fd_count);
ANTAG_MUST_CHECK enum antag_err ag_chan_send_secret(struct ag_chan *c, const char *label,
                                                    const struct ag_secret *secret);
/* Answer a request: an empty map, or a failure. */
void ag_chan_answer_ok(struct ag_chan *c, uint32_t id);
void ag_chan_refuse(struct ag_chan *c, uint32_t id, const struct antag_fault *fault);

/* what a request came to */
struct ag_reply {
    struct antag_fault fault;     /* fault.err is ANTAG_OK when it did not fail */
    const msgpack_object *result; /* NULL when it failed */
    struct ag_fds fds;
    uint8_t *bytes_; /* owned: the packet; the rest is private too */
    struct antag_decoder decoder_;
    struct antag_message message_;
    bool decoded_;
};
void ag_reply_fini(struct ag_reply *r); /* closes what was not taken; NULL accepted */

typedef void ag_chan_on_reply(struct ag_reply *r, void *ctx); /* `r` is valid during the call */
/* Send a request (written with an id of ag_chan_next_id) and be called back on the loop's thread exactly
 * once: the answer, or TIMEOUT, or RETRY. Loop thread only. When sending fails the callback runs before
 * this returns. */
void ag_chan_ask(struct ag_chan *c, uint32_t id, struct antag_writer *w, const int *fds,
                 size_t fd_count, int64_t timeout_ms, ag_chan_on_reply *cb, void *ctx);
/* The same, waiting; from any thread but the loop's. `out` must be finished in every case.
 * Returns out->fault.err. */
ANTAG_MUST_CHECK enum antag_err ag_chan_call(struct ag_chan *c, uint32_t id, struct antag_writer *w,
                                             const int *fds, size_t fd_count, int64_t timeout_ms,
                                             struct ag_reply *out);

#endif
