/*-------------------------------------------------------------------------
 *
 * sandbox_probe.c
 *	  Try forbidden and needed things inside the helpers' sandboxes.
 *
 *	  sandbox_probe common|fetch|child SECRET
 *
 * Each trial runs in a process of its own that enters the sandbox first.  It
 * prints a line: the trial's name and "ok", "errno=N", "signal=N" or
 * "exit=N".  SECRET is a file that the user may read and write.
 *
 *-------------------------------------------------------------------------
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/sandbox.h"
#include "agent/wire.h"

/* A trial returns 0 when it worked and -1 with errno when it did not. */
typedef struct Trial
{
	const char *name;
	int			(*run) (void);
} Trial;

static const char *secret;
static int	spare_fd;			/* a memfd made before the sandbox */

static int
open_read(void)
{
	return open(secret, O_RDONLY);
}

static int
open_write(void)
{
	return open(secret, O_WRONLY);
}

static int
open_create(void)
{
	return open("/tmp/padlock-sandbox-probe", O_RDWR | O_CREAT, 0600);
}

static int
open_library(void)
{
	return open("/etc/hosts", O_RDONLY);
}

static int
remove_file(void)
{
	return unlink("/tmp/padlock-no-such-file");
}

static int
socket_inet(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int
socket_unix(void)
{
	return socket(AF_UNIX, SOCK_STREAM, 0);
}

static int
socket_netlink(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
}

static int
socket_audit(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT);
}

static int
fork_process(void)
{
	pid_t		pid = fork();

	if (pid == 0)
		_exit(0);
	return pid;
}

static int
execute(void)
{
	return execl("/bin/true", "true", (char *) NULL);
}

static int
kill_parent(void)
{
	return kill(getppid(), 0);
}

static int
limit_parent(void)
{
	return (int) syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, NULL);
}

static int
own_signals(void)
{
	return fcntl(spare_fd, F_SETOWN, getppid());
}

static int
be_traced(void)
{
	return (int) ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int
map_executable(void)
{
	void	   *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? -1 : 0;
}

static int
map_memory(void)
{
	char	   *memory = malloc(10 << 20);

	if (memory == NULL)
		return -1;
	memset(memory, 1, 10 << 20);
	free(memory);
	return 0;
}

static void *
do_nothing(void *argument)
{
	return argument;
}

static int
start_thread(void)
{
	pthread_t	thread;

	errno = pthread_create(&thread, NULL, do_nothing, NULL);
	return errno == 0 && pthread_join(thread, NULL) == 0 ? 0 : -1;
}

static int
resolve_name(void)
{
	struct addrinfo *found;
	int			rc = getaddrinfo("localhost", "80", NULL, &found);

	errno = EADDRNOTAVAIL;
	return rc == 0 ? 0 : -1;
}

static int
write_and_seal(void)
{
	if (write(spare_fd, "text", 4) != 4)
		return -1;
	return fcntl(spare_fd, F_ADD_SEALS, PADLOCK_WIRE_SEALS);
}

static int
make_memfd(void)
{
	return memfd_create("x", MFD_ALLOW_SEALING);
}

static int
send_to(int fd)
{
	struct iovec part = {"x", 1};
	struct msghdr message = {0};

	message.msg_iov = &part;
	message.msg_iovlen = 1;
	return (int) sendmsg(fd, &message, MSG_NOSIGNAL);
}

static int
send_wire(void)
{
	return send_to(PADLOCK_WIRE_FD);
}

static int
send_elsewhere(void)
{
	return send_to(spare_fd);
}

static int
lift_limit(void)
{
	struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

	return setrlimit(RLIMIT_CPU, &limit);
}

static int
keyring(void)
{
	return (int) syscall(SYS_keyctl, 0, -3, 0);
}

static int
old_call_numbers(void)
{
	/* getpid() by the x32 table, which a filter by number alone would miss */
	return (int) syscall(0x40000000 | SYS_open, secret, O_RDONLY);
}

static int
no_core(void)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max == 0 &&
		prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static int
extra_descriptor(void)
{
	return fcntl(spare_fd, F_GETFD);
}

static int
dies_with_parent(void)
{
	int			sig = 0;

	return prctl(PR_GET_PDEATHSIG, &sig) == 0 && sig == SIGKILL ? 0 : -1;
}

static int
stands_in_root(void)
{
	char		directory[100];

	errno = ENOTDIR;
	return getcwd(directory, sizeof(directory)) != NULL && strcmp(directory, "/") == 0 ? 0 : -1;
}

static const Trial trials[] = {
	{"open_read", open_read}, {"open_write", open_write},
	{"open_create", open_create}, {"open_library", open_library},
	{"remove_file", remove_file}, {"socket_inet", socket_inet},
	{"socket_unix", socket_unix}, {"socket_netlink", socket_netlink},
	{"socket_uevent", socket_audit}, {"fork", fork_process},
	{"exec", execute}, {"kill_parent", kill_parent},
	{"limit_parent", limit_parent}, {"own_signals", own_signals},
	{"ptrace", be_traced}, {"map_executable", map_executable},
	{"map_memory", map_memory}, {"thread", start_thread},
	{"resolve", resolve_name}, {"write_and_seal", write_and_seal},
	{"memfd", make_memfd}, {"send_wire", send_wire},
	{"send_elsewhere", send_elsewhere}, {"lift_limit", lift_limit},
	{"keyring", keyring}, {"x32", old_call_numbers}, {"no_core", no_core},
	{"extra_descriptor", extra_descriptor},
	{"dies_with_parent", dies_with_parent}, {"cwd_is_root", stands_in_root},
	{NULL, NULL}
};

/* Run one trial in the process that has been forked for it. */
static void
attempt(const Trial *trial, bool (*enter) (void))
{
	int			wire[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, wire) != 0 || dup2(wire[0], PADLOCK_WIRE_FD) < 0)
		_exit(200);
	spare_fd = memfd_create("spare", MFD_ALLOW_SEALING);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !enter())
		_exit(201);
	errno = 0;
	_exit(trial->run() >= 0 ? 0 : errno);
}

static void
report(const Trial *trial, bool (*enter) (void))
{
	pid_t		pid = fork();
	int			status;

	if (pid == 0)
		attempt(trial, enter);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status))
		printf("%s signal=%d\n", trial->name, WTERMSIG(status));
	else if (WEXITSTATUS(status) == 0)
		printf("%s ok\n", trial->name);
	else
		printf("%s errno=%d\n", trial->name, WEXITSTATUS(status));
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	const Trial *trial;
	bool		(*enter) (void);

	if (argc != 3)
		return 2;
	secret = argv[2];
	enter = strcmp(argv[1], "common") == 0 ? sandbox_common :
		strcmp(argv[1], "fetch") == 0 ? sandbox_fetch : sandbox_parse_child;
	for (trial = trials; trial->name != NULL; trial++)
		report(trial, enter);
	return 0;
}
