/* Mails: nothing that is put in makes a header, markup or a line that is too long. What a mail client makes of them is
 * tested in tests/integration/test_mail.py. */
#include <stdio.h>
#include <string.h>

#include "agent/core/mailtext.h"
#include "tests/support/rows.h"

static char out[AG_MAILTEXT_MAX];
static size_t len;

static enum antag_err render(const struct ag_mailtext *m)
{
    struct antag_fault fault;

    memset(out, 0, sizeof out);
    return ag_mailtext_render(m, out, sizeof out, &len, &fault);
}

static struct ag_mailtext sample(void)
{
    return (struct ag_mailtext){.message_id = "1@pay.example",
                                .to = "a@b.example",
                                .subject = "s",
                                .lead = "Something happened.",
                                .rows = {{"who", "uid 5"}},
                                .row_count = 1};
}

static void check_lines(const char *name)
{
    size_t column = 0, longest = 0, body = (size_t)(strstr(out, "\r\n\r\n") - out);

    for (size_t i = 0; i < len; i++) {
        bool end = out[i] == '\r' && out[i + 1] == '\n';

        ROW_ASSERT(name, end || (out[i] >= 0x20 && out[i] < 0x7f) || out[i] == '\n');
        ROW_ASSERT(name, out[i] != '\n' || out[i - 1] == '\r');
        column = end || out[i] == '\n' ? 0 : column + 1;
        longest = i > body + 2 && column > longest ? column : longest;
    }
    ROW_ASSERT(name, longest <= 78);
}

static void test_hostile_texts(void)
{
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"a header", "x\r\nBcc: eve@example.com\r\n\r\nbody"},
        {"a line feed", "x\nBcc: eve@example.com"},
        {"markup", "<script>alert(1)</script><img src=x onerror=\"y\">&amp;"},
        {"a boundary", "\r\n--antom-agent-part--\r\nmore"},
        {"control characters", "\x1b[2J\x07\x01 text"},
        {"a long word",
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
        {"other letters", "\xe4\xbd\x99\xe9\xa2\x9d = caf\xc3\xa9"},
        {"dots and equals signs", ".\n.\n..=3D=\n= =20 "},
        {"nothing", ""},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct ag_mailtext m = sample();
        const char *t = rows[i].text, *name = rows[i].name;

        m.subject = m.to = m.lead = m.rows[0].label = m.rows[0].value = m.closing = m.command = t;
        m.head = t;
        ROW_ASSERT(name, render(&m) == ANTAG_OK);
        check_lines(name);
        ROW_ASSERT(name, strstr(out, "\r\nBcc:") == NULL ||
                             strstr(out, "\r\n\r\n") < strstr(out, "\r\nBcc:"));
        ROW_ASSERT(name, strstr(out, "<script") == NULL ||
                             strstr(out, "text/html") > strstr(out, "<script"));
        ROW_ASSERT(name, strstr(strstr(out, "text/html"), "<script") == NULL);
        ROW_ASSERT(name, strstr(strstr(out, "text/html"), "<img") == NULL);
    }
}

/* The headers end where they should. */
static void test_headers(void)
{
    struct ag_mailtext m = sample();
    char head[600];
    size_t n;

    m.subject = "a\r\nX-Evil: 1\xc3\xa9";
    CU_ASSERT_EQUAL(render(&m), ANTAG_OK);
    n = (size_t)(strstr(out, "\r\n\r\n") - out);
    CU_ASSERT_FATAL(n < sizeof head);
    memcpy(head, out, n);
    head[n] = '\0';
    CU_ASSERT_PTR_NOT_NULL(strstr(head, "Subject: a??X-Evil: 1??"));
    CU_ASSERT_PTR_NOT_NULL(strstr(head, "Message-ID: <1@pay.example>"));
    CU_ASSERT_PTR_NULL(strstr(head, "\r\nX-Evil"));
}

static void test_too_long(void)
{
    static char text[AG_MAILTEXT_MAX + 1];
    struct ag_mailtext m = sample();
    struct antag_fault fault;

    memset(text, 'x', sizeof text - 1);
    m.lead = text;
    CU_ASSERT_EQUAL(render(&m), ANTAG_ERR_BAD_PARAM);
    m.lead = "short";
    CU_ASSERT_EQUAL(ag_mailtext_render(&m, out, 400, &len, &fault), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "over 400 bytes"));
}

static void test_date(void)
{
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {0, "Thu, 01 Jan 1970 00:00:00 +0000"},
        {1795796417000, "Fri, 27 Nov 2026 16:20:17 +0000"},
        {951782400000, "Tue, 29 Feb 2000 00:00:00 +0000"},
    };
    char text[AG_MAILTEXT_DATE];

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        ag_mailtext_date(rows[i].ms, text);
        CU_ASSERT_STRING_EQUAL(text, rows[i].text);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"hostile texts", test_hostile_texts},
        {"headers", test_headers},
        {"too long", test_too_long},
        {"date", test_date},
        CU_TEST_INFO_NULL,
    };

    return run_tests("mailtext", tests);
}
