#include "agent/keeper/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "agent/lib/secret.h"

struct ag_queue {
    _Atomic size_t count;
    pthread_mutex_t lock; /* all below; held for a few pointers */
    struct ag_turns turns;
    struct ag_works blank;
};

static struct ag_work *work_of(struct ag_turn_item *item)
{
    return (struct ag_work *)((char *)item - offsetof(struct ag_work, turn));
}

struct ag_queue *ag_queue_new(void)
{
    struct ag_queue *q = calloc(1, sizeof *q);

    if (q == NULL)
        return NULL;
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        free(q);
        return NULL;
    }
    ag_turns_init(&q->turns);
    STAILQ_INIT(&q->blank);
    return q;
}

void ag_queue_free(struct ag_queue *q, void (*each)(struct ag_work *work))
{
    struct ag_turn_item *item;
    struct ag_work *work;

    if (q == NULL)
        return;
    while ((item = ag_turns_take(&q->turns)) != NULL) {
        work = work_of(item);
        each(work);
        ag_queue_give(q, work);
    }
    while ((work = STAILQ_FIRST(&q->blank)) != NULL) {
        STAILQ_REMOVE_HEAD(&q->blank, link);
        free(work);
    }
    ag_turns_fini(&q->turns);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

struct ag_work *ag_queue_blank(struct ag_queue *q)
{
    struct ag_work *work;

    pthread_mutex_lock(&q->lock);
    work = STAILQ_FIRST(&q->blank);
    if (work != NULL)
        STAILQ_REMOVE_HEAD(&q->blank, link);
    pthread_mutex_unlock(&q->lock);
    return work != NULL ? work : calloc(1, sizeof *work);
}

void ag_queue_give(struct ag_queue *q, struct ag_work *work)
{
    ag_secret_wipe(&work->done, sizeof work->done);
    work->lane = NULL;
    pthread_mutex_lock(&q->lock);
    STAILQ_INSERT_HEAD(&q->blank, work, link);
    pthread_mutex_unlock(&q->lock);
}

enum antag_err ag_queue_put(struct ag_queue *q, struct ag_works *list)
{
    enum antag_err err = ANTAG_OK;
    struct ag_work *work;

    pthread_mutex_lock(&q->lock);
    while ((work = STAILQ_FIRST(list)) != NULL) {
        work->turn.uid = work->job.claim.uid;
        if (!ag_turns_add(&q->turns, &work->turn)) {
            err = ANTAG_ERR_NO_MEMORY;
            break;
        }
        STAILQ_REMOVE_HEAD(list, link);
        atomic_fetch_add(&q->count, 1);
    }
    pthread_mutex_unlock(&q->lock);
    return err;
}

/* Is `uid` the only caller that waits? The lock is held. */
static bool waits_alone(struct ag_queue *q, uint32_t uid)
{
    const struct ag_turn_item *next = ag_turns_next(&q->turns);

    return next != NULL && next->uid == uid && !ag_turns_has_other(&q->turns, uid);
}

void ag_queue_take(struct ag_queue *q, size_t max, size_t threads, struct ag_works *out, bool *more)
{
    size_t count = ag_queue_count(q), share = (count + threads - 1) / threads;
    struct ag_turn_item *item;
    uint32_t uid;

    *more = false;
    if (count == 0)
        return;
    pthread_mutex_lock(&q->lock);
    if ((item = ag_turns_take(&q->turns)) != NULL) {
        uid = item->uid;
        for (size_t n = 1; item != NULL; n++) {
            struct ag_work *work = work_of(item);

            STAILQ_INSERT_TAIL(out, work, link);
            atomic_fetch_sub(&q->count, 1);
            item = n < max && n < share && waits_alone(q, uid) ? ag_turns_take(&q->turns) : NULL;
        }
        *more = ag_turns_has(&q->turns, uid);
    }
    pthread_mutex_unlock(&q->lock);
}

bool ag_queue_has_other(struct ag_queue *q, uint32_t uid)
{
    bool other;

    if (ag_queue_count(q) == 0)
        return false;
    pthread_mutex_lock(&q->lock);
    other = ag_turns_has_other(&q->turns, uid);
    pthread_mutex_unlock(&q->lock);
    return other;
}

size_t ag_queue_count(const struct ag_queue *q)
{
    return atomic_load(&q->count);
}
