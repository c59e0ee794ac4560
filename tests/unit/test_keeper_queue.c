/* The keeper's queue: callers in turn, from several threads, each job once. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/keeper/queue.h"
#include "tests/support/rows.h"

static struct ag_queue *queue;

static void put(uint32_t uid, uint64_t tag)
{
    struct ag_works list = STAILQ_HEAD_INITIALIZER(list);
    struct ag_work *work = ag_queue_blank(queue);

    CU_ASSERT_PTR_NOT_NULL_FATAL(work);
    work->job.claim.uid = uid;
    work->job.tag = tag;
    STAILQ_INSERT_TAIL(&list, work, link);
    CU_ASSERT_EQUAL(ag_queue_put(queue, &list), ANTAG_OK);
    CU_ASSERT(STAILQ_EMPTY(&list));
}

/* What one take gives, as tags. */
static size_t take(size_t max, size_t threads, uint64_t tags[8], bool *more)
{
    struct ag_works list = STAILQ_HEAD_INITIALIZER(list);
    struct ag_work *work;
    size_t n = 0;

    ag_queue_take(queue, max, threads, &list, more);
    while ((work = STAILQ_FIRST(&list)) != NULL) {
        STAILQ_REMOVE_HEAD(&list, link);
        tags[n++] = work->job.tag;
        ag_queue_give(queue, work);
    }
    return n;
}

static void test_turns(void)
{
    static const struct {
        const char *name;
        size_t max, threads, count;
        uint64_t first;
        bool more, other_of_7;
    } wanted[] = {
        {"another waits: one", 4, 1, 1, 1, true, true},
        {"the other one", 4, 1, 1, 5, false, false},
        {"alone, half of three", 4, 2, 2, 2, true, false},
        {"the last", 4, 2, 1, 4, false, false},
        {"none", 4, 2, 0, 0, false, false},
    };
    uint64_t tags[8] = {0};
    bool more = true;

    queue = ag_queue_new();
    CU_ASSERT_PTR_NOT_NULL_FATAL(queue);
    CU_ASSERT_EQUAL(take(4, 1, tags, &more), 0);
    CU_ASSERT_FALSE(more);
    for (uint64_t i = 1; i <= 4; i++)
        put(7, i);
    put(8, 5);
    for (size_t i = 0; i < ROW_COUNT(wanted); i++) {
        ROW_ASSERT(wanted[i].name,
                   take(wanted[i].max, wanted[i].threads, tags, &more) == wanted[i].count);
        ROW_ASSERT(wanted[i].name, wanted[i].count == 0 || tags[0] == wanted[i].first);
        ROW_ASSERT(wanted[i].name, more == wanted[i].more);
        ROW_ASSERT(wanted[i].name, ag_queue_has_other(queue, 7) == wanted[i].other_of_7);
    }
    CU_ASSERT_EQUAL(ag_queue_count(queue), 0);
    for (uint64_t i = 1; i <= 6; i++)
        put(7, i);
    CU_ASSERT_EQUAL(take(1, 1, tags, &more), 1);
    CU_ASSERT_EQUAL(take(4, 1, tags, &more), 4);
    CU_ASSERT(tags[0] == 2 && tags[3] == 5 && more);
    CU_ASSERT_EQUAL(take(4, 1, tags, &more), 1);
    ag_queue_free(queue, NULL);
}

/* An answer does not outlive its use. */
static void test_wiped(void)
{
    struct ag_work *work, *again;
    static const uint8_t zero[sizeof work->done];

    queue = ag_queue_new();
    work = ag_queue_blank(queue);
    CU_ASSERT_PTR_NOT_NULL_FATAL(work);
    memset(&work->done, 0x55, sizeof work->done);
    work->lane = work;
    ag_queue_give(queue, work);
    again = ag_queue_blank(queue);
    CU_ASSERT_PTR_EQUAL(again, work);
    CU_ASSERT_EQUAL(memcmp(&again->done, zero, sizeof zero), 0);
    CU_ASSERT_PTR_NULL(again->lane);
    ag_queue_give(queue, again);
    ag_queue_free(queue, NULL);
}

static unsigned ended;
static void count_end(struct ag_work *work)
{
    CU_ASSERT_PTR_NOT_NULL(work->lane);
    ended++;
}

static void test_free_of_what_waits(void)
{
    struct ag_works list = STAILQ_HEAD_INITIALIZER(list);

    queue = ag_queue_new();
    for (int i = 0; i < 5; i++) {
        struct ag_work *work = ag_queue_blank(queue);

        CU_ASSERT_PTR_NOT_NULL_FATAL(work);
        work->job.claim.uid = (uint32_t)i % 2;
        work->lane = queue;
        STAILQ_INSERT_TAIL(&list, work, link);
    }
    CU_ASSERT_EQUAL(ag_queue_put(queue, &list), ANTAG_OK);
    ag_queue_free(queue, count_end);
    CU_ASSERT_EQUAL(ended, 5);
    ag_queue_free(NULL, count_end);
}

#define THREADS 4
#define JOBS    20000
static atomic_uchar seen[JOBS];
static atomic_uint taken, next_tag;

static void *put_and_take(void *arg)
{
    struct ag_work *work;
    bool more;

    (void)arg;
    while (atomic_load(&taken) < JOBS) {
        uint64_t tag = atomic_fetch_add(&next_tag, 1);
        struct ag_works list = STAILQ_HEAD_INITIALIZER(list);

        if (tag < JOBS && (work = ag_queue_blank(queue)) != NULL) {
            work->job.tag = tag;
            work->job.claim.uid = (uint32_t)(tag % 5);
            STAILQ_INSERT_TAIL(&list, work, link);
            if (ag_queue_put(queue, &list) != ANTAG_OK)
                return NULL;
        }
        ag_queue_take(queue, 3, THREADS, &list, &more);
        while ((work = STAILQ_FIRST(&list)) != NULL) {
            STAILQ_REMOVE_HEAD(&list, link);
            atomic_fetch_add(&seen[work->job.tag], 1);
            atomic_fetch_add(&taken, 1);
            ag_queue_give(queue, work);
        }
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t t[THREADS];

    queue = ag_queue_new();
    for (int i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, put_and_take, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < JOBS; i++)
        CU_ASSERT_EQUAL_FATAL(atomic_load(&seen[i]), 1);
    CU_ASSERT_EQUAL(ag_queue_count(queue), 0);
    ag_queue_free(queue, NULL);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"turns", test_turns},     {"an answer is wiped", test_wiped},
        {"threads", test_threads}, {"the end of what waits", test_free_of_what_waits},
        CU_TEST_INFO_NULL,
    };

    return run_tests("keeper_queue", tests);
}
