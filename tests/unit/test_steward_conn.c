/* A connection to staff.sock, between bytes and frames: every cut, every limit, every stray descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/steward/staffconn.h"
#include "tests/support/rows.h"

static void open_pair(struct ag_staffconn *c, int *peer)
{
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    memset(c, 0, sizeof *c);
    c->fd = fds[0];
    *peer = fds[1];
}

static void close_pair(struct ag_staffconn *c, int peer)
{
    ag_staffconn_fini(c);
    close(c->fd);
    if (peer >= 0)
        close(peer);
}

/* `count` descriptors with `len` bytes in one message */
static void send_with(int fd, const void *bytes, size_t len, const int *fds, size_t count)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int) * 16)];
    } control;
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    struct cmsghdr *head;

    memset(&control, 0, sizeof control);
    if (count > 0) {
        msg.msg_control = control.room;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * count);
    }
    CU_ASSERT_EQUAL(sendmsg(fd, &msg, MSG_NOSIGNAL), (ssize_t)len);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static bool take_is(struct ag_staffconn *c, const char *text, size_t files)
{
    int fds[AG_OP_FILES_MAX + 1];
    size_t len, count;
    uint8_t *body;
    bool same;

    ag_staffconn_take(c, &body, &len, fds, &count);
    same = len == strlen(text) && memcmp(body, text, len) == 0 && count == files;
    free(body);
    while (count > 0)
        close(fds[--count]);
    return same;
}

static const uint8_t hello[] = {0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o'};

static void test_each_cut(void)
{
    for (size_t cut = 1; cut < sizeof hello; cut++) {
        struct ag_staffconn c;
        int peer;

        open_pair(&c, &peer);
        send_with(peer, hello, cut, NULL, 0);
        CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_MORE);
        send_with(peer, hello + cut, sizeof hello - cut, NULL, 0);
        CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_FRAME);
        CU_ASSERT_TRUE(take_is(&c, "hello", 0));
        CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_MORE);
        close_pair(&c, peer);
    }
}

static void test_each_prefix_then_the_end(void)
{
    for (size_t len = 0; len < sizeof hello; len++) {
        struct ag_staffconn c;
        int peer;

        open_pair(&c, &peer);
        if (len > 0)
            send_with(peer, hello, len, NULL, 0);
        close(peer);
        CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_END);
        close_pair(&c, -1);
    }
}

static void test_two_frames_in_one_write(void)
{
    static const uint8_t two[] = {0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'c'};
    struct ag_staffconn c;
    int peer;

    open_pair(&c, &peer);
    send_with(peer, two, sizeof two, NULL, 0);
    CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_FRAME);
    CU_ASSERT_TRUE(take_is(&c, "a", 0));
    CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_FRAME);
    CU_ASSERT_TRUE(take_is(&c, "bc", 0));
    close_pair(&c, peer);
}

static const struct {
    const char *row;
    uint32_t len;
    enum ag_conn_read read;
    enum antag_err err;
} lengths[] = {
    {"empty", 0, AG_CONN_BAD, ANTAG_ERR_BAD_FRAME},
    {"smallest", 1, AG_CONN_MORE, ANTAG_OK},
    {"largest", AG_STAFF_FRAME_MAX, AG_CONN_MORE, ANTAG_OK},
    {"over", AG_STAFF_FRAME_MAX + 1, AG_CONN_BAD, ANTAG_ERR_FRAME_TOO_LARGE},
    {"all bits", UINT32_MAX, AG_CONN_BAD, ANTAG_ERR_FRAME_TOO_LARGE},
};

static void test_lengths(void)
{
    for (size_t i = 0; i < ROW_COUNT(lengths); i++) {
        uint32_t len = lengths[i].len;
        uint8_t head[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
                           (uint8_t)len};
        struct antag_fault f = {0};
        struct ag_staffconn c;
        int peer;

        open_pair(&c, &peer);
        send_with(peer, head, sizeof head, NULL, 0);
        ROW_ASSERT(lengths[i].row, ag_staffconn_read(&c, &f) == lengths[i].read);
        ROW_ASSERT(lengths[i].row, lengths[i].read != AG_CONN_BAD || f.err == lengths[i].err);
        close_pair(&c, peer);
    }
}

/* where descriptors come, and how many */
static const struct {
    const char *row;
    size_t at, count;
    enum ag_conn_read read;
} files[] = {
    {"one with the first byte", 0, 1, AG_CONN_FRAME},
    {"two with the first byte", 0, 2, AG_CONN_FRAME},
    {"three", 0, 3, AG_CONN_BAD},
    {"more than there is room for", 0, 4, AG_CONN_BAD},
    {"more than the kernel passes on", 0, 12, AG_CONN_BAD},
    {"with the second byte", 1, 1, AG_CONN_BAD},
    {"with the first byte of the body", 4, 1, AG_CONN_BAD},
    {"with the last byte", 8, 1, AG_CONN_BAD},
};

static void test_files(void)
{
    unsigned before = open_descriptors();

    for (size_t i = 0; i < ROW_COUNT(files); i++) {
        size_t at = files[i].at;
        struct antag_fault f = {0};
        struct ag_staffconn c;
        enum ag_conn_read got;
        int peer, memory = memfd_create("test", MFD_CLOEXEC), passed[16];

        for (size_t k = 0; k < 16; k++)
            passed[k] = memory;
        open_pair(&c, &peer);
        if (at > 0)
            send_with(peer, hello, at, NULL, 0);
        send_with(peer, hello + at, sizeof hello - at, passed, files[i].count);
        got = ag_staffconn_read(&c, &f);
        ROW_ASSERT(files[i].row, got == files[i].read);
        if (got == AG_CONN_FRAME)
            ROW_ASSERT(files[i].row, take_is(&c, "hello", files[i].count));
        else
            ROW_ASSERT(files[i].row, f.err == ANTAG_ERR_BAD_FRAME);
        close_pair(&c, peer);
        close(memory);
        ROW_ASSERT(files[i].row, open_descriptors() == before); /* none is left open */
    }
}

/* Each frame has its own files. */
static void test_files_of_the_second_frame(void)
{
    struct ag_staffconn c;
    int peer, memory = memfd_create("test", MFD_CLOEXEC);

    open_pair(&c, &peer);
    send_with(peer, hello, sizeof hello, NULL, 0);
    send_with(peer, hello, sizeof hello, &memory, 1);
    CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_FRAME);
    CU_ASSERT_TRUE(take_is(&c, "hello", 0));
    CU_ASSERT_EQUAL(ag_staffconn_read(&c, NULL), AG_CONN_FRAME);
    CU_ASSERT_TRUE(take_is(&c, "hello", 1));
    close_pair(&c, peer);
    close(memory);
}

static void test_a_large_answer_to_a_slow_reader(void)
{
    const size_t len = 1024 * 1024;
    struct ag_staffconn c;
    uint8_t *message = calloc(1, len), buf[65536];
    size_t got = 0;
    int peer;

    CU_ASSERT_PTR_NOT_NULL_FATAL(message);
    open_pair(&c, &peer);
    CU_ASSERT_EQUAL(ag_staffconn_put(&c, (struct antag_slice){message, len}), ANTAG_OK);
    CU_ASSERT_TRUE(ag_staffconn_write(&c));
    CU_ASSERT_PTR_NOT_NULL(c.out); /* the socket is full */
    while (got < len + 4) {
        ssize_t n = recv(peer, buf, sizeof buf, MSG_DONTWAIT);

        if (n > 0)
            got += (size_t)n;
        else if (n == 0 || errno != EAGAIN || !ag_staffconn_write(&c))
            break;
    }
    CU_ASSERT_EQUAL(got, len + 4);
    CU_ASSERT_PTR_NULL(c.out);
    close(peer);
    CU_ASSERT_EQUAL(ag_staffconn_put(&c, (struct antag_slice){message, 1}), ANTAG_OK);
    CU_ASSERT_FALSE(ag_staffconn_write(&c)); /* gone: no signal, no wait */
    close_pair(&c, -1);
    free(message);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"each cut", test_each_cut},
        {"each prefix, then the end", test_each_prefix_then_the_end},
        {"two frames in one write", test_two_frames_in_one_write},
        {"lengths", test_lengths},
        {"memory files", test_files},
        {"memory files of the second frame", test_files_of_the_second_frame},
        {"a large answer to a slow reader", test_a_large_answer_to_a_slow_reader},
        CU_TEST_INFO_NULL,
    };

    return run_tests("steward_conn", tests);
}
