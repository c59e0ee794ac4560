/* The writer of a chain: what was recorded is there, whatever the disk did; nothing is there twice. */
#include "tests/support/chainrig.h"

static void check_clean(size_t signs, size_t notes)
{
    struct found *found = calloc(1, sizeof *found);

    look(NULL, found);
    if (found->result.broken > 0 || found->result.notes != notes)
        print_findings(found);
    CU_ASSERT_EQUAL(found->result.broken, 0);
    CU_ASSERT_EQUAL(found->result.notes, notes);
    CU_ASSERT_EQUAL(found->lines_of_sign, signs);
    for (size_t i = 0; i < signs && i < ROW_COUNT(found->has); i++)
        CU_ASSERT_TRUE(found->has[i]);
    free(found);
}

static uint64_t segments(void)
{
    struct found *found = calloc(1, sizeof *found);
    uint64_t n;

    look(NULL, found);
    n = found->result.segments;
    free(found);
    return n;
}

static void test_plain(bool commit)
{
    struct rig r = {.conf = {.commit = commit, .reserve = 65536}};
    uint64_t seq = 0;

    make_audit();
    rig_open(&r);
    for (uint64_t i = 0; i < 100; i++)
        seq = must_add(&r, i);
    CU_ASSERT_EQUAL(seq, 101); /* behind the first line of the segment */
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_clean(100, 0);
    rig_open(&r);
    seq = must_add(&r, 100);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_clean(101, 0);
    CU_ASSERT_EQUAL(segments(), 2);
    remove_tree(audit);
}

static void test_commit(void)
{
    test_plain(true);
}

static void test_buffered(void)
{
    test_plain(false);
}

/* `commit`: nothing is recorded before it is on the disk. */
static void test_waits_for_disk(void)
{
    struct rig r = {.conf = {.commit = true}};
    uint64_t seq;
    int gate, before;

    make_audit();
    rig_open(&r);
    before = atomic_load(&disk.syncs);
    gate = hold_syncs();
    seq = must_add(&r, 0);
    wait_sync(before);
    CU_ASSERT_EQUAL(ag_chain_fate(r.chain, seq), AG_FATE_WAITS);
    for (uint64_t i = 1; i < 50; i++) /* the disk is slow; lines are taken */
        seq = must_add(&r, i);
    CU_ASSERT_EQUAL(ag_chain_fate(r.chain, seq), AG_FATE_WAITS);
    let_syncs_go(gate);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    CU_ASSERT_TRUE(atomic_load(&disk.syncs) <= before + 3); /* one group, and the rest */
    rig_close(&r);
    check_clean(50, 0);
    close(gate);
    remove_tree(audit);
}

static void test_rotation(void)
{
    struct rig r = {.conf = {.commit = true, .segment_max = 4096}};
    uint64_t seq = 0;

    make_audit();
    rig_open(&r);
    for (uint64_t i = 0; i < 200; i++) {
        seq = must_add(&r, i);
        if (i % 7 == 0)
            CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    }
    rig_close(&r);
    check_clean(200, 0);
    CU_ASSERT_TRUE(segments() > 5);
    remove_tree(audit);
}

/* A sync fails once: its segment is left, nothing is lost, nothing refused. */
static void test_sync_fails(void)
{
    struct rig r = {.conf = {.commit = true}};
    uint64_t seq = 0;

    make_audit();
    rig_open(&r);
    for (uint64_t i = 0; i < 30; i++) {
        if (i == 10 || i == 20)
            atomic_store(&disk.sync_fails, 1);
        seq = must_add(&r, i);
        CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    }
    rig_close(&r);
    check_clean(30, 0);
    CU_ASSERT_EQUAL(segments(), 3);
    cut_power("soft", 0);
    check_clean(30, 0); /* what the failed syncs had left out stands in the next segment */
    remove_tree(audit);
}

/* It goes on failing: lines that wait are stuck, more are refused; then all is recorded. */
static void test_stuck(int code, bool at_sync)
{
    struct rig r = {.conf = {.commit = true}};
    struct antag_fault fault = {.err = ANTAG_OK};
    struct ag_chain_status status;
    uint64_t seq, refused;

    make_audit();
    rig_open(&r);
    seq = must_add(&r, 0);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    atomic_store(&disk.write_errno, code);
    atomic_store(&disk.write_fails, at_sync ? 0 : -1);
    atomic_store(&disk.sync_fails, at_sync ? 1000000 : 0);
    seq = must_add(&r, 1);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_STUCK));
    CU_ASSERT_EQUAL(add(&r, 9, &refused, &fault), ANTAG_ERR_AUDIT);
    ROW_ASSERT(fault.text, strstr(fault.text, strerror(at_sync ? EIO : code)) != NULL);
    ROW_ASSERT(fault.text, strstr(fault.text, audit) != NULL);
    ag_chain_status(r.chain, &status);
    CU_ASSERT_TRUE(status.refusing);
    CU_ASSERT_STRING_EQUAL(status.why, fault.text);
    atomic_store(&disk.write_fails, 0);
    atomic_store(&disk.sync_fails, 0);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    seq = must_add(&r, 2);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_clean(3, 0);
    remove_tree(audit);
}

static void test_write_fails(void)
{
    test_stuck(EIO, false);
}

static void test_disk_full(void)
{
    test_stuck(ENOSPC, false);
}

static void test_sync_goes_on_failing(void)
{
    test_stuck(EIO, true);
}

/* The disk is full: the reserve lets what runs finish, then lines are refused until there is room. */
static void test_reserve(void)
{
    struct rig r = {.conf = {.commit = true, .reserve = 65536}};
    struct antag_fault fault = {.err = ANTAG_OK};
    uint64_t seq, refused;
    char path[256];
    struct stat st;

    make_audit();
    rig_open(&r);
    audit_path("soft", "reserve", path, sizeof path);
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    CU_ASSERT_EQUAL(st.st_size, 65536);
    CU_ASSERT_TRUE(st.st_blocks * 512 >= 65536);
    atomic_store(&disk.write_errno, ENOSPC);
    atomic_store(&disk.write_fails, 2); /* a half, then nothing; then the room of the reserve */
    seq = must_add(&r, 0);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    /* here the disk has room after all, so the reserve comes back at once or with the next try */
    for (int i = 0; i < 2000 && add(&r, 1, &refused, &fault) != ANTAG_OK; i++) {
        CU_ASSERT_EQUAL(fault.err, ANTAG_ERR_AUDIT);
        (void)poll(NULL, 0, 10);
    }
    CU_ASSERT_EQUAL(stat(path, &st), 0);
    rig_close(&r);
    check_clean(2, 0);
    remove_tree(audit);
}

/* What somebody does to the file under our hands. */
static void test_taken_away(const char *how)
{
    struct rig r = {.conf = {.commit = true}};
    char path[256], other[256];
    uint64_t seq = 0;
    int fd;

    make_audit();
    rig_open(&r);
    for (uint64_t i = 0; i < 10; i++)
        seq = must_add(&r, i);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    audit_path("soft", "00000001.jsonl", path, sizeof path);
    audit_path("soft", "gone", other, sizeof other);
    if (strcmp(how, "deleted") == 0) {
        CU_ASSERT_EQUAL(unlink(path), 0);
    } else if (strcmp(how, "moved") == 0) {
        CU_ASSERT_EQUAL(rename(path, other), 0);
    } else {
        CU_ASSERT_EQUAL(unlink(path), 0);
        fd = open(path, O_WRONLY | O_CREAT, 0600);
        CU_ASSERT_EQUAL(write(fd, "x\n", 2), 2);
        close(fd);
    }
    seq = must_add(&r, 10);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    if (strcmp(how, "replaced") == 0) { /* the foreign file is told */
        struct found *found = calloc(1, sizeof *found);

        look(NULL, found);
        CU_ASSERT_EQUAL(found->lines_of_sign, 11);
        CU_ASSERT_EQUAL(found->result.broken, 1);
        CU_ASSERT_EQUAL(found->findings[0].segment, 1);
        free(found);
    } else {
        check_clean(11, 0);
    }
    remove_tree(audit);
}

static void test_deleted(void)
{
    test_taken_away("deleted");
}

static void test_moved(void)
{
    test_taken_away("moved");
}

static void test_replaced(void)
{
    test_taken_away("replaced");
}

/* Somebody writes into it: the rest of the chain goes elsewhere, and the bytes are told. */
static void test_written_into(void)
{
    struct rig r = {.conf = {.commit = true}};
    struct found *found = calloc(1, sizeof *found);
    char path[256];
    uint64_t seq;
    int fd;

    make_audit();
    rig_open(&r);
    seq = must_add(&r, 0);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    audit_path("soft", "00000001.jsonl", path, sizeof path);
    fd = open(path, O_WRONLY | O_APPEND);
    CU_ASSERT_EQUAL(write(fd, "{}\n", 3), 3);
    close(fd);
    seq = must_add(&r, 1);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    look(NULL, found);
    CU_ASSERT_EQUAL(found->lines_of_sign, 2);
    CU_ASSERT_EQUAL(found->result.broken, 1);
    CU_ASSERT_EQUAL(found->findings[0].line, 3);
    free(found);
    remove_tree(audit);
}

/* A folder that cannot be had: no failure of the keeper, but AUDIT with the reason, until it can. */
static void test_no_folder(void)
{
    struct rig r = {.conf = {.commit = true}};
    struct antag_fault fault = {.err = ANTAG_OK};
    uint64_t seq = 0;
    int fd;

    make_audit();
    fd = open(audit, O_RDONLY | O_DIRECTORY);
    {
        char path[256];
        int file;

        audit_path("soft", "", path, sizeof path);
        file = open(path, O_WRONLY | O_CREAT, 0600); /* where the folder should be */
        close(file);
        rig_open(&r);
        CU_ASSERT_EQUAL(add(&r, 0, &seq, &fault), ANTAG_ERR_AUDIT);
        ROW_ASSERT(fault.text, strstr(fault.text, "Not a directory") != NULL);
        CU_ASSERT_EQUAL(unlink(path), 0);
    }
    for (int i = 0; i < 2000 && add(&r, 0, &seq, &fault) != ANTAG_OK; i++)
        (void)poll(NULL, 0, 10);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_clean(1, 0);
    close(fd);
    remove_tree(audit);
}

static void test_second_writer(void)
{
    struct rig r = {.conf = {.commit = true}}, other = {.conf = {.commit = true}};
    struct antag_fault fault = {.err = ANTAG_OK};
    uint64_t seq;

    make_audit();
    rig_open(&r);
    rig_open(&other);
    CU_ASSERT_EQUAL(add(&other, 0, &seq, &fault), ANTAG_ERR_AUDIT);
    ROW_ASSERT(fault.text, strstr(fault.text, "another process") != NULL);
    rig_close(&other);
    seq = must_add(&r, 0);
    CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    rig_close(&r);
    check_clean(1, 0);
    remove_tree(audit);
}

/* A line that is too long is refused, and the chain is as before. */
static void test_too_long(void)
{
    struct rig r = {.conf = {.commit = true}};
    char *text = malloc(AG_LINE_MAX + 1);
    struct antag_fault fault = {.err = ANTAG_OK};
    struct ag_log_field fields[] = {AG_F_TEXT("x", text), {.kind = AG_LF_END}};
    struct ag_chain_record records[] = {{.type = "sign", .fields = fields + 1},
                                        {.type = "sign", .fields = fields}};
    uint64_t seq;

    memset(text, 'a', AG_LINE_MAX);
    text[AG_LINE_MAX] = '\0';
    make_audit();
    rig_open(&r);
    CU_ASSERT_EQUAL(ag_chain_append(r.chain, records, 2, &seq, &fault), ANTAG_ERR_AUDIT);
    CU_ASSERT_EQUAL(must_add(&r, 0), 2); /* the number of the line before was not used */
    rig_close(&r);
    check_clean(1, 0);
    free(text);
    remove_tree(audit);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"durability commit", test_commit},
        {"durability buffered", test_buffered},
        {"commit waits for the disk", test_waits_for_disk},
        {"rotation by size", test_rotation},
        {"a sync fails once", test_sync_fails},
        {"writes fail", test_write_fails},
        {"disk full", test_disk_full},
        {"syncs go on failing", test_sync_goes_on_failing},
        {"reserve", test_reserve},
        {"segment deleted", test_deleted},
        {"segment moved away", test_moved},
        {"segment replaced", test_replaced},
        {"segment written into", test_written_into},
        {"no folder", test_no_folder},
        {"a second writer", test_second_writer},
        {"a line too long", test_too_long},
        CU_TEST_INFO_NULL,
    };
    struct antag_fault fault;

    if (ag_secret_setup(&fault) != ANTAG_OK)
        return 1;
    return run_tests("chain_writer", tests);
}
