/* op_profile: the settings of a profile. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/ops.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

#define AGE_MAX_MS (INT64_C(30) * 24 * 3600 * 1000) /* as [policy] allows */

static enum antag_err take_age(const struct antag_opt_uint *given, const char *field, int64_t *age,
                               struct antag_fault *fault)
{
    if (!given->set)
        return ANTAG_OK;
    if (given->v > (uint64_t)AGE_MAX_MS)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field,
                               "is at most %lld (30 days); 0 means any age", (long long)AGE_MAX_MS);
    *age = (int64_t)given->v;
    return ANTAG_OK;
}

static enum antag_err take_client_id(const struct ag_book *b, struct antag_slice id,
                                     struct ag_row_profile *row, struct antag_fault *fault)
{
    enum antag_err err;

    if ((err = ag_antom_check_client_id(id, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_antom_client_id_env(row->env, id, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_rule_client_id_free(b, row, id, fault)) != ANTAG_OK)
        return err;
    return antag_slice_copy(id, row->client_id, sizeof row->client_id)
               ? ANTAG_OK
               : antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "client_id", "has at most %d bytes",
                                 ANTAG_CLIENT_ID_MAX);
}

/* What is given is changed, nothing else. */
static enum antag_err take_settings(const struct antag_profile_set_params *p,
                                    const struct ag_book *b, struct ag_row_profile *row,
                                    struct antag_fault *fault)
{
    enum antag_err err;

    if (!p->client_id.set && !p->gateway.set && !p->notify_url.set && !p->response_max_age_ms.set &&
        !p->notification_max_age_ms.set)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                               "nothing to set: give client_id, gateway, notify_url, "
                               "response_max_age_ms or notification_max_age_ms");
    if (p->client_id.set && (err = take_client_id(b, p->client_id.v, row, fault)) != ANTAG_OK)
        return err;
    if (p->gateway.set && (err = ag_rule_gateway(p->gateway.v, row->gateway, fault)) != ANTAG_OK)
        return err;
    if (p->notify_url.set &&
        (err = ag_rule_notify_url(p->notify_url.v, row->notify_url, fault)) != ANTAG_OK)
        return err;
    if ((err = take_age(&p->response_max_age_ms, "response_max_age_ms", &row->response_max_age_ms,
                        fault)) != ANTAG_OK)
        return err;
    return take_age(&p->notification_max_age_ms, "notification_max_age_ms",
                    &row->notification_max_age_ms, fault);
}

enum antag_err ag_op_profile_set(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_profile_set_params *p = op->params;
    const struct ag_row_profile *found = NULL;
    struct ag_row_profile row;
    struct ag_txn t = {0};
    uint64_t epoch = 0;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_book_need_profile(t.book, p->profile.v, &found, fault)) != ANTAG_OK)
        goto out;
    row = *found;
    if ((err = take_settings(p, t.book, &row, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_txn_write(&t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_put_profile(st->reg, &row, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_txn_commit(&t, fault)) != ANTAG_OK)
        goto out;
    epoch = t.epoch;
    ag_render_profile(w, t.book, &row);
out:
    ag_txn_end(&t);
    return err != ANTAG_OK ? err : ag_push_wait(st, epoch, false, fault);
}

enum antag_err ag_op_profile_show(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    const struct antag_profile_params *p = op->params;
    const struct ag_row_profile *row = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_book_need_profile(t.book, p->profile.v, &row, fault)) == ANTAG_OK)
        ag_render_profile(w, t.book, row);
out:
    ag_txn_end(&t);
    return err;
}
