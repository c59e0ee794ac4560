/* op_mailbox: whose mailbox it is: a code is mailed there and comes back from the person's own account. And how mail
 * stands. */
#include <stdio.h>
#include <string.h>

#include "agent/steward/codes.h"
#include "agent/steward/deeds.h"
#include "agent/steward/outbox.h"
#include "agent/steward/recovery.h"
#include "agent/steward/render.h"

/* The caller's own row, with a mailbox. */
static enum antag_err need_own(const struct ag_txn *t, const struct ag_task *op,
                               struct ag_row_staff *out, struct antag_fault *fault)
{
    const struct ag_row_staff *row = ag_book_staff(t->book, op->uid);

    if (row == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_STAFF, NULL, "uid %u is not enrolled",
                               (unsigned)op->uid);
    if (row->mail[0] == '\0')
        return antag_fault_set(
            fault, ANTAG_ERR_NOT_FOUND, "mail",
            "uid %u has no mailbox; `antomctl staff set --uid %u --mail ADDRESS` "
            "gives one",
            (unsigned)op->uid, (unsigned)op->uid);
    *out = *row;
    return ANTAG_OK;
}

static enum antag_err mail_code(struct ag_txn *t, const struct ag_row_staff *who,
                                struct antag_fault *fault)
{
    struct ag_code_for purpose = {.uid = who->uid};
    char shown[AG_ONECODE_TEXT], uid[16], command[AG_OUTBOX_COMMAND_MAX];
    struct ag_mailtext m = {.to = who->mail,
                            .subject = "antom-agent: confirm your mailbox",
                            .lead = "Somebody entered this address as the mailbox of a member of "
                                    "staff of antom-agent. Changes to launched applications are "
                                    "approved with codes that are mailed here.",
                            .row_count = 3,
                            .code = shown,
                            .command = command,
                            .closing = "If this is not you, do nothing, and tell your security "
                                       "staff. Nobody needs this code but you."};
    uint64_t code_id;
    enum antag_err err = ag_code_issue(t, &purpose, who->mail, shown, &code_id, fault);

    ag_outbox_command(t->st, command, "staff verify --enter");
    snprintf(uid, sizeof uid, "%u", (unsigned)who->uid);
    m.rows[0] = (struct ag_mailtext_row){"uid", uid};
    m.rows[1] = (struct ag_mailtext_row){"mailbox", who->mail};
    m.rows[2] = (struct ag_mailtext_row){"holds", "15 minutes"};
    if (err == ANTAG_OK)
        err = ag_outbox_put(t, &m, code_id, fault);
    ag_secret_wipe(shown, sizeof shown);
    return err;
}

static enum antag_err ask(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_mailbox_code_params *p = op->params;
    struct ag_row_staff who;
    enum antag_err err;

    if ((err = need_own(t, op, &who, fault)) != ANTAG_OK)
        return err;
    if (who.mail_verified && !(p->again.set && p->again.v))
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "mail", "%s is verified already", who.mail);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, "", 0, "a code is mailed to %s", who.mail);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK || (err = mail_code(t, &who, fault)) != ANTAG_OK)
        return err;
    antag_w_map(w);
    antag_w_kv_str(w, "mail", who.mail);
    antag_w_kv_int(w, "holds_ms", AG_ONECODE_HOLDS_MS);
    antag_w_end(w);
    return ANTAG_OK;
}

AG_DEED(mailbox_code, .act = ask)

static enum antag_err try_code(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    const struct antag_mailbox_verify_params *p = op->params;
    struct ag_code_for purpose = {.uid = op->uid};

    return ag_code_try(st, &purpose, p->code.v, &op->row_id, fault);
}

/* The result, with an approver's new recovery codes. */
static enum antag_err give_recovery(struct ag_txn *t, const struct ag_row_staff *who,
                                    struct antag_writer *w, struct antag_fault *fault)
{
    char shown[AG_RECOVERY_COUNT][AG_ONECODE_TEXT];
    bool approver = (who->roles & ANTAG_ROLE_APPROVER) != 0;
    enum antag_err err = approver ? ag_recovery_issue(t, who->uid, shown, fault) : ANTAG_OK;

    if (err != ANTAG_OK)
        return err;
    antag_w_map(w);
    ag_render_staff_fields(w, who);
    if (approver) {
        antag_w_key(w, "recovery_codes");
        antag_w_array(w);
        for (size_t i = 0; i < AG_RECOVERY_COUNT; i++)
            antag_w_str(w, shown[i]);
        antag_w_end(w);
    }
    antag_w_end(w);
    ag_secret_wipe(shown, sizeof shown);
    return ANTAG_OK;
}

static enum antag_err verify(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    char mail[ANTAG_TEXT_MAX + 1];
    struct ag_row_staff who;
    enum antag_err err;

    if ((err = need_own(t, op, &who, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, "", 0, "uid %u: %s", (unsigned)op->uid,
                who.mail);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = ag_code_use(t, op->row_id, mail, fault)) != ANTAG_OK)
        return err;
    if (strcmp(mail, who.mail) != 0)
        return antag_fault_set(fault, ANTAG_ERR_CODE_EXPIRED, "code",
                               "it went to %s, and the mailbox is %s now; ask for a new code", mail,
                               who.mail);
    who.mail_verified = true;
    if ((err = give_recovery(t, &who, w, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_staff(t->st->reg, &who, fault);
}

AG_DEED(mailbox_verify, .prepare = try_code, .act = verify)

/* ---- how mail stands */

static const char *const state_names[AG_MAIL_STATE_COUNT] = {
    [AG_MAIL_QUEUED] = "queued",
    [AG_MAIL_SENT] = "sent",
    [AG_MAIL_REFUSED] = "refused",
    [AG_MAIL_DROPPED] = "dropped",
};

static enum antag_err render_mail(const struct ag_row_mail *m, void *ctx)
{
    struct antag_writer *w = ctx;

    antag_w_map(w);
    antag_w_kv_uint(w, "mail", m->id);
    antag_w_kv_str(w, "to", m->rcpt);
    antag_w_kv_str(w, "subject", m->subject);
    antag_w_kv_str(w, "state", state_names[m->state]);
    antag_w_kv_int(w, "created_ms", m->created_at_ms);
    antag_w_kv_int(w, "state_ms", m->state_at_ms);
    antag_w_kv_uint(w, "attempts", m->attempts);
    if (m->state == AG_MAIL_QUEUED)
        antag_w_kv_int(w, "next_ms", m->next_at_ms);
    antag_w_kv_str(w, "error", m->error);
    antag_w_kv_str(w, "message_id", m->message_id);
    antag_w_end(w);
    return ANTAG_OK;
}

enum antag_err ag_op_mail_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                               struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err;

    (void)op;
    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK) {
        antag_w_map(w);
        antag_w_key(w, "mails");
        antag_w_array(w);
        err = ag_registry_each_mail(st->reg, render_mail, w, fault);
        antag_w_end(w);
        antag_w_end(w);
    }
    ag_txn_end(&t);
    return err;
}
