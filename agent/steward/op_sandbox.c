/* op_sandbox: what Antom gives an application to try payments with: a buyer's account and password, a merchant's
 * account. The password is sealed; whoever asks for it stands in the record. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/deeds.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

static enum antag_err need_sandbox(const struct ag_book *b, struct antag_slice name,
                                   const struct ag_row_profile **out, struct antag_fault *fault)
{
    const struct ag_row_app *app = NULL;
    char profile[ANTAG_PROFILE_MAX + 1];
    enum antag_err err = ag_book_need_app(b, name, &app, fault);

    if (err != ANTAG_OK)
        return err;
    snprintf(profile, sizeof profile, "%s/%s", app->name, ag_env_name(AG_ENV_SANDBOX));
    return ag_book_need_profile(b, antag_slice_of(profile), out, fault);
}

static enum antag_err seal_key(struct ag_steward *st, struct ag_secret **out,
                               struct antag_fault *fault)
{
    *out = ag_seal_key(st);
    return *out != NULL ? ANTAG_OK
                        : antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no key to seal with");
}

/* ---- setting */

static enum antag_err read_password(struct ag_steward *st, struct ag_task *op,
                                    struct antag_fault *fault)
{
    (void)st;
    if (op->file_count == 0)
        return ANTAG_OK;
    op->file_count = 0; /* closed by the reader */
    return ag_secret_read_memfd(op->files[0], AG_BUYER_PASSWORD_MAX, &op->secret, fault);
}

static enum antag_err seal_password(struct ag_steward *st, const struct ag_task *op,
                                    struct ag_row_profile *row, struct antag_fault *fault)
{
    struct ag_secret *key = NULL;
    enum antag_err err = seal_key(st, &key, fault);

    if (err == ANTAG_OK &&
        (err = ag_seal(key, antag_slice_of(row->name), op->secret, row->buyer_password,
                       sizeof row->buyer_password, &row->buyer_password_len)) != ANTAG_OK)
        (void)antag_fault_set(fault, err, NULL, "the password cannot be sealed");
    ag_secret_free(key);
    return err;
}

static enum antag_err take(struct ag_steward *st, const struct ag_task *op,
                           struct ag_row_profile *row, struct antag_fault *fault)
{
    const struct antag_sandbox_set_params *p = op->params;
    enum antag_err err = ANTAG_OK;

    if (!p->buyer_account.set && !p->merchant_account.set && op->secret == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                               "nothing to set: give buyer_account, merchant_account or a "
                               "password");
    if (p->buyer_account.set)
        err = ag_rule_line(p->buyer_account.v, "buyer_account", row->buyer_account,
                           sizeof row->buyer_account, fault);
    if (err == ANTAG_OK && p->merchant_account.set)
        err = ag_rule_line(p->merchant_account.v, "merchant_account", row->merchant_account,
                           sizeof row->merchant_account, fault);
    if (err == ANTAG_OK && op->secret != NULL)
        err = seal_password(st, op, row, fault);
    return err;
}

static enum antag_err set(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_sandbox_set_params *p = op->params;
    const struct ag_row_profile *found = NULL;
    struct ag_row_profile row;
    enum antag_err err;

    if ((err = need_sandbox(t->book, p->app.v, &found, fault)) != ANTAG_OK)
        return err;
    row = *found;
    if ((err = take(t->st, op, &row, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row.name, 0, "%s%s%s",
                p->buyer_account.set ? "buyer_account " : "",
                p->merchant_account.set ? "merchant_account " : "",
                op->secret != NULL ? "password" : "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_sandbox(w, &row);
    return ag_registry_put_profile(t->st->reg, &row, fault);
}

AG_DEED(sandbox_set, .prepare = read_password, .act = set)

/* ---- reading */

enum antag_err ag_op_sandbox_show(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    const struct antag_app_params *p = op->params;
    const struct ag_row_profile *row = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = need_sandbox(t.book, p->app.v, &row, fault)) == ANTAG_OK)
        ag_render_sandbox(w, row);
    ag_txn_end(&t);
    return err;
}

static enum antag_err reveal(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct antag_app_params *p = op->params;
    const struct ag_row_profile *row = NULL;
    struct ag_secret *key = NULL, *password = NULL;
    enum antag_err err;

    if ((err = need_sandbox(t->book, p->app.v, &row, fault)) != ANTAG_OK)
        return err;
    if (row->buyer_password_len == 0)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "app",
                               "%s has no buyer's password; `antomctl sandbox set` takes one",
                               row->name);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row->name, 0, "shown to uid %u",
                (unsigned)op->uid);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = seal_key(t->st, &key, fault)) != ANTAG_OK)
        return err;
    err = ag_unseal(key, antag_slice_of(row->name),
                    (struct antag_slice){row->buyer_password, row->buyer_password_len}, &password);
    if (err == ANTAG_OK) {
        antag_w_map(w);
        antag_w_kv_str(w, "profile", row->name);
        antag_w_kv_str(w, "buyer_account", row->buyer_account);
        antag_w_kv_strn(w, "password", ag_secret_slice(password));
        antag_w_end(w);
    } else {
        (void)antag_fault_set(fault, err, NULL, "the password of %s cannot be opened", row->name);
    }
    ag_secret_free(password);
    ag_secret_free(key);
    return err;
}

AG_DEED(sandbox_password, .act = reveal)
