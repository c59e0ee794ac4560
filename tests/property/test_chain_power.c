/* Kills and power cuts: writers that are killed at any moment, with and without the power, on a disk that
 * fails now and then and forgets what was not synced. What was recorded under `commit` is there, the chain
 * holds, nothing is there twice. */
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/support/chainrig.h"
#include "tests/support/dice.h"

#define CUTS    40
#define NUMBERS 4096

struct shared {
    _Atomic uint64_t next;          /* number of the next line */
    _Atomic bool recorded[NUMBERS]; /* told as recorded, so an answer may have left */
    uint64_t seq[NUMBERS];
};

/* A writer for as long as it is let live. */
static void write_lines(struct shared *shared, uint64_t seed_value)
{
    struct rig r = {.conf = {.commit = true, .segment_max = 4096 + seed_value % 20000}};
    uint64_t first = atomic_load(&shared->next), waiting = first;

    rig_open(&r);
    for (uint64_t i = 0;; i++) {
        uint64_t n = atomic_fetch_add(&shared->next, 1),
                 seq; /* taken, even if nothing comes of it */

        if (n >= NUMBERS)
            break;
        shared->seq[n] = add(&r, n, &seq, NULL) == ANTAG_OK ? seq : UINT64_MAX;
        if ((seed_value + i) % 97 == 0)
            atomic_store(&disk.sync_fails, 1);
        if ((seed_value + i) % 131 == 0) {
            atomic_store(&disk.write_errno, ENOSPC);
            atomic_store(&disk.write_fails, 2);
        }
        for (; waiting <= n; waiting++) {
            if (shared->seq[waiting] == UINT64_MAX) /* refused */
                continue;
            if (ag_chain_fate(r.chain, shared->seq[waiting]) != AG_FATE_RECORDED)
                break;
            atomic_store(&shared->recorded[waiting], true);
        }
        if ((seed_value + i) % 5 == 0)
            (void)poll(NULL, 0, 1);
    }
    (void)pause(); /* to be killed */
}

static void check(const struct shared *shared, int cut)
{
    struct found *found = calloc(1, sizeof *found);
    uint64_t recorded = 0, lost = 0;

    look(NULL, found);
    if (found->result.broken > 0)
        print_findings(found);
    for (uint64_t n = 0; n < NUMBERS; n++) {
        recorded += atomic_load(&shared->recorded[n]);
        lost += atomic_load(&shared->recorded[n]) && !found->has[n];
    }
    CU_ASSERT_EQUAL(found->result.broken, 0);
    CU_ASSERT_EQUAL(lost, 0);
    if (cut == CUTS)
        printf("%llu recorded, %llu in the chain, %llu segments ", (unsigned long long)recorded,
               (unsigned long long)found->lines_of_sign,
               (unsigned long long)found->result.segments);
    CU_ASSERT_TRUE(cut < CUTS || recorded > CUTS);
    free(found);
}

static void test_power_cuts(void)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CU_ASSERT_FATAL(shared != MAP_FAILED);
    make_audit();
    for (int cut = 1; cut <= CUTS; cut++) {
        uint64_t child_seed = dice_below(1000000), first = atomic_load(&shared->next);
        pid_t pid;
        int status;

        fflush(NULL);
        pid = fork();
        if (pid == 0) {
            write_lines(shared, child_seed);
            _exit(0);
        }
        CU_ASSERT_FATAL(pid > 0);
        while (atomic_load(&shared->next) == first && first < NUMBERS) {
            CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, WNOHANG), 0);
            (void)poll(NULL, 0, 1); /* until it writes */
        }
        (void)poll(NULL, 0, (int)dice_below(60));
        CU_ASSERT_EQUAL(kill(pid, SIGKILL), 0);
        CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
        CU_ASSERT_TRUE(WIFSIGNALED(status));
        if (dice_below(2) == 0) /* else only the writer has ended; the kernel has its bytes */
            cut_power("soft", (unsigned)dice_below(2) * (unsigned)dice_below(257));
        check(shared, cut);
    }
    remove_tree(audit);
    munmap(shared, sizeof *shared);
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"power cuts", test_power_cuts},
        CU_TEST_INFO_NULL,
    };
    struct antag_fault fault;

    dice_seed(argc, argv);
    if (ag_secret_setup(&fault) != ANTAG_OK)
        return 1;
    return run_tests("chain_power", tests);
}
