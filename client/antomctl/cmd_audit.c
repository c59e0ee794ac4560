/* audit: reads the record from its files; needs no running agent, and nothing it says depends on one. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/antom.h"
#include "agent/lib/chain/tail.h"
#include "agent/lib/chain/verify.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"

#define CHAINS_MAX   16
#define SHOWN_LINES  20
#define LINES_MOST   1000
#define DIGEST_LEN   32
#define DIGESTS_MAX  2
#define FINDINGS_MAX 100 /* told of one chain; the rest is counted */

/* ---- the chains */

struct chains {
    size_t count;
    char names[CHAINS_MAX][ANTAG_KEYRING_MAX + 1];
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static enum antag_err cannot_read(const struct ctl *c, struct antag_fault *fault)
{
    if (errno == ENOENT)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, NULL,
                               "%.300s: there is no record here; it begins when the agent starts",
                               c->home.audit);
    return antag_fault_set(fault, ANTAG_ERR_IO, NULL,
                           "%.300s: %s; the record is read by the agent's own user, or root",
                           c->home.audit, strerror(errno));
}

static enum antag_err list_chains(const struct ctl *c, struct chains *out,
                                  struct antag_fault *fault)
{
    DIR *d = opendir(c->home.audit);
    struct dirent *e;

    out->count = 0;
    if (d == NULL)
        return cannot_read(c, fault);
    while ((e = readdir(d)) != NULL && out->count < CHAINS_MAX)
        if (e->d_name[0] != '.' && strlen(e->d_name) <= ANTAG_KEYRING_MAX)
            (void)snprintf(out->names[out->count++], sizeof out->names[0], "%s", e->d_name);
    closedir(d);
    qsort(out->names, out->count, sizeof out->names[0], by_name);
    return ANTAG_OK;
}

/* The one that the command names, or all. */
static enum antag_err pick_chains(const struct ctl *c, struct chains *out,
                                  struct antag_fault *fault)
{
    const char *wanted = ctl_args_get(&c->line, "CHAIN");
    enum antag_err err = list_chains(c, out, fault);
    char all[CHAINS_MAX * (ANTAG_KEYRING_MAX + 2) + 1] = "";
    size_t at = 0;

    if (err != ANTAG_OK || wanted == NULL)
        return err;
    for (size_t i = 0; i < out->count; i++) {
        if (strcmp(out->names[i], wanted) == 0) {
            memmove(out->names[0], out->names[i], sizeof out->names[0]);
            out->count = 1;
            return ANTAG_OK;
        }
        at += (size_t)snprintf(all + at, sizeof all - at, "%s%s", i > 0 ? ", " : "", out->names[i]);
    }
    return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "CHAIN",
                           "no chain %.40s is here; there are: %s", wanted,
                           out->count > 0 ? all : "none");
}

/* ---- what the chains noted of each other */

struct noted {
    size_t count, cap;
    struct note {
        char of[ANTAG_KEYRING_MAX + 1];
        struct ag_known_head head;
    } * v;
    bool no_memory;
};

static void take_note(const struct ag_line_head *head, struct antag_slice line, void *ctx)
{
    struct noted *all = ctx;
    struct note n = {.head = {.by_seq = head->seq}};
    struct antag_slice of;

    if (strcmp(head->type, "head") != 0 || !ag_line_field(line, "of", &of) ||
        !antag_slice_copy(of, n.of, sizeof n.of) || !ag_line_uint(line, "at_seq", &n.head.seq) ||
        !ag_line_hex(line, "at_hash", n.head.hash, sizeof n.head.hash))
        return;
    (void)snprintf(n.head.by, sizeof n.head.by, "%s", head->chain);
    if (all->count == all->cap) {
        size_t cap = all->cap > 0 ? 2 * all->cap : 256;
        struct note *more = realloc(all->v, cap * sizeof *more);

        all->no_memory = all->no_memory || more == NULL;
        if (more == NULL)
            return;
        all->v = more;
        all->cap = cap;
    }
    all->v[all->count++] = n;
}

static bool go_on(void *ctx)
{
    return ((struct noted *)ctx)->no_memory;
}

static enum antag_err collect_notes(const struct ctl *c, struct noted *out,
                                    struct antag_fault *fault)
{
    struct chains all;
    enum antag_err err = list_chains(c, &all, fault);

    for (size_t i = 0; i < all.count && err == ANTAG_OK; i++)
        err = ag_chain_tail(&(struct ag_tail_conf){.audit_dir = c->home.audit,
                                                   .name = all.names[i],
                                                   .on_line = take_note,
                                                   .on_segment = go_on,
                                                   .ctx = out},
                            fault);
    if (err == ANTAG_OK && out->no_memory)
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    return err;
}

static int by_seq(const void *a, const void *b)
{
    uint64_t x = ((const struct ag_known_head *)a)->seq, y = ((const struct ag_known_head *)b)->seq;

    return x < y ? -1 : x > y;
}

/* Those of one chain, in order; the caller's to free. NULL with *count 0: none. */
static struct ag_known_head *notes_of(const struct noted *all, const char *chain, size_t *count)
{
    struct ag_known_head *list = all->count > 0 ? calloc(all->count, sizeof *list) : NULL;

    *count = 0;
    for (size_t i = 0; list != NULL && i < all->count; i++)
        if (strcmp(all->v[i].of, chain) == 0)
            list[(*count)++] = all->v[i].head;
    if (*count > 1)
        qsort(list, *count, sizeof *list, by_seq);
    return list;
}

/* ---- reading */

struct reading {
    json_t *findings; /* of the chain that is read */
    /* show, find: */
    bool (*wants)(const struct reading *r, const struct ag_line_head *head,
                  struct antag_slice line);
    size_t most;   /* the last so many; more are dropped from the front */
    json_t *lines; /* of the chain that is read */
    uint64_t dropped;
    const char *type;
    struct antag_slice profile, trace; /* p NULL: any */
    uint64_t seq;                      /* 0: any */
    size_t digest_count;               /* 0: any */
    uint8_t digests[DIGESTS_MAX][DIGEST_LEN];
};

static void on_finding(const struct ag_finding *f, void *ctx)
{
    struct reading *r = ctx;
    json_t *o;

    if (json_array_size(r->findings) >= FINDINGS_MAX)
        return;
    o = json_object();
    (void)json_object_set_new(o, "kind",
                              json_string(f->kind == AG_FINDING_BROKEN ? "broken" : "note"));
    (void)json_object_set_new(o, "segment", json_integer(f->segment));
    (void)json_object_set_new(o, "line", json_integer((json_int_t)f->line));
    (void)json_object_set_new(o, "text", json_string(f->text));
    (void)json_array_append_new(r->findings, o);
}

/* A signature that was recorded and then not released is told beside its line. */
static void take_outcome(struct reading *r, struct antag_slice line)
{
    json_t *shown;
    uint64_t of;
    size_t i;

    if (!ag_line_uint(line, "of", &of))
        return;
    json_array_foreach(r->lines, i, shown)
    {
        int64_t seq;
        struct antag_slice error;

        if (ctl_json_int(shown, "seq", &seq) && (uint64_t)seq == of &&
            ag_line_field(line, "error", &error))
            (void)json_object_set_new(shown, "outcome",
                                      json_stringn((const char *)error.p, error.len));
    }
}

static void on_line(const struct ag_line_head *head, struct antag_slice line, void *ctx)
{
    struct reading *r = ctx;
    json_t *o;

    if (strcmp(head->type, "outcome") == 0)
        take_outcome(r, line);
    if (r->wants == NULL || !r->wants(r, head, line))
        return;
    o = json_loadb((const char *)line.p, line.len, 0, NULL);
    if (o == NULL) /* the hash is right, so we wrote it so */
        return;
    if (json_array_size(r->lines) >= r->most) {
        (void)json_array_remove(r->lines, 0);
        r->dropped++;
    }
    (void)json_array_append_new(r->lines, o);
}

static json_t *chain_json(const char *name, const struct ag_verify_result *v, json_t *findings)
{
    char hash[AG_LINE_HEX];
    json_t *o = json_object();

    ag_line_hash_text(v->last_hash, hash);
    (void)json_object_set_new(o, "chain", json_string(name));
    (void)json_object_set_new(o, "segments", json_integer((json_int_t)v->segments));
    (void)json_object_set_new(o, "lines", json_integer((json_int_t)v->lines));
    (void)json_object_set_new(o, "first_seq", json_integer((json_int_t)v->first_seq));
    (void)json_object_set_new(o, "last_seq", json_integer((json_int_t)v->last_seq));
    (void)json_object_set_new(o, "last_hash", json_string(hash));
    (void)json_object_set_new(o, "checkpoints", json_integer((json_int_t)v->checkpoints));
    (void)json_object_set_new(o, "checked_seq", json_integer((json_int_t)v->checked_seq));
    (void)json_object_set_new(o, "broken", json_integer((json_int_t)v->broken));
    (void)json_object_set_new(o, "notes", json_integer((json_int_t)v->notes));
    (void)json_object_set(o, "findings", findings);
    return o;
}

/* Reads the chains into {chains: [...], lines: [...], broken: N}. */
static enum antag_err read_chains(const struct ctl *c, const struct chains *chains,
                                  struct reading *r, json_t **result, struct antag_fault *fault)
{
    json_t *all = json_array(), *lines = json_array();
    struct noted noted = {.count = 0};
    struct ag_verify_result v;
    uint64_t broken = 0;
    enum antag_err err = collect_notes(c, &noted, fault);

    for (size_t i = 0; i < chains->count && err == ANTAG_OK; i++) {
        size_t known_count;
        struct ag_known_head *known = notes_of(&noted, chains->names[i], &known_count);
        struct ag_verify_conf conf = {.audit_dir = c->home.audit,
                                      .name = chains->names[i],
                                      .known = known,
                                      .known_count = known_count,
                                      .on_finding = on_finding,
                                      .on_line = on_line,
                                      .ctx = r};

        r->findings = json_array();
        r->lines = json_array();
        err = ag_chain_verify(&conf, &v, fault);
        broken += v.broken;
        (void)json_array_append_new(all, chain_json(chains->names[i], &v, r->findings));
        (void)json_array_extend(lines, r->lines);
        json_decref(r->findings);
        json_decref(r->lines);
        free(known);
    }
    free(noted.v);
    *result = json_object();
    (void)json_object_set_new(*result, "chains", all);
    (void)json_object_set_new(*result, "lines", lines);
    (void)json_object_set_new(*result, "broken", json_integer((json_int_t)broken));
    if (err != ANTAG_OK) {
        json_decref(*result);
        *result = NULL;
    }
    return err;
}

/* ---- verify */

enum antag_err ctl_run_audit_verify(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct reading r = {.wants = NULL};
    struct chains chains;
    enum antag_err err;
    int64_t broken = 0;

    if ((err = pick_chains(c, &chains, fault)) != ANTAG_OK ||
        (err = read_chains(c, &chains, &r, result, fault)) != ANTAG_OK)
        return err;
    (void)json_object_del(*result, "lines");
    if (ctl_json_int(*result, "broken", &broken) && broken > 0)
        c->exit_status = antag_err_exit(ANTAG_ERR_SIGNATURE_INVALID);
    return ANTAG_OK;
}

static void add_number(struct ctl_table *table, const json_t *o, const char *key)
{
    char text[24] = "";
    int64_t v;

    if (ctl_json_int(o, key, &v))
        (void)snprintf(text, sizeof text, "%" PRId64, v);
    ctl_table_add(table, text, CTL_PLAIN);
}

static void put_findings(struct ctl *c, const json_t *chain)
{
    static const char *const heads[] = {"", "WHERE", "FOUND"};
    const json_t *findings = json_object_get(chain, "findings"), *f;
    struct ctl_table *table;
    size_t i;

    if (json_array_size(findings) == 0)
        return;
    table = ctl_table_new(heads, 3);
    json_array_foreach(findings, i, f)
    {
        bool broken = strcmp(ctl_json_text(f, "kind"), "broken") == 0;
        int64_t segment = 0, line = 0;
        char where[96];

        (void)ctl_json_int(f, "segment", &segment);
        (void)ctl_json_int(f, "line", &line);
        if (line > 0)
            (void)snprintf(where, sizeof where, "%s/%08" PRId64 ".jsonl:%" PRId64,
                           ctl_json_text(chain, "chain"), segment, line);
        else
            (void)snprintf(where, sizeof where, "%s", ctl_json_text(chain, "chain"));
        ctl_table_add(table, broken ? "BROKEN" : "note", broken ? CTL_BAD : CTL_FAINT);
        ctl_table_add(table, where, CTL_PLAIN);
        ctl_table_add(table, ctl_json_text(f, "text"), CTL_PLAIN);
    }
    (void)putchar('\n');
    ctl_table_print(table, stdout, c->colour);
    ctl_table_free(table);
}

static void put_chains(struct ctl *c, const json_t *chains)
{
    static const char *const heads[] = {"CHAIN",       "",     "FILES", "LINES", "LAST",
                                        "CHECKPOINTS", "UP TO"};
    struct ctl_table *table = ctl_table_new(heads, 7);
    const json_t *o;
    size_t i;

    json_array_foreach(chains, i, o)
    {
        int64_t broken = 0;

        (void)ctl_json_int(o, "broken", &broken);
        ctl_table_add(table, ctl_json_text(o, "chain"), CTL_PLAIN);
        ctl_table_add(table, broken > 0 ? "BROKEN" : "whole", broken > 0 ? CTL_BAD : CTL_GOOD);
        add_number(table, o, "segments");
        add_number(table, o, "lines");
        add_number(table, o, "last_seq");
        add_number(table, o, "checkpoints");
        add_number(table, o, "checked_seq");
    }
    ctl_table_print(table, stdout, c->colour);
    ctl_table_free(table);
}

void ctl_render_audit_verify(struct ctl *c, const json_t *result)
{
    const json_t *chains = json_object_get(result, "chains"), *o;
    int64_t broken = 0;
    size_t i;

    put_chains(c, chains);
    json_array_foreach(chains, i, o) put_findings(c, o);
    (void)ctl_json_int(result, "broken", &broken);
    (void)putchar('\n');
    if (broken > 0)
        ctl_say("The record was changed or damaged where it says BROKEN. Keep these files as they "
                "are, and "
                "compare them with a backup.");
    else
        ctl_say("Every line follows the one before it, and every head that another chain noted is "
                "there. What was cut off all chains at once, after they noted each other last, "
                "shows only against a head kept elsewhere: compare the last hash (--json).");
}

/* ---- show */

/* Does the field say `wanted`? */
static bool same_text(struct antag_slice line, const char *field, struct antag_slice wanted)
{
    struct antag_slice v;
    json_t *o;
    bool same;

    if (wanted.p == NULL)
        return true;
    if (!ag_line_field(line, field, &v))
        return false;
    if (memchr(v.p, '\\', v.len) == NULL)
        return antag_slice_equal(v, wanted);
    o = json_loadb((const char *)line.p, line.len, 0, NULL); /* it has escapes */
    same = o != NULL && antag_slice_is(wanted, ctl_json_text(o, field));
    json_decref(o);
    return same;
}

/* What chains write for their own sake is shown when it is asked for. */
static bool wants_type(const char *wanted, const char *type)
{
    static const char *const own[] = {"segment", "checkpoint", "rotate", "head", "known"};

    if (wanted != NULL)
        return strcmp(wanted, "all") == 0 || strcmp(wanted, type) == 0;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(type, own[i]) == 0)
            return false;
    return true;
}

static bool wants_shown(const struct reading *r, const struct ag_line_head *head,
                        struct antag_slice line)
{
    return wants_type(r->type, head->type) &&
           (same_text(line, "profile", r->profile) || same_text(line, "subject", r->profile));
}

static enum antag_err read_last(struct ctl *c, size_t *out, struct antag_fault *fault)
{
    const char *text = ctl_args_get(&c->line, "--last");
    uint64_t n = SHOWN_LINES;

    if (text != NULL && (!ctl_args_uint(text, &n) || n < 1 || n > LINES_MOST))
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--last", "--last takes 1 to %d, got %.20s",
                               LINES_MOST, text);
    *out = (size_t)n;
    return ANTAG_OK;
}

static int by_time(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int order = strcmp(ctl_json_text(x, "time"), ctl_json_text(y, "time"));
    int64_t m = 0, n = 0;

    if (order == 0)
        order = strcmp(ctl_json_text(x, "chain"), ctl_json_text(y, "chain"));
    (void)ctl_json_int(x, "seq", &m);
    (void)ctl_json_int(y, "seq", &n);
    return order != 0 ? order : m < n ? -1 : m > n;
}

/* The lines of several chains as one, the last `most` of them. A chain's own order stays. */
static enum antag_err merge_lines(json_t *result, size_t most, struct antag_fault *fault)
{
    json_t *lines = json_object_get(result, "lines"), *o, *merged = json_array();
    size_t count = json_array_size(lines), first = count > most ? count - most : 0, i;
    json_t **list = calloc(count + 1, sizeof *list);

    if (list == NULL || merged == NULL) {
        free(list);
        json_decref(merged);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    }
    json_array_foreach(lines, i, o) list[i] = o;
    qsort(list, count, sizeof *list, by_time);
    for (i = first; i < count; i++)
        (void)json_array_append(merged, list[i]);
    (void)json_object_set_new(result, "lines", merged);
    free(list);
    return ANTAG_OK;
}

static struct antag_slice given(const struct ctl *c, const char *name)
{
    return antag_slice_of(ctl_args_get(&c->line, name)); /* NULL: {NULL, 0} */
}

enum antag_err ctl_run_audit_show(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct reading r = {.wants = wants_shown,
                        .type = ctl_args_get(&c->line, "--type"),
                        .profile = given(c, "--profile")};
    struct chains chains;
    enum antag_err err;

    if ((err = read_last(c, &r.most, fault)) != ANTAG_OK ||
        (err = pick_chains(c, &chains, fault)) != ANTAG_OK ||
        (err = read_chains(c, &chains, &r, result, fault)) != ANTAG_OK)
        return err;
    if ((err = merge_lines(*result, r.most, fault)) != ANTAG_OK) {
        json_decref(*result);
        *result = NULL;
    }
    return err;
}

/* What a line is about, in a few words. */
static void line_text(const json_t *o, char *out, size_t size)
{
    static const char *const keys[] = {"unit", "by",      "profile", "method", "path",
                                       "what", "subject", "detail",  "trace",  "outcome",
                                       "why",  "error",   "agent",   "key",    "of"};
    size_t at = 0;
    int64_t uid, seq;

    out[0] = '\0';
    if (ctl_json_int(o, "uid", &uid))
        at = (size_t)snprintf(out, size, "uid %" PRId64, uid);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && at < size; i++) {
        const char *v = ctl_json_text(o, keys[i]);
        const char *head = strcmp(keys[i], "outcome") == 0 ? "NOT RELEASED: "
                           : strcmp(keys[i], "trace") == 0 ? "trace "
                           : strcmp(keys[i], "key") == 0   ? "checkpoint key "
                                                           : "";

        if (v[0] != '\0')
            at += (size_t)snprintf(out + at, size - at, "%s%s%s", at > 0 ? " " : "", head, v);
    }
    if (ctl_json_int(o, "at_seq", &seq) && at < size)
        (void)snprintf(out + at, size - at, "%sline %" PRId64, at > 0 ? " " : "", seq);
}

static void put_lines(struct ctl *c, const json_t *lines)
{
    static const char *const heads[] = {"RECORD", "TIME", "TYPE", "WHAT"};
    struct ctl_table *table = ctl_table_new(heads, 4);
    char text[4096], record[ANTAG_RECORD_MAX + 1];
    const json_t *o;
    size_t i;

    json_array_foreach(lines, i, o)
    {
        int64_t seq = 0;

        (void)ctl_json_int(o, "seq", &seq);
        (void)snprintf(record, sizeof record, "%s:%" PRId64, ctl_json_text(o, "chain"), seq);
        line_text(o, text, sizeof text);
        ctl_table_add(table, record, CTL_PLAIN);
        ctl_table_add(table, ctl_json_text(o, "time"), CTL_PLAIN);
        ctl_table_add(table, ctl_json_text(o, "type"), CTL_PLAIN);
        ctl_table_add(table, text, CTL_PLAIN);
    }
    ctl_table_print(table, stdout, c->colour);
    ctl_table_free(table);
}

static void put_warning(struct ctl *c, const json_t *result)
{
    int64_t broken = 0;

    if (!ctl_json_int(result, "broken", &broken) || broken == 0)
        return;
    (void)putchar('\n');
    ctl_put(stdout, c->colour, CTL_BAD, "The record is not whole");
    (void)printf(", so lines may be missing here.\n");
    ctl_next(c, "audit verify");
}

void ctl_render_audit_show(struct ctl *c, const json_t *result)
{
    const json_t *lines = json_object_get(result, "lines");

    if (json_array_size(lines) == 0)
        ctl_say("No such line is in the record.");
    else
        put_lines(c, lines);
    put_warning(c, result);
}

/* ---- find */

static bool wants_found(const struct reading *r, const struct ag_line_head *head,
                        struct antag_slice line)
{
    uint8_t digest[DIGEST_LEN];
    bool same = r->digest_count == 0;

    if (r->seq > 0 && head->seq != r->seq)
        return false;
    if (r->seq == 0 && strcmp(head->type, "sign") != 0)
        return false;
    for (size_t i = 0; i < r->digest_count && !same; i++)
        same = ag_line_hex(line, "digest", digest, sizeof digest) &&
               memcmp(digest, r->digests[i], sizeof digest) == 0;
    return same && same_text(line, "trace", r->trace) && same_text(line, "profile", r->profile);
}

static enum antag_err hash_message(const struct ctl *c, struct antag_slice uri,
                                   struct antag_slice body, uint8_t out[DIGEST_LEN])
{
    struct ag_antom_prefix prefix;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum antag_err err = ag_antom_prefix_render(given(c, "METHOD"), uri, given(c, "--client-id"),
                                                given(c, "--time"), &prefix);

    if (err == ANTAG_OK && (ctx == NULL || EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) != 1 ||
                            EVP_DigestUpdate(ctx, prefix.text, prefix.len) != 1 ||
                            (body.len > 0 && EVP_DigestUpdate(ctx, body.p, body.len) != 1) ||
                            EVP_DigestFinal_ex(ctx, out, NULL) != 1))
        err = ANTAG_ERR_INTERNAL;
    EVP_MD_CTX_free(ctx);
    return err;
}

/* The digests of the message as it is given and, with a sandbox client id, as the agent derives its
 * URI: people have one or the other. */
static enum antag_err message_digests(const struct ctl *c, struct antag_slice body,
                                      struct reading *r, struct antag_fault *fault)
{
    char derived[ANTAG_URI_MAX + 17];
    struct antag_slice uri = given(c, "URI");
    size_t len;
    enum antag_err err = hash_message(c, uri, body, r->digests[0]);

    if (err != ANTAG_OK)
        return antag_fault_set(
            fault, err, NULL,
            "METHOD, URI, --client-id or --time is none that could have been signed");
    r->digest_count = 1;
    if (ag_antom_uri_derive(AG_ENV_SANDBOX, uri, derived, sizeof derived, &len, NULL) == ANTAG_OK &&
        hash_message(c, (struct antag_slice){(const uint8_t *)derived, len}, body, r->digests[1]) ==
            ANTAG_OK)
        r->digest_count = 2;
    return ANTAG_OK;
}

static enum antag_err read_message(const struct ctl *c, struct reading *r,
                                   struct antag_fault *fault)
{
    static const char *const all[] = {"METHOD", "URI", "--client-id", "--time", "--body"};
    uint8_t *body = NULL;
    size_t count = 0, len = 0;
    enum antag_err err;

    for (size_t i = 0; i < 5; i++)
        count += ctl_args_get(&c->line, all[i]) != NULL;
    if (count == 0)
        return ANTAG_OK;
    if (count < 5)
        return antag_fault_set(
            fault, ANTAG_ERR_USAGE, NULL,
            "a message is found by all of METHOD URI --client-id --time --body, or none");
    err = ctl_read_body(ctl_args_get(&c->line, "--body"), &body, &len, fault);
    if (err == ANTAG_OK)
        err = message_digests(c, (struct antag_slice){body, len}, r, fault);
    free(body);
    return err;
}

static enum antag_err read_digest(const struct ctl *c, struct reading *r, struct antag_fault *fault)
{
    const char *text = ctl_args_get(&c->line, "--digest");
    size_t len = 0;

    if (text == NULL)
        return ANTAG_OK;
    if (r->digest_count > 0)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--digest",
                               "--digest and a message exclude each other");
    if (strlen(text) != 2 * DIGEST_LEN ||
        sodium_hex2bin(r->digests[0], DIGEST_LEN, text, strlen(text), NULL, &len, NULL) != 0 ||
        len != DIGEST_LEN)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--digest",
                               "--digest takes 64 hex digits, the SHA-256 of the string to sign");
    r->digest_count = 1;
    return ANTAG_OK;
}

/* CHAIN:SEQ, as an answer of the agent has it. */
static enum antag_err read_record(const struct ctl *c, struct chains *chains, struct reading *r,
                                  struct antag_fault *fault)
{
    const char *text = ctl_args_get(&c->line, "--record"), *colon;
    size_t i = 0;

    if (text == NULL)
        return ANTAG_OK;
    colon = strrchr(text, ':');
    if (colon == NULL || !ctl_args_uint(colon + 1, &r->seq) || r->seq == 0)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--record",
                               "--record takes CHAIN:SEQ, as in soft:1234, got %.60s", text);
    while (i < chains->count && (strlen(chains->names[i]) != (size_t)(colon - text) ||
                                 strncmp(chains->names[i], text, (size_t)(colon - text)) != 0))
        i++;
    if (i == chains->count)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "--record", "no chain %.*s is here",
                               (int)(colon - text > 40 ? 40 : colon - text), text);
    memmove(chains->names[0], chains->names[i], sizeof chains->names[0]);
    chains->count = 1;
    return ANTAG_OK;
}

enum antag_err ctl_run_audit_find(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct reading r = {.wants = wants_found,
                        .most = LINES_MOST,
                        .profile = given(c, "--profile"),
                        .trace = given(c, "--trace")};
    struct chains chains;
    enum antag_err err;

    if ((err = read_message(c, &r, fault)) != ANTAG_OK ||
        (err = read_digest(c, &r, fault)) != ANTAG_OK)
        return err;
    if (r.digest_count == 0 && r.trace.p == NULL && ctl_args_get(&c->line, "--record") == NULL)
        return antag_fault_set(
            fault, ANTAG_ERR_USAGE, NULL,
            "say what to look for: a message (METHOD URI --client-id --time --body), --digest, "
            "--trace or --record");
    if ((err = list_chains(c, &chains, fault)) != ANTAG_OK ||
        (err = read_record(c, &chains, &r, fault)) != ANTAG_OK ||
        (err = read_chains(c, &chains, &r, result, fault)) != ANTAG_OK)
        return err;
    (void)json_object_set_new(*result, "dropped", json_integer((json_int_t)r.dropped));
    if (json_array_size(json_object_get(*result, "lines")) == 0)
        c->exit_status = antag_err_exit(ANTAG_ERR_NOT_FOUND);
    return ANTAG_OK;
}

void ctl_render_audit_find(struct ctl *c, const json_t *result)
{
    const json_t *lines = json_object_get(result, "lines");

    if (json_array_size(lines) == 0) {
        ctl_put(stdout, c->colour, CTL_WAITS, "not found");
        (void)printf(": the record has no such signature\n");
    } else {
        put_lines(c, lines);
    }
    put_warning(c, result);
}
