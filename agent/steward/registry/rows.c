/* get, put, each, delete and find, once for all kinds; below, the typed functions of registry.h. */
#include <inttypes.h>
#include <string.h>

#include "agent/steward/registry/registry_internal.h"

/* ---- any kind */

static enum antag_err not_found(const struct ag_kind *kind, uint64_t id, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, NULL, "there is no %s with id %" PRIu64,
                           kind->what, id);
}

/* A row as it was last written by this agent, or an error: content, stored MAC and the MAC remembered
 * must all agree. */
static enum antag_err read_verified(struct ag_registry *r, enum ag_kind_id id, uint64_t row_id,
                                    void *row, struct antag_fault *fault)
{
    const struct ag_kind *kind = &r->plan->kinds[id];
    const struct ag_regmac *known = ag_regset_find(&r->sets[id], row_id);
    uint8_t stored[AG_MAC_LEN], mac[AG_MAC_LEN];
    sqlite3_stmt *st = NULL;
    enum antag_err err;
    int code;

    if (known == NULL)
        return not_found(kind, row_id, fault);
    if ((err = ag_regrow_stmt(r, id, AG_REGOP_GET, &st, fault)) != ANTAG_OK)
        return err;
    code = sqlite3_bind_int64(st, 1, (sqlite3_int64)row_id);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if (code == SQLITE_DONE)
        err = ag_regrow_broken(kind, row_id, "the row was removed while the agent runs", fault);
    else if (code != SQLITE_ROW)
        err = ag_regdb_error(r->db, code, "reading a row", fault);
    else
        err = ag_regrow_read(r, st, kind, row, stored, fault);
    sqlite3_reset(st);
    if (err == ANTAG_OK)
        err = ag_regrow_mac(r, kind, row, mac, fault);
    if (err == ANTAG_OK && (!ag_secret_equal(mac, stored, AG_MAC_LEN) ||
                            !ag_secret_equal(mac, known->mac, AG_MAC_LEN)))
        err = ag_regrow_broken(
            kind, row_id, "its content is not what the agent wrote last; the row does not verify",
            fault);
    return err;
}

enum antag_err ag_rows_get(struct ag_registry *r, enum ag_kind_id id, uint64_t row_id, void *out,
                           struct antag_fault *fault)
{
    enum antag_err err = read_verified(r, id, row_id, &r->row, fault);

    if (err == ANTAG_OK)
        memcpy(out, &r->row, r->plan->kinds[id].row_size);
    else if (err != ANTAG_ERR_NOT_FOUND)
        r->failed = true; /* an open transaction must not build on this */
    return err;
}

static enum antag_err check_open(const struct ag_registry *r, struct antag_fault *fault)
{
    if (!r->in_transaction)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "no registry transaction is open");
    if (r->failed || sqlite3_get_autocommit(r->db) != 0)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL,
                               "a call in this registry transaction failed; it can only be rolled "
                               "back");
    return ANTAG_OK;
}

/* Run a bound INSERT, UPDATE or DELETE that must touch one row. */
static enum antag_err run(struct ag_registry *r, sqlite3_stmt *st, int code,
                          const struct ag_kind *kind, const void *row, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if ((code & 0xff) == SQLITE_CONSTRAINT)
        err = ag_regdb_refused(r->db, kind, row, fault);
    else if (code != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "writing a row", fault);
    else if (sqlite3_changes(r->db) != 1)
        err = ag_regrow_broken(kind, *(const uint64_t *)row,
                               "the row was removed while the agent runs", fault);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st); /* they point into the caller's row */
    return err;
}

static enum antag_err write_row(struct ag_registry *r, enum ag_kind_id id, enum ag_regop op,
                                const void *row, struct antag_fault *fault)
{
    const struct ag_kind *kind = &r->plan->kinds[id];
    uint8_t mac[AG_MAC_LEN];
    sqlite3_stmt *st = NULL;
    enum antag_err err;

    if ((err = ag_regrow_mac(r, kind, row, mac, fault)) != ANTAG_OK ||
        (err = ag_regrow_stmt(r, id, op, &st, fault)) != ANTAG_OK ||
        (err = run(r, st, ag_regrow_bind(st, kind, r->schema, row, mac), kind, row, fault)) !=
            ANTAG_OK)
        return err;
    if ((err = ag_regset_put(&r->sets[id], *(const uint64_t *)row, mac)) != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "%s", "");
    r->merchants_changed += id == AG_KIND_MERCHANT;
    return ANTAG_OK;
}

static enum antag_err delete_row(struct ag_registry *r, enum ag_kind_id id, uint64_t row_id,
                                 struct antag_fault *fault)
{
    const struct ag_kind *kind = &r->plan->kinds[id];
    sqlite3_stmt *st = NULL;
    enum antag_err err;

    if (ag_regset_find(&r->sets[id], row_id) == NULL)
        return not_found(kind, row_id, fault);
    if ((err = ag_regrow_stmt(r, id, AG_REGOP_DELETE, &st, fault)) != ANTAG_OK ||
        (err = run(r, st, sqlite3_bind_int64(st, 1, (sqlite3_int64)row_id), kind, &row_id,
                   fault)) != ANTAG_OK)
        return err;
    ag_regset_remove(&r->sets[id], row_id);
    r->merchants_changed += id == AG_KIND_MERCHANT;
    return ANTAG_OK;
}

enum antag_err ag_rows_delete(struct ag_registry *r, enum ag_kind_id id, uint64_t row_id,
                              struct antag_fault *fault)
{
    enum antag_err err = check_open(r, fault);

    if (err == ANTAG_OK && (r->watch != NULL || id == AG_KIND_KEY))
        err = read_verified(r, id, row_id, &r->old, fault);
    if (err == ANTAG_OK && id == AG_KIND_KEY && r->old.key.sealed_len > 0)
        err = antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "version",
                              "merchant key version %" PRIu32 " has a private half; it must be "
                              "destroyed before its row can go",
                              r->old.key.version);
    if (err == ANTAG_OK && r->watch != NULL)
        ag_regdiff_tell(r, id, &r->old, NULL);
    if (err == ANTAG_OK)
        err = delete_row(r, id, row_id, fault);
    if (err != ANTAG_OK)
        r->failed = true;
    r->erased = r->erased || id == AG_KIND_MERCHANT; /* its token */
    return err;
}

/* ---- put */

static enum antag_err insert(struct ag_registry *r, enum ag_kind_id id, void *row,
                             struct antag_fault *fault)
{
    uint64_t last = r->sets[id].last_id;
    uint64_t other = r->sets[r->plan->kinds[id].twin].last_id;
    uint64_t *row_id = row;
    enum antag_err err;

    *row_id = (last > other ? last : other) + 1;
    if ((err = write_row(r, id, AG_REGOP_INSERT, row, fault)) != ANTAG_OK)
        *row_id = 0;
    else
        ag_regdiff_tell(r, id, NULL, row);
    return err;
}

static bool takes_sealed_away(enum ag_kind_id id, const union ag_regrow *was,
                              const union ag_regrow *is)
{
    struct antag_slice a = {NULL, 0}, b = {NULL, 0};

    if (id == AG_KIND_KEY) {
        a = (struct antag_slice){was->key.sealed, was->key.sealed_len};
        b = (struct antag_slice){is->key.sealed, is->key.sealed_len};
    } else if (id == AG_KIND_PROFILE) {
        a = (struct antag_slice){was->profile.buyer_password, was->profile.buyer_password_len};
        b = (struct antag_slice){is->profile.buyer_password, is->profile.buyer_password_len};
    } else if (id == AG_KIND_MERCHANT) {
        a = (struct antag_slice){was->merchant.sealed, was->merchant.sealed_len};
        b = (struct antag_slice){is->merchant.sealed, is->merchant.sealed_len};
    } else if (id == AG_KIND_MAIL) {
        a = (struct antag_slice){was->mail.sealed, was->mail.sealed_len};
        b = (struct antag_slice){is->mail.sealed, is->mail.sealed_len};
    }
    return a.len > 0 && !antag_slice_equal(a, b);
}

static enum antag_err replace(struct ag_registry *r, enum ag_kind_id id, const void *row,
                              struct antag_fault *fault)
{
    const struct ag_kind *kind = &r->plan->kinds[id];
    enum antag_err err;

    if ((err = read_verified(r, id, *(const uint64_t *)row, &r->old, fault)) != ANTAG_OK ||
        (err = ag_regrow_check_change(kind, &r->old, row, fault)) != ANTAG_OK ||
        (err = write_row(r, id, AG_REGOP_UPDATE, row, fault)) != ANTAG_OK)
        return err;
    r->erased = r->erased || takes_sealed_away(id, &r->old, row);
    ag_regdiff_tell(r, id, &r->old, row);
    return ANTAG_OK;
}

/* A key takes the id of its intent, and its place. */
static enum antag_err fulfil_intent(struct ag_registry *r, const struct ag_row_key *key,
                                    struct antag_fault *fault)
{
    const struct ag_row_intent *intent = &r->old.intent;
    enum antag_err err;

    if ((err = read_verified(r, AG_KIND_INTENT, key->id, &r->old, fault)) != ANTAG_OK)
        return err == ANTAG_ERR_NOT_FOUND
                   ? antag_fault_set(fault, err, NULL,
                                     "there is no merchant key and no key intent with id %" PRIu64,
                                     key->id)
                   : err;
    if (intent->profile_id != key->profile_id || intent->version != key->version ||
        strcmp(intent->keyring, key->keyring) != 0)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, NULL,
                               "the intent %" PRIu64 " is for version %" PRIu32
                               " of profile %" PRIu64 " in keyring %s, not for this key",
                               key->id, intent->version, intent->profile_id, intent->keyring);
    if ((err = write_row(r, AG_KIND_KEY, AG_REGOP_INSERT, key, fault)) != ANTAG_OK)
        return err;
    return delete_row(r, AG_KIND_INTENT, key->id, fault);
}

enum antag_err ag_rows_put(struct ag_registry *r, enum ag_kind_id id, void *row,
                           struct antag_fault *fault)
{
    uint64_t row_id = *(const uint64_t *)row;
    enum antag_err err;

    if ((err = check_open(r, fault)) != ANTAG_OK ||
        (err = ag_regrow_check(&r->plan->kinds[id], row, fault)) != ANTAG_OK)
        goto out;
    if (row_id == 0)
        err = insert(r, id, row, fault);
    else if (id == AG_KIND_KEY && ag_regset_find(&r->sets[id], row_id) == NULL)
        err = fulfil_intent(r, row, fault);
    else
        err = replace(r, id, row, fault);
out:
    if (err != ANTAG_OK)
        r->failed = true;
    return err;
}

/* ---- find: SQLite's index proposes a row, the row itself decides */

static const struct {
    enum ag_kind_id kind;
    const char *sql;
} finds[AG_REGFIND_COUNT] = {
    [AG_REGFIND_APP] = {AG_KIND_APP, "SELECT id FROM app WHERE name=?1"},
    [AG_REGFIND_PROFILE] = {AG_KIND_PROFILE, "SELECT id FROM profile WHERE name=?1"},
    [AG_REGFIND_KEY] = {AG_KIND_KEY,
                        "SELECT id FROM merchant_key WHERE profile_id=?1 AND version=?2"},
    [AG_REGFIND_MERCHANT] = {AG_KIND_MERCHANT,
                             "SELECT id FROM merchant WHERE profile_id=?1 AND name=?2"},
    [AG_REGFIND_STAFF] = {AG_KIND_STAFF, "SELECT id FROM staff WHERE uid=?1"},
};

/* What is looked for: a text, one or two numbers, or a number and a text. */
struct wanted {
    const char *text;
    uint64_t a, b;
};

static int bind_wanted(sqlite3_stmt *st, const struct wanted *w)
{
    int code;

    if (w->text != NULL && w->a == 0)
        return sqlite3_bind_text(st, 1, w->text, -1, SQLITE_STATIC);
    code = sqlite3_bind_int64(st, 1, (sqlite3_int64)w->a);
    if (code == SQLITE_OK && w->text != NULL)
        code = sqlite3_bind_text(st, 2, w->text, -1, SQLITE_STATIC);
    else if (code == SQLITE_OK && sqlite3_bind_parameter_count(st) > 1)
        code = sqlite3_bind_int64(st, 2, (sqlite3_int64)w->b);
    return code;
}

/* The row that `which` finds, in r->row. *found says whether there is one. */
static enum antag_err find(struct ag_registry *r, enum ag_regfind which, const struct wanted *w,
                           bool *found, struct antag_fault *fault)
{
    enum ag_kind_id kind = finds[which].kind;
    sqlite3_stmt *st = r->finds[which];
    enum antag_err err = ANTAG_OK;
    uint64_t id = 0;
    int code;

    *found = false;
    if (st == NULL) {
        if ((err = ag_regdb_prepare(r->db, finds[which].sql, &st, fault)) != ANTAG_OK)
            goto out;
        r->finds[which] = st;
    }
    code = bind_wanted(st, w);
    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW)
        id = (uint64_t)sqlite3_column_int64(st, 0);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "looking for a row", fault);
    sqlite3_reset(st);
    sqlite3_clear_bindings(st);
    if (err != ANTAG_OK || id == 0)
        goto out;
    err = read_verified(r, kind, id, &r->row, fault);
    if (err == ANTAG_ERR_NOT_FOUND)
        err = ag_regrow_broken(&r->plan->kinds[kind], id, "a row was added while the agent runs",
                               fault);
    *found = err == ANTAG_OK;
out:
    if (err != ANTAG_OK)
        r->failed = true;
    return err;
}

/* An index that leads to a row of another name was tampered with. */
static enum antag_err wrong_index(struct ag_registry *r, enum ag_kind_id kind,
                                  struct antag_fault *fault)
{
    r->failed = true;
    return ag_regrow_broken(&r->plan->kinds[kind], r->row.id,
                            "the table's index leads to it by mistake", fault);
}

enum antag_err ag_registry_find_app(struct ag_registry *r, const char *name, struct ag_row_app *out,
                                    struct antag_fault *fault)
{
    bool found;
    enum antag_err err = find(r, AG_REGFIND_APP, &(struct wanted){.text = name}, &found, fault);

    if (err != ANTAG_OK)
        return err;
    if (!found)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "app",
                               "there is no application \"%.64s\"", name);
    if (strcmp(r->row.app.name, name) != 0)
        return wrong_index(r, AG_KIND_APP, fault);
    *out = r->row.app;
    return ANTAG_OK;
}

enum antag_err ag_registry_find_profile(struct ag_registry *r, const char *name,
                                        struct ag_row_profile *out, struct antag_fault *fault)
{
    bool found;
    enum antag_err err = find(r, AG_REGFIND_PROFILE, &(struct wanted){.text = name}, &found, fault);

    if (err != ANTAG_OK)
        return err;
    if (!found)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "profile",
                               "there is no profile \"%.64s\"", name);
    if (strcmp(r->row.profile.name, name) != 0)
        return wrong_index(r, AG_KIND_PROFILE, fault);
    *out = r->row.profile;
    return ANTAG_OK;
}

enum antag_err ag_registry_find_key(struct ag_registry *r, uint64_t profile_id, uint32_t version,
                                    struct ag_row_key *out, struct antag_fault *fault)
{
    bool found;
    enum antag_err err =
        find(r, AG_REGFIND_KEY, &(struct wanted){.a = profile_id, .b = version}, &found, fault);

    if (err != ANTAG_OK)
        return err;
    if (!found)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "version",
                               "the profile has no merchant key of version %" PRIu32, version);
    if (r->row.key.profile_id != profile_id || r->row.key.version != version)
        return wrong_index(r, AG_KIND_KEY, fault);
    *out = r->row.key;
    return ANTAG_OK;
}

enum antag_err ag_registry_find_staff(struct ag_registry *r, uint32_t uid, struct ag_row_staff *out,
                                      struct antag_fault *fault)
{
    bool found;
    enum antag_err err = find(r, AG_REGFIND_STAFF, &(struct wanted){.a = uid}, &found, fault);

    if (err != ANTAG_OK)
        return err;
    if (!found)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "uid",
                               "user %" PRIu32 " is not enrolled as staff", uid);
    if (r->row.staff.uid != uid)
        return wrong_index(r, AG_KIND_STAFF, fault);
    *out = r->row.staff;
    return ANTAG_OK;
}

enum antag_err ag_registry_find_merchant(struct ag_registry *r, uint64_t profile_id,
                                         const char *name, struct ag_row_merchant *out,
                                         struct antag_fault *fault)
{
    bool found;
    enum antag_err err = find(r, AG_REGFIND_MERCHANT,
                              &(struct wanted){.text = name, .a = profile_id}, &found, fault);

    if (err != ANTAG_OK)
        return err;
    if (!found)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "merchant",
                               "there is no merchant \"%.64s\"", name);
    if (r->row.merchant.profile_id != profile_id || strcmp(r->row.merchant.name, name) != 0)
        return wrong_index(r, AG_KIND_MERCHANT, fault);
    *out = r->row.merchant;
    return ANTAG_OK;
}

uint64_t ag_registry_merchants_changed(const struct ag_registry *r)
{
    return r->merchants_changed;
}

size_t ag_registry_merchant_count(const struct ag_registry *r)
{
    return r->sets[AG_KIND_MERCHANT].count;
}

/* ---- the typed functions. `each` goes by the ids that are known to be there and takes every row anew,
 * so that a visit may read and write as it likes. */

#define TYPED(K, KIND, T)                                                                          \
    enum antag_err ag_registry_get_##K(struct ag_registry *r, uint64_t id, T *out,                 \
                                       struct antag_fault *fault)                                  \
    {                                                                                              \
        return ag_rows_get(r, KIND, id, out, fault);                                               \
    }                                                                                              \
    enum antag_err ag_registry_put_##K(struct ag_registry *r, T *row, struct antag_fault *fault)   \
    {                                                                                              \
        return ag_rows_put(r, KIND, row, fault);                                                   \
    }                                                                                              \
    enum antag_err ag_registry_each_##K(struct ag_registry *r, ag_registry_visit_##K *visit,       \
                                        void *ctx, struct antag_fault *fault)                      \
    {                                                                                              \
        const struct ag_regmac *at = ag_regset_after(&r->sets[KIND], 0);                           \
        enum antag_err err = ANTAG_OK;                                                             \
        T row;                                                                                     \
                                                                                                   \
        while (err == ANTAG_OK && at != NULL) {                                                    \
            uint64_t id = at->id;                                                                  \
                                                                                                   \
            if ((err = ag_rows_get(r, KIND, id, &row, fault)) == ANTAG_OK)                         \
                err = visit(&row, ctx);                                                            \
            at = ag_regset_after(&r->sets[KIND], id);                                              \
        }                                                                                          \
        return err;                                                                                \
    }

TYPED(app, AG_KIND_APP, struct ag_row_app)
TYPED(profile, AG_KIND_PROFILE, struct ag_row_profile)
TYPED(key, AG_KIND_KEY, struct ag_row_key)
TYPED(antom_key, AG_KIND_ANTOM_KEY, struct ag_row_antom_key)
TYPED(fence, AG_KIND_FENCE, struct ag_row_fence)
TYPED(staff, AG_KIND_STAFF, struct ag_row_staff)
TYPED(intent, AG_KIND_INTENT, struct ag_row_intent)
TYPED(deed, AG_KIND_DEED, struct ag_row_deed)
TYPED(mail, AG_KIND_MAIL, struct ag_row_mail)
TYPED(code, AG_KIND_CODE, struct ag_row_code)
TYPED(change, AG_KIND_CHANGE, struct ag_row_change)
TYPED(approval, AG_KIND_APPROVAL, struct ag_row_approval)
TYPED(recovery, AG_KIND_RECOVERY, struct ag_row_recovery)
TYPED(merchant, AG_KIND_MERCHANT, struct ag_row_merchant)
TYPED(rotation, AG_KIND_ROTATION, struct ag_row_rotation)
TYPED(gone, AG_KIND_GONE, struct ag_row_gone)
TYPED(seal, AG_KIND_SEAL, struct ag_row_seal)
TYPED(pin, AG_KIND_PIN, struct ag_row_pin)

/* Kinds whose rows go again. */
#define DELETED(K, KIND)                                                                           \
    enum antag_err ag_registry_delete_##K(struct ag_registry *r, uint64_t id,                      \
                                          struct antag_fault *fault)                               \
    {                                                                                              \
        return ag_rows_delete(r, KIND, id, fault);                                                 \
    }
DELETED(mail, AG_KIND_MAIL)
DELETED(code, AG_KIND_CODE)
DELETED(change, AG_KIND_CHANGE)
DELETED(approval, AG_KIND_APPROVAL)
DELETED(recovery, AG_KIND_RECOVERY)
DELETED(merchant, AG_KIND_MERCHANT)
DELETED(grant, AG_KIND_GRANT)
DELETED(fence, AG_KIND_FENCE)
DELETED(staff, AG_KIND_STAFF)
DELETED(intent, AG_KIND_INTENT)
DELETED(deed, AG_KIND_DEED)
DELETED(rotation, AG_KIND_ROTATION)
DELETED(app, AG_KIND_APP)
DELETED(profile, AG_KIND_PROFILE)
DELETED(key, AG_KIND_KEY)
DELETED(antom_key, AG_KIND_ANTOM_KEY)
