/* statedoc: state machines as Markdown: diagram, rows, matrix. What agent/core/STATES.md holds is made of the same rows
 * that the machines run on. Pure. */
#ifndef AG_CORE_STATEDOC_H
#define AG_CORE_STATEDOC_H

#include <stddef.h>
#include <stdio.h>

#include "antag/status.h"

/* texts are "" for none: no guard means always, no action that the agent does nothing besides */
struct ag_statedoc_row {
    const char *from, *event, *guard, *action, *to;
};
/* any machine in one shape, so that one printer serves all */
struct ag_statedoc_machine {
    size_t state_count, event_count, row_count;
    const char *(*state_name)(size_t i);
    const char *(*event_name)(size_t i);
    struct ag_statedoc_row (*row)(size_t i);
    const char *first;
    const char *const *last; /* states without a way out, NULL behind the last */
    enum antag_err refused;  /* what a pair without a row is answered */
};
void ag_statedoc_print(FILE *out, const struct ag_statedoc_machine *m);

/* All machines: what agent/core/STATES.md holds. Terminated, owned by the caller; NULL when out of memory. */
char *ag_states_document(void);

/* the sections of their modules */
void ag_keylife_doc(FILE *out);
void ag_change_doc(FILE *out);
void ag_rotation_doc(FILE *out);

#endif
