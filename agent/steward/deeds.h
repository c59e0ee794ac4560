/* deeds: the frame of an operation that changes the registry. What an operation does stands in a row of parts; the
 * frame takes the registry, commits, waits until front and keepers follow, and answers. */
#ifndef AG_STEWARD_DEEDS_H
#define AG_STEWARD_DEEDS_H

#include "agent/steward/ops.h"

typedef enum antag_err ag_deed_prepare_fn(struct ag_steward *st, struct ag_task *op,
                                          struct antag_fault *fault);
typedef enum antag_err ag_deed_act_fn(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                      struct antag_fault *fault);

struct ag_deed_row {
    /* Before the registry is taken: may wait for other roles, and leaves in `op` what it found. NULL: nothing. */
    ag_deed_prepare_fn *prepare;
    /* With the registry: checks against the book, names the deed (ag_txn_deed), begins to write (ag_txn_write),
     * puts its rows. Renders the result from them where `answer` is NULL. Does not commit. */
    ag_deed_act_fn *act;
    /* After all that has to has followed: renders the result from the book as it is then. */
    ag_deed_act_fn *answer;
    bool keys; /* keepers have to follow too, not only the front */
};

/* An operation that is guarded (proto/staff_methods.h) may become a change instead of being done: after `act` it is
 * undone, and the answer is {opened: CHANGE}.
 * errors: those of the parts, and of changes.h; RETRY when it is committed and not followed yet. */
ANTAG_MUST_CHECK enum antag_err ag_deed_run(struct ag_steward *st, struct ag_task *op,
                                            const struct ag_deed_row *row, struct antag_writer *w,
                                            struct antag_fault *fault);

/* Its last part, alone. */
ANTAG_MUST_CHECK enum antag_err ag_deed_answer(struct ag_steward *st, struct ag_task *op,
                                               ag_deed_act_fn *answer, struct antag_writer *w,
                                               struct antag_fault *fault);

/* An answer: the merchant key of op->row_id, as it is after all is done. */
ag_deed_act_fn ag_deed_answer_key;

/* The method of an operation that is such a row and nothing else. */
#define AG_DEED(name, ...)                                                                         \
    enum antag_err ag_op_##name(struct ag_steward *st, struct ag_task *op, struct antag_writer *w, \
                                struct antag_fault *fault)                                         \
    {                                                                                              \
        static const struct ag_deed_row row = {__VA_ARGS__};                                       \
                                                                                                   \
        return ag_deed_run(st, op, &row, w, fault);                                                \
    }

#endif
