/* turns: whose work is next. Work waits by uid, in the order in which each caller sent it, and callers take turns:
 * one that sends ten times as much waits ten times as long, not the others. A caller that had nothing waiting is
 * before those that had their turn, once: its place is kept for one round after its last piece of work, so that those who come and go
 * do not pass those who stay (as in RFC 8290, section 4.2). No lock: for one thread, or under its user's. */
#ifndef AG_LIB_TURNS_H
#define AG_LIB_TURNS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct ag_turn;

struct ag_turn_item { /* part of a piece of work */
    TAILQ_ENTRY(ag_turn_item) link;
    struct ag_turn *turn; /* while it waits */
    uint32_t uid;         /* set by the user */
};
TAILQ_HEAD(ag_turn_items, ag_turn_item);

struct ag_turn { /* a caller */
    TAILQ_ENTRY(ag_turn) link;
    uint32_t uid;
    bool fresh;                 /* came in and had no turn yet */
    struct ag_turn_items items; /* none: its place is kept */
};
TAILQ_HEAD(ag_turn_list, ag_turn);
struct ag_turns {
    struct ag_turn_list ring;  /* the first one is next */
    struct ag_turn_list spare; /* without a caller */
};

void ag_turns_init(struct ag_turns *t);
void ag_turns_fini(struct ag_turns *t); /* nothing may wait */
/* Behind what the same caller has waiting. False: out of memory. */
bool ag_turns_add(struct ag_turns *t, struct ag_turn_item *item);
/* What ag_turns_take would give, without taking it. */
struct ag_turn_item *ag_turns_next(struct ag_turns *t);
/* The one whose turn it is; its caller comes again after all others. NULL: none waits. */
struct ag_turn_item *ag_turns_take(struct ag_turns *t);
/* The same among the callers that may, the others keep their turn; and whether there is one. */
typedef bool ag_turns_may(void *arg, uint32_t uid);
struct ag_turn_item *ag_turns_take_if(struct ag_turns *t, ag_turns_may *may, void *arg);
bool ag_turns_has_if(const struct ag_turns *t, ag_turns_may *may, void *arg);
/* Undoes takes, last one first. */
void ag_turns_put_back(struct ag_turns *t, struct ag_turn_item *item);
/* Out of the row, wherever it stands; nothing when it was taken. */
void ag_turns_remove(struct ag_turns *t, struct ag_turn_item *item);
/* Has the caller anything waiting? */
bool ag_turns_has(const struct ag_turns *t, uint32_t uid);
bool ag_turns_has_other(const struct ag_turns *t, uint32_t uid); /* has any other? */

#endif
