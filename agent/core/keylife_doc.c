/* keylife_doc: agent/core/STATES.md, made of the rows of keylife. `unit_keylife --write` writes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/keylife.h"
#include "agent/core/keylife_internal.h"

/* the two machines in one shape, so that one printer serves both */
struct row {
    const char *from, *event, *guard, *action, *to;
};
struct machine {
    size_t state_count, event_count, row_count;
    const char *(*state_name)(size_t i);
    const char *(*event_name)(size_t i);
    struct row (*row)(size_t i);
    const char *first, *last;
};

static const char *state_name(size_t i)
{
    return ag_key_state_name((enum ag_key_state)i);
}

static const char *event_name(size_t i)
{
    return ag_key_event_name((enum ag_key_event)i);
}

static struct row merchant_row(size_t i)
{
    const struct ag_keylife_row *r = &ag_keylife_rows[i];

    return (struct row){ag_key_state_name(r->from), ag_key_event_name(r->event),
                        ag_key_guard_text(r->guard), ag_key_action_name(r->action),
                        ag_key_state_name(r->to)};
}

static const char *antom_state_name(size_t i)
{
    return ag_antom_key_state_name((enum ag_antom_key_state)i);
}

static const char *antom_event_name(size_t i)
{
    return ag_antom_key_event_name((enum ag_antom_key_event)i);
}

static struct row antom_row(size_t i)
{
    const struct ag_antom_keylife_row *r = &ag_antom_keylife_rows[i];

    return (struct row){ag_antom_key_state_name(r->from), ag_antom_key_event_name(r->event),
                        ag_antom_key_guard_text(r->guard), "", ag_antom_key_state_name(r->to)};
}

static void print_rows(FILE *out, const struct machine *m)
{
    fputs("| from | event | when | the agent does | to |\n| --- | --- | --- | --- | --- |\n", out);
    for (size_t i = 0; i < m->row_count; i++) {
        struct row r = m->row(i);

        fprintf(out, "| `%s` | %s | %s | %s | `%s` |\n", r.from, r.event,
                r.guard[0] != '\0' ? r.guard : "always", r.action[0] != '\0' ? r.action : "–",
                r.to);
    }
}

static bool is_pair(struct row a, struct row b)
{
    return strcmp(a.from, b.from) == 0 && strcmp(a.event, b.event) == 0;
}

/* All targets of a pair, each once, or a dash: what is refused can be seen as well as what is not. */
static void print_cell(FILE *out, const struct machine *m, size_t state, size_t event)
{
    struct row cell = {.from = m->state_name(state), .event = m->event_name(event)};
    const char *between = "";

    for (size_t i = 0; i < m->row_count; i++) {
        struct row r = m->row(i);
        bool seen = false;

        if (!is_pair(r, cell))
            continue;
        for (size_t j = 0; j < i; j++)
            seen = seen || (is_pair(m->row(j), cell) && strcmp(m->row(j).to, r.to) == 0);
        if (seen)
            continue;
        fprintf(out, "%s`%s`", between, r.to);
        between = ", ";
    }
    fputs(between[0] == '\0' ? "– |" : " |", out);
}

static void print_matrix(FILE *out, const struct machine *m)
{
    fputs("| |", out);
    for (size_t e = 0; e < m->event_count; e++)
        fprintf(out, " %s |", m->event_name(e));
    fputs("\n| --- |", out);
    for (size_t e = 0; e < m->event_count; e++)
        fputs(" --- |", out);
    for (size_t s = 0; s < m->state_count; s++) {
        fprintf(out, "\n| `%s` |", m->state_name(s));
        for (size_t e = 0; e < m->event_count; e++) {
            fputc(' ', out);
            print_cell(out, m, s, e);
        }
    }
    fputs("\n", out);
}

static void print_diagram(FILE *out, const struct machine *m)
{
    fprintf(out, "```mermaid\nstateDiagram-v2\n    [*] --> %s\n", m->first);
    for (size_t i = 0; i < m->row_count; i++) {
        struct row r = m->row(i);

        fprintf(out, "    %s --> %s: %s%s%s%s\n", r.from, r.to, r.event,
                r.guard[0] != '\0' ? " [" : "", r.guard, r.guard[0] != '\0' ? "]" : "");
    }
    fprintf(out, "    %s --> [*]\n```\n", m->last);
}

static void print_machine(FILE *out, const struct machine *m)
{
    fputs("\n", out);
    print_diagram(out, m);
    fputs(
        "\nA pair of state and event that is not here is refused with `KEY_STATE`. Of several rows "
        "of a pair\nthe first whose condition holds is taken.\n\n",
        out);
    print_rows(out, m);
    fputs("\nThe same as a matrix, with what is refused:\n\n", out);
    print_matrix(out, m);
}

static void print_merchant_keys(FILE *out)
{
    static const struct machine machine = {AG_KEY_STATE_COUNT, AG_KEY_EVENT_COUNT, 0,
                                           state_name,         event_name,         merchant_row,
                                           "staged",           "destroyed"};
    struct machine m = machine;
    struct ag_key_facts facts = {.self_tested = true};
    struct ag_wait wait;

    m.row_count = ag_keylife_row_count;
    fputs("\n## Merchant keys\n\n| state | signs | meaning | waits for | who acts next |\n"
          "| --- | --- | --- | --- | --- |\n",
          out);
#define AG_ROW(name, signs, text)                                                                  \
    facts.state = AG_KEY_##name;                                                                   \
    ag_keylife_wait(&facts, &wait);                                                                \
    fprintf(out, "| `%s` | %s | %s | %s | %s |\n", ag_key_state_name(AG_KEY_##name),               \
            ag_key_state_signs(AG_KEY_##name) ? "yes"                                              \
            : #signs[0] == 'P'                ? "probes only"                                      \
                                              : "no",                                                             \
            text, wait.reason, ag_actor_name(wait.who));
    AG_KEY_STATES(AG_ROW)
#undef AG_ROW
    fputs("\n| event | meaning |\n| --- | --- |\n", out);
#define AG_ROW(name, text) fprintf(out, "| %s | %s |\n", ag_key_event_name(AG_KEYEV_##name), text);
    AG_KEY_EVENTS(AG_ROW)
#undef AG_ROW
    print_machine(out, &m);
}

static void print_antom_keys(FILE *out)
{
    static const struct machine machine = {AG_ANTOM_KEY_STATE_COUNT,
                                           AG_ANTOM_KEY_EVENT_COUNT,
                                           0,
                                           antom_state_name,
                                           antom_event_name,
                                           antom_row,
                                           "staged",
                                           "revoked"};
    struct machine m = machine;
    struct ag_antom_key_facts facts = {0};
    struct ag_wait wait;

    m.row_count = ag_antom_keylife_row_count;
    fputs("\n## Antom keys\n\n| state | verifies | meaning | waits for | who acts next |\n"
          "| --- | --- | --- | --- | --- |\n",
          out);
#define AG_ROW(name, verifies, text)                                                               \
    facts.state = AG_ANTOM_KEY_##name;                                                             \
    ag_antom_keylife_wait(&facts, &wait);                                                          \
    fprintf(out, "| `%s` | %s | %s | %s | %s |\n", ag_antom_key_state_name(AG_ANTOM_KEY_##name),   \
            ag_antom_key_state_verifies(AG_ANTOM_KEY_##name) ? "yes" : "no", text, wait.reason,    \
            ag_actor_name(wait.who));
    AG_ANTOM_KEY_STATES(AG_ROW)
#undef AG_ROW
    fputs("\n| event | meaning |\n| --- | --- |\n", out);
#define AG_ROW(name, text)                                                                         \
    fprintf(out, "| %s | %s |\n", ag_antom_key_event_name(AG_ANTOMEV_##name), text);
    AG_ANTOM_KEY_EVENTS(AG_ROW)
#undef AG_ROW
    print_machine(out, &m);
}

char *ag_keylife_document(void)
{
    char *text = NULL;
    size_t len = 0;
    bool failed;
    FILE *out = open_memstream(&text, &len); /* memory only, no I/O */

    if (out == NULL)
        return NULL;
    fputs("# States of keys\n\nWritten by `unit_keylife --write` from `agent/core/keylife.h` and "
          "`keylife_internal.h`; a test compares.\nThe states are those of NIST SP 800-57, part 1. "
          "All durations count observed running time, so a clock\nthat jumps ends none of them.\n",
          out);
    print_merchant_keys(out);
    print_antom_keys(out);
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        text = NULL;
    }
    return text;
}
