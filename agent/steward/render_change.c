/* render_change: a change as the result map of proto/staff_methods.h: what it would alter, and whom it waits for. */
#include <stdio.h>
#include <stdlib.h>

#include "agent/steward/changes.h"

static void write_alters(struct antag_writer *w, const struct ag_changedoc *doc)
{
    static const char *const keys[] = {"what", "was", "is"};

    antag_w_key(w, "alters");
    antag_w_array(w);
    for (uint32_t i = 0; i < doc->alters->via.array.size; i++) {
        const msgpack_object *line = &doc->alters->via.array.ptr[i];
        struct antag_slice s = {NULL, 0};

        antag_w_map(w);
        for (uint32_t k = 0; k < 3; k++)
            if (line->type == MSGPACK_OBJECT_ARRAY && k < line->via.array.size &&
                antag_object_slice(&line->via.array.ptr[k], &s))
                antag_w_kv_strn(w, keys[k], s);
        antag_w_end(w);
    }
    antag_w_end(w);
}

static void write_approvals(struct antag_writer *w, const struct ag_approvals *all)
{
    antag_w_key(w, "approvals");
    antag_w_array(w);
    for (size_t i = 0; i < all->count; i++) {
        antag_w_map(w);
        antag_w_kv_uint(w, "uid", all->rows[i].uid);
        antag_w_kv_str(w, "mail", all->rows[i].mail);
        antag_w_kv_int(w, "at_ms", all->rows[i].at_ms);
        antag_w_kv_bool(w, "recovery", all->rows[i].by_recovery);
        antag_w_end(w);
    }
    antag_w_end(w);
}

static bool has_approved(const struct ag_approvals *all, uint32_t uid)
{
    for (size_t i = 0; i < all->count; i++)
        if (all->rows[i].uid == uid)
            return true;
    return false;
}

/* Who can take the next step; those whose mailbox is not verified can once it is. */
static void write_who(struct antag_writer *w, struct ag_people *people,
                      const struct ag_quorum_case *c, const struct ag_approvals *all)
{
    antag_w_key(w, "who");
    antag_w_array(w);
    for (size_t i = 0; i < people->staff.count; i++) {
        bool verified = people->people[i].verified;

        people->people[i].verified = true;
        if (!has_approved(all, people->people[i].uid) &&
            ag_quorum_may_approve(c, people->people[i].uid, &people->staff, NULL) == ANTAG_OK)
            antag_w_uint(w, people->people[i].uid);
        people->people[i].verified = verified;
    }
    antag_w_end(w);
}

static void write_wait(struct ag_txn *t, const struct ag_row_change *row,
                       const struct ag_change_facts *f, const struct ag_quorum_case *c,
                       const struct ag_approvals *all, struct antag_writer *w)
{
    struct ag_people people;
    size_t more = f->need > f->have ? f->need - f->have : 0;
    char waits[160];

    if (ag_change_is_over(row->state))
        return;
    if (row->state == AG_CHANGE_APPROVED) {
        antag_w_kv_str(w, "waits_for", "the agent, which applies it");
        antag_w_kv_int(w, "until_ms", row->state_at_ms + AG_CHANGE_APPLIES_MS);
        return;
    }
    if (c->quorum == AG_QUORUM_SELF)
        snprintf(waits, sizeof waits, "the confirmation of uid %u, who asked for it",
                 (unsigned)row->uid);
    else
        snprintf(waits, sizeof waits, "%zu more approval%s", more, more == 1 ? "" : "s");
    antag_w_kv_str(w, "waits_for", waits);
    antag_w_kv_int(w, "until_ms", row->state_at_ms + row->holds_ms);
    ag_people_of(t, &people);
    write_who(w, &people, c, all);
}

static void write_document(struct antag_writer *w, const struct ag_row_change *row,
                           const struct ag_changedoc *doc)
{
    char hex[2 * AG_CHANGE_DIGEST_LEN + 1];

    sodium_bin2hex(hex, sizeof hex, row->digest, AG_CHANGE_DIGEST_LEN);
    antag_w_kv_uint(w, "change", row->id);
    antag_w_kv_str(w, "digest", hex);
    antag_w_kv_str(w, "method", row->method);
    if (doc->profile[0] != '\0')
        antag_w_kv_str(w, "profile", doc->profile);
    antag_w_kv_str(w, "summary", row->summary);
    write_alters(w, doc);
    antag_w_kv_uint(w, "uid", row->uid);
    antag_w_kv_str(w, "account", doc->account);
    antag_w_kv_str(w, "host", doc->host);
    antag_w_kv_str(w, "state", ag_change_state_name(row->state));
    antag_w_kv_int(w, "state_ms", row->state_at_ms);
    antag_w_kv_int(w, "opened_ms", row->opened_at_ms);
    antag_w_kv_str(w, "reason", row->reason);
}

enum antag_err ag_change_render(struct ag_txn *t, const struct ag_row_change *row, bool document,
                                struct antag_writer *w, struct antag_fault *fault)
{
    struct ag_approvals *all = malloc(sizeof *all);
    struct ag_changedoc doc = {0};
    struct ag_change_facts facts;
    struct ag_quorum_case c;
    char quorum[AG_QUORUM_TEXT];
    enum antag_err err;

    if (all == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a change");
    if ((err = ag_changedoc_read(row, &doc, fault)) != ANTAG_OK ||
        (err = ag_approvals_of(t, row->id, all, fault)) != ANTAG_OK ||
        (err = ag_change_facts(t, row, &facts, fault)) != ANTAG_OK)
        goto out;
    ag_change_case(t, row, &c);
    ag_quorum_text(c.quorum, quorum);
    antag_w_map(w);
    write_document(w, row, &doc);
    antag_w_kv_str(w, "quorum", quorum);
    antag_w_kv_uint(w, "needed", facts.need);
    write_approvals(w, all);
    write_wait(t, row, &facts, &c, all, w);
    if (document)
        antag_w_kv_bin(w, "document", (struct antag_slice){row->doc, row->doc_len});
    antag_w_end(w);
out:
    ag_changedoc_fini(&doc);
    free(all);
    return err;
}
