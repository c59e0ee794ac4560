#include "agent/lib/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEAL_FORMAT 1u
#define NONCE_LEN   crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN     crypto_aead_xchacha20poly1305_ietf_ABYTES
_Static_assert(AG_SEAL_OVERHEAD == 1 + NONCE_LEN + TAG_LEN, "format, nonce, tag");
_Static_assert(AG_KEY_LEN == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "one length for all");
_Static_assert(AG_MAC_LEN == crypto_generichash_BYTES, "BLAKE2b-256");

/* OpenSSL keeps the numbers of private keys in a locked heap of its own, about 900 bytes a 2048-bit key,
 * and fails to load a key when that heap is full. So it gets the largest power of two of which twice as
 * much can be locked; the other half of the limit is for the blocks of this file. */
#define HEAP_MAX     ((size_t)16 << 20)
#define HEAP_MIN     ((size_t)128 << 10)
#define HEAP_MINSIZE 32 /* smallest piece; a power of two */

struct ag_secret {
    size_t len, cap;
    uint8_t *bytes; /* guarded and locked */
};

/* Can that much be locked beside what is locked already? Asks without touching the pages. */
static bool can_lock(size_t len)
{
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int rc;

    if (p == MAP_FAILED)
        return false;
    rc = mlock2(p, len, MLOCK_ONFAULT);
    if (rc != 0 && errno == ENOSYS)
        rc = mlock(p, len);
    munmap(p, len);
    return rc == 0;
}

static enum antag_err no_lock(struct antag_fault *fault, const char *what)
{
    struct rlimit limit = {0, 0};

    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    return antag_fault_set(
        fault, ANTAG_ERR_PROTECTION, "memlock",
        "%s: the limit of locked memory is %llu KiB, at least %zu KiB are needed "
        "(LimitMEMLOCK= in the service unit, ulimit -l in a shell; 8192 KiB hold "
        "thousands of keys)",
        what, (unsigned long long)limit.rlim_cur / 1024, 2 * HEAP_MIN / 1024);
}

static enum antag_err setup_openssl_heap(struct antag_fault *fault)
{
    size_t size = HEAP_MAX;

    if (CRYPTO_secure_malloc_initialized())
        return ANTAG_OK;
    while (size >= HEAP_MIN && !can_lock(2 * size))
        size /= 2;
    if (size < HEAP_MIN)
        return no_lock(fault, "secrets cannot be kept out of swap");
    /* 1: locked and left out of core files; 2: made, but one of these failed */
    if (CRYPTO_secure_malloc_init(size, HEAP_MINSIZE) != 1)
        return no_lock(fault, "the heap of private keys could not be locked");
    return ANTAG_OK;
}

enum antag_err ag_secret_setup(struct antag_fault *fault)
{
    struct ag_secret *probe;

    if (sodium_init() < 0)
        return antag_fault_set(fault, ANTAG_ERR_PROTECTION, NULL,
                               "libsodium could not be initialised");
    probe = ag_secret_new(AG_KEY_LEN);
    if (probe == NULL)
        return no_lock(fault, "a page for secrets could not be locked");
    ag_secret_free(probe);
    return setup_openssl_heap(fault);
}

struct ag_secret *ag_secret_new(size_t cap)
{
    struct ag_secret *s = malloc(sizeof *s);
    size_t size = cap > 0 ? cap : 1;

    if (s == NULL)
        return NULL;
    s->len = 0;
    s->cap = cap;
    s->bytes = sodium_malloc(size);
    if (s->bytes == NULL) {
        free(s);
        return NULL;
    }
    /* the allocator locks and leaves out of core files, but hides a failure: the same again tells */
    if (sodium_mlock(s->bytes, size) != 0) {
        sodium_free(s->bytes);
        free(s);
        return NULL;
    }
    memset(s->bytes, 0, size);
    return s;
}

void ag_secret_free(struct ag_secret *s)
{
    if (s == NULL)
        return;
    sodium_free(s->bytes); /* wipes; ends the process when the guard bytes were overwritten */
    free(s);
}

uint8_t *ag_secret_bytes(struct ag_secret *s)
{
    return s->bytes;
}

size_t ag_secret_len(const struct ag_secret *s)
{
    return s->len;
}

size_t ag_secret_cap(const struct ag_secret *s)
{
    return s->cap;
}

void ag_secret_set_len(struct ag_secret *s, size_t len)
{
    if (len > s->cap)
        abort();
    s->len = len;
}

struct ag_secret *ag_secret_copy(const struct ag_secret *s)
{
    struct ag_secret *copy = ag_secret_new(s->cap);

    if (copy == NULL)
        return NULL;
    memcpy(copy->bytes, s->bytes, s->len);
    copy->len = s->len;
    return copy;
}

struct antag_slice ag_secret_slice(const struct ag_secret *s)
{
    return (struct antag_slice){s->bytes, s->len};
}

void ag_secret_wipe(void *p, size_t len)
{
    if (len > 0)
        sodium_memzero(p, len);
}

bool ag_secret_equal(const void *a, const void *b, size_t len)
{
    return len == 0 || sodium_memcmp(a, b, len) == 0;
}

void ag_random(void *p, size_t len)
{
    randombytes_buf(p, len);
}

struct ag_secret *ag_secret_derive(const struct ag_secret *key, const char *label)
{
    struct ag_secret *sub;

    if (key->len != AG_KEY_LEN)
        abort(); /* a key of another length would be another key without anyone noticing */
    sub = ag_secret_new(AG_KEY_LEN);
    if (sub == NULL)
        return NULL;
    if (crypto_generichash(sub->bytes, AG_KEY_LEN, (const uint8_t *)label, strlen(label),
                           key->bytes, key->len) != 0)
        abort(); /* only for lengths out of range, and they are constant */
    sub->len = AG_KEY_LEN;
    return sub;
}

enum antag_err ag_seal(const struct ag_secret *key, struct antag_slice ad,
                       const struct ag_secret *plain, uint8_t *out, size_t out_size,
                       size_t *out_len)
{
    unsigned long long made = 0;

    if (key->len != AG_KEY_LEN || out_size < AG_SEAL_OVERHEAD ||
        plain->len > out_size - AG_SEAL_OVERHEAD)
        return ANTAG_ERR_INTERNAL;
    out[0] = SEAL_FORMAT;
    ag_random(out + 1, NONCE_LEN);
    if (crypto_aead_xchacha20poly1305_ietf_encrypt(out + 1 + NONCE_LEN, &made, plain->bytes,
                                                   plain->len, ad.p, ad.len, NULL, out + 1,
                                                   key->bytes) != 0)
        return ANTAG_ERR_INTERNAL;
    *out_len = 1 + NONCE_LEN + (size_t)made;
    return ANTAG_OK;
}

enum antag_err ag_unseal(const struct ag_secret *key, struct antag_slice ad,
                         struct antag_slice sealed, struct ag_secret **out)
{
    struct ag_secret *plain;
    size_t len = 0;
    enum antag_err err;

    if (sealed.len < AG_SEAL_OVERHEAD)
        return ANTAG_ERR_REGISTRY;
    plain = ag_secret_new(sealed.len - AG_SEAL_OVERHEAD);
    if (plain == NULL)
        return ANTAG_ERR_NO_MEMORY;
    err = ag_unseal_into(key, ad, sealed, plain->bytes, plain->cap, &len);
    if (err != ANTAG_OK) {
        ag_secret_free(plain);
        return err;
    }
    ag_secret_set_len(plain, len);
    *out = plain;
    return ANTAG_OK;
}

enum antag_err ag_unseal_into(const struct ag_secret *key, struct antag_slice ad,
                              struct antag_slice sealed, uint8_t *out, size_t size, size_t *len)
{
    unsigned long long plain_len = 0;

    if (key->len != AG_KEY_LEN)
        return ANTAG_ERR_INTERNAL;
    if (sealed.len < AG_SEAL_OVERHEAD || sealed.p[0] != SEAL_FORMAT ||
        sealed.len - AG_SEAL_OVERHEAD > size)
        return ANTAG_ERR_REGISTRY;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, &plain_len, NULL, sealed.p + 1 + NONCE_LEN,
                                                   sealed.len - 1 - NONCE_LEN, ad.p, ad.len,
                                                   sealed.p + 1, key->bytes) != 0)
        return ANTAG_ERR_REGISTRY;
    *len = (size_t)plain_len;
    return ANTAG_OK;
}

void ag_mac(const struct ag_secret *key, struct antag_slice data, uint8_t out[AG_MAC_LEN])
{
    if (key->len != AG_KEY_LEN ||
        crypto_generichash(out, AG_MAC_LEN, data.p, data.len, key->bytes, key->len) != 0)
        abort(); /* never hand out a MAC under something that is not the key */
}

/* Read `len` bytes from the start; false with errno set, or 0 when the file ended early. */
static bool read_whole(int fd, uint8_t *p, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, p + done, len - done, (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? 0 : errno;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

enum antag_err ag_secret_read_memfd(int fd, size_t max, struct ag_secret **out,
                                    struct antag_fault *fault)
{
    const int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
    struct ag_secret *s = NULL;
    enum antag_err err;
    struct stat st;
    int seals;

    /* without these seals the sender could change what was checked, or take it away while it is read */
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & wanted) != wanted || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        err =
            antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "file",
                            "must be a memory file sealed against writing, growing and shrinking");
        goto out;
    }
    if (st.st_size < 0 || (uintmax_t)st.st_size > max) {
        err =
            antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "file",
                            "holds %lld bytes, at most %zu are taken", (long long)st.st_size, max);
        goto out;
    }
    s = ag_secret_new((size_t)st.st_size);
    if (s == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no locked memory for %lld bytes",
                              (long long)st.st_size);
        goto out;
    }
    if (!read_whole(fd, s->bytes, s->cap)) {
        err = antag_fault_set(fault, ANTAG_ERR_IO, "file", "the memory file cannot be read: %s",
                              errno != 0 ? strerror(errno) : "it ends early");
        goto out;
    }
    ag_secret_set_len(s, s->cap);
    *out = s;
    s = NULL; /* transferred */
    err = ANTAG_OK;
out:
    ag_secret_free(s);
    if (fd >= 0)
        close(fd);
    return err;
}
