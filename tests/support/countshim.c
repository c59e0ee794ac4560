/* countshim: linked into a copy of the agent, counts what is allocated. What OpenSSL takes for itself is counted apart, as only our own
 * code can be kept from it. counts.PID beside the program, shared with the test, has two numbers of 64 bits: ours and OpenSSL's, since
 * the start of that process. */
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

struct counts {
    _Atomic uint64_t ours, openssls;
};

static struct counts own, *counts = &own; /* own: until the file is there */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

void *malloc(size_t size)
{
    atomic_fetch_add_explicit(&counts->ours, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    atomic_fetch_add_explicit(&counts->ours, 1, memory_order_relaxed);
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    atomic_fetch_add_explicit(&counts->ours, 1, memory_order_relaxed);
    return __libc_realloc(p, size);
}

void *memalign(size_t alignment, size_t size)
{
    atomic_fetch_add_explicit(&counts->ours, 1, memory_order_relaxed);
    return __libc_memalign(alignment, size);
}

static void *ssl_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    atomic_fetch_add_explicit(&counts->openssls, 1, memory_order_relaxed);
    return __libc_malloc(size);
}

static void *ssl_realloc(void *p, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    atomic_fetch_add_explicit(&counts->openssls, 1, memory_order_relaxed);
    return __libc_realloc(p, size);
}

static void ssl_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* Before main, so before a role is confined. */
__attribute__((constructor)) static void begin(void)
{
    char exe[400], path[440];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    struct counts *shared;
    char *slash;
    int fd;

    if (n < 0 || CRYPTO_set_mem_functions(ssl_malloc, ssl_realloc, ssl_free) != 1)
        abort();
    exe[n] = '\0';
    if ((slash = strrchr(exe, '/')) == NULL)
        abort();
    *slash = '\0';
    snprintf(path, sizeof path, "%s/counts.%d", exe, (int)getpid());
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *shared) != 0 ||
        (shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)) ==
            MAP_FAILED)
        abort();
    close(fd);
    counts = shared;
}
