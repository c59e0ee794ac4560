/* segment: the files of a chain: AUDIT/CHAIN/00000001.jsonl, 00000002.jsonl, … in one folder. */
#ifndef AG_LIB_CHAIN_SEGMENT_H
#define AG_LIB_CHAIN_SEGMENT_H

#include <sys/types.h>

#include "agent/lib/chain/line.h"

#define AG_SEGMENT_MAX       99999999u /* numbers have eight digits */
#define AG_SEGMENT_NAME_SIZE sizeof("00000000.jsonl")

void ag_segment_name(uint32_t number, char out[AG_SEGMENT_NAME_SIZE]);
/* False: not the name of a segment. */
bool ag_segment_parse(const char *name, uint32_t *number);

/* The numbers that are in the folder `dir`, ascending; *out is the caller's (free), NULL when there is
 * none. errors: IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_segment_list(int dir, uint32_t **out, size_t *count);

/* how a segment begins and ends */
struct ag_segment_end {
    bool begins;               /* its first line is good */
    struct ag_line_head first; /* that line */
    bool found;                /* there is a whole line whose hash is right */
    struct ag_line_head last;  /* the last one of those */
    uint64_t torn;             /* bytes behind it */
};
/* Only begin and end are read, as far as needed. errors: IO, NO_MEMORY. */
ANTAG_MUST_CHECK enum antag_err ag_segment_end(int dir, uint32_t number,
                                               struct ag_segment_end *out);

/* Its bytes are on the disk when this returns. errors: IO, with errno. */
ANTAG_MUST_CHECK enum antag_err ag_segment_sync(int dir, uint32_t number);

#endif
