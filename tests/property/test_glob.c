/* Globs against a matcher so simple that it can be checked by eye, on random patterns and texts of few
 * letters, where stars overlap in every way. */
#include <string.h>

#include "agent/core/grant.h"
#include "tests/support/dice.h"
#include "tests/support/rows.h"

#define ROUNDS 200000

/* The definition: a star takes nothing, or one byte and goes on. Exponential; for short texts only. */
static bool reference(const char *p, const char *t)
{
    if (p[0] == '\0')
        return t[0] == '\0';
    if (p[0] == '*' && p[1] == '*')
        return reference(p + 2, t) || (t[0] != '\0' && reference(p, t + 1));
    if (p[0] == '*')
        return reference(p + 1, t) || (t[0] != '\0' && t[0] != '/' && reference(p, t + 1));
    return p[0] == t[0] && reference(p + 1, t + 1);
}

static void random_text(char *out, size_t max, const char *letters)
{
    size_t len = dice_below(max + 1), kinds = strlen(letters);

    for (size_t i = 0; i < len; i++)
        out[i] = letters[dice_below(kinds)];
    out[len] = '\0';
}

/* A pattern made from the text, so that matches are not rare: pieces of it replaced by stars. */
static void pattern_from(const char *text, char *out, size_t size)
{
    size_t at = 0;

    while (*text != '\0' && at + 3 < size) {
        size_t skip = dice_below(4);

        if (dice_below(3) != 0) {
            out[at++] = *text++;
            continue;
        }
        out[at++] = '*';
        if (dice_below(2) == 0)
            out[at++] = '*';
        while (skip-- > 0 && *text != '\0')
            text++;
    }
    out[at] = '\0';
}

static void test_like_reference(void)
{
    size_t matched = 0;

    for (int i = 0; i < ROUNDS; i++) {
        char pattern[24], text[16];
        bool want;

        random_text(text, 12, "/ab");
        if (dice_below(2) == 0)
            random_text(pattern, 10, "/ab**");
        else
            pattern_from(text, pattern, sizeof pattern);
        if (strstr(pattern, "***") != NULL)
            continue; /* is not stored; its halves could be read in two ways */
        want = reference(pattern, text);
        matched += want;
        if (ag_glob_match(antag_slice_of(pattern), antag_slice_of(text)) != want) {
            char name[96];

            snprintf(name, sizeof name, "\"%s\" on \"%s\"", pattern, text);
            ROW_ASSERT(name, false);
        }
    }
    CU_ASSERT(matched > ROUNDS / 20); /* both answers were met */
    CU_ASSERT(matched < ROUNDS * 19 / 20);
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"like the reference", test_like_reference},
        CU_TEST_INFO_NULL,
    };

    dice_seed(argc, argv);
    return run_tests("glob", tests);
}
