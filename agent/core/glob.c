/* glob: patterns of grants and fence exceptions. */
#include <string.h>

#include "agent/core/antom_internal.h"
#include "agent/core/grant.h"

/* one thing a pattern is made of */
struct token {
    enum { EXACT, IN_SEGMENT, ACROSS } kind;
    uint8_t byte; /* EXACT */
};

/* The pattern as tokens; its length is a bound of their number. "***" reads as "**". */
static size_t tokens_of(struct antag_slice pattern, struct token out[ANTAG_GLOB_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < pattern.len;) {
        size_t stars = 0;

        while (i < pattern.len && pattern.p[i] == '*') {
            stars++;
            i++;
        }
        if (stars == 0)
            out[count++] = (struct token){EXACT, pattern.p[i++]};
        else
            out[count++] = (struct token){stars == 1 ? IN_SEGMENT : ACROSS, 0};
    }
    return count;
}

/* What `reach` says after the next byte: reach[j] tells whether the first j tokens match all of the text
 * so far. Each byte passes each token once, whatever the pattern: there is nothing to go back to. */
static bool advance(const struct token *tokens, size_t count, bool *reach, uint8_t c)
{
    bool before = reach[0]; /* reach[j - 1] as it was before this byte */
    bool any = false;

    reach[0] = false;
    for (size_t j = 1; j <= count; j++) {
        const struct token *t = &tokens[j - 1];
        bool was = reach[j];

        if (t->kind == EXACT)
            reach[j] = before && t->byte == c;
        else /* the star takes this byte too, or takes none */
            reach[j] = (was && (t->kind == ACROSS || c != '/')) || reach[j - 1];
        before = was;
        any = any || reach[j];
    }
    return any;
}

bool ag_glob_match(struct antag_slice pattern, struct antag_slice text)
{
    struct token tokens[ANTAG_GLOB_MAX];
    bool reach[ANTAG_GLOB_MAX + 1];
    size_t count, i = 0;

    if (pattern.len > ANTAG_GLOB_MAX)
        return false;
    /* most patterns begin with plain text, and most texts differ there already */
    while (i < pattern.len && pattern.p[i] != '*') {
        if (i >= text.len || pattern.p[i] != text.p[i])
            return false;
        i++;
    }
    if (i == pattern.len)
        return i == text.len;
    count = tokens_of(ag_slice_from(pattern, i), tokens);
    reach[0] = true;
    for (size_t j = 1; j <= count; j++)
        reach[j] = reach[j - 1] && tokens[j - 1].kind != EXACT;
    for (; i < text.len; i++)
        if (!advance(tokens, count, reach, text.p[i]))
            return false;
    return reach[count];
}

static bool is_path_glob_byte(uint8_t c)
{
    return ag_is_visible(c) && c != '?' && c != '#';
}

static bool is_method_glob_byte(uint8_t c)
{
    return ag_is_upper(c) || c == '*';
}

enum antag_err ag_glob_check_path(struct antag_slice s, const char *field, struct antag_fault *f)
{
    static const struct ag_form form = {"a path glob: '/', then visible ASCII without '?' and '#', "
                                        "where * stays inside one segment "
                                        "and ** crosses",
                                        '/', is_path_glob_byte, ANTAG_GLOB_MAX};
    enum antag_err err = ag_form_check(&form, s, field, f);

    if (err == ANTAG_OK && memmem(s.p, s.len, "***", 3) != NULL)
        return antag_fault_set(
            f, ANTAG_ERR_BAD_PARAM, field,
            "it has three stars in a row; * stays inside one segment, ** crosses");
    return err;
}

enum antag_err ag_glob_check_method(struct antag_slice s, const char *field, struct antag_fault *f)
{
    static const struct ag_form form = {"a method glob: letters A to Z and *", 0,
                                        is_method_glob_byte, ANTAG_METHOD_MAX};

    return ag_form_check(&form, s, field, f);
}
