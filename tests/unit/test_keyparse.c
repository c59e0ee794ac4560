/* keyparse: every form of a key that is taken, and every one that is refused, by its own name. */
#include "agent/opener/keyparse.h"

#include "agent/lib/log.h"
#include "agent/opener/keyder.h"
#include "tests/support/keymake.h"
#include "tests/support/rows.h"

#define NOTHING ((struct antag_slice){NULL, 0})
#define PASS    "correct horse"

static EVP_PKEY *good; /* 2048 bits; the rest is made of it */
static BIGNUM *parts[KM_PARTS];
static struct km pkcs8, pkcs1, spki, pkcs1_public;
static struct km text; /* what a row gives */

static void reset(void)
{
    text.len = 0;
}

static struct ag_secret *secret_of(const char *s)
{
    struct ag_secret *secret = s != NULL ? ag_secret_new(strlen(s) + 1) : NULL;

    if (secret != NULL) {
        memcpy(ag_secret_bytes(secret), s, strlen(s));
        ag_secret_set_len(secret, strlen(s));
    }
    return secret;
}

static enum antag_err parse_with(struct antag_slice in, const char *passphrase, EVP_PKEY **out)
{
    /* a block of exactly this size, so that a read behind it is seen by the sanitizers */
    uint8_t *copy = malloc(in.len > 0 ? in.len : 1);
    struct ag_secret *secret = secret_of(passphrase);
    struct antag_fault fault = {.err = ANTAG_OK};
    EVP_PKEY *key = NULL;
    enum antag_err err;

    if (in.len > 0)
        memcpy(copy, in.p, in.len);
    err = ag_keyparse_private((struct antag_slice){copy, in.len}, secret, &key, &fault);
    CU_ASSERT((err == ANTAG_OK) == (key != NULL));
    if (err != ANTAG_OK) {
        CU_ASSERT_EQUAL(fault.err, err);
        CU_ASSERT(antag_fault_text(&fault)[0] != '\0');
    }
    if (out != NULL)
        *out = key;
    else
        EVP_PKEY_free(key);
    ag_secret_free(secret);
    free(copy);
    return err;
}

static enum antag_err parse(struct antag_slice in)
{
    return parse_with(in, NULL, NULL);
}

static enum antag_err parse_public(struct antag_slice in, struct km *out)
{
    uint8_t *copy = malloc(in.len > 0 ? in.len : 1), made[ANTAG_SPKI_MAX];
    struct antag_fault fault;
    enum antag_err err;
    size_t len = 0;

    if (in.len > 0)
        memcpy(copy, in.p, in.len);
    err = ag_keyparse_public((struct antag_slice){copy, in.len}, made, &len, &fault);
    if (out != NULL) {
        out->len = 0;
        if (err == ANTAG_OK)
            km_add(out, made, len);
    }
    free(copy);
    return err;
}

/* ---- what is taken */

static const struct {
    const char *name;
    const char *before, *label; /* no label: bare base64 */
    size_t width;
    const char *eol, *after;
    bool pkcs1;
} taken[] = {
    {"PKCS#8, bare, one line", "", NULL, 0, "", "", false},
    {"PKCS#8, bare, final line feed", "", NULL, 0, "", "\n", false},
    {"PKCS#8, bare, CR LF behind", "", NULL, 0, "", "\r\n", false},
    {"PKCS#8, bare, blanks around", " \t\r\n ", NULL, 0, "", " \t\r\n ", false},
    {"PKCS#8, bare, lines of 64", "", NULL, 64, "\n", "", false},
    {"PKCS#8, bare, lines of 76 with CR LF", "", NULL, 76, "\r\n", "", false},
    {"PKCS#8, bare, lines of 1", "", NULL, 1, "\n", "", false},
    {"PKCS#8, PEM", "", "PRIVATE KEY", 64, "\n", "", false},
    {"PKCS#8, PEM, CR LF", "", "PRIVATE KEY", 64, "\r\n", "", false},
    {"PKCS#8, PEM, blanks around", "\r\n  \t", "PRIVATE KEY", 64, "\n", "\n \t\r\n", false},
    {"PKCS#8, PEM on one line", "", "PRIVATE KEY", 64, " ", "", false},
    {"PKCS#8, PEM labelled RSA", "", "RSA PRIVATE KEY", 64, "\n", "", false},
    {"PKCS#8, PEM labelled encrypted", "", "ENCRYPTED PRIVATE KEY", 64, "\n", "", false},
    {"PKCS#1, bare, one line", "", NULL, 0, "", "", true},
    {"PKCS#1, bare, lines with CR LF", "\n", NULL, 64, "\r\n", "\n", true},
    {"PKCS#1, PEM", "", "RSA PRIVATE KEY", 64, "\n", "", true},
    {"PKCS#1, PEM, CR LF", "", "RSA PRIVATE KEY", 64, "\r\n", "\r\n", true},
    {"PKCS#1, PEM labelled as PKCS#8", "", "PRIVATE KEY", 64, "\n", "", true},
};

static void test_taken(void)
{
    for (size_t i = 0; i < ROW_COUNT(taken); i++) {
        const struct km *der = taken[i].pkcs1 ? &pkcs1 : &pkcs8;
        EVP_PKEY *key = NULL;

        reset();
        km_text(&text, taken[i].before);
        if (taken[i].label != NULL)
            km_pem(&text, taken[i].label, km_slice(der), taken[i].eol);
        else
            km_base64(&text, km_slice(der), taken[i].width, taken[i].eol);
        km_text(&text, taken[i].after);
        ROW_ASSERT(taken[i].name, parse_with(km_slice(&text), NULL, &key) == ANTAG_OK);
        ROW_ASSERT(taken[i].name, key != NULL && EVP_PKEY_eq(key, good) == 1);
        EVP_PKEY_free(key);
    }
    CU_ASSERT_EQUAL(parse(km_slice(&pkcs8)), ANTAG_OK); /* raw DER */
    CU_ASSERT_EQUAL(parse(km_slice(&pkcs1)), ANTAG_OK);
}

/* All eight numbers must come out as they went in. */
static void test_whole(void)
{
    BIGNUM *bn[KM_PARTS];
    EVP_PKEY *key = NULL;

    CU_ASSERT_EQUAL_FATAL(parse_with(km_slice(&pkcs8), NULL, &key), ANTAG_OK);
    km_parts(key, bn);
    for (size_t i = 0; i < KM_PARTS; i++)
        CU_ASSERT_EQUAL(BN_cmp(bn[i], parts[i]), 0);
    km_parts_free(bn);
    EVP_PKEY_free(key);
}

static void test_sizes_and_exponents(void)
{
    static const struct {
        const char *name;
        unsigned bits;
        unsigned long e;
        enum antag_err err;
    } rows[] = {
        {"512", 512, 65537, ANTAG_ERR_KEY_SIZE},
        {"1024", 1024, 65537, ANTAG_ERR_KEY_SIZE},
        {"1536", 1536, 65537, ANTAG_ERR_KEY_SIZE},
        {"2047", 2047, 65537, ANTAG_ERR_KEY_SIZE},
        {"2050", 2050, 65537, ANTAG_ERR_KEY_SIZE},
        {"2056", 2056, 65537, ANTAG_ERR_KEY_SIZE},
        {"3072", 3072, 65537, ANTAG_OK},
        {"4096", 4096, 65537, ANTAG_OK},
        {"exponent 3", 2048, 3, ANTAG_OK},
        {"exponent 17", 2048, 17, ANTAG_OK},
        {"largest", 2048, 4294967295ul, ANTAG_OK},
        {"next", 2048, 4294967297ul, ANTAG_ERR_KEY_EXPONENT},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        EVP_PKEY *key = km_rsa(rows[i].bits, rows[i].e, 2);

        reset();
        km_der(&text, key, KM_PKCS8);
        ROW_ASSERT(rows[i].name, parse(km_slice(&text)) == rows[i].err);
        reset();
        km_der(&text, key, KM_SPKI);
        ROW_ASSERT(rows[i].name, parse_public(km_slice(&text), NULL) == rows[i].err);
        EVP_PKEY_free(key);
    }
}

/* ---- parts that do not belong together */

static void write_tampered(BIGNUM *const bn[KM_PARTS], bool as_pkcs8)
{
    struct km *inner = calloc(1, sizeof *inner);

    reset();
    km_pkcs1(inner, 0, bn, KM_PARTS, NOTHING);
    if (as_pkcs8)
        km_pkcs8(&text, 0, km_oid_rsa, sizeof km_oid_rsa, km_slice(inner), NOTHING);
    else
        km_add(&text, inner->p, inner->len);
    free(inner);
}

static void test_tampered(void)
{
    static const struct {
        const char *name;
        size_t part;
        int add; /* 0: set to zero */
        enum antag_err err;
    } rows[] = {
        {"modulus + 2", KM_N, 2, ANTAG_ERR_KEY_INCONSISTENT},
        {"modulus 0", KM_N, 0, ANTAG_ERR_KEY_SIZE},
        {"exponent + 2", KM_E, 2, ANTAG_ERR_KEY_INCONSISTENT},
        {"exponent even", KM_E, 1, ANTAG_ERR_KEY_EXPONENT},
        {"exponent 0", KM_E, 0, ANTAG_ERR_KEY_EXPONENT},
        {"private exponent + 1", KM_D, 1, ANTAG_ERR_KEY_INCONSISTENT},
        {"private exponent + 2", KM_D, 2, ANTAG_ERR_KEY_INCONSISTENT},
        {"private exponent 0", KM_D, 0, ANTAG_ERR_KEY_INCONSISTENT},
        {"first prime + 2", KM_P, 2, ANTAG_ERR_KEY_INCONSISTENT},
        {"first prime + 1", KM_P, 1, ANTAG_ERR_KEY_INCONSISTENT},
        {"first prime 0", KM_P, 0, ANTAG_ERR_KEY_INCONSISTENT},
        {"second prime + 2", KM_Q, 2, ANTAG_ERR_KEY_INCONSISTENT},
        {"second prime 0", KM_Q, 0, ANTAG_ERR_KEY_INCONSISTENT},
        {"first CRT exponent + 1", KM_DP, 1, ANTAG_ERR_KEY_INCONSISTENT},
        {"first CRT exponent + 2", KM_DP, 2, ANTAG_ERR_KEY_INCONSISTENT},
        {"first CRT exponent 0", KM_DP, 0, ANTAG_ERR_KEY_INCONSISTENT},
        {"second CRT exponent + 1", KM_DQ, 1, ANTAG_ERR_KEY_INCONSISTENT},
        {"second CRT exponent 0", KM_DQ, 0, ANTAG_ERR_KEY_INCONSISTENT},
        {"CRT coefficient + 1", KM_QINV, 1, ANTAG_ERR_KEY_INCONSISTENT},
        {"CRT coefficient 0", KM_QINV, 0, ANTAG_ERR_KEY_INCONSISTENT},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        BIGNUM *bn[KM_PARTS];

        km_parts(good, bn);
        if (rows[i].add == 0)
            BN_zero(bn[rows[i].part]);
        else
            (void)BN_add_word(bn[rows[i].part], (BN_ULONG)rows[i].add);
        write_tampered(bn, false);
        ROW_ASSERT(rows[i].name, parse(km_slice(&text)) == rows[i].err);
        write_tampered(bn, true);
        ROW_ASSERT(rows[i].name, parse(km_slice(&text)) == rows[i].err);
        km_parts_free(bn);
    }
    write_tampered(parts, true); /* the writer itself is right */
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_OK);
}

static void test_swapped(void)
{
    BIGNUM *bn[KM_PARTS], *other[KM_PARTS], *swap;
    EVP_PKEY *second = km_rsa(2048, 65537, 2);

    km_parts(good, bn);
    km_parts(second, other);
    swap = bn[KM_P]; /* the primes only: the CRT parts now stand with the wrong ones */
    bn[KM_P] = bn[KM_Q];
    bn[KM_Q] = swap;
    write_tampered(bn, true);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_INCONSISTENT);
    for (size_t part = KM_D; part < KM_PARTS; part++) { /* one part of another good key */
        BIGNUM *mixed[KM_PARTS];

        for (size_t i = 0; i < KM_PARTS; i++)
            mixed[i] = i == part ? other[i] : parts[i];
        write_tampered(mixed, true);
        CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_INCONSISTENT);
    }
    bn[KM_Q] = BN_dup(bn[KM_P]); /* n = p * p */
    BN_free(swap);
    write_tampered(bn, true);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_INCONSISTENT);
    km_parts_free(bn);
    km_parts_free(other);
    EVP_PKEY_free(second);
}

/* Numbers that fit each other, around a first "prime" that is a product: only a primality test tells. */
static void test_composite(void)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *bn[KM_PARTS], *a = BN_new(), *b = BN_new(), *p1 = BN_new(), *q1 = BN_new();

    for (size_t i = 0; i < KM_PARTS; i++)
        bn[i] = BN_new();
    BN_set_word(bn[KM_E], 65537);
    do {
        CU_ASSERT_FATAL(BN_generate_prime_ex(a, 512, 0, NULL, NULL, NULL));
        CU_ASSERT_FATAL(BN_generate_prime_ex(b, 512, 0, NULL, NULL, NULL));
        CU_ASSERT_FATAL(BN_generate_prime_ex(bn[KM_Q], 1024, 0, NULL, NULL, NULL));
        BN_mul(bn[KM_P], a, b, ctx);
        BN_mul(bn[KM_N], bn[KM_P], bn[KM_Q], ctx);
        BN_sub(p1, bn[KM_P], BN_value_one());
        BN_sub(q1, bn[KM_Q], BN_value_one());
        BN_mul(a, p1, q1, ctx);
    } while (BN_num_bits(bn[KM_N]) != 2048 || BN_mod_inverse(bn[KM_D], bn[KM_E], a, ctx) == NULL ||
             BN_mod_inverse(bn[KM_QINV], bn[KM_Q], bn[KM_P], ctx) == NULL);
    BN_mod(bn[KM_DP], bn[KM_D], p1, ctx);
    BN_mod(bn[KM_DQ], bn[KM_D], q1, ctx);
    write_tampered(bn, true);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_INCONSISTENT);
    km_parts_free(bn);
    BN_free(a);
    BN_free(b);
    BN_free(p1);
    BN_free(q1);
    BN_CTX_free(ctx);
}

/* ---- structure */

static void test_structure(void)
{
    static const uint8_t null[] = {0x05, 0x00}, sequence[] = {0x30, 0x00}, attrs[] = {0xa0, 0x00},
                         pub[] = {0x81, 0x01, 0x00};
    struct km *inner = calloc(1, sizeof *inner);
    struct antag_slice none = NOTHING;

    reset(); /* numbers missing */
    km_pkcs1(&text, 0, parts, 7, none);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_FORM);
    reset(); /* a version nobody knows */
    km_pkcs1(&text, 2, parts, 8, none);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_FORM);
    reset(); /* the version of several primes, without them, and the reverse */
    km_pkcs1(&text, 1, parts, 8, none);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_MULTIPRIME);
    reset();
    km_pkcs1(&text, 0, parts, 8, (struct antag_slice){sequence, sizeof sequence});
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_MULTIPRIME);

    km_pkcs1(inner, 0, parts, 8, none);
    reset(); /* PKCS#8 with attributes, and with RFC 5958's public key: known, left out */
    km_pkcs8(&text, 0, km_oid_rsa, sizeof km_oid_rsa, km_slice(inner),
             (struct antag_slice){attrs, sizeof attrs});
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_OK);
    reset();
    km_pkcs8(&text, 1, km_oid_rsa, sizeof km_oid_rsa, km_slice(inner),
             (struct antag_slice){pub, sizeof pub});
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_OK);
    reset(); /* something else behind */
    km_pkcs8(&text, 0, km_oid_rsa, sizeof km_oid_rsa, km_slice(inner),
             (struct antag_slice){null, sizeof null});
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_FORM);
    reset();
    km_pkcs8(&text, 2, km_oid_rsa, sizeof km_oid_rsa, km_slice(inner), none);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_FORM);
    km_add(inner, null, sizeof null); /* behind the RSA key, inside its octets */
    reset();
    km_pkcs8(&text, 0, km_oid_rsa, sizeof km_oid_rsa, km_slice(inner), none);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_TRAILING);
    free(inner);
}

static void test_trailing(void)
{
    static const struct {
        const char *name, *behind;
        bool raw;
        enum antag_err err;
    } rows[] = {
        {"a byte behind the DER", "x", true, ANTAG_ERR_KEY_TRAILING},
        {"a line feed behind raw DER", "\n", true, ANTAG_ERR_KEY_TRAILING},
        {"a word behind the END line", "word", false, ANTAG_ERR_KEY_TRAILING},
        {"a blank line behind the END line", "\n\n", false, ANTAG_OK},
        {"a second block", "-----BEGIN PRIVATE KEY-----\n", false, ANTAG_ERR_KEY_TRAILING},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        reset();
        if (rows[i].raw)
            km_add(&text, pkcs8.p, pkcs8.len);
        else
            km_pem(&text, "PRIVATE KEY", km_slice(&pkcs8), "\n");
        km_text(&text, rows[i].behind);
        ROW_ASSERT(rows[i].name, parse(km_slice(&text)) == rows[i].err);
    }
    for (size_t n = 1; n <= 3; n++) { /* inside the base64, for each of its paddings */
        struct km *longer = calloc(1, sizeof *longer);

        km_add(longer, pkcs8.p, pkcs8.len);
        km_add(longer, "\0\0\0", n);
        reset();
        km_base64(&text, km_slice(longer), 0, "");
        CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_TRAILING);
        free(longer);
    }
}

/* No prefix of a key is a key, and none is read behind its end. */
static void test_prefixes(void)
{
    for (size_t len = 0; len < pkcs8.len; len++)
        CU_ASSERT(parse((struct antag_slice){pkcs8.p, len}) == ANTAG_ERR_KEY_FORM);
    reset();
    km_pem(&text, "PRIVATE KEY", km_slice(&pkcs8), "\n");
    for (size_t len = 0; len + 2 < text.len; len++) /* the last dash and line feed */
        CU_ASSERT(parse((struct antag_slice){text.p, len}) == ANTAG_ERR_KEY_FORM);
    reset();
    km_base64(&text, km_slice(&pkcs8), 0, "");
    for (size_t len = 0; len < text.len; len++)
        CU_ASSERT(parse((struct antag_slice){text.p, len}) == ANTAG_ERR_KEY_FORM);
    for (size_t len = 0; len < spki.len; len++)
        CU_ASSERT(parse_public((struct antag_slice){spki.p, len}, NULL) == ANTAG_ERR_KEY_FORM);
}

static void test_not_a_key(void)
{
    static const struct {
        const char *name, *text;
        enum antag_err err;
    } rows[] = {
        {"empty", "", ANTAG_ERR_KEY_FORM},
        {"blanks", " \r\n\t", ANTAG_ERR_KEY_FORM},
        {"a word", "hello", ANTAG_ERR_KEY_FORM},
        {"base64 of nothing", "====", ANTAG_ERR_KEY_FORM},
        {"base64 of text", "aGVsbG8gd29ybGQ=", ANTAG_ERR_KEY_FORM},
        {"base64 without padding", "aGVsbG8gd29ybGQ", ANTAG_ERR_KEY_FORM},
        {"base64 of the URL kind", "MIIE_-", ANTAG_ERR_KEY_FORM},
        {"an empty SEQUENCE", "MAA=", ANTAG_ERR_KEY_FORM},
        {"indefinite length", "MIAAAA==", ANTAG_ERR_KEY_FORM},
        {"length not the shortest", "MIEBAA==", ANTAG_ERR_KEY_FORM},
        {"length beyond all", "MIT/////", ANTAG_ERR_KEY_FORM},
        {"XML", "<RSAKeyValue><Modulus>AA==</Modulus></RSAKeyValue>", ANTAG_ERR_KEY_FORM},
        {"OpenSSH public", "ssh-rsa AAAAB3NzaC1yc2E= me", ANTAG_ERR_KEY_FORM},
        {"escaped line feeds", "-----BEGIN PRIVATE KEY-----\\nMAA=\\n-----END PRIVATE KEY-----",
         ANTAG_ERR_KEY_FORM},
        {"no END line", "-----BEGIN PRIVATE KEY-----\nMAA=\n", ANTAG_ERR_KEY_FORM},
        {"another END line", "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
         ANTAG_ERR_KEY_FORM},
        {"empty block", "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
         ANTAG_ERR_KEY_FORM},
        {"half a BEGIN line", "-----BEGIN PRIVATE KEY", ANTAG_ERR_KEY_FORM},
        {"no label", "-----BEGIN -----\nMAA=\n-----END -----\n", ANTAG_ERR_KEY_FORM},
        {"text before the BEGIN line",
         "Bag Attributes\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n",
         ANTAG_ERR_KEY_FORM},
        {"OpenSSH private",
         "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1r\n-----END OPENSSH PRIVATE KEY-----\n",
         ANTAG_ERR_KEY_FORM},
        {"encrypted PEM",
         "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
         "AES-256-CBC,00\n\nMAA=\n"
         "-----END RSA PRIVATE KEY-----\n",
         ANTAG_ERR_KEY_ENCRYPTED},
        {"DSA by label", "-----BEGIN DSA PRIVATE KEY-----\nMAA=\n-----END DSA PRIVATE KEY-----\n",
         ANTAG_ERR_KEY_TYPE},
        {"EC parameters",
         "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
         "-----BEGIN EC PRIVATE KEY-----\nMAA=\n-----END EC PRIVATE KEY-----\n",
         ANTAG_ERR_KEY_TYPE},
    };
    static const uint8_t nul[] = {'M', 'A', 0, 'A', '='};

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        ROW_ASSERT(rows[i].name, parse(antag_slice_of(rows[i].text)) == rows[i].err);
        ROW_ASSERT(rows[i].name, parse_public(antag_slice_of(rows[i].text), NULL) == rows[i].err);
    }
    CU_ASSERT_EQUAL(parse((struct antag_slice){nul, sizeof nul}), ANTAG_ERR_KEY_FORM);
    reset();
    while (text.len <= ANTAG_IMPORT_MAX)
        km_byte(&text, 'A');
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_FORM);
}

/* ---- other kinds of keys */

static EVP_PKEY *make(const char *type, const char *group)
{
    EVP_PKEY *key = group != NULL ? EVP_PKEY_Q_keygen(NULL, NULL, type, group)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, type);

    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    return key;
}

static void test_types(void)
{
    static const struct {
        const char *name, *type, *group;
        bool traditional;
    } rows[] = {
        {"EC", "EC", "P-256", false},        {"EC, RFC 5915", "EC", "P-256", true},
        {"Ed25519", "ED25519", NULL, false}, {"Ed448", "ED448", NULL, false},
        {"X25519", "X25519", NULL, false},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        EVP_PKEY *key = make(rows[i].type, rows[i].group);

        reset();
        km_der(&text, key, rows[i].traditional ? KM_PKCS1 : KM_PKCS8);
        ROW_ASSERT(rows[i].name, parse(km_slice(&text)) == ANTAG_ERR_KEY_TYPE);
        reset();
        km_der(&text, key, KM_SPKI);
        ROW_ASSERT(rows[i].name, parse_public(km_slice(&text), NULL) == ANTAG_ERR_KEY_TYPE);
        ROW_ASSERT(rows[i].name, parse(km_slice(&text)) == ANTAG_ERR_KEY_IS_PUBLIC);
        EVP_PKEY_free(key);
    }
    reset(); /* DSA: version and five numbers */
    km_pkcs1(&text, 0, parts, 5, NOTHING);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_TYPE);
}

static void test_pss(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    EVP_PKEY *key = NULL;

    CU_ASSERT_FATAL(ctx != NULL && EVP_PKEY_keygen_init(ctx) > 0 &&
                    EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048) > 0 &&
                    EVP_PKEY_generate(ctx, &key) > 0);
    reset();
    km_der(&text, key, KM_PKCS8);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_TYPE);
    reset();
    km_der(&text, key, KM_SPKI);
    CU_ASSERT_EQUAL(parse_public(km_slice(&text), NULL), ANTAG_ERR_KEY_TYPE);
    EVP_PKEY_free(key);
    EVP_PKEY_CTX_free(ctx);
}

static void test_multiprime(void)
{
    EVP_PKEY *key = km_rsa(2048, 65537, 3);

    reset();
    km_der(&text, key, KM_PKCS1);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_MULTIPRIME);
    reset();
    km_der(&text, key, KM_PKCS8);
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_MULTIPRIME);
    EVP_PKEY_free(key);
}

static void test_certificate(void)
{
    X509 *cert = X509_new();
    unsigned char *p = NULL;
    int len;

    CU_ASSERT_FATAL(cert != NULL && X509_set_pubkey(cert, good) &&
                    X509_gmtime_adj(X509_getm_notBefore(cert), 0) != NULL &&
                    X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL &&
                    X509_sign(cert, good, EVP_sha256()) > 0);
    len = i2d_X509(cert, &p);
    reset();
    km_pem(&text, "CERTIFICATE", (struct antag_slice){p, (size_t)len}, "\n");
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_FORM);
    CU_ASSERT_EQUAL(parse_public(km_slice(&text), NULL), ANTAG_ERR_KEY_FORM);
    OPENSSL_free(p);
    X509_free(cert);
}

/* ---- encrypted */

static void test_encrypted(void)
{
    static const struct {
        const char *name;
        int nid, iterations;
    } rows[] = {
        {"PBES2, AES-256, PBKDF2", NID_aes_256_cbc, 2048},
        {"PBES2, AES-128, one iteration", NID_aes_128_cbc, 1},
        {"PBES2, 3DES", NID_des_ede3_cbc, 2048},
        {"PKCS#12's 3DES", NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 2048},
    };
    static const struct {
        const char *name, *passphrase;
        enum antag_err err;
    } given[] = {
        {"right", PASS, ANTAG_OK},
        {"right, line feed behind", PASS "\n", ANTAG_OK},
        {"right, CR LF behind", PASS "\r\n", ANTAG_OK},
        {"two line feeds behind", PASS "\n\n", ANTAG_ERR_WRONG_PASSPHRASE},
        {"wrong", "correct house", ANTAG_ERR_WRONG_PASSPHRASE},
        {"a prefix", "correct hors", ANTAG_ERR_WRONG_PASSPHRASE},
        {"none", NULL, ANTAG_ERR_KEY_ENCRYPTED},
        {"empty", "", ANTAG_ERR_KEY_ENCRYPTED},
        {"only a line feed", "\n", ANTAG_ERR_KEY_ENCRYPTED},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct km *der = calloc(1, sizeof *der);

        km_encrypted(der, good, rows[i].nid, rows[i].iterations, PASS);
        reset();
        km_pem(&text, "ENCRYPTED PRIVATE KEY", km_slice(der), "\n");
        for (size_t j = 0; j < ROW_COUNT(given); j++) {
            char name[200];

            snprintf(name, sizeof name, "%s, %s", rows[i].name, given[j].name);
            ROW_ASSERT(name,
                       parse_with(km_slice(&text), given[j].passphrase, NULL) == given[j].err);
            ROW_ASSERT(name, parse_with(km_slice(der), given[j].passphrase, NULL) == given[j].err);
        }
        ROW_ASSERT(rows[i].name, parse_public(km_slice(&text), NULL) == ANTAG_ERR_KEY_IS_PRIVATE);
        free(der);
    }
}

/* Many wrong passphrases: now and then one leaves a padding that looks right, and now and then what stands
 * before it looks like a short SEQUENCE with bytes behind it. */
static void test_wrong_passphrases(void)
{
    reset();
    km_encrypted(&text, good, NID_aes_256_cbc, 1, PASS);
    for (int i = 0; i < 4000; i++) {
        char wrong[32];

        snprintf(wrong, sizeof wrong, "wrong %d", i);
        CU_ASSERT(parse_with(km_slice(&text), wrong, NULL) == ANTAG_ERR_WRONG_PASSPHRASE);
    }
}

static void test_encrypted_others(void)
{
    EVP_PKEY *ec = make("EC", "P-256"), *small = km_rsa(1024, 65537, 2);

    reset();
    km_encrypted(&text, ec, NID_aes_256_cbc, 2048, PASS);
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_TYPE);
    reset();
    km_encrypted(&text, small, NID_aes_256_cbc, 2048, PASS);
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_SIZE);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(small);
    reset();
    km_text(&text, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMAA=\n"
                   "-----END RSA PRIVATE KEY-----\n");
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_FORM);
    /* a passphrase for a key that needs none does no harm */
    CU_ASSERT_EQUAL(parse_with(km_slice(&pkcs8), PASS, NULL), ANTAG_OK);
}

/* Raises the number that `der` writes as `from` to one that is never tried. */
static void patch(struct km *der, const void *from, const void *to, size_t len)
{
    uint8_t *at = memmem(der->p, der->len, from, len);

    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    memcpy(at, to, len);
}

static void test_cost(void)
{
    reset(); /* 5,000,000 and one more: INTEGER of three bytes 4c4b40 */
    km_encrypted(&text, good, NID_aes_256_cbc, 0x123456, PASS);
    patch(&text, "\x02\x03\x12\x34\x56", "\x02\x03\x4c\x4b\x41", 5);
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_FORM);
    reset();
    km_encrypted(&text, good, NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 0x1234, PASS);
    patch(&text, "\x02\x02\x12\x34", "\x02\x02\x92\x34", 4); /* negative */
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_FORM);
    reset(); /* the default of `openssl pkcs8 -scrypt` */
    km_scrypt(&text, good, 16384, 8, 1, PASS);
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_OK);
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), "wrong one", NULL), ANTAG_ERR_WRONG_PASSPHRASE);
    reset();
    km_scrypt(&text, good, 16, 8, 0x11, PASS); /* p over the limit */
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_FORM);
    reset();
    km_scrypt(&text, good, 16, 8, 1, PASS);
    patch(&text, "\x02\x01\x10\x02\x01\x08\x02\x01\x01", "\x02\x07\x10\x00\x00\x00\x00\x00\x00", 9);
    CU_ASSERT_EQUAL(parse_with(km_slice(&text), PASS, NULL), ANTAG_ERR_KEY_FORM);
}

/* ---- public keys */

static void test_public(void)
{
    static struct km out;
    const struct {
        const char *name, *label;
        const struct km *der;
        enum antag_err err;
    } rows[] = {
        {"SPKI, bare", NULL, &spki, ANTAG_OK},
        {"SPKI, PEM", "PUBLIC KEY", &spki, ANTAG_OK},
        {"SPKI labelled RSA", "RSA PUBLIC KEY", &spki, ANTAG_OK},
        {"PKCS#1, bare", NULL, &pkcs1_public, ANTAG_OK},
        {"PKCS#1, PEM", "RSA PUBLIC KEY", &pkcs1_public, ANTAG_OK},
        {"private PKCS#8", "PRIVATE KEY", &pkcs8, ANTAG_ERR_KEY_IS_PRIVATE},
        {"private PKCS#8 labelled public", "PUBLIC KEY", &pkcs8, ANTAG_ERR_KEY_IS_PRIVATE},
        {"private PKCS#1, bare", NULL, &pkcs1, ANTAG_ERR_KEY_IS_PRIVATE},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        reset();
        if (rows[i].label != NULL)
            km_pem(&text, rows[i].label, km_slice(rows[i].der), "\r\n");
        else
            km_base64(&text, km_slice(rows[i].der), 0, "");
        ROW_ASSERT(rows[i].name, parse_public(km_slice(&text), &out) == rows[i].err);
        if (rows[i].err == ANTAG_OK)
            ROW_ASSERT(rows[i].name, antag_slice_equal(km_slice(&out), km_slice(&spki)));
    }
    CU_ASSERT_EQUAL(parse(km_slice(&spki)), ANTAG_ERR_KEY_IS_PUBLIC);
    CU_ASSERT_EQUAL(parse(km_slice(&pkcs1_public)), ANTAG_ERR_KEY_IS_PUBLIC);
    reset();
    km_pem(&text, "PRIVATE KEY", km_slice(&spki), "\n"); /* whatever the label says */
    CU_ASSERT_EQUAL(parse(km_slice(&text)), ANTAG_ERR_KEY_IS_PUBLIC);
    reset();
    km_add(&text, spki.p, spki.len);
    km_byte(&text, 0);
    CU_ASSERT_EQUAL(parse_public(km_slice(&text), NULL), ANTAG_ERR_KEY_TRAILING);
}

/* ---- the DER reader */

static void test_der(void)
{
    static const struct {
        const char *name;
        uint8_t in[8];
        size_t len;
        bool ok;
        size_t body;
    } rows[] = {
        {"empty", {0}, 0, false, 0},
        {"only a tag", {0x30}, 1, false, 0},
        {"no body", {0x30, 0}, 2, true, 0},
        {"short", {0x04, 2, 1, 2}, 4, true, 2},
        {"cut off", {0x04, 3, 1, 2}, 4, false, 0},
        {"something behind", {0x04, 1, 1, 2}, 4, true, 1},
        {"indefinite", {0x30, 0x80, 0, 0}, 4, false, 0},
        {"one length byte for nothing", {0x04, 0x81, 2, 1, 2}, 5, false, 0},
        {"zero in front of the length", {0x04, 0x82, 0, 0x81}, 4, false, 0},
        {"length of five bytes", {0x04, 0x85, 1, 0, 0, 0, 0}, 7, false, 0},
        {"length of four gibibytes", {0x04, 0x84, 0xff, 0xff, 0xff, 0xff}, 6, false, 0},
        {"length bytes cut off", {0x04, 0x82, 1}, 3, false, 0},
        {"large tag", {0x1f, 0x81, 1, 0}, 4, false, 0},
    };

    for (size_t i = 0; i < ROW_COUNT(rows); i++) {
        struct antag_slice in = {rows[i].in, rows[i].len};
        struct ag_der value = {0, {NULL, 0}};

        ROW_ASSERT(rows[i].name, ag_der_next(&in, &value) == rows[i].ok);
        ROW_ASSERT(rows[i].name, value.body.len == rows[i].body);
        if (!rows[i].ok)
            ROW_ASSERT(rows[i].name, in.p == rows[i].in && in.len == rows[i].len);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"forms taken", test_taken},
        {"all numbers are kept", test_whole},
        {"sizes and exponents", test_sizes_and_exponents},
        {"numbers changed", test_tampered},
        {"numbers of other keys", test_swapped},
        {"primes that are none", test_composite},
        {"structure", test_structure},
        {"trailing", test_trailing},
        {"prefixes", test_prefixes},
        {"no key at all", test_not_a_key},
        {"other types", test_types},
        {"RSA-PSS", test_pss},
        {"more than two primes", test_multiprime},
        {"certificate", test_certificate},
        {"encrypted", test_encrypted},
        {"wrong passphrases", test_wrong_passphrases},
        {"encrypted, and wrong inside", test_encrypted_others},
        {"cost of a passphrase", test_cost},
        {"public keys", test_public},
        {"DER", test_der},
        CU_TEST_INFO_NULL,
    };
    struct antag_fault fault;
    int status;

    ag_log_setup("test", AG_LOG_ERROR);
    if (ag_secret_setup(&fault) != ANTAG_OK)
        return 1;
    good = km_rsa(2048, 65537, 2);
    km_parts(good, parts);
    km_der(&pkcs8, good, KM_PKCS8);
    km_der(&pkcs1, good, KM_PKCS1);
    km_der(&spki, good, KM_SPKI);
    km_der(&pkcs1_public, good, KM_PKCS1_PUBLIC);
    status = run_tests("keyparse", tests);
    km_parts_free(parts);
    EVP_PKEY_free(good);
    return status;
}
