/* registry, inside: what its files and its tests share. Nobody else includes this.
 *
 * regkinds.c  the columns of every kind of row, as data        schema.c    DDL and migrations
 * regrow.c    SQL, binding, reading and MAC, from those data   regdb.c     the SQLite handle, errors
 * regset.c    the MACs of all rows, in memory                  rows.c      get, put, each, find
 * registry.c  create, open, transactions                       row_grant.c globs of grants
 * regdiff.c   what a write alters, for those who watch */
#ifndef AG_REGISTRY_INTERNAL_H
#define AG_REGISTRY_INTERNAL_H

#include <sqlite3.h>

#include "agent/steward/registry/registry.h"

/* The order is that of the digests in the meta row: new kinds go to the end. */
enum ag_kind_id {
    AG_KIND_APP,
    AG_KIND_PROFILE,
    AG_KIND_KEY,
    AG_KIND_ANTOM_KEY,
    AG_KIND_FENCE,
    AG_KIND_STAFF,
    AG_KIND_INTENT,
    AG_KIND_GRANT,
    AG_KIND_DEED,     /* since schema 2 */
    AG_KIND_MAIL,     /* since schema 2 */
    AG_KIND_CODE,     /* since schema 2 */
    AG_KIND_CHANGE,   /* since schema 2 */
    AG_KIND_APPROVAL, /* since schema 2 */
    AG_KIND_RECOVERY, /* since schema 2 */
    AG_KIND_MERCHANT, /* since schema 2 */
    AG_KIND_ROTATION, /* since schema 2 */
    AG_KIND_GONE,     /* since schema 2 */
    AG_KIND_SEAL,     /* since schema 2 */
    AG_KIND_PIN,      /* since schema 2 */
    AG_KIND_COUNT
};

union ag_regrow {
    uint64_t id; /* every kind of row begins with it */
    struct ag_row_app app;
    struct ag_row_profile profile;
    struct ag_row_key key;
    struct ag_row_antom_key antom_key;
    struct ag_row_fence fence;
    struct ag_row_staff staff;
    struct ag_row_intent intent;
    struct ag_row_grant grant;
    struct ag_row_deed deed;
    struct ag_row_mail mail;
    struct ag_row_code code;
    struct ag_row_change change;
    struct ag_row_approval approval;
    struct ag_row_recovery recovery;
    struct ag_row_merchant merchant;
    struct ag_row_rotation rotation;
    struct ag_row_gone gone;
    struct ag_row_seal seal;
    struct ag_row_pin pin;
};

enum ag_col_type { AG_COL_U64, AG_COL_U32, AG_COL_I64, AG_COL_BOOL, AG_COL_TEXT, AG_COL_BLOB };
/* FREE: may change; FIXED: never changes once written; RISES: may only become larger */
enum ag_col_rule { AG_COL_FREE, AG_COL_FIXED, AG_COL_RISES };

struct ag_col {
    const char *name; /* in the table and in the struct */
    enum ag_col_type type;
    enum ag_col_rule rule;
    int since;         /* first schema that has it */
    size_t offset;     /* in the row's struct */
    size_t size;       /* of the field; a text holds one byte less */
    size_t len_offset; /* BLOB: where its length (size_t) is */
};

struct ag_kind {
    const char *table;
    const char *what; /* for people: "merchant key" */
    size_t row_size;
    int since;            /* first schema that has it */
    enum ag_kind_id twin; /* ids are drawn from one sequence with this kind; itself when alone */
    const struct ag_col *cols;
    size_t col_count;
};

/* A schema: what create and open bring a registry to. Tests bring others than the current one. */
struct ag_schema {
    int version;
    const char *const *steps; /* steps[v] leads from schema v to v + 1; 0 is the empty file */
    const struct ag_kind *kinds;
};
extern const struct ag_kind ag_registry_kinds[AG_KIND_COUNT];
extern const struct ag_schema ag_registry_schema;

/* ---- the MACs of all rows of a kind, in order of id. What was verified at open and what this process
 * wrote since: a row read must carry the MAC that stands here, so that a row put back to an older
 * version behind our back is found too, and a commit never blesses one. */
struct ag_regmac {
    uint64_t id;
    uint8_t mac[AG_MAC_LEN];
};
struct ag_regset {
    struct ag_regmac *v;
    size_t count, cap;
    uint64_t last_id; /* the largest ever used */
    bool dirty;       /* changed since its digest was made */
};
void ag_regset_fini(struct ag_regset *s);
const struct ag_regmac *ag_regset_find(const struct ag_regset *s, uint64_t id);
const struct ag_regmac *ag_regset_after(const struct ag_regset *s, uint64_t id); /* the next one */
/* errors: NO_MEMORY */
ANTAG_MUST_CHECK enum antag_err ag_regset_put(struct ag_regset *s, uint64_t id,
                                              const uint8_t mac[AG_MAC_LEN]);
void ag_regset_remove(struct ag_regset *s, uint64_t id);
ANTAG_MUST_CHECK enum antag_err ag_regset_copy(const struct ag_regset *s, struct ag_regset *out);
/* MAC over the table's name, the largest id used, and id and MAC of every row. errors: NO_MEMORY,
 * INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_regset_digest(const struct ag_regset *s, const char *table,
                                                 const struct ag_secret *key,
                                                 uint8_t out[AG_MAC_LEN]);

enum ag_regop {
    AG_REGOP_GET,
    AG_REGOP_SCAN,
    AG_REGOP_INSERT,
    AG_REGOP_UPDATE,
    AG_REGOP_REMAC,
    AG_REGOP_DELETE,
    AG_REGOP_COUNT
};
enum ag_regfind {
    AG_REGFIND_APP,
    AG_REGFIND_PROFILE,
    AG_REGFIND_KEY,
    AG_REGFIND_STAFF,
    AG_REGFIND_MERCHANT,
    AG_REGFIND_COUNT
};

/* Digests in the meta row: of the schema's text, then of every table. */
#define AG_DIGEST_COUNT       (1 + AG_KIND_COUNT)
/* The largest row encoded for its MAC: a grant, with names and lengths of its columns. */
#define AG_REGROW_ENCODED_MAX (sizeof(union ag_regrow) + 2048)

struct ag_registry {
    sqlite3 *db;
    struct ag_secret *mac_key;
    const struct ag_schema *plan;
    int schema; /* of the file; below the plan's only while it is being migrated */
    uint64_t epoch;
    uint64_t least_epoch; /* of the open transaction; 0: any */
    int64_t observed_ms, created_at_ms;
    uint8_t digests[AG_DIGEST_COUNT][AG_MAC_LEN];
    uint8_t meta_mac[AG_MAC_LEN];
    struct ag_regset sets[AG_KIND_COUNT];
    struct ag_regset saved[AG_KIND_COUNT]; /* as before the open transaction */
    bool in_transaction;
    bool failed;                 /* a call inside failed: it cannot be committed any more */
    bool erased;                 /* the open transaction takes sealed bytes away */
    bool erase_pending;          /* such bytes may still stand in the WAL */
    ag_registry_watch_fn *watch; /* of the open transaction; NULL: nobody */
    void *watch_ctx;
    uint64_t merchants_changed;
    sqlite3_stmt *stmts[AG_KIND_COUNT][AG_REGOP_COUNT];
    sqlite3_stmt *finds[AG_REGFIND_COUNT];
    sqlite3_stmt *rollback;
    union ag_regrow row, old; /* work space of one call */
    uint8_t encoded[AG_REGROW_ENCODED_MAX];
};

/* ---- regdb.c */
/* Open with all protections set; the file must be there, 0600, and only when `fresh` may it be empty.
 * errors: REGISTRY, IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_regdb_open(const char *path, bool fresh, sqlite3 **out,
                                              struct antag_fault *fault);
/* Make an empty file, 0600. errors: EXISTS, IO. */
ANTAG_MUST_CHECK enum antag_err ag_regdb_make_file(const char *path, struct antag_fault *fault);
void ag_regdb_remove_files(const char *path); /* the file and what SQLite puts beside it */
ANTAG_MUST_CHECK enum antag_err ag_regdb_sync_folder(const char *path, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_regdb_exec(sqlite3 *db, const char *sql,
                                              struct antag_fault *fault);
/* One whole number that `sql` gives; 0 when it gives no row. */
ANTAG_MUST_CHECK enum antag_err ag_regdb_number(sqlite3 *db, const char *sql, int64_t *out,
                                                struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_regdb_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out,
                                                 struct antag_fault *fault);
/* Does the file hold together, indexes included? errors: REGISTRY, IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_regdb_check(sqlite3 *db, struct antag_fault *fault);
/* Everything from the WAL into the file, and the WAL emptied. errors: IO. */
ANTAG_MUST_CHECK enum antag_err ag_regdb_flush(sqlite3 *db, struct antag_fault *fault);
/* A result code of SQLite into ours, logged with its value: FULL, IOERR, BUSY, CANTOPEN and the like
 * IO by name; CORRUPT, NOTADB REGISTRY; NOMEM NO_MEMORY; others INTERNAL. */
enum antag_err ag_regdb_error(sqlite3 *db, int code, const char *doing, struct antag_fault *fault);
/* A constraint that refused a row. kind: the row's. */
enum antag_err ag_regdb_refused(sqlite3 *db, const struct ag_kind *kind, const void *row,
                                struct antag_fault *fault);

/* ---- regrow.c */
/* Text within its maximum, numbers that SQLite can hold, blobs within theirs. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_regrow_check(const struct ag_kind *kind, const void *row,
                                                struct antag_fault *fault);
/* Do FIXED columns stay and RISES columns not fall? errors: IMMUTABLE, naming the column. */
ANTAG_MUST_CHECK enum antag_err ag_regrow_check_change(const struct ag_kind *kind, const void *was,
                                                       const void *row, struct antag_fault *fault);
/* Over the table's name, the id, and name, type and content of every column. errors: INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_regrow_mac(struct ag_registry *r, const struct ag_kind *kind,
                                              const void *row, uint8_t out[AG_MAC_LEN],
                                              struct antag_fault *fault);
/* The cached statement of `op`, reset and without bindings. */
ANTAG_MUST_CHECK enum antag_err ag_regrow_stmt(struct ag_registry *r, enum ag_kind_id id,
                                               enum ag_regop op, sqlite3_stmt **out,
                                               struct antag_fault *fault);
/* Bind id, MAC and columns for INSERT or UPDATE. `row` must live until the statement is reset. */
ANTAG_MUST_CHECK int ag_regrow_bind(sqlite3_stmt *st, const struct ag_kind *kind, int schema,
                                    const void *row, const uint8_t mac[AG_MAC_LEN]);
/* The row GET or SCAN stands on, unverified. errors: REGISTRY naming table, row and column. */
ANTAG_MUST_CHECK enum antag_err ag_regrow_read(struct ag_registry *r, sqlite3_stmt *st,
                                               const struct ag_kind *kind, void *row,
                                               uint8_t mac[AG_MAC_LEN], struct antag_fault *fault);
void ag_regrow_drop_stmts(struct ag_registry *r);
/* One column of a row: has it the same content in both, and which. */
bool ag_regcol_same(const struct ag_col *col, const void *a, const void *b);
struct ag_regvalue ag_regcol_value(const struct ag_col *col, const void *row);
/* ---- regdiff.c: tells whoever watches. was NULL: the row comes; is NULL: it goes. */
void ag_regdiff_tell(const struct ag_registry *r, enum ag_kind_id id, const void *was,
                     const void *is);
/* "table T, row N: REASON". Returns REGISTRY. */
enum antag_err ag_regrow_broken(const struct ag_kind *kind, uint64_t id, const char *reason,
                                struct antag_fault *fault);

/* Canonical bytes for MACs: big-endian numbers, every text and blob behind its length. What does not
 * fit makes it `full`, and then nothing may be made of it: a MAC over a part would protect a part. */
struct ag_regbuf {
    uint8_t *p;
    size_t len, cap;
    bool full;
};
void ag_regbuf_u64(struct ag_regbuf *b, uint64_t v);
void ag_regbuf_bytes(struct ag_regbuf *b, const void *p, size_t len);
void ag_regbuf_text(struct ag_regbuf *b, const char *s);
void ag_regbuf_mac(struct ag_regbuf *b, const uint8_t mac[AG_MAC_LEN]); /* without its length */

/* ---- schema.c */
/* Bring the file from r->schema to the plan's: DDL, then new MACs for all rows, in the open
 * transaction. errors: IO, REGISTRY, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_registry_migrate(struct ag_registry *r,
                                                    struct antag_fault *fault);
/* MAC over the text of the schema as it stands in the file. */
ANTAG_MUST_CHECK enum antag_err ag_registry_schema_digest(struct ag_registry *r,
                                                          uint8_t out[AG_MAC_LEN],
                                                          struct antag_fault *fault);

/* ---- rows.c: kind by number, for the typed functions of registry.h */
ANTAG_MUST_CHECK enum antag_err ag_rows_get(struct ag_registry *r, enum ag_kind_id id,
                                            uint64_t row_id, void *out, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rows_put(struct ag_registry *r, enum ag_kind_id id, void *row,
                                            struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rows_delete(struct ag_registry *r, enum ag_kind_id id,
                                               uint64_t row_id, struct antag_fault *fault);

/* ---- registry.c: create and open for another schema than the current one */
ANTAG_MUST_CHECK enum antag_err
ag_registry_create_as(const char *path, const struct ag_secret *mac_key, uint32_t staff_uid,
                      int64_t now_ms, const struct ag_schema *plan, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err
ag_registry_open_as(const char *path, const struct ag_secret *mac_key, const struct ag_schema *plan,
                    struct ag_registry **out, struct antag_fault *fault);

#endif
