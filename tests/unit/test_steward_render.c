/* Results as maps: which keys stand there, and which only when there is something to say. */
#include <stdlib.h>

#include "agent/steward/render.h"
#include "proto/message.h"
#include "proto/params.h"
#include "tests/support/books.h"
#include "tests/support/rows.h"

#define HOUR_MS (3600 * INT64_C(1000))

/* one map, written and decoded again */
struct map {
    struct antag_writer w;
    struct antag_decoder d;
    struct antag_message m;
};

static void map_open(struct map *m)
{
    antag_writer_init(&m->w, 65536);
    CU_ASSERT_EQUAL_FATAL(antag_decoder_init(&m->d), ANTAG_OK);
    antag_m_answer(&m->w, 1);
}

static const msgpack_object *map_read(struct map *m)
{
    struct antag_slice bytes;

    antag_m_close(&m->w);
    CU_ASSERT_EQUAL_FATAL(antag_writer_end(&m->w, &bytes), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(antag_message_parse(&m->d, bytes, &m->m, NULL), ANTAG_OK);
    return &m->m.result;
}

static void map_fini(struct map *m)
{
    antag_decoder_fini(&m->d);
    antag_writer_fini(&m->w);
}

static bool text_is(const msgpack_object *o, const char *key, const char *text)
{
    char found[512];

    return antag_object_text(o, key, found, sizeof found) && strcmp(found, text) == 0;
}

static struct ag_life life_now(void)
{
    struct ag_conf conf;
    struct ag_life l;

    ag_conf_default(&conf);
    ag_life_init(&l, &conf, 1000000, HOUR_MS);
    return l;
}

static void test_key(void)
{
    struct ag_life l = life_now();
    const msgpack_object *o;
    struct test_book t;
    struct map m;
    int64_t until = 0;
    char print[128];

    test_book_init(&t);
    test_book_key(&t, 1, 3, AG_KEY_RETIRING, 1)->imported = true;
    map_open(&m);
    ag_render_key(&m.w, &t.book, &l, &t.keys[0], true, NULL);
    o = map_read(&m);
    CU_ASSERT_TRUE(text_is(o, "profile", "shop/sandbox"));
    CU_ASSERT_TRUE(text_is(o, "state", "retiring"));
    CU_ASSERT_TRUE(text_is(o, "origin", "imported"));
    CU_ASSERT_TRUE(text_is(o, "who", "agent"));
    CU_ASSERT_TRUE(antag_object_int(o, "until_ms", &until));
    CU_ASSERT_EQUAL(until, 1000000 + 23 * HOUR_MS);
    CU_ASSERT_TRUE(antag_object_text(o, "fingerprint", print, sizeof print) && strlen(print) == 64);
    CU_ASSERT_PTR_NULL(antag_object_get(o, "reason"));
    CU_ASSERT_PTR_NULL(antag_object_get(o, "warning"));
    CU_ASSERT_PTR_NULL(antag_object_get(o, "public_key"));
    CU_ASSERT_PTR_NULL(antag_object_get(o, "sealed"));
    map_fini(&m);
}

static void test_profile(void)
{
    const msgpack_object *o, *missing;
    struct test_book t;
    uint64_t version;
    struct map m;

    test_book_init(&t);
    map_open(&m);
    ag_render_profile(&m.w, &t.book, &t.profiles[1]);
    o = map_read(&m);
    missing = antag_object_get(o, "missing");
    CU_ASSERT_PTR_NOT_NULL_FATAL(missing);
    CU_ASSERT_EQUAL(missing->via.array.size, 4);
    CU_ASSERT_PTR_NULL(antag_object_get(o, "active_version"));
    CU_ASSERT_PTR_NULL(antag_object_get(o, "antom_version"));
    CU_ASSERT_TRUE(text_is(o, "client_id", ""));
    map_fini(&m);
    test_book_key(&t, 2, 5, AG_KEY_ACTIVE, 1);
    test_book_antom_key(&t, 2, 6, AG_ANTOM_KEY_ACTIVE, 2);
    map_open(&m);
    ag_render_profile(&m.w, &t.book, &t.profiles[1]);
    o = map_read(&m);
    CU_ASSERT_TRUE(antag_object_uint(o, "active_version", &version) && version == 5);
    CU_ASSERT_TRUE(antag_object_uint(o, "antom_version", &version) && version == 6);
    map_fini(&m);
}

static void test_app_lines(void)
{
    const msgpack_object *o, *list;
    struct test_book t;
    struct map m;

    test_book_init(&t);
    snprintf(t.apps[0].scenarios, sizeof t.apps[0].scenarios, "one\ntwo words\n");
    map_open(&m);
    ag_render_app(&m.w, &t.book, &t.apps[0]);
    o = map_read(&m);
    list = antag_object_get(o, "scenarios");
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    CU_ASSERT_EQUAL(list->via.array.size, 2);
    list = antag_object_get(o, "profiles");
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    CU_ASSERT_EQUAL_FATAL(list->via.array.size, 2);
    CU_ASSERT_TRUE(text_is(&list->via.array.ptr[1], "profile", "shop/live"));
    map_fini(&m);
}

static const struct {
    const char *row;
    struct ag_grant grant;
    const char *has;
} grants[] = {
    {"uid", {.who = AG_WHO_UID, .number = 0}, "uid"},
    {"gid", {.who = AG_WHO_GID, .number = 7}, "gid"},
    {"unit", {.who = AG_WHO_UNIT, .unit = "shop.service"}, "unit"},
};

static void test_grants(void)
{
    static const char *const all[] = {"uid", "gid", "unit"};

    for (size_t i = 0; i < ROW_COUNT(grants); i++) {
        struct ag_grant g = grants[i].grant;
        const msgpack_object *o, *ops;
        struct test_book t;
        struct map m;

        test_book_init(&t);
        g.profile_id = 1;
        g.ops = AG_OP_SIGN | AG_OP_EXPLAIN;
        map_open(&m);
        ag_render_grant(&m.w, &t.book, &g);
        o = map_read(&m);
        for (size_t k = 0; k < 3; k++)
            ROW_ASSERT(grants[i].row, (antag_object_get(o, all[k]) != NULL) ==
                                          (strcmp(all[k], grants[i].has) == 0));
        ops = antag_object_get(o, "ops");
        ROW_ASSERT(grants[i].row, ops != NULL && ops->via.array.size == 2);
        map_fini(&m);
    }
}

static void test_public(void)
{
    uint8_t spki[ANTAG_SPKI_MAX + 1];
    char text[AG_PUBLIC_TEXT_MAX];

    memset(spki, 0, sizeof spki);
    CU_ASSERT_EQUAL(ag_render_public((struct antag_slice){spki, 3}, false, text), ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(text, "AAAA");
    CU_ASSERT_EQUAL(ag_render_public((struct antag_slice){spki, 49}, true, text), ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(text,
                           "-----BEGIN PUBLIC KEY-----\n"
                           "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"
                           "AA==\n"
                           "-----END PUBLIC KEY-----\n");
    CU_ASSERT_EQUAL(ag_render_public((struct antag_slice){spki, ANTAG_SPKI_MAX}, true, text),
                    ANTAG_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "-----END PUBLIC KEY-----\n"));
    CU_ASSERT_EQUAL(ag_render_public((struct antag_slice){spki, ANTAG_SPKI_MAX + 1}, true, text),
                    ANTAG_ERR_INTERNAL);
    CU_ASSERT_EQUAL(ag_render_public((struct antag_slice){spki, 0}, false, text),
                    ANTAG_ERR_INTERNAL);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"key", test_key},
        {"profile", test_profile},
        {"lines of an application", test_app_lines},
        {"grants", test_grants},
        {"public halves", test_public},
        CU_TEST_INFO_NULL,
    };

    return run_tests("steward_render", tests);
}
