/* recovery: codes an approver keeps for the day his mail does not come. Each takes the place of a mailed code once, under
 * his own uid, and all staff is told. Made with the verification of his mailbox, shown that once, kept as keyed hashes. */
#ifndef AG_STEWARD_RECOVERY_H
#define AG_STEWARD_RECOVERY_H

#include "agent/core/onecode.h"
#include "agent/steward/steward.h"

#define AG_RECOVERY_COUNT 8

/* Within a transaction that writes: new ones in place of all older ones. `shown` are secrets. */
ANTAG_MUST_CHECK enum antag_err ag_recovery_issue(struct ag_txn *t, uint32_t uid,
                                                  char shown[AG_RECOVERY_COUNT][AG_ONECODE_TEXT],
                                                  struct antag_fault *fault);
/* Within a transaction that writes: he has none any more. */
ANTAG_MUST_CHECK enum antag_err ag_recovery_remove(struct ag_txn *t, uint32_t uid,
                                                   struct antag_fault *fault);
/* In a transaction of its own, which counts the attempt before anything is compared. *id: to be used up.
 * errors: BAD_PARAM (form), NOT_FOUND (he has none), CODE_EXPIRED (five wrong ones), CODE_WRONG. */
ANTAG_MUST_CHECK enum antag_err ag_recovery_try(struct ag_steward *st, uint32_t uid,
                                                struct antag_slice typed, uint64_t *id,
                                                struct antag_fault *fault);
/* Within a transaction that writes. *left: how many he has yet. errors: CODE_EXPIRED (it is gone). */
ANTAG_MUST_CHECK enum antag_err ag_recovery_use(struct ag_txn *t, uint64_t id, uint32_t uid,
                                                size_t *left, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_recovery_left(struct ag_txn *t, uint32_t uid, size_t *left,
                                                 struct antag_fault *fault);

#endif
