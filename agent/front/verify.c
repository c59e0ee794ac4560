#include "agent/front/verify.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define CLIENT_ID    AG_HEADER_CLIENT_ID
#define TIME         AG_HEADER_TIME
#define SIGNATURE    AG_HEADER_SIGNATURE
#define NEEDED_COUNT AG_HEADER_COUNT

static const char *const needed_names[][NEEDED_COUNT] = {
    [AG_VERIFY_RESPONSE] = {"client-id", "response-time", "signature"},
    [AG_VERIFY_NOTIFICATION] = {"client-id", "request-time", "signature"},
};

static bool is_name(struct antag_slice s, const char *name)
{
    return s.len == strlen(name) && strncasecmp((const char *)s.p, name, s.len) == 0;
}

/* A text, or a list of at most one; nil and an empty list are a header that is not there. */
static enum antag_err header_value(const char *name, const msgpack_object *o,
                                   struct antag_slice *out, struct antag_fault *fault)
{
    *out = (struct antag_slice){0};
    if (o->type == MSGPACK_OBJECT_NIL ||
        (o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size == 0))
        return ANTAG_OK;
    if (o->type == MSGPACK_OBJECT_ARRAY) {
        if (o->via.array.size > 1)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "headers",
                                   "%s is given %" PRIu32 " times; it may be given once", name,
                                   o->via.array.size);
        o = &o->via.array.ptr[0];
    }
    if (!antag_object_slice(o, out))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "headers",
                               "%s is neither a text nor a list of texts", name);
    return ANTAG_OK;
}

/* A header that is not ours to read may hold the time that was signed: explain asks. */
static void note_time(struct ag_signed_headers *out, struct antag_slice name,
                      const msgpack_object *o)
{
    struct antag_slice value;
    int64_t unused;

    if (out->other_count == AG_OTHER_HEADERS_MAX || !antag_object_slice(o, &value) ||
        ag_antom_time_parse(value, &unused, NULL) != ANTAG_OK)
        return;
    out->other[out->other_count].name = name;
    out->other[out->other_count++].value = value;
}

static enum antag_err find_headers(enum ag_verify_kind kind, bool times, const msgpack_object *map,
                                   struct ag_signed_headers *out, struct antag_fault *fault)
{
    *out = (struct ag_signed_headers){0};
    if (map->type != MSGPACK_OBJECT_MAP) /* nil or an empty array: an empty map */
        return ANTAG_OK;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];
        struct antag_slice name;
        bool ours = false;
        enum antag_err err;

        if (!antag_object_slice(&kv->key, &name))
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "headers",
                                   "maps names to values; a name is not a text");
        for (size_t n = 0; n < NEEDED_COUNT; n++) {
            if (!is_name(name, needed_names[kind][n]))
                continue;
            if (out->seen[n])
                return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "headers",
                                       "%s is given twice; it may be given once",
                                       needed_names[kind][n]);
            out->seen[n] = ours = true;
            err = header_value(needed_names[kind][n], &kv->val, &out->value[n], fault);
            if (err != ANTAG_OK)
                return err;
        }
        if (times && !ours)
            note_time(out, name, &kv->val);
    }
    return ANTAG_OK;
}

static enum antag_err check_present(enum ag_verify_kind kind, const struct ag_signed_headers *h,
                                    struct antag_fault *fault)
{
    if (h->value[SIGNATURE].len == 0 && h->value[TIME].len == 0)
        return antag_fault_set(fault, ANTAG_ERR_UNSIGNED, NULL,
                               "neither signature nor %s is there, as in the gateway's own error "
                               "answers; never take this for success",
                               needed_names[kind][TIME]);
    for (size_t n = 0; n < NEEDED_COUNT; n++) {
        if (h->value[n].len == 0)
            return antag_fault_set(fault, ANTAG_ERR_HALF_SIGNED, NULL,
                                   "%s is missing or empty, others are there",
                                   needed_names[kind][n]);
    }
    return ANTAG_OK;
}

static enum antag_err check_client_id(const struct ag_profile *p, const struct ag_signed_headers *h,
                                      struct antag_fault *fault)
{
    if (antag_slice_is(h->value[CLIENT_ID], p->row->client_id))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_WRONG_CLIENT_ID, NULL,
                           "the client-id header is not %s, the client id of %s", p->row->client_id,
                           p->row->name);
}

static enum antag_err check_signature(const struct ag_profile *p,
                                      const struct antag_verify_params *params,
                                      struct antag_slice uri, const struct ag_signed_headers *h,
                                      const struct ag_antom_signature *sig,
                                      struct ag_hasher *hasher, struct ag_verifier *verifier,
                                      uint32_t *version, struct antag_fault *fault)
{
    struct ag_antom_prefix prefix;
    uint8_t digest[AG_DIGEST_LEN];
    enum antag_err err;

    err =
        ag_antom_prefix_render(params->method.v, uri, h->value[CLIENT_ID], h->value[TIME], &prefix);
    if (err == ANTAG_OK)
        err = ag_hasher_digest(hasher, &prefix, params->body.v, digest);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "the digest could not be made");
    for (size_t i = 0; i < p->key_count; i++) {
        if (ag_verifier_fits(verifier, &p->keys[i], digest,
                             (struct antag_slice){sig->raw, sig->len})) {
            *version = p->keys[i].version;
            return ANTAG_OK;
        }
    }
    return antag_fault_set(fault, ANTAG_ERR_SIGNATURE_INVALID, NULL,
                           "the signature fits method, uri, client id, time and body under none of "
                           "the %zu Antom keys of %s",
                           p->key_count, p->row->name);
}

/* The request's own maximum, else the profile's, else the policy's. */
static int64_t max_age_ms(const struct ag_asking *a, enum ag_verify_kind kind,
                          const struct ag_profile *p, const struct antag_verify_params *params)
{
    bool response = kind == AG_VERIFY_RESPONSE;
    int64_t own = response ? p->row->response_max_age_ms : p->row->notification_max_age_ms;

    if (params->max_age_ms.set)
        return params->max_age_ms.v > INT64_MAX ? INT64_MAX : (int64_t)params->max_age_ms.v;
    if (own >= 0)
        return own;
    return response ? a->conf->policy_response_max_age_ms : a->conf->policy_notification_max_age_ms;
}

enum antag_err ag_verify_parts(const struct ag_asking *a, enum ag_verify_kind kind,
                               const struct antag_verify_params *p,
                               struct ag_signed_headers *headers, const struct ag_profile **profile,
                               char *uri, size_t uri_size, size_t *uri_len,
                               struct antag_fault *fault)
{
    enum antag_err err;

    if ((err = ag_antom_check_method(p->method.v, fault)) != ANTAG_OK ||
        (err = ag_antom_check_uri(p->uri.v, fault)) != ANTAG_OK ||
        (err = find_headers(kind, a->explain, &p->headers.v, headers, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_front_permit(a, AG_OP_VERIFY, p->profile.v, p->method.v, p->uri.v,
                               antag_slice_of(""), p->body.v.len, profile, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_front_complete(*profile, fault)) != ANTAG_OK)
        return err;
    if (kind == AG_VERIFY_RESPONSE) {
        if ((err = ag_front_fence(*profile, p->uri.v, uri, uri_size, uri_len, fault)) != ANTAG_OK)
            return err;
    } else {
        if (!antag_slice_copy(p->uri.v, uri, uri_size))
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "uri", "has at most %d bytes",
                                   ANTAG_URI_MAX);
        *uri_len = p->uri.v.len;
    }
    return ag_front_has_antom_key(*profile, fault);
}

enum antag_err ag_verify(const struct ag_asking *a, enum ag_verify_kind kind,
                         const struct antag_verify_params *p, struct ag_hasher *hasher,
                         struct ag_verifier *verifier, struct ag_verified *out,
                         struct antag_fault *fault)
{
    char uri[ANTAG_URI_MAX + 17];
    struct antag_slice signed_uri = {(const uint8_t *)uri, 0};
    const struct ag_profile *profile = NULL;
    struct ag_antom_signature sig;
    struct ag_signed_headers headers;
    uint32_t version = 0;
    int64_t at_ms = 0;
    enum antag_err err;

    out->profile = NULL;
    if ((err = ag_verify_parts(a, kind, p, &headers, &profile, uri, sizeof(uri), &signed_uri.len,
                               fault)) != ANTAG_OK)
        return err;
    out->profile = profile;
    if ((err = check_present(kind, &headers, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_antom_signature_parse(headers.value[SIGNATURE], &sig, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_antom_time_parse(headers.value[TIME], &at_ms, fault)) != ANTAG_OK)
        return err;
    if ((err = check_client_id(profile, &headers, fault)) != ANTAG_OK)
        return err;
    if ((err = check_signature(profile, p, signed_uri, &headers, &sig, hasher, verifier, &version,
                               fault)) != ANTAG_OK)
        return err;
    if ((err = ag_antom_check_age(a->now_ms, at_ms, max_age_ms(a, kind, profile, p),
                                  a->conf->policy_max_time_skew_ms, fault)) != ANTAG_OK)
        return err;
    *out = (struct ag_verified){profile, version, headers.value[TIME], a->now_ms - at_ms};
    return ANTAG_OK;
}

void ag_verify_result_write(struct antag_writer *w, const struct ag_verified *v)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "version", v->version);
    antag_w_kv_strn(w, "time", v->time);
    antag_w_kv_int(w, "age_ms", v->age_ms);
    antag_w_end(w);
}
