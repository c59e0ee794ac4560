#include "agent/lib/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYSTEM_CONF "/etc/antom-agent"
#define SYSTEM_DATA "/var/lib/antom-agent"
#define SYSTEM_RUN  "/run/antom-agent"

#define MODE_HOME   0711 /* others reach the sockets but see no names */
#define MODE_SYSTEM 0755

/* ---- paths */

ANTAG_PRINTF(4, 5)
static enum antag_err set_path(char *out, size_t size, struct antag_fault *fault, const char *fmt,
                               ...)
{
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(out, size, fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= size)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                               "the path %.80s... has %d bytes, at most %zu are taken", out, len,
                               size - 1);
    return ANTAG_OK;
}

static enum antag_err check_socket(const char *path, struct antag_fault *fault)
{
    size_t len = strlen(path);

    if (len <= AG_SOCKET_PATH_MAX)
        return ANTAG_OK;
    return antag_fault_set(
        fault, ANTAG_ERR_HOME, "home",
        "the socket path %.200s has %zu bytes, the limit is %d; choose a shorter "
        "home folder",
        path, len, AG_SOCKET_PATH_MAX);
}

/* A folder that is not there yet: its parent made absolute, then its name. */
static enum antag_err resolve_new(const char *dir, char *out, struct antag_fault *fault)
{
    char parent[PATH_MAX], whole[PATH_MAX];
    size_t len = strlen(dir);
    const char *name;
    char *slash;

    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (len >= sizeof parent)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                               "the path has %zu bytes, at most %d "
                               "are taken",
                               len, AG_PATH_MAX - 1);
    memcpy(parent, dir, len);
    parent[len] = '\0';
    slash = strrchr(parent, '/');
    name = dir + (slash != NULL ? slash + 1 - parent : 0);
    len -= (size_t)(name - dir);
    if (slash == NULL)
        strcpy(parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    if (realpath(parent, whole) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                               "the folder %.200s, in which the home "
                               "would lie: %s",
                               parent, strerror(errno));
    return set_path(out, AG_PATH_MAX, fault, "%s/%.*s", strcmp(whole, "/") == 0 ? "" : whole,
                    (int)len, name);
}

static enum antag_err resolve(const char *dir, char *out, struct antag_fault *fault)
{
    char whole[PATH_MAX];
    struct stat st;

    if (realpath(dir, whole) != NULL)
        return set_path(out, AG_PATH_MAX, fault, "%s", whole);
    if (errno != ENOENT)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s: %s", dir, strerror(errno));
    if (lstat(dir, &st) == 0)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                               "%.200s is a symbolic link that leads nowhere", dir);
    return resolve_new(dir, out, fault);
}

enum antag_err ag_home_init(struct ag_home *h, const char *dir, struct antag_fault *fault)
{
    const char *data, *etc, *run;
    enum antag_err err;
    const size_t size = AG_PATH_MAX;

    memset(h, 0, sizeof *h);
    h->system = dir == NULL || dir[0] == '\0';
    err =
        h->system ? set_path(h->dir, size, fault, "%s", SYSTEM_DATA) : resolve(dir, h->dir, fault);
    if (err != ANTAG_OK)
        return err;
    data = strcmp(h->dir, "/") == 0 ? "" : h->dir;
    etc = h->system ? SYSTEM_CONF : data;
    run = h->system ? SYSTEM_RUN : data;
    if ((err = set_path(h->conf, size, fault, "%s/agent.conf", etc)) != ANTAG_OK ||
        (err = set_path(h->registry, size, fault, "%s/registry.db", data)) != ANTAG_OK ||
        (err = set_path(h->seal, size, fault, "%s/root.seal", data)) != ANTAG_OK ||
        (err = set_path(h->lock, size, fault, "%s/lock", data)) != ANTAG_OK ||
        (err = set_path(h->audit, size, fault, "%s/audit", data)) != ANTAG_OK ||
        (err = set_path(h->agent_sock, size, fault, "%s/agent.sock", run)) != ANTAG_OK ||
        (err = set_path(h->staff_sock, size, fault, "%s/staff.sock", run)) != ANTAG_OK ||
        (err = check_socket(h->agent_sock, fault)) != ANTAG_OK)
        return err;
    return check_socket(h->staff_sock, fault);
}

/* ---- the folder itself */

static mode_t wanted_mode(const struct ag_home *h)
{
    return h->system ? MODE_SYSTEM : MODE_HOME;
}

/* Open DIR; it must be a folder and the caller's. */
static enum antag_err open_dir(const struct ag_home *h, int *fd, struct stat *st,
                               struct antag_fault *fault)
{
    /* DIR was resolved; a link in its place now was put there since */
    *fd = open(h->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s: %s", h->dir,
                               strerror(errno));
    if (fstat(*fd, st) != 0)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s: %s", h->dir,
                               strerror(errno));
    if (st->st_uid != geteuid())
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                               "%.200s belongs to uid %u, this is uid %u; run it as the folder's "
                               "owner",
                               h->dir, (unsigned)st->st_uid, (unsigned)geteuid());
    return ANTAG_OK;
}

/* Is the entry there, whatever it is? A failure to look is no answer. */
static enum antag_err look(int dir, const char *name, bool *there, struct antag_fault *fault)
{
    struct stat st;

    *there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*there && errno != ENOENT)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%s: %s", name, strerror(errno));
    return ANTAG_OK;
}

enum antag_err ag_home_check(const struct ag_home *h, struct antag_fault *fault)
{
    mode_t wanted = wanted_mode(h);
    bool sealed = false;
    enum antag_err err;
    struct stat st = {0};
    int fd = -1;

    if (access(h->dir, F_OK) != 0 && errno == ENOENT) {
        err = ANTAG_OK; /* nothing there: not initialised */
        goto verdict;
    }
    if ((err = open_dir(h, &fd, &st, fault)) != ANTAG_OK)
        goto out;
    if ((st.st_mode & 0777 & ~wanted) != 0 || (st.st_mode & 0700) != 0700) {
        err = antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                              "%.200s has mode 0%03o, it must not be more open than 0%03o: chmod "
                              "0%03o %.200s",
                              h->dir, (unsigned)st.st_mode & 0777, (unsigned)wanted,
                              (unsigned)wanted, h->dir);
        goto out;
    }
    err = look(fd, "root.seal", &sealed, fault);
verdict:
    if (err == ANTAG_OK && !sealed)
        err = antag_fault_set(fault, ANTAG_ERR_NOT_INITIALISED, "home",
                              "%.200s has not been initialised: antomctl %s%.200s%sinit", h->dir,
                              h->system ? "" : "--home ", h->system ? "" : h->dir,
                              h->system ? "" : " ");
out:
    if (fd >= 0)
        close(fd);
    return err;
}

/* ---- making one */

/* What an init writes first, under a name of its own, and SQLite's journal of that. */
static bool is_unfinished(const char *name)
{
    const char *dot = strstr(name, ".new");

    return dot != NULL && (dot[4] == '\0' || dot[4] == '-');
}

/* The operator may have put one before: init takes it as it is. */
static bool is_conf(const char *name)
{
    return strcmp(name, "agent.conf") == 0;
}

/* Files that get their final name before root.seal gets its own. They are leftovers only while
 * root.seal.new tells that an init was on its way: without it, a registry whose seal is gone is one
 * that somebody must restore, and nothing to write over. */
static bool is_ours(const char *name)
{
    static const char *const names[] = {"registry.db", "registry.db-journal", "registry.db-wal",
                                        "registry.db-shm", "audit"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static enum antag_err check_empty(const struct ag_home *h, int fd, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    bool there = false, cut_off = false;
    struct dirent *entry;
    DIR *dir;
    int copy;

    if ((err = look(fd, "root.seal", &there, fault)) != ANTAG_OK ||
        (err = look(fd, "root.seal.new", &cut_off, fault)) != ANTAG_OK)
        return err;
    if (there)
        return antag_fault_set(fault, ANTAG_ERR_ALREADY_INITIALISED, "home",
                               "%.200s has been initialised before; nothing was changed", h->dir);
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (dir == NULL) {
        if (copy >= 0)
            close(copy);
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s cannot be listed: %s", h->dir,
                               strerror(errno));
    }
    while (err == ANTAG_OK && (entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lock") == 0 ||
            is_unfinished(name) || is_conf(name) || (cut_off && is_ours(name)))
            continue;
        err = antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                              "%.200s is not empty (it holds \"%.60s\"); give a new or an empty "
                              "folder",
                              h->dir, name);
    }
    closedir(dir);
    return err;
}

/* What a cut-off init left goes: an old journal of SQLite beside a new file would be played into it.
 * Under the lock, as these may be the files of an init that is running. */
static enum antag_err remove_leftovers(const struct ag_home *h, int dir, struct antag_fault *fault)
{
    static const char *const
        names[] = {"agent.conf.new",
                   "registry.db",
                   "registry.db-journal",
                   "registry.db-wal",
                   "registry.db-shm",
                   "registry.db.new",
                   "registry.db.new-journal",
                   "registry.db.new-wal",
                   "registry.db.new-shm",
                   "root.seal.new"}; /* last: without it the others would no longer be leftovers */
    enum antag_err err;
    int lock = -1;

    if ((err = ag_home_lock(h, &lock, fault)) != ANTAG_OK)
        return err;
    if ((err = check_empty(h, dir, fault)) != ANTAG_OK)
        goto out;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (unlinkat(dir, names[i], 0) == 0 || errno == ENOENT)
            continue;
        err = antag_fault_set(fault, ANTAG_ERR_HOME, "home",
                              "%.200s/%s, left by an earlier init, "
                              "cannot be removed: %s",
                              h->dir, names[i], strerror(errno));
        goto out;
    }
out:
    close(lock);
    return err;
}

enum antag_err ag_home_make(const struct ag_home *h, struct antag_fault *fault)
{
    enum antag_err err;
    struct stat st;
    int fd = -1;

    if (mkdir(h->dir, 0700) != 0 && errno != EEXIST) {
        err = antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s cannot be made: %s", h->dir,
                              strerror(errno));
        goto out;
    }
    if ((err = open_dir(h, &fd, &st, fault)) != ANTAG_OK)
        goto out;
    if ((err = check_empty(h, fd, fault)) !=
        ANTAG_OK) /* first: no lock file in a stranger's folder */
        goto out;
    if ((err = remove_leftovers(h, fd, fault)) != ANTAG_OK)
        goto out;
    if (fchmod(fd, wanted_mode(h)) != 0)
        err = antag_fault_set(fault, ANTAG_ERR_HOME, "home", "the mode of %.200s cannot be set: %s",
                              h->dir, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    return err;
}

/* ---- the lock */

/* Who holds it, as he wrote it into the file; 0 when he has not yet. */
static long read_pid(int fd)
{
    char text[24];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return 0;
    text[n] = '\0';
    return strtol(text, NULL, 10);
}

static enum antag_err write_pid(int fd, const char *path, struct antag_fault *fault)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());

    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != (ssize_t)len)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s cannot be written: %s", path,
                               strerror(errno));
    return ANTAG_OK;
}

enum antag_err ag_home_lock(const struct ag_home *h, int *fd, struct antag_fault *fault)
{
    enum antag_err err;
    int made;

    /* closed on exec: a role that outlives the supervisor for a moment must not keep the home locked */
    made = open(h->lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (made < 0)
        return antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s: %s", h->lock,
                               strerror(errno));
    if (flock(made, LOCK_EX | LOCK_NB) != 0) {
        err =
            errno == EWOULDBLOCK
                ? antag_fault_set(fault, ANTAG_ERR_IN_USE, "home",
                                  "another agent (pid %ld) runs on %.200s", read_pid(made), h->dir)
                : antag_fault_set(fault, ANTAG_ERR_HOME, "home", "%.200s cannot be locked: %s",
                                  h->lock, strerror(errno));
        goto out;
    }
    if ((err = write_pid(made, h->lock, fault)) != ANTAG_OK)
        goto out;
    *fd = made;
    made = -1; /* transferred */
out:
    if (made >= 0)
        close(made);
    return err;
}
