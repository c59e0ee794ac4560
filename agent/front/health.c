/* health: what a caller may know of the agent and of its profiles. */
#include <string.h>

#include "agent/front/request.h"

/* A list that would not fit one frame, or the values a client may count, ends here and says so. */
#define LIST_MAX  5000
#define ROOM_LEFT 4096

struct list {
    size_t next, written;
    unsigned ops; /* of the caller on the profile that was given last */
};

/* The next profile that any grant of the caller names; NULL: no more, or no room for more. */
static const struct ag_profile *next_profile(const struct ag_conn *c, struct list *l)
{
    const struct ag_snapshot *snap = c->worker->view->snap;
    const struct antag_writer *w = &c->worker->writer;

    for (; l->next < ag_snapshot_count(snap); l->next++) {
        const struct ag_profile *p = ag_snapshot_at(snap, l->next);

        l->ops = ag_profile_ops(p, &c->caller);
        if (l->ops == 0)
            continue;
        if (l->written == LIST_MAX || w->len + ROOM_LEFT > w->max)
            return NULL;
        l->next++;
        l->written++;
        return p;
    }
    return NULL;
}

static void write_state(struct antag_writer *w, const struct ag_view *view)
{
    antag_w_kv_str(w, "state", ag_agent_state_name(ag_view_state(view)));
    if (ag_view_state(view) != AG_STATE_UNLOCKED && view->reason[0] != '\0')
        antag_w_kv_str(w, "reason", view->reason);
}

static void write_limits(struct antag_writer *w, const struct ag_conf *conf)
{
    antag_w_key(w, "limits");
    antag_w_map(w);
    antag_w_kv_uint(w, "frame", ANTAG_FRAME_MAX);
    antag_w_kv_uint(w, "body", ANTAG_BODY_MAX);
    antag_w_kv_uint(w, "depth", ANTAG_DEPTH_MAX);
    antag_w_kv_uint(w, "items", ANTAG_ITEMS_MAX);
    antag_w_kv_uint(w, "uri", ANTAG_URI_MAX);
    antag_w_kv_uint(w, "trace", ANTAG_TRACE_MAX);
    antag_w_kv_uint(w, "client_id", ANTAG_CLIENT_ID_MAX);
    antag_w_kv_uint(w, "merchant", ANTAG_MERCHANT_MAX);
    antag_w_kv_int(w, "requests_per_connection", conf->limits_requests_per_connection);
    antag_w_kv_int(w, "bytes_per_connection", conf->limits_bytes_per_connection);
    antag_w_kv_int(w, "first_frame_ms", conf->limits_first_frame_ms);
    antag_w_end(w);
}

static void write_ops(struct antag_writer *w, unsigned ops)
{
    static const enum ag_op all[] = {AG_OP_SIGN, AG_OP_VERIFY, AG_OP_EXPLAIN};

    antag_w_key(w, "ops");
    antag_w_array(w);
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (ops & (unsigned)all[i])
            antag_w_str(w, ag_op_name(all[i]));
    }
    antag_w_end(w);
}

void ag_hello_write(struct ag_conn *c)
{
    struct antag_writer *w = &c->worker->writer;
    bool ready = ag_view_state(c->worker->view) == AG_STATE_UNLOCKED;
    const struct ag_profile *p;
    struct list l = {0};

    antag_w_map(w);
    antag_w_kv_uint(w, "version", ANTAG_PROTOCOL_VERSION);
    antag_w_kv_str(w, "agent", AG_VERSION);
    write_limits(w, &c->worker->view->conf);
    write_state(w, c->worker->view);
    antag_w_key(w, "profiles");
    antag_w_array(w);
    while (ready && (p = next_profile(c, &l))) {
        antag_w_map(w);
        antag_w_kv_str(w, "profile", p->row->name);
        write_ops(w, l.ops);
        antag_w_end(w);
    }
    antag_w_end(w);
    if (ready && l.next < ag_snapshot_count(c->worker->view->snap))
        antag_w_kv_bool(w, "truncated", true);
    antag_w_end(w);
}

/* One of sign and verify: "ready", or the name of the status a request would meet, and why. */
static void write_ability(struct antag_writer *w, const char *key, const char *why_key,
                          const struct antag_fault *fault)
{
    if (fault->err == ANTAG_OK) {
        antag_w_kv_str(w, key, "ready");
        return;
    }
    antag_w_kv_str(w, key, antag_err_name(fault->err));
    antag_w_kv_str(w, why_key, antag_fault_text(fault));
}

static void not_granted(struct antag_fault *fault, enum ag_op op)
{
    antag_fault_set(fault, ANTAG_ERR_DENIED, NULL, "no grant of this caller covers \"%s\"",
                    ag_op_name(op));
}

/* What a request of this caller would meet, whatever its params. */
static void find_ability(struct ag_conn *c, const struct ag_profile *p, unsigned ops,
                         struct antag_fault *sign, struct antag_fault *verify)
{
    const struct ag_view *view = c->worker->view;

    *sign = *verify = (struct antag_fault){.err = ANTAG_OK};
    if (ag_view_state(view) != AG_STATE_UNLOCKED) {
        ag_view_refuse(view, sign);
        *verify = *sign;
        return;
    }
    if (!(ops & AG_OP_SIGN))
        not_granted(sign, AG_OP_SIGN);
    else if (ag_front_complete(p, sign) == ANTAG_OK && ag_front_has_key(p, sign) == ANTAG_OK &&
             !ag_links_is_up(c->worker->links, p->row->keyring))
        antag_fault_set(sign, ANTAG_ERR_BACKEND, NULL, "the keyring \"%s\" cannot be reached",
                        p->row->keyring);
    if (!(ops & AG_OP_VERIFY))
        not_granted(verify, AG_OP_VERIFY);
    else if (ag_front_complete(p, verify) == ANTAG_OK)
        ag_front_has_antom_key(p, verify);
}

static void write_profile(struct ag_conn *c, const struct ag_profile *p, unsigned ops)
{
    struct antag_writer *w = &c->worker->writer;
    struct antag_fault sign, verify;

    find_ability(c, p, ops, &sign, &verify);
    antag_w_map(w);
    antag_w_kv_str(w, "profile", p->row->name);
    write_ability(w, "sign", "sign_why", &sign);
    write_ability(w, "verify", "verify_why", &verify);
    antag_w_end(w);
}

void ag_health_write(struct ag_conn *c)
{
    struct antag_writer *w = &c->worker->writer;
    const struct ag_profile *p;
    struct list l = {0};

    antag_w_map(w);
    write_state(w, c->worker->view);
    antag_w_key(w, "profiles");
    antag_w_array(w);
    while ((p = next_profile(c, &l)))
        write_profile(c, p, l.ops);
    antag_w_end(w);
    if (l.next < ag_snapshot_count(c->worker->view->snap))
        antag_w_kv_bool(w, "truncated", true);
    antag_w_end(w);
}
