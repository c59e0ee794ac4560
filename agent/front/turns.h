/* turns: whose job goes to the keeper next. Jobs wait by uid, in the order in which each caller sent them, and
 * callers take turns: one that sends ten times as much waits ten times as long, not the others. One thread. */
#ifndef AG_FRONT_TURNS_H
#define AG_FRONT_TURNS_H

#include "agent/front/job.h"

struct ag_turn { /* a caller that has jobs waiting */
    TAILQ_ENTRY(ag_turn) link;
    uint32_t uid;
    struct ag_jobs jobs;
};
TAILQ_HEAD(ag_turn_list, ag_turn);
struct ag_turns {
    struct ag_turn_list ring;  /* the first one is next */
    struct ag_turn_list spare; /* without a caller */
};

void ag_turns_init(struct ag_turns *t);
void ag_turns_fini(struct ag_turns *t); /* no job may wait */
/* Behind those of the same caller (job->plan.claim.uid). False: out of memory. */
bool ag_turns_add(struct ag_turns *t, struct ag_job *job);
/* The job whose turn it is; its caller comes again after all others. NULL: none waits. */
struct ag_job *ag_turns_take(struct ag_turns *t);
/* Undoes takes, last one first. */
void ag_turns_put_back(struct ag_turns *t, struct ag_job *job);
/* Out of the row, wherever it stands; nothing when it was taken. */
void ag_turns_remove(struct ag_turns *t, struct ag_job *job);

#endif
