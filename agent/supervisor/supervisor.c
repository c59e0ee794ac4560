#include "agent/supervisor/supervisor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/confine.h"
#include "agent/lib/log.h"
#include "agent/supervisor/run.h"
#include "agent/supervisor/sockets.h"

#define DRAIN_MS 8000 /* what is in flight has this long after SIGTERM */

void ag_run_start_params(const struct ag_run *r, const char *name, struct ag_role_start *out)
{
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", name);
    out->home = r->home;
    out->state = r->root != NULL ? AG_STATE_UNLOCKED : AG_STATE_LOCKED;
    snprintf(out->reason, sizeof out->reason, "%s", r->reason);
    out->listen_fd = -1;
}

/* ---- what happens */

/* Start everything that can run in this state. */
void ag_run_on_state(struct ag_run *r)
{
    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].kind != AG_ROLE_keeper || r->root != NULL)
            ag_slot_start(&r->slots[i]);
}

static bool is_ready(struct ag_run *r, enum ag_role_kind kind)
{
    struct ag_slot *s = ag_slot_of(r, kind, "");

    return s->child != NULL && s->child->ready;
}

void ag_run_on_ready(struct ag_run *r)
{
    if (r->said_ready || !is_ready(r, AG_ROLE_front) || !is_ready(r, AG_ROLE_steward))
        return;
    r->said_ready = true;
    puts("ready");
    fflush(stdout);
    ag_notify("READY=1");
}

static void begin_drain(struct ag_run *r);

/* While draining: front first, so that what it still asks the others for is answered. */
void ag_run_on_down(struct ag_run *r)
{
    struct ag_slot *steward = ag_slot_of(r, AG_ROLE_steward, "");

    if (steward->child == NULL) { /* its requests are gone with it */
        r->unlock_asked = false;
        r->lock_asked = false;
    }
    if (!r->draining || !ag_slots_all_down(r, AG_ROLE_front))
        return;
    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].wanted)
            ag_slot_stop(&r->slots[i], 2000);
    for (size_t i = 0; i < AG_OPENERS_MAX; i++)
        if (r->openers[i] != NULL)
            ag_child_kill(r->openers[i], SIGKILL);
    if (ag_slots_all_down(r, AG_ROLE_keeper) && ag_slots_all_down(r, AG_ROLE_steward) &&
        ag_slots_all_down(r, AG_ROLE_courier))
        uv_stop(&r->loop);
}

static void on_drain_timer(uv_timer_t *timer)
{
    struct ag_run *r = timer->data;

    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].child != NULL)
            ag_child_kill(r->slots[i].child, SIGKILL);
}

static void begin_drain(struct ag_run *r)
{
    if (r->draining)
        return;
    r->draining = true;
    ag_notify("STOPPING=1");
    ag_log(AG_LOG_INFO, "agent.stopping");
    uv_timer_start(&r->drain_timer, on_drain_timer, DRAIN_MS, 0);
    ag_slot_stop(ag_slot_of(r, AG_ROLE_front, ""), DRAIN_MS);
    ag_run_on_down(r);
}

static void on_stop_signal(uv_signal_t *handle, int sig)
{
    (void)sig;
    begin_drain(handle->data);
}

/* What a running agent cannot change: how many threads and which keyrings there are. */
static enum antag_err check_fixed(const struct ag_run *r, const struct ag_conf *new,
                                  struct antag_fault *fault)
{
    const struct ag_conf *old = &r->conf;
    bool same = old->keyring_count == new->keyring_count;

    if (old->front_threads != new->front_threads)
        return antag_fault_set(fault, ANTAG_ERR_CONF, "front.threads",
                               "%s: [front] threads changes only with a restart", r->home.conf);
    for (size_t i = 0; same && i < old->keyring_count; i++)
        same = strcmp(old->keyrings[i].name, new->keyrings[i].name) == 0 &&
               old->keyrings[i].type == new->keyrings[i].type &&
               old->keyrings[i].threads == new->keyrings[i].threads;
    return same
               ? ANTAG_OK
               : antag_fault_set(fault, ANTAG_ERR_CONF, "keyring",
                                 "%s: [keyring] sections change only with a restart", r->home.conf);
}

static void on_reload(uv_signal_t *handle, int sig)
{
    struct ag_run *r = handle->data;
    struct ag_conf conf;
    struct antag_fault fault;
    char *text = NULL;

    (void)sig;
    ag_notify("RELOADING=1");
    if (ag_conf_read(r->home.conf, &text, &fault) != ANTAG_OK ||
        ag_conf_parse(&conf, r->home.conf, text, &fault) != ANTAG_OK ||
        check_fixed(r, &conf, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "conf.refused_old_one_stays", &fault);
        free(text);
        ag_notify("READY=1");
        return;
    }
    ag_log_set_level((enum ag_log_level)conf.log_level);
    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].child != NULL)
            ag_child_conf(r->slots[i].child, text);
    r->conf = conf;
    free(r->conf_text);
    r->conf_text = text;
    ag_log(AG_LOG_INFO, "conf.reloaded", AG_F_TEXT("file", r->home.conf));
    ag_notify("READY=1");
}

/* ---- start and end */

/* JSON text: what antag_fault_set let through has no control characters left */
static void print_json_text(const char *text)
{
    putchar('"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\')
            putchar('\\');
        putchar(*p);
    }
    putchar('"');
}

void ag_supervisor_print_error(const struct antag_fault *fault, bool json)
{
    if (!json) {
        fprintf(stderr, "antom-agent: %s: %s\n", antag_err_name(fault->err),
                antag_fault_text(fault));
        return;
    }
    printf("{\"error\":{\"code\":%d,\"name\":\"%s\",\"class\":\"%s\",\"message\":", (int)fault->err,
           antag_err_name(fault->err), antag_class_name(antag_err_class(fault->err)));
    print_json_text(antag_fault_text(fault));
    puts("}}");
}

static void handle_signals(struct ag_run *r)
{
    uv_signal_t *handles[] = {&r->on_term, &r->on_int, &r->on_hup};
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};

    for (size_t i = 0; i < 3; i++) {
        uv_signal_init(&r->loop, handles[i]);
        handles[i]->data = r;
        uv_signal_start(handles[i], signals[i] == SIGHUP ? on_reload : on_stop_signal, signals[i]);
    }
}

static enum antag_err prepare(struct ag_run *r, const struct ag_supervisor_options *o,
                              struct antag_fault *fault)
{
    enum antag_err err;

    r->lock_fd = r->agent_fd = r->staff_fd = -1;
    r->first_own_fd = 3 + (int)o->passed_fds;
    if ((err = ag_confine_early(false, r->first_own_fd, fault)) != ANTAG_OK ||
        (err = ag_secret_setup(fault)) != ANTAG_OK ||
        (err = ag_home_init(&r->home, o->home, fault)) != ANTAG_OK ||
        (err = ag_home_check(&r->home, fault)) != ANTAG_OK ||
        (err = ag_conf_read(r->home.conf, &r->conf_text, fault)) != ANTAG_OK ||
        (err = ag_conf_parse(&r->conf, r->home.conf, r->conf_text, fault)) != ANTAG_OK ||
        (err = ag_home_lock(&r->home, &r->lock_fd, fault)) != ANTAG_OK ||
        (err = ag_socket_listen(r->home.agent_sock, o->passed_fds, &r->agent_fd, fault)) !=
            ANTAG_OK ||
        (err = ag_socket_listen(r->home.staff_sock, o->passed_fds, &r->staff_fd, fault)) !=
            ANTAG_OK)
        return err;
    ag_log_set_level((enum ag_log_level)r->conf.log_level);
    r->front_threads =
        r->conf.front_threads > 0 ? (unsigned)r->conf.front_threads : uv_available_parallelism();
    return uv_loop_init(&r->loop) == 0
               ? ANTAG_OK
               : antag_fault_set(fault, ANTAG_ERR_IO, NULL, "no event loop");
}

static void on_walk_close(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void finish(struct ag_run *r)
{
    for (size_t i = 0; i < AG_OPENERS_MAX; i++) /* its end is still to come: reap it */
        while (r->openers[i] != NULL)
            uv_run(&r->loop, UV_RUN_ONCE);
    uv_walk(&r->loop, on_walk_close, NULL);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&r->loop);
    ag_secret_free(r->root);
    free(r->conf_text);
    if (r->agent_fd >= r->first_own_fd) /* the service manager keeps its own */
        unlink(r->home.agent_sock);
    if (r->staff_fd >= r->first_own_fd)
        unlink(r->home.staff_sock);
}

int ag_supervisor_run(const struct ag_supervisor_options *o)
{
    static struct ag_run run;
    struct ag_run *r = &run;
    struct antag_fault fault;

    ag_log_setup("supervisor", AG_LOG_INFO);
    r->started_at_ms = ag_clock_wall_ms();
    r->state = AG_STATE_STARTING;
    if (prepare(r, o, &fault) != ANTAG_OK) {
        fprintf(stderr, "antom-agent: %s: %s\n", antag_err_name(fault.err),
                antag_fault_text(&fault));
        return antag_err_exit(fault.err);
    }
    handle_signals(r);
    uv_timer_init(&r->loop, &r->drain_timer);
    r->drain_timer.data = r;
    ag_slots_make(r);
    ag_log(AG_LOG_INFO, "agent.starting", AG_F_TEXT("home", r->home.dir),
           AG_F_INT("pid", getpid()));
    ag_unseal_start(r, -1);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    ag_log(AG_LOG_INFO, "agent.stopped");
    finish(r);
    return 0;
}
