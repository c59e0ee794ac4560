/* antom_header: the Signature header, written in the SDKs' form and read in all forms that the SDKs and
 * the documentation produce. */
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/antom.h"
#include "agent/core/antom_internal.h"

#define BASE64_MAX ((ANTAG_SIG_MAX + 2) / 3 * 4) /* of the largest signature */
#define PARTS_MAX  16                            /* three are documented */
#define HEAD_MAX   (sizeof "algorithm=RSA256,keyVersion=4294967295,signature=")

_Static_assert(HEAD_MAX + BASE64_MAX * 3 <= AG_ANTOM_SIG_TEXT_MAX, "a rendered header must fit");
_Static_assert(ANTAG_HEADER_VALUE_MAX <= ANTAG_SIG_HEADER_MAX, "what is let in is also parsed");

void ag_antom_signature_render(uint32_t key_version, struct antag_slice sig,
                               char out[AG_ANTOM_SIG_TEXT_MAX])
{
    char base64[BASE64_MAX + 1];
    size_t at;

    out[0] = '\0';
    if (sig.len == 0 || sig.len > ANTAG_SIG_MAX)
        return;
    sodium_bin2base64(base64, sizeof base64, sig.p, sig.len, sodium_base64_VARIANT_ORIGINAL);
    at = (size_t)snprintf(out, AG_ANTOM_SIG_TEXT_MAX,
                          "algorithm=RSA256,keyVersion=%" PRIu32 ",signature=", key_version);
    for (const char *p = base64; *p != '\0'; p++) {
        const char *escape = *p == '+' ? "%2B" : *p == '/' ? "%2F" : *p == '=' ? "%3D" : NULL;

        if (escape == NULL) {
            out[at++] = *p;
            continue;
        }
        memcpy(out + at, escape, 3);
        at += 3;
    }
    out[at] = '\0';
}

struct part {
    struct antag_slice name, value;
};

static enum antag_err refuse(struct antag_fault *f, const char *why)
{
    return antag_fault_set(f, ANTAG_ERR_SIGNATURE_FORM, "signature", "the Signature header %s",
                           why);
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
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

/* Split "name=value" at its first '=': base64 ends in some. */
static bool split_part(struct antag_slice text, struct part *out)
{
    const uint8_t *eq = text.len > 0 ? memchr(text.p, '=', text.len) : NULL;
    size_t at;

    if (eq == NULL)
        return false;
    at = (size_t)(eq - text.p);
    out->name = trim((struct antag_slice){text.p, at});
    out->value = trim((struct antag_slice){eq + 1, text.len - at - 1});
    return out->name.len > 0;
}

static enum antag_err split_header(struct antag_slice rest, struct part parts[PARTS_MAX],
                                   size_t *count, struct antag_fault *f)
{
    bool more = true;

    for (*count = 0; more; (*count)++) {
        const uint8_t *comma = memchr(rest.p, ',', rest.len);
        size_t len = comma != NULL ? (size_t)(comma - rest.p) : rest.len;

        if (*count == PARTS_MAX)
            return refuse(f, "has more than 16 parts");
        if (!split_part((struct antag_slice){rest.p, len}, &parts[*count]))
            return refuse(f, "has a part that is not name=value");
        for (size_t i = 0; i < *count; i++)
            if (ag_slice_equal_nocase(parts[i].name, parts[*count].name))
                return refuse(f, "gives a name twice");
        more = comma != NULL;
        if (more) {
            rest.p += len + 1; /* may be the end: an empty part, refused above */
            rest.len -= len + 1;
        }
    }
    return ANTAG_OK;
}

/* Percent-decode once. '+' stays '+': this is no form data, and in base64 it is a digit. */
static enum antag_err percent_decode(struct antag_slice s, char out[BASE64_MAX], size_t *out_len,
                                     struct antag_fault *f)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (len == BASE64_MAX)
            return refuse(f, "has a signature longer than that of a 4096-bit key");
        if (c == '%') {
            int high = i + 2 < s.len ? ag_hex_value(s.p[i + 1]) : -1;
            int low = i + 2 < s.len ? ag_hex_value(s.p[i + 2]) : -1;

            if (high < 0 || low < 0)
                return refuse(f, "has a '%' in its signature without two hexadecimal digits");
            c = (uint8_t)(high * 16 + low);
            i += 2;
        }
        out[len++] = (char)c;
    }
    *out_len = len;
    return ANTAG_OK;
}

static enum antag_err take_signature(struct antag_slice value, struct ag_antom_signature *out,
                                     struct antag_fault *f)
{
    char base64[BASE64_MAX];
    size_t len = 0;
    enum antag_err err;

    if (value.len == 0)
        return refuse(f, "has an empty signature");
    if ((err = percent_decode(value, base64, &len, f)) != ANTAG_OK)
        return err;
    /* strict: no blanks, padding demanded, unused bits zero, nothing behind */
    if (sodium_base642bin(out->raw, sizeof out->raw, base64, len, NULL, &out->len, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return refuse(f,
                      "has a signature that is not base64 (standard alphabet, padded, one line)");
    return ANTAG_OK;
}

/* Any text without blanks or quotes: the documentation says what it is for, no source says what it may
 * be, and it picks no key. */
static enum antag_err take_key_version(struct antag_slice value, struct ag_antom_signature *out,
                                       struct antag_fault *f)
{
    for (size_t i = 0; i < value.len; i++)
        if (!ag_is_alnum(value.p[i]) && strchr("._-", value.p[i]) == NULL)
            return refuse(f,
                          "has a keyVersion with bytes other than letters, digits, '.', '_', '-'");
    if (!antag_slice_copy(value, out->key_version, sizeof out->key_version))
        return refuse(f, "has a keyVersion of more than 31 bytes");
    out->has_key_version = true;
    return ANTAG_OK;
}

static enum antag_err take_part(const struct part *part, struct ag_antom_signature *out,
                                struct antag_fault *f)
{
    if (ag_slice_is_nocase(part->name, "signature"))
        return take_signature(part->value, out, f);
    if (ag_slice_is_nocase(part->name, "keyVersion"))
        return take_key_version(part->value, out, f);
    if (ag_slice_is_nocase(part->name, "algorithm") && !ag_slice_is_nocase(part->value, "RSA256"))
        return refuse(f, "names an algorithm other than RSA256");
    return ANTAG_OK; /* unknown names are ignored */
}

enum antag_err ag_antom_signature_parse(struct antag_slice header, struct ag_antom_signature *out,
                                        struct antag_fault *f)
{
    struct ag_antom_signature made = {0};
    struct part parts[PARTS_MAX];
    size_t count = 0;
    enum antag_err err;

    if (header.len == 0)
        return refuse(f, "is empty");
    if (header.len > ANTAG_SIG_HEADER_MAX)
        return refuse(f, "has more than 8192 bytes");
    for (size_t i = 0; i < header.len; i++)
        if (!is_blank(header.p[i]) && !ag_is_visible(header.p[i]))
            return refuse(f, "has bytes that are not printable ASCII");
    if ((err = split_header(header, parts, &count, f)) != ANTAG_OK)
        return err;
    for (size_t i = 0; i < count; i++)
        if ((err = take_part(&parts[i], &made, f)) != ANTAG_OK)
            return err;
    if (made.len == 0)
        return refuse(f, "has no part called signature");
    *out = made;
    return ANTAG_OK;
}
