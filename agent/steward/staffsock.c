#include "agent/steward/staffsock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/staffconn.h"

#define WATCH_MS       500   /* how often deadlines are looked at while there are any */
#define WRITE_STALL_MS 30000 /* an answer that nobody reads */
#define PAUSE_MS       200   /* after accept failed for want of descriptors */

struct ag_staffsock {
    struct ag_steward *st;
    int listen_fd;
    uv_poll_t listener;
    uv_timer_t watch; /* deadlines of silent and of stalled connections */
    uv_timer_t pause;
    bool watching, stopped;
    size_t conn_count;
    struct ag_staffconn *oldest, *newest;
};

static void update(struct ag_staffconn *c);

/* ---- the list */

static void append(struct ag_staffsock *s, struct ag_staffconn *c)
{
    c->prev = s->newest;
    if (s->newest != NULL)
        s->newest->next = c;
    else
        s->oldest = c;
    s->newest = c;
    s->conn_count++;
}

static void detach(struct ag_staffsock *s, struct ag_staffconn *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        s->oldest = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    else
        s->newest = c->prev;
    s->conn_count--;
}

static void on_conn_closed(uv_handle_t *handle)
{
    struct ag_staffconn *c = handle->data;

    close(c->fd);
    ag_staffconn_fini(c);
    free(c);
}

static void conn_close(struct ag_staffconn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    detach(c->sock, c);
    if (c->task != NULL)
        c->task->owner = NULL; /* it goes on; its answer is thrown away */
    c->task = NULL;
    uv_close((uv_handle_t *)&c->poll, on_conn_closed);
}

/* ---- deadlines */

static void on_watch(uv_timer_t *timer)
{
    struct ag_staffsock *s = timer->data;
    int64_t now = ag_clock_mono_ms();
    struct ag_conf conf;
    bool any = false;

    ag_conf_copy(s->st, &conf);
    for (struct ag_staffconn *c = s->oldest, *next; c != NULL; c = next) {
        next = c->next;
        if (c->out != NULL ? now - c->written_at_ms >= WRITE_STALL_MS
                           : !c->spoke && now - c->opened_at_ms >= conf.limits_first_frame_ms)
            conn_close(c);
        else
            any = any || c->out != NULL || !c->spoke;
    }
    if (any)
        return;
    uv_timer_stop(&s->watch);
    s->watching = false;
}

static void watch(struct ag_staffsock *s)
{
    if (s->watching || s->stopped)
        return;
    s->watching = true;
    uv_timer_start(&s->watch, on_watch, WATCH_MS, WATCH_MS);
}

/* ---- a connection at work */

/* The last word to a connection that ends. */
static void end_with(struct ag_staffconn *c, bool has_id, uint32_t id,
                     const struct antag_fault *fault)
{
    struct antag_writer w;
    struct antag_slice message;

    antag_writer_init(&w, 4096);
    antag_m_failure(&w, has_id, id, fault);
    c->ending = true;
    if (c->out == NULL && antag_writer_end(&w, &message) == ANTAG_OK &&
        ag_staffconn_put(c, message) != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "staff.answer", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
    antag_writer_fini(&w);
}

static void answer_refusal(struct ag_staffconn *c, const struct ag_task_refusal *r)
{
    end_with(c, r->has_id, r->id, &r->fault);
    c->ending = r->fatal;
}

static void take_frame(struct ag_staffconn *c)
{
    struct ag_task_refusal refusal;
    struct ag_task *task = NULL;
    int files[AG_OP_FILES_MAX + 1];
    size_t len, file_count;
    uint8_t *body;

    c->spoke = true;
    ag_staffconn_take(c, &body, &len, files, &file_count);
    if (ag_task_new(c->sock->st, c->uid, body, len, files, file_count, &task, &refusal) !=
        ANTAG_OK) {
        answer_refusal(c, &refusal);
        return;
    }
    task->owner = c;
    c->task = task;
    ag_pool_submit(c->sock->st, task);
}

static void read_on(struct ag_staffconn *c)
{
    struct antag_fault fault = {.retry_after_ms = -1};

    while (c->task == NULL && c->out == NULL && !c->ending) {
        switch (ag_staffconn_read(c, &fault)) {
        case AG_CONN_MORE:
            return;
        case AG_CONN_FRAME:
            take_frame(c);
            break;
        case AG_CONN_BAD:
            end_with(c, false, 0, &fault);
            break;
        case AG_CONN_END:
            conn_close(c);
            return;
        }
        if (c->out != NULL && !ag_staffconn_write(c)) {
            conn_close(c);
            return;
        }
    }
}

static void on_conn(uv_poll_t *poll, int status, int events)
{
    struct ag_staffconn *c = poll->data;

    if (c->closed)
        return;
    if (status < 0 || ((events & UV_WRITABLE) && c->out != NULL && !ag_staffconn_write(c))) {
        conn_close(c);
        return;
    }
    read_on(c);
    update(c);
}

/* What the loop shall wait for: room to write, or bytes, or (while a request runs) nothing. */
static void update(struct ag_staffconn *c)
{
    if (c->closed)
        return;
    if (c->ending && c->out == NULL) {
        shutdown(c->fd, SHUT_WR);
        conn_close(c);
    } else if (c->out != NULL) {
        watch(c->sock);
        uv_poll_start(&c->poll, UV_WRITABLE, on_conn);
    } else if (c->task != NULL) {
        uv_poll_stop(&c->poll);
    } else {
        uv_poll_start(&c->poll, UV_READABLE, on_conn);
    }
}

void ag_staffsock_answer(struct ag_task *task, void *st)
{
    struct ag_staffconn *c = task->owner;
    struct antag_slice message;

    (void)st;
    if (c == NULL) {
        ag_task_free(task);
        return;
    }
    c->task = NULL;
    if (antag_writer_end(&task->answer, &message) != ANTAG_OK ||
        ag_staffconn_put(c, message) != ANTAG_OK || !ag_staffconn_write(c)) {
        conn_close(c);
    } else {
        read_on(c); /* the next one may stand in the socket already */
        update(c);
    }
    ag_task_free(task);
}

/* ---- accepting */

/* One that has connected and not said a thing; what it may have sent this moment counts. */
static bool is_silent(const struct ag_staffconn *c)
{
    uint8_t byte;

    return !c->spoke && c->task == NULL && c->out == NULL &&
           (c->head_len > 0 || recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0);
}

/* How readily a connection is given up for another: a stranger's before one of staff, a silent one
 * before one that has spoken, and one of staff that has spoken never. */
static int dispensability(const struct ag_staffconn *c)
{
    bool known, stranger = ag_enrolled_roles(c->sock->st, c->uid, &known) == 0;

    if (is_silent(c))
        return stranger ? 3 : 1;
    return stranger && c->task == NULL && c->out == NULL ? 2 : 0;
}

/* Room for one more, at the cost of the most dispensable, of these the oldest. So neither a crowd that
 * says nothing nor strangers keep staff out. */
static bool make_room(struct ag_staffsock *s)
{
    struct ag_staffconn *victim = NULL;
    int most = 0;

    for (struct ag_staffconn *c = s->oldest; c != NULL && most < 3; c = c->next) {
        int got = dispensability(c);

        if (got > most) {
            most = got;
            victim = c;
        }
    }
    if (victim == NULL)
        return false;
    conn_close(victim);
    return true;
}

static void refuse_busy(int fd)
{
    struct ag_staffconn c = {.fd = fd};
    struct antag_writer w;
    struct antag_slice message;
    struct antag_fault fault;

    antag_fault_set(&fault, ANTAG_ERR_BUSY, NULL,
                    "staff.sock has as many connections as [limits] staff_connections allows");
    fault.retry_after_ms = 1000;
    antag_writer_init(&w, 4096);
    antag_m_failure(&w, false, 0, &fault);
    if (antag_writer_end(&w, &message) == ANTAG_OK && ag_staffconn_put(&c, message) == ANTAG_OK)
        (void)ag_staffconn_write(&c);
    ag_staffconn_fini(&c);
    antag_writer_fini(&w);
    close(fd);
}

static void conn_new(struct ag_staffsock *s, int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t len = sizeof peer;
    struct ag_staffconn *c = NULL;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        (c = calloc(1, sizeof *c)) == NULL || uv_poll_init(s->st->loop, &c->poll, fd) != 0) {
        ag_log(AG_LOG_ERROR, "staff.accept");
        free(c);
        close(fd);
        return;
    }
    c->sock = s;
    c->fd = fd;
    c->uid = peer.uid;
    c->poll.data = c;
    c->opened_at_ms = ag_clock_mono_ms();
    append(s, c);
    watch(s);
    update(c);
}

static void on_listener(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct ag_staffsock *s = timer->data;

    if (!s->stopped)
        uv_poll_start(&s->listener, UV_READABLE, on_listener);
}

/* One connection a turn of the loop: those whose peers have gone meanwhile are noticed in the same turn and
 * do not count against the limit. */
static void on_listener(uv_poll_t *poll, int status, int events)
{
    struct ag_staffsock *s = poll->data;
    struct ag_conf conf;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)status;
    (void)events;
    if (fd < 0) {
        bool lacking = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;

        if (lacking && !make_room(s)) {
            uv_poll_stop(&s->listener);
            uv_timer_start(&s->pause, on_pause_over, PAUSE_MS, 0);
        }
        return;
    }
    ag_conf_copy(s->st, &conf);
    if (s->conn_count >= (size_t)conf.limits_staff_connections && !make_room(s))
        refuse_busy(fd);
    else
        conn_new(s, fd);
}

/* ---- start and stop */

enum antag_err ag_staffsock_start(struct ag_steward *st, int listen_fd)
{
    struct ag_staffsock *s = calloc(1, sizeof *s);

    if (s == NULL) {
        close(listen_fd);
        return ANTAG_ERR_NO_MEMORY;
    }
    s->st = st;
    s->listen_fd = listen_fd;
    uv_timer_init(st->loop, &s->watch);
    uv_timer_init(st->loop, &s->pause);
    s->watch.data = s->pause.data = s;
    if (uv_poll_init(st->loop, &s->listener, listen_fd) != 0) {
        uv_close((uv_handle_t *)&s->watch, NULL);
        uv_close((uv_handle_t *)&s->pause, NULL);
        close(listen_fd);
        return ANTAG_ERR_IO; /* the role ends; `s` goes with the process */
    }
    s->listener.data = s;
    uv_poll_start(&s->listener, UV_READABLE, on_listener);
    st->sock = s;
    return ANTAG_OK;
}

void ag_staffsock_refuse_new(struct ag_steward *st)
{
    struct ag_staffsock *s = st->sock;

    if (s == NULL || s->stopped)
        return;
    s->stopped = true;
    uv_timer_stop(&s->pause);
    uv_poll_stop(&s->listener);
}

static void on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct ag_staffsock *s = handle->data;

    close(s->listen_fd);
    uv_close((uv_handle_t *)&s->pause, NULL);
    uv_close((uv_handle_t *)&s->watch, on_watch_closed);
}

void ag_staffsock_stop(struct ag_steward *st)
{
    struct ag_staffsock *s = st->sock;

    if (s == NULL)
        return;
    ag_staffsock_refuse_new(st);
    while (s->oldest != NULL)
        conn_close(s->oldest);
    st->sock = NULL;
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
}
