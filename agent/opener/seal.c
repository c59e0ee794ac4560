#include "agent/opener/seal.h"

#include <msgpack.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/pcrs.h"
#include "agent/opener/sealcred.h"
#include "agent/opener/sealfile.h"
#include "agent/opener/sealtpm.h"
#include "proto/check.h"
#include "proto/params.h"

#define SEAL_VERSION 1
#define CHECK_LEN    crypto_generichash_BYTES
#define SALT_LEN     crypto_pwhash_argon2id_SALTBYTES
#define SEALED_LEN   (AG_KEY_LEN + AG_SEAL_OVERHEAD)
#define RECOVERY_AD  "antom-agent recovery of the root key"

const struct ag_seal_cost ag_seal_cost_moderate = {crypto_pwhash_argon2id_OPSLIMIT_MODERATE,
                                                   crypto_pwhash_argon2id_MEMLIMIT_MODERATE};

enum type { FILE_SEAL, PASSPHRASE, CREDENTIAL, TPM, TYPES };
static const char *const type_names[TYPES] = {
    [FILE_SEAL] = "file", [PASSPHRASE] = "passphrase", [CREDENTIAL] = "credential", [TPM] = "tpm"};

static enum type type_of(struct antag_slice name)
{
    enum type t = FILE_SEAL;

    while (t < TYPES && !antag_slice_is(name, type_names[t]))
        t++;
    return t;
}

bool ag_seal_is_type(const char *type)
{
    return type_of(antag_slice_of(type)) != TYPES;
}

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

static enum antag_err need_form(const struct ag_secret *given, struct antag_fault *fault)
{
    if (passphrase_has_form(ag_passphrase_of(given)))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                           "a passphrase has %d to %d bytes", AG_PASSPHRASE_MIN, AG_PASSPHRASE_MAX);
}

/* ---- keys of what it is sealed with */

/* The key that a credential gives. */
static enum antag_err credential_key(const char *folder, const uint8_t salt[SALT_LEN],
                                     struct ag_secret **out, struct antag_fault *fault)
{
    struct ag_secret *credential = NULL, *key;
    enum antag_err err = ag_sealcred_read(folder, &credential, fault);

    if (err != ANTAG_OK)
        return err;
    key = ag_secret_new(AG_KEY_LEN);
    if (key != NULL) {
        crypto_generichash(ag_secret_bytes(key), AG_KEY_LEN, ag_secret_slice(credential).p,
                           ag_secret_len(credential), salt, SALT_LEN);
        ag_secret_set_len(key, AG_KEY_LEN);
        *out = key;
    } else {
        err = antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key");
    }
    ag_secret_free(credential);
    return err;
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

/* The root key under `key`, bound to all that was packed before. */
static enum antag_err pack_sealed(msgpack_packer *pk, const struct ag_secret *out,
                                  const struct ag_secret *root, const struct ag_secret *key)
{
    uint8_t sealed[SEALED_LEN];
    size_t len = 0;
    enum antag_err err = ag_seal(key, ag_secret_slice(out), root, sealed, sizeof sealed, &len);

    if (err == ANTAG_OK)
        pack_bin(pk, "sealed", sealed, len);
    return err;
}

/* Cost and salt, which is drawn; *key is what the passphrase gives with them. */
static enum antag_err pack_stretched(msgpack_packer *pk, const struct ag_seal_by *by,
                                     struct ag_secret **key)
{
    uint8_t salt[SALT_LEN];

    ag_random(salt, sizeof salt);
    *key = derive(ag_passphrase_of(by->passphrase), &by->cost, salt);
    if (*key == NULL)
        return ANTAG_ERR_NO_MEMORY;
    pack_text(pk, "ops");
    msgpack_pack_uint64(pk, by->cost.ops);
    pack_text(pk, "mem");
    msgpack_pack_uint64(pk, by->cost.mem);
    pack_bin(pk, "salt", salt, sizeof salt);
    return ANTAG_OK;
}

static enum antag_err pack_passphrase(msgpack_packer *pk, struct ag_secret *out,
                                      const struct ag_seal_by *by, const struct ag_secret *root)
{
    struct ag_secret *key = NULL;
    enum antag_err err;

    pack_head(pk, 7, "passphrase");
    if ((err = pack_stretched(pk, by, &key)) == ANTAG_OK)
        err = pack_sealed(pk, out, root, key);
    ag_secret_free(key);
    return err;
}

static enum antag_err pack_credential(msgpack_packer *pk, struct ag_secret *out,
                                      const struct ag_seal_by *by, const struct ag_secret *root,
                                      struct antag_fault *fault)
{
    uint8_t salt[SALT_LEN];
    struct ag_secret *key = NULL;
    enum antag_err err;

    ag_random(salt, sizeof salt);
    if ((err = credential_key(by->credentials, salt, &key, fault)) != ANTAG_OK)
        return err;
    pack_head(pk, 5, "credential");
    pack_bin(pk, "salt", salt, sizeof salt);
    err = pack_sealed(pk, out, root, key);
    ag_secret_free(key);
    return err;
}

/* ---- reading the map */

struct seal_params {
    struct antag_opt_uint v, pcrs, ops, mem;
    struct antag_opt_slice type, key, parent, public, private, salt, recovery, sealed, check;
};
#define S struct seal_params
static const struct antag_field seal_fields[] = {
    ANTAG_FIELD(S, v, UINT, true, SEAL_VERSION, SEAL_VERSION, 0),
    ANTAG_FIELD(S, type, TEXT, true, 1, AG_SEAL_TYPE_MAX - 1, 0),
    ANTAG_FIELD(S, key, BYTES, false, AG_KEY_LEN, AG_KEY_LEN, 0),
    ANTAG_FIELD(S, pcrs, UINT, false, 1, AG_PCR_ALL, 0),
    ANTAG_FIELD(S, parent, BYTES, false, 1, AG_TPM_NAME_MAX, 0),
    ANTAG_FIELD(S, public, BYTES, false, 1, AG_TPM_SEALED_MAX, 0),
    ANTAG_FIELD(S, private, BYTES, false, 1, AG_TPM_SEALED_MAX, 0),
    ANTAG_FIELD(S, ops, UINT, false, crypto_pwhash_argon2id_OPSLIMIT_MIN, AG_SEAL_OPS_MAX, 0),
    ANTAG_FIELD(S, mem, UINT, false, crypto_pwhash_argon2id_MEMLIMIT_MIN, AG_SEAL_MEM_MAX, 0),
    ANTAG_FIELD(S, salt, BYTES, false, SALT_LEN, SALT_LEN, 0),
    ANTAG_FIELD(S, recovery, BYTES, false, SEALED_LEN, SEALED_LEN, 0),
    ANTAG_FIELD(S, sealed, BYTES, false, SEALED_LEN, SEALED_LEN, 0),
    ANTAG_FIELD(S, check, BYTES, true, CHECK_LEN, CHECK_LEN, 0),
};
#undef S
static const struct antag_params seal_spec = {
    seal_fields, sizeof seal_fields / sizeof seal_fields[0], sizeof(struct seal_params)};

/* a seal that has been read; params are views into its bytes */
struct reading {
    const char *name;
    struct antag_slice bytes;
    const struct ag_seal_by *by;
    struct seal_params p;
    enum type type;
    struct ag_seal_info *info;
};

static enum antag_err damaged(const struct reading *r, const char *why, struct antag_fault *fault)
{
    return ag_sealfile_damaged(fault, r->name, why);
}

/* The checksum is the last thing and covers everything before it. */
static bool checks(struct antag_slice bytes, struct antag_slice check)
{
    uint8_t sum[CHECK_LEN];

    if (check.p + check.len != bytes.p + bytes.len)
        return false;
    crypto_generichash(sum, sizeof sum, bytes.p, bytes.len - CHECK_LEN, NULL, 0);
    return ag_secret_equal(sum, check.p, CHECK_LEN);
}

/* What each type has, and nothing else. */
static bool parts_belong(const struct reading *r)
{
    const struct seal_params *p = &r->p;
    bool stretched = r->type == PASSPHRASE || r->type == TPM, tpm = r->type == TPM;

    return p->key.set == (r->type == FILE_SEAL) && p->sealed.set == (r->type != FILE_SEAL) &&
           p->ops.set == stretched && p->mem.set == stretched &&
           p->salt.set == (r->type != FILE_SEAL) && p->pcrs.set == tpm && p->parent.set == tpm &&
           p->public.set == tpm && p->private.set == tpm && p->recovery.set == tpm;
}

static enum antag_err read_map(struct reading *r, msgpack_zone *zone, struct antag_fault *fault)
{
    struct antag_fault why;
    msgpack_object map;
    uint64_t v = 0;
    size_t off = 0;

    /* str and bin of the decoded value point into the bytes: nothing is copied */
    if (antag_check(r->bytes, 2, 32, NULL) != ANTAG_OK ||
        msgpack_unpack((const char *)r->bytes.p, r->bytes.len, &off, zone, &map) !=
            MSGPACK_UNPACK_SUCCESS)
        return damaged(r, "it is not one MessagePack map", fault);
    if (antag_object_uint(&map, "v", &v) && v > SEAL_VERSION)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "%s was made by a newer version of antom-agent (format %llu)",
                               r->name, (unsigned long long)v);
    if (antag_params_parse(&seal_spec, false, &map, &r->p, &why) != ANTAG_OK)
        return damaged(r, why.field[0] != '\0' ? why.field : "not its form", fault);
    if (!checks(r->bytes, r->p.check.v))
        return damaged(r, "its checksum does not match", fault);
    if ((r->type = type_of(r->p.type.v)) == TYPES)
        return damaged(r, "it is of an unknown type", fault);
    (void)antag_slice_copy(r->p.type.v, r->info->type, AG_SEAL_TYPE_MAX);
    r->info->pcrs = (uint32_t)r->p.pcrs.v;
    return parts_belong(r) ? ANTAG_OK : damaged(r, "its parts do not belong together", fault);
}

/* ---- opening */

static enum antag_err take_file(const struct reading *r, struct ag_secret **root,
                                struct antag_fault *fault)
{
    struct ag_secret *key = ag_secret_new(AG_KEY_LEN);

    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the root key");
    memcpy(ag_secret_bytes(key), r->p.key.v.p, AG_KEY_LEN);
    ag_secret_set_len(key, AG_KEY_LEN);
    *root = key;
    return ANTAG_OK;
}

/* The key that the passphrase gives. */
static enum antag_err stretch(const struct reading *r, struct ag_secret **key,
                              struct antag_fault *fault)
{
    struct ag_seal_cost cost = {r->p.ops.v, r->p.mem.v};
    struct antag_slice text = ag_passphrase_of(r->by->passphrase);

    if (!passphrase_has_form(text))
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                               "a passphrase has %d to %d bytes", AG_PASSPHRASE_MIN,
                               AG_PASSPHRASE_MAX);
    *key = derive(text, &cost, r->p.salt.v.p);
    if (*key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL,
                               "the passphrase needs %llu MiB of memory, which could not be had",
                               (unsigned long long)(cost.mem >> 20));
    return ANTAG_OK;
}

/* The seal is whole, so where it does not open it is the key that does not fit. */
static enum antag_err open_sealed(const struct reading *r, const struct ag_secret *key,
                                  struct ag_secret **root, struct antag_fault *fault)
{
    /* everything before the key "sealed" (1 + 6) and its bin 8 head (2) */
    struct antag_slice ad = {r->bytes.p, (size_t)(r->p.sealed.v.p - r->bytes.p) - 9};
    enum antag_err err = ag_unseal(key, ad, r->p.sealed.v, root);

    if (err == ANTAG_ERR_REGISTRY && r->type == PASSPHRASE)
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                               "the passphrase does not open %s", r->name);
    if (err == ANTAG_ERR_REGISTRY)
        return antag_fault_set(
            fault, ANTAG_ERR_SEAL, NULL,
            "%s is not opened by %s: it is another than it was sealed with", r->name,
            r->type == CREDENTIAL ? "the credential " AG_CREDENTIAL : "what the TPM holds");
    return err == ANTAG_OK ? err
                           : antag_fault_set(fault, err, NULL, "%s could not be opened", r->name);
}

static enum antag_err take_passphrase(const struct reading *r, struct ag_secret **root,
                                      struct antag_fault *fault)
{
    struct ag_secret *key = NULL;
    enum antag_err err;

    if (r->by->passphrase == NULL)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "%s is sealed by a passphrase; run `antomctl unlock`", r->name);
    if ((err = stretch(r, &key, fault)) == ANTAG_OK)
        err = open_sealed(r, key, root, fault);
    ag_secret_free(key);
    return err;
}

static enum antag_err take_credential(const struct reading *r, struct ag_secret **root,
                                      struct antag_fault *fault)
{
    struct ag_secret *key = NULL;
    enum antag_err err = credential_key(r->by->credentials, r->p.salt.v.p, &key, fault);

    if (err == ANTAG_OK)
        err = open_sealed(r, key, root, fault);
    ag_secret_free(key);
    return err;
}

static enum antag_err take_recovery(const struct reading *r, struct ag_secret **root,
                                    struct antag_fault *fault)
{
    struct ag_secret *key = NULL;
    enum antag_err err;

    if ((err = stretch(r, &key, fault)) != ANTAG_OK)
        return err;
    err = ag_unseal(key, antag_slice_of(RECOVERY_AD), r->p.recovery.v, root);
    ag_secret_free(key);
    r->info->by_recovery = err == ANTAG_OK;
    if (err == ANTAG_ERR_REGISTRY)
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                               "the recovery passphrase does not open %s", r->name);
    return err == ANTAG_OK ? err
                           : antag_fault_set(fault, err, NULL, "%s could not be opened", r->name);
}

static void part(uint8_t *to, size_t *len, struct antag_slice from)
{
    memcpy(to, from.p, from.len); /* the reader has checked the length */
    *len = from.len;
}

static enum antag_err take_tpm(const struct reading *r, struct ag_secret **root,
                               struct antag_fault *fault)
{
    struct ag_tpm_sealed sealed = {0};
    struct ag_secret *key = NULL;
    enum antag_err err;

    if (r->by->passphrase != NULL)
        return take_recovery(r, root, fault);
    part(sealed.parent, &sealed.parent_len, r->p.parent.v);
    part(sealed.public, &sealed.public_len, r->p.public.v);
    part(sealed.private, &sealed.private_len, r->p.private.v);
    err = ag_sealtpm_unseal(r->by->tcti, r->info->pcrs, &sealed, &key, fault);
    if (err == ANTAG_OK)
        err = open_sealed(r, key, root, fault);
    ag_secret_free(key);
    return err;
}

enum antag_err ag_seal_open(const char *name, const struct ag_secret *bytes,
                            const struct ag_seal_by *by, struct ag_secret **root,
                            struct ag_seal_info *info, struct antag_fault *fault)
{
    static enum antag_err (*const takes[TYPES])(const struct reading *, struct ag_secret **,
                                                struct antag_fault *) = {
        [FILE_SEAL] = take_file,
        [PASSPHRASE] = take_passphrase,
        [CREDENTIAL] = take_credential,
        [TPM] = take_tpm};
    struct reading r = {.name = name, .bytes = ag_secret_slice(bytes), .by = by, .info = info};
    struct ag_secret *made = NULL;
    enum antag_err err;
    msgpack_zone zone;

    memset(info, 0, sizeof *info);
    if (!msgpack_zone_init(&zone, 1024))
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the seal");
    if ((err = read_map(&r, &zone, fault)) == ANTAG_OK &&
        (err = takes[r.type](&r, &made, fault)) == ANTAG_OK && ag_secret_len(made) != AG_KEY_LEN) {
        ag_secret_free(made);
        err = damaged(&r, "the key has not 32 bytes", fault);
    } else if (err == ANTAG_OK) {
        *root = made;
    }
    msgpack_zone_destroy(&zone);
    return err;
}

enum antag_err ag_seal_open_file(const char *path, const struct ag_seal_by *by,
                                 struct ag_secret **root, struct ag_seal_info *info,
                                 struct antag_fault *fault)
{
    struct ag_secret *bytes = NULL;
    enum antag_err err;

    memset(info, 0, sizeof *info);
    if ((err = ag_sealfile_read(path, &bytes, fault)) == ANTAG_OK)
        err = ag_seal_open(path, bytes, by, root, info, fault);
    ag_secret_free(bytes);
    return err;
}

/* ---- making */

/* Cost, salt and recovery of another seal, which stay. */
static enum antag_err pack_old_recovery(msgpack_packer *pk, const struct ag_seal_by *by,
                                        struct antag_fault *fault)
{
    struct ag_seal_info info = {.pcrs = 0};
    struct reading r = {
        .name = "the seal", .bytes = ag_secret_slice(by->old), .by = by, .info = &info};
    enum antag_err err;
    msgpack_zone zone;

    if (!msgpack_zone_init(&zone, 1024))
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the seal");
    err = read_map(&r, &zone, fault);
    if (err == ANTAG_OK && r.type != TPM)
        err =
            antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                            "the seal is of the type %s and has no recovery passphrase that could "
                            "stay; give one",
                            info.type);
    if (err == ANTAG_OK) {
        pack_text(pk, "ops");
        msgpack_pack_uint64(pk, r.p.ops.v);
        pack_text(pk, "mem");
        msgpack_pack_uint64(pk, r.p.mem.v);
        pack_bin(pk, "salt", r.p.salt.v.p, r.p.salt.v.len);
        pack_bin(pk, "recovery", r.p.recovery.v.p, r.p.recovery.v.len);
    }
    msgpack_zone_destroy(&zone);
    return err;
}

/* What can be read of it without opening it; false: it is damaged. */
static bool look_into(const struct ag_secret *bytes, struct ag_seal_info *info)
{
    struct reading r = {.name = "the seal", .bytes = ag_secret_slice(bytes), .info = info};
    struct antag_fault fault;
    msgpack_zone zone;
    bool good;

    memset(info, 0, sizeof *info);
    if (!msgpack_zone_init(&zone, 1024))
        return false;
    good = read_map(&r, &zone, &fault) == ANTAG_OK;
    msgpack_zone_destroy(&zone);
    return good;
}

uint32_t ag_seal_pcrs(const struct ag_secret *bytes)
{
    struct ag_seal_info info;

    return look_into(bytes, &info) && info.pcrs != 0 ? info.pcrs : AG_PCRS_DEFAULT;
}

void ag_seal_peek(const char *path, char type[AG_SEAL_TYPE_MAX])
{
    struct ag_secret *bytes = NULL;
    struct ag_seal_info info;
    struct antag_fault fault;

    type[0] = '\0';
    if (ag_sealfile_read(path, &bytes, &fault) == ANTAG_OK && look_into(bytes, &info))
        memcpy(type, info.type, AG_SEAL_TYPE_MAX);
    ag_secret_free(bytes);
}

static enum antag_err pack_new_recovery(msgpack_packer *pk, const struct ag_seal_by *by,
                                        const struct ag_secret *root)
{
    uint8_t sealed[SEALED_LEN];
    struct ag_secret *key = NULL;
    size_t len = 0;
    enum antag_err err;

    if ((err = pack_stretched(pk, by, &key)) == ANTAG_OK &&
        (err = ag_seal(key, antag_slice_of(RECOVERY_AD), root, sealed, sizeof sealed, &len)) ==
            ANTAG_OK)
        pack_bin(pk, "recovery", sealed, len);
    ag_secret_free(key);
    return err;
}

static enum antag_err pack_tpm(msgpack_packer *pk, struct ag_secret *out,
                               const struct ag_seal_by *by, const struct ag_secret *root,
                               struct antag_fault *fault)
{
    struct ag_secret *key = ag_secret_new(AG_KEY_LEN);
    struct ag_tpm_sealed made;
    enum antag_err err;

    if (key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a key");
    ag_random(ag_secret_bytes(key), AG_KEY_LEN);
    ag_secret_set_len(key, AG_KEY_LEN);
    if ((err = ag_sealtpm_seal(by->tcti, by->pcrs, key, &made, fault)) == ANTAG_OK) {
        pack_head(pk, 12, "tpm");
        pack_text(pk, "pcrs");
        msgpack_pack_uint32(pk, by->pcrs);
        pack_bin(pk, "parent", made.parent, made.parent_len);
        pack_bin(pk, "public", made.public, made.public_len);
        pack_bin(pk, "private", made.private, made.private_len);
        err = by->passphrase != NULL ? pack_new_recovery(pk, by, root)
                                     : pack_old_recovery(pk, by, fault);
    }
    if (err == ANTAG_OK)
        err = pack_sealed(pk, out, root, key);
    ag_secret_free(key);
    return err;
}

static enum antag_err check_by(const struct ag_seal_by *by, struct antag_fault *fault)
{
    enum type type = type_of(antag_slice_of(by->type));
    bool takes = type == PASSPHRASE || type == TPM;

    if (type == TYPES)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "seal",
                               "a seal is file, passphrase, credential or tpm, not \"%.20s\"",
                               by->type);
    if (by->passphrase != NULL && !takes)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a %s seal takes no passphrase", by->type);
    if (type == PASSPHRASE && by->passphrase == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a passphrase seal needs a passphrase");
    if (type == TPM && by->passphrase == NULL && by->old == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a tpm seal needs a recovery passphrase, for the day the TPM or the "
                               "machine is another");
    if (type == TPM && (by->pcrs == 0 || by->pcrs > AG_PCR_ALL))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pcrs", "a tpm seal needs PCRs");
    return by->passphrase == NULL ? ANTAG_OK : need_form(by->passphrase, fault);
}

/* Does it open as it will at the next start, to the same key? */
static enum antag_err prove(const struct ag_seal_by *by, const struct ag_secret *root,
                            const struct ag_secret *bytes, struct antag_fault *fault)
{
    bool tpm = type_of(antag_slice_of(by->type)) == TPM;
    struct ag_seal_by again = *by;
    struct ag_secret *found = NULL;
    struct ag_seal_info info;
    enum antag_err err;

    if (tpm)
        again.passphrase = NULL;
    if ((err = ag_seal_open("the new seal", bytes, &again, &found, &info, fault)) != ANTAG_OK)
        return err;
    if (!ag_secret_equal(ag_secret_slice(root).p, ag_secret_slice(found).p, AG_KEY_LEN))
        err = antag_fault_set(fault, ANTAG_ERR_SEAL, NULL, "the new seal opens to another key");
    ag_secret_free(found);
    return err;
}

enum antag_err ag_seal_make(const struct ag_seal_by *by, const struct ag_secret *root,
                            struct ag_secret **bytes, struct antag_fault *fault)
{
    struct ag_secret *out;
    msgpack_packer pk;
    enum antag_err err;

    if ((err = check_by(by, fault)) != ANTAG_OK)
        return err;
    antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the seal");
    if ((out = ag_secret_new(AG_SEAL_FILE_MAX)) == NULL)
        return ANTAG_ERR_NO_MEMORY;
    msgpack_packer_init(&pk, out, pack_bytes);
    switch (type_of(antag_slice_of(by->type))) {
    case FILE_SEAL:
        pack_head(&pk, 4, "file");
        pack_bin(&pk, "key", ag_secret_slice(root).p, AG_KEY_LEN);
        break;
    case PASSPHRASE:
        err = pack_passphrase(&pk, out, by, root);
        break;
    case CREDENTIAL:
        err = pack_credential(&pk, out, by, root, fault);
        break;
    case TPM:
        err = pack_tpm(&pk, out, by, root, fault);
        break;
    case TYPES:
        break; /* check_by */
    }
    if (err == ANTAG_OK) {
        pack_check(&pk, out);
        err = prove(by, root, out, fault);
    }
    if (err == ANTAG_OK)
        *bytes = out;
    else
        ag_secret_free(out);
    return err;
}

enum antag_err ag_seal_create(const char *path, const struct ag_seal_by *by,
                              struct ag_secret **root, struct antag_fault *fault)
{
    struct ag_secret *made = NULL, *bytes = NULL;
    enum antag_err err;
    struct stat st;

    if (lstat(path, &st) == 0)
        return antag_fault_set(fault, ANTAG_ERR_ALREADY_INITIALISED, NULL,
                               "%s is there already; it is never replaced", path);
    if ((made = ag_secret_new(AG_KEY_LEN)) == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for the root key");
    ag_random(ag_secret_bytes(made), AG_KEY_LEN);
    ag_secret_set_len(made, AG_KEY_LEN);
    if ((err = ag_seal_make(by, made, &bytes, fault)) == ANTAG_OK &&
        (err = ag_sealfile_new(path, bytes, fault)) == ANTAG_OK) {
        *root = made;
        made = NULL; /* transferred */
    }
    ag_secret_free(made);
    ag_secret_free(bytes);
    return err;
}
