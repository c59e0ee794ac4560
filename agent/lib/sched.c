#include "agent/lib/sched.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/lib/log.h"

#define LONG_SLICE_NS 100000000 /* the most the kernel takes */

/* struct sched_attr of linux/sched/types.h, as first published: the C library of Debian 12 has none. */
struct attr {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

void ag_sched_let_others_in(void)
{
    struct attr a = {.size = sizeof a, .policy = SCHED_OTHER, .runtime = LONG_SLICE_NS};

    a.nice = getpriority(PRIO_PROCESS, 0);
    if (syscall(SYS_sched_setattr, 0, &a, 0) != 0)
        ag_log(AG_LOG_DEBUG, "sched.slice", AG_F_TEXT("why", "the kernel does not take it"));
}
