#include "agent/steward/alter.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/quorum.h"
#include "agent/steward/render.h"

/* ---- the digest of what was there */

static void hash_bytes(struct ag_alter *a, const void *p, size_t len)
{
    uint8_t head[8];

    for (size_t i = 0; i < sizeof head; i++)
        head[i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    crypto_generichash_update(&a->hash, head, sizeof head);
    crypto_generichash_update(&a->hash, p, len);
}

/* What the agent itself counts and notes while it works: no change grows stale because of it. */
static const struct tally {
    const char *table, *column;
} tallies[] = {
    {"profile", "proved"},
    {"merchant_key", "reminded"},
    {"merchant", "used"},
    {"merchant", "used_at_ms"},
    {"rotation", "old_probe"},
    {"rotation", "new_probe"},
    {"rotation", "old_probe_at_ms"},
    {"rotation", "new_probe_at_ms"},
    {"rotation", "old_said"},
    {"rotation", "new_said"},
    {"rotation", "alarm"},
    {"rotation", "reminded_at_ms"},
    {"rotation", "failures"},
    {"rotation", "failures_at_ms"},
};

static bool is_tally(const struct ag_regdiff *d)
{
    for (size_t i = 0; i < sizeof tallies / sizeof tallies[0]; i++)
        if (strcmp(tallies[i].table, d->table) == 0 && strcmp(tallies[i].column, d->column) == 0)
            return true;
    return false;
}

static void hash_diff(struct ag_alter *a, const struct ag_regdiff *d)
{
    if (is_tally(d))
        return;
    hash_bytes(a, d->table, strlen(d->table));
    hash_bytes(a, &d->id, sizeof d->id);
    hash_bytes(a, d->column, strlen(d->column));
    hash_bytes(a, &d->goes, sizeof d->goes);
    if (d->was.kind == AG_REGVALUE_NUMBER)
        hash_bytes(a, &d->was.number, sizeof d->was.number);
    else if (d->was.kind != AG_REGVALUE_NONE)
        hash_bytes(a, d->was.bytes.p, d->was.bytes.len);
}

/* ---- values in words */

typedef void say_fn(const struct ag_regvalue *v, char *out, size_t size);

static void say_text(const struct ag_regvalue *v, char *out, size_t size)
{
    size_t n = v->bytes.len < size - 1 ? v->bytes.len : size - 1;

    memcpy(out, v->bytes.p, n);
    out[n] = '\0';
    for (char *p = out; *p != '\0'; p++) /* globs are separated by line feeds */
        if (*p == '\n')
            *p = ' ';
}

static void say_number(const struct ag_regvalue *v, char *out, size_t size)
{
    snprintf(out, size, "%lld", (long long)v->number);
}

static void say_bool(const struct ag_regvalue *v, char *out, size_t size)
{
    snprintf(out, size, "%s", v->number != 0 ? "yes" : "no");
}

static void say_age(const struct ag_regvalue *v, char *out, size_t size)
{
    if (v->number < 0)
        snprintf(out, size, "as configured");
    else if (v->number == 0)
        snprintf(out, size, "any");
    else
        snprintf(out, size, "%lld s", (long long)(v->number / 1000));
}

static void say_key_state(const struct ag_regvalue *v, char *out, size_t size)
{
    snprintf(out, size, "%s", ag_key_state_name((enum ag_key_state)v->number));
}

static void say_rotation_state(const struct ag_regvalue *v, char *out, size_t size)
{
    snprintf(out, size, "%s", ag_rotation_state_name((enum ag_rotation_state)v->number));
}

static void say_antom_state(const struct ag_regvalue *v, char *out, size_t size)
{
    snprintf(out, size, "%s", ag_antom_key_state_name((enum ag_antom_key_state)v->number));
}

static void say_fingerprint(const struct ag_regvalue *v, char *out, size_t size)
{
    char fingerprint[65];

    ag_keyform_fingerprint(v->bytes, fingerprint);
    snprintf(out, size, "SHA-256 %s", fingerprint);
}

static void say_quorum(const struct ag_regvalue *v, char *out, size_t size)
{
    char text[AG_QUORUM_TEXT];

    ag_quorum_text((uint32_t)v->number, text);
    snprintf(out, size, "%s", text);
}

static void say_roles(const struct ag_regvalue *v, char *out, size_t size)
{
    static const enum antag_staff_role all[] = {ANTAG_ROLE_VIEWER, ANTAG_ROLE_OFFICER,
                                                ANTAG_ROLE_APPROVER};
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < 3; i++)
        if ((v->number & (int64_t)all[i]) != 0 && at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? " " : "",
                                   ag_staff_role_name(all[i]));
}

static void say_ops(const struct ag_regvalue *v, char *out, size_t size)
{
    snprintf(out, size, "%s%s%s", (v->number & AG_OP_SIGN) != 0 ? "sign " : "",
             (v->number & AG_OP_VERIFY) != 0 ? "verify " : "",
             (v->number & AG_OP_EXPLAIN) != 0 ? "explain" : "");
}

static void say_who(const struct ag_regvalue *v, char *out, size_t size)
{
    static const char *const names[] = {
        [AG_WHO_UID] = "a user", [AG_WHO_GID] = "a group", [AG_WHO_UNIT] = "a systemd unit"};

    snprintf(out, size, "%s", v->number >= 0 && v->number < 3 ? names[v->number] : "?");
}

static void say_token(const struct ag_regvalue *v, char *out, size_t size)
{
    (void)v;
    snprintf(out, size, "a sealed token");
}

/* What people are shown of each table; other columns are bookkeeping. */
static const struct said {
    const char *table, *column, *words;
    say_fn *say;
} said[] = {
    {"profile", "client_id", "client id", say_text},
    {"profile", "gateway", "gateway", say_text},
    {"profile", "notify_url", "notification URL", say_text},
    {"profile", "response_max_age_ms", "maximum age of responses", say_age},
    {"profile", "notification_max_age_ms", "maximum age of notifications", say_age},
    {"profile", "cryptoperiod_days", "days a key is used", say_number},
    {"profile", "launched", "launched", say_bool},
    {"profile", "isv_client_id", "isv client id", say_text},
    {"profile", "isv_customer_id", "isv customer id", say_text},
    {"profile", "test_customer_id", "test customer id", say_text},
    {"profile", "quorum", "quorum", say_quorum},
    {"merchant_key", "state", "state", say_key_state},
    {"merchant_key", "key_version", "key_version in the header", say_number},
    {"rotation", "state", "state", say_rotation_state},
    {"antom_key", "state", "state", say_antom_state},
    {"antom_key", "bits", "bits", say_number},
    {"antom_key", "spki", "fingerprint", say_fingerprint},
    {"fence_exception", "path", "path", say_text},
    {"caller_grant", "who", "callers", say_who},
    {"caller_grant", "number", "uid or gid", say_number},
    {"caller_grant", "unit", "systemd unit", say_text},
    {"caller_grant", "ops", "may", say_ops},
    {"caller_grant", "query", "with a query", say_bool},
    {"caller_grant", "max_body", "largest body, bytes", say_number},
    {"caller_grant", "methods", "methods", say_text},
    {"caller_grant", "paths", "paths", say_text},
    {"caller_grant", "merchants", "for merchants", say_text},
    {"caller_grant", "rate", "requests a second", say_number},
    {"caller_grant", "burst", "requests at once", say_number},
    {"merchant", "suspended", "suspended", say_bool},
    {"merchant", "description", "description", say_text},
    {"merchant", "sealed", "token", say_token},
    {"staff", "roles", "staff roles", say_roles},
    {"staff", "mail", "mailbox", say_text},
    {"staff", "mail_verified", "mailbox is verified", say_bool},
};

static void say_value(const struct said *s, const struct ag_regvalue *v, char *out, size_t size)
{
    out[0] = '\0';
    if (v->kind != AG_REGVALUE_NONE)
        s->say(v, out, size);
}

/* ---- what it is about */

static uint64_t profile_of(const struct ag_regdiff *d)
{
    if (strcmp(d->table, "profile") == 0)
        return ((const struct ag_row_profile *)d->row)->id;
    if (strcmp(d->table, "merchant_key") == 0)
        return ((const struct ag_row_key *)d->row)->profile_id;
    if (strcmp(d->table, "antom_key") == 0)
        return ((const struct ag_row_antom_key *)d->row)->profile_id;
    if (strcmp(d->table, "fence_exception") == 0)
        return ((const struct ag_row_fence *)d->row)->profile_id;
    if (strcmp(d->table, "caller_grant") == 0)
        return ((const struct ag_row_grant *)d->row)->profile_id;
    if (strcmp(d->table, "merchant") == 0)
        return ((const struct ag_row_merchant *)d->row)->profile_id;
    if (strcmp(d->table, "rotation") == 0)
        return ((const struct ag_row_rotation *)d->row)->profile_id;
    return 0;
}

static void name_row(const struct ag_alter *a, const struct ag_regdiff *d, char *out, size_t size)
{
    const struct ag_row_profile *p = ag_book_profile(a->book, profile_of(d));
    const char *of = p == NULL ? "?" : p->name;

    if (strcmp(d->table, "merchant_key") == 0)
        snprintf(out, size, "%s key %u", of, ((const struct ag_row_key *)d->row)->version);
    else if (strcmp(d->table, "antom_key") == 0)
        snprintf(out, size, "%s Antom key %u", of,
                 ((const struct ag_row_antom_key *)d->row)->version);
    else if (strcmp(d->table, "rotation") == 0)
        snprintf(out, size, "%s rotation", of);
    else if (strcmp(d->table, "staff") == 0)
        snprintf(out, size, "uid %u", (unsigned)((const struct ag_row_staff *)d->row)->uid);
    else if (strcmp(d->table, "merchant") == 0)
        snprintf(out, size, "%s merchant %s", of, ((const struct ag_row_merchant *)d->row)->name);
    else if (strcmp(d->table, "fence_exception") == 0)
        snprintf(out, size, "%s fence", of);
    else if (strcmp(d->table, "caller_grant") == 0)
        snprintf(out, size, "%s %sgrant", of, d->comes ? "new " : "");
    else
        snprintf(out, size, "%s", of);
}

static void add_line(struct ag_alter *a, const struct ag_regdiff *d, const struct said *s)
{
    struct ag_alter_line line;
    char name[ANTAG_PROFILE_MAX + ANTAG_MERCHANT_MAX + 24];

    say_value(s, &d->was, line.was, sizeof line.was);
    say_value(s, &d->is, line.is, sizeof line.is);
    if (s->say == say_number && strcmp(d->table, "caller_grant") == 0 &&
        strcmp(d->column, "number") == 0 &&
        ((const struct ag_row_grant *)d->row)->who == AG_WHO_UNIT)
        return;
    if (line.was[0] == '\0' && line.is[0] == '\0')
        return; /* of a row that comes or goes: what it does not have */
    if (a->line_count == AG_ALTER_LINES_MAX) {
        a->left_out++;
        return;
    }
    name_row(a, d, name, sizeof name);
    snprintf(line.what, sizeof line.what, "%s: %s", name, s->words);
    a->lines[a->line_count++] = line;
}

static void note_demotion(struct ag_alter *a, const struct ag_regdiff *d)
{
    if (strcmp(d->table, "staff") != 0 || strcmp(d->column, "roles") != 0 ||
        d->was.kind != AG_REGVALUE_NUMBER)
        return;
    if (d->goes || (d->was.number & ~d->is.number) != 0) {
        a->demotes = true;
        a->demoted = ((const struct ag_row_staff *)d->row)->uid;
    }
}

static void on_diff(const struct ag_regdiff *d, void *ctx)
{
    struct ag_alter *a = ctx;

    hash_diff(a, d);
    a->touched = true;
    note_demotion(a, d);
    if (a->profile_id == 0)
        a->profile_id = profile_of(d);
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        if (strcmp(said[i].table, d->table) == 0 && strcmp(said[i].column, d->column) == 0)
            add_line(a, d, &said[i]);
}

void ag_alter_begin(struct ag_alter *a, struct ag_txn *t)
{
    memset(a, 0, sizeof *a);
    a->book = t->book;
    crypto_generichash_init(&a->hash, NULL, 0, AG_ALTER_BASE_LEN);
    t->alter = a;
    ag_registry_watch(t->st->reg, on_diff, a);
}

void ag_alter_note(struct ag_txn *t, const char *what, const char *was, const char *is)
{
    struct ag_alter *a = t->alter;
    struct ag_alter_line *line;

    if (a == NULL)
        return;
    hash_bytes(a, what, strlen(what));
    hash_bytes(a, was, strlen(was));
    if (a->line_count == AG_ALTER_LINES_MAX) {
        a->left_out++;
        return;
    }
    line = &a->lines[a->line_count++];
    snprintf(line->what, sizeof line->what, "%s", what);
    snprintf(line->was, sizeof line->was, "%s", was);
    snprintf(line->is, sizeof line->is, "%s", is);
}

void ag_alter_base(struct ag_alter *a, uint8_t out[AG_ALTER_BASE_LEN])
{
    crypto_generichash_final(&a->hash, out, AG_ALTER_BASE_LEN);
}
