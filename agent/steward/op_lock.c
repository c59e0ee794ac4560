/* op_lock: locking wipes the keys from memory; unlocking has the seal opened again. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/ops.h"

#define LOCK_MS 10000 /* for the supervisor to end the keepers */

static void write_state(struct ag_steward *st, struct antag_writer *w)
{
    char reason[256];

    antag_w_map(w);
    antag_w_kv_str(w, "state", ag_agent_state_name(ag_state_public(st, reason)));
    antag_w_end(w);
}

/* The front refuses from now on, or is not there. */
static bool front_is_locked(struct ag_steward *st)
{
    int64_t until = ag_clock_mono_ms() + AG_WAIT_FRONT_MS;
    bool locked;

    uv_mutex_lock(&st->lock);
    while (!(locked = st->front == NULL || st->front_told == AG_STATE_LOCKED) && !st->quit) {
        int64_t left = until - ag_clock_mono_ms();

        if (left <= 0)
            break;
        uv_cond_timedwait(&st->changed, &st->lock, (uint64_t)left * 1000000);
    }
    uv_mutex_unlock(&st->lock);
    return locked;
}

/* Its line in the record. A disk that refuses keeps nobody from locking. */
static void note(struct ag_steward *st, const struct ag_task *op)
{
    struct antag_fault fault = {0};
    struct ag_txn t = {0};
    enum antag_err err = ag_txn_begin(st, 0, &t, &fault);

    ag_txn_deed(&t, ag_task_actor(op), op->row->name, "", 0, "%s", "");
    if (err != ANTAG_OK || ag_txn_write(&t, &fault) != ANTAG_OK ||
        ag_txn_commit(&t, &fault) != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "lock.not_recorded", &fault);
    ag_txn_end(&t);
}

/* Front first, then the keys, then the registry. Locking is a stop: it goes on though one does not answer. */
enum antag_err ag_op_lock(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    struct ag_reply reply = {0};
    char reason[256];
    enum antag_err err;

    if (ag_state_get(st, reason) == AG_STATE_LOCKED) {
        write_state(st, w);
        return ANTAG_OK;
    }
    snprintf(reason, sizeof reason, "locked by staff (uid %u); run `antomctl unlock`",
             (unsigned)op->uid);
    ag_state_set(st, AG_STATE_LOCKED, reason);
    if (!front_is_locked(st))
        ag_log(AG_LOG_WARN, "lock.front_does_not_answer");
    err = ag_call(ag_role_control(st->role), "lock", NULL, 0, LOCK_MS, &reply);
    if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL,
                        "the agent refuses to sign, but the supervisor did not confirm that the "
                        "keys are wiped: %s; stop the agent to be sure",
                        antag_fault_text(&reply.fault));
    ag_reply_fini(&reply);
    note(st, op);
    ag_registry_stop(st);
    if (err == ANTAG_OK)
        write_state(st, w);
    return err;
}

/* Waits until the agent is what the supervisor's event makes of it. */
static enum antag_err wait_unlocked(struct ag_steward *st, struct antag_fault *fault)
{
    int64_t until = ag_clock_mono_ms() + AG_WAIT_UNLOCK_MS;
    enum ag_agent_state state;
    char reason[256];
    bool served = false;

    uv_mutex_lock(&st->lock);
    while (!st->quit) {
        int64_t left = until - ag_clock_mono_ms();

        served = st->state == AG_STATE_UNLOCKED && st->front != NULL &&
                 st->front_told == AG_STATE_UNLOCKED;
        if (served || left <= 0 || (st->state == AG_STATE_FAILED && !st->want_open))
            break;
        uv_cond_timedwait(&st->changed, &st->lock, (uint64_t)left * 1000000);
    }
    uv_mutex_unlock(&st->lock);
    if (served)
        return ANTAG_OK;
    state = ag_state_public(st, reason);
    return antag_fault_set(fault, state == AG_STATE_FAILED ? ANTAG_ERR_REGISTRY : ANTAG_ERR_TIMEOUT,
                           NULL, "the seal is open, but the agent is %s%s%s",
                           ag_agent_state_name(state), reason[0] == '\0' ? "" : ": ", reason);
}

enum antag_err ag_op_unlock(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                            struct antag_fault *fault)
{
    struct ag_reply reply = {0};
    struct ag_conf conf;
    bool opened = false;
    enum antag_err err;

    ag_conf_copy(st, &conf);
    if (ag_state_get(st, NULL) != AG_STATE_UNLOCKED) {
        err = ag_call(ag_role_control(st->role), "unlock", op->files, op->file_count,
                      conf.opener_deadline_ms + 5000, &reply);
        if (err != ANTAG_OK)
            *fault = reply.fault;
        ag_reply_fini(&reply);
        if (err != ANTAG_OK)
            return err;
        ag_state_open(st, true); /* a registry that failed before is tried again */
        opened = true;
    }
    if ((err = wait_unlocked(st, fault)) == ANTAG_OK)
        write_state(st, w);
    if (opened && err == ANTAG_OK)
        note(st, op);
    return err;
}
