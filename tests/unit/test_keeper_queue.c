/* The keeper's queue: callers in turn, from several threads, each job once. */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "agent/keeper/places.h"
#include "agent/keeper/queue.h"
#include "agent/lib/clock.h"
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

/* What one take gives, as tags; signed at once where `done`. */
static size_t take(size_t max, int64_t now_ns, bool done, uint64_t tags[8], struct ag_took *took)
{
    struct ag_works list = STAILQ_HEAD_INITIALIZER(list);
    struct ag_work *work;
    uint32_t uid = 0;
    size_t n = 0;

    *took = ag_queue_take(queue, max, now_ns, &list);
    while ((work = STAILQ_FIRST(&list)) != NULL) {
        STAILQ_REMOVE_HEAD(&list, link);
        uid = work->job.claim.uid;
        tags[n++] = work->job.tag;
        ag_queue_give(queue, work);
    }
    if (n > 0 && done)
        ag_queue_signed(queue, uid, now_ns);
    return n;
}

/* One worker. */
static void test_turns(void)
{
    uint64_t tags[8] = {0};
    struct ag_took took;

    queue = ag_queue_new(1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(queue);
    CU_ASSERT_EQUAL(take(4, 1, true, tags, &took), 0);
    CU_ASSERT(!took.more && !took.rest && !took.kept);
    for (uint64_t i = 1; i <= 6; i++)
        put(7, i);
    put(8, 9);
    CU_ASSERT_EQUAL(take(4, 1, true, tags, &took), 1); /* another waits: one */
    CU_ASSERT(tags[0] == 1 && took.more && ag_queue_has_other(queue, 7));
    CU_ASSERT_EQUAL(take(4, 1, true, tags, &took), 1);
    CU_ASSERT(tags[0] == 9 && !took.more && !ag_queue_has_other(queue, 7));
    CU_ASSERT_EQUAL(take(4, 1, true, tags, &took), 4); /* alone: as many as it may */
    CU_ASSERT(tags[0] == 2 && tags[3] == 5 && took.more);
    CU_ASSERT_EQUAL(take(4, 1, true, tags, &took), 1);
    CU_ASSERT(tags[0] == 6 && !took.more && !took.rest);
    CU_ASSERT_EQUAL(ag_queue_count(queue), 0);
    ag_queue_free(queue, NULL);
}

/* Of two workers, none takes more than its part, nor both of one caller while another was here a moment ago. */
static void test_places(void)
{
    const int64_t soon = 1 + AG_PLACE_KEPT_NS / 2, later = 2 + AG_PLACE_KEPT_NS;
    uint64_t tags[8] = {0};
    struct ag_took took;

    queue = ag_queue_new(2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(queue);
    put(8, 9);
    CU_ASSERT_EQUAL(take(4, 1, true, tags, &took), 1);
    for (uint64_t i = 1; i <= 5; i++)
        put(7, i);
    CU_ASSERT_EQUAL(take(4, 1, false, tags, &took), 3); /* half of five */
    CU_ASSERT(took.more && !took.rest);                 /* the other worker is not for 7 */
    CU_ASSERT_EQUAL(take(4, soon, false, tags, &took), 0);
    CU_ASSERT(took.kept);
    put(8, 10);
    CU_ASSERT_EQUAL(take(4, soon, true, tags, &took), 1); /* but for 8, though 7 was before it */
    CU_ASSERT_EQUAL(tags[0], 10);
    CU_ASSERT_EQUAL(take(4, later, false, tags, &took), 0); /* kept anew from there on */
    CU_ASSERT(took.kept);
    CU_ASSERT_EQUAL(take(4, later + soon, false, tags, &took), 1); /* nobody was here since */
    CU_ASSERT(tags[0] == 4 && !took.kept && !took.rest);           /* that was the last worker */
    ag_queue_signed(queue, 7, later + soon);
    CU_ASSERT_EQUAL(take(4, later + soon, true, tags, &took), 1);
    CU_ASSERT_EQUAL(ag_queue_count(queue), 0);
    ag_queue_free(queue, NULL);
}

/* More callers than are watched: each has a worker at least, and none is lost. */
static void test_many_places(void)
{
    struct ag_places p = {0};

    for (uint32_t uid = 0; uid < 2 * AG_PLACES_MAX; uid++) {
        CU_ASSERT(ag_places_may(&p, uid, 2, 1));
        ag_places_enter(&p, uid, 1);
    }
    CU_ASSERT_FALSE(ag_places_may(&p, 0, 2, 1));
    CU_ASSERT_FALSE(ag_places_may(&p, 0, AG_PLACES_MAX, 1));
    CU_ASSERT(ag_places_may(&p, 0, AG_PLACES_MAX + 1, 1));
    for (uint32_t uid = 0; uid < 2 * AG_PLACES_MAX; uid++)
        ag_places_leave(&p, uid, 1);
    CU_ASSERT(ag_places_may(&p, 0, 2, 1));
    ag_places_enter(&p, 0, 1);
    CU_ASSERT_FALSE(ag_places_may(&p, 0, 2, AG_PLACE_KEPT_NS));
    CU_ASSERT(ag_places_may(&p, 0, 2, 1 + AG_PLACE_KEPT_NS));
    ag_places_leave(&p, 99, 1); /* not here: nothing */
}

/* An answer does not outlive its use. */
static void test_wiped(void)
{
    struct ag_work *work, *again;
    static const uint8_t zero[sizeof work->done];

    queue = ag_queue_new(1);
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

    queue = ag_queue_new(1);
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
    uint32_t uid;

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
        (void)ag_queue_take(queue, 3, ag_clock_mono_ns(), &list);
        if ((work = STAILQ_FIRST(&list)) == NULL)
            continue;
        uid = work->job.claim.uid;
        while ((work = STAILQ_FIRST(&list)) != NULL) {
            STAILQ_REMOVE_HEAD(&list, link);
            atomic_fetch_add(&seen[work->job.tag], 1);
            atomic_fetch_add(&taken, 1);
            ag_queue_give(queue, work);
        }
        ag_queue_signed(queue, uid, ag_clock_mono_ns());
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t t[THREADS];

    queue = ag_queue_new(THREADS);
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
        {"turns", test_turns},
        {"a place is kept for who was here a moment ago", test_places},
        {"more callers than are watched", test_many_places},
        {"an answer is wiped", test_wiped},
        {"threads", test_threads},
        {"the end of what waits", test_free_of_what_waits},
        CU_TEST_INFO_NULL,
    };

    return run_tests("keeper_queue", tests);
}
