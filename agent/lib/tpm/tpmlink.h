/* tpmlink: the connection to a TPM, the storage primary and session on it, and which objects are loaded there. Of one thread
 * at a time: its owner holds a lock.
 *
 * The storage primary follows from the TPM's owner seed, so it is made anew at each connection and nothing is persisted; its
 * name is compared with the one that the keys were made under. All that is secret crosses the bus encrypted, in a session
 * salted to that primary. */
#ifndef AG_LIB_TPM_TPMLINK_H
#define AG_LIB_TPM_TPMLINK_H

#include "agent/lib/tpm/tss.h"
#include "antag/types.h"

#define AG_TPM_LOADED_MAX                                                                          \
    16 /* keys; a TPM without resource manager has room for two beside the primary */

struct ag_tpm_loaded {
    uint64_t handle; /* of the key; 0: free */
    uint64_t used;   /* when, by the link's count of uses */
    ESYS_TR object;
};

struct ag_tpm_link {
    const char *tcti; /* how it is reached; borrowed */
    const char
        *of; /* the section of agent.conf that says so, for messages: "keyring tpm1"; borrowed */
    const char *lost; /* what to do when it is another TPM; borrowed */
    bool stack;       /* its libraries are loaded */
    TSS2_TCTI_CONTEXT *transport;
    ESYS_CONTEXT *esys; /* NULL: not connected */
    ESYS_TR primary, session;
    TPM2B_NAME current; /* of that primary */
    TPM2B_NAME
    name; /* of the primary that all keys were made under; size 0: there are none so far */
    bool
        leftovers; /* a connection broke, and in a TPM without resource manager its objects are still there */
    int64_t tried_ms; /* monotonic: of the last attempt to connect that failed; 0: none */
    char why[ANTAG_FAULT_TEXT_MAX + 1];
    uint64_t uses;
    struct ag_tpm_loaded loaded[AG_TPM_LOADED_MAX];
};
#define AG_TPM_LINK(tcti_, of_, lost_)                                                             \
    {                                                                                              \
        .tcti = (tcti_), .of = (of_), .lost = (lost_), .primary = ESYS_TR_NONE,                    \
        .session = ESYS_TR_NONE                                                                    \
    }

/* The code without layer and, in the format that has them, without the number of a parameter, handle or session. */
TSS2_RC ag_tpm_code(TSS2_RC rc);
/* After these neither the connection nor what is loaded is to be relied on. */
bool ag_tpm_is_lost(TSS2_RC rc);
/* Sets BACKEND, with the cause by name. The stack is loaded. */
enum antag_err ag_tpm_failed(struct antag_fault *fault, const char *what, TSS2_RC rc);
bool ag_tpm_is_name(const TPM2B_NAME *a, const TPM2B_NAME *b);

/* Loads the libraries, once. errors: PROTECTION. */
ANTAG_MUST_CHECK enum antag_err ag_tpm_need_stack(struct ag_tpm_link *b, struct antag_fault *fault);
/* Connects, if it is not. At most twice a second; in between it repeats the cause. errors: BACKEND, PROTECTION. */
ANTAG_MUST_CHECK enum antag_err ag_tpm_connect(struct ag_tpm_link *b, struct antag_fault *fault);
/* Likewise, and asks the TPM something, so that one which is gone is noticed. */
ANTAG_MUST_CHECK enum antag_err ag_tpm_check(struct ag_tpm_link *b, struct antag_fault *fault);
/* After a command: may it be tried once more, on a new connection? After any error the connection ends: the stack (ESAPI 3.2)
 * leaves a session whose command failed without the attributes it had. */
bool ag_tpm_again(struct ag_tpm_link *b, TSS2_RC rc);
void ag_tpm_disconnect(struct ag_tpm_link *b); /* flushes what it loaded */

/* A key that signs by RSASSA with SHA-256, never subject to lockout, exponent 65537. more: attributes beyond those that all
 * such keys have. */
TPMT_PUBLIC ag_tpm_signing_key(uint32_t bits, TPMA_OBJECT more);
/* `more` of one that is made in a TPM and never leaves it. */
#define AG_TPM_MADE_INSIDE                                                                         \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN)

/* The place of the key `handle`; else a free one; else the one that was used longest ago. */
struct ag_tpm_loaded *ag_tpm_place(struct ag_tpm_link *b, uint64_t handle);
void ag_tpm_unload(struct ag_tpm_link *b, struct ag_tpm_loaded *l);
/* False when none is loaded. */
bool ag_tpm_unload_oldest(struct ag_tpm_link *b);

#endif
