/* grant: what a caller may do. Deny by default; a request needs one grant that fits it whole.
 * Pure: facts in, decision out. */
#ifndef AG_CORE_GRANT_H
#define AG_CORE_GRANT_H

#include <sys/types.h>

#include "agent/core/bucket.h"
#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

enum ag_op { AG_OP_SIGN = 1, AG_OP_VERIFY = 2, AG_OP_EXPLAIN = 4 };
const char *ag_op_name(enum ag_op op);
ANTAG_MUST_CHECK enum antag_err ag_op_parse(struct antag_slice text, enum ag_op *out,
                                            struct antag_fault *f);

enum ag_who { AG_WHO_UID, AG_WHO_GID, AG_WHO_UNIT };

#define AG_GID_COUNT_MAX 64
/* the kernel's word about the peer of a connection, taken at connect */
struct ag_caller {
    uid_t uid;
    gid_t gid;
    pid_t pid;
    size_t group_count;             /* supplementary */
    gid_t groups[AG_GID_COUNT_MAX]; /* a caller in more groups is matched by the first ones only */
    char unit[ANTAG_UNIT_MAX + 1];  /* systemd unit, or "" */
};

struct ag_grant {
    uint64_t id;
    uint64_t profile_id;
    enum ag_who who;
    uint32_t number; /* uid or gid */
    char unit[ANTAG_UNIT_MAX + 1];
    unsigned ops;                    /* enum ag_op, or-ed */
    bool query;                      /* signing a URI with a query */
    uint64_t max_body;               /* bytes; 0: the protocol's limit */
    struct ag_bucket rate;           /* requests that it lets through; rate 0: as many as come */
    size_t method_count, path_count; /* none: every one */
    char **methods, **paths;         /* globs; owned by the one who made the grant */
    size_t merchant_count;           /* none: signing for every merchant, and for none */
    char **merchants;                /* globs likewise: signing is for one of these only */
};

/* uid 65534 is what the kernel shows for users it cannot map: never granted anything. */
#define AG_UID_STRANGER 65534u

bool ag_grant_names(const struct ag_grant *g, const struct ag_caller *c);
/* Does `g` cover this? `uri` as the caller gave it; matched without query, with /ams/sandbox/api read
 * as /ams/api. Verifying is not limited by `query`. The profile must have been compared before. */
bool ag_grant_permits(const struct ag_grant *g, const struct ag_caller *c, enum ag_op op,
                      struct antag_slice method, struct antag_slice uri, size_t body_len);

/* May it sign for this merchant ("": for none)? Operations other than signing know no merchant. */
bool ag_grant_covers_merchant(const struct ag_grant *g, enum ag_op op, struct antag_slice merchant);

/* Glob over a path: `*` any bytes inside one segment, `**` any bytes across segments, everything else
 * itself (no classes, no escapes). Runs in O(pattern x text) without recursion. */
bool ag_glob_match(struct antag_slice pattern, struct antag_slice text);
/* A glob fit to be stored: starts with '/', bytes 21-7E without '?' and '#', at most ANTAG_GLOB_MAX,
 * no "***". Method globs: [A-Z*]+. errors: BAD_PARAM, field as given. */
ANTAG_MUST_CHECK enum antag_err ag_glob_check_path(struct antag_slice s, const char *field,
                                                   struct antag_fault *f);
ANTAG_MUST_CHECK enum antag_err ag_glob_check_method(struct antag_slice s, const char *field,
                                                     struct antag_fault *f);
/* Merchants: as their names, with `*`. */
ANTAG_MUST_CHECK enum antag_err ag_glob_check_merchant(struct antag_slice s, const char *field,
                                                       struct antag_fault *f);
/* A merchant's name: 1 to ANTAG_MERCHANT_MAX of A-Z, a-z, 0-9, '_', '-', '.'. errors: BAD_PARAM. */
ANTAG_MUST_CHECK enum antag_err ag_merchant_check(struct antag_slice s, const char *field,
                                                  struct antag_fault *f);

#endif
