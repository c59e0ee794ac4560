#include "agent/core/rotation_internal.h"

#include <stdio.h>

#include "agent/core/keylife_internal.h"
#include "agent/core/statedoc.h"

/* An index out of its enum comes from a damaged row, and must be survived. */
static const struct {
    const char *name, *text;
    bool over;
} states[AG_ROTATION_STATE_COUNT] = {
#define AG_ROW(state, name, over, text) {name, text, over},
    AG_ROTATION_STATES(AG_ROW)
#undef AG_ROW
};

static const struct {
    const char *name, *text;
} events[AG_ROTATION_EVENT_COUNT] = {
#define AG_ROW(event, name, text) {name, text},
    AG_ROTATION_EVENTS(AG_ROW)
#undef AG_ROW
};

static const char *const guards[AG_ROTATION_GUARD_COUNT] = {
#define AG_ROW(name, text) text,
    AG_ROTATION_GUARDS(AG_ROW)
#undef AG_ROW
};

static const struct {
    const char *name, *text;
} outcomes[AG_PROBE_OUTCOME_COUNT] = {
#define AG_ROW(outcome, name, text) {name, text},
    AG_PROBE_OUTCOMES(AG_ROW)
#undef AG_ROW
};

const struct ag_rotation_row ag_rotation_rows[] = {
#define AG_ROW(from, event, guard, to)                                                             \
    {AG_ROTATION_##from, AG_ROTATIONEV_##event, AG_ROTATIONGUARD_##guard, AG_ROTATION_##to},
    AG_ROTATION_TABLE(AG_ROW)
#undef AG_ROW
};
const size_t ag_rotation_row_count = sizeof ag_rotation_rows / sizeof *ag_rotation_rows;

const char *ag_rotation_state_name(enum ag_rotation_state s)
{
    return (size_t)s < AG_ROTATION_STATE_COUNT ? states[s].name : "unknown";
}

const char *ag_rotation_state_text(enum ag_rotation_state s)
{
    return (size_t)s < AG_ROTATION_STATE_COUNT ? states[s].text : "its row is damaged";
}

const char *ag_rotation_event_name(enum ag_rotation_event e)
{
    return (size_t)e < AG_ROTATION_EVENT_COUNT ? events[e].name : "unknown";
}

bool ag_rotation_is_over(enum ag_rotation_state s)
{
    return (size_t)s >= AG_ROTATION_STATE_COUNT || states[s].over;
}

const char *ag_probe_outcome_name(enum ag_probe_outcome o)
{
    return (size_t)o < AG_PROBE_OUTCOME_COUNT ? outcomes[o].name : "unknown";
}

enum ag_probe_verdict ag_probe_verdict(enum ag_probe_outcome old_key, enum ag_probe_outcome new_key)
{
    bool old_yes = old_key == AG_PROBE_ACCEPTED, old_no = old_key == AG_PROBE_REFUSED;
    bool new_yes = new_key == AG_PROBE_ACCEPTED, new_no = new_key == AG_PROBE_REFUSED;

    if ((!old_yes && !old_no) || (!new_yes && !new_no))
        return AG_VERDICT_UNKNOWN;
    if (old_yes)
        return new_yes ? AG_VERDICT_BOTH : AG_VERDICT_ONLY_OLD;
    return new_yes ? AG_VERDICT_ONLY_NEW : AG_VERDICT_NEITHER;
}

static bool holds(enum ag_rotation_guard guard, const struct ag_rotation_facts *f)
{
    switch (guard) {
    case AG_ROTATIONGUARD_always:
        return true;
    case AG_ROTATIONGUARD_in_time:
        return !f->past;
    case AG_ROTATIONGUARD_past:
        return f->past;
    case AG_ROTATIONGUARD_may_cut_over:
        return !f->past && !f->frozen && (f->insists || f->new_key == AG_PROBE_ACCEPTED);
    case AG_ROTATIONGUARD_may_roll_back:
        return f->insists || f->old_key != AG_PROBE_REFUSED;
    case AG_ROTATIONGUARD_watch_over:
        return f->watch_over;
    case AG_ROTATION_GUARD_COUNT:
        break;
    }
    return false;
}

/* Why a pair that has a row is refused. NULL: it has none. */
static const char *why_not(const struct ag_rotation_facts *f, enum ag_rotation_event event)
{
    const struct ag_rotation_row *row = NULL;

    for (size_t i = 0; i < ag_rotation_row_count && row == NULL; i++)
        if (ag_rotation_rows[i].from == f->state && ag_rotation_rows[i].event == event)
            row = &ag_rotation_rows[i];
    if (row == NULL)
        return NULL;
    if (row->guard == AG_ROTATIONGUARD_may_roll_back)
        return "Antom refused the last probe of the old key: give it its public half again first "
               "(antomctl key export), or insist with --anyway";
    if (row->guard == AG_ROTATIONGUARD_may_cut_over && f->frozen && !f->past)
        return "a freeze is on; `antomctl rotate status` says until when";
    if (row->guard == AG_ROTATIONGUARD_may_cut_over && !f->past)
        return "no probe shows that Antom accepts the new key; `antomctl rotate probe` asks it "
               "now, "
               "or insist with --anyway";
    if (row->guard == AG_ROTATIONGUARD_watch_over || row->guard == AG_ROTATIONGUARD_past)
        return "its time is not over";
    return "the plan's time is over; start another";
}

enum antag_err ag_rotation_step(const struct ag_rotation_facts *facts, enum ag_rotation_event event,
                                enum ag_rotation_state *to, struct antag_fault *fault)
{
    const char *why;

    for (size_t i = 0; i < ag_rotation_row_count; i++) {
        const struct ag_rotation_row *row = &ag_rotation_rows[i];

        if (row->from == facts->state && row->event == event && holds(row->guard, facts)) {
            *to = row->to;
            return ANTAG_OK;
        }
    }
    why = why_not(facts, event);
    if (why != NULL)
        return antag_fault_set(fault, ANTAG_ERR_ROTATION_STATE, NULL, "%s", why);
    return antag_fault_set(fault, ANTAG_ERR_ROTATION_STATE, NULL, "the rotation is %s: %s",
                           ag_rotation_state_name(facts->state),
                           ag_rotation_state_text(facts->state));
}

/* ---- what it waits for */

static void wait_set(struct ag_wait *w, enum ag_actor_kind who, const char *reason)
{
    snprintf(w->reason, sizeof w->reason, "%s", reason);
    w->who = who;
}

static void wait_for_antom(const struct ag_rotation_facts *f, bool armed, struct ag_wait *out)
{
    switch (ag_probe_verdict(f->old_key, f->new_key)) {
    case AG_VERDICT_ONLY_OLD:
        wait_set(out, AG_ACTS_ANTOM,
                 "Antom accepts the new key; the approval it mails is given, and it acts on it");
        return;
    case AG_VERDICT_BOTH:
        wait_set(out, AG_ACTS_STAFF, "Antom accepts both keys: staff activates the new one");
        return;
    case AG_VERDICT_ONLY_NEW:
        if (f->frozen)
            wait_set(out, AG_ACTS_STAFF,
                     "ALARM: Antom accepts only the new key, and a freeze is on");
        else if (armed)
            wait_set(out, AG_ACTS_AGENT, "Antom accepts only the new key: the agent cuts over");
        else
            wait_set(out, AG_ACTS_STAFF,
                     "ALARM: Antom accepts only the new key: staff activates it");
        return;
    case AG_VERDICT_NEITHER:
        wait_set(out, AG_ACTS_STAFF, "ALARM: Antom refuses both keys: staff asks Antom");
        return;
    case AG_VERDICT_UNKNOWN:
        break;
    }
    if (f->new_key == AG_PROBE_ACCEPTED)
        wait_set(out, AG_ACTS_STAFF, "Antom accepts the new key: staff activates it");
    else
        wait_set(out, AG_ACTS_ANTOM, "a probe shows whether Antom accepts the new key");
}

void ag_rotation_wait(const struct ag_rotation_facts *f, bool armed, struct ag_wait *out)
{
    switch (f->state) {
    case AG_ROTATION_PREPARED:
        wait_set(out, AG_ACTS_STAFF, "the plan is approved");
        return;
    case AG_ROTATION_APPROVED:
        wait_set(out, AG_ACTS_STAFF, "an officer gives Antom the new public half and says so");
        return;
    case AG_ROTATION_SUBMITTED:
        wait_for_antom(f, armed, out);
        return;
    case AG_ROTATION_WATCHING:
        wait_set(out, AG_ACTS_AGENT, "the watch window ends; until then it can be rolled back");
        return;
    default:
        wait_set(out, AG_ACTS_NOBODY, "nothing; it is over");
    }
}

/* ---- its part of STATES.md */

static const char *state_name(size_t i)
{
    return ag_rotation_state_name((enum ag_rotation_state)i);
}

static const char *event_name(size_t i)
{
    return ag_rotation_event_name((enum ag_rotation_event)i);
}

static struct ag_statedoc_row row_of(size_t i)
{
    const struct ag_rotation_row *r = &ag_rotation_rows[i];

    return (struct ag_statedoc_row){state_name(r->from), event_name(r->event), guards[r->guard], "",
                                    state_name(r->to)};
}

void ag_rotation_doc(FILE *out)
{
    const char *last[AG_ROTATION_STATE_COUNT + 1] = {NULL};
    struct ag_statedoc_machine m = {AG_ROTATION_STATE_COUNT,
                                    AG_ROTATION_EVENT_COUNT,
                                    ag_rotation_row_count,
                                    state_name,
                                    event_name,
                                    row_of,
                                    "prepared",
                                    last,
                                    ANTAG_ERR_ROTATION_STATE};
    size_t n = 0;

    fputs("\n## Rotations\n\n| state | meaning | waits for | who acts next |\n"
          "| --- | --- | --- | --- |\n",
          out);
    for (size_t i = 0; i < AG_ROTATION_STATE_COUNT; i++) {
        struct ag_rotation_facts facts = {.state = (enum ag_rotation_state)i};
        struct ag_wait wait = {.reason = ""};

        ag_rotation_wait(&facts, true, &wait);
        fprintf(out, "| `%s` | %s | %s | %s |\n", states[i].name, states[i].text, wait.reason,
                ag_actor_name(wait.who));
        if (states[i].over)
            last[n++] = states[i].name;
    }
    fputs("\n| event | meaning |\n| --- | --- |\n", out);
    for (size_t i = 0; i < AG_ROTATION_EVENT_COUNT; i++)
        fprintf(out, "| %s | %s |\n", events[i].name, events[i].text);
    fputs("\n| a probe | means |\n| --- | --- |\n", out);
    for (size_t i = 0; i < AG_PROBE_OUTCOME_COUNT; i++)
        fprintf(out, "| %s | %s |\n", outcomes[i].name, outcomes[i].text);
    ag_statedoc_print(out, &m);
}
