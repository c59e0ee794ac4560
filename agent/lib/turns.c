#include "agent/lib/turns.h"

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

static struct ag_turn *find(const struct ag_turns *t, uint32_t uid)
{
    struct ag_turn *turn;

    TAILQ_FOREACH(turn, &t->ring, link)
    {
        if (turn->uid == uid)
            return turn;
    }
    return NULL;
}

/* Behind those who are new as well. */
static void insert_fresh(struct ag_turns *t, struct ag_turn *turn)
{
    struct ag_turn *at = TAILQ_FIRST(&t->ring);

    while (at && at->fresh)
        at = TAILQ_NEXT(at, link);
    if (at)
        TAILQ_INSERT_BEFORE(at, turn, link);
    else
        TAILQ_INSERT_TAIL(&t->ring, turn, link);
    turn->fresh = true;
}

/* A new caller. NULL: out of memory. */
static struct ag_turn *enter(struct ag_turns *t, uint32_t uid)
{
    struct ag_turn *turn = TAILQ_FIRST(&t->spare);

    if (turn)
        TAILQ_REMOVE(&t->spare, turn, link);
    else
        turn = calloc(1, sizeof(*turn));
    if (!turn)
        return NULL;
    turn->uid = uid;
    TAILQ_INIT(&turn->items);
    insert_fresh(t, turn);
    return turn;
}

bool ag_turns_add(struct ag_turns *t, struct ag_turn_item *item)
{
    struct ag_turn *turn = find(t, item->uid);

    if (!turn)
        turn = enter(t, item->uid);
    if (!turn)
        return false;
    TAILQ_INSERT_TAIL(&turn->items, item, link);
    item->turn = turn;
    return true;
}

struct ag_turn_item *ag_turns_next(struct ag_turns *t)
{
    struct ag_turn *turn;

    while ((turn = TAILQ_FIRST(&t->ring)) && TAILQ_EMPTY(&turn->items)) {
        TAILQ_REMOVE(&t->ring, turn, link); /* a round without work */
        TAILQ_INSERT_HEAD(&t->spare, turn, link);
    }
    return turn ? TAILQ_FIRST(&turn->items) : NULL;
}

/* Its turn is over. */
static struct ag_turn_item *take_first(struct ag_turns *t, struct ag_turn *turn)
{
    struct ag_turn_item *item = TAILQ_FIRST(&turn->items);

    turn->fresh = false;
    TAILQ_REMOVE(&t->ring, turn, link);
    TAILQ_INSERT_TAIL(&t->ring, turn, link);
    ag_turns_remove(t, item);
    return item;
}

struct ag_turn_item *ag_turns_take(struct ag_turns *t)
{
    struct ag_turn_item *item = ag_turns_next(t);

    return item ? take_first(t, item->turn) : NULL;
}

static struct ag_turn *first_that_may(const struct ag_turns *t, ag_turns_may *may, void *arg)
{
    struct ag_turn *turn;

    TAILQ_FOREACH(turn, &t->ring, link)
    {
        if (!TAILQ_EMPTY(&turn->items) && may(arg, turn->uid))
            return turn;
    }
    return NULL;
}

struct ag_turn_item *ag_turns_take_if(struct ag_turns *t, ag_turns_may *may, void *arg)
{
    struct ag_turn *turn;

    if (!ag_turns_next(t)) /* those whose round is over leave */
        return NULL;
    turn = first_that_may(t, may, arg);
    return turn ? take_first(t, turn) : NULL;
}

bool ag_turns_has_if(const struct ag_turns *t, ag_turns_may *may, void *arg)
{
    return first_that_may(t, may, arg) != NULL;
}

void ag_turns_put_back(struct ag_turns *t, struct ag_turn_item *item)
{
    struct ag_turn *turn = find(t, item->uid); /* its take left it there */

    if (turn) {
        TAILQ_REMOVE(&t->ring, turn, link);
        TAILQ_INSERT_HEAD(&t->ring, turn, link);
    } else {
        turn = enter(t, item->uid);
    }
    if (!turn)
        return;
    TAILQ_INSERT_HEAD(&turn->items, item, link);
    item->turn = turn;
}

void ag_turns_remove(struct ag_turns *t, struct ag_turn_item *item)
{
    (void)t;
    if (item->turn)
        TAILQ_REMOVE(&item->turn->items, item, link);
    item->turn = NULL;
}

bool ag_turns_has(const struct ag_turns *t, uint32_t uid)
{
    const struct ag_turn *turn = find(t, uid);

    return turn && !TAILQ_EMPTY(&turn->items);
}

bool ag_turns_has_other(const struct ag_turns *t, uint32_t uid)
{
    const struct ag_turn *turn;

    TAILQ_FOREACH(turn, &t->ring, link)
    {
        if (turn->uid != uid && !TAILQ_EMPTY(&turn->items))
            return true;
    }
    return false;
}
