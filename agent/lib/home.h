/* home: where everything of one agent lies. System: /etc/antom-agent, /var/lib/antom-agent,
 * /run/antom-agent; with a folder DIR: all of it under DIR. Used by the agent and by antomctl. */
#ifndef AG_LIB_HOME_H
#define AG_LIB_HOME_H

#include "antag/status.h"

#define AG_PATH_MAX        512
#define AG_SOCKET_PATH_MAX 107 /* what sun_path holds besides its final NUL */

struct ag_home {
    bool system;
    char dir[AG_PATH_MAX]; /* DIR made absolute, or /var/lib/antom-agent */
    char conf[AG_PATH_MAX];
    char registry[AG_PATH_MAX];
    char seal[AG_PATH_MAX]; /* root.seal: the sealed root key; its presence means "initialised" */
    char lock[AG_PATH_MAX];
    char audit[AG_PATH_MAX]; /* folder */
    char agent_sock[AG_PATH_MAX];
    char staff_sock[AG_PATH_MAX];
};

/* dir NULL or "": the system paths. errors: HOME (a socket path over AG_SOCKET_PATH_MAX, naming the
 * length and the limit; a folder name that cannot be made absolute). */
ANTAG_MUST_CHECK enum antag_err ag_home_init(struct ag_home *h, const char *dir,
                                             struct antag_fault *fault);
/* Is DIR there, a folder, owned by the caller, no more open than 0711 (or 0755 for the system's)?
 * errors: HOME, NOT_INITIALISED (no root.seal; says which command initialises it). */
ANTAG_MUST_CHECK enum antag_err ag_home_check(const struct ag_home *h, struct antag_fault *fault);
/* Make DIR or take an empty one (leftovers of an init that was cut off count as empty), set its mode.
 * Leftovers are removed under the lock, which is free again on return: two inits can both pass, so the
 * one that then holds the lock must not replace a root.seal (RENAME_NOREPLACE).
 * errors: ALREADY_INITIALISED, IN_USE, HOME (not empty, not ours, no permission). */
ANTAG_MUST_CHECK enum antag_err ag_home_make(const struct ag_home *h, struct antag_fault *fault);
/* Take the lock file; the descriptor holds it. errors: IN_USE (names the pid), HOME. */
ANTAG_MUST_CHECK enum antag_err ag_home_lock(const struct ag_home *h, int *fd,
                                             struct antag_fault *fault);

#endif
