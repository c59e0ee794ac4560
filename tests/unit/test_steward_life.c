/* Rows of keys walked through the table: what is written into a row, and the rule of one active key. */
#include "agent/steward/life.h"
#include "tests/support/books.h"
#include "tests/support/rows.h"

#define HOUR_MS (3600 * INT64_C(1000))

static struct ag_life life_at(int64_t observed_ms)
{
    struct ag_conf conf;
    struct ag_life l;

    ag_conf_default(&conf);
    ag_life_init(&l, &conf, 1000000 + observed_ms, observed_ms);
    return l;
}

static void test_suspend_and_resume(void)
{
    struct ag_life l = life_at(5 * HOUR_MS);
    struct test_book t;
    struct ag_row_key row;

    test_book_init(&t);
    row = *test_book_key(&t, 1, 1, AG_KEY_ACTIVE, 1);
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_SUSPEND, true, "lost", NULL),
                    ANTAG_OK);
    CU_ASSERT_EQUAL(row.state, AG_KEY_SUSPENDED);
    CU_ASSERT_EQUAL(row.suspended_from, AG_KEY_ACTIVE);
    CU_ASSERT_STRING_EQUAL(row.reason, "lost");
    CU_ASSERT_EQUAL(row.state_at_ms, l.now_ms);
    CU_ASSERT_EQUAL(row.state_observed_ms, 5 * HOUR_MS);
    t.keys[0] = row;
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_RESUME, true, NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(row.state, AG_KEY_ACTIVE);
    CU_ASSERT_STRING_EQUAL(row.reason, "");
}

static void test_resume_beside_an_active_key(void)
{
    struct ag_life l = life_at(0);
    struct test_book t;
    struct ag_row_key row;

    test_book_init(&t);
    test_book_key(&t, 1, 1, AG_KEY_SUSPENDED, 1)->suspended_from = AG_KEY_ACTIVE;
    test_book_key(&t, 1, 2, AG_KEY_ACTIVE, 2);
    test_book_key(&t, 2, 1, AG_KEY_ACTIVE, 3); /* of another profile: does not matter */
    row = t.keys[0];
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_RESUME, true, NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(row.state, AG_KEY_RETIRING);
}

/* The end of a key that a rotation replaced is a part of the plan; any other waits for staff. */
static void test_rotated_out(void)
{
    struct ag_life l = life_at(31 * 24 * HOUR_MS);
    struct ag_row_rotation rotation = {.id = 1, .profile_id = 1, .state = AG_ROTATION_COMPLETE};
    struct ag_key_facts facts;
    struct test_book t;
    struct ag_row_key row;

    test_book_init(&t);
    row = *test_book_key(&t, 1, 1, AG_KEY_RETIRED, 1);
    test_book_key(&t, 1, 2, AG_KEY_ACTIVE, 2);
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_TICK, true, NULL, NULL),
                    ANTAG_ERR_KEY_STATE);
    t.book.rotations = &rotation;
    t.book.rotation_count = 1;
    rotation.old_key_id = row.id;
    rotation.state = AG_ROTATION_ROLLED_BACK;
    ag_life_facts(&l, &t.book, &row, true, &facts);
    CU_ASSERT_FALSE(facts.destroy_automatic);
    rotation.state = AG_ROTATION_COMPLETE;
    row.sealed_len = 9;
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_TICK, true, NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(row.state, AG_KEY_DESTROYED);
    CU_ASSERT_EQUAL(row.sealed_len, 0);
    l = life_at(HOUR_MS); /* its wait counts running time, whatever the clock says */
    l.now_ms += 400 * 24 * HOUR_MS;
    row.state = AG_KEY_RETIRED;
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_TICK, true, NULL, NULL),
                    ANTAG_ERR_KEY_STATE);
}

static const struct {
    const char *row;
    enum ag_key_state state;
    bool tested;
    enum antag_err err;
} activations[] = {
    {"staged", AG_KEY_STAGED, true, ANTAG_OK},
    {"retiring", AG_KEY_RETIRING, true, ANTAG_OK},
    {"staged, not tested", AG_KEY_STAGED, false, ANTAG_ERR_KEY_STATE},
    {"retired", AG_KEY_RETIRED, true, ANTAG_ERR_KEY_STATE},
    {"suspended", AG_KEY_SUSPENDED, true, ANTAG_ERR_KEY_STATE},
    {"compromised", AG_KEY_COMPROMISED, true, ANTAG_ERR_KEY_STATE},
    {"destroyed", AG_KEY_DESTROYED, true, ANTAG_ERR_KEY_STATE},
};

static void test_activate_supersedes(void)
{
    struct ag_life l = life_at(HOUR_MS);

    for (size_t i = 0; i < ROW_COUNT(activations); i++) {
        const char *name = activations[i].row;
        struct ag_row_key row, old = {0};
        struct antag_fault f = {0};
        struct test_book t;
        bool has_old = true;
        enum antag_err err;

        test_book_init(&t);
        test_book_key(&t, 1, 1, AG_KEY_ACTIVE, 1);
        row = *test_book_key(&t, 1, 2, activations[i].state, 2);
        err = ag_life_activate(&l, &t.book, &row, activations[i].tested, &old, &has_old, &f);
        ROW_ASSERT(name, err == activations[i].err);
        ROW_ASSERT(name, has_old == (err == ANTAG_OK));
        ROW_ASSERT(name, t.keys[0].state == AG_KEY_ACTIVE); /* the book stays as it was */
        if (err != ANTAG_OK) {
            ROW_ASSERT(name, row.state == activations[i].state);
            ROW_ASSERT(name, strstr(f.text, "shop/sandbox version 2") != NULL);
            continue;
        }
        ROW_ASSERT(name, row.state == AG_KEY_ACTIVE);
        ROW_ASSERT(name, old.id == t.keys[0].id && old.state == AG_KEY_RETIRING);
        ROW_ASSERT(name, strcmp(old.reason, "superseded by version 2") == 0);
    }
}

static void test_activate_alone_and_twice(void)
{
    struct ag_life l = life_at(HOUR_MS);
    struct ag_row_key row, old;
    struct test_book t;
    bool has_old = true;

    test_book_init(&t);
    test_book_key(&t, 2, 1, AG_KEY_ACTIVE, 9);
    row = *test_book_key(&t, 1, 1, AG_KEY_STAGED, 1);
    CU_ASSERT_EQUAL(ag_life_activate(&l, &t.book, &row, true, &old, &has_old, NULL), ANTAG_OK);
    CU_ASSERT_FALSE(has_old);
    t.keys[1] = row;
    CU_ASSERT_EQUAL(ag_life_activate(&l, &t.book, &row, true, &old, &has_old, NULL),
                    ANTAG_ERR_KEY_STATE);
    CU_ASSERT_FALSE(has_old);
}

static void test_time_ends_the_watch_window(void)
{
    static const struct {
        const char *row;
        int64_t since_ms, now_ms;
        enum antag_err err;
    } rows[] = {
        {"one short", HOUR_MS, 25 * HOUR_MS - 1, ANTAG_ERR_KEY_STATE},
        {"over", HOUR_MS, 25 * HOUR_MS, ANTAG_OK},
        {"a row from a newer count", 9 * HOUR_MS, HOUR_MS, ANTAG_ERR_KEY_STATE},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_life l = life_at(rows[i].now_ms);
        struct test_book t;
        struct ag_row_key row;

        test_book_init(&t);
        test_book_key(&t, 1, 1, AG_KEY_RETIRING, 1)->state_observed_ms = rows[i].since_ms;
        row = t.keys[0];
        ROW_ASSERT(rows[i].row,
                   ag_life_step(&l, &t.book, &row, AG_KEYEV_TICK, true, NULL, NULL) == rows[i].err);
        ROW_ASSERT(rows[i].row, row.sealed_len == 3); /* time alone wipes nothing */
    }
}

static void test_destroy_wipes(void)
{
    struct ag_life l = life_at(0);
    struct test_book t;
    struct ag_row_key row;
    static const uint8_t none[3];

    test_book_init(&t);
    row = *test_book_key(&t, 1, 1, AG_KEY_COMPROMISED, 1);
    CU_ASSERT_EQUAL(ag_life_step(&l, &t.book, &row, AG_KEYEV_DESTROY, true, NULL, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(row.sealed_len, 0);
    CU_ASSERT_EQUAL(memcmp(row.sealed, none, sizeof none), 0);
    CU_ASSERT_EQUAL(row.spki_len, 4);
}

static void test_antom_overlap(void)
{
    struct ag_life l = life_at(HOUR_MS);
    struct test_book t;
    struct ag_row_antom_key row;

    test_book_init(&t);
    row = *test_book_antom_key(&t, 1, 1, AG_ANTOM_KEY_ACTIVE, 1);
    CU_ASSERT_EQUAL(ag_life_antom_left_ms(&l, &row), -1);
    CU_ASSERT_EQUAL(ag_life_antom_step(&l, &row, AG_ANTOMEV_TICK, NULL), ANTAG_ERR_KEY_STATE);
    CU_ASSERT_EQUAL(ag_life_antom_step(&l, &row, AG_ANTOMEV_SUPERSEDE, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(row.state, AG_ANTOM_KEY_RETIRING);
    CU_ASSERT_EQUAL(ag_life_antom_left_ms(&l, &row), 25 * HOUR_MS);
    l = life_at(26 * HOUR_MS - 1);
    CU_ASSERT_EQUAL(ag_life_antom_step(&l, &row, AG_ANTOMEV_TICK, NULL), ANTAG_ERR_KEY_STATE);
    l = life_at(26 * HOUR_MS);
    CU_ASSERT_EQUAL(ag_life_antom_left_ms(&l, &row), 0);
    CU_ASSERT_EQUAL(ag_life_antom_step(&l, &row, AG_ANTOMEV_TICK, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(row.state, AG_ANTOM_KEY_REVOKED);
    CU_ASSERT_EQUAL(ag_life_antom_step(&l, &row, AG_ANTOMEV_START, NULL), ANTAG_ERR_KEY_STATE);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"suspend and resume", test_suspend_and_resume},
        {"resume beside an active key", test_resume_beside_an_active_key},
        {"activate supersedes", test_activate_supersedes},
        {"activate alone, and twice", test_activate_alone_and_twice},
        {"time ends the watch window", test_time_ends_the_watch_window},
        {"rotated out", test_rotated_out},
        {"destroy wipes", test_destroy_wipes},
        {"overlap of Antom keys", test_antom_overlap},
        CU_TEST_INFO_NULL,
    };

    return run_tests("steward_life", tests);
}
