/* probe: a harmless call to Antom that shows whether it accepts a key: the inquiry of a payment that never was. What is
 * signed is made here, by whoever signs it and by whoever sends it, so that a probe can never be anything else. Pure.
 * Source: Antom's API reference, inquiryPayment: POST /ams/api/v1/payments/inquiryPayment {"paymentRequestId": …}; for
 * one that it does not know it answers, signed, with ORDER_NOT_EXIST. */
#ifndef AG_CORE_PROBE_H
#define AG_CORE_PROBE_H

#include "agent/core/antom.h"

#define AG_PROBE_METHOD   "POST"
#define AG_PROBE_PATH     "/ams/api/v1/payments/inquiryPayment"
#define AG_PROBE_ID_MAX   32 /* hexadecimal digits, lower case */
#define AG_PROBE_BODY_MAX 96
#define AG_PROBE_URI_MAX  64

/* Path as it is sent and signed in `env`; terminated. */
void ag_probe_uri(enum ag_env env, char out[AG_PROBE_URI_MAX]);
/* Is `id` 8 to AG_PROBE_ID_MAX lower-case hexadecimal digits? errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_probe_check_id(struct antag_slice id, struct antag_fault *f);
/* The body; terminated. Returns its length. */
size_t ag_probe_body(struct antag_slice id, char out[AG_PROBE_BODY_MAX]);
/* The text in front of the body. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_probe_prefix(enum ag_env env, struct antag_slice client_id,
                                                struct antag_slice time,
                                                struct ag_antom_prefix *out);

/* Does an answer without signature say that the key or the signature was wrong? True for a resultCode of
 * INVALID_SIGNATURE, SIGNATURE_INVALID or KEY_NOT_FOUND. `code` (may be NULL) is what it named. */
bool ag_probe_names_key(struct antag_slice body, const char **code);

#endif
