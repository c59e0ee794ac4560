/* watch: tells connections that asked for it what changes, as events (PROTOCOL.md, section 7). One thread. */
#ifndef AG_FRONT_WATCH_H
#define AG_FRONT_WATCH_H

#include "agent/front/conn.h"

/* Events that a slow reader has not taken: from here on none are sent, and one "lagged" says so afterwards. */
#define AG_WATCH_UNREAD_MAX (64 * 1024)

/* The answer of watch, and from now on events. */
void ag_watch_begin(struct ag_conn *c);
/* The worker works from `now` instead of `was`: both stay valid during the call. */
void ag_watch_view(struct ag_worker *w, const struct ag_view *was, const struct ag_view *now);
/* The agent is stopping: everybody is told. */
void ag_watch_draining(struct ag_conn *c);
/* A connection's answers were taken: say now that events were lost. */
void ag_watch_read(struct ag_conn *c);

#endif
