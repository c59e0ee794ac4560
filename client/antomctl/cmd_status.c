/* status, doctor, version: what is there, what is wrong, what to type. */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "antag/limits.h"
#include "client/antomctl/json.h"
#include "client/antomctl/view.h"

#define POLL_MS       100  /* between two looks of status --wait */
#define LOOK_MS       2000 /* one look, and what version waits for the agent */
#define WAIT_MOST     86400
#define STARTING_TEXT "the agent is still starting"

/* ---- status */

/* Both sockets once. *result is set when the agent answered and is past its start. */
static enum antag_err look(struct ctl *c, int64_t timeout_ms, json_t **result,
                           struct antag_fault *fault)
{
    json_t *status = NULL, *hello = NULL;
    enum antag_err err;

    err = ctl_ask_within(c, CTL_STAFF, "status", NULL, timeout_ms, &status, fault);
    if (err == ANTAG_OK)
        err = ctl_ask_within(c, CTL_AGENT, "hello", NULL, timeout_ms, &hello, fault);
    if (err == ANTAG_OK && strcmp(ctl_json_text(status, "state"), "starting") == 0)
        err = antag_fault_set(fault, ANTAG_ERR_NOT_READY, NULL, STARTING_TEXT);
    if (err == ANTAG_OK) {
        *result = status;
        status = NULL; /* transferred */
    }
    json_decref(status);
    json_decref(hello);
    return err;
}

static enum antag_err wait_for_both(struct ctl *c, uint64_t seconds, json_t **result,
                                    struct antag_fault *fault)
{
    int64_t until = ag_clock_mono_ms() + (int64_t)seconds * 1000;
    struct antag_fault last;

    for (;;) {
        int64_t left = until - ag_clock_mono_ms();
        int64_t slice = left > LOOK_MS ? LOOK_MS : left > POLL_MS ? left : POLL_MS;
        enum antag_err err = look(c, slice, result, fault);

        if (err == ANTAG_OK ||
            (antag_err_class(err) != ANTAG_CLASS_RETRY && err != ANTAG_ERR_NOT_READY))
            return err;
        if (until - ag_clock_mono_ms() <= 0)
            break;
        (void)poll(NULL, 0, POLL_MS);
    }
    last = *fault;
    return antag_fault_set(fault, ANTAG_ERR_TIMEOUT, NULL, "not ready within %" PRIu64 " s: %.400s",
                           seconds, antag_fault_text(&last));
}

enum antag_err ctl_run_status(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    const char *wait = ctl_args_get(&c->line, "--wait");
    uint64_t seconds = 0;
    enum antag_err err;

    if (wait == NULL) {
        err = ctl_ask(c, CTL_STAFF, "status", NULL, NULL, 0, result, fault);
        if (err == ANTAG_OK && json_array_size(json_object_get(*result, "attention")) > 0)
            c->exit_status = antag_err_exit(ANTAG_ERR_NOT_READY);
        return err;
    }
    if (!ctl_args_uint(wait, &seconds) || seconds > WAIT_MOST)
        return antag_fault_set(fault, ANTAG_ERR_USAGE, "--wait", "--wait takes 0 to %d seconds",
                               WAIT_MOST);
    return wait_for_both(c, seconds, result, fault);
}

static void put_state(struct ctl *c, const json_t *status)
{
    static const struct ctl_column columns[] = {
        {"agent", "state", CTL_AS_STATE},
        {"reason", "reason", CTL_AS_TEXT},
        {"since", "since_ms", CTL_AS_TIME},
        {"version", "version", CTL_AS_TEXT},
        {"pid", "pid", CTL_AS_INT},
        {"home", "home", CTL_AS_TEXT},
        {"seal", "seal", CTL_AS_TEXT},
        {"epoch", "epoch", CTL_AS_INT},
        {"epoch of the record", "record_epoch", CTL_AS_INT},
        {NULL, NULL, CTL_AS_TEXT},
    };

    ctl_view_lines(c, columns, status);
}

/* What mends a status name of a profile; %s is the profile. */
static const char *mend(const char *name)
{
    static const struct {
        const char *name, *command;
    } rows[] = {
        {"PROFILE_INCOMPLETE", "profile set %s --client-id ID"},
        {"NO_ACTIVE_KEY", "key generate %s"},
        {"NO_ANTOM_KEY", "antom-key add %s --file FILE"},
        {"ROLLED_BACK", "doctor"},
        {"KEY_STATE", "key list %s"},
        {"LOCKED", "unlock"},
        {"BACKEND", "doctor"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].name, name) == 0)
            return rows[i].command;
    }
    return NULL;
}

/* What `what` (sign, verify) of a profile lacks, as the command that mends it: the one the agent names,
 * else the one its status stands for, else the agent's sentence. */
static void append_next(const struct ctl *c, const json_t *profile, const char *what,
                        const char *why, char *out, size_t size)
{
    const char *command = mend(ctl_json_text(profile, what));
    const char *hole = command != NULL ? strstr(command, "%s") : NULL;
    char line[CTL_LINE_MAX];
    size_t len = strlen(out);

    if (ctl_named_command(c, ctl_json_text(profile, why), line))
        ; /* it knows what is in the way: a key that is staged, or suspended */
    else if (command == NULL)
        (void)snprintf(line, sizeof(line), "%s", ctl_json_text(profile, why));
    else if (hole == NULL)
        ctl_command_text(c, line, "%s", command);
    else
        ctl_command_text(c, line, "%.*s%s%s", (int)(hole - command), command,
                         ctl_json_text(profile, "profile"), hole + 2);
    if (line[0] != '\0' && strstr(out, line) == NULL) /* sign and verify often lack the same */
        (void)snprintf(out + len, size - len, "%s%s", len > 0 ? "; " : "", line);
}

/* What somebody has to do, each with its command. */
static void put_attention(struct ctl *c, const json_t *attention)
{
    char line[CTL_LINE_MAX];
    size_t i;
    json_t *item;

    json_array_foreach(attention, i, item)
    {
        const char *how = ctl_json_text(item, "how");

        ctl_put(stdout, c->colour, CTL_BAD, i == 0 ? "\nneeds you: " : "needs you: ");
        ctl_put_wrapped(stdout, ctl_json_text(item, "what"), 11, 11);
        if (strncmp(how, "antomctl ", 9) == 0) {
            ctl_command_text(c, line, "%s", how + 9);
            ctl_next_line(line);
        }
    }
}

static void put_profiles(struct ctl *c, const json_t *profiles)
{
    static const char *const heads[] = {"PROFILE", "SIGN", "VERIFY", "NEXT"};
    struct ctl_table *table = ctl_table_new(heads, 4);
    size_t i;
    json_t *p;

    json_array_foreach(profiles, i, p)
    {
        const char *sign = ctl_json_text(p, "sign"), *verify = ctl_json_text(p, "verify");
        char next[4 * CTL_LINE_MAX] = "";

        append_next(c, p, "sign", "sign_why", next, sizeof(next));
        append_next(c, p, "verify", "verify_why", next, sizeof(next));
        ctl_table_add(table, ctl_json_text(p, "profile"), CTL_PLAIN);
        ctl_table_add(table, sign, ctl_state_colour(sign));
        ctl_table_add(table, verify, ctl_state_colour(verify));
        ctl_table_add(table, next[0] != '\0' ? next : "-", CTL_PLAIN);
    }
    ctl_table_print(table, stdout, c->colour);
    ctl_table_free(table);
}

void ctl_render_status(struct ctl *c, const json_t *status)
{
    static const struct ctl_column roles[] = {
        {"ROLE", "role", CTL_AS_TEXT},
        {"NAME", "name", CTL_AS_TEXT},
        {"PID", "pid", CTL_AS_ID},
        {"STATE", "state", CTL_AS_STATE},
        {"RESTARTS", "restarts", CTL_AS_INT},
        {"SINCE", "since_ms", CTL_AS_AGO},
        {NULL, NULL, CTL_AS_TEXT},
    };
    static const struct ctl_column rings[] = {
        {"KEYRING", "keyring", CTL_AS_TEXT}, {"TYPE", "type", CTL_AS_TEXT},
        {"STATE", "state", CTL_AS_STATE},    {"SIGNED", "signed", CTL_AS_INT},
        {"FAILED", "failed", CTL_AS_INT},    {"P50 US", "p50_us", CTL_AS_INT},
        {"P99 US", "p99_us", CTL_AS_INT},    {NULL, NULL, CTL_AS_TEXT},
    };
    const char *state = ctl_json_text(status, "state");
    const json_t *keyrings = json_object_get(status, "keyrings");
    const json_t *profiles = json_object_get(status, "profiles");

    put_state(c, status);
    (void)putchar('\n');
    ctl_view_rows(c, roles, json_object_get(status, "roles"));
    (void)putchar('\n');
    if (json_array_size(keyrings) > 1) { /* of soft alone the roles say enough */
        ctl_view_rows(c, rings, keyrings);
        (void)putchar('\n');
    }
    if (json_array_size(profiles) > 0) {
        put_profiles(c, profiles);
    } else if (strcmp(state, "ready") == 0) {
        ctl_say("There is no application yet.");
        ctl_next(c, "%s", ctl_view_apps.empty_next);
    }
    put_attention(c, json_object_get(status, "attention"));
}

/* ---- doctor */

static void add_check(json_t *checks, const char *name, enum antag_err err, const char *message,
                      const char *remedy)
{
    json_t *check = json_object();

    (void)json_object_set_new(check, "check", json_string(name));
    (void)json_object_set_new(check, "ok", json_boolean(err == ANTAG_OK));
    (void)json_object_set_new(check, "message", json_string(message));
    if (err != ANTAG_OK)
        (void)json_object_set_new(check, "remedy", json_string(remedy));
    (void)json_array_append_new(checks, check);
}

/* Ask a socket; a refusal by name is an answer of the socket, too. */
static enum antag_err check_socket(struct ctl *c, json_t *checks, enum ctl_socket where,
                                   const char *name, const char *method, json_t **result)
{
    char remedy[CTL_LINE_MAX], message[AG_PATH_MAX + 32];
    struct antag_fault fault;
    enum antag_err err = ctl_ask_within(c, where, method, NULL, CTL_ANSWER_MS, result, &fault);

    if (err == ANTAG_OK) {
        (void)snprintf(message, sizeof(message), "%s answers",
                       where == CTL_STAFF ? c->home.staff_sock : c->home.agent_sock);
        add_check(checks, name, err, message, NULL);
        return err;
    }
    ctl_advice(c, &fault, remedy);
    add_check(checks, name, err, antag_fault_text(&fault), remedy);
    return err;
}

/* Looked at when the agent does not answer, as it may be the reason. Other people's homes are not judged:
 * the check asks what its owner must find. */
static void check_home(struct ctl *c, json_t *checks)
{
    char remedy[CTL_LINE_MAX];
    struct antag_fault fault;
    struct stat st;

    if (stat(c->home.dir, &st) == 0 && st.st_uid != geteuid())
        return;
    if (ag_home_check(&c->home, &fault) == ANTAG_OK) {
        add_check(checks, "home", ANTAG_OK, c->home.dir, NULL);
        return;
    }
    ctl_advice(c, &fault, remedy);
    add_check(checks, "home", fault.err, antag_fault_text(&fault), remedy);
}

enum antag_err ctl_run_doctor(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    json_t *all = json_object(), *checks = json_array();
    json_t *doctor = NULL, *hello = NULL, *check;
    size_t i;

    (void)fault; /* what it meets is what it reports */
    if (check_socket(c, checks, CTL_STAFF, "staff socket", "doctor", &doctor) != ANTAG_OK)
        check_home(c, checks);
    (void)check_socket(c, checks, CTL_AGENT, "agent socket", "hello", &hello);
    json_array_foreach(json_object_get(doctor, "checks"), i, check)(void)
        json_array_append(checks, check);
    json_array_foreach(checks, i, check)
    {
        if (!json_is_true(json_object_get(check, "ok")))
            c->exit_status = antag_err_exit(ANTAG_ERR_NOT_READY);
    }
    (void)json_object_set_new(all, "checks", checks);
    json_decref(doctor);
    json_decref(hello);
    *result = all;
    return ANTAG_OK;
}

/* A command that the agent advises, made to fit this home. */
static void put_remedy(const struct ctl *c, struct ctl_table *table, const char *remedy)
{
    static const char tool[] = "antomctl ";
    char line[CTL_LINE_MAX];

    (void)snprintf(line, sizeof(line), "%s", *remedy != '\0' ? remedy : "-");
    if (strncmp(remedy, tool, sizeof(tool) - 1) == 0 &&
        strncmp(remedy, "antomctl --home ", 16) != 0)
        ctl_command_text(c, line, "%s", remedy + sizeof(tool) - 1);
    ctl_table_add(table, line, CTL_PLAIN);
}

void ctl_render_doctor(struct ctl *c, const json_t *result)
{
    static const char *const heads[] = {"CHECK", "", "FOUND", "WHAT TO DO"};
    const json_t *checks = json_object_get(result, "checks");
    struct ctl_table *table = ctl_table_new(heads, 4);
    size_t i, wrong = 0;
    json_t *check;

    json_array_foreach(checks, i, check)
    {
        bool ok = json_is_true(json_object_get(check, "ok"));

        wrong += !ok;
        ctl_table_add(table, ctl_json_text(check, "check"), CTL_PLAIN);
        ctl_table_add(table, ok ? "ok" : "WRONG", ok ? CTL_GOOD : CTL_BAD);
        ctl_table_add(table, ctl_json_text(check, "message"), CTL_PLAIN);
        put_remedy(c, table, ctl_json_text(check, "remedy"));
    }
    ctl_table_print(table, stdout, c->colour);
    ctl_table_free(table);
    if (wrong == 0)
        (void)printf("\nNothing is wrong.\n");
    else
        (void)printf("\n%zu of %zu checks found something wrong.\n", wrong,
                     json_array_size(checks));
}

/* ---- version */

enum antag_err ctl_run_version(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    json_t *all = json_object(), *agent = NULL, *error;

    (void)json_object_set_new(all, "version", json_string(ANTAG_VERSION));
    (void)json_object_set_new(all, "protocol", json_integer(ANTAG_PROTOCOL_VERSION));
    if (ctl_ask_within(c, CTL_STAFF, "version", NULL, LOOK_MS, &agent, fault) == ANTAG_OK) {
        (void)json_object_set_new(all, "agent", agent);
    } else {
        error = ctl_json_fault(fault);
        (void)json_object_set_new(all, "agent", json_null());
        (void)json_object_set(all, "agent_error", json_object_get(error, "error"));
        json_decref(error);
    }
    *result = all;
    return ANTAG_OK;
}

void ctl_render_version(struct ctl *c, const json_t *result)
{
    const json_t *agent = json_object_get(result, "agent");
    char line[CTL_LINE_MAX];
    int64_t protocol = 0, schema = 0;

    (void)c;
    (void)printf("antomctl %s (protocol %d)\n", ANTAG_VERSION, ANTAG_PROTOCOL_VERSION);
    if (json_is_object(agent)) {
        (void)ctl_json_int(agent, "protocol", &protocol);
        (void)ctl_json_int(agent, "schema", &schema);
        (void)snprintf(line, sizeof(line),
                       "antom-agent %s (protocol %" PRId64 ", registry schema %" PRId64 ")",
                       ctl_json_text(agent, "version"), protocol, schema);
    } else {
        (void)snprintf(line, sizeof(line), "antom-agent: not known: %s",
                       ctl_json_text(json_object_get(result, "agent_error"), "message"));
    }
    ctl_say(line);
}
