#include "agent/steward/outbox_internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/clock.h"
#include "agent/steward/record.h"

#define KEEP_MS (INT64_C(7) * 24 * 60 * 60 * 1000) /* rows of mails that are over */

/* ---- putting */

/* Unique, and the same for ever: it stands in the row. */
static void make_message_id(const struct ag_conf *conf, char out[AG_MAIL_ID_MAX + 1])
{
    const char *at = strrchr(conf->mail_from, '@');
    uint8_t random[16];
    char hex[33];

    ag_random(random, sizeof random);
    sodium_bin2hex(hex, sizeof hex, random, sizeof random);
    snprintf(out, AG_MAIL_ID_MAX + 1, "%s@%.90s", hex, at != NULL ? at + 1 : "antom-agent.invalid");
}

static enum antag_err seal_text(struct ag_steward *st, const char *text, size_t len,
                                struct ag_row_mail *row, struct antag_fault *fault)
{
    struct ag_secret *plain = ag_secret_new(len), *key;
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    key = ag_seal_key(st);
    if (plain != NULL && key != NULL) {
        memcpy(ag_secret_bytes(plain), text, len);
        ag_secret_set_len(plain, len);
        err = ag_seal(key, antag_slice_of(row->message_id), plain, row->sealed, sizeof row->sealed,
                      &row->sealed_len);
    }
    ag_secret_free(plain);
    ag_secret_free(key);
    return err == ANTAG_OK ? err : antag_fault_set(fault, err, NULL, "a mail cannot be sealed");
}

static void head_text(struct ag_steward *st, char out[96])
{
    struct ag_chain_status status;
    char hex[AG_LINE_HEX];

    out[0] = '\0';
    if (!ag_record_status(st, &status) || status.seq == 0)
        return;
    ag_line_hash_text(status.hash, hex);
    snprintf(out, 96, "%s:%llu %s", AG_RECORD_CHAIN, (unsigned long long)status.seq, hex);
}

enum antag_err ag_outbox_put(struct ag_txn *t, const struct ag_mailtext *m, uint64_t code_id,
                             struct antag_fault *fault)
{
    struct ag_row_mail *row = calloc(1, sizeof *row);
    char text[AG_MAILTEXT_MAX], head[96];
    struct ag_mailtext whole = *m;
    struct ag_conf conf;
    enum antag_err err;
    size_t len = 0;

    if (row == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a mail");
    ag_conf_copy(t->st, &conf);
    make_message_id(&conf, row->message_id);
    head_text(t->st, head);
    whole.message_id = row->message_id;
    whole.head = head[0] != '\0' ? head : NULL;
    snprintf(row->rcpt, sizeof row->rcpt, "%s", m->to);
    snprintf(row->subject, sizeof row->subject, "%s", m->subject);
    row->code_id = code_id;
    row->created_at_ms = row->next_at_ms = row->state_at_ms = t->life.now_ms;
    err = ag_mailtext_render(&whole, text, sizeof text, &len, fault);
    if (err == ANTAG_OK)
        err = seal_text(t->st, text, len, row, fault);
    if (err == ANTAG_OK)
        err = ag_registry_put_mail(t->st->reg, row, fault);
    ag_secret_wipe(text, sizeof text);
    free(row);
    t->mailed = true;
    return err;
}

void ag_outbox_command(const struct ag_steward *st, char out[AG_OUTBOX_COMMAND_MAX],
                       const char *words)
{
    snprintf(out, AG_OUTBOX_COMMAND_MAX, "antomctl %s%s%s%s", st->home.system ? "" : "--home ",
             st->home.system ? "" : st->home.dir, st->home.system ? "" : " ", words);
}

/* ---- looking through the rows */

/* A time that lies further ahead than any back-off comes from a clock that was set back: due. */
static bool is_due(const struct ag_row_mail *row, int64_t now_ms)
{
    return row->next_at_ms <= now_ms || row->next_at_ms - now_ms > AG_OUTBOX_BACKOFF_MAX_MS;
}

static void look_at_queued(const struct ag_row_mail *row, struct ag_outbox_look *l)
{
    if (l->code_id != 0 && row->code_id == l->code_id)
        l->waiting_id = row->id;
    if (is_due(row, l->now_ms)) {
        if (l->due_id == 0)
            l->due_id = row->id;
    } else if (row->next_at_ms < l->next_ms) {
        l->next_ms = row->next_at_ms;
    }
    if (l->sum.queued++ == 0 || row->created_at_ms < l->sum.oldest_ms)
        l->sum.oldest_ms = row->created_at_ms;
    if (row->error[0] != '\0')
        snprintf(l->sum.error, sizeof l->sum.error, "%s", row->error);
}

static enum antag_err look_at(const struct ag_row_mail *row, void *ctx)
{
    struct ag_outbox_look *l = ctx;

    if (row->state == AG_MAIL_QUEUED)
        look_at_queued(row, l);
    else if (l->now_ms - row->state_at_ms > KEEP_MS)
        l->old_id = row->id;
    l->sum.refused += row->state == AG_MAIL_REFUSED;
    return ANTAG_OK;
}

enum antag_err ag_outbox_look(struct ag_steward *st, uint64_t code_id, struct ag_outbox_look *out,
                              struct antag_fault *fault)
{
    *out = (struct ag_outbox_look){
        .now_ms = ag_clock_wall_ms(), .code_id = code_id, .next_ms = INT64_MAX};
    return ag_registry_each_mail(st->reg, look_at, out, fault);
}

enum antag_err ag_outbox_sum(struct ag_steward *st, struct ag_outbox_sum *out,
                             struct antag_fault *fault)
{
    struct ag_outbox_look l;
    enum antag_err err = ag_outbox_look(st, 0, &l, fault);

    *out = l.sum;
    return err;
}

/* A mail that is over has no text any more. */
enum antag_err ag_outbox_end(struct ag_txn *t, struct ag_row_mail *row, enum ag_mail_state state,
                             struct antag_fault *fault)
{
    row->state = state;
    row->state_at_ms = t->life.now_ms;
    ag_secret_wipe(row->sealed, sizeof row->sealed);
    row->sealed_len = 0;
    return ag_registry_put_mail(t->st->reg, row, fault);
}

enum antag_err ag_outbox_drop_code(struct ag_txn *t, uint64_t code_id, struct antag_fault *fault)
{
    struct ag_row_mail *row = calloc(1, sizeof *row);
    struct ag_outbox_look l;
    enum antag_err err = row == NULL ? ANTAG_ERR_NO_MEMORY : ANTAG_OK;

    for (bool more = true; err == ANTAG_OK && more;) {
        if ((err = ag_outbox_look(t->st, code_id, &l, fault)) != ANTAG_OK)
            break;
        more = l.waiting_id != 0;
        if (more && (err = ag_registry_get_mail(t->st->reg, l.waiting_id, row, fault)) == ANTAG_OK)
            err = ag_outbox_end(t, row, AG_MAIL_DROPPED, fault);
    }
    free(row);
    return err;
}
