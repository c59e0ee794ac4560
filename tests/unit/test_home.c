/* The home folder: paths, what is taken for one, making one, and the lock. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/lib/home.h"
#include "antag/types.h"
#include "tests/support/rows.h"

static char base[PATH_MAX]; /* a folder for one test, absolute; removed after it */

static void make_base(void)
{
    char path[] = "/tmp/antag-home-XXXXXX";

    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
    CU_ASSERT_PTR_NOT_NULL_FATAL(realpath(path, base));
}

static void remove_base(void)
{
    char command[PATH_MAX + 32];

    snprintf(command, sizeof command, "rm -rf '%s'", base);
    CU_ASSERT_EQUAL(system(command), 0);
}

ANTAG_PRINTF(1, 2)
static const char *in_base(const char *fmt, ...)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *out = paths[next++ % 4];
    size_t len = (size_t)snprintf(out, PATH_MAX, "%s/", base);
    va_list args;

    va_start(args, fmt);
    vsnprintf(out + len, PATH_MAX - len, fmt, args);
    va_end(args);
    return out;
}

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    CU_ASSERT_FATAL(fd >= 0);
    close(fd);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* ---- paths */

static void test_system(void)
{
    static const char *const none[] = {NULL, ""};

    for (size_t i = 0; i < ROW_COUNT(none); i++) {
        struct ag_home h;

        CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, none[i], NULL), ANTAG_OK);
        CU_ASSERT(h.system);
        CU_ASSERT_STRING_EQUAL(h.dir, "/var/lib/antom-agent");
        CU_ASSERT_STRING_EQUAL(h.conf, "/etc/antom-agent/agent.conf");
        CU_ASSERT_STRING_EQUAL(h.registry, "/var/lib/antom-agent/registry.db");
        CU_ASSERT_STRING_EQUAL(h.seal, "/var/lib/antom-agent/root.seal");
        CU_ASSERT_STRING_EQUAL(h.audit, "/var/lib/antom-agent/audit");
        CU_ASSERT_STRING_EQUAL(h.agent_sock, "/run/antom-agent/agent.sock");
        CU_ASSERT_STRING_EQUAL(h.staff_sock, "/run/antom-agent/staff.sock");
    }
}

static const struct {
    const char *name, *dir, *want; /* both below `base`, which is the current folder too */
    bool relative;
} path_rows[] = {
    {"there", "there", "there", false},
    {"relative", "there", "there", true},
    {"not there", "new", "new", false},
    {"not there, relative", "new", "new", true},
    {"not there, slash behind", "new//", "new", false},
    {"not there, dots", "there/../new", "new", false},
    {"the folder one is in", ".", "", true},
    {"link", "link", "there", false},
    {"link on the way", "link/new", "there/new", false},
};

static void test_paths(void)
{
    char was[PATH_MAX];

    make_base();
    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(was, sizeof was));
    CU_ASSERT_EQUAL_FATAL(mkdir(in_base("there"), 0700), 0);
    CU_ASSERT_EQUAL_FATAL(symlink("there", in_base("link")), 0);
    CU_ASSERT_EQUAL_FATAL(chdir(base), 0);
    for (size_t i = 0; i < ROW_COUNT(path_rows); i++) {
        const char *dir =
            path_rows[i].relative ? path_rows[i].dir : in_base("%s", path_rows[i].dir);
        const char *want = path_rows[i].want[0] != '\0' ? in_base("%s", path_rows[i].want) : base;
        struct antag_fault fault = {0};
        struct ag_home h;

        ROW_ASSERT(path_rows[i].name, ag_home_init(&h, dir, &fault) == ANTAG_OK);
        ROW_ASSERT(path_rows[i].name, strcmp(h.dir, want) == 0);
        ROW_ASSERT(path_rows[i].name, strncmp(h.agent_sock, want, strlen(want)) == 0);
        ROW_ASSERT(path_rows[i].name, !h.system);
    }
    CU_ASSERT_EQUAL(chdir(was), 0);
    remove_base();
}

static void test_paths_refused(void)
{
    struct antag_fault fault = {0};
    char longest[200], over[5000];
    struct ag_home h;
    int fill;

    make_base();
    CU_ASSERT_EQUAL(ag_home_init(&h, in_base("no/home"), &fault), ANTAG_ERR_HOME);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/no, in which the home"));
    CU_ASSERT_EQUAL_FATAL(symlink("nowhere", in_base("dangling")), 0);
    CU_ASSERT_EQUAL(ag_home_init(&h, in_base("dangling"), &fault), ANTAG_ERR_HOME);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "leads nowhere"));
    make_file(in_base("file"));
    CU_ASSERT_EQUAL(ag_home_init(&h, in_base("file/home"), &fault), ANTAG_ERR_HOME);

    /* base + '/' + name + "/agent.sock" is just as long as a socket path may be */
    fill = AG_SOCKET_PATH_MAX - (int)strlen(base) - 1 - (int)strlen("/agent.sock");
    CU_ASSERT_FATAL(fill > 0);
    memset(longest, 'h', sizeof longest);
    longest[fill] = '\0';
    CU_ASSERT_EQUAL(ag_home_init(&h, in_base("%s", longest), &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(strlen(h.agent_sock), AG_SOCKET_PATH_MAX);
    longest[fill] = 'h';
    longest[fill + 1] = '\0';
    CU_ASSERT_EQUAL(ag_home_init(&h, in_base("%s", longest), &fault), ANTAG_ERR_HOME);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "108 bytes, the limit is 107"));

    memset(over, 'x', sizeof over);
    over[sizeof over - 1] = '\0';
    CU_ASSERT_EQUAL(ag_home_init(&h, over, &fault), ANTAG_ERR_HOME);
    for (size_t i = 1; i < sizeof over - 1; i += 2) /* "x/x/x…", nothing of it there */
        over[i] = '/';
    CU_ASSERT_EQUAL(ag_home_init(&h, over, &fault), ANTAG_ERR_HOME);
    remove_base();
}

/* ---- making and checking */

static mode_t mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode & 0777 : 0;
}

static void test_make(void)
{
    struct antag_fault fault = {0};
    struct ag_home h;

    make_base();
    CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, in_base("home"), NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_home_check(&h, &fault), ANTAG_ERR_NOT_INITIALISED);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "antomctl --home /tmp/"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/home init"));
    CU_ASSERT_EQUAL_FATAL(ag_home_make(&h, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(mode_of(h.dir), 0711);
    CU_ASSERT_EQUAL(ag_home_check(&h, &fault), ANTAG_ERR_NOT_INITIALISED);
    CU_ASSERT_EQUAL(ag_home_make(&h, &fault), ANTAG_OK); /* an empty one is taken */
    CU_ASSERT_EQUAL(chmod(h.dir, 0755), 0);
    CU_ASSERT_EQUAL(ag_home_make(&h, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(mode_of(h.dir), 0711);
    make_file(h.seal);
    CU_ASSERT_EQUAL(ag_home_check(&h, &fault), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_home_make(&h, &fault), ANTAG_ERR_ALREADY_INITIALISED);
    remove_base();
}

static const struct {
    const char *name;
    const char *files; /* separated by blanks */
    enum antag_err err;
    const char *left; /* of them, those that must still be there */
} content_rows[] = {
    {"nothing", "", ANTAG_OK, ""},
    {"lock alone", "lock", ANTAG_OK, "lock"},
    {"cut off at once", "root.seal.new registry.db.new registry.db.new-journal lock", ANTAG_OK,
     "lock"},
    {"cut off before the seal", "agent.conf.new registry.db.new", ANTAG_OK, ""},
    {"cut off at the end", "root.seal.new registry.db agent.conf audit", ANTAG_OK, ""},
    {"somebody's file", "notes.txt", ANTAG_ERR_HOME, "notes.txt"},
    {"somebody's hidden file", ".profile", ANTAG_ERR_HOME, ".profile"},
    {"somebody's file among leftovers", "root.seal.new notes.txt registry.db.new", ANTAG_ERR_HOME,
     "root.seal.new notes.txt registry.db.new"},
    {"registry whose seal is gone", "registry.db", ANTAG_ERR_HOME, "registry.db"},
    {"the operator's configuration", "agent.conf", ANTAG_OK, "agent.conf"},
    {"name like a leftover", "root.seal.newer", ANTAG_ERR_HOME, "root.seal.newer"},
    {"initialised", "root.seal registry.db agent.conf", ANTAG_ERR_ALREADY_INITIALISED,
     "root.seal registry.db agent.conf"},
    {"initialised, leftovers beside", "root.seal root.seal.new registry.db",
     ANTAG_ERR_ALREADY_INITIALISED, "root.seal root.seal.new registry.db"},
};

static void each_file(const char *files, void (*f)(const char *path))
{
    char copy[256], *save = NULL;

    snprintf(copy, sizeof copy, "%s", files);
    for (char *name = strtok_r(copy, " ", &save); name != NULL; name = strtok_r(NULL, " ", &save))
        f(in_base("home/%s", name));
}

static const char *row_name;
static void is_left(const char *path)
{
    ROW_ASSERT(row_name, exists(path));
}

static void test_contents(void)
{
    for (size_t i = 0; i < ROW_COUNT(content_rows); i++) {
        struct ag_home h;

        make_base();
        row_name = content_rows[i].name;
        CU_ASSERT_EQUAL_FATAL(mkdir(in_base("home"), 0700), 0);
        CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, in_base("home"), NULL), ANTAG_OK);
        each_file(content_rows[i].files, make_file);
        ROW_ASSERT(row_name, ag_home_make(&h, NULL) == content_rows[i].err);
        each_file(content_rows[i].left, is_left);
        if (content_rows[i].err == ANTAG_OK) {
            ROW_ASSERT(row_name, !exists(in_base("home/root.seal.new")));
            ROW_ASSERT(row_name, !exists(in_base("home/registry.db.new-journal")));
            ROW_ASSERT(row_name, !exists(h.registry));
        }
        remove_base();
    }
}

static const struct {
    const char *name;
    mode_t mode;
    enum antag_err err;
} mode_rows[] = {
    {"as made", 0711, ANTAG_OK},
    {"closed further", 0700, ANTAG_OK},
    {"names can be read", 0755, ANTAG_ERR_HOME},
    {"group writes", 0731, ANTAG_ERR_HOME},
    {"everybody writes", 0713, ANTAG_ERR_HOME},
    {"everybody does everything", 0777, ANTAG_ERR_HOME},
    {"owner cannot write", 0511, ANTAG_ERR_HOME},
};

static void test_modes(void)
{
    struct antag_fault fault = {0};
    struct ag_home h;

    make_base();
    CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, in_base("home"), NULL), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(ag_home_make(&h, NULL), ANTAG_OK);
    make_file(h.seal);
    for (size_t i = 0; i < ROW_COUNT(mode_rows); i++) {
        CU_ASSERT_EQUAL_FATAL(chmod(h.dir, mode_rows[i].mode), 0);
        ROW_ASSERT(mode_rows[i].name, ag_home_check(&h, &fault) == mode_rows[i].err);
        if (mode_rows[i].err != ANTAG_OK)
            ROW_ASSERT(mode_rows[i].name, strstr(fault.text, "chmod 0711 ") != NULL);
    }
    CU_ASSERT_EQUAL(chmod(h.dir, 0700), 0);
    remove_base();
}

static void test_strangers(void)
{
    struct antag_fault fault = {0};
    struct ag_home h;

    make_base();
    CU_ASSERT_EQUAL_FATAL(mkdir(in_base("home"), 0711), 0);
    CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, in_base("home"), NULL), ANTAG_OK);
    if (geteuid() == 0) {
        CU_ASSERT_EQUAL_FATAL(chown(h.dir, 10001, 10001), 0);
    } else { /* a folder of root's, whatever it holds */
        CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, "/", NULL), ANTAG_OK);
    }
    CU_ASSERT_EQUAL(ag_home_check(&h, &fault), ANTAG_ERR_HOME);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "belongs to uid"));
    CU_ASSERT_EQUAL(ag_home_make(&h, &fault), ANTAG_ERR_HOME);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "belongs to uid"));

    /* a file, or a link put in the folder's place after its path was resolved */
    CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, in_base("swapped"), NULL), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(mkdir(in_base("target"), 0711), 0);
    CU_ASSERT_EQUAL_FATAL(symlink("target", in_base("swapped")), 0);
    CU_ASSERT_EQUAL(ag_home_check(&h, &fault), ANTAG_ERR_HOME);
    CU_ASSERT_EQUAL(ag_home_make(&h, &fault), ANTAG_ERR_HOME);
    CU_ASSERT_EQUAL_FATAL(unlink(in_base("swapped")), 0);
    make_file(in_base("swapped"));
    CU_ASSERT_EQUAL(ag_home_check(&h, &fault), ANTAG_ERR_HOME);
    CU_ASSERT_EQUAL(ag_home_make(&h, &fault), ANTAG_ERR_HOME);
    remove_base();
}

/* ---- lock */

static void test_lock(void)
{
    struct antag_fault fault = {0};
    int first = -1, second = -1, third = -1, status = -1;
    char pid[32];
    struct ag_home h;
    pid_t child;

    make_base();
    CU_ASSERT_EQUAL_FATAL(ag_home_init(&h, in_base("home"), NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_home_lock(&h, &first, &fault), ANTAG_ERR_HOME); /* no such folder */
    CU_ASSERT_EQUAL_FATAL(ag_home_make(&h, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(ag_home_lock(&h, &first, &fault), ANTAG_OK);
    CU_ASSERT(fcntl(first, F_GETFD) & FD_CLOEXEC);
    CU_ASSERT_EQUAL(ag_home_lock(&h, &second, &fault), ANTAG_ERR_IN_USE);
    CU_ASSERT_EQUAL(second, -1);
    snprintf(pid, sizeof pid, "(pid %d)", (int)getpid());
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, pid));
    fflush(NULL);
    child = fork();
    if (child == 0) {
        close(first);
        _exit(ag_home_lock(&h, &second, &fault) == ANTAG_ERR_IN_USE &&
                      ag_home_make(&h, &fault) == ANTAG_ERR_IN_USE
                  ? 0
                  : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    close(first);
    CU_ASSERT_EQUAL(ag_home_lock(&h, &third, &fault), ANTAG_OK); /* free again, file still there */
    close(third);
    CU_ASSERT_EQUAL(mode_of(h.lock), 0600);
    CU_ASSERT_EQUAL_FATAL(unlink(h.lock), 0);
    CU_ASSERT_EQUAL_FATAL(symlink("elsewhere", h.lock), 0);
    CU_ASSERT_EQUAL(ag_home_lock(&h, &third, &fault), ANTAG_ERR_HOME);
    CU_ASSERT(!exists(in_base("home/elsewhere")));
    remove_base();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"system paths", test_system},
        {"paths", test_paths},
        {"paths refused", test_paths_refused},
        {"making and checking", test_make},
        {"what counts as empty", test_contents},
        {"modes", test_modes},
        {"strangers", test_strangers},
        {"lock", test_lock},
        CU_TEST_INFO_NULL,
    };

    return run_tests("home", tests);
}
