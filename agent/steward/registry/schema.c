/* Every schema ever released, as steps from the empty file on. A step that was released never changes:
 * the numbers stored for states, environments and roles are part of it. */
#include <stdio.h>
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/quorum.h"
#include "agent/lib/edges/proofs.h"
#include "agent/steward/registry/registry_internal.h"

_Static_assert(AG_ENV_SANDBOX == 0 && AG_ENV_LIVE == 1, "stored in schema 1");
_Static_assert(AG_KEY_STAGED == 0 && AG_KEY_ACTIVE == 1 && AG_KEY_RETIRING == 2 &&
                   AG_KEY_RETIRED == 3 && AG_KEY_SUSPENDED == 4 && AG_KEY_COMPROMISED == 5 &&
                   AG_KEY_DESTROYED == 6 && AG_KEY_STATE_COUNT == 7,
               "stored in schema 1");
_Static_assert(AG_ANTOM_KEY_STAGED == 0 && AG_ANTOM_KEY_ACTIVE == 1 && AG_ANTOM_KEY_RETIRING == 2 &&
                   AG_ANTOM_KEY_REVOKED == 3 && AG_ANTOM_KEY_STATE_COUNT == 4,
               "stored in schema 1");
_Static_assert(AG_WHO_UID == 0 && AG_WHO_GID == 1 && AG_WHO_UNIT == 2, "stored in schema 1");
_Static_assert(AG_OP_SIGN == 1 && AG_OP_VERIFY == 2 && AG_OP_EXPLAIN == 4, "stored in schema 1");

/* What SQLite can guard by itself it guards here, under the checks of the code above it: a rule that is
 * broken by a slip of ours fails the transaction. Names of CHECKs are what staff reads. The MAC stands
 * early in the row, before what is long. */
static const char schema_1[] =
    "CREATE TABLE meta (\n"
    "  id INTEGER PRIMARY KEY CHECK (id = 1),\n"
    "  mac BLOB NOT NULL,\n"
    "  schema INTEGER NOT NULL,\n"
    "  epoch INTEGER NOT NULL,\n"
    "  observed_ms INTEGER NOT NULL,\n"
    "  created_at_ms INTEGER NOT NULL,\n"
    "  digests BLOB NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE app (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  name TEXT NOT NULL UNIQUE CONSTRAINT \"name is not empty\" CHECK (name <> ''),\n"
    "  role TEXT NOT NULL CONSTRAINT \"role is merchant, acquirer or isv\"\n"
    "    CHECK (role IN ('merchant', 'acquirer', 'isv')),\n"
    "  type TEXT NOT NULL,\n"
    "  region TEXT NOT NULL CONSTRAINT \"region has two letters\" CHECK (length(region) = 2),\n"
    "  product TEXT NOT NULL,\n"
    "  currency TEXT NOT NULL CONSTRAINT \"currency has three letters\"\n"
    "    CHECK (length(currency) = 3),\n"
    "  description TEXT NOT NULL,\n"
    "  scenarios TEXT NOT NULL,\n"
    "  created_at_ms INTEGER NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE profile (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  app_id INTEGER NOT NULL REFERENCES app (id),\n"
    "  name TEXT NOT NULL UNIQUE CONSTRAINT \"name is not empty\" CHECK (name <> ''),\n"
    "  env INTEGER NOT NULL CONSTRAINT \"environment is 0 or 1\" CHECK (env IN (0, 1)),\n"
    "  client_id TEXT NOT NULL,\n"
    "  gateway TEXT NOT NULL,\n"
    "  notify_url TEXT NOT NULL,\n"
    "  response_max_age_ms INTEGER NOT NULL CONSTRAINT \"maximum age is -1 or more\"\n"
    "    CHECK (response_max_age_ms >= -1),\n"
    "  notification_max_age_ms INTEGER NOT NULL CONSTRAINT \"maximum age is -1 or more\"\n"
    "    CHECK (notification_max_age_ms >= -1),\n"
    "  launched INTEGER NOT NULL CHECK (launched IN (0, 1)),\n"
    "  next_key_version INTEGER NOT NULL CONSTRAINT \"versions begin with 1\"\n"
    "    CHECK (next_key_version >= 1),\n"
    "  next_antom_version INTEGER NOT NULL CONSTRAINT \"versions begin with 1\"\n"
    "    CHECK (next_antom_version >= 1),\n"
    "  CONSTRAINT \"only a live profile is launched\" CHECK (launched = 0 OR env = 1),\n"
    "  UNIQUE (app_id, env)\n"
    ") STRICT;\n"
    "CREATE UNIQUE INDEX profile_client_id ON profile (client_id) WHERE client_id <> '';\n"
    "CREATE TABLE merchant_key (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  version INTEGER NOT NULL CONSTRAINT \"versions begin with 1\" CHECK (version >= 1),\n"
    "  key_version INTEGER NOT NULL CONSTRAINT \"key_version begins with 1\"\n"
    "    CHECK (key_version >= 1),\n"
    "  state INTEGER NOT NULL CONSTRAINT \"state is known\" CHECK (state BETWEEN 0 AND 6),\n"
    "  suspended_from INTEGER NOT NULL CONSTRAINT \"state is known\"\n"
    "    CHECK (suspended_from BETWEEN 0 AND 6),\n"
    "  keyring TEXT NOT NULL CONSTRAINT \"keyring is named\" CHECK (keyring <> ''),\n"
    "  imported INTEGER NOT NULL CHECK (imported IN (0, 1)),\n"
    "  bits INTEGER NOT NULL CONSTRAINT \"a key has 2048, 3072 or 4096 bits\"\n"
    "    CHECK (bits IN (2048, 3072, 4096)),\n"
    "  reason TEXT NOT NULL,\n"
    "  created_at_ms INTEGER NOT NULL,\n"
    "  state_at_ms INTEGER NOT NULL,\n"
    "  state_observed_ms INTEGER NOT NULL,\n"
    "  spki BLOB NOT NULL CONSTRAINT \"the public half is there\" CHECK (length(spki) > 0),\n"
    "  sealed BLOB NOT NULL,\n"
    "  CONSTRAINT \"a destroyed key holds no private half\"\n"
    "    CHECK (state <> 6 OR length(sealed) = 0),\n"
    "  UNIQUE (profile_id, version)\n"
    ") STRICT;\n"
    "CREATE UNIQUE INDEX merchant_key_active ON merchant_key (profile_id) WHERE state = 1;\n"
    "CREATE TABLE antom_key (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  version INTEGER NOT NULL CONSTRAINT \"versions begin with 1\" CHECK (version >= 1),\n"
    "  state INTEGER NOT NULL CONSTRAINT \"state is known\" CHECK (state BETWEEN 0 AND 3),\n"
    "  bits INTEGER NOT NULL CONSTRAINT \"a key has 2048, 3072 or 4096 bits\"\n"
    "    CHECK (bits IN (2048, 3072, 4096)),\n"
    "  created_at_ms INTEGER NOT NULL,\n"
    "  state_at_ms INTEGER NOT NULL,\n"
    "  state_observed_ms INTEGER NOT NULL,\n"
    "  spki BLOB NOT NULL CONSTRAINT \"the public half is there\" CHECK (length(spki) > 0),\n"
    "  UNIQUE (profile_id, version)\n"
    ") STRICT;\n"
    "CREATE TABLE caller_grant (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  who INTEGER NOT NULL CONSTRAINT \"who is a uid, a gid or a unit\"\n"
    "    CHECK (who IN (0, 1, 2)),\n"
    "  number INTEGER NOT NULL,\n"
    "  unit TEXT NOT NULL,\n"
    "  ops INTEGER NOT NULL CONSTRAINT \"operations are sign, verify, explain\"\n"
    "    CHECK (ops BETWEEN 1 AND 7),\n"
    "  query INTEGER NOT NULL CHECK (query IN (0, 1)),\n"
    "  max_body INTEGER NOT NULL,\n"
    "  methods TEXT NOT NULL,\n"
    "  paths TEXT NOT NULL,\n"
    "  CONSTRAINT \"a unit is named, and only for a unit\" CHECK ((who = 2) = (unit <> '')),\n"
    "  CONSTRAINT \"uid 65534 stands for strangers and is never granted anything\"\n"
    "    CHECK (who <> 0 OR number <> 65534)\n"
    ") STRICT;\n"
    "CREATE TABLE fence_exception (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  path TEXT NOT NULL CONSTRAINT \"path is not empty\" CHECK (path <> ''),\n"
    "  UNIQUE (profile_id, path)\n"
    ") STRICT;\n"
    "CREATE TABLE staff (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  uid INTEGER NOT NULL UNIQUE,\n"
    "  roles INTEGER NOT NULL CONSTRAINT \"roles are viewer, officer, approver\"\n"
    "    CHECK (roles BETWEEN 0 AND 7),\n"
    "  mail TEXT NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE key_intent (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  version INTEGER NOT NULL CONSTRAINT \"versions begin with 1\" CHECK (version >= 1),\n"
    "  keyring TEXT NOT NULL CONSTRAINT \"keyring is named\" CHECK (keyring <> ''),\n"
    "  UNIQUE (profile_id, version)\n"
    ") STRICT;\n";

/* What each transaction did, until it stands in the steward's chain of the record; how many requests a
 * grant lets through. */
static const char schema_2[] =
    "CREATE TABLE deed (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  epoch INTEGER NOT NULL CONSTRAINT \"epochs begin with 1\" CHECK (epoch >= 1),\n"
    "  at_ms INTEGER NOT NULL,\n"
    "  uid INTEGER NOT NULL,\n"
    "  by_agent INTEGER NOT NULL CHECK (by_agent IN (0, 1)),\n"
    "  what TEXT NOT NULL CONSTRAINT \"a deed is named\" CHECK (what <> ''),\n"
    "  subject TEXT NOT NULL,\n"
    "  handle INTEGER NOT NULL,\n"
    "  detail TEXT NOT NULL,\n"
    "  change_id INTEGER NOT NULL\n"
    ") STRICT;\n"
    "ALTER TABLE caller_grant ADD COLUMN rate INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"a rate is at most a million\" CHECK (rate BETWEEN 0 AND 1000000);\n"
    "ALTER TABLE caller_grant ADD COLUMN burst INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"a burst stands with a rate, at most a million\"\n"
    "    CHECK (burst BETWEEN 0 AND 1000000 AND (burst = 0) = (rate = 0));\n"
    "ALTER TABLE caller_grant ADD COLUMN merchants TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE staff ADD COLUMN mail_verified INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"only a mailbox that is there is verified\"\n"
    "    CHECK (mail_verified = 0 OR (mail_verified = 1 AND mail <> ''));\n"
    "ALTER TABLE app ADD COLUMN dashboard_account TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE app ADD COLUMN authorization_url TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE app ADD COLUMN confirmed INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"confirmations are known\" CHECK (confirmed BETWEEN 0 AND 7);\n"
    "ALTER TABLE profile ADD COLUMN proved INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"methods are known\" CHECK (proved BETWEEN 0 AND 7);\n"
    "ALTER TABLE profile ADD COLUMN quorum INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"a quorum is self or 1 to 16\"\n"
    "    CHECK (quorum BETWEEN 0 AND 16 OR quorum = 4294967295);\n"
    "ALTER TABLE profile ADD COLUMN cryptoperiod_days INTEGER NOT NULL DEFAULT 0\n"
    "  CONSTRAINT \"a cryptoperiod is 1 to 3650 days\" CHECK (cryptoperiod_days BETWEEN 0 AND "
    "3650);\n"
    "ALTER TABLE merchant_key ADD COLUMN reminded INTEGER NOT NULL DEFAULT 0;\n"
    "ALTER TABLE profile ADD COLUMN isv_client_id TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE profile ADD COLUMN isv_customer_id TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE profile ADD COLUMN test_customer_id TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE profile ADD COLUMN buyer_account TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE profile ADD COLUMN merchant_account TEXT NOT NULL DEFAULT '';\n"
    "ALTER TABLE profile ADD COLUMN buyer_password BLOB NOT NULL DEFAULT x'';\n"
    "CREATE TABLE mail (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  message_id TEXT NOT NULL UNIQUE CONSTRAINT \"a mail has a Message-ID\"\n"
    "    CHECK (message_id <> ''),\n"
    "  rcpt TEXT NOT NULL CONSTRAINT \"a mail has a recipient\" CHECK (rcpt <> ''),\n"
    "  subject TEXT NOT NULL,\n"
    "  state INTEGER NOT NULL CONSTRAINT \"state is known\" CHECK (state BETWEEN 0 AND 3),\n"
    "  code_id INTEGER NOT NULL,\n"
    "  attempts INTEGER NOT NULL,\n"
    "  created_at_ms INTEGER NOT NULL,\n"
    "  next_at_ms INTEGER NOT NULL,\n"
    "  state_at_ms INTEGER NOT NULL,\n"
    "  error TEXT NOT NULL,\n"
    "  sealed BLOB NOT NULL,\n"
    "  CONSTRAINT \"a mail that is over holds no text\"\n"
    "    CHECK ((state = 0) = (length(sealed) > 0))\n"
    ") STRICT;\n"
    "CREATE TABLE code (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  uid INTEGER NOT NULL,\n"
    "  change_id INTEGER NOT NULL,\n"
    "  mail TEXT NOT NULL,\n"
    "  attempts INTEGER NOT NULL CONSTRAINT \"five attempts at most\"\n"
    "    CHECK (attempts BETWEEN 0 AND 5),\n"
    "  made_at_ms INTEGER NOT NULL,\n"
    "  made_observed_ms INTEGER NOT NULL,\n"
    "  sent_at_ms INTEGER NOT NULL,\n"
    "  sent_observed_ms INTEGER NOT NULL,\n"
    "  hash BLOB NOT NULL CONSTRAINT \"a hash has 32 bytes\" CHECK (length(hash) = 32),\n"
    "  UNIQUE (uid, change_id)\n"
    ") STRICT;\n"
    "CREATE TABLE change (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  uid INTEGER NOT NULL,\n"
    "  profile_id INTEGER NOT NULL,\n"
    "  method TEXT NOT NULL CONSTRAINT \"a change has a method\" CHECK (method <> ''),\n"
    "  summary TEXT NOT NULL,\n"
    "  demotes INTEGER NOT NULL CHECK (demotes IN (0, 1)),\n"
    "  demoted INTEGER NOT NULL,\n"
    "  state INTEGER NOT NULL CONSTRAINT \"state is known\" CHECK (state BETWEEN 0 AND 7),\n"
    "  opened_at_ms INTEGER NOT NULL,\n"
    "  state_at_ms INTEGER NOT NULL,\n"
    "  state_observed_ms INTEGER NOT NULL,\n"
    "  holds_ms INTEGER NOT NULL CONSTRAINT \"a change expires\" CHECK (holds_ms > 0),\n"
    "  attempts INTEGER NOT NULL,\n"
    "  reason TEXT NOT NULL,\n"
    "  digest BLOB NOT NULL UNIQUE CONSTRAINT \"a digest has 32 bytes\"\n"
    "    CHECK (length(digest) = 32),\n"
    "  doc BLOB NOT NULL CONSTRAINT \"a change has a document\" CHECK (length(doc) > 0)\n"
    ") STRICT;\n"
    "CREATE TABLE approval (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  change_id INTEGER NOT NULL REFERENCES change (id),\n"
    "  uid INTEGER NOT NULL,\n"
    "  at_ms INTEGER NOT NULL,\n"
    "  by_recovery INTEGER NOT NULL CHECK (by_recovery IN (0, 1)),\n"
    "  mail TEXT NOT NULL,\n"
    "  digest BLOB NOT NULL CONSTRAINT \"a digest has 32 bytes\" CHECK (length(digest) = 32),\n"
    "  UNIQUE (change_id, uid)\n"
    ") STRICT;\n"
    "CREATE TABLE recovery (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  uid INTEGER NOT NULL,\n"
    "  attempts INTEGER NOT NULL CONSTRAINT \"five attempts at most\"\n"
    "    CHECK (attempts BETWEEN 0 AND 5),\n"
    "  made_at_ms INTEGER NOT NULL,\n"
    "  hash BLOB NOT NULL CONSTRAINT \"a hash has 32 bytes\" CHECK (length(hash) = 32)\n"
    ") STRICT;\n"
    "CREATE TABLE merchant (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  name TEXT NOT NULL CONSTRAINT \"a merchant has a name\" CHECK (name <> ''),\n"
    "  suspended INTEGER NOT NULL CHECK (suspended IN (0, 1)),\n"
    "  description TEXT NOT NULL,\n"
    "  created_at_ms INTEGER NOT NULL,\n"
    "  token_at_ms INTEGER NOT NULL,\n"
    "  state_at_ms INTEGER NOT NULL,\n"
    "  used INTEGER NOT NULL,\n"
    "  used_at_ms INTEGER NOT NULL,\n"
    "  sealed BLOB NOT NULL CONSTRAINT \"a merchant has a token\" CHECK (length(sealed) > 0),\n"
    "  UNIQUE (profile_id, name)\n"
    ") STRICT;\n"
    "CREATE TABLE rotation (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  profile_id INTEGER NOT NULL REFERENCES profile (id),\n"
    "  old_key_id INTEGER NOT NULL REFERENCES merchant_key (id),\n"
    "  new_key_id INTEGER NOT NULL REFERENCES merchant_key (id),\n"
    "  uid INTEGER NOT NULL,\n"
    "  state INTEGER NOT NULL CONSTRAINT \"state is known\" CHECK (state BETWEEN 0 AND 7),\n"
    "  armed INTEGER NOT NULL CHECK (armed IN (0, 1)),\n"
    "  auto_back INTEGER NOT NULL CHECK (auto_back IN (0, 1)),\n"
    "  started_at_ms INTEGER NOT NULL,\n"
    "  started_observed_ms INTEGER NOT NULL,\n"
    "  state_at_ms INTEGER NOT NULL,\n"
    "  state_observed_ms INTEGER NOT NULL,\n"
    "  submitted_at_ms INTEGER NOT NULL,\n"
    "  old_probe INTEGER NOT NULL CHECK (old_probe BETWEEN 0 AND 3),\n"
    "  new_probe INTEGER NOT NULL CHECK (new_probe BETWEEN 0 AND 3),\n"
    "  old_by_hand INTEGER NOT NULL CHECK (old_by_hand IN (0, 1)),\n"
    "  new_by_hand INTEGER NOT NULL CHECK (new_by_hand IN (0, 1)),\n"
    "  old_probe_at_ms INTEGER NOT NULL,\n"
    "  new_probe_at_ms INTEGER NOT NULL,\n"
    "  old_said TEXT NOT NULL,\n"
    "  new_said TEXT NOT NULL,\n"
    "  alarm INTEGER NOT NULL,\n"
    "  reminded_at_ms INTEGER NOT NULL,\n"
    "  failures INTEGER NOT NULL,\n"
    "  failures_at_ms INTEGER NOT NULL,\n"
    "  reason TEXT NOT NULL\n"
    ") STRICT;\n"
    "CREATE UNIQUE INDEX rotation_open ON rotation (profile_id) WHERE state < 4;\n"
    "CREATE TABLE gone (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  name TEXT NOT NULL UNIQUE CONSTRAINT \"a profile has a name\" CHECK (name <> ''),\n"
    "  next_key_version INTEGER NOT NULL,\n"
    "  next_antom_version INTEGER NOT NULL,\n"
    "  at_ms INTEGER NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE seal (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  type TEXT NOT NULL,\n"
    "  pcrs INTEGER NOT NULL,\n"
    "  pending INTEGER NOT NULL CHECK (pending IN (0, 1)),\n"
    "  uid INTEGER NOT NULL,\n"
    "  at_ms INTEGER NOT NULL,\n"
    "  bytes BLOB NOT NULL\n"
    ") STRICT;\n"
    "CREATE TABLE pin (\n"
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,\n"
    "  mac BLOB NOT NULL,\n"
    "  keyring TEXT NOT NULL UNIQUE CONSTRAINT \"a keyring has a name\" CHECK (keyring <> ''),\n"
    "  uid INTEGER NOT NULL,\n"
    "  at_ms INTEGER NOT NULL,\n"
    "  sealed BLOB NOT NULL\n"
    ") STRICT;\n";

_Static_assert(ANTAG_RATE_MAX == 1000000, "stored in schema 2");
_Static_assert(AG_PROOF_SIGN == 1 && AG_PROOF_RESPONSE == 2 && AG_PROOF_NOTIFICATION == 4,
               "stored in schema 2");
_Static_assert(AG_MAIL_QUEUED == 0 && AG_MAIL_SENT == 1 && AG_MAIL_REFUSED == 2 &&
                   AG_MAIL_DROPPED == 3 && AG_MAIL_STATE_COUNT == 4,
               "stored in schema 2");

_Static_assert(AG_CHANGE_OPEN == 0 && AG_CHANGE_APPROVED == 1 && AG_CHANGE_APPLIED == 2 &&
                   AG_CHANGE_REJECTED == 3 && AG_CHANGE_CANCELLED == 4 && AG_CHANGE_EXPIRED == 5 &&
                   AG_CHANGE_STALE == 6 && AG_CHANGE_FAILED == 7 && AG_CHANGE_STATE_COUNT == 8,
               "stored in schema 2");
_Static_assert(AG_ROTATION_PREPARED == 0 && AG_ROTATION_APPROVED == 1 &&
                   AG_ROTATION_SUBMITTED == 2 && AG_ROTATION_WATCHING == 3 &&
                   AG_ROTATION_COMPLETE == 4 && AG_ROTATION_ROLLED_BACK == 5 &&
                   AG_ROTATION_CANCELLED == 6 && AG_ROTATION_EXPIRED == 7 &&
                   AG_ROTATION_STATE_COUNT == 8,
               "stored in schema 2");
_Static_assert(AG_PROBE_NONE == 0 && AG_PROBE_ACCEPTED == 1 && AG_PROBE_REFUSED == 2 &&
                   AG_PROBE_UNPROVEN == 3 && AG_PROBE_OUTCOME_COUNT == 4,
               "stored in schema 2");
_Static_assert(AG_QUORUM_NONE == 0 && AG_QUORUM_MAX == 16 && AG_QUORUM_SELF == UINT32_MAX,
               "stored in schema 2");

static const char *const steps[AG_REGISTRY_SCHEMA] = {schema_1, schema_2};

const struct ag_schema ag_registry_schema = {AG_REGISTRY_SCHEMA, steps, ag_registry_kinds};

/* ---- the schema's own text: an index or a constraint taken away would be missed by row MACs */

enum antag_err ag_registry_schema_digest(struct ag_registry *r, uint8_t out[AG_MAC_LEN],
                                         struct antag_fault *fault)
{
    static const char sql[] = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema "
                              "ORDER BY type, name";
    struct ag_regbuf b = {r->encoded, 0, sizeof(r->encoded), false};
    sqlite3_stmt *st = NULL;
    enum antag_err err = ANTAG_OK;
    int code = sqlite3_prepare_v2(r->db, sql, -1, &st, NULL);

    ag_regbuf_text(&b, "antag registry schema 1");
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        if ((code = sqlite3_step(st)) != SQLITE_ROW)
            break;
        for (int i = 0; i < 4; i++) {
            const void *p = sqlite3_column_blob(st, i);

            ag_regbuf_bytes(&b, p, (size_t)sqlite3_column_bytes(st, i));
        }
    }
    if (code != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "reading the schema", fault);
    else if (b.full)
        err = antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                              "table sqlite_schema: larger than any schema of ours");
    else
        ag_mac(r->mac_key, (struct antag_slice){b.p, b.len}, out);
    sqlite3_finalize(st);
    return err;
}

/* ---- migration */

/* Give every row of a kind the MAC it has under the schema reached: columns may have come in. The rows
 * were verified under the old schema in this same opening. */
static enum antag_err renew_macs(struct ag_registry *r, enum ag_kind_id id,
                                 struct antag_fault *fault)
{
    const struct ag_kind *kind = &r->plan->kinds[id];
    sqlite3_stmt *scan = NULL, *write = NULL;
    uint8_t was[AG_MAC_LEN], mac[AG_MAC_LEN];
    enum antag_err err;
    int code;

    if ((err = ag_regrow_stmt(r, id, AG_REGOP_SCAN, &scan, fault)) != ANTAG_OK)
        return err;
    while ((code = sqlite3_step(scan)) == SQLITE_ROW) {
        if ((err = ag_regrow_read(r, scan, kind, &r->row, was, fault)) != ANTAG_OK ||
            (err = ag_regrow_mac(r, kind, &r->row, mac, fault)) != ANTAG_OK ||
            (err = ag_regrow_stmt(r, id, AG_REGOP_REMAC, &write, fault)) != ANTAG_OK)
            goto out;
        code = sqlite3_bind_int64(write, 1, (sqlite3_int64)r->row.id);
        if (code == SQLITE_OK)
            code = sqlite3_bind_blob(write, 2, mac, sizeof(mac), SQLITE_TRANSIENT);
        if (code == SQLITE_OK)
            code = sqlite3_step(write);
        if (code != SQLITE_DONE)
            break;
        if ((err = ag_regset_put(&r->sets[id], r->row.id, mac)) != ANTAG_OK) {
            (void)antag_fault_set(fault, err, NULL, "%s", "");
            goto out;
        }
    }
    if (code != SQLITE_DONE)
        err = ag_regdb_error(r->db, code, "renewing MACs", fault);
out:
    sqlite3_reset(scan);
    if (write != NULL)
        sqlite3_reset(write);
    r->sets[id].dirty = true;
    return err;
}

enum antag_err ag_registry_migrate(struct ag_registry *r, struct antag_fault *fault)
{
    char pragma[64];
    enum antag_err err = ANTAG_OK;

    for (int v = r->schema; err == ANTAG_OK && v < r->plan->version; v++)
        err = ag_regdb_exec(r->db, r->plan->steps[v], fault);
    if (err != ANTAG_OK)
        return err;
    snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d", r->plan->version);
    if ((err = ag_regdb_exec(r->db, pragma, fault)) != ANTAG_OK)
        return err;
    ag_regrow_drop_stmts(r); /* they name the columns of the old schema */
    r->schema = r->plan->version;
    for (size_t i = 0; err == ANTAG_OK && i < AG_KIND_COUNT; i++)
        if (r->plan->kinds[i].since <= r->schema)
            err = renew_macs(r, (enum ag_kind_id)i, fault);
    if (err == ANTAG_OK)
        err = ag_registry_schema_digest(r, r->digests[0], fault);
    return err;
}
