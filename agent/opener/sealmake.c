/* Making a seal: its map, packed, and then opened as it will be. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/core/pcrs.h"
#include "agent/opener/seal_internal.h"
#include "agent/opener/sealfile.h"
#include "agent/opener/sealtpm.h"

static enum antag_err need_form(const struct ag_secret *given, struct antag_fault *fault)
{
    if (ag_seal_passphrase_ok(ag_passphrase_of(given)))
        return ANTAG_OK;
    return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                           "a passphrase has %d to %d bytes", AG_PASSPHRASE_MIN, AG_PASSPHRASE_MAX);
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
    *key = ag_seal_derive(ag_passphrase_of(by->passphrase), &by->cost, salt);
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
    if ((err = ag_seal_credential_key(by->credentials, salt, &key, fault)) != ANTAG_OK)
        return err;
    pack_head(pk, 5, "credential");
    pack_bin(pk, "salt", salt, sizeof salt);
    err = pack_sealed(pk, out, root, key);
    ag_secret_free(key);
    return err;
}

/* ---- making */

/* Cost, salt and recovery of another seal, which stay. */
static enum antag_err pack_old_recovery(msgpack_packer *pk, const struct ag_seal_by *by,
                                        struct antag_fault *fault)
{
    struct ag_seal_info info = {.pcrs = 0};
    struct ag_seal_reading r = {
        .name = "the seal", .bytes = ag_secret_slice(by->old), .by = by, .info = &info};
    enum antag_err err;
    msgpack_zone zone;

    if (!msgpack_zone_init(&zone, 1024))
        return antag_fault_set(fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory to read the seal");
    err = ag_seal_read_map(&r, &zone, fault);
    if (err == ANTAG_OK && r.type != AG_SEAL_TPM)
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
    enum ag_seal_kind type = ag_seal_type_of(antag_slice_of(by->type));
    bool takes = ag_seal_takes_passphrase(type);

    if (type == AG_SEAL_KINDS)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "seal",
                               "a seal is file, passphrase, credential or tpm, not \"%.20s\"",
                               by->type);
    if (by->passphrase != NULL && !takes)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a %s seal takes no passphrase", by->type);
    if (type == AG_SEAL_PASSPHRASE && by->passphrase == NULL)
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "passphrase",
                               "a passphrase seal needs a passphrase");
    if (type == AG_SEAL_TPM && by->passphrase == NULL && by->old == NULL)
        return antag_fault_set(
            fault, ANTAG_ERR_BAD_PARAM, "passphrase",
            "a tpm seal needs a recovery passphrase, for the day the AG_SEAL_TPM or the "
            "machine is another");
    if (type == AG_SEAL_TPM && (by->pcrs == 0 || by->pcrs > AG_PCR_ALL))
        return antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "pcrs", "a tpm seal needs PCRs");
    return by->passphrase == NULL ? ANTAG_OK : need_form(by->passphrase, fault);
}

/* Does it open as it will at the next start, to the same key? */
static enum antag_err prove(const struct ag_seal_by *by, const struct ag_secret *root,
                            const struct ag_secret *bytes, struct antag_fault *fault)
{
    bool tpm = ag_seal_type_of(antag_slice_of(by->type)) == AG_SEAL_TPM;
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
    switch (ag_seal_type_of(antag_slice_of(by->type))) {
    case AG_SEAL_FILE:
        pack_head(&pk, 4, "file");
        pack_bin(&pk, "key", ag_secret_slice(root).p, AG_KEY_LEN);
        break;
    case AG_SEAL_PASSPHRASE:
        err = pack_passphrase(&pk, out, by, root);
        break;
    case AG_SEAL_CREDENTIAL:
        err = pack_credential(&pk, out, by, root, fault);
        break;
    case AG_SEAL_TPM:
        err = pack_tpm(&pk, out, by, root, fault);
        break;
    case AG_SEAL_KINDS:
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
