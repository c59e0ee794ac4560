#include "agent/front/worker.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/front/conn.h"
#include "agent/front/request.h"
#include "agent/front/watch.h"
#include "agent/lib/log.h"

/* something with a descriptor that the main thread hands over */
struct parcel {
    STAILQ_ENTRY(parcel) link;
    int fd;
    struct ag_uid *uid; /* a connection; NULL: a lane */
    struct ag_caller caller;
    char keyring[ANTAG_KEYRING_MAX + 1];
};
STAILQ_HEAD(parcels, parcel);

#define LINGER_NS   30000
#define LINGER_VAIN 4   /* times in a row, and then */
#define LINGER_SKIP 256 /* requests without it */

struct ag_inbox {
    uv_thread_t thread;
    uv_async_t wake;
    uv_check_t check;
    uv_idle_t linger; /* runs while the loop looks for the next request instead of sleeping */
    bool closing;

    uv_mutex_t lock; /* guards what follows; held for a few pointers only */
    struct parcels parcels;
    struct ag_view *next_view; /* the latest one given; held */
    bool drain, stop;

    atomic_uint_fast64_t view_seq;
    atomic_uint conn_count;
    atomic_bool drained;
};

/* ---- hand-over, main thread */

static void give_parcel(struct ag_worker *w, struct parcel *p)
{
    uv_mutex_lock(&w->inbox->lock);
    STAILQ_INSERT_TAIL(&w->inbox->parcels, p, link);
    uv_mutex_unlock(&w->inbox->lock);
    uv_async_send(&w->inbox->wake);
}

void ag_worker_give_conn(struct ag_worker *w, int fd, const struct ag_caller *caller,
                         struct ag_uid *uid)
{
    struct parcel *p = calloc(1, sizeof(*p));

    if (!p) {
        close(fd);
        atomic_fetch_sub(&uid->conns, 1);
        return;
    }
    p->fd = fd;
    p->uid = uid;
    p->caller = *caller;
    atomic_fetch_add(&w->inbox->conn_count, 1);
    give_parcel(w, p);
}

void ag_worker_give_lane(struct ag_worker *w, const char *keyring, int fd)
{
    struct parcel *p = calloc(1, sizeof(*p));

    if (!p) {
        ag_log(AG_LOG_ERROR, "lane.join", AG_F_TEXT("keyring", keyring),
               AG_F_ERR(ANTAG_ERR_NO_MEMORY));
        close(fd);
        return;
    }
    p->fd = fd;
    antag_slice_copy(antag_slice_of(keyring), p->keyring, sizeof(p->keyring));
    give_parcel(w, p);
}

void ag_worker_give_view(struct ag_worker *w, struct ag_view *view)
{
    struct ag_view *passed_over;

    ag_view_hold(view);
    uv_mutex_lock(&w->inbox->lock);
    passed_over = w->inbox->next_view;
    w->inbox->next_view = view;
    uv_mutex_unlock(&w->inbox->lock);
    ag_view_release(passed_over);
    uv_async_send(&w->inbox->wake);
}

void ag_worker_drain(struct ag_worker *w)
{
    uv_mutex_lock(&w->inbox->lock);
    w->inbox->drain = true;
    uv_mutex_unlock(&w->inbox->lock);
    uv_async_send(&w->inbox->wake);
}

uint64_t ag_worker_view_seq(const struct ag_worker *w)
{
    return atomic_load(&w->inbox->view_seq);
}

unsigned ag_worker_conn_count(const struct ag_worker *w)
{
    return atomic_load(&w->inbox->conn_count);
}

bool ag_worker_is_drained(const struct ag_worker *w)
{
    return atomic_load(&w->inbox->drained);
}

/* ---- the worker's thread */

/* Requests to the keepers, answers to the callers. A caller that takes its answers lets its held
 * requests through, and those are for the keepers again. */
static void move_on(struct ag_worker *w, bool idle_only)
{
    do
        ag_links_pump(w->links, idle_only);
    while (ag_conns_flush(w));
}

void ag_worker_settle(struct ag_worker *w)
{
    move_on(w, true);
}

static void on_settled(void *ctx)
{
    move_on(ctx, false);
}

/* ---- lingering: to wake a sleeper takes longer than to verify. A lone caller who asks one thing after the other comes again at
 * once, so the loop looks for him for a moment before it sleeps. Not while keepers work, which need the core, nor beside other
 * callers, who do, nor where it was in vain of late. */

static void on_linger(uv_idle_t *idle)
{
    struct ag_worker *w = idle->data;

    if (uv_hrtime() < w->linger_until_ns)
        return;
    uv_idle_stop(idle);
    if (++w->linger_vain < LINGER_VAIN)
        return;
    w->linger_vain = 0; /* nobody here comes again that soon */
    w->linger_skip = LINGER_SKIP;
}

/* At the end of a turn in which requests came. */
static void linger(struct ag_worker *w, unsigned came)
{
    uv_idle_t *idle = &w->inbox->linger;

    if (uv_is_active((uv_handle_t *)idle))
        w->linger_vain = 0;
    else if (w->linger_skip > 0)
        w->linger_skip--;
    w->linger_until_ns = uv_hrtime() + LINGER_NS;
    if (came == 1 && w->linger_skip == 0 && !ag_links_are_busy(w->links))
        (void)uv_idle_start(idle, on_linger); /* of one that runs: nothing */
    else
        uv_idle_stop(idle);
}

/* After all callbacks of one turn of the loop: what has gathered for busy keepers goes out. */
static void on_check(uv_check_t *check)
{
    struct ag_worker *w = check->data;

    move_on(w, false);
    if (w->came > 0)
        linger(w, w->came);
    w->came = 0;
}

static void tell_drained(struct ag_worker *w)
{
    if (!w->draining || !TAILQ_EMPTY(&w->conns) || atomic_load(&w->inbox->drained))
        return;
    atomic_store(&w->inbox->drained, true);
    ag_front_wake(w->shared->main_wake);
}

void ag_worker_conn_closed(struct ag_worker *w)
{
    atomic_fetch_sub(&w->inbox->conn_count, 1);
    tell_drained(w);
}

static void take_view(struct ag_worker *w, struct ag_view *view)
{
    struct ag_view *old = w->view;

    w->view = view; /* transferred */
    ag_watch_view(w, old, view);
    atomic_store(&w->inbox->view_seq, view->seq);
    ag_view_release(old);
    ag_front_wake(w->shared->main_wake);
}

static void take_parcels(struct ag_worker *w, struct parcels *parcels)
{
    struct parcel *p;

    while ((p = STAILQ_FIRST(parcels))) {
        STAILQ_REMOVE_HEAD(parcels, link);
        if (p->uid)
            ag_conn_open(w, p->fd, &p->caller, p->uid);
        else
            ag_links_join(w->links, p->keyring, p->fd);
        free(p);
    }
}

static void close_all(struct ag_worker *w)
{
    w->inbox->closing = true;
    ag_conns_close(w);
    ag_links_close(w->links);
    uv_close((uv_handle_t *)&w->due_timer, NULL);
    uv_close((uv_handle_t *)&w->inbox->check, NULL);
    uv_close((uv_handle_t *)&w->inbox->linger, NULL);
    uv_close((uv_handle_t *)&w->inbox->wake, NULL);
}

static void on_wake(uv_async_t *async)
{
    struct ag_worker *w = async->data;
    struct ag_inbox *in = w->inbox;
    struct parcels parcels = STAILQ_HEAD_INITIALIZER(parcels);
    struct ag_view *view;
    bool drain, stop;

    uv_mutex_lock(&in->lock);
    STAILQ_CONCAT(&parcels, &in->parcels);
    view = in->next_view;
    in->next_view = NULL;
    drain = in->drain;
    stop = in->stop;
    uv_mutex_unlock(&in->lock);

    if (view)
        take_view(w, view);
    take_parcels(w, &parcels);
    if (drain && !w->draining) {
        w->draining = true;
        ag_conns_drain(w);
        tell_drained(w);
    }
    if (stop && !in->closing)
        close_all(w);
    else if (!in->closing)
        ag_worker_settle(w);
}

static void run(void *arg)
{
    struct ag_worker *w = arg;

    uv_run(&w->loop, UV_RUN_DEFAULT);
}

/* ---- beginning and end, main thread */

static enum antag_err make_tools(struct ag_worker *w)
{
    antag_writer_init(&w->writer, ANTAG_FRAME_MAX);
    w->read_buf = malloc(AG_READ_BUF);
    w->hasher = ag_hasher_new();
    w->verifier = ag_verifier_new();
    return w->read_buf && w->hasher && w->verifier ? antag_decoder_init(&w->decoder)
                                                   : ANTAG_ERR_NO_MEMORY;
}

static enum antag_err make_handles(struct ag_worker *w)
{
    struct ag_inbox *in = w->inbox;

    if (uv_loop_init(&w->loop) != 0)
        return ANTAG_ERR_NO_MEMORY;
    w->links = ag_links_new(&w->loop, ag_request_signed, on_settled, w);
    if (!w->links || uv_async_init(&w->loop, &in->wake, on_wake) != 0)
        return ANTAG_ERR_NO_MEMORY;
    in->wake.data = in->check.data = in->linger.data = w->due_timer.data = w;
    uv_timer_init(&w->loop, &w->due_timer);
    uv_check_init(&w->loop, &in->check);
    uv_check_start(&in->check, on_check);
    uv_idle_init(&w->loop, &in->linger);
    return ANTAG_OK;
}

static void free_tools(struct ag_worker *w)
{
    ag_view_release(w->view);
    ag_view_release(w->inbox->next_view);
    if (w->verifier && w->hasher && w->read_buf)
        antag_decoder_fini(&w->decoder);
    antag_writer_fini(&w->writer);
    ag_verifier_free(w->verifier);
    ag_hasher_free(w->hasher);
    free(w->read_buf);
    while (w->spare_count > 0)
        free(w->spare[--w->spare_count].bytes);
    uv_mutex_destroy(&w->inbox->lock);
    free(w->inbox);
    free(w);
}

/* The thread takes no signals: they are for the main thread of the role. */
static bool start_thread(struct ag_worker *w)
{
    sigset_t all, before;
    bool started;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    started = uv_thread_create(&w->inbox->thread, run, w) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

struct ag_worker *ag_worker_start(struct ag_shared *shared, struct ag_view *view)
{
    struct ag_worker *w = calloc(1, sizeof(*w));

    if (!w)
        return NULL;
    w->inbox = calloc(1, sizeof(*w->inbox));
    if (!w->inbox || uv_mutex_init(&w->inbox->lock) != 0) {
        free(w->inbox);
        free(w);
        return NULL;
    }
    w->shared = shared;
    w->view = ag_view_hold(view);
    atomic_init(&w->inbox->view_seq, view->seq);
    STAILQ_INIT(&w->inbox->parcels);
    TAILQ_INIT(&w->conns);
    TAILQ_INIT(&w->due);
    TAILQ_INIT(&w->dirty);
    /* A role that cannot make its loops ends; what a half-made one holds goes with the process. */
    if (make_tools(w) != ANTAG_OK || make_handles(w) != ANTAG_OK || !start_thread(w)) {
        ag_log(AG_LOG_ERROR, "worker.start", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
        return NULL;
    }
    return w;
}

void ag_worker_stop(struct ag_worker *w)
{
    struct parcel *p;

    if (!w)
        return;
    uv_mutex_lock(&w->inbox->lock);
    w->inbox->stop = true;
    uv_mutex_unlock(&w->inbox->lock);
    uv_async_send(&w->inbox->wake);
    uv_thread_join(&w->inbox->thread);
    while ((p = STAILQ_FIRST(&w->inbox->parcels))) { /* given after the thread looked last */
        STAILQ_REMOVE_HEAD(&w->inbox->parcels, link);
        close(p->fd);
        free(p);
    }
    uv_loop_close(&w->loop);
    free_tools(w);
}
