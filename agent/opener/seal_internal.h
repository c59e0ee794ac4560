/* seal, inside: what opening (seal.c) and making (sealmake.c) share. */
#ifndef AG_OPENER_SEAL_INTERNAL_H
#define AG_OPENER_SEAL_INTERNAL_H

#include <msgpack.h>
#include <sodium.h>

#include "agent/core/sealtype.h"
#include "agent/opener/seal.h"
#include "proto/params.h"

#define SEAL_VERSION 1
#define CHECK_LEN    crypto_generichash_BYTES
#define SALT_LEN     crypto_pwhash_argon2id_SALTBYTES
#define SEALED_LEN   (AG_KEY_LEN + AG_SEAL_OVERHEAD)
#define RECOVERY_AD  "antom-agent recovery of the root key"

struct ag_seal_params {
    struct antag_opt_uint v, pcrs, ops, mem;
    struct antag_opt_slice type, key, parent, public, private, salt, recovery, sealed, check;
};
/* a seal that has been read; params are views into its bytes */
struct ag_seal_reading {
    const char *name;
    struct antag_slice bytes;
    const struct ag_seal_by *by;
    struct ag_seal_params p;
    enum ag_seal_kind type;
    struct ag_seal_info *info;
};

bool ag_seal_passphrase_ok(struct antag_slice s); /* is it of a length that is taken? */
/* The key that a passphrase gives. NULL: out of memory (mostly: of `cost->mem`). */
struct ag_secret *ag_seal_derive(struct antag_slice passphrase, const struct ag_seal_cost *cost,
                                 const uint8_t salt[SALT_LEN]);
/* The key that a credential gives. errors: SEAL, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_seal_credential_key(const char *folder,
                                                       const uint8_t salt[SALT_LEN],
                                                       struct ag_secret **out,
                                                       struct antag_fault *fault);
/* Reads and checks r->bytes into the rest of `r`, and r->info. errors: SEAL. */
ANTAG_MUST_CHECK enum antag_err ag_seal_read_map(struct ag_seal_reading *r, msgpack_zone *zone,
                                                 struct antag_fault *fault);

#endif
