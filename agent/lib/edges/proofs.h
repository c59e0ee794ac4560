/* proofs: which methods have succeeded for a sandbox profile at least once: the evidence of a rehearsal (edge front-steward).
 *
 *   front -> steward  event proved {profile, methods}   profile: id; methods: enum ag_proof, or-ed
 *
 * The front tells each method of a profile once, and again after it was restarted or the profile changed; the steward
 * keeps them. Pure but for the bytes it is given. */
#ifndef AG_EDGES_PROOFS_H
#define AG_EDGES_PROOFS_H

#include <msgpack.h>

#include "antag/status.h"
#include "proto/writer.h"

/* stored in the registry */
enum ag_proof {
    AG_PROOF_SIGN = 1,         /* sign_request */
    AG_PROOF_RESPONSE = 2,     /* verify_response */
    AG_PROOF_NOTIFICATION = 4, /* verify_notification */
    AG_PROOF_ALL = 7,
};

#define AG_PROOFS_MAX 64 /* profiles at a time; of more, some are told later */
struct ag_proofs {
    size_t count;
    struct {
        uint64_t profile_id;
        unsigned methods;
    } v[AG_PROOFS_MAX];
};

/* False: no room. */
bool ag_proofs_add(struct ag_proofs *p, uint64_t profile_id, unsigned methods);
void ag_proofs_write(struct antag_writer *w, uint64_t profile_id, unsigned methods);
/* errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_proofs_parse(const msgpack_object *o, uint64_t *profile_id,
                                                unsigned *methods, struct antag_fault *fault);

#endif
