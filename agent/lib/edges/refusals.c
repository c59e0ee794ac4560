#include "agent/lib/edges/refusals.h"

#include <string.h>

#include "proto/params.h"

static bool same_kind(const struct ag_refusal *a, const struct ag_refusal *b)
{
    return a->uid == b->uid && a->staff == b->staff && a->err == b->err &&
           strcmp(a->what, b->what) == 0 && strcmp(a->profile, b->profile) == 0;
}

void ag_refusals_add(struct ag_refusals *r, const struct ag_refusal *one, int64_t now_ms)
{
    size_t i = 0;

    if (r->since_ms == 0 || now_ms < r->since_ms)
        r->since_ms = now_ms;
    while (i < r->count && !same_kind(&r->v[i], one))
        i++;
    if (i == AG_REFUSALS_MAX) {
        r->others += one->count;
    } else if (i == r->count) {
        r->v[r->count++] = *one;
    } else {
        r->v[i].count += one->count;
    }
}

void ag_refusals_merge(struct ag_refusals *into, const struct ag_refusals *from)
{
    for (size_t i = 0; i < from->count; i++)
        ag_refusals_add(into, &from->v[i], from->since_ms);
    into->others += from->others;
}

void ag_refusals_write(struct antag_writer *w, const struct ag_refusals *r)
{
    antag_w_map(w);
    antag_w_kv_int(w, "since_ms", r->since_ms);
    antag_w_kv_uint(w, "others", r->others);
    antag_w_key(w, "entries");
    antag_w_array(w);
    for (size_t i = 0; i < r->count; i++) {
        antag_w_map(w);
        antag_w_kv_uint(w, "uid", r->v[i].uid);
        antag_w_kv_str(w, "what", r->v[i].what);
        antag_w_kv_uint(w, "error", (uint64_t)r->v[i].err);
        antag_w_kv_str(w, "profile", r->v[i].profile);
        antag_w_kv_uint(w, "count", r->v[i].count);
        antag_w_end(w);
    }
    antag_w_end(w);
    antag_w_end(w);
}

/* ---- reading */

struct head_params {
    struct antag_opt_uint since_ms, others;
    struct antag_opt_value entries;
};
#define F(st, member, kind, min, max) ANTAG_FIELD(struct st, member, kind, true, (min), (max), 0)
static const struct antag_field head_fields[] = {
    F(head_params, since_ms, UINT, 1, INT64_MAX),
    F(head_params, others, UINT, 0, INT64_MAX),
    F(head_params, entries, ARRAY, 0, AG_REFUSALS_MAX),
};
struct entry_params {
    struct antag_opt_uint uid, error, count;
    struct antag_opt_slice what, profile;
};
static const struct antag_field entry_fields[] = {
    F(entry_params, uid, UINT, 0, UINT32_MAX),
    F(entry_params, what, TEXT, 0, AG_REFUSAL_WHAT_MAX),
    F(entry_params, error, UINT, 1, UINT32_MAX),
    F(entry_params, profile, TEXT, 0, ANTAG_PROFILE_MAX),
    F(entry_params, count, UINT, 1, INT64_MAX),
};
#define SPEC(fields, st)                                                                           \
    {                                                                                              \
        fields, sizeof(fields) / sizeof(fields)[0], sizeof(struct st)                              \
    }
static const struct antag_params head_spec = SPEC(head_fields, head_params);
static const struct antag_params entry_spec = SPEC(entry_fields, entry_params);

static enum antag_err read_entry(const msgpack_object *o, struct ag_refusal *out,
                                 struct antag_fault *fault)
{
    struct entry_params p;
    enum antag_err err = antag_params_parse(&entry_spec, false, o, &p, fault);

    if (err != ANTAG_OK)
        return err;
    if (!antag_err_is_known(p.error.v))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "error",
                               "is not a number of the status table");
    *out = (struct ag_refusal){
        .uid = (uint32_t)p.uid.v, .err = (enum antag_err)p.error.v, .count = p.count.v};
    (void)antag_slice_copy(p.what.v, out->what, sizeof out->what);
    (void)antag_slice_copy(p.profile.v, out->profile, sizeof out->profile);
    return ANTAG_OK;
}

enum antag_err ag_refusals_parse(const msgpack_object *o, struct ag_refusals *out,
                                 struct antag_fault *fault)
{
    struct head_params p;
    enum antag_err err;

    memset(out, 0, sizeof *out);
    if ((err = antag_params_parse(&head_spec, false, o, &p, fault)) != ANTAG_OK)
        return err;
    for (uint32_t i = 0; err == ANTAG_OK && i < p.entries.v.via.array.size; i++) {
        struct ag_refusal one;

        err = read_entry(&p.entries.v.via.array.ptr[i], &one, fault);
        if (err == ANTAG_OK)
            ag_refusals_add(out, &one, (int64_t)p.since_ms.v);
    }
    out->since_ms = (int64_t)p.since_ms.v;
    out->others += p.others.v;
    if (err != ANTAG_OK)
        memset(out, 0, sizeof *out);
    return err;
}
