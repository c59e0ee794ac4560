/* keytable: found what was put, not found what was taken out, in whatever order; checked job by job. */
#include "agent/keeper/keytable.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/rows.h"

static struct ag_grace g;
static struct ag_keytable *t;
static int forgotten; /* keys of the false backend */

static void forget(struct ag_backend_key *key)
{
    forgotten++;
    free(key);
}

static const struct ag_backend_ops false_ops = {.forget = forget};
static struct ag_backend false_backend = {.ops = &false_ops};

static struct ag_backend_key *key_new(void)
{
    struct ag_backend_key *key = calloc(1, sizeof *key);

    key->backend = &false_backend;
    return key;
}

static struct ag_held *held_new(uint64_t handle, bool loaded, enum ag_key_use use)
{
    struct ag_key_identity id = {.handle = handle, .profile_id = 7, .env = 1, .version = 3};
    static const uint8_t spki[] = "spki";

    return ag_held_new(&id, loaded ? key_new() : NULL, (struct antag_slice){spki, sizeof spki},
                       use);
}

static void set_up(void)
{
    CU_ASSERT_EQUAL_FATAL(ag_grace_init(&g, 1), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(ag_keytable_new(&g, &t), ANTAG_OK);
    forgotten = 0;
}

static void tear_down(void)
{
    ag_grace_fini(&g);
    ag_keytable_free(t);
}

static void test_put_find_remove(void)
{
    struct ag_held *first;

    set_up();
    CU_ASSERT_PTR_NULL(ag_keytable_find(t, 1));
    CU_ASSERT_FALSE(ag_keytable_remove(t, 1));
    first = held_new(1, true, AG_USE_SIGN);
    CU_ASSERT_EQUAL(ag_keytable_put(t, first), ANTAG_OK);
    CU_ASSERT_PTR_EQUAL(ag_keytable_find(t, 1), first);
    CU_ASSERT_PTR_NULL(ag_keytable_find(t, 2));
    CU_ASSERT_EQUAL(ag_keytable_count(t), 1);

    ag_grace_enter(&g, 0); /* a worker that has found the first one */
    CU_ASSERT_EQUAL(ag_keytable_put(t, held_new(1, true, AG_USE_NONE)), ANTAG_OK);
    ag_grace_collect(&g);
    CU_ASSERT_PTR_NOT_EQUAL(ag_keytable_find(t, 1), first);
    CU_ASSERT_EQUAL(ag_keytable_count(t), 1);
    CU_ASSERT_EQUAL(forgotten, 0);
    CU_ASSERT_EQUAL(first->id.handle, 1);
    ag_grace_leave(&g, 0);
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(forgotten, 1);

    CU_ASSERT_TRUE(ag_keytable_remove(t, 1));
    CU_ASSERT_FALSE(ag_keytable_remove(t, 1));
    CU_ASSERT_PTR_NULL(ag_keytable_find(t, 1));
    CU_ASSERT_EQUAL(ag_keytable_count(t), 0);
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(forgotten, 2);
    tear_down();
}

static void remove_odd(struct ag_held *held, void *ctx)
{
    (*(size_t *)ctx)++;
    if (held->id.handle % 2 == 1)
        (void)ag_keytable_remove(t, held->id.handle);
}

static void test_many(void)
{
    size_t visited = 0;

    set_up();
    for (uint64_t h = 1; h <= 10000; h++)
        CU_ASSERT(ag_keytable_put(t, held_new(h, true, AG_USE_SIGN)) == ANTAG_OK);
    for (uint64_t h = 1; h <= 10000; h++) {
        struct ag_held *held = ag_keytable_find(t, h);

        CU_ASSERT(held != NULL && held->id.handle == h);
    }
    CU_ASSERT_PTR_NULL(ag_keytable_find(t, 10001));
    ag_keytable_each(t, remove_odd, &visited);
    CU_ASSERT_EQUAL(visited, 10000);
    CU_ASSERT_EQUAL(ag_keytable_count(t), 5000);
    for (uint64_t h = 1; h <= 10000; h++)
        CU_ASSERT((ag_keytable_find(t, h) == NULL) == (h % 2 == 1));
    ag_grace_collect(&g);
    CU_ASSERT_EQUAL(forgotten, 5000);
    tear_down();
    CU_ASSERT_EQUAL(forgotten, 10000);
}

/* Coming and going for ever must not fill the table with places where keys once were. */
static void test_turnover(void)
{
    set_up();
    for (uint64_t h = 1; h <= 50000; h++) {
        CU_ASSERT(ag_keytable_put(t, held_new(h, false, AG_USE_NONE)) == ANTAG_OK);
        CU_ASSERT(h <= 10 || ag_keytable_remove(t, h - 10));
        ag_grace_collect(&g);
    }
    CU_ASSERT_EQUAL(ag_keytable_count(t), 10);
    for (uint64_t h = 49991; h <= 50000; h++)
        CU_ASSERT_PTR_NOT_NULL(ag_keytable_find(t, h));
    CU_ASSERT_PTR_NULL(ag_keytable_find(t, 49990));
    tear_down();
}

static void test_largest(void)
{
    set_up();
    for (uint64_t h = 1; h <= AG_KEYTABLE_MAX; h++)
        if (ag_keytable_put(t, held_new(h, false, AG_USE_NONE)) != ANTAG_OK)
            CU_FAIL("the table must take its maximum");
    CU_ASSERT_EQUAL(ag_keytable_put(t, held_new(AG_KEYTABLE_MAX + 1, true, AG_USE_NONE)),
                    ANTAG_ERR_BUSY);
    CU_ASSERT_EQUAL(forgotten, 1); /* refused, and not lost */
    CU_ASSERT_EQUAL(ag_keytable_put(t, held_new(1, true, AG_USE_NONE)), ANTAG_OK); /* replaces */
    CU_ASSERT_TRUE(ag_keytable_remove(t, 2));
    CU_ASSERT_EQUAL(ag_keytable_put(t, held_new(AG_KEYTABLE_MAX + 1, false, AG_USE_NONE)),
                    ANTAG_OK);
    tear_down();
}

static void test_check(void)
{
    static const struct {
        const char *name;
        uint64_t handle, profile;
        uint32_t version, env;
        bool loading;
        enum antag_err err;
    } rows[] = {
        {"right", 1, 7, AG_SIGNWIRE_VERSION, 1, false, ANTAG_OK},
        {"right while loading", 1, 7, AG_SIGNWIRE_VERSION, 1, true, ANTAG_OK},
        {"version", 1, 7, AG_SIGNWIRE_VERSION + 1, 1, false, ANTAG_ERR_BAD_PARAM},
        {"profile", 1, 8, AG_SIGNWIRE_VERSION, 1, false, ANTAG_ERR_BAD_PARAM},
        {"environment", 1, 7, AG_SIGNWIRE_VERSION, 0, false, ANTAG_ERR_BAD_PARAM},
        {"not there", 9, 7, AG_SIGNWIRE_VERSION, 1, false, ANTAG_ERR_KEY_STATE},
        {"not there yet", 9, 7, AG_SIGNWIRE_VERSION, 1, true, ANTAG_ERR_RETRY},
        {"not there yet, version", 9, 7, 0, 1, true, ANTAG_ERR_BAD_PARAM},
        {"none", 2, 7, AG_SIGNWIRE_VERSION, 1, false, ANTAG_ERR_KEY_STATE},
        {"probe", 3, 7, AG_SIGNWIRE_VERSION, 1, false, ANTAG_ERR_KEY_STATE},
        {"stopped before it came", 4, 7, AG_SIGNWIRE_VERSION, 1, true, ANTAG_ERR_KEY_STATE},
        {"probe, other profile", 3, 8, AG_SIGNWIRE_VERSION, 1, false, ANTAG_ERR_BAD_PARAM},
    };

    set_up();
    (void)!ag_keytable_put(t, held_new(1, true, AG_USE_SIGN));
    (void)!ag_keytable_put(t, held_new(2, true, AG_USE_NONE));
    (void)!ag_keytable_put(t, held_new(3, true, AG_USE_PROBE));
    (void)!ag_keytable_put(t, held_new(4, false, AG_USE_SIGN));
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_sign_job job = {.version = rows[i].version,
                                  .env = rows[i].env,
                                  .handle = rows[i].handle,
                                  .profile_id = rows[i].profile};
        struct ag_held *held = NULL;

        ROW_ASSERT(rows[i].name, ag_keytable_check(t, rows[i].loading, &job, &held) == rows[i].err);
        ROW_ASSERT(rows[i].name, (held != NULL) == (rows[i].err == ANTAG_OK));
    }
    tear_down();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"put, find, remove", test_put_find_remove},
        {"many", test_many},
        {"turnover", test_turnover},
        {"largest", test_largest},
        {"check", test_check},
        CU_TEST_INFO_NULL,
    };

    return run_tests("keeper_keytable", tests);
}
