#include "agent/lib/edges/keyring.h"

#include <string.h>

#include "agent/core/probe.h"
#include "agent/lib/pin.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *const use_names[] = {
    [AG_USE_NONE] = "none",
    [AG_USE_PROBE] = "probe",
    [AG_USE_SIGN] = "sign",
};

const char *ag_key_use_name(enum ag_key_use use)
{
    return (size_t)use < COUNT(use_names) ? use_names[use] : "unknown";
}

static bool use_parse(struct antag_slice text, enum ag_key_use *out)
{
    for (size_t i = 0; i < COUNT(use_names); i++) {
        if (antag_slice_is(text, use_names[i])) {
            *out = (enum ag_key_use)i;
            return true;
        }
    }
    return false;
}

/* ---- what each method takes; what is not in its row is refused */

struct params {
    struct antag_opt_uint handle, profile_id, env, version, bits;
    struct antag_opt_slice use, spki, sealed;
};
#define F(member, kind, min, max) ANTAG_FIELD(struct params, member, kind, true, (min), (max), 0)
#define HANDLE                    F(handle, UINT, 1, INT64_MAX)
#define USE                       F(use, TEXT, 1, 8)
#define IDENTITY                                                                                   \
    HANDLE, F(profile_id, UINT, 1, INT64_MAX), F(env, UINT, 0, AG_ENV_LIVE),                       \
        F(version, UINT, 1, UINT32_MAX)

static const struct antag_field handle_fields[] = {HANDLE};
static const struct antag_field permit_fields[] = {HANDLE, USE};
static const struct antag_field identity_fields[] = {IDENTITY};
static const struct antag_field generate_fields[] = {IDENTITY, F(bits, UINT, 2048, 4096)};
static const struct antag_field adopt_fields[] = {
    IDENTITY, F(sealed, BYTES, AG_SEAL_OVERHEAD + 1, AG_SEALED_KEY_MAX)};
static const struct antag_field pin_fields[] = {
    F(sealed, BYTES, AG_SEAL_OVERHEAD + 1, AG_PIN_SEALED_MAX)};
static const struct antag_field load_fields[] = {
    IDENTITY, F(spki, BYTES, 1, ANTAG_SPKI_MAX),
    F(sealed, BYTES, AG_SEAL_OVERHEAD + 1, AG_SEALED_KEY_MAX), USE};

#define SPEC(fields)                                                                               \
    {                                                                                              \
        fields, COUNT(fields), sizeof(struct params)                                               \
    }
static const struct method {
    const char *name;
    struct antag_params spec;
} methods[] = {
    {"begin", {NULL, 0, sizeof(struct params)}},
    {"load", SPEC(load_fields)},
    {"load_end", {NULL, 0, sizeof(struct params)}},
    {"generate", SPEC(generate_fields)},
    {"adopt", SPEC(adopt_fields)},
    {"permit", SPEC(permit_fields)},
    {"stop", SPEC(handle_fields)},
    {"forget", SPEC(handle_fields)},
    {"destroy", SPEC(handle_fields)},
    {"check", {NULL, 0, sizeof(struct params)}},
    {"pin", SPEC(pin_fields)},
    {"import", SPEC(identity_fields)},
    {"public", {NULL, 0, sizeof(struct params)}},
    {"seal_pin", {NULL, 0, sizeof(struct params)}},
};

static const struct method *find_method(struct antag_slice name)
{
    for (size_t i = 0; i < COUNT(methods); i++)
        if (antag_slice_is(name, methods[i].name))
            return &methods[i];
    return NULL;
}

static void write_field(struct antag_writer *w, const char *name, const struct ag_keyring_params *p)
{
    if (strcmp(name, "handle") == 0)
        antag_w_kv_uint(w, name, p->id.handle);
    else if (strcmp(name, "profile_id") == 0)
        antag_w_kv_uint(w, name, p->id.profile_id);
    else if (strcmp(name, "env") == 0)
        antag_w_kv_uint(w, name, p->id.env);
    else if (strcmp(name, "version") == 0)
        antag_w_kv_uint(w, name, p->id.version);
    else if (strcmp(name, "bits") == 0)
        antag_w_kv_uint(w, name, p->bits);
    else if (strcmp(name, "use") == 0)
        antag_w_kv_str(w, name, ag_key_use_name(p->use));
    else if (strcmp(name, "spki") == 0)
        antag_w_kv_bin(w, name, p->spki);
    else if (strcmp(name, "sealed") == 0)
        antag_w_kv_bin(w, name, p->sealed);
}

void ag_keyring_params_write(struct antag_writer *w, const char *method,
                             const struct ag_keyring_params *p)
{
    const struct method *m = find_method(antag_slice_of(method));

    antag_w_map(w);
    for (size_t i = 0; m != NULL && i < m->spec.count; i++)
        write_field(w, m->spec.fields[i].name, p);
    antag_w_end(w);
}

enum antag_err ag_keyring_params_parse(struct antag_slice method, const msgpack_object *params,
                                       struct ag_keyring_params *out, struct antag_fault *fault)
{
    const struct method *m = find_method(method);
    struct ag_keyring_params made = {.use = AG_USE_NONE};
    struct params p;
    enum antag_err err;

    if (m == NULL)
        return antag_fault_set(fault, ANTAG_ERR_UNKNOWN_METHOD, NULL, "%s", "");
    if ((err = antag_params_parse(&m->spec, false, params, &p, fault)) != ANTAG_OK)
        return err;
    if (p.use.set && !use_parse(p.use.v, &made.use))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "use", "must be none, probe or sign");
    if (p.bits.set && p.bits.v % 1024 != 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "bits", "must be 2048, 3072 or 4096");
    made.id.handle = p.handle.v;
    made.id.profile_id = p.profile_id.v;
    made.id.env = (uint32_t)p.env.v;
    made.id.version = (uint32_t)p.version.v;
    made.bits = (uint32_t)p.bits.v;
    made.spki = p.spki.v;
    made.sealed = p.sealed.v;
    *out = made;
    return ANTAG_OK;
}

/* ---- results */

struct made_params {
    struct antag_opt_slice spki, sealed;
};
static const struct antag_field made_fields[] = {
    ANTAG_FIELD(struct made_params, spki, BYTES, true, 1, ANTAG_SPKI_MAX, 0),
    ANTAG_FIELD(struct made_params, sealed, BYTES, false, AG_SEAL_OVERHEAD + 1, AG_SEALED_KEY_MAX,
                0),
};
static const struct antag_params made_spec = {made_fields, COUNT(made_fields),
                                              sizeof(struct made_params)};

void ag_keyring_made_write(struct antag_writer *w, const struct ag_keyring_made *m)
{
    antag_w_map(w);
    antag_w_kv_bin(w, "spki", (struct antag_slice){m->spki, m->spki_len});
    if (m->sealed_len > 0)
        antag_w_kv_bin(w, "sealed", (struct antag_slice){m->sealed, m->sealed_len});
    antag_w_end(w);
}

enum antag_err ag_keyring_made_parse(const msgpack_object *result, struct ag_keyring_made *out)
{
    struct made_params p;
    enum antag_err err;

    if ((err = antag_params_parse(&made_spec, true, result, &p, NULL)) != ANTAG_OK)
        return err;
    out->spki_len = p.spki.v.len;
    memcpy(out->spki, p.spki.v.p, p.spki.v.len);
    out->sealed_len = p.sealed.v.len;
    if (p.sealed.set)
        memcpy(out->sealed, p.sealed.v.p, p.sealed.v.len);
    return ANTAG_OK;
}

/* ---- probes */

struct probe_params {
    struct antag_opt_uint handle, profile_id, env, version;
    struct antag_opt_slice profile, client_id, time, probe;
};
#define P(member, kind, min, max)                                                                  \
    ANTAG_FIELD(struct probe_params, member, kind, true, (min), (max), 0)
static const struct antag_field probe_fields[] = {
    P(handle, UINT, 1, INT64_MAX),          P(profile_id, UINT, 1, INT64_MAX),
    P(env, UINT, 0, AG_ENV_LIVE),           P(version, UINT, 1, UINT32_MAX),
    P(profile, TEXT, 1, ANTAG_PROFILE_MAX), P(client_id, TEXT, 1, ANTAG_CLIENT_ID_MAX),
    P(time, TEXT, 1, ANTAG_TIME_MAX - 1),   P(probe, TEXT, 1, AG_PROBE_ID_MAX),
};
static const struct antag_params probe_spec = {probe_fields, COUNT(probe_fields),
                                               sizeof(struct probe_params)};

void ag_keyring_probe_write(struct antag_writer *w, const struct ag_keyring_probe *p)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "handle", p->id.handle);
    antag_w_kv_uint(w, "profile_id", p->id.profile_id);
    antag_w_kv_uint(w, "env", p->id.env);
    antag_w_kv_uint(w, "version", p->id.version);
    antag_w_kv_strn(w, "profile", p->profile);
    antag_w_kv_strn(w, "client_id", p->client_id);
    antag_w_kv_strn(w, "time", p->time);
    antag_w_kv_strn(w, "probe", p->probe);
    antag_w_end(w);
}

enum antag_err ag_keyring_probe_parse(const msgpack_object *params, struct ag_keyring_probe *out,
                                      struct antag_fault *fault)
{
    struct probe_params p;
    enum antag_err err = antag_params_parse(&probe_spec, false, params, &p, fault);

    if (err != ANTAG_OK)
        return err;
    *out = (struct ag_keyring_probe){.id = {.handle = p.handle.v,
                                            .profile_id = p.profile_id.v,
                                            .env = (uint32_t)p.env.v,
                                            .version = (uint32_t)p.version.v},
                                     .profile = p.profile.v,
                                     .client_id = p.client_id.v,
                                     .time = p.time.v,
                                     .probe = p.probe.v};
    return ag_probe_check_id(out->probe, fault);
}

struct signature_params {
    struct antag_opt_slice signature;
};
static const struct antag_field signature_fields[] = {
    ANTAG_FIELD(struct signature_params, signature, BYTES, true, 1, ANTAG_SIG_MAX, 0),
};
static const struct antag_params signature_spec = {signature_fields, COUNT(signature_fields),
                                                   sizeof(struct signature_params)};

void ag_keyring_signature_write(struct antag_writer *w, struct antag_slice signature)
{
    antag_w_map(w);
    antag_w_kv_bin(w, "signature", signature);
    antag_w_end(w);
}

enum antag_err ag_keyring_signature_parse(const msgpack_object *result,
                                          struct antag_slice *signature)
{
    struct signature_params p;
    enum antag_err err = antag_params_parse(&signature_spec, true, result, &p, NULL);

    if (err == ANTAG_OK)
        *signature = p.signature.v;
    return err;
}

struct sealed_params {
    struct antag_opt_slice sealed;
};
static const struct antag_field sealed_fields[] = {
    ANTAG_FIELD(struct sealed_params, sealed, BYTES, true, AG_SEAL_OVERHEAD + 1, AG_PIN_SEALED_MAX,
                0),
};
static const struct antag_params sealed_spec = {sealed_fields, COUNT(sealed_fields),
                                                sizeof(struct sealed_params)};

void ag_keyring_sealed_write(struct antag_writer *w, struct antag_slice sealed)
{
    antag_w_map(w);
    antag_w_kv_bin(w, "sealed", sealed);
    antag_w_end(w);
}

enum antag_err ag_keyring_sealed_parse(const msgpack_object *result, struct antag_slice *sealed)
{
    struct sealed_params p;
    enum antag_err err = antag_params_parse(&sealed_spec, true, result, &p, NULL);

    if (err == ANTAG_OK)
        *sealed = p.sealed.v;
    return err;
}
