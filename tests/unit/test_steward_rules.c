/* What may stand in the registry: forms, and which key may stand where. */
#include "agent/steward/rules.h"
#include "tests/support/books.h"
#include "tests/support/rows.h"

#define S(text) antag_slice_of(text)

static const struct {
    const char *row;
    const char *name;
    bool good;
} app_names[] = {
    {"one letter", "a", true},
    {"digit first", "7eleven", true},
    {"dash inside", "my-shop-2", true},
    {"largest", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
    {"over", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
    {"empty", "", false},
    {"dash first", "-shop", false},
    {"upper case", "Shop", false},
    {"slash", "shop/live", false},
    {"dot", "shop.one", false},
    {"space", "my shop", false},
    {"underscore", "my_shop", false},
    {"not ASCII", "caf\xc3\xa9", false},
};

static void test_app_names(void)
{
    for (size_t i = 0; i < ROW_COUNT(app_names); i++) {
        struct antag_fault f = {0};
        enum antag_err err = ag_rule_app_name(S(app_names[i].name), &f);

        ROW_ASSERT(app_names[i].row, (err == ANTAG_OK) == app_names[i].good);
        ROW_ASSERT(app_names[i].row,
                   err == ANTAG_OK || (err == ANTAG_ERR_BAD_PARAM && strcmp(f.field, "app") == 0));
    }
}

static const struct {
    const char *text;
    size_t count;
    const char *out; /* NULL: refused */
} letters[] = {
    {"SG", 2, "SG"},  {"sg", 2, "SG"}, {"uSd", 3, "USD"}, {"", 2, NULL},     {"S", 2, NULL},
    {"SGP", 2, NULL}, {"S1", 2, NULL}, {"S ", 2, NULL},   {"US\n", 3, NULL}, {"U$D", 3, NULL},
};

static void test_letters(void)
{
    for (size_t i = 0; i < ROW_COUNT(letters); i++) {
        char out[4] = "zz";
        enum antag_err err =
            ag_rule_letters(S(letters[i].text), "region", letters[i].count, out, NULL);

        ROW_ASSERT(letters[i].text, (err == ANTAG_OK) == (letters[i].out != NULL));
        ROW_ASSERT(letters[i].text, letters[i].out == NULL || strcmp(out, letters[i].out) == 0);
    }
}

static void test_roles(void)
{
    static const char *const good[] = {"merchant", "acquirer", "isv"};
    static const char *const bad[] = {"", "Merchant", "merchant ", "isvs", "m"};

    for (size_t i = 0; i < ROW_COUNT(good); i++)
        ROW_ASSERT(good[i], ag_rule_app_role(S(good[i]), NULL) == ANTAG_OK);
    for (size_t i = 0; i < ROW_COUNT(bad); i++)
        ROW_ASSERT(bad[i], ag_rule_app_role(S(bad[i]), NULL) == ANTAG_ERR_BAD_PARAM);
}

static const struct {
    const char *row;
    const char *url;
    const char *out; /* NULL: refused */
} gateways[] = {
    {"host", "https://open-sea-global.alipay.com", "https://open-sea-global.alipay.com"},
    {"port", "https://gw.example:8443", "https://gw.example:8443"},
    {"upper case", "HTTPS://GW.Example", "https://gw.example"},
    {"largest port", "https://gw:65535", "https://gw:65535"},
    {"port over", "https://gw:65536", NULL},
    {"port 0", "https://gw:0", NULL},
    {"port empty", "https://gw:", NULL},
    {"port of six digits", "https://gw:000443", NULL},
    {"empty", "", NULL},
    {"scheme alone", "https://", NULL},
    {"no scheme", "gw.example", NULL},
    {"http", "http://gw.example", NULL},
    {"slash", "https://gw.example/", NULL},
    {"path", "https://gw.example/ams", NULL},
    {"query", "https://gw.example?a", NULL},
    {"fragment", "https://gw.example#a", NULL},
    {"user", "https://user@gw.example", NULL},
    {"user that looks like a port", "https://gw:1@evil.example", NULL},
    {"space", "https://gw example", NULL},
    {"line feed", "https://gw.example\n", NULL},
    {"dot first", "https://.example", NULL},
    {"address in brackets", "https://[::1]", NULL},
};

static void test_gateways(void)
{
    for (size_t i = 0; i < ROW_COUNT(gateways); i++) {
        char out[ANTAG_URL_MAX + 1] = "";
        enum antag_err err = ag_rule_gateway(S(gateways[i].url), out, NULL);

        ROW_ASSERT(gateways[i].row, (err == ANTAG_OK) == (gateways[i].out != NULL));
        ROW_ASSERT(gateways[i].row, gateways[i].out == NULL || strcmp(out, gateways[i].out) == 0);
    }
}

static const struct {
    const char *row;
    const char *url;
    bool good;
} notify_urls[] = {
    {"https", "https://shop.example/antom/notify", true},
    {"http with a port", "http://127.0.0.1:8080/n?a=b&c=%20", true},
    {"host alone", "https://shop.example", true},
    {"query behind the host", "https://shop.example?a", true},
    {"empty", "", false},
    {"other scheme", "ftp://shop.example/", false},
    {"user", "https://a:b@shop.example/", false},
    {"fragment", "https://shop.example/#x", false},
    {"space", "https://shop.example/a b", false},
    {"control character", "https://shop.example/a\x01", false},
    {"not ASCII", "https://shop.example/\xc3\xa9", false},
    {"backslash behind the host", "https://shop.example\\@evil.example/", false},
};

static void test_notify_urls(void)
{
    char url[ANTAG_URL_MAX + 2], out[ANTAG_URL_MAX + 1];

    for (size_t i = 0; i < ROW_COUNT(notify_urls); i++)
        ROW_ASSERT(notify_urls[i].row, (ag_rule_notify_url(S(notify_urls[i].url), out, NULL) ==
                                        ANTAG_OK) == notify_urls[i].good);
    memset(url, 'a', sizeof url);
    memcpy(url, "https://h/", 10);
    url[ANTAG_URL_MAX] = '\0';
    CU_ASSERT_EQUAL(ag_rule_notify_url(S(url), out, NULL), ANTAG_OK);
    url[ANTAG_URL_MAX] = 'a';
    url[ANTAG_URL_MAX + 1] = '\0';
    CU_ASSERT_EQUAL(ag_rule_notify_url(S(url), out, NULL), ANTAG_ERR_BAD_PARAM);
}

static void test_lines_and_units(void)
{
    static const char *const bad_units[] = {"", "shop", "shop service", "shop.service\n",
                                            "a/b.service"};
    char out[5];

    CU_ASSERT_EQUAL(ag_rule_line(S("four"), "type", out, sizeof out, NULL), ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(out, "four");
    CU_ASSERT_EQUAL(ag_rule_line(S("fives"), "type", out, sizeof out, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(ag_rule_line(S("a\nb"), "type", out, sizeof out, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(ag_rule_line(S("\x1b[0m"), "type", out, sizeof out, NULL), ANTAG_ERR_BAD_PARAM);
    CU_ASSERT_EQUAL(ag_rule_line(S(""), "type", out, sizeof out, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(ag_rule_unit(S("shop@1.service"), NULL), ANTAG_OK);
    for (size_t i = 0; i < ROW_COUNT(bad_units); i++)
        ROW_ASSERT(bad_units[i], ag_rule_unit(S(bad_units[i]), NULL) == ANTAG_ERR_BAD_PARAM);
}

static void test_client_ids(void)
{
    struct test_book t;
    struct antag_fault f = {0};

    test_book_init(&t);
    snprintf(t.profiles[2].client_id, sizeof t.profiles[2].client_id, "SANDBOX_1");
    CU_ASSERT_EQUAL(ag_rule_client_id_free(&t.book, &t.profiles[0], S("SANDBOX_1"), &f),
                    ANTAG_ERR_CLIENT_ID_TAKEN);
    CU_ASSERT_PTR_NOT_NULL(strstr(f.text, "pay/sandbox"));
    CU_ASSERT_EQUAL(ag_rule_client_id_free(&t.book, &t.profiles[2], S("SANDBOX_1"), NULL),
                    ANTAG_OK);
    CU_ASSERT_EQUAL(ag_rule_client_id_free(&t.book, &t.profiles[0], S("SANDBOX_12"), NULL),
                    ANTAG_OK);
}

/* The book of the next two: shop/sandbox has merchant keys 1 (active) and 2 (destroyed) and Antom keys 3
 * (active), 4 (retiring), 5 (revoked); pay/live has merchant key 6; shop/live has Antom key 7. */
static void fill(struct test_book *t)
{
    test_book_init(t);
    test_book_key(t, 1, 1, AG_KEY_ACTIVE, 1);
    test_book_key(t, 1, 2, AG_KEY_DESTROYED, 2);
    test_book_key(t, 4, 1, AG_KEY_STAGED, 6);
    test_book_antom_key(t, 1, 1, AG_ANTOM_KEY_ACTIVE, 3);
    test_book_antom_key(t, 1, 2, AG_ANTOM_KEY_RETIRING, 4);
    test_book_antom_key(t, 1, 3, AG_ANTOM_KEY_REVOKED, 5);
    test_book_antom_key(t, 2, 1, AG_ANTOM_KEY_ACTIVE, 7);
}

static const struct {
    const char *row;
    unsigned profile; /* index */
    uint8_t spki;
    enum antag_err err;
} merchant_keys[] = {
    {"new", 0, 9, ANTAG_OK},
    {"active here", 0, 1, ANTAG_ERR_KEY_KNOWN},
    {"destroyed here", 0, 2, ANTAG_ERR_KEY_KNOWN},
    {"in another sandbox profile", 2, 1, ANTAG_OK},
    {"in sandbox, for live of the application", 1, 1, ANTAG_ERR_KEY_KNOWN},
    {"in sandbox, for another live", 3, 1, ANTAG_ERR_KEY_KNOWN},
    {"destroyed in sandbox, for live", 3, 2, ANTAG_ERR_KEY_KNOWN},
    {"in live, for sandbox", 2, 6, ANTAG_ERR_KEY_KNOWN},
    {"in live, for another live", 1, 6, ANTAG_OK},
    {"an Antom key of this profile", 0, 3, ANTAG_ERR_KEY_KNOWN},
    {"a revoked Antom key", 2, 5, ANTAG_ERR_KEY_KNOWN},
};

static void test_merchant_keys(void)
{
    struct test_book t;
    char warning[AG_WARNING_MAX];

    fill(&t);
    for (size_t i = 0; i < ROW_COUNT(merchant_keys); i++) {
        uint8_t spki[] = {0x30, 2, 5, merchant_keys[i].spki};

        ROW_ASSERT(merchant_keys[i].row,
                   ag_rule_merchant_key(&t.book, &t.profiles[merchant_keys[i].profile],
                                        (struct antag_slice){spki, 4},
                                        NULL) == merchant_keys[i].err);
    }
    ag_rule_shared_key_warning(&t.book, &t.keys[0], warning);
    CU_ASSERT_STRING_EQUAL(warning, "");
    test_book_key(&t, 3, 4, AG_KEY_STAGED, 1);
    ag_rule_shared_key_warning(&t.book, &t.keys[0], warning);
    CU_ASSERT_STRING_EQUAL(warning, "the same key stands in pay/sandbox version 4");
}

static void test_warning_is_cut(void)
{
    struct test_book t;
    char warning[AG_WARNING_MAX];

    test_book_init(&t);
    for (unsigned i = 0; i < BOOK_ROWS; i++)
        test_book_key(&t, i == 0 ? 1 : 3, i + 4294967000u, AG_KEY_STAGED, 1);
    ag_rule_shared_key_warning(&t.book, &t.keys[0], warning);
    CU_ASSERT(strlen(warning) < AG_WARNING_MAX && strlen(warning) > 100);
}

static const struct {
    const char *row;
    unsigned profile;
    uint8_t spki;
    bool same;
    enum antag_err err;
    const char *warning; /* part of it; NULL: none */
} antom_keys[] = {
    {"new", 0, 9, false, ANTAG_OK, NULL},
    {"our own, here", 0, 1, false, ANTAG_ERR_KEY_IS_OURS, NULL},
    {"our own, elsewhere", 0, 6, true, ANTAG_ERR_KEY_IS_OURS, NULL},
    {"our own, destroyed", 3, 2, false, ANTAG_ERR_KEY_IS_OURS, NULL},
    {"active here", 0, 3, false, ANTAG_ERR_KEY_KNOWN, NULL},
    {"active here, said to be the same", 0, 3, true, ANTAG_ERR_KEY_KNOWN, NULL},
    {"retiring here", 0, 4, false, ANTAG_OK, NULL},
    {"revoked here", 0, 5, false, ANTAG_OK, "revoked"},
    {"of the other environment", 1, 3, false, ANTAG_ERR_KEY_OTHER_ENVIRONMENT, NULL},
    {"of the other environment, said", 1, 3, true, ANTAG_OK, "shop/sandbox"},
    {"of the other environment, revoked", 1, 5, false, ANTAG_ERR_KEY_OTHER_ENVIRONMENT, NULL},
    {"of live, for sandbox", 0, 7, false, ANTAG_ERR_KEY_OTHER_ENVIRONMENT, NULL},
    {"of another application", 2, 3, false, ANTAG_OK, NULL},
    {"of another application's other environment", 3, 3, false, ANTAG_OK, NULL},
};

static void test_antom_keys(void)
{
    struct test_book t;

    fill(&t);
    for (size_t i = 0; i < ROW_COUNT(antom_keys); i++) {
        uint8_t spki[] = {0x30, 2, 5, antom_keys[i].spki};
        char warning[AG_WARNING_MAX];
        enum antag_err err =
            ag_rule_antom_key(&t.book, &t.profiles[antom_keys[i].profile],
                              (struct antag_slice){spki, 4}, antom_keys[i].same, warning, NULL);

        ROW_ASSERT(antom_keys[i].row, err == antom_keys[i].err);
        if (antom_keys[i].warning == NULL)
            ROW_ASSERT(antom_keys[i].row, warning[0] == '\0');
        else
            ROW_ASSERT(antom_keys[i].row, strstr(warning, antom_keys[i].warning) != NULL);
    }
}

static void test_sandbox_looks(void)
{
    static const struct {
        const char *gateway, *notify;
        bool odd;
    } rows[] = {
        {"https://open-sea-global.alipay.com", "https://shop.example/n", false},
        {"https://sandbox.alipay.com", "https://shop.example/n", true},
        {"https://gw.example", "https://shop.example/Sandbox/n", true},
        {"https://gw.example", "http://localhost:8080/n", true},
        {"https://gw.example", "http://shop.example/n", true},
        {"", "", false},
    };
    struct test_book t;
    char found[AG_WARNING_MAX];

    test_book_init(&t);
    for (size_t i = 0; i < ROW_COUNT(rows); i++)
        for (unsigned env = 0; env < 2; env++) {
            struct ag_row_profile *p = &t.profiles[env];

            snprintf(p->gateway, sizeof p->gateway, "%s", rows[i].gateway);
            snprintf(p->notify_url, sizeof p->notify_url, "%s", rows[i].notify);
            ag_rule_sandbox_looks(p, found);
            ROW_ASSERT(rows[i].notify, (found[0] != '\0') == (env == 1 && rows[i].odd));
        }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"names of applications", test_app_names},
        {"letters", test_letters},
        {"roles", test_roles},
        {"gateways", test_gateways},
        {"notification URLs", test_notify_urls},
        {"lines and units", test_lines_and_units},
        {"client ids", test_client_ids},
        {"merchant keys", test_merchant_keys},
        {"a long warning is cut", test_warning_is_cut},
        {"Antom keys", test_antom_keys},
        {"sandbox settings in live", test_sandbox_looks},
        CU_TEST_INFO_NULL,
    };

    return run_tests("steward_rules", tests);
}
