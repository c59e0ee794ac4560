/* mailtext: a mail of the agent as an RFC 5322 message: one look for all, as plain text that a terminal mail client
 * shows well (lines of at most 76 characters, no images, no links) and as HTML that says the same. Pure.
 *
 * Whatever is put in ends up as text: line ends and control characters cannot make a header, markup cannot make
 * HTML. */
#ifndef AG_CORE_MAILTEXT_H
#define AG_CORE_MAILTEXT_H

#include "antag/status.h"
#include "antag/types.h"

#define AG_MAILTEXT_MAX  (14 * 1024) /* bytes of a whole message */
#define AG_MAILTEXT_ROWS 24

struct ag_mailtext_row {
    const char *label, *value;
};
struct ag_mailtext {
    const char *message_id;                        /* without angle brackets */
    const char *to, *subject;                      /* ASCII; anything else in them becomes '?' */
    const char *lead;                              /* one paragraph: what happened */
    struct ag_mailtext_row rows[AG_MAILTEXT_ROWS]; /* who, what, where, until when */
    size_t row_count;
    const char *code;    /* one-time code as it is shown; NULL: none */
    const char *command; /* what to run now; NULL: nothing */
    const char *closing; /* one paragraph; NULL: none */
    const char *head;    /* of the steward's chain of the record: "SEQ HASH"; NULL: none */
};

/* All but the headers From and Date, which the sender puts in front; CRLF lines. *len: bytes used.
 * errors: BAD_PARAM (it would be too long). */
ANTAG_MUST_CHECK enum antag_err ag_mailtext_render(const struct ag_mailtext *m, char *out,
                                                   size_t size, size_t *len,
                                                   struct antag_fault *fault);
/* "Fri, 27 Nov 2026 16:20:17 +0000" */
#define AG_MAILTEXT_DATE 40
void ag_mailtext_date(int64_t wall_ms, char out[AG_MAILTEXT_DATE]);

#endif
