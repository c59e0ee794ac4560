/* op_fence: paths that a profile may use although they look like the other environment's. */
#include <string.h>

#include "agent/steward/deeds.h"
#include "agent/steward/render.h"

static enum antag_err add(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_fence_add_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    struct ag_row_fence row = {0};
    enum antag_err err;

    if ((err = ag_glob_check_path(p->path.v, "path", fault)) != ANTAG_OK ||
        (err = ag_book_need_profile(t->book, p->profile.v, &profile, fault)) != ANTAG_OK)
        return err;
    for (size_t i = 0; i < t->book->fence_count; i++)
        if (t->book->fences[i].profile_id == profile->id &&
            antag_slice_is(p->path.v, t->book->fences[i].path))
            return antag_fault_set(fault, ANTAG_ERR_EXISTS, "path",
                                   "%s has this exception as fence %llu", profile->name,
                                   (unsigned long long)t->book->fences[i].id);
    row.profile_id = profile->id;
    if (!antag_slice_copy(p->path.v, row.path, sizeof row.path))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "path", "has at most %d bytes",
                               ANTAG_GLOB_MAX);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, 0, "%s", row.path);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = ag_registry_put_fence(t->st->reg, &row, fault)) != ANTAG_OK)
        return err;
    ag_render_fence(w, t->book, &row);
    return ANTAG_OK;
}

AG_DEED(fence_add, .act = add)

enum antag_err ag_op_fence_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    const struct antag_profile_opt_params *p = op->params;
    const struct ag_row_profile *only = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if (p->profile.set &&
        (err = ag_book_need_profile(t.book, p->profile.v, &only, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(w);
    antag_w_key(w, "fences");
    antag_w_array(w);
    for (size_t i = 0; i < t.book->fence_count; i++)
        if (only == NULL || t.book->fences[i].profile_id == only->id)
            ag_render_fence(w, t.book, &t.book->fences[i]);
    antag_w_end(w);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}

static const struct ag_row_fence *find(const struct ag_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->fence_count; i++)
        if (b->fences[i].id == id)
            return &b->fences[i];
    return NULL;
}

static enum antag_err take_away(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    const struct antag_fence_id_params *p = op->params;
    const struct ag_row_fence *row = find(t->book, p->fence.v);
    const struct ag_row_profile *profile;
    enum antag_err err;

    if (row == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "fence",
                               "there is no fence exception %llu; `antomctl fence list` shows them",
                               (unsigned long long)p->fence.v);
    profile = ag_book_profile(t->book, row->profile_id);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile == NULL ? "" : profile->name, 0, "%s",
                row->path);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_fence(w, t->book, row);
    return ag_registry_delete_fence(t->st->reg, row->id, fault);
}

AG_DEED(fence_remove, .act = take_away)
