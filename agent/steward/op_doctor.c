/* op_doctor: what an operator should look at, each with the command that mends it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "agent/lib/clock.h"
#include "agent/steward/ops.h"
#include "agent/steward/outbox.h"
#include "agent/steward/render.h"
#include "agent/steward/rings.h"
#include "agent/steward/rules.h"

#define ASK_MS       2000
#define SKEW_MS      60000
#define YEAR_2025_MS INT64_C(1735689600000) /* no clock is right that says less */

struct doctor {
    struct ag_steward *st;
    struct antag_writer *w;
};

/* One line of the answer. remedy NULL: none is needed. */
static void say(struct doctor *d, const char *check, bool ok, const char *remedy, const char *fmt,
                ...) ANTAG_PRINTF(5, 6);
static void say(struct doctor *d, const char *check, bool ok, const char *remedy, const char *fmt,
                ...)
{
    char message[600];
    va_list args;

    va_start(args, fmt);
    vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    antag_w_map(d->w);
    antag_w_kv_str(d->w, "check", check);
    antag_w_kv_bool(d->w, "ok", ok);
    antag_w_kv_str(d->w, "message", message);
    if (remedy != NULL)
        antag_w_kv_str(d->w, "remedy", remedy);
    antag_w_end(d->w);
}

/* ---- the host */

static void check_memory(struct doctor *d)
{
    struct rlimit limit = {0};

    /* a role does not start without a lock on its secrets, so this one has it */
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        say(d, "memory_lock", true, NULL, "secrets are locked in memory; there is no limit");
    else
        say(d, "memory_lock", limit.rlim_cur >= 1024 * 1024,
            limit.rlim_cur >= 1024 * 1024
                ? NULL
                : "raise the limit: LimitMEMLOCK= in the service unit, or `ulimit -l`",
            "secrets are locked in memory; the limit is %llu KiB a process",
            (unsigned long long)limit.rlim_cur / 1024);
}

static void check_socket(struct doctor *d, const char *name, const char *path)
{
    char remedy[AG_PATH_MAX + 64];
    struct stat facts;

    snprintf(remedy, sizeof remedy, "restart the agent, or: chmod 0666 %s", path);
    if (stat(path, &facts) != 0 || !S_ISSOCK(facts.st_mode))
        say(d, name, false, "restart the agent", "%s is not there", path);
    else if ((facts.st_mode & 0777) != 0666)
        say(d, name, false, remedy, "%s has mode %04o; 0666 lets grants and enrolment decide", path,
            (unsigned)(facts.st_mode & 0777));
    else
        say(d, name, true, NULL, "%s answers with mode 0666", path);
}

static void check_home(struct doctor *d)
{
    const struct ag_home *home = &d->st->home;
    struct stat facts;
    mode_t mode;

    check_socket(d, "agent_sock", home->agent_sock);
    check_socket(d, "staff_sock", home->staff_sock);
    mode = stat(home->registry, &facts) == 0 ? facts.st_mode & 0777 : 0;
    if ((mode & 077) != 0) {
        char remedy[AG_PATH_MAX + 32];

        snprintf(remedy, sizeof remedy, "chmod 0600 %s", home->registry);
        say(d, "registry_mode", false, remedy, "%s has mode %04o; others may read it",
            home->registry, (unsigned)mode);
    } else {
        say(d, "registry_mode", mode != 0, mode != 0 ? NULL : "restore the registry",
            mode != 0 ? "only its owner reads %s" : "%s is not there", home->registry);
    }
}

/* The registry has seen times: a clock that is behind them is wrong, or was. */
static void check_clock(struct doctor *d, const struct ag_book *b)
{
    int64_t now = ag_clock_wall_ms(), latest = YEAR_2025_MS;

    for (size_t i = 0; b != NULL && i < b->key_count; i++)
        if (b->keys[i].state_at_ms > latest)
            latest = b->keys[i].state_at_ms;
    for (size_t i = 0; b != NULL && i < b->app_count; i++)
        if (b->apps[i].created_at_ms > latest)
            latest = b->apps[i].created_at_ms;
    if (now + SKEW_MS < latest)
        say(d, "clock", false, "set the clock, and see that time synchronisation runs",
            "the clock is %lld s behind what the registry has seen",
            (long long)(latest - now) / 1000);
    else
        say(d, "clock", true, NULL, "the clock agrees with the registry");
}

/* ---- the agent's parts */

static void check_role(struct doctor *d, const msgpack_object *role)
{
    char kind[32], name[ANTAG_KEYRING_MAX + 1], state[32], check[96];
    uint64_t restarts = 0;
    bool ready;

    (void)antag_object_text(role, "role", kind, sizeof kind);
    (void)antag_object_text(role, "name", name, sizeof name);
    (void)antag_object_text(role, "state", state, sizeof state);
    (void)antag_object_uint(role, "restarts", &restarts);
    if (strcmp(kind, "opener") == 0)
        return; /* lives for one task */
    ready = strcmp(state, "ready") == 0 ||
            (strcmp(kind, "keeper") == 0 && ag_state_get(d->st, NULL) != AG_STATE_UNLOCKED);
    snprintf(check, sizeof check, name[0] == '\0' ? "role_%s%s" : "role_%s_%s", kind, name);
    say(d, check, ready,
        ready ? NULL
              : "look into the agent's log; `antomctl status` shows when "
                "it is back",
        "%s%s%s is %s, restarted %llu times", kind, name[0] == '\0' ? "" : " ", name, state,
        (unsigned long long)restarts);
}

/* Would it open by itself at the next start? */
static void check_opens(struct doctor *d, const char *seal)
{
    const struct ag_sealing ask = {.opens = false};
    bool tpm = strcmp(seal, "tpm") == 0;
    struct ag_sealing now;
    struct antag_fault fault;

    if (ag_opener_seal(d->st, "seal_check", &ask, -1, &now, &fault) != ANTAG_OK)
        say(d, "seal", false, "antomctl seal show",
            "the root key is sealed by %s, which cannot be tried: %s", seal,
            antag_fault_text(&fault));
    else if (!now.opens)
        say(d, "seal", false, tpm ? "antomctl seal renew" : "antomctl seal change TYPE",
            "the root key is sealed by %s, and that does not open any more: %s", seal, now.why);
    else
        say(d, "seal", true, NULL, "the root key is sealed by %s, which opens by itself", seal);
}

static void check_seal(struct doctor *d, const struct ag_book *b, const char *seal)
{
    bool live = false;

    for (size_t i = 0; b != NULL && i < b->key_count; i++) {
        const struct ag_row_profile *p = ag_book_profile(b, b->keys[i].profile_id);

        live = live || (p != NULL && p->env == AG_ENV_LIVE && b->keys[i].state == AG_KEY_ACTIVE);
    }
    if (strcmp(seal, "tpm") == 0 || strcmp(seal, "credential") == 0)
        check_opens(d, seal);
    else if (strcmp(seal, "file") != 0)
        say(d, "seal", true, NULL, "the root key is sealed by %s", seal[0] == '\0' ? "?" : seal);
    else
        say(d, "seal", !live,
            live ? "antomctl seal change tpm, or credential, or passphrase" : NULL,
            "the root key is sealed by a file beside the registry: who copies the home has its "
            "keys%s",
            live ? ", live ones included" : "; fit for sandbox and tests");
}

static void check_processes(struct doctor *d, const struct ag_book *b)
{
    struct ag_reply reply = {0};
    const msgpack_object *list = NULL;
    char seal[32] = "";

    if (ag_call(ag_role_control(d->st->role), "roles", NULL, 0, ASK_MS, &reply) != ANTAG_OK) {
        say(d, "supervisor", false, "look into the agent's log", "the supervisor does not answer");
    } else {
        (void)antag_object_text(reply.result, "seal", seal, sizeof seal);
        check_seal(d, b, seal);
        list = antag_object_get(reply.result, "roles");
    }
    for (uint32_t i = 0;
         list != NULL && list->type == MSGPACK_OBJECT_ARRAY && i < list->via.array.size; i++)
        check_role(d, &list->via.array.ptr[i]);
    ag_reply_fini(&reply);
}

/* The keeper is up; what of that which holds its keys? */
static void check_device(struct doctor *d, const char *name, const char *check)
{
    const struct ag_keyring_params none = {.bits = 0};
    struct antag_fault fault = {0};
    enum antag_err err = ag_keeper_call(d->st, name, "check", &none, ASK_MS, &fault);

    if (err == ANTAG_OK)
        say(d, check, true, NULL, "keyring \"%s\" is loaded", name);
    else if (err == ANTAG_ERR_TIMEOUT)
        say(d, check, false,
            "see whether the token, TPM or its module hangs; the keeper may be killed, it is "
            "started again",
            "keyring \"%s\": its device has not answered within %d s", name, ASK_MS / 1000);
    else
        say(d, check, false,
            "mend it, or [keyring] in agent.conf and restart the agent; others are not concerned",
            "keyring \"%s\": %s", name, antag_fault_text(&fault));
}

static void check_keyrings(struct doctor *d)
{
    struct ag_conf conf;

    ag_conf_copy(d->st, &conf);
    for (size_t i = 0; i < conf.keyring_count; i++) {
        const char *name = conf.keyrings[i].name;
        struct antag_fault fault = {0};
        char check[64];

        snprintf(check, sizeof check, "keyring_%.40s", name);
        if (ag_keeper_check(d->st, name, 0, &fault) != ANTAG_OK)
            say(d, check, false, "look into the agent's log",
                "the keeper of keyring \"%s\" is not up", name);
        else
            check_device(d, name, check);
    }
}

/* ---- what it was told to do */

/* A profile that nobody has begun to set up is no fault. */
static bool is_untouched(const struct ag_book *b, const struct ag_row_profile *p)
{
    if (p->client_id[0] != '\0' || p->gateway[0] != '\0' || p->notify_url[0] != '\0')
        return false;
    for (size_t i = 0; i < b->key_count; i++)
        if (b->keys[i].profile_id == p->id)
            return false;
    return !ag_desired_has_antom_key(b, p->id);
}

static bool has_grant(const struct ag_book *b, const struct ag_row_profile *p)
{
    for (size_t i = 0; i < b->grant_count; i++)
        if (b->grants[i].profile_id == p->id)
            return true;
    return false;
}

static void check_complete(struct doctor *d, const struct ag_book *b,
                           const struct ag_row_profile *p, const char *check)
{
    struct ag_missing missing[AG_MISSING_MAX];
    size_t count = ag_desired_missing(b, p, missing);
    struct ag_sign_source source;
    char remedy[200];

    ag_sign_source_of(d->st, ag_book_active_key(b, p->id), b->epoch, &source);
    if (is_untouched(b, p)) {
        say(d, check, true, NULL, "%s is not set up yet", p->name);
    } else if (count > 0) {
        for (size_t i = 0; i < count; i++)
            say(d, check, false, missing[i].command, "%s has no %s", p->name, missing[i].what);
    } else if (source.kind != AG_SOURCE_READY) {
        say(d, check, false, "look into the agent's log", "%s cannot sign: %s", p->name,
            source.kind == AG_SOURCE_STOPPED ? "its key was stopped" : source.why);
    } else if (!has_grant(b, p)) {
        snprintf(remedy, sizeof remedy, "antomctl grant add %s --uid N --ops sign,verify", p->name);
        say(d, check, false, remedy, "%s is complete, but nobody may use it", p->name);
    } else {
        say(d, check, true, NULL, "%s is complete", p->name);
    }
}

static void check_profile(struct doctor *d, const struct ag_book *b, const struct ag_row_profile *p)
{
    char check[ANTAG_PROFILE_MAX + 16], found[AG_WARNING_MAX], remedy[200];

    snprintf(check, sizeof check, "profile_%s", p->name);
    check_complete(d, b, p, check);
    ag_rule_sandbox_looks(p, found);
    snprintf(remedy, sizeof remedy, "antomctl profile set %s --gateway URL --notify-url URL",
             p->name);
    if (found[0] != '\0')
        say(d, check, false, remedy, "%s", found);
}

#define SLOW_US  50000 /* half of its signatures take longer: it signs less than 20 times a second */
#define SLOW_MIN 5     /* signatures, before that is said */

/* Live traffic on a keyring that signs a few times a second: a TPM does 4 to 8. */
static void check_slow(struct doctor *d, const struct ag_book *b)
{
    struct ag_ring_views rings;

    ag_rings_look(d->st, &rings);
    for (size_t i = 0; i < b->profile_count; i++) {
        const struct ag_row_profile *p = &b->profiles[i];
        const struct ag_row_key *k = ag_book_active_key(b, p->id);
        const struct ag_ring_view *v = k == NULL ? NULL : ag_rings_find(&rings, k->keyring);
        char check[ANTAG_PROFILE_MAX + 16], remedy[200];

        if (p->env != AG_ENV_LIVE || v == NULL || v->told.signed_ < SLOW_MIN ||
            v->told.p50_us < SLOW_US)
            continue;
        snprintf(check, sizeof check, "slow_%s", p->name);
        snprintf(remedy, sizeof remedy, "antomctl rotate start %s --keyring NAME", p->name);
        say(d, check, false, remedy,
            "%s has traffic on keyring \"%s\", of which half of the signatures take up to %llu ms: "
            "a busy hour will be answered BUSY",
            p->name, v->name, (unsigned long long)(v->told.p50_us / 1000));
    }
}

static void check_shared_keys(struct doctor *d, const struct ag_book *b)
{
    for (size_t i = 0; i < b->key_count; i++) {
        const struct ag_row_key *k = &b->keys[i];
        const struct ag_row_profile *p = ag_book_profile(b, k->profile_id);
        char warning[AG_WARNING_MAX], remedy[200];

        ag_rule_shared_key_warning(b, k, warning);
        if (p == NULL || warning[0] == '\0' || k->state == AG_KEY_DESTROYED)
            continue;
        snprintf(remedy, sizeof remedy, "antomctl rotate start %s", p->name);
        say(d, "shared_key", false, remedy, "%s version %u: %s", p->name, k->version, warning);
    }
}

static void check_registry(struct doctor *d, const struct ag_book *b, const struct antag_fault *why)
{
    size_t pending = ag_stop_pending_count(d->st);

    if (b != NULL)
        say(d, "registry", true, NULL, "the registry verifies at epoch %llu",
            (unsigned long long)b->epoch);
    else if (why->err == ANTAG_ERR_LOCKED)
        say(d, "registry", false, "antomctl unlock", "%s", antag_fault_text(why));
    else
        say(d, "registry", false, "restore the registry from a backup; look into the agent's log",
            "%s", antag_fault_text(why));
    if (b != NULL && b->behind != 0)
        say(d, "rolled_back", false, "antomctl registry confirm, when it is known why",
            "the registry (epoch %llu) is older than the record (epoch %llu): it was restored or "
            "replaced; live profiles do not sign",
            (unsigned long long)b->epoch, (unsigned long long)b->behind);
    if (pending > 0)
        say(d, "stops", false, "make room on the disk of the home; the agent retries by itself",
            "%zu keys are stopped, and the registry could not record it yet", pending);
}

static bool has_approver(const struct ag_book *b)
{
    for (size_t i = 0; i < b->staff_count; i++)
        if ((b->staff[i].roles & ANTAG_ROLE_APPROVER) != 0 && b->staff[i].mail[0] != '\0')
            return true;
    return false;
}

/* Said only when somebody has to do something. */
static void check_mail(struct doctor *d, const struct ag_book *b, const struct ag_outbox_sum *mail)
{
    char since[AG_CLOCK_TEXT_MAX];
    struct ag_conf conf;

    ag_conf_copy(d->st, &conf);
    ag_clock_render(mail->oldest_ms, since);
    if (mail->queued > 0 && mail->error[0] != '\0')
        say(d, "mail", false, "mend [mail] in agent.conf and send SIGHUP; antomctl mail list",
            "%zu mails wait, the oldest since %s: %s", mail->queued, since, mail->error);
    else if (mail->queued == 0 && conf.mail_server[0] == '\0' && has_approver(b))
        say(d, "mail", false, "set [mail] server and from in agent.conf and send SIGHUP",
            "approvers have mailboxes, and no mail server is configured");
    if (mail->refused > 0)
        say(d, "mail_refused", false,
            "antomctl mail list; antomctl staff set --uid N --mail ADDRESS",
            "the mail server refused %zu mails of the last week for good", mail->refused);
}

enum antag_err ag_op_doctor(struct ag_steward *st, struct ag_task *op, struct antag_writer *w,
                            struct antag_fault *fault)
{
    struct doctor d = {.st = st, .w = w};
    struct ag_outbox_sum mail = {0};
    struct ag_book *b = NULL;
    struct ag_txn t;

    (void)op;
    if (ag_txn_begin(st, 0, &t, fault) == ANTAG_OK && ag_outbox_sum(st, &mail, fault) == ANTAG_OK) {
        b = t.book;
        t.book = NULL; /* transferred: the checks below ask others, without the registry's lock */
    }
    ag_txn_end(&t);
    antag_w_map(w);
    antag_w_key(w, "checks");
    antag_w_array(w);
    check_registry(&d, b, fault);
    check_processes(&d, b);
    if (b != NULL)
        check_keyrings(&d);
    check_memory(&d);
    check_home(&d);
    check_clock(&d, b);
    for (size_t i = 0; b != NULL && i < b->profile_count; i++)
        check_profile(&d, b, &b->profiles[i]);
    if (b != NULL) {
        check_slow(&d, b);
        check_shared_keys(&d, b);
        check_mail(&d, b, &mail);
    }
    antag_w_end(w);
    antag_w_end(w);
    ag_book_free(b);
    return ANTAG_OK;
}
