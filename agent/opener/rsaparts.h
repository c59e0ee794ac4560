/* rsaparts: an RSAPrivateKey (PKCS#1) read number by number, and checked whole.
 *
 * OpenSSL signs with a key whose parts disagree, and a signature made with one wrong CRT part reveals a
 * factor of the modulus. So nothing is taken on trust: see check_parts() in rsaparts.c, which comes
 * before EVP_PKEY_check, which adds that the primes are prime. */
#ifndef AG_OPENER_RSAPARTS_H
#define AG_OPENER_RSAPARTS_H

#include <openssl/evp.h>

#include "antag/status.h"
#include "antag/types.h"

/* der: one SEQUENCE with nothing behind it. *out is the caller's.
 * errors: KEY_FORM, KEY_TRAILING, KEY_MULTIPRIME, KEY_SIZE, KEY_EXPONENT, KEY_INCONSISTENT, NO_MEMORY,
 * INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_rsaparts_read(struct antag_slice der, EVP_PKEY **out,
                                                 struct antag_fault *fault);

#endif
