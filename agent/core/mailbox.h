/* mailbox: addresses of staff, as RFC 5321 has them without its rarities: dot-atoms in ASCII, no quoted local parts, no
 * address literals, no comments. What goes into a mail header and an SMTP command can then be nothing else. Pure. */
#ifndef AG_CORE_MAILBOX_H
#define AG_CORE_MAILBOX_H

#include "antag/status.h"
#include "antag/types.h"

#define AG_MAILBOX_MAX 254 /* RFC 5321, 4.5.3.1.3 */
#define AG_LOCAL_MAX   64  /* 4.5.3.1.1 */

/* errors: BAD_PARAM, field as given. */
ANTAG_MUST_CHECK enum antag_err ag_mailbox_check(struct antag_slice s, const char *field,
                                                 struct antag_fault *f);
/* One mailbox, however its letters are written? Local parts differ by case in theory only. */
bool ag_mailbox_is_same(const char *a, const char *b);

#endif
