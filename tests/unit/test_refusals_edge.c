/* Refusals on their way: kinds and counts, the bound, and what is not of the form. */
#include <stdlib.h>
#include <string.h>

#include "agent/lib/edges/refusals.h"
#include "tests/support/rows.h"

static struct ag_refusals r, back;

static struct ag_refusal kind(uint32_t uid, enum antag_err err, const char *what,
                              const char *profile, uint64_t count)
{
    struct ag_refusal one = {.uid = uid, .err = err, .count = count};

    (void)antag_slice_copy(antag_slice_of(what), one.what, sizeof one.what);
    (void)antag_slice_copy(antag_slice_of(profile), one.profile, sizeof one.profile);
    return one;
}

static void add(struct ag_refusal one, int64_t now_ms)
{
    ag_refusals_add(&r, &one, now_ms);
}

static void test_kinds(void)
{
    struct ag_refusal staff = kind(1, ANTAG_ERR_DENIED, "a", "p/live", 1);

    r = (struct ag_refusals){0};
    add(kind(1, ANTAG_ERR_DENIED, "a", "p/live", 1), 500);
    add(kind(1, ANTAG_ERR_DENIED, "a", "p/live", 2), 400);
    add(kind(2, ANTAG_ERR_DENIED, "a", "p/live", 1), 600);
    add(kind(1, ANTAG_ERR_BUSY, "a", "p/live", 1), 600);
    add(kind(1, ANTAG_ERR_DENIED, "b", "p/live", 1), 600);
    add(kind(1, ANTAG_ERR_DENIED, "a", "", 1), 600);
    staff.staff = true;
    add(staff, 600);
    CU_ASSERT(r.count == 6 && r.v[0].count == 3 && r.since_ms == 400 && r.others == 0);
}

static void test_bound_and_merge(void)
{
    r = (struct ag_refusals){0};
    for (uint32_t uid = 0; uid < AG_REFUSALS_MAX + 5; uid++)
        add(kind(uid, ANTAG_ERR_DENIED, "a", "", 2), 1);
    CU_ASSERT(r.count == AG_REFUSALS_MAX && r.others == 10);
    add(kind(0, ANTAG_ERR_DENIED, "a", "", 1), 2); /* one that has a place keeps it */
    CU_ASSERT(r.v[0].count == 3 && r.others == 10);
    back = r;
    ag_refusals_merge(&r, &back);
    CU_ASSERT(r.count == AG_REFUSALS_MAX && r.others == 20 && r.v[0].count == 6 && r.since_ms == 1);
}

static enum antag_err pass_on(void (*change)(msgpack_object *o))
{
    struct antag_writer w;
    struct antag_slice bytes;
    struct antag_fault fault;
    msgpack_unpacked u;
    enum antag_err err;

    antag_writer_init(&w, 128 * 1024);
    ag_refusals_write(&w, &r);
    CU_ASSERT_EQUAL_FATAL(antag_writer_end(&w, &bytes), ANTAG_OK);
    msgpack_unpacked_init(&u);
    CU_ASSERT_FATAL(msgpack_unpack_next(&u, (const char *)bytes.p, bytes.len, NULL) > 0);
    if (change)
        change(&u.data);
    err = ag_refusals_parse(&u.data, &back, &fault);
    msgpack_unpacked_destroy(&u);
    antag_writer_fini(&w);
    return err;
}

static void test_round_trip(void)
{
    char profile[ANTAG_PROFILE_MAX + 1], what[AG_REFUSAL_WHAT_MAX + 1];

    memset(profile, 'p', sizeof profile - 1);
    memset(what, 'w', sizeof what - 1);
    profile[sizeof profile - 1] = what[sizeof what - 1] = '\0';
    r = (struct ag_refusals){0};
    CU_ASSERT_EQUAL(pass_on(NULL), ANTAG_ERR_BAD_PARAM); /* nothing is no report */
    for (uint32_t uid = 0; uid < AG_REFUSALS_MAX + 1; uid++)
        add(kind(UINT32_MAX - uid, ANTAG_ERR_SIGNATURE_INVALID, what, profile, INT64_MAX), 1);
    CU_ASSERT_EQUAL(pass_on(NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(memcmp(&r, &back, sizeof r), 0);
}

static msgpack_object *entry(msgpack_object *o)
{
    return &o->via.map.ptr[2].val.via.array.ptr[0];
}
static void no_error(msgpack_object *o)
{
    entry(o)->via.map.ptr[2].val.via.u64 = 0;
}
static void unknown_error(msgpack_object *o)
{
    entry(o)->via.map.ptr[2].val.via.u64 = 4711;
}
static void no_count(msgpack_object *o)
{
    entry(o)->via.map.ptr[4].val.via.u64 = 0;
}
static void text_for_uid(msgpack_object *o)
{
    entry(o)->via.map.ptr[0].val = entry(o)->via.map.ptr[1].val;
}
static void one_key_less(msgpack_object *o)
{
    entry(o)->via.map.size--;
}
static void no_map(msgpack_object *o)
{
    *entry(o) = entry(o)->via.map.ptr[0].val;
}
static void no_time(msgpack_object *o)
{
    o->via.map.ptr[0].val.via.u64 = 0;
}
static void no_entries(msgpack_object *o)
{
    o->via.map.ptr[2].val = o->via.map.ptr[0].val;
}

static void test_forms(void)
{
    static const struct {
        const char *name;
        void (*change)(msgpack_object *o);
    } rows[] = {
        {"no error", no_error},
        {"unknown error", unknown_error},
        {"no count", no_count},
        {"a text for uid", text_for_uid},
        {"a key is missing", one_key_less},
        {"an entry that is no map", no_map},
        {"no time", no_time},
        {"entries that are no array", no_entries},
    };

    r = (struct ag_refusals){0};
    add(kind(1, ANTAG_ERR_DENIED, "sign_request", "shop/live", 3), 99);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        ROW_ASSERT(rows[i].name, pass_on(rows[i].change) == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(rows[i].name, back.since_ms == 0 && back.count == 0 && back.others == 0);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"kinds", test_kinds},
        {"bound and merge", test_bound_and_merge},
        {"round trip", test_round_trip},
        {"forms", test_forms},
        CU_TEST_INFO_NULL,
    };

    return run_tests("refusals_edge", tests);
}
