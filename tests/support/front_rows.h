/* front_rows: rows as the steward sends them, and snapshots of them, for the suites of the front. */
#ifndef TESTS_SUPPORT_FRONT_ROWS_H
#define TESTS_SUPPORT_FRONT_ROWS_H

#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "agent/front/snapshot.h"
#include "agent/lib/keyform.h"
#include "tests/support/rows.h"

#define CLIENT_ID  "SANDBOX_5X00000000000001"
#define CALLER_UID 1000u

static inline struct ag_snap_row row_of(enum ag_snap_table table, uint64_t id)
{
    struct ag_snap_row row;

    memset(&row, 0, sizeof row);
    row.table = table;
    row.id = id;
    return row;
}

static inline struct ag_snap_row profile_row(uint64_t id, const char *name, enum ag_env env,
                                             const char *client_id)
{
    struct ag_snap_row row = row_of(AG_SNAP_PROFILE, id);
    struct ag_snap_profile *p = &row.u.profile;

    snprintf(p->name, sizeof p->name, "%s", name);
    snprintf(p->client_id, sizeof p->client_id, "%s", client_id);
    snprintf(p->keyring, sizeof p->keyring, "soft");
    p->env = env;
    p->response_max_age_ms = p->notification_max_age_ms = -1;
    p->handle = 100 + id;
    p->version = 3;
    p->key_version = 7;
    return row;
}

/* Everything for CALLER_UID; `path` NULL: every one. */
static inline struct ag_snap_row grant_row(uint64_t id, uint64_t profile_id, unsigned ops,
                                           const char *path)
{
    struct ag_snap_row row = row_of(AG_SNAP_GRANT, id);
    struct ag_grant *g = &row.u.grant;

    g->id = id;
    g->profile_id = profile_id;
    g->who = AG_WHO_UID;
    g->number = CALLER_UID;
    g->ops = ops;
    if (path) {
        g->paths = calloc(1, sizeof *g->paths);
        g->paths[0] = strdup(path);
        g->path_count = 1;
    }
    return row;
}

static inline struct ag_snap_row merchant_row(uint64_t id, uint64_t profile_id, const char *name,
                                              bool suspended)
{
    struct ag_snap_row row = row_of(AG_SNAP_MERCHANT, id);
    struct ag_snap_merchant *m = &row.u.merchant;

    m->profile_id = profile_id;
    m->suspended = suspended;
    m->sealed_len = 1;
    snprintf(m->name, sizeof m->name, "%s", name);
    return row;
}

static inline struct ag_snap_row antom_key_row(uint64_t id, uint64_t profile_id, uint32_t version,
                                               enum ag_antom_key_state state, const EVP_PKEY *key)
{
    struct ag_snap_row row = row_of(AG_SNAP_ANTOM_KEY, id);
    struct ag_snap_antom_key *k = &row.u.antom_key;

    k->profile_id = profile_id;
    k->version = version;
    k->state = state;
    if (ag_keyform_spki(key, k->spki, &k->spki_len) != ANTAG_OK)
        abort();
    return row;
}

static inline struct ag_snap_row fence_row(uint64_t id, uint64_t profile_id, const char *path)
{
    struct ag_snap_row row = row_of(AG_SNAP_FENCE, id);

    row.u.fence.profile_id = profile_id;
    snprintf(row.u.fence.path, sizeof row.u.fence.path, "%s", path);
    return row;
}

static inline void apply(struct ag_rows *rows, struct ag_snap_row row)
{
    CU_ASSERT_EQUAL_FATAL(ag_rows_apply(rows, &row), ANTAG_OK);
    ag_snap_row_fini(&row);
}

static inline struct ag_snapshot *commit(struct ag_rows *rows, uint64_t epoch)
{
    struct ag_snapshot *s = NULL;

    CU_ASSERT_EQUAL_FATAL(ag_rows_commit(rows, epoch, &s, NULL), ANTAG_OK);
    return s;
}

static inline EVP_PKEY *make_key(unsigned bits)
{
    EVP_PKEY *key = EVP_RSA_gen(bits);

    if (!key)
        abort();
    return key;
}

#endif
