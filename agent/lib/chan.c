#include "agent/lib/chan_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define QUEUE_MAX        1024 /* packets that wait for the kernel */
#define PACKETS_PER_WAKE 64   /* then other handles get their turn */
#define SECRET_MARK      0xc1 /* the byte MessagePack never uses */
#define SECRET_LABEL_MAX 63
#define SECRET_MAX       1024

static void on_readable(uv_poll_t *poll, int status, int events);

/* ---- descriptors */

int ag_fds_take(struct ag_fds *fds, size_t i)
{
    int fd;

    if (i >= fds->count)
        return -1;
    fd = fds->fd[i];
    fds->fd[i] = -1;
    return fd;
}

void ag_fds_close(struct ag_fds *fds)
{
    for (size_t i = 0; i < fds->count; i++)
        if (fds->fd[i] >= 0)
            close(fds->fd[i]);
    fds->count = 0;
}

/* ---- life */

static void set_events(struct ag_chan *c)
{
    bool more;

    pthread_mutex_lock(&c->lock);
    more = c->queue != NULL;
    pthread_mutex_unlock(&c->lock);
    uv_poll_start(&c->poll, UV_READABLE | (more ? UV_WRITABLE : 0), on_readable);
}

static void on_wake(uv_async_t *wake)
{
    struct ag_chan *c = wake->data;

    if (ag_chan_is_open(c))
        set_events(c);
}

struct ag_chan *ag_chan_hold(struct ag_chan *c)
{
    atomic_fetch_add(&c->holds, 1);
    return c;
}

static void free_queue(struct ag_chan *c)
{
    while (c->queue != NULL) {
        struct packet *p = c->queue;

        c->queue = p->next;
        for (size_t i = 0; i < p->fd_count; i++)
            close(p->fds[i]);
        free(p);
    }
    c->queue_end = &c->queue;
    c->queue_len = 0;
}

void ag_chan_release(struct ag_chan *c)
{
    if (c == NULL || atomic_fetch_sub(&c->holds, 1) != 1)
        return;
    free_queue(c);
    antag_decoder_fini(&c->decoder);
    if (c->secret_buf != NULL)
        ag_secret_free(c->secret_buf);
    else
        free(c->buf);
    pthread_cond_destroy(&c->answered);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ag_chan *c = handle->data;

    if (--c->handles == 0) {
        close(c->fd);
        ag_chan_release(c);
    }
}

bool ag_chan_is_open(struct ag_chan *c)
{
    bool open;

    pthread_mutex_lock(&c->lock);
    open = c->open;
    pthread_mutex_unlock(&c->lock);
    return open;
}

void ag_chan_close(struct ag_chan *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->open = false;
    pthread_mutex_unlock(&c->lock);
    if (uv_is_closing((uv_handle_t *)&c->poll))
        return;
    ag_chan_hold(c); /* a callback below may be the last user */
    uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    uv_close((uv_handle_t *)&c->wake, on_handle_closed);
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    ag_chan_fail_waiters(c);
    ag_chan_release(c);
}

/* The other end is gone or not to be trusted: end the requests, tell the owner once. */
static void broken(struct ag_chan *c)
{
    pthread_mutex_lock(&c->lock);
    c->open = false;
    pthread_mutex_unlock(&c->lock);
    uv_poll_stop(&c->poll);
    ag_chan_fail_waiters(c);
    if (!c->told_closed) {
        c->told_closed = true;
        if (!uv_is_closing((uv_handle_t *)&c->poll))
            c->ops->on_closed(c, c->ctx);
    }
}

static enum antag_err alloc_buffers(struct ag_chan *c)
{
    if (c->ops->on_secret != NULL) {
        c->secret_buf = ag_secret_new(AG_CHAN_PACKET_MAX);
        c->buf = c->secret_buf == NULL ? NULL : ag_secret_bytes(c->secret_buf);
    } else {
        c->buf = malloc(AG_CHAN_PACKET_MAX);
    }
    return c->buf == NULL ? ANTAG_ERR_NO_MEMORY : ANTAG_OK;
}

/* libuv's init calls only fail for want of memory or descriptors */
static enum antag_err open_handles(struct ag_chan *c)
{
    if (uv_poll_init(c->loop, &c->poll, c->fd) != 0)
        return ANTAG_ERR_IO;
    c->poll.data = c;
    c->handles = 1;
    if (uv_async_init(c->loop, &c->wake, on_wake) != 0) {
        ag_log(AG_LOG_ERROR, "chan.async", AG_F_TEXT("chan", c->name));
        return ANTAG_ERR_IO;
    }
    c->wake.data = c;
    c->handles = 2;
    uv_timer_init(c->loop, &c->timer);
    c->timer.data = c;
    c->handles = 3;
    return ANTAG_OK;
}

/* A condition that counts monotonic time, so that a clock set back does not prolong a wait. */
static void init_condition(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

enum antag_err ag_chan_open(uv_loop_t *loop, int fd, const char *name,
                            const struct ag_chan_ops *ops, void *ctx, struct ag_chan **out)
{
    struct ag_chan *c = calloc(1, sizeof *c);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (c == NULL || antag_decoder_init(&c->decoder) != ANTAG_OK) {
        free(c);
        close(fd);
        return err;
    }
    c->loop = loop;
    c->fd = fd;
    c->ops = ops;
    c->ctx = ctx;
    c->open = true;
    c->queue_end = &c->queue;
    atomic_init(&c->holds, 1);
    snprintf(c->name, sizeof c->name, "%s", name);
    pthread_mutex_init(&c->lock, NULL);
    init_condition(&c->answered);
    if ((err = alloc_buffers(c)) == ANTAG_OK && (err = open_handles(c)) == ANTAG_OK) {
        set_events(c);
        *out = c;
        return ANTAG_OK;
    }
    if (c->handles == 0) {
        close(fd);
        ag_chan_release(c);
    } else {
        c->handles = 1; /* poll is the only one that was made */
        uv_close((uv_handle_t *)&c->poll, on_handle_closed);
    }
    return err;
}

/* ---- sending */

static ssize_t send_packet(int fd, const uint8_t *bytes, size_t len, const int *fds,
                           size_t fd_count)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * AG_CHAN_FDS)];
    } control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd_count > 0) {
        struct cmsghdr *head;

        memset(&control, 0, sizeof control);
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * fd_count);
    }
    for (;;) {
        ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0 || errno != EINTR)
            return n;
    }
}

/* Keep a copy until the kernel takes it. The lock is held. */
static enum antag_err enqueue(struct ag_chan *c, const uint8_t *bytes, size_t len, const int *fds,
                              size_t fd_count)
{
    struct packet *p;

    if (c->queue_len >= QUEUE_MAX)
        return ANTAG_ERR_BUSY;
    p = malloc(sizeof *p + len);
    if (p == NULL)
        return ANTAG_ERR_NO_MEMORY;
    p->next = NULL;
    p->len = len;
    p->fd_count = 0;
    memcpy(p->bytes, bytes, len);
    for (size_t i = 0; i < fd_count; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);

        if (fd < 0) {
            while (p->fd_count > 0)
                close(p->fds[--p->fd_count]);
            free(p);
            return ANTAG_ERR_IO;
        }
        p->fds[p->fd_count++] = fd;
    }
    *c->queue_end = p;
    c->queue_end = &p->next;
    c->queue_len++;
    uv_async_send(&c->wake);
    return ANTAG_OK;
}

static enum antag_err send_bytes(struct ag_chan *c, struct antag_slice bytes, const int *fds,
                                 size_t fd_count, bool may_queue)
{
    enum antag_err err = ANTAG_OK;

    if (bytes.len > AG_CHAN_PACKET_MAX || fd_count > AG_CHAN_FDS)
        return ANTAG_ERR_FRAME_TOO_LARGE;
    pthread_mutex_lock(&c->lock);
    if (!c->open) {
        err = ANTAG_ERR_RETRY;
    } else if (c->queue != NULL) {
        err = may_queue ? enqueue(c, bytes.p, bytes.len, fds, fd_count) : ANTAG_ERR_BUSY;
    } else if (send_packet(c->fd, bytes.p, bytes.len, fds, fd_count) < 0) {
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
            err = may_queue ? enqueue(c, bytes.p, bytes.len, fds, fd_count) : ANTAG_ERR_BUSY;
        else
            err = ANTAG_ERR_RETRY;
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

enum antag_err ag_chan_send(struct ag_chan *c, struct antag_writer *w, const int *fds,
                            size_t fd_count)
{
    struct antag_slice bytes;
    enum antag_err err = antag_writer_end(w, &bytes);

    return err != ANTAG_OK ? err : send_bytes(c, bytes, fds, fd_count, true);
}

enum antag_err ag_chan_send_secret(struct ag_chan *c, const char *label,
                                   const struct ag_secret *secret)
{
    size_t label_len = strlen(label), len = ag_secret_len(secret);
    struct ag_secret *packet;
    enum antag_err err;
    uint8_t *p;

    if (label_len > SECRET_LABEL_MAX || len > SECRET_MAX)
        return ANTAG_ERR_FRAME_TOO_LARGE;
    packet = ag_secret_new(2 + label_len + len);
    if (packet == NULL)
        return ANTAG_ERR_NO_MEMORY;
    p = ag_secret_bytes(packet);
    p[0] = SECRET_MARK;
    p[1] = (uint8_t)label_len;
    memcpy(p + 2, label, label_len);
    memcpy(p + 2 + label_len, ag_secret_slice(secret).p, len);
    /* not queued: a queue is ordinary memory */
    err = send_bytes(c, (struct antag_slice){p, 2 + label_len + len}, NULL, 0, false);
    ag_secret_free(packet);
    return err;
}

static void flush_queue(struct ag_chan *c)
{
    pthread_mutex_lock(&c->lock);
    while (c->queue != NULL) {
        struct packet *p = c->queue;

        if (send_packet(c->fd, p->bytes, p->len, p->fds, p->fd_count) < 0 &&
            (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
            break; /* any other error shows as the end of the channel when it is read */
        c->queue = p->next;
        if (c->queue == NULL)
            c->queue_end = &c->queue;
        c->queue_len--;
        for (size_t i = 0; i < p->fd_count; i++)
            close(p->fds[i]);
        free(p);
    }
    pthread_mutex_unlock(&c->lock);
}

void ag_chan_answer_ok(struct ag_chan *c, uint32_t id)
{
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, 64);
    antag_m_answer(&w, id);
    antag_w_map(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    err = ag_chan_send(c, &w, NULL, 0);
    if (err != ANTAG_OK && err != ANTAG_ERR_RETRY)
        ag_log(AG_LOG_ERROR, "chan.answer", AG_F_TEXT("chan", c->name), AG_F_ERR(err));
    antag_writer_fini(&w);
}

void ag_chan_refuse(struct ag_chan *c, uint32_t id, const struct antag_fault *fault)
{
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, 4096);
    antag_m_failure(&w, true, id, fault);
    err = ag_chan_send(c, &w, NULL, 0);
    if (err != ANTAG_OK && err != ANTAG_ERR_RETRY)
        ag_log(AG_LOG_ERROR, "chan.refuse", AG_F_TEXT("chan", c->name), AG_F_ERR(err));
    antag_writer_fini(&w);
}

/* ---- receiving */

static void receive_secret(struct ag_chan *c, size_t len)
{
    char label[SECRET_LABEL_MAX + 1];
    struct ag_secret *secret;
    size_t label_len = len >= 2 ? c->buf[1] : 0;

    if (c->ops->on_secret == NULL || len < 2 || label_len > SECRET_LABEL_MAX ||
        2 + label_len > len || len - 2 - label_len > SECRET_MAX) {
        ag_log(AG_LOG_ERROR, "chan.secret_refused", AG_F_TEXT("chan", c->name));
        broken(c);
        return;
    }
    memcpy(label, c->buf + 2, label_len);
    label[label_len] = '\0';
    secret = ag_secret_new(SECRET_MAX);
    if (secret == NULL) {
        ag_log(AG_LOG_ERROR, "chan.secret", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
        broken(c);
        return;
    }
    ag_secret_set_len(secret, len - 2 - label_len);
    memcpy(ag_secret_bytes(secret), c->buf + 2 + label_len, len - 2 - label_len);
    ag_secret_wipe(c->buf, len);
    c->ops->on_secret(c, label, secret, c->ctx);
}

static void receive_packet(struct ag_chan *c, size_t len, struct ag_fds *fds)
{
    struct antag_slice bytes = {c->buf, len};
    struct antag_message m;
    struct antag_fault fault;

    if (c->buf[0] == SECRET_MARK) {
        receive_secret(c, len);
        return;
    }
    if (antag_message_parse(&c->decoder, bytes, &m, &fault) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "chan.malformed", AG_F_TEXT("chan", c->name),
               AG_F_TEXT("why", antag_fault_text(&fault)));
        broken(c);
        return;
    }
    if (m.shape == ANTAG_ANSWER)
        ag_chan_take_answer(c, bytes, m.id, fds);
    else
        c->ops->on_message(c, &m, fds, c->ctx);
}

/* The descriptors that came with a packet. False when the kernel had to drop some. */
static bool collect_fds(struct msghdr *msg, struct ag_fds *fds)
{
    fds->count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n && fds->count < AG_CHAN_FDS; i++)
            memcpy(&fds->fd[fds->count++], CMSG_DATA(h) + i * sizeof(int), sizeof(int));
    }
    return (msg->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
}

/* One packet. False when none waits, or the channel ended. */
static bool receive_one(struct ag_chan *c)
{
    struct iovec iov = {.iov_base = c->buf, .iov_len = AG_CHAN_PACKET_MAX};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * AG_CHAN_FDS)];
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    struct ag_fds fds;
    ssize_t n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (n <= 0) {
        broken(c);
        return false;
    }
    if (collect_fds(&msg, &fds)) {
        receive_packet(c, (size_t)n, &fds);
    } else {
        ag_log(AG_LOG_ERROR, "chan.cut_packet", AG_F_TEXT("chan", c->name));
        broken(c);
    }
    ag_fds_close(&fds);
    return ag_chan_is_open(c);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct ag_chan *c = poll->data;

    ag_chan_hold(c);
    if (status == 0 && (events & UV_WRITABLE))
        flush_queue(c);
    for (int i = 0; i < PACKETS_PER_WAKE && receive_one(c); i++)
        continue;
    if (ag_chan_is_open(c))
        set_events(c);
    ag_chan_release(c);
}
