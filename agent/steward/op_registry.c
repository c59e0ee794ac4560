/* op_registry: what staff says of the registry as a whole. */
#include <stdio.h>

#include "agent/steward/alter.h"
#include "agent/steward/deeds.h"
#include "agent/steward/record.h"
#include "agent/steward/rules.h"

static enum antag_err check_behind(const struct ag_book *b, uint64_t said,
                                   struct antag_fault *fault)
{
    if (b->behind == 0)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, NULL,
                               "the registry (epoch %llu) is not older than the record; there is "
                               "nothing to confirm",
                               (unsigned long long)b->epoch);
    if (b->behind != said)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "record_epoch",
                               "the record knows epoch %llu, not %llu; `antomctl status` shows it",
                               (unsigned long long)b->behind, (unsigned long long)said);
    return ANTAG_OK;
}

/* The transaction gets an epoch after all that the record knows, so that nothing is older any more. */
static enum antag_err confirm(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_registry_confirm_params *p = op->params;
    char reason[ANTAG_TEXT_MAX + 1], newer[40];
    enum antag_err err;

    if ((err = ag_rule_line(p->reason.v, "reason", reason, sizeof reason, fault)) != ANTAG_OK ||
        (err = check_behind(t->book, p->record_epoch.v, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, "", 0, "from epoch %llu: %.200s",
                (unsigned long long)t->book->epoch, reason);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    snprintf(newer, sizeof newer, "epoch %llu", (unsigned long long)t->book->behind);
    ag_alter_note(t, "registry: older than the record, which knows", newer, "taken as right");
    ag_registry_raise_epoch(t->st->reg, t->book->behind + 1);
    antag_w_map(w);
    antag_w_kv_uint(w, "epoch", ag_registry_next_epoch(t->st->reg));
    antag_w_end(w);
    return ANTAG_OK;
}

AG_DEED(registry_confirm, .act = confirm)
