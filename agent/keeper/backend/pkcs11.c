/* pkcs11: private keys in a token, signatures by its module (PKCS #11 2.40), which is called directly. Keys are made in the
 * token, cannot be taken out of it, and are found by an id that follows from their handle and this keyring's key; what is
 * found must have the modulus that the registry says, so a token that came back with another key is refused. Each
 * signature is verified in software before it is handed out.
 *
 * A session for each who signs, one more for all else. Signing holds the lock for reading; whoever finds the token gone
 * takes it for writing, closes everything, opens it again and finds the keys anew. A PIN that the token refuses is not tried
 * a second time. */
#include "agent/keeper/backend/pkcs11.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "agent/keeper/backend/p11kit.h"
#include "agent/keeper/backend/p11quirks.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/lib/secretfile.h"

#define ID_LEN       32
#define SLOTS_MAX    64
#define TRY_AGAIN_MS 500 /* after a token that was not there */
#define MODULUS_MAX  (4096 / 8)
#define EXPONENT_MAX 8
#define DIGEST_INFO  51 /* DigestInfo of a SHA-256 */
#define LABEL        "antom-agent"

struct p11_session {
    CK_SESSION_HANDLE handle;
    pthread_mutex_t lock; /* does one thing at a time */
};

struct p11 {
    struct ag_backend base;
    struct ag_conf_keyring conf;
    const struct ag_secret *ring_key; /* borrowed */
    size_t workers;
    CK_FUNCTION_LIST *f;
    P11KitUri *uri;
    pthread_rwlock_t lock;
    _Atomic uint64_t generation; /* of the sessions; 0: none are open */
    uint64_t last_generation;
    int64_t tried_ms; /* monotonic: of the last attempt to open them */
    bool pin_refused;
    char why[ANTAG_FAULT_TEXT_MAX + 1]; /* why there are none */
    CK_SLOT_ID slot;
    struct p11_session *sessions; /* room for one a worker, and one more */
    size_t session_count;         /* that are open; workers share them when there are fewer */
};

struct p11_key {
    struct ag_backend_key base;
    uint8_t id[ID_LEN];
    EVP_PKEY *pub;
    _Atomic uint64_t generation; /* in which `object` was found */
    _Atomic(CK_OBJECT_HANDLE) object;
};

/* ---- errors */

static enum antag_err failed(struct antag_fault *fault, const char *what, CK_RV rv)
{
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s: %s (0x%lx)", what,
                           ag_p11kit.strerror(rv), (unsigned long)rv);
}

/* Answers after which sessions and objects are not to be relied on: the token is gone, was reset or is another. */
static bool is_lost(CK_RV rv)
{
    switch (rv) {
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_REMOVED:
    case CKR_DEVICE_MEMORY:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_SESSION_CLOSED:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_OBJECT_HANDLE_INVALID:
    case CKR_KEY_HANDLE_INVALID:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_GENERAL_ERROR:
        return true;
    default:
        return false;
    }
}

/* ---- the module's file and the PIN */

static enum antag_err refuse_conf(struct antag_fault *fault, const struct p11 *b, const char *key,
                                  const char *path, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, key, "[keyring %s] %s = %s %s", b->conf.name,
                           key, path, why);
}

/* Code that is loaded into the process which holds the PIN. */
static enum antag_err check_module(const struct p11 *b, struct antag_fault *fault)
{
    struct stat st;

    if (stat(b->conf.module, &st) != 0)
        return refuse_conf(fault, b, "module", b->conf.module, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return refuse_conf(fault, b, "module", b->conf.module, "is not a file");
    if (st.st_uid != 0 && st.st_uid != geteuid())
        return refuse_conf(fault, b, "module", b->conf.module,
                           "belongs to another user; it must be root's or the agent's");
    if ((st.st_mode & 022) != 0)
        return refuse_conf(fault, b, "module", b->conf.module, "can be written by others");
    return ANTAG_OK;
}

static enum antag_err read_pin(const struct p11 *b, struct ag_secret **out,
                               struct antag_fault *fault)
{
    struct antag_fault why;

    if (ag_secret_read_line(b->conf.pin_file, out, &why) == ANTAG_OK)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, "pin_file", "[keyring %s] pin_file: %s",
                           b->conf.name, antag_fault_text(&why));
}

/* "NAME=VALUE", which the module reads when it starts. */
static enum antag_err set_environment(const struct p11 *b, struct antag_fault *fault)
{
    char name[sizeof b->conf.environment];
    char *at;

    if (b->conf.environment[0] == '\0')
        return ANTAG_OK;
    snprintf(name, sizeof name, "%s", b->conf.environment);
    at = strchr(name, '=');
    if (at == NULL || at == name)
        return refuse_conf(fault, b, "environment", name, "is not NAME=VALUE");
    *at = '\0';
    return setenv(name, at + 1, 1) == 0
               ? ANTAG_OK
               : refuse_conf(fault, b, "environment", name, "cannot be set");
}

static enum antag_err load_module(struct p11 *b, struct antag_fault *fault)
{
    const char *said;
    enum antag_err err;
    CK_RV rv;

    if ((err = check_module(b, fault)) != ANTAG_OK ||
        (err = set_environment(b, fault)) != ANTAG_OK || (err = ag_p11kit_load(fault)) != ANTAG_OK)
        return err;
    if ((b->uri == NULL && (b->uri = ag_p11kit.uri_new()) == NULL) ||
        ag_p11kit.uri_parse(b->conf.token, P11_KIT_URI_FOR_TOKEN, b->uri) != P11_KIT_URI_OK)
        return refuse_conf(fault, b, "token", b->conf.token, "is no PKCS#11 URI of a token");
    if ((b->f = ag_p11kit.module_load(b->conf.module, 0)) == NULL) {
        said = ag_p11kit.message();
        return refuse_conf(fault, b, "module", b->conf.module,
                           said != NULL ? said : "cannot be loaded");
    }
    if ((rv = ag_p11kit.module_initialize(b->f)) == CKR_OK)
        return ANTAG_OK;
    ag_p11kit.module_release(b->f);
    b->f = NULL;
    return failed(fault, "the module does not start", rv);
}

/* ---- opening: the lock is held for writing */

/* Workers that sign: all but the prober, one more than there are to be sessions (ring.c). */
static size_t signers(const struct p11 *b)
{
    return b->workers - 1;
}

/* The one token that fits. */
static enum antag_err find_token(struct p11 *b, CK_TOKEN_INFO *info, struct antag_fault *fault)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    size_t found = 0;
    CK_RV rv = b->f->C_GetSlotList(CK_TRUE, slots, &count);

    if (rv != CKR_OK)
        return failed(fault, "the module lists no slots", rv);
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO one;

        if (b->f->C_GetTokenInfo(slots[i], &one) != CKR_OK ||
            ag_p11kit.uri_match_token_info(b->uri, &one) != 1)
            continue;
        b->slot = slots[i];
        *info = one;
        found++;
    }
    if (found == 1)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                           found == 0 ? "no token fits %s"
                                      : "more than one token fits %s; name its "
                                        "serial",
                           b->conf.token);
}

static enum antag_err check_token(struct p11 *b, const CK_TOKEN_INFO *info,
                                  struct antag_fault *fault)
{
    CK_MECHANISM_INFO mechanism;

    if ((info->flags & CKF_USER_PIN_LOCKED) != 0)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "the token's PIN is locked");
    if ((info->flags & CKF_USER_PIN_FINAL_TRY) != 0)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "one more wrong PIN would lock the token; log in to it by hand "
                               "first");
    if ((info->flags & CKF_LOGIN_REQUIRED) != 0 && (info->flags & CKF_USER_PIN_INITIALIZED) == 0)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "the token has no PIN yet");
    if (b->f->C_GetMechanismInfo(b->slot, CKM_RSA_PKCS, &mechanism) != CKR_OK ||
        (mechanism.flags & CKF_SIGN) == 0)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the token does not sign with CKM_RSA_PKCS");
    return ANTAG_OK;
}

static enum antag_err log_in(struct p11 *b, struct antag_fault *fault)
{
    struct ag_secret *pin = NULL;
    enum antag_err err = read_pin(b, &pin, fault);
    CK_RV rv;

    if (err != ANTAG_OK)
        return err;
    rv = b->f->C_Login(b->sessions[0].handle, CKU_USER, ag_secret_bytes(pin), ag_secret_len(pin));
    ag_secret_free(pin);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return ANTAG_OK;
    b->pin_refused = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_EXPIRED;
    return failed(fault,
                  b->pin_refused ? "the token refuses the PIN, which is not tried again before the "
                                   "agent is started anew"
                                 : "the token does not let the agent in",
                  rv);
}

/* The session of one who works: those who sign share all but the last, which is everybody else's. */
static struct p11_session *session_of(struct p11 *b, size_t worker)
{
    size_t signing = b->session_count > 1 ? b->session_count - 1 : 1;

    return &b->sessions[worker < signers(b) ? worker % signing : b->session_count - 1];
}

/* As many that sign as are configured and one for all else, as far as token and module let them be used at the same
 * time. */
static size_t most_sessions(const struct p11 *b, const CK_TOKEN_INFO *token)
{
    size_t most = (signers(b) > 1 ? signers(b) - 1 : 1) + 1;
    CK_INFO info;

    if (b->f->C_GetInfo(&info) == CKR_OK) {
        const struct ag_p11quirks *q = ag_p11quirks_of(&info);

        if (q->sessions < most) {
            ag_log(AG_LOG_INFO, "token.quirk", AG_F_TEXT("keyring", b->conf.name),
                   AG_F_UINT("sessions", q->sessions), AG_F_TEXT("why", q->why));
            most = q->sessions;
        }
    }
    if (token->ulMaxRwSessionCount != CK_EFFECTIVELY_INFINITE &&
        token->ulMaxRwSessionCount != CK_UNAVAILABLE_INFORMATION &&
        token->ulMaxRwSessionCount < most)
        most = token->ulMaxRwSessionCount;
    return most;
}

static enum antag_err open_sessions(struct p11 *b, struct antag_fault *fault)
{
    CK_TOKEN_INFO info = {.flags = 0};
    enum antag_err err;

    if ((err = find_token(b, &info, fault)) != ANTAG_OK ||
        (err = check_token(b, &info, fault)) != ANTAG_OK)
        return err;
    (void)b->f->C_CloseAllSessions(b->slot);
    b->session_count = 0;
    for (size_t i = 0, most = most_sessions(b, &info); i < most; i++) {
        CK_RV rv = b->f->C_OpenSession(b->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL,
                                       &b->sessions[i].handle);

        if (rv == CKR_SESSION_COUNT && i > 0)
            break; /* others have the rest */
        if (rv != CKR_OK)
            return failed(fault, "the token opens no session", rv);
        b->session_count++;
    }
    return (info.flags & CKF_LOGIN_REQUIRED) != 0 ? log_in(b, fault) : ANTAG_OK;
}

/* Some modules find a token that came back only when they are started anew. */
static enum antag_err start_anew(struct p11 *b, struct antag_fault *fault)
{
    CK_RV rv;

    (void)ag_p11kit.module_finalize(b->f);
    rv = ag_p11kit.module_initialize(b->f);
    if (rv != CKR_OK)
        return failed(fault, "the module does not start", rv);
    return open_sessions(b, fault);
}

static enum antag_err open_again(struct p11 *b, struct antag_fault *fault)
{
    enum antag_err err;

    if (b->f == NULL)
        return (err = load_module(b, fault)) != ANTAG_OK ? err : open_sessions(b, fault);
    err = open_sessions(b, fault);
    if (err != ANTAG_OK && !b->pin_refused)
        err = start_anew(b, fault);
    return err;
}

/* Sessions of another generation than `stale`, which turned out to be of no use. */
static enum antag_err need_sessions(struct p11 *b, uint64_t stale, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    int64_t now_ms;

    pthread_rwlock_wrlock(&b->lock);
    now_ms = ag_clock_mono_ms();
    if (atomic_load(&b->generation) == stale) {
        atomic_store(&b->generation, 0);
        if (b->pin_refused || (b->tried_ms != 0 && now_ms - b->tried_ms < TRY_AGAIN_MS)) {
            err = antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s", b->why);
        } else {
            b->tried_ms = now_ms;
            if ((err = open_again(b, fault)) == ANTAG_OK) {
                b->tried_ms = 0;
                atomic_store(&b->generation, ++b->last_generation);
                ag_log(AG_LOG_INFO, "token.open", AG_F_TEXT("keyring", b->conf.name),
                       AG_F_UINT("slot", b->slot));
            } else {
                snprintf(b->why, sizeof b->why, "%s", antag_fault_text(fault));
                ag_log_fault(AG_LOG_WARN, "token.not_open", fault);
            }
        }
    }
    pthread_rwlock_unlock(&b->lock);
    return err;
}

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
    CK_RV rv = b->f->C_FindObjectsInit(s, template, 2), end;

    *count = 0;
    if (rv != CKR_OK)
        return rv;
    rv = b->f->C_FindObjects(s, found, 2, count);
    end = b->f->C_FindObjectsFinal(s);
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
    CK_RV rv = b->f->C_GetAttributeValue(s, object, template, 2);

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
    uint64_t generation = atomic_load(&b->generation);
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
    rv = b->f->C_SignInit(s, &mechanism, atomic_load(&key->object));
    if (rv == CKR_OK)
        rv = b->f->C_Sign(s, info, sizeof info, sig, &len);
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

        pthread_rwlock_rdlock(&b->lock);
        generation = atomic_load(&b->generation);
        if (generation == 0) {
            rv = CKR_SESSION_CLOSED;
        } else {
            struct p11_session *s = session_of(b, worker);

            pthread_mutex_lock(&s->lock);
            rv = sign_in(b, s->handle, key, digest, sig, sig_len);
            pthread_mutex_unlock(&s->lock);
        }
        pthread_rwlock_unlock(&b->lock);
        if (!is_lost(rv))
            break;
        if ((err = need_sessions(b, generation, fault)) != ANTAG_OK)
            return err;
    }
    if (rv == CKR_KEY_NEEDED)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the token does not hold this key, or holds several of its id");
    if (rv == CKR_KEY_CHANGED)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the token holds another key under this key's id");
    if (rv != CKR_OK)
        return failed(fault, "the token did not sign", rv);
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
    err = sign_once(b, b->workers, key, digest, sig, &len, fault);
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
    if (err == ANTAG_ERR_BACKEND && atomic_load(&b->generation) == 0)
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
        if ((rv = b->f->C_DestroyObject(s, object)) != CKR_OK)
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

        pthread_rwlock_rdlock(&b->lock);
        generation = atomic_load(&b->generation);
        if (generation == 0) {
            rv = CKR_SESSION_CLOSED;
        } else {
            struct p11_session *s = session_of(b, b->workers);

            pthread_mutex_lock(&s->lock);
            rv = run(b, s->handle, work);
            pthread_mutex_unlock(&s->lock);
        }
        pthread_rwlock_unlock(&b->lock);
        if (!is_lost(rv))
            break;
        err = need_sessions(b, generation, fault);
    }
    return err != ANTAG_OK ? err : rv == CKR_OK ? ANTAG_OK : failed(fault, what, rv);
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
    CK_RV rv = b->f->C_GenerateKeyPair(s, &mechanism, public, sizeof public / sizeof *public,
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
    return b->f->C_GetSessionInfo(s, &info);
}

static enum antag_err p11_check(struct ag_backend *backend, struct antag_fault *fault)
{
    struct spare_work work = {.bits = 0};

    return on_spare((struct p11 *)backend, "the token does not answer", &work, ask_token, fault);
}

/* ---- the whole */

static void p11_close(struct ag_backend *backend)
{
    struct p11 *b = (struct p11 *)backend;

    if (b == NULL)
        return;
    if (b->f != NULL) {
        if (atomic_load(&b->generation) != 0) {
            (void)b->f->C_Logout(b->sessions[0].handle);
            (void)b->f->C_CloseAllSessions(b->slot);
        }
        (void)ag_p11kit.module_finalize(b->f);
        ag_p11kit.module_release(b->f);
    }
    if (b->uri != NULL)
        ag_p11kit.uri_free(b->uri);
    pthread_rwlock_destroy(&b->lock);
    for (size_t i = 0; b->sessions != NULL && i <= b->workers; i++)
        pthread_mutex_destroy(&b->sessions[i].lock);
    free(b->sessions);
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
    b->conf = *conf;
    b->ring_key = ring_key;
    b->workers = workers;
    pthread_rwlock_init(&b->lock, NULL);
    if ((b->sessions = calloc(workers + 1, sizeof *b->sessions)) == NULL) {
        p11_close(&b->base);
        return ANTAG_ERR_NO_MEMORY;
    }
    for (size_t i = 0; i <= workers; i++)
        pthread_mutex_init(&b->sessions[i].lock, NULL);
    (void)!need_sessions(b, 0, &why); /* a module or token that is not there yet may come */
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
};
