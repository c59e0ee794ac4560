#include "proto/agent_methods.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
/* what every method takes; stands last in its table, so that refusals list it last */
#define COMMON(type)                                                                               \
    ANTAG_FIELD(type, trace, TEXT, false, 0, ANTAG_TRACE_MAX, 0),                                  \
        ANTAG_FIELD(type, deadline_ms, UINT, false, 1, ANTAG_DEADLINE_MAX_MS, 0)

static const struct antag_field hello_fields[] = {
    ANTAG_FIELD(struct antag_hello_params, versions, ARRAY, false, 1, ANTAG_VERSIONS_MAX, 0),
    ANTAG_FIELD(struct antag_hello_params, client, TEXT, false, 0, ANTAG_CLIENT_MAX, 0),
    COMMON(struct antag_hello_params),
};

static const struct antag_field sign_fields[] = {
    ANTAG_FIELD(struct antag_sign_params, profile, TEXT, true, 1, ANTAG_PROFILE_MAX, 0),
    ANTAG_FIELD(struct antag_sign_params, method, TEXT, true, 1, ANTAG_METHOD_MAX, 0),
    ANTAG_FIELD(struct antag_sign_params, uri, TEXT, true, 1, ANTAG_URI_MAX, 0),
    ANTAG_FIELD(struct antag_sign_params, body, BYTES, true, 0, ANTAG_BODY_MAX, 0),
    ANTAG_FIELD(struct antag_sign_params, time, TEXT, false, 1, ANTAG_TIME_MAX, 0),
    ANTAG_FIELD(struct antag_sign_params, merchant, TEXT, false, 1, ANTAG_MERCHANT_MAX, 0),
    COMMON(struct antag_sign_params),
};

/* `headers` may be absent: that is a message without a signature, and verifying says so */
static const struct antag_field verify_fields[] = {
    ANTAG_FIELD(struct antag_verify_params, profile, TEXT, true, 1, ANTAG_PROFILE_MAX, 0),
    ANTAG_FIELD(struct antag_verify_params, method, TEXT, true, 1, ANTAG_METHOD_MAX, 0),
    ANTAG_FIELD(struct antag_verify_params, uri, TEXT, true, 1, ANTAG_URI_MAX, 0),
    ANTAG_FIELD(struct antag_verify_params, headers, MAP, false, 0, ANTAG_HEADERS_MAX, 0),
    ANTAG_FIELD(struct antag_verify_params, body, BYTES, true, 0, ANTAG_BODY_MAX, 0),
    ANTAG_FIELD(struct antag_verify_params, max_age_ms, UINT, false, 0, ANTAG_AGE_MAX_MS, 0),
    COMMON(struct antag_verify_params),
};

static const struct antag_field explain_fields[] = {
    ANTAG_FIELD(struct antag_explain_params, kind, TEXT, true, 1, 16, 0),
    ANTAG_FIELD(struct antag_explain_params, profile, TEXT, true, 1, ANTAG_PROFILE_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, method, TEXT, true, 1, ANTAG_METHOD_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, uri, TEXT, true, 1, ANTAG_URI_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, body, BYTES, true, 0, ANTAG_BODY_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, time, TEXT, false, 1, ANTAG_TIME_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, merchant, TEXT, false, 1, ANTAG_MERCHANT_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, headers, MAP, false, 0, ANTAG_HEADERS_MAX, 0),
    ANTAG_FIELD(struct antag_explain_params, max_age_ms, UINT, false, 0, ANTAG_AGE_MAX_MS, 0),
    COMMON(struct antag_explain_params),
};

static const struct antag_field health_fields[] = {
    COMMON(struct antag_health_params),
};

#define SPEC(name)                                                                                 \
    {                                                                                              \
        name##_fields, COUNT(name##_fields), sizeof(struct antag_##name##_params)                  \
    }

/* which fields each method reads; a method without a line here does not compile */
#define FIELDS_hello               SPEC(hello)
#define FIELDS_sign_request        SPEC(sign)
#define FIELDS_verify_response     SPEC(verify)
#define FIELDS_verify_notification SPEC(verify)
#define FIELDS_explain             SPEC(explain)
#define FIELDS_watch               SPEC(health)
#define FIELDS_health              SPEC(health)

static const struct antag_agent_method_row rows[] = {
#define ANTAG_ROW(name, locked, op) [ANTAG_AGENT_##name] = {#name, locked, FIELDS_##name},
    ANTAG_AGENT_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
};

const struct antag_agent_method_row *antag_agent_method(struct antag_slice name,
                                                        enum antag_agent_method *which)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!antag_slice_is(name, rows[i].name))
            continue;
        *which = (enum antag_agent_method)i;
        return &rows[i];
    }
    return NULL;
}
