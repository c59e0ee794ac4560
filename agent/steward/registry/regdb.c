/* The SQLite handle: its files, its protections, and its errors in our words. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/log.h"
#include "agent/steward/registry/registry_internal.h"

#define BUSY_MS       5000
#define LENGTH_MAX    (256 * 1024) /* bytes of one value or row: ours are below 64 KiB */
#define SQL_LEN_MAX   (16 * 1024)
#define MODE_OTHERS   (S_IRWXG | S_IRWXO)
#define CONSTRAINT_AT "constraint failed: "

/* ---- errors */

/* codes whose sentence helps more than SQLite's own; matched in full, then by their low byte */
static const struct {
    int code;
    enum antag_err err;
    const char *text; /* NULL: what SQLite says */
} codes[] = {
    {SQLITE_CANTOPEN_SYMLINK, ANTAG_ERR_IO, "a symbolic link stands in the path"},
    {SQLITE_FULL, ANTAG_ERR_IO, "the disk is full"},
    {SQLITE_IOERR_NOMEM, ANTAG_ERR_NO_MEMORY, ""},
    {SQLITE_IOERR_CORRUPTFS, ANTAG_ERR_IO, "the file system is damaged"},
    {SQLITE_IOERR, ANTAG_ERR_IO, NULL},
    {SQLITE_BUSY, ANTAG_ERR_IO, "another process holds the registry"},
    {SQLITE_LOCKED, ANTAG_ERR_IO, NULL},
    {SQLITE_READONLY, ANTAG_ERR_IO, "the registry or its folder cannot be written"},
    {SQLITE_CANTOPEN, ANTAG_ERR_IO, NULL},
    {SQLITE_PERM, ANTAG_ERR_IO, NULL},
    {SQLITE_PROTOCOL, ANTAG_ERR_IO, NULL},
    {SQLITE_NOLFS, ANTAG_ERR_IO, NULL},
    {SQLITE_NOMEM, ANTAG_ERR_NO_MEMORY, ""},
    {SQLITE_CORRUPT, ANTAG_ERR_REGISTRY, "the registry's file is damaged"},
    {SQLITE_NOTADB, ANTAG_ERR_REGISTRY, "the file is not a registry"},
    {SQLITE_TOOBIG, ANTAG_ERR_REGISTRY, "a value is larger than any that is written"},
};

enum antag_err ag_regdb_error(sqlite3 *db, int code, const char *doing, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_ERR_INTERNAL;
    const char *text = NULL, *system = "";
    size_t i = 0, count = sizeof(codes) / sizeof(codes[0]);
    int number = db == NULL ? 0 : sqlite3_system_errno(db);

    while (i < count && codes[i].code != code)
        i++;
    for (size_t k = 0; i == count && k < count; k++)
        i = codes[k].code == (code & 0xff) ? k : i;
    if (i < count) {
        err = codes[i].err;
        text = codes[i].text;
    }
    if (text == NULL)
        text = sqlite3_errstr(code);
    if (err == ANTAG_ERR_IO && number != 0 && (code & 0xff) != SQLITE_BUSY)
        system = strerror(number);
    ag_log(AG_LOG_ERROR, "registry.sqlite", AG_F_TEXT("doing", doing), AG_F_INT("code", code),
           AG_F_INT("errno", number),
           AG_F_TEXT("message", db == NULL ? sqlite3_errstr(code) : sqlite3_errmsg(db)));
    if (text[0] == '\0')
        return antag_fault_set(fault, err, NULL, "%s", "");
    return antag_fault_set(fault, err, NULL, "%s: %s%s%s", doing, text,
                           system[0] == '\0' ? "" : ": ", system);
}

/* what a broken rule of the schema means; matched against SQLite's words for it */
static const struct {
    const char *broken; /* columns of a unique index, or the name of a CHECK */
    enum antag_err err;
    const char *field;
    const char *text;
} rules[] = {
    {"app.name", ANTAG_ERR_EXISTS, "name", "an application of this name is there already"},
    {"profile.name", ANTAG_ERR_EXISTS, "name", "a profile of this name is there already"},
    {"profile.app_id, profile.env", ANTAG_ERR_EXISTS, "env",
     "the application has a profile for this environment already"},
    {"profile.client_id", ANTAG_ERR_CLIENT_ID_TAKEN, "client_id",
     "the client id stands in another profile; it may stand in one only"},
    {"merchant_key.profile_id, merchant_key.version", ANTAG_ERR_EXISTS, "version",
     "the profile has a merchant key of this version already; versions are never used twice"},
    {"rotation.profile_id", ANTAG_ERR_ROTATION_STATE, "profile",
     "a rotation of the profile is under way already"},
    {"merchant_key.profile_id", ANTAG_ERR_KEY_STATE, "state",
     "the profile has an active merchant key already; it must be superseded first"},
    {"antom_key.profile_id, antom_key.version", ANTAG_ERR_EXISTS, "version",
     "the profile has an Antom key of this version already; versions are never used twice"},
    {"fence_exception.profile_id, fence_exception.path", ANTAG_ERR_EXISTS, "path",
     "the profile has an exception for this path already"},
    {"staff.uid", ANTAG_ERR_EXISTS, "uid", "this user is enrolled already"},
    {"key_intent.profile_id, key_intent.version", ANTAG_ERR_EXISTS, "version",
     "a key of this version is being made already"},
    {"a destroyed key holds no private half", ANTAG_ERR_KEY_STATE, "sealed",
     "a destroyed key holds no private half"},
};

/* The row's text in `field`, for people; "" when it has none. */
static const char *field_text(const struct ag_kind *kind, const void *row, const char *field)
{
    for (size_t i = 0; i < kind->col_count; i++)
        if (kind->cols[i].type == AG_COL_TEXT && strcmp(kind->cols[i].name, field) == 0)
            return (const char *)row + kind->cols[i].offset;
    return "";
}

enum antag_err ag_regdb_refused(sqlite3 *db, const struct ag_kind *kind, const void *row,
                                struct antag_fault *fault)
{
    int code = sqlite3_extended_errcode(db);
    const char *message = sqlite3_errmsg(db);
    const char *broken = strstr(message, CONSTRAINT_AT);
    const char *value;

    if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, NULL,
                               "what the %s belongs to is not there", kind->what);
    broken = broken == NULL ? message : broken + strlen(CONSTRAINT_AT);
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(broken, rules[i].broken) != 0)
            continue;
        value = field_text(kind, row, rules[i].field);
        return antag_fault_set(fault, rules[i].err, rules[i].field, "%s%s%.64s", rules[i].text,
                               value[0] == '\0' ? "" : ": ", value);
    }
    if (code == SQLITE_CONSTRAINT_CHECK)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL, "%s: %s", kind->what, broken);
    if (code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID)
        return ag_regrow_broken(kind, *(const uint64_t *)row,
                                "a row that nobody wrote stands in the way", fault);
    return ag_regdb_error(db, code, "writing a row", fault);
}

/* ---- statements */

enum antag_err ag_regdb_exec(sqlite3 *db, const char *sql, struct antag_fault *fault)
{
    int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

    return code == SQLITE_OK ? ANTAG_OK : ag_regdb_error(db, code, "running SQL", fault);
}

enum antag_err ag_regdb_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out,
                                struct antag_fault *fault)
{
    int code = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);

    return code == SQLITE_OK ? ANTAG_OK : ag_regdb_error(db, code, "preparing SQL", fault);
}

enum antag_err ag_regdb_number(sqlite3 *db, const char *sql, int64_t *out,
                               struct antag_fault *fault)
{
    sqlite3_stmt *st = NULL;
    enum antag_err err = ANTAG_OK;
    int64_t number = 0;
    int code = sqlite3_prepare_v2(db, sql, -1, &st, NULL);

    if (code == SQLITE_OK && (code = sqlite3_step(st)) == SQLITE_ROW)
        number = sqlite3_column_int64(st, 0);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        err = ag_regdb_error(db, code, "reading a number", fault);
    sqlite3_finalize(st);
    if (err == ANTAG_OK)
        *out = number;
    return err;
}

/* Run a pragma that answers with the value it took, and demand that it is `want`. */
static enum antag_err demand(sqlite3 *db, const char *pragma, const char *want,
                             struct antag_fault *fault)
{
    sqlite3_stmt *st = NULL;
    enum antag_err err = ANTAG_OK;
    const char *got;
    int code = sqlite3_prepare_v2(db, pragma, -1, &st, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if (code != SQLITE_ROW) {
        err = ag_regdb_error(db, code, pragma, fault);
        goto out;
    }
    got = (const char *)sqlite3_column_text(st, 0);
    if (got == NULL || strcmp(got, want) != 0)
        err = antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: SQLite answers \"%s\", not \"%s\"",
                              pragma, got == NULL ? "" : got, want);
out:
    sqlite3_finalize(st);
    return err;
}

enum antag_err ag_regdb_check(sqlite3 *db, struct antag_fault *fault)
{
    sqlite3_stmt *st = NULL;
    enum antag_err err = ANTAG_OK;
    const char *got;
    int code = sqlite3_prepare_v2(db, "PRAGMA integrity_check(1)", -1, &st, NULL);

    if (code == SQLITE_OK)
        code = sqlite3_step(st);
    if (code != SQLITE_ROW) {
        err = ag_regdb_error(db, code, "checking the file", fault);
        goto out;
    }
    got = (const char *)sqlite3_column_text(st, 0);
    if (got == NULL)
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "%s", "");
    else if (strcmp(got, "ok") != 0)
        err = antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                              "the registry's file is damaged: %.200s", got);
out:
    sqlite3_finalize(st);
    return err;
}

enum antag_err ag_regdb_flush(sqlite3 *db, struct antag_fault *fault)
{
    int code = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    return code == SQLITE_OK ? ANTAG_OK : ag_regdb_error(db, code, "emptying the WAL", fault);
}

/* ---- opening */

/* What an attacker could have put into the file must not run: triggers, views, functions in the schema. */
static int protect(sqlite3 *db)
{
    static const struct {
        int what, value;
    } settings[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},      {SQLITE_DBCONFIG_DQS_DML, 0},
        {SQLITE_DBCONFIG_DQS_DDL, 0},        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 0}, {SQLITE_DBCONFIG_ENABLE_VIEW, 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
    };
    int code = SQLITE_OK;

    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, LENGTH_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_SQL_LENGTH, SQL_LEN_MAX);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    for (size_t i = 0; code == SQLITE_OK && i < sizeof(settings) / sizeof(settings[0]); i++)
        code = sqlite3_db_config(db, settings[i].what, settings[i].value, NULL);
    return code;
}

/* A pragma that cannot be had says nothing, so those that matter are read back. */
static enum antag_err set_pragmas(sqlite3 *db, struct antag_fault *fault)
{
    static const struct {
        const char *pragma, *want;
    } wanted[] = {
        {"PRAGMA cell_size_check=ON", NULL}, {"PRAGMA temp_store=MEMORY", NULL},
        {"PRAGMA mmap_size=0", NULL},        {"PRAGMA synchronous=FULL", NULL},
        {"PRAGMA secure_delete=ON", "1"},    {"PRAGMA journal_mode=WAL", "wal"},
        {"PRAGMA synchronous", "2"},         {"PRAGMA foreign_keys", "1"},
        {"PRAGMA trusted_schema", "0"},      {"PRAGMA cell_size_check", "1"},
    };
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; err == ANTAG_OK && i < sizeof(wanted) / sizeof(wanted[0]); i++)
        err = wanted[i].want == NULL ? ag_regdb_exec(db, wanted[i].pragma, fault)
                                     : demand(db, wanted[i].pragma, wanted[i].want, fault);
    return err;
}

/* SQLite gives the files beside it (-wal, -shm) the mode of the registry itself. */
static enum antag_err check_file(const char *path, bool fresh, struct antag_fault *fault)
{
    struct stat st;

    if (lstat(path, &st) != 0)
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: not an ordinary file", path);
    if (st.st_size == 0 && !fresh)
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL, "%s: the file is empty", path);
    if ((st.st_mode & MODE_OTHERS) != 0)
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                               "%s: has mode %04o and must have 0600: others may have read or "
                               "changed it",
                               path, (unsigned)(st.st_mode & 07777));
    return ANTAG_OK;
}

enum antag_err ag_regdb_open(const char *path, bool fresh, sqlite3 **out, struct antag_fault *fault)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE;
    sqlite3 *db = NULL;
    enum antag_err err;
    int code;

    if ((err = check_file(path, fresh, fault)) != ANTAG_OK)
        return err;
    code = sqlite3_open_v2(path, &db, flags, NULL);
    if (code == SQLITE_OK)
        code = protect(db);
    if (code != SQLITE_OK) {
        err = ag_regdb_error(db, code, "opening the registry", fault);
        goto out;
    }
    err = set_pragmas(db, fault);
out:
    if (err == ANTAG_OK)
        *out = db;
    else
        sqlite3_close(db);
    return err;
}

/* ---- files */

enum antag_err ag_regdb_make_file(const char *path, struct antag_fault *fault)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
    enum antag_err err = ANTAG_OK;

    if (fd < 0)
        return antag_fault_set(fault, errno == EEXIST ? ANTAG_ERR_EXISTS : ANTAG_ERR_IO, NULL,
                               "%s: %s", path, strerror(errno));
    if (fchmod(fd, S_IRUSR | S_IWUSR) != 0) /* the umask may have taken the owner's bits too */
        err = antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: %s", path, strerror(errno));
    close(fd);
    return err;
}

void ag_regdb_remove_files(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    char name[PATH_MAX];

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (snprintf(name, sizeof(name), "%s%s", path, ends[i]) < (int)sizeof(name))
            (void)unlink(name); /* most are not there */
}

/* A new file is safe only when its name is. */
enum antag_err ag_regdb_sync_folder(const char *path, struct antag_fault *fault)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    enum antag_err err = ANTAG_OK;
    int fd;

    if (len >= sizeof(folder))
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%.200s…: the path is too long", path);
    memcpy(folder, path, len);
    folder[len] = '\0';
    fd = open(len == 0 ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        err = antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: %s", len == 0 ? "." : folder,
                              strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}
