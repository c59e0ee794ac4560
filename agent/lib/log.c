#include "agent/lib/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "proto/utf8.h"

/* One write of at most PIPE_BUF (4096) bytes cannot be mixed with another's, whoever shares the pipe. */
#define LINE_MAX_LEN 4096
#define VALUE_MAX    1024 /* as written; so that no value crowds out the fields behind it */
#define CUT_MARK     "..."
#define CUT_FIELD    " cut=yes"

static char role_name[64] = "-";
static _Atomic int max_level = AG_LOG_INFO;

struct line {
    size_t len;
    bool cut; /* something did not fit: nothing more is added */
    char text[LINE_MAX_LEN];
};

/* Room for values; what ends a line always fits behind it. */
#define BODY_MAX (LINE_MAX_LEN - sizeof CUT_MARK "\"" CUT_FIELD "\n")

static void put(struct line *l, const char *p, size_t len)
{
    if (l->cut || l->len + len > BODY_MAX) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->len, p, len);
    l->len += len;
}

static void put_text(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* What closes a value or the line: into the room that BODY_MAX leaves. */
static void put_end(struct line *l, const char *text)
{
    size_t len = strlen(text);

    memcpy(l->text + l->len, text, len);
    l->len += len;
}

static bool is_plain(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("_./:@+-", c) != NULL);
}

/* Characters that move the cursor, end lines or turn the direction of text: they could make a line
 * look like another one to the person who reads it. */
static bool is_deceptive(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* One character of a quoted value, at most 16 bytes; returns how many bytes of `p` it stands for. */
static size_t escape(const uint8_t *p, size_t len, char out[17], size_t *out_len)
{
    uint32_t c = 0;
    size_t n = antag_utf8_step(p, len, &c);

    if (n > 0 && !is_deceptive(c)) {
        size_t at = 0;

        if (c == '"' || c == '\\')
            out[at++] = '\\';
        memcpy(out + at, p, n);
        *out_len = at + n;
        return n;
    }
    if (n == 0)
        n = 1; /* one stray byte */
    for (size_t i = 0; i < n; i++)
        snprintf(out + 4 * i, 5, "\\x%02x", p[i]);
    *out_len = 4 * n;
    return n;
}

static void put_value(struct line *l, struct antag_slice v)
{
    bool plain = v.len > 0 && v.len <= VALUE_MAX;
    size_t start = l->len, i = 0;
    bool cut = false;

    for (size_t k = 0; plain && k < v.len; k++)
        plain = is_plain(v.p[k]);
    if (plain) {
        put(l, (const char *)v.p, v.len);
        return;
    }
    put(l, "\"", 1);
    if (l->cut)
        return;
    while (i < v.len && !cut) {
        char out[17];
        size_t out_len, used = escape(v.p + i, v.len - i, out, &out_len);

        cut = l->len - start + out_len > VALUE_MAX;
        if (!cut)
            put(l, out, out_len);
        cut = cut || l->cut;
        i += used;
    }
    put_end(l, cut ? CUT_MARK "\"" : "\"");
}

static void put_hex(struct line *l, struct antag_slice v)
{
    for (size_t i = 0; i < v.len && !l->cut; i++) {
        char two[3];

        snprintf(two, sizeof two, "%02x", v.p[i]);
        put(l, two, 2);
    }
}

static void put_field(struct line *l, const struct ag_log_field *f)
{
    char number[24];

    put(l, " ", 1);
    put_text(l, f->name);
    put(l, "=", 1);
    switch (f->kind) {
    case AG_LF_TEXT:
        put_value(l, antag_slice_of(f->text));
        break;
    case AG_LF_SLICE:
        put_value(l, f->slice);
        break;
    case AG_LF_INT:
        snprintf(number, sizeof number, "%" PRId64, f->i);
        put_text(l, number);
        break;
    case AG_LF_UINT:
        snprintf(number, sizeof number, "%" PRIu64, f->u);
        put_text(l, number);
        break;
    case AG_LF_ERR:
        put_text(l, antag_err_name((enum antag_err)f->i));
        break;
    case AG_LF_HEX:
        put_hex(l, f->slice);
        break;
    case AG_LF_END:
        break;
    }
}

static void put_time(struct line *l)
{
    char text[AG_CLOCK_TEXT_MAX];

    ag_clock_render(ag_clock_wall_ms(), text);
    put_text(l, text);
}

void ag_log_setup(const char *role, enum ag_log_level level)
{
    snprintf(role_name, sizeof role_name, "%s", role);
    ag_log_set_level(level);
}

void ag_log_set_level(enum ag_log_level level)
{
    atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

void ag_log_fields(enum ag_log_level level, const char *event, const struct ag_log_field *fields)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    int saved = errno;
    struct line l;

    if ((int)level > atomic_load_explicit(&max_level, memory_order_relaxed))
        return;
    l.len = 0;
    l.cut = false;
    put_time(&l);
    put(&l, " ", 1);
    put_text(&l, names[level]);
    put(&l, " ", 1);
    put_text(&l, role_name);
    put(&l, " ", 1);
    put_text(&l, event);
    for (const struct ag_log_field *f = fields; f->kind != AG_LF_END && !l.cut; f++) {
        size_t before = l.len;

        put_field(&l, f);
        if (l.cut && l.text[l.len - 1] != '"')
            l.len = before; /* half a number or name would say something else */
    }
    put_end(&l, l.cut ? CUT_FIELD "\n" : "\n");
    while (write(STDERR_FILENO, l.text, l.len) < 0 && errno == EINTR)
        ;
    errno = saved;
}

void ag_log_fault(enum ag_log_level level, const char *event, const struct antag_fault *fault)
{
    struct ag_log_field fields[4];
    size_t n = 0;

    fields[n++] = AG_F_ERR(fault->err);
    if (fault->field[0] != '\0')
        fields[n++] = AG_F_TEXT("field", fault->field);
    fields[n++] = AG_F_TEXT("text", antag_fault_text(fault));
    fields[n] = (struct ag_log_field){.kind = AG_LF_END};
    ag_log_fields(level, event, fields);
}
