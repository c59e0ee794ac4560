/* check: walks the bytes of a MessagePack value before the library may decode them.
 *
 * msgpack-c allocates arrays and maps by the count they declare, so five hostile bytes cost
 * gigabytes. The walk bounds depth, number of values, and every declared count and length by the
 * bytes that are left. It recurses nowhere and allocates nothing. */
#ifndef ANTAG_PROTO_CHECK_H
#define ANTAG_PROTO_CHECK_H

#include "antag/status.h"
#include "antag/types.h"

/* OK when `bytes` is exactly one value within the limits, made of nil, bool, integers, floats, str,
 * bin, array and map (ext and the reserved byte c1 are refused). errors: BAD_FRAME, with the byte
 * offset and the reason in the fault. */
ANTAG_MUST_CHECK enum antag_err antag_check(struct antag_slice bytes, size_t depth_max,
                                            size_t items_max, struct antag_fault *fault);

#endif
