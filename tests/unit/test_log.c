/* Log lines: one event a line whatever the values hold, valid logfmt, never too long. */
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/log.h"
#include "tests/support/rows.h"

static char captured[16384];

/* What is written to standard error by one call goes to `captured`. */
static int begin_capture(int *saved)
{
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(pipe(fds), 0);
    CU_ASSERT_EQUAL_FATAL(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    *saved = dup(STDERR_FILENO);
    CU_ASSERT_FATAL(*saved >= 0 && dup2(fds[1], STDERR_FILENO) >= 0);
    close(fds[1]);
    return fds[0];
}

static size_t end_capture(int fd, int saved)
{
    ssize_t n;

    (void)dup2(saved, STDERR_FILENO);
    close(saved);
    n = read(fd, captured, sizeof captured - 1); /* one write: one read has it whole */
    close(fd);
    captured[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

static size_t log_one(enum ag_log_level level, const struct ag_log_field *fields)
{
    int saved, fd = begin_capture(&saved);

    ag_log_fields(level, "test.event", fields);
    return end_capture(fd, saved);
}

static const char *tail(void)
{
    const char *p = strstr(captured, "test.event");

    return p != NULL ? p + strlen("test.event") : "";
}

#define S(text)                                                                                    \
    {                                                                                              \
        (const uint8_t *)(text), sizeof(text) - 1                                                  \
    }
#define SLICE(text)                                                                                \
    {                                                                                              \
        .kind = AG_LF_SLICE, .name = "v", .slice = S(text)                                         \
    }
static const struct {
    const char *name;
    struct ag_log_field field;
    const char *want;
} rows[] = {
    {"plain", SLICE("az09AZ_./:@+-"), " v=az09AZ_./:@+-\n"},
    {"empty", SLICE(""), " v=\"\"\n"},
    {"blank", SLICE("a b"), " v=\"a b\"\n"},
    {"equals sign", SLICE("a=b"), " v=\"a=b\"\n"},
    {"quote", SLICE("a\"b"), " v=\"a\\\"b\"\n"},
    {"backslash", SLICE("a\\b"), " v=\"a\\\\b\"\n"},
    {"line feed", SLICE("a\nlevel=info"), " v=\"a\\x0alevel=info\"\n"},
    {"CR, tab, NUL", SLICE("\r\t\0"), " v=\"\\x0d\\x09\\x00\"\n"},
    {"terminal escape", SLICE("\x1b[2J"), " v=\"\\x1b[2J\"\n"},
    {"DEL", SLICE("\x7f"), " v=\"\\x7f\"\n"},
    {"UTF-8", SLICE("\xe4\xbd\x99\xf0\x9f\x99\x82"), " v=\"\xe4\xbd\x99\xf0\x9f\x99\x82\"\n"},
    {"control character of two bytes", SLICE("\xc2\x9b"), " v=\"\\xc2\\x9b\"\n"},
    {"line separator", SLICE("\xe2\x80\xa8"), " v=\"\\xe2\\x80\\xa8\"\n"},
    {"turns the direction", SLICE("\xe2\x80\xae"), " v=\"\\xe2\\x80\\xae\"\n"},
    {"stray byte", SLICE("a\xffz"), " v=\"a\\xffz\"\n"},
    {"cut UTF-8", SLICE("\xe4\xbd"), " v=\"\\xe4\\xbd\"\n"},
    {"overlong UTF-8", SLICE("\xc0\xaf"), " v=\"\\xc0\\xaf\"\n"},
    {"surrogate", SLICE("\xed\xa0\x80"), " v=\"\\xed\\xa0\\x80\"\n"},
    {"text", {.kind = AG_LF_TEXT, .name = "v", .text = "soft"}, " v=soft\n"},
    {"no text", {.kind = AG_LF_TEXT, .name = "v", .text = NULL}, " v=\"\"\n"},
    {"smallest integer",
     {.kind = AG_LF_INT, .name = "v", .i = INT64_MIN},
     " v=-9223372036854775808\n"},
    {"largest integer",
     {.kind = AG_LF_UINT, .name = "v", .u = UINT64_MAX},
     " v=18446744073709551615\n"},
    {"error", {.kind = AG_LF_ERR, .name = "error", .i = ANTAG_ERR_KEY_STATE}, " error=KEY_STATE\n"},
    {"unknown error", {.kind = AG_LF_ERR, .name = "error", .i = 9999}, " error=UNKNOWN\n"},
    {"hex", {.kind = AG_LF_HEX, .name = "v", .slice = S("\0\x7f\xff")}, " v=007fff\n"},
    {"no bytes in hex", {.kind = AG_LF_HEX, .name = "v", .slice = {NULL, 0}}, " v=\n"},
};

static void test_values(void)
{
    ag_log_setup("keeper[soft]", AG_LOG_DEBUG);
    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        const struct ag_log_field fields[] = {rows[i].field, {.kind = AG_LF_END}};

        (void)log_one(AG_LOG_INFO, fields);
        ROW_ASSERT(rows[i].name, strcmp(tail(), rows[i].want) == 0);
    }
}

static void test_head(void)
{
    const struct ag_log_field none[] = {{.kind = AG_LF_END}};
    regex_t form;

    CU_ASSERT_EQUAL_FATAL(
        regcomp(&form,
                "^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                "warn keeper\\[soft\\] test\\.event\n$",
                REG_EXTENDED | REG_NOSUB),
        0);
    ag_log_setup("keeper[soft]", AG_LOG_WARN);
    errno = ENOTTY;
    CU_ASSERT(log_one(AG_LOG_WARN, none) > 0);
    CU_ASSERT_EQUAL(regexec(&form, captured, 0, NULL, 0), 0);
    CU_ASSERT_EQUAL(log_one(AG_LOG_INFO, none), 0); /* below the level: nothing */
    ag_log_set_level(AG_LOG_ERROR);
    CU_ASSERT_EQUAL(log_one(AG_LOG_WARN, none), 0);
    CU_ASSERT(log_one(AG_LOG_ERROR, none) > 0);
    regfree(&form);
    ag_log_set_level(AG_LOG_DEBUG);
    CU_ASSERT(log_one(AG_LOG_DEBUG, none) > 0);
}

static void test_errno_kept(void)
{
    int saved, fd = begin_capture(&saved), kept;

    close(STDERR_FILENO);
    errno = ENOTTY;
    ag_log(AG_LOG_ERROR, "test.event", AG_F_INT("a", 1)); /* nobody hears it, nothing happens */
    kept = errno;
    (void)end_capture(fd, saved);
    CU_ASSERT_EQUAL(kept, ENOTTY);
}

/* Values of any length: the line stays within one atomic write, closes its quotes and says that it was cut. */
static void test_long(void)
{
    static uint8_t bytes[20000];

    for (size_t len = 1000; len < 1100; len++) {
        const struct ag_log_field plain[] = {AG_F_SLICE("a", ((struct antag_slice){bytes, len})),
                                             AG_F_TEXT("b", "x"),
                                             {.kind = AG_LF_END}};

        memset(bytes, 'a', sizeof bytes);
        CU_ASSERT(log_one(AG_LOG_ERROR, plain) < 1200);
        CU_ASSERT_STRING_EQUAL(captured + strlen(captured) - 5, " b=x\n");
    }
    for (size_t len = 0; len < sizeof bytes; len += 97) {
        const struct antag_slice v = {bytes, len};
        const struct ag_log_field many[] = {
            AG_F_SLICE("a", v), AG_F_SLICE("b", v),  AG_F_SLICE("c", v), AG_F_SLICE("d", v),
            AG_F_HEX("e", v),   AG_F_TEXT("f", "x"), {.kind = AG_LF_END}};
        size_t n, quotes = 0;

        memset(bytes, len % 2 == 0 ? '\n' : 'a', sizeof bytes);
        n = log_one(AG_LOG_ERROR, many);
        CU_ASSERT(n <= 4096);
        CU_ASSERT_EQUAL(strlen(captured), n);
        CU_ASSERT_PTR_EQUAL(strchr(captured, '\n'), captured + n - 1);
        for (size_t i = 0; i < n; i++)
            quotes += captured[i] == '"';
        CU_ASSERT_EQUAL(quotes % 2, 0);
        CU_ASSERT(strstr(captured, " f=x\n") != NULL || strstr(captured, " cut=yes\n") != NULL);
    }
}

static void test_fault(void)
{
    struct antag_fault fault;
    int saved, fd;

    (void)antag_fault_set(&fault, ANTAG_ERR_BAD_PARAM, "uri", "starts with '/', got \"%s\"", "x y");
    fd = begin_capture(&saved);
    ag_log_fault(AG_LOG_ERROR, "test.event", &fault);
    (void)end_capture(fd, saved);
    CU_ASSERT_STRING_EQUAL(
        tail(), " error=BAD_PARAM field=uri text=\"starts with '/', got \\\"x y\\\"\"\n");
    (void)antag_fault_set(&fault, ANTAG_ERR_DENIED, NULL, "%s", "");
    fd = begin_capture(&saved);
    ag_log_fault(AG_LOG_ERROR, "test.event", &fault);
    (void)end_capture(fd, saved);
    CU_ASSERT_STRING_EQUAL(tail(), " error=DENIED text=\"not granted, or no such profile\"\n");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"values", test_values},    {"head and level", test_head}, {"errno", test_errno_kept},
        {"long values", test_long}, {"faults", test_fault},        CU_TEST_INFO_NULL,
    };

    return run_tests("log", tests);
}
