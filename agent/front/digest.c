#include "agent/front/digest.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct ag_hasher {
    EVP_MD *md; /* fetched once: a lookup by name for each digest costs more than a short digest */
    EVP_MD_CTX *ctx;
};

struct ag_hasher *ag_hasher_new(void)
{
    struct ag_hasher *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    h->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    h->ctx = EVP_MD_CTX_new();
    if (!h->md || !h->ctx) {
        ag_hasher_free(h);
        return NULL;
    }
    return h;
}

void ag_hasher_free(struct ag_hasher *h)
{
    if (!h)
        return;
    EVP_MD_CTX_free(h->ctx);
    EVP_MD_free(h->md);
    free(h);
}

enum antag_err ag_hasher_digest(struct ag_hasher *h, const struct ag_antom_prefix *prefix,
                                struct antag_slice body, uint8_t out[AG_DIGEST_LEN])
{
    unsigned len = 0;

    if (EVP_DigestInit_ex2(h->ctx, h->md, NULL) != 1 ||
        EVP_DigestUpdate(h->ctx, prefix->text, prefix->len) != 1 ||
        (body.len > 0 && EVP_DigestUpdate(h->ctx, body.p, body.len) != 1) ||
        EVP_DigestFinal_ex(h->ctx, out, &len) != 1 || len != AG_DIGEST_LEN)
        return ANTAG_ERR_INTERNAL;
    return ANTAG_OK;
}
