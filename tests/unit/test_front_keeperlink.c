/* Lanes to the keepers, with the suite at the other end of the pair. */
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/keeperlink.h"
#include "agent/front/view.h"
#include "agent/lib/signwire.h"
#include "tests/support/front_rows.h"

#define JOBS 40

struct outcome {
    unsigned count;
    enum antag_err err;
    size_t sig_len;
    uint8_t first;
    int64_t retry_after_ms;
};

struct bench {
    uv_loop_t loop;
    struct ag_links *links;
    struct ag_rows *rows;
    struct ag_snapshot *snap;
    struct ag_view *view;
    int keeper; /* our end */
    struct outcome outcome[JOBS];
    unsigned ended;
};

static void on_done(struct ag_job *job, const struct antag_fault *fault, struct antag_slice sig,
                    void *ctx)
{
    struct bench *b = ctx;
    struct outcome *o = &b->outcome[job->id];

    o->count++;
    o->err = fault->err;
    o->sig_len = sig.len;
    o->retry_after_ms = fault->retry_after_ms;
    o->first = sig.len > 0 ? sig.p[0] : 0;
    b->ended++;
    ag_links_discard(b->links, job);
}

static void on_settled(void *ctx)
{
    struct bench *b = ctx;

    ag_links_pump(b->links, false);
}

static void join(struct bench *b)
{
    int pair[2];

    CU_ASSERT_EQUAL_FATAL(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    b->keeper = pair[0];
    ag_links_join(b->links, "soft", pair[1]);
}

static void set_up(struct bench *b, bool with_lane)
{
    struct ag_conf conf;

    memset(b, 0, sizeof *b);
    b->keeper = -1;
    ag_conf_default(&conf);
    conf.keyrings[0].threads = 2;
    b->rows = ag_rows_new();
    apply(b->rows, profile_row(1, "shop/live", AG_ENV_LIVE, "5Y1"));
    b->snap = commit(b->rows, 1);
    b->view = ag_view_new(1, b->snap, &conf, NULL, -1);
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&b->loop), 0);
    b->links = ag_links_new(&b->loop, on_done, on_settled, b);
    if (with_lane)
        join(b);
}

static void tear_down(struct bench *b)
{
    ag_links_close(b->links);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&b->loop), 0);
    CU_ASSERT_EQUAL(atomic_load(&b->view->refs), 1); /* every job gave its reference back */
    ag_view_free(b->view);
    ag_snapshot_release(b->snap);
    ag_rows_free(b->rows);
    if (b->keeper >= 0)
        close(b->keeper);
}

static void submit_of(struct bench *b, uint32_t id, int64_t deadline_at, uint32_t uid)
{
    static struct ag_conn *const somebody =
        (struct ag_conn *)16; /* only its absence is looked at */
    struct ag_job *job = ag_links_job(b->links);

    CU_ASSERT_PTR_NOT_NULL_FATAL(job);
    job->conn = somebody;
    job->id = id;
    job->view = ag_view_hold(b->view);
    job->plan.profile = ag_snapshot_at(b->snap, 0);
    memset(job->plan.digest, (int)id, sizeof job->plan.digest);
    job->plan.claim.uid = uid;
    job->deadline_at = deadline_at;
    ag_links_submit(b->links, job);
}

static void submit(struct bench *b, uint32_t id, int64_t deadline_at)
{
    submit_of(b, id, deadline_at, CALLER_UID);
}

/* One packet of the front's; its count of jobs, 0 when there is none. */
static size_t take(struct bench *b, struct ag_sign_job jobs[AG_SIGNWIRE_BATCH])
{
    ssize_t len = recv(b->keeper, jobs, sizeof(*jobs) * AG_SIGNWIRE_BATCH, MSG_DONTWAIT);

    return len > 0 ? (size_t)len / sizeof *jobs : 0;
}

static struct ag_sign_done done_of(const struct ag_sign_job *job)
{
    struct ag_sign_done d = {
        .version = AG_SIGNWIRE_VERSION, .err = ANTAG_OK, .tag = job->tag, .seq = 9, .sig_len = 256};

    d.sig[0] = job->digest[0];
    return d;
}

static void answer(struct bench *b, const void *p, size_t len)
{
    CU_ASSERT_EQUAL(send(b->keeper, p, len, MSG_NOSIGNAL), (ssize_t)len);
    uv_run(&b->loop, UV_RUN_NOWAIT);
}

/* Everything comes back once, to its own; packets are small and the window holds. */
static void test_all_answered(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH], all[JOBS];
    struct bench b;
    size_t count = 0, n;

    set_up(&b, true);
    for (uint32_t i = 0; i < JOBS; i++)
        submit(&b, i, INT64_MAX);
    ag_links_pump(b.links, false);
    while ((n = take(&b, jobs)) > 0) {
        CU_ASSERT(n <= AG_LANE_PACKET_JOBS);
        memcpy(all + count, jobs, n * sizeof *jobs);
        count += n;
    }
    CU_ASSERT_EQUAL(count, (size_t)2 * AG_LANE_JOBS_A_THREAD);
    CU_ASSERT_EQUAL(all[0].handle, 101);
    CU_ASSERT_EQUAL(all[0].profile_id, 1);
    CU_ASSERT_EQUAL(all[0].env, AG_ENV_LIVE);
    for (size_t i = 0; i < count; i++) { /* each makes room for one more */
        struct ag_sign_done d = done_of(&all[i]);

        answer(&b, &d, sizeof d);
        while (count < JOBS && (n = take(&b, jobs)) > 0) {
            memcpy(all + count, jobs, n * sizeof *jobs);
            count += n;
        }
    }
    CU_ASSERT_EQUAL(b.ended, JOBS);
    for (uint32_t i = 0; i < JOBS; i++)
        CU_ASSERT(b.outcome[i].count == 1 && b.outcome[i].err == ANTAG_OK &&
                  b.outcome[i].sig_len == 256 && b.outcome[i].first == (uint8_t)i);
    tear_down(&b);
}

/* Two jobs for two threads go in two packets; a single one at once. */
static void test_packets(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    struct bench b;

    set_up(&b, true);
    submit(&b, 0, INT64_MAX);
    submit(&b, 1, INT64_MAX);
    ag_links_pump(b.links, true);
    CU_ASSERT_EQUAL(take(&b, jobs), 1);
    CU_ASSERT_EQUAL(take(&b, jobs), 1);
    submit(&b, 2, INT64_MAX); /* both threads have work: it may wait for others */
    ag_links_pump(b.links, true);
    CU_ASSERT_EQUAL(take(&b, jobs), 0);
    ag_links_pump(b.links, false);
    CU_ASSERT_EQUAL(take(&b, jobs), 1);
    tear_down(&b);
    CU_ASSERT_EQUAL(b.ended, 3);
    CU_ASSERT_EQUAL(b.outcome[2].err, ANTAG_ERR_RETRY);
}

static void test_answers(void)
{
    static const struct {
        const char *name;
        enum antag_err err;
        uint32_t number, version, sig_len;
        bool ends_lane;
        uint32_t retry_after_ms;
    } table[] = {
        {"2048 bits", ANTAG_OK, 0, AG_SIGNWIRE_VERSION, 256, false, 0},
        {"3072 bits", ANTAG_OK, 0, AG_SIGNWIRE_VERSION, 384, false, 0},
        {"4096 bits", ANTAG_OK, 0, AG_SIGNWIRE_VERSION, 512, false, 0},
        {"stopped", ANTAG_ERR_KEY_STATE, 304, AG_SIGNWIRE_VERSION, 0, false, 0},
        {"backend", ANTAG_ERR_BACKEND, 502, AG_SIGNWIRE_VERSION, 0, false, 0},
        {"retry", ANTAG_ERR_RETRY, 501, AG_SIGNWIRE_VERSION, 0, false, 0},
        {"no record", ANTAG_ERR_AUDIT, 316, AG_SIGNWIRE_VERSION, 0, false, 0},
        {"entry refused", ANTAG_ERR_INTERNAL, 104, AG_SIGNWIRE_VERSION, 0, false, 0},
        {"rate reached", ANTAG_ERR_BUSY, 500, AG_SIGNWIRE_VERSION, 0, false, 70},
        {"rate reached, no wait", ANTAG_ERR_INTERNAL, 500, AG_SIGNWIRE_VERSION, 0, true, 0},
        {"internal", ANTAG_ERR_INTERNAL, 600, AG_SIGNWIRE_VERSION, 0, false, 0},
        {"another error", ANTAG_ERR_INTERNAL, 200, AG_SIGNWIRE_VERSION, 0, true, 0},
        {"no known number", ANTAG_ERR_INTERNAL, 4711, AG_SIGNWIRE_VERSION, 0, true, 0},
        {"no signature", ANTAG_ERR_INTERNAL, 0, AG_SIGNWIRE_VERSION, 0, true, 0},
        {"a short signature", ANTAG_ERR_INTERNAL, 0, AG_SIGNWIRE_VERSION, 255, true, 0},
        {"a length out of the entry", ANTAG_ERR_INTERNAL, 0, AG_SIGNWIRE_VERSION, 513, true, 0},
        {"another version", ANTAG_ERR_RETRY, 0, AG_SIGNWIRE_VERSION + 1, 256, true, 0},
    };

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
        struct ag_sign_done d;
        struct bench b;

        set_up(&b, true);
        submit(&b, 1, INT64_MAX);
        ag_links_pump(b.links, false);
        CU_ASSERT_EQUAL_FATAL(take(&b, jobs), 1);
        d = done_of(jobs);
        d.err = table[i].number;
        d.version = table[i].version;
        d.sig_len = table[i].sig_len;
        d.retry_after_ms = table[i].retry_after_ms;
        answer(&b, &d, sizeof d);
        ROW_ASSERT(table[i].name, b.outcome[1].count == 1 && b.outcome[1].err == table[i].err);
        ROW_ASSERT(table[i].name,
                   b.outcome[1].sig_len == (table[i].err == ANTAG_OK ? table[i].sig_len : 0));
        ROW_ASSERT(table[i].name,
                   (b.outcome[1].err == ANTAG_ERR_BUSY ? b.outcome[1].retry_after_ms : 0) ==
                       table[i].retry_after_ms);
        ROW_ASSERT(table[i].name, ag_links_is_up(b.links, "soft") == !table[i].ends_lane);
        tear_down(&b);
    }
}

/* A signature without a line in the record is none. */
static void test_unrecorded(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    struct ag_sign_done d;
    struct bench b;

    set_up(&b, true);
    submit(&b, 1, INT64_MAX);
    ag_links_pump(b.links, false);
    CU_ASSERT_EQUAL_FATAL(take(&b, jobs), 1);
    d = done_of(jobs);
    d.seq = 0;
    answer(&b, &d, sizeof d);
    CU_ASSERT_EQUAL(b.outcome[1].err, ANTAG_ERR_INTERNAL);
    CU_ASSERT_EQUAL(b.outcome[1].sig_len, 0);
    CU_ASSERT_FALSE(ag_links_is_up(b.links, "soft"));
    tear_down(&b);
}

/* Tags that are not in flight: of nobody, of a job that has ended, of a slot used again. */
static void test_tags(void)
{
    struct ag_sign_job first[AG_SIGNWIRE_BATCH], second[AG_SIGNWIRE_BATCH];
    struct ag_sign_done d;
    struct bench b;

    set_up(&b, true);
    submit(&b, 1, INT64_MAX);
    ag_links_pump(b.links, false);
    CU_ASSERT_EQUAL_FATAL(take(&b, first), 1);
    d = done_of(first);
    for (unsigned bit = 0; bit < 64; bit++) {
        d.tag = first->tag ^ UINT64_C(1) << bit;
        answer(&b, &d, sizeof d);
    }
    CU_ASSERT_EQUAL(b.ended, 0);
    d.tag = first->tag;
    answer(&b, &d, sizeof d);
    CU_ASSERT_EQUAL(b.ended, 1);
    submit(&b, 2, INT64_MAX);
    ag_links_pump(b.links, false);
    CU_ASSERT_EQUAL_FATAL(take(&b, second), 1);
    answer(&b, &d, sizeof d); /* the first one's again */
    CU_ASSERT_EQUAL(b.ended, 1);
    d = done_of(second);
    answer(&b, &d, sizeof d);
    CU_ASSERT_EQUAL(b.ended, 2);
    CU_ASSERT(b.outcome[1].count == 1 && b.outcome[2].count == 1 && b.outcome[2].first == 2);
    tear_down(&b);
}

static void test_malformed_packets(void)
{
    static const struct {
        const char *name;
        size_t len;
    } table[] = {
        {"one byte", 1},
        {"cut", sizeof(struct ag_sign_done) - 1},
        {"one and a byte", sizeof(struct ag_sign_done) + 1},
        {"too many", sizeof(struct ag_sign_done) * (AG_SIGNWIRE_BATCH + 1)},
    };
    static const uint8_t bytes[sizeof(struct ag_sign_done) * (AG_SIGNWIRE_BATCH + 1)];

    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        struct bench b;

        set_up(&b, true);
        submit(&b, 1, INT64_MAX);
        ag_links_pump(b.links, false);
        answer(&b, bytes, table[i].len);
        ROW_ASSERT(table[i].name, !ag_links_is_up(b.links, "soft"));
        ROW_ASSERT(table[i].name, b.outcome[1].count == 1 && b.outcome[1].err == ANTAG_ERR_RETRY);
        tear_down(&b);
    }
}

/* The keeper ends: what it had ends with RETRY, what waited goes to the next one. */
static void test_lane_ends(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    struct bench b;
    size_t n, sent = 0, again = 0;

    set_up(&b, true);
    for (uint32_t i = 0; i < JOBS; i++)
        submit(&b, i, INT64_MAX);
    ag_links_pump(b.links, false);
    while ((n = take(&b, jobs)) > 0)
        sent += n;
    close(b.keeper);
    uv_run(&b.loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(b.ended, sent);
    CU_ASSERT_EQUAL(b.outcome[0].err, ANTAG_ERR_RETRY);
    CU_ASSERT(!ag_links_is_up(b.links, "soft"));
    join(&b);
    CU_ASSERT(ag_links_is_up(b.links, "soft"));
    while ((n = take(&b, jobs)) > 0)
        again += n;
    CU_ASSERT_EQUAL(again, (size_t)2 * AG_LANE_JOBS_A_THREAD);
    CU_ASSERT_EQUAL(jobs[0].version, AG_SIGNWIRE_VERSION);
    tear_down(&b);
    CU_ASSERT_EQUAL(b.ended, JOBS);
    for (size_t i = 0; i < JOBS; i++)
        CU_ASSERT_EQUAL(b.outcome[i].count, 1);
}

/* A caller with ten times the jobs of another: the other's go out as if it were alone, next to one each. */
static void test_turns(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    static const uint8_t wanted[] = {0, 30, 33, 1, 31, 34, 2, 32, 3, 4};
    uint8_t order[JOBS];
    struct bench b;
    size_t count = 0, n;

    set_up(&b, true);
    for (uint32_t i = 0; i < 30; i++)
        submit_of(&b, i, INT64_MAX, 1);
    for (uint32_t i = 30; i < 33; i++)
        submit_of(&b, i, INT64_MAX, 2);
    for (uint32_t i = 33; i < 35; i++)
        submit_of(&b, i, INT64_MAX, 3);
    ag_links_pump(b.links, false);
    while (count < ROW_COUNT(wanted) && (n = take(&b, jobs)) > 0)
        for (size_t i = 0; i < n; i++) {
            struct ag_sign_done d = done_of(&jobs[i]);

            order[count++] = jobs[i].digest[0];
            answer(&b, &d, sizeof d);
        }
    CU_ASSERT_FATAL(count >= ROW_COUNT(wanted));
    for (size_t i = 0; i < ROW_COUNT(wanted); i++)
        CU_ASSERT_EQUAL(order[i], wanted[i]);
    CU_ASSERT(ag_links_wait_ms(b.links) > 0); /* signatures came, and jobs wait */
    tear_down(&b);
    CU_ASSERT_EQUAL(b.ended, 35);
}

/* A socket that is full: what was taken goes back to where it stood. */
static void test_turns_when_blocked(void)
{
    struct ag_sign_job jobs[AG_SIGNWIRE_BATCH];
    struct bench b;
    char filler[1024] = {0};
    int lane, pair[2];
    uint8_t order[8];
    size_t count = 0, n, filled = 0;

    set_up(&b, false);
    CU_ASSERT_EQUAL_FATAL(
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    b.keeper = pair[0];
    lane = dup(pair[1]);
    while (send(lane, filler, sizeof filler, MSG_DONTWAIT) > 0)
        filled++;
    CU_ASSERT_FATAL(filled > 0);
    ag_links_join(b.links, "soft", pair[1]);
    for (uint32_t i = 0; i < 3; i++)
        submit_of(&b, i, INT64_MAX, 1);
    submit_of(&b, 3, INT64_MAX, 2);
    ag_links_pump(b.links, false); /* is refused */
    for (; filled > 0; filled--)
        CU_ASSERT_EQUAL(recv(b.keeper, filler, sizeof filler, MSG_DONTWAIT), sizeof filler);
    uv_run(&b.loop, UV_RUN_NOWAIT);
    while (count < 4 && (n = take(&b, jobs)) > 0)
        for (size_t i = 0; i < n; i++)
            order[count++] = jobs[i].digest[0];
    CU_ASSERT_EQUAL_FATAL(count, 4);
    CU_ASSERT(order[0] == 0 && order[1] == 3 && order[2] == 1 && order[3] == 2);
    close(lane);
    tear_down(&b);
    CU_ASSERT_EQUAL(b.ended, 4);
}

static void test_time_limits(void)
{
    struct bench b;

    set_up(&b, false);
    uv_update_time(&b.loop);
    submit(&b, 1, (int64_t)uv_now(&b.loop) + 50);
    submit(&b, 2, INT64_MAX);
    while (b.ended < 1)
        uv_run(&b.loop, UV_RUN_ONCE);
    CU_ASSERT(b.outcome[1].count == 1 && b.outcome[1].err == ANTAG_ERR_DEADLINE);
    while (b.ended < 2)
        uv_run(&b.loop, UV_RUN_ONCE);
    CU_ASSERT(b.outcome[2].count == 1 && b.outcome[2].err == ANTAG_ERR_BACKEND);
    tear_down(&b);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"all are answered", test_all_answered},
        {"size of packets", test_packets},
        {"what a keeper answers", test_answers},
        {"a signature without record", test_unrecorded},
        {"tags", test_tags},
        {"malformed packets", test_malformed_packets},
        {"the end of a lane", test_lane_ends},
        {"callers in turn", test_turns},
        {"callers in turn, when the lane is full", test_turns_when_blocked},
        {"deadline, and no keeper", test_time_limits},
        CU_TEST_INFO_NULL,
    };

    return run_tests("front_keeperlink", tests);
}
