/* frontlink: what the front was given, and how it is given the difference. Driver's thread. */
#ifndef AG_STEWARD_FRONTLINK_H
#define AG_STEWARD_FRONTLINK_H

#include "agent/steward/steward.h"

/* a row as it was sent */
struct ag_front_row {
    enum ag_snap_table table;
    uint64_t id;
    struct antag_slice bytes; /* owned: the packed row */
    uint64_t handle;          /* of a profile: the key the front works with */
};
struct ag_front_rows {
    size_t count, cap;
    struct ag_front_row *v; /* in order of table and id */
};
void ag_front_rows_fini(struct ag_front_rows *r);
const struct ag_front_row *ag_front_row_find(const struct ag_front_rows *r,
                                             enum ag_snap_table table, uint64_t id);

/* what a source of signatures is for the active key of a profile (peers.c, or a test) */
typedef void ag_source_fn(void *ctx, const struct ag_row_key *active, uint64_t epoch,
                          struct ag_sign_source *out);
/* All rows the front should have. `had`: what it has. errors: NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_front_rows_make(const struct ag_book *b,
                                                   const struct ag_front_rows *had,
                                                   ag_source_fn *source, void *ctx,
                                                   struct ag_front_rows *out);
/* Visit what differs, in order of table and id: rows of `now` that `had` has not or otherwise, and those
 * that are gone (`bytes` empty). A visit that fails ends it. */
typedef enum antag_err ag_front_diff_fn(void *ctx, const struct ag_front_row *row, bool gone);
ANTAG_MUST_CHECK enum antag_err ag_front_rows_diff(const struct ag_front_rows *had,
                                                   const struct ag_front_rows *now,
                                                   ag_front_diff_fn *visit, void *ctx);

/* Sends `now` over `c` and has it committed as `epoch`. had NULL: a full load.
 * errors: of the channel, and what the front answers. */
ANTAG_MUST_CHECK enum antag_err ag_front_send(struct ag_chan *c, const struct ag_front_rows *had,
                                              const struct ag_front_rows *now, uint64_t epoch,
                                              struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_front_send_state(struct ag_chan *c, enum ag_agent_state state,
                                                    const char *reason, struct antag_fault *fault);

#endif
