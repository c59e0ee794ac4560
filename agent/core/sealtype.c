#include "agent/core/sealtype.h"

static const char *const names[AG_SEAL_KINDS] = {[AG_SEAL_FILE] = "file",
                                                 [AG_SEAL_PASSPHRASE] = "passphrase",
                                                 [AG_SEAL_CREDENTIAL] = "credential",
                                                 [AG_SEAL_TPM] = "tpm"};

enum ag_seal_kind ag_seal_type_of(struct antag_slice name)
{
    enum ag_seal_kind k = AG_SEAL_FILE;

    while (k < AG_SEAL_KINDS && !antag_slice_is(name, names[k]))
        k++;
    return k;
}

bool ag_seal_takes_passphrase(enum ag_seal_kind kind)
{
    return kind == AG_SEAL_PASSPHRASE || kind == AG_SEAL_TPM;
}
