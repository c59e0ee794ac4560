/* queue: what the workers have taken off their lanes and not signed yet, callers in turn (lib/turns.h; by the uid that
 * the front claims). One for all workers: the next free one takes the next piece of work, so that a lone request
 * waits for the arithmetic that is under way and not for what came before it; and no caller has all workers while
 * another is likely to come (places.h). Any thread. */
#ifndef AG_KEEPER_QUEUE_H
#define AG_KEEPER_QUEUE_H

#include "agent/lib/signwire.h"
#include "agent/lib/turns.h"
#include "antag/status.h"

/* a job and its answer */
struct ag_work {
    struct ag_turn_item turn;
    STAILQ_ENTRY(ag_work) link; /* for whoever has it */
    void *lane;                 /* whatever the user puts there */
    struct ag_sign_job job;
    struct ag_sign_done done;
};
STAILQ_HEAD(ag_works, ag_work);

struct ag_queue;
struct ag_queue *ag_queue_new(size_t workers); /* NULL: out of memory */
/* All of `each` for what still waits, then frees. NULL accepted. */
void ag_queue_free(struct ag_queue *q, void (*each)(struct ag_work *work));

/* One that nobody has. NULL: out of memory. */
struct ag_work *ag_queue_blank(struct ag_queue *q);
/* Done with it: its answer is wiped. */
void ag_queue_give(struct ag_queue *q, struct ag_work *work);

/* Let those in `list` wait for their turn; the list is then empty. errors: NO_MEMORY: it holds those that do
 * not wait. */
ANTAG_MUST_CHECK enum antag_err ag_queue_put(struct ag_queue *q, struct ag_works *list);
/* what a take found */
struct ag_took {
    bool more; /* others of the same caller wait */
    bool rest; /* another worker could take something now */
    bool
        kept; /* nothing was taken although something waits: its callers have as many workers as they may */
};
/* The next ones of one caller, added to `out`: one where others wait as well, else up to `max`, and no more than
 * one worker's part of what waits. now_ns: monotonic. */
struct ag_took ag_queue_take(struct ag_queue *q, size_t max, int64_t now_ns, struct ag_works *out);
/* The worker has signed all of a take of this caller. */
void ag_queue_signed(struct ag_queue *q, uint32_t uid, int64_t now_ns);
bool ag_queue_has_other(struct ag_queue *q, uint32_t uid); /* does another caller wait? */
size_t ag_queue_count(const struct ag_queue *q);           /* that wait; takes no lock */

#endif
