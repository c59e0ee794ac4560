/* notices: what staff is mailed about without having asked: changes that are opened and what becomes of them, stops,
 * recovery codes that were used. Rows of the outbox, put in the transaction that is their cause. Only verified mailboxes
 * get any; where no mail server is configured nobody does. */
#ifndef AG_STEWARD_NOTICES_H
#define AG_STEWARD_NOTICES_H

#include "agent/steward/steward.h"

/* To each who may approve it, with the command to run (no code), and to its requester. */
ANTAG_MUST_CHECK enum antag_err ag_notice_opened(struct ag_txn *t, const struct ag_row_change *row,
                                                 struct antag_fault *fault);
/* To its requester and all approvers: its new state, by whom, and the reason. */
ANTAG_MUST_CHECK enum antag_err ag_notice_ended(struct ag_txn *t, const struct ag_row_change *row,
                                                struct ag_actor by, struct antag_fault *fault);
/* To all staff: a key was stopped. what: "merchant key", "Antom key"; done: "suspended". */
ANTAG_MUST_CHECK enum antag_err ag_notice_stopped(struct ag_txn *t, const char *profile,
                                                  const char *what, uint32_t version,
                                                  const char *done, struct ag_actor by,
                                                  const char *reason, struct antag_fault *fault);
/* To all staff: the signing key of a launched profile comes to the end of its period. */
ANTAG_MUST_CHECK enum antag_err ag_notice_due(struct ag_txn *t, const char *profile,
                                              uint32_t version, int64_t end_ms,
                                              struct antag_fault *fault);
/* To all staff: a step of a rotation, or what a probe found. what: "is submitted"; with what it waits for and the
 * command that shows it. */
ANTAG_MUST_CHECK enum antag_err ag_notice_rotation(struct ag_txn *t,
                                                   const struct ag_row_rotation *row,
                                                   struct ag_actor by, const char *what,
                                                   struct antag_fault *fault);
/* To all staff: an approver used one of his recovery codes. */
ANTAG_MUST_CHECK enum antag_err ag_notice_recovery(struct ag_txn *t,
                                                   const struct ag_row_change *row, uint32_t uid,
                                                   size_t left, struct antag_fault *fault);

#endif
