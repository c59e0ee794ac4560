/* secretfile: a password or PIN that stands in a file: one line, which nobody but the agent and root can read. */
#ifndef AG_LIB_SECRETFILE_H
#define AG_LIB_SECRETFILE_H

#include "agent/lib/secret.h"

#define AG_SECRET_LINE_MAX 1024

struct stat;

/* Can nobody but its owner and root read it? A group's right to read counts for none where the file is root's, group and all:
 * the service manager lets the agent in by an ACL, whose mask stands there. */
bool ag_secret_is_private(const struct stat *st);

/* The first line without its end, terminated besides; not empty, without NUL bytes. *out is the caller's.
 * errors: CONF, with a text that begins with the path and says what is wrong and what is allowed; NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_secret_read_line(const char *path, struct ag_secret **out,
                                                    struct antag_fault *fault);

#endif
