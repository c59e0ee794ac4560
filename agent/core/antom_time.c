/* antom_time: the times that Antom and its SDKs write, and the age of a message. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/antom_internal.h"

#define DAY_MS (24 * 3600 * INT64_C(1000))

/* what is left of a text while it is read from the left */
struct cursor {
    const uint8_t *p;
    size_t left;
};

static bool take(struct cursor *c, uint8_t want)
{
    if (c->left == 0 || *c->p != want)
        return false;
    c->p++;
    c->left--;
    return true;
}

/* Exactly `digits` digits whose value lies in min..max. */
static bool number(struct cursor *c, size_t digits, int min, int max, int *out)
{
    int v = 0;

    if (c->left < digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (!ag_is_digit(c->p[i]))
            return false;
        v = v * 10 + (c->p[i] - '0');
    }
    c->p += digits;
    c->left -= digits;
    *out = v;
    return v >= min && v <= max;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && leap ? 29 : days[month - 1];
}

/* Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible low-level
 * date algorithms"). The library's timegm() would do, but takes the time zone lock and may read a file. */
static int64_t days_from_date(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year; /* years begin in March, the leap day ends them */
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year -
           719468;
}

/* The inverse: year, month and day of a count of days. */
static void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;

    *day = (int)(day_of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = year_of_era + era * 400 + (*month <= 2 ? 1 : 0);
}

static bool parse_unix(struct antag_slice s, int64_t *at_ms)
{
    uint64_t v = 0; /* 19 nines fit */

    for (size_t i = 0; i < s.len; i++) {
        if (!ag_is_digit(s.p[i]))
            return false;
        v = v * 10 + (uint64_t)(s.p[i] - '0');
    }
    switch (s.len) {
    case 10:
        *at_ms = (int64_t)(v * 1000);
        return true;
    case 13:
        *at_ms = (int64_t)v;
        return true;
    case 16:
        *at_ms = (int64_t)(v / 1000);
        return true;
    default: /* 19: the caller admits no other length */
        *at_ms = (int64_t)(v / 1000000);
        return true;
    }
}

/* Up to nine digits behind a dot, or nothing; all but the first three are dropped. */
static bool parse_fraction(struct cursor *c, int *ms)
{
    int scale = 100;
    size_t digits = 0;

    *ms = 0;
    if (!take(c, '.'))
        return true;
    for (; c->left > 0 && ag_is_digit(*c->p); digits++) {
        *ms += (*c->p - '0') * scale;
        scale /= 10;
        c->p++;
        c->left--;
    }
    return digits >= 1 && digits <= 9;
}

static bool parse_zone(struct cursor *c, int *minutes)
{
    int sign, hh, mm;

    *minutes = 0;
    if (take(c, 'Z'))
        return true;
    if (take(c, '+'))
        sign = 1;
    else if (take(c, '-'))
        sign = -1;
    else
        return false;
    if (!number(c, 2, 0, 23, &hh))
        return false;
    (void)take(c, ':'); /* PHP writes none */
    if (!number(c, 2, 0, 59, &mm))
        return false;
    *minutes = sign * (hh * 60 + mm);
    return true;
}

static bool parse_iso(struct antag_slice s, int64_t *at_ms)
{
    struct cursor c = {s.p, s.len};
    int year, month, day, hour, minute, second, fraction, zone;
    int64_t minutes;

    if (!number(&c, 4, 0, 9999, &year) || !take(&c, '-') || !number(&c, 2, 1, 12, &month) ||
        !take(&c, '-') || !number(&c, 2, 1, days_in_month(year, month), &day) || !take(&c, 'T') ||
        !number(&c, 2, 0, 23, &hour) || !take(&c, ':') || !number(&c, 2, 0, 59, &minute) ||
        !take(&c, ':') || !number(&c, 2, 0, 60, &second) || !parse_fraction(&c, &fraction) ||
        !parse_zone(&c, &zone) || c.left != 0)
        return false;
    if (second == 60)
        second = 59;
    minutes = (days_from_date(year, month, day) * 24 + hour) * 60 + minute - zone;
    *at_ms = (minutes * 60 + second) * 1000 + fraction;
    return true;
}

enum antag_err ag_antom_time_parse(struct antag_slice s, int64_t *at_ms, struct antag_fault *f)
{
    bool by_length = s.len == 10 || s.len == 13 || s.len == 16 || s.len == 19;
    struct ag_shown shown;
    int64_t made = 0;

    /* no ISO form has 10, 13, 16 or 19 bytes: the shortest, with Z, has 20 */
    if (by_length ? !parse_unix(s, &made) : !parse_iso(s, &made))
        return antag_fault_set(f, ANTAG_ERR_TIME_FORM, "time",
                               "\"%s\" is not a time; allowed: 10, 13, 16 or 19 digits, or "
                               "YYYY-MM-DDThh:mm:ss with up to 9 digits of fraction and Z, +hh:mm "
                               "or +hhmm",
                               ag_show(s, &shown));
    *at_ms = made;
    return ANTAG_OK;
}

void ag_antom_time_render(int64_t at_ms, char out[ANTAG_TIME_MAX])
{
    /* 13 digits from 1970 on, so that what is rendered is read again as milliseconds */
    snprintf(out, ANTAG_TIME_MAX, "%013" PRId64, at_ms);
}

struct instant {
    char text[64];
};

static const char *show_instant(int64_t at_ms, struct instant *out)
{
    int64_t days = at_ms / DAY_MS, rest = at_ms % DAY_MS, year;
    int month, day;

    if (rest < 0) {
        rest += DAY_MS;
        days--;
    }
    date_from_days(days, &year, &month, &day);
    snprintf(out->text, sizeof out->text,
             "%04" PRId64 "-%02d-%02dT%02" PRId64 ":%02" PRId64 ":%02" PRId64 ".%03" PRId64 "Z",
             year, month, day, rest / 3600000, rest / 60000 % 60, rest / 1000 % 60, rest % 1000);
    return out->text;
}

/* a - b, held at the ends of the type: instants come from foreign messages */
static int64_t difference(int64_t a, int64_t b)
{
    int64_t d;

    if (__builtin_sub_overflow(a, b, &d))
        return a < b ? INT64_MIN : INT64_MAX;
    return d;
}

enum antag_err ag_antom_check_age(int64_t now_ms, int64_t at_ms, int64_t max_age_ms,
                                  int64_t skew_ms, struct antag_fault *f)
{
    struct instant now, at;

    if (skew_ms != 0 && difference(at_ms, now_ms) > skew_ms)
        return antag_fault_set(f, ANTAG_ERR_IN_THE_FUTURE, "time",
                               "the message is of %s, now is %s; at most %" PRId64
                               " ms ahead allowed",
                               show_instant(at_ms, &at), show_instant(now_ms, &now), skew_ms);
    if (max_age_ms != 0 && difference(now_ms, at_ms) > max_age_ms)
        return antag_fault_set(f, ANTAG_ERR_TOO_OLD, "time",
                               "the message is of %s, now is %s; an age of at most %" PRId64
                               " ms allowed",
                               show_instant(at_ms, &at), show_instant(now_ms, &now), max_age_ms);
    return ANTAG_OK;
}
