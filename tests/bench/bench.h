/* bench: what its files share. One run compares OpenSSL in this process with an agent behind its socket, rows in
 * shuffled order, so that a busy machine disturbs both alike. */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "antag/client.h"

/* roles whose CPU time is told */
enum role { ROLE_FRONT, ROLE_KEEPER, ROLE_STEWARD, ROLE_SUPERVISOR, ROLE_COUNT };
extern const char *const role_names[ROLE_COUNT];

/* one row in one round */
struct sample {
    uint64_t ops;
    double rate;                /* operations a second */
    double p50_us, p99_us;      /* of one operation; 0 where they overlap */
    double client_us;           /* CPU of this process an operation */
    double role_us[ROLE_COUNT]; /* CPU of a role an operation; 0 for raw rows */
};

/* ---- cpu.c */
double now_us(void);
double thread_cpu_us(void);
struct cpu {
    double us[ROLE_COUNT];
};
/* CPU time so far of the children of `agent` that are roles. False: there are none. */
bool cpu_of_roles(pid_t agent, struct cpu *out);
/* Sorts `v` and gives the value at `share` of it. */
double quantile(double *v, size_t count, double share);

/* ---- raw.c: OpenSSL alone, key and context kept; verify with a fresh context, as a caller without an agent has it */
enum op { OP_SIGN, OP_VERIFY };
struct raw {
    EVP_PKEY *key;
    const uint8_t *text; /* what is signed */
    size_t len;
    uint8_t signature[512];
    size_t signature_len;
};
/* False: OpenSSL refused. `threads` of them for `ms` milliseconds. */
bool raw_run(const struct raw *r, enum op op, unsigned threads, unsigned ms, struct sample *out);

/* ---- calls.c: what is asked of the agent */
struct calls {
    struct antag_sign_call sign;
    struct antag_verify_call verify;
    struct antag_header headers[3];
    char time[32], signature[2048];
};
extern const char bench_body[];
/* NULL, with a word on standard error: there is none in that file. */
EVP_PKEY *key_load(const char *path);
/* `key` plays Antom. The response is of now. */
bool calls_make(const char *profile, const char *client_id, EVP_PKEY *key, struct calls *out);
/* The same with another body, which is borrowed. */
bool calls_make_of(const char *profile, const char *client_id, EVP_PKEY *key,
                   struct antag_slice body, struct calls *out);

/* As the event loop's calls of the library. */
enum antag_err calls_submit(const struct calls *c, enum op op, struct antag_async *a,
                            antag_done_fn *done, void *ctx, struct antag_fault *fault);
/* Says so on standard error; false. */
bool fail(const char *what, const char *why);

/* ---- load.c: one thread that keeps an agent busy */
struct load {
    const char *socket;
    pid_t agent;
    enum op op;
    const struct calls *calls;
    unsigned connections, depth; /* requests in flight on each */
    int told_fd;                 /* a byte goes there with the first answer; 0: none does */
};
/* False, with a word on standard error: an answer was a refusal, or the agent went away. agent 0: its CPU time
 * is not looked at. */
bool load_run(const struct load *l, unsigned ms, struct sample *out);

/* ---- offer.c: one thread that sends at a rate, whatever comes back */
struct offered {
    uint64_t sent, good, busy;
    double good_rate;                /* answers with a result, a second */
    double busy_p50_us, busy_p99_us; /* from sending to BUSY */
    double good_p50_us, good_p99_us;
    double client_cores, role_cores[ROLE_COUNT]; /* CPU time a second, in cores */
};
/* The depth of `l` is not looked at. False: an answer was another refusal, or the agent went away. */
bool offer_run(const struct load *l, double rate, unsigned ms, struct offered *out);

/* ---- report.c */
#define ROUNDS_MAX 64
struct row {
    const char *op, *shape; /* "sign", "c16" */
    const char *what;       /* for people */
    bool raw;
    struct sample samples[ROUNDS_MAX];
};
struct report {
    struct row *rows;
    size_t row_count, rounds;
    unsigned cores, ms;
};
void report_print(const struct report *r);
bool report_json(const struct report *r, const char *path);

#endif
