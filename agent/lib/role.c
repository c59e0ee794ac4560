#include "agent/lib/role.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/confine.h"
#include "agent/lib/log.h"
#include "proto/params.h"

struct ag_role {
    enum ag_role_kind kind;
    const struct ag_role_ops *ops;
    void *ctx;
    uv_loop_t loop;
    struct ag_chan *control;
    bool started;
    int exit_status;
};

#define CONF_TEXT_MAX (64 * 1024)
#define REASON_MAX    255

/* ---- names */

static const char *const role_names[] = {
#define AG_ROW(name) #name,
    AG_ROLES(AG_ROW)
#undef AG_ROW
};

const char *ag_role_name(enum ag_role_kind kind)
{
    return (unsigned)kind < AG_ROLE_COUNT ? role_names[kind] : "?";
}

bool ag_role_parse(struct antag_slice text, enum ag_role_kind *out)
{
    for (unsigned i = 0; i < AG_ROLE_COUNT; i++)
        if (antag_slice_is(text, role_names[i])) {
            *out = (enum ag_role_kind)i;
            return true;
        }
    return false;
}

static const char *const state_names[] = {"starting", "locked", "ready", "failed"};

const char *ag_agent_state_name(enum ag_agent_state s)
{
    return state_names[s];
}

static bool state_parse(struct antag_slice text, enum ag_agent_state *out)
{
    for (unsigned i = 0; i < sizeof state_names / sizeof *state_names; i++)
        if (antag_slice_is(text, state_names[i])) {
            *out = (enum ag_agent_state)i;
            return true;
        }
    return false;
}

/* ---- start: writer and reader */

void ag_role_start_write(struct antag_writer *w, const struct ag_role_start *start,
                         const char *conf_text)
{
    antag_w_map(w);
    antag_w_kv_str(w, "name", start->name);
    antag_w_kv_str(w, "home", start->home.system ? "" : start->home.dir);
    antag_w_kv_str(w, "conf", conf_text);
    antag_w_kv_str(w, "state", ag_agent_state_name(start->state));
    antag_w_kv_str(w, "reason", start->reason);
    antag_w_kv_bool(w, "init", start->init);
    antag_w_kv_uint(w, "staff_uid", start->staff_uid);
    antag_w_end(w);
}

struct start_params {
    struct antag_opt_slice name, home, conf, state, reason;
    struct antag_opt_bool init;
    struct antag_opt_uint staff_uid;
};
#define F(member, kind, max) ANTAG_FIELD(struct start_params, member, kind, true, 0, max, 0)
static const struct antag_field start_fields[] = {
    F(name, TEXT, ANTAG_KEYRING_MAX), F(home, TEXT, AG_PATH_MAX),
    F(conf, TEXT, CONF_TEXT_MAX),     F(state, TEXT, 16),
    F(reason, TEXT, REASON_MAX),      F(init, BOOL, 0),
    F(staff_uid, UINT, UINT32_MAX),
};
#undef F
static const struct antag_params start_spec = {
    start_fields, sizeof start_fields / sizeof *start_fields, sizeof(struct start_params)};

static enum antag_err conf_from(struct antag_slice text, const char *path, struct ag_conf *out,
                                struct antag_fault *fault)
{
    char *copy = malloc(text.len + 1);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (copy != NULL) {
        (void)antag_slice_copy(text, copy, text.len + 1);
        err = ag_conf_parse(out, path, copy, fault);
    }
    free(copy);
    return err;
}

static enum antag_err start_parse(const msgpack_object *params, struct ag_role_start *out,
                                  struct antag_fault *fault)
{
    struct start_params p;
    char dir[AG_PATH_MAX];
    enum antag_err err;

    memset(out, 0, sizeof *out);
    if ((err = antag_params_parse(&start_spec, false, params, &p, fault)) != ANTAG_OK)
        return err;
    if (!antag_slice_copy(p.name.v, out->name, sizeof out->name) ||
        !antag_slice_copy(p.home.v, dir, sizeof dir) ||
        !antag_slice_copy(p.reason.v, out->reason, sizeof out->reason) ||
        !state_parse(p.state.v, &out->state))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "start", "is malformed");
    if ((err = ag_home_init(&out->home, dir, fault)) != ANTAG_OK ||
        (err = conf_from(p.conf.v, out->home.conf, &out->conf, fault)) != ANTAG_OK)
        return err;
    out->init = p.init.v;
    out->staff_uid = (uint32_t)p.staff_uid.v;
    if (out->init) { /* renamed by the supervisor when all of init has succeeded */
        size_t len = strlen(out->home.registry);

        snprintf(out->home.registry + len, sizeof out->home.registry - len, ".new");
    }
    return ANTAG_OK;
}

void ag_role_peer_write(struct antag_writer *w, enum ag_role_kind peer, const char *name,
                        uint32_t lane)
{
    antag_w_map(w);
    antag_w_kv_str(w, "role", ag_role_name(peer));
    antag_w_kv_str(w, "name", name);
    antag_w_kv_uint(w, "lane", lane);
    antag_w_end(w);
}

/* ---- events from the supervisor. A malformed one is a broken invariant of our own: the role ends. */

static void fail(struct ag_role *r, const char *event, const struct antag_fault *fault)
{
    ag_log_fault(AG_LOG_ERROR, event, fault);
    ag_role_end(r, 1);
}

static void take_start(struct ag_role *r, const struct antag_message *m, struct ag_fds *fds)
{
    struct ag_role_start *start = calloc(1, sizeof *start);
    struct antag_fault fault = {.err = ANTAG_ERR_NO_MEMORY};

    if (start == NULL || r->started || start_parse(&m->params, start, &fault) != ANTAG_OK) {
        fail(r, "role.start", &fault);
    } else {
        char label[ANTAG_KEYRING_MAX + 16];

        snprintf(label, sizeof label, start->name[0] ? "%s[%s]" : "%s", ag_role_name(r->kind),
                 start->name);
        ag_log_setup(label, (enum ag_log_level)start->conf.log_level);
        r->started = true;
        start->listen_fd = ag_fds_take(fds, 0);
        r->ops->on_start(r, start, r->ctx);
    }
    free(start);
}

static void take_conf(struct ag_role *r, const struct antag_message *m)
{
    struct ag_conf *conf = calloc(1, sizeof *conf);
    struct antag_fault fault = {.err = ANTAG_ERR_NO_MEMORY};
    struct antag_slice text;
    const msgpack_object *o = antag_object_get(&m->params, "conf");

    if (conf == NULL || o == NULL || !antag_object_slice(o, &text) ||
        conf_from(text, "agent.conf", conf, &fault) != ANTAG_OK) {
        fail(r, "role.conf", &fault);
    } else {
        ag_log_set_level((enum ag_log_level)conf->log_level);
        if (r->ops->on_conf != NULL)
            r->ops->on_conf(r, conf, r->ctx);
    }
    free(conf);
}

static void take_peer(struct ag_role *r, const struct antag_message *m, struct ag_fds *fds)
{
    char role[16], name[ANTAG_KEYRING_MAX + 1];
    enum ag_role_kind kind;
    uint64_t lane;
    int fd = ag_fds_take(fds, 0);

    if (fd >= 0 && r->ops->on_peer != NULL &&
        antag_object_text(&m->params, "role", role, sizeof role) &&
        ag_role_parse(antag_slice_of(role), &kind) &&
        antag_object_text(&m->params, "name", name, sizeof name) &&
        antag_object_uint(&m->params, "lane", &lane) && lane <= UINT32_MAX) {
        r->ops->on_peer(r, kind, name, (uint32_t)lane, fd, r->ctx);
        return;
    }
    if (fd >= 0)
        close(fd);
    fail(r, "role.peer", &(struct antag_fault){.err = ANTAG_ERR_INTERNAL});
}

static void take_task(struct ag_role *r, const struct antag_message *m, struct ag_fds *fds)
{
    char task[32], type[32] = "";

    if (r->ops->on_task == NULL || !antag_object_text(&m->params, "task", task, sizeof task)) {
        fail(r, "role.task", &(struct antag_fault){.err = ANTAG_ERR_INTERNAL});
        return;
    }
    (void)antag_object_text(&m->params, "type", type, sizeof type);
    r->ops->on_task(r, task, type, fds, r->ctx);
}

static void on_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    struct ag_role *r = ctx;

    (void)c;
    if (antag_slice_is(m->name, "start")) {
        take_start(r, m, fds);
    } else if (antag_slice_is(m->name, "peer")) {
        take_peer(r, m, fds);
    } else if (antag_slice_is(m->name, "conf")) {
        take_conf(r, m);
    } else if (antag_slice_is(m->name, "task")) {
        take_task(r, m, fds);
    } else if (antag_slice_is(m->name, "unlocked") && r->ops->on_unlocked != NULL) {
        r->ops->on_unlocked(r, r->ctx);
    } else if (antag_slice_is(m->name, "drain")) {
        if (r->ops->on_drain != NULL)
            r->ops->on_drain(r, r->ctx);
        else
            ag_role_end(r, 0);
    } else {
        ag_log(AG_LOG_ERROR, "role.unknown_event", AG_F_SLICE("name", m->name));
    }
}

static void on_secret(struct ag_chan *c, const char *label, struct ag_secret *secret, void *ctx)
{
    struct ag_role *r = ctx;

    (void)c;
    if (r->ops->on_secret != NULL && ag_secret_len(secret) == AG_KEY_LEN) {
        r->ops->on_secret(r, label, secret, r->ctx);
        return;
    }
    ag_secret_free(secret);
    ag_log(AG_LOG_ERROR, "role.unwanted_secret", AG_F_TEXT("label", label));
}

static void on_closed(struct ag_chan *c, void *ctx)
{
    (void)c;
    ag_role_end(ctx, 0); /* without a supervisor there is no agent */
}

static const struct ag_chan_ops control_ops = {on_message, on_secret, on_closed};

/* ---- run */

uv_loop_t *ag_role_loop(struct ag_role *r)
{
    return &r->loop;
}

struct ag_chan *ag_role_control(struct ag_role *r)
{
    return r->control;
}

void ag_role_ready(struct ag_role *r)
{
    struct antag_writer w;

    antag_writer_init(&w, 64);
    antag_m_event(&w, "ready");
    antag_w_map(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    if (ag_chan_send(r->control, &w, NULL, 0) != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "role.ready_not_told");
    antag_writer_fini(&w);
}

void ag_role_end(struct ag_role *r, int exit_status)
{
    r->exit_status = exit_status;
    uv_stop(&r->loop);
}

int ag_role_exit_status(const struct ag_role *r)
{
    return r->exit_status;
}

/* Close what is left so that leak checkers see a clean end; the process is about to exit. */
static void finish(struct ag_role *r)
{
    if (r->ops->on_end != NULL)
        r->ops->on_end(r, r->ctx);
    ag_chan_close(r->control);
    for (int i = 0; i < 100 && uv_run(&r->loop, UV_RUN_NOWAIT) != 0; i++)
        continue;
    (void)uv_loop_close(&r->loop);
}

int ag_role_run(enum ag_role_kind kind, const struct ag_role_ops *ops, void *ctx)
{
    struct ag_role r = {.kind = kind, .ops = ops, .ctx = ctx};
    struct antag_fault fault;

    ag_log_setup(ag_role_name(kind), AG_LOG_INFO);
    if (ag_confine_early(true, AG_ROLE_CONTROL_FD + 1, &fault) != ANTAG_OK ||
        ag_secret_setup(&fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "role.confine", &fault);
        return antag_err_exit(fault.err);
    }
    /* The supervisor kills a role whose channel has ended. Ours ends with the process, not with the
     * handles that finish() closes: the exit status and the leak checkers' word come first. */
    if (fcntl(AG_ROLE_CONTROL_FD, F_DUPFD_CLOEXEC, AG_ROLE_CONTROL_FD + 1) < 0 ||
        uv_loop_init(&r.loop) != 0 ||
        ag_chan_open(&r.loop, AG_ROLE_CONTROL_FD, "supervisor", &control_ops, &r, &r.control) !=
            ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "role.control");
        return antag_err_exit(ANTAG_ERR_IO);
    }
    uv_run(&r.loop, UV_RUN_DEFAULT);
    finish(&r);
    return r.exit_status;
}
