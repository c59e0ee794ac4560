/* The bounded walk over MessagePack bytes. */
#include <stdlib.h>
#include <string.h>

#include "antag/limits.h"
#include "proto/check.h"
#include "tests/support/rows.h"

#define B(bytes)                                                                                   \
    {                                                                                              \
        (const uint8_t *)(bytes), sizeof(bytes) - 1                                                \
    }

static const struct {
    const char *name;
    struct antag_slice in;
    const char *refusal; /* NULL: taken */
} rows[] = {
    {"nil", B("\xc0"), NULL},
    {"false, true", B("\x92\xc2\xc3"), NULL},
    {"smallest fixint", B("\x00"), NULL},
    {"largest fixint", B("\x7f"), NULL},
    {"negative fixints", B("\x92\xe0\xff"), NULL},
    {"uint8", B("\xcc\xff"), NULL},
    {"uint16", B("\xcd\xff\xff"), NULL},
    {"uint32", B("\xce\xff\xff\xff\xff"), NULL},
    {"uint64", B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), NULL},
    {"int8", B("\xd0\x80"), NULL},
    {"int16", B("\xd1\x80\x00"), NULL},
    {"int32", B("\xd2\x80\x00\x00\x00"), NULL},
    {"int64", B("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), NULL},
    {"float32", B("\xca\x00\x00\x00\x00"), NULL},
    {"float64", B("\xcb\x00\x00\x00\x00\x00\x00\x00\x00"), NULL},
    {"empty str", B("\xa0"), NULL},
    {"fixstr of 31",
     B("\xbf"
       "0123456789012345678901234567890"),
     NULL},
    {"str8",
     B("\xd9\x01"
       "a"),
     NULL},
    {"str16",
     B("\xda\x00\x01"
       "a"),
     NULL},
    {"str32",
     B("\xdb\x00\x00\x00\x01"
       "a"),
     NULL},
    {"str that is no UTF-8", B("\xa1\xff"), NULL},
    {"bin8",
     B("\xc4\x01"
       "a"),
     NULL},
    {"bin16",
     B("\xc5\x00\x01"
       "a"),
     NULL},
    {"bin32",
     B("\xc6\x00\x00\x00\x01"
       "a"),
     NULL},
    {"empty array", B("\x90"), NULL},
    {"array16", B("\xdc\x00\x01\xc0"), NULL},
    {"array32", B("\xdd\x00\x00\x00\x01\xc0"), NULL},
    {"empty map", B("\x80"), NULL},
    {"map16",
     B("\xde\x00\x01\xa1"
       "a\xc0"),
     NULL},
    {"map32",
     B("\xdf\x00\x00\x00\x01\xa1"
       "a\xc0"),
     NULL},
    {"a map as a key", B("\x81\x80\xc0"), NULL},
    {"values behind a nested array", B("\x93\x91\xc0\x01\x02"), NULL},

    {"empty", {NULL, 0}, "cut off"},
    {"two values", B("\xc0\xc0"), "behind the value"},
    {"a byte behind an array", B("\x91\xc0\xc0"), "behind the value"},
    {"c1", B("\xc1"), "c1"},
    {"c1 inside", B("\x91\xc1"), "c1"},
    {"fixext1", B("\xd4\x01\x00"), "extension"},
    {"fixext2", B("\xd5\x01\x00\x00"), "extension"},
    {"fixext4", B("\xd6\x01\x00\x00\x00\x00"), "extension"},
    {"fixext8", B("\xd7\x01\x00\x00\x00\x00\x00\x00\x00\x00"), "extension"},
    {"fixext16", B("\xd8\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
     "extension"},
    {"ext8", B("\xc7\x01\x01\x00"), "extension"},
    {"ext16", B("\xc8\x00\x01\x01\x00"), "extension"},
    {"ext32", B("\xc9\x00\x00\x00\x01\x01\x00"), "extension"},
    {"uint8 without its byte", B("\xcc"), "cut off"},
    {"int64 cut", B("\xd3\x00\x00\x00\x00\x00\x00\x00"), "cut off"},
    {"float cut", B("\xca\x00\x00\x00"), "cut off"},
    {"fixstr cut",
     B("\xa2"
       "a"),
     "cut off"},
    {"str8 without length", B("\xd9"), "cut off"},
    {"str32 of 4 GiB",
     B("\xdb\xff\xff\xff\xff"
       "a"),
     "cut off"},
    {"bin32 of 4 GiB",
     B("\xc6\xff\xff\xff\xff"
       "a"),
     "cut off"},
    {"array16 without count", B("\xdc\x00"), "cut off"},
    {"array32 of 4294967295", B("\xdd\xff\xff\xff\xff"), "more values than"},
    {"map32 of 4294967295", B("\xdf\xff\xff\xff\xff"), "more values than"},
    {"map32 of 2147483648", B("\xdf\x80\x00\x00\x00\xc0"), "more values than"},
    {"array one short", B("\x92\xc0"), "more values than"},
    {"map without its value", B("\x81\xc0"), "more values than"},
    {"map with one value too many", B("\x81\xc0\xc0\xc0"), "behind the value"},
    {"inner array one short", B("\x92\x92\xc0\xc0"), "cut off"},
};

static void test_rows(void)
{
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        /* exactly as large as the value, so that sanitizers see a read behind it */
        uint8_t *copy = malloc(rows[i].in.len > 0 ? rows[i].in.len : 1);
        struct antag_slice in = {copy, rows[i].in.len};
        enum antag_err err;

        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        if (in.len > 0)
            memcpy(copy, rows[i].in.p, in.len);
        err = antag_check(in, ANTAG_DEPTH_MAX, ANTAG_ITEMS_MAX, &fault);
        if (rows[i].refusal == NULL) {
            ROW_ASSERT(rows[i].name, err == ANTAG_OK);
        } else {
            ROW_ASSERT(rows[i].name, err == ANTAG_ERR_BAD_FRAME);
            ROW_ASSERT(rows[i].name, strstr(fault.text, rows[i].refusal) != NULL);
            ROW_ASSERT(rows[i].name, strstr(fault.text, "at byte ") != NULL);
        }
        free(copy);
    }
}

/* Every proper prefix of a value is refused. */
static void test_prefixes(void)
{
    static const uint8_t value[] = "\x94\x00\x01\xac"
                                   "sign_request\x84\xa1"
                                   "a\xc4\x02xy\xa1"
                                   "b\xdc\x00\x01\xca\x00\x00\x00\x00\xa1"
                                   "c\xd9\x02zz\xa1"
                                   "d\xcf\x00\x00\x00\x00\x00\x00\x00\x01";
    size_t len = sizeof value - 1;

    for (size_t n = 0; n <= len; n++) {
        uint8_t *copy = malloc(n > 0 ? n : 1);
        enum antag_err err;
        char row[32];

        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        memcpy(copy, value, n);
        snprintf(row, sizeof row, "%zu of %zu bytes", n, len);
        err = antag_check((struct antag_slice){copy, n}, 8, 100, NULL);
        ROW_ASSERT(row, err == (n == len ? ANTAG_OK : ANTAG_ERR_BAD_FRAME));
        free(copy);
    }
}

static enum antag_err nested(size_t depth, size_t depth_max)
{
    uint8_t bytes[100];

    memset(bytes, 0x91, sizeof bytes);
    bytes[depth > 0 ? depth - 1 : 0] = depth > 0 ? 0x90 : 0xc0;
    return antag_check((struct antag_slice){bytes, depth > 0 ? depth : 1}, depth_max, 1000, NULL);
}

static void test_depth(void)
{
    CU_ASSERT_EQUAL(nested(0, 0), ANTAG_OK);
    CU_ASSERT_EQUAL(nested(1, 0), ANTAG_ERR_BAD_FRAME);
    CU_ASSERT_EQUAL(nested(8, 8), ANTAG_OK);
    CU_ASSERT_EQUAL(nested(9, 8), ANTAG_ERR_BAD_FRAME);
    CU_ASSERT_EQUAL(nested(32, 1000), ANTAG_OK);
    CU_ASSERT_EQUAL(nested(33, 1000), ANTAG_ERR_BAD_FRAME); /* its own bound */
}

static enum antag_err wide(size_t count, size_t items_max)
{
    static uint8_t bytes[3 + ANTAG_ITEMS_MAX];

    memset(bytes, 0xc0, sizeof bytes);
    bytes[0] = 0xdc;
    bytes[1] = (uint8_t)(count >> 8);
    bytes[2] = (uint8_t)count;
    return antag_check((struct antag_slice){bytes, 3 + count}, 8, items_max, NULL);
}

static void test_items(void)
{
    static const uint8_t map[] = "\x82\x01\x02\x03\x04";
    struct antag_slice in = {map, sizeof map - 1};

    CU_ASSERT_EQUAL(wide(ANTAG_ITEMS_MAX - 1, ANTAG_ITEMS_MAX), ANTAG_OK);
    CU_ASSERT_EQUAL(wide(ANTAG_ITEMS_MAX, ANTAG_ITEMS_MAX), ANTAG_ERR_BAD_FRAME);
    CU_ASSERT_EQUAL(wide(0, 1), ANTAG_OK);
    CU_ASSERT_EQUAL(wide(0, 0), ANTAG_ERR_BAD_FRAME);
    CU_ASSERT_EQUAL(antag_check(in, 8, 5, NULL), ANTAG_OK); /* keys count too */
    CU_ASSERT_EQUAL(antag_check(in, 8, 4, NULL), ANTAG_ERR_BAD_FRAME);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"values", test_rows}, {"prefixes", test_prefixes}, {"depth", test_depth},
        {"items", test_items}, CU_TEST_INFO_NULL,
    };

    return run_tests("check", tests);
}
