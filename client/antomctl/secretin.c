#include "client/antomctl/secretin.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "antag/limits.h"

#define PASSPHRASE_MAX 4096 /* a line of a terminal holds no more */

void ctl_secret_setup(void)
{
    const struct rlimit none = {0, 0};
    struct antag_fault fault;

    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        (void)fprintf(stderr, "antomctl: warning: core files cannot be switched off: %s\n",
                      strerror(errno));
    if (ag_secret_setup(&fault) != ANTAG_OK)
        (void)fprintf(stderr, "antomctl: warning: %s\n", antag_fault_text(&fault));
}

/* ---- the terminal */

static const int ENDING[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define ENDING_COUNT (sizeof(ENDING) / sizeof(ENDING[0]))

static volatile sig_atomic_t came; /* the signal that ends the question */

static void on_signal(int number)
{
    came = number;
}

/* how things were before the question */
struct quiet {
    int fd;
    struct termios before;
    struct sigaction actions[ENDING_COUNT], stop;
};

static bool quiet_begin(struct quiet *q, int fd)
{
    /* no SA_RESTART: read() must come back */
    const struct sigaction end = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
    struct termios silent;

    q->fd = fd;
    came = 0;
    if (tcgetattr(fd, &q->before) != 0)
        return false;
    for (size_t i = 0; i < ENDING_COUNT; i++)
        (void)sigaction(ENDING[i], &end, &q->actions[i]);
    (void)sigaction(SIGTSTP, &ignore, &q->stop); /* would leave the terminal silent */
    silent = q->before;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    silent.c_lflag |= ICANON | ISIG;
    return tcsetattr(fd, TCSAFLUSH, &silent) == 0;
}

static void quiet_end(struct quiet *q)
{
    (void)tcsetattr(q->fd, TCSAFLUSH, &q->before);
    for (size_t i = 0; i < ENDING_COUNT; i++)
        (void)sigaction(ENDING[i], &q->actions[i], NULL);
    (void)sigaction(SIGTSTP, &q->stop, NULL);
    if (came != 0)
        (void)kill(getpid(), came); /* now it does what it would have done without the question */
}

bool ctl_secret_can_ask(void)
{
    int fd;

    if (!isatty(STDERR_FILENO))
        return false;
    fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return false;
    (void)close(fd);
    return true;
}

/* ---- reading */

static enum antag_err refuse(const struct ctl_secret_from *from, const char *why,
                             struct antag_fault *fault)
{
    const char *where =
        from->path != NULL && strcmp(from->path, "-") != 0 ? from->path : "standard input";

    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, from->option, "%s %s: %s",
                           from->kind == CTL_KEY ? "the key from" : "the passphrase from", where,
                           why);
}

/* Fill `s` from `fd` until its end, or the first line end when `one_line`. errno on false. */
static bool fill(int fd, bool one_line, struct ag_secret *s)
{
    size_t used = 0, cap = ag_secret_cap(s);

    while (used < cap && came == 0) {
        uint8_t *at = ag_secret_bytes(s) + used;
        ssize_t n = read(fd, at, cap - used);

        if (n < 0 && errno == EINTR && came == 0)
            continue;
        if (n < 0)
            return false;
        used += (size_t)n;
        ag_secret_set_len(s, used);
        if (n == 0 || (one_line && memchr(at, '\n', (size_t)n) != NULL))
            break;
    }
    if (came != 0)
        errno = EINTR;
    return came == 0;
}

/* A line end belongs to the editor or the Return key, not to the passphrase. */
static void cut_line_end(struct ag_secret *s)
{
    const uint8_t *p = ag_secret_bytes(s);
    size_t len = ag_secret_len(s);

    if (len > 0 && p[len - 1] == '\n')
        len--;
    if (len > 0 && len < ag_secret_len(s) && p[len - 1] == '\r')
        len--;
    ag_secret_set_len(s, len);
}

static enum antag_err check_size(const struct ctl_secret_from *from, size_t max,
                                 struct ag_secret *s, struct antag_fault *fault)
{
    char why[80];

    if (ag_secret_len(s) > max) {
        (void)snprintf(why, sizeof(why), "longer than the %zu bytes allowed", max);
        return refuse(from, why, fault);
    }
    if (from->kind == CTL_PASSPHRASE)
        cut_line_end(s);
    return ag_secret_len(s) == 0 ? refuse(from, "empty", fault) : ANTAG_OK;
}

static size_t max_of(const struct ctl_secret_from *from)
{
    return from->kind == CTL_KEY ? ANTAG_IMPORT_MAX : PASSPHRASE_MAX;
}

/* One byte more than allowed is read, which tells that there is more. */
static enum antag_err new_secret(size_t max, struct ag_secret **out, struct antag_fault *fault)
{
    *out = ag_secret_new(max + 1);
    if (*out == NULL)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL,
                               "no locked memory for %zu bytes of a secret; raise the limit of "
                               "locked memory (ulimit -l)",
                               max + 1);
    return ANTAG_OK;
}

static enum antag_err ask_once(const struct ctl_secret_from *from, int tty, const char *again,
                               struct ag_secret **out, struct antag_fault *fault)
{
    struct quiet q;
    struct ag_secret *s = NULL;
    enum antag_err err;
    bool read_well;
    int code;

    if ((err = new_secret(max_of(from), &s, fault)) != ANTAG_OK)
        return err;
    read_well = quiet_begin(&q, tty);
    code = errno;
    if (read_well) {
        (void)fprintf(stderr, "%s%s%s ", from->prompt, again,
                      from->kind == CTL_KEY ? ", then Ctrl-D:" : ":");
        read_well = fill(tty, from->kind == CTL_PASSPHRASE, s);
        code = errno;
        (void)fputc('\n', stderr);
        quiet_end(&q);
    }
    if (!read_well)
        err = refuse(from, strerror(code), fault);
    else
        err = check_size(from, max_of(from), s, fault);
    if (err == ANTAG_OK) {
        *out = s;
        s = NULL; /* transferred */
    }
    ag_secret_free(s);
    return err;
}

static enum antag_err ask_on(const struct ctl_secret_from *from, int tty, struct ag_secret **out,
                             struct antag_fault *fault)
{
    struct ag_secret *first = NULL, *second = NULL;
    enum antag_err err = ask_once(from, tty, "", &first, fault);

    if (err == ANTAG_OK && from->twice)
        err = ask_once(from, tty, " once more", &second, fault);
    if (err == ANTAG_OK && from->twice &&
        (ag_secret_len(first) != ag_secret_len(second) ||
         !ag_secret_equal(ag_secret_bytes(first), ag_secret_bytes(second), ag_secret_len(first))))
        err = antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, from->option,
                              "the two passphrases are not the same; nothing was changed");
    if (err == ANTAG_OK) {
        *out = first;
        first = NULL; /* transferred */
    }
    ag_secret_free(first);
    ag_secret_free(second);
    return err;
}

enum antag_err ctl_secret_ask(const struct ctl_secret_from *from, struct ag_secret **out,
                              struct antag_fault *fault)
{
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    enum antag_err err;

    if (tty < 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, from->option,
                               "there is no terminal to ask on (%s); give %s FILE", strerror(errno),
                               from->option);
    err = ask_on(from, tty, out, fault);
    (void)close(tty);
    return err;
}

/* How much a file may hold; for a regular file its size, so that little has to be locked. */
static size_t max_of_file(const struct ctl_secret_from *from, int fd)
{
    size_t max = max_of(from);
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && (size_t)st.st_size < max)
        return (size_t)st.st_size;
    return max;
}

enum antag_err ctl_secret_read(const struct ctl_secret_from *from, struct ag_secret **out,
                               struct antag_fault *fault)
{
    bool is_file = from->path != NULL && strcmp(from->path, "-") != 0;
    int fd = is_file ? open(from->path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
    struct ag_secret *s = NULL;
    enum antag_err err;
    size_t max;

    if (fd < 0)
        return refuse(from, strerror(errno), fault);
    if (isatty(fd)) {
        err = ask_on(from, fd, out, fault);
        goto out;
    }
    came = 0;
    max = max_of_file(from, fd);
    if ((err = new_secret(max, &s, fault)) != ANTAG_OK)
        goto out;
    if (!fill(fd, false, s))
        err = refuse(from, strerror(errno), fault);
    else
        err = check_size(from, max, s, fault);
    if (err == ANTAG_OK) {
        *out = s;
        s = NULL; /* transferred */
    }
out:
    ag_secret_free(s);
    if (is_file)
        (void)close(fd);
    return err;
}

enum antag_err ctl_secret_memfd(const struct ag_secret *s, int *fd, struct antag_fault *fault)
{
    struct antag_slice rest = ag_secret_slice(s);
    int made = memfd_create("antomctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const char *what = "memfd_create";
    off_t at = 0;

    if (made < 0)
        goto fail;
    while (rest.len > 0) {
        /* pwrite: the reader shares the file's position, which stays at the start */
        ssize_t n = pwrite(made, rest.p, rest.len, at);

        what = "write to a memory file";
        if (n <= 0)
            goto fail;
        rest.p += n;
        rest.len -= (size_t)n;
        at += n;
    }
    what = "seal a memory file";
    if (fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        goto fail;
    *fd = made;
    return ANTAG_OK;
fail:
    (void)antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "%s: %s", what, strerror(errno));
    if (made >= 0)
        (void)close(made);
    return ANTAG_ERR_PROTECTION;
}
