#include "agent/steward/registry/registry.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/log.h"
#include "agent/steward/registry/registry_internal.h"
#include "proto/staff_methods.h"

#define APPLICATION_ID  0x41677231 /* "Agr1", in the file's header */
#define PRAGMA_APP_ID   "PRAGMA application_id"
#define ALL_STAFF_ROLES (ANTAG_ROLE_VIEWER | ANTAG_ROLE_OFFICER | ANTAG_ROLE_APPROVER)
#define STRING_(x)      #x
#define STRING(x)       STRING_(x)

/* ---- the meta row: schema, epoch, observed time and the digests of all tables, under one MAC */

struct meta {
    int64_t schema, epoch, observed_ms, created_at_ms;
    size_t digest_count;
    uint8_t digests[AG_DIGEST_COUNT][AG_MAC_LEN];
    uint8_t mac[AG_MAC_LEN];
};

/* Kinds that came with later schemas have no digest in a file of an older one; they are the last. */
static size_t digest_count(const struct ag_registry *r)
{
    size_t count = 1;

    for (size_t i = 0; i < AG_KIND_COUNT; i++)
        if (r->plan->kinds[i].since <= r->schema)
            count++;
    return count;
}

static enum antag_err meta_mac(const struct ag_registry *r, const struct meta *m,
                               uint8_t out[AG_MAC_LEN], struct antag_fault *fault)
{
    uint8_t bytes[128 + AG_DIGEST_COUNT * AG_MAC_LEN];
    struct ag_regbuf b = {bytes, 0, sizeof(bytes), false};

    ag_regbuf_text(&b, "antag registry meta 1");
    ag_regbuf_u64(&b, (uint64_t)m->schema);
    ag_regbuf_u64(&b, (uint64_t)m->epoch);
    ag_regbuf_u64(&b, (uint64_t)m->observed_ms);
    ag_regbuf_u64(&b, (uint64_t)m->created_at_ms);
    ag_regbuf_bytes(&b, m->digests, m->digest_count * AG_MAC_LEN);
    if (b.full)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the meta row is too large");
    ag_mac(r->mac_key, (struct antag_slice){b.p, b.len}, out);
    return ANTAG_OK;
}

static enum antag_err broken_meta(const char *reason, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL, "table meta, row 1: %s", reason);
}

static enum antag_err take_meta(const struct ag_registry *r, sqlite3_stmt *st, struct meta *m,
                                struct antag_fault *fault)
{
    const void *mac = sqlite3_column_blob(st, 0);
    const void *digests = sqlite3_column_blob(st, 5);

    m->schema = sqlite3_column_int64(st, 1);
    m->epoch = sqlite3_column_int64(st, 2);
    m->observed_ms = sqlite3_column_int64(st, 3);
    m->created_at_ms = sqlite3_column_int64(st, 4);
    m->digest_count = digest_count(r);
    if (mac == NULL || sqlite3_column_bytes(st, 0) != AG_MAC_LEN || digests == NULL ||
        (size_t)sqlite3_column_bytes(st, 5) != m->digest_count * AG_MAC_LEN)
        return broken_meta("its MAC or digests have the wrong length", fault);
    memcpy(m->mac, mac, AG_MAC_LEN);
    memcpy(m->digests, digests, m->digest_count * AG_MAC_LEN);
    return ANTAG_OK;
}

static enum antag_err read_meta(const struct ag_registry *r, struct meta *m,
                                struct antag_fault *fault)
{
    static const char sql[] =
        "SELECT mac, schema, epoch, observed_ms, created_at_ms, digests FROM meta WHERE id = 1";
    sqlite3_stmt *st = NULL;
    enum antag_err err;
    int code = sqlite3_prepare_v2(r->db, sql, -1, &st, NULL);

    *m = (struct meta){0};
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if (code == SQLITE_ROW)
        err = take_meta(r, st, m, fault);
    else if (code == SQLITE_DONE)
        err = broken_meta("it is missing", fault);
    else if (code == SQLITE_ERROR)
        err = broken_meta("it cannot be read", fault);
    else
        err = ag_regdb_error(r->db, code, "reading the meta row", fault);
    sqlite3_finalize(st);
    return err;
}

static enum antag_err write_meta(struct ag_registry *r, const struct meta *m,
                                 struct antag_fault *fault)
{
    static const char sql[] = "INSERT OR REPLACE INTO meta (id, mac, schema, epoch, observed_ms, "
                              "created_at_ms, digests) VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6)";
    sqlite3_stmt *st = NULL;
    enum antag_err err = ANTAG_OK;
    int code = sqlite3_prepare_v2(r->db, sql, -1, &st, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_bind_blob(st, 1, m->mac, AG_MAC_LEN, SQLITE_STATIC);
    for (int i = 0; code == SQLITE_OK && i < 4; i++)
        code = sqlite3_bind_int64(
            st, 2 + i, (const int64_t[]){m->schema, m->epoch, m->observed_ms, m->created_at_ms}[i]);
    if (code == SQLITE_OK)
        code = sqlite3_bind_blob(st, 6, m->digests, (int)(m->digest_count * AG_MAC_LEN),
                                 SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if (code != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "writing the meta row", fault);
    sqlite3_finalize(st);
    return err;
}

/* ---- transactions */

static void drop_saved(struct ag_registry *r)
{
    for (size_t i = 0; i < AG_KIND_COUNT; i++)
        ag_regset_fini(&r->saved[i]);
}

/* Roll SQLite back, by a statement made beforehand: when memory is short is no time to make one. After
 * some errors SQLite has rolled back by itself. */
static enum antag_err undo(struct ag_registry *r, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    int code;

    if (sqlite3_get_autocommit(r->db) != 0)
        return ANTAG_OK;
    if ((code = sqlite3_step(r->rollback)) != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "rolling back", fault);
    sqlite3_reset(r->rollback);
    return err;
}

static enum antag_err start(struct ag_registry *r, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    if (r->in_transaction)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL,
                               "a registry transaction is open already");
    if ((r->rollback == NULL &&
         (err = ag_regdb_prepare(r->db, "ROLLBACK", &r->rollback, fault)) != ANTAG_OK) ||
        (err = undo(r, fault)) !=
            ANTAG_OK) /* one that could not be undone when it should have been */
        return err;
    for (size_t i = 0; err == ANTAG_OK && i < AG_KIND_COUNT; i++)
        if ((err = ag_regset_copy(&r->sets[i], &r->saved[i])) != ANTAG_OK)
            (void)antag_fault_set(fault, err, NULL, "%s", "");
    if (err == ANTAG_OK)
        err = ag_regdb_exec(r->db, "BEGIN IMMEDIATE", fault);
    if (err != ANTAG_OK) {
        drop_saved(r);
        return err;
    }
    r->in_transaction = true;
    r->failed = r->erased = false;
    return ANTAG_OK;
}

/* The epoch on disk must be ours still: a commit on top of another's would bless what it did. */
enum antag_err ag_registry_begin(struct ag_registry *r, struct antag_fault *fault)
{
    struct meta m;
    enum antag_err err;

    if ((err = start(r, fault)) != ANTAG_OK)
        return err;
    err = read_meta(r, &m, fault);
    if (err == ANTAG_OK && memcmp(m.mac, r->meta_mac, AG_MAC_LEN) != 0) /* public */
        err = broken_meta("another process changed it while the agent runs", fault);
    if (err != ANTAG_OK)
        ag_registry_rollback(r);
    return err;
}

void ag_registry_rollback(struct ag_registry *r)
{
    r->watch = NULL;
    if (!r->in_transaction)
        return;
    (void)undo(r, NULL); /* logged; the next transaction tries again */
    for (size_t i = 0; i < AG_KIND_COUNT; i++) {
        ag_regset_fini(&r->sets[i]);
        r->sets[i] = r->saved[i];
        r->saved[i] = (struct ag_regset){0}; /* transferred */
    }
    r->in_transaction = r->failed = r->erased = false;
    r->least_epoch = 0;
}

/* Sealed bytes that were taken away leave the WAL too. What was committed stays committed when this
 * fails; it is tried again after the next commit and when the registry is closed. */
static void wipe_log(struct ag_registry *r)
{
    int code;

    if (!r->erase_pending)
        return;
    code = sqlite3_wal_checkpoint_v2(r->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code == SQLITE_OK)
        r->erase_pending = false;
    else
        ag_log(AG_LOG_WARN, "registry.checkpoint", AG_F_INT("code", code));
}

static enum antag_err fresh_digests(struct ag_registry *r, struct meta *m,
                                    struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    m->digest_count = digest_count(r);
    memcpy(m->digests, r->digests, sizeof(m->digests));
    for (size_t i = 0; err == ANTAG_OK && i + 1 < m->digest_count; i++)
        if (r->sets[i].dirty)
            err = ag_regset_digest(&r->sets[i], r->plan->kinds[i].table, r->mac_key,
                                   m->digests[i + 1]);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "%s", "");
    return ANTAG_OK;
}

static void committed(struct ag_registry *r, const struct meta *m)
{
    memcpy(r->digests, m->digests, sizeof(r->digests));
    memcpy(r->meta_mac, m->mac, sizeof(r->meta_mac));
    r->epoch = (uint64_t)m->epoch;
    for (size_t i = 0; i < AG_KIND_COUNT; i++)
        r->sets[i].dirty = false;
    drop_saved(r);
    r->erase_pending = r->erase_pending || r->erased;
    r->in_transaction = r->erased = false;
    r->watch = NULL;
    r->least_epoch = 0;
    wipe_log(r);
}

enum antag_err ag_registry_commit(struct ag_registry *r, uint64_t *epoch, struct antag_fault *fault)
{
    struct meta m = {.schema = r->schema,
                     .epoch = (int64_t)ag_registry_next_epoch(r),
                     .observed_ms = r->observed_ms,
                     .created_at_ms = r->created_at_ms};
    enum antag_err err;

    if (!r->in_transaction || r->failed || sqlite3_get_autocommit(r->db) != 0)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "%s",
                               !r->in_transaction
                                   ? "no registry transaction is open"
                                   : "a call in this registry transaction failed; it can "
                                     "only be rolled back");
    if ((err = fresh_digests(r, &m, fault)) != ANTAG_OK ||
        (err = meta_mac(r, &m, m.mac, fault)) != ANTAG_OK ||
        (err = write_meta(r, &m, fault)) != ANTAG_OK ||
        (err = ag_regdb_exec(r->db, "COMMIT", fault)) != ANTAG_OK) {
        r->failed = true;
        return err;
    }
    committed(r, &m);
    if (epoch != NULL)
        *epoch = r->epoch;
    return ANTAG_OK;
}

uint64_t ag_registry_epoch(const struct ag_registry *r)
{
    return r->epoch;
}

uint64_t ag_registry_next_epoch(const struct ag_registry *r)
{
    return r->epoch + 1 > r->least_epoch ? r->epoch + 1 : r->least_epoch;
}

void ag_registry_raise_epoch(struct ag_registry *r, uint64_t epoch)
{
    r->least_epoch = epoch;
}

bool ag_registry_next_deed(const struct ag_registry *r, uint64_t after, uint64_t *id)
{
    const struct ag_regmac *at = ag_regset_after(&r->sets[AG_KIND_DEED], after);

    if (at != NULL)
        *id = at->id;
    return at != NULL;
}

uint64_t ag_registry_last_deed(const struct ag_registry *r)
{
    return r->sets[AG_KIND_DEED].last_id;
}

int64_t ag_registry_observed_ms(const struct ag_registry *r)
{
    return r->observed_ms;
}

/* Running time only adds up: a smaller value would be a slip, and stops nothing from being destroyed. */
void ag_registry_set_observed_ms(struct ag_registry *r, int64_t observed_ms)
{
    if (observed_ms > r->observed_ms)
        r->observed_ms = observed_ms;
}

/* ---- verifying what is in the file */

static enum antag_err load_rows(struct ag_registry *r, enum ag_kind_id id,
                                struct antag_fault *fault)
{
    const struct ag_kind *kind = &r->plan->kinds[id];
    sqlite3_stmt *st = NULL;
    uint8_t stored[AG_MAC_LEN], mac[AG_MAC_LEN];
    enum antag_err err;
    int code;

    if ((err = ag_regrow_stmt(r, id, AG_REGOP_SCAN, &st, fault)) != ANTAG_OK)
        return err;
    while ((code = sqlite3_step(st)) == SQLITE_ROW) {
        if ((err = ag_regrow_read(r, st, kind, &r->row, stored, fault)) != ANTAG_OK ||
            (err = ag_regrow_mac(r, kind, &r->row, mac, fault)) != ANTAG_OK)
            goto out;
        if (!ag_secret_equal(stored, mac, AG_MAC_LEN)) {
            err = ag_regrow_broken(
                kind, r->row.id, "its content is not what the agent wrote; the row does not verify",
                fault);
            goto out;
        }
        if ((err = ag_regset_put(&r->sets[id], r->row.id, mac)) != ANTAG_OK) {
            (void)antag_fault_set(fault, err, NULL, "%s", "");
            goto out;
        }
    }
    if (code != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "reading rows", fault);
out:
    sqlite3_reset(st);
    return err;
}

/* The largest id ever used, which SQLite keeps; the digest covers it, so that it cannot be set back. */
static enum antag_err load_last_id(struct ag_registry *r, enum ag_kind_id id,
                                   struct antag_fault *fault)
{
    char sql[128];
    int64_t last = 0;
    enum antag_err err;

    sqlite3_snprintf(sizeof(sql), sql, "SELECT seq FROM sqlite_sequence WHERE name = %Q",
                     r->plan->kinds[id].table);
    if ((err = ag_regdb_number(r->db, sql, &last, fault)) != ANTAG_OK)
        return err;
    if (last < 0 || (uint64_t)last < r->sets[id].last_id)
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                               "table sqlite_sequence, %s: the largest id was set back",
                               r->plan->kinds[id].table);
    r->sets[id].last_id = (uint64_t)last;
    return ANTAG_OK;
}

static enum antag_err verify_kind(struct ag_registry *r, enum ag_kind_id id,
                                  struct antag_fault *fault)
{
    uint8_t digest[AG_MAC_LEN];
    enum antag_err err;

    if ((err = load_rows(r, id, fault)) != ANTAG_OK ||
        (err = load_last_id(r, id, fault)) != ANTAG_OK)
        return err;
    err = ag_regset_digest(&r->sets[id], r->plan->kinds[id].table, r->mac_key, digest);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "%s", "");
    if (!ag_secret_equal(digest, r->digests[id + 1], AG_MAC_LEN))
        return antag_fault_set(
            fault, ANTAG_ERR_REGISTRY, NULL,
            "table %s: a row was removed, added, or replaced by an older version "
            "of itself (every row that is there verifies)",
            r->plan->kinds[id].table);
    r->sets[id].dirty = false;
    return ANTAG_OK;
}

static enum antag_err verify_meta(struct ag_registry *r, struct antag_fault *fault)
{
    struct meta m;
    uint8_t mac[AG_MAC_LEN];
    enum antag_err err;

    if ((err = read_meta(r, &m, fault)) != ANTAG_OK ||
        (err = meta_mac(r, &m, mac, fault)) != ANTAG_OK)
        return err;
    if (!ag_secret_equal(m.mac, mac, AG_MAC_LEN))
        return broken_meta(
            "epoch, observed time or digests are not what the agent wrote, or this is "
            "the registry of another root key",
            fault);
    if (m.schema != r->schema)
        return broken_meta("its schema is not the one in the file's header", fault);
    r->epoch = (uint64_t)m.epoch;
    r->observed_ms = m.observed_ms;
    r->created_at_ms = m.created_at_ms;
    memcpy(r->digests, m.digests, sizeof(r->digests));
    memcpy(r->meta_mac, m.mac, sizeof(r->meta_mac));
    return ANTAG_OK;
}

/* Rows come first, as they can be named; then what only the whole shows. */
static enum antag_err verify(struct ag_registry *r, struct antag_fault *fault)
{
    uint8_t digest[AG_MAC_LEN];
    enum antag_err err;

    if ((err = verify_meta(r, fault)) != ANTAG_OK ||
        (err = ag_registry_schema_digest(r, digest, fault)) != ANTAG_OK)
        return err;
    if (!ag_secret_equal(digest, r->digests[0], AG_MAC_LEN))
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                               "table sqlite_schema: tables or rules were changed");
    for (size_t i = 0; i < AG_KIND_COUNT; i++)
        if (r->plan->kinds[i].since <= r->schema &&
            (err = verify_kind(r, (enum ag_kind_id)i, fault)) != ANTAG_OK)
            return err;
    return ag_regdb_check(r->db, fault);
}

/* ---- create, open, close */

static struct ag_registry *blank(const struct ag_secret *mac_key, const struct ag_schema *plan,
                                 struct antag_fault *fault)
{
    struct ag_registry *r = calloc(1, sizeof(*r));

    if (r != NULL) {
        r->plan = plan;
        r->mac_key = ag_secret_copy(mac_key);
    }
    if (r == NULL || r->mac_key == NULL) {
        free(r);
        (void)antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "%s", "");
        return NULL;
    }
    return r;
}

void ag_registry_close(struct ag_registry *r)
{
    if (r == NULL)
        return;
    ag_registry_rollback(r);
    ag_regrow_drop_stmts(r);
    sqlite3_finalize(r->rollback);
    sqlite3_close(r->db); /* as the last one it empties the WAL and removes it */
    for (size_t i = 0; i < AG_KIND_COUNT; i++)
        ag_regset_fini(&r->sets[i]);
    ag_secret_free(r->mac_key);
    free(r);
}

static enum antag_err fill(struct ag_registry *r, uint32_t staff_uid, int64_t now_ms,
                           struct antag_fault *fault)
{
    struct ag_row_staff first = {.uid = staff_uid, .roles = ALL_STAFF_ROLES};
    enum antag_err err;

    r->created_at_ms = now_ms;
    if ((err = ag_regdb_exec(r->db, PRAGMA_APP_ID "=" STRING(APPLICATION_ID), fault)) != ANTAG_OK ||
        (err = start(r, fault)) != ANTAG_OK || (err = ag_registry_migrate(r, fault)) != ANTAG_OK ||
        (err = ag_registry_put_staff(r, &first, fault)) != ANTAG_OK ||
        (err = ag_registry_commit(r, NULL, fault)) != ANTAG_OK)
        return err;
    return ag_regdb_flush(r->db, fault);
}

enum antag_err ag_registry_create_as(const char *path, const struct ag_secret *mac_key,
                                     uint32_t staff_uid, int64_t now_ms,
                                     const struct ag_schema *plan, struct antag_fault *fault)
{
    struct ag_registry *r;
    enum antag_err err;

    if ((r = blank(mac_key, plan, fault)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    if ((err = ag_regdb_make_file(path, fault)) != ANTAG_OK) {
        ag_registry_close(r);
        return err;
    }
    if ((err = ag_regdb_open(path, true, &r->db, fault)) == ANTAG_OK)
        err = fill(r, staff_uid, now_ms, fault);
    ag_registry_close(r);
    if (err == ANTAG_OK)
        err = ag_regdb_sync_folder(path, fault);
    if (err != ANTAG_OK)
        ag_regdb_remove_files(path);
    return err;
}

static enum antag_err check_header(struct ag_registry *r, struct antag_fault *fault)
{
    int64_t application = 0, version = 0;
    enum antag_err err;

    if ((err = ag_regdb_number(r->db, PRAGMA_APP_ID, &application, fault)) != ANTAG_OK ||
        (err = ag_regdb_number(r->db, "PRAGMA user_version", &version, fault)) != ANTAG_OK)
        return err;
    if (application != APPLICATION_ID || version < 1)
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                               "the file's header is not that of a registry");
    if (version > r->plan->version)
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                               "the registry has schema %" PRId64
                               ", and this agent knows schemas up "
                               "to %d: it was used by a newer agent; start that one",
                               version, r->plan->version);
    r->schema = (int)version;
    return ANTAG_OK;
}

static enum antag_err upgrade(struct ag_registry *r, struct antag_fault *fault)
{
    int from = r->schema;
    enum antag_err err;

    if (from == r->plan->version)
        return ANTAG_OK;
    if ((err = ag_registry_begin(r, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_registry_migrate(r, fault)) == ANTAG_OK)
        err = ag_registry_commit(r, NULL, fault);
    if (err == ANTAG_OK)
        ag_log(AG_LOG_INFO, "registry.migrated", AG_F_INT("from", from), AG_F_INT("to", r->schema));
    return err;
}

enum antag_err ag_registry_open_as(const char *path, const struct ag_secret *mac_key,
                                   const struct ag_schema *plan, struct ag_registry **out,
                                   struct antag_fault *fault)
{
    struct ag_registry *r;
    enum antag_err err;

    if ((r = blank(mac_key, plan, fault)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    if ((err = ag_regdb_open(path, false, &r->db, fault)) != ANTAG_OK ||
        (err = check_header(r, fault)) != ANTAG_OK || (err = verify(r, fault)) != ANTAG_OK ||
        (err = upgrade(r, fault)) != ANTAG_OK)
        goto out;
    r->erase_pending = true; /* a crash may have come between an erasure and its checkpoint */
    wipe_log(r);
    *out = r;
    r = NULL; /* transferred */
out:
    ag_registry_close(r);
    return err;
}

enum antag_err ag_registry_create(const char *path, const struct ag_secret *mac_key,
                                  uint32_t staff_uid, int64_t now_ms, struct antag_fault *fault)
{
    return ag_registry_create_as(path, mac_key, staff_uid, now_ms, &ag_registry_schema, fault);
}

enum antag_err ag_registry_open(const char *path, const struct ag_secret *mac_key,
                                struct ag_registry **out, struct antag_fault *fault)
{
    return ag_registry_open_as(path, mac_key, &ag_registry_schema, out, fault);
}
