/* message: the three shapes that travel, request, answer and event, their reader and writer together.
 *
 *     request  [0, id, method, params]     answer  [1, id, error, result]     event  [2, name, params]
 *
 * The same shapes go over agent.sock, staff.sock and, without the length prefix, between roles.
 * A decoder owns the memory of what it decoded; views stay valid until its next use. One thread. */
#ifndef ANTAG_PROTO_MESSAGE_H
#define ANTAG_PROTO_MESSAGE_H

#include <msgpack.h>

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"
#include "proto/writer.h"

enum antag_shape { ANTAG_REQUEST = 0, ANTAG_ANSWER = 1, ANTAG_EVENT = 2 };

struct antag_decoder {
    msgpack_zone zone;
};
ANTAG_MUST_CHECK enum antag_err antag_decoder_init(struct antag_decoder *d);
void antag_decoder_fini(struct antag_decoder *d);

/* one message, decoded; borrows the bytes it was read from and the decoder's memory */
struct antag_message {
    enum antag_shape shape;
    bool has_id; /* false: an event, or a request whose id could not be read */
    uint32_t id;
    struct antag_slice name;  /* method or event name */
    msgpack_object params;    /* request, event: a map (nil and [] are turned into an empty map) */
    bool failed;              /* answer: error is not nil */
    struct antag_fault fault; /* answer that failed: what its error map says */
    struct antag_slice class_name; /* answer that failed: its class, for codes not in our table */
    msgpack_object result;         /* answer that did not fail */
};

/* Check (proto/check.h) and decode one value. errors: BAD_FRAME; out->has_id tells whether the id of
 * a refused request could be read, so that the refusal can be addressed. */
ANTAG_MUST_CHECK enum antag_err antag_message_parse(struct antag_decoder *d,
                                                    struct antag_slice bytes,
                                                    struct antag_message *out,
                                                    struct antag_fault *fault);

/* Writers of the outer shape; the caller writes params or result as exactly one value in between:
 *     antag_m_request(w, id, "health"); antag_w_map(w); antag_w_end(w); antag_m_close(w); */
void antag_m_request(struct antag_writer *w, uint32_t id, const char *method);
void antag_m_answer(struct antag_writer *w, uint32_t id);
void antag_m_event(struct antag_writer *w, const char *name);
void antag_m_close(struct antag_writer *w);
/* A whole answer that failed: {code, name, class, message, field?, retry_after_ms?}. has_id false
 * writes nil as id. */
void antag_m_failure(struct antag_writer *w, bool has_id, uint32_t id, const struct antag_fault *f);
/* The error map alone, for --json of antomctl. */
void antag_m_error_map(struct antag_writer *w, const struct antag_fault *f);

#endif
