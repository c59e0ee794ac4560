/* op_status: how the agent stands. Works in every state, and asks no lock that work could hold. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/steward/attention.h"
#include "agent/steward/ops.h"
#include "agent/steward/rings.h"

#define ASK_MS 2000

static void copy_text(struct antag_writer *w, const msgpack_object *map, const char *key)
{
    char text[64];

    if (!antag_object_text(map, key, text, sizeof text))
        text[0] = '\0';
    antag_w_kv_str(w, key, text);
}

static void copy_int(struct antag_writer *w, const msgpack_object *map, const char *key)
{
    int64_t v = 0;

    (void)antag_object_int(map, key, &v);
    antag_w_kv_int(w, key, v);
}

static void write_roles(struct antag_writer *w, const msgpack_object *list)
{
    antag_w_key(w, "roles");
    antag_w_array(w);
    for (uint32_t i = 0;
         list != NULL && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size; i++) {
        const msgpack_object *role = &list->via.array.ptr[i];

        antag_w_map(w);
        copy_text(w, role, "role");
        copy_text(w, role, "name");
        copy_int(w, role, "pid");
        copy_text(w, role, "state");
        copy_int(w, role, "restarts");
        copy_int(w, role, "since_ms");
        antag_w_end(w);
    }
    antag_w_end(w);
}

void ag_seal_name(struct ag_steward *st, char out[32], bool *by_recovery)
{
    struct ag_reply reply = {0};
    const msgpack_object *recovery;

    out[0] = '\0';
    if (by_recovery != NULL)
        *by_recovery = false;
    if (ag_call(ag_role_control(st->role), "roles", NULL, 0, ASK_MS, &reply) == ANTAG_OK) {
        (void)antag_object_text(reply.result, "seal", out, 32);
        recovery = antag_object_get(reply.result, "by_recovery");
        if (by_recovery != NULL && recovery != NULL && recovery->type == MSGPACK_OBJECT_BOOLEAN)
            *by_recovery = recovery->via.boolean;
    }
    ag_reply_fini(&reply);
}

/* Roles and seal, from the supervisor. */
static void write_processes(struct ag_steward *st, struct antag_writer *w)
{
    struct ag_reply reply = {0};
    char seal[32] = "";

    if (ag_call(ag_role_control(st->role), "roles", NULL, 0, ASK_MS, &reply) != ANTAG_OK)
        reply.result = NULL;
    if (reply.result != NULL)
        (void)antag_object_text(reply.result, "seal", seal, sizeof seal);
    antag_w_kv_str(w, "seal", seal);
    write_roles(w, reply.result == NULL ? NULL : antag_object_get(reply.result, "roles"));
    ag_reply_fini(&reply);
}

static void write_ability(struct antag_writer *w, const char *what, const char *what_why,
                          enum antag_err err, const char *why)
{
    antag_w_kv_str(w, what, err == ANTAG_OK ? "ready" : antag_err_name(err));
    if (err != ANTAG_OK)
        antag_w_kv_str(w, what_why, why);
}

/* What the book says of signing, and then its keyring. */
static void write_signing(struct antag_writer *w, const struct ag_snap_profile *row,
                          const struct ag_ring_view *ring)
{
    if (row->handle == 0)
        write_ability(w, "sign", "sign_why", row->sign_err, row->sign_why);
    else if (ring != NULL && !ag_ring_is_ready(ring))
        write_ability(w, "sign", "sign_why", ANTAG_ERR_BACKEND, ring->why);
    else
        write_ability(w, "sign", "sign_why", ANTAG_OK, "");
}

static void write_profile(struct ag_steward *st, struct antag_writer *w, const struct ag_book *b,
                          const struct ag_row_profile *p, const struct ag_ring_views *rings)
{
    const struct ag_row_key *active = ag_book_active_key(b, p->id);
    struct ag_snap_profile row;
    struct ag_sign_source source;
    char why[160];

    ag_sign_source_of(st, active, b->epoch, &source);
    ag_desired_profile(b, p, &source, NULL, &row);
    antag_w_map(w);
    antag_w_kv_str(w, "profile", p->name);
    if (p->client_id[0] == '\0') {
        snprintf(why, sizeof why, "no client id; `antomctl profile set %s --client-id ID`",
                 p->name);
        write_ability(w, "sign", "sign_why", ANTAG_ERR_PROFILE_INCOMPLETE, why);
        write_ability(w, "verify", "verify_why", ANTAG_ERR_PROFILE_INCOMPLETE, why);
    } else {
        write_signing(w, &row, active == NULL ? NULL : ag_rings_find(rings, active->keyring));
        snprintf(why, sizeof why, "no Antom key; `antomctl antom-key add %s`", p->name);
        write_ability(w, "verify", "verify_why",
                      ag_desired_has_antom_key(b, p->id) ? ANTAG_OK : ANTAG_ERR_NO_ANTOM_KEY, why);
    }
    antag_w_end(w);
}

enum antag_err ag_op_status(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                            struct antag_fault *fault)
{
    const struct ag_book *b = ag_book_hold(st);
    char reason[256];
    enum ag_agent_state state = ag_state_public(st, reason);
    struct ag_ring_views rings = {.count = 0};
    int64_t since_ms;

    (void)op;
    (void)fault;
    uv_mutex_lock(&st->lock);
    since_ms = st->state_since_ms;
    uv_mutex_unlock(&st->lock);
    antag_w_map(w);
    antag_w_kv_str(w, "state", ag_agent_state_name(state));
    if (reason[0] != '\0')
        antag_w_kv_str(w, "reason", reason);
    antag_w_kv_str(w, "version", ANTAG_VERSION);
    antag_w_kv_int(w, "pid", getppid()); /* of the supervisor: the agent, for its operator */
    antag_w_kv_uint(w, "epoch", b == NULL ? 0 : b->epoch);
    if (b != NULL && b->behind != 0)
        antag_w_kv_uint(w, "record_epoch", b->behind);
    antag_w_kv_int(w, "since_ms", since_ms);
    antag_w_kv_str(w, "home", st->home.dir);
    write_processes(st, w);
    if (b != NULL)
        ag_rings_look(st, &rings);
    ag_rings_write(w, &rings);
    ag_attention_write(st, b, state, reason, ag_clock_wall_ms(), w);
    antag_w_key(w, "profiles");
    antag_w_array(w);
    for (size_t i = 0; b != NULL && i < b->profile_count; i++)
        write_profile(st, w, b, &b->profiles[i], &rings);
    antag_w_end(w);
    antag_w_end(w);
    ag_book_release(st, b);
    return ANTAG_OK;
}

enum antag_err ag_op_version(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    (void)st;
    (void)op;
    (void)fault;
    antag_w_map(w);
    antag_w_kv_str(w, "version", ANTAG_VERSION);
    antag_w_kv_uint(w, "protocol", ANTAG_PROTOCOL_VERSION);
    antag_w_kv_uint(w, "schema", AG_REGISTRY_SCHEMA);
    antag_w_end(w);
    return ANTAG_OK;
}
