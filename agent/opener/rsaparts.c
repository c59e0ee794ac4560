#include "agent/opener/rsaparts.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "agent/opener/keyder.h"

enum part { N, E, D, P, Q, DP, DQ, QINV, PART_COUNT };

static const struct {
    const char *name;
    const char *text;
} parts[PART_COUNT] = {
    {OSSL_PKEY_PARAM_RSA_N, "modulus"},
    {OSSL_PKEY_PARAM_RSA_E, "public exponent"},
    {OSSL_PKEY_PARAM_RSA_D, "private exponent"},
    {OSSL_PKEY_PARAM_RSA_FACTOR1, "first prime"},
    {OSSL_PKEY_PARAM_RSA_FACTOR2, "second prime"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT1, "first CRT exponent"},
    {OSSL_PKEY_PARAM_RSA_EXPONENT2, "second CRT exponent"},
    {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, "CRT coefficient"},
};

static enum antag_err form(struct antag_fault *fault, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "%s", why);
}

static enum antag_err inconsistent(struct antag_fault *fault, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_KEY_INCONSISTENT, NULL,
                           "the parts of this private key do not belong together: %s", why);
}

static enum antag_err no_memory(struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to check the key");
}

/* ---- reading */

/* The eight numbers as bytes, without sign byte. */
static enum antag_err read_numbers(struct antag_slice der, struct antag_slice number[PART_COUNT],
                                   struct antag_fault *fault)
{
    struct antag_slice body;
    uint32_t version;

    if (!ag_der_take(&der, AG_DER_SEQUENCE, &body))
        return form(fault, "the RSA key inside is malformed or cut off");
    if (der.len > 0)
        return antag_fault_set(fault, ANTAG_ERR_KEY_TRAILING, NULL,
                               "there are %zu bytes after the end of the RSA key inside", der.len);
    if (!ag_der_take_uint(&body, &version) || version > 1)
        return form(fault, "the version of the RSA key is neither 0 nor 1");
    for (size_t i = 0; i < PART_COUNT; i++) {
        struct antag_slice n;

        if (!ag_der_take(&body, AG_DER_INTEGER, &n) || n.len == 0)
            return form(fault, "the RSA key has fewer than eight numbers");
        if ((n.p[0] & 0x80) != 0 || (n.len > 1 && n.p[0] == 0 && (n.p[1] & 0x80) == 0))
            return form(fault, "a number of the RSA key is negative or not in shortest form");
        number[i] = n.p[0] == 0 ? (struct antag_slice){n.p + 1, n.len - 1} : n;
    }
    if (version == 1 || body.len > 0)
        return antag_fault_set(fault, ANTAG_ERR_KEY_MULTIPRIME, NULL, "%s",
                               antag_err_message(ANTAG_ERR_KEY_MULTIPRIME));
    return ANTAG_OK;
}

static size_t bits_of(struct antag_slice n)
{
    size_t bits = n.len * 8;

    for (uint8_t top = n.len > 0 ? n.p[0] : 0x80; (top & 0x80) == 0 && bits > 0; bits--)
        top = (uint8_t)(top << 1);
    return bits;
}

/* Sizes, before any arithmetic. */
static enum antag_err check_sizes(const struct antag_slice number[PART_COUNT],
                                  struct antag_fault *fault)
{
    size_t bits = bits_of(number[N]);
    struct antag_slice e = number[E];

    if (bits != 2048 && bits != 3072 && bits != 4096)
        return antag_fault_set(fault, ANTAG_ERR_KEY_SIZE, NULL,
                               "the RSA modulus has %zu bits; 2048, 3072 and 4096 are taken", bits);
    if (e.len == 0 || e.len > 4 || (e.p[e.len - 1] & 1) == 0 || (e.len == 1 && e.p[0] < 3))
        return antag_fault_set(fault, ANTAG_ERR_KEY_EXPONENT, NULL, "%s",
                               antag_err_message(ANTAG_ERR_KEY_EXPONENT));
    for (size_t i = D; i < PART_COUNT; i++) {
        if (number[i].len == 0)
            return antag_fault_set(fault, ANTAG_ERR_KEY_INCONSISTENT, NULL,
                                   "the %s is missing; all eight numbers must be there",
                                   parts[i].text);
        if (number[i].len > number[N].len)
            return inconsistent(fault, "one is larger than the modulus");
    }
    return ANTAG_OK;
}

/* ---- checking */

/* a * b mod m, compared with `want`. 1: equal, 0: not, -1: out of memory. */
static int is_product(const BIGNUM *a, const BIGNUM *b, const BIGNUM *m, const BIGNUM *want,
                      BIGNUM *t, BN_CTX *ctx)
{
    if (!BN_mod_mul(t, a, b, m, ctx))
        return -1;
    return BN_cmp(t, want) == 0;
}

/* One prime's share: e * d = 1 and dp = d, both modulo p - 1. */
static int fits_prime(const BIGNUM *prime, const BIGNUM *crt, BIGNUM *const bn[PART_COUNT],
                      BIGNUM *p1, BIGNUM *t, BN_CTX *ctx)
{
    int fits;

    if (!BN_sub(p1, prime, BN_value_one()))
        return -1;
    fits = is_product(bn[E], bn[D], p1, BN_value_one(), t, ctx);
    if (fits != 1)
        return fits;
    if (!BN_mod(t, bn[D], p1, ctx))
        return -1;
    return BN_cmp(t, crt) == 0;
}

/* 1: the numbers belong together; 0: *why; -1: out of memory. */
static int check_parts(BIGNUM *const bn[PART_COUNT], BIGNUM *a, BIGNUM *b, BN_CTX *ctx,
                       const char **why)
{
    int fits;

    *why = "a prime is even or 1";
    if (!BN_is_odd(bn[P]) || !BN_is_odd(bn[Q]) || BN_is_one(bn[P]) || BN_is_one(bn[Q]))
        return 0;
    *why = "the primes do not make the modulus";
    if (!BN_mul(a, bn[P], bn[Q], ctx))
        return -1;
    if (BN_cmp(a, bn[N]) != 0 || BN_cmp(bn[P], bn[Q]) == 0)
        return 0;
    *why = "the private exponent is larger than the modulus";
    if (BN_cmp(bn[D], bn[N]) >= 0)
        return 0;
    *why = "the exponents do not fit the first prime";
    if ((fits = fits_prime(bn[P], bn[DP], bn, a, b, ctx)) != 1)
        return fits;
    *why = "the exponents do not fit the second prime";
    if ((fits = fits_prime(bn[Q], bn[DQ], bn, a, b, ctx)) != 1)
        return fits;
    *why = "the CRT coefficient is wrong";
    if (BN_cmp(bn[QINV], bn[P]) >= 0)
        return 0;
    return is_product(bn[Q], bn[QINV], bn[P], BN_value_one(), b, ctx);
}

static enum antag_err check(BIGNUM *const bn[PART_COUNT], struct antag_fault *fault)
{
    BN_CTX *ctx = BN_CTX_secure_new();
    const char *why = "";
    BIGNUM *a, *b;
    int fits = -1;

    if (ctx == NULL)
        return no_memory(fault);
    BN_CTX_start(ctx);
    a = BN_CTX_get(ctx);
    b = BN_CTX_get(ctx);
    if (b != NULL)
        fits = check_parts(bn, a, b, ctx, &why);
    BN_CTX_end(ctx);
    BN_CTX_free(ctx);
    if (fits < 0)
        return no_memory(fault);
    return fits == 1 ? ANTAG_OK : inconsistent(fault, why);
}

/* ---- the key */

static EVP_PKEY *make_key(BIGNUM *const bn[PART_COUNT])
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (build == NULL || ctx == NULL)
        goto out;
    for (size_t i = 0; i < PART_COUNT; i++)
        if (!OSSL_PARAM_BLD_push_BN(build, parts[i].name, bn[i]))
            goto out;
    params = OSSL_PARAM_BLD_to_param(build);
    if (params == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params) != 1)
        key = NULL;
out:
    OSSL_PARAM_free(params); /* wipes what came as secure numbers */
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* What OpenSSL knows to check, above all that the primes are prime. */
static enum antag_err check_key(EVP_PKEY *key, struct antag_fault *fault)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    enum antag_err err = ANTAG_OK;

    if (ctx == NULL)
        err = no_memory(fault);
    else if (EVP_PKEY_check(ctx) != 1)
        err = inconsistent(fault, "OpenSSL's check fails");
    EVP_PKEY_CTX_free(ctx);
    return err;
}

enum antag_err ag_rsaparts_read(struct antag_slice der, EVP_PKEY **out, struct antag_fault *fault)
{
    struct antag_slice number[PART_COUNT] = {{NULL, 0}};
    BIGNUM *bn[PART_COUNT] = {NULL};
    EVP_PKEY *key = NULL;
    enum antag_err err;

    if ((err = read_numbers(der, number, fault)) != ANTAG_OK ||
        (err = check_sizes(number, fault)) != ANTAG_OK)
        goto out;
    for (size_t i = 0; i < PART_COUNT; i++) {
        bn[i] = i < D ? BN_new() : BN_secure_new();
        if (bn[i] == NULL || BN_bin2bn(number[i].p, (int)number[i].len, bn[i]) == NULL) {
            err = no_memory(fault);
            goto out;
        }
    }
    if ((err = check(bn, fault)) != ANTAG_OK)
        goto out;
    key = make_key(bn);
    if (key == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "OpenSSL does not take the key");
        goto out;
    }
    if ((err = check_key(key, fault)) != ANTAG_OK)
        goto out;
    *out = key;
    key = NULL; /* transferred */
out:
    for (size_t i = 0; i < PART_COUNT; i++)
        BN_clear_free(bn[i]);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return err;
}
