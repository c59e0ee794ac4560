#include "agent/keeper/backend/tpmimport.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>

#define INNER_LEN 16 /* AES-128 */
#define WORK_MAX  2048

/* What the TPM will hold; not fixed to it, as it comes from outside, but without a policy nobody can duplicate it. */
static bool public_of(const EVP_PKEY *key, TPM2B_PUBLIC *out)
{
    BIGNUM *n = NULL, *e = NULL;
    bool good = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
                EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
                BN_num_bytes(n) <= TPM2_MAX_RSA_KEY_BYTES && BN_num_bits(e) <= 32;

    if (good) {
        *out = (TPM2B_PUBLIC){.publicArea = ag_tpm_signing_key((uint32_t)BN_num_bits(n), 0)};
        if (!BN_is_word(e, 65537))
            out->publicArea.parameters.rsaDetail.exponent = (UINT32)BN_get_word(e);
        out->publicArea.unique.rsa.size = (UINT16)BN_num_bytes(n);
        (void)BN_bn2bin(n, out->publicArea.unique.rsa.buffer);
    }
    BN_free(n);
    BN_free(e);
    return good;
}

/* TPM2B_SENSITIVE, as bytes. */
static enum antag_err pack_sensitive(const EVP_PKEY *key, const struct ag_secret *auth,
                                     struct ag_secret *out)
{
    TPM2B_SENSITIVE s = {.sensitiveArea = {.sensitiveType = TPM2_ALG_RSA}};
    struct ag_secret *prime = NULL;
    size_t at = 0;
    enum antag_err err = ag_keyform_prime(key, &prime);

    if (err != ANTAG_OK)
        return err;
    s.sensitiveArea.authValue.size = (UINT16)ag_secret_len(auth);
    memcpy(s.sensitiveArea.authValue.buffer, ag_secret_slice(auth).p, ag_secret_len(auth));
    s.sensitiveArea.sensitive.rsa.size = (UINT16)ag_secret_len(prime);
    memcpy(s.sensitiveArea.sensitive.rsa.buffer, ag_secret_slice(prime).p, ag_secret_len(prime));
    if (ag_tss.Tss2_MU_TPM2B_SENSITIVE_Marshal(&s, ag_secret_bytes(out), ag_secret_cap(out), &at) !=
        TSS2_RC_SUCCESS)
        err = ANTAG_ERR_INTERNAL;
    ag_secret_set_len(out, at);
    ag_secret_wipe(&s, sizeof s);
    ag_secret_free(prime);
    return err;
}

/* SHA-256 of the sensitive part and the object's name: what binds the two halves. */
static bool integrity_of(const struct ag_secret *sensitive, const TPM2B_PUBLIC *public,
                         uint8_t out[32])
{
    uint8_t area[sizeof(TPMT_PUBLIC)],
        name[2 + 32] = {TPM2_ALG_SHA256 >> 8, TPM2_ALG_SHA256 & 0xff};
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    size_t len = 0;
    bool good = md != NULL &&
                ag_tss.Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, area, sizeof area, &len) ==
                    TSS2_RC_SUCCESS &&
                EVP_Digest(area, len, name + 2, NULL, EVP_sha256(), NULL) == 1 &&
                EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(md, ag_secret_slice(sensitive).p, ag_secret_len(sensitive)) == 1 &&
                EVP_DigestUpdate(md, name, sizeof name) == 1 &&
                EVP_DigestFinal_ex(md, out, NULL) == 1;

    EVP_MD_CTX_free(md);
    return good;
}

/* Integrity and sensitive part under the inner key: AES-128 in CFB mode, IV zero. */
static bool wrap(const struct ag_secret *sensitive, const uint8_t integrity[32],
                 const TPM2B_DATA *inner, TPM2B_PRIVATE *out)
{
    static const uint8_t size[2] = {0, 32}, iv[16];
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int at = 0, n = 0;
    bool good = c != NULL && 34 + ag_secret_len(sensitive) <= sizeof out->buffer &&
                EVP_EncryptInit_ex(c, EVP_aes_128_cfb128(), NULL, inner->buffer, iv) == 1 &&
                EVP_EncryptUpdate(c, out->buffer, &n, size, sizeof size) == 1;

    at += n;
    good = good && EVP_EncryptUpdate(c, out->buffer + at, &n, integrity, 32) == 1;
    at += n;
    good = good && EVP_EncryptUpdate(c, out->buffer + at, &n, ag_secret_slice(sensitive).p,
                                     (int)ag_secret_len(sensitive)) == 1;
    out->size = (UINT16)(at + n);
    EVP_CIPHER_CTX_free(c);
    return good;
}

static TSS2_RC import(struct ag_tpm_link *link, const TPM2B_DATA *inner, const TPM2B_PUBLIC *public,
                      const TPM2B_PRIVATE *wrapped, TPM2B_PRIVATE *out)
{
    const TPMT_SYM_DEF_OBJECT aes = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    const TPM2B_ENCRYPTED_SECRET none = {.size = 0};
    TPM2B_PRIVATE *made = NULL;
    TSS2_RC rc;

    do
        rc = ag_tss.Esys_Import(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                ESYS_TR_NONE, inner, public, wrapped, &none, &aes, &made);
    while (ag_tpm_code(rc) == TPM2_RC_OBJECT_MEMORY && ag_tpm_unload_oldest(link));
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    *out = *made;
    ag_tss.Esys_Free(made);
    return rc;
}

enum antag_err ag_tpm_import(struct ag_tpm_link *link, const EVP_PKEY *key,
                             const struct ag_secret *auth, TPM2B_PUBLIC *public,
                             TPM2B_PRIVATE *private, TSS2_RC *rc)
{
    struct ag_secret *sensitive = ag_secret_new(WORK_MAX);
    TPM2B_DATA inner = {.size = INNER_LEN};
    TPM2B_PRIVATE wrapped = {.size = 0};
    uint8_t integrity[32];
    enum antag_err err;

    *rc = TSS2_RC_SUCCESS;
    if (sensitive == NULL)
        return ANTAG_ERR_NO_MEMORY;
    ag_random(inner.buffer, INNER_LEN);
    if ((err = pack_sensitive(key, auth, sensitive)) == ANTAG_OK) {
        if (!public_of(key, public) || !integrity_of(sensitive, public, integrity) ||
            !wrap(sensitive, integrity, &inner, &wrapped))
            err = ANTAG_ERR_INTERNAL;
        else if ((*rc = import(link, &inner, public, &wrapped, private)) != TSS2_RC_SUCCESS)
            err = ANTAG_ERR_BACKEND;
    }
    ag_secret_wipe(&inner, sizeof inner);
    ag_secret_free(sensitive);
    return err;
}
