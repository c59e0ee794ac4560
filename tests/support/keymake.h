/* keymake: RSA keys made at run time, in every form in which people give them, whole or with parts that do
 * not belong together. OpenSSL writes the good ones; what no tool would write is put together here. */
#ifndef TESTS_SUPPORT_KEYMAKE_H
#define TESTS_SUPPORT_KEYMAKE_H

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "antag/types.h"

#define KM_MAX (64 * 1024 + 16)
/* bytes of any content; large enough for everything here, so nothing checks for room but km_add */
struct km {
    size_t len;
    uint8_t p[KM_MAX];
};

static inline struct antag_slice km_slice(const struct km *k)
{
    return (struct antag_slice){k->p, k->len};
}

static inline void km_add(struct km *k, const void *p, size_t len)
{
    if (len > KM_MAX - k->len)
        abort();
    if (len > 0)
        memcpy(k->p + k->len, p, len);
    k->len += len;
}

static inline void km_text(struct km *k, const char *text)
{
    km_add(k, text, strlen(text));
}

static inline void km_byte(struct km *k, unsigned b)
{
    uint8_t byte = (uint8_t)b;

    km_add(k, &byte, 1);
}

/* ---- keys */

static inline EVP_PKEY *km_rsa(unsigned bits, unsigned long e, size_t primes)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    EVP_PKEY *key = NULL;
    BIGNUM *bn = BN_new();

    if (ctx == NULL || bn == NULL || !BN_set_word(bn, e) || EVP_PKEY_keygen_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) <= 0 ||
        EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, (int)primes) <= 0 ||
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, bn) <= 0 || EVP_PKEY_generate(ctx, &key) <= 0)
        abort();
    BN_free(bn);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* n e d p q dp dq qinv */
enum { KM_N, KM_E, KM_D, KM_P, KM_Q, KM_DP, KM_DQ, KM_QINV, KM_PARTS };

static inline void km_parts(const EVP_PKEY *key, BIGNUM *bn[KM_PARTS])
{
    static const char *const names[KM_PARTS] = {
        OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
        OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
        OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
        OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1};

    for (size_t i = 0; i < KM_PARTS; i++) {
        bn[i] = NULL;
        if (!EVP_PKEY_get_bn_param(key, names[i], &bn[i]))
            abort();
    }
}

static inline void km_parts_free(BIGNUM *bn[KM_PARTS])
{
    for (size_t i = 0; i < KM_PARTS; i++)
        BN_clear_free(bn[i]);
}

/* ---- DER by hand */

static inline void km_tlv(struct km *out, unsigned tag, const void *p, size_t len)
{
    km_byte(out, tag);
    if (len >= 0x100) {
        km_byte(out, 0x82);
        km_byte(out, (unsigned)(len >> 8));
    } else if (len >= 0x80) {
        km_byte(out, 0x81);
    }
    km_byte(out, (unsigned)(len & 0xff));
    km_add(out, p, len);
}

static inline void km_integer(struct km *out, const BIGNUM *bn)
{
    uint8_t bytes[2048] = {0};
    size_t len = (size_t)BN_num_bytes(bn);

    (void)BN_bn2bin(bn, bytes + 1);
    if (len == 0 || (bytes[1] & 0x80) != 0)
        km_tlv(out, 0x02, bytes, len + 1);
    else
        km_tlv(out, 0x02, bytes + 1, len);
}

/* RSAPrivateKey of the first `count` numbers; `behind` is put behind them, inside */
static inline void km_pkcs1(struct km *out, unsigned version, BIGNUM *const bn[], size_t count,
                            struct antag_slice behind)
{
    struct km *body = calloc(1, sizeof *body);

    if (body == NULL)
        abort();
    km_tlv(body, 0x02, (uint8_t[]){(uint8_t)version}, 1);
    for (size_t i = 0; i < count; i++)
        km_integer(body, bn[i]);
    km_add(body, behind.p, behind.len);
    km_tlv(out, 0x30, body->p, body->len);
    free(body);
}

static const uint8_t km_oid_rsa[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1};

/* PrivateKeyInfo around `inner`; `behind` is put behind it, inside */
static inline void km_pkcs8(struct km *out, unsigned version, const void *oid, size_t oid_len,
                            struct antag_slice inner, struct antag_slice behind)
{
    struct km *body = calloc(1, sizeof *body), *algorithm = calloc(1, sizeof *algorithm);

    if (body == NULL || algorithm == NULL)
        abort();
    km_tlv(body, 0x02, (uint8_t[]){(uint8_t)version}, 1);
    km_tlv(algorithm, 0x06, oid, oid_len);
    km_tlv(algorithm, 0x05, NULL, 0);
    km_tlv(body, 0x30, algorithm->p, algorithm->len);
    km_tlv(body, 0x04, inner.p, inner.len);
    km_add(body, behind.p, behind.len);
    km_tlv(out, 0x30, body->p, body->len);
    free(body);
    free(algorithm);
}

/* ---- DER by OpenSSL */

enum km_form { KM_PKCS8, KM_PKCS1, KM_SPKI, KM_PKCS1_PUBLIC };

static inline void km_der(struct km *out, const EVP_PKEY *key, enum km_form form)
{
    PKCS8_PRIV_KEY_INFO *info = NULL;
    unsigned char *p = NULL;
    int len = 0;

    if (form == KM_PKCS8) {
        info = EVP_PKEY2PKCS8(key);
        len = i2d_PKCS8_PRIV_KEY_INFO(info, &p);
    } else if (form == KM_PKCS1) {
        len = i2d_PrivateKey(key, &p);
    } else if (form == KM_SPKI) {
        len = i2d_PUBKEY(key, &p);
    } else {
        len = i2d_PublicKey(key, &p);
    }
    if (len <= 0)
        abort();
    km_add(out, p, (size_t)len);
    OPENSSL_free(p);
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* EncryptedPrivateKeyInfo. nid: a cipher (PBES2) or a PBE of PKCS#5 version 1 or PKCS#12 */
static inline void km_encrypted(struct km *out, const EVP_PKEY *key, int nid, int iterations,
                                const char *passphrase)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    const EVP_CIPHER *cipher = EVP_get_cipherbynid(nid);
    unsigned char *p = NULL;
    X509_SIG *sig;
    int len;

    if (cipher != NULL && nid != NID_pbe_WithSHA1And3_Key_TripleDES_CBC)
        nid = -1;
    sig =
        PKCS8_encrypt(nid, cipher, passphrase, (int)strlen(passphrase), NULL, 0, iterations, info);
    len = sig != NULL ? i2d_X509_SIG(sig, &p) : 0;
    if (len <= 0)
        abort();
    km_add(out, p, (size_t)len);
    OPENSSL_free(p);
    X509_SIG_free(sig);
    PKCS8_PRIV_KEY_INFO_free(info);
}

static inline void km_scrypt(struct km *out, const EVP_PKEY *key, uint64_t n, uint64_t r,
                             uint64_t p, const char *passphrase)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
    X509_ALGOR *algor = PKCS5_pbe2_set_scrypt(EVP_aes_256_cbc(), NULL, 0, NULL, n, r, p);
    unsigned char *bytes = NULL;
    X509_SIG *sig;
    int len;

    if (algor == NULL)
        abort();
    sig = PKCS8_set0_pbe(passphrase, (int)strlen(passphrase), info, algor);
    len = sig != NULL ? i2d_X509_SIG(sig, &bytes) : 0;
    if (len <= 0)
        abort();
    km_add(out, bytes, (size_t)len);
    OPENSSL_free(bytes);
    X509_SIG_free(sig);
    PKCS8_PRIV_KEY_INFO_free(info);
}

/* ---- text */

/* width 0: one line */
static inline void km_base64(struct km *out, struct antag_slice der, size_t width, const char *eol)
{
    unsigned char *text = malloc(der.len * 2 + 8);
    int len;

    if (text == NULL)
        abort();
    len = EVP_EncodeBlock(text, der.p, (int)der.len);
    for (size_t at = 0; at < (size_t)len; at += width) {
        size_t n = width == 0 || (size_t)len - at < width ? (size_t)len - at : width;

        km_add(out, text + at, n);
        if (width == 0)
            break;
        km_text(out, eol);
    }
    free(text);
}

static inline void km_pem(struct km *out, const char *label, struct antag_slice der,
                          const char *eol)
{
    km_text(out, "-----BEGIN ");
    km_text(out, label);
    km_text(out, "-----");
    km_text(out, eol);
    km_base64(out, der, 64, eol);
    km_text(out, "-----END ");
    km_text(out, label);
    km_text(out, "-----");
    km_text(out, eol);
}

#endif
