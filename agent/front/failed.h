/* failed: that Antom refused a signature, counted per merchant key and told to the steward at most once a second. */
#ifndef AG_FRONT_FAILED_H
#define AG_FRONT_FAILED_H

#include "agent/front/worker.h"

/* Any worker: an unsigned answer with this body came for the profile. Wakes the main thread when it says that the key or
 * the signature was wrong. */
void ag_failed_note(struct ag_shared *s, const struct ag_profile *p, struct antag_slice body,
                    int64_t now_ms);
bool ag_failed_any(struct ag_shared *s);
/* Main thread. False: there was none. */
bool ag_failed_take(struct ag_shared *s, struct ag_failures *out);

#endif
