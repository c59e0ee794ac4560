/* A grant and its row: the globs, which the grant owns one by one, stand in the row joined with line
 * feeds. No glob is empty or holds one, so none can turn into two. */
#include <stdlib.h>
#include <string.h>

#include "agent/steward/registry/registry_internal.h"

#define SEPARATOR '\n'

static void free_globs(char **globs, size_t count)
{
    for (size_t i = 0; globs != NULL && i < count; i++)
        free(globs[i]);
    free(globs);
}

void ag_grant_fini(struct ag_grant *g)
{
    if (g == NULL)
        return;
    free_globs(g->methods, g->method_count);
    free_globs(g->paths, g->path_count);
    free_globs(g->merchants, g->merchant_count);
    *g = (struct ag_grant){0};
}

static enum antag_err join(char *const *globs, size_t count, size_t glob_max, const char *name,
                           char *out, size_t size, struct antag_fault *fault)
{
    size_t at = 0;

    if (count > ANTAG_GLOBS_PER_GRANT)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, name,
                               "a grant has at most %d %s, got %zu", ANTAG_GLOBS_PER_GRANT, name,
                               count);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(globs[i]);

        if (len == 0 || len > glob_max || strchr(globs[i], SEPARATOR) != NULL ||
            len + 2 > size - at)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, name,
                                   "%s: each has 1 to %zu bytes and no line feed", name, glob_max);
        if (i > 0)
            out[at++] = SEPARATOR;
        memcpy(out + at, globs[i], len);
        at += len;
    }
    out[at] = '\0';
    return ANTAG_OK;
}

static enum antag_err split(const char *text, char ***globs, size_t *count)
{
    char **made = NULL;
    size_t n = 0, want = text[0] == '\0' ? 0 : 1;

    for (const char *p = text; *p != '\0'; p++)
        want += *p == SEPARATOR;
    if (want > 0 && (made = calloc(want, sizeof(*made))) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    for (; n < want; n++) {
        const char *end = strchrnul(text, SEPARATOR);

        if ((made[n] = strndup(text, (size_t)(end - text))) == NULL) {
            free_globs(made, n);
            return ANTAG_ERR_NO_MEMORY;
        }
        text = end + 1;
    }
    *globs = made;
    *count = want;
    return ANTAG_OK;
}

static enum antag_err to_row(const struct ag_grant *g, struct ag_row_grant *row,
                             struct antag_fault *fault)
{
    enum antag_err err;

    memset(row, 0, sizeof(*row));
    row->id = g->id;
    row->profile_id = g->profile_id;
    row->who = g->who;
    row->number = g->number;
    memcpy(row->unit, g->unit, sizeof(row->unit));
    row->ops = g->ops;
    row->query = g->query;
    row->max_body = g->max_body;
    row->rate = g->rate.rate;
    row->burst = g->rate.burst;
    if ((err = join(g->methods, g->method_count, ANTAG_METHOD_MAX, "methods", row->methods,
                    sizeof(row->methods), fault)) != ANTAG_OK)
        return err;
    if ((err = join(g->paths, g->path_count, ANTAG_GLOB_MAX, "paths", row->paths,
                    sizeof(row->paths), fault)) != ANTAG_OK)
        return err;
    return join(g->merchants, g->merchant_count, ANTAG_MERCHANT_MAX, "merchants", row->merchants,
                sizeof(row->merchants), fault);
}

static enum antag_err from_row(const struct ag_row_grant *row, struct ag_grant *out,
                               struct antag_fault *fault)
{
    struct ag_grant g = {.id = row->id,
                         .profile_id = row->profile_id,
                         .who = row->who,
                         .number = row->number,
                         .ops = row->ops,
                         .query = row->query,
                         .max_body = row->max_body,
                         .rate = {row->rate, row->burst}};

    memcpy(g.unit, row->unit, sizeof(g.unit));
    if (split(row->methods, &g.methods, &g.method_count) != ANTAG_OK ||
        split(row->paths, &g.paths, &g.path_count) != ANTAG_OK ||
        split(row->merchants, &g.merchants, &g.merchant_count) != ANTAG_OK) {
        ag_grant_fini(&g);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "%s", "");
    }
    *out = g;
    return ANTAG_OK;
}

enum antag_err ag_registry_get_grant(struct ag_registry *r, uint64_t id, struct ag_grant *out,
                                     struct antag_fault *fault)
{
    enum antag_err err = ag_rows_get(r, AG_KIND_GRANT, id, &r->old, fault);

    return err == ANTAG_OK ? from_row(&r->old.grant, out, fault) : err;
}

enum antag_err ag_registry_put_grant(struct ag_registry *r, struct ag_grant *grant,
                                     struct antag_fault *fault)
{
    struct ag_row_grant row;
    enum antag_err err = to_row(grant, &row, fault);

    if (err != ANTAG_OK) {
        r->failed = true;
        return err;
    }
    if ((err = ag_rows_put(r, AG_KIND_GRANT, &row, fault)) == ANTAG_OK)
        grant->id = row.id;
    return err;
}

enum antag_err ag_registry_each_grant(struct ag_registry *r, ag_registry_visit_grant *visit,
                                      void *ctx, struct antag_fault *fault)
{
    const struct ag_regmac *at = ag_regset_after(&r->sets[AG_KIND_GRANT], 0);
    enum antag_err err = ANTAG_OK;

    while (err == ANTAG_OK && at != NULL) {
        struct ag_grant g;
        uint64_t id = at->id;

        if ((err = ag_registry_get_grant(r, id, &g, fault)) == ANTAG_OK) {
            err = visit(&g, ctx);
            ag_grant_fini(&g);
        }
        at = ag_regset_after(&r->sets[AG_KIND_GRANT], id);
    }
    return err;
}
