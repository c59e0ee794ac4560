/* calls: params written, results read. */
#include <string.h>
#include <strings.h>

#include "client/c/wire.h"
#include "proto/params.h"

/* ---- params */

static void put_text(struct antag_writer *w, const char *key, const char *text)
{
    if (text != NULL)
        antag_w_kv_str(w, key, text);
}

static void put_deadline(struct antag_writer *w, int64_t deadline_ms)
{
    if (deadline_ms > 0)
        antag_w_kv_int(w, "deadline_ms",
                       deadline_ms < ANTAG_DEADLINE_MAX_MS ? deadline_ms : ANTAG_DEADLINE_MAX_MS);
}

void antag__write_hello(struct antag_writer *w, const void *call, int64_t deadline_ms)
{
    (void)deadline_ms;
    antag_w_map(w);
    put_text(w, "client", call);
    antag_w_end(w);
}

void antag__write_health(struct antag_writer *w, const void *call, int64_t deadline_ms)
{
    (void)call;
    antag_w_map(w);
    put_deadline(w, deadline_ms);
    antag_w_end(w);
}

void antag__write_sign(struct antag_writer *w, const void *call, int64_t deadline_ms)
{
    const struct antag_sign_call *s = call;

    antag_w_map(w);
    put_text(w, "profile", s->profile);
    put_text(w, "method", s->method);
    put_text(w, "uri", s->uri);
    antag_w_kv_bin(w, "body", s->body);
    put_text(w, "time", s->time);
    put_text(w, "merchant", s->merchant);
    put_text(w, "trace", s->trace);
    put_deadline(w, deadline_ms);
    antag_w_end(w);
}

static bool same_name(const struct antag_header *a, const struct antag_header *b)
{
    return strcasecmp(a->name, b->name) == 0;
}

/* Given twice, it is a list under its first name: whether that is allowed the agent decides. */
static void write_header(struct antag_writer *w, const struct antag_header *h, size_t count,
                         size_t i)
{
    size_t again = 0;

    for (size_t k = 0; k < i; k++)
        if (same_name(&h[k], &h[i]))
            return; /* written with that one */
    for (size_t k = i + 1; k < count; k++)
        again += same_name(&h[k], &h[i]);
    antag_w_key(w, h[i].name);
    if (again == 0) {
        antag_w_str(w, h[i].value);
        return;
    }
    antag_w_array(w);
    for (size_t k = i; k < count; k++)
        if (same_name(&h[k], &h[i]))
            antag_w_str(w, h[k].value);
    antag_w_end(w);
}

void antag__write_headers(struct antag_writer *w, const struct antag_header *h, size_t count)
{
    antag_w_key(w, "headers");
    antag_w_map(w);
    for (size_t i = 0; i < count; i++)
        write_header(w, h, count, i);
    antag_w_end(w);
}

void antag__write_verify(struct antag_writer *w, const void *call, int64_t deadline_ms)
{
    const struct antag_verify_call *v = call;

    antag_w_map(w);
    put_text(w, "profile", v->profile);
    put_text(w, "method", v->method);
    put_text(w, "uri", v->uri);
    antag_w_kv_bin(w, "body", v->body);
    antag__write_headers(w, v->headers, v->header_count);
    if (v->max_age_ms >= 0)
        antag_w_kv_int(w, "max_age_ms", v->max_age_ms);
    put_text(w, "trace", v->trace);
    put_deadline(w, deadline_ms);
    antag_w_end(w);
}

/* What only this side can say; all else is for the agent to judge. */
static enum antag_err check(const char *profile, const char *method, const char *uri,
                            struct antag_slice body, struct antag_fault *fault)
{
    const char *missing = profile == NULL  ? "profile"
                          : method == NULL ? "method"
                          : uri == NULL    ? "uri"
                                           : NULL;

    if (missing != NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, missing, "is missing");
    if (body.len > ANTAG_BODY_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "body", "has %zu bytes, at most %d",
                               body.len, ANTAG_BODY_MAX);
    return ANTAG_OK;
}

enum antag_err antag__check_sign(const struct antag_sign_call *s, struct antag_fault *fault)
{
    return check(s->profile, s->method, s->uri, s->body, fault);
}

enum antag_err antag__check_verify(const struct antag_verify_call *v, struct antag_fault *fault)
{
    for (size_t i = 0; i < v->header_count; i++)
        if (v->headers[i].name == NULL || v->headers[i].value == NULL)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "headers",
                                   "header %zu has no name or no value", i);
    if (v->header_count > ANTAG_HEADERS_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "headers", "has %zu, at most %d",
                               v->header_count, ANTAG_HEADERS_MAX);
    return check(v->profile, v->method, v->uri, v->body, fault);
}

/* ---- results: what is needed must be there and fit; what is not known is skipped */

static bool take_uint32(const msgpack_object *o, const char *key, uint32_t *out)
{
    uint64_t v;

    if (!antag_object_uint(o, key, &v) || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

#define TAKE(map, key, member) antag_object_text(map, key, member, sizeof member)

static enum antag_err read_sign(const msgpack_object *o, struct antag_signed *s)
{
    const msgpack_object *headers = antag_object_get(o, "headers");

    if (headers == NULL || !TAKE(headers, "Client-Id", s->client_id) ||
        !TAKE(headers, "Request-Time", s->request_time) ||
        !TAKE(headers, "Signature", s->signature) ||
        !TAKE(headers, "Content-Type", s->content_type) || !TAKE(o, "uri", s->uri) ||
        !take_uint32(o, "version", &s->version) || !take_uint32(o, "key_version", &s->key_version))
        return ANTAG_ERR_BAD_FRAME;
    if ((antag_object_get(headers, "Agent-Token") != NULL &&
         !TAKE(headers, "Agent-Token", s->agent_token)) ||
        (antag_object_get(o, "url") != NULL && !TAKE(o, "url", s->url)) ||
        (antag_object_get(o, "record") != NULL && !TAKE(o, "record", s->record)))
        return ANTAG_ERR_BAD_FRAME;
    return ANTAG_OK;
}

static enum antag_err read_verify(const msgpack_object *o, struct antag_verified *v)
{
    if (!take_uint32(o, "version", &v->version) || !TAKE(o, "time", v->time) ||
        !antag_object_int(o, "age_ms", &v->age_ms))
        return ANTAG_ERR_BAD_FRAME;
    v->verified = true; /* last: everything else is as it must be */
    return ANTAG_OK;
}

/* Of an agent that does not tell, the protocol's own stay. */
static void read_hello(const msgpack_object *o, struct antag__limits *out)
{
    const msgpack_object *limits = antag_object_get(o, "limits");

    *out = (struct antag__limits){ANTAG_INFLIGHT_PER_CONN, ANTAG_INFLIGHT_BYTES_PER_CONN};
    if (limits == NULL)
        return;
    (void)antag_object_uint(limits, "requests_per_connection", &out->requests);
    (void)antag_object_uint(limits, "bytes_per_connection", &out->bytes);
}

enum antag_err antag__read_result(enum antag__kind kind, const msgpack_object *o,
                                  union antag__result *out)
{
    enum antag_err err = ANTAG_OK;

    memset(out, 0, sizeof *out);
    if (kind == ANTAG__SIGN)
        err = read_sign(o, &out->sign);
    else if (kind == ANTAG__VERIFY)
        err = read_verify(o, &out->verify);
    else if (kind == ANTAG__HELLO)
        read_hello(o, &out->limits);
    else if (kind == ANTAG__WATCH && !antag_object_uint(o, "epoch", &out->event.epoch))
        err = ANTAG_ERR_BAD_FRAME; /* its kind is EPOCH, the first */
    else if (kind == ANTAG__HEALTH && !TAKE(o, "state", out->health.state))
        err = ANTAG_ERR_BAD_FRAME;
    else if (kind == ANTAG__HEALTH)
        (void)TAKE(o, "reason", out->health.reason);
    if (err != ANTAG_OK)
        memset(out, 0, sizeof *out);
    return err;
}

/* ---- events */

static bool read_profile(const msgpack_object *o, struct antag_event *e)
{
    if (!TAKE(o, "profile", e->profile) || !TAKE(o, "sign", e->status))
        return false;
    e->signs = strcmp(e->status, "ready") == 0;
    (void)TAKE(o, "sign_why", e->why);
    return !e->signs || (take_uint32(o, "version", &e->version) &&
                         take_uint32(o, "key_version", &e->key_version));
}

bool antag__read_event(const struct antag_message *m, struct antag_event *out)
{
    static const char *const names[] = {
        [ANTAG_EVENT_EPOCH] = "epoch",       [ANTAG_EVENT_PROFILE] = "profile",
        [ANTAG_EVENT_STATE] = "state",       [ANTAG_EVENT_LAGGED] = "lagged",
        [ANTAG_EVENT_DRAINING] = "draining",
    };
    const msgpack_object *o = &m->params;
    size_t kind = 0;

    while (kind < sizeof names / sizeof names[0] && !antag_slice_is(m->name, names[kind]))
        kind++;
    memset(out, 0, sizeof *out);
    out->kind = (enum antag_event_kind)kind;
    switch (kind) {
    case ANTAG_EVENT_EPOCH:
    case ANTAG_EVENT_LAGGED:
        return antag_object_uint(o, "epoch", &out->epoch);
    case ANTAG_EVENT_PROFILE:
        return read_profile(o, out);
    case ANTAG_EVENT_STATE:
        (void)TAKE(o, "reason", out->why);
        return TAKE(o, "state", out->state);
    case ANTAG_EVENT_DRAINING:
        return true;
    default:
        return false;
    }
}
