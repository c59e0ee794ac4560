/* sealfile: the file of the seal: read only if nobody else can read or replace it, written so that a power cut at any
 * instant leaves the old one or the new one. */
#ifndef AG_OPENER_SEALFILE_H
#define AG_OPENER_SEALFILE_H

#include "agent/lib/edges/sealing.h"
#include "agent/lib/secret.h"

#define AG_SEAL_FILE_MAX AG_SEAL_BYTES_MAX

/* `path`.new, 0400, synced; nothing is overwritten. errors: HOME (it is there, or the folder cannot be written), IO. */
ANTAG_MUST_CHECK enum antag_err ag_sealfile_new(const char *path, const struct ag_secret *bytes,
                                                struct antag_fault *fault);
/* In place of `path`, which must be there; a `path`.new that was left is replaced. errors: NOT_INITIALISED, HOME, IO. */
ANTAG_MUST_CHECK enum antag_err ag_sealfile_replace(const char *path, const struct ag_secret *bytes,
                                                    struct antag_fault *fault);
/* *out is the caller's. errors: NOT_INITIALISED (no file), SEAL (owner, mode, too long), IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_sealfile_read(const char *path, struct ag_secret **out,
                                                 struct antag_fault *fault);
/* Sets SEAL: the file at `path` is damaged. */
enum antag_err ag_sealfile_damaged(struct antag_fault *fault, const char *path, const char *why);
/* Sets IO, of errno, and logs it. */
enum antag_err ag_sealfile_io(struct antag_fault *fault, const char *what, const char *path);

#endif
