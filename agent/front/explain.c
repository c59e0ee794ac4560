#include "agent/front/explain.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX 4096

/* what is tried: the parts of a string to sign and a signature */
struct trial {
    struct antag_slice method, uri, client_id, time, body, sig;
};
/* one message under examination */
struct exam {
    const struct ag_asking *a;
    const struct antag_explain_params *p;
    struct ag_hasher *hasher;
    struct ag_verifier *verifier;
    struct ag_explained *out;
    struct ag_signed_headers headers;
    struct trial given;
    struct ag_antom_signature sig;
};

/* ---- findings */

ANTAG_PRINTF(3, 4)
static void find(struct exam *x, enum ag_cause cause, const char *fmt, ...)
{
    struct ag_explained *e = x->out;
    va_list args;

    for (size_t i = 0; i < e->finding_count; i++)
        if (e->findings[i].cause == cause)
            return;
    if (e->finding_count == AG_FINDINGS_MAX)
        return;
    e->findings[e->finding_count].cause = cause;
    va_start(args, fmt);
    vsnprintf(e->findings[e->finding_count].more, sizeof e->findings[0].more, fmt, args);
    va_end(args);
    e->finding_count++;
}

/* ---- trying */

static bool digest_of(struct exam *x, const struct trial *t, struct ag_antom_prefix *prefix,
                      uint8_t digest[AG_DIGEST_LEN])
{
    return ag_antom_prefix_render(t->method, t->uri, t->client_id, t->time, prefix) == ANTAG_OK &&
           ag_hasher_digest(x->hasher, prefix, t->body, digest) == ANTAG_OK;
}

static const struct ag_verify_key *fits(struct exam *x, const struct trial *t,
                                        const struct ag_verify_key *keys, size_t count)
{
    struct ag_antom_prefix prefix;
    uint8_t digest[AG_DIGEST_LEN];

    if (count == 0 || t->sig.len == 0 || !digest_of(x, t, &prefix, digest))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (ag_verifier_fits(x->verifier, &keys[i], digest, t->sig))
            return &keys[i];
    return NULL;
}

/* Under the keys that the profile trusts. */
static bool fits_own(struct exam *x, const struct trial *t)
{
    const struct ag_profile *p = x->out->profile;

    return fits(x, t, p->keys, p->key_count) != NULL;
}

/* ---- the mistakes, in the order in which they are told */

static const struct ag_profile *sibling_of(const struct exam *x)
{
    const struct ag_snap_profile *row = x->out->profile->row;
    const char *slash = strchr(row->name, '/');
    char name[ANTAG_PROFILE_MAX + 1];

    if (slash == NULL)
        return NULL;
    snprintf(name, sizeof name, "%.*s/%s", (int)(slash - row->name), row->name,
             ag_env_name(row->env == AG_ENV_LIVE ? AG_ENV_SANDBOX : AG_ENV_LIVE));
    return ag_snapshot_find(x->a->snap, antag_slice_of(name));
}

static void try_other_keys(struct exam *x)
{
    const struct ag_profile *own = x->out->profile, *other = sibling_of(x);
    struct trial raw = x->given; /* the other environment has its own path */
    const struct ag_verify_key *k = fits(x, &x->given, own->others, own->other_count);

    if (k != NULL)
        find(x, k->staged ? AG_CAUSE_staged_key : AG_CAUSE_revoked_key, "version %" PRIu32,
             k->version);
    if (other == NULL)
        return;
    raw.uri = x->p->uri.v;
    k = fits(x, &x->given, other->keys, other->key_count);
    if (k == NULL)
        k = fits(x, &raw, other->keys, other->key_count);
    if (k != NULL)
        find(x, AG_CAUSE_other_environment_key, "%s version %" PRIu32, other->row->name,
             k->version);
}

static void try_client_id(struct exam *x)
{
    struct trial t = x->given;

    t.client_id = antag_slice_of(x->out->profile->row->client_id);
    if (!antag_slice_equal(t.client_id, x->given.client_id) && fits_own(x, &t))
        find(x, AG_CAUSE_client_id, "%s", x->out->profile->row->client_id);
}

static void try_times(struct exam *x)
{
    for (size_t i = 0; i < x->headers.other_count; i++) {
        struct trial t = x->given;

        t.time = x->headers.other[i].value;
        if (fits_own(x, &t))
            find(x, AG_CAUSE_time_of_other_header, "%.*s",
                 (int)(x->headers.other[i].name.len < 60 ? x->headers.other[i].name.len : 60),
                 (const char *)x->headers.other[i].name.p);
    }
}

static void try_uris(struct exam *x)
{
    static const char *const methods[] = {"POST", "GET", "PUT"};
    struct antag_slice path, query;
    struct trial t = x->given;
    bool has_query;
    char other[ANTAG_URI_MAX + 17];
    size_t len;

    ag_antom_uri_split(t.uri, &path, &query, &has_query);
    t.uri = path;
    if (has_query && fits_own(x, &t))
        find(x, AG_CAUSE_query_missing, "without its query");
    t.uri = x->p->uri.v;
    if (!antag_slice_equal(t.uri, x->given.uri) && fits_own(x, &t))
        find(x, AG_CAUSE_uri_of_other_environment, "the URI as it was given");
    if (ag_antom_uri_derive(AG_ENV_SANDBOX, x->p->uri.v, other, sizeof other, &len, NULL) ==
        ANTAG_OK) {
        t.uri = (struct antag_slice){(const uint8_t *)other, len};
        if (!antag_slice_equal(t.uri, x->given.uri) && fits_own(x, &t))
            find(x, AG_CAUSE_uri_of_other_environment, "%.100s", other);
    }
    t.uri = x->given.uri;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        t.method = antag_slice_of(methods[i]);
        if (!antag_slice_equal(t.method, x->given.method) && fits_own(x, &t))
            find(x, AG_CAUSE_method, "%s", methods[i]);
    }
}

/* errors: NO_MEMORY */
static enum antag_err try_bodies(struct exam *x, struct antag_fault *fault)
{
    size_t size = 6 * x->given.body.len + 2;
    uint8_t *buffer = malloc(size);
    struct trial t = x->given;

    if (buffer == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    t.body.p = buffer;
    for (int v = 0; v < AG_BODY_VARIANT_COUNT; v++) {
        if (!ag_body_vary((enum ag_body_variant)v, x->given.body, buffer, size, &t.body.len) ||
            !fits_own(x, &t))
            continue;
        find(x, ag_body_variant_cause((enum ag_body_variant)v), "%s", "");
        break; /* the plainest comes first */
    }
    free(buffer);
    return ANTAG_OK;
}

/* ---- signatures that are out of form */

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

static size_t decode_once(struct antag_slice in, uint8_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        bool escape =
            in.p[i] == '%' && i + 2 < in.len && hex(in.p[i + 1]) >= 0 && hex(in.p[i + 2]) >= 0;

        out[n++] = escape ? (uint8_t)(hex(in.p[i + 1]) * 16 + hex(in.p[i + 2])) : in.p[i];
        i += escape ? 2 : 0;
    }
    return n;
}

static size_t blanks_to_plus(struct antag_slice in, uint8_t *out)
{
    for (size_t i = 0; i < in.len; i++)
        out[i] = in.p[i] == ' ' ? '+' : in.p[i];
    return in.len;
}

static void try_signature(struct exam *x, enum ag_cause cause,
                          size_t change(struct antag_slice in, uint8_t *out))
{
    uint8_t text[HEADER_MAX];
    struct antag_slice header = x->headers.value[AG_HEADER_SIGNATURE], changed = {text, 0};
    struct ag_antom_signature sig;
    struct trial t = x->given;

    if (header.len > sizeof text)
        return;
    changed.len = change(header, text);
    if (antag_slice_equal(changed, header) ||
        ag_antom_signature_parse(changed, &sig, NULL) != ANTAG_OK)
        return;
    t.sig = (struct antag_slice){sig.raw, sig.len};
    if (fits_own(x, &t))
        find(x, cause, "%s", "");
}

/* ---- one message */

static enum antag_err diagnose(struct exam *x, struct antag_fault *fault)
{
    struct ag_explained *e = x->out;

    if (e->verdict == ANTAG_ERR_UNSIGNED)
        find(x, AG_CAUSE_unsigned_answer, "%s", "");
    if (e->verdict == ANTAG_ERR_HALF_SIGNED)
        find(x, AG_CAUSE_header_missing, "%s", "");
    if (!e->has_string || x->headers.value[AG_HEADER_SIGNATURE].len == 0)
        return ANTAG_OK;
    try_signature(x, AG_CAUSE_plus_as_space, blanks_to_plus);
    try_signature(x, AG_CAUSE_encoded_twice, decode_once);
    if (x->given.sig.len == 0)
        return ANTAG_OK;
    try_other_keys(x);
    try_client_id(x);
    try_times(x);
    try_uris(x);
    return try_bodies(x, fault);
}

static void take_string(struct exam *x)
{
    struct ag_explained *e = x->out;

    e->has_string = digest_of(x, &x->given, &e->prefix, e->digest);
}

static bool is_refused_at_once(enum antag_err err)
{
    return err == ANTAG_ERR_BAD_PARAM || err == ANTAG_ERR_DENIED || err == ANTAG_ERR_NO_MEMORY ||
           err == ANTAG_ERR_INTERNAL;
}

static enum antag_err explain_message(struct exam *x, enum ag_verify_kind kind,
                                      struct antag_fault *fault)
{
    const struct antag_explain_params *p = x->p;
    struct antag_verify_params v = {.profile = p->profile,
                                    .method = p->method,
                                    .uri = p->uri,
                                    .body = p->body,
                                    .headers = p->headers,
                                    .max_age_ms = p->max_age_ms};
    struct ag_explained *e = x->out;
    struct ag_verified verified;
    char uri[ANTAG_URI_MAX + 17];
    size_t uri_len = 0;
    enum antag_err err;

    e->verdict = ag_verify(x->a, kind, &v, x->hasher, x->verifier, &verified, &e->fault);
    if (is_refused_at_once(e->verdict)) {
        *fault = e->fault;
        return e->verdict;
    }
    err =
        ag_verify_parts(x->a, kind, &v, &x->headers, &e->profile, uri, sizeof uri, &uri_len, fault);
    if (err != ANTAG_OK && err != ANTAG_ERR_NO_ANTOM_KEY) /* that one comes last: all is there */
        return is_refused_at_once(err) ? err : ANTAG_OK;  /* it is the verdict */
    x->given = (struct trial){.method = p->method.v,
                              .uri = {(const uint8_t *)uri, uri_len},
                              .client_id = x->headers.value[AG_HEADER_CLIENT_ID],
                              .time = x->headers.value[AG_HEADER_TIME],
                              .body = p->body.v};
    if (ag_antom_signature_parse(x->headers.value[AG_HEADER_SIGNATURE], &x->sig, NULL) == ANTAG_OK)
        x->given.sig = (struct antag_slice){x->sig.raw, x->sig.len};
    take_string(x);
    if (e->verdict == ANTAG_OK || e->verdict == ANTAG_ERR_TOO_OLD ||
        e->verdict == ANTAG_ERR_IN_THE_FUTURE)
        return ANTAG_OK;
    if ((err = diagnose(x, fault)) != ANTAG_OK)
        return err;
    if (e->finding_count == 0)
        find(x, AG_CAUSE_unknown, "%s", "");
    return ANTAG_OK;
}

static enum antag_err explain_sign(struct exam *x, struct antag_fault *fault)
{
    const struct antag_explain_params *p = x->p;
    struct antag_sign_params s = {.profile = p->profile,
                                  .method = p->method,
                                  .uri = p->uri,
                                  .body = p->body,
                                  .time = p->time,
                                  .merchant = p->merchant};
    struct ag_sign_plan *plan = calloc(1, sizeof *plan);
    struct ag_explained *e = x->out;
    enum antag_err err = ANTAG_OK;

    if (plan == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    e->verdict = ag_sign_plan_make(x->a, &s, x->hasher, plan, &e->fault);
    if (is_refused_at_once(e->verdict)) {
        *fault = e->fault;
        err = e->verdict;
        goto out;
    }
    e->profile = plan->profile;
    if (plan->uri_len == 0 || plan->profile->row->client_id[0] == '\0')
        goto out; /* refused before there was anything to sign */
    if (plan->time[0] == '\0')
        ag_antom_time_render(x->a->now_ms, plan->time);
    x->given = (struct trial){.method = p->method.v,
                              .uri = {(const uint8_t *)plan->uri, plan->uri_len},
                              .client_id = antag_slice_of(plan->profile->row->client_id),
                              .time = p->time.set ? p->time.v : antag_slice_of(plan->time),
                              .body = p->body.v};
    take_string(x);
out:
    free(plan);
    return err;
}

enum antag_err ag_explain(const struct ag_asking *a, const struct antag_explain_params *p,
                          struct ag_hasher *hasher, struct ag_verifier *verifier,
                          struct ag_explained *out, struct antag_fault *fault)
{
    struct ag_asking asking = *a;
    struct exam *x = calloc(1, sizeof *x);
    enum antag_err err;

    if (x == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    memset(out, 0, sizeof *out);
    asking.explain = true;
    *x = (struct exam){.a = &asking, .p = p, .hasher = hasher, .verifier = verifier, .out = out};
    if (antag_slice_is(p->kind.v, "sign"))
        err = explain_sign(x, fault);
    else if (antag_slice_is(p->kind.v, "response"))
        err = explain_message(x, AG_VERIFY_RESPONSE, fault);
    else if (antag_slice_is(p->kind.v, "notification"))
        err = explain_message(x, AG_VERIFY_NOTIFICATION, fault);
    else
        err = antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "kind",
                              "must be sign, response or notification");
    free(x);
    return err;
}

/* ---- the result */

static void write_findings(struct antag_writer *w, const struct ag_explained *e)
{
    antag_w_key(w, "findings");
    antag_w_array(w);
    for (size_t i = 0; i < e->finding_count; i++) {
        const struct ag_explained_finding *f = &e->findings[i];

        antag_w_map(w);
        antag_w_kv_str(w, "cause", ag_cause_name(f->cause));
        antag_w_kv_str(w, "message", ag_cause_text(f->cause));
        if (f->more[0] != '\0')
            antag_w_kv_str(w, "which", f->more);
        antag_w_kv_str(w, "remedy", ag_cause_remedy(f->cause));
        antag_w_end(w);
    }
    antag_w_end(w);
}

void ag_explain_result_write(struct antag_writer *w, const struct antag_explain_params *p,
                             const struct ag_explained *e)
{
    char text[2 * AG_DIGEST_LEN + 1];

    antag_w_map(w);
    antag_w_kv_strn(w, "kind", p->kind.v);
    antag_w_kv_str(w, "verdict", antag_err_name(e->verdict));
    antag_w_kv_uint(w, "code", (uint64_t)e->verdict);
    if (e->verdict != ANTAG_OK)
        antag_w_kv_str(w, "message", antag_fault_text(&e->fault));
    if (e->has_string) {
        for (size_t i = 0; i < AG_DIGEST_LEN; i++)
            snprintf(text + 2 * i, 3, "%02x", e->digest[i]);
        antag_w_kv_strn(w, "string_head", (struct antag_slice){e->prefix.text, e->prefix.len});
        antag_w_kv_uint(w, "body_bytes", p->body.v.len);
        antag_w_kv_str(w, "digest", text);
    }
    write_findings(w, e);
    antag_w_end(w);
}

/* ---- how often */

enum antag_err ag_explain_pass(struct ag_explain_gate *g, size_t body_len, int64_t now_ms,
                               struct antag_fault *fault)
{
    static const struct ag_bucket bucket = {AG_EXPLAIN_RATE, AG_EXPLAIN_BURST};
    uint32_t price = 1 + (uint32_t)(body_len / AG_EXPLAIN_SHARE);
    int64_t wait_ns;

    if (ag_bucket_take(&bucket, price, now_ms * 1000000, &g->full_at_ns, &wait_ns))
        return ANTAG_OK;
    antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                    "at most %d explanations a second are made, fewer of large bodies",
                    AG_EXPLAIN_RATE);
    fault->retry_after_ms = (wait_ns + 999999) / 1000000;
    return ANTAG_ERR_BUSY;
}
