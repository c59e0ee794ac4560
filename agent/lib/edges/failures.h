/* failures: how often Antom refused a signature, per merchant key (edge front-steward): an unsigned answer, given to
 * verify_response, that names INVALID_SIGNATURE or KEY_NOT_FOUND. Whoever may verify can claim one; it is a sign, no
 * proof.
 *
 *   front -> steward  event failed {profile, version, count, last_ms}   profile: id; version: of the key that signed when
 *                                                                       the answer was given
 *
 * Pure but for the bytes it is given. */
#ifndef AG_EDGES_FAILURES_H
#define AG_EDGES_FAILURES_H

#include <msgpack.h>

#include "antag/status.h"
#include "proto/writer.h"

struct ag_failure {
    uint64_t profile_id;
    uint32_t version;
    uint64_t count;
    int64_t last_ms; /* UTC */
};
#define AG_FAILURES_MAX 64 /* keys at a time; of more, those in the place of the oldest are told */
struct ag_failures {
    size_t count;
    struct ag_failure v[AG_FAILURES_MAX];
};

void ag_failures_add(struct ag_failures *f, const struct ag_failure *one);
void ag_failure_write(struct antag_writer *w, const struct ag_failure *one);
/* errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_failure_parse(const msgpack_object *o, struct ag_failure *out,
                                                 struct antag_fault *fault);

#endif
