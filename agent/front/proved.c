#include "agent/front/proved.h"

#include <stdint.h>
#include <unistd.h>

void ag_proved(struct ag_shared *s, const struct ag_profile *p, enum ag_proof method)
{
    uint64_t wake = 1;
    bool room;

    if (p->row->env != AG_ENV_SANDBOX)
        return;
    if ((atomic_load_explicit(p->proved, memory_order_relaxed) & method) != 0 ||
        (atomic_fetch_or(p->proved, method) & method) != 0)
        return;
    uv_mutex_lock(&s->proved_lock);
    room = ag_proofs_add(&s->proved, p->id, method);
    uv_mutex_unlock(&s->proved_lock);
    if (!room)
        atomic_fetch_and(p->proved, ~(unsigned)method); /* the next one tells it */
    if (write(s->main_wake, &wake, sizeof wake) < 0) {
        /* full: it is awake */
    }
}

bool ag_proved_take(struct ag_shared *s, struct ag_proofs *out)
{
    uv_mutex_lock(&s->proved_lock);
    *out = s->proved;
    s->proved.count = 0;
    uv_mutex_unlock(&s->proved_lock);
    return out->count > 0;
}

void ag_proved_merge(struct ag_shared *s, const struct ag_proofs *back)
{
    uv_mutex_lock(&s->proved_lock);
    for (size_t i = 0; i < back->count; i++)
        (void)ag_proofs_add(&s->proved, back->v[i].profile_id, back->v[i].methods);
    uv_mutex_unlock(&s->proved_lock);
}
