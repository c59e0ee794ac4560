/* What a rotation passes between roles: probes to keepers, calls to the courier and what they brought back, failures from
 * the front. Each takes its own keys, all of them, and no other. */
#include <string.h>

#include "agent/lib/edges/failures.h"
#include "agent/lib/edges/fetching.h"
#include "agent/lib/edges/keyring.h"
#include "tests/support/repack.h"
#include "tests/support/rows.h"

static const uint8_t signature[ANTAG_SIG_MAX] = {1};

static void write_probe(struct antag_writer *w)
{
    struct ag_keyring_probe p = {.id = {.handle = 7, .profile_id = 9, .env = 1, .version = 3},
                                 .profile = antag_slice_of("shop/live"),
                                 .client_id = antag_slice_of("5Y1"),
                                 .time = antag_slice_of("1700000000000"),
                                 .probe = antag_slice_of("0123456789abcdef")};

    ag_keyring_probe_write(w, &p);
}

static enum antag_err parse_probe(const msgpack_object *o)
{
    struct ag_keyring_probe p;
    enum antag_err err = ag_keyring_probe_parse(o, &p, NULL);

    if (err == ANTAG_OK)
        CU_ASSERT(p.id.handle == 7 && p.id.profile_id == 9 && p.id.env == 1 && p.id.version == 3 &&
                  antag_slice_is(p.client_id, "5Y1") && antag_slice_is(p.time, "1700000000000") &&
                  antag_slice_is(p.profile, "shop/live") &&
                  antag_slice_is(p.probe, "0123456789abcdef"));
    return err;
}

static void write_signature(struct antag_writer *w)
{
    ag_keyring_signature_write(w, (struct antag_slice){signature, sizeof signature});
}

/* A result: a later keeper may say more. */
static enum antag_err parse_signature(const msgpack_object *o)
{
    struct antag_slice s = {NULL, 0};
    enum antag_err err = ag_keyring_signature_parse(o, &s);

    if (err == ANTAG_OK)
        CU_ASSERT(s.len == sizeof signature && memcmp(s.p, signature, s.len) == 0);
    return err;
}

static void write_fetching(struct antag_writer *w)
{
    struct ag_fetching f = {.gateway = antag_slice_of("https://gw"),
                            .uri = antag_slice_of("/a"),
                            .client_id = antag_slice_of("5Y1"),
                            .time = antag_slice_of("1"),
                            .signature = antag_slice_of("s"),
                            .body = antag_slice_of("{}")};

    ag_fetching_write(w, &f);
}

static enum antag_err parse_fetching(const msgpack_object *o)
{
    struct ag_fetching f;
    enum antag_err err = ag_fetching_parse(o, &f, NULL);

    if (err == ANTAG_OK)
        CU_ASSERT(antag_slice_is(f.gateway, "https://gw") && antag_slice_is(f.uri, "/a") &&
                  antag_slice_is(f.signature, "s") && antag_slice_is(f.body, "{}"));
    return err;
}

static void write_fetched(struct antag_writer *w)
{
    struct ag_fetched f = {.status = 200,
                           .client_id = antag_slice_of("5Y1"),
                           .time = antag_slice_of(""),
                           .signature = antag_slice_of("\xff"),
                           .body = antag_slice_of("{}")};

    ag_fetched_write(w, &f);
}

static enum antag_err parse_fetched(const msgpack_object *o)
{
    struct ag_fetched f;
    enum antag_err err = ag_fetched_parse(o, &f, NULL);

    if (err == ANTAG_OK)
        CU_ASSERT(f.status == 200 && antag_slice_is(f.client_id, "5Y1") && f.time.len == 0 &&
                  antag_slice_is(f.signature, "\xff") && antag_slice_is(f.body, "{}"));
    return err;
}

static void write_failure(struct antag_writer *w)
{
    struct ag_failure one = {.profile_id = 4, .version = 2, .count = 3, .last_ms = 99};

    ag_failure_write(w, &one);
}

static enum antag_err parse_failure(const msgpack_object *o)
{
    struct ag_failure one;
    enum antag_err err = ag_failure_parse(o, &one, NULL);

    if (err == ANTAG_OK)
        CU_ASSERT(one.profile_id == 4 && one.version == 2 && one.count == 3 && one.last_ms == 99);
    return err;
}

static const struct edge {
    const char *name;
    void (*write)(struct antag_writer *w);
    enum antag_err (*parse)(const msgpack_object *o);
} edges[] = {
    {"probe", write_probe, parse_probe},          {"signature", write_signature, parse_signature},
    {"fetching", write_fetching, parse_fetching}, {"fetched", write_fetched, parse_fetched},
    {"failure", write_failure, parse_failure},
};

static void test_forms(void)
{
    for (size_t i = 0; i < ROW_COUNT(edges); i++) {
        struct antag_writer w;
        msgpack_unpacked u;
        msgpack_object o;

        antag_writer_init(&w, 65536);
        edges[i].write(&w);
        o = repack_read(&w, &u);
        ROW_ASSERT(edges[i].name, edges[i].parse(&o) == ANTAG_OK);
        for (size_t at = 0; at < o.via.map.size; at++)
            for (int change = 0; change < REPACK_CHANGES; change++) {
                msgpack_object_kv pairs[REPACK_PAIRS];
                msgpack_object bad = repack_change(o, at, (enum repack_change)change, pairs);

                ROW_ASSERT(edges[i].name, edges[i].parse(&bad) == ANTAG_ERR_BAD_PARAM);
            }
        msgpack_unpacked_destroy(&u);
        antag_writer_fini(&w);
    }
}

static void test_values(void)
{
    struct ag_keyring_probe p = {.id = {.handle = 7, .profile_id = 9, .env = 1, .version = 3},
                                 .profile = antag_slice_of("shop/live"),
                                 .client_id = antag_slice_of("5Y1"),
                                 .time = antag_slice_of("1"),
                                 .probe = antag_slice_of("01234567\"}")};
    struct ag_fetching f = {.gateway = antag_slice_of("https://gw"),
                            .uri = antag_slice_of("a"),
                            .client_id = antag_slice_of("5Y1"),
                            .time = antag_slice_of("1"),
                            .signature = antag_slice_of("s"),
                            .body = antag_slice_of("{}")};
    struct antag_writer w;
    msgpack_unpacked u;
    msgpack_object o;

    antag_writer_init(&w, 4096);
    ag_keyring_probe_write(&w, &p);
    o = repack_read(&w, &u);
    CU_ASSERT_EQUAL(parse_probe(&o),
                    ANTAG_ERR_BAD_PARAM); /* it would leave its place in the body */
    msgpack_unpacked_destroy(&u);
    antag_writer_reset(&w);
    ag_fetching_write(&w, &f);
    o = repack_read(&w, &u);
    CU_ASSERT_EQUAL(parse_fetching(&o),
                    ANTAG_ERR_BAD_PARAM); /* it would be a part of the host's name */
    msgpack_unpacked_destroy(&u);
    antag_writer_fini(&w);
}

static void test_failures(void)
{
    static struct ag_failures f;
    struct ag_failure one = {.profile_id = 1, .version = 1, .count = 2, .last_ms = 5};

    ag_failures_add(&f, &one);
    one.last_ms = 6;
    ag_failures_add(&f, &one);
    CU_ASSERT(f.count == 1 && f.v[0].count == 4 && f.v[0].last_ms == 6);
    for (uint32_t v = 2; v < AG_FAILURES_MAX + 2; v++) {
        one.version = v;
        ag_failures_add(&f, &one);
    }
    CU_ASSERT(f.count == AG_FAILURES_MAX && f.v[0].version == 2);
    CU_ASSERT(f.v[AG_FAILURES_MAX - 1].version == AG_FAILURES_MAX + 1);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"forms", test_forms},
        {"values", test_values},
        {"failures", test_failures},
        CU_TEST_INFO_NULL,
    };

    return run_tests("rotation_edges", tests);
}
