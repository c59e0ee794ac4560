/* gauge: how a keeper's keyring does (edge steward-keeper): the answer to its request `gauge`.
 *
 *   gauge {} -> {signed, failed, in_row, busy_ms, failed_ms, p50_us, p99_us, latency: [COUNT]}
 *     signed, failed  signatures since the keeper began
 *     in_row          of these, failed since the last that succeeded
 *     busy_ms         how long the longest signature under way has been; 0: none is
 *     failed_ms       wall clock of the last that failed; 0: none did
 *     p50_us, p99_us  upper ends of the buckets that hold them; 0: nothing was signed
 *     latency         counts of those that succeeded: bucket N up to 2^N x 64 us, the last any
 *
 * Pure but for the bytes it is given. */
#ifndef AG_EDGES_GAUGE_H
#define AG_EDGES_GAUGE_H

#include <msgpack.h>

#include "antag/status.h"
#include "antag/types.h"
#include "proto/writer.h"

#define AG_GAUGE_BUCKETS  22 /* up to 134 s */
#define AG_GAUGE_FIRST_US 64

struct ag_gauge_told {
    uint64_t signed_, failed, in_row;
    int64_t busy_ms, failed_ms;
    uint64_t p50_us, p99_us;
    uint64_t latency[AG_GAUGE_BUCKETS];
};

size_t ag_gauge_bucket(uint64_t us);
/* Upper end of the bucket that holds the signature of this rank, in percent. */
uint64_t ag_gauge_percentile(const struct ag_gauge_told *t, unsigned percent);
void ag_gauge_write(struct antag_writer *w, const struct ag_gauge_told *t);
/* Without `latency`, which is for metrics. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_gauge_parse(const msgpack_object *o, struct ag_gauge_told *out,
                                               struct antag_fault *fault);

#endif
