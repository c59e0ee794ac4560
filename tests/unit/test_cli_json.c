/* MessagePack as JSON, and errors as objects. */
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/json.h"
#include "proto/writer.h"
#include "tests/support/rows.h"

static const struct {
    const char *name;
    const char *bytes;
    size_t len;
    const char *json; /* compact, keys in the order of the wire */
} values[] = {
    {"nil", "\xc0", 1, "null"},
    {"true", "\xc3", 1, "true"},
    {"false", "\xc2", 1, "false"},
    {"zero", "\x00", 1, "0"},
    {"negative", "\xff", 1, "-1"},
    {"int64 least", "\xd3\x80\x00\x00\x00\x00\x00\x00\x00", 9, "-9223372036854775808"},
    {"int64 most", "\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", 9, "9223372036854775807"},
    {"over int64", "\xcf\x80\x00\x00\x00\x00\x00\x00\x00", 9, "9.2233720368547758e18"},
    {"float", "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 9, "1.5"},
    {"infinite", "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", 9, "null"},
    {"not a number", "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00", 9, "null"},
    {"empty text", "\xa0", 1, "\"\""},
    {"text", "\xa2hi", 3, "\"hi\""},
    {"NUL in text",
     "\xa3"
     "a\0b",
     4, "\"a\\u0000b\""},
    {"Chinese", "\xa3\xe4\xbd\x99", 4, "\"\\u4F59\""},
    {"escape", "\xa1\x1b", 2, "\"\\u001B\""},
    {"C1", "\xa2\xc2\x9b", 3, "\"\\u009B\""},
    {"not UTF-8",
     "\xa3"
     "a\xff"
     "b",
     4, "\"a\\uFFFDb\""},
    {"no bytes", "\xc4\x00", 2, "\"\""},
    {"one byte", "\xc4\x01\x00", 3, "\"AA==\""},
    {"two bytes", "\xc4\x02\xff\xfe", 4, "\"//4=\""},
    {"three bytes", "\xc4\x03\x01\x02\x03", 5, "\"AQID\""},
    {"four bytes", "\xc4\x04\x01\x02\x03\x04", 6, "\"AQIDBA==\""},
    {"empty array", "\x90", 1, "[]"},
    {"array", "\x93\x01\xc0\xa1x", 5, "[1,null,\"x\"]"},
    {"empty map", "\x80", 1, "{}"},
    {"map",
     "\x82\xa1z\x01\xa1"
     "a\x02",
     7, "{\"z\":1,\"a\":2}"},
    {"key that is no text",
     "\x82\x01\x02\xa1"
     "a\x02",
     6, "{\"a\":2}"},
    {"nested", "\x81\xa1k\x91\x81\xa1m\x90", 8, "{\"k\":[{\"m\":[]}]}"},
};

static void test_values(void)
{
    for (size_t i = 0; i < ROW_COUNT(values); i++) {
        msgpack_zone zone;
        msgpack_object o;
        json_t *json;
        char *text;

        CU_ASSERT_FATAL(msgpack_zone_init(&zone, 1024));
        CU_ASSERT_FATAL(msgpack_unpack(values[i].bytes, values[i].len, NULL, &zone, &o) ==
                        MSGPACK_UNPACK_SUCCESS);
        json = ctl_json_of(&o);
        ROW_ASSERT(values[i].name, json != NULL);
        text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        ROW_ASSERT(values[i].name, text != NULL && strcmp(text, values[i].json) == 0);
        free(text);
        json_decref(json);
        msgpack_zone_destroy(&zone);
    }
}

static void test_fault(void)
{
    struct antag_fault fault, back;
    json_t *json, *error;
    char *text;

    CU_ASSERT_EQUAL(antag_fault_set(&fault, ANTAG_ERR_BUSY, NULL, NULL), ANTAG_ERR_BUSY);
    fault.retry_after_ms = 250;
    json = ctl_json_fault(&fault);
    error = json_object_get(json, "error");
    CU_ASSERT_EQUAL(json_object_size(json), 1);
    CU_ASSERT_EQUAL(json_object_size(error), 5);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(error, "code")), 500);
    CU_ASSERT_STRING_EQUAL(ctl_json_text(error, "name"), "BUSY");
    CU_ASSERT_STRING_EQUAL(ctl_json_text(error, "class"), "retry");
    CU_ASSERT_STRING_EQUAL(ctl_json_text(error, "message"), antag_err_message(ANTAG_ERR_BUSY));
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(error, "retry_after_ms")), 250);
    json_decref(json);

    CU_ASSERT_EQUAL(antag_fault_set(&fault, ANTAG_ERR_BAD_PARAM, "uri", "%s", "a \"b\""),
                    ANTAG_ERR_BAD_PARAM);
    json = ctl_json_fault(&fault);
    text = json_dumps(json, 0);
    CU_ASSERT_FATAL(text != NULL);
    CU_ASSERT(ctl_json_read_fault(text, strlen(text), &back));
    CU_ASSERT_EQUAL(back.err, ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_STRING_EQUAL(back.field, "uri");
    CU_ASSERT_STRING_EQUAL(back.text, "a \"b\"");
    CU_ASSERT_EQUAL(back.retry_after_ms, -1);
    for (size_t len = 0; len < strlen(text); len++)
        CU_ASSERT_FALSE(ctl_json_read_fault(text, len, &back));
    free(text);
    json_decref(json);
}

static const struct {
    const char *text;
    bool ok;
} errors[] = {
    {"", false},
    {"{}", false},
    {"[]", false},
    {"{\"error\":{}}", false},
    {"{\"error\":[]}", false},
    {"{\"error\":{\"code\":\"110\"}}", false},
    {"{\"error\":{\"code\":0}}", false},
    {"{\"error\":{\"code\":-1}}", false},
    {"{\"error\":{\"code\":2147483648}}", false},
    {"{\"error\":{\"code\":110}}", true},
    {"{\"error\":{\"code\":110,\"message\":7}}", true},
    {"{\"error\":{\"code\":399,\"name\":\"LATER\",\"message\":\"x\"}}\n", true},
    {"{\"error\":{\"code\":110},\"error\":{\"code\":110}}", false},
};

static void test_read_fault(void)
{
    for (size_t i = 0; i < ROW_COUNT(errors); i++) {
        struct antag_fault fault;

        ROW_ASSERT(errors[i].text, ctl_json_read_fault(errors[i].text, strlen(errors[i].text),
                                                       &fault) == errors[i].ok);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"values", test_values},
        {"an error as an object", test_fault},
        {"an object as an error", test_read_fault},
        CU_TEST_INFO_NULL,
    };

    return run_tests("cli_json", tests);
}
