/* views: which keys of which result are shown, and what comes next. Data, and the hints. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/antomctl/json.h"
#include "client/antomctl/view.h"

#define COLUMNS(...) ((const struct ctl_column[]){__VA_ARGS__, {NULL, NULL, CTL_AS_TEXT}})

/* ---- applications and profiles */

static const struct ctl_column PROFILE_ROWS[] = {
    {"PROFILE", "profile", CTL_AS_TEXT},   {"CLIENT ID", "client_id", CTL_AS_TEXT},
    {"KEY", "active_version", CTL_AS_INT}, {"ANTOM KEY", "antom_version", CTL_AS_INT},
    {"MISSING", "missing", CTL_AS_WORDS},  {NULL, NULL, CTL_AS_TEXT},
};

static void after_app(struct ctl *c, const json_t *app)
{
    (void)putchar('\n');
    ctl_view_rows(c, PROFILE_ROWS, json_object_get(app, "profiles"));
}

static void after_app_made(struct ctl *c, const json_t *app)
{
    after_app(c, app);
    (void)putchar('\n');
    ctl_next(c, "profile set %s/sandbox --client-id ID --gateway URL", ctl_json_text(app, "app"));
}

#define APP_COLUMNS                                                                                \
    COLUMNS({"application", "app", CTL_AS_TEXT}, {"role", "role", CTL_AS_TEXT},                    \
            {"type", "type", CTL_AS_TEXT}, {"region", "region", CTL_AS_TEXT},                      \
            {"product", "product", CTL_AS_TEXT}, {"scenarios", "scenarios", CTL_AS_LINES},         \
            {"currency", "currency", CTL_AS_TEXT}, {"description", "description", CTL_AS_TEXT},    \
            {"dashboard", "dashboard_account", CTL_AS_TEXT}, {"status", "status", CTL_AS_STATE},   \
            {"created", "created_at_ms", CTL_AS_TIME})

const struct ctl_view ctl_view_app = {.columns = APP_COLUMNS, .after = after_app};
const struct ctl_view ctl_view_app_made = {.columns = APP_COLUMNS, .after = after_app_made};

const struct ctl_view ctl_view_apps = {
    .list = "apps",
    .columns =
        COLUMNS({"APPLICATION", "app", CTL_AS_TEXT}, {"ROLE", "role", CTL_AS_TEXT},
                {"REGION", "region", CTL_AS_TEXT}, {"PRODUCT", "product", CTL_AS_TEXT},
                {"CURRENCY", "currency", CTL_AS_TEXT}, {"PROFILES", "profiles", CTL_AS_PROFILES}),
    .empty = "There is no application yet.",
    .empty_next = "app create shop --role merchant --region SG --product CASHIER_PAYMENT "
                  "--currency SGD",
};

/* Each thing that is missing names the command that adds it. */
static void after_profile(struct ctl *c, const json_t *profile)
{
    char command[CTL_LINE_MAX];
    size_t i;
    json_t *v;

    json_array_foreach(json_object_get(profile, "missing"), i, v)
    {
        if (json_is_string(v) && ctl_named_command(c, json_string_value(v), command))
            ctl_next_line(command);
    }
}

const struct ctl_view ctl_view_profile = {
    .columns = COLUMNS(
        {"profile", "profile", CTL_AS_TEXT}, {"client id", "client_id", CTL_AS_TEXT},
        {"gateway", "gateway", CTL_AS_TEXT}, {"notifications to", "notify_url", CTL_AS_TEXT},
        {"response age", "response_max_age_ms", CTL_AS_AGE},
        {"notification age", "notification_max_age_ms", CTL_AS_AGE},
        {"key period, days", "cryptoperiod_days", CTL_AS_INT},
        {"launched", "launched", CTL_AS_BOOL}, {"quorum", "quorum", CTL_AS_TEXT},
        {"isv client id", "isv_client_id", CTL_AS_TEXT},
        {"isv customer id", "isv_customer_id", CTL_AS_TEXT},
        {"test customer id", "test_customer_id", CTL_AS_TEXT},
        {"merchant key", "active_version", CTL_AS_INT}, {"Antom key", "antom_version", CTL_AS_INT},
        {"missing", "missing", CTL_AS_WORDS}),
    .after = after_profile,
};

/* ---- merchant keys */

#define KEY_COLUMNS                                                                                \
    {"profile", "profile", CTL_AS_TEXT}, {"version", "version", CTL_AS_INT},                       \
        {"state", "state", CTL_AS_STATE}, {"since", "state_since_ms", CTL_AS_TIME},                \
        {"reason", "reason", CTL_AS_TEXT}, {"waits for", NULL, CTL_AS_WAITS},                      \
        {"key_version", "key_version", CTL_AS_INT}, {"keyring", "keyring", CTL_AS_TEXT},           \
        {"bits", "bits", CTL_AS_INT}, {"origin", "origin", CTL_AS_TEXT},                           \
        {"created", "created_at_ms", CTL_AS_TIME},                                                 \
    {                                                                                              \
        "fingerprint", "fingerprint", CTL_AS_TEXT                                                  \
    }

static void after_key_made(struct ctl *c, const json_t *key)
{
    const char *profile = ctl_json_text(key, "profile");
    bool is_active = strcmp(ctl_json_text(key, "state"), "active") == 0;
    int64_t version = 0;

    (void)ctl_json_int(key, "version", &version);
    (void)putchar('\n');
    ctl_say(is_active
                ? "It signs now. Give its public half to Antom's dashboard:"
                : "It is staged. Give its public half to Antom's dashboard, then activate it:");
    ctl_next(c, "key export %s --version %" PRId64, profile, version);
    if (!is_active)
        ctl_next(c, "key activate %s %" PRId64, profile, version);
}

static void after_key_shown(struct ctl *c, const json_t *key)
{
    const char *public_key = ctl_json_text(key, "public_key");
    char *clean = ctl_clean_lines(public_key, strlen(public_key));

    (void)c;
    (void)printf("\n%s\n", clean); /* not broken into lines: it is there to be copied */
    free(clean);
}

const struct ctl_view ctl_view_key = {.columns = COLUMNS(KEY_COLUMNS)};
const struct ctl_view ctl_view_key_made = {.columns = COLUMNS(KEY_COLUMNS),
                                           .after = after_key_made};
const struct ctl_view ctl_view_key_shown = {.columns = COLUMNS(KEY_COLUMNS),
                                            .after = after_key_shown};

/* What a key waits for is a sentence: behind the table, for those that wait. */
static void after_keys(struct ctl *c, const json_t *result)
{
    static const struct ctl_column waits = {"waits for", NULL, CTL_AS_WAITS};
    size_t i;
    json_t *key;

    (void)c;
    json_array_foreach(json_object_get(result, "keys"), i, key)
    {
        char *text = ctl_view_text(&waits, key), line[CTL_LINE_MAX];
        int64_t version = 0;

        (void)ctl_json_int(key, "version", &version);
        (void)snprintf(line, sizeof(line), "version %" PRId64 " waits for: %s", version, text);
        if (strcmp(ctl_json_text(key, "state"), "active") != 0 && *text != '\0')
            ctl_say(line);
        free(text);
    }
}

const struct ctl_view ctl_view_keys = {
    .list = "keys",
    .columns = COLUMNS({"VERSION", "version", CTL_AS_INT}, {"STATE", "state", CTL_AS_STATE},
                       {"KEY_VERSION", "key_version", CTL_AS_INT}, {"BITS", "bits", CTL_AS_INT},
                       {"SINCE", "state_since_ms", CTL_AS_AGO},
                       {"FINGERPRINT", "fingerprint", CTL_AS_PRINT}),
    .after = after_keys,
    .empty = "This profile has no merchant key yet.",
    .empty_next = "key generate %s",
};

/* ---- Antom keys */

static void after_antom_key(struct ctl *c, const json_t *key)
{
    int64_t version = 0;

    (void)ctl_json_int(key, "version", &version);
    if (strcmp(ctl_json_text(key, "state"), "staged") == 0)
        ctl_next(c, "antom-key activate %s %" PRId64, ctl_json_text(key, "profile"), version);
}

const struct ctl_view ctl_view_antom_key = {
    .after = after_antom_key,
    .columns = COLUMNS({"profile", "profile", CTL_AS_TEXT}, {"version", "version", CTL_AS_INT},
                       {"state", "state", CTL_AS_STATE}, {"since", "state_since_ms", CTL_AS_TIME},
                       {"waits for", "waits_for", CTL_AS_TEXT}, {"until", "until_ms", CTL_AS_TIME},
                       {"bits", "bits", CTL_AS_INT}, {"created", "created_at_ms", CTL_AS_TIME},
                       {"fingerprint", "fingerprint", CTL_AS_TEXT}),
};

const struct ctl_view ctl_view_antom_keys = {
    .list = "antom_keys",
    .columns =
        COLUMNS({"PROFILE", "profile", CTL_AS_TEXT}, {"VERSION", "version", CTL_AS_INT},
                {"STATE", "state", CTL_AS_STATE}, {"SINCE", "state_since_ms", CTL_AS_AGO},
                {"UNTIL", "until_ms", CTL_AS_AGO}, {"FINGERPRINT", "fingerprint", CTL_AS_PRINT}),
    .empty = "There is no Antom key yet, so nothing can be verified.",
    .empty_next = "antom-key add %s --file FILE",
};

/* ---- grants and fence exceptions */

#define GRANT_COLUMNS(G, P, W, O, M, A, Q, B, R)                                                   \
    COLUMNS({G, "grant", CTL_AS_INT}, {P, "profile", CTL_AS_TEXT}, {W, NULL, CTL_AS_WHO},          \
            {O, "ops", CTL_AS_LINES}, {M, "methods", CTL_AS_LIST}, {A, "paths", CTL_AS_LIST},      \
            {Q, "query", CTL_AS_BOOL}, {B, "max_body", CTL_AS_BYTES}, {R, NULL, CTL_AS_RATE})

const struct ctl_view ctl_view_grant = {
    .columns = GRANT_COLUMNS("grant", "profile", "who", "may", "methods", "paths", "with query",
                             "body", "rate"),
};

const struct ctl_view ctl_view_grants = {
    .list = "grants",
    .columns = GRANT_COLUMNS("GRANT", "PROFILE", "WHO", "MAY", "METHODS", "PATHS", "QUERY", "BODY",
                             "RATE"),
    .empty = "There is no grant: nobody may sign or verify.",
    .empty_next = "grant add %s --uid N --ops sign,verify",
};

const struct ctl_view ctl_view_fence = {
    .columns = COLUMNS({"fence", "fence", CTL_AS_INT}, {"profile", "profile", CTL_AS_TEXT},
                       {"excepted path", "path", CTL_AS_TEXT}),
};

const struct ctl_view ctl_view_fences = {
    .list = "fences",
    .columns = COLUMNS({"FENCE", "fence", CTL_AS_INT}, {"PROFILE", "profile", CTL_AS_TEXT},
                       {"EXCEPTED PATH", "path", CTL_AS_TEXT}),
    .empty =
        "The fence has no exceptions: sandbox profiles sign sandbox paths only, live ones never.",
    .empty_next = NULL,
};

/* ---- sandbox */

const struct ctl_view ctl_view_sandbox = {
    .columns = COLUMNS({"profile", "profile", CTL_AS_TEXT}, {"buyer", "buyer_account", CTL_AS_TEXT},
                       {"password kept", "has_password", CTL_AS_BOOL},
                       {"merchant", "merchant_account", CTL_AS_TEXT})};
const struct ctl_view ctl_view_sandbox_password = {
    .columns = COLUMNS({"profile", "profile", CTL_AS_TEXT}, {"buyer", "buyer_account", CTL_AS_TEXT},
                       {"password", "password", CTL_AS_TEXT})};

/* ---- merchants */

#define MERCHANT_COLUMNS(P, M, S, T, W, U, L, D, TIME)                                             \
    COLUMNS({P, "profile", CTL_AS_TEXT}, {M, "merchant", CTL_AS_TEXT}, {S, "state", CTL_AS_STATE}, \
            {T, "state_ms", TIME}, {W, "token_ms", TIME}, {U, "used", CTL_AS_INT},                 \
            {L, "used_ms", TIME}, {D, "description", CTL_AS_TEXT})

const struct ctl_view ctl_view_merchant = {
    .columns = MERCHANT_COLUMNS("profile", "merchant", "state", "since", "token of", "signed for",
                                "last time", "description", CTL_AS_TIME)};

const struct ctl_view ctl_view_merchants = {
    .list = "merchants",
    .columns = MERCHANT_COLUMNS("PROFILE", "MERCHANT", "STATE", "SINCE", "TOKEN OF", "SIGNED FOR",
                                "LAST TIME", "DESCRIPTION", CTL_AS_AGO),
    .empty = "There is no merchant.",
    .empty_next = "merchant add %s MERCHANT --file FILE",
};

const struct ctl_view ctl_view_merchant_url = {
    .columns = COLUMNS({"application", "app", CTL_AS_TEXT},
                       {"authorization URL", "authorization_url", CTL_AS_TEXT})};

/* ---- staff */

#define STAFF_COLUMNS(U, N, R, M, V)                                                               \
    COLUMNS({U, "uid", CTL_AS_INT}, {N, "uid", CTL_AS_USER}, {R, "roles", CTL_AS_LINES},           \
            {M, "mail", CTL_AS_TEXT}, {V, "mail_verified", CTL_AS_BOOL})

const struct ctl_view ctl_view_person = {
    .columns = STAFF_COLUMNS("uid", "user", "roles", "mail", "verified")};

const struct ctl_view ctl_view_staff = {
    .list = "staff",
    .columns = STAFF_COLUMNS("UID", "USER", "ROLES", "MAIL", "VERIFIED"),
    .empty = "Nobody is enrolled.", /* which the agent does not let happen */
};

/* ---- keyrings */

const struct ctl_view ctl_view_keyrings = {
    .list = "keyrings",
    .columns = COLUMNS({"KEYRING", "keyring", CTL_AS_TEXT}, {"TYPE", "type", CTL_AS_TEXT},
                       {"STATE", "state", CTL_AS_STATE}, {"PIN", "pin", CTL_AS_TEXT},
                       {"SINCE", "pin_ms", CTL_AS_AGO}, {"SIGNED", "signed", CTL_AS_INT},
                       {"FAILED", "failed", CTL_AS_INT}, {"P50 US", "p50_us", CTL_AS_INT},
                       {"P99 US", "p99_us", CTL_AS_INT}, {"WHY", "why", CTL_AS_TEXT}),
    .empty = "There is no keyring.", /* "soft" always is */
};

const struct ctl_view ctl_view_keyring = {
    .columns = COLUMNS({"keyring", "keyring", CTL_AS_TEXT}, {"state", "state", CTL_AS_STATE},
                       {"why", "why", CTL_AS_TEXT}, {"PIN", "pin", CTL_AS_TEXT},
                       {"PIN since", "pin_ms", CTL_AS_TIME}),
};

/* ---- mail */

const struct ctl_view ctl_view_mails = {
    .list = "mails",
    .columns = COLUMNS({"MAIL", "mail", CTL_AS_INT}, {"STATE", "state", CTL_AS_STATE},
                       {"SINCE", "state_ms", CTL_AS_AGO}, {"TRIED", "attempts", CTL_AS_INT},
                       {"TO", "to", CTL_AS_TEXT}, {"SUBJECT", "subject", CTL_AS_TEXT},
                       {"LAST ERROR", "error", CTL_AS_TEXT}),
    .empty = "No mail waits, and none was sent in the last week.",
    .empty_next = NULL,
};

/* ---- the registry */

const struct ctl_view ctl_view_confirmed = {.columns = COLUMNS({"epoch", "epoch", CTL_AS_INT})};

/* ---- lock and unlock */

static void after_state(struct ctl *c, const json_t *result)
{
    if (strcmp(ctl_json_text(result, "state"), "locked") == 0)
        ctl_next(c, "unlock");
}

const struct ctl_view ctl_view_state = {.columns = COLUMNS({"agent", "state", CTL_AS_STATE}),
                                        .after = after_state};
