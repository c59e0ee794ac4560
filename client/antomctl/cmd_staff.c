/* staff verify: a code is mailed to the caller's mailbox and typed back. */
#include <stdio.h>

#include "antag/limits.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/secretin.h"

/* From the terminal without echo, or from standard input; never an argument. */
static enum antag_err read_code(struct ag_secret **out, struct antag_fault *fault)
{
    static const struct ctl_secret_from from = {
        .kind = CTL_PASSPHRASE, .option = "standard input", .prompt = "Code from the mail"};

    return ctl_secret_read(&from, out, fault);
}

static enum antag_err enter_code(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    struct ag_secret *code = NULL;
    struct antag_writer params;
    enum antag_err err = read_code(&code, fault);

    if (err != ANTAG_OK)
        return err;
    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    antag_w_kv_strn(&params, "code", ag_secret_slice(code));
    antag_w_end(&params);
    ag_secret_free(code);
    err = ctl_ask(c, CTL_STAFF, "mailbox_verify", &params, NULL, 0, result, fault);
    antag_writer_fini(&params);
    return err;
}

enum antag_err ctl_run_staff_verify(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    enum antag_err err;

    ctl_secret_setup();
    if (ctl_args_has(&c->line, "--enter"))
        return enter_code(c, result, fault);
    err = ctl_ask_args(c, "mailbox_code", NULL, 0, result, fault);
    if (err != ANTAG_OK || !ctl_secret_can_ask())
        return err;
    (void)fprintf(stderr, "A code was mailed to %s. It holds for 15 minutes.\n",
                  ctl_json_text(*result, "mail"));
    json_decref(*result);
    *result = NULL;
    return enter_code(c, result, fault);
}

/* Shown this once. */
static void put_recovery(const json_t *codes)
{
    size_t i;
    json_t *code;

    if (json_array_size(codes) == 0)
        return;
    (void)putchar('\n');
    ctl_say(
        "Your recovery codes. Each approves one change in place of a mailed code, under your own "
        "account, and everybody is told. Write them down and keep them away from this host: they "
        "are shown this once.");
    json_array_foreach(codes, i, code)(void)
        printf("  %s%s", json_string_value(code), i % 4 == 3 ? "\n" : "");
}

void ctl_render_staff_verify(struct ctl *c, const json_t *result)
{
    if (json_object_get(result, "mail_verified") != NULL) {
        (void)printf("mailbox  %s is verified\n", ctl_json_text(result, "mail"));
        put_recovery(json_object_get(result, "recovery_codes"));
        return;
    }
    (void)printf("mailbox  %s\n", ctl_json_text(result, "mail"));
    ctl_say("A code was mailed there. It holds for 15 minutes from the moment the mail server "
            "takes it; "
            "`antomctl mail list` shows whether it has.");
    ctl_next(c, "staff verify --enter");
}
