/* Token buckets: what comes through in any time, what the wait is, and that threads share one truly. */
#include <pthread.h>

#include "agent/lib/limiter.h"
#include "tests/support/rows.h"

#define MS INT64_C(1000000)
#define S  INT64_C(1000000000)

static const struct {
    const char *name;
    struct ag_bucket bucket;
    uint32_t tokens;
    int64_t start_ns;
    int at_once;     /* so many times the price comes at once */
    int64_t wait_ns; /* then */
} rows[] = {
    {"one a second", {1, 1}, 1, 5 * S, 1, S},
    {"ten a second, one at once", {10, 1}, 1, 1, 1, S / 10},
    {"ten a second, ten at once", {10, 10}, 1, 17, 10, S / 10},
    {"a rate that divides no second", {3, 2}, 1, S, 2, 333333334},
    {"dear ones", {20, 20}, 17, S, 1, 14 * S / 20},
    {"as dear as all", {20, 20}, 20, S, 1, S},
    {"dearer than all", {20, 20}, 21, S, 1, S},
    {"the largest", {ANTAG_RATE_MAX, ANTAG_RATE_MAX}, ANTAG_RATE_MAX, S, 1, S},
    {"the slowest with the longest memory",
     {1, ANTAG_RATE_MAX},
     ANTAG_RATE_MAX,
     S,
     1,
     ANTAG_RATE_MAX *S},
};

static void test_rows(void)
{
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        int64_t full_at = 0, was, wait = 0, now = rows[i].start_ns;

        for (int k = 0; k < rows[i].at_once; k++)
            ROW_ASSERT(rows[i].name,
                       ag_bucket_take(&rows[i].bucket, rows[i].tokens, now, &full_at, &wait));
        was = full_at;
        ROW_ASSERT(rows[i].name,
                   !ag_bucket_take(&rows[i].bucket, rows[i].tokens, now, &full_at, &wait));
        ROW_ASSERT(rows[i].name, full_at == was); /* a refusal costs nothing */
        ROW_ASSERT(rows[i].name, wait <= rows[i].wait_ns + 20 && wait >= rows[i].wait_ns - 20);
        now += wait;
        ROW_ASSERT(rows[i].name,
                   !ag_bucket_take(&rows[i].bucket, rows[i].tokens, now - 1, &full_at, &wait));
        ROW_ASSERT(rows[i].name, wait == 1);
        ROW_ASSERT(rows[i].name,
                   ag_bucket_take(&rows[i].bucket, rows[i].tokens, now, &full_at, &wait));
    }
}

/* However it is asked, no more than the burst and what has come in since comes through. */
static void test_bound(void)
{
    const struct ag_bucket b = {700, 30};
    int64_t full_at = 0, wait, now = S, begun = S;
    uint64_t seed = 42;
    int64_t through = 0;

    for (int i = 0; i < 100000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1;
        now += (int64_t)(seed >> 33) % (MS / 2);
        through += ag_bucket_take(&b, 1, now, &full_at, &wait);
        CU_ASSERT_FATAL(through <= 30 + (now - begun) * 700 / S + 1);
    }
    CU_ASSERT(through >= (now - begun) * 700 / S); /* and no less, as there is always one asking */
}

/* A long rest fills it, and no more. */
static void test_rest(void)
{
    const struct ag_bucket b = {1000, 5};
    int64_t full_at = 0, wait, now = S;

    for (int round = 0; round < 3; round++, now += 3600 * S) {
        for (int i = 0; i < 5; i++)
            CU_ASSERT(ag_bucket_take(&b, 1, now, &full_at, &wait));
        CU_ASSERT(!ag_bucket_take(&b, 1, now, &full_at, &wait));
    }
}

static void test_limiter_wait(void)
{
    struct ag_limiter l = {0};

    CU_ASSERT_EQUAL(ag_limiter_take(&l, &(struct ag_bucket){1000000, 1}, 1, S), 0);
    CU_ASSERT_EQUAL(ag_limiter_take(&l, &(struct ag_bucket){1000000, 1}, 1, S), 1); /* rounded up */
    CU_ASSERT_EQUAL(ag_limiter_take(&l, &(struct ag_bucket){1000000, 1}, 1, S + MS), 0);
    CU_ASSERT_EQUAL(ag_limiter_take(&l, &(struct ag_bucket){2, 1}, 1, S + 2 * MS), 0);
    CU_ASSERT_EQUAL(ag_limiter_take(&l, &(struct ag_bucket){2, 1}, 1, S + 2 * MS), 500);
    CU_ASSERT_EQUAL(ag_limiter_take(&l, &(struct ag_bucket){2, 1}, 1, S + 2 * MS + 1), 500);
}

#define THREADS 8
static struct ag_limiter shared;
static const struct ag_bucket shared_bucket = {1, 10000};

static void *take_many(void *arg)
{
    int *taken = arg;

    for (int i = 0; i < 5000; i++)
        *taken += ag_limiter_take(&shared, &shared_bucket, 1, S) == 0;
    return NULL;
}

static void test_threads(void)
{
    pthread_t t[THREADS];
    int taken[THREADS] = {0}, all = 0;

    for (int i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&t[i], NULL, take_many, &taken[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        all += taken[i];
    }
    CU_ASSERT_EQUAL(all, 10000);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"bursts and waits", test_rows},    {"bound over time", test_bound}, {"a rest", test_rest},
        {"waits in ms", test_limiter_wait}, {"threads", test_threads},       CU_TEST_INFO_NULL,
    };

    return run_tests("bucket", tests);
}
