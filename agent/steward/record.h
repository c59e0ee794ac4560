/* record: the steward's chain of the record. What a transaction did is a row of that transaction (a deed);
 * afterwards it is copied to the chain in order of its id, and a later transaction removes the row. So a
 * chain that cannot be written loses nothing and holds nothing up, and none is copied twice.
 *
 * Line "deed": {deed, epoch, uid | by: "agent", what, subject?, handle?, detail?, behind?}. `behind`: the
 * registry is older than the record, which knows this epoch; in every line until staff has confirmed it.
 * Line "head": {of, at_seq, at_hash}: the head of another chain, so that its end is not cut off unseen.
 *
 * The registry's lock is held in all calls. */
#ifndef AG_STEWARD_RECORD_H
#define AG_STEWARD_RECORD_H

#include "agent/lib/chain/chain.h"
#include "agent/steward/steward.h"

#define AG_RECORD_CHAIN "steward" /* no keyring has this name */

/* Reads the end of the chain, compares it with the registry just opened (ag_record_behind), starts the
 * writer. A record that cannot be read or written is logged: deeds wait in their rows. */
void ag_record_open(struct ag_steward *st);
void ag_record_close(struct ag_steward *st); /* writes and syncs what there is */
/* The epoch that the record knows and the registry has fallen behind; 0: it has not. Ends with the deed
 * "registry_confirm". */
uint64_t ag_record_behind(const struct ag_steward *st);
/* Within a transaction: the deed's row. Rows that stand in the chain for good are removed. */
ANTAG_MUST_CHECK enum antag_err ag_record_write(struct ag_steward *st, struct ag_row_deed *deed,
                                                struct antag_fault *fault);
void ag_record_copy(struct ag_steward *st); /* what is not copied yet; does not wait */

/* Another chain as it is remembered here: false: not at all. */
bool ag_record_head_of(const struct ag_steward *st, const char *chain, uint64_t *seq,
                       uint8_t hash[AG_LINE_HASH]);
/* Remembers it, and notes it in the chain. */
void ag_record_note_head(struct ag_steward *st, const char *chain, uint64_t seq,
                         const uint8_t hash[AG_LINE_HASH]);
/* What was refused and is not recorded yet (refusals.c): line "refused" {at, uid, what?, profile?, error, count,
 * since_ms}, and for those without a line of their own {others, since_ms}. */
void ag_record_refusals(struct ag_steward *st);
void ag_refusals_record(struct ag_steward *st, struct ag_chain *chain);
/* Our own, for others to note; false: the chain is not open. */
bool ag_record_status(const struct ag_steward *st, struct ag_chain_status *out);

#endif
