/* What front and keepers should have: levels, rows of profiles, rows as sent, and their difference. */
#include "agent/steward/desired.h"
#include "agent/steward/frontlink.h"
#include "tests/support/books.h"
#include "tests/support/rows.h"

static const struct {
    enum ag_key_state state;
    enum ag_level level, stopped;
} levels[] = {
    {AG_KEY_STAGED, AG_LEVEL_PROBE, AG_LEVEL_STOPPED},
    {AG_KEY_ACTIVE, AG_LEVEL_SIGN, AG_LEVEL_STOPPED},
    {AG_KEY_RETIRING, AG_LEVEL_PROBE, AG_LEVEL_STOPPED},
    {AG_KEY_RETIRED, AG_LEVEL_ABSENT, AG_LEVEL_ABSENT},
    {AG_KEY_SUSPENDED, AG_LEVEL_STOPPED, AG_LEVEL_STOPPED},
    {AG_KEY_COMPROMISED, AG_LEVEL_ABSENT, AG_LEVEL_ABSENT},
    {AG_KEY_DESTROYED, AG_LEVEL_ABSENT, AG_LEVEL_ABSENT},
};
_Static_assert(sizeof levels / sizeof *levels == AG_KEY_STATE_COUNT, "a row each");

static void test_levels(void)
{
    for (size_t i = 0; i < ROW_COUNT(levels); i++) {
        struct ag_row_key k = {.state = levels[i].state};

        ROW_ASSERT(ag_key_state_name(k.state), ag_desired_level(&k, false) == levels[i].level);
        ROW_ASSERT(ag_key_state_name(k.state), ag_desired_level(&k, true) == levels[i].stopped);
    }
}

/* shop/sandbox: version 1 retiring (handle 101), version 2 active (handle 102) */
static const struct {
    const char *row;
    enum ag_source_kind kind;
    enum ag_key_state old_state;
    uint64_t had, handle; /* what the front had, and shall have */
    enum antag_err err;
} sources[] = {
    {"ready", AG_SOURCE_READY, AG_KEY_RETIRING, 101, 102, ANTAG_OK},
    {"ready, fresh front", AG_SOURCE_READY, AG_KEY_RETIRING, 0, 102, ANTAG_OK},
    {"stopped", AG_SOURCE_STOPPED, AG_KEY_RETIRING, 102, 0, ANTAG_ERR_KEY_STATE},
    {"failed", AG_SOURCE_FAILED, AG_KEY_RETIRING, 102, 0, ANTAG_ERR_BACKEND},
    {"coming, had the active one", AG_SOURCE_COMING, AG_KEY_RETIRING, 102, 102, ANTAG_OK},
    {"coming, had the old one", AG_SOURCE_COMING, AG_KEY_RETIRING, 101, 101, ANTAG_OK},
    {"coming, had one suspended since", AG_SOURCE_COMING, AG_KEY_SUSPENDED, 101, 0,
     ANTAG_ERR_BACKEND},
    {"coming, had one retired since", AG_SOURCE_COMING, AG_KEY_RETIRED, 101, 0, ANTAG_ERR_BACKEND},
    {"coming, had none", AG_SOURCE_COMING, AG_KEY_RETIRING, 0, 0, ANTAG_ERR_BACKEND},
    {"coming, had one that is gone", AG_SOURCE_COMING, AG_KEY_RETIRING, 77, 0, ANTAG_ERR_BACKEND},
};

static void test_sources(void)
{
    for (size_t i = 0; i < ROW_COUNT(sources); i++) {
        struct ag_sign_source source = {
            .kind = sources[i].kind, .err = ANTAG_ERR_BACKEND, .why = "because"};
        struct ag_snap_profile had = {.handle = sources[i].had}, row;
        struct test_book t;

        test_book_init(&t);
        test_book_key(&t, 1, 1, sources[i].old_state, 1);
        test_book_key(&t, 1, 2, AG_KEY_ACTIVE, 2)->key_version = 9;
        ag_desired_profile(&t.book, &t.profiles[0], &source, &had, &row);
        ROW_ASSERT(sources[i].row, row.handle == sources[i].handle);
        if (row.handle == 0) {
            ROW_ASSERT(sources[i].row, row.sign_err == sources[i].err);
            ROW_ASSERT(sources[i].row, row.sign_why[0] != '\0');
        } else {
            ROW_ASSERT(sources[i].row, row.version == (row.handle == 102 ? 2 : 1));
            ROW_ASSERT(sources[i].row, row.key_version == (row.handle == 102 ? 9 : 1));
            ROW_ASSERT(sources[i].row, strcmp(row.keyring, "soft") == 0);
        }
    }
}

static const struct {
    const char *row;
    enum ag_key_state state, from;
    enum antag_err err;
    const char *why;
} none_active[] = {
    {"no key", AG_KEY_STATE_COUNT, 0, ANTAG_ERR_NO_ACTIVE_KEY, "key generate shop/sandbox"},
    {"staged", AG_KEY_STAGED, 0, ANTAG_ERR_NO_ACTIVE_KEY, "key activate shop/sandbox 1"},
    {"suspended", AG_KEY_SUSPENDED, AG_KEY_ACTIVE, ANTAG_ERR_KEY_STATE,
     "key resume shop/sandbox 1"},
    {"suspended when staged", AG_KEY_SUSPENDED, AG_KEY_STAGED, ANTAG_ERR_NO_ACTIVE_KEY, "generate"},
    {"retired", AG_KEY_RETIRED, 0, ANTAG_ERR_NO_ACTIVE_KEY, "generate"},
};

static void test_none_active(void)
{
    for (size_t i = 0; i < ROW_COUNT(none_active); i++) {
        struct ag_sign_source source = {.kind = AG_SOURCE_READY};
        struct ag_snap_profile row;
        struct test_book t;

        test_book_init(&t);
        test_book_key(&t, 2, 1, AG_KEY_ACTIVE, 2); /* of another profile */
        if (none_active[i].state != AG_KEY_STATE_COUNT)
            test_book_key(&t, 1, 1, none_active[i].state, 1)->suspended_from = none_active[i].from;
        ag_desired_profile(&t.book, &t.profiles[0], &source, NULL, &row);
        ROW_ASSERT(none_active[i].row, row.handle == 0 && row.sign_err == none_active[i].err);
        ROW_ASSERT(none_active[i].row, strstr(row.sign_why, none_active[i].why) != NULL);
    }
}

static void test_missing(void)
{
    struct ag_missing missing[AG_MISSING_MAX];
    struct test_book t;

    test_book_init(&t);
    CU_ASSERT_EQUAL(ag_desired_missing(&t.book, &t.profiles[0], missing), 4);
    CU_ASSERT_STRING_EQUAL(missing[0].command, "antomctl profile set shop/sandbox --client-id ID");
    snprintf(t.profiles[0].client_id, sizeof t.profiles[0].client_id, "SANDBOX_1");
    snprintf(t.profiles[0].gateway, sizeof t.profiles[0].gateway, "https://gw");
    test_book_key(&t, 1, 1, AG_KEY_ACTIVE, 1);
    test_book_antom_key(&t, 1, 1, AG_ANTOM_KEY_REVOKED, 2);
    CU_ASSERT_EQUAL_FATAL(ag_desired_missing(&t.book, &t.profiles[0], missing), 1);
    CU_ASSERT_STRING_EQUAL(missing[0].what, "Antom key");
    test_book_antom_key(&t, 1, 2, AG_ANTOM_KEY_RETIRING, 3);
    CU_ASSERT_EQUAL(ag_desired_missing(&t.book, &t.profiles[0], missing), 0);
}

/* ---- rows as they are sent */

static void ready(void *ctx, const struct ag_row_key *active, uint64_t epoch,
                  struct ag_sign_source *out)
{
    (void)active;
    (void)epoch;
    *out = (struct ag_sign_source){.kind = *(enum ag_source_kind *)ctx, .err = ANTAG_ERR_BACKEND};
}

struct seen {
    unsigned changed, gone, stop_after;
};

static enum antag_err count(void *ctx, const struct ag_front_row *row, bool gone)
{
    struct seen *s = ctx;

    (void)row;
    s->gone += gone;
    s->changed += !gone;
    return s->stop_after != 0 && s->changed + s->gone == s->stop_after ? ANTAG_ERR_RETRY : ANTAG_OK;
}

static void fill(struct test_book *t)
{
    test_book_init(t);
    test_book_key(t, 1, 1, AG_KEY_ACTIVE, 1);
    test_book_antom_key(t, 1, 1, AG_ANTOM_KEY_STAGED, 2);
    test_book_antom_key(t, 1, 2, AG_ANTOM_KEY_ACTIVE, 3);
    test_book_antom_key(t, 1, 3, AG_ANTOM_KEY_RETIRING, 4);
    test_book_antom_key(t, 1, 4, AG_ANTOM_KEY_REVOKED, 5);
    t->grants[0] = (struct ag_grant){.id = 1, .profile_id = 1, .ops = AG_OP_SIGN};
    t->book.grant_count = 1;
    t->fences[0] = (struct ag_row_fence){.id = 1, .profile_id = 1, .path = "/ams/x"};
    t->book.fence_count = 1;
}

static void test_rows(void)
{
    enum ag_source_kind kind = AG_SOURCE_READY;
    struct ag_front_rows rows, empty = {0};
    struct seen seen = {0};
    struct test_book t;

    fill(&t);
    CU_ASSERT_EQUAL_FATAL(ag_front_rows_make(&t.book, NULL, ready, &kind, &rows), ANTAG_OK);
    CU_ASSERT_EQUAL(rows.count, 4 + 4 + 1 + 1); /* Antom keys that do not verify too: for explain */
    CU_ASSERT_PTR_NOT_NULL(ag_front_row_find(&rows, AG_SNAP_ANTOM_KEY, 201));
    CU_ASSERT_PTR_NOT_NULL(ag_front_row_find(&rows, AG_SNAP_ANTOM_KEY, 203));
    CU_ASSERT_EQUAL(ag_front_row_find(&rows, AG_SNAP_PROFILE, 1)->handle, 101);
    CU_ASSERT_PTR_NULL(ag_front_row_find(&rows, AG_SNAP_PROFILE, 5));
    CU_ASSERT_PTR_NULL(ag_front_row_find(NULL, AG_SNAP_PROFILE, 1));
    CU_ASSERT_EQUAL(ag_front_rows_diff(NULL, &rows, count, &seen), ANTAG_OK);
    CU_ASSERT(seen.changed == 10 && seen.gone == 0);
    seen = (struct seen){0};
    CU_ASSERT_EQUAL(ag_front_rows_diff(&rows, &rows, count, &seen), ANTAG_OK);
    CU_ASSERT(seen.changed == 0 && seen.gone == 0);
    CU_ASSERT_EQUAL(ag_front_rows_diff(&rows, &empty, count, &seen), ANTAG_OK);
    CU_ASSERT(seen.changed == 0 && seen.gone == 10);
    seen = (struct seen){.stop_after = 3};
    CU_ASSERT_EQUAL(ag_front_rows_diff(&rows, &empty, count, &seen), ANTAG_ERR_RETRY);
    CU_ASSERT_EQUAL(seen.gone, 3);
    ag_front_rows_fini(&rows);
}

static void test_difference(void)
{
    enum ag_source_kind kind = AG_SOURCE_READY;
    struct ag_front_rows before, after;
    struct seen seen = {0};
    struct test_book t;

    fill(&t);
    CU_ASSERT_EQUAL_FATAL(ag_front_rows_make(&t.book, NULL, ready, &kind, &before), ANTAG_OK);
    t.keys[0].state = AG_KEY_SUSPENDED;           /* profile 1 changes */
    t.antom_keys[2].state = AG_ANTOM_KEY_REVOKED; /* changes */
    t.book.grant_count = 0;                       /* goes */
    t.fences[1] = (struct ag_row_fence){.id = 2, .profile_id = 2, .path = "/y"};
    t.book.fence_count = 2; /* comes */
    CU_ASSERT_EQUAL_FATAL(ag_front_rows_make(&t.book, &before, ready, &kind, &after), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_front_rows_diff(&before, &after, count, &seen), ANTAG_OK);
    CU_ASSERT_EQUAL(seen.changed, 3);
    CU_ASSERT_EQUAL(seen.gone, 1);
    ag_front_rows_fini(&before);
    ag_front_rows_fini(&after);
}

/* A keeper that is coming back does not change what the front has. */
static void test_coming_keeps_rows(void)
{
    enum ag_source_kind kind = AG_SOURCE_READY;
    struct ag_front_rows before, after;
    struct seen seen = {0};
    struct test_book t;

    fill(&t);
    CU_ASSERT_EQUAL_FATAL(ag_front_rows_make(&t.book, NULL, ready, &kind, &before), ANTAG_OK);
    kind = AG_SOURCE_COMING;
    CU_ASSERT_EQUAL_FATAL(ag_front_rows_make(&t.book, &before, ready, &kind, &after), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_front_rows_diff(&before, &after, count, &seen), ANTAG_OK);
    CU_ASSERT(seen.changed == 0 && seen.gone == 0);
    ag_front_rows_fini(&before);
    ag_front_rows_fini(&after);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"levels of a keeper's keys", test_levels},
        {"where signatures come from", test_sources},
        {"no active key", test_none_active},
        {"what is missing", test_missing},
        {"rows", test_rows},
        {"difference", test_difference},
        {"a keeper that comes back", test_coming_keeps_rows},
        CU_TEST_INFO_NULL,
    };

    return run_tests("steward_desired", tests);
}
