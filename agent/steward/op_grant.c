/* op_grant: who may use a profile. */
#include <stdlib.h>
#include <string.h>

#include "agent/steward/deeds.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

static enum antag_err take_who(const struct antag_grant_add_params *p, struct ag_grant *g,
                               struct antag_fault *fault)
{
    enum antag_err err;

    if (p->uid.set + p->gid.set + p->unit.set != 1)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "uid",
                               "a grant names exactly one of uid, gid and unit");
    if (p->unit.set) {
        if ((err = ag_rule_unit(p->unit.v, fault)) != ANTAG_OK)
            return err;
        g->who = AG_WHO_UNIT;
        return antag_slice_copy(p->unit.v, g->unit, sizeof g->unit)
                   ? ANTAG_OK
                   : antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "unit", "is too long");
    }
    g->who = p->uid.set ? AG_WHO_UID : AG_WHO_GID;
    if ((p->uid.set ? p->uid.v : p->gid.v) == AG_UID_STRANGER)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, p->uid.set ? "uid" : "gid",
                               "%u is what the kernel shows for users it cannot map; nobody is "
                               "known by it",
                               AG_UID_STRANGER);
    g->number = (uint32_t)(p->uid.set ? p->uid.v : p->gid.v);
    return ANTAG_OK;
}

static enum antag_err take_ops(const struct antag_opt_value *ops, unsigned *out,
                               struct antag_fault *fault)
{
    for (uint32_t i = 0; i < ops->v.via.array.size; i++) {
        struct antag_slice text = {NULL, 0};
        enum ag_op op;
        enum antag_err err;

        (void)antag_object_slice(&ops->v.via.array.ptr[i], &text);
        if ((err = ag_op_parse(text, &op, fault)) != ANTAG_OK)
            return err;
        *out |= (unsigned)op;
    }
    if (*out == 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "ops",
                               "is a list of at least one of sign, verify and explain");
    return ANTAG_OK;
}

typedef enum antag_err glob_check(struct antag_slice s, const char *field, struct antag_fault *f);

static enum antag_err take_globs(const struct antag_opt_value *given, const char *field,
                                 glob_check *check, char ***globs, size_t *count,
                                 struct antag_fault *fault)
{
    uint32_t n = given->set ? given->v.via.array.size : 0;

    if (n > ANTAG_GLOBS_PER_GRANT)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field, "has at most %d globs",
                               ANTAG_GLOBS_PER_GRANT);
    if (n > 0 && (*globs = calloc(n, sizeof **globs)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a grant");
    for (uint32_t i = 0; i < n; i++) {
        struct antag_slice text = {NULL, 0};
        enum antag_err err;

        (void)antag_object_slice(&given->v.via.array.ptr[i], &text);
        if ((err = check(text, field, fault)) != ANTAG_OK)
            return err;
        if (((*globs)[i] = malloc(text.len + 1)) == NULL)
            return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a grant");
        (void)antag_slice_copy(text, (*globs)[i], text.len + 1);
        *count = i + 1;
    }
    return ANTAG_OK;
}

/* A rate without a burst: what comes in a second may come at once. */
static enum antag_err take_rate(const struct antag_grant_add_params *p, struct ag_bucket *out,
                                struct antag_fault *fault)
{
    if (!p->rate.set) {
        if (p->burst.set)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "burst",
                                   "is given with a rate only");
        return ANTAG_OK;
    }
    out->rate = (uint32_t)p->rate.v;
    out->burst = (uint32_t)(p->burst.set ? p->burst.v : p->rate.v);
    return ANTAG_OK;
}

static enum antag_err take_grant(const struct antag_grant_add_params *p, struct ag_grant *g,
                                 struct antag_fault *fault)
{
    enum antag_err err;

    if ((err = take_who(p, g, fault)) != ANTAG_OK)
        return err;
    if ((err = take_ops(&p->ops, &g->ops, fault)) != ANTAG_OK)
        return err;
    if ((err = take_globs(&p->methods, "methods", ag_glob_check_method, &g->methods,
                          &g->method_count, fault)) != ANTAG_OK)
        return err;
    if ((err = take_globs(&p->paths, "paths", ag_glob_check_path, &g->paths, &g->path_count,
                          fault)) != ANTAG_OK)
        return err;
    if ((err = take_globs(&p->merchants, "merchants", ag_glob_check_merchant, &g->merchants,
                          &g->merchant_count, fault)) != ANTAG_OK)
        return err;
    g->query = p->query.set && p->query.v;
    if (p->max_body.set && p->max_body.v > ANTAG_BODY_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "max_body", "is at most %d",
                               ANTAG_BODY_MAX);
    g->max_body = p->max_body.set ? p->max_body.v : 0;
    return take_rate(p, &g->rate, fault);
}

static bool same_globs(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_grant(const struct ag_grant *a, const struct ag_grant *b)
{
    return a->profile_id == b->profile_id && a->who == b->who && a->number == b->number &&
           strcmp(a->unit, b->unit) == 0 && a->ops == b->ops && a->query == b->query &&
           a->max_body == b->max_body && a->rate.rate == b->rate.rate &&
           a->rate.burst == b->rate.burst &&
           same_globs(a->methods, a->method_count, b->methods, b->method_count) &&
           same_globs(a->paths, a->path_count, b->paths, b->path_count) &&
           same_globs(a->merchants, a->merchant_count, b->merchants, b->merchant_count);
}

static enum antag_err refuse_same(const struct ag_book *b, const struct ag_grant *g,
                                  struct antag_fault *fault)
{
    for (size_t i = 0; i < b->grant_count; i++)
        if (same_grant(&b->grants[i], g))
            return antag_fault_set(fault, ANTAG_ERR_EXISTS, NULL, "grant %llu says just this",
                                   (unsigned long long)b->grants[i].id);
    return ANTAG_OK;
}

/* A grant in a few words, for the record. */
static void describe(const struct ag_grant *g, char *out, size_t size)
{
    char who[ANTAG_UNIT_MAX + 16], rate[48] = "";

    if (g->who == AG_WHO_UNIT)
        snprintf(who, sizeof who, "unit %s", g->unit);
    else
        snprintf(who, sizeof who, "%s %u", g->who == AG_WHO_UID ? "uid" : "gid", g->number);
    if (g->rate.rate != 0)
        snprintf(rate, sizeof rate, ", %u a second, %u at once", g->rate.rate, g->rate.burst);
    snprintf(out, size, "%.120s:%s%s%s%s%s", who, (g->ops & AG_OP_SIGN) != 0 ? " sign" : "",
             (g->ops & AG_OP_VERIFY) != 0 ? " verify" : "",
             (g->ops & AG_OP_EXPLAIN) != 0 ? " explain" : "", g->query ? ", query" : "", rate);
}

static enum antag_err put(struct ag_txn *t, struct ag_task *op, struct ag_grant *g,
                          struct antag_writer *w, struct antag_fault *fault)
{
    const struct antag_grant_add_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    char said[200];
    enum antag_err err;

    if ((err = ag_book_need_profile(t->book, p->profile.v, &profile, fault)) != ANTAG_OK)
        return err;
    g->profile_id = profile->id;
    if ((err = refuse_same(t->book, g, fault)) != ANTAG_OK)
        return err;
    describe(g, said, sizeof said);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, 0, "%s", said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = ag_registry_put_grant(t->st->reg, g, fault)) != ANTAG_OK)
        return err;
    ag_render_grant(w, t->book, g);
    return ANTAG_OK;
}

static enum antag_err add(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    struct ag_grant g = {0};
    enum antag_err err = take_grant(op->params, &g, fault);

    if (err == ANTAG_OK)
        err = put(t, op, &g, w, fault);
    ag_grant_fini(&g);
    return err;
}

AG_DEED(grant_add, .act = add)

enum antag_err ag_op_grant_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
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
    antag_w_key(w, "grants");
    antag_w_array(w);
    for (size_t i = 0; i < t.book->grant_count; i++)
        if (only == NULL || t.book->grants[i].profile_id == only->id)
            ag_render_grant(w, t.book, &t.book->grants[i]);
    antag_w_end(w);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}

static const struct ag_grant *find(const struct ag_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->grant_count; i++)
        if (b->grants[i].id == id)
            return &b->grants[i];
    return NULL;
}

static enum antag_err take_away(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    const struct antag_grant_id_params *p = op->params;
    const struct ag_grant *g = find(t->book, p->grant.v);
    const struct ag_row_profile *profile;
    char said[200];
    enum antag_err err;

    if (g == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "grant",
                               "there is no grant %llu; `antomctl grant list` shows them",
                               (unsigned long long)p->grant.v);
    describe(g, said, sizeof said);
    profile = ag_book_profile(t->book, g->profile_id);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile == NULL ? "" : profile->name, 0,
                "grant %llu: %s", (unsigned long long)g->id, said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_grant(w, t->book, g);
    return ag_registry_delete_grant(t->st->reg, p->grant.v, fault);
}

AG_DEED(grant_remove, .act = take_away)
