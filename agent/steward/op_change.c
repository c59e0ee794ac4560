/* op_change: changes as staff sees them: listed, shown, approved, rejected, cancelled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/steward/changes.h"
#include "agent/steward/codes.h"
#include "agent/steward/deeds.h"
#include "agent/steward/notices.h"
#include "agent/steward/outbox.h"
#include "agent/steward/recovery.h"
#include "agent/steward/rules.h"

#define SETTLE_MS 20000 /* an approver waits so long to see his change done */

/* ---- showing */

struct list {
    struct ag_txn *t;
    struct antag_writer *w;
    bool all;
    struct antag_fault *fault;
};

static enum antag_err list_one(const struct ag_row_change *row, void *ctx)
{
    struct list *l = ctx;

    return l->all || !ag_change_is_over(row->state)
               ? ag_change_render(l->t, row, false, l->w, l->fault)
               : ANTAG_OK;
}

enum antag_err ag_op_change_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_change_list_params *p = op->params;
    struct ag_txn t;
    struct list l = {&t, w, p->all.set && p->all.v, fault};
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK) {
        antag_w_map(w);
        antag_w_key(w, "changes");
        antag_w_array(w);
        err = ag_registry_each_change(st->reg, list_one, &l, fault);
        antag_w_end(w);
        antag_w_end(w);
    }
    ag_txn_end(&t);
    return err;
}

static enum antag_err render_id(struct ag_txn *t, uint64_t id, bool document,
                                struct antag_writer *w, struct antag_fault *fault)
{
    struct ag_row_change *row = NULL;
    enum antag_err err = ag_change_get(t, id, &row, fault);

    if (err == ANTAG_OK)
        err = ag_change_render(t, row, document, w, fault);
    free(row);
    return err;
}

enum antag_err ag_op_change_show(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct antag_change_id_params *p = op->params;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
        err = render_id(&t, p->change.v, true, w, fault);
    ag_txn_end(&t);
    return err;
}

static enum antag_err answer(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    return render_id(t, op->row_id, false, w, fault);
}

/* ---- approving */

static enum antag_err check_digest(const struct ag_row_change *row, struct antag_slice given,
                                   struct antag_fault *fault)
{
    struct antag_slice mine = {row->digest, row->digest_len};

    return antag_slice_equal(mine, given)
               ? ANTAG_OK
               : antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "digest",
                                 "is not that of change %llu; look at the change again before you "
                                 "approve it",
                                 (unsigned long long)row->id);
}

static enum antag_err check_once(struct ag_txn *t, const struct ag_row_change *row, uint32_t uid,
                                 struct antag_fault *fault)
{
    struct ag_approvals *all = malloc(sizeof *all);
    enum antag_err err;

    if (all == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for approvals");
    err = ag_approvals_of(t, row->id, all, fault);
    for (size_t i = 0; err == ANTAG_OK && i < all->count; i++)
        if (all->rows[i].uid == uid)
            err = antag_fault_set(fault, ANTAG_ERR_EXISTS, NULL,
                                  "uid %u has approved change %llu already", (unsigned)uid,
                                  (unsigned long long)row->id);
    free(all);
    return err;
}

/* May he approve it now? With what he was shown. *row: the caller's. */
static enum antag_err check_approval(struct ag_txn *t, uint32_t uid, uint64_t id,
                                     struct antag_slice digest, struct ag_row_change **row,
                                     struct antag_fault *fault)
{
    struct ag_quorum_case c;
    struct ag_people people;
    struct ag_change_facts facts;
    enum ag_change_state unused;
    enum antag_err err;

    if ((err = ag_change_get(t, id, row, fault)) != ANTAG_OK ||
        (err = ag_change_facts(t, *row, &facts, fault)) != ANTAG_OK ||
        (err = ag_change_step(&facts, AG_CHANGEEV_APPROVE, &unused, fault)) != ANTAG_OK)
        return err;
    ag_people_of(t, &people);
    ag_change_case(t, *row, &c);
    if ((err = ag_quorum_may_approve(&c, uid, &people.staff, fault)) != ANTAG_OK ||
        (err = check_digest(*row, digest, fault)) != ANTAG_OK)
        return err;
    return check_once(t, *row, uid, fault);
}

/* Could it be applied as things are? What is stale is ended here and now, before anybody is mailed a code for it. */
static enum antag_err check_content(struct ag_steward *st, uint64_t id, struct antag_fault *fault)
{
    struct antag_fault why = {0};
    uint32_t unused;
    enum antag_err err = ag_change_run(st, id, true, &why);

    if (err == ANTAG_OK || antag_err_class(err) == ANTAG_CLASS_RETRY)
        return ANTAG_OK; /* a keyring that is away now need not be when it is applied */
    if (err == ANTAG_ERR_STALE)
        (void)ag_change_note(st, id, &why, &unused);
    *fault = why;
    return err;
}

static enum antag_err precheck(struct ag_steward *st, uint32_t uid, uint64_t id,
                               struct antag_slice digest, struct antag_fault *fault)
{
    struct ag_row_change *row = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
        err = check_approval(&t, uid, id, digest, &row, fault);
    ag_txn_end(&t);
    free(row);
    return err == ANTAG_OK ? check_content(st, id, fault) : err;
}

static enum antag_err prepare_code(struct ag_steward *st, struct ag_task *op,
                                   struct antag_fault *fault)
{
    const struct antag_change_code_params *p = op->params;

    return precheck(st, op->uid, p->change.v, p->digest.v, fault);
}

static enum antag_err mail_code(struct ag_txn *t, const struct ag_row_change *row,
                                const struct ag_row_staff *who, struct antag_fault *fault)
{
    struct ag_code_for purpose = {.uid = who->uid, .change_id = row->id};
    char shown[AG_ONECODE_TEXT], id[24], uid[16], words[48], command[AG_OUTBOX_COMMAND_MAX];
    char what[AG_DEED_MAX + 1], subject[80];
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);
    struct ag_mailtext m = {.to = who->mail,
                            .subject = subject,
                            .lead =
                                "This code approves the change below. Type it only where the "
                                "terminal shows you the change itself, and only if you want it.",
                            .row_count = 5,
                            .code = shown,
                            .command = command,
                            .closing = "If you did not ask for this code, somebody uses your "
                                       "account: tell your security staff."};
    uint64_t code_id;
    enum antag_err err = ag_code_issue(t, &purpose, who->mail, shown, &code_id, fault);

    snprintf(words, sizeof words, "change approve %llu --enter", (unsigned long long)row->id);
    ag_outbox_command(t->st, command, words);
    ag_changedoc_words(row->method, what);
    snprintf(subject, sizeof subject, "antom-agent: code for change %llu",
             (unsigned long long)row->id);
    snprintf(id, sizeof id, "%llu", (unsigned long long)row->id);
    snprintf(uid, sizeof uid, "%u", (unsigned)who->uid);
    m.rows[0] = (struct ag_mailtext_row){"change", id};
    m.rows[1] = (struct ag_mailtext_row){"what", what};
    m.rows[2] = (struct ag_mailtext_row){"where", p == NULL ? "this agent" : p->name};
    m.rows[3] = (struct ag_mailtext_row){"for uid", uid};
    m.rows[4] = (struct ag_mailtext_row){"holds", "15 minutes"};
    if (err == ANTAG_OK)
        err = ag_outbox_put(t, &m, code_id, fault);
    ag_secret_wipe(shown, sizeof shown);
    return err;
}

static const char *subject_of(const struct ag_txn *t, const struct ag_row_change *row)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);

    return p == NULL ? "" : p->name;
}

static enum antag_err ask_code(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                               struct antag_fault *fault)
{
    const struct antag_change_code_params *p = op->params;
    const struct ag_row_staff *who = ag_book_staff(t->book, op->uid);
    struct ag_row_change *row = NULL;
    enum antag_err err;

    if ((err = check_approval(t, op->uid, p->change.v, p->digest.v, &row, fault)) != ANTAG_OK)
        goto out;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, subject_of(t, row), 0,
                "a code is mailed to %s", who->mail);
    t->deed.change_id = row->id;
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = mail_code(t, row, who, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(w);
    antag_w_kv_uint(w, "change", row->id);
    antag_w_kv_str(w, "mail", who->mail);
    antag_w_kv_int(w, "holds_ms", AG_ONECODE_HOLDS_MS);
    antag_w_end(w);
out:
    free(row);
    return err;
}

AG_DEED(change_code, .prepare = prepare_code, .act = ask_code)

static bool is_recovery(const struct antag_change_approve_params *p)
{
    return p->recovery.set && p->recovery.v;
}

/* What cannot be approved, or not by him, is refused before a code is looked at; then a wrong one is counted. */
static enum antag_err prepare_approve(struct ag_steward *st, struct ag_task *op,
                                      struct antag_fault *fault)
{
    const struct antag_change_approve_params *p = op->params;
    struct ag_code_for purpose = {.uid = op->uid, .change_id = p->change.v};
    enum antag_err err;

    if ((err = precheck(st, op->uid, p->change.v, p->digest.v, fault)) != ANTAG_OK)
        return err;
    if (is_recovery(p))
        return ag_recovery_try(st, op->uid, p->code.v, &op->row_id, fault);
    return ag_code_try(st, &purpose, p->code.v, &op->row_id, fault);
}

static enum antag_err use_code(struct ag_txn *t, const struct ag_task *op,
                               const struct ag_row_change *row, const struct ag_row_staff *who,
                               struct antag_fault *fault)
{
    const struct antag_change_approve_params *p = op->params;
    char mail[ANTAG_TEXT_MAX + 1];
    size_t left;
    enum antag_err err;

    if (is_recovery(p)) {
        if ((err = ag_recovery_use(t, op->row_id, who->uid, &left, fault)) != ANTAG_OK)
            return err;
        return ag_notice_recovery(t, row, who->uid, left, fault);
    }
    if ((err = ag_code_use(t, op->row_id, mail, fault)) != ANTAG_OK)
        return err;
    if (strcmp(mail, who->mail) != 0)
        return antag_fault_set(fault, ANTAG_ERR_CODE_EXPIRED, "code",
                               "it went to %s, and the mailbox is %s now; ask for a new code", mail,
                               who->mail);
    return ANTAG_OK;
}

static enum antag_err put_approval(struct ag_txn *t, const struct ag_task *op,
                                   const struct ag_row_change *row, const struct ag_row_staff *who,
                                   struct antag_fault *fault)
{
    struct ag_row_approval a = {.change_id = row->id,
                                .uid = who->uid,
                                .at_ms = t->life.now_ms,
                                .by_recovery = is_recovery(op->params),
                                .digest_len = AG_CHANGE_DIGEST_LEN};

    snprintf(a.mail, sizeof a.mail, "%s", who->mail);
    memcpy(a.digest, row->digest, sizeof a.digest);
    return ag_registry_put_approval(t->st->reg, &a, fault);
}

static enum antag_err approve(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                              struct antag_fault *fault)
{
    const struct antag_change_approve_params *p = op->params;
    const struct ag_row_staff *who = ag_book_staff(t->book, op->uid);
    struct ag_row_change *row = NULL;
    enum antag_err err;

    (void)w;
    if ((err = check_approval(t, op->uid, p->change.v, p->digest.v, &row, fault)) != ANTAG_OK)
        goto out;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, subject_of(t, row), 0, "%s, by %s %s",
                row->method, is_recovery(p) ? "a recovery code of" : "a code mailed to", who->mail);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = use_code(t, op, row, who, fault)) != ANTAG_OK ||
        (err = put_approval(t, op, row, who, fault)) != ANTAG_OK)
        goto out;
    err = ag_change_move(t, row, AG_CHANGEEV_APPROVE, fault);
out:
    free(row);
    op->row_id = p->change.v;
    return err;
}

enum antag_err ag_op_change_approve(struct ag_steward *st, struct ag_task *op,
                                    struct antag_writer *w, struct antag_fault *fault)
{
    static const struct ag_deed_row row = {.prepare = prepare_approve, .act = approve};
    enum antag_err err = ag_deed_run(st, op, &row, w, fault);

    if (err != ANTAG_OK)
        return err;
    ag_changer_settle(st, SETTLE_MS);
    return ag_deed_answer(st, op, answer, w, fault);
}

/* ---- ending */

static enum antag_err end(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_change_end_params *p = op->params;
    enum ag_change_event event =
        op->which == ANTAG_STAFF_change_reject ? AG_CHANGEEV_REJECT : AG_CHANGEEV_CANCEL;
    char reason[ANTAG_TEXT_MAX + 1] = "";
    struct ag_row_change *row = NULL;
    enum antag_err err;

    (void)w;
    if (p->reason.set &&
        (err = ag_rule_line(p->reason.v, "reason", reason, sizeof reason, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_change_get(t, p->change.v, &row, fault)) != ANTAG_OK)
        return err;
    op->row_id = row->id;
    err = ag_change_end(t, row, event, ag_task_actor(op), reason, fault);
    free(row);
    return err;
}

AG_DEED(change_reject, .act = end, .answer = answer)
AG_DEED(change_cancel, .act = end, .answer = answer)
