/* audit find: did we sign this? */
#include <openssl/evp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/antom.h"
#include "client/antomctl/audit.h"
#include "client/antomctl/json.h"

/* ---- find */

static bool wants_found(const struct ctl_reading *r, const struct ag_line_head *head,
                        struct antag_slice line)
{
    uint8_t digest[CTL_DIGEST_LEN];
    bool same = r->digest_count == 0;

    if (r->seq > 0 && head->seq != r->seq)
        return false;
    if (r->seq == 0 && strcmp(head->type, "sign") != 0)
        return false;
    for (size_t i = 0; i < r->digest_count && !same; i++)
        same = ag_line_hex(line, "digest", digest, sizeof digest) &&
               memcmp(digest, r->digests[i], sizeof digest) == 0;
    return same && ctl_audit_same_text(line, "trace", r->trace) &&
           ctl_audit_same_text(line, "profile", r->profile);
}

static enum antag_err hash_message(const struct ctl *c, struct antag_slice uri,
                                   struct antag_slice body, uint8_t out[CTL_DIGEST_LEN])
{
    struct ag_antom_prefix prefix;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    enum antag_err err =
        ag_antom_prefix_render(ctl_audit_given(c, "METHOD"), uri, ctl_audit_given(c, "--client-id"),
                               ctl_audit_given(c, "--time"), &prefix);

    if (err == ANTAG_OK && (ctx == NULL || EVP_DigestInit_ex2(ctx, EVP_sha256(), NULL) != 1 ||
                            EVP_DigestUpdate(ctx, prefix.text, prefix.len) != 1 ||
                            (body.len > 0 && EVP_DigestUpdate(ctx, body.p, body.len) != 1) ||
                            EVP_DigestFinal_ex(ctx, out, NULL) != 1))
        err = ANTAG_ERR_INTERNAL;
    EVP_MD_CTX_free(ctx);
    return err;
}

/* The digests of the message as it is given and, with a sandbox client id, as the agent derives its
 * URI: people have one or the other. */
static enum antag_err message_digests(const struct ctl *c, struct antag_slice body,
                                      struct ctl_reading *r, struct antag_fault *fault)
{
    char derived[ANTAG_URI_MAX + 17];
    struct antag_slice uri = ctl_audit_given(c, "URI");
    size_t len;
    enum antag_err err = hash_message(c, uri, body, r->digests[0]);

    if (err != ANTAG_OK)
        return antag_fault_set(
            fault, err, NULL,
            "METHOD, URI, --client-id or --time is none that could have been signed");
    r->digest_count = 1;
    if (ag_antom_uri_derive(AG_ENV_SANDBOX, uri, derived, sizeof derived, &len, NULL) == ANTAG_OK &&
        hash_message(c, (struct antag_slice){(const uint8_t *)derived, len}, body, r->digests[1]) ==
            ANTAG_OK)
        r->digest_count = 2;
    return ANTAG_OK;
}

static enum antag_err read_message(const struct ctl *c, struct ctl_reading *r,
                                   struct antag_fault *fault)
{
    static const char *const all[] = {"METHOD", "URI", "--client-id", "--time", "--body"};
    uint8_t *body = NULL;
    size_t count = 0, len = 0;
    enum antag_err err;

    for (size_t i = 0; i < 5; i++)
        count += ctl_args_get(&c->line, all[i]) != NULL;
    if (count == 0)
        return ANTAG_OK;
    if (count < 5)
        return antag_fault_set(
            fault, ANTAG_ERR_USAGE, NULL,
            "a message is found by all of METHOD URI --client-id --time --body, or none");
    err = ctl_read_body(ctl_args_get(&c->line, "--body"), &body, &len, fault);
    if (err == ANTAG_OK)
        err = message_digests(c, (struct antag_slice){body, len}, r, fault);
    free(body);
    return err;
}

static enum antag_err read_digest(const struct ctl *c, struct ctl_reading *r,
                                  struct antag_fault *fault)
{
    const char *text = ctl_args_get(&c->line, "--digest");
    size_t len = 0;

    if (text == NULL)
        return ANTAG_OK;
    if (r->digest_count > 0)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--digest",
                               "--digest and a message exclude each other");
    if (strlen(text) != 2 * CTL_DIGEST_LEN ||
        sodium_hex2bin(r->digests[0], CTL_DIGEST_LEN, text, strlen(text), NULL, &len, NULL) != 0 ||
        len != CTL_DIGEST_LEN)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--digest",
                               "--digest takes 64 hex digits, the SHA-256 of the string to sign");
    r->digest_count = 1;
    return ANTAG_OK;
}

/* CHAIN:SEQ, as an answer of the agent has it. */
static enum antag_err read_record(const struct ctl *c, struct ctl_chains *chains,
                                  struct ctl_reading *r, struct antag_fault *fault)
{
    const char *text = ctl_args_get(&c->line, "--record"), *colon;
    size_t i = 0;

    if (text == NULL)
        return ANTAG_OK;
    colon = strrchr(text, ':');
    if (colon == NULL || !ctl_args_uint(colon + 1, &r->seq) || r->seq == 0)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--record",
                               "--record takes CHAIN:SEQ, as in soft:1234, got %.60s", text);
    while (i < chains->count && (strlen(chains->names[i]) != (size_t)(colon - text) ||
                                 strncmp(chains->names[i], text, (size_t)(colon - text)) != 0))
        i++;
    if (i == chains->count)
        return antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "--record", "no chain %.*s is here",
                               (int)(colon - text > 40 ? 40 : colon - text), text);
    memmove(chains->names[0], chains->names[i], sizeof chains->names[0]);
    chains->count = 1;
    return ANTAG_OK;
}

enum antag_err ctl_run_audit_find(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct ctl_reading r = {.wants = wants_found,
                            .most = CTL_LINES_MOST,
                            .profile = ctl_audit_given(c, "--profile"),
                            .trace = ctl_audit_given(c, "--trace")};
    struct ctl_chains chains;
    enum antag_err err;

    if ((err = read_message(c, &r, fault)) != ANTAG_OK ||
        (err = read_digest(c, &r, fault)) != ANTAG_OK)
        return err;
    if (r.digest_count == 0 && r.trace.p == NULL && ctl_args_get(&c->line, "--record") == NULL)
        return antag_fault_set(
            fault, ANTAG_ERR_USAGE, NULL,
            "say what to look for: a message (METHOD URI --client-id --time --body), --digest, "
            "--trace or --record");
    if ((err = ctl_audit_list(c, &chains, fault)) != ANTAG_OK ||
        (err = read_record(c, &chains, &r, fault)) != ANTAG_OK ||
        (err = ctl_audit_read(c, &chains, &r, result, fault)) != ANTAG_OK)
        return err;
    (void)json_object_set_new(*result, "dropped", json_integer((json_int_t)r.dropped));
    if (json_array_size(json_object_get(*result, "lines")) == 0)
        c->exit_status = antag_err_exit(ANTAG_ERR_NOT_FOUND);
    return ANTAG_OK;
}

void ctl_render_audit_find(struct ctl *c, const json_t *result)
{
    const json_t *lines = json_object_get(result, "lines");

    if (json_array_size(lines) == 0) {
        ctl_put(stdout, c->colour, CTL_WAITS, "not found");
        (void)printf(": the record has no such signature\n");
    } else {
        ctl_audit_put_lines(c, lines);
    }
    ctl_audit_put_warning(c, result);
}
