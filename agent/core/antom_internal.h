/* antom_internal: what the files of antom and grant share, and their tests see besides. */
#ifndef AG_CORE_ANTOM_INTERNAL_H
#define AG_CORE_ANTOM_INTERNAL_H

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

/* Bytes by their ASCII class. The library's isupper() and the like ask the locale; the forms must not
 * depend on one. */
static inline bool ag_is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}
static inline bool ag_is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}
static inline uint8_t ag_lower(uint8_t c)
{
    return ag_is_upper(c) ? (uint8_t)(c + ('a' - 'A')) : c;
}
static inline bool ag_is_alnum(uint8_t c)
{
    return ag_is_digit(c) || (ag_lower(c) >= 'a' && ag_lower(c) <= 'z');
}
static inline bool ag_is_visible(uint8_t c)
{
    return c >= 0x21 && c <= 0x7E;
}
/* Value of a hexadecimal digit in either case, or -1. */
static inline int ag_hex_value(uint8_t c)
{
    if (ag_is_digit(c))
        return c - '0';
    c = ag_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline struct antag_slice ag_slice_from(struct antag_slice s, size_t at)
{
    return at >= s.len ? (struct antag_slice){NULL, 0} : (struct antag_slice){s.p + at, s.len - at};
}

/* ASCII text without regard to case. */
bool ag_slice_is_nocase(struct antag_slice s, const char *text);
bool ag_slice_equal_nocase(struct antag_slice a, struct antag_slice b);

/* A form: 1..max bytes of one class, the first of them perhaps fixed. */
struct ag_form {
    const char *allowed; /* in words, for the refusal */
    uint8_t first;       /* 0: any of the class */
    bool (*fits)(uint8_t c);
    size_t max;
};
/* errors: BAD_PARAM with `field`, the byte that is wrong and what is allowed. */
ANTAG_MUST_CHECK enum antag_err ag_form_check(const struct ag_form *form, struct antag_slice s,
                                              const char *field, struct antag_fault *f);

/* Foreign bytes in the text of a fault: cut to what fits, anything but printable ASCII as \xNN. */
struct ag_shown {
    char text[52];
};
const char *ag_show(struct antag_slice s, struct ag_shown *out);

/* Does the path start with /ams/sandbox/api, as a whole number of segments? */
bool ag_antom_path_is_sandbox(struct antag_slice path);

#define AG_SANDBOX_API "/ams/sandbox/api"
#define AG_LIVE_API    "/ams/api"

#endif
