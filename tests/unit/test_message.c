/* The three shapes: read, refused, written. */
#include <stdlib.h>
#include <string.h>

#include "proto/message.h"
#include "proto/params.h"
#include "tests/support/rows.h"

#define B(bytes)                                                                                   \
    {                                                                                              \
        (const uint8_t *)(bytes), sizeof(bytes) - 1                                                \
    }
#define HEALTH "\xa6health"

static struct antag_decoder decoder;

static const struct {
    const char *name;
    struct antag_slice in;
    uint32_t id;
    const char *method;
    uint32_t pairs;
} request_rows[] = {
    {"plain", B("\x94\x00\x07" HEALTH "\x80"), 7, "health", 0},
    {"params nil", B("\x94\x00\x07" HEALTH "\xc0"), 7, "health", 0},
    {"params []", B("\x94\x00\x07" HEALTH "\x90"), 7, "health", 0},
    {"one pair", B("\x94\x00\x07" HEALTH "\x81\xa1x\xc0"), 7, "health", 1},
    {"id 0", B("\x94\x00\x00" HEALTH "\x80"), 0, "health", 0},
    {"largest id", B("\x94\x00\xce\x7f\xff\xff\xff" HEALTH "\x80"), ANTAG_ID_MAX, "health", 0},
    {"id int8", B("\x94\x00\xd0\x05" HEALTH "\x80"), 5, "health", 0},
    {"id uint64", B("\x94\x00\xcf\x00\x00\x00\x00\x00\x00\x00\x05" HEALTH "\x80"), 5, "health", 0},
    {"id int64", B("\x94\x00\xd3\x00\x00\x00\x00\x00\x00\x00\x05" HEALTH "\x80"), 5, "health", 0},
    {"method as bin", B("\x94\x00\x07\xc4\x06health\x80"), 7, "health", 0},
    {"empty method", B("\x94\x00\x07\xa0\x80"), 7, "", 0},
    {"array16, map16", B("\xdc\x00\x04\x00\x07" HEALTH "\xde\x00\x00"), 7, "health", 0},
    {"array32, map32", B("\xdd\x00\x00\x00\x04\xcc\x00\x07" HEALTH "\xdf\x00\x00\x00\x00"), 7,
     "health", 0},
};

static void test_requests(void)
{
    for (size_t i = 0; i < ROW_COUNT(request_rows); i++) {
        struct antag_message m;

        memset(&m, 0xaa, sizeof m);
        ROW_ASSERT(request_rows[i].name,
                   antag_message_parse(&decoder, request_rows[i].in, &m, NULL) == ANTAG_OK);
        ROW_ASSERT(request_rows[i].name, m.shape == ANTAG_REQUEST);
        ROW_ASSERT(request_rows[i].name, m.has_id && m.id == request_rows[i].id);
        ROW_ASSERT(request_rows[i].name, antag_slice_is(m.name, request_rows[i].method));
        ROW_ASSERT(request_rows[i].name, m.params.type == MSGPACK_OBJECT_MAP);
        ROW_ASSERT(request_rows[i].name, m.params.via.map.size == request_rows[i].pairs);
    }
}

static const struct {
    const char *name;
    struct antag_slice in;
    bool has_id;
    uint32_t id;
} bad_rows[] = {
    {"empty", {NULL, 0}, false, 0},
    {"nil", B("\xc0"), false, 0},
    {"a map", B("\x81\x00\x07"), false, 0},
    {"empty array", B("\x90"), false, 0},
    {"shape alone", B("\x91\x00"), false, 0},
    {"shape 3", B("\x94\x03\x07" HEALTH "\x80"), false, 0},
    {"shape -1", B("\x94\xff\x07" HEALTH "\x80"), false, 0},
    {"shape 256", B("\x94\xcd\x01\x00\x07" HEALTH "\x80"), false, 0},
    {"shape a float", B("\x94\xca\x00\x00\x00\x00\x07" HEALTH "\x80"), false, 0},
    {"shape text",
     B("\x94\xa1"
       "0\x07" HEALTH "\x80"),
     false, 0},
    {"id over", B("\x94\x00\xce\x80\x00\x00\x00" HEALTH "\x80"), false, 0},
    {"id uint64 over", B("\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00" HEALTH "\x80"), false, 0},
    {"id -1", B("\x94\x00\xff" HEALTH "\x80"), false, 0},
    {"id int8 -128", B("\x94\x00\xd0\x80" HEALTH "\x80"), false, 0},
    {"id int64 -1", B("\x94\x00\xd3\xff\xff\xff\xff\xff\xff\xff\xff" HEALTH "\x80"), false, 0},
    {"id a float", B("\x94\x00\xca\x3f\x80\x00\x00" HEALTH "\x80"), false, 0},
    {"id nil", B("\x94\x00\xc0" HEALTH "\x80"), false, 0},
    {"id text",
     B("\x94\x00\xa1"
       "7" HEALTH "\x80"),
     false, 0},
    {"id cut", B("\x94\x00\xcd\x00"), false, 0},
    {"cut behind the id", B("\x94\x00\x07"), true, 7},
    {"cut behind the id, array32", B("\xdd\x00\x00\x00\x04\x00\x07"), true, 7},
    {"head of array32 cut", B("\xdd\x00\x00"), false, 0},
    {"two elements", B("\x92\x00\x07"), true, 7},
    {"three elements", B("\x93\x00\x07" HEALTH), true, 7},
    {"five elements", B("\x95\x00\x07" HEALTH "\x80\xc0"), true, 7},
    {"method an integer", B("\x94\x00\x07\x01\x80"), true, 7},
    {"method nil", B("\x94\x00\x07\xc0\x80"), true, 7},
    {"params text", B("\x94\x00\x07" HEALTH "\xa0"), true, 7},
    {"params false", B("\x94\x00\x07" HEALTH "\xc2"), true, 7},
    {"params a filled array", B("\x94\x00\x07" HEALTH "\x91\xc0"), true, 7},
    {"a byte behind", B("\x94\x00\x07" HEALTH "\x80\xc0"), true, 7},
    {"extension inside", B("\x94\x00\x07" HEALTH "\x81\xa1x\xd4\x00\x00"), true, 7},
    {"too deep", B("\x94\x00\x07" HEALTH "\x81\xa1x\x91\x91\x91\x91\x91\x91\x90"), true, 7},
    {"event with an id for a name", B("\x93\x02\x07\x80"), false, 0},
    {"event of four", B("\x94\x02\xa1x\x80\xc0"), false, 0},
    {"event, params text", B("\x93\x02\xa1x\xa0"), false, 0},
    {"answer of three", B("\x93\x01\x07\xc0"), true, 7},
    {"answer, id text",
     B("\x94\x01\xa1"
       "7\xc0\x80"),
     false, 0},
    {"answer, id nil, no error", B("\x94\x01\xc0\xc0\x80"), false, 0},
    {"answer, error text", B("\x94\x01\x07\xa1x\xc0"), true, 7},
    {"answer, error without code", B("\x94\x01\x07\x80\xc0"), true, 7},
    {"answer, code 0",
     B("\x94\x01\x07\x81\xa4"
       "code\x00\xc0"),
     true, 7},
    {"answer, code negative",
     B("\x94\x01\x07\x81\xa4"
       "code\xff\xc0"),
     true, 7},
    {"answer, code over 2^31",
     B("\x94\x01\x07\x81\xa4"
       "code\xce\x80\x00\x00\x00\xc0"),
     true, 7},
    {"answer, code text",
     B("\x94\x01\x07\x81\xa4"
       "code\xa1"
       "1\xc0"),
     true, 7},
};

static void test_bad(void)
{
    for (size_t i = 0; i < ROW_COUNT(bad_rows); i++) {
        size_t len = bad_rows[i].in.len;
        uint8_t *copy = malloc(len > 0 ? len : 1);
        struct antag_fault fault = {0};
        struct antag_message m;

        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        if (len > 0)
            memcpy(copy, bad_rows[i].in.p, len);
        memset(&m, 0xaa, sizeof m);
        ROW_ASSERT(bad_rows[i].name, antag_message_parse(&decoder, (struct antag_slice){copy, len},
                                                         &m, &fault) == ANTAG_ERR_BAD_FRAME);
        ROW_ASSERT(bad_rows[i].name, fault.err == ANTAG_ERR_BAD_FRAME && fault.text[0] != '\0');
        ROW_ASSERT(bad_rows[i].name, m.has_id == bad_rows[i].has_id);
        ROW_ASSERT(bad_rows[i].name, m.id == bad_rows[i].id);
        free(copy);
    }
}

/* Every proper prefix of a request is refused, with its id as soon as that is there. */
static void test_prefixes(void)
{
    static const uint8_t whole[] = "\x94\x00\xcd\x01\x02\xa4sign\x81\xa1x\xc4\x02yz";
    const size_t id_ends = 5;

    for (size_t n = 0; n < sizeof whole - 1; n++) {
        uint8_t *copy = malloc(n > 0 ? n : 1);
        struct antag_message m;
        char row[32];

        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        memcpy(copy, whole, n);
        snprintf(row, sizeof row, "%zu bytes", n);
        ROW_ASSERT(row, antag_message_parse(&decoder, (struct antag_slice){copy, n}, &m, NULL) ==
                            ANTAG_ERR_BAD_FRAME);
        ROW_ASSERT(row, m.has_id == (n >= id_ends));
        free(copy);
    }
}

/* `count` values in an array as params or result */
static enum antag_err parse_wide(enum antag_shape shape, unsigned count)
{
    struct antag_message m;
    struct antag_writer w;
    struct antag_slice out = {NULL, 0};
    enum antag_err err;

    antag_writer_init(&w, ANTAG_FRAME_MAX);
    if (shape == ANTAG_REQUEST)
        antag_m_request(&w, 1, "m");
    else if (shape == ANTAG_ANSWER)
        antag_m_answer(&w, 1);
    else
        antag_m_event(&w, "e");
    antag_w_map(&w);
    antag_w_key(&w, "a");
    antag_w_array(&w);
    for (unsigned i = 0; i < count; i++)
        antag_w_nil(&w);
    antag_w_end(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    err = antag_writer_end(&w, &out);
    if (err == ANTAG_OK)
        err = antag_message_parse(&decoder, out, &m, NULL);
    antag_writer_fini(&w);
    return err;
}

static void test_items(void)
{
    const unsigned request = 7, event = 6, answer = 7; /* values around the array's */

    CU_ASSERT_EQUAL(parse_wide(ANTAG_REQUEST, ANTAG_ITEMS_MAX - request), ANTAG_OK);
    CU_ASSERT_EQUAL(parse_wide(ANTAG_REQUEST, ANTAG_ITEMS_MAX - request + 1), ANTAG_ERR_BAD_FRAME);
    CU_ASSERT_EQUAL(parse_wide(ANTAG_EVENT, ANTAG_ITEMS_MAX - event), ANTAG_OK);
    CU_ASSERT_EQUAL(parse_wide(ANTAG_EVENT, ANTAG_ITEMS_MAX - event + 1), ANTAG_ERR_BAD_FRAME);
    CU_ASSERT_EQUAL(parse_wide(ANTAG_ANSWER, ANTAG_ITEMS_ANSWER_MAX - answer - 1), ANTAG_OK);
}

static void test_events(void)
{
    static const struct antag_slice in = B("\x93\x02\xa8"
                                           "draining\xc0");
    struct antag_message m;

    CU_ASSERT_EQUAL(antag_message_parse(&decoder, in, &m, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(m.shape, ANTAG_EVENT);
    CU_ASSERT_FALSE(m.has_id);
    CU_ASSERT_TRUE(antag_slice_is(m.name, "draining"));
    CU_ASSERT_EQUAL(m.params.type, MSGPACK_OBJECT_MAP);
}

static enum antag_err reread(struct antag_writer *w, struct antag_message *m)
{
    struct antag_slice out;
    enum antag_err err = antag_writer_end(w, &out);

    return err != ANTAG_OK ? err : antag_message_parse(&decoder, out, m, NULL);
}

static void test_answer_round_trip(void)
{
    struct antag_message m;
    struct antag_writer w;
    uint64_t v = 0;

    antag_writer_init(&w, 1000);
    antag_m_answer(&w, 3);
    antag_w_map(&w);
    antag_w_kv_uint(&w, "version", 1);
    antag_w_end(&w);
    antag_m_close(&w);
    CU_ASSERT_EQUAL(reread(&w, &m), ANTAG_OK);
    CU_ASSERT(m.shape == ANTAG_ANSWER && m.has_id && m.id == 3 && !m.failed);
    CU_ASSERT_TRUE(antag_object_uint(&m.result, "version", &v));
    CU_ASSERT_EQUAL(v, 1);
    antag_writer_fini(&w);
}

static const struct {
    const char *name;
    bool has_id;
    enum antag_err err;
    const char *field, *text;
    int64_t retry_after_ms;
    const char *class;
} failure_rows[] = {
    {"plain", true, ANTAG_ERR_DENIED, NULL, NULL, -1, "denied"},
    {"without id", false, ANTAG_ERR_BAD_FRAME, NULL, "cut off", -1, "caller"},
    {"field", true, ANTAG_ERR_BAD_PARAM, "uri", "uri is missing", -1, "caller"},
    {"retry at once", true, ANTAG_ERR_BUSY, NULL, NULL, 0, "retry"},
    {"retry later", true, ANTAG_ERR_BUSY, NULL, NULL, 1500, "retry"},
    {"unknown number", true, (enum antag_err)499, NULL, "later", -1, "verify"},
};

static void test_failure_round_trip(void)
{
    for (size_t i = 0; i < ROW_COUNT(failure_rows); i++) {
        struct antag_fault f;
        struct antag_message m;
        struct antag_writer w;

        antag_writer_init(&w, 1000);
        (void)antag_fault_set(&f, failure_rows[i].err, failure_rows[i].field, "%s",
                              failure_rows[i].text != NULL ? failure_rows[i].text : "");
        f.retry_after_ms = failure_rows[i].retry_after_ms;
        antag_m_failure(&w, failure_rows[i].has_id, 9, &f);
        ROW_ASSERT(failure_rows[i].name, reread(&w, &m) == ANTAG_OK);
        ROW_ASSERT(failure_rows[i].name, m.shape == ANTAG_ANSWER && m.failed);
        ROW_ASSERT(failure_rows[i].name, m.has_id == failure_rows[i].has_id);
        ROW_ASSERT(failure_rows[i].name, m.id == (failure_rows[i].has_id ? 9 : 0));
        ROW_ASSERT(failure_rows[i].name, m.fault.err == f.err);
        ROW_ASSERT(failure_rows[i].name, strcmp(m.fault.field, f.field) == 0);
        ROW_ASSERT(failure_rows[i].name, strcmp(m.fault.text, antag_fault_text(&f)) == 0);
        ROW_ASSERT(failure_rows[i].name, m.fault.retry_after_ms == f.retry_after_ms);
        ROW_ASSERT(failure_rows[i].name, antag_slice_is(m.class_name, failure_rows[i].class));
        antag_writer_fini(&w);
    }
}

/* What a server says of an error is text from outside, like a client's. */
static void test_hostile_error(void)
{
    static const struct antag_slice in = B("\x94\x01\x07\x83\xa4"
                                           "code\xcd\x02\x57\xa7message\xa5"
                                           "a\x1b[2J\xa5"
                                           "field\xc4\x02\n\xff"
                                           "\xc0");
    struct antag_message m;

    CU_ASSERT_EQUAL(antag_message_parse(&decoder, in, &m, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL((unsigned)m.fault.err, 599);
    CU_ASSERT_STRING_EQUAL(m.fault.text, "a\\x1b[2J");
    CU_ASSERT_STRING_EQUAL(m.fault.field, "\\x0a\\xff");
    CU_ASSERT_TRUE(antag_slice_is(m.class_name, "retry"));
}

/* A decoder that has seen much is as good as a new one. */
static void test_decoder_again(void)
{
    static const struct antag_slice in = B("\x94\x00\x07" HEALTH "\x80");
    struct antag_message m;

    for (int i = 0; i < 100; i++) {
        CU_ASSERT_EQUAL(parse_wide(ANTAG_ANSWER, 5000), ANTAG_OK);
        CU_ASSERT_EQUAL(antag_message_parse(&decoder, in, &m, NULL), ANTAG_OK);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"requests", test_requests},
        {"refused", test_bad},
        {"prefixes", test_prefixes},
        {"items", test_items},
        {"events", test_events},
        {"answers", test_answer_round_trip},
        {"failures", test_failure_round_trip},
        {"a hostile error", test_hostile_error},
        {"a decoder again", test_decoder_again},
        CU_TEST_INFO_NULL,
    };
    int status;

    if (antag_decoder_init(&decoder) != ANTAG_OK)
        return 1;
    status = run_tests("message", tests);
    antag_decoder_fini(&decoder);
    return status;
}
