/* sealing: the tasks of an opener that are about the seal. */
#include <stdio.h>
#include <string.h>

#include "agent/core/pcrs.h"
#include "agent/opener/job.h"
#include "agent/opener/sealfile.h"

static struct ag_seal_by by_of(const struct ag_job *job, const struct ag_secret *passphrase)
{
    return (struct ag_seal_by){.passphrase = passphrase,
                               .credentials = job->credentials,
                               .tcti = job->tcti,
                               .type = job->sealing.type,
                               .cost = ag_seal_cost_moderate,
                               .pcrs = job->sealing.pcrs};
}

void ag_job_seal_create(struct ag_job *job)
{
    struct ag_secret *passphrase = NULL;
    struct ag_seal_by by;

    if ((job->err = ag_job_passphrase(job, &passphrase)) == ANTAG_OK) {
        by = by_of(job, passphrase);
        job->err = ag_seal_create(job->path, &by, &job->root, &job->fault);
    }
    snprintf(job->info.type, sizeof job->info.type, "%s", job->sealing.type);
    ag_secret_free(passphrase);
}

void ag_job_seal_open(struct ag_job *job)
{
    struct ag_secret *passphrase = NULL;
    struct ag_seal_by by;

    if ((job->err = ag_job_passphrase(job, &passphrase)) == ANTAG_OK) {
        by = by_of(job, passphrase);
        job->err = ag_seal_open_file(job->path, &by, &job->root, &job->info, &job->fault);
    }
    ag_secret_free(passphrase);
}

void ag_job_seal_make(struct ag_job *job)
{
    struct ag_secret *passphrase = NULL, *old = NULL, *bytes = NULL;
    struct ag_seal_by by;

    if ((job->err = ag_job_passphrase(job, &passphrase)) != ANTAG_OK)
        return;
    by = by_of(job, passphrase);
    if (strcmp(by.type, "tpm") == 0 && passphrase == NULL &&
        (job->err = ag_sealfile_read(job->path, &old, &job->fault)) == ANTAG_OK)
        by.old = old;
    if (strcmp(by.type, "tpm") == 0 && by.pcrs == 0)
        by.pcrs = job->sealing.pcrs = old != NULL ? ag_seal_pcrs(old) : AG_PCRS_DEFAULT;
    if (job->err == ANTAG_OK)
        job->err = ag_seal_make(&by, job->root, &bytes, &job->fault);
    if (job->err == ANTAG_OK) {
        job->sealing.bytes_len = ag_secret_len(bytes);
        memcpy(job->sealing.bytes, ag_secret_slice(bytes).p, ag_secret_len(bytes));
    }
    ag_secret_free(bytes);
    ag_secret_free(old);
    ag_secret_free(passphrase);
}

/* A file seal is the root key itself, so its bytes never were anywhere else. */
void ag_job_seal_write(struct ag_job *job)
{
    struct ag_sealing *s = &job->sealing;
    struct ag_seal_by by = by_of(job, NULL);
    struct ag_secret *bytes = NULL;

    if (strcmp(s->type, "file") == 0) {
        job->err = ag_seal_make(&by, job->root, &bytes, &job->fault);
    } else if (s->bytes_len == 0) {
        job->err = antag_fault_set(&job->fault, ANTAG_ERR_BAD_PARAM, "bytes", "there is no seal");
    } else if ((bytes = ag_secret_new(s->bytes_len)) == NULL) {
        job->err = antag_fault_set(&job->fault, ANTAG_ERR_NO_MEMORY, NULL, "no memory for a seal");
    } else {
        memcpy(ag_secret_bytes(bytes), s->bytes, s->bytes_len);
        ag_secret_set_len(bytes, s->bytes_len);
    }
    if (job->err == ANTAG_OK)
        job->err = ag_sealfile_replace(job->path, bytes, &job->fault);
    ag_secret_free(bytes);
    s->bytes_len = 0;
    if (job->err == ANTAG_OK)
        snprintf(job->info.type, sizeof job->info.type, "%s", s->type);
}

void ag_job_seal_check(struct ag_job *job)
{
    struct ag_seal_by by = by_of(job, NULL);
    struct ag_sealing *s = &job->sealing;
    struct ag_secret *found = NULL;
    struct ag_seal_info info;
    enum antag_err err = ag_seal_open_file(job->path, &by, &found, &info, &job->fault);

    memset(s, 0, sizeof *s);
    snprintf(s->type, sizeof s->type, "%s", info.type);
    s->pcrs = info.pcrs;
    s->opens = err == ANTAG_OK &&
               ag_secret_equal(ag_secret_slice(found).p, ag_secret_slice(job->root).p, AG_KEY_LEN);
    if (err != ANTAG_OK)
        snprintf(s->why, sizeof s->why, "%s", antag_fault_text(&job->fault));
    else if (!s->opens)
        snprintf(s->why, sizeof s->why,
                 "%s opens to another key than the agent works with: it was "
                 "replaced; put back the right one",
                 job->path);
    ag_secret_free(found);
}
