/* Turns: the order in which callers' work is taken. */
#include <string.h>

#include "agent/lib/turns.h"
#include "tests/support/rows.h"

#define ITEMS 64

static struct ag_turns turns;
static struct ag_turn_item items[ITEMS];
static size_t used;

static void begin(void)
{
    ag_turns_init(&turns);
    used = 0;
}

/* Letters: a caller each; its pieces of work are numbered from 1 on. */
static void add(const char *callers)
{
    for (const char *p = callers; *p != '\0'; p++) {
        items[used].uid = (uint32_t)*p;
        items[used].turn = NULL;
        CU_ASSERT_FATAL(ag_turns_add(&turns, &items[used++]));
    }
}

static void takes(const char *callers)
{
    struct ag_turn_item *last[128] = {NULL}, *next, *item;

    for (const char *p = callers; *p != '\0'; p++) {
        next = ag_turns_next(&turns);
        item = ag_turns_take(&turns);
        CU_ASSERT_PTR_EQUAL(item, next);
        CU_ASSERT_PTR_NOT_NULL_FATAL(item);
        if (item->uid != (uint32_t)*p)
            fprintf(stderr, "expected %s, got %c at %td\n", callers, (char)item->uid, p - callers);
        CU_ASSERT_EQUAL(item->uid, (uint32_t)*p);
        CU_ASSERT(item > last[item->uid]); /* its own in order */
        last[item->uid] = item;
    }
}

static void end(void)
{
    CU_ASSERT_PTR_NULL(ag_turns_take(&turns));
    ag_turns_fini(&turns);
}

static void test_orders(void)
{
    static const struct {
        const char *name, *add, *takes, *add_then, *takes_then;
    } rows[] = {
        {"nothing", "", "", "", ""},
        {"one caller", "aaa", "aaa", "", ""},
        {"two in turn", "aaabbb", "ababab", "", ""},
        {"ten to one", "aaaaaaaaaab", "abaaaaaaaaa", "", ""},
        {"new ones in the order in which they came", "aabbcc", "abcabc", "", ""},
        {"a new one is next", "aaaa", "a", "b", "baaa"},
        {"new ones are next, each once", "aaaa", "a", "bbcc", "bcabcaa"},
        {"one that comes again keeps its place", "aaaaccb", "acb", "b", "acbaa"},
        {"and is new again after a round", "aaaaaab", "abaa", "b", "baaa"},
        {"when all have gone it begins anew", "ab", "ab", "ba", "ab"},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        begin();
        add(rows[i].add);
        takes(rows[i].takes);
        add(rows[i].add_then);
        takes(rows[i].takes_then);
        end();
    }
}

/* One that always has one piece of work waiting gets no more than those that have many. */
static void test_comes_and_goes(void)
{
    unsigned a = 0, b = 0;

    begin();
    add("aaaaaaaaaaaaaaaaaaaab");
    for (int i = 0; i < 20; i++) {
        struct ag_turn_item *item = ag_turns_take(&turns);

        CU_ASSERT_PTR_NOT_NULL_FATAL(item);
        a += item->uid == 'a';
        b += item->uid == 'b';
        if (item->uid == 'b')
            add("b");
    }
    CU_ASSERT(a == 10 && b == 10);
    while (ag_turns_take(&turns))
        continue;
    end();
}

static void test_put_back(void)
{
    struct ag_turn_item *taken[4];

    begin();
    add("aaab");
    for (int i = 0; i < 4; i++)
        taken[i] = ag_turns_take(&turns);
    for (int i = 4; i > 0; i--)
        ag_turns_put_back(&turns, taken[i - 1]);
    takes("abaa");
    end();
}

static void test_remove(void)
{
    begin();
    add("abab");
    CU_ASSERT_TRUE(ag_turns_has(&turns, 'b'));
    ag_turns_remove(&turns, &items[1]);
    ag_turns_remove(&turns, &items[3]);
    ag_turns_remove(&turns, &items[3]); /* it is not there */
    CU_ASSERT_FALSE(ag_turns_has(&turns, 'b'));
    CU_ASSERT_FALSE(ag_turns_has(&turns, 'c'));
    takes("aa");
    end();
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"orders", test_orders},     {"comes and goes", test_comes_and_goes},
        {"put back", test_put_back}, {"remove", test_remove},
        CU_TEST_INFO_NULL,
    };

    return run_tests("turns", tests);
}
