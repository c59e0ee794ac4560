/* chainrig: a folder with chains, their writer, and what can go wrong with a disk: this program's own
 * fdatasync and pwrite, which fail on demand and remember what a power cut would leave. */
#ifndef TESTS_SUPPORT_CHAINRIG_H
#define TESTS_SUPPORT_CHAINRIG_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/lib/chain/chain.h"
#include "agent/lib/chain/file.h"
#include "agent/lib/chain/verify.h"
#include "tests/support/rows.h"

/* ---- the disk */

static struct {
    _Atomic int sync_fails;  /* so many calls from now on fail with EIO */
    _Atomic int write_fails; /* the same, pwrite; -1: all */
    _Atomic int write_errno;
    _Atomic int gate; /* descriptor of an eventfd; a sync waits until it is readable. 0: none */
    _Atomic int syncs;
} disk;

struct durable {
    ino_t ino;
    off_t size;
};
#define DURABLE_MAX 256
static struct durable *durable; /* DURABLE_MAX, shared with children; free ones have ino 0 */

static void remember(const struct stat *st, off_t size)
{
    size_t i = 0;

    while (i < DURABLE_MAX - 1 && durable[i].ino != 0 && durable[i].ino != st->st_ino)
        i++;
    durable[i] = (struct durable){st->st_ino, size};
}

int fdatasync(int fd)
{
    int gate = atomic_load(&disk.gate);
    struct pollfd p = {.fd = gate, .events = POLLIN};
    struct stat st;

    atomic_fetch_add(&disk.syncs, 1);
    if (gate > 0)
        (void)poll(&p, 1, 20000);
    if (atomic_load(&disk.sync_fails) > 0) {
        atomic_fetch_sub(&disk.sync_fails, 1);
        errno = EIO;
        return -1;
    }
    if (fstat(fd, &st) == 0)
        remember(&st, st.st_size);
    return (int)syscall(SYS_fdatasync, fd);
}

/* Syncs wait from now on, until let_syncs_go; the descriptor is the caller's to close. */
static inline int hold_syncs(void)
{
    int gate = eventfd(0, EFD_CLOEXEC);

    atomic_store(&disk.gate, gate);
    return gate;
}

static inline void let_syncs_go(int gate)
{
    uint64_t go = 1;

    CU_ASSERT_EQUAL(write(gate, &go, sizeof go), sizeof go);
}

/* Until more than so many were begun. */
static inline void wait_sync(int more_than)
{
    for (int i = 0; i < 20000 && atomic_load(&disk.syncs) <= more_than; i++)
        (void)poll(NULL, 0, 1);
    CU_ASSERT_TRUE(atomic_load(&disk.syncs) > more_than);
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
    int fails = atomic_load(&disk.write_fails);

    if (fails != 0) {
        size_t half = len / 2;

        if (fails > 0)
            atomic_fetch_sub(&disk.write_fails, 1);
        if (half > 0 && fails > 1) /* a disk that fills up takes a part first */
            return syscall(SYS_pwrite64, fd, p, half, at);
        errno = atomic_load(&disk.write_errno);
        return -1;
    }
    return syscall(SYS_pwrite64, fd, p, len, at);
}

/* ---- the folder */

static char audit[64];

static void audit_path(const char *chain, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s%s%s", audit, chain, name[0] != '\0' ? "/" : "", name);
}

static void remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        char inner[512];

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (e->d_type == DT_DIR)
            remove_tree(inner);
        else
            (void)unlink(inner);
    }
    if (d != NULL)
        closedir(d);
    (void)rmdir(path);
}

static void make_audit(void)
{
    snprintf(audit, sizeof audit, "/tmp/antag-chain-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(audit));
    memset(&disk, 0, sizeof disk);
    if (durable == NULL)
        durable = mmap(NULL, DURABLE_MAX * sizeof *durable, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(durable != MAP_FAILED);
    memset(durable, 0, DURABLE_MAX * sizeof *durable);
}

/* What is not known to be on the disk is gone, or a share of it (of 256) is there all the same. What is
 * there now is on the disk. */
static inline void cut_power(const char *chain, unsigned share)
{
    char path[256];
    DIR *d;
    struct dirent *e;

    audit_path(chain, "", path, sizeof path);
    d = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    while ((e = readdir(d)) != NULL) {
        off_t size = 0;
        struct stat st;
        uint32_t number;
        char inner[512];

        if (!ag_segment_parse(e->d_name, &number))
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        CU_ASSERT_EQUAL(stat(inner, &st), 0);
        for (size_t i = 0; i < DURABLE_MAX; i++)
            if (durable[i].ino == st.st_ino)
                size = durable[i].size;
        if (size > st.st_size)
            size = st.st_size; /* the number of a file that is gone, used again */
        size += (st.st_size - size) * (off_t)share / 256;
        CU_ASSERT_EQUAL(truncate(inner, size), 0);
        remember(&st, size);
    }
    closedir(d);
}

/* ---- the writer */

struct rig {
    struct ag_chain *chain;
    int changed; /* eventfd */
    struct ag_chain_conf conf;
};

static void on_change(void *ctx)
{
    uint64_t one = 1;

    (void)!write(((struct rig *)ctx)->changed, &one, sizeof one);
}

static struct ag_secret *seed(void)
{
    struct ag_secret *s = ag_secret_new(AG_KEY_LEN);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    ag_secret_set_len(s, AG_KEY_LEN);
    memset(ag_secret_bytes(s), 7, AG_KEY_LEN);
    return s;
}

static void rig_open(struct rig *r)
{
    struct ag_secret *s = seed();

    if (r->conf.name == NULL)
        r->conf.name = "soft";
    if (r->conf.segment_max == 0)
        r->conf.segment_max = 64 * 1024 * 1024;
    r->conf.audit_dir = audit;
    r->conf.on_change = on_change;
    r->conf.ctx = r;
    r->conf.seed = s;
    r->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CU_ASSERT_EQUAL_FATAL(ag_chain_open(&r->conf, &r->chain), ANTAG_OK);
    ag_secret_free(s);
}

static inline void rig_close(struct rig *r)
{
    ag_chain_close(r->chain);
    close(r->changed);
    r->chain = NULL;
}

/* Waits until a line's fate is one; false after 20 s. */
static inline bool wait_fate(struct rig *r, uint64_t seq, enum ag_fate fate)
{
    for (int i = 0; i < 2000; i++) {
        struct pollfd p = {.fd = r->changed, .events = POLLIN};
        uint64_t drop;

        if (ag_chain_fate(r->chain, seq) == fate)
            return true;
        (void)poll(&p, 1, 10);
        (void)!read(r->changed, &drop, sizeof drop);
    }
    return false;
}

/* One line with a number of its own. */
typedef enum antag_err append_fn(struct ag_chain *c, const struct ag_chain_record *records,
                                 size_t count, uint64_t *first, struct antag_fault *fault);
static inline enum antag_err add_by(append_fn *append, struct rig *r, uint64_t number,
                                    uint64_t *seq, struct antag_fault *fault)
{
    struct ag_chain_record record = {
        .type = "sign",
        .fields = (const struct ag_log_field[]){AG_F_UINT("n", number),
                                                AG_F_TEXT("trace", "a \"b\" \\ \n \xc3\xa9"),
                                                {.kind = AG_LF_END}}};

    return append(r->chain, &record, 1, seq, fault);
}

static inline enum antag_err add(struct rig *r, uint64_t number, uint64_t *seq,
                                 struct antag_fault *fault)
{
    return add_by(ag_chain_append, r, number, seq, fault);
}

static inline uint64_t must_add(struct rig *r, uint64_t number)
{
    struct antag_fault fault = {.err = ANTAG_OK};
    uint64_t seq = 0;

    ROW_ASSERT(fault.text, add(r, number, &seq, &fault) == ANTAG_OK);
    return seq;
}

/* ---- what was found */

struct found {
    struct ag_verify_result result;
    size_t count;
    struct ag_finding findings[32];
    uint64_t lines_of_sign;
    bool has[4096]; /* `n` of the sign lines */
};

static inline void on_finding(const struct ag_finding *f, void *ctx)
{
    struct found *found = ctx;

    if (found->count < ROW_COUNT(found->findings))
        found->findings[found->count++] = *f;
}

static inline void on_line(const struct ag_line_head *head, struct antag_slice line, void *ctx)
{
    struct found *found = ctx;
    uint64_t n;

    if (strcmp(head->type, "sign") != 0 || !ag_line_uint(line, "n", &n))
        return;
    found->lines_of_sign++;
    if (n < ROW_COUNT(found->has)) {
        CU_ASSERT_FALSE(found->has[n]); /* never twice */
        found->has[n] = true;
    }
}

static inline void look(const struct ag_verify_conf *extra, struct found *found)
{
    struct ag_verify_conf conf = extra != NULL ? *extra : (struct ag_verify_conf){0};
    struct antag_fault fault = {.err = ANTAG_OK};

    memset(found, 0, sizeof *found);
    conf.audit_dir = audit;
    if (conf.name == NULL)
        conf.name = "soft";
    conf.on_finding = on_finding;
    conf.on_line = on_line;
    conf.ctx = found;
    ROW_ASSERT(fault.text, ag_chain_verify(&conf, &found->result, &fault) == ANTAG_OK);
}

static inline void print_findings(const struct found *found)
{
    for (size_t i = 0; i < found->count; i++)
        printf("\n    %s %u:%llu %s",
               found->findings[i].kind == AG_FINDING_NOTE ? "note" : "BROKEN",
               found->findings[i].segment, (unsigned long long)found->findings[i].line,
               found->findings[i].text);
}

#endif
