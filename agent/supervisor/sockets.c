#include "agent/supervisor/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/lib/log.h"

#define BACKLOG         4096 /* the kernel cuts it to net.core.somaxconn */
#define FIRST_PASSED_FD 3

/* The passed descriptor that listens at `path`, or -1. */
static int find_passed(const char *path, unsigned passed)
{
    for (unsigned i = 0; i < passed; i++) {
        int fd = FIRST_PASSED_FD + (int)i, listening = 0;
        struct sockaddr_un a;
        socklen_t len = sizeof a, int_len = sizeof listening;

        memset(&a, 0, sizeof a);
        if (getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.sun_family == AF_UNIX &&
            strncmp(a.sun_path, path, sizeof a.sun_path) == 0 &&
            getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &int_len) == 0 && listening) {
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
            return fd;
        }
    }
    return -1;
}

static enum antag_err fail(struct antag_fault *fault, int fd, const char *path, const char *what)
{
    int cause = errno;

    if (fd >= 0)
        close(fd);
    return antag_fault_set(fault, ANTAG_ERR_HOME, NULL, "%s: %s: %s", path, what, strerror(cause));
}

/* A stale socket is removed; anything else of that name is somebody's file and stays. */
static enum antag_err remove_stale(const char *path, struct antag_fault *fault)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return errno == ENOENT ? ANTAG_OK : fail(fault, -1, path, "cannot be looked at");
    if (!S_ISSOCK(st.st_mode))
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL,
                               "%s is there and is no socket; move it away", path);
    return unlink(path) == 0 ? ANTAG_OK : fail(fault, -1, path, "a stale socket cannot be removed");
}

enum antag_err ag_socket_listen(const char *path, unsigned passed, int *fd,
                                struct antag_fault *fault)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    enum antag_err err;
    int s = find_passed(path, passed);

    if (s >= 0) {
        *fd = s;
        return ANTAG_OK;
    }
    if (strlen(path) > AG_SOCKET_PATH_MAX)
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL,
                               "%s: a socket path has at most %d bytes", path, AG_SOCKET_PATH_MAX);
    if ((err = remove_stale(path, fault)) != ANTAG_OK)
        return err;
    memcpy(a.sun_path, path, strlen(path));
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return fail(fault, -1, path, "no socket");
    if (bind(s, (struct sockaddr *)&a, sizeof a) != 0)
        return fail(fault, s, path, "cannot be bound");
    if (chmod(path, 0666) != 0 || listen(s, BACKLOG) != 0)
        return fail(fault, s, path, "cannot listen");
    *fd = s;
    return ANTAG_OK;
}

void ag_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    socklen_t len;
    int s;

    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof a.sun_path)
        return;
    memcpy(a.sun_path, path, strlen(path));
    if (path[0] == '@')
        a.sun_path[0] = '\0';
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0 || sendto(s, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a, len) < 0)
        ag_log(AG_LOG_WARN, "supervisor.notify", AG_F_TEXT("why", strerror(errno)));
    if (s >= 0)
        close(s);
}
