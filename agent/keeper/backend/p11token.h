/* p11token: a PKCS#11 module, the token in it, and the sessions with that token. Workers hold the lock for reading while they use
 * a session; whoever finds the token gone has everything closed and opened again under the lock for writing, and what was found
 * in the token before counts no more (generation). A PIN that the token refuses is not tried a second time. */
#ifndef AG_KEEPER_P11TOKEN_H
#define AG_KEEPER_P11TOKEN_H

#include <pthread.h>
#include <stdatomic.h>

#include "agent/keeper/backend/p11kit.h"
#include "agent/keeper/backend/p11pin.h"

struct ag_p11_session {
    CK_SESSION_HANDLE handle;
    pthread_mutex_t lock; /* does one thing at a time */
};

struct ag_p11 {
    struct ag_conf_keyring conf;
    const struct ag_secret *ring_key; /* borrowed */
    struct ag_p11_pin pin;            /* under `lock` */
    size_t workers;
    CK_FUNCTION_LIST *f; /* NULL: the module is not loaded */
    P11KitUri *uri;
    pthread_rwlock_t lock;
    _Atomic uint64_t generation; /* of the sessions; 0: none are open */
    uint64_t last_generation;
    int64_t tried_ms; /* monotonic: of the last attempt to open them */
    bool pin_refused;
    char why[ANTAG_FAULT_TEXT_MAX + 1]; /* why there are none */
    CK_SLOT_ID slot;
    struct ag_p11_session *sessions; /* room for one a worker, and one more */
    size_t session_count;            /* that are open; workers share them when there are fewer */
};

/* ring_key outlives it. workers: that sign, and one more. errors: NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_p11_init(struct ag_p11 *b, const struct ag_conf_keyring *conf,
                                            const struct ag_secret *ring_key, size_t workers);
void ag_p11_fini(struct ag_p11 *b); /* logs out; also of one that is all zero */

/* Sets BACKEND, with the answer by name. The libraries are loaded. */
enum antag_err ag_p11_failed(struct antag_fault *fault, const char *what, CK_RV rv);
/* Answers after which sessions and objects are not to be relied on: the token is gone, was reset or is another. */
bool ag_p11_is_lost(CK_RV rv);
/* Sessions of another generation than `stale`, which turned out to be of no use. Takes the lock. At most twice a second; in
 * between it repeats the cause. errors: BACKEND, PROTECTION. */
ANTAG_MUST_CHECK enum antag_err ag_p11_need_sessions(struct ag_p11 *b, uint64_t stale,
                                                     struct antag_fault *fault);
/* Logs in with the PIN that came from the registry, sealed; one that it works with already changes nothing. Of a PIN that the
 * token refuses the former is taken back, if that was good. errors: BACKEND (field pin: the token refuses it; else it is
 * tried when there is a token), BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_p11_take_pin(struct ag_p11 *b, struct antag_slice sealed,
                                                struct antag_fault *fault);
/* The session of one who works: those who sign share all but the last, which is everybody else's (worker: b->workers).
 * The lock is held for reading, and sessions are open. */
struct ag_p11_session *ag_p11_session_of(struct ag_p11 *b, size_t worker);

#endif
