#include "agent/lib/keyform.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <string.h>

#include "agent/lib/log.h"

/* Packed components: the format, then each number of the list as two bytes of length and big-endian bytes
 * without leading zeros. Lives in an ag_secret only, at rest under ag_seal. */
#define PACK_FORMAT 1u
#define NUMBER_MAX  (ANTAG_SIG_MAX) /* bytes of the largest one, the modulus */

static const struct number {
    const char *name;
    bool secret;
} numbers[] = {
    {OSSL_PKEY_PARAM_RSA_N, false},        {OSSL_PKEY_PARAM_RSA_E, false},
    {OSSL_PKEY_PARAM_RSA_D, true},         {OSSL_PKEY_PARAM_RSA_FACTOR1, true},
    {OSSL_PKEY_PARAM_RSA_FACTOR2, true},   {OSSL_PKEY_PARAM_RSA_EXPONENT1, true},
    {OSSL_PKEY_PARAM_RSA_EXPONENT2, true}, {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, true},
};
#define NUMBER_COUNT (sizeof numbers / sizeof numbers[0])
_Static_assert(1 + NUMBER_COUNT * 2 + 3 * NUMBER_MAX + 5 * NUMBER_MAX / 2 <= AG_COMPONENTS_MAX,
               "n, d and e of full size, five of half of it");

/* Tell OpenSSL's own reason once, here, and leave its queue empty for the next caller. */
static enum antag_err failed(const char *where)
{
    unsigned long code = ERR_peek_error();
    const char *reason = ERR_reason_error_string(code);

    ag_log(AG_LOG_ERROR, "crypto.failed", AG_F_TEXT("where", where), AG_F_UINT("code", code),
           AG_F_TEXT("reason", reason != NULL ? reason : "-"));
    ERR_clear_error();
    return ANTAG_ERR_INTERNAL;
}

/* ---- associated data: sealed bytes open only in the row they were made for */

#define AD_LABEL "merchant-key"
struct ad {
    uint8_t bytes[sizeof AD_LABEL + 8 + 8 + 4 + 4];
};

static uint8_t *put_be(uint8_t *p, uint64_t v, int len)
{
    for (int i = len - 1; i >= 0; i--)
        *p++ = (uint8_t)(v >> (8 * i));
    return p;
}

static struct antag_slice ad_of(const struct ag_key_identity *id, struct ad *ad)
{
    uint8_t *p = ad->bytes;

    memcpy(p, AD_LABEL, sizeof AD_LABEL);
    p = put_be(p + sizeof AD_LABEL, id->handle, 8);
    p = put_be(p, id->profile_id, 8);
    p = put_be(p, id->env, 4);
    (void)put_be(p, id->version, 4);
    return (struct antag_slice){ad->bytes, sizeof ad->bytes};
}

/* ---- seal */

/* One parameter of the key into `scratch` (native byte order); *len 0 when the key has none. */
static enum antag_err read_param(const EVP_PKEY *key, const char *name, struct ag_secret *scratch,
                                 size_t *len)
{
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_end(), OSSL_PARAM_construct_end()};

    /* not EVP_PKEY_get_bn_param: it reads through a stack buffer that it does not wipe */
    params[0] = OSSL_PARAM_construct_BN(name, ag_secret_bytes(scratch), ag_secret_cap(scratch));
    if (!EVP_PKEY_get_params(key, params))
        return failed(name);
    *len = OSSL_PARAM_modified(&params[0]) ? params[0].return_size : 0;
    return ANTAG_OK;
}

enum antag_err ag_keyform_prime(const EVP_PKEY *key, struct ag_secret **out)
{
    struct ag_secret *s = ag_secret_new(1024);
    size_t len = 0;
    enum antag_err err;
    BIGNUM *bn = NULL;

    if (s == NULL)
        return ANTAG_ERR_NO_MEMORY;
    if ((err = read_param(key, OSSL_PKEY_PARAM_RSA_FACTOR1, s, &len)) == ANTAG_OK) {
        bn = BN_secure_new();
        if (bn == NULL || BN_native2bn(ag_secret_bytes(s), (int)len, bn) == NULL)
            err = ANTAG_ERR_NO_MEMORY;
        else if (BN_is_zero(bn))
            err = ANTAG_ERR_INTERNAL;
        else
            ag_secret_set_len(s, (size_t)BN_bn2bin(bn, ag_secret_bytes(s)));
    }
    BN_clear_free(bn);
    if (err == ANTAG_OK)
        *out = s;
    else
        ag_secret_free(s);
    return err;
}

/* Append one number of the key to `packed`. */
static enum antag_err pack_number(const EVP_PKEY *key, const struct number *number,
                                  struct ag_secret *scratch, struct ag_secret *packed)
{
    size_t at = ag_secret_len(packed), len = 0, size;
    enum antag_err err;
    BIGNUM *bn = NULL;

    if ((err = read_param(key, number->name, scratch, &len)) != ANTAG_OK)
        goto out;
    err = ANTAG_ERR_NO_MEMORY;
    bn = BN_secure_new();
    if (bn == NULL || BN_native2bn(ag_secret_bytes(scratch), (int)len, bn) == NULL)
        goto out;
    size = (size_t)BN_num_bytes(bn);
    if (size == 0) {
        err = ANTAG_ERR_KEY_INCONSISTENT; /* a key without this part */
        goto out;
    }
    if (size + 2 > ag_secret_cap(packed) - at) {
        err = ANTAG_ERR_INTERNAL;
        goto out;
    }
    (void)put_be(ag_secret_bytes(packed) + at, size, 2);
    (void)BN_bn2bin(bn, ag_secret_bytes(packed) + at + 2);
    ag_secret_set_len(packed, at + 2 + size);
    err = ANTAG_OK;
out:
    BN_clear_free(bn);
    return err;
}

enum antag_err ag_keyform_seal(const EVP_PKEY *key, const struct ag_secret *ring_key,
                               const struct ag_key_identity *id, uint8_t out[AG_SEALED_KEY_MAX],
                               size_t *out_len)
{
    struct ag_secret *packed = NULL, *scratch = NULL;
    enum antag_err err = ANTAG_ERR_NO_MEMORY;
    size_t third = 0;
    struct ad ad;

    packed = ag_secret_new(AG_COMPONENTS_MAX);
    scratch = ag_secret_new(NUMBER_MAX);
    if (packed == NULL || scratch == NULL)
        goto out;
    if ((err = read_param(key, OSSL_PKEY_PARAM_RSA_FACTOR3, scratch, &third)) != ANTAG_OK)
        goto out;
    if (third > 0) {
        err = ANTAG_ERR_KEY_MULTIPRIME;
        goto out;
    }
    ag_secret_bytes(packed)[0] = PACK_FORMAT;
    ag_secret_set_len(packed, 1);
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        if ((err = pack_number(key, &numbers[i], scratch, packed)) != ANTAG_OK)
            goto out;
    err = ag_seal(ring_key, ad_of(id, &ad), packed, out, AG_SEALED_KEY_MAX, out_len);
out:
    ag_secret_free(scratch);
    ag_secret_free(packed);
    ERR_clear_error();
    return err;
}

/* ---- unseal */

/* The numbers of `packed`, each once, in order, nothing behind them. */
static enum antag_err unpack(const struct ag_secret *packed, BIGNUM *bn[NUMBER_COUNT])
{
    struct antag_slice in = ag_secret_slice(packed);
    size_t at = 1;

    if (in.len < 1 || in.p[0] != PACK_FORMAT)
        return ANTAG_ERR_REGISTRY;
    for (size_t i = 0; i < NUMBER_COUNT; i++) {
        size_t len;

        if (in.len - at < 2)
            return ANTAG_ERR_REGISTRY;
        len = (size_t)in.p[at] << 8 | in.p[at + 1];
        at += 2;
        if (len == 0 || len > NUMBER_MAX || len > in.len - at || in.p[at] == 0)
            return ANTAG_ERR_REGISTRY;
        bn[i] = numbers[i].secret ? BN_secure_new() : BN_new();
        if (bn[i] == NULL || BN_bin2bn(in.p + at, (int)len, bn[i]) == NULL)
            return ANTAG_ERR_NO_MEMORY;
        at += len;
    }
    return at == in.len ? ANTAG_OK : ANTAG_ERR_REGISTRY;
}

/* OpenSSL 3.0 keeps what fromdata is given in its ordinary heap, wiped when the key is freed. Its decoder
 * would use the secure heap, but leaves the whole encoded key unwiped in freed memory, and either way
 * the first signature copies the primes into the ordinary heap. So: not dumpable, no core, no swap. */
static enum antag_err make_key(BIGNUM *bn[NUMBER_COUNT], EVP_PKEY **out)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;
    OSSL_PARAM *params = NULL;

    if (build == NULL || ctx == NULL)
        goto out;
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        if (!OSSL_PARAM_BLD_push_BN(build, numbers[i].name, bn[i]))
            goto out;
    params =
        OSSL_PARAM_BLD_to_param(build); /* what came as secure numbers stays in the secure heap */
    if (params == NULL)
        goto out;
    err = EVP_PKEY_fromdata_init(ctx) == 1 &&
                  EVP_PKEY_fromdata(ctx, out, EVP_PKEY_KEYPAIR, params) == 1
              ? ANTAG_OK
              : failed("fromdata");
out:
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return err;
}

enum antag_err ag_keyform_unseal(struct antag_slice sealed, const struct ag_secret *ring_key,
                                 const struct ag_key_identity *id, EVP_PKEY **out)
{
    BIGNUM *bn[NUMBER_COUNT] = {NULL};
    struct ag_secret *packed = NULL;
    EVP_PKEY *made = NULL;
    enum antag_err err;
    struct ad ad;

    if (sealed.len > AG_SEALED_KEY_MAX)
        return ANTAG_ERR_REGISTRY;
    if ((err = ag_unseal(ring_key, ad_of(id, &ad), sealed, &packed)) != ANTAG_OK)
        goto out;
    if ((err = unpack(packed, bn)) != ANTAG_OK)
        goto out;
    if ((err = make_key(bn, &made)) != ANTAG_OK)
        goto out;
    *out = made;
    made = NULL; /* transferred */
out:
    for (size_t i = 0; i < NUMBER_COUNT; i++)
        BN_clear_free(bn[i]);
    EVP_PKEY_free(made);
    ag_secret_free(packed);
    ERR_clear_error();
    return err;
}

/* ---- the public half */

enum antag_err ag_keyform_spki(const EVP_PKEY *key, uint8_t out[ANTAG_SPKI_MAX], size_t *out_len)
{
    uint8_t *p = out;
    int len = i2d_PUBKEY(key, NULL);

    if (len <= 0)
        return failed("spki");
    if (len > ANTAG_SPKI_MAX)
        return ANTAG_ERR_INTERNAL;
    if (i2d_PUBKEY(key, &p) != len)
        return failed("spki");
    *out_len = (size_t)len;
    return ANTAG_OK;
}

/* RSA, of a size and exponent that are taken. */
static enum antag_err check_public(const EVP_PKEY *key, struct antag_fault *fault)
{
    BIGNUM *n = NULL, *e = NULL;
    enum antag_err err = ANTAG_OK;
    int bits;

    if (!EVP_PKEY_is_a(key, "RSA"))
        return antag_fault_set(fault, ANTAG_ERR_KEY_TYPE, NULL, "this is a key of type %s, not RSA",
                               EVP_PKEY_get0_type_name(key));
    bits = EVP_PKEY_get_bits(key);
    if (bits != 2048 && bits != 3072 && bits != 4096)
        return antag_fault_set(fault, ANTAG_ERR_KEY_SIZE, NULL,
                               "the RSA modulus has %d bits; 2048, 3072 and 4096 are taken", bits);
    if (!EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) ||
        !EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e))
        err = antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "a part of the key is missing");
    else if (!BN_is_odd(e) || BN_is_one(e) || BN_num_bits(e) > 32)
        err = antag_fault_set(fault, ANTAG_ERR_KEY_EXPONENT, NULL, "%s", "");
    else if (!BN_is_odd(n))
        err = antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                              "the modulus is even, which no RSA modulus is");
    BN_free(n);
    BN_free(e);
    return err;
}

enum antag_err ag_keyform_public(struct antag_slice spki, EVP_PKEY **out, struct antag_fault *fault)
{
    const uint8_t *p = spki.p;
    EVP_PKEY *key = NULL;
    enum antag_err err;

    if (spki.len == 0 || spki.len > ANTAG_IMPORT_MAX) {
        err = antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                              "a public key has 1 to %d bytes, this one %zu", ANTAG_IMPORT_MAX,
                              spki.len);
        goto out;
    }
    key = d2i_PUBKEY(NULL, &p, (long)spki.len);
    if (key == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                              "these %zu bytes are not a public key (X.509 SubjectPublicKeyInfo)",
                              spki.len);
        goto out;
    }
    if (p != spki.p + spki.len) {
        err = antag_fault_set(fault, ANTAG_ERR_KEY_TRAILING, NULL,
                              "there are %zu bytes after the end of the key",
                              spki.len - (size_t)(p - spki.p));
        goto out;
    }
    if ((err = check_public(key, fault)) != ANTAG_OK)
        goto out;
    *out = key;
    key = NULL; /* transferred */
out:
    EVP_PKEY_free(key);
    ERR_clear_error();
    return err;
}

void ag_keyform_fingerprint(struct antag_slice spki, char out[65])
{
    static const char digits[] = "0123456789abcdef";
    uint8_t digest[SHA256_DIGEST_LENGTH];

    (void)SHA256(spki.p, spki.len, digest);
    for (size_t i = 0; i < sizeof digest; i++) {
        out[2 * i] = digits[digest[i] >> 4];
        out[2 * i + 1] = digits[digest[i] & 15];
    }
    out[64] = '\0';
}

/* ---- self-test */

/* In lower case: an Antom string starts with a method in upper case. */
static const uint8_t test_text[] = "antom-agent self-test of a merchant key";

enum antag_err ag_keyform_self_test(EVP_PKEY *key, struct antag_slice spki)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    uint8_t sig[ANTAG_SIG_MAX];
    size_t len = sizeof sig;
    enum antag_err err = ANTAG_ERR_KEY_INCONSISTENT;
    EVP_PKEY *public = NULL;

    if (ctx == NULL) {
        err = ANTAG_ERR_INTERNAL;
        goto out;
    }
    /* with the public half as it is stored and shown, not with the one inside the pair */
    if (ag_keyform_public(spki, &public, NULL) != ANTAG_OK)
        goto out;
    if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
        EVP_DigestSign(ctx, sig, &len, test_text, sizeof test_text - 1) != 1)
        goto out;
    (void)EVP_MD_CTX_reset(ctx);
    if (EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, public) != 1 ||
        EVP_DigestVerify(ctx, sig, len, test_text, sizeof test_text - 1) != 1)
        goto out;
    err = ANTAG_OK;
out:
    if (err != ANTAG_OK)
        (void)failed("self-test");
    EVP_PKEY_free(public);
    EVP_MD_CTX_free(ctx);
    return err;
}

void ag_keyform_self_test_digest(uint8_t digest[32])
{
    (void)EVP_Digest(test_text, sizeof test_text - 1, digest, NULL, EVP_sha256(), NULL);
}

bool ag_keyform_verifies(EVP_PKEY *pub, const uint8_t digest[32], struct antag_slice sig)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pub, NULL);
    bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1 &&
                EVP_PKEY_CTX_set_signature_md(ctx, EVP_sha256()) == 1 &&
                EVP_PKEY_verify(ctx, sig.p, sig.len, digest, 32) == 1;

    EVP_PKEY_CTX_free(ctx);
    return good;
}

EVP_PKEY *ag_keyform_from_numbers(struct antag_slice n, struct antag_slice e)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *bn_n = BN_bin2bn(n.p, (int)n.len, NULL), *bn_e = BN_bin2bn(e.p, (int)e.len, NULL);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *out = NULL;

    if (bld != NULL && bn_n != NULL && bn_e != NULL && ctx != NULL &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(bld)) != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_PUBLIC_KEY, params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(bn_n);
    BN_free(bn_e);
    EVP_PKEY_CTX_free(ctx);
    return out;
}
