/* op_seal: how the root key is sealed, and changing that. The new seal is made by an opener before anything is decided,
 * stands in the registry with the decision, and replaces root.seal afterwards: a crash in between leaves the old one,
 * which opens, and the registry says what is left to do. */
#include <stdio.h>
#include <string.h>

#include "agent/core/pcrs.h"
#include "agent/core/sealtype.h"
#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/steward/alter.h"
#include "agent/steward/changes.h"
#include "agent/steward/deeds.h"

#define AGAIN_MS 30000

/* ---- the row */

static enum antag_err visit(const struct ag_row_seal *row, void *ctx)
{
    *(struct ag_row_seal *)ctx = *row;
    return ANTAG_OK;
}

/* id 0: the seal is the one that init made. */
static enum antag_err find(struct ag_registry *reg, struct ag_row_seal *out,
                           struct antag_fault *fault)
{
    *out = (struct ag_row_seal){.id = 0};
    return ag_registry_each_seal(reg, visit, out, fault);
}

/* ---- replacing root.seal */

static enum antag_err look(struct ag_steward *st, struct ag_row_seal *row,
                           struct antag_fault *fault)
{
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = find(st->reg, row, fault)) == ANTAG_OK && t.book->behind != 0)
        row->pending = false; /* an older registry: what it wanted may be long over */
    ag_txn_end(&t);
    return err;
}

static enum antag_err note_done(struct ag_steward *st, const struct ag_row_seal *done,
                                struct antag_fault *fault)
{
    struct ag_row_seal row;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = find(st->reg, &row, fault)) == ANTAG_OK && row.pending && row.at_ms == done->at_ms &&
        strcmp(row.type, done->type) == 0) {
        row.pending = false;
        row.bytes_len = 0;
        if ((err = ag_txn_write_quiet(&t, fault)) == ANTAG_OK &&
            (err = ag_registry_put_seal(st->reg, &row, fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, fault);
    }
    ag_txn_end(&t);
    return err;
}

static enum antag_err apply(struct ag_steward *st, struct antag_fault *fault)
{
    struct ag_sealing ask = {.opens = false}, said;
    struct ag_row_seal row;
    enum antag_err err = look(st, &row, fault);

    if (err != ANTAG_OK || !row.pending)
        return err;
    snprintf(ask.type, sizeof ask.type, "%s", row.type);
    ask.bytes_len = row.bytes_len;
    memcpy(ask.bytes, row.bytes, row.bytes_len);
    if ((err = ag_opener_seal(st, "seal_write", &ask, -1, &said, fault)) != ANTAG_OK)
        return err;
    ag_log(AG_LOG_INFO, "seal.replaced", AG_F_TEXT("type", row.type));
    return note_done(st, &row, fault);
}

enum antag_err ag_seal_apply(struct ag_steward *st, struct antag_fault *fault)
{
    enum antag_err err;

    uv_mutex_lock(&st->seal_lock);
    err = apply(st, fault);
    uv_mutex_unlock(&st->seal_lock);
    atomic_store(&st->seal_waits, err != ANTAG_OK);
    return err;
}

/* The driver's alone. */
void ag_seal_pass(struct ag_steward *st, int64_t *next_ms)
{
    static int64_t due_ms;
    int64_t now_ms = ag_clock_mono_ms();
    struct antag_fault fault;

    if (!atomic_load(&st->seal_waits))
        return;
    if (now_ms >= due_ms && ag_seal_apply(st, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "seal.not_replaced", &fault);
        due_ms = now_ms + AGAIN_MS;
    }
    if (atomic_load(&st->seal_waits) && due_ms < *next_ms)
        *next_ms = due_ms;
}

/* ---- looking */

static void render(struct antag_writer *w, struct ag_steward *st, const struct ag_row_seal *row,
                   const struct ag_sealing *now, bool by_recovery)
{
    char pcrs[AG_PCRS_TEXT];

    ag_pcrs_text(now->pcrs, pcrs);
    antag_w_map(w);
    antag_w_kv_str(w, "type", now->type);
    antag_w_kv_str(w, "path", st->home.seal);
    if (now->pcrs != 0)
        antag_w_kv_str(w, "pcrs", pcrs);
    antag_w_kv_bool(w, "opens", now->opens);
    antag_w_kv_str(w, "why", now->why);
    antag_w_kv_bool(w, "by_recovery", by_recovery);
    antag_w_kv_bool(w, "pending", row->pending);
    if (row->id != 0) {
        antag_w_kv_int(w, "since_ms", row->at_ms);
        antag_w_kv_uint(w, "uid", row->uid);
    }
    antag_w_end(w);
}

enum antag_err ag_op_seal_show(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                               struct antag_fault *fault)
{
    const struct ag_sealing ask = {.opens = false};
    struct ag_sealing now;
    struct ag_row_seal row;
    char name[32];
    bool by_recovery;
    enum antag_err err;

    (void)op;
    if ((err = look(st, &row, fault)) != ANTAG_OK ||
        (err = ag_opener_seal(st, "seal_check", &ask, -1, &now, fault)) != ANTAG_OK)
        return err;
    ag_seal_name(st, name, &by_recovery);
    render(w, st, &row, &now, by_recovery);
    return ANTAG_OK;
}

/* ---- changing */

static void put_number(uint8_t out[4], uint32_t n)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t get_number(const uint8_t in[4])
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static enum antag_err read_params(const struct ag_task *op, struct ag_sealing *ask,
                                  struct antag_fault *fault)
{
    const struct antag_seal_change_params *p = op->params;
    enum ag_seal_kind kind = ag_seal_type_of(p->type.v);

    if (kind == AG_SEAL_KINDS)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "type",
                               "a seal is file, passphrase, credential or tpm, not \"%.*s\"",
                               (int)p->type.v.len, (const char *)p->type.v.p);
    (void)antag_slice_copy(p->type.v, ask->type, sizeof ask->type);
    if (p->pcrs.set && kind != AG_SEAL_TPM)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pcrs", "PCRs go with a tpm seal");
    return p->pcrs.set ? ag_pcrs_parse(p->pcrs.v, &ask->pcrs, fault) : ANTAG_OK;
}

/* Has the seal made; of an approved change that was done when it was opened. A file seal is the root key in clear, so it is
 * only made where it is written. */
static enum antag_err make(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    struct ag_sealing ask = {.opens = false}, made;
    char name[32];
    enum antag_err err;
    int file = -1;

    ag_seal_name(st, name, NULL);
    snprintf(op->was, sizeof op->was, "%.*s", AG_SEAL_NAME_MAX, name);
    if ((err = read_params(op, &ask, fault)) != ANTAG_OK || op->sealed_len > 0)
        return err;
    if (op->file_count > 0)
        file = op->files[0];
    if (strcmp(ask.type, "file") == 0)
        return file < 0 ? ANTAG_OK
                        : antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                                          "a file seal takes no passphrase");
    if ((err = ag_opener_seal(st, "seal_make", &ask, file, &made, fault)) != ANTAG_OK)
        return err;
    put_number(op->sealed, made.pcrs);
    memcpy(op->sealed + 4, made.bytes, made.bytes_len);
    op->sealed_len = 4 + made.bytes_len;
    return ANTAG_OK;
}

static void in_words(const char *type, uint32_t pcrs, char out[96])
{
    char text[AG_PCRS_TEXT];

    ag_pcrs_text(pcrs, text);
    snprintf(out, 96, "%s%s%s", type, pcrs != 0 ? ", PCR " : "", text);
}

static enum antag_err change(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                             struct antag_fault *fault)
{
    const struct antag_seal_change_params *p = op->params;
    bool accepted = p->accept_file_seal.set && p->accept_file_seal.v;
    struct ag_row_seal row;
    char is[96];
    enum antag_err err = find(t->st->reg, &row, fault);

    (void)w; /* answered when root.seal is replaced */
    if (err != ANTAG_OK)
        return err;
    if (t->book->behind != 0)
        return antag_fault_set(
            fault, ANTAG_ERR_ROLLED_BACK, NULL,
            "the registry is older than the record; the seal is not changed before "
            "`antomctl registry confirm`");
    if (op->sealed_len == 0 && ag_any_launched(t->book) && !accepted)
        return antag_fault_set(
            fault, ANTAG_ERR_LAUNCH, "accept_file_seal",
            "an application is launched, and under a file seal whoever copies the "
            "disk has its keys; accept that with --accept-file-seal");
    (void)antag_slice_copy(p->type.v, row.type, sizeof row.type);
    row.pcrs = op->sealed_len > 0 ? get_number(op->sealed) : 0;
    row.bytes_len = op->sealed_len > 0 ? op->sealed_len - 4 : 0;
    memcpy(row.bytes, op->sealed + 4, row.bytes_len);
    row.pending = true;
    row.uid = op->uid;
    row.at_ms = t->life.now_ms;
    in_words(row.type, row.pcrs, is);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, "", 0, "root key: %s, was %s", is, op->was);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_alter_note(t, "root key: sealed by", op->was, is);
    return ag_registry_put_seal(t->st->reg, &row, fault);
}

enum antag_err ag_op_seal_change(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    static const struct ag_deed_row row = {.prepare = make, .act = change};
    char text[ANTAG_FAULT_TEXT_MAX + 1];
    enum antag_err err = ag_deed_run(st, op, &row, w, fault);

    if (err != ANTAG_OK || op->opened != 0 || (op->run != NULL && op->run->only_try))
        return err;
    if ((err = ag_seal_apply(st, fault)) != ANTAG_OK) {
        snprintf(text, sizeof text, "%s", antag_fault_text(fault));
        return antag_fault_set(
            fault, err, NULL,
            "the change is recorded, but root.seal could not be replaced: %s; the "
            "old one goes on opening, and it is tried again every %d s",
            text, AGAIN_MS / 1000);
    }
    return ag_op_seal_show(st, op, w, fault);
}
