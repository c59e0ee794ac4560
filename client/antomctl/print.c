#include "client/antomctl/print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "antag/status.h"

#define YEAR_9999_MS INT64_C(253402300799999) /* the last instant with four digits */
#define GAP          2                        /* columns between cells */
#define COL_WORD     32 /* longer words are broken before others are: half a fingerprint */
#define COL_LEAST    12 /* a column is not made narrower than this */
#define ESCAPE_MAX   12 /* longest escape: \U0010ffff */

void *ctl_alloc(size_t count, size_t size)
{
    void *p = calloc(count > 0 ? count : 1, size);

    if (p == NULL) {
        (void)fprintf(stderr, "antomctl: %s: %s\n", antag_err_name(ANTAG_ERR_NO_MEMORY),
                      antag_err_message(ANTAG_ERR_NO_MEMORY));
        exit(antag_err_exit(ANTAG_ERR_NO_MEMORY));
    }
    return p;
}

/* ---- characters */

/* One code point of UTF-8, strictly. Returns its length, 0 when the bytes are none. */
static size_t decode(const uint8_t *p, size_t len, uint32_t *out)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : p[0] >= 0xc0 ? 2 : 0;
    uint32_t cp = n == 1 ? p[0] : p[0] & (n == 4 ? 0x07u : n == 3 ? 0x0fu : 0x1fu);

    if (n == 0 || n > len || p[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        cp = cp << 6 | (p[i] & 0x3fu);
    }
    if (cp < least[n] || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        return 0;
    *out = cp;
    return n;
}

/* Controls, line and paragraph ends, direction and other invisible marks. */
static bool is_unsafe(uint32_t cp)
{
    return cp < 0x20 || (cp >= 0x7f && cp <= 0x9f) || cp == 0xad || cp == 0x61c ||
           (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
           (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || (cp >= 0xfff9 && cp <= 0xfffb) ||
           (cp >= 0xe0000 && cp <= 0xe0fff);
}

static size_t columns_of(uint32_t cp)
{
    static const struct {
        uint32_t first, last;
    } wide[] = {{0x1100, 0x115f},   {0x2e80, 0xa4cf},  {0xac00, 0xd7a3}, {0xf900, 0xfaff},
                {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
                {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

    if (cp >= 0x300 && cp <= 0x36f)
        return 0;
    for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
        if (cp >= wide[i].first && cp <= wide[i].last)
            return 2;
    }
    return 1;
}

static char *clean(const char *text, size_t len, bool keep_lines)
{
    const uint8_t *p = (const uint8_t *)text;
    char *out = ctl_alloc(len + 1, ESCAPE_MAX);
    size_t used = 0;

    for (size_t i = 0; i < len;) {
        uint32_t cp = 0;
        size_t n = decode(p + i, len - i, &cp);
        char esc[ESCAPE_MAX] = "";

        if (n == 0)
            (void)snprintf(esc, sizeof(esc), "\\x%02x", p[i]);
        else if (cp == '\n' && keep_lines)
            esc[0] = '\n';
        else if (cp == '\n' || cp == '\t' || cp == '\r')
            (void)snprintf(esc, sizeof(esc), "\\%c", cp == '\n' ? 'n' : cp == '\t' ? 't' : 'r');
        else if (is_unsafe(cp))
            (void)snprintf(esc, sizeof(esc), cp < 0x80 ? "\\x%02" PRIx32 : "\\u%04" PRIx32, cp);
        if (esc[0] != '\0') {
            memcpy(out + used, esc, strlen(esc));
            used += strlen(esc);
        } else {
            memcpy(out + used, p + i, n);
            used += n;
        }
        i += n > 0 ? n : 1;
    }
    out[used] = '\0';
    return out;
}

char *ctl_clean(const char *text, size_t len)
{
    return clean(text, len, false);
}

char *ctl_clean_lines(const char *text, size_t len)
{
    return clean(text, len, true);
}

size_t ctl_columns(const char *text)
{
    size_t len = strlen(text), columns = 0;

    for (size_t i = 0; i < len;) {
        uint32_t cp = ' ';
        size_t n = decode((const uint8_t *)text + i, len - i, &cp);

        columns += columns_of(cp);
        i += n > 0 ? n : 1;
    }
    return columns;
}

size_t ctl_fit(const char *text, size_t columns)
{
    size_t len = strlen(text), used = 0, at = 0, space = 0;

    while (at < len) {
        uint32_t cp = ' ';
        size_t n = decode((const uint8_t *)text + at, len - at, &cp);

        if (used + columns_of(cp) > columns && at > 0)
            break;
        if (cp == ' ')
            space = at;
        used += columns_of(cp);
        at += n > 0 ? n : 1;
    }
    if (at < len && text[at] != ' ' && space > 0)
        return space;
    return at;
}

void ctl_put(FILE *out, bool with, enum ctl_colour colour, const char *text)
{
    static const char *const codes[] = {
        [CTL_PLAIN] = NULL, [CTL_GOOD] = "32", [CTL_WAITS] = "33",
        [CTL_BAD] = "31",   [CTL_HEAD] = "1",  [CTL_FAINT] = "2",
    };

    if (with && codes[colour] != NULL)
        (void)fprintf(out, "\033[%sm%s\033[0m", codes[colour], text);
    else
        (void)fputs(text, out);
}

void ctl_put_wrapped(FILE *out, const char *text, size_t first_column, size_t indent)
{
    size_t column = first_column;

    while (*text != '\0') {
        size_t n = ctl_fit(text, column < CTL_WIDTH ? CTL_WIDTH - column : 1);

        (void)fprintf(out, "%.*s\n", (int)n, text);
        text += n;
        while (*text == ' ')
            text++;
        if (*text != '\0')
            (void)fprintf(out, "%*s", (int)indent, "");
        column = indent;
    }
}

/* ---- times */

static void relative(int64_t ago_ms, char *out, size_t size)
{
    int64_t s = (ago_ms < 0 ? -ago_ms : ago_ms) / 1000;
    const char *unit = "s";

    if (s == 0) {
        (void)snprintf(out, size, "now");
        return;
    }
    if (s >= 48 * 3600) {
        s /= 24 * 3600;
        unit = "days";
    } else if (s >= 120 * 60) {
        s /= 3600;
        unit = "h";
    } else if (s >= 120) {
        s /= 60;
        unit = "min";
    }
    (void)snprintf(out, size, ago_ms < 0 ? "in %" PRId64 " %s" : "%" PRId64 " %s ago", s, unit);
}

void ctl_time_text(int64_t at_ms, int64_t now_ms, char out[CTL_TIME_MAX])
{
    time_t at = (time_t)(at_ms / 1000);
    struct tm tm;
    char day[40], zone[8], hint[32];

    if (at_ms < 0 || at_ms > YEAR_9999_MS || localtime_r(&at, &tm) == NULL ||
        strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S", &tm) == 0 ||
        strftime(zone, sizeof(zone), "%z", &tm) != 5) {
        (void)snprintf(out, CTL_TIME_MAX, "%" PRId64 " ms", at_ms);
        return;
    }
    relative(now_ms - at_ms, hint, sizeof(hint));
    (void)snprintf(out, CTL_TIME_MAX, "%s%.3s:%s (%s)", day, zone, zone + 3, hint);
}

void ctl_ago_text(int64_t at_ms, int64_t now_ms, char out[CTL_TIME_MAX])
{
    relative(now_ms - at_ms, out, CTL_TIME_MAX);
}

void ctl_duration_text(int64_t ms, char out[CTL_TIME_MAX])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = {{86400000, "days"}, {3600000, "h"}, {60000, "min"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;

    /* 25 h reads better than 1 day and an hour, and days only where they are more than one */
    while (units[i].ms > 1 && (ms == 0 || ms % units[i].ms != 0 || (i == 0 && ms < 2 * 86400000)))
        i++;
    (void)snprintf(out, CTL_TIME_MAX, "%" PRId64 " %s", ms / units[i].ms, units[i].unit);
}

/* ---- tables */

struct cell {
    char *text;
    enum ctl_colour colour;
};
struct ctl_table {
    size_t cols, count, cap; /* cells */
    struct cell *cells;
};

struct ctl_table *ctl_table_new(const char *const *heads, size_t cols)
{
    struct ctl_table *t = ctl_alloc(1, sizeof(*t));

    t->cols = cols < CTL_COLS_MAX ? cols : CTL_COLS_MAX;
    for (size_t i = 0; i < t->cols; i++)
        ctl_table_add(t, heads[i], CTL_HEAD);
    return t;
}

void ctl_table_add(struct ctl_table *t, const char *text, enum ctl_colour colour)
{
    if (t->count == t->cap) {
        size_t cap = t->cap > 0 ? t->cap * 2 : 64;
        struct cell *cells = ctl_alloc(cap, sizeof(*cells));

        if (t->count > 0)
            memcpy(cells, t->cells, t->count * sizeof(*cells));
        free(t->cells);
        t->cells = cells;
        t->cap = cap;
    }
    t->cells[t->count++] = (struct cell){.text = ctl_clean(text, strlen(text)), .colour = colour};
}

void ctl_table_free(struct ctl_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->count; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
}

/* Columns of the widest word of a cell. */
static size_t widest_word(const char *text)
{
    size_t widest = 0;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        char *word = ctl_alloc(len + 1, 1);
        size_t columns;

        memcpy(word, text, len);
        columns = ctl_columns(word);
        free(word);
        widest = columns > widest ? columns : widest;
        text += len;
        text += strspn(text, " ");
    }
    return widest;
}

/* Make the widest column that may still be narrowed one narrower. False when none may. */
static bool narrow(size_t widths[CTL_COLS_MAX], const size_t floors[CTL_COLS_MAX], size_t cols)
{
    size_t widest = cols;

    for (size_t i = 0; i < cols; i++) {
        if (widths[i] > floors[i] && (widest == cols || widths[i] > widths[widest]))
            widest = i;
    }
    if (widest == cols)
        return false;
    widths[widest]--;
    return true;
}

/* Natural widths, narrowed until the row fits: first where no word breaks but the very long, then
 * anywhere. */
static void measure(const struct ctl_table *t, size_t widths[CTL_COLS_MAX])
{
    size_t floors[CTL_COLS_MAX] = {0}, least[CTL_COLS_MAX];
    size_t total = 0;

    memset(widths, 0, CTL_COLS_MAX * sizeof(widths[0]));
    for (size_t i = 0; i < t->count; i++) {
        size_t w = ctl_columns(t->cells[i].text), word = widest_word(t->cells[i].text);
        size_t col = i % t->cols;

        word = word > COL_WORD ? COL_WORD : word;
        widths[col] = w > widths[col] ? w : widths[col];
        floors[col] = word > floors[col] ? word : floors[col];
    }
    for (size_t i = 0; i < CTL_COLS_MAX; i++)
        least[i] = COL_LEAST;
    for (size_t i = 0; i < t->cols; i++)
        total += widths[i] + (i > 0 ? GAP : 0);
    while (total > CTL_WIDTH && (narrow(widths, floors, t->cols) || narrow(widths, least, t->cols)))
        total--;
}

/* One line of a row; moves each cell's rest on. False when nothing is left. */
static bool print_line(const struct ctl_table *t, size_t row, const size_t *widths,
                       const char **rest, FILE *out, bool colour)
{
    bool more = false;
    size_t owed = 0; /* blanks before the next text; never printed at the end of a line */

    for (size_t i = 0; i < t->cols; i++) {
        size_t n = ctl_fit(rest[i], widths[i]);
        char *piece = ctl_alloc(n + 1, 1);

        memcpy(piece, rest[i], n);
        if (n > 0) {
            (void)fprintf(out, "%*s", (int)owed, "");
            ctl_put(out, colour, t->cells[row * t->cols + i].colour, piece);
            owed = 0;
        }
        owed += GAP + widths[i] - ctl_columns(piece);
        free(piece);
        rest[i] += n;
        while (*rest[i] == ' ')
            rest[i]++;
        more = more || *rest[i] != '\0';
    }
    (void)fputc('\n', out);
    return more;
}

void ctl_table_print(const struct ctl_table *t, FILE *out, bool colour)
{
    size_t widths[CTL_COLS_MAX];
    const char *rest[CTL_COLS_MAX];

    measure(t, widths);
    for (size_t row = 0; row < t->count / t->cols; row++) {
        for (size_t i = 0; i < t->cols; i++)
            rest[i] = t->cells[row * t->cols + i].text;
        while (print_line(t, row, widths, rest, out, colour))
            ;
    }
}
