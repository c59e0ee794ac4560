#include "antag/types.h"

#include <string.h>

struct antag_slice antag_slice_of(const char *text)
{
    struct antag_slice s = {NULL, 0};

    if (text != NULL) {
        s.p = (const uint8_t *)text;
        s.len = strlen(text);
    }
    return s;
}

bool antag_slice_equal(struct antag_slice a, struct antag_slice b)
{
    /* public; memcmp must not see a NULL pointer, even with no bytes to compare */
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool antag_slice_is(struct antag_slice s, const char *text)
{
    return antag_slice_equal(s, antag_slice_of(text));
}

bool antag_slice_copy(struct antag_slice s, char *out, size_t size)
{
    if (size == 0)
        return false;
    out[0] = '\0';
    if (s.len >= size || (s.len > 0 && memchr(s.p, '\0', s.len) != NULL))
        return false;
    if (s.len > 0)
        memcpy(out, s.p, s.len);
    out[s.len] = '\0';
    return true;
}
