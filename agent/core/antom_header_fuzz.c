/* antom_header_fuzz: any bytes as a Signature header. What is taken must be a signature of possible
 * length, and rendering it must give a header that reads back the same. */
#include <stdlib.h>
#include <string.h>

#include "agent/core/antom.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ag_antom_signature sig, again;
    struct antag_fault fault;
    char text[AG_ANTOM_SIG_TEXT_MAX];

    if (ag_antom_signature_parse((struct antag_slice){data, size}, &sig, &fault) != ANTAG_OK) {
        if (fault.err != ANTAG_ERR_SIGNATURE_FORM || fault.text[0] == '\0')
            abort();
        return 0;
    }
    if (sig.len == 0 || sig.len > ANTAG_SIG_MAX ||
        strlen(sig.key_version) >= sizeof sig.key_version)
        abort();
    ag_antom_signature_render(1, (struct antag_slice){sig.raw, sig.len}, text);
    if (ag_antom_signature_parse(antag_slice_of(text), &again, NULL) != ANTAG_OK ||
        again.len != sig.len || memcmp(again.raw, sig.raw, sig.len) != 0 /* public */)
        abort();
    return 0;
}
