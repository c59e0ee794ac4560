/* op_app: applications. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/core/mailbox.h"
#include "agent/steward/deeds.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

static enum antag_err take_scenarios(const struct antag_opt_value *texts, struct ag_row_app *row,
                                     struct antag_fault *fault)
{
    size_t at = 0;

    for (uint32_t i = 0; texts->set && i < texts->v.via.array.size; i++) {
        char line[ANTAG_TEXT_MAX + 1];
        struct antag_slice s;
        enum antag_err err;

        if (!antag_object_slice(&texts->v.via.array.ptr[i], &s) || s.len == 0)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "scenarios",
                                   "is a list of texts that are not empty");
        if ((err = ag_rule_line(s, "scenarios", line, sizeof line, fault)) != ANTAG_OK)
            return err;
        if (at + s.len + 2 > sizeof row->scenarios)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "scenarios",
                                   "has more than %zu bytes in all", sizeof row->scenarios - 1);
        at += (size_t)snprintf(row->scenarios + at, sizeof row->scenarios - at, "%s%s",
                               at == 0 ? "" : "\n", line);
    }
    return ANTAG_OK;
}

static enum antag_err take_account(const struct antag_opt_slice *given, struct ag_row_app *row,
                                   struct antag_fault *fault)
{
    enum antag_err err;

    if (!given->set)
        return ANTAG_OK;
    if ((err = ag_mailbox_check(given->v, "dashboard_account", fault)) == ANTAG_OK)
        (void)antag_slice_copy(given->v, row->dashboard_account, sizeof row->dashboard_account);
    return err;
}

/* Antom makes it, and merchants open it: a URL of the web. */
static enum antag_err take_url(const struct antag_opt_slice *given, struct ag_row_app *row,
                               struct antag_fault *fault)
{
    struct antag_fault why;
    enum antag_err err;

    if (!given->set)
        return ANTAG_OK;
    if (strcmp(row->role, "isv") != 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "authorization_url",
                               "belongs to an application of the role isv; %s is of the role %s",
                               row->name, row->role);
    if ((err = ag_rule_notify_url(given->v, row->authorization_url, &why)) != ANTAG_OK)
        return antag_fault_set(fault, err, "authorization_url", "%s", antag_fault_text(&why));
    return ANTAG_OK;
}

static enum antag_err take_app(const struct antag_app_create_params *p, struct ag_row_app *row,
                               struct antag_fault *fault)
{
    enum antag_err err;

    memset(row, 0, sizeof *row);
    if ((err = ag_rule_app_name(p->app.v, fault)) != ANTAG_OK ||
        (err = ag_rule_app_role(p->role.v, fault)) != ANTAG_OK ||
        (err = ag_rule_letters(p->region.v, "region", 2, row->region, fault)) != ANTAG_OK ||
        (err = ag_rule_letters(p->currency.v, "currency", 3, row->currency, fault)) != ANTAG_OK ||
        (err = ag_rule_line(p->app.v, "app", row->name, sizeof row->name, fault)) != ANTAG_OK ||
        (err = ag_rule_line(p->role.v, "role", row->role, sizeof row->role, fault)) != ANTAG_OK ||
        (err = ag_rule_line(p->product.v, "product", row->product, sizeof row->product, fault)) !=
            ANTAG_OK ||
        (err = ag_rule_line(p->type.v, "type", row->type, sizeof row->type, fault)) != ANTAG_OK ||
        (err = ag_rule_line(p->description.v, "description", row->description,
                            sizeof row->description, fault)) != ANTAG_OK)
        return err;
    if ((err = take_account(&p->dashboard_account, row, fault)) != ANTAG_OK ||
        (err = take_url(&p->authorization_url, row, fault)) != ANTAG_OK)
        return err;
    return take_scenarios(&p->scenarios, row, fault);
}

static enum antag_err put_profiles(struct ag_steward *st, const struct ag_row_app *app,
                                   struct antag_fault *fault)
{
    static const enum ag_env envs[] = {AG_ENV_SANDBOX, AG_ENV_LIVE};
    struct ag_row_gone gone;
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < 2 && err == ANTAG_OK; i++) {
        struct ag_row_profile p = {
            .app_id = app->id,
            .env = envs[i],
            .response_max_age_ms = -1,
            .notification_max_age_ms = -1,
            .next_key_version = 1,
            .next_antom_version = 1,
        };

        snprintf(p.name, sizeof p.name, "%s/%s", app->name, ag_env_name(envs[i]));
        if ((err = ag_gone_find(st->reg, p.name, &gone, fault)) != ANTAG_OK)
            break;
        if (gone.id != 0) {
            p.next_key_version = gone.next_key_version;
            p.next_antom_version = gone.next_antom_version;
        }
        err = ag_registry_put_profile(st->reg, &p, fault);
    }
    return err;
}

static enum antag_err create(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct antag_app_create_params *p = op->params;
    struct ag_row_app row;
    enum antag_err err;

    (void)w;
    if ((err = take_app(p, &row, fault)) != ANTAG_OK)
        return err;
    if (ag_book_app_named(t->book, p->app.v) != NULL)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "app", "there is an application \"%s\"",
                               row.name);
    row.created_at_ms = t->life.now_ms;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row.name, 0, "%s, %s, %s", row.role,
                row.region, row.product);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = ag_registry_put_app(t->st->reg, &row, fault)) != ANTAG_OK)
        return err;
    op->row_id = row.id;
    return put_profiles(t->st, &row, fault);
}

/* With its profiles. */
static enum antag_err answer(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct ag_row_app *app = ag_book_app(t->book, op->row_id);

    if (app == NULL)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the application's row is gone");
    ag_render_app(w, t->book, app);
    return ANTAG_OK;
}

AG_DEED(app_create, .act = create, .answer = answer)

/* ---- changing what may change */

static enum antag_err refuse_change(const struct antag_opt_slice *given, const char *field,
                                    const char *is, const char *why, struct antag_fault *fault)
{
    if (!given->set || (given->v.len == strlen(is) &&
                        strncasecmp((const char *)given->v.p, is, given->v.len) == 0))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_IMMUTABLE, field, "is %s and stays so: %s", is, why);
}

static enum antag_err refuse_changes(const struct antag_app_set_params *p,
                                     const struct ag_row_app *row, struct antag_fault *fault)
{
    static const char one[] = "Antom gives an application one product and one test currency when "
                              "it is made; for another, make another application";
    enum antag_err err;

    if ((err = refuse_change(&p->region, "region", row->region,
                             "Antom lets nobody change the business region of an application; for "
                             "another region, make another application",
                             fault)) != ANTAG_OK ||
        (err = refuse_change(&p->role, "role", row->role,
                             "the role belongs to the account at Antom; for another role, make "
                             "another application",
                             fault)) != ANTAG_OK ||
        (err = refuse_change(&p->product, "product", row->product, one, fault)) != ANTAG_OK)
        return err;
    return refuse_change(&p->currency, "currency", row->currency, one, fault);
}

static enum antag_err take_changes(const struct antag_app_set_params *p, struct ag_row_app *row,
                                   struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    if (p->type.set)
        err = ag_rule_line(p->type.v, "type", row->type, sizeof row->type, fault);
    if (err == ANTAG_OK && p->description.set)
        err = ag_rule_line(p->description.v, "description", row->description,
                           sizeof row->description, fault);
    if (err == ANTAG_OK)
        err = take_account(&p->dashboard_account, row, fault);
    if (err == ANTAG_OK)
        err = take_url(&p->authorization_url, row, fault);
    if (err == ANTAG_OK && p->scenarios.set) {
        row->scenarios[0] = '\0';
        err = take_scenarios(&p->scenarios, row, fault);
    }
    return err;
}

static enum antag_err set(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_app_set_params *p = op->params;
    const struct ag_row_app *found = NULL;
    struct ag_row_app row;
    enum antag_err err;

    if ((err = ag_book_need_app(t->book, p->app.v, &found, fault)) != ANTAG_OK ||
        (err = refuse_changes(p, found, fault)) != ANTAG_OK)
        return err;
    if (!p->type.set && !p->description.set && !p->scenarios.set && !p->dashboard_account.set &&
        !p->authorization_url.set)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                               "nothing to set: give type, description, scenarios or "
                               "dashboard_account, authorization_url");
    row = *found;
    if ((err = take_changes(p, &row, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row.name, 0, "%s%s%s%s%s",
                p->type.set ? "type " : "", p->description.set ? "description " : "",
                p->scenarios.set ? "scenarios " : "",
                p->dashboard_account.set ? "dashboard_account " : "",
                p->authorization_url.set ? "authorization_url" : "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_app(w, t->book, &row);
    return ag_registry_put_app(t->st->reg, &row, fault);
}

AG_DEED(app_set, .act = set)

enum antag_err ag_op_app_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    (void)op;
    if (err == ANTAG_OK) {
        antag_w_map(w);
        antag_w_key(w, "apps");
        antag_w_array(w);
        for (size_t i = 0; i < t.book->app_count; i++)
            ag_render_app(w, t.book, &t.book->apps[i]);
        antag_w_end(w);
        antag_w_end(w);
    }
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_op_app_show(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_app_params *p = op->params;
    const struct ag_row_app *app = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_book_need_app(t.book, p->app.v, &app, fault)) == ANTAG_OK)
        ag_render_app(w, t.book, app);
out:
    ag_txn_end(&t);
    return err;
}
