#include "agent/steward/side.h"

#include <stdlib.h>

#include "agent/lib/clock.h"

struct ag_side {
    struct ag_steward *st;
    ag_side_pass_fn *pass;
    uv_thread_t thread;
    uv_mutex_t lock;
    uv_cond_t wake, idle;
    uint64_t kicks, passes; /* passes: kicks that are dealt with */
    bool quit;
};

/* Lock held. */
static void wait_for_next(struct ag_side *s, uint64_t seen, int64_t wait_ms)
{
    if (s->quit || s->kicks != seen || wait_ms == 0)
        return;
    if (wait_ms < 0)
        uv_cond_wait(&s->wake, &s->lock);
    else
        (void)uv_cond_timedwait(&s->wake, &s->lock, (uint64_t)wait_ms * 1000000);
}

static void run(void *ctx)
{
    struct ag_side *s = ctx;

    uv_mutex_lock(&s->lock);
    while (!s->quit) {
        uint64_t seen = s->kicks;
        int64_t wait_ms;

        uv_mutex_unlock(&s->lock);
        wait_ms = s->pass(s->st);
        uv_mutex_lock(&s->lock);
        s->passes = seen;
        uv_cond_broadcast(&s->idle);
        wait_for_next(s, seen, wait_ms);
    }
    uv_cond_broadcast(&s->idle);
    uv_mutex_unlock(&s->lock);
}

static void side_free(struct ag_side *s)
{
    uv_cond_destroy(&s->idle);
    uv_cond_destroy(&s->wake);
    uv_mutex_destroy(&s->lock);
    free(s);
}

enum antag_err ag_side_start(struct ag_steward *st, ag_side_pass_fn *pass, struct ag_side **out)
{
    struct ag_side *s = calloc(1, sizeof *s);

    if (s == NULL)
        return ANTAG_ERR_NO_MEMORY;
    s->st = st;
    s->pass = pass;
    uv_mutex_init(&s->lock);
    uv_cond_init(&s->wake);
    uv_cond_init(&s->idle);
    *out = s; /* the pass may look for it */
    if (uv_thread_create(&s->thread, run, s) == 0)
        return ANTAG_OK;
    *out = NULL;
    side_free(s);
    return ANTAG_ERR_NO_MEMORY;
}

/* Lock held. */
static uint64_t kick(struct ag_side *s)
{
    s->kicks++;
    uv_cond_signal(&s->wake);
    return s->kicks;
}

void ag_side_kick(struct ag_side *s)
{
    if (s == NULL)
        return;
    uv_mutex_lock(&s->lock);
    (void)kick(s);
    uv_mutex_unlock(&s->lock);
}

void ag_side_settle(struct ag_side *s, int64_t timeout_ms)
{
    int64_t until = ag_clock_mono_ms() + timeout_ms, left;
    uint64_t mine;

    uv_mutex_lock(&s->lock);
    mine = kick(s);
    while (!s->quit && s->passes < mine && (left = until - ag_clock_mono_ms()) > 0)
        (void)uv_cond_timedwait(&s->idle, &s->lock, (uint64_t)left * 1000000);
    uv_mutex_unlock(&s->lock);
}

void ag_side_join(struct ag_side *s)
{
    if (s == NULL)
        return;
    uv_mutex_lock(&s->lock);
    s->quit = true;
    uv_cond_signal(&s->wake);
    uv_cond_broadcast(&s->idle);
    uv_mutex_unlock(&s->lock);
    uv_thread_join(&s->thread);
    side_free(s);
}
