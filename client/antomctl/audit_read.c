/* audit_read: the record's chains, read from their files. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/chain/tail.h"
#include "client/antomctl/audit.h"
#include "client/antomctl/json.h"

#define FINDINGS_MAX 100 /* told of one chain; the rest is counted */

/* ---- the chains */

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

enum antag_err ctl_audit_list(const struct ctl *c, struct ctl_chains *out,
                              struct antag_fault *fault)
{
    DIR *d = opendir(c->home.audit);
    struct dirent *e;

    out->count = 0;
    if (d == NULL)
        return cannot_read(c, fault);
    while ((e = readdir(d)) != NULL && out->count < CTL_CHAINS_MAX)
        if (e->d_name[0] != '.' && strlen(e->d_name) <= ANTAG_KEYRING_MAX)
            (void)snprintf(out->names[out->count++], sizeof out->names[0], "%s", e->d_name);
    closedir(d);
    qsort(out->names, out->count, sizeof out->names[0], by_name);
    return ANTAG_OK;
}

/* The one that the command names, or all. */
enum antag_err ctl_audit_pick(const struct ctl *c, struct ctl_chains *out,
                              struct antag_fault *fault)
{
    const char *wanted = ctl_args_get(&c->line, "CHAIN");
    enum antag_err err = ctl_audit_list(c, out, fault);
    char all[CTL_CHAINS_MAX * (ANTAG_KEYRING_MAX + 2) + 1] = "";
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
    struct ctl_chains all;
    enum antag_err err = ctl_audit_list(c, &all, fault);

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

static void on_finding(const struct ag_finding *f, void *ctx)
{
    struct ctl_reading *r = ctx;
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
static void take_outcome(struct ctl_reading *r, struct antag_slice line)
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
    struct ctl_reading *r = ctx;
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
enum antag_err ctl_audit_read(const struct ctl *c, const struct ctl_chains *chains,
                              struct ctl_reading *r, json_t **result, struct antag_fault *fault)
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
