/* Lines of the record: one text for one line, and nothing that was touched is taken. */
#include <stdlib.h>
#include <string.h>

#include "agent/lib/chain/line.h"
#include "tests/support/rows.h"

#define LINE_HASH "7fa8ba957f573a0211f9073dcf64feb2b64ab68e75c873b123c135dd8154504e"

static char text[AG_LINE_MAX];

static size_t make(const struct ag_log_field *fields, struct ag_line_head *head)
{
    *head =
        (struct ag_line_head){.chain = "soft", .seq = 7, .time_ms = 1700000000123, .type = "sign"};
    memset(head->prev, 0xab, sizeof head->prev);
    return ag_line_render(head, fields, text);
}

static void test_known(void)
{
    static const uint8_t digest[] = {0x00, 0x7f, 0xff};
    const struct ag_log_field fields[] = {
        AG_F_UINT("big", UINT64_MAX),
        AG_F_INT("small", INT64_MIN),
        AG_F_TEXT("text", "a\"b\\c\n\x7f\xc3\xa9\xf0\x9f\x94\x91\xff"),
        AG_F_TEXT("none", ""),
        AG_F_HEX("digest", ((struct antag_slice){digest, sizeof digest})),
        AG_F_ERR(ANTAG_ERR_AUDIT),
        {.kind = AG_LF_END}};
    /* the hash: python3 -c 'import hashlib; print(hashlib.blake2b(LINE, digest_size=32).hexdigest())' */
    static const char wanted[] =
        "{\"v\":1,\"chain\":\"soft\",\"seq\":7,\"time\":\"2023-11-14T22:13:20.123Z\",\"type\":"
        "\"sign\","
        "\"big\":18446744073709551615,\"small\":-9223372036854775808,"
        "\"text\":\"a\\\"b\\\\c\\u000a\\u007f\\u00e9\\ud83d\\udd11\\ufffd\",\"none\":\"\","
        "\"digest\":\"007fff\","
        "\"error\":\"AUDIT\",\"prev\":"
        "\"abababababababababababababababababababababababababababababababab\","
        "\"hash\":\"";
    struct ag_line_head head;
    size_t len = make(fields, &head);

    CU_ASSERT_EQUAL_FATAL(len, sizeof wanted - 1 + 64 + 3);
    CU_ASSERT_EQUAL(memcmp(text, wanted, sizeof wanted - 1), 0);
    CU_ASSERT_EQUAL(memcmp(text + sizeof wanted - 1, LINE_HASH "\"}\n", 64 + 3), 0);
}

static void test_there_and_back(void)
{
    struct ag_line_head head, back;
    size_t len = make((const struct ag_log_field[]){AG_F_TEXT("x", "\",\"y\":\"z"),
                                                    AG_F_UINT("n", 12),
                                                    {.kind = AG_LF_END}},
                      &head);
    struct antag_slice line = {(const uint8_t *)text, len - 1}, v;
    uint64_t n;

    CU_ASSERT_EQUAL_FATAL(ag_line_parse(line, &back, NULL), ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(back.chain, "soft");
    CU_ASSERT_STRING_EQUAL(back.type, "sign");
    CU_ASSERT_EQUAL(back.seq, 7);
    CU_ASSERT_EQUAL(memcmp(back.prev, head.prev, sizeof head.prev), 0);
    CU_ASSERT_EQUAL(memcmp(back.hash, head.hash, sizeof head.hash), 0);
    CU_ASSERT_FALSE(ag_line_field(line, "y", &v)); /* inside of a text it is none */
    CU_ASSERT_TRUE(ag_line_uint(line, "n", &n) && n == 12);
    CU_ASSERT_FALSE(ag_line_uint(line, "x", &n));
    CU_ASSERT_FALSE(ag_line_hex(line, "x", back.hash, 32));
    CU_ASSERT_FALSE(ag_line_field(line, "m", &v));
}

/* Every bit of every byte counts. */
static void test_every_bit(void)
{
    struct ag_line_head head, back;
    size_t len =
        make((const struct ag_log_field[]){AG_F_TEXT("x", "abc"), {.kind = AG_LF_END}}, &head);
    struct antag_slice line = {(const uint8_t *)text, len - 1};

    for (size_t i = 0; i < len - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            CU_ASSERT_EQUAL(ag_line_parse(line, &back, NULL), ANTAG_ERR_AUDIT);
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    for (size_t i = 0; i < len - 1; i++) {
        CU_ASSERT_EQUAL(ag_line_parse((struct antag_slice){line.p, i}, &back, NULL),
                        ANTAG_ERR_AUDIT);
        CU_ASSERT_EQUAL(
            ag_line_parse((struct antag_slice){line.p + i + 1, len - 2 - i}, &back, NULL),
            ANTAG_ERR_AUDIT);
    }
    CU_ASSERT_EQUAL(ag_line_parse((struct antag_slice){line.p, len}, &back, NULL), ANTAG_ERR_AUDIT);
    CU_ASSERT_EQUAL(ag_line_parse(line, &back, NULL), ANTAG_OK);
}

/* The frame is strict even where the hash would be right: one line has one form. */
static void test_forms(void)
{
    static const struct {
        const char *name, *chain, *type;
        uint64_t seq;
        bool taken;
    } rows[] = {
        {"plain", "soft", "sign", 1, true},
        {"longest", "a-23456789012345678901234567890z", "abcdefghijklmnop", INT64_MAX - 10, true},
        {"number 0", "soft", "sign", 0, false},
        {"number out of range", "soft", "sign", UINT64_MAX, false},
        {"no chain", "", "sign", 1, false},
        {"chain in capitals", "Soft", "sign", 1, false},
        {"no type", "soft", "", 1, false},
        {"type with a digit", "soft", "sign2", 1, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_line_head head = {.seq = rows[i].seq, .time_ms = 5}, back;
        size_t len;

        snprintf(head.chain, sizeof head.chain, "%s", rows[i].chain);
        snprintf(head.type, sizeof head.type, "%s", rows[i].type);
        len = ag_line_render(&head, (const struct ag_log_field[]){{.kind = AG_LF_END}}, text);
        CU_ASSERT_FATAL(len > 1);
        ROW_ASSERT(rows[i].name,
                   (ag_line_parse((struct antag_slice){(const uint8_t *)text, len - 1}, &back,
                                  NULL) == ANTAG_OK) == rows[i].taken);
    }
}

static void test_length(void)
{
    char *long_text = calloc(1, AG_LINE_MAX + 1);
    struct ag_log_field fields[] = {AG_F_TEXT("x", long_text), {.kind = AG_LF_END}};
    struct ag_line_head head, back;
    size_t len = make(fields, &head), most = AG_LINE_MAX - len;

    memset(long_text, 'x', most);
    CU_ASSERT_EQUAL(make(fields, &head), AG_LINE_MAX);
    CU_ASSERT_EQUAL(
        ag_line_parse((struct antag_slice){(const uint8_t *)text, AG_LINE_MAX - 1}, &back, NULL),
        ANTAG_OK);
    long_text[most] = 'x';
    CU_ASSERT_EQUAL(make(fields, &head), 0);
    free(long_text);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a known line", test_known},      {"there and back", test_there_and_back},
        {"every bit", test_every_bit},     {"forms", test_forms},
        {"the longest line", test_length}, CU_TEST_INFO_NULL,
    };

    return run_tests("chain_line", tests);
}
