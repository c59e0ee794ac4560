/* codes: one-time codes that staff are mailed and type back: proof of account and mailbox, now. Kept as a keyed hash;
 * at most one a person and purpose. */
#ifndef AG_STEWARD_CODES_H
#define AG_STEWARD_CODES_H

#include "agent/core/onecode.h"
#include "agent/steward/steward.h"

/* what a code is for */
struct ag_code_for {
    uint32_t uid;
    uint64_t
        change_id; /* 0: the person's mailbox; AG_CODE_RECOVERY: a recovery code (recovery.h) */
};
#define AG_CODE_RECOVERY UINT64_MAX

/* Over whom and what it is for: a code of one change is none of another. errors: NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_code_hash(struct ag_steward *st, const struct ag_code_for *who,
                                             const char code[AG_ONECODE_CHARS + 1],
                                             uint8_t out[AG_CODE_HASH_LEN],
                                             struct antag_fault *fault);

/* Within a transaction that writes: a new code, in place of an older one, whose mail is dropped when it was not sent.
 * `shown` is a secret for as long as the code holds. errors: BUSY (the last one is not a minute old). */
ANTAG_MUST_CHECK enum antag_err ag_code_issue(struct ag_txn *t, const struct ag_code_for *who,
                                              const char *mail, char shown[AG_ONECODE_TEXT],
                                              uint64_t *code_id, struct antag_fault *fault);
/* In a transaction of its own, which counts the attempt before anything is compared. *code_id: to be used up, by
 * ag_code_use, in the transaction that does what it confirms.
 * errors: BAD_PARAM (form), NOT_FOUND (none was asked for), CODE_EXPIRED, CODE_WRONG. */
ANTAG_MUST_CHECK enum antag_err ag_code_try(struct ag_steward *st, const struct ag_code_for *who,
                                            struct antag_slice typed, uint64_t *code_id,
                                            struct antag_fault *fault);
/* Within a transaction that writes. *mail: where it went. errors: CODE_EXPIRED (it is gone, or holds no more). */
ANTAG_MUST_CHECK enum antag_err ag_code_use(struct ag_txn *t, uint64_t code_id,
                                            char mail[ANTAG_TEXT_MAX + 1],
                                            struct antag_fault *fault);

#endif
