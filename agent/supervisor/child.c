#include "agent/supervisor/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "proto/params.h"

#define MESSAGE_MAX AG_CHAN_PACKET_MAX

extern char **environ;

/* What a role may see of our environment: the settings of sanitizers, which only their builds read; an opener and a keeper
 * also where the service manager's credentials lie. */
static char **role_environment(enum ag_role_kind kind)
{
    static const char *const kept[] = {"ASAN_OPTIONS=", "UBSAN_OPTIONS=", "LSAN_OPTIONS=",
                                       "TSAN_OPTIONS=", "CREDENTIALS_DIRECTORY="};
    static char *env[sizeof kept / sizeof *kept + 1];
    size_t count = sizeof kept / sizeof *kept -
                   (kind == AG_ROLE_opener || kind == AG_ROLE_keeper ? 0 : 1),
           n = 0;

    for (char **e = environ; *e != NULL; e++)
        for (size_t i = 0; i < count; i++)
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0 && n + 1 < sizeof env / sizeof *env)
                env[n++] = *e;
    env[n] = NULL;
    return env;
}

/* ---- life of the control channel */

static void chan_message(struct ag_chan *chan, const struct antag_message *m, struct ag_fds *fds,
                         void *ctx)
{
    struct ag_child *c = ctx;

    (void)chan;
    c->ops->on_message(c, m, fds);
}

static void chan_secret(struct ag_chan *chan, const char *label, struct ag_secret *secret,
                        void *ctx)
{
    struct ag_child *c = ctx;

    (void)chan;
    c->ops->on_secret(c, label, secret);
}

static void chan_closed(struct ag_chan *chan, void *ctx)
{
    struct ag_child *c = ctx;

    c->control = NULL;
    ag_chan_close(chan);
    ag_child_kill(c, SIGKILL); /* it is ending, or it sent what no role sends */
}

static void process_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void process_exited(uv_process_t *process, int64_t status, int sig)
{
    struct ag_child *c = process->data;

    ag_chan_close(c->control);
    c->control = NULL;
    c->ops->on_exit(c, status, sig);
    uv_close((uv_handle_t *)process, process_closed);
}

static int spawn_process(struct ag_child *c, uv_loop_t *loop, int control_fd)
{
    char *args[] = {(char *)"antom-agent", (char *)"--role",
                    (char *)(uintptr_t)ag_role_name(c->kind), NULL};
    uv_stdio_container_t stdio[] = {
        {.flags = UV_IGNORE},
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO},
        {.flags = UV_INHERIT_FD, .data.fd = control_fd},
    };
    uv_process_options_t options = {.exit_cb = process_exited,
                                    .file =
                                        "/proc/self/exe", /* the same program, even when replaced */
                                    .args = args,
                                    .env = role_environment(c->kind),
                                    .stdio_count = sizeof stdio / sizeof *stdio,
                                    .stdio = stdio};

    return uv_spawn(loop, &c->process, &options);
}

enum antag_err ag_child_spawn(uv_loop_t *loop, enum ag_role_kind kind, const char *name,
                              const struct ag_child_ops *ops, void *ctx, struct ag_child **out)
{
    struct ag_child *c = calloc(1, sizeof *c);
    int pair[2], rc;

    if (c == NULL)
        return ANTAG_ERR_NO_MEMORY;
    c->kind = kind;
    c->ops = ops;
    c->ctx = ctx;
    snprintf(c->name, sizeof c->name, "%s", name);
    c->process.data = c;
    c->chan_ops_ = (struct ag_chan_ops){chan_message, ops->on_secret != NULL ? chan_secret : NULL,
                                        chan_closed};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        free(c);
        return ANTAG_ERR_IO;
    }
    rc = spawn_process(c, loop, pair[1]);
    close(pair[1]);
    if (rc != 0) {
        ag_log(AG_LOG_ERROR, "child.spawn", AG_F_TEXT("role", ag_role_name(kind)),
               AG_F_TEXT("why", uv_strerror(rc)));
        close(pair[0]);
        uv_close((uv_handle_t *)&c->process, process_closed);
        return ANTAG_ERR_IO;
    }
    c->pid = c->process.pid;
    c->since_ms = ag_clock_wall_ms();
    c->since_mono_ms = ag_clock_mono_ms();
    *out = c;
    if (ag_chan_open(loop, pair[0], ag_role_name(kind), &c->chan_ops_, c, &c->control) !=
        ANTAG_OK) {
        c->control = NULL;
        ag_child_kill(c, SIGKILL); /* its end is reported like any other */
    }
    return ANTAG_OK;
}

/* ---- messages */

static void lost(struct ag_child *c, enum antag_err err)
{
    ag_log(AG_LOG_ERROR, "child.send", AG_F_TEXT("role", ag_role_name(c->kind)), AG_F_ERR(err));
    ag_child_kill(c, SIGKILL);
}

void ag_child_send(struct ag_child *c, struct antag_writer *w, const int *fds, size_t fd_count)
{
    enum antag_err err =
        c->control == NULL ? ANTAG_ERR_RETRY : ag_chan_send(c->control, w, fds, fd_count);

    if (err != ANTAG_OK)
        lost(c, err);
}

void ag_child_send_secret(struct ag_child *c, const char *label, const struct ag_secret *secret)
{
    enum antag_err err =
        c->control == NULL ? ANTAG_ERR_RETRY : ag_chan_send_secret(c->control, label, secret);

    if (err != ANTAG_OK)
        lost(c, err);
}

void ag_child_start(struct ag_child *c, const struct ag_role_start *start, const char *conf_text,
                    int listen_fd)
{
    struct antag_writer w;

    antag_writer_init(&w, MESSAGE_MAX);
    antag_m_event(&w, "start");
    ag_role_start_write(&w, start, conf_text);
    antag_m_close(&w);
    ag_child_send(c, &w, &listen_fd, listen_fd >= 0 ? 1 : 0);
    antag_writer_fini(&w);
}

void ag_child_event(struct ag_child *c, const char *event)
{
    struct antag_writer w;

    antag_writer_init(&w, 256);
    antag_m_event(&w, event);
    antag_w_map(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    ag_child_send(c, &w, NULL, 0);
    antag_writer_fini(&w);
}

void ag_child_conf(struct ag_child *c, const char *conf_text)
{
    struct antag_writer w;

    antag_writer_init(&w, MESSAGE_MAX);
    antag_m_event(&w, "conf");
    antag_w_map(&w);
    antag_w_kv_str(&w, "conf", conf_text);
    antag_w_end(&w);
    antag_m_close(&w);
    ag_child_send(c, &w, NULL, 0);
    antag_writer_fini(&w);
}

void ag_child_task(struct ag_child *c, const char *task, const char *type, int fd)
{
    struct antag_writer w;

    antag_writer_init(&w, 256);
    antag_m_event(&w, "task");
    antag_w_map(&w);
    antag_w_kv_str(&w, "task", task);
    if (type != NULL)
        antag_w_kv_str(&w, "type", type);
    antag_w_end(&w);
    antag_m_close(&w);
    ag_child_send(c, &w, &fd, fd >= 0 ? 1 : 0);
    antag_writer_fini(&w);
}

void ag_child_kill(struct ag_child *c, int sig)
{
    int rc = uv_process_kill(&c->process, sig);

    if (rc != 0 && rc != UV_ESRCH)
        ag_log(AG_LOG_ERROR, "child.kill", AG_F_INT("pid", c->pid),
               AG_F_TEXT("why", uv_strerror(rc)));
}

/* ---- pairs */

static void send_peer(struct ag_child *c, enum ag_role_kind peer, const char *peer_name,
                      uint32_t lane, int fd)
{
    struct antag_writer w;

    antag_writer_init(&w, 256);
    antag_m_event(&w, "peer");
    ag_role_peer_write(&w, peer, peer_name, lane);
    antag_m_close(&w);
    ag_child_send(c, &w, &fd, 1);
    antag_writer_fini(&w);
}

int ag_child_give_peer(struct ag_child *c, enum ag_role_kind peer, const char *peer_name,
                       uint32_t lane)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        ag_log(AG_LOG_ERROR, "child.pair", AG_F_TEXT("why", strerror(errno)));
        return -1;
    }
    send_peer(c, peer, peer_name, lane, pair[0]);
    close(pair[0]);
    return pair[1];
}

void ag_child_join(struct ag_child *a, struct ag_child *b, uint32_t lane)
{
    int fd = ag_child_give_peer(a, b->kind, b->name, lane);

    if (fd < 0)
        return;
    send_peer(b, a->kind, a->name, lane, fd);
    close(fd);
}

void ag_child_read_error(const struct antag_message *m, struct antag_fault *out)
{
    char text[ANTAG_FAULT_TEXT_MAX + 1] = "", field[ANTAG_FAULT_FIELD_MAX + 1] = "";
    uint64_t code = ANTAG_ERR_INTERNAL;

    (void)antag_object_uint(&m->params, "code", &code);
    (void)antag_object_text(&m->params, "message", text, sizeof text);
    (void)antag_object_text(&m->params, "field", field, sizeof field);
    if (code == 0 || !antag_err_is_known(code))
        code = ANTAG_ERR_INTERNAL;
    antag_fault_set(out, (enum antag_err)code, field, "%s", text);
}
