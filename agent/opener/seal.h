/* seal: the root key, sealed.
 *
 *   file         by nothing: whoever can read the file has the key
 *   passphrase   by a passphrase (Argon2id, XChaCha20-Poly1305)
 *   credential   by a file that the service manager passes (systemd LoadCredentialEncrypted=antom-agent.seal:...)
 *   tpm          by a TPM 2.0 while its PCRs are as they were (sealtpm.h), and beside it by a recovery passphrase
 *
 * One MessagePack map, keys in this order; what a type does not name is absent:
 *     v        1
 *     type     one of the above
 *     key      file: 32 bytes, the root key
 *     pcrs, parent, public, private      tpm: bits of PCRs; sealtpm.h, and there the key of `sealed`
 *     ops, mem, salt     passphrase, and tpm of its recovery: cost and salt of Argon2id13. credential: salt alone
 *     recovery tpm: the root key sealed by ag_seal under the key of the recovery passphrase
 *     sealed   the root key sealed by ag_seal, all bytes before this key as associated data, under the key that is
 *              derived from the passphrase, by BLAKE2b keyed with `salt` from the credential, or comes from the TPM
 *     check    BLAKE2b-256 of all bytes before it: tells a damaged file from a wrong passphrase
 */
#ifndef AG_OPENER_SEAL_H
#define AG_OPENER_SEAL_H

#include "agent/lib/secret.h"
#include "antag/status.h"
#include "antag/types.h"

#define AG_PASSPHRASE_MIN 8
#define AG_PASSPHRASE_MAX 1024
#define AG_SEAL_OPS_MAX   16
#define AG_SEAL_MEM_MAX   (1024u * 1024 * 1024)
#define AG_SEAL_TYPE_MAX  16

/* what a guess at the passphrase costs */
struct ag_seal_cost {
    uint64_t ops;
    uint64_t mem; /* bytes */
};
extern const struct ag_seal_cost ag_seal_cost_moderate;

/* What a seal is made with and opened with; all borrowed. */
struct ag_seal_by {
    const struct ag_secret
        *passphrase; /* of passphrase; of tpm that of its recovery; NULL: none was given */
    const char
        *credentials; /* folder with the service manager's credentials; NULL: there is none */
    const char *tcti; /* tpm */
    /* making */
    const char *type;
    struct ag_seal_cost cost;
    uint32_t pcrs; /* tpm: bits of PCRs, not 0 */
    const struct ag_secret
        *old; /* tpm without a passphrase: a tpm seal of the same root key, whose recovery stays */
};
struct ag_seal_info {
    char type[AG_SEAL_TYPE_MAX]; /* "": not known */
    uint32_t pcrs;
    bool by_recovery; /* it was opened by its recovery passphrase, not by its TPM */
};

/* A seal of `root`; it has been opened again. *bytes is the caller's.
 * errors: BAD_PARAM (type; a passphrase missing, not wanted or out of form; pcrs), SEAL (TPM, credential), NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_seal_make(const struct ag_seal_by *by,
                                             const struct ag_secret *root, struct ag_secret **bytes,
                                             struct antag_fault *fault);
/* Make a root key and its seal as `path`.new, 0400, synced; the caller renames it to `path` when all
 * that belongs to the same start is done. Nothing is overwritten.
 * errors: as ag_seal_make; ALREADY_INITIALISED (`path` is there), HOME (`path`.new is there, or the folder
 * cannot be written), IO. */
ANTAG_MUST_CHECK enum antag_err ag_seal_create(const char *path, const struct ag_seal_by *by,
                                               struct ag_secret **root, struct antag_fault *fault);
/* `info` is filled as far as is known, on failure too. name: what the bytes are called in messages.
 * errors: SEAL (damaged, needs a passphrase, TPM, credential), WRONG_PASSPHRASE, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_seal_open(const char *name, const struct ag_secret *bytes,
                                             const struct ag_seal_by *by, struct ag_secret **root,
                                             struct ag_seal_info *info, struct antag_fault *fault);
/* The same from a file. errors: those, and NOT_INITIALISED (no file), SEAL (owner or mode), IO. */
ANTAG_MUST_CHECK enum antag_err ag_seal_open_file(const char *path, const struct ag_seal_by *by,
                                                  struct ag_secret **root,
                                                  struct ag_seal_info *info,
                                                  struct antag_fault *fault);

/* The type of the seal in that file; "": it cannot be read. Opens nothing. */
void ag_seal_peek(const char *path, char type[AG_SEAL_TYPE_MAX]);
/* PCRs of a tpm seal; those that are usual, of anything else. */
uint32_t ag_seal_pcrs(const struct ag_secret *bytes);

/* The passphrase without the one line end that a tool or editor puts behind it. */
struct antag_slice ag_passphrase_of(const struct ag_secret *given);

#endif
