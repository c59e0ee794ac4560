/* outbox, inside: outbox.c has the rows, post.c the thread that sends them. */
#ifndef AG_STEWARD_OUTBOX_INTERNAL_H
#define AG_STEWARD_OUTBOX_INTERNAL_H

#include "agent/steward/outbox.h"

#define AG_OUTBOX_BACKOFF_MAX_MS (30 * 60 * 1000)

/* what a look through all rows found */
struct ag_outbox_look {
    int64_t now_ms;
    uint64_t code_id, due_id, waiting_id; /* waiting_id: one that carries code_id */
    uint64_t old_id;                      /* one that is over for long */
    int64_t next_ms; /* when the first of those that wait is due; INT64_MAX: never */
    struct ag_outbox_sum sum;
};

/* code_id: whose mail is looked for; 0: none. The registry lock is held. */
ANTAG_MUST_CHECK enum antag_err ag_outbox_look(struct ag_steward *st, uint64_t code_id,
                                               struct ag_outbox_look *out,
                                               struct antag_fault *fault);
/* A mail that is over has no text any more. Within a transaction that writes. */
ANTAG_MUST_CHECK enum antag_err ag_outbox_end(struct ag_txn *t, struct ag_row_mail *row,
                                              enum ag_mail_state state, struct antag_fault *fault);

#endif
