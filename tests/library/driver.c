/* driver: makes calls through libantomagent as the tests ask, and prints what came of each in one line:
 * STATUS, what, text. Stands on the shared library and its public header alone.
 *   driver sign|health|async SOCKET THREADS CALLS DEADLINE_MS
 *   driver watch SOCKET 1 EVENTS DEADLINE_MS: so many events, or until the connection is lost
 *   driver verify|verify-notification|async-verify SOCKET THREADS CALLS DEADLINE_MS CLIENT_ID TIME SIGNATURE
 * The body is BODY of the environment, for a sign with "#THREAD.CALL" behind it. */
#include <antag/client.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROFILE "shop/sandbox"
#define PAY     "/ams/api/v1/payments/pay"
#define NOTIFY  "/notify/antom?shop=7"
#define IN_HAND 32 /* async: calls under way at a time */

struct job {
    char **argv;
    struct antag_client *client;
    int thread, calls;
    int64_t deadline_ms;
    int failed;
};

static pthread_mutex_t print = PTHREAD_MUTEX_INITIALIZER;

static void tell(const char *status, const char *what, const char *text, int64_t retry_after_ms)
{
    pthread_mutex_lock(&print);
    printf("%s\t%s\t%s\t%lld\n", status, what, text, (long long)retry_after_ms);
    pthread_mutex_unlock(&print);
}

static void tell_signed(const char *body, const struct antag_signed *s)
{
    char text[4096];

    snprintf(text, sizeof text, "%s|%s|%s|%s|%s|%s|%u", s->uri, s->client_id, s->request_time,
             s->signature, s->content_type, s->record, s->version);
    tell("OK", body, text, -1);
}

static size_t body_of(const struct job *j, int call, char out[512])
{
    return (size_t)snprintf(out, 512, "%s#%d.%d", getenv("BODY"), j->thread, call);
}

static const struct antag_sign_call *sign_call(const struct job *j, const char *body, size_t len,
                                               struct antag_sign_call *out)
{
    *out = (struct antag_sign_call){.profile = PROFILE,
                                    .method = "POST",
                                    .uri = PAY,
                                    .body = {(const uint8_t *)body, len},
                                    .trace = "driver",
                                    .deadline_ms = j->deadline_ms};
    return out;
}

static void verify_call(const struct job *j, int notification, struct antag_header headers[3],
                        struct antag_verify_call *out)
{
    headers[0] = (struct antag_header){"client-id", j->argv[6]};
    headers[1] = (struct antag_header){notification ? "request-time" : "response-time", j->argv[7]};
    headers[2] = (struct antag_header){"signature", j->argv[8]};
    *out = (struct antag_verify_call){.profile = PROFILE,
                                      .method = "POST",
                                      .uri = notification ? NOTIFY : PAY,
                                      .body = antag_slice_of(getenv("BODY")),
                                      .headers = headers,
                                      .header_count = 3,
                                      .max_age_ms = -1,
                                      .deadline_ms = j->deadline_ms};
}

/* ---- blocking */

static int one_sign(struct job *j, int call)
{
    struct antag_fault fault = {.retry_after_ms = -1};
    struct antag_sign_call c;
    struct antag_signed s;
    char body[512];
    size_t len = body_of(j, call, body);
    enum antag_err err = antag_client_sign(j->client, sign_call(j, body, len, &c), &s, &fault);

    if (err == ANTAG_OK) {
        tell_signed(body, &s);
        return 0;
    }
    tell(antag_err_name(err), s.signature[0] == '\0' ? body : "NOT EMPTY", antag_fault_text(&fault),
         fault.retry_after_ms);
    return antag_err_exit(err);
}

static int one_verify(struct job *j, int notification)
{
    struct antag_fault fault = {.retry_after_ms = -1};
    struct antag_header headers[3];
    struct antag_verify_call c;
    struct antag_verified v = {.verified = true}; /* must not stay so */
    enum antag_err err;

    verify_call(j, notification, headers, &c);
    err = notification ? antag_client_verify_notification(j->client, &c, &v, &fault)
                       : antag_client_verify_response(j->client, &c, &v, &fault);
    tell(antag_err_name(err), v.verified ? "verified" : "not verified",
         err == ANTAG_OK ? v.time : antag_fault_text(&fault), fault.retry_after_ms);
    return antag_err_exit(err);
}

static int one_health(struct job *j)
{
    struct antag_fault fault = {.retry_after_ms = -1};
    struct antag_health h;
    enum antag_err err = antag_client_health(j->client, &h, &fault);

    tell(antag_err_name(err), h.state, err == ANTAG_OK ? h.reason : antag_fault_text(&fault),
         fault.retry_after_ms);
    return antag_err_exit(err);
}

static void *run_blocking(void *arg)
{
    struct job *j = arg;

    for (int i = 0; i < j->calls; i++) {
        int status = strcmp(j->argv[1], "sign") == 0 ? one_sign(j, i)
                     : strcmp(j->argv[1], "health") == 0
                         ? one_health(j)
                         : one_verify(j, strcmp(j->argv[1], "verify") != 0);

        j->failed = j->failed != 0 ? j->failed : status;
    }
    return NULL;
}

/* ---- event loop */

struct async_call {
    struct job *job;
    char body[512];
};

static void on_done(const struct antag_completion *d, void *ctx)
{
    struct async_call *c = ctx;
    const struct antag_fault *f = d->fault;

    if (f->err == ANTAG_OK && d->signed_ != NULL)
        tell_signed(c->body, d->signed_);
    else if (f->err == ANTAG_OK && d->verified != NULL)
        tell("OK", d->verified->verified ? "verified" : "not verified", d->verified->time, -1);
    else
        tell(antag_err_name(f->err),
             d->signed_ == NULL && d->verified == NULL ? c->body : "NOT EMPTY", antag_fault_text(f),
             f->retry_after_ms);
    if (f->err != ANTAG_OK)
        c->job->failed = antag_err_exit(f->err);
    free(c);
}

static int submit(struct job *j, struct antag_async *a, int call)
{
    struct async_call *c = calloc(1, sizeof *c);
    struct antag_fault fault;
    struct antag_sign_call s;
    struct antag_verify_call v;
    struct antag_header headers[3];
    size_t len = body_of(j, call, c->body);
    enum antag_err err;

    c->job = j;
    if (strcmp(j->argv[1], "async") == 0) {
        err = antag_async_sign(a, sign_call(j, c->body, len, &s), on_done, c, &fault);
    } else {
        verify_call(j, 0, headers, &v);
        err = antag_async_verify_response(a, &v, on_done, c, &fault);
    }
    if (err == ANTAG_OK)
        return 0;
    tell(antag_err_name(err), c->body, antag_fault_text(&fault), -1);
    free(c);
    return antag_err_exit(err);
}

static int run_async(struct job *j, const struct antag_client_conf *conf)
{
    struct antag_async *a;
    struct antag_fault fault;
    int sent = 0;

    if (antag_async_open(conf, &a, &fault) != ANTAG_OK)
        return 1;
    while (j->failed == 0 && (sent < j->calls || antag_async_in_flight(a) > 0)) {
        struct pollfd p;

        while (j->failed == 0 && sent < j->calls && antag_async_in_flight(a) < IN_HAND)
            j->failed = submit(j, a, sent++);
        p = (struct pollfd){.fd = antag_async_fd(a), .events = antag_async_events(a)};
        if (antag_async_in_flight(a) > 0)
            (void)poll(&p, 1, (int)antag_async_timeout_ms(a) + 1);
        antag_async_step(a);
    }
    antag_async_close(a);
    return j->failed;
}

/* ---- watch */

static int events_left;

static void on_event(const struct antag_event *e, void *ctx)
{
    static const char *const kinds[] = {"epoch", "profile", "state", "lagged", "draining", "lost"};
    char text[512];

    (void)ctx;
    snprintf(text, sizeof text, "%llu|%s|%d|%s|%u|%u|%s|%s", (unsigned long long)e->epoch,
             e->profile, e->signs, e->status, e->version, e->key_version, e->state, e->why);
    tell("EVENT", kinds[e->kind], text, -1);
    fflush(stdout);
    events_left = e->kind == ANTAG_EVENT_LOST ? 0 : events_left - 1;
}

static void on_watching(const struct antag_completion *d, void *ctx)
{
    struct job *j = ctx;

    if (d->fault->err == ANTAG_OK)
        return;
    tell(antag_err_name(d->fault->err), "", antag_fault_text(d->fault), -1);
    j->failed = antag_err_exit(d->fault->err);
}

static int run_watch(struct job *j, const struct antag_client_conf *conf)
{
    struct antag_async *a;
    struct antag_fault fault;
    enum antag_err err;

    if (antag_async_open(conf, &a, &fault) != ANTAG_OK)
        return 1;
    events_left = j->calls;
    err = antag_async_watch(a, on_event, NULL, on_watching, j, &fault);
    if (err != ANTAG_OK) {
        tell(antag_err_name(err), "", antag_fault_text(&fault), -1);
        j->failed = antag_err_exit(err);
    }
    while (j->failed == 0 && events_left > 0) {
        struct pollfd p = {.fd = antag_async_fd(a), .events = antag_async_events(a)};

        if (poll(&p, 1, (int)j->deadline_ms) == 0)
            j->failed = 1;
        antag_async_step(a);
    }
    events_left = 1; /* closing loses the watch */
    antag_async_close(a);
    return j->failed;
}

int main(int argc, char **argv)
{
    struct antag_client_conf conf = {.name = "driver 1"};
    struct antag_client *client;
    struct antag_fault fault;
    pthread_t threads[64];
    struct job jobs[64];
    int count, failed = 0;

    if (argc != 6 && argc != 9)
        return 2;
    conf.path = argv[2];
    count = atoi(argv[3]);
    for (int i = 0; i < count && i < 64; i++)
        jobs[i] = (struct job){
            .argv = argv, .thread = i, .calls = atoi(argv[4]), .deadline_ms = atoll(argv[5])};
    if (strcmp(argv[1], "watch") == 0)
        return run_watch(&jobs[0], &conf);
    if (strncmp(argv[1], "async", 5) == 0)
        return run_async(&jobs[0], &conf);
    if (antag_client_open(&conf, &client, &fault) != ANTAG_OK) {
        tell(antag_err_name(fault.err), "", antag_fault_text(&fault), -1);
        return 1;
    }
    for (int i = 0; i < count; i++) {
        jobs[i].client = client;
        if (pthread_create(&threads[i], NULL, run_blocking, &jobs[i]) != 0)
            return 1;
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
        failed = failed != 0 ? failed : jobs[i].failed;
    }
    antag_client_close(client);
    return failed;
}
