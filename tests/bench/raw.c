#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/bench/bench.h"

#define TIMES_MAX 200000

struct worker {
    const struct raw *raw;
    enum op op;
    double for_us, cpu_us, took_us;
    double *times; /* of the first worker; NULL: not told */
    uint64_t ops;
    size_t time_count;
    bool failed;
};

static bool sign_once(EVP_MD_CTX *ctx, const struct raw *r)
{
    uint8_t sig[512];
    size_t len = sizeof sig;

    return EVP_DigestSignInit(ctx, NULL, NULL, NULL, NULL) == 1 &&
           EVP_DigestSign(ctx, sig, &len, r->text, r->len) == 1;
}

static bool verify_once(const struct raw *r)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, r->key) == 1 &&
                EVP_DigestVerify(ctx, r->signature, r->signature_len, r->text, r->len) == 1;

    EVP_MD_CTX_free(ctx);
    return good;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    double began, cpu, before, after;

    w->failed = ctx == NULL || EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, w->raw->key) != 1;
    cpu = thread_cpu_us();
    began = before = after = now_us(); /* its own time: it may have been started late */
    while (!w->failed && (w->ops == 0 || before < began + w->for_us)) {
        w->failed = w->op == OP_SIGN ? !sign_once(ctx, w->raw) : !verify_once(w->raw);
        after = now_us();
        if (w->times != NULL && w->time_count < TIMES_MAX)
            w->times[w->time_count++] = after - before;
        before = after;
        w->ops++;
    }
    w->took_us = after - began;
    w->cpu_us = thread_cpu_us() - cpu;
    EVP_MD_CTX_free(ctx);
    return NULL;
}

bool raw_run(const struct raw *r, enum op op, unsigned threads, unsigned ms, struct sample *out)
{
    struct worker *w = calloc(threads, sizeof *w);
    pthread_t *t = calloc(threads, sizeof *t);
    double *times = malloc(TIMES_MAX * sizeof *times), cpu = 0;
    unsigned started = 0;
    bool good = w != NULL && t != NULL && times != NULL;

    *out = (struct sample){0};
    for (; good && started < threads; started++) {
        w[started] = (struct worker){
            .raw = r, .op = op, .for_us = ms * 1e3, .times = started == 0 ? times : NULL};
        good = pthread_create(&t[started], NULL, work, &w[started]) == 0;
    }
    for (unsigned i = 0; i < started; i++) {
        pthread_join(t[i], NULL);
        good = good && !w[i].failed && w[i].ops > 0;
        out->ops += w[i].ops;
        out->rate += w[i].took_us > 0 ? (double)w[i].ops * 1e6 / w[i].took_us : 0;
        cpu += w[i].cpu_us;
    }
    if (good) {
        out->client_us = cpu / (double)out->ops;
        out->p50_us = quantile(times, w[0].time_count, 0.5);
        out->p99_us = quantile(times, w[0].time_count, 0.99);
    }
    free(w);
    free(t);
    free(times);
    return good;
}
