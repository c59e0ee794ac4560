/* writer: builds MessagePack into one buffer that grows up to a maximum. Used for every message on
 * sockets and between roles, but not for secrets (those go as `ag_secret`, see agent/lib/secret.h).
 *
 * Errors are sticky: after one, all calls do nothing, and antag_writer_end() tells. So a message is
 * written line by line without a check at each. Maps and arrays are opened and closed, their counts
 * are filled in on closing (map16/array16 heads, 65,535 entries at most). */
#ifndef ANTAG_PROTO_WRITER_H
#define ANTAG_PROTO_WRITER_H

#include "antag/status.h"
#include "antag/types.h"

#define ANTAG_WRITER_DEPTH 12

struct antag_writer {
    uint8_t *p; /* owned */
    size_t len, cap, max;
    enum antag_err err;
    unsigned depth;
    struct {
        size_t at;      /* offset of the head */
        uint32_t count; /* entries so far: values in an array, pairs in a map */
        bool is_map, half;
    } open[ANTAG_WRITER_DEPTH];
};

void antag_writer_init(struct antag_writer *w, size_t max);
void antag_writer_fini(struct antag_writer *w);  /* NULL accepted */
void antag_writer_reset(struct antag_writer *w); /* empties, keeps the buffer, clears the error */

void antag_w_nil(struct antag_writer *w);
void antag_w_bool(struct antag_writer *w, bool v);
void antag_w_uint(struct antag_writer *w, uint64_t v);
void antag_w_int(struct antag_writer *w, int64_t v);
void antag_w_double(struct antag_writer *w, double v);
void antag_w_str(struct antag_writer *w, const char *text); /* NULL writes nil */
void antag_w_strn(struct antag_writer *w, struct antag_slice s);
void antag_w_bin(struct antag_writer *w, struct antag_slice s);
void antag_w_raw(struct antag_writer *w, struct antag_slice value); /* one value, packed before */
void antag_w_map(struct antag_writer *w);
void antag_w_array(struct antag_writer *w);
void antag_w_end(struct antag_writer *w); /* closes the innermost map or array */

/* one pair of a map */
void antag_w_key(struct antag_writer *w, const char *key);
void antag_w_kv_str(struct antag_writer *w, const char *key, const char *text);
void antag_w_kv_strn(struct antag_writer *w, const char *key, struct antag_slice s);
void antag_w_kv_bin(struct antag_writer *w, const char *key, struct antag_slice s);
void antag_w_kv_uint(struct antag_writer *w, const char *key, uint64_t v);
void antag_w_kv_int(struct antag_writer *w, const char *key, int64_t v);
void antag_w_kv_bool(struct antag_writer *w, const char *key, bool v);

/* OK when all calls went well and everything opened was closed; `out` borrows the buffer until the
 * next call on `w`. errors: FRAME_TOO_LARGE over `max`, NO_MEMORY, INTERNAL (left open). */
ANTAG_MUST_CHECK enum antag_err antag_writer_end(struct antag_writer *w, struct antag_slice *out);

#endif
