#include "agent/front/listen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/caller.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "proto/frame.h"

#define ACCEPT_A_TURN 64    /* then the loop's other handles get their turn */
#define PAUSE_MS      100   /* when descriptors or memory have run out */
#define SWEEP_AT      256   /* records of uids before those without connections are dropped */
#define LOG_EVERY_MS  60000 /* a caller cannot fill the log with refusals */

struct ag_listener {
    uv_poll_t poll;
    uv_timer_t pause;
    int fd;
    unsigned closing; /* handles that are not closed yet */
    bool stopped, freed;
    ag_on_accept *on_accept;
    void *ctx;
    unsigned conns_per_uid;
    struct ag_uid **uids;
    size_t uid_count, uid_cap;
    int64_t logged_at;
};

/* ---- records of uids */

static void sweep(struct ag_listener *l)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->uid_count; i++) {
        if (atomic_load(&l->uids[i]->conns) == 0) /* only this thread counts up */
            free(l->uids[i]);
        else
            l->uids[kept++] = l->uids[i];
    }
    l->uid_count = kept;
}

static struct ag_uid *add_uid(struct ag_listener *l, uid_t uid)
{
    struct ag_uid *record;

    if (l->uid_count >= SWEEP_AT)
        sweep(l);
    if (l->uid_count == l->uid_cap) {
        size_t cap = l->uid_cap == 0 ? 16 : l->uid_cap * 2;
        struct ag_uid **uids = realloc(l->uids, cap * sizeof(struct ag_uid *));

        if (!uids)
            return NULL;
        l->uids = uids;
        l->uid_cap = cap;
    }
    record = calloc(1, sizeof(*record));
    if (!record)
        return NULL;
    record->uid = uid;
    l->uids[l->uid_count++] = record;
    return record;
}

static struct ag_uid *uid_record(struct ag_listener *l, uid_t uid)
{
    for (size_t i = 0; i < l->uid_count; i++) {
        if (l->uids[i]->uid == uid)
            return l->uids[i];
    }
    return add_uid(l, uid);
}

/* ---- accepting */

static bool may_log(struct ag_listener *l)
{
    int64_t now = ag_clock_mono_ms();

    if (l->logged_at != 0 && now - l->logged_at < LOG_EVERY_MS)
        return false;
    l->logged_at = now;
    return true;
}

/* Say why, as far as the kernel takes it at once, and close. */
static void turn_away(int fd, enum antag_err err, const char *why)
{
    uint8_t packet[ANTAG_FRAME_HEAD + 512];
    struct antag_writer w;
    struct antag_slice m;
    struct antag_fault fault;

    antag_fault_set(&fault, err, NULL, "%s", why);
    antag_writer_init(&w, sizeof(packet) - ANTAG_FRAME_HEAD);
    antag_m_failure(&w, false, 0, &fault);
    if (antag_writer_end(&w, &m) == ANTAG_OK) {
        antag_frame_render(m.len, packet);
        memcpy(packet + ANTAG_FRAME_HEAD, m.p, m.len);
        if (send(fd, packet, ANTAG_FRAME_HEAD + m.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            ag_log(AG_LOG_DEBUG, "listen.turned_away", AG_F_INT("errno", errno));
    }
    antag_writer_fini(&w);
    close(fd);
}

static void take(struct ag_listener *l, int fd)
{
    struct ag_caller caller;
    struct ag_uid *uid;

    if (ag_caller_read(fd, &caller) != ANTAG_OK) { /* logged there */
        turn_away(fd, ANTAG_ERR_INTERNAL, "the caller's credentials cannot be read");
        return;
    }
    uid = uid_record(l, caller.uid);
    if (!uid) {
        turn_away(fd, ANTAG_ERR_NO_MEMORY, antag_err_message(ANTAG_ERR_NO_MEMORY));
        return;
    }
    if (atomic_load(&uid->conns) >= l->conns_per_uid) {
        if (may_log(l))
            ag_log(AG_LOG_WARN, "listen.too_many_connections", AG_F_UINT("uid", caller.uid),
                   AG_F_UINT("limit", l->conns_per_uid));
        turn_away(fd, ANTAG_ERR_BUSY, "this uid holds as many connections as one uid may");
        return;
    }
    atomic_fetch_add(&uid->conns, 1);
    l->on_accept(fd, &caller, uid, l->ctx);
}

static void on_event(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
    struct ag_listener *l = timer->data;

    uv_poll_start(&l->poll, UV_READABLE, on_event);
}

/* Out of descriptors or memory: connections stay in the backlog for a while. */
static void pause_accepting(struct ag_listener *l, int why)
{
    if (may_log(l))
        ag_log(AG_LOG_ERROR, "listen.accept", AG_F_INT("errno", why));
    uv_poll_stop(&l->poll);
    uv_timer_start(&l->pause, on_pause_over, PAUSE_MS, 0);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct ag_listener *l = poll->data;

    (void)events;
    if (status < 0) {
        pause_accepting(l, -status);
        return;
    }
    for (int i = 0; i < ACCEPT_A_TURN; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd >= 0) {
            take(l, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            pause_accepting(l, errno);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

/* ---- beginning and end */

struct ag_listener *ag_listener_new(uv_loop_t *loop, int fd, ag_on_accept *on_accept, void *ctx)
{
    struct ag_listener *l = calloc(1, sizeof(*l));

    if (!l || uv_poll_init(loop, &l->poll, fd) != 0) {
        free(l);
        close(fd);
        return NULL;
    }
    uv_timer_init(loop, &l->pause);
    l->poll.data = l->pause.data = l;
    l->fd = fd;
    l->on_accept = on_accept;
    l->ctx = ctx;
    l->conns_per_uid = ANTAG_CONNS_PER_UID;
    return l;
}

void ag_listener_start(struct ag_listener *l)
{
    uv_poll_start(&l->poll, UV_READABLE, on_event);
}

void ag_listener_set_limit(struct ag_listener *l, unsigned conns_per_uid)
{
    l->conns_per_uid = conns_per_uid;
}

static void free_when_done(struct ag_listener *l)
{
    if (!l->freed || l->closing > 0)
        return;
    for (size_t i = 0; i < l->uid_count; i++)
        free(l->uids[i]);
    free(l->uids);
    free(l);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct ag_listener *l = handle->data;

    if (handle == (uv_handle_t *)&l->poll)
        close(l->fd);
    l->closing--;
    free_when_done(l);
}

void ag_listener_stop(struct ag_listener *l)
{
    if (!l || l->stopped)
        return;
    l->stopped = true;
    l->closing = 2;
    uv_close((uv_handle_t *)&l->poll, on_handle_closed);
    uv_close((uv_handle_t *)&l->pause, on_handle_closed);
}

void ag_listener_free(struct ag_listener *l)
{
    if (!l)
        return;
    ag_listener_stop(l);
    l->freed = true;
    free_when_done(l);
}
