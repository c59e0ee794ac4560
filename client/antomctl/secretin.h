/* secretin: keys and passphrases from a file, standard input or the terminal, never from arguments,
 * into locked memory, and from there into a sealed memory file for the agent. */
#ifndef CTL_SECRETIN_H
#define CTL_SECRETIN_H

#include "agent/lib/secret.h"
#include "antag/status.h"

enum ctl_secret_kind {
    CTL_KEY,        /* all bytes; from a terminal until Ctrl-D */
    CTL_PASSPHRASE, /* one line; a final line end is not part of it */
};

struct ctl_secret_from {
    enum ctl_secret_kind kind;
    const char *path;   /* NULL: standard input; "-" too */
    const char *option; /* that gives `path`, for messages */
    const char *prompt; /* on a terminal */
    bool twice;         /* on a terminal, and both must be the same */
};

/* Once, before the first secret: no core file, not traceable, locked memory. Memory that cannot be
 * locked is a warning here; a secret that then finds none is refused with PROTECTION. */
void ctl_secret_setup(void);

/* Read one secret. A terminal is asked without echo; its settings are restored when a signal comes.
 * *out is the caller's. errors: BAD_PARAM (empty, too long, unreadable, not the same twice),
 * PROTECTION. */
ANTAG_MUST_CHECK enum antag_err ctl_secret_read(const struct ctl_secret_from *from,
                                                struct ag_secret **out, struct antag_fault *fault);
/* The same from the terminal alone, whatever standard input is. */
ANTAG_MUST_CHECK enum antag_err ctl_secret_ask(const struct ctl_secret_from *from,
                                               struct ag_secret **out, struct antag_fault *fault);
/* Is there somebody to ask? Only when messages go to a terminal, so that no script waits for a person. */
bool ctl_secret_can_ask(void);

/* A copy in a memory file that nobody can write, grow or shrink any more. *fd is the caller's.
 * errors: PROTECTION (naming the call that failed). */
ANTAG_MUST_CHECK enum antag_err ctl_secret_memfd(const struct ag_secret *s, int *fd,
                                                 struct antag_fault *fault);

#endif
