/* antom_path: which path a call has in which environment, and which paths may be signed at all. */
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/antom_internal.h"

static struct antag_slice path_of(struct antag_slice uri)
{
    struct antag_slice path, query;
    bool has_query;

    ag_antom_uri_split(uri, &path, &query, &has_query);
    return path;
}

void ag_antom_uri_split(struct antag_slice uri, struct antag_slice *path, struct antag_slice *query,
                        bool *has_query)
{
    const uint8_t *mark = uri.len > 0 ? memchr(uri.p, '?', uri.len) : NULL;

    *path = uri;
    *query = (struct antag_slice){NULL, 0};
    *has_query = mark != NULL;
    if (mark != NULL) {
        path->len = (size_t)(mark - uri.p);
        *query = (struct antag_slice){mark + 1, uri.len - path->len - 1};
    }
}

bool ag_antom_path_is_sandbox(struct antag_slice path)
{
    size_t len = sizeof AG_SANDBOX_API - 1;

    return path.len >= len && memcmp(path.p, AG_SANDBOX_API, len) == 0 /* public */ &&
           (path.len == len || path.p[len] == '/');
}

/* Offset of the /ams/api that a sandbox path has otherwise, or the path's length when there is none or
 * /ams/sandbox/api stands before it. Like the SDKs, without regard to where a segment ends. */
static size_t live_part(struct antag_slice path)
{
    const uint8_t *live, *sandbox;

    if (path.len == 0)
        return 0;
    live = memmem(path.p, path.len, AG_LIVE_API, sizeof AG_LIVE_API - 1);
    sandbox = memmem(path.p, path.len, AG_SANDBOX_API, sizeof AG_SANDBOX_API - 1);
    if (live == NULL || (sandbox != NULL && sandbox < live))
        return path.len;
    return (size_t)(live - path.p);
}

static size_t put(char *out, size_t at, const void *p, size_t len)
{
    if (p != NULL) /* an empty slice may have no address */
        memcpy(out + at, p, len);
    return at + len;
}

enum antag_err ag_antom_uri_derive(enum ag_env env, struct antag_slice uri, char *out, size_t size,
                                   size_t *out_len, struct antag_fault *f)
{
    static const char middle[] = "/sandbox";
    struct antag_slice path = path_of(uri);
    size_t found = env == AG_ENV_SANDBOX ? live_part(path) : path.len;
    bool rewrite = found < path.len;
    size_t middle_len = rewrite ? sizeof middle - 1 : 0;
    size_t head = rewrite ? found + sizeof "/ams" - 1 : uri.len, at;

    if (uri.len >= size || size - uri.len <= middle_len)
        return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, "uri",
                               "it has %zu bytes as it is sent, at most %zu allowed",
                               uri.len + middle_len, size > 0 ? size - 1 : 0);
    at = put(out, 0, uri.p, head);
    at = put(out, at, middle, middle_len);
    at = put(out, at, ag_slice_from(uri, head).p, uri.len - head);
    out[at] = '\0';
    *out_len = at;
    return ANTAG_OK;
}

/* The next segment of a path that starts with '/'; false at the end. "/a//b" has "a", "", "b". */
static bool next_segment(struct antag_slice *rest, struct antag_slice *segment)
{
    const uint8_t *end;

    if (rest->len == 0 || rest->p[0] != '/')
        return false;
    rest->p++;
    rest->len--;
    end = rest->len > 0 ? memchr(rest->p, '/', rest->len) : NULL;
    segment->p = rest->p;
    segment->len = end != NULL ? (size_t)(end - rest->p) : rest->len;
    rest->p += segment->len;
    rest->len -= segment->len;
    return true;
}

/* Anything a gateway might take for a sandbox path, wherever it stands and however it is spelt: on the
 * live side the fence is wider than the sandbox is. */
static bool smells_of_sandbox(struct antag_slice path)
{
    struct antag_slice segment;
    bool behind_ams = false;

    while (next_segment(&path, &segment)) {
        if (segment.len == 0)
            continue; /* "/ams//sandbox" */
        if (behind_ams && ag_slice_is_nocase(segment, "sandbox"))
            return true;
        behind_ams = ag_slice_is_nocase(segment, "ams");
    }
    return false;
}

enum antag_err ag_antom_fence(enum ag_env env, struct antag_slice uri, bool excepted,
                              struct antag_fault *f)
{
    struct antag_slice path = path_of(uri);
    struct ag_shown shown;

    if (excepted)
        return ANTAG_OK;
    if (env == AG_ENV_LIVE) {
        if (!smells_of_sandbox(path))
            return ANTAG_OK;
        return antag_fault_set(
            f, ANTAG_ERR_WRONG_ENVIRONMENT, "uri",
            "\"%s\" is a sandbox path and this is a live profile; allowed: paths "
            "without /ams/sandbox",
            ag_show(path, &shown));
    }
    if (ag_antom_path_is_sandbox(path))
        return ANTAG_OK;
    return antag_fault_set(f, ANTAG_ERR_WRONG_ENVIRONMENT, "uri",
                           "\"%s\" is not a sandbox path and this is a sandbox profile; allowed: "
                           "paths under " AG_LIVE_API " or " AG_SANDBOX_API,
                           ag_show(path, &shown));
}

enum antag_err ag_antom_is_signed_call(struct antag_slice uri, struct antag_fault *f)
{
    static const char *const unsigned_calls[] = {
        AG_LIVE_API "/v1/meter/uploadEvent",
        AG_SANDBOX_API "/v1/meter/uploadEvent",
    };
    struct antag_slice path = path_of(uri);

    for (size_t i = 0; i < sizeof unsigned_calls / sizeof *unsigned_calls; i++)
        if (antag_slice_is(path, unsigned_calls[i]))
            return antag_fault_set(f, ANTAG_ERR_NOT_SIGNED_CALL, "uri",
                                   "%s goes to Antom unsigned, with a session id of "
                                   "meter/createSession",
                                   unsigned_calls[i]);
    return ANTAG_OK;
}

/* May this byte stand in a path as %XX? Not where its plain form would do, nor where decoding makes or
 * hides a border of a segment, another escape, or the end of a C string. */
static bool may_be_escaped(int byte)
{
    if (byte < 0x20 || byte == 0x7F)
        return false;
    return !ag_is_alnum((uint8_t)byte) && strchr("-._~/\\;%?#", byte) == NULL;
}

static const char *wrong_escape(struct antag_slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        int high, low;

        if (path.p[i] != '%')
            continue;
        high = i + 2 < path.len ? ag_hex_value(path.p[i + 1]) : -1;
        low = i + 2 < path.len ? ag_hex_value(path.p[i + 2]) : -1;
        if (high < 0 || low < 0)
            return "a '%' without two hexadecimal digits";
        if (!may_be_escaped(high * 16 + low))
            return "an escaped slash, dot, unreserved or control byte";
        i += 2;
    }
    return NULL;
}

static const char *wrong_segment(struct antag_slice path)
{
    static const char *const own[] = {
        AG_LIVE_API "//v1/payments/retrievePaymentSession",
        AG_SANDBOX_API "//v1/payments/retrievePaymentSession",
    };
    struct antag_slice rest = path, segment;

    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (antag_slice_is(path, own[i]))
            return NULL;
    while (next_segment(&rest, &segment)) {
        if (antag_slice_is(segment, ".") || antag_slice_is(segment, ".."))
            return "a dot segment";
        if (segment.len == 0 && rest.len > 0)
            return "a double slash";
    }
    return NULL;
}

enum antag_err ag_antom_check_sign_path(struct antag_slice uri, struct antag_fault *f)
{
    struct antag_slice path = path_of(uri);
    const char *wrong = NULL;
    struct ag_shown shown;

    if (path.len == 0 || path.p[0] != '/')
        wrong = "no '/' at its start";
    else if (memchr(path.p, ';', path.len) != NULL)
        wrong = "a ';'";
    else if (memchr(path.p, '\\', path.len) != NULL)
        wrong = "a backslash";
    if (wrong == NULL)
        wrong = wrong_escape(path);
    if (wrong == NULL)
        wrong = wrong_segment(path);
    if (wrong == NULL)
        return ANTAG_OK;
    return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, "uri",
                           "the path \"%s\" has %s; allowed for signing: plain segments, since "
                           "gateways may read others as another path",
                           ag_show(path, &shown), wrong);
}
