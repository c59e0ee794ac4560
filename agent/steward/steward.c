/* steward: the role: its control channel, its threads, its end. */
#include "agent/steward/steward.h"
#include "agent/steward/changes.h"
#include "agent/steward/rotation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/ops.h"
#include "agent/steward/outbox.h"
#include "agent/steward/staffsock.h"

#define DRAIN_MS 5000 /* operations under way have this long when the agent stops */

/* `antom-agent --init`: the registry, and nothing else. */
static void make_registry(struct ag_steward *st, const struct ag_role_start *start)
{
    struct antag_fault fault = {0};
    enum antag_err err = ANTAG_ERR_INTERNAL;

    if (st->mac_key == NULL)
        antag_fault_set(&fault, err, NULL, "the registry's key was not received");
    else
        err = ag_registry_create(start->home.registry, st->mac_key, start->staff_uid,
                                 ag_clock_wall_ms(), &fault);
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "registry.create", &fault);
    ag_role_end(st->role, antag_err_exit(err));
}

static void end_when_idle(struct ag_steward *st);

static void on_wake(uv_async_t *wake)
{
    struct ag_steward *st = wake->data;

    ag_loop_run_tasks(st);
    if (st->pool != NULL)
        ag_pool_deliver(st);
    end_when_idle(st);
}

static uid_t owner_of(const char *dir)
{
    struct stat facts;

    return stat(dir, &facts) == 0 ? facts.st_uid : geteuid();
}

static void fail(struct ag_steward *st, const char *event, enum antag_err err)
{
    ag_log(AG_LOG_ERROR, event, AG_F_ERR(err));
    ag_role_end(st->role, antag_err_exit(err));
}

static void on_start(struct ag_role *r, const struct ag_role_start *start, void *ctx)
{
    struct ag_steward *st = ctx;
    enum antag_err err;

    st->role = r;
    st->loop = ag_role_loop(r);
    if (start->init) {
        make_registry(st, start);
        return;
    }
    st->home = start->home;
    st->owner_uid = owner_of(start->home.dir);
    st->started_at_ms = ag_clock_wall_ms();
    uv_mutex_lock(&st->lock);
    st->conf = start->conf;
    st->front_down_since_ms = ag_clock_mono_ms();
    st->want_open = start->state == AG_STATE_UNLOCKED;
    uv_mutex_unlock(&st->lock);
    ag_log_set_level((enum ag_log_level)start->conf.log_level);
    ag_peers_conf(st);
    ag_state_set(st, st->want_open ? AG_STATE_STARTING : AG_STATE_LOCKED, start->reason);
    uv_async_init(st->loop, &st->wake, on_wake);
    st->wake.data = st;
    uv_timer_init(st->loop, &st->drain_timer);
    st->drain_timer.data = st;
    st->started = true;
    if ((err = ag_pool_start(st, ag_staffsock_answer, st)) != ANTAG_OK ||
        (err = ag_outbox_start(st)) != ANTAG_OK || (err = ag_changer_start(st)) != ANTAG_OK ||
        (err = ag_prober_start(st)) != ANTAG_OK || (err = ag_driver_start(st)) != ANTAG_OK ||
        (err = ag_staffsock_start(st, start->listen_fd)) != ANTAG_OK) {
        fail(st, "steward.start", err);
        return;
    }
    ag_role_ready(r);
}

/* The key of codes is one of its own: what is sealed and what is hashed have nothing in common. */
static void keep_seal_key(struct ag_steward *st, struct ag_secret *seal)
{
    struct ag_secret *code = ag_secret_derive(seal, "codes"), *old[2];

    uv_mutex_lock(&st->lock);
    old[0] = st->seal_key;
    old[1] = st->code_key;
    st->seal_key = seal;
    st->code_key = code;
    uv_mutex_unlock(&st->lock);
    ag_secret_free(old[0]);
    ag_secret_free(old[1]);
}

static void on_secret(struct ag_role *r, const char *label, struct ag_secret *secret, void *ctx)
{
    struct ag_steward *st = ctx;
    struct ag_secret *old = secret;

    (void)r;
    if (strcmp(label, "registry:seal") == 0) {
        keep_seal_key(st, secret);
        return;
    }
    uv_mutex_lock(&st->lock);
    if (strcmp(label, "registry:mac") == 0) {
        old = st->mac_key;
        st->mac_key = secret;
    } else if (strcmp(label, "tokens") == 0) {
        old = st->token_key;
        st->token_key = secret;
    } else if (strcmp(label, "audit:steward") == 0) {
        old = st->audit_key;
        st->audit_key = secret;
    }
    uv_mutex_unlock(&st->lock);
    ag_secret_free(old);
}

static void on_peer(struct ag_role *r, enum ag_role_kind peer, const char *name, uint32_t lane,
                    int fd, void *ctx)
{
    struct ag_steward *st = ctx;

    (void)lane;
    if (st->role == NULL) { /* before the start; threads that read it come after that */
        st->role = r;
        st->loop = ag_role_loop(r);
    }
    if (peer == AG_ROLE_front) {
        ag_peer_front(st, fd);
    } else if (peer == AG_ROLE_keeper) {
        ag_peer_keeper(st, name, fd);
    } else if (peer == AG_ROLE_courier) {
        ag_peer_courier(st, fd);
    } else {
        ag_log(AG_LOG_ERROR, "peer.unknown", AG_F_TEXT("role", ag_role_name(peer)));
        close(fd);
    }
}

static void on_conf(struct ag_role *r, const struct ag_conf *conf, void *ctx)
{
    struct ag_steward *st = ctx;

    (void)r;
    uv_mutex_lock(&st->lock);
    st->conf = *conf;
    uv_mutex_unlock(&st->lock);
    ag_log_set_level((enum ag_log_level)conf->log_level);
    ag_peers_conf(st);
    ag_driver_kick(st);
    ag_outbox_again(st);
}

static void on_unlocked(struct ag_role *r, void *ctx)
{
    struct ag_steward *st = ctx;

    (void)r;
    ag_state_open(st, false);
}

static void on_drain_over(uv_timer_t *timer)
{
    struct ag_steward *st = timer->data;

    ag_role_end(st->role, 0);
}

static void end_when_idle(struct ag_steward *st)
{
    if (st->draining && (st->pool == NULL || ag_pool_is_idle(st)))
        ag_role_end(st->role, 0);
}

/* What is under way gets its answer; a part that does not answer is not waited for. */
static void on_drain(struct ag_role *r, void *ctx)
{
    struct ag_steward *st = ctx;

    if (!st->started) {
        ag_role_end(r, 0);
        return;
    }
    st->draining = true;
    ag_staffsock_refuse_new(st);
    uv_timer_start(&st->drain_timer, on_drain_over, DRAIN_MS, 0);
    end_when_idle(st);
}

/* ---- the end */

/* Threads that wait for the loop get their turn; those that wait for a peer get RETRY, as the channels
 * are closed. */
static bool join_threads(struct ag_steward *st, int64_t until_ms)
{
    static const struct timespec pause = {.tv_nsec = 1000000};

    while (!ag_pool_join(st)) {
        if (ag_clock_mono_ms() >= until_ms)
            return false;
        ag_loop_run_tasks(st);
        ag_pool_deliver(st);
        nanosleep(&pause, NULL);
    }
    ag_loop_run_tasks(st);
    ag_driver_join(st);
    ag_changer_join(st);
    ag_prober_join(st);
    ag_outbox_join(st);
    return true;
}

static void free_state(struct ag_steward *st)
{
    ag_registry_stop(st);
    for (size_t i = 0; i < st->keeper_count; i++)
        free(st->keepers[i].keys);
}

static void on_end(struct ag_role *r, void *ctx)
{
    struct ag_steward *st = ctx;

    (void)r;
    uv_mutex_lock(&st->lock);
    st->quit = true;
    uv_cond_broadcast(&st->changed);
    uv_mutex_unlock(&st->lock);
    if (!st->started) {
        free_state(st);
        return;
    }
    ag_staffsock_stop(st);
    ag_peers_close(st);
    ag_openers_close(st);
    ag_chan_close(ag_role_control(st->role));
    if (join_threads(st, ag_clock_mono_ms() + DRAIN_MS))
        free_state(st);
    else
        _exit(0); /* a thread hangs in the kernel; what is committed is committed */
    uv_close((uv_handle_t *)&st->wake, NULL);
    uv_close((uv_handle_t *)&st->drain_timer, NULL);
}

int ag_steward_main(void)
{
    static const struct ag_role_ops ops = {
        .on_secret = on_secret,
        .on_start = on_start,
        .on_peer = on_peer,
        .on_conf = on_conf,
        .on_unlocked = on_unlocked,
        .on_drain = on_drain,
        .on_end = on_end,
    };
    static struct ag_steward steward;

    uv_mutex_init(&steward.lock);
    uv_mutex_init(&steward.reg_lock);
    uv_mutex_init(&steward.seal_lock);
    uv_mutex_init(&steward.probe_lock);
    uv_cond_init(&steward.changed);
    return ag_role_run(AG_ROLE_steward, &ops, &steward);
}
