/* chan_internal: what chan.c (life, sending, receiving) and chan_ask.c (requests of ours and their answers)
 * share. Nobody else includes it. */
#ifndef AG_LIB_CHAN_INTERNAL_H
#define AG_LIB_CHAN_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "agent/lib/chan.h"

/* a request of ours that waits for its answer */
struct waiter {
    struct waiter *next;
    uint32_t id;
    int64_t due_ms;       /* monotonic; only for ask */
    ag_chan_on_reply *cb; /* ask */
    void *ctx;
    struct ag_reply *out; /* call */
    bool done;
};

/* a packet that waits until the kernel takes it */
struct packet {
    struct packet *next;
    size_t len;
    size_t fd_count;
    int fds[AG_CHAN_FDS];
    uint8_t bytes[];
};

struct ag_chan {
    uv_loop_t *loop;
    uv_poll_t poll;
    uv_async_t wake;  /* another thread queued a packet */
    uv_timer_t timer; /* the earliest due_ms */
    unsigned handles; /* not yet closed */
    atomic_uint holds;
    int fd;
    char name[64];
    const struct ag_chan_ops *ops;
    void *ctx;
    struct antag_decoder decoder;
    struct ag_secret *secret_buf; /* receive buffer of a channel that carries secrets */
    uint8_t *buf;
    bool told_closed;

    pthread_mutex_t lock; /* everything below */
    pthread_cond_t answered;
    bool open;
    uint32_t next_id;
    struct waiter *waiters;
    struct packet *queue, **queue_end;
    size_t queue_len;
};

void ag_fds_close(struct ag_fds *fds);
/* End every request of ours with RETRY. Loop thread, without the lock. */
void ag_chan_fail_waiters(struct ag_chan *c);
/* An answer has come: hand it to the one who waits for `id`. Loop thread, without the lock. */
void ag_chan_take_answer(struct ag_chan *c, struct antag_slice bytes, uint32_t id,
                         struct ag_fds *fds);

#endif
