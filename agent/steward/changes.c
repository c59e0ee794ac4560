#include "agent/steward/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/log.h"
#include "agent/steward/notices.h"

/* ---- people */

void ag_people_of(const struct ag_txn *t, struct ag_people *out)
{
    size_t n = 0;

    for (size_t i = 0; i < t->book->staff_count && n < AG_ENROLLED_MAX; i++) {
        const struct ag_row_staff *s = &t->book->staff[i];

        out->people[n++] =
            (struct ag_quorum_person){.uid = s->uid,
                                      .officer = (s->roles & ANTAG_ROLE_OFFICER) != 0,
                                      .approver = (s->roles & ANTAG_ROLE_APPROVER) != 0,
                                      .verified = s->mail_verified};
    }
    out->staff = (struct ag_quorum_staff){out->people, n, t->allow_root};
}

void ag_people_change(struct ag_people *p, const struct ag_row_staff *row, bool gone)
{
    size_t at = 0;

    while (at < p->staff.count && p->people[at].uid != row->uid)
        at++;
    if (gone && at < p->staff.count)
        p->people[at] = p->people[--p->staff.count];
    if (gone || at == AG_ENROLLED_MAX)
        return;
    p->people[at] = (struct ag_quorum_person){.uid = row->uid,
                                              .officer = (row->roles & ANTAG_ROLE_OFFICER) != 0,
                                              .approver = (row->roles & ANTAG_ROLE_APPROVER) != 0,
                                              .verified = row->mail_verified};
    if (at == p->staff.count)
        p->staff.count++;
}

enum antag_err ag_people_suffice(const struct ag_txn *t, const struct ag_people *p,
                                 struct antag_fault *fault)
{
    struct antag_fault why;

    for (size_t i = 0; i < t->book->profile_count; i++) {
        const struct ag_row_profile *profile = &t->book->profiles[i];

        if (profile->launched && ag_quorum_check(profile->quorum, &p->staff, &why) != ANTAG_OK)
            return antag_fault_set(fault, ANTAG_ERR_QUORUM, "quorum",
                                   "the quorum of %s could not be met any more: %s", profile->name,
                                   antag_fault_text(&why));
    }
    return ANTAG_OK;
}

bool ag_any_launched(const struct ag_book *b)
{
    for (size_t i = 0; i < b->profile_count; i++)
        if (b->profiles[i].launched)
            return true;
    return false;
}

/* ---- what a change is */

enum antag_err ag_change_get(struct ag_txn *t, uint64_t id, struct ag_row_change **out,
                             struct antag_fault *fault)
{
    struct ag_row_change *row = malloc(sizeof *row);
    enum antag_err err;

    *out = NULL;
    if (row == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a change");
    err = ag_registry_get_change(t->st->reg, id, row, fault);
    if (err == ANTAG_ERR_NOT_FOUND)
        antag_fault_set(fault, err, "change",
                        "there is no change %llu; `antomctl change list` shows those that are open",
                        (unsigned long long)id);
    if (err != ANTAG_OK)
        free(row);
    else
        *out = row;
    return err;
}

/* What alters something of a profile waits for the quorum of it, all else for the strictest of those launched. */
void ag_change_case(const struct ag_txn *t, const struct ag_row_change *row,
                    struct ag_quorum_case *out)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);

    *out = (struct ag_quorum_case){.quorum = AG_QUORUM_NONE,
                                   .requester = row->uid,
                                   .demotes = row->demotes,
                                   .demoted = row->demoted};
    if (p != NULL) {
        out->quorum = p->quorum;
        return;
    }
    for (size_t i = 0; i < t->book->profile_count; i++)
        if (t->book->profiles[i].launched)
            out->quorum = ag_quorum_stricter(out->quorum, t->book->profiles[i].quorum);
}

bool ag_change_is_late(const struct ag_txn *t, const struct ag_row_change *row)
{
    struct ag_change_time since = {row->state_at_ms, row->state_observed_ms};
    struct ag_change_time now = {t->life.now_ms, t->life.observed_ms};

    return ag_change_is_past(
        since, now, row->state == AG_CHANGE_APPROVED ? AG_CHANGE_APPLIES_MS : row->holds_ms);
}

bool ag_change_is_due(const struct ag_txn *t, const struct ag_task *op, const struct ag_alter *a)
{
    const struct ag_row_profile *p;

    switch (op->row->guard) {
    case ANTAG_GUARD_NONE:
        return false;
    case ANTAG_GUARD_PROFILE:
        p = ag_book_profile(t->book, a->profile_id);
        return p != NULL ? p->launched : a->touched && ag_any_launched(t->book);
    case ANTAG_GUARD_AGENT:
        return ag_any_launched(t->book);
    case ANTAG_GUARD_ALWAYS:
        break;
    }
    return true;
}

/* ---- opening */

struct same {
    const struct ag_row_change *row;
    uint64_t same_id;
    size_t open;
};

/* Does another one ask for the same, from the same content? */
static bool asks_the_same(const struct ag_row_change *a, const struct ag_row_change *b)
{
    struct ag_changedoc x, y;
    bool same = false;

    if (strcmp(a->method, b->method) == 0 && ag_changedoc_read(a, &x, NULL) == ANTAG_OK) {
        if (ag_changedoc_read(b, &y, NULL) == ANTAG_OK)
            same = memcmp(x.base, y.base, sizeof x.base) == 0 &&
                   msgpack_object_equal(*x.params, *y.params);
        ag_changedoc_fini(&y);
        ag_changedoc_fini(&x);
    }
    return same;
}

static enum antag_err look_at(const struct ag_row_change *row, void *ctx)
{
    struct same *s = ctx;

    if (ag_change_is_over(row->state))
        return ANTAG_OK;
    s->open++;
    if (asks_the_same(row, s->row))
        s->same_id = row->id;
    return ANTAG_OK;
}

static enum antag_err check_others(struct ag_txn *t, const struct ag_row_change *row,
                                   struct antag_fault *fault)
{
    struct same s = {.row = row};
    enum antag_err err = ag_registry_each_change(t->st->reg, look_at, &s, fault);

    if (err != ANTAG_OK)
        return err;
    if (s.same_id != 0)
        return antag_fault_set(fault, ANTAG_ERR_EXISTS, NULL,
                               "change %llu asks for the same and is open; `antomctl change show "
                               "%llu` tells whom it waits for",
                               (unsigned long long)s.same_id, (unsigned long long)s.same_id);
    if (s.open >= AG_CHANGES_OPEN_MAX)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_STATE, NULL,
                               "%d changes are open, no more can be; cancel or approve some",
                               AG_CHANGES_OPEN_MAX);
    return ANTAG_OK;
}

/* Before anything is written: may he ask, and can anybody approve? */
static enum antag_err check_people(const struct ag_txn *t, const struct ag_row_change *row,
                                   struct antag_fault *fault)
{
    struct ag_quorum_case c;
    struct ag_people people;
    enum antag_err err;

    ag_people_of(t, &people);
    ag_change_case(t, row, &c);
    if ((err = ag_quorum_may_ask(row->uid, &people.staff, fault)) != ANTAG_OK)
        return err;
    return ag_quorum_check(c.quorum, &people.staff, fault);
}

static void fill(const struct ag_txn *t, const struct ag_task *op, const struct ag_alter *a,
                 struct ag_row_change *row)
{
    row->uid = op->uid;
    row->profile_id = a->profile_id;
    row->demotes = a->demotes;
    row->demoted = a->demoted;
    row->opened_at_ms = row->state_at_ms = t->life.now_ms;
    row->state_observed_ms = t->life.observed_ms;
    row->holds_ms = t->change_holds_ms;
    snprintf(row->method, sizeof row->method, "%s", op->row->name);
    snprintf(row->summary, sizeof row->summary, "%s", t->deed.detail);
}

static enum antag_err put_opened(struct ag_txn *t, const struct ag_task *op,
                                 struct ag_row_change *row, struct antag_fault *fault)
{
    char subject[ANTAG_PROFILE_MAX + 1];
    uint64_t handle = t->deed.handle;
    enum antag_err err;

    snprintf(subject, sizeof subject, "%s", t->deed.subject);
    ag_txn_deed(t, ag_task_actor(op), "change_open", subject, handle, "%.*s: %.*s", AG_DEED_MAX,
                row->method, ANTAG_TEXT_MAX - AG_DEED_MAX - 3, row->summary);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = ag_registry_put_change(t->st->reg, row, fault)) != ANTAG_OK)
        return err;
    t->deed.change_id = row->id;
    return ag_notice_opened(t, row, fault);
}

enum antag_err ag_change_open(struct ag_txn *t, struct ag_task *op, struct ag_alter *a,
                              struct antag_fault *fault)
{
    struct ag_row_change *row = calloc(1, sizeof *row);
    enum antag_err err;

    if (row == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a change");
    ag_registry_rollback(t->st->reg); /* what was tried */
    fill(t, op, a, row);
    if (a->line_count == 0)
        err = antag_fault_set(fault, ANTAG_ERR_EXISTS, NULL,
                              "it is so already; there is nothing to approve");
    else
        err = check_people(t, row, fault);
    if (err == ANTAG_OK)
        err = ag_changedoc_write(t, op, a, row, fault);
    if (err == ANTAG_OK)
        err = check_others(t, row, fault);
    if (err == ANTAG_OK)
        err = put_opened(t, op, row, fault);
    op->opened = row->id;
    free(row);
    return err;
}

/* ---- approvals */

struct collect {
    uint64_t change_id;
    struct ag_approvals *out;
};

static enum antag_err collect(const struct ag_row_approval *row, void *ctx)
{
    struct collect *c = ctx;

    if (row->change_id == c->change_id && c->out->count < AG_APPROVALS_MAX)
        c->out->rows[c->out->count++] = *row;
    return ANTAG_OK;
}

enum antag_err ag_approvals_of(struct ag_txn *t, uint64_t change_id, struct ag_approvals *out,
                               struct antag_fault *fault)
{
    struct collect c = {change_id, out};

    out->count = 0;
    return ag_registry_each_approval(t->st->reg, collect, &c, fault);
}

struct void_of {
    struct ag_txn *t;
    uint32_t uid;
    struct antag_fault *fault;
};

static enum antag_err void_one(const struct ag_row_approval *row, void *ctx)
{
    struct void_of *v = ctx;
    struct ag_row_change *change;
    bool open;
    enum antag_err err;

    if (row->uid != v->uid)
        return ANTAG_OK;
    if ((err = ag_change_get(v->t, row->change_id, &change, v->fault)) != ANTAG_OK)
        return err;
    open = change->state == AG_CHANGE_OPEN;
    free(change);
    return open ? ag_registry_delete_approval(v->t->st->reg, row->id, v->fault) : ANTAG_OK;
}

enum antag_err ag_approvals_void(struct ag_txn *t, uint32_t uid, struct antag_fault *fault)
{
    struct void_of v = {t, uid, fault};

    return ag_registry_each_approval(t->st->reg, void_one, &v, fault);
}

/* Approvals that count, on the content of the document they were given for. */
static size_t approvals_that_count(const struct ag_txn *t, const struct ag_row_change *row,
                                   const struct ag_approvals *all)
{
    struct ag_quorum_case c;
    struct ag_people people;
    uint32_t uids[AG_APPROVALS_MAX];
    size_t n = 0;

    ag_people_of(t, &people);
    ag_change_case(t, row, &c);
    for (size_t i = 0; i < all->count; i++)
        if (memcmp(all->rows[i].digest, row->digest, AG_CHANGE_DIGEST_LEN) == 0)
            uids[n++] = all->rows[i].uid;
    return ag_quorum_count(&c, uids, n, &people.staff);
}

enum antag_err ag_change_facts(struct ag_txn *t, const struct ag_row_change *row,
                               struct ag_change_facts *out, struct antag_fault *fault)
{
    struct ag_approvals *all = malloc(sizeof *all);
    struct ag_quorum_case c;
    enum antag_err err;

    if (all == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for approvals");
    ag_change_case(t, row, &c);
    *out = (struct ag_change_facts){
        .state = row->state, .past = ag_change_is_late(t, row), .need = ag_quorum_needed(&c)};
    if ((err = ag_approvals_of(t, row->id, all, fault)) == ANTAG_OK)
        out->have = approvals_that_count(t, row, all);
    free(all);
    return err;
}

/* ---- moving */

enum antag_err ag_change_move(struct ag_txn *t, struct ag_row_change *row,
                              enum ag_change_event event, struct antag_fault *fault)
{
    struct ag_change_facts facts;
    enum ag_change_state to;
    enum antag_err err;

    if ((err = ag_change_facts(t, row, &facts, fault)) != ANTAG_OK ||
        (err = ag_change_step(&facts, event, &to, fault)) != ANTAG_OK)
        return err;
    if (to != row->state) {
        row->state_at_ms = t->life.now_ms;
        row->state_observed_ms = t->life.observed_ms;
    }
    row->state = to;
    t->deed.change_id = row->id;
    return ag_registry_put_change(t->st->reg, row, fault);
}

enum antag_err ag_change_end(struct ag_txn *t, struct ag_row_change *row,
                             enum ag_change_event event, struct ag_actor by, const char *reason,
                             struct antag_fault *fault)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);
    char what[AG_DEED_MAX + 1];
    enum antag_err err;

    snprintf(what, sizeof what, "%schange_%s", by.by_agent ? "agent." : "",
             ag_change_event_name(event));
    ag_txn_deed(t, by, what, p == NULL ? "" : p->name, 0, "%s: %.160s", row->method, reason);
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = ag_change_move(t, row, event, fault)) != ANTAG_OK)
        return err;
    return ag_notice_ended(t, row, by, fault);
}

/* ---- applying */

static enum antag_err check_run(struct ag_txn *t, const struct ag_row_change *row,
                                struct antag_fault *fault)
{
    struct ag_change_facts facts;
    struct ag_people people;
    enum antag_err err;

    ag_people_of(t, &people);
    if ((err = ag_quorum_may_ask(row->uid, &people.staff, fault)) != ANTAG_OK ||
        (err = ag_change_facts(t, row, &facts, fault)) != ANTAG_OK)
        return err;
    if (facts.have < facts.need)
        return antag_fault_set(
            fault, ANTAG_ERR_CHANGE_STATE, "change",
            "it has %zu of %zu approvals: people who approved it may not any more", facts.have,
            facts.need);
    return ANTAG_OK;
}

enum antag_err ag_change_fulfil(struct ag_txn *t, const struct ag_change_run *run,
                                struct ag_alter *a, struct antag_fault *fault)
{
    struct ag_row_change *row = NULL;
    uint8_t base[AG_ALTER_BASE_LEN];
    enum antag_err err;

    ag_registry_watch(t->st->reg, NULL, NULL);
    ag_alter_base(a, base);
    if (memcmp(base, run->base, sizeof base) != 0) /* public */
        return antag_fault_set(fault, ANTAG_ERR_STALE, "change",
                               "what it alters is not any more as it was when it was opened; ask "
                               "for it again");
    if (run->only_try)
        return ANTAG_OK;
    if ((err = ag_change_get(t, run->id, &row, fault)) == ANTAG_OK &&
        (err = check_run(t, row, fault)) == ANTAG_OK &&
        (err = ag_change_move(t, row, AG_CHANGEEV_APPLY, fault)) == ANTAG_OK)
        err = ag_notice_ended(t, row, ag_actor_agent, fault);
    free(row);
    return err;
}

enum antag_err ag_change_run(struct ag_steward *st, uint64_t id, bool only_try,
                             struct antag_fault *fault)
{
    struct ag_change_run run = {.id = id, .only_try = only_try};
    struct ag_row_change *row = NULL;
    struct ag_task *op = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = ag_change_get(&t, id, &row, fault)) == ANTAG_OK)
        err = ag_changedoc_task(row, run.base, &op, fault);
    ag_txn_end(&t);
    free(row);
    if (err == ANTAG_OK) {
        op->run = &run;
        err = ag_task_do(st, op, fault);
    }
    ag_task_free(op);
    return err;
}

/* ---- what came of it, where the operation did not write that itself */

static bool is_passing(enum antag_err err)
{
    enum antag_class class = antag_err_class(err);

    return class == ANTAG_CLASS_RETRY || class == ANTAG_CLASS_INTERNAL || err == ANTAG_ERR_LOCKED ||
           err == ANTAG_ERR_NOT_READY || err == ANTAG_ERR_REGISTRY;
}

static enum antag_err note(struct ag_txn *t, struct ag_row_change *row,
                           const struct antag_fault *outcome, struct antag_fault *fault)
{
    /* what it alters was altered, or is there no more */
    bool stale = outcome->err == ANTAG_ERR_STALE ||
                 (row->state == AG_CHANGE_OPEN && outcome->err == ANTAG_ERR_NOT_FOUND);
    enum antag_err err;

    if (!is_passing(outcome->err))
        return ag_change_end(t, row, stale ? AG_CHANGEEV_DIFFER : AG_CHANGEEV_FAIL, ag_actor_agent,
                             antag_fault_text(outcome), fault);
    row->attempts++;
    snprintf(row->reason, sizeof row->reason, "%.*s", ANTAG_TEXT_MAX, antag_fault_text(outcome));
    if ((err = ag_txn_write_quiet(t, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_change(t->st->reg, row, fault);
}

bool ag_change_note(struct ag_steward *st, uint64_t id, const struct antag_fault *outcome,
                    uint32_t *attempts)
{
    struct ag_row_change *row = NULL;
    struct antag_fault fault = {0};
    struct ag_txn t;
    bool again = true;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, &fault)) == ANTAG_OK &&
        (err = ag_change_get(&t, id, &row, &fault)) == ANTAG_OK) {
        again = !ag_change_is_over(row->state);
        if (again && (err = note(&t, row, outcome, &fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, &fault);
        *attempts = row->attempts;
        again = err != ANTAG_OK || !ag_change_is_over(row->state);
    }
    ag_txn_end(&t);
    free(row);
    if (err != ANTAG_OK && err != ANTAG_ERR_LOCKED)
        ag_log_fault(AG_LOG_ERROR, "change.outcome", &fault);
    return again;
}
