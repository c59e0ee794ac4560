/* What a role gives up. Each look is taken in a child: it cannot be undone. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/lib/confine.h"
#include "tests/support/rows.h"

#define KEEP 64 /* descriptors below stay open: those of the test's pipes */

static void confine_or_exit(bool is_role, int keep)
{
    struct antag_fault fault = {0};

    if (ag_confine_early(is_role, keep, &fault) != ANTAG_OK) {
        fprintf(stderr, "%s\n", fault.text);
        _exit(99);
    }
}

static int in_child(void (*f)(void))
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        f();
        _exit(0);
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* exit status: number of the first thing that is not as it should be */
static void look_at_role(void)
{
    struct sigaction action;
    struct rlimit core;
    int death = 0;

    confine_or_exit(true, KEEP);
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        _exit(1);
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        _exit(2);
    if (getrlimit(RLIMIT_CORE, &core) != 0 || core.rlim_cur != 0 || core.rlim_max != 0)
        _exit(3);
    if (sigaction(SIGPIPE, NULL, &action) != 0 || action.sa_handler != SIG_IGN)
        _exit(4);
    if (umask(0) != 077)
        _exit(5);
    if (prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) != 0 || death != SIGKILL)
        _exit(6);
}

static void look_at_supervisor(void)
{
    int death = -1;

    confine_or_exit(false, KEEP);
    if (prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) != 0 || death != 0)
        _exit(1);
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        _exit(2);
}

static void look_at_descriptors(void)
{
    int kept = open("/dev/null", O_RDONLY);

    if (kept < 0 || dup2(kept, 7) != 7 || dup2(kept, 8) != 8 || dup2(kept, 500) != 500)
        _exit(1);
    confine_or_exit(false, 8);
    if (fcntl(7, F_GETFD) < 0 || fcntl(0, F_GETFD) < 0)
        _exit(2);
    if (fcntl(8, F_GETFD) >= 0 || fcntl(500, F_GETFD) >= 0)
        _exit(3);
}

static void write_to_nobody(void)
{
    int fds[2];

    if (pipe(fds) != 0)
        _exit(1);
    confine_or_exit(false, KEEP);
    close(fds[0]);
    if (write(fds[1], "x", 1) != -1 || errno != EPIPE)
        _exit(2);
}

static void core_limit_raised(void)
{
    const struct rlimit raised = {1 << 20, 1 << 20};

    confine_or_exit(false, KEEP);
    /* with privileges the limit could be raised; not dumpable holds all the same */
    (void)setrlimit(RLIMIT_CORE, &raised);
    abort();
}

static void test_given_up(void)
{
    CU_ASSERT_EQUAL(in_child(look_at_role), 0);
    CU_ASSERT_EQUAL(in_child(look_at_supervisor), 0);
    CU_ASSERT_EQUAL(in_child(look_at_descriptors), 0);
    CU_ASSERT_EQUAL(in_child(write_to_nobody), 0);
}

static void test_no_core(void)
{
    int status = -1;
    pid_t pid;

    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(98);
        core_limit_raised();
    }
    CU_ASSERT_FATAL(pid > 0);
    CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
    CU_ASSERT(!WIFSIGNALED(status) || !WCOREDUMP(status));
}

/* Another process of the same user tries to attach, and to read the memory. */
static void attack(void)
{
    int ready[2];
    char byte, path[64];
    pid_t victim;

    if (pipe(ready) != 0)
        _exit(1);
    /* root traces what it likes: the rule is about the same user's other processes */
    if (geteuid() == 0 && setresuid(10001, 10001, 10001) != 0)
        _exit(2);
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* changing the user has cleared it */
        _exit(3);
    victim = fork();
    if (victim == 0) {
        confine_or_exit(true, KEEP);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    if (victim < 0 || read(ready[0], &byte, 1) != 1)
        _exit(4);
    if (ptrace(PTRACE_ATTACH, victim, NULL, NULL) == 0 || errno != EPERM)
        _exit(5);
    snprintf(path, sizeof path, "/proc/%d/mem", (int)victim);
    if (open(path, O_RDONLY) >= 0)
        _exit(6);
    kill(victim, SIGKILL);
    (void)waitpid(victim, NULL, 0);
}

/* The same without confinement succeeds; otherwise the test above would show nothing. */
static void attack_unconfined(void)
{
    pid_t victim;

    if (geteuid() == 0 && setresuid(10001, 10001, 10001) != 0)
        _exit(2);
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
        _exit(3);
    victim = fork();
    if (victim == 0)
        for (;;)
            pause();
    if (victim < 0)
        _exit(4);
    if (ptrace(PTRACE_ATTACH, victim, NULL, NULL) != 0)
        _exit(5);
    kill(victim, SIGKILL);
    (void)waitpid(victim, NULL, 0);
}

static void test_attach(void)
{
    CU_ASSERT_EQUAL(in_child(attack), 0);
    CU_ASSERT_EQUAL(in_child(attack_unconfined), 0);
}

/* A role ends with its parent: the pipe it holds open is closed. */
static void test_dies_with_parent(void)
{
    struct pollfd gone;
    int fds[2];
    pid_t parent;
    char byte;

    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    fflush(NULL);
    parent = fork();
    if (parent == 0) {
        if (fork() == 0) {
            confine_or_exit(true, KEEP);
            (void)!write(fds[1], "x", 1);
            for (;;)
                pause();
        }
        for (;;)
            pause();
    }
    CU_ASSERT_FATAL(parent > 0);
    close(fds[1]);
    CU_ASSERT_EQUAL(read(fds[0], &byte, 1), 1);
    gone = (struct pollfd){.fd = fds[0], .events = POLLIN};
    CU_ASSERT_EQUAL(poll(&gone, 1, 50), 0); /* both live */
    kill(parent, SIGKILL);
    CU_ASSERT_EQUAL(waitpid(parent, NULL, 0), parent);
    CU_ASSERT_EQUAL(poll(&gone, 1, 10000), 1);
    CU_ASSERT_EQUAL(read(fds[0], &byte, 1), 0);
    close(fds[0]);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"given up", test_given_up},
        {"no core file", test_no_core},
        {"attach is refused", test_attach},
        {"dies with its parent", test_dies_with_parent},
        CU_TEST_INFO_NULL,
    };

    return run_tests("confine", tests);
}
