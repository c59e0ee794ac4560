#include "agent/keeper/queue.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "agent/keeper/places.h"
#include "agent/lib/secret.h"

struct ag_queue {
    size_t workers;
    _Atomic size_t count;
    pthread_mutex_t lock; /* all below; held for a few pointers */
    struct ag_places places;
    struct ag_turns turns;
    struct ag_works blank;
};

static struct ag_work *work_of(struct ag_turn_item *item)
{
    return (struct ag_work *)((char *)item - offsetof(struct ag_work, turn));
}

struct ag_queue *ag_queue_new(size_t workers)
{
    struct ag_queue *q = calloc(1, sizeof *q);

    if (q == NULL)
        return NULL;
    if (pthread_mutex_init(&q->lock, NULL) != 0) {
        free(q);
        return NULL;
    }
    q->workers = workers;
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

struct asked {
    struct ag_queue *q;
    int64_t now_ns;
};

static bool may_have_one_more(void *arg, uint32_t uid)
{
    const struct asked *a = arg;

    return ag_places_may(&a->q->places, uid, a->q->workers, a->now_ns);
}

/* Of the caller whose turn it is. The lock is held. */
static void take_turn(struct ag_queue *q, size_t max, struct ag_turn_item *item,
                      struct ag_works *out)
{
    size_t share = (ag_queue_count(q) + q->workers - 1) / q->workers, n = 0;
    uint32_t uid = item->uid;

    while (item != NULL) {
        STAILQ_INSERT_TAIL(out, work_of(item), link);
        atomic_fetch_sub(&q->count, 1);
        n++;
        item = n < max && n < share && waits_alone(q, uid) ? ag_turns_take(&q->turns) : NULL;
    }
}

struct ag_took ag_queue_take(struct ag_queue *q, size_t max, int64_t now_ns, struct ag_works *out)
{
    struct asked a = {.q = q, .now_ns = now_ns};
    struct ag_took took = {0};
    struct ag_turn_item *item;

    if (ag_queue_count(q) == 0)
        return took;
    pthread_mutex_lock(&q->lock);
    item = ag_turns_take_if(&q->turns, may_have_one_more, &a);
    if (item != NULL) {
        ag_places_enter(&q->places, item->uid, now_ns);
        take_turn(q, max, item, out);
        took.more = ag_turns_has(&q->turns, item->uid);
        took.rest = ag_turns_has_if(&q->turns, may_have_one_more, &a);
    } else {
        took.kept = ag_queue_count(q) > 0;
    }
    pthread_mutex_unlock(&q->lock);
    return took;
}

void ag_queue_signed(struct ag_queue *q, uint32_t uid, int64_t now_ns)
{
    pthread_mutex_lock(&q->lock);
    ag_places_leave(&q->places, uid, now_ns);
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
