/* keyhunt: RSA private keys in bytes of any kind: PEM, bare base64 (as Antom's documentation and SDKs pass keys around), DER. Base64
 * may be broken by line ends, escapes (\n, \/), comment signs and string concatenation. What is reported is a key: its DER was
 * read and its parts belong together; public keys, certificates and shortened examples are not. Pure: no I/O. */
#ifndef CTL_KEYHUNT_H
#define CTL_KEYHUNT_H

#include "antag/types.h"

struct ctl_hunted {
    size_t offset, line; /* where it begins; lines from 1 */
    const char *form;    /* "PKCS#8 PEM", "PKCS#1 base64", "PKCS#8 DER", "encrypted PEM", ... */
    bool encrypted;      /* behind a passphrase: nothing more is known of it */
    unsigned bits;       /* of the modulus */
    char fingerprint
        [65]; /* SHA-256 of its SubjectPublicKeyInfo, lower-case hex; "" when encrypted */
    struct antag_slice
        der; /* private; valid in the callback only, wiped after it. Empty when encrypted */
};
typedef void ctl_hunted_fn(const struct ctl_hunted *found, void *ctx);

/* Everything found is told, in order of its place. Allocates nothing that outlives the call. */
void ctl_keyhunt(struct antag_slice data, ctl_hunted_fn *found, void *ctx);

#endif
