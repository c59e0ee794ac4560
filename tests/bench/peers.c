/* peers: the same signature (RSA-2048, SHA-256, PKCS#1 v1.5, some 390 bytes to sign) by whatever else holds keys for a process.
 *   antag-peers raw KEY.pem THREADS MS                   OpenSSL in this process, key and context kept
 *   antag-peers agent SOCKET CLIENT-ID THREADS MS        antom-agent: a connection a thread, profile shop/sandbox
 *   antag-peers ssh SOCKET THREADS MS                    ssh-agent, its first key, rsa-sha2-256
 *   antag-peers p11 MODULE LABEL PIN THREADS MS          a PKCS#11 token, its first private key, CKM_SHA256_RSA_PKCS
 *   antag-peers gpg SOCKET KEYGRIP THREADS MS            gpg-agent, PKSIGN
 * Each thread has a connection or session of its own and one signature under way. Prints one JSON object: how many, a second, p50,
 * p99 and CPU of this process a signature, in us. What comes back is of the size of a signature, or the run is refused. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <p11-kit/pkcs11.h>

#include "tests/bench/bench.h"

#define THREADS_MAX 256
#define TIMES_MAX   1000000
#define ANSWER_MAX  8192

static const char text[] = "POST /ams/sandbox/api/v1/payments/pay\n"
                           "SANDBOX_5X00000000000001.1700000000000.";

/* one thread's way to its peer */
struct lane {
    pthread_t thread;
    int fd;
    void *own; /* of the kind */
    double until_us, cpu_us, *times;
    size_t count;
    bool failed;
};
struct kind {
    const char *name;
    int args; /* between the name and THREADS */
    bool (*open)(char **args, struct lane *l);
    bool (*sign)(struct lane *l);
};

static uint8_t data[400];

static bool say(const char *what)
{
    fprintf(stderr, "antag-peers: %s\n", what);
    return false;
}

/* ---- sockets */

static int dial(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    perror(path);
    return -1;
}

static bool write_all(int fd, const void *p, size_t len)
{
    return send(fd, p, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool read_exactly(int fd, void *p, size_t len)
{
    return recv(fd, p, len, MSG_WAITALL) == (ssize_t)len;
}

static uint8_t *put_number(uint8_t *to, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        *to++ = (uint8_t)(n >> (24 - 8 * i));
    return to;
}

static uint32_t number_at(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- raw */

static bool raw_open(char **args, struct lane *l)
{
    static EVP_PKEY *key;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (key == NULL)
        key = key_load(args[0]);
    l->own = ctx;
    return key != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1;
}

static bool raw_sign(struct lane *l)
{
    uint8_t sig[512];
    size_t len = sizeof sig;

    return EVP_DigestSignInit(l->own, NULL, NULL, NULL, NULL) == 1 &&
           EVP_DigestSign(l->own, sig, &len, data, sizeof data) == 1 && len == 256;
}

/* ---- antom-agent */

static bool agent_open(char **args, struct lane *l)
{
    struct antag_client_conf conf = {.path = args[0], .name = "bench"};
    struct antag_client *client = NULL;
    bool good = antag_client_open(&conf, &client, NULL) == ANTAG_OK;

    l->own = client;
    return good;
}

static bool agent_sign(struct lane *l)
{
    const struct antag_sign_call call = {.profile = "shop/sandbox",
                                         .method = "POST",
                                         .uri = "/ams/api/v1/payments/pay",
                                         .body = {data + 78, 300}};
    struct antag_signed s;

    return antag_client_sign(l->own, &call, &s, NULL) == ANTAG_OK && s.signature[0] != '\0';
}

/* ---- ssh-agent: RFC 4251's strings, SSH_AGENTC_REQUEST_IDENTITIES and SSH_AGENTC_SIGN_REQUEST */

struct ssh {
    uint8_t request[2048];
    size_t len;
};

static bool ssh_ask(int fd, const uint8_t *request, size_t len, uint8_t *answer, uint32_t *got)
{
    uint8_t head[4];

    if (!write_all(fd, request, len) || !read_exactly(fd, head, 4))
        return false;
    *got = number_at(head);
    return *got > 0 && *got <= ANSWER_MAX && read_exactly(fd, answer, *got);
}

static bool ssh_open(char **args, struct lane *l)
{
    static const uint8_t list[] = {0, 0, 0, 1, 11};
    struct ssh *s = calloc(1, sizeof *s);
    uint8_t answer[ANSWER_MAX], *at;
    uint32_t got, key;

    l->own = s;
    if (s == NULL || (l->fd = dial(args[0])) < 0 ||
        !ssh_ask(l->fd, list, sizeof list, answer, &got) || answer[0] != 12 || got < 13 ||
        number_at(answer + 1) == 0 || (key = number_at(answer + 5)) > 1024 || key + 9 > got)
        return say("ssh-agent has no key");
    at = put_number(s->request + 4 + 1, key);
    memcpy(at, answer + 9, key);
    at = put_number(at + key, sizeof data);
    memcpy(at, data, sizeof data);
    at = put_number(at + sizeof data, 2); /* SSH_AGENT_RSA_SHA2_256 */
    s->len = (size_t)(at - s->request);
    s->request[4] = 13;
    (void)put_number(s->request, (uint32_t)(s->len - 4));
    return true;
}

static bool ssh_sign(struct lane *l)
{
    const struct ssh *s = l->own;
    uint8_t answer[ANSWER_MAX];
    uint32_t got;

    return ssh_ask(l->fd, s->request, s->len, answer, &got) && answer[0] == 14 && got > 256;
}

/* ---- PKCS#11 */

static CK_FUNCTION_LIST_PTR p11;
struct p11 {
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
};

static bool p11_load(char **args, CK_SLOT_ID *out)
{
    void *module = dlopen(args[0], RTLD_NOW | RTLD_LOCAL), *at = NULL;
    CK_C_INITIALIZE_ARGS threads = {.flags = CKF_OS_LOCKING_OK};
    CK_RV (*list)(CK_FUNCTION_LIST_PTR_PTR);
    CK_SLOT_ID slots[64];
    CK_ULONG count = 64;
    CK_TOKEN_INFO info;

    if (module == NULL || (at = dlsym(module, "C_GetFunctionList")) == NULL)
        return say("the module cannot be loaded");
    memcpy(&list, &at, sizeof list);
    if (list(&p11) != CKR_OK || p11->C_Initialize(&threads) != CKR_OK ||
        p11->C_GetSlotList(CK_TRUE, slots, &count) != CKR_OK)
        return say("the module does not start");
    for (CK_ULONG i = 0; i < count; i++)
        if (p11->C_GetTokenInfo(slots[i], &info) == CKR_OK &&
            strncmp((const char *)info.label, args[1], strlen(args[1])) == 0) {
            *out = slots[i];
            return true;
        }
    return say("there is no such token");
}

static bool p11_open(char **args, struct lane *l)
{
    static CK_SLOT_ID slot;
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof class};
    struct p11 *p = calloc(1, sizeof *p);
    CK_ULONG found = 0;
    CK_RV rv;

    l->own = p;
    if (p == NULL || (p11 == NULL && !p11_load(args, &slot)) ||
        p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &p->session) != CKR_OK)
        return say("there is no session");
    rv = p11->C_Login(p->session, CKU_USER, (CK_UTF8CHAR *)args[2], strlen(args[2]));
    if ((rv != CKR_OK && rv != CKR_USER_ALREADY_LOGGED_IN) ||
        p11->C_FindObjectsInit(p->session, &wanted, 1) != CKR_OK ||
        p11->C_FindObjects(p->session, &p->key, 1, &found) != CKR_OK || found != 1)
        return say("there is no key");
    return p11->C_FindObjectsFinal(p->session) == CKR_OK;
}

static bool p11_sign(struct lane *l)
{
    CK_MECHANISM mechanism = {CKM_SHA256_RSA_PKCS, NULL, 0};
    const struct p11 *p = l->own;
    CK_BYTE sig[512];
    CK_ULONG len = sizeof sig;

    return p11->C_SignInit(p->session, &mechanism, p->key) == CKR_OK &&
           p11->C_Sign(p->session, data, sizeof data, sig, &len) == CKR_OK && len == 256;
}

/* ---- gpg-agent: Assuan; the digest is made here, as gpg makes it */

/* Lines until OK. *bytes: of its data lines, as they are escaped. */
static bool gpg_answer(int fd, size_t *bytes)
{
    static __thread char line[ANSWER_MAX];
    size_t len = 0;

    *bytes = 0;
    for (;;) {
        ssize_t n = recv(fd, line + len, 1, 0);

        if (n != 1 || len + 2 > sizeof line)
            return false;
        if (line[len++] != '\n')
            continue;
        if (strncmp(line, "OK", 2) == 0)
            return true;
        if (strncmp(line, "ERR", 3) == 0)
            return say("gpg-agent refuses");
        if (line[0] == 'D')
            *bytes += len - 3;
        len = 0;
    }
}

static bool gpg_ask(int fd, const char *line, size_t *bytes)
{
    return write_all(fd, line, strlen(line)) && gpg_answer(fd, bytes);
}

static bool gpg_open(char **args, struct lane *l)
{
    size_t bytes;

    l->own = args[1];
    return (l->fd = dial(args[0])) >= 0 && gpg_answer(l->fd, &bytes);
}

static bool gpg_sign(struct lane *l)
{
    static const char hex[] = "0123456789ABCDEF";
    uint8_t digest[32];
    char line[160], *at = line + sprintf(line, "SETHASH --hash=sha256 ");
    size_t bytes;

    if (EVP_Digest(data, sizeof data, digest, NULL, EVP_sha256(), NULL) != 1)
        return false;
    for (size_t i = 0; i < sizeof digest; i++) {
        *at++ = hex[digest[i] >> 4];
        *at++ = hex[digest[i] & 15];
    }
    memcpy(at, "\n", 2);
    if (!gpg_ask(l->fd, line, &bytes))
        return false;
    snprintf(line, sizeof line, "SIGKEY %s\n", (const char *)l->own);
    return gpg_ask(l->fd, line, &bytes) && gpg_ask(l->fd, "PKSIGN\n", &bytes) && bytes > 256;
}

/* ---- the run */

static const struct kind kinds[] = {
    {"raw", 1, raw_open, raw_sign}, {"agent", 2, agent_open, agent_sign},
    {"ssh", 1, ssh_open, ssh_sign}, {"p11", 3, p11_open, p11_sign},
    {"gpg", 2, gpg_open, gpg_sign},
};
static const struct kind *kind;
static pthread_barrier_t ready;
static double length_us;

static void *work(void *arg)
{
    struct lane *l = arg;
    double before, after, cpu;

    for (int i = 0; i < 3 && !l->failed; i++) /* warm */
        l->failed = !kind->sign(l);
    (void)pthread_barrier_wait(&ready);
    cpu = thread_cpu_us();
    before = now_us();
    l->until_us = before + length_us;
    while (!l->failed && before < l->until_us) {
        l->failed = !kind->sign(l);
        after = now_us();
        if (l->count < TIMES_MAX)
            l->times[l->count] = after - before;
        l->count++;
        before = after;
    }
    l->cpu_us = thread_cpu_us() - cpu;
    return NULL;
}

static bool run(char **args, unsigned threads)
{
    struct lane *lanes = calloc(threads, sizeof *lanes);
    double *all, cpu = 0, begun, took;
    size_t count = 0, at = 0, each = TIMES_MAX / threads;

    if (lanes == NULL || pthread_barrier_init(&ready, NULL, threads + 1) != 0)
        return say("out of memory");
    for (unsigned i = 0; i < threads; i++)
        if ((lanes[i].times = malloc(TIMES_MAX * sizeof(double))) == NULL ||
            !kind->open(args, &lanes[i]))
            return say("out of memory");
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&lanes[i].thread, NULL, work, &lanes[i]) != 0)
            return say("out of memory");
    (void)pthread_barrier_wait(&ready);
    begun = now_us();
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(lanes[i].thread, NULL);
        if (lanes[i].failed || lanes[i].count == 0)
            return say("a signature failed");
        count += lanes[i].count;
        cpu += lanes[i].cpu_us;
    }
    took = now_us() - begun;
    all = malloc(TIMES_MAX * sizeof *all);
    for (unsigned i = 0; all != NULL && i < threads; i++)
        for (size_t k = 0; k < lanes[i].count && k < each; k++)
            all[at++] = lanes[i].times[k];
    if (all == NULL)
        return say("out of memory");
    printf("{\"count\": %zu, \"rate\": %.1f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"client_us\": "
           "%.2f}\n",
           count, (double)count * 1e6 / took, quantile(all, at, 0.5), quantile(all, at, 0.99),
           cpu / (double)count);
    return true;
}

int main(int argc, char **argv)
{
    unsigned threads;

    memcpy(data, text, sizeof text - 1);
    memset(data + sizeof text - 1, 'x', sizeof data - sizeof text + 1);
    for (size_t i = 0; argc > 1 && i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(argv[1], kinds[i].name) == 0 && argc == kinds[i].args + 4)
            kind = &kinds[i];
    if (kind == NULL) {
        fprintf(stderr, "usage: antag-peers raw|agent|ssh|p11|gpg ARGS THREADS MS\n");
        return 2;
    }
    threads = (unsigned)atoi(argv[2 + kind->args]);
    length_us = atof(argv[3 + kind->args]) * 1e3;
    if (threads < 1 || threads > THREADS_MAX || length_us <= 0)
        return say("1 to 256 threads, and some milliseconds") ? 0 : 2;
    return run(argv + 2, threads) ? 0 : 1;
}
