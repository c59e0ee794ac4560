/* What a write alters, column by column, for whoever watches the transaction. */
#include "agent/steward/registry/registry_internal.h"

void ag_registry_watch(struct ag_registry *r, ag_registry_watch_fn *watch, void *ctx)
{
    r->watch = watch;
    r->watch_ctx = ctx;
}

/* Rows by which the agent works, not what it works with. */
static bool is_told(enum ag_kind_id id)
{
    switch (id) {
    case AG_KIND_DEED:
    case AG_KIND_MAIL:
    case AG_KIND_CODE:
    case AG_KIND_CHANGE:
    case AG_KIND_APPROVAL:
    case AG_KIND_RECOVERY:
        return false;
    default:
        return true;
    }
}

void ag_regdiff_tell(const struct ag_registry *r, enum ag_kind_id id, const void *was,
                     const void *is)
{
    const struct ag_kind *kind = &r->plan->kinds[id];

    if (r->watch == NULL || !is_told(id))
        return;
    for (size_t i = 0; i < kind->col_count; i++) {
        const struct ag_col *col = &kind->cols[i];
        struct ag_regdiff d = {.table = kind->table,
                               .column = col->name,
                               .id = was == NULL ? 0 : *(const uint64_t *)was,
                               .row = is != NULL ? is : was,
                               .comes = was == NULL,
                               .goes = is == NULL};

        if (was != NULL && is != NULL && ag_regcol_same(col, was, is))
            continue;
        if (was != NULL)
            d.was = ag_regcol_value(col, was);
        if (is != NULL)
            d.is = ag_regcol_value(col, is);
        r->watch(&d, r->watch_ctx);
    }
}
