#include "agent/front/conn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/request.h"
#include "agent/front/watch.h"
#include "agent/lib/log.h"
#include "proto/frame.h"

#define BUF_FIRST   4096        /* of an incomplete frame; grows with what has really come */
#define READ_DIRECT (64 * 1024) /* from here on a frame is read into its own buffer */
#define OUT_FIRST   4096
#define SPARE_MAX   65536 /* larger buffers for answers are not kept */

struct ag_sending {
    uv_write_t req;
    struct ag_conn *conn;
    uint8_t *bytes;
    size_t len;
};

static void close_conn(struct ag_conn *c);
static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);

/* ---- counting */

static const struct ag_conf *conf_of(const struct ag_conn *c)
{
    return &c->worker->view->conf;
}

/* False: `n` more would be over `limit`, and were not counted. */
static bool count_up(atomic_size_t *held, size_t n, int64_t limit)
{
    if (atomic_fetch_add(held, n) + n <= (size_t)limit)
        return true;
    atomic_fetch_sub(held, n);
    return false;
}

static bool reserve_shared(struct ag_conn *c, size_t bytes)
{
    if (!count_up(&c->uid->bytes, bytes, conf_of(c)->limits_bytes_per_uid))
        return false;
    if (count_up(&c->worker->shared->bytes, bytes, conf_of(c)->limits_bytes))
        return true;
    atomic_fetch_sub(&c->uid->bytes, bytes);
    return false;
}

static void release_shared(struct ag_conn *c, size_t bytes)
{
    atomic_fetch_sub(&c->uid->bytes, bytes);
    atomic_fetch_sub(&c->worker->shared->bytes, bytes);
}

static bool reserve(struct ag_conn *c, size_t bytes)
{
    if (c->bytes + bytes > (size_t)conf_of(c)->limits_bytes_per_connection ||
        !reserve_shared(c, bytes))
        return false;
    c->bytes += bytes;
    return true;
}

static void release(struct ag_conn *c, size_t bytes)
{
    c->bytes -= bytes;
    release_shared(c, bytes);
}

static enum antag_err busy(struct ag_conn *c, struct antag_fault *fault)
{
    int64_t wait_ms = ag_links_wait_ms(c->worker->links);

    fault->retry_after_ms = wait_ms > 0 ? wait_ms : AG_BUSY_RETRY_MS;
    return fault->err;
}

static enum antag_err busy_bytes(struct ag_conn *c, struct antag_fault *fault)
{
    antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                    "too many bytes of requests are in flight, on this connection, of this uid or "
                    "in all");
    return busy(c, fault);
}

static enum antag_err busy_requests(struct ag_conn *c, struct antag_fault *fault, int64_t limit,
                                    const char *where)
{
    antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                    "%" PRId64 " requests are in flight %s, no more "
                    "are taken before one is answered",
                    limit, where);
    return busy(c, fault);
}

enum antag_err ag_conn_attach(struct ag_conn *c, struct ag_job *job, uint32_t id, size_t bytes,
                              struct antag_fault *fault)
{
    const struct ag_conf *conf = conf_of(c);
    struct ag_shared *s = c->worker->shared;

    if (c->job_count >= (size_t)conf->limits_requests_per_connection)
        return busy_requests(c, fault, conf->limits_requests_per_connection, "on this connection");
    if (!count_up(&c->uid->requests, 1, conf->limits_requests_per_uid))
        return busy_requests(c, fault, conf->limits_requests_per_uid, "of this uid");
    if (!count_up(&s->requests, 1, conf->limits_requests)) {
        atomic_fetch_sub(&c->uid->requests, 1);
        return busy_requests(c, fault, conf->limits_requests, "in all");
    }
    if (!reserve(c, bytes)) {
        atomic_fetch_sub(&c->uid->requests, 1);
        atomic_fetch_sub(&s->requests, 1);
        return busy_bytes(c, fault);
    }
    job->conn = c;
    job->uid = c->uid;
    job->id = id;
    job->bytes = bytes;
    TAILQ_INSERT_TAIL(&c->jobs, job, of_conn);
    c->job_count++;
    return ANTAG_OK;
}

static void unlink_job(struct ag_conn *c, struct ag_job *job)
{
    TAILQ_REMOVE(&c->jobs, job, of_conn);
    c->job_count--;
    c->bytes -= job->bytes;
    job->conn = NULL;
}

void ag_conn_detach(struct ag_worker *w, struct ag_job *job)
{
    if (job->conn)
        unlink_job(job->conn, job);
    atomic_fetch_sub(&job->uid->requests, 1);
    atomic_fetch_sub(&job->uid->bytes, job->bytes);
    atomic_fetch_sub(&w->shared->requests, 1);
    atomic_fetch_sub(&w->shared->bytes, job->bytes);
}

void ag_conn_forget_jobs(struct ag_conn *c)
{
    while (!TAILQ_EMPTY(&c->jobs))
        unlink_job(c, TAILQ_FIRST(&c->jobs));
}

bool ag_conn_has_job(const struct ag_conn *c, uint32_t id)
{
    const struct ag_job *job;

    TAILQ_FOREACH(job, &c->jobs, of_conn)
    {
        if (job->id == id)
            return true;
    }
    return false;
}

/* ---- time limits. All have the same length, so the list of those that run is in order of their end,
 * and one timer serves it. */

static void on_due(uv_timer_t *timer);

static void arm_due(struct ag_worker *w)
{
    struct ag_conn *first = TAILQ_FIRST(&w->due);
    int64_t now = (int64_t)uv_now(&w->loop);

    if (!first)
        uv_timer_stop(&w->due_timer);
    else
        uv_timer_start(&w->due_timer, on_due,
                       first->due_at > now ? (uint64_t)(first->due_at - now) : 0, 0);
}

static void due_set(struct ag_conn *c)
{
    struct ag_worker *w = c->worker;

    if (c->in_due)
        return;
    c->due_at = (int64_t)uv_now(&w->loop) + conf_of(c)->limits_first_frame_ms;
    c->in_due = true;
    TAILQ_INSERT_TAIL(&w->due, c, due);
    if (TAILQ_FIRST(&w->due) == c)
        arm_due(w);
}

static void due_clear(struct ag_conn *c)
{
    struct ag_worker *w = c->worker;

    if (!c->in_due)
        return;
    c->in_due = false;
    TAILQ_REMOVE(&w->due, c, due);
    if (TAILQ_EMPTY(&w->due))
        arm_due(w);
}

static void on_due(uv_timer_t *timer)
{
    struct ag_worker *w = timer->data;
    int64_t now = (int64_t)uv_now(&w->loop);
    struct ag_conn *c;

    while ((c = TAILQ_FIRST(&w->due)) && c->due_at <= now) {
        ag_log(AG_LOG_DEBUG, "conn.too_slow", AG_F_UINT("uid", c->caller.uid),
               AG_F_INT("pid", c->caller.pid),
               AG_F_TEXT("at", c->phase == AG_CONN_LINGERING ? "end"
                               : c->greeted                  ? "incomplete frame"
                                                             : "first frame"));
        close_conn(c);
    }
    arm_due(w);
}

/* ---- answers */

static void mark_dirty(struct ag_conn *c)
{
    if (c->in_dirty || c->phase == AG_CONN_CLOSING)
        return;
    c->in_dirty = true;
    TAILQ_INSERT_TAIL(&c->worker->dirty, c, dirty);
}

/* One that another connection gave back. */
static void take_spare(struct ag_conn *c)
{
    struct ag_worker *w = c->worker;

    if (w->spare_count == 0)
        return;
    w->spare_count--;
    c->out = w->spare[w->spare_count].bytes;
    c->out_cap = w->spare[w->spare_count].cap;
}

static bool out_room(struct ag_conn *c, size_t more)
{
    size_t want = c->out_len + more, cap;
    uint8_t *p;

    if (c->out == NULL)
        take_spare(c);
    cap = c->out_cap > 0 ? c->out_cap : OUT_FIRST;
    if (want <= c->out_cap)
        return true;
    while (cap < want)
        cap *= 2;
    p = realloc(c->out, cap);
    if (!p)
        return false;
    c->out = p;
    c->out_cap = cap;
    return true;
}

void ag_conn_answer(struct ag_conn *c)
{
    struct antag_slice m;
    enum antag_err err = antag_writer_end(&c->worker->writer, &m);

    if (c->phase == AG_CONN_CLOSING || c->phase == AG_CONN_LINGERING)
        return;
    if (err == ANTAG_OK && !out_room(c, ANTAG_FRAME_HEAD + m.len))
        err = ANTAG_ERR_NO_MEMORY;
    if (err != ANTAG_OK) {
        /* An answer that cannot be given must not leave its request open for ever. */
        ag_log(AG_LOG_ERROR, "conn.answer", AG_F_ERR(err));
        close_conn(c);
        return;
    }
    antag_frame_render(m.len, c->out + c->out_len);
    memcpy(c->out + c->out_len + ANTAG_FRAME_HEAD, m.p, m.len);
    c->out_len += ANTAG_FRAME_HEAD + m.len;
    mark_dirty(c);
}

void ag_conn_refuse(struct ag_conn *c, bool has_id, uint32_t id, const struct antag_fault *fault)
{
    antag_writer_reset(&c->worker->writer);
    antag_m_failure(&c->worker->writer, has_id, id, fault);
    ag_conn_answer(c);
}

size_t ag_conn_unread(const struct ag_conn *c)
{
    return c->out_len + (c->sending ? c->sending->len : 0);
}

static void free_out(struct ag_conn *c)
{
    struct ag_worker *w = c->worker;

    if (c->out != NULL && c->out_cap <= SPARE_MAX && w->spare_count < AG_WORKER_SPARES) {
        w->spare[w->spare_count].bytes = c->out;
        w->spare[w->spare_count++].cap = c->out_cap;
    } else {
        free(c->out);
    }
    c->out = NULL;
    c->out_len = c->out_cap = 0;
}

static void resume(struct ag_conn *c);

static void on_written(uv_write_t *req, int status)
{
    struct ag_sending *s = req->data;
    struct ag_conn *c = s->conn;
    struct ag_worker *w = c->worker;

    c->sending = NULL;
    release_shared(c, s->len);
    free(s->bytes);
    free(s);
    if (c->phase == AG_CONN_CLOSING)
        return;
    if (status < 0) {
        close_conn(c);
        return;
    }
    mark_dirty(c);
    ag_worker_settle(w);
}

/* Hand what the kernel did not take at once to the loop. */
static bool send_later(struct ag_conn *c, size_t done)
{
    struct ag_sending *s = calloc(1, sizeof(*s));
    uv_buf_t buf;

    if (!s)
        return false;
    if (!reserve_shared(c, c->out_len)) {
        ag_log(AG_LOG_WARN, "conn.unread_answers", AG_F_UINT("uid", c->caller.uid),
               AG_F_INT("pid", c->caller.pid));
        free(s);
        return false;
    }
    s->conn = c;
    s->bytes = c->out;
    s->len = c->out_len;
    s->req.data = s;
    buf = uv_buf_init((char *)s->bytes + done, (unsigned)(s->len - done));
    c->out = NULL; /* transferred */
    c->out_len = c->out_cap = 0;
    c->sending = s;
    if (uv_write(&s->req, (uv_stream_t *)&c->pipe, &buf, 1, on_written) == 0)
        return true;
    c->sending = NULL;
    release_shared(c, s->len);
    free(s->bytes);
    free(s);
    return false;
}

static void read_start(struct ag_conn *c);

/* All is answered and written: shut our half and wait for the peer's end, so that a refusal is not lost
 * to the reset that unread input would cause; or close. */
static void finish(struct ag_conn *c)
{
    int fd;

    if (!c->linger || c->peer_done || uv_fileno((uv_handle_t *)&c->pipe, &fd) != 0 ||
        shutdown(fd, SHUT_WR) != 0) {
        close_conn(c);
        return;
    }
    c->phase = AG_CONN_LINGERING;
    due_clear(c);
    due_set(c);
    read_start(c);
}

/* True when requests that were held have been taken. */
static bool flush(struct ag_conn *c)
{
    bool resumes;

    if (!c->sending && c->out_len > 0) {
        uv_buf_t buf = uv_buf_init((char *)c->out, (unsigned)c->out_len);
        int wrote = uv_try_write((uv_stream_t *)&c->pipe, &buf, 1);

        if (wrote == (int)c->out_len) {
            free_out(c);
        } else if ((wrote < 0 && wrote != UV_EAGAIN) ||
                   !send_later(c, wrote > 0 ? (size_t)wrote : 0)) {
            close_conn(c);
            return false;
        }
    }
    /* Here and nowhere else: all that makes room comes through here, and what was written at once has
     * no on_written to come. */
    ag_watch_read(c);
    resumes = c->paused && ag_conn_unread(c) < AG_CONN_UNREAD_MAX / 2;
    if (resumes)
        resume(c);
    if (c->phase == AG_CONN_ENDING && c->job_count == 0 && ag_conn_unread(c) == 0)
        finish(c);
    return resumes;
}

bool ag_conns_flush(struct ag_worker *w)
{
    struct ag_conn *c;
    bool resumed = false;

    while ((c = TAILQ_FIRST(&w->dirty))) {
        TAILQ_REMOVE(&w->dirty, c, dirty);
        c->in_dirty = false;
        resumed = flush(c) || resumed;
    }
    return resumed;
}

/* ---- frames */

static void frame_clear(struct ag_conn *c)
{
    if (c->in.buf) {
        free(c->in.buf);
        release(c, c->in.cap);
    }
    memset(&c->in, 0, sizeof(c->in));
}

static bool is_incomplete(const struct ag_conn *c)
{
    return c->in.head_have > 0;
}

void ag_conn_end(struct ag_conn *c)
{
    if (c->phase != AG_CONN_OPEN)
        return;
    c->phase = AG_CONN_ENDING;
    uv_read_stop((uv_stream_t *)&c->pipe);
    due_clear(c);
    frame_clear(c);
    mark_dirty(c);
}

/* A refusal after which nothing that follows in the stream can be trusted. */
static void refuse_and_end(struct ag_conn *c, const struct antag_fault *fault)
{
    ag_conn_refuse(c, false, 0, fault);
    c->linger = true;
    ag_conn_end(c);
}

/* There was no room for this frame. Its first bytes tell whom to answer. */
static void end_dropped(struct ag_conn *c)
{
    struct antag_slice start = {c->in.peek,
                                c->in.need < AG_CONN_PEEK ? c->in.need : (size_t)AG_CONN_PEEK};
    struct antag_message m;
    struct antag_fault fault;

    /* Most of it is missing, so it hardly parses; only the id is wanted, and read all the same. */
    enum antag_err unused = antag_message_parse(&c->worker->decoder, start, &m, NULL);

    (void)unused;
    busy_bytes(c, &fault);
    if (!m.has_id || ag_conn_has_job(c, m.id)) {
        refuse_and_end(c, &fault);
        return;
    }
    frame_clear(c);
    ag_conn_refuse(c, true, m.id, &fault);
}

static void frame_complete(struct ag_conn *c)
{
    struct antag_slice frame = {c->in.buf, c->in.need};
    uint8_t *buf = c->in.buf;

    c->greeted = true;
    due_clear(c);
    if (c->in.dropping) {
        end_dropped(c);
        return;
    }
    release(c, c->in.cap);            /* from here on the request itself is counted */
    memset(&c->in, 0, sizeof(c->in)); /* buf: transferred */
    ag_request_take(c, frame);
    free(buf);
}

/* Room for `want` bytes of the frame in all. */
static bool frame_room(struct ag_conn *c, size_t want)
{
    size_t cap = c->in.cap * 2 > BUF_FIRST ? c->in.cap * 2 : BUF_FIRST;
    uint8_t *p;

    if (want <= c->in.cap)
        return true;
    cap = cap < want ? want : cap;
    cap = cap > c->in.need ? c->in.need : cap;
    if (!reserve(c, cap - c->in.cap))
        return false;
    p = realloc(c->in.buf, cap);
    if (!p) {
        release(c, cap - c->in.cap);
        return false;
    }
    c->in.buf = p;
    c->in.cap = cap;
    return true;
}

static void start_dropping(struct ag_conn *c)
{
    size_t keep = c->in.have < AG_CONN_PEEK ? c->in.have : (size_t)AG_CONN_PEEK;

    if (c->in.buf) {
        memcpy(c->in.peek, c->in.buf, keep);
        free(c->in.buf);
        release(c, c->in.cap);
    }
    c->in.buf = NULL;
    c->in.cap = 0;
    c->in.dropping = true;
}

/* Bytes of the frame's inside, at most those that are missing. */
static void frame_add(struct ag_conn *c, const uint8_t *p, size_t len)
{
    if (!c->in.dropping && !frame_room(c, c->in.have + len))
        start_dropping(c);
    if (!c->in.dropping) {
        memcpy(c->in.buf + c->in.have, p, len);
    } else if (c->in.have < AG_CONN_PEEK) {
        size_t room = AG_CONN_PEEK - c->in.have;

        memcpy(c->in.peek + c->in.have, p, len < room ? len : room);
    }
    c->in.have += len;
    if (c->in.have == c->in.need)
        frame_complete(c);
}

static size_t take_head(struct ag_conn *c, const uint8_t *p, size_t len)
{
    size_t missing = (size_t)ANTAG_FRAME_HEAD - c->in.head_have;
    size_t take = len < missing ? len : missing;
    struct antag_fault fault;

    memcpy(c->in.head + c->in.head_have, p, take);
    c->in.head_have = (uint8_t)(c->in.head_have + take);
    if (c->in.head_have == ANTAG_FRAME_HEAD &&
        antag_frame_parse(c->in.head, ANTAG_FRAME_MAX, &c->in.need, &fault) != ANTAG_OK)
        refuse_and_end(c, &fault);
    return take;
}

/* The next piece of the stream; gives the bytes it used, at least one. */
static size_t take_piece(struct ag_conn *c, const uint8_t *p, size_t len)
{
    size_t take;

    if (c->in.head_have < ANTAG_FRAME_HEAD)
        return take_head(c, p, len);
    if (c->in.have == 0 && len >= c->in.need) { /* whole, and where it lies */
        take = c->in.need;
        frame_clear(c);
        c->greeted = true;
        due_clear(c);
        ag_request_take(c, (struct antag_slice){p, take});
        return take;
    }
    take = c->in.need - c->in.have;
    take = take > len ? len : take;
    frame_add(c, p, take);
    return take;
}

/* ---- reading */

static void free_held(struct ag_conn *c)
{
    if (!c->held)
        return;
    free(c->held);
    release_shared(c, c->held_len);
    c->held = NULL;
    c->held_len = c->held_at = 0;
}

/* The caller does not read its answers: read nothing more of its requests, and keep those that came. */
static void pause_with(struct ag_conn *c, const uint8_t *p, size_t len)
{
    c->paused = true;
    uv_read_stop((uv_stream_t *)&c->pipe);
    due_clear(c);
    if (c->held) { /* `p` is its rest */
        c->held_at = c->held_len - len;
        return;
    }
    c->held = reserve_shared(c, len) ? malloc(len) : NULL;
    if (!c->held) {
        ag_log(AG_LOG_WARN, "conn.unread_answers", AG_F_UINT("uid", c->caller.uid),
               AG_F_INT("pid", c->caller.pid));
        close_conn(c);
        return;
    }
    memcpy(c->held, p, len);
    c->held_len = len;
    c->held_at = 0;
}

static void take_bytes(struct ag_conn *c, const uint8_t *p, size_t len)
{
    while (len > 0 && c->phase == AG_CONN_OPEN) {
        size_t used;

        if (c->out_len > AG_CONN_FLUSH_AT)
            (void)flush(c); /* not paused here: nothing resumes */
        if (c->phase != AG_CONN_OPEN)
            return;
        if (ag_conn_unread(c) > AG_CONN_UNREAD_MAX) {
            pause_with(c, p, len);
            return;
        }
        used = take_piece(c, p, len);
        p += used;
        len -= used;
    }
}

/* A frame that stays incomplete, or a first one that does not come, has a time limit. */
static void set_limit(struct ag_conn *c)
{
    if (c->phase == AG_CONN_OPEN && !c->paused && is_incomplete(c))
        due_set(c);
}

static void resume(struct ag_conn *c)
{
    c->paused = false;
    if (c->held) {
        take_bytes(c, c->held + c->held_at, c->held_len - c->held_at);
        if (c->paused || c->phase == AG_CONN_CLOSING)
            return;
        free_held(c);
    }
    if (c->phase == AG_CONN_OPEN) {
        read_start(c);
        set_limit(c);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct ag_conn *c = handle->data;

    (void)suggested;
    if (c->phase == AG_CONN_OPEN && c->in.buf && c->in.cap - c->in.have >= READ_DIRECT)
        *buf = uv_buf_init((char *)c->in.buf + c->in.have, (unsigned)(c->in.cap - c->in.have));
    else
        *buf = uv_buf_init((char *)c->worker->read_buf, AG_READ_BUF);
}

static void peer_ended(struct ag_conn *c, ssize_t why)
{
    if (why != UV_EOF || c->phase == AG_CONN_LINGERING) {
        close_conn(c);
        return;
    }
    c->peer_done = true; /* its writing half at least: what is in flight is answered */
    ag_conn_end(c);
}

static void linger_on(struct ag_conn *c, size_t got)
{
    c->lingered += got;
    if (c->lingered > AG_CONN_LINGER_MAX)
        close_conn(c);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct ag_conn *c = stream->data;
    struct ag_worker *w = c->worker;

    if (got == 0) /* nothing there after all */
        return;
    if (got < 0) {
        peer_ended(c, got);
    } else if (c->phase == AG_CONN_LINGERING) {
        linger_on(c, (size_t)got);
    } else if (buf->base == (char *)w->read_buf) {
        take_bytes(c, w->read_buf, (size_t)got);
    } else { /* read straight into the frame's buffer */
        c->in.have += (size_t)got;
        if (c->in.have == c->in.need)
            frame_complete(c);
    }
    set_limit(c);
    ag_worker_settle(w);
    w->came += got > 0;
}

static void read_start(struct ag_conn *c)
{
    if (uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read) != 0)
        close_conn(c);
}

/* ---- beginning and end */

static void on_closed(uv_handle_t *handle)
{
    struct ag_conn *c = handle->data;
    struct ag_worker *w = c->worker;

    TAILQ_REMOVE(&w->conns, c, all);
    atomic_fetch_sub(&c->uid->conns, 1);
    free(c);
    ag_worker_conn_closed(w);
}

static void close_conn(struct ag_conn *c)
{
    if (c->phase == AG_CONN_CLOSING)
        return;
    c->phase = AG_CONN_CLOSING;
    if (c->in_dirty)
        TAILQ_REMOVE(&c->worker->dirty, c, dirty);
    c->in_dirty = false;
    due_clear(c);
    ag_conn_forget_jobs(c);
    frame_clear(c);
    free_held(c);
    free_out(c);
    uv_close((uv_handle_t *)&c->pipe, on_closed);
}

void ag_conn_open(struct ag_worker *w, int fd, const struct ag_caller *caller, struct ag_uid *uid)
{
    struct ag_conn *c = calloc(1, sizeof(*c));

    if (!c || uv_pipe_init(&w->loop, &c->pipe, 0) != 0) {
        free(c);
        close(fd);
        atomic_fetch_sub(&uid->conns, 1);
        ag_worker_conn_closed(w);
        return;
    }
    c->worker = w;
    c->uid = uid;
    c->caller = *caller;
    c->pipe.data = c;
    TAILQ_INIT(&c->jobs);
    TAILQ_INSERT_TAIL(&w->conns, c, all);
    if (uv_pipe_open(&c->pipe, fd) != 0) {
        close(fd);
        close_conn(c);
        return;
    }
    due_set(c);
    if (w->draining)
        ag_conn_end(c);
    else
        read_start(c);
}

void ag_conns_drain(struct ag_worker *w)
{
    struct ag_conn *c;

    TAILQ_FOREACH(c, &w->conns, all)
    {
        ag_watch_draining(c);
        if (c->phase == AG_CONN_LINGERING)
            close_conn(c);
        else
            ag_conn_end(c);
    }
}

void ag_conns_close(struct ag_worker *w)
{
    struct ag_conn *c;

    TAILQ_FOREACH(c, &w->conns, all)
    close_conn(c);
}
