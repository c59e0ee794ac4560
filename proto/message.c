#include "proto/message.h"

#include <string.h>

#include "proto/check.h"
#include "proto/params.h"

#define ZONE_CHUNK 8192

enum antag_err antag_decoder_init(struct antag_decoder *d)
{
    return msgpack_zone_init(&d->zone, ZONE_CHUNK) ? ANTAG_OK : ANTAG_ERR_NO_MEMORY;
}

void antag_decoder_fini(struct antag_decoder *d)
{
    if (d != NULL)
        msgpack_zone_destroy(&d->zone);
}

/* ---- the first bytes, read without the library, so that a refusal can be addressed */

/* A non-negative integer at `*at`; false when there is none. */
static bool peek_uint(struct antag_slice in, size_t *at, uint64_t *out)
{
    uint8_t b;
    size_t width;
    uint64_t v = 0;

    if (*at >= in.len)
        return false;
    b = in.p[(*at)++];
    if (b <= 0x7f) {
        *out = b;
        return true;
    }
    if (b < 0xcc || b > 0xd3)
        return false;
    width = (size_t)1 << ((b - 0xcc) & 3);
    if (in.len - *at < width)
        return false;
    for (size_t i = 0; i < width; i++)
        v = v << 8 | in.p[(*at)++];
    if (b >= 0xd0 && v >> (8 * width - 1) != 0) /* signed and negative */
        return false;
    *out = v;
    return true;
}

/* Shape and id as far as the bytes tell. */
static void peek(struct antag_slice in, struct antag_message *m, bool *is_answer)
{
    uint64_t shape, id;
    size_t at;

    *is_answer = false;
    if (in.len == 0)
        return;
    if (in.p[0] >= 0x92 && in.p[0] <= 0x9f)
        at = 1;
    else if (in.p[0] == 0xdc)
        at = 3;
    else if (in.p[0] == 0xdd)
        at = 5;
    else
        return;
    if (!peek_uint(in, &at, &shape) || shape > ANTAG_ANSWER)
        return;
    *is_answer = shape == ANTAG_ANSWER;
    m->shape = (enum antag_shape)shape;
    if (shape != ANTAG_EVENT && peek_uint(in, &at, &id) && id <= ANTAG_ID_MAX) {
        m->has_id = true;
        m->id = (uint32_t)id;
    }
}

/* ---- shapes */

static enum antag_err bad(struct antag_fault *fault, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_BAD_FRAME, NULL, "%s", why);
}

static bool is_empty_array(const msgpack_object *o)
{
    return o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size == 0;
}

static enum antag_err take_params(const msgpack_object *o, struct antag_message *m,
                                  struct antag_fault *fault)
{
    m->params = *o;
    if (o->type == MSGPACK_OBJECT_NIL || is_empty_array(o)) {
        m->params.type = MSGPACK_OBJECT_MAP;
        m->params.via.map.size = 0;
        m->params.via.map.ptr = NULL;
    }
    if (m->params.type != MSGPACK_OBJECT_MAP)
        return bad(fault, "params must be a map");
    return ANTAG_OK;
}

static enum antag_err read_request(const msgpack_object_array *a, struct antag_message *m,
                                   struct antag_fault *fault)
{
    if (a->size != 4)
        return bad(fault, "a request is [0, id, method, params]");
    if (!m->has_id)
        return bad(fault, "the id of a request is an integer from 0 to 2147483647");
    if (!antag_object_slice(&a->ptr[2], &m->name))
        return bad(fault, "the method of a request is text");
    return take_params(&a->ptr[3], m, fault);
}

static enum antag_err read_event(const msgpack_object_array *a, struct antag_message *m,
                                 struct antag_fault *fault)
{
    if (a->size != 3)
        return bad(fault, "an event is [2, name, params]");
    if (!antag_object_slice(&a->ptr[1], &m->name))
        return bad(fault, "the name of an event is text");
    return take_params(&a->ptr[2], m, fault);
}

/* The error map of an answer. Its text was made by the other side: it passes through
 * antag_fault_set like all others, which keeps control bytes out. */
static enum antag_err read_error(const msgpack_object *o, struct antag_message *m,
                                 struct antag_fault *fault)
{
    char field[ANTAG_FAULT_FIELD_MAX + 1];
    char text[ANTAG_FAULT_TEXT_MAX + 1];
    const msgpack_object *class_name;
    uint64_t code, retry;

    if (!antag_object_uint(o, "code", &code) || code == 0 || code > INT32_MAX)
        return bad(fault, "the error of an answer is nil, or a map with a code over 0");
    m->failed = true;
    (void)antag_object_text(o, "field", field, sizeof field);
    (void)antag_object_text(o, "message", text, sizeof text);
    (void)antag_fault_set(&m->fault, (enum antag_err)code, field, "%s", text);
    if (antag_object_uint(o, "retry_after_ms", &retry) && retry <= INT64_MAX)
        m->fault.retry_after_ms = (int64_t)retry;
    class_name = antag_object_get(o, "class");
    if (class_name == NULL || !antag_object_slice(class_name, &m->class_name))
        m->class_name = antag_slice_of(antag_class_name(antag_err_class(m->fault.err)));
    return ANTAG_OK;
}

static enum antag_err read_answer(const msgpack_object_array *a, struct antag_message *m,
                                  struct antag_fault *fault)
{
    if (a->size != 4)
        return bad(fault, "an answer is [1, id, error, result]");
    if (!m->has_id && a->ptr[1].type != MSGPACK_OBJECT_NIL)
        return bad(fault, "the id of an answer is nil or an integer from 0 to 2147483647");
    if (a->ptr[2].type != MSGPACK_OBJECT_NIL)
        return read_error(&a->ptr[2], m, fault);
    if (!m->has_id)
        return bad(fault, "an answer without an id can only be an error");
    m->result = a->ptr[3];
    return ANTAG_OK;
}

static enum antag_err decode(struct antag_decoder *d, struct antag_slice bytes, msgpack_object *out,
                             struct antag_fault *fault)
{
    size_t used = 0;
    msgpack_unpack_return got;

    msgpack_zone_clear(&d->zone);
    got = msgpack_unpack((const char *)bytes.p, bytes.len, &used, &d->zone, out);
    if (got == MSGPACK_UNPACK_NOMEM_ERROR)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    if (got != MSGPACK_UNPACK_SUCCESS)
        return bad(fault, "the bytes are no MessagePack value");
    return ANTAG_OK;
}

enum antag_err antag_message_parse(struct antag_decoder *d, struct antag_slice bytes,
                                   struct antag_message *out, struct antag_fault *fault)
{
    msgpack_object top;
    uint64_t shape = UINT64_MAX;
    bool is_answer;
    enum antag_err err;

    memset(out, 0, sizeof *out);
    peek(bytes, out, &is_answer);
    err = antag_check(bytes, ANTAG_DEPTH_MAX, is_answer ? ANTAG_ITEMS_ANSWER_MAX : ANTAG_ITEMS_MAX,
                      fault);
    if (err != ANTAG_OK)
        return err;
    if ((err = decode(d, bytes, &top, fault)) != ANTAG_OK)
        return err;
    if (top.type == MSGPACK_OBJECT_ARRAY && top.via.array.size > 0 &&
        top.via.array.ptr[0].type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        shape = top.via.array.ptr[0].via.u64;
    switch (shape) {
    case ANTAG_REQUEST:
        out->shape = ANTAG_REQUEST;
        return read_request(&top.via.array, out, fault);
    case ANTAG_ANSWER:
        out->shape = ANTAG_ANSWER;
        return read_answer(&top.via.array, out, fault);
    case ANTAG_EVENT:
        out->shape = ANTAG_EVENT;
        return read_event(&top.via.array, out, fault);
    default:
        return bad(fault, "a message is an array that starts with 0, 1 or 2");
    }
}

/* ---- writers */

void antag_m_request(struct antag_writer *w, uint32_t id, const char *method)
{
    antag_w_array(w);
    antag_w_uint(w, ANTAG_REQUEST);
    antag_w_uint(w, id);
    antag_w_str(w, method);
}

void antag_m_answer(struct antag_writer *w, uint32_t id)
{
    antag_w_array(w);
    antag_w_uint(w, ANTAG_ANSWER);
    antag_w_uint(w, id);
    antag_w_nil(w);
}

void antag_m_event(struct antag_writer *w, const char *name)
{
    antag_w_array(w);
    antag_w_uint(w, ANTAG_EVENT);
    antag_w_str(w, name);
}

void antag_m_close(struct antag_writer *w)
{
    antag_w_end(w);
}

void antag_m_error_map(struct antag_writer *w, const struct antag_fault *f)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "code", (uint64_t)f->err);
    antag_w_kv_str(w, "name", antag_err_name(f->err));
    antag_w_kv_str(w, "class", antag_class_name(antag_err_class(f->err)));
    antag_w_kv_str(w, "message", antag_fault_text(f));
    if (f->field[0] != '\0')
        antag_w_kv_str(w, "field", f->field);
    if (f->retry_after_ms >= 0)
        antag_w_kv_int(w, "retry_after_ms", f->retry_after_ms);
    antag_w_end(w);
}

void antag_m_failure(struct antag_writer *w, bool has_id, uint32_t id, const struct antag_fault *f)
{
    antag_w_array(w);
    antag_w_uint(w, ANTAG_ANSWER);
    if (has_id)
        antag_w_uint(w, id);
    else
        antag_w_nil(w);
    antag_m_error_map(w, f);
    antag_w_nil(w);
    antag_w_end(w);
}
