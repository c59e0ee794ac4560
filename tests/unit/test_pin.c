/* PINs of tokens: their form, and that a sealed one opens for its own keyring only. */
#include <string.h>

#include "agent/lib/pin.h"
#include "tests/support/secretrows.h"

static void test_form(void)
{
    char longest[AG_PIN_MAX + 2];
    const struct {
        const char *name, *text;
        bool ok;
    } rows[] = {
        {"digits", "1234", true},
        {"blanks and more", "correct horse, battery", true},
        {"not ASCII", "gr\xc3\xbc\xc3\x9f", true},
        {"nothing", "", false},
        {"a line feed at the end", "1234\n", false},
        {"a tabulator", "12\t34", false},
        {"DEL", "12\x7f", false},
        {"the longest", longest + 1, true},
        {"one more", longest, false},
    };

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_secret *s = secret_of(rows[i].text);
        struct antag_fault fault = {0};

        ROW_ASSERT(rows[i].name,
                   ag_pin_check(s, &fault) == (rows[i].ok ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
        ROW_ASSERT(rows[i].name, rows[i].ok || strcmp(fault.field, "pin") == 0);
        ROW_ASSERT(rows[i].name,
                   rows[i].text[0] == '\0' || strstr(fault.text, rows[i].text) == NULL);
        ag_secret_free(s);
    }
}

static void test_sealed(void)
{
    struct ag_secret *pin = secret_of("pin-7391"), *back = NULL;
    struct ag_secret *key = secret_of("0123456789abcdef0123456789abcdef");
    struct ag_secret *other = secret_of("0123456789abcdef0123456789abcdeF");
    uint8_t sealed[AG_PIN_SEALED_MAX];
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(ag_pin_seal(key, "hsm1", pin, sealed, &len), ANTAG_OK);
    CU_ASSERT_EQUAL(len, 8 + AG_SEAL_OVERHEAD);
    CU_ASSERT_EQUAL(ag_pin_open(key, "hsm2", (struct antag_slice){sealed, len}, &back),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(ag_pin_open(other, "hsm1", (struct antag_slice){sealed, len}, &back),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(ag_pin_open(key, "hsm1", (struct antag_slice){sealed, len - 1}, &back),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL_FATAL(ag_pin_open(key, "hsm1", (struct antag_slice){sealed, len}, &back),
                          ANTAG_OK);
    CU_ASSERT(ag_secret_len(back) == 8 && memcmp(ag_secret_bytes(back), "pin-7391", 8) == 0);
    ag_secret_free(back);
    ag_secret_free(pin);
    ag_secret_free(key);
    ag_secret_free(other);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"form", test_form},
        {"sealed for one keyring", test_sealed},
        CU_TEST_INFO_NULL,
    };

    if (ag_secret_setup(NULL) != ANTAG_OK)
        return 1;
    return run_tests("pin", tests);
}
