#include "agent/keeper/grace.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/lib/log.h"

/* Why it holds. A reader writes `inside` and then reads shared state; the loop changes shared state,
 * raises `epoch` and then reads `inside`. All of these are sequentially consistent, so either the reader
 * sees the change, or the loop sees the reader inside with an older epoch and waits for it. A reader
 * that read `epoch` after it was raised has seen the change, and is not waited for. */

enum antag_err ag_grace_init(struct ag_grace *g, size_t reader_count)
{
    atomic_init(&g->epoch, 1);
    atomic_init(&g->waited, false);
    g->reader_count = reader_count;
    for (size_t i = 0; i < AG_GRACE_READERS_MAX; i++)
        atomic_init(&g->readers[i].inside, 0);
    g->first = NULL;
    g->last = &g->first;
    g->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (g->wake_fd < 0) {
        ag_log(AG_LOG_ERROR, "keeper.eventfd", AG_F_INT("errno", errno));
        return ANTAG_ERR_IO;
    }
    return ANTAG_OK;
}

void ag_grace_fini(struct ag_grace *g)
{
    struct ag_grace_item *item;

    while ((item = g->first) != NULL) {
        g->first = item->next;
        item->done(item);
    }
    g->last = &g->first;
    if (g->wake_fd >= 0)
        close(g->wake_fd);
    g->wake_fd = -1;
}

void ag_grace_enter(struct ag_grace *g, size_t i)
{
    atomic_store(&g->readers[i].inside, atomic_load(&g->epoch));
}

void ag_grace_leave(struct ag_grace *g, size_t i)
{
    atomic_store(&g->readers[i].inside, 0);
    if (atomic_load(&g->waited) && atomic_exchange(&g->waited, false))
        ag_grace_wake(g);
}

void ag_grace_wake(struct ag_grace *g)
{
    uint64_t one = 1;
    ssize_t n;

    do
        n = write(g->wake_fd, &one, sizeof one);
    while (n < 0 && errno == EINTR);
    /* EAGAIN: the counter is full, so it is readable anyway */
}

void ag_grace_defer(struct ag_grace *g, struct ag_grace_item *item,
                    void (*done)(struct ag_grace_item *item))
{
    item->done = done;
    item->next = NULL;
    item->epoch = atomic_fetch_add(&g->epoch, 1) + 1;
    *g->last = item;
    g->last = &item->next;
}

static bool is_over(struct ag_grace *g, uint64_t epoch)
{
    for (size_t i = 0; i < g->reader_count; i++) {
        uint64_t inside = atomic_load(&g->readers[i].inside);

        if (inside != 0 && inside < epoch)
            return false;
    }
    return true;
}

static void run_due(struct ag_grace *g)
{
    while (g->first != NULL && is_over(g, g->first->epoch)) {
        struct ag_grace_item *item = g->first;

        g->first = item->next;
        if (g->first == NULL)
            g->last = &g->first;
        item->done(item);
    }
}

void ag_grace_collect(struct ag_grace *g)
{
    uint64_t count;

    /* emptied first: a signal that comes from here on must be seen again */
    while (read(g->wake_fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
    run_due(g);
    if (g->first == NULL)
        return;
    atomic_store(&g->waited, true);
    run_due(g); /* a reader may have left before it could see that it is waited for */
}
