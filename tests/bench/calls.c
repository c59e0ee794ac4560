#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/bench.h"

#define PAY  "/ams/api/v1/payments/pay"
#define SENT "/ams/sandbox/api/v1/payments/pay" /* what is signed in the sandbox */

/* 300 bytes, as payments/pay has them */
const char bench_body[] =
    "{\"productCode\":\"CASHIER_PAYMENT\",\"paymentRequestId\":\"pay_00001\",\"order\":{"
    "\"referenceOrderId\":\"order_000001\",\"orderAmount\":{\"currency\":\"USD\",\"value\":"
    "\"2500\"}},"
    "\"paymentAmount\":{\"currency\":\"USD\",\"value\":\"2500\"},\"paymentMethod\":{"
    "\"paymentMethodType\":\"ALIPAY_CN\"},\"paymentNotifyUrl\":\"https://shop.example/n\"}";

static bool sign(EVP_PKEY *key, const char *text, size_t len, uint8_t sig[512], size_t *sig_len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good;

    *sig_len = 512;
    good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestSign(ctx, sig, sig_len, (const uint8_t *)text, len) == 1;
    EVP_MD_CTX_free(ctx);
    return good;
}

/* base64, then percent signs for + / = */
static void header_of(const uint8_t *sig, size_t len, char *out, size_t size)
{
    unsigned char base64[1024];
    size_t at = (size_t)snprintf(out, size, "algorithm=RSA256,keyVersion=1,signature=");

    EVP_EncodeBlock(base64, sig, (int)len);
    for (const unsigned char *p = base64; *p != '\0'; p++) {
        const char *as = *p == '+' ? "%2B" : *p == '/' ? "%2F" : *p == '=' ? "%3D" : NULL;

        at += as != NULL ? (size_t)snprintf(out + at, size - at, "%s", as)
                         : (size_t)snprintf(out + at, size - at, "%c", *p);
    }
}

EVP_PKEY *key_load(const char *path)
{
    FILE *f = fopen(path, "r");
    EVP_PKEY *key = f != NULL ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

    if (f != NULL)
        fclose(f);
    if (key == NULL)
        fprintf(stderr, "bench: %s holds no private key\n", path);
    return key;
}

bool calls_make(const char *profile, const char *client_id, EVP_PKEY *key, struct calls *out)
{
    return calls_make_of(profile, client_id, key, antag_slice_of(bench_body), out);
}

bool calls_make_of(const char *profile, const char *client_id, EVP_PKEY *key,
                   struct antag_slice body, struct calls *out)
{
    char *text = malloc(body.len + 512);
    uint8_t sig[512];
    bool good;
    size_t sig_len;
    time_t t = time(NULL);
    struct tm tm;
    int n;

    memset(out, 0, sizeof *out);
    strftime(out->time, sizeof out->time, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    n = text == NULL ? 0 : snprintf(text, 512, "POST %s\n%s.%s.", SENT, client_id, out->time);
    if (n > 0)
        memcpy(text + n, body.p, body.len);
    good = n > 0 && sign(key, text, (size_t)n + body.len, sig, &sig_len);
    free(text);
    if (!good)
        return false;
    header_of(sig, sig_len, out->signature, sizeof out->signature);
    out->headers[0] = (struct antag_header){"client-id", client_id};
    out->headers[1] = (struct antag_header){"response-time", out->time};
    out->headers[2] = (struct antag_header){"signature", out->signature};
    out->sign =
        (struct antag_sign_call){.profile = profile, .method = "POST", .uri = PAY, .body = body};
    out->verify = (struct antag_verify_call){.profile = profile,
                                             .method = "POST",
                                             .uri = PAY,
                                             .body = body,
                                             .headers = out->headers,
                                             .header_count = 3,
                                             .max_age_ms = -1};
    return true;
}

enum antag_err calls_submit(const struct calls *c, enum op op, struct antag_async *a,
                            antag_done_fn *done, void *ctx, struct antag_fault *fault)
{
    return op == OP_SIGN ? antag_async_sign(a, &c->sign, done, ctx, fault)
                         : antag_async_verify_response(a, &c->verify, done, ctx, fault);
}

bool fail(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    return false;
}
