#include "agent/steward/codes.h"

#include <stdio.h>
#include <string.h>

#include "agent/steward/outbox.h"

#define HASHED "antom-agent code 1"

static struct ag_onecode_time now_of(const struct ag_txn *t)
{
    return (struct ag_onecode_time){t->life.now_ms, t->life.observed_ms};
}

enum antag_err ag_code_hash(struct ag_steward *st, const struct ag_code_for *who,
                            const char code[AG_ONECODE_CHARS + 1], uint8_t out[AG_CODE_HASH_LEN],
                            struct antag_fault *fault)
{
    char text[128];
    struct ag_secret *key;
    int n = snprintf(text, sizeof text, "%s\n%u\n%llu\n%s", HASHED, (unsigned)who->uid,
                     (unsigned long long)who->change_id, code);

    key = ag_code_key(st);
    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no key for codes");
    ag_mac(key, (struct antag_slice){(const uint8_t *)text, (size_t)n}, out);
    ag_secret_free(key);
    ag_secret_wipe(text, sizeof text);
    return ANTAG_OK;
}

/* ---- the row of a person and purpose */

struct find {
    const struct ag_code_for *who;
    struct ag_row_code *out;
};

static enum antag_err compare(const struct ag_row_code *row, void *ctx)
{
    struct find *f = ctx;

    if (row->uid == f->who->uid && row->change_id == f->who->change_id)
        *f->out = *row;
    return ANTAG_OK;
}

/* out->id 0: there is none. */
static enum antag_err find(struct ag_txn *t, const struct ag_code_for *who, struct ag_row_code *out,
                           struct antag_fault *fault)
{
    struct find f = {who, out};

    memset(out, 0, sizeof *out);
    return ag_registry_each_code(t->st->reg, compare, &f, fault);
}

/* ---- issuing */

static enum antag_err replace_old(struct ag_txn *t, const struct ag_row_code *old,
                                  struct antag_fault *fault)
{
    int64_t age = t->life.observed_ms - old->made_observed_ms;
    enum antag_err err;

    if (old->id == 0)
        return ANTAG_OK;
    if (age < AG_ONECODE_RESEND_MS) {
        err = antag_fault_set(fault, ANTAG_ERR_BUSY, NULL,
                              "a code was mailed to %s %lld s ago; a new one can be had after a "
                              "minute",
                              old->mail, (long long)(age / 1000));
        if (fault != NULL)
            fault->retry_after_ms = AG_ONECODE_RESEND_MS - age;
        return err;
    }
    if ((err = ag_outbox_drop_code(t, old->id, fault)) != ANTAG_OK)
        return err;
    return ag_registry_delete_code(t->st->reg, old->id, fault);
}

enum antag_err ag_code_issue(struct ag_txn *t, const struct ag_code_for *who, const char *mail,
                             char shown[AG_ONECODE_TEXT], uint64_t *code_id,
                             struct antag_fault *fault)
{
    uint8_t random[AG_ONECODE_RANDOM];
    char code[AG_ONECODE_CHARS + 1];
    struct ag_row_code row;
    enum antag_err err;

    if ((err = find(t, who, &row, fault)) != ANTAG_OK ||
        (err = replace_old(t, &row, fault)) != ANTAG_OK)
        return err;
    row = (struct ag_row_code){.uid = who->uid,
                               .change_id = who->change_id,
                               .made_at_ms = t->life.now_ms,
                               .made_observed_ms = t->life.observed_ms,
                               .hash_len = AG_CODE_HASH_LEN};
    snprintf(row.mail, sizeof row.mail, "%s", mail);
    ag_random(random, sizeof random);
    ag_onecode_make(random, code);
    ag_onecode_show(code, shown);
    err = ag_code_hash(t->st, who, code, row.hash, fault);
    ag_secret_wipe(code, sizeof code);
    ag_secret_wipe(random, sizeof random);
    if (err == ANTAG_OK)
        err = ag_registry_put_code(t->st->reg, &row, fault);
    *code_id = row.id;
    return err;
}

/* ---- entering */

static bool holds(const struct ag_txn *t, const struct ag_row_code *row)
{
    return ag_onecode_holds((struct ag_onecode_time){row->made_at_ms, row->made_observed_ms},
                            (struct ag_onecode_time){row->sent_at_ms, row->sent_observed_ms},
                            now_of(t));
}

static enum antag_err may_try(const struct ag_txn *t, const struct ag_code_for *who,
                              const struct ag_row_code *row, struct antag_fault *fault)
{
    if (row->id == 0)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "code",
                               "no code was mailed to uid %u for this", (unsigned)who->uid);
    if (row->attempts >= AG_ONECODE_TRIES)
        return antag_fault_set(fault, ANTAG_ERR_CODE_EXPIRED, "code",
                               "it was entered wrongly %d times; ask for a new code",
                               AG_ONECODE_TRIES);
    if (!holds(t, row))
        return antag_fault_set(fault, ANTAG_ERR_CODE_EXPIRED, "code",
                               "it held for 15 minutes; ask for a new code");
    return ANTAG_OK;
}

/* Commits the attempt. */
static enum antag_err count(struct ag_txn *t, struct ag_row_code *row, struct antag_fault *fault)
{
    enum antag_err err;

    row->attempts++;
    if ((err = ag_txn_write_quiet(t, fault)) != ANTAG_OK ||
        (err = ag_registry_put_code(t->st->reg, row, fault)) != ANTAG_OK)
        return err;
    return ag_txn_commit(t, fault);
}

enum antag_err ag_code_try(struct ag_steward *st, const struct ag_code_for *who,
                           struct antag_slice typed, uint64_t *code_id, struct antag_fault *fault)
{
    char code[AG_ONECODE_CHARS + 1];
    uint8_t mine[AG_CODE_HASH_LEN];
    struct ag_row_code row;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_onecode_read(typed, code, fault)) != ANTAG_OK)
        return err;
    err = ag_code_hash(st, who, code, mine, fault);
    ag_secret_wipe(code, sizeof code);
    if (err != ANTAG_OK)
        return err;
    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = find(&t, who, &row, fault)) == ANTAG_OK &&
        (err = may_try(&t, who, &row, fault)) == ANTAG_OK)
        err = count(&t, &row, fault);
    ag_txn_end(&t);
    if (err != ANTAG_OK)
        return err;
    if (!ag_secret_equal(mine, row.hash, AG_CODE_HASH_LEN))
        return antag_fault_set(fault, ANTAG_ERR_CODE_WRONG, "code",
                               "it is not the code that was mailed to %s last; %u more attempts",
                               row.mail, AG_ONECODE_TRIES - row.attempts);
    *code_id = row.id;
    return ANTAG_OK;
}

enum antag_err ag_code_use(struct ag_txn *t, uint64_t code_id, char mail[ANTAG_TEXT_MAX + 1],
                           struct antag_fault *fault)
{
    struct ag_row_code row;
    enum antag_err err = ag_registry_get_code(t->st->reg, code_id, &row, fault);

    if (err == ANTAG_ERR_NOT_FOUND || (err == ANTAG_OK && !holds(t, &row)))
        return antag_fault_set(fault, ANTAG_ERR_CODE_EXPIRED, "code",
                               "it was used or replaced meanwhile, or holds no more");
    if (err != ANTAG_OK)
        return err;
    snprintf(mail, ANTAG_TEXT_MAX + 1, "%s", row.mail);
    return ag_registry_delete_code(t->st->reg, code_id, fault);
}
