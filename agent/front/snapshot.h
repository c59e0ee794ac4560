/* snapshot: what the front works from. The main thread keeps a master copy of the rows that the
 * steward sends; a commit makes an immutable snapshot of them, which the workers read without a lock.
 * Rows and snapshots are made, held, released and freed on the main thread only; workers keep a
 * snapshot alive through the view that carries it (view.h). */
#ifndef AG_FRONT_SNAPSHOT_H
#define AG_FRONT_SNAPSHOT_H

#include <stdatomic.h>

#include <openssl/evp.h>

#include "agent/lib/edges/snapshot.h"
#include "agent/lib/limiter.h"

struct ag_rows;     /* the master copy */
struct ag_snapshot; /* immutable */

/* an Antom key that verifies */
struct ag_verify_key {
    EVP_PKEY *pkey;
    size_t sig_len; /* bytes of its modulus */
    uint32_t version;
    bool active; /* else retiring; of `others` staged or revoked */
    bool staged;
};

/* a profile with everything that belongs to it; borrowed from its snapshot */
/* a merchant that an isv may act for */
struct ag_merchant {
    const struct ag_snap_merchant *row;
    uint64_t id;
    struct ag_used *used; /* shared by all snapshots that have it */
};
struct ag_granted {
    const struct ag_grant *grant;
    struct ag_limiter
        *spent; /* what it let through of its rate; shared by all snapshots and threads */
};
struct ag_profile {
    uint64_t id;
    const struct ag_snap_profile *row;
    atomic_uint
        *proved; /* which methods have succeeded; shared by all snapshots that have this row */
    const struct ag_verify_key *keys;   /* active ones first, then retiring; newer ones first */
    const struct ag_verify_key *others; /* keys that are not trusted: only explain looks at them */
    const struct ag_granted *grants;
    const char *const *fences; /* globs of paths that the fence excepts */
    size_t key_count, other_count, grant_count, fence_count;
};

struct ag_rows *ag_rows_new(void); /* NULL: out of memory */
void ag_rows_free(struct ag_rows *rows);
/* A full load follows: all rows are forgotten (their loaded keys are taken over where they return
 * unchanged), and so is what was refused before. */
ANTAG_MUST_CHECK enum antag_err ag_rows_begin(struct ag_rows *rows);
/* Apply one row: add, replace or remove. Takes the content of `row` in every case (it is then empty
 * and may still be finished). An Antom key that cannot be loaded is kept out and logged.
 * errors: NO_MEMORY; the master copy is then incomplete and refuses to commit until the next begin. */
ANTAG_MUST_CHECK enum antag_err ag_rows_apply(struct ag_rows *rows, struct ag_snap_row *row);
/* Remember that a row could not be read: no commit until the next begin. */
void ag_rows_spoil(struct ag_rows *rows, const struct antag_fault *fault);
/* Make a snapshot of all rows; *out has one reference, the caller's.
 * errors: what the rows were spoilt with, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_rows_commit(struct ag_rows *rows, uint64_t epoch,
                                               struct ag_snapshot **out, struct antag_fault *fault);

struct ag_snapshot *ag_snapshot_hold(struct ag_snapshot *s); /* NULL accepted */
void ag_snapshot_release(struct ag_snapshot *s);             /* NULL accepted */

/* readers, any thread; `s` may be NULL (no profile then) */
uint64_t ag_snapshot_epoch(const struct ag_snapshot *s);
size_t ag_snapshot_count(const struct ag_snapshot *s);
const struct ag_profile *ag_snapshot_at(const struct ag_snapshot *s, size_t i);
const struct ag_profile *ag_snapshot_find(const struct ag_snapshot *s, struct antag_slice name);
/* NULL: the profile has none of that name. */
const struct ag_merchant *ag_snapshot_merchant(const struct ag_snapshot *s,
                                               const struct ag_profile *p, struct antag_slice name);
/* What was used of merchants since it was taken the last time, from the master copy: of `max` at most, the rest stays. */
typedef void ag_used_fn(uint64_t merchant_id, uint64_t count, int64_t last_ms, void *ctx);
void ag_rows_take_used(struct ag_rows *rows, size_t max, ag_used_fn *visit, void *ctx);

/* Operations (enum ag_op, or-ed) that any grant on `p` gives to `c`; 0: none. */
unsigned ag_profile_ops(const struct ag_profile *p, const struct ag_caller *c);
/* Does one grant on `p` cover this whole, and has it a token left? One is taken of the first that has.
 * now_ns: monotonic; 0: whatever the rate, nothing is taken.
 * errors: DENIED; BUSY with the grant that has one soonest, and retry_after_ms. */
ANTAG_MUST_CHECK enum antag_err
ag_profile_permits(const struct ag_profile *p, const struct ag_caller *c, enum ag_op op,
                   struct antag_slice method, struct antag_slice uri, struct antag_slice merchant,
                   size_t body_len, int64_t now_ns, struct antag_fault *fault);
/* Does a row of the registry except the path of `uri` from the fence? */
bool ag_profile_is_excepted(const struct ag_profile *p, struct antag_slice uri);

#endif
