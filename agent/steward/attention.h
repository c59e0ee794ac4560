/* attention: what a person has to do something about. */
#ifndef AG_STEWARD_ATTENTION_H
#define AG_STEWARD_ATTENTION_H

#include "agent/steward/steward.h"
#include "proto/writer.h"

/* `attention: [{what, how}]`, into an open map; empty when nobody has to act. b may be NULL. Any thread; takes the
 * steward's lock, never the registry's. */
void ag_attention_write(struct ag_steward *st, const struct ag_book *b, enum ag_agent_state state,
                        const char *reason, int64_t now_ms, struct antag_writer *w);

#endif
