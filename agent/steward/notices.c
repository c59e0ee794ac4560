#include "agent/steward/notices.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/keylife_internal.h"
#include "agent/steward/changes.h"
#include "agent/steward/outbox.h"
#include "agent/steward/rotation.h"
#include "proto/staff_methods.h"

#define ALTERS_SHOWN 8
#define HEX_SHOWN    16 /* digits of a digest */

/* a mail and the texts it is made of */
struct notice {
    struct ag_mailtext m;
    char subject[160], lead[400], command[AG_OUTBOX_COMMAND_MAX], closing[400];
    char texts[AG_MAILTEXT_ROWS][420];
};

static struct notice *make(struct antag_fault *fault)
{
    struct notice *n = calloc(1, sizeof *n);

    if (n == NULL)
        antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a mail");
    else
        n->m = (struct ag_mailtext){.subject = n->subject, .lead = n->lead};
    return n;
}

/* label: a literal */
ANTAG_PRINTF(3, 4)
static void add(struct notice *n, const char *label, const char *fmt, ...)
{
    size_t at = n->m.row_count;
    va_list args;

    if (at == AG_MAILTEXT_ROWS)
        return;
    va_start(args, fmt);
    vsnprintf(n->texts[at], sizeof n->texts[at], fmt, args);
    va_end(args);
    n->m.rows[at] = (struct ag_mailtext_row){label, n->texts[at]};
    n->m.row_count++;
}

static void add_time(struct notice *n, const char *label, int64_t wall_ms)
{
    char date[AG_MAILTEXT_DATE];

    ag_mailtext_date(wall_ms, date);
    add(n, label, "%s", date);
}

/* ---- to whom */

typedef bool wants_fn(const struct ag_row_staff *s, const void *ctx);

static enum antag_err mail_all(struct ag_txn *t, struct notice *n, wants_fn *wants, const void *ctx,
                               struct antag_fault *fault)
{
    struct ag_conf conf;
    enum antag_err err = ANTAG_OK;

    ag_conf_copy(t->st, &conf);
    if (conf.mail_server[0] == '\0')
        return ANTAG_OK;
    for (size_t i = 0; i < t->book->staff_count && err == ANTAG_OK; i++) {
        const struct ag_row_staff *s = &t->book->staff[i];

        if (!s->mail_verified || !wants(s, ctx))
            continue;
        n->m.to = s->mail;
        err = ag_outbox_put(t, &n->m, 0, fault);
    }
    return err;
}

struct approval_ask {
    struct ag_quorum_case c;
    struct ag_people people;
};

static bool may_approve(const struct ag_row_staff *s, const void *ctx)
{
    const struct approval_ask *a = ctx;

    return ag_quorum_may_approve(&a->c, s->uid, &a->people.staff, NULL) == ANTAG_OK;
}

static bool is_requester_only(const struct ag_row_staff *s, const void *ctx)
{
    const struct approval_ask *a = ctx;

    return s->uid == a->c.requester && !may_approve(s, ctx);
}

static bool is_concerned(const struct ag_row_staff *s, const void *ctx)
{
    const struct ag_row_change *row = ctx;

    return s->uid == row->uid || (s->roles & ANTAG_ROLE_APPROVER) != 0;
}

static bool is_anybody(const struct ag_row_staff *s, const void *ctx)
{
    (void)s;
    (void)ctx;
    return true;
}

/* ---- what */

static void text_at(const msgpack_object *line, uint32_t at, char *out, size_t size)
{
    struct antag_slice s;

    out[0] = '\0';
    if (line->type == MSGPACK_OBJECT_ARRAY && at < line->via.array.size &&
        antag_object_slice(&line->via.array.ptr[at], &s))
        snprintf(out, size, "%.*s", (int)s.len, (const char *)s.p);
}

static void add_alters(struct notice *n, const struct ag_changedoc *doc, uint64_t id)
{
    uint32_t count = doc->alters->via.array.size;

    for (uint32_t i = 0; i < count && i < ALTERS_SHOWN; i++) {
        const msgpack_object *line = &doc->alters->via.array.ptr[i];
        char what[120], was[100], is[100];

        text_at(line, 0, what, sizeof what);
        text_at(line, 1, was, sizeof was);
        text_at(line, 2, is, sizeof is);
        if (was[0] == '\0')
            add(n, "alters", "%s: %s", what, is);
        else if (is[0] == '\0')
            add(n, "alters", "%s: %s, gone", what, was);
        else
            add(n, "alters", "%s: %s -> %s", what, was, is);
    }
    if (count > ALTERS_SHOWN || doc->left_out > 0)
        add(n, "alters", "and more: antomctl change show %llu", (unsigned long long)id);
}

static void add_change(struct notice *n, const struct ag_row_change *row,
                       const struct ag_changedoc *doc)
{
    char words[AG_DEED_MAX + 1], hex[2 * AG_CHANGE_DIGEST_LEN + 1];

    ag_changedoc_words(row->method, words);
    sodium_bin2hex(hex, sizeof hex, row->digest, AG_CHANGE_DIGEST_LEN);
    add(n, "change", "%llu, digest %.*s", (unsigned long long)row->id, HEX_SHOWN, hex);
    add(n, "what", "%s%s%s", words, doc->profile[0] != '\0' ? " " : "", doc->profile);
    add_alters(n, doc, row->id);
    add(n, "asked by", "uid %u%s%s%s on %s", (unsigned)row->uid,
        doc->account[0] != '\0' ? " (" : "", doc->account, doc->account[0] != '\0' ? ")" : "",
        doc->host);
    add_time(n, "asked at", row->opened_at_ms);
}

static void title(struct notice *n, const struct ag_row_change *row, const struct ag_changedoc *doc,
                  const char *says)
{
    snprintf(n->subject, sizeof n->subject, "antom-agent: change %llu%s%s %s",
             (unsigned long long)row->id, doc->profile[0] != '\0' ? " to " : "", doc->profile,
             says);
}

static void fill_opened(const struct ag_txn *t, struct notice *n, const struct ag_row_change *row,
                        const struct ag_changedoc *doc, const struct approval_ask *a)
{
    char quorum[AG_QUORUM_TEXT], words[64];

    ag_quorum_text(a->c.quorum, quorum);
    title(n, row, doc, "waits for approval");
    snprintf(n->lead, sizeof n->lead,
             "A change was asked for. Nothing is altered unless it is approved.");
    add_change(n, row, doc);
    if (a->c.quorum == AG_QUORUM_SELF)
        add(n, "needs", "uid %u, who asked, confirms it by his own mailbox", (unsigned)row->uid);
    else
        add(n, "needs", "%s approval%s of others than uid %u", quorum, a->c.quorum == 1 ? "" : "s",
            (unsigned)row->uid);
    add_time(n, "until", row->opened_at_ms + row->holds_ms);
    snprintf(words, sizeof words, "change approve %llu", (unsigned long long)row->id);
    ag_outbox_command(t->st, n->command, words);
    snprintf(n->closing, sizeof n->closing,
             "Believe what the terminal shows, not this mail. If you did not expect this: "
             "`antomctl change reject %llu`, and ask uid %u.",
             (unsigned long long)row->id, (unsigned)row->uid);
    n->m.closing = n->closing;
}

enum antag_err ag_notice_opened(struct ag_txn *t, const struct ag_row_change *row,
                                struct antag_fault *fault)
{
    struct approval_ask *a = calloc(1, sizeof *a);
    struct notice *n = make(fault);
    struct ag_changedoc doc = {0};
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (a == NULL || n == NULL)
        goto out;
    ag_people_of(t, &a->people);
    ag_change_case(t, row, &a->c);
    if ((err = ag_changedoc_read(row, &doc, fault)) != ANTAG_OK)
        goto out;
    fill_opened(t, n, row, &doc, a);
    n->m.command = n->command;
    if ((err = mail_all(t, n, may_approve, a, fault)) != ANTAG_OK)
        goto out;
    n->m.command = NULL; /* it is not his to run */
    err = mail_all(t, n, is_requester_only, a, fault);
out:
    ag_changedoc_fini(&doc);
    free(n);
    free(a);
    return err;
}

enum antag_err ag_notice_ended(struct ag_txn *t, const struct ag_row_change *row,
                               struct ag_actor by, struct antag_fault *fault)
{
    const char *state = ag_change_state_name(row->state);
    struct notice *n = make(fault);
    struct ag_changedoc doc = {0};
    char says[40];
    enum antag_err err = ANTAG_ERR_NO_MEMORY;

    if (n == NULL || (err = ag_changedoc_read(row, &doc, fault)) != ANTAG_OK)
        goto out;
    snprintf(says, sizeof says, "is %s", state);
    title(n, row, &doc, says);
    snprintf(n->lead, sizeof n->lead, "%s",
             row->state == AG_CHANGE_APPLIED ? "A change was approved and is done."
                                             : "A change is over. It altered nothing.");
    add_change(n, row, &doc);
    add(n, "state", "%s", state);
    if (!by.by_agent)
        add(n, "by", "uid %u", (unsigned)by.uid);
    if (row->reason[0] != '\0')
        add(n, "reason", "%s", row->reason);
    add_time(n, "at", t->life.now_ms);
    err = mail_all(t, n, is_concerned, row, fault);
out:
    ag_changedoc_fini(&doc);
    free(n);
    return err;
}

enum antag_err ag_notice_stopped(struct ag_txn *t, const char *profile, const char *what,
                                 uint32_t version, const char *done, struct ag_actor by,
                                 const char *reason, struct antag_fault *fault)
{
    struct notice *n = make(fault);
    enum antag_err err;

    if (n == NULL)
        return ANTAG_ERR_NO_MEMORY;
    snprintf(n->subject, sizeof n->subject, "antom-agent: %s %u of %s is %s", what, version,
             profile, done);
    snprintf(n->lead, sizeof n->lead, "A key was stopped.");
    add(n, "profile", "%s", profile);
    add(n, "key", "%s, version %u", what, version);
    add(n, "state", "%s", done);
    if (by.by_agent)
        add(n, "by", "the agent");
    else
        add(n, "by", "uid %u", (unsigned)by.uid);
    if (reason[0] != '\0')
        add(n, "reason", "%s", reason);
    add_time(n, "at", t->life.now_ms);
    err = mail_all(t, n, is_anybody, NULL, fault);
    free(n);
    return err;
}

enum antag_err ag_notice_recovery(struct ag_txn *t, const struct ag_row_change *row, uint32_t uid,
                                  size_t left, struct antag_fault *fault)
{
    struct notice *n = make(fault);
    enum antag_err err;

    if (n == NULL)
        return ANTAG_ERR_NO_MEMORY;
    snprintf(n->subject, sizeof n->subject, "antom-agent: uid %u used a recovery code",
             (unsigned)uid);
    snprintf(n->lead, sizeof n->lead,
             "A change was approved with a recovery code instead of a code by mail.");
    add(n, "change", "%llu", (unsigned long long)row->id);
    add(n, "by", "uid %u", (unsigned)uid);
    add(n, "left", "%zu recovery codes", left);
    add_time(n, "at", t->life.now_ms);
    snprintf(n->closing, sizeof n->closing,
             "If uid %u did not do this: `antomctl change reject %llu`, and remove his enrolment.",
             (unsigned)uid, (unsigned long long)row->id);
    n->m.closing = n->closing;
    err = mail_all(t, n, is_anybody, NULL, fault);
    free(n);
    return err;
}

enum antag_err ag_notice_due(struct ag_txn *t, const char *profile, uint32_t version,
                             int64_t end_ms, struct antag_fault *fault)
{
    struct notice *n = make(fault);
    int64_t left_ms = end_ms - t->life.now_ms;
    char words[ANTAG_PROFILE_MAX + 20];
    enum antag_err err;

    if (n == NULL)
        return ANTAG_ERR_NO_MEMORY;
    snprintf(n->subject, sizeof n->subject, "antom-agent: key %u of %s is %s", version, profile,
             left_ms > 0 ? "due to be replaced" : "overdue");
    snprintf(
        n->lead, sizeof n->lead,
        "A signing key comes to the end of its period. It goes on signing; a rotation replaces it, "
        "and takes its time at Antom.");
    add(n, "profile", "%s", profile);
    add(n, "key", "version %u", version);
    add_time(n, "end", end_ms);
    snprintf(words, sizeof words, "rotate start %s", profile);
    ag_outbox_command(t->st, n->command, words);
    n->m.command = n->command;
    err = mail_all(t, n, is_anybody, NULL, fault);
    free(n);
    return err;
}

static void add_rotation_keys(const struct ag_txn *t, struct notice *n,
                              const struct ag_row_rotation *row)
{
    const struct ag_row_key *old_key = ag_book_key(t->book, row->old_key_id);
    const struct ag_row_key *new_key = ag_book_key(t->book, row->new_key_id);
    char fingerprint[65];

    if (old_key != NULL)
        add(n, "old key", "version %u", old_key->version);
    if (new_key == NULL)
        return;
    ag_keyform_fingerprint(ag_key_spki(new_key), fingerprint);
    add(n, "new key", "version %u, SHA-256 %s", new_key->version, fingerprint);
}

enum antag_err ag_notice_rotation(struct ag_txn *t, const struct ag_row_rotation *row,
                                  struct ag_actor by, const char *what, struct antag_fault *fault)
{
    const struct ag_row_profile *p = ag_book_profile(t->book, row->profile_id);
    struct notice *n = make(fault);
    struct ag_rotation_facts facts;
    struct ag_wait wait = {.reason = ""};
    char words[ANTAG_PROFILE_MAX + 20];
    enum antag_err err;

    if (n == NULL)
        return ANTAG_ERR_NO_MEMORY;
    ag_rotation_facts(&t->life, row, false, &facts);
    ag_rotation_wait(&facts, row->armed, &wait);
    snprintf(n->subject, sizeof n->subject, "antom-agent: rotation of %s %s",
             p == NULL ? "?" : p->name, what);
    snprintf(n->lead, sizeof n->lead, "A rotation of the signing key of %s is %s: %s.",
             p == NULL ? "?" : p->name, ag_rotation_state_name(row->state),
             ag_rotation_state_text(row->state));
    add(n, "rotation", "%llu", (unsigned long long)row->id);
    add_rotation_keys(t, n, row);
    if (by.by_agent)
        add(n, "by", "the agent");
    else
        add(n, "by", "uid %u", (unsigned)by.uid);
    add_time(n, "at", t->life.now_ms);
    if (row->old_probe != AG_PROBE_NONE || row->new_probe != AG_PROBE_NONE)
        add(n, "Antom", "old key: %s, new key: %s", ag_probe_outcome_name(row->old_probe),
            ag_probe_outcome_name(row->new_probe));
    if (row->reason[0] != '\0')
        add(n, "reason", "%s", row->reason);
    if (!ag_rotation_is_over(row->state)) {
        add(n, "waits for", "%s", wait.reason);
        add(n, "who", "%s", ag_actor_name(wait.who));
    }
    snprintf(words, sizeof words, "rotate status %s", p == NULL ? "" : p->name);
    ag_outbox_command(t->st, n->command, words);
    n->m.command = n->command;
    err = mail_all(t, n, is_anybody, NULL, fault);
    free(n);
    return err;
}
