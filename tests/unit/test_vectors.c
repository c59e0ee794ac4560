/* proto/vectors against our codec, and the tables of PROTOCOL.md against the headers. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "proto/agent_methods.h"
#include "proto/frame.h"
#include "proto/message.h"
#include "tests/support/rows.h"

static struct antag_decoder decoder;

static json_t *load(const char *name)
{
    char path[1024];
    json_error_t error;
    json_t *cases;

    snprintf(path, sizeof path, "%s/proto/vectors/%s", SOURCE_DIR, name);
    cases = json_load_file(path, JSON_ALLOW_NUL, &error);
    if (cases == NULL)
        fprintf(stderr, "%s: %s\n", path, error.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(cases);
    CU_ASSERT_FATAL(json_array_size(cases) > 0);
    return cases;
}

/* The bytes of a text of hexadecimal digits; the caller frees them. */
static uint8_t *unhex(const char *hex, size_t *len)
{
    uint8_t *out = malloc(strlen(hex) / 2 + 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    for (*len = 0; hex[2 * *len] != '\0' && hex[2 * *len + 1] != '\0'; ++*len) {
        char digits[3] = {hex[2 * *len], hex[2 * *len + 1], '\0'};

        out[*len] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return out;
}

static const char *text_of(const json_t *map, const char *key)
{
    const char *text = json_string_value(json_object_get(map, key));

    return text != NULL ? text : "";
}

/* ---- does a decoded value mean what the JSON says? str and bin are the same here. */

static bool same_bytes(const msgpack_object *o, const json_t *meant)
{
    struct antag_slice s;
    size_t len;
    uint8_t *bytes;
    bool same;

    if (!antag_object_slice(o, &s))
        return false;
    if (json_is_string(meant))
        return antag_slice_equal(s, (struct antag_slice){(const uint8_t *)json_string_value(meant),
                                                         json_string_length(meant)});
    bytes = unhex(text_of(meant, "$bin"), &len);
    same = antag_slice_equal(s, (struct antag_slice){bytes, len});
    free(bytes);
    return same;
}

/* Recursion ends with the depth that the checker allows. */
static bool same(const msgpack_object *o, const json_t *meant)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_string(meant) || json_object_get(meant, "$bin") != NULL)
        return same_bytes(o, meant);
    if (json_is_null(meant))
        return o->type == MSGPACK_OBJECT_NIL;
    if (json_is_boolean(meant))
        return o->type == MSGPACK_OBJECT_BOOLEAN && o->via.boolean == json_is_true(meant);
    if (json_is_integer(meant) && o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return o->via.i64 == json_integer_value(meant);
    if (json_is_integer(meant))
        return o->type == MSGPACK_OBJECT_POSITIVE_INTEGER && json_integer_value(meant) >= 0 &&
               o->via.u64 == (uint64_t)json_integer_value(meant);
    if (json_is_real(meant))
        return o->type == MSGPACK_OBJECT_FLOAT64 &&
               memcmp(&o->via.f64, &(double){json_real_value(meant)}, sizeof(double)) == 0;
    if (json_is_array(meant)) {
        if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size != json_array_size(meant))
            return false;
        json_array_foreach(meant, i, value) if (!same(&o->via.array.ptr[i], value)) return false;
        return true;
    }
    if (o->type != MSGPACK_OBJECT_MAP || o->via.map.size != json_object_size(meant))
        return false;
    json_object_foreach((json_t *)meant, key, value)
    {
        const msgpack_object *member = antag_object_get(o, key);

        if (member == NULL || !same(member, value))
            return false;
    }
    return true;
}

/* ---- the agent's way with a frame, up to where profiles would be looked at */

struct outcome {
    enum antag_err err;
    bool has_id, closes;
    struct antag_message m;
    struct antag_fault fault;
};

static enum antag_err receive(struct antag_slice in, struct outcome *out)
{
    size_t len;
    enum antag_err err;

    if (in.len < ANTAG_FRAME_HEAD)
        return ANTAG_ERR_INTERNAL;
    if ((err = antag_frame_parse(in.p, ANTAG_FRAME_MAX, &len, &out->fault)) != ANTAG_OK)
        return err;
    if (len != in.len - ANTAG_FRAME_HEAD)
        return ANTAG_ERR_INTERNAL;
    in.p += ANTAG_FRAME_HEAD;
    in.len = len;
    return antag_message_parse(&decoder, in, &out->m, &out->fault);
}

static enum antag_err serve(struct antag_slice in, struct outcome *out)
{
    static char params[1024];
    const struct antag_agent_method_row *row;
    enum antag_agent_method which;
    enum antag_err err;

    out->closes = true;
    if ((err = receive(in, out)) != ANTAG_OK)
        return err;
    out->closes = false;
    row = antag_agent_method(out->m.name, &which);
    if (row == NULL)
        return ANTAG_ERR_UNKNOWN_METHOD;
    if (row->params.size > sizeof params)
        return ANTAG_ERR_INTERNAL;
    err = antag_params_parse(&row->params, false, &out->m.params, params, &out->fault);
    if (err != ANTAG_OK)
        out->closes = antag_params_has_twice(&row->params, &out->m.params);
    return err;
}

static void test_requests(void)
{
    json_t *cases = load("requests.json"), *c;
    size_t i;

    json_array_foreach(cases, i, c)
    {
        const char *row = text_of(c, "name");
        struct outcome out = {0};
        json_t *message = json_object_get(c, "message");
        const json_t *params = json_array_get(message, 3);
        size_t len;
        uint8_t *bytes = unhex(text_of(c, "hex"), &len);

        ROW_ASSERT(row, serve((struct antag_slice){bytes, len}, &out) == ANTAG_OK);
        ROW_ASSERT(row, out.m.shape == ANTAG_REQUEST && out.m.has_id);
        ROW_ASSERT(row, json_integer_value(json_array_get(message, 0)) == 0);
        ROW_ASSERT(row, json_integer_value(json_array_get(message, 1)) == (json_int_t)out.m.id);
        ROW_ASSERT(row, antag_slice_is(out.m.name, json_string_value(json_array_get(message, 2))));
        ROW_ASSERT(row, json_is_null(params) ? out.m.params.via.map.size == 0
                                             : same(&out.m.params, params));
        free(bytes);
    }
    json_decref(cases);
}

static void check_answer(const char *row, const json_t *c, const struct antag_message *m)
{
    const json_t *message = json_object_get(c, "message");
    const json_t *error = json_array_get(message, 2);
    const json_t *retry = json_object_get(error, "retry_after_ms");

    ROW_ASSERT(row, m->has_id == json_is_integer(json_array_get(message, 1)));
    ROW_ASSERT(row, (json_int_t)m->id == json_integer_value(json_array_get(message, 1)));
    ROW_ASSERT(row, m->failed == json_is_object(error));
    if (!m->failed) {
        ROW_ASSERT(row, same(&m->result, json_array_get(message, 3)));
        return;
    }
    ROW_ASSERT(row, (json_int_t)m->fault.err == json_integer_value(json_object_get(error, "code")));
    ROW_ASSERT(row, antag_slice_is(m->class_name, text_of(c, "class")));
    ROW_ASSERT(row, strcmp(m->fault.field, text_of(error, "field")) == 0);
    ROW_ASSERT(row, strcmp(m->fault.text, text_of(error, "message")) == 0);
    ROW_ASSERT(row, m->fault.retry_after_ms == (retry ? json_integer_value(retry) : -1));
}

static void test_answers(void)
{
    json_t *cases = load("answers.json"), *c;
    size_t i;

    json_array_foreach(cases, i, c)
    {
        const char *row = text_of(c, "name");
        const json_t *message = json_object_get(c, "message");
        struct outcome out = {0};
        size_t len;
        uint8_t *bytes = unhex(text_of(c, "hex"), &len);

        ROW_ASSERT(row, receive((struct antag_slice){bytes, len}, &out) == ANTAG_OK);
        ROW_ASSERT(row, json_integer_value(json_array_get(message, 0)) == (json_int_t)out.m.shape);
        if (out.m.shape == ANTAG_ANSWER)
            check_answer(row, c, &out.m);
        free(bytes);
    }
    json_decref(cases);
}

static void test_refused(void)
{
    json_t *cases = load("refused.json"), *c;
    size_t i;

    json_array_foreach(cases, i, c)
    {
        const char *row = text_of(c, "name");
        const json_t *id = json_object_get(c, "id");
        struct outcome out = {0};
        size_t len;
        uint8_t *bytes = unhex(text_of(c, "hex"), &len);
        enum antag_err err = serve((struct antag_slice){bytes, len}, &out);

        ROW_ASSERT(row, strcmp(antag_err_name(err), text_of(c, "error")) == 0);
        ROW_ASSERT(row, out.m.has_id == json_is_integer(id));
        ROW_ASSERT(row, (json_int_t)out.m.id == json_integer_value(id));
        ROW_ASSERT(row, out.closes == json_is_true(json_object_get(c, "closes")));
        if (err == ANTAG_ERR_BAD_PARAM)
            ROW_ASSERT(row, strcmp(out.fault.field, text_of(c, "field")) == 0);
        free(bytes);
    }
    json_decref(cases);
}

/* ---- PROTOCOL.md */

static char *page(void)
{
    FILE *f = fopen(SOURCE_DIR "/proto/PROTOCOL.md", "rb");
    const size_t size = 256 * 1024;
    char *text = malloc(size);
    size_t len;

    CU_ASSERT_FATAL(f != NULL && text != NULL);
    len = fread(text, 1, size - 1, f);
    text[len] = '\0';
    fclose(f);
    return text;
}

static void has_line(const char *text, const char *line)
{
    ROW_ASSERT(line, strstr(text, line) != NULL);
}

/* Exactly the rows of the status table, in order. */
static void test_status_table(void)
{
    char *text = page(), *at = strstr(text, "<!-- status table: begin"), *end;

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    end = strstr(at, "<!-- status table: end");
    at = strstr(at, "\n| --- |");
    CU_ASSERT_FATAL(at != NULL && end != NULL && at < end);
    at = strchr(at + 1, '\n') + 1;
#define ANTAG_ROW(name, number, class, sentence)                                                   \
    {                                                                                              \
        char line[300];                                                                            \
        int n = snprintf(line, sizeof line, "| %d | `%s` | %s | %s |\n", number, #name,            \
                         antag_class_name(ANTAG_CLASS_##class), sentence);                         \
        ROW_ASSERT(#name, strncmp(at, line, (size_t)n) == 0);                                      \
        at = strchr(at, '\n') + 1;                                                                 \
    }
    ANTAG_STATUS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    CU_ASSERT(at + 1 == end); /* one empty line */
    free(text);
}

static void test_classes(void)
{
    char *text = page();
    char line[300];

#define ANTAG_ROW(name, class_name, exit, advice)                                                  \
    snprintf(line, sizeof line, "| `%s` | %s |\n", class_name, advice);                            \
    if (ANTAG_CLASS_##name != ANTAG_CLASS_OK)                                                      \
        has_line(text, line);
    ANTAG_CLASS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    free(text);
}

static void test_limits(void)
{
    static const struct {
        const char *name;
        long value;
    } rows[] = {
        {"frame", ANTAG_FRAME_MAX},
        {"body", ANTAG_BODY_MAX},
        {"depth", ANTAG_DEPTH_MAX},
        {"items", ANTAG_ITEMS_MAX},
        {"uri", ANTAG_URI_MAX},
        {"trace", ANTAG_TRACE_MAX},
        {"client_id", ANTAG_CLIENT_ID_MAX},
        {"merchant", ANTAG_MERCHANT_MAX},
        {"requests_per_connection", ANTAG_INFLIGHT_PER_CONN},
        {"bytes_per_connection", ANTAG_INFLIGHT_BYTES_PER_CONN},
        {"first_frame_ms", ANTAG_FIRST_FRAME_MS},
    };
    char *text = page();
    char line[100];

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        snprintf(line, sizeof line, "\n| `%s` | %ld |", rows[i].name, rows[i].value);
        has_line(text, line);
    }
    snprintf(line, sizeof line, "(answers: up to %d)", ANTAG_ITEMS_ANSWER_MAX);
    has_line(text, line);
    snprintf(line, sizeof line, "from 0 to %u", ANTAG_ID_MAX);
    has_line(text, line);
    free(text);
}

/* Each method has its section, and each of its params a line. */
static void describes(const char *text, const char *method)
{
    enum antag_agent_method which;
    const struct antag_params *spec = &antag_agent_method(antag_slice_of(method), &which)->params;
    char line[100];

    snprintf(line, sizeof line, "\n### %s\n", method);
    has_line(text, line);
    for (size_t i = 0; i < spec->count; i++) {
        snprintf(line, sizeof line, "\n| `%s` | ", spec->fields[i].name);
        has_line(text, line);
    }
}

static void test_methods(void)
{
    char *text = page();

#define ANTAG_ROW(name, locked, op) describes(text, #name);
    ANTAG_AGENT_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
    free(text);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"requests", test_requests},
        {"answers", test_answers},
        {"refused", test_refused},
        {"status table of PROTOCOL.md", test_status_table},
        {"classes of PROTOCOL.md", test_classes},
        {"limits of PROTOCOL.md", test_limits},
        {"methods of PROTOCOL.md", test_methods},
        CU_TEST_INFO_NULL,
    };
    int status;

    if (antag_decoder_init(&decoder) != ANTAG_OK)
        return 1;
    status = run_tests("vectors", tests);
    antag_decoder_fini(&decoder);
    return status;
}
