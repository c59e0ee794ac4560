/* attention: what a person has to do something about, for `antomctl status` and whoever monitors it. Of state that is at
 * hand: it waits for nothing. */
#include <stdarg.h>
#include <stdio.h>

#include "agent/core/cryptoperiod.h"
#include "agent/steward/attention.h"
#include "agent/steward/rotation.h"

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
    snprintf(how, sizeof how, "antomctl rotate start %s", p->name);
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

/* Rotations that wait for a person, and those whose new key Antom refuses. */
static void tell_rotations(struct ag_steward *st, struct antag_writer *w, const struct ag_book *b,
                           int64_t now_ms)
{
    struct ag_conf conf;
    struct ag_life life;

    ag_conf_copy(st, &conf);
    ag_life_init(&life, &conf, now_ms, 0);
    for (size_t i = 0; i < b->rotation_count; i++) {
        const struct ag_row_rotation *r = &b->rotations[i];
        const struct ag_row_profile *p = ag_book_profile(b, r->profile_id);
        struct ag_rotation_facts facts;
        struct ag_wait wait = {.reason = ""};
        char how[ANTAG_PROFILE_MAX + 40];

        if (p == NULL || ag_rotation_is_over(r->state))
            continue;
        ag_rotation_facts(&life, r, false, &facts);
        ag_rotation_wait(&facts, r->armed && !r->old_by_hand && !r->new_by_hand, &wait);
        snprintf(how, sizeof how, "antomctl rotate status %s", p->name);
        if (wait.who == AG_ACTS_STAFF)
            tell(w, how, "the rotation of %s is %s: %s", p->name, ag_rotation_state_name(r->state),
                 wait.reason);
        snprintf(how, sizeof how, "antomctl rotate rollback %s", p->name);
        if (r->failures > 0)
            tell(w, how, "%llu failures were reported under the new key of %s",
                 (unsigned long long)r->failures, p->name);
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
    if (b != NULL) {
        tell_launched(st, w, b, now_ms);
        tell_rotations(st, w, b, now_ms);
    }
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
