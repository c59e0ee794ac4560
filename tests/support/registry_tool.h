/* What the tests of the registry share: a folder of their own, a key, rows in good order, and a second
 * way into the file, as somebody who has the disk but not the key. */
#ifndef TESTS_REGISTRY_TOOL_H
#define TESTS_REGISTRY_TOOL_H

#include <CUnit/Basic.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/core/antom.h"
#include "agent/lib/log.h"
#include "agent/steward/registry/registry_internal.h"

struct reg_place {
    char dir[64];
    char path[96];
    struct ag_secret *key;
    struct antag_fault fault;
};

static inline int reg_place_init(struct reg_place *p)
{
    struct antag_fault fault;

    memset(p, 0, sizeof(*p));
    strcpy(p->dir, "/tmp/antag-registry-XXXXXX");
    if (ag_secret_setup(&fault) != ANTAG_OK || mkdtemp(p->dir) == NULL ||
        (p->key = ag_secret_new(AG_KEY_LEN)) == NULL)
        return -1;
    snprintf(p->path, sizeof(p->path), "%s/registry.db", p->dir);
    memset(ag_secret_bytes(p->key), 0x5a, AG_KEY_LEN);
    ag_secret_set_len(p->key, AG_KEY_LEN);
    return 0;
}

static inline void reg_remove(const char *dir, const char *name)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    unlink(path);
}

static inline void reg_place_fini(struct reg_place *p)
{
    ag_regdb_remove_files(p->path);
    reg_remove(p->dir, "old.db");
    reg_remove(p->dir, "old.db-wal");
    reg_remove(p->dir, "old.db-shm");
    reg_remove(p->dir, "link.db");
    rmdir(p->dir);
    ag_secret_free(p->key);
}

/* The file alone: the registry must be closed. */
static inline int reg_copy_file(const char *from, const char *to)
{
    char buf[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    size_t n;
    int bad = in == NULL || out == NULL;

    while (!bad && (n = fread(buf, 1, sizeof(buf), in)) > 0)
        bad = fwrite(buf, 1, n, out) != n;
    if (in != NULL)
        fclose(in);
    if (out != NULL && fclose(out) != 0)
        bad = 1;
    return bad || chmod(to, 0600) != 0 ? -1 : 0;
}

/* Run SQL on the file without the registry's protections. SQLite's code. */
static inline int reg_attack(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    int code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_exec(db, sql, NULL, NULL, &message);
    if (code != SQLITE_OK)
        printf("attack failed: %s: %s\n", sql, message == NULL ? "" : message);
    sqlite3_free(message);
    sqlite3_close(db);
    return code;
}

/* ---- rows in good order; n makes them differ */

static inline struct ag_row_app reg_app(unsigned n)
{
    struct ag_row_app a = {.role = "merchant",
                           .type = "online",
                           .region = "SG",
                           .product = "cashier",
                           .currency = "SGD",
                           .description = "a shop",
                           .scenarios = "web\napp",
                           .created_at_ms = 1700000000000 + n};

    snprintf(a.name, sizeof(a.name), "shop%u", n);
    return a;
}

static inline struct ag_row_profile reg_profile(uint64_t app_id, enum ag_env env, unsigned n)
{
    struct ag_row_profile p = {.app_id = app_id,
                               .env = env,
                               .gateway = "https://gateway.example",
                               .response_max_age_ms = -1,
                               .notification_max_age_ms = -1,
                               .next_key_version = 1,
                               .next_antom_version = 1};

    snprintf(p.name, sizeof(p.name), "shop%u/%s", n, env == AG_ENV_LIVE ? "live" : "sandbox");
    snprintf(p.client_id, sizeof(p.client_id), "%s%u", env == AG_ENV_LIVE ? "5Y" : "SANDBOX_5Y", n);
    return p;
}

static inline struct ag_row_key reg_key(uint64_t profile_id, uint32_t version,
                                        enum ag_key_state state)
{
    struct ag_row_key k = {.profile_id = profile_id,
                           .version = version,
                           .key_version = 1,
                           .state = state,
                           .keyring = "soft",
                           .bits = 2048,
                           .created_at_ms = 1700000000000,
                           .state_at_ms = 1700000000001,
                           .state_observed_ms = 17,
                           .spki_len = 294,
                           .sealed_len = 1245};

    memset(k.spki, (int)version, k.spki_len);
    memset(k.sealed, 0xe0 + (int)(version & 15), k.sealed_len);
    return k;
}

static inline struct ag_row_antom_key reg_antom_key(uint64_t profile_id, uint32_t version)
{
    struct ag_row_antom_key k = {.profile_id = profile_id,
                                 .version = version,
                                 .state = AG_ANTOM_KEY_ACTIVE,
                                 .bits = 2048,
                                 .spki_len = 294};

    memset(k.spki, 0x30 + (int)version, k.spki_len);
    return k;
}

/* The globs are borrowed from the caller: not for ag_grant_fini. */
static inline struct ag_grant reg_grant(uint64_t profile_id, uint32_t uid, char **paths,
                                        size_t path_count)
{
    return (struct ag_grant){.profile_id = profile_id,
                             .who = AG_WHO_UID,
                             .number = uid,
                             .ops = AG_OP_SIGN | AG_OP_VERIFY,
                             .path_count = path_count,
                             .paths = paths};
}

/* Registry with two applications, four profiles, keys in both sandbox profiles, grants, an exception,
 * a second member of staff and an intent. Closed again. ANTAG_OK, or what failed. */
static inline enum antag_err reg_fill(struct ag_registry *r, struct antag_fault *f)
{
    static char path_a[] = "/ams/api/v1/payments/*", path_b[] = "/ams/api/**";
    char *paths[] = {path_a, path_b};
    struct ag_row_staff staff = {.uid = 1002, .roles = 1, .mail = "second@example.org"};
    enum antag_err err = ag_registry_begin(r, f);

    for (unsigned n = 1; err == ANTAG_OK && n <= 2; n++) {
        struct ag_row_app app = reg_app(n);
        struct ag_row_profile sandbox, live;
        struct ag_row_key key, next;
        struct ag_row_antom_key antom;
        struct ag_row_fence fence = {.path = "/ams/api/v1/special"};
        struct ag_row_intent intent = {.version = 3, .keyring = "soft"};
        struct ag_grant one, two;

        if ((err = ag_registry_put_app(r, &app, f)) != ANTAG_OK)
            return err;
        sandbox = reg_profile(app.id, AG_ENV_SANDBOX, n);
        live = reg_profile(app.id, AG_ENV_LIVE, n);
        if ((err = ag_registry_put_profile(r, &sandbox, f)) != ANTAG_OK ||
            (err = ag_registry_put_profile(r, &live, f)) != ANTAG_OK)
            return err;
        key = reg_key(sandbox.id, 1, AG_KEY_ACTIVE);
        next = reg_key(sandbox.id, 2, AG_KEY_STAGED);
        antom = reg_antom_key(sandbox.id, 1);
        fence.profile_id = intent.profile_id = sandbox.id;
        one = reg_grant(sandbox.id, 1000 + n, paths, 2);
        two = reg_grant(sandbox.id, 2000 + n, paths, 0);
        if ((err = ag_registry_put_key(r, &key, f)) != ANTAG_OK ||
            (err = ag_registry_put_key(r, &next, f)) != ANTAG_OK ||
            (err = ag_registry_put_antom_key(r, &antom, f)) != ANTAG_OK ||
            (err = ag_registry_put_fence(r, &fence, f)) != ANTAG_OK ||
            (err = ag_registry_put_intent(r, &intent, f)) != ANTAG_OK ||
            (err = ag_registry_put_grant(r, &one, f)) != ANTAG_OK ||
            (err = ag_registry_put_grant(r, &two, f)) != ANTAG_OK)
            return err;
    }
    if (err == ANTAG_OK)
        err = ag_registry_put_staff(r, &staff, f);
    return err == ANTAG_OK ? ag_registry_commit(r, NULL, f) : err;
}

/* Make p->path anew with reg_fill's rows, closed. */
static inline enum antag_err reg_make(struct reg_place *p)
{
    struct ag_registry *r = NULL;
    enum antag_err err;

    ag_regdb_remove_files(p->path);
    if ((err = ag_registry_create(p->path, p->key, 1001, 1700000000000, &p->fault)) != ANTAG_OK ||
        (err = ag_registry_open(p->path, p->key, &r, &p->fault)) != ANTAG_OK)
        return err;
    err = reg_fill(r, &p->fault);
    ag_registry_close(r);
    return err;
}

/* By columns: the padding between them may hold anything. */
static inline bool reg_same_row(const struct ag_kind *kind, const void *a, const void *b)
{
    bool same = memcmp(a, b, sizeof(uint64_t)) == 0;

    for (size_t i = 0; same && i < kind->col_count; i++) {
        const struct ag_col *col = &kind->cols[i];
        const char *x = (const char *)a + col->offset, *y = (const char *)b + col->offset;
        size_t len = col->size;

        if (col->type == AG_COL_BLOB) {
            memcpy(&len, (const char *)a + col->len_offset, sizeof(len));
            same = memcmp(&len, (const char *)b + col->len_offset, sizeof(len)) == 0;
        }
        if (col->type == AG_COL_TEXT)
            same = strcmp(x, y) == 0;
        else
            same = same && memcmp(x, y, len) == 0;
    }
    return same;
}

/* What the code under test logs goes nowhere while quiet: where every row is a fault, the errors it
 * logs are expected. Failures are told on standard output. */
static inline void reg_quiet(bool quiet)
{
    static int kept = -1;
    int nowhere;

    if (quiet && kept < 0) {
        kept = dup(STDERR_FILENO);
        nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0) {
            dup2(nowhere, STDERR_FILENO);
            close(nowhere);
        }
    } else if (!quiet && kept >= 0) {
        dup2(kept, STDERR_FILENO);
        close(kept);
        kept = -1;
    }
}

/* One suite, its tests by name; the exit status of the program. */
struct reg_test {
    const char *name;
    CU_TestFunc run;
};
static inline int reg_run(const char *suite_name, const struct reg_test *tests)
{
    CU_pSuite suite;
    unsigned failures = 1;

    ag_log_setup("test", AG_LOG_ERROR);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite(suite_name, NULL, NULL);
    for (; suite != NULL && tests->name != NULL; tests++)
        if (CU_add_test(suite, tests->name, tests->run) == NULL)
            suite = NULL;
    if (suite != NULL) {
        CU_basic_set_mode(CU_BRM_VERBOSE);
        CU_basic_run_tests();
        failures = CU_get_number_of_failures() + (CU_get_number_of_tests_run() == 0);
    }
    CU_cleanup_registry();
    return failures == 0 ? 0 : 1;
}

#endif
