/* smtp: one mail to the configured server, by libcurl: encrypted, the server's certificate checked. */
#ifndef AG_COURIER_SMTP_H
#define AG_COURIER_SMTP_H

#include "agent/lib/conf.h"
#include "antag/types.h"

/* Waits, [mail] timeout_ms at most. Reads the files that the configuration names. Any thread.
 * errors: MAIL_LATER, MAIL_SETUP, MAIL_REFUSED; the text says at which step, and what the server said. */
ANTAG_MUST_CHECK enum antag_err ag_smtp_send(const struct ag_conf *conf, struct antag_slice to,
                                             struct antag_slice message, struct antag_fault *fault);

#endif
