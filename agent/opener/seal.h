/* seal: the file that holds the root key, sealed by itself (`file`: whoever can read the file has the
 * key) or by a passphrase (Argon2id, XChaCha20-Poly1305).
 *
 * One MessagePack map, keys in this order:
 *     v      1
 *     type   "file" | "passphrase"
 *     key    file: 32 bytes, the root key
 *     ops, mem, salt, sealed    passphrase: cost and salt of Argon2id13; the root key sealed by ag_seal
 *                               under the derived key, all bytes before `sealed` as associated data
 *     check  BLAKE2b-256 of all bytes before it: tells a damaged file from a wrong passphrase
 */
#ifndef AG_OPENER_SEAL_H
#define AG_OPENER_SEAL_H

#include "agent/lib/secret.h"
#include "antag/status.h"
#include "antag/types.h"

#define AG_SEAL_FILE_MAX  512 /* bytes */
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

/* Make a root key and its seal as `path`.new, 0400, synced; the caller renames it to `path` when all
 * that belongs to the same start is done. Nothing is overwritten.
 * type        "file" or "passphrase"; passphrase: NULL for "file".
 * errors      BAD_PARAM (type; passphrase missing or out of form), ALREADY_INITIALISED (`path` is there),
 *             HOME (`path`.new is there, or the folder cannot be written), IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_seal_create(const char *path, const char *type,
                                               const struct ag_secret *passphrase,
                                               const struct ag_seal_cost *cost,
                                               struct ag_secret **root, struct antag_fault *fault);
/* Open the seal. `type` is filled as soon as it is known, on failure too (else "").
 * passphrase  NULL: none was given. Not looked at for "file".
 * errors      NOT_INITIALISED (no file), SEAL (owner or mode, damaged, needs a passphrase),
 *             WRONG_PASSPHRASE, IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_seal_open(const char *path, const struct ag_secret *passphrase,
                                             struct ag_secret **root, char type[AG_SEAL_TYPE_MAX],
                                             struct antag_fault *fault);

/* The passphrase without the one line end that a tool or editor puts behind it. */
struct antag_slice ag_passphrase_of(const struct ag_secret *given);

#endif
