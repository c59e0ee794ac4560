/* signwire: what front and keeper exchange: fixed-size entries, many a packet, over one SOCK_SEQPACKET
 * pair per (front thread, keyring). The keeper copies an entry once, then checks it; it trusts nothing
 * in it. Both ends are the same binary on the same host: native byte order, version in every entry. */
#ifndef AG_LIB_SIGNWIRE_H
#define AG_LIB_SIGNWIRE_H

#include <stdint.h>

#include "antag/limits.h"

#define AG_SIGNWIRE_VERSION 3u
#define AG_SIGNWIRE_BATCH   16 /* entries a packet at most */

/* what the front says of a request, for the record; name, bytes at most */
#define AG_SIGN_TEXTS(R)                                                                           \
    R(unit, ANTAG_UNIT_MAX) /* of the caller */                                                    \
    R(profile, ANTAG_PROFILE_MAX)                                                                  \
    R(client_id, ANTAG_CLIENT_ID_MAX)                                                              \
    R(merchant, ANTAG_MERCHANT_MAX)                                                                \
    R(method, ANTAG_METHOD_MAX)                                                                    \
    R(trace, ANTAG_TRACE_MAX)                                                                      \
    R(path, ANTAG_URI_MAX + 16) /* as signed, without the query */

/* The front's claim: the keeper bounds it and writes it down, and decides nothing by it. */
struct ag_sign_claim {
    uint32_t uid, gid;
    int32_t pid;
#define AG_ROW(name, max) uint16_t name##_len;
    AG_SIGN_TEXTS(AG_ROW)
#undef AG_ROW
#define AG_ROW(name, max) uint8_t name[max];
    AG_SIGN_TEXTS(AG_ROW)
#undef AG_ROW
};

struct ag_sign_job {
    uint32_t version;
    uint32_t env;        /* enum ag_env; must be the key's */
    uint64_t tag;        /* chosen by the front, comes back unchanged */
    uint64_t handle;     /* merchant key */
    uint64_t profile_id; /* must be the key's */
    uint8_t digest[32];  /* SHA-256 of the string to sign */
    struct ag_sign_claim claim;
};

struct ag_sign_done {
    uint32_t version;
    uint32_t
        err; /* enum antag_err: OK, KEY_STATE, BAD_PARAM, BACKEND, RETRY, BUSY, AUDIT, INTERNAL */
    uint64_t tag;
    uint64_t seq;            /* of its line in the keyring's chain; 0: none was written */
    uint32_t sig_len;        /* 0 unless OK */
    uint32_t retry_after_ms; /* of BUSY; else 0 */
    uint8_t sig[ANTAG_SIG_MAX];
};

#endif
