#include "agent/front/view.h"

#include <stdlib.h>
#include <unistd.h>

void ag_front_wake(int eventfd)
{
    uint64_t one = 1;

    /* The only failure of a valid eventfd is a full counter, and then it is readable anyway. */
    if (write(eventfd, &one, sizeof(one)) < 0)
        return;
}

struct ag_view *ag_view_new(uint64_t seq, struct ag_snapshot *snap, const struct ag_conf *conf,
                            const struct ag_secret *token_key, int main_wake)
{
    struct ag_view *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    if (token_key && !(v->token_key = ag_secret_copy(token_key))) {
        free(v);
        return NULL;
    }
    atomic_init(&v->refs, 1);
    v->seq = seq;
    v->snap = ag_snapshot_hold(snap);
    v->conf = *conf;
    v->main_wake = main_wake;
    return v;
}

void ag_view_free(struct ag_view *v)
{
    ag_snapshot_release(v->snap);
    ag_secret_free(v->token_key);
    free(v);
}

struct ag_view *ag_view_hold(struct ag_view *v)
{
    atomic_fetch_add_explicit(&v->refs, 1, memory_order_relaxed);
    return v;
}

void ag_view_release(struct ag_view *v)
{
    int wake;

    if (!v)
        return;
    wake = v->main_wake; /* read before the release: the main thread may free `v` right after it */
    if (atomic_fetch_sub_explicit(&v->refs, 1, memory_order_acq_rel) == 1)
        ag_front_wake(wake);
}

enum ag_agent_state ag_view_state(const struct ag_view *v)
{
    return v->state == AG_STATE_UNLOCKED && !v->snap ? AG_STATE_STARTING : v->state;
}

enum antag_err ag_view_refuse(const struct ag_view *v, struct antag_fault *fault)
{
    bool why = v->reason[0] != '\0';

    switch (ag_view_state(v)) {
    case AG_STATE_LOCKED: /* the reason says what opens it */
        return antag_fault_set(fault, ANTAG_ERR_LOCKED, NULL, "the agent is locked%s%s",
                               why ? ": " : "; staff opens it with `antomctl unlock`", v->reason);
    case AG_STATE_FAILED:
        return antag_fault_set(fault, ANTAG_ERR_REGISTRY, NULL,
                               "the agent has failed%s%s; its log and antomctl status say more",
                               why ? ": " : "", v->reason);
    case AG_STATE_STARTING:
    case AG_STATE_UNLOCKED:
        break;
    }
    return antag_fault_set(fault, ANTAG_ERR_NOT_READY, NULL, "the agent is starting%s%s",
                           why ? ": " : "", v->reason);
}
