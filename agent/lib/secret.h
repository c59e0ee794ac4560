/* secret: the only home of secret bytes. Guarded, locked, not dumped, wiped on free.
 *
 * No other file calls sodium_malloc, sodium_mlock, sodium_memzero, explicit_bzero or the like. A block
 * costs about four memory maps: one per key or passphrase, not per request. */
#ifndef AG_LIB_SECRET_H
#define AG_LIB_SECRET_H

#include "antag/status.h"
#include "antag/types.h"

struct ag_secret;

#define AG_KEY_LEN       32            /* root key and every subkey */
#define AG_SEAL_OVERHEAD (1 + 24 + 16) /* format version, nonce, tag */

/* Once in each process, before the first secret and before threads. Initialises libsodium, and learns
 * by trying whether memory can be locked (the guarded allocator does not tell).
 * errors: PROTECTION when it cannot, with the limit and what to raise in the fault. */
ANTAG_MUST_CHECK enum antag_err ag_secret_setup(struct antag_fault *fault);

/* A block of `cap` bytes, zero, length 0. NULL when out of memory or it could not be locked. */
struct ag_secret *ag_secret_new(size_t cap);
void ag_secret_free(struct ag_secret *s); /* wipes; NULL accepted */
uint8_t *ag_secret_bytes(struct ag_secret *s);
size_t ag_secret_len(const struct ag_secret *s);
size_t ag_secret_cap(const struct ag_secret *s);
void ag_secret_set_len(struct ag_secret *s, size_t len); /* len <= cap, else aborts */
struct ag_secret *ag_secret_copy(const struct ag_secret *s);
struct antag_slice ag_secret_slice(const struct ag_secret *s);

void ag_secret_wipe(void *p, size_t len); /* for short-lived stack buffers and library structs */
bool ag_secret_equal(const void *a, const void *b, size_t len); /* constant time */
void ag_random(void *p, size_t len);

/* Subkey of 32 bytes: BLAKE2b keyed with `key` over `label`. Labels in use:
 * "keyring:NAME", "registry:seal" (and under it "codes"), "registry:mac", "audit:CHAIN", "tokens". NULL: out of memory. */
struct ag_secret *ag_secret_derive(const struct ag_secret *key, const char *label);

/* XChaCha20-Poly1305 with a random nonce and associated data `ad`, which binds the sealed bytes to
 * the row they stand in. out: plain length + AG_SEAL_OVERHEAD bytes, written on OK only. */
ANTAG_MUST_CHECK enum antag_err ag_seal(const struct ag_secret *key, struct antag_slice ad,
                                        const struct ag_secret *plain, uint8_t *out,
                                        size_t out_size, size_t *out_len);
/* errors: REGISTRY when it does not open under this key and ad. *out is the caller's. */
ANTAG_MUST_CHECK enum antag_err ag_unseal(const struct ag_secret *key, struct antag_slice ad,
                                          struct antag_slice sealed, struct ag_secret **out);

/* Likewise, into `out` of `size` bytes, which is the caller's secret to wipe; nothing is allocated. */
ANTAG_MUST_CHECK enum antag_err ag_unseal_into(const struct ag_secret *key, struct antag_slice ad,
                                               struct antag_slice sealed, uint8_t *out, size_t size,
                                               size_t *len);

/* Keyed BLAKE2b-256. */
#define AG_MAC_LEN 32
void ag_mac(const struct ag_secret *key, struct antag_slice data, uint8_t out[AG_MAC_LEN]);

/* A memory file received from another process, read whole: it must be sealed against writing, growing
 * and shrinking and hold at most `max` bytes. Closes `fd` always. errors: BAD_PARAM, NO_MEMORY, IO. */
ANTAG_MUST_CHECK enum antag_err ag_secret_read_memfd(int fd, size_t max, struct ag_secret **out,
                                                     struct antag_fault *fault);

#endif
