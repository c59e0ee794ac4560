#include "agent/core/quorum.h"

#include <stdio.h>

void ag_quorum_text(uint32_t quorum, char out[AG_QUORUM_TEXT])
{
    if (quorum == AG_QUORUM_NONE || quorum == AG_QUORUM_SELF)
        snprintf(out, AG_QUORUM_TEXT, "%s", quorum == AG_QUORUM_NONE ? "none" : "self");
    else
        snprintf(out, AG_QUORUM_TEXT, "%u", (unsigned)quorum);
}

enum antag_err ag_quorum_parse(struct antag_slice text, uint32_t *out, struct antag_fault *fault)
{
    uint32_t n = 0;
    bool digits = text.len > 0 && text.len <= 2;

    if (antag_slice_is(text, "self")) {
        *out = AG_QUORUM_SELF;
        return ANTAG_OK;
    }
    for (size_t i = 0; digits && i < text.len; i++) {
        digits = text.p[i] >= '0' && text.p[i] <= '9';
        n = n * 10 + (digits ? text.p[i] - (uint32_t)'0' : 0);
    }
    if (!digits || n < 1 || n > AG_QUORUM_MAX)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "quorum",
                               "is self (whoever asks for a change confirms it), or how many "
                               "other approvers have to agree, 1 to %d",
                               AG_QUORUM_MAX);
    *out = n;
    return ANTAG_OK;
}

/* self asks for one, but for nobody else. */
static uint32_t rank(uint32_t quorum)
{
    return quorum == AG_QUORUM_NONE ? 0 : quorum == AG_QUORUM_SELF ? 1 : quorum + 1;
}

uint32_t ag_quorum_stricter(uint32_t a, uint32_t b)
{
    return rank(a) >= rank(b) ? a : b;
}

static bool counts(const struct ag_quorum_person *p, const struct ag_quorum_staff *s)
{
    return p->uid != 0 || s->allow_root;
}

static const struct ag_quorum_person *find(uint32_t uid, const struct ag_quorum_staff *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->people[i].uid == uid)
            return &s->people[i];
    return NULL;
}

enum antag_err ag_quorum_check(uint32_t quorum, const struct ag_quorum_staff *s,
                               struct antag_fault *fault)
{
    size_t officers = 0, approvers = 0, both = 0, most;

    for (size_t i = 0; i < s->count; i++) {
        const struct ag_quorum_person *p = &s->people[i];

        if (!counts(p, s))
            continue;
        officers += p->officer;
        approvers += p->approver;
        both += p->officer && p->approver;
    }
    if (quorum == AG_QUORUM_NONE)
        return antag_fault_set(fault, ANTAG_ERR_QUORUM, "quorum", "it is not set");
    if (officers == 0)
        return antag_fault_set(fault, ANTAG_ERR_QUORUM, "quorum",
                               "nobody could ask for a change: there is no officer%s",
                               s->allow_root ? "" : " but uid 0, who may not ([staff] allow_root)");
    if (quorum == AG_QUORUM_SELF)
        return ANTAG_OK;
    most = approvers - (both > 0 ? 1 : 0); /* an approver who asks has to be approved by others */
    if (quorum <= most)
        return ANTAG_OK;
    return antag_fault_set(
        fault, ANTAG_ERR_QUORUM, "quorum",
        "%u approvers other than whoever asks cannot be had: %zu %s enrolled%s%s", (unsigned)quorum,
        approvers, approvers == 1 ? "is" : "are",
        both > 0 ? ", of whom one may be the officer who asks" : "",
        s->allow_root ? "" : " (uid 0 does not count)");
}

static enum antag_err refuse_root(const char *what, struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL,
                           "uid 0 does not %s changes: root is nobody in particular; use an "
                           "account of your own (or set allow_root = yes under [staff])",
                           what);
}

enum antag_err ag_quorum_may_ask(uint32_t uid, const struct ag_quorum_staff *s,
                                 struct antag_fault *fault)
{
    const struct ag_quorum_person *p = find(uid, s);

    if (uid == 0 && !s->allow_root)
        return refuse_root("ask for", fault);
    if (p == NULL || !p->officer)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL,
                               "uid %u is no officer, and changes are asked for by officers",
                               (unsigned)uid);
    return ANTAG_OK;
}

static enum antag_err check_person(const struct ag_quorum_case *c, const struct ag_quorum_person *p,
                                   struct antag_fault *fault)
{
    if (c->quorum == AG_QUORUM_SELF) {
        if (p->uid != c->requester)
            return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL,
                                   "its quorum is self: uid %u, who asked for it, confirms it",
                                   (unsigned)c->requester);
        return ANTAG_OK;
    }
    if (p->uid == c->requester)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL,
                               "uid %u asked for it; others have to approve it", (unsigned)p->uid);
    if (!p->approver)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL,
                               "uid %u has not the staff role approver", (unsigned)p->uid);
    return ANTAG_OK;
}

enum antag_err ag_quorum_may_approve(const struct ag_quorum_case *c, uint32_t uid,
                                     const struct ag_quorum_staff *s, struct antag_fault *fault)
{
    const struct ag_quorum_person *p = find(uid, s);
    enum antag_err err;

    if (c->quorum == AG_QUORUM_NONE)
        return antag_fault_set(fault, ANTAG_ERR_QUORUM, "quorum", "it is not set");
    if (p == NULL)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL, "uid %u is not enrolled",
                               (unsigned)uid);
    if (uid == 0 && !s->allow_root)
        return refuse_root("approve", fault);
    if (c->demotes && c->demoted == uid)
        return antag_fault_set(fault, ANTAG_ERR_CHANGE_DENIED, NULL,
                               "it takes staff roles from uid %u; nobody approves his own removal",
                               (unsigned)uid);
    if ((err = check_person(c, p, fault)) != ANTAG_OK)
        return err;
    if (!p->verified)
        return antag_fault_set(
            fault, ANTAG_ERR_MAIL_SETUP, NULL,
            "the mailbox of uid %u is not verified; `antomctl staff verify` does it",
            (unsigned)uid);
    return ANTAG_OK;
}

size_t ag_quorum_count(const struct ag_quorum_case *c, const uint32_t *uids, size_t count,
                       const struct ag_quorum_staff *s)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        bool again = false;

        for (size_t j = 0; j < i; j++)
            again = again || uids[j] == uids[i];
        n += !again && ag_quorum_may_approve(c, uids[i], s, NULL) == ANTAG_OK;
    }
    return n;
}

size_t ag_quorum_needed(const struct ag_quorum_case *c)
{
    return c->quorum > AG_QUORUM_MAX || c->quorum == AG_QUORUM_NONE ? 1 : c->quorum;
}
