/* unseal: the root key comes from an opener, stays here in locked memory, and leaves only as subkeys. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "agent/lib/clock.h"
#include "agent/lib/log.h"
#include "agent/supervisor/run.h"
#include "proto/params.h"

#define KEEPER_STOP_MS 2000

void ag_give_subkey(struct ag_child *c, const struct ag_secret *root, const char *label)
{
    struct ag_secret *subkey = ag_secret_derive(root, label);

    if (subkey != NULL)
        ag_child_send_secret(c, label, subkey);
    else
        ag_child_kill(c, SIGKILL); /* restarted when there is memory again */
    ag_secret_free(subkey);
}

/* ---- openers */

static bool opener_add(struct ag_run *r, struct ag_child *c)
{
    for (size_t i = 0; i < AG_OPENERS_MAX; i++)
        if (r->openers[i] == NULL) {
            r->openers[i] = c;
            return true;
        }
    return false;
}

static bool opener_has_room(const struct ag_run *r)
{
    for (size_t i = 0; i < AG_OPENERS_MAX; i++)
        if (r->openers[i] == NULL)
            return true;
    return false;
}

static void opener_remove(struct ag_run *r, const struct ag_child *c)
{
    for (size_t i = 0; i < AG_OPENERS_MAX; i++)
        if (r->openers[i] == c)
            r->openers[i] = NULL;
}

static void opener_secret(struct ag_child *c, const char *label, struct ag_secret *secret)
{
    struct ag_run *r = c->ctx;

    if (c == r->unsealing && strcmp(label, "root") == 0 && r->root == NULL &&
        ag_secret_len(secret) == AG_KEY_LEN) {
        r->root = secret;
        return;
    }
    ag_log(AG_LOG_ERROR, "supervisor.unwanted_secret", AG_F_TEXT("label", label));
    ag_secret_free(secret);
}

static void answer_unlock(struct ag_run *r)
{
    struct ag_slot *steward = ag_slot_of(r, AG_ROLE_steward, "");

    if (!r->unlock_asked)
        return;
    r->unlock_asked = false;
    if (steward->child == NULL || steward->child->control == NULL)
        return;
    if (r->root != NULL)
        ag_chan_answer_ok(steward->child->control, r->unlock_id);
    else
        ag_chan_refuse(steward->child->control, r->unlock_id, &r->unseal_fault);
}

/* The unsealing has ended, well or not; the opener is gone. */
static void unsealed(struct ag_run *r)
{
    bool first = r->state == AG_STATE_STARTING;

    if (r->draining)
        return;
    if (r->root != NULL) {
        r->state = AG_STATE_UNLOCKED;
        r->reason[0] = '\0';
        ag_log(AG_LOG_INFO, "agent.unlocked", AG_F_TEXT("seal", r->seal));
    } else {
        r->state = AG_STATE_LOCKED;
        snprintf(r->reason, sizeof r->reason, "%s", antag_fault_text(&r->unseal_fault));
        ag_log_fault(AG_LOG_WARN, "agent.locked", &r->unseal_fault);
    }
    if (first)
        ag_run_on_state(r);
    else if (r->root != NULL)
        ag_unseal_release(r);
    answer_unlock(r);
}

static void opener_message(struct ag_child *c, const struct antag_message *m, struct ag_fds *fds)
{
    struct ag_run *r = c->ctx;
    char type[sizeof r->seal];

    (void)fds;
    if (c !=
        r->unsealing) { /* it answers the steward; here it says only that the seal is another now */
        if (antag_slice_is(m->name, "done") &&
            antag_object_text(&m->params, "type", type, sizeof type)) {
            memcpy(r->seal, type, sizeof r->seal);
            r->by_recovery = false;
        }
        return;
    }
    if (antag_slice_is(m->name, "done")) {
        (void)antag_object_text(&m->params, "type", r->seal, sizeof r->seal);
        r->by_recovery = antag_object_get(&m->params, "recovery") != NULL;
        r->unseal_done = true;
    } else if (antag_slice_is(m->name, "failed")) {
        (void)antag_object_text(&m->params, "type", r->seal, sizeof r->seal);
        ag_child_read_error(m, &r->unseal_fault);
    }
}

static void opener_exit(struct ag_child *c, int64_t status, int sig)
{
    struct ag_run *r = c->ctx;

    opener_remove(r, c);
    if (status != 0 || sig != 0)
        ag_log(AG_LOG_WARN, "opener.ended", AG_F_INT("pid", c->pid), AG_F_INT("status", status),
               AG_F_INT("signal", sig));
    if (c != r->unsealing)
        return;
    r->unsealing = NULL;
    if (!r->unseal_done) { /* also when the key came and the end did not */
        ag_secret_free(r->root);
        r->root = NULL;
        if (r->unseal_fault.err == ANTAG_OK)
            antag_fault_set(&r->unseal_fault, ANTAG_ERR_RETRY, NULL,
                            "the opener ended before the seal was open; run `antomctl unlock`");
    }
    unsealed(r);
}

static const struct ag_child_ops opener_ops = {opener_message, opener_secret, opener_exit};

static struct ag_child *start_opener(struct ag_run *r, const char *task)
{
    struct ag_child *c = NULL;
    struct ag_role_start start;

    if (!opener_has_room(r) ||
        ag_child_spawn(&r->loop, AG_ROLE_opener, task, &opener_ops, r, &c) != ANTAG_OK)
        return NULL;
    (void)opener_add(r, c);
    ag_run_start_params(r, task, &start);
    ag_child_start(c, &start, r->conf_text, -1);
    return c;
}

void ag_unseal_start(struct ag_run *r, int passphrase_fd)
{
    memset(&r->unseal_fault, 0, sizeof r->unseal_fault);
    r->unseal_done = false;
    r->unsealing = start_opener(r, "seal-open");
    if (r->unsealing != NULL) {
        ag_child_task(r->unsealing, "seal-open", NULL, passphrase_fd);
        return;
    }
    antag_fault_set(&r->unseal_fault, ANTAG_ERR_RETRY, NULL, "no opener could be started");
    unsealed(r);
}

/* ---- to those who wait for the key */

static void for_keepers(struct ag_run *r, void (*visit)(struct ag_slot *))
{
    for (size_t i = 0; i < r->slot_count; i++)
        if (r->slots[i].kind == AG_ROLE_keeper)
            visit(&r->slots[i]);
}

static void stop_keeper(struct ag_slot *s)
{
    ag_slot_stop(s, KEEPER_STOP_MS);
}

void ag_unseal_release(struct ag_run *r)
{
    struct ag_slot *steward = ag_slot_of(r, AG_ROLE_steward, "");
    struct ag_slot *front = ag_slot_of(r, AG_ROLE_front, "");

    if (front->child != NULL)
        ag_give_subkey(front->child, r->root, "tokens");
    if (steward->child != NULL) {
        ag_give_subkey(steward->child, r->root, "tokens");
        ag_give_subkey(steward->child, r->root, "registry:seal");
        ag_give_subkey(steward->child, r->root, "registry:mac");
        ag_give_subkey(steward->child, r->root, "audit:steward");
        ag_child_event(steward->child, "unlocked");
    }
    for_keepers(r, ag_slot_start);
}

/* ---- requests of the steward */

static void do_unlock(struct ag_run *r, struct ag_child *steward, uint32_t id, struct ag_fds *fds)
{
    struct antag_fault busy;
    int fd;

    if (r->root != NULL && r->unsealing == NULL) {
        ag_chan_answer_ok(steward->control, id);
        return;
    }
    if (r->unsealing != NULL) {
        antag_fault_set(&busy, ANTAG_ERR_BUSY, NULL, "the seal is being opened already");
        ag_chan_refuse(steward->control, id, &busy);
        return;
    }
    r->unlock_asked = true;
    r->unlock_id = id;
    fd = ag_fds_take(fds, 0);
    ag_unseal_start(r, fd);
    if (fd >= 0)
        close(fd);
}

static void answer_lock(struct ag_run *r)
{
    struct ag_slot *steward = ag_slot_of(r, AG_ROLE_steward, "");

    if (!r->lock_asked || !ag_slots_all_down(r, AG_ROLE_keeper))
        return;
    r->lock_asked = false;
    if (steward->child != NULL && steward->child->control != NULL)
        ag_chan_answer_ok(steward->child->control, r->lock_id);
}

void ag_unseal_keeper_down(struct ag_run *r)
{
    answer_lock(r);
}

static void do_lock(struct ag_run *r, uint32_t id)
{
    r->lock_asked = true;
    r->lock_id = id;
    r->state = AG_STATE_LOCKED;
    snprintf(r->reason, sizeof r->reason, "locked by staff; run `antomctl unlock`");
    ag_secret_free(r->root);
    r->root = NULL;
    for (size_t i = 0; i < AG_OPENERS_MAX; i++)
        if (r->openers[i] != NULL)
            ag_child_kill(r->openers[i], SIGKILL);
    for_keepers(r, stop_keeper);
    ag_log(AG_LOG_WARN, "agent.locked", AG_F_TEXT("why", r->reason));
    answer_lock(r);
}

/* One with the subkey of a keyring, for a key that is imported; NULL. */
static struct ag_child *import_opener(struct ag_run *r, const struct antag_message *m,
                                      struct antag_fault *fault)
{
    char keyring[ANTAG_KEYRING_MAX + 1], label[ANTAG_KEYRING_MAX + 16];
    struct ag_child *c;

    if (!antag_object_text(&m->params, "keyring", keyring, sizeof keyring) ||
        ag_conf_find_keyring(&r->conf, keyring) == NULL) {
        antag_fault_set(fault, ANTAG_ERR_BAD_PARAM, "keyring", "there is no keyring of that name");
        return NULL;
    }
    c = start_opener(r, "import");
    if (c != NULL) {
        snprintf(label, sizeof label, "keyring:%s", keyring);
        ag_give_subkey(c, r->root, label);
        ag_child_task(c, "import", NULL, -1);
    }
    return c;
}

/* One with the root key, to seal it anew; NULL. */
static struct ag_child *seal_opener(struct ag_run *r)
{
    struct ag_child *c = start_opener(r, "seal");

    if (c != NULL) {
        ag_child_send_secret(c, "root", r->root);
        ag_child_task(c, "seal", NULL, -1);
    }
    return c;
}

/* An opener, and the steward's end of a pair to it. */
static void do_opener(struct ag_run *r, struct ag_child *steward, const struct antag_message *m)
{
    struct antag_fault fault;
    struct antag_writer w;
    struct ag_child *c;
    int fd = -1;

    antag_fault_set(&fault, ANTAG_ERR_BUSY, NULL,
                    "no opener could be started; at most %d work at a time", AG_OPENERS_MAX);
    if (r->root == NULL) {
        antag_fault_set(&fault, ANTAG_ERR_LOCKED, NULL, "%s", r->reason);
        c = NULL;
    } else {
        c = antag_object_get(&m->params, "seal") != NULL ? seal_opener(r)
                                                         : import_opener(r, m, &fault);
    }
    if (c == NULL || (fd = ag_child_give_peer(c, AG_ROLE_steward, "", 0)) < 0) {
        ag_chan_refuse(steward->control, m->id, &fault);
        return;
    }
    antag_writer_init(&w, 64);
    antag_m_answer(&w, m->id);
    antag_w_map(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    ag_child_send(steward, &w, &fd, 1);
    antag_writer_fini(&w);
    close(fd);
}

static void write_process(struct antag_writer *w, enum ag_role_kind kind, const char *name,
                          const char *state, int pid, int64_t since_ms, unsigned restarts)
{
    antag_w_map(w);
    antag_w_kv_str(w, "role", ag_role_name(kind));
    antag_w_kv_str(w, "name", name);
    antag_w_kv_int(w, "pid", pid);
    antag_w_kv_str(w, "state", state);
    antag_w_kv_uint(w, "restarts", restarts);
    antag_w_kv_int(w, "since_ms", since_ms);
    antag_w_end(w);
}

static void write_slot(struct antag_writer *w, const struct ag_slot *s)
{
    const struct ag_child *c = s->child;

    if (c != NULL)
        write_process(w, s->kind, s->name, c->ready ? "ready" : "starting", c->pid, c->since_ms,
                      s->restarts);
    else
        write_process(w, s->kind, s->name, s->wanted ? "restarting" : "stopped", 0, 0, s->restarts);
}

static void do_roles(struct ag_run *r, struct ag_child *steward, uint32_t id)
{
    struct antag_writer w;

    antag_writer_init(&w, 32 * 1024);
    antag_m_answer(&w, id);
    antag_w_map(&w);
    antag_w_key(&w, "roles");
    antag_w_array(&w);
    write_process(&w, AG_ROLE_supervisor, "", "ready", (int)getpid(), r->started_at_ms, 0);
    for (size_t i = 0; i < r->slot_count; i++)
        write_slot(&w, &r->slots[i]);
    for (size_t i = 0; i < AG_OPENERS_MAX; i++)
        if (r->openers[i] != NULL)
            write_process(&w, AG_ROLE_opener, r->openers[i]->name, "ready", r->openers[i]->pid,
                          r->openers[i]->since_ms, 0);
    antag_w_end(&w);
    antag_w_kv_str(&w, "seal", r->seal);
    antag_w_kv_bool(&w, "by_recovery", r->by_recovery);
    antag_w_kv_int(&w, "started_at_ms", r->started_at_ms);
    antag_w_end(&w);
    antag_m_close(&w);
    ag_child_send(steward, &w, NULL, 0);
    antag_writer_fini(&w);
}

void ag_unseal_request(struct ag_child *steward, const struct antag_message *m, struct ag_fds *fds)
{
    struct ag_slot *s = steward->ctx;
    struct ag_run *r = s->run;
    struct antag_fault fault;

    if (antag_slice_is(m->name, "unlock")) {
        do_unlock(r, steward, m->id, fds);
    } else if (antag_slice_is(m->name, "lock")) {
        do_lock(r, m->id);
    } else if (antag_slice_is(m->name, "opener")) {
        do_opener(r, steward, m);
    } else if (antag_slice_is(m->name, "roles")) {
        do_roles(r, steward, m->id);
    } else {
        antag_fault_set(&fault, ANTAG_ERR_UNKNOWN_METHOD, NULL,
                        "the supervisor has no such method");
        ag_chan_refuse(steward->control, m->id, &fault);
    }
}
