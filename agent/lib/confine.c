#include "agent/lib/confine.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static enum antag_err refused(struct antag_fault *fault, const char *what)
{
    return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "%s: %s", what, strerror(errno));
}

/* A role must not outlive the supervisor, which alone knows how to restart it and to whom it answers.
 * The signal covers a parent that dies from here on, the second look one that died just before; one
 * that was gone before the first look is noticed by the end of the control channel. */
static enum antag_err die_with_parent(struct antag_fault *fault)
{
    pid_t parent = getppid();

    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return refused(fault, "the end of the supervisor cannot be watched");
    if (getppid() != parent)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL, "the supervisor has ended");
    return ANTAG_OK;
}

static enum antag_err not_dumpable(struct antag_fault *fault)
{
    const struct rlimit none = {0, 0};

    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return refused(fault, "core files cannot be switched off");
    /* also keeps the same user's processes from tracing this one and from reading its memory */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return refused(fault, "tracing by the same user cannot be switched off");
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL,
                               "the process is dumpable although that was switched off");
    return ANTAG_OK;
}

enum antag_err ag_confine_early(bool is_role, int keep_below, struct antag_fault *fault)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    enum antag_err err;

    if (is_role && (err = die_with_parent(fault)) != ANTAG_OK)
        return err;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return refused(fault, "new privileges cannot be ruled out");
    if ((err = not_dumpable(fault)) != ANTAG_OK)
        return err;
    if (sigaction(SIGPIPE, &ignore, NULL) != 0)
        return refused(fault, "SIGPIPE cannot be ignored");
    if (sigaction(SIGXFSZ, &ignore, NULL) !=
        0) /* a file too large is an error, as a full disk is */
        return refused(fault, "SIGXFSZ cannot be ignored");
    umask(077);
    if (close_range((unsigned)keep_below, ~0u, 0) != 0)
        return refused(fault, "inherited descriptors cannot be closed");
    return ANTAG_OK;
}
