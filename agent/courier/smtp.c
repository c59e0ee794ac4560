#include "agent/courier/smtp.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/mailbox.h"
#include "agent/courier/curl.h"
#include "agent/lib/secretfile.h"

#define CONNECT_MS        15000
#define SERVER_RESPONSE_S 30L

static enum antag_err read_password(const char *path, struct ag_secret **out,
                                    struct antag_fault *fault)
{
    struct antag_fault why;
    enum antag_err err = ag_secret_read_line(path, out, &why);

    if (err == ANTAG_OK)
        return err;
    return antag_fault_set(fault,
                           err == ANTAG_ERR_CONF ? ANTAG_ERR_MAIL_SETUP : ANTAG_ERR_MAIL_LATER,
                           "password_file", "%s", antag_fault_text(&why));
}

/* ---- what came of it */

/* 4xx asks to come again, 5xx is for good (RFC 5321, 4.2.1). A login or a certificate that does not do is ours to
 * mend, and the mail waits for it. */
static enum antag_err classify(CURLcode code, long said)
{
    if (said == 530 || said == 534 || said == 535 ||
        said == 538) /* RFC 4954, 6: log in, or otherwise */
        return ANTAG_ERR_MAIL_SETUP;
    switch (code) {
    case CURLE_OK:
        return ANTAG_OK;
    case CURLE_LOGIN_DENIED:
        return said / 100 == 4 ? ANTAG_ERR_MAIL_LATER : ANTAG_ERR_MAIL_SETUP;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_USE_SSL_FAILED:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
        return ANTAG_ERR_MAIL_SETUP;
    case CURLE_SEND_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UPLOAD_FAILED:
    case CURLE_REMOTE_ACCESS_DENIED:
        return said / 100 == 5 ? ANTAG_ERR_MAIL_REFUSED : ANTAG_ERR_MAIL_LATER;
    default:
        return ANTAG_ERR_MAIL_LATER;
    }
}

static enum antag_err tell(const struct ag_conf *conf, CURLcode code, long said, const char *detail,
                           struct antag_fault *fault)
{
    enum antag_err err = classify(code, said);

    if (err == ANTAG_OK)
        return err;
    return antag_fault_set(fault, err, NULL, "%.100s port %lld: %.300s", conf->mail_server,
                           (long long)conf->mail_port,
                           detail[0] != '\0' ? detail : ag_curl.easy_strerror(code));
}

/* ---- sending */

static size_t give(char *to, size_t size, size_t count, void *ctx)
{
    struct antag_slice *left = ctx;
    size_t n = size * count < left->len ? size * count : left->len;

    if (n > 0)
        memcpy(to, left->p, n);
    left->p += n;
    left->len -= n;
    return n;
}

static size_t drop(char *p, size_t size, size_t count, void *ctx)
{
    (void)p;
    (void)ctx;
    return size * count;
}

/* "smtp://mail.example:587/pay.example": the path is what we call ourselves, the sender's domain. */
static void make_url(const struct ag_conf *conf, char *out, size_t size)
{
    const char *at = strrchr(conf->mail_from, '@');

    snprintf(out, size, "%s://%s:%lld/%s", conf->mail_security == AG_MAIL_TLS ? "smtps" : "smtp",
             conf->mail_server, (long long)conf->mail_port, at != NULL ? at + 1 : "localhost");
}

static CURLcode set_options(CURL *c, const struct ag_conf *conf, struct antag_slice *message,
                            char *error)
{
    char url[600];
    CURLcode code = CURLE_OK;

    make_url(conf, url, sizeof url);
#define SET(option, value)                                                                         \
    if (code == CURLE_OK)                                                                          \
    code = ag_curl.easy_setopt(c, CURLOPT_##option, value)
    SET(ERRORBUFFER, error);
    SET(URL, url);
    SET(PROTOCOLS_STR, "smtp,smtps");
    SET(PROXY, "");
    SET(NOSIGNAL, 1L);
    SET(USE_SSL, (long)CURLUSESSL_ALL);
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(SSL_VERIFYPEER, 1L);
    SET(SSL_VERIFYHOST, 2L);
    SET(CAINFO, conf->mail_ca_file);
    SET(CAPATH, (char *)NULL);
    SET(CONNECTTIMEOUT_MS,
        (long)(conf->mail_timeout_ms < CONNECT_MS ? conf->mail_timeout_ms : CONNECT_MS));
    SET(SERVER_RESPONSE_TIMEOUT, SERVER_RESPONSE_S);
    SET(TIMEOUT_MS, (long)conf->mail_timeout_ms);
    SET(MAIL_FROM, conf->mail_from);
    SET(UPLOAD, 1L);
    SET(READFUNCTION, give);
    SET(READDATA, message);
    SET(WRITEFUNCTION, drop);
    SET(INFILESIZE_LARGE, (curl_off_t)message->len);
#undef SET
    return code;
}

static CURLcode log_in(CURL *c, const struct ag_conf *conf, const struct ag_secret *password)
{
    CURLcode code;

    if (password == NULL)
        return CURLE_OK;
    code = ag_curl.easy_setopt(c, CURLOPT_USERNAME, conf->mail_user);
    if (code == CURLE_OK)
        code = ag_curl.easy_setopt(c, CURLOPT_PASSWORD, (const char *)ag_secret_slice(password).p);
    if (code == CURLE_OK)
        code = ag_curl.easy_setopt(c, CURLOPT_SASL_IR, 1L);
    return code;
}

static enum antag_err send_with(const struct ag_conf *conf, const char *to,
                                struct antag_slice message, const struct ag_secret *password,
                                struct antag_fault *fault)
{
    CURL *c = ag_curl.easy_init();
    struct curl_slist *rcpt = ag_curl.slist_append(NULL, to);
    char error[CURL_ERROR_SIZE] = "";
    CURLcode code = CURLE_OUT_OF_MEMORY;
    long said = 0;

    if (c != NULL && rcpt != NULL) {
        code = set_options(c, conf, &message, error);
        if (code == CURLE_OK)
            code = log_in(c, conf, password);
        if (code == CURLE_OK)
            code = ag_curl.easy_setopt(c, CURLOPT_MAIL_RCPT, rcpt);
        if (code == CURLE_OK) {
            code = ag_curl.easy_perform(c);
            (void)ag_curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &said);
        }
    }
    ag_curl.slist_free_all(rcpt);
    if (c != NULL)
        ag_curl.easy_cleanup(c);
    return tell(conf, code, said, error, fault);
}

enum antag_err ag_smtp_send(const struct ag_conf *conf, struct antag_slice to,
                            struct antag_slice message, struct antag_fault *fault)
{
    struct ag_secret *password = NULL;
    char address[AG_MAILBOX_MAX + 1];
    enum antag_err err = ANTAG_OK;

    if (conf->mail_server[0] == '\0')
        return antag_fault_set(fault, ANTAG_ERR_MAIL_SETUP, "server",
                               "no mail server is configured; set [mail] server and from in "
                               "agent.conf and send SIGHUP");
    if (!antag_slice_copy(to, address, sizeof address))
        return antag_fault_set(fault, ANTAG_ERR_MAIL_REFUSED, "to", "the address is too long");
    if (conf->mail_password_file[0] != '\0')
        err = read_password(conf->mail_password_file, &password, fault);
    if (err == ANTAG_OK)
        err = send_with(conf, address, message, password, fault);
    ag_secret_free(password);
    return err;
}
