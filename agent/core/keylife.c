/* keylife: steps and waits of merchant keys and Antom keys, from the rows of keylife_internal.h. */
#include <stdio.h>
#include <string.h>

#include "agent/core/keylife.h"
#include "agent/core/keylife_internal.h"

/* ---- names. An index out of its enum comes from a damaged row, and must be survived. */

static const char *name_of(const char *const *names, size_t count, size_t i)
{
    return i < count ? names[i] : "unknown";
}

static const char *const state_names[] = {
    [AG_KEY_STAGED] = "staged",       [AG_KEY_ACTIVE] = "active",
    [AG_KEY_RETIRING] = "retiring",   [AG_KEY_RETIRED] = "retired",
    [AG_KEY_SUSPENDED] = "suspended", [AG_KEY_COMPROMISED] = "compromised",
    [AG_KEY_DESTROYED] = "destroyed",
};
_Static_assert(sizeof state_names / sizeof *state_names == AG_KEY_STATE_COUNT, "a name each");

static const char *const event_names[] = {
    [AG_KEYEV_ACTIVATE] = "activate", [AG_KEYEV_SUPERSEDE] = "supersede",
    [AG_KEYEV_WITHDRAW] = "withdraw", [AG_KEYEV_ROLL_BACK] = "roll back",
    [AG_KEYEV_TICK] = "tick",         [AG_KEYEV_SUSPEND] = "suspend",
    [AG_KEYEV_RESUME] = "resume",     [AG_KEYEV_COMPROMISE] = "compromise",
    [AG_KEYEV_DESTROY] = "destroy",
};
_Static_assert(sizeof event_names / sizeof *event_names == AG_KEY_EVENT_COUNT, "a name each");

static const char *const action_names[] = {
    [AG_KEYACT_NONE] = "",
    [AG_KEYACT_START_SIGNING] = "start signing",
    [AG_KEYACT_STOP_SIGNING] = "stop signing",
    [AG_KEYACT_WIPE] = "wipe the private half",
};

static const char *const antom_state_names[] = {
    [AG_ANTOM_KEY_STAGED] = "staged",
    [AG_ANTOM_KEY_ACTIVE] = "active",
    [AG_ANTOM_KEY_RETIRING] = "retiring",
    [AG_ANTOM_KEY_REVOKED] = "revoked",
};
_Static_assert(sizeof antom_state_names / sizeof *antom_state_names == AG_ANTOM_KEY_STATE_COUNT,
               "a name each");

static const char *const antom_event_names[] = {
    [AG_ANTOMEV_START] = "start",
    [AG_ANTOMEV_SUPERSEDE] = "supersede",
    [AG_ANTOMEV_TICK] = "tick",
    [AG_ANTOMEV_REVOKE] = "revoke",
};
_Static_assert(sizeof antom_event_names / sizeof *antom_event_names == AG_ANTOM_KEY_EVENT_COUNT,
               "a name each");

static const char *const actor_names[] = {
    [AG_ACTS_NOBODY] = "nobody",
    [AG_ACTS_AGENT] = "agent",
    [AG_ACTS_STAFF] = "staff",
    [AG_ACTS_ANTOM] = "Antom",
};

static const char *const guard_texts[] = {
#define AG_ROW(name, text) text,
    AG_KEY_GUARDS(AG_ROW)
#undef AG_ROW
};

static const char *const antom_guard_texts[] = {
#define AG_ROW(name, text) text,
    AG_ANTOM_KEY_GUARDS(AG_ROW)
#undef AG_ROW
};

#define NAME(names, i) name_of((names), sizeof(names) / sizeof *(names), (size_t)(i))

const char *ag_key_state_name(enum ag_key_state s)
{
    return NAME(state_names, s);
}

const char *ag_key_event_name(enum ag_key_event e)
{
    return NAME(event_names, e);
}

const char *ag_key_action_name(enum ag_key_action a)
{
    return NAME(action_names, a);
}

const char *ag_key_guard_text(enum ag_key_guard g)
{
    return NAME(guard_texts, g);
}

const char *ag_antom_key_state_name(enum ag_antom_key_state s)
{
    return NAME(antom_state_names, s);
}

const char *ag_antom_key_event_name(enum ag_antom_key_event e)
{
    return NAME(antom_event_names, e);
}

const char *ag_antom_key_guard_text(enum ag_antom_key_guard g)
{
    return NAME(antom_guard_texts, g);
}

const char *ag_actor_name(enum ag_actor_kind who)
{
    return NAME(actor_names, who);
}

enum antag_err ag_key_state_parse(struct antag_slice text, enum ag_key_state *out)
{
    for (size_t i = 0; i < AG_KEY_STATE_COUNT; i++) {
        if (antag_slice_is(text, state_names[i])) {
            *out = (enum ag_key_state)i;
            return ANTAG_OK;
        }
    }
    return ANTAG_ERR_BAD_PARAM;
}

enum antag_err ag_antom_key_state_parse(struct antag_slice text, enum ag_antom_key_state *out)
{
    for (size_t i = 0; i < AG_ANTOM_KEY_STATE_COUNT; i++) {
        if (antag_slice_is(text, antom_state_names[i])) {
            *out = (enum ag_antom_key_state)i;
            return ANTAG_OK;
        }
    }
    return ANTAG_ERR_BAD_PARAM;
}

bool ag_key_state_signs(enum ag_key_state s)
{
    enum uses { NOTHING, PROBE, SIGN };
    static const enum uses uses[] = {
#define AG_ROW(name, signs, text) signs,
        AG_KEY_STATES(AG_ROW)
#undef AG_ROW
    };

    return (size_t)s < AG_KEY_STATE_COUNT && uses[s] == SIGN; /* a probe is not a payment */
}

bool ag_antom_key_state_verifies(enum ag_antom_key_state s)
{
    static const bool verifies[] = {
#define AG_ROW(name, verifies, text) verifies,
        AG_ANTOM_KEY_STATES(AG_ROW)
#undef AG_ROW
    };

    return (size_t)s < AG_ANTOM_KEY_STATE_COUNT && verifies[s];
}

/* ---- waits */

static void wait_set(struct ag_wait *w, enum ag_actor_kind who, int64_t for_ms, const char *reason)
{
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    w->for_ms = for_ms;
    w->who = who;
}

/* What is left of a duration. A negative one is no duration: it never ends, as what it guards destroys. */
static int64_t left_ms(int64_t duration_ms, int64_t observed_ms)
{
    if (duration_ms < 0)
        return -1;
    if (observed_ms < 0) /* a clock that ran backwards has observed nothing */
        observed_ms = 0;
    return observed_ms >= duration_ms ? 0 : duration_ms - observed_ms;
}

static int64_t destroy_left_ms(const struct ag_key_facts *f)
{
    return left_ms(f->destroy_wait_ms, f->state_observed_ms);
}

static int64_t overlap_left_ms(const struct ag_antom_key_facts *f)
{
    int64_t overlap = f->overlap_ms;

    if (overlap < AG_ANTOM_OVERLAP_MIN_MS)
        overlap = AG_ANTOM_OVERLAP_MIN_MS;
    return left_ms(overlap, f->state_observed_ms);
}

void ag_keylife_wait(const struct ag_key_facts *f, struct ag_wait *out)
{
    switch (f->state) {
    case AG_KEY_STAGED:
        if (f->self_tested)
            wait_set(out, AG_ACTS_STAFF, -1, "staff activates it");
        else
            wait_set(out, AG_ACTS_AGENT, -1, "its keyring holds it and a self-test passes");
        return;
    case AG_KEY_ACTIVE:
        wait_set(out, AG_ACTS_NOBODY, -1, "nothing; it signs until another key is activated");
        return;
    case AG_KEY_RETIRING:
        wait_set(out, AG_ACTS_AGENT, left_ms(f->watch_window_ms, f->state_observed_ms),
                 "the watch window ends; until then it can be activated again");
        return;
    case AG_KEY_RETIRED:
        wait_set(out, f->destroy_automatic ? AG_ACTS_AGENT : AG_ACTS_STAFF, destroy_left_ms(f),
                 f->destroy_automatic ? "its wait ends; then the agent destroys it"
                                      : "its wait ends; then staff may destroy it");
        return;
    case AG_KEY_SUSPENDED:
        wait_set(out, AG_ACTS_STAFF, -1, "staff resumes it or marks it as compromised");
        return;
    case AG_KEY_COMPROMISED:
        wait_set(out, AG_ACTS_STAFF, -1, "staff destroys it");
        return;
    case AG_KEY_DESTROYED:
        wait_set(out, AG_ACTS_NOBODY, -1, "nothing; its private half is gone");
        return;
    case AG_KEY_STATE_COUNT:
        break;
    }
    wait_set(out, AG_ACTS_NOBODY, -1, "nothing; its state is unknown");
}

void ag_antom_keylife_wait(const struct ag_antom_key_facts *f, struct ag_wait *out)
{
    switch (f->state) {
    case AG_ANTOM_KEY_STAGED:
        wait_set(out, AG_ACTS_STAFF, -1, "it is approved, or its start comes");
        return;
    case AG_ANTOM_KEY_ACTIVE:
        wait_set(out, AG_ACTS_NOBODY, -1, "nothing; it verifies until it is superseded");
        return;
    case AG_ANTOM_KEY_RETIRING:
        wait_set(out, AG_ACTS_AGENT, overlap_left_ms(f), "the overlap ends");
        return;
    case AG_ANTOM_KEY_REVOKED:
        wait_set(out, AG_ACTS_NOBODY, -1, "nothing; it never verifies again");
        return;
    case AG_ANTOM_KEY_STATE_COUNT:
        break;
    }
    wait_set(out, AG_ACTS_NOBODY, -1, "nothing; its state is unknown");
}

/* ---- guards of merchant keys: yes, or no and why. The guards of resume leave `why` alone where the key
 * was stopped in another state, since another row of the pair is about that. */

typedef bool ag_guard(const struct ag_key_facts *f, struct ag_wait *why);

static bool guard_always(const struct ag_key_facts *f, struct ag_wait *why)
{
    (void)f;
    (void)why;
    return true;
}

static bool guard_self_tested(const struct ag_key_facts *f, struct ag_wait *why)
{
    if (!f->self_tested)
        wait_set(why, AG_ACTS_AGENT, -1, "its keyring does not hold it or its self-test failed");
    return f->self_tested;
}

static bool guard_dispensable(const struct ag_key_facts *f, struct ag_wait *why)
{
    bool yes = f->profile_has_other_active || !f->self_tested;

    if (!yes)
        wait_set(why, AG_ACTS_STAFF, -1,
                 "no other key of the profile is active, so Antom may be waiting for this one");
    return yes;
}

static bool guard_watch_over(const struct ag_key_facts *f, struct ag_wait *why)
{
    int64_t left = left_ms(f->watch_window_ms, f->state_observed_ms);

    if (left != 0)
        wait_set(why, AG_ACTS_AGENT, left, "the watch window is not over");
    return left == 0;
}

static bool guard_wait_over(const struct ag_key_facts *f, struct ag_wait *why)
{
    int64_t left = destroy_left_ms(f);

    if (left != 0)
        wait_set(why, f->destroy_automatic ? AG_ACTS_AGENT : AG_ACTS_STAFF, left,
                 "its wait before destruction is not over");
    return left == 0;
}

static bool guard_wait_over_unattended(const struct ag_key_facts *f, struct ag_wait *why)
{
    if (!guard_wait_over(f, why))
        return false;
    if (!f->destroy_automatic)
        wait_set(why, AG_ACTS_STAFF, -1, "staff destroys it; time alone does not");
    return f->destroy_automatic;
}

static bool guard_was_staged(const struct ag_key_facts *f, struct ag_wait *why)
{
    (void)why;
    return f->suspended_from == AG_KEY_STAGED;
}

static bool guard_was_active(const struct ag_key_facts *f, struct ag_wait *why)
{
    return f->suspended_from == AG_KEY_ACTIVE && !f->profile_has_other_active &&
           guard_self_tested(f, why);
}

static bool guard_was_replaced(const struct ag_key_facts *f, struct ag_wait *why)
{
    (void)why;
    return f->suspended_from == AG_KEY_ACTIVE && f->profile_has_other_active;
}

static bool guard_was_retiring(const struct ag_key_facts *f, struct ag_wait *why)
{
    (void)why;
    return f->suspended_from == AG_KEY_RETIRING;
}

static bool guard_was_retired(const struct ag_key_facts *f, struct ag_wait *why)
{
    (void)why;
    return f->suspended_from == AG_KEY_RETIRED;
}

static ag_guard *const guards[] = {
#define AG_ROW(name, text) guard_##name,
    AG_KEY_GUARDS(AG_ROW)
#undef AG_ROW
};

/* ---- rows */

const struct ag_keylife_row ag_keylife_rows[] = {
#define AG_ROW(from, event, guard, action, to)                                                     \
    {AG_KEY_##from, AG_KEYEV_##event, AG_KEYGUARD_##guard, AG_KEYACT_##action, AG_KEY_##to},
    AG_KEYLIFE(AG_ROW)
#undef AG_ROW
};
const size_t ag_keylife_row_count = sizeof ag_keylife_rows / sizeof *ag_keylife_rows;

const struct ag_antom_keylife_row ag_antom_keylife_rows[] = {
#define AG_ROW(from, event, guard, to)                                                             \
    {AG_ANTOM_KEY_##from, AG_ANTOMEV_##event, AG_ANTOMGUARD_##guard, AG_ANTOM_KEY_##to},
    AG_ANTOM_KEYLIFE(AG_ROW)
#undef AG_ROW
};
const size_t ag_antom_keylife_row_count =
    sizeof ag_antom_keylife_rows / sizeof *ag_antom_keylife_rows;

enum antag_err ag_keylife_step(const struct ag_key_facts *f, enum ag_key_event event,
                               struct ag_key_step *out, struct ag_wait *why)
{
    struct ag_wait unread;

    if (why == NULL)
        why = &unread;
    ag_keylife_wait(f, why); /* stands where no row is about this event */
    for (size_t i = 0; i < ag_keylife_row_count; i++) {
        const struct ag_keylife_row *row = &ag_keylife_rows[i];

        if (row->from != f->state || row->event != event)
            continue;
        if (guards[row->guard](f, why)) {
            *out = (struct ag_key_step){row->to, row->action};
            return ANTAG_OK;
        }
    }
    return ANTAG_ERR_KEY_STATE;
}

static bool antom_guard_says(enum ag_antom_key_guard guard, const struct ag_antom_key_facts *f,
                             struct ag_wait *why)
{
    int64_t left = guard == AG_ANTOMGUARD_overlap_over ? overlap_left_ms(f) : 0;

    if (left != 0)
        wait_set(why, AG_ACTS_AGENT, left, "the overlap is not over");
    return left == 0;
}

enum antag_err ag_antom_keylife_step(const struct ag_antom_key_facts *f,
                                     enum ag_antom_key_event event, enum ag_antom_key_state *to,
                                     struct ag_wait *why)
{
    struct ag_wait unread;

    if (why == NULL)
        why = &unread;
    ag_antom_keylife_wait(f, why); /* stands where no row is about this event */
    for (size_t i = 0; i < ag_antom_keylife_row_count; i++) {
        const struct ag_antom_keylife_row *row = &ag_antom_keylife_rows[i];

        if (row->from != f->state || row->event != event)
            continue;
        if (antom_guard_says(row->guard, f, why)) {
            *to = row->to;
            return ANTAG_OK;
        }
    }
    return ANTAG_ERR_KEY_STATE;
}
