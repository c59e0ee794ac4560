/* change: what waits for approval, shown; and its approval: look, have a code mailed, type it. */
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "antag/limits.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/json.h"
#include "client/antomctl/secretin.h"
#include "client/antomctl/view.h"

#define DIGEST_LEN   32
#define DIGEST_SHOWN 16 /* hex digits that must be given at least */

/* ---- showing */

static const struct ctl_column parts[] = {
    {"change", "change", CTL_AS_INT},        {"digest", "digest", CTL_AS_TEXT},
    {"state", "state", CTL_AS_STATE},        {"since", "state_ms", CTL_AS_TIME},
    {"asks for", "method", CTL_AS_TEXT},     {"profile", "profile", CTL_AS_TEXT},
    {"asked by uid", "uid", CTL_AS_INT},     {"account", "account", CTL_AS_TEXT},
    {"host", "host", CTL_AS_TEXT},           {"asked", "opened_ms", CTL_AS_TIME},
    {"reason", "reason", CTL_AS_TEXT},       {"quorum", "quorum", CTL_AS_TEXT},
    {"waits for", "waits_for", CTL_AS_TEXT}, {"until", "until_ms", CTL_AS_TIME},
    {"who can act", "who", CTL_AS_UIDS},     {.head = NULL},
};

static const struct ctl_column alters[] = {
    {"ALTERS", "what", CTL_AS_TEXT},
    {"FROM", "was", CTL_AS_TEXT},
    {"TO", "is", CTL_AS_TEXT},
    {.head = NULL},
};

static const struct ctl_column approvals[] = {
    {"APPROVED BY", "uid", CTL_AS_INT},
    {"USER", "uid", CTL_AS_USER},
    {"WHEN", "at_ms", CTL_AS_TIME},
    {"RECOVERY CODE", "recovery", CTL_AS_BOOL},
    {.head = NULL},
};

static void put_change(struct ctl *c, const json_t *change)
{
    const json_t *given = json_object_get(change, "approvals");

    ctl_view_lines(c, parts, change);
    (void)putchar('\n');
    ctl_view_rows(c, alters, json_object_get(change, "alters"));
    if (json_array_size(given) > 0) {
        (void)putchar('\n');
        ctl_view_rows(c, approvals, given);
    }
}

static bool is_open(const json_t *change)
{
    return strcmp(ctl_json_text(change, "state"), "open") == 0;
}

static int64_t number_of(const json_t *change)
{
    int64_t id = 0;

    (void)ctl_json_int(change, "change", &id);
    return id;
}

void ctl_render_change(struct ctl *c, const json_t *result)
{
    put_change(c, result);
    if (is_open(result))
        ctl_next(c, "change approve %lld", (long long)number_of(result));
}

void ctl_render_opened(struct ctl *c, const json_t *opened)
{
    put_change(c, opened);
    (void)putchar('\n');
    ctl_say("This touches a launched application. Nothing was altered yet: it waits for approval, "
            "and those who may approve it were mailed.");
    ctl_next(c, "change show %lld", (long long)number_of(opened));
}

static const struct ctl_column rows[] = {
    {"CHANGE", "change", CTL_AS_INT},
    {"STATE", "state", CTL_AS_STATE},
    {"SINCE", "state_ms", CTL_AS_AGO},
    {"ASKS FOR", "method", CTL_AS_TEXT},
    {"PROFILE", "profile", CTL_AS_TEXT},
    {"BY UID", "uid", CTL_AS_INT},
    {"WAITS FOR", "waits_for", CTL_AS_TEXT},
    {"UNTIL", "until_ms", CTL_AS_AGO},
    {"WHO", "who", CTL_AS_UIDS},
    {.head = NULL},
};
const struct ctl_view ctl_view_changes = {
    .list = "changes",
    .columns = rows,
    .empty = "No change waits for approval.",
    .empty_next = "change list --all",
};

/* ---- approving */

/* --digest: of the change as somebody saw it elsewhere. */
static enum antag_err check_pinned(struct ctl *c, const char *digest, struct antag_fault *fault)
{
    const char *given = ctl_args_get(&c->line, "--digest");

    if (given == NULL)
        return ANTAG_OK;
    if (strlen(given) < DIGEST_SHOWN || strspn(given, "0123456789abcdef") != strlen(given))
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "digest",
                               "--digest takes at least the first %d hex digits, lower case",
                               DIGEST_SHOWN);
    if (strncmp(given, digest, strlen(given)) != 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "digest",
                               "--digest %s: the change has the digest %s", given, digest);
    return ANTAG_OK;
}

/* {change, digest, and for the last step code and recovery} */
static enum antag_err ask_with(struct ctl *c, const char *method, const json_t *change,
                               const struct ag_secret *code, bool recovery, json_t **out,
                               struct antag_fault *fault)
{
    const char *hex = ctl_json_text(change, "digest");
    uint8_t digest[DIGEST_LEN];
    struct antag_writer params;
    size_t len = 0;
    enum antag_err err;

    if (sodium_hex2bin(digest, sizeof(digest), hex, strlen(hex), NULL, &len, NULL) != 0 ||
        len != sizeof(digest))
        return antag_fault_set(fault, ANTAG_ERR_INTERNAL, NULL,
                               "the agent gave no digest of the change");
    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    antag_w_kv_uint(&params, "change", (uint64_t)number_of(change));
    antag_w_kv_bin(&params, "digest", (struct antag_slice){digest, sizeof(digest)});
    if (code != NULL) {
        antag_w_kv_strn(&params, "code", ag_secret_slice(code));
        antag_w_kv_bool(&params, "recovery", recovery);
    }
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, method, &params, NULL, 0, out, fault);
    antag_writer_fini(&params);
    return err;
}

static enum antag_err enter(struct ctl *c, const json_t *change, json_t **out,
                            struct antag_fault *fault)
{
    bool recovery = ctl_args_has(&c->line, "--recovery");
    struct ctl_secret_from from = {.kind = CTL_PASSPHRASE,
                                   .option = "standard input",
                                   .prompt = recovery ? "Recovery code" : "Code from the mail"};
    struct ag_secret *code = NULL;
    enum antag_err err = ctl_secret_read(&from, &code, fault);

    if (err == ANTAG_OK)
        err = ask_with(c, "change_approve", change, code, recovery, out, fault);
    ag_secret_free(code);
    return err;
}

/* The terminal shows what is approved, whatever the mail said. */
static void put_first(struct ctl *c, const json_t *change)
{
    if (c->line.json)
        return;
    put_change(c, change);
    (void)putchar('\n');
    (void)fflush(stdout);
}

static enum antag_err mail_and_enter(struct ctl *c, const json_t *change, json_t **out,
                                     struct antag_fault *fault)
{
    enum antag_err err = ask_with(c, "change_code", change, NULL, false, out, fault);

    if (err != ANTAG_OK || !ctl_secret_can_ask())
        return err;
    (void)fprintf(stderr, "A code was mailed to %s. It holds for 15 minutes.\n",
                  ctl_json_text(*out, "mail"));
    json_decref(*out);
    *out = NULL;
    return enter(c, change, out, fault);
}

enum antag_err ctl_run_change_approve(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    json_t *change = NULL;
    enum antag_err err;

    ctl_secret_setup();
    if ((err = ctl_ask_args(c, "change_show", NULL, 0, &change, fault)) != ANTAG_OK)
        return err;
    put_first(c, change);
    if ((err = check_pinned(c, ctl_json_text(change, "digest"), fault)) != ANTAG_OK)
        goto out;
    if (ctl_args_has(&c->line, "--enter") || ctl_args_has(&c->line, "--recovery"))
        err = enter(c, change, result, fault);
    else
        err = mail_and_enter(c, change, result, fault);
out:
    json_decref(change);
    return err;
}

void ctl_render_change_approve(struct ctl *c, const json_t *result)
{
    const char *state = ctl_json_text(result, "state");
    long long id = (long long)number_of(result);
    char text[CTL_LINE_MAX];

    if (state[0] == '\0') {
        (void)snprintf(text, sizeof(text),
                       "A code was mailed to %s. It holds for 15 minutes from the moment the mail "
                       "server takes it; `antomctl mail list` shows whether it has.",
                       ctl_json_text(result, "mail"));
        ctl_say(text);
        ctl_next(c, "change approve %lld --enter", id);
        return;
    }
    (void)printf("change %lld is ", id);
    ctl_put(stdout, c->colour, ctl_state_colour(state), state);
    if (ctl_json_text(result, "reason")[0] != '\0')
        (void)printf(": %s", ctl_json_text(result, "reason"));
    (void)putchar('\n');
    if (is_open(result)) {
        (void)snprintf(text, sizeof(text), "It waits for %s.", ctl_json_text(result, "waits_for"));
        ctl_say(text);
    }
    if (strcmp(state, "failed") == 0 || strcmp(state, "stale") == 0)
        c->exit_status = antag_err_exit(ANTAG_ERR_CHANGE_STATE);
}
