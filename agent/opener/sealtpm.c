#include "agent/opener/sealtpm.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/pcrs.h"
#include "agent/lib/tpm/tpmlink.h"

#define REMEDY                                                                                     \
    "`antomctl unlock` opens it by its recovery passphrase, `antomctl seal renew` binds it anew"

/* ---- in the TPM */

static TPML_PCR_SELECTION selection_of(uint32_t pcrs)
{
    return (TPML_PCR_SELECTION){
        .count = 1,
        .pcrSelections[0] = {.hash = TPM2_ALG_SHA256,
                             .sizeofSelect = 3,
                             .pcrSelect = {pcrs & 0xff, (pcrs >> 8) & 0xff, (pcrs >> 16) & 0xff}}};
}

/* Does the TPM keep all of them in this bank? A policy over one that is not kept would hold always. */
static enum antag_err check_bank(struct ag_tpm_link *link, uint32_t pcrs, struct antag_fault *fault)
{
    uint32_t left = pcrs;

    while (left != 0) { /* one answer has eight at most */
        const TPML_PCR_SELECTION in = selection_of(left);
        TPML_PCR_SELECTION *out = NULL;
        TPML_DIGEST *values = NULL;
        char text[AG_PCRS_TEXT];
        uint32_t got = 0;
        TSS2_RC rc = ag_tss.Esys_PCR_Read(link->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &in,
                                          NULL, &out, &values);

        if (rc != TSS2_RC_SUCCESS)
            return ag_tpm_failed(fault, "the TPM does not read its PCRs", rc);
        for (uint32_t i = 0; i < out->count; i++)
            if (out->pcrSelections[i].hash == TPM2_ALG_SHA256)
                for (unsigned b = 0; b < 3 && b < out->pcrSelections[i].sizeofSelect; b++)
                    got |= (uint32_t)out->pcrSelections[i].pcrSelect[b] << (8 * b);
        ag_tss.Esys_Free(out);
        ag_tss.Esys_Free(values);
        ag_pcrs_text(left, text);
        if ((got & left) == 0)
            return antag_fault_set(fault, ANTAG_ERR_SEAL, "pcrs",
                                   "this TPM keeps no PCR %s in its SHA-256 bank; firmware setup "
                                   "can switch that bank on",
                                   text);
        left &= ~got;
    }
    return ANTAG_OK;
}

/* A session of `type` in which the policy has been run; encrypts what is answered. */
static TSS2_RC start_policy(struct ag_tpm_link *link, TPM2_SE type, uint32_t pcrs, ESYS_TR *out)
{
    const TPMT_SYM_DEF symmetric = {
        .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB};
    const TPM2B_DIGEST as_they_are = {.size = 0};
    const TPML_PCR_SELECTION selection = selection_of(pcrs);
    TSS2_RC rc = ag_tss.Esys_StartAuthSession(link->esys, link->primary, ESYS_TR_NONE, ESYS_TR_NONE,
                                              ESYS_TR_NONE, ESYS_TR_NONE, NULL, type, &symmetric,
                                              TPM2_ALG_SHA256, out);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = ag_tss.Esys_TRSess_SetAttributes(
        link->esys, *out, TPMA_SESSION_CONTINUESESSION | TPMA_SESSION_ENCRYPT, 0xff);
    if (rc == TSS2_RC_SUCCESS)
        rc = ag_tss.Esys_PolicyPCR(link->esys, *out, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                   &as_they_are, &selection);
    if (rc != TSS2_RC_SUCCESS) {
        (void)ag_tss.Esys_FlushContext(link->esys, *out);
        *out = ESYS_TR_NONE;
    }
    return rc;
}

static TSS2_RC policy_of(struct ag_tpm_link *link, uint32_t pcrs, TPM2B_DIGEST *out)
{
    ESYS_TR trial = ESYS_TR_NONE;
    TPM2B_DIGEST *digest = NULL;
    TSS2_RC rc = start_policy(link, TPM2_SE_TRIAL, pcrs, &trial);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = ag_tss.Esys_PolicyGetDigest(link->esys, trial, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                     &digest);
    if (rc == TSS2_RC_SUCCESS)
        *out = *digest;
    ag_tss.Esys_Free(digest);
    (void)ag_tss.Esys_FlushContext(link->esys, trial);
    return rc;
}

static TSS2_RC create(struct ag_tpm_link *link, const TPM2B_DIGEST *policy,
                      const struct ag_secret *key, TPM2B_PUBLIC **public, TPM2B_PRIVATE **private)
{
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION none = {.count = 0};
    const TPM2B_PUBLIC template = {
        .publicArea = {.type = TPM2_ALG_KEYEDHASH,
                       .nameAlg = TPM2_ALG_SHA256,
                       .objectAttributes =
                           TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_NODA,
                       .authPolicy = *policy,
                       .parameters.keyedHashDetail.scheme.scheme = TPM2_ALG_NULL}};
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.data.size = AG_KEY_LEN};
    TSS2_RC rc;

    memcpy(sensitive.sensitive.data.buffer, ag_secret_slice(key).p, AG_KEY_LEN);
    rc = ag_tss.Esys_Create(link->esys, link->primary, link->session, ESYS_TR_NONE, ESYS_TR_NONE,
                            &sensitive, &template, &outside, &none, private, public, NULL, NULL,
                            NULL);
    ag_secret_wipe(&sensitive, sizeof sensitive);
    return rc;
}

static TSS2_RC unseal(struct ag_tpm_link *link, uint32_t pcrs, const TPM2B_PRIVATE *private,
                      const TPM2B_PUBLIC *public, TPM2B_SENSITIVE_DATA **out)
{
    ESYS_TR object = ESYS_TR_NONE, session = ESYS_TR_NONE;
    TSS2_RC rc = ag_tss.Esys_Load(link->esys, link->primary, link->session, ESYS_TR_NONE,
                                  ESYS_TR_NONE, private, public, &object);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    rc = start_policy(link, TPM2_SE_POLICY, pcrs, &session);
    if (rc == TSS2_RC_SUCCESS)
        rc = ag_tss.Esys_Unseal(link->esys, object, session, ESYS_TR_NONE, ESYS_TR_NONE, out);
    if (session != ESYS_TR_NONE)
        (void)ag_tss.Esys_FlushContext(link->esys, session);
    (void)ag_tss.Esys_FlushContext(link->esys, object);
    return rc;
}

/* ---- to and from bytes */

static bool write_parts(const TPM2B_NAME *parent, const TPM2B_PUBLIC *public,
                        const TPM2B_PRIVATE *private, struct ag_tpm_sealed *out)
{
    memset(out, 0, sizeof *out);
    return ag_tss.Tss2_MU_TPM2B_NAME_Marshal(parent, out->parent, sizeof out->parent,
                                             &out->parent_len) == TSS2_RC_SUCCESS &&
           ag_tss.Tss2_MU_TPM2B_PUBLIC_Marshal(public, out->public, sizeof out->public,
                                               &out->public_len) == TSS2_RC_SUCCESS &&
           ag_tss.Tss2_MU_TPM2B_PRIVATE_Marshal(private, out->private, sizeof out->private,
                                                &out->private_len) == TSS2_RC_SUCCESS;
}

static bool read_parts(const struct ag_tpm_sealed *in, TPM2B_NAME *parent, TPM2B_PUBLIC *public,
                       TPM2B_PRIVATE *private)
{
    size_t a = 0, b = 0, c = 0;

    return ag_tss.Tss2_MU_TPM2B_NAME_Unmarshal(in->parent, in->parent_len, &a, parent) ==
               TSS2_RC_SUCCESS &&
           ag_tss.Tss2_MU_TPM2B_PUBLIC_Unmarshal(in->public, in->public_len, &b, public) ==
               TSS2_RC_SUCCESS &&
           ag_tss.Tss2_MU_TPM2B_PRIVATE_Unmarshal(in->private, in->private_len, &c, private) ==
               TSS2_RC_SUCCESS &&
           a == in->parent_len && b == in->public_len && c == in->private_len;
}

/* What the link said, as a seal's failure. */
static enum antag_err as_seal(struct antag_fault *fault, enum antag_err err)
{
    char text[ANTAG_FAULT_TEXT_MAX + 1];

    if (err != ANTAG_ERR_BACKEND)
        return err;
    snprintf(text, sizeof text, "%s", antag_fault_text(fault));
    return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL, "the seal in the TPM: %s", text);
}

/* ---- the two */

enum antag_err ag_sealtpm_seal(const char *tcti, uint32_t pcrs, const struct ag_secret *key,
                               struct ag_tpm_sealed *out, struct antag_fault *fault)
{
    struct ag_tpm_link link = AG_TPM_LINK(tcti, "seal", REMEDY);
    TPM2B_PUBLIC *public = NULL;
    TPM2B_PRIVATE *private = NULL;
    TPM2B_DIGEST policy = {.size = 0};
    enum antag_err err;
    TSS2_RC rc;

    if ((err = ag_tpm_connect(&link, fault)) != ANTAG_OK ||
        (err = check_bank(&link, pcrs, fault)) != ANTAG_OK)
        goto out;
    if ((rc = policy_of(&link, pcrs, &policy)) != TSS2_RC_SUCCESS)
        err = ag_tpm_failed(fault, "the TPM makes no policy of its PCRs", rc);
    else if ((rc = create(&link, &policy, key, &public, &private)) != TSS2_RC_SUCCESS)
        err = ag_tpm_failed(fault, "the TPM seals nothing", rc);
    else if (!write_parts(&link.current, public, private, out))
        err = antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "the TPM's seal has no usual size");
    if (public != NULL)
        ag_tss.Esys_Free(public);
    if (private != NULL)
        ag_tss.Esys_Free(private);
out:
    ag_tpm_disconnect(&link);
    return as_seal(fault, err);
}

static enum antag_err refused(struct antag_fault *fault, uint32_t pcrs, TSS2_RC rc)
{
    char text[AG_PCRS_TEXT];

    if (ag_tpm_code(rc) != TPM2_RC_POLICY_FAIL && ag_tpm_code(rc) != TPM2_RC_PCR_CHANGED)
        return ag_tpm_failed(fault, "it does not open", rc);
    ag_pcrs_text(pcrs, text);
    return antag_fault_set(
        fault, ANTAG_ERR_BACKEND, NULL,
        "PCR %s changed since it was made: firmware, its settings or what was booted; " REMEDY,
        text);
}

enum antag_err ag_sealtpm_unseal(const char *tcti, uint32_t pcrs,
                                 const struct ag_tpm_sealed *sealed, struct ag_secret **key,
                                 struct antag_fault *fault)
{
    struct ag_tpm_link link = AG_TPM_LINK(tcti, "seal", REMEDY);
    TPM2B_SENSITIVE_DATA *data = NULL;
    TPM2B_PUBLIC public = {.size = 0};
    TPM2B_PRIVATE private = {.size = 0};
    struct ag_secret *made = NULL;
    enum antag_err err;
    TSS2_RC rc;

    if ((err = ag_tpm_need_stack(&link, fault)) != ANTAG_OK)
        return err;
    if (!read_parts(sealed, &link.name, &public, &private))
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "the seal in the TPM: its parts are not of the TPM's form");
    if ((err = ag_tpm_connect(&link, fault)) != ANTAG_OK)
        goto out;
    if ((rc = unseal(&link, pcrs, &private, &public, &data)) != TSS2_RC_SUCCESS) {
        err = refused(fault, pcrs, rc);
    } else if (data->size != AG_KEY_LEN || (made = ag_secret_new(AG_KEY_LEN)) == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key of 32 bytes");
    } else {
        memcpy(ag_secret_bytes(made), data->buffer, AG_KEY_LEN);
        ag_secret_set_len(made, AG_KEY_LEN);
        *key = made;
    }
    if (data != NULL) {
        ag_secret_wipe(data, sizeof *data);
        ag_tss.Esys_Free(data);
    }
out:
    ag_tpm_disconnect(&link);
    return as_seal(fault, err);
}
