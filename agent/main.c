/* antom-agent: one program that re-executes itself in a role, so that each role starts with an empty
 * address space. This file reads the command line; the supervisor does the rest. The edges between roles
 * stand in agent/supervisor/supervisor.h once; --print-processes writes agent/PROCESSES.md from them. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/core/sealtype.h"
#include "agent/lib/role.h"
#include "agent/supervisor/supervisor.h"

static const char usage_text[] =
    "Usage: antom-agent [--home DIR]\n"
    "       antom-agent --init [--home DIR] [--seal TYPE] --staff-uid N\n"
    "\n"
    "Holds Antom private keys; signs requests and verifies answers for local services.\n"
    "Runs in the foreground and prints `ready` when both sockets answer. Ends on SIGTERM\n"
    "after answering what is in flight; SIGHUP reads agent.conf again.\n"
    "\n"
    "  --home DIR           everything under DIR (also from ANTOM_AGENT_HOME); without it the\n"
    "                       system paths /etc/antom-agent, /var/lib/antom-agent, /run/antom-agent\n"
    "  --init               make a home; `antomctl init` calls this\n"
    "  --seal TYPE          how the root key is sealed: file (default), passphrase, credential\n"
    "                       or tpm\n"
    "  --staff-uid N        the first member of staff\n"
    "  --passphrase-fd N    sealed memory file that holds the passphrase (tpm: that of recovery)\n"
    "  --json-errors        an error of --init as JSON on standard output\n"
    "  --print-processes    the roles and what they tell each other, as Markdown\n"
    "  --version, --help\n";

static const char processes_head[] =
    "# Processes\n"
    "\n"
    "One program, `antom-agent`, runs in several roles. Written by `antom-agent "
    "--print-processes`\n"
    "from the table in `agent/supervisor/supervisor.h`; a test compares.\n"
    "\n"
    "| role | runs |\n"
    "| --- | --- |\n";
static const char edges_head[] =
    "\n"
    "Every pair is a `SOCK_SEQPACKET` socket pair. *control* and *channel* carry "
    "messages of `proto/message.h`,\n"
    "*lanes* fixed-size entries of `agent/lib/signwire.h`, one pair a front "
    "thread; a *task* is a channel\n"
    "for one piece of work.\n"
    "\n"
    "| from | to | how | what travels |\n"
    "| --- | --- | --- | --- |\n";

static const char *const runs[AG_ROLE_COUNT] = {
    [AG_ROLE_supervisor] = "one, the parent of all others",
    [AG_ROLE_front] = "one",
    [AG_ROLE_keeper] = "one a keyring, while the agent is unlocked",
    [AG_ROLE_steward] = "one",
    [AG_ROLE_opener] = "one for each task",
    [AG_ROLE_courier] = "one"};

static void print_processes(void)
{
    fputs(processes_head, stdout);
#define AG_ROW(name) printf("| %s | %s |\n", #name, runs[AG_ROLE_##name]);
    AG_ROLES(AG_ROW)
#undef AG_ROW
    fputs(edges_head, stdout);
#define AG_ROW(a, b, how, what)                                                                    \
    {                                                                                              \
        char word[] = #how;                                                                        \
        for (char *p = word; *p != '\0'; p++)                                                      \
            *p = (char)(*p | 0x20);                                                                \
        printf("| %s | %s | %s | %s |\n", #a, #b, word, what);                                     \
    }
    AG_EDGES(AG_ROW)
#undef AG_ROW
}

static int usage_error(const char *text)
{
    fprintf(stderr, "antom-agent: USAGE: %s; see antom-agent --help\n", text);
    return antag_err_exit(ANTAG_ERR_USAGE);
}

static int run_role(const char *name)
{
    enum ag_role_kind kind;

    if (ag_role_parse(antag_slice_of(name), &kind)) {
        switch (kind) {
        case AG_ROLE_front:
            return ag_front_main();
        case AG_ROLE_keeper:
            return ag_keeper_main();
        case AG_ROLE_steward:
            return ag_steward_main();
        case AG_ROLE_opener:
            return ag_opener_main();
        case AG_ROLE_courier:
            return ag_courier_main();
        default:
            break;
        }
    }
    return usage_error("--role is for the agent itself");
}

/* A number of an option, 0 to 4294967294. */
static bool parse_number(const char *text, uint32_t *out)
{
    unsigned long long v;
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    v = strtoull(text, &end, 10);
    if (*end != '\0' || v >= UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* Sockets the service manager passes to this very process (sd_listen_fds(3)). */
static unsigned passed_fds(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    uint32_t n = 0, p = 0;

    if (pid == NULL || fds == NULL || !parse_number(pid, &p) || p != (uint32_t)getpid() ||
        !parse_number(fds, &n) || n > 16)
        return 0;
    return n;
}

enum {
    OPT_INIT = 256,
    OPT_HOME,
    OPT_SEAL,
    OPT_UID,
    OPT_FD,
    OPT_JSON,
    OPT_ROLE,
    OPT_PRINT,
    OPT_VERSION,
    OPT_HELP
};
static const struct option options[] = {
    {"init", no_argument, NULL, OPT_INIT},
    {"home", required_argument, NULL, OPT_HOME},
    {"seal", required_argument, NULL, OPT_SEAL},
    {"staff-uid", required_argument, NULL, OPT_UID},
    {"passphrase-fd", required_argument, NULL, OPT_FD},
    {"json-errors", no_argument, NULL, OPT_JSON},
    {"role", required_argument, NULL, OPT_ROLE},
    {"print-processes", no_argument, NULL, OPT_PRINT},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int start(const struct ag_supervisor_options *o)
{
    enum ag_seal_kind seal = ag_seal_type_of(antag_slice_of(o->seal));

    if (!o->init)
        return o->has_staff_uid || o->passphrase_fd >= 0 || o->json_errors
                   ? usage_error("--staff-uid, --passphrase-fd and --json-errors go with --init")
                   : ag_supervisor_run(o);
    if (seal == AG_SEAL_KINDS)
        return usage_error("--seal is file, passphrase, credential or tpm");
    if (!o->has_staff_uid)
        return usage_error("--init needs --staff-uid");
    if (ag_seal_takes_passphrase(seal) != (o->passphrase_fd >= 0))
        return usage_error("--passphrase-fd goes with --seal passphrase and --seal tpm");
    return ag_supervisor_init(o);
}

int main(int argc, char **argv)
{
    struct ag_supervisor_options o = {
        .home = getenv("ANTOM_AGENT_HOME"), .seal = "file", .passphrase_fd = -1};
    uint32_t fd;
    int opt;

    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (opt) {
        case OPT_ROLE:
            return run_role(optarg);
        case OPT_PRINT:
            print_processes();
            return 0;
        case OPT_VERSION:
            puts("antom-agent " ANTAG_VERSION);
            return 0;
        case OPT_HELP:
            fputs(usage_text, stdout);
            return 0;
        case OPT_INIT:
            o.init = true;
            break;
        case OPT_HOME:
            o.home = optarg;
            break;
        case OPT_SEAL:
            o.seal = optarg;
            break;
        case OPT_UID:
            if (!parse_number(optarg, &o.staff_uid))
                return usage_error("--staff-uid takes a user id, 0 to 4294967294");
            o.has_staff_uid = true;
            break;
        case OPT_FD:
            if (!parse_number(optarg, &fd) || fd < 3 || fd > 1024)
                return usage_error("--passphrase-fd takes a descriptor number from 3 on");
            o.passphrase_fd = (int)fd;
            break;
        case OPT_JSON:
            o.json_errors = true;
            break;
        default:
            return antag_err_exit(ANTAG_ERR_USAGE); /* getopt has said why */
        }
    }
    if (optind < argc)
        return usage_error("it takes options only");
    o.passed_fds = passed_fds();
    return start(&o);
}
