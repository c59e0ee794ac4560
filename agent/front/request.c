#include "agent/front/request.h"

#include <stdint.h>
#include <stdlib.h>

#include "agent/front/explain.h"
#include "agent/front/failed.h"
#include "agent/front/proved.h"
#include "agent/front/refused.h"
#include "agent/front/watch.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "proto/agent_methods.h"

union any_params {
    struct antag_hello_params hello;
    struct antag_sign_params sign;
    struct antag_verify_params verify;
    struct antag_explain_params explain;
    struct antag_health_params health, watch;
};

/* a request that is being handled */
struct request {
    struct ag_conn *conn;
    uint32_t id;
    size_t frame_len;
    const union any_params *params;
    enum antag_agent_method method;
    const char *what;         /* the method's name; "": there is none of that name */
    bool parsed;              /* params are read */
    struct antag_slice trace; /* as every method takes it; empty before the params are read */
};

typedef void request_handler(const struct request *r);

/* ---- what is common */

static struct antag_slice profile_of(const struct request *r)
{
    switch (r->method) {
    case ANTAG_AGENT_sign_request:
        return r->params->sign.profile.v;
    case ANTAG_AGENT_verify_response:
    case ANTAG_AGENT_verify_notification:
        return r->params->verify.profile.v;
    case ANTAG_AGENT_explain:
        return r->params->explain.profile.v;
    default:
        return (struct antag_slice){NULL, 0};
    }
}

/* For the record, which tells a profile that there is from one that there is not. */
static void count_refusal(struct ag_conn *c, const char *what, struct antag_slice profile,
                          enum antag_err err)
{
    struct ag_refusal one = {.uid = c->caller.uid, .err = err, .count = 1};
    const struct ag_profile *p =
        profile.len > 0 ? ag_snapshot_find(c->worker->view->snap, profile) : NULL;

    (void)antag_slice_copy(antag_slice_of(what), one.what, sizeof one.what);
    if (p)
        (void)antag_slice_copy(antag_slice_of(p->row->name), one.profile, sizeof one.profile);
    ag_refused_count(c->worker->shared, &one);
}

static void refuse(const struct request *r, const struct antag_fault *fault)
{
    count_refusal(r->conn, r->what, r->parsed ? profile_of(r) : (struct antag_slice){NULL, 0},
                  fault->err);
    ag_log(AG_LOG_DEBUG, "request.refused", AG_F_UINT("uid", r->conn->caller.uid),
           AG_F_INT("pid", r->conn->caller.pid), AG_F_ERR(fault->err),
           AG_F_TEXT("field", fault->field), AG_F_SLICE("trace", r->trace));
    ag_conn_refuse(r->conn, true, r->id, fault);
}

static struct ag_asking asking_of(const struct request *r)
{
    const struct ag_view *view = r->conn->worker->view;

    return (struct ag_asking){view->snap,         &view->conf, &r->conn->caller,
                              ag_clock_wall_ms(), false,       ag_clock_mono_ns()};
}

static struct antag_writer *begin_answer(struct ag_conn *c, uint32_t id)
{
    struct antag_writer *w = &c->worker->writer;

    antag_writer_reset(w);
    antag_m_answer(w, id);
    return w;
}

static void end_answer(struct ag_conn *c)
{
    antag_m_close(&c->worker->writer);
    ag_conn_answer(c);
}

/* ---- hello, health */

static enum antag_err check_versions(const struct antag_hello_params *p, struct antag_fault *fault)
{
    bool offered = !p->versions.set;

    for (uint32_t i = 0; p->versions.set && i < p->versions.v.via.array.size; i++) {
        const msgpack_object *o = &p->versions.v.via.array.ptr[i];

        if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "versions",
                                   "versions must be an array of integers of 0 or more");
        offered = offered || o->via.u64 == ANTAG_PROTOCOL_VERSION;
    }
    if (!offered)
        return antag_fault_set(fault, ANTAG_ERR_BAD_VERSION, "versions",
                               "version %d is the only one spoken here, and it is not among those "
                               "offered",
                               ANTAG_PROTOCOL_VERSION);
    return ANTAG_OK;
}

static void take_hello(const struct request *r)
{
    struct antag_fault fault;

    if (check_versions(&r->params->hello, &fault) != ANTAG_OK) {
        refuse(r, &fault);
        return;
    }
    begin_answer(r->conn, r->id);
    ag_hello_write(r->conn);
    end_answer(r->conn);
}

static void take_health(const struct request *r)
{
    begin_answer(r->conn, r->id);
    ag_health_write(r->conn);
    end_answer(r->conn);
}

/* ---- watch */

static void take_watch(const struct request *r)
{
    begin_answer(r->conn, r->id);
    ag_watch_begin(r->conn);
    end_answer(r->conn);
}

/* ---- verify */

static void take_verify(const struct request *r, enum ag_verify_kind kind)
{
    struct ag_worker *w = r->conn->worker;
    struct ag_asking asking = asking_of(r);
    struct ag_verified verified;
    struct antag_fault fault;

    if (ag_verify(&asking, kind, &r->params->verify, w->hasher, w->verifier, &verified, &fault) !=
        ANTAG_OK) {
        if (fault.err == ANTAG_ERR_UNSIGNED && kind == AG_VERIFY_RESPONSE)
            ag_failed_note(w->shared, verified.profile, r->params->verify.body.v, asking.now_ms);
        refuse(r, &fault);
        return;
    }
    ag_proved(w->shared, verified.profile,
              kind == AG_VERIFY_RESPONSE ? AG_PROOF_RESPONSE : AG_PROOF_NOTIFICATION);
    ag_verify_result_write(begin_answer(r->conn, r->id), &verified);
    end_answer(r->conn);
}

static void take_verify_response(const struct request *r)
{
    take_verify(r, AG_VERIFY_RESPONSE);
}

static void take_verify_notification(const struct request *r)
{
    take_verify(r, AG_VERIFY_NOTIFICATION);
}

/* ---- explain */

static void take_explain(const struct request *r)
{
    struct ag_worker *w = r->conn->worker;
    struct ag_asking asking = asking_of(r);
    struct ag_explained *explained = malloc(sizeof *explained);
    struct antag_fault fault;
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (!explained)
        antag_fault_set(&fault, err, NULL, NULL);
    else if ((err = ag_explain_pass(&w->explain_gate, r->params->explain.body.v.len,
                                    (int64_t)uv_now(&w->loop), &fault)) == ANTAG_OK)
        err = ag_explain(&asking, &r->params->explain, w->hasher, w->verifier, explained, &fault);
    if (err == ANTAG_OK) {
        ag_explain_result_write(begin_answer(r->conn, r->id), &r->params->explain, explained);
        end_answer(r->conn);
    } else {
        refuse(r, &fault);
    }
    free(explained);
}

/* ---- sign */

static void take_sign_request(const struct request *r)
{
    const struct antag_sign_params *p = &r->params->sign;
    struct ag_worker *w = r->conn->worker;
    struct ag_asking asking = asking_of(r);
    struct antag_fault fault;
    struct ag_job *job = ag_links_job(w->links);

    if (!job) {
        antag_fault_set(&fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
        refuse(r, &fault);
        return;
    }
    if (ag_conn_attach(r->conn, job, r->id, r->frame_len, &fault) != ANTAG_OK) {
        ag_links_discard(w->links, job);
        refuse(r, &fault);
        return;
    }
    if (ag_sign_plan_make(&asking, p, w->hasher, &job->plan, &fault) != ANTAG_OK) {
        ag_conn_detach(w, job);
        ag_links_discard(w->links, job);
        refuse(r, &fault);
        return;
    }
    job->view = ag_view_hold(w->view);
    if (p->deadline_ms.set)
        job->deadline_at = (int64_t)uv_now(&w->loop) + (int64_t)p->deadline_ms.v;
    ag_links_submit(w->links, job);
}

/* Not an error of the request: the key is on its way, or the row is damaged. */
static enum antag_err open_token(const struct ag_job *job, char token[ANTAG_TOKEN_MAX + 1],
                                 struct antag_fault *fault)
{
    const struct ag_merchant *m = job->plan.merchant;
    enum antag_err err;

    token[0] = '\0';
    if (m == NULL)
        return ANTAG_OK;
    if (job->view->token_key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_READY, NULL,
                               "the key of merchants' tokens is not here yet; repeat in a moment");
    err = ag_token_open(job->view->token_key, job->plan.profile->row->name, m->row->name,
                        (struct antag_slice){m->row->sealed, m->row->sealed_len}, token);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, "merchant", "the token of merchant \"%s\" does not open",
                               m->row->name);
    atomic_fetch_add_explicit(&m->used->count, 1, memory_order_relaxed);
    atomic_store_explicit(&m->used->last_ms, ag_clock_wall_ms(), memory_order_relaxed);
    return ANTAG_OK;
}

static void answer_signed(struct ag_conn *c, uint32_t id, struct ag_job *job,
                          struct antag_slice sig)
{
    struct ag_worker *w = c->worker;
    char token[ANTAG_TOKEN_MAX + 1];
    struct antag_fault fault = {.retry_after_ms = -1};

    if (open_token(job, token, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "request.token", &fault);
        ag_conn_refuse(c, true, id, &fault);
        return;
    }
    ag_proved(w->shared, job->plan.profile, AG_PROOF_SIGN);
    ag_sign_result_write(begin_answer(c, id), &job->plan, sig, job->seq, token);
    end_answer(c);
    ag_secret_wipe(token, sizeof token);
}

void ag_request_signed(struct ag_job *job, const struct antag_fault *fault, struct antag_slice sig,
                       void *ctx)
{
    struct ag_worker *w = ctx;
    struct ag_conn *c = job->conn;
    uint32_t id = job->id;

    ag_conn_detach(w, job);
    if (c && fault->err == ANTAG_OK) {
        answer_signed(c, id, job, sig);
    } else if (c) {
        const struct ag_sign_claim *claim = &job->plan.claim;

        count_refusal(c, "sign_request", antag_slice_of(job->plan.profile->row->name), fault->err);
        ag_log(AG_LOG_DEBUG, "request.not_signed", AG_F_UINT("uid", claim->uid),
               AG_F_INT("pid", claim->pid), AG_F_ERR(fault->err),
               AG_F_SLICE("trace", ((struct antag_slice){claim->trace, claim->trace_len})));
        ag_conn_refuse(c, true, id, fault);
    }
    ag_links_discard(w->links, job);
}

/* ---- dispatch */

static request_handler *const handlers[] = {
#define ANTAG_ROW(name, locked, op) [ANTAG_AGENT_##name] = take_##name,
    ANTAG_AGENT_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
};

/* What breaks the protocol: answered, then the connection ends. */
static void break_off(struct ag_conn *c, bool has_id, uint32_t id, const struct antag_fault *fault)
{
    count_refusal(c, "", (struct antag_slice){NULL, 0}, fault->err);
    ag_conn_refuse(c, has_id, id, fault);
    c->linger = true;
    ag_conn_end(c);
}

static bool check_message(struct ag_conn *c, struct antag_slice frame, struct antag_message *m)
{
    struct antag_fault fault;

    if (antag_message_parse(&c->worker->decoder, frame, m, &fault) != ANTAG_OK) {
        bool has_id = m->has_id && m->shape == ANTAG_REQUEST && !ag_conn_has_job(c, m->id);

        break_off(c, has_id, m->id, &fault);
        return false;
    }
    if (m->shape != ANTAG_REQUEST) {
        antag_fault_set(&fault, ANTAG_ERR_BAD_FRAME, NULL,
                        "only requests, [0, id, method, params], are taken here");
        break_off(c, false, 0, &fault);
        return false;
    }
    if (ag_conn_has_job(c, m->id)) {
        antag_fault_set(&fault, ANTAG_ERR_BAD_PARAM, "id",
                        "%u is in flight on this connection; an id is free again once it has been "
                        "answered",
                        (unsigned)m->id);
        ag_conn_forget_jobs(c); /* that id has its one answer now, the others the end */
        break_off(c, true, m->id, &fault);
        return false;
    }
    return true;
}

void ag_request_take(struct ag_conn *c, struct antag_slice frame)
{
    const struct ag_view *view = c->worker->view;
    const struct antag_agent_method_row *row;
    enum antag_agent_method which;
    union any_params params;
    struct antag_message m;
    struct antag_fault fault;
    struct request r = {.conn = c, .frame_len = frame.len, .params = &params, .what = ""};

    if (!check_message(c, frame, &m))
        return;
    r.id = m.id;
    row = antag_agent_method(m.name, &which);
    if (!row) {
        antag_fault_set(&fault, ANTAG_ERR_UNKNOWN_METHOD, "method", NULL);
        refuse(&r, &fault);
        return;
    }
    r.method = which;
    r.what = row->name;
    if (!row->when_locked && ag_view_state(view) != AG_STATE_UNLOCKED) {
        ag_view_refuse(view, &fault);
        refuse(&r, &fault);
        return;
    }
    if (antag_params_parse(&row->params, false, &m.params, &params, &fault) != ANTAG_OK) {
        if (antag_params_has_twice(&row->params, &m.params))
            break_off(c, true, m.id, &fault);
        else
            refuse(&r, &fault);
        return;
    }
    r.parsed = true;
    r.trace = params.health.trace.v; /* all begin with it */
    handlers[which](&r);
}
