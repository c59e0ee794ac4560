/* What keepers and openers are told: each method takes its own keys, all of them, and no other. */
#include <string.h>

#include "agent/lib/edges/keyring.h"
#include "tests/support/repack.h"
#include "tests/support/rows.h"

static const uint8_t spki[ANTAG_SPKI_MAX] = {0x30};
static const uint8_t sealed[AG_SEALED_KEY_MAX] = {1};

static struct ag_keyring_params full(void)
{
    return (struct ag_keyring_params){
        .id = {.handle = UINT64_C(1) << 40, .profile_id = 9, .env = 1, .version = UINT32_MAX},
        .use = AG_USE_SIGN,
        .bits = 3072,
        .spki = {spki, sizeof spki},
        .sealed = {sealed, sizeof sealed},
    };
}

static const struct {
    const char *method;
    size_t keys;
    bool identity, use, bits, blobs;
} method_rows[] = {
    {"begin", 0, false, false, false, false},    {"load", 7, true, true, false, true},
    {"load_end", 0, false, false, false, false}, {"generate", 5, true, false, true, false},
    {"permit", 2, false, true, false, false},    {"stop", 1, false, false, false, false},
    {"forget", 1, false, false, false, false},   {"destroy", 1, false, false, false, false},
    {"check", 0, false, false, false, false},    {"import", 4, true, false, false, false},
    {"public", 0, false, false, false, false},
};

static void test_methods(void)
{
    for (size_t i = 0; i < ROW_COUNT(method_rows); i++) {
        const char *name = method_rows[i].method;
        struct ag_keyring_params in = full(), out;
        struct antag_fault fault = {0};
        struct antag_writer w;
        msgpack_unpacked u;
        msgpack_object o;

        antag_writer_init(&w, 65536);
        ag_keyring_params_write(&w, name, &in);
        o = repack_read(&w, &u);
        ROW_ASSERT(name, o.via.map.size == method_rows[i].keys);
        ROW_ASSERT(name,
                   ag_keyring_params_parse(antag_slice_of(name), &o, &out, &fault) == ANTAG_OK);
        ROW_ASSERT(name, out.id.handle == (method_rows[i].keys > 0 ? in.id.handle : 0));
        ROW_ASSERT(name, out.id.profile_id == (method_rows[i].identity ? 9 : 0));
        ROW_ASSERT(name, out.id.env == (method_rows[i].identity ? 1 : 0));
        ROW_ASSERT(name, out.id.version == (method_rows[i].identity ? UINT32_MAX : 0));
        ROW_ASSERT(name, out.use == (method_rows[i].use ? AG_USE_SIGN : AG_USE_NONE));
        ROW_ASSERT(name, out.bits == (method_rows[i].bits ? 3072 : 0));
        ROW_ASSERT(name, out.spki.len == (method_rows[i].blobs ? sizeof spki : 0));
        ROW_ASSERT(name, out.sealed.len == (method_rows[i].blobs ? sizeof sealed : 0));
        ROW_ASSERT(name, !method_rows[i].blobs || memcmp(out.sealed.p, sealed, sizeof sealed) == 0);
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
}

static void test_changed(void)
{
    for (size_t i = 0; i < ROW_COUNT(method_rows); i++) {
        struct ag_keyring_params in = full(), out, before;
        struct antag_writer w;
        msgpack_unpacked u;
        msgpack_object o;

        antag_writer_init(&w, 65536);
        ag_keyring_params_write(&w, method_rows[i].method, &in);
        o = repack_read(&w, &u);
        for (size_t at = 0; at < o.via.map.size; at++) {
            for (int change = 0; change < REPACK_CHANGES; change++) {
                msgpack_object_kv pairs[REPACK_PAIRS];
                msgpack_object bad = repack_change(o, at, (enum repack_change)change, pairs);
                char name[128];

                snprintf(name, sizeof name, "%s, key %zu, change %d", method_rows[i].method, at,
                         change);
                memset(&out, 0x55, sizeof out);
                before = out;
                ROW_ASSERT(name, ag_keyring_params_parse(antag_slice_of(method_rows[i].method),
                                                         &bad, &out, NULL) == ANTAG_ERR_BAD_PARAM);
                ROW_ASSERT(name, memcmp(&out, &before, sizeof out) == 0);
            }
        }
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
}

/* Params of each method given to each other one: taken only where the keys are the same. */
static void test_crossed(void)
{
    for (size_t i = 0; i < ROW_COUNT(method_rows); i++) {
        for (size_t k = 0; k < ROW_COUNT(method_rows); k++) {
            bool same = method_rows[i].keys == method_rows[k].keys;
            struct ag_keyring_params in = full(), out;
            enum antag_err err;
            struct antag_writer w;
            msgpack_unpacked u;
            msgpack_object o;
            char name[64];

            snprintf(name, sizeof name, "%s as %s", method_rows[i].method, method_rows[k].method);
            antag_writer_init(&w, 65536);
            ag_keyring_params_write(&w, method_rows[i].method, &in);
            o = repack_read(&w, &u);
            err = ag_keyring_params_parse(antag_slice_of(method_rows[k].method), &o, &out, NULL);
            ROW_ASSERT(name, err == (same ? ANTAG_OK : ANTAG_ERR_BAD_PARAM));
            msgpack_unpacked_destroy(&u);
            antag_writer_fini(&w);
        }
    }
}

static void handle_0(struct ag_keyring_params *p)
{
    p->id.handle = 0;
}
static void handle_64(struct ag_keyring_params *p)
{
    p->id.handle = UINT64_MAX;
}
static void profile_0(struct ag_keyring_params *p)
{
    p->id.profile_id = 0;
}
static void env_2(struct ag_keyring_params *p)
{
    p->id.env = 2;
}
static void version_0(struct ag_keyring_params *p)
{
    p->id.version = 0;
}
static void bits_1024(struct ag_keyring_params *p)
{
    p->bits = 1024;
}
static void bits_2049(struct ag_keyring_params *p)
{
    p->bits = 2049;
}
static void bits_5120(struct ag_keyring_params *p)
{
    p->bits = 5120;
}
static void use_3(struct ag_keyring_params *p)
{
    p->use = (enum ag_key_use)3;
}
static void no_spki(struct ag_keyring_params *p)
{
    p->spki.len = 0;
}
static void no_sealed(struct ag_keyring_params *p)
{
    p->sealed.len = 0;
}
static void short_sealed(struct ag_keyring_params *p)
{
    p->sealed.len = AG_SEAL_OVERHEAD;
}

static const struct {
    const char *name, *method;
    void (*spoil)(struct ag_keyring_params *p);
} value_rows[] = {
    {"handle 0", "stop", handle_0},
    {"handle 0", "load", handle_0},
    {"handle of 64 bits", "stop", handle_64},
    {"profile 0", "load", profile_0},
    {"environment 2", "import", env_2},
    {"version 0", "generate", version_0},
    {"1024 bits", "generate", bits_1024},
    {"2049 bits", "generate", bits_2049},
    {"5120 bits", "generate", bits_5120},
    {"unknown use", "permit", use_3},
    {"no public half", "load", no_spki},
    {"nothing sealed", "load", no_sealed},
    {"a seal without content", "load", short_sealed},
};

static void test_values(void)
{
    for (size_t i = 0; i < ROW_COUNT(value_rows); i++) {
        struct ag_keyring_params in = full(), out;
        struct antag_writer w;
        msgpack_unpacked u;
        msgpack_object o;

        value_rows[i].spoil(&in);
        antag_writer_init(&w, 65536);
        ag_keyring_params_write(&w, value_rows[i].method, &in);
        o = repack_read(&w, &u);
        ROW_ASSERT(value_rows[i].name,
                   ag_keyring_params_parse(antag_slice_of(value_rows[i].method), &o, &out, NULL) ==
                       ANTAG_ERR_BAD_PARAM);
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
}

static void test_unknown(void)
{
    static const char *const names[] = {"", "sign", "Load", "load ", "loa", "export"};
    msgpack_object map = {.type = MSGPACK_OBJECT_MAP};
    struct ag_keyring_params out;

    for (size_t i = 0; i < ROW_COUNT(names); i++)
        ROW_ASSERT(names[i], ag_keyring_params_parse(antag_slice_of(names[i]), &map, &out, NULL) ==
                                 ANTAG_ERR_UNKNOWN_METHOD);
    CU_ASSERT_STRING_EQUAL(ag_key_use_name(AG_USE_NONE), "none");
    CU_ASSERT_STRING_EQUAL(ag_key_use_name(AG_USE_PROBE), "probe");
    CU_ASSERT_STRING_EQUAL(ag_key_use_name(AG_USE_SIGN), "sign");
    CU_ASSERT_STRING_EQUAL(ag_key_use_name((enum ag_key_use)3), "unknown");
}

/* ---- results */

static const struct {
    const char *name;
    size_t spki_len, sealed_len;
    enum antag_err err;
} made_rows[] = {
    {"public half alone", 294, 0, ANTAG_OK},
    {"key", 294, 1200, ANTAG_OK},
    {"largest", ANTAG_SPKI_MAX, AG_SEALED_KEY_MAX, ANTAG_OK},
    {"no public half", 0, 1200, ANTAG_ERR_BAD_PARAM},
    {"a seal without content", 294, AG_SEAL_OVERHEAD, ANTAG_ERR_BAD_PARAM},
};

static void test_made(void)
{
    static struct ag_keyring_made in, out;
    struct antag_writer w;
    msgpack_unpacked u;
    msgpack_object o;

    for (size_t i = 0; i < ROW_COUNT(made_rows); i++) {
        in.spki_len = made_rows[i].spki_len;
        in.sealed_len = made_rows[i].sealed_len;
        memset(in.spki, 3, sizeof in.spki);
        memset(in.sealed, 4, sizeof in.sealed);
        memset(&out, 0x55, sizeof out);
        antag_writer_init(&w, 65536);
        ag_keyring_made_write(&w, &in);
        o = repack_read(&w, &u);
        ROW_ASSERT(made_rows[i].name, ag_keyring_made_parse(&o, &out) == made_rows[i].err);
        if (made_rows[i].err == ANTAG_OK) {
            ROW_ASSERT(made_rows[i].name, out.spki_len == in.spki_len);
            ROW_ASSERT(made_rows[i].name, out.sealed_len == in.sealed_len);
            ROW_ASSERT(made_rows[i].name, memcmp(out.spki, in.spki, in.spki_len) == 0);
            ROW_ASSERT(made_rows[i].name, memcmp(out.sealed, in.sealed, in.sealed_len) == 0);
        } else {
            ROW_ASSERT(made_rows[i].name, out.spki_len != in.spki_len); /* untouched */
        }
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
    antag_writer_init(&w, 65536);
    antag_w_map(&w);
    antag_w_kv_bin(&w, "spki", (struct antag_slice){sealed, ANTAG_SPKI_MAX + 1});
    antag_w_end(&w);
    o = repack_read(&w, &u);
    CU_ASSERT_EQUAL(ag_keyring_made_parse(&o, &out), ANTAG_ERR_BAD_PARAM);
    msgpack_unpacked_destroy(&u);
    antag_writer_fini(&w);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"each method is read back", test_methods},
        {"each key missing, nil, of another type, twice, renamed", test_changed},
        {"params of another method", test_crossed},
        {"values out of form", test_values},
        {"unknown methods", test_unknown},
        {"results", test_made},
        CU_TEST_INFO_NULL,
    };

    return run_tests("keyring_edge", tests);
}
