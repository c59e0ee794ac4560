#include "agent/front/refused.h"

#include <stdint.h>
#include <unistd.h>

#include "agent/lib/clock.h"

void ag_refused_count(struct ag_shared *s, const struct ag_refusal *one)
{
    uint64_t wake = 1;
    bool first;

    uv_mutex_lock(&s->refused_lock);
    first = s->refused.since_ms == 0;
    ag_refusals_add(&s->refused, one, ag_clock_wall_ms());
    uv_mutex_unlock(&s->refused_lock);
    if (first && write(s->main_wake, &wake, sizeof wake) < 0) {
        /* full: it is awake */
    }
}

bool ag_refused_take(struct ag_shared *s, struct ag_refusals *out)
{
    uv_mutex_lock(&s->refused_lock);
    *out = s->refused;
    s->refused = (struct ag_refusals){0};
    uv_mutex_unlock(&s->refused_lock);
    return out->since_ms != 0;
}

void ag_refused_merge(struct ag_shared *s, const struct ag_refusals *back)
{
    uv_mutex_lock(&s->refused_lock);
    ag_refusals_merge(&s->refused, back);
    uv_mutex_unlock(&s->refused_lock);
}

bool ag_refused_any(struct ag_shared *s)
{
    bool any;

    uv_mutex_lock(&s->refused_lock);
    any = s->refused.since_ms != 0;
    uv_mutex_unlock(&s->refused_lock);
    return any;
}
