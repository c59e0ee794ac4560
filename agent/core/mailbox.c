#include "agent/core/mailbox.h"

#include <string.h>
#include <strings.h>

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_local(uint8_t c)
{
    return is_letter_or_digit(c) || memchr("!#$%&'*+-/=?^_`{|}~", c, 19) != NULL;
}

static bool is_domain(uint8_t c)
{
    return is_letter_or_digit(c) || c == '-';
}

/* Parts of bytes that `fits`, joined by single dots. */
static bool is_dotted(struct antag_slice s, bool (*fits)(uint8_t c))
{
    bool open = false; /* the part has a byte */

    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '.' ? !open : !fits(s.p[i]))
            return false;
        open = s.p[i] != '.';
    }
    return open;
}

/* No label begins or ends with a hyphen or is longer than 63, and there are two at least. */
static bool is_host(struct antag_slice s)
{
    size_t label = 0, labels = 1;

    if (!is_dotted(s, is_domain))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        bool ends = i + 1 == s.len || s.p[i + 1] == '.';

        if (s.p[i] == '.') {
            label = 0;
            labels++;
            continue;
        }
        if ((label == 0 || ends) && s.p[i] == '-')
            return false;
        if (++label > 63)
            return false;
    }
    return labels >= 2;
}

enum antag_err ag_mailbox_check(struct antag_slice s, const char *field, struct antag_fault *f)
{
    const uint8_t *at = s.len > 0 ? memchr(s.p, '@', s.len) : NULL;
    struct antag_slice local, host;

    if (s.len > AG_MAILBOX_MAX)
        return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, field, "has %zu bytes, at most %d", s.len,
                               AG_MAILBOX_MAX);
    if (at != NULL) {
        local = (struct antag_slice){s.p, (size_t)(at - s.p)};
        host = (struct antag_slice){at + 1, s.len - local.len - 1};
        if (local.len <= AG_LOCAL_MAX && is_dotted(local, is_local) && is_host(host))
            return ANTAG_OK;
    }
    return antag_fault_set(
        f, ANTAG_ERR_BAD_PARAM, field,
        "is NAME@HOST: letters, digits and !#$%%&'*+-/=?^_`{|}~ with single dots "
        "between them, NAME at most %d bytes, HOST of two labels or more",
        AG_LOCAL_MAX);
}

bool ag_mailbox_is_same(const char *a, const char *b)
{
    return strcasecmp(a, b) == 0;
}
