/* quorum: who has to approve a change, and whether enough did. Pure.
 *
 * A quorum is AG_QUORUM_SELF (whoever asks for a change confirms it by his own mailbox, as Antom's own centre has it; it
 * does not answer a malicious member of staff) or N approvers other than the requester. */
#ifndef AG_CORE_QUORUM_H
#define AG_CORE_QUORUM_H

#include "antag/status.h"
#include "antag/types.h"

#define AG_QUORUM_NONE 0          /* not set */
#define AG_QUORUM_SELF UINT32_MAX /* else N, 1 to AG_QUORUM_MAX */
#define AG_QUORUM_MAX  16

struct ag_quorum_person {
    uint32_t uid;
    bool officer, approver;
    bool verified; /* the mailbox */
};
struct ag_quorum_staff {
    const struct ag_quorum_person *people;
    size_t count;
    bool allow_root; /* uid 0 may ask and approve */
};

/* "self", "2" or "none" */
#define AG_QUORUM_TEXT 12
void ag_quorum_text(uint32_t quorum, char out[AG_QUORUM_TEXT]);
/* errors: BAD_PARAM "quorum": what is allowed. */
ANTAG_MUST_CHECK enum antag_err ag_quorum_parse(struct antag_slice text, uint32_t *out,
                                                struct antag_fault *fault);
/* Of two, the one that asks for more; NONE asks for nothing. */
uint32_t ag_quorum_stricter(uint32_t a, uint32_t b);

/* Can it be met whoever asks? A verified mailbox is not demanded here. errors: QUORUM, with the numbers. */
ANTAG_MUST_CHECK enum antag_err ag_quorum_check(uint32_t quorum, const struct ag_quorum_staff *s,
                                                struct antag_fault *fault);
/* May he ask for a change? errors: CHANGE_DENIED. */
ANTAG_MUST_CHECK enum antag_err ag_quorum_may_ask(uint32_t uid, const struct ag_quorum_staff *s,
                                                  struct antag_fault *fault);

struct ag_quorum_case {
    uint32_t quorum, requester;
    bool demotes; /* the change takes staff roles from `demoted`, or all of him */
    uint32_t demoted;
};
/* May he approve this one? errors: CHANGE_DENIED, saying who may; MAIL_SETUP when it is only his mailbox that is not
 * verified. */
ANTAG_MUST_CHECK enum antag_err ag_quorum_may_approve(const struct ag_quorum_case *c, uint32_t uid,
                                                      const struct ag_quorum_staff *s,
                                                      struct antag_fault *fault);
/* How many of those who approved (each uid once) may, and how many are needed (at least 1). */
size_t ag_quorum_count(const struct ag_quorum_case *c, const uint32_t *uids, size_t count,
                       const struct ag_quorum_staff *s);
size_t ag_quorum_needed(const struct ag_quorum_case *c);

#endif
