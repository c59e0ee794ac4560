/* proofs: which methods have succeeded for a profile, once each, from the front into the registry. */
#include <stdio.h>
#include <string.h>

#include "agent/lib/log.h"
#include "agent/steward/steward.h"

void ag_proofs_take(struct ag_steward *st, uint64_t profile_id, unsigned methods)
{
    uv_mutex_lock(&st->lock);
    (void)ag_proofs_add(&st->proved, profile_id,
                        methods); /* no room: the front tells it again one day */
    uv_mutex_unlock(&st->lock);
    ag_driver_kick(st);
}

static void names(unsigned methods, char out[64])
{
    snprintf(out, 64, "%s%s%s", (methods & AG_PROOF_SIGN) != 0 ? " sign_request" : "",
             (methods & AG_PROOF_RESPONSE) != 0 ? " verify_response" : "",
             (methods & AG_PROOF_NOTIFICATION) != 0 ? " verify_notification" : "");
}

/* The registry may be closed, or the profile gone: then it is told again, or of no use. */
static void keep(struct ag_steward *st, uint64_t profile_id, unsigned methods)
{
    const struct ag_row_profile *found;
    struct ag_row_profile row;
    struct antag_fault fault = {0};
    char said[64];
    struct ag_txn t;
    enum antag_err err = ag_txn_begin(st, 0, &t, &fault);

    if (err == ANTAG_OK && (found = ag_book_profile(t.book, profile_id)) != NULL &&
        (methods & ~found->proved) != 0) {
        row = *found;
        names(methods & ~row.proved, said);
        row.proved |= methods;
        ag_txn_deed(&t, ag_actor_agent, "agent.proved", row.name, 0, "for the first time:%s", said);
        if ((err = ag_txn_write(&t, &fault)) == ANTAG_OK &&
            (err = ag_registry_put_profile(st->reg, &row, &fault)) == ANTAG_OK)
            err = ag_txn_commit(&t, &fault);
        ag_driver_kick(st);
    }
    if (err != ANTAG_OK)
        ag_log_fault(AG_LOG_WARN, "proofs.not_kept", &fault);
    ag_txn_end(&t);
}

void ag_proofs_pass(struct ag_steward *st)
{
    struct ag_proofs some;

    uv_mutex_lock(&st->lock);
    some = st->proved;
    st->proved.count = 0;
    uv_mutex_unlock(&st->lock);
    for (size_t i = 0; i < some.count; i++)
        keep(st, some.v[i].profile_id, some.v[i].methods);
}
