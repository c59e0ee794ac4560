/* p11pin: where a token's PIN comes from: a file, a credential of the service manager, or the registry, sealed. It is read
 * anew for each login and wiped after it. */
#ifndef AG_KEEPER_P11PIN_H
#define AG_KEEPER_P11PIN_H

#include "agent/lib/conf.h"
#include "agent/lib/pin.h"

/* As it came from the registry; len 0: none did. */
struct ag_p11_pin {
    size_t len;
    uint8_t sealed[AG_PIN_SEALED_MAX];
};

/* ring_key: the keyring's subkey. *out is the caller's. errors: BACKEND, naming what is set where. */
ANTAG_MUST_CHECK enum antag_err ag_p11_pin_read(const struct ag_conf_keyring *conf,
                                                const struct ag_secret *ring_key,
                                                const struct ag_p11_pin *pin,
                                                struct ag_secret **out, struct antag_fault *fault);

#endif
