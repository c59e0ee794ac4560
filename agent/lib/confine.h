/* confine: what every role gives up before it does anything else. */
#ifndef AG_LIB_CONFINE_H
#define AG_LIB_CONFINE_H

#include "antag/status.h"

/* No new privileges, no core file, not dumpable (so not traceable by the same uid), SIGPIPE and SIGXFSZ ignored,
 * umask 077, dies with its parent (a role; not the supervisor), every descriptor from `keep_below` up
 * closed. Not dumpable is read back. errors: PROTECTION naming what could not be had. */
ANTAG_MUST_CHECK enum antag_err ag_confine_early(bool is_role, int keep_below,
                                                 struct antag_fault *fault);

#endif
