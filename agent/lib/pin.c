#include "agent/lib/pin.h"

#include <stdio.h>

#include "antag/limits.h"

#define AD_MAX (8 + ANTAG_KEYRING_MAX)

static struct antag_slice ad_of(const char *keyring, char out[AD_MAX])
{
    int n = snprintf(out, AD_MAX, "pin\n%.*s", ANTAG_KEYRING_MAX, keyring);

    return (struct antag_slice){(const uint8_t *)out, (size_t)n};
}

enum antag_err ag_pin_check(const struct ag_secret *pin, struct antag_fault *fault)
{
    struct antag_slice s = ag_secret_slice(pin);
    bool good = s.len > 0 && s.len <= AG_PIN_MAX;

    for (size_t i = 0; good && i < s.len; i++)
        good = s.p[i] >= 0x20 && s.p[i] != 0x7f;
    return good ? ANTAG_OK
                : antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pin",
                                  "is 1 to %d bytes without control characters", AG_PIN_MAX);
}

enum antag_err ag_pin_seal(const struct ag_secret *key, const char *keyring,
                           const struct ag_secret *pin, uint8_t out[AG_PIN_SEALED_MAX], size_t *len)
{
    char ad[AD_MAX];

    return ag_seal(key, ad_of(keyring, ad), pin, out, AG_PIN_SEALED_MAX, len);
}

enum antag_err ag_pin_open(const struct ag_secret *key, const char *keyring,
                           struct antag_slice sealed, struct ag_secret **out)
{
    char ad[AD_MAX];

    return ag_unseal(key, ad_of(keyring, ad), sealed, out);
}
