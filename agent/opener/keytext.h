/* keytext: from what a person pastes or a file holds to the DER inside: PEM (one block), bare base64 with
 * line ends and blanks in it, or DER as it is. The label of a PEM block decides nothing: the DER does. */
#ifndef AG_OPENER_KEYTEXT_H
#define AG_OPENER_KEYTEXT_H

#include "agent/lib/secret.h"
#include "antag/status.h"
#include "antag/types.h"

/* *out is the caller's. have_passphrase: for a PEM block encrypted as a whole, which is refused either
 * way. errors: KEY_FORM (with a hint where the form is known), KEY_TRAILING (something follows the PEM
 * block), KEY_TYPE (by label: EC, DSA), KEY_ENCRYPTED, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_keytext_decode(struct antag_slice text, bool have_passphrase,
                                                  struct ag_secret **out,
                                                  struct antag_fault *fault);

#endif
