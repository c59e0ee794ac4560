/* sign: decides whether a request may be signed, and what exactly is. No I/O, no clock: the snapshot,
 * the caller and the time come in, a plan goes out whose digest a keeper signs. */
#ifndef AG_FRONT_SIGN_H
#define AG_FRONT_SIGN_H

#include "agent/front/digest.h"
#include "agent/front/snapshot.h"
#include "agent/lib/conf.h"
#include "agent/lib/signwire.h"
#include "proto/agent_methods.h"
#include "proto/writer.h"

#define AG_CONTENT_TYPE "application/json; charset=UTF-8"

struct ag_sign_plan {
    const struct ag_profile *profile;   /* borrowed from the snapshot it was made from */
    const struct ag_merchant *merchant; /* likewise; NULL: signed for none */
    uint8_t digest[AG_DIGEST_LEN];
    char time[ANTAG_TIME_MAX + 1];
    size_t uri_len;
    char uri[ANTAG_URI_MAX + 17]; /* the one that is sent and signed; terminated */
    struct ag_sign_claim claim;   /* for the record */
};

struct ag_asking {
    const struct ag_snapshot *snap; /* may be NULL */
    const struct ag_conf *conf;
    const struct ag_caller *caller;
    int64_t now_ms; /* UTC */
    bool
        explain; /* under a grant for the operation explain, whatever is asked, and whatever its rate:
                       explaining has a limit of its own */
    int64_t mono_ns; /* monotonic; 0: grants' rates are not counted */
};

/* First match wins: BAD_PARAM (forms, path rules), DENIED, BUSY (rate), PROFILE_INCOMPLETE, NOT_SIGNED_CALL,
 * WRONG_ENVIRONMENT, TIME_SKEW, NOT_FOUND or MERCHANT_SUSPENDED (merchant), then why the profile has no signing key (NO_ACTIVE_KEY, …). */
ANTAG_MUST_CHECK enum antag_err
ag_sign_plan_make(const struct ag_asking *a, const struct antag_sign_params *p,
                  struct ag_hasher *hasher, struct ag_sign_plan *out, struct antag_fault *fault);
/* The result map of sign_request, from the plan, its raw signature, the number of its line in the chain of the keyring,
 * and the merchant's token ("": none). */
void ag_sign_result_write(struct antag_writer *w, const struct ag_sign_plan *plan,
                          struct antag_slice sig, uint64_t seq, const char *token);

/* ---- shared with verify.c */

/* The profile called `name`, provided a grant covers this use of it and has a token left, which is taken.
 * errors: DENIED, with one text for a profile that is not there and one that is not granted; BUSY. */
ANTAG_MUST_CHECK enum antag_err ag_front_permit(const struct ag_asking *a, enum ag_op op,
                                                struct antag_slice name, struct antag_slice method,
                                                struct antag_slice uri, struct antag_slice merchant,
                                                size_t body_len, const struct ag_profile **out,
                                                struct antag_fault *fault);
/* errors: PROFILE_INCOMPLETE, naming the command that mends it. */
ANTAG_MUST_CHECK enum antag_err ag_front_complete(const struct ag_profile *p,
                                                  struct antag_fault *fault);
/* The URI as it is sent, behind the fence. A path that a row excepts is taken as it stands: an
 * exception is there for paths that the SDKs do not rewrite. out: ANTAG_URI_MAX + 17 bytes.
 * errors: NOT_SIGNED_CALL, WRONG_ENVIRONMENT, BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_front_fence(const struct ag_profile *p, struct antag_slice uri,
                                               char *out, size_t size, size_t *out_len,
                                               struct antag_fault *fault);

/* Why the profile cannot sign: NO_ACTIVE_KEY and what else the steward says of its key; OK: it can. */
enum antag_err ag_front_has_key(const struct ag_profile *p, struct antag_fault *fault);
/* errors: NO_ANTOM_KEY, naming the command that mends it. */
enum antag_err ag_front_has_antom_key(const struct ag_profile *p, struct antag_fault *fault);

#endif
