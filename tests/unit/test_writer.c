/* The writer: shortest heads, counts that are filled in, sticky errors. */
#include <stdlib.h>
#include <string.h>

#include "antag/limits.h"
#include "proto/check.h"
#include "proto/writer.h"
#include "tests/support/rows.h"

static bool wrote(struct antag_writer *w, const void *bytes, size_t len)
{
    struct antag_slice out;

    return antag_writer_end(w, &out) == ANTAG_OK && out.len == len &&
           memcmp(out.p, bytes, len) == 0;
}

#define B(bytes) (bytes), sizeof(bytes) - 1

static const struct {
    const char *name;
    bool is_signed;
    uint64_t v;
    const char *bytes;
    size_t len;
} int_rows[] = {
    {"0", false, 0, B("\x00")},
    {"127", false, 127, B("\x7f")},
    {"128", false, 128, B("\xcc\x80")},
    {"255", false, 255, B("\xcc\xff")},
    {"256", false, 256, B("\xcd\x01\x00")},
    {"65535", false, 65535, B("\xcd\xff\xff")},
    {"65536", false, 65536, B("\xce\x00\x01\x00\x00")},
    {"2^32 - 1", false, UINT32_MAX, B("\xce\xff\xff\xff\xff")},
    {"2^32", false, UINT64_C(1) << 32, B("\xcf\x00\x00\x00\x01\x00\x00\x00\x00")},
    {"2^64 - 1", false, UINT64_MAX, B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"int 5", true, 5, B("\x05")},
    {"-1", true, (uint64_t)-1, B("\xff")},
    {"-32", true, (uint64_t)-32, B("\xe0")},
    {"-33", true, (uint64_t)-33, B("\xd0\xdf")},
    {"-128", true, (uint64_t)-128, B("\xd0\x80")},
    {"-129", true, (uint64_t)-129, B("\xd1\xff\x7f")},
    {"-32768", true, (uint64_t)-32768, B("\xd1\x80\x00")},
    {"-32769", true, (uint64_t)-32769, B("\xd2\xff\xff\x7f\xff")},
    {"-2^31", true, (uint64_t)INT32_MIN, B("\xd2\x80\x00\x00\x00")},
    {"-2^31 - 1", true, (uint64_t)((int64_t)INT32_MIN - 1),
     B("\xd3\xff\xff\xff\xff\x7f\xff\xff\xff")},
    {"-2^63", true, (uint64_t)INT64_MIN, B("\xd3\x80\x00\x00\x00\x00\x00\x00\x00")},
};

static void test_integers(void)
{
    for (size_t i = 0; i < ROW_COUNT(int_rows); i++) {
        struct antag_writer w;

        antag_writer_init(&w, 100);
        if (int_rows[i].is_signed)
            antag_w_int(&w, (int64_t)int_rows[i].v);
        else
            antag_w_uint(&w, int_rows[i].v);
        ROW_ASSERT(int_rows[i].name, wrote(&w, int_rows[i].bytes, int_rows[i].len));
        antag_writer_fini(&w);
    }
}

static const struct {
    const char *name;
    bool bin;
    size_t len;
    uint8_t head[5];
    size_t head_len;
} size_rows[] = {
    {"str 0", false, 0, {0xa0}, 1},
    {"str 31", false, 31, {0xbf}, 1},
    {"str 32", false, 32, {0xd9, 32}, 2},
    {"str 255", false, 255, {0xd9, 255}, 2},
    {"str 256", false, 256, {0xda, 1, 0}, 3},
    {"str 65535", false, 65535, {0xda, 255, 255}, 3},
    {"str 65536", false, 65536, {0xdb, 0, 1, 0, 0}, 5},
    {"bin 0", true, 0, {0xc4, 0}, 2},
    {"bin 255", true, 255, {0xc4, 255}, 2},
    {"bin 256", true, 256, {0xc5, 1, 0}, 3},
    {"bin 65535", true, 65535, {0xc5, 255, 255}, 3},
    {"bin 65536", true, 65536, {0xc6, 0, 1, 0, 0}, 5},
};

static void test_sizes(void)
{
    static uint8_t bytes[65536];

    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < ROW_COUNT(size_rows); i++) {
        struct antag_slice s = {size_rows[i].len > 0 ? bytes : NULL, size_rows[i].len}, out = {0};
        struct antag_writer w;

        antag_writer_init(&w, 70000);
        if (size_rows[i].bin)
            antag_w_bin(&w, s);
        else
            antag_w_strn(&w, s);
        ROW_ASSERT(size_rows[i].name, antag_writer_end(&w, &out) == ANTAG_OK);
        ROW_ASSERT(size_rows[i].name, out.len == size_rows[i].head_len + s.len);
        ROW_ASSERT(size_rows[i].name, memcmp(out.p, size_rows[i].head, size_rows[i].head_len) == 0);
        ROW_ASSERT(size_rows[i].name, antag_check(out, 0, 1, NULL) == ANTAG_OK);
        antag_writer_fini(&w);
    }
}

static void test_small_values_and_pairs(void)
{
    struct antag_writer w;

    antag_writer_init(&w, 1000);
    antag_w_array(&w);
    antag_w_nil(&w);
    antag_w_bool(&w, true);
    antag_w_bool(&w, false);
    antag_w_double(&w, 1.5);
    antag_w_str(&w, NULL);
    antag_w_raw(&w, (struct antag_slice){(const uint8_t *)"\x91\x01", 2});
    antag_w_map(&w);
    antag_w_kv_str(&w, "a", NULL);
    antag_w_kv_strn(&w, "b", antag_slice_of("t"));
    antag_w_kv_bin(&w, "c", antag_slice_of("u"));
    antag_w_kv_uint(&w, "d", 1);
    antag_w_kv_int(&w, "e", -1);
    antag_w_kv_bool(&w, "f", true);
    antag_w_key(&w, "g");
    antag_w_map(&w);
    antag_w_end(&w);
    antag_w_end(&w);
    antag_w_end(&w);
    CU_ASSERT(wrote(&w, B("\xdc\x00\x07\xc0\xc3\xc2\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xc0\x91\x01"
                          "\xde\x00\x07\xa1"
                          "a\xc0\xa1"
                          "b\xa1t\xa1"
                          "c\xc4\x01u\xa1"
                          "d\x01\xa1"
                          "e\xff\xa1"
                          "f\xc3\xa1g\xde\x00\x00")));
    antag_writer_fini(&w);
}

typedef void misuse_fn(struct antag_writer *w);

static void end_nothing(struct antag_writer *w)
{
    antag_w_end(w);
}
static void end_twice(struct antag_writer *w)
{
    antag_w_map(w);
    antag_w_end(w);
    antag_w_end(w);
}
static void left_open(struct antag_writer *w)
{
    antag_w_array(w);
}
static void key_without_value(struct antag_writer *w)
{
    antag_w_map(w);
    antag_w_key(w, "a");
    antag_w_end(w);
}
static void too_deep(struct antag_writer *w)
{
    for (int i = 0; i <= ANTAG_WRITER_DEPTH; i++)
        antag_w_array(w);
    for (int i = 0; i <= ANTAG_WRITER_DEPTH; i++)
        antag_w_end(w);
}
static void empty_raw(struct antag_writer *w)
{
    antag_w_raw(w, (struct antag_slice){NULL, 0});
}
static void too_long(struct antag_writer *w)
{
    for (int i = 0; i < 101; i++)
        antag_w_nil(w);
}
static void too_long_at_once(struct antag_writer *w)
{
    static const uint8_t bytes[100];

    antag_w_bin(w, (struct antag_slice){bytes, sizeof bytes}); /* with its head 102 */
}
static void length_wraps(struct antag_writer *w)
{
    antag_w_nil(w);
    antag_w_bin(w, (struct antag_slice){(const uint8_t *)"", SIZE_MAX - 2}); /* never read */
}

static const struct {
    const char *name;
    misuse_fn *run;
    enum antag_err err;
} misuse_rows[] = {
    {"end of nothing", end_nothing, ANTAG_ERR_INTERNAL},
    {"end twice", end_twice, ANTAG_ERR_INTERNAL},
    {"left open", left_open, ANTAG_ERR_INTERNAL},
    {"key without value", key_without_value, ANTAG_ERR_INTERNAL},
    {"too deep", too_deep, ANTAG_ERR_INTERNAL},
    {"empty raw", empty_raw, ANTAG_ERR_INTERNAL},
    {"over the maximum", too_long, ANTAG_ERR_FRAME_TOO_LARGE},
    {"over the maximum at once", too_long_at_once, ANTAG_ERR_FRAME_TOO_LARGE},
    {"length that wraps", length_wraps, ANTAG_ERR_FRAME_TOO_LARGE},
};

static void test_errors_stick(void)
{
    for (size_t i = 0; i < ROW_COUNT(misuse_rows); i++) {
        struct antag_slice out = {NULL, 4711};
        struct antag_writer w;

        antag_writer_init(&w, 100);
        misuse_rows[i].run(&w);
        ROW_ASSERT(misuse_rows[i].name, antag_writer_end(&w, &out) == misuse_rows[i].err);
        antag_w_nil(&w);
        antag_w_array(&w);
        antag_w_end(&w);
        ROW_ASSERT(misuse_rows[i].name, antag_writer_end(&w, &out) == misuse_rows[i].err);
        ROW_ASSERT(misuse_rows[i].name, out.p == NULL && out.len == 4711);
        antag_writer_reset(&w);
        antag_w_nil(&w);
        ROW_ASSERT(misuse_rows[i].name, wrote(&w, "\xc0", 1));
        antag_writer_fini(&w);
    }
    antag_writer_fini(NULL);
}

static void test_maximum_is_reached(void)
{
    struct antag_slice out;
    struct antag_writer w;

    antag_writer_init(&w, 100);
    for (int i = 0; i < 100; i++)
        antag_w_nil(&w);
    CU_ASSERT_EQUAL(antag_writer_end(&w, &out), ANTAG_OK);
    CU_ASSERT_EQUAL(out.len, 100);
    antag_writer_fini(&w);
}

static void test_counts(void)
{
    struct antag_slice out;
    struct antag_writer w;

    antag_writer_init(&w, 1000000);
    antag_w_array(&w);
    for (int i = 0; i < 65535; i++)
        antag_w_nil(&w);
    antag_w_end(&w);
    CU_ASSERT_EQUAL(antag_writer_end(&w, &out), ANTAG_OK);
    CU_ASSERT_EQUAL(antag_check(out, 1, 65536, NULL), ANTAG_OK);
    antag_writer_reset(&w);
    antag_w_map(&w);
    for (int i = 0; i < 2 * 65536; i++)
        antag_w_nil(&w);
    antag_w_end(&w);
    CU_ASSERT_EQUAL(antag_writer_end(&w, &out), ANTAG_ERR_FRAME_TOO_LARGE);
    antag_writer_fini(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"integers", test_integers},
        {"sizes", test_sizes},
        {"small values, pairs", test_small_values_and_pairs},
        {"errors stick", test_errors_stick},
        {"the maximum is reached", test_maximum_is_reached},
        {"counts", test_counts},
        CU_TEST_INFO_NULL,
    };

    return run_tests("writer", tests);
}
