#include "agent/courier/fetch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "agent/courier/curl.h"

#define HEADER_LINE_MAX (AG_FETCH_HEADER_MAX + 32)

/* ---- what comes back */

static size_t take_body(char *p, size_t size, size_t count, void *ctx)
{
    struct ag_fetch_answer *a = ctx;
    size_t n = size * count;

    if (n > sizeof a->body - a->len)
        return 0; /* ends the transfer: no answer of Antom is so long */
    memcpy(a->body + a->len, p, n);
    a->len += n;
    return n;
}

/* The value of a header line "name: value\r\n" that is ours; one that comes twice is none. */
static void take_value(const char *p, size_t n, const char *name, char *out)
{
    size_t len = strlen(name);

    if (n <= len || p[len] != ':' || strncasecmp(p, name, len) != 0)
        return;
    p += len + 1, n -= len + 1;
    while (n > 0 && (*p == ' ' || *p == '\t'))
        p++, n--;
    while (n > 0 && (p[n - 1] == '\r' || p[n - 1] == '\n' || p[n - 1] == ' '))
        n--;
    if (out[0] != '\0' || n > AG_FETCH_HEADER_MAX || memchr(p, '\0', n) != NULL)
        n = 0;
    memcpy(out, p, n);
    out[n] = '\0';
}

static size_t take_header(char *p, size_t size, size_t count, void *ctx)
{
    struct ag_fetch_answer *a = ctx;
    size_t n = size * count;

    if (n > 5 && strncmp(p, "HTTP/", 5) == 0) /* an interim answer was before it */
        a->client_id[0] = a->time[0] = a->signature[0] = '\0';
    take_value(p, n, "client-id", a->client_id);
    take_value(p, n, "response-time", a->time);
    take_value(p, n, "signature", a->signature);
    return n;
}

/* ---- the call */

static bool add_line(struct curl_slist **list, const char *name, struct antag_slice value)
{
    char line[HEADER_LINE_MAX];
    struct curl_slist *longer;

    snprintf(line, sizeof line, "%s: %.*s", name, (int)value.len, (const char *)value.p);
    if ((longer = ag_curl.slist_append(*list, line)) == NULL)
        return false;
    *list = longer;
    return true;
}

static bool make_headers(const struct ag_fetching *f, struct curl_slist **list)
{
    return add_line(list, "Content-Type", antag_slice_of("application/json; charset=UTF-8")) &&
           add_line(list, "client-id", f->client_id) && add_line(list, "request-time", f->time) &&
           add_line(list, "signature", f->signature) &&
           add_line(list, "Expect", antag_slice_of(""));
}

static CURLcode set_options(CURL *c, const struct ag_conf *conf, const struct ag_fetching *f,
                            struct curl_slist *headers, struct ag_fetch_answer *out, char *error)
{
    char url[ANTAG_URL_MAX + ANTAG_URI_MAX + 1];
    CURLcode code = CURLE_OK;

    snprintf(url, sizeof url, "%.*s%.*s", (int)f->gateway.len, (const char *)f->gateway.p,
             (int)f->uri.len, (const char *)f->uri.p);
#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = ag_curl.easy_setopt(c, CURLOPT_##option, value)
    SET(ERRORBUFFER, error);
    SET(URL, url);
    SET(PATH_AS_IS, 1L); /* what was signed is what is sent */
    SET(PROTOCOLS_STR, "https");
    SET(PROXY, "");
    SET(NOSIGNAL, 1L);
    SET(FOLLOWLOCATION, 0L);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(CAINFO, conf->rotation_ca_file);
    SET(CAPATH, (char *)NULL);
    SET(TIMEOUT_MS, (long)conf->rotation_probe_timeout_ms);
    SET(HTTPHEADER, headers);
    SET(POSTFIELDSIZE_LARGE, (curl_off_t)f->body.len);
    SET(COPYPOSTFIELDS, (const char *)f->body.p);
    SET(HEADERFUNCTION, take_header);
    SET(HEADERDATA, out);
    SET(WRITEFUNCTION, take_body);
    SET(WRITEDATA, out);
#undef SET
    return code;
}

enum antag_err ag_fetch(const struct ag_conf *conf, const struct ag_fetching *f,
                        struct ag_fetch_answer *out, struct antag_fault *fault)
{
    CURL *c = ag_curl.easy_init();
    struct curl_slist *headers = NULL;
    char error[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_OUT_OF_MEMORY;

    memset(out, 0, sizeof *out);
    if (c != NULL && make_headers(f, &headers)) {
        code = set_options(c, conf, f, headers, out, error);
        if (code == CURLE_OK)
            code = ag_curl.easy_perform(c);
        if (code == CURLE_OK)
            code = ag_curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &out->status);
    }
    ag_curl.slist_free_all(headers);
    if (c != NULL)
        ag_curl.easy_cleanup(c);
    if (code == CURLE_OK)
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_GATEWAY, NULL, "%.*s: %.300s",
                           (int)(f->gateway.len < 120 ? f->gateway.len : 120),
                           (const char *)f->gateway.p,
                           error[0] != '\0' ? error : ag_curl.easy_strerror(code));
}
