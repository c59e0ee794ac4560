#include "agent/lib/edges/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "proto/params.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *const table_names[] = {
    [AG_SNAP_PROFILE] = "profile", [AG_SNAP_ANTOM_KEY] = "antom_key", [AG_SNAP_GRANT] = "grant",
    [AG_SNAP_FENCE] = "fence",     [AG_SNAP_MERCHANT] = "merchant",
};

/* ---- writing */

static void write_profile(struct antag_writer *w, const struct ag_snap_profile *p)
{
    antag_w_kv_str(w, "name", p->name);
    antag_w_kv_uint(w, "env", p->env);
    antag_w_kv_str(w, "client_id", p->client_id);
    antag_w_kv_str(w, "gateway", p->gateway);
    antag_w_kv_int(w, "response_max_age_ms", p->response_max_age_ms);
    antag_w_kv_int(w, "notification_max_age_ms", p->notification_max_age_ms);
    antag_w_kv_uint(w, "handle", p->handle);
    antag_w_kv_uint(w, "version", p->version);
    antag_w_kv_uint(w, "key_version", p->key_version);
    antag_w_kv_str(w, "keyring", p->keyring);
    antag_w_kv_uint(w, "sign_err", p->sign_err);
    antag_w_kv_str(w, "sign_why", p->sign_why);
}

static void write_antom_key(struct antag_writer *w, const struct ag_snap_antom_key *k)
{
    antag_w_kv_uint(w, "profile_id", k->profile_id);
    antag_w_kv_uint(w, "version", k->version);
    antag_w_kv_uint(w, "state", k->state);
    antag_w_kv_bin(w, "spki", (struct antag_slice){k->spki, k->spki_len});
}

static void write_globs(struct antag_writer *w, const char *key, char *const *globs, size_t count)
{
    antag_w_key(w, key);
    antag_w_array(w);
    for (size_t i = 0; i < count; i++)
        antag_w_str(w, globs[i]);
    antag_w_end(w);
}

static void write_grant(struct antag_writer *w, const struct ag_grant *g)
{
    antag_w_kv_uint(w, "profile_id", g->profile_id);
    antag_w_kv_uint(w, "who", g->who);
    antag_w_kv_uint(w, "number", g->number);
    antag_w_kv_str(w, "unit", g->unit);
    antag_w_kv_uint(w, "ops", g->ops);
    antag_w_kv_bool(w, "query", g->query);
    antag_w_kv_uint(w, "max_body", g->max_body);
    antag_w_kv_uint(w, "rate", g->rate.rate);
    antag_w_kv_uint(w, "burst", g->rate.burst);
    write_globs(w, "methods", g->methods, g->method_count);
    write_globs(w, "paths", g->paths, g->path_count);
    write_globs(w, "merchants", g->merchants, g->merchant_count);
}

static void write_fence(struct antag_writer *w, const struct ag_snap_fence *f)
{
    antag_w_kv_uint(w, "profile_id", f->profile_id);
    antag_w_kv_str(w, "path", f->path);
}

static void write_merchant(struct antag_writer *w, const struct ag_snap_merchant *m)
{
    antag_w_kv_uint(w, "profile_id", m->profile_id);
    antag_w_kv_str(w, "name", m->name);
    antag_w_kv_bool(w, "suspended", m->suspended);
    antag_w_kv_bin(w, "sealed", (struct antag_slice){m->sealed, m->sealed_len});
}

void ag_snap_row_write(struct antag_writer *w, const struct ag_snap_row *row)
{
    antag_w_map(w);
    antag_w_kv_str(w, "table", table_names[row->table]);
    antag_w_kv_uint(w, "id", row->id);
    antag_w_kv_bool(w, "gone", row->gone);
    if (!row->gone) {
        switch (row->table) {
        case AG_SNAP_PROFILE:
            write_profile(w, &row->u.profile);
            break;
        case AG_SNAP_ANTOM_KEY:
            write_antom_key(w, &row->u.antom_key);
            break;
        case AG_SNAP_GRANT:
            write_grant(w, &row->u.grant);
            break;
        case AG_SNAP_FENCE:
            write_fence(w, &row->u.fence);
            break;
        case AG_SNAP_MERCHANT:
            write_merchant(w, &row->u.merchant);
            break;
        }
    }
    antag_w_end(w);
}

/* ---- reading: each table's keys, all of them required */

#define HEAD                                                                                       \
    struct antag_opt_slice table;                                                                  \
    struct antag_opt_uint id;                                                                      \
    struct antag_opt_bool gone
#define F(type, member, kind, min, max, each)                                                      \
    ANTAG_FIELD(struct type, member, kind, true, (min), (max), (each))
#define HEAD_FIELDS(type)                                                                          \
    F(type, table, TEXT, 1, 16, 0), F(type, id, UINT, 1, INT64_MAX, 0), F(type, gone, BOOL, 0, 0, 0)
#define SPEC(fields, type)                                                                         \
    {                                                                                              \
        fields, COUNT(fields), sizeof(struct type)                                                 \
    }
#define TEXT_OF(s, member) (sizeof(((struct s *)NULL)->member) - 1) /* what it holds besides NUL */

struct gone_params {
    HEAD;
};
static const struct antag_field gone_fields[] = {HEAD_FIELDS(gone_params)};
static const struct antag_params gone_spec = SPEC(gone_fields, gone_params);

struct profile_params {
    HEAD;
    struct antag_opt_slice name, client_id, gateway, keyring, sign_why;
    struct antag_opt_uint env, handle, version, key_version, sign_err;
    struct antag_opt_int response_max_age_ms, notification_max_age_ms;
};
#define P(member, kind, min, max) F(profile_params, member, kind, min, max, 0)
static const struct antag_field profile_fields[] = {
    HEAD_FIELDS(profile_params),
    P(name, TEXT, 1, ANTAG_PROFILE_MAX),
    P(env, UINT, 0, AG_ENV_LIVE),
    P(client_id, TEXT, 0, ANTAG_CLIENT_ID_MAX),
    P(gateway, TEXT, 0, ANTAG_URL_MAX),
    P(response_max_age_ms, INT, 0, 0),
    P(notification_max_age_ms, INT, 0, 0),
    P(handle, UINT, 0, INT64_MAX),
    P(version, UINT, 0, UINT32_MAX),
    P(key_version, UINT, 0, UINT32_MAX),
    P(keyring, TEXT, 0, ANTAG_KEYRING_MAX),
    P(sign_err, UINT, 0, 999),
    P(sign_why, TEXT, 0, TEXT_OF(ag_snap_profile, sign_why)),
};
#undef P
static const struct antag_params profile_spec = SPEC(profile_fields, profile_params);

struct antom_key_params {
    HEAD;
    struct antag_opt_uint profile_id, version, state;
    struct antag_opt_slice spki;
};
static const struct antag_field antom_key_fields[] = {
    HEAD_FIELDS(antom_key_params),
    F(antom_key_params, profile_id, UINT, 1, INT64_MAX, 0),
    F(antom_key_params, version, UINT, 1, UINT32_MAX, 0),
    F(antom_key_params, state, UINT, 0, AG_ANTOM_KEY_STATE_COUNT - 1, 0),
    F(antom_key_params, spki, BYTES, 1, ANTAG_SPKI_MAX, 0),
};
static const struct antag_params antom_key_spec = SPEC(antom_key_fields, antom_key_params);

struct grant_params {
    HEAD;
    struct antag_opt_uint profile_id, who, number, ops, max_body, rate, burst;
    struct antag_opt_slice unit;
    struct antag_opt_bool query;
    struct antag_opt_value methods, paths, merchants;
};
static const struct antag_field grant_fields[] = {
    HEAD_FIELDS(grant_params),
    F(grant_params, profile_id, UINT, 1, INT64_MAX, 0),
    F(grant_params, who, UINT, 0, AG_WHO_UNIT, 0),
    F(grant_params, number, UINT, 0, UINT32_MAX, 0),
    F(grant_params, unit, TEXT, 0, ANTAG_UNIT_MAX, 0),
    F(grant_params, ops, UINT, 0, AG_OP_SIGN | AG_OP_VERIFY | AG_OP_EXPLAIN, 0),
    F(grant_params, query, BOOL, 0, 0, 0),
    F(grant_params, max_body, UINT, 0, ANTAG_BODY_MAX, 0),
    F(grant_params, rate, UINT, 0, ANTAG_RATE_MAX, 0),
    F(grant_params, burst, UINT, 0, ANTAG_RATE_MAX, 0),
    F(grant_params, methods, TEXTS, 0, ANTAG_GLOBS_PER_GRANT, ANTAG_GLOB_MAX),
    F(grant_params, paths, TEXTS, 0, ANTAG_GLOBS_PER_GRANT, ANTAG_GLOB_MAX),
    F(grant_params, merchants, TEXTS, 0, ANTAG_GLOBS_PER_GRANT, ANTAG_MERCHANT_MAX),
};
static const struct antag_params grant_spec = SPEC(grant_fields, grant_params);

struct fence_params {
    HEAD;
    struct antag_opt_uint profile_id;
    struct antag_opt_slice path;
};
static const struct antag_field fence_fields[] = {
    HEAD_FIELDS(fence_params),
    F(fence_params, profile_id, UINT, 1, INT64_MAX, 0),
    F(fence_params, path, TEXT, 1, ANTAG_GLOB_MAX, 0),
};
static const struct antag_params fence_spec = SPEC(fence_fields, fence_params);

struct merchant_params {
    HEAD;
    struct antag_opt_uint profile_id;
    struct antag_opt_slice name, sealed;
    struct antag_opt_bool suspended;
};
static const struct antag_field merchant_fields[] = {
    HEAD_FIELDS(merchant_params),
    F(merchant_params, profile_id, UINT, 1, INT64_MAX, 0),
    F(merchant_params, name, TEXT, 1, ANTAG_MERCHANT_MAX, 0),
    F(merchant_params, suspended, BOOL, 0, 0, 0),
    F(merchant_params, sealed, BYTES, 1, AG_TOKEN_SEALED_MAX, 0),
};
static const struct antag_params merchant_spec = SPEC(merchant_fields, merchant_params);

static enum antag_err malformed(const char *field, const char *text, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field, "%s", text);
}

static enum antag_err read_profile(const msgpack_object *o, struct ag_snap_profile *out,
                                   struct antag_fault *fault)
{
    struct profile_params p;
    enum antag_err err;

    if ((err = antag_params_parse(&profile_spec, false, o, &p, fault)) != ANTAG_OK)
        return err;
    if (!antag_slice_copy(p.name.v, out->name, sizeof out->name) ||
        !antag_slice_copy(p.client_id.v, out->client_id, sizeof out->client_id) ||
        !antag_slice_copy(p.gateway.v, out->gateway, sizeof out->gateway) ||
        !antag_slice_copy(p.keyring.v, out->keyring, sizeof out->keyring) ||
        !antag_slice_copy(p.sign_why.v, out->sign_why, sizeof out->sign_why))
        return malformed("name", "a text of the profile is too long", fault);
    if (p.response_max_age_ms.v < -1 || p.notification_max_age_ms.v < -1)
        return malformed("response_max_age_ms", "a maximum age is -1, 0 or more", fault);
    if (!antag_err_is_known(p.sign_err.v))
        return malformed("sign_err", "is not a number of the status table", fault);
    out->env = (enum ag_env)p.env.v;
    out->response_max_age_ms = p.response_max_age_ms.v;
    out->notification_max_age_ms = p.notification_max_age_ms.v;
    out->handle = p.handle.v;
    out->version = (uint32_t)p.version.v;
    out->key_version = (uint32_t)p.key_version.v;
    out->sign_err = (enum antag_err)p.sign_err.v;
    /* without a key there is always a reason: nobody may take its absence for success */
    if (out->handle == 0 && out->sign_err == ANTAG_OK)
        out->sign_err = ANTAG_ERR_NO_ACTIVE_KEY;
    return ANTAG_OK;
}

static enum antag_err read_antom_key(const msgpack_object *o, struct ag_snap_antom_key *out,
                                     struct antag_fault *fault)
{
    struct antom_key_params p;
    enum antag_err err;

    if ((err = antag_params_parse(&antom_key_spec, false, o, &p, fault)) != ANTAG_OK)
        return err;
    out->profile_id = p.profile_id.v;
    out->version = (uint32_t)p.version.v;
    out->state = (enum ag_antom_key_state)p.state.v;
    out->spki_len = p.spki.v.len;
    memcpy(out->spki, p.spki.v.p, p.spki.v.len);
    return ANTAG_OK;
}

/* *globs and *count hold what was made, after an error too. */
static enum antag_err read_globs(const msgpack_object *o, char ***globs, size_t *count)
{
    uint32_t size = o->via.array.size;

    if (size == 0)
        return ANTAG_OK;
    *globs = calloc(size, sizeof **globs);
    if (*globs == NULL)
        return ANTAG_ERR_NO_MEMORY;
    for (uint32_t i = 0; i < size; i++) {
        struct antag_slice s;

        if (!antag_object_slice(&o->via.array.ptr[i], &s))
            return ANTAG_ERR_BAD_PARAM;
        (*globs)[i] = malloc(s.len + 1);
        if ((*globs)[i] == NULL)
            return ANTAG_ERR_NO_MEMORY;
        (*count)++;
        if (!antag_slice_copy(s, (*globs)[i], s.len + 1))
            return ANTAG_ERR_BAD_PARAM;
    }
    return ANTAG_OK;
}

static enum antag_err read_grant(const msgpack_object *o, struct ag_grant *out,
                                 struct antag_fault *fault)
{
    struct grant_params p;
    enum antag_err err;

    if ((err = antag_params_parse(&grant_spec, false, o, &p, fault)) != ANTAG_OK)
        return err;
    if (!antag_slice_copy(p.unit.v, out->unit, sizeof out->unit))
        return malformed("unit", "the unit's name is too long", fault);
    /* an empty name would be that of every caller without a unit */
    if ((p.who.v == AG_WHO_UNIT) != (p.unit.v.len > 0))
        return malformed("unit", "is given for a grant to a unit, and only there", fault);
    if ((p.rate.v == 0) != (p.burst.v == 0))
        return malformed("burst", "stands with a rate, and only there", fault);
    out->rate = (struct ag_bucket){(uint32_t)p.rate.v, (uint32_t)p.burst.v};
    out->id = p.id.v;
    out->profile_id = p.profile_id.v;
    out->who = (enum ag_who)p.who.v;
    out->number = (uint32_t)p.number.v;
    out->ops = (unsigned)p.ops.v;
    out->query = p.query.v;
    out->max_body = p.max_body.v;
    if ((err = read_globs(&p.methods.v, &out->methods, &out->method_count)) != ANTAG_OK ||
        (err = read_globs(&p.paths.v, &out->paths, &out->path_count)) != ANTAG_OK ||
        (err = read_globs(&p.merchants.v, &out->merchants, &out->merchant_count)) != ANTAG_OK)
        return antag_fault_set(fault, err, "paths", "%s", "");
    return ANTAG_OK;
}

static enum antag_err read_fence(const msgpack_object *o, struct ag_snap_fence *out,
                                 struct antag_fault *fault)
{
    struct fence_params p;
    enum antag_err err;

    if ((err = antag_params_parse(&fence_spec, false, o, &p, fault)) != ANTAG_OK)
        return err;
    if (!antag_slice_copy(p.path.v, out->path, sizeof out->path))
        return malformed("path", "the path is too long", fault);
    out->profile_id = p.profile_id.v;
    return ANTAG_OK;
}

static enum antag_err read_merchant(const msgpack_object *o, struct ag_snap_merchant *out,
                                    struct antag_fault *fault)
{
    struct merchant_params p;
    enum antag_err err;

    if ((err = antag_params_parse(&merchant_spec, false, o, &p, fault)) != ANTAG_OK)
        return err;
    if (!antag_slice_copy(p.name.v, out->name, sizeof out->name))
        return malformed("name", "the merchant's name is too long", fault);
    out->profile_id = p.profile_id.v;
    out->suspended = p.suspended.v;
    out->sealed_len = p.sealed.v.len;
    memcpy(out->sealed, p.sealed.v.p, p.sealed.v.len);
    return ANTAG_OK;
}

static bool find_table(const msgpack_object *o, enum ag_snap_table *out)
{
    char name[17];

    if (!antag_object_text(o, "table", name, sizeof name))
        return false;
    for (size_t i = 0; i < COUNT(table_names); i++) {
        if (strcmp(table_names[i], name) == 0) {
            *out = (enum ag_snap_table)i;
            return true;
        }
    }
    return false;
}

enum antag_err ag_snap_row_parse(const msgpack_object *o, struct ag_snap_row *row,
                                 struct antag_fault *fault)
{
    struct gone_params head;
    enum antag_err err;

    memset(row, 0, sizeof *row);
    if (!find_table(o, &row->table))
        return malformed("table", "must be profile, antom_key, grant, fence or merchant", fault);
    (void)antag_object_bool(o, "gone", &row->gone);
    (void)antag_object_uint(o, "id",
                            &row->id); /* whether it is there, and once, is checked below */
    if (row->gone) {
        err = antag_params_parse(&gone_spec, false, o, &head, fault);
        return err;
    }
    switch (row->table) {
    case AG_SNAP_PROFILE:
        return read_profile(o, &row->u.profile, fault);
    case AG_SNAP_ANTOM_KEY:
        return read_antom_key(o, &row->u.antom_key, fault);
    case AG_SNAP_GRANT:
        return read_grant(o, &row->u.grant, fault);
    case AG_SNAP_FENCE:
        return read_fence(o, &row->u.fence, fault);
    case AG_SNAP_MERCHANT:
        return read_merchant(o, &row->u.merchant, fault);
    }
    return ANTAG_ERR_BAD_PARAM;
}

void ag_snap_row_fini(struct ag_snap_row *row)
{
    struct ag_grant *g;

    if (row == NULL || row->gone || row->table != AG_SNAP_GRANT)
        return;
    g = &row->u.grant;
    for (size_t i = 0; i < g->method_count; i++)
        free(g->methods[i]);
    for (size_t i = 0; i < g->path_count; i++)
        free(g->paths[i]);
    for (size_t i = 0; i < g->merchant_count; i++)
        free(g->merchants[i]);
    free(g->methods);
    free(g->paths);
    free(g->merchants);
    memset(g, 0, sizeof *g);
}
