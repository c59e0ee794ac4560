/* sealtpm: a key that a TPM 2.0 gives out only while its platform configuration registers (PCRs) have the values they had
 * when it was sealed: the machine was booted by the same firmware and boot loader. A KEYEDHASH object under the storage primary
 * with the policy TPM2_PolicyPCR and no other way in (TCG TPM 2.0 library, part 3, 12.7 TPM2_Unseal and 23.7 TPM2_PolicyPCR). */
#ifndef AG_OPENER_SEALTPM_H
#define AG_OPENER_SEALTPM_H

#include "agent/lib/secret.h"

#define AG_TPM_NAME_MAX   68 /* bytes, as the TPM writes them */
#define AG_TPM_SEALED_MAX 512

/* what is kept of it, in the TPM's own form: of no use without that TPM in that state */
struct ag_tpm_sealed {
    size_t parent_len, public_len, private_len;
    uint8_t parent[AG_TPM_NAME_MAX]; /* name of the storage primary */
    uint8_t public[AG_TPM_SEALED_MAX], private[AG_TPM_SEALED_MAX];
};

/* pcrs: bit N is PCR N, of the SHA-256 bank; not 0. Their values are those of now.
 * errors: SEAL (no TPM, not that bank, and what else it answers, by name), PROTECTION, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_sealtpm_seal(const char *tcti, uint32_t pcrs,
                                                const struct ag_secret *key,
                                                struct ag_tpm_sealed *out,
                                                struct antag_fault *fault);
/* errors: SEAL (other PCR values, another TPM, no TPM), PROTECTION, NO_MEMORY. *key is the caller's. */
ANTAG_MUST_CHECK enum antag_err ag_sealtpm_unseal(const char *tcti, uint32_t pcrs,
                                                  const struct ag_tpm_sealed *sealed,
                                                  struct ag_secret **key,
                                                  struct antag_fault *fault);

#endif
