/* rules: what may stand in the registry: forms of names and addresses, and which key may stand where.
 * Pure: a book and a request in, a status out. */
#ifndef AG_STEWARD_RULES_H
#define AG_STEWARD_RULES_H

#include "agent/steward/book.h"

/* ---- forms. errors: BAD_PARAM naming `field`, what was found and what is allowed. */
ANTAG_MUST_CHECK enum antag_err ag_rule_app_name(struct antag_slice s, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rule_app_role(struct antag_slice s, struct antag_fault *fault);
/* Exactly `count` ASCII letters, written to `out` (count + 1 bytes) in upper case. */
ANTAG_MUST_CHECK enum antag_err ag_rule_letters(struct antag_slice s, const char *field,
                                                size_t count, char *out, struct antag_fault *fault);
/* A line of text for people: at most `size` - 1 bytes, no control characters; copied to `out`. */
ANTAG_MUST_CHECK enum antag_err ag_rule_line(struct antag_slice s, const char *field, char *out,
                                             size_t size, struct antag_fault *fault);
/* https://host[:port] and nothing else; scheme and host are written in lower case. */
ANTAG_MUST_CHECK enum antag_err ag_rule_gateway(struct antag_slice s, char out[ANTAG_URL_MAX + 1],
                                                struct antag_fault *fault);
/* http(s)://host[:port][/path][?query], no user, no fragment; kept as written. */
ANTAG_MUST_CHECK enum antag_err
ag_rule_notify_url(struct antag_slice s, char out[ANTAG_URL_MAX + 1], struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rule_unit(struct antag_slice s, struct antag_fault *fault);

/* ---- against the other rows */
/* errors: CLIENT_ID_TAKEN naming the other profile. */
ANTAG_MUST_CHECK enum antag_err ag_rule_client_id_free(const struct ag_book *b,
                                                       const struct ag_row_profile *p,
                                                       struct antag_slice client_id,
                                                       struct antag_fault *fault);
#define AG_WARNING_MAX 256
/* May this merchant key come into `p`?
 * errors: KEY_KNOWN (in this profile, in the other environment, or an Antom key). */
ANTAG_MUST_CHECK enum antag_err ag_rule_merchant_key(const struct ag_book *b,
                                                     const struct ag_row_profile *p,
                                                     struct antag_slice spki,
                                                     struct antag_fault *fault);
/* The other profiles that hold the merchant key `k`: a sentence, or "". */
void ag_rule_shared_key_warning(const struct ag_book *b, const struct ag_row_key *k,
                                char warning[AG_WARNING_MAX]);
/* May this Antom key come into `p`? errors: KEY_IS_OURS, KEY_KNOWN (active here),
 * KEY_OTHER_ENVIRONMENT unless `same_as_other`. `warning` is "" or what is odd about it. */
ANTAG_MUST_CHECK enum antag_err
ag_rule_antom_key(const struct ag_book *b, const struct ag_row_profile *p, struct antag_slice spki,
                  bool same_as_other, char warning[AG_WARNING_MAX], struct antag_fault *fault);
/* What a live profile has that looks like sandbox: a sentence, or "". */
void ag_rule_sandbox_looks(const struct ag_row_profile *p, char found[AG_WARNING_MAX]);

#endif
