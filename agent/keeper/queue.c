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
    struct ag_work *work;
    bool more;

    if (q == NULL)
        return;
    while ((work = ag_queue_take(q, &more)) != NULL) {
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

struct ag_work *ag_queue_take(struct ag_queue *q, bool *more)
{
    struct ag_turn_item *item;

    *more = false;
    if (ag_queue_count(q) == 0)
        return NULL;
    pthread_mutex_lock(&q->lock);
    item = ag_turns_take(&q->turns);
    if (item != NULL) {
        *more = ag_turns_has(&q->turns, item->uid);
        atomic_fetch_sub(&q->count, 1);
    }
    pthread_mutex_unlock(&q->lock);
    return item != NULL ? work_of(item) : NULL;
}

size_t ag_queue_count(const struct ag_queue *q)
{
    return atomic_load(&q->count);
}
