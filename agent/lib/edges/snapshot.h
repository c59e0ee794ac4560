/* snapshot: what the steward tells the front (edge steward-front).
 *
 *   steward -> front  request state {state, reason} -> {}        acknowledged when every thread has it
 *                     request begin {} -> {}                     a full load follows: forget all rows
 *                     event   rows {rows: [ROW]}                 collected, not yet in force
 *                     request commit {epoch} -> {epoch}          the rows take force together; answered
 *                                                                when every thread works from them
 *                     request drained {epoch} -> {}              answered when no job that was built
 *                                                                from an older epoch is in flight
 *                     request used {} -> {used: [id, count, last_ms, ...]}   what was signed for merchants
 *                                                                since it was asked the last time, of
 *                                                                AG_USED_MAX at most
 * A ROW replaces the row of the same table and id; `gone` removes it. */
#ifndef AG_EDGES_SNAPSHOT_H
#define AG_EDGES_SNAPSHOT_H

#include <msgpack.h>
#include <stdatomic.h>

#include "agent/core/antom.h"
#include "agent/core/grant.h"
#include "agent/core/keylife.h"
#include "agent/lib/token.h"
#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"
#include "proto/writer.h"

#define AG_USED_MAX 1000

enum ag_snap_table {
    AG_SNAP_PROFILE,
    AG_SNAP_ANTOM_KEY,
    AG_SNAP_GRANT,
    AG_SNAP_FENCE,
    AG_SNAP_MERCHANT
};

struct ag_snap_profile {
    char name[ANTAG_PROFILE_MAX + 1];
    enum ag_env env;
    char client_id[ANTAG_CLIENT_ID_MAX + 1]; /* "": PROFILE_INCOMPLETE */
    char gateway[ANTAG_URL_MAX + 1];         /* https://host[:port], no path; "": none */
    int64_t response_max_age_ms, notification_max_age_ms; /* -1: the policy's */
    uint64_t handle;                                      /* active merchant key; 0: none */
    uint32_t version, key_version;
    char keyring[ANTAG_KEYRING_MAX + 1];
    enum antag_err sign_err; /* why there is no handle: NO_ACTIVE_KEY, KEY_STATE, BACKEND */
    char sign_why[160];
};
struct ag_snap_antom_key {
    uint64_t profile_id;
    uint32_t version;
    enum ag_antom_key_state state; /* only ACTIVE and RETIRING verify, active is tried first;
                                       others are for explain */
    size_t spki_len;
    uint8_t spki[ANTAG_SPKI_MAX];
};
struct ag_snap_fence {
    uint64_t profile_id;
    char path[ANTAG_GLOB_MAX + 1];
};
struct ag_snap_merchant {
    uint64_t profile_id;
    char name[ANTAG_MERCHANT_MAX + 1];
    bool suspended;
    size_t sealed_len;
    uint8_t sealed[AG_TOKEN_SEALED_MAX]; /* its token, as lib/token.h has it */
};
/* what is counted of a merchant, by any thread of the front */
struct ag_used {
    atomic_uint_fast64_t count;
    atomic_int_fast64_t last_ms; /* UTC */
};
struct ag_snap_row {
    enum ag_snap_table table;
    uint64_t id;
    bool gone;
    union {
        struct ag_snap_profile profile;
        struct ag_snap_antom_key antom_key;
        struct ag_grant grant; /* its globs are owned by the row */
        struct ag_snap_fence fence;
        struct ag_snap_merchant merchant;
    } u;
};

void ag_snap_row_write(struct antag_writer *w, const struct ag_snap_row *row);
/* `row` must be finished in every case. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_snap_row_parse(const msgpack_object *o, struct ag_snap_row *row,
                                                  struct antag_fault *fault);
void ag_snap_row_fini(struct ag_snap_row *row);

#endif
