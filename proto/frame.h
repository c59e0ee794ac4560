/* frame: how messages stand in a byte stream: a 4-byte big-endian length, then one MessagePack value.
 * Pure; used by both ends. */
#ifndef ANTAG_PROTO_FRAME_H
#define ANTAG_PROTO_FRAME_H

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

/* Length of the value behind the head of 4 bytes. errors: BAD_FRAME for 0, FRAME_TOO_LARGE over `max`. */
ANTAG_MUST_CHECK enum antag_err antag_frame_parse(const uint8_t head[ANTAG_FRAME_HEAD], size_t max,
                                                  size_t *len, struct antag_fault *fault);
void antag_frame_render(size_t len, uint8_t head[ANTAG_FRAME_HEAD]);

#endif
