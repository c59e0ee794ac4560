/* explain: what exactly is signed or verified, whether it would be, and if not, which of the usual mistakes
 * explains it. Off the hot path: it tries many variants. It signs nothing, and what it names stays invalid.
 * Needs a grant for the operation explain. No I/O, no clock. */
#ifndef AG_FRONT_EXPLAIN_H
#define AG_FRONT_EXPLAIN_H

#include "agent/core/explain.h"
#include "agent/front/verify.h"

#define AG_FINDINGS_MAX 4
struct ag_explained_finding {
    enum ag_cause cause;
    char more[128]; /* which key, which header; "": nothing */
};
struct ag_explained {
    const struct ag_profile *profile; /* borrowed from the snapshot */
    enum antag_err verdict;           /* what sign_request or verify_* would answer */
    struct antag_fault fault;         /* when that is no OK */
    bool has_string;
    struct ag_antom_prefix prefix; /* the string to sign up to its body */
    uint8_t digest[AG_DIGEST_LEN];
    size_t finding_count;
    struct ag_explained_finding findings[AG_FINDINGS_MAX];
};

/* errors: BAD_PARAM, DENIED, NO_MEMORY; all other refusals are the verdict. */
ANTAG_MUST_CHECK enum antag_err ag_explain(const struct ag_asking *a,
                                           const struct antag_explain_params *p,
                                           struct ag_hasher *hasher, struct ag_verifier *verifier,
                                           struct ag_explained *out, struct antag_fault *fault);
void ag_explain_result_write(struct antag_writer *w, const struct antag_explain_params *p,
                             const struct ag_explained *e);

/* How often a thread explains: AG_EXPLAIN_BURST at once, then AG_EXPLAIN_RATE a second; a body counts one more
 * for every AG_EXPLAIN_SHARE bytes, as it is hashed in many variants. */
#define AG_EXPLAIN_BURST 20
#define AG_EXPLAIN_RATE  20
#define AG_EXPLAIN_SHARE (64 * 1024)
struct ag_explain_gate {
    int64_t full_at_ns; /* core/bucket.h */
};
/* errors: BUSY with retry_after_ms. now_ms: monotonic. */
ANTAG_MUST_CHECK enum antag_err ag_explain_pass(struct ag_explain_gate *g, size_t body_len,
                                                int64_t now_ms, struct antag_fault *fault);

#endif
