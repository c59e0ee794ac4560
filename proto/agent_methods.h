/* agent_methods: the methods of agent.sock (payment services), their parameters and where each is
 * allowed. What is not in the table does not exist. PROTOCOL.md says the same in words. */
#ifndef ANTAG_PROTO_AGENT_METHODS_H
#define ANTAG_PROTO_AGENT_METHODS_H

#include "antag/limits.h"
#include "proto/params.h"

/*  name, allowed while locked, needs a grant for */
#define ANTAG_AGENT_METHODS(R)                                                                     \
    R(hello, true, NONE)                                                                           \
    R(sign_request, false, SIGN)                                                                   \
    R(verify_response, false, VERIFY)                                                              \
    R(verify_notification, false, VERIFY)                                                          \
    R(explain, false, EXPLAIN)                                                                     \
    R(watch, false, NONE)                                                                          \
    R(health, true, NONE)

enum antag_agent_method {
#define ANTAG_ROW(name, locked, op) ANTAG_AGENT_##name,
    ANTAG_AGENT_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
        ANTAG_AGENT_METHOD_COUNT
};

/* what every method takes */
#define ANTAG_COMMON_PARAMS                                                                        \
    struct antag_opt_slice trace;                                                                  \
    struct antag_opt_uint deadline_ms;

struct antag_hello_params {
    ANTAG_COMMON_PARAMS
    struct antag_opt_value versions; /* array of integers */
    struct antag_opt_slice client;   /* name and version of the client library, for logs */
};

struct antag_sign_params {
    ANTAG_COMMON_PARAMS
    struct antag_opt_slice profile, method, uri, body;
    struct antag_opt_slice time; /* text as it shall stand in Request-Time */
    struct antag_opt_slice merchant;
};

struct antag_verify_params {
    ANTAG_COMMON_PARAMS
    struct antag_opt_slice profile, method, uri, body;
    struct antag_opt_value headers; /* map: name to text or list of texts */
    struct antag_opt_uint max_age_ms;
};

struct antag_explain_params {
    ANTAG_COMMON_PARAMS
    struct antag_opt_slice kind; /* sign, response, notification */
    struct antag_opt_slice profile, method, uri, body;
    struct antag_opt_slice time, merchant; /* sign */
    struct antag_opt_value headers;        /* the others */
    struct antag_opt_uint max_age_ms;
};

struct antag_health_params {
    ANTAG_COMMON_PARAMS
};

struct antag_agent_method_row {
    const char *name;
    bool when_locked;
    struct antag_params params;
};

/* Row of the method called `name`, or NULL. */
const struct antag_agent_method_row *antag_agent_method(struct antag_slice name,
                                                        enum antag_agent_method *which);

#endif
