/* verify: reads a chain from its files and checks it: form and hash of every line, that each follows the
 * one before, the first line of each segment, the checkpoints. Needs no secret and no running agent.
 *
 * What cannot be found from the files of one chain alone, and needs heads that are known from elsewhere
 * (`known`: other chains note them; a mail): that lines at the end were cut off; that a whole chain was
 * written anew with another key. What no file shows at all: that all chains were cut at the same moment, or
 * all written anew. */
#ifndef AG_LIB_CHAIN_VERIFY_H
#define AG_LIB_CHAIN_VERIFY_H

#include "agent/lib/chain/segment.h"

#define AG_CHAIN_KEY 32 /* Ed25519 public key of the checkpoints */

enum ag_finding_kind {
    AG_FINDING_NOTE, /* to be known, nothing is wrong: a torn tail that was closed, older files elsewhere */
    AG_FINDING_BROKEN, /* the files are not what was written */
};
struct ag_finding {
    enum ag_finding_kind kind;
    uint32_t segment; /* 0: none in particular */
    uint64_t line;    /* in its file, from 1; 0: none in particular */
    char text[256];
};

/* a head of this chain that another one noted */
struct ag_known_head {
    uint64_t seq;
    uint8_t hash[AG_LINE_HASH];
    char by[ANTAG_KEYRING_MAX + 1]; /* the chain that noted it, or who knows it otherwise */
    uint64_t by_seq;                /* and where; 0: nowhere in particular */
};

struct ag_verify_conf {
    const char *audit_dir, *name;
    const uint8_t *key; /* AG_CHAIN_KEY bytes that are trusted; NULL: those that the chain names */
    const struct ag_known_head *known; /* ascending by seq; NULL: none */
    size_t known_count;
    void (*on_finding)(const struct ag_finding *f, void *ctx); /* NULL: only counted */
    /* Every good line, once, in the order of its number where that is unbroken; NULL: nobody asks. */
    void (*on_line)(const struct ag_line_head *head, struct antag_slice line, void *ctx);
    void *ctx;
};
struct ag_verify_result {
    uint64_t segments, lines, checkpoints, notes, broken;
    uint64_t first_seq, last_seq; /* 0: no line */
    uint8_t last_hash[AG_LINE_HASH];
    uint64_t checked_seq; /* the last line under a good checkpoint; 0: none */
};

/* OK when the files could be read, whatever was found: look at result->broken. errors: NOT_FOUND (no such
 * chain), IO (file and reason in the fault), NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_chain_verify(const struct ag_verify_conf *conf,
                                                struct ag_verify_result *out,
                                                struct antag_fault *fault);

#endif
