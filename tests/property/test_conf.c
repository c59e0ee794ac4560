/* agent.conf: any settings within the limits, written in any of the ways that are taken, are read back;
 * one value just outside is refused on its line; and random damage is refused by line or taken, no more. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/conf.h"
#include "tests/support/dice.h"
#include "tests/support/rows.h"

#define ROUNDS    2000
#define TEXT_SIZE 8192

struct setting {
    const char *section, *key, *words;
    int64_t min, max;
    size_t offset;
};
#define AG_ROW(section, key, type, def, min, max, words, doc)                                      \
    {#section, #key, words, min, max, offsetof(struct ag_conf, section##_##key)},
static const struct setting settings[] = {AG_CONF_KEYS(AG_ROW)};
#undef AG_ROW
#define SETTINGS ROW_COUNT(settings)

struct text {
    size_t len;
    int lines;
    char bytes[TEXT_SIZE];
};

ANTAG_PRINTF(2, 3)
static void add(struct text *t, const char *fmt, ...)
{
    va_list args;
    size_t before = t->len;

    va_start(args, fmt);
    t->len += (size_t)vsnprintf(t->bytes + t->len, TEXT_SIZE - t->len, fmt, args);
    va_end(args);
    CU_ASSERT_FATAL(t->len < TEXT_SIZE);
    for (size_t i = before; i < t->len; i++)
        t->lines += t->bytes[i] == '\n';
}

static const char *pick(const char *const *of, size_t count)
{
    return of[dice_below(count)];
}

static void add_value(struct text *t, const struct setting *s, int64_t v)
{
    const char *word = s->words;

    if (word[0] == '\0') {
        add(t, "%" PRId64, v);
        return;
    }
    for (int64_t i = 0; i < v; i++)
        word += strcspn(word, "|") + 1;
    add(t, "%.*s", (int)strcspn(word, "|"), word);
}

static void add_setting(struct text *t, const struct setting *s, int64_t v)
{
    static const char *const indents[] = {"", "", " ", "\t", "    "};
    static const char *const equals[] = {"=", " = ", " =", "= ", ": "};
    static const char *const ends[] = {"\n",        "\n",         "\r\n", " \n",
                                       " ; note\n", "\n# note\n", "\n\n"};

    add(t, "[%s]%s", s->section, pick(ends, ROW_COUNT(ends)));
    add(t, "%s%s%s", pick(indents, ROW_COUNT(indents)), s->key, pick(equals, ROW_COUNT(equals)));
    add_value(t, s, v);
    add(t, "%s", pick(ends, ROW_COUNT(ends)));
}

static int64_t *at(struct ag_conf *c, const struct setting *s)
{
    return (int64_t *)(void *)((char *)c + s->offset);
}

/* Some settings, each once, in any order. */
static void fill(struct text *t, struct ag_conf *want, bool used[SETTINGS])
{
    ag_conf_default(want);
    memset(used, 0, SETTINGS * sizeof *used);
    t->len = 0;
    t->lines = 0;
    t->bytes[0] = '\0';
    for (size_t n = dice_below(SETTINGS + 1); n > 0; n--) {
        size_t i = dice_below(SETTINGS);
        const struct setting *s = &settings[i];

        if (used[i])
            continue;
        used[i] = true;
        *at(want, s) = dice_below(4) == 0
                           ? (dice_below(2) == 0 ? s->min : s->max)
                           : s->min + (int64_t)(dice() % (uint64_t)(s->max - s->min + 1));
        add_setting(t, s, *at(want, s));
    }
}

static void test_round_trip(void)
{
    static struct text t;

    for (size_t round = 0; round < ROUNDS; round++) {
        struct antag_fault fault = {0};
        struct ag_conf want, got;
        bool used[SETTINGS];

        fill(&t, &want, used);
        CU_ASSERT_EQUAL_FATAL(ag_conf_parse(&got, "f", t.bytes, &fault), ANTAG_OK);
        for (size_t i = 0; i < SETTINGS; i++)
            ROW_ASSERT(settings[i].key, *at(&got, &settings[i]) == *at(&want, &settings[i]));
    }
}

/* A value outside, or a key set again, anywhere: refused, and on that very line. */
static void test_one_fault(void)
{
    static struct text t;

    for (size_t round = 0; round < ROUNDS; round++) {
        size_t i = dice_below(SETTINGS);
        const struct setting *s = &settings[i];
        struct antag_fault fault = {0};
        struct ag_conf want, got;
        bool used[SETTINGS];
        char where[32];

        fill(&t, &want, used);
        add(&t, "[%s]\n%s = ", s->section, s->key);
        if (used[i])
            add_value(&t, s, *at(&want, s));
        else if (s->words[0] != '\0')
            add(&t, "nonsense");
        else if (s->min > 0 && dice_below(2) == 0)
            add(&t, "%" PRId64, s->min - 1);
        else
            add(&t, "%" PRId64, s->max + 1);
        snprintf(where, sizeof where, "f:%d: %s ", t.lines + 1, s->key);
        add(&t, "\n[log]\n");
        ROW_ASSERT(s->key, ag_conf_parse(&got, "f", t.bytes, &fault) == ANTAG_ERR_CONF);
        ROW_ASSERT(s->key, strncmp(fault.text, where, strlen(where)) == 0);
    }
}

static void test_damage(void)
{
    static struct text t;

    for (size_t round = 0; round < ROUNDS; round++) {
        struct antag_fault fault = {0};
        struct ag_conf want, got;
        bool used[SETTINGS];
        enum antag_err err;

        fill(&t, &want, used);
        for (size_t n = 1 + dice_below(4); n > 0 && t.len > 0; n--)
            t.bytes[dice_below(t.len)] = (char)(1 + dice_below(255));
        err = ag_conf_parse(&got, "f", t.bytes, &fault);
        if (err == ANTAG_OK) {
            for (size_t i = 0; i < SETTINGS; i++)
                ROW_ASSERT(settings[i].key, *at(&got, &settings[i]) >= settings[i].min &&
                                                *at(&got, &settings[i]) <= settings[i].max);
        } else {
            CU_ASSERT_EQUAL(err, ANTAG_ERR_CONF);
            CU_ASSERT(strncmp(fault.text, "f:", 2) == 0);
        }
    }
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"settings are read back", test_round_trip},
        {"one fault is found on its line", test_one_fault},
        {"damage", test_damage},
        CU_TEST_INFO_NULL,
    };

    dice_seed(argc, argv);
    return run_tests("conf", tests);
}
