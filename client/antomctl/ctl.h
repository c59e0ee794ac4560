/* ctl: what every command of antomctl works with, and the calls they share. */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <jansson.h>

#include "agent/lib/home.h"
#include "agent/lib/secret.h"
#include "client/antomctl/args.h"
#include "client/antomctl/print.h"
#include "proto/writer.h"

#define CTL_ANSWER_MS 30000
#define CTL_SLOW_MS   120000 /* Argon2id, and the checks of an imported key */
#define CTL_LINE_MAX  640

struct ctl {
    struct ctl_line line;
    struct ag_home home;
    const char *home_dir; /* --home or ANTOM_AGENT_HOME; NULL: the system paths */
    bool colour;          /* of standard output */
    int exit_status;      /* of a command that did its work and found trouble; else 0 */
};

enum ctl_socket { CTL_STAFF, CTL_AGENT };

/* Write the pairs of all arguments that name a parameter; the caller opens and ends the map. */
void ctl_pairs(const struct ctl *c, struct antag_writer *w);
/* Ask a method with the packed map in `params` (finished by the caller; NULL: an empty map), and with
 * copies of `secrets` in sealed memory files. Waits CTL_ANSWER_MS, or CTL_SLOW_MS where the row says so.
 * errors: those of ctl_conn_ask. */
ANTAG_MUST_CHECK enum antag_err ctl_ask(struct ctl *c, enum ctl_socket where, const char *method,
                                        struct antag_writer *params,
                                        const struct ag_secret *const *secrets, size_t secret_count,
                                        json_t **result, struct antag_fault *fault);
/* The same without secrets, with a waiting time of its own. */
ANTAG_MUST_CHECK enum antag_err ctl_ask_within(struct ctl *c, enum ctl_socket where,
                                               const char *method, struct antag_writer *params,
                                               int64_t timeout_ms, json_t **result,
                                               struct antag_fault *fault);
/* A method of staff.sock with what the arguments say. */
ANTAG_MUST_CHECK enum antag_err ctl_ask_args(struct ctl *c, const char *method,
                                             const struct ag_secret *const *secrets,
                                             size_t secret_count, json_t **result,
                                             struct antag_fault *fault);
/* Ask the command's own method with what its arguments say. */
ctl_run ctl_run_method;

/* "antomctl ..." as it must be typed for this home; the rest is a printf format. */
void ctl_command_text(const struct ctl *c, char out[CTL_LINE_MAX], const char *fmt, ...)
    ANTAG_PRINTF(3, 4);
/* A command that the agent names in a sentence (`antomctl key resume shop/live 2`), as it must be typed for
 * this home. False when it names none. */
bool ctl_named_command(const struct ctl *c, const char *sentence, char out[CTL_LINE_MAX]);
/* The profile of the command line when it can be one, else "APP/ENV": for commands that are shown. */
const char *ctl_given_profile(const struct ctl *c);
/* How the agent of this home is started. */
void ctl_start_text(const struct ctl *c, char out[CTL_LINE_MAX]);
/* Prints "next: antomctl ..." */
void ctl_next_line(const char *command); /* whole, as it is typed */
void ctl_next(const struct ctl *c, const char *fmt, ...) ANTAG_PRINTF(2, 3);
/* One line of text on standard output, from the agent or not, escaped and broken at CTL_WIDTH. */
void ctl_say(const char *text);

/* What to do about an error: the advice of its class, or better where antomctl knows better. */
void ctl_advice(const struct ctl *c, const struct antag_fault *fault, char out[CTL_LINE_MAX]);

/* The bytes of --body (a file, or "-": standard input), at most ANTAG_BODY_MAX. *bytes is the caller's.
 * errors: BAD_PARAM, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ctl_read_body(const char *path, uint8_t **bytes, size_t *len,
                                              struct antag_fault *fault);

ctl_run ctl_run_status, ctl_run_doctor, ctl_run_version, ctl_run_init;
ctl_run ctl_run_sign, ctl_run_verify_response, ctl_run_verify_notification;
ctl_run ctl_run_explain_sign, ctl_run_explain_response, ctl_run_explain_notification;
ctl_run ctl_run_key_import, ctl_run_antom_key_add, ctl_run_unlock, ctl_run_fence_remove;
ctl_run ctl_run_seal_change, ctl_run_seal_renew, ctl_run_keyring_pin;
ctl_run ctl_run_migrate_scan, ctl_run_migrate_import;
ctl_render ctl_render_seal, ctl_render_migrate;
ctl_run ctl_run_staff_verify, ctl_run_sandbox_set, ctl_run_change_approve;
ctl_run ctl_run_merchant_token, ctl_run_merchant_list;
ctl_run ctl_run_audit_verify, ctl_run_audit_show, ctl_run_audit_find;
ctl_check ctl_check_profile_set, ctl_check_grant_add, ctl_check_fence_remove;
ctl_render ctl_render_staff_verify, ctl_render_onboard;
ctl_run ctl_run_rotate_start, ctl_run_rotate_answer;
ctl_check ctl_check_rotate_start;
ctl_render ctl_render_rotation, ctl_render_rotations, ctl_render_rotate_call;
ctl_render ctl_render_change, ctl_render_change_approve;
ctl_render ctl_render_opened; /* the change that was opened in place of what a command asked for */
ctl_render ctl_render_status, ctl_render_doctor, ctl_render_version, ctl_render_init;
ctl_render ctl_render_audit_verify, ctl_render_audit_show, ctl_render_audit_find;
ctl_render ctl_render_sign, ctl_render_verify, ctl_render_explain, ctl_render_key_export;

/* help.c */
void ctl_help_all(FILE *out, bool colour);
void ctl_help_group(FILE *out, bool colour, const char *group);
void ctl_help_command(FILE *out, bool colour, const struct ctl_command *command);

#endif
