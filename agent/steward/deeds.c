#include "agent/steward/deeds.h"

/* *epoch: of the commit. */
static enum antag_err act(struct ag_steward *st, struct ag_task *op, const struct ag_deed_row *row,
                          struct antag_writer *w, uint64_t *epoch, struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, op->era, &t, fault)) == ANTAG_OK &&
        (err = row->act(&t, op, w, fault)) == ANTAG_OK)
        err = ag_txn_commit(&t, fault);
    *epoch = t.epoch;
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_deed_answer(struct ag_steward *st, struct ag_task *op, ag_deed_act_fn *answer,
                              struct antag_writer *w, struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
        err = answer(&t, op, w, fault);
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_deed_run(struct ag_steward *st, struct ag_task *op, const struct ag_deed_row *row,
                           struct antag_writer *w, struct antag_fault *fault)
{
    uint64_t epoch;
    enum antag_err err;

    if (row->prepare != NULL && (err = row->prepare(st, op, fault)) != ANTAG_OK)
        return err;
    if ((err = act(st, op, row, w, &epoch, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_push_wait(st, epoch, row->keys, fault)) != ANTAG_OK)
        return err;
    return row->answer != NULL ? ag_deed_answer(st, op, row->answer, w, fault) : ANTAG_OK;
}
