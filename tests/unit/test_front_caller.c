/* The unit of a caller: from the text of /proc/PID/cgroup, and from the kernel for this process. */
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/caller.h"
#include "tests/support/rows.h"

static void test_units(void)
{
    static const struct {
        const char *name, *cgroup, *unit; /* "": none */
    } table[] = {
        {"service", "0::/system.slice/shop.service\n", "shop.service"},
        {"no line feed", "0::/system.slice/shop.service", "shop.service"},
        {"nested slices", "0::/pay.slice/pay-eu.slice/shop.service\n", "shop.service"},
        {"template", "0::/system.slice/system-shop.slice/shop@1.service\n", "shop@1.service"},
        {"delegated", "0::/system.slice/shop.service/worker/1\n", "shop.service"},
        {"scope", "0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"},
        {"version 1", "2:cpu:/x\n1:name=systemd:/system.slice/shop.service\n", "shop.service"},
        {"mixed", "1:name=systemd:/system.slice/a.service\n0::/system.slice/b.service\n",
         "a.service"},
        {"a user's own unit",
         "0::/user.slice/user-1000.slice/user@1000.service/app.slice/shop.service\n",
         "user@1000.service"},

        {"root", "0::/\n", ""},
        {"empty", "", ""},
        {"no path", "0::", ""},
        {"only slices", "0::/system.slice\n", ""},
        {"another namespace", "0::/../../system.slice/shop.service\n", ""},
        {"container", "0::/docker/0123.service.d/shop.service\n", ""},
        {"bare suffix", "0::/system.slice/.service\n", ""},
        {"not absolute", "0::system.slice/shop.service\n", ""},
        {"double slash", "0::/system.slice//shop.service\n", ""},
        {"another controller", "4:name=other:/system.slice/shop.service\n", ""},
        {"head inside a line", "7:x0::/system.slice/shop.service\n", ""},
        {"suffix inside", "0::/system.slice/shop.servicex\n", ""},
    };

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        char unit[ANTAG_UNIT_MAX + 1] = "untouched";
        bool found = ag_caller_unit(antag_slice_of(table[i].cgroup), unit);

        ROW_ASSERT(table[i].name, strcmp(unit, table[i].unit) == 0);
        ROW_ASSERT(table[i].name, found == (table[i].unit[0] != '\0'));
    }
}

/* The longest name that can be granted, and one more. */
static void test_unit_length(void)
{
    char cgroup[ANTAG_UNIT_MAX + 64], unit[ANTAG_UNIT_MAX + 1];

    for (int extra = 0; extra <= 1; extra++) {
        int stem = ANTAG_UNIT_MAX - 8 + extra;

        snprintf(cgroup, sizeof cgroup, "0::/%.*s.service\n", stem,
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        CU_ASSERT_EQUAL(ag_caller_unit(antag_slice_of(cgroup), unit), extra == 0);
        CU_ASSERT_EQUAL(strlen(unit), extra == 0 ? ANTAG_UNIT_MAX : 0);
    }
}

static void test_self(void)
{
    struct ag_caller c;
    int pair[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CU_ASSERT_EQUAL(ag_caller_read(pair[0], &c), ANTAG_OK);
    CU_ASSERT_EQUAL(c.uid, getuid());
    CU_ASSERT_EQUAL(c.gid, getgid());
    CU_ASSERT_EQUAL(c.pid, getpid());
    CU_ASSERT(c.group_count <= AG_GID_COUNT_MAX);
    close(pair[0]);
    close(pair[1]);
}

static void test_no_socket(void)
{
    struct ag_caller c;
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    CU_ASSERT_NOT_EQUAL(ag_caller_read(fds[0], &c), ANTAG_OK);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"units", test_units},       {"length of a unit", test_unit_length},
        {"this process", test_self}, {"no socket", test_no_socket},
        CU_TEST_INFO_NULL,
    };

    return run_tests("front_caller", tests);
}
