#include "agent/steward/life.h"

#include <stdio.h>
#include <string.h>

static void take_freeze(struct ag_life *l, const struct ag_conf *c)
{
    struct ag_freezes all;
    const struct ag_freeze *on = NULL;

    if (ag_freezes_parse(antag_slice_of(c->rotation_freeze), &all, NULL) == ANTAG_OK)
        on = ag_freezes_at(&all, l->now_ms); /* the configuration is not taken when it is wrong */
    l->freeze = on == NULL ? (struct ag_freeze){0} : *on;
}

void ag_life_init(struct ag_life *l, const struct ag_conf *c, int64_t now_ms, int64_t observed_ms)
{
    l->now_ms = now_ms;
    l->observed_ms = observed_ms;
    l->watch_window_ms = c->keys_watch_window_ms;
    l->destroy_wait_ms = c->keys_destroy_wait_ms;
    l->antom_overlap_ms = c->keys_antom_overlap_ms;
    take_freeze(l, c);
}

/* Observed time never goes back, but a row may have been written with a newer count than was stored. */
static int64_t since(const struct ag_life *l, int64_t state_observed_ms)
{
    return l->observed_ms > state_observed_ms ? l->observed_ms - state_observed_ms : 0;
}

/* The plan of a rotation covers the end of the key it replaced. */
static bool is_rotated_out(const struct ag_book *b, uint64_t key_id)
{
    for (size_t i = 0; i < b->rotation_count; i++)
        if (b->rotations[i].old_key_id == key_id && b->rotations[i].state == AG_ROTATION_COMPLETE)
            return true;
    return false;
}

void ag_life_facts(const struct ag_life *l, const struct ag_book *b, const struct ag_row_key *k,
                   bool self_tested, struct ag_key_facts *out)
{
    const struct ag_row_key *active = ag_book_active_key(b, k->profile_id);

    *out = (struct ag_key_facts){
        .state = k->state,
        .suspended_from = k->suspended_from,
        .state_observed_ms = since(l, k->state_observed_ms),
        .watch_window_ms = l->watch_window_ms,
        .destroy_wait_ms = l->destroy_wait_ms,
        .profile_has_other_active = active != NULL && active->id != k->id,
        .self_tested = self_tested,
        .destroy_automatic = is_rotated_out(b, k->id),
    };
}

static void enter_state(const struct ag_life *l, struct ag_row_key *k,
                        const struct ag_key_step *step, const char *reason)
{
    if (step->to == AG_KEY_SUSPENDED)
        k->suspended_from = k->state;
    k->state = step->to;
    k->state_at_ms = l->now_ms;
    k->state_observed_ms = l->observed_ms;
    snprintf(k->reason, sizeof k->reason, "%s", reason == NULL ? "" : reason);
    if (step->action == AG_KEYACT_WIPE) {
        ag_secret_wipe(k->sealed, sizeof k->sealed);
        k->sealed_len = 0;
    }
}

enum antag_err ag_life_step(const struct ag_life *l, const struct ag_book *b, struct ag_row_key *k,
                            enum ag_key_event event, bool self_tested, const char *reason,
                            struct antag_fault *fault)
{
    struct ag_key_facts facts;
    struct ag_key_step step;
    struct ag_wait why = {.for_ms = -1};
    const struct ag_row_profile *p = ag_book_profile(b, k->profile_id);

    ag_life_facts(l, b, k, self_tested, &facts);
    if (ag_keylife_step(&facts, event, &step, &why) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "version",
                               "%s version %u is %s, which does not allow \"%s\"%s%s%s",
                               p == NULL ? "?" : p->name, k->version, ag_key_state_name(k->state),
                               ag_key_event_name(event),
                               why.reason[0] == '\0' ? "" : " (it waits for: ", why.reason,
                               why.reason[0] == '\0' ? "" : ")");
    enter_state(l, k, &step, reason);
    return ANTAG_OK;
}

static void antom_facts(const struct ag_life *l, const struct ag_row_antom_key *k,
                        struct ag_antom_key_facts *out)
{
    *out = (struct ag_antom_key_facts){
        .state = k->state,
        .state_observed_ms = since(l, k->state_observed_ms),
        .overlap_ms = l->antom_overlap_ms,
    };
}

enum antag_err ag_life_antom_step(const struct ag_life *l, struct ag_row_antom_key *k,
                                  enum ag_antom_key_event event, struct antag_fault *fault)
{
    struct ag_antom_key_facts facts;
    struct ag_wait why = {.for_ms = -1};
    enum ag_antom_key_state to;

    antom_facts(l, k, &facts);
    if (ag_antom_keylife_step(&facts, event, &to, &why) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "version",
                               "Antom key version %u is %s, which does not allow this%s%s%s",
                               k->version, ag_antom_key_state_name(k->state),
                               why.reason[0] == '\0' ? "" : " (it waits for: ", why.reason,
                               why.reason[0] == '\0' ? "" : ")");
    k->state = to;
    k->state_at_ms = l->now_ms;
    k->state_observed_ms = l->observed_ms;
    return ANTAG_OK;
}

int64_t ag_life_antom_left_ms(const struct ag_life *l, const struct ag_row_antom_key *k)
{
    int64_t left = l->antom_overlap_ms - since(l, k->state_observed_ms);

    if (k->state != AG_ANTOM_KEY_RETIRING)
        return -1;
    return left > 0 ? left : 0;
}

/* The event by which staff makes a key in this state the signing one. */
static enum ag_key_event activating_event(enum ag_key_state state)
{
    return state == AG_KEY_RETIRING ? AG_KEYEV_ROLL_BACK : AG_KEYEV_ACTIVATE;
}

enum antag_err ag_life_activate(const struct ag_life *l, struct ag_book *b, struct ag_row_key *k,
                                bool self_tested, struct ag_row_key *old, bool *has_old,
                                struct antag_fault *fault)
{
    struct ag_row_key *active = (struct ag_row_key *)ag_book_active_key(b, k->profile_id);
    struct ag_row_key superseded;
    char reason[64];
    enum antag_err err;

    *has_old = false;
    if (active != NULL && active->id != k->id) {
        superseded = *active;
        snprintf(reason, sizeof reason, "superseded by version %u", k->version);
        err = ag_life_step(l, b, &superseded, AG_KEYEV_SUPERSEDE, true, reason, fault);
        if (err != ANTAG_OK)
            return err;
        active->state = superseded.state; /* so that the guard below sees a profile without one */
    }
    err = ag_life_step(l, b, k, activating_event(k->state), self_tested, NULL, fault);
    if (active != NULL && active->id != k->id) {
        active->state = AG_KEY_ACTIVE;
        *old = superseded;
        *has_old = err == ANTAG_OK;
    }
    return err;
}
