/* signwire: what front and keeper exchange: fixed-size entries, many a packet, over one SOCK_SEQPACKET
 * pair per (front thread, keyring). The keeper copies an entry once, then checks it; it trusts nothing
 * in it. Both ends are the same binary on the same host: native byte order, version in every entry. */
#ifndef AG_LIB_SIGNWIRE_H
#define AG_LIB_SIGNWIRE_H

#include <stdint.h>

#include "antag/limits.h"

#define AG_SIGNWIRE_VERSION 1u
#define AG_SIGNWIRE_BATCH   16 /* entries a packet at most */

struct ag_sign_job {
    uint32_t version;
    uint32_t env;        /* enum ag_env; must be the key's */
    uint64_t tag;        /* chosen by the front, comes back unchanged */
    uint64_t handle;     /* merchant key */
    uint64_t profile_id; /* must be the key's */
    uint8_t digest[32];  /* SHA-256 of the string to sign */
};

struct ag_sign_done {
    uint32_t version;
    uint32_t err; /* enum antag_err: OK, KEY_STATE, BAD_PARAM, BACKEND, RETRY, INTERNAL */
    uint64_t tag;
    uint32_t sig_len; /* 0 unless OK */
    uint8_t sig[ANTAG_SIG_MAX];
};

#endif
