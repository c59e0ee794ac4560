/* tss: the TPM Software Stack (tpm2-tss), loaded by keepers of TPM keyrings and by
 * openers of a TPM seal alone: no other process has its code. */
#ifndef AG_LIB_TPM_TSS_H
#define AG_LIB_TPM_TSS_H

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_rc.h>
#include <tss2/tss2_tctildr.h>

#include "antag/status.h"

/* library, function */
#define AG_TSS_CALLS(R)                                                                            \
    R(TCTILDR, Tss2_TctiLdr_Initialize)                                                            \
    R(TCTILDR, Tss2_TctiLdr_Finalize)                                                              \
    R(RC, Tss2_RC_Decode)                                                                          \
    R(MU, Tss2_MU_TPM2B_NAME_Marshal)                                                              \
    R(MU, Tss2_MU_TPM2B_NAME_Unmarshal)                                                            \
    R(MU, Tss2_MU_TPM2B_PUBLIC_Marshal)                                                            \
    R(MU, Tss2_MU_TPM2B_PUBLIC_Unmarshal)                                                          \
    R(MU, Tss2_MU_TPM2B_SENSITIVE_Marshal)                                                         \
    R(MU, Tss2_MU_TPMT_PUBLIC_Marshal)                                                             \
    R(MU, Tss2_MU_TPM2B_PRIVATE_Marshal)                                                           \
    R(MU, Tss2_MU_TPM2B_PRIVATE_Unmarshal)                                                         \
    R(ESYS, Esys_Initialize)                                                                       \
    R(ESYS, Esys_Finalize)                                                                         \
    R(ESYS, Esys_Free)                                                                             \
    R(ESYS, Esys_Startup)                                                                          \
    R(ESYS, Esys_CreatePrimary)                                                                    \
    R(ESYS, Esys_StartAuthSession)                                                                 \
    R(ESYS, Esys_TRSess_SetAttributes)                                                             \
    R(ESYS, Esys_TR_GetName)                                                                       \
    R(ESYS, Esys_TR_SetAuth)                                                                       \
    R(ESYS, Esys_Create)                                                                           \
    R(ESYS, Esys_Load)                                                                             \
    R(ESYS, Esys_GetRandom)                                                                        \
    R(ESYS, Esys_GetCapability)                                                                    \
    R(ESYS, Esys_TR_FromTPMPublic)                                                                 \
    R(ESYS, Esys_TestParms)                                                                        \
    R(ESYS, Esys_PCR_Read)                                                                         \
    R(ESYS, Esys_PolicyPCR)                                                                        \
    R(ESYS, Esys_PolicyGetDigest)                                                                  \
    R(ESYS, Esys_Unseal)                                                                           \
    R(ESYS, Esys_Import)                                                                           \
    R(ESYS, Esys_Sign)                                                                             \
    R(ESYS, Esys_FlushContext)

struct ag_tss {
#define AG_ROW(lib, name) __typeof__(&(name)) name;
    AG_TSS_CALLS(AG_ROW)
#undef AG_ROW
};
extern struct ag_tss ag_tss;

/* Once, before any other thread uses it. errors: PROTECTION naming what could not be loaded. */
ANTAG_MUST_CHECK enum antag_err ag_tss_load(struct antag_fault *fault);

#endif
