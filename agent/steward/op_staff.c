/* op_staff: the people who may use antomctl: a uid, their staff roles, a mailbox. */
#include <stdio.h>
#include <string.h>

#include "agent/core/grant.h"
#include "agent/core/mailbox.h"
#include "agent/steward/changes.h"
#include "agent/steward/deeds.h"
#include "agent/steward/recovery.h"
#include "agent/steward/render.h"

/* ---- what is asked */

static enum antag_err take_roles(const struct antag_opt_value *given, unsigned *out,
                                 struct antag_fault *fault)
{
    *out = 0;
    for (uint32_t i = 0; i < given->v.via.array.size; i++) {
        struct antag_slice text = {NULL, 0};
        unsigned role;

        (void)antag_object_slice(&given->v.via.array.ptr[i], &text);
        if ((role = ag_staff_role_of(text)) == 0)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "roles",
                                   "has viewer, officer, approver, no \"%.*s\"", (int)text.len,
                                   text.len > 0 ? (const char *)text.p : "");
        *out |= role;
    }
    return ANTAG_OK;
}

static enum antag_err take_mail(struct antag_slice mail, struct ag_row_staff *row,
                                struct antag_fault *fault)
{
    enum antag_err err = ag_mailbox_check(mail, "mail", fault);

    if (err != ANTAG_OK)
        return err;
    if (!antag_slice_is(mail, row->mail)) /* another one is not verified yet */
        row->mail_verified = false;
    (void)antag_slice_copy(mail, row->mail, sizeof row->mail);
    return err;
}

static enum antag_err need(const struct ag_book *b, uint64_t uid, struct ag_row_staff *out,
                           struct antag_fault *fault)
{
    const struct ag_row_staff *row = ag_book_staff(b, uid);

    if (row == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "uid",
                               "uid %llu is not enrolled; `antomctl staff list` shows who is",
                               (unsigned long long)uid);
    *out = *row;
    return ANTAG_OK;
}

/* ---- what must hold afterwards. `row`: as it will be; `gone`: it will not be. */

/* Each mailbox is one person's: an approval by mail says whose it is. */
static enum antag_err check_mail(const struct ag_book *b, const struct ag_row_staff *row,
                                 struct antag_fault *fault)
{
    if (row->mail[0] == '\0')
        return (row->roles & ANTAG_ROLE_APPROVER) == 0
                   ? ANTAG_OK
                   : antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "mail",
                                     "an approver needs a mailbox: approvals are verified by it");
    for (size_t i = 0; i < b->staff_count; i++)
        if (b->staff[i].uid != row->uid && ag_mailbox_is_same(b->staff[i].mail, row->mail))
            return antag_fault_set(fault, ANTAG_ERR_EXISTS, "mail",
                                   "%s is the mailbox of uid %u; each person has one of their own",
                                   row->mail, (unsigned)b->staff[i].uid);
    return ANTAG_OK;
}

static enum antag_err check_officers(const struct ag_book *b, const struct ag_row_staff *row,
                                     bool gone, struct antag_fault *fault)
{
    bool left = !gone && (row->roles & ANTAG_ROLE_OFFICER) != 0;

    for (size_t i = 0; i < b->staff_count; i++)
        left =
            left || (b->staff[i].uid != row->uid && (b->staff[i].roles & ANTAG_ROLE_OFFICER) != 0);
    if (left)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_LAST_OFFICER, "uid",
                           "uid %u is the only officer; without one nothing could be changed or "
                           "stopped any more",
                           (unsigned)row->uid);
}

/* ---- changing */

static void describe(const struct ag_row_staff *row, char *out, size_t size)
{
    snprintf(out, size, "uid %u:%s%s%s%s%s", (unsigned)row->uid,
             (row->roles & ANTAG_ROLE_VIEWER) != 0 ? " viewer" : "",
             (row->roles & ANTAG_ROLE_OFFICER) != 0 ? " officer" : "",
             (row->roles & ANTAG_ROLE_APPROVER) != 0 ? " approver" : "",
             row->mail[0] != '\0' ? ", " : "", row->mail);
}

static enum antag_err check_quorums(const struct ag_txn *t, const struct ag_row_staff *row,
                                    bool gone, struct antag_fault *fault)
{
    struct ag_people people;

    ag_people_of(t, &people);
    ag_people_change(&people, row, gone);
    return ag_people_suffice(t, &people, fault);
}

/* Whoever goes, is no approver any more, or has another mailbox, has approved nothing that is still open. */
static enum antag_err take_rights(struct ag_txn *t, const struct ag_row_staff *row, bool gone,
                                  struct antag_fault *fault)
{
    const struct ag_row_staff *was = ag_book_staff(t->book, row->uid);
    bool lost = gone || (row->roles & ANTAG_ROLE_APPROVER) == 0;
    enum antag_err err = ANTAG_OK;

    if (was == NULL)
        return ANTAG_OK;
    if (lost || strcmp(was->mail, row->mail) != 0)
        err = ag_approvals_void(t, row->uid, fault);
    return err == ANTAG_OK && lost ? ag_recovery_remove(t, row->uid, fault) : err;
}

/* Writes the row, or takes it away, with its deed. */
static enum antag_err store(struct ag_txn *t, const struct ag_task *op, struct ag_row_staff *row,
                            bool gone, struct antag_writer *w, struct antag_fault *fault)
{
    char said[ANTAG_TEXT_MAX + 80];
    enum antag_err err;

    if ((err = check_officers(t->book, row, gone, fault)) != ANTAG_OK ||
        (!gone && (err = check_mail(t->book, row, fault)) != ANTAG_OK) ||
        (err = check_quorums(t, row, gone, fault)) != ANTAG_OK)
        return err;
    describe(row, said, sizeof said);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, "", 0, "%s", said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    if ((err = take_rights(t, row, gone, fault)) != ANTAG_OK)
        return err;
    ag_render_staff(w, row);
    return gone ? ag_registry_delete_staff(t->st->reg, row->id, fault)
                : ag_registry_put_staff(t->st->reg, row, fault);
}

static enum antag_err add(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_staff_add_params *p = op->params;
    struct ag_row_staff row = {.uid = (uint32_t)p->uid.v};
    enum antag_err err;

    if (row.uid == AG_UID_STRANGER)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "uid",
                               "uid %u stands for strangers and is never enrolled",
                               AG_UID_STRANGER);
    if ((err = take_roles(&p->roles, &row.roles, fault)) != ANTAG_OK ||
        (p->mail.set && (err = take_mail(p->mail.v, &row, fault)) != ANTAG_OK))
        return err;
    if (ag_book_staff(t->book, row.uid) != NULL)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "uid",
                               "uid %u is enrolled; `antomctl staff set` changes roles and mailbox",
                               (unsigned)row.uid);
    if (t->book->staff_count >= AG_ENROLLED_MAX)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, "uid",
                               "%d people are enrolled, no more can be", AG_ENROLLED_MAX);
    return store(t, op, &row, false, w, fault);
}

AG_DEED(staff_add, .act = add)

static enum antag_err set(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_staff_set_params *p = op->params;
    struct ag_row_staff row;
    enum antag_err err;

    if (!p->roles.set && !p->mail.set)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "roles", "or mail must be given");
    if ((err = need(t->book, p->uid.v, &row, fault)) != ANTAG_OK ||
        (p->roles.set && (err = take_roles(&p->roles, &row.roles, fault)) != ANTAG_OK) ||
        (p->mail.set && (err = take_mail(p->mail.v, &row, fault)) != ANTAG_OK))
        return err;
    return store(t, op, &row, false, w, fault);
}

AG_DEED(staff_set, .act = set)

static enum antag_err take_away(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    const struct antag_staff_uid_params *p = op->params;
    struct ag_row_staff row;
    enum antag_err err;

    if ((err = need(t->book, p->uid.v, &row, fault)) != ANTAG_OK)
        return err;
    return store(t, op, &row, true, w, fault);
}

AG_DEED(staff_remove, .act = take_away)

enum antag_err ag_op_staff_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err;

    (void)op;
    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(w);
    antag_w_key(w, "staff");
    antag_w_array(w);
    for (size_t i = 0; i < t.book->staff_count; i++)
        ag_render_staff(w, &t.book->staff[i]);
    antag_w_end(w);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}
