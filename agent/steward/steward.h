/* steward: inside of the role, what its files share.
 *
 * Threads. The loop's thread has the control channel, the channels to front and keepers, and staff.sock;
 * it never waits. Staff operations run on threads of their own (ops.c) as straight-line code. One
 * thread, the driver (push.c), makes front and keepers what the registry says; operations commit,
 * wake it and wait for its word.
 *
 * Locks. `reg_lock` guards the registry and is held for reads and commits only, never for a call to
 * another role. `lock` guards everything marked so, is held for a few instructions, and is taken last.
 * Neither is held while waiting for another thread. */
#ifndef AG_STEWARD_STEWARD_H
#define AG_STEWARD_STEWARD_H

#include <uv.h>

#include "agent/lib/edges/failures.h"
#include "agent/lib/edges/keyring.h"
#include "agent/lib/edges/proofs.h"
#include "agent/lib/edges/refusals.h"
#include "agent/lib/role.h"
#include "agent/steward/book.h"
#include "agent/steward/desired.h"
#include "agent/steward/life.h"
#include "agent/steward/registry/registry.h"

struct ag_driver;
struct ag_record;
struct ag_side;
struct ag_alter;
struct ag_task;
struct ag_opener_session;
struct ag_staffsock;
struct ag_pool;

/* how long others may take, ms */
#define AG_WAIT_FRONT_MS    5000
#define AG_WAIT_DRAINED_MS  5000
#define AG_WAIT_KEEPER_MS   5000
#define AG_WAIT_GENERATE_MS 60000
#define AG_WAIT_STOP_MS     2000
#define AG_WAIT_PUSH_MS     15000 /* an operation's wait for front and keepers */
#define AG_WAIT_UNLOCK_MS   30000
/* A part that died is given this long to come back before the change of state is told. */
#define AG_GRACE_MS         8000

/* a key as its keeper has it */
struct ag_keeper_key {
    uint64_t handle;
    enum ag_level level;
    enum antag_err err; /* not OK: the keeper could not load it */
    char why[96];
    uint64_t
        dropped_at; /* epoch of the front from which on it is not needed at this level; 0: needed */
};
struct ag_keeper {
    char name[ANTAG_KEYRING_MAX + 1];
    struct ag_chan *chan;  /* NULL: not there */
    uint64_t gen;          /* counts its channels */
    uint64_t loaded_gen;   /* the channel over which everything was loaded; == gen: it is up */
    int64_t down_since_ms; /* monotonic; when it was last seen to go, or the agent was unlocked */
    uint64_t heads_gen, heads_appended; /* channel and own lines when heads were exchanged last */
    uint64_t noted_appended;            /* its lines when its head was noted */
    int64_t heads_at_ms;                /* monotonic: exchange them again then */
    int64_t retry_at_ms; /* a full load failed on a channel that is open: not before then */
    size_t key_count, key_cap;
    struct ag_keeper_key *keys;
    int making;          /* operations that make keys in it */
    uint64_t making_seq; /* counts their beginnings and ends */
};

/* who does something: a member of staff, or the agent by itself */
struct ag_actor {
    bool by_agent;
    uint32_t uid; /* when not by_agent */
};
#define ag_actor_agent ((struct ag_actor){.by_agent = true})

/* a stop that staff ordered; kept until the registry has it and the driver has seen it */
#define AG_STOPS_MAX 64
struct ag_stop {
    uint64_t id, handle;
    struct ag_actor by;
    char reason[ANTAG_TEXT_MAX + 1];
    bool recorded; /* the registry says so, from recorded_epoch on */
    uint64_t recorded_epoch;
    bool unowned; /* no operation is recording it: the driver does */
    bool seen;    /* the driver has repeated the order to the keeper */
};

#define AG_ENROLLED_MAX 256
struct ag_enrolled {
    uint32_t uid;
    unsigned roles;
};

/* work for the loop's thread */
struct ag_loop_task {
    void (*run)(void *ctx);
    void *ctx;
    bool done;
    struct ag_loop_task *next;
};

/* what waits, as those who look after it saw it last */
struct ag_waiting {
    size_t changes_open,
        changes_stuck; /* stuck: approved, and failed to be applied for the time being */
    size_t mail_queued, mail_refused;
    int64_t mail_oldest_ms;
};

struct ag_steward {
    struct ag_role *role;
    uv_loop_t *loop;
    uv_async_t wake; /* tasks, finished operations, threads that ended */
    struct ag_home home;
    uid_t owner_uid; /* of the home */
    int64_t started_at_ms;
    bool started;  /* on_start is over: threads run */
    bool draining; /* loop thread */
    uv_timer_t drain_timer;
    struct ag_opener_session *openers; /* loop thread */

    uv_mutex_t lock; /* all below up to reg_lock */
    uv_cond_t changed;
    struct ag_conf conf;
    enum ag_agent_state state; /* STARTING, LOCKED, UNLOCKED (registry open), FAILED */
    char reason[256];
    int64_t state_since_ms;
    struct ag_secret *mac_key, *audit_key, *token_key;
    struct ag_secret *seal_key, *code_key; /* of mail texts; of one-time codes, derived from it */
    bool want_open;                        /* the driver shall open the registry */
    struct ag_chan *front;
    uint64_t front_gen;
    int64_t front_down_since_ms;
    struct ag_chan *courier; /* NULL: not there */
    struct ag_keeper keepers[AG_CONF_KEYRINGS_MAX];
    size_t keeper_count;
    struct ag_stop stops[AG_STOPS_MAX];
    size_t stop_count;
    uint64_t next_stop_id;
    struct ag_book *book; /* what the driver worked from last; NULL while locked */
    bool enrolled_known;
    size_t enrolled_count;
    struct ag_enrolled enrolled[AG_ENROLLED_MAX];
    struct ag_refusals refused; /* that are not in the record yet (refusals.c) */
    int64_t refused_at_ms;      /* monotonic: not before then */
    struct ag_waiting waiting;
    struct ag_failures failures; /* that no rotation's row has yet (prober.c) */
    struct ag_proofs proved;     /* that the registry does not know yet (proofs.c) */
    struct ag_loop_task *tasks;
    uint64_t kicks;                 /* passes of the driver that were asked for */
    uint64_t passes;                /* `kicks` as it was when the last finished pass began */
    uint64_t front_epoch;           /* acknowledged by the present front; 0: none */
    uint64_t synced_epoch;          /* and keepers agree, or are given up */
    uint64_t drained_epoch;         /* no job of an older epoch is in flight */
    enum ag_agent_state front_told; /* state the present front acknowledged */
    bool quit;

    uv_mutex_t probe_lock; /* held while Antom is asked; before all other locks */
    uv_mutex_t seal_lock;  /* held while root.seal is replaced; before reg_lock */
    uv_mutex_t reg_lock;
    struct ag_registry *reg;  /* NULL: closed */
    struct ag_record *record; /* opened and closed with it */
    uint64_t era;             /* counts openings */
    int64_t observed_base_ms, observed_mono_ms;

    struct ag_driver *driver;                  /* started with the role */
    struct ag_side *outbox, *changer, *prober; /* side.h */
    atomic_bool seal_waits;                    /* root.seal may have to be replaced */
    atomic_bool mail_again;                    /* what waits is due now */
    atomic_bool probe_now; /* Antom is asked now, though the last time is not long ago */
    struct ag_pool *pool;
    struct ag_staffsock *sock;
};

/* ---- state.c */
void ag_state_set(struct ag_steward *st, enum ag_agent_state state, const char *reason);
/* The registry is to be opened (only_failed: again, where that failed): wish and state in one step, as
 * the driver may act on the wish at once, and nobody may take an old failure for its outcome. */
void ag_state_open(struct ag_steward *st, bool only_failed);
enum ag_agent_state ag_state_get(struct ag_steward *st, char reason[256]);
/* The state that staff sees: ready only when the front works from the registry. */
enum ag_agent_state ag_state_public(struct ag_steward *st, char reason[256]);
/* Why nothing of the registry can be had now: LOCKED, REGISTRY or NOT_READY. */
enum antag_err ag_state_refuse(struct ag_steward *st, struct antag_fault *fault);
/* Its type, and whether its recovery passphrase opened it: what protects the root key; "" when the supervisor does not say. Not under a lock. */
void ag_seal_name(struct ag_steward *st, char out[32], bool *by_recovery);
void ag_conf_copy(struct ag_steward *st, struct ag_conf *out);
/* Does the keyring keep its private halves itself, and not as sealed rows? */
bool ag_keyring_is_outside(struct ag_steward *st, const char *keyring);
bool ag_keyring_imports(struct ag_steward *st,
                        const char *keyring); /* does it take keys made elsewhere? */
/* Must its keeper make it its own before it can be loaded? */
bool ag_keyring_adopts(struct ag_steward *st, const char *keyring);
/* Does its PIN stand in the registry? */
bool ag_keyring_keeps_pin(const struct ag_conf_keyring *k);
/* Copies, the caller's; NULL: locked, or out of memory. */
struct ag_secret *ag_seal_key(struct ag_steward *st);
struct ag_secret *ag_token_key(struct ag_steward *st);
struct ag_secret *ag_code_key(struct ag_steward *st);
/* The registry as the driver read it last; NULL while locked. Given back with release. */
const struct ag_book *ag_book_hold(struct ag_steward *st);
void ag_book_release(struct ag_steward *st, const struct ag_book *b);
void ag_book_publish(struct ag_steward *st, struct ag_book *b); /* takes `b`; NULL: none */
/* Roles (enum antag_staff_role) of a uid; 0: not enrolled. *known: enrolment could be read. */
unsigned ag_enrolled_roles(struct ag_steward *st, uint32_t uid, bool *known);
/* Runs `run` on the loop's thread and waits. False when the role is ending: it did not run.
 * Not from the loop's thread. */
bool ag_loop_run(struct ag_steward *st, void (*run)(void *ctx), void *ctx);
void ag_loop_run_tasks(struct ag_steward *st); /* the loop's side */

/* ---- txn.c: the registry, locked */
struct ag_txn {
    struct ag_steward *st;
    struct ag_book *book;
    struct ag_life life;
    uint64_t era, epoch; /* epoch: of the commit, 0 before */
    bool locked;
    bool mailed;             /* it puts a mail (outbox.h) */
    bool allow_root;         /* of the configuration */
    int64_t change_holds_ms; /* likewise: how long a change that is opened now stays so */
    struct ag_row_deed deed; /* what it is about to do: ag_txn_deed */
    struct ag_alter *alter;  /* that is told what it alters (alter.h); NULL: nobody asks */
};
/* Takes the registry and reads its book. era: 0, or that of an earlier part of the same operation.
 * ag_txn_end in every case. errors: LOCKED, REGISTRY, RETRY (locked and opened in between), IO. */
ANTAG_MUST_CHECK enum antag_err ag_txn_begin(struct ag_steward *st, uint64_t era, struct ag_txn *t,
                                             struct antag_fault *fault);
/* What it will do, for the record: `what` is the staff method, or a name of the agent's own. `subject`: an
 * application or a profile, "" for none. `handle`: of a key, 0 for none. */
ANTAG_PRINTF(6, 7)
void ag_txn_deed(struct ag_txn *t, struct ag_actor by, const char *what, const char *subject,
                 uint64_t handle, const char *fmt, ...);
/* Needs a deed. errors: INTERNAL without one; as ag_registry_begin. */
ANTAG_MUST_CHECK enum antag_err ag_txn_write(struct ag_txn *t, struct antag_fault *fault);
/* For what the agent notes for itself and the record need not say: how often something was tried. */
ANTAG_MUST_CHECK enum antag_err ag_txn_write_quiet(struct ag_txn *t, struct antag_fault *fault);
/* Commits, hands the deed to the record, and reads the book again. */
ANTAG_MUST_CHECK enum antag_err ag_txn_commit(struct ag_txn *t, struct antag_fault *fault);
void ag_txn_end(struct ag_txn *t);
/* Removes an intent that came to nothing. Threads that may wait. errors: those of transactions. */
ANTAG_MUST_CHECK enum antag_err
ag_intent_end(struct ag_steward *st, const struct ag_row_intent *intent, struct antag_fault *fault);
/* Driver: opens the registry with the key of `st`, removes what a crash left, sets the state. */
void ag_registry_start(struct ag_steward *st);
void ag_registry_stop(struct ag_steward *st);      /* closes it, forgets keys and book */
int64_t ag_observed_now_ms(struct ag_steward *st); /* registry lock held */

/* ---- peers.c: front and keepers */
void ag_peer_front(struct ag_steward *st, int fd);                    /* loop thread */
void ag_peer_keeper(struct ag_steward *st, const char *name, int fd); /* loop thread */
void ag_peer_courier(struct ag_steward *st, int fd);                  /* loop thread */
void ag_peers_close(struct ag_steward *st);                           /* loop thread */
void ag_peers_conf(struct ag_steward *st);                            /* a place for each keyring */
struct ag_chan *ag_front_hold(struct ag_steward *st, uint64_t *gen);  /* NULL: not there */
struct ag_chan *ag_courier_hold(struct ag_steward *st);               /* NULL: not there */
struct ag_chan *ag_keeper_hold(struct ag_steward *st, const char *keyring, uint64_t *gen);
/* Keys are being made in this keyring by operations of this steward: its intents are not left over. by: 1 or -1. */
void ag_keeper_making(struct ag_steward *st, const char *keyring, int by);
/* Does its keeper hold the key, tested? */
bool ag_keeper_holds(struct ag_steward *st, const char *keyring, uint64_t handle);
/* An operation had the keeper load this key: it passed its self-test. */
void ag_keeper_learned(struct ag_steward *st, const char *keyring, uint64_t handle);
/* Can the keyring be used, within wait_ms? errors: NOT_FOUND (not configured), BACKEND (its keeper is not up). */
ANTAG_MUST_CHECK enum antag_err ag_keeper_check(struct ag_steward *st, const char *keyring,
                                                int64_t wait_ms, struct antag_fault *fault);
/* A request with an empty map, or with keyring params; `out` to be finished in every case. */
ANTAG_MUST_CHECK enum antag_err ag_call(struct ag_chan *c, const char *method, const int *fds,
                                        size_t fd_count, int64_t timeout_ms, struct ag_reply *out);
ANTAG_MUST_CHECK enum antag_err ag_call_keyring(struct ag_chan *c, const char *method,
                                                const struct ag_keyring_params *p, const int *fds,
                                                size_t fd_count, int64_t timeout_ms,
                                                struct ag_reply *out);
/* The same to the keeper of `keyring`, for its answer's sake only. errors: BACKEND when it is not up,
 * and what it answers. */
ANTAG_MUST_CHECK enum antag_err ag_keeper_call(struct ag_steward *st, const char *keyring,
                                               const char *method,
                                               const struct ag_keyring_params *p,
                                               int64_t timeout_ms, struct antag_fault *fault);
/* The keeper must hold the key, tested, before it may be made to sign: loads it where it is not. Not under the
 * registry's lock. errors: NOT_FOUND, BACKEND, and what its keeper says. */
ANTAG_MUST_CHECK enum antag_err ag_key_make_ready(struct ag_steward *st,
                                                  const struct ag_row_profile *profile,
                                                  const struct ag_row_key *k,
                                                  struct antag_fault *fault);
void ag_keyring_params_of(const struct ag_row_profile *p, const struct ag_row_key *k,
                          enum ag_key_use use, struct ag_keyring_params *out);
/* How the keyring of a profile's active key stands (NULL: it has none), for a book of `epoch`. */
void ag_sign_source_of(struct ag_steward *st, const struct ag_row_key *active, uint64_t epoch,
                       struct ag_sign_source *out);

/* ---- opener.c: one opener, one request; threads that may wait */
/* `method` import (params) or public (NULL), with the memory files forwarded unread.
 * errors: what the opener found wrong with the key; RETRY when it ended or was too slow: nothing was
 * changed then. */
ANTAG_MUST_CHECK enum antag_err ag_opener_ask(struct ag_steward *st, const char *keyring,
                                              const char *method, const struct ag_keyring_params *p,
                                              const int *files, size_t file_count,
                                              struct ag_keyring_made *out,
                                              struct antag_fault *fault);
/* A request about the seal (edges/sealing.h), with the memory file of a passphrase (-1: none), forwarded unread.
 * errors: what the opener says; RETRY as above. */
ANTAG_MUST_CHECK enum antag_err ag_opener_seal(struct ag_steward *st, const char *method,
                                               const struct ag_sealing *ask, int passphrase_fd,
                                               struct ag_sealing *out, struct antag_fault *fault);
/* Has the PIN in the memory file `pin_fd`, which stays the caller's, sealed for `keyring`. errors: BAD_PARAM (pin); RETRY as above. */
ANTAG_MUST_CHECK enum antag_err ag_opener_pin(struct ag_steward *st, const char *keyring,
                                              int pin_fd, uint8_t out[AG_PIN_SEALED_MAX],
                                              size_t *len, struct antag_fault *fault);
void ag_openers_close(struct ag_steward *st); /* loop thread: those who wait get RETRY */

/* ---- op_seal.c */
/* Replaces root.seal by the seal that the registry says it shall be, if it is not done; threads that may wait.
 * errors: those of transactions, and what the opener says: then it is tried again. */
ANTAG_MUST_CHECK enum antag_err ag_seal_apply(struct ag_steward *st, struct antag_fault *fault);
/* Driver: what a crash or an error left, at once after a start and then at times; lowers *next_ms (monotonic). */
void ag_seal_pass(struct ag_steward *st, int64_t *next_ms);

/* ---- op_keyring.c */
/* The PIN that the registry has of this keyring; id 0: none. With the registry. */
ANTAG_MUST_CHECK enum antag_err ag_pin_find(struct ag_registry *reg, const char *keyring,
                                            struct ag_row_pin *out, struct antag_fault *fault);

/* ---- refusals.c: any thread */
void ag_refusals_take(struct ag_steward *st, const struct ag_refusals *some); /* the front's */
void ag_refusals_count(struct ag_steward *st, uint32_t uid, const char *what, enum antag_err err);
/* Driver: records them when their time has come, else lowers *next_ms (monotonic) to it. */
void ag_refusals_pass(struct ag_steward *st, int64_t *next_ms);

/* ---- proofs.c */
void ag_proofs_take(struct ag_steward *st, uint64_t profile_id,
                    unsigned methods);      /* any thread: the front's */
void ag_proofs_pass(struct ag_steward *st); /* driver: into the registry what is news */

/* ---- used.c: threads that may wait */
void ag_used_pass(struct ag_steward *st); /* what was counted of merchants, into the registry */

/* ---- push.c: the driver */
ANTAG_MUST_CHECK enum antag_err ag_driver_start(struct ag_steward *st);
void ag_driver_join(struct ag_steward *st); /* after quit */
void ag_driver_kick(struct ag_steward *st); /* any thread: something changed */
/* Wait until the front works from `epoch`, with keys: and the keepers agree.
 * errors: RETRY; the text says that the change is committed. */
ANTAG_MUST_CHECK enum antag_err ag_push_wait(struct ag_steward *st, uint64_t epoch, bool keys,
                                             struct antag_fault *fault);
/* Wait for a whole pass of the driver that begins after now; false: not within timeout_ms. */
bool ag_push_pass(struct ag_steward *st, int64_t timeout_ms);

/* ---- keepers.c: the driver's part that talks to keepers */
/* All keepers up to what `b` wants, never down. True when each is up or given up; *next_ms (monotonic)
 * is lowered to when to look again. */
bool ag_keepers_raise(struct ag_steward *st, const struct ag_book *b, int64_t *next_ms);
/* The front works from `epoch`: marks what is not needed any more. Returns the epoch that has to be
 * drained before anything can be lowered, 0 for none. */
uint64_t ag_keepers_mark(struct ag_steward *st, const struct ag_book *b, uint64_t epoch);
void ag_keepers_lower(struct ag_steward *st, const struct ag_book *b, uint64_t drained_epoch);

/* ---- heads.c: chains of the record note each other. Driver; asks keepers, so without locks. *next_ms
 * (monotonic) is lowered to when to look again. */
void ag_heads_exchange(struct ag_steward *st, int64_t *next_ms);

/* ---- stops.c */
/* errors: BUSY when AG_STOPS_MAX stops wait to be recorded. */
ANTAG_MUST_CHECK enum antag_err ag_stop_add(struct ag_steward *st, struct ag_actor by,
                                            uint64_t handle, const char *reason, bool unowned,
                                            uint64_t *id, struct antag_fault *fault);
void ag_stop_recorded(struct ag_steward *st, uint64_t id, uint64_t epoch);
void ag_stop_leave(struct ag_steward *st, uint64_t id); /* to the driver, which retries */
/* Is it stopped without a book of `epoch` saying so? */
bool ag_stop_is_pending(struct ag_steward *st, uint64_t handle, uint64_t epoch);
size_t ag_stop_pending_count(struct ag_steward *st);
/* Writes one stop into the registry. errors: as ag_txn_*, KEY_STATE. */
ANTAG_MUST_CHECK enum antag_err ag_stop_record(struct ag_steward *st, struct ag_actor by,
                                               uint64_t handle, const char *reason, uint64_t *epoch,
                                               struct antag_fault *fault);
/* Driver: records what is left to it. True when all are recorded. */
bool ag_stops_retry(struct ag_steward *st);
/* Driver, at the end of a pass: forgets what a book of `epoch` says. */
void ag_stops_drop(struct ag_steward *st, uint64_t epoch);

/* ---- tick.c: time. Driver. Returns when to look again (monotonic). */
int64_t ag_tick(struct ag_steward *st, int64_t now_mono_ms);

#endif
