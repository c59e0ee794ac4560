#include "agent/steward/book.h"

#include <stdlib.h>
#include <string.h>

/* Room for one row more: the capacity is the next power of two of the count. */
static void *room_for_one(void **rows, size_t count, size_t size)
{
    size_t cap = count == 0 ? 1 : 2 * count;
    void *grown;

    if ((count & (count - 1)) == 0) {
        if ((grown = reallocarray(*rows, cap, size)) == NULL)
            return NULL;
        *rows = grown;
    }
    return (char *)*rows + count * size;
}

#define BOOK_VISIT(K, T, rows, count)                                                              \
    static enum antag_err visit_##K(const T *row, void *ctx)                                       \
    {                                                                                              \
        struct ag_book *b = ctx;                                                                   \
        void *list = b->rows;                                                                      \
        T *place = room_for_one(&list, b->count, sizeof *row);                                     \
                                                                                                   \
        b->rows = list;                                                                            \
        if (place == NULL)                                                                         \
            return ANTAG_ERR_NO_MEMORY;                                                            \
        *place = *row;                                                                             \
        b->count++;                                                                                \
        return ANTAG_OK;                                                                           \
    }
BOOK_VISIT(app, struct ag_row_app, apps, app_count)
BOOK_VISIT(profile, struct ag_row_profile, profiles, profile_count)
BOOK_VISIT(key, struct ag_row_key, keys, key_count)
BOOK_VISIT(antom_key, struct ag_row_antom_key, antom_keys, antom_key_count)
BOOK_VISIT(fence, struct ag_row_fence, fences, fence_count)
BOOK_VISIT(staff, struct ag_row_staff, staff, staff_count)
BOOK_VISIT(intent, struct ag_row_intent, intents, intent_count)
BOOK_VISIT(rotation, struct ag_row_rotation, rotations, rotation_count)

static char **copy_globs(char *const *from, size_t count)
{
    char **to = count == 0 ? NULL : calloc(count, sizeof *to);

    for (size_t i = 0; to != NULL && i < count; i++) {
        if ((to[i] = strdup(from[i])) == NULL) {
            while (i > 0)
                free(to[--i]);
            free(to);
            return NULL;
        }
    }
    return to;
}

/* The visited grant's globs belong to the registry: the book keeps copies. */
static enum antag_err visit_grant(const struct ag_grant *row, void *ctx)
{
    struct ag_book *b = ctx;
    void *list = b->grants;
    struct ag_grant *place = room_for_one(&list, b->grant_count, sizeof *place);

    b->grants = list;
    if (place == NULL)
        return ANTAG_ERR_NO_MEMORY;
    *place = *row;
    place->methods = copy_globs(row->methods, row->method_count);
    place->paths = copy_globs(row->paths, row->path_count);
    place->merchants = copy_globs(row->merchants, row->merchant_count);
    b->grant_count++; /* ag_book_free takes it from here */
    if ((row->method_count > 0 && place->methods == NULL) ||
        (row->path_count > 0 && place->paths == NULL) ||
        (row->merchant_count > 0 && place->merchants == NULL)) {
        place->method_count = place->methods == NULL ? 0 : row->method_count;
        place->path_count = place->paths == NULL ? 0 : row->path_count;
        place->merchant_count = place->merchants == NULL ? 0 : row->merchant_count;
        return ANTAG_ERR_NO_MEMORY;
    }
    return ANTAG_OK;
}

enum antag_err ag_book_load(struct ag_registry *r, struct ag_book **out, struct antag_fault *fault)
{
    struct ag_book *b = calloc(1, sizeof *b);
    enum antag_err err;

    if (b == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the registry");
    antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the registry");
    b->epoch = ag_registry_epoch(r);
    if ((err = ag_registry_each_app(r, visit_app, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_profile(r, visit_profile, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_key(r, visit_key, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_antom_key(r, visit_antom_key, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_grant(r, visit_grant, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_fence(r, visit_fence, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_staff(r, visit_staff, b, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_each_intent(r, visit_intent, b, fault)) != ANTAG_OK)
        goto out;
    err = ag_registry_each_rotation(r, visit_rotation, b, fault);
out:
    if (err != ANTAG_OK) {
        ag_book_free(b);
        return err;
    }
    *out = b;
    return ANTAG_OK;
}

void ag_book_free(struct ag_book *b)
{
    if (b == NULL)
        return;
    for (size_t i = 0; i < b->grant_count; i++)
        ag_grant_fini(&b->grants[i]);
    free(b->apps);
    free(b->profiles);
    free(b->keys);
    free(b->antom_keys);
    free(b->grants);
    free(b->fences);
    free(b->staff);
    free(b->intents);
    free(b->rotations);
    ag_merchants_release(b->merchants);
    free(b);
}

const struct ag_row_rotation *ag_book_rotation(const struct ag_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->rotation_count; i++)
        if (b->rotations[i].id == id)
            return &b->rotations[i];
    return NULL;
}

const struct ag_row_rotation *ag_book_open_rotation(const struct ag_book *b, uint64_t profile_id)
{
    for (size_t i = 0; i < b->rotation_count; i++)
        if (b->rotations[i].profile_id == profile_id && !ag_rotation_is_over(b->rotations[i].state))
            return &b->rotations[i];
    return NULL;
}

const struct ag_row_app *ag_book_app(const struct ag_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->app_count; i++)
        if (b->apps[i].id == id)
            return &b->apps[i];
    return NULL;
}

const struct ag_row_app *ag_book_app_named(const struct ag_book *b, struct antag_slice name)
{
    for (size_t i = 0; i < b->app_count; i++)
        if (antag_slice_is(name, b->apps[i].name))
            return &b->apps[i];
    return NULL;
}

const struct ag_row_profile *ag_book_profile(const struct ag_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->profile_count; i++)
        if (b->profiles[i].id == id)
            return &b->profiles[i];
    return NULL;
}

const struct ag_row_profile *ag_book_profile_named(const struct ag_book *b, struct antag_slice name)
{
    for (size_t i = 0; i < b->profile_count; i++)
        if (antag_slice_is(name, b->profiles[i].name))
            return &b->profiles[i];
    return NULL;
}

const struct ag_row_profile *ag_book_profile_of(const struct ag_book *b, uint64_t app_id,
                                                enum ag_env env)
{
    for (size_t i = 0; i < b->profile_count; i++)
        if (b->profiles[i].app_id == app_id && b->profiles[i].env == env)
            return &b->profiles[i];
    return NULL;
}

const struct ag_row_key *ag_book_key(const struct ag_book *b, uint64_t handle)
{
    for (size_t i = 0; i < b->key_count; i++)
        if (b->keys[i].id == handle)
            return &b->keys[i];
    return NULL;
}

const struct ag_row_key *ag_book_key_version(const struct ag_book *b, uint64_t profile_id,
                                             uint64_t version)
{
    for (size_t i = 0; i < b->key_count; i++)
        if (b->keys[i].profile_id == profile_id && b->keys[i].version == version)
            return &b->keys[i];
    return NULL;
}

const struct ag_row_key *ag_book_active_key(const struct ag_book *b, uint64_t profile_id)
{
    for (size_t i = 0; i < b->key_count; i++)
        if (b->keys[i].profile_id == profile_id && b->keys[i].state == AG_KEY_ACTIVE)
            return &b->keys[i];
    return NULL;
}

const struct ag_row_antom_key *ag_book_antom_version(const struct ag_book *b, uint64_t profile_id,
                                                     uint64_t version)
{
    for (size_t i = 0; i < b->antom_key_count; i++)
        if (b->antom_keys[i].profile_id == profile_id && b->antom_keys[i].version == version)
            return &b->antom_keys[i];
    return NULL;
}

const struct ag_row_staff *ag_book_staff(const struct ag_book *b, uint64_t uid)
{
    for (size_t i = 0; i < b->staff_count; i++)
        if (b->staff[i].uid == uid)
            return &b->staff[i];
    return NULL;
}

const struct ag_row_antom_key *ag_book_active_antom_key(const struct ag_book *b,
                                                        uint64_t profile_id)
{
    for (size_t i = 0; i < b->antom_key_count; i++)
        if (b->antom_keys[i].profile_id == profile_id &&
            b->antom_keys[i].state == AG_ANTOM_KEY_ACTIVE)
            return &b->antom_keys[i];
    return NULL;
}

enum antag_err ag_book_need_profile(const struct ag_book *b, struct antag_slice name,
                                    const struct ag_row_profile **out, struct antag_fault *fault)
{
    const struct ag_row_profile *p = ag_book_profile_named(b, name);

    if (p == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "profile",
                               "there is no profile \"%.*s\"; a profile is APP/sandbox or "
                               "APP/live, `antomctl app list` shows them",
                               (int)(name.len > ANTAG_PROFILE_MAX ? ANTAG_PROFILE_MAX : name.len),
                               name.p == NULL ? "" : (const char *)name.p);
    *out = p;
    return ANTAG_OK;
}

enum antag_err ag_book_need_app(const struct ag_book *b, struct antag_slice name,
                                const struct ag_row_app **out, struct antag_fault *fault)
{
    *out = ag_book_app_named(b, name);
    if (*out != NULL)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "app",
                           "there is no application \"%.*s\"; `antomctl app list` shows them",
                           (int)name.len, name.len > 0 ? (const char *)name.p : "");
}

enum antag_err ag_book_need_both(const struct ag_book *b, const struct ag_row_app *app,
                                 const struct ag_row_profile **live,
                                 const struct ag_row_profile **sandbox, struct antag_fault *fault)
{
    *live = ag_book_profile_of(b, app->id, AG_ENV_LIVE);
    *sandbox = ag_book_profile_of(b, app->id, AG_ENV_SANDBOX);
    if (*live != NULL && *sandbox != NULL)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "%s lacks a profile", app->name);
}

enum antag_err ag_book_need_key(const struct ag_book *b, struct antag_slice profile,
                                uint64_t version, const struct ag_row_profile **profile_out,
                                const struct ag_row_key **out, struct antag_fault *fault)
{
    const struct ag_row_profile *p = NULL;
    const struct ag_row_key *k;
    enum antag_err err;

    if ((err = ag_book_need_profile(b, profile, &p, fault)) != ANTAG_OK)
        return err;
    /* the analyzer cannot see that `p` is set when need_profile says OK */
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference) */
    if ((k = ag_book_key_version(b, p->id, version)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "version",
                               "%s has no merchant key version %llu; `antomctl key list %s` "
                               "shows them",
                               p->name, (unsigned long long)version, p->name);
    *profile_out = p;
    *out = k;
    return ANTAG_OK;
}

struct antag_slice ag_key_spki(const struct ag_row_key *k)
{
    return (struct antag_slice){k->spki, k->spki_len};
}

struct antag_slice ag_antom_key_spki(const struct ag_row_antom_key *k)
{
    return (struct antag_slice){k->spki, k->spki_len};
}

/* ---- merchants */

struct ag_merchant_list *ag_merchants_hold(struct ag_merchant_list *l)
{
    atomic_fetch_add(&l->refs, 1);
    return l;
}

void ag_merchants_release(struct ag_merchant_list *l)
{
    if (l == NULL || atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    free(l->v);
    free(l);
}

static enum antag_err visit_merchant(const struct ag_row_merchant *row, void *ctx)
{
    struct ag_merchant_list *l = ctx;

    if (l->count == l->cap) /* as many as there were when it was made */
        return ANTAG_ERR_INTERNAL;
    l->v[l->count++] = *row;
    return ANTAG_OK;
}

enum antag_err ag_merchants_read(struct ag_registry *r, uint64_t era, struct ag_merchant_list *had,
                                 struct ag_merchant_list **out, struct antag_fault *fault)
{
    struct ag_merchant_list *l;
    enum antag_err err;

    if (had != NULL && had->era == era && had->changed == ag_registry_merchants_changed(r)) {
        *out = ag_merchants_hold(had);
        return ANTAG_OK;
    }
    l = calloc(1, sizeof *l);
    if (l != NULL) {
        atomic_init(&l->refs, 1);
        l->era = era;
        l->changed = ag_registry_merchants_changed(r);
        l->cap = ag_registry_merchant_count(r);
        l->v = calloc(l->cap + 1, sizeof *l->v);
    }
    if (l == NULL || l->v == NULL) {
        ag_merchants_release(l);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the merchants");
    }
    if ((err = ag_registry_each_merchant(r, visit_merchant, l, fault)) != ANTAG_OK) {
        ag_merchants_release(l);
        return err;
    }
    *out = l;
    return ANTAG_OK;
}
