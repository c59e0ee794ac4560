/* refused: the workers' count of what was refused, for the record. A lock is taken for a refusal only, and held
 * for a few comparisons; nothing that staff does holds it. */
#ifndef AG_FRONT_REFUSED_H
#define AG_FRONT_REFUSED_H

#include "agent/front/worker.h"

/* Any worker. Wakes the main thread when it is the first since ag_refused_take. */
void ag_refused_count(struct ag_shared *s, const struct ag_refusal *one);
/* Main thread. False: there was none. */
bool ag_refused_take(struct ag_shared *s, struct ag_refusals *out);
void ag_refused_merge(struct ag_shared *s, const struct ag_refusals *back); /* a take undone */
bool ag_refused_any(struct ag_shared *s);

#endif
