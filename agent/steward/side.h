/* side: a thread of its own beside the driver, for work that may wait long: mail, changes, probes. It makes a pass when
 * it is kicked, or when the time has come that the last pass named. */
#ifndef AG_STEWARD_SIDE_H
#define AG_STEWARD_SIDE_H

#include "agent/steward/steward.h"

struct ag_side;

/* Returns after how many ms the next pass is due: 0 at once, negative when kicked. */
typedef int64_t ag_side_pass_fn(struct ag_steward *st);

/* errors: NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_side_start(struct ag_steward *st, ag_side_pass_fn *pass,
                                              struct ag_side **out);
void ag_side_kick(struct ag_side *s); /* any thread; NULL accepted */
/* Kicks, and waits until a pass is over that began after that; timeout_ms at most. */
void ag_side_settle(struct ag_side *s, int64_t timeout_ms);
void ag_side_join(struct ag_side *s); /* ends the thread after its pass, frees; NULL accepted */

#endif
