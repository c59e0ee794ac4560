/* registry: what goes in comes out, what breaks a rule is refused by name, what a transaction did not
 * commit is gone. Ids in reg_fill's registry: profiles 1 shop1/sandbox, 2 shop1/live, 3 and 4 shop2's;
 * merchant keys 1 active, 2 staged (intent 3) in profile 1 and 4, 5 (intent 6) in profile 3. */
#include "tests/support/registry_tool.h"

static struct reg_place place;
static struct ag_registry *reg;

static void setup(void)
{
    CU_ASSERT_EQUAL_FATAL(reg_place_init(&place), 0);
    CU_ASSERT_EQUAL_FATAL(reg_make(&place), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(ag_registry_open(place.path, place.key, &reg, &place.fault), ANTAG_OK);
}

static void teardown(void)
{
    ag_registry_close(reg);
    reg = NULL;
    reg_place_fini(&place);
}

static void reopen(void)
{
    enum antag_err err;

    ag_registry_close(reg);
    reg = NULL;
    err = ag_registry_open(place.path, place.key, &reg, &place.fault);
    if (err != ANTAG_OK)
        fprintf(stderr, "reopen: %s\n", place.fault.text);
    CU_ASSERT_EQUAL_FATAL(err, ANTAG_OK);
}

#define OK(call)                                                                                   \
    do {                                                                                           \
        enum antag_err ok_err = (call);                                                            \
                                                                                                   \
        if (ok_err != ANTAG_OK)                                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, place.fault.text);                  \
        CU_ASSERT_EQUAL_FATAL(ok_err, ANTAG_OK);                                                   \
    } while (0)
#define F (&place.fault)

static mode_t mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

/* ---- create and open */

static void test_create(void)
{
    char wal[128], shm[128];
    struct ag_row_staff first;
    mode_t was = umask(0);

    CU_ASSERT_EQUAL_FATAL(reg_place_init(&place), 0);
    OK(ag_registry_create(place.path, place.key, 1001, 1700000000000, F));
    OK(ag_registry_open(place.path, place.key, &reg, F));
    CU_ASSERT_EQUAL(ag_registry_epoch(reg), 1);
    CU_ASSERT_EQUAL(ag_registry_observed_ms(reg), 0);
    OK(ag_registry_find_staff(reg, 1001, &first, F));
    CU_ASSERT_EQUAL(first.id, 1);
    CU_ASSERT_EQUAL(first.roles, 7);
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_commit(reg, NULL, F));
    snprintf(wal, sizeof(wal), "%s-wal", place.path);
    snprintf(shm, sizeof(shm), "%s-shm", place.path);
    CU_ASSERT_EQUAL(mode_of(place.path), 0600);
    CU_ASSERT_EQUAL(mode_of(wal), 0600);
    CU_ASSERT_EQUAL(mode_of(shm), 0600);
    umask(was);
    CU_ASSERT_EQUAL(ag_registry_create(place.path, place.key, 1, 1, F), ANTAG_ERR_EXISTS);
    reopen();
    CU_ASSERT_EQUAL(ag_registry_epoch(reg), 2);
    teardown();
}

static void test_create_in_no_folder(void)
{
    CU_ASSERT_EQUAL_FATAL(reg_place_init(&place), 0);
    CU_ASSERT_EQUAL(ag_registry_create("/nonexistent/registry.db", place.key, 1, 1, F),
                    ANTAG_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(place.fault.text, "/nonexistent/registry.db"));
    teardown();
}

static void make_missing(void)
{
    ag_regdb_remove_files(place.path);
}
static void make_empty(void)
{
    CU_ASSERT_EQUAL(truncate(place.path, 0), 0);
}
static void make_text(void)
{
    FILE *f = fopen(place.path, "wb");

    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    for (int i = 0; i < 1000; i++)
        fputs("this is no registry\n", f);
    fclose(f);
}
static void make_folder(void)
{
    ag_regdb_remove_files(place.path);
    CU_ASSERT_EQUAL(mkdir(place.path, 0700), 0);
}
static void make_link(void)
{
    char target[128];

    snprintf(target, sizeof(target), "%s/link.db", place.dir);
    CU_ASSERT_EQUAL(rename(place.path, target), 0);
    CU_ASSERT_EQUAL(symlink(target, place.path), 0);
}
static void make_readable(void)
{
    chmod(place.path, 0640);
}
static void make_newer(void)
{
    CU_ASSERT_EQUAL(reg_attack(place.path, "PRAGMA user_version=99"), SQLITE_OK);
}
static void make_schema_zero(void)
{
    CU_ASSERT_EQUAL(reg_attack(place.path, "PRAGMA user_version=0"), SQLITE_OK);
}
static void make_foreign(void)
{
    CU_ASSERT_EQUAL(reg_attack(place.path, "PRAGMA application_id=7"), SQLITE_OK);
}
static void make_other_key(void)
{
    ag_secret_bytes(place.key)[31] ^= 1;
}

static void test_open_refusals(void)
{
    static const struct {
        const char *name;
        void (*make)(void);
        enum antag_err err;
        const char *text;
    } rows[] = {
        {"missing", make_missing, ANTAG_ERR_IO, "No such file"},
        {"empty", make_empty, ANTAG_ERR_REGISTRY, "empty"},
        {"text", make_text, ANTAG_ERR_REGISTRY, "not a registry"},
        {"folder", make_folder, ANTAG_ERR_IO, "not an ordinary file"},
        {"symbolic link", make_link, ANTAG_ERR_IO, "not an ordinary file"},
        {"readable by a group", make_readable, ANTAG_ERR_REGISTRY, "mode 0640 and must have 0600"},
        {"newer schema", make_newer, ANTAG_ERR_REGISTRY, "schema 99"},
        {"schema 0", make_schema_zero, ANTAG_ERR_REGISTRY, "header"},
        {"another program's", make_foreign, ANTAG_ERR_REGISTRY, "header"},
        {"another root key's", make_other_key, ANTAG_ERR_REGISTRY, "table meta, row 1"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ag_registry *r = NULL;
        enum antag_err err;

        CU_ASSERT_EQUAL_FATAL(reg_place_init(&place), 0);
        OK(reg_make(&place));
        rows[i].make();
        err = ag_registry_open(place.path, place.key, &r, F);
        if (err != rows[i].err || strstr(place.fault.text, rows[i].text) == NULL) {
            fprintf(stderr, "%s: got %s: %s\n", rows[i].name, antag_err_name(err),
                    place.fault.text);
            CU_FAIL("open did not refuse as it should");
        }
        CU_ASSERT_PTR_NULL(r);
        ag_registry_close(r);
        rmdir(place.path);
        reg_place_fini(&place);
    }
}

/* ---- columns */

/* Every byte of a row's struct is in a column, but for padding: a field that was forgotten in the table
 * would be neither stored nor protected. */
static void test_columns_cover_structs(void)
{
    for (size_t k = 0; k < AG_KIND_COUNT; k++) {
        const struct ag_kind *kind = &ag_registry_kinds[k];
        uint8_t *seen = calloc(1, kind->row_size);
        size_t gap = 0;

        CU_ASSERT_PTR_NOT_NULL_FATAL(seen);
        memset(seen, 1, sizeof(uint64_t));
        for (size_t i = 0; i < kind->col_count; i++) {
            memset(seen + kind->cols[i].offset, 1, kind->cols[i].size);
            if (kind->cols[i].type == AG_COL_BLOB)
                memset(seen + kind->cols[i].len_offset, 1, sizeof(size_t));
        }
        for (size_t i = 0; i < kind->row_size; i++) {
            gap = seen[i] ? 0 : gap + 1; /* padding is short, and never the first half of a word */
            if (gap >= 8 || (gap > 0 && i % 8 == 3 && gap >= 4)) {
                fprintf(stderr, "%s: byte %zu is in no column\n", kind->table, i);
                CU_FAIL("a field is in no column");
            }
        }
        free(seen);
    }
}

/* A row with every column at its maximum, or at another value that differs between columns. */
static void fill_columns(const struct ag_kind *kind, void *row, const char *keep)
{
    for (size_t i = 0; i < kind->col_count; i++) {
        const struct ag_col *col = &kind->cols[i];
        uint8_t *at = (uint8_t *)row + col->offset;

        if (strstr(keep, col->name) != NULL)
            continue;
        if (col->type == AG_COL_TEXT) {
            memset(at, 'a' + (int)i % 20, col->size - 1);
            at[col->size - 1] = '\0';
        } else if (col->type == AG_COL_BLOB) {
            memset(at, (int)i, col->size);
            memcpy((uint8_t *)row + col->len_offset, &col->size, sizeof(size_t));
        } else if (col->type == AG_COL_I64) {
            memcpy(at, &(int64_t){INT64_MAX - (int64_t)i}, 8);
        } else if (col->type == AG_COL_U64) {
            memcpy(at, &(uint64_t){INT64_MAX - i}, 8);
        } else if (col->type == AG_COL_U32) {
            memcpy(at, &(uint32_t){UINT32_MAX - (uint32_t)i}, 4);
        } else {
            memcpy(at, &(bool){true}, sizeof(bool));
        }
    }
}

static void round_trip(enum ag_kind_id id, union ag_regrow *row, const char *keep)
{
    const struct ag_kind *kind = &ag_registry_kinds[id];
    union ag_regrow *back = calloc(1, sizeof(*back));

    CU_ASSERT_PTR_NOT_NULL_FATAL(back);
    fill_columns(kind, row, keep);
    OK(ag_registry_begin(reg, F));
    OK(ag_rows_put(reg, id, row, F));
    OK(ag_registry_commit(reg, NULL, F));
    reopen();
    OK(ag_rows_get(reg, id, row->id, back, F));
    if (!reg_same_row(kind, row, back)) {
        fprintf(stderr, "%s: a row came back different\n", kind->table);
        CU_FAIL("row differs");
    }
    free(back);
}

static void test_maximal_rows(void)
{
    static const struct {
        enum ag_kind_id id;
        const char *keep; /* columns that a rule ties to other values */
    } rows[] = {
        {AG_KIND_APP, "role region currency confirmed"},
        {AG_KIND_PROFILE, "app_id env proved quorum cryptoperiod_days"},
        {AG_KIND_KEY, "profile_id state suspended_from bits"},
        {AG_KIND_ANTOM_KEY, "profile_id state bits"},
        {AG_KIND_FENCE, "profile_id"},
        {AG_KIND_STAFF, "roles"},
        {AG_KIND_INTENT, "profile_id"},
        {AG_KIND_GRANT, "profile_id who ops rate burst"},
        {AG_KIND_DEED, "epoch"},
        {AG_KIND_MAIL, "state"},
        {AG_KIND_CODE, "attempts hash"},
        {AG_KIND_CHANGE, "state digest"},
        {AG_KIND_APPROVAL, "change_id digest"},
        {AG_KIND_RECOVERY, "attempts hash"},
        {AG_KIND_MERCHANT, "profile_id"},
        {AG_KIND_ROTATION, "profile_id old_key_id new_key_id state old_probe new_probe"},
        {AG_KIND_GONE, ""},
        {AG_KIND_SEAL, ""},
        {AG_KIND_PIN, ""},
    };
    union ag_regrow *row = calloc(1, sizeof(*row));

    setup();
    CU_ASSERT_PTR_NOT_NULL_FATAL(row);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memset(row, 0, sizeof(*row));
        switch (rows[i].id) {
        case AG_KIND_APP:
            row->app = reg_app(9);
            break;
        case AG_KIND_PROFILE: /* of the application just made, which is the third */
            row->profile = (struct ag_row_profile){.app_id = 3, .env = AG_ENV_LIVE};
            break;
        case AG_KIND_KEY:
            row->key = (struct ag_row_key){.profile_id = 5, .state = AG_KEY_ACTIVE, .bits = 4096};
            break;
        case AG_KIND_ANTOM_KEY:
            row->antom_key = (struct ag_row_antom_key){.profile_id = 5, .bits = 3072};
            break;
        case AG_KIND_GRANT:
            row->grant = (struct ag_row_grant){.profile_id = 5, .who = AG_WHO_UNIT, .ops = 7};
            break;
        case AG_KIND_DEED:
            row->deed.epoch = 1;
            break;
        case AG_KIND_CODE:
            row->code.hash_len = AG_CODE_HASH_LEN;
            break;
        case AG_KIND_CHANGE:
            row->change.digest_len = AG_CHANGE_DIGEST_LEN;
            break;
        case AG_KIND_APPROVAL: /* of the change just made */
            row->approval.change_id = 1;
            row->approval.digest_len = AG_CHANGE_DIGEST_LEN;
            break;
        case AG_KIND_RECOVERY:
            row->recovery.hash_len = AG_CODE_HASH_LEN;
            break;
        case AG_KIND_MERCHANT:
            row->merchant.profile_id = 5;
            break;
        case AG_KIND_ROTATION:
            row->rotation.profile_id = 5;
            row->rotation.old_key_id = row->rotation.new_key_id = 1;
            break;
        case AG_KIND_FENCE:
            row->fence.profile_id = 5;
            break;
        case AG_KIND_INTENT:
            row->intent.profile_id = 5;
            break;
        default:
            break;
        }
        round_trip(rows[i].id, row, rows[i].keep);
    }
    free(row);
    teardown();
}

/* ---- refusals: each row does one thing inside a transaction */

static enum antag_err app_twice(void)
{
    struct ag_row_app a = reg_app(1);

    return ag_registry_put_app(reg, &a, F);
}
static enum antag_err app_role(void)
{
    struct ag_row_app a = reg_app(7);

    strcpy(a.role, "bank");
    return ag_registry_put_app(reg, &a, F);
}
static enum antag_err app_name_too_long(void)
{
    struct ag_row_app a = reg_app(7);

    memset(a.name, 'x', sizeof(a.name));
    return ag_registry_put_app(reg, &a, F);
}
static enum antag_err app_region_changes(void)
{
    struct ag_row_app a;

    OK(ag_registry_get_app(reg, 1, &a, F));
    strcpy(a.region, "US");
    return ag_registry_put_app(reg, &a, F);
}
static enum antag_err app_of_no_id(void)
{
    struct ag_row_app a = reg_app(7);

    a.id = 99;
    return ag_registry_put_app(reg, &a, F);
}
static enum antag_err profile_twice(void)
{
    struct ag_row_profile p = reg_profile(0, AG_ENV_LIVE, 1);
    struct ag_row_app a = reg_app(7);

    OK(ag_registry_put_app(reg, &a, F));
    p.app_id = a.id;
    p.client_id[0] = '\0';
    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_second_of_environment(void)
{
    struct ag_row_profile p = reg_profile(1, AG_ENV_LIVE, 8);

    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_of_no_app(void)
{
    struct ag_row_profile p = reg_profile(77, AG_ENV_LIVE, 8);

    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_huge_app(void)
{
    struct ag_row_profile p = reg_profile((uint64_t)INT64_MAX + 1, AG_ENV_LIVE, 8);

    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_client_id_taken(void)
{
    struct ag_row_profile p;

    OK(ag_registry_get_profile(reg, 2, &p, F));
    strcpy(p.client_id, "5Y2");
    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_moves(void)
{
    struct ag_row_profile p;

    OK(ag_registry_get_profile(reg, 2, &p, F));
    p.app_id = 2;
    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_version_falls(void)
{
    struct ag_row_profile p;

    OK(ag_registry_get_profile(reg, 2, &p, F));
    p.next_key_version = 0;
    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_age(void)
{
    struct ag_row_profile p;

    OK(ag_registry_get_profile(reg, 2, &p, F));
    p.response_max_age_ms = -2;
    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err profile_sandbox_launched(void)
{
    struct ag_row_profile p;

    OK(ag_registry_get_profile(reg, 1, &p, F));
    p.launched = true;
    return ag_registry_put_profile(reg, &p, F);
}
static enum antag_err key_second_active(void)
{
    struct ag_row_key k;

    OK(ag_registry_get_key(reg, 2, &k, F));
    k.state = AG_KEY_ACTIVE;
    return ag_registry_put_key(reg, &k, F);
}
static struct ag_row_rotation rotation_of(uint64_t profile_id, enum ag_rotation_state state)
{
    return (struct ag_row_rotation){
        .profile_id = profile_id, .old_key_id = 1, .new_key_id = 2, .state = state};
}
static enum antag_err rotation_second_open(void)
{
    struct ag_row_rotation first = rotation_of(1, AG_ROTATION_WATCHING);
    struct ag_row_rotation over = rotation_of(1, AG_ROTATION_COMPLETE);
    struct ag_row_rotation other = rotation_of(2, AG_ROTATION_PREPARED);
    struct ag_row_rotation second = rotation_of(1, AG_ROTATION_PREPARED);

    OK(ag_registry_put_rotation(reg, &first, F));
    OK(ag_registry_put_rotation(reg, &over,
                                F)); /* those that are over do not count, nor those of others */
    OK(ag_registry_put_rotation(reg, &other, F));
    return ag_registry_put_rotation(reg, &second, F);
}
static enum antag_err rotation_goes_back(void)
{
    struct ag_row_rotation r = rotation_of(1, AG_ROTATION_WATCHING);

    OK(ag_registry_put_rotation(reg, &r, F));
    r.state = AG_ROTATION_SUBMITTED;
    return ag_registry_put_rotation(reg, &r, F);
}
static enum antag_err rotation_of_no_key(void)
{
    struct ag_row_rotation r = rotation_of(1, AG_ROTATION_PREPARED);

    r.new_key_id = 99;
    return ag_registry_put_rotation(reg, &r, F);
}
static enum antag_err key_removed_with_private_half(void)
{
    return ag_registry_delete_key(reg, 2, F);
}
static enum antag_err profile_removed_with_keys(void)
{
    return ag_registry_delete_profile(reg, 1, F);
}
static enum antag_err gone_forgets(void)
{
    struct ag_row_gone g = {.name = "x/live", .next_key_version = 3, .next_antom_version = 2};

    OK(ag_registry_put_gone(reg, &g, F));
    g.next_key_version = 2;
    return ag_registry_put_gone(reg, &g, F);
}
static enum antag_err key_version_twice(void)
{
    struct ag_row_key k = reg_key(1, 2, AG_KEY_STAGED);

    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_version_zero(void)
{
    struct ag_row_key k = reg_key(1, 0, AG_KEY_STAGED);

    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_destroyed_with_sealed(void)
{
    struct ag_row_key k;

    OK(ag_registry_get_key(reg, 2, &k, F));
    k.state = AG_KEY_DESTROYED;
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_state_unknown(void)
{
    struct ag_row_key k = reg_key(1, 9, AG_KEY_STATE_COUNT);

    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_bits(void)
{
    struct ag_row_key k = reg_key(1, 9, AG_KEY_STAGED);

    k.bits = 1024;
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_without_public_half(void)
{
    struct ag_row_key k = reg_key(1, 9, AG_KEY_STAGED);

    k.spki_len = 0;
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_sealed_too_long(void)
{
    struct ag_row_key k = reg_key(1, 9, AG_KEY_STAGED);

    k.sealed_len = sizeof(k.sealed) + 1;
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_of_other_intent(void)
{
    struct ag_row_key k = reg_key(1, 4, AG_KEY_STAGED);

    k.id = 3; /* the intent is for version 3 */
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_without_intent(void)
{
    struct ag_row_key k = reg_key(1, 4, AG_KEY_STAGED);

    k.id = 99;
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err key_public_half_changes(void)
{
    struct ag_row_key k;

    OK(ag_registry_get_key(reg, 2, &k, F));
    k.spki[7] ^= 1;
    return ag_registry_put_key(reg, &k, F);
}
static enum antag_err antom_key_twice(void)
{
    struct ag_row_antom_key k = reg_antom_key(1, 1);

    return ag_registry_put_antom_key(reg, &k, F);
}
static enum antag_err antom_key_of_no_profile(void)
{
    struct ag_row_antom_key k = reg_antom_key(99, 1);

    return ag_registry_put_antom_key(reg, &k, F);
}
static enum antag_err fence_twice(void)
{
    struct ag_row_fence e = {.profile_id = 1, .path = "/ams/api/v1/special"};

    return ag_registry_put_fence(reg, &e, F);
}
static enum antag_err staff_twice(void)
{
    struct ag_row_staff s = {.uid = 1002, .roles = 1};

    return ag_registry_put_staff(reg, &s, F);
}
static enum antag_err staff_uid_changes(void)
{
    struct ag_row_staff s = {.id = 1, .uid = 7, .roles = 7};

    return ag_registry_put_staff(reg, &s, F);
}
static enum antag_err staff_roles(void)
{
    struct ag_row_staff s = {.uid = 7, .roles = 8};

    return ag_registry_put_staff(reg, &s, F);
}
static enum antag_err intent_twice(void)
{
    struct ag_row_intent i = {.profile_id = 1, .version = 3, .keyring = "soft"};

    return ag_registry_put_intent(reg, &i, F);
}
static enum antag_err grant_of_strangers(void)
{
    struct ag_grant g = reg_grant(1, AG_UID_STRANGER, NULL, 0);

    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_of_nothing(void)
{
    struct ag_grant g = reg_grant(1, 5, NULL, 0);

    g.ops = 0;
    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_unit_for_uid(void)
{
    struct ag_grant g = reg_grant(1, 5, NULL, 0);

    strcpy(g.unit, "shop.service");
    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_unit_unnamed(void)
{
    struct ag_grant g = reg_grant(1, 0, NULL, 0);

    g.who = AG_WHO_UNIT;
    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_globs(size_t count, size_t len, char content)
{
    char text[ANTAG_GLOB_MAX + 2] = "";
    char *paths[ANTAG_GLOBS_PER_GRANT + 1];
    struct ag_grant g = reg_grant(1, 5, paths, count);

    memset(text, content, len);
    for (size_t i = 0; i < count; i++)
        paths[i] = text;
    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_too_many_globs(void)
{
    return grant_globs(ANTAG_GLOBS_PER_GRANT + 1, 3, 'x');
}
static enum antag_err grant_glob_too_long(void)
{
    return grant_globs(1, ANTAG_GLOB_MAX + 1, 'x');
}
static enum antag_err grant_glob_empty(void)
{
    return grant_globs(1, 0, 'x');
}
static enum antag_err grant_glob_line_feed(void)
{
    return grant_globs(1, 3, '\n');
}
static enum antag_err grant_body(void)
{
    struct ag_grant g = reg_grant(1, 5, NULL, 0);

    g.max_body = UINT64_MAX;
    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_rate(uint32_t rate, uint32_t burst)
{
    struct ag_grant g = reg_grant(1, 5, NULL, 0);

    g.rate = (struct ag_bucket){rate, burst};
    return ag_registry_put_grant(reg, &g, F);
}
static enum antag_err grant_rate_alone(void)
{
    return grant_rate(5, 0);
}
static enum antag_err grant_burst_alone(void)
{
    return grant_rate(0, 5);
}
static enum antag_err grant_rate_large(void)
{
    return grant_rate(ANTAG_RATE_MAX + 1, 5);
}
static enum antag_err delete_no_grant(void)
{
    return ag_registry_delete_grant(reg, 99, F);
}
static enum antag_err delete_no_fence(void)
{
    return ag_registry_delete_fence(reg, 0, F);
}
static enum antag_err delete_no_intent(void)
{
    return ag_registry_delete_intent(reg, UINT64_MAX, F);
}
static enum antag_err begin_twice(void)
{
    enum antag_err err = ag_registry_begin(reg, F);
    struct ag_row_staff s = {.uid = 7, .roles = 8}; /* so that the commit fails in this row too */

    return ag_registry_put_staff(reg, &s, NULL) == ANTAG_OK ? ANTAG_OK : err;
}

static const struct refusal {
    const char *name;
    enum antag_err (*run)(void);
    enum antag_err err;
    const char *field;
} refusals[] = {
    {"application twice", app_twice, ANTAG_ERR_EXISTS, "name"},
    {"application of an unknown role", app_role, ANTAG_ERR_BAD_PARAM, ""},
    {"application name not terminated", app_name_too_long, ANTAG_ERR_BAD_PARAM, "name"},
    {"region changes", app_region_changes, ANTAG_ERR_IMMUTABLE, "region"},
    {"application replaced that is not there", app_of_no_id, ANTAG_ERR_NOT_FOUND, ""},
    {"profile twice", profile_twice, ANTAG_ERR_EXISTS, "name"},
    {"second live profile", profile_second_of_environment, ANTAG_ERR_EXISTS, "env"},
    {"profile of no application", profile_of_no_app, ANTAG_ERR_NOT_FOUND, ""},
    {"profile of an id over 63 bits", profile_huge_app, ANTAG_ERR_BAD_PARAM, "app_id"},
    {"client id taken", profile_client_id_taken, ANTAG_ERR_CLIENT_ID_TAKEN, "client_id"},
    {"profile moves to another application", profile_moves, ANTAG_ERR_IMMUTABLE, "app_id"},
    {"next version falls", profile_version_falls, ANTAG_ERR_IMMUTABLE, "next_key_version"},
    {"maximum age below -1", profile_age, ANTAG_ERR_BAD_PARAM, ""},
    {"sandbox profile launched", profile_sandbox_launched, ANTAG_ERR_BAD_PARAM, ""},
    {"second active key", key_second_active, ANTAG_ERR_KEY_STATE, "state"},
    {"second open rotation", rotation_second_open, ANTAG_ERR_ROTATION_STATE, "profile"},
    {"rotation goes back", rotation_goes_back, ANTAG_ERR_IMMUTABLE, "state"},
    {"rotation of no key", rotation_of_no_key, ANTAG_ERR_NOT_FOUND, ""},
    {"key removed with its private half", key_removed_with_private_half, ANTAG_ERR_KEY_STATE,
     "version"},
    {"profile removed before its keys", profile_removed_with_keys, ANTAG_ERR_NOT_FOUND, ""},
    {"removed profile forgets", gone_forgets, ANTAG_ERR_IMMUTABLE, "next_key_version"},
    {"key version twice", key_version_twice, ANTAG_ERR_EXISTS, "version"},
    {"key version 0", key_version_zero, ANTAG_ERR_BAD_PARAM, ""},
    {"destroyed with a private half", key_destroyed_with_sealed, ANTAG_ERR_KEY_STATE, "sealed"},
    {"unknown key state", key_state_unknown, ANTAG_ERR_BAD_PARAM, ""},
    {"key of 1024 bits", key_bits, ANTAG_ERR_BAD_PARAM, ""},
    {"key without a public half", key_without_public_half, ANTAG_ERR_BAD_PARAM, ""},
    {"sealed bytes over the maximum", key_sealed_too_long, ANTAG_ERR_BAD_PARAM, "sealed"},
    {"key of another intent", key_of_other_intent, ANTAG_ERR_KEY_STATE, ""},
    {"key with an id and no intent", key_without_intent, ANTAG_ERR_NOT_FOUND, ""},
    {"public half changes", key_public_half_changes, ANTAG_ERR_IMMUTABLE, "spki"},
    {"Antom key twice", antom_key_twice, ANTAG_ERR_EXISTS, "version"},
    {"Antom key of no profile", antom_key_of_no_profile, ANTAG_ERR_NOT_FOUND, ""},
    {"fence exception twice", fence_twice, ANTAG_ERR_EXISTS, "path"},
    {"staff twice", staff_twice, ANTAG_ERR_EXISTS, "uid"},
    {"uid of staff changes", staff_uid_changes, ANTAG_ERR_IMMUTABLE, "uid"},
    {"unknown staff role", staff_roles, ANTAG_ERR_BAD_PARAM, ""},
    {"intent twice", intent_twice, ANTAG_ERR_EXISTS, "version"},
    {"grant to strangers", grant_of_strangers, ANTAG_ERR_BAD_PARAM, ""},
    {"grant of nothing", grant_of_nothing, ANTAG_ERR_BAD_PARAM, ""},
    {"grant to a uid that names a unit", grant_unit_for_uid, ANTAG_ERR_BAD_PARAM, ""},
    {"grant to an unnamed unit", grant_unit_unnamed, ANTAG_ERR_BAD_PARAM, ""},
    {"one glob too many", grant_too_many_globs, ANTAG_ERR_BAD_PARAM, "paths"},
    {"glob one byte too long", grant_glob_too_long, ANTAG_ERR_BAD_PARAM, "paths"},
    {"empty glob", grant_glob_empty, ANTAG_ERR_BAD_PARAM, "paths"},
    {"glob with a line feed", grant_glob_line_feed, ANTAG_ERR_BAD_PARAM, "paths"},
    {"body limit over 63 bits", grant_body, ANTAG_ERR_BAD_PARAM, "max_body"},
    {"rate without a burst", grant_rate_alone, ANTAG_ERR_BAD_PARAM, ""},
    {"burst without a rate", grant_burst_alone, ANTAG_ERR_BAD_PARAM, ""},
    {"rate over a million", grant_rate_large, ANTAG_ERR_BAD_PARAM, ""},
    {"no such grant", delete_no_grant, ANTAG_ERR_NOT_FOUND, ""},
    {"no such exception", delete_no_fence, ANTAG_ERR_NOT_FOUND, ""},
    {"no such intent", delete_no_intent, ANTAG_ERR_NOT_FOUND, ""},
    {"transaction in a transaction", begin_twice, ANTAG_ERR_INTERNAL, ""},
};

/* Each is refused by name, poisons its transaction, and leaves nothing behind. */
static void test_refusals(void)
{
    setup();
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *row = &refusals[i];
        uint64_t epoch = ag_registry_epoch(reg);
        enum antag_err err;

        OK(ag_registry_begin(reg, F));
        err = row->run();
        if (err != row->err || strcmp(place.fault.field, row->field) != 0 ||
            place.fault.text[0] == '\0') {
            fprintf(stderr, "%s: got %s, field \"%s\": %s\n", row->name, antag_err_name(err),
                    place.fault.field, place.fault.text);
            CU_FAIL("not refused as it should be");
        }
        CU_ASSERT_EQUAL(ag_registry_commit(reg, NULL, F), ANTAG_ERR_INTERNAL);
        ag_registry_rollback(reg);
        CU_ASSERT_EQUAL(ag_registry_epoch(reg), epoch);
    }
    reopen();
    teardown();
}

/* ---- transactions */

static void test_writers_need_a_transaction(void)
{
    struct ag_row_app a = reg_app(7);

    setup();
    CU_ASSERT_EQUAL(ag_registry_put_app(reg, &a, F), ANTAG_ERR_INTERNAL);
    CU_ASSERT_EQUAL(a.id, 0);
    CU_ASSERT_EQUAL(ag_registry_delete_grant(reg, 1, F), ANTAG_ERR_INTERNAL);
    CU_ASSERT_EQUAL(ag_registry_commit(reg, NULL, F), ANTAG_ERR_INTERNAL);
    ag_registry_rollback(reg);
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_commit(reg, NULL, F));
    teardown();
}

static void test_rollback(void)
{
    struct ag_row_app a = reg_app(7), got;
    struct ag_grant g;

    setup();
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_put_app(reg, &a, F));
    OK(ag_registry_delete_grant(reg, 1, F));
    CU_ASSERT_EQUAL(ag_registry_get_grant(reg, 1, &g, F), ANTAG_ERR_NOT_FOUND);
    OK(ag_registry_find_app(reg, "shop7", &got, F));
    ag_registry_rollback(reg);
    CU_ASSERT_EQUAL(ag_registry_find_app(reg, "shop7", &got, F), ANTAG_ERR_NOT_FOUND);
    OK(ag_registry_get_grant(reg, 1, &g, F));
    CU_ASSERT_EQUAL(g.path_count, 2);
    CU_ASSERT_STRING_EQUAL(g.paths[1], "/ams/api/**");
    ag_grant_fini(&g);
    OK(ag_registry_begin(reg, F));
    a.id = 0;
    OK(ag_registry_put_app(reg, &a, F));
    OK(ag_registry_commit(reg, NULL, F));
    reopen();
    OK(ag_registry_find_app(reg, "shop7", &got, F));
    teardown();
}

static void test_closing_rolls_back(void)
{
    struct ag_row_app a = reg_app(7), got;

    setup();
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_put_app(reg, &a, F));
    reopen();
    CU_ASSERT_EQUAL(ag_registry_find_app(reg, "shop7", &got, F), ANTAG_ERR_NOT_FOUND);
    teardown();
}

static void test_epoch_and_observed_time(void)
{
    uint64_t epoch = 0;

    setup();
    for (uint64_t i = 3; i < 8; i++) {
        OK(ag_registry_begin(reg, F));
        ag_registry_set_observed_ms(reg, (int64_t)i * 1000);
        OK(ag_registry_commit(reg, &epoch, F));
        CU_ASSERT_EQUAL(epoch, i);
        CU_ASSERT_EQUAL(ag_registry_epoch(reg), i);
    }
    ag_registry_set_observed_ms(reg, 5); /* running time never falls */
    reopen();
    CU_ASSERT_EQUAL(ag_registry_epoch(reg), 7);
    CU_ASSERT_EQUAL(ag_registry_observed_ms(reg), 7000);
    teardown();
}

/* ---- ids, intents, visits, look-ups */

static void test_ids_are_not_used_again(void)
{
    struct ag_row_fence e = {.profile_id = 1, .path = "/a"};
    uint64_t first;

    setup();
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_put_fence(reg, &e, F));
    first = e.id;
    OK(ag_registry_delete_fence(reg, first, F));
    OK(ag_registry_commit(reg, NULL, F));
    reopen();
    OK(ag_registry_begin(reg, F));
    e.id = 0;
    OK(ag_registry_put_fence(reg, &e, F));
    CU_ASSERT_EQUAL(e.id, first + 1);
    OK(ag_registry_commit(reg, NULL, F));
    teardown();
}

static void test_key_takes_its_intents_place(void)
{
    struct ag_row_key k = reg_key(1, 3, AG_KEY_STAGED), got;
    struct ag_row_intent intent;

    setup();
    k.id = 3;
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_put_key(reg, &k, F));
    OK(ag_registry_commit(reg, NULL, F));
    CU_ASSERT_EQUAL(ag_registry_get_intent(reg, 3, &intent, F), ANTAG_ERR_NOT_FOUND);
    reopen();
    OK(ag_registry_find_key(reg, 1, 3, &got, F));
    CU_ASSERT_EQUAL(got.id, 3);
    CU_ASSERT_EQUAL(ag_registry_get_intent(reg, 3, &intent, F), ANTAG_ERR_NOT_FOUND);
    teardown();
}

/* A handle whose intent was given up is no later key's: sealed bytes are bound to handles. */
static void test_key_and_intent_share_ids(void)
{
    struct ag_row_key k = reg_key(1, 4, AG_KEY_STAGED);
    struct ag_row_intent i = {.profile_id = 1, .version = 5, .keyring = "soft"};

    setup();
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_delete_intent(reg, 6, F));
    OK(ag_registry_commit(reg, NULL, F));
    reopen();
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_put_key(reg, &k, F));
    CU_ASSERT_EQUAL(k.id, 7);
    OK(ag_registry_put_intent(reg, &i, F));
    CU_ASSERT_EQUAL(i.id, 8);
    OK(ag_registry_commit(reg, NULL, F));
    teardown();
}

struct walk {
    uint64_t ids[16];
    size_t count;
    enum antag_err answer;
};

static enum antag_err note_grant(const struct ag_grant *g, void *ctx)
{
    struct walk *w = ctx;

    w->ids[w->count++] = g->id;
    return w->answer;
}

static enum antag_err delete_next(const struct ag_grant *g, void *ctx)
{
    struct walk *w = ctx;

    w->ids[w->count++] = g->id;
    return ag_registry_delete_grant(reg, g->id + 1, F);
}

static void test_each(void)
{
    struct walk w = {.answer = ANTAG_OK};

    setup();
    OK(ag_registry_each_grant(reg, note_grant, &w, F));
    CU_ASSERT_EQUAL_FATAL(w.count, 4);
    for (size_t i = 0; i < w.count; i++)
        CU_ASSERT_EQUAL(w.ids[i], i + 1);
    w = (struct walk){.answer = ANTAG_ERR_BUSY};
    CU_ASSERT_EQUAL(ag_registry_each_grant(reg, note_grant, &w, F), ANTAG_ERR_BUSY);
    CU_ASSERT_EQUAL(w.count, 1);
    w.count = 0;
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_each_grant(reg, delete_next, &w, F));
    OK(ag_registry_commit(reg, NULL, F));
    CU_ASSERT_EQUAL_FATAL(w.count, 2);
    CU_ASSERT_EQUAL(w.ids[1], 3);
    teardown();
}

static void test_find(void)
{
    struct ag_row_app a;
    struct ag_row_profile p;
    struct ag_row_key k;
    struct ag_row_staff s;

    setup();
    OK(ag_registry_find_app(reg, "shop2", &a, F));
    CU_ASSERT_STRING_EQUAL(a.name, "shop2");
    OK(ag_registry_find_profile(reg, "shop2/live", &p, F));
    CU_ASSERT_EQUAL(p.id, 4);
    OK(ag_registry_find_key(reg, 3, 2, &k, F));
    CU_ASSERT_EQUAL(k.id, 5);
    OK(ag_registry_find_staff(reg, 1002, &s, F));
    CU_ASSERT_STRING_EQUAL(s.mail, "second@example.org");
    CU_ASSERT_EQUAL(ag_registry_find_app(reg, "", &a, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_find_app(reg, "shop", &a, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_find_profile(reg, "shop2/liv", &p, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(place.fault.text, "shop2/liv"));
    CU_ASSERT_EQUAL(ag_registry_find_key(reg, 3, 9, &k, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_find_key(reg, UINT64_MAX, 1, &k, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_find_staff(reg, UINT32_MAX, &s, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_get_app(reg, 0, &a, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_get_app(reg, UINT64_MAX, &a, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(a.name, "shop2"); /* outputs stay untouched */
    teardown();
}

/* Looking for something that is not there is no failure of a transaction. */
static void test_not_found_does_not_poison(void)
{
    struct ag_row_app a;

    setup();
    OK(ag_registry_begin(reg, F));
    CU_ASSERT_EQUAL(ag_registry_find_app(reg, "none", &a, F), ANTAG_ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ag_registry_get_app(reg, 99, &a, F), ANTAG_ERR_NOT_FOUND);
    a = reg_app(7);
    OK(ag_registry_put_app(reg, &a, F));
    OK(ag_registry_commit(reg, NULL, F));
    teardown();
}

/* ---- erasing */

static bool file_holds(const char *suffix, const void *what, size_t len)
{
    char path[128], *bytes = NULL;
    bool found = false;
    struct stat st;
    FILE *f;

    snprintf(path, sizeof(path), "%s%s", place.path, suffix);
    f = fopen(path, "rb");
    if (f == NULL || fstat(fileno(f), &st) != 0 || st.st_size == 0)
        goto out;
    bytes = malloc((size_t)st.st_size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    CU_ASSERT_EQUAL(fread(bytes, 1, (size_t)st.st_size, f), (size_t)st.st_size);
    found = memmem(bytes, (size_t)st.st_size, what, len) != NULL;
out:
    free(bytes);
    if (f != NULL)
        fclose(f);
    return found;
}

static void test_erased_bytes_leave_all_files(void)
{
    struct ag_row_key k = reg_key(1, 8, AG_KEY_STAGED);
    uint8_t mark[32];

    setup();
    ag_random(mark, sizeof(mark));
    for (size_t at = 0; at + sizeof(mark) <= k.sealed_len; at += sizeof(mark))
        memcpy(k.sealed + at, mark, sizeof(mark));
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_put_key(reg, &k, F));
    OK(ag_registry_commit(reg, NULL, F));
    CU_ASSERT_TRUE(file_holds("-wal", mark, sizeof(mark)));
    OK(ag_registry_begin(reg, F));
    k.state = AG_KEY_DESTROYED;
    memset(k.sealed, 0, k.sealed_len);
    k.sealed_len = 0;
    OK(ag_registry_put_key(reg, &k, F));
    OK(ag_registry_commit(reg, NULL, F));
    CU_ASSERT_FALSE(file_holds("", mark, sizeof(mark)));
    CU_ASSERT_FALSE(file_holds("-wal", mark, sizeof(mark)));
    teardown();
}

/* ---- schemas. A schema of yesterday is made of today's by leaving a column out. */

static struct ag_kind old_kinds[AG_KIND_COUNT];
static struct ag_col old_cols[2][32];
static char old_sql[16 * 1024];
static const char *old_steps[2];
static char to_two[8 * 1024];
static const char add_columns[] =
    "ALTER TABLE app ADD COLUMN description TEXT NOT NULL DEFAULT 'from before';"
    "ALTER TABLE staff ADD COLUMN mail TEXT NOT NULL DEFAULT '';";

static void cut(const char *line)
{
    char *at = strstr(old_sql, line);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memmove(at, at + strlen(line), strlen(at + strlen(line)) + 1);
}

static void make_young(enum ag_kind_id id, struct ag_col *cols, const char *column)
{
    const struct ag_kind *kind = &ag_registry_kinds[id];

    memcpy(cols, kind->cols, kind->col_count * sizeof(*cols));
    for (size_t i = 0; i < kind->col_count; i++)
        if (strcmp(cols[i].name, column) == 0)
            cols[i].since = 2;
    old_kinds[id].cols = cols;
}

static void make_schemas(struct ag_schema *one, struct ag_schema *two)
{
    memcpy(old_kinds, ag_registry_kinds, sizeof(old_kinds));
    make_young(AG_KIND_APP, old_cols[0], "description");
    make_young(AG_KIND_STAFF, old_cols[1], "mail");
    CU_ASSERT_FATAL(strlen(ag_registry_schema.steps[0]) < sizeof(old_sql));
    strcpy(old_sql, ag_registry_schema.steps[0]);
    cut("  description TEXT NOT NULL,\n");
    cut(",\n  mail TEXT NOT NULL");
    old_steps[0] = old_sql;
    CU_ASSERT_FATAL(snprintf(to_two, sizeof(to_two), "%s%s", add_columns,
                             ag_registry_schema.steps[1]) < (int)sizeof(to_two));
    old_steps[1] = to_two;
    *one = (struct ag_schema){1, old_steps, old_kinds};
    *two = (struct ag_schema){2, old_steps, old_kinds};
}

static void make_old_registry(const struct ag_schema *one)
{
    CU_ASSERT_EQUAL_FATAL(reg_place_init(&place), 0);
    OK(ag_registry_create_as(place.path, place.key, 1001, 1, one, F));
    OK(ag_registry_open_as(place.path, place.key, one, &reg, F));
    OK(reg_fill(reg, F));
    ag_registry_close(reg);
    reg = NULL;
}

static void test_migration(void)
{
    struct ag_schema one, two;
    struct ag_row_app a;
    struct ag_row_staff s;

    make_schemas(&one, &two);
    make_old_registry(&one);
    OK(ag_registry_open_as(place.path, place.key, &two, &reg, F));
    CU_ASSERT_EQUAL(ag_registry_epoch(reg), 3);
    OK(ag_registry_find_app(reg, "shop2", &a, F));
    CU_ASSERT_STRING_EQUAL(a.description, "from before");
    OK(ag_registry_begin(reg, F));
    strcpy(a.description, "new");
    OK(ag_registry_put_app(reg, &a, F));
    OK(ag_registry_commit(reg, NULL, F));
    ag_registry_close(reg);
    OK(ag_registry_open_as(place.path, place.key, &two, &reg, F));
    CU_ASSERT_EQUAL(ag_registry_epoch(reg), 4); /* migrated once */
    OK(ag_registry_get_app(reg, a.id, &a, F));
    CU_ASSERT_STRING_EQUAL(a.description, "new");
    OK(ag_registry_find_staff(reg, 1002, &s, F));
    CU_ASSERT_STRING_EQUAL(s.mail, "");
    ag_registry_close(reg);
    reg = NULL;
    CU_ASSERT_EQUAL(ag_registry_open_as(place.path, place.key, &one, &reg, F), ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NOT_NULL(strstr(place.fault.text, "newer agent"));
    teardown();
}

/* What does not verify under its old schema is not migrated, and a migration that fails leaves it. */
static void test_migration_refused(void)
{
    struct ag_schema one, two;

    make_schemas(&one, &two);
    make_old_registry(&one);
    old_steps[1] = "ALTER TABLE app ADD COLUMN description TEXT NOT NULL DEFAULT '';"
                   "ALTER TABLE no_such_table ADD COLUMN x TEXT;";
    CU_ASSERT_EQUAL(ag_registry_open_as(place.path, place.key, &two, &reg, F), ANTAG_ERR_INTERNAL);
    OK(ag_registry_open_as(place.path, place.key, &one, &reg, F));
    ag_registry_close(reg);
    reg = NULL;
    old_steps[1] = to_two;
    CU_ASSERT_EQUAL(reg_attack(place.path, "UPDATE app SET type='x' WHERE id=2"), SQLITE_OK);
    CU_ASSERT_EQUAL(ag_registry_open_as(place.path, place.key, &two, &reg, F), ANTAG_ERR_REGISTRY);
    CU_ASSERT_PTR_NOT_NULL(strstr(place.fault.text, "table app, row 2"));
    teardown();
}

/* ---- fixtures: a registry of every released schema, as SQL, opens and holds what it held */

static void load_fixture(const char *name)
{
    char path[512];
    char *sql = calloc(1, 256 * 1024);
    FILE *f;

    CU_ASSERT_PTR_NOT_NULL_FATAL(sql);
    snprintf(path, sizeof(path), "%s/tests/corpus/registry/%s", SOURCE_DIR, name);
    f = fopen(path, "rb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_TRUE(fread(sql, 1, 256 * 1024 - 1, f) > 1000);
    fclose(f);
    OK(ag_regdb_make_file(place.path, F));
    CU_ASSERT_EQUAL_FATAL(reg_attack(place.path, sql), SQLITE_OK);
    free(sql);
}

static void test_fixture_of_schema_1(void)
{
    struct ag_row_profile p;
    struct ag_row_key k, want = reg_key(1, 1, AG_KEY_ACTIVE);
    struct ag_row_staff s;
    struct ag_grant g;

    CU_ASSERT_EQUAL_FATAL(reg_place_init(&place), 0);
    load_fixture("schema1.sql");
    OK(ag_registry_open(place.path, place.key, &reg, F));
    OK(ag_registry_find_profile(reg, "shop1/sandbox", &p, F));
    CU_ASSERT_STRING_EQUAL(p.client_id, "SANDBOX_5Y1");
    OK(ag_registry_find_key(reg, p.id, 1, &k, F));
    CU_ASSERT_EQUAL(k.state, AG_KEY_ACTIVE);
    CU_ASSERT_EQUAL_FATAL(k.sealed_len, want.sealed_len);
    CU_ASSERT_EQUAL(memcmp(k.sealed, want.sealed, k.sealed_len), 0);
    OK(ag_registry_get_grant(reg, 1, &g, F));
    CU_ASSERT_EQUAL(g.path_count, 2);
    CU_ASSERT(g.rate.rate == 0 && g.rate.burst == 0);
    OK(ag_registry_begin(reg, F));
    g.rate = (struct ag_bucket){10, 20};
    OK(ag_registry_put_grant(reg, &g, F));
    OK(ag_registry_commit(reg, NULL, F));
    ag_grant_fini(&g);
    reopen();
    OK(ag_registry_get_grant(reg, 1, &g, F));
    CU_ASSERT(g.rate.rate == 10 && g.rate.burst == 20);
    ag_grant_fini(&g);
    OK(ag_registry_find_staff(reg, 1001, &s, F));
    CU_ASSERT_EQUAL(s.roles, 7);
    OK(ag_registry_begin(reg, F));
    OK(ag_registry_commit(reg, NULL, F));
    reopen();
    teardown();
}

int main(void)
{
    static const struct reg_test tests[] = {
        {"create", test_create},
        {"create in no folder", test_create_in_no_folder},
        {"open refusals", test_open_refusals},
        {"columns cover structs", test_columns_cover_structs},
        {"maximal rows", test_maximal_rows},
        {"refusals", test_refusals},
        {"writers need a transaction", test_writers_need_a_transaction},
        {"rollback", test_rollback},
        {"closing rolls back", test_closing_rolls_back},
        {"epoch and observed time", test_epoch_and_observed_time},
        {"ids are not used again", test_ids_are_not_used_again},
        {"a key takes its intent's place", test_key_takes_its_intents_place},
        {"a key and an intent share ids", test_key_and_intent_share_ids},
        {"each", test_each},
        {"find", test_find},
        {"not found does not poison", test_not_found_does_not_poison},
        {"erased bytes leave all files", test_erased_bytes_leave_all_files},
        {"migration", test_migration},
        {"migration refused", test_migration_refused},
        {"fixture of schema 1", test_fixture_of_schema_1},
        {NULL, NULL},
    };

    return reg_run("registry", tests);
}
