/* refusals: what callers were refused, counted by caller and reason, on its way to the record (edge front-steward;
 * the steward adds those of its own socket). So bounded that nobody can fill the record by being refused.
 *
 *   front -> steward  event refusals {since_ms, others, entries: [{uid, what, error, profile, count}]}
 *
 * Pure but for the bytes it is given. */
#ifndef AG_EDGES_REFUSALS_H
#define AG_EDGES_REFUSALS_H

#include <msgpack.h>

#include "antag/limits.h"
#include "antag/status.h"
#include "proto/writer.h"

#define AG_REFUSALS_MAX     256 /* kinds; what is over it is counted together */
#define AG_REFUSAL_WHAT_MAX 31

struct ag_refusal {
    uint32_t uid;
    bool staff; /* at staff.sock; never in the event */
    enum antag_err err;
    char what[AG_REFUSAL_WHAT_MAX + 1];  /* method; "": none that is known */
    char profile[ANTAG_PROFILE_MAX + 1]; /* as asked for, provided there is one; else "" */
    uint64_t count;
};
struct ag_refusals {
    int64_t since_ms; /* UTC, of the first; 0: there is none */
    uint64_t others;  /* that found no room */
    size_t count;
    struct ag_refusal v[AG_REFUSALS_MAX];
};

/* one: its count is added to that of its kind. */
void ag_refusals_add(struct ag_refusals *r, const struct ag_refusal *one, int64_t now_ms);
void ag_refusals_merge(struct ag_refusals *into, const struct ag_refusals *from);

void ag_refusals_write(struct antag_writer *w, const struct ag_refusals *r);
/* errors: BAD_PARAM, NO_MEMORY; *out is then empty. */
ANTAG_MUST_CHECK enum antag_err ag_refusals_parse(const msgpack_object *o, struct ag_refusals *out,
                                                  struct antag_fault *fault);

#endif
