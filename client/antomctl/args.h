/* args: a command line against the table of commands. Pure. */
#ifndef CTL_ARGS_H
#define CTL_ARGS_H

#include <stdint.h>

#include "client/antomctl/command.h"

#define CTL_USAGE_MAX 400

struct ctl_given {
    const struct ctl_arg *arg;
    const char *text; /* borrowed from argv; "" for a flag */
};

struct ctl_line {
    const struct ctl_command *command; /* NULL: none, with help or version asked for */
    const char *group;                 /* "key" of `antomctl key --help`, else NULL */
    const char *home;                  /* --home, or NULL */
    bool json, help, version;
    size_t count;
    struct ctl_given *given; /* owned; in the order of the command line */
};

/* Options stand anywhere behind the command, --home, --json and --help before it too; `--opt=value`
 * and `--opt value` are the same; `--` ends options. A value that starts with "--" needs the form
 * with '='. `out` must be finished in every case; json is right even when the rest is refused.
 * errors: USAGE, with what is allowed; NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ctl_args_parse(const struct ctl_command *table, int argc,
                                               char *const *argv, struct ctl_line *out,
                                               struct antag_fault *fault);
void ctl_args_fini(struct ctl_line *line);

/* The first value of an option or positional, or NULL. */
const char *ctl_args_get(const struct ctl_line *line, const char *name);
bool ctl_args_has(const struct ctl_line *line, const char *name);
/* Digits alone, within uint64. */
bool ctl_args_uint(const char *text, uint64_t *out);

/* "antomctl key list APP/ENV"; cut visibly ("...") when longer than `size`. */
void ctl_args_usage(const struct ctl_command *command, char *out, size_t size);
/* How many edits apart two texts are, neighbours swapped counting as one. */
size_t ctl_args_distance(const char *a, const char *b);

#endif
