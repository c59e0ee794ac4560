#include "client/antomctl/view.h"

#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "client/antomctl/json.h"

#define WARNING_MAX 1024 /* what the agent says is shorter */

/* ---- one value */

enum ctl_colour ctl_state_colour(const char *state)
{
    static const struct {
        const char *state;
        enum ctl_colour colour;
    } rows[] = {
        {"ready", CTL_GOOD},      {"active", CTL_GOOD},       {"ok", CTL_GOOD},
        {"running", CTL_GOOD},    {"staged", CTL_WAITS},      {"retiring", CTL_WAITS},
        {"open", CTL_WAITS},      {"approved", CTL_WAITS},    {"applied", CTL_GOOD},
        {"rejected", CTL_FAINT},  {"cancelled", CTL_FAINT},   {"expired", CTL_FAINT},
        {"stale", CTL_BAD},       {"locked", CTL_WAITS},      {"starting", CTL_WAITS},
        {"retired", CTL_FAINT},   {"destroyed", CTL_FAINT},   {"suspended", CTL_BAD},
        {"compromised", CTL_BAD}, {"revoked", CTL_BAD},       {"failed", CTL_BAD},
        {"prepared", CTL_WAITS},  {"submitted", CTL_WAITS},   {"watching", CTL_WAITS},
        {"complete", CTL_GOOD},   {"rolled_back", CTL_FAINT}, {"accepted", CTL_GOOD},
        {"refused", CTL_BAD},     {"unproven", CTL_WAITS},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].colour;
    }
    /* the name of a status says why something is not ready */
    return state[0] >= 'A' && state[0] <= 'Z' ? CTL_BAD : CTL_PLAIN;
}

static void put_list(FILE *out, const json_t *list, const char *none)
{
    size_t i;
    json_t *v;

    if (json_array_size(list) == 0)
        (void)fputs(none, out);
    json_array_foreach(list, i, v)(void)
        fprintf(out, "%s%s", i > 0 ? ", " : "", json_is_string(v) ? json_string_value(v) : "?");
}

/* What is missing, without how to add it: "client id: `antomctl ...`". */
static void put_words(FILE *out, const json_t *list)
{
    size_t i;
    json_t *v;

    json_array_foreach(list, i, v)
    {
        const char *text = json_is_string(v) ? json_string_value(v) : "?";

        (void)fprintf(out, "%s%.*s", i > 0 ? ", " : "", (int)strcspn(text, ":"), text);
    }
}

static void put_who(FILE *out, const json_t *row)
{
    int64_t n = 0;

    if (ctl_json_int(row, "uid", &n)) {
        const struct passwd *pw = getpwuid((uid_t)n);

        (void)fprintf(out, "uid %" PRId64, n);
        if (pw != NULL)
            (void)fprintf(out, " (%s)", pw->pw_name);
    } else if (ctl_json_int(row, "gid", &n)) {
        const struct group *gr = getgrgid((gid_t)n);

        (void)fprintf(out, "gid %" PRId64, n);
        if (gr != NULL)
            (void)fprintf(out, " (%s)", gr->gr_name);
    } else {
        (void)fprintf(out, "unit %s", ctl_json_text(row, "unit"));
    }
}

static void put_waits(FILE *out, const json_t *row)
{
    const char *what = ctl_json_text(row, "waits_for"), *who = ctl_json_text(row, "who");
    char when[CTL_TIME_MAX];
    int64_t until = 0;

    (void)fputs(what, out);
    if (ctl_json_int(row, "until_ms", &until) && until > 0) {
        ctl_time_text(until, ag_clock_wall_ms(), when);
        (void)fprintf(out, "%suntil %s", *what != '\0' ? ", " : "", when);
    }
    if (strcmp(who, "agent") == 0)
        (void)fputs("; the agent does it by itself", out);
    else if (*who != '\0' && strstr(what, who) == NULL)
        (void)fprintf(out, "; %s acts", strcmp(who, "antom") == 0 ? "Antom" : who);
}

static void put_profiles(FILE *out, const json_t *profiles)
{
    size_t i;
    json_t *p;

    json_array_foreach(profiles, i, p)
    {
        const char *slash = strchr(ctl_json_text(p, "profile"), '/');
        size_t lacks = json_array_size(json_object_get(p, "missing"));

        (void)fprintf(out, "%s%s: ", i > 0 ? ", " : "", slash != NULL ? slash + 1 : "?");
        if (lacks > 0)
            (void)fprintf(out, "%zu missing", lacks);
        else
            (void)fputs("complete", out);
    }
}

static void put_rate(FILE *out, const json_t *row)
{
    int64_t rate = json_integer_value(json_object_get(row, "rate")),
            burst = json_integer_value(json_object_get(row, "burst"));

    if (rate == 0)
        (void)fputs("any", out);
    else
        (void)fprintf(out, "%" PRId64 "/s, %" PRId64 " at once", rate, burst);
}

static void put_age(FILE *out, int64_t ms)
{
    char text[CTL_TIME_MAX];

    if (ms > 0)
        ctl_duration_text(ms, text);
    (void)fputs(ms > 0 ? text : ms == 0 ? "any age" : "as the policy says", out);
}

static void put_user(FILE *out, int64_t uid)
{
    struct passwd pw, *found = NULL;
    char room[4096];

    if (getpwuid_r((uid_t)uid, &pw, room, sizeof(room), &found) == 0 && found != NULL)
        (void)fputs(pw.pw_name, out);
}

static void put_uids(FILE *out, const json_t *uids)
{
    size_t i;
    json_t *uid;

    json_array_foreach(uids, i, uid)(void)
        fprintf(out, "%suid %" PRId64, i > 0 ? ", " : "", (int64_t)json_integer_value(uid));
}

static void put_int(FILE *out, const struct ctl_column *col, int64_t n)
{
    char text[CTL_TIME_MAX];

    switch (col->format) {
    case CTL_AS_ID:
        if (n != 0)
            (void)fprintf(out, "%" PRId64, n);
        break;
    case CTL_AS_TIME:
    case CTL_AS_AGO:
        if (n <= 0) /* it has not happened */
            break;
        (col->format == CTL_AS_TIME ? ctl_time_text : ctl_ago_text)(n, ag_clock_wall_ms(), text);
        (void)fputs(text, out);
        break;
    case CTL_AS_AGE:
        put_age(out, n);
        break;
    case CTL_AS_BYTES:
        (void)fprintf(out, n == 0 ? "no limit of its own" : "%" PRId64 " bytes", n);
        break;
    case CTL_AS_USER:
        put_user(out, n);
        break;
    default:
        (void)fprintf(out, "%" PRId64, n);
        break;
    }
}

char *ctl_view_text(const struct ctl_column *col, const json_t *row)
{
    const json_t *v = col->key != NULL ? json_object_get(row, col->key) : NULL;
    char *text = NULL, *clean;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (out == NULL)
        return ctl_alloc(1, 1);
    if (col->format == CTL_AS_WHO)
        put_who(out, row);
    else if (col->format == CTL_AS_RATE)
        put_rate(out, row);
    else if (col->format == CTL_AS_WAITS)
        put_waits(out, row);
    else if (col->format == CTL_AS_PROFILES)
        put_profiles(out, v);
    else if (col->format == CTL_AS_LIST)
        put_list(out, v, "all");
    else if (col->format == CTL_AS_LINES)
        put_list(out, v, "");
    else if (col->format == CTL_AS_UIDS)
        put_uids(out, v);
    else if (col->format == CTL_AS_WORDS)
        put_words(out, v);
    else if (json_is_boolean(v))
        (void)fputs(json_is_true(v) ? "yes" : "no", out);
    else if (json_is_integer(v))
        put_int(out, col, json_integer_value(v));
    else if (json_is_string(v) && col->format == CTL_AS_PRINT)
        (void)fprintf(out, json_string_length(v) > 16 ? "%.16s..." : "%s", json_string_value(v));
    else if (json_is_string(v))
        (void)fwrite(json_string_value(v), 1, json_string_length(v), out);
    if (fclose(out) != 0 || text == NULL) {
        free(text);
        return ctl_alloc(1, 1);
    }
    clean = ctl_clean(text, len);
    free(text);
    return clean;
}

/* ---- whole results */

void ctl_view_rows(struct ctl *c, const struct ctl_column *columns, const json_t *rows)
{
    const char *heads[CTL_COLS_MAX];
    struct ctl_table *table;
    size_t cols = 0, i;
    json_t *row;

    while (cols < CTL_COLS_MAX && columns[cols].head != NULL) {
        heads[cols] = columns[cols].head;
        cols++;
    }
    table = ctl_table_new(heads, cols);
    json_array_foreach(rows, i, row)
    {
        for (size_t k = 0; k < cols; k++) {
            char *text = ctl_view_text(&columns[k], row);
            bool is_state = columns[k].format == CTL_AS_STATE;

            ctl_table_add(table, *text != '\0' ? text : "-",
                          is_state ? ctl_state_colour(text) : CTL_PLAIN);
            free(text);
        }
    }
    ctl_table_print(table, stdout, c->colour);
    ctl_table_free(table);
}

void ctl_view_lines(struct ctl *c, const struct ctl_column *columns, const json_t *o)
{
    int width = 0;

    for (const struct ctl_column *col = columns; col->head != NULL; col++) {
        char *text = ctl_view_text(col, o);

        if (*text != '\0' && (int)strlen(col->head) > width)
            width = (int)strlen(col->head);
        free(text);
    }
    for (const struct ctl_column *col = columns; col->head != NULL; col++) {
        char *text = ctl_view_text(col, o);

        if (*text != '\0') {
            (void)printf("%-*s  ", width, col->head);
            if (col->format == CTL_AS_STATE) {
                ctl_put(stdout, c->colour, ctl_state_colour(text), text);
                (void)putchar('\n');
            } else {
                ctl_put_wrapped(stdout, text, (size_t)width + 2, (size_t)width + 2);
            }
        }
        free(text);
    }
}

/* The warning of each thing, behind the table or the lines. */
static void put_warnings(const json_t *rows)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row)
    {
        const char *warning = ctl_json_text(row, "warning");
        char text[WARNING_MAX];
        int64_t version = 0;

        if (*warning == '\0')
            continue;
        if (ctl_json_int(row, "version", &version))
            (void)snprintf(text, sizeof(text), "warning: %s version %" PRId64 ": %s",
                           ctl_json_text(row, "profile"), version, warning);
        else
            (void)snprintf(text, sizeof(text), "warning: %s", warning);
        ctl_say(text);
    }
}

static void put_empty(struct ctl *c, const struct ctl_view *view)
{
    const char *hole = view->empty_next != NULL ? strstr(view->empty_next, "%s") : NULL;

    ctl_say(view->empty);
    if (view->empty_next == NULL)
        return;
    if (hole == NULL)
        ctl_next(c, "%s", view->empty_next);
    else
        ctl_next(c, "%.*s%s%s", (int)(hole - view->empty_next), view->empty_next,
                 ctl_given_profile(c), hole + 2);
}

void ctl_view_print(struct ctl *c, const struct ctl_view *view, const json_t *result)
{
    const json_t *rows = view->list != NULL ? json_object_get(result, view->list) : NULL;
    json_t *one;

    if (view->list != NULL && json_array_size(rows) == 0) {
        put_empty(c, view);
        return;
    }
    if (view->list != NULL) {
        ctl_view_rows(c, view->columns, rows);
        put_warnings(rows);
    } else {
        ctl_view_lines(c, view->columns, result);
        one = json_array();
        (void)json_array_append(one, (json_t *)(uintptr_t)result);
        put_warnings(one);
        json_decref(one);
    }
    if (view->after != NULL)
        view->after(c, result);
}
