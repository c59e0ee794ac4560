/* sealtype: what the root key can be sealed with, by name. Pure. */
#ifndef AG_CORE_SEALTYPE_H
#define AG_CORE_SEALTYPE_H

#include "antag/types.h"

enum ag_seal_kind {
    AG_SEAL_FILE,
    AG_SEAL_PASSPHRASE,
    AG_SEAL_CREDENTIAL,
    AG_SEAL_TPM,
    AG_SEAL_KINDS
};

/* AG_SEAL_KINDS: there is none of that name. */
enum ag_seal_kind ag_seal_type_of(struct antag_slice name);
/* Is it made with a passphrase: its own, or of tpm that of recovery? */
bool ag_seal_takes_passphrase(enum ag_seal_kind kind);

#endif
