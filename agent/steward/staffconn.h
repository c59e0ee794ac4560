/* staffconn: one connection to staff.sock, between its bytes and whole frames. Inside of staffsock. */
#ifndef AG_STEWARD_STAFFCONN_H
#define AG_STEWARD_STAFFCONN_H

#include <uv.h>

#include "agent/steward/ops.h"

#define AG_STAFF_FRAME_MAX (256 * 1024) /* a grant with all its globs has 34 KiB */

enum ag_conn_read {
    AG_CONN_MORE,  /* nothing more yet */
    AG_CONN_FRAME, /* a whole frame is in `body` */
    AG_CONN_END,   /* the other end is gone, or has shut down its side */
    AG_CONN_BAD,   /* `fault` says why; the connection ends after it is told */
};

struct ag_staffconn {
    struct ag_staffconn *next, *prev; /* oldest first */
    struct ag_staffsock *sock;
    uv_poll_t poll;
    int fd;
    uint32_t uid;
    bool spoke;  /* has sent a whole frame */
    bool ending; /* to be closed when `out` is written */
    bool closed; /* its handle is being closed */
    int64_t opened_at_ms, written_at_ms;
    struct ag_task *task; /* in work */
    /* the frame that is being read */
    uint8_t head[ANTAG_FRAME_HEAD];
    size_t head_len;
    uint8_t *body;
    size_t body_len, body_got;
    int files[AG_OP_FILES_MAX + 1];
    size_t file_count;
    /* the answer that is being written */
    uint8_t *out;
    size_t out_len, out_sent;
};

/* Read on until one of the four. The caller takes body and files after FRAME, with _take. */
enum ag_conn_read ag_staffconn_read(struct ag_staffconn *c, struct antag_fault *fault);
/* Body (malloc'ed) and files go to the caller; ready for the next frame. */
void ag_staffconn_take(struct ag_staffconn *c, uint8_t **body, size_t *len, int *files,
                       size_t *file_count);
/* Queue one answer; there must be none. errors: NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_staffconn_put(struct ag_staffconn *c,
                                                 struct antag_slice message);
/* Write on. False: the other end is gone. */
bool ag_staffconn_write(struct ag_staffconn *c);
void ag_staffconn_fini(struct ag_staffconn *c); /* buffers and files; not the descriptor */

#endif
