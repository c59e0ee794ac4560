/* registry: everything the agent remembers, in SQLite; the steward is its only writer.
 *
 * Every row that decides anything carries a keyed BLAKE2b MAC over its table, its id and its content.
 * Each transaction raises the epoch and writes a MAC over the epoch and the MACs of all deciding rows in
 * order, so that a row edited, removed, added or replaced by its own older version is found when the
 * registry is opened or read, and named. One thread at a time: callers hold the steward's registry lock.
 *
 * Tables: meta, app, profile, merchant_key, antom_key, caller_grant, fence_exception, staff, key_intent; since
 * schema 2 deed, mail, code, change, approval, recovery, merchant, rotation, gone, seal. Ids are never used again
 * (AUTOINCREMENT); versions of keys count up per name of a profile and are never used again either; destroyed keys keep
 * their rows as long as their application. */
#ifndef AG_REGISTRY_H
#define AG_REGISTRY_H

#include "agent/core/antom.h"
#include "agent/core/change.h"
#include "agent/core/grant.h"
#include "agent/core/rotation.h"
#include "agent/lib/edges/sealing.h"
#include "agent/lib/keyform.h"
#include "agent/lib/pin.h"
#include "agent/lib/secret.h"
#include "agent/lib/token.h"
#include "antag/limits.h"
#include "antag/status.h"

struct ag_registry;

#define AG_REGISTRY_SCHEMA 2
#define AG_DEED_MAX        32 /* bytes of ag_row_deed.what */

/* Make the file (0600), schema and meta row, epoch 1, with one member of staff with all staff roles.
 * errors: IO, NO_MEMORY, EXISTS. A file that is there is replaced only through ag_home_make's rules,
 * which take it away beforehand; what a failure here leaves is removed. */
ANTAG_MUST_CHECK enum antag_err ag_registry_create(const char *path,
                                                   const struct ag_secret *mac_key,
                                                   uint32_t staff_uid, int64_t now_ms,
                                                   struct antag_fault *fault);
/* Open, migrate where the schema is older, verify every row and the epoch. Keeps copies of the keys.
 * errors: REGISTRY (naming table and id, or a newer schema), IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_registry_open(const char *path, const struct ag_secret *mac_key,
                                                 struct ag_registry **out,
                                                 struct antag_fault *fault);
void ag_registry_close(struct ag_registry *r);

/* Transactions. Writers below must stand between begin and commit. commit raises the epoch; after an
 * error of any call inside (but NOT_FOUND of a get or a find), roll back: commit then refuses with
 * INTERNAL. errors: IO (disk full and the like, by name), REGISTRY, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_registry_begin(struct ag_registry *r, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_registry_commit(struct ag_registry *r, uint64_t *epoch,
                                                   struct antag_fault *fault);
void ag_registry_rollback(struct ag_registry *r); /* nothing when none is open */
uint64_t ag_registry_epoch(const struct ag_registry *r);
/* Within a transaction: the epoch it will have; and to make it at least `epoch`. */
uint64_t ag_registry_next_epoch(const struct ag_registry *r);
void ag_registry_raise_epoch(struct ag_registry *r, uint64_t epoch);

/* Observed running time of all agents on this registry, ms; stored on every commit. Timers that destroy
 * or end an overlap count it, so that a clock that jumps destroys nothing. */
int64_t ag_registry_observed_ms(const struct ag_registry *r);
void ag_registry_set_observed_ms(struct ag_registry *r, int64_t observed_ms);

/* ---- rows. Texts are terminated and within the maxima of limits.h. */
struct ag_row_app {
    uint64_t id;
    char name[ANTAG_APP_MAX + 1];
    char role[16]; /* merchant, acquirer, isv */
    char type[ANTAG_TEXT_MAX + 1];
    char region[3]; /* ISO 3166-1 alpha-2; never changes */
    char product[ANTAG_TEXT_MAX + 1];
    char currency[4]; /* ISO 4217; the test currency */
    char description[ANTAG_TEXT_MAX + 1];
    char scenarios[4 * ANTAG_TEXT_MAX];         /* separated by line feeds */
    char dashboard_account[ANTAG_TEXT_MAX + 1]; /* that it belongs to; "": not said */
    char authorization_url[ANTAG_URL_MAX + 1];  /* of an isv, that merchants open; "": not set */
    unsigned confirmed; /* enum ag_confirmation (onboard.h), or-ed: what staff has said is done */
    int64_t created_at_ms;
};
#define AG_BUYER_PASSWORD_MAX 128 /* bytes, in clear */
struct ag_row_profile {
    uint64_t id;
    uint64_t app_id;
    char name[ANTAG_PROFILE_MAX + 1]; /* "shop/live" */
    enum ag_env env;
    char client_id[ANTAG_CLIENT_ID_MAX + 1]; /* "": not set */
    char gateway[ANTAG_URL_MAX + 1];
    char notify_url[ANTAG_URL_MAX + 1];
    int64_t response_max_age_ms, notification_max_age_ms; /* -1: the policy's */
    bool launched;
    uint32_t next_key_version, next_antom_version;
    unsigned proved; /* enum ag_proof, or-ed: methods that have succeeded */
    /* what Antom allots: of an isv its ids, in the sandbox the accounts to try payments with; "": not set */
    char isv_client_id[ANTAG_CLIENT_ID_MAX + 1];
    char isv_customer_id[ANTAG_CLIENT_ID_MAX + 1];
    char test_customer_id[ANTAG_CLIENT_ID_MAX + 1];
    char buyer_account[ANTAG_TEXT_MAX + 1];
    char merchant_account[ANTAG_TEXT_MAX + 1];
    size_t
        buyer_password_len; /* sealed under "registry:seal", with the profile's name as associated data */
    uint8_t buyer_password[AG_BUYER_PASSWORD_MAX + AG_SEAL_OVERHEAD];
    uint32_t cryptoperiod_days; /* of its merchant keys; 0: AG_CRYPTOPERIOD_DAYS */
    uint32_t quorum;            /* of its changes (agent/core/quorum.h) */
};
struct ag_row_key {
    uint64_t id; /* the handle */
    uint64_t profile_id;
    uint32_t version, key_version;
    enum ag_key_state state;
    enum ag_key_state suspended_from;
    char keyring[ANTAG_KEYRING_MAX + 1];
    bool imported;
    uint32_t bits;
    char reason[ANTAG_TEXT_MAX + 1];
    uint32_t reminded; /* how many reminders of its end were mailed (agent/core/cryptoperiod.h) */
    int64_t created_at_ms, state_at_ms;
    int64_t state_observed_ms; /* ag_registry_observed_ms when the state was entered */
    size_t spki_len, sealed_len;
    uint8_t spki[ANTAG_SPKI_MAX];
    uint8_t sealed[AG_SEALED_KEY_MAX]; /* empty when destroyed */
};
struct ag_row_antom_key {
    uint64_t id, profile_id;
    uint32_t version;
    enum ag_antom_key_state state;
    uint32_t bits;
    int64_t created_at_ms, state_at_ms, state_observed_ms;
    size_t spki_len;
    uint8_t spki[ANTAG_SPKI_MAX];
};
struct ag_row_fence {
    uint64_t id, profile_id;
    char path[ANTAG_GLOB_MAX + 1];
};
struct ag_row_staff {
    uint64_t id;
    uint32_t uid;
    unsigned roles; /* enum antag_staff_role, or-ed */
    char mail[ANTAG_TEXT_MAX + 1];
    bool mail_verified; /* a code that was mailed there came back from this uid */
};
/* an intent: a key that is being made; what a crash leaves is removed at the next start */
struct ag_row_intent {
    uint64_t id; /* the handle the key will have */
    uint64_t profile_id;
    uint32_t version;
    char keyring[ANTAG_KEYRING_MAX + 1];
};
/* What a transaction did, on its way to the steward's chain of the record: written by the transaction itself,
 * copied to the chain in order of id afterwards, and removed by a later one. */
struct ag_row_deed {
    uint64_t id;
    uint64_t epoch; /* of the transaction */
    int64_t at_ms;
    uint32_t uid; /* who asked; without meaning when by_agent */
    bool by_agent;
    char what[AG_DEED_MAX + 1]; /* [a-z_.]: the staff method, or what the agent did by itself */
    char subject[ANTAG_PROFILE_MAX + 1]; /* application or profile; "": none */
    uint64_t handle;                     /* of the key; 0: none */
    char detail[ANTAG_TEXT_MAX + 1];
    uint64_t change_id; /* that it opens, approves, ends or applies; 0: none */
};

/* A mail on its way out. Its text is sealed under "registry:seal" with the Message-ID as associated data, and wiped
 * when the mail is over. */
#define AG_MAIL_ID_MAX     127
#define AG_MAIL_SEALED_MAX (16 * 1024)
enum ag_mail_state {
    AG_MAIL_QUEUED,  /* to be sent at next_at_ms */
    AG_MAIL_SENT,    /* the server has taken it */
    AG_MAIL_REFUSED, /* the server refused it for good */
    AG_MAIL_DROPPED, /* of no use any more before it was sent */
    AG_MAIL_STATE_COUNT
};
struct ag_row_mail {
    uint64_t id;
    char message_id[AG_MAIL_ID_MAX + 1]; /* the same at every try, without angle brackets */
    char rcpt[ANTAG_TEXT_MAX + 1];       /* recipient */
    char subject[ANTAG_TEXT_MAX + 1];
    enum ag_mail_state state;
    uint64_t code_id; /* it carries this code; 0: none */
    uint32_t attempts;
    int64_t created_at_ms, next_at_ms, state_at_ms;
    char error[ANTAG_TEXT_MAX + 1]; /* of the last attempt */
    size_t sealed_len;
    uint8_t sealed[AG_MAIL_SEALED_MAX];
};
/* A one-time code: its keyed hash, never the code. At most one a person and purpose. */
#define AG_CODE_HASH_LEN 32
struct ag_row_code {
    uint64_t id;
    uint32_t uid;                  /* who may enter it */
    uint64_t change_id;            /* what it confirms; 0: the mailbox itself */
    char mail[ANTAG_TEXT_MAX + 1]; /* where it went */
    uint32_t attempts;             /* wrong ones */
    int64_t made_at_ms, made_observed_ms;
    int64_t sent_at_ms, sent_observed_ms; /* when the mail server took it; 0: not yet */
    size_t hash_len;
    uint8_t hash[AG_CODE_HASH_LEN];
};

/* A change: its document (agent/steward/changedoc.h), which is what is approved, and where it stands. */
#define AG_CHANGE_DOC_MAX    (16 * 1024)
#define AG_CHANGE_DIGEST_LEN 32
struct ag_row_change {
    uint64_t id;
    uint32_t uid;        /* who asked for it */
    uint64_t profile_id; /* whose quorum counts; 0: the strictest of all launched ones */
    char method[AG_DEED_MAX + 1];
    char summary[ANTAG_TEXT_MAX + 1];
    bool demotes; /* it takes staff roles from `demoted`, or all of him */
    uint32_t demoted;
    enum ag_change_state state;
    int64_t opened_at_ms, state_at_ms, state_observed_ms;
    int64_t holds_ms;                /* open: so long after state_at_ms it expires */
    uint32_t attempts;               /* to apply it */
    char reason[ANTAG_TEXT_MAX + 1]; /* why it was rejected or failed, or waits to be applied */
    size_t digest_len, doc_len;
    uint8_t digest[AG_CHANGE_DIGEST_LEN]; /* BLAKE2b-256 of the document */
    uint8_t doc[AG_CHANGE_DOC_MAX];
};
/* An approval of a change: who, by which mailbox or recovery code. Removed with the person's right to approve. */
struct ag_row_approval {
    uint64_t id, change_id;
    uint32_t uid;
    int64_t at_ms;
    bool by_recovery;
    char mail[ANTAG_TEXT_MAX + 1];
    size_t digest_len;
    uint8_t digest[AG_CHANGE_DIGEST_LEN]; /* of the document that was shown */
};
/* A recovery code of an approver: its keyed hash, as of a one-time code; gone when used. */
struct ag_row_recovery {
    uint64_t id;
    uint32_t uid;
    uint32_t attempts; /* wrong ones since the last right one, on all of his rows alike */
    int64_t made_at_ms;
    size_t hash_len;
    uint8_t hash[AG_CODE_HASH_LEN];
};

/* A merchant that authorised an isv, and its token for one profile. */
struct ag_row_merchant {
    uint64_t id, profile_id;
    char name[ANTAG_MERCHANT_MAX + 1];
    bool suspended;
    char description[ANTAG_TEXT_MAX + 1];
    int64_t created_at_ms, token_at_ms, state_at_ms;
    uint64_t used; /* how often it was signed for, as far as it has been counted */
    int64_t used_at_ms;
    size_t sealed_len;
    uint8_t sealed[AG_TOKEN_SEALED_MAX]; /* lib/token.h */
};

/* The replacement of a merchant key. At most one that is not over a profile. */
struct ag_row_rotation {
    uint64_t id, profile_id;
    uint64_t old_key_id, new_key_id; /* merchant keys */
    uint32_t uid;                    /* who started it */
    enum ag_rotation_state state;
    bool armed;     /* cuts over by itself when Antom accepts only the new key */
    bool auto_back; /* rolls back by itself when failures are reported right after the cut-over */
    int64_t started_at_ms, started_observed_ms;
    int64_t state_at_ms, state_observed_ms;
    int64_t submitted_at_ms; /* 0: not yet */
    /* the last probe under each key */
    enum ag_probe_outcome old_probe, new_probe;
    bool old_by_hand, new_by_hand; /* the answer was pasted, not fetched */
    int64_t old_probe_at_ms, new_probe_at_ms;
    char old_said[ANTAG_TEXT_MAX + 1], new_said[ANTAG_TEXT_MAX + 1];
    uint32_t alarm;                  /* enum ag_probe_verdict that was mailed last */
    int64_t reminded_at_ms;          /* the last mail about it */
    uint64_t failures;               /* reports since the cut-over */
    int64_t failures_at_ms;          /* the last one; 0: none */
    char reason[ANTAG_TEXT_MAX + 1]; /* why it was cancelled or rolled back */
};
/* What is left of the profile of an application that was removed: one of that name goes on counting from here. */
struct ag_row_gone {
    uint64_t id;
    char name[ANTAG_PROFILE_MAX + 1];
    uint32_t next_key_version, next_antom_version;
    int64_t at_ms;
};

/* How the root key is sealed, since staff changed that; one row. */
struct ag_row_seal {
    uint64_t id;
    char type[AG_SEAL_NAME_MAX + 1];
    uint32_t pcrs; /* tpm: bits of PCRs */
    bool pending;  /* root.seal is not yet replaced by it */
    uint32_t uid;  /* who asked for it */
    int64_t at_ms;
    size_t
        bytes_len; /* of the seal while it is pending; of `file`, which would be the root key in clear, 0 */
    uint8_t bytes[AG_SEAL_BYTES_MAX];
};

/* The PIN of a token, sealed (agent/lib/pin.h); one row for each keyring that has one. */
struct ag_row_pin {
    uint64_t id;
    char keyring[ANTAG_KEYRING_MAX + 1];
    uint32_t uid; /* who gave it */
    int64_t at_ms;
    size_t sealed_len;
    uint8_t sealed[AG_PIN_SEALED_MAX];
};

/* For each row kind K (app, profile, key, antom_key, fence, staff, intent, deed, grant, mail, code, change, approval,
 * recovery, merchant, rotation, gone, seal, pin):
 *   ag_registry_get_K(r, id, out, fault)        NOT_FOUND; REGISTRY when the row does not verify
 *   ag_registry_put_K(r, row, fault)            inserts when row->id is 0 (and sets it), else replaces
 *   ag_registry_each_K(r, visit, ctx, fault)    in order of id; a visit that returns an error ends it and
 *                                               is returned
 * and for all but gone, seal and pin:
 *   ag_registry_delete_K(r, id, fault)          what belongs to it must be deleted before; of keys only
 *                                               those without a private half
 * put_key inserts with row->id given when an intent of that id is there, and removes the intent.
 * What refuses a put: BAD_PARAM (a text, number or blob out of form), NOT_FOUND (no row of that id, or
 * not what it belongs to), EXISTS, CLIENT_ID_TAKEN, IMMUTABLE (names, regions, versions, public halves
 * and other columns that regkinds.c marks), KEY_STATE (a second active key of a profile: put the
 * superseded one first; a destroyed key with a private half; another key than its intent announced).
 * A visit may read and write rows itself. A grant that get gives owns its globs, ag_grant_fini frees
 * them; those of a visited one live until the visit returns. */
#define AG_REGISTRY_KIND(K, T)                                                                     \
    typedef enum antag_err ag_registry_visit_##K(const T *row, void *ctx);                         \
    ANTAG_MUST_CHECK enum antag_err ag_registry_get_##K(struct ag_registry *r, uint64_t id,        \
                                                        T *out, struct antag_fault *fault);        \
    ANTAG_MUST_CHECK enum antag_err ag_registry_put_##K(struct ag_registry *r, T *row,             \
                                                        struct antag_fault *fault);                \
    ANTAG_MUST_CHECK enum antag_err ag_registry_each_##K(struct ag_registry *r,                    \
                                                         ag_registry_visit_##K *visit, void *ctx,  \
                                                         struct antag_fault *fault);
AG_REGISTRY_KIND(app, struct ag_row_app)
AG_REGISTRY_KIND(profile, struct ag_row_profile)
AG_REGISTRY_KIND(key, struct ag_row_key)
AG_REGISTRY_KIND(antom_key, struct ag_row_antom_key)
AG_REGISTRY_KIND(fence, struct ag_row_fence)
AG_REGISTRY_KIND(staff, struct ag_row_staff)
AG_REGISTRY_KIND(intent, struct ag_row_intent)
AG_REGISTRY_KIND(deed, struct ag_row_deed)
AG_REGISTRY_KIND(grant, struct ag_grant)
AG_REGISTRY_KIND(mail, struct ag_row_mail)
AG_REGISTRY_KIND(code, struct ag_row_code)
AG_REGISTRY_KIND(change, struct ag_row_change)
AG_REGISTRY_KIND(approval, struct ag_row_approval)
AG_REGISTRY_KIND(recovery, struct ag_row_recovery)
AG_REGISTRY_KIND(merchant, struct ag_row_merchant)
AG_REGISTRY_KIND(rotation, struct ag_row_rotation)
AG_REGISTRY_KIND(gone, struct ag_row_gone)
AG_REGISTRY_KIND(seal, struct ag_row_seal)
AG_REGISTRY_KIND(pin, struct ag_row_pin)
#undef AG_REGISTRY_KIND
#define AG_REGISTRY_DELETE(K)                                                                      \
    ANTAG_MUST_CHECK enum antag_err ag_registry_delete_##K(struct ag_registry *r, uint64_t id,     \
                                                           struct antag_fault *fault);
AG_REGISTRY_DELETE(grant)
AG_REGISTRY_DELETE(fence)
AG_REGISTRY_DELETE(staff)
AG_REGISTRY_DELETE(intent)
AG_REGISTRY_DELETE(mail)
AG_REGISTRY_DELETE(code)
AG_REGISTRY_DELETE(change)
AG_REGISTRY_DELETE(approval)
AG_REGISTRY_DELETE(recovery)
AG_REGISTRY_DELETE(merchant)
AG_REGISTRY_DELETE(deed)
AG_REGISTRY_DELETE(rotation)
AG_REGISTRY_DELETE(app)
AG_REGISTRY_DELETE(profile)
AG_REGISTRY_DELETE(key)
AG_REGISTRY_DELETE(antom_key)
#undef AG_REGISTRY_DELETE
void ag_grant_fini(struct ag_grant *g);

/* A grant as it stands in its row: globs joined with line feeds. */
struct ag_row_grant {
    uint64_t id, profile_id;
    enum ag_who who;
    uint32_t number;
    char unit[ANTAG_UNIT_MAX + 1];
    unsigned ops;
    bool query;
    uint64_t max_body;
    uint32_t rate, burst; /* requests a second and at once; 0: not limited */
    char methods[ANTAG_GLOBS_PER_GRANT * (ANTAG_METHOD_MAX + 1)];
    char paths[ANTAG_GLOBS_PER_GRANT * (ANTAG_GLOB_MAX + 1)];
    char merchants[ANTAG_GLOBS_PER_GRANT * (ANTAG_MERCHANT_MAX + 1)];
};

/* What a transaction alters, column by column, told while it is written: of a row that comes every column (`was` is of
 * kind NONE), of one that goes every column (`is` is NONE), else those that differ. Rows of deed, mail, code, change,
 * approval and recovery are not told. */
struct ag_regvalue {
    enum ag_regvalue_kind {
        AG_REGVALUE_NONE,
        AG_REGVALUE_NUMBER,
        AG_REGVALUE_TEXT,
        AG_REGVALUE_BYTES
    } kind;
    int64_t number;
    struct antag_slice bytes; /* of a text too; borrowed until the callback returns */
};
struct ag_regdiff {
    const char *table, *column;
    uint64_t id; /* of the row; 0: it comes */
    const void *
        row; /* as it will be, or as it was when it goes: struct of its kind, of a grant struct ag_row_grant */
    bool comes, goes;
    struct ag_regvalue was, is;
};
typedef void ag_registry_watch_fn(const struct ag_regdiff *d, void *ctx);
/* Until the transaction ends. watch NULL: no more. */
void ag_registry_watch(struct ag_registry *r, ag_registry_watch_fn *watch, void *ctx);

/* The first deed with an id above `after`; false: there is none. And the largest id ever used. */
bool ag_registry_next_deed(const struct ag_registry *r, uint64_t after, uint64_t *id);
uint64_t ag_registry_last_deed(const struct ag_registry *r);

/* Look-ups. errors: NOT_FOUND naming what was looked for, REGISTRY. */
ANTAG_MUST_CHECK enum antag_err ag_registry_find_app(struct ag_registry *r, const char *name,
                                                     struct ag_row_app *out,
                                                     struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_registry_find_profile(struct ag_registry *r, const char *name,
                                                         struct ag_row_profile *out,
                                                         struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_registry_find_key(struct ag_registry *r, uint64_t profile_id,
                                                     uint32_t version, struct ag_row_key *out,
                                                     struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err ag_registry_find_merchant(struct ag_registry *r,
                                                          uint64_t profile_id, const char *name,
                                                          struct ag_row_merchant *out,
                                                          struct antag_fault *fault);
/* Counts changes of merchants' rows, of this process: while it stays, those read before are those that are there. */
uint64_t ag_registry_merchants_changed(const struct ag_registry *r);
size_t ag_registry_merchant_count(const struct ag_registry *r);
ANTAG_MUST_CHECK enum antag_err ag_registry_find_staff(struct ag_registry *r, uint32_t uid,
                                                       struct ag_row_staff *out,
                                                       struct antag_fault *fault);

#endif
