/* alter: what a transaction alters, in words for people and as a digest of what was there before. Two runs of an
 * operation that begin from the same content give the same digest; if what it alters was altered in between, they do
 * not. */
#ifndef AG_STEWARD_ALTER_H
#define AG_STEWARD_ALTER_H

#include <sodium.h>

#include "agent/steward/steward.h"

#define AG_ALTER_LINES_MAX 48
#define AG_ALTER_BASE_LEN  32
struct ag_alter_line {
    char what[160];         /* "shop/live: client id" */
    char was[160], is[160]; /* "" where there is nothing */
};
struct ag_alter {
    const struct ag_book *book; /* as it was before */
    crypto_generichash_state hash;
    size_t line_count, left_out; /* left_out: lines beyond AG_ALTER_LINES_MAX */
    struct ag_alter_line lines[AG_ALTER_LINES_MAX];
    bool touched;        /* it alters anything */
    uint64_t profile_id; /* that it alters something of; 0: none */
    bool demotes;        /* it takes staff roles from `demoted`, or all of him */
    uint32_t demoted;
};

/* Watches the transaction that is about to write; it ends with it. */
void ag_alter_begin(struct ag_alter *a, struct ag_txn *t);
/* Something that stands in no row, for those who approve. */
void ag_alter_note(struct ag_txn *t, const char *what, const char *was, const char *is);
/* Once. */
void ag_alter_base(struct ag_alter *a, uint8_t out[AG_ALTER_BASE_LEN]);

#endif
