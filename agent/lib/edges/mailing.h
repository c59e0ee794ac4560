/* mailing: a mail on its way out (edge steward-courier). The courier sends it to the configured server and says what
 * came of it; it keeps nothing.
 *
 *   steward -> courier  request mail {to, message} -> {}   the server has taken it
 *                       errors: MAIL_LATER (try again), MAIL_SETUP (ours to mend, then again), MAIL_REFUSED (for good)
 *
 * Pure but for the bytes it is given. */
#ifndef AG_EDGES_MAILING_H
#define AG_EDGES_MAILING_H

#include <msgpack.h>

#include "antag/status.h"
#include "antag/types.h"
#include "proto/writer.h"

#define AG_MAIL_MESSAGE_MAX (64 * 1024) /* bytes, headers included, CRLF lines */

struct ag_mailing {
    struct antag_slice to;      /* one mailbox */
    struct antag_slice message; /* RFC 5322 */
};

void ag_mailing_write(struct antag_writer *w, const struct ag_mailing *m);
/* Views borrow from `o`. errors: BAD_PARAM (the address is one that ag_mailbox_check takes). */
ANTAG_MUST_CHECK enum antag_err ag_mailing_parse(const msgpack_object *o, struct ag_mailing *out,
                                                 struct antag_fault *fault);

#endif
