/* courier: the only role that speaks to the network. It gets whole mails and signed calls to Antom's gateway from the
 * steward and says what came of each; it keeps nothing, and a server that hangs or lies costs it a thread for the time that
 * the configuration gives it. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "agent/courier/curl.h"
#include "agent/courier/fetch.h"
#include "agent/courier/smtp.h"
#include "agent/lib/edges/mailing.h"
#include "agent/lib/log.h"
#include "agent/lib/role.h"

#define AT_ONCE 4 /* errands; as many threads as libuv's pool has */

struct courier {
    struct ag_role *role;
    struct ag_conf conf;
    struct ag_chan *steward; /* NULL: not there */
    bool has_curl;           /* loaded with the first errand */
    unsigned under_way;
};

struct errand;

struct job {
    uv_work_t work;
    struct courier *c;
    struct ag_chan *chan; /* held: the one that asked */
    uint32_t id;
    struct ag_conf conf; /* as it was when it was asked for */
    const struct errand *errand;
    struct ag_mailing mailing; /* each with views into `bytes` */
    struct ag_fetching fetching;
    struct ag_fetch_answer *answer; /* of a fetch */
    uint8_t *bytes;
    enum antag_err err;
    struct antag_fault fault;
};

static void job_free(struct job *j)
{
    if (j->chan != NULL)
        ag_chan_release(j->chan);
    free(j->answer);
    free(j->bytes);
    free(j);
}

/* What is sent must outlive the message it came in. Each text is terminated besides. */
static enum antag_err keep(struct job *j, struct antag_slice **v, size_t count)
{
    size_t size = 0, at = 0;

    for (size_t i = 0; i < count; i++)
        size += v[i]->len + 1;
    if ((j->bytes = calloc(1, size)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        memcpy(j->bytes + at, v[i]->p, v[i]->len);
        v[i]->p = j->bytes + at;
        at += v[i]->len + 1;
    }
    return ANTAG_OK;
}

/* ---- errands: what is asked for, done on a thread of the pool, and answered */

static enum antag_err parse_mail(struct job *j, const msgpack_object *params,
                                 struct antag_fault *fault)
{
    struct ag_mailing *m = &j->mailing;
    struct antag_slice *views[] = {&m->to, &m->message};
    enum antag_err err = ag_mailing_parse(params, m, fault);

    return err == ANTAG_OK ? keep(j, views, sizeof views / sizeof *views) : err;
}

static void run_mail(struct job *j)
{
    j->err = ag_smtp_send(&j->conf, j->mailing.to, j->mailing.message, &j->fault);
}

static void answer_mail(const struct job *j)
{
    ag_chan_answer_ok(j->chan, j->id);
}

static enum antag_err parse_fetch(struct job *j, const msgpack_object *params,
                                  struct antag_fault *fault)
{
    struct ag_fetching *f = &j->fetching;
    struct antag_slice *views[] = {&f->gateway, &f->uri,       &f->client_id,
                                   &f->time,    &f->signature, &f->body};
    enum antag_err err = ag_fetching_parse(params, f, fault);

    if (err == ANTAG_OK && (j->answer = malloc(sizeof *j->answer)) == NULL)
        err = ANTAG_ERR_NO_MEMORY;
    return err == ANTAG_OK ? keep(j, views, sizeof views / sizeof *views) : err;
}

static void run_fetch(struct job *j)
{
    j->err = ag_fetch(&j->conf, &j->fetching, j->answer, &j->fault);
}

static void answer_fetch(const struct job *j)
{
    const struct ag_fetch_answer *a = j->answer;
    struct ag_fetched f = {.status = (uint64_t)a->status,
                           .client_id = antag_slice_of(a->client_id),
                           .time = antag_slice_of(a->time),
                           .signature = antag_slice_of(a->signature),
                           .body = {a->body, a->len}};
    struct antag_writer w;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, j->id);
    ag_fetched_write(&w, &f);
    antag_m_close(&w);
    if (ag_chan_send(j->chan, &w, NULL, 0) != ANTAG_OK)
        ag_log(AG_LOG_WARN, "courier.answer", AG_F_TEXT("errand", "fetch"));
    antag_writer_fini(&w);
}

static const struct errand {
    const char *name;
    enum antag_err failed; /* when there is no libcurl, or the courier ends */
    enum antag_err (*parse)(struct job *j, const msgpack_object *params, struct antag_fault *fault);
    void (*run)(struct job *j);
    void (*answer)(const struct job *j);
} errands[] = {
    {"mail", ANTAG_ERR_MAIL_LATER, parse_mail, run_mail, answer_mail},
    {"fetch", ANTAG_ERR_GATEWAY, parse_fetch, run_fetch, answer_fetch},
};

/* A thread of the pool. */
static void run(uv_work_t *work)
{
    struct job *j = work->data;

    j->errand->run(j);
    OPENSSL_thread_stop(); /* what OpenSSL keeps for this thread; libuv's never say that they end */
}

static void over(uv_work_t *work, int status)
{
    struct job *j = work->data;

    j->c->under_way--;
    if (status != 0)
        j->err = antag_fault_set(&j->fault, j->errand->failed, NULL, "the courier is ending");
    if (j->err == ANTAG_OK) {
        j->errand->answer(j);
    } else {
        ag_log_fault(AG_LOG_WARN, j->answer != NULL ? "gateway.no_answer" : "mail.not_sent",
                     &j->fault);
        ag_chan_refuse(j->chan, j->id, &j->fault);
    }
    job_free(j);
}

/* A host without libcurl has an agent that signs, and mails that wait and say why. */
static enum antag_err need_curl(struct courier *c, const struct errand *e,
                                struct antag_fault *fault)
{
    struct antag_fault why;

    if (!c->has_curl && ag_curl_load(&why) != ANTAG_OK)
        return antag_fault_set(
            fault, e->failed == ANTAG_ERR_GATEWAY ? e->failed : ANTAG_ERR_MAIL_SETUP, NULL,
            "libcurl is needed for this: %.400s; on Debian it is in the "
            "package libcurl4",
            antag_fault_text(&why));
    c->has_curl = true;
    return ANTAG_OK;
}

static const struct errand *find_errand(struct antag_slice name)
{
    for (size_t i = 0; i < sizeof errands / sizeof *errands; i++)
        if (antag_slice_is(name, errands[i].name))
            return &errands[i];
    return NULL;
}

static enum antag_err begin(struct courier *c, struct ag_chan *chan, const struct antag_message *m,
                            struct antag_fault *fault)
{
    const struct errand *e = find_errand(m->name);
    struct job *j;
    enum antag_err err;

    if (e == NULL)
        return antag_fault_set(fault, ANTAG_ERR_UNKNOWN_METHOD, NULL,
                               "the courier takes mail and fetch");
    if (c->under_way >= AT_ONCE)
        return antag_fault_set(fault, ANTAG_ERR_BUSY, NULL, "%d errands are under way", AT_ONCE);
    if ((j = calloc(1, sizeof *j)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for an errand");
    j->c = c;
    j->conf = c->conf;
    j->id = m->id;
    j->errand = e;
    j->work.data = j;
    antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for an errand");
    if ((err = e->parse(j, &m->params, fault)) == ANTAG_OK)
        err = need_curl(c, e, fault);
    if (err == ANTAG_OK && uv_queue_work(ag_role_loop(c->role), &j->work, run, over) != 0)
        err = ANTAG_ERR_NO_MEMORY;
    if (err != ANTAG_OK) {
        job_free(j);
        return err;
    }
    j->chan = ag_chan_hold(chan);
    c->under_way++;
    return ANTAG_OK;
}

static void on_message(struct ag_chan *chan, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    struct antag_fault fault = {0};

    (void)fds;
    if (m->shape == ANTAG_REQUEST && begin(ctx, chan, m, &fault) != ANTAG_OK)
        ag_chan_refuse(chan, m->id, &fault);
}

static void on_closed(struct ag_chan *chan, void *ctx)
{
    struct courier *c = ctx;

    if (c->steward == chan)
        c->steward = NULL;
    ag_chan_close(chan);
}

static const struct ag_chan_ops steward_ops = {.on_message = on_message, .on_closed = on_closed};

/* ---- the role */

static void on_start(struct ag_role *r, const struct ag_role_start *start, void *ctx)
{
    struct courier *c = ctx;

    c->role = r;
    c->conf = start->conf;
    ag_role_ready(r);
}

static void on_peer(struct ag_role *r, enum ag_role_kind peer, const char *name, uint32_t lane,
                    int fd, void *ctx)
{
    struct courier *c = ctx;
    struct ag_chan *old = c->steward, *made = NULL;

    (void)name;
    (void)lane;
    c->role = r;
    if (peer != AG_ROLE_steward) {
        close(fd);
        return;
    }
    if (ag_chan_open(ag_role_loop(r), fd, "steward", &steward_ops, c, &made) != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "peer.open", AG_F_TEXT("peer", "steward"));
        return;
    }
    c->steward = made;
    ag_chan_close(old);
}

static void on_conf(struct ag_role *r, const struct ag_conf *conf, void *ctx)
{
    struct courier *c = ctx;

    (void)r;
    c->conf = *conf;
}

static void on_end(struct ag_role *r, void *ctx)
{
    struct courier *c = ctx;

    ag_chan_close(c->steward);
    c->steward = NULL;
    /* threads that wait for a server would use the loop when it is gone: they end here, with all else */
    if (c->under_way > 0)
        _exit(ag_role_exit_status(r));
}

int ag_courier_main(void)
{
    static const struct ag_role_ops ops = {
        .on_start = on_start, .on_peer = on_peer, .on_conf = on_conf, .on_end = on_end};
    static struct courier c;
    int status = ag_role_run(AG_ROLE_courier, &ops, &c);

    uv_library_shutdown(); /* its threads end before the leak checkers of test builds look */
    ag_curl_end();
    return status;
}
