/* seal: what is made opens again; what is damaged, replaced, readable by others or opened with the wrong
 * passphrase is refused, each by its own name. */
#include "agent/opener/seal.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/log.h"
#include "agent/opener/sealcred.h"
#include "agent/opener/sealfile.h"
#include "tests/support/rows.h"

#define PASS "correct horse"

static const struct ag_seal_cost cheap = {1, 1 << 20};
static char dir[] = "/tmp/antag-seal-XXXXXX";
static char path[256], path_new[256];

static struct ag_secret *secret_of(const char *text, size_t len)
{
    struct ag_secret *s = ag_secret_new(len + 1);

    if (len > 0)
        memcpy(ag_secret_bytes(s), text, len);
    ag_secret_set_len(s, len);
    return s;
}

static void clear(void)
{
    (void)unlink(path);
    (void)rmdir(path);
    (void)unlink(path_new);
    (void)rmdir(path_new);
}

static enum antag_err create_with(const char *type, const char *passphrase, size_t len,
                                  struct ag_secret **root)
{
    struct ag_secret *pass = passphrase != NULL ? secret_of(passphrase, len) : NULL;
    struct antag_fault fault = {.err = ANTAG_OK};
    struct ag_secret *made = NULL;
    struct ag_seal_by by = {.passphrase = pass, .credentials = dir, .type = type, .cost = cheap};
    enum antag_err err = ag_seal_create(path, &by, &made, &fault);

    CU_ASSERT((err == ANTAG_OK) == (made != NULL));
    CU_ASSERT(err == ANTAG_OK || (fault.err == err && fault.text[0] != '\0'));
    ag_secret_free(pass);
    if (root != NULL)
        *root = made;
    else
        ag_secret_free(made);
    return err;
}

/* A seal in its final place. */
static void make(const char *type, const char *passphrase, struct ag_secret **root)
{
    clear();
    CU_ASSERT_EQUAL_FATAL(
        create_with(type, passphrase, passphrase != NULL ? strlen(passphrase) : 0, root), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(rename(path_new, path), 0);
}

static char seen_type[AG_SEAL_TYPE_MAX];
static char seen_text[ANTAG_FAULT_TEXT_MAX + 1];

static enum antag_err open_with(const char *passphrase, struct ag_secret **root)
{
    struct ag_secret *pass = passphrase != NULL ? secret_of(passphrase, strlen(passphrase)) : NULL;
    struct antag_fault fault = {.err = ANTAG_OK};
    struct ag_secret *found = NULL;
    struct ag_seal_by by = {.passphrase = pass, .credentials = dir};
    struct ag_seal_info info;
    enum antag_err err = ag_seal_open_file(path, &by, &found, &info, &fault);

    snprintf(seen_type, sizeof seen_type, "%s", info.type);
    snprintf(seen_text, sizeof seen_text, "%s", fault.text);
    CU_ASSERT((err == ANTAG_OK) == (found != NULL));
    CU_ASSERT(err == ANTAG_OK || strstr(fault.text, path) != NULL ||
              strstr(fault.text, AG_CREDENTIAL) != NULL || err == ANTAG_ERR_WRONG_PASSPHRASE);
    ag_secret_free(pass);
    if (root != NULL)
        *root = found;
    else
        ag_secret_free(found);
    return err;
}

static bool same(struct ag_secret *a, struct ag_secret *b)
{
    return a != NULL && b != NULL && ag_secret_len(a) == AG_KEY_LEN &&
           ag_secret_len(b) == AG_KEY_LEN &&
           memcmp(ag_secret_bytes(a), ag_secret_bytes(b), AG_KEY_LEN) == 0;
}

static void test_opens_again(void)
{
    static const struct {
        const char *name, *type, *made_with, *opened_with;
    } rows[] = {
        {"file", "file", NULL, NULL},
        {"file, a passphrase is not looked at", "file", NULL, "whatever it is"},
        {"passphrase", "passphrase", PASS, PASS},
        {"made from a line", "passphrase", PASS "\n", PASS},
        {"opened by a line", "passphrase", PASS, PASS "\n"},
        {"opened by a line with CR", "passphrase", PASS, PASS "\r\n"},
        {"shortest", "passphrase", "12345678", "12345678"},
        {"UTF-8", "passphrase", "pässword 余额", "pässword 余额"},
        {"credential", "credential", NULL, NULL},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_secret *made = NULL, *found = NULL;
        struct stat st;

        make(rows[i].type, rows[i].made_with, &made);
        ROW_ASSERT(rows[i].name, stat(path, &st) == 0 && (st.st_mode & 07777) == 0400);
        ROW_ASSERT(rows[i].name, open_with(rows[i].opened_with, &found) == ANTAG_OK);
        ROW_ASSERT(rows[i].name, same(made, found));
        ROW_ASSERT(rows[i].name, strcmp(seen_type, rows[i].type) == 0);
        ag_secret_free(made);
        ag_secret_free(found);
    }
}

static void test_every_key_is_new(void)
{
    struct ag_secret *a = NULL, *b = NULL;

    make("file", NULL, &a);
    make("file", NULL, &b);
    CU_ASSERT_FALSE(same(a, b));
    ag_secret_free(a);
    ag_secret_free(b);
}

static void test_passphrases(void)
{
    static const struct {
        const char *name;
        size_t len;
        const char *behind;
        enum antag_err err;
    } rows[] = {
        {"empty", 0, "", ANTAG_ERR_BAD_PARAM},
        {"7", 7, "", ANTAG_ERR_BAD_PARAM},
        {"7 and a line feed", 7, "\n", ANTAG_ERR_BAD_PARAM},
        {"7 and CR LF", 7, "\r\n", ANTAG_ERR_BAD_PARAM},
        {"8", 8, "", ANTAG_OK},
        {"1024", 1024, "", ANTAG_OK},
        {"1024 and a line feed", 1024, "\n", ANTAG_OK},
        {"1025", 1025, "", ANTAG_ERR_BAD_PARAM},
        {"1024 and two line feeds", 1024, "\n\n", ANTAG_ERR_BAD_PARAM},
    };
    char text[1100];

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        clear();
        memset(text, 'x', sizeof text);
        strcpy(text + rows[i].len, rows[i].behind);
        ROW_ASSERT(rows[i].name,
                   create_with("passphrase", text, strlen(text), NULL) == rows[i].err);
    }
    clear();
    CU_ASSERT_EQUAL(create_with("passphrase", NULL, 0, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(create_with("tpm", NULL, 0, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(create_with("tpm", "1234567", 7, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(create_with("file", PASS, 13, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(create_with("credential", PASS, 13, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(create_with("passkey", PASS, 13, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(create_with("", NULL, 0, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_NOT_EQUAL(access(path_new, F_OK), 0); /* a refusal leaves nothing */
}

static void test_wrong_passphrase(void)
{
    static const char *const wrong[] = {"correct house", "correct hors",      "correct horse ",
                                        "Correct horse", "correct horse\n\n", "",
                                        "short"};

    make("passphrase", PASS, NULL);
    for (size_t i = 0; i < ROW_COUNT(wrong); i++)
        ROW_ASSERT(wrong[i], open_with(wrong[i], NULL) == ANTAG_ERR_WRONG_PASSPHRASE);
    CU_ASSERT_STRING_EQUAL(seen_type, "passphrase");
    CU_ASSERT_EQUAL(open_with(NULL, NULL), ANTAG_ERR_SEAL);
    CU_ASSERT_STRING_EQUAL(seen_type, "passphrase");
    CU_ASSERT_PTR_NOT_NULL(strstr(seen_text, "antomctl unlock"));
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_OK); /* and it still opens */
}

/* The file as the service manager has it. */
static void put_credential(const char *text, mode_t mode)
{
    char at[300];
    int fd;

    snprintf(at, sizeof at, "%s/" AG_CREDENTIAL, dir);
    (void)unlink(at);
    if (text == NULL)
        return;
    fd = open(at, O_WRONLY | O_CREAT, 0600);
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) || fchmod(fd, mode) != 0)
        abort(); /* called outside of tests, too */
    close(fd);
}

#define CREDENTIAL "0123456789abcdef0123456789abcdef"

static void test_credentials(void)
{
    static const struct {
        const char *name, *text;
        mode_t mode;
        enum antag_err err;
    } rows[] = {
        {"as it was", CREDENTIAL, 0400, ANTAG_OK},
        {"of root, for a group", CREDENTIAL, 0440, ANTAG_OK},
        {"another", "0123456789abcdef0123456789abcdeg", 0400, ANTAG_ERR_SEAL},
        {"with a line feed", CREDENTIAL "\n", 0400, ANTAG_ERR_SEAL},
        {"too short", "0123456789abcdef0123456789abcde", 0400, ANTAG_ERR_SEAL},
        {"empty", "", 0400, ANTAG_ERR_SEAL},
        {"for all", CREDENTIAL, 0404, ANTAG_ERR_SEAL},
        {"written by a group", CREDENTIAL, 0420, ANTAG_ERR_SEAL},
        {"not there", NULL, 0, ANTAG_ERR_SEAL},
    };

    put_credential(CREDENTIAL, 0400);
    make("credential", NULL, NULL);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        put_credential(rows[i].text, rows[i].mode);
        if (rows[i].mode == 0440 && geteuid() != 0)
            continue; /* that is root's alone */
        ROW_ASSERT(rows[i].name, open_with(NULL, NULL) == rows[i].err);
        ROW_ASSERT(rows[i].name,
                   rows[i].err == ANTAG_OK || strstr(seen_text, AG_CREDENTIAL) != NULL);
        ROW_ASSERT(rows[i].name, strcmp(seen_type, "credential") == 0);
    }
    clear();
    CU_ASSERT_EQUAL(create_with("credential", NULL, 0, NULL), ANTAG_ERR_SEAL);
    CU_ASSERT_NOT_EQUAL(access(path_new, F_OK), 0);
    put_credential(CREDENTIAL, 0400); /* of the other tests */
}

static void test_nothing_is_overwritten(void)
{
    struct ag_secret *made = NULL, *found = NULL;

    make("file", NULL, &made);
    CU_ASSERT_EQUAL(create_with("file", NULL, 0, NULL), ANTAG_ERR_ALREADY_INITIALISED);
    CU_ASSERT_EQUAL(open_with(NULL, &found), ANTAG_OK);
    CU_ASSERT(same(made, found));
    ag_secret_free(made);
    ag_secret_free(found);

    clear();
    CU_ASSERT_EQUAL(create_with("file", NULL, 0, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(create_with("file", NULL, 0, NULL), ANTAG_ERR_HOME); /* a cut-off init's */
    clear();
    CU_ASSERT_EQUAL(symlink("/dev/null", path_new), 0);
    CU_ASSERT_EQUAL(create_with("file", NULL, 0, NULL), ANTAG_ERR_HOME);
    clear();
    CU_ASSERT_EQUAL(symlink("nowhere", path), 0);
    CU_ASSERT_EQUAL(create_with("file", NULL, 0, NULL), ANTAG_ERR_ALREADY_INITIALISED);
    clear();
}

/* ---- bytes of the file */

static size_t read_all(uint8_t *p, size_t size)
{
    int fd = open(path, O_RDONLY);
    ssize_t n = read(fd, p, size);

    close(fd);
    CU_ASSERT_FATAL(n > 0);
    return (size_t)n;
}

static void write_all(const uint8_t *p, size_t len)
{
    int fd;

    clear();
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0400);
    CU_ASSERT_FATAL(fd >= 0 && write(fd, p, len) == (ssize_t)len);
    close(fd);
}

static void test_damaged(void)
{
    static const char *const types[] = {"file", "passphrase"};

    for (size_t t = 0; t < 2; t++) {
        uint8_t bytes[AG_SEAL_FILE_MAX];
        size_t len;

        make(types[t], t == 1 ? PASS : NULL, NULL);
        len = read_all(bytes, sizeof bytes);
        for (size_t i = 0; i < len; i++) { /* each byte, once */
            bytes[i] ^= (uint8_t)(1u << (i % 8));
            write_all(bytes, len);
            CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
            bytes[i] ^= (uint8_t)(1u << (i % 8));
        }
        for (size_t i = 0; i < len; i++) { /* each prefix */
            write_all(bytes, i);
            CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
        }
        bytes[len] = 0;
        write_all(bytes, len + 1);
        CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
        write_all(bytes, len);
        CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_OK);
    }
}

/* What someone who can write the file can do: everything fits but one value. */
static void write_forged(size_t at, uint8_t value)
{
    uint8_t bytes[AG_SEAL_FILE_MAX];
    size_t len;

    make("passphrase", PASS, NULL);
    len = read_all(bytes, sizeof bytes);
    bytes[at] = value;
    crypto_generichash(bytes + len - 32, 32, bytes, len - 32, NULL, 0);
    write_all(bytes, len);
}

static void test_forged(void)
{
    uint8_t bytes[AG_SEAL_FILE_MAX];
    size_t len, ops, mem, salt;

    make("passphrase", PASS, NULL);
    len = read_all(bytes, sizeof bytes);
    ops = (size_t)((uint8_t *)memmem(bytes, len, "\xa3ops", 4) - bytes) + 4;
    mem = (size_t)((uint8_t *)memmem(bytes, len, "\xa3mem", 4) - bytes) + 4;
    salt = (size_t)((uint8_t *)memmem(bytes, len, "\xa4salt", 5) - bytes) + 7;

    write_forged(ops, AG_SEAL_OPS_MAX + 1); /* a guess that would take minutes, or gibibytes */
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
    write_forged(ops, 0);
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
    write_forged(mem + 1, 0x80);
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
    write_forged(mem + 2, 0);
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
    write_forged(ops, 2); /* fits, but the key was not sealed at this cost */
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_WRONG_PASSPHRASE);
    write_forged(salt, (uint8_t)(bytes[salt] + 1));
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_WRONG_PASSPHRASE);
    write_forged(3, 2); /* {"v": 2} */
    CU_ASSERT_EQUAL(open_with(PASS, NULL), ANTAG_ERR_SEAL);
    CU_ASSERT_PTR_NOT_NULL(strstr(seen_text, "newer"));
}

/* ---- who else can use the file */

static void test_modes(void)
{
    static const struct {
        const char *name;
        mode_t mode;
        enum antag_err err;
    } rows[] = {
        {"0400", 0400, ANTAG_OK},       {"0600", 0600, ANTAG_OK},
        {"0440", 0440, ANTAG_ERR_SEAL}, {"0404", 0404, ANTAG_ERR_SEAL},
        {"0420", 0420, ANTAG_ERR_SEAL}, {"0401", 0401, ANTAG_ERR_SEAL},
        {"0666", 0666, ANTAG_ERR_SEAL},
    };

    make("file", NULL, NULL);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        CU_ASSERT_EQUAL(chmod(path, rows[i].mode), 0);
        ROW_ASSERT(rows[i].name, open_with(NULL, NULL) == rows[i].err);
    }
    CU_ASSERT_EQUAL(chmod(path, 0400), 0);
    if (geteuid() == 0) { /* only root can give a file away */
        CU_ASSERT_EQUAL(chown(path, 10001, (gid_t)-1), 0);
        CU_ASSERT_EQUAL(open_with(NULL, NULL), ANTAG_ERR_SEAL);
        CU_ASSERT_PTR_NOT_NULL(strstr(seen_text, "10001"));
    }
}

static void test_other_things(void)
{
    char elsewhere[300];

    clear();
    CU_ASSERT_EQUAL(open_with(NULL, NULL), ANTAG_ERR_NOT_INITIALISED);
    CU_ASSERT_STRING_EQUAL(seen_type, "");
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL(open_with(NULL, NULL), ANTAG_ERR_SEAL);
    clear();
    CU_ASSERT_EQUAL(mkfifo(path, 0400), 0); /* must not wait for a writer */
    CU_ASSERT_EQUAL(open_with(NULL, NULL), ANTAG_ERR_SEAL);
    make("file", NULL, NULL);
    snprintf(elsewhere, sizeof elsewhere, "%s/elsewhere", dir);
    CU_ASSERT_EQUAL(rename(path, elsewhere), 0);
    CU_ASSERT_EQUAL(symlink(elsewhere, path), 0);
    CU_ASSERT_EQUAL(open_with(NULL, NULL), ANTAG_ERR_SEAL);
    (void)unlink(elsewhere);
    clear();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"opens again", test_opens_again},
        {"every key is new", test_every_key_is_new},
        {"passphrases", test_passphrases},
        {"wrong passphrase", test_wrong_passphrase},
        {"credentials", test_credentials},
        {"nothing is overwritten", test_nothing_is_overwritten},
        {"damaged", test_damaged},
        {"forged", test_forged},
        {"modes and owner", test_modes},
        {"no file of ours", test_other_things},
        CU_TEST_INFO_NULL,
    };
    struct antag_fault fault;
    int status;

    ag_log_setup("test", AG_LOG_ERROR);
    if (ag_secret_setup(&fault) != ANTAG_OK || mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof path, "%s/root.seal", dir);
    snprintf(path_new, sizeof path_new, "%s.new", path);
    put_credential(CREDENTIAL, 0400);
    status = run_tests("seal", tests);
    put_credential(NULL, 0);
    clear();
    (void)rmdir(dir);
    return status;
}
