/* Secrets: guarded, locked, wiped; seals open in their place only; files are read only when sealed. */
#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/lib/secret.h"
#include "tests/support/rows.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* their run time turns mlock into nothing */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Run `f` in a child without core file; its wait status. */
static int in_child(void (*f)(void))
{
    const struct rlimit none = {0, 0};
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &none);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(98);
        f();
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    return status;
}

static bool ended_well(int status)
{
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- setting up */

static void no_memlock(rlim_t bytes)
{
    const struct rlimit limit = {bytes, bytes};
    struct antag_fault fault = {0};

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        _exit(2);
    if (geteuid() == 0 && setresuid(10001, 10001, 10001) != 0) /* root may lock without limit */
        _exit(3);
    if (ag_secret_setup(&fault) != ANTAG_ERR_PROTECTION ||
        strstr(fault.text, "LimitMEMLOCK") == NULL)
        _exit(4);
}

static void no_memlock_at_all(void)
{
    no_memlock(0);
}

static void little_memlock(void)
{
    no_memlock(64 * 1024);
}

static void enough_memlock(void)
{
    const struct rlimit limit = {8 << 20, 8 << 20};
    struct ag_secret *s;

    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        _exit(2);
    if (geteuid() == 0 && setresuid(10001, 10001, 10001) != 0)
        _exit(3);
    if (ag_secret_setup(NULL) != ANTAG_OK || !CRYPTO_secure_malloc_initialized())
        _exit(4);
    s = ag_secret_new(2 << 20); /* the other half is for our own blocks */
    if (s == NULL)
        _exit(5);
    if (!SANITIZED && ag_secret_new(8 << 20) != NULL)
        _exit(6); /* a block that cannot be locked must not be handed out */
    ag_secret_free(s);
}

static void test_limits(void)
{
    CU_ASSERT(ended_well(in_child(no_memlock_at_all)));
    CU_ASSERT(ended_well(in_child(little_memlock)));
    CU_ASSERT(ended_well(in_child(enough_memlock)));
}

static void test_setup(void)
{
    CU_ASSERT_EQUAL_FATAL(ag_secret_setup(NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_secret_setup(NULL), ANTAG_OK);
}

/* ---- blocks */

/* Has the mapping of `p` this flag (proc(5), VmFlags: "lo" locked, "dd" not dumped)? */
static bool has_flag(const void *p, const char *flag)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    bool inside = false, found = false;
    char line[1024];

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (unsigned long)p && (unsigned long)p < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag) != NULL;
    }
    if (f != NULL)
        fclose(f);
    return found;
}

static void test_blocks(void)
{
    static const size_t caps[] = {0, 1, 15, 16, 17, 4095, 4096, 4097, 65536};

    for (size_t i = 0; i < ROW_COUNT(caps); i++) {
        struct ag_secret *s = ag_secret_new(caps[i]), *copy;

        CU_ASSERT_PTR_NOT_NULL_FATAL(s);
        CU_ASSERT_EQUAL(ag_secret_len(s), 0);
        CU_ASSERT_EQUAL(ag_secret_cap(s), caps[i]);
        for (size_t k = 0; k < caps[i]; k++)
            CU_ASSERT_EQUAL_FATAL(ag_secret_bytes(s)[k], 0);
        CU_ASSERT(has_flag(ag_secret_bytes(s), " dd"));
        CU_ASSERT(SANITIZED || has_flag(ag_secret_bytes(s), " lo"));
        ag_random(ag_secret_bytes(s), caps[i]);
        ag_secret_set_len(s, caps[i]);
        copy = ag_secret_copy(s);
        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        CU_ASSERT_EQUAL(ag_secret_slice(copy).len, caps[i]);
        CU_ASSERT(ag_secret_equal(ag_secret_bytes(s), ag_secret_bytes(copy), caps[i]));
        CU_ASSERT(ag_secret_bytes(s) != ag_secret_bytes(copy));
        ag_secret_free(copy);
        ag_secret_free(s);
    }
    ag_secret_free(NULL);
}

static void test_openssl_heap(void)
{
    void *p = OPENSSL_secure_malloc(900);

    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_EQUAL(CRYPTO_secure_allocated(p), 1);
    CU_ASSERT(has_flag(p, " dd"));
    CU_ASSERT(has_flag(p, " lo"));
    OPENSSL_secure_clear_free(p, 900);
}

static void write_behind(void)
{
    struct ag_secret *s = ag_secret_new(32);

    ((volatile uint8_t *)ag_secret_bytes(s))[32] = 1;
}

static void write_before(void)
{
    struct ag_secret *s = ag_secret_new(32);

    ((volatile uint8_t *)ag_secret_bytes(s))[-1] ^= 1;
    ag_secret_free(s); /* finds it */
}

static void length_over(void)
{
    struct ag_secret *s = ag_secret_new(32);

    ag_secret_set_len(s, 33);
}

static void short_key(void)
{
    struct ag_secret *s = ag_secret_new(AG_KEY_LEN);
    uint8_t mac[AG_MAC_LEN];

    ag_secret_set_len(s, AG_KEY_LEN - 1);
    ag_mac(s, antag_slice_of("abc"), mac);
}

static void test_guards(void)
{
    CU_ASSERT(!ended_well(in_child(write_behind)));
    CU_ASSERT(!ended_well(in_child(write_before)));
    CU_ASSERT(!ended_well(in_child(length_over)));
    CU_ASSERT(!ended_well(in_child(short_key)));
}

static void test_wipe_and_equal(void)
{
    uint8_t a[33], b[33];

    memset(a, 7, sizeof a);
    memset(b, 7, sizeof b);
    CU_ASSERT(ag_secret_equal(a, b, sizeof a));
    b[32] = 8;
    CU_ASSERT(!ag_secret_equal(a, b, sizeof a));
    CU_ASSERT(ag_secret_equal(a, b, 32));
    CU_ASSERT(ag_secret_equal(a, b, 0));
    ag_secret_wipe(a, 32);
    for (size_t i = 0; i < 32; i++)
        CU_ASSERT_EQUAL(a[i], 0);
    CU_ASSERT_EQUAL(a[32], 7);
    ag_secret_wipe(a, 0);
}

/* ---- keys: expected values from Python's hashlib.blake2b(text, key=bytes(range(32)), digest_size=32) */

#define DERIVED_HEX                                                                                \
    "107428a5464eb69544cb238ba8a6c6a0f61adefadb8a7e2b7eb7aaebb2835fc5" /* keyring:soft */
#define MAC_HEX "d63a32d3e44738d7907f964316c241adaba0abfeabc32349677578a15a203f7f" /* abc */

static struct ag_secret *counting_key(void)
{
    struct ag_secret *key = ag_secret_new(AG_KEY_LEN);

    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    for (size_t i = 0; i < AG_KEY_LEN; i++)
        ag_secret_bytes(key)[i] = (uint8_t)i;
    ag_secret_set_len(key, AG_KEY_LEN);
    return key;
}

static bool is_hex(const uint8_t *p, const char *hex)
{
    char text[2 * AG_MAC_LEN + 1];

    for (size_t i = 0; i < AG_MAC_LEN; i++)
        snprintf(text + 2 * i, 3, "%02x", p[i]);
    return strcmp(text, hex) == 0;
}

static void test_derive_and_mac(void)
{
    struct ag_secret *key = counting_key();
    struct ag_secret *sub = ag_secret_derive(key, "keyring:soft");
    struct ag_secret *other = ag_secret_derive(key, "keyring:sof");
    uint8_t mac[AG_MAC_LEN];

    CU_ASSERT_PTR_NOT_NULL_FATAL(sub);
    CU_ASSERT_PTR_NOT_NULL_FATAL(other);
    CU_ASSERT_EQUAL(ag_secret_len(sub), AG_KEY_LEN);
    CU_ASSERT(is_hex(ag_secret_bytes(sub), DERIVED_HEX));
    CU_ASSERT(!ag_secret_equal(ag_secret_bytes(sub), ag_secret_bytes(other), AG_KEY_LEN));
    ag_mac(key, antag_slice_of("abc"), mac);
    CU_ASSERT(is_hex(mac, MAC_HEX));
    ag_secret_free(other);
    ag_secret_free(sub);
    ag_secret_free(key);
}

/* ---- seals */

static struct ag_secret *text_secret(const char *text, size_t len)
{
    struct ag_secret *s = ag_secret_new(len);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    memcpy(ag_secret_bytes(s), text, len);
    ag_secret_set_len(s, len);
    return s;
}

static void test_seal_round(void)
{
    static const size_t lens[] = {0, 1, 31, 32, 33, 4096};
    static const char zeros[4096];
    struct ag_secret *key = counting_key();
    uint8_t sealed[4096 + AG_SEAL_OVERHEAD], again[4096 + AG_SEAL_OVERHEAD];

    for (size_t i = 0; i < ROW_COUNT(lens); i++) {
        struct ag_secret *plain = text_secret(zeros, lens[i]), *opened = NULL;
        struct antag_slice ad = antag_slice_of("row 7");
        size_t len = 0, again_len = 0;

        CU_ASSERT_EQUAL_FATAL(ag_seal(key, ad, plain, sealed, lens[i] + AG_SEAL_OVERHEAD, &len),
                              ANTAG_OK);
        CU_ASSERT_EQUAL(len, lens[i] + AG_SEAL_OVERHEAD);
        CU_ASSERT_EQUAL_FATAL(ag_seal(key, ad, plain, again, sizeof again, &again_len), ANTAG_OK);
        CU_ASSERT(memcmp(sealed, again, len) != 0); /* another nonce */
        CU_ASSERT_EQUAL_FATAL(ag_unseal(key, ad, (struct antag_slice){sealed, len}, &opened),
                              ANTAG_OK);
        CU_ASSERT_EQUAL(ag_secret_len(opened), lens[i]);
        CU_ASSERT(ag_secret_equal(ag_secret_bytes(opened), zeros, lens[i]));
        ag_secret_free(opened);
        ag_secret_free(plain);
    }
    ag_secret_free(key);
}

static void test_seal_refusals(void)
{
    struct ag_secret *key = counting_key(), *other = ag_secret_derive(key, "other");
    struct ag_secret *plain = text_secret("secret", 6), *opened = NULL;
    struct antag_slice ad = antag_slice_of("row 7");
    uint8_t sealed[6 + AG_SEAL_OVERHEAD + 1] = {0};
    size_t len = 99;

    CU_ASSERT_EQUAL(ag_seal(key, ad, plain, sealed, 6 + AG_SEAL_OVERHEAD - 1, &len),
                    ANTAG_ERR_INTERNAL);
    CU_ASSERT_EQUAL(ag_seal(key, ad, plain, sealed, 0, &len), ANTAG_ERR_INTERNAL);
    CU_ASSERT_EQUAL(len, 99);
    CU_ASSERT_EQUAL(sealed[0], 0);
    CU_ASSERT_EQUAL_FATAL(ag_seal(key, ad, plain, sealed, 6 + AG_SEAL_OVERHEAD, &len), ANTAG_OK);
    for (size_t n = 0; n <= sizeof sealed; n++) /* each prefix, and one byte more */
        if (n != len)
            CU_ASSERT_EQUAL(ag_unseal(key, ad, (struct antag_slice){sealed, n}, &opened),
                            ANTAG_ERR_REGISTRY);
    for (size_t bit = 0; bit < 8 * len; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        CU_ASSERT_EQUAL(ag_unseal(key, ad, (struct antag_slice){sealed, len}, &opened),
                        ANTAG_ERR_REGISTRY);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    CU_ASSERT_EQUAL(ag_unseal(other, ad, (struct antag_slice){sealed, len}, &opened),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(
        ag_unseal(key, antag_slice_of("row 8"), (struct antag_slice){sealed, len}, &opened),
        ANTAG_ERR_REGISTRY);
    CU_ASSERT_EQUAL(ag_unseal(key, antag_slice_of(""), (struct antag_slice){sealed, len}, &opened),
                    ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NULL(opened);
    CU_ASSERT_EQUAL(ag_unseal(key, ad, (struct antag_slice){sealed, len}, &opened), ANTAG_OK);
    ag_secret_free(opened);
    ag_secret_free(plain);
    ag_secret_free(other);
    ag_secret_free(key);
}

/* ---- memory files */

enum source { MEMFD, PLAIN_FILE, PIPE, FOLDER, NOTHING };
#define ALL (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK)
static const struct {
    const char *name;
    enum source source;
    int seals;
    size_t size, max;
    enum antag_err err;
    const char *says;
} file_rows[] = {
    {"small", MEMFD, ALL, 5, 64, ANTAG_OK, ""},
    {"empty", MEMFD, ALL, 0, 64, ANTAG_OK, ""},
    {"sealed against seals too", MEMFD, ALL | F_SEAL_SEAL, 5, 64, ANTAG_OK, ""},
    {"largest", MEMFD, ALL, 65536, 65536, ANTAG_OK, ""},
    {"over", MEMFD, ALL, 65537, 65536, ANTAG_ERR_BAD_PARAM, "65537 bytes, at most 65536"},
    {"not sealed", MEMFD, 0, 5, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"can be written", MEMFD, ALL & ~F_SEAL_WRITE, 5, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"can grow", MEMFD, ALL & ~F_SEAL_GROW, 5, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"can shrink", MEMFD, ALL & ~F_SEAL_SHRINK, 5, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"file", PLAIN_FILE, 0, 5, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"pipe", PIPE, 0, 0, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"folder", FOLDER, 0, 0, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"nothing", NOTHING, 0, 0, 64, ANTAG_ERR_BAD_PARAM, "sealed"},
};

static int make_source(size_t row, const uint8_t *bytes, int *extra)
{
    char path[] = "/tmp/antag-secret-XXXXXX";
    int fds[2], fd = -1;

    *extra = -1;
    switch (file_rows[row].source) {
    case MEMFD:
        fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        CU_ASSERT_EQUAL_FATAL(write(fd, bytes, file_rows[row].size), (ssize_t)file_rows[row].size);
        CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_ADD_SEALS, file_rows[row].seals), 0);
        break;
    case PLAIN_FILE:
        fd = mkstemp(path);
        unlink(path);
        break;
    case PIPE:
        CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
        fd = fds[0];
        *extra = fds[1];
        break;
    case FOLDER:
        fd = open("/tmp", O_RDONLY | O_DIRECTORY);
        break;
    case NOTHING:
        return -1;
    }
    CU_ASSERT_FATAL(fd >= 0);
    return fd;
}

static void test_read_memfd(void)
{
    static uint8_t bytes[65537];

    ag_random(bytes, sizeof bytes);
    for (size_t i = 0; i < ROW_COUNT(file_rows); i++) {
        struct antag_fault fault = {0};
        struct ag_secret *s = NULL;
        int extra, fd = make_source(i, bytes, &extra);
        enum antag_err err = ag_secret_read_memfd(fd, file_rows[i].max, &s, &fault);

        ROW_ASSERT(file_rows[i].name, err == file_rows[i].err);
        ROW_ASSERT(file_rows[i].name, (s != NULL) == (err == ANTAG_OK));
        ROW_ASSERT(file_rows[i].name, fd < 0 || fcntl(fd, F_GETFD) == -1); /* closed always */
        if (s != NULL) {
            ROW_ASSERT(file_rows[i].name, ag_secret_len(s) == file_rows[i].size);
            ROW_ASSERT(file_rows[i].name,
                       ag_secret_equal(ag_secret_bytes(s), bytes, file_rows[i].size));
        } else {
            ROW_ASSERT(file_rows[i].name, strstr(fault.text, file_rows[i].says) != NULL);
        }
        if (extra >= 0)
            close(extra);
        ag_secret_free(s);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"limits of locked memory", test_limits}, /* first: needs a process not yet set up */
        {"set-up", test_setup},
        {"blocks", test_blocks},
        {"the heap of private keys", test_openssl_heap},
        {"guards", test_guards},
        {"wipe and compare", test_wipe_and_equal},
        {"subkeys and MACs", test_derive_and_mac},
        {"seal and unseal", test_seal_round},
        {"seals refused", test_seal_refusals},
        {"memory files", test_read_memfd},
        CU_TEST_INFO_NULL,
    };

    return run_tests("secret", tests);
}
