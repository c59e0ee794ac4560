#include "agent/front/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/lib/log.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5; not in the C library's headers of Debian 12 */
#endif

#define CGROUP_MAX 4096
#define GROUPS_MAX 65536 /* the kernel's NGROUPS_MAX */

/* ---- the unit */

/* The text behind `head` up to the end of its line; false when no line starts with it. */
static bool line_behind(struct antag_slice text, const char *head, bool after_number,
                        struct antag_slice *out)
{
    size_t head_len = strlen(head), at = 0;

    while (at < text.len) {
        const uint8_t *line = text.p + at;
        const uint8_t *end = memchr(line, '\n', text.len - at);
        size_t len = end ? (size_t)(end - line) : text.len - at;
        size_t skip = 0;

        if (after_number) {
            while (skip < len && line[skip] >= '0' && line[skip] <= '9')
                skip++;
        }
        if (len - skip >= head_len && memcmp(line + skip, head, head_len) == 0) { /* public */
            *out = (struct antag_slice){line + skip + head_len, len - skip - head_len};
            return true;
        }
        at += len + 1;
    }
    return false;
}

static bool ends_with(struct antag_slice s, const char *tail)
{
    size_t len = strlen(tail);

    return s.len > len && memcmp(s.p + s.len - len, tail, len) == 0; /* public */
}

bool ag_caller_unit(struct antag_slice cgroup, char out[ANTAG_UNIT_MAX + 1])
{
    struct antag_slice path, part;

    out[0] = '\0';
    /* Version 1 and mixed trees have systemd's own; otherwise the one tree of version 2. */
    if (!line_behind(cgroup, ":name=systemd:", true, &path) &&
        !line_behind(cgroup, "0::", false, &path))
        return false;
    while (path.len > 0) {
        const uint8_t *end;

        if (path.p[0] != '/')
            return false;
        part = (struct antag_slice){path.p + 1, path.len - 1};
        end = memchr(part.p, '/', part.len);
        if (end)
            part.len = (size_t)(end - part.p);
        if (!ends_with(part, ".slice"))
            return (ends_with(part, ".service") || ends_with(part, ".scope")) &&
                   antag_slice_copy(part, out, ANTAG_UNIT_MAX + 1);
        path = (struct antag_slice){part.p + part.len, path.len - 1 - part.len};
    }
    return false;
}

static size_t read_proc(pid_t pid, const char *name, char *out, size_t size)
{
    char path[64];
    size_t len = 0;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return 0;
    while (len < size) {
        ssize_t got = read(fd, out + len, size - len);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    close(fd);
    return len;
}

static bool has_uid(pid_t pid, uid_t uid)
{
    char text[CGROUP_MAX];
    size_t len = read_proc(pid, "status", text, sizeof(text));
    struct antag_slice line;
    char number[64];

    return line_behind((struct antag_slice){(const uint8_t *)text, len}, "Uid:\t", false, &line) &&
           antag_slice_copy(line, number, sizeof(number)) &&
           strtoul(number, NULL, 10) == (unsigned long)uid;
}

/* The descriptor came by a socket option, which ThreadSanitizer does not know as a source of
 * descriptors: through close() it would take this one for a worker's connection of the same number,
 * which libuv closed by a system call of its own. */
static void close_peer(int pidfd)
{
    syscall(SYS_close, pidfd);
}

/* A descriptor of the peer's process. Before Linux 6.5 the kernel does not give the one of connect;
 * then it is opened by number, and a process that took over the number of a peer that has ended could
 * be meant. It must at least have the peer's uid, which bounds what this can gain. */
static int open_peer(int fd, const struct ag_caller *c)
{
    int pidfd = -1;
    socklen_t len = sizeof(pidfd);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
        return pidfd;
    if (errno != ENOPROTOOPT)
        return -1;
    pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (pidfd >= 0 && !has_uid(c->pid, c->uid)) {
        close_peer(pidfd);
        pidfd = -1;
    }
    return pidfd;
}

static void read_unit(int fd, struct ag_caller *c)
{
    char text[CGROUP_MAX];
    struct pollfd gone = {.events = POLLIN};
    size_t len;

    if (c->pid <= 0)
        return; /* in a pid namespace that we do not see */
    gone.fd = open_peer(fd, c);
    if (gone.fd < 0)
        return;
    len = read_proc(c->pid, "cgroup", text, sizeof(text));
    /* Still running after the read: so the number was this process's all the time. */
    if (len > 0 && len < sizeof(text) && poll(&gone, 1, 0) == 0)
        ag_caller_unit((struct antag_slice){(const uint8_t *)text, len}, c->unit);
    close_peer(gone.fd);
}

/* ---- credentials */

static enum antag_err read_groups(int fd, struct ag_caller *c)
{
    gid_t few[AG_GID_COUNT_MAX], *many = few;
    socklen_t len = sizeof(few);
    enum antag_err err = ANTAG_OK;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, few, &len) != 0) {
        if (errno != ERANGE || len > GROUPS_MAX * sizeof(gid_t))
            return ANTAG_ERR_IO;
        many = malloc(len);
        if (!many)
            return ANTAG_ERR_NO_MEMORY;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, many, &len) != 0)
            err = ANTAG_ERR_IO;
    }
    if (err == ANTAG_OK) {
        c->group_count = len / sizeof(gid_t);
        if (c->group_count > AG_GID_COUNT_MAX)
            c->group_count = AG_GID_COUNT_MAX;
        memcpy(c->groups, many, c->group_count * sizeof(gid_t));
    }
    if (many != few)
        free(many);
    return err;
}

enum antag_err ag_caller_read(int fd, struct ag_caller *out)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    enum antag_err err;

    *out = (struct ag_caller){0};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || len != sizeof(cred)) {
        ag_log(AG_LOG_ERROR, "caller.credentials", AG_F_INT("errno", errno));
        return ANTAG_ERR_IO;
    }
    out->uid = cred.uid;
    out->gid = cred.gid;
    out->pid = cred.pid;
    if ((err = read_groups(fd, out)) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "caller.groups", AG_F_INT("errno", errno));
        return err;
    }
    read_unit(fd, out);
    return ANTAG_OK;
}
