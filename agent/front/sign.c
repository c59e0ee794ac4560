#include "agent/front/sign.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum antag_err ag_front_permit(const struct ag_asking *a, enum ag_op op, struct antag_slice name,
                               struct antag_slice method, struct antag_slice uri,
                               struct antag_slice merchant, size_t body_len,
                               const struct ag_profile **out, struct antag_fault *fault)
{
    const struct ag_profile *p = ag_snapshot_find(a->snap, name);

    enum antag_err err = ANTAG_ERR_DENIED;

    if (a->explain)
        op = AG_OP_EXPLAIN;
    if (p)
        err = ag_profile_permits(p, a->caller, op, method, uri, merchant, body_len,
                                 a->explain ? 0 : a->mono_ns, fault);
    if (err == ANTAG_OK)
        *out = p;
    if (err != ANTAG_ERR_DENIED)
        return err;
    /* Only those whom a grant names learn that the profile is there, and what is missing. */
    if (p && ag_profile_ops(p, a->caller) != 0)
        return antag_fault_set(fault, ANTAG_ERR_DENIED, NULL,
                               "no grant of this caller on %s covers this operation with this "
                               "method, path, query, body size or merchant",
                               p->row->name);
    return antag_fault_set(fault, ANTAG_ERR_DENIED, NULL, "%s",
                           antag_err_message(ANTAG_ERR_DENIED));
}

enum antag_err ag_front_complete(const struct ag_profile *p, struct antag_fault *fault)
{
    if (p->row->client_id[0] != '\0')
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_PROFILE_INCOMPLETE, NULL,
                           "%s has no client id; staff sets it with: antomctl profile set %s "
                           "--client-id ID",
                           p->row->name, p->row->name);
}

enum antag_err ag_front_fence(const struct ag_profile *p, struct antag_slice uri, char *out,
                              size_t size, size_t *out_len, struct antag_fault *fault)
{
    bool excepted = ag_profile_is_excepted(p, uri);
    struct antag_slice derived;
    enum antag_err err;

    if ((err = ag_antom_is_signed_call(uri, fault)) != ANTAG_OK)
        return err;
    if (excepted) {
        if (!antag_slice_copy(uri, out, size))
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "uri", "has at most %d bytes",
                                   ANTAG_URI_MAX);
        *out_len = uri.len;
    } else if ((err = ag_antom_uri_derive(p->row->env, uri, out, size, out_len, fault)) !=
               ANTAG_OK) {
        return err;
    }
    derived = (struct antag_slice){(const uint8_t *)out, *out_len};
    return ag_antom_fence(p->row->env, derived, excepted, fault);
}

enum antag_err ag_front_has_key(const struct ag_profile *p, struct antag_fault *fault)
{
    const struct ag_snap_profile *row = p->row;

    if (row->handle != 0)
        return ANTAG_OK;
    return antag_fault_set(fault,
                           row->sign_err != ANTAG_OK ? row->sign_err : ANTAG_ERR_NO_ACTIVE_KEY,
                           NULL, "%s", row->sign_why);
}

enum antag_err ag_front_has_antom_key(const struct ag_profile *p, struct antag_fault *fault)
{
    if (p->key_count > 0)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_NO_ANTOM_KEY, NULL,
                           "%s has no Antom key; staff adds it with: antomctl antom-key add %s",
                           p->row->name, p->row->name);
}

/* What can be refused without looking at any profile. */
static enum antag_err check_forms(const struct antag_sign_params *p, int64_t *at_ms,
                                  struct antag_fault *fault)
{
    struct antag_fault why;
    enum antag_err err;

    if (p->merchant.set && (err = ag_merchant_check(p->merchant.v, "merchant", fault)) != ANTAG_OK)
        return err;
    if ((err = ag_antom_check_method(p->method.v, fault)) != ANTAG_OK ||
        (err = ag_antom_check_uri(p->uri.v, fault)) != ANTAG_OK ||
        (err = ag_antom_check_sign_path(p->uri.v, fault)) != ANTAG_OK)
        return err;
    if (p->time.set && ag_antom_time_parse(p->time.v, at_ms, &why) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "time", "%s", antag_fault_text(&why));
    return ANTAG_OK;
}

static enum antag_err check_skew(const struct ag_asking *a, int64_t at_ms,
                                 struct antag_fault *fault)
{
    int64_t max_ms = a->conf->policy_max_time_skew_ms;

    if (max_ms == 0 || (at_ms >= a->now_ms - max_ms && at_ms <= a->now_ms + max_ms))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_TIME_SKEW, "time",
                           "is %" PRId64 " ms since 1970, this clock says %" PRId64
                           "; they may differ by %" PRId64 " ms",
                           at_ms, a->now_ms, max_ms);
}

/* Whoever has a grant learns which merchants there are; others were refused before. */
static enum antag_err find_merchant(const struct ag_asking *a, const struct antag_sign_params *p,
                                    struct ag_sign_plan *plan, struct antag_fault *fault)
{
    int len = (int)p->merchant.v.len;
    const char *name = (const char *)p->merchant.v.p;

    plan->merchant = NULL;
    if (!p->merchant.set)
        return ANTAG_OK;
    plan->merchant = ag_snapshot_merchant(a->snap, plan->profile, p->merchant.v);
    if (plan->merchant == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "merchant",
                               "%s has no merchant \"%.*s\"; staff adds it with: antomctl merchant "
                               "add %s %.*s",
                               plan->profile->row->name, len, name, plan->profile->row->name, len,
                               name);
    if (plan->merchant->row->suspended)
        return antag_fault_set(fault, ANTAG_ERR_MERCHANT_SUSPENDED, "merchant",
                               "merchant \"%.*s\" of %s is suspended; staff resumes it with: "
                               "antomctl merchant resume %s %.*s",
                               len, name, plan->profile->row->name, plan->profile->row->name, len,
                               name);
    return ANTAG_OK;
}

static enum antag_err hash_plan(const struct antag_sign_params *p, struct ag_hasher *hasher,
                                struct ag_sign_plan *plan, struct antag_fault *fault)
{
    struct antag_slice uri = {(const uint8_t *)plan->uri, plan->uri_len};
    struct ag_antom_prefix prefix;
    enum antag_err err;

    err = ag_antom_prefix_render(p->method.v, uri, antag_slice_of(plan->profile->row->client_id),
                                 antag_slice_of(plan->time), &prefix);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "a part of the string to sign is too long");
    err = ag_hasher_digest(hasher, &prefix, p->body.v, plan->digest);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "the digest could not be made");
    return ANTAG_OK;
}

static void claim_text(struct antag_slice v, uint8_t *out, size_t max, uint16_t *len)
{
    *len = (uint16_t)(v.len < max ? v.len : max);
    if (*len > 0)
        memcpy(out, v.p, *len);
}

static void make_claim(const struct ag_asking *a, const struct antag_sign_params *p,
                       const struct ag_sign_plan *plan, struct ag_sign_claim *c)
{
    const char *query = memchr(plan->uri, '?', plan->uri_len);
    struct antag_slice path = {(const uint8_t *)plan->uri,
                               query != NULL ? (size_t)(query - plan->uri) : plan->uri_len};

    memset(c, 0, sizeof(*c));
    c->uid = a->caller->uid;
    c->gid = a->caller->gid;
    c->pid = a->caller->pid;
    claim_text(antag_slice_of(a->caller->unit), c->unit, sizeof(c->unit), &c->unit_len);
    claim_text(antag_slice_of(plan->profile->row->name), c->profile, sizeof(c->profile),
               &c->profile_len);
    claim_text(antag_slice_of(plan->profile->row->client_id), c->client_id, sizeof(c->client_id),
               &c->client_id_len);
    claim_text(p->merchant.v, c->merchant, sizeof(c->merchant), &c->merchant_len);
    claim_text(p->method.v, c->method, sizeof(c->method), &c->method_len);
    claim_text(p->trace.v, c->trace, sizeof(c->trace), &c->trace_len);
    claim_text(path, c->path, sizeof(c->path), &c->path_len);
}

enum antag_err ag_sign_plan_make(const struct ag_asking *a, const struct antag_sign_params *p,
                                 struct ag_hasher *hasher, struct ag_sign_plan *out,
                                 struct antag_fault *fault)
{
    int64_t at_ms = a->now_ms;
    enum antag_err err;

    if ((err = check_forms(p, &at_ms, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_front_permit(a, AG_OP_SIGN, p->profile.v, p->method.v, p->uri.v,
                               p->merchant.set ? p->merchant.v : antag_slice_of(""), p->body.v.len,
                               &out->profile, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_front_complete(out->profile, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_front_fence(out->profile, p->uri.v, out->uri, sizeof(out->uri), &out->uri_len,
                              fault)) != ANTAG_OK)
        return err;
    if ((err = check_skew(a, at_ms, fault)) != ANTAG_OK)
        return err;
    if ((err = find_merchant(a, p, out, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_front_has_key(out->profile, fault)) != ANTAG_OK)
        return err;
    if (!p->time.set)
        ag_antom_time_render(a->now_ms, out->time);
    else if (!antag_slice_copy(p->time.v, out->time, sizeof(out->time)))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "time", "has at most %d bytes",
                               ANTAG_TIME_MAX);
    make_claim(a, p, out, &out->claim);
    return hash_plan(p, hasher, out, fault);
}

void ag_sign_result_write(struct antag_writer *w, const struct ag_sign_plan *plan,
                          struct antag_slice sig, uint64_t seq, const char *token)
{
    char record[ANTAG_RECORD_MAX + 1];
    const struct ag_snap_profile *row = plan->profile->row;
    char header[AG_ANTOM_SIG_TEXT_MAX];
    char url[ANTAG_URL_MAX + ANTAG_URI_MAX + 32];
    size_t gateway_len = strlen(row->gateway);

    ag_antom_signature_render(row->key_version, sig, header);
    antag_w_map(w);
    antag_w_key(w, "headers");
    antag_w_map(w);
    antag_w_kv_str(w, "Client-Id", row->client_id);
    antag_w_kv_str(w, "Request-Time", plan->time);
    antag_w_kv_str(w, "Signature", header);
    antag_w_kv_str(w, "Content-Type", AG_CONTENT_TYPE);
    if (token[0] != '\0')
        antag_w_kv_str(w, "Agent-Token", token);
    antag_w_end(w);
    antag_w_kv_str(w, "uri", plan->uri);
    if (gateway_len > 0) {
        memcpy(url, row->gateway, gateway_len);
        memcpy(url + gateway_len, plan->uri, plan->uri_len + 1);
        antag_w_kv_str(w, "url", url);
    }
    antag_w_kv_uint(w, "version", row->version);
    antag_w_kv_uint(w, "key_version", row->key_version);
    snprintf(record, sizeof(record), "%s:%" PRIu64, row->keyring, seq);
    antag_w_kv_str(w, "record", record);
    antag_w_end(w);
}
