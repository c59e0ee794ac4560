/* bench: measures a running agent against OpenSSL in this process. packaging/bench starts the agents. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PROFILE   "shop/sandbox"
#define CLIENT_ID "SANDBOX_5X00000000000001"
#define WARM_MS   300

struct options {
    const char *buffered, *commit, *key, *json; /* sockets; PEM of the stand-in for Antom */
    pid_t buffered_pid, commit_pid;
    unsigned rounds, ms;
};

/* ---- the rows */

enum where { RAW, BUFFERED, COMMIT };
static const struct plan {
    const char *op, *shape, *what;
    enum where where;
    unsigned connections, depth; /* raw: threads; 0: one a core */
} plans[] = {
    {"sign", "raw1", "raw, 1 thread", RAW, 1, 0},
    {"sign", "raw_all", "raw, a thread a core", RAW, 0, 0},
    {"sign", "c1", "1 connection", BUFFERED, 1, 1},
    {"sign", "commit", "1 connection, commit", COMMIT, 1, 1},
    {"sign", "c16", "16 connections", BUFFERED, 16, 1},
    {"sign", "pipelined", "4 connections, 8 deep", BUFFERED, 4, 8},
    {"verify", "raw1", "raw, 1 thread", RAW, 1, 0},
    {"verify", "raw_all", "raw, a thread a core", RAW, 0, 0},
    {"verify", "c1", "1 connection", BUFFERED, 1, 1},
    {"verify", "c16", "16 connections", BUFFERED, 16, 1},
    {"verify", "pipelined", "4 connections, 16 deep", BUFFERED, 4, 16},
};
#define ROWS (sizeof plans / sizeof plans[0])

struct bench {
    struct options o;
    struct calls calls;
    struct raw raw;
    struct row rows[ROWS];
    unsigned cores;
};

static bool run_row(struct bench *b, size_t i, unsigned ms, struct sample *out)
{
    const struct plan *p = &plans[i];
    bool sign = strcmp(p->op, "sign") == 0;
    struct load l = {.socket = p->where == COMMIT ? b->o.commit : b->o.buffered,
                     .agent = p->where == COMMIT ? b->o.commit_pid : b->o.buffered_pid,
                     .op = sign ? OP_SIGN : OP_VERIFY,
                     .calls = &b->calls,
                     .connections = p->connections,
                     .depth = p->depth};

    if (p->where == RAW)
        return raw_run(&b->raw, sign ? OP_SIGN : OP_VERIFY,
                       p->connections > 0 ? p->connections : b->cores, ms, out);
    return load_run(&l, ms, out);
}

static void shuffle(size_t order[ROWS])
{
    for (size_t i = 0; i < ROWS; i++)
        order[i] = i;
    for (size_t i = ROWS - 1; i > 0; i--) {
        size_t k = (size_t)random() % (i + 1), kept = order[i];

        order[i] = order[k];
        order[k] = kept;
    }
}

static bool run_round(struct bench *b, unsigned ms, size_t round)
{
    size_t order[ROWS];
    bool good = true;

    shuffle(order);
    for (size_t i = 0; good && i < ROWS; i++) {
        good = run_row(b, order[i], ms, &b->rows[order[i]].samples[round]);
        if (!good)
            fprintf(stderr, "bench: %s, %s: failed\n", plans[order[i]].op, plans[order[i]].what);
    }
    return good;
}

/* ---- set-up */

static bool make_raw(struct bench *b, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good;

    b->raw = (struct raw){.key = key,
                          .text = (const uint8_t *)bench_body,
                          .len = strlen(bench_body),
                          .signature_len = sizeof b->raw.signature};
    good =
        ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(ctx, b->raw.signature, &b->raw.signature_len, b->raw.text, b->raw.len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

static bool run(struct bench *b)
{
    struct report report = {b->rows, ROWS, b->o.rounds, b->cores, b->o.ms};

    for (size_t i = 0; i < ROWS; i++)
        b->rows[i] = (struct row){.op = plans[i].op,
                                  .shape = plans[i].shape,
                                  .what = plans[i].what,
                                  .raw = plans[i].where == RAW};
    if (!run_round(b, WARM_MS, 0)) /* its figures are written over */
        return false;
    for (size_t i = 0; i < b->o.rounds; i++)
        if (!run_round(b, b->o.ms, i))
            return false;
    report_print(&report);
    if (b->o.json != NULL && !report_json(&report, b->o.json)) {
        fprintf(stderr, "bench: %s cannot be written\n", b->o.json);
        return false;
    }
    return true;
}

/* ---- command line */

static int usage(void)
{
    fprintf(stderr, "usage: antag-bench --buffered SOCKET --buffered-pid N --commit SOCKET "
                    "--commit-pid N --key PEM [--rounds 7..64] [--ms N] [--json FILE]\n");
    return 2;
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"buffered", required_argument, NULL, 'b'},
        {"buffered-pid", required_argument, NULL, 'B'},
        {"commit", required_argument, NULL, 'c'},
        {"commit-pid", required_argument, NULL, 'C'},
        {"key", required_argument, NULL, 'k'},
        {"rounds", required_argument, NULL, 'r'},
        {"ms", required_argument, NULL, 'm'},
        {"json", required_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    int c;

    *o = (struct options){.rounds = 15, .ms = 1000};
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        unsigned n = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 10) : 0;

        switch (c) {
        case 'b':
            o->buffered = optarg;
            break;
        case 'B':
            o->buffered_pid = (pid_t)n;
            break;
        case 'c':
            o->commit = optarg;
            break;
        case 'C':
            o->commit_pid = (pid_t)n;
            break;
        case 'k':
            o->key = optarg;
            break;
        case 'r':
            o->rounds = n;
            break;
        case 'm':
            o->ms = n;
            break;
        case 'j':
            o->json = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->buffered != NULL && o->commit != NULL && o->key != NULL &&
           o->buffered_pid > 0 && o->commit_pid > 0 && o->rounds >= 7 && o->rounds <= ROUNDS_MAX &&
           o->ms >= 10;
}

int main(int argc, char **argv)
{
    static struct bench b;
    EVP_PKEY *key;
    bool good;

    if (!read_options(argc, argv, &b.o))
        return usage();
    b.cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
    srandom((unsigned)((uint64_t)now_us() & 0xffffffffu));
    key = key_load(b.o.key);
    good = key != NULL && calls_make(PROFILE, CLIENT_ID, key, &b.calls) && make_raw(&b, key) &&
           run(&b);
    EVP_PKEY_free(key);
    return good ? 0 : 1;
}
