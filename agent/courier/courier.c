/* courier: the only role that speaks to the network. It gets whole mails from the steward and says what came of
 * each; it keeps nothing, and a server that hangs or lies costs it a thread for [mail] timeout_ms. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "agent/courier/curl.h"
#include "agent/courier/smtp.h"
#include "agent/lib/edges/mailing.h"
#include "agent/lib/log.h"
#include "agent/lib/role.h"

#define AT_ONCE 4 /* mails; as many threads as libuv's pool has */

struct courier {
    struct ag_role *role;
    struct ag_conf conf;
    struct ag_chan *steward; /* NULL: not there */
    bool has_curl;           /* loaded with the first mail */
    unsigned under_way;
};

struct job {
    uv_work_t work;
    struct courier *c;
    struct ag_chan *chan; /* held: the one that asked */
    uint32_t id;
    struct ag_conf conf;            /* as it was when it was asked for */
    struct antag_slice to, message; /* within `bytes` */
    uint8_t *bytes;
    enum antag_err err;
    struct antag_fault fault;
};

static void job_free(struct job *j)
{
    if (j->chan != NULL)
        ag_chan_release(j->chan);
    free(j->bytes);
    free(j);
}

/* A thread of the pool. */
static void send_mail(uv_work_t *work)
{
    struct job *j = work->data;

    j->err = ag_smtp_send(&j->conf, j->to, j->message, &j->fault);
    OPENSSL_thread_stop(); /* what OpenSSL keeps for this thread; libuv's never say that they end */
}

static void mail_over(uv_work_t *work, int status)
{
    struct job *j = work->data;

    j->c->under_way--;
    if (status != 0)
        j->err = antag_fault_set(&j->fault, ANTAG_ERR_MAIL_LATER, NULL, "the courier is ending");
    if (j->err != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "mail.not_sent", &j->fault);
    if (j->err == ANTAG_OK)
        ag_chan_answer_ok(j->chan, j->id);
    else
        ag_chan_refuse(j->chan, j->id, &j->fault);
    job_free(j);
}

/* What is sent must outlive the message it came in. */
static enum antag_err keep(struct job *j, const struct ag_mailing *m)
{
    if ((j->bytes = malloc(m->to.len + m->message.len)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    memcpy(j->bytes, m->to.p, m->to.len);
    memcpy(j->bytes + m->to.len, m->message.p, m->message.len);
    j->to = (struct antag_slice){j->bytes, m->to.len};
    j->message = (struct antag_slice){j->bytes + m->to.len, m->message.len};
    return ANTAG_OK;
}

/* A host without libcurl has an agent that signs, and mails that wait and say why. */
static enum antag_err need_curl(struct courier *c, struct antag_fault *fault)
{
    struct antag_fault why;

    if (!c->has_curl && ag_curl_load(&why) != ANTAG_OK)
        return antag_fault_set(fault, ANTAG_ERR_MAIL_SETUP, NULL,
                               "libcurl is needed to send mail: %.400s; on Debian it is in the "
                               "package libcurl4",
                               antag_fault_text(&why));
    c->has_curl = true;
    return ANTAG_OK;
}

static enum antag_err begin(struct courier *c, struct ag_chan *chan, const struct antag_message *m,
                            struct antag_fault *fault)
{
    struct ag_mailing mailing;
    struct job *j;
    enum antag_err err;

    if (!antag_slice_is(m->name, "mail"))
        return antag_fault_set(fault, ANTAG_ERR_UNKNOWN_METHOD, NULL, "the courier takes mail");
    if ((err = ag_mailing_parse(&m->params, &mailing, fault)) != ANTAG_OK)
        return err;
    if ((err = need_curl(c, fault)) != ANTAG_OK)
        return err;
    if (c->under_way >= AT_ONCE)
        return antag_fault_set(fault, ANTAG_ERR_BUSY, NULL, "%d mails are under way", AT_ONCE);
    if ((j = calloc(1, sizeof *j)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a mail");
    j->c = c;
    j->conf = c->conf;
    j->id = m->id;
    j->work.data = j;
    if ((err = keep(j, &mailing)) != ANTAG_OK ||
        uv_queue_work(ag_role_loop(c->role), &j->work, send_mail, mail_over) != 0) {
        job_free(j);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a mail");
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
