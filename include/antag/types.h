/* types: the few shapes that every part shares. */
#ifndef ANTAG_TYPES_H
#define ANTAG_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* slice: borrowed bytes, any content, not terminated. Valid until its owner changes. */
struct antag_slice {
    const uint8_t *p; /* may be NULL when len is 0 */
    size_t len;
};

struct antag_slice
antag_slice_of(const char *text); /* without the final NUL; NULL gives {NULL, 0} */
bool antag_slice_is(struct antag_slice s, const char *text);        /* public data only */
bool antag_slice_equal(struct antag_slice a, struct antag_slice b); /* public data only */
/* Copy to a terminated string of `size` bytes. False (and "") when it does not fit or holds a NUL. */
bool antag_slice_copy(struct antag_slice s, char *out, size_t size);

#endif
