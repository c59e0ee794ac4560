/* op_keynew: merchant keys that come into being. The handle and version are committed as an intent before
 * the keyring is asked, the registry is free while it works, and the row is written when the private half
 * is durable and tested. What a crash leaves is an intent, removed at the next start. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "agent/lib/log.h"
#include "agent/steward/ops.h"
#include "agent/steward/render.h"
#include "agent/steward/rules.h"

#define GENERATED_BITS 2048

/* a key on its way */
struct making {
    uint64_t era;
    struct ag_row_profile profile;
    struct ag_row_key row;
    struct ag_keyring_made made;
    bool intended, held; /* an intent is in the registry; the keeper holds the key */
    bool making;         /* its keyring knows that it is under way */
};

static enum antag_err take_keyring(const struct antag_key_new_params *p, struct making *m,
                                   struct antag_fault *fault)
{
    struct antag_slice name = p->keyring.set ? p->keyring.v : antag_slice_of("soft");

    if (antag_slice_copy(name, m->row.keyring, sizeof m->row.keyring))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "keyring", "has at most %d bytes",
                           ANTAG_KEYRING_MAX);
}

/* The version after all that are taken: by keys, and by keys on their way. One that comes to nothing leaves
 * its version free, as nobody has seen it. */
static uint32_t next_version(const struct ag_book *b, const struct ag_row_profile *p)
{
    uint32_t next = p->next_key_version;

    for (size_t i = 0; i < b->intent_count; i++)
        if (b->intents[i].profile_id == p->id && b->intents[i].version >= next)
            next = b->intents[i].version == UINT32_MAX ? UINT32_MAX : b->intents[i].version + 1;
    return next;
}

/* First: handle and version, committed. */
static enum antag_err intend(struct ag_steward *st, const struct ag_task *op, struct making *m,
                             struct antag_fault *fault)
{
    const struct antag_key_new_params *p = op->params;
    const struct ag_row_profile *found = NULL;
    struct ag_row_intent intent = {0};
    struct ag_txn t = {0};
    enum antag_err err;

    if ((err = take_keyring(p, m, fault)) != ANTAG_OK)
        return err;
    if (op->which == ANTAG_STAFF_key_import && !ag_keyring_imports(st, m->row.keyring))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "keyring",
                               "\"%s\" makes its keys itself and takes none in; `antomctl key "
                               "generate` makes one there",
                               m->row.keyring);
    if (ag_state_get(st, NULL) == AG_STATE_UNLOCKED &&
        (err = ag_keeper_check(st, m->row.keyring, AG_WAIT_KEEPER_MS, fault)) != ANTAG_OK)
        return err;
    ag_keeper_making(st, m->row.keyring, 1);
    m->making = true;
    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_book_need_profile(t.book, p->profile.v, &found, fault)) != ANTAG_OK)
        goto out;
    m->era = t.era;
    m->profile = *found;
    m->row.version = intent.version = next_version(t.book, found);
    if (intent.version == UINT32_MAX) {
        err = antag_fault_set(fault, ANTAG_ERR_KEY_STATE, NULL, "%s has used up its versions",
                              m->profile.name);
        goto out;
    }
    intent.profile_id = m->profile.id;
    snprintf(intent.keyring, sizeof intent.keyring, "%s", m->row.keyring);
    ag_txn_deed(&t, ag_task_actor(op), "key_intent", m->profile.name, 0, "version %u in keyring %s",
                intent.version, intent.keyring);
    if ((err = ag_txn_write(&t, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_registry_put_intent(st->reg, &intent, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_txn_commit(&t, fault)) != ANTAG_OK)
        goto out;
    m->row.id = intent.id;
    m->row.profile_id = m->profile.id;
    m->row.key_version = p->key_version.set ? (uint32_t)p->key_version.v : 1;
    m->intended = true;
out:
    ag_txn_end(&t);
    return err;
}

/* What was begun is undone; what cannot be is removed at the next start. */
static void undo(struct ag_steward *st, const struct ag_task *op, struct making *m)
{
    struct ag_keyring_params p = {.id = {.handle = m->row.id}};
    struct antag_fault fault = {0};
    struct ag_txn t = {0};
    enum antag_err err;

    if (m->intended && ag_keyring_is_outside(st, m->row.keyring)) {
        ag_driver_kick(st); /* which has the token asked, and removes the intent then (keepers.c) */
        return;
    }
    if (m->held &&
        ag_keeper_call(st, m->row.keyring, "destroy", &p, AG_WAIT_KEEPER_MS, &fault) != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "key.not_forgotten", &fault);
    if (!m->intended)
        return;
    err = ag_txn_begin(st, m->era, &t, &fault);
    ag_txn_deed(&t, ag_task_actor(op), "key_intent_undone", m->profile.name, m->row.id,
                "version %u: no key was made", m->row.version);
    if (err != ANTAG_OK || ag_txn_write(&t, &fault) != ANTAG_OK ||
        ag_registry_delete_intent(st->reg, m->row.id, &fault) != ANTAG_OK ||
        ag_txn_commit(&t, &fault) != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "key.intent_stays", &fault);
    ag_txn_end(&t);
}

static enum antag_err read_bits(struct making *m, struct antag_fault *fault)
{
    EVP_PKEY *pkey = NULL;
    enum antag_err err;

    err = ag_keyform_public((struct antag_slice){m->made.spki, m->made.spki_len}, &pkey, fault);
    if (err != ANTAG_OK)
        return err;
    m->row.bits = (uint32_t)EVP_PKEY_get_bits(pkey);
    EVP_PKEY_free(pkey);
    m->row.spki_len = m->made.spki_len;
    memcpy(m->row.spki, m->made.spki, m->made.spki_len);
    m->row.sealed_len = m->made.sealed_len;
    memcpy(m->row.sealed, m->made.sealed, m->made.sealed_len);
    return ANTAG_OK;
}

/* The keyring makes it, or makes it its own: `method` generate or adopt. */
static enum antag_err have_made(struct ag_steward *st, struct making *m, const char *method,
                                struct antag_fault *fault)
{
    struct ag_keyring_params p;
    struct ag_reply reply = {0};
    uint64_t gen;
    struct ag_chan *c = ag_keeper_hold(st, m->row.keyring, &gen);
    enum antag_err err;

    if (c == NULL)
        return antag_fault_set(fault, ANTAG_ERR_RETRY, NULL,
                               "the keeper of keyring \"%s\" is being started again; no key was "
                               "made",
                               m->row.keyring);
    ag_keyring_params_of(&m->profile, &m->row, AG_USE_NONE, &p);
    err = ag_call_keyring(c, method, &p, NULL, 0, AG_WAIT_GENERATE_MS, &reply);
    m->held = err == ANTAG_OK || err == ANTAG_ERR_TIMEOUT;
    if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL,
                        m->row.imported ? "keyring \"%s\" does not take the key: %s"
                                        : "keyring \"%s\" made no key: %s",
                        m->row.keyring, antag_fault_text(&reply.fault));
    else if ((err = ag_keyring_made_parse(reply.result, &m->made)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the keeper's answer is not of the right form");
    else
        err = read_bits(m, fault);
    ag_reply_fini(&reply);
    ag_chan_release(c);
    return err;
}

/* Second, with the registry free: the keyring makes it. */
static enum antag_err generate(struct ag_steward *st, struct making *m, struct antag_fault *fault)
{
    m->row.bits = GENERATED_BITS;
    return have_made(st, m, "generate", fault);
}

/* Or the opener reads it, and the keyring loads and tests it. */
static enum antag_err import(struct ag_steward *st, const struct ag_task *op, struct making *m,
                             struct antag_fault *fault)
{
    struct ag_keyring_params p;
    struct antag_fault said = {0};
    enum antag_err err;

    m->row.imported = true;
    ag_keyring_params_of(&m->profile, &m->row, AG_USE_NONE, &p);
    err =
        ag_opener_ask(st, m->row.keyring, "import", &p, op->files, op->file_count, &m->made, fault);
    if (err != ANTAG_OK)
        return err;
    if ((err = read_bits(m, fault)) != ANTAG_OK)
        return err;
    if (ag_keyring_adopts(st, m->row.keyring))
        return have_made(st, m, "adopt", fault);
    ag_keyring_params_of(&m->profile, &m->row, AG_USE_NONE, &p);
    err = ag_keeper_call(st, m->row.keyring, "load", &p, AG_WAIT_KEEPER_MS, &said);
    m->held = err == ANTAG_OK || err == ANTAG_ERR_TIMEOUT;
    if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "keyring \"%s\" does not take the key: %s",
                        m->row.keyring, antag_fault_text(&said));
    return err;
}

/* The key's row, and its version taken for good. */
static enum antag_err put_rows(struct ag_steward *st, struct ag_txn *t, struct making *m,
                               struct ag_row_profile *profile, struct antag_fault *fault)
{
    enum antag_err err;

    if (profile->next_key_version <= m->row.version)
        profile->next_key_version = m->row.version + 1;
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_registry_put_profile(st->reg, profile, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_registry_put_key(st->reg, &m->row, fault)) != ANTAG_OK)
        return err;
    return ag_txn_commit(t, fault);
}

/* Third: its row. Without an active key in the profile it is activated at once. */
static enum antag_err settle(struct ag_steward *st, const struct ag_task *op, struct making *m,
                             uint64_t *epoch, struct antag_fault *fault)
{
    const struct ag_row_profile *found;
    struct ag_row_profile profile;
    struct ag_row_key old;
    struct ag_txn t = {0};
    bool has_old;
    enum antag_err err;

    if ((err = ag_txn_begin(st, m->era, &t, fault)) != ANTAG_OK)
        goto out;
    if ((found = ag_book_profile(t.book, m->profile.id)) == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "profile", "the profile is gone");
        goto out;
    }
    profile = *found;
    if ((err = ag_rule_merchant_key(t.book, found, ag_key_spki(&m->row), fault)) != ANTAG_OK)
        goto out;
    m->row.state = AG_KEY_STAGED;
    m->row.created_at_ms = m->row.state_at_ms = t.life.now_ms;
    m->row.state_observed_ms = t.life.observed_ms;
    if (ag_book_active_key(t.book, profile.id) == NULL && !profile.launched &&
        (err = ag_life_activate(&t.life, t.book, &m->row, true, &old, &has_old, fault)) != ANTAG_OK)
        goto out;
    ag_txn_deed(&t, ag_task_actor(op), op->row->name, profile.name, m->row.id,
                "version %u in keyring %s, %s", m->row.version, m->row.keyring,
                ag_key_state_name(m->row.state));
    if ((err = put_rows(st, &t, m, &profile, fault)) != ANTAG_OK)
        goto out;
    *epoch = t.epoch;
    m->intended = m->held = false; /* the row has taken their place */
out:
    ag_txn_end(&t);
    return err;
}

static enum antag_err answer(struct ag_steward *st, const struct making *m, struct antag_writer *w,
                             struct antag_fault *fault)
{
    struct ag_txn t;
    const struct ag_row_key *k;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err == ANTAG_OK && (k = ag_book_key(t.book, m->row.id)) != NULL)
        ag_render_key(w, t.book, &t.life, k, ag_keeper_holds(st, k->keyring, k->id), NULL);
    else if (err == ANTAG_OK)
        err = antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL, "the key's row is gone");
    ag_txn_end(&t);
    return err;
}

static enum antag_err make_key(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                               struct antag_fault *fault)
{
    struct making *m = calloc(1, sizeof *m);
    uint64_t epoch = 0;
    enum antag_err err;

    if (m == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key");
    if ((err = intend(st, op, m, fault)) != ANTAG_OK)
        goto out;
    err = op->which == ANTAG_STAFF_key_import ? import(st, op, m, fault) : generate(st, m, fault);
    if (err != ANTAG_OK)
        goto out;
    if ((err = settle(st, op, m, &epoch, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_push_wait(st, epoch, true, fault)) != ANTAG_OK)
        goto out;
    err = answer(st, m, w, fault);
out:
    if (m->making)
        ag_keeper_making(st, m->row.keyring, -1);
    if (m->intended || m->held)
        undo(st, op, m);
    free(m);
    return err;
}

enum antag_err ag_op_key_generate(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                  struct antag_fault *fault)
{
    return make_key(st, op, w, fault);
}

enum antag_err ag_op_key_import(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                                struct antag_fault *fault)
{
    return make_key(st, op, w, fault);
}
