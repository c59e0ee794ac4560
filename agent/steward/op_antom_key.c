/* op_antom_key: Antom's public keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "agent/steward/alter.h"
#include "agent/steward/deeds.h"
#include "agent/steward/notices.h"
#include "agent/steward/render.h"
#include "agent/steward/rotation.h"
#include "agent/steward/rules.h"

/* Staged. */
static enum antag_err make_row(const struct ag_txn *t, struct ag_row_profile *profile,
                               const struct ag_keyring_made *made, struct ag_row_antom_key *row,
                               struct antag_fault *fault)
{
    EVP_PKEY *pkey = NULL;
    enum antag_err err;

    memset(row, 0, sizeof *row);
    err = ag_keyform_public((struct antag_slice){made->spki, made->spki_len}, &pkey, fault);
    if (err != ANTAG_OK)
        return err;
    row->bits = (uint32_t)EVP_PKEY_get_bits(pkey);
    EVP_PKEY_free(pkey);
    if (profile->next_antom_version == UINT32_MAX)
        return antag_fault_set(fault, ANTAG_ERR_KEY_STATE, NULL, "%s has used up its versions",
                               profile->name);
    row->profile_id = profile->id;
    row->version = profile->next_antom_version++;
    row->state = AG_ANTOM_KEY_STAGED;
    row->created_at_ms = row->state_at_ms = t->life.now_ms;
    row->state_observed_ms = t->life.observed_ms;
    row->spki_len = made->spki_len;
    memcpy(row->spki, made->spki, made->spki_len);
    return ANTAG_OK;
}

/* Is there such a profile? Before an opener is started for it. */
static enum antag_err check_profile(struct ag_steward *st, struct antag_slice name,
                                    struct antag_fault *fault)
{
    const struct ag_row_profile *found = NULL;
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err == ANTAG_OK)
        err = ag_book_need_profile(t.book, name, &found, fault);
    ag_txn_end(&t);
    return err;
}

static enum antag_err read_key(struct ag_steward *st, struct ag_task *op, struct antag_fault *fault)
{
    const struct antag_antom_key_add_params *p = op->params;
    enum antag_err err;

    if ((err = check_profile(st, p->profile.v, fault)) != ANTAG_OK)
        return err;
    if ((op->made = calloc(1, sizeof *op->made)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key");
    return ag_opener_ask(st, "soft", "public", NULL, op->files, op->file_count, op->made, fault);
}

static enum antag_err add(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                          struct antag_fault *fault)
{
    const struct antag_antom_key_add_params *p = op->params;
    const struct ag_row_profile *found = NULL;
    struct antag_slice spki = {op->made->spki, op->made->spki_len};
    bool same = p->same_as_other_environment.set && p->same_as_other_environment.v;
    struct ag_row_antom_key row;
    struct ag_row_profile profile;
    char warning[AG_WARNING_MAX];
    enum antag_err err;

    if ((err = ag_book_need_profile(t->book, p->profile.v, &found, fault)) != ANTAG_OK ||
        (err = ag_rule_antom_key(t->book, found, spki, same, warning, fault)) != ANTAG_OK)
        return err;
    profile = *found;
    if ((err = make_row(t, &profile, op->made, &row, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile.name, 0, "version %u%s", row.version,
                profile.launched ? ", staged" : "");
    /* before launch there is nobody to wait for */
    err = profile.launched ? ag_txn_write(t, fault) : ag_antom_key_start(t, &row, fault);
    if (err != ANTAG_OK || (err = ag_registry_put_profile(t->st->reg, &profile, fault)) != ANTAG_OK)
        return err;
    ag_render_antom_key(w, t->book, &t->life, &row, warning);
    return ag_registry_put_antom_key(t->st->reg, &row, fault);
}

AG_DEED(antom_key_add, .prepare = read_key, .act = add)

static enum antag_err need_version(struct ag_txn *t, const struct antag_key_params *p,
                                   const struct ag_row_profile **profile,
                                   struct ag_row_antom_key *out, struct antag_fault *fault)
{
    const struct ag_row_antom_key *k;
    enum antag_err err = ag_book_need_profile(t->book, p->profile.v, profile, fault);

    if (err != ANTAG_OK)
        return err;
    if ((k = ag_book_antom_version(t->book, (*profile)->id, p->version.v)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "version",
                               "%s has no Antom key version %llu; `antomctl antom-key list` shows "
                               "them",
                               (*profile)->name, (unsigned long long)p->version.v);
    *out = *k;
    return ANTAG_OK;
}

static enum antag_err activate(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                               struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    struct ag_row_antom_key row;
    char fingerprint[65], text[80];
    enum antag_err err;

    if ((err = need_version(t, op->params, &profile, &row, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, 0, "version %u", row.version);
    if ((err = ag_antom_key_start(t, &row, fault)) != ANTAG_OK)
        return err;
    ag_keyform_fingerprint(ag_antom_key_spki(&row), fingerprint);
    snprintf(text, sizeof text, "SHA-256 %s", fingerprint);
    ag_alter_note(t, "fingerprint", "", text);
    ag_render_antom_key(w, t->book, &t->life, &row, NULL);
    return ag_registry_put_antom_key(t->st->reg, &row, fault);
}

AG_DEED(antom_key_activate, .act = activate)

enum antag_err ag_op_antom_key_list(struct ag_steward *st, struct ag_task *op,
                                    struct antag_writer *w, struct antag_fault *fault)
{
    const struct antag_profile_opt_params *p = op->params;
    const struct ag_row_profile *only = NULL;
    struct ag_txn t;
    enum antag_err err;

    if ((err = ag_txn_begin(st, 0, &t, fault)) != ANTAG_OK)
        goto out;
    if (p->profile.set &&
        (err = ag_book_need_profile(t.book, p->profile.v, &only, fault)) != ANTAG_OK)
        goto out;
    antag_w_map(w);
    antag_w_key(w, "antom_keys");
    antag_w_array(w);
    for (size_t i = 0; i < t.book->antom_key_count; i++)
        if (only == NULL || t.book->antom_keys[i].profile_id == only->id)
            ag_render_antom_key(w, t.book, &t.life, &t.book->antom_keys[i], NULL);
    antag_w_end(w);
    antag_w_end(w);
out:
    ag_txn_end(&t);
    return err;
}

static enum antag_err revoke_key(struct ag_txn *t, struct ag_task *op, struct antag_writer *w,
                                 struct antag_fault *fault)
{
    const struct ag_row_profile *profile = NULL;
    struct ag_row_antom_key row;
    enum antag_err err;

    if ((err = need_version(t, op->params, &profile, &row, fault)) != ANTAG_OK)
        return err;
    if ((err = ag_life_antom_step(&t->life, &row, AG_ANTOMEV_REVOKE, fault)) != ANTAG_OK)
        return err;
    ag_txn_deed(t, ag_task_actor(op), op->row->name, profile->name, 0, "version %u", row.version);
    if ((err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    ag_render_antom_key(w, t->book, &t->life, &row, NULL);
    if ((err = ag_registry_put_antom_key(t->st->reg, &row, fault)) != ANTAG_OK)
        return err;
    return ag_notice_stopped(t, profile->name, "Antom key", row.version, "revoked",
                             ag_task_actor(op), "", fault);
}

AG_DEED(antom_key_revoke, .act = revoke_key)
