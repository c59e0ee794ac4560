#include "agent/steward/desired.h"

#include <stdio.h>
#include <string.h>

enum ag_level ag_desired_level(const struct ag_row_key *k, bool stopped)
{
    switch (k->state) {
    case AG_KEY_STAGED:
        return stopped ? AG_LEVEL_STOPPED : AG_LEVEL_PROBE;
    case AG_KEY_ACTIVE:
        return stopped ? AG_LEVEL_STOPPED : AG_LEVEL_SIGN;
    case AG_KEY_RETIRING:
        return stopped ? AG_LEVEL_STOPPED : AG_LEVEL_PROBE; /* before it is rolled back to */
    case AG_KEY_SUSPENDED:
        return AG_LEVEL_STOPPED;
    default:
        return AG_LEVEL_ABSENT;
    }
}

static void no_key(struct ag_snap_profile *out, enum antag_err err, const char *why)
{
    out->handle = 0;
    out->sign_err = err;
    snprintf(out->sign_why, sizeof out->sign_why, "%s", why);
}

/* Why a profile has no active key, and the command that gives it one. */
static enum antag_err explain_none(const struct ag_book *b, const struct ag_row_profile *p,
                                   struct ag_missing *out)
{
    const struct ag_row_key *staged = NULL, *suspended = NULL;

    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_key *k = &b->keys[i];

        if (k->profile_id != p->id)
            continue;
        if (k->state == AG_KEY_STAGED)
            staged = k;
        else if (k->state == AG_KEY_SUSPENDED && k->suspended_from == AG_KEY_ACTIVE)
            suspended = k;
    }
    if (suspended != NULL) {
        snprintf(out->what, sizeof out->what, "active key (version %u is suspended)",
                 suspended->version);
        snprintf(out->command, sizeof out->command, "antomctl key resume %s %u", p->name,
                 suspended->version);
        return ANTAG_ERR_KEY_STATE;
    }
    if (staged != NULL) {
        snprintf(out->what, sizeof out->what, "active key (version %u is staged)", staged->version);
        snprintf(out->command, sizeof out->command, "antomctl key activate %s %u", p->name,
                 staged->version);
    } else {
        snprintf(out->what, sizeof out->what, "merchant key");
        snprintf(out->command, sizeof out->command, "antomctl key generate %s", p->name);
    }
    return ANTAG_ERR_NO_ACTIVE_KEY;
}

static void take_key(const struct ag_row_key *k, struct ag_snap_profile *out)
{
    out->handle = k->id;
    out->version = k->version;
    out->key_version = k->key_version;
    snprintf(out->keyring, sizeof out->keyring, "%s", k->keyring);
}

/* While the keeper comes back the front keeps the key it had: its jobs wait for that keeper or end with
 * RETRY. It may do so only with a key that still may sign, or is one step from it. */
static bool keep_previous(const struct ag_book *b, const struct ag_snap_profile *had,
                          struct ag_snap_profile *out)
{
    const struct ag_row_key *k =
        had == NULL || had->handle == 0 ? NULL : ag_book_key(b, had->handle);

    if (k == NULL || (k->state != AG_KEY_ACTIVE && k->state != AG_KEY_RETIRING))
        return false;
    take_key(k, out);
    return true;
}

void ag_desired_profile(const struct ag_book *b, const struct ag_row_profile *p,
                        const struct ag_sign_source *source, const struct ag_snap_profile *had,
                        struct ag_snap_profile *out)
{
    const struct ag_row_key *active = ag_book_active_key(b, p->id);
    char why[160];

    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", p->name);
    out->env = p->env;
    snprintf(out->client_id, sizeof out->client_id, "%s", p->client_id);
    snprintf(out->gateway, sizeof out->gateway, "%s", p->gateway);
    out->response_max_age_ms = p->response_max_age_ms;
    out->notification_max_age_ms = p->notification_max_age_ms;
    if (active == NULL) {
        struct ag_missing none;
        enum antag_err err = explain_none(b, p, &none);

        snprintf(why, sizeof why, "no %.60s; `%.90s`", none.what, none.command);
        no_key(out, err, why);
    } else if (b->behind != 0 && p->env == AG_ENV_LIVE) {
        snprintf(why, sizeof why,
                 "the registry (epoch %llu) is older than the record (epoch %llu); "
                 "`antomctl registry confirm`",
                 (unsigned long long)b->epoch, (unsigned long long)b->behind);
        no_key(out, ANTAG_ERR_ROLLED_BACK, why);
    } else if (source->kind == AG_SOURCE_READY) {
        take_key(active, out);
    } else if (source->kind == AG_SOURCE_STOPPED) {
        snprintf(why, sizeof why, "version %u was stopped by staff", active->version);
        no_key(out, ANTAG_ERR_KEY_STATE, why);
    } else if (source->kind == AG_SOURCE_FAILED || !keep_previous(b, had, out)) {
        no_key(out, source->err, source->why);
    }
}

bool ag_desired_has_antom_key(const struct ag_book *b, uint64_t profile_id)
{
    for (size_t i = 0; i < b->antom_key_count; i++)
        if (b->antom_keys[i].profile_id == profile_id &&
            ag_antom_key_state_verifies(b->antom_keys[i].state))
            return true;
    return false;
}

size_t ag_desired_missing(const struct ag_book *b, const struct ag_row_profile *p,
                          struct ag_missing out[AG_MISSING_MAX])
{
    size_t n = 0;

    if (p->client_id[0] == '\0') {
        snprintf(out[n].what, sizeof out[n].what, "client id");
        snprintf(out[n++].command, sizeof out->command, "antomctl profile set %s --client-id ID",
                 p->name);
    }
    if (ag_book_active_key(b, p->id) == NULL)
        (void)explain_none(b, p, &out[n++]);
    if (!ag_desired_has_antom_key(b, p->id)) {
        snprintf(out[n].what, sizeof out[n].what, "Antom key");
        snprintf(out[n++].command, sizeof out->command, "antomctl antom-key add %s", p->name);
    }
    if (p->gateway[0] == '\0') {
        snprintf(out[n].what, sizeof out[n].what, "gateway");
        snprintf(out[n++].command, sizeof out->command, "antomctl profile set %s --gateway URL",
                 p->name);
    }
    return n;
}
