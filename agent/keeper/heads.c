/* heads: this keyring's chain of the record notes the steward's, and tells its own. */
#include <string.h>

#include "agent/keeper/ring_internal.h"
#include "agent/lib/chain/chain.h"
#include "agent/lib/edges/heads.h"
#include "agent/lib/log.h"

#define HEAD(hash) AG_F_HEX("at_hash", ((struct antag_slice){(hash), AG_LINE_HASH}))

/* A chain that takes nothing now says so itself; the next head is as good. */
static bool note(struct ag_ring *ring, const char *type, const struct ag_log_field *fields)
{
    struct ag_chain_record line = {.type = type, .fields = fields, .quiet = true};
    struct antag_fault fault;
    uint64_t seq;

    return ag_chain_append(ring->chain, &line, 1, &seq, &fault) == ANTAG_OK;
}

/* Once for each writer: what the steward remembers of this chain, from before it began. */
static void note_known(struct ag_ring *ring, const struct ag_heads *h,
                       const struct ag_chain_status *own)
{
    if (ring->known_noted || h->known_seq == 0)
        return;
    if (h->known_seq > own->seq)
        ag_log(AG_LOG_ERROR, "audit.cut", AG_F_TEXT("chain", ring->conf.keyring.name),
               AG_F_UINT("seq", own->seq), AG_F_UINT("known_seq", h->known_seq));
    ring->known_noted =
        note(ring, "known",
             (const struct ag_log_field[]){
                 AG_F_UINT("at_seq", h->known_seq), HEAD(h->known_hash), {.kind = AG_LF_END}});
}

void ag_ring_heads(struct ag_ring *ring, const struct antag_message *m)
{
    struct ag_heads theirs, ours = {.seq = 0};
    struct ag_chain_status own;
    struct antag_writer w;
    struct antag_fault fault;

    if (ag_heads_parse(&m->params, true, &theirs, &fault) != ANTAG_OK) {
        ag_chan_refuse(ring->steward, m->id, &fault);
        return;
    }
    ag_chain_status(ring->chain, &own);
    note_known(ring, &theirs, &own);
    if (theirs.seq > 0 && theirs.seq != ring->steward_head &&
        note(ring, "head",
             (const struct ag_log_field[]){AG_F_TEXT("of", "steward"),
                                           AG_F_UINT("at_seq", theirs.seq),
                                           HEAD(theirs.hash),
                                           {.kind = AG_LF_END}}))
        ring->steward_head = theirs.seq;
    ours.seq = own.safe_seq;
    memcpy(ours.hash, own.safe_hash, sizeof ours.hash);
    ours.appended = own.appended;
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, m->id);
    ag_heads_write(&w, &ours, false);
    antag_m_close(&w);
    if (ag_chan_send(ring->steward, &w, NULL, 0) != ANTAG_OK)
        ag_log(AG_LOG_WARN, "keeper.heads");
    antag_writer_fini(&w);
}
