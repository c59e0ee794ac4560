/* init: a home from nothing: agent.conf, root key and seal, registry with its first member of staff.
 * Everything is made under names that end in .new; the seal is renamed last, and its presence is what
 * "initialised" means, so an init that was cut off can be run again. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/confine.h"
#include "agent/lib/log.h"
#include "agent/supervisor/child.h"
#include "agent/supervisor/run.h"
#include "agent/supervisor/supervisor.h"
#include "proto/params.h"

struct init {
    uv_loop_t loop;
    struct ag_home home;
    struct ag_secret *root;
    bool done; /* the child that runs now did what it had to */
    struct antag_fault fault;
    int64_t status;
};

static void on_message(struct ag_child *c, const struct antag_message *m, struct ag_fds *fds)
{
    struct init *in = c->ctx;

    (void)fds;
    if (antag_slice_is(m->name, "done")) {
        in->done = true;
    } else if (antag_slice_is(m->name, "failed")) {
        ag_child_read_error(m, &in->fault);
    }
}

static void on_secret(struct ag_child *c, const char *label, struct ag_secret *secret)
{
    struct init *in = c->ctx;

    if (in->root == NULL && strcmp(label, "root") == 0 && ag_secret_len(secret) == AG_KEY_LEN)
        in->root = secret;
    else
        ag_secret_free(secret);
}

static void child_exit(struct ag_child *c, int64_t status, int sig)
{
    struct init *in = c->ctx;

    in->status = sig != 0 ? 128 + sig : status;
}

static const struct ag_child_ops child_ops = {on_message, on_secret, child_exit};

/* A child with its start; the caller adds what else it needs and then runs the loop to its end. */
static enum antag_err start_child(struct init *in, enum ag_role_kind kind, const char *name,
                                  uint32_t staff_uid, const char *conf_text, struct ag_child **out)
{
    struct ag_role_start start;
    enum antag_err err = ag_child_spawn(&in->loop, kind, name, &child_ops, in, out);

    if (err != ANTAG_OK)
        return antag_fault_set(&in->fault, err, NULL, "a role could not be started");
    memset(&start, 0, sizeof start);
    snprintf(start.name, sizeof start.name, "%s", name);
    start.home = in->home;
    start.state = AG_STATE_UNLOCKED;
    start.init = kind == AG_ROLE_steward;
    start.staff_uid = staff_uid;
    if (kind == AG_ROLE_steward) {
        ag_give_subkey(*out, in->root, "registry:seal");
        ag_give_subkey(*out, in->root, "registry:mac");
    }
    ag_child_start(*out, &start, conf_text, -1);
    return ANTAG_OK;
}

static enum antag_err make_seal(struct init *in, const struct ag_supervisor_options *o,
                                const char *conf_text)
{
    struct ag_child *c;
    enum antag_err err = start_child(in, AG_ROLE_opener, "seal-create", 0, conf_text, &c);

    if (err != ANTAG_OK)
        return err;
    ag_child_task(c, "seal-create", o->seal, o->passphrase_fd);
    uv_run(&in->loop, UV_RUN_DEFAULT);
    if (in->done && in->root != NULL)
        return ANTAG_OK;
    if (in->fault.err == ANTAG_OK)
        antag_fault_set(&in->fault, ANTAG_ERR_INTERNAL, NULL,
                        "the opener ended before the seal was made");
    return in->fault.err;
}

static enum antag_err make_registry(struct init *in, const struct ag_supervisor_options *o,
                                    const char *conf_text)
{
    struct ag_child *c;
    enum antag_err err = start_child(in, AG_ROLE_steward, "", o->staff_uid, conf_text, &c);

    if (err != ANTAG_OK)
        return err;
    in->status = -1;
    uv_run(&in->loop, UV_RUN_DEFAULT);
    if (in->status != 0)
        return antag_fault_set(&in->fault, ANTAG_ERR_IO, NULL,
                               "%s.new could not be made; the log above says why",
                               in->home.registry);
    return ANTAG_OK;
}

static enum antag_err io_fault(struct init *in, const char *path)
{
    return antag_fault_set(&in->fault, ANTAG_ERR_IO, NULL, "%s: %s", path, strerror(errno));
}

static enum antag_err rename_new(struct init *in, const char *path)
{
    char from[AG_PATH_MAX + 8];

    snprintf(from, sizeof from, "%s.new", path);
    /* never over one that is there: of two inits at once the second must not win */
    if (renameat2(AT_FDCWD, from, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
        return ANTAG_OK;
    return errno == EEXIST ? antag_fault_set(&in->fault, ANTAG_ERR_ALREADY_INITIALISED, NULL,
                                             "%s is there already", path)
                           : io_fault(in, from);
}

/* The configuration stays as it is where the operator has put one. */
static enum antag_err write_conf(struct init *in, const char *text)
{
    char path[AG_PATH_MAX + 8];
    size_t len = strlen(text);
    bool ok;
    int fd;

    if (access(in->home.conf, F_OK) == 0)
        return ANTAG_OK;
    snprintf(path, sizeof path, "%s.new", in->home.conf);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return io_fault(in, path);
    ok = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0;
    if (close(fd) != 0 || !ok)
        return io_fault(in, path);
    return rename_new(in, in->home.conf);
}

/* Of the operator, if there is one: it says how a TPM is reached. */
static enum antag_err read_conf(struct init *in, char **text)
{
    struct ag_conf conf;
    enum antag_err err;

    if (access(in->home.conf, F_OK) != 0) {
        *text = ag_conf_document();
        return *text != NULL
                   ? ANTAG_OK
                   : antag_fault_set(&in->fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to start");
    }
    if ((err = ag_conf_read(in->home.conf, text, &in->fault)) != ANTAG_OK)
        return err;
    return ag_conf_parse(&conf, in->home.conf, *text, &in->fault);
}

static enum antag_err sync_folder(struct init *in)
{
    int fd = open(in->home.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok ? ANTAG_OK : io_fault(in, in->home.dir);
}

static enum antag_err do_init(struct init *in, const struct ag_supervisor_options *o)
{
    struct antag_fault *fault = &in->fault;
    char *conf_text = NULL;
    int lock_fd = -1;
    enum antag_err err;

    if ((err = ag_home_init(&in->home, o->home, fault)) != ANTAG_OK ||
        (err = ag_home_make(&in->home, fault)) != ANTAG_OK ||
        (err = ag_home_lock(&in->home, &lock_fd, fault)) != ANTAG_OK ||
        (err = read_conf(in, &conf_text)) != ANTAG_OK)
        goto out;
    if ((err = make_seal(in, o, conf_text)) != ANTAG_OK ||
        (err = make_registry(in, o, conf_text)) != ANTAG_OK ||
        (err = write_conf(in, conf_text)) != ANTAG_OK ||
        (err = rename_new(in, in->home.registry)) != ANTAG_OK ||
        (err = rename_new(in, in->home.seal)) != ANTAG_OK)
        goto out;
    err = sync_folder(in);
out:
    ag_secret_free(in->root);
    free(conf_text);
    if (lock_fd >= 0)
        close(lock_fd);
    return err;
}

/* The loop comes after confine, which closes descriptors. */
static enum antag_err prepare(struct init *in, const struct ag_supervisor_options *o)
{
    int keep_below = o->passphrase_fd >= 0 ? o->passphrase_fd + 1 : STDERR_FILENO + 1;
    enum antag_err err;

    if ((err = ag_confine_early(false, keep_below, &in->fault)) != ANTAG_OK ||
        (err = ag_secret_setup(&in->fault)) != ANTAG_OK)
        return err;
    return uv_loop_init(&in->loop) == 0
               ? ANTAG_OK
               : antag_fault_set(&in->fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to start");
}

int ag_supervisor_init(const struct ag_supervisor_options *o)
{
    struct init in = {.done = false};
    enum antag_err err;

    ag_log_setup("init", AG_LOG_WARN);
    if ((err = prepare(&in, o)) == ANTAG_OK) {
        err = do_init(&in, o);
        uv_run(&in.loop, UV_RUN_DEFAULT); /* what is closing yet */
        (void)uv_loop_close(&in.loop);
    }
    if (err != ANTAG_OK)
        ag_supervisor_print_error(&in.fault, o->json_errors);
    return antag_err_exit(err);
}
