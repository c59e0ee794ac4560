#include "agent/keeper/places.h"

static bool is_here(const struct ag_place *at, int64_t now_ns)
{
    return at->busy > 0 || at->kept_ns > now_ns;
}

bool ag_places_may(const struct ag_places *p, uint32_t uid, size_t workers, int64_t now_ns)
{
    size_t others = 0, busy = 0;

    for (size_t i = 0; i < AG_PLACES_MAX; i++) {
        const struct ag_place *at = &p->of[i];

        if (!is_here(at, now_ns))
            continue;
        if (at->uid == uid)
            busy = at->busy;
        else
            others++;
    }
    return busy == 0 || busy + others < workers;
}

static struct ag_place *find(struct ag_places *p, uint32_t uid)
{
    for (size_t i = 0; i < AG_PLACES_MAX; i++) {
        struct ag_place *at = &p->of[i];

        if (at->uid == uid && (at->busy > 0 || at->kept_ns > 0))
            return at;
    }
    return NULL;
}

void ag_places_enter(struct ag_places *p, uint32_t uid, int64_t now_ns)
{
    struct ag_place *at = find(p, uid);

    for (size_t i = 0; at == NULL && i < AG_PLACES_MAX; i++)
        if (!is_here(&p->of[i], now_ns)) {
            at = &p->of[i];
            *at = (struct ag_place){.uid = uid};
        }
    if (at != NULL)
        at->busy++;
}

void ag_places_leave(struct ag_places *p, uint32_t uid, int64_t now_ns)
{
    struct ag_place *at = find(p, uid);

    if (at == NULL) /* came when all places were taken */
        return;
    if (at->busy > 0)
        at->busy--;
    at->kept_ns = now_ns + AG_PLACE_KEPT_NS;
}
