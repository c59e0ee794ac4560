/* used: how often merchants were signed for, from the front into the registry. The record has every signature; this is
 * the count of it, which may miss the last minute of a front that was killed. */
#include "agent/lib/log.h"
#include "agent/steward/steward.h"

#define ASK_MS 2000

/* [id, count, last_ms, ...] into the rows, in one transaction. */
static enum antag_err keep(struct ag_steward *st, const msgpack_object *used,
                           struct antag_fault *fault)
{
    struct ag_row_merchant row;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK)
        err = ag_txn_write_quiet(&t, fault);
    for (uint32_t i = 0; err == ANTAG_OK && i + 2 < used->via.array.size; i += 3) {
        const msgpack_object *v = &used->via.array.ptr[i];

        if (v[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
            v[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER ||
            v[2].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            continue;
        err = ag_registry_get_merchant(st->reg, v[0].via.u64, &row, fault);
        if (err == ANTAG_ERR_NOT_FOUND) { /* removed meanwhile */
            err = ANTAG_OK;
            continue;
        }
        row.used += v[1].via.u64;
        row.used_at_ms = (int64_t)v[2].via.u64;
        if (err == ANTAG_OK)
            err = ag_registry_put_merchant(st->reg, &row, fault);
    }
    if (err == ANTAG_OK)
        err = ag_txn_commit(&t, fault);
    ag_txn_end(&t);
    return err;
}

/* *more: there may be more. */
static enum antag_err take(struct ag_steward *st, struct ag_chan *front, bool *more,
                           struct antag_fault *fault)
{
    struct ag_reply reply = {0};
    const msgpack_object *used = NULL;
    enum antag_err err = ag_call(front, "used", NULL, 0, ASK_MS, &reply);

    *more = false;
    if (err != ANTAG_OK)
        *fault = reply.fault;
    else if ((used = antag_object_get(reply.result, "used")) == NULL ||
             used->type != MSGPACK_OBJECT_ARRAY)
        err = antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the front's answer has no counts");
    if (err == ANTAG_OK && used->via.array.size > 0) {
        *more = used->via.array.size >= 3 * AG_USED_MAX;
        err = keep(st, used, fault);
    }
    ag_reply_fini(&reply);
    return err;
}

void ag_used_pass(struct ag_steward *st)
{
    struct antag_fault fault = {0};
    struct ag_chan *front;
    uint64_t gen;
    size_t merchants;
    bool more = true;
    enum antag_err err = ANTAG_OK;

    uv_mutex_lock(&st->reg_lock);
    merchants = st->reg == NULL ? 0 : ag_registry_merchant_count(st->reg);
    uv_mutex_unlock(&st->reg_lock);
    if (merchants == 0 || (front = ag_front_hold(st, &gen)) == NULL)
        return;
    while (err == ANTAG_OK && more)
        err = take(st, front, &more, &fault);
    ag_chan_release(front);
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "merchants.not_counted", &fault);
}
