#include "agent/lib/edges/gauge.h"

#include <string.h>

#include "proto/params.h"

size_t ag_gauge_bucket(uint64_t us)
{
    size_t b = 0;

    while (b + 1 < AG_GAUGE_BUCKETS && us > (uint64_t)AG_GAUGE_FIRST_US << b)
        b++;
    return b;
}

uint64_t ag_gauge_percentile(const struct ag_gauge_told *t, unsigned percent)
{
    uint64_t all = 0, rank, seen = 0;
    size_t b = 0;

    for (size_t i = 0; i < AG_GAUGE_BUCKETS; i++)
        all += t->latency[i];
    if (all == 0)
        return 0;
    rank = (all * percent + 99) / 100;
    while ((seen += t->latency[b]) < rank)
        b++;
    return (uint64_t)AG_GAUGE_FIRST_US << b;
}

void ag_gauge_write(struct antag_writer *w, const struct ag_gauge_told *t)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "signed", t->signed_);
    antag_w_kv_uint(w, "failed", t->failed);
    antag_w_kv_uint(w, "in_row", t->in_row);
    antag_w_kv_uint(w, "busy_ms", (uint64_t)t->busy_ms);
    antag_w_kv_uint(w, "failed_ms", (uint64_t)t->failed_ms);
    antag_w_kv_uint(w, "p50_us", t->p50_us);
    antag_w_kv_uint(w, "p99_us", t->p99_us);
    antag_w_key(w, "latency");
    antag_w_array(w);
    for (size_t i = 0; i < AG_GAUGE_BUCKETS; i++)
        antag_w_uint(w, t->latency[i]);
    antag_w_end(w);
    antag_w_end(w);
}

enum antag_err ag_gauge_parse(const msgpack_object *o, struct ag_gauge_told *out,
                              struct antag_fault *fault)
{
    uint64_t busy_ms = 0, failed_ms = 0;

    memset(out, 0, sizeof *out);
    if (!antag_object_uint(o, "signed", &out->signed_) ||
        !antag_object_uint(o, "failed", &out->failed) ||
        !antag_object_uint(o, "in_row", &out->in_row) ||
        !antag_object_uint(o, "busy_ms", &busy_ms) ||
        !antag_object_uint(o, "failed_ms", &failed_ms) ||
        !antag_object_uint(o, "p50_us", &out->p50_us) ||
        !antag_object_uint(o, "p99_us", &out->p99_us))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL, "a gauge of another form");
    out->busy_ms = (int64_t)busy_ms;
    out->failed_ms = (int64_t)failed_ms;
    return ANTAG_OK;
}
