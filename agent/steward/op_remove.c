/* op_remove: an application goes, with all that belongs to it. What is left of its profiles is how far their versions
 * had come, so that one of the same name goes on counting. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/alter.h"
#include "agent/steward/changes.h"
#include "agent/steward/deeds.h"
#include "agent/steward/render.h"
#include "agent/steward/rotation.h"

/* No key that signs, or was about to. */
static enum antag_err check_keys(struct ag_steward *st, const struct ag_book *b,
                                 const struct ag_row_profile *p, struct antag_fault *fault)
{
    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_key *k = &b->keys[i];

        if (k->profile_id == p->id &&
            (k->state == AG_KEY_STAGED || k->state == AG_KEY_ACTIVE || k->state == AG_KEY_RETIRING))
            return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "app",
                                   "%s key %u is %s; stop it first: `antomctl key suspend %s %u`",
                                   p->name, k->version, ag_key_state_name(k->state), p->name,
                                   k->version);
        if (k->profile_id == p->id && k->state != AG_KEY_DESTROYED &&
            ag_keyring_is_outside(st, k->keyring))
            return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "app",
                                   "%s key %u is in keyring \"%s\"; destroy it there first: "
                                   "`antomctl key destroy %s %u`",
                                   p->name, k->version, k->keyring, p->name, k->version);
    }
    for (size_t i = 0; i < b->intent_count; i++)
        if (b->intents[i].profile_id == p->id)
            return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "app",
                                   "a key of %s is being made; try again", p->name);
    return ag_rotation_none_open(b, p, fault);
}

/* Rows of one kind that belong to the profile. */
#define REMOVE(K, rows, count)                                                                     \
    static enum antag_err remove_##K(struct ag_txn *t, uint64_t profile_id,                        \
                                     struct antag_fault *fault)                                    \
    {                                                                                              \
        enum antag_err err = ANTAG_OK;                                                             \
                                                                                                   \
        for (size_t i = 0; i < t->book->count && err == ANTAG_OK; i++)                             \
            if (t->book->rows[i].profile_id == profile_id)                                         \
                err = ag_registry_delete_##K(t->st->reg, t->book->rows[i].id, fault);              \
        return err;                                                                                \
    }
REMOVE(rotation, rotations, rotation_count)
REMOVE(antom_key, antom_keys, antom_key_count)
REMOVE(grant, grants, grant_count)
REMOVE(fence, fences, fence_count)

/* Wiped before its row goes, as a destruction would. */
static enum antag_err remove_keys(struct ag_txn *t, uint64_t profile_id, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < t->book->key_count && err == ANTAG_OK; i++) {
        struct ag_row_key row = t->book->keys[i];

        if (row.profile_id != profile_id)
            continue;
        if (row.state != AG_KEY_DESTROYED) {
            ag_secret_wipe(row.sealed, sizeof row.sealed);
            row.sealed_len = 0;
            row.state = AG_KEY_DESTROYED;
            err = ag_registry_put_key(t->st->reg, &row, fault);
        }
        if (err == ANTAG_OK)
            err = ag_registry_delete_key(t->st->reg, row.id, fault);
    }
    return err;
}

struct of_profile {
    struct ag_txn *t;
    uint64_t profile_id;
    struct antag_fault *fault;
};

static enum antag_err remove_merchant(const struct ag_row_merchant *row, void *ctx)
{
    struct of_profile *o = ctx;

    return row->profile_id == o->profile_id
               ? ag_registry_delete_merchant(o->t->st->reg, row->id, o->fault)
               : ANTAG_OK;
}

struct find_gone {
    const char *name;
    struct ag_row_gone row;
};

static enum antag_err visit_gone(const struct ag_row_gone *row, void *ctx)
{
    struct find_gone *f = ctx;

    if (strcmp(row->name, f->name) == 0)
        f->row = *row;
    return ANTAG_OK;
}

enum antag_err ag_gone_find(struct ag_registry *r, const char *profile, struct ag_row_gone *out,
                            struct antag_fault *fault)
{
    struct find_gone f = {.name = profile};
    enum antag_err err = ag_registry_each_gone(r, visit_gone, &f, fault);

    *out = f.row;
    return err;
}

static enum antag_err remember(struct ag_txn *t, const struct ag_row_profile *p,
                               struct antag_fault *fault)
{
    struct ag_row_gone row;
    enum antag_err err = ag_gone_find(t->st->reg, p->name, &row, fault);

    if (err != ANTAG_OK)
        return err;
    snprintf(row.name, sizeof row.name, "%s", p->name);
    row.next_key_version = p->next_key_version;
    row.next_antom_version = p->next_antom_version;
    row.at_ms = t->life.now_ms;
    return ag_registry_put_gone(t->st->reg, &row, fault);
}

static enum antag_err remove_profile(struct ag_txn *t, const struct ag_row_profile *p,
                                     struct antag_fault *fault)
{
    struct of_profile of = {t, p->id, fault};
    enum antag_err err;

    if ((err = remember(t, p, fault)) != ANTAG_OK ||
        (err = remove_rotation(t, p->id, fault)) != ANTAG_OK ||
        (err = remove_keys(t, p->id, fault)) != ANTAG_OK ||
        (err = remove_antom_key(t, p->id, fault)) != ANTAG_OK ||
        (err = remove_grant(t, p->id, fault)) != ANTAG_OK ||
        (err = remove_fence(t, p->id, fault)) != ANTAG_OK ||
        (err = ag_registry_each_merchant(t->st->reg, remove_merchant, &of, fault)) != ANTAG_OK)
        return err;
    return ag_registry_delete_profile(t->st->reg, p->id, fault);
}

static enum antag_err remove_app(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_app_params *p = op->params;
    const struct ag_row_app *app = NULL;
    const struct ag_row_profile *live = NULL, *sandbox = NULL;
    enum antag_err err;

    if ((err = ag_book_need_app(t->book, p->app.v, &app, fault)) != ANTAG_OK ||
        (err = ag_book_need_both(t->book, app, &live, &sandbox, fault)) != ANTAG_OK)
        return err;
    if ((err = check_keys(t->st, t->book, live, fault)) != ANTAG_OK ||
        (err = check_keys(t->st, t->book, sandbox, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, app->name, 0, "with its keys and grants");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_alter_note(t, app->name, "an application", "");
    /* the live one first: it is the one whose quorum counts */
    if ((err = remove_profile(t, live, fault)) != ANTAG_OK ||
        (err = remove_profile(t, sandbox, fault)) != ANTAG_OK)
        return err;
    ag_render_app(w, t->book, app);
    return ag_registry_delete_app(t->st->reg, app->id, fault);
}

AG_DEED(app_remove, .act = remove_app, .keys = true)
