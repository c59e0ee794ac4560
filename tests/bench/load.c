#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/bench/bench.h"

#define FIRST_ID       0x10000u /* from here on ids take five bytes */
#define TIMES_MAX      1000000
#define ANSWER_WAIT_MS 10000

struct conn {
    int fd;
    uint32_t next_id;
    double sent_us; /* when one is in flight at a time */
    uint8_t in[64 * 1024];
    size_t in_len;
};
struct run {
    const struct load *l;
    struct conn *conns;
    uint8_t *out; /* depth frames */
    double until_us, *times;
    size_t time_count;
    uint64_t ops;
    unsigned in_flight;
};

static bool fail(const char *what)
{
    fprintf(stderr, "bench: %s%s%s\n", what, errno != 0 ? ": " : "",
            errno != 0 ? strerror(errno) : "");
    return false;
}

static bool dial(const char *path, int *out)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
        if (fd >= 0)
            close(fd);
        return fail(path);
    }
    *out = fd;
    return true;
}

static bool send_some(struct run *r, struct conn *c, unsigned count)
{
    const struct load *l = r->l;
    size_t len = count * l->len;

    for (unsigned i = 0; i < count; i++) {
        uint8_t *p = r->out + i * l->len;
        uint32_t id = c->next_id++;

        memcpy(p, l->frame, l->len);
        for (int k = 0; k < 4; k++)
            p[l->id_at + (size_t)k] = (uint8_t)(id >> (24 - 8 * k));
    }
    c->sent_us = now_us();
    for (size_t done = 0; done < len;) {
        ssize_t n = send(c->fd, r->out + done, len - done, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return fail("send");
        done += n > 0 ? (size_t)n : 0;
    }
    r->in_flight += count;
    return true;
}

/* Is it the answer of a request that did not fail? [1, id, nil, …], the array's head of either size. */
static bool is_success(const uint8_t *p, size_t len)
{
    size_t at = len > 0 && p[0] == 0xdc ? 3 : 1;

    return len > at + 7 && p[at] == 0x01 && p[at + 1] == 0xce && p[at + 6] == 0xc0;
}

static bool refused(const uint8_t *p, size_t len)
{
    struct antag_decoder d;
    struct antag_message m;
    struct antag_fault fault;

    errno = 0;
    if (antag_decoder_init(&d) != ANTAG_OK)
        return fail("no memory");
    if (antag_message_parse(&d, (struct antag_slice){p, len}, &m, &fault) != ANTAG_OK)
        fail("an answer is no message");
    else
        fprintf(stderr, "bench: the agent refused: %s: %s\n", antag_err_name(m.fault.err),
                antag_fault_text(&m.fault));
    antag_decoder_fini(&d);
    return false;
}

/* Whole answers in the connection's buffer. False: one is a refusal. */
static bool take_answers(struct conn *c, unsigned *count)
{
    size_t at = 0;

    *count = 0;
    while (c->in_len - at >= ANTAG_FRAME_HEAD) {
        size_t len;

        if (antag_frame_parse(c->in + at, ANTAG_FRAME_MAX, &len, NULL) != ANTAG_OK)
            return fail("a frame is malformed");
        if (c->in_len - at < ANTAG_FRAME_HEAD + len)
            break;
        if (!is_success(c->in + at + ANTAG_FRAME_HEAD, len))
            return refused(c->in + at + ANTAG_FRAME_HEAD, len);
        at += ANTAG_FRAME_HEAD + len;
        ++*count;
    }
    memmove(c->in, c->in + at, c->in_len - at);
    c->in_len -= at;
    return true;
}

static bool on_readable(struct run *r, struct conn *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, 0);
    unsigned count;
    double now;

    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0) {
        errno = n == 0 ? 0 : errno;
        return fail("the agent closed the connection");
    }
    c->in_len += (size_t)n;
    if (!take_answers(c, &count))
        return false;
    if (count == 0)
        return true;
    now = now_us();
    if (r->l->depth == 1 && r->time_count < TIMES_MAX)
        r->times[r->time_count++] = now - c->sent_us;
    r->ops += count;
    r->in_flight -= count;
    return now >= r->until_us || send_some(r, c, count);
}

/* One connection, one request at a time: as a simple client does it, without waiting for events. */
static bool run_alone(struct run *r)
{
    bool good = true;

    while (good && r->in_flight > 0)
        good = on_readable(r, &r->conns[0]);
    return good;
}

static bool run_many(struct run *r)
{
    struct epoll_event events[64];
    int ep = epoll_create1(EPOLL_CLOEXEC), n;
    bool good = ep >= 0;

    for (unsigned i = 0; good && i < r->l->connections; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &r->conns[i]};

        good = epoll_ctl(ep, EPOLL_CTL_ADD, r->conns[i].fd, &e) == 0;
    }
    while (good && r->in_flight > 0) {
        n = epoll_wait(ep, events, 64, ANSWER_WAIT_MS);
        errno = n == 0 ? ETIMEDOUT : errno;
        good = n > 0 || (n < 0 && errno == EINTR) || fail("waiting for answers");
        for (int i = 0; good && i < n; i++)
            good = on_readable(r, events[i].data.ptr);
    }
    if (ep >= 0)
        close(ep);
    return good;
}

static bool run_conns(struct run *r, unsigned ms)
{
    bool good = true;

    r->until_us = now_us() + ms * 1e3;
    for (unsigned i = 0; good && i < r->l->connections; i++)
        good = send_some(r, &r->conns[i], r->l->depth);
    if (!good)
        return false;
    return r->l->connections * r->l->depth == 1 ? run_alone(r) : run_many(r);
}

static void fill(const struct run *r, const struct cpu *before, const struct cpu *after,
                 double cpu_us, double took_us, struct sample *out)
{
    out->ops = r->ops;
    out->rate = (double)r->ops * 1e6 / took_us;
    out->client_us = cpu_us / (double)r->ops;
    for (size_t i = 0; i < ROLE_COUNT; i++)
        out->role_us[i] = (after->us[i] - before->us[i]) / (double)r->ops;
    out->p50_us = quantile(r->times, r->time_count, 0.5);
    out->p99_us = quantile(r->times, r->time_count, 0.99);
}

bool load_run(const struct load *l, unsigned ms, struct sample *out)
{
    struct run r = {.l = l,
                    .conns = calloc(l->connections, sizeof *r.conns),
                    .out = malloc(l->depth * l->len),
                    .times = malloc(TIMES_MAX * sizeof *r.times)};
    struct cpu before, after;
    unsigned open = 0;
    double began, cpu;
    bool good = r.conns != NULL && r.out != NULL && r.times != NULL;

    *out = (struct sample){0};
    for (; good && open < l->connections; open++) {
        r.conns[open].next_id = FIRST_ID;
        if (!(good = dial(l->socket, &r.conns[open].fd)))
            break;
    }
    errno = 0;
    good = good && (cpu_of_roles(l->agent, &before) || fail("the agent's roles are not there"));
    began = now_us();
    cpu = thread_cpu_us();
    good = good && run_conns(&r, ms);
    cpu = thread_cpu_us() - cpu;
    if (good && cpu_of_roles(l->agent, &after))
        fill(&r, &before, &after, cpu, now_us() - began, out);
    for (unsigned i = 0; i < open; i++)
        close(r.conns[i].fd);
    free(r.conns);
    free(r.out);
    free(r.times);
    return good;
}
