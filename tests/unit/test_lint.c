/* Rules of this code base that no compiler knows, each with the slip behind it. */
#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/support/rows.h"

#define NAMES_MAX 16
#define PATHS_MAX 6

struct rule {
    const char *name;
    const char *names[NAMES_MAX];  /* identifiers; with a final "(" only where they are called */
    const char *where[PATHS_MAX];  /* folders the rule is about */
    const char *except[PATHS_MAX]; /* files or folders it is not about */
};

static const struct rule rules[] = {
    /* A key in an ordinary buffer is swapped out, dumped, or left behind by a wipe that the compiler
     * removed; with one file to look at, one review answers for all of them. */
    {.name = "only agent/lib/secret allocates and wipes secrets",
     .names = {"sodium_malloc", "sodium_allocarray", "sodium_free", "sodium_mlock",
               "sodium_munlock", "sodium_memzero", "sodium_memcmp", "explicit_bzero", "memset_s",
               "OPENSSL_cleanse", "CRYPTO_secure_malloc_init", "CRYPTO_memcmp"},
     .where = {"agent", "proto", "client", "include"},
     .except = {"agent/lib/secret.c"}},
    /* A decision that reads the clock cannot be tested at an edge, nor repeated from a record. */
    {.name = "the core and the codec read no clock",
     .names = {"time(", "clock_gettime", "gettimeofday", "ftime", "clock(", "uv_now", "uv_hrtime",
               "ag_clock_wall_ms", "ag_clock_mono_ms"},
     .where = {"agent/core", "proto"}},
    /* Wall clock where a deadline needs the monotonic one: a clock set back made a timeout endless. */
    {.name = "only agent/lib/clock reads one in the daemon",
     .names = {"time(", "clock_gettime", "gettimeofday", "ftime"},
     .where = {"agent"},
     .except = {"agent/lib/clock.c"}},
    /* One malformed message ended the daemon: bytes from a socket may end their connection only. */
    {.name = "no abort outside of main and secret",
     .names = {"abort(", "quick_exit(", "__builtin_trap"},
     .where = {"agent", "proto", "client"},
     .except = {"agent/main.c", "agent/lib/secret.c"}},
    /* Each of these has a form that is told the size, or that keeps nothing between threads; those that
     * start a shell hand it whatever a name contains. */
    {.name = "no call that overruns, is shared between threads, or starts a shell",
     .names = {"strcat(", "sprintf(", "vsprintf(", "gets(", "strtok(", "gmtime(", "localtime(",
               "ctime(", "asctime(", "system(", "popen(", "tmpnam(", "mktemp("},
     .where = {"agent", "proto", "client", "include"}},
};

static unsigned files_read;

/* ---- reading source */

static char *read_source(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    long size = -1;

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_FATAL(fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0);
    rewind(f);
    text = malloc((size_t)size + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_EQUAL_FATAL(fread(text, 1, (size_t)size, f), (size_t)size);
    text[size] = '\0';
    fclose(f);
    return text;
}

/* Blanks out comments, strings and character constants; line feeds stay, so that lines can be counted. */
static void blank_prose(char *p)
{
    while (*p != '\0') {
        if (p[0] == '/' && p[1] == '*') {
            char *end = strstr(p + 2, "*/");

            for (end = end != NULL ? end + 2 : p + strlen(p); p < end; p++)
                if (*p != '\n')
                    *p = ' ';
        } else if (p[0] == '/' && p[1] == '/') {
            for (; *p != '\0' && *p != '\n'; p++)
                *p = ' ';
        } else if (*p == '"' || *p == '\'') {
            char quote = *p;

            for (*p++ = ' '; *p != '\0' && *p != quote && *p != '\n'; *p++ = ' ')
                if (*p == '\\' && p[1] != '\0')
                    *p++ = ' ';
            if (*p == quote)
                *p++ = ' ';
        } else {
            p++;
        }
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* Is the word at `p` one of its own, and not the member of a struct? */
static bool stands_alone(const char *text, const char *p, size_t len)
{
    return (p == text || (!is_word(p[-1]) && p[-1] != '.' && p[-1] != '>')) && !is_word(p[len]);
}

/* Line of the first use of `name` in `text`; 0: none. */
static int find_use(const char *text, const char *name)
{
    size_t len = strcspn(name, "(");
    bool call = name[len] == '(';
    char word[64];
    int line = 1;

    snprintf(word, sizeof word, "%.*s", (int)len, name);
    for (const char *p = strstr(text, word); p != NULL; p = strstr(p + 1, word)) {
        if (!stands_alone(text, p, len) || (call && p[len + strspn(p + len, " \n")] != '('))
            continue;
        for (const char *q = text; q < p; q++)
            line += *q == '\n';
        return line;
    }
    return 0;
}

/* ---- walking */

static void check_file(const struct rule *rule, const char *path, const char *shown)
{
    char *text = read_source(path);

    files_read++;
    blank_prose(text);
    for (size_t i = 0; i < NAMES_MAX && rule->names[i] != NULL; i++) {
        int line = find_use(text, rule->names[i]);
        char row[1024];

        snprintf(row, sizeof row, "%.300s:%d: %s: %s", shown, line, rule->names[i], rule->name);
        ROW_ASSERT(row, line == 0);
    }
    free(text);
}

static bool is_excepted(const struct rule *rule, const char *shown)
{
    for (size_t i = 0; i < PATHS_MAX && rule->except[i] != NULL; i++)
        if (strcmp(rule->except[i], shown) == 0)
            return true;
    return false;
}

static void walk(const struct rule *rule, const char *folder)
{
    char path[1024], shown[512];
    struct dirent *entry;
    DIR *dir;

    snprintf(path, sizeof path, "%s/%s", SOURCE_DIR, folder);
    dir = opendir(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(dir);
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);
        struct stat st;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(shown, sizeof shown, "%s/%s", folder, entry->d_name);
        snprintf(path, sizeof path, "%s/%s", SOURCE_DIR, shown);
        if (stat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            walk(rule, shown);
        else if (len > 2 &&
                 (strcmp(entry->d_name + len - 2, ".c") == 0 ||
                  strcmp(entry->d_name + len - 2, ".h") == 0) &&
                 (len <= 7 || strcmp(entry->d_name + len - 7, "_fuzz.c") != 0) &&
                 !is_excepted(rule, shown))
            check_file(rule, path, shown);
    }
    closedir(dir);
}

static void test_rules(void)
{
    for (size_t i = 0; i < ROW_COUNT(rules); i++) {
        files_read = 0;
        for (size_t k = 0; k < PATHS_MAX && rules[i].where[k] != NULL; k++)
            walk(&rules[i], rules[i].where[k]);
        ROW_ASSERT(rules[i].name, files_read > 0); /* a rule that looked at nothing shows nothing */
    }
}

/* ---- the finder itself */

static const struct {
    const char *text, *name;
    int line;
} finder_rows[] = {
    {"abort();", "abort(", 1},
    {"\n\n  abort ();", "abort(", 3},
    {"my_abort();", "abort(", 0},
    {"aborted();", "abort(", 0},
    {"int abort;", "abort(", 0},
    {"/* abort() */", "abort(", 0},
    {"// abort()\nabort();", "abort(", 2},
    {"\"abort()\"", "abort(", 0},
    {"'\"'; abort();", "abort(", 1},
    {"\"\\\"\"; abort();", "abort(", 1},
    {"'\\''; abort();", "abort(", 1},
    {"p->time(x); s.time(x);", "time(", 0},
    {"f = explicit_bzero;", "explicit_bzero", 1},
    {"explicit_bzeros", "explicit_bzero", 0},
    {"", "abort(", 0},
};

static void test_finder(void)
{
    for (size_t i = 0; i < ROW_COUNT(finder_rows); i++) {
        char text[64];

        snprintf(text, sizeof text, "%s", finder_rows[i].text);
        blank_prose(text);
        ROW_ASSERT(finder_rows[i].text, find_use(text, finder_rows[i].name) == finder_rows[i].line);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the finder finds", test_finder},
        {"rules", test_rules},
        CU_TEST_INFO_NULL,
    };

    return run_tests("lint", tests);
}
