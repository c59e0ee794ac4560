/* async: the interface for event loops: one wire, one thread. */
#include <poll.h>
#include <stdlib.h>

#include "client/c/wire.h"

struct call {
    antag_done_fn *done;
    void *ctx;
    enum antag__kind kind;
    struct call *next; /* of the free ones */
};
struct antag_async {
    struct antag__wire wire; /* first: the wire's callbacks find us by it */
    antag_event_fn *on_event;
    void *event_ctx;
    struct call calls[ANTAG_INFLIGHT_PER_CONN];
    struct call *free_calls;
};

static void ended(struct antag__wire *w, void *tag, const union antag__result *result,
                  const struct antag_fault *fault)
{
    static const struct antag_fault none = {.err = ANTAG_OK, .retry_after_ms = -1};
    struct antag_async *a = (struct antag_async *)w; /* its first member */
    struct call *c = tag, was = *c;
    struct antag_completion done = {.fault = fault != NULL ? fault : &none};

    c->next = a->free_calls;
    a->free_calls = c;
    if (was.kind == ANTAG__WATCH && result == NULL)
        w->told = NULL;
    if (result != NULL && was.kind == ANTAG__SIGN)
        done.signed_ = &result->sign;
    if (result != NULL && was.kind == ANTAG__VERIFY)
        done.verified = &result->verify;
    if (result != NULL && was.kind == ANTAG__HEALTH)
        done.health = &result->health;
    was.done(&done, was.ctx);
    if (was.kind == ANTAG__WATCH && result != NULL)
        a->on_event(&result->event, a->event_ctx);
}

static void told(struct antag__wire *w, const struct antag_event *event)
{
    struct antag_async *a = (struct antag_async *)w; /* its first member */

    a->on_event(event, a->event_ctx);
}

enum antag_err antag_async_open(const struct antag_client_conf *conf, struct antag_async **out,
                                struct antag_fault *fault)
{
    struct antag_async *a = calloc(1, sizeof *a);
    enum antag_err err;

    if (a == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    for (size_t i = 0; i < ANTAG_INFLIGHT_PER_CONN; i++) {
        a->calls[i].next = a->free_calls;
        a->free_calls = &a->calls[i];
    }
    if ((err = antag__wire_init(&a->wire, conf, ended, fault)) != ANTAG_OK) {
        antag__wire_fini(&a->wire);
        free(a);
        return err;
    }
    *out = a;
    return ANTAG_OK;
}

void antag_async_close(struct antag_async *a)
{
    if (a == NULL)
        return;
    antag__wire_fini(&a->wire);
    free(a);
}

int antag_async_fd(const struct antag_async *a)
{
    return a->wire.fd;
}

short antag_async_events(const struct antag_async *a)
{
    if (a->wire.fd < 0)
        return 0;
    return (short)(POLLIN | (antag__wire_wants_write(&a->wire) ? POLLOUT : 0));
}

int64_t antag_async_timeout_ms(const struct antag_async *a)
{
    int64_t due = antag__wire_due_ms(&a->wire), left = due - antag__now_ms();

    return due < 0 ? -1 : left > 0 ? left : 0;
}

void antag_async_step(struct antag_async *a)
{
    antag__wire_step(&a->wire);
}

size_t antag_async_in_flight(const struct antag_async *a)
{
    return a->wire.in_flight;
}

static enum antag_err submit(struct antag_async *a, enum antag__kind kind, const char *method,
                             antag__write *write, const void *call, int64_t deadline_ms,
                             antag_done_fn *done, void *ctx, struct antag_fault *fault)
{
    struct call *c = a->free_calls;
    int64_t due = antag__now_ms() + (deadline_ms > 0 ? deadline_ms : a->wire.timeout_ms);
    enum antag_err err;

    if (c == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                               "%d calls are under way, as many as may be",
                               ANTAG_INFLIGHT_PER_CONN);
    a->free_calls = c->next;
    *c = (struct call){.done = done, .ctx = ctx, .kind = kind};
    err = antag__wire_submit(&a->wire, kind, method, write, call, due, c, fault);
    if (err != ANTAG_OK) {
        c->next = a->free_calls;
        a->free_calls = c;
    }
    return err;
}

enum antag_err antag_async_sign(struct antag_async *a, const struct antag_sign_call *call,
                                antag_done_fn *done, void *ctx, struct antag_fault *fault)
{
    enum antag_err err = antag__check_sign(call, fault);

    return err != ANTAG_OK ? err
                           : submit(a, ANTAG__SIGN, "sign_request", antag__write_sign, call,
                                    call->deadline_ms, done, ctx, fault);
}

static enum antag_err verify(struct antag_async *a, const char *method,
                             const struct antag_verify_call *call, antag_done_fn *done, void *ctx,
                             struct antag_fault *fault)
{
    enum antag_err err = antag__check_verify(call, fault);

    return err != ANTAG_OK ? err
                           : submit(a, ANTAG__VERIFY, method, antag__write_verify, call,
                                    call->deadline_ms, done, ctx, fault);
}

enum antag_err antag_async_verify_response(struct antag_async *a,
                                           const struct antag_verify_call *call,
                                           antag_done_fn *done, void *ctx,
                                           struct antag_fault *fault)
{
    return verify(a, "verify_response", call, done, ctx, fault);
}

enum antag_err antag_async_verify_notification(struct antag_async *a,
                                               const struct antag_verify_call *call,
                                               antag_done_fn *done, void *ctx,
                                               struct antag_fault *fault)
{
    return verify(a, "verify_notification", call, done, ctx, fault);
}

enum antag_err antag_async_health(struct antag_async *a, antag_done_fn *done, void *ctx,
                                  struct antag_fault *fault)
{
    return submit(a, ANTAG__HEALTH, "health", antag__write_health, NULL, 0, done, ctx, fault);
}

enum antag_err antag_async_watch(struct antag_async *a, antag_event_fn *on_event, void *event_ctx,
                                 antag_done_fn *done, void *ctx, struct antag_fault *fault)
{
    enum antag_err err =
        submit(a, ANTAG__WATCH, "watch", antag__write_health, NULL, 0, done, ctx, fault);

    if (err == ANTAG_OK) {
        a->on_event = on_event;
        a->event_ctx = event_ctx;
        a->wire.told = told;
    }
    return err;
}
