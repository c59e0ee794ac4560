#include "agent/steward/deeds.h"

#include <stdlib.h>

#include "agent/steward/changes.h"
#include "agent/steward/render.h"

/* What a guarded operation is watched for. */
static enum antag_err watch(struct ag_txn *t, const struct ag_task *op, struct ag_alter **out,
                            struct antag_fault *fault)
{
    if (op->row->guard == ANTAG_GUARD_NONE)
        return ANTAG_OK;
    if ((*out = malloc(sizeof **out)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for an operation");
    ag_alter_begin(*out, t);
    return ANTAG_OK;
}

/* It was done, and is not committed: is that for now, for an approved change, or has it to wait for one? */
static enum antag_err guard(struct ag_txn *t, struct ag_task *op, struct ag_alter *a,
                            struct antag_fault *fault)
{
    if (op->run != NULL)
        return ag_change_fulfil(t, op->run, a, fault);
    if (a != NULL && ag_change_is_due(t, op, a))
        return ag_change_open(t, op, a, fault);
    return ANTAG_OK;
}

/* *epoch: of the commit. */
static enum antag_err act(struct ag_steward *st, struct ag_task *op, const struct ag_deed_row *row,
                          struct antag_writer *w, uint64_t *epoch, struct antag_fault *fault)
{
    struct ag_alter *a = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, op->era, &t, fault)) == ANTAG_OK &&
        (err = watch(&t, op, &a, fault)) == ANTAG_OK &&
        (err = row->act(&t, op, w, fault)) == ANTAG_OK &&
        (err = guard(&t, op, a, fault)) == ANTAG_OK && !(op->run != NULL && op->run->only_try))
        err = ag_txn_commit(&t, fault);
    *epoch = t.epoch;
    ag_txn_end(&t);
    free(a);
    return err;
}

static enum antag_err render_opened(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                    struct antag_fault *fault)
{
    struct ag_row_change *change = NULL;
    enum antag_err err = ag_change_get(t, op->opened, &change, fault);

    antag_w_map(w);
    antag_w_key(w, "opened");
    if (err == ANTAG_OK)
        err = ag_change_render(t, change, false, w, fault);
    antag_w_end(w);
    free(change);
    return err;
}

/* In place of what the operation would have answered. */
static enum antag_err answer_opened(struct ag_steward *st, struct ag_task *op,
                                    struct antag_writer *w, struct antag_fault *fault)
{
    antag_writer_reset(w);
    antag_m_answer(w, op->id);
    return ag_deed_answer(st, op, render_opened, w, fault);
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
    if ((err = act(st, op, row, w, &epoch, fault)) != ANTAG_OK ||
        (op->run != NULL && op->run->only_try))
        return err;
    if (op->opened != 0)
        return answer_opened(st, op, w, fault);
    if ((err = ag_push_wait(st, epoch, row->keys, fault)) != ANTAG_OK)
        return err;
    return row->answer != NULL ? ag_deed_answer(st, op, row->answer, w, fault) : ANTAG_OK;
}

enum antag_err ag_deed_answer_key(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    const struct ag_row_key *k = ag_book_key(t->book, op->row_id);

    if (k == NULL)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the key's row is gone");
    ag_render_key(w, t->book, &t->life, k, ag_keeper_holds(t->st, k->keyring, k->id), NULL);
    return ANTAG_OK;
}
