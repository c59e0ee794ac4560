/* op_onboard: where an application stands on its way to launch, and what staff says is done. */
#include "agent/steward/deeds.h"
#include "agent/steward/onboard.h"

static bool is_done(const struct ag_onboard_step *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (!s->items[i].done)
            return false;
    return true;
}

static void render_step(struct antag_writer *w, size_t number, const struct ag_onboard_step *s)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "step", number);
    antag_w_kv_str(w, "title", s->title);
    antag_w_kv_bool(w, "done", is_done(s));
    antag_w_key(w, "items");
    antag_w_array(w);
    for (size_t i = 0; i < s->count; i++) {
        antag_w_map(w);
        antag_w_kv_bool(w, "done", s->items[i].done);
        antag_w_kv_str(w, "what", s->items[i].what);
        if (!s->items[i].done)
            antag_w_kv_str(w, "how", s->items[i].how);
        antag_w_end(w);
    }
    antag_w_end(w);
    antag_w_end(w);
}

struct counting {
    const struct ag_book *b;
    const struct ag_row_app *app;
    size_t live;
};

static enum antag_err count_merchant(const struct ag_row_merchant *row, void *ctx)
{
    struct counting *c = ctx;
    const struct ag_row_profile *p = ag_book_profile(c->b, row->profile_id);

    c->live += p != NULL && p->app_id == c->app->id && p->env == AG_ENV_LIVE;
    return ANTAG_OK;
}

static enum antag_err render(struct antag_writer *w, struct ag_txn *t, const struct ag_row_app *app,
                             struct antag_fault *fault)
{
    struct counting c = {t->book, app, 0};
    struct ag_onboard_step steps[AG_ONBOARD_STEPS_MAX];
    enum antag_err err = ag_registry_each_merchant(t->st->reg, count_merchant, &c, fault);
    size_t n = ag_onboard(t->book, app, c.live, steps);

    antag_w_map(w);
    antag_w_kv_str(w, "app", app->name);
    antag_w_kv_str(w, "role", app->role);
    antag_w_key(w, "steps");
    antag_w_array(w);
    for (size_t i = 0; i < n; i++)
        render_step(w, i + 1, &steps[i]);
    antag_w_end(w);
    antag_w_end(w);
    return err;
}

enum antag_err ag_op_onboard(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct antag_app_params *p = op->params;
    const struct ag_row_app *app = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_book_need_app(t.book, p->app.v, &app, fault)) == ANTAG_OK)
        err = render(w, &t, app, fault);
    ag_txn_end(&t);
    return err;
}

static enum antag_err confirm(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_onboard_confirm_params *p = op->params;
    unsigned bit = ag_confirmation_of(p->what.v);
    const struct ag_row_app *found = NULL;
    struct ag_row_app row;
    enum antag_err err;

    (void)w;
    if (bit == 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "what",
                               "is reconciliation, acceptance or contract");
    if ((err = ag_book_need_app(t->book, p->app.v, &found, fault)) != ANTAG_OK)
        return err;
    if ((found->confirmed & bit) != 0)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "what", "%.*s is confirmed for %s already",
                               (int)p->what.v.len, (const char *)p->what.v.p, found->name);
    row = *found;
    row.confirmed |= bit;
    op->row_id = row.id;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row.name, 0, "%.*s", (int)p->what.v.len,
                (const char *)p->what.v.p);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_app(t->st->reg, &row, fault);
}

static enum antag_err answer(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct ag_row_app *app = ag_book_app(t->book, op->row_id);

    if (app == NULL)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the application's row is gone");
    return render(w, t, app, fault);
}

AG_DEED(onboard_confirm, .act = confirm, .answer = answer)
