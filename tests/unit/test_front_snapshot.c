/* Snapshots: rows in, an immutable picture out; what was taken stays as it was. */
#include "tests/support/front_rows.h"

static const struct ag_caller caller = {.uid = CALLER_UID};

static void test_empty(void)
{
    struct ag_rows *rows = ag_rows_new();
    struct ag_snapshot *s = commit(rows, 1);

    CU_ASSERT_EQUAL(ag_snapshot_count(s), 0);
    CU_ASSERT_EQUAL(ag_snapshot_epoch(s), 1);
    CU_ASSERT_PTR_NULL(ag_snapshot_find(s, antag_slice_of("shop/sandbox")));
    CU_ASSERT_PTR_NULL(ag_snapshot_find(s, antag_slice_of("")));
    CU_ASSERT_PTR_NULL(ag_snapshot_find(NULL, antag_slice_of("shop/sandbox")));
    CU_ASSERT_EQUAL(ag_snapshot_count(NULL), 0);
    ag_snapshot_release(s);
    ag_snapshot_release(NULL);
    ag_rows_free(rows);
    ag_rows_free(NULL);
}

static void test_find(void)
{
    static const struct {
        const char *name;
        uint64_t id; /* 0: not there */
    } table[] = {
        {"shop/sandbox", 1}, {"shop/live", 2},     {"other/sandbox", 3}, {"shop/sandbo", 0},
        {"hop/sandbox", 0},  {"shop/sandboxx", 0}, {"SHOP/sandbox", 0},  {"", 0},
    };
    struct ag_rows *rows = ag_rows_new();
    struct ag_snapshot *s;

    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(2, "shop/live", AG_ENV_LIVE, "5Y1"));
    apply(rows, profile_row(3, "other/sandbox", AG_ENV_SANDBOX, ""));
    s = commit(rows, 1);
    for (size_t i = 0; i < ROW_COUNT(table); i++) {
        const struct ag_profile *p = ag_snapshot_find(s, antag_slice_of(table[i].name));

        ROW_ASSERT(table[i].name, (p ? p->id : 0) == table[i].id);
    }
    ag_snapshot_release(s);
    ag_rows_free(rows);
}

static void test_many(void)
{
    enum { COUNT = 3000 };
    struct ag_rows *rows = ag_rows_new();
    struct ag_snapshot *s;
    char name[ANTAG_PROFILE_MAX + 1];

    for (uint64_t i = 1; i <= COUNT; i++) {
        snprintf(name, sizeof name, "shop-%d/sandbox", (int)i);
        apply(rows, profile_row(i, name, AG_ENV_SANDBOX, CLIENT_ID));
        apply(rows, grant_row(i, i, AG_OP_SIGN, NULL));
        apply(rows, grant_row(COUNT + i, i, AG_OP_VERIFY, NULL));
    }
    for (uint64_t i = 2; i <= COUNT; i += 2)
        apply(rows, (struct ag_snap_row){.table = AG_SNAP_PROFILE, .id = i, .gone = true});
    s = commit(rows, 9);
    CU_ASSERT_EQUAL(ag_snapshot_count(s), COUNT / 2);
    for (uint64_t i = 1; i <= COUNT; i++) {
        const struct ag_profile *p;

        snprintf(name, sizeof name, "shop-%d/sandbox", (int)i);
        p = ag_snapshot_find(s, antag_slice_of(name));
        ROW_ASSERT(name, (p != NULL) == (i % 2 == 1));
        ROW_ASSERT(name, !p || (p->id == i && p->grant_count == 2 &&
                                ag_profile_ops(p, &caller) == (AG_OP_SIGN | AG_OP_VERIFY)));
    }
    ag_snapshot_release(s);
    ag_rows_free(rows);
}

/* What a worker holds does not change under it, and what was replaced is not there twice. */
static void test_immutable(void)
{
    struct ag_rows *rows = ag_rows_new();
    struct ag_snap_row changed = profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, "SANDBOX_NEW");
    struct ag_snapshot *before, *after;

    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, grant_row(1, 1, AG_OP_SIGN, "/a/*"));
    before = commit(rows, 1);
    apply(rows, changed);
    apply(rows, (struct ag_snap_row){.table = AG_SNAP_GRANT, .id = 1, .gone = true});
    apply(rows, (struct ag_snap_row){.table = AG_SNAP_GRANT, .id = 77, .gone = true});
    after = commit(rows, 2);

    CU_ASSERT_EQUAL(ag_snapshot_count(before), 1);
    CU_ASSERT_STRING_EQUAL(ag_snapshot_at(before, 0)->row->client_id, CLIENT_ID);
    CU_ASSERT_EQUAL(ag_profile_ops(ag_snapshot_at(before, 0), &caller), AG_OP_SIGN);
    CU_ASSERT_EQUAL(ag_snapshot_count(after), 1);
    CU_ASSERT_STRING_EQUAL(ag_snapshot_at(after, 0)->row->client_id, "SANDBOX_NEW");
    CU_ASSERT_EQUAL(ag_profile_ops(ag_snapshot_at(after, 0), &caller), 0);
    ag_rows_free(rows);
    CU_ASSERT_STRING_EQUAL(ag_snapshot_at(before, 0)->row->client_id, CLIENT_ID);
    ag_snapshot_release(before);
    ag_snapshot_release(after);
}

/* Active before retiring, newer before older; others, and those that cannot be loaded, not at all. */
static void test_keys(void)
{
    struct ag_rows *rows = ag_rows_new();
    EVP_PKEY *key = make_key(2048);
    struct ag_snap_row broken = antom_key_row(6, 1, 6, AG_ANTOM_KEY_ACTIVE, key);
    struct ag_snapshot *s;
    const struct ag_profile *p;
    static const uint32_t order[] = {3, 2, 4, 1};

    broken.u.antom_key.spki_len--;
    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(2, "shop/live", AG_ENV_LIVE, "5Y1"));
    apply(rows, antom_key_row(1, 1, 1, AG_ANTOM_KEY_RETIRING, key));
    apply(rows, antom_key_row(2, 1, 2, AG_ANTOM_KEY_ACTIVE, key));
    apply(rows, antom_key_row(3, 1, 3, AG_ANTOM_KEY_ACTIVE, key));
    apply(rows, antom_key_row(4, 1, 4, AG_ANTOM_KEY_RETIRING, key));
    apply(rows, antom_key_row(5, 1, 5, AG_ANTOM_KEY_STAGED, key));
    apply(rows, broken);
    apply(rows, antom_key_row(7, 1, 7, AG_ANTOM_KEY_REVOKED, key));
    apply(rows, antom_key_row(8, 99, 1, AG_ANTOM_KEY_ACTIVE, key)); /* of no profile */
    s = commit(rows, 1);
    p = ag_snapshot_find(s, antag_slice_of("shop/sandbox"));
    CU_ASSERT_EQUAL_FATAL(p->key_count, ROW_COUNT(order));
    for (size_t i = 0; i < ROW_COUNT(order); i++)
        CU_ASSERT_EQUAL(p->keys[i].version, order[i]);
    CU_ASSERT_EQUAL(p->keys[0].sig_len, 256);
    CU_ASSERT_EQUAL_FATAL(p->other_count, 2); /* what is not trusted stands apart, for explain */
    CU_ASSERT(p->others[0].version + p->others[1].version == 5 + 7);
    CU_ASSERT_EQUAL(p->others[0].staged, p->others[0].version == 5);
    CU_ASSERT_EQUAL(p->others[1].staged, p->others[1].version == 5);
    CU_ASSERT(!p->others[0].active && !p->others[1].active);
    CU_ASSERT_EQUAL(ag_snapshot_find(s, antag_slice_of("shop/live"))->key_count, 0);
    ag_snapshot_release(s);
    ag_rows_free(rows);
    EVP_PKEY_free(key);
}

/* A full load takes loaded keys over and forgets everything that does not return. */
static void test_begin(void)
{
    struct ag_rows *rows = ag_rows_new();
    EVP_PKEY *key = make_key(2048), *other = make_key(2048);
    struct ag_snapshot *first, *second;

    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, profile_row(2, "gone/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, antom_key_row(1, 1, 1, AG_ANTOM_KEY_ACTIVE, key));
    apply(rows, antom_key_row(2, 1, 2, AG_ANTOM_KEY_RETIRING, key));
    first = commit(rows, 1);
    CU_ASSERT_EQUAL(ag_rows_begin(rows), ANTAG_OK);
    apply(rows, profile_row(3, "cut/off", AG_ENV_SANDBOX, CLIENT_ID));
    CU_ASSERT_EQUAL(ag_rows_begin(rows), ANTAG_OK); /* the steward died over the first one */
    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, antom_key_row(1, 1, 1, AG_ANTOM_KEY_ACTIVE, key));
    apply(rows, antom_key_row(2, 1, 2, AG_ANTOM_KEY_RETIRING, other));
    second = commit(rows, 1);

    CU_ASSERT_EQUAL(ag_snapshot_count(first), 2);
    CU_ASSERT_EQUAL_FATAL(ag_snapshot_count(second), 1);
    CU_ASSERT_PTR_NULL(ag_snapshot_find(second, antag_slice_of("cut/off")));
    {
        const struct ag_profile *a = ag_snapshot_find(first, antag_slice_of("shop/sandbox"));
        const struct ag_profile *b = ag_snapshot_find(second, antag_slice_of("shop/sandbox"));

        CU_ASSERT_PTR_EQUAL(a->keys[0].pkey, b->keys[0].pkey);
        CU_ASSERT_PTR_NOT_EQUAL(a->keys[1].pkey, b->keys[1].pkey); /* the bytes are others */
        CU_ASSERT(EVP_PKEY_eq(b->keys[1].pkey, other) == 1);
    }
    ag_snapshot_release(first);
    ag_snapshot_release(second);
    ag_rows_free(rows);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* After a row that could not be read nothing takes force until a full load. */
static void test_spoilt(void)
{
    struct ag_rows *rows = ag_rows_new();
    struct ag_snapshot *s = NULL;
    struct antag_fault fault, got;

    antag_fault_set(&fault, ANTAG_ERR_BAD_PARAM, "table", "is unknown");
    ag_rows_spoil(rows, &fault);
    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    CU_ASSERT_EQUAL(ag_rows_commit(rows, 1, &s, &got), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_PTR_NULL(s);
    CU_ASSERT_STRING_EQUAL(got.field, "table");
    CU_ASSERT_EQUAL(ag_rows_begin(rows), ANTAG_OK);
    s = commit(rows, 2);
    CU_ASSERT_EQUAL(ag_snapshot_count(s), 0);
    ag_snapshot_release(s);
    ag_rows_free(rows);
}

static void test_fence(void)
{
    static const struct {
        const char *uri;
        bool excepted;
    } table[] = {
        {"/ams/v1/aba/funds/createExchange", true},
        {"/ams/v1/aba/funds/createExchange?x=/y", true},
        {"/ams/api/v1/risk/payments/decide", true},
        {"/ams/v1/aba/funds/createExchange/x", false},
        {"/ams/v1/aba/funds", false},
        {"/x?/ams/v1/aba/funds/createExchange", false},
        {"/", false},
    };
    struct ag_rows *rows = ag_rows_new();
    struct ag_snapshot *s;

    apply(rows, profile_row(1, "shop/sandbox", AG_ENV_SANDBOX, CLIENT_ID));
    apply(rows, fence_row(1, 1, "/ams/v1/aba/funds/createExchange"));
    apply(rows, fence_row(2, 1, "/ams/api/v1/risk/**"));
    apply(rows, fence_row(3, 2, "/**"));
    s = commit(rows, 1);
    for (size_t i = 0; i < ROW_COUNT(table); i++)
        ROW_ASSERT(table[i].uri,
                   ag_profile_is_excepted(ag_snapshot_at(s, 0), antag_slice_of(table[i].uri)) ==
                       table[i].excepted);
    ag_snapshot_release(s);
    ag_rows_free(rows);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"an empty one", test_empty},
        {"profiles by name", test_find},
        {"thousands of rows", test_many},
        {"what was taken stays", test_immutable},
        {"keys in trial order", test_keys},
        {"a full load", test_begin},
        {"a row that cannot be read", test_spoilt},
        {"fence exceptions", test_fence},
        CU_TEST_INFO_NULL,
    };

    return run_tests("front_snapshot", tests);
}
