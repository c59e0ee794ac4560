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

/* How fast a keeper signs while it has work, all its threads together: a mean over the last AG_PACE_OVER signatures, each of which
 * counts at most AG_PACE_JUMP times what is known: a pause of machine or front does not make a fast keyring look slow, and one
 * that became slow is known as such after some of its signatures. Zeroed: nothing is known. */
#define AG_PACE_OVER 64
#define AG_PACE_JUMP 8

struct ag_pace {
    uint64_t ended_ns; /* when a signature came last; 0: none, or there was nothing to do since */
    uint64_t each_ns;  /* from one to the next; 0: not known */
    uint64_t count;    /* that each_ns is the mean of, up to AG_PACE_OVER */
};

/* `count` > 0 came together, now; awaits: others are under way. */
void ag_pace_came(struct ag_pace *p, uint64_t now_ns, size_t count, bool awaits);

#endif
