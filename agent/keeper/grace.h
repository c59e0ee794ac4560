/* grace: tells when no worker can still be using what was taken away from it.
 *
 * Workers wrap each batch in enter and leave; they take no lock and wait for nobody. The loop's thread
 * takes something away (a key, a permission, a lane), defers an item, and the item's callback runs on
 * the loop's thread once every batch that may have seen the old state is over. So `stop` is answered
 * only when no signature can leave any more, and memory is freed only when nobody reads it.
 * (Epoch based reclamation.) */
#ifndef AG_KEEPER_GRACE_H
#define AG_KEEPER_GRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "antag/status.h"

#define AG_GRACE_READERS_MAX 65 /* workers, and the one that probes */

struct ag_grace_item {
    void (*done)(struct ag_grace_item *item); /* may free the item */
    uint64_t epoch;
    struct ag_grace_item *next;
};

struct ag_grace_reader {
    _Alignas(64) _Atomic uint64_t inside; /* epoch it entered in; 0: outside */
};

struct ag_grace {
    _Atomic uint64_t epoch;
    _Atomic bool waited; /* a leaving reader shall signal wake_fd */
    int wake_fd;         /* eventfd; readable: call ag_grace_collect */
    size_t reader_count;
    struct ag_grace_reader readers[AG_GRACE_READERS_MAX];
    struct ag_grace_item *first, **last; /* loop's thread only, in order of epoch */
};

/* errors: IO. */
ANTAG_MUST_CHECK enum antag_err ag_grace_init(struct ag_grace *g, size_t reader_count);
/* Every reader is gone: runs all items that are left. */
void ag_grace_fini(struct ag_grace *g);

/* Reader number `i`, its own thread. Not nested. */
void ag_grace_enter(struct ag_grace *g, size_t i);
void ag_grace_leave(struct ag_grace *g, size_t i);

/* Loop's thread. What `item` stands for must have been taken away before. Runs nothing by itself:
 * follow with ag_grace_collect, which runs at once what need not wait. */
void ag_grace_defer(struct ag_grace *g, struct ag_grace_item *item,
                    void (*done)(struct ag_grace_item *item));
void ag_grace_collect(struct ag_grace *g);
/* Any thread: makes wake_fd readable. */
void ag_grace_wake(struct ag_grace *g);

#endif
