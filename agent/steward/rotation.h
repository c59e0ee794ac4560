/* rotation: rotations within a transaction: each step of agent/core/rotation.h with the keys that it moves, its deed and
 * its mails. A step begins to write and does not commit. */
#ifndef AG_STEWARD_ROTATION_H
#define AG_STEWARD_ROTATION_H

#include "agent/steward/steward.h"
#include "proto/writer.h"

/* insists: what an officer does whatever the probes say */
void ag_rotation_facts(const struct ag_life *l, const struct ag_row_rotation *r, bool insists,
                       struct ag_rotation_facts *out);
/* The rotation of the profile that is not over. errors: NOT_FOUND, saying how to start one. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_need(const struct ag_book *b, struct antag_slice name,
                                                 const struct ag_row_profile **profile,
                                                 const struct ag_row_rotation **out,
                                                 struct antag_fault *fault);
/* A rotation of its profile is under way: its keys are moved by `antomctl rotate` alone. errors: ROTATION_STATE. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_none_open(const struct ag_book *b,
                                                      const struct ag_row_profile *p,
                                                      struct antag_fault *fault);

/* ---- steps. `row` is changed. errors: ROTATION_STATE, KEY_STATE, and those of the registry. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_begin(struct ag_txn *t, struct ag_actor by,
                                                  struct ag_row_rotation *row,
                                                  struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rotation_approve(struct ag_txn *t, struct ag_actor by,
                                                    struct ag_row_rotation *row,
                                                    struct antag_fault *fault);
/* key_version: as Antom calls the new key; 0: as it is */
ANTAG_MUST_CHECK enum antag_err ag_rotation_submit(struct ag_txn *t, struct ag_actor by,
                                                   struct ag_row_rotation *row,
                                                   uint32_t key_version, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rotation_cut_over(struct ag_txn *t, struct ag_actor by,
                                                     struct ag_row_rotation *row, bool insists,
                                                     const char *reason, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rotation_roll_back(struct ag_txn *t, struct ag_actor by,
                                                      struct ag_row_rotation *row, bool insists,
                                                      const char *reason,
                                                      struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_rotation_cancel(struct ag_txn *t, struct ag_actor by,
                                                   struct ag_row_rotation *row, const char *reason,
                                                   struct antag_fault *fault);
/* What time alone changes. *written: something. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_tick(struct ag_txn *t, bool *written,
                                                 struct antag_fault *fault);

/* ---- probes */
enum ag_probe_which { AG_PROBE_OLD = 1, AG_PROBE_NEW = 2, AG_PROBE_ALL = 3 };
struct ag_probed {
    enum ag_probe_outcome outcome;
    bool by_hand;
    char said[ANTAG_TEXT_MAX + 1];
    uint64_t antom_key_id; /* under which the answer verified; 0: none */
};
/* One key was probed, or not (NULL): writes what came of it, and mails when it means something new. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_probed(struct ag_txn *t, struct ag_row_rotation *row,
                                                   const struct ag_probed *old_key,
                                                   const struct ag_probed *new_key,
                                                   struct antag_fault *fault);
/* The rotation is to cut over by itself now: it is armed, and fetched answers show that Antom takes only the new key. */
bool ag_rotation_is_due(const struct ag_life *l, const struct ag_row_rotation *row);
/* It is to roll back by itself: so it was told, failures were reported right after the cut-over, and Antom takes the old
 * key. */
bool ag_rotation_fails(const struct ag_life *l, const struct ag_row_rotation *row);

/* The ROTATION map of proto/staff_methods.h. */
ANTAG_MUST_CHECK enum antag_err ag_rotation_render(struct ag_txn *t,
                                                   const struct ag_row_rotation *row,
                                                   struct antag_writer *w,
                                                   struct antag_fault *fault);

/* ---- probing.c: on threads that may wait; one probe at a time, others wait for it */
/* Asks Antom under keys of the rotation of `profile_id` (which: enum ag_probe_which, or-ed), as far as they may be used,
 * and writes down what came of it. errors: NOT_FOUND (no rotation is under way), and those of transactions; that the gateway does not answer is an
 * outcome. */
ANTAG_MUST_CHECK enum antag_err ag_probe_keys(struct ag_steward *st, uint64_t profile_id,
                                              unsigned which, struct antag_fault *fault);
/* A probe to be sent by hand: signs it. errors: those of the keeper. */
struct ag_probe_call {
    char url[ANTAG_URL_MAX + 128], client_id[ANTAG_CLIENT_ID_MAX + 1], time[ANTAG_TIME_MAX];
    char signature[2400], body[128];
};
ANTAG_MUST_CHECK enum antag_err ag_probe_make(struct ag_steward *st, uint64_t profile_id,
                                              enum ag_probe_which which, struct ag_probe_call *out,
                                              struct antag_fault *fault);
/* An answer: what it proves. Within a transaction that reads. time, signature, client_id: of its headers. */
struct ag_probe_answer {
    uint64_t status; /* of HTTP; 0: not known */
    struct antag_slice client_id, time, signature, body;
};
void ag_probe_judge(const struct ag_txn *t, const struct ag_row_profile *p,
                    const struct ag_probe_answer *a, struct ag_probed *out);
/* An Antom key that verified an answer the agent fetched itself, and waited for that: it becomes active, its predecessor
 * retires. errors: those of transactions. */
ANTAG_MUST_CHECK enum antag_err ag_antom_key_prove(struct ag_steward *st, uint64_t id,
                                                   struct antag_fault *fault);
/* Starts a staged Antom key and supersedes the active one; begins to write and does not commit. */
ANTAG_MUST_CHECK enum antag_err ag_antom_key_start(struct ag_txn *t, struct ag_row_antom_key *row,
                                                   struct antag_fault *fault);

/* ---- prober.c: the thread that probes, cuts over and rolls back by itself */
ANTAG_MUST_CHECK enum antag_err ag_prober_start(struct ag_steward *st);
/* Any thread: there is something new to look at. now: Antom is asked at once. */
void ag_prober_kick(struct ag_steward *st, bool now);
void ag_prober_join(struct ag_steward *st); /* after quit */
/* Failure reports of a profile's key, as the front counted them. Any thread. */
void ag_failures_take(struct ag_steward *st, const struct ag_failure *one);

#endif
