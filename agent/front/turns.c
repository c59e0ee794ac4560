#include "agent/front/turns.h"

#include <stdlib.h>

void ag_turns_init(struct ag_turns *t)
{
    TAILQ_INIT(&t->ring);
    TAILQ_INIT(&t->spare);
}

static void free_list(struct ag_turn_list *list)
{
    struct ag_turn *turn;

    while ((turn = TAILQ_FIRST(list))) {
        TAILQ_REMOVE(list, turn, link);
        free(turn);
    }
}

void ag_turns_fini(struct ag_turns *t)
{
    free_list(&t->ring);
    free_list(&t->spare);
}

static struct ag_turn *find(struct ag_turns *t, uint32_t uid)
{
    struct ag_turn *turn;

    TAILQ_FOREACH(turn, &t->ring, link)
    {
        if (turn->uid == uid)
            return turn;
    }
    return NULL;
}

/* A turn without a caller, in no list. */
static struct ag_turn *fresh(struct ag_turns *t, uint32_t uid)
{
    struct ag_turn *turn = TAILQ_FIRST(&t->spare);

    if (turn)
        TAILQ_REMOVE(&t->spare, turn, link);
    else
        turn = calloc(1, sizeof(*turn));
    if (turn) {
        turn->uid = uid;
        TAILQ_INIT(&turn->jobs);
    }
    return turn;
}

bool ag_turns_add(struct ag_turns *t, struct ag_job *job)
{
    struct ag_turn *turn = find(t, job->plan.claim.uid);

    if (!turn) {
        turn = fresh(t, job->plan.claim.uid);
        if (!turn)
            return false;
        TAILQ_INSERT_TAIL(&t->ring, turn, link);
    }
    TAILQ_INSERT_TAIL(&turn->jobs, job, of_turn);
    job->turn = turn;
    return true;
}

/* The job leaves its caller, who leaves the ring with the last one. */
static void leave(struct ag_turns *t, struct ag_job *job)
{
    struct ag_turn *turn = job->turn;

    TAILQ_REMOVE(&turn->jobs, job, of_turn);
    job->turn = NULL;
    if (TAILQ_EMPTY(&turn->jobs)) {
        TAILQ_REMOVE(&t->ring, turn, link);
        TAILQ_INSERT_HEAD(&t->spare, turn, link);
    }
}

struct ag_job *ag_turns_take(struct ag_turns *t)
{
    struct ag_turn *turn = TAILQ_FIRST(&t->ring);
    struct ag_job *job;

    if (!turn)
        return NULL;
    job = TAILQ_FIRST(&turn->jobs);
    TAILQ_REMOVE(&t->ring, turn, link);
    TAILQ_INSERT_TAIL(&t->ring, turn, link);
    leave(t, job);
    return job;
}

void ag_turns_put_back(struct ag_turns *t, struct ag_job *job)
{
    struct ag_turn *turn = find(t, job->plan.claim.uid);

    if (!turn) {
        turn = fresh(t, job->plan.claim.uid); /* the spare one that its take left */
        if (!turn)
            return;
    } else {
        TAILQ_REMOVE(&t->ring, turn, link);
    }
    TAILQ_INSERT_HEAD(&t->ring, turn, link);
    TAILQ_INSERT_HEAD(&turn->jobs, job, of_turn);
    job->turn = turn;
}

void ag_turns_remove(struct ag_turns *t, struct ag_job *job)
{
    if (job->turn)
        leave(t, job);
}
