/* op_profile: the settings of a profile. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/deeds.h"
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

static bool gives_isv_ids(const struct antag_profile_set_params *p)
{
    return p->isv_client_id.set || p->isv_customer_id.set || p->test_customer_id.set;
}

static enum antag_err take_id(const struct antag_opt_slice *given, const char *field, char *out,
                              size_t size, struct antag_fault *fault)
{
    struct antag_fault why;

    if (!given->set)
        return ANTAG_OK;
    if (ag_antom_check_client_id(given->v, &why) != ANTAG_OK ||
        !antag_slice_copy(given->v, out, size))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field,
                               "is an id that Antom gave: 1 to %zu of A-Z, a-z, 0-9, _ and -",
                               size - 1);
    return ANTAG_OK;
}

static enum antag_err take_isv_ids(const struct antag_profile_set_params *p,
                                   const struct ag_book *b, struct ag_row_profile *row,
                                   struct antag_fault *fault)
{
    const struct ag_row_app *app = ag_book_app(b, row->app_id);
    enum antag_err err;

    if (gives_isv_ids(p) && (app == NULL || strcmp(app->role, "isv") != 0))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "isv_client_id",
                               "and the other ids of an isv belong to an application of the role "
                               "isv; %s is of the role %s",
                               app == NULL ? row->name : app->name, app == NULL ? "?" : app->role);
    if ((err = take_id(&p->isv_client_id, "isv_client_id", row->isv_client_id,
                       sizeof row->isv_client_id, fault)) != ANTAG_OK ||
        (err = take_id(&p->isv_customer_id, "isv_customer_id", row->isv_customer_id,
                       sizeof row->isv_customer_id, fault)) != ANTAG_OK)
        return err;
    return take_id(&p->test_customer_id, "test_customer_id", row->test_customer_id,
                   sizeof row->test_customer_id, fault);
}

/* What is given is changed, nothing else. */
static enum antag_err take_settings(const struct antag_profile_set_params *p,
                                    const struct ag_book *b, struct ag_row_profile *row,
                                    struct antag_fault *fault)
{
    enum antag_err err;

    if (!p->client_id.set && !p->gateway.set && !p->notify_url.set && !p->response_max_age_ms.set &&
        !p->notification_max_age_ms.set && !p->cryptoperiod_days.set && !gives_isv_ids(p))
        return antag_fault_set(
            fault, ANTAG_ERR_BAD_PARAM, NULL,
            "nothing to set: give client_id, gateway, notify_url, "
            "response_max_age_ms, notification_max_age_ms, cryptoperiod_days, or of an isv "
            "isv_client_id, isv_customer_id, test_customer_id");
    if ((err = take_isv_ids(p, b, row, fault)) != ANTAG_OK)
        return err;
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
    if (p->cryptoperiod_days.set)
        row->cryptoperiod_days = (uint32_t)p->cryptoperiod_days.v;
    return take_age(&p->notification_max_age_ms, "notification_max_age_ms",
                    &row->notification_max_age_ms, fault);
}

/* What is set, for the record. */
static void describe(const struct antag_profile_set_params *p, const struct ag_row_profile *row,
                     char out[ANTAG_TEXT_MAX + 1])
{
    const char *set[] = {p->client_id.set ? " client_id " : "",
                         p->client_id.set ? row->client_id : "",
                         p->gateway.set ? " gateway " : "",
                         p->gateway.set ? row->gateway : "",
                         p->notify_url.set ? " notify_url " : "",
                         p->notify_url.set ? row->notify_url : "",
                         p->response_max_age_ms.set ? " response_max_age_ms" : "",
                         p->notification_max_age_ms.set ? " notification_max_age_ms" : "",
                         p->cryptoperiod_days.set ? " cryptoperiod_days" : "",
                         gives_isv_ids(p) ? " isv ids" : ""};
    size_t at = 0;

    for (size_t i = 0; i < sizeof set / sizeof set[0] && at < ANTAG_TEXT_MAX; i++)
        at += (size_t)snprintf(out + at, ANTAG_TEXT_MAX + 1 - at, "%s",
                               at == 0 && set[i][0] == ' ' ? set[i] + 1 : set[i]);
}

static enum antag_err set(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_profile_set_params *p = op->params;
    const struct ag_row_profile *found = NULL;
    struct ag_row_profile row;
    char said[ANTAG_TEXT_MAX + 1] = "";
    enum antag_err err;

    if ((err = ag_book_need_profile(t->book, p->profile.v, &found, fault)) != ANTAG_OK)
        return err;
    row = *found;
    if ((err = take_settings(p, t->book, &row, fault)) != ANTAG_OK)
        return err;
    describe(p, &row, said);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row.name, 0, "%s", said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_profile(w, t->book, &row);
    return ag_registry_put_profile(t->st->reg, &row, fault);
}

AG_DEED(profile_set, .act = set)

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
