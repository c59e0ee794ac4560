#include "agent/lib/edges/fetching.h"

#include "proto/params.h"

struct fetching_params {
    struct antag_opt_slice gateway, uri, client_id, time, signature, body;
};
#define F(member, kind, min, max)                                                                  \
    ANTAG_FIELD(struct fetching_params, member, kind, true, (min), (max), 0)
static const struct antag_field fetching_fields[] = {
    F(gateway, TEXT, 1, ANTAG_URL_MAX),         F(uri, TEXT, 1, ANTAG_URI_MAX),
    F(client_id, TEXT, 1, ANTAG_CLIENT_ID_MAX), F(time, TEXT, 1, ANTAG_TIME_MAX),
    F(signature, TEXT, 1, AG_FETCH_HEADER_MAX), F(body, BYTES, 1, AG_FETCH_BODY_MAX),
};
#undef F
static const struct antag_params fetching_spec = {fetching_fields,
                                                  sizeof fetching_fields / sizeof *fetching_fields,
                                                  sizeof(struct fetching_params)};

void ag_fetching_write(struct antag_writer *w, const struct ag_fetching *f)
{
    antag_w_map(w);
    antag_w_kv_strn(w, "gateway", f->gateway);
    antag_w_kv_strn(w, "uri", f->uri);
    antag_w_kv_strn(w, "client_id", f->client_id);
    antag_w_kv_strn(w, "time", f->time);
    antag_w_kv_strn(w, "signature", f->signature);
    antag_w_kv_bin(w, "body", f->body);
    antag_w_end(w);
}

enum antag_err ag_fetching_parse(const msgpack_object *o, struct ag_fetching *out,
                                 struct antag_fault *fault)
{
    struct fetching_params p;
    enum antag_err err = antag_params_parse(&fetching_spec, false, o, &p, fault);

    if (err != ANTAG_OK)
        return err;
    *out = (struct ag_fetching){p.gateway.v, p.uri.v,       p.client_id.v,
                                p.time.v,    p.signature.v, p.body.v};
    if (out->uri.p[0] != '/')
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "uri", "begins with '/'");
    return ANTAG_OK;
}

struct fetched_params {
    struct antag_opt_uint status;
    struct antag_opt_slice client_id, time, signature, body;
};
#define F(member, kind, max) ANTAG_FIELD(struct fetched_params, member, kind, true, 0, (max), 0)
static const struct antag_field fetched_fields[] = {
    F(status, UINT, 999),
    F(client_id, BYTES, AG_FETCH_HEADER_MAX),
    F(time, BYTES, AG_FETCH_HEADER_MAX),
    F(signature, BYTES, AG_FETCH_HEADER_MAX),
    F(body, BYTES, AG_FETCH_ANSWER_MAX),
};
#undef F
static const struct antag_params fetched_spec = {
    fetched_fields, sizeof fetched_fields / sizeof *fetched_fields, sizeof(struct fetched_params)};

/* Bytes of a stranger: not sure to be text. */
void ag_fetched_write(struct antag_writer *w, const struct ag_fetched *f)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "status", f->status);
    antag_w_kv_bin(w, "client_id", f->client_id);
    antag_w_kv_bin(w, "time", f->time);
    antag_w_kv_bin(w, "signature", f->signature);
    antag_w_kv_bin(w, "body", f->body);
    antag_w_end(w);
}

enum antag_err ag_fetched_parse(const msgpack_object *o, struct ag_fetched *out,
                                struct antag_fault *fault)
{
    struct fetched_params p;
    enum antag_err err = antag_params_parse(&fetched_spec, false, o, &p, fault);

    if (err == ANTAG_OK)
        *out = (struct ag_fetched){p.status.v, p.client_id.v, p.time.v, p.signature.v, p.body.v};
    return err;
}
