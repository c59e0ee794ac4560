/* sign, verify, explain: antomctl as an ordinary caller of agent.sock. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/lib/clock.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "proto/message.h"

/* one --header, split; blanks around the value are not part of it, as in HTTP */
struct header {
    struct antag_slice name, value;
    bool written;
};

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static bool split_header(const char *text, struct header *out)
{
    const char *colon = strchr(text, ':');
    struct antag_slice v;

    if (colon == NULL || colon == text)
        return false;
    out->name = (struct antag_slice){(const uint8_t *)text, (size_t)(colon - text)};
    v = antag_slice_of(colon + 1);
    while (v.len > 0 && is_blank(v.p[0])) {
        v.p++;
        v.len--;
    }
    while (v.len > 0 && (is_blank(v.p[v.len - 1]) || v.p[v.len - 1] == '\r'))
        v.len--;
    out->value = v;
    return true;
}

static bool same_name(const struct header *a, const struct header *b)
{
    return a->name.len == b->name.len &&
           strncasecmp((const char *)a->name.p, (const char *)b->name.p, a->name.len) == 0;
}

/* A header given again makes a list under its first name: whether that is allowed the agent decides. */
static void write_headers(struct header *headers, size_t count, struct antag_writer *w)
{
    antag_w_key(w, "headers");
    antag_w_map(w);
    for (size_t i = 0; i < count; i++) {
        size_t again = 0;

        if (headers[i].written)
            continue;
        for (size_t k = i + 1; k < count; k++)
            again += same_name(&headers[i], &headers[k]);
        antag_w_strn(w, headers[i].name);
        if (again > 0)
            antag_w_array(w);
        for (size_t k = i; k < count; k++) {
            if (same_name(&headers[i], &headers[k])) {
                antag_w_strn(w, headers[k].value);
                headers[k].written = true;
            }
        }
        if (again > 0)
            antag_w_end(w);
    }
    antag_w_end(w);
}

static enum antag_err add_headers(const struct ctl *c, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    struct header *headers = ctl_alloc(c->line.count, sizeof(*headers));
    enum antag_err err = ANTAG_OK;
    size_t count = 0;

    for (size_t i = 0; i < c->line.count && err == ANTAG_OK; i++) {
        if (strcmp(c->line.given[i].arg->name, "--header") != 0)
            continue;
        if (!split_header(c->line.given[i].text, &headers[count++]))
            err = antag_fault_set(fault, ANTAG_ERR_USAGE, "--header",
                                  "--header takes 'Name: value', got \"%.60s\"",
                                  c->line.given[i].text);
    }
    if (err == ANTAG_OK)
        write_headers(headers, count, w);
    free(headers);
    return err;
}

/* The request of any kind: the arguments, the headers of a verify, the body. `kind`: of an explain, or NULL. */
static enum antag_err ask_agent(struct ctl *c, const char *method, const char *kind,
                                bool with_headers, json_t **result, struct antag_fault *fault)
{
    struct antag_writer params;
    uint8_t *body = NULL;
    size_t body_len = 0;
    enum antag_err err;

    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    ctl_pairs(c, &params);
    if (kind != NULL)
        antag_w_kv_str(&params, "kind", kind);
    if (with_headers && (err = add_headers(c, &params, fault)) != ANTAG_OK)
        goto out;
    err = ctl_read_body(ctl_args_get(&c->line, "--body"), &body, &body_len, fault);
    if (err != ANTAG_OK)
        goto out;
    antag_w_kv_bin(&params, "body", (struct antag_slice){body, body_len});
    antag_w_end(&params);
    err = ctl_ask(c, CTL_AGENT, method, &params, NULL, 0, result, fault);
out:
    free(body);
    antag_writer_fini(&params);
    return err;
}

enum antag_err ctl_run_sign(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    return ask_agent(c, "sign_request", NULL, false, result, fault);
}

enum antag_err ctl_run_verify_response(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    return ask_agent(c, "verify_response", NULL, true, result, fault);
}

enum antag_err ctl_run_verify_notification(struct ctl *c, json_t **result,
                                           struct antag_fault *fault)
{
    return ask_agent(c, "verify_notification", NULL, true, result, fault);
}

/* What was asked about would be refused: told as such, and in the exit status too. */
static enum antag_err explain(struct ctl *c, const char *kind, json_t **result,
                              struct antag_fault *fault)
{
    enum antag_err err = ask_agent(c, "explain", kind, strcmp(kind, "sign") != 0, result, fault);
    int64_t code;

    if (err == ANTAG_OK && ctl_json_int(*result, "code", &code))
        c->exit_status = antag_err_exit((enum antag_err)code);
    return err;
}

enum antag_err ctl_run_explain_sign(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    return explain(c, "sign", result, fault);
}

enum antag_err ctl_run_explain_response(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    return explain(c, "response", result, fault);
}

enum antag_err ctl_run_explain_notification(struct ctl *c, json_t **result,
                                            struct antag_fault *fault)
{
    return explain(c, "notification", result, fault);
}

/* ---- for people */

/* `Name: value` in one line however long it is: it is there to be copied. */
static void put_pair(const char *name, const char *value)
{
    char *clean_name = ctl_clean(name, strlen(name)),
         *clean_value = ctl_clean(value, strlen(value));

    (void)printf("%s: %s\n", clean_name, clean_value);
    free(clean_name);
    free(clean_value);
}

void ctl_render_sign(struct ctl *c, const json_t *result)
{
    json_t *headers = json_object_get(result, "headers");
    const char *name;
    json_t *value;

    (void)c;
    json_object_foreach(headers, name, value)
        put_pair(name, json_is_string(value) ? json_string_value(value) : "");
    (void)putchar('\n');
    put_pair("uri", ctl_json_text(result, "uri"));
    if (ctl_json_text(result, "url")[0] != '\0')
        put_pair("url", ctl_json_text(result, "url"));
    if (ctl_json_text(result, "record")[0] != '\0')
        put_pair("record", ctl_json_text(result, "record"));
}

void ctl_render_verify(struct ctl *c, const json_t *result)
{
    const char *time = ctl_json_text(result, "time");
    int64_t version = 0, age = 0, ms = 0;
    char text[CTL_TIME_MAX];

    ctl_put(stdout, c->colour, CTL_GOOD, "verified");
    (void)ctl_json_int(result, "version", &version);
    (void)printf(": signed by Antom, with its key version %" PRId64 "\n", version);
    if (*time != '\0')
        put_pair("time", time);
    else if (ctl_json_int(result, "time", &ms)) {
        ctl_time_text(ms, ag_clock_wall_ms(), text);
        (void)printf("time: %s\n", text);
    }
    if (ctl_json_int(result, "age_ms", &age))
        (void)printf("age: %" PRId64 ".%03" PRId64 " s\n", age / 1000,
                     (age < 0 ? -age : age) % 1000);
}

/* The string to sign as it is, but for what a terminal would act upon; its body is left out. */
static void put_string(const json_t *result)
{
    const char *head = ctl_json_text(result, "string_head");
    int64_t bytes = 0;

    if (*head == '\0')
        return;
    (void)ctl_json_int(result, "body_bytes", &bytes);
    (void)printf("\nstring to sign (its first two parts stand in one line each):\n");
    for (const char *line = head; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        char *clean = ctl_clean(line, len);

        (void)printf("  %s", clean);
        free(clean);
        line += len;
        if (*line == '\n') {
            (void)putchar('\n');
            line++;
        }
    }
    (void)printf("<the body, %" PRId64 " bytes>\n", bytes);
    put_pair("sha256", ctl_json_text(result, "digest"));
}

void ctl_render_explain(struct ctl *c, const json_t *result)
{
    const json_t *findings = json_object_get(result, "findings"), *f;
    const char *verdict = ctl_json_text(result, "verdict");
    bool good = strcmp(verdict, "OK") == 0;
    size_t i;

    ctl_put(stdout, c->colour, good ? CTL_GOOD : CTL_BAD, verdict);
    if (good)
        (void)printf(": this would be %s\n",
                     strcmp(ctl_json_text(result, "kind"), "sign") == 0 ? "signed" : "taken");
    else {
        (void)printf(": ");
        ctl_put_wrapped(stdout, ctl_json_text(result, "message"), strlen(verdict) + 2, 2);
    }
    json_array_foreach(findings, i, f)
    {
        char text[512];
        const char *which = ctl_json_text(f, "which");

        (void)snprintf(text, sizeof text, "%s%s%s%s", ctl_json_text(f, "message"),
                       *which != '\0' ? " (" : "", which, *which != '\0' ? ")" : "");
        (void)printf("\nfound: ");
        ctl_put_wrapped(stdout, text, 7, 7);
        (void)printf("to do: ");
        ctl_put_wrapped(stdout, ctl_json_text(f, "remedy"), 7, 7);
    }
    put_string(result);
}
