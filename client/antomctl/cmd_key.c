/* key, antom-key: commands that hand over bytes; grant, fence, profile: what their rows of the
 * table cannot say alone. */
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/secretin.h"
#include "proto/message.h"

/* Ask the command's method with its arguments and secrets. */
static enum antag_err ask_with(struct ctl *c, const struct ag_secret *const *secrets, size_t count,
                               json_t **result, struct antag_fault *fault)
{
    return ctl_ask_args(c, c->line.command->method, secrets, count, result, fault);
}

/* With the one secret that is read from there. */
static enum antag_err hand_over(struct ctl *c, const struct ctl_secret_from *from, json_t **result,
                                struct antag_fault *fault)
{
    struct ag_secret *secret = NULL;
    const struct ag_secret *one[1];
    enum antag_err err;

    ctl_secret_setup();
    if ((err = ctl_secret_read(from, &secret, fault)) == ANTAG_OK) {
        one[0] = secret;
        err = ask_with(c, one, 1, result, fault);
    }
    ag_secret_free(secret);
    return err;
}

/* ---- keys */

enum antag_err ctl_run_key_import(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const struct ctl_secret_from from_key = {
        .kind = CTL_KEY,
        .path = ctl_args_get(&c->line, "--file"),
        .option = "--file",
        .prompt = "Paste the private key (it is not shown)",
    };
    const struct ctl_secret_from from_passphrase = {
        .kind = CTL_PASSPHRASE,
        .path = ctl_args_get(&c->line, "--passphrase-file"),
        .option = "--passphrase-file",
        .prompt = "Passphrase of the private key",
    };
    struct ag_secret *key = NULL, *passphrase = NULL;
    const struct ag_secret *both[2];
    enum antag_err err;

    ctl_secret_setup();
    if ((err = ctl_secret_read(&from_key, &key, fault)) != ANTAG_OK)
        goto out;
    if (from_passphrase.path != NULL &&
        (err = ctl_secret_read(&from_passphrase, &passphrase, fault)) != ANTAG_OK)
        goto out;
    both[0] = key;
    both[1] = passphrase;
    err = ask_with(c, both, passphrase != NULL ? 2 : 1, result, fault);
    if (err != ANTAG_ERR_KEY_ENCRYPTED || passphrase != NULL || !ctl_secret_can_ask())
        goto out;
    if ((err = ctl_secret_ask(&from_passphrase, &passphrase, fault)) != ANTAG_OK)
        goto out;
    both[1] = passphrase;
    err = ask_with(c, both, 2, result, fault);
out:
    ag_secret_free(key);
    ag_secret_free(passphrase);
    return err;
}

enum antag_err ctl_run_antom_key_add(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    /* public, but read like the other: a private key given by mistake must not lie about either */
    const struct ctl_secret_from from = {
        .kind = CTL_KEY,
        .path = ctl_args_get(&c->line, "--file"),
        .option = "--file",
        .prompt = "Paste Antom's public key (it is not shown)",
    };

    return hand_over(c, &from, result, fault);
}

enum antag_err ctl_run_sandbox_set(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE,
        .path = ctl_args_get(&c->line, "--password-file"),
        .option = "--password-file",
        .prompt = "Password of the sandbox buyer",
    };
    struct ag_secret *password = NULL;
    const struct ag_secret *one[1];
    enum antag_err err;

    ctl_secret_setup();
    if (from.path != NULL && (err = ctl_secret_read(&from, &password, fault)) != ANTAG_OK)
        return err;
    one[0] = password;
    err = ask_with(c, one, password != NULL ? 1 : 0, result, fault);
    ag_secret_free(password);
    return err;
}

enum antag_err ctl_run_merchant_token(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE, /* one line */
        .path = ctl_args_get(&c->line, "--file"),
        .option = "--file",
        .prompt = "Authorization token of the merchant",
    };

    return hand_over(c, &from, result, fault);
}

/* One page behind `after`. */
static enum antag_err list_page(struct ctl *c, int64_t after, json_t **page,
                                struct antag_fault *fault)
{
    struct antag_writer params;
    enum antag_err err;

    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    ctl_pairs(c, &params);
    antag_w_kv_uint(&params, "after", (uint64_t)after);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, c->line.command->method, &params, NULL, 0, page, fault);
    antag_writer_fini(&params);
    return err;
}

/* All pages as one list. */
enum antag_err ctl_run_merchant_list(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    json_t *all = json_array(), *page = NULL;
    int64_t after = 0;
    bool more = true;
    enum antag_err err = ANTAG_OK;

    while (more && (err = list_page(c, after, &page, fault)) == ANTAG_OK) {
        (void)json_array_extend(all, json_object_get(page, "merchants"));
        more = ctl_json_int(page, "next", &after);
        json_decref(page);
        page = NULL;
    }
    if (err == ANTAG_OK) {
        *result = json_object();
        (void)json_object_set(*result, "merchants", all);
    }
    json_decref(all);
    return err;
}

void ctl_render_key_export(struct ctl *c, const json_t *result)
{
    const char *text = ctl_json_text(result, "public_key");
    char *key = ctl_clean_lines(text, strlen(text));
    char *fingerprint;
    size_t len = strlen(key);

    (void)c;
    (void)printf("%s%s", key, len > 0 && key[len - 1] == '\n' ? "" : "\n");
    (void)fflush(stdout);
    text = ctl_json_text(result, "fingerprint");
    fingerprint = ctl_clean(text, strlen(text));
    (void)fprintf(stderr, "%s\n", fingerprint);
    free(key);
    free(fingerprint);
}

/* ---- what the table cannot say */

static enum antag_err refuse_usage(struct ctl *c, const char *why, struct antag_fault *fault)
{
    char usage[CTL_USAGE_MAX];

    ctl_args_usage(c->line.command, usage, sizeof(usage));
    return antag_fault_set(fault, ANTAG_ERR_USAGE, NULL, "%s; the form is: %s", why, usage);
}

enum antag_err ctl_check_profile_set(struct ctl *c, struct antag_fault *fault)
{
    for (size_t i = 0; i < c->line.count; i++) {
        const struct ctl_arg *arg = c->line.given[i].arg;

        if (arg->key != NULL && arg->name[0] == '-')
            return ANTAG_OK;
    }
    return refuse_usage(c, "nothing to set was given", fault);
}

enum antag_err ctl_check_grant_add(struct ctl *c, struct antag_fault *fault)
{
    int who = ctl_args_has(&c->line, "--uid") + ctl_args_has(&c->line, "--gid") +
              ctl_args_has(&c->line, "--unit");

    if (who != 1)
        return refuse_usage(c, "exactly one of --uid, --gid and --unit says who", fault);
    return ANTAG_OK;
}

enum antag_err ctl_check_fence_remove(struct ctl *c, struct antag_fault *fault)
{
    uint64_t number;
    bool by_number = ctl_args_uint(ctl_args_get(&c->line, "FENCE|APP/ENV"), &number);

    if (by_number == ctl_args_has(&c->line, "--path"))
        return refuse_usage(c, "a number stands alone, a profile needs its --path", fault);
    return ANTAG_OK;
}

/* The number of the exception `path` of `profile`. */
static enum antag_err find_fence(struct ctl *c, const char *profile, const char *path, int64_t *out,
                                 struct antag_fault *fault)
{
    json_t *all = NULL, *row;
    struct antag_writer params;
    enum antag_err err;
    bool found = false;
    size_t i;

    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    antag_w_kv_str(&params, "profile", profile);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, "fence_list", &params, NULL, 0, &all, fault);
    json_array_foreach(json_object_get(all, "fences"), i, row)
    {
        if (!found && strcmp(ctl_json_text(row, "path"), path) == 0)
            found = ctl_json_int(row, "fence", out);
    }
    if (err == ANTAG_OK && !found)
        err = antag_fault_set(fault, ANTAG_ERR_NOT_FOUND, "path",
                              "%s has no exception \"%.200s\"; antomctl fence list shows them",
                              profile, path);
    json_decref(all);
    antag_writer_fini(&params);
    return err;
}

enum antag_err ctl_run_fence_remove(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const char *which = ctl_args_get(&c->line, "FENCE|APP/ENV");
    const char *path = ctl_args_get(&c->line, "--path");
    struct antag_writer params;
    uint64_t number = 0;
    int64_t found = 0;
    enum antag_err err;

    if (!ctl_args_uint(which, &number)) {
        if ((err = find_fence(c, which, path, &found, fault)) != ANTAG_OK)
            return err;
        number = (uint64_t)found;
    }
    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    antag_w_kv_uint(&params, "fence", number);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, "fence_remove", &params, NULL, 0, result, fault);
    antag_writer_fini(&params);
    return err;
}
