/* load: through libantomagent, as a payment service would. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define TIMES_MAX      1000000
#define ANSWER_WAIT_MS 10000

struct conn {
    struct run *run;
    struct antag_async *async;
    double sent_us; /* when one is in flight at a time */
};
struct run {
    const struct load *l;
    struct conn *conns;
    double until_us, *times;
    size_t time_count;
    uint64_t ops;
    unsigned in_flight;
    bool failed;
};

static void submit(struct conn *c);

static void on_done(const struct antag_completion *done, void *ctx)
{
    struct conn *c = ctx;
    struct run *r = c->run;
    double now = now_us();

    r->in_flight--;
    if (r->failed) /* said before */
        return;
    if (done->fault->err != ANTAG_OK || (r->l->op == OP_VERIFY && !done->verified->verified)) {
        r->failed = !fail(antag_err_name(done->fault->err), antag_fault_text(done->fault));
        return;
    }
    if (r->l->depth == 1 && r->time_count < TIMES_MAX)
        r->times[r->time_count++] = now - c->sent_us;
    if (r->ops++ == 0 && r->l->told_fd > 0 && write(r->l->told_fd, "", 1) != 1)
        r->failed = !fail("telling of the first answer", strerror(errno));
    if (!r->failed && now < r->until_us)
        submit(c);
}

static void submit(struct conn *c)
{
    struct run *r = c->run;
    struct antag_fault fault;
    enum antag_err err;

    do {
        c->sent_us = now_us();
        err = calls_submit(r->l->calls, r->l->op, c->async, on_done, c, &fault);
    } while (err == ANTAG_ERR_UNREACHABLE && fault.retry_after_ms > 0 &&
             usleep((useconds_t)fault.retry_after_ms * 100) == 0); /* the agent's queue is full */
    if (err == ANTAG_OK)
        r->in_flight++;
    else
        r->failed = !fail(antag_err_name(err), antag_fault_text(&fault));
}

/* One connection, one request at a time, without anything around it. */
static void run_alone(struct run *r)
{
    struct antag_async *a = r->conns[0].async;

    while (!r->failed && r->in_flight > 0) {
        struct pollfd p = {.fd = antag_async_fd(a), .events = antag_async_events(a)};

        if (poll(&p, 1, ANSWER_WAIT_MS) == 0)
            r->failed = !fail("waiting for an answer", "none came");
        antag_async_step(a);
    }
}

static void run_many(struct run *r)
{
    struct epoll_event events[64];
    int ep = epoll_create1(EPOLL_CLOEXEC), n;

    for (unsigned i = 0; i < r->l->connections; i++) {
        /* by edges, as a large request is written in parts and wants to be told of room */
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &r->conns[i]};

        if (epoll_ctl(ep, EPOLL_CTL_ADD, antag_async_fd(r->conns[i].async), &e) != 0)
            r->failed = !fail("epoll", strerror(errno));
    }
    while (!r->failed && r->in_flight > 0) {
        n = epoll_wait(ep, events, 64, ANSWER_WAIT_MS);
        if (n == 0)
            r->failed = !fail("waiting for answers", "none came");
        for (int i = 0; i < n; i++)
            antag_async_step(((struct conn *)events[i].data.ptr)->async);
    }
    if (ep >= 0)
        close(ep);
}

static void run_conns(struct run *r, unsigned ms)
{
    r->until_us = now_us() + ms * 1e3;
    for (unsigned i = 0; i < r->l->connections && !r->failed; i++)
        for (unsigned k = 0; k < r->l->depth && !r->failed; k++)
            submit(&r->conns[i]);
    if (r->failed)
        return;
    if (r->l->connections * r->l->depth == 1)
        run_alone(r);
    else
        run_many(r);
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
    struct antag_client_conf conf = {.path = l->socket};
    struct run r = {.l = l,
                    .conns = calloc(l->connections, sizeof *r.conns),
                    .times = malloc(TIMES_MAX * sizeof *r.times)};
    struct cpu before = {0}, after = {0};
    struct antag_fault fault;
    double began, cpu;

    *out = (struct sample){0};
    r.failed = r.conns == NULL || r.times == NULL;
    for (unsigned i = 0; !r.failed && i < l->connections; i++) {
        r.conns[i].run = &r;
        if (antag_async_open(&conf, &r.conns[i].async, &fault) != ANTAG_OK)
            r.failed = !fail(l->socket, antag_fault_text(&fault));
    }
    if (!r.failed && l->agent > 0 && !cpu_of_roles(l->agent, &before))
        r.failed = !fail(l->socket, "the agent's roles are not there");
    began = now_us();
    cpu = thread_cpu_us();
    if (!r.failed)
        run_conns(&r, ms);
    cpu = thread_cpu_us() - cpu;
    if (!r.failed && l->agent > 0 && !cpu_of_roles(l->agent, &after))
        r.failed = !fail(l->socket, "the agent's roles are not there any more");
    if (!r.failed) /* each request that was sent at the start has its answer */
        fill(&r, &before, &after, cpu, now_us() - began, out);
    r.until_us = 0;
    for (unsigned i = 0; r.conns != NULL && i < l->connections; i++)
        antag_async_close(r.conns[i].async);
    free(r.conns);
    free(r.times);
    return !r.failed;
}
