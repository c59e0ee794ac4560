#include "proto/check.h"

/* deeper than any caller asks for; a larger depth_max is cut to it */
#define DEPTH_ROOM 32

struct walk {
    struct antag_slice in;
    size_t at;         /* offset of the next byte */
    size_t value_at;   /* offset of the value being read */
    size_t items_left; /* values that may still come */
    struct antag_fault *fault;
};

static enum antag_err refuse(const struct walk *w, const char *why)
{
    return antag_fault_set(w->fault, ANTAG_ERR_BAD_FRAME, NULL, "%s, at byte %zu", why,
                           w->value_at);
}

static enum antag_err cut_off(const struct walk *w)
{
    return refuse(w, "the value is cut off");
}

/* A big-endian number of `width` bytes. */
static bool read_number(struct walk *w, size_t width, size_t *out)
{
    size_t n = 0;

    if (w->in.len - w->at < width)
        return false;
    for (size_t i = 0; i < width; i++)
        n = n << 8 | w->in.p[w->at++];
    *out = n;
    return true;
}

static enum antag_err skip(struct walk *w, size_t len)
{
    if (w->in.len - w->at < len)
        return cut_off(w);
    w->at += len;
    return ANTAG_OK;
}

/* str or bin whose length stands in `width` bytes */
static enum antag_err skip_sized(struct walk *w, size_t width)
{
    size_t len;

    if (!read_number(w, width, &len))
        return cut_off(w);
    return skip(w, len);
}

/* `count` values are declared: each takes a byte at least, so more than there are bytes is a lie. */
static enum antag_err declare(struct walk *w, size_t count, size_t *children)
{
    if (count > w->in.len - w->at)
        return refuse(w, "an array or map declares more values than there are bytes");
    if (count > w->items_left)
        return refuse(w, "too many values");
    w->items_left -= count;
    *children = count;
    return ANTAG_OK;
}

/* array or map whose count stands in `width` bytes; `per` values an entry */
static enum antag_err declare_sized(struct walk *w, size_t width, size_t per, size_t *children)
{
    size_t count;

    if (!read_number(w, width, &count))
        return cut_off(w);
    return declare(w, count * per, children); /* at most 2^33: size_t has 64 bits, see below */
}
_Static_assert(sizeof(size_t) >= 8, "twice a count of 32 bits must fit");

/* Read one head with all that belongs to it but the children. is_container tells an array or map. */
static enum antag_err step(struct walk *w, size_t *children, bool *is_container)
{
    uint8_t b;

    *children = 0;
    *is_container = false;
    w->value_at = w->at;
    if (w->at == w->in.len)
        return cut_off(w);
    b = w->in.p[w->at++];
    if (b <= 0x7f || b >= 0xe0)
        return ANTAG_OK; /* small integers */
    if (b >= 0xa0 && b <= 0xbf)
        return skip(w, b & 0x1f);
    if (b <= 0x9f || b >= 0xdc) {
        *is_container = true;
        if (b <= 0x8f)
            return declare(w, (size_t)(b & 0x0f) * 2, children);
        if (b <= 0x9f)
            return declare(w, b & 0x0f, children);
        return declare_sized(w, b & 1 ? 4 : 2, b <= 0xdd ? 1 : 2, children);
    }
    switch (b) {
    case 0xc0: /* nil, false, true */
    case 0xc2:
    case 0xc3:
        return ANTAG_OK;
    case 0xc4: /* bin */
    case 0xc5:
    case 0xc6:
        return skip_sized(w, (size_t)1 << (b - 0xc4));
    case 0xca: /* floats */
        return skip(w, 4);
    case 0xcb:
        return skip(w, 8);
    case 0xcc: /* unsigned and signed integers */
    case 0xcd:
    case 0xce:
    case 0xcf:
        return skip(w, (size_t)1 << (b - 0xcc));
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        return skip(w, (size_t)1 << (b - 0xd0));
    case 0xd9: /* str */
    case 0xda:
    case 0xdb:
        return skip_sized(w, (size_t)1 << (b - 0xd9));
    case 0xc1:
        return refuse(w, "the byte c1 starts no value");
    default:
        return refuse(w, "extension types are not taken");
    }
}

enum antag_err antag_check(struct antag_slice bytes, size_t depth_max, size_t items_max,
                           struct antag_fault *fault)
{
    struct walk w = {.in = bytes, .items_left = items_max, .fault = fault};
    size_t left[DEPTH_ROOM]; /* values still to come at each open level */
    size_t depth = 0;
    enum antag_err err;

    if (depth_max > DEPTH_ROOM)
        depth_max = DEPTH_ROOM;
    if (items_max == 0)
        return refuse(&w, "too many values");
    w.items_left--;
    do {
        size_t children;
        bool is_container;

        if ((err = step(&w, &children, &is_container)) != ANTAG_OK)
            return err;
        if (is_container && depth == depth_max)
            return refuse(&w, "arrays and maps are nested too deep");
        if (depth > 0)
            left[depth - 1]--;
        if (children > 0)
            left[depth++] = children;
        while (depth > 0 && left[depth - 1] == 0)
            depth--;
    } while (depth > 0);
    if (w.at != bytes.len) {
        w.value_at = w.at;
        return refuse(&w, "there are bytes behind the value");
    }
    return ANTAG_OK;
}
