/* Addresses of staff: what may go into a mail header, and nothing else. */
#include <string.h>

#include "agent/core/mailbox.h"
#include "tests/support/rows.h"

#define L60 "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"

static const struct {
    const char *text;
    bool good;
} rows[] = {
    {"alice@example.com", true},
    {"a@b.c", true},
    {"Alice.B-C_d+keys@mail.example-1.com", true},
    {"!#$%&'*+-/=?^_`{|}~@example.com", true},
    {L60 "aaaa@example.com", true},
    {"a@" L60 "aaa.com", true},
    {"a@1.2", true},

    {"", false},
    {"@", false},
    {"alice", false},
    {"@example.com", false},
    {"alice@", false},
    {"alice@example", false},
    {"alice@example.", false},
    {"alice@.com", false},
    {"alice@example..com", false},
    {"alice@-example.com", false},
    {"alice@example-.com", false},
    {"alice@example.-com", false},
    {"alice@example.com-", false},
    {".alice@example.com", false},
    {"alice.@example.com", false},
    {"al..ice@example.com", false},
    {"alice@bob@example.com", false},
    {"alice @example.com", false},
    {"alice@example.com ", false},
    {" alice@example.com", false},
    {"alice@example.com\n", false},
    {"alice@example.com\r\nBcc: x@y.z", false},
    {"<alice@example.com>", false},
    {"alice@example.com,bob@example.com", false},
    {"\"alice\"@example.com", false},
    {"alice@[127.0.0.1]", false},
    {"alice(c)@example.com", false},
    {"al\xc3\xad"
     "ce@example.com",
     false},
    {"alice@ex_ample.com", false},
    {"alice\x7f"
     "@example.com",
     false},
    {L60 "aaaaa@example.com", false},
    {"a@" L60 "aaaa.com", false},
};

static void test_forms(void)
{
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        enum antag_err err = ag_mailbox_check(antag_slice_of(rows[i].text), "mail", &fault);

        ROW_ASSERT(rows[i].text, err == (rows[i].good ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        if (!rows[i].good)
            ROW_ASSERT(rows[i].text, strcmp(fault.field, "mail") == 0);
    }
}

static void test_bytes(void)
{
    char text[] = "a?b@example.com";
    struct antag_fault fault;

    for (int c = 0; c < 256; c++) {
        bool allowed = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                       (c != 0 && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);

        text[1] = (char)c;
        CU_ASSERT_EQUAL(
            ag_mailbox_check((struct antag_slice){(const uint8_t *)text, strlen("a?b@example.com")},
                             "mail", &fault),
            allowed ? ANTAG_OK : ANTAG_ERR_BAD_PARAM);
    }
}

static void test_length(void)
{
    char text[300];
    struct antag_fault fault;

    memset(text, 'a', sizeof text);
    memcpy(text, "x@", 2);
    for (size_t i = 10; i < sizeof text; i += 10)
        text[i] = '.';
    for (size_t len = 12; len < sizeof text; len++) {
        struct antag_slice s = {(const uint8_t *)text, len};

        if (text[len - 1] != '.')
            CU_ASSERT_EQUAL(ag_mailbox_check(s, "mail", &fault),
                            len <= AG_MAILBOX_MAX ? ANTAG_OK : ANTAG_ERR_BAD_PARAM);
    }
}

static void test_same(void)
{
    CU_ASSERT_TRUE(ag_mailbox_is_same("Alice@Example.com", "alice@example.COM"));
    CU_ASSERT_FALSE(ag_mailbox_is_same("alice@example.com", "alice@example.co"));
    CU_ASSERT_FALSE(ag_mailbox_is_same("", "alice@example.com"));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"forms", test_forms}, {"bytes", test_bytes}, {"length", test_length},
        {"same", test_same},   CU_TEST_INFO_NULL,
    };

    return run_tests("mailbox", tests);
}
