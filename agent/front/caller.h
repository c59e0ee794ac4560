/* caller: what the kernel says of the peer of a connection. */
#ifndef AG_FRONT_CALLER_H
#define AG_FRONT_CALLER_H

#include "agent/core/grant.h"

/* Credentials of connect: uid, gid, pid, supplementary groups; and the systemd unit, "" where it
 * cannot be had for certain. errors: IO. Reads a file of /proc: a local call that does not wait. */
ANTAG_MUST_CHECK enum antag_err ag_caller_read(int fd, struct ag_caller *out);

/* The system unit in the text of /proc/PID/cgroup: the first part of the path that is not a slice, if
 * it is a service or scope. Units of a user's own manager lie below user@UID.service and are that
 * one: a user cannot take the name of a system unit. False and "": none. Pure. */
bool ag_caller_unit(struct antag_slice cgroup, char out[ANTAG_UNIT_MAX + 1]);

#endif
