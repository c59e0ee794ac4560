#include "proto/writer.h"

#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 256
#define COUNT_MAX 65535 /* what the head of 16 bits holds */

void antag_writer_init(struct antag_writer *w, size_t max)
{
    memset(w, 0, sizeof *w);
    w->max = max;
    w->err = ANTAG_OK;
}

void antag_writer_fini(struct antag_writer *w)
{
    if (w == NULL)
        return;
    free(w->p);
    antag_writer_init(w, w->max);
}

void antag_writer_reset(struct antag_writer *w)
{
    w->len = 0;
    w->depth = 0;
    w->err = ANTAG_OK;
}

/* Room for `len` more bytes; on failure the error sticks. */
static bool reserve(struct antag_writer *w, size_t len)
{
    size_t cap = w->cap > 0 ? w->cap : CAP_FIRST;
    uint8_t *p;

    if (len > w->max || w->len > w->max - len) {
        w->err = ANTAG_ERR_FRAME_TOO_LARGE;
        return false;
    }
    if (w->len + len <= w->cap)
        return true;
    while (cap < w->len + len)
        cap = cap > w->max / 2 ? w->max : cap * 2;
    p = realloc(w->p, cap);
    if (p == NULL) {
        w->err = ANTAG_ERR_NO_MEMORY;
        return false;
    }
    w->p = p;
    w->cap = cap;
    return true;
}

/* One value is about to be written: count it where it stands. */
static bool count_value(struct antag_writer *w)
{
    if (w->err != ANTAG_OK)
        return false;
    if (w->depth == 0)
        return true;
    if (w->open[w->depth - 1].is_map) {
        w->open[w->depth - 1].half = !w->open[w->depth - 1].half;
        if (!w->open[w->depth - 1].half)
            return true; /* a value belongs to the key counted before */
    }
    if (w->open[w->depth - 1].count == COUNT_MAX) {
        w->err = ANTAG_ERR_FRAME_TOO_LARGE;
        return false;
    }
    w->open[w->depth - 1].count++;
    return true;
}

/* One value: `head_len` bytes of head, then `body`. */
static void put(struct antag_writer *w, const uint8_t *head, size_t head_len,
                struct antag_slice body)
{
    if (body.len > w->max) { /* so that the sum below cannot wrap */
        if (w->err == ANTAG_OK)
            w->err = ANTAG_ERR_FRAME_TOO_LARGE;
        return;
    }
    if (!count_value(w) || !reserve(w, head_len + body.len))
        return;
    if (head_len > 0)
        memcpy(w->p + w->len, head, head_len);
    if (body.len > 0)
        memcpy(w->p + w->len + head_len, body.p, body.len);
    w->len += head_len + body.len;
}

/* `v` as `width` bytes, big-endian, behind the byte `type`; gives the length of the head. */
static size_t head_of(uint8_t head[9], uint8_t type, uint64_t v, size_t width)
{
    head[0] = type;
    for (size_t i = 0; i < width; i++)
        head[1 + i] = (uint8_t)(v >> (8 * (width - 1 - i)));
    return 1 + width;
}

static void put_head(struct antag_writer *w, uint8_t type, uint64_t v, size_t width)
{
    uint8_t head[9];
    size_t len = head_of(head, type, v, width);

    put(w, head, len, (struct antag_slice){NULL, 0});
}

void antag_w_nil(struct antag_writer *w)
{
    put_head(w, 0xc0, 0, 0);
}

void antag_w_bool(struct antag_writer *w, bool v)
{
    put_head(w, v ? 0xc3 : 0xc2, 0, 0);
}

void antag_w_uint(struct antag_writer *w, uint64_t v)
{
    if (v <= 0x7f)
        put_head(w, (uint8_t)v, 0, 0);
    else if (v <= UINT8_MAX)
        put_head(w, 0xcc, v, 1);
    else if (v <= UINT16_MAX)
        put_head(w, 0xcd, v, 2);
    else if (v <= UINT32_MAX)
        put_head(w, 0xce, v, 4);
    else
        put_head(w, 0xcf, v, 8);
}

void antag_w_int(struct antag_writer *w, int64_t v)
{
    if (v >= 0)
        antag_w_uint(w, (uint64_t)v);
    else if (v >= -32)
        put_head(w, (uint8_t)v, 0, 0);
    else if (v >= INT8_MIN)
        put_head(w, 0xd0, (uint64_t)v, 1);
    else if (v >= INT16_MIN)
        put_head(w, 0xd1, (uint64_t)v, 2);
    else if (v >= INT32_MIN)
        put_head(w, 0xd2, (uint64_t)v, 4);
    else
        put_head(w, 0xd3, (uint64_t)v, 8);
}

void antag_w_double(struct antag_writer *w, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    put_head(w, 0xcb, bits, 8);
}

void antag_w_str(struct antag_writer *w, const char *text)
{
    if (text == NULL)
        antag_w_nil(w);
    else
        antag_w_strn(w, antag_slice_of(text));
}

void antag_w_strn(struct antag_writer *w, struct antag_slice s)
{
    uint8_t head[9];
    size_t len;

    if (s.len <= 31)
        len = head_of(head, (uint8_t)(0xa0 | s.len), 0, 0);
    else if (s.len <= UINT8_MAX)
        len = head_of(head, 0xd9, s.len, 1);
    else if (s.len <= UINT16_MAX)
        len = head_of(head, 0xda, s.len, 2);
    else
        len = head_of(head, 0xdb, s.len, 4);
    put(w, head, len, s);
}

void antag_w_bin(struct antag_writer *w, struct antag_slice s)
{
    uint8_t head[9];
    size_t len;

    if (s.len <= UINT8_MAX)
        len = head_of(head, 0xc4, s.len, 1);
    else if (s.len <= UINT16_MAX)
        len = head_of(head, 0xc5, s.len, 2);
    else
        len = head_of(head, 0xc6, s.len, 4);
    put(w, head, len, s);
}

void antag_w_raw(struct antag_writer *w, struct antag_slice value)
{
    if (w->err == ANTAG_OK && value.len == 0)
        w->err = ANTAG_ERR_INTERNAL;
    put(w, NULL, 0, value);
}

static void open_level(struct antag_writer *w, bool is_map)
{
    size_t at = w->len;

    if (w->err == ANTAG_OK && w->depth == ANTAG_WRITER_DEPTH)
        w->err = ANTAG_ERR_INTERNAL;
    put_head(w, is_map ? 0xde : 0xdc, 0, 2);
    if (w->err != ANTAG_OK)
        return;
    w->open[w->depth].at = at;
    w->open[w->depth].count = 0;
    w->open[w->depth].is_map = is_map;
    w->open[w->depth].half = false;
    w->depth++;
}

void antag_w_map(struct antag_writer *w)
{
    open_level(w, true);
}

void antag_w_array(struct antag_writer *w)
{
    open_level(w, false);
}

void antag_w_end(struct antag_writer *w)
{
    uint8_t *head;

    if (w->err != ANTAG_OK)
        return;
    if (w->depth == 0 || w->open[w->depth - 1].half) { /* nothing open; a key without its value */
        w->err = ANTAG_ERR_INTERNAL;
        return;
    }
    w->depth--;
    head = w->p + w->open[w->depth].at;
    head[1] = (uint8_t)(w->open[w->depth].count >> 8);
    head[2] = (uint8_t)w->open[w->depth].count;
}

void antag_w_key(struct antag_writer *w, const char *key)
{
    antag_w_str(w, key);
}

void antag_w_kv_str(struct antag_writer *w, const char *key, const char *text)
{
    antag_w_key(w, key);
    antag_w_str(w, text);
}

void antag_w_kv_strn(struct antag_writer *w, const char *key, struct antag_slice s)
{
    antag_w_key(w, key);
    antag_w_strn(w, s);
}

void antag_w_kv_bin(struct antag_writer *w, const char *key, struct antag_slice s)
{
    antag_w_key(w, key);
    antag_w_bin(w, s);
}

void antag_w_kv_uint(struct antag_writer *w, const char *key, uint64_t v)
{
    antag_w_key(w, key);
    antag_w_uint(w, v);
}

void antag_w_kv_int(struct antag_writer *w, const char *key, int64_t v)
{
    antag_w_key(w, key);
    antag_w_int(w, v);
}

void antag_w_kv_bool(struct antag_writer *w, const char *key, bool v)
{
    antag_w_key(w, key);
    antag_w_bool(w, v);
}

enum antag_err antag_writer_end(struct antag_writer *w, struct antag_slice *out)
{
    if (w->err == ANTAG_OK && w->depth > 0)
        w->err = ANTAG_ERR_INTERNAL;
    if (w->err != ANTAG_OK)
        return w->err;
    out->p = w->p;
    out->len = w->len;
    return ANTAG_OK;
}
