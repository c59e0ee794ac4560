#include "agent/core/explain.h"

#include <stdio.h>
#include <string.h>

#include "proto/utf8.h"

static const struct {
    const char *name, *text, *remedy;
} causes[] = {
#define AG_ROW(name, text, remedy) {#name, text, remedy},
    AG_CAUSES(AG_ROW)
#undef AG_ROW
};

const char *ag_cause_name(enum ag_cause c)
{
    return causes[c].name;
}

const char *ag_cause_text(enum ag_cause c)
{
    return causes[c].text;
}

const char *ag_cause_remedy(enum ag_cause c)
{
    return causes[c].remedy;
}

enum ag_cause ag_body_variant_cause(enum ag_body_variant v)
{
    static const enum ag_cause of[] = {
#define AG_ROW(name, cause) [AG_BODY_##name] = AG_CAUSE_##cause,
        AG_BODY_VARIANTS(AG_ROW)
#undef AG_ROW
    };

    return of[v];
}

/* ---- writing */

struct out {
    uint8_t *p;
    size_t len, size;
    bool full;
};

static void put(struct out *o, const void *p, size_t len)
{
    if (len > o->size - o->len) {
        o->full = true;
        return;
    }
    memcpy(o->p + o->len, p, len);
    o->len += len;
}

static void put_byte(struct out *o, uint8_t c)
{
    put(o, &c, 1);
}

/* ---- line ends */

static void cut(struct out *o, struct antag_slice body, const char *end)
{
    size_t len = strlen(end);

    if (body.len >= len && memcmp(body.p + body.len - len, end, len) == 0)
        put(o, body.p, body.len - len);
    else
        o->full = true;
}

static void add(struct out *o, struct antag_slice body, const char *end)
{
    if (body.len > 0)
        put(o, body.p, body.len);
    put(o, end, strlen(end));
}

static void to_crlf(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        if (body.p[i] == '\n' && (i == 0 || body.p[i - 1] != '\r'))
            put_byte(o, '\r');
        put_byte(o, body.p[i]);
    }
}

static void to_lf(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len; i++)
        if (body.p[i] != '\r' || i + 1 == body.len || body.p[i + 1] != '\n')
            put_byte(o, body.p[i]);
}

static void to_plus(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len; i++)
        put_byte(o, body.p[i] == ' ' ? '+' : body.p[i]);
}

/* ---- JSON, by its strings and what stands between them; what is no JSON comes out as it comes out */

enum json_style { COMPACT, SPACED };

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void restyle(struct out *o, struct antag_slice body, enum json_style style)
{
    bool inside = false, escaped = false;

    for (size_t i = 0; i < body.len; i++) {
        uint8_t c = body.p[i];

        if (!inside && is_blank(c))
            continue;
        put_byte(o, c);
        if (!inside && style == SPACED && (c == ',' || c == ':'))
            put_byte(o, ' ');
        if (c == '"' && !escaped)
            inside = !inside;
        escaped = inside && c == '\\' && !escaped;
    }
}

static void escape_slashes(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        if (body.p[i] == '/' && (i == 0 || body.p[i - 1] != '\\'))
            put_byte(o, '\\');
        put_byte(o, body.p[i]);
    }
}

static void plain_slashes(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len; i++) {
        if (body.p[i] == '\\' && i + 1 < body.len && body.p[i + 1] == '\\') {
            put(o, body.p + i++, 2); /* a backslash of the text, and what follows is not escaped */
            continue;
        }
        if (body.p[i] != '\\' || i + 1 == body.len || body.p[i + 1] != '/')
            put_byte(o, body.p[i]);
    }
}

static void put_escape(struct out *o, uint32_t unit)
{
    char text[8];

    put(o, text, (size_t)snprintf(text, sizeof text, "\\u%04x", (unsigned)unit));
}

static void to_ascii(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len;) {
        uint32_t c;
        size_t n = antag_utf8_step(body.p + i, body.len - i, &c);

        if (n <= 1) { /* ASCII, or no UTF-8: as it is */
            put_byte(o, body.p[i++]);
            continue;
        }
        if (c >= 0x10000) {
            put_escape(o, 0xd800 + ((c - 0x10000) >> 10));
            put_escape(o, 0xdc00 + ((c - 0x10000) & 0x3ff));
        } else {
            put_escape(o, c);
        }
        i += n;
    }
}

static bool read_unit(struct antag_slice body, size_t at, uint32_t *out)
{
    *out = 0;
    if (at + 6 > body.len || body.p[at] != '\\' || body.p[at + 1] != 'u')
        return false;
    for (size_t i = at + 2; i < at + 6; i++) {
        uint8_t c = body.p[i];
        uint32_t v = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;

        if (v == 16)
            return false;
        *out = *out * 16 + v;
    }
    return true;
}

static void put_utf8(struct out *o, uint32_t c)
{
    if (c >= 0x10000)
        put_byte(o, (uint8_t)(0xf0 | (c >> 18)));
    if (c >= 0x800)
        put_byte(o, (uint8_t)(c >= 0x10000 ? 0x80 | ((c >> 12) & 0x3f) : 0xe0 | (c >> 12)));
    put_byte(o, (uint8_t)(c >= 0x800 ? 0x80 | ((c >> 6) & 0x3f) : 0xc0 | (c >> 6)));
    put_byte(o, (uint8_t)(0x80 | (c & 0x3f)));
}

static void to_utf8(struct out *o, struct antag_slice body)
{
    for (size_t i = 0; i < body.len;) {
        uint32_t c, low;

        if (body.p[i] == '\\' && i + 1 < body.len && body.p[i + 1] == '\\') {
            put(o, body.p + i, 2);
            i += 2;
        } else if (!read_unit(body, i, &c) || c < 0x80 || (c >= 0xdc00 && c <= 0xdfff)) {
            put_byte(o, body.p[i++]);
        } else if (c < 0xd800 || c > 0xdbff) {
            put_utf8(o, c);
            i += 6;
        } else if (read_unit(body, i + 6, &low) && low >= 0xdc00 && low <= 0xdfff) {
            put_utf8(o, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
            i += 12;
        } else {
            put_byte(o, body.p[i++]);
        }
    }
}

/* ---- all of them */

static void vary(enum ag_body_variant v, struct antag_slice body, struct out *o)
{
    switch (v) {
    case AG_BODY_WITHOUT_LF:
        cut(o, body, "\n");
        break;
    case AG_BODY_WITHOUT_CRLF:
        cut(o, body, "\r\n");
        break;
    case AG_BODY_WITH_LF:
        add(o, body, "\n");
        break;
    case AG_BODY_WITH_CRLF:
        add(o, body, "\r\n");
        break;
    case AG_BODY_CRLF:
        to_crlf(o, body);
        break;
    case AG_BODY_LF:
        to_lf(o, body);
        break;
    case AG_BODY_JSON_COMPACT:
        restyle(o, body, COMPACT);
        break;
    case AG_BODY_JSON_SPACED:
        restyle(o, body, SPACED);
        break;
    case AG_BODY_JSON_SLASHES_ESCAPED:
        escape_slashes(o, body);
        break;
    case AG_BODY_JSON_SLASHES_PLAIN:
        plain_slashes(o, body);
        break;
    case AG_BODY_JSON_ASCII:
        to_ascii(o, body);
        break;
    case AG_BODY_JSON_UTF8:
        to_utf8(o, body);
        break;
    case AG_BODY_PLUS:
        to_plus(o, body);
        break;
    case AG_BODY_VARIANT_COUNT:
        o->full = true;
        break;
    }
}

bool ag_body_vary(enum ag_body_variant v, struct antag_slice body, uint8_t *out, size_t size,
                  size_t *len)
{
    struct out o = {.p = out, .size = size};

    vary(v, body, &o);
    *len = o.len;
    return !o.full && !(o.len == body.len && (o.len == 0 || memcmp(out, body.p, o.len) == 0));
}
