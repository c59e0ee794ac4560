/* chan: messages, answers, descriptors and secrets between two ends on one loop; and what becomes of them
 * when an end goes away or sends what no role sends. */
#include <CUnit/Basic.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/lib/chan.h"
#include "agent/lib/log.h"
#include "proto/params.h"

struct end {
    struct ag_chan *chan;
    int messages, closed, secrets;
    char last[64], label[64];
    uint8_t secret[64];
    size_t secret_len;
    int fd; /* taken from the last message */
    enum { ANSWER, REFUSE, SILENT, CLOSE } mode;
};

static uv_loop_t loop;
static struct end left, right;
static int raw = -1; /* the bare other end, where a test plays it */

static void on_message(struct ag_chan *c, const struct antag_message *m, struct ag_fds *fds,
                       void *ctx)
{
    struct end *e = ctx;
    struct antag_fault fault;

    e->messages++;
    (void)antag_slice_copy(m->name, e->last, sizeof e->last);
    e->fd = ag_fds_take(fds, 0);
    if (m->shape != ANTAG_REQUEST)
        return;
    if (e->mode == ANSWER) {
        ag_chan_answer_ok(c, m->id);
    } else if (e->mode == REFUSE) {
        antag_fault_set(&fault, ANTAG_ERR_KEY_STATE, "version", "is suspended");
        ag_chan_refuse(c, m->id, &fault);
    } else if (e->mode == CLOSE) {
        ag_chan_close(c);
        e->chan = NULL;
    }
}

static void on_secret(struct ag_chan *c, const char *label, struct ag_secret *secret, void *ctx)
{
    struct end *e = ctx;

    (void)c;
    e->secrets++;
    snprintf(e->label, sizeof e->label, "%s", label);
    e->secret_len = ag_secret_len(secret);
    memcpy(e->secret, ag_secret_bytes(secret), e->secret_len);
    ag_secret_free(secret);
}

static void on_closed(struct ag_chan *c, void *ctx)
{
    struct end *e = ctx;

    (void)c;
    e->closed++;
}

static const struct ag_chan_ops ops = {on_message, NULL, on_closed};
static const struct ag_chan_ops secret_ops = {on_message, on_secret, on_closed};

static void spin(void)
{
    for (int i = 0; i < 50; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(200);
    }
}

/* Run the loop until *what is `want`: for what takes real time on a busy machine. */
static void spin_until(const atomic_int *what, int want)
{
    for (int i = 0; i < 100000 && atomic_load(what) != want; i++) {
        uv_run(&loop, UV_RUN_NOWAIT);
        usleep(200);
    }
    CU_ASSERT_EQUAL(atomic_load(what), want);
}

static void set_up(const struct ag_chan_ops *right_ops)
{
    int pair[2];

    memset(&left, 0, sizeof left);
    memset(&right, 0, sizeof right);
    left.fd = right.fd = -1;
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    CU_ASSERT_EQUAL_FATAL(ag_chan_open(&loop, pair[0], "left", &ops, &left, &left.chan), ANTAG_OK);
    if (right_ops == NULL) {
        raw = pair[1];
        return;
    }
    CU_ASSERT_EQUAL_FATAL(ag_chan_open(&loop, pair[1], "right", right_ops, &right, &right.chan),
                          ANTAG_OK);
}

static void tear_down(void)
{
    ag_chan_close(left.chan);
    ag_chan_close(right.chan);
    if (raw >= 0)
        close(raw);
    raw = -1;
    spin();
}

static void write_request(struct antag_writer *w, uint32_t id, const char *method)
{
    antag_writer_init(w, 4096);
    antag_m_request(w, id, method);
    antag_w_map(w);
    antag_w_end(w);
    antag_m_close(w);
}

struct outcome {
    atomic_int calls;
    enum antag_err err;
    bool has_result;
    char field[64];
};

static void on_reply(struct ag_reply *r, void *ctx)
{
    struct outcome *o = ctx;

    o->calls++;
    o->err = r->fault.err;
    o->has_result = r->result != NULL;
    snprintf(o->field, sizeof o->field, "%s", r->fault.field);
}

static void ask(struct outcome *o, int64_t timeout_ms)
{
    struct antag_writer w;
    uint32_t id = ag_chan_next_id(left.chan);

    memset(o, 0, sizeof *o);
    write_request(&w, id, "do");
    ag_chan_ask(left.chan, id, &w, NULL, 0, timeout_ms, on_reply, o);
    antag_writer_fini(&w);
}

static void test_answers(void)
{
    static const struct {
        const char *name;
        int mode;
        enum antag_err err;
        bool result;
    } rows[] = {
        {"answered", ANSWER, ANTAG_OK, true},
        {"refused", REFUSE, ANTAG_ERR_KEY_STATE, false},
        {"not answered", SILENT, ANTAG_ERR_TIMEOUT, false},
        {"other end closes", CLOSE, ANTAG_ERR_RETRY, false},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct outcome o;

        set_up(&ops);
        right.mode = rows[i].mode;
        ask(&o, rows[i].mode == SILENT ? 5 : 20000);
        CU_ASSERT_EQUAL(o.calls, 0);
        spin_until(&o.calls, 1);
        spin();
        if (o.calls != 1 || o.err != rows[i].err || o.has_result != rows[i].result)
            fprintf(stderr, "row %s: %d calls, %s\n", rows[i].name, o.calls, antag_err_name(o.err));
        CU_ASSERT_EQUAL(o.calls, 1);
        CU_ASSERT_EQUAL(o.err, rows[i].err);
        CU_ASSERT_EQUAL(o.has_result, rows[i].result);
        CU_ASSERT_STRING_EQUAL(o.field, rows[i].mode == REFUSE ? "version" : "");
        CU_ASSERT_EQUAL(left.closed, rows[i].mode == CLOSE ? 1 : 0);
        tear_down();
        CU_ASSERT_EQUAL(o.calls, 1);
    }
}

static void test_close_ends_every_request_once(void)
{
    struct outcome o[20];

    set_up(&ops);
    right.mode = SILENT;
    for (size_t i = 0; i < 20; i++)
        ask(&o[i], 60000);
    ag_chan_close(left.chan);
    left.chan = NULL;
    spin();
    for (size_t i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(o[i].calls, 1);
        CU_ASSERT_EQUAL(o[i].err, ANTAG_ERR_RETRY);
    }
    CU_ASSERT_EQUAL(left.closed, 0);
    tear_down();
}

static void test_descriptors(void)
{
    struct antag_writer w;
    int pipes[2];
    char byte = 0;

    set_up(&ops);
    CU_ASSERT_EQUAL_FATAL(pipe2(pipes, O_CLOEXEC), 0);
    antag_writer_init(&w, 256);
    antag_m_event(&w, "take");
    antag_w_map(&w);
    antag_w_end(&w);
    antag_m_close(&w);
    CU_ASSERT_EQUAL(ag_chan_send(left.chan, &w, &pipes[1], 1), ANTAG_OK);
    antag_writer_fini(&w);
    spin();
    CU_ASSERT_STRING_EQUAL(right.last, "take");
    CU_ASSERT_FATAL(right.fd >= 0);
    CU_ASSERT_EQUAL(fcntl(right.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    CU_ASSERT_EQUAL(write(right.fd, "x", 1), 1);
    CU_ASSERT_EQUAL(read(pipes[0], &byte, 1), 1);
    CU_ASSERT_EQUAL(byte, 'x');
    close(right.fd);
    close(pipes[0]);
    close(pipes[1]);
    tear_down();
}

static void test_secrets(void)
{
    struct ag_secret *s = ag_secret_new(32);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    ag_secret_set_len(s, 32);
    memset(ag_secret_bytes(s), 7, 32);
    set_up(&secret_ops);
    CU_ASSERT_EQUAL(ag_chan_send_secret(left.chan, "keyring:soft", s), ANTAG_OK);
    spin();
    CU_ASSERT_EQUAL(right.secrets, 1);
    CU_ASSERT_STRING_EQUAL(right.label, "keyring:soft");
    CU_ASSERT_EQUAL(right.secret_len, 32);
    CU_ASSERT_EQUAL(memcmp(right.secret, ag_secret_bytes(s), 32), 0); /* public: a test's */
    tear_down();
    set_up(&ops); /* an end that takes no secrets ends the channel */
    CU_ASSERT_EQUAL(ag_chan_send_secret(left.chan, "keyring:soft", s), ANTAG_OK);
    spin();
    CU_ASSERT_EQUAL(right.secrets, 0);
    CU_ASSERT_EQUAL(right.closed, 1);
    tear_down();
    ag_secret_free(s);
}

static void test_malformed_packets(void)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
        bool closes;
    } rows[] = {
        {"an event", "\x93\x02\xa1x\x80", 5, false},
        {"an answer nobody waits for", "\x94\x01\x07\xc0\x80", 5, false},
        {"one byte", "\xc0", 1, true},
        {"cut", "\x93\x02\xa1", 3, true},
        {"two messages in a packet", "\x93\x02\xa1x\x80\x93\x02\xa1x\x80", 10, true},
        {"an array of 2^32-1", "\xdd\xff\xff\xff\xff", 5, true},
        {"a secret", "\xc1\x01xyz", 5, true},
        {"a secret with a label longer than it", "\xc1\xff", 2, true},
        {"text", "hello", 5, true},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        set_up(NULL);
        CU_ASSERT_EQUAL(send(raw, rows[i].bytes, rows[i].len, 0), (ssize_t)rows[i].len);
        spin();
        if (left.closed != (int)rows[i].closes)
            fprintf(stderr, "row %s: closed %d\n", rows[i].name, left.closed);
        CU_ASSERT_EQUAL(left.closed, (int)rows[i].closes);
        tear_down();
    }
}

static void test_end_of_peer(void)
{
    struct antag_writer w;

    set_up(NULL);
    close(raw);
    raw = -1;
    spin();
    CU_ASSERT_EQUAL(left.closed, 1);
    CU_ASSERT_FALSE(ag_chan_is_open(left.chan));
    write_request(&w, 1, "late");
    CU_ASSERT_EQUAL(ag_chan_send(left.chan, &w, NULL, 0), ANTAG_ERR_RETRY);
    antag_writer_fini(&w);
    tear_down();
}

/* A peer that does not read: packets wait in a bounded queue, in order, and none is lost up to BUSY. */
static void test_slow_peer(void)
{
    struct antag_writer w;
    enum antag_err err = ANTAG_OK;
    int sent = 0, received = 0;
    char buf[8192];

    set_up(NULL);
    write_request(&w, 1, "again");
    while (sent < 100000 && (err = ag_chan_send(left.chan, &w, NULL, 0)) == ANTAG_OK)
        sent++;
    antag_writer_fini(&w);
    CU_ASSERT_EQUAL(err, ANTAG_ERR_BUSY);
    CU_ASSERT(sent > 1000);
    for (int idle = 0; idle < 20;) {
        uv_run(&loop, UV_RUN_NOWAIT);
        if (recv(raw, buf, sizeof buf, MSG_DONTWAIT) > 0) {
            received++;
            idle = 0;
        } else {
            idle++;
        }
    }
    CU_ASSERT_EQUAL(received, sent);
    tear_down();
}

static void test_too_large(void)
{
    struct antag_writer w;
    uint8_t *big = calloc(1, AG_CHAN_PACKET_MAX);

    CU_ASSERT_PTR_NOT_NULL_FATAL(big);
    set_up(&ops);
    antag_writer_init(&w, 4 * AG_CHAN_PACKET_MAX);
    antag_m_event(&w, "big");
    antag_w_bin(&w, (struct antag_slice){big, AG_CHAN_PACKET_MAX});
    antag_m_close(&w);
    CU_ASSERT_EQUAL(ag_chan_send(left.chan, &w, NULL, 0), ANTAG_ERR_FRAME_TOO_LARGE);
    antag_writer_fini(&w);
    free(big);
    tear_down();
}

/* ---- calls from other threads */

static atomic_int callers_done;

struct caller {
    pthread_t thread;
    int ok, retry, other;
    int64_t timeout_ms;
    int rounds;
};

static void *call_many(void *arg)
{
    struct caller *c = arg;

    for (int i = 0; i < c->rounds; i++) {
        struct ag_reply r;
        struct antag_writer w;
        uint32_t id = ag_chan_next_id(left.chan);
        enum antag_err err;

        write_request(&w, id, "do");
        err = ag_chan_call(left.chan, id, &w, NULL, 0, c->timeout_ms, &r);
        c->ok += err == ANTAG_OK && r.result != NULL;
        c->retry += err == ANTAG_ERR_RETRY;
        c->other += err != ANTAG_OK && err != ANTAG_ERR_RETRY;
        ag_reply_fini(&r);
        antag_writer_fini(&w);
    }
    atomic_fetch_add(&callers_done, 1);
    return NULL;
}

static void start_callers(struct caller *callers, size_t n)
{
    atomic_store(&callers_done, 0);
    for (size_t i = 0; i < n; i++)
        pthread_create(&callers[i].thread, NULL, call_many, &callers[i]);
}

static void test_calls_from_threads(void)
{
    struct caller callers[4];
    int ok = 0;

    set_up(&ops);
    right.mode = ANSWER;
    for (size_t i = 0; i < 4; i++)
        callers[i] = (struct caller){.timeout_ms = 20000, .rounds = 200};
    start_callers(callers, 4);
    spin_until(&callers_done, 4);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(callers[i].thread, NULL);
        ok += callers[i].ok;
        CU_ASSERT_EQUAL(callers[i].other, 0);
    }
    CU_ASSERT_EQUAL(ok, 800);
    tear_down();
}

static void test_call_times_out_and_ends_with_the_channel(void)
{
    struct caller c = {.timeout_ms = 20, .rounds = 1};

    set_up(&ops);
    right.mode = SILENT;
    start_callers(&c, 1);
    spin_until(&callers_done, 1);
    pthread_join(c.thread, NULL);
    CU_ASSERT_EQUAL(c.other, 1); /* TIMEOUT */
    c = (struct caller){.timeout_ms = 60000, .rounds = 1};
    ag_chan_hold(left.chan);
    start_callers(&c, 1);
    while (right.messages < 2) /* its request has arrived, and gets no answer */
        uv_run(&loop, UV_RUN_NOWAIT);
    ag_chan_close(left.chan);
    pthread_join(c.thread, NULL);
    CU_ASSERT_EQUAL(c.retry, 1);
    ag_chan_release(left.chan);
    left.chan = NULL;
    tear_down();
}

int main(void)
{
    CU_pSuite suite;
    unsigned failures;

    ag_log_setup("test", AG_LOG_ERROR);
    if (ag_secret_setup(NULL) != ANTAG_OK || uv_loop_init(&loop) != 0 ||
        CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    suite = CU_add_suite("chan", NULL, NULL);
    CU_add_test(suite, "a request is answered, refused, late or lost, once", test_answers);
    CU_add_test(suite, "closing ends every request once", test_close_ends_every_request_once);
    CU_add_test(suite, "descriptors travel", test_descriptors);
    CU_add_test(suite, "secrets travel, but only where they are taken", test_secrets);
    CU_add_test(suite, "malformed packets end the channel and nothing else",
                test_malformed_packets);
    CU_add_test(suite, "the end of the peer is told once", test_end_of_peer);
    CU_add_test(suite, "a peer that does not read", test_slow_peer);
    CU_add_test(suite, "a packet over the limit", test_too_large);
    CU_add_test(suite, "calls from four threads", test_calls_from_threads);
    CU_add_test(suite, "a call times out, or ends with its channel",
                test_call_times_out_and_ends_with_the_channel);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    uv_loop_close(&loop);
    return failures == 0 ? 0 : 1;
}
