#include "agent/steward/staffconn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "proto/frame.h"

#define CONTROL_FDS                                                                                \
    8 /* more in one message than is ever right, so that surplus is seen, and closed */

/* Descriptors of a message. Those beyond our room are closed; false then. */
static bool collect(struct ag_staffconn *c, struct msghdr *msg)
{
    bool good = (msg->msg_flags & MSG_CTRUNC) == 0;

    for (struct cmsghdr *h = CMSG_FIRSTHDR(msg); h != NULL; h = CMSG_NXTHDR(msg, h)) {
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < n; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            if (c->file_count < sizeof c->files / sizeof c->files[0]) {
                c->files[c->file_count++] = fd;
            } else {
                close(fd);
                good = false;
            }
        }
    }
    return good;
}

/* One read of at most `len` bytes. *stray: descriptors came where none may. Returns as recvmsg. */
static ssize_t receive(struct ag_staffconn *c, uint8_t *to, size_t len, bool first, bool *stray)
{
    struct iovec iov = {.iov_base = to, .iov_len = len};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * CONTROL_FDS)];
    } control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof control.room};
    size_t before = c->file_count;
    ssize_t n;

    do
        n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return n;
    *stray = !collect(c, &msg) || (!first && c->file_count > before);
    return n;
}

static enum ag_conn_read refuse(struct antag_fault *fault, const char *text)
{
    antag_fault_set(fault, ANTAG_ERR_BAD_FRAME, NULL, "%s", text);
    return AG_CONN_BAD;
}

/* The head is whole: room for the body. */
static enum ag_conn_read open_body(struct ag_staffconn *c, struct antag_fault *fault)
{
    if (antag_frame_parse(c->head, AG_STAFF_FRAME_MAX, &c->body_len, fault) != ANTAG_OK)
        return AG_CONN_BAD;
    c->body_got = 0;
    if ((c->body = malloc(c->body_len)) == NULL) {
        antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a frame");
        return AG_CONN_BAD;
    }
    return AG_CONN_MORE;
}

enum ag_conn_read ag_staffconn_read(struct ag_staffconn *c, struct antag_fault *fault)
{
    enum ag_conn_read step = AG_CONN_MORE;

    for (;;) {
        bool in_head = c->head_len < sizeof c->head, stray = false;
        /* the first byte is read alone, so that descriptors are seen to belong to it */
        size_t want = c->head_len == 0 ? 1
                      : in_head        ? sizeof c->head - c->head_len
                                       : c->body_len - c->body_got;
        uint8_t *to = in_head ? c->head + c->head_len : c->body + c->body_got;
        ssize_t n = receive(c, to, want, c->head_len == 0, &stray);

        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? AG_CONN_MORE : AG_CONN_END;
        if (stray)
            return refuse(fault, "memory files come with the first byte of a frame, at most two");
        if (n == 0)
            return AG_CONN_END;
        if (in_head) {
            c->head_len += (size_t)n;
            if (c->head_len == sizeof c->head && (step = open_body(c, fault)) != AG_CONN_MORE)
                return step;
        } else {
            c->body_got += (size_t)n;
        }
        if (c->head_len == sizeof c->head && c->body_got == c->body_len)
            return c->file_count <= AG_OP_FILES_MAX
                       ? AG_CONN_FRAME
                       : refuse(fault, "at most two memory files come with a frame");
    }
}

void ag_staffconn_take(struct ag_staffconn *c, uint8_t **body, size_t *len, int *files,
                       size_t *file_count)
{
    *body = c->body;
    *len = c->body_len;
    memcpy(files, c->files, c->file_count * sizeof c->files[0]);
    *file_count = c->file_count;
    c->body = NULL; /* transferred, like the files */
    c->head_len = c->body_len = c->body_got = c->file_count = 0;
}

enum antag_err ag_staffconn_put(struct ag_staffconn *c, struct antag_slice message)
{
    uint8_t *out = malloc(ANTAG_FRAME_HEAD + message.len);

    if (out == NULL)
        return ANTAG_ERR_NO_MEMORY;
    antag_frame_render(message.len, out);
    memcpy(out + ANTAG_FRAME_HEAD, message.p, message.len);
    c->out = out;
    c->out_len = ANTAG_FRAME_HEAD + message.len;
    c->out_sent = 0;
    c->written_at_ms = ag_clock_mono_ms();
    return ANTAG_OK;
}

bool ag_staffconn_write(struct ag_staffconn *c)
{
    while (c->out_sent < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        c->out_sent += (size_t)n;
        c->written_at_ms = ag_clock_mono_ms();
    }
    free(c->out);
    c->out = NULL;
    c->out_len = c->out_sent = 0;
    return true;
}

void ag_staffconn_fini(struct ag_staffconn *c)
{
    for (size_t i = 0; i < c->file_count; i++)
        close(c->files[i]);
    c->file_count = 0;
    free(c->body);
    free(c->out);
    c->body = c->out = NULL;
}
