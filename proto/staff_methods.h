/* staff_methods: the methods of staff.sock (antomctl), their parameters, results, and who may call.
 *
 * Same frames and messages as agent.sock. A method that takes key or passphrase bytes takes them as
 * a sealed memory file (memfd, at most ANTAG_IMPORT_MAX bytes) passed with the first byte of its frame
 * by SCM_RIGHTS; never in params. Result keys are written here as antomctl prints them with --json.
 *
 *   method          params -> result
 *   status          {} -> {state: starting|ready|locked|failed, reason?, version, pid, epoch, record_epoch?, since_ms,
 *                    seal, home, roles: [{role, name, pid, state, restarts, since_ms}],
 *                    keyrings: [{keyring, type, state: ready|down|silent|failing, why?, signed, failed, p50_us, p99_us}],
 *                    (since its keeper began; silent: it does not answer; failing: its last signatures failed)
 *                    attention: [{what, how}],      (what a person has to act on; how: the command)
 *                    profiles: [{profile, sign, sign_why?, verify, verify_why?}]}
 *                    (sign, verify: "ready" or a status name; *_why a sentence)
 *   doctor          {} -> {checks: [{check, ok, message, remedy?}]}
 *   app_create      {app, role, region, product, currency, type?, description?, scenarios?,
 *                    dashboard_account?, authorization_url?} -> APP
 *   app_set         {app, type?, description?, scenarios?, dashboard_account?, authorization_url?} -> APP
 *                    (role, region, product and currency are taken, and refused unless they say what is: Antom
 *                    does not let them change)
 *   app_remove      {app} -> APP                  with its profiles, keys, grants, as it was; no key may sign or be staged
 *   app_list        {} -> {apps: [APP]}           app_show  {app} -> APP
 *                    APP: {app, role, region, product, currency, type, description, scenarios,
 *                    dashboard_account, status: created|configured|testing|launched, created_at_ms,
 *                    profiles: [PROFILE]}
 *   profile_set     {profile, client_id?, gateway?, notify_url?, response_max_age_ms?,
 *                    notification_max_age_ms?, cryptoperiod_days?, isv_client_id?, isv_customer_id?, test_customer_id?}
 *                    -> PROFILE                                profile_show {profile} -> PROFILE
 *                    PROFILE: {profile, client_id, gateway, notify_url, response_max_age_ms,
 *                    notification_max_age_ms, launched, quorum?, cryptoperiod_days, active_version?, antom_version?, missing: [TEXT],
 *                    of an isv isv_client_id, isv_customer_id, test_customer_id}
 *                    ("" clears nothing: an empty text is refused)
 *   onboard         {app} -> {app, role, steps: [{step, title, done, items: [{done, what, how?}]}]}
 *                    (how: a command in backquotes, or a page of the dashboard)
 *   onboard_confirm {app, what: reconciliation|acceptance|contract} -> as onboard
 *   sandbox_set     {app, buyer_account?, merchant_account?} [+ memfd password] -> SANDBOX
 *   sandbox_show    {app} -> SANDBOX
 *                    SANDBOX: {profile, buyer_account, merchant_account, has_password}
 *   sandbox_password {app} -> {profile, buyer_account, password}     stands in the record
 *   key_generate    {profile, key_version?, keyring?} -> KEY
 *   key_import      {profile, key_version?, keyring?} + memfd key [+ memfd passphrase] -> KEY
 *                    KEY: {profile, version, state, key_version, keyring, bits, origin:
 *                    generated|imported, fingerprint, created_at_ms, state_since_ms, reason?,
 *                    waits_for?, until_ms?, who?, warning?}
 *                    (fingerprint: lower-case hex SHA-256 of the SubjectPublicKeyInfo DER;
 *                    waits_for, until_ms, who: what ends this state, when, and who acts)
 *   key_list        {profile} -> {keys: [KEY]}    key_show  {profile, version} -> KEY + {public_key}
 *   key_export      {profile, version?, pem?} -> {profile, version, public_key, fingerprint}
 *                    (public_key: bare base64 of the SPKI DER, or PEM text; version: the active one, or
 *                    the only one that is staged)
 *   key_activate    {profile, version} -> KEY     key_suspend {profile, version, reason?} -> KEY
 *   key_resume      {profile, version} -> KEY     key_set   {profile, version, key_version} -> KEY
 *   antom_key_add   {profile, same_as_other_environment?} + memfd public key -> ANTOM_KEY
 *                    ANTOM_KEY: {profile, version, state, bits, fingerprint, created_at_ms,
 *                    state_since_ms, until_ms?, waits_for?, who?, warning?}
 *   antom_key_list  {profile?} -> {antom_keys: [ANTOM_KEY]}
 *                    (of a launched profile it is staged, and verifies nothing before it is activated, or verifies an
 *                    answer that the agent fetched itself during a rotation)
 *   antom_key_activate {profile, version} -> ANTOM_KEY
 *   antom_key_revoke {profile, version} -> ANTOM_KEY
 *   fence_add       {profile, path} -> FENCE      fence_list {profile?} -> {fences: [FENCE]}
 *   fence_remove    {fence} -> FENCE              FENCE: {fence, profile, path}  (path: a glob)
 *   grant_add       {profile, uid|gid|unit, ops, methods?, paths?, query?, max_body?,
 *                    rate?, burst?, merchants?} -> GRANT    (rate, burst: requests a second and at once; 0: not
 *                    limited; merchants: signs for these only, names with *; of an isv)
 *   grant_list      {profile?} -> {grants: [GRANT]}    grant_remove {grant} -> GRANT
 *                    GRANT: {grant, profile, uid?|gid?|unit?, ops: [TEXT], methods: [TEXT],
 *                    paths: [TEXT], merchants: [TEXT], query, max_body, rate, burst}
 *   rotate_start    {profile, keyring?, key_version?, version?, arm?, no_arm?, auto_rollback?} -> ROTATION
 *                    (version: a staged key that is taken instead of a new one; armed when it is launched, unless one of the two is given)
 *   rotate_request  {profile} -> ROTATION         asks for the approval of the plan
 *   rotate_submit   {profile, key_version?} -> ROTATION      Antom has been given the new key
 *   rotate_probe    {profile} -> ROTATION         asks Antom now, under both keys
 *   rotate_activate {profile, anyway?} -> ROTATION       rotate_rollback  {profile, anyway?, reason?} -> ROTATION
 *   rotate_cancel   {profile, reason?} -> ROTATION
 *   rotate_call     {profile, key: old|new} -> {profile, key, method, url, client_id, request_time, signature, body}
 *                    a probe to be sent by hand
 *   rotate_answer   {profile, key, client_id, response_time, signature, body} -> ROTATION      what came back
 *   rotate_status   {profile?, all?} -> {rotations: [ROTATION]}      (all: those that are over, too)
 *                    ROTATION: {rotation, profile, state, meaning, state_ms, started_ms, uid, old_key: RKEY, new_key: RKEY,
 *                    armed, auto_rollback, waits_for?, who?, until_ms?, frozen?, frozen_until_ms?, change?, submitted_ms?,
 *                    old_probe: PROBE, new_probe: PROBE, failures, failures_ms?, reason, command, next: [TEXT]}
 *                    RKEY: {version, state, keyring, key_version, fingerprint, public_key?}
 *                    PROBE: {outcome: none|accepted|refused|unproven, at_ms?, said?, by_hand?}
 *                    (failures: reports that Antom refused a signature of the new key; next: what to do, in sentences; command: the
 *                    next step of a person, behind "antomctl ", or "")
 *   merchant_add    {profile, merchant, description?} + memfd token -> MERCHANT     (of an isv)
 *   merchant_set    {profile, merchant} + memfd token -> MERCHANT       another token
 *   merchant_list   {profile, after?} -> {merchants: [MERCHANT], next?}     (1000 at most; next: `after` for more)
 *   merchant_show   {profile, merchant} -> MERCHANT
 *   merchant_suspend, merchant_resume, merchant_remove  {profile, merchant} -> MERCHANT
 *                    MERCHANT: {profile, merchant, state: active|suspended, state_ms, description, created_ms,
 *                    token_ms, used, used_ms}     (used: how often it was signed for)
 *   merchant_url    {app} -> {app, authorization_url}         only after the launch
 *   staff_add       {uid, roles, mail?} -> STAFF     staff_set {uid, roles?, mail?} -> STAFF
 *   staff_list      {} -> {staff: [STAFF]}        staff_remove {uid} -> STAFF
 *                    STAFF: {uid, roles: [viewer|officer|approver], mail, mail_verified}
 *   mailbox_code    {again?} -> {mail, holds_ms}  mails a code to the caller's own mailbox (again: though it is
 *                    verified; an approver gets new recovery codes by that)
 *   mailbox_verify  {code} -> STAFF + {recovery_codes?: [TEXT]}    the code, by the caller whose mailbox it is
 *                    (recovery_codes: of an approver, told this once)
 *   app_launch      {app, skip_rehearsal?, accept_file_seal?} -> CHANGED    (skip_rehearsal: the reason)
 *   quorum_set      {profile, quorum} -> PROFILE      (quorum: self, or the number of other approvers as text)
 *   key_compromise  {profile, version} -> KEY         key_destroy  {profile, version} -> KEY
 *   change_list     {all?} -> {changes: [CHANGE]}     (all: those that are over, too)
 *   change_show     {change} -> CHANGE + {document}   (document: bytes, of which digest is the BLAKE2b-256)
 *   change_code     {change, digest} -> {change, mail, holds_ms}      mails the caller a code for his approval
 *   change_approve  {change, digest, code, recovery?} -> CHANGE       (digest: of the change as it was shown;
 *                    recovery: the code is a recovery code)
 *   change_reject   {change, reason?} -> CHANGE       change_cancel  {change, reason?} -> CHANGE
 *                    CHANGE: {change, digest, method, profile?, summary, alters: [{what, was, is}], uid, account,
 *                    host, state, state_ms, opened_ms, until_ms?, reason, quorum, needed,
 *                    approvals: [{uid, mail, at_ms, recovery}], waits_for?, who?: [uid]}
 *
 * CHANGED: a method whose guard says so alters nothing: its result is {opened: CHANGE} instead, and what it asked for
 * is done when the change is approved.
 *   mail_list       {} -> {mails: [{mail, to, subject, state: queued|sent|refused|dropped, created_ms,
 *                    state_ms, attempts, next_ms?, error, message_id}]}
 *   seal_show       {} -> SEAL
 *                    SEAL: {type: file|passphrase|credential|tpm, path, pcrs?, opens, why, by_recovery, pending, since_ms?,
 *                    uid?}     (pcrs: "7"; opens: by itself, at the next start; by_recovery: it was opened by its recovery
 *                    passphrase; pending: root.seal is not replaced yet; since_ms, uid: when it was changed, and who asked)
 *   seal_change     {type, pcrs?, accept_file_seal?} [+ memfd passphrase] -> SEAL
 *                    (passphrase: of passphrase its own, of tpm that of recovery; tpm without one: the recovery passphrase
 *                    stays; pcrs: PCRs of the SHA-256 bank, "7" unless given)
 *   keyring_list    {} -> {keyrings: [KEYRING]}
 *                    KEYRING: {keyring, type: soft|pkcs11|tpm, state: ready|down|no-pin|silent|failing, why?, pin?:
 *                    file|credential|registry, pin_ms?, signed, failed, p50_us, p99_us}    (pin: where the PIN of a token
 *                    comes from; pin_ms: since when the registry has it; signed, failed: since its keeper began)
 *   keyring_pin     {keyring} + memfd pin -> KEYRING  (the PIN of a token, sealed into the registry; it is tried first, and
 *                    one that the token refuses is not kept)
 *   registry_confirm {record_epoch, reason} -> {epoch}
 *                    a registry that is older than the record (status: record_epoch) is the right one
 *                    all the same; live profiles sign again
 *   lock            {} -> {state}
 *   unlock          {} [+ memfd passphrase] -> {state}
 *   version         {} -> {version, protocol, schema}
 */
#ifndef ANTAG_PROTO_STAFF_METHODS_H
#define ANTAG_PROTO_STAFF_METHODS_H

#include "antag/limits.h"
#include "proto/params.h"

/* What makes an operation wait for approval as a change, instead of being done at once. */
enum antag_guard {
    ANTAG_GUARD_NONE, /* never: it looks, it stops something, or nothing launched depends on it */
    ANTAG_GUARD_PROFILE, /* when what it alters belongs to a launched profile */
    ANTAG_GUARD_AGENT,   /* when any application is launched */
    ANTAG_GUARD_ALWAYS,
};

/*  name, params struct, allowed while locked, who (staff role), memory files it takes at most, guard */
#define ANTAG_STAFF_METHODS(R)                                                                     \
    R(status, none, true, VIEWER, 0, NONE)                                                         \
    R(doctor, none, true, VIEWER, 0, NONE)                                                         \
    R(version, none, true, VIEWER, 0, NONE)                                                        \
    R(app_create, app_create, false, OFFICER, 0, NONE)                                             \
    R(app_set, app_set, false, OFFICER, 0, NONE)                                                   \
    R(app_remove, app, false, OFFICER, 0, PROFILE)                                                 \
    R(app_list, none, false, VIEWER, 0, NONE)                                                      \
    R(app_show, app, false, VIEWER, 0, NONE)                                                       \
    R(app_launch, app_launch, false, OFFICER, 0, ALWAYS)                                           \
    R(profile_set, profile_set, false, OFFICER, 0, PROFILE)                                        \
    R(profile_show, profile, false, VIEWER, 0, NONE)                                               \
    R(quorum_set, quorum_set, false, OFFICER, 0, PROFILE)                                          \
    R(onboard, app, false, VIEWER, 0, NONE)                                                        \
    R(onboard_confirm, onboard_confirm, false, OFFICER, 0, NONE)                                   \
    R(sandbox_set, sandbox_set, false, OFFICER, 1, NONE)                                           \
    R(sandbox_show, app, false, VIEWER, 0, NONE)                                                   \
    R(sandbox_password, app, false, OFFICER, 0, NONE)                                              \
    R(key_generate, key_new, false, OFFICER, 0, NONE)                                              \
    R(key_import, key_new, false, OFFICER, 2, NONE)                                                \
    R(key_list, profile, false, VIEWER, 0, NONE)                                                   \
    R(key_show, key, false, VIEWER, 0, NONE)                                                       \
    R(key_export, key_export, false, VIEWER, 0, NONE)                                              \
    R(key_activate, key, false, OFFICER, 0, PROFILE)                                               \
    R(key_suspend, key_suspend, false, OFFICER, 0, NONE)                                           \
    R(key_resume, key, false, OFFICER, 0, PROFILE)                                                 \
    R(key_set, key_set, false, OFFICER, 0, PROFILE)                                                \
    R(key_compromise, key, false, OFFICER, 0, PROFILE)                                             \
    R(key_destroy, key, false, OFFICER, 0, PROFILE)                                                \
    R(antom_key_add, antom_key_add, false, OFFICER, 1, NONE)                                       \
    R(antom_key_activate, key, false, OFFICER, 0, PROFILE)                                         \
    R(antom_key_list, profile_opt, false, VIEWER, 0, NONE)                                         \
    R(antom_key_revoke, key, false, OFFICER, 0, NONE)                                              \
    R(fence_add, fence_add, false, OFFICER, 0, PROFILE)                                            \
    R(fence_list, profile_opt, false, VIEWER, 0, NONE)                                             \
    R(fence_remove, fence_id, false, OFFICER, 0, NONE)                                             \
    R(grant_add, grant_add, false, OFFICER, 0, PROFILE)                                            \
    R(grant_list, profile_opt, false, VIEWER, 0, NONE)                                             \
    R(grant_remove, grant_id, false, OFFICER, 0, NONE)                                             \
    R(rotate_start, rotate_start, false, OFFICER, 0, NONE)                                         \
    R(rotate_request, profile, false, OFFICER, 0, PROFILE)                                         \
    R(rotate_submit, rotate_submit, false, OFFICER, 0, NONE)                                       \
    R(rotate_probe, profile, false, OFFICER, 0, NONE)                                              \
    R(rotate_activate, rotate_switch, false, OFFICER, 0, NONE)                                     \
    R(rotate_rollback, rotate_switch, false, OFFICER, 0, NONE)                                     \
    R(rotate_cancel, rotate_switch, false, OFFICER, 0, NONE)                                       \
    R(rotate_call, rotate_call, false, OFFICER, 0, NONE)                                           \
    R(rotate_answer, rotate_answer, false, OFFICER, 0, NONE)                                       \
    R(rotate_status, rotate_status, false, VIEWER, 0, NONE)                                        \
    R(merchant_add, merchant, false, OFFICER, 1, PROFILE)                                          \
    R(merchant_set, merchant, false, OFFICER, 1, PROFILE)                                          \
    R(merchant_list, merchant_list, false, VIEWER, 0, NONE)                                        \
    R(merchant_show, merchant, false, VIEWER, 0, NONE)                                             \
    R(merchant_suspend, merchant, false, OFFICER, 0, NONE)                                         \
    R(merchant_resume, merchant, false, OFFICER, 0, PROFILE)                                       \
    R(merchant_remove, merchant, false, OFFICER, 0, PROFILE)                                       \
    R(merchant_url, app, false, VIEWER, 0, NONE)                                                   \
    R(staff_add, staff_add, false, OFFICER, 0, AGENT)                                              \
    R(staff_set, staff_set, false, OFFICER, 0, AGENT)                                              \
    R(staff_list, none, false, VIEWER, 0, NONE)                                                    \
    R(staff_remove, staff_uid, false, OFFICER, 0, AGENT)                                           \
    R(mailbox_code, mailbox_code, false, VIEWER, 0, NONE)                                          \
    R(mailbox_verify, mailbox_verify, false, VIEWER, 0, NONE)                                      \
    R(change_list, change_list, false, VIEWER, 0, NONE)                                            \
    R(change_show, change_id, false, VIEWER, 0, NONE)                                              \
    R(change_code, change_code, false, VIEWER, 0, NONE)                                            \
    R(change_approve, change_approve, false, VIEWER, 0, NONE)                                      \
    R(change_reject, change_end, false, APPROVER, 0, NONE)                                         \
    R(change_cancel, change_end, false, OFFICER, 0, NONE)                                          \
    R(mail_list, none, false, VIEWER, 0, NONE)                                                     \
    R(seal_show, none, false, VIEWER, 0, NONE)                                                     \
    R(seal_change, seal_change, false, OFFICER, 1, AGENT)                                          \
    R(registry_confirm, registry_confirm, false, OFFICER, 0, AGENT)                                \
    R(keyring_list, none, false, VIEWER, 0, NONE)                                                  \
    R(keyring_pin, keyring, false, OFFICER, 1, NONE)                                               \
    R(lock, none, false, OFFICER, 0, NONE)                                                         \
    R(unlock, none, true, OFFICER, 1, NONE)

enum antag_staff_method {
#define ANTAG_ROW(name, params, locked, who, files, guard) ANTAG_STAFF_##name,
    ANTAG_STAFF_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
        ANTAG_STAFF_METHOD_COUNT
};

/* staff roles, as bits */
enum antag_staff_role { ANTAG_ROLE_VIEWER = 1, ANTAG_ROLE_OFFICER = 2, ANTAG_ROLE_APPROVER = 4 };

struct antag_none_params {
    char unused;
};
struct antag_app_create_params {
    struct antag_opt_slice app, role, region, product, currency, type, description;
    struct antag_opt_slice dashboard_account, authorization_url;
    struct antag_opt_value scenarios; /* texts */
};
struct antag_onboard_confirm_params {
    struct antag_opt_slice app, what;
};
struct antag_sandbox_set_params {
    struct antag_opt_slice app, buyer_account, merchant_account;
};
/* the same keys as app_create, all but `app` optional */
#define antag_app_set_params antag_app_create_params
struct antag_app_params {
    struct antag_opt_slice app;
};
struct antag_profile_set_params {
    struct antag_opt_slice profile, client_id, gateway, notify_url;
    struct antag_opt_slice isv_client_id, isv_customer_id, test_customer_id;
    struct antag_opt_uint response_max_age_ms, notification_max_age_ms, cryptoperiod_days;
};
struct antag_keyring_params {
    struct antag_opt_slice keyring;
};
struct antag_seal_change_params {
    struct antag_opt_slice type, pcrs;
    struct antag_opt_bool accept_file_seal;
};
struct antag_profile_params {
    struct antag_opt_slice profile;
};
struct antag_profile_opt_params {
    struct antag_opt_slice profile;
};
struct antag_key_new_params {
    struct antag_opt_slice profile, keyring;
    struct antag_opt_uint key_version;
};
struct antag_key_params {
    struct antag_opt_slice profile;
    struct antag_opt_uint version;
};
struct antag_key_export_params {
    struct antag_opt_slice profile;
    struct antag_opt_uint version;
    struct antag_opt_bool pem;
};
struct antag_key_suspend_params {
    struct antag_opt_slice profile, reason;
    struct antag_opt_uint version;
};
struct antag_key_set_params {
    struct antag_opt_slice profile;
    struct antag_opt_uint version, key_version;
};
struct antag_antom_key_add_params {
    struct antag_opt_slice profile;
    struct antag_opt_bool same_as_other_environment;
};
struct antag_fence_add_params {
    struct antag_opt_slice profile, path;
};
struct antag_fence_id_params {
    struct antag_opt_uint fence;
};
struct antag_grant_add_params {
    struct antag_opt_slice profile, unit;
    struct antag_opt_uint uid, gid, max_body, rate, burst;
    struct antag_opt_value ops, methods, paths, merchants; /* texts */
    struct antag_opt_bool query;
};
struct antag_staff_add_params {
    struct antag_opt_uint uid;
    struct antag_opt_value roles; /* texts */
    struct antag_opt_slice mail;
};
struct antag_staff_set_params {
    struct antag_opt_uint uid;
    struct antag_opt_value roles; /* texts */
    struct antag_opt_slice mail;
};
struct antag_staff_uid_params {
    struct antag_opt_uint uid;
};
struct antag_mailbox_verify_params {
    struct antag_opt_slice code;
};
struct antag_registry_confirm_params {
    struct antag_opt_uint record_epoch;
    struct antag_opt_slice reason;
};
struct antag_app_launch_params {
    struct antag_opt_slice app, skip_rehearsal;
    struct antag_opt_bool accept_file_seal;
};
struct antag_quorum_set_params {
    struct antag_opt_slice profile, quorum;
};
struct antag_change_list_params {
    struct antag_opt_bool all;
};
struct antag_change_id_params {
    struct antag_opt_uint change;
};
struct antag_change_code_params {
    struct antag_opt_uint change;
    struct antag_opt_slice digest;
};
struct antag_change_approve_params {
    struct antag_opt_uint change;
    struct antag_opt_slice digest, code;
    struct antag_opt_bool recovery;
};
struct antag_change_end_params {
    struct antag_opt_uint change;
    struct antag_opt_slice reason;
};
struct antag_mailbox_code_params {
    struct antag_opt_bool again;
};
struct antag_merchant_params {
    struct antag_opt_slice profile, merchant, description;
};
struct antag_merchant_list_params {
    struct antag_opt_slice profile;
    struct antag_opt_uint after;
};
struct antag_rotate_start_params {
    struct antag_opt_slice profile, keyring;
    struct antag_opt_uint key_version, version;
    struct antag_opt_bool arm, no_arm, auto_rollback;
};
struct antag_rotate_submit_params {
    struct antag_opt_slice profile;
    struct antag_opt_uint key_version;
};
struct antag_rotate_switch_params {
    struct antag_opt_slice profile, reason;
    struct antag_opt_bool anyway;
};
struct antag_rotate_call_params {
    struct antag_opt_slice profile, key;
};
struct antag_rotate_answer_params {
    struct antag_opt_slice profile, key, client_id, response_time, signature, body;
};
struct antag_rotate_status_params {
    struct antag_opt_slice profile;
    struct antag_opt_bool all;
};
struct antag_grant_id_params {
    struct antag_opt_uint grant;
};

struct antag_staff_method_row {
    const char *name;
    bool when_locked;
    enum antag_staff_role who;
    unsigned files_max;
    enum antag_guard guard;
    struct antag_params params;
};

const struct antag_staff_method_row *antag_staff_method(struct antag_slice name,
                                                        enum antag_staff_method *which);
const struct antag_staff_method_row *antag_staff_method_row(enum antag_staff_method which);

#endif
