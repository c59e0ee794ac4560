#include "agent/steward/render.h"
#include "agent/core/cryptoperiod.h"
#include "agent/core/quorum.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "agent/steward/desired.h"
#include "agent/steward/rules.h"

static void write_lines(struct antag_writer *w, const char *key, const char *lines)
{
    antag_w_key(w, key);
    antag_w_array(w);
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");

        antag_w_strn(w, (struct antag_slice){(const uint8_t *)lines, len});
        lines += len + (lines[len] == '\n');
    }
    antag_w_end(w);
}

static const char *profile_name(const struct ag_book *b, uint64_t id)
{
    const struct ag_row_profile *p = ag_book_profile(b, id);

    return p == NULL ? "" : p->name;
}

/* As the list of applications in Antom's dashboard has it, as far as we can know. */
static const char *app_status(const struct ag_book *b, const struct ag_row_app *a)
{
    struct ag_missing missing[AG_MISSING_MAX];
    bool ready[2] = {false, false}; /* by enum ag_env */

    for (size_t i = 0; i < b->profile_count; i++) {
        const struct ag_row_profile *p = &b->profiles[i];

        if (p->app_id != a->id)
            continue;
        if (p->launched)
            return "launched";
        ready[p->env] = ag_desired_missing(b, p, missing) == 0;
    }
    if (ready[AG_ENV_LIVE])
        return "configured";
    return ready[AG_ENV_SANDBOX] ? "testing" : "created";
}

void ag_render_app(struct antag_writer *w, const struct ag_book *b, const struct ag_row_app *a)
{
    antag_w_map(w);
    antag_w_kv_str(w, "app", a->name);
    antag_w_kv_str(w, "role", a->role);
    antag_w_kv_str(w, "region", a->region);
    antag_w_kv_str(w, "product", a->product);
    antag_w_kv_str(w, "currency", a->currency);
    antag_w_kv_str(w, "type", a->type);
    antag_w_kv_str(w, "description", a->description);
    write_lines(w, "scenarios", a->scenarios);
    antag_w_kv_str(w, "dashboard_account", a->dashboard_account);
    antag_w_kv_str(w, "status", app_status(b, a));
    antag_w_kv_int(w, "created_at_ms", a->created_at_ms);
    antag_w_key(w, "profiles");
    antag_w_array(w);
    for (size_t i = 0; i < b->profile_count; i++)
        if (b->profiles[i].app_id == a->id)
            ag_render_profile(w, b, &b->profiles[i]);
    antag_w_end(w);
    antag_w_end(w);
}

static bool is_isv(const struct ag_book *b, const struct ag_row_profile *p)
{
    const struct ag_row_app *app = ag_book_app(b, p->app_id);

    return app != NULL && strcmp(app->role, "isv") == 0;
}

void ag_render_profile(struct antag_writer *w, const struct ag_book *b,
                       const struct ag_row_profile *p)
{
    const struct ag_row_key *active = ag_book_active_key(b, p->id);
    const struct ag_row_antom_key *antom = ag_book_active_antom_key(b, p->id);
    struct ag_missing missing[AG_MISSING_MAX];
    char text[256], quorum[AG_QUORUM_TEXT];
    size_t missing_count = ag_desired_missing(b, p, missing);

    antag_w_map(w);
    antag_w_kv_str(w, "profile", p->name);
    antag_w_kv_str(w, "client_id", p->client_id);
    antag_w_kv_str(w, "gateway", p->gateway);
    antag_w_kv_str(w, "notify_url", p->notify_url);
    antag_w_kv_int(w, "response_max_age_ms", p->response_max_age_ms);
    antag_w_kv_int(w, "notification_max_age_ms", p->notification_max_age_ms);
    antag_w_kv_uint(w, "cryptoperiod_days",
                    p->cryptoperiod_days == 0 ? AG_CRYPTOPERIOD_DAYS : p->cryptoperiod_days);
    antag_w_kv_bool(w, "launched", p->launched);
    if (p->env == AG_ENV_LIVE) {
        ag_quorum_text(p->quorum, quorum);
        antag_w_kv_str(w, "quorum", quorum);
    }
    if (active != NULL)
        antag_w_kv_uint(w, "active_version", active->version);
    if (antom != NULL)
        antag_w_kv_uint(w, "antom_version", antom->version);
    antag_w_key(w, "missing");
    antag_w_array(w);
    for (size_t i = 0; i < missing_count; i++) {
        snprintf(text, sizeof text, "%s: `%s`", missing[i].what, missing[i].command);
        antag_w_str(w, text);
    }
    antag_w_end(w);
    if (is_isv(b, p)) {
        antag_w_kv_str(w, "isv_client_id", p->isv_client_id);
        antag_w_kv_str(w, "isv_customer_id", p->isv_customer_id);
        antag_w_kv_str(w, "test_customer_id", p->test_customer_id);
    }
    antag_w_end(w);
}

void ag_render_sandbox(struct antag_writer *w, const struct ag_row_profile *p)
{
    antag_w_map(w);
    antag_w_kv_str(w, "profile", p->name);
    antag_w_kv_str(w, "buyer_account", p->buyer_account);
    antag_w_kv_str(w, "merchant_account", p->merchant_account);
    antag_w_kv_bool(w, "has_password", p->buyer_password_len > 0);
    antag_w_end(w);
}

static const char *actor_name(enum ag_actor_kind who)
{
    return who == AG_ACTS_AGENT ? "agent" : who == AG_ACTS_STAFF ? "staff" : "antom";
}

/* What ends the key's state, when, and who acts. */
static void write_wait(struct antag_writer *w, const struct ag_book *b, const struct ag_life *l,
                       const struct ag_row_key *k, bool self_tested)
{
    const struct ag_row_rotation *r = ag_book_open_rotation(b, k->profile_id);
    struct ag_key_facts facts;
    struct ag_wait wait = {.for_ms = -1};
    char text[80];

    if (r != NULL && r->new_key_id == k->id && k->state == AG_KEY_STAGED) {
        snprintf(text, sizeof text, "rotation %llu, which is %s", (unsigned long long)r->id,
                 ag_rotation_state_name(r->state));
        antag_w_kv_str(w, "waits_for", text);
        return;
    }
    ag_life_facts(l, b, k, self_tested, &facts);
    ag_keylife_wait(&facts, &wait);
    if (wait.reason[0] != '\0')
        antag_w_kv_str(w, "waits_for", wait.reason);
    if (wait.for_ms >= 0)
        antag_w_kv_int(w, "until_ms", l->now_ms + wait.for_ms);
    if (wait.who != AG_ACTS_NOBODY)
        antag_w_kv_str(w, "who", actor_name(wait.who));
}

void ag_render_key(struct antag_writer *w, const struct ag_book *b, const struct ag_life *l,
                   const struct ag_row_key *k, bool self_tested, const char *public_key)
{
    char fingerprint[65], warning[AG_WARNING_MAX];

    ag_keyform_fingerprint(ag_key_spki(k), fingerprint);
    ag_rule_shared_key_warning(b, k, warning);
    antag_w_map(w);
    antag_w_kv_str(w, "profile", profile_name(b, k->profile_id));
    antag_w_kv_uint(w, "version", k->version);
    antag_w_kv_str(w, "state", ag_key_state_name(k->state));
    antag_w_kv_uint(w, "key_version", k->key_version);
    antag_w_kv_str(w, "keyring", k->keyring);
    antag_w_kv_uint(w, "bits", k->bits);
    antag_w_kv_str(w, "origin", k->imported ? "imported" : "generated");
    antag_w_kv_str(w, "fingerprint", fingerprint);
    antag_w_kv_int(w, "created_at_ms", k->created_at_ms);
    antag_w_kv_int(w, "state_since_ms", k->state_at_ms);
    if (k->reason[0] != '\0')
        antag_w_kv_str(w, "reason", k->reason);
    write_wait(w, b, l, k, self_tested);
    if (warning[0] != '\0')
        antag_w_kv_str(w, "warning", warning);
    if (public_key != NULL)
        antag_w_kv_str(w, "public_key", public_key);
    antag_w_end(w);
}

void ag_render_antom_key(struct antag_writer *w, const struct ag_book *b, const struct ag_life *l,
                         const struct ag_row_antom_key *k, const char *warning)
{
    char fingerprint[65];
    int64_t left = ag_life_antom_left_ms(l, k);

    ag_keyform_fingerprint(ag_antom_key_spki(k), fingerprint);
    antag_w_map(w);
    antag_w_kv_str(w, "profile", profile_name(b, k->profile_id));
    antag_w_kv_uint(w, "version", k->version);
    antag_w_kv_str(w, "state", ag_antom_key_state_name(k->state));
    antag_w_kv_uint(w, "bits", k->bits);
    antag_w_kv_str(w, "fingerprint", fingerprint);
    antag_w_kv_int(w, "created_at_ms", k->created_at_ms);
    antag_w_kv_int(w, "state_since_ms", k->state_at_ms);
    if (left >= 0)
        antag_w_kv_int(w, "until_ms", l->now_ms + left);
    if (k->state == AG_ANTOM_KEY_STAGED) {
        antag_w_kv_str(w, "waits_for",
                       "staff activates it, or it verifies an answer that the agent fetches during "
                       "a rotation");
        antag_w_kv_str(w, "who", actor_name(AG_ACTS_STAFF));
    }
    if (warning != NULL && warning[0] != '\0')
        antag_w_kv_str(w, "warning", warning);
    antag_w_end(w);
}

const char *ag_staff_role_name(enum antag_staff_role role)
{
    switch (role) {
    case ANTAG_ROLE_VIEWER:
        return "viewer";
    case ANTAG_ROLE_OFFICER:
        return "officer";
    case ANTAG_ROLE_APPROVER:
        return "approver";
    }
    return "";
}

unsigned ag_staff_role_of(struct antag_slice name)
{
    for (unsigned role = ANTAG_ROLE_VIEWER; role <= ANTAG_ROLE_APPROVER; role *= 2)
        if (antag_slice_is(name, ag_staff_role_name((enum antag_staff_role)role)))
            return role;
    return 0;
}

void ag_render_staff_fields(struct antag_writer *w, const struct ag_row_staff *s)
{
    antag_w_kv_uint(w, "uid", s->uid);
    antag_w_key(w, "roles");
    antag_w_array(w);
    for (unsigned role = ANTAG_ROLE_VIEWER; role <= ANTAG_ROLE_APPROVER; role *= 2)
        if ((s->roles & role) != 0)
            antag_w_str(w, ag_staff_role_name((enum antag_staff_role)role));
    antag_w_end(w);
    antag_w_kv_str(w, "mail", s->mail);
    antag_w_kv_bool(w, "mail_verified", s->mail_verified);
}

void ag_render_staff(struct antag_writer *w, const struct ag_row_staff *s)
{
    antag_w_map(w);
    ag_render_staff_fields(w, s);
    antag_w_end(w);
}

void ag_render_fence(struct antag_writer *w, const struct ag_book *b, const struct ag_row_fence *f)
{
    antag_w_map(w);
    antag_w_kv_uint(w, "fence", f->id);
    antag_w_kv_str(w, "profile", profile_name(b, f->profile_id));
    antag_w_kv_str(w, "path", f->path);
    antag_w_end(w);
}

static void write_texts(struct antag_writer *w, const char *key, char *const *texts, size_t count)
{
    antag_w_key(w, key);
    antag_w_array(w);
    for (size_t i = 0; i < count; i++)
        antag_w_str(w, texts[i]);
    antag_w_end(w);
}

void ag_render_grant(struct antag_writer *w, const struct ag_book *b, const struct ag_grant *g)
{
    static const enum ag_op ops[] = {AG_OP_SIGN, AG_OP_VERIFY, AG_OP_EXPLAIN};

    antag_w_map(w);
    antag_w_kv_uint(w, "grant", g->id);
    antag_w_kv_str(w, "profile", profile_name(b, g->profile_id));
    if (g->who == AG_WHO_UNIT)
        antag_w_kv_str(w, "unit", g->unit);
    else
        antag_w_kv_uint(w, g->who == AG_WHO_UID ? "uid" : "gid", g->number);
    antag_w_key(w, "ops");
    antag_w_array(w);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if ((g->ops & (unsigned)ops[i]) != 0)
            antag_w_str(w, ag_op_name(ops[i]));
    antag_w_end(w);
    write_texts(w, "methods", g->methods, g->method_count);
    write_texts(w, "paths", g->paths, g->path_count);
    write_texts(w, "merchants", g->merchants, g->merchant_count);
    antag_w_kv_bool(w, "query", g->query);
    antag_w_kv_uint(w, "max_body", g->max_body);
    antag_w_kv_uint(w, "rate", g->rate.rate);
    antag_w_kv_uint(w, "burst", g->rate.burst);
    antag_w_end(w);
}

#define PEM_HEAD "-----BEGIN PUBLIC KEY-----\n"
#define PEM_TAIL "-----END PUBLIC KEY-----\n"

enum antag_err ag_render_public(struct antag_slice spki, bool pem, char out[AG_PUBLIC_TEXT_MAX])
{
    unsigned char bare[(ANTAG_SPKI_MAX + 2) / 3 * 4 + 1];
    size_t len, n = 0;

    if (spki.len == 0 || spki.len > ANTAG_SPKI_MAX)
        return ANTAG_ERR_INTERNAL;
    len = (size_t)EVP_EncodeBlock(bare, spki.p, (int)spki.len);
    if (!pem) {
        memcpy(out, bare, len + 1);
        return ANTAG_OK;
    }
    n += (size_t)snprintf(out, AG_PUBLIC_TEXT_MAX, PEM_HEAD);
    for (size_t at = 0; at < len; at += 64)
        n += (size_t)snprintf(out + n, AG_PUBLIC_TEXT_MAX - n, "%.64s\n", (const char *)bare + at);
    snprintf(out + n, AG_PUBLIC_TEXT_MAX - n, PEM_TAIL);
    return ANTAG_OK;
}
