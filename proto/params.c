#include "proto/params.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"
#include "proto/writer.h"

/* ---- single values */

bool antag_object_slice(const msgpack_object *o, struct antag_slice *out)
{
    if (o->type == MSGPACK_OBJECT_STR) {
        out->p = (const uint8_t *)o->via.str.ptr;
        out->len = o->via.str.size;
        return true;
    }
    if (o->type == MSGPACK_OBJECT_BIN) {
        out->p = (const uint8_t *)o->via.bin.ptr;
        out->len = o->via.bin.size;
        return true;
    }
    return false;
}

const msgpack_object *antag_object_get(const msgpack_object *map, const char *key)
{
    if (map == NULL || map->type != MSGPACK_OBJECT_MAP)
        return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        struct antag_slice name;

        if (antag_object_slice(&map->via.map.ptr[i].key, &name) && antag_slice_is(name, key))
            return &map->via.map.ptr[i].val;
    }
    return NULL;
}

bool antag_object_text(const msgpack_object *map, const char *key, char *out, size_t size)
{
    const msgpack_object *o = antag_object_get(map, key);
    struct antag_slice s;

    if (size > 0)
        out[0] = '\0';
    return o != NULL && antag_object_slice(o, &s) && antag_slice_copy(s, out, size);
}

bool antag_object_uint(const msgpack_object *map, const char *key, uint64_t *out)
{
    const msgpack_object *o = antag_object_get(map, key);

    if (o == NULL || o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return false;
    *out = o->via.u64;
    return true;
}

static bool object_int(const msgpack_object *o, int64_t *out)
{
    if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        *out = o->via.i64;
    else if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && o->via.u64 <= INT64_MAX)
        *out = (int64_t)o->via.u64;
    else
        return false;
    return true;
}

bool antag_object_int(const msgpack_object *map, const char *key, int64_t *out)
{
    const msgpack_object *o = antag_object_get(map, key);

    return o != NULL && object_int(o, out);
}

bool antag_object_bool(const msgpack_object *map, const char *key, bool *out)
{
    const msgpack_object *o = antag_object_get(map, key);

    if (o == NULL || o->type != MSGPACK_OBJECT_BOOLEAN)
        return false;
    *out = o->via.boolean;
    return true;
}

/* ---- refusals */

static const char *type_name(const msgpack_object *o)
{
    switch (o->type) {
    case MSGPACK_OBJECT_NIL:
        return "nil";
    case MSGPACK_OBJECT_BOOLEAN:
        return "a boolean";
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        return "an integer";
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return "a negative integer";
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return "a float";
    case MSGPACK_OBJECT_STR:
        return "text";
    case MSGPACK_OBJECT_BIN:
        return "bytes";
    case MSGPACK_OBJECT_ARRAY:
        return "an array";
    case MSGPACK_OBJECT_MAP:
        return "a map";
    default:
        return "another type";
    }
}

static enum antag_err wrong_type(const struct antag_field *field, const char *want,
                                 const msgpack_object *o, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field->name, "%s must be %s, got %s",
                           field->name, want, type_name(o));
}

static enum antag_err out_of_bounds(const struct antag_field *field, uint64_t got, const char *unit,
                                    struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field->name,
                           "%s must have %llu to %llu %s, got %llu", field->name,
                           (unsigned long long)field->min, (unsigned long long)field->max, unit,
                           (unsigned long long)got);
}

/* ---- text */

static bool is_text(struct antag_slice s)
{
    for (size_t i = 0; i < s.len;) {
        size_t len = s.p[i] == 0 ? 0 : antag_utf8_step(s.p + i, s.len - i, NULL);

        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

/* ---- one reader a kind */

static enum antag_err read_slice(const struct antag_field *field, const msgpack_object *o,
                                 struct antag_opt_slice *out, struct antag_fault *fault)
{
    bool text = field->kind == ANTAG_K_TEXT;

    if (!antag_object_slice(o, &out->v))
        return wrong_type(field, text ? "text" : "bytes", o, fault);
    if (out->v.len < field->min || out->v.len > field->max)
        return out_of_bounds(field, out->v.len, "bytes", fault);
    if (text && !is_text(out->v))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field->name,
                               "%s must be UTF-8 without NUL", field->name);
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_uint(const struct antag_field *field, const msgpack_object *o,
                                struct antag_opt_uint *out, struct antag_fault *fault)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
        return wrong_type(field, "an integer of 0 or more", o, fault);
    if (o->via.u64 < field->min || o->via.u64 > field->max)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field->name,
                               "%s must be from %llu to %llu, got %llu", field->name,
                               (unsigned long long)field->min, (unsigned long long)field->max,
                               (unsigned long long)o->via.u64);
    out->v = o->via.u64;
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_int(const struct antag_field *field, const msgpack_object *o,
                               struct antag_opt_int *out, struct antag_fault *fault)
{
    if (!object_int(o, &out->v))
        return wrong_type(field, "an integer within 64 bits, signed", o, fault);
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_bool(const struct antag_field *field, const msgpack_object *o,
                                struct antag_opt_bool *out, struct antag_fault *fault)
{
    if (o->type != MSGPACK_OBJECT_BOOLEAN)
        return wrong_type(field, "true or false", o, fault);
    out->v = o->via.boolean;
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_texts(const struct antag_field *field, const msgpack_object *o,
                                 struct antag_opt_value *out, struct antag_fault *fault)
{
    if (o->type != MSGPACK_OBJECT_ARRAY)
        return wrong_type(field, "an array of texts", o, fault);
    if (o->via.array.size < field->min || o->via.array.size > field->max)
        return out_of_bounds(field, o->via.array.size, "texts", fault);
    for (uint32_t i = 0; i < o->via.array.size; i++) {
        struct antag_slice s;

        if (!antag_object_slice(&o->via.array.ptr[i], &s))
            return wrong_type(field, "an array of texts", &o->via.array.ptr[i], fault);
        if (s.len == 0 || s.len > field->each || !is_text(s))
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field->name,
                                   "each text of %s must have 1 to %llu bytes of UTF-8 without "
                                   "NUL; number %u has not",
                                   field->name, (unsigned long long)field->each, i + 1u);
    }
    out->v = *o;
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_map(const struct antag_field *field, const msgpack_object *o,
                               struct antag_opt_value *out, struct antag_fault *fault)
{
    out->v = *o;
    if (o->type == MSGPACK_OBJECT_NIL ||
        (o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size == 0)) {
        out->v.type = MSGPACK_OBJECT_MAP;
        out->v.via.map.size = 0;
        out->v.via.map.ptr = NULL;
    }
    if (out->v.type != MSGPACK_OBJECT_MAP)
        return wrong_type(field, "a map", o, fault);
    if (out->v.via.map.size > field->max)
        return out_of_bounds(field, out->v.via.map.size, "pairs", fault);
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_array(const struct antag_field *field, const msgpack_object *o,
                                 struct antag_opt_value *out, struct antag_fault *fault)
{
    if (o->type != MSGPACK_OBJECT_ARRAY)
        return wrong_type(field, "an array", o, fault);
    if (o->via.array.size < field->min || o->via.array.size > field->max)
        return out_of_bounds(field, o->via.array.size, "values", fault);
    out->v = *o;
    out->set = true;
    return ANTAG_OK;
}

static enum antag_err read_field(const struct antag_field *field, const msgpack_object *o,
                                 void *out, struct antag_fault *fault)
{
    void *member = (char *)out + field->offset;

    if (o->type == MSGPACK_OBJECT_NIL && field->kind != ANTAG_K_MAP)
        return ANTAG_OK;
    switch (field->kind) {
    case ANTAG_K_TEXT:
    case ANTAG_K_BYTES:
        return read_slice(field, o, member, fault);
    case ANTAG_K_UINT:
        return read_uint(field, o, member, fault);
    case ANTAG_K_INT:
        return read_int(field, o, member, fault);
    case ANTAG_K_BOOL:
        return read_bool(field, o, member, fault);
    case ANTAG_K_TEXTS:
        return read_texts(field, o, member, fault);
    case ANTAG_K_MAP:
        return read_map(field, o, member, fault);
    case ANTAG_K_ARRAY:
        return read_array(field, o, member, fault);
    }
    return antag_fault_set(fault, ANTAG_ERR_INTERNAL, field->name, "a field of no known kind");
}

static bool is_set(const struct antag_field *field, const void *out)
{
    bool set;

    /* every antag_opt struct starts with it */
    memcpy(&set, (const char *)out + field->offset, sizeof set);
    return set;
}

/* ---- the map */

static size_t field_index(const struct antag_params *spec, struct antag_slice name)
{
    size_t i;

    for (i = 0; i < spec->count; i++)
        if (antag_slice_is(name, spec->fields[i].name))
            break;
    return i; /* spec->count: none */
}

/* `name` as a C string, to be shown: a NUL in it must not make it look like another name. */
static void key_text(struct antag_slice name, char *out, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < name.len && at + sizeof "\\x00" <= size; i++) {
        if (name.p[i] != 0) {
            out[at++] = (char)name.p[i];
            continue;
        }
        memcpy(out + at, "\\x00", 4);
        at += 4;
    }
    out[at] = '\0';
}

static enum antag_err unknown_key(const struct antag_params *spec, struct antag_slice name,
                                  struct antag_fault *fault)
{
    char key[2 * ANTAG_FAULT_FIELD_MAX]; /* longer than what is shown, so that a cut shows */
    char known[ANTAG_FAULT_TEXT_MAX / 2] = "";
    size_t at = 0;

    for (size_t i = 0; i < spec->count; i++) {
        int n = snprintf(known + at, sizeof known - at, "%s%s", i > 0 ? ", " : "",
                         spec->fields[i].name);

        if (n < 0 || (size_t)n >= sizeof known - at)
            break;
        at += (size_t)n;
    }
    key_text(name, key, sizeof key);
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, key,
                           "there is no parameter of this name here; known: %s",
                           known[0] != '\0' ? known : "none");
}

enum antag_err antag_params_parse(const struct antag_params *spec, bool open,
                                  const msgpack_object *map, void *out, struct antag_fault *fault)
{
    uint64_t seen = 0;
    enum antag_err err;

    assert(spec->count <= 64);
    memset(out, 0, spec->size);
    if (map->type != MSGPACK_OBJECT_MAP)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL, "a map is needed, got %s",
                               type_name(map));
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *pair = &map->via.map.ptr[i];
        struct antag_slice name;
        size_t at;

        if (!antag_object_slice(&pair->key, &name)) {
            if (open)
                continue;
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                                   "the name of a parameter must be text, got %s",
                                   type_name(&pair->key));
        }
        at = field_index(spec, name);
        if (at == spec->count) {
            if (open)
                continue;
            return unknown_key(spec, name, fault);
        }
        if (seen & UINT64_C(1) << at)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, spec->fields[at].name,
                                   "%s is given twice", spec->fields[at].name);
        seen |= UINT64_C(1) << at;
        if ((err = read_field(&spec->fields[at], &pair->val, out, fault)) != ANTAG_OK)
            return err;
    }
    for (size_t i = 0; i < spec->count; i++)
        if (spec->fields[i].required && !is_set(&spec->fields[i], out))
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, spec->fields[i].name,
                                   "%s is missing", spec->fields[i].name);
    return ANTAG_OK;
}

bool antag_params_has_twice(const struct antag_params *spec, const msgpack_object *map)
{
    uint64_t seen = 0;

    assert(spec->count <= 64);
    if (map->type != MSGPACK_OBJECT_MAP)
        return false;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        struct antag_slice name;
        size_t at = spec->count;

        if (antag_object_slice(&map->via.map.ptr[i].key, &name))
            at = field_index(spec, name);
        if (at == spec->count)
            continue;
        if (seen & UINT64_C(1) << at)
            return true;
        seen |= UINT64_C(1) << at;
    }
    return false;
}

/* ---- back into a map */

static void write_texts(const msgpack_object *o, struct antag_writer *w)
{
    antag_w_array(w);
    for (uint32_t i = 0; i < o->via.array.size; i++) {
        struct antag_slice s = {NULL, 0};

        (void)antag_object_slice(&o->via.array.ptr[i], &s); /* checked when it was read */
        antag_w_strn(w, s);
    }
    antag_w_end(w);
}

static void write_field(const struct antag_field *field, const void *member, struct antag_writer *w)
{
    switch (field->kind) {
    case ANTAG_K_TEXT:
        antag_w_strn(w, ((const struct antag_opt_slice *)member)->v);
        return;
    case ANTAG_K_BYTES:
        antag_w_bin(w, ((const struct antag_opt_slice *)member)->v);
        return;
    case ANTAG_K_UINT:
        antag_w_uint(w, ((const struct antag_opt_uint *)member)->v);
        return;
    case ANTAG_K_INT:
        antag_w_int(w, ((const struct antag_opt_int *)member)->v);
        return;
    case ANTAG_K_BOOL:
        antag_w_bool(w, ((const struct antag_opt_bool *)member)->v);
        return;
    case ANTAG_K_TEXTS:
        write_texts(&((const struct antag_opt_value *)member)->v, w);
        return;
    case ANTAG_K_MAP:
    case ANTAG_K_ARRAY:
        break;
    }
    if (w->err == ANTAG_OK)
        w->err = ANTAG_ERR_INTERNAL;
}

void antag_params_write(const struct antag_params *spec, const void *params, struct antag_writer *w)
{
    antag_w_map(w);
    for (size_t i = 0; i < spec->count; i++) {
        const struct antag_field *field = &spec->fields[i];

        if (!is_set(field, params))
            continue;
        antag_w_key(w, field->name);
        write_field(field, (const char *)params + field->offset, w);
    }
    antag_w_end(w);
}
