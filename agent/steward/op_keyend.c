/* op_keyend: merchant keys that end: known to others, or of no use any more. */
#include <stdlib.h>
#include <string.h>

#include "agent/steward/deeds.h"
#include "agent/steward/render.h"

static enum antag_err end(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_key_params *p = op->params;
    bool destroy = op->which == ANTAG_STAFF_key_destroy;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    struct ag_row_key row;
    enum antag_err err;

    (void)w;
    if ((err = ag_book_need_key(t->book, p->profile.v, p->version.v, &profile, &k, fault)) !=
        ANTAG_OK)
        return err;
    row = *k;
    op->row_id = row.id;
    if ((err = ag_life_step(
             &t->life, t->book, &row, destroy ? AG_KEYEV_DESTROY : AG_KEYEV_COMPROMISE,
             ag_keeper_holds(t->st, row.keyring, row.id), k->reason, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, row.id, "version %u",
                row.version);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_key(t->st->reg, &row, fault);
}

AG_DEED(key_destroy, .act = end, .answer = ag_deed_answer_key, .keys = true)

/* ---- compromised: stopped at once, marked when that is approved, and somebody has to take its place */

struct standing {
    bool stopped, successor;
};

static enum antag_err look(struct ag_steward *st, const struct antag_key_params *p,
                           struct standing *out, struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    struct ag_txn t;
    enum antag_err err;

    memset(out, 0, sizeof *out);
    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_book_need_key(t.book, p->profile.v, p->version.v, &profile, &k, fault)) ==
            ANTAG_OK) {
        out->stopped = k->state == AG_KEY_SUSPENDED || k->state == AG_KEY_COMPROMISED ||
                       k->state == AG_KEY_DESTROYED;
        for (size_t i = 0; i < t.book->key_count; i++) {
            const struct ag_row_key *other = &t.book->keys[i];

            out->successor = out->successor ||
                             (other->profile_id == profile->id && other->id != k->id &&
                              (other->state == AG_KEY_STAGED || other->state == AG_KEY_ACTIVE));
        }
    }
    ag_txn_end(&t);
    return err;
}

/* Of an approved change both were done when it was opened. */
static enum antag_err stop_and_succeed(struct ag_steward *st, struct ag_task *op,
                                       struct antag_fault *fault)
{
    const struct antag_key_params *p = op->params;
    struct antag_key_suspend_params stop = {.profile = p->profile,
                                            .version = p->version,
                                            .reason = {true, antag_slice_of("compromised")}};
    struct antag_key_new_params made = {.profile = p->profile};
    struct standing is;
    enum antag_err err;

    if (op->run != NULL)
        return ANTAG_OK;
    if ((err = look(st, p, &is, fault)) != ANTAG_OK)
        return err;
    if (!is.stopped &&
        (err = ag_task_do_part(st, op, ANTAG_STAFF_key_suspend, &stop, fault)) != ANTAG_OK)
        return err;
    if (!is.successor)
        err = ag_task_do_part(st, op, ANTAG_STAFF_key_generate, &made, fault);
    return err;
}

AG_DEED(key_compromise, .prepare = stop_and_succeed, .act = end, .answer = ag_deed_answer_key,
        .keys = true)
