/* role: how a role process starts, and its control channel to the supervisor.
 *
 * The supervisor re-executes the binary as `antom-agent --role ROLE` with the control channel as
 * descriptor 3 and nothing else. Over it come, in this order: secrets (the subkeys this role needs),
 * one `start` event, then at any time `peer` (a fresh pair to another role; an old one to the same peer
 * is never used again), `conf` (a reloaded configuration), `drain` (finish, then end).
 *
 *   supervisor -> role   event start {name, home, conf, state, reason} + listening socket (front, steward)
 *                        event peer {role, name, lane} + fd
 *                        event conf {conf}
 *                        event unlocked {}         steward, after the secrets "registry:seal", "registry:mac", "audit:steward",
 *                                                  "tokens" (the front gets the last one, and no event)
 *                        event drain {}
 *                        event task {task, type?} + fd passphrase?
 *                                                  opener, after start: "seal-create" (type of the seal), "seal-open",
 *                                                  "import", or "seal" (after the secret "root")
 *   role -> supervisor   event ready {}            serving (keeper: keys loaded)
 *   steward -> supervisor request unlock {} + passphrase fd? -> {}
 *                        request lock {} -> {}
 *                        request opener {keyring} -> {} + fd   an opener with that keyring's subkey
 *                        request opener {seal: true} -> {} + fd       one with the root key
 *                        request roles {} -> {roles: [{role, name, pid, state, restarts, since_ms}],
 *                                             seal, by_recovery, started_at_ms}
 *   opener -> supervisor secret "root"             seal-create, seal-open: the root key, before `done`
 *                        event done {type}         the task is done; type of the seal (absent unless it was opened or
 *                                                  made). recovery: it was opened by its recovery passphrase.
 *                                                  seal-create leaves its file as SEAL.new, synced; the
 *                                                  supervisor renames it to SEAL as the last step of init
 *                        event failed {...}        the error map of proto/message.h, and type where it is known
 *                        After either the opener ends.
 */
#ifndef AG_LIB_ROLE_H
#define AG_LIB_ROLE_H

#include "agent/lib/chan.h"
#include "agent/lib/conf.h"
#include "agent/lib/home.h"

#define AG_ROLE_CONTROL_FD 3

#define AG_ROLES(R)                                                                                \
    R(supervisor)                                                                                  \
    R(front)                                                                                       \
    R(keeper)                                                                                      \
    R(steward)                                                                                     \
    R(opener)                                                                                      \
    R(courier)

enum ag_role_kind {
#define AG_ROW(name) AG_ROLE_##name,
    AG_ROLES(AG_ROW)
#undef AG_ROW
        AG_ROLE_COUNT
};
const char *ag_role_name(enum ag_role_kind kind);
bool ag_role_parse(struct antag_slice text, enum ag_role_kind *out);

enum ag_agent_state { AG_STATE_STARTING, AG_STATE_LOCKED, AG_STATE_UNLOCKED, AG_STATE_FAILED };
const char *ag_agent_state_name(enum ag_agent_state s); /* starting, locked, ready, failed */

/* what `start` says */
struct ag_role_start {
    char name[ANTAG_KEYRING_MAX + 1]; /* keyring of a keeper, task of an opener, else "" */
    struct ag_home home;
    struct ag_conf conf;
    enum ag_agent_state state; /* LOCKED or UNLOCKED */
    char reason[256];          /* why it is locked */
    int listen_fd;             /* front, steward: ours; else -1 */
    bool init;                 /* steward: make the registry, enrol staff_uid, end */
    uint32_t staff_uid;
};

struct ag_role;
struct ag_role_ops {
    void (*on_secret)(struct ag_role *r, const char *label, struct ag_secret *secret, void *ctx);
    void (*on_start)(struct ag_role *r, const struct ag_role_start *start, void *ctx);
    void (*on_peer)(struct ag_role *r, enum ag_role_kind peer, const char *name, uint32_t lane,
                    int fd, void *ctx);
    void (*on_conf)(struct ag_role *r, const struct ag_conf *conf, void *ctx);
    void (*on_unlocked)(struct ag_role *r, void *ctx);
    void (*on_drain)(struct ag_role *r, void *ctx); /* NULL: ends at once */
    /* opener: its one task. `type` is "" when absent; what is left in `fds` is closed afterwards. */
    void (*on_task)(struct ag_role *r, const char *task, const char *type, struct ag_fds *fds,
                    void *ctx);
    /* The role has ended, for whatever reason, and the loop does not run: close what stands on it (running
     * it is allowed). NULL: nothing does. */
    void (*on_end)(struct ag_role *r, void *ctx);
};

/* Confine, set up secrets and log, read the control channel until ag_role_end(). Returns the exit
 * status. The end of the control channel ends the role. */
int ag_role_run(enum ag_role_kind kind, const struct ag_role_ops *ops, void *ctx);
uv_loop_t *ag_role_loop(struct ag_role *r);
struct ag_chan *ag_role_control(struct ag_role *r);   /* for requests to the supervisor */
void ag_role_ready(struct ag_role *r);                /* tells the supervisor */
void ag_role_end(struct ag_role *r, int exit_status); /* stops the loop */
int ag_role_exit_status(const struct ag_role *r);     /* what it ends with; for on_end */

/* The params of `start` and of `conf`: written by the supervisor, read by ag_role_run. `conf_text` is
 * the text of agent.conf, which every role parses for itself. */
void ag_role_start_write(struct antag_writer *w, const struct ag_role_start *start,
                         const char *conf_text);
void ag_role_peer_write(struct antag_writer *w, enum ag_role_kind peer, const char *name,
                        uint32_t lane);

/* mains of the roles, called by agent/main.c */
int ag_front_main(void);
int ag_keeper_main(void);
int ag_steward_main(void);
int ag_opener_main(void);
int ag_courier_main(void);

#endif
