/* The one reader of params, with a table that has every kind. */
#include <string.h>

#include "proto/message.h"
#include "proto/params.h"
#include "tests/support/rows.h"

struct sample {
    struct antag_opt_slice text, bytes;
    struct antag_opt_uint number;
    struct antag_opt_int either;
    struct antag_opt_bool flag;
    struct antag_opt_value texts, map, array;
};

static const struct antag_field fields[] = {
    ANTAG_FIELD(struct sample, text, TEXT, true, 1, 4, 0),
    ANTAG_FIELD(struct sample, bytes, BYTES, false, 0, 4, 0),
    ANTAG_FIELD(struct sample, number, UINT, false, 5, 10, 0),
    ANTAG_FIELD(struct sample, either, INT, false, 0, 0, 0),
    ANTAG_FIELD(struct sample, flag, BOOL, false, 0, 0, 0),
    ANTAG_FIELD(struct sample, texts, TEXTS, false, 1, 2, 3),
    ANTAG_FIELD(struct sample, map, MAP, false, 0, 1, 0),
    ANTAG_FIELD(struct sample, array, ARRAY, false, 1, 2, 0),
};
static const struct antag_params spec = {fields, ROW_COUNT(fields), sizeof(struct sample)};

static struct antag_decoder decoder;

/* `map` is one value, packed; out stays valid until the next call */
static enum antag_err parse(struct antag_slice map, bool open, struct sample *out,
                            struct antag_fault *fault, bool *twice)
{
    static msgpack_object object;
    size_t used = 0;

    msgpack_zone_clear(&decoder.zone);
    if (msgpack_unpack((const char *)map.p, map.len, &used, &decoder.zone, &object) !=
            MSGPACK_UNPACK_SUCCESS ||
        used != map.len)
        return ANTAG_ERR_INTERNAL; /* the row is wrong */
    if (twice != NULL)
        *twice = antag_params_has_twice(&spec, &object);
    return antag_params_parse(&spec, open, &object, out, fault);
}

#define B(bytes)                                                                                   \
    {                                                                                              \
        (const uint8_t *)(bytes), sizeof(bytes) - 1                                                \
    }
#define TEXT "\xa4text\xa1t" /* the required one */

static const struct {
    const char *name;
    struct antag_slice map;
    const char *field; /* NULL: taken; "": refused without a field */
    const char *says;
} rows[] = {
    {"least", B("\x81" TEXT), NULL, NULL},
    {"text as bin", B("\x81\xa4text\xc4\x01t"), NULL, NULL},
    {"key as bin", B("\x81\xc4\x04text\xa1t"), NULL, NULL},
    {"text of 4",
     B("\x81\xa4text\xa4"
       "abcd"),
     NULL, NULL},
    {"text of UTF-8, 2 bytes", B("\x81\xa4text\xa2\xc3\xa9"), NULL, NULL},
    {"text of UTF-8, 4 bytes", B("\x81\xa4text\xa4\xf4\x8f\xbf\xbf"), NULL, NULL},
    {"text with a line feed", B("\x81\xa4text\xa1\n"), NULL, NULL},
    {"bytes",
     B("\x82" TEXT "\xa5"
       "bytes\xc4\x04\x00\xff\x80\n"),
     NULL, NULL},
    {"bytes as str",
     B("\x82" TEXT "\xa5"
       "bytes\xa2\x00\xff"),
     NULL, NULL},
    {"no bytes",
     B("\x82" TEXT "\xa5"
       "bytes\xa0"),
     NULL, NULL},
    {"number at its minimum", B("\x82" TEXT "\xa6number\x05"), NULL, NULL},
    {"number at its maximum", B("\x82" TEXT "\xa6number\x0a"), NULL, NULL},
    {"number in 8 bytes", B("\x82" TEXT "\xa6number\xcf\x00\x00\x00\x00\x00\x00\x00\x05"), NULL,
     NULL},
    {"number nil", B("\x82" TEXT "\xa6number\xc0"), NULL, NULL},
    {"either positive",
     B("\x82" TEXT "\xa6"
       "either\x05"),
     NULL, NULL},
    {"either negative",
     B("\x82" TEXT "\xa6"
       "either\xff"),
     NULL, NULL},
    {"either at 2^63 - 1",
     B("\x82" TEXT "\xa6"
       "either\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"),
     NULL, NULL},
    {"flag",
     B("\x82" TEXT "\xa4"
       "flag\xc2"),
     NULL, NULL},
    {"one text",
     B("\x82" TEXT "\xa5texts\x91\xa3"
       "abc"),
     NULL, NULL},
    {"two texts, one bin",
     B("\x82" TEXT "\xa5texts\x92\xa1"
       "a\xc4\x01"
       "b"),
     NULL, NULL},
    {"map", B("\x82" TEXT "\xa3map\x81\x01\x02"), NULL, NULL},
    {"map nil", B("\x82" TEXT "\xa3map\xc0"), NULL, NULL},
    {"map []", B("\x82" TEXT "\xa3map\x90"), NULL, NULL},
    {"array",
     B("\x82" TEXT "\xa5"
       "array\x92\x01\xc0"),
     NULL, NULL},

    {"empty map", B("\x80"), "text", "missing"},
    {"required one nil", B("\x81\xa4text\xc0"), "text", "missing"},
    {"no map", B("\x01"), "", "a map is needed"},
    {"an array", B("\x91\x01"), "", "a map is needed"},
    {"unknown key", B("\x82" TEXT "\xa4tex2\xa1t"), "tex2", "known: text, bytes"},
    {"unknown key, nil", B("\x82" TEXT "\xa4tex2\xc0"), "tex2", "no parameter"},
    {"unknown key, bin", B("\x82" TEXT "\xc4\x04tex2\xc0"), "tex2", "no parameter"},
    {"prefix of a key", B("\x82" TEXT "\xa3tex\xa1t"), "tex", "no parameter"},
    {"key in capitals", B("\x81\xa4Text\xa1t"), "Text", "no parameter"},
    {"key with NUL behind", B("\x81\xa5text\x00\xa1t"), "text\\x00", "no parameter"},
    {"empty key", B("\x82" TEXT "\xa0\xa1t"), "", "no parameter"},
    {"hostile key", B("\x82" TEXT "\xa3\x1b[m\xa1t"), "\\x1b[m", "no parameter"},
    {"key an integer", B("\x82" TEXT "\x01\xa1t"), "", "name of a parameter"},
    {"key nil", B("\x82" TEXT "\xc0\xa1t"), "", "name of a parameter"},
    {"key an array", B("\x82" TEXT "\x90\xa1t"), "", "name of a parameter"},
    {"empty text", B("\x81\xa4text\xa0"), "text", "1 to 4 bytes, got 0"},
    {"text of 5",
     B("\x81\xa4text\xa5"
       "abcde"),
     "text", "1 to 4 bytes, got 5"},
    {"text with NUL",
     B("\x81\xa4text\xa2"
       "a\x00"),
     "text", "UTF-8"},
    {"text, lone continuation", B("\x81\xa4text\xa1\x80"), "text", "UTF-8"},
    {"text, cut sequence", B("\x81\xa4text\xa1\xc3"), "text", "UTF-8"},
    {"text, overlong", B("\x81\xa4text\xa2\xc0\x80"), "text", "UTF-8"},
    {"text, overlong of 3", B("\x81\xa4text\xa3\xe0\x80\x80"), "text", "UTF-8"},
    {"text, overlong of 4", B("\x81\xa4text\xa4\xf0\x80\x80\x80"), "text", "UTF-8"},
    {"text, surrogate", B("\x81\xa4text\xa3\xed\xa0\x80"), "text", "UTF-8"},
    {"text over U+10FFFF", B("\x81\xa4text\xa4\xf4\x90\x80\x80"), "text", "UTF-8"},
    {"text f5", B("\x81\xa4text\xa4\xf5\x80\x80\x80"), "text", "UTF-8"},
    {"text an integer", B("\x81\xa4text\x01"), "text", "must be text, got an integer"},
    {"text false", B("\x81\xa4text\xc2"), "text", "must be text, got a boolean"},
    {"text an array", B("\x81\xa4text\x91\xa1t"), "text", "must be text, got an array"},
    {"bytes of 5",
     B("\x82" TEXT "\xa5"
       "bytes\xc4\x05"
       "abcde"),
     "bytes", "0 to 4 bytes, got 5"},
    {"bytes an integer",
     B("\x82" TEXT "\xa5"
       "bytes\x01"),
     "bytes", "must be bytes"},
    {"number under", B("\x82" TEXT "\xa6number\x04"), "number", "from 5 to 10, got 4"},
    {"number over", B("\x82" TEXT "\xa6number\x0b"), "number", "from 5 to 10, got 11"},
    {"number 2^64 - 1", B("\x82" TEXT "\xa6number\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), "number",
     "18446744073709551615"},
    {"number negative", B("\x82" TEXT "\xa6number\xff"), "number", "a negative integer"},
    {"number a float", B("\x82" TEXT "\xa6number\xca\x40\xa0\x00\x00"), "number", "a float"},
    {"number text",
     B("\x82" TEXT "\xa6number\xa1"
       "5"),
     "number", "got text"},
    {"number true", B("\x82" TEXT "\xa6number\xc3"), "number", "a boolean"},
    {"either at 2^63",
     B("\x82" TEXT "\xa6"
       "either\xcf\x80\x00\x00\x00\x00\x00\x00\x00"),
     "either", "64 bits"},
    {"either a float",
     B("\x82" TEXT "\xa6"
       "either\xca\x00\x00\x00\x00"),
     "either", "a float"},
    {"flag 1",
     B("\x82" TEXT "\xa4"
       "flag\x01"),
     "flag", "true or false"},
    {"flag text",
     B("\x82" TEXT "\xa4"
       "flag\xa4true"),
     "flag", "true or false"},
    {"no texts", B("\x82" TEXT "\xa5texts\x90"), "texts", "1 to 2 texts, got 0"},
    {"three texts",
     B("\x82" TEXT "\xa5texts\x93\xa1"
       "a\xa1"
       "b\xa1"
       "c"),
     "texts", "got 3"},
    {"text of 4 in texts",
     B("\x82" TEXT "\xa5texts\x92\xa1"
       "a\xa4"
       "abcd"),
     "texts", "number 2"},
    {"empty text in texts", B("\x82" TEXT "\xa5texts\x91\xa0"), "texts", "number 1"},
    {"bad UTF-8 in texts", B("\x82" TEXT "\xa5texts\x91\xa1\xff"), "texts", "number 1"},
    {"integer in texts", B("\x82" TEXT "\xa5texts\x91\x01"), "texts", "an array of texts"},
    {"nil in texts", B("\x82" TEXT "\xa5texts\x91\xc0"), "texts", "an array of texts"},
    {"texts a text",
     B("\x82" TEXT "\xa5texts\xa1"
       "a"),
     "texts", "an array of texts"},
    {"map of two", B("\x82" TEXT "\xa3map\x82\x01\x02\x03\x04"), "map", "0 to 1 pairs, got 2"},
    {"map a filled array", B("\x82" TEXT "\xa3map\x91\x01"), "map", "must be a map"},
    {"map text", B("\x82" TEXT "\xa3map\xa0"), "map", "must be a map"},
    {"array of three",
     B("\x82" TEXT "\xa5"
       "array\x93\x01\x02\x03"),
     "array", "1 to 2 values, got 3"},
    {"array empty",
     B("\x82" TEXT "\xa5"
       "array\x90"),
     "array", "got 0"},
    {"array a map",
     B("\x82" TEXT "\xa5"
       "array\x80"),
     "array", "must be an array"},
};

static void test_rows(void)
{
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        struct sample s;
        bool twice = true;
        enum antag_err err;

        memset(&s, 0xff, sizeof s);
        err = parse(rows[i].map, false, &s, &fault, &twice);
        ROW_ASSERT(rows[i].name, !twice);
        if (rows[i].field == NULL) {
            ROW_ASSERT(rows[i].name, err == ANTAG_OK);
            ROW_ASSERT(rows[i].name, s.text.set);
            continue;
        }
        ROW_ASSERT(rows[i].name, err == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(rows[i].name, strcmp(fault.field, rows[i].field) == 0);
        ROW_ASSERT(rows[i].name, strstr(fault.text, rows[i].says) != NULL);
    }
}

static const struct {
    const char *name;
    struct antag_slice map;
} twice_rows[] = {
    {"same value", B("\x82" TEXT TEXT)},
    {"other value", B("\x82" TEXT "\xa4text\xa1u")},
    {"str and bin", B("\x82" TEXT "\xc4\x04text\xa1t")},
    {"short and long str", B("\x82" TEXT "\xdb\x00\x00\x00\x04text\xa1t")},
    {"nil first", B("\x82\xa4text\xc0" TEXT)},
    {"nil behind", B("\x82" TEXT "\xa4text\xc0")},
    {"with another between", B("\x83" TEXT "\xa4"
                               "flag\xc3" TEXT)},
};

static void test_twice(void)
{
    for (size_t i = 0; i < ROW_COUNT(twice_rows); i++) {
        for (int open = 0; open <= 1; open++) {
            struct antag_fault fault = {0};
            struct sample s;
            bool twice = false;

            ROW_ASSERT(twice_rows[i].name, parse(twice_rows[i].map, open != 0, &s, &fault,
                                                 &twice) == ANTAG_ERR_BAD_PARAM);
            ROW_ASSERT(twice_rows[i].name, strcmp(fault.field, "text") == 0);
            ROW_ASSERT(twice_rows[i].name, strstr(fault.text, "twice") != NULL);
            ROW_ASSERT(twice_rows[i].name, twice);
        }
    }
}

static void test_values(void)
{
    static const struct antag_slice in = B("\x88\xa4text\xc4\x02hi\xa5"
                                           "bytes\xc4\x02\x00\xff\xa6number\x06\xa6"
                                           "either\xd0\x80\xa4"
                                           "flag\xc3\xa5texts\x91\xa1x\xa3map\x81\xa1k\xa1v\xa5"
                                           "array\x92\x01\x02");
    struct sample s;

    CU_ASSERT_EQUAL(parse(in, false, &s, NULL, NULL), ANTAG_OK);
    CU_ASSERT(s.text.set && antag_slice_is(s.text.v, "hi"));
    CU_ASSERT(s.bytes.set && s.bytes.v.len == 2 && s.bytes.v.p[1] == 0xff);
    CU_ASSERT(s.number.set && s.number.v == 6);
    CU_ASSERT(s.either.set && s.either.v == -128);
    CU_ASSERT(s.flag.set && s.flag.v);
    CU_ASSERT(s.texts.set && s.texts.v.via.array.size == 1);
    CU_ASSERT(s.map.set && s.map.v.via.map.size == 1);
    CU_ASSERT(s.array.set && s.array.v.via.array.size == 2);
}

static void test_absent_is_not_set(void)
{
    static const struct antag_slice least = B("\x81" TEXT),
                                    nils = B("\x83" TEXT "\xa6number\xc0\xa3map\xc0");
    struct sample s;

    memset(&s, 0xff, sizeof s);
    CU_ASSERT_EQUAL(parse(least, false, &s, NULL, NULL), ANTAG_OK);
    CU_ASSERT(!s.bytes.set && !s.number.set && !s.either.set && !s.flag.set);
    CU_ASSERT(!s.texts.set && !s.map.set && !s.array.set);
    CU_ASSERT_EQUAL(parse(nils, false, &s, NULL, NULL), ANTAG_OK);
    CU_ASSERT_FALSE(s.number.set);
    CU_ASSERT(s.map.set && s.map.v.type == MSGPACK_OBJECT_MAP && s.map.v.via.map.size == 0);
}

static void test_open(void)
{
    static const struct antag_slice more = B("\x84" TEXT "\xa5later\x01\x07\x08\xc0\xc0"),
                                    missing = B("\x81\xa5later\x01"), wrong = B("\x81\xa4text\x01");
    struct sample s;

    CU_ASSERT_EQUAL(parse(more, true, &s, NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(parse(missing, true, &s, NULL, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(parse(wrong, true, &s, NULL, NULL), ANTAG_ERR_BAD_PARAM);
}

static void test_long_unknown_key(void)
{
    static uint8_t map[300] = "\x81\xda\x01\x00";
    struct antag_fault fault;
    struct sample s;

    memset(map + 4, 'k', 256);
    map[260] = 0xc0;
    CU_ASSERT_EQUAL(parse((struct antag_slice){map, 261}, false, &s, &fault, NULL),
                    ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(strlen(fault.field), ANTAG_FAULT_FIELD_MAX);
    CU_ASSERT_EQUAL(fault.field[0], 'k');
}

static void test_getters(void)
{
    static const char bytes[] = "\x85\xa1t\xa3"
                                "abc\xa1u\x05\xa1i\xff\xa1"
                                "b\xc3\xc4\x01z\xc0";
    msgpack_object map, no_map = {.type = MSGPACK_OBJECT_NIL};
    char text[4];
    uint64_t u = 0;
    int64_t i = 0;
    bool b = false;
    size_t used = 0;

    msgpack_zone_clear(&decoder.zone);
    CU_ASSERT_EQUAL_FATAL(msgpack_unpack(bytes, sizeof bytes - 1, &used, &decoder.zone, &map),
                          MSGPACK_UNPACK_SUCCESS);
    CU_ASSERT(antag_object_text(&map, "t", text, sizeof text) && strcmp(text, "abc") == 0);
    CU_ASSERT(!antag_object_text(&map, "t", text, 3) && text[0] == '\0');
    CU_ASSERT(!antag_object_text(&map, "u", text, sizeof text) && text[0] == '\0');
    CU_ASSERT(!antag_object_text(&map, "none", text, sizeof text) && text[0] == '\0');
    CU_ASSERT(antag_object_uint(&map, "u", &u) && u == 5);
    CU_ASSERT(!antag_object_uint(&map, "i", &u) && u == 5);
    CU_ASSERT(antag_object_int(&map, "i", &i) && i == -1);
    CU_ASSERT(antag_object_int(&map, "u", &i) && i == 5);
    CU_ASSERT(!antag_object_int(&map, "t", &i) && i == 5);
    CU_ASSERT(antag_object_bool(&map, "b", &b) && b);
    CU_ASSERT(!antag_object_bool(&map, "u", &b) && b);
    CU_ASSERT_PTR_NOT_NULL(antag_object_get(&map, "z"));
    CU_ASSERT_PTR_NULL(antag_object_get(&map, "y"));
    CU_ASSERT_PTR_NULL(antag_object_get(&no_map, "t"));
    CU_ASSERT_PTR_NULL(antag_object_get(NULL, "t"));
}

/* Whatever bytes it came from, the same content is written as the same bytes. */
static void test_written(void)
{
    static const struct antag_params few = {fields, 6,
                                            sizeof(struct sample)}; /* not map and array */
    static const struct antag_slice given[] = {
        B("\x83" TEXT "\xa6number\x07\xa5texts\x91\xa1x"),
        B("\x83\xa5texts\xc4\x01\x91"), /* the wrong type, for the test itself: refused */
        B("\xde\x00\x04\xa5texts\xdc\x00\x01\xc4\x01x\xa6number\xce\x00\x00\x00\x07\xa5"
          "bytes\xc0\xa4text\xd9\x01t"),
    };
    static const uint8_t want[] =
        "\xde\x00\x03\xa4text\xa1t\xa6number\x07\xa5texts\xdc\x00\x01\xa1x";
    struct antag_writer w;

    for (size_t i = 0; i < ROW_COUNT(given); i++) {
        struct antag_slice made = {NULL, 0};
        struct sample s;
        enum antag_err err = parse(given[i], false, &s, NULL, NULL);

        CU_ASSERT_EQUAL(err == ANTAG_OK, i != 1);
        if (err != ANTAG_OK)
            continue;
        antag_writer_init(&w, 1000);
        antag_params_write(&few, &s, &w);
        CU_ASSERT_EQUAL(antag_writer_end(&w, &made), ANTAG_OK);
        CU_ASSERT_EQUAL(made.len, sizeof want - 1);
        CU_ASSERT_TRUE(made.len == sizeof want - 1 && memcmp(made.p, want, made.len) == 0);
        antag_writer_fini(&w);
    }
    /* what cannot be written the same way each time is not written */
    {
        struct antag_slice made = {NULL, 0};
        struct sample s;

        CU_ASSERT_EQUAL(
            parse((struct antag_slice)B("\x82" TEXT "\xa3map\x80"), false, &s, NULL, NULL),
            ANTAG_OK);
        antag_writer_init(&w, 1000);
        antag_params_write(&spec, &s, &w);
        CU_ASSERT_EQUAL(antag_writer_end(&w, &made), ANTAG_ERR_INTERNAL);
        antag_writer_fini(&w);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"fields", test_rows},     {"given twice", test_twice},
        {"values", test_values},   {"absent", test_absent_is_not_set},
        {"open", test_open},       {"a long unknown key", test_long_unknown_key},
        {"getters", test_getters}, {"written back", test_written},
        CU_TEST_INFO_NULL,
    };
    int status;

    if (antag_decoder_init(&decoder) != ANTAG_OK)
        return 1;
    status = run_tests("params", tests);
    antag_decoder_fini(&decoder);
    return status;
}
