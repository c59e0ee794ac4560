/* child: one incarnation of a role process and its control channel. */
#ifndef AG_SUPERVISOR_CHILD_H
#define AG_SUPERVISOR_CHILD_H

#include <uv.h>

#include "agent/lib/role.h"

struct ag_child;
struct ag_child_ops {
    void (*on_message)(struct ag_child *c, const struct antag_message *m, struct ag_fds *fds);
    void (*on_secret)(struct ag_child *c, const char *label,
                      struct ag_secret *secret); /* or NULL */
    /* The process has ended. `c` is freed afterwards. */
    void (*on_exit)(struct ag_child *c, int64_t status, int signal);
};

struct ag_child {
    enum ag_role_kind kind;
    char name[ANTAG_KEYRING_MAX + 1];
    const struct ag_child_ops *ops;
    void *ctx;
    uv_process_t process;
    struct ag_chan *control; /* NULL once broken */
    int pid;
    int64_t since_ms; /* wall */
    int64_t since_mono_ms;
    bool ready;
    struct ag_chan_ops chan_ops_;
};

/* Start `kind`. on_exit runs exactly once for a child that was started. errors: IO, NO_MEMORY */
ANTAG_MUST_CHECK enum antag_err ag_child_spawn(uv_loop_t *loop, enum ag_role_kind kind,
                                               const char *name, const struct ag_child_ops *ops,
                                               void *ctx, struct ag_child **out);
/* Messages to a child. A failure to send shows as its end: it is killed, and said in the log. */
void ag_child_send(struct ag_child *c, struct antag_writer *w, const int *fds, size_t fd_count);
void ag_child_send_secret(struct ag_child *c, const char *label, const struct ag_secret *secret);
/* start, with `listen_fd` (-1: none), borrowed */
void ag_child_start(struct ag_child *c, const struct ag_role_start *start, const char *conf_text,
                    int listen_fd);
void ag_child_event(struct ag_child *c, const char *event); /* no params */
void ag_child_conf(struct ag_child *c, const char *conf_text);
/* task of an opener; type may be NULL, fd -1 */
void ag_child_task(struct ag_child *c, const char *task, const char *type, int fd);
void ag_child_kill(struct ag_child *c, int signal);
/* The fault in the params of a role's event `failed`; a code that is none becomes INTERNAL. */
void ag_child_read_error(const struct antag_message *m, struct antag_fault *out);

/* A fresh pair between two children. */
void ag_child_join(struct ag_child *a, struct ag_child *b, uint32_t lane);
/* One end for `c` as its peer `peer_kind`, the other end returned; -1 on failure. */
int ag_child_give_peer(struct ag_child *c, enum ag_role_kind peer, const char *peer_name,
                       uint32_t lane);

#endif
