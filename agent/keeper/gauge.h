/* gauge: counts and times of a keyring's signatures. Threads that sign write, the loop's reads; no locks. */
#ifndef AG_KEEPER_GAUGE_H
#define AG_KEEPER_GAUGE_H

#include <stdatomic.h>

#include "agent/keeper/worker.h"
#include "agent/lib/edges/gauge.h"

struct ag_gauge {
    _Atomic uint64_t signed_, failed, in_row;
    _Atomic int64_t failed_ms;
    _Atomic uint64_t latency[AG_GAUGE_BUCKETS];
    _Atomic int64_t since_ns[AG_WORKERS_MAX]; /* of each thread's signature under way; 0: none is */
};

void ag_gauge_begin(struct ag_gauge *g, size_t worker);
uint64_t ag_gauge_end(struct ag_gauge *g, size_t worker, bool succeeded); /* us it took */
void ag_gauge_tell(struct ag_gauge *g, struct ag_gauge_told *out);

#endif
