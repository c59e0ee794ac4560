/* Grants: whom they name and what they cover; everything else is refused. */
#include <string.h>

#include "agent/core/grant.h"
#include "tests/support/rows.h"

/* ---- whom */

static void test_names(void)
{
    static const struct {
        const char *name;
        enum ag_who who;
        uint32_t number;
        const char *unit;
        struct ag_caller caller;
        bool names;
    } rows[] = {
        {"uid", AG_WHO_UID, 1000, "", {.uid = 1000}, true},
        {"root", AG_WHO_UID, 0, "", {.uid = 0}, true},
        {"gid", AG_WHO_GID, 100, "", {.uid = 1000, .gid = 100}, true},
        {"supplementary group",
         AG_WHO_GID,
         100,
         "",
         {.uid = 1000, .gid = 5, .group_count = 3, .groups = {7, 8, 100}},
         true},
        {"unit", AG_WHO_UNIT, 0, "shop.service", {.uid = 1000, .unit = "shop.service"}, true},

        {"another uid", AG_WHO_UID, 1000, "", {.uid = 1001}, false},
        {"uid equal to the gid", AG_WHO_UID, 100, "", {.uid = 1000, .gid = 100}, false},
        {"root is not everybody", AG_WHO_UID, 1000, "", {.uid = 0}, false},
        {"another gid", AG_WHO_GID, 100, "", {.uid = 1000, .gid = 101}, false},
        {"gid equal to the uid", AG_WHO_GID, 1000, "", {.uid = 1000, .gid = 100}, false},
        {"a group behind the count",
         AG_WHO_GID,
         100,
         "",
         {.uid = 1000, .gid = 5, .group_count = 2, .groups = {7, 8, 100}},
         false},
        {"group 0 of unused places", AG_WHO_GID, 0, "", {.uid = 1000, .gid = 5}, false},
        {"another unit",
         AG_WHO_UNIT,
         0,
         "shop.service",
         {.uid = 1000, .unit = "shop2.service"},
         false},
        {"cut unit", AG_WHO_UNIT, 0, "shop.service", {.uid = 1000, .unit = "shop.servic"}, false},
        {"no unit", AG_WHO_UNIT, 0, "shop.service", {.uid = 1000}, false},
        {"empty unit granted", AG_WHO_UNIT, 0, "", {.uid = 1000}, false},
        {"unit for a uid",
         AG_WHO_UID,
         1000,
         "shop.service",
         {.uid = 1, .unit = "shop.service"},
         false},
        {"stranger by uid", AG_WHO_UID, AG_UID_STRANGER, "", {.uid = AG_UID_STRANGER}, false},
        {"stranger by gid", AG_WHO_GID, 100, "", {.uid = AG_UID_STRANGER, .gid = 100}, false},
        {"stranger by unit",
         AG_WHO_UNIT,
         0,
         "shop.service",
         {.uid = AG_UID_STRANGER, .unit = "shop.service"},
         false},
        {"strange gid", AG_WHO_GID, 65534, "", {.uid = 1000, .gid = 65534}, false},
        {"strange supplementary group",
         AG_WHO_GID,
         65534,
         "",
         {.uid = 1000, .group_count = 1, .groups = {65534}},
         false},
        {"no uid at all", AG_WHO_UID, UINT32_MAX, "", {.uid = (uid_t)-1}, false},
        {"no gid at all", AG_WHO_GID, UINT32_MAX, "", {.uid = 1, .gid = (gid_t)-1}, false},
        {"unknown kind of grant", (enum ag_who)9, 1000, "", {.uid = 1000}, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_grant g = {.who = rows[i].who, .number = rows[i].number};

        snprintf(g.unit, sizeof g.unit, "%s", rows[i].unit);
        ROW_ASSERT(rows[i].name, ag_grant_names(&g, &rows[i].caller) == rows[i].names);
    }
}

static void test_many_groups(void)
{
    struct ag_grant g = {.who = AG_WHO_GID, .number = 200};
    struct ag_caller c = {.uid = 1, .gid = 1, .group_count = AG_GID_COUNT_MAX + 100};

    CU_ASSERT_FALSE(ag_grant_names(&g, &c)); /* the count is bounded by the room */
    c.groups[AG_GID_COUNT_MAX - 1] = 200;
    CU_ASSERT(ag_grant_names(&g, &c));
}

/* ---- what */

#define ALL  (AG_OP_SIGN | AG_OP_VERIFY | AG_OP_EXPLAIN)
#define PAY  "/ams/api/v1/payments/pay"
#define SPAY "/ams/sandbox/api/v1/payments/pay"

static const struct {
    const char *name;
    unsigned ops;
    bool query;
    uint64_t max_body;
    const char *methods[2], *paths[2];
    enum ag_op op;
    const char *method, *uri;
    size_t body_len;
    bool permits;
} permit_rows[] = {
    {"no limits", ALL, false, 0, {0}, {0}, AG_OP_SIGN, "POST", PAY, 1048576, true},
    {"verify", AG_OP_VERIFY, false, 0, {0}, {0}, AG_OP_VERIFY, "POST", "/notify", 9, true},
    {"explain", AG_OP_EXPLAIN, false, 0, {0}, {0}, AG_OP_EXPLAIN, "POST", PAY, 9, true},
    {"path", ALL, false, 0, {0}, {PAY}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"second path", ALL, false, 0, {0}, {"/x", PAY}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"glob", ALL, false, 0, {0}, {"/ams/api/v1/payments/*"}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"glob across", ALL, false, 0, {0}, {"/ams/**"}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"sandbox path, live glob", ALL, false, 0, {0}, {PAY}, AG_OP_SIGN, "POST", SPAY, 9, true},
    {"bare sandbox path",
     ALL,
     false,
     0,
     {0},
     {"/ams/api"},
     AG_OP_SIGN,
     "POST",
     "/ams/sandbox/api",
     9,
     true},
    {"method", ALL, false, 0, {"POST"}, {0}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"method glob", ALL, false, 0, {"P*"}, {0}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"query", ALL, true, 0, {0}, {PAY}, AG_OP_SIGN, "POST", PAY "?a=1", 9, true},
    {"query of a verify", ALL, false, 0, {0}, {PAY}, AG_OP_VERIFY, "POST", PAY "?a=1", 9, true},
    {"largest body", ALL, false, 9, {0}, {0}, AG_OP_SIGN, "POST", PAY, 9, true},
    {"empty body", ALL, false, 9, {0}, {0}, AG_OP_SIGN, "POST", PAY, 0, true},

    {"no operation", 0, true, 0, {0}, {0}, AG_OP_SIGN, "POST", PAY, 9, false},
    {"verify only", AG_OP_VERIFY, true, 0, {0}, {0}, AG_OP_SIGN, "POST", PAY, 9, false},
    {"sign only", AG_OP_SIGN, true, 0, {0}, {0}, AG_OP_VERIFY, "POST", PAY, 9, false},
    {"explain needs its own",
     AG_OP_SIGN | AG_OP_VERIFY,
     true,
     0,
     {0},
     {0},
     AG_OP_EXPLAIN,
     "POST",
     PAY,
     9,
     false},
    {"nothing asked for", ALL, true, 0, {0}, {0}, (enum ag_op)0, "POST", PAY, 9, false},
    {"two asked, one granted",
     AG_OP_SIGN,
     true,
     0,
     {0},
     {0},
     (enum ag_op)(AG_OP_SIGN | AG_OP_VERIFY),
     "POST",
     PAY,
     9,
     false},
    {"another path",
     ALL,
     false,
     0,
     {0},
     {PAY},
     AG_OP_SIGN,
     "POST",
     "/ams/api/v1/payments/refund",
     9,
     false},
    {"longer path", ALL, false, 0, {0}, {PAY}, AG_OP_SIGN, "POST", PAY "/x", 9, false},
    {"star stays inside", ALL, false, 0, {0}, {"/ams/api/v1/*"}, AG_OP_SIGN, "POST", PAY, 9, false},
    {"path of a verify", ALL, false, 0, {0}, {PAY}, AG_OP_VERIFY, "POST", "/notify", 9, false},
    {"glob of a sandbox path", ALL, false, 0, {0}, {SPAY}, AG_OP_SIGN, "POST", PAY, 9, false},
    {"sandbox elsewhere", ALL, false, 0, {0}, {"/x" PAY}, AG_OP_SIGN, "POST", "/x" SPAY, 9, false},
    {"sandbox segment cut",
     ALL,
     false,
     0,
     {0},
     {"/ams/apis"},
     AG_OP_SIGN,
     "POST",
     "/ams/sandbox/apis",
     9,
     false},
    {"another method", ALL, false, 0, {"GET", "PUT"}, {0}, AG_OP_SIGN, "POST", PAY, 9, false},
    {"method in small letters", ALL, false, 0, {"POST"}, {0}, AG_OP_SIGN, "post", PAY, 9, false},
    {"query not granted", ALL, false, 0, {0}, {0}, AG_OP_SIGN, "POST", PAY "?a=1", 9, false},
    {"empty query not granted", ALL, false, 0, {0}, {0}, AG_OP_SIGN, "POST", PAY "?", 9, false},
    {"path behind a ?", ALL, true, 0, {0}, {PAY}, AG_OP_SIGN, "POST", "/x?" PAY, 9, false},
    {"body too large", ALL, false, 9, {0}, {0}, AG_OP_SIGN, "POST", PAY, 10, false},
    {"body too large to verify", ALL, false, 9, {0}, {0}, AG_OP_VERIFY, "POST", PAY, 10, false},
};

static size_t globs_copy(const char *const from[2], char *to[2])
{
    size_t count = 0;

    for (; count < 2 && from[count] != NULL; count++)
        to[count] = (char *)(uintptr_t)from[count]; /* the grant only reads them */
    return count;
}

static void test_permits(void)
{
    static const struct ag_caller caller = {.uid = 1000}, other = {.uid = 1001};

    for (size_t i = 0; i < ROW_COUNT(permit_rows); i++) {
        char *methods[2], *paths[2];
        struct ag_grant g = {.who = AG_WHO_UID,
                             .number = 1000,
                             .ops = permit_rows[i].ops,
                             .query = permit_rows[i].query,
                             .max_body = permit_rows[i].max_body,
                             .methods = methods,
                             .paths = paths};
        struct antag_slice method = antag_slice_of(permit_rows[i].method);
        struct antag_slice uri = antag_slice_of(permit_rows[i].uri);

        g.method_count = globs_copy(permit_rows[i].methods, methods);
        g.path_count = globs_copy(permit_rows[i].paths, paths);
        ROW_ASSERT(permit_rows[i].name,
                   ag_grant_permits(&g, &caller, permit_rows[i].op, method, uri,
                                    permit_rows[i].body_len) == permit_rows[i].permits);
        ROW_ASSERT(permit_rows[i].name, !ag_grant_permits(&g, &other, permit_rows[i].op, method,
                                                          uri, permit_rows[i].body_len));
    }
}

/* A sandbox path longer than any URI is denied, not cut. */
static void test_long_path(void)
{
    static char uri[ANTAG_URI_MAX + 64] = SPAY;
    static char glob[] = "/ams/**";
    char *paths[] = {glob};
    struct ag_grant g = {
        .who = AG_WHO_UID, .number = 1, .ops = ALL, .path_count = 1, .paths = paths};
    struct ag_caller c = {.uid = 1};
    struct antag_slice s = {(const uint8_t *)uri, ANTAG_URI_MAX + 16};

    memset(uri + sizeof SPAY - 1, 'a', sizeof uri - sizeof SPAY);
    CU_ASSERT(ag_grant_permits(&g, &c, AG_OP_SIGN, antag_slice_of("POST"), s, 0));
    s.len++;
    CU_ASSERT_FALSE(ag_grant_permits(&g, &c, AG_OP_SIGN, antag_slice_of("POST"), s, 0));
}

static void test_ops(void)
{
    static const enum ag_op ops[] = {AG_OP_SIGN, AG_OP_VERIFY, AG_OP_EXPLAIN};
    static const char *const bad[] = {"", "Sign", "sign ", "sig", "signs", "all", "sign,verify"};
    struct antag_fault fault;

    for (size_t i = 0; i < ROW_COUNT(ops); i++) {
        const char *name = ag_op_name(ops[i]);
        enum ag_op back = (enum ag_op)0;

        ROW_ASSERT(name, ag_op_parse(antag_slice_of(name), &back, NULL) == ANTAG_OK);
        ROW_ASSERT(name, back == ops[i]);
    }
    for (size_t i = 0; i < ROW_COUNT(bad); i++) {
        enum ag_op out = AG_OP_SIGN;

        ROW_ASSERT(bad[i],
                   ag_op_parse(antag_slice_of(bad[i]), &out, &fault) == ANTAG_ERR_BAD_PARAM);
        ROW_ASSERT(bad[i], strstr(fault.text, "sign, verify, explain") != NULL);
    }
    CU_ASSERT_STRING_EQUAL(ag_op_name((enum ag_op)3), "unknown");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"whom", test_names},          {"many groups", test_many_groups}, {"what", test_permits},
        {"long path", test_long_path}, {"operations", test_ops},          CU_TEST_INFO_NULL,
    };

    return run_tests("grant", tests);
}
