/* audit verify, audit show: for people and as JSON. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/audit.h"
#include "client/antomctl/json.h"

#define SHOWN_LINES 20

/* ---- verify */

enum antag_err ctl_run_audit_verify(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct ctl_reading r = {.wants = NULL};
    struct ctl_chains chains;
    enum antag_err err;
    int64_t broken = 0;

    if ((err = ctl_audit_pick(c, &chains, fault)) != ANTAG_OK ||
        (err = ctl_audit_read(c, &chains, &r, result, fault)) != ANTAG_OK)
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
bool ctl_audit_same_text(struct antag_slice line, const char *field, struct antag_slice wanted)
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

static bool wants_shown(const struct ctl_reading *r, const struct ag_line_head *head,
                        struct antag_slice line)
{
    return wants_type(r->type, head->type) && (ctl_audit_same_text(line, "profile", r->profile) ||
                                               ctl_audit_same_text(line, "subject", r->profile));
}

static enum antag_err read_last(struct ctl *c, size_t *out, struct antag_fault *fault)
{
    const char *text = ctl_args_get(&c->line, "--last");
    uint64_t n = SHOWN_LINES;

    if (text != NULL && (!ctl_args_uint(text, &n) || n < 1 || n > CTL_LINES_MOST))
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--last", "--last takes 1 to %d, got %.20s",
                               CTL_LINES_MOST, text);
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

struct antag_slice ctl_audit_given(const struct ctl *c, const char *name)
{
    return antag_slice_of(ctl_args_get(&c->line, name)); /* NULL: {NULL, 0} */
}

enum antag_err ctl_run_audit_show(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct ctl_reading r = {.wants = wants_shown,
                            .type = ctl_args_get(&c->line, "--type"),
                            .profile = ctl_audit_given(c, "--profile")};
    struct ctl_chains chains;
    enum antag_err err;

    if ((err = read_last(c, &r.most, fault)) != ANTAG_OK ||
        (err = ctl_audit_pick(c, &chains, fault)) != ANTAG_OK ||
        (err = ctl_audit_read(c, &chains, &r, result, fault)) != ANTAG_OK)
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
    int64_t uid, seq, count;

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
        at += (size_t)snprintf(out + at, size - at, "%sline %" PRId64, at > 0 ? " " : "", seq);
    if (ctl_json_int(o, "count", &count) && at < size)
        (void)snprintf(out + at, size - at, " (%s) x %" PRId64, ctl_json_text(o, "at"), count);
    else if (ctl_json_int(o, "others", &count) && at < size)
        (void)snprintf(out + at, size - at, "%" PRId64 " more, of other kinds", count);
}

void ctl_audit_put_lines(struct ctl *c, const json_t *lines)
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

void ctl_audit_put_warning(struct ctl *c, const json_t *result)
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
        ctl_audit_put_lines(c, lines);
    ctl_audit_put_warning(c, result);
}
