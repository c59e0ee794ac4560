/* token: the authorization token of a merchant, which goes into the header Agent-Token. It names whom one acts for, so it
 * is a secret: sealed in the registry and on its way to the front, opened for the one answer it goes into. Sealed bytes
 * open only for the profile and merchant they were sealed for. */
#ifndef AG_LIB_TOKEN_H
#define AG_LIB_TOKEN_H

#include "agent/lib/secret.h"
#include "antag/limits.h"

#define AG_TOKEN_SEALED_MAX (ANTAG_TOKEN_MAX + AG_SEAL_OVERHEAD)

/* errors: BAD_PARAM "token": visible ASCII without blanks, 1 to ANTAG_TOKEN_MAX; never quoting it. */
ANTAG_MUST_CHECK enum antag_err ag_token_check(const struct ag_secret *token,
                                               struct antag_fault *fault);
/* key: the subkey "tokens". errors: NO_MEMORY, INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_token_seal(const struct ag_secret *key, const char *profile,
                                              const char *merchant, const struct ag_secret *token,
                                              uint8_t out[AG_TOKEN_SEALED_MAX], size_t *len);
/* Without allocating. `out` is a secret, to be wiped. errors: REGISTRY (it is not of this key, profile and merchant). */
ANTAG_MUST_CHECK enum antag_err ag_token_open(const struct ag_secret *key, const char *profile,
                                              const char *merchant, struct antag_slice sealed,
                                              char out[ANTAG_TOKEN_MAX + 1]);

#endif
