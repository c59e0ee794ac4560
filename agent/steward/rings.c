#include "agent/steward/rings.h"

#include <stdio.h>
#include <string.h>

#define ASK_MS      500
#define FAILING_ROW 3 /* failures, one after the other */

static const char *const types[] = {
    [AG_KEYRING_SOFT] = "soft", [AG_KEYRING_PKCS11] = "pkcs11", [AG_KEYRING_TPM] = "tpm"};

/* False: its keeper is not up, or does not answer. */
static bool ask(struct ag_steward *st, struct ag_ring_view *v)
{
    struct ag_chan *c;
    struct ag_reply reply = {0};
    struct antag_fault fault;
    uint64_t gen;
    bool good;

    if ((c = ag_keeper_hold(st, v->name, &gen)) == NULL)
        return false;
    good = ag_call(c, "gauge", NULL, 0, ASK_MS, &reply) == ANTAG_OK &&
           ag_gauge_parse(reply.result, &v->told, &fault) == ANTAG_OK;
    ag_reply_fini(&reply);
    ag_chan_release(c);
    return good;
}

static const char *pin_of(const struct ag_conf_keyring *k)
{
    if (k->type != AG_KEYRING_PKCS11)
        return NULL;
    return k->pin_file[0] != '\0'         ? "file"
           : k->pin_credential[0] != '\0' ? "credential"
                                          : "registry";
}

/* A PIN that is not there yet. While the agent is locked nobody knows. */
static void look_for_pin(struct ag_steward *st, struct ag_ring_view *v)
{
    struct ag_row_pin row = {.id = 0};
    struct antag_fault fault;
    struct ag_txn t;

    if (ag_txn_begin(st, 0, &t, &fault) == ANTAG_OK &&
        ag_pin_find(st->reg, v->name, &row, &fault) == ANTAG_OK && row.id == 0) {
        v->state = "no-pin";
        snprintf(v->why, sizeof v->why,
                 "keyring \"%s\" has no PIN yet: `antomctl keyring pin %s` takes one", v->name,
                 v->name);
    }
    ag_txn_end(&t);
    v->pin_ms = row.at_ms;
}

static void look(struct ag_steward *st, const struct ag_conf_keyring *k, struct ag_ring_view *v)
{
    int64_t patience_ms = k->max_wait_ms != 0 ? k->max_wait_ms : 10000;

    *v = (struct ag_ring_view){.type = types[k->type], .state = "ready", .pin = pin_of(k)};
    snprintf(v->name, sizeof v->name, "%s", k->name);
    if (!ask(st, v)) {
        v->state = "down";
        snprintf(v->why, sizeof v->why, "the keeper of keyring \"%s\" does not answer", k->name);
    } else if (v->told.busy_ms > patience_ms) {
        v->state = "silent";
        snprintf(v->why, sizeof v->why,
                 "keyring \"%s\" has been busy with one signature for %lld s", k->name,
                 (long long)(v->told.busy_ms / 1000));
    } else if (v->told.in_row >= FAILING_ROW) {
        v->state = "failing";
        snprintf(v->why, sizeof v->why,
                 "the last %llu signatures of keyring \"%s\" failed; `antomctl doctor`",
                 (unsigned long long)v->told.in_row, k->name);
    }
    if (ag_keyring_keeps_pin(k))
        look_for_pin(st, v);
}

void ag_rings_look(struct ag_steward *st, struct ag_ring_views *out)
{
    struct ag_conf conf;

    ag_conf_copy(st, &conf);
    out->count = conf.keyring_count;
    for (size_t i = 0; i < conf.keyring_count; i++)
        look(st, &conf.keyrings[i], &out->v[i]);
}

const struct ag_ring_view *ag_rings_find(const struct ag_ring_views *all, const char *name)
{
    for (size_t i = 0; i < all->count; i++)
        if (strcmp(all->v[i].name, name) == 0)
            return &all->v[i];
    return NULL;
}

bool ag_ring_is_ready(const struct ag_ring_view *v)
{
    return strcmp(v->state, "ready") == 0;
}

void ag_ring_write(struct antag_writer *w, const struct ag_ring_view *v)
{
    antag_w_map(w);
    antag_w_kv_str(w, "keyring", v->name);
    antag_w_kv_str(w, "type", v->type);
    antag_w_kv_str(w, "state", v->state);
    if (v->why[0] != '\0')
        antag_w_kv_str(w, "why", v->why);
    if (v->pin != NULL)
        antag_w_kv_str(w, "pin", v->pin);
    if (v->pin_ms != 0)
        antag_w_kv_int(w, "pin_ms", v->pin_ms);
    antag_w_kv_uint(w, "signed", v->told.signed_);
    antag_w_kv_uint(w, "failed", v->told.failed);
    antag_w_kv_uint(w, "p50_us", v->told.p50_us);
    antag_w_kv_uint(w, "p99_us", v->told.p99_us);
    antag_w_end(w);
}

void ag_rings_write(struct antag_writer *w, const struct ag_ring_views *all)
{
    antag_w_key(w, "keyrings");
    antag_w_array(w);
    for (size_t i = 0; i < all->count; i++)
        ag_ring_write(w, &all->v[i]);
    antag_w_end(w);
}
