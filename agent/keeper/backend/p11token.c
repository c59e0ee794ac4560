#include "agent/keeper/backend/p11token.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/keeper/backend/p11quirks.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"

#define SLOTS_MAX    64
#define TRY_AGAIN_MS 500 /* after a token that was not there */

/* ---- errors */

enum antag_err ag_p11_failed(struct antag_fault *fault, const char *what, CK_RV rv)
{
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s: %s (0x%lx)", what,
                           ag_p11kit.strerror(rv), (unsigned long)rv);
}

/* Answers after which sessions and objects are not to be relied on: the token is gone, was reset or is another. */
bool ag_p11_is_lost(CK_RV rv)
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

/* ---- the module's file */

static enum antag_err refuse_conf(struct antag_fault *fault, const struct ag_p11 *b,
                                  const char *key, const char *path, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_BACKEND, key, "[keyring %s] %s = %s %s", b->conf.name,
                           key, path, why);
}

/* Code that is loaded into the process which holds the PIN. */
static enum antag_err check_module(const struct ag_p11 *b, struct antag_fault *fault)
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

/* "NAME=VALUE", which the module reads when it starts. */
static enum antag_err set_environment(const struct ag_p11 *b, struct antag_fault *fault)
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

static enum antag_err load_module(struct ag_p11 *b, struct antag_fault *fault)
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
    return ag_p11_failed(fault, "the module does not start", rv);
}

/* ---- opening: the lock is held for writing */

/* Workers that sign: all but the prober. */
static size_t signers(const struct ag_p11 *b)
{
    return b->workers - 1;
}

/* The one token that fits. */
static enum antag_err find_token(struct ag_p11 *b, CK_TOKEN_INFO *info, struct antag_fault *fault)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    size_t found = 0;
    CK_RV rv = b->f->C_GetSlotList(CK_TRUE, slots, &count);

    if (rv != CKR_OK)
        return ag_p11_failed(fault, "the module lists no slots", rv);
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

static enum antag_err check_token(struct ag_p11 *b, const CK_TOKEN_INFO *info,
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

static enum antag_err log_in(struct ag_p11 *b, struct antag_fault *fault)
{
    struct ag_secret *pin = NULL;
    enum antag_err err = ag_p11_pin_read(&b->conf, b->ring_key, &b->pin, &pin, fault);
    CK_RV rv;

    if (err != ANTAG_OK)
        return err;
    rv = b->f->C_Login(b->sessions[0].handle, CKU_USER, ag_secret_bytes(pin), ag_secret_len(pin));
    ag_secret_free(pin);
    if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN)
        return ANTAG_OK;
    b->pin_refused = rv == CKR_PIN_INCORRECT || rv == CKR_PIN_LOCKED || rv == CKR_PIN_EXPIRED;
    if (!b->pin_refused)
        return ag_p11_failed(fault, "the token does not let the agent in", rv);
    err = ag_p11_failed(fault,
                        "the token refuses the PIN, which is not tried again before the agent is "
                        "started anew or gets another",
                        rv);
    snprintf(fault->field, sizeof fault->field, "pin");
    return err;
}

/* The session of one who works: those who sign share all but the last, which is everybody else's. */
struct ag_p11_session *ag_p11_session_of(struct ag_p11 *b, size_t worker)
{
    size_t signing = b->session_count > 1 ? b->session_count - 1 : 1;

    return &b->sessions[worker < signers(b) ? worker % signing : b->session_count - 1];
}

/* As many that sign as are configured and one for all else, as far as token and module let them be used at the same
 * time. */
static size_t most_sessions(const struct ag_p11 *b, const CK_TOKEN_INFO *token)
{
    size_t most = signers(b) + 1;
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

static enum antag_err open_sessions(struct ag_p11 *b, struct antag_fault *fault)
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
            return ag_p11_failed(fault, "the token opens no session", rv);
        b->session_count++;
    }
    return (info.flags & CKF_LOGIN_REQUIRED) != 0 ? log_in(b, fault) : ANTAG_OK;
}

/* Some modules find a token that came back only when they are started anew. */
static enum antag_err start_anew(struct ag_p11 *b, struct antag_fault *fault)
{
    CK_RV rv;

    (void)ag_p11kit.module_finalize(b->f);
    rv = ag_p11kit.module_initialize(b->f);
    if (rv != CKR_OK)
        return ag_p11_failed(fault, "the module does not start", rv);
    return open_sessions(b, fault);
}

static enum antag_err open_again(struct ag_p11 *b, struct antag_fault *fault)
{
    enum antag_err err;

    if (b->f == NULL)
        return (err = load_module(b, fault)) != ANTAG_OK ? err : open_sessions(b, fault);
    err = open_sessions(b, fault);
    if (err != ANTAG_OK && !b->pin_refused)
        err = start_anew(b, fault);
    return err;
}

/* Opens them; generation 0 and `why` when it does not come to that. */
static enum antag_err try_open(struct ag_p11 *b, struct antag_fault *fault)
{
    enum antag_err err;

    atomic_store(&b->generation, 0);
    b->tried_ms = ag_clock_mono_ms();
    if ((err = open_again(b, fault)) != ANTAG_OK) {
        snprintf(b->why, sizeof b->why, "%s", antag_fault_text(fault));
        ag_log_fault(AG_LOG_WARN, "token.not_open", fault);
        return err;
    }
    b->tried_ms = 0;
    atomic_store(&b->generation, ++b->last_generation);
    ag_log(AG_LOG_INFO, "token.open", AG_F_TEXT("keyring", b->conf.name),
           AG_F_UINT("slot", b->slot));
    return ANTAG_OK;
}

/* Sessions of another generation than `stale`, which turned out to be of no use. */
enum antag_err ag_p11_need_sessions(struct ag_p11 *b, uint64_t stale, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    bool too_soon;

    pthread_rwlock_wrlock(&b->lock);
    if (atomic_load(&b->generation) == stale) {
        atomic_store(&b->generation, 0);
        too_soon = b->tried_ms != 0 && ag_clock_mono_ms() - b->tried_ms < TRY_AGAIN_MS;
        err = b->pin_refused || too_soon
                  ? antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL, "%s", b->why)
                  : try_open(b, fault);
    }
    pthread_rwlock_unlock(&b->lock);
    return err;
}

/* ---- another PIN */

/* Lock held for writing. */
static enum antag_err take_pin(struct ag_p11 *b, const struct ag_p11_pin *pin,
                               struct antag_fault *fault)
{
    struct ag_p11_pin old = b->pin;
    bool old_was_good = old.len > 0 && !b->pin_refused;
    struct antag_fault unused = {0};
    enum antag_err err;

    b->pin = *pin;
    b->pin_refused = false;
    err = try_open(b, fault);
    if (!b->pin_refused || old.len == 0)
        return err;
    b->pin = old;
    if (old_was_good) {
        b->pin_refused = false;
        (void)!try_open(b, &unused);
    }
    return err;
}

enum antag_err ag_p11_take_pin(struct ag_p11 *b, struct antag_slice sealed,
                               struct antag_fault *fault)
{
    struct ag_p11_pin pin = {.len = sealed.len};
    enum antag_err err = ANTAG_OK;

    if (sealed.len > sizeof pin.sealed)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "sealed", "is longer than a PIN");
    memcpy(pin.sealed, sealed.p, sealed.len);
    pthread_rwlock_wrlock(&b->lock);
    if (atomic_load(&b->generation) == 0 || pin.len != b->pin.len ||
        memcmp(pin.sealed, b->pin.sealed, pin.len) != 0) /* neither is secret */
        err = take_pin(b, &pin, fault);
    pthread_rwlock_unlock(&b->lock);
    return err;
}

/* ---- the whole */

enum antag_err ag_p11_init(struct ag_p11 *b, const struct ag_conf_keyring *conf,
                           const struct ag_secret *ring_key, size_t workers)
{
    *b = (struct ag_p11){.conf = *conf, .ring_key = ring_key, .workers = workers};
    if ((b->sessions = calloc(workers + 1, sizeof *b->sessions)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    pthread_rwlock_init(&b->lock, NULL);
    for (size_t i = 0; i <= workers; i++)
        pthread_mutex_init(&b->sessions[i].lock, NULL);
    return ANTAG_OK;
}

void ag_p11_fini(struct ag_p11 *b)
{
    if (b->sessions == NULL)
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
    for (size_t i = 0; i <= b->workers; i++)
        pthread_mutex_destroy(&b->sessions[i].lock);
    free(b->sessions);
}
