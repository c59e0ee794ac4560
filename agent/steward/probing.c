/* probing: asks Antom under a key of a rotation: the keeper signs, the courier sends, and the answer is judged here by its
 * signature. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <sodium.h>

#include "agent/core/probe.h"
#include "agent/lib/clock.h"
#include "agent/lib/edges/fetching.h"
#include "agent/lib/log.h"
#include "agent/steward/rotation.h"

#define COURIER_EXTRA_MS 5000 /* that its answer may take beyond the gateway's time */
#define SAID_BODY        120  /* bytes of an answer that are told to people */

/* ---- what is asked */

/* a key and its profile, copied out of a book */
struct subject {
    struct ag_row_profile profile;
    struct ag_row_key key;
};

/* Under the key of the rotation, if it may be used for that. *usable false: it may not. */
static enum antag_err find_subject(struct ag_steward *st, uint64_t profile_id,
                                   enum ag_probe_which which, struct subject *out, bool *usable,
                                   struct antag_fault *fault)
{
    const struct ag_row_profile *p;
    const struct ag_row_rotation *r;
    const struct ag_row_key *k;
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    *usable = false;
    if (err != ANTAG_OK)
        goto out;
    p = ag_book_profile(t.book, profile_id);
    r = ag_book_open_rotation(t.book, profile_id);
    k = r == NULL ? NULL
                  : ag_book_key(t.book, which == AG_PROBE_OLD ? r->old_key_id : r->new_key_id);
    if (p == NULL || r == NULL || k == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "profile",
                              "no rotation is under way there");
        goto out;
    }
    out->profile = *p;
    out->key = *k;
    *usable = k->state == AG_KEY_STAGED || k->state == AG_KEY_ACTIVE || k->state == AG_KEY_RETIRING;
out:
    ag_txn_end(&t);
    return err;
}

/* ---- signing and sending */

static enum antag_err ask_keeper(struct ag_steward *st, const struct subject *s, const char *id,
                                 const char *time, uint8_t sig[ANTAG_SIG_MAX], size_t *sig_len,
                                 struct antag_fault *fault)
{
    struct ag_keyring_probe p = {.id = {.handle = s->key.id,
                                        .profile_id = s->profile.id,
                                        .env = (uint32_t)s->profile.env,
                                        .version = s->key.version},
                                 .profile = antag_slice_of(s->profile.name),
                                 .client_id = antag_slice_of(s->profile.client_id),
                                 .time = antag_slice_of(time),
                                 .probe = antag_slice_of(id)};
    struct ag_reply reply = {0};
    struct antag_slice signature;
    struct antag_writer w;
    uint64_t gen;
    struct ag_chan *c = ag_keeper_hold(st, s->key.keyring, &gen);
    uint32_t number;
    enum antag_err err;

    if (c == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BACKEND, NULL,
                               "the keeper of keyring \"%s\" is not up", s->key.keyring);
    number = ag_chan_next_id(c);
    antag_writer_init(&w, 4096);
    antag_m_request(&w, number, "probe");
    ag_keyring_probe_write(&w, &p);
    antag_m_close(&w);
    err = ag_chan_call(c, number, &w, NULL, 0, AG_WAIT_KEEPER_MS, &reply);
    antag_writer_fini(&w);
    if (err != ANTAG_OK)
        *fault = reply.fault;
    else if ((err = ag_keyring_signature_parse(reply.result, &signature)) != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "the keeper's answer is not of the right form");
    if (err == ANTAG_OK) {
        memcpy(sig, signature.p, signature.len);
        *sig_len = signature.len;
    }
    ag_reply_fini(&reply);
    ag_chan_release(c);
    return err;
}

static enum antag_err make_call(struct ag_steward *st, const struct subject *s,
                                struct ag_probe_call *out, struct antag_fault *fault)
{
    char id[AG_PROBE_ID_MAX + 1], uri[AG_PROBE_URI_MAX], text[AG_ANTOM_SIG_TEXT_MAX];
    uint8_t random[AG_PROBE_ID_MAX / 2], sig[ANTAG_SIG_MAX];
    size_t sig_len = 0;
    enum antag_err err;

    if (s->profile.client_id[0] == '\0' || s->profile.gateway[0] == '\0')
        return antag_fault_set(fault, ANTAG_ERR_PROFILE_INCOMPLETE, "profile",
                               "%s has no %s; `antomctl profile set %s` sets it", s->profile.name,
                               s->profile.client_id[0] == '\0' ? "client id" : "gateway",
                               s->profile.name);
    randombytes_buf(random, sizeof random);
    sodium_bin2hex(id, sizeof id, random, sizeof random);
    ag_antom_time_render(ag_clock_wall_ms(), out->time);
    if ((err = ask_keeper(st, s, id, out->time, sig, &sig_len, fault)) != ANTAG_OK)
        return err;
    ag_antom_signature_render(s->key.key_version, (struct antag_slice){sig, sig_len}, text);
    ag_probe_uri(s->profile.env, uri);
    snprintf(out->url, sizeof out->url, "%s%s", s->profile.gateway, uri);
    snprintf(out->client_id, sizeof out->client_id, "%s", s->profile.client_id);
    snprintf(out->signature, sizeof out->signature, "%s", text);
    (void)ag_probe_body(antag_slice_of(id), out->body);
    return ANTAG_OK;
}

enum antag_err ag_probe_make(struct ag_steward *st, uint64_t profile_id, enum ag_probe_which which,
                             struct ag_probe_call *out, struct antag_fault *fault)
{
    struct subject *s = calloc(1, sizeof *s);
    bool usable = false;
    enum antag_err err;

    if (s == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a probe");
    err = find_subject(st, profile_id, which, s, &usable, fault);
    if (err == ANTAG_OK && !usable)
        err = antag_fault_set(fault, ANTAG_ERR_KEY_STATE, "key",
                              "version %u is %s and signs nothing, probes neither", s->key.version,
                              ag_key_state_name(s->key.state));
    if (err == ANTAG_OK)
        err = make_call(st, s, out, fault);
    free(s);
    return err;
}

static enum antag_err send_call(struct ag_steward *st, const struct subject *s,
                                const struct ag_probe_call *call, struct ag_reply *reply,
                                struct ag_fetched *out, struct antag_fault *fault)
{
    char uri[AG_PROBE_URI_MAX];
    struct ag_fetching f = {.gateway = antag_slice_of(s->profile.gateway),
                            .client_id = antag_slice_of(call->client_id),
                            .time = antag_slice_of(call->time),
                            .signature = antag_slice_of(call->signature),
                            .body = antag_slice_of(call->body)};
    struct ag_chan *c = ag_courier_hold(st);
    struct antag_writer w;
    struct ag_conf conf;
    uint32_t number;
    enum antag_err err;

    if (c == NULL)
        return antag_fault_set(fault, ANTAG_ERR_GATEWAY, NULL, "the courier is being started");
    ag_conf_copy(st, &conf);
    ag_probe_uri(s->profile.env, uri);
    f.uri = antag_slice_of(uri);
    number = ag_chan_next_id(c);
    antag_writer_init(&w, 16 * 1024);
    antag_m_request(&w, number, "fetch");
    ag_fetching_write(&w, &f);
    antag_m_close(&w);
    err = ag_chan_call(c, number, &w, NULL, 0, conf.rotation_probe_timeout_ms + COURIER_EXTRA_MS,
                       reply);
    antag_writer_fini(&w);
    ag_chan_release(c);
    if (err != ANTAG_OK)
        *fault = reply->fault;
    else
        err = ag_fetched_parse(reply->result, out, fault);
    return err;
}

/* ---- judging */

static bool fits(const struct ag_row_antom_key *k, const struct ag_antom_prefix *prefix,
                 struct antag_slice body, const struct ag_antom_signature *sig)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY *pkey = NULL;
    bool good;

    good = ctx != NULL && ag_keyform_public(ag_antom_key_spki(k), &pkey, NULL) == ANTAG_OK &&
           EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, pkey) == 1 &&
           EVP_DigestVerifyUpdate(ctx, prefix->text, prefix->len) == 1 &&
           EVP_DigestVerifyUpdate(ctx, body.p, body.len) == 1 &&
           EVP_DigestVerifyFinal(ctx, sig->raw, sig->len) == 1;
    EVP_PKEY_free(pkey);
    EVP_MD_CTX_free(ctx);
    return good;
}

/* The Antom key under which the answer verifies, a staged one too; NULL: none. */
static const struct ag_row_antom_key *find_key(const struct ag_txn *t,
                                               const struct ag_row_profile *p,
                                               const struct ag_probe_answer *a,
                                               const struct ag_antom_signature *sig)
{
    struct ag_antom_prefix prefix;
    char uri[AG_PROBE_URI_MAX];

    ag_probe_uri(p->env, uri);
    if (ag_antom_prefix_render(antag_slice_of(AG_PROBE_METHOD), antag_slice_of(uri), a->client_id,
                               a->time, &prefix) != ANTAG_OK)
        return NULL;
    for (size_t i = 0; i < t->book->antom_key_count; i++) {
        const struct ag_row_antom_key *k = &t->book->antom_keys[i];

        if (k->profile_id == p->id && k->state != AG_ANTOM_KEY_REVOKED &&
            fits(k, &prefix, a->body, sig))
            return k;
    }
    return NULL;
}

ANTAG_PRINTF(3, 4)
static void conclude(struct ag_probed *out, enum ag_probe_outcome outcome, const char *fmt, ...)
{
    va_list args;

    out->outcome = outcome;
    va_start(args, fmt);
    vsnprintf(out->said, sizeof out->said, fmt, args);
    va_end(args);
    for (char *p = out->said; *p != '\0'; p++) /* it may hold what a stranger said */
        if (*p < 0x20 || *p >= 0x7f)
            *p = '?';
}

/* The beginning of a stranger's bytes, as people may see it. */
static void show(struct antag_slice s, char out[SAID_BODY + 1])
{
    size_t n = s.len < SAID_BODY ? s.len : SAID_BODY;

    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? (char)s.p[i] : '?';
    out[n] = '\0';
}

static void judge_unsigned(const struct ag_probe_answer *a, struct ag_probed *out)
{
    char body[SAID_BODY + 1];

    show(a->body, body);
    conclude(out, AG_PROBE_UNPROVEN, "an answer without signature, HTTP %llu: %s",
             (unsigned long long)a->status, body);
}

static void judge_signed(const struct ag_txn *t, const struct ag_row_profile *p,
                         const struct ag_probe_answer *a, const struct ag_antom_signature *sig,
                         struct ag_probed *out)
{
    const struct ag_row_antom_key *k = find_key(t, p, a, sig);
    struct ag_conf conf;
    struct antag_fault why = {0};
    int64_t at_ms = 0;

    ag_conf_copy(t->st, &conf);
    if (k == NULL) {
        conclude(out, AG_PROBE_UNPROVEN,
                 "its signature fits none of the Antom keys of %s; if Antom shows another one now, "
                 "`antomctl antom-key add %s` adds it",
                 p->name, p->name);
    } else if (ag_antom_time_parse(a->time, &at_ms, &why) != ANTAG_OK ||
               ag_antom_check_age(t->life.now_ms, at_ms, conf.policy_response_max_age_ms,
                                  conf.policy_max_time_skew_ms, &why) != ANTAG_OK) {
        conclude(out, AG_PROBE_UNPROVEN, "%.200s", antag_fault_text(&why));
    } else {
        conclude(out, AG_PROBE_ACCEPTED, "signed by Antom's key version %u", k->version);
        out->antom_key_id = k->id;
    }
}

void ag_probe_judge(const struct ag_txn *t, const struct ag_row_profile *p,
                    const struct ag_probe_answer *a, struct ag_probed *out)
{
    struct ag_antom_signature sig;
    struct antag_fault why = {0};
    const char *code = NULL;

    if (ag_probe_names_key(a->body, &code))
        conclude(out, AG_PROBE_REFUSED, "%s", code);
    else if (a->signature.len == 0 || a->time.len == 0 || a->client_id.len == 0)
        judge_unsigned(a, out);
    else if (!antag_slice_is(a->client_id, p->client_id))
        conclude(out, AG_PROBE_UNPROVEN, "the answer is for another client id");
    else if (ag_antom_signature_parse(a->signature, &sig, &why) != ANTAG_OK)
        conclude(out, AG_PROBE_UNPROVEN, "%.200s", antag_fault_text(&why));
    else
        judge_signed(t, p, a, &sig, out);
}

/* ---- one probe under one key */

static enum antag_err judge(struct ag_steward *st, const struct subject *s,
                            const struct ag_fetched *f, struct ag_probed *out,
                            struct antag_fault *fault)
{
    struct ag_probe_answer a = {f->status, f->client_id, f->time, f->signature, f->body};
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err == ANTAG_OK)
        ag_probe_judge(&t, &s->profile, &a, out);
    ag_txn_end(&t);
    return err;
}

/* *asked: the key may be used, and `out` says what came of it. errors: those of transactions. */
static enum antag_err probe_one(struct ag_steward *st, uint64_t profile_id,
                                enum ag_probe_which which, struct ag_probed *out, bool *asked,
                                struct antag_fault *fault)
{
    struct subject *s = calloc(1, sizeof *s);
    struct ag_probe_call *call = calloc(1, sizeof *call);
    struct ag_reply reply = {0};
    struct antag_fault why = {0};
    struct ag_fetched f;
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    memset(out, 0, sizeof *out);
    if (s == NULL || call == NULL)
        antag_fault_set(fault, err, NULL, "no memory for a probe");
    else
        err = find_subject(st, profile_id, which, s, asked, fault);
    if (err != ANTAG_OK || !*asked)
        goto out;
    if (make_call(st, s, call, &why) != ANTAG_OK ||
        send_call(st, s, call, &reply, &f, &why) != ANTAG_OK)
        conclude(out, AG_PROBE_UNPROVEN, "%.240s", antag_fault_text(&why));
    else
        err = judge(st, s, &f, out, fault);
out:
    ag_reply_fini(&reply);
    free(call);
    free(s);
    return err;
}

static enum antag_err write_down(struct ag_steward *st, uint64_t profile_id,
                                 const struct ag_probed *old_key, const struct ag_probed *new_key,
                                 struct antag_fault *fault)
{
    const struct ag_row_rotation *found;
    struct ag_row_rotation row;
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err == ANTAG_OK && (found = ag_book_open_rotation(t.book, profile_id)) != NULL) {
        row = *found;
        if ((err = ag_rotation_probed(&t, &row, old_key, new_key, fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, fault);
    }
    ag_txn_end(&t);
    if (err == ANTAG_OK)
        ag_driver_kick(st);
    return err;
}

/* An Antom key that came with the rotation is taken when it verified an answer that was fetched; the plan's approval says
 * so. */
static enum antag_err prove_keys(struct ag_steward *st, const struct ag_probed *old_key,
                                 const struct ag_probed *new_key, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    if (old_key->antom_key_id != 0)
        err = ag_antom_key_prove(st, old_key->antom_key_id, fault);
    if (err == ANTAG_OK && new_key->antom_key_id != 0 &&
        new_key->antom_key_id != old_key->antom_key_id)
        err = ag_antom_key_prove(st, new_key->antom_key_id, fault);
    return err;
}

enum antag_err ag_probe_keys(struct ag_steward *st, uint64_t profile_id, unsigned which,
                             struct antag_fault *fault)
{
    struct ag_probed *p = calloc(2, sizeof *p);
    bool asked[2] = {false, false};
    enum antag_err err = ANTAG_OK;

    if (p == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a probe");
    uv_mutex_lock(&st->probe_lock);
    if ((which & AG_PROBE_OLD) != 0)
        err = probe_one(st, profile_id, AG_PROBE_OLD, &p[0], &asked[0], fault);
    if (err == ANTAG_OK && (which & AG_PROBE_NEW) != 0)
        err = probe_one(st, profile_id, AG_PROBE_NEW, &p[1], &asked[1], fault);
    if (err == ANTAG_OK)
        err = prove_keys(st, &p[0], &p[1], fault);
    if (err == ANTAG_OK)
        err = write_down(st, profile_id, asked[0] ? &p[0] : NULL, asked[1] ? &p[1] : NULL, fault);
    uv_mutex_unlock(&st->probe_lock);
    free(p);
    return err;
}

/* ---- Antom keys */

enum antag_err ag_antom_key_start(struct ag_txn *t, struct ag_row_antom_key *row,
                                  struct antag_fault *fault)
{
    const struct ag_row_antom_key *active = ag_book_active_antom_key(t->book, row->profile_id);
    struct ag_row_antom_key old;
    enum antag_err err;

    if ((err = ag_life_antom_step(&t->life, row, AG_ANTOMEV_START, fault)) != ANTAG_OK ||
        (err = ag_txn_write(t, fault)) != ANTAG_OK)
        return err;
    if (active == NULL)
        return ANTAG_OK;
    old = *active;
    if ((err = ag_life_antom_step(&t->life, &old, AG_ANTOMEV_SUPERSEDE, fault)) != ANTAG_OK)
        return err;
    return ag_registry_put_antom_key(t->st->reg, &old, fault);
}

static const struct ag_row_antom_key *find_staged(const struct ag_book *b, uint64_t id)
{
    for (size_t i = 0; i < b->antom_key_count; i++)
        if (b->antom_keys[i].id == id && b->antom_keys[i].state == AG_ANTOM_KEY_STAGED)
            return &b->antom_keys[i];
    return NULL;
}

/* The plan was approved, and is not over: only then does its approval cover the key. */
static bool is_covered(const struct ag_book *b, uint64_t profile_id)
{
    const struct ag_row_rotation *r = ag_book_open_rotation(b, profile_id);

    return r != NULL && (r->state == AG_ROTATION_SUBMITTED || r->state == AG_ROTATION_WATCHING);
}

enum antag_err ag_antom_key_prove(struct ag_steward *st, uint64_t id, struct antag_fault *fault)
{
    const struct ag_row_antom_key *found;
    const struct ag_row_profile *p;
    struct ag_row_antom_key row;
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, fault);

    if (err != ANTAG_OK || (found = find_staged(t.book, id)) == NULL ||
        !is_covered(t.book, found->profile_id))
        goto out;
    row = *found;
    p = ag_book_profile(t.book, row.profile_id);
    ag_txn_deed(&t, ag_actor_agent, "agent.antom_key_proved", p == NULL ? "?" : p->name, 0,
                "version %u verified an answer fetched from the gateway", row.version);
    if ((err = ag_antom_key_start(&t, &row, fault)) == ANTAG_OK &&
        (err = ag_registry_put_antom_key(st->reg, &row, fault)) == ANTAG_OK)
        err = ag_txn_commit(&t, fault);
    if (err == ANTAG_OK)
        ag_log(AG_LOG_INFO, "antom_key.proved", AG_F_UINT("id", id),
               AG_F_UINT("version", row.version));
out:
    ag_txn_end(&t);
    if (err == ANTAG_OK)
        ag_driver_kick(st);
    return err;
}
