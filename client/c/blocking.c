/* blocking: many threads on one wire. One of those who wait reads for all (the leader); when it has its own
 * answer another takes over. Whoever submits writes at once; only what the socket does not take is left to the
 * leader, who is woken for it. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "client/c/wire.h"

/* a call that waits; on its thread's stack */
struct waiting {
    enum antag__kind kind;
    bool done;
    void *out; /* where its result goes */
    struct antag_fault fault;
};
struct antag_client {
    struct antag__wire wire; /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a call ended, or there is no leader */
    bool led;
    int wake; /* eventfd, for the leader */
};
/* what is asked, once or twice */
struct ask {
    enum antag__kind kind;
    const char *method;
    antag__write *write;
    const void *call;
    void *out;
    size_t out_size, body_len;
};

static void ended(struct antag__wire *w, void *tag, const union antag__result *result,
                  const struct antag_fault *fault)
{
    struct waiting *call = tag;

    (void)w;
    if (fault != NULL)
        call->fault = *fault;
    else if (call->kind == ANTAG__SIGN)
        memcpy(call->out, &result->sign, sizeof result->sign);
    else if (call->kind == ANTAG__VERIFY)
        memcpy(call->out, &result->verify, sizeof result->verify);
    else if (call->kind == ANTAG__HEALTH)
        memcpy(call->out, &result->health, sizeof result->health);
    call->done = true;
}

/* ---- life */

enum antag_err antag_client_open(const struct antag_client_conf *conf, struct antag_client **out,
                                 struct antag_fault *fault)
{
    struct antag_client *c = calloc(1, sizeof *c);
    pthread_condattr_t attr;
    enum antag_err err;

    if (c == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attr);
    pthread_condattr_destroy(&attr);
    err = antag__wire_init(&c->wire, conf, ended, fault);
    if (err == ANTAG_OK && c->wake < 0)
        err = antag_fault_set(fault, ANTAG_ERR_IO, NULL, "eventfd: %s", strerror(errno));
    if (err != ANTAG_OK)
        antag_client_close(c);
    else
        *out = c;
    return err;
}

void antag_client_close(struct antag_client *c)
{
    if (c == NULL)
        return;
    antag__wire_fini(&c->wire);
    if (c->wake >= 0)
        close(c->wake);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- waiting */

static void wake_leader(struct antag_client *c)
{
    uint64_t one = 1;

    if (c->led)
        (void)!write(c->wake, &one, sizeof one);
}

/* Under the lock, which is given up while it polls. */
static void lead(struct antag_client *c)
{
    struct pollfd p[2] = {
        {.fd = c->wake, .events = POLLIN},
        {.fd = c->wire.fd,
         .events = (short)(POLLIN | (antag__wire_wants_write(&c->wire) ? POLLOUT : 0))}};
    int64_t due = antag__wire_due_ms(&c->wire), left = due < 0 ? 1000 : due - antag__now_ms();
    uint64_t drop;

    c->led = true;
    pthread_mutex_unlock(&c->lock);
    (void)poll(p, 2, left < 0 ? 0 : left > 60000 ? 60000 : (int)left + 1);
    pthread_mutex_lock(&c->lock);
    c->led = false;
    (void)!read(c->wake, &drop, sizeof drop);
    antag__wire_step(&c->wire);
    pthread_cond_broadcast(&c->changed);
}

static void wait_until_done(struct antag_client *c, struct waiting *call)
{
    while (!call->done) {
        if (c->led)
            pthread_cond_wait(&c->changed, &c->lock);
        else
            lead(c);
    }
}

/* Room for one more: others' answers make it. False: not before `due_ms`. */
static bool wait_for_room(struct antag_client *c, size_t body_len, int64_t due_ms)
{
    while (!antag__wire_has_room(&c->wire, body_len)) {
        if (antag__now_ms() >= due_ms)
            return false;
        if (!c->led) {
            lead(c);
        } else {
            struct timespec t = {.tv_sec = due_ms / 1000, .tv_nsec = due_ms % 1000 * 1000000};

            (void)pthread_cond_timedwait(&c->changed, &c->lock, &t);
        }
    }
    return true;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

/* Under the lock, which is given up while the queue of the agent's socket is full: nothing tells when it is not. */
static enum antag_err submit(struct antag_client *c, const struct ask *ask, int64_t due_ms,
                             struct waiting *call, struct antag_fault *fault)
{
    for (;;) {
        enum antag_err err;

        c->wire.queue_full = false;
        err = antag__wire_submit(&c->wire, ask->kind, ask->method, ask->write, ask->call, due_ms,
                                 call, fault);
        if (err != ANTAG_ERR_UNREACHABLE || !c->wire.queue_full)
            return err;
        if (antag__now_ms() + ANTAG__QUEUE_PAUSE_MS >= due_ms)
            return antag_fault_set(fault, ANTAG_ERR_TIMEOUT, NULL,
                                   "%s: no connection was taken in time", c->wire.path);
        pthread_mutex_unlock(&c->lock);
        sleep_ms(ANTAG__QUEUE_PAUSE_MS);
        pthread_mutex_lock(&c->lock);
    }
}

static enum antag_err try_once(struct antag_client *c, const struct ask *ask, int64_t due_ms,
                               struct antag_fault *fault)
{
    struct waiting call = {.kind = ask->kind, .out = ask->out};
    enum antag_err err;

    call.fault.err = ANTAG_OK;
    memset(ask->out, 0, ask->out_size);
    pthread_mutex_lock(&c->lock);
    if (!wait_for_room(c, ask->body_len, due_ms))
        err = antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                              "as many requests are under way on this connection as may be");
    else
        err = submit(c, ask, due_ms, &call, fault);
    if (err == ANTAG_OK) {
        if (antag__wire_wants_write(&c->wire))
            wake_leader(c);
        wait_until_done(c, &call);
        err = call.fault.err;
        if (err != ANTAG_OK)
            *fault = call.fault;
    }
    pthread_mutex_unlock(&c->lock);
    if (err != ANTAG_OK)
        memset(ask->out, 0, ask->out_size);
    return err;
}

/* Class "retry" is repeated once, when there is time left for it; a time that is over is not. */
static enum antag_err ask_agent(struct antag_client *c, const struct ask *ask, int64_t deadline_ms,
                                struct antag_fault *fault)
{
    int64_t due = antag__now_ms() + (deadline_ms > 0 ? deadline_ms : c->wire.timeout_ms), pause;
    struct antag_fault own;
    enum antag_err err;

    if (fault == NULL)
        fault = &own;
    fault->retry_after_ms = -1;
    err = try_once(c, ask, due, fault);
    if (err == ANTAG_OK || antag_err_class(err) != ANTAG_CLASS_RETRY || err == ANTAG_ERR_TIMEOUT ||
        err == ANTAG_ERR_DEADLINE)
        return err;
    pause = fault->retry_after_ms > 0 ? fault->retry_after_ms : 0;
    if (antag__now_ms() + pause >= due)
        return err;
    sleep_ms(pause);
    return try_once(c, ask, due, fault);
}

/* ---- the calls */

enum antag_err antag_client_sign(struct antag_client *c, const struct antag_sign_call *call,
                                 struct antag_signed *out, struct antag_fault *fault)
{
    struct ask ask = {ANTAG__SIGN, "sign_request", antag__write_sign, call,
                      out,         sizeof *out,    call->body.len};
    enum antag_err err;

    memset(out, 0, sizeof *out);
    if ((err = antag__check_sign(call, fault)) != ANTAG_OK)
        return err;
    return ask_agent(c, &ask, call->deadline_ms, fault);
}

static enum antag_err verify(struct antag_client *c, const char *method,
                             const struct antag_verify_call *call, struct antag_verified *out,
                             struct antag_fault *fault)
{
    struct ask ask = {ANTAG__VERIFY, method,      antag__write_verify, call,
                      out,           sizeof *out, call->body.len};
    enum antag_err err;

    memset(out, 0, sizeof *out);
    if ((err = antag__check_verify(call, fault)) != ANTAG_OK)
        return err;
    return ask_agent(c, &ask, call->deadline_ms, fault);
}

enum antag_err antag_client_verify_response(struct antag_client *c,
                                            const struct antag_verify_call *call,
                                            struct antag_verified *out, struct antag_fault *fault)
{
    return verify(c, "verify_response", call, out, fault);
}

enum antag_err antag_client_verify_notification(struct antag_client *c,
                                                const struct antag_verify_call *call,
                                                struct antag_verified *out,
                                                struct antag_fault *fault)
{
    return verify(c, "verify_notification", call, out, fault);
}

enum antag_err antag_client_health(struct antag_client *c, struct antag_health *out,
                                   struct antag_fault *fault)
{
    struct ask ask = {ANTAG__HEALTH, "health", antag__write_health, NULL, out, sizeof *out, 0};

    return ask_agent(c, &ask, 0, fault);
}
