/* Those who help the thread of a chain: lines are with the kernel when help returns, each once, whatever the disk
 * did; help never waits for a sync. */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/support/chainrig.h"

#define HELPERS 4
#define EACH    300

static enum antag_err add_helped(struct rig *r, uint64_t number, uint64_t *seq)
{
    struct antag_fault fault = {.err = ANTAG_OK};

    return add_by(ag_chain_append_helped, r, number, seq, &fault);
}

static void check_lines(uint64_t count)
{
    struct found *found = calloc(1, sizeof *found);

    look(NULL, found);
    if (found->result.broken > 0)
        print_findings(found);
    CU_ASSERT_EQUAL(found->result.broken, 0);
    CU_ASSERT_EQUAL(found->lines_of_sign, count);
    free(found);
}

/* Recorded by help itself; on the disk later, by the thread, though nobody appends any more. */
static void test_alone(void)
{
    struct rig r = {.conf = {.commit = false}};
    uint64_t seq;

    make_audit();
    rig_open(&r);
    for (uint64_t i = 0; i < 3; i++) {
        int syncs = atomic_load(&disk.syncs);

        CU_ASSERT_EQUAL(add_helped(&r, i, &seq), ANTAG_OK);
        CU_ASSERT_EQUAL(ag_chain_fate(r.chain, seq), AG_FATE_WAITS); /* nobody was woken */
        ag_chain_help(r.chain);
        CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
        check_lines(i + 1);
        wait_sync(syncs);
    }
    rig_close(&r);
    remove_tree(audit);
}

/* With durability commit, help leaves all to the thread. */
static void test_commit(void)
{
    struct rig r = {.conf = {.commit = true}};
    uint64_t seq;
    int gate, before;

    make_audit();
    rig_open(&r);
    before = atomic_load(&disk.syncs);
    gate = hold_syncs();
    CU_ASSERT_EQUAL(add_helped(&r, 0, &seq), ANTAG_OK);
    ag_chain_help(r.chain);
    wait_sync(before);
    CU_ASSERT_EQUAL(ag_chain_fate(r.chain, seq), AG_FATE_WAITS);
    let_syncs_go(gate);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_lines(1);
    close(gate);
    remove_tree(audit);
}

/* While the thread waits for the disk, help returns at once; the thread then has the line. */
static void test_beside_a_sync(void)
{
    struct rig r = {.conf = {.commit = false}};
    uint64_t seq;
    int gate, before;

    make_audit();
    rig_open(&r);
    before = atomic_load(&disk.syncs);
    gate = hold_syncs();
    CU_ASSERT_EQUAL(add_helped(&r, 0, &seq), ANTAG_OK);
    ag_chain_help(r.chain);
    wait_sync(before);
    CU_ASSERT_EQUAL(add_helped(&r, 1, &seq), ANTAG_OK);
    ag_chain_help(r.chain);
    CU_ASSERT_EQUAL(ag_chain_fate(r.chain, seq), AG_FATE_WAITS);
    let_syncs_go(gate);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_lines(2);
    close(gate);
    remove_tree(audit);
}

struct helper {
    pthread_t thread;
    struct rig *r;
    uint64_t from, taken;
};

/* A line that the chain refused is tried again: it is stuck for a second at most. */
static void *help(void *arg)
{
    struct helper *h = arg;
    uint64_t seq;

    for (uint64_t i = 0; i < EACH; i++) {
        while (add_helped(h->r, h->from + i, &seq) != ANTAG_OK)
            (void)poll(NULL, 0, 5);
        ag_chain_help(h->r->chain);
        while (ag_chain_fate(h->r->chain, seq) != AG_FATE_RECORDED)
            (void)poll(NULL, 0, 1);
        h->taken++;
    }
    return NULL;
}

/* Segments fill, writes and syncs fail. */
static void test_many(void)
{
    struct rig r = {.conf = {.commit = false, .segment_max = 16384}};
    struct helper h[HELPERS] = {0};

    make_audit();
    rig_open(&r);
    for (size_t i = 0; i < HELPERS; i++) {
        h[i] = (struct helper){.r = &r, .from = i * EACH};
        CU_ASSERT_EQUAL_FATAL(pthread_create(&h[i].thread, NULL, help, &h[i]), 0);
    }
    wait_sync(3);
    atomic_store(&disk.sync_fails, 1);
    atomic_store(&disk.write_errno, EIO);
    atomic_store(&disk.write_fails, 2);
    for (size_t i = 0; i < HELPERS; i++) {
        pthread_join(h[i].thread, NULL);
        CU_ASSERT_EQUAL(h[i].taken, EACH);
    }
    rig_close(&r);
    check_lines(HELPERS * EACH);
    remove_tree(audit);
}

/* The writer is killed: what was recorded is with the kernel. */
static void test_killed(void)
{
    _Atomic uint64_t *recorded =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct found *found = calloc(1, sizeof *found);
    int status;
    pid_t pid;

    CU_ASSERT_FATAL(recorded != MAP_FAILED);
    make_audit();
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        struct rig r = {.conf = {.commit = false, .segment_max = 16384}};
        uint64_t seq;

        rig_open(&r);
        for (uint64_t i = 0; i < 4000; i++) {
            if (add_helped(&r, i, &seq) != ANTAG_OK)
                _exit(1);
            ag_chain_help(r.chain);
            if (!wait_fate(&r, seq, AG_FATE_RECORDED))
                _exit(1);
            atomic_store(recorded, i + 1);
        }
        (void)pause();
    }
    CU_ASSERT_FATAL(pid > 0);
    while (atomic_load(recorded) < 500 && waitpid(pid, &status, WNOHANG) == 0)
        (void)poll(NULL, 0, 1);
    CU_ASSERT_EQUAL(kill(pid, SIGKILL), 0);
    CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
    look(NULL, found);
    CU_ASSERT_EQUAL(found->result.broken, 0);
    CU_ASSERT_TRUE(atomic_load(recorded) >= 500);
    for (uint64_t i = 0; i < atomic_load(recorded); i++)
        CU_ASSERT_TRUE(found->has[i]);
    free(found);
    munmap(recorded, 4096);
    remove_tree(audit);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"alone", test_alone},
        {"durability commit", test_commit},
        {"beside a sync", test_beside_a_sync},
        {"many, and a disk that fails", test_many},
        {"killed", test_killed},
        CU_TEST_INFO_NULL,
    };
    struct antag_fault fault;

    if (ag_secret_setup(&fault) != ANTAG_OK)
        return 1;
    return run_tests("chain_help", tests);
}
