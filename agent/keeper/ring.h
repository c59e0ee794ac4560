/* ring: one keyring at work: its keys, the workers that sign, and the steward's channel that rules over
 * them. All calls on the loop's thread. */
#ifndef AG_KEEPER_RING_H
#define AG_KEEPER_RING_H

#include <uv.h>

#include "agent/lib/conf.h"
#include "agent/lib/secret.h"
#include "antag/status.h"

struct ag_ring;

struct ag_ring_conf {
    uv_loop_t *loop;
    struct ag_conf_keyring keyring;
    struct ag_secret *ring_key;        /* taken when ag_ring_open succeeds */
    const struct ag_secret *audit_key; /* seed of the checkpoints' key; borrowed, for the call */
    const char *audit_dir;             /* HOME/audit; the same */
    const struct ag_conf *conf;        /* its [audit] part is used; the same */
    void (*on_ready)(void *ctx);       /* once: the first full load is over */
    void (*on_ended)(void *ctx, bool failed); /* drained; or failed: no worker is left */
    void *ctx;
};

/* Opens the backend and starts the workers. errors: NO_MEMORY, IO, those of the backend. */
ANTAG_MUST_CHECK enum antag_err ag_ring_open(const struct ag_ring_conf *conf, struct ag_ring **out,
                                             struct antag_fault *fault);
/* A channel to the steward, which replaces an older one: what that one asked for and was not answered
 * is dropped. Takes `fd`. */
void ag_ring_set_steward(struct ag_ring *ring, int fd);
/* A lane to a thread of the front. Takes `fd`. */
void ag_ring_add_lane(struct ag_ring *ring, uint32_t number, int fd);
/* Finish what lies in the lanes, then on_ended. */
void ag_ring_drain(struct ag_ring *ring);
/* Waits for workers and for work under way, wipes the keys, frees. Not from a callback of the loop,
 * which it runs. NULL accepted. */
void ag_ring_close(struct ag_ring *ring);

#endif
