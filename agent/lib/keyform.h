/* keyform: what an RSA key looks like outside of OpenSSL: the sealed components of a merchant key and
 * the public half. Used by the opener (which makes components from an import) and the keeper (which
 * makes them when it generates and loads them). */
#ifndef AG_LIB_KEYFORM_H
#define AG_LIB_KEYFORM_H

#include <openssl/evp.h>

#include "agent/lib/secret.h"
#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

/* which row sealed bytes belong to; all of it goes into the associated data */
struct ag_key_identity {
    uint64_t handle; /* row id of the merchant key; never used twice */
    uint64_t profile_id;
    uint32_t env;     /* enum ag_env */
    uint32_t version; /* ours: 1, 2, 3 */
};

#define AG_COMPONENTS_MAX 4096 /* eight numbers of a 4096-bit key, packed */
#define AG_SEALED_KEY_MAX (AG_COMPONENTS_MAX + AG_SEAL_OVERHEAD)

/* All eight components of `key` (n e d p q dp dq qinv) packed, then sealed under `ring_key`.
 * errors: KEY_MULTIPRIME, KEY_INCONSISTENT (one is missing), NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_keyform_seal(const EVP_PKEY *key,
                                                const struct ag_secret *ring_key,
                                                const struct ag_key_identity *id,
                                                uint8_t out[AG_SEALED_KEY_MAX], size_t *out_len);
/* The reverse, by EVP_PKEY_fromdata, which checks nothing: the caller must self-test.
 * *out is the caller's. errors: REGISTRY (does not open or unpack), NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_keyform_unseal(struct antag_slice sealed,
                                                  const struct ag_secret *ring_key,
                                                  const struct ag_key_identity *id, EVP_PKEY **out);

/* The first prime factor of a whole key, big-endian. *out is the caller's. errors: NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_keyform_prime(const EVP_PKEY *key, struct ag_secret **out);

/* Public half as SubjectPublicKeyInfo DER. */
ANTAG_MUST_CHECK enum antag_err ag_keyform_spki(const EVP_PKEY *key, uint8_t out[ANTAG_SPKI_MAX],
                                                size_t *out_len);
/* SPKI DER to a key; RSA only, size and exponent as for imports, no bytes behind it.
 * errors: KEY_FORM, KEY_TYPE, KEY_SIZE, KEY_EXPONENT, KEY_TRAILING. */
ANTAG_MUST_CHECK enum antag_err ag_keyform_public(struct antag_slice spki, EVP_PKEY **out,
                                                  struct antag_fault *fault);
/* From modulus and public exponent, big-endian, as tokens and TPMs give them; NULL when they make no key. The
 * caller's. */
EVP_PKEY *ag_keyform_from_numbers(struct antag_slice n, struct antag_slice e);
/* Whether `sig` is a signature (PKCS #1 v1.5) over the SHA-256 `digest` under the public key `pub`. */
bool ag_keyform_verifies(EVP_PKEY *pub, const uint8_t digest[32], struct antag_slice sig);
/* SHA-256 of the text of the self-test, for keys that only a device can sign with. */
void ag_keyform_self_test_digest(uint8_t digest[32]);
/* SHA-256 of the SPKI as 64 lower-case hex digits, terminated. */
void ag_keyform_fingerprint(struct antag_slice spki, char out[65]);

/* The self-test every load of a key ends with: sign and verify a text that can never be an Antom
 * string (it starts in lower case). errors: KEY_INCONSISTENT, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_keyform_self_test(EVP_PKEY *key, struct antag_slice spki);

#endif
