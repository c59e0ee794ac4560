#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/lib/chain/chain_internal.h"
#include "agent/lib/clock.h"

#define CHECKPOINT_MS 60000
#define HELD_MAX      (16 * 1024 * 1024) /* bytes of lines in memory; more are not taken */

/* ---- lines */

static bool lines_room(struct ag_lines *l, size_t more)
{
    size_t cap = l->cap > 0 ? l->cap : 4096;
    char *p;

    if (l->len + more <= l->cap)
        return true;
    while (cap < l->len + more)
        cap *= 2;
    p = realloc(l->p, cap);
    if (p == NULL)
        return false;
    l->p = p;
    l->cap = cap;
    return true;
}

bool ag_lines_add(struct ag_lines *l, const char *p, size_t len, size_t count)
{
    if (!lines_room(l, len))
        return false;
    if (len > 0)
        memcpy(l->p + l->len, p, len);
    l->len += len;
    l->count += count;
    return true;
}

void ag_lines_clear(struct ag_lines *l)
{
    if (l->cap > 1024 * 1024) { /* of a bad hour: do not keep it */
        free(l->p);
        l->p = NULL;
        l->cap = 0;
    }
    l->len = l->count = 0;
}

/* One line more at the head of the chain, into `to`. Under the lock. */
enum antag_err ag_chain_add_line(struct ag_chain *c, struct ag_lines *to, const char *type,
                                 const struct ag_log_field *fields)
{
    struct ag_line_head next = c->head;
    size_t len;

    next.seq++;
    next.time_ms = ag_clock_wall_ms();
    memcpy(next.prev, c->head.hash, sizeof next.prev);
    snprintf(next.type, sizeof next.type, "%s", type);
    len = ag_line_render(&next, fields, c->line);
    if (len == 0)
        return ANTAG_ERR_AUDIT;
    if (!ag_lines_add(to, c->line, len, 1))
        return ANTAG_ERR_NO_MEMORY;
    c->head = next;
    c->held += len;
    if (c->since_checkpoint++ == 0)
        c->checkpoint_at = ag_clock_mono_ms() + CHECKPOINT_MS;
    return ANTAG_OK;
}

/* ---- appending */

static enum antag_err may_append(struct ag_chain *c, struct antag_fault *fault)
{
    if (atomic_load(&c->stuck) || c->low)
        return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL, "%s", c->why);
    if (c->held > HELD_MAX)
        return antag_fault_set(fault, ANTAG_ERR_AUDIT, NULL,
                               "%.300s/%s: the disk takes lines more slowly than they come",
                               c->audit_dir, c->name);
    return ANTAG_OK;
}

static enum antag_err append(struct ag_chain *c, const struct ag_chain_record *records,
                             size_t count, bool wake, uint64_t *first, struct antag_fault *fault)
{
    struct ag_line_head head;
    struct ag_lines before;
    enum antag_err err;
    uint64_t held, since_before, appended;

    pthread_mutex_lock(&c->lock);
    head = c->head;
    before = c->pending;
    held = c->held;
    since_before = c->since_checkpoint;
    appended = c->appended;
    err = may_append(c, fault);
    for (size_t i = 0; i < count && err == ANTAG_OK; i++) {
        uint64_t since = c->since_checkpoint;

        err = ag_chain_add_line(c, &c->pending, records[i].type, records[i].fields);
        if (records[i].quiet)
            c->since_checkpoint = since;
        else
            c->appended++;
        if (err != ANTAG_OK)
            (void)antag_fault_set(fault, err, NULL, "a line of the record cannot be made");
    }
    if (err == ANTAG_OK) {
        *first = head.seq + 1;
    } else { /* as if nothing had been */
        c->head = head;
        c->pending.len = before.len;
        c->pending.count = before.count;
        c->held = held;
        c->since_checkpoint = since_before;
        c->appended = appended;
    }
    if (err == ANTAG_OK && (wake || c->conf.commit) && !c->wanted) {
        c->wanted = true;
        pthread_cond_signal(&c->wake);
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

enum antag_err ag_chain_append(struct ag_chain *c, const struct ag_chain_record *records,
                               size_t count, uint64_t *first, struct antag_fault *fault)
{
    return append(c, records, count, true, first, fault);
}

enum antag_err ag_chain_append_helped(struct ag_chain *c, const struct ag_chain_record *records,
                                      size_t count, uint64_t *first, struct antag_fault *fault)
{
    return append(c, records, count, false, first, fault);
}

enum ag_fate ag_chain_fate(const struct ag_chain *c, uint64_t seq)
{
    if (seq <= atomic_load(&c->recorded))
        return AG_FATE_RECORDED;
    return atomic_load(&c->stuck) ? AG_FATE_STUCK : AG_FATE_WAITS;
}

void ag_chain_status(struct ag_chain *c, struct ag_chain_status *out)
{
    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&c->lock);
    out->seq = c->head.seq;
    memcpy(out->hash, c->head.hash, sizeof out->hash);
    out->recorded = atomic_load(&c->recorded);
    out->safe_seq = c->safe.seq;
    memcpy(out->safe_hash, c->safe.hash, sizeof out->safe_hash);
    out->appended = c->appended;
    out->segment = c->segment;
    out->refusing = atomic_load(&c->stuck) || c->low;
    if (out->refusing)
        snprintf(out->why, sizeof out->why, "%s", c->why);
    pthread_mutex_unlock(&c->lock);
}

/* ---- checkpoints */

size_t ag_checkpoint_text(const char *chain, uint64_t seq, const uint8_t hash[AG_LINE_HASH],
                          uint8_t out[AG_CHECKPOINT_TEXT_MAX])
{
    char hex[AG_LINE_HEX];

    ag_line_hash_text(hash, hex);
    return (size_t)snprintf((char *)out, AG_CHECKPOINT_TEXT_MAX,
                            "antom-agent checkpoint\n%s\n%llu\n%s\n", chain,
                            (unsigned long long)seq, hex);
}

/* Under the lock. */
enum antag_err ag_chain_add_checkpoint(struct ag_chain *c, struct ag_lines *to)
{
    uint8_t text[AG_CHECKPOINT_TEXT_MAX], sig[crypto_sign_BYTES];
    struct ag_line_head at = c->head;
    size_t len = ag_checkpoint_text(at.chain, at.seq, at.hash, text);
    enum antag_err err;

    if (crypto_sign_detached(sig, NULL, text, len, ag_secret_bytes(c->signing_key)) != 0)
        return ANTAG_ERR_INTERNAL;
    err =
        ag_chain_add_line(c, to, "checkpoint",
                          (const struct ag_log_field[]){
                              AG_F_UINT("at_seq", at.seq),
                              AG_F_HEX("at_hash", ((struct antag_slice){at.hash, sizeof at.hash})),
                              AG_F_HEX("signature", ((struct antag_slice){sig, sizeof sig})),
                              {.kind = AG_LF_END}});
    if (err == ANTAG_OK)
        c->since_checkpoint = 0;
    return err;
}

/* ---- beginning and end */

static enum antag_err make_key(struct ag_chain *c, const struct ag_secret *seed)
{
    _Static_assert(crypto_sign_SEEDBYTES == AG_KEY_LEN, "the seed is a subkey");
    c->signing_key = ag_secret_new(crypto_sign_SECRETKEYBYTES);
    if (c->signing_key == NULL)
        return ANTAG_ERR_NO_MEMORY;
    ag_secret_set_len(c->signing_key, crypto_sign_SECRETKEYBYTES);
    if (crypto_sign_seed_keypair(c->public_key, ag_secret_bytes(c->signing_key),
                                 ag_secret_slice(seed).p) != 0)
        return ANTAG_ERR_INTERNAL;
    return ANTAG_OK;
}

static void chain_free(struct ag_chain *c)
{
    ag_chain_file_close(&c->file);
    ag_chain_forget_salvage(c);
    ag_secret_free(c->signing_key);
    free(c->pending.p);
    free(c->unsafe.p);
    free(c->opening.p);
    pthread_cond_destroy(&c->wake);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->out);
    free(c);
}

static struct ag_chain *chain_new(const struct ag_chain_conf *conf)
{
    struct ag_chain *c = calloc(1, sizeof *c);
    pthread_condattr_t attr;
    uint8_t random[8];

    if (c == NULL)
        return NULL;
    c->conf = *conf;
    c->conf.seed = NULL; /* the caller's */
    ag_chain_file_init(&c->file);
    c->salvage_fd = -1;
    c->opening_why = "start";
    snprintf(c->audit_dir, sizeof c->audit_dir, "%s", conf->audit_dir);
    snprintf(c->name, sizeof c->name, "%s", conf->name);
    c->conf.audit_dir = c->audit_dir;
    c->conf.name = c->name;
    snprintf(c->head.chain, sizeof c->head.chain, "%s", conf->name);
    ag_random(random, sizeof random);
    sodium_bin2hex(c->incarnation, sizeof c->incarnation, random, sizeof random);
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->out, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    return c;
}

enum antag_err ag_chain_open(const struct ag_chain_conf *conf, struct ag_chain **out)
{
    struct ag_chain *c = chain_new(conf);
    enum antag_err err = ANTAG_OK;
    sigset_t all, before;

    if (c == NULL)
        return ANTAG_ERR_NO_MEMORY;
    if ((err = make_key(c, conf->seed)) != ANTAG_OK)
        goto out;
    ag_chain_step(c, false); /* so that it is known from the first append whether lines are taken */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&c->thread, NULL, ag_chain_thread, c) != 0)
        err = ANTAG_ERR_IO;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
out:
    if (err != ANTAG_OK)
        chain_free(c);
    else
        *out = c;
    return err;
}

void ag_chain_close(struct ag_chain *c)
{
    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    chain_free(c);
}
