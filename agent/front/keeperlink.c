#include "agent/front/keeperlink.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/front/laneflow.h"
#include "agent/front/worker.h"
#include "agent/lib/log.h"
#include "agent/lib/signwire.h"

#define PACKETS_A_TURN 32 /* then other handles of the loop get theirs */

struct ag_lane {
    TAILQ_ENTRY(ag_lane) link;
    struct ag_links *links;
    char keyring[ANTAG_KEYRING_MAX + 1];
    struct lane_pipe *pipe;       /* NULL: no keeper is joined */
    struct ag_jobs waiting, sent; /* in the order in which they came */
    struct ag_turns turns;        /* of those that wait: whose goes next */
    size_t waiting_count, sent_count;
    size_t threads;      /* of the keeper, as configured */
    struct ag_pace pace; /* of the keeper that is joined */
    bool blocked;        /* the kernel took no more; wait until it is writable */
    int64_t max_wait_ms; /* as configured */
    uint64_t conf_seq;   /* of the view that said so; 0: none has */
    struct ag_laneflow flow;
};

/* the descriptor and its handle; outlives its lane's use of it until the loop has closed it */
struct lane_pipe {
    uv_poll_t poll;
    struct ag_lane *lane; /* NULL: closing */
    int fd;
};

struct ag_links {
    uv_loop_t *loop;
    ag_job_on_done *on_done;
    ag_links_on_settled *on_settled;
    void *ctx;
    TAILQ_HEAD(, ag_lane) lanes;
    uv_timer_t timer; /* the earliest deadline or lane_until of a job */
    int64_t timer_at; /* INT64_MAX: not running */
    struct ag_job **slots;
    size_t cores;
    uint32_t slot_count, slot_cap;
    uint32_t *free_slots;
    uint32_t free_count;
    struct ag_sign_done done[AG_SIGNWIRE_BATCH];
};

static void on_event(uv_poll_t *poll, int status, int events);

/* ---- jobs and their slots */

static enum antag_err grow_slots(struct ag_links *links)
{
    uint32_t cap = links->slot_cap == 0 ? 64 : links->slot_cap * 2;
    struct ag_job **slots = realloc(links->slots, cap * sizeof(*slots));
    uint32_t *free_slots;

    if (!slots)
        return ANTAG_ERR_NO_MEMORY;
    links->slots = slots;
    free_slots = realloc(links->free_slots, cap * sizeof(*free_slots));
    if (!free_slots)
        return ANTAG_ERR_NO_MEMORY;
    links->free_slots = free_slots;
    links->slot_cap = cap;
    return ANTAG_OK;
}

static struct ag_job *new_slot(struct ag_links *links)
{
    struct ag_job *job;

    if (links->slot_count == links->slot_cap && grow_slots(links) != ANTAG_OK)
        return NULL;
    job = calloc(1, sizeof(*job));
    if (!job)
        return NULL;
    job->slot = links->slot_count;
    links->slots[links->slot_count++] = job;
    return job;
}

struct ag_job *ag_links_job(struct ag_links *links)
{
    struct ag_job *job = links->free_count > 0
                             ? links->slots[links->free_slots[--links->free_count]]
                             : new_slot(links);

    if (!job)
        return NULL;
    job->conn = NULL;
    job->uid = NULL;
    job->view = NULL;
    job->lane = NULL;
    job->turn.turn = NULL;
    job->sent = false;
    job->deadline_at = job->lane_until = INT64_MAX;
    return job;
}

void ag_links_discard(struct ag_links *links, struct ag_job *job)
{
    job->generation++; /* a late answer to it finds another generation */
    ag_view_release(job->view);
    job->view = NULL;
    links->free_slots[links->free_count++] = job->slot;
}

static uint64_t tag_of(const struct ag_job *job)
{
    return (uint64_t)job->generation << 32 | job->slot;
}

/* The job that `tag` names, provided it is in flight on this lane. */
static struct ag_job *job_of(const struct ag_lane *lane, uint64_t tag)
{
    const struct ag_links *links = lane->links;
    uint32_t slot = (uint32_t)tag;
    struct ag_job *job;

    if (slot >= links->slot_count)
        return NULL;
    job = links->slots[slot];
    return job->lane == lane && job->sent && tag_of(job) == tag ? job : NULL;
}

static void take_off(struct ag_job *job)
{
    struct ag_lane *lane = job->lane;

    if (job->sent) {
        TAILQ_REMOVE(&lane->sent, job, of_lane);
        lane->sent_count--;
    } else {
        TAILQ_REMOVE(&lane->waiting, job, of_lane);
        ag_turns_remove(&lane->turns, &job->turn);
        lane->waiting_count--;
    }
    job->sent = false;
    job->lane = NULL;
}

static void end_job(struct ag_links *links, struct ag_job *job, const struct antag_fault *fault,
                    struct antag_slice sig)
{
    take_off(job);
    links->on_done(job, fault, sig, links->ctx);
}

static void fail_job(struct ag_links *links, struct ag_job *job, enum antag_err err)
{
    const char *keyring = job->lane->keyring;
    struct antag_fault fault;

    switch (err) {
    case ANTAG_ERR_RETRY:
        antag_fault_set(&fault, err, NULL,
                        "the keeper of keyring \"%s\" was restarted; repeat the request", keyring);
        break;
    case ANTAG_ERR_BACKEND:
        antag_fault_set(&fault, err, NULL, "the keyring \"%s\" cannot be reached", keyring);
        break;
    case ANTAG_ERR_KEY_STATE:
        antag_fault_set(&fault, err, NULL,
                        "the signing key was stopped or superseded while the request waited");
        break;
    default:
        antag_fault_set(&fault, err, NULL, "%s", antag_err_message(err));
        break;
    }
    end_job(links, job, &fault, (struct antag_slice){0});
}

static void refuse_rate(struct ag_links *links, struct ag_job *job, uint32_t retry_after_ms)
{
    struct antag_fault fault;

    antag_fault_set(&fault, ANTAG_ERR_BUSY, NULL,
                    "%s has signed as much as the keyring %s lets one profile (profile_rate)",
                    job->plan.profile->row->name, job->lane->keyring);
    fault.retry_after_ms = retry_after_ms;
    end_job(links, job, &fault, (struct antag_slice){0});
}

/* ---- keyrings that are slow, or hang */

/* How long what is here will take. */
static uint64_t wait_ns(const struct ag_lane *lane)
{
    return (lane->sent_count + lane->waiting_count) * lane->pace.each_ns;
}

static void refuse_long(struct ag_links *links, struct ag_job *job, int64_t wait_ms)
{
    const struct ag_lane *lane = job->lane;
    struct antag_fault fault;

    antag_fault_set(&fault, ANTAG_ERR_BUSY, NULL,
                    "the keyring %s has %zu requests before this one, about %lld ms; it lets none "
                    "wait longer than %lld ms (max_wait_ms)",
                    lane->keyring, lane->sent_count + lane->waiting_count, (long long)wait_ms,
                    (long long)lane->max_wait_ms);
    fault.retry_after_ms = wait_ms;
    end_job(links, job, &fault, (struct antag_slice){0});
}

/* retry_ms: when it is tried again; 0: this request was let wait, in vain. */
static void refuse_silent(struct ag_links *links, struct ag_job *job, int64_t retry_ms)
{
    struct antag_fault fault;

    antag_fault_set(&fault, ANTAG_ERR_BACKEND, NULL,
                    "the keyring %s does not answer; `antomctl doctor` tells what it is doing",
                    job->lane->keyring);
    if (retry_ms > 0)
        fault.retry_after_ms = retry_ms;
    end_job(links, job, &fault, (struct antag_slice){0});
}

/* It was let in, and has waited longer than anybody should. */
static void refuse_late(struct ag_links *links, struct ag_job *job)
{
    const struct ag_lane *lane = job->lane;
    struct antag_fault fault;

    if (ag_laneflow_is_silent(&lane->flow, (int64_t)uv_now(links->loop), lane->max_wait_ms)) {
        refuse_silent(links, job, 0);
        return;
    }
    antag_fault_set(&fault, ANTAG_ERR_BUSY, NULL,
                    "the keyring %s did not come to this request within %lld ms (max_wait_ms, "
                    "twice)",
                    lane->keyring, (long long)(2 * lane->max_wait_ms));
    end_job(links, job, &fault, (struct antag_slice){0});
}

/* Is it worth to wait? A job that is not has ended. */
static bool is_let_in(struct ag_links *links, struct ag_job *job)
{
    struct ag_lane *lane = job->lane;
    int64_t wait_ms = (int64_t)(wait_ns(lane) / 1000000), retry_ms;

    switch (ag_laneflow_ask(&lane->flow, (int64_t)uv_now(links->loop), wait_ms, lane->max_wait_ms,
                            &retry_ms)) {
    case AG_FLOW_LONG:
        refuse_long(links, job, wait_ms);
        return false;
    case AG_FLOW_SILENT:
        refuse_silent(links, job, retry_ms);
        return false;
    case AG_FLOW_GO:
        break;
    }
    return true;
}

/* ---- deadlines */

static int64_t due_of(const struct ag_job *job)
{
    return job->deadline_at < job->lane_until ? job->deadline_at : job->lane_until;
}

static void on_timer(uv_timer_t *timer);

static void arm(struct ag_links *links, int64_t due)
{
    int64_t now = (int64_t)uv_now(links->loop);

    if (due >= links->timer_at)
        return;
    links->timer_at = due;
    uv_timer_start(&links->timer, on_timer, due > now ? (uint64_t)(due - now) : 0, 0);
}

/* End `job` if its time is over, or nobody waits for it. False: it stands as it was. */
static bool expire(struct ag_links *links, struct ag_job *job, int64_t now)
{
    if (job->conn && now < due_of(job))
        return false;
    if (job->lane->pipe && now < job->deadline_at)
        refuse_late(links, job);
    else
        fail_job(links, job, now >= job->deadline_at ? ANTAG_ERR_DEADLINE : ANTAG_ERR_BACKEND);
    return true;
}

/* Jobs of one list whose time is over; *next: the earliest that is still to come. A job that a keeper
 * works on ends here too: its signature, if it ever comes, finds another generation. */
static void expire_all(struct ag_links *links, struct ag_jobs *jobs, int64_t now, int64_t *next)
{
    struct ag_job *job, *after;

    for (job = TAILQ_FIRST(jobs); job; job = after) {
        after = TAILQ_NEXT(job, of_lane);
        if (!expire(links, job, now))
            *next = due_of(job) < *next ? due_of(job) : *next;
    }
}

static void on_timer(uv_timer_t *timer)
{
    struct ag_links *links = timer->data;
    int64_t now = (int64_t)uv_now(links->loop), next = INT64_MAX;
    struct ag_lane *lane;

    links->timer_at = INT64_MAX;
    TAILQ_FOREACH(lane, &links->lanes, link)
    {
        expire_all(links, &lane->waiting, now, &next);
        expire_all(links, &lane->sent, now, &next);
    }
    if (next != INT64_MAX)
        arm(links, next);
    links->on_settled(links->ctx);
}

/* ---- lanes */

static struct ag_lane *find_lane(struct ag_links *links, const char *keyring)
{
    struct ag_lane *lane;

    TAILQ_FOREACH(lane, &links->lanes, link)
    {
        if (strcmp(lane->keyring, keyring) == 0)
            return lane;
    }
    return NULL;
}

/* A lane is made when its keyring is first heard of, by a job or by its keeper. */
static struct ag_lane *need_lane(struct ag_links *links, const char *keyring)
{
    struct ag_lane *lane = find_lane(links, keyring);

    if (lane)
        return lane;
    lane = calloc(1, sizeof(*lane));
    if (!lane)
        return NULL;
    lane->links = links;
    lane->threads = 1;
    antag_slice_copy(antag_slice_of(keyring), lane->keyring, sizeof(lane->keyring));
    TAILQ_INIT(&lane->waiting);
    TAILQ_INIT(&lane->sent);
    ag_turns_init(&lane->turns);
    TAILQ_INSERT_TAIL(&links->lanes, lane, link);
    return lane;
}

static void on_pipe_closed(uv_handle_t *handle)
{
    struct lane_pipe *pipe = handle->data;

    close(pipe->fd);
    free(pipe);
}

static void part(struct ag_lane *lane)
{
    struct lane_pipe *pipe = lane->pipe;
    int64_t until = (int64_t)uv_now(lane->links->loop) + AG_LANE_WAIT_MS;
    struct ag_job *job;

    if (!pipe)
        return;
    lane->pipe = NULL;
    lane->blocked = false;
    ag_laneflow_reset(&lane->flow);
    lane->pace = (struct ag_pace){0};
    pipe->lane = NULL;
    uv_close((uv_handle_t *)&pipe->poll, on_pipe_closed);
    while ((job = TAILQ_FIRST(&lane->sent)))
        fail_job(lane->links, job, ANTAG_ERR_RETRY);
    TAILQ_FOREACH(job, &lane->waiting, of_lane)
    job->lane_until = until;
    if (!TAILQ_EMPTY(&lane->waiting))
        arm(lane->links, until);
}

static void set_events(struct ag_lane *lane)
{
    uv_poll_start(&lane->pipe->poll, UV_READABLE | (lane->blocked ? UV_WRITABLE : 0), on_event);
}

static enum antag_err open_pipe(struct ag_lane *lane, int fd)
{
    struct lane_pipe *pipe = calloc(1, sizeof(*pipe));

    if (!pipe || uv_poll_init(lane->links->loop, &pipe->poll, fd) != 0) {
        free(pipe);
        return ANTAG_ERR_NO_MEMORY;
    }
    pipe->fd = fd;
    pipe->lane = lane;
    pipe->poll.data = pipe;
    lane->pipe = pipe;
    set_events(lane);
    return ANTAG_OK;
}

/* Until when a job that comes now may be in this lane. */
static int64_t patience_of(const struct ag_lane *lane)
{
    return lane->max_wait_ms == 0 ? INT64_MAX
                                  : (int64_t)uv_now(lane->links->loop) + 2 * lane->max_wait_ms;
}

void ag_links_join(struct ag_links *links, const char *keyring, int fd)
{
    struct ag_lane *lane = need_lane(links, keyring);
    struct ag_job *job;

    if (lane)
        part(lane);
    if (!lane || open_pipe(lane, fd) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "lane.join", AG_F_TEXT("keyring", keyring),
               AG_F_ERR(ANTAG_ERR_NO_MEMORY));
        close(fd);
        return;
    }
    TAILQ_FOREACH(job, &lane->waiting, of_lane)
    job->lane_until = patience_of(lane);
    links->on_settled(links->ctx);
}

bool ag_links_are_busy(const struct ag_links *links)
{
    const struct ag_lane *lane;

    TAILQ_FOREACH(lane, &links->lanes, link)
    {
        if (lane->sent_count + lane->waiting_count > 0)
            return true;
    }
    return false;
}

bool ag_links_is_up(struct ag_links *links, const char *keyring)
{
    const struct ag_lane *lane = find_lane(links, keyring);

    return lane && lane->pipe &&
           !ag_laneflow_is_silent(&lane->flow, (int64_t)uv_now(links->loop), lane->max_wait_ms);
}

/* ---- sending */

static void take_conf(struct ag_lane *lane, const struct ag_job *job)
{
    const struct ag_conf_keyring *k;

    if (lane->conf_seq == job->view->seq)
        return;
    k = ag_conf_find_keyring(&job->view->conf, lane->keyring);
    lane->threads = k && k->threads > 0 ? (size_t)k->threads : lane->links->cores;
    lane->max_wait_ms = k ? k->max_wait_ms : 0;
    lane->conf_seq = job->view->seq;
}

void ag_links_submit(struct ag_links *links, struct ag_job *job)
{
    struct ag_lane *lane = need_lane(links, job->plan.profile->row->keyring);
    struct antag_fault fault;

    job->turn.uid = job->plan.claim.uid;
    if (!lane || !ag_turns_add(&lane->turns, &job->turn)) {
        antag_fault_set(&fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a lane to the keeper");
        links->on_done(job, &fault, (struct antag_slice){0}, links->ctx);
        return;
    }
    take_conf(lane, job);
    job->lane = lane;
    job->lane_until =
        lane->pipe ? patience_of(lane) : (int64_t)uv_now(links->loop) + AG_LANE_WAIT_MS;
    TAILQ_INSERT_TAIL(&lane->waiting, job, of_lane);
    lane->waiting_count++;
    if (!is_let_in(links, job))
        return;
    if (due_of(job) != INT64_MAX)
        arm(links, due_of(job));
}

static struct ag_job *job_of_item(struct ag_turn_item *item)
{
    return (struct ag_job *)((char *)item - offsetof(struct ag_job, turn));
}

/* Is the next job all that its caller has in flight? It then goes out however full the lane is: the keeper
 * takes turns as well, and here it would wait for an answer to someone else. */
static bool next_is_lone(struct ag_lane *lane)
{
    struct ag_turn_item *item = ag_turns_next(&lane->turns);
    const struct ag_uid *uid = item ? job_of_item(item)->uid : NULL;

    return uid && atomic_load_explicit(&uid->requests, memory_order_relaxed) == 1;
}

/* Few enough that every keeper thread gets a part of what waits. */
static size_t packet_size(struct ag_lane *lane)
{
    size_t window = lane->threads * AG_LANE_JOBS_A_THREAD;
    size_t room = lane->sent_count < window ? window - lane->sent_count : next_is_lone(lane);
    size_t share = (lane->waiting_count + lane->threads - 1) / lane->threads;

    share = share > AG_LANE_PACKET_JOBS ? AG_LANE_PACKET_JOBS : share;
    return share > room ? room : share;
}

static void fill(const struct ag_job *job, struct ag_sign_job *out)
{
    *out = (struct ag_sign_job){
        .version = AG_SIGNWIRE_VERSION,
        .env = (uint32_t)job->plan.profile->row->env,
        .tag = tag_of(job),
        .handle = job->plan.profile->row->handle,
        .profile_id = job->plan.profile->id,
    };
    memcpy(out->digest, job->plan.digest, sizeof(out->digest));
    out->claim = job->plan.claim;
}

/* One packet. False when there is nothing to send, or the kernel takes no more. */
static bool send_packet(struct ag_lane *lane)
{
    struct ag_sign_job packet[AG_LANE_PACKET_JOBS];
    struct ag_job *jobs[AG_LANE_PACKET_JOBS];
    struct ag_turn_item *item;
    size_t count = 0, max = packet_size(lane);
    int64_t now = (int64_t)uv_now(lane->links->loop);

    while (count < max && (item = ag_turns_take(&lane->turns))) {
        struct ag_job *job = job_of_item(item);

        if (expire(lane->links, job, now))
            continue;
        fill(job, &packet[count]);
        jobs[count++] = job;
    }
    if (count == 0)
        return false;
    if (send(lane->pipe->fd, packet, count * sizeof(packet[0]), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
        while (count > 0)
            ag_turns_put_back(&lane->turns, &jobs[--count]->turn);
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) {
            lane->blocked = true;
            set_events(lane);
        } else {
            part(lane);
        }
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        TAILQ_REMOVE(&lane->waiting, jobs[i], of_lane);
        TAILQ_INSERT_TAIL(&lane->sent, jobs[i], of_lane);
        jobs[i]->sent = true;
    }
    lane->waiting_count -= count;
    lane->sent_count += count;
    ag_laneflow_sent(&lane->flow, now);
    return true;
}

void ag_links_pump(struct ag_links *links, bool idle_only)
{
    struct ag_lane *lane;

    TAILQ_FOREACH(lane, &links->lanes, link)
    {
        size_t window = idle_only ? lane->threads : lane->threads * (size_t)AG_LANE_JOBS_A_THREAD;

        while (lane->pipe && !lane->blocked && (lane->sent_count < window || next_is_lone(lane)) &&
               send_packet(lane))
            continue;
    }
}

/* ---- receiving */

static bool is_keeper_error(enum antag_err err)
{
    return err == ANTAG_ERR_KEY_STATE || err == ANTAG_ERR_BAD_PARAM || err == ANTAG_ERR_BACKEND ||
           err == ANTAG_ERR_RETRY || err == ANTAG_ERR_AUDIT || err == ANTAG_ERR_INTERNAL;
}

int64_t ag_links_wait_ms(struct ag_links *links)
{
    struct ag_lane *lane;
    uint64_t most = 0;

    TAILQ_FOREACH(lane, &links->lanes, link)
    {
        uint64_t ns = wait_ns(lane);

        most = ns > most ? ns : most;
    }
    return most == 0 ? 0 : (int64_t)(most / 1000000) + 1;
}

/* One answer. False when it breaks the form of the lane, whose other end can then not be trusted. */
static bool take_done(struct ag_lane *lane, const struct ag_sign_done *done)
{
    struct ag_job *job = job_of(lane, done->tag);
    bool size_ok = done->sig_len == 256 || done->sig_len == 384 || done->sig_len == 512;

    if (done->version != AG_SIGNWIRE_VERSION)
        return false;
    ag_laneflow_answered(&lane->flow, (int64_t)uv_now(lane->links->loop),
                         lane->sent_count > (job != NULL));
    if (!job) { /* its deadline came first */
        ag_log(AG_LOG_DEBUG, "lane.unknown_tag", AG_F_TEXT("keyring", lane->keyring),
               AG_F_UINT("tag", done->tag));
        return true;
    }
    if (done->err == ANTAG_OK && size_ok && done->seq > 0) {
        job->seq = done->seq;
        end_job(lane->links, job, &(struct antag_fault){.err = ANTAG_OK},
                (struct antag_slice){done->sig, done->sig_len});
        return true;
    }
    if (done->err == ANTAG_ERR_BUSY && done->retry_after_ms > 0) {
        refuse_rate(lane->links, job, done->retry_after_ms);
        return true;
    }
    if (is_keeper_error((enum antag_err)done->err)) {
        /* what the keeper finds wrong with an entry is no fault of the caller's */
        fail_job(lane->links, job,
                 done->err == ANTAG_ERR_BAD_PARAM ? ANTAG_ERR_INTERNAL : (enum antag_err)done->err);
        return true;
    }
    fail_job(lane->links, job, ANTAG_ERR_INTERNAL);
    return false;
}

/* One packet. False when none waits, or the lane has ended. */
static bool receive_packet(struct ag_lane *lane)
{
    struct ag_sign_done *done = lane->links->done;
    ssize_t len = recv(lane->pipe->fd, done, sizeof(lane->links->done), MSG_DONTWAIT | MSG_TRUNC);

    if (len < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (len > 0 && (size_t)len <= sizeof(lane->links->done) && (size_t)len % sizeof(*done) == 0) {
        size_t count = (size_t)len / sizeof(*done), i = 0;

        ag_pace_came(&lane->pace, uv_hrtime(), count,
                     lane->sent_count + lane->waiting_count > count);
        while (i < count && take_done(lane, &done[i]))
            i++;
        if (i == count)
            return true;
    }
    if (len > 0)
        ag_log(AG_LOG_ERROR, "lane.malformed", AG_F_TEXT("keyring", lane->keyring),
               AG_F_INT("len", len));
    else
        ag_log(AG_LOG_WARN, "lane.ended", AG_F_TEXT("keyring", lane->keyring));
    part(lane);
    return false;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct lane_pipe *pipe = poll->data;
    struct ag_lane *lane = pipe->lane;

    if (!lane)
        return;
    if (status < 0) {
        part(lane);
        lane->links->on_settled(lane->links->ctx);
        return;
    }
    if ((events & UV_WRITABLE) && lane->blocked) {
        lane->blocked = false;
        set_events(lane);
    }
    for (int i = 0; i < PACKETS_A_TURN && receive_packet(lane); i++)
        continue;
    lane->links->on_settled(lane->links->ctx);
}

/* ---- beginning and end */

struct ag_links *ag_links_new(uv_loop_t *loop, ag_job_on_done *on_done,
                              ag_links_on_settled *on_settled, void *ctx)
{
    struct ag_links *links = calloc(1, sizeof(*links));

    if (!links)
        return NULL;
    links->loop = loop;
    links->on_done = on_done;
    links->on_settled = on_settled;
    links->ctx = ctx;
    links->timer_at = INT64_MAX;
    links->cores = uv_available_parallelism(); /* a system call, so once */
    TAILQ_INIT(&links->lanes);
    uv_timer_init(loop, &links->timer); /* cannot fail */
    links->timer.data = links;
    return links;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct ag_links *links = handle->data;
    struct ag_lane *lane;

    while ((lane = TAILQ_FIRST(&links->lanes))) {
        TAILQ_REMOVE(&links->lanes, lane, link);
        ag_turns_fini(&lane->turns);
        free(lane);
    }
    for (uint32_t i = 0; i < links->slot_count; i++)
        free(links->slots[i]);
    free(links->slots);
    free(links->free_slots);
    free(links);
}

void ag_links_close(struct ag_links *links)
{
    struct ag_lane *lane;
    struct ag_job *job;

    if (!links)
        return;
    TAILQ_FOREACH(lane, &links->lanes, link)
    {
        part(lane);
        while ((job = TAILQ_FIRST(&lane->waiting)))
            fail_job(links, job, ANTAG_ERR_RETRY);
    }
    uv_close((uv_handle_t *)&links->timer, on_timer_closed);
}
