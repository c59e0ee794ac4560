/* help: pages made from the table of commands, 100 columns at most. */
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/ctl.h"

#define INDENT 2

/* Two columns: `left` as wide as `width`, the rest broken into lines. */
static void put_row(FILE *out, const char *left, size_t width, const char *right)
{
    (void)fprintf(out, "%*s%-*s  ", INDENT, "", (int)width, left);
    if (strlen(left) > width)
        (void)fprintf(out, "\n%*s", (int)(INDENT + width + 2), "");
    ctl_put_wrapped(out, right, INDENT + width + 2, INDENT + width + 2);
}

static size_t widest(const char *group)
{
    size_t width = 0;

    for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
        if ((group == NULL || strncmp(c->words, group, strlen(group)) == 0) &&
            strlen(c->words) > width)
            width = strlen(c->words);
    }
    return width;
}

static void put_args(FILE *out, bool colour, const char *title, const struct ctl_arg *list)
{
    char left[80];
    size_t width = 0;

    if (list == NULL || list->name == NULL)
        return;
    for (const struct ctl_arg *a = list; a->name != NULL; a++) {
        size_t len = strlen(a->name) + (a->meta != NULL ? 1 + strlen(a->meta) : 0);

        if (a->help != NULL && len > width)
            width = len;
    }
    (void)fputc('\n', out);
    ctl_put(out, colour, CTL_HEAD, title);
    (void)fputc('\n', out);
    for (const struct ctl_arg *a = list; a->name != NULL; a++) {
        (void)snprintf(left, sizeof(left), "%s%s%s", a->name, a->meta != NULL ? " " : "",
                       a->meta != NULL ? a->meta : "");
        if (a->help != NULL)
            put_row(out, left, width, a->help);
    }
}

static void put_statuses(FILE *out, bool colour)
{
    static const struct {
        int status;
        const char *name, *advice;
    } rows[] = {
#define ANTAG_ROW(name, text, status, advice) {(status), (text), (advice)},
        ANTAG_CLASS_TABLE(ANTAG_ROW)
#undef ANTAG_ROW
    };
    char left[32];

    (void)fputc('\n', out);
    ctl_put(out, colour, CTL_HEAD, "Exit status");
    (void)fputc('\n', out);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(left, sizeof(left), "%d %s", rows[i].status, rows[i].name);
        put_row(out, left, 10, rows[i].advice);
    }
}

void ctl_help_all(FILE *out, bool colour)
{
    size_t width = widest(NULL);

    (void)fputs("antomctl: the staff tool of antom-agent, which holds Antom keys and signs with "
                "them.\n\n"
                "usage: antomctl [--home DIR] [--json] COMMAND [ARGUMENTS]\n"
                "       antomctl COMMAND --help\n\n",
                out);
    ctl_put(out, colour, CTL_HEAD, "Commands");
    (void)fputc('\n', out);
    for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++)
        put_row(out, c->words, width, c->help);
    put_args(out, colour, "Options of every command, before or after it", ctl_global_options);
    put_statuses(out, colour);
    (void)fputs(
        "\nAn error is one line on standard error, `antomctl: NAME: text`, and what to do;\n"
        "with --json it is {\"error\": {...}} on standard output. NO_COLOR is respected.\n",
        out);
}

void ctl_help_group(FILE *out, bool colour, const char *group)
{
    size_t width = widest(group), len = strlen(group);

    (void)fprintf(out, "usage: antomctl %s COMMAND [ARGUMENTS]\n\n", group);
    ctl_put(out, colour, CTL_HEAD, "Commands");
    (void)fputc('\n', out);
    for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
        if (strncmp(c->words, group, len) == 0 && c->words[len] == ' ')
            put_row(out, c->words, width, c->help);
    }
}

void ctl_help_command(FILE *out, bool colour, const struct ctl_command *command)
{
    char usage[CTL_USAGE_MAX];
    const char *at = command->notes;

    ctl_args_usage(command, usage, sizeof(usage));
    (void)fprintf(out, "%s.\n", command->help);
    while (at != NULL && *at != '\0') {
        const char *end = strchr(at, '\n');
        size_t len = end != NULL ? (size_t)(end - at) : strlen(at);

        (void)fprintf(out, "%.*s\n", (int)len, at);
        at += len + (end != NULL ? 1 : 0);
    }
    (void)fputs("\nusage: ", out);
    ctl_put_wrapped(out, usage, 7, 11);
    put_args(out, colour, "Arguments", command->positionals);
    put_args(out, colour, "Options", command->options);
    put_args(out, colour, "Options of every command", ctl_global_options);
    (void)fputc('\n', out);
    ctl_put(out, colour, CTL_HEAD, "Example");
    (void)fprintf(out, "\n  antomctl %s\n", command->example);
}
