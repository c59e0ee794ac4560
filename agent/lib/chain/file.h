/* file: the folder and the open segment of a chain that is written. One thread. Nothing here knows what
 * a line is. */
#ifndef AG_LIB_CHAIN_FILE_H
#define AG_LIB_CHAIN_FILE_H

#include "agent/lib/chain/segment.h"

struct ag_chain_file {
    char path[512];  /* of the folder, for messages */
    int dir;         /* folder of the chain, locked; -1 */
    int fd;          /* segment that is written; -1: none */
    uint32_t number; /* of the segment; without one, the highest there ever was */
    uint64_t size;   /* bytes of it that we wrote */
    uint64_t synced; /* of those, known to be on the disk */
    bool reserved;   /* the reserve is there */
};

void ag_chain_file_init(struct ag_chain_file *f);
void ag_chain_file_close(struct ag_chain_file *f);
/* Makes AUDIT_DIR and AUDIT_DIR/NAME where they are missing (0700), opens and locks the latter, finds
 * the highest segment. errors: AUDIT (what could not be done, and why). */
ANTAG_MUST_CHECK enum antag_err ag_chain_file_open(struct ag_chain_file *f, const char *audit_dir,
                                                   const char *name, struct antag_fault *fault);
/* Space that is kept free for the lines of running work: a file of `bytes`. errors: AUDIT. */
ANTAG_MUST_CHECK enum antag_err ag_chain_file_reserve(struct ag_chain_file *f, uint64_t bytes,
                                                      struct antag_fault *fault);
void ag_chain_file_release(struct ag_chain_file *f); /* gives it back to the disk */

/* The segment behind the highest one becomes the open one, empty; it must be new. errors: AUDIT. */
ANTAG_MUST_CHECK enum antag_err ag_chain_file_next(struct ag_chain_file *f,
                                                   struct antag_fault *fault);
/* Undo ag_chain_file_next: closes and removes the open segment. */
void ag_chain_file_undo(struct ag_chain_file *f);
void ag_chain_file_leave(struct ag_chain_file *f); /* closes the open segment; it stays as it is */

/* Appends all of it, or leaves the segment as it was. *full: the disk has no room. errors: AUDIT. */
ANTAG_MUST_CHECK enum antag_err ag_chain_file_write(struct ag_chain_file *f, const char *p,
                                                    size_t len, bool *full,
                                                    struct antag_fault *fault);
/* After an error nothing may be said of what is on the disk, ever, and a second call could wrongly
 * succeed (the kernel reports a lost page once): leave the segment. errors: AUDIT. */
ANTAG_MUST_CHECK enum antag_err ag_chain_file_sync(struct ag_chain_file *f,
                                                   struct antag_fault *fault);
/* NULL: the open segment still lies under its name and has the size we gave it. Else what happened to
 * it, in a word or two. *salvage: what was synced can still be read from it whole. */
const char *ag_chain_file_lost(const struct ag_chain_file *f, bool *salvage);

#endif
