/* The verifier: whatever is done to the files of a chain is found where it was done, or stands in the
 * short list of what cannot be found from the files alone. */
#include <stdint.h>

#include "tests/support/chainrig.h"

#define LINES 60

/* A chain of several segments. */
static void make_chain(void)
{
    struct rig r = {.conf = {.commit = true, .segment_max = 4096}};
    uint64_t seq = 0;

    make_audit();
    rig_open(&r);
    for (uint64_t i = 0; i < LINES; i++) {
        seq = must_add(&r, i);
        CU_ASSERT_TRUE(wait_fate(&r, seq, AG_FATE_RECORDED));
    }
    rig_close(&r);
}

/* ---- files as texts */

struct file {
    char path[256], *text;
    size_t len, lines;
};

static struct file load(uint32_t segment)
{
    struct file f = {.text = calloc(1, 65536)};
    char name[AG_SEGMENT_NAME_SIZE];
    FILE *in;

    ag_segment_name(segment, name);
    audit_path("soft", name, f.path, sizeof f.path);
    in = fopen(f.path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(in);
    f.len = fread(f.text, 1, 65535, in);
    fclose(in);
    for (size_t i = 0; i < f.len; i++)
        f.lines += f.text[i] == '\n';
    return f;
}

static void store(struct file *f)
{
    FILE *out = fopen(f->path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_EQUAL(fwrite(f->text, 1, f->len, out), f->len);
    fclose(out);
    free(f->text);
}

/* The offset of line `n`, from 1; of the end behind the last. */
static size_t line_at(const struct file *f, size_t n)
{
    size_t at = 0;

    while (n-- > 1)
        at = (size_t)((char *)memchr(f->text + at, '\n', f->len - at) - f->text) + 1;
    return at;
}

static void cut(struct file *f, size_t from, size_t to)
{
    memmove(f->text + from, f->text + to, f->len - to);
    f->len -= to - from;
}

/* ---- what is done */

static void edit_byte(void)
{
    struct file f = load(2);

    f.text[line_at(&f, 5) + 40] ^= 1;
    store(&f);
}

/* The hash is made anew as well: only what follows tells. */
static void edit_well(void)
{
    struct file f = load(2);
    size_t at = line_at(&f, 5), end = line_at(&f, 6);
    struct ag_line_head head;
    char line[AG_LINE_MAX];
    size_t len;

    CU_ASSERT_EQUAL(
        ag_line_parse((struct antag_slice){(uint8_t *)f.text + at, end - at - 1}, &head, NULL),
        ANTAG_OK);
    head.time_ms = 1700000000123;
    len = ag_line_render(
        &head, (const struct ag_log_field[]){AG_F_UINT("n", 4000), {.kind = AG_LF_END}}, line);
    cut(&f, at, end);
    memmove(f.text + at + len, f.text + at, f.len - at);
    memcpy(f.text + at, line, len);
    f.len += len;
    store(&f);
}

static void cut_line(void)
{
    struct file f = load(2);

    cut(&f, line_at(&f, 5), line_at(&f, 6));
    store(&f);
}

static void cut_many(void)
{
    struct file f = load(2);

    cut(&f, line_at(&f, 3), line_at(&f, 6));
    store(&f);
}

static void swap_lines(void)
{
    struct file f = load(2);
    size_t a = line_at(&f, 4), b = line_at(&f, 5), c = line_at(&f, 6);
    char *copy = malloc(f.len);

    memcpy(copy, f.text, f.len);
    memcpy(f.text + a, copy + b, c - b);
    memcpy(f.text + a + (c - b), copy + a, b - a);
    free(copy);
    store(&f);
}

static void double_line(void)
{
    struct file f = load(2);
    size_t a = line_at(&f, 5), b = line_at(&f, 6);

    memmove(f.text + b + (b - a), f.text + b, f.len - b);
    memcpy(f.text + b, f.text + a, b - a);
    f.len += b - a;
    store(&f);
}

static void add_line(void)
{
    struct file f = load(2);
    size_t a = line_at(&f, 5);

    memmove(f.text + a + 3, f.text + a, f.len - a);
    memcpy(f.text + a, "{}\n", 3);
    f.len += 3;
    store(&f);
}

static void cut_first(void)
{
    struct file f = load(2);

    cut(&f, 0, line_at(&f, 2));
    store(&f);
}

static void cut_end_of_middle(void)
{
    struct file f = load(2);

    f.len = line_at(&f, f.lines);
    store(&f);
}

static void tear_middle(void)
{
    struct file f = load(2);

    f.len -= 10;
    store(&f);
}

static void garbage_behind_middle(void)
{
    struct file f = load(2);

    memcpy(f.text + f.len, "garbage", 7);
    f.len += 7;
    store(&f);
}

static void swap_files(void)
{
    struct file a = load(2), b = load(3);
    char path[256];

    memcpy(path, a.path, sizeof path);
    memcpy(a.path, b.path, sizeof path);
    memcpy(b.path, path, sizeof path);
    store(&a);
    store(&b);
}

static void remove_middle(void)
{
    struct file f = load(2);

    unlink(f.path);
    free(f.text);
}

static void empty_middle(void)
{
    struct file f = load(2);

    f.len = 0;
    store(&f);
}

static void copy_of_older(void)
{
    struct file a = load(1), b = load(3);

    free(b.text);
    memcpy(a.path, b.path, sizeof a.path);
    store(&a);
}

/* A checkpoint by another key, its line's hash made anew: found even where it is the last line. */
static void forge_checkpoint(void)
{
    struct found *found = calloc(1, sizeof *found);
    struct file f;
    size_t at;
    struct ag_line_head head;
    char line[AG_LINE_MAX];
    static const uint8_t sig[64] = {1};
    size_t len;

    look(NULL, found);
    f = load((uint32_t)found->result.segments);
    at = line_at(&f, f.lines);
    CU_ASSERT_EQUAL(
        ag_line_parse((struct antag_slice){(uint8_t *)f.text + at, f.len - at - 1}, &head, NULL),
        ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(head.type, "checkpoint");
    len =
        ag_line_render(&head,
                       (const struct ag_log_field[]){
                           AG_F_UINT("at_seq", head.seq - 1),
                           AG_F_HEX("at_hash", ((struct antag_slice){head.prev, sizeof head.prev})),
                           AG_F_HEX("signature", ((struct antag_slice){sig, sizeof sig})),
                           {.kind = AG_LF_END}},
                       line);
    f.len = at;
    memcpy(f.text + at, line, len);
    f.len += len;
    store(&f);
    free(found);
}

static void cut_tail(void)
{
    struct found *found = calloc(1, sizeof *found);
    struct file f;

    look(NULL, found);
    f = load((uint32_t)found->result.segments);
    f.len = line_at(&f, f.lines); /* the last line */
    store(&f);
    free(found);
}

static void remove_last(void)
{
    struct found *found = calloc(1, sizeof *found);
    struct file f;

    look(NULL, found);
    f = load((uint32_t)found->result.segments);
    unlink(f.path);
    free(f.text);
    free(found);
}

static void remove_first(void)
{
    struct file f = load(1);

    unlink(f.path);
    free(f.text);
}

static void nothing(void)
{
}

/* Where it must be told: segment and line; 0: anywhere. */
static void test_tampering(void)
{
    static const struct {
        const char *name;
        void (*how)(void);
        uint32_t segment;
        uint64_t line;
    } rows[] = {
        {"a byte of a line", edit_byte, 2, 5},
        {"a line, with its hash", edit_well, 2, 6},
        {"a line cut out", cut_line, 2, 5},
        {"lines cut out", cut_many, 2, 3},
        {"two lines swapped", swap_lines, 2, 4},
        {"a line twice", double_line, 2, 6},
        {"a line put in", add_line, 2, 5},
        {"first line of a file cut off", cut_first, 2, 1},
        {"last line of a file cut off", cut_end_of_middle, 3, 1},
        {"last line of a file torn", tear_middle, 2, 0},
        {"bytes behind a file", garbage_behind_middle, 2, 0},
        {"two files swapped", swap_files, 2, 1},
        {"a file removed", remove_middle, 3, 1},
        {"a file emptied", empty_middle, 3, 1},
        {"a file replaced by an older one", copy_of_older, 3, 1},
        {"a forged checkpoint", forge_checkpoint, 0, 0},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct found *found = calloc(1, sizeof *found);
        bool located = false;

        make_chain();
        rows[i].how();
        look(NULL, found);
        ROW_ASSERT(rows[i].name, found->result.broken > 0);
        for (size_t k = 0; k < found->count; k++)
            located = located ||
                      (found->findings[k].kind == AG_FINDING_BROKEN &&
                       (rows[i].segment == 0 || found->findings[k].segment == rows[i].segment) &&
                       (rows[i].line == 0 || found->findings[k].line == rows[i].line));
        if (!located)
            print_findings(found);
        ROW_ASSERT(rows[i].name, located);
        remove_tree(audit);
        free(found);
    }
}

/* What the files alone cannot tell: a head that is known from elsewhere can. */
static void test_known_head(void)
{
    static const struct {
        const char *name;
        void (*how)(void);
        bool found_with_head;
    } rows[] = {
        {"nothing", nothing, false},
        {"the last line cut off", cut_tail, true},
        {"the last file removed", remove_last, true},
        {"the first file moved away", remove_first, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct found *before = calloc(1, sizeof *before), *found = calloc(1, sizeof *found);
        struct ag_known_head head = {.by = "other", .by_seq = 3};
        struct ag_verify_conf conf = {0};

        make_chain();
        look(NULL, before);
        rows[i].how();
        look(NULL, found);
        ROW_ASSERT(rows[i].name, found->result.broken == 0);
        head.seq = before->result.last_seq;
        memcpy(head.hash, before->result.last_hash, sizeof head.hash);
        conf.known = &head;
        conf.known_count = 1;
        look(&conf, found);
        ROW_ASSERT(rows[i].name, (found->result.broken > 0) == rows[i].found_with_head);
        if (rows[i].how == remove_first)
            ROW_ASSERT(rows[i].name, found->result.notes == 1 && found->result.first_seq > 1);
        remove_tree(audit);
        free(before);
        free(found);
    }
}

/* A whole chain written anew, with another key: told by a key that is trusted, or a head. */
static void test_other_key(void)
{
    static const uint8_t other[AG_CHAIN_KEY] = {1};
    static const struct ag_known_head heads[] = {{.seq = 5, .by = "a"}, {.seq = 5, .by = "b"}};
    struct found *found = calloc(1, sizeof *found);
    struct ag_verify_conf conf = {.key = other};

    make_chain();
    look(&conf, found);
    CU_ASSERT_TRUE(found->result.broken > 0);
    CU_ASSERT_EQUAL(found->findings[0].segment, 1);
    conf = (struct ag_verify_conf){.known = heads, .known_count = 2};
    look(&conf, found);
    CU_ASSERT_EQUAL(found->result.broken, 2);
    remove_tree(audit);
    free(found);
}

/* Torn tails: of a writer that ended anywhere in a line. The next one goes on; nothing is broken. */
static void test_torn(void)
{
    for (size_t keep = 1; keep < 400; keep += 37) {
        struct found *found = calloc(1, sizeof *found);
        struct rig r = {.conf = {.commit = true}};
        struct file f;
        size_t at;

        make_chain();
        look(NULL, found);
        f = load((uint32_t)found->result.segments);
        at = line_at(&f, f.lines);
        f.len = at + keep < f.len ? at + keep : f.len - 1;
        store(&f);
        look(NULL, found);
        CU_ASSERT_EQUAL(found->result.broken, 0);
        CU_ASSERT_EQUAL(found->result.notes, 1);
        rig_open(&r);
        CU_ASSERT_TRUE(wait_fate(&r, must_add(&r, LINES), AG_FATE_RECORDED));
        rig_close(&r);
        look(NULL, found);
        if (found->result.broken > 0)
            print_findings(found);
        CU_ASSERT_EQUAL(found->result.broken, 0);
        CU_ASSERT_EQUAL(found->result.notes, 1);
        CU_ASSERT_EQUAL(found->lines_of_sign, LINES + 1);
        remove_tree(audit);
        free(found);
    }
}

/* A writer that was killed while it opened a segment, after any number of its bytes. */
static void test_unfinished(void)
{
    struct rig r = {.conf = {.commit = true}};
    struct found *found = calloc(1, sizeof *found);
    int gate = eventfd(0, EFD_CLOEXEC), syncs;
    struct file f;
    size_t len;

    make_audit();
    rig_open(&r);
    CU_ASSERT_TRUE(wait_fate(&r, must_add(&r, 0), AG_FATE_RECORDED));
    atomic_store(&disk.gate,
                 gate); /* line 1 alone is in the file when its sync fails, the others wait */
    atomic_store(&disk.sync_fails, 1);
    syncs = atomic_load(&disk.syncs);
    (void)must_add(&r, 1);
    while (atomic_load(&disk.syncs) == syncs)
        (void)poll(NULL, 0, 1);
    (void)must_add(&r, 2);
    (void)must_add(&r, 3);
    CU_ASSERT_EQUAL(eventfd_write(gate, 1), 0);
    CU_ASSERT_TRUE(wait_fate(&r, 5, AG_FATE_RECORDED));
    atomic_store(&disk.gate, 0);
    rig_close(&r);
    close(gate);
    f = load(2);
    len = f.len;
    free(f.text);
    for (size_t keep = 0; keep < len; keep += 29) {
        struct rig next = {.conf = {.commit = true}};
        char third[256];

        f = load(2);
        f.len = keep;
        {
            char *whole = malloc(len);
            size_t at = keep;

            memcpy(whole, f.text, len);
            store(&f);
            rig_open(&next);
            CU_ASSERT_TRUE(wait_fate(&next, must_add(&next, 100 + keep % 7), AG_FATE_RECORDED));
            rig_close(&next);
            look(NULL, found);
            if (found->result.broken > 0) {
                printf("\n    cut at %zu:", at);
                print_findings(found);
            }
            CU_ASSERT_EQUAL(found->result.broken, 0);
            audit_path("soft", "00000003.jsonl", third, sizeof third);
            CU_ASSERT_EQUAL(unlink(third), 0);
            f = load(2);
            memcpy(f.text, whole, len);
            f.len = len;
            store(&f);
            free(whole);
        }
    }
    remove_tree(audit);
    free(found);
}

static void test_refusals(void)
{
    struct ag_verify_result result;
    struct antag_fault fault;
    struct ag_verify_conf conf = {.audit_dir = audit, .name = "hsm"};
    char path[256];
    int fd;

    make_audit();
    CU_ASSERT_EQUAL(ag_chain_verify(&conf, &result, &fault), ANTAG_ERR_NOT_FOUND);
    ROW_ASSERT(fault.text, strstr(fault.text, "hsm") != NULL);
    audit_path("hsm", "", path, sizeof path);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    close(fd);
    CU_ASSERT_EQUAL(ag_chain_verify(&conf, &result, &fault), ANTAG_ERR_IO);
    unlink(path);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    CU_ASSERT_EQUAL(ag_chain_verify(&conf, &result, &fault), ANTAG_OK); /* an empty one */
    CU_ASSERT_EQUAL(result.lines, 0);
    CU_ASSERT_EQUAL(result.broken, 0);
    audit_path("hsm", "00000001.jsonl", path, sizeof path);
    CU_ASSERT_EQUAL(symlink("/dev/zero", path), 0);
    CU_ASSERT_EQUAL(ag_chain_verify(&conf, &result, &fault), ANTAG_ERR_IO);
    remove_tree(audit);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"tampering is found and located", test_tampering},
        {"what needs a head from elsewhere", test_known_head},
        {"another key", test_other_key},
        {"torn tails", test_torn},
        {"a segment that was not finished", test_unfinished},
        {"refusals", test_refusals},
        CU_TEST_INFO_NULL,
    };
    struct antag_fault fault;

    if (ag_secret_setup(&fault) != ANTAG_OK)
        return 1;
    return run_tests("chain_verify", tests);
}
