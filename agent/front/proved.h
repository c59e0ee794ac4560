/* proved: that a method succeeded for a sandbox profile, told to the steward once: the evidence of a rehearsal. Costs a
 * request one load. */
#ifndef AG_FRONT_PROVED_H
#define AG_FRONT_PROVED_H

#include "agent/front/worker.h"

/* Any worker. Wakes the main thread when it is news. */
void ag_proved(struct ag_shared *s, const struct ag_profile *p, enum ag_proof method);
/* Main thread. False: there was none. */
bool ag_proved_take(struct ag_shared *s, struct ag_proofs *out);
void ag_proved_merge(struct ag_shared *s, const struct ag_proofs *back); /* a take undone */

#endif
