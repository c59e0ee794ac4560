/* backend: what holds private keys and computes with them, behind one table of functions. The keeper
 * has checked every job before (keytable.h); a backend may assume it.
 *
 * `sign` takes batches of any keys, so that an implementation may compute several at once. It is called
 * by workers, concurrently, each with its own number; `load` and `generate` by other threads, beside
 * it; `forget` when no worker can be using the key any more, by one thread at a time for keys that have
 * signed (the loop's), by any for those that never have. */
#ifndef AG_KEEPER_BACKEND_H
#define AG_KEEPER_BACKEND_H

#include "agent/lib/conf.h"
#include "agent/lib/edges/keyring.h"
#include "agent/lib/secret.h"

struct ag_backend_ops;

/* every backend's and key's own struct begins with these */
struct ag_backend {
    const struct ag_backend_ops *ops;
};
struct ag_backend_key {
    struct ag_backend *backend;
};

struct ag_backend_job {
    struct ag_backend_key *key;
    const uint8_t *digest; /* SHA-256, 32 bytes */
    uint8_t *sig;          /* ANTAG_SIG_MAX bytes; holds a signature when err is OK */
    size_t sig_len;
    enum antag_err err; /* OK, BACKEND, INTERNAL */
};

struct ag_backend_ops {
    /* ring_key is borrowed and outlives the backend. workers: `sign` is called with numbers below it.
     * errors: NO_MEMORY, BACKEND, CONF, INTERNAL. */
    enum antag_err (*open)(const struct ag_conf_keyring *conf, const struct ag_secret *ring_key,
                           size_t workers, struct ag_backend **out, struct antag_fault *fault);
    /* All keys were forgotten before. */
    void (*close)(struct ag_backend *b);
    /* RSASSA-PKCS1-v1_5 with SHA-256 of up to `count` jobs; each ends with its own err. Every
     * signature has been checked with the public key. */
    void (*sign)(struct ag_backend *b, size_t worker, struct ag_backend_job *jobs, size_t count);
    /* A key from what the registry holds, self-tested against `spki`.
     * errors: REGISTRY, KEY_INCONSISTENT, BACKEND, NO_MEMORY, INTERNAL. */
    enum antag_err (*load)(struct ag_backend *b, const struct ag_key_identity *id,
                           struct antag_slice spki, struct antag_slice sealed,
                           struct ag_backend_key **out, struct antag_fault *fault);
    /* A new key, self-tested. errors: BACKEND, NO_MEMORY, INTERNAL. */
    enum antag_err (*generate)(struct ag_backend *b, const struct ag_key_identity *id,
                               uint32_t bits, struct ag_backend_key **out,
                               struct ag_keyring_made *made, struct antag_fault *fault);
    /* A key that was made elsewhere, sealed as keyform.h has it, becomes one of the backend's; self-tested. NULL: its load
     * takes such keys, or it takes none. errors: as generate. */
    enum antag_err (*adopt)(struct ag_backend *b, const struct ag_key_identity *id,
                            struct antag_slice sealed, struct ag_backend_key **out,
                            struct ag_keyring_made *made, struct antag_fault *fault);
    /* Wipes the key from this process; NULL accepted. */
    void (*forget)(struct ag_backend_key *key);
    /* Destroys the private half of this handle wherever the backend keeps it, if it does; it was forgotten before. Beside
     * load and generate. errors: BACKEND. */
    enum antag_err (*destroy)(struct ag_backend *b, uint64_t handle, struct antag_fault *fault);
    /* Can the device be used now? It is tried, if it could not be before. errors: BACKEND, PROTECTION: why not. */
    enum antag_err (*check)(struct ag_backend *b, struct antag_fault *fault);
    /* What the device asks for before it works, sealed as pin.h has it; tried at once. NULL: it needs none. Beside load and
     * generate. errors: BACKEND (field pin: it is wrong). */
    enum antag_err (*take_pin)(struct ag_backend *b, struct antag_slice sealed,
                               struct antag_fault *fault);
};

extern const struct ag_backend_ops ag_backend_soft;

#endif
