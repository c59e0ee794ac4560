/* A VFS for SQLite that passes everything on to the system's, counts what changes the disk (opens,
 * writes, syncs, truncations, deletions) and fails the n-th of them, once or from then on. As it is the
 * default VFS while it is set up, the code under test knows nothing of it. */
#ifndef TESTS_FAIL_VFS_H
#define TESTS_FAIL_VFS_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static struct fail_vfs {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    long count;     /* operations since the plan was made */
    long fail_at;   /* 0: none */
    bool for_ever;  /* the disk stays bad */
    int code;       /* SQLITE_FULL or an SQLITE_IOERR of a kind */
    bool half;      /* a failing write has written half of its bytes */
    int open_files; /* must be 0 when everything is closed */
    long failures;  /* how many operations were failed */
} fail_vfs;

struct fail_file {
    sqlite3_file base;
    sqlite3_file *real;
};

static inline void fail_vfs_plan(long at, bool for_ever, int code, bool half)
{
    fail_vfs.count = 0;
    fail_vfs.failures = 0;
    fail_vfs.fail_at = at;
    fail_vfs.for_ever = for_ever;
    fail_vfs.code = code;
    fail_vfs.half = half;
}

static inline bool fail_now(void)
{
    bool fail;

    fail_vfs.count++;
    fail = fail_vfs.fail_at > 0 && (fail_vfs.for_ever ? fail_vfs.count >= fail_vfs.fail_at
                                                      : fail_vfs.count == fail_vfs.fail_at);
    fail_vfs.failures += fail;
    return fail;
}

static inline sqlite3_file *fail_real(sqlite3_file *f)
{
    return ((struct fail_file *)f)->real;
}

static int fail_close(sqlite3_file *f)
{
    int code = fail_real(f)->pMethods->xClose(fail_real(f));

    fail_vfs.open_files--;
    return code;
}
static int fail_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return fail_real(f)->pMethods->xRead(fail_real(f), p, n, at);
}
static int fail_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    if (!fail_now())
        return fail_real(f)->pMethods->xWrite(fail_real(f), p, n, at);
    if (fail_vfs.half)
        (void)fail_real(f)->pMethods->xWrite(fail_real(f), p, n / 2, at);
    return fail_vfs.code;
}
static int fail_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    return fail_now() ? SQLITE_IOERR_TRUNCATE
                      : fail_real(f)->pMethods->xTruncate(fail_real(f), size);
}
static int fail_sync(sqlite3_file *f, int flags)
{
    return fail_now() ? SQLITE_IOERR_FSYNC : fail_real(f)->pMethods->xSync(fail_real(f), flags);
}
static int fail_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return fail_real(f)->pMethods->xFileSize(fail_real(f), size);
}
static int fail_lock(sqlite3_file *f, int level)
{
    return fail_real(f)->pMethods->xLock(fail_real(f), level);
}
static int fail_unlock(sqlite3_file *f, int level)
{
    return fail_real(f)->pMethods->xUnlock(fail_real(f), level);
}
static int fail_reserved(sqlite3_file *f, int *out)
{
    return fail_real(f)->pMethods->xCheckReservedLock(fail_real(f), out);
}
static int fail_control(sqlite3_file *f, int op, void *arg)
{
    return fail_real(f)->pMethods->xFileControl(fail_real(f), op, arg);
}
static int fail_sector(sqlite3_file *f)
{
    return fail_real(f)->pMethods->xSectorSize(fail_real(f));
}
static int fail_traits(sqlite3_file *f)
{
    return fail_real(f)->pMethods->xDeviceCharacteristics(fail_real(f));
}
static int fail_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return fail_real(f)->pMethods->xShmMap(fail_real(f), page, size, extend, out);
}
static int fail_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return fail_real(f)->pMethods->xShmLock(fail_real(f), offset, n, flags);
}
static void fail_shm_barrier(sqlite3_file *f)
{
    fail_real(f)->pMethods->xShmBarrier(fail_real(f));
}
static int fail_shm_unmap(sqlite3_file *f, int remove)
{
    return fail_real(f)->pMethods->xShmUnmap(fail_real(f), remove);
}

static const sqlite3_io_methods fail_methods = {
    .iVersion = 2, /* without xFetch: nothing is mapped behind our back */
    .xClose = fail_close,
    .xRead = fail_read,
    .xWrite = fail_write,
    .xTruncate = fail_truncate,
    .xSync = fail_sync,
    .xFileSize = fail_size,
    .xLock = fail_lock,
    .xUnlock = fail_unlock,
    .xCheckReservedLock = fail_reserved,
    .xFileControl = fail_control,
    .xSectorSize = fail_sector,
    .xDeviceCharacteristics = fail_traits,
    .xShmMap = fail_shm_map,
    .xShmLock = fail_shm_lock,
    .xShmBarrier = fail_shm_barrier,
    .xShmUnmap = fail_shm_unmap,
};

static int fail_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct fail_file *file = (struct fail_file *)f;
    int code;

    (void)vfs;
    memset(file, 0, sizeof(*file));
    file->real = (sqlite3_file *)(file + 1); /* szOsFile counts both */
    if (fail_now())
        return SQLITE_CANTOPEN;
    code = fail_vfs.real->xOpen(fail_vfs.real, name, file->real, flags, out);
    if (code != SQLITE_OK) {
        /* the real VFS may want its own close after a failed open */
        if (file->real->pMethods != NULL)
            file->real->pMethods->xClose(file->real);
        return code;
    }
    file->base.pMethods = &fail_methods;
    fail_vfs.open_files++;
    return SQLITE_OK;
}

static int fail_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    (void)vfs;
    return fail_now() ? SQLITE_IOERR_DELETE : fail_vfs.real->xDelete(fail_vfs.real, name, sync);
}

/* The default VFS until fail_vfs_fini(). 0, or SQLite's code. */
static inline int fail_vfs_init(void)
{
    fail_vfs = (struct fail_vfs){0};
    fail_vfs.real = sqlite3_vfs_find(NULL);
    if (fail_vfs.real == NULL)
        return SQLITE_ERROR;
    fail_vfs.vfs = *fail_vfs.real;
    fail_vfs.vfs.pNext = NULL;
    fail_vfs.vfs.zName = "fail";
    fail_vfs.vfs.szOsFile = (int)sizeof(struct fail_file) + fail_vfs.real->szOsFile;
    fail_vfs.vfs.xOpen = fail_open;
    fail_vfs.vfs.xDelete = fail_delete;
    return sqlite3_vfs_register(&fail_vfs.vfs, 1);
}

static inline void fail_vfs_fini(void)
{
    sqlite3_vfs_unregister(&fail_vfs.vfs);
    sqlite3_vfs_register(fail_vfs.real, 1);
}

#endif
