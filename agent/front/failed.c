#include "agent/front/failed.h"

#include <stdint.h>
#include <unistd.h>

#include "agent/core/probe.h"

#define LOOKED_AT 4096 /* bytes of an answer; the gateway's errors have some 200 */

void ag_failed_note(struct ag_shared *s, const struct ag_profile *p, struct antag_slice body,
                    int64_t now_ms)
{
    struct ag_failure one = {.profile_id = p->id, .count = 1, .last_ms = now_ms};
    uint64_t wake = 1;

    body.len = body.len < LOOKED_AT ? body.len : LOOKED_AT;
    if (p->row->handle == 0 || !ag_probe_names_key(body, NULL))
        return;
    one.version = p->row->version;
    uv_mutex_lock(&s->failed_lock);
    ag_failures_add(&s->failed, &one);
    uv_mutex_unlock(&s->failed_lock);
    if (write(s->main_wake, &wake, sizeof wake) < 0) {
        /* full: it is awake */
    }
}

bool ag_failed_any(struct ag_shared *s)
{
    bool any;

    uv_mutex_lock(&s->failed_lock);
    any = s->failed.count > 0;
    uv_mutex_unlock(&s->failed_lock);
    return any;
}

bool ag_failed_take(struct ag_shared *s, struct ag_failures *out)
{
    uv_mutex_lock(&s->failed_lock);
    *out = s->failed;
    s->failed.count = 0;
    uv_mutex_unlock(&s->failed_lock);
    return out->count > 0;
}
