/* post: the thread that hands mails to the courier and writes down what came of each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/backoff.h"
#include "agent/lib/clock.h"
#include "agent/lib/edges/mailing.h"
#include "agent/lib/log.h"
#include "agent/steward/outbox_internal.h"
#include "agent/steward/side.h"

#define READ_AGAIN_MS    15000 /* when the registry could not be read */
#define NO_COURIER_MS    500
#define COURIER_EXTRA_MS 10000 /* that its answer may take beyond the mail server's time */
#define HEADERS_MAX      600

/* ---- one mail */

/* The whole message: what the row has, behind sender and date. *out: free. */
static enum antag_err make_message(struct ag_steward *st, const struct ag_conf *conf,
                                   const struct ag_row_mail *row, struct ag_secret **out,
                                   struct antag_fault *fault)
{
    struct ag_secret *key, *text = NULL;
    char date[AG_MAILTEXT_DATE], headers[HEADERS_MAX];
    enum antag_err err = ANTAG_ERR_LOCKED;
    size_t n;

    key = ag_seal_key(st);
    if (key != NULL)
        err = ag_unseal(key, antag_slice_of(row->message_id),
                        (struct antag_slice){row->sealed, row->sealed_len}, &text);
    ag_secret_free(key);
    if (err != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, "mail %llu cannot be opened",
                               (unsigned long long)row->id);
    ag_mailtext_date(row->created_at_ms, date);
    n = (size_t)snprintf(headers, sizeof headers, "From: antom-agent <%s>\r\nDate: %s\r\n",
                         conf->mail_from, date);
    if ((*out = ag_secret_new(n + ag_secret_len(text))) == NULL) {
        ag_secret_free(text);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a mail");
    }
    memcpy(ag_secret_bytes(*out), headers, n);
    memcpy(ag_secret_bytes(*out) + n, ag_secret_bytes(text), ag_secret_len(text));
    ag_secret_set_len(*out, n + ag_secret_len(text));
    ag_secret_free(text);
    return ANTAG_OK;
}

static enum antag_err ask_courier(struct ag_chan *c, const struct ag_conf *conf, const char *to,
                                  const struct ag_secret *message, struct antag_fault *fault)
{
    struct ag_mailing m = {.to = antag_slice_of(to), .message = ag_secret_slice(message)};
    uint32_t id = ag_chan_next_id(c);
    struct ag_reply reply = {0};
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_request(&w, id, "mail");
    ag_mailing_write(&w, &m);
    antag_m_close(&w);
    err = ag_chan_call(c, id, &w, NULL, 0, conf->mail_timeout_ms + COURIER_EXTRA_MS, &reply);
    if (err != ANTAG_OK)
        *fault = reply.fault;
    ag_reply_fini(&reply);
    antag_writer_fini(&w);
    return err;
}

static int64_t backoff_ms(struct ag_steward *st, uint32_t attempts)
{
    struct ag_conf conf;

    ag_conf_copy(st, &conf);
    return ag_backoff_ms(conf.mail_retry_ms, attempts, AG_OUTBOX_BACKOFF_MAX_MS);
}

/* The code holds from now on. A code that is gone needs nothing. */
static enum antag_err note_code_sent(struct ag_txn *t, uint64_t code_id, struct antag_fault *fault)
{
    struct ag_row_code code;
    enum antag_err err = ag_registry_get_code(t->st->reg, code_id, &code, fault);

    if (err != ANTAG_OK)
        return err == ANTAG_ERR_NOT_FOUND ? ANTAG_OK : err;
    code.sent_at_ms = t->life.now_ms;
    code.sent_observed_ms = t->life.observed_ms;
    return ag_registry_put_code(t->st->reg, &code, fault);
}

static enum antag_err write_outcome(struct ag_txn *t, struct ag_row_mail *row,
                                    enum antag_err outcome, const struct antag_fault *why,
                                    struct antag_fault *fault)
{
    bool sent = outcome == ANTAG_OK, refused = outcome == ANTAG_ERR_MAIL_REFUSED;
    enum antag_err err;

    row->attempts++;
    if (!sent)
        snprintf(row->error, sizeof row->error, "%.*s", ANTAG_TEXT_MAX, antag_fault_text(why));
    if (sent || refused)
        ag_txn_deed(t, ag_actor_agent, sent ? "agent.mail_sent" : "agent.mail_refused", "", 0,
                    "mail %llu to %s: %s", (unsigned long long)row->id, row->rcpt, row->subject);
    err = sent || refused ? ag_txn_write(t, fault) : ag_txn_write_quiet(t, fault);
    if (err != ANTAG_OK)
        return err;
    if (sent && row->code_id != 0 && (err = note_code_sent(t, row->code_id, fault)) != ANTAG_OK)
        return err;
    if (sent || refused)
        err = ag_outbox_end(t, row, sent ? AG_MAIL_SENT : AG_MAIL_REFUSED, fault);
    else {
        row->next_at_ms = t->life.now_ms + backoff_ms(t->st, row->attempts);
        err = ag_registry_put_mail(t->st->reg, row, fault);
    }
    return err;
}

static enum antag_err remove_old(struct ag_txn *t, struct antag_fault *fault)
{
    struct ag_outbox_look l;
    enum antag_err err;

    while ((err = ag_outbox_look(t->st, 0, &l, fault)) == ANTAG_OK && l.old_id != 0)
        if ((err = ag_registry_delete_mail(t->st->reg, l.old_id, fault)) != ANTAG_OK)
            break;
    return err;
}

static void settle(struct ag_steward *st, uint64_t era, uint64_t id, enum antag_err outcome,
                   const struct antag_fault *why)
{
    struct ag_row_mail *row = calloc(1, sizeof *row);
    struct antag_fault fault = {.err = ANTAG_ERR_NO_MEMORY};
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, era, &t, &fault);

    if (err == ANTAG_OK && row == NULL)
        err = ANTAG_ERR_NO_MEMORY;
    if (err == ANTAG_OK)
        err = ag_registry_get_mail(st->reg, id, row, &fault);
    if (err == ANTAG_OK && row->state == AG_MAIL_QUEUED) { /* else it was dropped meanwhile */
        if ((err = write_outcome(&t, row, outcome, why, &fault)) == ANTAG_OK &&
            (err = remove_old(&t, &fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, &fault);
    }
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "mail.outcome", &fault);
    ag_txn_end(&t);
    free(row);
}

/* The next mail that is due, ready to be sent. *next_ms: how long to wait when there is none; -1: for a kick. */
struct due {
    uint64_t era, id;
    char to[ANTAG_TEXT_MAX + 1];
    struct ag_secret *message; /* NULL: none is due */
};

static enum antag_err find_due(struct ag_steward *st, const struct ag_conf *conf, struct due *out,
                               int64_t *wait_ms, struct antag_fault *fault)
{
    struct ag_row_mail *row = calloc(1, sizeof *row);
    struct ag_outbox_look l = {0};
    enum antag_err err = row == NULL ? ANTAG_ERR_NO_MEMORY : ANTAG_OK;

    *wait_ms = -1;
    uv_mutex_lock(&st->reg_lock);
    if (err == ANTAG_OK && st->reg != NULL)
        err = ag_outbox_look(st, 0, &l, fault);
    uv_mutex_lock(&st->lock);
    st->waiting.mail_queued = l.sum.queued;
    st->waiting.mail_refused = l.sum.refused;
    st->waiting.mail_oldest_ms = l.sum.oldest_ms;
    uv_mutex_unlock(&st->lock);
    if (err == ANTAG_OK && l.due_id != 0 &&
        (err = ag_registry_get_mail(st->reg, l.due_id, row, fault)) == ANTAG_OK &&
        (err = make_message(st, conf, row, &out->message, fault)) == ANTAG_OK) {
        out->era = st->era;
        out->id = row->id;
        snprintf(out->to, sizeof out->to, "%s", row->rcpt);
    } else if (l.sum.queued > 0) {
        *wait_ms = l.next_ms - l.now_ms;
    }
    uv_mutex_unlock(&st->reg_lock);
    free(row);
    return err;
}

/* Returns how long to wait for more; 0: look again at once; -1: until something is kicked. */
static int64_t send_one(struct ag_steward *st)
{
    struct antag_fault fault = {0};
    struct due due = {0};
    struct ag_chan *c = NULL;
    struct ag_conf conf;
    int64_t wait_ms;
    enum antag_err err;

    ag_conf_copy(st, &conf);
    if (find_due(st, &conf, &due, &wait_ms, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "mail.next", &fault);
        return READ_AGAIN_MS;
    }
    if (due.message == NULL)
        return wait_ms;
    if ((c = ag_courier_hold(st)) == NULL) {
        ag_secret_free(due.message);
        return NO_COURIER_MS;
    }
    err = ask_courier(c, &conf, due.to, due.message, &fault);
    ag_chan_release(c);
    ag_secret_free(due.message);
    settle(st, due.era, due.id, err, &fault);
    return 0;
}

/* ---- the thread */

static enum antag_err make_due(const struct ag_row_mail *row, void *ctx)
{
    struct ag_txn *t = ctx;
    struct ag_row_mail *next;
    enum antag_err err;

    if (row->state != AG_MAIL_QUEUED || row->next_at_ms <= t->life.now_ms)
        return ANTAG_OK;
    if ((next = malloc(sizeof *next)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    *next = *row;
    next->next_at_ms = t->life.now_ms;
    err = ag_registry_put_mail(t->st->reg, next, NULL);
    free(next);
    return err;
}

static void make_all_due(struct ag_steward *st)
{
    struct antag_fault fault = {0};
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, &fault)) == ANTAG_OK &&
        (err = ag_txn_write_quiet(&t, &fault)) == ANTAG_OK &&
        (err = ag_registry_each_mail(st->reg, make_due, &t, &fault)) == ANTAG_OK)
        err = ag_txn_commit(&t, &fault);
    if (err != ANTAG_OK && err != ANTAG_ERR_LOCKED)
        ag_log_fault(AG_LOG_WARN, "mail.due", &fault);
    ag_txn_end(&t);
}

static int64_t pass(struct ag_steward *st)
{
    if (atomic_exchange(&st->mail_again, false))
        make_all_due(st);
    return send_one(st);
}

enum antag_err ag_outbox_start(struct ag_steward *st)
{
    return ag_side_start(st, pass, &st->outbox);
}

void ag_outbox_kick(struct ag_steward *st)
{
    ag_side_kick(st->outbox);
}

void ag_outbox_again(struct ag_steward *st)
{
    atomic_store(&st->mail_again, true);
    ag_side_kick(st->outbox);
}

void ag_outbox_join(struct ag_steward *st)
{
    ag_side_join(st->outbox);
    st->outbox = NULL;
}
