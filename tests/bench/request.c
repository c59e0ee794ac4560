#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/frame.h"
#include "proto/message.h"
#include "tests/bench/bench.h"

#define FIRST_ID 0x10000u
#define PAY      "/ams/api/v1/payments/pay"
#define SENT     "/ams/sandbox/api/v1/payments/pay" /* what is signed in the sandbox */

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

static void common(struct antag_writer *w, const char *method, const char *profile)
{
    antag_m_request(w, FIRST_ID, method);
    antag_w_map(w);
    antag_w_kv_str(w, "profile", profile);
    antag_w_kv_str(w, "method", "POST");
    antag_w_kv_str(w, "uri", PAY);
    antag_w_kv_bin(w, "body",
                   (struct antag_slice){(const uint8_t *)bench_body, strlen(bench_body)});
}

/* The frame of what was written, malloc'ed. Empties the writer. */
static uint8_t *frame(struct antag_writer *w, size_t *len)
{
    struct antag_slice value;
    uint8_t *out = NULL;

    antag_w_end(w);
    antag_m_close(w);
    if (antag_writer_end(w, &value) == ANTAG_OK &&
        (out = malloc(ANTAG_FRAME_HEAD + value.len)) != NULL) {
        antag_frame_render(value.len, out);
        memcpy(out + ANTAG_FRAME_HEAD, value.p, value.len);
        *len = ANTAG_FRAME_HEAD + value.len;
    }
    antag_writer_reset(w);
    return out;
}

bool requests_make(const char *profile, const char *client_id, EVP_PKEY *key, struct requests *out)
{
    char text[1024], when[32], header[2048];
    uint8_t sig[512];
    size_t sig_len;
    time_t t = time(NULL);
    struct tm tm;
    struct antag_writer w;
    int n;

    memset(out, 0, sizeof *out);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    n = snprintf(text, sizeof text, "POST %s\n%s.%s.%s", SENT, client_id, when, bench_body);
    if (!sign(key, text, (size_t)n, sig, &sig_len))
        return false;
    header_of(sig, sig_len, header, sizeof header);
    antag_writer_init(&w, ANTAG_FRAME_MAX);
    common(&w, "sign_request", profile);
    out->sign = frame(&w, &out->sign_len);
    common(&w, "verify_response", profile);
    antag_w_key(&w, "headers");
    antag_w_map(&w);
    antag_w_kv_str(&w, "client-id", client_id);
    antag_w_kv_str(&w, "response-time", when);
    antag_w_kv_str(&w, "signature", header);
    antag_w_end(&w);
    out->verify = frame(&w, &out->verify_len);
    antag_writer_fini(&w);
    out->id_at = ANTAG_FRAME_HEAD + 5; /* head of an array16, shape, head of a uint32 */
    return out->sign != NULL && out->verify != NULL && out->sign[out->id_at - 1] == 0xce &&
           out->verify[out->id_at - 1] == 0xce;
}
