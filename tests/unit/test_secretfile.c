/* Passwords and PINs in files: what is taken of them, and which files are refused. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/secretfile.h"
#include "tests/support/rows.h"

static char path[] = "/tmp/antag-secretfile-XXXXXX";

static void put(const char *bytes, size_t len, mode_t mode)
{
    int fd = chmod(path, 0600) == 0 ? open(path, O_WRONLY | O_TRUNC) : -1;

    CU_ASSERT_FATAL(fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, mode) == 0);
    close(fd);
}

static void test_lines(void)
{
    static char longest[AG_SECRET_LINE_MAX + 1], longer[AG_SECRET_LINE_MAX + 2];
    const struct {
        const char *name, *bytes;
        size_t len;
        const char *line; /* NULL: refused */
    } rows[] = {
        {"a line", "1234\n", 5, "1234"},
        {"without an end", "1234", 4, "1234"},
        {"as Windows writes it", "1234\r\n", 6, "1234"},
        {"blanks are part of it", " 12 34 \n", 8, " 12 34 "},
        {"more behind it", "1234\nnote\n", 10, "1234"},
        {"nothing", "", 0, NULL},
        {"an empty line", "\n", 1, NULL},
        {"an empty line of Windows", "\r\n", 2, NULL},
        {"a NUL byte",
         "12\0"
         "4\n",
         5, NULL},
        {"the longest", longest, AG_SECRET_LINE_MAX, longest},
        {"too long", longer, AG_SECRET_LINE_MAX + 1, NULL},
    };

    memset(longest, 'x', AG_SECRET_LINE_MAX);
    memset(longer, 'x', AG_SECRET_LINE_MAX + 1);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_secret *s = NULL;
        struct antag_fault f = {0};
        enum antag_err err;

        put(rows[i].bytes, rows[i].len, 0600);
        err = ag_secret_read_line(path, &s, &f);
        ROW_ASSERT(rows[i].name, err == (rows[i].line != NULL ? ANTAG_OK : ANTAG_ERR_CONF));
        ROW_ASSERT(rows[i].name,
                   err != ANTAG_OK || strcmp((const char *)ag_secret_bytes(s), rows[i].line) == 0);
        ROW_ASSERT(rows[i].name, err != ANTAG_OK || ag_secret_len(s) == strlen(rows[i].line));
        ROW_ASSERT(rows[i].name, err == ANTAG_OK || strncmp(f.text, path, strlen(path)) == 0);
        ag_secret_free(s);
    }
}

static void test_files(void)
{
    static const struct {
        const char *name;
        mode_t mode;
        bool taken;
    } rows[] = {
        {"read and write", 0600, true}, {"read", 0400, true},           {"a group", 0640, false},
        {"all", 0644, false},           {"all may write", 0602, false},
    };
    struct ag_secret *s = NULL;
    struct antag_fault f;

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        s = NULL;
        put("1234\n", 5, rows[i].mode);
        if (geteuid() == 0) /* of a group that is not root's */
            CU_ASSERT_EQUAL(chown(path, 0, 10001), 0);
        ROW_ASSERT(rows[i].name, ag_secret_read_line(path, &s, &f) ==
                                     (rows[i].taken ? ANTAG_OK : ANTAG_ERR_CONF));
        ag_secret_free(s);
    }
    if (geteuid() == 0) { /* as the service manager has it */
        put("1234\n", 5, 0440);
        CU_ASSERT_EQUAL(chown(path, 0, 0), 0);
        CU_ASSERT_EQUAL(ag_secret_read_line(path, &s, &f), ANTAG_OK);
        ag_secret_free(s);
    }
    CU_ASSERT_EQUAL(ag_secret_read_line("/tmp", &s, &f), ANTAG_ERR_CONF);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.text, "is not a file"));
    CU_ASSERT_EQUAL(ag_secret_read_line("/nowhere/pin", &s, &f), ANTAG_ERR_CONF);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.text, "No such file"));
}

int main(void)
{
    CU_TestInfo tests[] = {{"lines", test_lines}, {"files", test_files}, CU_TEST_INFO_NULL};
    struct antag_fault fault;
    int fd, status;

    if (ag_secret_setup(&fault) != ANTAG_OK || (fd = mkstemp(path)) < 0)
        return 2;
    close(fd);
    status = run_tests("secretfile", tests);
    unlink(path);
    return status;
}
