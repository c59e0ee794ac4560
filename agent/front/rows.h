/* rows: a table of rows by (table, id), each counted by reference so that snapshots share them.
 * One thread. */
#ifndef AG_FRONT_ROWS_H
#define AG_FRONT_ROWS_H

#include <stdatomic.h>

#include <openssl/evp.h>

#include "agent/lib/edges/snapshot.h"
#include "agent/lib/limiter.h"

struct ag_held_row {
    unsigned refs;
    struct ag_held_row *next; /* in its bucket; used by the map that holds it */
    struct ag_snap_row row;
    EVP_PKEY *pkey;          /* of an Antom key; NULL when it could not be loaded */
    struct ag_limiter spent; /* of a grant with a rate; any thread */
    struct ag_used used;     /* of a merchant; any thread */
    atomic_uint
        proved; /* of a profile: enum ag_proof, or-ed, that the steward was told; any thread */
};
struct ag_held_row *ag_held_row_hold(struct ag_held_row *r);
void ag_held_row_release(struct ag_held_row *r); /* NULL accepted */

struct ag_rowmap {
    struct ag_held_row **buckets;
    size_t bucket_count; /* a power of two; 0: empty and without memory */
    size_t count;
};
void ag_rowmap_fini(struct ag_rowmap *m); /* releases all rows; `m` is then empty */
struct ag_held_row *ag_rowmap_get(const struct ag_rowmap *m, enum ag_snap_table table, uint64_t id);
/* Put `r`, replacing the row of its table and id. Takes a reference of its own. errors: NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_rowmap_put(struct ag_rowmap *m, struct ag_held_row *r);
void ag_rowmap_remove(struct ag_rowmap *m, enum ag_snap_table table, uint64_t id);

/* for (struct ag_held_row *r = ag_rowmap_first(m, &at); r; r = ag_rowmap_next(m, &at, r)) */
struct ag_held_row *ag_rowmap_first(const struct ag_rowmap *m, size_t *at);
struct ag_held_row *ag_rowmap_next(const struct ag_rowmap *m, size_t *at, struct ag_held_row *r);

#endif
