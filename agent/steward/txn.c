/* txn: the registry under its lock: opening, the frame of every operation on it, closing. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/changes.h"
#include "agent/steward/outbox.h"
#include "agent/steward/record.h"
#include "agent/steward/steward.h"

int64_t ag_observed_now_ms(struct ag_steward *st)
{
    return st->observed_base_ms + (ag_clock_mono_ms() - st->observed_mono_ms);
}

enum antag_err ag_txn_begin(struct ag_steward *st, uint64_t era, struct ag_txn *t,
                            struct antag_fault *fault)
{
    struct ag_conf conf;
    enum antag_err err;

    memset(t, 0, sizeof *t);
    t->st = st;
    ag_conf_copy(st, &conf);
    uv_mutex_lock(&st->reg_lock);
    t->locked = true;
    if (st->reg == NULL)
        return ag_state_refuse(st, fault);
    if (era != 0 && era != st->era)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "the agent was locked meanwhile; nothing was changed");
    t->era = st->era;
    t->allow_root = conf.staff_allow_root == AG_ALLOW_YES;
    t->change_holds_ms = conf.staff_change_expires_ms;
    ag_life_init(&t->life, &conf, ag_clock_wall_ms(), ag_observed_now_ms(st));
    if ((err = ag_book_load(st->reg, &t->book, fault)) == ANTAG_OK)
        t->book->behind = ag_record_behind(st);
    else if (fault != NULL)
        ag_log_fault(AG_LOG_ERROR, "registry.read", fault);
    return err;
}

void ag_txn_deed(struct ag_txn *t, struct ag_actor by, const char *what, const char *subject,
                 uint64_t handle, const char *fmt, ...)
{
    struct ag_row_deed *d = &t->deed;
    va_list args;

    *d = (struct ag_row_deed){.at_ms = t->life.now_ms,
                              .uid = by.by_agent ? 0 : by.uid,
                              .by_agent = by.by_agent,
                              .handle = handle};
    snprintf(d->what, sizeof d->what, "%s", what);
    snprintf(d->subject, sizeof d->subject, "%s", subject);
    va_start(args, fmt);
    vsnprintf(d->detail, sizeof d->detail, fmt, args);
    va_end(args);
}

enum antag_err ag_txn_write(struct ag_txn *t, struct antag_fault *fault)
{
    if (t->deed.what[0] == '\0')
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL,
                               "a change was about to be made without a line for the record");
    return ag_registry_begin(t->st->reg, fault);
}

enum antag_err ag_txn_write_quiet(struct ag_txn *t, struct antag_fault *fault)
{
    t->deed.what[0] = '\0';
    return ag_registry_begin(t->st->reg, fault);
}

/* The deed goes in last: then its row has the transaction's own epoch. */
static enum antag_err commit(struct ag_steward *st, struct ag_row_deed *deed, uint64_t *epoch,
                             struct antag_fault *fault)
{
    bool noted = deed->what[0] != '\0';
    enum antag_err err = noted ? ag_record_write(st, deed, fault) : ANTAG_OK;

    if (err == ANTAG_OK)
        err = ag_registry_commit(st->reg, epoch, fault);
    if (err == ANTAG_OK && noted)
        ag_record_copy(st);
    return err;
}

enum antag_err ag_txn_commit(struct ag_txn *t, struct antag_fault *fault)
{
    struct ag_book *book = NULL;
    enum antag_err err;

    ag_registry_set_observed_ms(t->st->reg, t->life.observed_ms);
    if ((err = commit(t->st, &t->deed, &t->epoch, fault)) != ANTAG_OK) {
        if (fault != NULL)
            ag_log_fault(AG_LOG_ERROR, "registry.commit", fault);
        return err;
    }
    if (t->mailed)
        ag_outbox_kick(t->st);
    if (t->deed.change_id != 0)
        ag_changer_kick(t->st);
    if ((err = ag_book_load(t->st->reg, &book, fault)) != ANTAG_OK)
        return err;
    ag_book_free(t->book);
    book->behind = ag_record_behind(t->st);
    t->book = book;
    return ANTAG_OK;
}

void ag_txn_end(struct ag_txn *t)
{
    if (!t->locked)
        return;
    if (t->st->reg != NULL)
        ag_registry_rollback(t->st->reg);
    uv_mutex_unlock(&t->st->reg_lock);
    ag_book_free(t->book);
    memset(t, 0, sizeof *t);
}

/* Keys that were being made when the last steward ended: their handles and versions are not used again. */
static enum antag_err remove_intents(struct ag_steward *st, struct ag_book *b,
                                     struct antag_fault *fault)
{
    struct ag_row_deed deed = {
        .at_ms = ag_clock_wall_ms(), .by_agent = true, .what = "agent.cleanup"};
    uint64_t epoch;
    size_t count = 0;
    enum antag_err err;

    for (size_t i = 0; i < b->intent_count; i++)
        count += !ag_keyring_is_outside(st, b->intents[i].keyring);
    if (count == 0)
        return ANTAG_OK;
    if ((err = ag_registry_begin(st->reg, fault)) != ANTAG_OK)
        return err;
    for (size_t i = 0; i < b->intent_count && err == ANTAG_OK; i++) {
        if (ag_keyring_is_outside(st, b->intents[i].keyring))
            continue; /* its keyring is asked first (keepers.c) */
        ag_log(AG_LOG_WARN, "key.unfinished_removed", AG_F_UINT("handle", b->intents[i].id),
               AG_F_UINT("profile", b->intents[i].profile_id),
               AG_F_UINT("version", b->intents[i].version));
        err = ag_registry_delete_intent(st->reg, b->intents[i].id, fault);
    }
    snprintf(deed.detail, sizeof deed.detail, "%zu keys that were being made when the agent ended",
             count);
    if (err == ANTAG_OK)
        err = commit(st, &deed, &epoch, fault);
    if (err != ANTAG_OK)
        ag_registry_rollback(st->reg);
    return err;
}

enum antag_err ag_intent_end(struct ag_steward *st, const struct ag_row_intent *intent,
                             struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err == ANTAG_OK) {
        const struct ag_row_profile *p = ag_book_profile(t.book, intent->profile_id);

        ag_txn_deed(&t, ag_actor_agent, "agent.cleanup", p == NULL ? "" : p->name, intent->id,
                    "version %u was being made in keyring %s when the agent ended", intent->version,
                    intent->keyring);
        if ((err = ag_txn_write(&t, fault)) == ANTAG_OK &&
            (err = ag_registry_delete_intent(st->reg, intent->id, fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, fault);
    }
    ag_txn_end(&t);
    return err;
}

/* Registry lock held. */
static enum antag_err open_registry(struct ag_steward *st, const struct ag_secret *mac,
                                    struct antag_fault *fault)
{
    struct ag_book *b = NULL;
    struct antag_fault cleaning;
    enum antag_err err;

    if ((err = ag_registry_open(st->home.registry, mac, &st->reg, fault)) != ANTAG_OK) {
        st->reg = NULL;
        return err;
    }
    st->observed_base_ms = ag_registry_observed_ms(st->reg);
    st->observed_mono_ms = ag_clock_mono_ms();
    st->era++;
    if ((err = ag_book_load(st->reg, &b, fault)) != ANTAG_OK) {
        ag_registry_close(st->reg);
        st->reg = NULL;
        return err;
    }
    ag_record_open(st);
    b->behind = ag_record_behind(st);
    /* A full disk must not keep a good registry from signing: the leftovers do no harm. */
    if (remove_intents(st, b, &cleaning) != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "registry.cleaning", &cleaning);
    ag_book_publish(st, b);
    return ANTAG_OK;
}

void ag_registry_start(struct ag_steward *st)
{
    struct ag_secret *mac = NULL;
    struct antag_fault fault = {0};
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    uv_mutex_lock(&st->reg_lock);
    uv_mutex_lock(&st->lock);
    st->want_open = false;
    if (st->mac_key != NULL)
        mac = ag_secret_copy(st->mac_key);
    uv_mutex_unlock(&st->lock);
    if (mac == NULL)
        antag_fault_set(&fault, err, NULL, "the registry's key was not received");
    else if (st->reg == NULL)
        err = open_registry(st, mac, &fault);
    else
        err = ANTAG_OK;
    uv_mutex_unlock(&st->reg_lock);
    ag_secret_free(mac);
    if (err == ANTAG_OK) {
        ag_state_set(st, AG_STATE_UNLOCKED, "");
        atomic_store(&st->seal_waits, true);
        ag_outbox_kick(st);
        ag_changer_kick(st);
    } else {
        ag_log_fault(AG_LOG_ERROR, "registry.open", &fault);
        ag_state_set(st, AG_STATE_FAILED, antag_fault_text(&fault));
    }
}

void ag_registry_stop(struct ag_steward *st)
{
    struct ag_secret *keys[5];

    uv_mutex_lock(&st->reg_lock);
    ag_record_close(st);
    if (st->reg != NULL)
        ag_registry_close(st->reg);
    st->reg = NULL;
    uv_mutex_lock(&st->lock);
    keys[0] = st->mac_key;
    keys[1] = st->audit_key;
    keys[2] = st->seal_key;
    keys[3] = st->code_key;
    keys[4] = st->token_key;
    st->mac_key = st->audit_key = st->seal_key = st->code_key = st->token_key = NULL;
    uv_mutex_unlock(&st->lock);
    uv_mutex_unlock(&st->reg_lock);
    for (size_t i = 0; i < 5; i++)
        ag_secret_free(keys[i]);
    ag_book_publish(st, NULL);
}
