/* supervisor: creates the sockets, starts the roles, gives each only what it needs, restarts what dies.
 * It holds the root key in locked memory and parses nothing that comes from a client. One thread. */
#ifndef AG_SUPERVISOR_H
#define AG_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>

/*  role, role, how, what travels. `how`:
 *    CONTROL  the control channel every role has to the supervisor
 *    CHANNEL  one channel, given to both when both run
 *    LANES    one signwire pair a front thread, given when the second one is ready
 *    TASK     a channel for one task, asked for by the first one */
#define AG_EDGES(R)                                                                                \
    R(supervisor, steward, CONTROL,                                                                \
      "subkeys of registry, record and tokens, start, peers, unlock, lock, opener, roles")         \
    R(supervisor, front, CONTROL, "subkey of tokens, listening socket, start, peers")              \
    R(supervisor, keeper, CONTROL, "subkeys of the keyring and its record, start, peers")          \
    R(supervisor, opener, CONTROL,                                                                 \
      "a task, and the root key to seal it anew, or back when it was opened")                      \
    R(steward, front, CHANNEL,                                                                     \
      "snapshot rows, state; acknowledgements, refusals, uses of merchants")                       \
    R(steward, keeper, CHANNEL, "sealed keys, generate, permit, stop; heads of the record")        \
    R(front, keeper, LANES, "handle and digest; signature")                                        \
    R(steward, opener, TASK, "key or passphrase by descriptor; sealed components, a seal")         \
    R(supervisor, courier, CONTROL, "start, peers")                                                \
    R(steward, courier, CHANNEL, "mails to send; what came of them")

struct ag_supervisor_options {
    const char *home; /* NULL: the system paths */
    bool init;
    const char *seal; /* init: file, passphrase */
    bool has_staff_uid;
    uint32_t staff_uid;
    int passphrase_fd;   /* init: -1 when none */
    bool json_errors;    /* init: errors as {"error": {...}} on standard output */
    unsigned passed_fds; /* sockets passed by the service manager, from descriptor 3 */
};

/* `antom-agent: NAME: text` on standard error, or {"error": {...}} on standard output. */
struct antag_fault;
void ag_supervisor_print_error(const struct antag_fault *fault, bool json);

/* Both return the exit status. */
int ag_supervisor_run(const struct ag_supervisor_options *o);
int ag_supervisor_init(const struct ag_supervisor_options *o);

#endif
