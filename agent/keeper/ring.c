#include "agent/keeper/ring.h"

#include <stdlib.h>
#include <unistd.h>

#include "agent/keeper/backend/pkcs11.h"
#include "agent/keeper/backend/tpm.h"
#include "agent/keeper/ring_internal.h"
#include "agent/lib/log.h"

#define DRAIN_MS 1000

static const struct ag_backend_ops *const backends[] = {[AG_KEYRING_SOFT] = &ag_backend_soft,
                                                        [AG_KEYRING_PKCS11] = &ag_backend_pkcs11,
                                                        [AG_KEYRING_TPM] = &ag_backend_tpm};

static size_t worker_count(const struct ag_conf_keyring *conf)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t n = conf->threads > 0 ? conf->threads : cores > 0 ? cores : 1;

    return n > AG_WORKERS_MAX ? AG_WORKERS_MAX : (size_t)n;
}

/* ---- the loop's part of what workers did */

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct ag_ring *ring = poll->data;

    (void)status;
    (void)events;
    ag_workers_reap_lanes(ring->workers);
    ag_grace_collect(&ring->grace);
    if (!ag_workers_are_done(ring->workers) || ring->closing)
        return;
    uv_poll_stop(poll);
    ring->conf.on_ended(ring->conf.ctx, !ring->draining);
}

static void on_wake_closed(uv_handle_t *handle)
{
    ((struct ag_ring *)handle->data)->wake_open = false;
}

static enum antag_err watch_grace(struct ag_ring *ring)
{
    int e = uv_poll_init(ring->conf.loop, &ring->wake, ring->grace.wake_fd);

    if (e == 0) {
        ring->wake.data = ring;
        ring->wake_open = true;
        (void)uv_poll_start(&ring->wake, UV_READABLE, on_wake); /* fails on closing handles only */
        return ANTAG_OK;
    }
    ag_log(AG_LOG_ERROR, "keeper.poll", AG_F_TEXT("uv", uv_err_name(e)));
    return ANTAG_ERR_IO;
}

/* ---- the record */

static void on_recorded(void *ctx)
{
    struct ag_workers *workers = atomic_load(&((struct ag_ring *)ctx)->told);

    if (workers != NULL)
        ag_workers_recorded(workers);
}

static enum antag_err open_chain(struct ag_ring *ring)
{
    const struct ag_conf *conf = ring->conf.conf;
    struct ag_chain_conf chain = {.audit_dir = ring->conf.audit_dir,
                                  .name = ring->conf.keyring.name,
                                  .commit = conf->audit_durability == AG_DURABILITY_COMMIT,
                                  .segment_max = (uint64_t)conf->audit_segment_max_bytes,
                                  .reserve = (uint64_t)conf->audit_reserve_bytes,
                                  .seed = ring->conf.audit_key,
                                  .on_change = on_recorded,
                                  .ctx = ring};
    enum antag_err err = ag_chain_open(&chain, &ring->chain);

    ring->conf.conf = NULL; /* borrowed for the call */
    ring->conf.audit_dir = NULL;
    ring->conf.audit_key = NULL;
    return err;
}

/* ---- the beginning */

enum antag_err ag_ring_open(const struct ag_ring_conf *conf, struct ag_ring **out,
                            struct antag_fault *fault)
{
    struct ag_ring *ring = calloc(1, sizeof *ring);
    size_t threads = worker_count(&conf->keyring);
    size_t type = (size_t)conf->keyring.type;
    uint32_t rate = (uint32_t)conf->keyring.profile_rate;
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (ring == NULL)
        goto out;
    ring->conf = *conf;
    ring->conf.ring_key = NULL; /* not taken yet */
    ring->loading = true;       /* until the steward has said what there is */
    ring->grace.wake_fd = -1;
    if (type >= sizeof backends / sizeof backends[0]) {
        err = ANTAG_ERR_CONF;
        goto out;
    }
    ring->prober = threads;
    if ((err = ag_grace_init(&ring->grace, threads + 1)) != ANTAG_OK ||
        (err = ag_keytable_new(&ring->grace, &ring->keys)) != ANTAG_OK ||
        (err = backends[type]->open(&conf->keyring, conf->ring_key, threads + 1, &ring->backend,
                                    fault)) != ANTAG_OK ||
        (err = open_chain(ring)) != ANTAG_OK)
        goto out;
    err = ag_workers_start(&(struct ag_workers_conf){.count = threads,
                                                     .grace = &ring->grace,
                                                     .keys = ring->keys,
                                                     .backend = ring->backend,
                                                     .chain = ring->chain,
                                                     .gauge = &ring->gauge,
                                                     .profile_rate = {rate, rate}},
                           &ring->workers);
    if (err == ANTAG_OK) {
        atomic_store(&ring->told, ring->workers);
        err = watch_grace(ring);
    }
out:
    if (err != ANTAG_OK) {
        ag_ring_close(ring);
        return fault != NULL && fault->err == err
                   ? err
                   : antag_fault_set(fault, err, NULL, "the keyring %s could not be opened: %s",
                                     conf->keyring.name, antag_err_message(err));
    }
    ring->conf.ring_key = conf->ring_key; /* taken */
    *out = ring;
    return ANTAG_OK;
}

/* ---- the steward's channel */

static void drop_steward(struct ag_ring *ring)
{
    ag_chan_close(ring->steward);
    ring->steward = NULL;
    ring->steward_number++;
    ag_orders_abandon(ring);
}

static void on_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    struct ag_ring *ring = ctx;

    (void)fds;
    if (m->shape == ANTAG_REQUEST && c == ring->steward)
        ag_orders_take(ring, m);
    else
        ag_log(AG_LOG_WARN, "keeper.unknown_event", AG_F_SLICE("name", m->name));
    ag_grace_collect(&ring->grace);
}

static void on_closed(struct ag_chan *c, void *ctx)
{
    struct ag_ring *ring = ctx;

    if (c != ring->steward)
        return;
    ag_log(AG_LOG_WARN, "keeper.steward_gone");
    drop_steward(ring); /* what is loaded goes on signing */
}

static const struct ag_chan_ops steward_ops = {.on_message = on_message, .on_closed = on_closed};

void ag_ring_set_steward(struct ag_ring *ring, int fd)
{
    struct ag_chan *fresh = NULL;
    enum antag_err err = ag_chan_open(ring->conf.loop, fd, "steward", &steward_ops, ring, &fresh);

    drop_steward(ring);
    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "keeper.steward", AG_F_ERR(err));
    ring->steward = fresh;
}

void ag_ring_add_lane(struct ag_ring *ring, uint32_t number, int fd)
{
    enum antag_err err = ag_workers_add_lane(ring->workers, number, fd);

    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "keeper.lane", AG_F_UINT("lane", number), AG_F_ERR(err));
    ag_grace_collect(&ring->grace);
}

/* ---- the end */

void ag_ring_drain(struct ag_ring *ring)
{
    ring->draining = true;
    ag_workers_drain(ring->workers, DRAIN_MS);
}

void ag_ring_close(struct ag_ring *ring)
{
    if (ring == NULL)
        return;
    ring->closing = true;
    drop_steward(ring);
    ag_workers_stop(ring->workers);
    while (ring->probe != NULL) /* it waits for the record */
        uv_run(ring->conf.loop, UV_RUN_ONCE);
    ag_chain_close(ring->chain); /* writes what is left; then nobody tells the workers any more */
    ag_workers_free(ring->workers);
    if (ring->wake_open)
        uv_close((uv_handle_t *)&ring->wake, on_wake_closed);
    while (ring->wake_open || ring->works != NULL)
        uv_run(ring->conf.loop, UV_RUN_ONCE);
    ag_grace_fini(&ring->grace);
    ag_keytable_free(ring->keys);
    if (ring->backend != NULL)
        ring->backend->ops->close(ring->backend);
    ag_secret_free(ring->conf.ring_key);
    free(ring);
}
