#include "client/antomctl/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "client/antomctl/json.h"
#include "proto/frame.h"
#include "proto/message.h"

#define REQUEST_ID     1u
#define BACKLOG_MS     20   /* between tries while the socket's queue is full */
#define REPEAT_MS      200  /* before repeating, when the agent names no time */
#define REPEAT_MOST_MS 5000 /* however long the agent asks for */

/* one exchange */
struct exchange {
    const struct ctl_request *rq;
    struct antag_fault *fault;
    int fd;
    int64_t until_ms; /* monotonic */
};

static int64_t left_ms(const struct exchange *x)
{
    int64_t left = x->until_ms - ag_clock_mono_ms();

    return left > 0 ? left : 0;
}

static enum antag_err timed_out(const struct exchange *x, const char *what)
{
    return antag_fault_set(x->fault, ANTAG_ERR_TIMEOUT, NULL, "%s: %s within %lld s", x->rq->path,
                           what, (long long)(x->rq->timeout_ms / 1000));
}

static enum antag_err tell_unreachable(const char *path, const char *start, const char *why,
                                       struct antag_fault *fault)
{
    if (strcmp(why, strerror(EACCES)) == 0 || strcmp(why, strerror(EPERM)) == 0)
        return antag_fault_set(fault, ANTAG_ERR_UNREACHABLE, NULL,
                               "this user may not reach %s (%s)", path, why);
    return antag_fault_set(fault, ANTAG_ERR_UNREACHABLE, NULL,
                           "nobody answers at %s (%s); start the agent: %s", path, why, start);
}

enum antag_err ctl_unreachable(const char *path, const char *start, struct antag_fault *fault)
{
    char why[ANTAG_FAULT_TEXT_MAX + 1];
    const char *text = antag_fault_text(fault);
    size_t len = strlen(path);

    if (strncmp(text, path, len) == 0 && strncmp(text + len, ": ", 2) == 0)
        text += len + 2;
    (void)antag_slice_copy(antag_slice_of(text), why, sizeof(why));
    return tell_unreachable(path, start, why, fault);
}

static enum antag_err unreachable(const struct exchange *x, int code)
{
    return tell_unreachable(x->rq->path, x->rq->start, strerror(code), x->fault);
}

/* Wait until the socket can do `events`. errors: TIMEOUT, IO. */
static enum antag_err wait_for(struct exchange *x, short events, const char *what)
{
    for (;;) {
        struct pollfd p = {.fd = x->fd, .events = events};
        int64_t left = left_ms(x);
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;

        if (n > 0)
            return ANTAG_OK;
        if (n == 0)
            return timed_out(x, what);
        if (errno != EINTR)
            return antag_fault_set(x->fault, ANTAG_ERR_IO, NULL, "poll: %s", strerror(errno));
    }
}

static enum antag_err reach(struct exchange *x)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (strlen(x->rq->path) >= sizeof(to.sun_path))
        return unreachable(x, ENAMETOOLONG);
    memcpy(to.sun_path, x->rq->path, strlen(x->rq->path) + 1);
    x->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (x->fd < 0)
        return antag_fault_set(x->fault, ANTAG_ERR_IO, NULL, "socket: %s", strerror(errno));
    while (connect(x->fd, (const struct sockaddr *)&to, sizeof(to)) != 0) {
        if (errno == EINTR || errno == EISCONN)
            continue;
        if (errno != EAGAIN)
            return unreachable(x, errno);
        /* the queue of the socket is full, and poll() does not tell when it no longer is */
        if (left_ms(x) == 0)
            return timed_out(x, "the connection was not accepted");
        (void)poll(NULL, 0, BACKLOG_MS);
    }
    return ANTAG_OK;
}

/* The descriptors go with the first byte. Returns what sendmsg returns. */
static ssize_t send_some(const struct exchange *x, struct antag_slice rest, bool first)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)rest.p, .iov_len = rest.len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(CTL_FDS_MAX * sizeof(int))];
    } control;

    if (first && x->rq->fd_count > 0) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(x->rq->fd_count * sizeof(int));
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(x->rq->fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), x->rq->fds, x->rq->fd_count * sizeof(int));
    }
    return sendmsg(x->fd, &msg, MSG_NOSIGNAL);
}

/* A connection that the agent has closed may still hold its reason: that is for the reader to find. */
static enum antag_err send_all(struct exchange *x, struct antag_slice bytes)
{
    struct antag_slice rest = bytes;
    enum antag_err err;

    while (rest.len > 0) {
        ssize_t n = send_some(x, rest, rest.len == bytes.len);

        if (n > 0) {
            rest.p += n;
            rest.len -= (size_t)n;
        } else if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) {
            return ANTAG_OK;
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            return antag_fault_set(x->fault, ANTAG_ERR_IO, NULL, "send to %s: %s", x->rq->path,
                                   strerror(errno));
        } else if ((err = wait_for(x, POLLOUT, "the request was not taken")) != ANTAG_OK) {
            return err;
        }
    }
    return ANTAG_OK;
}

static enum antag_err receive(struct exchange *x, uint8_t *p, size_t len)
{
    while (len > 0) {
        enum antag_err err = wait_for(x, POLLIN, "no answer came");
        ssize_t n;

        if (err != ANTAG_OK)
            return err;
        n = recv(x->fd, p, len, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return antag_fault_set(x->fault, ANTAG_ERR_RETRY, NULL,
                                   "%s: the agent closed the connection before it answered",
                                   x->rq->path);
        p += n;
        len -= (size_t)n;
    }
    return ANTAG_OK;
}

/* Head and value of one frame; *bytes is the caller's. */
static enum antag_err receive_frame(struct exchange *x, uint8_t **bytes, size_t *len)
{
    uint8_t head[ANTAG_FRAME_HEAD];
    enum antag_err err;

    if ((err = receive(x, head, sizeof(head))) != ANTAG_OK)
        return err;
    if ((err = antag_frame_parse(head, ANTAG_FRAME_MAX, len, x->fault)) != ANTAG_OK)
        return err;
    *bytes = malloc(*len);
    if (*bytes == NULL)
        return antag_fault_set(x->fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    return receive(x, *bytes, *len);
}

/* What one frame says. *mine: it was the answer, or a refusal of the connection as a whole. */
static enum antag_err take_frame(struct exchange *x, struct antag_slice bytes, bool *mine,
                                 json_t **result)
{
    struct antag_decoder decoder;
    struct antag_message m;
    enum antag_err err;

    if ((err = antag_decoder_init(&decoder)) != ANTAG_OK)
        return antag_fault_set(x->fault, err, NULL, NULL);
    if ((err = antag_message_parse(&decoder, bytes, &m, x->fault)) != ANTAG_OK)
        goto out;
    *mine = m.shape == ANTAG_ANSWER && (!m.has_id || m.id == REQUEST_ID);
    if (!*mine)
        goto out;
    if (m.failed) {
        err = m.fault.err;
        *x->fault = m.fault;
        goto out;
    }
    *result = ctl_json_of(&m.result);
    if (*result == NULL)
        err = antag_fault_set(x->fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
out:
    antag_decoder_fini(&decoder);
    return err;
}

static enum antag_err exchange_once(struct exchange *x, struct antag_slice request, json_t **result)
{
    bool mine = false;
    enum antag_err err;

    if ((err = reach(x)) == ANTAG_OK)
        err = send_all(x, request);
    while (err == ANTAG_OK && !mine) {
        uint8_t *bytes = NULL;
        size_t len = 0;

        if ((err = receive_frame(x, &bytes, &len)) == ANTAG_OK)
            err = take_frame(x, (struct antag_slice){bytes, len}, &mine, result);
        free(bytes);
    }
    if (x->fd >= 0)
        (void)close(x->fd);
    x->fd = -1;
    return err;
}

/* The frame, head included, in `w`. */
static enum antag_err render(const struct ctl_request *rq, struct antag_writer *w,
                             struct antag_slice *out, struct antag_fault *fault)
{
    enum antag_err err;

    antag_m_request(w, REQUEST_ID, rq->method);
    if (rq->params.len > 0) {
        antag_w_raw(w, rq->params);
    } else {
        antag_w_map(w);
        antag_w_end(w);
    }
    antag_m_close(w);
    err = antag_writer_end(w, out);
    return err == ANTAG_OK ? err : antag_fault_set(fault, err, NULL, NULL);
}

static bool is_worth_repeating(const struct ctl_request *rq, enum antag_err err)
{
    return rq->safe && antag_err_class(err) == ANTAG_CLASS_RETRY && err != ANTAG_ERR_UNREACHABLE &&
           err != ANTAG_ERR_TIMEOUT;
}

enum antag_err ctl_conn_ask(const struct ctl_request *rq, json_t **result,
                            struct antag_fault *fault)
{
    struct exchange x = {
        .rq = rq, .fault = fault, .fd = -1, .until_ms = ag_clock_mono_ms() + rq->timeout_ms};
    struct antag_writer w;
    struct antag_slice value;
    uint8_t *frame = NULL;
    enum antag_err err;

    antag_writer_init(&w, ANTAG_FRAME_MAX);
    if ((err = render(rq, &w, &value, fault)) != ANTAG_OK)
        goto out;
    frame = malloc(ANTAG_FRAME_HEAD + value.len);
    if (frame == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
        goto out;
    }
    antag_frame_render(value.len, frame);
    memcpy(frame + ANTAG_FRAME_HEAD, value.p, value.len);
    value = (struct antag_slice){frame, ANTAG_FRAME_HEAD + value.len};
    err = exchange_once(&x, value, result);
    if (is_worth_repeating(rq, err)) {
        int64_t wait = fault->retry_after_ms >= 0 ? fault->retry_after_ms : REPEAT_MS;

        (void)poll(NULL, 0, (int)(wait < REPEAT_MOST_MS ? wait : REPEAT_MOST_MS));
        err = exchange_once(&x, value, result);
    }
out:
    free(frame);
    antag_writer_fini(&w);
    return err;
}
