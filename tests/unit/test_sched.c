/* A thread that lets others in: its share of the core stays what it was; where the kernel takes it, its slice is long. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/lib/sched.h"
#include "tests/support/rows.h"

struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static struct attr before, after;

static void *ask(void *arg)
{
    int *nice = arg;

    if (syscall(SYS_sched_getattr, 0, &before, sizeof before, 0) != 0)
        return arg;
    ag_sched_let_others_in();
    if (syscall(SYS_sched_getattr, 0, &after, sizeof after, 0) != 0)
        return arg;
    errno = 0;
    *nice = getpriority(PRIO_PROCESS, 0);
    return errno == 0 ? NULL : arg;
}

static void test_share_stays(void)
{
    int nice = 99, own = getpriority(PRIO_PROCESS, 0);
    pthread_t t;
    void *failed = NULL;

    CU_ASSERT_EQUAL_FATAL(pthread_create(&t, NULL, ask, &nice), 0);
    pthread_join(t, &failed);
    CU_ASSERT_PTR_NULL_FATAL(failed);
    CU_ASSERT_EQUAL(nice, own);
    CU_ASSERT(after.policy == SCHED_OTHER && after.nice == before.nice &&
              after.flags == before.flags);
    /* a kernel that tells of slices took it; an older one says 0 before and after */
    CU_ASSERT(before.runtime == 0 ? after.runtime == 0 : after.runtime == 100000000);
    CU_ASSERT_EQUAL(sched_getscheduler(0), SCHED_OTHER);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the share stays", test_share_stays},
        CU_TEST_INFO_NULL,
    };

    return run_tests("sched", tests);
}
