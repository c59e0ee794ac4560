#include "agent/core/mailtext.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COLUMNS  76
#define BOUNDARY "antom-agent-part"

/* ---- bounded output */

struct buf {
    char *p;
    size_t len, size;
    bool full;
};

static void put(struct buf *b, const char *text, size_t len)
{
    if (len >= b->size - b->len) {
        b->full = true;
        return;
    }
    memcpy(b->p + b->len, text, len);
    b->len += len;
    b->p[b->len] = '\0';
}

static void puts_to(struct buf *b, const char *text)
{
    put(b, text, strlen(text));
}

/* ---- headers: printable ASCII, one line */

static void put_header(struct buf *b, const char *name, const char *value)
{
    puts_to(b, name);
    puts_to(b, ": ");
    for (const char *p = value; *p != '\0'; p++)
        put(b, *p >= 0x20 && *p < 0x7f ? p : "?", 1);
    puts_to(b, "\r\n");
}

/* ---- quoted-printable (RFC 2045, 6.7). Lines of the text end in LF. */

static bool stands_for_itself(uint8_t c, uint8_t next)
{
    if (c == ' ')
        return next != '\n' && next != '\0'; /* not at the end of a line */
    return c > 0x20 && c < 0x7f && c != '=';
}

static void put_quoted(struct buf *b, const char *text)
{
    size_t column = 0;

    for (const char *p = text; *p != '\0'; p++) {
        char piece[4];
        size_t len = 1;

        if (*p == '\n') {
            puts_to(b, "\r\n");
            column = 0;
            continue;
        }
        if (stands_for_itself((uint8_t)p[0], (uint8_t)p[1]))
            piece[0] = *p;
        else
            len = (size_t)snprintf(piece, sizeof piece, "=%02X", (unsigned)(uint8_t)*p);
        if (column + len > COLUMNS - 1) {
            puts_to(b, "=\r\n");
            column = 0;
        }
        put(b, piece, len);
        column += len;
    }
}

/* ---- plain text */

/* Words, as many on a line as fit, from the second line on behind `indent` blanks. A word that fits on none stands
 * alone. Returns nothing; control characters become blanks. */
static void put_wrapped(struct buf *b, const char *text, size_t column, size_t indent)
{
    const char *p = text;
    bool first = true;

    while (*p != '\0') {
        size_t blanks = strspn(p, " \t\r\n"), len = strcspn(p + blanks, " \t\r\n");

        p += blanks;
        if (len == 0)
            break;
        if (!first && column + 1 + len > COLUMNS - 4) {
            puts_to(b, "\n");
            for (size_t i = 0; i < indent; i++)
                puts_to(b, " ");
            column = indent;
            first = true;
        }
        if (!first) {
            puts_to(b, " ");
            column++;
        }
        for (size_t i = 0; i < len; i++)
            put(b, (uint8_t)p[i] < 0x20 || p[i] == 0x7f ? " " : p + i, 1);
        column += len;
        p += len;
        first = false;
    }
    puts_to(b, "\n");
}

static size_t widest(const struct ag_mailtext *m)
{
    size_t w = 0;

    for (size_t i = 0; i < m->row_count; i++)
        if (strlen(m->rows[i].label) > w)
            w = strlen(m->rows[i].label);
    return w;
}

static void put_rows(struct buf *b, const struct ag_mailtext *m)
{
    size_t width = widest(m);

    for (size_t i = 0; i < m->row_count; i++) {
        puts_to(b, "  ");
        puts_to(b, m->rows[i].label);
        for (size_t k = strlen(m->rows[i].label); k < width + 2; k++)
            puts_to(b, " ");
        put_wrapped(b, m->rows[i].value, width + 4, width + 4);
    }
    if (m->row_count > 0)
        puts_to(b, "\n");
}

static void put_plain(struct buf *b, const struct ag_mailtext *m)
{
    put_wrapped(b, m->lead, 0, 0);
    puts_to(b, "\n");
    put_rows(b, m);
    if (m->code != NULL) {
        puts_to(b, "  Code:  ");
        puts_to(b, m->code);
        puts_to(b, "\n\n");
    }
    if (m->command != NULL) {
        puts_to(b, "On the agent's host, as yourself:\n\n    ");
        puts_to(b, m->command);
        puts_to(b, "\n\n");
    }
    if (m->closing != NULL) {
        put_wrapped(b, m->closing, 0, 0);
        puts_to(b, "\n");
    }
    puts_to(b, "-- \nantom-agent\n");
    if (m->head != NULL) {
        puts_to(b, "record: ");
        put_wrapped(b, m->head, 8, 2);
    }
}

/* ---- HTML */

static void put_escaped(struct buf *b, const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        switch (*p) {
        case '<':
            puts_to(b, "&lt;");
            break;
        case '>':
            puts_to(b, "&gt;");
            break;
        case '&':
            puts_to(b, "&amp;");
            break;
        case '"':
            puts_to(b, "&quot;");
            break;
        default:
            put(b, (uint8_t)*p < 0x20 || *p == 0x7f ? " " : p, 1);
        }
    }
}

static void put_element(struct buf *b, const char *before, const char *text, const char *after)
{
    if (text == NULL)
        return;
    puts_to(b, before);
    put_escaped(b, text);
    puts_to(b, after);
}

static void put_html(struct buf *b, const struct ag_mailtext *m)
{
    puts_to(b, "<!doctype html>\n<html><body style=\"font-family:sans-serif\">\n");
    put_element(b, "<p>", m->lead, "</p>\n");
    if (m->row_count > 0)
        puts_to(b, "<table>\n");
    for (size_t i = 0; i < m->row_count; i++) {
        put_element(b, "<tr><th align=\"left\" valign=\"top\">", m->rows[i].label, "</th>");
        put_element(b, "<td>", m->rows[i].value, "</td></tr>\n");
    }
    if (m->row_count > 0)
        puts_to(b, "</table>\n");
    put_element(b, "<p>Code: <b style=\"font-family:monospace;font-size:150%\">", m->code,
                "</b></p>\n");
    put_element(b, "<p>On the agent's host, as yourself:</p>\n<pre>", m->command, "</pre>\n");
    put_element(b, "<p>", m->closing, "</p>\n");
    puts_to(b, "<hr><p><small>antom-agent");
    put_element(b, "<br>record: ", m->head, "");
    puts_to(b, "</small></p>\n</body></html>\n");
}

/* ---- the message */

static void put_part(struct buf *b, const char *type, const char *text)
{
    puts_to(b, "--" BOUNDARY "\r\nContent-Type: ");
    puts_to(b, type);
    puts_to(b, "; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
    put_quoted(b, text);
    puts_to(b, "\r\n");
}

static void put_headers(struct buf *b, const struct ag_mailtext *m)
{
    char id[256];

    snprintf(id, sizeof id, "<%s>", m->message_id);
    put_header(b, "To", m->to);
    put_header(b, "Subject", m->subject);
    put_header(b, "Message-ID", id);
    put_header(b, "Auto-Submitted", "auto-generated");
    put_header(b, "MIME-Version", "1.0");
    put_header(b, "Content-Type", "multipart/alternative; boundary=\"" BOUNDARY "\"");
    puts_to(b, "\r\n");
}

enum antag_err ag_mailtext_render(const struct ag_mailtext *m, char *out, size_t size, size_t *len,
                                  struct antag_fault *fault)
{
    char text[AG_MAILTEXT_MAX];
    struct buf b = {.p = out, .size = size}, t = {.p = text, .size = sizeof text};

    put_headers(&b, m);
    put_plain(&t, m);
    put_part(&b, "text/plain", text);
    t = (struct buf){.p = text, .size = sizeof text, .full = t.full};
    put_html(&t, m);
    put_part(&b, "text/html", text);
    puts_to(&b, "--" BOUNDARY "--\r\n");
    if (b.full || t.full)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                               "a mail of over %zu bytes would be needed for this", size);
    *len = b.len;
    return ANTAG_OK;
}

void ag_mailtext_date(int64_t wall_ms, char out[AG_MAILTEXT_DATE])
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t at = (time_t)(wall_ms / 1000);
    struct tm tm;

    if (gmtime_r(&at, &tm) == NULL)
        memset(&tm, 0, sizeof tm);
    snprintf(out, AG_MAILTEXT_DATE, "%s, %02d %s %04d %02d:%02d:%02d +0000", days[tm.tm_wday % 7],
             tm.tm_mday, months[tm.tm_mon % 12], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
             tm.tm_sec);
}
