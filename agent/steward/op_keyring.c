/* op_keyring: keyrings as staff sees them, and the PIN of a token. The PIN goes unread to an opener, which seals it for its
 * keyring, and sealed to the keeper, which tries it; what the token refuses is not kept. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/log.h"
#include "agent/steward/deeds.h"
#include "agent/steward/rings.h"

#define TRY_MS 5000 /* for the token to say whether the PIN is right */

/* ---- the row */

struct search {
    const char *keyring;
    struct ag_row_pin *out;
};

static enum antag_err visit(const struct ag_row_pin *row, void *ctx)
{
    const struct search *s = ctx;

    if (strcmp(row->keyring, s->keyring) == 0)
        *s->out = *row;
    return ANTAG_OK;
}

enum antag_err ag_pin_find(struct ag_registry *reg, const char *keyring, struct ag_row_pin *out,
                           struct antag_fault *fault)
{
    struct search s = {.keyring = keyring, .out = out};

    *out = (struct ag_row_pin){.id = 0};
    return ag_registry_each_pin(reg, visit, &s, fault);
}

/* ---- looking */

enum antag_err ag_op_keyring_list(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    struct ag_ring_views rings;

    (void)op;
    (void)fault;
    ag_rings_look(st, &rings);
    antag_w_map(w);
    ag_rings_write(w, &rings);
    antag_w_end(w);
    return ANTAG_OK;
}

/* ---- a PIN */

static enum antag_err need_token(struct ag_steward *st, const struct ag_task *op, char *name,
                                 size_t size, struct antag_fault *fault)
{
    const struct antag_keyring_params *p = op->params;
    const struct ag_conf_keyring *k;
    struct ag_conf conf;

    (void)antag_slice_copy(p->keyring.v, name, size);
    ag_conf_copy(st, &conf);
    if ((k = ag_conf_find_keyring(&conf, name)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "keyring",
                               "agent.conf has no section [keyring %s]; `antomctl keyring list` "
                               "shows those that are there",
                               name);
    if (k->type != AG_KEYRING_PKCS11)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "keyring",
                               "%s needs no PIN: it is not of type pkcs11", name);
    if (!ag_keyring_keeps_pin(k))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "keyring",
                               "%s takes its PIN from %s, as agent.conf says; without that setting "
                               "it stands in the registry",
                               name, k->pin_file[0] != '\0' ? "pin_file" : "pin_credential");
    return ANTAG_OK;
}

/* Whether the token takes it. One that is away, or whose keeper is, says so when it is back. */
static enum antag_err try_pin(struct ag_steward *st, const char *keyring, const struct ag_task *op,
                              struct antag_fault *fault)
{
    struct ag_keyring_params p = {.sealed = {op->sealed, op->sealed_len}};
    struct antag_fault said = {0};

    if (ag_keeper_call(st, keyring, "pin", &p, TRY_MS, &said) == ANTAG_OK)
        return ANTAG_OK;
    if (strcmp(said.field, "pin") == 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pin",
                               "was not kept: %s; look at the token's counter of wrong PINs before "
                               "you try again",
                               antag_fault_text(&said));
    ag_log_fault(AG_LOG_WARN, "keyring.pin_not_tried", &said);
    return ANTAG_OK;
}

static enum antag_err take_pin(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    char name[ANTAG_KEYRING_MAX + 1];
    enum antag_err err;

    if ((err = need_token(st, op, name, sizeof name, fault)) != ANTAG_OK)
        return err;
    if (op->file_count == 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pin",
                               "comes as a memory file beside the request");
    if ((err = ag_opener_pin(st, name, op->files[0], op->sealed, &op->sealed_len, fault)) !=
        ANTAG_OK)
        return err;
    return try_pin(st, name, op, fault);
}

static enum antag_err store(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                            struct antag_fault *fault)
{
    const struct antag_keyring_params *p = op->params;
    char name[ANTAG_KEYRING_MAX + 1];
    struct ag_row_pin row;
    enum antag_err err;

    (void)w; /* answered when the keyring was asked how it does */
    (void)antag_slice_copy(p->keyring.v, name, sizeof name);
    if ((err = ag_pin_find(t->st->reg, name, &row, fault)) != ANTAG_OK)
        return err;
    memcpy(row.keyring, name, sizeof row.keyring);
    row.uid = op->uid;
    row.at_ms = t->life.now_ms;
    row.sealed_len = op->sealed_len;
    memcpy(row.sealed, op->sealed, op->sealed_len);
    ag_txn_deed(t, ag_task_actor(op), op->row->name, name, 0, "a PIN");
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_pin(t->st->reg, &row, fault);
}

enum antag_err ag_op_keyring_pin(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    static const struct ag_deed_row row = {.prepare = take_pin, .act = store};
    const struct antag_keyring_params *p = op->params;
    char name[ANTAG_KEYRING_MAX + 1];
    struct ag_ring_views rings;
    const struct ag_ring_view *v;
    enum antag_err err = ag_deed_run(st, op, &row, w, fault);

    if (err != ANTAG_OK)
        return err;
    (void)antag_slice_copy(p->keyring.v, name, sizeof name);
    ag_rings_look(st, &rings);
    if ((v = ag_rings_find(&rings, name)) != NULL)
        ag_ring_write(w, v);
    return ANTAG_OK;
}
