/* op_launch: an application goes live, and who has to approve its changes from then on. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/edges/proofs.h"
#include "agent/steward/alter.h"
#include "agent/steward/changes.h"
#include "agent/steward/deeds.h"
#include "agent/steward/onboard.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

/* ---- the quorum */

static enum antag_err set_quorum(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_quorum_set_params *p = op->params;
    const struct ag_row_profile *found = NULL;
    char text[AG_QUORUM_TEXT];
    struct ag_row_profile row;
    struct ag_people people;
    uint32_t quorum;
    enum antag_err err;

    if ((err = ag_quorum_parse(p->quorum.v, &quorum, fault)) != ANTAG_OK ||
        (err = ag_book_need_profile(t->book, p->profile.v, &found, fault)) != ANTAG_OK)
        return err;
    if (found->env != AG_ENV_LIVE)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "profile",
                               "%s is a sandbox: its settings change at once; a quorum belongs to "
                               "the live profile",
                               found->name);
    ag_people_of(t, &people);
    if ((err = ag_quorum_check(quorum, &people.staff, fault)) != ANTAG_OK)
        return err;
    row = *found;
    row.quorum = quorum;
    ag_quorum_text(quorum, text);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, row.name, 0, "quorum %s", text);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_profile(w, t->book, &row);
    return ag_registry_put_profile(t->st->reg, &row, fault);
}

AG_DEED(quorum_set, .act = set_quorum)

/* ---- launch */

/* How the root key is sealed, asked before the registry is taken: op->row_id is 1 when by a file. */
static enum antag_err look_at_seal(struct ag_steward *st, struct ag_task *op,
                                   struct antag_fault *fault)
{
    const struct antag_app_launch_params *p = op->params;
    char seal[32];

    ag_seal_name(st, seal, NULL);
    if (seal[0] == '\0')
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "the agent does not say how its root key is sealed; try again");
    op->row_id = strcmp(seal, "file") == 0;
    if (op->row_id == 0 || (p->accept_file_seal.set && p->accept_file_seal.v))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_LAUNCH, "accept_file_seal",
                           "the root key is sealed by a file on this host: whoever copies the disk "
                           "has the keys. Seal it otherwise with `antomctl seal change`, or "
                           "accept that with --accept-file-seal");
}

static enum antag_err check_rehearsal(const struct ag_row_profile *sandbox,
                                      const struct antag_app_launch_params *p,
                                      struct antag_fault *fault)
{
    const unsigned all = AG_PROOF_SIGN | AG_PROOF_RESPONSE | AG_PROOF_NOTIFICATION;

    if ((sandbox->proved & all) == all || p->skip_rehearsal.set)
        return ANTAG_OK;
    return antag_fault_set(
        fault, ANTAG_ERR_LAUNCH, "skip_rehearsal",
        "%s was not rehearsed: not yet seen%s%s%s. Do that, or skip it with "
        "--skip-rehearsal REASON, which is recorded",
        sandbox->name, (sandbox->proved & AG_PROOF_SIGN) == 0 ? " a request signed" : "",
        (sandbox->proved & AG_PROOF_RESPONSE) == 0 ? " a response verified" : "",
        (sandbox->proved & AG_PROOF_NOTIFICATION) == 0 ? " a notification verified" : "");
}

static enum antag_err check_ready(const struct ag_book *b, const struct ag_row_app *app,
                                  const struct ag_row_profile *live, struct antag_fault *fault)
{
    struct ag_missing missing[AG_MISSING_MAX];

    if (live->launched)
        return antag_fault_set(fault, ANTAG_ERR_LAUNCH, "app", "%s is launched", app->name);
    if ((app->confirmed & AG_CONFIRM_CONTRACT) == 0)
        return antag_fault_set(fault, ANTAG_ERR_LAUNCH, "app",
                               "nobody has confirmed that the business contract is signed; "
                               "`antomctl app confirm %s contract`",
                               app->name);
    if (ag_desired_missing(b, live, missing) > 0)
        return antag_fault_set(fault, ANTAG_ERR_LAUNCH, "app", "%s has %s; `%s`", live->name,
                               missing[0].what, missing[0].command);
    return ANTAG_OK;
}

/* Can its changes be approved, by everybody who is to approve them? */
static enum antag_err check_quorum(const struct ag_txn *t, const struct ag_row_profile *live,
                                   struct antag_fault *fault)
{
    struct ag_people people;
    enum antag_err err;

    ag_people_of(t, &people);
    if (live->quorum == AG_QUORUM_NONE)
        return antag_fault_set(
            fault, ANTAG_ERR_QUORUM, "quorum",
            "%s has no quorum; `antomctl quorum set %s self|N` sets who approves "
            "its changes",
            live->name, live->name);
    if ((err = ag_quorum_check(live->quorum, &people.staff, fault)) != ANTAG_OK)
        return err;
    for (size_t i = 0; i < people.staff.count; i++) {
        const struct ag_quorum_person *p = &people.people[i];
        bool approves = live->quorum == AG_QUORUM_SELF ? p->officer : p->approver;

        if (approves && !p->verified && (p->uid != 0 || t->allow_root))
            return antag_fault_set(fault, ANTAG_ERR_QUORUM, "quorum",
                                   "the mailbox of uid %u is not verified, and %s; he runs "
                                   "`antomctl staff verify`",
                                   (unsigned)p->uid,
                                   live->quorum == AG_QUORUM_SELF
                                       ? "who asks for a change confirms it by mail"
                                       : "approvers approve by mail");
    }
    return ANTAG_OK;
}

/* What stands in no row and those who approve should see. */
static enum antag_err note(struct ag_txn *t, const struct antag_app_launch_params *p, bool by_file,
                           struct antag_fault *fault)
{
    char reason[ANTAG_TEXT_MAX + 1];
    enum antag_err err;

    if (by_file)
        ag_alter_note(t, "root key: sealed by a file", "", "accepted");
    if (!p->skip_rehearsal.set)
        return ANTAG_OK;
    if ((err = ag_rule_line(p->skip_rehearsal.v, "skip_rehearsal", reason, sizeof reason, fault)) !=
        ANTAG_OK)
        return err;
    ag_alter_note(t, "rehearsal in the sandbox", "", reason);
    return ANTAG_OK;
}

static enum antag_err launch(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct antag_app_launch_params *p = op->params;
    const struct ag_row_profile *live = NULL, *sandbox = NULL;
    const struct ag_row_app *app = NULL;
    struct ag_row_profile row;
    enum antag_err err;

    if ((err = ag_book_need_app(t->book, p->app.v, &app, fault)) != ANTAG_OK ||
        (err = ag_book_need_both(t->book, app, &live, &sandbox, fault)) != ANTAG_OK)
        return err;
    if ((err = check_ready(t->book, app, live, fault)) != ANTAG_OK ||
        (err = check_rehearsal(sandbox, p, fault)) != ANTAG_OK ||
        (err = check_quorum(t, live, fault)) != ANTAG_OK)
        return err;
    row = *live;
    row.launched = true;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, app->name, 0, "%s%s%.*s",
                op->row_id != 0 ? "file seal accepted; " : "",
                p->skip_rehearsal.set ? "rehearsal skipped: " : "rehearsed",
                p->skip_rehearsal.set ? (int)p->skip_rehearsal.v.len : 0,
                p->skip_rehearsal.set ? (const char *)p->skip_rehearsal.v.p : "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = note(t, p, op->row_id != 0, fault)) != ANTAG_OK)
        return err;
    ag_render_app(w, t->book, app);
    return ag_registry_put_profile(t->st->reg, &row, fault);
}

AG_DEED(app_launch, .prepare = look_at_seal, .act = launch)
