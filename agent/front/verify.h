/* verify: decides whether a message is proven to come from Antom. An unverified message is never a
 * result: it is an error. No I/O, no clock; the arithmetic is on the caller's thread. */
#ifndef AG_FRONT_VERIFY_H
#define AG_FRONT_VERIFY_H

#include "agent/front/sign.h"

enum ag_verify_kind { AG_VERIFY_RESPONSE, AG_VERIFY_NOTIFICATION };

struct ag_verifier; /* keeps a context for each key that was used of late. One thread. */
struct ag_verifier *ag_verifier_new(void); /* NULL: out of memory */
void ag_verifier_free(struct ag_verifier *v);
/* Does `sig` fit `digest` under `key`? A signature of another length than the modulus never does, and
 * costs no arithmetic. Anything that fails inside counts as no. */
bool ag_verifier_fits(struct ag_verifier *v, const struct ag_verify_key *key,
                      const uint8_t digest[AG_DIGEST_LEN], struct antag_slice sig);

/* the headers that are read, and the others that could hold a time */
enum ag_header { AG_HEADER_CLIENT_ID, AG_HEADER_TIME, AG_HEADER_SIGNATURE, AG_HEADER_COUNT };
#define AG_OTHER_HEADERS_MAX 8
struct ag_signed_headers {
    bool seen[AG_HEADER_COUNT];
    struct antag_slice value[AG_HEADER_COUNT]; /* empty: missing */
    size_t other_count;
    struct {
        struct antag_slice name, value;
    } other[AG_OTHER_HEADERS_MAX]; /* whose values are times */
};
/* Everything up to the point where the message itself is looked at: forms, grant, profile, fence. `uri` is
 * the one that was signed. errors: as ag_verify, up to NO_ANTOM_KEY. */
ANTAG_MUST_CHECK enum antag_err ag_verify_parts(const struct ag_asking *a, enum ag_verify_kind kind,
                                                const struct antag_verify_params *p,
                                                struct ag_signed_headers *headers,
                                                const struct ag_profile **profile, char *uri,
                                                size_t uri_size, size_t *uri_len,
                                                struct antag_fault *fault);

struct ag_verified {
    const struct ag_profile *profile;
    uint32_t version;        /* of the Antom key */
    struct antag_slice time; /* header's text, borrowed from the params */
    int64_t age_ms;          /* negative when it lies in the future, within the skew allowed */
};

/* First match wins: BAD_PARAM, DENIED, PROFILE_INCOMPLETE, (response: NOT_SIGNED_CALL,
 * WRONG_ENVIRONMENT), NO_ANTOM_KEY, UNSIGNED, HALF_SIGNED, SIGNATURE_FORM, TIME_FORM,
 * WRONG_CLIENT_ID, SIGNATURE_INVALID, TOO_OLD or IN_THE_FUTURE. On a failure `out` has the profile from UNSIGNED on, else
 * none. */
ANTAG_MUST_CHECK enum antag_err ag_verify(const struct ag_asking *a, enum ag_verify_kind kind,
                                          const struct antag_verify_params *p,
                                          struct ag_hasher *hasher, struct ag_verifier *verifier,
                                          struct ag_verified *out, struct antag_fault *fault);
void ag_verify_result_write(struct antag_writer *w, const struct ag_verified *v);

#endif
