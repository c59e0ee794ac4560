/* state: what the threads of the steward share, and how they wait for each other. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/rotation.h"

/* Lock held. */
static void set_state(struct ag_steward *st, enum ag_agent_state state, const char *reason)
{
    if (st->state != state || strcmp(st->reason, reason) != 0)
        ag_log(state == AG_STATE_FAILED ? AG_LOG_ERROR : AG_LOG_INFO, "state",
               AG_F_TEXT("state", ag_agent_state_name(state)), AG_F_TEXT("reason", reason));
    if (st->state != state)
        st->state_since_ms = ag_clock_wall_ms();
    if (st->state != state && state == AG_STATE_UNLOCKED)
        for (size_t i = 0; i < st->keeper_count;
             i++) /* started only now: down by no fault of theirs */
            st->keepers[i].down_since_ms = ag_clock_mono_ms();
    st->state = state;
    snprintf(st->reason, sizeof st->reason, "%s", reason);
    st->kicks++;
    uv_cond_broadcast(&st->changed);
}

void ag_state_set(struct ag_steward *st, enum ag_agent_state state, const char *reason)
{
    uv_mutex_lock(&st->lock);
    set_state(st, state, reason);
    uv_mutex_unlock(&st->lock);
}

void ag_state_open(struct ag_steward *st, bool only_failed)
{
    uv_mutex_lock(&st->lock);
    if (!only_failed || (st->state == AG_STATE_FAILED && st->mac_key != NULL)) {
        st->want_open = true;
        set_state(st, AG_STATE_STARTING, "the registry is being opened");
    }
    uv_mutex_unlock(&st->lock);
}

enum ag_agent_state ag_state_get(struct ag_steward *st, char reason[256])
{
    enum ag_agent_state state;

    uv_mutex_lock(&st->lock);
    state = st->state;
    if (reason != NULL)
        snprintf(reason, 256, "%s", st->reason);
    uv_mutex_unlock(&st->lock);
    return state;
}

enum ag_agent_state ag_state_public(struct ag_steward *st, char reason[256])
{
    enum ag_agent_state state = ag_state_get(st, reason);
    bool has_front, served;

    uv_mutex_lock(&st->lock);
    has_front = st->front != NULL;
    served = st->front_told == AG_STATE_UNLOCKED;
    uv_mutex_unlock(&st->lock);
    if (state != AG_STATE_UNLOCKED || (has_front && served))
        return state;
    snprintf(reason, 256, "%s",
             has_front ? "the front is being given the registry's content"
                       : "the front is being started");
    return AG_STATE_STARTING;
}

enum antag_err ag_state_refuse(struct ag_steward *st, struct antag_fault *fault)
{
    char reason[256];

    switch (ag_state_get(st, reason)) {
    case AG_STATE_LOCKED:
        return antag_fault_set(fault, ANTAG_ERR_LOCKED, NULL, "the agent is locked: %s",
                               reason[0] == '\0' ? "run `antomctl unlock`" : reason);
    case AG_STATE_FAILED:
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL, "%s", reason);
    default:
        return antag_fault_set(fault, ANTAG_ERR_NOT_READY, NULL,
                               "the registry is being opened; repeat in a moment");
    }
}

/* `which` is read under the lock. */
static struct ag_secret *copy_key(struct ag_steward *st, struct ag_secret *const *which)
{
    struct ag_secret *copy;

    uv_mutex_lock(&st->lock);
    copy = *which == NULL ? NULL : ag_secret_copy(*which);
    uv_mutex_unlock(&st->lock);
    return copy;
}

struct ag_secret *ag_seal_key(struct ag_steward *st)
{
    return copy_key(st, &st->seal_key);
}

struct ag_secret *ag_token_key(struct ag_steward *st)
{
    return copy_key(st, &st->token_key);
}

struct ag_secret *ag_code_key(struct ag_steward *st)
{
    return copy_key(st, &st->code_key);
}

void ag_conf_copy(struct ag_steward *st, struct ag_conf *out)
{
    uv_mutex_lock(&st->lock);
    *out = st->conf;
    uv_mutex_unlock(&st->lock);
}

static bool is_type(struct ag_steward *st, const char *keyring, enum ag_keyring_type type)
{
    const struct ag_conf_keyring *k;
    struct ag_conf conf;

    ag_conf_copy(st, &conf);
    k = ag_conf_find_keyring(&conf, keyring);
    return k != NULL && k->type == (int64_t)type;
}

bool ag_keyring_is_outside(struct ag_steward *st, const char *keyring)
{
    return is_type(st, keyring, AG_KEYRING_PKCS11);
}

bool ag_keyring_imports(struct ag_steward *st, const char *keyring)
{
    return !is_type(st, keyring, AG_KEYRING_PKCS11);
}

bool ag_keyring_adopts(struct ag_steward *st, const char *keyring)
{
    return is_type(st, keyring, AG_KEYRING_TPM);
}

bool ag_keyring_keeps_pin(const struct ag_conf_keyring *k)
{
    return k->type == AG_KEYRING_PKCS11 && k->pin_file[0] == '\0' && k->pin_credential[0] == '\0';
}

/* ---- the published book */

const struct ag_book *ag_book_hold(struct ag_steward *st)
{
    struct ag_book *b;

    uv_mutex_lock(&st->lock);
    b = st->book;
    if (b != NULL)
        b->holders++;
    uv_mutex_unlock(&st->lock);
    return b;
}

void ag_book_release(struct ag_steward *st, const struct ag_book *b)
{
    struct ag_book *mine = (struct ag_book *)(uintptr_t)b;
    bool last;

    if (b == NULL)
        return;
    uv_mutex_lock(&st->lock);
    last = --mine->holders == 0;
    uv_mutex_unlock(&st->lock);
    if (last)
        ag_book_free(mine);
}

/* Enrolment outlives the book, so that staff can unlock what it locked. */
static void remember_staff(struct ag_steward *st, const struct ag_book *b)
{
    st->enrolled_known = true;
    st->enrolled_count = 0;
    for (size_t i = 0; i < b->staff_count && i < AG_ENROLLED_MAX; i++)
        st->enrolled[st->enrolled_count++] =
            (struct ag_enrolled){.uid = b->staff[i].uid, .roles = b->staff[i].roles};
}

void ag_book_publish(struct ag_steward *st, struct ag_book *b)
{
    struct ag_book *old;
    bool waits;

    uv_mutex_lock(&st->lock);
    old = st->book;
    st->book = b;
    if (b != NULL) {
        b->holders = 1;
        remember_staff(st, b);
    }
    waits = b != NULL && b->rotation_count > 0;
    uv_mutex_unlock(&st->lock);
    ag_book_release(st, old);
    if (waits)
        ag_prober_kick(st, false);
}

unsigned ag_enrolled_roles(struct ag_steward *st, uint32_t uid, bool *known)
{
    unsigned roles = 0;

    uv_mutex_lock(&st->lock);
    *known = st->enrolled_known;
    for (size_t i = 0; i < st->enrolled_count; i++)
        if (st->enrolled[i].uid == uid)
            roles |= st->enrolled[i].roles;
    uv_mutex_unlock(&st->lock);
    return roles;
}

/* ---- the loop's thread, for others */

bool ag_loop_run(struct ag_steward *st, void (*run)(void *ctx), void *ctx)
{
    struct ag_loop_task task = {.run = run, .ctx = ctx};
    struct ag_loop_task **at;

    uv_mutex_lock(&st->lock);
    if (st->quit) {
        uv_mutex_unlock(&st->lock);
        return false;
    }
    for (at = &st->tasks; *at != NULL; at = &(*at)->next)
        continue;
    *at = &task;
    uv_async_send(&st->wake);
    while (!task.done)
        uv_cond_wait(&st->changed, &st->lock);
    uv_mutex_unlock(&st->lock);
    return true;
}

/* Tasks queued before the end are run still: their threads wait for them. */
void ag_loop_run_tasks(struct ag_steward *st)
{
    uv_mutex_lock(&st->lock);
    while (st->tasks != NULL) {
        struct ag_loop_task *task = st->tasks;

        st->tasks = task->next;
        uv_mutex_unlock(&st->lock);
        task->run(task->ctx);
        uv_mutex_lock(&st->lock);
        task->done = true;
        uv_cond_broadcast(&st->changed);
    }
    uv_mutex_unlock(&st->lock);
}
