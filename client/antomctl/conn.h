/* conn: one connection to a socket of the agent, used by one thread and waiting. */
#ifndef CTL_CONN_H
#define CTL_CONN_H

#include <jansson.h>

#include "antag/status.h"
#include "antag/types.h"

#define CTL_FDS_MAX 2

struct ctl_request {
    const char *path;  /* of the socket */
    const char *start; /* the command that starts the agent, for messages */
    const char *method;
    struct antag_slice params; /* one packed map; empty: an empty map */
    int fds[CTL_FDS_MAX]; /* sealed memory files, passed with the first byte; stay the caller's */
    size_t fd_count;
    int64_t timeout_ms; /* for all of it, connecting included */
    bool safe;          /* may be sent again, once, when the agent asks for it or breaks off */
};

/* Connect, ask, wait for the answer, close. *result is the caller's, written on OK only.
 * errors: what the agent answers; UNREACHABLE and TIMEOUT with the path and what to do; RETRY when the
 * connection ends before the answer; FRAME_TOO_LARGE; NO_MEMORY; IO. */
ANTAG_MUST_CHECK enum antag_err ctl_conn_ask(const struct ctl_request *rq, json_t **result,
                                             struct antag_fault *fault);

/* libantomagent's UNREACHABLE ("PATH: WHY") in `fault`, as ctl_conn_ask tells it. Returns UNREACHABLE. */
enum antag_err ctl_unreachable(const char *path, const char *start, struct antag_fault *fault);

#endif
