#include "agent/opener/sealfile.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/log.h"

#define PATH_NEW_MAX 1024

enum antag_err ag_sealfile_io(struct antag_fault *fault, const char *what, const char *path)
{
    int e = errno;

    ag_log(AG_LOG_ERROR, "seal.io", AG_F_TEXT("what", what), AG_F_TEXT("path", path),
           AG_F_INT("errno", e));
    return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: %s: %s", path, what, strerror(e));
}

static enum antag_err write_new(const char *path, struct antag_slice bytes,
                                struct antag_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    enum antag_err err = ANTAG_OK;

    if (fd < 0 && errno == EEXIST)
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL,
                               "%s is left from an init that was cut off; remove it and repeat",
                               path);
    if (fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL, "%s cannot be made: %s", path,
                               strerror(errno));
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = write(fd, bytes.p + done, bytes.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = ag_sealfile_io(fault, "write", path);
            goto out;
        }
        done += (size_t)n;
    }
    if (fchmod(fd, 0400) != 0 || fsync(fd) != 0)
        err = ag_sealfile_io(fault, "sync", path);
out:
    if (close(fd) != 0 && err == ANTAG_OK)
        err = ag_sealfile_io(fault, "close", path);
    if (err != ANTAG_OK)
        (void)unlink(path);
    return err;
}

static enum antag_err path_new_of(const char *path, char out[PATH_NEW_MAX],
                                  struct antag_fault *fault)
{
    if (snprintf(out, PATH_NEW_MAX, "%s.new", path) < PATH_NEW_MAX)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_HOME, NULL, "the path of the seal is too long");
}

enum antag_err ag_sealfile_new(const char *path, const struct ag_secret *bytes,
                               struct antag_fault *fault)
{
    char path_new[PATH_NEW_MAX];
    enum antag_err err = path_new_of(path, path_new, fault);

    return err != ANTAG_OK ? err : write_new(path_new, ag_secret_slice(bytes), fault);
}

static enum antag_err sync_folder(const char *path, struct antag_fault *fault)
{
    char copy[PATH_NEW_MAX];
    enum antag_err err = ANTAG_OK;
    int fd;

    snprintf(copy, sizeof copy, "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        err = ag_sealfile_io(fault, "sync of its folder", path);
    if (fd >= 0)
        close(fd);
    return err;
}

enum antag_err ag_sealfile_replace(const char *path, const struct ag_secret *bytes,
                                   struct antag_fault *fault)
{
    char path_new[PATH_NEW_MAX];
    enum antag_err err;

    if (access(path, F_OK) != 0)
        return antag_fault_set(fault, ANTAG_ERR_NOT_INITIALISED, NULL, "%s is not there", path);
    if ((err = path_new_of(path, path_new, fault)) != ANTAG_OK)
        return err;
    if (unlink(path_new) != 0 && errno != ENOENT) /* of a change that was cut off */
        return ag_sealfile_io(fault, "removal", path_new);
    if ((err = write_new(path_new, ag_secret_slice(bytes), fault)) != ANTAG_OK)
        return err;
    if (rename(path_new, path) != 0) {
        err = ag_sealfile_io(fault, "rename", path_new);
        (void)unlink(path_new);
        return err;
    }
    return sync_folder(path, fault);
}

/* ---- reading */

enum antag_err ag_sealfile_damaged(struct antag_fault *fault, const char *path, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                           "%s is damaged (%s); put back the copy from your backup", path, why);
}

/* The file, only if nobody else can read or replace it. */
static enum antag_err open_checked(const char *path, int *out, struct antag_fault *fault)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    enum antag_err err = ANTAG_OK;
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return antag_fault_set(
            fault, ANTAG_ERR_NOT_INITIALISED, NULL,
            "%s is not there; `antomctl init` makes a new home, a lost seal comes "
            "from your backup",
            path);
    if (fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL, "%s cannot be opened: %s", path,
                               strerror(errno));
    if (fstat(fd, &st) != 0)
        err = ag_sealfile_io(fault, "stat", path);
    else if (!S_ISREG(st.st_mode))
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL, "%s is not a regular file", path);
    else if (st.st_uid != geteuid())
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                              "%s belongs to uid %u, but the agent runs as uid %u; chown it", path,
                              (unsigned)st.st_uid, (unsigned)geteuid());
    else if ((st.st_mode & 077) != 0)
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                              "%s has mode %04o, so others can use it; chmod 0400 it, and ask who "
                              "could read it",
                              path, (unsigned)(st.st_mode & 07777));
    if (err != ANTAG_OK) {
        close(fd);
        return err;
    }
    *out = fd;
    return ANTAG_OK;
}

enum antag_err ag_sealfile_read(const char *path, struct ag_secret **out, struct antag_fault *fault)
{
    struct ag_secret *bytes = NULL;
    enum antag_err err;
    size_t len = 0;
    int fd = -1;

    if ((err = open_checked(path, &fd, fault)) != ANTAG_OK)
        return err;
    bytes = ag_secret_new(AG_SEAL_FILE_MAX + 1);
    if (bytes == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read %s", path);
        goto out;
    }
    while (len < ag_secret_cap(bytes)) {
        ssize_t n = read(fd, ag_secret_bytes(bytes) + len, ag_secret_cap(bytes) - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = ag_sealfile_io(fault, "read", path);
            goto out;
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    if (len > AG_SEAL_FILE_MAX) {
        err = ag_sealfile_damaged(fault, path, "it is too long");
        goto out;
    }
    ag_secret_set_len(bytes, len);
    *out = bytes;
    bytes = NULL; /* transferred */
out:
    close(fd);
    ag_secret_free(bytes);
    return err;
}
