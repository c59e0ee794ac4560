/* Rows that the steward pushes to the front: what is written is read back; what is malformed is refused. */
#include <string.h>

#include "agent/lib/edges/snapshot.h"
#include "tests/support/repack.h"
#include "tests/support/rows.h"

static char glob_one[] = "/ams/api/v1/**", glob_two[] = "/x/*", method_one[] = "POST";
static char *globs[] = {glob_one, glob_two};
static char *methods[] = {method_one};

static struct ag_snap_row profile_row(void)
{
    struct ag_snap_row row = {.table = AG_SNAP_PROFILE, .id = 5};
    struct ag_snap_profile *p = &row.u.profile;

    strcpy(p->name, "shop/live");
    p->env = AG_ENV_LIVE;
    strcpy(p->client_id, "5Y00000000000001");
    strcpy(p->gateway, "https://open-sea-global.alipay.com");
    p->response_max_age_ms = -1;
    p->notification_max_age_ms = 90000000;
    p->handle = UINT64_C(1) << 40;
    p->version = UINT32_MAX;
    p->key_version = 2;
    strcpy(p->keyring, "soft");
    p->sign_err = ANTAG_OK;
    return row;
}

static struct ag_snap_row antom_key_row(void)
{
    struct ag_snap_row row = {.table = AG_SNAP_ANTOM_KEY, .id = 6};

    row.u.antom_key.profile_id = 5;
    row.u.antom_key.version = 1;
    row.u.antom_key.state = AG_ANTOM_KEY_RETIRING;
    row.u.antom_key.spki_len = ANTAG_SPKI_MAX;
    memset(row.u.antom_key.spki, 0x80, ANTAG_SPKI_MAX);
    return row;
}

static struct ag_snap_row grant_row(void)
{
    struct ag_snap_row row = {.table = AG_SNAP_GRANT, .id = 7};
    struct ag_grant *g = &row.u.grant;

    g->id = 7;
    g->profile_id = 5;
    g->who = AG_WHO_UNIT;
    strcpy(g->unit, "shop.service");
    g->ops = AG_OP_SIGN | AG_OP_EXPLAIN;
    g->query = true;
    g->max_body = ANTAG_BODY_MAX;
    g->rate = (struct ag_bucket){ANTAG_RATE_MAX, 7};
    g->method_count = 1;
    g->methods = methods;
    g->path_count = 2;
    g->paths = globs;
    return row;
}

static struct ag_snap_row fence_row(void)
{
    struct ag_snap_row row = {.table = AG_SNAP_FENCE, .id = UINT64_C(1) << 62};

    row.u.fence.profile_id = 5;
    strcpy(row.u.fence.path, "/ams/v1/aba/funds/createExchange");
    return row;
}

static const struct {
    const char *name;
    struct ag_snap_row (*make)(void);
} tables[] = {
    {"profile", profile_row},
    {"antom_key", antom_key_row},
    {"grant", grant_row},
    {"fence", fence_row},
};

static enum antag_err round_trip(const struct ag_snap_row *in, struct ag_snap_row *out,
                                 struct antag_fault *fault)
{
    struct antag_writer w;
    msgpack_unpacked u;
    msgpack_object o;
    enum antag_err err;

    antag_writer_init(&w, 65536);
    ag_snap_row_write(&w, in);
    o = repack_read(&w, &u);
    err = ag_snap_row_parse(&o, out, fault);
    /* nothing of `out` may borrow from what is gone now */
    msgpack_unpacked_destroy(&u);
    antag_writer_fini(&w);
    return err;
}

/* ---- read back */

static bool same_globs(char *const *a, char *const *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

static bool same_grant(const struct ag_grant *a, const struct ag_grant *b)
{
    return a->id == b->id && a->profile_id == b->profile_id && a->who == b->who &&
           a->number == b->number && strcmp(a->unit, b->unit) == 0 && a->ops == b->ops &&
           a->query == b->query && a->max_body == b->max_body && a->rate.rate == b->rate.rate &&
           a->rate.burst == b->rate.burst && a->method_count == b->method_count &&
           a->path_count == b->path_count && same_globs(a->methods, b->methods, a->method_count) &&
           same_globs(a->paths, b->paths, a->path_count);
}

static bool same_profile(const struct ag_snap_profile *a, const struct ag_snap_profile *b)
{
    return strcmp(a->name, b->name) == 0 && a->env == b->env &&
           strcmp(a->client_id, b->client_id) == 0 && strcmp(a->gateway, b->gateway) == 0 &&
           a->response_max_age_ms == b->response_max_age_ms &&
           a->notification_max_age_ms == b->notification_max_age_ms && a->handle == b->handle &&
           a->version == b->version && a->key_version == b->key_version &&
           strcmp(a->keyring, b->keyring) == 0 && a->sign_err == b->sign_err &&
           strcmp(a->sign_why, b->sign_why) == 0;
}

static bool same_row(const struct ag_snap_row *a, const struct ag_snap_row *b)
{
    if (a->table != b->table || a->id != b->id || a->gone != b->gone)
        return false;
    if (a->gone)
        return true;
    switch (a->table) {
    case AG_SNAP_PROFILE:
        return same_profile(&a->u.profile, &b->u.profile);
    case AG_SNAP_ANTOM_KEY:
        return a->u.antom_key.profile_id == b->u.antom_key.profile_id &&
               a->u.antom_key.version == b->u.antom_key.version &&
               a->u.antom_key.state == b->u.antom_key.state &&
               a->u.antom_key.spki_len == b->u.antom_key.spki_len &&
               memcmp(a->u.antom_key.spki, b->u.antom_key.spki, a->u.antom_key.spki_len) == 0;
    case AG_SNAP_GRANT:
        return same_grant(&a->u.grant, &b->u.grant);
    case AG_SNAP_FENCE:
        return a->u.fence.profile_id == b->u.fence.profile_id &&
               strcmp(a->u.fence.path, b->u.fence.path) == 0;
    case AG_SNAP_MERCHANT:
        return a->u.merchant.profile_id == b->u.merchant.profile_id &&
               a->u.merchant.suspended == b->u.merchant.suspended &&
               strcmp(a->u.merchant.name, b->u.merchant.name) == 0 &&
               a->u.merchant.sealed_len == b->u.merchant.sealed_len &&
               memcmp(a->u.merchant.sealed, b->u.merchant.sealed, a->u.merchant.sealed_len) == 0;
    }
    return false;
}

static void test_round(void)
{
    for (size_t i = 0; i < ROW_COUNT(tables); i++) {
        struct ag_snap_row in = tables[i].make(), out;
        struct antag_fault fault = {0};

        ROW_ASSERT(tables[i].name, round_trip(&in, &out, &fault) == ANTAG_OK);
        ROW_ASSERT(tables[i].name, same_row(&in, &out));
        ag_snap_row_fini(&out);
        in.gone = true;
        ROW_ASSERT(tables[i].name, round_trip(&in, &out, &fault) == ANTAG_OK);
        ROW_ASSERT(tables[i].name, same_row(&in, &out));
        ag_snap_row_fini(&out);
    }
    ag_snap_row_fini(NULL);
}

/* An empty profile, a grant without globs: what is optional in the registry is empty here, not absent. */
static void test_smallest(void)
{
    struct ag_snap_row in = {.table = AG_SNAP_PROFILE, .id = 1}, out;

    strcpy(in.u.profile.name, "a/sandbox");
    in.u.profile.sign_err = ANTAG_ERR_KEY_STATE;
    strcpy(in.u.profile.sign_why, "suspended");
    CU_ASSERT_EQUAL(round_trip(&in, &out, NULL), ANTAG_OK);
    CU_ASSERT(same_row(&in, &out));
    in.u.profile.sign_err = ANTAG_OK; /* no handle and no reason: never taken for success */
    CU_ASSERT_EQUAL(round_trip(&in, &out, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(out.u.profile.sign_err, ANTAG_ERR_NO_ACTIVE_KEY);

    in = (struct ag_snap_row){.table = AG_SNAP_GRANT, .id = 1};
    in.u.grant.id = 1;
    in.u.grant.profile_id = 1;
    in.u.grant.who = AG_WHO_UID;
    in.u.grant.number = 1000;
    in.u.grant.ops = AG_OP_VERIFY;
    CU_ASSERT_EQUAL(round_trip(&in, &out, NULL), ANTAG_OK);
    CU_ASSERT(same_row(&in, &out));
    ag_snap_row_fini(&out);
}

/* ---- refusals */

static void test_changed(void)
{
    for (size_t i = 0; i < ROW_COUNT(tables); i++) {
        struct ag_snap_row in = tables[i].make(), out;
        struct antag_writer w;
        msgpack_unpacked u;
        msgpack_object o;

        antag_writer_init(&w, 65536);
        ag_snap_row_write(&w, &in);
        o = repack_read(&w, &u);
        for (size_t at = 0; at < o.via.map.size; at++) {
            for (int change = 0; change < REPACK_CHANGES; change++) {
                msgpack_object_kv pairs[REPACK_PAIRS];
                msgpack_object bad = repack_change(o, at, (enum repack_change)change, pairs);
                char name[128];

                snprintf(name, sizeof name, "%s, %.*s, change %d", tables[i].name,
                         (int)o.via.map.ptr[at].key.via.str.size, o.via.map.ptr[at].key.via.str.ptr,
                         change);
                ROW_ASSERT(name, ag_snap_row_parse(&bad, &out, NULL) == ANTAG_ERR_BAD_PARAM);
                ag_snap_row_fini(&out);
            }
        }
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
}

static const struct {
    const char *name;
    struct ag_snap_row (*make)(void);
    const char *key; /* gets the text, or the number when it is NULL */
    const char *text;
    uint64_t number;
} value_rows[] = {
    {"unknown table", fence_row, "table", "staff", 0},
    {"id 0", fence_row, "id", NULL, 0},
    {"id of 64 bits", fence_row, "id", NULL, UINT64_MAX},
    {"profile 0", fence_row, "profile_id", NULL, 0},
    {"empty path", fence_row, "path", "", 0},
    {"environment 2", profile_row, "env", NULL, 2},
    {"version of 33 bits", profile_row, "version", NULL, UINT64_C(1) << 32},
    {"age of 64 bits", profile_row, "response_max_age_ms", NULL, UINT64_MAX},
    {"error that is none", profile_row, "sign_err", NULL, 199},
    {"error over all", profile_row, "sign_err", NULL, 70000},
    {"no name", profile_row, "name", "", 0},
    {"keyring too long", profile_row, "keyring", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0},
    {"name not UTF-8", profile_row, "name", "\xff", 0},
    {"state over all", antom_key_row, "state", NULL, AG_ANTOM_KEY_STATE_COUNT},
    {"key without bytes", antom_key_row, "spki", "", 0},
    {"version 0", antom_key_row, "version", NULL, 0},
    {"who over all", grant_row, "who", NULL, 3},
    {"unit for a uid", grant_row, "who", NULL, AG_WHO_UID},
    {"no unit for a unit", grant_row, "unit", "", 0},
    {"operation over all", grant_row, "ops", NULL, 8},
    {"body over the limit", grant_row, "max_body", NULL, ANTAG_BODY_MAX + 1},
    {"rate over the limit", grant_row, "rate", NULL, ANTAG_RATE_MAX + 1},
    {"burst over the limit", grant_row, "burst", NULL, ANTAG_RATE_MAX + 1},
    {"a rate that lets nothing through", grant_row, "burst", NULL, 0},
    {"a burst without a rate", grant_row, "rate", NULL, 0},
};

static void test_values(void)
{
    for (size_t i = 0; i < ROW_COUNT(value_rows); i++) {
        struct ag_snap_row in = value_rows[i].make(), out;
        struct antag_fault fault = {0};
        bool found = false;
        struct antag_writer w;
        msgpack_unpacked u;
        msgpack_object o;

        antag_writer_init(&w, 65536);
        ag_snap_row_write(&w, &in);
        o = repack_read(&w, &u);
        for (size_t k = 0; k < o.via.map.size; k++) {
            msgpack_object_kv *pair = &o.via.map.ptr[k];

            if (!antag_slice_is((struct antag_slice){(const uint8_t *)pair->key.via.str.ptr,
                                                     pair->key.via.str.size},
                                value_rows[i].key))
                continue;
            found = true;
            if (value_rows[i].text != NULL) {
                pair->val.type = MSGPACK_OBJECT_STR;
                pair->val.via.str.ptr = value_rows[i].text;
                pair->val.via.str.size = (uint32_t)strlen(value_rows[i].text);
            } else {
                pair->val.type = MSGPACK_OBJECT_POSITIVE_INTEGER;
                pair->val.via.u64 = value_rows[i].number;
            }
        }
        ROW_ASSERT(value_rows[i].name, found);
        ROW_ASSERT(value_rows[i].name, ag_snap_row_parse(&o, &out, &fault) == ANTAG_ERR_BAD_PARAM);
        ag_snap_row_fini(&out);
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
}

static void test_shapes(void)
{
    static const msgpack_object_type types[] = {MSGPACK_OBJECT_NIL, MSGPACK_OBJECT_BOOLEAN,
                                                MSGPACK_OBJECT_POSITIVE_INTEGER};
    struct ag_snap_row in = fence_row(), out;
    struct antag_writer w;
    msgpack_unpacked u;
    msgpack_object o;

    for (size_t i = 0; i < ROW_COUNT(types); i++) {
        memset(&o, 0, sizeof o);
        o.type = types[i];
        CU_ASSERT_EQUAL(ag_snap_row_parse(&o, &out, NULL), ANTAG_ERR_BAD_PARAM);
        ag_snap_row_fini(&out);
    }
    /* a row that is gone carries nothing but its name */
    antag_writer_init(&w, 65536);
    ag_snap_row_write(&w, &in);
    o = repack_read(&w, &u);
    o.via.map.ptr[2].val.via.boolean = true;
    CU_ASSERT_EQUAL(ag_snap_row_parse(&o, &out, NULL), ANTAG_ERR_BAD_PARAM);
    ag_snap_row_fini(&out);
    msgpack_unpacked_destroy(&u);
    antag_writer_fini(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"read back", test_round},
        {"smallest rows", test_smallest},
        {"each key missing, nil, of another type, twice, renamed", test_changed},
        {"values out of form", test_values},
        {"shapes", test_shapes},
        CU_TEST_INFO_NULL,
    };

    return run_tests("snapshot_edge", tests);
}
