#include "client/antomctl/keyhunt.h"

#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include "agent/lib/keyform.h"
#include "agent/lib/secret.h"

#define DER_MAX   8192 /* of a private key of 4096 bits with attributes, and more */
#define DER_MIN   280
#define JOINT_MAX 240 /* bytes between two parts of a text that is put together in a source */
#define HEAD      9   /* bytes of DER that tell what it is */

struct hunt {
    struct antag_slice data;
    ctl_hunted_fn *found;
    void *ctx;
    size_t counted_to, lines; /* line ends before counted_to */
    uint8_t der[DER_MAX];
};

/* ---- base64, in whatever it is wrapped */

static int value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind a quotation mark that ends a part: where the next part begins, or `at` when there is none. */
static size_t skip_joint(struct antag_slice s, size_t at)
{
    uint8_t quote = s.p[at];
    size_t end = at + JOINT_MAX < s.len ? at + JOINT_MAX : s.len;

    for (size_t i = at + 1; i < end; i++) {
        if (s.p[i] == quote)
            return i + 1;
        if (!is_blank(s.p[i]) && memchr("+.,&_\\()", s.p[i], 8) == NULL)
            return at;
    }
    return at;
}

/* Signs that begin a line of a comment or a quotation. */
static size_t skip_margin(struct antag_slice s, size_t at)
{
    while (at < s.len && (s.p[at] == ' ' || s.p[at] == '\t'))
        at++;
    if (at + 1 < s.len && s.p[at] == '/' && s.p[at + 1] == '/')
        at += 2;
    while (at < s.len && memchr("#*;> \t", s.p[at], 6) != NULL)
        at++;
    return at;
}

/* What may stand between two letters of base64: where the next may be, or `at` when it ends here. */
static size_t skip_filler(struct antag_slice s, size_t at)
{
    uint8_t c = s.p[at];

    if (c == '\n')
        return skip_margin(s, at + 1);
    if (is_blank(c))
        return at + 1;
    if (c == '"' || c == '\'')
        return skip_joint(s, at);
    if (c != '\\' || at + 1 >= s.len)
        return at;
    c = s.p[at + 1];
    if (c == 'n' || c == 'r' || c == 't' || c == '\n')
        return at + 2;
    return c == '/' || c == '\r' ? at + 1 : at;
}

/* Decodes `want` bytes that begin at *at; behind the last letter then. Fewer: it ended. */
static size_t decode(struct antag_slice s, size_t *at, uint8_t *out, size_t want)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t done = 0, i = *at;

    while (i < s.len && done < want) {
        int v = value_of(s.p[i]);

        if (v < 0) {
            size_t next = skip_filler(s, i);

            if (next == i)
                break;
            i = next;
            continue;
        }
        bits = bits << 6 | (uint32_t)v;
        i++;
        if (++have < 2)
            continue;
        if (have == 2)
            out[done++] = (uint8_t)(bits >> 4);
        else if (have == 3)
            out[done++] = (uint8_t)(bits >> 2);
        else
            out[done++] = (uint8_t)bits;
        have = have == 4 ? 0 : have;
    }
    *at = i;
    return done;
}

/* ---- what the bytes are */

/* The length of a SEQUENCE with its head of four bytes; 0: it is none of a fitting size. */
static size_t sequence_len(const uint8_t head[HEAD])
{
    size_t len = (size_t)head[2] << 8 | head[3];

    return head[0] == 0x30 && head[1] == 0x82 && len + 4 >= DER_MIN && len + 4 <= DER_MAX ? len + 4
                                                                                          : 0;
}

/* A version and what follows it: PKCS#8 or PKCS#1. NULL: neither, so no private key. */
static const char *kind_of(const uint8_t head[HEAD])
{
    if (head[4] != 0x02 || head[5] != 0x01 || head[6] != 0x00)
        return NULL;
    return head[7] == 0x30 ? "PKCS#8" : head[7] == 0x02 ? "PKCS#1" : NULL;
}

/* NULL: it is no RSA private key whose parts belong together. */
static EVP_PKEY *read_key(const uint8_t *der, size_t len, const char *kind)
{
    const unsigned char *p = der;
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    bool good = false;

    if (strcmp(kind, "PKCS#1") == 0) {
        key = d2i_PrivateKey(EVP_PKEY_RSA, NULL, &p, (long)len);
    } else {
        PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &p, (long)len);

        key = info == NULL ? NULL : EVP_PKCS82PKEY(info);
        PKCS8_PRIV_KEY_INFO_free(info);
    }
    if (key != NULL && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= 1024 &&
        (ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL)) != NULL)
        good = EVP_PKEY_pairwise_check(ctx) == 1;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    if (good)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* ---- telling */

static size_t line_of(struct hunt *h, size_t offset)
{
    const uint8_t *p = h->data.p + h->counted_to, *end = h->data.p + offset;

    while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
        h->lines++;
        p++;
    }
    h->counted_to = offset > h->counted_to ? offset : h->counted_to;
    return h->lines + 1;
}

static bool tell(struct hunt *h, size_t offset, const char *kind, const char *wrapping, size_t len)
{
    struct ctl_hunted found = {.offset = offset};
    EVP_PKEY *key = read_key(h->der, len, kind);
    uint8_t spki[ANTAG_SPKI_MAX];
    size_t spki_len;
    char form[32];

    if (key != NULL && ag_keyform_spki(key, spki, &spki_len) == ANTAG_OK) {
        snprintf(form, sizeof form, "%s %s", kind, wrapping);
        found.line = line_of(h, offset);
        found.form = form;
        found.bits = (unsigned)EVP_PKEY_get_bits(key);
        ag_keyform_fingerprint((struct antag_slice){spki, spki_len}, found.fingerprint);
        found.der = (struct antag_slice){h->der, len};
        h->found(&found, h->ctx);
    }
    ag_secret_wipe(h->der, sizeof h->der);
    if (key == NULL)
        return false;
    EVP_PKEY_free(key);
    return found.form != NULL;
}

/* ---- looking */

static bool ends_with(struct antag_slice s, size_t at, const char *text)
{
    size_t len = strlen(text);

    return at >= len && memcmp(s.p + at - len, text, len) == 0;
}

/* Does a PEM header stand before this letter? */
static bool is_in_pem(struct antag_slice s, size_t at)
{
    while (at > 0 && (is_blank(s.p[at - 1]) || ends_with(s, at, "\\n") || ends_with(s, at, "\\r") ||
                      s.p[at - 1] == '"' || s.p[at - 1] == '\'' || s.p[at - 1] == '#'))
        at -= ends_with(s, at, "\\n") || ends_with(s, at, "\\r") ? 2 : 1;
    return ends_with(s, at, "PRIVATE KEY-----");
}

/* Is it the beginning of a base64 text, and not the middle of one? */
static bool is_beginning(struct antag_slice s, size_t at)
{
    if (at == 0 || value_of(s.p[at - 1]) < 0)
        return true;
    return ends_with(s, at, "\\n") || ends_with(s, at, "\\r") || ends_with(s, at, "\\t");
}

/* At "MII". Where to go on. */
static size_t try_base64(struct hunt *h, size_t at)
{
    size_t next = at, want;
    uint8_t head[HEAD];
    const char *kind;

    if (!is_beginning(h->data, at) || decode(h->data, &next, head, HEAD) < HEAD ||
        (want = sequence_len(head)) == 0 || (kind = kind_of(head)) == NULL)
        return at + 3;
    next = at;
    if (decode(h->data, &next, h->der, want) < want ||
        !tell(h, at, kind, is_in_pem(h->data, at) ? "PEM" : "base64", want))
        return at + 3;
    return next;
}

/* At "PRIVATE KEY-----": one that is encrypted is told without being read. */
static size_t try_label(struct hunt *h, size_t at)
{
    static const char traditional[] = "Proc-Type: 4,ENCRYPTED";
    size_t behind = at + strlen("PRIVATE KEY-----"), until = behind + 64;
    struct ctl_hunted found = {.offset = at, .form = "encrypted PEM", .encrypted = true};
    bool encrypted = ends_with(h->data, at, "-----BEGIN ENCRYPTED ");

    if (until > h->data.len)
        until = h->data.len;
    encrypted = encrypted || (ends_with(h->data, at, "-----BEGIN RSA ") && until > behind &&
                              memmem(h->data.p + behind, until - behind, traditional,
                                     sizeof traditional - 1) != NULL);
    if (encrypted) {
        found.line = line_of(h, at);
        h->found(&found, h->ctx);
    }
    return behind;
}

static size_t find(struct antag_slice s, size_t from, const char *text)
{
    const uint8_t *p = from < s.len ? memmem(s.p + from, s.len - from, text, strlen(text)) : NULL;

    return p == NULL ? SIZE_MAX : (size_t)(p - s.p);
}

static size_t try_der(struct hunt *h)
{
    size_t want = h->data.len >= HEAD ? sequence_len(h->data.p) : 0;
    const char *kind = want != 0 && want <= h->data.len ? kind_of(h->data.p) : NULL;

    if (kind == NULL)
        return 0;
    memcpy(h->der, h->data.p, want);
    return tell(h, 0, kind, "DER", want) ? want : 0;
}

void ctl_keyhunt(struct antag_slice data, ctl_hunted_fn *found, void *ctx)
{
    struct hunt h = {.data = data, .found = found, .ctx = ctx};
    size_t at = try_der(&h), base64 = find(data, at, "MII"),
           label = find(data, at, "PRIVATE KEY-----");

    while (base64 != SIZE_MAX || label != SIZE_MAX) {
        if (base64 < label) {
            base64 = find(data, try_base64(&h, base64), "MII");
        } else {
            label = find(data, try_label(&h, label), "PRIVATE KEY-----");
        }
    }
}
