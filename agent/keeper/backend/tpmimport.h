/* tpmimport: a private key that was made elsewhere, into a TPM: TPM2_Import with an inner wrapper (TPM 2.0 library, part 1,
 * 23.3.2.2), whose key crosses the bus as the encrypted first parameter of the session. */
#ifndef AG_KEEPER_TPMIMPORT_H
#define AG_KEEPER_TPMIMPORT_H

#include "agent/lib/keyform.h"
#include "agent/lib/tpm/tpmlink.h"

/* The link is connected. `key` is a whole RSA key, `auth` what the TPM will ask for when it signs.
 * *rc: the TPM's answer where it is what failed. errors: NO_MEMORY, INTERNAL (OpenSSL); BACKEND and *rc. */
ANTAG_MUST_CHECK enum antag_err ag_tpm_import(struct ag_tpm_link *link, const EVP_PKEY *key,
                                              const struct ag_secret *auth, TPM2B_PUBLIC *public,
                                              TPM2B_PRIVATE *private, TSS2_RC *rc);

#endif
