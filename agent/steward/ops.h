/* ops: operations of staff: who may, dispatch, and the threads they run on.
 *
 * Three lanes with threads of their own, so that stops never queue behind long work and a look at the
 * status never behind an import: stops and locks; what is over in a moment; what waits for a key to be
 * made, read or unsealed. */
#ifndef AG_STEWARD_OPS_H
#define AG_STEWARD_OPS_H

#include "agent/lib/edges/sealing.h"
#include "agent/steward/steward.h"
#include "proto/message.h"
#include "proto/staff_methods.h"

#define AG_OP_FILES_MAX  2
#define AG_OP_SEALED_MAX (4 + AG_SEAL_BYTES_MAX)
_Static_assert(AG_TOKEN_SEALED_MAX <= AG_OP_SEALED_MAX, "a sealed token fits");

struct ag_task {
    uint32_t uid; /* who asks, as the kernel says */
    uint32_t id;  /* of the request */
    enum antag_staff_method which;
    const struct antag_staff_method_row *row;
    void *params; /* struct of row->params; views into `bytes` */
    size_t file_count;
    int files[AG_OP_FILES_MAX]; /* memory files; closed with the operation */
    /* between the parts of an operation (deeds.h) */
    uint64_t era;                   /* of the registry, in which it was prepared; 0: any */
    uint64_t row_id;                /* of the row it is about */
    struct ag_keyring_made *made;   /* a public key that was read; freed with the operation */
    struct ag_secret *secret;       /* that was passed; freed with the operation */
    char was[AG_SEAL_NAME_MAX + 1]; /* type of the seal before */
    size_t
        sealed_len; /* of a token that was passed, sealed at once; of a seal that was made, behind its PCRs */
    uint8_t sealed[AG_OP_SEALED_MAX];
    struct ag_change_run
        *run;        /* the approved change it runs for (changes.h); NULL: it is asked for now */
    uint64_t opened; /* the change it became instead of being done; 0: none */
    struct antag_writer answer; /* the whole answer, when it is done */
    enum antag_err err;         /* what it came to */
    /* inside */
    void *owner; /* of the one who submitted; NULL when he is gone. Loop thread. */
    uint8_t *bytes;
    struct antag_decoder decoder;
    bool decoder_made;
    struct ag_task *next;
};

/* Takes `bytes` (a whole frame, malloc'ed) and the files, on failure too.
 * `fatal` says that the connection ends after the answer. When it cannot run, *out is NULL and `refusal`
 * says why; has_id and id say to whom.
 * errors: BAD_FRAME (fatal), BAD_PARAM (fatal when a key is given twice), NOT_STAFF, UNKNOWN_METHOD,
 * LOCKED, REGISTRY, NOT_READY. */
struct ag_task_refusal {
    bool has_id, fatal;
    uint32_t id;
    struct antag_fault fault;
};
ANTAG_MUST_CHECK enum antag_err ag_task_new(struct ag_steward *st, uint32_t uid, uint8_t *bytes,
                                            size_t len, const int *files, size_t file_count,
                                            struct ag_task **out, struct ag_task_refusal *refusal);
/* One that is filled in by the agent itself; NULL: no memory. Its `bytes` are freed with it. */
struct ag_task *ag_task_blank(uint32_t uid);
void ag_task_free(struct ag_task *op); /* NULL accepted */
struct ag_actor ag_task_actor(const struct ag_task *op);

/* May `uid` call this now? Pure but for the state it asks `st` for.
 * errors: NOT_STAFF, LOCKED, REGISTRY, NOT_READY. */
ANTAG_MUST_CHECK enum antag_err ag_task_permits(struct ag_steward *st, uint32_t uid,
                                                const struct antag_staff_method_row *row,
                                                struct antag_fault *fault);

typedef void ag_pool_done_fn(struct ag_task *op, void *ctx); /* loop thread; takes the operation */
ANTAG_MUST_CHECK enum antag_err ag_pool_start(struct ag_steward *st, ag_pool_done_fn *done,
                                              void *ctx);
void ag_pool_submit(struct ag_steward *st, struct ag_task *op); /* loop thread; takes it */
void ag_pool_deliver(struct ag_steward *st);                    /* loop thread: what is done */
bool ag_pool_is_idle(struct ag_steward *st);
/* After quit: true when all threads have ended; they are joined then. Loop thread. */
bool ag_pool_join(struct ag_steward *st);

/* One function for each method: writes the result as one value. It may have written some when it fails:
 * that is thrown away. */
#define ANTAG_ROW(name, params, locked, who, files, guard)                                         \
    enum antag_err ag_op_##name(struct ag_steward *st, struct ag_task *op, struct antag_writer *w, \
                                struct antag_fault *fault);
ANTAG_STAFF_METHODS(ANTAG_ROW)
#undef ANTAG_ROW

/* Runs an operation to its answer; on a thread that may wait. */
void ag_task_run(struct ag_steward *st, struct ag_task *op);
/* Runs one for its effect: no answer is made. On a thread that may wait. */
ANTAG_MUST_CHECK enum antag_err ag_task_do(struct ag_steward *st, struct ag_task *op,
                                           struct antag_fault *fault);
/* Another operation as a part of this one, by the same user; params: struct of that method's, borrowed. */
ANTAG_MUST_CHECK enum antag_err ag_task_do_part(struct ag_steward *st, const struct ag_task *op,
                                                enum antag_staff_method which, void *params,
                                                struct antag_fault *fault);

#endif
