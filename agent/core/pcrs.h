/* pcrs: platform configuration registers of a TPM as text ("0,2,7") and as a set of bits. Pure. */
#ifndef AG_CORE_PCRS_H
#define AG_CORE_PCRS_H

#include "antag/status.h"
#include "antag/types.h"

#define AG_PCR_COUNT 24
#define AG_PCR_ALL   ((UINT32_C(1) << AG_PCR_COUNT) - 1)
#define AG_PCRS_DEFAULT                                                                            \
    (UINT32_C(1) << 7)  /* the state of Secure Boot (TCG PC Client firmware profile) */
#define AG_PCRS_TEXT 64 /* all of them, with commas, and the end */

/* Numbers 0 to 23 with commas between, each once. errors: BAD_PARAM of field "pcrs". */
ANTAG_MUST_CHECK enum antag_err ag_pcrs_parse(struct antag_slice text, uint32_t *out,
                                              struct antag_fault *fault);
void ag_pcrs_text(uint32_t pcrs, char out[AG_PCRS_TEXT]); /* ascending */

#endif
