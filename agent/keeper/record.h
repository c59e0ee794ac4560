/* record: a signature's lines in the chain of its keyring. */
#ifndef AG_KEEPER_RECORD_H
#define AG_KEEPER_RECORD_H

#include "agent/keeper/keytable.h"
#include "agent/lib/chain/chain.h"
#include "agent/lib/signwire.h"

#define AG_RECORD_FIELDS_MAX 20

/* The lengths in the claim are within their arrays. False: the entry is malformed. */
bool ag_record_claim_ok(const struct ag_sign_claim *c);
/* Line "sign": what may be released from now on: {uid, gid, pid, unit?, profile, profile_id, env, client_id,
 * handle, version, method, path, digest, merchant?, trace?}. uid to path and merchant, trace are as the front
 * claims. Borrows from `job`. */
void ag_record_sign(const struct ag_sign_job *job, const struct ag_key_identity *key,
                    struct ag_log_field out[AG_RECORD_FIELDS_MAX]);
/* Line "outcome": the signature of line `seq` was not released after all: {of, error}. */
void ag_record_outcome(uint64_t seq, enum antag_err err,
                       struct ag_log_field out[AG_RECORD_FIELDS_MAX]);

#endif
