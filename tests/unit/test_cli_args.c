/* The command line of antomctl against its table. */
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/args.h"
#include "tests/support/rows.h"

#define ARGS_MAX 16

/* A line of words separated by single blanks; '_' stands for a blank inside a word, '~' for nothing. */
static int split(const char *text, char *buffer, size_t size, char **argv)
{
    int argc = 0;

    snprintf(buffer, size, "antomctl %s", text);
    for (char *word = strtok(buffer, " "); word != NULL && argc < ARGS_MAX;
         word = strtok(NULL, " ")) {
        for (char *p = word; *p != '\0'; p++)
            *p = *p == '_' ? ' ' : *p;
        if (strcmp(word, "~") == 0)
            *word = '\0';
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    return argc;
}

static const struct {
    const char *line;
    const char *words; /* of the command */
    const char *name, *value;
    const char *home;
    bool json;
} good[] = {
    {"status", "status", NULL, NULL, NULL, false},
    {"status --json", "status", NULL, NULL, NULL, true},
    {"--json status", "status", NULL, NULL, NULL, true},
    {"--home /h status", "status", NULL, NULL, "/h", false},
    {"--home=/h status", "status", NULL, NULL, "/h", false},
    {"status --home /h --json", "status", NULL, NULL, "/h", true},
    {"key --json list a/b", "key list", "APP/ENV", "a/b", NULL, true},
    {"key list a/b", "key list", "APP/ENV", "a/b", NULL, false},
    {"key list -- --b", "key list", "APP/ENV", "--b", NULL, false},
    {"-- key list a/b", "key list", "APP/ENV", "a/b", NULL, false},
    {"key show a/b 3", "key show", "VERSION", "3", NULL, false},
    {"key show a/b 18446744073709551615", "key show", "VERSION", "18446744073709551615", NULL,
     false},
    {"key export a/b --version 2 --pem", "key export", "--version", "2", NULL, false},
    {"key export --pem a/b", "key export", "--pem", "", NULL, false},
    {"key import a/b --file -", "key import", "--file", "-", NULL, false},
    {"key import a/b --file=--odd", "key import", "--file", "--odd", NULL, false},
    {"sign a/b POST /x --body -", "sign", "--body", "-", NULL, false},
    {"verify response a/b POST /x --header a:_b --header c:_d --body f", "verify response",
     "--header", "a: b", NULL, false},
    {"antom-key list", "antom-key list", "APP/ENV", NULL, NULL, false},
    {"grant add a/b --uid 0 --ops sign,verify", "grant add", "--ops", "sign,verify", NULL, false},
    {"grant remove 7", "grant remove", "GRANT", "7", NULL, false},
    {"status --wait=5", "status", "--wait", "5", NULL, false},
    {"key suspend a/b 1 --reason -x", "key suspend", "--reason", "-x", NULL, false},
};

static void test_good(void)
{
    for (size_t i = 0; i < ROW_COUNT(good); i++) {
        char buffer[256], *argv[ARGS_MAX + 1];
        struct ctl_line line;
        struct antag_fault fault;
        int argc = split(good[i].line, buffer, sizeof buffer, argv);
        const char *value;

        ROW_ASSERT(good[i].line,
                   ctl_args_parse(ctl_commands, argc, argv, &line, &fault) == ANTAG_OK);
        ROW_ASSERT(good[i].line,
                   line.command != NULL && strcmp(line.command->words, good[i].words) == 0);
        ROW_ASSERT(good[i].line, line.json == good[i].json);
        ROW_ASSERT(good[i].line, (line.home == NULL) == (good[i].home == NULL));
        if (good[i].home != NULL && line.home != NULL)
            ROW_ASSERT(good[i].line, strcmp(line.home, good[i].home) == 0);
        if (good[i].name != NULL) {
            value = ctl_args_get(&line, good[i].name);
            ROW_ASSERT(good[i].line, (value == NULL) == (good[i].value == NULL));
            if (value != NULL && good[i].value != NULL)
                ROW_ASSERT(good[i].line, strcmp(value, good[i].value) == 0);
        }
        ctl_args_fini(&line);
    }
}

static const struct {
    const char *line, *says; /* a part of the refusal */
    bool json;
} bad[] = {
    {"", "no command was given", false},
    {"--json", "no command was given", true},
    {"stauts", "did you mean \"antomctl status\"", false},
    {"kye list a/b", "did you mean \"antomctl key list\"", false},
    {"antomkey list", "did you mean \"antomctl antom-key list\"", false},
    {"frobnicate", "antomctl --help lists them", false},
    {"key", "takes one of: generate, import", false},
    {"key delete a/b 1", "no command \"key delete\"", false},
    {"key list", "APP/ENV is missing", false},
    {"key list a/b c", "c is one argument too many", false},
    {"key list a/b --josn", "did you mean --json", false},
    {"key list a/b --frobnicate", "has no option --frobnicate; it takes --home", false},
    {"--wait 3 status", "--wait is not known before the command", false},
    {"status --wait", "--wait needs a value", false},
    {"status --wait --json", "--wait needs a value", true},
    {"status --wait ~", "--wait takes a whole number", false},
    {"status --wait -1", "--wait takes a whole number", false},
    {"status --wait 1x", "--wait takes a whole number", false},
    {"status --wait 18446744073709551616", "--wait takes a whole number", false},
    {"status --wait 1 --wait 2", "--wait was given twice", false},
    {"status --json=yes", "--json takes no value", false},
    {"status --json --json", "--json was given twice", true},
    {"--home", "--home needs a value", false},
    {"--home= status", "--home must not be empty", false},
    {"--home ~ status", "--home must not be empty", false},
    {"--home a --home b status", "--home was given twice", false},
    {"key show a/b", "VERSION is missing", false},
    {"key show a/b one", "VERSION takes a whole number", false},
    {"key set a/b 1", "--key-version is missing", false},
    {"app create shop --role merchant", "--region is missing", false},
    {"sign a/b POST /x", "--body is missing", false},
    {"verify a/b POST /x", "takes one of: response, notification", false},
    {"verify response a/b POST /x", "--body is missing", false},
    {"key list ~", "APP/ENV must not be empty", false},
    {"status -x", "has no option -x", false},
};

static void test_bad(void)
{
    for (size_t i = 0; i < ROW_COUNT(bad); i++) {
        char buffer[256], *argv[ARGS_MAX + 1];
        struct ctl_line line;
        struct antag_fault fault;
        int argc = split(bad[i].line, buffer, sizeof buffer, argv);

        ROW_ASSERT(bad[i].line,
                   ctl_args_parse(ctl_commands, argc, argv, &line, &fault) == ANTAG_ERR_USAGE);
        ROW_ASSERT(bad[i].line, strstr(antag_fault_text(&fault), bad[i].says) != NULL);
        ROW_ASSERT(bad[i].line, line.json == bad[i].json);
        ctl_args_fini(&line);
    }
}

static const struct {
    const char *line, *command, *group;
    bool version;
} asked[] = {
    {"--help", NULL, NULL, false},
    {"-h", NULL, NULL, false},
    {"help", NULL, NULL, false},
    {"help key", NULL, "key", false},
    {"help key list", "key list", NULL, false},
    {"key --help", NULL, "key", false},
    {"key list --help", "key list", NULL, false},
    {"--help key list", "key list", NULL, false},
    {"sign --help", "sign", NULL, false},
    {"--version", NULL, NULL, true},
};

static void test_help(void)
{
    for (size_t i = 0; i < ROW_COUNT(asked); i++) {
        char buffer[256], *argv[ARGS_MAX + 1];
        struct ctl_line line;
        struct antag_fault fault;
        int argc = split(asked[i].line, buffer, sizeof buffer, argv);

        ROW_ASSERT(asked[i].line,
                   ctl_args_parse(ctl_commands, argc, argv, &line, &fault) == ANTAG_OK);
        ROW_ASSERT(asked[i].line, line.help == !asked[i].version);
        ROW_ASSERT(asked[i].line, line.version == asked[i].version);
        ROW_ASSERT(asked[i].line, (line.command == NULL) == (asked[i].command == NULL));
        if (line.command != NULL && asked[i].command != NULL)
            ROW_ASSERT(asked[i].line, strcmp(line.command->words, asked[i].command) == 0);
        ROW_ASSERT(asked[i].line, (line.group == NULL) == (asked[i].group == NULL));
        ctl_args_fini(&line);
    }
}

static const struct {
    const char *a, *b;
    size_t edits;
} distances[] = {
    {"", "", 0},         {"a", "", 1},        {"", "ab", 2},
    {"key", "key", 0},   {"key", "kye", 1},   {"status", "stauts", 1},
    {"list", "lits", 1}, {"sign", "sing", 1}, {"kitten", "sitting", 3},
    {"abc", "xyz", 3},
};

static void test_distance(void)
{
    for (size_t i = 0; i < ROW_COUNT(distances); i++) {
        ROW_ASSERT(distances[i].a,
                   ctl_args_distance(distances[i].a, distances[i].b) == distances[i].edits);
        ROW_ASSERT(distances[i].a,
                   ctl_args_distance(distances[i].b, distances[i].a) == distances[i].edits);
    }
}

/* Every row must be usable: words of its own, help, a usage line that fits, and an example that is
 * itself a good command line. */
static void test_table(void)
{
    for (const struct ctl_command *c = ctl_commands; c->words != NULL; c++) {
        char usage[CTL_USAGE_MAX], buffer[512], *argv[ARGS_MAX + 1];
        struct ctl_line line;
        struct antag_fault fault;
        char *quoted;
        int argc;

        for (const struct ctl_command *other = c + 1; other->words != NULL; other++)
            ROW_ASSERT(c->words, strcmp(c->words, other->words) != 0);
        ROW_ASSERT(c->words, c->help != NULL && c->example != NULL);
        ROW_ASSERT(c->words, c->method != NULL || c->run != NULL);
        ROW_ASSERT(c->words, (c->view != NULL) != (c->render != NULL));
        ctl_args_usage(c, usage, sizeof usage);
        ROW_ASSERT(c->words, strstr(usage, "....") == NULL && strlen(usage) < sizeof usage - 1);
        snprintf(buffer, sizeof buffer, "%s", c->example);
        /* what a shell does with quotes: blanks inside stay */
        for (quoted = strchr(buffer, '\''); quoted != NULL; quoted = strchr(quoted, '\'')) {
            char *end = strchr(quoted + 1, '\'');

            CU_ASSERT_FATAL(end != NULL);
            for (char *p = quoted + 1; p < end; p++)
                *p = *p == ' ' ? '_' : *p;
            quoted = end + 1;
        }
        {
            char copy[512];

            snprintf(copy, sizeof copy, "%s", buffer);
            argc = split(copy, buffer, sizeof buffer, argv);
        }
        ROW_ASSERT(c->words, ctl_args_parse(ctl_commands, argc, argv, &line, &fault) == ANTAG_OK);
        ROW_ASSERT(c->words, line.command == c);
        ctl_args_fini(&line);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"lines that are taken", test_good},
        {"lines that are refused", test_bad},
        {"help", test_help},
        {"distance", test_distance},
        {"the table of commands", test_table},
        CU_TEST_INFO_NULL,
    };

    return run_tests("cli_args", tests);
}
