/* Tokens of merchants: their form, and that sealed ones open for their own profile and merchant only. */
#include <string.h>

#include "agent/lib/token.h"
#include "tests/support/secretrows.h"

static struct ag_secret *key_of(uint8_t fill)
{
    struct ag_secret *s = ag_secret_new(32);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    memset(ag_secret_bytes(s), fill, 32);
    ag_secret_set_len(s, 32);
    return s;
}

static void test_form(void)
{
    char longest[ANTAG_TOKEN_MAX + 2];
    const struct {
        const char *name, *text;
        bool ok;
    } rows[] = {
        {"as Antom's", "2022091495540562874792960", true},
        {"base64", "ab+/=_-.~!", true},
        {"nothing", "", false},
        {"a blank", "a b", false},
        {"a line feed at the end", "abc\n", false},
        {"a header of its own", "abc\r\nX: y", false},
        {"not ASCII", "abc\xc3\xa9", false},
        {"the longest", longest + 1, true},
        {"one more", longest, false},
    };

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_secret *s = secret_of(rows[i].text);
        struct antag_fault fault = {0};

        ROW_ASSERT(rows[i].name,
                   ag_token_check(s, &fault) == (rows[i].ok ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        ROW_ASSERT(rows[i].name,
                   rows[i].text[0] == '\0' || strstr(fault.text, rows[i].text) == NULL);
        ag_secret_free(s);
    }
}

static void test_sealed(void)
{
    struct ag_secret *key = key_of(1), *other = key_of(2), *token = secret_of("tok-123");
    uint8_t sealed[AG_TOKEN_SEALED_MAX];
    char out[ANTAG_TOKEN_MAX + 1];
    struct antag_slice s = {sealed, 0};
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(ag_token_seal(key, "hub/live", "m1", token, sealed, &len), ANTAG_OK);
    s.len = len;
    CU_ASSERT_EQUAL(ag_token_open(key, "hub/live", "m1", s, out), ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(out, "tok-123");
    CU_ASSERT_EQUAL(ag_token_open(other, "hub/live", "m1", s, out), ANTAG_ERR_REGISTRY);
    CU_ASSERT_STRING_EQUAL(out, "");
    CU_ASSERT_EQUAL(ag_token_open(key, "hub/sandbox", "m1", s, out), ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(ag_token_open(key, "hub/live", "m2", s, out), ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(ag_token_open(key, "hub/live\nm", "1", s, out), ANTAG_ERR_REGISTRY);
    for (size_t i = 0; i < len; i++) {
        sealed[i] ^= 1;
        CU_ASSERT_EQUAL(ag_token_open(key, "hub/live", "m1", s, out), ANTAG_ERR_REGISTRY);
        sealed[i] ^= 1;
    }
    for (s.len = 0; s.len < len; s.len++)
        CU_ASSERT_EQUAL(ag_token_open(key, "hub/live", "m1", s, out), ANTAG_ERR_REGISTRY);
    ag_secret_free(key);
    ag_secret_free(other);
    ag_secret_free(token);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"form", test_form},
        {"sealed", test_sealed},
        CU_TEST_INFO_NULL,
    };

    if (ag_secret_setup(NULL) != ANTAG_OK)
        return 1;
    return run_tests("token", tests);
}
