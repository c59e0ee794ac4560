#include "agent/steward/recovery.h"

#include <string.h>

#include "agent/steward/codes.h"

/* ---- the rows of a person */

struct his {
    uint32_t uid;
    size_t count;
    uint32_t attempts; /* the same on all of them */
    struct ag_row_recovery rows[AG_RECOVERY_COUNT];
};

static enum antag_err collect(const struct ag_row_recovery *row, void *ctx)
{
    struct his *h = ctx;

    if (row->uid != h->uid || h->count == AG_RECOVERY_COUNT)
        return ANTAG_OK;
    h->rows[h->count++] = *row;
    h->attempts = row->attempts;
    return ANTAG_OK;
}

static enum antag_err find(struct ag_txn *t, uint32_t uid, struct his *out,
                           struct antag_fault *fault)
{
    *out = (struct his){.uid = uid};
    return ag_registry_each_recovery(t->st->reg, collect, out, fault);
}

enum antag_err ag_recovery_left(struct ag_txn *t, uint32_t uid, size_t *left,
                                struct antag_fault *fault)
{
    struct his h;
    enum antag_err err = find(t, uid, &h, fault);

    *left = h.count;
    return err;
}

enum antag_err ag_recovery_remove(struct ag_txn *t, uint32_t uid, struct antag_fault *fault)
{
    struct his h;
    enum antag_err err = find(t, uid, &h, fault);

    for (size_t i = 0; i < h.count && err == ANTAG_OK; i++)
        err = ag_registry_delete_recovery(t->st->reg, h.rows[i].id, fault);
    return err;
}

/* ---- issuing */

static enum antag_err issue_one(struct ag_txn *t, uint32_t uid, char shown[AG_ONECODE_TEXT],
                                struct antag_fault *fault)
{
    struct ag_row_recovery row = {
        .uid = uid, .made_at_ms = t->life.now_ms, .hash_len = AG_CODE_HASH_LEN};
    struct ag_code_for who = {.uid = uid, .change_id = AG_CODE_RECOVERY};
    uint8_t random[AG_ONECODE_RANDOM];
    char code[AG_ONECODE_CHARS + 1];
    enum antag_err err;

    ag_random(random, sizeof random);
    ag_onecode_make(random, code);
    ag_onecode_show(code, shown);
    err = ag_code_hash(t->st, &who, code, row.hash, fault);
    ag_secret_wipe(code, sizeof code);
    ag_secret_wipe(random, sizeof random);
    return err == ANTAG_OK ? ag_registry_put_recovery(t->st->reg, &row, fault) : err;
}

enum antag_err ag_recovery_issue(struct ag_txn *t, uint32_t uid,
                                 char shown[AG_RECOVERY_COUNT][AG_ONECODE_TEXT],
                                 struct antag_fault *fault)
{
    enum antag_err err = ag_recovery_remove(t, uid, fault);

    for (size_t i = 0; i < AG_RECOVERY_COUNT && err == ANTAG_OK; i++)
        err = issue_one(t, uid, shown[i], fault);
    return err;
}

/* ---- using */

static enum antag_err set_attempts(struct ag_txn *t, struct his *h, uint32_t attempts,
                                   struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    for (size_t i = 0; i < h->count && err == ANTAG_OK; i++) {
        h->rows[i].attempts = attempts;
        err = ag_registry_put_recovery(t->st->reg, &h->rows[i], fault);
    }
    return err;
}

/* Commits the attempt. */
static enum antag_err count(struct ag_txn *t, struct his *h, struct antag_fault *fault)
{
    enum antag_err err;

    if (h->count == 0)
        return antag_fault_set(
            fault, ANTAG_ERR_NOT_FOUND, "code",
            "uid %u has no recovery codes; `antomctl staff verify --again` makes "
            "some",
            (unsigned)h->uid);
    if (h->attempts >= AG_ONECODE_TRIES)
        return antag_fault_set(
            fault, ANTAG_ERR_CODE_EXPIRED, "code",
            "recovery codes were entered wrongly %d times and are void; `antomctl "
            "staff verify --again` makes new ones",
            AG_ONECODE_TRIES);
    if ((err = ag_txn_write_quiet(t, fault)) != ANTAG_OK ||
        (err = set_attempts(t, h, h->attempts + 1, fault)) != ANTAG_OK)
        return err;
    return ag_txn_commit(t, fault);
}

enum antag_err ag_recovery_try(struct ag_steward *st, uint32_t uid, struct antag_slice typed,
                               uint64_t *id, struct antag_fault *fault)
{
    struct ag_code_for who = {.uid = uid, .change_id = AG_CODE_RECOVERY};
    char code[AG_ONECODE_CHARS + 1];
    uint8_t mine[AG_CODE_HASH_LEN];
    struct ag_txn t;
    struct his h;
    enum antag_err err;

    if ((err = ag_onecode_read(typed, code, fault)) != ANTAG_OK)
        return err;
    err = ag_code_hash(st, &who, code, mine, fault);
    ag_secret_wipe(code, sizeof code);
    if (err != ANTAG_OK)
        return err;
    if ((err = ag_txn_begin(st, 0, &t, fault)) == ANTAG_OK &&
        (err = find(&t, uid, &h, fault)) == ANTAG_OK)
        err = count(&t, &h, fault);
    ag_txn_end(&t);
    if (err != ANTAG_OK)
        return err;
    *id = 0;
    for (size_t i = 0; i < h.count; i++) /* all of them, whichever it is */
        if (ag_secret_equal(mine, h.rows[i].hash, AG_CODE_HASH_LEN))
            *id = h.rows[i].id;
    if (*id == 0)
        return antag_fault_set(fault, ANTAG_ERR_CODE_WRONG, "code",
                               "it is none of the recovery codes of uid %u; %u more attempts",
                               (unsigned)uid, AG_ONECODE_TRIES - 1 - h.attempts);
    return ANTAG_OK;
}

enum antag_err ag_recovery_use(struct ag_txn *t, uint64_t id, uint32_t uid, size_t *left,
                               struct antag_fault *fault)
{
    struct his h;
    enum antag_err err = ag_registry_delete_recovery(t->st->reg, id, fault);

    if (err == ANTAG_ERR_NOT_FOUND)
        return antag_fault_set(fault, ANTAG_ERR_CODE_EXPIRED, "code", "it was used meanwhile");
    if (err != ANTAG_OK || (err = find(t, uid, &h, fault)) != ANTAG_OK)
        return err;
    *left = h.count;
    return set_attempts(t, &h, 0, fault);
}
