#include "agent/keeper/gauge.h"

#include <string.h>

#include "agent/lib/clock.h"

static void add(_Atomic uint64_t *to)
{
    atomic_fetch_add_explicit(to, 1, memory_order_relaxed);
}

void ag_gauge_begin(struct ag_gauge *g, size_t worker)
{
    atomic_store_explicit(&g->since_ns[worker], ag_clock_mono_ns(), memory_order_relaxed);
}

uint64_t ag_gauge_end(struct ag_gauge *g, size_t worker, bool succeeded)
{
    int64_t since = atomic_exchange_explicit(&g->since_ns[worker], 0, memory_order_relaxed);
    uint64_t us = (uint64_t)(ag_clock_mono_ns() - since) / 1000;

    if (!succeeded) {
        add(&g->failed);
        add(&g->in_row);
        atomic_store_explicit(&g->failed_ms, ag_clock_wall_ms(), memory_order_relaxed);
        return us;
    }
    add(&g->signed_);
    if (atomic_load_explicit(&g->in_row, memory_order_relaxed) != 0)
        atomic_store_explicit(&g->in_row, 0, memory_order_relaxed);
    add(&g->latency[ag_gauge_bucket(us)]);
    return us;
}

static int64_t longest_ms(struct ag_gauge *g)
{
    int64_t now = ag_clock_mono_ns(), longest = 0;

    for (size_t i = 0; i < AG_WORKERS_MAX; i++) {
        int64_t since = atomic_load_explicit(&g->since_ns[i], memory_order_relaxed);

        if (since != 0 && now - since > longest)
            longest = now - since;
    }
    return longest / 1000000;
}

void ag_gauge_tell(struct ag_gauge *g, struct ag_gauge_told *out)
{
    memset(out, 0, sizeof *out);
    out->signed_ = atomic_load(&g->signed_);
    out->failed = atomic_load(&g->failed);
    out->in_row = atomic_load(&g->in_row);
    out->failed_ms = atomic_load(&g->failed_ms);
    out->busy_ms = longest_ms(g);
    for (size_t i = 0; i < AG_GAUGE_BUCKETS; i++)
        out->latency[i] = atomic_load(&g->latency[i]);
    out->p50_us = ag_gauge_percentile(out, 50);
    out->p99_us = ag_gauge_percentile(out, 99);
}
