/* registry against a plain model in memory: random transactions of random operations, committed, rolled
 * back or cut off by closing, with reopening in between; after each the two hold the same rows. The
 * model knows the rules too, so that what it takes must be taken and what it refuses refused.
 *     property_test_registry [SEED [ROUNDS]] */
#include <inttypes.h>
#include <time.h>

#include "tests/support/registry_tool.h"

#define ROWS_MAX 64 /* of a kind */

struct model {
    size_t count[AG_KIND_COUNT];
    uint64_t last[AG_KIND_COUNT];
    union ag_regrow rows[AG_KIND_COUNT][ROWS_MAX];
};

static struct reg_place place;
static struct ag_registry *reg;
static struct model *now, *saved;
static uint64_t seed, seed_state;
static unsigned rounds = 250;
static union ag_regrow row, got;

static uint64_t draw(uint64_t below)
{
    seed_state ^= seed_state << 13;
    seed_state ^= seed_state >> 7;
    seed_state ^= seed_state << 17;
    return seed_state % below;
}

static void fail(const char *what, enum ag_kind_id kind, uint64_t id, enum antag_err err)
{
    printf("seed %" PRIu64 ": %s, table %s, row %" PRIu64 ": %s %s\n", seed, what,
           ag_registry_kinds[kind].table, id, antag_err_name(err), place.fault.text);
    CU_FAIL_FATAL("the registry and the model differ");
}

static union ag_regrow *model_find(enum ag_kind_id kind, uint64_t id)
{
    for (size_t i = 0; i < now->count[kind]; i++)
        if (now->rows[kind][i].id == id)
            return &now->rows[kind][i];
    return NULL;
}

static void model_delete(enum ag_kind_id kind, uint64_t id)
{
    union ag_regrow *at = model_find(kind, id);
    size_t after = (size_t)(now->rows[kind] + now->count[kind] - (at + 1));

    memmove(at, at + 1, after * sizeof(*at));
    now->count[kind]--;
}

/* Kept in order of id. */
static void model_put(enum ag_kind_id kind, const union ag_regrow *r)
{
    union ag_regrow *at = model_find(kind, r->id);
    size_t i = now->count[kind];

    if (at != NULL) {
        *at = *r;
        return;
    }
    for (; i > 0 && now->rows[kind][i - 1].id > r->id; i--)
        now->rows[kind][i] = now->rows[kind][i - 1];
    now->rows[kind][i] = *r;
    now->count[kind]++;
    if (r->id > now->last[kind])
        now->last[kind] = r->id;
}

/* ---- the rules once more, in plain words */

static bool same_text(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Would `a` and `b`, two rows of one kind, break a rule together? */
static bool clash(enum ag_kind_id kind, const union ag_regrow *a, const union ag_regrow *b)
{
    switch (kind) {
    case AG_KIND_APP:
        return same_text(a->app.name, b->app.name);
    case AG_KIND_PROFILE:
        return same_text(a->profile.name, b->profile.name) ||
               (a->profile.app_id == b->profile.app_id && a->profile.env == b->profile.env) ||
               (a->profile.client_id[0] != '\0' &&
                same_text(a->profile.client_id, b->profile.client_id));
    case AG_KIND_KEY:
        return a->key.profile_id == b->key.profile_id &&
               (a->key.version == b->key.version ||
                (a->key.state == AG_KEY_ACTIVE && b->key.state == AG_KEY_ACTIVE));
    case AG_KIND_ANTOM_KEY:
        return a->antom_key.profile_id == b->antom_key.profile_id &&
               a->antom_key.version == b->antom_key.version;
    case AG_KIND_FENCE:
        return a->fence.profile_id == b->fence.profile_id &&
               same_text(a->fence.path, b->fence.path);
    case AG_KIND_STAFF:
        return a->staff.uid == b->staff.uid;
    case AG_KIND_INTENT:
        return a->intent.profile_id == b->intent.profile_id &&
               a->intent.version == b->intent.version;
    case AG_KIND_MAIL:
        return same_text(a->mail.message_id, b->mail.message_id);
    case AG_KIND_CODE:
        return a->code.uid == b->code.uid && a->code.change_id == b->code.change_id;
    case AG_KIND_CHANGE:
        return memcmp(a->change.digest, b->change.digest, AG_CHANGE_DIGEST_LEN) == 0;
    case AG_KIND_APPROVAL:
        return a->approval.change_id == b->approval.change_id && a->approval.uid == b->approval.uid;
    case AG_KIND_ROTATION:
        return a->rotation.profile_id == b->rotation.profile_id &&
               !ag_rotation_is_over(a->rotation.state) && !ag_rotation_is_over(b->rotation.state);
    case AG_KIND_GONE:
        return same_text(a->gone.name, b->gone.name);
    case AG_KIND_PIN:
        return same_text(a->pin.keyring, b->pin.keyring);
    case AG_KIND_MERCHANT:
        return a->merchant.profile_id == b->merchant.profile_id &&
               same_text(a->merchant.name, b->merchant.name);
    default:
        return false;
    }
}

static uint64_t parent(enum ag_kind_id kind, const union ag_regrow *r)
{
    switch (kind) {
    case AG_KIND_PROFILE:
        return r->profile.app_id;
    case AG_KIND_KEY:
        return r->key.profile_id;
    case AG_KIND_ANTOM_KEY:
        return r->antom_key.profile_id;
    case AG_KIND_FENCE:
        return r->fence.profile_id;
    case AG_KIND_INTENT:
        return r->intent.profile_id;
    case AG_KIND_APPROVAL:
        return r->approval.change_id;
    case AG_KIND_MERCHANT:
        return r->merchant.profile_id;
    case AG_KIND_ROTATION:
        return r->rotation.profile_id;
    default:
        return r->grant.profile_id;
    }
}

static bool may_replace(enum ag_kind_id kind, const union ag_regrow *was, const union ag_regrow *is)
{
    switch (kind) {
    case AG_KIND_APP:
        return same_text(was->app.name, is->app.name) && same_text(was->app.region, is->app.region);
    case AG_KIND_PROFILE:
        return same_text(was->profile.name, is->profile.name) &&
               was->profile.env == is->profile.env && was->profile.app_id == is->profile.app_id &&
               was->profile.next_key_version <= is->profile.next_key_version;
    case AG_KIND_KEY:
        return was->key.version == is->key.version && was->key.profile_id == is->key.profile_id;
    case AG_KIND_ANTOM_KEY:
        return was->antom_key.version == is->antom_key.version &&
               was->antom_key.profile_id == is->antom_key.profile_id;
    case AG_KIND_FENCE:
        return was->fence.profile_id == is->fence.profile_id;
    case AG_KIND_STAFF:
        return was->staff.uid == is->staff.uid;
    case AG_KIND_INTENT:
        return was->intent.version == is->intent.version &&
               was->intent.profile_id == is->intent.profile_id;
    case AG_KIND_DEED: /* nothing of it ever changes */
        return was->deed.epoch == is->deed.epoch && was->deed.uid == is->deed.uid &&
               same_text(was->deed.what, is->deed.what);
    case AG_KIND_MAIL:
        return same_text(was->mail.message_id, is->mail.message_id) &&
               was->mail.state <= is->mail.state;
    case AG_KIND_CODE:
        return was->code.uid == is->code.uid && was->code.change_id == is->code.change_id &&
               was->code.attempts <= is->code.attempts &&
               memcmp(was->code.hash, is->code.hash, AG_CODE_HASH_LEN) == 0;
    case AG_KIND_CHANGE:
        return was->change.state <= is->change.state &&
               was->change.digest[0] == is->change.digest[0] &&
               was->change.doc_len == is->change.doc_len &&
               memcmp(was->change.doc, is->change.doc, is->change.doc_len) == 0;
    case AG_KIND_APPROVAL:
        return was->approval.change_id == is->approval.change_id &&
               was->approval.uid == is->approval.uid;
    case AG_KIND_RECOVERY:
        return was->recovery.uid == is->recovery.uid;
    case AG_KIND_ROTATION:
        return was->rotation.profile_id == is->rotation.profile_id &&
               was->rotation.new_key_id == is->rotation.new_key_id &&
               was->rotation.state <= is->rotation.state;
    case AG_KIND_GONE:
        return same_text(was->gone.name, is->gone.name) &&
               was->gone.next_key_version <= is->gone.next_key_version;
    case AG_KIND_SEAL:
        return true;
    case AG_KIND_PIN:
        return same_text(was->pin.keyring, is->pin.keyring);
    case AG_KIND_MERCHANT:
        return was->merchant.profile_id == is->merchant.profile_id &&
               same_text(was->merchant.name, is->merchant.name) &&
               was->merchant.used <= is->merchant.used;
    default:
        return was->grant.profile_id == is->grant.profile_id;
    }
}

static bool has_parent(enum ag_kind_id kind)
{
    return kind != AG_KIND_APP && kind != AG_KIND_STAFF && kind != AG_KIND_DEED &&
           kind != AG_KIND_MAIL && kind != AG_KIND_CODE && kind != AG_KIND_CHANGE &&
           kind != AG_KIND_RECOVERY && kind != AG_KIND_GONE && kind != AG_KIND_SEAL &&
           kind != AG_KIND_PIN;
}

static enum ag_kind_id parent_kind(enum ag_kind_id kind)
{
    return kind == AG_KIND_PROFILE    ? AG_KIND_APP
           : kind == AG_KIND_APPROVAL ? AG_KIND_CHANGE
                                      : AG_KIND_PROFILE;
}

static bool model_takes(enum ag_kind_id kind, const union ag_regrow *r)
{
    const union ag_regrow *was = r->id == 0 ? NULL : model_find(kind, r->id), *intent;

    if (kind == AG_KIND_KEY && r->key.state == AG_KEY_DESTROYED && r->key.sealed_len > 0)
        return false;
    if (kind == AG_KIND_ROTATION && model_find(AG_KIND_KEY, r->rotation.new_key_id) == NULL)
        return false;
    if (kind == AG_KIND_MAIL && (r->mail.state == AG_MAIL_QUEUED) != (r->mail.sealed_len > 0))
        return false;
    if (has_parent(kind) && model_find(parent_kind(kind), parent(kind, r)) == NULL)
        return false;
    if (was != NULL && !may_replace(kind, was, r))
        return false;
    if (r->id != 0 && was == NULL) {
        intent = kind == AG_KIND_KEY ? model_find(AG_KIND_INTENT, r->id) : NULL;
        if (intent == NULL || intent->intent.profile_id != r->key.profile_id ||
            intent->intent.version != r->key.version)
            return false;
    }
    for (size_t i = 0; i < now->count[kind]; i++)
        if (now->rows[kind][i].id != r->id && clash(kind, &now->rows[kind][i], r))
            return false;
    return true;
}

/* ---- random rows, of few enough values to collide */

static void draw_row(enum ag_kind_id kind, union ag_regrow *r)
{
    uint64_t owner = 1 + draw(6);
    uint32_t version = 1 + (uint32_t)draw(6);

    memset(r, 0, sizeof(*r));
    switch (kind) {
    case AG_KIND_APP:
        r->app = reg_app((unsigned)draw(8));
        r->app.created_at_ms = 0;
        memcpy(r->app.region, draw(4) == 0 ? "US" : "SG", 3);
        snprintf(r->app.description, sizeof(r->app.description), "%" PRIu64, draw(1000));
        break;
    case AG_KIND_PROFILE:
        r->profile = reg_profile(owner, draw(2) ? AG_ENV_LIVE : AG_ENV_SANDBOX, (unsigned)owner);
        snprintf(r->profile.client_id, sizeof(r->profile.client_id), "%.*s", (int)draw(2), "5");
        r->profile.next_key_version = 1 + (uint32_t)draw(3);
        break;
    case AG_KIND_KEY:
        r->key = reg_key(owner, version, (enum ag_key_state)draw(AG_KEY_STATE_COUNT));
        memset(r->key.spki, 1, r->key.spki_len);
        memset(r->key.sealed, (int)draw(256), r->key.sealed_len);
        if (draw(3) == 0)
            r->key.sealed_len = 0;
        break;
    case AG_KIND_ANTOM_KEY:
        r->antom_key = reg_antom_key(owner, version);
        memset(r->antom_key.spki, 1, r->antom_key.spki_len);
        r->antom_key.state = (enum ag_antom_key_state)draw(AG_ANTOM_KEY_STATE_COUNT);
        break;
    case AG_KIND_FENCE:
        r->fence.profile_id = owner;
        snprintf(r->fence.path, sizeof(r->fence.path), "/path/%" PRIu64, draw(5));
        break;
    case AG_KIND_STAFF:
        r->staff.uid = 1000 + (uint32_t)draw(8);
        r->staff.roles = (unsigned)draw(8);
        break;
    case AG_KIND_INTENT:
        r->intent.profile_id = owner;
        r->intent.version = version;
        strcpy(r->intent.keyring, "soft");
        break;
    case AG_KIND_DEED:
        r->deed.epoch = 1 + draw(3);
        r->deed.uid = (uint32_t)draw(2);
        strcpy(r->deed.what, draw(2) ? "key_set" : "lock");
        break;
    case AG_KIND_MAIL:
        snprintf(r->mail.message_id, sizeof(r->mail.message_id), "%" PRIu64 "@x", draw(40));
        strcpy(r->mail.rcpt, "a@b.example");
        r->mail.state = (enum ag_mail_state)draw(AG_MAIL_STATE_COUNT);
        r->mail.sealed_len = draw(4) == 0 ? 0 : 1 + draw(600);
        memset(r->mail.sealed, (int)draw(256), r->mail.sealed_len);
        if (r->mail.state != AG_MAIL_QUEUED && draw(4) != 0)
            r->mail.sealed_len = 0;
        break;
    case AG_KIND_CODE:
        r->code.uid = (uint32_t)draw(5);
        r->code.change_id = draw(3);
        r->code.attempts = (uint32_t)draw(6);
        r->code.hash_len = AG_CODE_HASH_LEN;
        memset(r->code.hash, (int)draw(2), AG_CODE_HASH_LEN);
        break;
    case AG_KIND_CHANGE:
        strcpy(r->change.method, "key_set");
        r->change.state = (enum ag_change_state)draw(AG_CHANGE_STATE_COUNT);
        r->change.holds_ms = 1;
        r->change.digest_len = AG_CHANGE_DIGEST_LEN;
        memset(r->change.digest, (int)draw(12), AG_CHANGE_DIGEST_LEN);
        r->change.doc_len = 1 + draw(3);
        memset(r->change.doc, (int)draw(2), r->change.doc_len);
        break;
    case AG_KIND_APPROVAL:
        r->approval.change_id = owner;
        r->approval.uid = (uint32_t)draw(4);
        r->approval.digest_len = AG_CHANGE_DIGEST_LEN;
        break;
    case AG_KIND_MERCHANT:
        r->merchant.profile_id = owner;
        snprintf(r->merchant.name, sizeof(r->merchant.name), "M%" PRIu64, draw(8));
        r->merchant.suspended = draw(2) == 0;
        r->merchant.used = draw(4);
        r->merchant.sealed_len = 1 + draw(100);
        memset(r->merchant.sealed, (int)draw(256), r->merchant.sealed_len);
        break;
    case AG_KIND_ROTATION:
        r->rotation.profile_id = owner;
        r->rotation.old_key_id = r->rotation.new_key_id =
            now->count[AG_KIND_KEY] == 0 ? 1 : now->rows[AG_KIND_KEY][0].id;
        r->rotation.state = (enum ag_rotation_state)draw(AG_ROTATION_STATE_COUNT);
        break;
    case AG_KIND_GONE:
        snprintf(r->gone.name, sizeof(r->gone.name), "app%" PRIu64 "/live", draw(4));
        r->gone.next_key_version = 1 + (uint32_t)draw(4);
        break;
    case AG_KIND_SEAL:
        snprintf(r->seal.type, sizeof(r->seal.type), "%s", draw(2) == 0 ? "tpm" : "file");
        r->seal.pending = draw(2) == 0;
        r->seal.bytes_len = draw(100);
        break;
    case AG_KIND_PIN:
        snprintf(r->pin.keyring, sizeof(r->pin.keyring), "hsm%" PRIu64, draw(4));
        r->pin.sealed_len = draw(100);
        break;
    case AG_KIND_RECOVERY:
        r->recovery.uid = (uint32_t)draw(4);
        r->recovery.attempts = (uint32_t)draw(6);
        r->recovery.hash_len = AG_CODE_HASH_LEN;
        break;
    default:
        r->grant.profile_id = owner;
        r->grant.who = AG_WHO_GID;
        r->grant.number = (uint32_t)draw(100);
        r->grant.ops = 1 + (unsigned)draw(7);
        snprintf(r->grant.paths, sizeof(r->grant.paths), "/a/%" PRIu64 "\n/b/**", draw(100));
        break;
    }
}

/* ---- operations. False when the transaction can only be rolled back. */

/* A new row, one that is there with another content, one in the place of an intent, or one of a guessed
 * id. */
static void draw_put(enum ag_kind_id kind)
{
    const union ag_regrow *was;

    draw_row(kind, &row);
    if (kind == AG_KIND_KEY && now->count[AG_KIND_INTENT] > 0 && draw(3) == 0) {
        was = &now->rows[AG_KIND_INTENT][draw(now->count[AG_KIND_INTENT])];
        row.id = was->id;
        row.key.profile_id = was->intent.profile_id;
        row.key.version = was->intent.version;
    } else if (now->count[kind] > 0 && draw(3) == 0) {
        was = &now->rows[kind][draw(now->count[kind])];
        row.id = was->id;
        if (kind == AG_KIND_KEY) {
            row.key.profile_id = was->key.profile_id;
            row.key.version = was->key.version;
        }
    } else if (draw(20) == 0) {
        row.id = 1 + draw(40);
    }
}

/* careful: what the model refuses is not tried, as a refusal ends the transaction */
static bool put_one(enum ag_kind_id kind, bool careful)
{
    uint64_t id, twin = ag_registry_kinds[kind].twin;
    enum antag_err err;
    bool takes = false;

    if (now->count[kind] == ROWS_MAX)
        return true;
    for (unsigned tries = careful ? 20 : 1; !takes && tries > 0; tries--) {
        draw_put(kind);
        takes = model_takes(kind, &row);
    }
    if (careful && !takes)
        return true;
    id = row.id;
    err = ag_rows_put(reg, kind, &row, &place.fault);
    if ((err == ANTAG_OK) != takes)
        fail(takes ? "refused what the model takes" : "took what the model refuses", kind, id, err);
    if (!takes && row.id != id)
        fail("an id was set on refusal", kind, row.id, err);
    if (!takes)
        return false;
    if (id == 0 && (row.id <= now->last[kind] || row.id <= now->last[twin]))
        fail("an id came again", kind, row.id, err);
    model_put(kind, &row);
    if (kind == AG_KIND_KEY && model_find(AG_KIND_INTENT, row.id) != NULL)
        model_delete(AG_KIND_INTENT, row.id);
    return true;
}

static bool delete_one(bool careful)
{
    static const enum ag_kind_id kinds[] = {
        AG_KIND_GRANT, AG_KIND_FENCE,    AG_KIND_INTENT,   AG_KIND_DEED,     AG_KIND_MAIL,
        AG_KIND_CODE,  AG_KIND_APPROVAL, AG_KIND_RECOVERY, AG_KIND_MERCHANT, AG_KIND_ROTATION};
    enum ag_kind_id kind = kinds[draw(10)];
    uint64_t id = 1 + draw(now->last[kind] + 2);
    bool there = model_find(kind, id) != NULL;
    enum antag_err err;

    if (careful && !there)
        return true;
    err = ag_rows_delete(reg, kind, id, &place.fault);
    if (err != (there ? ANTAG_OK : ANTAG_ERR_NOT_FOUND))
        fail("delete", kind, id, err);
    if (there)
        model_delete(kind, id);
    return there;
}

/* ---- comparing */

static void compare_rows(void)
{
    for (size_t k = 0; k < AG_KIND_COUNT; k++) {
        enum ag_kind_id kind = (enum ag_kind_id)k;
        const struct ag_regmac *at = ag_regset_after(&reg->sets[k], 0);

        for (size_t i = 0; i < now->count[k]; i++) {
            enum antag_err err;

            if (at == NULL || at->id != now->rows[k][i].id)
                fail("other rows are there", kind, now->rows[k][i].id, ANTAG_OK);
            memset(&got, 0, sizeof(got));
            if ((err = ag_rows_get(reg, kind, at->id, &got, &place.fault)) != ANTAG_OK)
                fail("not read", kind, at->id, err);
            if (!reg_same_row(&ag_registry_kinds[k], &got, &now->rows[k][i]))
                fail("other content", kind, at->id, ANTAG_OK);
            at = ag_regset_after(&reg->sets[k], at->id);
        }
        if (at != NULL)
            fail("a row too many", kind, at->id, ANTAG_OK);
    }
}

static void reopen(void)
{
    enum antag_err err;

    ag_registry_close(reg);
    reg = NULL;
    if ((err = ag_registry_open(place.path, place.key, &reg, &place.fault)) != ANTAG_OK)
        fail("does not open", AG_KIND_APP, 0, err);
}

static void one_transaction(void)
{
    uint64_t epoch = ag_registry_epoch(reg), reached = 0;
    unsigned steps = 1 + (unsigned)draw(12);
    bool good = true;

    *saved = *now;
    CU_ASSERT_EQUAL_FATAL(ag_registry_begin(reg, &place.fault), ANTAG_OK);
    for (unsigned i = 0; good && i < steps; i++) {
        bool careful = draw(16) != 0;

        good = draw(5) == 0 ? delete_one(careful)
                            : put_one((enum ag_kind_id)draw(AG_KIND_COUNT), careful);
    }
    if (good && draw(6) != 0) {
        CU_ASSERT_EQUAL_FATAL(ag_registry_commit(reg, &reached, &place.fault), ANTAG_OK);
        CU_ASSERT_EQUAL_FATAL(reached, epoch + 1);
        return;
    }
    if (draw(4) == 0)
        reopen();
    else
        ag_registry_rollback(reg);
    CU_ASSERT_EQUAL_FATAL(ag_registry_epoch(reg), epoch);
    *now = *saved;
}

static void test_against_model(void)
{
    CU_ASSERT_EQUAL_FATAL(
        ag_registry_create(place.path, place.key, 1001, 1700000000000, &place.fault), ANTAG_OK);
    memset(&row, 0, sizeof(row));
    row.staff = (struct ag_row_staff){.id = 1, .uid = 1001, .roles = 7};
    model_put(AG_KIND_STAFF, &row);
    reopen();
    for (unsigned i = 0; i < rounds; i++) {
        one_transaction();
        compare_rows();
        if (draw(10) == 0) {
            reopen();
            compare_rows();
        }
    }
    reopen();
    compare_rows();
    /* the walk went somewhere */
    for (size_t k = 0; k < AG_KIND_COUNT; k++)
        CU_ASSERT_TRUE(now->last[k] > 0);
    CU_ASSERT_TRUE(now->count[AG_KIND_KEY] > 3);
}

int main(int argc, char **argv)
{
    static const struct reg_test tests[] = {{"against a model", test_against_model}, {NULL, NULL}};
    int status;

    now = calloc(1, sizeof(*now));
    saved = calloc(1, sizeof(*saved));
    if (now == NULL || saved == NULL || reg_place_init(&place) != 0)
        return 1;
    ag_random(&seed, sizeof(seed));
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 10);
    if (argc > 2)
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    seed_state = seed == 0 ? 1 : seed; /* xorshift stays at zero */
    printf("seed %" PRIu64 "\n", seed);
    status = reg_run("registry", tests);
    ag_registry_close(reg);
    reg_place_fini(&place);
    free(now);
    free(saved);
    return status;
}
