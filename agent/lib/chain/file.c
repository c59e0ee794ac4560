#include "agent/lib/chain/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RESERVE_NAME "reserve"

static enum antag_err failed(const struct ag_chain_file *f, const char *name, const char *what,
                             struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL, "%.300s%s%s cannot be %s: %s", f->path,
                           name[0] != '\0' ? "/" : "", name, what, strerror(errno));
}

void ag_chain_file_init(struct ag_chain_file *f)
{
    memset(f, 0, sizeof *f);
    f->dir = f->fd = -1;
}

void ag_chain_file_close(struct ag_chain_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->dir >= 0)
        close(f->dir);
    f->dir = f->fd = -1;
}

/* ---- the folder */

static int open_dir(int at, const char *name)
{
    if (mkdirat(at, name, 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* One writer: a keeper that was killed may still be ending while its successor starts. */
static enum antag_err lock_dir(struct ag_chain_file *f, struct antag_fault *fault)
{
    if (flock(f->dir, LOCK_EX | LOCK_NB) == 0)
        return ANTAG_OK;
    if (errno == EWOULDBLOCK)
        return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL,
                               "%.300s is being written by another process", f->path);
    return failed(f, "", "locked", fault);
}

static enum antag_err find_highest(struct ag_chain_file *f, struct antag_fault *fault)
{
    uint32_t *list = NULL;
    size_t count = 0;

    if (ag_segment_list(f->dir, &list, &count) != ANTAG_OK)
        return failed(f, "", "listed", fault);
    if (count > 0 && list[count - 1] > f->number)
        f->number = list[count - 1];
    free(list);
    return ANTAG_OK;
}

enum antag_err ag_chain_file_open(struct ag_chain_file *f, const char *audit_dir, const char *name,
                                  struct antag_fault *fault)
{
    int audit, dir = -1;
    enum antag_err err;
    bool made;

    snprintf(f->path, sizeof f->path, "%s/%s", audit_dir, name);
    audit = open_dir(AT_FDCWD, audit_dir);
    if (audit >= 0)
        dir = open_dir(audit, name);
    made = dir >= 0 && fsync(audit) == 0; /* the name of the folder is on the disk */
    if (!made) {
        err = failed(f, "", "made or opened", fault);
        if (dir >= 0)
            close(dir);
        if (audit >= 0)
            close(audit);
        return err;
    }
    close(audit);
    f->dir = dir;
    if ((err = lock_dir(f, fault)) == ANTAG_OK && (err = find_highest(f, fault)) == ANTAG_OK)
        return ANTAG_OK;
    close(f->dir);
    f->dir = -1;
    return err;
}

/* ---- the reserve */

enum antag_err ag_chain_file_reserve(struct ag_chain_file *f, uint64_t bytes,
                                     struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    int fd;

    if (f->reserved || bytes == 0)
        return ANTAG_OK;
    fd = openat(f->dir, RESERVE_NAME, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed(f, RESERVE_NAME, "made", fault);
    errno = posix_fallocate(fd, 0, (off_t)bytes);
    if (errno != 0) {
        err = failed(f, RESERVE_NAME, "filled", fault);
        (void)unlinkat(f->dir, RESERVE_NAME, 0); /* what it did get is wanted by others */
    }
    close(fd);
    f->reserved = err == ANTAG_OK;
    return err;
}

void ag_chain_file_release(struct ag_chain_file *f)
{
    if (unlinkat(f->dir, RESERVE_NAME, 0) == 0 || errno == ENOENT)
        f->reserved = false;
}

/* ---- the segment */

enum antag_err ag_chain_file_next(struct ag_chain_file *f, struct antag_fault *fault)
{
    char name[AG_SEGMENT_NAME_SIZE];
    uint32_t number = f->number + 1;
    int fd;

    ag_segment_name(number, name);
    if (number > AG_SEGMENT_MAX)
        return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL,
                               "%.300s has no number left for a segment", f->path);
    fd = openat(f->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        enum antag_err err = failed(f, name, "made", fault);

        if (errno == EEXIST)
            f->number = number; /* not ours; it stays, and the next try takes the next number */
        return err;
    }
    f->fd = fd;
    f->number = number;
    f->size = f->synced = 0;
    return ANTAG_OK;
}

void ag_chain_file_leave(struct ag_chain_file *f)
{
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    f->size = f->synced = 0;
}

void ag_chain_file_undo(struct ag_chain_file *f)
{
    char name[AG_SEGMENT_NAME_SIZE];

    ag_segment_name(f->number, name);
    ag_chain_file_leave(f);
    if (unlinkat(f->dir, name, 0) == 0)
        f->number--;
}

enum antag_err ag_chain_file_write(struct ag_chain_file *f, const char *p, size_t len, bool *full,
                                   struct antag_fault *fault)
{
    char name[AG_SEGMENT_NAME_SIZE];

    *full = false;
    ag_segment_name(f->number, name);
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(f->fd, p + done, len - done, (off_t)(f->size + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            enum antag_err err;

            errno = n == 0 ? ENOSPC : errno;
            *full = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;
            err = failed(f, name, "written", fault);
            if (ftruncate(f->fd, (off_t)f->size) != 0)
                *full = false; /* half a line may stand there: of no use any more */
            return err;
        }
        done += (size_t)n;
    }
    f->size += len;
    return ANTAG_OK;
}

enum antag_err ag_chain_file_sync(struct ag_chain_file *f, struct antag_fault *fault)
{
    char name[AG_SEGMENT_NAME_SIZE];

    ag_segment_name(f->number, name);
    if (fdatasync(f->fd) != 0)
        return failed(f, name, "brought to the disk", fault);
    if (f->synced == 0 && fsync(f->dir) != 0) /* its name */
        return failed(f, "", "brought to the disk", fault);
    f->synced = f->size;
    return ANTAG_OK;
}

const char *ag_chain_file_lost(const struct ag_chain_file *f, bool *salvage)
{
    char name[AG_SEGMENT_NAME_SIZE];
    struct stat ours, there;

    *salvage = false;
    ag_segment_name(f->number, name);
    if (fstat(f->fd, &ours) != 0)
        return "unreadable";
    if ((uint64_t)ours.st_size != f->size)
        return "changed";
    *salvage = true;
    if (fstatat(f->dir, name, &there, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? "deleted" : "unreadable";
    if (there.st_ino != ours.st_ino || there.st_dev != ours.st_dev)
        return "replaced";
    *salvage = false;
    return NULL;
}
