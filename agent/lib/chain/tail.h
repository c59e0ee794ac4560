/* tail: reads a chain from its end, for those who go on from what was written last. */
#ifndef AG_LIB_CHAIN_TAIL_H
#define AG_LIB_CHAIN_TAIL_H

#include "agent/lib/chain/line.h"

struct ag_tail_conf {
    const char *audit_dir, *name;
    /* Every good line of the chain in a segment, in order; the last segment comes first. */
    void (*on_line)(const struct ag_line_head *head, struct antag_slice line, void *ctx);
    /* A segment is over. True: nothing further back is wanted. */
    bool (*on_segment)(void *ctx);
    void *ctx;
};

/* Says nothing of whether the chain holds: ag_chain_verify does. A chain that is not there is an empty one.
 * errors: IO (file and reason in the fault), NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_chain_tail(const struct ag_tail_conf *conf,
                                              struct antag_fault *fault);

#endif
