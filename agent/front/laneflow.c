#include "agent/front/laneflow.h"

#include "agent/core/backoff.h"

bool ag_laneflow_is_silent(const struct ag_laneflow *f, int64_t now, int64_t max_ms)
{
    return max_ms != 0 && f->quiet_since != 0 && now - f->quiet_since > max_ms;
}

enum ag_flow ag_laneflow_ask(struct ag_laneflow *f, int64_t now, int64_t wait_ms, int64_t max_ms,
                             int64_t *retry_ms)
{
    bool is_due;

    *retry_ms = 0;
    if (!ag_laneflow_is_silent(f, now, max_ms)) {
        if (max_ms == 0 || wait_ms <= max_ms)
            return AG_FLOW_GO;
        *retry_ms = wait_ms;
        return AG_FLOW_LONG;
    }
    is_due = f->trial_at != 0 && now >= f->trial_at;
    if (is_due || f->trial_at == 0)
        f->trial_at = now + ag_backoff_ms(AG_FLOW_AGAIN_MS, ++f->trials, AG_FLOW_AGAIN_MAX_MS);
    if (is_due)
        return AG_FLOW_GO;
    *retry_ms = f->trial_at - now;
    return AG_FLOW_SILENT;
}

void ag_laneflow_sent(struct ag_laneflow *f, int64_t now)
{
    if (f->quiet_since == 0)
        f->quiet_since = now == 0 ? 1 : now;
}

void ag_laneflow_answered(struct ag_laneflow *f, int64_t now, bool awaits)
{
    ag_laneflow_reset(f);
    if (awaits)
        ag_laneflow_sent(f, now);
}

void ag_laneflow_reset(struct ag_laneflow *f)
{
    *f = (struct ag_laneflow){.quiet_since = 0};
}

void ag_pace_came(struct ag_pace *p, uint64_t now_ns, size_t count, bool awaits)
{
    uint64_t each = p->ended_ns != 0 ? (now_ns - p->ended_ns) / count : 0;

    if (p->count == AG_PACE_OVER && each > AG_PACE_JUMP * p->each_ns)
        each = AG_PACE_JUMP * p->each_ns;
    for (size_t i = 0; i < count && each > 0; i++) {
        p->count += p->count < AG_PACE_OVER;
        p->each_ns = (p->each_ns * (p->count - 1) + each) / p->count;
    }
    p->ended_ns = awaits ? now_ns : 0;
}
