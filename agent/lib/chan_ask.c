/* chan_ask: requests of ours, the answers to them, and those who wait. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/lib/chan_internal.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"

/* ---- replies */

void ag_reply_fini(struct ag_reply *r)
{
    if (r == NULL)
        return;
    ag_fds_close(&r->fds);
    if (r->decoded_)
        antag_decoder_fini(&r->decoder_);
    free(r->bytes_);
    memset(r, 0, sizeof *r);
}

static void reply_failed(struct ag_reply *r, enum antag_err err, const char *text)
{
    memset(r, 0, sizeof *r);
    antag_fault_set(&r->fault, err, NULL, "%s", text);
}

/* Decode a copy of the packet, so that the reply outlives the receive buffer. */
static void reply_fill(struct ag_reply *r, struct antag_slice bytes, struct ag_fds *fds)
{
    memset(r, 0, sizeof *r);
    r->bytes_ = malloc(bytes.len);
    if (r->bytes_ == NULL || antag_decoder_init(&r->decoder_) != ANTAG_OK) {
        antag_fault_set(&r->fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for an answer");
        return;
    }
    r->decoded_ = true;
    memcpy(r->bytes_, bytes.p, bytes.len);
    if (antag_message_parse(&r->decoder_, (struct antag_slice){r->bytes_, bytes.len}, &r->message_,
                            &r->fault) != ANTAG_OK)
        return;
    if (r->message_.failed)
        r->fault = r->message_.fault;
    else
        r->result = &r->message_.result;
    r->fds = *fds;
    fds->count = 0; /* transferred */
}

static void reply_move(struct ag_reply *to, struct ag_reply *from)
{
    *to = *from;
    if (from->result != NULL)
        to->result = &to->message_.result;
    memset(from, 0, sizeof *from);
}

/* ---- waiters; the lock is held */

static void waiter_add(struct ag_chan *c, struct waiter *w)
{
    w->next = c->waiters;
    c->waiters = w;
}

static struct waiter *waiter_take(struct ag_chan *c, uint32_t id)
{
    for (struct waiter **at = &c->waiters; *at != NULL; at = &(*at)->next) {
        struct waiter *w = *at;

        if (w->id == id) {
            *at = w->next;
            return w;
        }
    }
    return NULL;
}

/* Hand a reply to its waiter, whoever that is. Loop thread, without the lock; `w` is off the list. */
static void waiter_end(struct ag_chan *c, struct waiter *w, struct ag_reply *r)
{
    if (w->cb != NULL) {
        w->cb(r, w->ctx);
        ag_reply_fini(r);
        free(w);
        return;
    }
    pthread_mutex_lock(&c->lock);
    reply_move(w->out, r);
    w->done = true;
    pthread_cond_broadcast(&c->answered);
    pthread_mutex_unlock(&c->lock);
}

void ag_chan_fail_waiters(struct ag_chan *c)
{
    for (;;) {
        struct waiter *w;
        struct ag_reply r;

        pthread_mutex_lock(&c->lock);
        w = c->waiters;
        if (w != NULL)
            c->waiters = w->next;
        pthread_mutex_unlock(&c->lock);
        if (w == NULL)
            return;
        reply_failed(&r, ANTAG_ERR_RETRY, "that part of the agent was restarted");
        waiter_end(c, w, &r);
    }
}

static void on_timer(uv_timer_t *timer);

/* Arm the timer for the earliest ask. Loop thread. */
static void arm_timer(struct ag_chan *c)
{
    int64_t due = INT64_MAX, now = ag_clock_mono_ms();

    pthread_mutex_lock(&c->lock);
    for (struct waiter *w = c->waiters; w != NULL; w = w->next)
        if (w->cb != NULL && w->due_ms < due)
            due = w->due_ms;
    pthread_mutex_unlock(&c->lock);
    if (due == INT64_MAX)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

static struct waiter *take_overdue(struct ag_chan *c, int64_t now)
{
    struct waiter *found = NULL;

    pthread_mutex_lock(&c->lock);
    for (struct waiter *w = c->waiters; w != NULL && found == NULL; w = w->next)
        if (w->cb != NULL && w->due_ms <= now)
            found = waiter_take(c, w->id);
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void on_timer(uv_timer_t *timer)
{
    struct ag_chan *c = timer->data;
    struct waiter *w;

    ag_chan_hold(c);
    while ((w = take_overdue(c, ag_clock_mono_ms())) != NULL) {
        struct ag_reply r;

        reply_failed(&r, ANTAG_ERR_TIMEOUT, "another part of the agent did not answer in time");
        waiter_end(c, w, &r);
    }
    if (ag_chan_is_open(c))
        arm_timer(c);
    ag_chan_release(c);
}

/* ---- requests of ours */

uint32_t ag_chan_next_id(struct ag_chan *c)
{
    uint32_t id;

    pthread_mutex_lock(&c->lock);
    id = c->next_id;
    c->next_id = id == ANTAG_ID_MAX ? 0 : id + 1;
    pthread_mutex_unlock(&c->lock);
    return id;
}

void ag_chan_ask(struct ag_chan *c, uint32_t id, struct antag_writer *w, const int *fds,
                 size_t fd_count, int64_t timeout_ms, ag_chan_on_reply *cb, void *ctx)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (waiter != NULL) {
        *waiter = (struct waiter){
            .id = id, .due_ms = ag_clock_mono_ms() + timeout_ms, .cb = cb, .ctx = ctx};
        pthread_mutex_lock(&c->lock);
        waiter_add(c, waiter);
        pthread_mutex_unlock(&c->lock);
        err = ag_chan_send(c, w, fds, fd_count);
        if (err == ANTAG_OK) {
            arm_timer(c);
            return;
        }
        pthread_mutex_lock(&c->lock);
        waiter = waiter_take(c, id);
        pthread_mutex_unlock(&c->lock);
        free(waiter);
    }
    struct ag_reply r;

    reply_failed(&r, err, "a request to another part of the agent could not be sent");
    cb(&r, ctx);
    ag_reply_fini(&r);
}

static struct timespec deadline_after(int64_t timeout_ms)
{
    int64_t at = ag_clock_mono_ms() + timeout_ms; /* the condition counts in this clock */

    return (struct timespec){.tv_sec = at / 1000, .tv_nsec = (at % 1000) * 1000000};
}

enum antag_err ag_chan_call(struct ag_chan *c, uint32_t id, struct antag_writer *w, const int *fds,
                            size_t fd_count, int64_t timeout_ms, struct ag_reply *out)
{
    struct waiter waiter = {.id = id, .out = out};
    struct timespec until = deadline_after(timeout_ms);
    enum antag_err err;

    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&c->lock);
    waiter_add(c, &waiter);
    pthread_mutex_unlock(&c->lock);
    err = ag_chan_send(c, w, fds, fd_count);

    pthread_mutex_lock(&c->lock);
    while (err == ANTAG_OK && !waiter.done)
        if (pthread_cond_timedwait(&c->answered, &c->lock, &until) == ETIMEDOUT && !waiter.done)
            err = ANTAG_ERR_TIMEOUT;
    if (!waiter.done && waiter_take(c, id) == NULL)
        while (!waiter.done) /* its answer is being handed over right now */
            pthread_cond_wait(&c->answered, &c->lock);
    pthread_mutex_unlock(&c->lock);
    if (!waiter.done)
        reply_failed(out, err,
                     err == ANTAG_ERR_TIMEOUT
                         ? "another part of the agent did not answer in time"
                         : "a request to another part of the agent could not be sent");
    return out->fault.err;
}

void ag_chan_take_answer(struct ag_chan *c, struct antag_slice bytes, uint32_t id,
                         struct ag_fds *fds)
{
    struct waiter *w;
    struct ag_reply r;

    pthread_mutex_lock(&c->lock);
    w = waiter_take(c, id);
    pthread_mutex_unlock(&c->lock);
    if (w == NULL) {
        ag_log(AG_LOG_DEBUG, "chan.late_answer", AG_F_TEXT("chan", c->name), AG_F_UINT("id", id));
        return;
    }
    reply_fill(&r, bytes, fds);
    waiter_end(c, w, &r);
}
