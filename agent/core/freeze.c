#include "agent/core/freeze.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/antom_internal.h"

static struct antag_slice trim(struct antag_slice s)
{
    while (s.len > 0 && s.p[0] == ' ')
        s.p++, s.len--;
    while (s.len > 0 && s.p[s.len - 1] == ' ')
        s.len--;
    return s;
}

/* What is in front of `c`; the rest stays in *s. All of it when there is none. */
static struct antag_slice cut(struct antag_slice *s, uint8_t c)
{
    const uint8_t *at = s->len == 0 ? NULL : memchr(s->p, c, s->len);
    struct antag_slice head = *s;

    if (at == NULL) {
        *s = (struct antag_slice){NULL, 0};
        return head;
    }
    head.len = (size_t)(at - s->p);
    *s = ag_slice_from(*s, head.len + 1);
    return head;
}

/* A day, or an instant of ISO 8601. */
static bool parse_time(struct antag_slice s, int64_t *out)
{
    char text[ANTAG_TIME_MAX];

    if (s.len != 10)
        return s.len > 10 && memchr(s.p, 'T', s.len) != NULL &&
               ag_antom_time_parse(s, out, NULL) == ANTAG_OK;
    snprintf(text, sizeof text, "%.10sT00:00:00Z", (const char *)s.p);
    return s.p[4] == '-' && ag_antom_time_parse(antag_slice_of(text), out, NULL) == ANTAG_OK;
}

static bool parse_name(struct antag_slice s, char out[AG_FREEZE_NAME_MAX + 1])
{
    for (size_t i = 0; i < s.len; i++)
        if (ag_is_upper(s.p[i]) || (!ag_is_alnum(s.p[i]) && (s.p[i] != '-' || i == 0)))
            return false;
    return s.len > 0 && antag_slice_copy(s, out, AG_FREEZE_NAME_MAX + 1);
}

static enum antag_err parse_one(struct antag_slice s, struct ag_freeze *out, struct antag_fault *f)
{
    struct antag_slice rest = trim(s), name = cut(&rest, ' '), span = trim(rest);
    struct antag_slice from = cut(&span, '/');
    struct ag_shown shown;

    if (!parse_name(name, out->name) || !parse_time(from, &out->from_ms) ||
        !parse_time(span, &out->until_ms))
        return antag_fault_set(f, ANTAG_ERR_CONF, "freeze",
                               "\"%s\": a period is NAME FROM/UNTIL, a name of at most %d of a-z, "
                               "0-9 and -, and two days (2026-11-26) or instants "
                               "(2026-11-26T18:00:00Z)",
                               ag_show(trim(s), &shown), AG_FREEZE_NAME_MAX);
    if (out->until_ms <= out->from_ms)
        return antag_fault_set(f, ANTAG_ERR_CONF, "freeze", "%s ends before it begins", out->name);
    return ANTAG_OK;
}

enum antag_err ag_freezes_parse(struct antag_slice text, struct ag_freezes *out,
                                struct antag_fault *f)
{
    struct antag_slice rest = trim(text);
    enum antag_err err;

    memset(out, 0, sizeof *out);
    while (rest.len > 0) {
        if (out->count == AG_FREEZES_MAX)
            return antag_fault_set(f, ANTAG_ERR_CONF, "freeze", "at most %d periods are taken",
                                   AG_FREEZES_MAX);
        if ((err = parse_one(cut(&rest, ','), &out->v[out->count], f)) != ANTAG_OK)
            return err;
        out->count++;
    }
    return ANTAG_OK;
}

const struct ag_freeze *ag_freezes_at(const struct ag_freezes *fs, int64_t now_ms)
{
    const struct ag_freeze *found = NULL;

    for (size_t i = 0; i < fs->count; i++)
        if (fs->v[i].from_ms <= now_ms && now_ms < fs->v[i].until_ms &&
            (found == NULL || fs->v[i].until_ms > found->until_ms))
            found = &fs->v[i];
    return found;
}
