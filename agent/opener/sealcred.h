/* sealcred: a secret that the service manager passes as a file in a folder (systemd.exec(5), LoadCredentialEncrypted=). */
#ifndef AG_OPENER_SEALCRED_H
#define AG_OPENER_SEALCRED_H

#include "agent/lib/secret.h"

#define AG_CREDENTIAL     "antom-agent.seal"
#define AG_CREDENTIAL_MIN 32 /* bytes: it is used as a key, not stretched as a passphrase is */
#define AG_CREDENTIAL_MAX 4096

/* folder: NULL or "" when none were passed. *out is the caller's. errors: SEAL (not there, readable by others, too short
 * or too long), NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_sealcred_read(const char *folder, struct ag_secret **out,
                                                 struct antag_fault *fault);

#endif
