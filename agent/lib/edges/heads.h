/* heads: the record's chains note each other's heads (edge steward-keeper), so that the end of one cannot be
 * cut off, or one be written anew, unless the other is too.
 *
 *   steward -> keeper  request heads {seq, hash, appended, known_seq, known_hash} -> {seq, hash, appended}
 *
 * seq and hash: the last line of one's own chain that is on the disk; 0: none. appended: how many lines this
 * writer took that are not themselves notes of heads; the other notes the head when this number has changed.
 * known_*: what the steward's record remembers of the keeper's chain, for the first line it can go into. */
#ifndef AG_EDGES_HEADS_H
#define AG_EDGES_HEADS_H

#include <msgpack.h>

#include "agent/lib/chain/line.h"
#include "proto/params.h"
#include "proto/writer.h"

struct ag_heads {
    uint64_t seq, appended, known_seq; /* known_seq: in the request only */
    uint8_t hash[AG_LINE_HASH], known_hash[AG_LINE_HASH];
};
void ag_heads_write(struct antag_writer *w, const struct ag_heads *h, bool request);
/* errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_heads_parse(const msgpack_object *o, bool request,
                                               struct ag_heads *out, struct antag_fault *fault);

#endif
