/* repack: what a writer wrote, decoded again, whole or with one pair changed. For tests of the edges
 * between roles, where a map must be refused when any key is missing, of another type, or one too many. */
#ifndef TESTS_SUPPORT_REPACK_H
#define TESTS_SUPPORT_REPACK_H

#include <msgpack.h>

#include "proto/writer.h"
#include "tests/support/rows.h"

#define REPACK_PAIRS 32

/* Decodes what `w` holds; `u` owns the memory (msgpack_unpacked_destroy). */
static inline msgpack_object repack_read(struct antag_writer *w, msgpack_unpacked *u)
{
    struct antag_slice bytes = {NULL, 0};
    size_t at = 0;

    msgpack_unpacked_init(u);
    CU_ASSERT_EQUAL_FATAL(antag_writer_end(w, &bytes), ANTAG_OK);
    CU_ASSERT_EQUAL_FATAL(msgpack_unpack_next(u, (const char *)bytes.p, bytes.len, &at),
                          MSGPACK_UNPACK_SUCCESS);
    CU_ASSERT_EQUAL_FATAL(at, bytes.len);
    return u->data;
}

enum repack_change { REPACK_DROP, REPACK_NIL, REPACK_WRONG_TYPE, REPACK_TWICE, REPACK_RENAME };
#define REPACK_CHANGES 5

/* `map` with one pair changed; `pairs` holds the copy. An array fits no key of these maps that is not one;
 * a boolean none that is not one: the one that is not there already is the wrong type. */
static inline msgpack_object repack_change(msgpack_object map, size_t at, enum repack_change change,
                                           msgpack_object_kv pairs[REPACK_PAIRS])
{
    msgpack_object out = map;
    size_t n = 0;

    CU_ASSERT_FATAL(map.type == MSGPACK_OBJECT_MAP && map.via.map.size < REPACK_PAIRS);
    for (size_t i = 0; i < map.via.map.size; i++) {
        msgpack_object_kv pair = map.via.map.ptr[i];

        if (i == at && change == REPACK_DROP)
            continue;
        if (i == at && change == REPACK_NIL)
            pair.val.type = MSGPACK_OBJECT_NIL;
        if (i == at && change == REPACK_WRONG_TYPE)
            pair.val.type = pair.val.type == MSGPACK_OBJECT_BOOLEAN
                                ? MSGPACK_OBJECT_POSITIVE_INTEGER
                                : MSGPACK_OBJECT_BOOLEAN;
        if (i == at && change == REPACK_RENAME)
            pair.key.via.str.size--; /* "handl": unknown, and the right one missing */
        pairs[n++] = pair;
        if (i == at && change == REPACK_TWICE)
            pairs[n++] = pair;
    }
    out.via.map.ptr = pairs;
    out.via.map.size = (uint32_t)n;
    return out;
}

#endif
