#include "client/antomctl/args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX    64
#define DISTANCE_MAX 48 /* texts longer than this are compared by their start */

/* what is gathered while the line is read */
struct reader {
    const struct ctl_command *table;
    struct ctl_line *line;
    struct antag_fault *fault;
    char words[WORDS_MAX]; /* of the command, as far as read */
    size_t positional;     /* how many of them were given */
};

static void append(char *out, size_t size, const char *text)
{
    size_t len = strlen(out);

    (void)snprintf(out + len, size - len, "%s", text);
}

void ctl_args_usage(const struct ctl_command *command, char *out, size_t size)
{
    char part[160];

    (void)snprintf(out, size, "antomctl %s", command->words);
    for (const struct ctl_arg *a = command->positionals; a != NULL && a->name != NULL; a++) {
        (void)snprintf(part, sizeof(part), a->required ? " %s%s" : " [%s%s]", a->name,
                       a->kind == CTL_TEXTS ? "..." : "");
        append(out, size, part);
    }
    for (const struct ctl_arg *a = command->options; a != NULL && a->name != NULL; a++) {
        const char *sep = a->meta != NULL ? " " : "";
        const char *meta = a->meta != NULL ? a->meta : "";

        if (a->help == NULL)
            continue;
        (void)snprintf(part, sizeof(part), a->required ? " %s%s%s" : " [%s%s%s]", a->name, sep,
                       meta);
        append(out, size, part);
        if (a->kind == CTL_TEXTS)
            append(out, size, "...");
    }
    if (strlen(out) == size - 1 && size > 3)
        memcpy(out + size - 4, "...", 4);
}

size_t ctl_args_distance(const char *a, const char *b)
{
    size_t rows[3][DISTANCE_MAX + 1];
    size_t a_len = strnlen(a, DISTANCE_MAX), b_len = strnlen(b, DISTANCE_MAX);

    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *now = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];

        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[a_len % 3][b_len];
}

bool ctl_args_uint(const char *text, uint64_t *out)
{
    unsigned long long v;

    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    v = strtoull(text, NULL, 10);
    if (errno != 0)
        return false;
    *out = v;
    return true;
}

const char *ctl_args_get(const struct ctl_line *line, const char *name)
{
    for (size_t i = 0; i < line->count; i++) {
        if (strcmp(line->given[i].arg->name, name) == 0)
            return line->given[i].text;
    }
    return NULL;
}

bool ctl_args_has(const struct ctl_line *line, const char *name)
{
    return ctl_args_get(line, name) != NULL;
}

void ctl_args_fini(struct ctl_line *line)
{
    if (line == NULL)
        return;
    free(line->given);
    line->given = NULL;
    line->count = 0;
}

/* ---- commands */

/* Is `words` the start of the row's words, ending where one of them ends? */
static bool starts(const char *row, const char *words)
{
    size_t len = strlen(words);

    return strncmp(row, words, len) == 0 && (row[len] == '\0' || row[len] == ' ');
}

static enum antag_err refuse_group(struct reader *r, const char *group, const char *got)
{
    char list[ANTAG_FAULT_TEXT_MAX] = "";

    for (const struct ctl_command *c = r->table; c->words != NULL; c++) {
        if (!starts(c->words, group))
            continue;
        if (list[0] != '\0')
            append(list, sizeof(list), ", ");
        append(list, sizeof(list), c->words + strlen(group) + 1);
    }
    if (got == NULL)
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL, "\"%s\" takes one of: %s", group,
                               list);
    return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL,
                           "there is no command \"%s %.40s\"; \"%s\" takes one of: %s", group, got,
                           group, list);
}

/* `r->words` is no command: name the nearest, if one is near. */
static enum antag_err refuse_command(struct reader *r, const char *next)
{
    const struct ctl_command *best = NULL;
    size_t best_distance = 0;
    char whole[WORDS_MAX + 32];

    (void)snprintf(whole, sizeof(whole), "%s%s%.30s", r->words, next != NULL ? " " : "",
                   next != NULL ? next : "");
    for (const struct ctl_command *c = r->table; c->words != NULL; c++) {
        /* a row of one word is compared with the first word: the second is its positional */
        const char *typed = strchr(c->words, ' ') != NULL ? whole : r->words;
        size_t d = ctl_args_distance(c->words, typed);

        if (d <= 1 + strlen(c->words) / 4 && (best == NULL || d < best_distance)) {
            best = c;
            best_distance = d;
        }
    }
    if (best != NULL)
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL,
                               "there is no command \"%s\"; did you mean \"antomctl %s\"?",
                               strchr(best->words, ' ') != NULL ? whole : r->words, best->words);
    return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL,
                           "there is no command \"%.60s\"; antomctl --help lists them", r->words);
}

static enum antag_err on_command_word(struct reader *r, const char *word, const char *next)
{
    char before[WORDS_MAX];
    bool is_group = false;

    if (r->words[0] == '\0' && strcmp(word, "help") == 0) {
        r->line->help = true;
        return ANTAG_OK;
    }
    (void)snprintf(before, sizeof(before), "%s", r->words);
    if (before[0] != '\0')
        append(r->words, sizeof(r->words), " ");
    append(r->words, sizeof(r->words), word);
    for (const struct ctl_command *c = r->table; c->words != NULL; c++) {
        if (strcmp(c->words, r->words) == 0) {
            r->line->command = c;
            r->line->group = NULL;
            return ANTAG_OK;
        }
        is_group = is_group || starts(c->words, r->words);
    }
    if (is_group) {
        r->line->group = word;
        return ANTAG_OK;
    }
    if (before[0] != '\0')
        return refuse_group(r, before, word);
    return refuse_command(r, next);
}

/* ---- options and positionals */

static enum antag_err refuse_line(struct reader *r, const char *what, const char *name)
{
    char usage[CTL_USAGE_MAX];

    ctl_args_usage(r->line->command, usage, sizeof(usage));
    return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL, "%.80s %s; the form is: %s", name, what,
                           usage);
}

static enum antag_err give(struct reader *r, const struct ctl_arg *arg, const char *text)
{
    uint64_t number;

    if (arg->kind != CTL_TEXTS && arg->kind != CTL_LIST && ctl_args_has(r->line, arg->name))
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, arg->name, "%s was given twice",
                               arg->name);
    if (arg->kind == CTL_UINT && !ctl_args_uint(text, &number))
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, arg->name,
                               "%s takes a whole number from 0, got \"%.40s\"", arg->name, text);
    if (arg->kind != CTL_FLAG && *text == '\0')
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, arg->name, "%s must not be empty",
                               arg->name);
    r->line->given[r->line->count++] = (struct ctl_given){.arg = arg, .text = text};
    if (strcmp(arg->name, "--home") == 0)
        r->line->home = text;
    if (strcmp(arg->name, "--help") == 0)
        r->line->help = true;
    return ANTAG_OK;
}

static const struct ctl_arg *find_option(const struct ctl_arg *list, const char *name, size_t len)
{
    for (; list != NULL && list->name != NULL; list++) {
        if (strlen(list->name) == len && memcmp(list->name, name, len) == 0) /* public */
            return list;
    }
    return NULL;
}

static enum antag_err refuse_option(struct reader *r, const char *name, size_t len)
{
    const struct ctl_arg *lists[2] = {ctl_global_options, NULL};
    char typed[DISTANCE_MAX], all[360] = "";
    const char *best = NULL;
    size_t best_distance = 0;

    (void)snprintf(typed, sizeof(typed), "%.*s", (int)(len < 40 ? len : 40), name);
    if (r->line->command == NULL)
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL,
                               "%s is not known before the command; there, only --home DIR, "
                               "--json, --help and --version are",
                               typed);
    lists[1] = r->line->command->options;
    for (size_t i = 0; i < 2; i++) {
        for (const struct ctl_arg *a = lists[i]; a != NULL && a->name != NULL; a++) {
            size_t d = ctl_args_distance(a->name, typed);

            if (d <= 2 && (best == NULL || d < best_distance)) {
                best = a->name;
                best_distance = d;
            }
            if (a->help != NULL) {
                append(all, sizeof(all), all[0] != '\0' ? ", " : "");
                append(all, sizeof(all), a->name);
            }
        }
    }
    if (best != NULL)
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL,
                               "\"%s\" has no option %s; did you mean %s?", r->line->command->words,
                               typed, best);
    return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL, "\"%s\" has no option %s; it takes %s",
                           r->line->command->words, typed, all);
}

/* argv[*at] starts with '-'; moves *at when the value is the next word. */
static enum antag_err on_option(struct reader *r, int argc, char *const *argv, int *at)
{
    const char *word = argv[*at];
    const char *eq = strchr(word, '=');
    size_t len = eq != NULL ? (size_t)(eq - word) : strlen(word);
    const struct ctl_arg *arg;

    if (strcmp(word, "-h") == 0)
        return give(r, find_option(ctl_global_options, "--help", 6), "");
    arg = find_option(ctl_global_options, word, len);
    if (arg == NULL && r->line->command != NULL)
        arg = find_option(r->line->command->options, word, len);
    if (arg == NULL && r->line->command == NULL && strcmp(word, "--version") == 0) {
        r->line->version = true;
        return ANTAG_OK;
    }
    if (arg == NULL)
        return refuse_option(r, word, len);
    if (arg->kind == CTL_FLAG) {
        if (eq != NULL)
            return antag_fault_set(r->fault, ANTAG_ERR_USAGE, arg->name, "%s takes no value",
                                   arg->name);
        return give(r, arg, "");
    }
    if (eq != NULL)
        return give(r, arg, eq + 1);
    if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, arg->name, "%s needs a value: %s %s",
                               arg->name, arg->name, arg->meta);
    return give(r, arg, argv[++*at]);
}

static enum antag_err on_positional(struct reader *r, const char *word)
{
    const struct ctl_arg *list = r->line->command->positionals;

    for (size_t i = 0; list != NULL && list->name != NULL; i++, list++) {
        if (i == r->positional) {
            r->positional += list->kind != CTL_TEXTS; /* that one takes all the others */
            return give(r, list, word);
        }
    }
    return refuse_line(r, "is one argument too many", word);
}

static enum antag_err check_complete(struct reader *r)
{
    const struct ctl_arg *lists[2];

    if (r->line->help || r->line->version)
        return ANTAG_OK;
    if (r->line->command == NULL && r->words[0] != '\0')
        return refuse_group(r, r->words, NULL);
    if (r->line->command == NULL)
        return antag_fault_set(r->fault, ANTAG_ERR_USAGE, NULL,
                               "no command was given; antomctl --help lists them");
    lists[0] = r->line->command->positionals;
    lists[1] = r->line->command->options;
    for (size_t i = 0; i < 2; i++) {
        for (const struct ctl_arg *a = lists[i]; a != NULL && a->name != NULL; a++) {
            if (a->required && !ctl_args_has(r->line, a->name))
                return refuse_line(r, "is missing", a->name);
        }
    }
    return ANTAG_OK;
}

/* Whether errors are wanted as JSON must be known before the line is understood. */
static bool wants_json(int argc, char *const *argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            return true;
    }
    return false;
}

enum antag_err ctl_args_parse(const struct ctl_command *table, int argc, char *const *argv,
                              struct ctl_line *out, struct antag_fault *fault)
{
    struct reader r = {.table = table, .line = out, .fault = fault};
    bool options_ended = false;
    enum antag_err err = ANTAG_OK;

    memset(out, 0, sizeof(*out));
    out->json = wants_json(argc, argv);
    out->given = calloc(argc > 0 ? (size_t)argc : 1, sizeof(*out->given));
    if (out->given == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    for (int i = 1; i < argc && err == ANTAG_OK; i++) {
        if (!options_ended && strcmp(argv[i], "--") == 0)
            options_ended = true;
        else if (!options_ended && argv[i][0] == '-' && argv[i][1] != '\0')
            err = on_option(&r, argc, argv, &i);
        else if (out->command == NULL)
            err = on_command_word(&r, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        else
            err = on_positional(&r, argv[i]);
    }
    return err != ANTAG_OK ? err : check_complete(&r);
}
