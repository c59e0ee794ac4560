#include "agent/opener/seal.h"

#include <stdio.h>
#include <string.h>

#include "agent/core/pcrs.h"
#include "agent/opener/seal_internal.h"
#include "agent/opener/sealcred.h"
#include "agent/opener/sealfile.h"
#include "agent/opener/sealtpm.h"
#include "proto/check.h"

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

bool ag_seal_passphrase_ok(struct antag_slice s)
{
    return s.len >= AG_PASSPHRASE_MIN && s.len <= AG_PASSPHRASE_MAX;
}

/* The key that a passphrase gives. NULL: out of memory (mostly: of `cost->mem`). */
struct ag_secret *ag_seal_derive(struct antag_slice passphrase, const struct ag_seal_cost *cost,
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

/* ---- keys of what it is sealed with */

/* The key that a credential gives. */
enum antag_err ag_seal_credential_key(const char *folder, const uint8_t salt[SALT_LEN],
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

/* ---- reading the map */

#define S struct ag_seal_params
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
    seal_fields, sizeof seal_fields / sizeof seal_fields[0], sizeof(struct ag_seal_params)};

static enum antag_err damaged(const struct ag_seal_reading *r, const char *why,
                              struct antag_fault *fault)
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
static bool parts_belong(const struct ag_seal_reading *r)
{
    const struct ag_seal_params *p = &r->p;
    bool stretched = r->type == AG_SEAL_PASSPHRASE || r->type == AG_SEAL_TPM,
         tpm = r->type == AG_SEAL_TPM;

    return p->key.set == (r->type == AG_SEAL_FILE) && p->sealed.set == (r->type != AG_SEAL_FILE) &&
           p->ops.set == stretched && p->mem.set == stretched &&
           p->salt.set == (r->type != AG_SEAL_FILE) && p->pcrs.set == tpm && p->parent.set == tpm &&
           p->public.set == tpm && p->private.set == tpm && p->recovery.set == tpm;
}

enum antag_err ag_seal_read_map(struct ag_seal_reading *r, msgpack_zone *zone,
                                struct antag_fault *fault)
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
    if ((r->type = ag_seal_type_of(r->p.type.v)) == AG_SEAL_KINDS)
        return damaged(r, "it is of an unknown type", fault);
    (void)antag_slice_copy(r->p.type.v, r->info->type, AG_SEAL_TYPE_MAX);
    r->info->pcrs = (uint32_t)r->p.pcrs.v;
    return parts_belong(r) ? ANTAG_OK : damaged(r, "its parts do not belong together", fault);
}

/* ---- opening */

static enum antag_err take_file(const struct ag_seal_reading *r, struct ag_secret **root,
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
static enum antag_err stretch(const struct ag_seal_reading *r, struct ag_secret **key,
                              struct antag_fault *fault)
{
    struct ag_seal_cost cost = {r->p.ops.v, r->p.mem.v};
    struct antag_slice text = ag_passphrase_of(r->by->passphrase);

    if (!ag_seal_passphrase_ok(text))
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                               "a passphrase has %d to %d bytes", AG_PASSPHRASE_MIN,
                               AG_PASSPHRASE_MAX);
    *key = ag_seal_derive(text, &cost, r->p.salt.v.p);
    if (*key == NULL)
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL,
                               "the passphrase needs %llu MiB of memory, which could not be had",
                               (unsigned long long)(cost.mem >> 20));
    return ANTAG_OK;
}

/* The seal is whole, so where it does not open it is the key that does not fit. */
static enum antag_err open_sealed(const struct ag_seal_reading *r, const struct ag_secret *key,
                                  struct ag_secret **root, struct antag_fault *fault)
{
    /* everything before the key "sealed" (1 + 6) and its bin 8 head (2) */
    struct antag_slice ad = {r->bytes.p, (size_t)(r->p.sealed.v.p - r->bytes.p) - 9};
    enum antag_err err = ag_unseal(key, ad, r->p.sealed.v, root);

    if (err == ANTAG_ERR_REGISTRY && r->type == AG_SEAL_PASSPHRASE)
        return antag_fault_set(fault, ANTAG_ERR_WRONG_PASSPHRASE, "passphrase",
                               "the passphrase does not open %s", r->name);
    if (err == ANTAG_ERR_REGISTRY)
        return antag_fault_set(fault, ANTAG_ERR_SEAL, NULL,
                               "%s is not opened by %s: it is another than it was sealed with",
                               r->name,
                               r->type == AG_SEAL_CREDENTIAL ? "the credential " AG_CREDENTIAL
                                                             : "what the AG_SEAL_TPM holds");
    return err == ANTAG_OK ? err
                           : antag_fault_set(fault, err, NULL, "%s could not be opened", r->name);
}

static enum antag_err take_passphrase(const struct ag_seal_reading *r, struct ag_secret **root,
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

static enum antag_err take_credential(const struct ag_seal_reading *r, struct ag_secret **root,
                                      struct antag_fault *fault)
{
    struct ag_secret *key = NULL;
    enum antag_err err = ag_seal_credential_key(r->by->credentials, r->p.salt.v.p, &key, fault);

    if (err == ANTAG_OK)
        err = open_sealed(r, key, root, fault);
    ag_secret_free(key);
    return err;
}

static enum antag_err take_recovery(const struct ag_seal_reading *r, struct ag_secret **root,
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

static enum antag_err take_tpm(const struct ag_seal_reading *r, struct ag_secret **root,
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
    static enum antag_err (*const takes[AG_SEAL_KINDS])(
        const struct ag_seal_reading *, struct ag_secret **,
        struct antag_fault *) = {[AG_SEAL_FILE] = take_file,
                                 [AG_SEAL_PASSPHRASE] = take_passphrase,
                                 [AG_SEAL_CREDENTIAL] = take_credential,
                                 [AG_SEAL_TPM] = take_tpm};
    struct ag_seal_reading r = {
        .name = name, .bytes = ag_secret_slice(bytes), .by = by, .info = info};
    struct ag_secret *made = NULL;
    enum antag_err err;
    msgpack_zone zone;

    memset(info, 0, sizeof *info);
    if (!msgpack_zone_init(&zone, 1024))
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the seal");
    if ((err = ag_seal_read_map(&r, &zone, fault)) == ANTAG_OK &&
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

/* What can be read of it without opening it; false: it is damaged. */
static bool look_into(const struct ag_secret *bytes, struct ag_seal_info *info)
{
    struct ag_seal_reading r = {.name = "the seal", .bytes = ag_secret_slice(bytes), .info = info};
    struct antag_fault fault;
    msgpack_zone zone;
    bool good;

    memset(info, 0, sizeof *info);
    if (!msgpack_zone_init(&zone, 1024))
        return false;
    good = ag_seal_read_map(&r, &zone, &fault) == ANTAG_OK;
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
