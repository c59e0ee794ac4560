#include "agent/keeper/record.h"

#include "agent/core/antom.h"

bool ag_record_claim_ok(const struct ag_sign_claim *c)
{
#define AG_ROW(name, max)                                                                          \
    if (c->name##_len > sizeof c->name)                                                            \
        return false;
    AG_SIGN_TEXTS(AG_ROW)
#undef AG_ROW
    return true;
}

#define TEXT(name) AG_F_SLICE(#name, ((struct antag_slice){c->name, c->name##_len}))

void ag_record_sign(const struct ag_sign_job *job, const struct ag_key_identity *key,
                    struct ag_log_field out[AG_RECORD_FIELDS_MAX])
{
    const struct ag_sign_claim *c = &job->claim;
    size_t n = 0;

    out[n++] = AG_F_UINT("uid", c->uid);
    out[n++] = AG_F_UINT("gid", c->gid);
    out[n++] = AG_F_INT("pid", c->pid);
    if (c->unit_len > 0)
        out[n++] = TEXT(unit);
    out[n++] = TEXT(profile);
    out[n++] = AG_F_UINT("profile_id", key->profile_id);
    out[n++] = AG_F_TEXT("env", ag_env_name((enum ag_env)key->env));
    out[n++] = TEXT(client_id);
    out[n++] = AG_F_UINT("handle", key->handle);
    out[n++] = AG_F_UINT("version", key->version);
    out[n++] = TEXT(method);
    out[n++] = TEXT(path);
    out[n++] = AG_F_HEX("digest", ((struct antag_slice){job->digest, sizeof job->digest}));
    if (c->merchant_len > 0)
        out[n++] = TEXT(merchant);
    if (c->trace_len > 0)
        out[n++] = TEXT(trace);
    out[n] = (struct ag_log_field){.kind = AG_LF_END};
}

void ag_record_outcome(uint64_t seq, enum antag_err err,
                       struct ag_log_field out[AG_RECORD_FIELDS_MAX])
{
    out[0] = AG_F_UINT("of", seq);
    out[1] = AG_F_ERR(err);
    out[2] = (struct ag_log_field){.kind = AG_LF_END};
}
