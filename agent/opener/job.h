/* job: one task of an opener, run on a thread of its own; everything in it is that thread's meanwhile. */
#ifndef AG_OPENER_JOB_H
#define AG_OPENER_JOB_H

#include "agent/lib/edges/keyring.h"
#include "agent/lib/edges/sealing.h"
#include "agent/lib/home.h"
#include "agent/opener/seal.h"

struct ag_job;
typedef void ag_job_fn(struct ag_job *job);
struct ag_job {
    ag_job_fn *run;
    /* of a seal */
    char path[AG_PATH_MAX];
    char tcti[AG_PATH_MAX];
    const char *credentials; /* borrowed; NULL: none */
    struct ag_sealing sealing;
    struct ag_secret *root; /* given to seal_*; else what comes of it */
    struct ag_seal_info info;
    /* of an import, or a PIN (key_fd) */
    int key_fd, passphrase_fd; /* -1: none; taken by run */
    struct ag_key_identity id;
    const struct ag_secret *ring_key; /* borrowed, as is its keyring's name */
    const char *keyring;
    struct ag_keyring_made made;
    /* what comes of it */
    enum antag_err err;
    struct antag_fault fault;
};

/* The passphrase, if one was given. */
ANTAG_MUST_CHECK enum antag_err ag_job_passphrase(struct ag_job *job, struct ag_secret **out);

/* sealing.c: what `run` may be for seals: job->sealing says what, and becomes the result */
ag_job_fn ag_job_seal_create; /* a new root key, PATH.new */
ag_job_fn ag_job_seal_open;   /* the root key */
ag_job_fn ag_job_seal_make;
ag_job_fn ag_job_seal_write;
ag_job_fn ag_job_seal_check;

#endif
