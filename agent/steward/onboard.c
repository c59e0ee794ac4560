#include "agent/steward/onboard.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/quorum.h"
#include "agent/lib/edges/proofs.h"
#include "agent/steward/desired.h"

static const struct {
    const char *name;
    enum ag_confirmation bit;
} confirmations[] = {
    {"reconciliation", AG_CONFIRM_RECONCILIATION},
    {"acceptance", AG_CONFIRM_ACCEPTANCE},
    {"contract", AG_CONFIRM_CONTRACT},
};

unsigned ag_confirmation_of(struct antag_slice name)
{
    for (size_t i = 0; i < sizeof confirmations / sizeof *confirmations; i++)
        if (antag_slice_is(name, confirmations[i].name))
            return confirmations[i].bit;
    return 0;
}

/* what all steps are made from */
struct facts {
    const struct ag_book *b;
    const struct ag_row_app *app;
    const struct ag_row_profile *sandbox, *live;
    bool isv;
    size_t merchants; /* of the live profile */
};

ANTAG_PRINTF(4, 5)
static void item(struct ag_onboard_step *s, bool done, const char *what, const char *how, ...)
{
    struct ag_onboard_item *i = &s->items[s->count++];
    va_list args;

    *i = (struct ag_onboard_item){.done = done, .what = what};
    if (done)
        return;
    va_start(args, how);
    vsnprintf(i->how, sizeof i->how, how, args);
    va_end(args);
}

/* What a profile lacks, each with its command. */
static void missing_items(struct ag_onboard_step *s, const struct facts *f,
                          const struct ag_row_profile *p)
{
    static const char *const fine = "client id, gateway, merchant key, Antom key";
    struct ag_missing missing[AG_MISSING_MAX];
    size_t n = ag_desired_missing(f->b, p, missing);

    if (n == 0)
        item(s, true, fine, " ");
    for (size_t i = 0; i < n; i++)
        item(s, false,
             strstr(missing[i].command, "key generate") != NULL ? "a merchant key"
             : strstr(missing[i].command, "antom-key") != NULL  ? "Antom's public key"
             : strstr(missing[i].command, "gateway") != NULL    ? "the gateway"
                                                                : "the client id",
             "`%s`", missing[i].command);
}

/* ---- the steps of the guide */

static void step_register(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->app->dashboard_account[0] != '\0',
         "an account, the one in the contract with Antom; its terms are accepted",
         "Developer Center: register; then `antomctl app set %s --dashboard-account ADDRESS`",
         f->app->name);
}

static void step_role(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->app->role[0] != '\0', f->app->role, "Developer Center: choose the role");
}

static void step_application(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->sandbox->client_id[0] != '\0',
         "the application, with one product and one test currency; its sandbox client id",
         "Developer Center: create the application; then `antomctl profile set %s --client-id ID`",
         f->sandbox->name);
}

static void step_resources(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->sandbox->buyer_account[0] != '\0' && f->sandbox->buyer_password_len > 0,
         "a buyer's account and password",
         "`antomctl sandbox set %s --buyer-account TEXT --password-file -`", f->app->name);
    item(s, f->sandbox->merchant_account[0] != '\0', "the merchant's account",
         "`antomctl sandbox set %s --merchant-account TEXT`", f->app->name);
    if (f->isv)
        item(s,
             f->sandbox->isv_client_id[0] != '\0' && f->sandbox->isv_customer_id[0] != '\0' &&
                 f->sandbox->test_customer_id[0] != '\0',
             "the ids of the isv and of the test merchant",
             "`antomctl profile set %s --isv-client-id ID --isv-customer-id ID --test-customer-id "
             "ID`",
             f->sandbox->name);
}

static void step_configure(struct ag_onboard_step *s, const struct facts *f)
{
    missing_items(s, f, f->sandbox);
}

static void step_test(struct ag_onboard_step *s, const struct facts *f)
{
    unsigned proved = f->sandbox->proved, said = f->app->confirmed;

    item(s, (proved & AG_PROOF_SIGN) != 0, "a request that was signed",
         "`antomctl sign %s POST URI --body FILE`, or a service's own", f->sandbox->name);
    item(s, (proved & AG_PROOF_RESPONSE) != 0, "a response that verified",
         "`antomctl verify response %s POST URI --body FILE`, or a service's own",
         f->sandbox->name);
    item(s, (proved & AG_PROOF_NOTIFICATION) != 0, "a notification that verified",
         "`antomctl verify notification %s POST URI --body FILE`, or a service's own",
         f->sandbox->name);
    item(s, (said & AG_CONFIRM_RECONCILIATION) != 0, "reconciliation files that were read",
         "`antomctl app confirm %s reconciliation`", f->app->name);
    item(s, (said & AG_CONFIRM_ACCEPTANCE) != 0, "Antom's acceptance",
         "`antomctl app confirm %s acceptance`", f->app->name);
}

static void step_live(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, (f->app->confirmed & AG_CONFIRM_CONTRACT) != 0, "the signed business contract",
         "`antomctl app confirm %s contract`", f->app->name);
    missing_items(s, f, f->live);
    item(s, f->live->quorum != AG_QUORUM_NONE, "who approves its changes from then on",
         "`antomctl quorum set %s N`", f->live->name);
    item(s, f->live->launched, "the launch",
         "`antomctl app launch %s`; then Developer Center: Launch", f->app->name);
}

/* ---- and of an isv, once it is launched */

static void step_url(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->app->authorization_url[0] != '\0', "an authorization URL",
         f->live->launched ? "Developer Center: Generate Authorization URL; then `antomctl app set "
                             "%s --authorization-url URL`"
                           : "after the launch, Developer Center: Generate Authorization URL; then "
                             "`antomctl app set %s --authorization-url URL`",
         f->app->name);
}

static void step_authorize(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->merchants > 0, "merchants that open it and authorize",
         "each merchant, vetted by Antom; `antomctl merchant url %s` shows what it opens",
         f->app->name);
}

static void step_tokens(struct ag_onboard_step *s, const struct facts *f)
{
    item(s, f->merchants > 0, "an authorization token of each merchant",
         "Developer Center: Application Authorization; then `antomctl merchant add %s MERCHANT`",
         f->live->name);
}

typedef void step_fn(struct ag_onboard_step *s, const struct facts *f);
static const struct {
    const char *title;
    step_fn *fill;
    bool isv;
} steps[AG_ONBOARD_STEPS_MAX] = {
    {"Register at the Developer Center", step_register, false},
    {"Choose the role", step_role, false},
    {"Create the application", step_application, false},
    {"Take the sandbox resources", step_resources, false},
    {"Configure the sandbox", step_configure, false},
    {"Test in the sandbox", step_test, false},
    {"Go live and launch", step_live, false},
    {"Generate the authorization URL", step_url, true},
    {"Have merchants authorize", step_authorize, true},
    {"Take the merchants' tokens", step_tokens, true},
};

size_t ag_onboard(const struct ag_book *b, const struct ag_row_app *app, size_t merchants,
                  struct ag_onboard_step out[AG_ONBOARD_STEPS_MAX])
{
    struct facts f = {
        .b = b, .app = app, .isv = strcmp(app->role, "isv") == 0, .merchants = merchants};
    size_t n = 0;

    f.sandbox = ag_book_profile_of(b, app->id, AG_ENV_SANDBOX);
    f.live = ag_book_profile_of(b, app->id, AG_ENV_LIVE);
    if (f.sandbox == NULL || f.live == NULL)
        return 0;
    for (size_t i = 0; i < AG_ONBOARD_STEPS_MAX; i++) {
        if (steps[i].isv && !f.isv)
            continue;
        out[n] = (struct ag_onboard_step){.title = steps[i].title};
        steps[i].fill(&out[n++], &f);
    }
    return n;
}
