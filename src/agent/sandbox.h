/*-------------------------------------------------------------------------
 *
 * sandbox.h
 *	  What the helper programs give up before they touch a stranger's bytes.
 *
 * padlock_fetch speaks to the network and parses nothing; padlock_parse
 * parses and has no network.  Both run as the server's user, so what they
 * must not reach is chiefly the data directory, key files and the server's
 * own processes.  Every function can be called once a process, takes rights
 * away for good and leaves errno set when it fails; a caller that gets false
 * must exit.
 *
 *-------------------------------------------------------------------------
 */
#ifndef PADLOCK_SANDBOX_H
#define PADLOCK_SANDBOX_H

#include <stdbool.h>

/*
 * First thing in main() of both helpers: the process dies with the thread
 * that started it, gains no rights by exec, leaves no core, cannot be read by
 * other processes of its user, has no descriptor above PADLOCK_WIRE_FD, makes
 * private files only and stands in "/" instead of the data directory.
 */
extern bool sandbox_common(void);

/*
 * padlock_fetch, after start-up work and before the first request: system
 * calls from an allow-list (others fail with EPERM), sockets of AF_INET,
 * AF_INET6 and AF_NETLINK only (others EAFNOSUPPORT), files opened for
 * reading only (else EPERM), threads but no processes, no exec, no signal to
 * another process.  Where the kernel has Landlock, reading is also limited to
 * libraries, certificates and the name resolver's files.
 */
extern bool sandbox_fetch(void);

/*
 * padlock_parse's zygote, when everything that lies in files has been loaded:
 * where the kernel has Landlock, no file can be opened any more, by the
 * zygote or by a child.  True on a kernel without it: the children's system
 * call filter says the same.
 */
extern bool sandbox_parse_zygote(void);

/*
 * The child that parses one document: system calls from a strict allow-list.
 * File calls fail with EACCES (libraries look for optional files and go on);
 * anything else off the list, such as a socket, a new process or a signal,
 * kills the child with SIGSYS.  What remains: memory without PROT_EXEC, reads
 * and writes of descriptors it has, sendmsg on PADLOCK_WIRE_FD, seals, clocks
 * and exit.
 */
extern bool sandbox_parse_child(void);

#endif							/* PADLOCK_SANDBOX_H */
