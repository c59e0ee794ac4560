#include "client/antomctl/json.h"

#include <stdlib.h>
#include <string.h>

static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static json_t *of_bin(const uint8_t *p, size_t len)
{
    size_t used = 0;
    char *text = malloc(len / 3 * 4 + 5);
    json_t *out;

    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t v = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                     (left > 2 ? p[i + 2] : 0u);

        text[used++] = BASE64[v >> 18];
        text[used++] = BASE64[v >> 12 & 63];
        text[used++] = left > 1 ? BASE64[v >> 6 & 63] : '=';
        text[used++] = left > 2 ? BASE64[v & 63] : '=';
    }
    out = json_stringn(text, used);
    free(text);
    return out;
}

/* Text that jansson refuses is not UTF-8: every byte over 7f is replaced, the rest stays. */
static json_t *of_str(const char *p, size_t len)
{
    json_t *out = json_stringn(p, len);
    size_t used = 0;
    char *text;

    if (out != NULL || len > SIZE_MAX / 4)
        return out;
    text = malloc(len * 3 + 1);
    if (text == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        if ((uint8_t)p[i] < 0x80) {
            text[used++] = p[i];
        } else {
            memcpy(text + used, "\xef\xbf\xbd", 3);
            used += 3;
        }
    }
    out = json_stringn(text, used);
    free(text);
    return out;
}

static json_t *of_array(const msgpack_object_array *a)
{
    json_t *out = json_array();

    for (uint32_t i = 0; out != NULL && i < a->size; i++) {
        if (json_array_append_new(out, ctl_json_of(&a->ptr[i])) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* Keys that are no text do not occur in our protocol; they are skipped like unknown ones. */
static json_t *of_map(const msgpack_object_map *m)
{
    json_t *out = json_object();

    for (uint32_t i = 0; out != NULL && i < m->size; i++) {
        const msgpack_object *k = &m->ptr[i].key;
        json_t *name;
        int failed;

        if (k->type != MSGPACK_OBJECT_STR)
            continue;
        name = of_str(k->via.str.ptr, k->via.str.size);
        failed = name == NULL ? -1
                              : json_object_set_new(out, json_string_value(name),
                                                    ctl_json_of(&m->ptr[i].val));
        json_decref(name);
        if (failed != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

json_t *ctl_json_of(const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(o->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        if (o->via.u64 > INT64_MAX)
            return json_real((double)o->via.u64);
        return json_integer((json_int_t)o->via.u64);
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer((json_int_t)o->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        /* JSON has no infinity and no NaN; jansson refuses them */
        return o->via.f64 - o->via.f64 == 0 ? json_real(o->via.f64) : json_null();
    case MSGPACK_OBJECT_STR:
        return of_str(o->via.str.ptr, o->via.str.size);
    case MSGPACK_OBJECT_BIN:
        return of_bin((const uint8_t *)o->via.bin.ptr, o->via.bin.size);
    case MSGPACK_OBJECT_ARRAY:
        return of_array(&o->via.array);
    case MSGPACK_OBJECT_MAP:
        return of_map(&o->via.map);
    default:
        return json_null();
    }
}

json_t *ctl_json_fault(const struct antag_fault *fault)
{
    const char *text = antag_fault_text(fault);
    json_t *error = json_object();
    json_t *out = json_object();
    int bad = 0;

    bad |= json_object_set_new(error, "code", json_integer((json_int_t)fault->err));
    bad |= json_object_set_new(error, "name", json_string(antag_err_name(fault->err)));
    bad |= json_object_set_new(error, "class",
                               json_string(antag_class_name(antag_err_class(fault->err))));
    bad |= json_object_set_new(error, "message", of_str(text, strlen(text)));
    if (fault->field[0] != '\0')
        bad |= json_object_set_new(error, "field", of_str(fault->field, strlen(fault->field)));
    if (fault->retry_after_ms >= 0)
        bad |= json_object_set_new(error, "retry_after_ms", json_integer(fault->retry_after_ms));
    bad |= json_object_set_new(out, "error", error);
    if (bad != 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

bool ctl_json_read_fault(const char *text, size_t len, struct antag_fault *out)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    const json_t *error = json_object_get(root, "error");
    int64_t code = 0;
    bool ok = ctl_json_int(error, "code", &code) && code > 0 && code <= INT32_MAX;

    if (ok)
        (void)antag_fault_set(out, (enum antag_err)code, ctl_json_text(error, "field"), "%s",
                              ctl_json_text(error, "message"));
    json_decref(root);
    return ok;
}

const char *ctl_json_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text != NULL ? text : "";
}

bool ctl_json_int(const json_t *o, const char *key, int64_t *out)
{
    const json_t *v = json_object_get(o, key);

    if (!json_is_integer(v))
        return false;
    *out = json_integer_value(v);
    return true;
}

enum antag_err ctl_json_print(const json_t *o, FILE *out)
{
    char *text = o != NULL ? json_dumps(o, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    int n;

    if (text == NULL)
        return ANTAG_ERR_NO_MEMORY;
    n = fprintf(out, "%s\n", text);
    free(text);
    return n < 0 ? ANTAG_ERR_IO : ANTAG_OK;
}
