/* chain_out: brings the lines of a chain to the disk: its thread, and those who help. All of it under `out`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/lib/chain/chain_internal.h"
#include "agent/lib/clock.h"

#define SYNC_MS          50   /* durability buffered: the longest that a line is not on the disk */
#define RETRY_MS         1000 /* between two tries while the disk refuses */
#define CHECKPOINT_LINES 1000
#define FIELDS_MAX       12
#define SEGMENTS_READ    8 /* that are looked at for the last line; all where that is not enough */

/* ---- the thread: states */

static void tell(struct ag_chain *c)
{
    if (c->conf.on_change != NULL)
        c->conf.on_change(c->conf.ctx);
}

/* The disk refuses. */
static void set_stuck(struct ag_chain *c, const struct antag_fault *fault)
{
    bool before;

    pthread_mutex_lock(&c->lock);
    snprintf(c->why, sizeof c->why, "%s", antag_fault_text(fault));
    before = atomic_exchange(&c->stuck, true);
    pthread_mutex_unlock(&c->lock);
    if (!before)
        ag_log_fault(AG_LOG_ERROR, "audit.stuck", fault);
    tell(c);
}

static void set_recorded(struct ag_chain *c)
{
    bool was_stuck;

    pthread_mutex_lock(&c->lock);
    was_stuck = atomic_exchange(&c->stuck, false);
    pthread_mutex_unlock(&c->lock);
    atomic_store(&c->recorded, c->unsafe_head.seq);
    if (was_stuck)
        ag_log(AG_LOG_WARN, "audit.goes_on", AG_F_TEXT("chain", c->conf.name),
               AG_F_UINT("seq", c->unsafe_head.seq));
    tell(c);
}

static void set_low(struct ag_chain *c, bool low, const struct antag_fault *fault)
{
    bool before;

    pthread_mutex_lock(&c->lock);
    before = c->low;
    c->low = low;
    if (low)
        snprintf(c->why, sizeof c->why, "%s", antag_fault_text(fault));
    pthread_mutex_unlock(&c->lock);
    if (low && !before)
        ag_log_fault(AG_LOG_ERROR, "audit.disk_full", fault);
    else if (!low && before)
        ag_log(AG_LOG_WARN, "audit.disk_has_room", AG_F_TEXT("chain", c->conf.name));
}

/* The open segment is of no use any more: what is not known to be on the disk goes into the next. */
static void abandon(struct ag_chain *c, const char *why)
{
    ag_log(AG_LOG_ERROR, "audit.segment_left", AG_F_TEXT("chain", c->conf.name),
           AG_F_UINT("segment", c->file.number), AG_F_TEXT("why", why));
    ag_chain_file_leave(&c->file);
    c->written = 0;
    c->full = false;
    c->opening_why = why;
}

/* ---- a new segment */

void ag_chain_forget_salvage(struct ag_chain *c)
{
    if (c->salvage_fd >= 0)
        close(c->salvage_fd);
    c->salvage_fd = -1;
    c->salvage_len = 0;
}

static bool count_salvage(struct ag_chain *c, size_t *count)
{
    char part[16384];

    *count = 0;
    for (uint64_t at = 0; at < c->salvage_len;) {
        size_t want = c->salvage_len - at < sizeof part ? c->salvage_len - at : sizeof part;
        ssize_t n = pread(c->salvage_fd, part, want, (off_t)at);

        if (n <= 0)
            return false;
        for (ssize_t i = 0; i < n; i++)
            *count += part[i] == '\n';
        at += (uint64_t)n;
    }
    return true;
}

static enum antag_err write_salvage(struct ag_chain *c, bool *full, struct antag_fault *fault)
{
    char part[16384];

    for (uint64_t at = 0; at < c->salvage_len;) {
        size_t want = c->salvage_len - at < sizeof part ? c->salvage_len - at : sizeof part;
        ssize_t n = pread(c->salvage_fd, part, want, (off_t)at);
        enum antag_err err;

        if (n <= 0) {
            ag_chain_forget_salvage(c);
            c->opening_number = 0; /* it promised these lines: make another */
            return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL,
                                   "a segment that was deleted cannot be read any more");
        }
        if ((err = ag_chain_file_write(&c->file, part, (size_t)n, full, fault)) != ANTAG_OK)
            return err;
        at += (uint64_t)n;
    }
    return ANTAG_OK;
}

/* Renders the first line of segment `number`. All lines so far go behind it, as repeats. */
static enum antag_err make_opening(struct ag_chain *c, uint32_t number)
{
    struct ag_log_field f[FIELDS_MAX];
    size_t n = 0, salvaged = 0;
    enum antag_err err = ANTAG_OK;

    if (c->salvage_fd >= 0 && !count_salvage(c, &salvaged))
        ag_chain_forget_salvage(c);
    pthread_mutex_lock(&c->lock);
    /* a first line that never came to stand in a file keeps its place in the chain */
    if (!ag_lines_add(&c->unsafe, c->opening.p, c->opening.len, c->opening.count) ||
        !ag_lines_add(&c->unsafe, c->pending.p, c->pending.len, c->pending.count)) {
        err = ANTAG_ERR_NO_MEMORY;
        goto out;
    }
    ag_lines_clear(&c->opening);
    ag_lines_clear(&c->pending);
    f[n++] = AG_F_UINT("segment", number);
    f[n++] = AG_F_TEXT("why", c->opening_why);
    f[n++] = AG_F_TEXT("incarnation", c->incarnation);
    f[n++] = AG_F_TEXT("agent", ANTAG_VERSION);
    f[n++] = AG_F_HEX("key", ((struct antag_slice){c->public_key, sizeof c->public_key}));
    f[n++] = AG_F_UINT("repeats", salvaged + c->unsafe.count);
    if (c->torn > 0)
        f[n++] = AG_F_UINT("torn", c->torn);
    f[n] = (struct ag_log_field){.kind = AG_LF_END};
    err = ag_chain_add_line(c, &c->opening, "segment", f);
    c->opening_number = number;
    c->unsafe_head = c->head;
out:
    pthread_mutex_unlock(&c->lock);
    return err;
}

/* The open segment, empty so far: its first line, what is repeated, all on the disk. */
static enum antag_err fill_segment(struct ag_chain *c, bool *full, struct antag_fault *fault)
{
    enum antag_err err;

    if (c->opening.len == 0 || c->opening_number != c->file.number) {
        if ((err = make_opening(c, c->file.number)) != ANTAG_OK)
            return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL, "%.300s: no line can be made: %s",
                                   c->file.path, antag_err_message(err));
    }
    if ((err = ag_chain_file_write(&c->file, c->opening.p, c->opening.len, full, fault)) !=
            ANTAG_OK ||
        (err = write_salvage(c, full, fault)) != ANTAG_OK ||
        (err = ag_chain_file_write(&c->file, c->unsafe.p, c->unsafe.len, full, fault)) != ANTAG_OK)
        return err;
    return ag_chain_file_sync(&c->file, fault);
}

static void all_is_safe(struct ag_chain *c)
{
    pthread_mutex_lock(&c->lock);
    c->held -= c->unsafe.len + c->opening.len;
    c->segment = c->file.number;
    c->safe = c->unsafe_head;
    pthread_mutex_unlock(&c->lock);
    ag_lines_clear(&c->unsafe);
    ag_lines_clear(&c->opening);
    c->written = 0;
    atomic_store(&c->sync_at, 0);
}

/* A first line counts when it follows: what it repeats, and what was to come in between, may be missing
 * behind it. */
static void take_end(const struct ag_chain *c, const struct ag_segment_end *end,
                     struct ag_line_head *head)
{
    bool alone = end->begins && end->found && end->last.seq == end->first.seq;

    if (end->found && (!alone || head->seq == 0) && strcmp(end->last.chain, c->conf.name) == 0 &&
        end->last.seq > head->seq)
        *head = end->last;
    if (end->begins && strcmp(end->first.chain, c->conf.name) == 0 &&
        end->first.seq == head->seq + 1)
        *head = end->first;
}

/* The last line of the chain. Mostly it ends the last segment; but a writer that ended while it opened
 * one left its first line in front of repeats that are unfinished. Takes segments from `list`, in order.
 * What a writer that was killed left with the kernel is brought to the disk first: our lines stand on it. */
static enum antag_err look_for_head(struct ag_chain *c, const uint32_t *list, size_t count,
                                    bool *found)
{
    struct ag_line_head head = {.seq = 0};
    struct ag_segment_end end;

    c->torn = 0;
    for (size_t i = 0; i < count; i++) {
        enum antag_err err = ag_segment_sync(c->file.dir, list[i]);

        if (err == ANTAG_OK)
            err = ag_segment_end(c->file.dir, list[i], &end);
        if (err != ANTAG_OK)
            return err;
        if (end.begins)
            c->torn = 0; /* said there of those before */
        c->torn += end.torn;
        take_end(c, &end, &head);
    }
    *found = head.seq > 0;
    if (*found) {
        pthread_mutex_lock(&c->lock);
        c->head = c->safe = c->unsafe_head = head;
        pthread_mutex_unlock(&c->lock);
    }
    return ANTAG_OK;
}

static enum antag_err find_head(struct ag_chain *c, struct antag_fault *fault)
{
    uint32_t *list = NULL;
    size_t count = 0, few;
    bool found = false;
    enum antag_err err = ag_segment_list(c->file.dir, &list, &count);

    if (err == ANTAG_OK) {
        few = count < SEGMENTS_READ ? count : SEGMENTS_READ;
        err = look_for_head(c, few < count ? list + (count - few) : list, few, &found);
        if (err == ANTAG_OK && !found && few < count)
            err = look_for_head(c, list, count, &found);
    }
    free(list);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL, "%.300s cannot be read: %s",
                               c->file.path, antag_err_message(err));
    return ANTAG_OK;
}

/* Folder, head, reserve: until it has succeeded once. */
static enum antag_err open_folder(struct ag_chain *c, struct antag_fault *fault)
{
    enum antag_err err;

    if (c->file.dir >= 0)
        return ANTAG_OK;
    if ((err = ag_chain_file_open(&c->file, c->conf.audit_dir, c->conf.name, fault)) != ANTAG_OK)
        return err;
    if ((err = find_head(c, fault)) != ANTAG_OK)
        ag_chain_file_close(&c->file);
    return err;
}

static enum antag_err open_segment(struct ag_chain *c, struct antag_fault *fault)
{
    bool full = false;
    enum antag_err err;

    if ((err = open_folder(c, fault)) != ANTAG_OK ||
        (err = ag_chain_file_next(&c->file, fault)) != ANTAG_OK)
        return err;
    err = fill_segment(c, &full, fault);
    if (err != ANTAG_OK) {
        ag_chain_file_undo(&c->file);
        if (!full || !c->file.reserved)
            return err;
        set_low(c, true, fault);
        ag_chain_file_release(&c->file);
        return open_segment(c, fault); /* once: the reserve is gone */
    }
    ag_chain_forget_salvage(c);
    c->torn = 0;
    c->full = false;
    all_is_safe(c);
    return ANTAG_OK;
}

/* ---- the thread: one step */

/* What has gathered becomes the thread's; with a checkpoint or the end of the segment behind it. */
static enum antag_err take_pending(struct ag_chain *c, bool closing)
{
    enum antag_err err = ANTAG_OK;
    bool due, fills;

    pthread_mutex_lock(&c->lock);
    if (!ag_lines_add(&c->unsafe, c->pending.p, c->pending.len, c->pending.count)) {
        err = ANTAG_ERR_NO_MEMORY;
        goto out;
    }
    ag_lines_clear(&c->pending);
    fills = !c->full && c->file.size - c->written + c->unsafe.len >= c->conf.segment_max;
    due = c->since_checkpoint >= CHECKPOINT_LINES ||
          (c->since_checkpoint > 0 && (closing || fills || ag_clock_mono_ms() >= c->checkpoint_at));
    if (due)
        err = ag_chain_add_checkpoint(c, &c->unsafe);
    if (err == ANTAG_OK && fills)
        err = ag_chain_add_line(c, &c->unsafe, "rotate",
                                (const struct ag_log_field[]){AG_F_UINT("next", c->file.number + 1),
                                                              {.kind = AG_LF_END}});
    c->full = c->full || (fills && err == ANTAG_OK);
    c->unsafe_head = c->head;
out:
    pthread_mutex_unlock(&c->lock);
    return err;
}

static enum antag_err write_unsafe(struct ag_chain *c, struct antag_fault *fault)
{
    bool full = false;
    enum antag_err err;

    if (c->unsafe.len == c->written)
        return ANTAG_OK;
    err = ag_chain_file_write(&c->file, c->unsafe.p + c->written, c->unsafe.len - c->written, &full,
                              fault);
    if (err != ANTAG_OK && full && c->file.reserved) {
        set_low(c, true, fault);
        ag_chain_file_release(&c->file);
        err = ag_chain_file_write(&c->file, c->unsafe.p + c->written, c->unsafe.len - c->written,
                                  &full, fault);
    }
    if (err == ANTAG_OK)
        c->written = c->unsafe.len;
    else if (!full)
        abandon(c, "write failed");
    return err;
}

static enum antag_err sync_unsafe(struct ag_chain *c, struct antag_fault *fault)
{
    enum antag_err err = ag_chain_file_sync(&c->file, fault);

    if (err != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "audit.sync", fault);
        abandon(c, "sync failed");
        return open_segment(c, fault);
    }
    all_is_safe(c);
    return ANTAG_OK;
}

static void check_segment(struct ag_chain *c)
{
    bool salvage;
    const char *lost = c->file.fd >= 0 ? ag_chain_file_lost(&c->file, &salvage) : NULL;

    if (lost == NULL)
        return;
    if (salvage && c->salvage_fd < 0) {
        c->salvage_fd = c->file.fd;
        c->salvage_len = c->file.synced;
        c->file.fd = -1; /* transferred */
    }
    abandon(c, lost);
}

static enum antag_err bring_out(struct ag_chain *c, bool closing, struct antag_fault *fault)
{
    enum antag_err err;
    int64_t now;

    if (c->file.fd < 0 && (err = open_segment(c, fault)) != ANTAG_OK)
        return err;
    if ((err = take_pending(c, closing)) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL, "%.300s: %s", c->file.path,
                               antag_err_message(err));
    if ((err = write_unsafe(c, fault)) != ANTAG_OK)
        return err;
    now = ag_clock_mono_ms();
    if (!c->conf.commit && !closing && !c->full) {
        if (atomic_load(&c->sync_at) == 0 && c->unsafe.len > 0)
            atomic_store(&c->sync_at, now + SYNC_MS);
        if (atomic_load(&c->sync_at) == 0 || now < atomic_load(&c->sync_at))
            return ANTAG_OK;
    }
    if (c->unsafe.len > 0 && (err = sync_unsafe(c, fault)) != ANTAG_OK)
        return err;
    if (c->full) {
        ag_chain_file_leave(&c->file);
        c->opening_why = "full";
        return open_segment(c, fault);
    }
    return ANTAG_OK;
}

static void step(struct ag_chain *c, bool closing)
{
    struct antag_fault fault = {.err = ANTAG_ERR_AUDIT};
    bool low;

    check_segment(c);
    if (bring_out(c, closing, &fault) != ANTAG_OK) {
        set_stuck(c, &fault);
        return;
    }
    set_recorded(c);
    pthread_mutex_lock(&c->lock);
    low = c->low;
    pthread_mutex_unlock(&c->lock);
    if (ag_chain_file_reserve(&c->file, c->conf.reserve, &fault) == ANTAG_OK)
        set_low(c, false, NULL);
    else if (!low)
        set_low(c, true, &fault);
}

void ag_chain_step(struct ag_chain *c, bool closing)
{
    pthread_mutex_lock(&c->out);
    step(c, closing);
    pthread_mutex_unlock(&c->out);
}

/* ---- help */

static void wake_thread(struct ag_chain *c)
{
    pthread_mutex_lock(&c->lock);
    c->wanted = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

/* Only what goes without a new segment, a sync, or anything that went wrong. */
static bool write_gathered(struct ag_chain *c)
{
    struct antag_fault fault = {.err = ANTAG_ERR_AUDIT};

    if (c->file.fd < 0 || c->full || atomic_load(&c->stuck))
        return false;
    if (take_pending(c, false) != ANTAG_OK || write_unsafe(c, &fault) != ANTAG_OK)
        return false; /* the thread meets with the same, and says so */
    set_recorded(c);
    return !c->full;
}

void ag_chain_help(struct ag_chain *c)
{
    bool done = false;

    if (!c->conf.commit && pthread_mutex_trylock(&c->out) == 0) {
        done = write_gathered(c);
        if (done && atomic_load(&c->sync_at) == 0) {
            atomic_store(&c->sync_at, ag_clock_mono_ms() + SYNC_MS);
            done = false; /* the sync is the thread's */
        }
        pthread_mutex_unlock(&c->out);
    }
    if (!done)
        wake_thread(c);
}

/* ---- the thread */

/* Of two times, 0 for never. */
static int64_t earlier(int64_t a, int64_t b)
{
    if (a == 0 || b == 0)
        return a == 0 ? b : a;
    return a < b ? a : b;
}

/* When there is something to do though nobody appends. 0: never. Under the lock. */
static int64_t next_due(const struct ag_chain *c)
{
    int64_t sync_at = atomic_load(&c->sync_at);

    if (atomic_load(&c->stuck) || c->low)
        return ag_clock_mono_ms() + RETRY_MS;
    return earlier(c->since_checkpoint > 0 ? c->checkpoint_at : 0, sync_at);
}

static void wait_until(struct ag_chain *c, int64_t due)
{
    struct timespec t = {.tv_sec = due / 1000, .tv_nsec = (due % 1000) * 1000000};

    if (due == 0)
        pthread_cond_wait(&c->wake, &c->lock);
    else
        (void)pthread_cond_timedwait(&c->wake, &c->lock, &t);
}

/* Returns with something to do. True: to be closed. */
static bool wait_for_work(struct ag_chain *c)
{
    bool closing;
    int64_t due;

    pthread_mutex_lock(&c->lock);
    due = next_due(c);
    while (!c->closing && (due == 0 || ag_clock_mono_ms() < due)) {
        if (c->wanted && !atomic_load(&c->stuck))
            break;
        wait_until(c, due);
        due = earlier(due, next_due(c));
    }
    c->wanted = false;
    closing = c->closing;
    pthread_mutex_unlock(&c->lock);
    return closing;
}

void *ag_chain_thread(void *arg)
{
    struct ag_chain *c = arg;
    bool closing = false;

    while (!closing) {
        closing = wait_for_work(c);
        ag_chain_step(c, closing);
    }
    return NULL;
}
