/* Who has to approve: what quorums can be set, who may approve what, and whose approvals count. */
#include <string.h>

#include "agent/core/quorum.h"
#include "tests/support/rows.h"

/* uid 1: officer; 2, 3, 4: approvers; 5: officer and approver; 6: approver without a verified mailbox; 7: viewer */
static const struct ag_quorum_person people[] = {
    {1, true, false, true},  {2, false, true, true}, {3, false, true, true},
    {4, false, true, true},  {5, true, true, true},  {6, false, true, false},
    {7, false, false, true}, {0, true, true, true},
};
static const struct ag_quorum_staff staff = {people, ROW_COUNT(people), false};
static const struct ag_quorum_staff with_root = {people, ROW_COUNT(people), true};

static void test_parse(void)
{
    static const struct {
        const char *text;
        uint32_t quorum; /* NONE: refused */
    } rows[] = {
        {"self", AG_QUORUM_SELF},
        {"1", 1},
        {"16", 16},
        {"0", AG_QUORUM_NONE},
        {"17", AG_QUORUM_NONE},
        {"", 0},
        {"-1", 0},
        {"+1", 0},
        {"1 ", 0},
        {"none", 0},
        {"Self", 0},
        {"007", 0},
        {"4294967295", 0},
        {"1.5", 0},
        {"zwei", 0},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        uint32_t q = AG_QUORUM_NONE;
        enum antag_err err = ag_quorum_parse(antag_slice_of(rows[i].text), &q, &fault);
        char back[AG_QUORUM_TEXT];

        ROW_ASSERT(rows[i].text,
                   err == (rows[i].quorum == AG_QUORUM_NONE ? ANTAG_ERR_BAD_PARAM : ANTAG_OK));
        ROW_ASSERT(rows[i].text, q == rows[i].quorum);
        ag_quorum_text(q, back);
        ROW_ASSERT(rows[i].text, err != ANTAG_OK || strcmp(back, rows[i].text) == 0);
    }
}

static void test_stricter(void)
{
    CU_ASSERT_EQUAL(ag_quorum_stricter(AG_QUORUM_NONE, AG_QUORUM_SELF), AG_QUORUM_SELF);
    CU_ASSERT_EQUAL(ag_quorum_stricter(1, AG_QUORUM_SELF), 1);
    CU_ASSERT_EQUAL(ag_quorum_stricter(AG_QUORUM_SELF, 2), 2);
    CU_ASSERT_EQUAL(ag_quorum_stricter(3, 2), 3);
    CU_ASSERT_EQUAL(ag_quorum_stricter(AG_QUORUM_NONE, AG_QUORUM_NONE), AG_QUORUM_NONE);
}

static void test_check(void)
{
    static const struct ag_quorum_person two[] = {{1, true, true, true}, {2, true, true, true}};
    static const struct ag_quorum_person apart[] = {{1, true, false, true}, {2, false, true, true}};
    static const struct ag_quorum_person root[] = {{0, true, true, true}, {2, false, true, true}};
    const struct {
        const char *name;
        uint32_t quorum;
        struct ag_quorum_staff s;
        bool ok;
    } rows[] = {
        {"not set", AG_QUORUM_NONE, staff, false},
        {"self", AG_QUORUM_SELF, staff, true},
        {"all but the one who may ask", 4, staff, true}, /* 2 3 4 5 6 */
        {"one more", 5, staff, false},
        {"root counts", 5, with_root, true}, /* 0 2 3 4 5 6 */
        {"root counts, one more", 6, with_root, false},
        {"two who are both", 1, {two, 2, false}, true},
        {"two who are both, both", 2, {two, 2, false}, false},
        {"an approver who cannot ask", 1, {apart, 2, false}, true},
        {"only root may ask", 1, {root, 2, false}, false},
        {"only root may ask, himself", AG_QUORUM_SELF, {root, 2, false}, false},
        {"only root may ask, and may", 1, {root, 2, true}, true},
        {"nobody", AG_QUORUM_SELF, {NULL, 0, false}, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};
        enum antag_err err = ag_quorum_check(rows[i].quorum, &rows[i].s, &fault);

        ROW_ASSERT(rows[i].name, err == (rows[i].ok ? ANTAG_OK : ANTAG_ERR_QUORUM));
    }
}

static void test_may_ask(void)
{
    CU_ASSERT_EQUAL(ag_quorum_may_ask(1, &staff, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_quorum_may_ask(5, &staff, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_quorum_may_ask(2, &staff, NULL), ANTAG_ERR_CHANGE_DENIED);
    CU_ASSERT_EQUAL(ag_quorum_may_ask(9, &staff, NULL), ANTAG_ERR_CHANGE_DENIED);
    CU_ASSERT_EQUAL(ag_quorum_may_ask(0, &staff, NULL), ANTAG_ERR_CHANGE_DENIED);
    CU_ASSERT_EQUAL(ag_quorum_may_ask(0, &with_root, NULL), ANTAG_OK);
}

static void test_may_approve(void)
{
    static const struct {
        const char *name;
        struct ag_quorum_case c;
        uint32_t uid;
        enum antag_err err;
    } rows[] = {
        {"an approver", {1, 1, false, 0}, 2, ANTAG_OK},
        {"another who may ask too", {1, 1, false, 0}, 5, ANTAG_OK},
        {"the requester", {1, 5, false, 0}, 5, ANTAG_ERR_CHANGE_DENIED},
        {"an officer", {1, 5, false, 0}, 1, ANTAG_ERR_CHANGE_DENIED},
        {"a viewer", {1, 1, false, 0}, 7, ANTAG_ERR_CHANGE_DENIED},
        {"a stranger", {1, 1, false, 0}, 99, ANTAG_ERR_CHANGE_DENIED},
        {"root", {1, 1, false, 0}, 0, ANTAG_ERR_CHANGE_DENIED},
        {"without a verified mailbox", {1, 1, false, 0}, 6, ANTAG_ERR_MAIL_SETUP},
        {"his own removal", {1, 1, true, 2}, 2, ANTAG_ERR_CHANGE_DENIED},
        {"the removal of another", {1, 1, true, 2}, 3, ANTAG_OK},
        {"self: the requester", {AG_QUORUM_SELF, 1, false, 0}, 1, ANTAG_OK},
        {"self: an approver", {AG_QUORUM_SELF, 1, false, 0}, 2, ANTAG_ERR_CHANGE_DENIED},
        {"self: his own removal", {AG_QUORUM_SELF, 1, true, 1}, 1, ANTAG_ERR_CHANGE_DENIED},
        {"no quorum", {AG_QUORUM_NONE, 1, false, 0}, 2, ANTAG_ERR_QUORUM},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_fault fault = {0};

        ROW_ASSERT(rows[i].name,
                   ag_quorum_may_approve(&rows[i].c, rows[i].uid, &staff, &fault) == rows[i].err);
        ROW_ASSERT(rows[i].name, rows[i].err == ANTAG_OK || fault.text[0] != '\0');
    }
}

static void test_count(void)
{
    static const uint32_t uids[] = {2, 2, 1, 6, 7, 99, 0, 3, 5};
    static const struct ag_quorum_case by_one = {2, 1, false, 0},
                                       none = {AG_QUORUM_NONE, 1, false, 0};
    static const struct ag_quorum_case self = {AG_QUORUM_SELF, 1, false, 0};
    static const struct ag_quorum_case damaged = {AG_QUORUM_MAX + 1, 1, false, 0};

    CU_ASSERT_EQUAL(ag_quorum_count(&by_one, uids, ROW_COUNT(uids), &staff), 3); /* 2 3 5 */
    CU_ASSERT_EQUAL(ag_quorum_count(&by_one, uids, 2, &staff), 1);
    CU_ASSERT_EQUAL(ag_quorum_count(&by_one, NULL, 0, &staff), 0);
    CU_ASSERT_EQUAL(ag_quorum_count(&self, uids, ROW_COUNT(uids), &staff), 1);
    CU_ASSERT_EQUAL(ag_quorum_count(&none, uids, ROW_COUNT(uids), &staff), 0);
    CU_ASSERT_EQUAL(ag_quorum_needed(&by_one), 2);
    CU_ASSERT_EQUAL(ag_quorum_needed(&self), 1);
    CU_ASSERT_EQUAL(ag_quorum_needed(&none), 1); /* and nobody can give it */
    CU_ASSERT_TRUE(ag_quorum_needed(&damaged) >= 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"parse", test_parse},     {"stricter", test_stricter},       {"check", test_check},
        {"may ask", test_may_ask}, {"may approve", test_may_approve}, {"count", test_count},
        CU_TEST_INFO_NULL,
    };

    return run_tests("quorum", tests);
}
