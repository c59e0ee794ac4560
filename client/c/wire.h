/* wire: one connection to agent.sock, its frames and the requests in flight. No thread, no waiting; both ways
 * of using the library stand on it. Allocates while its buffers grow, and not after. */
#ifndef ANTAG_CLIENT_WIRE_H
#define ANTAG_CLIENT_WIRE_H

#include "antag/client.h"
#include "proto/message.h"

#define ANTAG__QUEUE_PAUSE_MS                                                                      \
    10 /* before connecting again, when the queue of the agent's socket was full */

enum antag__kind {
    ANTAG__FREE,
    ANTAG__HELLO,
    ANTAG__SIGN,
    ANTAG__VERIFY,
    ANTAG__HEALTH,
    ANTAG__WATCH
};

/* what the agent takes on one connection */
struct antag__limits {
    uint64_t requests, bytes; /* in flight */
};
/* the result of any kind */
union antag__result {
    struct antag_signed sign;
    struct antag_verified verify;
    struct antag_health health;
    struct antag_event event;    /* of a watch: what it begins with */
    struct antag__limits limits; /* of hello */
};

struct antag__wire;
/* Ends one request: `err` OK with a result, or a fault. Called once for each that was submitted. */
typedef void antag__ended(struct antag__wire *w, void *tag, const union antag__result *result,
                          const struct antag_fault *fault);

/* An event of the agent, or LOST when a watch was lost. */
typedef void antag__told(struct antag__wire *w, const struct antag_event *event);

struct antag__slot {
    enum antag__kind kind;
    uint32_t id;
    int64_t due_ms; /* monotonic */
    size_t bytes;   /* of its frame */
    void *tag;
};
struct antag__wire {
    char path[108], name[ANTAG_CLIENT_MAX + 1];
    int64_t timeout_ms;
    antag__ended *ended;
    antag__told *told; /* NULL: nobody watches */
    int fd;            /* -1: not connected */
    bool
        queue_full; /* why it is not, when the last submit was UNREACHABLE: trying again soon may help */
    uint32_t next_id;
    struct antag__slot slots[ANTAG_INFLIGHT_PER_CONN];
    size_t in_flight, bytes; /* hello is not counted */
    struct antag__limits limits;
    bool draining; /* the agent is stopping: nothing new on this connection */
    bool stepping; /* what is submitted meanwhile is written together, at the end of the step */
    struct antag_writer writer;
    uint8_t *out, *in;                               /* owned */
    size_t out_at, out_len, out_cap, in_len, in_cap; /* out_at: what is before it was sent */
    struct antag_decoder decoder;
    bool decoder_made;
    struct antag_fault last; /* an answer with id nil: why the connection is about to end */
    union antag__result result;
};

int64_t antag__now_ms(void);
ANTAG_MUST_CHECK enum antag_err antag__wire_init(struct antag__wire *w,
                                                 const struct antag_client_conf *conf,
                                                 antag__ended *ended, struct antag_fault *fault);
void antag__wire_fini(struct antag__wire *w); /* ends what is in flight with RETRY */

/* Connects when it must, and writes what the socket takes. errors: UNREACHABLE, BUSY, NO_MEMORY, BAD_PARAM; then
 * `ended` is not called. `write` writes the params map. */
typedef void antag__write(struct antag_writer *w, const void *call, int64_t deadline_ms);
ANTAG_MUST_CHECK enum antag_err antag__wire_submit(struct antag__wire *w, enum antag__kind kind,
                                                   const char *method, antag__write *write,
                                                   const void *call, int64_t due_ms, void *tag,
                                                   struct antag_fault *fault);
/* Reads, writes, ends requests whose time is over. */
void antag__wire_step(struct antag__wire *w);
/* Gives up the connection: all in flight end with `fault`. */
void antag__wire_drop(struct antag__wire *w, const struct antag_fault *fault);
bool antag__wire_wants_write(const struct antag__wire *w);
/* Would the agent take a request with a body of so many bytes beside those in flight, and would it still answer it? */
bool antag__wire_has_room(const struct antag__wire *w, size_t body_len);
int64_t antag__wire_due_ms(const struct antag__wire *w); /* monotonic; -1: none */

/* ---- calls.c */
/* The member `headers` of a verify; antomctl needs it for explain, which the library does not offer. */
void antag__write_headers(struct antag_writer *w, const struct antag_header *h, size_t count);
antag__write antag__write_hello, antag__write_sign, antag__write_verify, antag__write_health;
ANTAG_MUST_CHECK enum antag_err antag__check_sign(const struct antag_sign_call *call,
                                                  struct antag_fault *fault);
ANTAG_MUST_CHECK enum antag_err antag__check_verify(const struct antag_verify_call *call,
                                                    struct antag_fault *fault);
/* errors: BAD_FRAME: the answer is not what such a request gets. */
/* False: an event that is not known, or not as it must be. */
bool antag__read_event(const struct antag_message *m, struct antag_event *out);
ANTAG_MUST_CHECK enum antag_err antag__read_result(enum antag__kind kind, const msgpack_object *o,
                                                   union antag__result *out);

#endif
