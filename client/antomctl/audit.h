/* audit: what the commands that read the record share. Needs no running agent, and nothing it says depends on
 * one. */
#ifndef CTL_AUDIT_H
#define CTL_AUDIT_H

#include "agent/lib/chain/verify.h"
#include "client/antomctl/ctl.h"

#define CTL_CHAINS_MAX  16
#define CTL_LINES_MOST  1000
#define CTL_DIGEST_LEN  32
#define CTL_DIGESTS_MAX 2

struct ctl_chains {
    size_t count;
    char names[CTL_CHAINS_MAX][ANTAG_KEYRING_MAX + 1];
};
/* All there are. errors: NOT_FOUND, IO. */
ANTAG_MUST_CHECK enum antag_err ctl_audit_list(const struct ctl *c, struct ctl_chains *out,
                                               struct antag_fault *fault);
/* The one that the command names, or all. errors: NOT_FOUND naming those that are here. */
ANTAG_MUST_CHECK enum antag_err ctl_audit_pick(const struct ctl *c, struct ctl_chains *out,
                                               struct antag_fault *fault);

/* what is wanted of the lines, and where we are */
struct ctl_reading {
    json_t *findings; /* of the chain that is read */
    /* show, find: */
    bool (*wants)(const struct ctl_reading *r, const struct ag_line_head *head,
                  struct antag_slice line);
    size_t most;   /* the last so many; more are dropped from the front */
    json_t *lines; /* of the chain that is read */
    uint64_t dropped;
    const char *type;
    struct antag_slice profile, trace; /* p NULL: any */
    uint64_t seq;                      /* 0: any */
    size_t digest_count;               /* 0: any */
    uint8_t digests[CTL_DIGESTS_MAX][CTL_DIGEST_LEN];
};
/* Reads and checks the chains, each against what the others noted of it, into {chains: [...], lines: [...],
 * broken: N}; *result is the caller's. */
ANTAG_MUST_CHECK enum antag_err ctl_audit_read(const struct ctl *c, const struct ctl_chains *chains,
                                               struct ctl_reading *r, json_t **result,
                                               struct antag_fault *fault);

/* Does the field say `wanted`? {NULL, 0}: any does. */
bool ctl_audit_same_text(struct antag_slice line, const char *field, struct antag_slice wanted);
struct antag_slice ctl_audit_given(const struct ctl *c,
                                   const char *name); /* an argument, or {NULL, 0} */
/* For people: lines as a table; that the record is not whole. */
void ctl_audit_put_lines(struct ctl *c, const json_t *lines);
void ctl_audit_put_warning(struct ctl *c, const json_t *result);

#endif
