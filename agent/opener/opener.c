/* opener: the role that lives for one task: make or open the root key's seal, or parse a key that is
 * imported. What it reads is hostile (pasted by a person, or a file that may have been replaced), and what
 * it holds is the most secret there is, so it is a process of its own that ends when it has answered. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/core/pcrs.h"
#include "agent/lib/log.h"
#include "agent/lib/pin.h"
#include "agent/lib/role.h"
#include "agent/opener/job.h"
#include "agent/opener/keyparse.h"

#define ALARM_AFTER_S 2 /* behind the deadline: ends a loop that hangs */

/* IMPORT and SEAL answer the steward, the others the supervisor */
enum task { TASK_NONE, TASK_SEAL_CREATE, TASK_SEAL_OPEN, TASK_IMPORT, TASK_SEAL };

struct opener {
    struct ag_role *role;
    struct ag_secret *ring_key;
    char keyring[ANTAG_KEYRING_MAX + 1]; /* of ring_key */
    char type[AG_SEAL_TYPE_MAX];         /* of the seal that is to be opened; "": not known */
    enum task task;
    struct ag_chan *steward;
    bool asked; /* the steward's request has come */
    uint32_t request_id;
    uv_timer_t deadline;
    bool deadline_open;
    uv_work_t work;
    bool working, ended;
    struct ag_job job;
};

/* ---- the work */

enum antag_err ag_job_passphrase(struct ag_job *job, struct ag_secret **out)
{
    int fd = job->passphrase_fd;

    job->passphrase_fd = -1;
    return fd < 0 ? ANTAG_OK : ag_secret_read_memfd(fd, ANTAG_IMPORT_MAX, out, &job->fault);
}

static void run_import(struct ag_job *job)
{
    struct ag_secret *passphrase = NULL, *text = NULL;
    struct ag_keyring_made *made = &job->made;
    EVP_PKEY *key = NULL;
    int fd = job->key_fd;

    job->key_fd = -1;
    if ((job->err = ag_secret_read_memfd(fd, ANTAG_IMPORT_MAX, &text, &job->fault)) != ANTAG_OK ||
        (job->err = ag_job_passphrase(job, &passphrase)) != ANTAG_OK ||
        (job->err = ag_keyparse_private(ag_secret_slice(text), passphrase, &key, &job->fault)) !=
            ANTAG_OK)
        goto out;
    if ((job->err = ag_keyform_spki(key, made->spki, &made->spki_len)) != ANTAG_OK ||
        (job->err = ag_keyform_self_test(key, (struct antag_slice){made->spki, made->spki_len})) !=
            ANTAG_OK ||
        (job->err = ag_keyform_seal(key, job->ring_key, &job->id, made->sealed,
                                    &made->sealed_len)) != ANTAG_OK)
        antag_fault_set(&job->fault, job->err, NULL, "the key could not be sealed: %s",
                        antag_err_message(job->err));
out:
    EVP_PKEY_free(key);
    ag_secret_free(text);
    ag_secret_free(passphrase);
}

static void run_public(struct ag_job *job)
{
    struct ag_secret *text = NULL;
    int fd = job->key_fd;

    job->key_fd = -1;
    job->err = ag_secret_read_memfd(fd, ANTAG_IMPORT_MAX, &text, &job->fault);
    if (job->err == ANTAG_OK)
        job->err = ag_keyparse_public(ag_secret_slice(text), job->made.spki, &job->made.spki_len,
                                      &job->fault);
    ag_secret_free(text);
}

static void run_pin(struct ag_job *job)
{
    struct ag_secret *pin = NULL;
    int fd = job->key_fd;

    job->key_fd = -1;
    if ((job->err = ag_secret_read_memfd(fd, AG_PIN_MAX, &pin, &job->fault)) == ANTAG_OK &&
        (job->err = ag_pin_check(pin, &job->fault)) == ANTAG_OK &&
        (job->err = ag_pin_seal(job->ring_key, job->keyring, pin, job->made.sealed,
                                &job->made.sealed_len)) != ANTAG_OK)
        antag_fault_set(&job->fault, job->err, NULL, "the PIN could not be sealed: %s",
                        antag_err_message(job->err));
    ag_secret_free(pin);
}

/* ---- results */

static void end(struct opener *o)
{
    if (!o->ended)
        ag_role_end(o->role, 0);
    o->ended = true;
}

static void send_event(struct opener *o, struct antag_writer *w)
{
    enum antag_err err = ag_chan_send(ag_role_control(o->role), w, NULL, 0);

    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "opener.not_told", AG_F_ERR(err));
    antag_writer_fini(w);
}

/* Of the seal, as far as is known: what a thread is about is that thread's. */
static void write_type(const struct opener *o, struct antag_writer *w)
{
    const char *type = o->working ? o->type : o->job.info.type;

    if (type[0] != '\0')
        antag_w_kv_str(w, "type", type);
}

static void tell_done(struct opener *o)
{
    struct antag_writer w;

    antag_writer_init(&w, 256);
    antag_m_event(&w, "done");
    antag_w_map(&w);
    write_type(o, &w);
    if (!o->working && o->job.info.by_recovery)
        antag_w_kv_bool(&w, "recovery", true);
    antag_w_end(&w);
    antag_m_close(&w);
    send_event(o, &w);
}

/* The error map of proto/message.h, and the seal's type beside it. */
static void tell_failed(struct opener *o, const struct antag_fault *f)
{
    struct antag_writer w;

    ag_log_fault(AG_LOG_WARN, "opener.failed", f);
    antag_writer_init(&w, 4096);
    antag_m_event(&w, "failed");
    antag_w_map(&w);
    antag_w_kv_uint(&w, "code", (uint64_t)f->err);
    antag_w_kv_str(&w, "name", antag_err_name(f->err));
    antag_w_kv_str(&w, "class", antag_class_name(antag_err_class(f->err)));
    antag_w_kv_str(&w, "message", antag_fault_text(f));
    if (f->field[0] != '\0')
        antag_w_kv_str(&w, "field", f->field);
    write_type(o, &w);
    antag_w_end(&w);
    antag_m_close(&w);
    send_event(o, &w);
}

static void answer_steward(struct opener *o)
{
    struct antag_writer w;
    enum antag_err err;

    antag_writer_init(&w, AG_CHAN_PACKET_MAX);
    antag_m_answer(&w, o->request_id);
    if (o->task == TASK_SEAL)
        ag_sealing_write(&w, &o->job.sealing);
    else if (o->job.run == run_pin)
        ag_keyring_sealed_write(&w,
                                (struct antag_slice){o->job.made.sealed, o->job.made.sealed_len});
    else
        ag_keyring_made_write(&w, &o->job.made);
    antag_m_close(&w);
    err = ag_chan_send(o->steward, &w, NULL, 0);
    if (err != ANTAG_OK)
        ag_log(AG_LOG_ERROR, "opener.not_answered", AG_F_ERR(err));
    antag_writer_fini(&w);
}

static bool is_of_steward(const struct opener *o)
{
    return o->task == TASK_IMPORT || o->task == TASK_SEAL;
}

static void fail(struct opener *o, const struct antag_fault *f)
{
    if (!is_of_steward(o)) {
        tell_failed(o, f);
        return;
    }
    ag_log_fault(AG_LOG_WARN, "opener.refused", f);
    if (o->steward != NULL && o->asked)
        ag_chan_refuse(o->steward, o->request_id, f);
    tell_done(o);
}

static void succeed(struct opener *o)
{
    enum antag_err err = ANTAG_OK;
    struct antag_fault f;

    if (is_of_steward(o) && o->steward != NULL)
        answer_steward(o);
    else if (!is_of_steward(o))
        err = ag_chan_send_secret(ag_role_control(o->role), "root", o->job.root);
    if (err == ANTAG_OK) {
        tell_done(o);
        return;
    }
    antag_fault_set(&f, err, NULL, "the root key could not be handed over");
    tell_failed(o, &f);
}

static void on_worked(uv_work_t *req, int status)
{
    struct opener *o = req->data;

    (void)status;
    o->working = false;
    if (o->ended)
        return; /* the deadline was told */
    if (o->job.err == ANTAG_OK)
        succeed(o);
    else
        fail(o, &o->job.fault);
    end(o);
}

static void work(uv_work_t *req)
{
    struct opener *o = req->data;

    o->job.run(&o->job);
}

static void start_work(struct opener *o, ag_job_fn *run)
{
    struct antag_fault f;

    o->job.run = run;
    o->work.data = o;
    if (uv_queue_work(ag_role_loop(o->role), &o->work, work, on_worked) == 0) {
        o->working = true;
        return;
    }
    antag_fault_set(&f, ANTAG_ERR_INTERNAL, NULL, "no thread could be had");
    fail(o, &f);
    end(o);
}

/* ---- the deadline */

static void on_deadline(uv_timer_t *timer)
{
    struct opener *o = timer->data;
    struct antag_fault f;

    antag_fault_set(&f, ANTAG_ERR_DEADLINE, NULL,
                    "it took longer than [opener] deadline_ms allows");
    fail(o, &f);
    alarm(1); /* the thread cannot be stopped, so the process is, if the work does not end */
    end(o);
}

static void on_deadline_closed(uv_handle_t *handle)
{
    ((struct opener *)handle->data)->deadline_open = false;
}

static void start_deadline(struct opener *o, int64_t deadline_ms)
{
    /* two clocks: the timer answers, the alarm ends a process whose loop does not get there */
    (void)signal(SIGALRM, SIG_DFL);
    alarm((unsigned)((deadline_ms + 999) / 1000) + ALARM_AFTER_S);
    if (uv_timer_init(ag_role_loop(o->role), &o->deadline) != 0)
        return;
    o->deadline.data = o;
    o->deadline_open = true;
    uv_timer_start(&o->deadline, on_deadline, (uint64_t)deadline_ms, 0);
}

/* ---- the steward's one request */

/* What is asked about a key or PIN that comes from outside; NULL, and the fault says why. */
static ag_job_fn *read_import(struct opener *o, const struct antag_message *m, struct ag_fds *fds,
                              struct antag_fault *f)
{
    static const struct {
        const char *name;
        ag_job_fn *run;
        bool seals;
    } methods[] = {
        {"import", run_import, true}, {"public", run_public, false}, {"seal_pin", run_pin, true}};
    struct ag_keyring_params p;
    size_t i = 0;

    o->job.key_fd = ag_fds_take(fds, 0);
    o->job.passphrase_fd = ag_fds_take(fds, 1);
    while (i < sizeof methods / sizeof *methods && !antag_slice_is(m->name, methods[i].name))
        i++;
    if (i == sizeof methods / sizeof *methods)
        antag_fault_set(f, ANTAG_ERR_UNKNOWN_METHOD, NULL,
                        "an opener takes import, public and seal_pin");
    else if (ag_keyring_params_parse(m->name, &m->params, &p, f) != ANTAG_OK)
        ; /* the fault says why */
    else if (o->job.key_fd < 0)
        antag_fault_set(f, ANTAG_ERR_BAD_PARAM, "key", "there is no memory file to read");
    else if (methods[i].seals && o->ring_key == NULL)
        antag_fault_set(f, ANTAG_ERR_INTERNAL, NULL, "the keyring's subkey is missing");
    else {
        o->job.id = p.id;
        o->job.ring_key = o->ring_key;
        o->job.keyring = o->keyring;
        return methods[i].run;
    }
    return NULL;
}

/* Likewise about the seal. */
static ag_job_fn *read_sealing(struct opener *o, const struct antag_message *m, struct ag_fds *fds,
                               struct antag_fault *f)
{
    static const struct {
        const char *name;
        ag_job_fn *run;
    } methods[] = {{"seal_make", ag_job_seal_make},
                   {"seal_write", ag_job_seal_write},
                   {"seal_check", ag_job_seal_check}};

    o->job.passphrase_fd = ag_fds_take(fds, 0);
    if (o->job.root == NULL) {
        antag_fault_set(f, ANTAG_ERR_INTERNAL, NULL, "the root key is missing");
        return NULL;
    }
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (antag_slice_is(m->name, methods[i].name))
            return ag_sealing_parse(&m->params, &o->job.sealing, f) == ANTAG_OK ? methods[i].run
                                                                                : NULL;
    antag_fault_set(f, ANTAG_ERR_UNKNOWN_METHOD, NULL,
                    "an opener takes seal_make, seal_write and seal_check");
    return NULL;
}

static void on_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    ag_job_fn *run;
    struct opener *o = ctx;
    struct antag_fault f;

    if (m->shape != ANTAG_REQUEST)
        return;
    if (o->asked) {
        antag_fault_set(&f, ANTAG_ERR_BUSY, NULL, "an opener takes one request");
        ag_chan_refuse(c, m->id, &f);
        return;
    }
    o->asked = true;
    o->request_id = m->id;
    run = o->task == TASK_SEAL ? read_sealing(o, m, fds, &f) : read_import(o, m, fds, &f);
    if (run != NULL) {
        start_work(o, run);
        return;
    }
    fail(o, &f);
    end(o);
}

static void on_closed(struct ag_chan *c, void *ctx)
{
    struct opener *o = ctx;

    (void)c;
    ag_chan_close(o->steward);
    o->steward = NULL;
    end(o); /* nobody wants the answer */
}

static const struct ag_chan_ops steward_ops = {.on_message = on_message, .on_closed = on_closed};

/* ---- the role */

static void on_secret(struct ag_role *r, const char *label, struct ag_secret *secret, void *ctx)
{
    struct opener *o = ctx;

    (void)r;
    if (strncmp(label, "keyring:", 8) == 0 && o->ring_key == NULL &&
        ag_secret_len(secret) == AG_KEY_LEN) {
        o->ring_key = secret;
        snprintf(o->keyring, sizeof o->keyring, "%s", label + 8);
        return;
    }
    if (strcmp(label, "root") == 0 && o->job.root == NULL && ag_secret_len(secret) == AG_KEY_LEN) {
        o->job.root = secret; /* to seal it anew */
        return;
    }
    ag_log(AG_LOG_ERROR, "opener.unwanted_secret", AG_F_TEXT("label", label));
    ag_secret_free(secret);
}

static void on_start(struct ag_role *r, const struct ag_role_start *start, void *ctx)
{
    struct opener *o = ctx;

    o->role = r;
    snprintf(o->job.path, sizeof o->job.path, "%s", start->home.seal);
    snprintf(o->job.tcti, sizeof o->job.tcti, "%s", start->conf.seal_tcti);
    o->job.credentials = getenv("CREDENTIALS_DIRECTORY");
    start_deadline(o, start->conf.opener_deadline_ms);
}

static void on_peer(struct ag_role *r, enum ag_role_kind peer, const char *name, uint32_t lane,
                    int fd, void *ctx)
{
    struct opener *o = ctx;
    enum antag_err err;

    (void)name;
    (void)lane;
    if (peer != AG_ROLE_steward || o->role == NULL || o->steward != NULL) {
        close(fd);
        ag_log(AG_LOG_ERROR, "opener.unwanted_peer", AG_F_TEXT("role", ag_role_name(peer)));
        return;
    }
    err = ag_chan_open(ag_role_loop(r), fd, "steward", &steward_ops, o, &o->steward);
    if (err != ANTAG_OK) {
        ag_log(AG_LOG_ERROR, "opener.steward", AG_F_ERR(err));
        ag_role_end(r, 1);
    }
}

static void on_task(struct ag_role *r, const char *task, const char *type, struct ag_fds *fds,
                    void *ctx)
{
    struct opener *o = ctx;
    bool create = strcmp(task, "seal-create") == 0;

    if (o->role == NULL || o->task != TASK_NONE) {
        ag_log(AG_LOG_ERROR, "opener.second_task", AG_F_TEXT("task", task));
        return;
    }
    if (strcmp(task, "import") == 0 || strcmp(task, "seal") == 0) {
        o->task = strcmp(task, "seal") == 0 ? TASK_SEAL : TASK_IMPORT;
        return; /* the steward's request says the rest */
    }
    if (!create && strcmp(task, "seal-open") != 0) {
        ag_log(AG_LOG_ERROR, "opener.unknown_task", AG_F_TEXT("task", task));
        ag_role_end(r, 1);
        return;
    }
    o->task = create ? TASK_SEAL_CREATE : TASK_SEAL_OPEN;
    o->job.passphrase_fd = ag_fds_take(fds, 0);
    snprintf(o->job.sealing.type, sizeof o->job.sealing.type, "%s",
             type[0] != '\0' ? type : "file");
    o->job.sealing.pcrs = AG_PCRS_DEFAULT;
    if (!create)
        ag_seal_peek(o->job.path, o->type);
    start_work(o, create ? ag_job_seal_create : ag_job_seal_open);
}

static void on_end(struct ag_role *r, void *ctx)
{
    struct opener *o = ctx;

    o->ended = true;
    ag_chan_close(o->steward);
    o->steward = NULL;
    if (o->deadline_open)
        uv_close((uv_handle_t *)&o->deadline, on_deadline_closed);
    while (o->deadline_open || o->working)
        uv_run(ag_role_loop(r), UV_RUN_ONCE);
    if (o->job.key_fd >= 0)
        close(o->job.key_fd);
    if (o->job.passphrase_fd >= 0)
        close(o->job.passphrase_fd);
    ag_secret_free(o->job.root);
    ag_secret_free(o->ring_key);
}

int ag_opener_main(void)
{
    static const struct ag_role_ops ops = {.on_secret = on_secret,
                                           .on_start = on_start,
                                           .on_peer = on_peer,
                                           .on_task = on_task,
                                           .on_end = on_end};
    struct opener o = {.task = TASK_NONE, .job = {.key_fd = -1, .passphrase_fd = -1}};
    int status;

    status = ag_role_run(AG_ROLE_opener, &ops, &o);
    /* libuv's threads end while OpenSSL is there, which keeps state for each of them */
    uv_library_shutdown();
    return status;
}
