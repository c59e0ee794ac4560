/* statedoc: agent/core/STATES.md. `unit_keylife --write` writes it. */
#include "agent/core/statedoc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void print_rows(FILE *out, const struct ag_statedoc_machine *m)
{
    fputs("| from | event | when | the agent does | to |\n| --- | --- | --- | --- | --- |\n", out);
    for (size_t i = 0; i < m->row_count; i++) {
        struct ag_statedoc_row r = m->row(i);

        fprintf(out, "| `%s` | %s | %s | %s | `%s` |\n", r.from, r.event,
                r.guard[0] != '\0' ? r.guard : "always", r.action[0] != '\0' ? r.action : "–",
                r.to);
    }
}

static bool is_pair(struct ag_statedoc_row a, struct ag_statedoc_row b)
{
    return strcmp(a.from, b.from) == 0 && strcmp(a.event, b.event) == 0;
}

/* All targets of a pair, each once, or a dash: what is refused can be seen as well as what is not. */
static void print_cell(FILE *out, const struct ag_statedoc_machine *m, size_t state, size_t event)
{
    struct ag_statedoc_row cell = {.from = m->state_name(state), .event = m->event_name(event)};
    const char *between = "";

    for (size_t i = 0; i < m->row_count; i++) {
        struct ag_statedoc_row r = m->row(i);
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

static void print_matrix(FILE *out, const struct ag_statedoc_machine *m)
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

static void print_diagram(FILE *out, const struct ag_statedoc_machine *m)
{
    fprintf(out, "```mermaid\nstateDiagram-v2\n    [*] --> %s\n", m->first);
    for (size_t i = 0; i < m->row_count; i++) {
        struct ag_statedoc_row r = m->row(i);

        fprintf(out, "    %s --> %s: %s%s%s%s\n", r.from, r.to, r.event,
                r.guard[0] != '\0' ? " [" : "", r.guard, r.guard[0] != '\0' ? "]" : "");
    }
    for (const char *const *last = m->last; *last != NULL; last++)
        fprintf(out, "    %s --> [*]\n", *last);
    fputs("```\n", out);
}

void ag_statedoc_print(FILE *out, const struct ag_statedoc_machine *m)
{
    fputs("\n", out);
    print_diagram(out, m);
    fprintf(out,
            "\nA pair of state and event that is not here is refused with `%s`. Of several rows "
            "of a pair\nthe first whose condition holds is taken.\n\n",
            antag_err_name(m->refused));
    print_rows(out, m);
    fputs("\nThe same as a matrix, with what is refused:\n\n", out);
    print_matrix(out, m);
}

char *ag_states_document(void)
{
    char *text = NULL;
    size_t len = 0;
    bool failed;
    FILE *out = open_memstream(&text, &len); /* memory only, no I/O */

    if (out == NULL)
        return NULL;
    fputs(
        "# States\n\nWritten by `unit_keylife --write` from `keylife.h`, `keylife_internal.h`, "
        "`rotation_internal.h`\nand `change_internal.h` in `agent/core`; a test compares. The "
        "states of keys are those of "
        "NIST SP 800-57, "
        "part 1. All their\ndurations count observed running time, so a clock that jumps ends none "
        "of "
        "them.\n",
        out);
    ag_keylife_doc(out);
    ag_rotation_doc(out);
    ag_change_doc(out);
    failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        text = NULL;
    }
    return text;
}
