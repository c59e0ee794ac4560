#include "agent/lib/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/core/freeze.h"
#include "agent/core/mailbox.h"
#include "proto/utf8.h"

#define FILE_LEN_MAX (64 * 1024)
#define LINE_LEN_MAX                                                                               \
    197 /* inih's buffer of 200 holds CR, LF and NUL besides; the rest would be cut */
#define PATH_SHOWN  160 /* of a longer path the end, so that the message behind it is not cut */
#define VALUE_SHOWN 40

enum kind { KIND_NUM, KIND_WORD, KIND_TEXT };
struct key {
    const char *section, *name;
    enum kind kind;
    int64_t def, min, max;
    const char *words; /* WORD: "error|warn"; TEXT: the default */
    const char *doc;
    size_t offset; /* in struct ag_conf, or of a keyring's keys in struct ag_conf_keyring */
};

#define AG_ROW(section, key, type, def, min, max, words, doc)                                      \
    {#section, #key, KIND_##type,                                                                  \
     def,      min,  max,                                                                          \
     words,    doc,  offsetof(struct ag_conf, section##_##key)},
#define AG_TEXT_ROW(section, key, max, def, doc)                                                   \
    {#section, #key, KIND_TEXT, 0, 0, max, def, doc, offsetof(struct ag_conf, section##_##key)},
static const struct key keys[] = {AG_CONF_KEYS(AG_ROW) AG_CONF_TEXTS(AG_TEXT_ROW)};
#undef AG_ROW
#undef AG_TEXT_ROW
#define AG_ROW(section, key, type, def, min, max, words, doc)                                      \
    {#section, #key, KIND_##type, def, min, max, words, doc, offsetof(struct ag_conf_keyring, key)},
#define AG_TEXT_ROW(section, key, max, def, doc)                                                   \
    {#section, #key, KIND_TEXT, 0, 0, max, def, doc, offsetof(struct ag_conf_keyring, key)},
static const struct key ring_keys[] = {AG_CONF_KEYRING_KEYS(AG_ROW)
                                           AG_CONF_KEYRING_TEXTS(AG_TEXT_ROW)};
#undef AG_ROW
#undef AG_TEXT_ROW

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

struct reading {
    struct ag_conf conf;
    const char *path;
    const char *next; /* what is left of the text */
    int line;
    const char *section; /* of the table; NULL: before the first one */
    size_t ring;         /* index of the keyring when the section is one */
    bool in_ring;
    bool set[COUNT(keys)];
    bool ring_set[AG_CONF_KEYRINGS_MAX][COUNT(ring_keys)];
    bool failed;
    struct antag_fault *fault;
};

static int64_t *member(void *base, const struct key *k)
{
    return (int64_t *)(void *)((char *)base + k->offset);
}

static char *text_member(void *base, const struct key *k)
{
    return (char *)base + k->offset;
}

static void set_defaults(void *base, const struct key *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (table[i].kind == KIND_TEXT)
            snprintf(text_member(base, &table[i]), (size_t)table[i].max + 1, "%s", table[i].words);
        else
            *member(base, &table[i]) = table[i].def;
    }
}

static void init_ring(struct ag_conf_keyring *ring, struct antag_slice name)
{
    (void)antag_slice_copy(name, ring->name, sizeof ring->name);
    set_defaults(ring, ring_keys, COUNT(ring_keys));
}

void ag_conf_default(struct ag_conf *c)
{
    memset(c, 0, sizeof *c);
    set_defaults(c, keys, COUNT(keys));
    init_ring(&c->keyrings[0], antag_slice_of("soft"));
    c->keyring_count = 1;
}

const struct ag_conf_keyring *ag_conf_find_keyring(const struct ag_conf *c, const char *name)
{
    for (size_t i = 0; i < c->keyring_count; i++)
        if (strcmp(c->keyrings[i].name, name) == 0)
            return &c->keyrings[i];
    return NULL;
}

/* ---- refusals */

static void refuse_at(struct reading *r, int line, const char *key, const char *text)
{
    size_t len = strlen(r->path);
    const char *path = len > PATH_SHOWN ? r->path + (len - PATH_SHOWN) : r->path;

    r->failed = true;
    (void)antag_fault_set(r->fault, ANTAG_ERR_CONF, key, "%s%s:%d: %s",
                          path == r->path ? "" : "...", path, line, text);
}

ANTAG_PRINTF(3, 4)
static int refuse(struct reading *r, const char *key, const char *fmt, ...)
{
    char text[ANTAG_FAULT_TEXT_MAX + 1];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    refuse_at(r, r->line, key, text);
    return 0; /* inih's word for an error */
}

/* As much of `text` as a message shows, in whole characters. */
static int shown(const char *text)
{
    size_t len = strlen(text), at = 0, n;

    while (at < len && (n = antag_utf8_step((const uint8_t *)text + at, len - at, NULL)) > 0 &&
           at + n <= VALUE_SHOWN)
        at += n;
    return (int)at;
}

static void list_keys(const char *section, bool ring, char *out, size_t size)
{
    const struct key *table = ring ? ring_keys : keys;
    size_t count = ring ? COUNT(ring_keys) : COUNT(keys), at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < count && at < size; i++)
        if (strcmp(table[i].section, section) == 0)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at > 0 ? ", " : "", table[i].name);
}

/* Is it the first of its section? Numbers stand in front of texts, so a section comes twice in the table. */
static bool is_first(size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (strcmp(keys[j].section, keys[i].section) == 0)
            return false;
    return true;
}

static void list_sections(char *out, size_t size)
{
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < COUNT(keys) && at < size; i++)
        if (is_first(i))
            at += (size_t)snprintf(out + at, size - at, "[%s], ", keys[i].section);
    if (at < size)
        snprintf(out + at, size - at, "[keyring NAME]");
}

/* ---- values */

/* Index of `value` among words separated by '|'; -1: none of them. */
static int64_t find_word(const char *words, const char *value)
{
    size_t len = strlen(value);

    for (int64_t i = 0;; i++) {
        size_t n = strcspn(words, "|");

        if (n == len && memcmp(words, value, n) == 0) /* public */
            return i;
        if (words[n] == '\0')
            return -1;
        words += n + 1;
    }
}

/* Digits only, within min..max. */
static bool parse_number(const char *value, const struct key *k, int64_t *out)
{
    int64_t n = 0;

    if (value[0] == '\0')
        return false;
    for (const char *p = value; *p != '\0'; p++) {
        if (*p < '0' || *p > '9' || n > k->max / 10 || n * 10 > k->max - (*p - '0'))
            return false;
        n = n * 10 + (*p - '0');
    }
    *out = n;
    return n >= k->min;
}

static int set_value(struct reading *r, const struct key *k, void *base, const char *value)
{
    int64_t *to = k->kind == KIND_TEXT ? NULL : member(base, k);

    if (k->kind == KIND_TEXT) {
        if (strlen(value) > (size_t)k->max)
            return refuse(r, k->name, "%s has %zu bytes, at most %" PRId64 " are taken", k->name,
                          strlen(value), k->max);
        snprintf(text_member(base, k), (size_t)k->max + 1, "%s", value);
    } else if (k->kind == KIND_WORD) {
        int64_t word = find_word(k->words, value);

        if (word < 0)
            return refuse(r, k->name, "%s = \"%.*s\": must be one of %s", k->name, shown(value),
                          value, k->words);
        *to = word;
    } else if (!parse_number(value, k, to)) {
        return refuse(r, k->name,
                      "%s = \"%.*s\": must be a number from %" PRId64 " to %" PRId64
                      ", digits only",
                      k->name, shown(value), value, k->min, k->max);
    }
    return 1;
}

/* inih's handler of one `key = value`; the section is known from the reader below. */
static int on_pair(void *ctx, const char *section, const char *name, const char *value)
{
    struct reading *r = ctx;
    const struct key *table = r->in_ring ? ring_keys : keys;
    size_t count = r->in_ring ? COUNT(ring_keys) : COUNT(keys);
    bool *set = r->in_ring ? r->ring_set[r->ring] : r->set;
    char allowed[ANTAG_FAULT_TEXT_MAX / 2];

    (void)section;
    if (r->failed)
        return 0;
    if (r->section == NULL) {
        list_sections(allowed, sizeof allowed);
        return refuse(r, NULL, "\"%.*s\" stands before any section; sections are %s", shown(name),
                      name, allowed);
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(table[i].section, r->section) != 0 || strcmp(table[i].name, name) != 0)
            continue;
        if (set[i])
            return refuse(r, name,
                          "%s is set twice; a key is set once, also when its section "
                          "comes again",
                          name);
        set[i] = true;
        return set_value(r, &table[i],
                         r->in_ring ? (void *)&r->conf.keyrings[r->ring] : (void *)&r->conf, value);
    }
    list_keys(r->section, r->in_ring, allowed, sizeof allowed);
    return refuse(r, NULL, "unknown key \"%.*s\"; [%s] has %s", shown(name), name,
                  r->in_ring ? "keyring NAME" : r->section, allowed);
}

/* ---- lines */

static bool is_name(struct antag_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && i > 0)))
            return false;
    }
    return s.len > 0 && s.len <= ANTAG_KEYRING_MAX;
}

static void enter_keyring(struct reading *r, const char *name)
{
    const struct ag_conf_keyring *found;

    if (!is_name(antag_slice_of(name))) {
        (void)refuse(r, NULL,
                     "[keyring %.*s]: a keyring's name is 1 to %d of a-z, 0-9 and -, and "
                     "does not start with -",
                     shown(name), name, ANTAG_KEYRING_MAX);
        return;
    }
    if (strcmp(name, AG_CONF_STEWARD_CHAIN) == 0) {
        (void)refuse(r, NULL, "[keyring %s]: this name is taken by the steward's own record", name);
        return;
    }
    found = ag_conf_find_keyring(&r->conf, name);
    if (found == NULL) {
        if (r->conf.keyring_count == AG_CONF_KEYRINGS_MAX) {
            (void)refuse(r, NULL, "[keyring %s]: at most %d keyrings, \"soft\" included", name,
                         AG_CONF_KEYRINGS_MAX);
            return;
        }
        init_ring(&r->conf.keyrings[r->conf.keyring_count], antag_slice_of(name));
        found = &r->conf.keyrings[r->conf.keyring_count++];
    }
    r->ring = (size_t)(found - r->conf.keyrings);
    r->in_ring = true;
    r->section = "keyring";
}

/* `line` starts with '['. inih tells nothing of a section without keys, cuts long names and takes
 * anything behind the ']', so sections are read here. */
static void enter_section(struct reading *r, char *line)
{
    char *end = strchr(line, ']');
    char *rest = end != NULL ? end + 1 + strspn(end + 1, " \t") : NULL;
    char allowed[ANTAG_FAULT_TEXT_MAX / 2];
    const char *name = line + 1;

    if (end == NULL || (*rest != '\0' && *rest != ';' && *rest != '#')) {
        (void)refuse(r, NULL, "a section is written [NAME], with nothing but a comment behind it");
        return;
    }
    *end = '\0';
    if (strncmp(name, "keyring", 7) == 0 && (name[7] == ' ' || name[7] == '\t')) {
        enter_keyring(r, name + 7 + strspn(name + 7, " \t"));
        return;
    }
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (strcmp(keys[i].section, name) == 0) {
            r->section = keys[i].section;
            r->in_ring = false;
            return;
        }
    }
    list_sections(allowed, sizeof allowed);
    (void)refuse(r, NULL, "unknown section [%.*s]; sections are %s", shown(name), name, allowed);
}

/* Well-formed UTF-8 without control characters but the tab. */
static bool check_line(struct reading *r, const char *p, size_t len)
{
    for (size_t at = 0, n; at < len; at += n) {
        uint32_t c = 0;

        n = antag_utf8_step((const uint8_t *)p + at, len - at, &c);
        if (n == 0 || (c < 0x20 && c != '\t') || c == 0x7f) {
            (void)refuse(r, NULL,
                         "byte %zu is 0x%02x: the file is UTF-8 text without control "
                         "characters",
                         at + 1, (unsigned char)p[at]);
            return false;
        }
    }
    return true;
}

/* inih's reader: the next line, counted (the library tells its handler no line numbers) and without
 * blanks in front (the library would take an indented line for a part of the value above). */
static char *read_line(char *out, int size, void *ctx)
{
    struct reading *r = ctx;
    const char *p = r->next, *end;
    size_t len;

    if (r->failed || *p == '\0')
        return NULL;
    end = strchrnul(p, '\n');
    r->next = *end == '\n' ? end + 1 : end;
    r->line++;
    if (r->line == 1 && strncmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3; /* some editors begin a UTF-8 file with this mark */
    len = (size_t)(end - p);
    if (len > 0 && p[len - 1] == '\r')
        len--;
    if (!check_line(r, p, len))
        return NULL;
    while (len > 0 && (*p == ' ' || *p == '\t'))
        p++, len--;
    if (len > 0 && (*p == '#' || *p == ';'))
        len = 0; /* a comment may be of any length */
    if (len > LINE_LEN_MAX || len + 2 > (size_t)size) {
        (void)refuse(r, NULL, "the line has %zu bytes, at most %d are taken", len, LINE_LEN_MAX);
        return NULL;
    }
    memcpy(out, p, len);
    out[len] = '\0';
    if (out[0] == '[') {
        enter_section(r, out);
        len = 0;
    }
    memcpy(out + len, "\n", 2);
    return out;
}

/* ---- what must go together */

static bool refuse_mail(struct reading *r, const char *key, const char *text)
{
    (void)refuse(r, key, "[mail] %s", text);
    return false;
}

/* Letters, digits, dots and hyphens; or an IPv6 address in brackets. Nothing that means anything in an URL. */
static bool is_host(const char *s)
{
    static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-";
    size_t len = strlen(s);

    if (s[0] == '[')
        return len > 2 && s[len - 1] == ']' && strspn(s + 1, "0123456789abcdefABCDEF:.") == len - 2;
    return strspn(s, name) == len && s[0] != '-' && s[0] != '.';
}

static bool refuse_ring(struct reading *r, const struct ag_conf_keyring *k, const char *key,
                        const char *text)
{
    (void)refuse(r, key, "[keyring %s] %s", k->name, text);
    return false;
}

static bool check_token(struct reading *r, const struct ag_conf_keyring *k)
{
    if (k->module[0] != '/')
        return refuse_ring(r, k, "module", "module must be set, to an absolute path");
    if (strncmp(k->token, "pkcs11:", 7) != 0)
        return refuse_ring(r, k, "token", "token must be set, to a PKCS#11 URI: pkcs11:token=NAME");
    if (k->pin_credential[0] != '\0' && k->pin_file[0] != '\0')
        return refuse_ring(r, k, "pin_credential", "pin_file or pin_credential is set, not both");
    if (strchr(k->pin_credential, '/') != NULL)
        return refuse_ring(r, k, "pin_credential", "pin_credential is a name, without a slash");
    if (k->pin_file[0] != '\0' && k->pin_file[0] != '/')
        return refuse_ring(r, k, "pin_file", "pin_file is an absolute path");
    return true;
}

/* NULL: it may be used; else what is allowed. Named, because a TCTI may also be a command to run. */
static const char *tcti_refused(const char *tcti)
{
    if (strcmp(tcti, "device:/dev/tpm0") == 0)
        return "/dev/tpm0 would be nobody else's and has room for three objects; the kernel's "
               "resource manager is device:/dev/tpmrm0";
    if (strncmp(tcti, "device:/", 8) != 0 && strncmp(tcti, "swtpm:", 6) != 0 &&
        strcmp(tcti, "tabrmd") != 0 && strncmp(tcti, "tabrmd:", 7) != 0)
        return "tcti must be set: device:/dev/tpmrm0, tabrmd, tabrmd:... or swtpm:...";
    return NULL;
}

static bool check_tcti(struct reading *r, const struct ag_conf_keyring *k)
{
    const char *why = tcti_refused(k->tcti);

    return why == NULL || refuse_ring(r, k, "tcti", why);
}

/* What belongs to a token or TPM is set for one, all of it, and for nothing else. */
static bool check_ring(struct reading *r, const struct ag_conf_keyring *k)
{
    if (k->type != AG_KEYRING_PKCS11 &&
        (k->module[0] != '\0' || k->token[0] != '\0' || k->pin_file[0] != '\0' ||
         k->pin_credential[0] != '\0' || k->environment[0] != '\0'))
        return refuse_ring(
            r, k, "type",
            "module, token, pin_file, pin_credential and environment belong to type = "
            "pkcs11");
    if (k->type != AG_KEYRING_TPM && k->tcti[0] != '\0')
        return refuse_ring(r, k, "type", "tcti belongs to type = tpm");
    if (k->type == AG_KEYRING_SOFT)
        return true;
    if (strcmp(k->name, "soft") == 0)
        return refuse_ring(r, k, "type", "\"soft\" stays soft; give another keyring a name");
    return k->type == AG_KEYRING_TPM ? check_tcti(r, k) : check_token(r, k);
}

static bool check_rings(struct reading *r)
{
    for (size_t i = 0; i < r->conf.keyring_count; i++)
        if (!check_ring(r, &r->conf.keyrings[i]))
            return false;
    return true;
}

static bool check_seal(struct reading *r)
{
    const char *why = tcti_refused(r->conf.seal_tcti);

    if (why != NULL)
        (void)refuse(r, "tcti", "[seal] %s", why);
    return why == NULL;
}

static bool check_rotation(struct reading *r)
{
    struct ag_freezes freezes;
    struct antag_fault why;

    if (ag_freezes_parse(antag_slice_of(r->conf.rotation_freeze), &freezes, &why) == ANTAG_OK)
        return true;
    (void)refuse(r, "freeze", "[rotation] freeze: %s", antag_fault_text(&why));
    return false;
}

static bool check_mail(struct reading *r)
{
    const struct ag_conf *c = &r->conf;
    struct antag_fault why;

    if (!is_host(c->mail_server))
        return refuse_mail(r, "server", "server is a host name, or an IPv6 address in brackets");
    if (c->mail_from[0] != '\0' &&
        ag_mailbox_check(antag_slice_of(c->mail_from), "from", &why) != ANTAG_OK)
        return refuse_mail(r, "from", antag_fault_text(&why));
    if (c->mail_server[0] != '\0' && c->mail_from[0] == '\0')
        return refuse_mail(r, "from", "from must be set where server is: mail needs a sender");
    if ((c->mail_user[0] == '\0') != (c->mail_password_file[0] == '\0'))
        return refuse_mail(r, "user", "user and password_file are set together, or neither is");
    return true;
}

enum antag_err ag_conf_parse(struct ag_conf *c, const char *path, const char *text,
                             struct antag_fault *fault)
{
    struct reading r = {.path = path, .next = text, .fault = fault};
    int bad_line;

    ag_conf_default(&r.conf);
    bad_line = ini_parse_stream(read_line, &r, on_pair, &r);
    /* the library goes on after a line it cannot read; the first fault is the one to tell */
    if (bad_line > 0 && (!r.failed || bad_line < r.line))
        refuse_at(&r, bad_line, NULL, "must be `key = value`, [SECTION] or a comment behind #");
    if (bad_line < 0)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "%s", "");
    if (r.failed || !check_mail(&r) || !check_seal(&r) || !check_rotation(&r) || !check_rings(&r))
        return ANTAG_ERR_CONF;
    *c = r.conf;
    return ANTAG_OK;
}

/* ---- the file */

static enum antag_err read_file(int fd, const char *path, char *text, size_t *len,
                                struct antag_fault *fault)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return antag_fault_set(fault, ANTAG_ERR_CONF, NULL, "%s is not a file", path);
    for (*len = 0; *len <= FILE_LEN_MAX;) {
        ssize_t n = read(fd, text + *len, FILE_LEN_MAX + 1 - *len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s cannot be read: %s", path,
                                   strerror(errno));
        if (n == 0)
            break;
        *len += (size_t)n;
    }
    if (*len > FILE_LEN_MAX)
        return antag_fault_set(fault, ANTAG_ERR_CONF, NULL, "%s is over the limit of %d bytes",
                               path, FILE_LEN_MAX);
    if (memchr(text, '\0', *len) != NULL)
        return antag_fault_set(fault, ANTAG_ERR_CONF, NULL, "%s holds a NUL byte; it must be text",
                               path);
    return ANTAG_OK;
}

enum antag_err ag_conf_read(const char *path, char **text, struct antag_fault *fault)
{
    enum antag_err err = ANTAG_OK;
    char *made = NULL;
    size_t len = 0;
    int fd;

    fd = open(path,
              O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe in its place must not hang the start */
    if (fd < 0) {
        err = antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s cannot be opened: %s", path,
                              strerror(errno));
        goto out;
    }
    made = malloc(FILE_LEN_MAX + 1);
    if (made == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "%s", "");
        goto out;
    }
    if ((err = read_file(fd, path, made, &len, fault)) != ANTAG_OK)
        goto out;
    made[len] = '\0';
    *text = made;
    made = NULL; /* transferred */
out:
    free(made);
    if (fd >= 0)
        close(fd);
    return err;
}

/* ---- the file that init writes */

static void document_word(FILE *f, const struct key *k)
{
    const char *word = k->words;

    fputs("# One of ", f);
    for (const char *p = k->words; *p != '\0'; p++)
        *p == '|' ? fputs(", ", f) : fputc(*p, f);
    for (int64_t i = 0; i < k->def; i++)
        word += strcspn(word, "|") + 1;
    fprintf(f, ".\n#%s = %.*s\n", k->name, (int)strcspn(word, "|"), word);
}

static void document_key(FILE *f, const struct key *k)
{
    fputs("\n# ", f);
    for (const char *p = k->doc; *p != '\0'; p++)
        *p == '\n' ? fputs("\n# ", f) : fputc(*p, f);
    fputc('\n', f);
    if (k->kind == KIND_TEXT)
        fprintf(f, "# Text of at most %" PRId64 " bytes.\n#%s = %s\n", k->max, k->name, k->words);
    else if (k->kind == KIND_WORD)
        document_word(f, k);
    else
        fprintf(f, "# From %" PRId64 " to %" PRId64 ".\n#%s = %" PRId64 "\n", k->min, k->max,
                k->name, k->def);
}

char *ag_conf_document(void)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);

    if (f == NULL)
        return NULL;
    fputs("# Configuration of antom-agent. Each key stands here with its default; to change one, "
          "remove\n"
          "# the # in front of it. A section may come again, a key is set once. Read at the start "
          "and on\n"
          "# SIGHUP; a file that is wrong is refused whole, with the line, and a running agent "
          "keeps what\n"
          "# it has. Names that end in _ms are milliseconds.\n",
          f);
    for (size_t i = 0; i < COUNT(keys); i++) {
        if (!is_first(i))
            continue;
        fprintf(f, "\n[%s]\n", keys[i].section);
        for (size_t j = i; j < COUNT(keys); j++)
            if (strcmp(keys[j].section, keys[i].section) == 0)
                document_key(f, &keys[j]);
    }
    fputs(
        "\n# A keyring holds private keys. \"soft\" is always there and the default; others get a\n"
        "# section [keyring NAME] of their own.\n[keyring soft]\n",
        f);
    for (size_t i = 0; i < COUNT(ring_keys); i++)
        document_key(f, &ring_keys[i]);
    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
