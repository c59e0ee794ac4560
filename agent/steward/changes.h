/* changes: requests that wait for approval (agent/core/change.h has their states, agent/core/quorum.h who approves).
 *
 * An operation that is guarded is tried to the end of its checks and undone; what it would have altered is told to
 * people and, as the request itself, becomes a change. When enough have approved, a thread of its own runs the same
 * operation again. It counts only if it begins from the same content, and is committed with the change's new state. */
#ifndef AG_STEWARD_CHANGES_H
#define AG_STEWARD_CHANGES_H

#include "agent/core/quorum.h"
#include "agent/steward/changedoc.h"

#define AG_CHANGES_OPEN_MAX 64

/* A change that an operation runs for. */
struct ag_change_run {
    uint64_t id;
    uint8_t base[AG_ALTER_BASE_LEN];
    bool only_try; /* it is undone in every case */
};

/* ---- people */
struct ag_people {
    struct ag_quorum_person people[AG_ENROLLED_MAX];
    struct ag_quorum_staff staff; /* of them */
};
void ag_people_of(const struct ag_txn *t, struct ag_people *out);
/* As they will be: `row` in place of who has its uid, or without him. */
void ag_people_change(struct ag_people *p, const struct ag_row_staff *row, bool gone);
/* Can the quorums of all launched profiles be met by them? errors: QUORUM, naming the profile. */
ANTAG_MUST_CHECK enum antag_err ag_people_suffice(const struct ag_txn *t, const struct ag_people *p,
                                                  struct antag_fault *fault);
/* Is anything launched? */
bool ag_any_launched(const struct ag_book *b);

/* ---- within a transaction */
/* Does what was just tried have to wait? a: of it. */
bool ag_change_is_due(const struct ag_txn *t, const struct ag_task *op, const struct ag_alter *a);
/* Undoes what was tried, and writes the change in its place, with its mails; t->deed, which describes what was tried,
 * becomes its opening. Leaves its id in op->opened. errors: CHANGE_DENIED, EXISTS (the same is open; or nothing would be
 * altered), CHANGE_STATE (too many are open), QUORUM, BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_change_open(struct ag_txn *t, struct ag_task *op,
                                               struct ag_alter *a, struct antag_fault *fault);
/* What was done begins from the content that was approved, and may be done now: writes the change's state beside it.
 * errors: STALE, CHANGE_STATE, CHANGE_DENIED. */
ANTAG_MUST_CHECK enum antag_err ag_change_fulfil(struct ag_txn *t, const struct ag_change_run *run,
                                                 struct ag_alter *a, struct antag_fault *fault);
/* Moves it by an event, with reason ("": none), deed and mails. Does not commit. */
ANTAG_MUST_CHECK enum antag_err ag_change_end(struct ag_txn *t, struct ag_row_change *row,
                                              enum ag_change_event event, struct ag_actor by,
                                              const char *reason, struct antag_fault *fault);
/* One step of its table; writes the row. errors: CHANGE_STATE. */
ANTAG_MUST_CHECK enum antag_err ag_change_move(struct ag_txn *t, struct ag_row_change *row,
                                               enum ag_change_event event,
                                               struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_change_facts(struct ag_txn *t, const struct ag_row_change *row,
                                                struct ag_change_facts *out,
                                                struct antag_fault *fault);
/* The row, on the heap. errors: NOT_FOUND, saying how to list them; NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err
ag_change_get(struct ag_txn *t, uint64_t id, struct ag_row_change **out, struct antag_fault *fault);
void ag_change_case(const struct ag_txn *t, const struct ag_row_change *row,
                    struct ag_quorum_case *out);
bool ag_change_is_late(const struct ag_txn *t, const struct ag_row_change *row);
/* Who has approved it, in order. */
#define AG_APPROVALS_MAX (AG_ENROLLED_MAX)
struct ag_approvals {
    size_t count;
    struct ag_row_approval rows[AG_APPROVALS_MAX];
};
ANTAG_MUST_CHECK enum antag_err ag_approvals_of(struct ag_txn *t, uint64_t change_id,
                                                struct ag_approvals *out,
                                                struct antag_fault *fault);
/* A person who may not approve any more, or by another mailbox: his approvals of open changes are void. */
ANTAG_MUST_CHECK enum antag_err ag_approvals_void(struct ag_txn *t, uint32_t uid,
                                                  struct antag_fault *fault);
/* The CHANGE map of proto/staff_methods.h. document: with its bytes. */
ANTAG_MUST_CHECK enum antag_err ag_change_render(struct ag_txn *t, const struct ag_row_change *row,
                                                 bool document, struct antag_writer *w,
                                                 struct antag_fault *fault);

/* ---- on threads that may wait */
/* Runs what it asks for, only to see (STALE and what its checks refuse), or for good. */
ANTAG_MUST_CHECK enum antag_err ag_change_run(struct ag_steward *st, uint64_t id, bool only_try,
                                              struct antag_fault *fault);

/* What came of such a run: STALE and what is refused for good end the change, all else is tried again. False: it is
 * over. *attempts: how many there were. */
bool ag_change_note(struct ag_steward *st, uint64_t id, const struct antag_fault *outcome,
                    uint32_t *attempts);

/* ---- changer.c: the thread that applies what is approved and ends what is late */
ANTAG_MUST_CHECK enum antag_err ag_changer_start(struct ag_steward *st);
void ag_changer_kick(struct ag_steward *st); /* any thread */
/* Until what is approved now is applied, or cannot be for the time being. */
void ag_changer_settle(struct ag_steward *st, int64_t timeout_ms);
void ag_changer_join(struct ag_steward *st); /* after quit */

#endif
