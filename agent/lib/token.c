#include "agent/lib/token.h"

#include <stdio.h>

#define AD_MAX (16 + ANTAG_PROFILE_MAX + ANTAG_MERCHANT_MAX)

/* No line feed stands in either name. */
static struct antag_slice ad_of(const char *profile, const char *merchant, char out[AD_MAX])
{
    int n = snprintf(out, AD_MAX, "token\n%s\n%s", profile, merchant);

    return (struct antag_slice){(const uint8_t *)out, (size_t)n};
}

enum antag_err ag_token_check(const struct ag_secret *token, struct antag_fault *fault)
{
    struct antag_slice s = ag_secret_slice(token);
    bool good = s.len > 0 && s.len <= ANTAG_TOKEN_MAX;

    for (size_t i = 0; good && i < s.len; i++)
        good = s.p[i] > 0x20 && s.p[i] < 0x7f;
    if (good)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "token",
                           "is 1 to %d visible ASCII characters without blanks, as Antom shows it",
                           ANTAG_TOKEN_MAX);
}

enum antag_err ag_token_seal(const struct ag_secret *key, const char *profile, const char *merchant,
                             const struct ag_secret *token, uint8_t out[AG_TOKEN_SEALED_MAX],
                             size_t *len)
{
    char ad[AD_MAX];

    return ag_seal(key, ad_of(profile, merchant, ad), token, out, AG_TOKEN_SEALED_MAX, len);
}

enum antag_err ag_token_open(const struct ag_secret *key, const char *profile, const char *merchant,
                             struct antag_slice sealed, char out[ANTAG_TOKEN_MAX + 1])
{
    char ad[AD_MAX];
    size_t len = 0;
    enum antag_err err = ag_unseal_into(key, ad_of(profile, merchant, ad), sealed, (uint8_t *)out,
                                        ANTAG_TOKEN_MAX, &len);

    out[err == ANTAG_OK ? len : 0] = '\0';
    return err;
}
