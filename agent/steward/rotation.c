#include "agent/steward/rotation.h"

#include <stdio.h>
#include <string.h>

#include "agent/steward/notices.h"

void ag_rotation_facts(const struct ag_life *l, const struct ag_row_rotation *r, bool insists,
                       struct ag_rotation_facts *out)
{
    struct ag_change_time begin = {r->started_at_ms, r->started_observed_ms};
    struct ag_change_time now = {l->now_ms, l->observed_ms};

    *out = (struct ag_rotation_facts){
        .state = r->state,
        .past = ag_change_is_past(begin, now, AG_ROTATION_PLAN_MS),
        .watch_over = l->observed_ms - r->state_observed_ms >= l->watch_window_ms,
        .frozen = l->freeze.name[0] != '\0',
        .insists = insists,
        .old_key = r->old_probe,
        .new_key = r->new_probe,
    };
}

enum antag_err ag_rotation_need(const struct ag_book *b, struct antag_slice name,
                                const struct ag_row_profile **profile,
                                const struct ag_row_rotation **out, struct antag_fault *fault)
{
    enum antag_err err = ag_book_need_profile(b, name, profile, fault);

    if (err != ANTAG_OK)
        return err;
    if ((*out = ag_book_open_rotation(b, (*profile)->id)) != NULL)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "profile",
                           "no rotation of %s is under way; `antomctl rotate start %s` starts one",
                           (*profile)->name, (*profile)->name);
}

enum antag_err ag_rotation_none_open(const struct ag_book *b, const struct ag_row_profile *p,
                                     struct antag_fault *fault)
{
    const struct ag_row_rotation *r = ag_book_open_rotation(b, p->id);

    if (r == NULL)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_ROTATION_STATE, "profile",
                           "rotation %llu of %s is under way, %s: its keys are moved by `antomctl "
                           "rotate`; `antomctl rotate status %s` says what is next",
                           (unsigned long long)r->id, p->name, ag_rotation_state_name(r->state),
                           p->name);
}

/* ---- what steps share */

static const char *profile_name(const struct ag_txn *t, const struct ag_row_rotation *row)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);

    return p == NULL ? "?" : p->name;
}

static uint32_t version_of(const struct ag_txn *t, uint64_t key_id)
{
    const struct ag_row_key *k = ag_book_key(t->book, key_id);

    return k == NULL ? 0 : k->version;
}

static enum antag_err need_key(const struct ag_txn *t, uint64_t id, struct ag_row_key *out,
                               struct antag_fault *fault)
{
    const struct ag_row_key *k = ag_book_key(t->book, id);

    if (k == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "version",
                               "a key of the rotation is gone");
    *out = *k;
    return ANTAG_OK;
}

/* The state that follows, in the row. */
static enum antag_err step(const struct ag_txn *t, struct ag_row_rotation *row,
                           enum ag_rotation_event event, bool insists, struct antag_fault *fault)
{
    struct ag_rotation_facts facts;
    enum ag_rotation_state to;
    enum antag_err err;

    ag_rotation_facts(&t->life, row, insists, &facts);
    if ((err = ag_rotation_step(&facts, event, &to, fault)) != ANTAG_OK)
        return err;
    row->state = to;
    row->state_at_ms = t->life.now_ms;
    row->state_observed_ms = t->life.observed_ms;
    return ANTAG_OK;
}

/* by the agent: "agent.rotate_activate" */
static void deed(struct ag_txn *t, struct ag_actor by, const char *what,
                 const struct ag_row_rotation *row, const char *said)
{
    char name[AG_DEED_MAX + 1];

    snprintf(name, sizeof name, "%s%s", by.by_agent ? "agent." : "", what);
    ag_txn_deed(t, by, name, profile_name(t, row), row->new_key_id,
                "rotation %llu: version %u to %u%s%s", (unsigned long long)row->id,
                version_of(t, row->old_key_id), version_of(t, row->new_key_id),
                said[0] == '\0' ? "" : ", ", said);
}

static enum antag_err put_and_tell(struct ag_txn *t, struct ag_actor by,
                                   struct ag_row_rotation *row, const char *what,
                                   struct antag_fault *fault)
{
    enum antag_err err = ag_registry_put_rotation(t->st->reg, row, fault);

    return err == ANTAG_OK ? ag_notice_rotation(t, row, by, what, fault) : err;
}

/* The new key that will not be used: kept as long as one that was superseded. */
static enum antag_err withdraw(struct ag_txn *t, const struct ag_row_rotation *row,
                               struct antag_fault *fault)
{
    struct ag_row_key key = {0};
    enum antag_err err = need_key(t, row->new_key_id, &key, fault);

    if (err != ANTAG_OK || key.state != AG_KEY_STAGED)
        return err;
    if ((err = ag_life_step(&t->life, t->book, &key, AG_KEYEV_WITHDRAW, true,
                            "its rotation ended without it", fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_key(t->st->reg, &key, fault);
}

/* ---- the steps */

enum antag_err ag_rotation_begin(struct ag_txn *t, struct ag_actor by, struct ag_row_rotation *row,
                                 struct antag_fault *fault)
{
    enum antag_err err;

    row->state = AG_ROTATION_PREPARED;
    row->started_at_ms = row->state_at_ms = t->life.now_ms;
    row->started_observed_ms = row->state_observed_ms = t->life.observed_ms;
    ag_txn_deed(t, by, "rotate_start", profile_name(t, row), row->new_key_id,
                "version %u to %u%s%s", version_of(t, row->old_key_id),
                version_of(t, row->new_key_id), row->armed ? ", armed" : "",
                row->auto_back ? ", rolls back by itself" : "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    return put_and_tell(t, by, row, "is prepared", fault);
}

enum antag_err ag_rotation_approve(struct ag_txn *t, struct ag_actor by,
                                   struct ag_row_rotation *row, struct antag_fault *fault)
{
    struct ag_row_key key = {0};
    enum antag_err err;

    if ((err = step(t, row, AG_ROTATIONEV_APPROVE, false, fault)) != ANTAG_OK ||
        (err = need_key(t, row->new_key_id, &key, fault)) != ANTAG_OK)
        return err;
    if (key.state != AG_KEY_STAGED)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "version",
                               "the new key, version %u, is %s; cancel the rotation and start "
                               "another",
                               key.version, ag_key_state_name(key.state));
    deed(t, by, "rotate_request", row, "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    return put_and_tell(t, by, row, "is approved", fault);
}

enum antag_err ag_rotation_submit(struct ag_txn *t, struct ag_actor by, struct ag_row_rotation *row,
                                  uint32_t key_version, struct antag_fault *fault)
{
    struct ag_row_key key = {0};
    char said[40] = "";
    enum antag_err err;

    if ((err = step(t, row, AG_ROTATIONEV_SUBMIT, false, fault)) != ANTAG_OK ||
        (err = need_key(t, row->new_key_id, &key, fault)) != ANTAG_OK)
        return err;
    row->submitted_at_ms = row->reminded_at_ms = t->life.now_ms;
    row->old_probe = row->new_probe = AG_PROBE_NONE; /* what was before proves nothing of it */
    row->old_by_hand = row->new_by_hand = false;
    row->old_said[0] = row->new_said[0] = '\0';
    row->alarm = AG_VERDICT_UNKNOWN;
    if (key_version != 0)
        snprintf(said, sizeof said, "key_version %u", key_version);
    deed(t, by, "rotate_submit", row, said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    if (key_version != 0 && key_version != key.key_version) {
        key.key_version = key_version;
        if ((err = ag_registry_put_key(t->st->reg, &key, fault)) != ANTAG_OK)
            return err;
    }
    return put_and_tell(t, by, row, "is submitted", fault);
}

/* `id` becomes the signing key, in place of the one that is. */
static enum antag_err make_active(struct ag_txn *t, uint64_t id, struct antag_fault *fault)
{
    struct ag_row_key key = {0}, other;
    bool has_other = false;
    enum antag_err err;

    if ((err = need_key(t, id, &key, fault)) != ANTAG_OK ||
        (err = ag_life_activate(&t->life, t->book, &key, true, &other, &has_other, fault)) !=
            ANTAG_OK)
        return err;
    if (!ag_keeper_holds(t->st, key.keyring, key.id))
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "keyring \"%s\" does not hold version %u now; nothing was changed",
                               key.keyring, key.version);
    if (has_other && (err = ag_registry_put_key(t->st->reg, &other, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_key(t->st->reg, &key, fault);
}

enum antag_err ag_rotation_cut_over(struct ag_txn *t, struct ag_actor by,
                                    struct ag_row_rotation *row, bool insists, const char *reason,
                                    struct antag_fault *fault)
{
    char said[ANTAG_TEXT_MAX + 1];
    enum antag_err err;

    if ((err = step(t, row, AG_ROTATIONEV_CUT_OVER, insists, fault)) != ANTAG_OK)
        return err;
    row->failures = 0;
    row->failures_at_ms = 0;
    snprintf(said, sizeof said, "%s%s%.200s", insists ? "whatever the probes say" : "",
             insists && reason[0] != '\0' ? ": " : "", reason);
    deed(t, by, "rotate_activate", row, said);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = make_active(t, row->new_key_id, fault)) != ANTAG_OK)
        return err;
    return put_and_tell(t, by, row, "has cut over", fault);
}

enum antag_err ag_rotation_roll_back(struct ag_txn *t, struct ag_actor by,
                                     struct ag_row_rotation *row, bool insists, const char *reason,
                                     struct antag_fault *fault)
{
    enum antag_err err;

    if ((err = step(t, row, AG_ROTATIONEV_ROLL_BACK, insists, fault)) != ANTAG_OK)
        return err;
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    deed(t, by, "rotate_rollback", row, reason);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (err = make_active(t, row->old_key_id, fault)) != ANTAG_OK)
        return err;
    return put_and_tell(t, by, row, "is rolled back", fault);
}

enum antag_err ag_rotation_cancel(struct ag_txn *t, struct ag_actor by, struct ag_row_rotation *row,
                                  const char *reason, struct antag_fault *fault)
{
    enum antag_err err;

    if ((err = step(t, row, AG_ROTATIONEV_CANCEL, false, fault)) != ANTAG_OK)
        return err;
    snprintf(row->reason, sizeof row->reason, "%s", reason);
    deed(t, by, "rotate_cancel", row, reason);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK || (err = withdraw(t, row, fault)) != ANTAG_OK)
        return err;
    return put_and_tell(t, by, row, "is cancelled", fault);
}

/* ---- time */

static enum antag_err end_by_time(struct ag_txn *t, struct ag_row_rotation *row,
                                  struct antag_fault *fault)
{
    bool expired = row->state == AG_ROTATION_EXPIRED;
    enum antag_err err;

    deed(t, ag_actor_agent, expired ? "rotate_expired" : "rotate_complete", row, "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK ||
        (expired && (err = withdraw(t, row, fault)) != ANTAG_OK))
        return err;
    return put_and_tell(t, ag_actor_agent, row, expired ? "is expired" : "is complete", fault);
}

static enum antag_err remind(struct ag_txn *t, struct ag_row_rotation *row,
                             struct antag_fault *fault)
{
    enum antag_err err;

    row->reminded_at_ms = t->life.now_ms;
    deed(t, ag_actor_agent, "rotate_reminder", row, "");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    return put_and_tell(t, ag_actor_agent, row, "still waits", fault);
}

/* Once a day, while somebody has to do something. */
static bool needs_reminder(const struct ag_life *l, const struct ag_row_rotation *row)
{
    int64_t since = row->reminded_at_ms > row->state_at_ms ? row->reminded_at_ms : row->state_at_ms;

    return row->state != AG_ROTATION_WATCHING && l->now_ms - since >= AG_ROTATION_REMIND_MS;
}

enum antag_err ag_rotation_tick(struct ag_txn *t, bool *written, struct antag_fault *fault)
{
    for (size_t i = 0; i < t->book->rotation_count && !*written; i++) {
        struct ag_row_rotation row = t->book->rotations[i];

        if (ag_rotation_is_over(row.state))
            continue;
        if (step(t, &row, AG_ROTATIONEV_TICK, false, NULL) == ANTAG_OK) {
            *written = true;
            return end_by_time(t, &row, fault);
        }
        row = t->book->rotations[i];
        if (needs_reminder(&t->life, &row)) {
            *written = true;
            return remind(t, &row, fault);
        }
    }
    return ANTAG_OK;
}

/* ---- probes */

static void note_one(const struct ag_probed *p, int64_t now_ms, enum ag_probe_outcome *outcome,
                     bool *by_hand, int64_t *at_ms, char said[ANTAG_TEXT_MAX + 1])
{
    if (p == NULL)
        return;
    /* where there is no network, what was pasted stands */
    if (p->outcome == AG_PROBE_UNPROVEN && *by_hand && !p->by_hand)
        return;
    *outcome = p->outcome;
    *by_hand = p->by_hand;
    *at_ms = now_ms;
    memcpy(said, p->said, sizeof p->said);
}

static const char *verdict_title(enum ag_probe_verdict v, const struct ag_row_rotation *row,
                                 const struct ag_life *l)
{
    switch (v) {
    case AG_VERDICT_BOTH:
        return row->state == AG_ROTATION_SUBMITTED ? "can cut over" : NULL;
    case AG_VERDICT_ONLY_NEW:
        if (row->state != AG_ROTATION_SUBMITTED || (row->armed && l->freeze.name[0] == '\0'))
            return NULL; /* as it should be; or it is mailed that it has cut over */
        return "ALARM: Antom accepts only the new key";
    case AG_VERDICT_ONLY_OLD:
        return row->state == AG_ROTATION_WATCHING ? "ALARM: Antom accepts only the old key" : NULL;
    case AG_VERDICT_NEITHER:
        return "ALARM: Antom refuses both keys";
    case AG_VERDICT_UNKNOWN:
        break;
    }
    return NULL;
}

enum antag_err ag_rotation_probed(struct ag_txn *t, struct ag_row_rotation *row,
                                  const struct ag_probed *old_key, const struct ag_probed *new_key,
                                  struct antag_fault *fault)
{
    const struct ag_row_rotation before = *row;
    enum ag_probe_verdict verdict;
    const char *title;
    char said[64];
    bool news, turned;
    enum antag_err err;

    note_one(old_key, t->life.now_ms, &row->old_probe, &row->old_by_hand, &row->old_probe_at_ms,
             row->old_said);
    note_one(new_key, t->life.now_ms, &row->new_probe, &row->new_by_hand, &row->new_probe_at_ms,
             row->new_said);
    verdict = ag_probe_verdict(row->old_probe, row->new_probe);
    news = row->old_probe != before.old_probe || row->new_probe != before.new_probe;
    turned = verdict != AG_VERDICT_UNKNOWN && (uint32_t)verdict != row->alarm;
    title = turned ? verdict_title(verdict, row, &t->life) : NULL;
    if (turned)
        row->alarm = (uint32_t)verdict;
    snprintf(said, sizeof said, "old %s, new %s", ag_probe_outcome_name(row->old_probe),
             ag_probe_outcome_name(row->new_probe));
    deed(t, ag_actor_agent, "rotate_probe", row, said);
    err = news ? ag_txn_write(t, fault) : ag_txn_write_quiet(t, fault);
    if (err != ANTAG_OK)
        return err;
    if (title != NULL)
        return put_and_tell(t, ag_actor_agent, row, title, fault);
    return ag_registry_put_rotation(t->st->reg, row, fault);
}

bool ag_rotation_is_due(const struct ag_life *l, const struct ag_row_rotation *row)
{
    struct ag_rotation_facts facts;
    enum ag_rotation_state to;

    ag_rotation_facts(l, row, false, &facts);
    return row->armed && !row->old_by_hand && !row->new_by_hand &&
           ag_probe_verdict(row->old_probe, row->new_probe) == AG_VERDICT_ONLY_NEW &&
           ag_rotation_step(&facts, AG_ROTATIONEV_CUT_OVER, &to, NULL) == ANTAG_OK;
}

bool ag_rotation_fails(const struct ag_life *l, const struct ag_row_rotation *row)
{
    return row->state == AG_ROTATION_WATCHING && row->auto_back &&
           row->failures >= AG_ROTATION_FAILURES &&
           l->observed_ms - row->state_observed_ms < AG_ROTATION_ROLLBACK_MS &&
           row->old_probe == AG_PROBE_ACCEPTED && !row->old_by_hand &&
           row->old_probe_at_ms > row->state_at_ms;
}
