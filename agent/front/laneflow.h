/* laneflow: is it worth to let a request wait for this keyring? A keyring has a longest wait ([keyring NAME] max_wait_ms).
 * A request that would wait longer is refused at once, and told how long; and a keyring that has not answered anything for
 * that long is taken for hanging: it is asked again with single requests, at growing intervals, until it answers. Pure: times
 * are given, in ms of one clock. */
#ifndef AG_FRONT_LANEFLOW_H
#define AG_FRONT_LANEFLOW_H

#include "antag/types.h"

#define AG_FLOW_AGAIN_MS     250 /* between two trials, at first; it doubles */
#define AG_FLOW_AGAIN_MAX_MS 2000

struct ag_laneflow {
    int64_t
        quiet_since; /* what was sent last while nothing was, or the last answer; 0: nothing is awaited */
    int64_t trial_at; /* the next trial; 0: it is not taken for hanging */
    uint32_t trials;  /* that there were, and the next */
};

enum ag_flow {
    AG_FLOW_GO,
    AG_FLOW_LONG,  /* the wait would be too long */
    AG_FLOW_SILENT /* it hangs */
};

/* wait_ms: how long what is before a request will take; max_ms: 0, any. *retry_ms: when to ask again. */
enum ag_flow ag_laneflow_ask(struct ag_laneflow *f, int64_t now, int64_t wait_ms, int64_t max_ms,
                             int64_t *retry_ms);
bool ag_laneflow_is_silent(const struct ag_laneflow *f, int64_t now, int64_t max_ms);
void ag_laneflow_sent(struct ag_laneflow *f, int64_t now);
/* awaits: others have been sent and not been answered. */
void ag_laneflow_answered(struct ag_laneflow *f, int64_t now, bool awaits);
void ag_laneflow_reset(struct ag_laneflow *f); /* another keeper */

#endif
