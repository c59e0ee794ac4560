/* utf8: where the next well-formed character ends. */
#ifndef ANTAG_PROTO_UTF8_H
#define ANTAG_PROTO_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length in bytes (1 to 4) of the character at `p`, and the character in *out (may be NULL). 0 when the
 * `len` bytes at `p` do not begin with one: cut, overlong, a surrogate, over 10FFFF, or len is 0. */
size_t antag_utf8_step(const uint8_t *p, size_t len, uint32_t *out);

#endif
