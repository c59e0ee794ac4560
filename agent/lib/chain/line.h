/* line: one line of a chain of the record (audit files): written once, and read back strictly.
 *
 *   {"v":1,"chain":"soft","seq":7,"time":"2026-11-23T03:04:05.123Z","type":"sign", FIELDS ,
 *    "prev":"HEX","hash":"HEX"}\n
 *
 * (without the break and the spaces: a line has none between its parts). It is JSON in ASCII; what
 * is not printable ASCII stands as \u escapes, a byte that is no UTF-8 as \ufffd. `seq` counts the lines of a chain over
 * all its files, from 1. `prev` is the hash of the line before, zeros for the first. `hash` is
 * BLAKE2b-256 over the bytes of the line in front of `,"hash":"`, so every byte is covered by it, by
 * the line's form, or by both. */
#ifndef AG_LIB_CHAIN_LINE_H
#define AG_LIB_CHAIN_LINE_H

#include "agent/lib/log.h"
#include "antag/limits.h"

#define AG_LINE_MAX      (32 * 1024) /* bytes, the newline included */
#define AG_LINE_HASH     32
#define AG_LINE_TYPE_MAX 16
#define AG_LINE_VERSION  1

struct ag_line_head {
    char chain[ANTAG_KEYRING_MAX + 1]; /* [a-z0-9][a-z0-9-]* */
    uint64_t seq;
    int64_t time_ms;                 /* written; not read back */
    char type[AG_LINE_TYPE_MAX + 1]; /* [a-z]+ */
    uint8_t prev[AG_LINE_HASH], hash[AG_LINE_HASH];
};

/* Writes the line and sets head->hash. Names of fields are plain ASCII; a field kind ERR is written as
 * the error's name. Returns its length with the newline; 0 when it would be longer than AG_LINE_MAX. */
size_t ag_line_render(struct ag_line_head *head, const struct ag_log_field *fields,
                      char out[AG_LINE_MAX]);

/* Reads the frame of a line (no newline) and checks its hash. Says nothing of the fields, which stand
 * under the hash. errors: AUDIT, naming what is wrong with it. */
ANTAG_MUST_CHECK enum antag_err ag_line_parse(struct antag_slice line, struct ag_line_head *out,
                                              struct antag_fault *fault);

/* The value of a field as it stands in a line that ag_line_parse took: a number's digits, or a text's inside
 * without its quotes, escapes as they are. False: there is no such field. */
bool ag_line_field(struct antag_slice line, const char *name, struct antag_slice *out);
bool ag_line_uint(struct antag_slice line, const char *name, uint64_t *out);
/* Exactly `len` bytes in hex. */
bool ag_line_hex(struct antag_slice line, const char *name, uint8_t *out, size_t len);

#define AG_LINE_HEX (2 * AG_LINE_HASH + 1)
void ag_line_hash_text(const uint8_t hash[AG_LINE_HASH], char out[AG_LINE_HEX]);

#endif
