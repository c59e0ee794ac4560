#include "proto/staff_methods.h"

#define COUNT(a)    (sizeof(a) / sizeof((a)[0]))
#define VERSION_MAX UINT32_MAX
#define WORD_MAX    32         /* roles, regions, types, currencies: short words of a list */
#define ID_MAX      4294967294 /* uid and gid: the last one means "none" to the kernel */
#define SCENARIOS   16
#define OPS         3
#define METHODS     16
#define STAFF_ROLES 3

#define TEXT(type, member, required, max) ANTAG_FIELD(type, member, TEXT, required, 1, max, 0)
#define UINT(type, member, required, min, max)                                                     \
    ANTAG_FIELD(type, member, UINT, required, min, max, 0)
#define BOOL(type, member)             ANTAG_FIELD(type, member, BOOL, false, 0, 0, 0)
#define TEXTS(type, member, max, each) ANTAG_FIELD(type, member, TEXTS, false, 0, max, each)
#define PROFILE(type, required)        TEXT(type, profile, required, ANTAG_PROFILE_MAX)
#define VERSION(type, required)        UINT(type, version, required, 1, VERSION_MAX)
#define KEY_VERSION(type, required)    UINT(type, key_version, required, 1, VERSION_MAX)

/* needed: what an application cannot be made without */
#define APP_FIELDS(needed)                                                                         \
    TEXT(struct antag_app_create_params, app, true, ANTAG_APP_MAX),                                \
        TEXT(struct antag_app_create_params, role, needed, WORD_MAX),                              \
        TEXT(struct antag_app_create_params, region, needed, WORD_MAX),                            \
        TEXT(struct antag_app_create_params, product, needed, ANTAG_TEXT_MAX),                     \
        TEXT(struct antag_app_create_params, currency, needed, WORD_MAX),                          \
        TEXT(struct antag_app_create_params, type, false, WORD_MAX),                               \
        TEXT(struct antag_app_create_params, description, false, ANTAG_TEXT_MAX),                  \
        TEXTS(struct antag_app_create_params, scenarios, SCENARIOS, ANTAG_TEXT_MAX),               \
        TEXT(struct antag_app_create_params, dashboard_account, false, ANTAG_TEXT_MAX),            \
        TEXT(struct antag_app_create_params, authorization_url, false, ANTAG_URL_MAX)
static const struct antag_field app_create_fields[] = {APP_FIELDS(true)};
static const struct antag_field app_set_fields[] = {APP_FIELDS(false)};

static const struct antag_field onboard_confirm_fields[] = {
    TEXT(struct antag_onboard_confirm_params, app, true, ANTAG_APP_MAX),
    TEXT(struct antag_onboard_confirm_params, what, true, WORD_MAX),
};

static const struct antag_field sandbox_set_fields[] = {
    TEXT(struct antag_sandbox_set_params, app, true, ANTAG_APP_MAX),
    TEXT(struct antag_sandbox_set_params, buyer_account, false, ANTAG_TEXT_MAX),
    TEXT(struct antag_sandbox_set_params, merchant_account, false, ANTAG_TEXT_MAX),
};

static const struct antag_field app_fields[] = {
    TEXT(struct antag_app_params, app, true, ANTAG_APP_MAX),
};

static const struct antag_field profile_set_fields[] = {
    PROFILE(struct antag_profile_set_params, true),
    TEXT(struct antag_profile_set_params, client_id, false, ANTAG_CLIENT_ID_MAX),
    TEXT(struct antag_profile_set_params, gateway, false, ANTAG_URL_MAX),
    TEXT(struct antag_profile_set_params, notify_url, false, ANTAG_URL_MAX),
    UINT(struct antag_profile_set_params, response_max_age_ms, false, 0, ANTAG_AGE_MAX_MS),
    UINT(struct antag_profile_set_params, notification_max_age_ms, false, 0, ANTAG_AGE_MAX_MS),
    UINT(struct antag_profile_set_params, cryptoperiod_days, false, 1, 3650),
    TEXT(struct antag_profile_set_params, isv_client_id, false, ANTAG_CLIENT_ID_MAX),
    TEXT(struct antag_profile_set_params, isv_customer_id, false, ANTAG_CLIENT_ID_MAX),
    TEXT(struct antag_profile_set_params, test_customer_id, false, ANTAG_CLIENT_ID_MAX),
};

static const struct antag_field profile_fields[] = {
    PROFILE(struct antag_profile_params, true),
};

static const struct antag_field profile_opt_fields[] = {
    PROFILE(struct antag_profile_opt_params, false),
};

static const struct antag_field key_new_fields[] = {
    PROFILE(struct antag_key_new_params, true),
    KEY_VERSION(struct antag_key_new_params, false),
    TEXT(struct antag_key_new_params, keyring, false, ANTAG_KEYRING_MAX),
};

static const struct antag_field key_fields[] = {
    PROFILE(struct antag_key_params, true),
    VERSION(struct antag_key_params, true),
};

static const struct antag_field key_export_fields[] = {
    PROFILE(struct antag_key_export_params, true),
    VERSION(struct antag_key_export_params, false),
    BOOL(struct antag_key_export_params, pem),
};

static const struct antag_field key_suspend_fields[] = {
    PROFILE(struct antag_key_suspend_params, true),
    VERSION(struct antag_key_suspend_params, true),
    TEXT(struct antag_key_suspend_params, reason, false, ANTAG_TEXT_MAX),
};

static const struct antag_field key_set_fields[] = {
    PROFILE(struct antag_key_set_params, true),
    VERSION(struct antag_key_set_params, true),
    KEY_VERSION(struct antag_key_set_params, true),
};

static const struct antag_field antom_key_add_fields[] = {
    PROFILE(struct antag_antom_key_add_params, true),
    BOOL(struct antag_antom_key_add_params, same_as_other_environment),
};

static const struct antag_field fence_add_fields[] = {
    PROFILE(struct antag_fence_add_params, true),
    TEXT(struct antag_fence_add_params, path, true, ANTAG_GLOB_MAX),
};

static const struct antag_field fence_id_fields[] = {
    UINT(struct antag_fence_id_params, fence, true, 1, INT64_MAX),
};

static const struct antag_field grant_add_fields[] = {
    PROFILE(struct antag_grant_add_params, true),
    UINT(struct antag_grant_add_params, uid, false, 0, ID_MAX),
    UINT(struct antag_grant_add_params, gid, false, 0, ID_MAX),
    TEXT(struct antag_grant_add_params, unit, false, ANTAG_UNIT_MAX),
    ANTAG_FIELD(struct antag_grant_add_params, ops, TEXTS, true, 1, OPS, WORD_MAX),
    TEXTS(struct antag_grant_add_params, methods, METHODS, ANTAG_METHOD_MAX),
    TEXTS(struct antag_grant_add_params, paths, ANTAG_GLOBS_PER_GRANT, ANTAG_GLOB_MAX),
    TEXTS(struct antag_grant_add_params, merchants, ANTAG_GLOBS_PER_GRANT, ANTAG_MERCHANT_MAX),
    BOOL(struct antag_grant_add_params, query),
    UINT(struct antag_grant_add_params, max_body, false, 0, ANTAG_BODY_MAX),
    UINT(struct antag_grant_add_params, rate, false, 1, ANTAG_RATE_MAX),
    UINT(struct antag_grant_add_params, burst, false, 1, ANTAG_RATE_MAX),
};

static const struct antag_field merchant_fields[] = {
    PROFILE(struct antag_merchant_params, true),
    TEXT(struct antag_merchant_params, merchant, true, ANTAG_MERCHANT_MAX),
    TEXT(struct antag_merchant_params, description, false, ANTAG_TEXT_MAX),
};

static const struct antag_field rotate_start_fields[] = {
    PROFILE(struct antag_rotate_start_params, true),
    TEXT(struct antag_rotate_start_params, keyring, false, ANTAG_KEYRING_MAX),
    KEY_VERSION(struct antag_rotate_start_params, false),
    UINT(struct antag_rotate_start_params, version, false, 1, UINT32_MAX),
    BOOL(struct antag_rotate_start_params, arm),
    BOOL(struct antag_rotate_start_params, no_arm),
    BOOL(struct antag_rotate_start_params, auto_rollback),
};

static const struct antag_field rotate_submit_fields[] = {
    PROFILE(struct antag_rotate_submit_params, true),
    KEY_VERSION(struct antag_rotate_submit_params, false),
};

static const struct antag_field rotate_switch_fields[] = {
    PROFILE(struct antag_rotate_switch_params, true),
    BOOL(struct antag_rotate_switch_params, anyway),
    TEXT(struct antag_rotate_switch_params, reason, false, ANTAG_TEXT_MAX),
};

static const struct antag_field rotate_call_fields[] = {
    PROFILE(struct antag_rotate_call_params, true),
    TEXT(struct antag_rotate_call_params, key, true, 8),
};

static const struct antag_field rotate_answer_fields[] = {
    PROFILE(struct antag_rotate_answer_params, true),
    TEXT(struct antag_rotate_answer_params, key, true, 8),
    TEXT(struct antag_rotate_answer_params, client_id, true, ANTAG_CLIENT_ID_MAX),
    TEXT(struct antag_rotate_answer_params, response_time, true, ANTAG_TIME_MAX),
    TEXT(struct antag_rotate_answer_params, signature, true, ANTAG_TEXT_MAX * 8),
    ANTAG_FIELD(struct antag_rotate_answer_params, body, BYTES, true, 0, 65536, 0),
};

static const struct antag_field rotate_status_fields[] = {
    PROFILE(struct antag_rotate_status_params, false),
    BOOL(struct antag_rotate_status_params, all),
};

static const struct antag_field merchant_list_fields[] = {
    PROFILE(struct antag_merchant_list_params, true),
    UINT(struct antag_merchant_list_params, after, false, 0, INT64_MAX),
};

static const struct antag_field grant_id_fields[] = {
    UINT(struct antag_grant_id_params, grant, true, 1, INT64_MAX),
};

static const struct antag_field staff_add_fields[] = {
    UINT(struct antag_staff_add_params, uid, true, 0, ID_MAX),
    ANTAG_FIELD(struct antag_staff_add_params, roles, TEXTS, true, 1, STAFF_ROLES, WORD_MAX),
    TEXT(struct antag_staff_add_params, mail, false, ANTAG_TEXT_MAX),
};

static const struct antag_field staff_set_fields[] = {
    UINT(struct antag_staff_set_params, uid, true, 0, ID_MAX),
    ANTAG_FIELD(struct antag_staff_set_params, roles, TEXTS, false, 1, STAFF_ROLES, WORD_MAX),
    TEXT(struct antag_staff_set_params, mail, false, ANTAG_TEXT_MAX),
};

static const struct antag_field staff_uid_fields[] = {
    UINT(struct antag_staff_uid_params, uid, true, 0, ID_MAX),
};

static const struct antag_field mailbox_verify_fields[] = {
    TEXT(struct antag_mailbox_verify_params, code, true, 64),
};

static const struct antag_field registry_confirm_fields[] = {
    UINT(struct antag_registry_confirm_params, record_epoch, true, 1, INT64_MAX),
    TEXT(struct antag_registry_confirm_params, reason, true, ANTAG_TEXT_MAX),
};

static const struct antag_field app_launch_fields[] = {
    TEXT(struct antag_app_launch_params, app, true, ANTAG_APP_MAX),
    TEXT(struct antag_app_launch_params, skip_rehearsal, false, ANTAG_TEXT_MAX),
    BOOL(struct antag_app_launch_params, accept_file_seal),
};

static const struct antag_field quorum_set_fields[] = {
    PROFILE(struct antag_quorum_set_params, true),
    TEXT(struct antag_quorum_set_params, quorum, true, WORD_MAX),
};

static const struct antag_field change_list_fields[] = {
    BOOL(struct antag_change_list_params, all),
};

#define CHANGE(type) UINT(type, change, true, 1, INT64_MAX)
#define DIGEST(type) ANTAG_FIELD(type, digest, BYTES, true, 32, 32, 0)
static const struct antag_field change_id_fields[] = {
    CHANGE(struct antag_change_id_params),
};

static const struct antag_field change_code_fields[] = {
    CHANGE(struct antag_change_code_params),
    DIGEST(struct antag_change_code_params),
};

static const struct antag_field change_approve_fields[] = {
    CHANGE(struct antag_change_approve_params),
    DIGEST(struct antag_change_approve_params),
    TEXT(struct antag_change_approve_params, code, true, 64),
    BOOL(struct antag_change_approve_params, recovery),
};

static const struct antag_field change_end_fields[] = {
    CHANGE(struct antag_change_end_params),
    TEXT(struct antag_change_end_params, reason, false, ANTAG_TEXT_MAX),
};

static const struct antag_field mailbox_code_fields[] = {
    BOOL(struct antag_mailbox_code_params, again),
};

static const struct antag_field keyring_fields[] = {
    TEXT(struct antag_keyring_params, keyring, true, ANTAG_KEYRING_MAX),
};

static const struct antag_field seal_change_fields[] = {
    TEXT(struct antag_seal_change_params, type, true, WORD_MAX),
    TEXT(struct antag_seal_change_params, pcrs, false, ANTAG_TEXT_MAX),
    BOOL(struct antag_seal_change_params, accept_file_seal),
};

#define SPEC(name)                                                                                 \
    {                                                                                              \
        name##_fields, COUNT(name##_fields), sizeof(struct antag_##name##_params)                  \
    }
#define FIELDS_none                                                                                \
    {                                                                                              \
        NULL, 0, sizeof(struct antag_none_params)                                                  \
    }
#define FIELDS_app_create       SPEC(app_create)
#define FIELDS_app_set          SPEC(app_set)
#define FIELDS_onboard_confirm  SPEC(onboard_confirm)
#define FIELDS_sandbox_set      SPEC(sandbox_set)
#define FIELDS_app              SPEC(app)
#define FIELDS_profile_set      SPEC(profile_set)
#define FIELDS_profile          SPEC(profile)
#define FIELDS_profile_opt      SPEC(profile_opt)
#define FIELDS_key_new          SPEC(key_new)
#define FIELDS_key              SPEC(key)
#define FIELDS_key_export       SPEC(key_export)
#define FIELDS_key_suspend      SPEC(key_suspend)
#define FIELDS_key_set          SPEC(key_set)
#define FIELDS_antom_key_add    SPEC(antom_key_add)
#define FIELDS_fence_add        SPEC(fence_add)
#define FIELDS_fence_id         SPEC(fence_id)
#define FIELDS_grant_add        SPEC(grant_add)
#define FIELDS_merchant         SPEC(merchant)
#define FIELDS_merchant_list    SPEC(merchant_list)
#define FIELDS_grant_id         SPEC(grant_id)
#define FIELDS_staff_add        SPEC(staff_add)
#define FIELDS_staff_set        SPEC(staff_set)
#define FIELDS_staff_uid        SPEC(staff_uid)
#define FIELDS_mailbox_verify   SPEC(mailbox_verify)
#define FIELDS_registry_confirm SPEC(registry_confirm)
#define FIELDS_app_launch       SPEC(app_launch)
#define FIELDS_quorum_set       SPEC(quorum_set)
#define FIELDS_change_list      SPEC(change_list)
#define FIELDS_change_id        SPEC(change_id)
#define FIELDS_change_code      SPEC(change_code)
#define FIELDS_change_approve   SPEC(change_approve)
#define FIELDS_change_end       SPEC(change_end)
#define FIELDS_mailbox_code     SPEC(mailbox_code)
#define FIELDS_seal_change      SPEC(seal_change)
#define FIELDS_keyring          SPEC(keyring)
#define FIELDS_rotate_start     SPEC(rotate_start)
#define FIELDS_rotate_submit    SPEC(rotate_submit)
#define FIELDS_rotate_switch    SPEC(rotate_switch)
#define FIELDS_rotate_call      SPEC(rotate_call)
#define FIELDS_rotate_answer    SPEC(rotate_answer)
#define FIELDS_rotate_status    SPEC(rotate_status)

static const struct antag_staff_method_row rows[] = {
#define ANTAG_ROW(name, params, locked, who, files, guard)                                         \
    [ANTAG_STAFF_##                                                                                \
        name] = {#name, locked, ANTAG_ROLE_##who, files, ANTAG_GUARD_##guard, FIELDS_##params},
    ANTAG_STAFF_METHODS(ANTAG_ROW)
#undef ANTAG_ROW
};

const struct antag_staff_method_row *antag_staff_method(struct antag_slice name,
                                                        enum antag_staff_method *which)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!antag_slice_is(name, rows[i].name))
            continue;
        *which = (enum antag_staff_method)i;
        return &rows[i];
    }
    return NULL;
}

const struct antag_staff_method_row *antag_staff_method_row(enum antag_staff_method which)
{
    return (size_t)which < COUNT(rows) ? &rows[which] : NULL;
}
