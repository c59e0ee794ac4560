#include "agent/opener/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <msgpack.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/lib/log.h"
#include "proto/check.h"
#include "proto/params.h"

#define SEAL_VERSION 1
#define CHECK_LEN    crypto_generichash_BYTES
#define SALT_LEN     crypto_pwhash_argon2id_SALTBYTES
#define SEALED_LEN   (AG_KEY_LEN + AG_SEAL_OVERHEAD)
#define PATH_NEW_MAX 1024

const struct ag_seal_cost ag_seal_cost_moderate = {crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                                                   crypto_pwhash_argon2id_MEMLIMIT_MODERATE};

/* ---- passphrases */

struct antag_slice ag_passphrase_of(const struct ag_secret *given)
{
    struct antag_slice s = ag_secret_slice(given);

    if (s.len > 0 && s.p[s.len - 1] == '\n') {
        s.len--;
        if (s.len > 0 && s.p[s.len - 1] == '\r')
            s.len--;
    }
    return s;
}

static bool passphrase_has_form(struct antag_slice s)
{
    return s.len >= AG_PASSPHRASE_MIN && s.len <= AG_PASSPHRASE_MAX;
}

/* The key that a passphrase gives. NULL: out of memory (mostly: of `cost->mem`). */
static struct ag_secret *derive(struct antag_slice passphrase, const struct ag_seal_cost *cost,
                                const uint8_t salt[SALT_LEN])
{
    struct ag_secret *key = ag_secret_new(AG_KEY_LEN);

    if (key == NULL)
        return NULL;
    if (crypto_pwhash_argon2id(ag_secret_bytes(key), AG_KEY_LEN, (const char *)passphrase.p,
                               passphrase.len, salt, cost->ops, (size_t)cost->mem,
                               crypto_pwhash_argon2id_ALG_ARGON2ID13) != 0) {
        ag_secret_free(key);
        return NULL;
    }
    ag_secret_set_len(key, AG_KEY_LEN);
    return key;
}

/* ---- the file's bytes. They are packed into a secret: with `file` the root key stands in them. */

static int pack_bytes(void *data, const char *bytes, size_t len)
{
    struct ag_secret *out = data;
    size_t at = ag_secret_len(out);

    if (len > ag_secret_cap(out) - at)
        return -1;
    memcpy(ag_secret_bytes(out) + at, bytes, len);
    ag_secret_set_len(out, at + len);
    return 0;
}

static void pack_text(msgpack_packer *pk, const char *text)
{
    msgpack_pack_str(pk, strlen(text));
    msgpack_pack_str_body(pk, text, strlen(text));
}

static void pack_bin(msgpack_packer *pk, const char *key, const void *p, size_t len)
{
    pack_text(pk, key);
    msgpack_pack_bin(pk, len);
    msgpack_pack_bin_body(pk, p, len);
}

static void pack_head(msgpack_packer *pk, size_t pairs, const char *type)
{
    msgpack_pack_map(pk, pairs);
    pack_text(pk, "v");
    msgpack_pack_uint8(pk, SEAL_VERSION);
    pack_text(pk, "type");
    pack_text(pk, type);
}

static void pack_check(msgpack_packer *pk, const struct ag_secret *out)
{
    uint8_t check[CHECK_LEN];

    pack_text(pk, "check");
    msgpack_pack_bin(pk, sizeof check);
    crypto_generichash(check, sizeof check, ag_secret_slice(out).p, ag_secret_len(out), NULL, 0);
    msgpack_pack_bin_body(pk, check, sizeof check);
}

static void pack_file(msgpack_packer *pk, struct ag_secret *out, const struct ag_secret *root)
{
    pack_head(pk, 4, "file");
    pack_bin(pk, "key", ag_secret_slice(root).p, AG_KEY_LEN);
    pack_check(pk, out);
}

static enum antag_err pack_passphrase(msgpack_packer *pk, struct ag_secret *out,
                                      const struct ag_secret *root, struct antag_slice passphrase,
                                      const struct ag_seal_cost *cost)
{
    uint8_t salt[SALT_LEN], sealed[SEALED_LEN];
    struct ag_secret *key;
    size_t sealed_len = 0;
    enum antag_err err;

    ag_random(salt, sizeof salt);
    key = derive(passphrase, cost, salt);
    if (key == NULL)
        return ANTAG_ERR_NO_MEMORY;
    pack_head(pk, 7, "passphrase");
    pack_text(pk, "ops");
    msgpack_pack_uint64(pk, cost->ops);
    pack_text(pk, "mem");
    msgpack_pack_uint64(pk, cost->mem);
    pack_bin(pk, "salt", salt, sizeof salt);
    err = ag_seal(key, ag_secret_slice(out), root, sealed, sizeof sealed, &sealed_len);
    ag_secret_free(key);
    if (err != ANTAG_OK)
        return err;
    pack_bin(pk, "sealed", sealed, sealed_len);
    pack_check(pk, out);
    return ANTAG_OK;
}

/* ---- writing */

static enum antag_err io_failed(struct antag_fault *fault, const char *what, const char *path)
{
    int e = errno;

    ag_log(AG_LOG_ERROR, "seal.io", AG_F_TEXT("what", what), AG_F_TEXT("path", path),
           AG_F_INT("errno", e));
    return antag_fault_set(fault, ANTAG_ERR_IO, NULL, "%s: %s: %s", path, what, strerror(e));
}

static enum antag_err write_new(const char *path, struct antag_slice bytes,
                                struct antag_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0400);
    enum antag_err err = ANTAG_OK;

    if (fd < 0 && errno == EEXIST)
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL,
                               "%s is left from an init that was cut off; remove it and repeat",
                               path);
    if (fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL, "%s cannot be made: %s", path,
                               strerror(errno));
    for (size_t done = 0; done < bytes.len;) {
        ssize_t n = write(fd, bytes.p + done, bytes.len - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = io_failed(fault, "write", path);
            goto out;
        }
        done += (size_t)n;
    }
    if (fchmod(fd, 0400) != 0 || fsync(fd) != 0)
        err = io_failed(fault, "sync", path);
out:
    if (close(fd) != 0 && err == ANTAG_OK)
        err = io_failed(fault, "close", path);
    if (err != ANTAG_OK)
        (void)unlink(path);
    return err;
}

static enum antag_err check_create(const char *path, const char *type,
                                   const struct ag_secret *passphrase, struct antag_fault *fault)
{
    struct stat st;

    if (strcmp(type, "file") != 0 && strcmp(type, "passphrase") != 0)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "seal",
                               "a seal is \"file\" or \"passphrase\", not \"%.20s\"", type);
    if (strcmp(type, "passphrase") == 0 && passphrase == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a passphrase seal needs a passphrase");
    if (strcmp(type, "passphrase") == 0 && !passphrase_has_form(ag_passphrase_of(passphrase)))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a passphrase has %d to %d bytes", AG_PASSPHRASE_MIN,
                               AG_PASSPHRASE_MAX);
    if (lstat(path, &st) == 0)
        return antag_fault_set(fault, ANTAG_ERR_ALREADY_INITIALISED, NULL,
                               "%s is there already; it is never replaced", path);
    return ANTAG_OK;
}

enum antag_err ag_seal_create(const char *path, const char *type,
                              const struct ag_secret *passphrase, const struct ag_seal_cost *cost,
                              struct ag_secret **root, struct antag_fault *fault)
{
    struct ag_secret *made = NULL, *bytes = NULL;
    char path_new[PATH_NEW_MAX];
    msgpack_packer pk;
    enum antag_err err;

    if ((err = check_create(path, type, passphrase, fault)) != ANTAG_OK)
        return err;
    if (snprintf(path_new, sizeof path_new, "%s.new", path) >= (int)sizeof path_new)
        return antag_fault_set(fault, ANTAG_ERR_HOME, NULL, "the path of the seal is too long");
    err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the seal");
    made = ag_secret_new(AG_KEY_LEN);
    bytes = ag_secret_new(AG_SEAL_FILE_MAX);
    if (made == NULL || bytes == NULL)
        goto out;
    ag_random(ag_secret_bytes(made), AG_KEY_LEN);
    ag_secret_set_len(made, AG_KEY_LEN);
    msgpack_packer_init(&pk, bytes, pack_bytes);
    if (strcmp(type, "file") == 0)
        pack_file(&pk, bytes, made);
    else if ((err = pack_passphrase(&pk, bytes, made, ag_passphrase_of(passphrase), cost)) !=
             ANTAG_OK)
        goto out;
    if ((err = write_new(path_new, ag_secret_slice(bytes), fault)) != ANTAG_OK)
        goto out;
    *root = made;
    made = NULL; /* transferred */
out:
    ag_secret_free(made);
    ag_secret_free(bytes);
    return err;
}

/* ---- reading */

struct seal_params {
    struct antag_opt_uint v, ops, mem;
    struct antag_opt_slice type, key, salt, sealed, check;
};
#define S struct seal_params
static const struct antag_field seal_fields[] = {
    ANTAG_FIELD(S, v, UINT, true, SEAL_VERSION, SEAL_VERSION, 0),
    ANTAG_FIELD(S, type, TEXT, true, 1, AG_SEAL_TYPE_MAX - 1, 0),
    ANTAG_FIELD(S, key, BYTES, false, AG_KEY_LEN, AG_KEY_LEN, 0),
    ANTAG_FIELD(S, ops, UINT, false, crypto_pwhash_argon2id_OPSLIMIT_MIN, AG_SEAL_OPS_MAX, 0),
    ANTAG_FIELD(S, mem, UINT, false, crypto_pwhash_argon2id_MEMLIMIT_MIN, AG_SEAL_MEM_MAX, 0),
    ANTAG_FIELD(S, salt, BYTES, false, SALT_LEN, SALT_LEN, 0),
    ANTAG_FIELD(S, sealed, BYTES, false, SEALED_LEN, SEALED_LEN, 0),
    ANTAG_FIELD(S, check, BYTES, true, CHECK_LEN, CHECK_LEN, 0),
};
#undef S
static const struct antag_params seal_spec = {
    seal_fields, sizeof seal_fields / sizeof seal_fields[0], sizeof(struct seal_params)};

static enum antag_err damaged(struct antag_fault *fault, const char *path, const char *why)
{
    return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                           "%s is damaged (%s); put back the copy from your backup", path, why);
}

/* The file, only if nobody else can read or replace it. */
static enum antag_err open_checked(const char *path, int *out, struct antag_fault *fault)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    enum antag_err err = ANTAG_OK;
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return antag_fault_set(
            fault, ANTAG_ERR_NOT_INITIALISED, NULL,
            "%s is not there; `antomctl init` makes a new home, a lost seal comes "
            "from your backup",
            path);
    if (fd < 0)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL, "%s cannot be opened: %s", path,
                               strerror(errno));
    if (fstat(fd, &st) != 0)
        err = io_failed(fault, "stat", path);
    else if (!S_ISREG(st.st_mode))
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL, "%s is not a regular file", path);
    else if (st.st_uid != geteuid())
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                              "%s belongs to uid %u, but the agent runs as uid %u; chown it", path,
                              (unsigned)st.st_uid, (unsigned)geteuid());
    else if ((st.st_mode & 077) != 0)
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                              "%s has mode %04o, so others can use it; chmod 0400 it, and ask who "
                              "could read it",
                              path, (unsigned)(st.st_mode & 07777));
    if (err != ANTAG_OK) {
        close(fd);
        return err;
    }
    *out = fd;
    return ANTAG_OK;
}

static enum antag_err read_file(const char *path, struct ag_secret **out, struct antag_fault *fault)
{
    struct ag_secret *bytes = NULL;
    enum antag_err err;
    size_t len = 0;
    int fd = -1;

    if ((err = open_checked(path, &fd, fault)) != ANTAG_OK)
        return err;
    bytes = ag_secret_new(AG_SEAL_FILE_MAX + 1);
    if (bytes == NULL) {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read %s", path);
        goto out;
    }
    while (len < ag_secret_cap(bytes)) {
        ssize_t n = read(fd, ag_secret_bytes(bytes) + len, ag_secret_cap(bytes) - len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            err = io_failed(fault, "read", path);
            goto out;
        }
        if (n == 0)
            break;
        len += (size_t)n;
    }
    if (len > AG_SEAL_FILE_MAX) {
        err = damaged(fault, path, "it is too long");
        goto out;
    }
    ag_secret_set_len(bytes, len);
    *out = bytes;
    bytes = NULL; /* transferred */
out:
    close(fd);
    ag_secret_free(bytes);
    return err;
}

/* The checksum is the last thing in the file and covers everything before it. */
static bool checks(struct antag_slice file, struct antag_slice check)
{
    uint8_t sum[CHECK_LEN];
    struct antag_slice before;

    if (check.p + check.len != file.p + file.len)
        return false;
    before = (struct antag_slice){file.p, file.len - CHECK_LEN};
    crypto_generichash(sum, sizeof sum, before.p, before.len, NULL, 0);
    return ag_secret_equal(sum, check.p, CHECK_LEN);
}

static enum antag_err take_file(const char *path, const struct seal_params *p,
                                struct ag_secret **root, struct antag_fault *fault)
{
    struct ag_secret *key;

    if (!p->key.set || p->ops.set || p->mem.set || p->salt.set || p->sealed.set)
        return damaged(fault, path, "its parts do not belong together");
    key = ag_secret_new(AG_KEY_LEN);
    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the root key");
    memcpy(ag_secret_bytes(key), p->key.v.p, AG_KEY_LEN);
    ag_secret_set_len(key, AG_KEY_LEN);
    *root = key;
    return ANTAG_OK;
}

static enum antag_err take_passphrase(const char *path, const uint8_t *file,
                                      const struct seal_params *p,
                                      const struct ag_secret *passphrase, struct ag_secret **root,
                                      struct antag_fault *fault)
{
    struct ag_seal_cost cost = {p->ops.v, p->mem.v};
    struct ag_secret *key = NULL;
    struct antag_slice text, ad;
    enum antag_err err;

    if (p->key.set || !p->ops.set || !p->mem.set || !p->salt.set || !p->sealed.set)
        return damaged(fault, path, "its parts do not belong together");
    if (passphrase == NULL)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "%s is sealed by a passphrase; run `antomctl unlock`", path);
    text = ag_passphrase_of(passphrase);
    if (!passphrase_has_form(text))
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                               "a passphrase has %d to %d bytes", AG_PASSPHRASE_MIN,
                               AG_PASSPHRASE_MAX);
    key = derive(text, &cost, p->salt.v.p);
    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL,
                               "the passphrase needs %llu MiB of memory, which could not be had",
                               (unsigned long long)(cost.mem >> 20));
    /* everything before the key "sealed" (1 + 6) and its bin 8 head (2) */
    ad = (struct antag_slice){file, (size_t)(p->sealed.v.p - file) - 9};
    err = ag_unseal(key, ad, p->sealed.v, root);
    ag_secret_free(key);
    if (err == ANTAG_ERR_REGISTRY) /* the file is whole, so it is the key that does not fit */
        err = antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                              "the passphrase does not open %s", path);
    else if (err != ANTAG_OK)
        antag_fault_set(fault, err, NULL, "%s could not be opened", path);
    return err;
}

static enum antag_err take(const char *path, struct antag_slice file, const msgpack_object *map,
                           const struct ag_secret *passphrase, struct ag_secret **root,
                           char type[AG_SEAL_TYPE_MAX], struct antag_fault *fault)
{
    struct antag_fault why;
    struct seal_params p;
    uint64_t v = 0;

    if (antag_object_uint(map, "v", &v) && v > SEAL_VERSION)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "%s was made by a newer version of antom-agent (format %llu)", path,
                               (unsigned long long)v);
    if (antag_params_parse(&seal_spec, false, map, &p, &why) != ANTAG_OK)
        return damaged(fault, path, why.field[0] != '\0' ? why.field : "not its form");
    if (!checks(file, p.check.v))
        return damaged(fault, path, "its checksum does not match");
    if (!antag_slice_is(p.type.v, "file") && !antag_slice_is(p.type.v, "passphrase"))
        return damaged(fault, path, "it is of an unknown type");
    (void)antag_slice_copy(p.type.v, type, AG_SEAL_TYPE_MAX);
    if (antag_slice_is(p.type.v, "file"))
        return take_file(path, &p, root, fault);
    return take_passphrase(path, file.p, &p, passphrase, root, fault);
}

enum antag_err ag_seal_open(const char *path, const struct ag_secret *passphrase,
                            struct ag_secret **root, char type[AG_SEAL_TYPE_MAX],
                            struct antag_fault *fault)
{
    struct ag_secret *bytes = NULL, *made = NULL;
    struct antag_slice file;
    enum antag_err err;
    msgpack_zone zone;
    msgpack_object map;
    size_t off = 0;

    type[0] = '\0';
    if (!msgpack_zone_init(&zone, 1024))
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the seal");
    if ((err = read_file(path, &bytes, fault)) != ANTAG_OK)
        goto out;
    file = ag_secret_slice(bytes);
    /* str and bin of the decoded value point into `bytes`: nothing is copied */
    if (antag_check(file, 2, 32, NULL) != ANTAG_OK ||
        msgpack_unpack((const char *)file.p, file.len, &off, &zone, &map) !=
            MSGPACK_UNPACK_SUCCESS) {
        err = damaged(fault, path, "it is not one MessagePack map");
        goto out;
    }
    if ((err = take(path, file, &map, passphrase, &made, type, fault)) != ANTAG_OK)
        goto out;
    if (ag_secret_len(made) != AG_KEY_LEN) {
        err = damaged(fault, path, "the key has not 32 bytes");
        goto out;
    }
    *root = made;
    made = NULL; /* transferred */
out:
    ag_secret_free(made);
    ag_secret_free(bytes);
    msgpack_zone_destroy(&zone);
    return err;
}
