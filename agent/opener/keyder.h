/* keyder: reads the DER of keys, strictly (definite, shortest lengths; shortest integers), borrowing from
 * its input. Tells what kind of thing it is before OpenSSL sees it, so that each wrong one is refused by
 * its own name and nothing costly is done for it. */
#ifndef AG_OPENER_KEYDER_H
#define AG_OPENER_KEYDER_H

#include "antag/status.h"
#include "antag/types.h"

enum ag_der_tag {
    AG_DER_INTEGER = 0x02,
    AG_DER_BIT_STRING = 0x03,
    AG_DER_OCTET_STRING = 0x04,
    AG_DER_NULL = 0x05,
    AG_DER_OID = 0x06,
    AG_DER_SEQUENCE = 0x30,
    AG_DER_CONTEXT = 0xa0, /* [0], constructed; [1] is one more */
};

struct ag_der {
    uint8_t tag;
    struct antag_slice body;
};

/* Take the next value off `in`. False: `in` is empty or malformed (and unchanged). */
bool ag_der_next(struct antag_slice *in, struct ag_der *out);
/* The same; the value must have this tag. */
bool ag_der_take(struct antag_slice *in, uint8_t tag, struct antag_slice *body);
/* A small INTEGER. False: not an INTEGER, negative, or over UINT32_MAX. */
bool ag_der_take_uint(struct antag_slice *in, uint32_t *out);

enum ag_der_kind {
    AG_DK_OTHER,
    AG_DK_PKCS8,
    AG_DK_PKCS8_ENCRYPTED,
    AG_DK_PKCS1,
    AG_DK_SPKI,
    AG_DK_PKCS1_PUBLIC,
    AG_DK_EC_PRIVATE, /* RFC 5915 */
    AG_DK_DSA_PRIVATE,
    AG_DK_CERTIFICATE, /* or a request for one */
    AG_DK_PKCS12,
};

/* What is in `der`, which must be one SEQUENCE; *body is its content.
 * errors: KEY_FORM (not DER, cut off), KEY_TRAILING. */
ANTAG_MUST_CHECK enum antag_err ag_der_classify(struct antag_slice der, enum ag_der_kind *kind,
                                                struct antag_slice *body,
                                                struct antag_fault *fault);

enum ag_der_algorithm {
    AG_DA_OTHER,
    AG_DA_RSA,
    AG_DA_RSA_PSS,
    AG_DA_EC,
    AG_DA_ED25519,
    AG_DA_ED448,
    AG_DA_DSA,
    AG_DA_PBES2,
    AG_DA_PBES1, /* and PKCS#12's: salt and iterations */
    AG_DA_PBKDF2,
    AG_DA_SCRYPT,
};
/* An AlgorithmIdentifier off `in`; *params is what follows the OID (may be empty). */
bool ag_der_take_algorithm(struct antag_slice *in, enum ag_der_algorithm *algorithm,
                           struct antag_slice *params);
const char *ag_der_algorithm_name(enum ag_der_algorithm algorithm);

#endif
