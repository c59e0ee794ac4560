/* One row of any kind: its SQL, its binding, its reading and its MAC, all from the kind's columns. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/steward/registry/registry_internal.h"

#define SQL_MAX 1024

/* ---- canonical bytes */

static void append(struct ag_regbuf *b, const void *p, size_t len)
{
    if (b->full || len > b->cap - b->len) {
        b->full = true;
        return;
    }
    if (len > 0)
        memcpy(b->p + b->len, p, len);
    b->len += len;
}

void ag_regbuf_u64(struct ag_regbuf *b, uint64_t v)
{
    uint8_t bytes[8];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(v >> (56 - 8 * i));
    append(b, bytes, sizeof(bytes));
}

void ag_regbuf_bytes(struct ag_regbuf *b, const void *p, size_t len)
{
    ag_regbuf_u64(b, len);
    append(b, p, len);
}

void ag_regbuf_text(struct ag_regbuf *b, const char *s)
{
    ag_regbuf_bytes(b, s, strlen(s));
}

void ag_regbuf_mac(struct ag_regbuf *b, const uint8_t mac[AG_MAC_LEN])
{
    append(b, mac, AG_MAC_LEN);
}

/* ---- fields of a row's struct */

static const void *field(const void *row, const struct ag_col *col)
{
    return (const uint8_t *)row + col->offset;
}

static size_t blob_len(const void *row, const struct ag_col *col)
{
    size_t len;

    memcpy(&len, (const uint8_t *)row + col->len_offset, sizeof(len));
    return len;
}

/* A column that is a number, as 64 bits; a negative one as its two's complement. */
static uint64_t number(const void *row, const struct ag_col *col)
{
    uint64_t wide = 0;
    uint32_t narrow = 0;
    bool flag = false;

    switch (col->type) {
    case AG_COL_U32:
        memcpy(&narrow, field(row, col), sizeof(narrow));
        return narrow;
    case AG_COL_BOOL:
        memcpy(&flag, field(row, col), sizeof(flag));
        return flag ? 1 : 0;
    default:
        memcpy(&wide, field(row, col), sizeof(wide));
        return wide;
    }
}

static enum antag_err check_column(const struct ag_kind *kind, const struct ag_col *col,
                                   const void *row, struct antag_fault *fault)
{
    if (col->type == AG_COL_TEXT && memchr(field(row, col), '\0', col->size) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, col->name,
                               "%s: %s has more than %zu bytes", kind->what, col->name,
                               col->size - 1);
    if (col->type == AG_COL_BLOB && blob_len(row, col) > col->size)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, col->name,
                               "%s: %s has %zu bytes, at most %zu are allowed", kind->what,
                               col->name, blob_len(row, col), col->size);
    if (col->type == AG_COL_U64 && number(row, col) > INT64_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, col->name,
                               "%s: %s is %" PRIu64 ", at most %" PRId64 " is allowed", kind->what,
                               col->name, number(row, col), INT64_MAX);
    return ANTAG_OK;
}

enum antag_err ag_regrow_check(const struct ag_kind *kind, const void *row,
                               struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; err == ANTAG_OK && i < kind->col_count; i++)
        err = check_column(kind, &kind->cols[i], row, fault);
    return err;
}

bool ag_regcol_same(const struct ag_col *col, const void *a, const void *b)
{
    if (col->type == AG_COL_TEXT)
        return strcmp(field(a, col), field(b, col)) == 0;
    if (col->type == AG_COL_BLOB)
        return blob_len(a, col) == blob_len(b, col) &&
               memcmp(field(a, col), field(b, col), blob_len(a, col)) == 0; /* public or sealed */
    return number(a, col) == number(b, col);
}

struct ag_regvalue ag_regcol_value(const struct ag_col *col, const void *row)
{
    if (col->type == AG_COL_TEXT)
        return (struct ag_regvalue){.kind = AG_REGVALUE_TEXT,
                                    .bytes = antag_slice_of(field(row, col))};
    if (col->type == AG_COL_BLOB)
        return (struct ag_regvalue){.kind = AG_REGVALUE_BYTES,
                                    .bytes = {field(row, col), blob_len(row, col)}};
    return (struct ag_regvalue){.kind = AG_REGVALUE_NUMBER, .number = (int64_t)number(row, col)};
}

enum antag_err ag_regrow_check_change(const struct ag_kind *kind, const void *was, const void *row,
                                      struct antag_fault *fault)
{
    for (size_t i = 0; i < kind->col_count; i++) {
        const struct ag_col *col = &kind->cols[i];

        if (col->rule == AG_COL_FIXED && !ag_regcol_same(col, was, row))
            return antag_fault_set(fault, ANTAG_ERR_IMMUTABLE, col->name,
                                   "%s of %s %" PRIu64 " never changes", col->name, kind->what,
                                   *(const uint64_t *)row);
        if (col->rule == AG_COL_RISES && number(row, col) < number(was, col))
            return antag_fault_set(fault, ANTAG_ERR_IMMUTABLE, col->name,
                                   "%s of %s %" PRIu64 " is %" PRIu64 " and never goes back",
                                   col->name, kind->what, *(const uint64_t *)row, number(was, col));
    }
    return ANTAG_OK;
}

/* ---- MAC */

/* Columns stand under their names: the same bytes in another column are other content. */
enum antag_err ag_regrow_mac(struct ag_registry *r, const struct ag_kind *kind, const void *row,
                             uint8_t out[AG_MAC_LEN], struct antag_fault *fault)
{
    struct ag_regbuf b = {r->encoded, 0, sizeof(r->encoded), false};

    ag_regbuf_text(&b, "antag registry row 1");
    ag_regbuf_text(&b, kind->table);
    ag_regbuf_u64(&b, *(const uint64_t *)row);
    for (size_t i = 0; i < kind->col_count; i++) {
        const struct ag_col *col = &kind->cols[i];

        if (col->since > r->schema)
            continue;
        ag_regbuf_text(&b, col->name);
        ag_regbuf_u64(&b, (uint64_t)col->type);
        if (col->type == AG_COL_TEXT)
            ag_regbuf_text(&b, field(row, col));
        else if (col->type == AG_COL_BLOB)
            ag_regbuf_bytes(&b, field(row, col), blob_len(row, col));
        else
            ag_regbuf_u64(&b, number(row, col));
    }
    if (b.full)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL,
                               "a row of table %s is larger than expected", kind->table);
    ag_mac(r->mac_key, (struct antag_slice){b.p, b.len}, out);
    return ANTAG_OK;
}

/* ---- SQL */

struct text {
    char s[SQL_MAX];
    size_t len;
    bool full;
};

static void ANTAG_PRINTF(2, 3) add(struct text *t, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof(t->s) - t->len)
        t->full = true;
    else
        t->len += (size_t)n;
}

/* Names of columns only: what comes from a caller is bound, never written into SQL. */
static void add_columns(struct text *t, const struct ag_kind *kind, int schema, bool assign)
{
    unsigned slot = 3; /* 1 is the id, 2 the MAC */

    for (size_t i = 0; i < kind->col_count; i++) {
        if (kind->cols[i].since > schema)
            continue;
        if (assign)
            add(t, ", %s=?%u", kind->cols[i].name, slot++);
        else
            add(t, ", %s", kind->cols[i].name);
    }
}

static void add_slots(struct text *t, const struct ag_kind *kind, int schema)
{
    unsigned slot = 3;

    for (size_t i = 0; i < kind->col_count; i++)
        if (kind->cols[i].since <= schema)
            add(t, ", ?%u", slot++);
}

static void make_sql(struct text *t, const struct ag_kind *kind, int schema, enum ag_regop op)
{
    switch (op) {
    case AG_REGOP_GET:
    case AG_REGOP_SCAN:
        add(t, "SELECT id, mac");
        add_columns(t, kind, schema, false);
        /* a scan must see the table: an index could tell another story */
        add(t, op == AG_REGOP_GET ? " FROM %s WHERE id=?1" : " FROM %s NOT INDEXED ORDER BY id",
            kind->table);
        break;
    case AG_REGOP_INSERT:
        add(t, "INSERT INTO %s (id, mac", kind->table);
        add_columns(t, kind, schema, false);
        add(t, ") VALUES (?1, ?2");
        add_slots(t, kind, schema);
        add(t, ")");
        break;
    case AG_REGOP_UPDATE:
    case AG_REGOP_REMAC:
        add(t, "UPDATE %s SET mac=?2", kind->table);
        if (op == AG_REGOP_UPDATE)
            add_columns(t, kind, schema, true);
        add(t, " WHERE id=?1");
        break;
    default:
        add(t, "DELETE FROM %s WHERE id=?1", kind->table);
        break;
    }
}

enum antag_err ag_regrow_stmt(struct ag_registry *r, enum ag_kind_id id, enum ag_regop op,
                              sqlite3_stmt **out, struct antag_fault *fault)
{
    sqlite3_stmt **slot = &r->stmts[id][op];
    struct text t = {.len = 0};
    enum antag_err err;

    if (*slot == NULL) {
        make_sql(&t, &r->plan->kinds[id], r->schema, op);
        if (t.full)
            return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "SQL for table %s is too long",
                                   r->plan->kinds[id].table);
        if ((err = ag_regdb_prepare(r->db, t.s, slot, fault)) != ANTAG_OK)
            return err;
    }
    sqlite3_reset(*slot);
    sqlite3_clear_bindings(*slot);
    *out = *slot;
    return ANTAG_OK;
}

void ag_regrow_drop_stmts(struct ag_registry *r)
{
    for (size_t i = 0; i < AG_KIND_COUNT; i++)
        for (size_t op = 0; op < AG_REGOP_COUNT; op++) {
            sqlite3_finalize(r->stmts[i][op]);
            r->stmts[i][op] = NULL;
        }
    for (size_t i = 0; i < AG_REGFIND_COUNT; i++) {
        sqlite3_finalize(r->finds[i]);
        r->finds[i] = NULL;
    }
}

static int bind_column(sqlite3_stmt *st, int slot, const struct ag_col *col, const void *row)
{
    if (col->type == AG_COL_TEXT)
        return sqlite3_bind_text(st, slot, field(row, col), -1, SQLITE_STATIC);
    if (col->type == AG_COL_BLOB)
        return sqlite3_bind_blob64(st, slot, field(row, col), blob_len(row, col), SQLITE_STATIC);
    return sqlite3_bind_int64(st, slot, (sqlite3_int64)number(row, col));
}

int ag_regrow_bind(sqlite3_stmt *st, const struct ag_kind *kind, int schema, const void *row,
                   const uint8_t mac[AG_MAC_LEN])
{
    int code = sqlite3_bind_int64(st, 1, (sqlite3_int64) * (const uint64_t *)row);
    int slot = 3;

    if (code == SQLITE_OK)
        code = sqlite3_bind_blob(st, 2, mac, AG_MAC_LEN, SQLITE_STATIC);
    for (size_t i = 0; code == SQLITE_OK && i < kind->col_count; i++)
        if (kind->cols[i].since <= schema)
            code = bind_column(st, slot++, &kind->cols[i], row);
    return code;
}

/* ---- reading: the file is not trusted before its MAC was compared, so every size and type is checked */

enum antag_err ag_regrow_broken(const struct ag_kind *kind, uint64_t id, const char *reason,
                                struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL, "table %s, row %" PRIu64 ": %s",
                           kind->table, id, reason);
}

/* False when the value is not one that bind_column could have written. */
static bool read_number(sqlite3_stmt *st, int slot, const struct ag_col *col, void *row)
{
    int64_t v = sqlite3_column_int64(st, slot);
    void *to = (uint8_t *)row + col->offset;
    uint32_t narrow = (uint32_t)v;
    bool flag = v != 0;

    if (sqlite3_column_type(st, slot) != SQLITE_INTEGER)
        return false;
    switch (col->type) {
    case AG_COL_U32:
        memcpy(to, &narrow, sizeof(narrow));
        return v >= 0 && v <= UINT32_MAX;
    case AG_COL_BOOL:
        memcpy(to, &flag, sizeof(flag));
        return v == 0 || v == 1;
    case AG_COL_U64:
        memcpy(to, &v, sizeof(v));
        return v >= 0;
    default:
        memcpy(to, &v, sizeof(v));
        return true;
    }
}

static bool read_bytes(sqlite3_stmt *st, int slot, const struct ag_col *col, void *row)
{
    bool text = col->type == AG_COL_TEXT;
    const void *p;
    size_t len;

    if (sqlite3_column_type(st, slot) != (text ? SQLITE_TEXT : SQLITE_BLOB))
        return false;
    p = text ? (const void *)sqlite3_column_text(st, slot) : sqlite3_column_blob(st, slot);
    len = (size_t)sqlite3_column_bytes(st, slot);
    if (len > (text ? col->size - 1 : col->size) || (len > 0 && p == NULL) ||
        (text && len > 0 && memchr(p, '\0', len) != NULL))
        return false;
    if (len > 0) /* the row was zeroed: a text is terminated */
        memcpy((uint8_t *)row + col->offset, p, len);
    if (!text)
        memcpy((uint8_t *)row + col->len_offset, &len, sizeof(len));
    return true;
}

enum antag_err ag_regrow_read(struct ag_registry *r, sqlite3_stmt *st, const struct ag_kind *kind,
                              void *row, uint8_t mac[AG_MAC_LEN], struct antag_fault *fault)
{
    uint64_t id = (uint64_t)sqlite3_column_int64(st, 0);
    const void *stored = sqlite3_column_blob(st, 1);
    char reason[96];
    bool fits;
    int slot = 2;

    memset(row, 0, kind->row_size);
    memcpy(row, &id, sizeof(id));
    if (id == 0 || id > INT64_MAX)
        return ag_regrow_broken(kind, id, "ids are positive", fault);
    if (stored == NULL || sqlite3_column_bytes(st, 1) != AG_MAC_LEN)
        return ag_regrow_broken(kind, id, "the row has no MAC", fault);
    memcpy(mac, stored, AG_MAC_LEN);
    for (size_t i = 0; i < kind->col_count; i++) {
        const struct ag_col *col = &kind->cols[i];

        if (col->since > r->schema)
            continue;
        fits = col->type == AG_COL_TEXT || col->type == AG_COL_BLOB
                   ? read_bytes(st, slot++, col, row)
                   : read_number(st, slot++, col, row);
        if (!fits && sqlite3_errcode(r->db) == SQLITE_NOMEM)
            return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "%s", "");
        if (!fits) {
            snprintf(reason, sizeof(reason), "%s is not of a form that is ever written", col->name);
            return ag_regrow_broken(kind, id, reason, fault);
        }
    }
    return ANTAG_OK;
}
