/* op_merchant: merchants that authorised an isv. Their tokens are sealed before anything else is done with them; nobody is
 * shown one. */
#include <stdio.h>
#include <string.h>

#include "agent/core/grant.h"
#include "agent/steward/alter.h"
#include "agent/steward/deeds.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

/* ---- what is asked */

static enum antag_err need_isv(const struct ag_book *b, struct antag_slice profile,
                               const struct ag_row_profile **out, struct antag_fault *fault)
{
    const struct ag_row_app *app;
    enum antag_err err = ag_book_need_profile(b, profile, out, fault);

    if (err != ANTAG_OK)
        return err;
    app = ag_book_app(b, (*out)->app_id);
    if (app == NULL || strcmp(app->role, "isv") != 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "profile",
                               "merchants belong to an application of the role isv; %s is of the "
                               "role %s",
                               (*out)->name, app == NULL ? "?" : app->role);
    return ANTAG_OK;
}

static enum antag_err need(struct ag_txn *t, const struct antag_merchant_params *p,
                           const struct ag_row_profile **profile, struct ag_row_merchant *out,
                           struct antag_fault *fault)
{
    char name[ANTAG_MERCHANT_MAX + 1];
    enum antag_err err;

    if ((err = need_isv(t->book, p->profile.v, profile, fault)) != ANTAG_OK ||
        (err = ag_merchant_check(p->merchant.v, "merchant", fault)) != ANTAG_OK)
        return err;
    (void)antag_slice_copy(p->merchant.v, name, sizeof name);
    err = ag_registry_find_merchant(t->st->reg, (*profile)->id, name, out, fault);
    if (err == ANTAG_ERR_NOT_FOUND)
        antag_fault_set(fault, err, "merchant",
                        "%s has no merchant \"%s\"; `antomctl merchant list %s` shows them",
                        (*profile)->name, name, (*profile)->name);
    return err;
}

static void render(struct antag_writer *w, const struct ag_row_profile *p,
                   const struct ag_row_merchant *m)
{
    antag_w_map(w);
    antag_w_kv_str(w, "profile", p->name);
    antag_w_kv_str(w, "merchant", m->name);
    antag_w_kv_str(w, "state", m->suspended ? "suspended" : "active");
    antag_w_kv_int(w, "state_ms", m->state_at_ms);
    antag_w_kv_str(w, "description", m->description);
    antag_w_kv_int(w, "created_ms", m->created_at_ms);
    antag_w_kv_int(w, "token_ms", m->token_at_ms);
    antag_w_kv_uint(w, "used", m->used);
    antag_w_kv_int(w, "used_ms", m->used_at_ms);
    antag_w_end(w);
}

/* Writes the row, or takes it away, with its deed; said: what the deed has behind the name. */
static enum antag_err store(struct ag_txn *t, const struct ag_task *op,
                            const struct ag_row_profile *profile, struct ag_row_merchant *row,
                            const char *said, struct antag_writer *w, struct antag_fault *fault)
{
    enum antag_err err;

    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, 0, "merchant %s%s", row->name,
                said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    render(w, profile, row);
    return op->which == ANTAG_STAFF_merchant_remove
               ? ag_registry_delete_merchant(t->st->reg, row->id, fault)
               : ag_registry_put_merchant(t->st->reg, row, fault);
}

/* ---- tokens */

/* Reads and seals it, before the registry is taken; of an approved change that was done when it was opened. */
static enum antag_err seal_token(struct ag_steward *st, struct ag_task *op,
                                 struct antag_fault *fault)
{
    const struct antag_merchant_params *p = op->params;
    char profile[ANTAG_PROFILE_MAX + 1], merchant[ANTAG_MERCHANT_MAX + 1];
    struct ag_secret *token = NULL, *key;
    enum antag_err err;

    if (op->sealed_len > 0)
        return ANTAG_OK;
    if ((err = ag_merchant_check(p->merchant.v, "merchant", fault)) != ANTAG_OK)
        return err;
    (void)antag_slice_copy(p->profile.v, profile, sizeof profile);
    (void)antag_slice_copy(p->merchant.v, merchant, sizeof merchant);
    op->file_count = 0; /* closed by the reader */
    if ((err = ag_secret_read_memfd(op->files[0], ANTAG_IMPORT_MAX, &token, fault)) != ANTAG_OK)
        return err;
    key = ag_token_key(st);
    if (key == NULL)
        err = ag_state_refuse(st, fault);
    else if ((err = ag_token_check(token, fault)) == ANTAG_OK &&
             (err = ag_token_seal(key, profile, merchant, token, op->sealed, &op->sealed_len)) !=
                 ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the token cannot be sealed");
    ag_secret_free(token);
    ag_secret_free(key);
    return err;
}

static void take_token(const struct ag_txn *t, const struct ag_task *op,
                       struct ag_row_merchant *row)
{
    memcpy(row->sealed, op->sealed, op->sealed_len);
    row->sealed_len = op->sealed_len;
    row->token_at_ms = t->life.now_ms;
}

static enum antag_err add(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_merchant_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    struct ag_row_merchant row;
    char description[ANTAG_TEXT_MAX + 1] = "";
    enum antag_err err = need(t, p, &profile, &row, fault);

    if (err == ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "merchant",
                               "%s has merchant %s; `antomctl merchant set` gives it another token",
                               profile->name, row.name);
    if (err != ANTAG_ERR_NOT_FOUND || profile == NULL)
        return err;
    if (p->description.set && (err = ag_rule_line(p->description.v, "description", description,
                                                  sizeof description, fault)) != ANTAG_OK)
        return err;
    row = (struct ag_row_merchant){
        .profile_id = profile->id, .created_at_ms = t->life.now_ms, .state_at_ms = t->life.now_ms};
    (void)antag_slice_copy(p->merchant.v, row.name, sizeof row.name);
    memcpy(row.description, description, sizeof row.description);
    take_token(t, op, &row);
    return store(t, op, profile, &row, "", w, fault);
}

AG_DEED(merchant_add, .prepare = seal_token, .act = add)

static enum antag_err set(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    struct ag_row_merchant row;
    enum antag_err err;

    if ((err = need(t, op->params, &profile, &row, fault)) != ANTAG_OK)
        return err;
    take_token(t, op, &row);
    return store(t, op, profile, &row, ": a new token", w, fault);
}

AG_DEED(merchant_set, .prepare = seal_token, .act = set)

/* ---- stopping, resuming, removing */

static enum antag_err switch_state(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                   struct antag_fault *fault)
{
    bool suspend = op->which == ANTAG_STAFF_merchant_suspend;
    const struct ag_row_profile *profile = NULL;
    struct ag_row_merchant row;
    enum antag_err err;

    if ((err = need(t, op->params, &profile, &row, fault)) != ANTAG_OK)
        return err;
    if (row.suspended == suspend)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "merchant", "%s is %s already", row.name,
                               suspend ? "suspended" : "active");
    row.suspended = suspend;
    row.state_at_ms = t->life.now_ms;
    return store(t, op, profile, &row, "", w, fault);
}

AG_DEED(merchant_suspend, .act = switch_state)
AG_DEED(merchant_resume, .act = switch_state)

static enum antag_err take_away(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    struct ag_row_merchant row;
    enum antag_err err;

    if ((err = need(t, op->params, &profile, &row, fault)) != ANTAG_OK)
        return err;
    return store(t, op, profile, &row, "", w, fault);
}

AG_DEED(merchant_remove, .act = take_away)

/* ---- looking */

#define PAGE 1000 /* merchants in one answer */

struct list {
    const struct ag_row_profile *profile;
    struct antag_writer *w;
    uint64_t after, last; /* ids */
    size_t count;
};

static enum antag_err list_one(const struct ag_row_merchant *row, void *ctx)
{
    struct list *l = ctx;

    if (row->profile_id != l->profile->id || row->id <= l->after)
        return ANTAG_OK;
    if (l->count == PAGE)
        return ANTAG_ERR_EXISTS; /* there are more: enough for now */
    render(l->w, l->profile, row);
    l->last = row->id;
    l->count++;
    return ANTAG_OK;
}

enum antag_err ag_op_merchant_list(struct ag_steward *st, struct ag_task *op,
                                   struct antag_writer *w, struct antag_fault *fault)
{
    const struct antag_merchant_list_params *p = op->params;
    struct list l = {.w = w, .after = p->after.set ? p->after.v : 0};
    struct ag_txn t;
    enum antag_err err;

    if (l.after == 0)
        ag_used_pass(st); /* the counts of this moment */
    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = need_isv(t.book, p->profile.v, &l.profile, fault)) == ANTAG_OK) {
        antag_w_map(w);
        antag_w_key(w, "merchants");
        antag_w_array(w);
        err = ag_registry_each_merchant(st->reg, list_one, &l, fault);
        antag_w_end(w);
        if (err == ANTAG_ERR_EXISTS) {
            antag_w_kv_uint(w, "next", l.last);
            err = ANTAG_OK;
        }
        antag_w_end(w);
    }
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_op_merchant_show(struct ag_steward *st, struct ag_task *op,
                                   struct antag_writer *w, struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    struct ag_row_merchant row;
    struct ag_txn t;
    enum antag_err err;

    ag_used_pass(st);
    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = need(&t, op->params, &profile, &row, fault)) == ANTAG_OK)
        render(w, profile, &row);
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_op_merchant_url(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    const struct antag_app_params *p = op->params;
    const struct ag_row_app *app = NULL;
    const struct ag_row_profile *live;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK ||
        (err = ag_book_need_app(t.book, p->app.v, &app, fault)) != ANTAG_OK)
        goto out;
    live = ag_book_profile_of(t.book, app->id, AG_ENV_LIVE);
    if (strcmp(app->role, "isv") != 0)
        err = antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "app",
                              "merchants authorise an isv; %s is of the role %s", app->name,
                              app->role);
    else if (live == NULL || !live->launched)
        err = antag_fault_set(fault, ANTAG_ERR_LAUNCH, "app",
                              "%s is not launched; Antom makes the URL after the launch, and "
                              "merchants get it after that",
                              app->name);
    else if (app->authorization_url[0] == '\0')
        err = antag_fault_set(
            fault, ANTAG_ERR_NOT_FOUND, "app",
            "%s has no authorization URL; generate it at the Developer Center, then "
            "`antomctl app set %s --authorization-url URL`",
            app->name, app->name);
    if (err == ANTAG_OK) {
        antag_w_map(w);
        antag_w_kv_str(w, "app", app->name);
        antag_w_kv_str(w, "authorization_url", app->authorization_url);
        antag_w_end(w);
    }
out:
    ag_txn_end(&t);
    return err;
}
