/* registry: what somebody without the key does to the file is found, and named where it can be.
 * Rows run SQL on the closed file of reg_fill's registry. `old` is the same registry as it was earlier:
 * every row in it verifies, which is what makes putting one back an attack. */
#include "tests/support/registry_tool.h"

static struct reg_place place;

#define OK(call)                                                                                   \
    do {                                                                                           \
        enum antag_err ok_err = (call);                                                            \
                                                                                                   \
        if (ok_err != ANTAG_OK)                                                                    \
            printf("%s:%d: %s\n", __FILE__, __LINE__, place.fault.text);                           \
        CU_ASSERT_EQUAL_FATAL(ok_err, ANTAG_OK);                                                   \
    } while (0)
#define F (&place.fault)

/* A change that waits, with an approval, a code and a recovery code; a merchant; a mail. */
static void put_waiting(struct ag_registry *r)
{
    static struct ag_row_change change = {.uid = 1001,
                                          .profile_id = 2,
                                          .method = "profile_set",
                                          .holds_ms = 1000,
                                          .digest_len = AG_CHANGE_DIGEST_LEN,
                                          .doc_len = 5,
                                          .doc = "12345"};
    struct ag_row_approval approval = {
        .uid = 1002, .mail = "second@example.org", .digest_len = AG_CHANGE_DIGEST_LEN};
    struct ag_row_recovery recovery = {.uid = 1002, .hash_len = AG_CODE_HASH_LEN};
    struct ag_row_code code = {.uid = 1002, .hash_len = AG_CODE_HASH_LEN};
    struct ag_row_merchant merchant = {
        .profile_id = 1, .name = "test", .sealed_len = 3, .sealed = "abc"};
    static struct ag_row_mail mail = {
        .message_id = "1@x", .rcpt = "a@b.example", .sealed_len = 3, .sealed = "abc"};

    change.id = mail.id = 0;
    OK(ag_registry_put_change(r, &change, F));
    approval.change_id = change.id;
    OK(ag_registry_put_approval(r, &approval, F));
    OK(ag_registry_put_recovery(r, &recovery, F));
    OK(ag_registry_put_code(r, &code, F));
    OK(ag_registry_put_merchant(r, &merchant, F));
    OK(ag_registry_put_mail(r, &mail, F));
}

/* The registry goes on for one transaction; old.db is what it was before. */
static void go_on(void)
{
    struct ag_registry *r = NULL;
    struct ag_row_profile p;
    struct ag_row_key k;
    struct ag_row_staff s = {.uid = 1003, .roles = 7};
    char old[128];

    snprintf(old, sizeof(old), "%s/old.db", place.dir);
    CU_ASSERT_EQUAL_FATAL(reg_copy_file(place.path, old), 0);
    OK(ag_registry_open(place.path, place.key, &r, F));
    OK(ag_registry_begin(r, F));
    OK(ag_registry_get_profile(r, 1, &p, F));
    strcpy(p.gateway, "https://other.example");
    OK(ag_registry_put_profile(r, &p, F));
    OK(ag_registry_get_key(r, 1, &k, F));
    k.state = AG_KEY_COMPROMISED;
    OK(ag_registry_put_key(r, &k, F));
    OK(ag_registry_delete_grant(r, 4, F));
    OK(ag_registry_put_staff(r, &s, F));
    put_waiting(r);
    ag_registry_set_observed_ms(r, 90000);
    OK(ag_registry_commit(r, NULL, F));
    ag_registry_close(r);
}

static void run_attack(const char *sql)
{
    char all[2048];

    /* CHECKs do not hold off somebody who writes pages */
    snprintf(all, sizeof(all), "ATTACH '%s/old.db' AS old; PRAGMA ignore_check_constraints=ON; %s",
             place.dir, sql);
    CU_ASSERT_EQUAL_FATAL(reg_attack(place.path, all), SQLITE_OK);
}

static const struct {
    const char *name;
    const char *sql;
    const char *text; /* in the refusal */
} rows[] = {
    {"text edited", "UPDATE profile SET gateway='https://evil.example' WHERE id=3",
     "table profile, row 3"},
    {"client id edited", "UPDATE profile SET client_id='5Yevil' WHERE id=2",
     "table profile, row 2"},
    {"number edited", "UPDATE caller_grant SET number=31337 WHERE id=2",
     "table caller_grant, row 2"},
    {"grant widened", "UPDATE caller_grant SET paths='' WHERE id=1", "table caller_grant, row 1"},
    {"flag edited", "UPDATE merchant_key SET imported=1 WHERE id=2", "table merchant_key, row 2"},
    {"stopped key started", "UPDATE merchant_key SET state=1 WHERE id=1",
     "table merchant_key, row 1"},
    {"public key replaced", "UPDATE antom_key SET spki=randomblob(294) WHERE id=1",
     "table antom_key, row 1"},
    {"sealed bytes of another key",
     "UPDATE merchant_key SET sealed=(SELECT sealed FROM merchant_key WHERE id=4) WHERE id=2",
     "table merchant_key, row 2"},
    {"exception edited", "UPDATE fence_exception SET path='/**' WHERE id=1",
     "table fence_exception, row 1"},
    {"role given", "UPDATE staff SET roles=7 WHERE id=2", "table staff, row 2"},
    {"intent edited", "UPDATE key_intent SET keyring='hard' WHERE id=3", "table key_intent, row 3"},
    {"description edited", "UPDATE app SET description='' WHERE id=1", "table app, row 1"},
    {"text with a NUL", "UPDATE app SET description=char(65,0,65) WHERE id=1",
     "table app, row 1: description"},
    {"text too long", "UPDATE app SET description=printf('%.300c','x') WHERE id=1",
     "table app, row 1: description"},
    {"number too large", "UPDATE caller_grant SET number=4294967296 WHERE id=1",
     "table caller_grant, row 1: number"},
    {"negative id of a parent", "UPDATE caller_grant SET profile_id=-1 WHERE id=1",
     "table caller_grant, row 1: profile_id"},
    {"blob too long", "UPDATE merchant_key SET sealed=zeroblob(60000) WHERE id=2",
     "table merchant_key, row 2: sealed"},
    {"value larger than any", "UPDATE merchant_key SET sealed=zeroblob(600000) WHERE id=2",
     "larger than any"},
    {"MAC edited", "UPDATE app SET mac=zeroblob(32) WHERE id=2", "table app, row 2"},
    {"MAC cut", "UPDATE app SET mac=substr(mac, 1, 31) WHERE id=2", "table app, row 2"},
    {"MAC empty", "UPDATE app SET mac=x'' WHERE id=2", "table app, row 2"},
    {"MAC of another row", "UPDATE staff SET mac=(SELECT mac FROM staff WHERE id=1) WHERE id=2",
     "table staff, row 2"},
    {"MAC of another table", "UPDATE app SET mac=(SELECT mac FROM profile WHERE id=1) WHERE id=1",
     "table app, row 1"},
    {"MACs swapped",
     "CREATE TEMP TABLE t AS SELECT id, mac FROM profile;"
     "UPDATE profile SET mac=(SELECT mac FROM t WHERE t.id=5-profile.id)",
     "table profile, row 1"},
    {"rows swapped", "UPDATE fence_exception SET id=-id; UPDATE fence_exception SET id=3+id",
     "table fence_exception, row 1"},
    {"id changed", "UPDATE caller_grant SET id=9 WHERE id=3", "table caller_grant, row 9"},
    {"row copied under a new id",
     "INSERT INTO caller_grant (mac,profile_id,who,number,unit,ops,query,max_body,methods,paths) "
     "SELECT mac,profile_id,who,number,unit,ops,query,max_body,methods,paths FROM caller_grant "
     "WHERE id=1",
     "table caller_grant, row 5"},
    {"row inserted", "INSERT INTO staff (mac,uid,roles,mail) VALUES (randomblob(32),666,7,'')",
     "table staff, row 4"},
    {"row with a negative id",
     "INSERT INTO staff (id,mac,uid,roles,mail) VALUES (-5,randomblob(32),666,7,'')",
     "table staff, row"},
    {"change approved by hand", "UPDATE change SET state=1", "table change, row 1"},
    {"document exchanged", "UPDATE change SET doc=x'3132333436'", "table change, row 1"},
    {"change of another quorum", "UPDATE change SET profile_id=0", "table change, row 1"},
    {"change that holds for ever", "UPDATE change SET holds_ms=9000000000000",
     "table change, row 1"},
    {"a change of one's own",
     "INSERT INTO change SELECT 7,mac,uid,profile_id,method,summary,demotes,demoted,1,opened_at_ms,"
     "state_at_ms,state_observed_ms,holds_ms,attempts,reason,randomblob(32),doc FROM change",
     "table change, row 7"},
    {"approval of somebody else", "UPDATE approval SET uid=1003", "table approval, row 1"},
    {"approval of another document", "UPDATE approval SET digest=randomblob(32)",
     "table approval, row 1"},
    {"approval inserted",
     "INSERT INTO approval SELECT 9,mac,change_id,666,at_ms,by_recovery,mail,digest FROM approval",
     "table approval, row 9"},
    {"approval taken away", "DELETE FROM approval", "table approval"},
    {"quorum lowered", "UPDATE profile SET quorum=1 WHERE id=2", "table profile, row 2"},
    {"launch undone", "UPDATE profile SET launched=1 WHERE id=2", "table profile, row 2"},
    {"mailbox verified by hand", "UPDATE staff SET mail_verified=1 WHERE id=2",
     "table staff, row 2"},
    {"mailbox of somebody else", "UPDATE staff SET mail='evil@example.org' WHERE id=2",
     "table staff, row 2"},
    {"recovery code of one's own", "UPDATE recovery SET hash=randomblob(32)",
     "table recovery, row 1"},
    {"attempts given back", "UPDATE code SET attempts=-5", "table code, row 1"},
    {"code for another change", "UPDATE code SET change_id=1", "table code, row 1"},
    {"code that holds again", "UPDATE code SET sent_at_ms=9000000000000", "table code, row 1"},
    {"merchant of another profile", "UPDATE merchant SET profile_id=2", "table merchant, row 1"},
    {"token exchanged", "UPDATE merchant SET sealed=x'646566'", "table merchant, row 1"},
    {"merchant resumed by hand", "UPDATE merchant SET suspended=1-suspended",
     "table merchant, row 1"},
    {"mail to somebody else", "UPDATE mail SET rcpt='evil@example.org'", "table mail, row 1"},
    {"row deleted", "DELETE FROM fence_exception WHERE id=1", "table fence_exception"},
    {"last row deleted", "DELETE FROM staff WHERE id=3", "table staff"},
    {"all rows deleted", "DELETE FROM caller_grant", "table caller_grant"},
    {"key deleted", "DELETE FROM merchant_key WHERE id=1", "table merchant_key"},
    {"older version of a row",
     "DELETE FROM profile WHERE id=1; INSERT INTO profile SELECT * FROM old.profile WHERE id=1",
     "table profile: "},
    {"stopped key put back",
     "DELETE FROM merchant_key WHERE id=1;"
     "INSERT INTO merchant_key SELECT * FROM old.merchant_key WHERE id=1",
     "table merchant_key: "},
    {"deleted row put back", "INSERT INTO caller_grant SELECT * FROM old.caller_grant WHERE id=4",
     "table caller_grant: "},
    {"ids set back", "UPDATE sqlite_sequence SET seq=3 WHERE name='caller_grant'",
     "table caller_grant: "},
    {"ids set back below a row", "UPDATE sqlite_sequence SET seq=1 WHERE name='staff'",
     "table sqlite_sequence, staff"},
    {"ids forgotten", "DELETE FROM sqlite_sequence", "table sqlite_sequence"},
    {"ids set ahead", "UPDATE sqlite_sequence SET seq=1000 WHERE name='app'", "table app: "},
    {"epoch raised", "UPDATE meta SET epoch=1000", "table meta, row 1"},
    {"epoch lowered", "UPDATE meta SET epoch=2", "table meta, row 1"},
    {"observed time raised", "UPDATE meta SET observed_ms=9000000000000", "table meta, row 1"},
    {"observed time lowered", "UPDATE meta SET observed_ms=0", "table meta, row 1"},
    {"schema edited", "UPDATE meta SET schema=0", "table meta, row 1"},
    {"digest edited", "UPDATE meta SET digests=zeroblob(length(digests))", "table meta, row 1"},
    {"digest cut", "UPDATE meta SET digests=substr(digests,1,32)", "table meta, row 1"},
    {"meta row of earlier", "DELETE FROM meta; INSERT INTO meta SELECT * FROM old.meta",
     "table profile: "},
    {"meta row deleted", "DELETE FROM meta", "table meta, row 1"},
    {"meta table dropped", "DROP TABLE meta", "table meta, row 1"},
    {"index dropped", "DROP INDEX merchant_key_active", "table sqlite_schema"},
    {"index added", "CREATE INDEX evil ON app (role)", "table sqlite_schema"},
    {"trigger added",
     "CREATE TRIGGER evil AFTER INSERT ON caller_grant BEGIN DELETE FROM staff; END",
     "table sqlite_schema"},
    {"table added", "CREATE TABLE evil (x)", "table sqlite_schema"},
    {"column added", "ALTER TABLE staff ADD COLUMN evil TEXT", "table sqlite_schema"},
    {"table dropped", "DROP TABLE caller_grant", "table sqlite_schema"},
    {"column of a table renamed", "ALTER TABLE staff RENAME COLUMN roles TO ranks",
     "table sqlite_schema"},
};

static void test_file_edited(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ag_registry *r = NULL;
        enum antag_err err;

        OK(reg_make(&place));
        go_on();
        run_attack(rows[i].sql);
        err = ag_registry_open(place.path, place.key, &r, F);
        if (err != ANTAG_ERR_REGISTRY || strstr(place.fault.text, rows[i].text) == NULL) {
            printf("%s: got %s: %s\n", rows[i].name, antag_err_name(err), place.fault.text);
            CU_FAIL("not refused as it should be");
        }
        CU_ASSERT_PTR_NULL(r);
        ag_registry_close(r);
    }
}

/* An untouched file opens, and SQL that changes nothing changes nothing. */
static void test_file_untouched(void)
{
    struct ag_registry *r = NULL;

    OK(reg_make(&place));
    go_on();
    run_attack("UPDATE app SET type=type; VACUUM;");
    OK(ag_registry_open(place.path, place.key, &r, F));
    CU_ASSERT_EQUAL(ag_registry_epoch(r), 3);
    ag_registry_close(r);
}

/* Cut at any page, or in one: refused, and nothing is read outside of it. */
static void test_file_cut(void)
{
    struct stat st;
    off_t step;

    OK(reg_make(&place));
    CU_ASSERT_EQUAL_FATAL(stat(place.path, &st), 0);
    step = 4096;
    for (off_t len = 0; len < st.st_size; len += len < 512 ? 100 : step - 1) {
        struct ag_registry *r = NULL;
        enum antag_err err;

        OK(reg_make(&place));
        CU_ASSERT_EQUAL_FATAL(truncate(place.path, len), 0);
        err = ag_registry_open(place.path, place.key, &r, F);
        if (err != ANTAG_ERR_REGISTRY) {
            printf("cut to %ld bytes: got %s: %s\n", (long)len, antag_err_name(err),
                   place.fault.text);
            CU_FAIL("a cut file was not refused");
        }
        ag_registry_close(r);
    }
}

/* One byte of the file flipped, everywhere: refused, or the file says what it said. */
static void test_bytes_flipped(void)
{
    char good[128];
    struct stat st;
    size_t refused = 0, same = 0;

    OK(reg_make(&place));
    snprintf(good, sizeof(good), "%s/old.db", place.dir);
    CU_ASSERT_EQUAL_FATAL(reg_copy_file(place.path, good), 0);
    CU_ASSERT_EQUAL_FATAL(stat(place.path, &st), 0);
    ag_log_setup("test", (enum ag_log_level) - 1); /* SQLite's complaints are expected here */
    for (off_t at = 0; at < st.st_size; at += 379) {
        struct ag_registry *r = NULL;
        struct ag_row_profile p;
        enum antag_err err;
        uint8_t byte = 0;
        int fd;

        ag_regdb_remove_files(place.path);
        CU_ASSERT_EQUAL_FATAL(reg_copy_file(good, place.path), 0);
        fd = open(place.path, O_RDWR);
        CU_ASSERT_FATAL(fd >= 0 && pread(fd, &byte, 1, at) == 1);
        byte ^= 0x41;
        CU_ASSERT_FATAL(pwrite(fd, &byte, 1, at) == 1 && close(fd) == 0);
        err = ag_registry_open(place.path, place.key, &r, F);
        refused += err != ANTAG_OK;
        same += err == ANTAG_OK; /* unused space */
        if (err == ANTAG_OK) {
            OK(ag_registry_find_profile(r, "shop2/live", &p, F));
            CU_ASSERT_STRING_EQUAL(p.client_id, "5Y2");
            CU_ASSERT_EQUAL(ag_registry_epoch(r), 2);
        }
        ag_registry_close(r);
    }
    CU_ASSERT_TRUE(refused > 20);
    CU_ASSERT_TRUE(same > 0);
}

/* ---- while the agent runs */

static const struct {
    const char *name;
    const char *sql;
    const char *text;
    bool at_begin; /* found when a transaction begins; the others when the row is read */
} running[] = {
    {"row edited", "UPDATE profile SET gateway='https://evil.example' WHERE id=1",
     "table profile, row 1", false},
    {"row deleted", "PRAGMA foreign_keys=OFF; DELETE FROM profile WHERE id=1",
     "table profile, row 1", false},
    {"older version of a row",
     "DELETE FROM profile WHERE id=1; INSERT INTO profile SELECT * FROM old.profile WHERE id=1",
     "table profile, row 1", false},
    {"names swapped",
     "UPDATE profile SET name='x' WHERE id=1; UPDATE profile SET name='shop1/sandbox' WHERE id=3",
     "table profile, row 1", false},
    {"epoch raised", "UPDATE meta SET epoch=epoch+1, mac=randomblob(32)", "table meta, row 1",
     true},
    {"meta row of earlier", "DELETE FROM meta; INSERT INTO meta SELECT * FROM old.meta",
     "table meta, row 1", true},
};

static enum antag_err visit_nothing(const struct ag_row_profile *p, void *ctx)
{
    (void)p;
    (void)ctx;
    return ANTAG_OK;
}

static void test_edited_while_open(void)
{
    for (size_t i = 0; i < sizeof(running) / sizeof(running[0]); i++) {
        struct ag_registry *r = NULL;
        struct ag_row_profile p;
        enum antag_err err;

        OK(reg_make(&place));
        go_on();
        OK(ag_registry_open(place.path, place.key, &r, F));
        run_attack(running[i].sql);
        err = running[i].at_begin ? ag_registry_begin(r, F) : ag_registry_get_profile(r, 1, &p, F);
        if (err != ANTAG_ERR_REGISTRY || strstr(place.fault.text, running[i].text) == NULL) {
            printf("%s: got %s: %s\n", running[i].name, antag_err_name(err), place.fault.text);
            CU_FAIL("not refused as it should be");
        }
        if (!running[i].at_begin) {
            CU_ASSERT_EQUAL(ag_registry_each_profile(r, visit_nothing, NULL, F),
                            ANTAG_ERR_REGISTRY);
            OK(ag_registry_begin(r, F)); /* the transaction that met it cannot be committed */
            CU_ASSERT_EQUAL(ag_registry_get_profile(r, 1, &p, F), ANTAG_ERR_REGISTRY);
            CU_ASSERT_EQUAL(ag_registry_commit(r, NULL, F), ANTAG_ERR_INTERNAL);
        }
        ag_registry_close(r);
    }
}

/* A look-up that is led to a row nobody wrote does not take it. */
static void test_row_added_while_open(void)
{
    struct ag_registry *r = NULL;
    struct ag_row_staff s;

    OK(reg_make(&place));
    go_on();
    OK(ag_registry_open(place.path, place.key, &r, F));
    run_attack("INSERT INTO staff (mac,uid,roles,mail) VALUES (randomblob(32),666,7,'')");
    CU_ASSERT_EQUAL(ag_registry_find_staff(r, 666, &s, F), ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NOT_NULL(strstr(place.fault.text, "table staff, row 4"));
    ag_registry_close(r);
}

/* A commit does not bless what somebody did beside the agent: the next opening finds it. */
static void test_commit_blesses_nothing(void)
{
    struct ag_registry *r = NULL;

    OK(reg_make(&place));
    go_on();
    OK(ag_registry_open(place.path, place.key, &r, F));
    run_attack("DELETE FROM merchant_key WHERE id=1;"
               "INSERT INTO merchant_key SELECT * FROM old.merchant_key WHERE id=1");
    OK(ag_registry_begin(r, F));
    OK(ag_registry_commit(r, NULL, F));
    ag_registry_close(r);
    r = NULL;
    CU_ASSERT_EQUAL(ag_registry_open(place.path, place.key, &r, F), ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NOT_NULL(strstr(place.fault.text, "table merchant_key: "));
}

int main(void)
{
    static const struct reg_test tests[] = {
        {"file edited", test_file_edited},
        {"file untouched", test_file_untouched},
        {"file cut", test_file_cut},
        {"bytes flipped", test_bytes_flipped},
        {"edited while open", test_edited_while_open},
        {"row added while open", test_row_added_while_open},
        {"a commit blesses nothing", test_commit_blesses_nothing},
        {NULL, NULL},
    };
    int status;

    if (reg_place_init(&place) != 0)
        return 1;
    reg_quiet(true);
    status = reg_run("registry_tamper", tests);
    reg_quiet(false);
    reg_place_fini(&place);
    return status;
}
