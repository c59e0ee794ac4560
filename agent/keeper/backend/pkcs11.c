/* pkcs11: private keys in a token, signatures by its module (PKCS #11 2.40), which is called directly. Keys are made in the
 * token, cannot be taken out of it, and are found by an id that follows from their handle and this keyring's key; what is
 * found must have the modulus that the registry says, so a token that came back with another key is refused. Each
 * signature is verified in software before it is handed out.
 *
 * Token and sessions are p11token's; a token that was lost is opened again once, and the keys in it are found anew. */
#include "agent/keeper/backend/pkcs11.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "agent/keeper/backend/p11token.h"
#include "agent/lib/log.h"

#define ID_LEN       32
#define MODULUS_MAX  (4096 / 8)
#define EXPONENT_MAX 8
#define DIGEST_INFO  51 /* DigestInfo of a SHA-256 */
#define LABEL        "antom-agent"

struct p11 {
    struct ag_backend base;
    const struct ag_secret *ring_key; /* borrowed */
    struct ag_p11 token;
};

struct p11_key {
    struct ag_backend_key base;
    uint8_t id[ID_LEN];
    EVP_PKEY *pub;
    _Atomic uint64_t generation; /* in which `object` was found */
    _Atomic(CK_OBJECT_HANDLE) object;
};

/* ---- objects: the lock is held for reading */

static void id_of(const struct p11 *b, uint64_t handle, uint8_t out[ID_LEN])
{
    char text[64];
    int n = snprintf(text, sizeof text, "pkcs11 key %llu", (unsigned long long)handle);

    ag_mac(b->ring_key, (struct antag_slice){(const uint8_t *)text, (size_t)n}, out);
}

/* Objects of a class with this id: how many, and the first. */
static CK_RV find_objects(struct p11 *b, CK_SESSION_HANDLE s, CK_OBJECT_CLASS class,
                          uint8_t id[ID_LEN], CK_OBJECT_HANDLE *first, CK_ULONG *count)
{
    CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, id, ID_LEN}};
    CK_OBJECT_HANDLE found[2];
    CK_RV rv = b->token.f->C_FindObjectsInit(s, template, 2), end;

    *count = 0;
    if (rv != CKR_OK)
        return rv;
    rv = b->token.f->C_FindObjects(s, found, 2, count);
    end = b->token.f->C_FindObjectsFinal(s);
    if (rv == CKR_OK && *count > 0)
        *first = found[0];
    return rv != CKR_OK ? rv : end;
}

/* The public half of an object, private or public. */
static CK_RV read_public(struct p11 *b, CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object,
                         EVP_PKEY **out)
{
    uint8_t n[MODULUS_MAX], e[EXPONENT_MAX];
    CK_ATTRIBUTE template[] = {{CKA_MODULUS, n, sizeof n}, {CKA_PUBLIC_EXPONENT, e, sizeof e}};
    CK_RV rv = b->token.f->C_GetAttributeValue(s, object, template, 2);

    if (rv != CKR_OK)
        return rv;
    if (template[0].ulValueLen > sizeof n || template[1].ulValueLen > sizeof e ||
        (*out = ag_keyform_from_numbers((struct antag_slice){n, template[0].ulValueLen},
                                        (struct antag_slice){e, template[1].ulValueLen})) == NULL)
        return CKR_ATTRIBUTE_VALUE_INVALID;
    return CKR_OK;
}

/* The private key of `key`, as it is in the token now. */
static CK_RV find_key(struct p11 *b, CK_SESSION_HANDLE s, struct p11_key *key, uint64_t generation)
{
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG count = 0;
    EVP_PKEY *pub = NULL;
    CK_RV rv = find_objects(b, s, CKO_PRIVATE_KEY, key->id, &object, &count);

    if (rv != CKR_OK)
        return rv;
    if (count != 1)
        return CKR_KEY_NEEDED; /* gone, or no longer one of its kind */
    if ((rv = read_public(b, s, object, &pub)) != CKR_OK)
        return rv;
    if (EVP_PKEY_eq(pub, key->pub) != 1)
        rv = CKR_KEY_CHANGED;
    EVP_PKEY_free(pub);
    if (rv == CKR_OK) {
        atomic_store(&key->object, object);
        atomic_store(&key->generation, generation);
    }
    return rv;
}

/* ---- signing */

static CK_RV sign_in(struct p11 *b, CK_SESSION_HANDLE s, struct p11_key *key,
                     const uint8_t digest[32], uint8_t *sig, size_t *sig_len)
{
    static const uint8_t prefix[DIGEST_INFO - 32] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
                                                     0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
                                                     0x01, 0x05, 0x00, 0x04, 0x20};
    CK_MECHANISM mechanism = {CKM_RSA_PKCS, NULL, 0};
    uint64_t generation = atomic_load(&b->token.generation);
    uint8_t info[DIGEST_INFO];
    CK_ULONG len = ANTAG_SIG_MAX;
    CK_RV rv = CKR_OK;

    if (generation == 0)
        return CKR_SESSION_CLOSED;
    if (atomic_load(&key->generation) != generation)
        rv = find_key(b, s, key, generation);
    if (rv != CKR_OK)
        return rv;
    memcpy(info, prefix, sizeof prefix);
    memcpy(info + sizeof prefix, digest, 32);
    rv = b->token.f->C_SignInit(s, &mechanism, atomic_load(&key->object));
    if (rv == CKR_OK)
        rv = b->token.f->C_Sign(s, info, sizeof info, sig, &len);
    *sig_len = len;
    return rv;
}

/* One signature; a token that was lost is opened again once. `worker`: whose session. */
static enum antag_err sign_once(struct p11 *b, size_t worker, struct p11_key *key,
                                const uint8_t digest[32], uint8_t *sig, size_t *sig_len,
                                struct antag_fault *fault)
{
    CK_RV rv = CKR_OK;
    enum antag_err err;

    for (int tries = 0; tries < 2; tries++) {
        uint64_t generation;

        pthread_rwlock_rdlock(&b->token.lock);
        generation = atomic_load(&b->token.generation);
        if (generation == 0) {
            rv = CKR_SESSION_CLOSED;
        } else {
            struct ag_p11_session *s = ag_p11_session_of(&b->token, worker);

            pthread_mutex_lock(&s->lock);
            rv = sign_in(b, s->handle, key, digest, sig, sig_len);
            pthread_mutex_unlock(&s->lock);
        }
        pthread_rwlock_unlock(&b->token.lock);
        if (!ag_p11_is_lost(rv))
            break;
        if ((err = ag_p11_need_sessions(&b->token, generation, fault)) != ANTAG_OK)
            return err;
    }
    if (rv == CKR_KEY_NEEDED)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the token does not hold this key, or holds several of its id");
    if (rv == CKR_KEY_CHANGED)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the token holds another key under this key's id");
    if (rv != CKR_OK)
        return ag_p11_failed(fault, "the token did not sign", rv);
    if (!ag_keyform_verifies(key->pub, digest, (struct antag_slice){sig, *sig_len}))
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the token gave a signature that does not verify");
    return ANTAG_OK;
}

static void p11_sign(struct ag_backend *backend, size_t worker, struct ag_backend_job *jobs,
                     size_t count)
{
    struct p11 *b = (struct p11 *)backend;

    for (size_t i = 0; i < count; i++) {
        struct antag_fault fault = {0};

        jobs[i].err = sign_once(b, worker, (struct p11_key *)jobs[i].key, jobs[i].digest,
                                jobs[i].sig, &jobs[i].sig_len, &fault);
        if (jobs[i].err != ANTAG_OK) {
            jobs[i].sig_len = 0;
            ag_log_fault(AG_LOG_WARN, "token.sign", &fault);
        }
    }
}

/* ---- keys */

static void p11_forget(struct ag_backend_key *k)
{
    struct p11_key *key = (struct p11_key *)k;

    if (key == NULL)
        return;
    EVP_PKEY_free(key->pub);
    free(key);
}

static struct p11_key *key_new(struct p11 *b, uint64_t handle)
{
    struct p11_key *key = calloc(1, sizeof *key);

    if (key == NULL)
        return NULL;
    key->base.backend = &b->base;
    id_of(b, handle, key->id);
    return key;
}

/* A signature over a text that can never be an Antom string, on the last session. */
static enum antag_err self_test(struct p11 *b, struct p11_key *key, struct antag_fault *fault)
{
    uint8_t digest[32], sig[ANTAG_SIG_MAX];
    size_t len = 0;
    enum antag_err err;

    ag_keyform_self_test_digest(digest);
    err = sign_once(b, b->token.workers, key, digest, sig, &len, fault);
    ag_secret_wipe(sig, sizeof sig);
    return err;
}

static enum antag_err p11_load(struct ag_backend *backend, const struct ag_key_identity *id,
                               struct antag_slice spki, struct antag_slice sealed,
                               struct ag_backend_key **out, struct antag_fault *fault)
{
    struct p11 *b = (struct p11 *)backend;
    struct p11_key *key = key_new(b, id->handle);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    (void)sealed; /* the mark that the registry keeps; what it stands for is in the token */
    if (key != NULL && (err = ag_keyform_public(spki, &key->pub, fault)) == ANTAG_OK)
        err = self_test(b, key, fault);
    if (err == ANTAG_ERR_BACKEND && atomic_load(&b->token.generation) == 0)
        err = ANTAG_OK; /* the token is not there; it is found, and compared, when it is */
    if (err != ANTAG_OK) {
        p11_forget(key == NULL ? NULL : &key->base);
        return err;
    }
    *out = &key->base;
    return ANTAG_OK;
}

static CK_RV destroy_class(struct p11 *b, CK_SESSION_HANDLE s, CK_OBJECT_CLASS class,
                           uint8_t id[ID_LEN])
{
    CK_OBJECT_HANDLE object = 0;
    CK_ULONG count = 0;
    CK_RV rv;

    while ((rv = find_objects(b, s, class, id, &object, &count)) == CKR_OK && count > 0)
        if ((rv = b->token.f->C_DestroyObject(s, object)) != CKR_OK)
            break;
    return rv;
}

/* Runs `work` on the last session, once more when the token was lost. */
struct spare_work {
    uint8_t id[ID_LEN];
    uint32_t bits;
    EVP_PKEY *pub;
};
static enum antag_err on_spare(struct p11 *b, const char *what, struct spare_work *work,
                               CK_RV run(struct p11 *b, CK_SESSION_HANDLE s,
                                         struct spare_work *work),
                               struct antag_fault *fault)
{
    CK_RV rv = CKR_OK;
    enum antag_err err = ANTAG_OK;

    for (int tries = 0; tries < 2 && err == ANTAG_OK; tries++) {
        uint64_t generation;

        pthread_rwlock_rdlock(&b->token.lock);
        generation = atomic_load(&b->token.generation);
        if (generation == 0) {
            rv = CKR_SESSION_CLOSED;
        } else {
            struct ag_p11_session *s = ag_p11_session_of(&b->token, b->token.workers);

            pthread_mutex_lock(&s->lock);
            rv = run(b, s->handle, work);
            pthread_mutex_unlock(&s->lock);
        }
        pthread_rwlock_unlock(&b->token.lock);
        if (!ag_p11_is_lost(rv))
            break;
        err = ag_p11_need_sessions(&b->token, generation, fault);
    }
    return err != ANTAG_OK ? err : rv == CKR_OK ? ANTAG_OK : ag_p11_failed(fault, what, rv);
}

static CK_RV destroy_both(struct p11 *b, CK_SESSION_HANDLE s, struct spare_work *work)
{
    CK_RV rv = destroy_class(b, s, CKO_PRIVATE_KEY, work->id);
    CK_RV pub = destroy_class(b, s, CKO_PUBLIC_KEY, work->id);

    return rv != CKR_OK ? rv : pub;
}

static enum antag_err p11_destroy(struct ag_backend *backend, uint64_t handle,
                                  struct antag_fault *fault)
{
    struct p11 *b = (struct p11 *)backend;
    struct spare_work work = {.bits = 0};

    id_of(b, handle, work.id);
    return on_spare(b, "the token did not destroy the key", &work, destroy_both, fault);
}

static CK_RV generate_pair(struct p11 *b, CK_SESSION_HANDLE s, struct spare_work *work)
{
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG bits = work->bits;
    uint8_t exponent[] = {1, 0, 1};
    char label[] = LABEL;
    CK_ATTRIBUTE public[] = {{CKA_TOKEN, &yes, sizeof yes},
                             {CKA_VERIFY, &yes, sizeof yes},
                             {CKA_MODULUS_BITS, &bits, sizeof bits},
                             {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent},
                             {CKA_ID, work->id, ID_LEN},
                             {CKA_LABEL, label, sizeof label - 1}};
    CK_ATTRIBUTE private[] = {
        {CKA_TOKEN, &yes, sizeof yes},       {CKA_PRIVATE, &yes, sizeof yes},
        {CKA_SENSITIVE, &yes, sizeof yes},   {CKA_EXTRACTABLE, &no, sizeof no},
        {CKA_SIGN, &yes, sizeof yes},        {CKA_ID, work->id, ID_LEN},
        {CKA_LABEL, label, sizeof label - 1}};
    CK_OBJECT_HANDLE pub, priv;
    CK_RV rv =
        b->token.f->C_GenerateKeyPair(s, &mechanism, public, sizeof public / sizeof *public,
                                      private, sizeof private / sizeof *private, &pub, &priv);

    return rv == CKR_OK ? read_public(b, s, pub, &work->pub) : rv;
}

/* The registry keeps a mark in place of a private half: the id, sealed. */
static enum antag_err seal_mark(struct p11 *b, const struct p11_key *key,
                                struct ag_keyring_made *made)
{
    struct ag_secret *mark = ag_secret_new(ID_LEN);
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (mark != NULL) {
        memcpy(ag_secret_bytes(mark), key->id, ID_LEN);
        ag_secret_set_len(mark, ID_LEN);
        err = ag_seal(b->ring_key, antag_slice_of("pkcs11"), mark, made->sealed,
                      sizeof made->sealed, &made->sealed_len);
    }
    ag_secret_free(mark);
    return err;
}

static enum antag_err p11_generate(struct ag_backend *backend, const struct ag_key_identity *id,
                                   uint32_t bits, struct ag_backend_key **out,
                                   struct ag_keyring_made *made, struct antag_fault *fault)
{
    struct p11 *b = (struct p11 *)backend;
    struct p11_key *key = key_new(b, id->handle);
    struct spare_work work = {.bits = bits};
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (key == NULL)
        return antag_fault_set(fault, err, NULL, "no memory for a key");
    memcpy(work.id, key->id, ID_LEN);
    err = on_spare(b, "the token made no key", &work, generate_pair, fault);
    key->pub = work.pub;
    if (err == ANTAG_OK)
        err = ag_keyform_spki(key->pub, made->spki, &made->spki_len);
    if (err == ANTAG_OK)
        err = self_test(b, key, fault);
    if (err == ANTAG_OK)
        err = seal_mark(b, key, made);
    if (err != ANTAG_OK) { /* nobody has seen it */
        struct antag_fault unused;

        (void)!p11_destroy(backend, id->handle, &unused);
        p11_forget(&key->base);
        return err;
    }
    *out = &key->base;
    return ANTAG_OK;
}

/* Asks the token something, so that one which is gone is noticed. */
static CK_RV ask_token(struct p11 *b, CK_SESSION_HANDLE s, struct spare_work *work)
{
    CK_SESSION_INFO info;

    (void)work;
    return b->token.f->C_GetSessionInfo(s, &info);
}

static enum antag_err p11_check(struct ag_backend *backend, struct antag_fault *fault)
{
    struct spare_work work = {.bits = 0};

    return on_spare((struct p11 *)backend, "the token does not answer", &work, ask_token, fault);
}

static enum antag_err p11_take_pin(struct ag_backend *backend, struct antag_slice sealed,
                                   struct antag_fault *fault)
{
    return ag_p11_take_pin(&((struct p11 *)backend)->token, sealed, fault);
}

/* ---- the whole */

static void p11_close(struct ag_backend *backend)
{
    struct p11 *b = (struct p11 *)backend;

    if (b == NULL)
        return;
    ag_p11_fini(&b->token);
    free(b);
}

static enum antag_err p11_open(const struct ag_conf_keyring *conf, const struct ag_secret *ring_key,
                               size_t workers, struct ag_backend **out, struct antag_fault *fault)
{
    struct p11 *b = calloc(1, sizeof *b);
    struct antag_fault why = {0};

    (void)fault;
    if (b == NULL)
        return ANTAG_ERR_NO_MEMORY;
    b->base.ops = &ag_backend_pkcs11;
    b->ring_key = ring_key;
    if (ag_p11_init(&b->token, conf, ring_key, workers) != ANTAG_OK) {
        p11_close(&b->base);
        return ANTAG_ERR_NO_MEMORY;
    }
    (void)!ag_p11_need_sessions(&b->token, 0,
                                &why); /* a module or token that is not there yet may come */
    *out = &b->base;
    return ANTAG_OK;
}

const struct ag_backend_ops ag_backend_pkcs11 = {
    .open = p11_open,
    .close = p11_close,
    .sign = p11_sign,
    .load = p11_load,
    .generate = p11_generate,
    .forget = p11_forget,
    .destroy = p11_destroy,
    .check = p11_check,
    .take_pin = p11_take_pin,
};
