/* Driver of libantomagent; protocol: tests/clients/README.md. Its blocking client does the calls, its event loop the watch. */
#include <antag/client.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 64
#define MANY_MAX    256

static struct antag_client *client;

static void say(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static json_t *failed(const struct antag_fault *f)
{
    json_t *e = json_pack(
        "{s:i, s:s, s:s, s:s, s:o, s:o}", "code", (int)f->err, "name", antag_err_name(f->err),
        "class", antag_class_name(antag_err_class(f->err)), "message", antag_fault_text(f), "field",
        f->field[0] == '\0' ? json_null() : json_string(f->field), "retry_after_ms",
        f->retry_after_ms < 0 ? json_null() : json_integer(f->retry_after_ms));

    return json_pack("{s:o}", "error", e);
}

static const char *text_of(const json_t *c, const char *name)
{
    return json_string_value(json_object_get(c, name));
}

static int64_t number_of(const json_t *c, const char *name, int64_t otherwise)
{
    const json_t *v = json_object_get(c, name);

    return v == NULL ? otherwise : json_integer_value(v);
}

/* The caller's to free. */
static struct antag_slice body_of(const json_t *c)
{
    const char *text = text_of(c, "body");
    size_t len = strlen(text);
    uint8_t *out = malloc(len + 1);
    int n = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);

    if (n < 0)
        abort();
    while (len > 0 && text[len - 1] == '=') {
        len--;
        n--;
    }
    return (struct antag_slice){out, (size_t)n};
}

static json_t *do_sign(const json_t *c)
{
    struct antag_slice body = body_of(c);
    struct antag_sign_call call = {.profile = text_of(c, "profile"),
                                   .method = text_of(c, "method"),
                                   .uri = text_of(c, "uri"),
                                   .body = body,
                                   .time = text_of(c, "time"),
                                   .merchant = text_of(c, "merchant"),
                                   .trace = text_of(c, "trace"),
                                   .deadline_ms = number_of(c, "deadline_ms", 0)};
    struct antag_signed *s = calloc(1, sizeof *s);
    struct antag_fault fault;
    json_t *out;

    if (antag_client_sign(client, &call, s, &fault) != ANTAG_OK)
        out = failed(&fault);
    else
        out = json_pack("{s:{s:{s:s,s:s,s:s,s:s}, s:s, s:o, s:I, s:I, s:s}}", "ok", "headers",
                        "Client-Id", s->client_id, "Request-Time", s->request_time, "Signature",
                        s->signature, "Content-Type", s->content_type, "uri", s->uri, "url",
                        s->url[0] == '\0' ? json_null() : json_string(s->url), "version",
                        (json_int_t)s->version, "key_version", (json_int_t)s->key_version, "record",
                        s->record);
    free(s);
    free((void *)(uintptr_t)body.p);
    return out;
}

static size_t headers_of(const json_t *c, struct antag_header out[HEADERS_MAX])
{
    json_t *headers = json_object_get(c, "headers"), *value;
    const char *name;
    size_t count = 0;

    json_object_foreach(headers, name, value)
    {
        size_t n = json_is_array(value) ? json_array_size(value) : 1;

        for (size_t i = 0; i < n && count < HEADERS_MAX; i++)
            out[count++] = (struct antag_header){
                name, json_string_value(json_is_array(value) ? json_array_get(value, i) : value)};
    }
    return count;
}

static json_t *do_verify(const json_t *c)
{
    struct antag_slice body = body_of(c);
    struct antag_header headers[HEADERS_MAX];
    struct antag_verify_call call = {.profile = text_of(c, "profile"),
                                     .method = text_of(c, "method"),
                                     .uri = text_of(c, "uri"),
                                     .body = body,
                                     .headers = headers,
                                     .header_count = headers_of(c, headers),
                                     .max_age_ms = number_of(c, "max_age_ms", -1),
                                     .trace = text_of(c, "trace"),
                                     .deadline_ms = number_of(c, "deadline_ms", 0)};
    struct antag_verified v;
    struct antag_fault fault;
    enum antag_err err = strcmp(text_of(c, "op"), "verify_response") == 0
                             ? antag_client_verify_response(client, &call, &v, &fault)
                             : antag_client_verify_notification(client, &call, &v, &fault);

    free((void *)(uintptr_t)body.p);
    if (err != ANTAG_OK || !v.verified)
        return failed(&fault);
    return json_pack("{s:{s:I, s:s, s:I}}", "ok", "version", (json_int_t)v.version, "time", v.time,
                     "age_ms", (json_int_t)v.age_ms);
}

static json_t *do_health(void)
{
    struct antag_health h;
    struct antag_fault fault;

    if (antag_client_health(client, &h, &fault) != ANTAG_OK)
        return failed(&fault);
    return json_pack("{s:{s:s}}", "ok", "state", h.state);
}

static json_t *do_one(const json_t *c)
{
    const char *op = text_of(c, "op");

    if (strcmp(op, "sign") == 0)
        return do_sign(c);
    return strcmp(op, "health") == 0 ? do_health() : do_verify(c);
}

/* ---- many */

struct one {
    pthread_t thread;
    const json_t *command;
    json_t *answer;
};

static void *run_one(void *ctx)
{
    struct one *o = ctx;

    o->answer = do_one(o->command);
    return NULL;
}

static json_t *do_many(const json_t *c)
{
    const json_t *calls = json_object_get(c, "calls");
    size_t count = json_array_size(calls);
    static struct one all[MANY_MAX];
    json_t *list = json_array();

    if (count > MANY_MAX)
        abort();
    for (size_t i = 0; i < count; i++) {
        all[i].command = json_array_get(calls, i);
        if (pthread_create(&all[i].thread, NULL, run_one, &all[i]) != 0)
            abort();
    }
    for (size_t i = 0; i < count; i++) {
        pthread_join(all[i].thread, NULL);
        json_array_append_new(list, all[i].answer);
    }
    return json_pack("{s:o}", "ok", list);
}

/* ---- watch */

struct watch {
    int64_t left;
    bool lost, refused;
    struct antag_fault fault;
};

static json_t *event_of(const struct antag_event *e)
{
    switch (e->kind) {
    case ANTAG_EVENT_EPOCH:
    case ANTAG_EVENT_LAGGED:
        return json_pack("{s:s, s:{s:I}}", "event",
                         e->kind == ANTAG_EVENT_EPOCH ? "epoch" : "lagged", "params", "epoch",
                         (json_int_t)e->epoch);
    case ANTAG_EVENT_PROFILE:
        return json_pack("{s:s, s:{s:s, s:s, s:I, s:I}}", "event", "profile", "params", "profile",
                         e->profile, "sign", e->status, "version", (json_int_t)e->version,
                         "key_version", (json_int_t)e->key_version);
    case ANTAG_EVENT_STATE:
        return json_pack("{s:s, s:{s:s}}", "event", "state", "params", "state", e->state);
    default:
        return json_pack("{s:s, s:{}}", "event", "draining", "params");
    }
}

static void on_event(const struct antag_event *e, void *ctx)
{
    struct watch *w = ctx;

    if (e->kind == ANTAG_EVENT_LOST) {
        w->lost = true;
        return;
    }
    if (w->left <= 0)
        return;
    say(event_of(e));
    w->left--;
}

static void on_watching(const struct antag_completion *d, void *ctx)
{
    struct watch *w = ctx;

    if (d->fault->err == ANTAG_OK)
        return;
    w->refused = true;
    w->fault = *d->fault;
}

static json_t *do_watch(const json_t *c, const struct antag_client_conf *conf)
{
    struct watch w = {.left = number_of(c, "count", 1)};
    struct antag_async *a;

    if (antag_async_open(conf, &a, &w.fault) != ANTAG_OK ||
        antag_async_watch(a, on_event, &w, on_watching, &w, &w.fault) != ANTAG_OK)
        return failed(&w.fault);
    while (!w.lost && !w.refused && w.left > 0) {
        struct pollfd p = {.fd = antag_async_fd(a), .events = antag_async_events(a)};

        (void)poll(&p, 1, (int)antag_async_timeout_ms(a));
        antag_async_step(a);
    }
    if (w.left > 0 && !w.refused)
        antag_fault_set(&w.fault, ANTAG_ERR_RETRY, NULL, "the connection was lost");
    json_t *out = w.left > 0 ? failed(&w.fault) : json_pack("{s:{}}", "ok");
    w.left = 0;
    antag_async_close(a);
    return out;
}

int main(void)
{
    struct antag_client_conf conf = {.name = "driver 1"};
    char *line = NULL;
    size_t size = 0;
    char path[512];

    while (getline(&line, &size, stdin) > 0) {
        json_t *c = json_loads(line, 0, NULL);
        const char *op = text_of(c, "op");
        struct antag_fault fault;

        if (strcmp(op, "open") == 0) {
            snprintf(path, sizeof path, "%s", text_of(c, "socket"));
            conf.path = path;
            conf.timeout_ms = number_of(c, "timeout_ms", 0);
            say(antag_client_open(&conf, &client, &fault) == ANTAG_OK ? json_pack("{s:{}}", "ok")
                                                                      : failed(&fault));
        } else if (strcmp(op, "many") == 0) {
            say(do_many(c));
        } else if (strcmp(op, "watch") == 0) {
            say(do_watch(c, &conf));
        } else {
            say(do_one(c));
        }
        json_decref(c);
    }
    antag_client_close(client);
    free(line);
    return 0;
}
