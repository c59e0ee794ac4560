#include "agent/lib/chain/line.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "proto/utf8.h"

#define HASH_KEY ",\"hash\":\""
#define PREV_KEY ",\"prev\":\""
#define TAIL_LEN (sizeof PREV_KEY - 1 + 64 + 1 + sizeof HASH_KEY - 1 + 64 + 2) /* ends with "} */

struct out {
    char *text;
    size_t len;
    bool full;
};

static void put(struct out *o, const char *p, size_t len)
{
    if (o->full || len > AG_LINE_MAX - o->len) {
        o->full = true;
        return;
    }
    memcpy(o->text + o->len, p, len);
    o->len += len;
}

static void put_text(struct out *o, const char *text)
{
    put(o, text, strlen(text));
}

static void put_hex(struct out *o, struct antag_slice v)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < v.len && !o->full; i++) {
        char two[2] = {digits[v.p[i] >> 4], digits[v.p[i] & 15]};

        put(o, two, 2);
    }
}

/* A character outside of printable ASCII, as UTF-16 (RFC 8259, section 7). */
static void put_escaped(struct out *o, uint32_t c)
{
    char text[16];

    if (c > 0xffff)
        snprintf(text, sizeof text, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10),
                 0xdc00 + ((c - 0x10000) & 0x3ff));
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    put_text(o, text);
}

static void put_string(struct out *o, struct antag_slice v)
{
    put(o, "\"", 1);
    for (size_t i = 0; i < v.len && !o->full;) {
        uint32_t c = 0xfffd;
        size_t n = antag_utf8_step(v.p + i, v.len - i, &c);

        if (n == 1 && c >= 0x20 && c < 0x7f) {
            if (c == '"' || c == '\\')
                put(o, "\\", 1);
            put(o, (const char *)v.p + i, 1);
        } else {
            put_escaped(o, n > 0 ? c : 0xfffd);
        }
        i += n > 0 ? n : 1;
    }
    put(o, "\"", 1);
}

static void put_uint(struct out *o, uint64_t v)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, v);
    put_text(o, text);
}

static void put_int(struct out *o, int64_t v)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, v);
    put_text(o, text);
}

static void put_field(struct out *o, const struct ag_log_field *f)
{
    put_text(o, ",\"");
    put_text(o, f->name);
    put_text(o, "\":");
    switch (f->kind) {
    case AG_LF_TEXT:
        put_string(o, antag_slice_of(f->text));
        break;
    case AG_LF_SLICE:
        put_string(o, f->slice);
        break;
    case AG_LF_INT:
        put_int(o, f->i);
        break;
    case AG_LF_UINT:
        put_uint(o, f->u);
        break;
    case AG_LF_ERR:
        put_string(o, antag_slice_of(antag_err_name((enum antag_err)f->i)));
        break;
    case AG_LF_HEX:
        put(o, "\"", 1);
        put_hex(o, f->slice);
        put(o, "\"", 1);
        break;
    case AG_LF_END:
        break;
    }
}

static void put_head(struct out *o, const struct ag_line_head *head)
{
    char time[AG_CLOCK_TEXT_MAX];

    ag_clock_render(head->time_ms, time);
    put_text(o, "{\"v\":1,\"chain\":\"");
    put_text(o, head->chain);
    put_text(o, "\",\"seq\":");
    put_uint(o, head->seq);
    put_text(o, ",\"time\":\"");
    put_text(o, time);
    put_text(o, "\",\"type\":\"");
    put_text(o, head->type);
    put_text(o, "\"");
}

size_t ag_line_render(struct ag_line_head *head, const struct ag_log_field *fields,
                      char out[AG_LINE_MAX])
{
    struct out o = {.text = out};

    put_head(&o, head);
    for (const struct ag_log_field *f = fields; f->kind != AG_LF_END; f++)
        put_field(&o, f);
    put_text(&o, PREV_KEY);
    put_hex(&o, (struct antag_slice){head->prev, AG_LINE_HASH});
    put_text(&o, "\"");
    if (!o.full)
        crypto_generichash(head->hash, AG_LINE_HASH, (const uint8_t *)out, o.len, NULL, 0);
    put_text(&o, HASH_KEY);
    put_hex(&o, (struct antag_slice){head->hash, AG_LINE_HASH});
    put_text(&o, "\"}\n");
    return o.full ? 0 : o.len;
}

void ag_line_hash_text(const uint8_t hash[AG_LINE_HASH], char out[AG_LINE_HEX])
{
    sodium_bin2hex(out, AG_LINE_HEX, hash, AG_LINE_HASH);
}

/* ---- reading */

struct in {
    const char *p, *end;
};

static bool take(struct in *in, const char *text)
{
    size_t len = strlen(text);

    if ((size_t)(in->end - in->p) < len || memcmp(in->p, text, len) != 0)
        return false;
    in->p += len;
    return true;
}

/* Up to a quote, which is taken too: 1..max bytes of `set`. */
static bool take_word(struct in *in, const char *set, size_t max, char *out)
{
    size_t n = 0;

    while (in->p + n < in->end && in->p[n] != '"' && in->p[n] != '\0' &&
           strchr(set, in->p[n]) != NULL)
        n++;
    if (n == 0 || n > max || in->p + n == in->end || in->p[n] != '"')
        return false;
    memcpy(out, in->p, n);
    out[n] = '\0';
    in->p += n + 1;
    return true;
}

/* 1..2^63-1, no leading zero: one number has one text. */
static bool take_seq(struct in *in, uint64_t *out)
{
    uint64_t v = 0;
    const char *start = in->p;

    while (in->p < in->end && *in->p >= '0' && *in->p <= '9') {
        if (v > (INT64_MAX - 9) / 10)
            return false;
        v = v * 10 + (uint64_t)(*in->p++ - '0');
    }
    *out = v;
    return in->p > start && *start != '0';
}

/* 64 small hex digits and a quote. */
static bool take_hash(struct in *in, uint8_t out[AG_LINE_HASH])
{
    for (size_t i = 0; i < AG_LINE_HASH; i++) {
        unsigned v = 0;

        for (size_t k = 0; k < 2; k++, in->p++) {
            if (in->p >= in->end)
                return false;
            if (*in->p >= '0' && *in->p <= '9')
                v = v << 4 | (unsigned)(*in->p - '0');
            else if (*in->p >= 'a' && *in->p <= 'f')
                v = v << 4 | (unsigned)(*in->p - 'a' + 10);
            else
                return false;
        }
        out[i] = (uint8_t)v;
    }
    return take(in, "\"");
}

static enum antag_err malformed(struct antag_fault *fault, const char *what)
{
    return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL, "%s", what);
}

static bool take_head(struct in *in, struct ag_line_head *out)
{
    static const char small[] = "abcdefghijklmnopqrstuvwxyz";
    static const char name[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    static const char time_set[] = "0123456789-:.TZ";
    char time[AG_CLOCK_TEXT_MAX];

    return take(in, "{\"v\":1,\"chain\":\"") &&
           take_word(in, name, ANTAG_KEYRING_MAX, out->chain) && take(in, ",\"seq\":") &&
           take_seq(in, &out->seq) && take(in, ",\"time\":\"") &&
           take_word(in, time_set, AG_CLOCK_TEXT_MAX - 1, time) && take(in, ",\"type\":\"") &&
           take_word(in, small, AG_LINE_TYPE_MAX, out->type);
}

enum antag_err ag_line_parse(struct antag_slice line, struct ag_line_head *out,
                             struct antag_fault *fault)
{
    struct in in = {(const char *)line.p, (const char *)line.p + line.len};
    const char *hashed;
    uint8_t sum[AG_LINE_HASH];

    memset(out, 0, sizeof *out);
    if (line.len >= AG_LINE_MAX)
        return malformed(fault, "the line is longer than any that is written");
    if (!take_head(&in, out))
        return malformed(fault, "the line does not begin as one of version 1 does");
    if ((size_t)(in.end - in.p) < TAIL_LEN)
        return malformed(fault, "the line has no hashes at its end");
    in.p = in.end - TAIL_LEN;
    if (!take(&in, PREV_KEY) || !take_hash(&in, out->prev))
        return malformed(fault, "the line has no hash of the line before");
    hashed = in.p;
    if (!take(&in, HASH_KEY) || !take_hash(&in, out->hash) || !take(&in, "}") || in.p != in.end)
        return malformed(fault, "the line has no hash of its own");
    crypto_generichash(sum, sizeof sum, line.p, (size_t)(hashed - (const char *)line.p), NULL, 0);
    if (memcmp(sum, out->hash, sizeof sum) != 0)
        return malformed(fault, "the line was changed: its hash is another");
    return ANTAG_OK;
}

bool ag_line_field(struct antag_slice line, const char *name, struct antag_slice *out)
{
    char key[64];
    int len = snprintf(key, sizeof key, ",\"%s\":", name);
    const uint8_t *p, *end = line.p + line.len, *stop;

    /* a quote inside of a text has a backslash in front, so this is found as a key only */
    if (len < 0 || (size_t)len >= sizeof key ||
        (p = memmem(line.p, line.len, key, (size_t)len)) == NULL)
        return false;
    p += len;
    if (p < end && *p == '"') {
        for (stop = ++p; stop < end && *stop != '"'; stop++)
            if (*stop == '\\')
                stop++;
    } else {
        for (stop = p; stop < end && *stop != ',' && *stop != '}';)
            stop++;
    }
    if (stop >= end)
        return false;
    *out = (struct antag_slice){p, (size_t)(stop - p)};
    return true;
}

bool ag_line_uint(struct antag_slice line, const char *name, uint64_t *out)
{
    struct antag_slice v;
    uint64_t n = 0;

    if (!ag_line_field(line, name, &v) || v.len == 0 || v.len > 19)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (v.p[i] < '0' || v.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(v.p[i] - '0');
    }
    *out = n;
    return true;
}

bool ag_line_hex(struct antag_slice line, const char *name, uint8_t *out, size_t len)
{
    struct antag_slice v;
    size_t got;

    return ag_line_field(line, name, &v) && v.len == 2 * len &&
           sodium_hex2bin(out, len, (const char *)v.p, v.len, NULL, &got, NULL) == 0 && got == len;
}
