#include "agent/lib/edges/heads.h"

#include <string.h>

struct params {
    struct antag_opt_uint seq, appended, known_seq;
    struct antag_opt_slice hash, known_hash;
};
#define F(member, kind, min, max) ANTAG_FIELD(struct params, member, kind, true, (min), (max), 0)
#define COUNT(a)                  (sizeof(a) / sizeof(a)[0])
#define OWN                                                                                        \
    F(seq, UINT, 0, INT64_MAX), F(hash, BYTES, AG_LINE_HASH, AG_LINE_HASH),                        \
        F(appended, UINT, 0, INT64_MAX)

static const struct antag_field answer_fields[] = {OWN};
static const struct antag_field request_fields[] = {
    OWN, F(known_seq, UINT, 0, INT64_MAX), F(known_hash, BYTES, AG_LINE_HASH, AG_LINE_HASH)};

void ag_heads_write(struct antag_writer *w, const struct ag_heads *h, bool request)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "seq", h->seq);
    antag_w_kv_bin(w, "hash", (struct antag_slice){h->hash, AG_LINE_HASH});
    antag_w_kv_uint(w, "appended", h->appended);
    if (request) {
        antag_w_kv_uint(w, "known_seq", h->known_seq);
        antag_w_kv_bin(w, "known_hash", (struct antag_slice){h->known_hash, AG_LINE_HASH});
    }
    antag_w_end(w);
}

enum antag_err ag_heads_parse(const msgpack_object *o, bool request, struct ag_heads *out,
                              struct antag_fault *fault)
{
    static const struct antag_params answer = {answer_fields, COUNT(answer_fields),
                                               sizeof(struct params)};
    static const struct antag_params asked = {request_fields, COUNT(request_fields),
                                              sizeof(struct params)};
    struct params p;
    enum antag_err err = antag_params_parse(request ? &asked : &answer, !request, o, &p, fault);

    if (err != ANTAG_OK)
        return err;
    memset(out, 0, sizeof *out);
    out->seq = p.seq.v;
    out->appended = p.appended.v;
    memcpy(out->hash, p.hash.v.p, AG_LINE_HASH);
    if (request) {
        out->known_seq = p.known_seq.v;
        memcpy(out->known_hash, p.known_hash.v.p, AG_LINE_HASH);
    }
    return ANTAG_OK;
}
