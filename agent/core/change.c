#include "agent/core/change_internal.h"

#include "agent/core/statedoc.h"

/* An index out of its enum comes from a damaged row, and must be survived. */
static const struct {
    const char *name, *text;
    bool over;
} states[AG_CHANGE_STATE_COUNT] = {
#define AG_ROW(state, name, over, text) {name, text, over},
    AG_CHANGE_STATES(AG_ROW)
#undef AG_ROW
};

static const struct {
    const char *name, *text;
} events[AG_CHANGE_EVENT_COUNT] = {
#define AG_ROW(event, name, text) {name, text},
    AG_CHANGE_EVENTS(AG_ROW)
#undef AG_ROW
};

static const char *const guards[AG_CHANGE_GUARD_COUNT] = {
#define AG_ROW(name, text) text,
    AG_CHANGE_GUARDS(AG_ROW)
#undef AG_ROW
};

const struct ag_change_row ag_change_rows[] = {
#define AG_ROW(from, event, guard, to)                                                             \
    {AG_CHANGE_##from, AG_CHANGEEV_##event, AG_CHANGEGUARD_##guard, AG_CHANGE_##to},
    AG_CHANGE_TABLE(AG_ROW)
#undef AG_ROW
};
const size_t ag_change_row_count = sizeof ag_change_rows / sizeof *ag_change_rows;

const char *ag_change_state_name(enum ag_change_state s)
{
    return (size_t)s < AG_CHANGE_STATE_COUNT ? states[s].name : "unknown";
}

const char *ag_change_event_name(enum ag_change_event e)
{
    return (size_t)e < AG_CHANGE_EVENT_COUNT ? events[e].name : "unknown";
}

bool ag_change_is_over(enum ag_change_state s)
{
    return (size_t)s >= AG_CHANGE_STATE_COUNT || states[s].over;
}

bool ag_change_is_past(struct ag_change_time from, struct ag_change_time now, int64_t ms)
{
    return now.wall - from.wall >= ms || now.observed - from.observed >= ms;
}

static bool holds(enum ag_change_guard guard, const struct ag_change_facts *f)
{
    switch (guard) {
    case AG_CHANGEGUARD_always:
        return true;
    case AG_CHANGEGUARD_enough:
        return !f->past && f->need > 0 && f->have >= f->need;
    case AG_CHANGEGUARD_in_time:
        return !f->past;
    case AG_CHANGEGUARD_past:
        return f->past;
    case AG_CHANGE_GUARD_COUNT:
        break;
    }
    return false;
}

enum antag_err ag_change_step(const struct ag_change_facts *facts, enum ag_change_event event,
                              enum ag_change_state *to, struct antag_fault *fault)
{
    for (size_t i = 0; i < ag_change_row_count; i++) {
        const struct ag_change_row *row = &ag_change_rows[i];

        if (row->from == facts->state && row->event == event && holds(row->guard, facts)) {
            *to = row->to;
            return ANTAG_OK;
        }
    }
    if (facts->state == AG_CHANGE_OPEN && facts->past)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_STATE, "change",
                               "its time is over; ask for it again");
    return antag_fault_set(fault, ANTAG_ERR_CHANGE_STATE, "change", "it is %s: it %s",
                           ag_change_state_name(facts->state),
                           (size_t)facts->state < AG_CHANGE_STATE_COUNT ? states[facts->state].text
                                                                        : "is damaged");
}

/* ---- its part of STATES.md */

static const char *state_name(size_t i)
{
    return ag_change_state_name((enum ag_change_state)i);
}

static const char *event_name(size_t i)
{
    return ag_change_event_name((enum ag_change_event)i);
}

static struct ag_statedoc_row row_of(size_t i)
{
    const struct ag_change_row *r = &ag_change_rows[i];

    return (struct ag_statedoc_row){state_name(r->from), event_name(r->event), guards[r->guard], "",
                                    state_name(r->to)};
}

void ag_change_doc(FILE *out)
{
    const char *last[AG_CHANGE_STATE_COUNT + 1] = {NULL};
    struct ag_statedoc_machine m = {AG_CHANGE_STATE_COUNT,
                                    AG_CHANGE_EVENT_COUNT,
                                    ag_change_row_count,
                                    state_name,
                                    event_name,
                                    row_of,
                                    "open",
                                    last,
                                    ANTAG_ERR_CHANGE_STATE};
    size_t n = 0;

    fputs("\n## Changes\n\n| state | meaning: it |\n| --- | --- |\n", out);
    for (size_t i = 0; i < AG_CHANGE_STATE_COUNT; i++) {
        fprintf(out, "| `%s` | %s |\n", states[i].name, states[i].text);
        if (states[i].over)
            last[n++] = states[i].name;
    }
    fputs("\n| event | meaning |\n| --- | --- |\n", out);
    for (size_t i = 0; i < AG_CHANGE_EVENT_COUNT; i++)
        fprintf(out, "| %s | %s |\n", events[i].name, events[i].text);
    ag_statedoc_print(out, &m);
}
