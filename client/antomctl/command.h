/* command: the shape of one row of the table of commands. The rows make the parser, the usage lines,
 * the help pages and the calls; most commands are a row and nothing else. */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <jansson.h>

#include "antag/status.h"

enum ctl_kind {
    CTL_FLAG,  /* no value; true on the wire */
    CTL_TEXT,  /* one text */
    CTL_UINT,  /* one whole number */
    CTL_TEXTS, /* may be repeated; an array of texts */
    CTL_LIST,  /* texts separated by commas, may be repeated; an array of texts */
};

/* an option ("--client-id") or a positional ("APP/ENV"); a list of them ends with name NULL */
struct ctl_arg {
    const char *name;
    const char
        *meta; /* what stands for an option's value in the usage; NULL: a flag, a positional */
    enum ctl_kind kind;
    bool required;
    const char *key;  /* the parameter on the wire; NULL: the handler reads it */
    const char *help; /* NULL: accepted, but not listed */
};

struct ctl;
struct ctl_view;

/* Does the work. On OK *result is an object the caller owns: what --json prints. */
typedef enum antag_err ctl_run(struct ctl *c, json_t **result, struct antag_fault *fault);
/* Refuses what the table cannot tell: options that exclude each other. errors: USAGE. */
typedef enum antag_err ctl_check(struct ctl *c, struct antag_fault *fault);
/* Prints the result for people. */
typedef void ctl_render(struct ctl *c, const json_t *result);

#define CTL_SAFE 1u /* changes nothing: repeated once when the agent says RETRY or the like */
#define CTL_SLOW 2u /* unseals or parses a key: waits longer for the answer */

struct ctl_command {
    const char *words; /* "key generate" */
    const struct ctl_arg *positionals;
    const struct ctl_arg *options;
    const char *method; /* of staff.sock; NULL: the handler knows */
    unsigned flags;
    ctl_check *check;            /* may be NULL */
    ctl_run *run;                /* NULL: call `method` with what the arguments say */
    const struct ctl_view *view; /* how the result is shown, unless `render` is given */
    ctl_render *render;
    const char *help;    /* one sentence, without final stop */
    const char *notes;   /* more, lines separated by \n; may be NULL */
    const char *example; /* behind "antomctl " */
};

/* The table, ended by a row with words NULL. */
extern const struct ctl_command ctl_commands[];
extern const struct ctl_arg ctl_global_options[];

#endif
