/* life: rows of keys walked through the table of agent/core/keylife. Pure: changes the row it is given,
 * nothing else; the caller writes it. */
#ifndef AG_STEWARD_LIFE_H
#define AG_STEWARD_LIFE_H

#include "agent/core/freeze.h"
#include "agent/lib/conf.h"
#include "agent/steward/book.h"

/* what time it is, and how long the states last */
struct ag_life {
    int64_t now_ms;      /* UTC */
    int64_t observed_ms; /* running time observed on this registry */
    int64_t watch_window_ms, destroy_wait_ms, antom_overlap_ms;
    struct ag_freeze freeze; /* that is on; name "": none is */
};
void ag_life_init(struct ag_life *l, const struct ag_conf *c, int64_t now_ms, int64_t observed_ms);

void ag_life_facts(const struct ag_life *l, const struct ag_book *b, const struct ag_row_key *k,
                   bool self_tested, struct ag_key_facts *out);
/* One step of `k`. `reason` (may be NULL) stays with the new state. `k` is changed on OK only.
 * errors: KEY_STATE naming the key, its state and what it waits for. */
ANTAG_MUST_CHECK enum antag_err ag_life_step(const struct ag_life *l, const struct ag_book *b,
                                             struct ag_row_key *k, enum ag_key_event event,
                                             bool self_tested, const char *reason,
                                             struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_life_antom_step(const struct ag_life *l,
                                                   struct ag_row_antom_key *k,
                                                   enum ag_antom_key_event event,
                                                   struct antag_fault *fault);
/* Running time until a retiring Antom key ends; -1: no end in time. */
int64_t ag_life_antom_left_ms(const struct ag_life *l, const struct ag_row_antom_key *k);

/* Makes `k` the active key: the active one of its profile is superseded first. `old` gets the superseded
 * row when there is one (*has_old). From RETIRING this is ROLL_BACK, else ACTIVATE, which the
 * table refuses where it does not belong. errors: KEY_STATE. */
ANTAG_MUST_CHECK enum antag_err ag_life_activate(const struct ag_life *l, struct ag_book *b,
                                                 struct ag_row_key *k, bool self_tested,
                                                 struct ag_row_key *old, bool *has_old,
                                                 struct antag_fault *fault);

#endif
