/* changedoc: the document of a change: what is asked for, by whom, and what it would alter, as canonical MessagePack. Its
 * BLAKE2b-256 digest names the change, and approvals bind to it.
 *
 *   {v: 1, method, params, sealed?, profile?, summary, alters: [[what, was, is]], left_out, base, uid, account, host,
 *    opened_ms, holds_ms}
 *
 * params are written by antag_params_write, so equal requests have equal bytes; sealed is a token that came with the request,
 * in place of its memory file; base is that of alter.h. */
#ifndef AG_STEWARD_CHANGEDOC_H
#define AG_STEWARD_CHANGEDOC_H

#include "agent/steward/alter.h"
#include "agent/steward/ops.h"

struct ag_changedoc {
    struct antag_decoder decoder;
    bool made;
    const struct antag_staff_method_row *row;
    enum antag_staff_method which;
    const msgpack_object *params, *alters;
    struct antag_slice sealed;
    uint8_t base[AG_ALTER_BASE_LEN];
    uint32_t uid;
    char profile[ANTAG_PROFILE_MAX + 1], account[64], host[256];
    uint64_t left_out;
};

/* Writes doc and digest of `row`, and the columns that repeat it. a: of the operation as it was tried; its base is
 * taken. errors: BAD_PARAM (it would be too long), NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_changedoc_write(const struct ag_txn *t, const struct ag_task *op,
                                                   struct ag_alter *a, struct ag_row_change *row,
                                                   struct antag_fault *fault);
/* `row` must live as long as `out`, which is finished in every case. errors: REGISTRY (not of the form above, or not of
 * that digest), NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_changedoc_read(const struct ag_row_change *row,
                                                  struct ag_changedoc *out,
                                                  struct antag_fault *fault);
void ag_changedoc_fini(struct ag_changedoc *d);
/* The operation it asks for, as its requester asked, and the content it begins from. errors: as the reader of params; NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_changedoc_task(const struct ag_row_change *row,
                                                  uint8_t base[AG_ALTER_BASE_LEN],
                                                  struct ag_task **out, struct antag_fault *fault);
/* "profile set" of profile_set */
void ag_changedoc_words(const char *method, char out[AG_DEED_MAX + 1]);

#endif
