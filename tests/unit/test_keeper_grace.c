/* grace: an item runs when, and only when, no reader is inside that may have seen what was taken away. */
#include "agent/keeper/grace.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

#include "tests/support/rows.h"

static struct ag_grace g;
static int ran;

struct counted {
    struct ag_grace_item item;
    int order;
};

static void count(struct ag_grace_item *item)
{
    ((struct counted *)item)->order = ++ran;
}

static bool is_woken(void)
{
    struct pollfd p = {.fd = g.wake_fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void test_nobody_inside(void)
{
    struct counted a;

    CU_ASSERT_EQUAL_FATAL(ag_grace_init(&g, 2), ANTAG_OK);
    ran = 0;
    ag_grace_defer(&g, &a.item, count);
    CU_ASSERT_EQUAL(ran, 0); /* not by itself */
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(ran, 1);
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(ran, 1);
    ag_grace_fini(&g);
}

static void test_who_is_waited_for(void)
{
    static const struct {
        const char *name;
        bool before, after; /* entered before, after the deferral */
        bool waits;
    } rows[] = {
        {"nobody", false, false, false},
        {"one inside before", true, false, true},
        {"one inside after", false, true, false},
        {"both", true, true, true},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct counted a;

        CU_ASSERT_EQUAL_FATAL(ag_grace_init(&g, 3), ANTAG_OK);
        ran = 0;
        if (rows[i].before)
            ag_grace_enter(&g, 2);
        ag_grace_defer(&g, &a.item, count);
        if (rows[i].after)
            ag_grace_enter(&g, 0);
        ag_grace_collect(&g);
        ROW_ASSERT(rows[i].name, (ran == 0) == rows[i].waits);
        ROW_ASSERT(rows[i].name, !is_woken());
        if (rows[i].before)
            ag_grace_leave(&g, 2);
        ROW_ASSERT(rows[i].name, is_woken() == rows[i].waits); /* woken only when waited for */
        ag_grace_collect(&g);
        ROW_ASSERT(rows[i].name, ran == 1);
        ROW_ASSERT(rows[i].name, !is_woken());
        if (rows[i].after)
            ag_grace_leave(&g, 0);
        ag_grace_fini(&g);
    }
}

static void test_order(void)
{
    struct counted item[10];

    CU_ASSERT_EQUAL_FATAL(ag_grace_init(&g, 1), ANTAG_OK);
    ran = 0;
    for (size_t i = 0; i < 5; i++)
        ag_grace_defer(&g, &item[i].item, count);
    ag_grace_enter(&g, 0);
    for (size_t i = 5; i < 10; i++)
        ag_grace_defer(&g, &item[i].item, count);
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(ran, 5);
    ag_grace_leave(&g, 0);
    ag_grace_enter(&g, 0); /* inside again, but it has seen all of them */
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(ran, 10);
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(item[i].order, i + 1);
    ag_grace_leave(&g, 0);
    ag_grace_fini(&g);
}

static void test_end_runs_all(void)
{
    struct counted a, b;

    CU_ASSERT_EQUAL_FATAL(ag_grace_init(&g, 1), ANTAG_OK);
    ran = 0;
    ag_grace_defer(&g, &a.item, count);
    ag_grace_defer(&g, &b.item, count);
    ag_grace_fini(&g);
    CU_ASSERT_EQUAL(ran, 2);
}

/* ---- with threads: what a reader found is there until it leaves, and every wait ends */

#define READERS 3
#define ROUNDS  20000

struct box {
    struct ag_grace_item item;
    _Atomic int alive;
};
static _Atomic(struct box *) shown;
static _Atomic bool over;
static _Atomic long found, dead;

static void *reader(void *arg)
{
    size_t i = (size_t)(uintptr_t)arg;

    while (!atomic_load(&over)) {
        struct box *box;

        ag_grace_enter(&g, i);
        box = atomic_load(&shown);
        for (int k = 0; k < 20; k++)
            if (atomic_load(&box->alive) != 1)
                atomic_fetch_add(&dead, 1);
        atomic_fetch_add(&found, 1);
        ag_grace_leave(&g, i);
    }
    return NULL;
}

static void box_done(struct ag_grace_item *item)
{
    struct box *box = (struct box *)item;

    atomic_store(&box->alive, 0);
    free(box);
}

static struct box *box_new(void)
{
    struct box *box = calloc(1, sizeof *box);

    atomic_store(&box->alive, 1);
    return box;
}

static void test_threads(void)
{
    pthread_t thread[READERS];

    CU_ASSERT_EQUAL_FATAL(ag_grace_init(&g, READERS), ANTAG_OK);
    atomic_store(&shown, box_new());
    for (uintptr_t i = 0; i < READERS; i++)
        pthread_create(&thread[i], NULL, reader, (void *)i);
    for (int i = 0; i < ROUNDS; i++) {
        struct box *old = atomic_exchange(&shown, box_new());

        ag_grace_defer(&g, &old->item, box_done);
        ag_grace_collect(&g);
        while (i % 64 == 0 && g.first != NULL) { /* each wait ends by the wake-up alone */
            struct pollfd p = {.fd = g.wake_fd, .events = POLLIN};

            if (poll(&p, 1, 10000) != 1)
                break;
            ag_grace_collect(&g);
        }
        CU_ASSERT(i % 64 != 0 || g.first == NULL);
    }
    atomic_store(&over, true);
    for (size_t i = 0; i < READERS; i++)
        pthread_join(thread[i], NULL);
    CU_ASSERT_EQUAL(atomic_load(&dead), 0);
    CU_ASSERT(atomic_load(&found) > 0);
    ag_grace_fini(&g);
    free(atomic_load(&shown));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"nobody inside", test_nobody_inside},
        {"who is waited for", test_who_is_waited_for},
        {"order", test_order},
        {"the end runs all", test_end_runs_all},
        {"threads", test_threads},
        CU_TEST_INFO_NULL,
    };

    return run_tests("keeper_grace", tests);
}
