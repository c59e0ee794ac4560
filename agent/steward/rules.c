#include "agent/steward/rules.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static bool is_letter(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static char lower(uint8_t c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

enum antag_err ag_rule_app_name(struct antag_slice s, struct antag_fault *fault)
{
    bool good = s.len >= 1 && s.len <= ANTAG_APP_MAX && s.p[0] != '-';

    for (size_t i = 0; good && i < s.len; i++)
        good = (s.p[i] >= 'a' && s.p[i] <= 'z') || is_digit(s.p[i]) || s.p[i] == '-';
    if (good)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "app",
                           "the name of an application has 1 to %d bytes: lower-case letters, "
                           "digits and '-', the first one no '-'",
                           ANTAG_APP_MAX);
}

enum antag_err ag_rule_app_role(struct antag_slice s, struct antag_fault *fault)
{
    if (antag_slice_is(s, "merchant") || antag_slice_is(s, "acquirer") || antag_slice_is(s, "isv"))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "role", "is merchant, acquirer or isv");
}

enum antag_err ag_rule_letters(struct antag_slice s, const char *field, size_t count, char *out,
                               struct antag_fault *fault)
{
    bool good = s.len == count;

    for (size_t i = 0; good && i < count; i++)
        good = is_letter(s.p[i]);
    if (!good)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field, "has %zu letters, as in %s",
                               count, count == 2 ? "SG" : "USD");
    for (size_t i = 0; i < count; i++)
        out[i] = (char)(lower(s.p[i]) - 'a' + 'A');
    out[count] = '\0';
    return ANTAG_OK;
}

enum antag_err ag_rule_line(struct antag_slice s, const char *field, char *out, size_t size,
                            struct antag_fault *fault)
{
    if (s.len >= size)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field,
                               "has %zu bytes; at most %zu are allowed", s.len, size - 1);
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < 0x20 || s.p[i] == 0x7f)
            return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field,
                                   "holds a control character (byte %zu); one line of text is "
                                   "allowed",
                                   i + 1);
    if (!antag_slice_copy(s, out, size))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, field, "is not a text");
    return ANTAG_OK;
}

static bool starts_with(struct antag_slice s, const char *text)
{
    size_t len = strlen(text);

    return s.len >= len && strncasecmp((const char *)s.p, text, len) == 0;
}

/* Length of host[:port] at the start of `s`; 0 when there is none of good form. */
static size_t authority_len(struct antag_slice s)
{
    size_t host = 0, port, number = 0;

    while (host < s.len &&
           (is_letter(s.p[host]) || is_digit(s.p[host]) || s.p[host] == '-' || s.p[host] == '.'))
        host++;
    if (host == 0 || host > 253 || s.p[0] == '.' || s.p[0] == '-')
        return 0;
    if (host == s.len || s.p[host] != ':')
        return host;
    for (port = host + 1; port < s.len && is_digit(s.p[port]) && port - host <= 5; port++)
        number = number * 10 + (size_t)(s.p[port] - '0');
    return number >= 1 && number <= 65535 ? port : 0;
}

enum antag_err ag_rule_gateway(struct antag_slice s, char out[ANTAG_URL_MAX + 1],
                               struct antag_fault *fault)
{
    const size_t scheme = strlen("https://");
    struct antag_slice rest;
    size_t len;

    if (s.len > ANTAG_URL_MAX || !starts_with(s, "https://"))
        goto bad;
    rest = (struct antag_slice){s.p + scheme, s.len - scheme};
    len = authority_len(rest);
    if (len == 0 || len != rest.len)
        goto bad;
    for (size_t i = 0; i < s.len; i++)
        out[i] = lower(s.p[i]);
    out[s.len] = '\0';
    return ANTAG_OK;
bad:
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "gateway",
                           "is https://HOST or https://HOST:PORT of at most %d bytes: no user, "
                           "no path (no final '/' either), no query",
                           ANTAG_URL_MAX);
}

enum antag_err ag_rule_notify_url(struct antag_slice s, char out[ANTAG_URL_MAX + 1],
                                  struct antag_fault *fault)
{
    size_t scheme = starts_with(s, "https://")  ? strlen("https://")
                    : starts_with(s, "http://") ? strlen("http://")
                                                : 0;
    size_t len;

    if (scheme == 0 || s.len > ANTAG_URL_MAX)
        goto bad;
    len = authority_len((struct antag_slice){s.p + scheme, s.len - scheme});
    if (len == 0)
        goto bad;
    len += scheme;
    if (len < s.len && s.p[len] != '/' && s.p[len] != '?')
        goto bad;
    for (; len < s.len; len++)
        if (s.p[len] < 0x21 || s.p[len] > 0x7e || s.p[len] == '#')
            goto bad;
    if (antag_slice_copy(s, out, ANTAG_URL_MAX + 1))
        return ANTAG_OK;
bad:
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "notify_url",
                           "is http(s)://HOST[:PORT][/PATH][?QUERY] of at most %d bytes, "
                           "without user and fragment",
                           ANTAG_URL_MAX);
}

enum antag_err ag_rule_unit(struct antag_slice s, struct antag_fault *fault)
{
    bool good = s.len >= 1 && s.len <= ANTAG_UNIT_MAX;

    for (size_t i = 0; good && i < s.len; i++)
        good = is_letter(s.p[i]) || is_digit(s.p[i]) ||
               (s.p[i] != '\0' && strchr(":-_.\\@", s.p[i]) != NULL);
    if (good && memchr(s.p, '.', s.len) != NULL)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "unit",
                           "is the full name of a systemd unit, as in shop.service, of at most "
                           "%d bytes",
                           ANTAG_UNIT_MAX);
}

enum antag_err ag_rule_client_id_free(const struct ag_book *b, const struct ag_row_profile *p,
                                      struct antag_slice client_id, struct antag_fault *fault)
{
    for (size_t i = 0; i < b->profile_count; i++)
        if (b->profiles[i].id != p->id && antag_slice_is(client_id, b->profiles[i].client_id))
            return antag_fault_set(fault, ANTAG_ERR_CLIENT_ID_TAKEN, "client_id",
                                   "this client id stands in %s; it may stand in one profile only",
                                   b->profiles[i].name);
    return ANTAG_OK;
}

enum antag_err ag_rule_merchant_key(const struct ag_book *b, const struct ag_row_profile *p,
                                    struct antag_slice spki, struct antag_fault *fault)
{
    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_key *k = &b->keys[i];
        const struct ag_row_profile *other = ag_book_profile(b, k->profile_id);

        if (other == NULL || !antag_slice_equal(spki, ag_key_spki(k)))
            continue;
        if (other->id == p->id)
            return antag_fault_set(fault, ANTAG_ERR_KEY_KNOWN, NULL,
                                   "%s holds this key as version %u (%s)", other->name, k->version,
                                   ag_key_state_name(k->state));
        if (other->env != p->env)
            return antag_fault_set(fault, ANTAG_ERR_KEY_KNOWN, NULL,
                                   "%s holds this key as version %u; one key may not serve both "
                                   "sandbox and live",
                                   other->name, k->version);
    }
    for (size_t i = 0; i < b->antom_key_count; i++) {
        const struct ag_row_antom_key *k = &b->antom_keys[i];
        const struct ag_row_profile *other = ag_book_profile(b, k->profile_id);

        if (other != NULL && antag_slice_equal(spki, ag_antom_key_spki(k)))
            return antag_fault_set(fault, ANTAG_ERR_KEY_KNOWN, NULL,
                                   "%s holds the public half of this key as Antom's key, version "
                                   "%u; the merchant key must be another one",
                                   other->name, k->version);
    }
    return ANTAG_OK;
}

void ag_rule_shared_key_warning(const struct ag_book *b, const struct ag_row_key *k,
                                char warning[AG_WARNING_MAX])
{
    size_t len = 0;

    warning[0] = '\0';
    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_key *other = &b->keys[i];
        const struct ag_row_profile *p = ag_book_profile(b, other->profile_id);

        if (p == NULL || other->profile_id == k->profile_id || len + 64 >= AG_WARNING_MAX ||
            !antag_slice_equal(ag_key_spki(k), ag_key_spki(other)))
            continue;
        len +=
            (size_t)snprintf(warning + len, AG_WARNING_MAX - len, "%s%s version %u",
                             len == 0 ? "the same key stands in " : ", ", p->name, other->version);
    }
}

/* What a row of the same key means for the Antom key that is to come into `p`. */
static enum antag_err meet_antom_key(const struct ag_row_profile *p,
                                     const struct ag_row_antom_key *k,
                                     const struct ag_row_profile *other, bool same_as_other,
                                     char warning[AG_WARNING_MAX], struct antag_fault *fault)
{
    if (other->id == p->id && k->state == AG_ANTOM_KEY_ACTIVE)
        return antag_fault_set(fault, ANTAG_ERR_KEY_KNOWN, NULL,
                               "%s has this Antom key already, as its active version %u", p->name,
                               k->version);
    if (other->id == p->id && k->state == AG_ANTOM_KEY_REVOKED)
        snprintf(warning, AG_WARNING_MAX,
                 "this key stood in %s before, as version %u, which is revoked", p->name,
                 k->version);
    if (other->app_id == p->app_id && other->env != p->env) {
        if (!same_as_other)
            return antag_fault_set(fault, ANTAG_ERR_KEY_OTHER_ENVIRONMENT, NULL,
                                   "%s has this Antom key as version %u; if Antom shows the same "
                                   "key in both environments, repeat with "
                                   "--same-as-other-environment",
                                   other->name, k->version);
        snprintf(warning, AG_WARNING_MAX, "the same Antom key stands in %s as version %u",
                 other->name, k->version);
    }
    return ANTAG_OK;
}

enum antag_err ag_rule_antom_key(const struct ag_book *b, const struct ag_row_profile *p,
                                 struct antag_slice spki, bool same_as_other,
                                 char warning[AG_WARNING_MAX], struct antag_fault *fault)
{
    warning[0] = '\0';
    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_profile *other = ag_book_profile(b, b->keys[i].profile_id);

        if (other != NULL && antag_slice_equal(spki, ag_key_spki(&b->keys[i])))
            return antag_fault_set(fault, ANTAG_ERR_KEY_IS_OURS, NULL,
                                   "this is the public half of our own merchant key %s version "
                                   "%u; Antom's public key is shown beside it in Antom's dashboard",
                                   other->name, b->keys[i].version);
    }
    for (size_t i = 0; i < b->antom_key_count; i++) {
        const struct ag_row_antom_key *k = &b->antom_keys[i];
        const struct ag_row_profile *other = ag_book_profile(b, k->profile_id);
        enum antag_err err;

        if (other == NULL || !antag_slice_equal(spki, ag_antom_key_spki(k)))
            continue;
        if ((err = meet_antom_key(p, k, other, same_as_other, warning, fault)) != ANTAG_OK)
            return err;
    }
    return ANTAG_OK;
}

void ag_rule_sandbox_looks(const struct ag_row_profile *p, char found[AG_WARNING_MAX])
{
    found[0] = '\0';
    if (p->env != AG_ENV_LIVE)
        return;
    if (strcasestr(p->gateway, "sandbox") != NULL)
        snprintf(found, AG_WARNING_MAX, "the gateway of %s looks like a sandbox's", p->name);
    else if (strcasestr(p->notify_url, "sandbox") != NULL ||
             strcasestr(p->notify_url, "//localhost") != NULL ||
             strstr(p->notify_url, "//127.") != NULL)
        snprintf(found, AG_WARNING_MAX, "the notification URL of %s looks like a test address",
                 p->name);
    else if (strncmp(p->notify_url, "http://", 7) == 0)
        snprintf(found, AG_WARNING_MAX, "the notification URL of %s is not https", p->name);
}
