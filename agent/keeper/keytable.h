/* keytable: the keys a keeper holds, found by handle. Workers read it without a lock inside a grace
 * section (grace.h); only the loop's thread changes it. Slots are published one by one, an array that
 * has become too small is replaced as a whole, and what is taken out is freed by the grace. */
#ifndef AG_KEEPER_KEYTABLE_H
#define AG_KEEPER_KEYTABLE_H

#include <stdatomic.h>

#include "agent/keeper/backend/backend.h"
#include "agent/keeper/grace.h"
#include "agent/lib/edges/keyring.h"
#include "agent/lib/limiter.h"
#include "agent/lib/signwire.h"

#define AG_KEYTABLE_MAX                                                                            \
    (1u << 18) /* keys of one keyring, stopped ones that are not loaded included */

/* one key; everything but `use` and `spent` is fixed once it is published */
struct ag_held {
    struct ag_key_identity id;
    struct ag_backend_key *key; /* NULL: was told to stop before it was loaded */
    _Atomic int use;            /* enum ag_key_use */
    struct ag_limiter spent;    /* of the rate of its profile: one key of a profile signs */
    /* loop's thread only */
    bool stopped;              /* by the steward, and not permitted again since */
    uint64_t named;            /* number of the full load that named it last */
    struct ag_grace_item item; /* for its own end */
    size_t spki_len;
    uint8_t spki[];
};

struct ag_keytable;

/* errors: NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_keytable_new(struct ag_grace *grace, struct ag_keytable **out);
/* Workers are gone. Frees all keys; items that wait for the grace must have run. */
void ag_keytable_free(struct ag_keytable *t);

/* Workers, inside a section; or the loop's thread. NULL: not there. */
struct ag_held *ag_keytable_find(struct ag_keytable *t, uint64_t handle);

/* Loop's thread. Takes `held` (from ag_held_new) and replaces the one of the same handle, which is freed
 * after its grace. errors: BUSY when the table is full, NO_MEMORY; `held` is then freed. */
ANTAG_MUST_CHECK enum antag_err ag_keytable_put(struct ag_keytable *t, struct ag_held *held);
/* Take it out; it is freed after its grace (ag_grace_collect). False when it was not there. */
bool ag_keytable_remove(struct ag_keytable *t, uint64_t handle);
size_t ag_keytable_count(const struct ag_keytable *t);
/* Visit all in no order; the visited one may be removed. */
void ag_keytable_each(struct ag_keytable *t, void (*visit)(struct ag_held *held, void *ctx),
                      void *ctx);

/* Takes `key` (may be NULL), on failure too. NULL: out of memory. */
struct ag_held *ag_held_new(const struct ag_key_identity *id, struct ag_backend_key *key,
                            struct antag_slice spki, enum ag_key_use use);
void ag_held_free(struct ag_held *held); /* not published; NULL accepted */

/* May this job have a signature now? *held is set on OK only.
 * loading: a full load is under way, so a handle that is not there may yet come.
 * errors: BAD_PARAM (version, environment, profile), RETRY, KEY_STATE. */
ANTAG_MUST_CHECK enum antag_err ag_keytable_check(struct ag_keytable *t, bool loading,
                                                  const struct ag_sign_job *job,
                                                  struct ag_held **held);

#endif
