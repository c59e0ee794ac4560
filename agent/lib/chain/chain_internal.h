/* chain_internal: what chain.c (lines, appending) and chain_out.c (the thread) share. */
#ifndef AG_LIB_CHAIN_INTERNAL_H
#define AG_LIB_CHAIN_INTERNAL_H

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

#include "agent/lib/chain/chain.h"
#include "agent/lib/chain/file.h"

/* lines, rendered */
struct ag_lines {
    char *p;
    size_t len, cap, count;
};

struct ag_chain {
    struct ag_chain_conf conf; /* texts copied below */
    char audit_dir[512], name[ANTAG_KEYRING_MAX + 1];
    char incarnation[17];
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    struct ag_secret *signing_key;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    _Atomic uint64_t recorded;
    _Atomic bool stuck;

    /* under the lock */
    struct ag_line_head head; /* of the last line */
    struct ag_line_head safe; /* of the last one on the disk */
    uint64_t appended;        /* lines that were not quiet */
    struct ag_lines pending;  /* rendered, not yet the thread's */
    uint64_t held;            /* bytes of lines in memory */
    bool low;                 /* the reserve is in use */
    bool closing;
    bool wanted;                        /* the thread has something to do */
    char why[ANTAG_FAULT_TEXT_MAX + 1]; /* of stuck or low */
    uint64_t since_checkpoint;          /* lines */
    int64_t checkpoint_at;              /* monotonic ms, when since_checkpoint is not 0 */
    uint32_t segment;
    char line[AG_LINE_MAX]; /* the one being rendered */

    pthread_mutex_t
        out; /* who brings lines out: the thread, or a helper; taken before the lock, held for I/O */
    _Atomic int64_t sync_at; /* monotonic ms; 0: nothing waits for it; set under `out` */

    /* under `out` */
    struct ag_chain_file file;
    struct ag_lines unsafe;          /* not known to be on the disk */
    size_t written;                  /* bytes of those that stand in the open segment */
    struct ag_line_head unsafe_head; /* last line of unsafe, or of what is on the disk */
    bool full;                       /* a rotate line is the last in unsafe */
    struct ag_lines
        opening; /* the first line of the segment that is being made, until it stands there */
    uint32_t opening_number;
    const char *opening_why;
    int salvage_fd; /* of a segment that was deleted or replaced; -1 */
    uint64_t salvage_len;
    uint64_t torn; /* bytes behind the last line that the writer before left */
};

/* ---- chain.c */

/* False: no memory; nothing is added. */
bool ag_lines_add(struct ag_lines *l, const char *p, size_t len, size_t count);
void ag_lines_clear(struct ag_lines *l);
/* One line more at the head of the chain, into `to`. Under the lock. errors: AUDIT, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_chain_add_line(struct ag_chain *c, struct ag_lines *to,
                                                  const char *type,
                                                  const struct ag_log_field *fields);
ANTAG_MUST_CHECK enum antag_err ag_chain_add_checkpoint(struct ag_chain *c, struct ag_lines *to);

/* ---- chain_out.c */

void *ag_chain_thread(void *chain);
/* Bring out what there is. */
void ag_chain_step(struct ag_chain *c, bool closing);
void ag_chain_forget_salvage(struct ag_chain *c);

#endif
