/* tpm: keys of a TPM 2.0, by ESAPI (TCG TSS 2.0 Enhanced System API). A key is made in the TPM and leaves it only wrapped by
 * the TPM's storage primary; the wrapped key and its random auth value stand sealed in the registry. Each signature is
 * verified in software before it is handed out.
 *
 * One connection, one thread at a time: a TPM does one thing after another (tpmlink.h). A TPM that was reset, or whose
 * connection broke, is connected again once and everything loaded anew. */
#include "agent/keeper/backend/tpm.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/keeper/backend/tpmimport.h"
#include "agent/lib/log.h"
#include "agent/lib/tpm/tpmlink.h"

#define AUTH_LEN 32
#define MADE_BITS                                                                                  \
    2048 /* of keys that are generated: all that Antom asks for, and that every TPM 2.0 has */
#define FORMAT 1u
#define RECORD_MAX                                                                                 \
    (1 + AUTH_LEN + sizeof(TPM2B_NAME) + sizeof(TPM2B_PUBLIC) + sizeof(TPM2B_PRIVATE))
_Static_assert(RECORD_MAX + AG_SEAL_OVERHEAD <= AG_SEALED_KEY_MAX, "a wrapped key fits its row");

struct tpm {
    struct ag_backend base;
    struct ag_conf_keyring conf;
    char of[ANTAG_KEYRING_MAX + 16];  /* its section of agent.conf */
    const struct ag_secret *ring_key; /* borrowed */
    pthread_mutex_t lock;             /* of the link */
    struct ag_tpm_link link;
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

/* ---- signing: the lock is held */

static TSS2_RC load_object(struct tpm *b, const struct tpm_key *key, ESYS_TR *out)
{
    TPM2B_AUTH auth = {.size = AUTH_LEN};
    TSS2_RC rc;

    do
        rc = ag_tss.Esys_Load(b->link.esys, b->link.primary, b->link.session, ESYS_TR_NONE,
                              ESYS_TR_NONE, &key->private, &key->public, out);
    while (ag_tpm_code(rc) == TPM2_RC_OBJECT_MEMORY && ag_tpm_unload_oldest(&b->link));
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    memcpy(auth.buffer, ag_secret_bytes(key->auth), AUTH_LEN);
    rc = ag_tss.Esys_TR_SetAuth(b->link.esys, *out, &auth);
    ag_secret_wipe(&auth, sizeof auth);
    if (rc != TSS2_RC_SUCCESS)
        (void)ag_tss.Esys_FlushContext(b->link.esys, *out);
    return rc;
}

static TSS2_RC need_object(struct tpm *b, const struct tpm_key *key, ESYS_TR *out)
{
    struct ag_tpm_loaded *l = ag_tpm_place(&b->link, key->handle);
    TSS2_RC rc;

    if (l->handle != key->handle) {
        if (l->handle != 0)
            ag_tpm_unload(&b->link, l);
        if ((rc = load_object(b, key, out)) != TSS2_RC_SUCCESS)
            return rc;
        *l = (struct ag_tpm_loaded){.handle = key->handle, .object = *out};
    }
    l->used = ++b->link.uses;
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
    rc = ag_tss.Esys_Sign(b->link.esys, object, b->link.session, ESYS_TR_NONE, ESYS_TR_NONE, &d,
                          &scheme, &ticket, &made);
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
    for (int tries = 0; tries < 2 && (err = ag_tpm_connect(&b->link, fault)) == ANTAG_OK; tries++) {
        rc = sign_in_tpm(b, key, digest, sig, sig_len);
        if (!ag_tpm_again(&b->link, rc))
            break;
    }
    pthread_mutex_unlock(&b->lock);
    if (err != ANTAG_OK)
        return err;
    if (rc != TSS2_RC_SUCCESS)
        return ag_tpm_failed(fault, "the TPM did not sign", rc);
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
    if (b->link.name.size == 0)
        b->link.name = *name;
    else if (!ag_tpm_is_name(&b->link.name, name))
        err = ANTAG_ERR_BACKEND;
    if (b->link.esys != NULL && !ag_tpm_is_name(&b->link.name, &b->link.current))
        ag_tpm_disconnect(&b->link);
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
    yes = b->link.esys != NULL;
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
    err = ag_tpm_need_stack(&b->link, fault);
    pthread_mutex_unlock(&b->lock);
    if (err == ANTAG_OK && (err = open_record(b, key, id, sealed)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "key with handle %llu, version %u: %s",
                        (unsigned long long)id->handle, (unsigned)id->version,
                        antag_err_message(err));
    if (err == ANTAG_OK && (err = ag_keyform_public(spki, &key->pub, fault)) == ANTAG_OK &&
        (err = keep_name(b, &key->parent, fault)) == ANTAG_OK)
        err = self_test(b, key, fault);
    if (err == ANTAG_ERR_BACKEND && key->pub != NULL &&
        ag_tpm_is_name(&b->link.name, &key->parent) && !is_connected(b))
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
    const TPM2B_PUBLIC template = {.publicArea = ag_tpm_signing_key(bits, AG_TPM_MADE_INSIDE)};
    TPM2B_SENSITIVE_CREATE sensitive = {.sensitive.userAuth.size = AUTH_LEN};
    TPM2B_PRIVATE *private = NULL;
    TPM2B_PUBLIC *public = NULL;
    TSS2_RC rc;

    memcpy(sensitive.sensitive.userAuth.buffer, ag_secret_bytes(key->auth), AUTH_LEN);
    do
        rc = ag_tss.Esys_Create(b->link.esys, b->link.primary, b->link.session, ESYS_TR_NONE,
                                ESYS_TR_NONE, &sensitive, &template, &outside, &pcrs, &private,
                                &public, NULL, NULL, NULL);
    while (ag_tpm_code(rc) == TPM2_RC_OBJECT_MEMORY && ag_tpm_unload_oldest(&b->link));
    ag_secret_wipe(&sensitive, sizeof sensitive);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    key->public = *public;
    key->private = *private;
    key->parent = b->link.current;
    ag_tss.Esys_Free(public);
    ag_tss.Esys_Free(private);
    return rc;
}

static enum antag_err no_such_keys(uint32_t bits, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, "bits",
                           "this TPM's firmware has no RSA keys of %u bits for RSASSA with SHA-256",
                           (unsigned)bits);
}

static enum antag_err create_again(struct tpm *b, struct tpm_key *key, uint32_t bits,
                                   struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    pthread_mutex_lock(&b->lock);
    for (int tries = 0; tries < 2 && (err = ag_tpm_connect(&b->link, fault)) == ANTAG_OK; tries++) {
        rc = create(b, key, bits);
        if (!ag_tpm_again(&b->link, rc))
            break;
    }
    pthread_mutex_unlock(&b->lock);
    if (err != ANTAG_OK || rc == TSS2_RC_SUCCESS)
        return err;
    if (ag_tpm_code(rc) == TPM2_RC_VALUE)
        return no_such_keys(bits, fault);
    return ag_tpm_failed(fault, "the TPM made no key", rc);
}

static enum antag_err public_of(struct tpm_key *key, struct ag_keyring_made *made,
                                struct antag_fault *fault)
{
    const TPM2B_PUBLIC_KEY_RSA *n = &key->public.publicArea.unique.rsa;
    UINT32 e = key->public.publicArea.parameters.rsaDetail.exponent;
    uint8_t exponent[4];

    e = e == 0 ? 65537 : e;
    for (int i = 0; i < 4; i++)
        exponent[i] = (uint8_t)(e >> (24 - 8 * i));
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

static enum antag_err import_again(struct tpm *b, struct tpm_key *key, const EVP_PKEY *whole,
                                   struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK, done = ANTAG_OK;
    TSS2_RC rc = TSS2_RC_SUCCESS;

    pthread_mutex_lock(&b->lock);
    for (int tries = 0; tries < 2 && (err = ag_tpm_connect(&b->link, fault)) == ANTAG_OK; tries++) {
        done = ag_tpm_import(&b->link, whole, key->auth, &key->public, &key->private, &rc);
        key->parent = b->link.current;
        if (!ag_tpm_again(&b->link, rc))
            break;
    }
    pthread_mutex_unlock(&b->lock);
    if (err != ANTAG_OK || done == ANTAG_OK)
        return err;
    if (rc == TSS2_RC_SUCCESS)
        return antag_fault_set(fault, done, NULL, "the key could not be packed for the TPM");
    if (ag_tpm_code(rc) == TPM2_RC_VALUE || ag_tpm_code(rc) == TPM2_RC_RANGE ||
        ag_tpm_code(rc) == TPM2_RC_SIZE || ag_tpm_code(rc) == TPM2_RC_KEY_SIZE)
        return no_such_keys((uint32_t)EVP_PKEY_get_bits(whole), fault);
    return ag_tpm_failed(fault, "the TPM does not take the key", rc);
}

static enum antag_err tpm_adopt(struct ag_backend *backend, const struct ag_key_identity *id,
                                struct antag_slice sealed, struct ag_backend_key **out,
                                struct ag_keyring_made *made, struct antag_fault *fault)
{
    struct tpm *b = (struct tpm *)backend;
    struct tpm_key *key = key_new(b, id->handle);
    EVP_PKEY *whole = NULL;
    enum antag_err err;

    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key");
    ag_random(ag_secret_bytes(key->auth), AUTH_LEN);
    if ((err = ag_keyform_unseal(sealed, b->ring_key, id, &whole)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the key does not open: %s", antag_err_message(err));
    if (err == ANTAG_OK && (err = import_again(b, key, whole, fault)) == ANTAG_OK &&
        (err = public_of(key, made, fault)) == ANTAG_OK &&
        (err = keep_name(b, &key->parent, fault)) == ANTAG_OK &&
        (err = self_test(b, key, fault)) == ANTAG_OK &&
        (err = seal_record(b, key, id, made)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the key could not be sealed");
    EVP_PKEY_free(whole);
    if (err != ANTAG_OK) {
        tpm_forget(&key->base);
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
    for (size_t i = 0; i < AG_TPM_LOADED_MAX; i++)
        if (b->link.esys != NULL && b->link.loaded[i].handle == handle)
            ag_tpm_unload(&b->link, &b->link.loaded[i]);
    pthread_mutex_unlock(&b->lock);
    return ANTAG_OK;
}

/* Does its firmware have the keys that Antom takes? The lock is held. */
static enum antag_err check_rsa(struct tpm *b, struct antag_fault *fault)
{
    const TPMT_PUBLIC_PARMS wanted = {
        .type = TPM2_ALG_RSA,
        .parameters = ag_tpm_signing_key(MADE_BITS, AG_TPM_MADE_INSIDE).parameters};
    TSS2_RC rc =
        ag_tss.Esys_TestParms(b->link.esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &wanted);

    if (rc == TSS2_RC_SUCCESS)
        return ANTAG_OK;
    if (ag_tpm_code(rc) == TPM2_RC_VALUE)
        return no_such_keys(MADE_BITS, fault);
    return ag_tpm_failed(fault, "the TPM does not say which keys it has", rc);
}

static enum antag_err tpm_check(struct ag_backend *backend, struct antag_fault *fault)
{
    struct tpm *b = (struct tpm *)backend;
    enum antag_err err;

    pthread_mutex_lock(&b->lock);
    if ((err = ag_tpm_check(&b->link, fault)) == ANTAG_OK)
        err = check_rsa(b, fault);
    pthread_mutex_unlock(&b->lock);
    return err;
}

/* ---- the whole */

static void tpm_close(struct ag_backend *backend)
{
    struct tpm *b = (struct tpm *)backend;

    if (b == NULL)
        return;
    ag_tpm_disconnect(&b->link);
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
    snprintf(b->of, sizeof b->of, "keyring %s", conf->name);
    b->ring_key = ring_key;
    b->link = (struct ag_tpm_link)AG_TPM_LINK(
        b->conf.tcti, b->of,
        "without that TPM its keys are lost: replace them by keys of another keyring");
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
    .adopt = tpm_adopt,
    .forget = tpm_forget,
    .destroy = tpm_destroy,
    .check = tpm_check,
};
