/* keyparse: keys that people import. Takes PEM, bare base64 or DER; private keys as PKCS#8, PKCS#1 or
 * encrypted PKCS#8, public ones as SubjectPublicKeyInfo or PKCS#1; whatever the label says. Refuses
 * everything else, each by its own status, and looks at size and form before anything costly. */
#ifndef AG_OPENER_KEYPARSE_H
#define AG_OPENER_KEYPARSE_H

#include <openssl/evp.h>

#include "agent/lib/secret.h"
#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

/* What a passphrase of PKCS#8 may cost; the opener's deadline stands behind it. */
#define AG_PBE_ITERATIONS_MAX 5000000u
#define AG_PBE_SCRYPT_NR_MAX  (1u << 18) /* N * r: 128 bytes each, 32 MiB */
#define AG_PBE_SCRYPT_P_MAX   16u
#define AG_KEY_PASSPHRASE_MAX 1024

/* A private key, every part of it checked: the eight numbers are there, belong together, the primes are
 * prime. passphrase: NULL when none was given; not looked at for a key that is not encrypted. One line
 * end behind it is left out. *out is the caller's, written on OK only.
 * errors: KEY_FORM, KEY_TYPE, KEY_SIZE, KEY_EXPONENT, KEY_MULTIPRIME, KEY_INCONSISTENT, KEY_TRAILING,
 * KEY_IS_PUBLIC, KEY_ENCRYPTED, WRONG_PASSPHRASE, NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_keyparse_private(struct antag_slice text,
                                                    const struct ag_secret *passphrase,
                                                    EVP_PKEY **out, struct antag_fault *fault);
/* A public key, as the DER of its SubjectPublicKeyInfo.
 * errors: KEY_FORM, KEY_TYPE, KEY_SIZE, KEY_EXPONENT, KEY_TRAILING, KEY_IS_PRIVATE, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_keyparse_public(struct antag_slice text,
                                                   uint8_t spki[ANTAG_SPKI_MAX], size_t *spki_len,
                                                   struct antag_fault *fault);

#endif
