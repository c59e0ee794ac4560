/* fetching: a signed call to Antom's gateway, and what it answered (edge steward-courier). The courier does not judge the
 * answer: whether it is Antom's its signature tells.
 *
 *   steward -> courier  request fetch {gateway, uri, client_id, time, signature, body}
 *                       -> {status, client_id, time, signature, body}     headers that are not there are ""
 *                       errors: GATEWAY (no answer over verified TLS; the text says why)
 *
 * Pure but for the bytes it is given. */
#ifndef AG_EDGES_FETCHING_H
#define AG_EDGES_FETCHING_H

#include <msgpack.h>

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"
#include "proto/writer.h"

#define AG_FETCH_BODY_MAX   1024        /* of a call */
#define AG_FETCH_ANSWER_MAX (64 * 1024) /* of an answer */
#define AG_FETCH_HEADER_MAX 2304        /* a header's value */

struct ag_fetching {
    struct antag_slice gateway; /* https://HOST or https://HOST:PORT */
    struct antag_slice uri;     /* begins with '/' */
    struct antag_slice client_id, time, signature, body;
};
void ag_fetching_write(struct antag_writer *w, const struct ag_fetching *f);
/* Views borrow from `o`. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_fetching_parse(const msgpack_object *o, struct ag_fetching *out,
                                                  struct antag_fault *fault);

struct ag_fetched {
    uint64_t status; /* of HTTP */
    struct antag_slice client_id, time, signature, body;
};
void ag_fetched_write(struct antag_writer *w, const struct ag_fetched *f);
/* Views borrow from `o`. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_fetched_parse(const msgpack_object *o, struct ag_fetched *out,
                                                 struct antag_fault *fault);

#endif
