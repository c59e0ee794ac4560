/* antomctl: the staff tool. Reads the command line, runs one command, prints what came of it. */
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/view.h"

static bool wants_colour(int fd)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(fd) && (no == NULL || *no == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* `antomctl: NAME: text`, then what to do; or the error as an object. */
static int report(const struct ctl *c, const struct antag_fault *fault)
{
    char advice[CTL_LINE_MAX], *text;
    json_t *object;

    if (c->line.json) {
        object = ctl_json_fault(fault);
        if (ctl_json_print(object, stdout) != ANTAG_OK || fflush(stdout) != 0)
            (void)fprintf(stderr, "antomctl: %s\n", antag_err_name(fault->err));
        json_decref(object);
        return antag_err_exit(fault->err);
    }
    (void)fflush(stdout);
    text = ctl_clean(antag_fault_text(fault), strlen(antag_fault_text(fault)));
    ctl_put(stderr, wants_colour(STDERR_FILENO), CTL_BAD, "antomctl: ");
    (void)fprintf(stderr, "%s: %s\n", antag_err_name(fault->err), text);
    free(text);
    ctl_advice(c, fault, advice);
    text = ctl_clean(advice, strlen(advice));
    (void)fprintf(stderr, "what to do: %s\n", text);
    free(text);
    return antag_err_exit(fault->err);
}

/* What was printed must have arrived: a full disk behind a redirection is no success. */
static int finish(const struct ctl *c, int status)
{
    struct antag_fault fault;

    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    (void)antag_fault_set(&fault, ANTAG_ERR_IO, NULL, "standard output could not be written");
    if (!c->line.json)
        return report(c, &fault);
    (void)fprintf(stderr, "antomctl: IO: %s\n", antag_fault_text(&fault));
    return antag_err_exit(ANTAG_ERR_IO);
}

static int print_help(const struct ctl *c)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = c->line.json ? open_memstream(&text, &len) : stdout;
    json_t *object;
    int status = 0;

    if (out == NULL)
        return antag_err_exit(ANTAG_ERR_NO_MEMORY);
    if (c->line.command != NULL)
        ctl_help_command(out, c->colour, c->line.command);
    else if (c->line.group != NULL)
        ctl_help_group(out, c->colour, c->line.group);
    else
        ctl_help_all(out, c->colour);
    if (c->line.json) {
        (void)fclose(out);
        object = json_pack("{s:s}", "help", text != NULL ? text : "");
        status = antag_err_exit(ctl_json_print(object, stdout));
        json_decref(object);
        free(text);
    }
    return finish(c, status);
}

static enum antag_err find_home(struct ctl *c, struct antag_fault *fault)
{
    const char *env = getenv("ANTOM_AGENT_HOME");

    c->home_dir = c->line.home != NULL ? c->line.home : env != NULL && *env != '\0' ? env : NULL;
    return ag_home_init(&c->home, c->home_dir, fault);
}

static int run_command(struct ctl *c, struct antag_fault *fault)
{
    const struct ctl_command *command = c->line.command;
    json_t *result = NULL;
    enum antag_err err;
    int status;

    if ((err = find_home(c, fault)) == ANTAG_OK && command->check != NULL)
        err = command->check(c, fault);
    if (err == ANTAG_OK)
        err = (command->run != NULL ? command->run : ctl_run_method)(c, &result, fault);
    if (err == ANTAG_OK && c->line.json)
        err = ctl_json_print(result, stdout);
    else if (err == ANTAG_OK && json_object_get(result, "opened") != NULL)
        ctl_render_opened(c, json_object_get(result, "opened"));
    else if (err == ANTAG_OK && command->render != NULL)
        command->render(c, result);
    else if (err == ANTAG_OK)
        ctl_view_print(c, command->view, result);
    else
        err = fault->err;
    status = err == ANTAG_OK ? c->exit_status : antag_err_exit(err);
    if (err != ANTAG_OK && result == NULL)
        status = report(c, fault);
    json_decref(result);
    return finish(c, status);
}

/* `antomctl --version` is `antomctl version`. */
static const struct ctl_command *version_command(void)
{
    const struct ctl_command *c = ctl_commands;

    while (c->words != NULL && strcmp(c->words, "version") != 0)
        c++;
    return c;
}

int main(int argc, char **argv)
{
    struct ctl c = {.exit_status = 0};
    struct antag_fault fault = {.err = ANTAG_OK};
    enum antag_err err;
    int status;

    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error to report, not a death */
    (void)setlocale(LC_TIME, "");
    c.colour = wants_colour(STDOUT_FILENO);
    err = ctl_args_parse(ctl_commands, argc, argv, &c.line, &fault);
    if (err == ANTAG_OK && c.line.version && c.line.command == NULL)
        c.line.command = version_command();
    if (err != ANTAG_OK)
        status = report(&c, &fault);
    else if (c.line.help)
        status = print_help(&c);
    else
        status = run_command(&c, &fault);
    ctl_args_fini(&c.line);
    return status;
}
