/* call: from the arguments of a command to a request, and what its errors ask of the person. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/antomctl/conn.h"
#include "client/antomctl/ctl.h"
#include "client/antomctl/secretin.h"
#include "proto/message.h"

/* The array of an argument that may be repeated, written where it was first given. */
static void write_texts(const struct ctl_line *line, const struct ctl_arg *arg,
                        struct antag_writer *w)
{
    antag_w_array(w);
    for (size_t i = 0; i < line->count; i++) {
        const char *at = line->given[i].text;

        if (line->given[i].arg != arg)
            continue;
        while (arg->kind == CTL_LIST && strchr(at, ',') != NULL) {
            size_t len = (size_t)(strchr(at, ',') - at);

            antag_w_strn(w, (struct antag_slice){(const uint8_t *)at, len});
            at += len + 1;
        }
        antag_w_str(w, at);
    }
    antag_w_end(w);
}

static bool was_before(const struct ctl_line *line, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (line->given[j].arg == line->given[i].arg)
            return true;
    }
    return false;
}

void ctl_pairs(const struct ctl *c, struct antag_writer *w)
{
    for (size_t i = 0; i < c->line.count; i++) {
        const struct ctl_arg *arg = c->line.given[i].arg;
        uint64_t number = 0;

        if (arg->key == NULL || was_before(&c->line, i))
            continue;
        antag_w_key(w, arg->key);
        switch (arg->kind) {
        case CTL_FLAG:
            antag_w_bool(w, true);
            break;
        case CTL_TEXT:
            antag_w_str(w, c->line.given[i].text);
            break;
        case CTL_UINT:
            (void)ctl_args_uint(c->line.given[i].text, &number); /* checked by the parser */
            antag_w_uint(w, number);
            break;
        case CTL_TEXTS:
        case CTL_LIST:
            write_texts(&c->line, arg, w);
            break;
        }
    }
}

static enum antag_err ask(struct ctl *c, enum ctl_socket where, struct ctl_request *rq,
                          struct antag_writer *params, json_t **result, struct antag_fault *fault)
{
    char start[CTL_LINE_MAX];
    enum antag_err err;

    ctl_start_text(c, start);
    rq->path = where == CTL_STAFF ? c->home.staff_sock : c->home.agent_sock;
    rq->start = start;
    if (params != NULL && (err = antag_writer_end(params, &rq->params)) != ANTAG_OK)
        return antag_fault_set(fault, err, NULL, NULL);
    return ctl_conn_ask(rq, result, fault);
}

enum antag_err ctl_ask_within(struct ctl *c, enum ctl_socket where, const char *method,
                              struct antag_writer *params, int64_t timeout_ms, json_t **result,
                              struct antag_fault *fault)
{
    struct ctl_request rq = {.method = method, .timeout_ms = timeout_ms};

    return ask(c, where, &rq, params, result, fault);
}

enum antag_err ctl_ask(struct ctl *c, enum ctl_socket where, const char *method,
                       struct antag_writer *params, const struct ag_secret *const *secrets,
                       size_t secret_count, json_t **result, struct antag_fault *fault)
{
    unsigned flags = c->line.command->flags;
    struct ctl_request rq = {
        .method = method,
        .timeout_ms = (flags & CTL_SLOW) != 0 ? CTL_SLOW_MS : CTL_ANSWER_MS,
        .safe = (flags & CTL_SAFE) != 0,
    };
    enum antag_err err = ANTAG_OK;

    while (rq.fd_count < secret_count && rq.fd_count < CTL_FDS_MAX && err == ANTAG_OK) {
        err = ctl_secret_memfd(secrets[rq.fd_count], &rq.fds[rq.fd_count], fault);
        if (err == ANTAG_OK)
            rq.fd_count++;
    }
    if (err == ANTAG_OK)
        err = ask(c, where, &rq, params, result, fault);
    while (rq.fd_count > 0)
        (void)close(rq.fds[--rq.fd_count]);
    return err;
}

enum antag_err ctl_ask_args(struct ctl *c, const char *method,
                            const struct ag_secret *const *secrets, size_t secret_count,
                            json_t **result, struct antag_fault *fault)
{
    struct antag_writer params;
    enum antag_err err;

    antag_writer_init(&params, ANTAG_FRAME_MAX);
    antag_w_map(&params);
    ctl_pairs(c, &params);
    antag_w_end(&params);
    err = ctl_ask(c, CTL_STAFF, method, &params, secrets, secret_count, result, fault);
    antag_writer_fini(&params);
    return err;
}

enum antag_err ctl_run_method(struct ctl *c, json_t **result, struct antag_fault *fault)
{
    return ctl_ask_args(c, c->line.command->method, NULL, 0, result, fault);
}

/* ---- what to type */

/* Quotes for a folder that a shell would take apart. */
static const char *quotes(const char *word)
{
    return strpbrk(word, " \t\"\\$&;|<>()*?[]{}#~`!") != NULL ? "'" : "";
}

void ctl_command_text(const struct ctl *c, char out[CTL_LINE_MAX], const char *fmt, ...)
{
    const char *home = c->line.home; /* from the environment it holds for the next command too */
    size_t len;
    va_list ap;

    if (home != NULL)
        (void)snprintf(out, CTL_LINE_MAX, "antomctl --home %s%.*s%s ", quotes(home), AG_PATH_MAX,
                       home, quotes(home));
    else
        (void)snprintf(out, CTL_LINE_MAX, "antomctl ");
    len = strlen(out);
    va_start(ap, fmt);
    (void)vsnprintf(out + len, CTL_LINE_MAX - len, fmt, ap);
    va_end(ap);
}

bool ctl_named_command(const struct ctl *c, const char *sentence, char out[CTL_LINE_MAX])
{
    static const char mark[] = "`antomctl ";
    const char *at = strstr(sentence, mark);
    const char *end = at != NULL ? strchr(at + 1, '`') : NULL;

    if (end == NULL)
        return false;
    at += sizeof(mark) - 1;
    ctl_command_text(c, out, "%.*s", (int)(end - at), at);
    return true;
}

void ctl_start_text(const struct ctl *c, char out[CTL_LINE_MAX])
{
    if (c->home_dir != NULL)
        (void)snprintf(out, CTL_LINE_MAX, "antom-agent --home %s%s%s", quotes(c->home_dir),
                       c->home_dir, quotes(c->home_dir));
    else
        (void)snprintf(out, CTL_LINE_MAX, "antom-agent");
}

void ctl_say(const char *text)
{
    char *clean = ctl_clean(text, strlen(text));

    ctl_put_wrapped(stdout, clean, 0, 2);
    free(clean);
}

void ctl_next_line(const char *command)
{
    char *clean = ctl_clean(command, strlen(command));

    (void)printf("next: %s\n", clean); /* in one line, to be copied */
    free(clean);
}

void ctl_next(const struct ctl *c, const char *fmt, ...)
{
    char rest[CTL_LINE_MAX], line[CTL_LINE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(rest, sizeof(rest), fmt, ap);
    va_end(ap);
    ctl_command_text(c, line, "%s", rest);
    ctl_next_line(line);
}

/*  status, what to type: %s is the profile given on the command line, or APP/ENV */
static const struct {
    enum antag_err err;
    const char *command;
} KNOWN[] = {
    {ANTAG_ERR_LOCKED, "unlock"},
    {ANTAG_ERR_PROFILE_INCOMPLETE, "profile set %s --client-id ID"},
    {ANTAG_ERR_NO_ACTIVE_KEY, "key list %s"},
    {ANTAG_ERR_NO_ANTOM_KEY, "antom-key add %s --file FILE"},
    {ANTAG_ERR_KEY_STATE, "key list %s"},
    {ANTAG_ERR_KEY_ENCRYPTED, "key import %s --file FILE --passphrase-file FILE"},
    {ANTAG_ERR_NOT_INITIALISED, "init"},
    {ANTAG_ERR_NOT_READY, "status --wait 30"},
    {ANTAG_ERR_INTERNAL, "doctor"},
};

const char *ctl_given_profile(const struct ctl *c)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-/";
    const char *given = ctl_args_get(&c->line, "APP/ENV");

    return given != NULL && strspn(given, allowed) == strlen(given) ? given : "APP/ENV";
}

static bool advise_denied(const struct ctl *c, const char *profile, char out[CTL_LINE_MAX])
{
    const char *words = c->line.command != NULL ? c->line.command->words : "";

    if (strcmp(words, "sign") != 0 && strncmp(words, "verify", 6) != 0)
        return false;
    ctl_command_text(c, out, "grant add %s --uid %u --ops %s", profile, (unsigned)geteuid(),
                     *words == 's' ? "sign" : "verify");
    return true;
}

/* A home that was never made cannot be started. */
static void advise_start(const struct ctl *c, char out[CTL_LINE_MAX])
{
    if (c->home.seal[0] != '\0' && access(c->home.seal, F_OK) != 0 && errno == ENOENT)
        ctl_command_text(c, out, "init");
    else
        ctl_start_text(c, out);
}

void ctl_advice(const struct ctl *c, const struct antag_fault *fault, char out[CTL_LINE_MAX])
{
    const char *profile = ctl_given_profile(c);
    const char *words = c->line.command != NULL ? c->line.command->words : c->line.group;
    char line[CTL_LINE_MAX] = "", rest[CTL_LINE_MAX];

    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
        if (KNOWN[i].err == fault->err) {
            const char *hole = strstr(KNOWN[i].command, "%s");

            if (hole == NULL)
                (void)snprintf(rest, sizeof(rest), "%s", KNOWN[i].command);
            else
                (void)snprintf(rest, sizeof(rest), "%.*s%s%s", (int)(hole - KNOWN[i].command),
                               KNOWN[i].command, profile, hole + 2);
            ctl_command_text(c, line, "%s", rest);
        }
    }
    if (fault->err == ANTAG_ERR_UNREACHABLE)
        advise_start(c, line);
    if (fault->err == ANTAG_ERR_USAGE)
        (void)snprintf(line, sizeof(line), "antomctl %s%s--help", words != NULL ? words : "",
                       words != NULL ? " " : "");
    if (fault->err == ANTAG_ERR_TIMEOUT)
        ctl_command_text(c, line, "doctor");
    if (fault->err == ANTAG_ERR_DENIED && advise_denied(c, profile, rest))
        (void)snprintf(line, sizeof(line), "as staff: %.600s", rest);
    if (ctl_named_command(c, fault->text, rest)) /* the agent knows what is in the way */
        (void)snprintf(line, sizeof(line), "%s", rest);
    if (line[0] != '\0')
        (void)snprintf(out, CTL_LINE_MAX, "%s", line);
    else
        (void)snprintf(out, CTL_LINE_MAX, "%s", antag_class_advice(antag_err_class(fault->err)));
}

/* ---- bodies */

enum antag_err ctl_read_body(const char *path, uint8_t **bytes, size_t *len,
                             struct antag_fault *fault)
{
    bool is_file = strcmp(path, "-") != 0;
    int fd = is_file ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY) : STDIN_FILENO;
    uint8_t *p = malloc(ANTAG_BODY_MAX + 1);
    enum antag_err err = ANTAG_OK;
    size_t used = 0;
    ssize_t n = 1;

    if (p == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
        goto out;
    }
    while (fd >= 0 && n != 0 && used <= ANTAG_BODY_MAX) {
        n = read(fd, p + used, ANTAG_BODY_MAX + 1 - used);
        if (n < 0 && errno != EINTR)
            break;
        used += n > 0 ? (size_t)n : 0;
    }
    if (fd < 0 || n < 0)
        err = antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "body", "--body %s: %s", path,
                              strerror(errno));
    else if (used > ANTAG_BODY_MAX)
        err = antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "body",
                              "--body %s: a body holds at most %d bytes", path, ANTAG_BODY_MAX);
    if (err == ANTAG_OK) {
        *bytes = p;
        *len = used;
        p = NULL; /* transferred */
    }
out:
    free(p);
    if (is_file && fd >= 0)
        (void)close(fd);
    return err;
}
