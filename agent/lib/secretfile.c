#include "agent/lib/secretfile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum antag_err refuse(const char *path, const char *why, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_CONF, NULL, "%s %s", path, why);
}

bool ag_secret_is_private(const struct stat *st)
{
    mode_t others = st->st_mode & 077;

    return others == 0 || (others == 040 && st->st_uid == 0 && st->st_gid == 0);
}

static enum antag_err check_file(int fd, const char *path, struct antag_fault *fault)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return refuse(path, "is not a file", fault);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return refuse(path, "belongs to another user; it must be the agent's or root's", fault);
    if (!ag_secret_is_private(&st))
        return refuse(path, "can be read by others; its mode must be 0600 or 0400", fault);
    return ANTAG_OK;
}

/* Cuts `s`, of which n bytes were read, behind its first line. */
static enum antag_err cut(struct ag_secret *s, size_t n, const char *path,
                          struct antag_fault *fault)
{
    uint8_t *p = ag_secret_bytes(s), *end = memchr(p, '\n', n);

    if (end == NULL)
        end = p + n;
    if (end > p && end[-1] == '\r')
        end--;
    *end = '\0';
    ag_secret_set_len(s, (size_t)(end - p));
    if (end == p || strlen((const char *)p) != (size_t)(end - p))
        return refuse(path, "must begin with one line that is not empty, without NUL bytes", fault);
    return ANTAG_OK;
}

enum antag_err ag_secret_read_line(const char *path, struct ag_secret **out,
                                   struct antag_fault *fault)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct ag_secret *s = NULL;
    enum antag_err err;
    ssize_t n;

    if (fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_CONF, NULL, "%s cannot be opened: %s", path,
                               strerror(errno));
    if ((err = check_file(fd, path, fault)) != ANTAG_OK)
        goto out;
    if ((s = ag_secret_new(AG_SECRET_LINE_MAX + 1)) == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no locked memory for %s", path);
        goto out;
    }
    n = read(fd, ag_secret_bytes(s), AG_SECRET_LINE_MAX + 1);
    if (n <= 0 || n > AG_SECRET_LINE_MAX)
        err = refuse(path, "must hold one line of at most 1024 bytes", fault);
    else
        err = cut(s, (size_t)n, path, fault);
out:
    close(fd);
    if (err == ANTAG_OK)
        *out = s;
    else
        ag_secret_free(s);
    return err;
}
