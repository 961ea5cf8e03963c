/*-------------------------------------------------------------------------
 *
 * sandbox.c
 *	  What the helper programs give up before they touch a stranger's bytes.
 *
 * Three fences, each of which holds if another fails: process limits that
 * every kernel knows, a seccomp system call filter, and Landlock where the
 * kernel has it.  The filters are allow-lists, so that a system call of a
 * newer kernel is refused until somebody has thought about it.
 *
 * clone3() takes its flags through memory, where a filter cannot look: it
 * answers ENOSYS and the C library falls back to clone().
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "agent/wire.h"

#define lengthof(array) (sizeof(array) / sizeof((array)[0]))

/* Rights of later Landlock versions than Debian 12's header may know. */
#define LANDLOCK_FS_RIGHTS_1	((UINT64_C(1) << 13) - 1)
#define LANDLOCK_FS_REFER		(UINT64_C(1) << 13)		/* version 2 */
#define LANDLOCK_FS_TRUNCATE	(UINT64_C(1) << 14)		/* version 3 */
#define LANDLOCK_FS_IOCTL_DEV	(UINT64_C(1) << 15)		/* version 5 */

/*
 * What padlock_fetch may read: libraries and the resolver's modules,
 * certificates, and the resolver's own files.  Not all of /etc, as keys are
 * kept there too.  A rule holds for the file that stands there now: when
 * resolv.conf is replaced by a new file, a helper must be started again to
 * see it.
 */
static const char *const fetch_paths[] = {
	"/usr", "/lib", "/lib64", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
	"/etc/ca-certificates", "/etc/pki/tls/certs", "/etc/pki/ca-trust",
	"/etc/crypto-policies", "/etc/resolv.conf", "/etc/hosts",
	"/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf", "/etc/services",
	"/etc/protocols", "/etc/ld.so.cache", "/etc/localtime",
	"/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager",
	"/dev/null", "/dev/urandom", "/sys/devices/system/cpu", NULL
};

/* Calls that both helpers need whatever their arguments. */
static const int common_calls[] = {
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write),
	SCMP_SYS(writev), SCMP_SYS(pwrite64), SCMP_SYS(lseek), SCMP_SYS(close),
	SCMP_SYS(fstat), SCMP_SYS(ftruncate),
	SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex),
	SCMP_SYS(restart_syscall), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday),
	SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
	SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(getrusage),
	SCMP_SYS(sysinfo), SCMP_SYS(uname), SCMP_SYS(poll), SCMP_SYS(ppoll)
};

/* What padlock_fetch needs on top: the network, threads, reading files. */
static const int fetch_calls[] = {
	SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown), SCMP_SYS(select), SCMP_SYS(pselect6),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(pipe),
	SCMP_SYS(pipe2), SCMP_SYS(dup), SCMP_SYS(memfd_create),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(alarm),
	SCMP_SYS(setitimer), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(statfs),
	SCMP_SYS(fstatfs), SCMP_SYS(getcwd), SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(membarrier),
	SCMP_SYS(getppid), SCMP_SYS(getrlimit)
};

/* Refused with EACCES in the parsing child: libraries probe for files. */
static const int file_calls[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(creat),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(access),
	SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(statfs), SCMP_SYS(getcwd),
	SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir),
	SCMP_SYS(mkdirat), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(getdents64), SCMP_SYS(memfd_create)
};

/* Add a rule of one action for each call of a list; 0 or a negative errno. */
static int
add_rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	size_t		i;
	int			rc = 0;

	for (i = 0; rc == 0 && i < count; i++)
		rc = seccomp_rule_add(filter, action, calls[i], 0);
	return rc;
}

/* Memory may be mapped and protected in any way but executable. */
static int
add_memory_rules(scmp_filter_ctx filter)
{
	int			rc;

	rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
						  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
							  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return rc;
}

/*
 * Only these commands of fcntl(): F_SETOWN and F_SETSIG could send any signal
 * to another process of this user.
 */
static int
add_fcntl_rules(scmp_filter_ctx filter, const int *commands, size_t count)
{
	size_t		i;
	int			rc = 0;

	for (i = 0; rc == 0 && i < count; i++)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
							  SCMP_A1(SCMP_CMP_EQ, (uint64_t) commands[i]));
	return rc;
}

/* A filter with the given default and what both helpers share, or NULL. */
static scmp_filter_ctx
begin_filter(uint32_t default_action)
{
	scmp_filter_ctx filter = seccomp_init(default_action);
	int			rc;

	if (filter == NULL)
	{
		errno = ENOMEM;
		return NULL;
	}
	/* a binary search over the call numbers instead of a linear one */
	rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0)
		rc = add_rules(filter, SCMP_ACT_ALLOW, common_calls, lengthof(common_calls));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (rc != 0)
	{
		seccomp_release(filter);
		errno = -rc;
		return NULL;
	}
	return filter;
}

/* Load a filter that was built with result rc, and free it. */
static bool
end_filter(scmp_filter_ctx filter, int rc)
{
	if (rc == 0)
		rc = seccomp_load(filter);
	seccomp_release(filter);
	if (rc != 0)
		errno = -rc;
	return rc == 0;
}

/* The version of Landlock that the kernel speaks, 0 if none. */
static int
landlock_version(void)
{
	long		version = syscall(SYS_landlock_create_ruleset, NULL, 0,
								  LANDLOCK_CREATE_RULESET_VERSION);

	return version > 0 ? (int) version : 0;
}

/* Allow reading beneath one path; a path that does not exist needs no rule. */
static bool
landlock_allow_read(int ruleset, const char *path)
{
	struct landlock_path_beneath_attr rule = {0};
	struct stat status;
	long		rc;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return true;
	rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
	if (fstat(rule.parent_fd, &status) == 0 && S_ISDIR(status.st_mode))
		rule.allowed_access |= LANDLOCK_ACCESS_FS_READ_DIR;
	/* the modules of the resolver are libraries, which execve() never runs */
	rc = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return rc == 0;
}

/*
 * Limit the process to reading beneath the paths of a NULL-ended list.  True
 * also where the kernel has no Landlock or has it switched off.
 */
static bool
landlock_limit(const char *const *paths)
{
	struct landlock_ruleset_attr attr = {0};
	int			version = landlock_version();
	int			ruleset;
	bool		ok = true;

	if (version == 0)
		return true;
	attr.handled_access_fs = LANDLOCK_FS_RIGHTS_1;
	if (version >= 2)
		attr.handled_access_fs |= LANDLOCK_FS_REFER;
	if (version >= 3)
		attr.handled_access_fs |= LANDLOCK_FS_TRUNCATE;
	if (version >= 5)
		attr.handled_access_fs |= LANDLOCK_FS_IOCTL_DEV;
	ruleset = (int) syscall(SYS_landlock_create_ruleset, &attr,
							sizeof(attr.handled_access_fs), 0);
	if (ruleset < 0)
		return false;
	for (; ok && *paths != NULL; paths++)
		ok = landlock_allow_read(ruleset, *paths);
	ok = ok && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
	close(ruleset);
	return ok;
}

bool
sandbox_common(void)
{
	struct rlimit none = {0, 0};

	umask(077);
	return prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 &&
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		prctl(PR_SET_DUMPABLE, 0) == 0 &&
		setrlimit(RLIMIT_CORE, &none) == 0 &&
		close_range(PADLOCK_WIRE_FD + 1, ~0U, 0) == 0 &&
		chdir("/") == 0;
}

/* Sockets of the internet and of the routing table, which getaddrinfo reads. */
static int
add_socket_rules(scmp_filter_ctx filter)
{
	int			rc;

	rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
						  SCMP_A0(SCMP_CMP_EQ, AF_INET));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
							  SCMP_A0(SCMP_CMP_EQ, AF_INET6));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
							  SCMP_A0(SCMP_CMP_EQ, AF_NETLINK),
							  SCMP_A2(SCMP_CMP_EQ, NETLINK_ROUTE));
	/* families below and above; those between fail with the default, EPERM */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
							  SCMP_A0(SCMP_CMP_LT, AF_INET));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), 1,
							  SCMP_A0(SCMP_CMP_GT, AF_NETLINK));
	/* unlike socket(), a pair reaches nobody else: curl wakes itself with one */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1,
							  SCMP_A0(SCMP_CMP_EQ, AF_UNIX));
	return rc;
}

/* Opening for reading only: other flags match no rule and get the default, EPERM. */
static int
add_open_rules(scmp_filter_ctx filter)
{
	const uint64_t changes = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
	static const int refused[] = {
		SCMP_SYS(creat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
		SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rename),
		SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(truncate)
	};
	int			rc;

	rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
						  SCMP_A1(SCMP_CMP_MASKED_EQ, changes, O_RDONLY));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
							  SCMP_A2(SCMP_CMP_MASKED_EQ, changes, O_RDONLY));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(openat2), 0);
	if (rc == 0)
		rc = add_rules(filter, SCMP_ACT_ERRNO(EACCES), refused, lengthof(refused));
	return rc;
}

/*
 * Threads of this process, their names, its own limits, and a signal to
 * itself, which abort() sends.  Executable mappings of files are left to the fetcher, as the
 * resolver loads its modules when first asked; made from memory they are not.
 */
static int
add_thread_rules(scmp_filter_ctx filter)
{
	static const int commands[] = {
		F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD, F_DUPFD_CLOEXEC,
		F_ADD_SEALS, F_GET_SEALS
	};
	int			rc;

	rc = add_fcntl_rules(filter, commands, lengthof(commands));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
							  SCMP_A0(SCMP_CMP_EQ, 0));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
						  SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
							  SCMP_A0(SCMP_CMP_EQ, (uint64_t) getpid()));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
							  SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
							  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
							  SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
							  SCMP_A1(SCMP_CMP_EQ, 0x5421));	/* FIONBIO */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
							  SCMP_A1(SCMP_CMP_EQ, 0x541b));	/* FIONREAD */
	return rc;
}

bool
sandbox_fetch(void)
{
	scmp_filter_ctx filter;
	int			rc;

	if (!landlock_limit(fetch_paths))
		return false;
	filter = begin_filter(SCMP_ACT_ERRNO(EPERM));
	if (filter == NULL)
		return false;
	rc = add_rules(filter, SCMP_ACT_ALLOW, fetch_calls, lengthof(fetch_calls));
	if (rc == 0)
		rc = add_memory_rules(filter);
	if (rc == 0)
		rc = add_socket_rules(filter);
	if (rc == 0)
		rc = add_open_rules(filter);
	if (rc == 0)
		rc = add_thread_rules(filter);
	return end_filter(filter, rc);
}

bool
sandbox_parse_zygote(void)
{
	static const char *const nothing[] = {NULL};

	return landlock_limit(nothing);
}

/*
 * The C library's fstat() is newfstatat() with an empty path.  The filter
 * cannot see that the path is empty, so a hijacked child could learn whether
 * a file exists and how big it is, but never what it holds.
 */
static int
add_stat_rules(scmp_filter_ctx filter)
{
	int			rc;

	rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
						  SCMP_A3(SCMP_CMP_EQ, AT_EMPTY_PATH));
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(newfstatat), 1,
							  SCMP_A3(SCMP_CMP_NE, AT_EMPTY_PATH));
	return rc;
}

/* Answers go out on the wire; seals are put on the text's memfd. */
static int
add_answer_rules(scmp_filter_ctx filter)
{
	static const int commands[] = {F_ADD_SEALS, F_GET_SEALS, F_GETFL, F_GETFD};
	int			rc;

	rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1,
						  SCMP_A0(SCMP_CMP_EQ, PADLOCK_WIRE_FD));
	if (rc == 0)
		rc = add_fcntl_rules(filter, commands, lengthof(commands));
	/* abort() may not signal and ends the process by a trap instead */
	if (rc == 0)
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(tgkill), 0);
	return rc;
}

bool
sandbox_parse_child(void)
{
	scmp_filter_ctx filter = begin_filter(SCMP_ACT_KILL_PROCESS);
	int			rc;

	if (filter == NULL)
		return false;
	rc = add_rules(filter, SCMP_ACT_ERRNO(EACCES), file_calls, lengthof(file_calls));
	if (rc == 0)
		rc = add_memory_rules(filter);
	if (rc == 0)
		rc = add_stat_rules(filter);
	if (rc == 0)
		rc = add_answer_rules(filter);
	return end_filter(filter, rc);
}
