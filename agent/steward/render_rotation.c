/* render_rotation: a rotation as staff sees it: where it stands, what it waits for, until when, who acts next, and how. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/keylife_internal.h"
#include "agent/steward/changes.h"
#include "agent/steward/render.h"
#include "agent/steward/rotation.h"

static void write_key(struct antag_writer *w, const struct ag_row_key *k, bool whole)
{
    char fingerprint[65], text[AG_PUBLIC_TEXT_MAX];

    antag_w_map(w);
    if (k != NULL) {
        ag_keyform_fingerprint(ag_key_spki(k), fingerprint);
        antag_w_kv_uint(w, "version", k->version);
        antag_w_kv_str(w, "state", ag_key_state_name(k->state));
        antag_w_kv_str(w, "keyring", k->keyring);
        antag_w_kv_uint(w, "key_version", k->key_version);
        antag_w_kv_str(w, "fingerprint", fingerprint);
        if (whole && ag_render_public(ag_key_spki(k), false, text) == ANTAG_OK)
            antag_w_kv_str(w, "public_key", text);
    }
    antag_w_end(w);
}

static void write_probe(struct antag_writer *w, const char *name, enum ag_probe_outcome outcome,
                        int64_t at_ms, const char *said, bool by_hand)
{
    antag_w_key(w, name);
    antag_w_map(w);
    antag_w_kv_str(w, "outcome", ag_probe_outcome_name(outcome));
    if (outcome != AG_PROBE_NONE) {
        antag_w_kv_int(w, "at_ms", at_ms);
        antag_w_kv_str(w, "said", said);
        antag_w_kv_bool(w, "by_hand", by_hand);
    }
    antag_w_end(w);
}

/* ---- the change that would approve it */

struct find_change {
    uint64_t profile_id, id;
};

static enum antag_err visit_change(const struct ag_row_change *row, void *ctx)
{
    struct find_change *f = ctx;

    if (row->profile_id == f->profile_id && !ag_change_is_over(row->state) &&
        strcmp(row->method, "rotate_request") == 0)
        f->id = row->id;
    return ANTAG_OK;
}

/* ---- what is next, as sentences with the commands in them */

ANTAG_PRINTF(2, 3)
static void say(struct antag_writer *w, const char *fmt, ...)
{
    char text[600];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    antag_w_str(w, text);
}

static void say_dashboard(struct antag_writer *w, const struct ag_txn *t,
                          const struct ag_row_profile *p)
{
    const struct ag_row_app *app = ag_book_app(t->book, p->app_id);
    const char *account = app == NULL ? "" : app->dashboard_account;

    say(w, "At Antom: sign in to the dashboard%s%s, Developer > Key configuration, %s.",
        account[0] != '\0' ? " as " : "", account, p->env == AG_ENV_LIVE ? "Live" : "Sandbox");
    say(w,
        "Choose to replace the key by one of your own, and paste the public key above: one line, "
        "without header or line breaks.");
    if (p->launched)
        say(w, "Antom mails a code to %s; whoever reads that mailbox confirms it.",
            account[0] != '\0' ? account : "the account's mailbox");
    say(w,
        "Then copy the Antom public key that is shown there. If it is not the one the agent has "
        "(`antomctl antom-key list %s`), add it: `antomctl antom-key add %s`",
        p->name, p->name);
}

static void say_submitted(struct antag_writer *w, const struct ag_row_rotation *row,
                          const struct ag_life *l, const char *name)
{
    switch (ag_probe_verdict(row->old_probe, row->new_probe)) {
    case AG_VERDICT_BOTH:
        say(w, "Switch when you like: `antomctl rotate activate %s`", name);
        break;
    case AG_VERDICT_ONLY_NEW:
        if (l->freeze.name[0] != '\0')
            say(w, "Payments fail. Take the freeze \"%s\" out of agent.conf and send SIGHUP.",
                l->freeze.name);
        else if (!row->armed || row->old_by_hand || row->new_by_hand)
            say(w, "Payments fail until you switch: `antomctl rotate activate %s`", name);
        else
            say(w, "Nothing to do: the agent switches by itself.");
        break;
    case AG_VERDICT_NEITHER:
        say(w, "Payments fail. Ask Antom's support which key it holds for this client id; "
               "`antomctl key export` shows both.");
        break;
    case AG_VERDICT_ONLY_OLD:
        say(w, "Antom has not taken the new key yet: has the code that it mailed been entered?");
        break;
    case AG_VERDICT_UNKNOWN:
        say(w, "`antomctl rotate probe %s` asks Antom now; without a network, with --by-hand.",
            name);
        break;
    }
    say(w, "To give it up: `antomctl rotate cancel %s`", name);
}

/* The command that takes the next step, behind "antomctl "; "": there is none for a person. */
static void primary_command(const struct ag_life *l, const struct ag_row_profile *p,
                            const struct ag_row_rotation *row, uint64_t change_id, char *out,
                            size_t size)
{
    enum ag_probe_verdict v = ag_probe_verdict(row->old_probe, row->new_probe);

    out[0] = '\0';
    if (row->state == AG_ROTATION_PREPARED && change_id != 0)
        snprintf(out, size, "change approve %llu", (unsigned long long)change_id);
    else if (row->state == AG_ROTATION_PREPARED)
        snprintf(out, size, "rotate request %s", p->name);
    else if (row->state == AG_ROTATION_APPROVED)
        snprintf(out, size, "rotate submit %s", p->name);
    else if (row->state == AG_ROTATION_SUBMITTED && v == AG_VERDICT_UNKNOWN)
        snprintf(out, size, "rotate probe %s", p->name);
    else if (row->state == AG_ROTATION_SUBMITTED && l->freeze.name[0] == '\0' &&
             (v == AG_VERDICT_BOTH || (v == AG_VERDICT_ONLY_NEW && !row->armed)))
        snprintf(out, size, "rotate activate %s", p->name);
}

static void write_next(struct antag_writer *w, const struct ag_txn *t,
                       const struct ag_row_profile *p, const struct ag_row_rotation *row,
                       uint64_t change_id)
{
    char command[ANTAG_PROFILE_MAX + 40];

    primary_command(&t->life, p, row, change_id, command, sizeof command);
    antag_w_kv_str(w, "command", command);
    antag_w_key(w, "next");
    antag_w_array(w);
    switch (row->state) {
    case AG_ROTATION_PREPARED:
        if (change_id != 0)
            say(w, "An approver runs `antomctl change approve %llu`",
                (unsigned long long)change_id);
        else
            say(w, "Ask for the approval: `antomctl rotate request %s`", p->name);
        break;
    case AG_ROTATION_APPROVED:
        say_dashboard(w, t, p);
        say(w, "Then say so here: `antomctl rotate submit %s`", p->name);
        break;
    case AG_ROTATION_SUBMITTED:
        say_submitted(w, row, &t->life, p->name);
        break;
    case AG_ROTATION_WATCHING:
        say(w, "Nothing to do. If payments fail: `antomctl rotate rollback %s`", p->name);
        break;
    default:
        break;
    }
    antag_w_end(w);
}

/* ---- the whole */

static void write_wait(struct antag_writer *w, const struct ag_txn *t,
                       const struct ag_row_rotation *row)
{
    struct ag_rotation_facts facts;
    struct ag_wait wait = {.reason = ""};

    ag_rotation_facts(&t->life, row, false, &facts);
    ag_rotation_wait(&facts, row->armed && !row->old_by_hand && !row->new_by_hand, &wait);
    if (ag_rotation_is_over(row->state))
        return;
    antag_w_kv_str(w, "waits_for", wait.reason);
    antag_w_kv_str(w, "who", ag_actor_name(wait.who));
    if (row->state == AG_ROTATION_WATCHING)
        antag_w_kv_int(w, "until_ms",
                       t->life.now_ms + t->life.watch_window_ms -
                           (t->life.observed_ms - row->state_observed_ms));
    else
        antag_w_kv_int(w, "until_ms", row->started_at_ms + AG_ROTATION_PLAN_MS);
    if (t->life.freeze.name[0] != '\0') {
        antag_w_kv_str(w, "frozen", t->life.freeze.name);
        antag_w_kv_int(w, "frozen_until_ms", t->life.freeze.until_ms);
    }
}

enum antag_err ag_rotation_render(struct ag_txn *t, const struct ag_row_rotation *row,
                                  struct antag_writer *w, struct antag_fault *fault)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);
    struct find_change find = {.profile_id = row->profile_id};
    enum antag_err err = ANTAG_OK;

    if (p == NULL)
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the rotation's profile is gone");
    if (row->state == AG_ROTATION_PREPARED)
        err = ag_registry_each_change(t->st->reg, visit_change, &find, fault);
    if (err != ANTAG_OK)
        return err;
    antag_w_map(w);
    antag_w_kv_uint(w, "rotation", row->id);
    antag_w_kv_str(w, "profile", p->name);
    antag_w_kv_str(w, "state", ag_rotation_state_name(row->state));
    antag_w_kv_str(w, "meaning", ag_rotation_state_text(row->state));
    antag_w_kv_int(w, "state_ms", row->state_at_ms);
    antag_w_kv_int(w, "started_ms", row->started_at_ms);
    antag_w_kv_uint(w, "uid", row->uid);
    antag_w_key(w, "old_key");
    write_key(w, ag_book_key(t->book, row->old_key_id), false);
    antag_w_key(w, "new_key");
    write_key(w, ag_book_key(t->book, row->new_key_id), true);
    antag_w_kv_bool(w, "armed", row->armed);
    antag_w_kv_bool(w, "auto_rollback", row->auto_back);
    write_wait(w, t, row);
    if (find.id != 0)
        antag_w_kv_uint(w, "change", find.id);
    if (row->submitted_at_ms != 0)
        antag_w_kv_int(w, "submitted_ms", row->submitted_at_ms);
    write_probe(w, "old_probe", row->old_probe, row->old_probe_at_ms, row->old_said,
                row->old_by_hand);
    write_probe(w, "new_probe", row->new_probe, row->new_probe_at_ms, row->new_said,
                row->new_by_hand);
    antag_w_kv_uint(w, "failures", row->failures);
    if (row->failures_at_ms != 0)
        antag_w_kv_int(w, "failures_ms", row->failures_at_ms);
    antag_w_kv_str(w, "reason", row->reason);
    write_next(w, t, p, row, find.id);
    antag_w_end(w);
    return ANTAG_OK;
}
