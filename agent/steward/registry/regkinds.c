/* The columns of every kind of row. From these rows come the SQL, the binding, the reading and the
 * bytes under the MAC: a field that is not here is not stored, one that is here is protected. */
#include <stddef.h>

#include "agent/steward/registry/registry_internal.h"

/*  type, field, rule, first schema */
#define APP_COLS(R)                                                                                \
    R(TEXT, name, FIXED, 1)                                                                        \
    R(TEXT, role, FREE, 1)                                                                         \
    R(TEXT, type, FREE, 1)                                                                         \
    R(TEXT, region, FIXED, 1)                                                                      \
    R(TEXT, product, FREE, 1)                                                                      \
    R(TEXT, currency, FREE, 1)                                                                     \
    R(TEXT, description, FREE, 1)                                                                  \
    R(TEXT, scenarios, FREE, 1)                                                                    \
    R(I64, created_at_ms, FIXED, 1)                                                                \
    R(TEXT, dashboard_account, FREE, 2)                                                            \
    R(TEXT, authorization_url, FREE, 2)                                                            \
    R(U32, confirmed, RISES, 2)

#define PROFILE_COLS(R)                                                                            \
    R(U64, app_id, FIXED, 1)                                                                       \
    R(TEXT, name, FIXED, 1)                                                                        \
    R(U32, env, FIXED, 1)                                                                          \
    R(TEXT, client_id, FREE, 1)                                                                    \
    R(TEXT, gateway, FREE, 1)                                                                      \
    R(TEXT, notify_url, FREE, 1)                                                                   \
    R(I64, response_max_age_ms, FREE, 1)                                                           \
    R(I64, notification_max_age_ms, FREE, 1)                                                       \
    R(BOOL, launched, RISES, 1)                                                                    \
    R(U32, next_key_version, RISES, 1)                                                             \
    R(U32, next_antom_version, RISES, 1)                                                           \
    R(TEXT, isv_client_id, FREE, 2)                                                                \
    R(TEXT, isv_customer_id, FREE, 2)                                                              \
    R(TEXT, test_customer_id, FREE, 2)                                                             \
    R(TEXT, buyer_account, FREE, 2)                                                                \
    R(TEXT, merchant_account, FREE, 2)                                                             \
    R(BLOB, buyer_password, FREE, 2)                                                               \
    R(U32, proved, RISES, 2)                                                                       \
    R(U32, quorum, FREE, 2)                                                                        \
    R(U32, cryptoperiod_days, FREE, 2)

#define KEY_COLS(R)                                                                                \
    R(U64, profile_id, FIXED, 1)                                                                   \
    R(U32, version, FIXED, 1)                                                                      \
    R(U32, key_version, FREE, 1)                                                                   \
    R(U32, state, FREE, 1)                                                                         \
    R(U32, suspended_from, FREE, 1)                                                                \
    R(TEXT, keyring, FIXED, 1)                                                                     \
    R(BOOL, imported, FIXED, 1)                                                                    \
    R(U32, bits, FIXED, 1)                                                                         \
    R(TEXT, reason, FREE, 1)                                                                       \
    R(I64, created_at_ms, FIXED, 1)                                                                \
    R(I64, state_at_ms, FREE, 1)                                                                   \
    R(I64, state_observed_ms, FREE, 1)                                                             \
    R(BLOB, spki, FIXED, 1)                                                                        \
    R(BLOB, sealed, FREE, 1)                                                                       \
    R(U32, reminded, RISES, 2)

#define ANTOM_KEY_COLS(R)                                                                          \
    R(U64, profile_id, FIXED, 1)                                                                   \
    R(U32, version, FIXED, 1)                                                                      \
    R(U32, state, FREE, 1)                                                                         \
    R(U32, bits, FIXED, 1)                                                                         \
    R(I64, created_at_ms, FIXED, 1)                                                                \
    R(I64, state_at_ms, FREE, 1)                                                                   \
    R(I64, state_observed_ms, FREE, 1)                                                             \
    R(BLOB, spki, FIXED, 1)

#define FENCE_COLS(R)                                                                              \
    R(U64, profile_id, FIXED, 1)                                                                   \
    R(TEXT, path, FREE, 1)

#define STAFF_COLS(R)                                                                              \
    R(U32, uid, FIXED, 1)                                                                          \
    R(U32, roles, FREE, 1)                                                                         \
    R(TEXT, mail, FREE, 1)                                                                         \
    R(BOOL, mail_verified, FREE, 2)

#define INTENT_COLS(R)                                                                             \
    R(U64, profile_id, FIXED, 1)                                                                   \
    R(U32, version, FIXED, 1)                                                                      \
    R(TEXT, keyring, FIXED, 1)

#define GRANT_COLS(R)                                                                              \
    R(U64, profile_id, FIXED, 1)                                                                   \
    R(U32, who, FREE, 1)                                                                           \
    R(U32, number, FREE, 1)                                                                        \
    R(TEXT, unit, FREE, 1)                                                                         \
    R(U32, ops, FREE, 1)                                                                           \
    R(BOOL, query, FREE, 1)                                                                        \
    R(U64, max_body, FREE, 1)                                                                      \
    R(TEXT, methods, FREE, 1)                                                                      \
    R(TEXT, paths, FREE, 1)                                                                        \
    R(U32, rate, FREE, 2)                                                                          \
    R(U32, burst, FREE, 2)                                                                         \
    R(TEXT, merchants, FREE, 2)

#define DEED_COLS(R)                                                                               \
    R(U64, epoch, FIXED, 2)                                                                        \
    R(I64, at_ms, FIXED, 2)                                                                        \
    R(U32, uid, FIXED, 2)                                                                          \
    R(BOOL, by_agent, FIXED, 2)                                                                    \
    R(TEXT, what, FIXED, 2)                                                                        \
    R(TEXT, subject, FIXED, 2)                                                                     \
    R(U64, handle, FIXED, 2)                                                                       \
    R(TEXT, detail, FIXED, 2)                                                                      \
    R(U64, change_id, FIXED, 2)

#define MAIL_COLS(R)                                                                               \
    R(TEXT, message_id, FIXED, 2)                                                                  \
    R(TEXT, rcpt, FIXED, 2)                                                                        \
    R(TEXT, subject, FIXED, 2)                                                                     \
    R(U32, state, RISES, 2)                                                                        \
    R(U64, code_id, FIXED, 2)                                                                      \
    R(U32, attempts, RISES, 2)                                                                     \
    R(I64, created_at_ms, FIXED, 2)                                                                \
    R(I64, next_at_ms, FREE, 2)                                                                    \
    R(I64, state_at_ms, FREE, 2)                                                                   \
    R(TEXT, error, FREE, 2)                                                                        \
    R(BLOB, sealed, FREE, 2)

#define CODE_COLS(R)                                                                               \
    R(U32, uid, FIXED, 2)                                                                          \
    R(U64, change_id, FIXED, 2)                                                                    \
    R(TEXT, mail, FIXED, 2)                                                                        \
    R(U32, attempts, RISES, 2)                                                                     \
    R(I64, made_at_ms, FIXED, 2)                                                                   \
    R(I64, made_observed_ms, FIXED, 2)                                                             \
    R(I64, sent_at_ms, FREE, 2)                                                                    \
    R(I64, sent_observed_ms, FREE, 2)                                                              \
    R(BLOB, hash, FIXED, 2)

#define CHANGE_COLS(R)                                                                             \
    R(U32, uid, FIXED, 2)                                                                          \
    R(U64, profile_id, FIXED, 2)                                                                   \
    R(TEXT, method, FIXED, 2)                                                                      \
    R(TEXT, summary, FIXED, 2)                                                                     \
    R(BOOL, demotes, FIXED, 2)                                                                     \
    R(U32, demoted, FIXED, 2)                                                                      \
    R(U32, state, RISES, 2)                                                                        \
    R(I64, opened_at_ms, FIXED, 2)                                                                 \
    R(I64, state_at_ms, FREE, 2)                                                                   \
    R(I64, state_observed_ms, FREE, 2)                                                             \
    R(I64, holds_ms, FIXED, 2)                                                                     \
    R(U32, attempts, RISES, 2)                                                                     \
    R(TEXT, reason, FREE, 2)                                                                       \
    R(BLOB, digest, FIXED, 2)                                                                      \
    R(BLOB, doc, FIXED, 2)

#define APPROVAL_COLS(R)                                                                           \
    R(U64, change_id, FIXED, 2)                                                                    \
    R(U32, uid, FIXED, 2)                                                                          \
    R(I64, at_ms, FIXED, 2)                                                                        \
    R(BOOL, by_recovery, FIXED, 2)                                                                 \
    R(TEXT, mail, FIXED, 2)                                                                        \
    R(BLOB, digest, FIXED, 2)

#define RECOVERY_COLS(R)                                                                           \
    R(U32, uid, FIXED, 2)                                                                          \
    R(U32, attempts, FREE, 2)                                                                      \
    R(I64, made_at_ms, FIXED, 2)                                                                   \
    R(BLOB, hash, FIXED, 2)

#define MERCHANT_COLS(R)                                                                           \
    R(U64, profile_id, FIXED, 2)                                                                   \
    R(TEXT, name, FIXED, 2)                                                                        \
    R(BOOL, suspended, FREE, 2)                                                                    \
    R(TEXT, description, FREE, 2)                                                                  \
    R(I64, created_at_ms, FIXED, 2)                                                                \
    R(I64, token_at_ms, FREE, 2)                                                                   \
    R(I64, state_at_ms, FREE, 2)                                                                   \
    R(U64, used, RISES, 2)                                                                         \
    R(I64, used_at_ms, FREE, 2)                                                                    \
    R(BLOB, sealed, FREE, 2)

#define ROTATION_COLS(R)                                                                           \
    R(U64, profile_id, FIXED, 2)                                                                   \
    R(U64, old_key_id, FIXED, 2)                                                                   \
    R(U64, new_key_id, FIXED, 2)                                                                   \
    R(U32, uid, FIXED, 2)                                                                          \
    R(U32, state, RISES, 2)                                                                        \
    R(BOOL, armed, FIXED, 2)                                                                       \
    R(BOOL, auto_back, FIXED, 2)                                                                   \
    R(I64, started_at_ms, FIXED, 2)                                                                \
    R(I64, started_observed_ms, FIXED, 2)                                                          \
    R(I64, state_at_ms, FREE, 2)                                                                   \
    R(I64, state_observed_ms, FREE, 2)                                                             \
    R(I64, submitted_at_ms, FREE, 2)                                                               \
    R(U32, old_probe, FREE, 2)                                                                     \
    R(U32, new_probe, FREE, 2)                                                                     \
    R(BOOL, old_by_hand, FREE, 2)                                                                  \
    R(BOOL, new_by_hand, FREE, 2)                                                                  \
    R(I64, old_probe_at_ms, FREE, 2)                                                               \
    R(I64, new_probe_at_ms, FREE, 2)                                                               \
    R(TEXT, old_said, FREE, 2)                                                                     \
    R(TEXT, new_said, FREE, 2)                                                                     \
    R(U32, alarm, FREE, 2)                                                                         \
    R(I64, reminded_at_ms, FREE, 2)                                                                \
    R(U64, failures, RISES, 2)                                                                     \
    R(I64, failures_at_ms, FREE, 2)                                                                \
    R(TEXT, reason, FREE, 2)

#define GONE_COLS(R)                                                                               \
    R(TEXT, name, FIXED, 2)                                                                        \
    R(U32, next_key_version, RISES, 2)                                                             \
    R(U32, next_antom_version, RISES, 2)                                                           \
    R(I64, at_ms, FREE, 2)

#define SEAL_COLS(R)                                                                               \
    R(TEXT, type, FREE, 2)                                                                         \
    R(U32, pcrs, FREE, 2)                                                                          \
    R(BOOL, pending, FREE, 2)                                                                      \
    R(U32, uid, FREE, 2)                                                                           \
    R(I64, at_ms, FREE, 2)                                                                         \
    R(BLOB, bytes, FREE, 2)

#define PIN_COLS(R)                                                                                \
    R(TEXT, keyring, FIXED, 2)                                                                     \
    R(U32, uid, FREE, 2)                                                                           \
    R(I64, at_ms, FREE, 2)                                                                         \
    R(BLOB, sealed, FREE, 2)

#define FIELD_SIZE(f) sizeof(((ROW *)0)->f)
#define FITS_U64(f)   (FIELD_SIZE(f) == 8)
#define FITS_I64(f)   (FIELD_SIZE(f) == 8)
#define FITS_U32(f)   (FIELD_SIZE(f) == 4) /* enums and unsigned too */
#define FITS_BOOL(f)  (FIELD_SIZE(f) == sizeof(bool))
#define FITS_TEXT(f)  (FIELD_SIZE(f) > 1)
#define FITS_BLOB(f)  (FIELD_SIZE(f##_len) == sizeof(size_t))
#define FITS(type, field, rule, since)                                                             \
    _Static_assert(FITS_##type(field), #field " is not of the type its column says");

#define LEN_U64(f)  0
#define LEN_I64(f)  0
#define LEN_U32(f)  0
#define LEN_BOOL(f) 0
#define LEN_TEXT(f) 0
#define LEN_BLOB(f) offsetof(ROW, f##_len)
#define COLUMN(type, field, rule, since)                                                           \
    {#field,           AG_COL_##type,        AG_COL_##rule,                                        \
     (since),          offsetof(ROW, field), FIELD_SIZE(field),                                    \
     LEN_##type(field)},

#define ROW struct ag_row_app
APP_COLS(FITS)
static const struct ag_col app_cols[] = {APP_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_profile
PROFILE_COLS(FITS)
static const struct ag_col profile_cols[] = {PROFILE_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_key
KEY_COLS(FITS)
static const struct ag_col key_cols[] = {KEY_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_antom_key
ANTOM_KEY_COLS(FITS)
static const struct ag_col antom_key_cols[] = {ANTOM_KEY_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_fence
FENCE_COLS(FITS)
static const struct ag_col fence_cols[] = {FENCE_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_staff
STAFF_COLS(FITS)
static const struct ag_col staff_cols[] = {STAFF_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_intent
INTENT_COLS(FITS)
static const struct ag_col intent_cols[] = {INTENT_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_grant
GRANT_COLS(FITS)
static const struct ag_col grant_cols[] = {GRANT_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_deed
DEED_COLS(FITS)
static const struct ag_col deed_cols[] = {DEED_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_mail
MAIL_COLS(FITS)
static const struct ag_col mail_cols[] = {MAIL_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_code
CODE_COLS(FITS)
static const struct ag_col code_cols[] = {CODE_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_change
CHANGE_COLS(FITS)
static const struct ag_col change_cols[] = {CHANGE_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_approval
APPROVAL_COLS(FITS)
static const struct ag_col approval_cols[] = {APPROVAL_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_recovery
RECOVERY_COLS(FITS)
static const struct ag_col recovery_cols[] = {RECOVERY_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_merchant
MERCHANT_COLS(FITS)
static const struct ag_col merchant_cols[] = {MERCHANT_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_rotation
ROTATION_COLS(FITS)
static const struct ag_col rotation_cols[] = {ROTATION_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_gone
GONE_COLS(FITS)
static const struct ag_col gone_cols[] = {GONE_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_seal
SEAL_COLS(FITS)
static const struct ag_col seal_cols[] = {SEAL_COLS(COLUMN)};
#undef ROW
#define ROW struct ag_row_pin
PIN_COLS(FITS)
static const struct ag_col pin_cols[] = {PIN_COLS(COLUMN)};
#undef ROW

#define COLS(a) (a), sizeof(a) / sizeof((a)[0])

const struct ag_kind ag_registry_kinds[AG_KIND_COUNT] = {
    [AG_KIND_APP] = {"app", "application", sizeof(struct ag_row_app), 1, AG_KIND_APP,
                     COLS(app_cols)},
    [AG_KIND_PROFILE] = {"profile", "profile", sizeof(struct ag_row_profile), 1, AG_KIND_PROFILE,
                         COLS(profile_cols)},
    /* a key takes over the id of its intent, so the two draw from one sequence */
    [AG_KIND_KEY] = {"merchant_key", "merchant key", sizeof(struct ag_row_key), 1, AG_KIND_INTENT,
                     COLS(key_cols)},
    [AG_KIND_ANTOM_KEY] = {"antom_key", "Antom key", sizeof(struct ag_row_antom_key), 1,
                           AG_KIND_ANTOM_KEY, COLS(antom_key_cols)},
    [AG_KIND_FENCE] = {"fence_exception", "fence exception", sizeof(struct ag_row_fence), 1,
                       AG_KIND_FENCE, COLS(fence_cols)},
    [AG_KIND_STAFF] = {"staff", "member of staff", sizeof(struct ag_row_staff), 1, AG_KIND_STAFF,
                       COLS(staff_cols)},
    [AG_KIND_INTENT] = {"key_intent", "key intent", sizeof(struct ag_row_intent), 1, AG_KIND_KEY,
                        COLS(intent_cols)},
    [AG_KIND_GRANT] = {"caller_grant", "grant", sizeof(struct ag_row_grant), 1, AG_KIND_GRANT,
                       COLS(grant_cols)},
    [AG_KIND_DEED] = {"deed", "deed", sizeof(struct ag_row_deed), 2, AG_KIND_DEED, COLS(deed_cols)},
    [AG_KIND_MAIL] = {"mail", "mail", sizeof(struct ag_row_mail), 2, AG_KIND_MAIL, COLS(mail_cols)},
    [AG_KIND_CODE] = {"code", "code", sizeof(struct ag_row_code), 2, AG_KIND_CODE, COLS(code_cols)},
    [AG_KIND_CHANGE] = {"change", "change", sizeof(struct ag_row_change), 2, AG_KIND_CHANGE,
                        COLS(change_cols)},
    [AG_KIND_APPROVAL] = {"approval", "approval", sizeof(struct ag_row_approval), 2,
                          AG_KIND_APPROVAL, COLS(approval_cols)},
    [AG_KIND_RECOVERY] = {"recovery", "recovery code", sizeof(struct ag_row_recovery), 2,
                          AG_KIND_RECOVERY, COLS(recovery_cols)},
    [AG_KIND_MERCHANT] = {"merchant", "merchant", sizeof(struct ag_row_merchant), 2,
                          AG_KIND_MERCHANT, COLS(merchant_cols)},
    [AG_KIND_ROTATION] = {"rotation", "rotation", sizeof(struct ag_row_rotation), 2,
                          AG_KIND_ROTATION, COLS(rotation_cols)},
    [AG_KIND_GONE] = {"gone", "removed profile", sizeof(struct ag_row_gone), 2, AG_KIND_GONE,
                      COLS(gone_cols)},
    [AG_KIND_SEAL] = {"seal", "seal", sizeof(struct ag_row_seal), 2, AG_KIND_SEAL, COLS(seal_cols)},
    [AG_KIND_PIN] = {"pin", "PIN", sizeof(struct ag_row_pin), 2, AG_KIND_PIN, COLS(pin_cols)},
};

#define ID_FIRST(T) _Static_assert(offsetof(T, id) == 0, #T " does not begin with its id")
ID_FIRST(struct ag_row_app);
ID_FIRST(struct ag_row_profile);
ID_FIRST(struct ag_row_key);
ID_FIRST(struct ag_row_antom_key);
ID_FIRST(struct ag_row_fence);
ID_FIRST(struct ag_row_staff);
ID_FIRST(struct ag_row_intent);
ID_FIRST(struct ag_row_grant);
ID_FIRST(struct ag_row_deed);
ID_FIRST(struct ag_row_mail);
ID_FIRST(struct ag_row_code);
ID_FIRST(struct ag_row_change);
ID_FIRST(struct ag_row_approval);
ID_FIRST(struct ag_row_recovery);
ID_FIRST(struct ag_row_merchant);
ID_FIRST(struct ag_row_rotation);
ID_FIRST(struct ag_row_gone);
ID_FIRST(struct ag_row_seal);
ID_FIRST(struct ag_row_pin);
