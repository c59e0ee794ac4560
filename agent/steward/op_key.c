/* op_key: merchant keys that are there: shown, exported, switched, stopped, resumed. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/log.h"
#include "agent/steward/deeds.h"
#include "agent/steward/render.h"
#include "agent/steward/rotation.h"
#include "agent/steward/rules.h"

/* ---- reading */

enum antag_err ag_op_key_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_profile_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_book_need_profile(t.book, p->profile.v, &profile, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(w);
    antag_w_key(w, "keys");
    antag_w_array(w);
    for (size_t i = 0; i < t.book->key_count; i++) {
        const struct ag_row_key *k = &t.book->keys[i];

        if (k->profile_id == profile->id)
            ag_render_key(w, t.book, &t.life, k, ag_keeper_holds(st, k->keyring, k->id), NULL);
    }
    antag_w_end(w);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_op_key_show(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_key_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    char text[AG_PUBLIC_TEXT_MAX];
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_book_need_key(t.book, p->profile.v, p->version.v, &profile, &k, fault)) !=
        ANTAG_OK)
        goto out;
    if ((err = ag_render_public(ag_key_spki(k), false, text)) == ANTAG_OK)
        ag_render_key(w, t.book, &t.life, k, ag_keeper_holds(st, k->keyring, k->id), text);
out:
    ag_txn_end(&t);
    return err;
}

/* The version given; else the active one; else the only one that is staged. */
static enum antag_err pick_export(const struct ag_book *b, const struct antag_key_export_params *p,
                                  const struct ag_row_profile **profile,
                                  const struct ag_row_key **out, struct antag_fault *fault)
{
    const struct ag_row_key *staged = NULL;
    size_t staged_count = 0;
    enum antag_err err;

    if (p->version.set)
        return ag_book_need_key(b, p->profile.v, p->version.v, profile, out, fault);
    if ((err = ag_book_need_profile(b, p->profile.v, profile, fault)) != ANTAG_OK)
        return err;
    if ((*out = ag_book_active_key(b, (*profile)->id)) != NULL)
        return ANTAG_OK;
    for (size_t i = 0; i < b->key_count; i++)
        if (b->keys[i].profile_id == (*profile)->id && b->keys[i].state == AG_KEY_STAGED) {
            staged = &b->keys[i];
            staged_count++;
        }
    if (staged_count == 1) {
        *out = staged;
        return ANTAG_OK;
    }
    return antag_fault_set(fault, ANTAG_ERR_NO_ACTIVE_KEY, "version",
                           "%s has no active key and %zu staged ones; name one with --version, "
                           "`antomctl key list %s` shows them",
                           (*profile)->name, staged_count, (*profile)->name);
}

enum antag_err ag_op_key_export(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    const struct antag_key_export_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    char text[AG_PUBLIC_TEXT_MAX], fingerprint[65];
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = pick_export(t.book, p, &profile, &k, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_render_public(ag_key_spki(k), p->pem.set && p->pem.v, text)) != ANTAG_OK)
        goto out;
    ag_keyform_fingerprint(ag_key_spki(k), fingerprint);
    antag_w_map(w);
    antag_w_kv_str(w, "profile", profile->name);
    antag_w_kv_uint(w, "version", k->version);
    antag_w_kv_str(w, "public_key", text);
    antag_w_kv_str(w, "fingerprint", fingerprint);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}

/* ---- changing; each step commits, then front and keepers follow */

/* The rows as they will be, first the one that stops: never two active ones, not even within the transaction.
 * has_old: there is such a one. */
static enum antag_err step(const struct ag_txn *t, const struct ag_task *op, struct ag_row_key *row,
                           struct ag_row_key *old, bool *has_old, struct antag_fault *fault)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);
    enum antag_err err;

    *has_old = false;
    if (op->which == ANTAG_STAFF_key_resume)
        return ag_life_step(&t->life, t->book, row, AG_KEYEV_RESUME, true, NULL, fault);
    if (p != NULL && (err = ag_rotation_none_open(t->book, p, fault)) != ANTAG_OK)
        return err;
    return ag_life_activate(&t->life, t->book, row, true, old, has_old, fault);
}

/* Would the table let it? Before the keeper is asked to load anything. */
static enum antag_err prepare(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    const struct antag_key_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    struct ag_row_profile of;
    struct ag_row_key row, next, old;
    bool has_old;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_book_need_key(t.book, p->profile.v, p->version.v, &profile, &k, fault)) ==
            ANTAG_OK) {
        next = row = *k;
        of = *profile;
        op->era = t.era;
        op->row_id = row.id;
        err = step(&t, op, &next, &old, &has_old, fault);
    }
    ag_txn_end(&t);
    if (err != ANTAG_OK || (row.state == AG_KEY_SUSPENDED && row.suspended_from == AG_KEY_RETIRED))
        return err;
    return ag_key_make_ready(st, &of, &row, fault);
}

static enum antag_err act(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct ag_row_key *k = ag_book_key(t->book, op->row_id);
    const struct ag_row_profile *profile;
    struct ag_row_key row, old;
    bool has_old;
    enum antag_err err;

    (void)w;
    if (k == NULL || (profile = ag_book_profile(t->book, k->profile_id)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "version", "the key is gone");
    row = *k;
    if ((err = step(t, op, &row, &old, &has_old, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, row.id, "version %u",
                row.version);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (has_old && (err = ag_registry_put_key(t->st->reg, &old, fault)) != ANTAG_OK))
        return err;
    return ag_registry_put_key(t->st->reg, &row, fault);
}

AG_DEED(key_activate, .prepare = prepare, .act = act, .answer = ag_deed_answer_key, .keys = true)
AG_DEED(key_resume, .prepare = prepare, .act = act, .answer = ag_deed_answer_key, .keys = true)

static enum antag_err set(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_key_set_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    struct ag_row_key row;
    enum antag_err err;

    if (p->key_version.v < 1 || p->key_version.v > UINT32_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "key_version", "is 1 to 4294967295");
    if ((err = ag_book_need_key(t->book, p->profile.v, p->version.v, &profile, &k, fault)) !=
        ANTAG_OK)
        return err;
    row = *k;
    if (row.state == AG_KEY_DESTROYED || row.state == AG_KEY_COMPROMISED)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "version",
                               "%s version %u is %s and never signs again", profile->name,
                               row.version, ag_key_state_name(row.state));
    row.key_version = (uint32_t)p->key_version.v;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, row.id,
                "version %u: key_version %u", row.version, row.key_version);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_key(w, t->book, &t->life, &row, ag_keeper_holds(t->st, row.keyring, row.id), NULL);
    return ag_registry_put_key(t->st->reg, &row, fault);
}

AG_DEED(key_set, .act = set)

/* ---- stopping */

struct target {
    uint64_t handle;
    struct ag_keyring_params params;
    char keyring[ANTAG_KEYRING_MAX + 1];
    char name[ANTAG_PROFILE_MAX + 1];
    uint32_t version;
};

/* Finds the key in the driver's book, which asks no lock that work could hold; a key that is too new for
 * it is looked up in the registry. */
static enum antag_err find_target(struct ag_steward *st, const struct antag_key_suspend_params *p,
                                  struct target *out, struct antag_fault *fault)
{
    const struct ag_book *b = ag_book_hold(st);
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    struct ag_txn t = {0};
    struct ag_life life = {0};
    struct ag_row_key row;
    enum antag_err err = ANTAG_ERR_NOT_FOUND;

    if (b != NULL)
        err = ag_book_need_key(b, p->profile.v, p->version.v, &profile, &k, fault);
    if (err != ANTAG_OK && (err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
        err = ag_book_need_key(t.book, p->profile.v, p->version.v, &profile, &k, fault);
    if (err != ANTAG_OK)
        goto out;
    row = *k;
    err =
        ag_life_step(&life, t.book != NULL ? t.book : b, &row, AG_KEYEV_SUSPEND, true, NULL, fault);
    if (err != ANTAG_OK)
        goto out;
    memset(out, 0, sizeof *out);
    out->handle = k->id;
    out->params.id.handle = k->id;
    snprintf(out->keyring, sizeof out->keyring, "%s", k->keyring);
    snprintf(out->name, sizeof out->name, "%s", profile->name);
    out->version = k->version;
out:
    ag_txn_end(&t);
    ag_book_release(st, b);
    return err;
}

/* The stop holds though its record could not be written: say both. */
static enum antag_err stopped_unrecorded(const struct target *k, const struct antag_fault *why,
                                         struct antag_fault *fault)
{
    return antag_fault_set(fault, why->err == ANTAG_ERR_KEY_STATE ? ANTAG_ERR_IO : why->err, NULL,
                           "%s version %u IS STOPPED, but the registry could not record it yet; "
                           "the agent goes on trying. %s",
                           k->name, k->version, antag_fault_text(why));
}

/* Keeper first, then front, then registry. */
enum antag_err ag_op_key_suspend(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_key_suspend_params *p = op->params;
    char reason[ANTAG_TEXT_MAX + 1] = "";
    struct antag_fault keeper = {0}, record = {0};
    enum antag_err err, stopped, recorded;
    uint64_t stop_id, epoch = 0;
    struct target k;

    if (p->reason.set &&
        (err = ag_rule_line(p->reason.v, "reason", reason, sizeof reason, fault)) != ANTAG_OK)
        return err;
    if ((err = find_target(st, p, &k, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_stop_add(st, ag_task_actor(op), k.handle, reason, false, &stop_id, fault)) !=
        ANTAG_OK)
        return err;
    stopped = ag_keeper_call(st, k.keyring, "stop", &k.params, AG_WAIT_STOP_MS, &keeper);
    (void)ag_push_pass(st, AG_WAIT_STOP_MS); /* the front; a front that is not there has no jobs */
    recorded = ag_stop_record(st, ag_task_actor(op), k.handle, reason, &epoch, &record);
    if (recorded == ANTAG_OK) {
        ag_stop_recorded(st, stop_id, epoch);
    } else {
        ag_stop_leave(st, stop_id);
        return stopped_unrecorded(&k, &record, fault);
    }
    /* a keeper that is gone signs nothing, and a fresh one does not permit this key */
    if ((err = ag_push_wait(st, epoch, true, fault)) != ANTAG_OK && stopped == ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "%s version %u is stopped and this is recorded; the front has not "
                               "confirmed it yet",
                               k.name, k.version);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "the stop of %s version %u is recorded, but its keeper has not "
                               "confirmed it: %s; `antomctl doctor` shows when it has",
                               k.name, k.version, antag_fault_text(&keeper));
    op->row_id = k.handle;
    return ag_deed_answer(st, op, ag_deed_answer_key, w, fault);
}
