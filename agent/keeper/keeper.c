/* keeper: the role that holds the private keys of one keyring. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/keeper/ring.h"
#include "agent/lib/log.h"
#include "agent/lib/role.h"

#define LABEL_MAX (ANTAG_KEYRING_MAX + sizeof "keyring:")

struct keeper {
    struct ag_role *role;
    struct ag_secret *ring_key;  /* until the ring takes it */
    char label[LABEL_MAX + 1];   /* of ring_key */
    struct ag_secret *audit_key; /* the same: seed of the checkpoints' key */
    char audit_label[LABEL_MAX + 1];
    struct ag_ring *ring;
};

/* Keeps a secret that is wanted and not there yet. */
static bool keep(struct ag_secret **slot, char slot_label[LABEL_MAX + 1], const char *label,
                 struct ag_secret *secret)
{
    if (*slot != NULL || strlen(label) > LABEL_MAX || ag_secret_len(secret) != AG_KEY_LEN)
        return false;
    snprintf(slot_label, LABEL_MAX + 1, "%s", label);
    *slot = secret;
    return true;
}

static void on_secret(struct ag_role *r, const char *label, struct ag_secret *secret, void *ctx)
{
    struct keeper *k = ctx;
    bool kept = false;

    (void)r;
    if (k->ring == NULL && strncmp(label, "keyring:", 8) == 0)
        kept = keep(&k->ring_key, k->label, label, secret);
    else if (k->ring == NULL && strncmp(label, "audit:", 6) == 0)
        kept = keep(&k->audit_key, k->audit_label, label, secret);
    if (kept)
        return;
    ag_log(AG_LOG_ERROR, "keeper.unwanted_secret", AG_F_TEXT("label", label));
    ag_secret_free(secret);
}

static void on_ready(void *ctx)
{
    ag_role_ready(((struct keeper *)ctx)->role);
}

static void on_ended(void *ctx, bool failed)
{
    if (failed)
        ag_log(AG_LOG_ERROR, "keeper.no_workers");
    ag_role_end(((struct keeper *)ctx)->role, failed ? 1 : 0);
}

static void on_start(struct ag_role *r, const struct ag_role_start *start, void *ctx)
{
    struct keeper *k = ctx;
    const struct ag_conf_keyring *conf = ag_conf_find_keyring(&start->conf, start->name);
    struct ag_ring_conf ring = {.loop = ag_role_loop(r),
                                .ring_key = k->ring_key,
                                .audit_key = k->audit_key,
                                .audit_dir = start->home.audit,
                                .conf = &start->conf,
                                .on_ready = on_ready,
                                .on_ended = on_ended,
                                .ctx = k};
    struct antag_fault fault = {0};

    k->role = r;
    if (conf == NULL || k->ring_key == NULL || strcmp(k->label + 8, start->name) != 0 ||
        k->audit_key == NULL || strcmp(k->audit_label + 6, start->name) != 0) {
        ag_log(
            AG_LOG_ERROR, "keeper.start", AG_F_TEXT("keyring", start->name),
            AG_F_TEXT("why", conf == NULL ? "it is not in agent.conf" : "its subkey is missing"));
        ag_role_end(r, 1);
        return;
    }
    ring.keyring = *conf;
    if (ag_ring_open(&ring, &k->ring, &fault) != ANTAG_OK) {
        ag_log_fault(AG_LOG_ERROR, "keeper.start", &fault);
        ag_role_end(r, 1);
        return;
    }
    k->ring_key = NULL; /* transferred */
    ag_secret_free(k->audit_key);
    k->audit_key = NULL;
}

static void on_peer(struct ag_role *r, enum ag_role_kind peer, const char *name, uint32_t lane,
                    int fd, void *ctx)
{
    struct keeper *k = ctx;

    (void)r;
    if (k->ring != NULL && peer == AG_ROLE_steward) {
        ag_ring_set_steward(k->ring, fd);
    } else if (k->ring != NULL && peer == AG_ROLE_front) {
        ag_ring_add_lane(k->ring, lane, fd);
    } else {
        close(fd);
        ag_log(AG_LOG_ERROR, "keeper.unwanted_peer", AG_F_TEXT("role", ag_role_name(peer)),
               AG_F_TEXT("name", name));
    }
}

static void on_drain(struct ag_role *r, void *ctx)
{
    struct keeper *k = ctx;

    if (k->ring != NULL)
        ag_ring_drain(k->ring);
    else
        ag_role_end(r, 0);
}

static void on_end(struct ag_role *r, void *ctx)
{
    struct keeper *k = ctx;

    (void)r;
    ag_ring_close(k->ring);
    k->ring = NULL;
    ag_secret_free(k->ring_key);
    ag_secret_free(k->audit_key);
    k->ring_key = k->audit_key = NULL;
}

int ag_keeper_main(void)
{
    /* threads and type of a keyring are read at its start only, so a new configuration needs nothing */
    static const struct ag_role_ops ops = {.on_secret = on_secret,
                                           .on_start = on_start,
                                           .on_peer = on_peer,
                                           .on_drain = on_drain,
                                           .on_end = on_end};
    struct keeper k = {0};
    int status;

    status = ag_role_run(AG_ROLE_keeper, &ops, &k);
    /* libuv's threads end while OpenSSL is there, which keeps state for each of them */
    uv_library_shutdown();
    return status;
}
