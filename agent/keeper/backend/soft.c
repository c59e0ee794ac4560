/* soft: private keys in this process, signatures by OpenSSL. OpenSSL checks each CRT signature against
 * the public exponent before it returns it, and falls back to the plain exponent when it does not fit;
 * that result is unchecked, which is why imports are checked whole and every load ends with a
 * self-test. */
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/keeper/backend/backend.h"
#include "agent/lib/log.h"

/* Contexts kept a worker. A context holds a copy of its key, as threads that share one wait for each other's blinding; so
 * a forgotten key must be found in every cache: it can stand in one slot only, and slots change hands by atomic
 * exchange. */
#define CONTEXTS_MAX 1024u

struct soft_key {
    struct ag_backend_key base;
    EVP_PKEY *pkey;
    uint64_t serial; /* never used twice, unlike an address */
    _Atomic bool used;
};

struct context {
    uint64_t serial;
    EVP_PKEY_CTX *ctx;
};

struct cache {
    _Alignas(64) _Atomic(struct context *) slot[CONTEXTS_MAX];
};

struct soft {
    struct ag_backend base;
    const struct ag_secret *ring_key; /* borrowed */
    _Atomic uint64_t serial;
    size_t workers;
    struct cache *caches;
};

/* OpenSSL's own reason, logged where it is met. */
static enum antag_err openssl_failed(const char *what)
{
    ag_log(AG_LOG_ERROR, "keyring.openssl", AG_F_TEXT("what", what),
           AG_F_UINT("code", ERR_peek_last_error()));
    ERR_clear_error();
    return ANTAG_ERR_INTERNAL;
}

static void context_free(struct context *c)
{
    if (c == NULL)
        return;
    EVP_PKEY_CTX_free(c->ctx);
    free(c);
}

static struct context *context_new(const struct soft_key *key)
{
    struct context *c = calloc(1, sizeof *c);
    EVP_PKEY *own = EVP_PKEY_dup(key->pkey);

    if (c == NULL || own == NULL) {
        EVP_PKEY_free(own);
        free(c);
        return NULL;
    }
    c->serial = key->serial;
    c->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    EVP_PKEY_free(own); /* the context has it */
    if (c->ctx == NULL || EVP_PKEY_sign_init(c->ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_padding(c->ctx, RSA_PKCS1_PADDING) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(c->ctx, EVP_sha256()) <= 0) {
        (void)openssl_failed("sign context");
        context_free(c);
        return NULL;
    }
    return c;
}

static void soft_close(struct ag_backend *b)
{
    struct soft *s = (struct soft *)b;

    if (s == NULL)
        return;
    for (size_t w = 0; s->caches != NULL && w < s->workers; w++)
        for (size_t i = 0; i < CONTEXTS_MAX; i++)
            context_free(atomic_load(&s->caches[w].slot[i]));
    free(s->caches);
    free(s);
}

static enum antag_err soft_open(const struct ag_conf_keyring *conf,
                                const struct ag_secret *ring_key, size_t workers,
                                struct ag_backend **out, struct antag_fault *fault)
{
    struct soft *s = calloc(1, sizeof *s);

    if (s == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "keyring %s: out of memory",
                               conf->name);
    s->base.ops = &ag_backend_soft;
    s->ring_key = ring_key;
    s->workers = workers;
    s->caches = aligned_alloc(64, workers * sizeof *s->caches);
    if (s->caches == NULL) {
        soft_close(&s->base);
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "keyring %s: out of memory",
                               conf->name);
    }
    memset(s->caches, 0, workers * sizeof *s->caches);
    *out = &s->base;
    return ANTAG_OK;
}

static enum antag_err sign_one(struct soft *s, size_t worker, struct ag_backend_job *job)
{
    struct soft_key *key = (struct soft_key *)job->key;
    _Atomic(struct context *) *slot = &s->caches[worker].slot[key->serial % CONTEXTS_MAX];
    struct context *c = atomic_exchange(slot, NULL);
    size_t len = ANTAG_SIG_MAX;

    if (c != NULL && c->serial != key->serial) {
        context_free(c);
        c = NULL;
    }
    if (c == NULL) {
        atomic_store(&key->used, true);
        c = context_new(key);
    }
    if (c == NULL)
        return ANTAG_ERR_INTERNAL;
    if (EVP_PKEY_sign(c->ctx, job->sig, &len, job->digest, 32) <= 0) {
        context_free(c);
        return openssl_failed("sign");
    }
    context_free(atomic_exchange(slot, c)); /* not NULL when purge() has just put one back */
    job->sig_len = len;
    return ANTAG_OK;
}

static void soft_sign(struct ag_backend *b, size_t worker, struct ag_backend_job *jobs,
                      size_t count)
{
    for (size_t i = 0; i < count; i++)
        jobs[i].err = sign_one((struct soft *)b, worker, &jobs[i]);
}

/* Takes one context of `key` out of a worker's cache. Another key's that stands there is put back. */
static void purge(struct cache *cache, const struct soft_key *key)
{
    _Atomic(struct context *) *slot = &cache->slot[key->serial % CONTEXTS_MAX];
    struct context *c = atomic_load(slot), *none = NULL;

    if (c == NULL)
        return;
    c = atomic_exchange(slot, NULL);
    if (c == NULL)
        return;
    if (c->serial == key->serial || !atomic_compare_exchange_strong(slot, &none, c))
        context_free(c);
}

static void soft_forget(struct ag_backend_key *k)
{
    struct soft_key *key = (struct soft_key *)k;
    struct soft *s;

    if (key == NULL)
        return;
    s = (struct soft *)key->base.backend;
    for (size_t w = 0; atomic_load(&key->used) && w < s->workers; w++)
        purge(&s->caches[w], key);
    EVP_PKEY_free(key->pkey); /* OpenSSL clears the private numbers */
    free(key);
}

/* Takes `pkey`, on failure too. */
static enum antag_err key_new(struct soft *s, EVP_PKEY *pkey, struct ag_backend_key **out)
{
    struct soft_key *key = calloc(1, sizeof *key);

    if (key == NULL) {
        EVP_PKEY_free(pkey);
        return ANTAG_ERR_NO_MEMORY;
    }
    key->base.backend = &s->base;
    key->pkey = pkey;
    key->serial = atomic_fetch_add(&s->serial, 1) + 1;
    *out = &key->base;
    return ANTAG_OK;
}

static enum antag_err soft_load(struct ag_backend *b, const struct ag_key_identity *id,
                                struct antag_slice spki, struct antag_slice sealed,
                                struct ag_backend_key **out, struct antag_fault *fault)
{
    struct soft *s = (struct soft *)b;
    EVP_PKEY *pkey = NULL;
    enum antag_err err;

    if ((err = ag_keyform_unseal(sealed, s->ring_key, id, &pkey)) != ANTAG_OK)
        goto out;
    if ((err = ag_keyform_self_test(pkey, spki)) != ANTAG_OK)
        goto out;
    err = key_new(s, pkey, out);
    pkey = NULL; /* transferred */
out:
    EVP_PKEY_free(pkey);
    if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "key with handle %llu, version %u: %s",
                        (unsigned long long)id->handle, (unsigned)id->version,
                        antag_err_message(err));
    return err;
}

static enum antag_err rsa_generate(uint32_t bits, EVP_PKEY **out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    enum antag_err err = ANTAG_OK;

    /* two primes and the exponent 65537 are OpenSSL's defaults */
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0 ||
        EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) <= 0 || EVP_PKEY_generate(ctx, out) <= 0)
        err = openssl_failed("generate");
    EVP_PKEY_CTX_free(ctx);
    return err;
}

static enum antag_err soft_generate(struct ag_backend *b, const struct ag_key_identity *id,
                                    uint32_t bits, struct ag_backend_key **out,
                                    struct ag_keyring_made *made, struct antag_fault *fault)
{
    struct soft *s = (struct soft *)b;
    EVP_PKEY *pkey = NULL;
    enum antag_err err;

    if ((err = rsa_generate(bits, &pkey)) != ANTAG_OK)
        goto out;
    if ((err = ag_keyform_spki(pkey, made->spki, &made->spki_len)) != ANTAG_OK)
        goto out;
    if ((err = ag_keyform_self_test(pkey, (struct antag_slice){made->spki, made->spki_len})) !=
        ANTAG_OK)
        goto out;
    if ((err = ag_keyform_seal(pkey, s->ring_key, id, made->sealed, &made->sealed_len)) != ANTAG_OK)
        goto out;
    err = key_new(s, pkey, out);
    pkey = NULL; /* transferred */
out:
    EVP_PKEY_free(pkey);
    if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "a key of %u bits could not be made: %s", (unsigned)bits,
                        antag_err_message(err));
    return err;
}

/* What there is stands sealed in the registry, which has wiped it. */
static enum antag_err soft_destroy(struct ag_backend *b, uint64_t handle, struct antag_fault *fault)
{
    (void)b;
    (void)handle;
    (void)fault;
    return ANTAG_OK;
}

static enum antag_err soft_check(struct ag_backend *b, struct antag_fault *fault)
{
    (void)b;
    (void)fault;
    return ANTAG_OK;
}

const struct ag_backend_ops ag_backend_soft = {
    .open = soft_open,
    .close = soft_close,
    .sign = soft_sign,
    .load = soft_load,
    .generate = soft_generate,
    .forget = soft_forget,
    .destroy = soft_destroy,
    .check = soft_check,
};
