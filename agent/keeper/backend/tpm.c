/* tpm: keys of a TPM 2.0, by ESAPI (TCG TSS 2.0 Enhanced System API). A key is made in the TPM and leaves it only wrapped by
 * the TPM's storage primary; the wrapped key and its random auth value stand sealed in the registry. Each signature is
 * verified in software before it is handed out.
 *
 * One connection, one thread at a time: a TPM does one thing after another. The storage primary follows from the TPM's owner
 * seed, so it is made anew at each connection and nothing is persisted; its name is compared with the one that every key was
 * made under. All that is secret crosses the bus encrypted, in a session salted to that primary. A TPM that was reset, or whose
 * connection broke, is connected again once and everything loaded anew. */
#include "agent/keeper/backend/tpm.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/keeper/backend/tss.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define TRY_AGAIN_MS 500 /* after a TPM that was not there */
#define LOADED_MAX   16 /* keys; a TPM without resource manager has room for two beside the primary */
#define AUTH_LEN     32
#define FORMAT       1u
#define RECORD_MAX                                                                                 \
    (1 + AUTH_LEN + sizeof(TPM2B_NAME) + sizeof(TPM2B_PUBLIC) + sizeof(TPM2B_PRIVATE))
_Static_assert(RECORD_MAX + AG_SEAL_OVERHEAD <= AG_SEALED_KEY_MAX, "a wrapped key fits its row");

struct loaded {
    uint64_t handle; /* of the key; 0: free */
    uint64_t used;   /* when, by the backend's count of uses */
    ESYS_TR object;
};

struct tpm {
    struct ag_backend base;
    struct ag_conf_keyring conf;
    const struct ag_secret *ring_key; /* borrowed */
    pthread_mutex_t lock;             /* of all below */
    bool stack;                       /* its libraries are loaded */
    TSS2_TCTI_CONTEXT *tcti;
    ESYS_CONTEXT *esys; /* NULL: not connected */
    ESYS_TR primary, session;
    TPM2B_NAME current; /* of that primary */
    TPM2B_NAME
    name; /* of the primary that all keys were made under; size 0: there are none so far */
    int64_t tried_ms; /* monotonic: of the last attempt to connect that failed; 0: none */
    char why[ANTAG_FAULT_TEXT_MAX + 1];
    uint64_t uses;
    struct loaded loaded[LOADED_MAX];
};

struct tpm_key {
    struct ag_backend_key base;
    uint64_t handle;
    struct ag_secret *auth;
    TPM2B_NAME parent;
    TPM2B_PUBLIC public;
    TPM2B_PRIVATE private; /* wrapped by the parent */
    EVP_PKEY *pub;
};

/* ---- what a TPM answers */

/* The code without layer and, in the format that has them, without the number of a parameter, handle or session. */
static TSS2_RC code_of(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK;

    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return rc;
    return (rc & TPM2_RC_FMT1) != 0 ? rc & (TPM2_RC_FMT1 | 0x3f) : rc & 0xfff;
}

/* After these neither the connection nor what is loaded is to be relied on. */
static bool is_lost(TSS2_RC rc)
{
    TSS2_RC layer = rc & TSS2_RC_LAYER_MASK, code = code_of(rc);

    if (layer != TSS2_TPM_RC_LAYER && layer != TSS2_RESMGR_TPM_RC_LAYER)
        return true; /* the stack's own: the connection broke, or an answer was not one, or its HMAC is wrong */
    return (code >= TPM2_RC_REFERENCE_H0 && code <= TPM2_RC_REFERENCE_S6) ||
           code == TPM2_RC_INITIALIZE || code == TPM2_RC_FAILURE || code == TPM2_RC_HANDLE;
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

static enum antag_err failed(struct antag_fault *fault, const char *what, TSS2_RC rc)
{
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++)
        if (causes[i].code == code_of(rc))
            return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s: %s (0x%x)", what,
                                   causes[i].text, (unsigned)rc);
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s: %s (0x%x)", what,
                           ag_tss.Tss2_RC_Decode(rc), (unsigned)rc);
}

/* ---- connection: the lock is held */

static void disconnect(struct tpm *b)
{
    if (b->esys != NULL) {
        if (b->session != ESYS_TR_NONE)
            (void)ag_tss.Esys_FlushContext(b->esys, b->session);
        for (size_t i = 0; i < LOADED_MAX; i++)
            if (b->loaded[i].handle != 0)
                (void)ag_tss.Esys_FlushContext(b->esys, b->loaded[i].object);
        if (b->primary != ESYS_TR_NONE)
            (void)ag_tss.Esys_FlushContext(b->esys, b->primary);
        ag_tss.Esys_Finalize(&b->esys);
    }
    memset(b->loaded, 0, sizeof b->loaded);
    b->session = b->primary = ESYS_TR_NONE;
    if (b->tcti != NULL)
        ag_tss.Tss2_TctiLdr_Finalize(&b->tcti);
}

/* A storage primary of ECC P-256: as TCG's provisioning guidance has the storage root key, but never subject to lockout. */
static TSS2_RC make_primary(struct tpm *b)
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

static bool is_name(const TPM2B_NAME *a, const TPM2B_NAME *b)
{
    return a->size == b->size && memcmp(a->name, b->name, a->size) == 0;
}

/* A TPM of another name is another TPM, or one that was cleared, or somebody on the bus who plays one. */
static enum antag_err check_name(struct tpm *b, struct antag_fault *fault)
{
    TPM2B_NAME *name = NULL;
    TSS2_RC rc = ag_tss.Esys_TR_GetName(b->esys, b->primary, &name);

    if (rc != TSS2_RC_SUCCESS)
        return failed(fault, "the storage primary has no name", rc);
    b->current = *name;
    ag_tss.Esys_Free(name);
    if (b->name.size == 0 || is_name(&b->name, &b->current))
        return ANTAG_OK;
    return antag_fault_set(
        fault, ANTAG_ERR_BACKEND, NULL,
        "this is not the TPM that made the keys, or it was cleared since (its storage primary has "
        "another "
        "name); without that TPM its keys are lost: replace them by keys of another keyring");
}

static TSS2_RC start_session(struct tpm *b)
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

static enum antag_err need_stack(struct tpm *b, struct antag_fault *fault)
{
    enum antag_err err = b->stack ? ANTAG_OK : ag_tss_load(fault);

    b->stack = err == ANTAG_OK;
    return err;
}

static enum antag_err connect_anew(struct tpm *b, struct antag_fault *fault)
{
    enum antag_err err;
    TSS2_RC rc;

    disconnect(b);
    if ((err = need_stack(b, fault)) != ANTAG_OK)
        return err;
    if ((rc = ag_tss.Tss2_TctiLdr_Initialize(b->conf.tcti, &b->tcti)) != TSS2_RC_SUCCESS)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, "tcti",
                               "[keyring %s] tcti = %s: no TPM answers: %s (0x%x)", b->conf.name,
                               b->conf.tcti, ag_tss.Tss2_RC_Decode(rc), (unsigned)rc);
    if ((rc = ag_tss.Esys_Initialize(&b->esys, b->tcti, NULL)) != TSS2_RC_SUCCESS)
        return failed(fault, "the TPM's stack does not start", rc);
    rc = make_primary(b);
    if (code_of(rc) == TPM2_RC_INITIALIZE) { /* without a firmware that has started it */
        (void)ag_tss.Esys_Startup(b->esys, TPM2_SU_CLEAR);
        rc = make_primary(b);
    }
    if (rc != TSS2_RC_SUCCESS)
        return failed(fault, "the TPM makes no storage primary", rc);
    if ((err = check_name(b, fault)) != ANTAG_OK)
        return err;
    rc = start_session(b);
    return rc == TSS2_RC_SUCCESS ? ANTAG_OK : failed(fault, "the TPM opens no session", rc);
}

static enum antag_err need_connection(struct tpm *b, struct antag_fault *fault)
{
    int64_t now_ms = ag_clock_mono_ms();
    enum antag_err err;

    if (b->esys != NULL)
        return ANTAG_OK;
    if (b->tried_ms != 0 && now_ms - b->tried_ms < TRY_AGAIN_MS)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s", b->why);
    if ((err = connect_anew(b, fault)) == ANTAG_OK) {
        b->tried_ms = 0;
        ag_log(AG_LOG_INFO, "tpm.open", AG_F_TEXT("keyring", b->conf.name),
               AG_F_TEXT("tcti", b->conf.tcti));
        return ANTAG_OK;
    }
    disconnect(b);
    b->tried_ms = now_ms;
    snprintf(b->why, sizeof b->why, "%s", antag_fault_text(fault));
    ag_log_fault(AG_LOG_WARN, "tpm.not_open", fault);
    return err;
}

/* ---- keys in the TPM: the lock is held */

static void unload(struct tpm *b, struct loaded *l)
{
    (void)ag_tss.Esys_FlushContext(b->esys, l->object);
    *l = (struct loaded){.handle = 0};
}

/* The place of `handle`; else a free one; else the one that was used longest ago. */
static struct loaded *place_of(struct tpm *b, uint64_t handle)
{
    struct loaded *best = &b->loaded[0];

    for (size_t i = 0; i < LOADED_MAX; i++) {
        struct loaded *l = &b->loaded[i];

        if (l->handle == handle)
            return l;
        if (best->handle != 0 && (l->handle == 0 || l->used < best->used))
            best = l;
    }
    return best;
}

/* False when none is loaded. */
static bool unload_oldest(struct tpm *b)
{
    struct loaded *oldest = NULL;

    for (size_t i = 0; i < LOADED_MAX; i++)
        if (b->loaded[i].handle != 0 && (oldest == NULL || b->loaded[i].used < oldest->used))
            oldest = &b->loaded[i];
    if (oldest != NULL)
        unload(b, oldest);
    return oldest != NULL;
}

static TSS2_RC load_object(struct tpm *b, const struct tpm_key *key, ESYS_TR *out)
{
    TPM2B_AUTH auth = {.size = AUTH_LEN};
    TSS2_RC rc;

    do
        rc = ag_tss.Esys_Load(b->esys, b->primary, b->session, ESYS_TR_NONE, ESYS_TR_NONE,
                              &key->private, &key->public, out);
    while (code_of(rc) == TPM2_RC_OBJECT_MEMORY && unload_oldest(b));
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    memcpy(auth.buffer, ag_secret_bytes(key->auth), AUTH_LEN);
    rc = ag_tss.Esys_TR_SetAuth(b->esys, *out, &auth);
    ag_secret_wipe(&auth, sizeof auth);
    if (rc != TSS2_RC_SUCCESS)
        (void)ag_tss.Esys_FlushContext(b->esys, *out);
    return rc;
}

static TSS2_RC need_object(struct tpm *b, const struct tpm_key *key, ESYS_TR *out)
{
    struct loaded *l = place_of(b, key->handle);
    TSS2_RC rc;

    if (l->handle != key->handle) {
        if (l->handle != 0)
            unload(b, l);
        if ((rc = load_object(b, key, out)) != TSS2_RC_SUCCESS)
            return rc;
        *l = (struct loaded){.handle = key->handle, .object = *out};
    }
    l->used = ++b->uses;
    *out = l->object;
    return TSS2_RC_SUCCESS;
}

static TSS2_RC sign_in_tpm(struct tpm *b, const struct tpm_key *key, const uint8_t digest[32],
                           uint8_t *sig, size_t *sig_len)
{
    const TPMT_SIG_SCHEME scheme = {.scheme = TPM2_ALG_NULL}; /* the key has its own */
    const TPMT_TK_HASHCHECK ticket = {.tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL};
    TPM2B_DIGEST d = {.size = 32};
    TPMT_SIGNATURE *made = NULL;
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc = need_object(b, key, &object);

    if (rc != TSS2_RC_SUCCESS)
        return rc;
    memcpy(d.buffer, digest, 32);
    rc = ag_tss.Esys_Sign(b->esys, object, b->session, ESYS_TR_NONE, ESYS_TR_NONE, &d, &scheme,
                          &ticket, &made);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    *sig_len = 0; /* of another kind or size: does not verify */
    if (made->sigAlg == TPM2_ALG_RSASSA && made->signature.rsassa.sig.size <= ANTAG_SIG_MAX) {
        *sig_len = made->signature.rsassa.sig.size;
        memcpy(sig, made->signature.rsassa.sig.buffer, *sig_len);
    }
    ag_tss.Esys_Free(made);
    return rc;
}

static enum antag_err sign_once(struct tpm *b, const struct tpm_key *key, const uint8_t digest[32],
                                uint8_t *sig, size_t *sig_len, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    pthread_mutex_lock(&b->lock);
    for (int tries = 0; tries < 2 && (err = need_connection(b, fault)) == ANTAG_OK; tries++) {
        rc = sign_in_tpm(b, key, digest, sig, sig_len);
        if (!is_lost(rc))
            break;
        disconnect(b);
    }
    pthread_mutex_unlock(&b->lock);
    if (err != ANTAG_OK)
        return err;
    if (rc != TSS2_RC_SUCCESS)
        return failed(fault, "the TPM did not sign", rc);
    if (!ag_keyform_verifies(key->pub, digest, (struct antag_slice){sig, *sig_len}))
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the TPM gave a signature that does not verify");
    return ANTAG_OK;
}

static void tpm_sign(struct ag_backend *backend, size_t worker, struct ag_backend_job *jobs,
                     size_t count)
{
    (void)worker;
    for (size_t i = 0; i < count; i++) {
        struct antag_fault fault = {0};

        jobs[i].err = sign_once((struct tpm *)backend, (struct tpm_key *)jobs[i].key,
                                jobs[i].digest, jobs[i].sig, &jobs[i].sig_len, &fault);
        if (jobs[i].err != ANTAG_OK) {
            jobs[i].sig_len = 0;
            ag_log_fault(AG_LOG_WARN, "tpm.sign", &fault);
        }
    }
}

/* ---- keys in the registry: format, auth value, name of the parent, public and wrapped private half */

static struct antag_slice ad_of(const struct ag_key_identity *id, char text[96])
{
    int n = snprintf(text, 96, "tpm key %llu of %llu %u version %u", (unsigned long long)id->handle,
                     (unsigned long long)id->profile_id, (unsigned)id->env, (unsigned)id->version);

    return (struct antag_slice){(const uint8_t *)text, (size_t)n};
}

static enum antag_err seal_record(struct tpm *b, const struct tpm_key *key,
                                  const struct ag_key_identity *id, struct ag_keyring_made *made)
{
    struct ag_secret *s = ag_secret_new(RECORD_MAX);
    size_t at = 1 + AUTH_LEN;
    enum antag_err err = ANTAG_ERR_INTERNAL;
    char ad[96];

    if (s == NULL)
        return ANTAG_ERR_NO_MEMORY;
    ag_secret_bytes(s)[0] = FORMAT;
    memcpy(ag_secret_bytes(s) + 1, ag_secret_bytes(key->auth), AUTH_LEN);
    if (ag_tss.Tss2_MU_TPM2B_NAME_Marshal(&key->parent, ag_secret_bytes(s), RECORD_MAX, &at) ==
            TSS2_RC_SUCCESS &&
        ag_tss.Tss2_MU_TPM2B_PUBLIC_Marshal(&key->public, ag_secret_bytes(s), RECORD_MAX, &at) ==
            TSS2_RC_SUCCESS &&
        ag_tss.Tss2_MU_TPM2B_PRIVATE_Marshal(&key->private, ag_secret_bytes(s), RECORD_MAX, &at) ==
            TSS2_RC_SUCCESS) {
        ag_secret_set_len(s, at);
        err = ag_seal(b->ring_key, ad_of(id, ad), s, made->sealed, sizeof made->sealed,
                      &made->sealed_len);
    }
    ag_secret_free(s);
    return err;
}

static enum antag_err open_record(struct tpm *b, struct tpm_key *key,
                                  const struct ag_key_identity *id, struct antag_slice sealed)
{
    struct ag_secret *s = NULL;
    size_t at = 1 + AUTH_LEN, len;
    enum antag_err err;
    const uint8_t *p;
    char ad[96];

    if ((err = ag_unseal(b->ring_key, ad_of(id, ad), sealed, &s)) != ANTAG_OK)
        return err;
    p = ag_secret_bytes(s);
    len = ag_secret_len(s);
    if (len <= at || p[0] != FORMAT ||
        ag_tss.Tss2_MU_TPM2B_NAME_Unmarshal(p, len, &at, &key->parent) != TSS2_RC_SUCCESS ||
        ag_tss.Tss2_MU_TPM2B_PUBLIC_Unmarshal(p, len, &at, &key->public) != TSS2_RC_SUCCESS ||
        ag_tss.Tss2_MU_TPM2B_PRIVATE_Unmarshal(p, len, &at, &key->private) != TSS2_RC_SUCCESS ||
        at != len)
        err = ANTAG_ERR_REGISTRY;
    else
        memcpy(ag_secret_bytes(key->auth), p + 1, AUTH_LEN);
    ag_secret_free(s);
    return err;
}

static void tpm_forget(struct ag_backend_key *k)
{
    struct tpm_key *key = (struct tpm_key *)k;

    if (key == NULL)
        return; /* what is loaded of it stays in the TPM, useless without the auth value, until something else needs the place */
    ag_secret_free(key->auth);
    EVP_PKEY_free(key->pub);
    free(key);
}

static struct tpm_key *key_new(struct tpm *b, uint64_t handle)
{
    struct tpm_key *key = calloc(1, sizeof *key);

    if (key == NULL)
        return NULL;
    key->base.backend = &b->base;
    key->handle = handle;
    if ((key->auth = ag_secret_new(AUTH_LEN)) == NULL) {
        free(key);
        return NULL;
    }
    ag_secret_set_len(key->auth, AUTH_LEN);
    return key;
}

static enum antag_err self_test(struct tpm *b, const struct tpm_key *key, struct antag_fault *fault)
{
    uint8_t digest[32], sig[ANTAG_SIG_MAX];
    size_t len = 0;
    enum antag_err err;

    ag_keyform_self_test_digest(digest);
    err = sign_once(b, key, digest, sig, &len, fault);
    ag_secret_wipe(sig, sizeof sig);
    return err;
}

/* All keys of a keyring are of one TPM: that of the first. A connection to another is closed. */
static enum antag_err keep_name(struct tpm *b, const TPM2B_NAME *name, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    pthread_mutex_lock(&b->lock);
    if (b->name.size == 0)
        b->name = *name;
    else if (!is_name(&b->name, name))
        err = ANTAG_ERR_BACKEND;
    if (b->esys != NULL && !is_name(&b->name, &b->current))
        disconnect(b);
    pthread_mutex_unlock(&b->lock);
    if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL,
                        "the key was made by another TPM than the others of this keyring, or "
                        "before it was cleared");
    return err;
}

static bool is_connected(struct tpm *b)
{
    bool yes;

    pthread_mutex_lock(&b->lock);
    yes = b->esys != NULL;
    pthread_mutex_unlock(&b->lock);
    return yes;
}

static enum antag_err tpm_load(struct ag_backend *backend, const struct ag_key_identity *id,
                               struct antag_slice spki, struct antag_slice sealed,
                               struct ag_backend_key **out, struct antag_fault *fault)
{
    struct tpm *b = (struct tpm *)backend;
    struct tpm_key *key = key_new(b, id->handle);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (key == NULL)
        return antag_fault_set(fault, err, NULL, "no memory for a key");
    pthread_mutex_lock(&b->lock);
    err = need_stack(b, fault);
    pthread_mutex_unlock(&b->lock);
    if (err == ANTAG_OK && (err = open_record(b, key, id, sealed)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "key with handle %llu, version %u: %s",
                        (unsigned long long)id->handle, (unsigned)id->version,
                        antag_err_message(err));
    if (err == ANTAG_OK && (err = ag_keyform_public(spki, &key->pub, fault)) == ANTAG_OK &&
        (err = keep_name(b, &key->parent, fault)) == ANTAG_OK)
        err = self_test(b, key, fault);
    if (err == ANTAG_ERR_BACKEND && key->pub != NULL && is_name(&b->name, &key->parent) &&
        !is_connected(b))
        err = ANTAG_OK; /* the TPM is not there; its signatures are checked when it is */
    if (err != ANTAG_OK) {
        tpm_forget(&key->base);
        return err;
    }
    *out = &key->base;
    return ANTAG_OK;
}

/* Makes the key pair: key->public, ->private, ->parent. The lock is held. */
static TSS2_RC create(struct tpm *b, struct tpm_key *key, uint32_t bits)
{
    const TPM2B_DATA outside = {.size = 0};
    const TPML_PCR_SELECTION pcrs = {.count = 0};
    const TPM2B_PUBLIC template = {
        .publicArea = {
            .type = TPM2_ALG_RSA,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT |
                                TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |
                                TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT,
            .parameters.rsaDetail = {
                .symmetric.algorithm = TPM2_ALG_NULL,
                .scheme = {.scheme = TPM2_ALG_RSASSA, .details.rsassa.hashAlg = TPM2_ALG_SHA256},
                .keyBits = (TPMI_RSA_KEY_BITS)bits,
                .exponent = 0}}}; /* 65537 */
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth.size = AUTH_LEN};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc;

    memcpy(sensitive.sensitive.userAuth.buffer, ag_secret_bytes(key->auth), AUTH_LEN);
    do
        rc = ag_tss.Esys_Create(b->esys, b->primary, b->session, ESYS_TR_NONE, ESYS_TR_NONE,
                                &sensitive, &template, &outside, &pcrs, &private, &public, NULL,
                                NULL, NULL);
    while (code_of(rc) == TPM2_RC_OBJECT_MEMORY && unload_oldest(b));
    ag_secret_wipe(&sensitive, sizeof sensitive);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    key->public = *public;
    key->private = *private;
    key->parent = b->current;
    ag_tss.Esys_Free(public);
    ag_tss.Esys_Free(private);
    return rc;
}

static enum antag_err create_again(struct tpm *b, struct tpm_key *key, uint32_t bits,
                                   struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    pthread_mutex_lock(&b->lock);
    for (int tries = 0; tries < 2 && (err = need_connection(b, fault)) == ANTAG_OK; tries++) {
        rc = create(b, key, bits);
        if (!is_lost(rc))
            break;
        disconnect(b);
    }
    pthread_mutex_unlock(&b->lock);
    if (err != ANTAG_OK || rc == TSS2_RC_SUCCESS)
        return err;
    if (code_of(rc) == TPM2_RC_VALUE)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, "bits",
                               "this TPM makes no RSA keys of %u bits", (unsigned)bits);
    return failed(fault, "the TPM made no key", rc);
}

static enum antag_err public_of(struct tpm_key *key, struct ag_keyring_made *made,
                                struct antag_fault *fault)
{
    static const uint8_t exponent[] = {1, 0, 1};
    const TPM2B_PUBLIC_KEY_RSA *n = &key->public.publicArea.unique.rsa;

    key->pub = ag_keyform_from_numbers((struct antag_slice){n->buffer, n->size},
                                       (struct antag_slice){exponent, sizeof exponent});
    if (key->pub == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the TPM gave a public key that is none");
    return ag_keyform_spki(key->pub, made->spki, &made->spki_len);
}

static enum antag_err tpm_generate(struct ag_backend *backend, const struct ag_key_identity *id,
                                   uint32_t bits, struct ag_backend_key **out,
                                   struct ag_keyring_made *made, struct antag_fault *fault)
{
    struct tpm *b = (struct tpm *)backend;
    struct tpm_key *key = key_new(b, id->handle);
    enum antag_err err;

    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key");
    ag_random(ag_secret_bytes(key->auth), AUTH_LEN);
    if ((err = create_again(b, key, bits, fault)) == ANTAG_OK &&
        (err = public_of(key, made, fault)) == ANTAG_OK &&
        (err = keep_name(b, &key->parent, fault)) == ANTAG_OK &&
        (err = self_test(b, key, fault)) == ANTAG_OK &&
        (err = seal_record(b, key, id, made)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the new key could not be sealed");
    if (err != ANTAG_OK) {
        tpm_forget(&key->base); /* it was nowhere but here, wrapped */
        return err;
    }
    *out = &key->base;
    return ANTAG_OK;
}

/* The registry has wiped the wrapped key; what is loaded of it goes now. */
static enum antag_err tpm_destroy(struct ag_backend *backend, uint64_t handle,
                                  struct antag_fault *fault)
{
    struct tpm *b = (struct tpm *)backend;

    (void)fault;
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < LOADED_MAX; i++)
        if (b->esys != NULL && b->loaded[i].handle == handle)
            unload(b, &b->loaded[i]);
    pthread_mutex_unlock(&b->lock);
    return ANTAG_OK;
}

/* ---- the whole */

static void tpm_close(struct ag_backend *backend)
{
    struct tpm *b = (struct tpm *)backend;

    if (b == NULL)
        return;
    disconnect(b);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* Connects when something is to be done: until the keys are loaded it is not known to which TPM. */
static enum antag_err tpm_open(const struct ag_conf_keyring *conf, const struct ag_secret *ring_key,
                               size_t workers, struct ag_backend **out, struct antag_fault *fault)
{
    struct tpm *b = calloc(1, sizeof *b);

    (void)workers;
    if (b == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "keyring %s: out of memory",
                               conf->name);
    b->base.ops = &ag_backend_tpm;
    b->conf = *conf;
    b->ring_key = ring_key;
    b->session = b->primary = ESYS_TR_NONE;
    pthread_mutex_init(&b->lock, NULL);
    *out = &b->base;
    return ANTAG_OK;
}

const struct ag_backend_ops ag_backend_tpm = {
    .open = tpm_open,
    .close = tpm_close,
    .sign = tpm_sign,
    .load = tpm_load,
    .generate = tpm_generate,
    .forget = tpm_forget,
    .destroy = tpm_destroy,
};
