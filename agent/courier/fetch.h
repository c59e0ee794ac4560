/* fetch: one signed call to Antom's gateway, by libcurl: https alone, the server's certificate checked, nothing followed. */
#ifndef AG_COURIER_FETCH_H
#define AG_COURIER_FETCH_H

#include "agent/lib/conf.h"
#include "agent/lib/edges/fetching.h"

/* what came back; made by ag_fetch, large */
struct ag_fetch_answer {
    long status;
    char client_id[AG_FETCH_HEADER_MAX + 1], time[AG_FETCH_HEADER_MAX + 1];
    char signature[AG_FETCH_HEADER_MAX + 1];
    size_t len;
    uint8_t body[AG_FETCH_ANSWER_MAX];
};

/* Waits, [rotation] probe_timeout_ms at most. Any thread. errors: GATEWAY; the text says why. */
ANTAG_MUST_CHECK enum antag_err ag_fetch(const struct ag_conf *conf, const struct ag_fetching *f,
                                         struct ag_fetch_answer *out, struct antag_fault *fault);

#endif
