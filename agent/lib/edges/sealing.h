/* sealing: what the steward asks of an opener that has the root key, about its seal (edge steward-opener).
 *
 *   seal_make  {type, pcrs?} [+ memory file passphrase] -> {bytes}    a seal, opened again; nothing is written
 *              (tpm without a passphrase: the recovery passphrase stays the one of the seal that is there)
 *   seal_write {type, bytes?} -> {}        in place of the seal that is there; file: without bytes, made here
 *   seal_check {} -> {type, pcrs, opens, why}    the seal that is there, as it would be opened at a start
 *              (pcrs: bits, 0 without; opens: by itself; why not: a sentence, "" where it does)
 *
 * Pure but for the bytes it is given. */
#ifndef AG_EDGES_SEALING_H
#define AG_EDGES_SEALING_H

#include <msgpack.h>

#include "antag/status.h"
#include "antag/types.h"
#include "proto/writer.h"

#define AG_SEAL_BYTES_MAX 2048 /* of a whole seal */
#define AG_SEAL_NAME_MAX  15   /* bytes of a type */

struct ag_sealing {
    char type[AG_SEAL_NAME_MAX + 1];
    uint32_t pcrs;
    bool opens;
    char why[512];
    size_t bytes_len;
    uint8_t bytes[AG_SEAL_BYTES_MAX];
};

void ag_sealing_write(struct antag_writer *w, const struct ag_sealing *s);
/* Params and results alike: what is absent is zero. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_sealing_parse(const msgpack_object *o, struct ag_sealing *out,
                                                 struct antag_fault *fault);

#endif
