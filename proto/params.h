/* params: from a MessagePack map to a struct, by a table. One reader for every method of every socket
 * and between roles, so that strictness is written once: an unknown key, a key given twice, a wrong
 * type, a missing key, a value out of bounds are each refused by the key's name. */
#ifndef ANTAG_PROTO_PARAMS_H
#define ANTAG_PROTO_PARAMS_H

#include <msgpack.h>

#include "antag/status.h"
#include "antag/types.h"

enum antag_kind {
    ANTAG_K_TEXT,  /* struct antag_opt_slice; str or bin; min..max bytes; no NUL, valid UTF-8 */
    ANTAG_K_BYTES, /* struct antag_opt_slice; str or bin; min..max bytes, any content */
    ANTAG_K_UINT,  /* struct antag_opt_uint; min..max */
    ANTAG_K_INT,   /* struct antag_opt_int; integer of either sign within int64 */
    ANTAG_K_BOOL,  /* struct antag_opt_bool */
    ANTAG_K_TEXTS, /* struct antag_opt_value; an array of min..max texts of at most `each` bytes */
    ANTAG_K_MAP,   /* struct antag_opt_value; a map of at most `max` pairs (nil, []: empty) */
    ANTAG_K_ARRAY, /* struct antag_opt_value; an array of at most `max` values */
};

struct antag_opt_slice {
    bool set;
    struct antag_slice v;
};
struct antag_opt_uint {
    bool set;
    uint64_t v;
};
struct antag_opt_int {
    bool set;
    int64_t v;
};
struct antag_opt_bool {
    bool set;
    bool v;
};
struct antag_opt_value {
    bool set;
    msgpack_object v;
};

struct antag_field {
    const char *name;
    enum antag_kind kind;
    bool required;
    uint64_t min, max;
    uint64_t each;
    size_t offset; /* of the member in the params struct */
};

struct antag_params {
    const struct antag_field *fields;
    size_t count;
    size_t size; /* of the params struct, for the caller who allocates it */
};

/* Read `map` into `out` (zeroed first). A nil value counts as a key that was not given.
 * open: true for answers and events (unknown keys are skipped), false for requests.
 * errors: BAD_PARAM, field = the key. Views borrow from `map`. */
ANTAG_MUST_CHECK enum antag_err antag_params_parse(const struct antag_params *spec, bool open,
                                                   const msgpack_object *map, void *out,
                                                   struct antag_fault *fault);

/* And back: what is set, in the order of `spec`, as one map; the same bytes for the same content, whatever bytes it was
 * read from. Not for a spec that has MAP or ARRAY: those make the writer fail. */
struct antag_writer;
void antag_params_write(const struct antag_params *spec, const void *params,
                        struct antag_writer *w);

/* Does `map` give a parameter of `spec` twice? Asked after BAD_PARAM: a client that does this does not
 * know what it sends, so its connection is closed behind the answer. */
bool antag_params_has_twice(const struct antag_params *spec, const msgpack_object *map);

/* The bytes of a str or bin object; false for any other type. */
bool antag_object_slice(const msgpack_object *o, struct antag_slice *out);
/* Value of `key` in a map of an answer; NULL when absent or `map` is no map. */
const msgpack_object *antag_object_get(const msgpack_object *map, const char *key);
/* Likewise, as text (terminated copy; "" when absent or not text) and as integer. */
bool antag_object_text(const msgpack_object *map, const char *key, char *out, size_t size);
bool antag_object_uint(const msgpack_object *map, const char *key, uint64_t *out);
bool antag_object_int(const msgpack_object *map, const char *key, int64_t *out);
bool antag_object_bool(const msgpack_object *map, const char *key, bool *out);

#define ANTAG_FIELD(type, member, kind_, required_, min_, max_, each_)                             \
    {                                                                                              \
#member, ANTAG_K_##kind_, (required_), (min_), (max_), (each_), offsetof(type, member)     \
    }

#endif
