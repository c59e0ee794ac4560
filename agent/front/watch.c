#include "agent/front/watch.h"

#include <string.h>

static uint64_t epoch_of(const struct ag_view *v)
{
    return ag_snapshot_epoch(v->snap);
}

static struct antag_writer *begin(struct ag_conn *c, const char *name)
{
    struct antag_writer *w = &c->worker->writer;

    antag_writer_reset(w);
    antag_m_event(w, name);
    antag_w_map(w);
    return w;
}

static void end(struct ag_conn *c)
{
    antag_w_end(&c->worker->writer);
    antag_m_close(&c->worker->writer);
    ag_conn_answer(c);
}

/* Room for one more event? A reader that is too slow is told once that it missed some. */
static bool may_tell(struct ag_conn *c)
{
    if (c->phase != AG_CONN_OPEN || !c->watching)
        return false;
    if (!c->lagged && ag_conn_unread(c) < AG_WATCH_UNREAD_MAX)
        return true;
    c->lagged = true;
    return false;
}

/* ---- what changed */

static void tell_state(struct ag_conn *c, const struct ag_view *now)
{
    struct antag_writer *w;

    if (!may_tell(c))
        return;
    w = begin(c, "state");
    antag_w_kv_str(w, "state", ag_agent_state_name(ag_view_state(now)));
    if (now->reason[0] != '\0')
        antag_w_kv_str(w, "reason", now->reason);
    end(c);
}

static void tell_epoch(struct ag_conn *c, uint64_t epoch)
{
    if (!may_tell(c))
        return;
    antag_w_kv_uint(begin(c, "epoch"), "epoch", epoch);
    end(c);
}

static void tell_profile(struct ag_conn *c, const struct ag_profile *p)
{
    const struct ag_snap_profile *row = p->row;
    struct antag_writer *w;
    struct antag_fault fault;

    if (!may_tell(c))
        return;
    w = begin(c, "profile");
    antag_w_kv_str(w, "profile", row->name);
    if (row->handle != 0) {
        antag_w_kv_str(w, "sign", "ready");
        antag_w_kv_uint(w, "version", row->version);
        antag_w_kv_uint(w, "key_version", row->key_version);
    } else {
        antag_w_kv_str(w, "sign", antag_err_name(ag_front_has_key(p, &fault)));
        antag_w_kv_str(w, "sign_why", antag_fault_text(&fault));
    }
    end(c);
}

/* Another key signs, or whether one does has changed. */
static bool differs(const struct ag_profile *was, const struct ag_profile *now)
{
    const struct ag_snap_profile *a = was->row, *b = now->row;

    return a->handle != b->handle || a->version != b->version || a->key_version != b->key_version ||
           (b->handle == 0 &&
            (a->sign_err != b->sign_err || strcmp(a->sign_why, b->sign_why) != 0));
}

static void tell_profiles(struct ag_worker *w, const struct ag_snapshot *was,
                          const struct ag_snapshot *now)
{
    struct ag_conn *c;

    for (size_t i = 0; i < ag_snapshot_count(now); i++) {
        const struct ag_profile *p = ag_snapshot_at(now, i);
        const struct ag_profile *before = ag_snapshot_find(was, antag_slice_of(p->row->name));

        if (before && !differs(before, p))
            continue;
        TAILQ_FOREACH(c, &w->conns, all)
        {
            if (c->watching && ag_profile_ops(p, &c->caller) != 0)
                tell_profile(c, p);
        }
    }
}

static bool is_watched(const struct ag_worker *w)
{
    const struct ag_conn *c;

    TAILQ_FOREACH(c, &w->conns, all)
    {
        if (c->watching)
            return true;
    }
    return false;
}

void ag_watch_view(struct ag_worker *w, const struct ag_view *was, const struct ag_view *now)
{
    bool state = ag_view_state(was) != ag_view_state(now) || strcmp(was->reason, now->reason) != 0;
    struct ag_conn *c;

    if (!is_watched(w))
        return;
    if (was->snap != now->snap && ag_view_state(now) == AG_STATE_UNLOCKED)
        tell_profiles(w, was->snap, now->snap);
    TAILQ_FOREACH(c, &w->conns, all)
    {
        if (state)
            tell_state(c, now);
        if (epoch_of(was) != epoch_of(now))
            tell_epoch(c, epoch_of(now));
    }
}

/* ---- a connection */

void ag_watch_begin(struct ag_conn *c)
{
    const struct ag_view *view = c->worker->view;
    struct antag_writer *w = &c->worker->writer;

    antag_w_map(w);
    antag_w_kv_uint(w, "epoch", epoch_of(view));
    antag_w_kv_str(w, "state", ag_agent_state_name(ag_view_state(view)));
    antag_w_end(w);
    c->watching = true;
    c->lagged = false; /* it begins anew */
}

void ag_watch_draining(struct ag_conn *c)
{
    if (c->phase != AG_CONN_OPEN)
        return;
    (void)begin(c, "draining");
    end(c);
}

void ag_watch_read(struct ag_conn *c)
{
    if (!c->lagged || c->phase != AG_CONN_OPEN || ag_conn_unread(c) >= AG_WATCH_UNREAD_MAX / 2)
        return;
    c->lagged = false;
    antag_w_kv_uint(begin(c, "lagged"), "epoch", epoch_of(c->worker->view));
    end(c);
}
