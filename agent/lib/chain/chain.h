/* chain: the writer of one chain of the record: lines from any thread, one thread that brings them to
 * the disk, many at a time (group commit).
 *
 *   append   renders the lines, gives them their numbers, and wakes the thread; no I/O, no waiting
 *   thread   writes what has gathered, syncs it, and says up to which line answers may leave
 *   help     with durability buffered, writes what has gathered in the caller's own thread: to the kernel is a short way, to
 *            another thread on a busy machine is not
 *
 * What it holds to, whatever fails:
 * - A line that was appended is never taken back: while the disk refuses, lines wait in memory and no
 *   more are taken (AUDIT); once it takes them again they are written, in order, none twice.
 * - After a failed sync a segment is left as it is and never synced again. Its lines that are not
 *   known to be on the disk are repeated at the beginning of the next one.
 * - A segment that was deleted or replaced under us is written anew from the open descriptor.
 * - Each writer starts a segment of its own: a torn tail is left as it is, and named in the first line
 *   of the next one.
 *
 * Lines the chain writes by itself (all others come by ag_chain_append):
 *   segment     first in each file: {segment, why, incarnation, agent, key, repeats, torn?}. `repeats`: so many lines behind it belong in front of it.
 *   checkpoint  {at_seq, at_hash, signature}: Ed25519 over the line before, every 1,000 lines, every minute
 *               in which there was one, at the end of a segment and of the writer
 *   rotate      last in a segment that is full: {next}
 *
 * What others append: sign, outcome (agent/keeper/record.h), deed, head, refused (agent/steward/record.h), and in a
 * keeper's chain head {of, at_seq, at_hash} and known {at_seq, at_hash} (agent/lib/edges/heads.h). */
#ifndef AG_LIB_CHAIN_CHAIN_H
#define AG_LIB_CHAIN_CHAIN_H

#include "agent/lib/chain/line.h"
#include "agent/lib/secret.h"

struct ag_chain;

/* how a line stands */
enum ag_fate {
    AG_FATE_WAITS,
    AG_FATE_RECORDED, /* as [audit] durability asks: what it stands for may leave */
    AG_FATE_STUCK,    /* the disk refuses: nothing may leave, although it may be recorded later */
};

struct ag_chain_conf {
    const char *audit_dir; /* HOME/audit */
    const char *name;      /* of the chain */
    bool commit;           /* recorded = on the disk; else = with the kernel, synced within 50 ms */
    uint64_t segment_max;  /* bytes; a segment that has reached them is full */
    uint64_t reserve;      /* bytes */
    const struct ag_secret *seed; /* AG_KEY_LEN; of the key of the checkpoints; copied */
    /* The chain's thread: a fate has changed. Must not call the chain but for ag_chain_fate. */
    void (*on_change)(void *ctx);
    void *ctx;
};

/* Starts the thread. A folder or disk that refuses is no error here: the chain is then stuck, says why,
 * and goes on trying. errors: NO_MEMORY, IO. */
ANTAG_MUST_CHECK enum antag_err ag_chain_open(const struct ag_chain_conf *conf,
                                              struct ag_chain **out);
/* Writes and syncs what there is, with a checkpoint behind it, and ends the thread. NULL accepted. */
void ag_chain_close(struct ag_chain *c);

struct ag_chain_record {
    const char *type;                  /* [a-z]+, at most AG_LINE_TYPE_MAX */
    const struct ag_log_field *fields; /* ends with AG_LF_END */
    bool quiet; /* no reason for a checkpoint, nor for others to note the head: it notes theirs */
};
/* All of them or none, side by side: the first has number *first, each other one more. Any thread.
 * errors: AUDIT, whose text says what keeps the chain from taking lines; NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_chain_append(struct ag_chain *c,
                                                const struct ag_chain_record *records, size_t count,
                                                uint64_t *first, struct antag_fault *fault);
/* The same, by one that calls ag_chain_help before it waits for the lines: the thread is not woken where help will do. */
ANTAG_MUST_CHECK enum antag_err ag_chain_append_helped(struct ag_chain *c,
                                                       const struct ag_chain_record *records,
                                                       size_t count, uint64_t *first,
                                                       struct antag_fault *fault);
/* Writes what has gathered, or sees to it that the thread does. May wait for the disk as write(2) may. Any thread. */
void ag_chain_help(struct ag_chain *c);
/* Any thread; takes no lock. */
enum ag_fate ag_chain_fate(const struct ag_chain *c, uint64_t seq);

struct ag_chain_status {
    uint64_t seq, recorded; /* last line; last recorded one */
    uint8_t hash[AG_LINE_HASH];
    uint64_t safe_seq; /* the last line known to be on the disk, whatever the durability; 0: none */
    uint8_t safe_hash[AG_LINE_HASH];
    uint64_t appended; /* lines that were not quiet, by this writer */
    uint32_t segment;
    bool refusing;                      /* appends are refused */
    char why[ANTAG_FAULT_TEXT_MAX + 1]; /* when refusing */
};
void ag_chain_status(struct ag_chain *c, struct ag_chain_status *out); /* any thread */

/* What a checkpoint signs, for those who check one. Returns the bytes used of `out`. */
#define AG_CHECKPOINT_TEXT_MAX 128
size_t ag_checkpoint_text(const char *chain, uint64_t seq, const uint8_t hash[AG_LINE_HASH],
                          uint8_t out[AG_CHECKPOINT_TEXT_MAX]);

#endif
