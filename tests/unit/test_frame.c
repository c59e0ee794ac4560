/* The four bytes in front of every message. */
#include <string.h>

#include "proto/frame.h"
#include "tests/support/rows.h"

static const struct {
    const char *name;
    uint8_t head[ANTAG_FRAME_HEAD];
    enum antag_err err;
    size_t len;
} rows[] = {
    {"one", {0, 0, 0, 1}, ANTAG_OK, 1},
    {"255", {0, 0, 0, 0xff}, ANTAG_OK, 255},
    {"256", {0, 0, 1, 0}, ANTAG_OK, 256},
    {"all bytes count", {0, 0x10, 0x20, 0x30}, ANTAG_OK, 0x102030},
    {"largest", {0, 0x11, 0, 0}, ANTAG_OK, ANTAG_FRAME_MAX},
    {"over", {0, 0x11, 0, 1}, ANTAG_ERR_FRAME_TOO_LARGE, 0},
    {"zero", {0, 0, 0, 0}, ANTAG_ERR_BAD_FRAME, 0},
    {"sign bit", {0x80, 0, 0, 0}, ANTAG_ERR_FRAME_TOO_LARGE, 0},
    {"4294967295", {0xff, 0xff, 0xff, 0xff}, ANTAG_ERR_FRAME_TOO_LARGE, 0},
    {"little-endian 1", {1, 0, 0, 0}, ANTAG_ERR_FRAME_TOO_LARGE, 0},
    {"HTTP", {'G', 'E', 'T', ' '}, ANTAG_ERR_FRAME_TOO_LARGE, 0},
    {"TLS", {0x16, 3, 1, 2}, ANTAG_ERR_FRAME_TOO_LARGE, 0},
};

static void test_rows(void)
{
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault;
        size_t len = 4711;
        enum antag_err err = antag_frame_parse(rows[i].head, ANTAG_FRAME_MAX, &len, &fault);

        ROW_ASSERT(rows[i].name, err == rows[i].err);
        if (err == ANTAG_OK) {
            uint8_t head[ANTAG_FRAME_HEAD];

            ROW_ASSERT(rows[i].name, len == rows[i].len);
            antag_frame_render(len, head);
            ROW_ASSERT(rows[i].name, memcmp(head, rows[i].head, sizeof head) == 0);
        } else {
            ROW_ASSERT(rows[i].name, len == 4711);
            ROW_ASSERT(rows[i].name, fault.err == err);
        }
    }
}

static void test_limit_is_named(void)
{
    const uint8_t head[] = {0, 0, 0, 11};
    struct antag_fault fault;
    size_t len;

    CU_ASSERT_EQUAL(antag_frame_parse(head, 10, &len, &fault), ANTAG_ERR_FRAME_TOO_LARGE);
    CU_ASSERT(strstr(fault.text, "11") != NULL && strstr(fault.text, "10") != NULL);
    CU_ASSERT_EQUAL(antag_frame_parse(head, 10, &len, NULL), ANTAG_ERR_FRAME_TOO_LARGE);
    CU_ASSERT_EQUAL(antag_frame_parse(head, 11, &len, NULL), ANTAG_OK);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"lengths", test_rows},
        {"the limit is named", test_limit_is_named},
        CU_TEST_INFO_NULL,
    };

    return run_tests("frame", tests);
}
