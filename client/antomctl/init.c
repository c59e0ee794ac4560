/* init: runs `antom-agent --init`, which makes the home, and hands it the passphrase. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/core/sealtype.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/secretin.h"

#define SAYS_MAX      4096 /* what --json-errors prints is less */
#define PASSPHRASE_FD 3    /* the first free one in the child */
#define ARGV_MAX      12

/* what is run */
struct run {
    char path[AG_PATH_MAX]; /* with a slash, or a name for PATH */
    char *argv[ARGV_MAX];
    char uid[24];
    int passphrase_fd; /* -1: none */
};

/* ---- which agent: the one beside antomctl, the installed one, the one on PATH */

static bool is_program(char *path, size_t size, const char *folder, size_t folder_len)
{
    int n = snprintf(path, size, "%.*s/antom-agent", (int)folder_len, folder);

    return n > 0 && (size_t)n < size && access(path, X_OK) == 0;
}

static void find_agent(char path[AG_PATH_MAX])
{
    char self[AG_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    const char *slash;

    if (n > 0) {
        self[n] = '\0';
        slash = strrchr(self, '/');
        if (slash != NULL && is_program(path, AG_PATH_MAX, self, (size_t)(slash - self)))
            return;
    }
    if (is_program(path, AG_PATH_MAX, CTL_SBINDIR, strlen(CTL_SBINDIR)))
        return;
    (void)snprintf(path, AG_PATH_MAX, "antom-agent");
}

/* ---- options */

static enum antag_err staff_uid(const struct ctl *c, uint64_t *uid, struct antag_fault *fault)
{
    const char *given = ctl_args_get(&c->line, "--staff-uid");

    *uid = (uint64_t)getuid();
    if (given != NULL && (!ctl_args_uint(given, uid) || *uid >= UINT32_MAX))
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--staff-uid",
                               "--staff-uid takes a uid, 0 to 4294967294");
    if (given == NULL && getuid() == 0 && getenv("SUDO_UID") != NULL)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--staff-uid",
                               "under sudo it must be said who will be staff: --staff-uid N "
                               "(you: --staff-uid %.20s)",
                               getenv("SUDO_UID"));
    return ANTAG_OK;
}

static const char *passphrase_file(const struct ctl *c)
{
    const char *path = ctl_args_get(&c->line, "--passphrase-file");

    return path != NULL ? path : ctl_args_get(&c->line, "--file");
}

static bool takes_passphrase(const char *seal)
{
    return ag_seal_takes_passphrase(ag_seal_type_of(antag_slice_of(seal)));
}

static enum antag_err check_options(const struct ctl *c, const char *seal,
                                    struct antag_fault *fault)
{
    if (ag_seal_type_of(antag_slice_of(seal)) == AG_SEAL_KINDS)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--seal",
                               "--seal takes file, passphrase, credential or tpm, got \"%.40s\"",
                               seal);
    if (!takes_passphrase(seal) && passphrase_file(c) != NULL)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--passphrase-file",
                               "--passphrase-file goes with --seal passphrase and --seal tpm");
    return ANTAG_OK;
}

static enum antag_err read_passphrase(const struct ctl *c, const char *seal, int *fd,
                                      struct antag_fault *fault)
{
    const struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE,
        .path = passphrase_file(c),
        .option = "--passphrase-file",
        .prompt = strcmp(seal, "tpm") == 0
                      ? "Recovery passphrase, for the day the TPM or its PCRs are others"
                      : "Passphrase that will open the agent",
        .twice = true,
    };
    struct ag_secret *passphrase = NULL;
    enum antag_err err;

    /* the agent looks again; this spares a person two prompts for nothing */
    if (access(c->home.seal, F_OK) == 0)
        return antag_fault_set(fault, ANTAG_ERR_ALREADY_INITIALISED, NULL,
                               "%s has been initialised before; nothing was changed", c->home.dir);
    ctl_secret_setup();
    if ((err = ctl_secret_read(&from, &passphrase, fault)) == ANTAG_OK)
        err = ctl_secret_memfd(passphrase, fd, fault);
    ag_secret_free(passphrase);
    return err;
}

static void fill_argv(struct run *r, const struct ctl *c, const char *seal, uint64_t uid)
{
    size_t n = 0;

    (void)snprintf(r->uid, sizeof(r->uid), "%" PRIu64, uid);
    r->argv[n++] = (char *)(uintptr_t) "antom-agent";
    r->argv[n++] = (char *)(uintptr_t) "--init";
    if (c->home_dir != NULL) {
        r->argv[n++] = (char *)(uintptr_t) "--home";
        r->argv[n++] = (char *)(uintptr_t)c->home_dir;
    }
    r->argv[n++] = (char *)(uintptr_t) "--seal";
    r->argv[n++] = (char *)(uintptr_t)seal;
    r->argv[n++] = (char *)(uintptr_t) "--staff-uid";
    r->argv[n++] = r->uid;
    if (r->passphrase_fd >= 0) {
        r->argv[n++] = (char *)(uintptr_t) "--passphrase-fd";
        r->argv[n++] = (char *)(uintptr_t) "3";
    }
    r->argv[n++] = (char *)(uintptr_t) "--json-errors";
    r->argv[n] = NULL;
}

/* ---- running it */

/* In the child: what it says goes to the pipe, the passphrase to its place; does not return. */
static void become_agent(const struct run *r, int says)
{
    int fd = r->passphrase_fd;

    /* the pipe must not lie where the passphrase goes */
    if (dup2(says, STDOUT_FILENO) < 0 || (fd >= 0 && fd != PASSPHRASE_FD && dup2(fd, 3) < 0))
        _exit(127);
    /* dup2 onto itself would keep close-on-exec, so that one is moved away and back */
    if (fd == PASSPHRASE_FD && ((fd = dup(fd)) < 0 || dup2(fd, PASSPHRASE_FD) < 0))
        _exit(127);
    (void)execvp(r->path, r->argv);
    (void)dprintf(STDERR_FILENO, "antomctl: %s: %s\n", r->path, strerror(errno));
    _exit(127);
}

static size_t read_all(int fd, char *out, size_t size)
{
    size_t used = 0;
    ssize_t n;

    while (used < size &&
           ((n = read(fd, out + used, size - used)) > 0 || (n < 0 && errno == EINTR)))
        used += n > 0 ? (size_t)n : 0;
    return used;
}

static enum antag_err judge(const struct run *r, int status, const char *says, size_t len,
                            struct antag_fault *fault)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ANTAG_OK;
    if (ctl_json_read_fault(says, len, fault))
        return fault->err;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL,
                               "%s could not be run; it is looked for beside antomctl, in %s and "
                               "on PATH",
                               r->path, CTL_SBINDIR);
    return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "%s --init ended with %s %d", r->path,
                           WIFSIGNALED(status) ? "signal" : "status",
                           WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

static enum antag_err run_agent(const struct run *r, struct antag_fault *fault)
{
    char says[SAYS_MAX];
    int pipe_fds[2], status = 0;
    size_t len;
    pid_t pid;

    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0) {
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "fork: %s", strerror(errno));
    }
    if (pid == 0)
        become_agent(r, pipe_fds[1]);
    (void)close(pipe_fds[1]);
    len = read_all(pipe_fds[0], says, sizeof(says));
    (void)close(pipe_fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return judge(r, status, says, len, fault);
}

enum antag_err ctl_run_init(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const char *seal = ctl_args_get(&c->line, "--seal");
    struct run r = {.passphrase_fd = -1};
    uint64_t uid = 0;
    enum antag_err err;

    seal = seal != NULL ? seal : "file";
    if ((err = check_options(c, seal, fault)) != ANTAG_OK ||
        (err = staff_uid(c, &uid, fault)) != ANTAG_OK)
        return err;
    if (takes_passphrase(seal) &&
        (err = read_passphrase(c, seal, &r.passphrase_fd, fault)) != ANTAG_OK)
        return err;
    find_agent(r.path);
    fill_argv(&r, c, seal, uid);
    err = run_agent(&r, fault);
    if (r.passphrase_fd >= 0)
        (void)close(r.passphrase_fd);
    if (err != ANTAG_OK)
        return err;
    *result = json_pack("{s:s, s:s, s:s, s:s, s:I}", "home", c->home.dir, "conf", c->home.conf,
                        "registry", c->home.registry, "seal", seal, "staff_uid", (json_int_t)uid);
    return *result != NULL ? ANTAG_OK : antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
}

void ctl_render_init(struct ctl *c, const json_t *result)
{
    char start[CTL_LINE_MAX], line[2 * AG_PATH_MAX];
    int64_t uid = 0;

    (void)ctl_json_int(result, "staff_uid", &uid);
    (void)snprintf(line, sizeof(line), "made %s: configuration %s, registry, root key (seal: %s)",
                   ctl_json_text(result, "home"), ctl_json_text(result, "conf"),
                   ctl_json_text(result, "seal"));
    ctl_say(line);
    (void)printf("staff: uid %" PRId64 ", with all staff roles\n", uid);
    ctl_start_text(c, start);
    (void)printf("next: %s\n", start);
    if (strcmp(ctl_json_text(result, "seal"), "passphrase") == 0)
        ctl_next(c, "unlock");
    else
        ctl_next(c, "status --wait 30");
}
