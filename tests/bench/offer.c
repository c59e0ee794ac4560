/* offer: requests at a rate, as many callers together make it: nobody waits for an answer before the next one is
 * sent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define FLIGHT_MAX     65536
#define TIMES_MAX      1000000
#define ANSWER_WAIT_MS 10000

struct flight {
    struct run *run;
    struct flight *next; /* among those that are free */
    double sent_us;
};
struct run {
    const struct load *l;
    struct antag_async **conns;
    struct flight *flights, *free;
    double *good_us, *busy_us; /* times, TIMES_MAX of each */
    struct offered *out;
    unsigned in_flight;
    bool failed;
};

/* Signed, or refused as BUSY: by the agent, or by the library, whose connection has as many under way as may be. */
static void over(struct flight *f, enum antag_err err, const struct antag_fault *fault)
{
    struct run *r = f->run;
    double took = now_us() - f->sent_us;

    f->next = r->free;
    r->free = f;
    if (err == ANTAG_OK) {
        if (r->out->good < TIMES_MAX)
            r->good_us[r->out->good] = took;
        r->out->good++;
    } else if (err == ANTAG_ERR_BUSY) {
        if (r->out->busy < TIMES_MAX)
            r->busy_us[r->out->busy] = took;
        r->out->busy++;
    } else if (!r->failed) {
        r->failed = !fail(antag_err_name(err), antag_fault_text(fault));
    }
}

static void on_done(const struct antag_completion *done, void *ctx)
{
    struct flight *f = ctx;

    f->run->in_flight--;
    if (done->fault->err == ANTAG_ERR_BUSY && done->fault->retry_after_ms <= 0)
        f->run->failed = !fail("BUSY", "the agent did not say for how long");
    over(f, done->fault->err, done->fault);
}

static void send_one(struct run *r)
{
    struct antag_async *a = r->conns[r->out->sent % r->l->connections];
    struct flight *f = r->free;
    struct antag_fault fault;
    enum antag_err err;

    if (f == NULL) {
        r->failed = !fail("offering", "answers do not come as fast as needed");
        return;
    }
    r->free = f->next;
    f->sent_us = now_us();
    err = calls_submit(r->l->calls, r->l->op, a, on_done, f, &fault);
    r->out->sent++;
    if (err == ANTAG_OK)
        r->in_flight++;
    else
        over(f, err, &fault);
}

static void step_some(struct run *r, int ep, int wait_ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(ep, events, 64, wait_ms);

    for (int i = 0; i < n; i++)
        antag_async_step(events[i].data.ptr);
    if (n == 0 && wait_ms == ANSWER_WAIT_MS)
        r->failed = !fail("waiting for answers", "none came");
}

static void offer(struct run *r, int ep, double rate, unsigned ms)
{
    double began = now_us(), until = began + ms * 1e3, now;
    uint64_t good = 0;

    while (!r->failed && (now = now_us()) < until) {
        while (!r->failed && (double)r->out->sent < (now - began) * rate / 1e6)
            send_one(r);
        step_some(r, ep, 1);
        good = r->out->good;
    }
    r->out->good_rate = (double)good * 1e6 / (now_us() - began);
    while (!r->failed && r->in_flight > 0)
        step_some(r, ep, ANSWER_WAIT_MS);
}

static bool open_all(struct run *r, int ep)
{
    struct antag_client_conf conf = {.path = r->l->socket};
    struct antag_fault fault;

    for (size_t i = 0; i < FLIGHT_MAX; i++) {
        r->flights[i] = (struct flight){.run = r, .next = r->free};
        r->free = &r->flights[i];
    }
    for (unsigned i = 0; i < r->l->connections; i++) {
        struct epoll_event e = {.events = EPOLLIN};

        if (antag_async_open(&conf, &r->conns[i], &fault) != ANTAG_OK)
            return fail(r->l->socket, antag_fault_text(&fault));
        send_one(r); /* which connects */
        e.data.ptr = r->conns[i];
        if (epoll_ctl(ep, EPOLL_CTL_ADD, antag_async_fd(r->conns[i]), &e) != 0)
            return fail("epoll", "a connection is not taken");
    }
    return true;
}

static void fill(struct run *r)
{
    struct offered *o = r->out;

    o->good_p50_us = quantile(r->good_us, o->good < TIMES_MAX ? o->good : TIMES_MAX, 0.5);
    o->good_p99_us = quantile(r->good_us, o->good < TIMES_MAX ? o->good : TIMES_MAX, 0.99);
    o->busy_p50_us = quantile(r->busy_us, o->busy < TIMES_MAX ? o->busy : TIMES_MAX, 0.5);
    o->busy_p99_us = quantile(r->busy_us, o->busy < TIMES_MAX ? o->busy : TIMES_MAX, 0.99);
}

/* CPU time of everybody while it was offered. */
static bool offer_measured(struct run *r, int ep, double rate, unsigned ms)
{
    struct cpu before, after;
    double began = now_us(), cpu = thread_cpu_us(), took;

    if (!cpu_of_roles(r->l->agent, &before))
        return fail(r->l->socket, "the agent's roles are not there");
    offer(r, ep, rate, ms);
    took = now_us() - began;
    r->out->client_cores = (thread_cpu_us() - cpu) / took;
    if (!cpu_of_roles(r->l->agent, &after))
        return fail(r->l->socket, "the agent's roles are not there any more");
    for (size_t i = 0; i < ROLE_COUNT; i++)
        r->out->role_cores[i] = (after.us[i] - before.us[i]) / took;
    return true;
}

bool offer_run(const struct load *l, double rate, unsigned ms, struct offered *out)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct run r = {.l = l,
                    .conns = calloc(l->connections, sizeof(struct antag_async *)),
                    .flights = calloc(FLIGHT_MAX, sizeof *r.flights),
                    .good_us = malloc(TIMES_MAX * sizeof *r.good_us),
                    .busy_us = malloc(TIMES_MAX * sizeof *r.busy_us),
                    .out = out};

    *out = (struct offered){0};
    r.failed = r.conns == NULL || r.flights == NULL || r.good_us == NULL || r.busy_us == NULL;
    if (!r.failed)
        r.failed = !open_all(&r, ep);
    if (!r.failed)
        r.failed = !offer_measured(&r, ep, rate, ms) || r.failed;
    if (!r.failed)
        fill(&r);
    for (unsigned i = 0; r.conns != NULL && i < l->connections; i++)
        antag_async_close(r.conns[i]);
    if (ep >= 0)
        close(ep);
    free(r.conns);
    free(r.flights);
    free(r.good_us);
    free(r.busy_us);
    return !r.failed;
}
