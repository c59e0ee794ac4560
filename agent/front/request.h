/* request: one frame of a connection, from its bytes to its answer or its job. Worker's thread. */
#ifndef AG_FRONT_REQUEST_H
#define AG_FRONT_REQUEST_H

#include "agent/front/conn.h"

/* Decode, look up, permit, handle. Every frame is answered exactly once, now or when its job ends,
 * unless its connection ends before. */
void ag_request_take(struct ag_conn *c, struct antag_slice frame);

/* A job of this worker (ctx) ended; see keeperlink.h. */
void ag_request_signed(struct ag_job *job, const struct antag_fault *fault, struct antag_slice sig,
                       void *ctx);

/* ---- health.c: write the result map into the worker's writer */
void ag_hello_write(struct ag_conn *c);
void ag_health_write(struct ag_conn *c);

#endif
