/* crowd: what one caller does to another, and what more work than there is room for does to all. Runs as root, as
 * the other caller has a uid of its own. packaging/bench --crowd starts the agent. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define PROFILE   "shop/sandbox"
#define CLIENT_ID "SANDBOX_5X00000000000001"
#define WARM_MS   300
#define LEAD_MS   200 /* the neighbour begins before, and ends after */
#define SHARE     1
#define GREEDY    10 /* times its share: requests that it keeps in flight */
#define CONNS     16
#define OFFERED   2.0 /* times what the agent can do */

struct options {
    const char *socket, *key, *json;
    pid_t agent;
    uid_t other;
    unsigned rounds, ms;
};

enum row_id { ALONE, BESIDE_SHARE, BESIDE_GREEDY, CAPACITY, OVERLOAD, ROW_IDS };
struct figures {
    double v[ROW_IDS][ROUNDS_MAX];   /* p99 us; of CAPACITY and OVERLOAD the rate */
    double p50[ROW_IDS][ROUNDS_MAX]; /* us; of OVERLOAD of BUSY */
    double busy_p99[ROUNDS_MAX], good_p99[ROUNDS_MAX];
    double cores[ROW_IDS][1 + ROLE_COUNT][ROUNDS_MAX]; /* of the client, then of each role */
};
struct crowd {
    struct options o;
    struct calls calls;
    struct figures f;
};

/* ---- the other caller: a process under its own uid, as turns go by uid */

static void be_neighbour(const struct crowd *c, unsigned in_flight, unsigned ms, int told_fd)
{
    struct load l = {.socket = c->o.socket,
                     .op = OP_SIGN,
                     .calls = &c->calls,
                     .connections = 1,
                     .depth = in_flight,
                     .told_fd = told_fd};
    struct sample s;

    if (setgroups(0, NULL) != 0 || setresgid(c->o.other, c->o.other, c->o.other) != 0 ||
        setresuid(c->o.other, c->o.other, c->o.other) != 0) {
        fail("the other uid (this part needs root)", strerror(errno));
        _exit(1);
    }
    _exit(load_run(&l, ms, &s) ? 0 : 1);
}

static pid_t start_neighbour(const struct crowd *c, unsigned in_flight, unsigned ms)
{
    int told[2];
    char byte;
    pid_t pid;
    ssize_t n;

    if (pipe(told) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        close(told[0]);
        be_neighbour(c, in_flight, ms, told[1]);
    }
    close(told[1]);
    do
        n = read(told[0], &byte, 1); /* its first answer, or its end */
    while (n < 0 && errno == EINTR);
    close(told[0]);
    return pid;
}

static bool end_neighbour(pid_t pid)
{
    int status = 0;

    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- rows */

static bool run_beside(struct crowd *c, unsigned in_flight, unsigned ms, struct sample *out)
{
    struct load l = {.socket = c->o.socket,
                     .agent = c->o.agent,
                     .op = OP_SIGN,
                     .calls = &c->calls,
                     .connections = 1,
                     .depth = 1};
    pid_t pid = in_flight > 0 ? start_neighbour(c, in_flight, ms + LEAD_MS) : 0;
    bool good = pid >= 0 && load_run(&l, ms, out);

    return (pid <= 0 || end_neighbour(pid)) && good;
}

static bool run_capacity(struct crowd *c, unsigned ms, struct sample *out)
{
    struct load l = {.socket = c->o.socket,
                     .agent = c->o.agent,
                     .op = OP_SIGN,
                     .calls = &c->calls,
                     .connections = CONNS,
                     .depth = 8};

    return load_run(&l, ms, out);
}

/* Beside each other, so that what disturbs the machine disturbs both. */
static bool run_overload(struct crowd *c, unsigned ms, size_t round)
{
    struct load l = {.socket = c->o.socket,
                     .agent = c->o.agent,
                     .op = OP_SIGN,
                     .calls = &c->calls,
                     .connections = CONNS};
    struct sample cap;
    struct offered got;

    if (!run_capacity(c, ms, &cap) || !offer_run(&l, cap.rate * OFFERED, ms, &got))
        return false;
    c->f.v[CAPACITY][round] = cap.rate;
    c->f.v[OVERLOAD][round] = got.good_rate;
    c->f.p50[OVERLOAD][round] = got.busy_p50_us;
    c->f.busy_p99[round] = got.busy_p99_us;
    c->f.good_p99[round] = got.good_p99_us;
    c->f.cores[CAPACITY][0][round] = cap.client_us * cap.rate / 1e6;
    c->f.cores[OVERLOAD][0][round] = got.client_cores;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        c->f.cores[CAPACITY][1 + i][round] = cap.role_us[i] * cap.rate / 1e6;
        c->f.cores[OVERLOAD][1 + i][round] = got.role_cores[i];
    }
    return true;
}

static bool run_round(struct crowd *c, unsigned ms, size_t round)
{
    static const unsigned beside[] = {
        [ALONE] = 0, [BESIDE_SHARE] = SHARE, [BESIDE_GREEDY] = GREEDY};
    unsigned from = (unsigned)random() % 3;

    for (unsigned i = 0; i < 3; i++) {
        unsigned row = (from + i) % 3;
        struct sample s;

        if (!run_beside(c, beside[row], ms, &s))
            return false;
        c->f.v[row][round] = s.p99_us;
        c->f.p50[row][round] = s.p50_us;
    }
    return run_overload(c, ms, round);
}

/* ---- report */

static double median(const double *v, size_t n)
{
    double copy[ROUNDS_MAX];

    memcpy(copy, v, n * sizeof *v);
    return quantile(copy, n, 0.5);
}

static double median_ratio(const double *a, const double *b, size_t n)
{
    double v[ROUNDS_MAX];

    for (size_t i = 0; i < n; i++)
        v[i] = a[i] / b[i];
    return quantile(v, n, 0.5);
}

static void print(const struct crowd *c)
{
    static const char *const names[] = {"alone", "beside one that has 1 in flight",
                                        "beside one that has 10 in flight"};
    const struct figures *f = &c->f;
    size_t n = c->o.rounds;

    printf("%-36s%9s%9s  %s\n", "one caller, one request at a time", "p50 us", "p99 us",
           "p99 against");
    for (int i = ALONE; i <= BESIDE_GREEDY; i++) {
        printf("%-36s%9.0f%9.0f", names[i], median(f->p50[i], n), median(f->v[i], n));
        if (i > ALONE)
            printf("  %.2f of alone", median_ratio(f->v[i], f->v[ALONE], n));
        if (i == BESIDE_GREEDY)
            printf(", %.2f of 1 in flight", median_ratio(f->v[i], f->v[BESIDE_SHARE], n));
        printf("\n");
    }
    printf("\n%.0f a second are signed of as many as can be, %.0f when %.0f times as many are "
           "sent: %.2f.\n"
           "The rest is answered BUSY in %.0f us (p99 %.0f); p99 of those signed: %.1f ms.\n",
           median(f->v[CAPACITY], n), median(f->v[OVERLOAD], n), OFFERED,
           median_ratio(f->v[OVERLOAD], f->v[CAPACITY], n), median(f->p50[OVERLOAD], n),
           median(f->busy_p99, n), median(f->good_p99, n) / 1e3);
}

/* Where the processors' time goes: what the sending and the refusing take, the signing lacks. */
static void print_cores(const struct crowd *c)
{
    size_t n = c->o.rounds;

    printf("\n%-36s%9s%9s%9s\n", "cores in use", "client", "front", "keeper");
    for (int i = CAPACITY; i <= OVERLOAD; i++)
        printf("%-36s%9.2f%9.2f%9.2f\n", i == CAPACITY ? "as many as can be" : "twice as many",
               median(c->f.cores[i][0], n), median(c->f.cores[i][1 + ROLE_FRONT], n),
               median(c->f.cores[i][1 + ROLE_KEEPER], n));
}

static bool write_json(const struct crowd *c)
{
    const struct figures *f = &c->f;
    size_t n = c->o.rounds;
    json_t *o;
    bool good;

    if (c->o.json == NULL)
        return true;
    o = json_pack("{s:{s:f, s:f, s:f, s:f, s:f}, s:{s:f, s:f, s:f, s:f}}", "greedy", "alone_p99_us",
                  median(f->v[ALONE], n), "share_p99_us", median(f->v[BESIDE_SHARE], n),
                  "greedy_p99_us", median(f->v[BESIDE_GREEDY], n), "p99_ratio",
                  median_ratio(f->v[BESIDE_GREEDY], f->v[BESIDE_SHARE], n), "p99_ratio_alone",
                  median_ratio(f->v[BESIDE_GREEDY], f->v[ALONE], n), "overload", "capacity",
                  median(f->v[CAPACITY], n), "goodput",
                  median_ratio(f->v[OVERLOAD], f->v[CAPACITY], n), "busy_p99_us",
                  median(f->busy_p99, n), "good_p99_us", median(f->good_p99, n));
    good = o != NULL && json_dump_file(o, c->o.json, JSON_INDENT(2)) == 0;
    json_decref(o);
    return good || fail(c->o.json, strerror(errno));
}

/* ---- command line */

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option names[] = {
        {"socket", required_argument, NULL, 's'}, {"pid", required_argument, NULL, 'p'},
        {"key", required_argument, NULL, 'k'},    {"other-uid", required_argument, NULL, 'u'},
        {"rounds", required_argument, NULL, 'r'}, {"ms", required_argument, NULL, 'm'},
        {"json", required_argument, NULL, 'j'},   {NULL, 0, NULL, 0},
    };
    int c;

    *o = (struct options){.rounds = 7, .ms = 1000};
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        unsigned n = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 10) : 0;

        switch (c) {
        case 's':
            o->socket = optarg;
            break;
        case 'p':
            o->agent = (pid_t)n;
            break;
        case 'k':
            o->key = optarg;
            break;
        case 'u':
            o->other = n;
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
    return optind == argc && o->socket != NULL && o->key != NULL && o->agent > 0 && o->other > 0 &&
           o->rounds >= 3 && o->rounds <= ROUNDS_MAX && o->ms >= 10;
}

int main(int argc, char **argv)
{
    static struct crowd c;
    EVP_PKEY *key;
    bool good;

    if (!read_options(argc, argv, &c.o)) {
        fprintf(stderr, "usage: antag-crowd --socket SOCKET --pid N --key PEM --other-uid N "
                        "[--rounds 3..64] [--ms N] [--json FILE]\n");
        return 2;
    }
    srandom((unsigned)((uint64_t)now_us() & 0xffffffffu));
    key = key_load(c.o.key);
    good = key != NULL && calls_make(PROFILE, CLIENT_ID, key, &c.calls) &&
           run_round(&c, WARM_MS, 0); /* its figures are written over */
    for (size_t i = 0; good && i < c.o.rounds; i++)
        good = run_round(&c, c.o.ms, i);
    EVP_PKEY_free(key);
    if (good) {
        print(&c);
        print_cores(&c);
    }
    return good && write_json(&c) ? 0 : 1;
}
