/* rotate: a rotation shown, its first two steps together, and probes that are sent by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "antag/limits.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/view.h"

/* ---- showing */

static const struct ctl_column parts[] = {
    {"rotation", "rotation", CTL_AS_INT},
    {"profile", "profile", CTL_AS_TEXT},
    {"state", "state", CTL_AS_STATE},
    {"meaning", "meaning", CTL_AS_TEXT},
    {"since", "state_ms", CTL_AS_TIME},
    {"started", "started_ms", CTL_AS_TIME},
    {"by uid", "uid", CTL_AS_INT},
    {"cuts over by itself", "armed", CTL_AS_BOOL},
    {"rolls back by itself", "auto_rollback", CTL_AS_BOOL},
    {"submitted", "submitted_ms", CTL_AS_TIME},
    {"reason", "reason", CTL_AS_TEXT},
    {"waits for", "waits_for", CTL_AS_TEXT},
    {"who acts", "who", CTL_AS_TEXT},
    {"until", "until_ms", CTL_AS_TIME},
    {"change", "change", CTL_AS_INT},
    {"freeze", "frozen", CTL_AS_TEXT},
    {"frozen until", "frozen_until_ms", CTL_AS_TIME},
    {"failures reported", "failures", CTL_AS_ID},
    {"last failure", "failures_ms", CTL_AS_TIME},
    {.head = NULL},
};

static const struct ctl_column keys[] = {
    {"KEY", "key", CTL_AS_TEXT},
    {"VERSION", "version", CTL_AS_INT},
    {"STATE", "state", CTL_AS_STATE},
    {"KEYRING", "keyring", CTL_AS_TEXT},
    {"FINGERPRINT", "fingerprint", CTL_AS_PRINT},
    {"ANTOM", "outcome", CTL_AS_STATE},
    {"ASKED", "at_ms", CTL_AS_AGO},
    {"WHICH SAID", "said", CTL_AS_TEXT},
    {.head = NULL},
};

static const struct ctl_column rows[] = {
    {"ROTATION", "rotation", CTL_AS_INT},    {"PROFILE", "profile", CTL_AS_TEXT},
    {"STATE", "state", CTL_AS_STATE},        {"SINCE", "state_ms", CTL_AS_AGO},
    {"WAITS FOR", "waits_for", CTL_AS_TEXT}, {"WHO", "who", CTL_AS_TEXT},
    {"UNTIL", "until_ms", CTL_AS_AGO},       {.head = NULL},
};

static const struct ctl_view list_view = {
    .list = "rotations",
    .columns = rows,
    .empty = "No rotation is under way.",
    .empty_next = "rotate start %s",
};

/* A key and what Antom said of it, as one row. */
static json_t *key_row(const json_t *r, const char *name, const char *key, const char *probe)
{
    json_t *row = json_object();

    (void)json_object_update(row, json_object_get(r, key));
    (void)json_object_update(row, json_object_get(r, probe));
    (void)json_object_set_new(row, "key", json_string(name));
    return row;
}

static void put_keys(struct ctl *c, const json_t *r)
{
    json_t *both = json_array();

    (void)json_array_append_new(both, key_row(r, "old", "old_key", "old_probe"));
    (void)json_array_append_new(both, key_row(r, "new", "new_key", "new_probe"));
    ctl_view_rows(c, keys, both);
    json_decref(both);
}

/* Not broken into lines: it is there to be copied. */
static void put_public_key(const json_t *r)
{
    const char *text = ctl_json_text(json_object_get(r, "new_key"), "public_key");
    char *clean = ctl_clean(text, strlen(text));

    (void)printf("\nThe new public key, as the dashboard takes it:\n%s\n", clean);
    free(clean);
}

void ctl_render_rotation(struct ctl *c, const json_t *result)
{
    const char *state = ctl_json_text(result, "state");
    size_t i;
    json_t *v;

    ctl_view_lines(c, parts, result);
    (void)putchar('\n');
    put_keys(c, result);
    if (strcmp(state, "prepared") == 0 || strcmp(state, "approved") == 0)
        put_public_key(result);
    if (json_array_size(json_object_get(result, "next")) > 0)
        (void)putchar('\n');
    json_array_foreach(json_object_get(result, "next"), i, v)
    {
        ctl_say(json_string_value(v));
    }
    if (*ctl_json_text(result, "command") != '\0')
        ctl_next(c, "%s", ctl_json_text(result, "command"));
}

void ctl_render_rotations(struct ctl *c, const json_t *result)
{
    const json_t *list = json_object_get(result, "rotations");

    if (json_array_size(list) == 1)
        ctl_render_rotation(c, json_array_get(list, 0));
    else
        ctl_view_print(c, &list_view, result);
}

/* ---- starting: the key, then the approval of the plan */

static enum antag_err ask_profile(struct ctl *c, const char *method, const char *profile,
                                  json_t **out, struct antag_fault *fault)
{
    struct antag_writer params;
    enum antag_err err;

    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    antag_w_kv_str(&params, "profile", profile);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, method, &params, NULL, 0, out, fault);
    antag_writer_fini(&params);
    return err;
}

enum antag_err ctl_run_rotate_start(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const char *profile = ctl_args_get(&c->line, "APP/ENV");
    json_t *started = NULL, *asked = NULL, *status = NULL;
    enum antag_err err;

    if ((err = ctl_ask_args(c, "rotate_start", NULL, 0, &started, fault)) != ANTAG_OK)
        return err;
    if ((err = ask_profile(c, "rotate_request", profile, &asked, fault)) == ANTAG_OK &&
        (err = ask_profile(c, "rotate_status", profile, &status, fault)) == ANTAG_OK) {
        *result = json_incref(json_array_get(json_object_get(status, "rotations"), 0));
        if (*result == NULL)
            *result = json_incref(started); /* it was ended at once by somebody else */
    }
    if (err != ANTAG_OK && !c->line.json)
        (void)fprintf(stderr,
                      "The rotation is prepared; its approval could not be asked for. When "
                      "that is mended: antomctl rotate request %s\n",
                      profile);
    json_decref(started);
    json_decref(asked);
    json_decref(status);
    return err;
}

enum antag_err ctl_check_rotate_start(struct ctl *c, struct antag_fault *fault)
{
    if (ctl_args_has(&c->line, "--arm") && ctl_args_has(&c->line, "--no-arm"))
        return antag_fault_set(fault, ANTAG_ERR_USAGE, NULL,
                               "--arm and --no-arm exclude each other");
    return ANTAG_OK;
}

/* ---- by hand: a call for another host to make, and what it brought back */

void ctl_render_rotate_call(struct ctl *c, const json_t *result)
{
    static const char *const headers[][2] = {
        {"client-id", "client_id"}, {"request-time", "request_time"}, {"signature", "signature"}};

    (void)printf("curl -i --path-as-is '%s' \\\n  -H 'Content-Type: application/json; "
                 "charset=UTF-8' \\\n",
                 ctl_json_text(result, "url"));
    for (size_t i = 0; i < 3; i++)
        (void)printf("  -H '%s: %s' \\\n", headers[i][0], ctl_json_text(result, headers[i][1]));
    (void)printf("  --data-binary '%s'\n", ctl_json_text(result, "body"));
    (void)fflush(stdout);
    (void)fprintf(stderr,
                  "Run it within five minutes where Antom can be reached, and give the "
                  "answer, headers and all, to\n  antomctl rotate answer %s --key %s\n",
                  ctl_given_profile(c), ctl_json_text(result, "key"));
}

/* The value of a header in the text in front of the body. */
static struct antag_slice header(struct antag_slice head, const char *name)
{
    const char *p = (const char *)head.p, *end = p + head.len;
    size_t len = strlen(name);

    while (p < end) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        const char *stop = line_end == NULL ? end : line_end;
        const char *v = p + len + 1;

        if ((size_t)(stop - p) > len && p[len] == ':' && strncasecmp(p, name, len) == 0) {
            while (v < stop && (*v == ' ' || *v == '\t'))
                v++;
            while (stop > v && (stop[-1] == '\r' || stop[-1] == ' '))
                stop--;
            return (struct antag_slice){(const uint8_t *)v, (size_t)(stop - v)};
        }
        p = line_end == NULL ? end : line_end + 1;
    }
    return (struct antag_slice){(const uint8_t *)"", 0};
}

/* Where the headers end: behind the first empty line. Of several heads (100 Continue) the last counts. */
static bool split(struct antag_slice all, struct antag_slice *head, struct antag_slice *body)
{
    struct antag_slice rest = all;

    for (;;) {
        const uint8_t *crlf = memmem(rest.p, rest.len, "\r\n\r\n", 4);
        const uint8_t *lf = memmem(rest.p, rest.len, "\n\n", 2);
        const uint8_t *at = crlf != NULL && (lf == NULL || crlf < lf) ? crlf : lf;
        size_t gap = at != NULL && at == crlf ? 4 : 2;

        if (at == NULL)
            return false;
        *head = (struct antag_slice){rest.p, (size_t)(at - rest.p)};
        *body = (struct antag_slice){at + gap, rest.len - head->len - gap};
        if (body->len < 5 || memcmp(body->p, "HTTP/", 5) != 0)
            return true;
        rest = *body;
    }
}

static enum antag_err ask_answer(struct ctl *c, struct antag_slice all, json_t **result,
                                 struct antag_fault *fault)
{
    struct antag_slice head, body;
    struct antag_writer params;
    enum antag_err err;

    if (!split(all, &head, &body))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, NULL,
                               "the answer is to be whole, as `curl -i` prints it: headers, an "
                               "empty line, body");
    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    ctl_pairs(c, &params);
    antag_w_kv_strn(&params, "client_id", header(head, "client-id"));
    antag_w_kv_strn(&params, "response_time", header(head, "response-time"));
    antag_w_kv_strn(&params, "signature", header(head, "signature"));
    antag_w_kv_bin(&params, "body", body);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, c->line.command->method, &params, NULL, 0, result, fault);
    antag_writer_fini(&params);
    return err;
}

enum antag_err ctl_run_rotate_answer(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const char *path = ctl_args_get(&c->line, "--file");
    uint8_t *bytes = NULL;
    size_t len = 0;
    enum antag_err err = ctl_read_body(path == NULL ? "-" : path, &bytes, &len, fault);

    if (err == ANTAG_OK)
        err = ask_answer(c, (struct antag_slice){bytes, len}, result, fault);
    free(bytes);
    return err;
}
