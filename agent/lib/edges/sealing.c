#include "agent/lib/edges/sealing.h"

#include <string.h>

#include "agent/core/pcrs.h"
#include "proto/params.h"

struct params {
    struct antag_opt_slice type, why, bytes;
    struct antag_opt_uint pcrs;
    struct antag_opt_bool opens;
};
static const struct antag_field fields[] = {
    ANTAG_FIELD(struct params, type, TEXT, false, 1, AG_SEAL_NAME_MAX, 0),
    ANTAG_FIELD(struct params, pcrs, UINT, false, 0, AG_PCR_ALL, 0),
    ANTAG_FIELD(struct params, opens, BOOL, false, 0, 0, 0),
    ANTAG_FIELD(struct params, why, TEXT, false, 0, sizeof(((struct ag_sealing *)NULL)->why) - 1,
                0),
    ANTAG_FIELD(struct params, bytes, BYTES, false, 1, AG_SEAL_BYTES_MAX, 0),
};
static const struct antag_params spec = {fields, sizeof fields / sizeof *fields,
                                         sizeof(struct params)};

void ag_sealing_write(struct antag_writer *w, const struct ag_sealing *s)
{
    antag_w_map(w);
    if (s->type[0] != '\0')
        antag_w_kv_str(w, "type", s->type);
    antag_w_kv_uint(w, "pcrs", s->pcrs);
    antag_w_kv_bool(w, "opens", s->opens);
    antag_w_kv_str(w, "why", s->why);
    if (s->bytes_len > 0)
        antag_w_kv_bin(w, "bytes", (struct antag_slice){s->bytes, s->bytes_len});
    antag_w_end(w);
}

enum antag_err ag_sealing_parse(const msgpack_object *o, struct ag_sealing *out,
                                struct antag_fault *fault)
{
    struct params p;
    enum antag_err err = antag_params_parse(&spec, false, o, &p, fault);

    memset(out, 0, sizeof *out);
    if (err != ANTAG_OK)
        return err;
    (void)antag_slice_copy(p.type.v, out->type, sizeof out->type);
    (void)antag_slice_copy(p.why.v, out->why, sizeof out->why);
    out->pcrs = (uint32_t)p.pcrs.v;
    out->opens = p.opens.set && p.opens.v;
    if (p.bytes.set) {
        memcpy(out->bytes, p.bytes.v.p, p.bytes.v.len);
        out->bytes_len = p.bytes.v.len;
    }
    return ANTAG_OK;
}
