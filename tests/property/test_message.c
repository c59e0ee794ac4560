/* Random messages: what the writer writes, the checker takes and the decoder reads back the same;
 * what is damaged is refused or read as something else, and never read behind its end. */
#include <string.h>

#include "proto/agent_methods.h"
#include "proto/check.h"
#include "proto/message.h"
#include "tests/support/dice.h"
#include "tests/support/rows.h"

#define ROUNDS    3000
#define BYTES_MAX 300

static struct antag_decoder decoder;

/* ---- a random value, written and remembered as the object it should become */

struct pool {
    msgpack_object objects[512];
    msgpack_object_kv pairs[256];
    uint8_t bytes[64 * 1024];
    size_t object_count, pair_count, byte_count;
};
static struct pool pool;

static uint64_t any_uint(void)
{
    return dice() >> dice_below(64);
}

static void make_bytes(msgpack_object *o, struct antag_writer *w, bool bin)
{
    size_t len = dice_below(4) == 0 ? dice_below(BYTES_MAX) : dice_below(8);
    uint8_t *p = pool.bytes + pool.byte_count;
    struct antag_slice s = {p, len};

    pool.byte_count += len;
    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)dice();
    if (bin) {
        antag_w_bin(w, s);
        o->type = MSGPACK_OBJECT_BIN;
        o->via.bin.ptr = (const char *)p;
        o->via.bin.size = (uint32_t)len;
    } else {
        antag_w_strn(w, s);
        o->type = MSGPACK_OBJECT_STR;
        o->via.str.ptr = (const char *)p;
        o->via.str.size = (uint32_t)len;
    }
}

static void make_number(msgpack_object *o, struct antag_writer *w)
{
    int64_t v = (int64_t)any_uint();

    if (dice_below(2) == 0)
        v = -1 - (int64_t)(any_uint() >> 1);
    if (v < 0) {
        antag_w_int(w, v);
        o->type = MSGPACK_OBJECT_NEGATIVE_INTEGER;
        o->via.i64 = v;
    } else {
        antag_w_uint(w, (uint64_t)v);
        o->type = MSGPACK_OBJECT_POSITIVE_INTEGER;
        o->via.u64 = (uint64_t)v;
    }
}

static void make_small(msgpack_object *o, struct antag_writer *w)
{
    switch (dice_below(3)) {
    case 0:
        antag_w_nil(w);
        o->type = MSGPACK_OBJECT_NIL;
        break;
    case 1:
        o->type = MSGPACK_OBJECT_BOOLEAN;
        o->via.boolean = dice_below(2) == 1;
        antag_w_bool(w, o->via.boolean);
        break;
    default:
        o->type = MSGPACK_OBJECT_FLOAT64;
        o->via.f64 = (double)(int64_t)dice() / 3;
        antag_w_double(w, o->via.f64);
    }
}

static void make_value(msgpack_object *o, struct antag_writer *w, unsigned depth);

/* Recursion ends at `depth`. A full pool makes small values only. */
static void make_container(msgpack_object *o, struct antag_writer *w, unsigned depth, bool is_map)
{
    size_t n = dice_below(6);

    if (is_map) {
        o->type = MSGPACK_OBJECT_MAP;
        o->via.map.ptr = pool.pairs + pool.pair_count;
        o->via.map.size = (uint32_t)n;
        pool.pair_count += n;
        antag_w_map(w);
        for (size_t i = 0; i < n; i++) {
            make_value(&o->via.map.ptr[i].key, w, depth);
            make_value(&o->via.map.ptr[i].val, w, depth);
        }
    } else {
        o->type = MSGPACK_OBJECT_ARRAY;
        o->via.array.ptr = pool.objects + pool.object_count;
        o->via.array.size = (uint32_t)n;
        pool.object_count += n;
        antag_w_array(w);
        for (size_t i = 0; i < n; i++)
            make_value(&o->via.array.ptr[i], w, depth);
    }
    antag_w_end(w);
}

static void make_value(msgpack_object *o, struct antag_writer *w, unsigned depth)
{
    bool room = depth > 0 && pool.object_count + 6 < ROW_COUNT(pool.objects) &&
                pool.pair_count + 6 < ROW_COUNT(pool.pairs) &&
                pool.byte_count + BYTES_MAX < sizeof pool.bytes;
    size_t kind = dice_below(room ? 6 : 2);

    if (kind == 0)
        make_small(o, w);
    else if (kind == 1)
        make_number(o, w);
    else if (kind <= 3)
        make_bytes(o, w, kind == 2);
    else
        make_container(o, w, depth - 1, kind == 4);
}

/* ---- properties */

static void test_render_parse(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t id = (uint32_t)(dice() & ANTAG_ID_MAX);
        msgpack_object made = {.type = MSGPACK_OBJECT_NIL};
        struct antag_message m;
        struct antag_writer w;
        struct antag_slice out;

        memset(&pool, 0, sizeof pool);
        antag_writer_init(&w, ANTAG_FRAME_MAX);
        antag_m_answer(&w, id);
        make_value(&made, &w, ANTAG_DEPTH_MAX - 1);
        antag_m_close(&w);
        CU_ASSERT_EQUAL_FATAL(antag_writer_end(&w, &out), ANTAG_OK);
        CU_ASSERT_EQUAL_FATAL(antag_message_parse(&decoder, out, &m, NULL), ANTAG_OK);
        CU_ASSERT(m.shape == ANTAG_ANSWER && m.has_id && m.id == id && !m.failed);
        CU_ASSERT(msgpack_object_equal(m.result, made));
        antag_writer_fini(&w);
    }
}

static void test_prefixes_and_damage(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        msgpack_object made = {.type = MSGPACK_OBJECT_NIL};
        struct antag_message m;
        struct antag_writer w;
        struct antag_slice out, cut;
        uint8_t *copy;

        memset(&pool, 0, sizeof pool);
        antag_writer_init(&w, ANTAG_FRAME_MAX);
        antag_m_request(&w, 1, "sign_request");
        antag_w_map(&w);
        antag_w_key(&w, "body");
        make_value(&made, &w, ANTAG_DEPTH_MAX - 2);
        antag_w_end(&w);
        antag_m_close(&w);
        CU_ASSERT_EQUAL_FATAL(antag_writer_end(&w, &out), ANTAG_OK);
        CU_ASSERT_EQUAL(antag_message_parse(&decoder, out, &m, NULL), ANTAG_OK);

        copy = malloc(out.len); /* exactly as large, for the sanitizers */
        CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
        cut = (struct antag_slice){copy, dice_below(out.len)};
        memcpy(copy, out.p, out.len);
        CU_ASSERT_EQUAL(antag_message_parse(&decoder, cut, &m, NULL), ANTAG_ERR_BAD_FRAME);
        for (size_t k = dice_below(4) + 1; k > 0; k--)
            copy[dice_below(out.len)] = (uint8_t)dice();
        if (antag_message_parse(&decoder, (struct antag_slice){copy, out.len}, &m, NULL) ==
            ANTAG_OK)
            CU_ASSERT(m.shape == ANTAG_ANSWER || m.params.type == MSGPACK_OBJECT_MAP);
        free(copy);
        antag_writer_fini(&w);
    }
}

/* Any text in a fault survives the wire, and only printable ASCII arrives. */
static void test_faults(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        char raw[800], field[100];
        size_t len = dice_below(sizeof raw), field_len = dice_below(sizeof field);
        struct antag_fault f;
        struct antag_message m;
        struct antag_writer w;
        struct antag_slice out;

        for (size_t k = 0; k < len; k++)
            raw[k] = (char)(dice_below(3) == 0 ? dice() : 'a' + dice_below(26));
        for (size_t k = 0; k < field_len; k++)
            field[k] = (char)dice();
        raw[len] = '\0';
        field[field_len] = '\0';
        (void)antag_fault_set(&f, (enum antag_err)(1 + dice_below(700)), field, "%s", raw);
        for (const char *c = f.text; *c != '\0'; c++)
            CU_ASSERT(*c >= ' ' && *c <= '~');
        antag_writer_init(&w, ANTAG_FRAME_MAX);
        antag_m_failure(&w, true, 1, &f);
        CU_ASSERT_EQUAL_FATAL(antag_writer_end(&w, &out), ANTAG_OK);
        CU_ASSERT_EQUAL_FATAL(antag_message_parse(&decoder, out, &m, NULL), ANTAG_OK);
        CU_ASSERT(m.failed && m.fault.err == f.err);
        CU_ASSERT_STRING_EQUAL(antag_fault_text(&m.fault), antag_fault_text(&f));
        CU_ASSERT_STRING_EQUAL(m.fault.field, f.field);
        antag_writer_fini(&w);
    }
}

/* Params in any order, as str or bin, with keys left out: read back as they were meant. */
static void test_params_in_any_order(void)
{
    enum antag_agent_method which;
    const struct antag_params *spec =
        &antag_agent_method(antag_slice_of("sign_request"), &which)->params;
    static const uint8_t text[] = "sixteen letters!";

    for (int i = 0; i < ROUNDS; i++) {
        size_t order[16], lens[16], given = spec->count;
        struct antag_sign_params p;
        struct antag_message m;
        struct antag_writer w;
        struct antag_slice out;

        for (size_t k = 0; k < given; k++) {
            order[k] = k;
            lens[k] = 1 + dice_below(ANTAG_METHOD_MAX);
        }
        for (size_t k = given; k > 1; k--) {
            size_t other = dice_below(k), t = order[k - 1];

            order[k - 1] = order[other];
            order[other] = t;
        }
        antag_writer_init(&w, ANTAG_FRAME_MAX);
        antag_m_request(&w, 1, "sign_request");
        antag_w_map(&w);
        for (size_t k = 0; k < given; k++) {
            const struct antag_field *f = &spec->fields[order[k]];
            struct antag_slice name = antag_slice_of(f->name), v = {text, lens[order[k]]};

            dice_below(2) ? antag_w_strn(&w, name) : antag_w_bin(&w, name);
            if (f->kind == ANTAG_K_UINT)
                antag_w_uint(&w, lens[order[k]]);
            else
                dice_below(2) ? antag_w_strn(&w, v) : antag_w_bin(&w, v);
        }
        antag_w_end(&w);
        antag_m_close(&w);
        CU_ASSERT_EQUAL_FATAL(antag_writer_end(&w, &out), ANTAG_OK);
        CU_ASSERT_EQUAL_FATAL(antag_message_parse(&decoder, out, &m, NULL), ANTAG_OK);
        CU_ASSERT_EQUAL(antag_params_parse(spec, false, &m.params, &p, NULL), ANTAG_OK);
        CU_ASSERT(p.profile.set && p.profile.v.len == lens[0]);
        CU_ASSERT(p.method.set && p.method.v.len == lens[1]);
        CU_ASSERT(p.deadline_ms.set && p.deadline_ms.v == lens[given - 1]);
        antag_writer_fini(&w);
    }
}

int main(int argc, char **argv)
{
    CU_TestInfo tests[] = {
        {"render, then parse", test_render_parse},
        {"prefixes and damage", test_prefixes_and_damage},
        {"faults", test_faults},
        {"params in any order", test_params_in_any_order},
        CU_TEST_INFO_NULL,
    };
    int status;

    dice_seed(argc, argv);
    if (antag_decoder_init(&decoder) != ANTAG_OK)
        return 1;
    status = run_tests("message (property)", tests);
    antag_decoder_fini(&decoder);
    return status;
}
