#include "agent/opener/keyparse.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/proverr.h>
#include <openssl/x509.h>
#include <string.h>

#include "agent/lib/keyform.h"
#include "agent/opener/keyder.h"
#include "agent/opener/keytext.h"
#include "agent/opener/rsaparts.h"
#include "agent/opener/seal.h"

static enum antag_err refuse(struct antag_fault *fault, enum antag_err err, const char *why)
{
    return antag_fault_set(fault, err, NULL, "%s", why);
}

/* ---- what is no key at all */

static enum antag_err refuse_kind(enum ag_der_kind kind, struct antag_fault *fault)
{
    switch (kind) {
    case AG_DK_CERTIFICATE:
        return refuse(fault, ANTAG_ERR_KEY_FORM,
                      "this is a certificate or a request for one; give the key alone");
    case AG_DK_PKCS12:
        return refuse(fault, ANTAG_ERR_KEY_FORM,
                      "this is a PKCS#12 file; `openssl pkcs12 -nocerts` takes the key out of it");
    case AG_DK_EC_PRIVATE:
        return refuse(fault, ANTAG_ERR_KEY_TYPE, "this is an elliptic-curve key, not RSA");
    case AG_DK_DSA_PRIVATE:
        return refuse(fault, ANTAG_ERR_KEY_TYPE, "this is a DSA key, not RSA");
    default:
        return refuse(fault, ANTAG_ERR_KEY_FORM,
                      "this is DER, but not a key in a form that is taken");
    }
}

static enum antag_err refuse_algorithm(enum ag_der_algorithm algorithm, struct antag_fault *fault)
{
    if (algorithm == AG_DA_RSA_PSS)
        return refuse(fault, ANTAG_ERR_KEY_TYPE,
                      "this key may only sign with RSA-PSS; Antom takes PKCS#1 v1.5");
    return antag_fault_set(fault, ANTAG_ERR_KEY_TYPE, NULL, "this is a key of type %s, not RSA",
                           ag_der_algorithm_name(algorithm));
}

/* ---- PKCS#8 */

static enum antag_err read_pkcs8(struct antag_slice body, EVP_PKEY **out, struct antag_fault *fault)
{
    struct antag_slice params, key, null;
    enum ag_der_algorithm algorithm;
    uint32_t version;

    if (!ag_der_take_uint(&body, &version) || version > 1 ||
        !ag_der_take_algorithm(&body, &algorithm, &params) ||
        !ag_der_take(&body, AG_DER_OCTET_STRING, &key))
        return refuse(fault, ANTAG_ERR_KEY_FORM, "its PKCS#8 structure is malformed");
    if (algorithm != AG_DA_RSA)
        return refuse_algorithm(algorithm, fault);
    if (params.len > 0 &&
        (!ag_der_take(&params, AG_DER_NULL, &null) || null.len > 0 || params.len > 0))
        return refuse(fault, ANTAG_ERR_KEY_FORM, "an RSA key has no parameters, this one has some");
    while (body.len > 0) { /* attributes and the public key of RFC 5958 are left out */
        struct ag_der value;

        if (!ag_der_next(&body, &value) || (value.tag & 0xc0) != 0x80)
            return refuse(fault, ANTAG_ERR_KEY_FORM, "its PKCS#8 structure is malformed");
    }
    return ag_rsaparts_read(key, out, fault);
}

/* ---- encrypted PKCS#8 */

static enum antag_err too_costly(struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                           "its passphrase costs too much to try: at most %u iterations, or scrypt "
                           "with N*r at most %u and p at most %u, are taken",
                           AG_PBE_ITERATIONS_MAX, AG_PBE_SCRYPT_NR_MAX, AG_PBE_SCRYPT_P_MAX);
}

static enum antag_err bad_pbe(struct antag_fault *fault)
{
    return refuse(
        fault, ANTAG_ERR_KEY_FORM,
        "it is encrypted in a way that is not taken; `openssl pkcs8 -topk8 -v2 aes256` makes "
        "one that is");
}

/* {salt, iterations, …} */
static enum antag_err check_iterations(struct antag_slice params, struct antag_fault *fault)
{
    struct antag_slice body, salt;
    uint32_t count;

    if (!ag_der_take(&params, AG_DER_SEQUENCE, &body) ||
        !ag_der_take(&body, AG_DER_OCTET_STRING, &salt))
        return bad_pbe(fault);
    if (!ag_der_take_uint(&body, &count) || count == 0 || count > AG_PBE_ITERATIONS_MAX)
        return too_costly(fault);
    return ANTAG_OK;
}

static enum antag_err check_scrypt(struct antag_slice params, struct antag_fault *fault)
{
    struct antag_slice body, salt;
    uint32_t n, r, p;

    if (!ag_der_take(&params, AG_DER_SEQUENCE, &body) ||
        !ag_der_take(&body, AG_DER_OCTET_STRING, &salt))
        return bad_pbe(fault);
    if (!ag_der_take_uint(&body, &n) || !ag_der_take_uint(&body, &r) ||
        !ag_der_take_uint(&body, &p) || (uint64_t)n * r > AG_PBE_SCRYPT_NR_MAX ||
        p > AG_PBE_SCRYPT_P_MAX)
        return too_costly(fault);
    return ANTAG_OK;
}

/* Bound what one try costs, before it is tried. */
static enum antag_err check_cost(struct antag_slice body, struct antag_fault *fault)
{
    enum ag_der_algorithm algorithm, kdf;
    struct antag_slice params, inner;

    if (!ag_der_take_algorithm(&body, &algorithm, &params))
        return bad_pbe(fault);
    if (algorithm == AG_DA_PBES1)
        return check_iterations(params, fault);
    if (algorithm != AG_DA_PBES2 || !ag_der_take(&params, AG_DER_SEQUENCE, &inner) ||
        !ag_der_take_algorithm(&inner, &kdf, &params))
        return bad_pbe(fault);
    if (kdf == AG_DA_PBKDF2)
        return check_iterations(params, fault);
    return kdf == AG_DA_SCRYPT ? check_scrypt(params, fault) : bad_pbe(fault);
}

/* Did decryption fail for its padding (so for the passphrase), or for what it is? Empties the queue. */
static bool is_wrong_passphrase(void)
{
    bool wrong = false;
    unsigned long code;

    while ((code = ERR_get_error()) != 0)
        if ((ERR_GET_LIB(code) == ERR_LIB_PKCS12 &&
             ERR_GET_REASON(code) == PKCS12_R_PKCS12_CIPHERFINAL_ERROR) ||
            (ERR_GET_LIB(code) == ERR_LIB_PROV && ERR_GET_REASON(code) == PROV_R_BAD_DECRYPT))
            wrong = true;
    return wrong;
}

static enum antag_err decrypt(struct antag_slice der, struct antag_slice passphrase,
                              struct ag_secret **out, struct antag_fault *fault)
{
    const uint8_t *p = der.p;
    X509_SIG *sig = d2i_X509_SIG(NULL, &p, (long)der.len);
    const ASN1_OCTET_STRING *data = NULL;
    const X509_ALGOR *algor = NULL;
    struct ag_secret *plain = NULL;
    enum antag_err err = ANTAG_OK;
    unsigned char *bytes = NULL;
    int len = 0;

    if (sig == NULL) {
        err = bad_pbe(fault);
        goto out;
    }
    X509_SIG_get0(sig, &algor, &data);
    if (PKCS12_pbe_crypt(algor, (const char *)passphrase.p, (int)passphrase.len,
                         ASN1_STRING_get0_data(data), ASN1_STRING_length(data), &bytes, &len,
                         0) == NULL) {
        err = is_wrong_passphrase() ? refuse(fault, ANTAG_ERR_WRONG_PASSPHRASE,
                                             "the passphrase does not open the key")
                                    : bad_pbe(fault);
        goto out;
    }
    plain = ag_secret_new((size_t)len);
    if (plain == NULL) {
        err = refuse(fault, ANTAG_ERR_NO_MEMORY, "no memory for the key");
        goto out;
    }
    memcpy(ag_secret_bytes(plain), bytes, (size_t)len);
    ag_secret_set_len(plain, (size_t)len);
    *out = plain;
out:
    if (bytes != NULL)
        ag_secret_wipe(bytes, (size_t)len); /* OpenSSL's own buffer */
    OPENSSL_free(bytes);
    X509_SIG_free(sig);
    ERR_clear_error();
    return err;
}

/* One wrong passphrase in 256 leaves a padding that looks right, around noise. Noise may begin with a
 * SEQUENCE of some length, but not with version and algorithm of a key as well. */
static bool begins_as_pkcs8(struct antag_slice plain)
{
    struct antag_slice body, params;
    enum ag_der_algorithm algorithm;
    uint32_t version;

    return ag_der_take(&plain, AG_DER_SEQUENCE, &body) && ag_der_take_uint(&body, &version) &&
           ag_der_take_algorithm(&body, &algorithm, &params);
}

static enum antag_err read_encrypted(struct antag_slice der, struct antag_slice body,
                                     const struct ag_secret *passphrase, EVP_PKEY **out,
                                     struct antag_fault *fault)
{
    struct antag_slice text = {NULL, 0}, inner;
    struct ag_secret *plain = NULL;
    enum ag_der_kind kind;
    enum antag_err err;

    if ((err = check_cost(body, fault)) != ANTAG_OK)
        return err;
    if (passphrase != NULL)
        text = ag_passphrase_of(passphrase);
    if (text.len == 0)
        return refuse(fault, ANTAG_ERR_KEY_ENCRYPTED,
                      "this private key is encrypted and needs its passphrase");
    if (text.len > AG_KEY_PASSPHRASE_MAX)
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, NULL,
                               "a passphrase has at most %d bytes", AG_KEY_PASSPHRASE_MAX);
    if ((err = decrypt(der, text, &plain, fault)) != ANTAG_OK)
        goto out;
    if (!begins_as_pkcs8(ag_secret_slice(plain))) {
        err = refuse(fault, ANTAG_ERR_WRONG_PASSPHRASE, "the passphrase does not open the key");
        goto out;
    }
    if ((err = ag_der_classify(ag_secret_slice(plain), &kind, &inner, fault)) == ANTAG_OK)
        err = kind == AG_DK_PKCS8 ? read_pkcs8(inner, out, fault)
                                  : refuse(fault, ANTAG_ERR_KEY_FORM,
                                           "what the passphrase opens is not a private key");
out:
    ag_secret_free(plain);
    return err;
}

/* ---- entry */

enum antag_err ag_keyparse_private(struct antag_slice text, const struct ag_secret *passphrase,
                                   EVP_PKEY **out, struct antag_fault *fault)
{
    struct ag_secret *der = NULL;
    struct antag_slice body;
    enum ag_der_kind kind;
    enum antag_err err;

    if ((err = ag_keytext_decode(text, passphrase != NULL, &der, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_der_classify(ag_secret_slice(der), &kind, &body, fault)) != ANTAG_OK)
        goto out;
    switch (kind) {
    case AG_DK_PKCS8:
        err = read_pkcs8(body, out, fault);
        break;
    case AG_DK_PKCS1:
        err = ag_rsaparts_read(ag_secret_slice(der), out, fault);
        break;
    case AG_DK_PKCS8_ENCRYPTED:
        err = read_encrypted(ag_secret_slice(der), body, passphrase, out, fault);
        break;
    case AG_DK_SPKI:
    case AG_DK_PKCS1_PUBLIC:
        err = refuse(fault, ANTAG_ERR_KEY_IS_PUBLIC,
                     "this is a public key where a private key belongs");
        break;
    default:
        err = refuse_kind(kind, fault);
    }
out:
    ag_secret_free(der);
    return err;
}

static enum antag_err read_pkcs1_public(struct antag_slice der, EVP_PKEY **out,
                                        struct antag_fault *fault)
{
    uint8_t spki[ANTAG_SPKI_MAX], *to = spki;
    const uint8_t *p = der.p;
    EVP_PKEY *key = NULL;
    enum antag_err err;
    int len;

    if (der.len > ANTAG_SPKI_MAX - 64) /* 4096 bits are 526 */
        return refuse(fault, ANTAG_ERR_KEY_SIZE, antag_err_message(ANTAG_ERR_KEY_SIZE));
    key = d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, (long)der.len);
    len = key != NULL ? i2d_PUBKEY(key, NULL) : 0;
    if (len <= 0 || len > ANTAG_SPKI_MAX || i2d_PUBKEY(key, &to) != len)
        err = refuse(fault, ANTAG_ERR_KEY_FORM, "its PKCS#1 structure is malformed");
    else
        err = ag_keyform_public((struct antag_slice){spki, (size_t)len}, out, fault);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return err;
}

enum antag_err ag_keyparse_public(struct antag_slice text, uint8_t spki[ANTAG_SPKI_MAX],
                                  size_t *spki_len, struct antag_fault *fault)
{
    struct ag_secret *der = NULL;
    EVP_PKEY *key = NULL;
    struct antag_slice body;
    enum ag_der_kind kind;
    enum antag_err err;

    if ((err = ag_keytext_decode(text, false, &der, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_der_classify(ag_secret_slice(der), &kind, &body, fault)) != ANTAG_OK)
        goto out;
    switch (kind) {
    case AG_DK_SPKI:
        err = ag_keyform_public(ag_secret_slice(der), &key, fault);
        break;
    case AG_DK_PKCS1_PUBLIC:
        err = read_pkcs1_public(ag_secret_slice(der), &key, fault);
        break;
    case AG_DK_PKCS8:
    case AG_DK_PKCS1:
    case AG_DK_PKCS8_ENCRYPTED:
        err = refuse(fault, ANTAG_ERR_KEY_IS_PRIVATE,
                     "this is a private key where a public key belongs; who has seen it?");
        break;
    default:
        err = refuse_kind(kind, fault);
    }
    /* written anew, so that one key has one form and one fingerprint */
    if (err == ANTAG_OK && (err = ag_keyform_spki(key, spki, spki_len)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the public key could not be written");
out:
    EVP_PKEY_free(key);
    ag_secret_free(der);
    return err;
}
