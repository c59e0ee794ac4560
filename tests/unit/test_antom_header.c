/* The Signature header: written in one form, read in every form that an SDK or the documentation
 * produces, and in no other. */
#include <string.h>

#include "agent/core/antom.h"
#include "tests/support/rows.h"

#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }

/* bytes whose base64 holds all that needs escaping */
static const uint8_t raw[] = {0xfb, 0xff, 0xbf, 0x00, 0xff};
#define PLAIN "+/+/AP8="
#define FULL  "%2B%2F%2B%2FAP8%3D"

/* ---- tolerated */

static const struct {
    const char *name;
    struct antag_slice header;
    const char *key_version; /* NULL: not given */
} good_rows[] = {
    {"SDK", S("algorithm=RSA256,keyVersion=1,signature=" FULL), "1"},
    {"documentation", S("algorithm=RSA256, keyVersion=1, signature=" FULL), "1"},
    {".NET escapes", S("algorithm=RSA256,keyVersion=1,signature=%2b%2f%2b%2fAP8%3d"), "1"},
    {"mixed case escapes", S("algorithm=RSA256,keyVersion=1,signature=%2b%2F%2B%2fAP8%3d"), "1"},
    {"unencoded", S("algorithm=RSA256,keyVersion=1,signature=" PLAIN), "1"},
    {"half encoded", S("algorithm=RSA256,keyVersion=1,signature=+%2F+/AP8="), "1"},
    {"only padding encoded", S("algorithm=RSA256,keyVersion=1,signature=+/+/AP8%3D"), "1"},
    {"a letter encoded", S("algorithm=RSA256,keyVersion=1,signature=+/+/%41P8="), "1"},
    {"other order", S("signature=" FULL ",keyVersion=1,algorithm=RSA256"), "1"},
    {"unencoded, not last", S("signature=" PLAIN ",keyVersion=1"), "1"},
    {"no algorithm", S("keyVersion=2,signature=" FULL), "2"},
    {"no keyVersion", S("algorithm=RSA256,signature=" FULL), NULL},
    {"signature alone", S("signature=" FULL), NULL},
    {"names in capitals", S("ALGORITHM=RSA256,KEYVERSION=1,SIGNATURE=" FULL), "1"},
    {"names in small letters", S("algorithm=RSA256,keyversion=1,signature=" FULL), "1"},
    {"algorithm in small letters", S("algorithm=rsa256,keyVersion=1,signature=" FULL), "1"},
    {"unknown name", S("algorithm=RSA256,keyVersion=1,foo=bar,signature=" FULL), "1"},
    {"unknown name, empty", S("foo=,signature=" FULL), NULL},
    {"unknown name that ends alike", S("xsignature=AAAA,signature=" FULL), NULL},
    {"unknown name that begins alike", S("signaturex=AAAA,signature=" FULL), NULL},
    {"unknown name with two =", S("foo==,signature=" FULL), NULL},
    {"blanks and tabs everywhere",
     S("\t algorithm \t=\t RSA256 , keyVersion = 1 ,\tsignature\t=  " FULL " \t"), "1"},
    {"long keyVersion", S("keyVersion=1234567890123456789012345678901,signature=" FULL),
     "1234567890123456789012345678901"},
    {"keyVersion is no number", S("keyVersion=v1.0-a_b,signature=" FULL), "v1.0-a_b"},
    {"empty keyVersion", S("keyVersion=,signature=" FULL), ""},
    {"sixteen parts", S("a=,b=,c=,d=,e=,f=,g=,h=,i=,j=,k=,l=,m=,n=,o=,signature=" FULL), NULL},
};

static void test_good(void)
{
    for (size_t i = 0; i < ROW_COUNT(good_rows); i++) {
        const char *name = good_rows[i].name, *key_version = good_rows[i].key_version;
        struct ag_antom_signature sig;

        memset(&sig, 0xEE, sizeof sig);
        ROW_ASSERT(name, ag_antom_signature_parse(good_rows[i].header, &sig, NULL) == ANTAG_OK);
        ROW_ASSERT(name, sig.len == sizeof raw && memcmp(sig.raw, raw, sizeof raw) == 0);
        ROW_ASSERT(name, sig.has_key_version == (key_version != NULL));
        ROW_ASSERT(name, strcmp(sig.key_version, key_version != NULL ? key_version : "") == 0);
    }
}

/* ---- refused */

static const struct {
    const char *name;
    struct antag_slice header;
    const char *why; /* part of the reason */
} bad_rows[] = {
    {"empty", {NULL, 0}, "empty"},
    {"one blank", S(" "), "name=value"},
    {"no signature", S("algorithm=RSA256,keyVersion=1"), "no part called signature"},
    {"xsignature", S("algorithm=RSA256,keyVersion=1,xsignature=" FULL), "no part called"},
    {"empty signature", S("algorithm=RSA256,keyVersion=1,signature="), "empty signature"},
    {"blank signature", S("algorithm=RSA256,keyVersion=1,signature= "), "empty signature"},
    {"signature twice", S("signature=" FULL ",signature=" FULL), "twice"},
    {"signature twice, in two cases", S("signature=" FULL ",Signature=" FULL), "twice"},
    {"algorithm twice", S("algorithm=RSA256,algorithm=RSA256,signature=" FULL), "twice"},
    {"keyVersion twice", S("keyVersion=1,keyVersion=1,signature=" FULL), "twice"},
    {"unknown name twice", S("foo=1,FOO=2,signature=" FULL), "twice"},
    {"part without =", S("algorithm=RSA256,keyVersion,signature=" FULL), "name=value"},
    {"empty part", S("algorithm=RSA256,,signature=" FULL), "name=value"},
    {"comma at the end", S("algorithm=RSA256,signature=" FULL ","), "name=value"},
    {"comma at the start", S(",algorithm=RSA256,signature=" FULL), "name=value"},
    {"part without a name", S("=RSA256,signature=" FULL), "name=value"},
    {"semicolons", S("algorithm=RSA256;keyVersion=1;signature=" FULL), "algorithm"},
    {"bare value", S(FULL), "name=value"},
    {"bare unencoded value", S(PLAIN), "no part called signature"},
    {"RSA512", S("algorithm=RSA512,keyVersion=1,signature=" FULL), "algorithm"},
    {"SHA256withRSA", S("algorithm=SHA256withRSA,signature=" FULL), "algorithm"},
    {"empty algorithm", S("algorithm=,signature=" FULL), "algorithm"},
    {"cut algorithm", S("algorithm=RSA25,signature=" FULL), "algorithm"},
    {"longer algorithm", S("algorithm=RSA2560,signature=" FULL), "algorithm"},
    {"algorithm none", S("algorithm=none,signature=" FULL), "algorithm"},
    {"encoded twice", S("signature=%252B%252F%252B%252FAP8%253D"), "not base64"},
    {"cut escape", S("signature=+/+/AP8%3"), "hexadecimal"},
    {"lone %", S("signature=+/+/AP8%"), "hexadecimal"},
    {"escape that is not hexadecimal", S("signature=%2G%2F+/AP8="), "hexadecimal"},
    {"escape with a sign", S("signature=%+2+/+/AP8="), "hexadecimal"},
    {"plus became a space", S("signature= / /AP8="), "not base64"},
    {"space inside", S("signature=+/+/ AP8="), "not base64"},
    {"escaped space", S("signature=+/+/AP8=%20"), "not base64"},
    {"escaped line feed", S("signature=+/+/AP8=%0A"), "not base64"},
    {"escaped NUL", S("signature=+/+/AP8=%00"), "not base64"},
    {"base64url", S("signature=-_-_AP8="), "not base64"},
    {"no padding", S("signature=+/+/AP8"), "not base64"},
    {"half of the padding", S("signature=+/+/AA="), "not base64"},
    {"too much padding", S("signature=+/+/AP8=="), "not base64"},
    {"padding in the middle", S("signature=AA==+/+/"), "not base64"},
    {"bytes behind the padding", S("signature=+/+/AP8=A"), "not base64"},
    {"padding alone", S("signature===="), "not base64"},
    {"unused bits set, one =", S("signature=+/+/AP9="), "not base64"},
    {"unused bits set, two =", S("signature=+/+/AB=="), "not base64"},
    {"one digit", S("signature=A"), "not base64"},
    {"five digits", S("signature=AAAAA"), "not base64"},
    {"not the alphabet", S("signature=+/*/AP8="), "not base64"},
    {"quoted", S("signature=\"" FULL "\""), "not base64"},
    {"quoted keyVersion", S("keyVersion=\"1\",signature=" FULL), "keyVersion"},
    {"blank in keyVersion", S("keyVersion=1 2,signature=" FULL), "keyVersion"},
    {"too long keyVersion", S("keyVersion=12345678901234567890123456789012,signature=" FULL),
     "31 bytes"},
    {"NUL", S("signature=" FULL "\0"), "printable"},
    {"line feed", S("algorithm=RSA256,\nsignature=" FULL), "printable"},
    {"CR LF behind", S("signature=" FULL "\r\n"), "printable"},
    {"UTF-8", S("foo=\xc3\xa9,signature=" FULL), "printable"},
    {"two headers joined", S("signature=" FULL ", algorithm=RSA256, signature=" FULL), "twice"},
    {"seventeen parts", S("a=,b=,c=,d=,e=,f=,g=,h=,i=,j=,k=,l=,m=,n=,o=,p=,signature=" FULL),
     "16 parts"},
};

static void test_bad(void)
{
    for (size_t i = 0; i < ROW_COUNT(bad_rows); i++) {
        const char *name = bad_rows[i].name;
        struct ag_antom_signature sig, before;
        struct antag_fault fault = {0};

        memset(&sig, 0xEE, sizeof sig);
        before = sig;
        ROW_ASSERT(name, ag_antom_signature_parse(bad_rows[i].header, &sig, &fault) ==
                             ANTAG_ERR_SIGNATURE_FORM);
        ROW_ASSERT(name, ag_antom_signature_parse(bad_rows[i].header, &sig, NULL) ==
                             ANTAG_ERR_SIGNATURE_FORM);
        ROW_ASSERT(name, memcmp(&sig, &before, sizeof sig) == 0);
        ROW_ASSERT(name, fault.err == ANTAG_ERR_SIGNATURE_FORM);
        ROW_ASSERT(name, strstr(fault.text, bad_rows[i].why) != NULL);
    }
}

/* Every prefix of the SDKs' form is refused up to the last byte. */
static void test_prefixes(void)
{
    static const struct antag_slice whole = S("algorithm=RSA256,keyVersion=1,signature=" FULL);
    struct ag_antom_signature sig;

    /* cut behind a group of four the base64 is whole again, only shorter: the caller compares the
     * length with the modulus */
    static const size_t shorter = sizeof "algorithm=RSA256,keyVersion=1,signature=%2B%2F%2B%2F" - 1;

    for (size_t len = 0; len < whole.len; len++) {
        enum antag_err err =
            ag_antom_signature_parse((struct antag_slice){whole.p, len}, &sig, NULL);

        CU_ASSERT_EQUAL(err, len == shorter ? ANTAG_OK : ANTAG_ERR_SIGNATURE_FORM);
    }
}

static void test_header_length(void)
{
    static uint8_t text[ANTAG_SIG_HEADER_MAX + 1];
    static const char tail[] = ",signature=" FULL;
    struct ag_antom_signature sig;

    memset(text, 'x', sizeof text);
    text[1] = '=';
    memcpy(text + ANTAG_SIG_HEADER_MAX - (sizeof tail - 1), tail, sizeof tail - 1);
    CU_ASSERT_EQUAL(
        ag_antom_signature_parse((struct antag_slice){text, ANTAG_SIG_HEADER_MAX}, &sig, NULL),
        ANTAG_OK);
    text[ANTAG_SIG_HEADER_MAX] = ' ';
    CU_ASSERT_EQUAL(
        ag_antom_signature_parse((struct antag_slice){text, ANTAG_SIG_HEADER_MAX + 1}, &sig, NULL),
        ANTAG_ERR_SIGNATURE_FORM);
}

/* ---- rendering */

static void test_render(void)
{
    static const struct antag_slice sig = {raw, sizeof raw};
    char text[AG_ANTOM_SIG_TEXT_MAX];

    ag_antom_signature_render(1, sig, text);
    CU_ASSERT_STRING_EQUAL(text, "algorithm=RSA256,keyVersion=1,signature=" FULL);
    ag_antom_signature_render(UINT32_MAX, sig, text);
    CU_ASSERT_STRING_EQUAL(text, "algorithm=RSA256,keyVersion=4294967295,signature=" FULL);
    ag_antom_signature_render(1, (struct antag_slice){NULL, 0}, text);
    CU_ASSERT_STRING_EQUAL(text, "");
}

/* Lengths of the moduli that are used, and the text that is longest: every digit escaped. */
static void test_render_sizes(void)
{
    static const struct {
        const char *name;
        size_t len;
        uint8_t fill;
        size_t text_len;
    } rows[] = {
        {"2048 bits of zeros", 256, 0x00, 40 + 342 + 2 * 3},
        {"2048 bits of ones", 256, 0xFF, 40 + 341 * 3 + 1 + 2 * 3},
        {"3072 bits of ones", 384, 0xFF, 40 + 512 * 3},
        {"4096 bits of ones", 512, 0xFF, 40 + 682 * 3 + 1 + 3},
        {"one byte", 1, 0x00, 40 + 2 + 2 * 3},
    };
    uint8_t bytes[ANTAG_SIG_MAX + 1];
    char text[AG_ANTOM_SIG_TEXT_MAX];

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_antom_signature back = {0};

        memset(bytes, rows[i].fill, sizeof bytes);
        ag_antom_signature_render(1, (struct antag_slice){bytes, rows[i].len}, text);
        ROW_ASSERT(rows[i].name, strlen(text) == rows[i].text_len);
        ROW_ASSERT(rows[i].name, strpbrk(text + 40, "+/=") == NULL);
        ROW_ASSERT(rows[i].name,
                   ag_antom_signature_parse(antag_slice_of(text), &back, NULL) == ANTAG_OK);
        ROW_ASSERT(rows[i].name, back.len == rows[i].len && memcmp(back.raw, bytes, back.len) == 0);
    }
    ag_antom_signature_render(1, (struct antag_slice){bytes, sizeof bytes}, text);
    CU_ASSERT_STRING_EQUAL(text, "");
}

/* One byte more than the largest signature is refused: 513 bytes are 684 digits as 512 are. */
static void test_too_long_signature(void)
{
    static char text[1024];
    struct ag_antom_signature sig;
    size_t head = sizeof "signature=" - 1;

    memcpy(text, "signature=", head);
    memset(text + head, 'A', 684);
    CU_ASSERT_EQUAL(ag_antom_signature_parse(antag_slice_of(text), &sig, NULL),
                    ANTAG_ERR_SIGNATURE_FORM);
    text[head + 683] = '=';
    CU_ASSERT_EQUAL(ag_antom_signature_parse(antag_slice_of(text), &sig, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(sig.len, 512);
    memcpy(text + head + 683, "AAAAA", 5);
    CU_ASSERT_EQUAL(ag_antom_signature_parse(antag_slice_of(text), &sig, NULL),
                    ANTAG_ERR_SIGNATURE_FORM);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"tolerated", test_good},
        {"refused", test_bad},
        {"prefixes", test_prefixes},
        {"length of the header", test_header_length},
        {"render", test_render},
        {"sizes of signatures", test_render_sizes},
        {"signature too long", test_too_long_signature},
        CU_TEST_INFO_NULL,
    };

    return run_tests("antom_header", tests);
}
