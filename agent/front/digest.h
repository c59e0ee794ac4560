/* digest: SHA-256 of a string to sign: the rendered prefix, then the body where it lies. One thread. */
#ifndef AG_FRONT_DIGEST_H
#define AG_FRONT_DIGEST_H

#include "agent/core/antom.h"

#define AG_DIGEST_LEN 32

struct ag_hasher; /* keeps the library's context from one digest to the next */

struct ag_hasher *ag_hasher_new(void); /* NULL: no memory, or the library lacks SHA-256 */
void ag_hasher_free(struct ag_hasher *h);
/* errors: INTERNAL. */
ANTAG_MUST_CHECK enum antag_err ag_hasher_digest(struct ag_hasher *h,
                                                 const struct ag_antom_prefix *prefix,
                                                 struct antag_slice body,
                                                 uint8_t out[AG_DIGEST_LEN]);

#endif
