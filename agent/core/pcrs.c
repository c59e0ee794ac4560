#include "agent/core/pcrs.h"

#include <stdio.h>

static enum antag_err refuse(struct antag_slice text, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pcrs",
                           "\"%.*s\" is no list of PCRs: numbers 0 to %d with commas between, each "
                           "once, as 0,2,7",
                           (int)(text.len < 80 ? text.len : 80), (const char *)text.p,
                           AG_PCR_COUNT - 1);
}

enum antag_err ag_pcrs_parse(struct antag_slice text, uint32_t *out, struct antag_fault *fault)
{
    uint32_t pcrs = 0;
    size_t i = 0;

    for (;;) {
        unsigned n = 0;
        size_t digits = 0;

        for (; i < text.len && text.p[i] >= '0' && text.p[i] <= '9' && digits < 3; i++, digits++)
            n = n * 10 + (unsigned)(text.p[i] - '0');
        if (digits == 0 || n >= AG_PCR_COUNT || (pcrs & UINT32_C(1) << n) != 0)
            return refuse(text, fault);
        pcrs |= UINT32_C(1) << n;
        if (i == text.len)
            break;
        if (text.p[i++] != ',')
            return refuse(text, fault);
    }
    *out = pcrs;
    return ANTAG_OK;
}

void ag_pcrs_text(uint32_t pcrs, char out[AG_PCRS_TEXT])
{
    size_t at = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < AG_PCR_COUNT; i++)
        if ((pcrs & UINT32_C(1) << i) != 0)
            at += (size_t)snprintf(out + at, AG_PCRS_TEXT - at, "%s%u", at > 0 ? "," : "", i);
}
