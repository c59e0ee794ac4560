#include "agent/lib/chain/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/chain/chain.h"

struct walk {
    const struct ag_verify_conf *conf;
    struct ag_verify_result *result;
    /* where we are */
    uint32_t segment;
    uint64_t line;
    bool opened;      /* its first line was good */
    uint64_t repeats; /* lines still to come that belong in front of the opening */
    struct ag_line_head opening;
    char opening_text[AG_LINE_MAX];
    size_t opening_len;
    uint64_t bad; /* unreadable lines in front of the next good one */
    /* what is unreadable behind the last good line: the end of a segment, or not */
    uint64_t tail; /* bytes */
    uint64_t tail_at;
    uint32_t tail_in;
    char tail_why[160];
    uint8_t key[AG_CHAIN_KEY];
    bool has_key;
    /* hashes of the lines of this segment and the one before, for what is repeated */
    uint8_t (*seen)[AG_LINE_HASH];
    size_t seen_count, seen_cap;
    uint64_t seen_from;     /* number of the first one */
    uint64_t segment_start; /* number of the first line of this segment */
    size_t known;           /* the first of conf->known that was not passed yet */
    bool no_memory;
};

/* ---- findings */

ANTAG_PRINTF(5, 6)
static void find_at(struct walk *w, enum ag_finding_kind kind, uint32_t segment, uint64_t line,
                    const char *fmt, ...)
{
    struct ag_finding f = {.kind = kind, .segment = segment, .line = line};
    va_list args;

    va_start(args, fmt);
    vsnprintf(f.text, sizeof f.text, fmt, args);
    va_end(args);
    if (kind == AG_FINDING_BROKEN)
        w->result->broken++;
    else
        w->result->notes++;
    if (w->conf->on_finding != NULL)
        w->conf->on_finding(&f, w->conf->ctx);
}

#define broken(w, ...) find_at((w), AG_FINDING_BROKEN, (w)->segment, (w)->line, __VA_ARGS__)

/* ---- what was seen */

static void see(struct walk *w, const struct ag_line_head *head)
{
    if (w->seen_count == 0 || head->seq != w->seen_from + w->seen_count) {
        w->seen_from = head->seq;
        w->seen_count = 0;
    }
    if (w->seen_count == w->seen_cap) {
        size_t cap = w->seen_cap > 0 ? 2 * w->seen_cap : 1024;
        void *more = realloc(w->seen, cap * sizeof w->seen[0]);

        if (more == NULL) {
            w->no_memory = true;
            return;
        }
        w->seen = more;
        w->seen_cap = cap;
    }
    memcpy(w->seen[w->seen_count++], head->hash, AG_LINE_HASH);
}

static const uint8_t *seen_hash(const struct walk *w, uint64_t seq)
{
    if (w->seen_count == 0 || seq < w->seen_from || seq >= w->seen_from + w->seen_count)
        return NULL;
    return w->seen[seq - w->seen_from];
}

/* What lies before the segment that ends now is not asked for any more. */
static void forget_old(struct walk *w)
{
    uint64_t drop = w->segment_start > w->seen_from ? w->segment_start - w->seen_from : 0;

    if (drop > w->seen_count)
        drop = w->seen_count;
    if (drop > 0)
        memmove(w->seen, w->seen + drop, (w->seen_count - drop) * sizeof w->seen[0]);
    w->seen_count -= drop;
    w->seen_from += drop;
    w->segment_start = w->result->last_seq + 1;
}

/* ---- what others noted of this chain */

static void compare_known(struct walk *w, const struct ag_line_head *head)
{
    const struct ag_verify_conf *conf = w->conf;

    for (; w->known < conf->known_count && conf->known[w->known].seq <= head->seq; w->known++) {
        const struct ag_known_head *k = &conf->known[w->known];

        if (k->seq == head->seq && memcmp(k->hash, head->hash, AG_LINE_HASH) != 0)
            broken(w,
                   "line %" PRIu64 " of the chain is not the one that %s:%" PRIu64
                   " noted: it was written anew",
                   head->seq, k->by, k->by_seq);
    }
}

/* The last of those that lie behind the end. */
static void check_cut(struct walk *w)
{
    const struct ag_known_head *k;

    if (w->known == w->conf->known_count)
        return;
    k = &w->conf->known[w->conf->known_count - 1];
    find_at(w, AG_FINDING_BROKEN, 0, 0,
            "the chain ends with line %" PRIu64 ", but %s:%" PRIu64 " noted line %" PRIu64
            ": those behind the end were cut off",
            w->result->last_seq, k->by, k->by_seq, k->seq);
}

/* ---- a good line in its place */

static void accept(struct walk *w, const struct ag_line_head *head, struct antag_slice line)
{
    struct ag_verify_result *r = w->result;

    if (r->lines == 0)
        r->first_seq = head->seq;
    if (r->lines == 0 && head->seq != 1)
        find_at(w, AG_FINDING_NOTE, w->segment, w->line,
                "the files begin with line %" PRIu64 " of the chain; those before are not here",
                head->seq);
    r->lines++;
    r->last_seq = head->seq;
    memcpy(r->last_hash, head->hash, AG_LINE_HASH);
    see(w, head);
    compare_known(w, head);
    if (w->conf->on_line != NULL)
        w->conf->on_line(head, line, w->conf->ctx);
}

/* A line whose number was there before: the same one, written again behind a failure. */
static void check_again(struct walk *w, const struct ag_line_head *head)
{
    const uint8_t *hash = seen_hash(w, head->seq);

    if (hash == NULL || memcmp(hash, head->hash, AG_LINE_HASH) != 0)
        broken(w, "line %" PRIu64 " of the chain stands here again, and differs", head->seq);
}

static void check_checkpoint(struct walk *w, const struct ag_line_head *head,
                             struct antag_slice line)
{
    uint8_t text[AG_CHECKPOINT_TEXT_MAX], hash[AG_LINE_HASH], sig[crypto_sign_BYTES];
    uint64_t seq;
    size_t len;

    if (!ag_line_uint(line, "at_seq", &seq) || !ag_line_hex(line, "at_hash", hash, sizeof hash) ||
        !ag_line_hex(line, "signature", sig, sizeof sig) || seq + 1 != head->seq ||
        memcmp(hash, head->prev, sizeof hash) != 0) {
        broken(w, "the checkpoint does not stand for the line before it");
        return;
    }
    len = ag_checkpoint_text(head->chain, seq, hash, text);
    if (!w->has_key || crypto_sign_verify_detached(sig, text, len, w->key) != 0) {
        broken(w, "the signature of the checkpoint does not verify");
        return;
    }
    w->result->checkpoints++;
    w->result->checked_seq = seq;
}

/* A line "known": when this writer began the steward remembered a line of the chain. */
static void check_known(struct walk *w, const struct ag_line_head *head, struct antag_slice line)
{
    const uint8_t *seen;
    uint8_t hash[AG_LINE_HASH];
    uint64_t seq;

    if (!ag_line_uint(line, "at_seq", &seq) || !ag_line_hex(line, "at_hash", hash, sizeof hash)) {
        broken(w, "the line does not say which line was known");
        return;
    }
    if (seq >= head->seq) {
        broken(w,
               "when this writer began, line %" PRIu64
               " of the chain was known: lines behind line %" PRIu64 " had been cut off",
               seq, w->segment_start > 1 ? w->segment_start - 1 : 0);
        return;
    }
    seen = seen_hash(w, seq);
    if (seen != NULL && memcmp(seen, hash, sizeof hash) != 0)
        broken(w, "line %" PRIu64 " of the chain is not the one that was known", seq);
}

/* Does its number follow? False: it is one that was before. */
static bool check_number(struct walk *w, const struct ag_line_head *head)
{
    const struct ag_verify_result *r = w->result;
    uint64_t next = r->last_seq + 1;

    if (r->lines == 0)
        return true;
    if (head->seq < next) {
        broken(w, "line %" PRIu64 " of the chain stands behind line %" PRIu64, head->seq,
               r->last_seq);
        return false;
    }
    if (head->seq > next + w->bad)
        broken(w,
               "in front of it %" PRIu64 " of the lines %" PRIu64 " to %" PRIu64
               " of the chain are missing",
               head->seq - next - w->bad, next, head->seq - 1);
    return true;
}

/* A line that should be the next of the chain. */
static void follow(struct walk *w, const struct ag_line_head *head, struct antag_slice line)
{
    static const uint8_t zeros[AG_LINE_HASH];
    const uint8_t *prev = head->seq == 1 ? zeros : w->result->last_hash;
    bool is_next = head->seq == w->result->last_seq + 1;

    if (!check_number(w, head))
        return;
    if (is_next && memcmp(prev, head->prev, AG_LINE_HASH) != 0)
        broken(w, "line %" PRIu64 " of the chain does not follow the line before it", head->seq);
    w->bad = 0;
    accept(w, head, line);
    if (strcmp(head->type, "checkpoint") == 0)
        check_checkpoint(w, head, line);
    else if (strcmp(head->type, "known") == 0)
        check_known(w, head, line);
}

/* ---- the first line of a segment, and what it repeats */

static bool says(struct antag_slice line, const char *field, const char *text)
{
    struct antag_slice v;

    return ag_line_field(line, field, &v) && antag_slice_is(v, text);
}

/* The segment before ended with bytes that are no lines: was that the end of a writer? */
static void close_tail(struct walk *w, struct antag_slice line)
{
    uint64_t torn = 0;

    (void)ag_line_uint(line, "torn", &torn);
    if (w->tail == 0 && torn == 0)
        return;
    if (w->tail == torn)
        find_at(w, AG_FINDING_NOTE, w->tail_in, w->tail_at,
                "%" PRIu64
                " bytes at the end are torn: the writer ended there, as the next segment says",
                torn);
    else if (says(line, "why", "write failed") || says(line, "why", "sync failed"))
        find_at(w, AG_FINDING_NOTE, w->tail_in, w->tail_at,
                "%" PRIu64 " bytes at the end are no lines: the disk had refused them", w->tail);
    else
        find_at(w, AG_FINDING_BROKEN, w->tail_in, w->tail_at,
                "%" PRIu64 " bytes at the end are no lines (%s); the next segment says %" PRIu64,
                w->tail, w->tail_why, torn);
    w->tail = w->bad = 0;
}

static void open_segment(struct walk *w, const struct ag_line_head *head, struct antag_slice line)
{
    uint64_t number = 0;
    uint8_t key[AG_CHAIN_KEY];

    w->opened = true;
    if (strcmp(head->type, "segment") != 0 || !ag_line_uint(line, "segment", &number) ||
        !ag_line_uint(line, "repeats", &w->repeats) || !ag_line_hex(line, "key", key, sizeof key)) {
        broken(w, "the first line of the file does not open a segment");
        w->repeats = 0;
        follow(w, head, line);
        return;
    }
    if (number != w->segment)
        broken(w, "this is segment %" PRIu64 ", under the name of another", number);
    if (w->conf->key != NULL && memcmp(key, w->conf->key, sizeof key) != 0)
        broken(w, "the segment names another key for its checkpoints than the agent's");
    memcpy(w->key, w->conf->key != NULL ? w->conf->key : key, sizeof w->key);
    w->has_key = true;
    close_tail(w, line);
    if (w->repeats == 0) {
        follow(w, head, line);
        return;
    }
    w->opening = *head;
    memcpy(w->opening_text, line.p, line.len);
    w->opening_len = line.len;
}

static void take_repeated(struct walk *w, const struct ag_line_head *head, struct antag_slice line)
{
    if (head->seq >= w->opening.seq)
        broken(w, "line %" PRIu64 " of the chain is none that this segment can repeat", head->seq);
    else if (w->result->lines > 0 && head->seq <= w->result->last_seq)
        check_again(w, head);
    else
        follow(w, head, line);
    if (--w->repeats == 0)
        follow(w, &w->opening,
               (struct antag_slice){(const uint8_t *)w->opening_text, w->opening_len});
}

/* The file ended before all was repeated. What was to be repeated can stand in the segments before. */
static void end_unfinished(struct walk *w)
{
    if (w->opening.seq == w->result->last_seq + 1)
        follow(w, &w->opening,
               (struct antag_slice){(const uint8_t *)w->opening_text, w->opening_len});
    else
        find_at(
            w, AG_FINDING_NOTE, w->segment, 1,
            "the segment was not finished when its writer ended: its first line does not count");
}

/* ---- the lines of a file */

static void take_good(struct walk *w, const struct ag_line_head *head, struct antag_slice line)
{
    if (strcmp(head->chain, w->conf->name) != 0) {
        broken(w, "the line is of the chain %s", head->chain);
        w->bad++;
        return;
    }
    if (!w->opened) {
        open_segment(w, head, line);
        return;
    }
    if (w->tail > 0) /* not the end after all */
        find_at(w, AG_FINDING_BROKEN, w->tail_in, w->tail_at, "%s", w->tail_why);
    w->tail = 0;
    if (w->repeats > 0)
        take_repeated(w, head, line);
    else
        follow(w, head, line);
}

static void take_bad(struct walk *w, size_t len, const char *why)
{
    if (w->tail == 0) {
        w->tail_in = w->segment;
        w->tail_at = w->line;
        snprintf(w->tail_why, sizeof w->tail_why, "%s", why);
    } else if (w->tail_in == w->segment) { /* two of them: each is told, the last may be torn */
        find_at(w, AG_FINDING_BROKEN, w->segment, w->line - 1, "%s", w->tail_why);
        snprintf(w->tail_why, sizeof w->tail_why, "%s", why);
        w->tail_at = w->line;
    }
    w->tail += len;
    w->bad++;
}

static void walk_file(struct walk *w, FILE *file)
{
    char *text = NULL;
    size_t cap = 0;
    ssize_t n;

    w->line = 0;
    w->opened = false;
    w->repeats = 0;
    while (!w->no_memory && (n = getline(&text, &cap, file)) > 0) {
        bool whole = text[n - 1] == '\n';
        struct antag_slice line = {(const uint8_t *)text, (size_t)n - (whole ? 1 : 0)};
        struct ag_line_head head;
        struct antag_fault why;

        w->line++;
        if (!whole)
            take_bad(w, (size_t)n, "the line is torn");
        else if (ag_line_parse(line, &head, &why) != ANTAG_OK)
            take_bad(w, (size_t)n, antag_fault_text(&why));
        else
            take_good(w, &head, line);
    }
    if (w->repeats > 0)
        end_unfinished(w);
    free(text);
}

static enum antag_err walk_segment(struct walk *w, int dir, uint32_t number,
                                   struct antag_fault *fault)
{
    char name[AG_SEGMENT_NAME_SIZE];
    FILE *file = NULL;
    int fd, failed;

    ag_segment_name(number, name);
    w->segment = number;
    fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        file = fdopen(fd, "r");
    if (file == NULL) {
        if (fd >= 0)
            close(fd);
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%.300s/%s/%s cannot be opened: %s",
                               w->conf->audit_dir, w->conf->name, name, strerror(errno));
    }
    forget_old(w);
    walk_file(w, file);
    failed = ferror(file);
    fclose(file);
    w->result->segments++;
    if (w->no_memory)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    if (failed)
        return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%.300s/%s/%s cannot be read",
                               w->conf->audit_dir, w->conf->name, name);
    return ANTAG_OK;
}

/* ---- the chain */

static void check_end(struct walk *w)
{
    if (w->tail > 0)
        find_at(w, AG_FINDING_NOTE, w->tail_in, w->tail_at,
                "the chain ends with %" PRIu64
                " bytes that are no line: the writer ended there, is "
                "writing just now, or the end was cut",
                w->tail);
    check_cut(w);
}

static void check_numbers(struct walk *w, const uint32_t *list, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (list[i] != list[i - 1] + 1)
            find_at(w, AG_FINDING_NOTE, list[i], 0,
                    "segments %u to %u are not here; lines that only they had are told as missing",
                    list[i - 1] + 1, list[i] - 1);
}

static enum antag_err open_chain(const struct ag_verify_conf *conf, int *dir,
                                 struct antag_fault *fault)
{
    char path[1024];

    snprintf(path, sizeof path, "%s/%s", conf->audit_dir, conf->name);
    *dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*dir >= 0)
        return ANTAG_OK;
    return antag_fault_set(fault, errno == ENOENT ? ANTAG_ERR_NOT_FOUND : ANTAG_ERR_IO, NULL,
                           "%.400s: %s", path, strerror(errno));
}

enum antag_err ag_chain_verify(const struct ag_verify_conf *conf, struct ag_verify_result *out,
                               struct antag_fault *fault)
{
    struct walk *w = calloc(1, sizeof *w);
    uint32_t *list = NULL;
    size_t count = 0;
    enum antag_err err;
    int dir = -1;

    memset(out, 0, sizeof *out);
    if (w == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, NULL);
    w->conf = conf;
    w->result = out;
    if ((err = open_chain(conf, &dir, fault)) != ANTAG_OK)
        goto out;
    if ((err = ag_segment_list(dir, &list, &count)) != ANTAG_OK) {
        (void)antag_fault_set(fault, err, NULL, "%.300s/%s cannot be listed", conf->audit_dir,
                              conf->name);
        goto out;
    }
    check_numbers(w, list, count);
    for (size_t i = 0; i < count && err == ANTAG_OK; i++)
        err = walk_segment(w, dir, list[i], fault);
    if (err == ANTAG_OK)
        check_end(w);
out:
    free(list);
    if (dir >= 0)
        close(dir);
    free(w->seen);
    free(w);
    return err;
}
