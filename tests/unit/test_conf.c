/* agent.conf: what is taken, what is refused and where, and that the documented file is the defaults. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/conf.h"
#include "tests/support/rows.h"

static bool same(const struct ag_conf *a, const struct ag_conf *b)
{
#define AG_ROW(section, key, type, def, min, max, words, doc)                                      \
    if (a->section##_##key != b->section##_##key)                                                  \
        return false;
    AG_CONF_KEYS(AG_ROW)
#undef AG_ROW
#define AG_ROW(section, key, max, def, doc)                                                        \
    if (strcmp(a->section##_##key, b->section##_##key) != 0)                                       \
        return false;
    AG_CONF_TEXTS(AG_ROW)
#undef AG_ROW
    if (a->keyring_count != b->keyring_count)
        return false;
    for (size_t i = 0; i < a->keyring_count; i++)
        if (strcmp(a->keyrings[i].name, b->keyrings[i].name) != 0 ||
            a->keyrings[i].type != b->keyrings[i].type ||
            a->keyrings[i].threads != b->keyrings[i].threads)
            return false;
    return true;
}

/* What a good file changes: one number, compared with its default otherwise. */
#define SKEW(v) "[policy]\nmax_time_skew_ms" v "\n"
static const struct {
    const char *name, *text;
    int64_t skew_ms;
} good_rows[] = {
    {"empty", "", 300000},
    {"no final line feed", "[policy]\nmax_time_skew_ms = 1", 1},
    {"no blanks", SKEW("=2"), 2},
    {"zero is the minimum", SKEW(" = 0"), 0},
    {"maximum", SKEW(" = 86400000"), 86400000},
    {"leading zeros", SKEW(" = 00000000000000000000007"), 7},
    {"indented, which is not a continuation",
     "[policy]\n  max_time_skew_ms = 3\n\tresponse_max_age_ms = 4\n", 3},
    {"indented after a key", "[policy]\nresponse_max_age_ms = 4\n    max_time_skew_ms = 5\n", 5},
    {"CRLF", "[policy]\r\nmax_time_skew_ms = 6\r\n\r\n", 6},
    {"byte order mark", "\xef\xbb\xbf[policy]\nmax_time_skew_ms = 8\n", 8},
    {"comments", "# a\n; b\n  # c\n[policy] # d\nmax_time_skew_ms = 9 ; e\n", 9},
    {"comment in other letters", "# \xe4\xbd\x99\xe9\xa2\x9d\n[policy]\nmax_time_skew_ms = 9\n", 9},
    {"section again", "[policy]\nresponse_max_age_ms=1\n[log]\nlevel = warn\n" SKEW(" = 10"), 10},
    {"empty section", "[log]\n[policy]\n[keyring soft]\n", 300000},
    {"colon", SKEW(": 11"), 11},
    {"keyring between", "[policy]\n[keyring soft]\nthreads = 2\n" SKEW(" = 12"), 12},
};

static void test_good(void)
{
    for (size_t i = 0; i < ROW_COUNT(good_rows); i++) {
        struct antag_fault fault = {0};
        struct ag_conf c;

        memset(&c, 0x55, sizeof c);
        ROW_ASSERT(good_rows[i].name,
                   ag_conf_parse(&c, "f", good_rows[i].text, &fault) == ANTAG_OK);
        ROW_ASSERT(good_rows[i].name, c.policy_max_time_skew_ms == good_rows[i].skew_ms);
        ROW_ASSERT(good_rows[i].name, strcmp(c.keyrings[0].name, "soft") == 0);
    }
}

#define X10  "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10
#define RINGS7                                                                                     \
    "[keyring a]\n[keyring b]\n[keyring c]\n[keyring d]\n[keyring e]\n[keyring f]\n[keyring g]\n"

/* `says` must stand in the message, which begins with PATH:LINE: */
static const struct {
    const char *name, *text, *says;
} bad_rows[] = {
    {"unknown section", "[polcy]\n",
     "f:1: unknown section [polcy]; sections are [log], [policy], [limits], "
     "[front], [opener], [keys], [audit], [staff], [mail], [rotation], [seal], [keyring NAME]"},
    {"TCTI of the seal that runs a command", "[seal]\ntcti = cmd:sh\n", "f:2: [seal] tcti"},
    {"TCTI of the seal past the resource manager", "[seal]\ntcti = device:/dev/tpm0\n", "tpmrm0"},
    {"unknown section without keys, late", "\n\n[policy]\n[x]\n[log]\n",
     "f:4: unknown section [x]"},
    {"empty section name", "[]\n", "f:1: unknown section []"},
    {"blanks in a section's name", "[ policy ]\n", "f:1: unknown section [ policy ]"},
    {"section in upper case", "[Policy]\n", "f:1: unknown section [Policy]"},
    {"section not closed", "[policy\nmax_time_skew_ms = 1\n", "f:1: a section is written [NAME]"},
    {"text behind a section", "[policy] max_time_skew_ms = 1\n",
     "f:1: a section is written [NAME]"},
    {"section cut by the library", "[policy" X100 "]\n", "f:1: unknown section"},
    {"durability", "[audit]\ndurability = sometimes\n", "commit"},
    {"segments too small", "[audit]\nsegment_max_bytes = 65535\n", "65536"},
    {"unknown key", "[log]\n\nlevle = info\n", "f:3: unknown key \"levle\"; [log] has level"},
    {"key of another section", "[log]\nmax_time_skew_ms = 1\n", "f:2: unknown key"},
    {"key in upper case", "[log]\nLevel = info\n", "f:2: unknown key \"Level\""},
    {"no key", "[log]\n = info\n", "f:2: unknown key \"\""},
    {"key of a keyring", "[keyring soft]\nlevel = info\n",
     "f:2: unknown key \"level\"; [keyring NAME] has "
     "type, threads"},
    {"before any section", "level = info\n[log]\n", "f:1: \"level\" stands before any section"},
    {"twice", SKEW("=1") "max_time_skew_ms=1\n", "f:3: max_time_skew_ms is set twice"},
    {"twice over sections", SKEW("=1") "[log]\n" SKEW("=2"), "f:5: max_time_skew_ms is set twice"},
    {"twice in a keyring",
     "[keyring a]\nthreads=1\n[keyring soft]\nthreads=1\n[keyring a]\nthreads=1\n",
     "f:6: threads is set twice"},
    {"no value", SKEW(" ="), "f:2: max_time_skew_ms = \"\": must be a number from 0 to 86400000"},
    {"no equals sign", SKEW(""), "f:2: must be `key = value`"},
    {"garbage before another fault", "garbage\n[x]\n", "f:1: must be `key = value`"},
    {"over the maximum", SKEW(" = 86400001"),
     "f:2: max_time_skew_ms = \"86400001\": must be a number from 0 to "
     "86400000, digits only"},
    {"under the minimum", "[limits]\nfirst_frame_ms = 99\n", "from 100 to 600000"},
    {"negative", SKEW(" = -1"), "must be a number"},
    {"plus", SKEW(" = +1"), "must be a number"},
    {"hexadecimal", SKEW(" = 0x10"), "must be a number"},
    {"unit", SKEW(" = 5s"), "must be a number"},
    {"decimal", SKEW(" = 5.0"), "must be a number"},
    {"blank inside", SKEW(" = 5 0"), "must be a number"},
    {"quoted", SKEW(" = \"5\""), "must be a number"},
    {"hash behind a value", SKEW(" = 5 # five"), "must be a number"},
    {"2^63", SKEW(" = 9223372036854775808"), "must be a number"},
    {"2^64 + 1", SKEW(" = 18446744073709551617"), "must be a number"},
    {"a word that is none", "[log]\nlevel = verbose\n",
     "f:2: level = \"verbose\": must be one of "
     "error|warn|info|debug"},
    {"part of a word", "[log]\nlevel = inf\n", "must be one of"},
    {"two words", "[log]\nlevel = info|debug\n", "must be one of"},
    {"no word", "[log]\nlevel =\n", "must be one of"},
    {"unknown kind of keyring", "[keyring x]\ntype = hard\n", "must be one of soft"},
    {"tpm without a way to it", "[keyring x]\ntype = tpm\n", "tcti must be set"},
    {"tpm without resource manager", "[keyring x]\ntype = tpm\ntcti = device:/dev/tpm0\n",
     "device:/dev/tpmrm0"},
    {"tpm that is a command", "[keyring x]\ntype = tpm\ntcti = cmd:sh\n",
     "tcti must be set: device:"},
    {"a PIN twice",
     "[keyring x]\ntype = pkcs11\nmodule = /m\ntoken = pkcs11:token=t\npin_file = /p\n"
     "pin_credential = p\n",
     "not both"},
    {"a PIN file that is no path",
     "[keyring x]\ntype = pkcs11\nmodule = /m\ntoken = pkcs11:token=t\npin_file = p\n",
     "pin_file is an absolute path"},
    {"a credential that is a path",
     "[keyring x]\ntype = pkcs11\nmodule = /m\ntoken = pkcs11:token=t\npin_credential = a/p\n",
     "without a slash"},
    {"tpm with a PIN", "[keyring x]\ntype = tpm\ntcti = tabrmd\npin_file = /p\n",
     "belong to type = pkcs11"},
    {"tcti of soft", "[keyring x]\ntcti = tabrmd\n", "tcti belongs to type = tpm"},
    {"tcti of a token", "[keyring x]\ntype = pkcs11\ntcti = tabrmd\n",
     "tcti belongs to type = tpm"},
    {"soft in a TPM", "[keyring soft]\ntype = tpm\ntcti = tabrmd\n", "stays soft"},
    {"keyring without a name", "[keyring ]\n", "f:1: [keyring ]: a keyring's name is"},
    {"keyring alone", "[keyring]\n", "f:1: unknown section [keyring]"},
    {"keyring of the steward's chain", "\n[keyring steward]\n",
     "f:2: [keyring steward]: this name is taken by the steward's own record"},
    {"keyring in upper case", "[keyring HSM]\n", "a keyring's name is"},
    {"keyring with a dash first", "[keyring -a]\n", "a keyring's name is"},
    {"keyring with a slash", "[keyring a/b]\n", "a keyring's name is"},
    {"keyring of two words", "[keyring a b]\n", "a keyring's name is"},
    {"keyring name too long", "[keyring aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", "1 to 32 of"},
    {"too many keyrings", RINGS7 "[keyring h]\n", "f:8: [keyring h]: at most 8 keyrings"},
    {"line too long", "[log]\nlevel = info " X100 X100 "\n",
     "f:2: the line has 213 bytes, at most 197"},
    {"not UTF-8", "[log]\nlevel = \xff\n", "f:2: byte 9 is 0xff"},
    {"UTF-8 cut by the line's end", "[log]\n# \xe4\xbd\n", "f:2: byte 3 is 0xe4"},
    {"overlong UTF-8", "[log]\n# \xc0\xaf\n", "f:2: byte 3 is 0xc0"},
    {"escape sequence", "[log]\nlevel = \x1b[2J\n", "f:2: byte 9 is 0x1b"},
    {"control byte in a comment", "# \x01\n", "f:1: byte 3 is 0x01"},
    {"CR alone", "[log]\rlevel = info\n", "f:1: byte 6 is 0x0d"},
    {"mail without a sender", "[mail]\nserver = mail.example\n",
     "from must be set where server is"},
    {"no host name", "[mail]\nserver = a/b\nfrom = a@b.example\n", "server is a host name"},
    {"brackets without an address", "[mail]\nserver = []\nfrom = a@b.example\n", "is a host name"},
    {"no mailbox", "[mail]\nfrom = me\n", "[mail] "},
    {"user alone", "[mail]\nuser = me\n", "user and password_file are set together"},
    {"password alone", "[mail]\npassword_file = /x\n", "user and password_file are set together"},
    {"a text too long",
     "[mail]\nuser = "
     "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxx"
     "xxxxxxxxxxxxxxxxxxxxx\n",
     "at most 128 are taken"},
    {"mail's security", "[mail]\nsecurity = none\n", "must be one of starttls|tls"},
};

static void test_bad(void)
{
    for (size_t i = 0; i < ROW_COUNT(bad_rows); i++) {
        struct antag_fault fault = {0};
        struct ag_conf c, before;

        memset(&c, 0x55, sizeof c);
        before = c;
        ROW_ASSERT(bad_rows[i].name,
                   ag_conf_parse(&c, "f", bad_rows[i].text, &fault) == ANTAG_ERR_CONF);
        ROW_ASSERT(bad_rows[i].name, fault.err == ANTAG_ERR_CONF);
        ROW_ASSERT(bad_rows[i].name, strncmp(fault.text, "f:", 2) == 0);
        ROW_ASSERT(bad_rows[i].name, strstr(fault.text, bad_rows[i].says) != NULL);
        ROW_ASSERT(bad_rows[i].name, memcmp(&c, &before, sizeof c) == 0);
        ROW_ASSERT(bad_rows[i].name,
                   ag_conf_parse(&c, "f", bad_rows[i].text, NULL) == ANTAG_ERR_CONF);
    }
}

static void test_line_edge(void)
{
    char text[400];
    struct ag_conf c;

    /* 197 bytes are read whole: the last digit counts */
    snprintf(text, sizeof text, "[policy]\nmax_time_skew_ms =%*s\n", 197 - 18, "5");
    CU_ASSERT_EQUAL(strlen(text), 9 + 197 + 1);
    CU_ASSERT_EQUAL(ag_conf_parse(&c, "f", text, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(c.policy_max_time_skew_ms, 5);
    snprintf(text, sizeof text, "[policy]\nmax_time_skew_ms =%*s\n", 198 - 18, "5");
    CU_ASSERT_EQUAL(ag_conf_parse(&c, "f", text, NULL), ANTAG_ERR_CONF);
    snprintf(text, sizeof text, "# %*s\n[policy]\nmax_time_skew_ms = 7", 300, "comment");
    CU_ASSERT_EQUAL(ag_conf_parse(&c, "f", text, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(c.policy_max_time_skew_ms, 7);
}

static void test_mail(void)
{
    struct ag_conf c;

    CU_ASSERT_EQUAL(
        ag_conf_parse(&c, "f",
                      "[mail]\nserver = mail.example\nfrom = agent@pay.example\nport = 465\n"
                      "security = tls\nuser = a b\npassword_file = /x y ; z\nca_file =\n",
                      NULL),
        ANTAG_OK);
    CU_ASSERT_STRING_EQUAL(c.mail_server, "mail.example");
    CU_ASSERT_STRING_EQUAL(c.mail_from, "agent@pay.example");
    CU_ASSERT_STRING_EQUAL(c.mail_user, "a b");
    CU_ASSERT_STRING_EQUAL(c.mail_password_file, "/x y");
    CU_ASSERT_STRING_EQUAL(c.mail_ca_file, "");
    CU_ASSERT_EQUAL(c.mail_port, 465);
    CU_ASSERT_EQUAL(c.mail_security, AG_MAIL_TLS);
    CU_ASSERT_EQUAL(ag_conf_parse(&c, "f", "[mail]\nserver = [::1]\nfrom = a@b.example\n", NULL),
                    ANTAG_OK);
}

static void test_keyrings(void)
{
    const struct ag_conf_keyring *ring;
    struct ag_conf c;

    CU_ASSERT_EQUAL_FATAL(ag_conf_parse(&c, "f",
                                        RINGS7 "[keyring c]\ntype = soft\nthreads = 64\n"
                                               "[keyring soft]\nthreads = 3\n",
                                        NULL),
                          ANTAG_OK);
    CU_ASSERT_EQUAL(c.keyring_count, AG_CONF_KEYRINGS_MAX);
    CU_ASSERT_STRING_EQUAL(c.keyrings[0].name, "soft");
    CU_ASSERT_EQUAL(c.keyrings[0].threads, 3);
    ring = ag_conf_find_keyring(&c, "c");
    CU_ASSERT_PTR_NOT_NULL_FATAL(ring);
    CU_ASSERT_EQUAL(ring->threads, 64);
    ring = ag_conf_find_keyring(&c, "d");
    CU_ASSERT_PTR_NOT_NULL_FATAL(ring);
    CU_ASSERT_EQUAL(ring->threads, 0);
    CU_ASSERT_PTR_NULL(ag_conf_find_keyring(&c, "h"));
    CU_ASSERT_PTR_NULL(ag_conf_find_keyring(&c, ""));
    CU_ASSERT_EQUAL(ag_conf_parse(&c, "f", "[keyring aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", NULL),
                    ANTAG_OK);
}

static void test_long_path(void)
{
    struct antag_fault fault = {0};
    char path[700];
    struct ag_conf c;

    memset(path, 'p', sizeof path);
    memcpy(path + sizeof path - 12, "/agent.conf", 12);
    CU_ASSERT_EQUAL(ag_conf_parse(&c, path, "[log]\nlevel = x\n", &fault), ANTAG_ERR_CONF);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "/agent.conf:2: level"));
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "error|warn|info|debug"));
}

/* The file of init: as it is, and with every setting uncommented, it means the defaults. */
static void test_document(void)
{
    char *text = ag_conf_document();
    struct antag_fault fault = {0};
    struct ag_conf want, got;
    size_t settings = 0;

    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    ag_conf_default(&want);
    CU_ASSERT_EQUAL(want.policy_max_time_skew_ms, 300000);
    CU_ASSERT_EQUAL(ag_conf_parse(&got, "document", text, &fault), ANTAG_OK);
    CU_ASSERT(same(&want, &got));
    for (char *p = text; p != NULL && *p != '\0'; p = strchr(p, '\n'), p = p != NULL ? p + 1 : p)
        if (p[0] == '#' && p[1] >= 'a' && p[1] <= 'z')
            p[0] = ' ', settings++;
    CU_ASSERT_EQUAL(ag_conf_parse(&got, "document", text, &fault), ANTAG_OK);
    if (fault.err != ANTAG_OK)
        printf("%s\n", fault.text);
    CU_ASSERT(same(&want, &got));
#define AG_ROW(section, key, type, def, min, max, words, doc)                                      \
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " " #key " = "));                                          \
    settings--;
    AG_CONF_KEYS(AG_ROW)
    AG_CONF_KEYRING_KEYS(AG_ROW)
#undef AG_ROW
#define AG_ROW(section, key, max, def, doc)                                                        \
    CU_ASSERT_PTR_NOT_NULL(strstr(text, " " #key " = "));                                          \
    settings--;
    AG_CONF_TEXTS(AG_ROW)
    AG_CONF_KEYRING_TEXTS(AG_ROW)
#undef AG_ROW
    CU_ASSERT_EQUAL(settings, 0);
    free(text);
}

static const struct {
    const char *name;
    size_t size;
    char byte;
    enum antag_err err;
} file_rows[] = {
    {"empty", 0, '\n', ANTAG_OK},           {"one byte", 1, '\n', ANTAG_OK},
    {"largest", 64 * 1024, '\n', ANTAG_OK}, {"over", 64 * 1024 + 1, '\n', ANTAG_ERR_CONF},
    {"NUL", 3, '\0', ANTAG_ERR_CONF},
};

static void test_read(void)
{
    char path[] = "/tmp/antag-conf-XXXXXX";
    struct antag_fault fault = {0};
    char *text = NULL;
    int fd = mkstemp(path);

    CU_ASSERT_FATAL(fd >= 0);
    for (size_t i = 0; i < ROW_COUNT(file_rows); i++) {
        char *bytes = malloc(file_rows[i].size + 1);
        enum antag_err err;

        CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
        memset(bytes, file_rows[i].byte, file_rows[i].size);
        CU_ASSERT_EQUAL_FATAL(ftruncate(fd, 0), 0);
        CU_ASSERT_EQUAL_FATAL(pwrite(fd, bytes, file_rows[i].size, 0), (ssize_t)file_rows[i].size);
        err = ag_conf_read(path, &text, &fault);
        ROW_ASSERT(file_rows[i].name, err == file_rows[i].err);
        if (err == ANTAG_OK) {
            ROW_ASSERT(file_rows[i].name, strlen(text) == file_rows[i].size);
            free(text);
        } else {
            ROW_ASSERT(file_rows[i].name, strstr(fault.text, path) != NULL);
        }
        free(bytes);
    }
    close(fd);
    unlink(path);
    CU_ASSERT_EQUAL(ag_conf_read(path, &text, &fault), ANTAG_ERR_IO);
    CU_ASSERT_PTR_NOT_NULL(strstr(fault.text, "No such file"));
    CU_ASSERT_EQUAL(ag_conf_read("/tmp", &text, &fault), ANTAG_ERR_CONF);
    CU_ASSERT_EQUAL_FATAL(mkfifo(path, 0600), 0);
    CU_ASSERT_EQUAL(ag_conf_read(path, &text, &fault), ANTAG_ERR_CONF); /* and does not hang */
    unlink(path);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"files taken", test_good},
        {"files refused", test_bad},
        {"longest line", test_line_edge},
        {"mail", test_mail},
        {"keyrings", test_keyrings},
        {"a long path leaves the message whole", test_long_path},
        {"the documented file is the defaults", test_document},
        {"reading", test_read},
        CU_TEST_INFO_NULL,
    };

    return run_tests("conf", tests);
}
