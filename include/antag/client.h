/* client: libantomagent, the C library for payment services. Link with -lantomagent (pkg-config: antomagent).
 *
 * Two ways to use it, on one kind of connection:
 *
 *   blocking    struct antag_client: calls from any number of threads share one connection, pipelined. A
 *               connection that was lost, and a status of class "retry", are repeated once.
 *   event loop  struct antag_async: never blocks. A descriptor to poll, the events to wait for, and
 *               antag_async_step() when they came; each call ends with one completion. One thread.
 *
 * Results fail closed: they are emptied first, and a message is verified only where the call returned ANTAG_OK
 * *and* `verified` is true; a struct of zeros says "not verified".
 *
 * Slices and strings that are passed in are borrowed for the call (for the time of the call, not of its
 * completion). Statuses and classes: antag/status.h. Protocol: PROTOCOL.md. */
#ifndef ANTAG_CLIENT_H
#define ANTAG_CLIENT_H

#include "antag/limits.h"
#include "antag/status.h"
#include "antag/types.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ANTAG_SOCKET_DEFAULT "/run/antom-agent/agent.sock"

struct antag_client_conf {
    const char
        *path; /* of agent.sock; NULL: $ANTOM_AGENT_SOCKET, else ANTAG_SOCKET_DEFAULT; copied */
    const char *name; /* of this client and its version, for the agent's log; NULL: none; copied */
    int64_t timeout_ms; /* of a call that names no deadline; 0: 10,000 */
};

/* ---- what is asked. Texts are terminated; NULL: not given, where that is allowed. */
struct antag_sign_call {
    const char *profile, *method, *uri; /* "shop/live", "POST", "/ams/api/v1/payments/pay" */
    struct antag_slice body;            /* the bytes that will be sent, unchanged */
    const char *time;                   /* Request-Time; NULL: the agent's clock */
    const char *merchant, *trace;       /* may be NULL */
    int64_t deadline_ms;                /* for all of it; 0: the client's timeout_ms */
};
struct antag_header {
    const char *name, *value;
};
struct antag_verify_call {
    const char *profile, *method, *uri; /* of the request; of a notification, the raw target */
    struct antag_slice body;            /* as received, before any parsing */
    const struct antag_header *headers; /* all, or client-id, the time and signature */
    size_t header_count;
    int64_t max_age_ms; /* -1: the profile's; 0: any age */
    const char *trace;  /* may be NULL */
    int64_t deadline_ms;
};

/* ---- what comes back. Texts are terminated. */
struct antag_signed {
    char client_id[ANTAG_CLIENT_ID_MAX + 1];
    char request_time[ANTAG_TIME_MAX + 1];
    char signature[2304]; /* the Signature header */
    char content_type[64];
    char agent_token[ANTAG_TOKEN_MAX + 1]; /* of the merchant it is for; a secret; "": none */
    char uri[ANTAG_URI_MAX + 17];          /* where to send; it may differ from the one given */
    char url[ANTAG_URL_MAX + ANTAG_URI_MAX + 32]; /* "": the profile has no gateway */
    uint32_t version, key_version;
    char record[ANTAG_RECORD_MAX + 1]; /* keep it beside the payment */
};
struct antag_verified {
    bool verified; /* proven to come from Antom */
    uint32_t version;
    char time[ANTAG_TIME_MAX + 1];
    int64_t age_ms;
};
struct antag_health {
    char state[16]; /* ready, locked, starting, failed */
    char reason[256];
};

/* ---- blocking */
struct antag_client;
/* Takes no connection yet: the first call does, and reconnects where it was lost. errors: NO_MEMORY, BAD_PARAM
 * (a path that is too long). */
ANTAG_MUST_CHECK enum antag_err antag_client_open(const struct antag_client_conf *conf,
                                                  struct antag_client **out,
                                                  struct antag_fault *fault);
void antag_client_close(struct antag_client *c); /* no call may be under way; NULL accepted */

/* Any thread. errors: what the agent answers (PROTOCOL.md, section 5), by number; UNREACHABLE; TIMEOUT when
 * no answer came within the deadline; RETRY when the connection ended twice before the answer; BAD_PARAM for
 * what cannot be sent. `fault` (may be NULL) says more. */
ANTAG_MUST_CHECK enum antag_err antag_client_sign(struct antag_client *c,
                                                  const struct antag_sign_call *call,
                                                  struct antag_signed *out,
                                                  struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err antag_client_verify_response(struct antag_client *c,
                                                             const struct antag_verify_call *call,
                                                             struct antag_verified *out,
                                                             struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err
antag_client_verify_notification(struct antag_client *c, const struct antag_verify_call *call,
                                 struct antag_verified *out, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err
antag_client_health(struct antag_client *c, struct antag_health *out, struct antag_fault *fault);

/* ---- event loop */
struct antag_async;
/* The end of one call, exactly once: `fault->err` is ANTAG_OK, and the result of its kind is there, or it is not
 * and all results are empty. Runs inside antag_async_step, antag_async_close or the submitting call; it may
 * submit, but not step or close. */
struct antag_completion {
    const struct antag_fault *fault;
    const struct antag_signed *signed_;    /* of a sign */
    const struct antag_verified *verified; /* of a verify */
    const struct antag_health *health;
};
typedef void antag_done_fn(const struct antag_completion *done, void *ctx);

ANTAG_MUST_CHECK enum antag_err antag_async_open(const struct antag_client_conf *conf,
                                                 struct antag_async **out,
                                                 struct antag_fault *fault);
/* Calls under way end with RETRY. NULL accepted. */
void antag_async_close(struct antag_async *a);

/* What to wait for: -1 (nothing under way, or to be connected anew by the next submit), else the descriptor and
 * POLLIN, POLLOUT. It may change with every call. */
int antag_async_fd(const struct antag_async *a);
short antag_async_events(const struct antag_async *a);
/* Milliseconds until a deadline passes: step then too. -1: none. */
int64_t antag_async_timeout_ms(const struct antag_async *a);
/* Reads, writes, completes. Does not block. */
void antag_async_step(struct antag_async *a);
size_t antag_async_in_flight(const struct antag_async *a); /* at most ANTAG_INFLIGHT_PER_CONN */

/* On an error nothing was submitted and `done` is not called. errors: UNREACHABLE (with retry_after_ms: the queue of the agent's
 * socket is full, as very many connect at once), BUSY (as many are under
 * way as may be), BAD_PARAM, NO_MEMORY. Nothing is repeated by itself: class "retry" is for the caller to act
 * upon. */
ANTAG_MUST_CHECK enum antag_err antag_async_sign(struct antag_async *a,
                                                 const struct antag_sign_call *call,
                                                 antag_done_fn *done, void *ctx,
                                                 struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err antag_async_verify_response(struct antag_async *a,
                                                            const struct antag_verify_call *call,
                                                            antag_done_fn *done, void *ctx,
                                                            struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err
antag_async_verify_notification(struct antag_async *a, const struct antag_verify_call *call,
                                antag_done_fn *done, void *ctx, struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err antag_async_health(struct antag_async *a, antag_done_fn *done,
                                                   void *ctx, struct antag_fault *fault);

/* ---- watch: what changes at the agent, as it happens */
enum antag_event_kind {
    ANTAG_EVENT_EPOCH, /* epoch: another state of the registry is in force; the first one comes at once */
    ANTAG_EVENT_PROFILE,  /* profile signs with another key, or stopped signing, or signs again */
    ANTAG_EVENT_STATE,    /* state, why: locked, unlocked, failed */
    ANTAG_EVENT_LAGGED,   /* epoch: events were left out, as they were not read; look anew */
    ANTAG_EVENT_DRAINING, /* the agent is stopping; the connection ends soon */
    ANTAG_EVENT_LOST, /* the connection has ended, and with it the watch: call antag_async_watch again */
};
struct antag_event {
    enum antag_event_kind kind;
    uint64_t epoch;
    char profile[ANTAG_PROFILE_MAX + 1];
    bool signs;                    /* of a profile */
    char status[32];               /* of a profile: "ready", or the status that a sign gets */
    uint32_t version, key_version; /* of a profile that signs */
    char state[16];
    char why[256]; /* of a state, or of a profile that does not sign; "": not told */
};
/* Runs inside antag_async_step, antag_async_close or a submitting call; it may submit, but not step or close.
 * Events of kinds that this library does not know are skipped. */
typedef void antag_event_fn(const struct antag_event *event, void *ctx);
/* From now on events; one watch a connection, another call replaces the function. `done` as for any call: when it
 * has an error, nothing is watched. The connection goes on taking calls. */
ANTAG_MUST_CHECK enum antag_err antag_async_watch(struct antag_async *a, antag_event_fn *on_event,
                                                  void *event_ctx, antag_done_fn *done, void *ctx,
                                                  struct antag_fault *fault);

#ifdef __cplusplus
}
#endif
#endif
