/* Private keys in all kinds of texts, and what only looks like one. */
#include "client/antomctl/keyhunt.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "agent/lib/keyform.h"
#include "tests/support/rows.h"

static EVP_PKEY *key;
static char pkcs8[8192], pkcs1[8192], public_key[2048], fingerprint[65];
static unsigned char der[4096];
static int der_len;

static void base64_of(const unsigned char *in, int len, char *out)
{
    (void)EVP_EncodeBlock((unsigned char *)out, in, len);
}

static int setup(void)
{
    unsigned char buf[4096], spki[ANTAG_SPKI_MAX], *p = buf;
    PKCS8_PRIV_KEY_INFO *info;
    size_t spki_len;
    int len = 0;

    if ((key = EVP_RSA_gen(2048)) == NULL || (info = EVP_PKEY2PKCS8(key)) == NULL)
        return 1;
    len = i2d_PKCS8_PRIV_KEY_INFO(info, &p);
    PKCS8_PRIV_KEY_INFO_free(info);
    base64_of(buf, len, pkcs8);
    memcpy(der, buf, (size_t)len);
    der_len = len;
    p = buf;
    base64_of(buf, i2d_PrivateKey(key, &p), pkcs1);
    if (ag_keyform_spki(key, spki, &spki_len) != ANTAG_OK)
        return 1;
    base64_of(spki, (int)spki_len, public_key);
    ag_keyform_fingerprint((struct antag_slice){spki, spki_len}, fingerprint);
    return 0;
}

static int teardown(void)
{
    EVP_PKEY_free(key);
    return 0;
}

struct seen {
    size_t count, line;
    char form[32], fingerprint[65];
    bool encrypted, der_fits;
};

static void on_found(const struct ctl_hunted *f, void *ctx)
{
    struct seen *s = ctx;

    s->count++;
    s->line = f->line;
    s->encrypted = f->encrypted;
    snprintf(s->form, sizeof s->form, "%s", f->form);
    snprintf(s->fingerprint, sizeof s->fingerprint, "%s", f->fingerprint);
    s->der_fits = f->encrypted ? f->der.len == 0 : f->der.len > 0 && f->bits == 2048;
}

static struct seen hunt(const char *text, size_t len)
{
    struct seen s = {0};

    ctl_keyhunt((struct antag_slice){(const uint8_t *)text, len}, on_found, &s);
    return s;
}

/* Breaks base64 every 64 letters by `joint`. */
static void broken(const char *in, const char *joint, char *out, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; in[i] != '\0'; i++) {
        if (i > 0 && i % 64 == 0)
            at += (size_t)snprintf(out + at, size - at, "%s", joint);
        if (at + 1 < size)
            out[at++] = in[i];
    }
    out[at] = '\0';
}

static void test_forms(void)
{
    static char text[16384], body[12000], begin[] = "-----BEGIN PRIVATE KEY-----";
    static const struct {
        const char *name, *before, *joint, *behind, *form;
        bool one;
        size_t line;
    } rows[] = {
        {"a properties file", "a=1\nantom.privateKey=", "", "\nb=2\n", "PKCS#8 base64", false, 2},
        {"an environment file", "export KEY='", "", "'", "PKCS#1 base64", true, 1},
        {"JSON", "{\"key\":\"", "", "\"}", "PKCS#8 base64", false, 1},
        {"YAML, folded", "key: >-\n  ", "\n  ", "\nother: 1\n", "PKCS#8 base64", false, 2},
        {"Java", "String k = \"", "\" +\n        \"", "\";", "PKCS#8 base64", false, 1},
        {"PHP", "$k = '", "' .\n  '", "';", "PKCS#1 base64", true, 1},
        {"a comment", "\n\n# ", "\n# ", "\n", "PKCS#8 base64", false, 3},
        {"CR LF", "", "\r\n", "\r\n", "PKCS#8 base64", false, 1},
        {"a shell continuation", "K=", "\\\n", "\n", "PKCS#8 base64", false, 1},
        {"escaped line ends", "\"", "\\n", "\\n\"", "PKCS#8 base64", false, 1},
        {"in the middle of bytes", "\x01\xff\x80", "", "\x02\x03", "PKCS#8 base64", false, 1},
        {"nothing around", "", "", "", "PKCS#1 base64", true, 1},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct seen s;

        broken(rows[i].one ? pkcs1 : pkcs8, rows[i].joint, body, sizeof body);
        snprintf(text, sizeof text, "%s%s%s", rows[i].before, body, rows[i].behind);
        s = hunt(text, strlen(text));
        ROW_ASSERT(rows[i].name, s.count == 1 && strcmp(s.form, rows[i].form) == 0);
        ROW_ASSERT(rows[i].name, strcmp(s.fingerprint, fingerprint) == 0 && s.der_fits);
        ROW_ASSERT(rows[i].name, s.line == rows[i].line);
    }
    broken(pkcs8, "\n", body, sizeof body);
    snprintf(text, sizeof text, "x\n%s\n%s\n-----END PRIVATE KEY-----\n", begin, body);
    CU_ASSERT_STRING_EQUAL(hunt(text, strlen(text)).form, "PKCS#8 PEM");
    broken(pkcs8, "\\n", body, sizeof body);
    snprintf(text, sizeof text, "{\"k\":\"%s\\n%s\\n-----END PRIVATE KEY-----\"}", begin, body);
    CU_ASSERT_STRING_EQUAL(hunt(text, strlen(text)).form, "PKCS#8 PEM");
    CU_ASSERT_STRING_EQUAL(hunt((const char *)der, (size_t)der_len).form, "PKCS#8 DER");
}

static void test_escaped_slashes(void)
{
    static char text[12000];
    size_t at = 0;
    struct seen s;

    for (size_t i = 0; pkcs8[i] != '\0'; i++) { /* as PHP's json_encode writes them */
        if (pkcs8[i] == '/')
            text[at++] = '\\';
        text[at++] = pkcs8[i];
    }
    s = hunt(text, at);
    CU_ASSERT(s.count == 1 && strcmp(s.fingerprint, fingerprint) == 0);
}

static void test_two(void)
{
    static char text[20000];

    snprintf(text, sizeof text, "%s\n%s", pkcs8, pkcs1);
    CU_ASSERT_EQUAL(hunt(text, strlen(text)).count, 2);
    snprintf(text, sizeof text, "%s %s", pkcs8, pkcs8);
    CU_ASSERT_EQUAL(hunt(text, strlen(text)).count, 2);
}

static void test_encrypted(void)
{
    static const char *const texts[] = {
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIFHDBOBgkqhkiG9w0BBQ0wQTApBgkqhkiG9w0BBQwwHAQI\n",
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
        "AES-128-CBC,00\n\nab\n"};

    for (size_t i = 0; i < ROW_COUNT(texts); i++) {
        struct seen s = hunt(texts[i], strlen(texts[i]));

        ROW_ASSERT(texts[i], s.count == 1 && s.encrypted && s.der_fits && s.fingerprint[0] == '\0');
    }
}

/* No alarm. */
static void test_others(void)
{
    static char text[20000];
    X509 *cert = X509_new();
    unsigned char *p = NULL;
    int len = 0;

    CU_ASSERT_EQUAL(hunt(public_key, strlen(public_key)).count, 0);
    X509_set_pubkey(cert, key);
    CU_ASSERT_FATAL(X509_sign(cert, key, EVP_sha256()) > 0 && (len = i2d_X509(cert, &p)) > 0);
    base64_of(p, len, text);
    CU_ASSERT_EQUAL(hunt(text, strlen(text)).count, 0);
    CU_ASSERT_EQUAL(hunt((const char *)p, (size_t)len).count, 0);
    OPENSSL_free(p);
    X509_free(cert);
    snprintf(text, sizeof text, "%.*s...", (int)strlen(pkcs8) - 40, pkcs8); /* shortened */
    CU_ASSERT_EQUAL(hunt(text, strlen(text)).count, 0);
    snprintf(text, sizeof text, "%s", pkcs8);
    text[900] = text[900] == 'A' ? 'B' : 'A'; /* its parts do not belong together */
    CU_ASSERT_EQUAL(hunt(text, strlen(text)).count, 0);
    snprintf(text, sizeof text, "xx%s", pkcs8); /* the middle of another text */
    CU_ASSERT_EQUAL(hunt(text, strlen(text)).count, 0);
    CU_ASSERT_EQUAL(hunt("", 0).count, 0);
    CU_ASSERT_EQUAL(hunt("MII", 3).count, 0);
    CU_ASSERT_EQUAL(hunt("-----BEGIN PRIVATE KEY-----", 27).count, 0);
    memset(text, 'M', sizeof text);
    CU_ASSERT_EQUAL(hunt(text, sizeof text).count, 0);
    for (size_t i = 0; i + 3 <= sizeof text; i += 3)
        memcpy(text + i, "MII", 3);
    CU_ASSERT_EQUAL(hunt(text, sizeof text).count, 0);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"forms", test_forms},
        {"escaped slashes", test_escaped_slashes},
        {"two keys", test_two},
        {"encrypted ones", test_encrypted},
        {"what is no private key", test_others},
        CU_TEST_INFO_NULL,
    };

    if (setup() != 0)
        return 1;
    int status = run_tests("keyhunt", tests);
    return teardown() == 0 ? status : 1;
}
