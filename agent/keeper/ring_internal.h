/* What ring.c, orders.c, probe.c and heads.c share. */
#ifndef AG_KEEPER_RING_INTERNAL_H
#define AG_KEEPER_RING_INTERNAL_H

#include "agent/keeper/gauge.h"
#include "agent/keeper/keytable.h"
#include "agent/keeper/ring.h"
#include "agent/keeper/worker.h"
#include "agent/lib/chan.h"

#define AG_RING_WORKS_MAX     16384 /* loads and generations under way */
#define AG_RING_GENERATES_MAX 8

struct ag_ring_work;
struct ag_ring_probe;

struct ag_ring {
    struct ag_ring_conf conf;
    struct ag_grace grace;
    uv_poll_t wake; /* grace.wake_fd */
    bool wake_open;
    struct ag_backend *backend;
    struct ag_keytable *keys;
    struct ag_workers *workers;
    struct ag_chain *chain;
    struct ag_gauge gauge;
    _Atomic(struct ag_workers *) told; /* of changes in the chain, from its thread */
    bool ready, draining, closing;

    struct ag_chan *steward;
    uint64_t steward_number; /* raised when the channel ends or is replaced */

    uint64_t load_number; /* raised by begin */
    bool loading;
    bool load_end_asked; /* waits for loads under way */
    uint32_t load_end_id;

    bool known_noted;      /* what the steward remembers of the chain stands in it */
    uint64_t steward_head; /* the last head of the steward's chain that was noted; 0: none */

    size_t prober;               /* its number among those who sign: behind the workers */
    struct ag_ring_probe *probe; /* under way */

    struct ag_ring_work *works;
    size_t work_count, generate_count;
};

/* A request of the steward; everything it asks for is answered once, now or later. */
void ag_orders_take(struct ag_ring *ring, const struct antag_message *m);
/* The request "probe" (agent/lib/edges/keyring.h), answered when it is signed and recorded. */
void ag_ring_probe(struct ag_ring *ring, const struct antag_message *m);
/* The request "heads" (agent/lib/edges/heads.h). */
void ag_ring_heads(struct ag_ring *ring, const struct antag_message *m);
/* The steward's channel has gone: forget what it waits for. */
void ag_orders_abandon(struct ag_ring *ring);

#endif
