/* rings: how the keyrings do, as their keepers tell. Asks them, so not under a lock. */
#ifndef AG_STEWARD_RINGS_H
#define AG_STEWARD_RINGS_H

#include "agent/lib/edges/gauge.h"
#include "agent/steward/steward.h"

struct ag_ring_view {
    char name[ANTAG_KEYRING_MAX + 1];
    const char *type; /* soft, pkcs11, tpm */
    const char *
        state; /* ready; down: its keeper; no-pin; silent: it does not answer; failing: what it signed last failed */
    char why[ANTAG_FAULT_TEXT_MAX + 1]; /* "" when it is ready */
    const char *pin; /* where it comes from: file, credential, registry; NULL: it needs none */
    int64_t pin_ms;  /* registry: since when; 0: there is none yet */
    struct ag_gauge_told told;
};
struct ag_ring_views {
    size_t count;
    struct ag_ring_view v[AG_CONF_KEYRINGS_MAX];
};

void ag_rings_look(struct ag_steward *st, struct ag_ring_views *out);
const struct ag_ring_view *ag_rings_find(const struct ag_ring_views *all, const char *name);
bool ag_ring_is_ready(const struct ag_ring_view *v);
/* As a monitor gets it: {keyring, type, state, why?, pin?, pin_ms?, signed, failed, p50_us, p99_us}. */
void ag_ring_write(struct antag_writer *w, const struct ag_ring_view *v);
/* All of them, under the key "keyrings". */
void ag_rings_write(struct antag_writer *w, const struct ag_ring_views *all);

#endif
