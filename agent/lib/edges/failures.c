#include "agent/lib/edges/failures.h"

#include <string.h>

#include "proto/params.h"

void ag_failures_add(struct ag_failures *f, const struct ag_failure *one)
{
    size_t i = 0;

    while (i < f->count &&
           (f->v[i].profile_id != one->profile_id || f->v[i].version != one->version))
        i++;
    if (i == AG_FAILURES_MAX) {
        memmove(&f->v[0], &f->v[1], (AG_FAILURES_MAX - 1) * sizeof f->v[0]);
        i = --f->count;
    }
    if (i == f->count)
        f->v[f->count++] =
            (struct ag_failure){.profile_id = one->profile_id, .version = one->version};
    f->v[i].count += one->count;
    f->v[i].last_ms = one->last_ms;
}

void ag_failure_write(struct antag_writer *w, const struct ag_failure *one)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "profile", one->profile_id);
    antag_w_kv_uint(w, "version", one->version);
    antag_w_kv_uint(w, "count", one->count);
    antag_w_kv_uint(w, "last_ms", (uint64_t)one->last_ms);
    antag_w_end(w);
}

struct failed_params {
    struct antag_opt_uint profile, version, count, last_ms;
};
#define F(member, max) ANTAG_FIELD(struct failed_params, member, UINT, true, 1, (max), 0)
static const struct antag_field fields[] = {
    F(profile, INT64_MAX),
    F(version, UINT32_MAX),
    F(count, INT64_MAX),
    F(last_ms, INT64_MAX),
};
static const struct antag_params spec = {fields, sizeof fields / sizeof *fields,
                                         sizeof(struct failed_params)};

enum antag_err ag_failure_parse(const msgpack_object *o, struct ag_failure *out,
                                struct antag_fault *fault)
{
    struct failed_params p;
    enum antag_err err = antag_params_parse(&spec, false, o, &p, fault);

    if (err == ANTAG_OK)
        *out = (struct ag_failure){p.profile.v, (uint32_t)p.version.v, p.count.v,
                                   (int64_t)p.last_ms.v};
    return err;
}
