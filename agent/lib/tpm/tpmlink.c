#include "agent/lib/tpm/tpmlink.h"

#include <stdio.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"

/* the first handle of each kind (TPM 2.0 library, part 2, 7.2); the headers shift an int for them */
#define TRANSIENT_FIRST UINT32_C(0x80000000)
#define SESSION_FIRST   UINT32_C(0x02000000)
#define TRY_AGAIN_MS    500 /* after a TPM that was not there */

/* ---- what a TPM answers */

/* The code without layer and, in the format that has them, without the number of a parameter, handle or session. */
TSS2_RC ag_tpm_code(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return rc;
    return (rc & TPM2_RC_FMT1) != 0 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc & 0xfff;
}

/* After these neither the connection nor what is loaded is to be relied on. */
bool ag_tpm_is_lost(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK, code = ag_tpm_code(rc);

    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return true; /* the stack's own: the connection broke, or an answer was not one, or its HMAC is wrong */
    return (code >= TPM2_RC_REFERENCE_H0 && code <= TPM2_RC_REFERENCE_S6) ||
           code == TPM2_RC_INITIALIZE || code == TPM2_RC_FAILURE || code == TPM2_RC_HANDLE;
}

static bool is_full(TSS2_RC rc)
{
    return ag_tpm_code(rc) == TPM2_RC_OBJECT_MEMORY || ag_tpm_code(rc) == TPM2_RC_SESSION_MEMORY ||
           ag_tpm_code(rc) == TPM2_RC_SESSION_HANDLES;
}

bool ag_tpm_again(struct ag_tpm_link *b, TSS2_RC rc)
{
    bool again = ag_tpm_is_lost(rc) || is_full(rc);

    if (rc != TSS2_RC_SUCCESS)
        ag_tpm_disconnect(b);
    b->leftovers = b->leftovers || again;
    return again;
}

static const struct {
    TSS2_RC code;
    const char *text;
} causes[] = {
    {TPM2_RC_LOCKOUT, "the TPM is in dictionary-attack lockout, which keys of the agent do not "
                      "bring about: wait, or "
                      "`tpm2_dictionarylockout --clear-lockout`"},
    {TPM2_RC_RETRY, "the TPM is busy with something else"},
    {TPM2_RC_YIELDED, "the TPM is busy with something else"},
    {TPM2_RC_TESTING, "the TPM tests itself"},
    {TPM2_RC_BAD_AUTH,
     "the TPM's owner hierarchy has a password; the agent works with one that has none"},
    {TPM2_RC_HIERARCHY, "the TPM's owner hierarchy is disabled (firmware setup)"},
    {TPM2_RC_INTEGRITY, "the key was not wrapped by this TPM"},
    {TPM2_RC_FAILURE, "the TPM is in failure mode; only a reset of the machine brings it back"},
};

enum antag_err ag_tpm_failed(struct antag_fault *fault, const char *what, TSS2_RC rc)
{
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].code == ag_tpm_code(rc))
            return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s: %s (0x%x)", what,
                                   causes[i].text, (unsigned)rc);
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s: %s (0x%x)", what,
                           ag_tss.Tss2_RC_Decode(rc), (unsigned)rc);
}

/* ---- connection */

void ag_tpm_disconnect(struct ag_tpm_link *b)
{
    if (b->esys != NULL) {
        if (b->session != ESYS_TR_NONE)
            (void)ag_tss.Esys_FlushContext(b->esys, b->session);
        for (size_t i = 0; i < AG_TPM_LOADED_MAX; i++)
            if (b->loaded[i].handle != 0)
                (void)ag_tss.Esys_FlushContext(b->esys, b->loaded[i].object);
        if (b->primary != ESYS_TR_NONE)
            (void)ag_tss.Esys_FlushContext(b->esys, b->primary);
        ag_tss.Esys_Finalize(&b->esys);
    }
    memset(b->loaded, 0, sizeof b->loaded);
    b->session = b->primary = ESYS_TR_NONE;
    if (b->transport != NULL)
        ag_tss.Tss2_TctiLdr_Finalize(&b->transport);
}

/* A storage primary of ECC P-256: as TCG's provisioning guidance has the storage root key, but never subject to lockout. */
static TSS2_RC make_primary(struct ag_tpm_link *b)
{
    const TPM2B_SENSITIVE_CREATE sensitive = {.size = 0};
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION pcrs = {.count = 0};
    const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_ECC,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                           TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                           TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA |
                                           TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
                       .parameters.eccDetail = {.symmetric = {.algorithm = TPM2_ALG_AES,
                                                              .keyBits.aes = 128,
                                                              .mode.aes = TPM2_ALG_CFB},
                                                .scheme.scheme = TPM2_ALG_NULL,
                                                .curveID = TPM2_ECC_NIST_P256,
                                                .kdf.scheme = TPM2_ALG_NULL}}};

    return ag_tss.Esys_CreatePrimary(b->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                     ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs,
                                     &b->primary, NULL, NULL, NULL, NULL);
}

/* What a connection that broke left in a TPM without resource manager, which is then ours alone: all of that kind goes. */
static void flush_all(struct ag_tpm_link *b, TPM2_HANDLE first)
{
    TPMS_CAPABILITY_DATA *found = NULL;
    TPMI_YES_NO more;

    if (ag_tss.Esys_GetCapability(b->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                  TPM2_CAP_HANDLES, first, 32, &more, &found) != TSS2_RC_SUCCESS)
        return;
    for (UINT32 i = 0; i < found->data.handles.count; i++) {
        ESYS_TR object = ESYS_TR_NONE;

        if (ag_tss.Esys_TR_FromTPMPublic(b->esys, found->data.handles.handle[i], ESYS_TR_NONE,
                                         ESYS_TR_NONE, ESYS_TR_NONE, &object) == TSS2_RC_SUCCESS)
            (void)ag_tss.Esys_FlushContext(b->esys, object);
    }
    ag_tss.Esys_Free(found);
}

bool ag_tpm_is_name(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
    return a->size == b->size && memcmp(a->name, b->name, a->size) == 0;
}

/* A TPM of another name is another TPM, or one that was cleared, or somebody on the bus who plays one. */
static enum antag_err check_name(struct ag_tpm_link *b, struct antag_fault *fault)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = ag_tss.Esys_TR_GetName(b->esys, b->primary, &name);

    if (rc != TSS2_RC_SUCCESS)
        return ag_tpm_failed(fault, "the storage primary has no name", rc);
    b->current = *name;
    ag_tss.Esys_Free(name);
    if (b->name.size == 0 || ag_tpm_is_name(&b->name, &b->current))
        return ANTAG_OK;
    return antag_fault_set(
        fault, ANTAG_ERR_BACKEND, NULL,
        "this is not the TPM it was made in, or the TPM was cleared since (its storage primary has "
        "another name); %s",
        b->lost);
}

static TSS2_RC start_session(struct ag_tpm_link *b)
{
    const TPMT_SYM_DEF symmetric = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    const TPMA_SESSION attributes =
        TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_DECRYPT | TPMA_SESSION_ENCRYPT;
    TSS2_RC rc = ag_tss.Esys_StartAuthSession(b->esys, b->primary, ESYS_TR_NONE, ESYS_TR_NONE,
                                              ESYS_TR_NONE, ESYS_TR_NONE, NULL, TPM2_SE_HMAC,
                                              &symmetric, TPM2_ALG_SHA256, &b->session);

    return rc != TSS2_RC_SUCCESS
               ? rc
               : ag_tss.Esys_TRSess_SetAttributes(b->esys, b->session, attributes, 0xff);
}

enum antag_err ag_tpm_need_stack(struct ag_tpm_link *b, struct antag_fault *fault)
{
    enum antag_err err = b->stack ? ANTAG_OK : ag_tss_load(fault);

    b->stack = err == ANTAG_OK;
    return err;
}

static enum antag_err connect_anew(struct ag_tpm_link *b, struct antag_fault *fault)
{
    enum antag_err err;
    TSS2_RC rc;

    ag_tpm_disconnect(b);
    if ((err = ag_tpm_need_stack(b, fault)) != ANTAG_OK)
        return err;
    if ((rc = ag_tss.Tss2_TctiLdr_Initialize(b->tcti, &b->transport)) != TSS2_RC_SUCCESS)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, "tcti",
                               "[%s] tcti = %s: no TPM answers: %s (0x%x)", b->of, b->tcti,
                               ag_tss.Tss2_RC_Decode(rc), (unsigned)rc);
    if ((rc = ag_tss.Esys_Initialize(&b->esys, b->transport, NULL)) != TSS2_RC_SUCCESS)
        return ag_tpm_failed(fault, "the TPM's stack does not start", rc);
    if (b->leftovers) {
        flush_all(b, TRANSIENT_FIRST);
        flush_all(b, SESSION_FIRST);
        b->leftovers = false;
    }
    rc = make_primary(b);
    if (ag_tpm_code(rc) == TPM2_RC_INITIALIZE) { /* without a firmware that has started it */
        (void)ag_tss.Esys_Startup(b->esys, TPM2_SU_CLEAR);
        rc = make_primary(b);
    }
    if (is_full(rc)) {
        flush_all(b, TRANSIENT_FIRST);
        rc = make_primary(b);
    }
    if (rc != TSS2_RC_SUCCESS)
        return ag_tpm_failed(fault, "the TPM makes no storage primary", rc);
    if ((err = check_name(b, fault)) != ANTAG_OK)
        return err;
    rc = start_session(b);
    if (is_full(rc)) {
        flush_all(b, SESSION_FIRST);
        rc = start_session(b);
    }
    return rc == TSS2_RC_SUCCESS ? ANTAG_OK : ag_tpm_failed(fault, "the TPM opens no session", rc);
}

enum antag_err ag_tpm_connect(struct ag_tpm_link *b, struct antag_fault *fault)
{
    int64_t now_ms = ag_clock_mono_ms();
    enum antag_err err;

    if (b->esys != NULL)
        return ANTAG_OK;
    if (b->tried_ms != 0 && now_ms - b->tried_ms < TRY_AGAIN_MS)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s", b->why);
    if ((err = connect_anew(b, fault)) == ANTAG_OK) {
        b->tried_ms = 0;
        ag_log(AG_LOG_INFO, "tpm.open", AG_F_TEXT("of", b->of), AG_F_TEXT("tcti", b->tcti));
        return ANTAG_OK;
    }
    ag_tpm_disconnect(b);
    b->tried_ms = now_ms;
    snprintf(b->why, sizeof b->why, "%s", antag_fault_text(fault));
    ag_log_fault(AG_LOG_WARN, "tpm.not_open", fault);
    return err;
}

enum antag_err ag_tpm_check(struct ag_tpm_link *b, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    TPM2B_DIGEST *random = NULL;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    for (int tries = 0; tries < 2 && (err = ag_tpm_connect(b, fault)) == ANTAG_OK; tries++) {
        rc = ag_tss.Esys_GetRandom(b->esys, b->session, ESYS_TR_NONE, ESYS_TR_NONE, 8, &random);
        if (rc == TSS2_RC_SUCCESS)
            ag_tss.Esys_Free(random);
        if (!ag_tpm_again(b, rc))
            break;
    }
    if (err != ANTAG_OK || rc == TSS2_RC_SUCCESS)
        return err;
    return ag_tpm_failed(fault, "the TPM does not work", rc);
}

/* ---- objects in the TPM */

TPMT_PUBLIC ag_tpm_signing_key(uint32_t bits, TPMA_OBJECT more)
{
    return (TPMT_PUBLIC){
        .type = TPM2_ALG_RSA,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes =
            more | TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT,
        .parameters.rsaDetail = {
            .symmetric.algorithm = TPM2_ALG_NULL,
            .scheme = {.scheme = TPM2_ALG_RSASSA, .details.rsassa.hashAlg = TPM2_ALG_SHA256},
            .keyBits = (TPMI_RSA_KEY_BITS)bits,
            .exponent = 0}}; /* 65537 */
}

void ag_tpm_unload(struct ag_tpm_link *b, struct ag_tpm_loaded *l)
{
    (void)ag_tss.Esys_FlushContext(b->esys, l->object);
    *l = (struct ag_tpm_loaded){.handle = 0};
}

/* The place of `handle`; else a free one; else the one that was used longest ago. */
struct ag_tpm_loaded *ag_tpm_place(struct ag_tpm_link *b, uint64_t handle)
{
    struct ag_tpm_loaded *best = &b->loaded[0];

    for (size_t i = 0; i < AG_TPM_LOADED_MAX; i++) {
        struct ag_tpm_loaded *l = &b->loaded[i];

        if (l->handle == handle)
            return l;
        if (best->handle != 0 && (l->handle == 0 || l->used < best->used))
            best = l;
    }
    return best;
}

/* False when none is loaded. */
bool ag_tpm_unload_oldest(struct ag_tpm_link *b)
{
    struct ag_tpm_loaded *oldest = NULL;

    for (size_t i = 0; i < AG_TPM_LOADED_MAX; i++)
        if (b->loaded[i].handle != 0 && (oldest == NULL || b->loaded[i].used < oldest->used))
            oldest = &b->loaded[i];
    if (oldest != NULL)
        ag_tpm_unload(b, oldest);
    return oldest != NULL;
}
