/* RSA keys outside of OpenSSL: sealed components, public halves, the self-test. */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "agent/lib/keyform.h"
#include "agent/lib/log.h"
#include "tests/support/rows.h"

static struct ag_secret *ring_key, *other_ring_key;
static EVP_PKEY *pair; /* 2048 bits */
static const struct ag_key_identity identity = {
    .handle = 0x0102030405060708, .profile_id = 9, .env = 1, .version = 3};

static EVP_PKEY *generate_of(const char *type, int bits, int primes)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    CU_ASSERT_FATAL(EVP_PKEY_keygen_init(ctx) == 1);
    CU_ASSERT_FATAL(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits) == 1);
    CU_ASSERT_FATAL(EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, primes) == 1);
    CU_ASSERT_FATAL(EVP_PKEY_generate(ctx, &key) == 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *generate(int bits, int primes)
{
    return generate_of("RSA", bits, primes);
}

/* A key of n, e and (when not NULL) d alone. */
static EVP_PKEY *assemble(const BIGNUM *n, const BIGNUM *e, const BIGNUM *d)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params;
    EVP_PKEY *key = NULL;

    CU_ASSERT_FATAL(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n));
    CU_ASSERT_FATAL(OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e));
    CU_ASSERT_FATAL(d == NULL || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_D, d));
    params = OSSL_PARAM_BLD_to_param(build);
    CU_ASSERT_FATAL(EVP_PKEY_fromdata_init(ctx) == 1);
    CU_ASSERT_FATAL(EVP_PKEY_fromdata(ctx, &key, d != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                                      params) == 1);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static BIGNUM *part(const EVP_PKEY *key, const char *name)
{
    BIGNUM *bn = NULL;

    CU_ASSERT_FATAL(EVP_PKEY_get_bn_param(key, name, &bn) == 1);
    return bn;
}

/* ---- sealed components */

static void test_round(void)
{
    static const char *const parts[] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};
    uint8_t sealed[AG_SEALED_KEY_MAX], spki[ANTAG_SPKI_MAX], again[ANTAG_SPKI_MAX];
    size_t len = 0, spki_len = 0, again_len = 0;
    EVP_PKEY *opened = NULL;

    CU_ASSERT_EQUAL_FATAL(ag_keyform_seal(pair, ring_key, &identity, sealed, &len), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(
        ag_keyform_unseal((struct antag_slice){sealed, len}, ring_key, &identity, &opened),
        ANTAG_OK);
    for (size_t i = 0; i < ROW_COUNT(parts); i++) {
        BIGNUM *a = part(pair, parts[i]), *b = part(opened, parts[i]);

        ROW_ASSERT(parts[i], BN_cmp(a, b) == 0);
        BN_clear_free(a);
        BN_clear_free(b);
    }
    CU_ASSERT_EQUAL(ag_keyform_spki(pair, spki, &spki_len), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_keyform_spki(opened, again, &again_len), ANTAG_OK);
    CU_ASSERT_EQUAL(spki_len, again_len);
    CU_ASSERT(memcmp(spki, again, spki_len) == 0);
    CU_ASSERT_EQUAL(ag_keyform_self_test(opened, (struct antag_slice){spki, spki_len}), ANTAG_OK);
    EVP_PKEY_free(opened);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

/* The largest key that is taken: its numbers need not be a real key's to be packed. */
static void test_largest(void)
{
    uint8_t sealed[AG_SEALED_KEY_MAX];
    EVP_PKEY *key = generate(4096, 2), *opened = NULL;
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(ag_keyform_seal(key, ring_key, &identity, sealed, &len), ANTAG_OK);
    CU_ASSERT(len <= AG_SEALED_KEY_MAX);
    CU_ASSERT_EQUAL(
        ag_keyform_unseal((struct antag_slice){sealed, len}, ring_key, &identity, &opened),
        ANTAG_OK);
    EVP_PKEY_free(opened);
    EVP_PKEY_free(key);
}

static const struct {
    const char *name;
    struct ag_key_identity id;
    bool other_ring;
} elsewhere_rows[] = {
    {"another handle", {0x0102030405060709, 9, 1, 3}, false},
    {"handle of another half", {0x0202030405060708, 9, 1, 3}, false},
    {"another profile", {0x0102030405060708, 10, 1, 3}, false},
    {"another environment", {0x0102030405060708, 9, 0, 3}, false},
    {"another version", {0x0102030405060708, 9, 1, 4}, false},
    {"numbers changed round", {9, 0x0102030405060708, 1, 3}, false},
    {"another keyring", {0x0102030405060708, 9, 1, 3}, true},
};

static void test_elsewhere(void)
{
    uint8_t sealed[AG_SEALED_KEY_MAX + 1];
    EVP_PKEY *opened = NULL;
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(ag_keyform_seal(pair, ring_key, &identity, sealed, &len), ANTAG_OK);
    for (size_t i = 0; i < ROW_COUNT(elsewhere_rows); i++)
        ROW_ASSERT(elsewhere_rows[i].name,
                   ag_keyform_unseal((struct antag_slice){sealed, len},
                                     elsewhere_rows[i].other_ring ? other_ring_key : ring_key,
                                     &elsewhere_rows[i].id, &opened) == ANTAG_ERR_REGISTRY);
    for (size_t n = 0; n < len; n += n < 64 ? 1 : 41)
        CU_ASSERT_EQUAL(
            ag_keyform_unseal((struct antag_slice){sealed, n}, ring_key, &identity, &opened),
            ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(ag_keyform_unseal((struct antag_slice){sealed, sizeof sealed}, ring_key,
                                      &identity, &opened),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NULL(opened);
}

static void test_not_sealed(void)
{
    uint8_t sealed[AG_SEALED_KEY_MAX];
    BIGNUM *n = part(pair, OSSL_PKEY_PARAM_RSA_N), *e = part(pair, OSSL_PKEY_PARAM_RSA_E);
    BIGNUM *d = part(pair, OSSL_PKEY_PARAM_RSA_D);
    EVP_PKEY *three = generate(2048, 3), *short_one = assemble(n, e, d),
             *public = assemble(n, e, NULL);
    size_t len = 99;

    CU_ASSERT_EQUAL(ag_keyform_seal(three, ring_key, &identity, sealed, &len),
                    ANTAG_ERR_KEY_MULTIPRIME);
    CU_ASSERT_EQUAL(ag_keyform_seal(short_one, ring_key, &identity, sealed, &len),
                    ANTAG_ERR_KEY_INCONSISTENT);
    CU_ASSERT_EQUAL(ag_keyform_seal(public, ring_key, &identity, sealed, &len),
                    ANTAG_ERR_KEY_INCONSISTENT);
    CU_ASSERT_EQUAL(len, 99);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    EVP_PKEY_free(three);
    EVP_PKEY_free(short_one);
    EVP_PKEY_free(public);
    BN_clear_free(d);
    BN_free(e);
    BN_free(n);
}

/* ---- the form at rest, byte for byte: what a release wrote, the next one must open */

static const uint8_t expected_ad[] = "merchant-key\0"
                                     "\x01\x02\x03\x04\x05\x06\x07\x08"
                                     "\0\0\0\0\0\0\0\x09"
                                     "\0\0\0\x01"
                                     "\0\0\0\x03";

#define ONE   "\0\x01\x07"
#define SEVEN ONE ONE ONE ONE ONE ONE ONE
static const struct {
    const char *name;
    struct antag_slice packed;
} packed_rows[] = {
#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
    {"empty", S("")},
    {"format alone", S("\x01")},
    {"another format", S("\x02" SEVEN ONE)},
    {"no format", S("\0" SEVEN ONE)},
    {"seven numbers", S("\x01" SEVEN)},
    {"cut in a length", S("\x01" SEVEN "\0")},
    {"cut in a number", S("\x01" SEVEN "\0\x02\x07")},
    {"length past the end", S("\x01" SEVEN "\xff\xff\x07")},
    {"number of no bytes", S("\x01" SEVEN "\0\0")},
    {"number of no bytes first", S("\x01\0\0" SEVEN)},
    {"leading zero", S("\x01" SEVEN "\0\x02\0\x07")},
    {"a byte behind", S("\x01" SEVEN ONE "\0")},
    {"nine numbers", S("\x01" SEVEN ONE ONE)},
#undef S
};

static size_t seal_packed(struct antag_slice packed, uint8_t *sealed, size_t size)
{
    struct ag_secret *plain = ag_secret_new(packed.len);
    size_t len = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(plain);
    memcpy(ag_secret_bytes(plain), packed.p, packed.len);
    ag_secret_set_len(plain, packed.len);
    CU_ASSERT_EQUAL_FATAL(ag_seal(ring_key,
                                  (struct antag_slice){expected_ad, sizeof expected_ad - 1}, plain,
                                  sealed, size, &len),
                          ANTAG_OK);
    ag_secret_free(plain);
    return len;
}

static void test_packed(void)
{
    static uint8_t big[1 + 8 * (2 + 513)];
    uint8_t sealed[sizeof big + AG_SEAL_OVERHEAD];
    struct ag_secret *opened = NULL;
    EVP_PKEY *key = NULL;
    size_t len = 0;

    for (size_t i = 0; i < ROW_COUNT(packed_rows); i++) {
        len = seal_packed(packed_rows[i].packed, sealed, sizeof sealed);
        ROW_ASSERT(packed_rows[i].name,
                   ag_keyform_unseal((struct antag_slice){sealed, len}, ring_key, &identity,
                                     &key) == ANTAG_ERR_REGISTRY);
    }
    memset(big, 7, sizeof big);
    big[0] = 1, big[1] = 513 >> 8, big[2] = 513 & 255; /* one byte over 4096 bits */
    len = seal_packed((struct antag_slice){big, AG_COMPONENTS_MAX}, sealed, sizeof sealed);
    CU_ASSERT_EQUAL(ag_keyform_unseal((struct antag_slice){sealed, len}, ring_key, &identity, &key),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NULL(key);

    CU_ASSERT_EQUAL_FATAL(ag_keyform_seal(pair, ring_key, &identity, sealed, &len), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(ag_unseal(ring_key,
                                    (struct antag_slice){expected_ad, sizeof expected_ad - 1},
                                    (struct antag_slice){sealed, len}, &opened),
                          ANTAG_OK);
    /* format 1, then a modulus of 256 bytes, then the exponent 65537 */
    CU_ASSERT(ag_secret_equal(ag_secret_bytes(opened), "\x01\x01\x00", 3));
    CU_ASSERT(ag_secret_equal(ag_secret_bytes(opened) + 259, "\x00\x03\x01\x00\x01", 5));
    ag_secret_free(opened);
}

/* ---- public halves */

/* exponents as hexadecimal text; moduli are 2^(bits-1) + 1, odd and of just that size */
static const struct {
    const char *name;
    int bits;
    const char *e;
    bool even;
    enum antag_err err;
} public_rows[] = {
    {"2048", 2048, "10001", false, ANTAG_OK},
    {"3072", 3072, "10001", false, ANTAG_OK},
    {"4096", 4096, "10001", false, ANTAG_OK},
    {"smallest exponent", 2048, "3", false, ANTAG_OK},
    {"largest exponent", 2048, "FFFFFFFF", false, ANTAG_OK},
    {"512", 512, "10001", false, ANTAG_ERR_KEY_SIZE},
    {"1024", 1024, "10001", false, ANTAG_ERR_KEY_SIZE},
    {"2047", 2047, "10001", false, ANTAG_ERR_KEY_SIZE},
    {"2049", 2049, "10001", false, ANTAG_ERR_KEY_SIZE},
    {"4097", 4097, "10001", false, ANTAG_ERR_KEY_SIZE},
    {"8192", 8192, "10001", false, ANTAG_ERR_KEY_SIZE},
    {"exponent 1", 2048, "1", false, ANTAG_ERR_KEY_EXPONENT},
    {"exponent 2", 2048, "2", false, ANTAG_ERR_KEY_EXPONENT},
    {"even exponent", 2048, "10000", false, ANTAG_ERR_KEY_EXPONENT},
    {"exponent of 33 bits", 2048, "100000001", false, ANTAG_ERR_KEY_EXPONENT},
    {"even modulus", 2048, "10001", true, ANTAG_ERR_KEY_FORM},
};

static void test_public(void)
{
    for (size_t i = 0; i < ROW_COUNT(public_rows); i++) {
        struct antag_fault fault = {0};
        EVP_PKEY *made, *read = NULL;
        BIGNUM *n = BN_new(), *e = NULL;
        uint8_t *der = NULL;
        enum antag_err err;
        int len;

        BN_set_bit(n, public_rows[i].bits - 1);
        if (!public_rows[i].even)
            BN_set_bit(n, 0);
        BN_hex2bn(&e, public_rows[i].e);
        made = assemble(n, e, NULL);
        len = i2d_PUBKEY(made, &der);
        ROW_ASSERT(public_rows[i].name, len > 0);
        err = ag_keyform_public((struct antag_slice){der, (size_t)len}, &read, &fault);
        ROW_ASSERT(public_rows[i].name, err == public_rows[i].err);
        ROW_ASSERT(public_rows[i].name, (read != NULL) == (err == ANTAG_OK));
        ROW_ASSERT(public_rows[i].name, err != ANTAG_OK || EVP_PKEY_eq(read, made) == 1);
        OPENSSL_free(der);
        EVP_PKEY_free(read);
        EVP_PKEY_free(made);
        BN_free(n);
        BN_free(e);
    }
}

static void refuse_type(const char *name, EVP_PKEY *key)
{
    struct antag_fault fault = {0};
    EVP_PKEY *read = NULL;
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key, &der);

    ROW_ASSERT(name, len > 0);
    ROW_ASSERT(name, ag_keyform_public((struct antag_slice){der, (size_t)len}, &read, &fault) ==
                         ANTAG_ERR_KEY_TYPE);
    ROW_ASSERT(name, strstr(fault.text, name) != NULL);
    OPENSSL_free(der);
    EVP_PKEY_free(key);
}

static void test_public_refused(void)
{
    uint8_t spki[ANTAG_SPKI_MAX + 1] = {0}, *private = NULL;
    EVP_PKEY *read = NULL;
    size_t len = 0;
    int private_len;

    CU_ASSERT_EQUAL_FATAL(ag_keyform_spki(pair, spki, &len), ANTAG_OK);
    for (size_t n = 0; n < len; n++)
        CU_ASSERT_EQUAL(ag_keyform_public((struct antag_slice){spki, n}, &read, NULL),
                        ANTAG_ERR_KEY_FORM);
    CU_ASSERT_EQUAL(ag_keyform_public((struct antag_slice){spki, len + 1}, &read, NULL),
                    ANTAG_ERR_KEY_TRAILING);
    private_len = i2d_PrivateKey(pair, &private);
    CU_ASSERT_FATAL(private_len > 0);
    CU_ASSERT_EQUAL(
        ag_keyform_public((struct antag_slice){private, (size_t)private_len}, &read, NULL),
        ANTAG_ERR_KEY_FORM);
    OPENSSL_clear_free(private, (size_t)private_len);
    refuse_type("EC", EVP_EC_gen("P-256"));
    refuse_type("ED25519", EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"));
    refuse_type("RSA-PSS", generate_of("RSA-PSS", 2048, 2));
    CU_ASSERT_PTR_NULL(read);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

static void test_fingerprint(void)
{
    char text[65];

    /* FIPS 180-2, appendix B.1 */
    ag_keyform_fingerprint(antag_slice_of("abc"), text);
    CU_ASSERT_STRING_EQUAL(text,
                           "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* ---- self-test */

static void test_self_test(void)
{
    EVP_PKEY *other = generate(2048, 2), *wrong;
    BIGNUM *n = part(pair, OSSL_PKEY_PARAM_RSA_N), *e = part(pair, OSSL_PKEY_PARAM_RSA_E);
    BIGNUM *d = part(pair, OSSL_PKEY_PARAM_RSA_D);
    uint8_t spki[ANTAG_SPKI_MAX];
    struct antag_slice public = {spki, 0};

    CU_ASSERT_EQUAL_FATAL(ag_keyform_spki(pair, spki, &public.len), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_keyform_self_test(pair, public), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_keyform_self_test(other, public), ANTAG_ERR_KEY_INCONSISTENT);
    BN_add_word(d, 2);
    wrong = assemble(n, e, d);
    CU_ASSERT_EQUAL(ag_keyform_self_test(wrong, public), ANTAG_ERR_KEY_INCONSISTENT);
    EVP_PKEY_free(wrong);
    wrong = assemble(n, e, NULL);
    CU_ASSERT_EQUAL(ag_keyform_self_test(wrong, public), ANTAG_ERR_KEY_INCONSISTENT);
    CU_ASSERT_EQUAL(ag_keyform_self_test(pair, (struct antag_slice){spki, public.len - 1}),
                    ANTAG_ERR_KEY_INCONSISTENT);
    CU_ASSERT_EQUAL(ERR_peek_error(), 0);
    EVP_PKEY_free(wrong);
    EVP_PKEY_free(other);
    BN_clear_free(d);
    BN_free(e);
    BN_free(n);
}

static struct ag_secret *make_key(uint8_t byte)
{
    struct ag_secret *key = ag_secret_new(AG_KEY_LEN);

    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    memset(ag_secret_bytes(key), byte, AG_KEY_LEN);
    ag_secret_set_len(key, AG_KEY_LEN);
    return key;
}

static void set_up(void)
{
    CU_ASSERT_EQUAL_FATAL(ag_secret_setup(NULL), ANTAG_OK);
    ag_log_setup("test", AG_LOG_ERROR);
    ring_key = make_key(1);
    other_ring_key = make_key(2);
    pair = generate(2048, 2);
}

static void tear_down(void)
{
    EVP_PKEY_free(pair);
    ag_secret_free(ring_key);
    ag_secret_free(other_ring_key);
    CU_ASSERT_PTR_NOT_NULL(ring_key);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"set-up", set_up},
        {"seal and unseal", test_round},
        {"the largest key", test_largest},
        {"sealed for elsewhere", test_elsewhere},
        {"keys not sealed", test_not_sealed},
        {"the form at rest", test_packed},
        {"public keys", test_public},
        {"public keys refused", test_public_refused},
        {"fingerprint", test_fingerprint},
        {"self-test", test_self_test},
        {"tear-down", tear_down},
        CU_TEST_INFO_NULL,
    };

    return run_tests("keyform", tests);
}
