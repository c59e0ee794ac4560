/* conn: one connection of agent.sock: frames in, answers out, and its limits. Worker's thread only. */
#ifndef AG_FRONT_CONN_H
#define AG_FRONT_CONN_H

#include <uv.h>

#include "agent/front/job.h"
#include "agent/front/worker.h"

#define AG_CONN_PEEK       16           /* bytes that hold the id of a request that is dropped */
#define AG_CONN_FLUSH_AT   (64 * 1024)  /* answers gathered in one write */
#define AG_CONN_UNREAD_MAX (256 * 1024) /* unread answers; from here on nothing more is read */
#define AG_CONN_LINGER_MAX (4 * 1024 * 1024) /* bytes thrown away behind a refusal that ends it */
#define AG_BUSY_RETRY_MS   50

/* a frame that has not arrived whole */
struct ag_frame_in {
    uint8_t head[ANTAG_FRAME_HEAD];
    uint8_t head_have;
    bool dropping;     /* no room: the rest is skipped and the request answered with BUSY */
    size_t need, have; /* bytes behind the head */
    uint8_t *buf;      /* NULL until bytes must be kept */
    size_t cap;
    uint8_t peek[AG_CONN_PEEK];
};

/* what the kernel has not taken, on its way */
struct ag_sending;

enum ag_conn_phase {
    AG_CONN_OPEN,
    AG_CONN_ENDING,    /* nothing more is read; what is in flight is answered */
    AG_CONN_LINGERING, /* our half is shut; input is thrown away until the peer ends or time is over */
    AG_CONN_CLOSING, /* the loop closes it */
};

struct ag_conn {
    uv_pipe_t pipe;
    struct ag_worker *worker;
    TAILQ_ENTRY(ag_conn) all, due, dirty;
    struct ag_uid *uid;
    struct ag_caller caller;
    enum ag_conn_phase phase;
    bool greeted; /* a first frame has come */
    bool in_due, in_dirty;
    bool linger; /* at the end: a refusal is on its way, do not lose it to a reset */
    bool peer_done;
    bool paused;           /* too many unread answers */
    bool watching, lagged; /* watch.c: it is told what changes; it has missed some */
    int64_t due_at;
    struct ag_frame_in in;
    uint8_t *held; /* input that waits while it is paused */
    size_t held_len, held_at;
    uint8_t *out; /* answers that have not been written */
    size_t out_len, out_cap;
    struct ag_sending *sending;
    size_t lingered;
    struct ag_jobs jobs;
    size_t job_count;
    size_t bytes; /* counted against bytes_per_connection */
};

/* Take an accepted descriptor. When it cannot be taken it is closed, and `uid` counted down. */
void ag_conn_open(struct ag_worker *w, int fd, const struct ag_caller *caller, struct ag_uid *uid);
/* All connections of the worker: write answers (true: requests that were held back have been taken
 * then, so pump), end after what is in flight, close at once. */
bool ag_conns_flush(struct ag_worker *w);
void ag_conns_drain(struct ag_worker *w);
void ag_conns_close(struct ag_worker *w);

/* Add the message that stands in the worker's writer to the answers. */
void ag_conn_answer(struct ag_conn *c);
/* Answer with a failure; has_id false: nil as id. */
void ag_conn_refuse(struct ag_conn *c, bool has_id, uint32_t id, const struct antag_fault *fault);
/* Read nothing more; close when what is in flight has been answered. */
void ag_conn_end(struct ag_conn *c);

/* Make `job` the job of this connection for the request `id`, whose frame has `bytes`, and count it.
 * errors: BUSY naming the limit, with retry_after_ms; the job is then not attached. */
ANTAG_MUST_CHECK enum antag_err ag_conn_attach(struct ag_conn *c, struct ag_job *job, uint32_t id,
                                               size_t bytes, struct antag_fault *fault);
/* The job has ended; its connection may be gone. */
void ag_conn_detach(struct ag_worker *w, struct ag_job *job);
size_t ag_conn_unread(const struct ag_conn *c); /* bytes that the peer has not taken */
bool ag_conn_has_job(const struct ag_conn *c, uint32_t id);
/* Jobs of this connection shall complete into nothing. */
void ag_conn_forget_jobs(struct ag_conn *c);

#endif
