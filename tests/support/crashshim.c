/* crashshim: linked into a copy of the agent, counts what changes registry and steward's record on the disk, and ends the
 * process, or the whole agent as a power cut would, just before the n-th of these.
 *
 * HOME/crash.plan, shared with the test, says when and how:
 *   kill  the process ends, as by kill -9; what was written stays with the kernel
 *   half  likewise, with half of the write done
 *   cut   the whole agent ends, and all that was written and not synced since is taken back; of every second point only
 *         a part of it, as disks write in any order */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { MODE_KILL, MODE_HALF, MODE_CUT };
struct plan {
    volatile uint32_t at, mode, count, fired; /* at: 0: count only */
};

#define PATH_LEN 512
/* a write that is not synced yet */
struct undo {
    char path[PATH_LEN];
    off_t offset, old_size;
    size_t len;
    uint8_t *old;
    struct undo *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct plan *plan;
static struct undo *undos; /* the last one first */

static void *real(const char *name)
{
    void *f = dlsym(RTLD_NEXT, name);

    if (f == NULL)
        abort();
    return f;
}
#define REAL(name) ((__typeof__(&name))real(#name))

/* ---- which files */

static bool path_of(int fd, char out[PATH_LEN])
{
    char link[64];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, out, PATH_LEN - 1);
    if (n <= 0)
        return false;
    out[n] = '\0';
    return true;
}

/* The folder of the agent, when the file is one of those that count. */
static bool home_of(const char *path, char out[PATH_LEN])
{
    static const char *const marks[] = {"/registry.db", "/audit/steward/"};

    for (size_t i = 0; i < 2; i++) {
        const char *at = strstr(path, marks[i]);

        if (at != NULL && strstr(path, "-shm") == NULL) {
            snprintf(out, PATH_LEN, "%.*s/crash.plan", (int)(at - path), path);
            return true;
        }
    }
    return false;
}

/* Lock held. Does this file count now? */
static bool is_counted(int fd, char path[PATH_LEN])
{
    char file[PATH_LEN + 16];
    int plan_fd;
    void *p;

    if (!path_of(fd, path) || !home_of(path, file))
        return false;
    if (plan != NULL)
        return true;
    if ((plan_fd = open(file, O_RDWR | O_CLOEXEC)) < 0)
        return false;
    p = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, plan_fd, 0);
    close(plan_fd);
    if (p != MAP_FAILED)
        plan = p;
    return plan != NULL;
}

/* ---- taking back */

static void note(int fd, const char *path, size_t len, off_t offset)
{
    struct undo *u = calloc(1, sizeof *u);
    struct stat st;
    ssize_t n;

    if (u == NULL || fstat(fd, &st) != 0 || (u->old = malloc(len > 0 ? len : 1)) == NULL)
        abort();
    snprintf(u->path, PATH_LEN, "%s", path);
    u->offset = offset;
    u->old_size = st.st_size;
    n = pread(fd, u->old, len, offset);
    u->len = n > 0 ? (size_t)n : 0;
    u->next = undos;
    undos = u;
}

static void forget(const char *path)
{
    for (struct undo **at = &undos; *at != NULL;) {
        struct undo *u = *at;

        if (strcmp(u->path, path) != 0) {
            at = &u->next;
            continue;
        }
        *at = u->next;
        free(u->old);
        free(u);
    }
}

static void take_back(uint32_t at)
{
    uint32_t dice = at * 2654435761u;

    for (struct undo *u = undos; u != NULL; u = u->next) {
        int fd;

        dice = dice * 1664525u + 1013904223u;
        if (at % 2 == 1 && (dice >> 24) % 2 == 0)
            continue; /* this one reached the disk */
        if ((fd = open(u->path, O_RDWR | O_CLOEXEC)) < 0)
            continue;
        if (REAL(pwrite)(fd, u->old, u->len, u->offset) < 0 ||
            (at % 2 == 0 && REAL(ftruncate)(fd, u->old_size) != 0))
            abort();
        close(fd);
    }
}

/* ---- the point */

/* Lock held. True: half of the write, and then the end. */
static bool point(void)
{
    if (plan->fired != 0)
        return false;
    if (++plan->count != plan->at)
        return false;
    plan->fired = 1;
    if (plan->mode == MODE_HALF)
        return true;
    if (plan->mode == MODE_CUT) {
        kill(getppid(), SIGKILL);
        take_back(plan->at);
    }
    kill(getpid(), SIGKILL);
    return false;
}

static ssize_t on_write(int fd, const void *p, size_t len, off_t offset)
{
    char path[PATH_LEN];
    bool counted, half = false;
    ssize_t n;

    pthread_mutex_lock(&lock);
    counted = is_counted(fd, path);
    if (counted)
        half = point();
    if (counted)
        note(fd, path, len, offset);
    n = REAL(pwrite)(fd, p, half ? len / 2 : len, offset);
    if (half)
        kill(getpid(), SIGKILL);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t offset)
{
    return on_write(fd, p, len, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t len, off64_t offset)
{
    return on_write(fd, p, len, (off_t)offset);
}

static int on_sync(int fd, int (*sync)(int))
{
    char path[PATH_LEN];
    int result;

    pthread_mutex_lock(&lock);
    if (is_counted(fd, path)) {
        if (point())
            kill(getpid(), SIGKILL);
        result = sync(fd);
        forget(path);
    } else {
        result = sync(fd);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd)
{
    return on_sync(fd, REAL(fsync));
}

int fdatasync(int fd)
{
    return on_sync(fd, REAL(fdatasync));
}

static int on_truncate(int fd, off_t size)
{
    char path[PATH_LEN];
    struct stat st;
    int result;

    pthread_mutex_lock(&lock);
    if (is_counted(fd, path)) {
        if (point())
            kill(getpid(), SIGKILL);
        if (fstat(fd, &st) == 0 && st.st_size > size)
            note(fd, path, (size_t)(st.st_size - size), size);
    }
    result = REAL(ftruncate)(fd, size);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size)
{
    return on_truncate(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return on_truncate(fd, (off_t)size);
}
