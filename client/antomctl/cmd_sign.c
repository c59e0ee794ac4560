/* sign, verify, explain: antomctl as an ordinary caller of agent.sock. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "antag/client.h"
#include "client/antomctl/conn.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/c/wire.h"

/* ---- what is asked */

/* one request of the command line; its texts are those of the line, or its own */
struct asked {
    uint8_t *body;
    size_t body_len;
    struct antag_header *headers; /* names and values are its own */
    size_t header_count;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* `Name: value`; blanks around the value are not part of it, as in HTTP. */
static bool split_header(const char *text, struct antag_header *out)
{
    const char *colon = strchr(text, ':'), *value;
    size_t len;

    if (colon == NULL || colon == text)
        return false;
    for (value = colon + 1; is_blank(*value);)
        value++;
    len = strlen(value);
    while (len > 0 && (is_blank(value[len - 1]) || value[len - 1] == '\r'))
        len--;
    out->name = strndup(text, (size_t)(colon - text));
    out->value = strndup(value, len);
    return out->name != NULL && out->value != NULL;
}

static enum antag_err take_headers(const struct ctl *c, struct asked *a, struct antag_fault *fault)
{
    a->headers = ctl_alloc(c->line.count, sizeof(*a->headers));
    for (size_t i = 0; i < c->line.count; i++) {
        if (strcmp(c->line.given[i].arg->name, "--header") != 0)
            continue;
        if (!split_header(c->line.given[i].text, &a->headers[a->header_count++]))
            return antag_fault_set(fault, ANTAG_ERR_USAGE, "--header",
                                   "--header takes 'Name: value', got \"%.60s\"",
                                   c->line.given[i].text);
    }
    return ANTAG_OK;
}

static void asked_fini(struct asked *a)
{
    for (size_t i = 0; i < a->header_count; i++) {
        free((char *)a->headers[i].name);
        free((char *)a->headers[i].value);
    }
    free(a->headers);
    free(a->body);
}

static enum antag_err take_asked(struct ctl *c, bool with_headers, struct asked *a,
                                 struct antag_fault *fault)
{
    enum antag_err err;

    memset(a, 0, sizeof(*a));
    if (with_headers && (err = take_headers(c, a, fault)) != ANTAG_OK)
        return err;
    return ctl_read_body(ctl_args_get(&c->line, "--body"), &a->body, &a->body_len, fault);
}

/* ---- sign and verify, as any payment service does it: by libantomagent */

static enum antag_err open_client(struct ctl *c, struct antag_client **out,
                                  struct antag_fault *fault)
{
    struct antag_client_conf conf = {.path = c->home.agent_sock, .timeout_ms = CTL_ANSWER_MS};

    return antag_client_open(&conf, out, fault);
}

/* The library names the path and what the system said; here it is also known what to do. */
static enum antag_err explain_fault(const struct ctl *c, enum antag_err err,
                                    struct antag_fault *fault)
{
    char start[CTL_LINE_MAX];

    if (err != ANTAG_ERR_UNREACHABLE)
        return err;
    ctl_start_text(c, start);
    return ctl_unreachable(c->home.agent_sock, start, fault);
}

/* As the protocol has it. */
static json_t *signed_json(const struct antag_signed *s)
{
    json_t *headers =
        json_pack("{s:s, s:s, s:s, s:s}", "Client-Id", s->client_id, "Request-Time",
                  s->request_time, "Signature", s->signature, "Content-Type", s->content_type);
    json_t *o = json_pack("{s:o, s:s, s:i, s:i}", "headers", headers, "uri", s->uri, "version",
                          (int)s->version, "key_version", (int)s->key_version);

    if (s->agent_token[0] != '\0')
        json_object_set_new(headers, "Agent-Token", json_string(s->agent_token));
    if (s->url[0] != '\0')
        json_object_set_new(o, "url", json_string(s->url));
    if (s->record[0] != '\0')
        json_object_set_new(o, "record", json_string(s->record));
    return o;
}

enum antag_err ctl_run_sign(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct antag_sign_call call = {.profile = ctl_args_get(&c->line, "APP/ENV"),
                                   .method = ctl_args_get(&c->line, "METHOD"),
                                   .uri = ctl_args_get(&c->line, "URI"),
                                   .time = ctl_args_get(&c->line, "--time"),
                                   .merchant = ctl_args_get(&c->line, "--merchant"),
                                   .trace = ctl_args_get(&c->line, "--trace")};
    struct antag_client *client = NULL;
    struct antag_signed made;
    struct asked a;
    enum antag_err err;

    if ((err = take_asked(c, false, &a, fault)) != ANTAG_OK ||
        (err = open_client(c, &client, fault)) != ANTAG_OK)
        goto out;
    call.body = (struct antag_slice){a.body, a.body_len};
    err = explain_fault(c, antag_client_sign(client, &call, &made, fault), fault);
    if (err == ANTAG_OK)
        *result = signed_json(&made);
out:
    antag_client_close(client);
    asked_fini(&a);
    return err;
}

typedef enum antag_err verify_fn(struct antag_client *c, const struct antag_verify_call *call,
                                 struct antag_verified *out, struct antag_fault *fault);

static enum antag_err verify(struct ctl *c, verify_fn *fn, json_t **result,
                             struct antag_fault *fault)
{
    struct antag_verify_call call = {.profile = ctl_args_get(&c->line, "APP/ENV"),
                                     .method = ctl_args_get(&c->line, "METHOD"),
                                     .uri = ctl_args_get(&c->line, "URI"),
                                     .max_age_ms = -1,
                                     .trace = ctl_args_get(&c->line, "--trace")};
    const char *max_age = ctl_args_get(&c->line, "--max-age-ms");
    struct antag_client *client = NULL;
    struct antag_verified got;
    uint64_t number;
    struct asked a;
    enum antag_err err;

    if (max_age != NULL && ctl_args_uint(max_age, &number))
        call.max_age_ms = number < INT64_MAX ? (int64_t)number : INT64_MAX;
    if ((err = take_asked(c, true, &a, fault)) != ANTAG_OK ||
        (err = open_client(c, &client, fault)) != ANTAG_OK)
        goto out;
    call.body = (struct antag_slice){a.body, a.body_len};
    call.headers = a.headers;
    call.header_count = a.header_count;
    err = explain_fault(c, fn(client, &call, &got, fault), fault);
    if (err == ANTAG_OK && !got.verified)
        err = antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "verified, and not verified");
    if (err == ANTAG_OK)
        *result = json_pack("{s:i, s:s, s:I}", "version", (int)got.version, "time", got.time,
                            "age_ms", (json_int_t)got.age_ms);
out:
    antag_client_close(client);
    asked_fini(&a);
    return err;
}

enum antag_err ctl_run_verify_response(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    return verify(c, antag_client_verify_response, result, fault);
}

enum antag_err ctl_run_verify_notification(struct ctl *c, json_t **result,
                                           struct antag_fault *fault)
{
    return verify(c, antag_client_verify_notification, result, fault);
}

/* ---- explain, which is for people: the library does not offer it */

static enum antag_err ask_explain(struct ctl *c, const char *kind, json_t **result,
                                  struct antag_fault *fault)
{
    bool with_headers = strcmp(kind, "sign") != 0;
    struct antag_writer params;
    struct asked a;
    enum antag_err err;

    antag_writer_init(&params, ANTAG_FRAME_MAX);
    if ((err = take_asked(c, with_headers, &a, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(&params);
    ctl_pairs(c, &params);
    antag_w_kv_str(&params, "kind", kind);
    if (with_headers)
        antag__write_headers(&params, a.headers, a.header_count);
    antag_w_kv_bin(&params, "body", (struct antag_slice){a.body, a.body_len});
    antag_w_end(&params);
    err = ctl_ask(c, CTL_AGENT, "explain", &params, NULL, 0, result, fault);
out:
    asked_fini(&a);
    antag_writer_fini(&params);
    return err;
}

/* What was asked about would be refused: told as such, and in the exit status too. */
static enum antag_err explain(struct ctl *c, const char *kind, json_t **result,
                              struct antag_fault *fault)
{
    enum antag_err err = ask_explain(c, kind, result, fault);
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
