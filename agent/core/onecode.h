/* onecode: one-time codes as people read and type them, and for how long one holds. Pure: randomness, the clock and
 * the hash are the caller's.
 *
 * Ten characters of the alphabet of Crockford's Base32 (no I, L, O, U), 50 bits, shown in two groups:
 * "7H3KD-9QWXT". Read back in either case, with or without the hyphen or blanks; O counts as 0, I and L as 1. */
#ifndef AG_CORE_ONECODE_H
#define AG_CORE_ONECODE_H

#include "antag/status.h"
#include "antag/types.h"

#define AG_ONECODE_CHARS  10
#define AG_ONECODE_RANDOM 7 /* bytes that make one; six bits of the last are left over */
#define AG_ONECODE_TEXT   (AG_ONECODE_CHARS + 2)

#define AG_ONECODE_HOLDS_MS  (15 * 60 * 1000)      /* from the moment the mail server took it */
#define AG_ONECODE_UNSENT_MS (24 * 60 * 60 * 1000) /* while that is not known */
#define AG_ONECODE_RESEND_MS (60 * 1000)           /* not again before that */
#define AG_ONECODE_TRIES     5                     /* wrong ones */

/* Without hyphen, terminated; what is hashed. */
void ag_onecode_make(const uint8_t random[AG_ONECODE_RANDOM], char out[AG_ONECODE_CHARS + 1]);
void ag_onecode_show(const char code[AG_ONECODE_CHARS + 1], char out[AG_ONECODE_TEXT]);
/* What somebody typed, into the form that is hashed. errors: BAD_PARAM "code" (never quoting it). */
ANTAG_MUST_CHECK enum antag_err ag_onecode_read(struct antag_slice typed,
                                                char out[AG_ONECODE_CHARS + 1],
                                                struct antag_fault *fault);

/* Two clocks, of which the stricter one counts: the wall clock, which goes on while the agent is down, and the
 * observed running time, which nobody can set back. Times in ms. */
struct ag_onecode_time {
    int64_t wall, observed;
};
/* sent: {0, 0} while not known. */
bool ag_onecode_holds(struct ag_onecode_time made, struct ag_onecode_time sent,
                      struct ag_onecode_time now);

#endif
