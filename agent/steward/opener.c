/* opener: a process of its own for each key that comes from outside. The steward forwards the descriptor
 * and sees sealed components and the public half only. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/log.h"
#include "agent/steward/steward.h"

#define ASK_MS    10000 /* for the supervisor to start one */
#define MARGIN_MS 3000  /* over the opener's own deadline */

/* lives on the stack of the thread that asks; in the list by the loop's thread */
struct ag_opener_session {
    struct ag_steward *st;
    int fd;
    struct ag_chan *chan;
    struct ag_opener_session *next;
};

static void on_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    struct antag_fault fault;

    (void)fds;
    (void)ctx;
    if (m->shape != ANTAG_REQUEST)
        return;
    antag_fault_set(&fault, ANTAG_ERR_UNKNOWN_METHOD, NULL, "the steward takes no requests here");
    ag_chan_refuse(c, m->id, &fault);
}

/* The request in flight has got RETRY; its thread closes the channel. */
static void on_closed(struct ag_chan *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

static const struct ag_chan_ops opener_ops = {.on_message = on_message, .on_closed = on_closed};

static void open_session(void *ctx)
{
    struct ag_opener_session *s = ctx;
    bool quit;

    uv_mutex_lock(&s->st->lock);
    quit = s->st->quit;
    uv_mutex_unlock(&s->st->lock);
    if (quit) {
        close(s->fd);
        return;
    }
    if (ag_chan_open(s->st->loop, s->fd, "opener", &opener_ops, NULL, &s->chan) != ANTAG_OK) {
        s->chan = NULL;
        return;
    }
    ag_chan_hold(s->chan);
    s->next = s->st->openers;
    s->st->openers = s;
}

static void close_session(void *ctx)
{
    struct ag_opener_session *s = ctx;

    for (struct ag_opener_session **at = &s->st->openers; *at != NULL; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    ag_chan_close(s->chan);
}

void ag_openers_close(struct ag_steward *st)
{
    for (struct ag_opener_session *s = st->openers; s != NULL; s = s->next)
        ag_chan_close(s->chan);
    st->openers = NULL;
}

/* Has the supervisor start one, for keys of `keyring`, or for the seal (NULL); the descriptor of our end, or -1. */
static int start_opener(struct ag_steward *st, const char *keyring, struct antag_fault *fault)
{
    struct ag_chan *control = ag_role_control(st->role);
    struct ag_reply reply = {0};
    struct antag_writer w;
    uint32_t id = ag_chan_next_id(control);
    int fd = -1;

    antag_writer_init(&w, 1024);
    antag_m_request(&w, id, "opener");
    antag_w_map(&w);
    if (keyring != NULL)
        antag_w_kv_str(&w, "keyring", keyring);
    else
        antag_w_kv_bool(&w, "seal", true);
    antag_w_end(&w);
    antag_m_close(&w);
    if (ag_chan_call(control, id, &w, NULL, 0, ASK_MS, &reply) != ANTAG_OK)
        *fault = reply.fault;
    else if ((fd = ag_fds_take(&reply.fds, 0)) < 0)
        antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the supervisor gave no opener");
    ag_reply_fini(&reply);
    antag_writer_fini(&w);
    return fd;
}

static enum antag_err explain(struct ag_steward *st, const struct antag_fault *said,
                              struct antag_fault *fault)
{
    struct ag_conf conf;

    ag_conf_copy(st, &conf);
    if (said->err == ANTAG_ERR_TIMEOUT)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "the opener did not answer within [opener] deadline_ms (%lld); "
                               "nothing was changed",
                               (long long)conf.opener_deadline_ms);
    if (said->err == ANTAG_ERR_RETRY)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "the opener ended before it answered; nothing was changed, repeat "
                               "the command");
    *fault = *said;
    return said->err;
}

/* A session of its own with an opener; `s` is closed by end_session. */
static enum antag_err begin_session(struct ag_steward *st, const char *keyring,
                                    struct ag_opener_session *s, struct antag_fault *fault)
{
    *s = (struct ag_opener_session){.st = st, .fd = start_opener(st, keyring, fault)};
    if (s->fd < 0)
        return fault->err;
    if (!ag_loop_run(st, open_session, s)) {
        close(s->fd);
        return antag_fault_set(fault, ANTAG_ERR_DRAINING, NULL, "the agent is stopping");
    }
    if (s->chan == NULL)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL, "no channel to the opener");
    return ANTAG_OK;
}

static void end_session(struct ag_opener_session *s)
{
    if (!ag_loop_run(s->st, close_session, s))
        ag_log(AG_LOG_DEBUG, "opener.closed_by_end");
    ag_chan_release(s->chan);
}

static int64_t patience_ms(struct ag_steward *st)
{
    struct ag_conf conf;

    ag_conf_copy(st, &conf);
    return conf.opener_deadline_ms + MARGIN_MS;
}

enum antag_err ag_opener_ask(struct ag_steward *st, const char *keyring, const char *method,
                             const struct ag_keyring_params *p, const int *files, size_t file_count,
                             struct ag_keyring_made *out, struct antag_fault *fault)
{
    struct ag_opener_session s;
    struct ag_reply reply = {0};
    enum antag_err err;

    if ((err = begin_session(st, keyring, &s, fault)) != ANTAG_OK)
        return err;
    err = ag_call_keyring(s.chan, method, p, files, file_count, patience_ms(st), &reply);
    if (err != ANTAG_OK)
        err = explain(st, &reply.fault, fault);
    else if ((err = ag_keyring_made_parse(reply.result, out)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the opener's answer is not of the right form");
    ag_reply_fini(&reply);
    end_session(&s);
    return err;
}

enum antag_err ag_opener_pin(struct ag_steward *st, const char *keyring, int pin_fd,
                             uint8_t out[AG_PIN_SEALED_MAX], size_t *len, struct antag_fault *fault)
{
    struct ag_opener_session s;
    struct ag_reply reply = {0};
    struct antag_slice sealed = {NULL, 0};
    enum antag_err err;

    if ((err = begin_session(st, keyring, &s, fault)) != ANTAG_OK)
        return err;
    err = ag_call_keyring(s.chan, "seal_pin", NULL, &pin_fd, 1, patience_ms(st), &reply);
    if (err != ANTAG_OK)
        err = explain(st, &reply.fault, fault);
    else if ((err = ag_keyring_sealed_parse(reply.result, &sealed)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the opener's answer is not of the right form");
    else
        memcpy(out, sealed.p, sealed.len);
    *len = sealed.len;
    ag_reply_fini(&reply);
    end_session(&s);
    return err;
}

enum antag_err ag_opener_seal(struct ag_steward *st, const char *method,
                              const struct ag_sealing *ask, int passphrase_fd,
                              struct ag_sealing *out, struct antag_fault *fault)
{
    struct ag_opener_session s;
    struct ag_reply reply = {0};
    struct antag_writer w;
    enum antag_err err;
    uint32_t id;

    if ((err = begin_session(st, NULL, &s, fault)) != ANTAG_OK)
        return err;
    id = ag_chan_next_id(s.chan);
    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_request(&w, id, method);
    ag_sealing_write(&w, ask);
    antag_m_close(&w);
    err = ag_chan_call(s.chan, id, &w, &passphrase_fd, passphrase_fd >= 0 ? 1 : 0, patience_ms(st),
                       &reply);
    if (err != ANTAG_OK)
        err = explain(st, &reply.fault, fault);
    else
        err = ag_sealing_parse(reply.result, out, fault);
    ag_reply_fini(&reply);
    antag_writer_fini(&w);
    end_session(&s);
    return err;
}
