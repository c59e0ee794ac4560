/* Secrets that tests of sealing work with. */
#ifndef TESTS_SECRETROWS_H
#define TESTS_SECRETROWS_H

#include <string.h>

#include "agent/lib/secret.h"
#include "tests/support/rows.h"

/* The caller's to free. */
static inline struct ag_secret *secret_of(const char *text)
{
    struct ag_secret *s = ag_secret_new(strlen(text) + 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    memcpy(ag_secret_bytes(s), text, strlen(text));
    ag_secret_set_len(s, strlen(text));
    return s;
}

#endif
