/* op_rotate: the steps of a rotation as staff takes them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/probe.h"
#include "agent/steward/alter.h"
#include "agent/steward/deeds.h"
#include "agent/steward/rotation.h"
#include "agent/steward/rules.h"

/* ---- starting: a key is made, or one that is staged is taken */

/* What has to be before a key is made. *staged: the version that was named; 0: none. */
static enum antag_err check_start(struct ag_txn *t, const struct antag_rotate_start_params *p,
                                  uint64_t *staged, struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *k = NULL;
    enum antag_err err;

    if ((err = ag_book_need_profile(t->book, p->profile.v, &profile, fault)) != ANTAG_OK ||
        (err = ag_rotation_none_open(t->book, profile, fault)) != ANTAG_OK)
        return err;
    if (ag_book_active_key(t->book, profile->id) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_ACTIVE_KEY, "profile",
                               "%s has no active key to be replaced; `antomctl key generate %s` "
                               "makes the first one",
                               profile->name, profile->name);
    *staged = p->version.set ? p->version.v : 0;
    if (!p->version.set)
        return ANTAG_OK;
    if (p->keyring.set || p->key_version.set)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "version",
                               "names a key that is there: keyring and key_version are of a new "
                               "one");
    if ((err = ag_book_need_key(t->book, p->profile.v, p->version.v, &profile, &k, fault)) !=
        ANTAG_OK)
        return err;
    if (k->state != AG_KEY_STAGED)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "version",
                               "version %u is %s; a rotation takes a staged key", k->version,
                               ag_key_state_name(k->state));
    return ANTAG_OK;
}

static enum antag_err newest_staged(struct ag_txn *t, struct antag_slice name, uint64_t *version,
                                    struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    enum antag_err err = ag_book_need_profile(t->book, name, &profile, fault);

    *version = 0;
    for (size_t i = 0; err == ANTAG_OK && i < t->book->key_count; i++)
        if (t->book->keys[i].profile_id == profile->id && t->book->keys[i].state == AG_KEY_STAGED &&
            t->book->keys[i].version > *version)
            *version = t->book->keys[i].version;
    return err;
}

/* The key, before the registry is taken: op->row_id is its version. */
static enum antag_err make_key(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    const struct antag_rotate_start_params *p = op->params;
    struct antag_key_new_params key = {
        .profile = p->profile, .keyring = p->keyring, .key_version = p->key_version};
    uint64_t staged = 0;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
        err = check_start(&t, p, &staged, fault);
    ag_txn_end(&t);
    if (err != ANTAG_OK)
        return err;
    if (staged == 0) {
        if ((err = ag_task_do_part(st, op, ANTAG_STAFF_key_generate, &key, fault)) != ANTAG_OK)
            return err;
        if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
            err = newest_staged(&t, p->profile.v, &staged, fault);
        ag_txn_end(&t);
    }
    op->row_id = staged;
    return err;
}

static enum antag_err start(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                            struct antag_fault *fault)
{
    const struct antag_rotate_start_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_key *old_key, *new_key;
    struct ag_row_rotation row = {0};
    enum antag_err err;

    (void)w;
    if ((err = ag_book_need_profile(t->book, p->profile.v, &profile, fault)) != ANTAG_OK ||
        (err = ag_rotation_none_open(t->book, profile, fault)) != ANTAG_OK)
        return err;
    old_key = ag_book_active_key(t->book, profile->id);
    new_key = ag_book_key_version(t->book, profile->id, op->row_id);
    if (old_key == NULL || new_key == NULL || new_key->state != AG_KEY_STAGED)
        return antag_fault_set(
            fault, ANTAG_ERR_KEY_STATE, "version",
            "the keys of %s were changed meanwhile; `antomctl key list %s` shows "
            "them",
            profile->name, profile->name);
    row.profile_id = profile->id;
    row.old_key_id = old_key->id;
    row.new_key_id = new_key->id;
    row.uid = op->uid;
    row.armed = (profile->launched || (p->arm.set && p->arm.v)) && !(p->no_arm.set && p->no_arm.v);
    row.auto_back = p->auto_rollback.set && p->auto_rollback.v;
    if ((err = ag_rotation_begin(t, ag_task_actor(op), &row, fault)) == ANTAG_OK)
        op->row_id = row.id;
    return err;
}

static enum antag_err answer(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct ag_row_rotation *r = ag_book_rotation(t->book, op->row_id);

    if (r == NULL)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the rotation's row is gone");
    return ag_rotation_render(t, r, w, fault);
}

AG_DEED(rotate_start, .prepare = make_key, .act = start, .answer = answer)

/* ---- steps of the one that is under way */

static enum antag_err take_row(struct ag_txn *t, struct ag_task *op, struct antag_slice name,
                               const struct ag_row_profile **profile, struct ag_row_rotation *out,
                               struct antag_fault *fault)
{
    const struct ag_row_rotation *found = NULL;
    enum antag_err err = ag_rotation_need(t->book, name, profile, &found, fault);

    if (err != ANTAG_OK)
        return err;
    *out = *found;
    op->row_id = found->id;
    return ANTAG_OK;
}

/* What stands in no row, and those who approve should see: the plan. */
static void note_plan(struct ag_txn *t, const struct ag_row_profile *p,
                      const struct ag_row_rotation *row)
{
    const struct ag_row_key *k = ag_book_key(t->book, row->new_key_id);
    char fingerprint[65], text[140];

    if (k == NULL)
        return;
    ag_keyform_fingerprint(ag_key_spki(k), fingerprint);
    snprintf(text, sizeof text, "version %u in keyring %s, SHA-256 %s", k->version, k->keyring,
             fingerprint);
    ag_alter_note(t, "the new key", "", text);
    snprintf(text, sizeof text, "%s",
             row->armed ? "when Antom accepts only the new key, by itself; "
                          "or by an officer"
                        : "by an officer");
    ag_alter_note(t, "the new key signs", "", text);
    ag_alter_note(t, "rollback", "",
                  row->auto_back ? "by an officer; by itself when failures are reported right after"
                                 : "by an officer, without another approval");
    ag_alter_note(t, "a new Antom key", "",
                  "taken if it verifies an answer that the agent fetched from the gateway");
    ag_alter_note(t, "the old key", "", "retired a day after, then destroyed after its wait");
    snprintf(text, sizeof text, "%.120s", p->gateway);
    ag_alter_note(t, "probes go to", "", text);
}

/* What the sandbox showed, where there is one. */
static void note_rehearsal(struct ag_txn *t, const struct ag_row_profile *p)
{
    const struct ag_row_profile *sandbox = ag_book_profile_of(t->book, p->app_id, AG_ENV_SANDBOX);
    const struct ag_row_rotation *last = NULL;
    char text[120];

    for (size_t i = 0; sandbox != NULL && i < t->book->rotation_count; i++)
        if (t->book->rotations[i].profile_id == sandbox->id)
            last = &t->book->rotations[i];
    if (last == NULL)
        snprintf(text, sizeof text, "none was done in the sandbox");
    else
        snprintf(text, sizeof text, "rotation %llu of the sandbox is %s, %lld days ago",
                 (unsigned long long)last->id, ag_rotation_state_name(last->state),
                 (long long)((t->life.now_ms - last->state_at_ms) / 86400000));
    ag_alter_note(t, "rehearsal", "", text);
}

static enum antag_err request(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_profile_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    struct ag_row_rotation row;
    enum antag_err err;

    (void)w;
    if ((err = take_row(t, op, p->profile.v, &profile, &row, fault)) != ANTAG_OK ||
        (err = ag_rotation_approve(t, ag_task_actor(op), &row, fault)) != ANTAG_OK)
        return err;
    note_plan(t, profile, &row);
    if (profile->env == AG_ENV_LIVE)
        note_rehearsal(t, profile);
    return ANTAG_OK;
}

AG_DEED(rotate_request, .act = request, .answer = answer)

static enum antag_err submit(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct antag_rotate_submit_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    struct ag_row_rotation row;
    enum antag_err err;

    (void)w;
    if ((err = take_row(t, op, p->profile.v, &profile, &row, fault)) != ANTAG_OK)
        return err;
    return ag_rotation_submit(t, ag_task_actor(op), &row,
                              p->key_version.set ? (uint32_t)p->key_version.v : 0, fault);
}

/* Antom is asked at once. */
static enum antag_err submitted(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    ag_prober_kick(t->st, true);
    return answer(t, op, w, fault);
}

AG_DEED(rotate_submit, .act = submit, .answer = submitted)

/* Both are asked before a switch, so that it is decided by what is true now. Before a key may sign its keeper holds it,
 * tested. */
static enum antag_err ask_first(struct ag_steward *st, struct ag_task *op,
                                struct antag_fault *fault)
{
    const struct antag_rotate_switch_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_rotation *r = NULL;
    const struct ag_row_key *k = NULL;
    struct ag_row_profile of = {0};
    struct ag_row_key key = {0};
    bool anyway = p->anyway.set && p->anyway.v;
    bool back = op->which == ANTAG_STAFF_rotate_rollback;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_rotation_need(t.book, p->profile.v, &profile, &r, fault)) == ANTAG_OK) {
        of = *profile;
        k = ag_book_key(t.book, back ? r->old_key_id : r->new_key_id);
        if (k != NULL)
            key = *k;
        anyway = anyway || r->state != (back ? AG_ROTATION_WATCHING : AG_ROTATION_SUBMITTED);
    }
    ag_txn_end(&t);
    if (err != ANTAG_OK || k == NULL)
        return err;
    if (!anyway &&
        (err = ag_probe_keys(st, of.id, back ? AG_PROBE_OLD : AG_PROBE_ALL, fault)) != ANTAG_OK)
        return err;
    return ag_key_make_ready(st, &of, &key, fault);
}

static enum antag_err take_reason(const struct antag_opt_slice *given, char out[ANTAG_TEXT_MAX + 1],
                                  struct antag_fault *fault)
{
    out[0] = '\0';
    return given->set ? ag_rule_line(given->v, "reason", out, ANTAG_TEXT_MAX + 1, fault) : ANTAG_OK;
}

/* Activate, roll back, cancel. */
static enum antag_err move(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                           struct antag_fault *fault)
{
    const struct antag_rotate_switch_params *p = op->params;
    const struct ag_row_profile *profile = NULL;
    bool insists = p->anyway.set && p->anyway.v;
    struct ag_actor by = ag_task_actor(op);
    struct ag_row_rotation row;
    char reason[ANTAG_TEXT_MAX + 1];
    enum antag_err err;

    (void)w;
    if ((err = take_reason(&p->reason, reason, fault)) != ANTAG_OK ||
        (err = take_row(t, op, p->profile.v, &profile, &row, fault)) != ANTAG_OK)
        return err;
    if (op->which == ANTAG_STAFF_rotate_activate)
        return ag_rotation_cut_over(t, by, &row, insists, reason, fault);
    if (op->which == ANTAG_STAFF_rotate_rollback)
        return ag_rotation_roll_back(t, by, &row, insists, reason, fault);
    return ag_rotation_cancel(t, by, &row, reason, fault);
}

AG_DEED(rotate_activate, .prepare = ask_first, .act = move, .answer = answer, .keys = true)
AG_DEED(rotate_rollback, .prepare = ask_first, .act = move, .answer = answer, .keys = true)
AG_DEED(rotate_cancel, .act = move, .answer = answer, .keys = true)

/* ---- probes */

static enum antag_err find_profile(struct ag_steward *st, struct antag_slice name,
                                   struct ag_row_profile *out, uint64_t *rotation_id,
                                   struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    const struct ag_row_rotation *r = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_rotation_need(t.book, name, &profile, &r, fault)) == ANTAG_OK) {
        *out = *profile;
        *rotation_id = r->id;
    }
    ag_txn_end(&t);
    return err;
}

enum antag_err ag_op_rotate_probe(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    const struct antag_profile_params *p = op->params;
    struct ag_row_profile profile;
    enum antag_err err;

    if ((err = find_profile(st, p->profile.v, &profile, &op->row_id, fault)) != ANTAG_OK ||
        (err = ag_probe_keys(st, profile.id, AG_PROBE_ALL, fault)) != ANTAG_OK)
        return err;
    ag_prober_kick(st, false); /* it may be time to cut over */
    return ag_deed_answer(st, op, answer, w, fault);
}

static enum antag_err parse_which(struct antag_slice s, enum ag_probe_which *out,
                                  struct antag_fault *fault)
{
    if (antag_slice_is(s, "old") || antag_slice_is(s, "new")) {
        *out = antag_slice_is(s, "old") ? AG_PROBE_OLD : AG_PROBE_NEW;
        return ANTAG_OK;
    }
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "key", "is old or new");
}

enum antag_err ag_op_rotate_call(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_rotate_call_params *p = op->params;
    struct ag_row_profile profile;
    struct ag_probe_call call;
    enum ag_probe_which which = AG_PROBE_OLD;
    enum antag_err err;

    if ((err = parse_which(p->key.v, &which, fault)) != ANTAG_OK ||
        (err = find_profile(st, p->profile.v, &profile, &op->row_id, fault)) != ANTAG_OK ||
        (err = ag_probe_make(st, profile.id, which, &call, fault)) != ANTAG_OK)
        return err;
    antag_w_map(w);
    antag_w_kv_str(w, "profile", profile.name);
    antag_w_kv_str(w, "key", which == AG_PROBE_OLD ? "old" : "new");
    antag_w_kv_str(w, "method", AG_PROBE_METHOD);
    antag_w_kv_str(w, "url", call.url);
    antag_w_kv_str(w, "client_id", call.client_id);
    antag_w_kv_str(w, "request_time", call.time);
    antag_w_kv_str(w, "signature", call.signature);
    antag_w_kv_str(w, "body", call.body);
    antag_w_end(w);
    return ANTAG_OK;
}

/* An answer that a person fetched. It proves as much as its signature does; an armed plan does not act on it. */
static enum antag_err take_answer(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    const struct antag_rotate_answer_params *p = op->params;
    struct ag_probe_answer a = {0, p->client_id.v, p->response_time.v, p->signature.v, p->body.v};
    const struct ag_row_profile *profile = NULL;
    struct ag_row_rotation row;
    struct ag_probed probed = {.by_hand = true};
    enum ag_probe_which which = AG_PROBE_OLD;
    enum antag_err err;

    (void)w;
    if ((err = parse_which(p->key.v, &which, fault)) != ANTAG_OK ||
        (err = take_row(t, op, p->profile.v, &profile, &row, fault)) != ANTAG_OK)
        return err;
    if (row.state != AG_ROTATION_SUBMITTED && row.state != AG_ROTATION_WATCHING)
        return antag_fault_set(fault, ANTAG_ERR_ROTATION_STATE, "profile",
                               "the rotation is %s: %s; an answer counts once Antom has the key",
                               ag_rotation_state_name(row.state),
                               ag_rotation_state_text(row.state));
    ag_probe_judge(t, profile, &a, &probed);
    return ag_rotation_probed(t, &row, which == AG_PROBE_OLD ? &probed : NULL,
                              which == AG_PROBE_NEW ? &probed : NULL, fault);
}

AG_DEED(rotate_answer, .act = take_answer, .answer = answer)

/* ---- looking */

enum antag_err ag_op_rotate_status(struct ag_steward *st, struct ag_task *op,
                                   struct antag_writer *w, struct antag_fault *fault)
{
    const struct antag_rotate_status_params *p = op->params;
    const struct ag_row_profile *only = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if (p->profile.set &&
        (err = ag_book_need_profile(t.book, p->profile.v, &only, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(w);
    antag_w_key(w, "rotations");
    antag_w_array(w);
    for (size_t i = 0; i < t.book->rotation_count && err == ANTAG_OK; i++) {
        const struct ag_row_rotation *r = &t.book->rotations[i];

        if (only != NULL && r->profile_id != only->id)
            continue;
        if (!ag_rotation_is_over(r->state) || (p->all.set && p->all.v))
            err = ag_rotation_render(&t, r, w, fault);
    }
    antag_w_end(w);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}
