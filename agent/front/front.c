/* front: the role that payment services talk to. This file is its main thread: the control channel, the
 * steward's channel, the views, and the accepting of connections, which go to the workers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/front/failed.h"
#include "agent/front/listen.h"
#include "agent/front/proved.h"
#include "agent/front/refused.h"
#include "agent/front/worker.h"
#include "agent/lib/log.h"
#include "agent/lib/role.h"
#include "proto/params.h"

#define DRAIN_MS  5000 /* what is in flight then is given up */
#define GATHER_MS 1000 /* from the first refusal to the report of it */

enum wait_kind { WAIT_STATE, WAIT_COMMIT, WAIT_DRAINED };

/* a request of the steward that is answered when the workers are so far */
struct wait {
    TAILQ_ENTRY(wait) link;
    enum wait_kind kind;
    uint32_t id;
    uint64_t seq;   /* state, commit: of the view that every worker must work from */
    uint64_t epoch; /* commit, drained */
};

struct front {
    struct ag_role *role;
    struct ag_shared shared;
    uv_poll_t wake_poll;
    uv_timer_t drain_timer;
    uv_timer_t report_timer; /* of refusals; runs only when there are some */
    uv_timer_t failed_timer; /* likewise of signatures that Antom refused */
    int64_t reported_ms;     /* loop's; of the last one */
    bool has_handles, started, serving, draining;

    struct ag_rows *rows;
    struct ag_snapshot *snap; /* held; NULL: none yet */
    struct ag_conf conf;
    enum ag_agent_state state;
    char reason[256];
    struct ag_secret *token_key; /* of merchants' tokens; NULL: locked, or not received yet */
    struct ag_view *view;        /* the current one; held */
    struct ag_view *views;       /* all that may be in use */
    uint64_t view_seq;

    struct ag_worker **workers;
    size_t worker_count;
    struct ag_listener *listener;

    struct ag_chan *steward;
    TAILQ_HEAD(, wait) waits;
};

/* ---- views */

/* Make a view of what holds now and give it to all workers. */
static enum antag_err publish(struct front *f)
{
    struct ag_view *v =
        ag_view_new(f->view_seq + 1, f->snap, &f->conf, f->token_key, f->shared.main_wake);

    if (!v) {
        ag_log(AG_LOG_ERROR, "front.view", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
        return ANTAG_ERR_NO_MEMORY;
    }
    f->view_seq++;
    v->state = f->state;
    memcpy(v->reason, f->reason, sizeof(v->reason));
    v->next = f->views;
    f->views = v;
    for (size_t i = 0; i < f->worker_count; i++)
        ag_worker_give_view(f->workers[i], v);
    ag_view_release(f->view);
    f->view = v; /* transferred */
    return ANTAG_OK;
}

static void reap_views(struct front *f)
{
    struct ag_view **at = &f->views;

    while (*at) {
        struct ag_view *v = *at;

        if (atomic_load_explicit(&v->refs, memory_order_acquire) == 0) {
            *at = v->next;
            ag_view_free(v);
        } else {
            at = &v->next;
        }
    }
}

static bool all_work_from(const struct front *f, uint64_t seq)
{
    for (size_t i = 0; i < f->worker_count; i++) {
        if (ag_worker_view_seq(f->workers[i]) < seq)
            return false;
    }
    return true;
}

static bool in_use_before(const struct front *f, uint64_t epoch)
{
    for (const struct ag_view *v = f->views; v; v = v->next) {
        if (v->snap && ag_snapshot_epoch(v->snap) < epoch)
            return true;
    }
    return false;
}

/* ---- what waits for the workers */

static void answer_epoch(struct front *f, uint32_t id, uint64_t epoch)
{
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, 256);
    antag_m_answer(&w, id);
    antag_w_map(&w);
    antag_w_kv_uint(&w, "epoch", epoch);
    antag_w_end(&w);
    antag_m_close(&w);
    err = ag_chan_send(f->steward, &w, NULL, 0);
    if (err != ANTAG_OK)
        ag_log(AG_LOG_WARN, "front.commit_answer", AG_F_ERR(err));
    antag_writer_fini(&w);
}

static bool is_over(const struct front *f, const struct wait *wait)
{
    return wait->kind == WAIT_DRAINED ? !in_use_before(f, wait->epoch)
                                      : all_work_from(f, wait->seq);
}

static void check_waits(struct front *f)
{
    struct wait *wait, *after;

    for (wait = TAILQ_FIRST(&f->waits); wait; wait = after) {
        after = TAILQ_NEXT(wait, link);
        if (!is_over(f, wait))
            continue;
        TAILQ_REMOVE(&f->waits, wait, link);
        if (wait->kind == WAIT_COMMIT)
            answer_epoch(f, wait->id, wait->epoch);
        else
            ag_chan_answer_ok(f->steward, wait->id);
        free(wait);
    }
}

static void drop_waits(struct front *f)
{
    struct wait *wait;

    while ((wait = TAILQ_FIRST(&f->waits))) {
        TAILQ_REMOVE(&f->waits, wait, link);
        free(wait);
    }
}

static enum antag_err add_wait(struct front *f, enum wait_kind kind, uint32_t id, uint64_t epoch)
{
    struct wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return ANTAG_ERR_NO_MEMORY;
    *wait = (struct wait){.kind = kind, .id = id, .seq = f->view_seq, .epoch = epoch};
    TAILQ_INSERT_TAIL(&f->waits, wait, link);
    return ANTAG_OK;
}

/* Before there is anything to work from, connections wait in the backlog: after a restart nobody
 * meets a front that knows nothing. Locked is something to tell. */
static void serve_when_ready(struct front *f)
{
    bool known = f->snap || f->state == AG_STATE_LOCKED || f->state == AG_STATE_FAILED;

    if (f->serving || f->draining || !f->started || !known || !all_work_from(f, f->view_seq))
        return;
    f->serving = true;
    ag_listener_start(f->listener);
    ag_role_ready(f->role);
    ag_log(AG_LOG_INFO, "front.serving", AG_F_UINT("epoch", ag_snapshot_epoch(f->snap)),
           AG_F_TEXT("state", ag_agent_state_name(f->state)),
           AG_F_UINT("threads", f->worker_count));
}

/* ---- the steward */

static enum antag_err take_rows(struct front *f, const msgpack_object *params,
                                struct antag_fault *fault)
{
    const msgpack_object *list = antag_object_get(params, "rows");

    if (!list || list->type != MSGPACK_OBJECT_ARRAY)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "rows", "must be an array");
    for (uint32_t i = 0; i < list->via.array.size; i++) {
        struct ag_snap_row *row = calloc(1, sizeof(*row));
        enum antag_err err = ANTAG_ERR_NO_MEMORY;

        if (row)
            err = ag_snap_row_parse(&list->via.array.ptr[i], row, fault);
        else
            antag_fault_set(fault, err, NULL, NULL);
        if (err == ANTAG_OK && (err = ag_rows_apply(f->rows, row)) != ANTAG_OK)
            antag_fault_set(fault, err, NULL, NULL);
        if (row)
            ag_snap_row_fini(row);
        free(row);
        if (err != ANTAG_OK)
            return err;
    }
    return ANTAG_OK;
}

static enum antag_err take_commit(struct front *f, const struct antag_message *m,
                                  struct antag_fault *fault)
{
    struct ag_snapshot *snap = NULL;
    uint64_t epoch;
    enum antag_err err;

    if (!antag_object_uint(&m->params, "epoch", &epoch))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "epoch", "must be an integer");
    if ((err = ag_rows_commit(f->rows, epoch, &snap, fault)) != ANTAG_OK)
        return err;
    ag_snapshot_release(f->snap);
    f->snap = snap; /* transferred */
    if ((err = publish(f)) != ANTAG_OK ||
        (err = add_wait(f, WAIT_COMMIT, m->id, epoch)) != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, NULL);
    ag_log(AG_LOG_DEBUG, "front.commit", AG_F_UINT("epoch", epoch),
           AG_F_UINT("profiles", ag_snapshot_count(snap)));
    return ANTAG_OK;
}

static enum antag_err take_state(struct front *f, const struct antag_message *m,
                                 struct antag_fault *fault)
{
    char name[16], reason[sizeof(f->reason)];
    unsigned s = AG_STATE_STARTING;
    enum antag_err err;

    if (!antag_object_text(&m->params, "state", name, sizeof(name)))
        name[0] = '\0';
    (void)antag_object_text(&m->params, "reason", reason, sizeof(reason));
    while (s <= AG_STATE_FAILED && strcmp(name, ag_agent_state_name((enum ag_agent_state)s)) != 0)
        s++;
    if (s > AG_STATE_FAILED)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "state",
                               "must be starting, locked, ready or failed");
    f->state = (enum ag_agent_state)s;
    memcpy(f->reason, reason, sizeof(f->reason));
    if (f->state == AG_STATE_LOCKED) {
        ag_secret_free(f->token_key);
        f->token_key = NULL;
    }
    if ((err = publish(f)) != ANTAG_OK || (err = add_wait(f, WAIT_STATE, m->id, 0)) != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, NULL);
    return ANTAG_OK;
}

static enum antag_err take_drained(struct front *f, const struct antag_message *m,
                                   struct antag_fault *fault)
{
    uint64_t epoch;

    if (!antag_object_uint(&m->params, "epoch", &epoch))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "epoch", "must be an integer");
    if (add_wait(f, WAIT_DRAINED, m->id, epoch) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    return ANTAG_OK;
}

static enum antag_err take_begin(struct front *f, const struct antag_message *m,
                                 struct antag_fault *fault)
{
    enum antag_err err = ag_rows_begin(f->rows);

    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, NULL);
    ag_chan_answer_ok(f->steward, m->id);
    return ANTAG_OK;
}

static void write_used(uint64_t merchant_id, uint64_t count, int64_t last_ms, void *ctx)
{
    struct antag_writer *w = ctx;

    antag_w_uint(w, merchant_id);
    antag_w_uint(w, count);
    antag_w_int(w, last_ms);
}

static enum antag_err take_used(struct front *f, const struct antag_message *m,
                                struct antag_fault *fault)
{
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, m->id);
    antag_w_map(&w);
    antag_w_key(&w, "used");
    antag_w_array(&w);
    ag_rows_take_used(f->rows, AG_USED_MAX, write_used, &w);
    antag_w_end(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    err = ag_chan_send(f->steward, &w, NULL, 0);
    antag_writer_fini(&w);
    return err == ANTAG_OK ? err : antag_fault_set(fault, err, NULL, NULL);
}

static void on_steward_event(struct front *f, const struct antag_message *m)
{
    struct antag_fault fault;

    if (!antag_slice_is(m->name, "rows")) {
        ag_log(AG_LOG_WARN, "front.unknown_event", AG_F_SLICE("name", m->name));
        return;
    }
    if (take_rows(f, &m->params, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "front.rows", &fault);
        ag_rows_spoil(f->rows, &fault); /* the commit will say so to the steward */
    }
}

static void on_steward_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                               void *ctx)
{
    static const struct {
        const char *name;
        enum antag_err (*take)(struct front *f, const struct antag_message *m,
                               struct antag_fault *fault);
    } requests[] = {
        {"state", take_state},     {"begin", take_begin}, {"commit", take_commit},
        {"drained", take_drained}, {"used", take_used},
    };
    struct front *f = ctx;
    struct antag_fault fault;
    enum antag_err err = ANTAG_ERR_UNKNOWN_METHOD;

    (void)fds;
    if (m->shape == ANTAG_EVENT) {
        on_steward_event(f, m);
        return;
    }
    antag_fault_set(&fault, err, NULL, NULL);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        if (antag_slice_is(m->name, requests[i].name))
            err = requests[i].take(f, m, &fault);
    }
    if (err != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "front.steward_request", &fault);
        ag_chan_refuse(c, m->id, &fault);
    }
    check_waits(f);
}

/* The old snapshot goes on serving; a fresh pair brings a full load. */
static void on_steward_closed(struct ag_chan *c, void *ctx)
{
    struct front *f = ctx;

    ag_log(AG_LOG_WARN, "front.steward_gone");
    drop_waits(f);
    f->steward = NULL;
    ag_chan_close(c);
}

static const struct ag_chan_ops steward_ops = {on_steward_message, NULL, on_steward_closed};

static void plan_report(struct front *f);
static void report_proofs(struct front *f);

static void join_steward(struct front *f, int fd)
{
    enum antag_err err;

    drop_waits(f);
    ag_chan_close(f->steward);
    f->steward = NULL;
    err = ag_chan_open(ag_role_loop(f->role), fd, "steward", &steward_ops, f, &f->steward);
    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "front.steward", AG_F_ERR(err));
    else
        plan_report(f);
    report_proofs(f);
}

/* ---- refusals, for the record */

/* Now, whatever the period. What the steward cannot take stays for the next time. */
static void report_refusals(struct front *f)
{
    struct ag_refusals *taken = f->steward ? malloc(sizeof *taken) : NULL;
    struct antag_writer w;
    enum antag_err err;

    if (!taken || !ag_refused_take(&f->shared, taken)) {
        free(taken);
        return;
    }
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_event(&w, "refusals");
    ag_refusals_write(&w, taken);
    antag_m_close(&w);
    err = ag_chan_send(f->steward, &w, NULL, 0);
    antag_writer_fini(&w);
    f->reported_ms = (int64_t)uv_now(ag_role_loop(f->role));
    if (err != ANTAG_OK) {
        ag_log(AG_LOG_WARN, "front.refusals", AG_F_ERR(err));
        ag_refused_merge(&f->shared, taken);
    }
    free(taken);
}

static void on_report(uv_timer_t *timer);

static void plan_report(struct front *f)
{
    int64_t now = (int64_t)uv_now(ag_role_loop(f->role)), at = now + GATHER_MS;
    int64_t next = f->reported_ms + f->conf.audit_refusals_every_ms;

    if (f->draining || uv_is_active((uv_handle_t *)&f->report_timer) || !ag_refused_any(&f->shared))
        return;
    at = f->reported_ms > 0 && next > at ? next : at;
    uv_timer_start(&f->report_timer, on_report, (uint64_t)(at - now), 0);
}

static void on_report(uv_timer_t *timer)
{
    struct front *f = timer->data;

    report_refusals(f);
    if (f->steward) /* else its coming plans the next one */
        plan_report(f);
}

/* What succeeded for the first time. What the steward cannot take stays for the next time. */
static void report_proofs(struct front *f)
{
    struct ag_proofs taken;
    struct antag_writer w;
    enum antag_err err = ANTAG_OK;

    if (!f->steward || !ag_proved_take(&f->shared, &taken))
        return;
    for (size_t i = 0; i < taken.count && err == ANTAG_OK; i++) {
        antag_writer_init(&w, 256);
        antag_m_event(&w, "proved");
        ag_proofs_write(&w, taken.v[i].profile_id, taken.v[i].methods);
        antag_m_close(&w);
        err = ag_chan_send(f->steward, &w, NULL, 0);
        antag_writer_fini(&w);
    }
    if (err != ANTAG_OK)
        ag_proved_merge(&f->shared,
                        &taken); /* those that were told are told twice, which does no harm */
}

/* Signatures that Antom refused. One that is lost with a channel is one of many. */
static void on_failed(uv_timer_t *timer)
{
    struct front *f = timer->data;
    struct ag_failures taken;
    struct antag_writer w;

    if (!f->steward || !ag_failed_take(&f->shared, &taken))
        return;
    for (size_t i = 0; i < taken.count; i++) {
        antag_writer_init(&w, 256);
        antag_m_event(&w, "failed");
        ag_failure_write(&w, &taken.v[i]);
        antag_m_close(&w);
        if (ag_chan_send(f->steward, &w, NULL, 0) != ANTAG_OK)
            ag_log(AG_LOG_WARN, "front.failed", AG_F_UINT("count", taken.v[i].count));
        antag_writer_fini(&w);
    }
}

static void plan_failed(struct front *f)
{
    if (!f->draining && !uv_is_active((uv_handle_t *)&f->failed_timer) && ag_failed_any(&f->shared))
        uv_timer_start(&f->failed_timer, on_failed, GATHER_MS, 0);
}

/* ---- connections */

/* The worker that has the fewest. */
static void on_accept(int fd, const struct ag_caller *caller, struct ag_uid *uid, void *ctx)
{
    struct front *f = ctx;
    struct ag_worker *best = f->workers[0];
    unsigned fewest = ag_worker_conn_count(best);

    for (size_t i = 1; i < f->worker_count; i++) {
        unsigned count = ag_worker_conn_count(f->workers[i]);

        if (count < fewest) {
            best = f->workers[i];
            fewest = count;
        }
    }
    ag_worker_give_conn(best, fd, caller, uid);
}

/* ---- the end */

static void stop_workers(struct front *f)
{
    for (size_t i = 0; i < f->worker_count; i++)
        ag_worker_stop(f->workers[i]);
    f->worker_count = 0;
}

/* The role ends: by draining, or because the supervisor has gone. */
static void on_end(struct ag_role *r, void *ctx)
{
    struct front *f = ctx;

    (void)r;
    stop_workers(f);
    ag_listener_free(f->listener);
    f->listener = NULL;
    drop_waits(f);
    ag_chan_close(f->steward);
    f->steward = NULL;
    if (f->has_handles) {
        uv_close((uv_handle_t *)&f->wake_poll, NULL);
        uv_close((uv_handle_t *)&f->drain_timer, NULL);
        uv_close((uv_handle_t *)&f->report_timer, NULL);
        uv_close((uv_handle_t *)&f->failed_timer, NULL);
    }
}

static void end_when_drained(struct front *f)
{
    if (!f->draining)
        return;
    for (size_t i = 0; i < f->worker_count; i++) {
        if (!ag_worker_is_drained(f->workers[i]))
            return;
    }
    report_refusals(f);
    ag_role_end(f->role, 0);
}

static void on_drain_over(uv_timer_t *timer)
{
    struct front *f = timer->data;

    ag_log(AG_LOG_WARN, "front.drain_cut_off", AG_F_INT("after_ms", DRAIN_MS));
    ag_role_end(f->role, 0);
}

static void on_drain(struct ag_role *r, void *ctx)
{
    struct front *f = ctx;

    if (!f->started) {
        ag_role_end(r, 0);
        return;
    }
    f->draining = true;
    ag_listener_stop(f->listener);
    for (size_t i = 0; i < f->worker_count; i++)
        ag_worker_drain(f->workers[i]);
    uv_timer_start(&f->drain_timer, on_drain_over, DRAIN_MS, 0);
}

/* A worker took a view, released one, or has drained. */
static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct front *f = poll->data;
    uint64_t count;

    (void)status;
    (void)events;
    if (read(f->shared.main_wake, &count, sizeof(count)) < 0 && errno != EAGAIN)
        ag_log(AG_LOG_ERROR, "front.wake", AG_F_INT("errno", errno));
    reap_views(f);
    if (f->steward)
        check_waits(f);
    report_proofs(f);
    plan_report(f);
    plan_failed(f);
    serve_when_ready(f);
    end_when_drained(f);
}

/* ---- the beginning */

static bool start_workers(struct front *f)
{
    size_t count = f->conf.front_threads > 0 ? (size_t)f->conf.front_threads
                                             : (size_t)uv_available_parallelism();

    f->workers = calloc(count, sizeof(struct ag_worker *));
    if (!f->workers)
        return false;
    while (f->worker_count < count) {
        struct ag_worker *w = ag_worker_start(&f->shared, f->view);

        if (!w)
            return false;
        f->workers[f->worker_count++] = w;
    }
    return true;
}

static bool start(struct front *f, struct ag_role *r, const struct ag_role_start *s)
{
    uv_loop_t *loop = ag_role_loop(r);

    f->role = r;
    f->conf = s->conf;
    f->state = s->state;
    memcpy(f->reason, s->reason, sizeof(f->reason));
    f->rows = ag_rows_new();
    f->shared.main_wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!f->rows || f->shared.main_wake < 0 ||
        uv_poll_init(loop, &f->wake_poll, f->shared.main_wake) != 0)
        return false;
    f->wake_poll.data = f;
    uv_poll_start(&f->wake_poll, UV_READABLE, on_wake);
    uv_timer_init(loop, &f->drain_timer);
    uv_timer_init(loop, &f->report_timer);
    uv_timer_init(loop, &f->failed_timer);
    f->has_handles = true;
    f->drain_timer.data = f->report_timer.data = f->failed_timer.data = f;
    if (publish(f) != ANTAG_OK || !start_workers(f))
        return false;
    f->listener = ag_listener_new(loop, s->listen_fd, on_accept, f);
    if (!f->listener)
        return false;
    ag_listener_set_limit(f->listener, (unsigned)f->conf.limits_connections_per_uid);
    f->started = true;
    serve_when_ready(f);
    return true;
}

static void on_start(struct ag_role *r, const struct ag_role_start *s, void *ctx)
{
    if (s->listen_fd >= 0 && start(ctx, r, s))
        return;
    ag_log(AG_LOG_ERROR, "front.start", AG_F_INT("listen_fd", s->listen_fd));
    ag_role_end(r, antag_err_exit(ANTAG_ERR_INTERNAL));
}

static void on_peer(struct ag_role *r, enum ag_role_kind peer, const char *name, uint32_t lane,
                    int fd, void *ctx)
{
    struct front *f = ctx;

    (void)r;
    if (f->started && !f->draining && peer == AG_ROLE_steward) {
        join_steward(f, fd);
    } else if (f->started && peer == AG_ROLE_keeper && lane < f->worker_count) {
        ag_worker_give_lane(f->workers[lane], name, fd);
    } else {
        if (!f->draining)
            ag_log(AG_LOG_ERROR, "front.unexpected_peer", AG_F_TEXT("role", ag_role_name(peer)),
                   AG_F_UINT("lane", lane));
        close(fd);
    }
}

/* The key of merchants' tokens: before the start, or when the agent is unlocked later. */
static void on_secret(struct ag_role *r, const char *label, struct ag_secret *secret, void *ctx)
{
    struct front *f = ctx;

    (void)r;
    if (strcmp(label, "tokens") != 0) {
        ag_secret_free(secret);
        return;
    }
    ag_secret_free(f->token_key);
    f->token_key = secret;
    if (f->started && !f->draining && publish(f) != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "front.tokens", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
}

/* Limits and policy hold from the next request on; the number of threads after the next start. */
static void on_conf(struct ag_role *r, const struct ag_conf *conf, void *ctx)
{
    struct front *f = ctx;

    (void)r;
    if (!f->started || f->draining)
        return;
    f->conf = *conf;
    ag_listener_set_limit(f->listener, (unsigned)conf->limits_connections_per_uid);
    if (publish(f) != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "front.conf", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
}

/* As many descriptors as the system allows: each connection is one. */
static void raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        ag_log(AG_LOG_WARN, "front.descriptors", AG_F_INT("errno", errno));
}

int ag_front_main(void)
{
    static const struct ag_role_ops ops = {
        .on_secret = on_secret,
        .on_start = on_start,
        .on_peer = on_peer,
        .on_conf = on_conf,
        .on_drain = on_drain,
        .on_end = on_end,
    };
    static struct front f;
    int status;

    uv_mutex_init(&f.shared.refused_lock);
    uv_mutex_init(&f.shared.proved_lock);
    uv_mutex_init(&f.shared.failed_lock);
    raise_descriptors();
    TAILQ_INIT(&f.waits);
    f.shared.main_wake = -1;
    status = ag_role_run(AG_ROLE_front, &ops, &f);
    free(f.workers);
    f.workers = NULL;
    ag_view_release(f.view);
    reap_views(&f);
    ag_snapshot_release(f.snap);
    ag_rows_free(f.rows);
    ag_secret_free(f.token_key);
    return status;
}
