#include "agent/keeper/backend/p11quirks.h"

#include <stdint.h>
#include <string.h>

static const struct ag_p11quirks rows[] = {
    {"Yubico", "YubiHSM", 15,
     "a YubiHSM has 16 sessions for all its users (oxidecomputer/offline-keystore issue 44)"},
    {"Yubico", "", 1,
     "a second session of a PIV token is answered CKR_USER_ALREADY_LOGGED_IN "
     "(letsencrypt/boulder pull request 795)"},
    {"OpenSC Project", "", 1, "a card does one thing after the other"},
    {"tpm2-software", "", 1, "a TPM does one thing after the other"},
    {"", "", SIZE_MAX, ""},
};

/* The fields are padded with blanks and not terminated. */
static int begins(const CK_UTF8CHAR *field, size_t size, const char *with)
{
    size_t len = strlen(with);

    return len <= size && memcmp(field, with, len) == 0;
}

const struct ag_p11quirks *ag_p11quirks_of(const CK_INFO *info)
{
    const struct ag_p11quirks *q = rows;

    while (!begins(info->manufacturerID, sizeof info->manufacturerID, q->maker) ||
           !begins(info->libraryDescription, sizeof info->libraryDescription, q->library))
        q++;
    return q;
}
