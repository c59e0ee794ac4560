/* slots: the lasting roles: started, joined by fresh pairs along the table of edges, restarted. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/supervisor/run.h"

#define BACKOFF_FIRST_MS  50
#define BACKOFF_MAX_MS    1000
#define BACKOFF_FORGET_MS 5000 /* one that ran this long starts again at once */

enum edge_how { EDGE_CONTROL, EDGE_CHANNEL, EDGE_LANES, EDGE_TASK };
struct edge {
    enum ag_role_kind a, b;
    enum edge_how how;
};
static const struct edge edges[] = {
#define AG_ROW(a, b, how, what) {AG_ROLE_##a, AG_ROLE_##b, EDGE_##how},
    AG_EDGES(AG_ROW)
#undef AG_ROW
};

struct ag_slot *ag_slot_of(struct ag_run *r, enum ag_role_kind kind, const char *name)
{
    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].kind == kind && strcmp(r->slots[i].name, name) == 0)
            return &r->slots[i];
    return NULL;
}

bool ag_slots_all_down(const struct ag_run *r, enum ag_role_kind kind)
{
    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].kind == kind && r->slots[i].child != NULL)
            return false;
    return true;
}

/* ---- pairs */

static void join(struct ag_run *r, const struct edge *e, struct ag_slot *a, struct ag_slot *b)
{
    if (a->child == NULL || b->child == NULL)
        return;
    if (e->how == EDGE_CHANNEL)
        ag_child_join(a->child, b->child, 0);
    else if (e->how == EDGE_LANES && b->child->ready)
        for (uint32_t lane = 0; lane < r->front_threads; lane++)
            ag_child_join(a->child, b->child, lane);
}

/* Give `s` and each of its peers a fresh pair. became_ready: only those that waited for that. */
static void join_peers(struct ag_slot *s, bool became_ready)
{
    struct ag_run *r = s->run;

    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        const struct edge *e = &edges[i];

        if (became_ready && (e->how != EDGE_LANES || e->b != s->kind))
            continue;
        for (size_t k = 0; k < r->slot_count; k++) {
            struct ag_slot *other = &r->slots[k];

            if (e->a == s->kind && e->b == other->kind)
                join(r, e, s, other);
            else if (e->b == s->kind && e->a == other->kind)
                join(r, e, other, s);
        }
    }
}

/* ---- a child's messages and end */

static void slot_message(struct ag_child *c, const struct antag_message *m, struct ag_fds *fds)
{
    struct ag_slot *s = c->ctx;

    if (m->shape == ANTAG_REQUEST && c->kind == AG_ROLE_steward) {
        ag_unseal_request(c, m, fds);
    } else if (antag_slice_is(m->name, "ready") && !c->ready) {
        c->ready = true;
        ag_log(AG_LOG_INFO, "role.ready", AG_F_TEXT("role", ag_role_name(c->kind)),
               AG_F_TEXT("name", c->name), AG_F_INT("pid", c->pid));
        join_peers(s, true);
        ag_run_on_ready(s->run);
    } else {
        ag_log(AG_LOG_ERROR, "supervisor.unknown_message", AG_F_TEXT("role", ag_role_name(c->kind)),
               AG_F_SLICE("message", m->name));
    }
}

static void on_retry(uv_timer_t *timer)
{
    struct ag_slot *s = timer->data;

    if (s->wanted && s->child == NULL)
        ag_slot_start(s);
}

/* At once after a good run, with growing pauses when it dies again and again. */
static void plan_restart(struct ag_slot *s, int64_t ran_ms)
{
    if (ran_ms >= BACKOFF_FORGET_MS)
        s->backoff_ms = 0;
    uv_timer_start(&s->retry, on_retry, (uint64_t)s->backoff_ms, 0);
    s->backoff_ms = s->backoff_ms == 0 ? BACKOFF_FIRST_MS : s->backoff_ms * 2;
    if (s->backoff_ms > BACKOFF_MAX_MS)
        s->backoff_ms = BACKOFF_MAX_MS;
}

static void slot_exit(struct ag_child *c, int64_t status, int sig)
{
    struct ag_slot *s = c->ctx;
    int64_t ran_ms = ag_clock_mono_ms() - c->since_mono_ms;

    s->child = NULL;
    if (s->wanted) {
        s->restarts++;
        ag_log(AG_LOG_ERROR, "role.died", AG_F_TEXT("role", ag_role_name(c->kind)),
               AG_F_TEXT("name", c->name), AG_F_INT("pid", c->pid), AG_F_INT("status", status),
               AG_F_INT("signal", sig), AG_F_INT("ran_ms", ran_ms),
               AG_F_UINT("restarts", s->restarts));
        plan_restart(s, ran_ms);
    } else {
        uv_timer_stop(&s->retry);
        ag_log(AG_LOG_INFO, "role.ended", AG_F_TEXT("role", ag_role_name(c->kind)),
               AG_F_TEXT("name", c->name), AG_F_INT("status", status), AG_F_INT("signal", sig));
    }
    if (c->kind == AG_ROLE_keeper)
        ag_unseal_keeper_down(s->run);
    ag_run_on_down(s->run);
}

static const struct ag_child_ops slot_ops = {slot_message, NULL, slot_exit};

/* ---- start and stop */

static void hand_over(struct ag_slot *s)
{
    struct ag_run *r = s->run;
    struct ag_role_start start;
    char label[ANTAG_KEYRING_MAX + 16];
    int listen_fd = s->kind == AG_ROLE_front     ? r->agent_fd
                    : s->kind == AG_ROLE_steward ? r->staff_fd
                                                 : -1;

    if (r->root != NULL && s->kind == AG_ROLE_keeper) {
        snprintf(label, sizeof label, "keyring:%s", s->name);
        ag_give_subkey(s->child, r->root, label);
        snprintf(label, sizeof label, "audit:%s", s->name);
        ag_give_subkey(s->child, r->root, label);
    } else if (r->root != NULL && s->kind == AG_ROLE_steward) {
        ag_give_subkey(s->child, r->root, "registry:seal");
        ag_give_subkey(s->child, r->root, "registry:mac");
        ag_give_subkey(s->child, r->root, "audit:steward");
        ag_give_subkey(s->child, r->root, "tokens");
    } else if (r->root != NULL && s->kind == AG_ROLE_front) {
        ag_give_subkey(s->child, r->root, "tokens");
    }
    ag_run_start_params(r, s->name, &start);
    ag_child_start(s->child, &start, r->conf_text, listen_fd);
}

void ag_slot_start(struct ag_slot *s)
{
    enum antag_err err;

    s->wanted = true;
    if (s->child != NULL)
        return;
    err = ag_child_spawn(&s->run->loop, s->kind, s->name, &slot_ops, s, &s->child);
    if (err != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "role.start", AG_F_TEXT("role", ag_role_name(s->kind)), AG_F_ERR(err));
        plan_restart(s, 0);
        return;
    }
    hand_over(s);
    join_peers(s, false);
}

static void on_kill(uv_timer_t *timer)
{
    struct ag_slot *s = timer->data;

    if (!s->wanted && s->child != NULL) {
        ag_log(AG_LOG_WARN, "role.killed", AG_F_TEXT("role", ag_role_name(s->kind)));
        ag_child_kill(s->child, SIGKILL);
    }
}

void ag_slot_stop(struct ag_slot *s, int64_t kill_after_ms)
{
    s->wanted = false;
    s->backoff_ms = 0;
    uv_timer_stop(&s->retry);
    if (s->child == NULL)
        return;
    ag_child_event(s->child, "drain");
    uv_timer_start(&s->retry, on_kill, (uint64_t)kill_after_ms, 0);
}

static void add_slot(struct ag_run *r, enum ag_role_kind kind, const char *name)
{
    struct ag_slot *s = &r->slots[r->slot_count++];

    s->run = r;
    s->kind = kind;
    snprintf(s->name, sizeof s->name, "%s", name);
    uv_timer_init(&r->loop, &s->retry);
    s->retry.data = s;
}

void ag_slots_make(struct ag_run *r)
{
    add_slot(r, AG_ROLE_steward, "");
    for (size_t i = 0; i < r->conf.keyring_count; i++)
        add_slot(r, AG_ROLE_keeper, r->conf.keyrings[i].name);
    add_slot(r, AG_ROLE_front, "");
    add_slot(r, AG_ROLE_courier, "");
}
