/* keyring: what the steward tells a keeper (edge steward-keeper), and an opener (steward-opener).
 *
 *   steward -> keeper  request begin {} -> {stopped: [handle]}   a full load follows; answers the keys it
 *                                                                was told to stop and never to permit again
 *                      request load {handle, profile_id, env, version, spki, sealed, use} -> {}
 *                                                                self-tested; a key loaded before is kept
 *                      request load_end {} -> {}                 keys not named since begin are forgotten;
 *                                                                the keeper is ready now
 *                      request generate {handle, profile_id, env, version, bits} -> {spki, sealed}
 *                      request adopt {handle, profile_id, env, version, sealed} -> {spki, sealed}
 *                         (a key that was imported: sealed as keyform.h has it, and as the backend keeps it)
 *                                                                loaded, with use "none"
 *                      request permit {handle, use} -> {}        use: none | probe | sign
 *                      request stop {handle} -> {}               acts before it answers: no signature
 *                                                                leaves after that; undone by permit
 *                      request forget {handle} -> {}             wiped from memory
 *                      request destroy {handle} -> {}            forgotten, and destroyed wherever the keyring keeps it;
 *                                                                one that is not there is no error
 *                      request check {} -> {}                    can the device be used now? refused: why not
 *                      request pin {sealed} -> {}                what the device asks for before it works (agent/lib/pin.h),
 *                                                                tried at once
 *                      request probe {handle, profile_id, env, version, profile, client_id, time, probe} -> {signature}
 *                                                                of the probe of that id (agent/core/probe.h), under
 *                                                                a key of use probe or sign; recorded like any other
 *   steward -> opener  request import {handle, profile_id, env, version} + fd key [+ fd passphrase]
 *                                                                -> {spki, sealed}
 *                      request public {} + fd key -> {spki}
 *                      request seal_pin {} + fd pin -> {sealed}
 * One opener takes one request and ends. */
#ifndef AG_EDGES_KEYRING_H
#define AG_EDGES_KEYRING_H

#include <msgpack.h>

#include "agent/lib/keyform.h"
#include "proto/params.h"
#include "proto/writer.h"

enum ag_key_use { AG_USE_NONE, AG_USE_PROBE, AG_USE_SIGN };
const char *ag_key_use_name(enum ag_key_use use);

/* params of load, generate, permit, stop, forget, import: those that the method names */
struct ag_keyring_params {
    struct ag_key_identity id;
    enum ag_key_use use;
    uint32_t bits;
    struct antag_slice spki, sealed; /* borrowed */
};
/* Writes the params map of `method`. */
void ag_keyring_params_write(struct antag_writer *w, const char *method,
                             const struct ag_keyring_params *p);
/* errors: BAD_PARAM, UNKNOWN_METHOD. */
ANTAG_MUST_CHECK enum antag_err ag_keyring_params_parse(struct antag_slice method,
                                                        const msgpack_object *params,
                                                        struct ag_keyring_params *out,
                                                        struct antag_fault *fault);

/* params and result of probe */
struct ag_keyring_probe {
    struct ag_key_identity id;
    struct antag_slice profile, client_id, time, probe; /* borrowed */
};
void ag_keyring_probe_write(struct antag_writer *w, const struct ag_keyring_probe *p);
/* errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_keyring_probe_parse(const msgpack_object *params,
                                                       struct ag_keyring_probe *out,
                                                       struct antag_fault *fault);
void ag_keyring_signature_write(struct antag_writer *w, struct antag_slice signature);
ANTAG_MUST_CHECK enum antag_err ag_keyring_signature_parse(const msgpack_object *result,
                                                           struct antag_slice *signature);

/* result of seal_pin */
void ag_keyring_sealed_write(struct antag_writer *w, struct antag_slice sealed);
ANTAG_MUST_CHECK enum antag_err ag_keyring_sealed_parse(const msgpack_object *result,
                                                        struct antag_slice *sealed); /* borrowed */

/* result of generate and import (sealed), public (spki only) */
struct ag_keyring_made {
    size_t spki_len, sealed_len;
    uint8_t spki[ANTAG_SPKI_MAX];
    uint8_t sealed[AG_SEALED_KEY_MAX];
};
void ag_keyring_made_write(struct antag_writer *w, const struct ag_keyring_made *m);
ANTAG_MUST_CHECK enum antag_err ag_keyring_made_parse(const msgpack_object *result,
                                                      struct ag_keyring_made *out);

#endif
