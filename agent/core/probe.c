#include "agent/core/probe.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/antom_internal.h"

void ag_probe_uri(enum ag_env env, char out[AG_PROBE_URI_MAX])
{
    size_t len = 0;

    if (ag_antom_uri_derive(env, antag_slice_of(AG_PROBE_PATH), out, AG_PROBE_URI_MAX - 1, &len,
                            NULL) != ANTAG_OK)
        len = 0; /* cannot be: the path is ours and short */
    out[len] = '\0';
}

enum antag_err ag_probe_check_id(struct antag_slice id, struct antag_fault *f)
{
    bool good = id.len >= 8 && id.len <= AG_PROBE_ID_MAX;

    for (size_t i = 0; i < id.len && good; i++)
        good = ag_hex_value(id.p[i]) >= 0 && !ag_is_upper(id.p[i]);
    return good ? ANTAG_OK
                : antag_fault_set(f, ANTAG_ERR_BAD_PARAM, "probe",
                                  "is 8 to %d lower-case hexadecimal digits", AG_PROBE_ID_MAX);
}

size_t ag_probe_body(struct antag_slice id, char out[AG_PROBE_BODY_MAX])
{
    int n =
        snprintf(out, AG_PROBE_BODY_MAX, "{\"paymentRequestId\":\"antom-agent-probe-%.*s\"}",
                 (int)(id.len < AG_PROBE_ID_MAX ? id.len : AG_PROBE_ID_MAX), (const char *)id.p);

    return n > 0 ? (size_t)n : 0;
}

enum antag_err ag_probe_prefix(enum ag_env env, struct antag_slice client_id,
                               struct antag_slice time, struct ag_antom_prefix *out)
{
    char uri[AG_PROBE_URI_MAX];

    ag_probe_uri(env, uri);
    return ag_antom_prefix_render(antag_slice_of(AG_PROBE_METHOD), antag_slice_of(uri), client_id,
                                  time, out);
}

/* ---- what an answer says */

static size_t skip_blank(struct antag_slice s, size_t at)
{
    while (at < s.len && (s.p[at] == ' ' || s.p[at] == '\t' || s.p[at] == '\r' || s.p[at] == '\n'))
        at++;
    return at;
}

/* The text behind "resultCode": that begins at or after *at, moved behind it. */
static bool next_code(struct antag_slice body, size_t *at, struct antag_slice *code)
{
    static const char name[] = "\"resultCode\"";
    const uint8_t *found;
    size_t i, start;

    while (*at < body.len &&
           (found = memmem(body.p + *at, body.len - *at, name, sizeof name - 1)) != NULL) {
        i = skip_blank(body, (size_t)(found - body.p) + sizeof name - 1);
        *at = i;
        if (i >= body.len || body.p[i] != ':')
            continue;
        i = skip_blank(body, i + 1);
        if (i >= body.len || body.p[i] != '"')
            continue;
        start = ++i;
        while (i < body.len && body.p[i] != '"')
            i++;
        *at = i;
        *code = (struct antag_slice){body.p + start, i - start};
        return i < body.len;
    }
    return false;
}

bool ag_probe_names_key(struct antag_slice body, const char **code)
{
    static const char *const codes[] = {"INVALID_SIGNATURE", "SIGNATURE_INVALID", "KEY_NOT_FOUND"};
    struct antag_slice said;
    size_t at = 0;

    while (next_code(body, &at, &said))
        for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
            if (antag_slice_is(said, codes[i])) {
                if (code != NULL)
                    *code = codes[i];
                return true;
            }
    return false;
}
