/* antom: how Antom signs, as pure functions: strict forms, the string to sign, the Signature header,
 * times and paths. No I/O, no clock, no allocation.
 * Source: Antom's documentation "Sign a request and verify the signature" and the behaviour of its
 * public SDKs (Java 2.2.8, Python 1.5.5, Go 1.3.5, PHP 1.5.5, .NET 2.2.5). */
#ifndef AG_CORE_ANTOM_H
#define AG_CORE_ANTOM_H

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

enum ag_env { AG_ENV_SANDBOX = 0, AG_ENV_LIVE = 1 };
const char *ag_env_name(enum ag_env env); /* "sandbox", "live" */

/* ---- strict forms. The signed text joins its parts with dots and a line feed, so one signature also
 * fits other splits of the same bytes; only these forms keep the borders where they belong.
 * errors: BAD_PARAM naming the field ("method", "uri", "client_id"), what was found and is allowed. */
ANTAG_MUST_CHECK enum antag_err ag_antom_check_method(struct antag_slice s,
                                                      struct antag_fault *f); /* [A-Z]+ */
ANTAG_MUST_CHECK enum antag_err
ag_antom_check_uri(struct antag_slice s, struct antag_fault *f); /* '/', then 21-7E, no '#' */
ANTAG_MUST_CHECK enum antag_err
ag_antom_check_client_id(struct antag_slice s, struct antag_fault *f); /* [A-Za-z0-9_-]+ */

/* ---- times. 10, 13, 16 or 19 digits (s, ms, us, ns), or YYYY-MM-DDThh:mm:ss(.d{1,9})?(Z|+hh:mm|+hhmm),
 * nothing around it; impossible dates are refused, a leap second (:60) is read as :59.
 * errors: TIME_FORM. */
ANTAG_MUST_CHECK enum antag_err ag_antom_time_parse(struct antag_slice s, int64_t *at_ms,
                                                    struct antag_fault *f);
void ag_antom_time_render(int64_t at_ms, char out[ANTAG_TIME_MAX]); /* milliseconds, digits */

/* ---- the string to sign: METHOD SP URI LF CLIENT_ID "." TIME "." BODY. Rendered up to the second
 * dot; the body follows unchanged, so that it need not be copied to be hashed. */
#define AG_ANTOM_PREFIX_MAX                                                                        \
    (ANTAG_METHOD_MAX + 1 + ANTAG_URI_MAX + 64 + 1 + ANTAG_CLIENT_ID_MAX + 1 + ANTAG_TIME_MAX + 1)
struct ag_antom_prefix {
    size_t len;
    uint8_t text[AG_ANTOM_PREFIX_MAX];
};
/* The parts must have passed the checks above; they are checked once more here, since every signed byte
 * in front of a body comes by. errors: BAD_PARAM when one is over its maximum or out of form (out->len is 0
 * then); no fault, as the checks gave one. */
ANTAG_MUST_CHECK enum antag_err ag_antom_prefix_render(struct antag_slice method,
                                                       struct antag_slice uri,
                                                       struct antag_slice client_id,
                                                       struct antag_slice time,
                                                       struct ag_antom_prefix *out);

/* ---- the Signature header */
#define AG_ANTOM_SIG_TEXT_MAX                                                                      \
    2176 /* "algorithm=RSA256,keyVersion=4294967295,signature=" + 684 * 3 */
/* algorithm=RSA256,keyVersion=N,signature=<percent-encoded base64>; terminated. "" for a signature that
 * is empty or longer than ANTAG_SIG_MAX. */
void ag_antom_signature_render(uint32_t key_version, struct antag_slice sig,
                               char out[AG_ANTOM_SIG_TEXT_MAX]);
struct ag_antom_signature {
    size_t len; /* of the raw signature */
    uint8_t raw[ANTAG_SIG_MAX];
    bool has_key_version;
    char key_version[32]; /* as written; picks no key */
};
/* Takes everything an SDK or the documentation produces and nothing else: parts at commas, names
 * case-insensitive, any order, algorithm must be RSA256 where given, one percent-decoding in which '+'
 * stays '+', strict base64. errors: SIGNATURE_FORM with the reason. */
ANTAG_MUST_CHECK enum antag_err ag_antom_signature_parse(struct antag_slice header,
                                                         struct ag_antom_signature *out,
                                                         struct antag_fault *f);

/* ---- paths */
/* Path and query as they stand on the request line; the query is behind the first '?'. */
void ag_antom_uri_split(struct antag_slice uri, struct antag_slice *path, struct antag_slice *query,
                        bool *has_query);
/* The URI as it is sent and signed in `env`: in sandbox the first /ams/api of the path becomes
 * /ams/sandbox/api unless it is so already, as the SDKs do. out: ANTAG_URI_MAX + 16 bytes. */
ANTAG_MUST_CHECK enum antag_err ag_antom_uri_derive(enum ag_env env, struct antag_slice uri,
                                                    char *out, size_t size, size_t *out_len,
                                                    struct antag_fault *f);
/* The fence: a sandbox profile uses only sandbox paths, a live one never does. `uri` is the derived
 * one; `excepted` says that a row of the registry excepts its path. errors: WRONG_ENVIRONMENT. */
ANTAG_MUST_CHECK enum antag_err ag_antom_fence(enum ag_env env, struct antag_slice uri,
                                               bool excepted, struct antag_fault *f);
/* Calls that Antom takes unsigned (meter/uploadEvent in either environment). errors: NOT_SIGNED_CALL */
ANTAG_MUST_CHECK enum antag_err ag_antom_is_signed_call(struct antag_slice uri,
                                                        struct antag_fault *f);
/* For signing: dot segments, ';', escaped slashes, escaped dots or unreserved bytes and double
 * slashes other than Antom's own (/ams/api//v1/payments/retrievePaymentSession and its sandbox form)
 * could pass a path glob and mean another path at the gateway. errors: BAD_PARAM, field "uri". */
ANTAG_MUST_CHECK enum antag_err ag_antom_check_sign_path(struct antag_slice uri,
                                                         struct antag_fault *f);

/* A SANDBOX_ client id belongs to a sandbox profile and no other kind does. errors: WRONG_ENVIRONMENT */
ANTAG_MUST_CHECK enum antag_err
ag_antom_client_id_env(enum ag_env env, struct antag_slice client_id, struct antag_fault *f);

/* ---- age of a message. now and at in UTC ms; max_age_ms 0: any age; skew_ms 0: neither check of
 * skew. errors: TOO_OLD, IN_THE_FUTURE with both times in the text. */
ANTAG_MUST_CHECK enum antag_err ag_antom_check_age(int64_t now_ms, int64_t at_ms,
                                                   int64_t max_age_ms, int64_t skew_ms,
                                                   struct antag_fault *f);

#endif
