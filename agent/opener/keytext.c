#include "agent/opener/keytext.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "antag/limits.h"

#define BLANKS    " \t\r\n"
#define BEGIN     "-----BEGIN "
#define END       "-----END "
#define DASHES    "-----"
#define LABEL_MAX 40

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct antag_slice trim(struct antag_slice s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

static bool starts_with(struct antag_slice s, const char *text)
{
    return s.len >= strlen(text) && memcmp(s.p, text, strlen(text)) == 0; /* public */
}

/* Offset of `text` in `s`; s.len when it is not there. */
static size_t find(struct antag_slice s, const char *text)
{
    const uint8_t *at = s.len > 0 ? memmem(s.p, s.len, text, strlen(text)) : NULL;

    return at != NULL ? (size_t)(at - s.p) : s.len;
}

static struct antag_slice rest(struct antag_slice s, size_t from)
{
    return (struct antag_slice){s.p + from, s.len - from};
}

/* A SEQUENCE whose bytes are no text. Bare base64 of a key starts with 'M'. */
static bool is_der(struct antag_slice s)
{
    if (s.len == 0 || s.p[0] != 0x30)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] >= 0x7f || (s.p[i] < 0x20 && !is_blank(s.p[i])))
            return true;
    return false;
}

static enum antag_err no_memory(struct antag_fault *fault)
{
    return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the key");
}

static enum antag_err copy_der(struct antag_slice der, struct ag_secret **out,
                               struct antag_fault *fault)
{
    struct ag_secret *s = ag_secret_new(der.len);

    if (s == NULL)
        return no_memory(fault);
    memcpy(ag_secret_bytes(s), der.p, der.len);
    ag_secret_set_len(s, der.len);
    *out = s;
    return ANTAG_OK;
}

static enum antag_err decode_base64(struct antag_slice text, struct ag_secret **out,
                                    struct antag_fault *fault)
{
    struct ag_secret *s;
    size_t len = 0;

    /* the decoder would skip a NUL like a blank */
    if (text.len == 0 || memchr(text.p, '\0', text.len) != NULL)
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "there is no base64 text in it");
    s = ag_secret_new(text.len / 4 * 3 + 3);
    if (s == NULL)
        return no_memory(fault);
    if (sodium_base642bin(ag_secret_bytes(s), ag_secret_cap(s), (const char *)text.p, text.len,
                          BLANKS, &len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0 ||
        len == 0) {
        ag_secret_free(s);
        return antag_fault_set(
            fault, ANTAG_ERR_KEY_FORM, NULL,
            "the text is not base64 (A-Z a-z 0-9 + / and = at the end); PEM, bare "
            "base64 and DER are taken");
    }
    ag_secret_set_len(s, len);
    *out = s;
    return ANTAG_OK;
}

/* ---- PEM */

/* Labels that tell enough to refuse by name; what they frame need not be DER. */
static const struct {
    const char *label;
    enum antag_err err;
    const char *hint;
} refused_labels[] = {
    {"OPENSSH PRIVATE KEY", ANTAG_ERR_KEY_FORM,
     "this is a key in OpenSSH's own form; `ssh-keygen -p -m PKCS8 -f FILE` converts it"},
    {"EC PRIVATE KEY", ANTAG_ERR_KEY_TYPE, "this is an elliptic-curve key, not RSA"},
    {"EC PARAMETERS", ANTAG_ERR_KEY_TYPE, "this is an elliptic-curve key, not RSA"},
    {"DSA PRIVATE KEY", ANTAG_ERR_KEY_TYPE, "this is a DSA key, not RSA"},
    {"DSA PARAMETERS", ANTAG_ERR_KEY_TYPE, "this is a DSA key, not RSA"},
};

static enum antag_err check_label(const char *label, struct antag_fault *fault)
{
    for (size_t i = 0; i < sizeof refused_labels / sizeof refused_labels[0]; i++)
        if (strcmp(label, refused_labels[i].label) == 0)
            return antag_fault_set(fault, refused_labels[i].err, NULL, "%s",
                                   refused_labels[i].hint);
    return ANTAG_OK;
}

/* The label of a BEGIN line at the start of `text`; *body is what follows the line's dashes. */
static enum antag_err read_begin(struct antag_slice text, char label[LABEL_MAX + 1],
                                 struct antag_slice *body, struct antag_fault *fault)
{
    struct antag_slice name = rest(text, strlen(BEGIN));
    size_t len = find(name, DASHES);

    if (len == name.len || len > LABEL_MAX ||
        !antag_slice_copy((struct antag_slice){name.p, len}, label, LABEL_MAX + 1) ||
        strpbrk(label, "\r\n") != NULL)
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "the BEGIN line is malformed");
    *body = rest(name, len + strlen(DASHES));
    return ANTAG_OK;
}

static enum antag_err read_block(struct antag_slice text, bool have_passphrase,
                                 struct antag_slice *base64, struct antag_fault *fault)
{
    char label[LABEL_MAX + 1], end[LABEL_MAX + sizeof END + sizeof DASHES];
    struct antag_slice body = {NULL, 0};
    enum antag_err err;
    size_t len;

    if ((err = read_begin(text, label, &body, fault)) != ANTAG_OK ||
        (err = check_label(label, fault)) != ANTAG_OK)
        return err;
    (void)snprintf(end, sizeof end, "%s%s%s", END, label, DASHES);
    len = find(body, end);
    if (len == body.len)
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                               "the PEM block has no matching END line");
    if (len < body.len - strlen(end))
        return antag_fault_set(fault, ANTAG_ERR_KEY_TRAILING, NULL,
                               "there is something behind the END line; give one key alone");
    *base64 = (struct antag_slice){body.p, len};
    if (memchr(body.p, ':', len) == NULL)
        return ANTAG_OK;
    return antag_fault_set(fault, have_passphrase ? ANTAG_ERR_KEY_FORM : ANTAG_ERR_KEY_ENCRYPTED,
                           NULL,
                           "PEM headers and their encryption are not taken; `openssl pkcs8 -topk8` "
                           "converts the key to encrypted PKCS#8");
}

enum antag_err ag_keytext_decode(struct antag_slice text, bool have_passphrase,
                                 struct ag_secret **out, struct antag_fault *fault)
{
    struct antag_slice base64 = {NULL, 0};
    enum antag_err err;

    if (text.len > ANTAG_IMPORT_MAX)
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "a key has at most %d bytes",
                               ANTAG_IMPORT_MAX);
    if (is_der(text))
        return copy_der(text, out, fault);
    text = trim(text);
    if (text.len == 0)
        return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL, "it is empty");
    if (!starts_with(text, BEGIN)) {
        if (find(text, BEGIN) < text.len)
            return antag_fault_set(fault, ANTAG_ERR_KEY_FORM, NULL,
                                   "there is text before the BEGIN line; give the PEM block alone");
        return decode_base64(text, out, fault);
    }
    if ((err = read_block(text, have_passphrase, &base64, fault)) != ANTAG_OK)
        return err;
    return decode_base64(base64, out, fault);
}
