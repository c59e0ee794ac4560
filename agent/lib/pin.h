/* pin: the PIN of a PKCS#11 token, kept in the registry. Sealed by an opener under the keyring's subkey, opened by that keyring's
 * keeper for one login at a time; the steward, which stores it, cannot read it. Sealed bytes open for their keyring only. */
#ifndef AG_LIB_PIN_H
#define AG_LIB_PIN_H

#include "agent/lib/secret.h"

#define AG_PIN_MAX        255
#define AG_PIN_SEALED_MAX (AG_PIN_MAX + AG_SEAL_OVERHEAD)

/* errors: BAD_PARAM (pin), saying what a PIN is. */
ANTAG_MUST_CHECK enum antag_err ag_pin_check(const struct ag_secret *pin,
                                             struct antag_fault *fault);
/* key: the keyring's subkey. errors: NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_pin_seal(const struct ag_secret *key, const char *keyring,
                                            const struct ag_secret *pin,
                                            uint8_t out[AG_PIN_SEALED_MAX], size_t *len);
/* *out is the caller's. errors: REGISTRY when it does not open. */
ANTAG_MUST_CHECK enum antag_err ag_pin_open(const struct ag_secret *key, const char *keyring,
                                            struct antag_slice sealed, struct ag_secret **out);

#endif
