/* scale: one shape of load on an agent, with idle connections beside it if wanted.
 *   antag-scale --socket S --pid N --key PEM --op sign|verify [--connections N] [--depth N] [--body BYTES] [--idle N] [--ms N]
 * Prints one JSON object: ops, rate, p50_us, p99_us (of requests that do not overlap), client_us and the CPU of each role a request.
 * With --hold it opens the idle connections, prints a line, and waits for the end of standard input instead. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/bench/bench.h"

#define CLIENT_ID "SANDBOX_5X00000000000001"

struct options {
    struct load load;
    const char *key;
    unsigned idle, ms, body;
    bool hold;
};

/* A greeting, so that it is not taken for a connection that says nothing: request 1, "hello". */
static bool greet(int fd)
{
    static const uint8_t hello[] = {0, 0, 0, 10, 0x94, 0, 1, 0xa5, 'h', 'e', 'l', 'l', 'o', 0x80};
    uint8_t head[4], answer[8192];
    size_t len;

    if (send(fd, hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello ||
        recv(fd, head, 4, MSG_WAITALL) != 4)
        return false;
    len = (size_t)head[2] << 8 | head[3];
    return len <= sizeof answer && recv(fd, answer, len, MSG_WAITALL) == (ssize_t)len;
}

static bool open_idle(const char *path, unsigned count)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    for (unsigned i = 0; i < count; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0 || !greet(fd))
            return fail(path, strerror(errno));
    }
    return true;
}

static void raise_files(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
    }
}

static bool read_options(int argc, char **argv, struct options *o)
{
    static const struct option list[] = {{"socket", required_argument, NULL, 's'},
                                         {"pid", required_argument, NULL, 'p'},
                                         {"key", required_argument, NULL, 'k'},
                                         {"op", required_argument, NULL, 'o'},
                                         {"connections", required_argument, NULL, 'c'},
                                         {"depth", required_argument, NULL, 'd'},
                                         {"body", required_argument, NULL, 'b'},
                                         {"idle", required_argument, NULL, 'i'},
                                         {"ms", required_argument, NULL, 'm'},
                                         {"hold", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    int c;

    *o = (struct options){.load = {.connections = 1, .depth = 1}, .ms = 1000, .body = 300};
    while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
        unsigned n = optarg == NULL ? 0 : (unsigned)atoi(optarg);

        switch (c) {
        case 's':
            o->load.socket = optarg;
            break;
        case 'p':
            o->load.agent = (pid_t)n;
            break;
        case 'k':
            o->key = optarg;
            break;
        case 'o':
            o->load.op = strcmp(optarg, "verify") == 0 ? OP_VERIFY : OP_SIGN;
            break;
        case 'c':
            o->load.connections = n;
            break;
        case 'd':
            o->load.depth = n;
            break;
        case 'b':
            o->body = n;
            break;
        case 'i':
            o->idle = n;
            break;
        case 'm':
            o->ms = n;
            break;
        case 'h':
            o->hold = true;
            break;
        default:
            return false;
        }
    }
    return o->load.socket != NULL && (o->hold || (o->key != NULL && o->load.agent > 0)) &&
           o->load.connections > 0 && o->load.depth > 0 && o->ms > 0;
}

static int hold(const struct options *o)
{
    char c;

    if (!open_idle(o->load.socket, o->idle))
        return 1;
    puts("open");
    fflush(stdout);
    while (read(STDIN_FILENO, &c, 1) > 0)
        continue;
    return 0;
}

int main(int argc, char **argv)
{
    struct options o;
    struct calls calls;
    struct sample s;
    EVP_PKEY *key;
    char *body;

    raise_files();
    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: antag-scale --socket S --pid N --key PEM --op sign|verify "
                        "[--connections N] [--depth N] [--body BYTES] [--idle N] [--ms N] "
                        "[--hold]\n");
        return 2;
    }
    if (o.hold)
        return hold(&o);
    if ((key = key_load(o.key)) == NULL || (body = malloc(o.body + 1)) == NULL)
        return 1;
    memset(body, 'x', o.body);
    if (!calls_make_of("shop/sandbox", CLIENT_ID, key,
                       (struct antag_slice){(const uint8_t *)body, o.body}, &calls) ||
        !open_idle(o.load.socket, o.idle))
        return 1;
    o.load.calls = &calls;
    if (!load_run(&o.load, o.ms, &s))
        return 1;
    printf(
        "{\"ops\": %llu, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"client_us\": %.2f",
        (unsigned long long)s.ops, s.rate, s.p50_us, s.p99_us, s.client_us);
    for (size_t i = 0; i < ROLE_COUNT; i++)
        printf(", \"%s_us\": %.2f", role_names[i], s.role_us[i]);
    puts("}");
    EVP_PKEY_free(key);
    free(body);
    return 0;
}
