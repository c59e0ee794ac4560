#include "agent/steward/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/chain/tail.h"
#include "agent/lib/log.h"

#define SEGMENTS_READ 8 /* at least, when the record is opened */
#define FIELDS_MAX    12
#define CONFIRM       "registry_confirm" /* the deed that ends `behind` */
#define SUSPEND       "key_suspend"

struct known_head {
    char of[ANTAG_KEYRING_MAX + 1];
    uint64_t seq;
    uint8_t hash[AG_LINE_HASH];
};
struct known {
    bool has_deed;
    uint64_t deed, epoch, behind;
    size_t head_count;
    struct known_head heads[AG_CONF_KEYRINGS_MAX];
};

struct ag_record {
    struct ag_chain *chain; /* NULL: it could not be opened */
    uint64_t copied;        /* last deed that was appended */
    uint64_t copied_seq;    /* its line */
    uint64_t settled;       /* deeds up to this one stand in the chain for good */
    uint64_t behind;        /* epoch of the record that the registry fell behind; 0: it did not */
    bool told;              /* a failure to copy was logged */
    struct known known;     /* heads */
};

/* ---- the end of the chain */

struct tail {
    struct known all, segment;
    unsigned segments;
};

static const struct known_head *head_in(const struct known *k, const char *of)
{
    for (size_t i = 0; i < k->head_count; i++)
        if (strcmp(k->heads[i].of, of) == 0)
            return &k->heads[i];
    return NULL;
}

static void set_head(struct known *k, const struct known_head *head)
{
    const struct known_head *at = head_in(k, head->of);
    size_t i = at != NULL ? (size_t)(at - k->heads) : k->head_count;

    if (i == AG_CONF_KEYRINGS_MAX)
        return;
    if (i == k->head_count)
        k->head_count++;
    k->heads[i] = *head;
}

static void take_head(struct known *k, struct antag_slice line)
{
    struct known_head head = {.seq = 0};
    struct antag_slice of;

    if (ag_line_field(line, "of", &of) && antag_slice_copy(of, head.of, sizeof head.of) &&
        ag_line_uint(line, "at_seq", &head.seq) &&
        ag_line_hex(line, "at_hash", head.hash, sizeof head.hash))
        set_head(k, &head);
}

static void on_line(const struct ag_line_head *head, struct antag_slice line, void *ctx)
{
    struct known *k = &((struct tail *)ctx)->segment;

    if (strcmp(head->type, "head") == 0)
        take_head(k, line);
    if (strcmp(head->type, "deed") != 0 || !ag_line_uint(line, "deed", &k->deed) ||
        !ag_line_uint(line, "epoch", &k->epoch))
        return;
    k->has_deed = true;
    if (!ag_line_uint(line, "behind", &k->behind))
        k->behind = 0;
}

/* What stands in a later segment counts more. */
static bool on_segment(void *ctx)
{
    struct tail *t = ctx;
    struct known *all = &t->all, *k = &t->segment;

    if (!all->has_deed && k->has_deed) {
        all->has_deed = true;
        all->deed = k->deed;
        all->epoch = k->epoch;
        all->behind = k->behind;
    }
    for (size_t i = 0; i < k->head_count; i++)
        if (head_in(all, k->heads[i].of) == NULL)
            set_head(all, &k->heads[i]);
    memset(k, 0, sizeof *k);
    return ++t->segments >= SEGMENTS_READ && all->has_deed;
}

static void read_tail(struct ag_steward *st, struct known *out)
{
    struct tail *t = calloc(1, sizeof *t);
    struct ag_tail_conf conf = {.audit_dir = st->home.audit,
                                .name = AG_RECORD_CHAIN,
                                .on_line = on_line,
                                .on_segment = on_segment,
                                .ctx = t};
    struct antag_fault fault = {.err = ANTAG_ERR_NO_MEMORY};

    if (t == NULL || ag_chain_tail(&conf, &fault) != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "record.read", &fault);
    if (t != NULL)
        *out = t->all;
    free(t);
}

/* ---- a registry that is older than the record */

static void replay_stop(const struct ag_line_head *head, struct antag_slice line, void *ctx)
{
    struct ag_steward *st = ctx;
    uint64_t epoch, handle, id;
    struct antag_slice what;

    if (strcmp(head->type, "deed") != 0 || !ag_line_uint(line, "epoch", &epoch) ||
        epoch <= ag_registry_epoch(st->reg) || !ag_line_field(line, "what", &what) ||
        !antag_slice_is(what, SUSPEND) || !ag_line_uint(line, "handle", &handle) ||
        ag_stop_is_pending(st, handle, 0))
        return;
    ag_log(AG_LOG_WARN, "stop.replayed", AG_F_UINT("handle", handle), AG_F_UINT("epoch", epoch));
    if (ag_stop_add(st, ag_actor_agent, handle, "stopped before the registry was set back", true,
                    &id, NULL) != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "stop.not_replayed", AG_F_UINT("handle", handle));
}

static bool go_on(void *ctx)
{
    (void)ctx;
    return false;
}

/* What was stopped after the registry's epoch is stopped again. One that was resumed since is too: that is
 * for staff to say anew. */
static void replay_stops(struct ag_steward *st)
{
    struct ag_tail_conf conf = {.audit_dir = st->home.audit,
                                .name = AG_RECORD_CHAIN,
                                .on_line = replay_stop,
                                .on_segment = go_on,
                                .ctx = st};
    struct antag_fault fault;

    if (ag_chain_tail(&conf, &fault) != ANTAG_OK)
        ag_log_fault(AG_LOG_ERROR, "record.read", &fault);
}

/* ---- open and close */

static void compare(struct ag_steward *st, struct ag_record *r)
{
    const struct known *k = &r->known;
    uint64_t epoch = ag_registry_epoch(st->reg);

    r->copied = r->settled = k->has_deed ? k->deed : 0;
    r->behind = k->behind;
    if (k->epoch > epoch && k->epoch > r->behind)
        r->behind = k->epoch;
    if (k->epoch <= epoch)
        return;
    /* its deeds were copied before those that it has lost; what it does from now on has their numbers */
    r->copied = r->settled = ag_registry_last_deed(st->reg);
    ag_log(AG_LOG_ERROR, "registry.rolled_back", AG_F_UINT("epoch", epoch),
           AG_F_UINT("record_epoch", k->epoch));
    replay_stops(st);
}

static struct ag_chain *open_chain(struct ag_steward *st)
{
    struct ag_conf conf;
    struct ag_secret *seed = NULL;
    struct ag_chain *chain = NULL;
    struct ag_chain_conf how = {.audit_dir = st->home.audit, .name = AG_RECORD_CHAIN};
    enum antag_err err = ANTAG_ERR_INTERNAL;

    ag_conf_copy(st, &conf);
    how.commit = conf.audit_durability == AG_DURABILITY_COMMIT;
    how.segment_max = (uint64_t)conf.audit_segment_max_bytes;
    how.reserve = (uint64_t)conf.audit_reserve_bytes;
    uv_mutex_lock(&st->lock);
    if (st->audit_key != NULL)
        seed = ag_secret_copy(st->audit_key);
    uv_mutex_unlock(&st->lock);
    how.seed = seed;
    if (seed != NULL)
        err = ag_chain_open(&how, &chain);
    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "record.open", AG_F_ERR(err));
    ag_secret_free(seed);
    return chain;
}

void ag_record_open(struct ag_steward *st)
{
    struct ag_record *r = calloc(1, sizeof *r);

    st->record = r;
    if (r == NULL) {
        ag_log(AG_LOG_ERROR, "record.open", AG_F_ERR(ANTAG_ERR_NO_MEMORY));
        return;
    }
    read_tail(st, &r->known);
    compare(st, r);
    r->chain = open_chain(st);
    ag_record_copy(st);
}

void ag_record_close(struct ag_steward *st)
{
    struct ag_record *r = st->record;

    st->record = NULL;
    if (r == NULL)
        return;
    if (r->chain != NULL)
        ag_refusals_record(st, r->chain);
    ag_chain_close(r->chain);
    free(r);
}

uint64_t ag_record_behind(const struct ag_steward *st)
{
    return st->record != NULL ? st->record->behind : 0;
}

/* ---- deeds */

static enum antag_err remove_settled(struct ag_steward *st, struct antag_fault *fault)
{
    struct ag_record *r = st->record;
    struct ag_chain_status status;
    uint64_t id = 0;
    enum antag_err err = ANTAG_OK;

    if (ag_record_status(st, &status) && status.safe_seq >= r->copied_seq)
        r->settled = r->copied;
    while (err == ANTAG_OK && ag_registry_next_deed(st->reg, 0, &id) && id <= r->settled)
        err = ag_registry_delete_deed(st->reg, id, fault);
    return err;
}

enum antag_err ag_record_write(struct ag_steward *st, struct ag_row_deed *deed,
                               struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;

    deed->epoch = ag_registry_next_epoch(st->reg);
    if (st->record != NULL)
        err = remove_settled(st, fault);
    return err == ANTAG_OK ? ag_registry_put_deed(st->reg, deed, fault) : err;
}

static void deed_fields(const struct ag_record *r, const struct ag_row_deed *d,
                        struct ag_log_field f[FIELDS_MAX])
{
    size_t n = 0;

    f[n++] = AG_F_UINT("deed", d->id);
    f[n++] = AG_F_UINT("epoch", d->epoch);
    f[n++] = d->by_agent ? AG_F_TEXT("by", "agent") : AG_F_UINT("uid", d->uid);
    f[n++] = AG_F_TEXT("what", d->what);
    if (d->subject[0] != '\0')
        f[n++] = AG_F_TEXT("subject", d->subject);
    if (d->handle != 0)
        f[n++] = AG_F_UINT("handle", d->handle);
    if (d->change_id != 0)
        f[n++] = AG_F_UINT("change", d->change_id);
    if (d->detail[0] != '\0')
        f[n++] = AG_F_TEXT("detail", d->detail);
    if (r->behind != 0)
        f[n++] = AG_F_UINT("behind", r->behind);
    f[n] = (struct ag_log_field){.kind = AG_LF_END};
}

static enum antag_err copy_one(struct ag_record *r, const struct ag_row_deed *d,
                               struct antag_fault *fault)
{
    struct ag_log_field fields[FIELDS_MAX];
    struct ag_chain_record line = {.type = "deed", .fields = fields};
    uint64_t behind = r->behind;
    enum antag_err err;

    if (strcmp(d->what, CONFIRM) == 0)
        r->behind = 0;
    deed_fields(r, d, fields);
    err = ag_chain_append(r->chain, &line, 1, &r->copied_seq, fault);
    if (err == ANTAG_OK)
        r->copied = d->id;
    else
        r->behind = behind;
    return err;
}

void ag_record_copy(struct ag_steward *st)
{
    struct ag_record *r = st->record;
    struct ag_row_deed deed;
    struct antag_fault fault;
    uint64_t id;
    enum antag_err err = ANTAG_OK;

    if (r == NULL || r->chain == NULL)
        return;
    while (err == ANTAG_OK && ag_registry_next_deed(st->reg, r->copied, &id)) {
        err = ag_registry_get_deed(st->reg, id, &deed, &fault);
        if (err == ANTAG_OK)
            err = copy_one(r, &deed, &fault);
    }
    if (err != ANTAG_OK && !r->told)
        ag_log_fault(AG_LOG_ERROR, "record.waits", &fault);
    r->told = err != ANTAG_OK;
}

/* ---- heads */

bool ag_record_head_of(const struct ag_steward *st, const char *chain, uint64_t *seq,
                       uint8_t hash[AG_LINE_HASH])
{
    const struct known_head *at = st->record == NULL ? NULL : head_in(&st->record->known, chain);

    if (at == NULL)
        return false;
    *seq = at->seq;
    memcpy(hash, at->hash, AG_LINE_HASH);
    return true;
}

void ag_record_note_head(struct ag_steward *st, const char *chain, uint64_t seq,
                         const uint8_t hash[AG_LINE_HASH])
{
    struct ag_log_field fields[] = {AG_F_TEXT("of", chain),
                                    AG_F_UINT("at_seq", seq),
                                    AG_F_HEX("at_hash", ((struct antag_slice){hash, AG_LINE_HASH})),
                                    {.kind = AG_LF_END}};
    struct ag_chain_record line = {.type = "head", .fields = fields, .quiet = true};
    struct known_head head = {.seq = seq};
    struct antag_fault fault;
    uint64_t unused;

    if (st->record == NULL || st->record->chain == NULL)
        return;
    if (ag_chain_append(st->record->chain, &line, 1, &unused, &fault) != ANTAG_OK)
        return; /* it says itself why; the next head is as good */
    (void)snprintf(head.of, sizeof head.of, "%s", chain);
    memcpy(head.hash, hash, sizeof head.hash);
    set_head(&st->record->known, &head);
}

void ag_record_refusals(struct ag_steward *st)
{
    if (st->record != NULL && st->record->chain != NULL)
        ag_refusals_record(st, st->record->chain);
}

bool ag_record_status(const struct ag_steward *st, struct ag_chain_status *out)
{
    if (st->record == NULL || st->record->chain == NULL)
        return false;
    ag_chain_status(st->record->chain, out);
    return true;
}
