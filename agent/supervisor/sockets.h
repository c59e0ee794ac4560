/* sockets: the two listening sockets, and what the service manager is told. */
#ifndef AG_SUPERVISOR_SOCKETS_H
#define AG_SUPERVISOR_SOCKETS_H

#include "agent/lib/home.h"
#include "antag/status.h"

/* A listening socket at `path`: one of the `passed` descriptors from 3 on that is bound to that path, or
 * a new one (a stale file is replaced: the home's lock is held), mode 0666: grants and enrolment decide.
 * errors: HOME naming the path and the cause. */
ANTAG_MUST_CHECK enum antag_err ag_socket_listen(const char *path, unsigned passed, int *fd,
                                                 struct antag_fault *fault);
/* One datagram to NOTIFY_SOCKET, for instance "READY=1"; nothing where there is none (sd_notify(3)). */
void ag_notify(const char *state);

#endif
