/* desired: what front and keepers should have, as functions of a book. Pure. */
#ifndef AG_STEWARD_DESIRED_H
#define AG_STEWARD_DESIRED_H

#include "agent/lib/edges/keyring.h"
#include "agent/lib/edges/snapshot.h"
#include "agent/steward/book.h"

/* What a keeper may do with a key, in rising order. A keeper is raised before the front learns of it and
 * lowered after no job of the front needs it any more. */
enum ag_level {
    AG_LEVEL_ABSENT = -2,  /* not held */
    AG_LEVEL_STOPPED = -1, /* stopped: left alone until a permit undoes it */
    AG_LEVEL_NONE = AG_USE_NONE,
    AG_LEVEL_PROBE = AG_USE_PROBE,
    AG_LEVEL_SIGN = AG_USE_SIGN,
};
/* stopped: staff stopped it and the registry does not say so yet */
enum ag_level ag_desired_level(const struct ag_row_key *k, bool stopped);

/* how the keyring of a profile's active key stands */
enum ag_source_kind {
    AG_SOURCE_READY,   /* the keeper holds the key and may sign with it */
    AG_SOURCE_STOPPED, /* stopped, not yet in the registry */
    AG_SOURCE_FAILED,  /* the keeper could not load it, or is gone for long: err and why */
    AG_SOURCE_COMING,  /* the keeper is being started again: what the front had goes on holding */
};
struct ag_sign_source {
    enum ag_source_kind kind;
    enum antag_err err;
    char why[120];
};
/* Row of `p`. `source` counts only when the profile has an active key; `had` (may be NULL) is what the
 * front has acknowledged for this profile. */
void ag_desired_profile(const struct ag_book *b, const struct ag_row_profile *p,
                        const struct ag_sign_source *source, const struct ag_snap_profile *had,
                        struct ag_snap_profile *out);
/* What a profile lacks before it can sign and verify, and the command that gives it. */
struct ag_missing {
    char what[80];
    char command[120];
};
#define AG_MISSING_MAX 4
size_t ag_desired_missing(const struct ag_book *b, const struct ag_row_profile *p,
                          struct ag_missing out[AG_MISSING_MAX]);
bool ag_desired_has_antom_key(const struct ag_book *b, uint64_t profile_id);

#endif
