/* attention: what a person has to do something about, for `antomctl status` and whoever monitors it. Of state that is at
 * hand: it waits for nothing. */
#include <stdarg.h>
#include <stdio.h>

#include "agent/core/cryptoperiod.h"
#include "agent/steward/attention.h"

#define MAIL_PATIENCE_MS (10 * 60 * 1000) /* a mail that waits longer is told */

ANTAG_PRINTF(3, 4)
static void tell(struct antag_writer *w, const char *how, const char *fmt, ...)
{
    char what[320];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    antag_w_map(w);
    antag_w_kv_str(w, "what", what);
    antag_w_kv_str(w, "how", how);
    antag_w_end(w);
}

static void tell_state(struct antag_writer *w, enum ag_agent_state state, const char *reason)
{
    if (state == AG_STATE_LOCKED)
        tell(w, "antomctl unlock", "the agent is locked: %s", reason);
    else if (state == AG_STATE_FAILED)
        tell(w, "antomctl doctor", "the agent has failed: %s", reason);
}

/* From a week before its end on. */
static void tell_due(struct antag_writer *w, const struct ag_row_profile *p,
                     const struct ag_row_key *k, int64_t now_ms)
{
    char how[ANTAG_PROFILE_MAX + 40];
    int64_t end;

    if (k == NULL)
        return;
    end = ag_cryptoperiod_end(k->created_at_ms, p->cryptoperiod_days);
    snprintf(how, sizeof how, "antomctl key generate %s", p->name);
    if (ag_cryptoperiod_due(end, now_ms) >= 3)
        tell(w, how, "key %u of %s is to be replaced: its period ends in %lld days", k->version,
             p->name, (long long)((end - now_ms) / 86400000));
}

static void tell_launched(struct ag_steward *st, struct antag_writer *w, const struct ag_book *b,
                          int64_t now_ms)
{
    char how[ANTAG_PROFILE_MAX + 40];

    for (size_t i = 0; i < b->profile_count; i++) {
        const struct ag_row_profile *p = &b->profiles[i];
        struct ag_snap_profile row;
        struct ag_sign_source source;

        if (!p->launched)
            continue;
        ag_sign_source_of(st, ag_book_active_key(b, p->id), b->epoch, &source);
        ag_desired_profile(b, p, &source, NULL, &row);
        snprintf(how, sizeof how, "antomctl key list %s", p->name);
        if (row.handle == 0)
            tell(w, how, "%s is launched and does not sign: %s", p->name, row.sign_why);
        snprintf(how, sizeof how, "antomctl antom-key list %s", p->name);
        if (!ag_desired_has_antom_key(b, p->id))
            tell(w, how, "%s is launched and verifies nothing: it has no Antom key", p->name);
        tell_due(w, p, ag_book_active_key(b, p->id), now_ms);
    }
}

static void tell_mail(struct antag_writer *w, const struct ag_waiting *waiting, int64_t now_ms)
{
    if (waiting->mail_queued > 0 && now_ms - waiting->mail_oldest_ms > MAIL_PATIENCE_MS)
        tell(w, "antomctl mail list", "%zu mails wait, the oldest for %lld min",
             waiting->mail_queued, (long long)((now_ms - waiting->mail_oldest_ms) / 60000));
    if (waiting->mail_refused > 0)
        tell(w, "antomctl mail list", "the mail server refused %zu mails of the last week for good",
             waiting->mail_refused);
}

void ag_attention_write(struct ag_steward *st, const struct ag_book *b, enum ag_agent_state state,
                        const char *reason, int64_t now_ms, struct antag_writer *w)
{
    struct ag_waiting waiting;
    size_t stops = ag_stop_pending_count(st);

    uv_mutex_lock(&st->lock);
    waiting = st->waiting;
    uv_mutex_unlock(&st->lock);
    antag_w_key(w, "attention");
    antag_w_array(w);
    tell_state(w, state, reason);
    if (b != NULL && b->behind != 0)
        tell(
            w, "antomctl registry confirm",
            "the registry (epoch %llu) is older than the record (epoch %llu): live profiles do not "
            "sign",
            (unsigned long long)b->epoch, (unsigned long long)b->behind);
    if (b != NULL)
        tell_launched(st, w, b, now_ms);
    if (stops > 0)
        tell(w, "antomctl doctor", "%zu stops hold and could not be recorded yet", stops);
    if (waiting.changes_open > 0)
        tell(w, "antomctl change list", "%zu change%s for approval", waiting.changes_open,
             waiting.changes_open == 1 ? " waits" : "s wait");
    if (waiting.changes_stuck > 0)
        tell(w, "antomctl change list", "%zu approved change%s not be applied yet",
             waiting.changes_stuck, waiting.changes_stuck == 1 ? " can" : "s can");
    tell_mail(w, &waiting, now_ms);
    antag_w_end(w);
}
