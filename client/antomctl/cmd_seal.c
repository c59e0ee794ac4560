/* unlock, seal, keyring: commands about what root key and tokens open with; passphrases and PINs are asked for, never
 * arguments. */
#include <string.h>

#include "agent/core/sealtype.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/secretin.h"
#include "client/antomctl/view.h"

static const char *file_of(const struct ctl *c)
{
    const char *path = ctl_args_get(&c->line, "--passphrase-file");

    return path != NULL ? path : ctl_args_get(&c->line, "--file");
}

/* The command's method with its arguments, and a passphrase or NULL. */
static enum antag_err ask_with(struct ctl *c, const struct ag_secret *passphrase, json_t **result,
                               struct antag_fault *fault)
{
    return ctl_ask_args(c, c->line.command->method, &passphrase, passphrase != NULL ? 1 : 0, result,
                        fault);
}

/* ---- unlock */

/* A TPM's seal opens by itself or not at all; then its recovery passphrase does. */
static enum antag_err unlock_tpm(struct ctl *c, const struct ctl_secret_from *from, json_t **result,
                                 struct antag_fault *fault)
{
    struct ag_secret *passphrase = NULL;
    enum antag_err err = ANTAG_ERR_SEAL;

    if (from->path == NULL &&
        ((err = ask_with(c, NULL, result, fault)) != ANTAG_ERR_SEAL || !ctl_secret_can_ask()))
        return err;
    if (from->path == NULL)
        ctl_say(antag_fault_text(fault));
    ctl_secret_setup();
    if ((err = from->path != NULL ? ctl_secret_read(from, &passphrase, fault)
                                  : ctl_secret_ask(from, &passphrase, fault)) == ANTAG_OK)
        err = ask_with(c, passphrase, result, fault);
    ag_secret_free(passphrase);
    return err;
}

enum antag_err ctl_run_unlock(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE,
        .path = file_of(c),
        .option = "--passphrase-file",
        .prompt = "Passphrase of the agent",
    };
    struct ag_secret *passphrase = NULL;
    json_t *status = NULL;
    const char *seal;
    enum antag_err err;
    bool is_open;

    /* which seal it is, and whether there is anything to open, only the agent knows */
    err = ctl_ask(c, CTL_STAFF, "status", NULL, NULL, 0, &status, fault);
    if (err != ANTAG_OK)
        goto out;
    seal = ctl_json_text(status, "seal");
    is_open = strcmp(ctl_json_text(status, "state"), "ready") == 0;
    if (!is_open && strcmp(seal, "tpm") == 0) {
        from.prompt = "Recovery passphrase of the seal";
        err = unlock_tpm(c, &from, result, fault);
        goto out;
    }
    if (!is_open && strcmp(seal, "passphrase") == 0) {
        ctl_secret_setup();
        if ((err = ctl_secret_read(&from, &passphrase, fault)) != ANTAG_OK)
            goto out;
    }
    err = ask_with(c, passphrase, result, fault);
out:
    ag_secret_free(passphrase);
    json_decref(status);
    return err;
}

/* ---- seal */

enum antag_err ctl_run_seal_change(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const char *type = ctl_args_get(&c->line, "TYPE");
    bool tpm = strcmp(type, "tpm") == 0; /* TYPE is required */
    const struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE,
        .path = file_of(c),
        .option = "--passphrase-file",
        .prompt = tpm ? "Recovery passphrase, for the day the TPM or its PCRs are others"
                      : "Passphrase that will open the agent",
        .twice = true,
    };
    struct ag_secret *passphrase = NULL;
    enum antag_err err;

    if (ag_seal_takes_passphrase(ag_seal_type_of(antag_slice_of(type))) || from.path != NULL) {
        ctl_secret_setup();
        if ((err = ctl_secret_read(&from, &passphrase, fault)) != ANTAG_OK)
            return err;
    }
    err = ask_with(c, passphrase, result, fault);
    ag_secret_free(passphrase);
    return err;
}

/* As it is, bound to the PCRs of now. */
enum antag_err ctl_run_seal_renew(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct antag_writer params;
    enum antag_err err;

    antag_writer_init(&params, 1024);
    antag_w_map(&params);
    antag_w_kv_str(&params, "type", "tpm");
    ctl_pairs(c, &params);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, c->line.command->method, &params, NULL, 0, result, fault);
    antag_writer_fini(&params);
    return err;
}

static const char *opening(const char *type, bool opens)
{
    if (strcmp(type, "passphrase") == 0)
        return "by its passphrase: the agent starts locked, and `antomctl unlock` asks for it";
    return opens ? "by itself, at the next start" : "NOT by itself any more";
}

void ctl_render_seal(struct ctl *c, const json_t *seal)
{
    static const struct ctl_column columns[] = {
        {"seal", "type", CTL_AS_TEXT},    {"PCRs", "pcrs", CTL_AS_TEXT},
        {"file", "path", CTL_AS_TEXT},    {"opens", "opens_how", CTL_AS_TEXT},
        {"why not", "why", CTL_AS_TEXT},  {"changed", "since_ms", CTL_AS_TIME},
        {"by uid", "uid", CTL_AS_INT},    {"replaced", "replaced", CTL_AS_TEXT},
        {"opened by", "by", CTL_AS_TEXT}, {NULL, NULL, CTL_AS_TEXT},
    };
    const char *type = ctl_json_text(seal, "type");
    bool opens = json_is_true(json_object_get(seal, "opens"));
    bool passphrase = strcmp(type, "passphrase") == 0;
    json_t *shown = json_copy((json_t *)(uintptr_t)seal);

    if (shown == NULL)
        return;
    (void)json_object_set_new(shown, "opens_how", json_string(opening(type, opens)));
    if (passphrase)
        (void)json_object_del(shown, "why");
    if (json_is_true(json_object_get(seal, "pending")))
        (void)json_object_set_new(shown, "replaced",
                                  json_string("not yet: the old one opens; it is tried again"));
    if (json_is_true(json_object_get(seal, "by_recovery")))
        (void)json_object_set_new(shown, "by", json_string("its recovery passphrase"));
    ctl_view_lines(c, columns, shown);
    json_decref(shown);
    if (strcmp(type, "tpm") == 0 && !opens)
        ctl_next(c, "seal renew");
}

/* ---- keyring */

enum antag_err ctl_run_keyring_pin(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE,
        .path = file_of(c),
        .option = "--file",
        .prompt = "PIN of the token",
        .twice = true,
    };
    struct ag_secret *pin = NULL;
    enum antag_err err;

    ctl_secret_setup();
    if ((err = ctl_secret_read(&from, &pin, fault)) == ANTAG_OK)
        err = ask_with(c, pin, result, fault);
    ag_secret_free(pin);
    return err;
}
