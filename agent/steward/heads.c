/* heads: the record's chains note each other's heads. The driver asks each keeper in turn: when it is new,
 * when something was recorded here, and otherwise once a minute, as it may have signed. */
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/lib/edges/heads.h"
#include "agent/lib/log.h"
#include "agent/steward/record.h"
#include "agent/steward/steward.h"

#define PERIOD_MS 60000
#define AGAIN_MS  100  /* our last line was not on the disk yet */
#define WAIT_MS   1000 /* a keeper that is slower is asked again in a minute */

/* What to say to the keeper; false: our own chain is not open. *settled: all of it is on the disk. */
static bool make_request(struct ag_steward *st, const char *keyring, struct ag_heads *out,
                         bool *settled)
{
    struct ag_chain_status own;
    bool open;

    memset(out, 0, sizeof *out);
    uv_mutex_lock(&st->reg_lock);
    if ((open = ag_record_status(st, &own))) {
        *settled = own.safe_seq == own.seq;
        out->seq = own.safe_seq;
        out->appended = own.appended;
        memcpy(out->hash, own.safe_hash, sizeof out->hash);
        (void)ag_record_head_of(st, keyring, &out->known_seq, out->known_hash);
    }
    uv_mutex_unlock(&st->reg_lock);
    return open;
}

static enum antag_err ask(struct ag_chan *c, const struct ag_heads *ours, struct ag_heads *theirs)
{
    struct ag_reply reply = {0};
    struct antag_writer w;
    struct antag_fault fault;
    uint32_t id = ag_chan_next_id(c);
    enum antag_err err;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_request(&w, id, "heads");
    ag_heads_write(&w, ours, true);
    antag_m_close(&w);
    err = ag_chan_call(c, id, &w, NULL, 0, WAIT_MS, &reply);
    antag_writer_fini(&w);
    if (err == ANTAG_OK)
        err = ag_heads_parse(reply.result, false, theirs, &fault);
    ag_reply_fini(&reply);
    return err;
}

/* The place of a keeper whose turn it is, and its channel; NULL: none is due. */
static struct ag_chan *next_due(struct ag_steward *st, uint64_t appended, bool settled,
                                int64_t now_ms, char name[ANTAG_KEYRING_MAX + 1], uint64_t *gen,
                                int64_t *next_ms)
{
    struct ag_chan *c = NULL;

    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->keeper_count && c == NULL; i++) {
        struct ag_keeper *kp = &st->keepers[i];
        bool fresh = kp->heads_gen != kp->gen, news = kp->heads_appended != appended;

        if (kp->chan == NULL || kp->loaded_gen != kp->gen)
            continue;
        if (fresh || news || now_ms >= kp->heads_at_ms) {
            kp->heads_gen = kp->gen;
            kp->heads_appended = appended;
            kp->heads_at_ms = now_ms + (settled ? PERIOD_MS : AGAIN_MS);
            c = ag_chan_hold(kp->chan);
            *gen = kp->gen;
            memcpy(name, kp->name, sizeof kp->name);
            if (fresh)
                kp->noted_appended = UINT64_MAX;
        }
        if (kp->heads_at_ms < *next_ms)
            *next_ms = kp->heads_at_ms;
    }
    uv_mutex_unlock(&st->lock);
    return c;
}

/* Has it recorded anything since its head was noted? */
static bool is_news(struct ag_steward *st, const char *name, uint64_t gen, uint64_t appended)
{
    bool news = false;

    uv_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->keeper_count; i++) {
        struct ag_keeper *kp = &st->keepers[i];

        if (strcmp(kp->name, name) != 0 || kp->gen != gen || kp->noted_appended == appended)
            continue;
        kp->noted_appended = appended;
        news = true;
    }
    uv_mutex_unlock(&st->lock);
    return news;
}

void ag_heads_exchange(struct ag_steward *st, int64_t *next_ms)
{
    char name[ANTAG_KEYRING_MAX + 1];
    struct ag_heads ours, theirs;
    struct ag_chan *c;
    uint64_t gen = 0;
    bool settled = true;

    while (make_request(st, "", &ours, &settled) &&
           (c = next_due(st, ours.appended, settled, ag_clock_mono_ms(), name, &gen, next_ms)) !=
               NULL) {
        enum antag_err err = ANTAG_ERR_LOCKED;

        if (make_request(st, name, &ours, &settled))
            err = ask(c, &ours, &theirs);
        if (err != ANTAG_OK) {
            ag_log(AG_LOG_WARN, "heads", AG_F_TEXT("keyring", name), AG_F_ERR(err));
        } else if (theirs.seq > 0 && is_news(st, name, gen, theirs.appended)) {
            uv_mutex_lock(&st->reg_lock);
            ag_record_note_head(st, name, theirs.seq, theirs.hash);
            uv_mutex_unlock(&st->reg_lock);
        }
        ag_chan_release(c);
    }
}
