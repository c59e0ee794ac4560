#include "agent/steward/ops.h"
#include "agent/steward/render.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/log.h"

#define ANSWER_MAX ANTAG_FRAME_MAX

enum lane { LANE_QUICK, LANE_STOP, LANE_LONG, LANE_COUNT };
static const unsigned lane_threads[LANE_COUNT] = {
    [LANE_QUICK] = 4, [LANE_STOP] = 2, [LANE_LONG] = 4};
#define THREADS_MAX 10

/* what is not named here is quick */
static const enum lane lanes[ANTAG_STAFF_METHOD_COUNT] = {
    [ANTAG_STAFF_key_suspend] = LANE_STOP,     [ANTAG_STAFF_antom_key_revoke] = LANE_STOP,
    [ANTAG_STAFF_grant_remove] = LANE_STOP,    [ANTAG_STAFF_lock] = LANE_STOP,
    [ANTAG_STAFF_staff_remove] = LANE_STOP,    [ANTAG_STAFF_merchant_suspend] = LANE_STOP,
    [ANTAG_STAFF_key_generate] = LANE_LONG,    [ANTAG_STAFF_key_import] = LANE_LONG,
    [ANTAG_STAFF_antom_key_add] = LANE_LONG,   [ANTAG_STAFF_unlock] = LANE_LONG,
    [ANTAG_STAFF_change_approve] = LANE_LONG,  [ANTAG_STAFF_change_code] = LANE_LONG,
    [ANTAG_STAFF_key_activate] = LANE_LONG,    [ANTAG_STAFF_key_resume] = LANE_LONG,
    [ANTAG_STAFF_key_compromise] = LANE_LONG,  [ANTAG_STAFF_rotate_rollback] = LANE_STOP,
    [ANTAG_STAFF_rotate_start] = LANE_LONG,    [ANTAG_STAFF_rotate_probe] = LANE_LONG,
    [ANTAG_STAFF_rotate_activate] = LANE_LONG, [ANTAG_STAFF_rotate_call] = LANE_LONG,
    [ANTAG_STAFF_rotate_cancel] = LANE_LONG,
};

typedef enum antag_err op_fn(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault);
static op_fn *const handlers[ANTAG_STAFF_METHOD_COUNT] = {
#define ANTAG_ROW(name, params, locked, who, files, guard) [ANTAG_STAFF_##name] = ag_op_##name,
    ANTAG_STAFF_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
};

struct queue {
    struct ag_task *first, **last;
};
struct ag_pool {
    ag_pool_done_fn *done;
    void *ctx;
    uv_mutex_t lock;
    uv_cond_t work;
    struct queue waiting[LANE_COUNT], finished;
    size_t in_work; /* submitted and not delivered */
    size_t thread_count, ended_count;
    uv_thread_t threads[THREADS_MAX];
    bool quit;
};
struct pool_thread {
    struct ag_steward *st;
    enum lane lane;
};

/* ---- permission */

static enum antag_err not_staff(struct antag_fault *fault, uint32_t uid)
{
    return antag_fault_set(fault, ANTAG_ERR_NOT_STAFF, NULL,
                           "uid %u is not enrolled as staff of this agent", (unsigned)uid);
}

/* Officers and approvers may do all that viewers may. */
static bool has_role(unsigned roles, enum antag_staff_role needed)
{
    return (roles & (unsigned)needed) != 0 || (needed == ANTAG_ROLE_VIEWER && roles != 0);
}

/* While the registry is closed its word on enrolment is missing or may be old: root and the owner of the
 * home may then do what opens it. */
static bool is_trusted_while_closed(struct ag_steward *st, uint32_t uid)
{
    return uid == 0 || uid == st->owner_uid;
}

enum antag_err ag_task_permits(struct ag_steward *st, uint32_t uid,
                               const struct antag_staff_method_row *row, struct antag_fault *fault)
{
    enum ag_agent_state state = ag_state_get(st, NULL);
    bool known, closed = state != AG_STATE_UNLOCKED;
    unsigned roles = ag_enrolled_roles(st, uid, &known);

    if (!known && state == AG_STATE_STARTING) /* who he is will be known in a moment */
        return is_trusted_while_closed(st, uid) && row->when_locked ? ANTAG_OK
                                                                    : ag_state_refuse(st, fault);
    if (roles == 0 && !(closed && is_trusted_while_closed(st, uid)))
        return not_staff(fault, uid);
    if (closed && !row->when_locked)
        return ag_state_refuse(st, fault);
    if (!has_role(roles, row->who) && !(closed && is_trusted_while_closed(st, uid)))
        return antag_fault_set(fault, ANTAG_ERR_NOT_STAFF, NULL,
                               "%s needs the staff role %s, which uid %u has not", row->name,
                               ag_staff_role_name(row->who), (unsigned)uid);
    return ANTAG_OK;
}

/* ---- making one of a frame */

static bool has_key_twice(const msgpack_object *map)
{
    struct antag_slice a, b;

    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++)
        for (uint32_t j = 0; j < i; j++)
            if (antag_object_slice(&map->via.map.ptr[i].key, &a) &&
                antag_object_slice(&map->via.map.ptr[j].key, &b) && antag_slice_equal(a, b))
                return true;
    return false;
}

static enum antag_err check_files(const struct ag_task *op, struct antag_fault *fault)
{
    size_t least = op->which == ANTAG_STAFF_key_import || op->which == ANTAG_STAFF_antom_key_add ||
                   op->which == ANTAG_STAFF_merchant_add || op->which == ANTAG_STAFF_merchant_set;

    if (op->file_count > op->row->files_max)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                               "%s takes at most %u memory files, got %zu", op->row->name,
                               op->row->files_max, op->file_count);
    if (op->file_count < least)
        return antag_fault_set(
            fault, ANTAG_ERR_BAD_PARAM, NULL,
            "%s needs the key or token in a sealed memory file, passed with the first "
            "byte of the frame",
            op->row->name);
    return ANTAG_OK;
}

/* Strangers learn nothing, not even which methods there are. */
static enum antag_err route(struct ag_steward *st, struct ag_task *op,
                            const struct antag_message *m, struct ag_task_refusal *refusal)
{
    static const struct antag_staff_method_row any = {
        .name = "this method", .when_locked = true, .who = ANTAG_ROLE_VIEWER};
    struct antag_fault *fault = &refusal->fault;
    enum antag_err err;

    if ((err = ag_task_permits(st, op->uid, &any, fault)) != ANTAG_OK)
        return err;
    if ((op->row = antag_staff_method(m->name, &op->which)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_UNKNOWN_METHOD, "method",
                               "staff.sock has no method \"%.*s\"",
                               (int)(m->name.len < 40 ? m->name.len : 40),
                               m->name.len == 0 ? "" : (const char *)m->name.p);
    if ((err = ag_task_permits(st, op->uid, op->row, fault)) != ANTAG_OK)
        return err;
    if ((err = check_files(op, fault)) != ANTAG_OK)
        return err;
    if ((op->params = calloc(1, op->row->params.size)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a request");
    err = antag_params_parse(&op->row->params, false, &m->params, op->params, fault);
    refusal->fatal = err != ANTAG_OK && has_key_twice(&m->params);
    return err;
}

struct ag_task *ag_task_blank(uint32_t uid)
{
    struct ag_task *op = calloc(1, sizeof *op);

    if (op != NULL) {
        op->uid = uid;
        antag_writer_init(&op->answer, ANSWER_MAX);
    }
    return op;
}

enum antag_err ag_task_new(struct ag_steward *st, uint32_t uid, uint8_t *bytes, size_t len,
                           const int *files, size_t file_count, struct ag_task **out,
                           struct ag_task_refusal *refusal)
{
    struct ag_task *op = ag_task_blank(uid);
    struct antag_message m;
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    memset(refusal, 0, sizeof *refusal);
    *out = NULL;
    antag_fault_set(&refusal->fault, err, NULL, "no memory for a request");
    if (op == NULL) {
        for (size_t i = 0; i < file_count; i++)
            close(files[i]);
        free(bytes);
        return err;
    }
    op->bytes = bytes;
    for (size_t i = 0; i < file_count && i < AG_OP_FILES_MAX; i++)
        op->files[op->file_count++] = files[i];
    if ((err = antag_decoder_init(&op->decoder)) != ANTAG_OK)
        goto out;
    op->decoder_made = true;
    err = antag_message_parse(&op->decoder, (struct antag_slice){bytes, len}, &m, &refusal->fault);
    refusal->has_id = m.has_id;
    refusal->id = m.id;
    if (err == ANTAG_OK && (m.shape != ANTAG_REQUEST || !m.has_id))
        err = antag_fault_set(&refusal->fault, ANTAG_ERR_BAD_FRAME, NULL,
                              "a request [0, id, method, params] is expected");
    if (err != ANTAG_OK) {
        refusal->fatal = true;
        goto out;
    }
    op->id = m.id;
    err = route(st, op, &m, refusal);
    if (err == ANTAG_ERR_NOT_STAFF) {
        const struct antag_staff_method_row *row = antag_staff_method(m.name, &op->which);

        ag_refusals_count(st, uid, row != NULL ? row->name : "", err);
    }
out:
    if (err != ANTAG_OK) {
        ag_task_free(op);
        return err;
    }
    *out = op;
    return ANTAG_OK;
}

void ag_task_free(struct ag_task *op)
{
    if (op == NULL)
        return;
    for (size_t i = 0; i < op->file_count; i++)
        close(op->files[i]);
    if (op->decoder_made)
        antag_decoder_fini(&op->decoder);
    antag_writer_fini(&op->answer);
    free(op->made);
    ag_secret_free(op->secret);
    free(op->params);
    free(op->bytes);
    free(op);
}

struct ag_actor ag_task_actor(const struct ag_task *op)
{
    return (struct ag_actor){.uid = op->uid};
}

/* ---- running */

void ag_task_run(struct ag_steward *st, struct ag_task *op)
{
    struct antag_fault fault = {.retry_after_ms = -1};
    struct antag_slice unused;

    antag_m_answer(&op->answer, op->id);
    op->err = handlers[op->which](st, op, &op->answer, &fault);
    if (op->err == ANTAG_OK) {
        antag_m_close(&op->answer);
        if ((op->err = antag_writer_end(&op->answer, &unused)) != ANTAG_OK)
            antag_fault_set(&fault, op->err, NULL, "it is done, but its result is too large");
    }
    if (op->err != ANTAG_OK) {
        fault.err = op->err;
        antag_writer_reset(&op->answer);
        antag_m_failure(&op->answer, true, op->id, &fault);
    }
    if (op->row->who == ANTAG_ROLE_VIEWER && op->err == ANTAG_OK)
        return;
    ag_log(op->err == ANTAG_OK ? AG_LOG_INFO : AG_LOG_WARN, "staff",
           AG_F_TEXT("method", op->row->name), AG_F_UINT("uid", op->uid), AG_F_ERR(op->err),
           AG_F_TEXT("message", op->err == ANTAG_OK ? "" : antag_fault_text(&fault)));
}

enum antag_err ag_task_do(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    return handlers[op->which](st, op, &op->answer, fault);
}

enum antag_err ag_task_do_part(struct ag_steward *st, const struct ag_task *op,
                               enum antag_staff_method which, void *params,
                               struct antag_fault *fault)
{
    struct ag_task *part = ag_task_blank(op->uid);
    enum antag_err err;

    if (part == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for an operation");
    part->which = which;
    part->row = antag_staff_method_row(which);
    part->params = params;
    err = ag_task_do(st, part, fault);
    part->params = NULL; /* not its own */
    ag_task_free(part);
    return err;
}

/* ---- threads */

static void queue_init(struct queue *q)
{
    q->first = NULL;
    q->last = &q->first;
}

static void queue_put(struct queue *q, struct ag_task *op)
{
    op->next = NULL;
    *q->last = op;
    q->last = &op->next;
}

static struct ag_task *queue_take(struct queue *q)
{
    struct ag_task *op = q->first;

    if (op != NULL && (q->first = op->next) == NULL)
        q->last = &q->first;
    return op;
}

static void run(void *ctx)
{
    struct pool_thread *mine = ctx;
    struct ag_steward *st = mine->st;
    struct ag_pool *pool = st->pool;
    struct ag_task *op;

    uv_mutex_lock(&pool->lock);
    while (!pool->quit) {
        if ((op = queue_take(&pool->waiting[mine->lane])) == NULL) {
            uv_cond_wait(&pool->work, &pool->lock);
            continue;
        }
        uv_mutex_unlock(&pool->lock);
        ag_task_run(st, op);
        uv_mutex_lock(&pool->lock);
        queue_put(&pool->finished, op);
        uv_async_send(&st->wake);
    }
    pool->ended_count++;
    uv_async_send(&st->wake);
    uv_mutex_unlock(&pool->lock);
    free(mine);
}

static enum antag_err start_thread(struct ag_steward *st, enum lane lane)
{
    struct pool_thread *mine = malloc(sizeof *mine);

    if (mine == NULL)
        return ANTAG_ERR_NO_MEMORY;
    *mine = (struct pool_thread){.st = st, .lane = lane};
    if (uv_thread_create(&st->pool->threads[st->pool->thread_count], run, mine) != 0) {
        free(mine);
        return ANTAG_ERR_NO_MEMORY;
    }
    st->pool->thread_count++;
    return ANTAG_OK;
}

enum antag_err ag_pool_start(struct ag_steward *st, ag_pool_done_fn *done, void *ctx)
{
    struct ag_pool *pool = calloc(1, sizeof *pool);
    enum antag_err err = ANTAG_OK;

    if (pool == NULL)
        return ANTAG_ERR_NO_MEMORY;
    pool->done = done;
    pool->ctx = ctx;
    for (int i = 0; i < LANE_COUNT; i++)
        queue_init(&pool->waiting[i]);
    queue_init(&pool->finished);
    uv_mutex_init(&pool->lock);
    uv_cond_init(&pool->work);
    st->pool = pool;
    for (int lane = 0; lane < LANE_COUNT; lane++)
        for (unsigned i = 0; i < lane_threads[lane] && err == ANTAG_OK; i++)
            err = start_thread(st, (enum lane)lane);
    return err;
}

void ag_pool_submit(struct ag_steward *st, struct ag_task *op)
{
    struct ag_pool *pool = st->pool;

    uv_mutex_lock(&pool->lock);
    queue_put(&pool->waiting[lanes[op->which]], op);
    pool->in_work++;
    uv_cond_broadcast(&pool->work);
    uv_mutex_unlock(&pool->lock);
}

void ag_pool_deliver(struct ag_steward *st)
{
    struct ag_pool *pool = st->pool;
    struct ag_task *op;

    for (;;) {
        uv_mutex_lock(&pool->lock);
        op = queue_take(&pool->finished);
        if (op != NULL)
            pool->in_work--;
        uv_mutex_unlock(&pool->lock);
        if (op == NULL)
            return;
        pool->done(op, pool->ctx);
    }
}

bool ag_pool_is_idle(struct ag_steward *st)
{
    bool idle;

    uv_mutex_lock(&st->pool->lock);
    idle = st->pool->in_work == 0;
    uv_mutex_unlock(&st->pool->lock);
    return idle;
}

static void free_queue(struct queue *q)
{
    struct ag_task *op;

    while ((op = queue_take(q)) != NULL)
        ag_task_free(op);
}

bool ag_pool_join(struct ag_steward *st)
{
    struct ag_pool *pool = st->pool;
    bool ended;

    if (pool == NULL)
        return true;
    uv_mutex_lock(&pool->lock);
    pool->quit = true;
    uv_cond_broadcast(&pool->work);
    ended = pool->ended_count == pool->thread_count;
    uv_mutex_unlock(&pool->lock);
    if (!ended)
        return false;
    for (size_t i = 0; i < pool->thread_count; i++)
        uv_thread_join(&pool->threads[i]);
    for (int i = 0; i < LANE_COUNT; i++)
        free_queue(&pool->waiting[i]);
    free_queue(&pool->finished);
    uv_mutex_destroy(&pool->lock);
    uv_cond_destroy(&pool->work);
    free(pool);
    st->pool = NULL;
    return true;
}
