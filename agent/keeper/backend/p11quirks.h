/* p11quirks: what is known of PKCS#11 modules that neither they nor their tokens say themselves. */
#ifndef AG_KEEPER_P11QUIRKS_H
#define AG_KEEPER_P11QUIRKS_H

#include <p11-kit/pkcs11.h>
#include <stddef.h>

struct ag_p11quirks {
    const char *maker,
        *library;    /* beginnings of manufacturerID and libraryDescription of CK_INFO */
    size_t sessions; /* most that may be used at the same time */
    const char *why; /* and where that stands */
};

/* The first row that fits; the last one, which asks for nothing, fits all. `info`: as C_GetInfo gives it. */
const struct ag_p11quirks *ag_p11quirks_of(const CK_INFO *info);

#endif
