#include "agent/opener/keyder.h"

#include <string.h>

bool ag_der_next(struct antag_slice *in, struct ag_der *out)
{
    size_t at = 2, len;

    /* tags over 30 stand in no key */
    if (in->len < 2 || (in->p[0] & 0x1f) == 0x1f)
        return false;
    len = in->p[1];
    if (len >= 0x80) {
        size_t bytes = len & 0x7f;

        if (bytes == 0 || bytes > 4 || in->len - at < bytes || in->p[at] == 0)
            return false; /* indefinite, absurd, or not the shortest */
        for (len = 0; bytes > 0; bytes--)
            len = len << 8 | in->p[at++];
        if (len < 0x80)
            return false;
    }
    if (in->len - at < len)
        return false;
    out->tag = in->p[0];
    out->body = (struct antag_slice){in->p + at, len};
    in->p += at + len;
    in->len -= at + len;
    return true;
}

bool ag_der_take(struct antag_slice *in, uint8_t tag, struct antag_slice *body)
{
    struct antag_slice left = *in;
    struct ag_der value;

    if (!ag_der_next(&left, &value) || value.tag != tag)
        return false;
    *in = left;
    *body = value.body;
    return true;
}

bool ag_der_take_uint(struct antag_slice *in, uint32_t *out)
{
    struct antag_slice left = *in, body;
    uint64_t v = 0;

    if (!ag_der_take(&left, AG_DER_INTEGER, &body) || body.len == 0 || body.len > 5 ||
        (body.p[0] & 0x80) != 0)
        return false;
    for (size_t i = 0; i < body.len; i++)
        v = v << 8 | body.p[i];
    if (v > UINT32_MAX)
        return false;
    *in = left;
    *out = (uint32_t)v;
    return true;
}

/* ---- algorithms */

static const struct {
    enum ag_der_algorithm algorithm;
    size_t len;
    uint8_t oid[12];
    const char *name;
} algorithms[] = {
    {AG_DA_RSA, 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1}, "RSA"},
    {AG_DA_RSA_PSS, 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10}, "RSA-PSS"},
    {AG_DA_EC, 7, {0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1}, "elliptic curve"},
    {AG_DA_ED25519, 3, {0x2b, 0x65, 0x70}, "Ed25519"},
    {AG_DA_ED448, 3, {0x2b, 0x65, 0x71}, "Ed448"},
    {AG_DA_DSA, 7, {0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1}, "DSA"},
    {AG_DA_PBES2, 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 13}, "PBES2"},
    {AG_DA_PBKDF2, 9, {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 12}, "PBKDF2"},
    {AG_DA_SCRYPT, 9, {0x2b, 6, 1, 4, 1, 0xda, 0x47, 4, 11}, "scrypt"},
};
#define ALGORITHM_COUNT (sizeof algorithms / sizeof algorithms[0])

/* PKCS#5 v1 (1.2.840.113549.1.5.x) and PKCS#12 (1.2.840.113549.1.12.1.x) */
static bool is_pbes1(struct antag_slice oid)
{
    static const uint8_t pkcs5[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5};
    static const uint8_t pkcs12[] = {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 1};

    return (oid.len == sizeof pkcs5 + 1 && memcmp(oid.p, pkcs5, sizeof pkcs5) == 0 &&
            oid.p[sizeof pkcs5] <= 11) ||
           (oid.len == sizeof pkcs12 + 1 && memcmp(oid.p, pkcs12, sizeof pkcs12) == 0); /* public */
}

bool ag_der_take_algorithm(struct antag_slice *in, enum ag_der_algorithm *algorithm,
                           struct antag_slice *params)
{
    struct antag_slice body, oid;

    if (!ag_der_take(in, AG_DER_SEQUENCE, &body) || !ag_der_take(&body, AG_DER_OID, &oid))
        return false;
    *params = body;
    *algorithm = is_pbes1(oid) ? AG_DA_PBES1 : AG_DA_OTHER;
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (oid.len == algorithms[i].len &&
            memcmp(oid.p, algorithms[i].oid, oid.len) == 0) /* public */
            *algorithm = algorithms[i].algorithm;
    return true;
}

const char *ag_der_algorithm_name(enum ag_der_algorithm algorithm)
{
    for (size_t i = 0; i < ALGORITHM_COUNT; i++)
        if (algorithms[i].algorithm == algorithm)
            return algorithms[i].name;
    return "unknown";
}

/* ---- what it is, by the tags of its first members */

#define TAGS_MAX 10

/* Tags of the members; true when all of `body` is well-formed members, at most TAGS_MAX are told. */
static bool list_tags(struct antag_slice body, uint8_t tags[TAGS_MAX], size_t *count)
{
    struct ag_der value;

    memset(tags, 0, TAGS_MAX);
    for (*count = 0; body.len > 0; (*count)++) {
        if (!ag_der_next(&body, &value))
            return false;
        if (*count < TAGS_MAX)
            tags[*count] = value.tag;
    }
    return true;
}

static enum ag_der_kind kind_of_integer(const uint8_t *tags, size_t count)
{
    size_t integers = 0;

    if (tags[1] == AG_DER_OCTET_STRING)
        return AG_DK_EC_PRIVATE;
    if (tags[1] == AG_DER_SEQUENCE)
        return tags[2] == AG_DER_OCTET_STRING ? AG_DK_PKCS8 : AG_DK_PKCS12;
    while (integers < TAGS_MAX && tags[integers] == AG_DER_INTEGER)
        integers++;
    if (integers == 2 && count == 2)
        return AG_DK_PKCS1_PUBLIC;
    if (integers == 6 && count == 6)
        return AG_DK_DSA_PRIVATE;
    return integers >= 7 ? AG_DK_PKCS1 : AG_DK_OTHER;
}

static enum ag_der_kind kind_of_sequence(const uint8_t *tags, size_t count)
{
    if (count == 2 && tags[1] == AG_DER_OCTET_STRING)
        return AG_DK_PKCS8_ENCRYPTED;
    if (count == 2 && tags[1] == AG_DER_BIT_STRING)
        return AG_DK_SPKI;
    if (count == 3 && tags[1] == AG_DER_SEQUENCE && tags[2] == AG_DER_BIT_STRING)
        return AG_DK_CERTIFICATE;
    return AG_DK_OTHER;
}

enum antag_err ag_der_classify(struct antag_slice der, enum ag_der_kind *kind,
                               struct antag_slice *body, struct antag_fault *fault)
{
    uint8_t tags[TAGS_MAX];
    size_t count;

    if (!ag_der_take(&der, AG_DER_SEQUENCE, body))
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                               "it does not hold a key in DER, or is cut off");
    if (der.len > 0)
        return antag_fault_set(fault, ANTAG_ERR_KEY_TRAILING, NULL,
                               "there are %zu bytes after the end of the key", der.len);
    if (!list_tags(*body, tags, &count))
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "its DER is malformed");
    *kind = AG_DK_OTHER;
    if (tags[0] == AG_DER_INTEGER)
        *kind = kind_of_integer(tags, count);
    else if (tags[0] == AG_DER_SEQUENCE)
        *kind = kind_of_sequence(tags, count);
    return ANTAG_OK;
}
