/* places: how many workers one caller may have at a time. Who was given a signature a moment ago is likely to ask
 * for the next one at once. Until that moment is over one worker is kept for it: otherwise a caller with much to do
 * takes the place of each other one as soon as that has its answer, and it waits for a whole signature every time
 * (disk schedulers that anticipate the next read do the same: Iyer and Druschel, SOSP 2001). A caller always has
 * one worker at least, and where nobody else was here lately, all. No lock: under its user's. */
#ifndef AG_KEEPER_PLACES_H
#define AG_KEEPER_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* the callers that are watched; of more than these, each has one worker at least all the same */
#define AG_PLACES_MAX    16
/* how long a place is kept: an answer's way to a caller on this host, and its next request's way back */
#define AG_PLACE_KEPT_NS (500 * 1000)

struct ag_place {
    uint32_t uid;
    unsigned busy;   /* workers that have work of it */
    int64_t kept_ns; /* monotonic: its place is kept until then */
};
struct ag_places { /* all zero: nobody */
    struct ag_place of[AG_PLACES_MAX];
};

/* May one more of `workers` take work of `uid`? */
bool ag_places_may(const struct ag_places *p, uint32_t uid, size_t workers, int64_t now_ns);
/* A worker has taken some; and is done with it. */
void ag_places_enter(struct ag_places *p, uint32_t uid, int64_t now_ns);
void ag_places_leave(struct ag_places *p, uint32_t uid, int64_t now_ns);

#endif
