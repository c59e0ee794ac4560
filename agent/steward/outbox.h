/* outbox: mails on their way out. A mail is a row of the transaction that causes it; a thread of its own hands due
 * ones to the courier, one after the other, and writes down what came of each. A mail server that is down delays
 * mail and nothing else; a mail that was sent twice (the end came between sending and writing that down) has the
 * same Message-ID both times. */
#ifndef AG_STEWARD_OUTBOX_H
#define AG_STEWARD_OUTBOX_H

#include "agent/core/mailtext.h"
#include "agent/steward/steward.h"

/* Within a transaction that writes. Fills in m->message_id and m->head; carries code_id (0: none). */
ANTAG_MUST_CHECK enum antag_err ag_outbox_put(struct ag_txn *t, const struct ag_mailtext *m,
                                              uint64_t code_id, struct antag_fault *fault);
/* "antomctl ..." as it is typed for this home. */
#define AG_OUTBOX_COMMAND_MAX 768
void ag_outbox_command(const struct ag_steward *st, char out[AG_OUTBOX_COMMAND_MAX],
                       const char *words);
/* Those that carry this code and were not sent are of no use any more. */
ANTAG_MUST_CHECK enum antag_err ag_outbox_drop_code(struct ag_txn *t, uint64_t code_id,
                                                    struct antag_fault *fault);

/* how mail stands */
struct ag_outbox_sum {
    size_t queued, refused;
    int64_t oldest_ms;              /* of the queued ones; 0: none */
    char error[ANTAG_TEXT_MAX + 1]; /* of the last attempt that failed, of a queued one; "" */
};
/* The registry lock is held. */
ANTAG_MUST_CHECK enum antag_err ag_outbox_sum(struct ag_steward *st, struct ag_outbox_sum *out,
                                              struct antag_fault *fault);

ANTAG_MUST_CHECK enum antag_err ag_outbox_start(struct ag_steward *st);
void ag_outbox_kick(struct ag_steward *st); /* any thread: there may be something to send */
void ag_outbox_again(
    struct ag_steward *st); /* any thread: what waits is due now, as the configuration is another */
void ag_outbox_join(struct ag_steward *st); /* after quit */

#endif
