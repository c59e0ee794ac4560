/* antom_form: strict forms of what is signed, and the string to sign made of them. */
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/antom_internal.h"

static bool is_uri_byte(uint8_t c)
{
    return ag_is_visible(c) && c != '#';
}

static bool is_client_id_byte(uint8_t c)
{
    return ag_is_alnum(c) || c == '_' || c == '-';
}

static const struct ag_form form_method = {"upper-case letters A to Z", 0, ag_is_upper,
                                           ANTAG_METHOD_MAX};
static const struct ag_form form_uri = {
    "path and query as on the request line: '/', then visible ASCII without '#'", '/', is_uri_byte,
    ANTAG_URI_MAX};
/* a sandbox URI is longer than the one the caller gave; its maximum is that of the prefix */
static const struct ag_form form_uri_derived = {"as a URI", '/', is_uri_byte, ANTAG_URI_MAX + 64};
static const struct ag_form form_client_id = {"letters, digits, '_' and '-'", 0, is_client_id_byte,
                                              ANTAG_CLIENT_ID_MAX};

const char *ag_env_name(enum ag_env env)
{
    switch (env) {
    case AG_ENV_SANDBOX:
        return "sandbox";
    case AG_ENV_LIVE:
        return "live";
    }
    return "unknown";
}

bool ag_slice_equal_nocase(struct antag_slice a, struct antag_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ag_lower(a.p[i]) != ag_lower(b.p[i]))
            return false;
    return true;
}

bool ag_slice_is_nocase(struct antag_slice s, const char *text)
{
    return ag_slice_equal_nocase(s, antag_slice_of(text));
}

const char *ag_show(struct antag_slice s, struct ag_shown *out)
{
    static const char hex[] = "0123456789abcdef";
    size_t at = 0, i = 0;

    /* 4 for one escaped byte, 3 for the dots, 1 for the end */
    for (; i < s.len && at + 4 + 3 + 1 <= sizeof out->text; i++) {
        uint8_t c = s.p[i];

        if (c == ' ' || ag_is_visible(c)) {
            out->text[at++] = (char)c;
            continue;
        }
        out->text[at++] = '\\';
        out->text[at++] = 'x';
        out->text[at++] = hex[c >> 4];
        out->text[at++] = hex[c & 15];
    }
    if (i < s.len) {
        memcpy(out->text + at, "...", 3);
        at += 3;
    }
    out->text[at] = '\0';
    return out->text;
}

enum antag_err ag_form_check(const struct ag_form *form, struct antag_slice s, const char *field,
                             struct antag_fault *f)
{
    struct ag_shown shown;
    size_t i = 0;

    if (s.len == 0)
        return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, field, "it is empty; allowed: %s",
                               form->allowed);
    if (s.len > form->max)
        return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, field,
                               "it has %zu bytes, at most %zu allowed", s.len, form->max);
    if (form->first == 0 || s.p[0] == form->first)
        while (i < s.len && form->fits(s.p[i]))
            i++;
    if (i == s.len)
        return ANTAG_OK;
    return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, field,
                           "byte 0x%02x at %zu of \"%s\" is not allowed; allowed: %s", s.p[i], i,
                           ag_show(s, &shown), form->allowed);
}

enum antag_err ag_antom_check_method(struct antag_slice s, struct antag_fault *f)
{
    return ag_form_check(&form_method, s, "method", f);
}

enum antag_err ag_antom_check_uri(struct antag_slice s, struct antag_fault *f)
{
    return ag_form_check(&form_uri, s, "uri", f);
}

enum antag_err ag_antom_check_client_id(struct antag_slice s, struct antag_fault *f)
{
    return ag_form_check(&form_client_id, s, "client_id", f);
}

enum antag_err ag_antom_client_id_env(enum ag_env env, struct antag_slice client_id,
                                      struct antag_fault *f)
{
    static const char mark[] = "SANDBOX_";
    size_t mark_len = sizeof mark - 1;
    bool marked =
        client_id.len >= mark_len && memcmp(client_id.p, mark, mark_len) == 0; /* public */
    struct ag_shown shown;

    if (marked == (env == AG_ENV_SANDBOX))
        return ANTAG_OK;
    return antag_fault_set(f, ANTAG_ERR_WRONG_ENVIRONMENT, "client_id",
                           "\"%s\" cannot stand in a %s profile: sandbox client ids start with "
                           "SANDBOX_, and no others do",
                           ag_show(client_id, &shown), ag_env_name(env));
}

static uint8_t *put(uint8_t *at, struct antag_slice s, uint8_t end)
{
    memcpy(at, s.p, s.len); /* never empty: the forms demand a byte */
    at[s.len] = end;
    return at + s.len + 1;
}

/* The forms are checked here once more although the caller must have done it: this is the one place that
 * every signed byte in front of a body passes, and a border that slips here is a forged message. */
enum antag_err ag_antom_prefix_render(struct antag_slice method, struct antag_slice uri,
                                      struct antag_slice client_id, struct antag_slice time,
                                      struct ag_antom_prefix *out)
{
    uint8_t *at = out->text;
    int64_t at_ms;

    out->len = 0;
    if (ag_form_check(&form_method, method, NULL, NULL) != ANTAG_OK ||
        ag_form_check(&form_uri_derived, uri, NULL, NULL) != ANTAG_OK ||
        ag_form_check(&form_client_id, client_id, NULL, NULL) != ANTAG_OK ||
        time.len > ANTAG_TIME_MAX || ag_antom_time_parse(time, &at_ms, NULL) != ANTAG_OK)
        return ANTAG_ERR_BAD_PARAM;
    at = put(at, method, ' ');
    at = put(at, uri, '\n');
    at = put(at, client_id, '.');
    at = put(at, time, '.');
    out->len = (size_t)(at - out->text);
    return ANTAG_OK;
}
