/* grant: whether one grant covers one request. */
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/antom_internal.h"
#include "agent/core/grant.h"

static const struct {
    enum ag_op op;
    const char *name;
} ops[] = {{AG_OP_SIGN, "sign"}, {AG_OP_VERIFY, "verify"}, {AG_OP_EXPLAIN, "explain"}};

const char *ag_op_name(enum ag_op op)
{
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (ops[i].op == op)
            return ops[i].name;
    return "unknown";
}

enum antag_err ag_op_parse(struct antag_slice text, enum ag_op *out, struct antag_fault *f)
{
    struct ag_shown shown;

    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (antag_slice_is(text, ops[i].name)) {
            *out = ops[i].op;
            return ANTAG_OK;
        }
    }
    return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, "ops",
                           "there is no operation \"%s\"; allowed: sign, verify, explain",
                           ag_show(text, &shown));
}

/* 65534 stands for every user or group the kernel cannot map, -1 for none: neither is anybody. */
static bool is_nobody(uint32_t number)
{
    return number == AG_UID_STRANGER || number == UINT32_MAX;
}

static bool in_group(const struct ag_caller *c, uint32_t gid)
{
    if (c->gid == gid)
        return true;
    for (size_t i = 0; i < c->group_count && i < AG_GID_COUNT_MAX; i++)
        if (c->groups[i] == gid)
            return true;
    return false;
}

bool ag_grant_names(const struct ag_grant *g, const struct ag_caller *c)
{
    if (is_nobody(c->uid))
        return false;
    switch (g->who) {
    case AG_WHO_UID:
        return c->uid == g->number; /* not nobody, as the caller is not */
    case AG_WHO_GID:
        return !is_nobody(g->number) && in_group(c, g->number);
    case AG_WHO_UNIT:
        return g->unit[0] != '\0' && strncmp(g->unit, c->unit, sizeof g->unit) == 0;
    }
    return false;
}

/* No glob stands for every text. */
static bool one_matches(char *const *globs, size_t count, struct antag_slice text)
{
    for (size_t i = 0; i < count; i++)
        if (ag_glob_match(antag_slice_of(globs[i]), text))
            return true;
    return count == 0;
}

/* Globs are written once for both environments: a sandbox path is matched in its live form. */
static bool path_matches(const struct ag_grant *g, struct antag_slice path)
{
    uint8_t live[ANTAG_URI_MAX + 16];
    size_t head = sizeof AG_LIVE_API - 1, cut = sizeof AG_SANDBOX_API - 1;

    if (!ag_antom_path_is_sandbox(path))
        return one_matches(g->paths, g->path_count, path);
    if (path.len > sizeof live)
        return false;
    memcpy(live, AG_LIVE_API, head);
    memcpy(live + head, path.p + cut, path.len - cut);
    return one_matches(g->paths, g->path_count, (struct antag_slice){live, head + path.len - cut});
}

bool ag_grant_permits(const struct ag_grant *g, const struct ag_caller *c, enum ag_op op,
                      struct antag_slice method, struct antag_slice uri, size_t body_len)
{
    struct antag_slice path, query;
    bool has_query;

    if (!ag_grant_names(g, c) || op == 0 || (g->ops & (unsigned)op) != (unsigned)op)
        return false;
    if (g->max_body != 0 && body_len > g->max_body)
        return false;
    ag_antom_uri_split(uri, &path, &query, &has_query);
    if (op == AG_OP_SIGN && has_query && !g->query)
        return false;
    return one_matches(g->methods, g->method_count, method) && path_matches(g, path);
}

bool ag_grant_covers_merchant(const struct ag_grant *g, enum ag_op op, struct antag_slice merchant)
{
    if (g->merchant_count == 0 || (op & (AG_OP_SIGN | AG_OP_EXPLAIN)) == 0)
        return true;
    return merchant.len > 0 && one_matches(g->merchants, g->merchant_count, merchant);
}

static bool is_merchant(struct antag_slice s, bool glob)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-' || c == '.' || (glob && c == '*')))
            return false;
    }
    return s.len > 0 && s.len <= ANTAG_MERCHANT_MAX;
}

enum antag_err ag_glob_check_merchant(struct antag_slice s, const char *field,
                                      struct antag_fault *f)
{
    if (is_merchant(s, true))
        return ANTAG_OK;
    return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, field,
                           "each is the name of a merchant, 1 to %d of A-Z, a-z, 0-9, _, - and ., "
                           "or such names with *",
                           ANTAG_MERCHANT_MAX);
}

enum antag_err ag_merchant_check(struct antag_slice s, const char *field, struct antag_fault *f)
{
    if (is_merchant(s, false))
        return ANTAG_OK;
    return antag_fault_set(f, ANTAG_ERR_BAD_PARAM, field, "is 1 to %d of A-Z, a-z, 0-9, _, - and .",
                           ANTAG_MERCHANT_MAX);
}
