#include "client/c/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/frame.h"

#define AROUND_BODY  8192 /* bytes of a request beside its body, but for large headers */
#define READ_AT_ONCE (64 * 1024)
#define OUT_MAX      (8 * 1024 * 1024) /* bytes that wait for the agent to read */

int64_t antag__now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- life */

enum antag_err antag__wire_init(struct antag__wire *w, const struct antag_client_conf *conf,
                                antag__ended *ended, struct antag_fault *fault)
{
    const char *path = conf != NULL ? conf->path : NULL;

    memset(w, 0, sizeof *w);
    w->fd = -1;
    w->ended = ended;
    w->timeout_ms = conf != NULL && conf->timeout_ms > 0 ? conf->timeout_ms : 10000;
    if (path == NULL)
        path = getenv("ANTOM_AGENT_SOCKET");
    if (path == NULL)
        path = ANTAG_SOCKET_DEFAULT;
    if (strlen(path) >= sizeof w->path)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "path",
                               "has %zu bytes; a socket's path has at most %zu", strlen(path),
                               sizeof w->path - 1);
    memcpy(w->path, path, strlen(path) + 1);
    if (conf != NULL && conf->name != NULL)
        (void)snprintf(w->name, sizeof w->name, "%s", conf->name);
    antag_writer_init(&w->writer, ANTAG_FRAME_MAX);
    if (antag_decoder_init(&w->decoder) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    w->decoder_made = true;
    return ANTAG_OK;
}

void antag__wire_fini(struct antag__wire *w)
{
    struct antag_fault fault;

    antag_fault_set(&fault, ANTAG_ERR_RETRY, NULL, "the client was closed before the answer came");
    antag__wire_drop(w, &fault);
    antag_writer_fini(&w->writer);
    if (w->decoder_made)
        antag_decoder_fini(&w->decoder);
    free(w->out);
    free(w->in);
}

/* ---- slots */

static struct antag__slot *slot_of(struct antag__wire *w, uint32_t id)
{
    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++)
        if (w->slots[i].kind != ANTAG__FREE && w->slots[i].id == id)
            return &w->slots[i];
    return NULL;
}

static void end_slot(struct antag__wire *w, struct antag__slot *s,
                     const union antag__result *result, const struct antag_fault *fault)
{
    struct antag__slot was = *s;

    s->kind = ANTAG__FREE;
    if (was.kind == ANTAG__HELLO) {
        if (result != NULL)
            w->limits = result->limits;
        return;
    }
    w->in_flight--;
    w->bytes -= was.bytes;
    w->ended(w, was.tag, result, fault);
}

void antag__wire_drop(struct antag__wire *w, const struct antag_fault *fault)
{
    struct antag_fault why = w->last.err != ANTAG_OK ? w->last : *fault;
    struct antag__slot gone[ANTAG_INFLIGHT_PER_CONN];
    antag__told *told = w->told;

    w->told = NULL;
    if (w->fd >= 0)
        close(w->fd);
    w->fd = -1;
    w->out_at = w->out_len = w->in_len = 0;
    w->last.err = ANTAG_OK;
    memcpy(gone, w->slots, sizeof gone); /* those who are told may submit anew */
    memset(w->slots, 0, sizeof w->slots);
    w->in_flight = w->bytes = 0;
    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++)
        if (gone[i].kind != ANTAG__FREE && gone[i].kind != ANTAG__HELLO)
            w->ended(w, gone[i].tag, NULL, &why);
    if (told != NULL)
        told(w, &(struct antag_event){.kind = ANTAG_EVENT_LOST});
}

static void drop_with(struct antag__wire *w, enum antag_err err, const char *text)
{
    struct antag_fault fault;

    antag_fault_set(&fault, err, NULL, "%s: %s", w->path, text);
    antag__wire_drop(w, &fault);
}

/* ---- writing */

static bool reserve(uint8_t **p, size_t *cap, size_t want)
{
    size_t more = *cap > 0 ? *cap : 4096;
    uint8_t *grown;

    if (want <= *cap)
        return true;
    while (more < want)
        more *= 2;
    if ((grown = realloc(*p, more)) == NULL)
        return false;
    *p = grown;
    *cap = more;
    return true;
}

/* What was sent leaves the buffer. */
static void close_gap(struct antag__wire *w)
{
    memmove(w->out, w->out + w->out_at, w->out_len - w->out_at);
    w->out_len -= w->out_at;
    w->out_at = 0;
}

static enum antag_err put_frame(struct antag__wire *w, struct antag_slice value,
                                struct antag_fault *fault)
{
    size_t len = ANTAG_FRAME_HEAD + value.len;

    if (w->out_len - w->out_at + len > OUT_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BUSY, NULL, "the agent does not read fast enough");
    if (w->out_at > w->out_cap / 2) /* not after each part of a large request */
        close_gap(w);
    if (!reserve(&w->out, &w->out_cap, w->out_len + len))
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    antag_frame_render(value.len, w->out + w->out_len);
    memcpy(w->out + w->out_len + ANTAG_FRAME_HEAD, value.p, value.len);
    w->out_len += len;
    return ANTAG_OK;
}

static enum antag_err put_request(struct antag__wire *w, struct antag__slot *slot,
                                  enum antag__kind kind, const char *method, antag__write *write,
                                  const void *call, int64_t due_ms, struct antag_fault *fault)
{
    int64_t left = due_ms - antag__now_ms();
    struct antag_slice value;
    enum antag_err err;

    do
        w->next_id = w->next_id < ANTAG_ID_MAX ? w->next_id + 1 : 1;
    while (slot_of(w, w->next_id) != NULL);
    antag_writer_reset(&w->writer);
    antag_m_request(&w->writer, w->next_id, method);
    /* the agent's word of it comes before our own time is over */
    write(&w->writer, call,
          left > 20  ? left - (left / 10 < 250 ? left / 10 : 250)
          : left > 0 ? left
                     : 1);
    antag_m_close(&w->writer);
    if ((err = antag_writer_end(&w->writer, &value)) != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "the request cannot be written");
    if ((err = put_frame(w, value, fault)) != ANTAG_OK)
        return err;
    *slot =
        (struct antag__slot){.kind = kind, .id = w->next_id, .due_ms = due_ms, .bytes = value.len};
    return ANTAG_OK;
}

static void flush(struct antag__wire *w)
{
    while (w->out_at < w->out_len) {
        ssize_t n =
            send(w->fd, w->out + w->out_at, w->out_len - w->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* lost ones are found by reading, which may hold answers still */
            break;
        w->out_at += (size_t)n;
    }
    if (w->out_at == w->out_len)
        w->out_at = w->out_len = 0;
}

bool antag__wire_wants_write(const struct antag__wire *w)
{
    return w->out_at < w->out_len;
}

bool antag__wire_has_room(const struct antag__wire *w, size_t body_len)
{
    size_t slots = ANTAG_INFLIGHT_PER_CONN - 1; /* one is left for hello */

    if (w->fd < 0 || w->in_flight == 0)
        return true;
    return !w->draining && w->in_flight < slots && w->in_flight < w->limits.requests &&
           w->bytes + body_len + AROUND_BODY <= w->limits.bytes;
}

/* ---- connecting: a Unix socket takes a connection at once or refuses it */

static enum antag_err dial(struct antag__wire *w, struct antag_fault *fault)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), kept;

    memcpy(a.sun_path, w->path, strlen(w->path) + 1);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        kept = errno;
        w->queue_full = kept == EAGAIN;
        if (fd >= 0)
            close(fd);
        antag_fault_set(fault, ANTAG_ERR_UNREACHABLE, NULL, "%s: %s", w->path,
                        w->queue_full ? "the queue of the agent's socket is full" : strerror(kept));
        if (fault != NULL && w->queue_full)
            fault->retry_after_ms = ANTAG__QUEUE_PAUSE_MS;
        return ANTAG_ERR_UNREACHABLE;
    }
    w->fd = fd;
    w->out_at = w->out_len = w->in_len = 0;
    w->last.err = ANTAG_OK;
    w->draining = false;
    w->limits = (struct antag__limits){ANTAG_INFLIGHT_PER_CONN, ANTAG_INFLIGHT_BYTES_PER_CONN};
    return ANTAG_OK;
}

static struct antag__slot *free_slot(struct antag__wire *w)
{
    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++)
        if (w->slots[i].kind == ANTAG__FREE)
            return &w->slots[i];
    return NULL;
}

static enum antag_err connect_now(struct antag__wire *w, struct antag_fault *fault)
{
    enum antag_err err = dial(w, fault);

    if (err == ANTAG_OK)
        err = put_request(w, free_slot(w), ANTAG__HELLO, "hello", antag__write_hello, w->name,
                          antag__now_ms() + w->timeout_ms, fault);
    return err;
}

enum antag_err antag__wire_submit(struct antag__wire *w, enum antag__kind kind, const char *method,
                                  antag__write *write, const void *call, int64_t due_ms, void *tag,
                                  struct antag_fault *fault)
{
    struct antag__slot *slot;
    enum antag_err err;

    if (w->draining && w->in_flight == 0)
        drop_with(w, ANTAG_ERR_RETRY, "the agent is stopping");
    if (w->fd < 0 && (err = connect_now(w, fault)) != ANTAG_OK)
        return err;
    if ((slot = free_slot(w)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                               "%d requests are under way on this connection, as many as may be",
                               ANTAG_INFLIGHT_PER_CONN);
    err = put_request(w, slot, kind, method, write, call, due_ms, fault);
    if (err != ANTAG_OK)
        return err;
    slot->tag = tag;
    w->in_flight++;
    w->bytes += slot->bytes;
    if (!w->stepping)
        flush(w);
    return ANTAG_OK;
}

/* ---- reading */

static void take_answer(struct antag__wire *w, const struct antag_message *m)
{
    struct antag__slot *s;

    if (!m->has_id) { /* why the connection is about to end */
        if (m->failed)
            w->last = m->fault;
        return;
    }
    if ((s = slot_of(w, m->id)) == NULL)
        return; /* nobody's: as if it had not been sent */
    if (m->failed) {
        end_slot(w, s, NULL, &m->fault);
    } else if (antag__read_result(s->kind, &m->result, &w->result) == ANTAG_OK) {
        end_slot(w, s, &w->result, NULL);
    } else {
        struct antag_fault fault;

        antag_fault_set(&fault, ANTAG_ERR_BAD_FRAME, NULL,
                        "the agent's answer is not one that this request can have");
        end_slot(w, s, NULL, &fault);
    }
}

static void take_event(struct antag__wire *w, const struct antag_message *m)
{
    struct antag_event event;

    w->draining = w->draining || antag_slice_is(m->name, "draining");
    if (w->told != NULL && antag__read_event(m, &event))
        w->told(w, &event);
}

/* Whole frames in the buffer. False: the connection was given up. */
static bool take_frames(struct antag__wire *w)
{
    size_t at = 0;

    while (w->in_len - at >= ANTAG_FRAME_HEAD) {
        struct antag_message m;
        size_t len;

        if (antag_frame_parse(w->in + at, ANTAG_FRAME_MAX, &len, NULL) != ANTAG_OK) {
            drop_with(w, ANTAG_ERR_RETRY, "the agent sent a frame of a forbidden length");
            return false;
        }
        if (w->in_len - at - ANTAG_FRAME_HEAD < len)
            break;
        if (antag_message_parse(&w->decoder,
                                (struct antag_slice){w->in + at + ANTAG_FRAME_HEAD, len}, &m,
                                NULL) != ANTAG_OK) {
            drop_with(w, ANTAG_ERR_RETRY, "the agent sent what is no message");
            return false;
        }
        at += ANTAG_FRAME_HEAD + len;
        if (m.shape == ANTAG_ANSWER)
            take_answer(w, &m);
        else if (m.shape == ANTAG_EVENT)
            take_event(w, &m);
        if (w->fd < 0)
            return false; /* a completion closed it */
    }
    if (at > 0)
        memmove(w->in, w->in + at, w->in_len - at);
    w->in_len -= at;
    return true;
}

static void receive(struct antag__wire *w)
{
    for (;;) {
        ssize_t n;

        if (!reserve(&w->in, &w->in_cap, w->in_len + READ_AT_ONCE)) {
            drop_with(w, ANTAG_ERR_NO_MEMORY, "out of memory");
            return;
        }
        n = recv(w->fd, w->in + w->in_len, w->in_cap - w->in_len, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (n <= 0) {
            drop_with(w, ANTAG_ERR_RETRY, "the agent closed the connection before it answered");
            return;
        }
        w->in_len += (size_t)n;
        if (!take_frames(w) || (size_t)n < READ_AT_ONCE)
            return;
    }
}

/* One answer that is too late ends the connection: it must not meet a new request of the same id. */
static void check_due(struct antag__wire *w)
{
    int64_t now = antag__now_ms();
    struct antag__slot *late = NULL;
    struct antag_fault fault;

    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++)
        if (w->slots[i].kind != ANTAG__FREE && w->slots[i].due_ms <= now)
            late = &w->slots[i];
    if (late == NULL)
        return;
    antag_fault_set(&fault, ANTAG_ERR_TIMEOUT, NULL, "%s: no answer came in time", w->path);
    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++)
        if (w->slots[i].kind != ANTAG__FREE && w->slots[i].due_ms <= now)
            end_slot(w, &w->slots[i], NULL, &fault);
    if (w->fd >= 0)
        drop_with(w, ANTAG_ERR_RETRY,
                  "the connection was given up, as another answer came too late");
}

void antag__wire_step(struct antag__wire *w)
{
    w->stepping = true;
    if (w->fd >= 0 && antag__wire_wants_write(w))
        flush(w);
    if (w->fd >= 0)
        receive(w);
    check_due(w);
    w->stepping = false;
    if (w->fd >= 0 && antag__wire_wants_write(w))
        flush(w);
}

int64_t antag__wire_due_ms(const struct antag__wire *w)
{
    int64_t due = -1;

    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++)
        if (w->slots[i].kind != ANTAG__FREE && (due < 0 || w->slots[i].due_ms < due))
            due = w->slots[i].due_ms;
    return due;
}
