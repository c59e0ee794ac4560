#include "agent/lib/edges/proofs.h"

#include "proto/params.h"

bool ag_proofs_add(struct ag_proofs *p, uint64_t profile_id, unsigned methods)
{
    size_t i = 0;

    while (i < p->count && p->v[i].profile_id != profile_id)
        i++;
    if (i == AG_PROOFS_MAX)
        return false;
    if (i == p->count) {
        p->v[p->count].profile_id = profile_id;
        p->v[p->count++].methods = 0;
    }
    p->v[i].methods |= methods;
    return true;
}

void ag_proofs_write(struct antag_writer *w, uint64_t profile_id, unsigned methods)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "profile", profile_id);
    antag_w_kv_uint(w, "methods", methods);
    antag_w_end(w);
}

struct proved_params {
    struct antag_opt_uint profile, methods;
};
static const struct antag_field fields[] = {
    ANTAG_FIELD(struct proved_params, profile, UINT, true, 1, INT64_MAX, 0),
    ANTAG_FIELD(struct proved_params, methods, UINT, true, 1, AG_PROOF_ALL, 0),
};
static const struct antag_params spec = {fields, sizeof fields / sizeof *fields,
                                         sizeof(struct proved_params)};

enum antag_err ag_proofs_parse(const msgpack_object *o, uint64_t *profile_id, unsigned *methods,
                               struct antag_fault *fault)
{
    struct proved_params p;
    enum antag_err err = antag_params_parse(&spec, false, o, &p, fault);

    if (err != ANTAG_OK)
        return err;
    *profile_id = p.profile.v;
    *methods = (unsigned)p.methods.v;
    return ANTAG_OK;
}
