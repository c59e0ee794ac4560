/* registry under a failing disk and failing memory: the n-th operation fails, for every n. Whatever
 * fails, no call claims what is not so, the registry reopens as it was before or after the transaction,
 * whole, and nothing leaks. */
#include "tests/support/fail_vfs.h"
#include "tests/support/registry_tool.h"

#define STEPS_MAX 2000 /* more operations than any run has */

static struct reg_place place;
static char master[128];

#define OK(call)                                                                                   \
    do {                                                                                           \
        enum antag_err ok_err = (call);                                                            \
                                                                                                   \
        if (ok_err != ANTAG_OK)                                                                    \
            printf("%s:%d: %s\n", __FILE__, __LINE__, place.fault.text);                           \
        CU_ASSERT_EQUAL_FATAL(ok_err, ANTAG_OK);                                                   \
    } while (0)
#define F (&place.fault)

/* ---- the n-th allocation of SQLite */

static sqlite3_mem_methods real_memory;
static long memory_count, memory_fail_at;

static bool memory_fails(void)
{
    return memory_fail_at > 0 && ++memory_count >= memory_fail_at;
}
static void *fail_malloc(int n)
{
    return memory_fails() ? NULL : real_memory.xMalloc(n);
}
static void *fail_realloc(void *p, int n)
{
    return memory_fails() ? NULL : real_memory.xRealloc(p, n);
}

static int memory_init(void)
{
    sqlite3_mem_methods m;

    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory) != SQLITE_OK)
        return -1;
    m = real_memory;
    m.xMalloc = fail_malloc;
    m.xRealloc = fail_realloc;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &m) == SQLITE_OK ? sqlite3_initialize() : -1;
}

/* ---- what both kinds of fault share */

static void fresh(void)
{
    ag_regdb_remove_files(place.path);
    CU_ASSERT_EQUAL_FATAL(reg_copy_file(master, place.path), 0);
}

/* Before: grant 1 there, key 1 active with a private half, no shop7. After: the opposite of each. */
static enum antag_err change(struct ag_registry *r, uint64_t *epoch)
{
    struct ag_row_app a = reg_app(7);
    struct ag_row_key k;
    enum antag_err err;

    if ((err = ag_registry_begin(r, F)) != ANTAG_OK ||
        (err = ag_registry_put_app(r, &a, F)) != ANTAG_OK ||
        (err = ag_registry_delete_grant(r, 1, F)) != ANTAG_OK ||
        (err = ag_registry_get_key(r, 1, &k, F)) != ANTAG_OK)
        goto out;
    k.state = AG_KEY_DESTROYED;
    k.sealed_len = 0;
    if ((err = ag_registry_put_key(r, &k, F)) == ANTAG_OK)
        err = ag_registry_commit(r, epoch, F);
out:
    if (err != ANTAG_OK)
        ag_registry_rollback(r);
    return err;
}

/* 0 before, 1 after, -1 neither. */
static int state_of(struct ag_registry *r)
{
    struct ag_row_app a;
    struct ag_row_key k;
    struct ag_grant g;
    bool app = ag_registry_find_app(r, "shop7", &a, NULL) == ANTAG_OK;
    bool grant = ag_registry_get_grant(r, 1, &g, NULL) == ANTAG_OK;

    if (grant)
        ag_grant_fini(&g);
    if (ag_registry_get_key(r, 1, &k, NULL) != ANTAG_OK)
        return -1;
    if (!app && grant && k.state == AG_KEY_ACTIVE && ag_registry_epoch(r) == 2)
        return 0;
    if (app && !grant && k.state == AG_KEY_DESTROYED && ag_registry_epoch(r) == 3)
        return 1;
    return -1;
}

static const char *const expected_errors[] = {"IO", "NO_MEMORY"};

static bool is_expected(enum antag_err err)
{
    for (size_t i = 0; i < sizeof(expected_errors) / sizeof(expected_errors[0]); i++)
        if (strcmp(antag_err_name(err), expected_errors[i]) == 0)
            return true;
    return false;
}

static void complain(const char *what, const char *mode, long n, enum antag_err err)
{
    printf("%s, %s, operation %ld: %s: %s\n", what, mode, n, antag_err_name(err), place.fault.text);
    CU_FAIL("fault not borne");
}

/* Open and look, with everything in order again. */
static int look(void)
{
    struct ag_registry *r = NULL;
    int state;

    OK(ag_registry_open(place.path, place.key, &r, F));
    state = state_of(r);
    ag_registry_close(r);
    return state;
}

/* ---- disk */

static const struct {
    const char *name;
    bool for_ever;
    int code;
    bool half;
} disks[] = {
    {"full once", false, SQLITE_FULL, false},
    {"full from then on", true, SQLITE_FULL, false},
    {"write error, half written", true, SQLITE_IOERR_WRITE, true},
    {"one write error, half written", false, SQLITE_IOERR_WRITE, true},
};

static void test_disk_fails_in_a_transaction(void)
{
    for (size_t d = 0; d < sizeof(disks) / sizeof(disks[0]); d++) {
        bool failed = true;
        long n;

        for (n = 1; failed && n < STEPS_MAX; n++) {
            struct ag_registry *r = NULL;
            uint64_t epoch = 0;
            enum antag_err err;
            int state;

            fresh();
            fail_vfs_plan(0, false, 0, false);
            OK(ag_registry_open(place.path, place.key, &r, F));
            fail_vfs_plan(n, disks[d].for_ever, disks[d].code, disks[d].half);
            err = change(r, &epoch);
            failed = fail_vfs.failures > 0;
            state = state_of(r); /* signing goes on: reading needs no disk space */
            if (err != ANTAG_OK && !is_expected(err))
                complain("unexpected error", disks[d].name, n, err);
            if (state != (err == ANTAG_OK) || (err == ANTAG_OK) != (epoch == 3))
                complain("the open registry tells something else", disks[d].name, n, err);
            ag_registry_close(r);
            fail_vfs_plan(0, false, 0, false);
            state = look();
            /* a commit whose sync failed may have come through nevertheless; half of one may not */
            if (state < 0 || (err == ANTAG_OK && state != 1))
                complain("the reopened registry is neither before nor after", disks[d].name, n,
                         err);
        }
        CU_ASSERT_TRUE(n > 5);
        CU_ASSERT_TRUE(n < STEPS_MAX);
        CU_ASSERT_EQUAL(fail_vfs.open_files, 0);
    }
}

/* After the disk recovers, the same open registry goes on without a restart. */
static void test_disk_recovers(void)
{
    bool failed = true;

    for (long n = 1; failed && n < STEPS_MAX; n++) {
        struct ag_registry *r = NULL;
        uint64_t epoch = 0;
        enum antag_err err;

        fresh();
        fail_vfs_plan(0, false, 0, false);
        OK(ag_registry_open(place.path, place.key, &r, F));
        fail_vfs_plan(n, true, SQLITE_FULL, true);
        err = change(r, &epoch);
        failed = fail_vfs.failures > 0;
        fail_vfs_plan(0, false, 0, false);
        if (err != ANTAG_OK)
            OK(change(r, &epoch));
        CU_ASSERT_EQUAL(epoch, 3);
        ag_registry_close(r);
        CU_ASSERT_EQUAL(look(), 1);
    }
}

/* The power goes at the n-th operation: nothing reaches the disk any more, and the files are taken as
 * they stand, without closing. */
static void test_power_cut(void)
{
    bool failed = true;
    char copy[128], from[160], to[160];
    long n;

    snprintf(copy, sizeof(copy), "%s/old.db", place.dir);
    for (n = 1; failed && n < STEPS_MAX; n++) {
        struct ag_registry *r = NULL, *again = NULL;
        uint64_t epoch = 0;
        enum antag_err err;

        fresh();
        fail_vfs_plan(0, false, 0, false);
        OK(ag_registry_open(place.path, place.key, &r, F));
        fail_vfs_plan(n, true, SQLITE_IOERR_WRITE, true);
        err = change(r, &epoch);
        failed = fail_vfs.failures > 0;
        CU_ASSERT_EQUAL_FATAL(reg_copy_file(place.path, copy), 0);
        snprintf(from, sizeof(from), "%s-wal", place.path);
        snprintf(to, sizeof(to), "%s-wal", copy);
        CU_ASSERT_EQUAL_FATAL(reg_copy_file(from, to), 0);
        fail_vfs_plan(0, false, 0, false);
        ag_registry_close(r);
        OK(ag_registry_open(copy, place.key, &again, F));
        if (state_of(again) < 0 || (err == ANTAG_OK && state_of(again) != 1))
            complain("after the power cut neither before nor after", "power cut", n, err);
        ag_registry_close(again);
        ag_regdb_remove_files(copy);
    }
    CU_ASSERT_TRUE(n > 5);
}

static void test_disk_fails_in_create(void)
{
    for (size_t d = 0; d < sizeof(disks) / sizeof(disks[0]); d++) {
        enum antag_err err = ANTAG_ERR_IO;
        bool failed = true;
        long n;

        for (n = 1; failed && n < STEPS_MAX; n++) {
            struct ag_registry *r = NULL;
            struct stat st;

            ag_regdb_remove_files(place.path);
            fail_vfs_plan(n, disks[d].for_ever, disks[d].code, disks[d].half);
            err = ag_registry_create(place.path, place.key, 1001, 1, F);
            failed = fail_vfs.failures > 0;
            fail_vfs_plan(0, false, 0, false);
            if (err != ANTAG_OK && (!is_expected(err) || stat(place.path, &st) == 0))
                complain("create left something or failed strangely", disks[d].name, n, err);
            if (err != ANTAG_OK)
                continue;
            OK(ag_registry_open(place.path, place.key, &r, F));
            CU_ASSERT_EQUAL(ag_registry_epoch(r), 1);
            ag_registry_close(r);
        }
        CU_ASSERT_TRUE(n > 10);
        CU_ASSERT_EQUAL(err, ANTAG_OK);
        CU_ASSERT_EQUAL(fail_vfs.open_files, 0);
    }
}

static void test_disk_fails_in_open(void)
{
    bool failed = true;
    long n;

    for (n = 1; failed && n < STEPS_MAX; n++) {
        struct ag_registry *r = NULL;
        enum antag_err err;

        fresh();
        fail_vfs_plan(n, true, SQLITE_IOERR_WRITE, false);
        err = ag_registry_open(place.path, place.key, &r, F);
        failed = fail_vfs.failures > 0;
        if (err == ANTAG_OK ? state_of(r) != 0 : !is_expected(err) || r != NULL)
            complain("open", "disk stays bad", n, err);
        ag_registry_close(r);
        fail_vfs_plan(0, false, 0, false);
        CU_ASSERT_EQUAL(look(), 0);
    }
    CU_ASSERT_TRUE(n > 2);
    CU_ASSERT_EQUAL(fail_vfs.open_files, 0);
}

/* ---- memory */

static void test_memory_fails(void)
{
    sqlite3_int64 used = sqlite3_memory_used();
    bool failed = true;
    long n;

    for (n = 1; failed && n < 20 * STEPS_MAX; n += 1 + n / 50) {
        struct ag_registry *r = NULL;
        uint64_t epoch = 0;
        enum antag_err err;
        int state;

        fresh();
        memory_count = 0;
        memory_fail_at = n;
        err = ag_registry_open(place.path, place.key, &r, F);
        if (err == ANTAG_OK)
            err = change(r, &epoch);
        failed = memory_count >= n;
        memory_fail_at = 0;
        if (err != ANTAG_OK && !is_expected(err))
            complain("unexpected error", "memory", n, err);
        ag_registry_close(r);
        state = look();
        if (state < 0 || (err == ANTAG_OK) != (state == 1))
            complain("the reopened registry is neither before nor after", "memory", n, err);
    }
    CU_ASSERT_TRUE(n > 100);
    CU_ASSERT_EQUAL(sqlite3_memory_used(), used);
}

int main(void)
{
    static const struct reg_test tests[] = {
        {"disk fails in a transaction", test_disk_fails_in_a_transaction},
        {"disk recovers", test_disk_recovers},
        {"power cut", test_power_cut},
        {"disk fails in create", test_disk_fails_in_create},
        {"disk fails in open", test_disk_fails_in_open},
        {"memory fails", test_memory_fails},
        {NULL, NULL},
    };
    int status;

    if (memory_init() != 0 || fail_vfs_init() != SQLITE_OK || reg_place_init(&place) != 0 ||
        reg_make(&place) != ANTAG_OK)
        return 1;
    snprintf(master, sizeof(master), "%s/link.db", place.dir);
    if (reg_copy_file(place.path, master) != 0)
        return 1;
    reg_quiet(true);
    status = reg_run("registry_faults", tests);
    reg_quiet(false); /* what a sanitizer finds at the end must be seen */
    reg_place_fini(&place);
    fail_vfs_fini();
    return status;
}
