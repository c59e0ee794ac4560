/* run: the state of a running supervisor, shared by its files. */
#ifndef AG_SUPERVISOR_RUN_H
#define AG_SUPERVISOR_RUN_H

#include "agent/supervisor/child.h"
#include "agent/supervisor/supervisor.h"

#define AG_SLOTS_MAX   (3 + AG_CONF_KEYRINGS_MAX) /* steward, front, courier, keepers */
#define AG_OPENERS_MAX 8

struct ag_run;

/* a role that shall run, whichever process does it at the moment */
struct ag_slot {
    struct ag_run *run;
    enum ag_role_kind kind;
    char name[ANTAG_KEYRING_MAX + 1];
    struct ag_child *child; /* NULL: down */
    bool wanted;            /* false: not restarted (locked, draining) */
    unsigned restarts;
    int64_t backoff_ms;
    uv_timer_t retry;
};

struct ag_run {
    uv_loop_t loop;
    struct ag_home home;
    struct ag_conf conf;
    char *conf_text;
    int lock_fd, agent_fd, staff_fd;
    int first_own_fd; /* below: passed by the service manager */
    unsigned front_threads;
    uv_signal_t on_term, on_int, on_hup;
    uv_timer_t drain_timer;

    struct ag_secret *root;    /* NULL: locked */
    enum ag_agent_state state; /* LOCKED or UNLOCKED, once the first unsealing has ended */
    char reason[256];
    char seal[16];    /* type of the seal; "" until known */
    bool by_recovery; /* it was opened by its recovery passphrase */
    int64_t started_at_ms;

    size_t slot_count;
    struct ag_slot slots[AG_SLOTS_MAX];
    struct ag_child *openers[AG_OPENERS_MAX];
    struct ag_child *unsealing;      /* the opener that opens the seal, or NULL */
    struct antag_fault unseal_fault; /* what it said when it failed */
    bool unseal_done;
    bool unlock_asked, lock_asked; /* a request of the steward waits, with these ids */
    uint32_t unlock_id, lock_id;
    bool said_ready, draining;
};

/* slots.c: the lasting roles */
void ag_slots_make(struct ag_run *r);
struct ag_slot *ag_slot_of(struct ag_run *r, enum ag_role_kind kind, const char *name);
void ag_slot_start(struct ag_slot *s); /* wanted from now on */
void ag_slot_stop(struct ag_slot *s,
                  int64_t kill_after_ms); /* not wanted; drains, then is killed */
bool ag_slots_all_down(const struct ag_run *r, enum ag_role_kind kind);

/* unseal.c: root key, openers, lock and unlock */
void ag_unseal_start(struct ag_run *r, int passphrase_fd); /* borrowed; -1: none */
void ag_unseal_release(struct ag_run *r); /* root key to the roles that wait for it */
void ag_unseal_request(struct ag_child *steward, const struct antag_message *m, struct ag_fds *fds);
void ag_unseal_keeper_down(struct ag_run *r);
void ag_give_subkey(struct ag_child *c, const struct ag_secret *root, const char *label);

/* supervisor.c */
void ag_run_on_state(struct ag_run *r); /* the first unsealing has ended: start the others */
void ag_run_on_ready(struct ag_run *r);
void ag_run_on_down(struct ag_run *r);
void ag_run_start_params(const struct ag_run *r, const char *name, struct ag_role_start *out);

#endif
