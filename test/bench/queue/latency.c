/*-------------------------------------------------------------------------
 *
 * latency.c
 *	  From the commit of a job to its start, for test/bench/queue.sh.
 *
 *	latency notify COUNT   a session that listens: from sending COMMIT after an
 *						   INSERT and a NOTIFY to the notification in the
 *						   listening client, which could claim only then
 *	latency worker COUNT   padlock's background workers: from sending COMMIT
 *						   after enqueue_job() to job_queue.started_at
 *
 *	latency listen		   no measurement: a client that listens until killed
 *
 * Prints the median in microseconds.  The other end is idle each time.  The
 * connection's settings come from the environment; table notified and a
 * handler of job type noop must exist.  Both clocks are the machine's.
 *
 *-------------------------------------------------------------------------
 */
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define PAUSE_US		5000	/* long enough for the other end to sleep again */
#define GIVE_UP_S		60
#define ID_SIZE			40

static void
fail(const char *what, PGconn *conn)
{
	fprintf(stderr, "latency: %s: %s", what, conn ? PQerrorMessage(conn) : "\n");
	exit(1);
}

static long long
now_us(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return now.tv_sec * 1000000LL + now.tv_usec;
}

static PGconn *
connect_database(void)
{
	PGconn	   *conn = PQconnectdb("");

	if (PQstatus(conn) != CONNECTION_OK)
		fail("connect", conn);
	return conn;
}

/* Run a statement; its first value, if any, is copied to `value`. */
static void
execute(PGconn *conn, const char *sql, char *value, size_t size)
{
	PGresult   *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail(sql, conn);
	if (value != NULL)
		snprintf(value, size, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
}

/* Wait until the listening connection has a notification, at most so long. */
static void
await_notification(PGconn *listener, int timeout_ms)
{
	struct pollfd descriptor = {.fd = PQsocket(listener), .events = POLLIN};
	PGnotify   *notification;

	while ((notification = PQnotifies(listener)) == NULL)
	{
		if (poll(&descriptor, 1, timeout_ms) <= 0 || !PQconsumeInput(listener))
			fail("no notification", listener);
	}
	PQfreemem(notification);
}

static long long
measure_notify(PGconn *producer, PGconn *listener)
{
	long long	began;

	execute(producer, "BEGIN", NULL, 0);
	execute(producer, "INSERT INTO notified (job_type, payload) VALUES ('noop', '{}')", NULL, 0);
	execute(producer, "NOTIFY jobs", NULL, 0);
	began = now_us();
	if (!PQsendQuery(producer, "COMMIT"))
		fail("COMMIT", producer);
	await_notification(listener, GIVE_UP_S * 1000);
	began = now_us() - began;
	while (PQgetResult(producer) != NULL)
		;
	return began;
}

static long long
measure_worker(PGconn *producer)
{
	char		id[ID_SIZE];
	char		query[200];
	char		started[32] = "";
	long long	began;

	execute(producer, "BEGIN", NULL, 0);
	execute(producer, "SELECT enqueue_job('noop', '{}')", id, sizeof(id));
	began = now_us();
	execute(producer, "COMMIT", NULL, 0);
	snprintf(query, sizeof(query),
			 "SELECT (extract(epoch FROM started_at) * 1000000)::bigint FROM job_queue"
			 " WHERE id = '%s' AND status NOT IN ('pending', 'processing')", id);
	while (started[0] == '\0')
	{
		if (now_us() - began > GIVE_UP_S * 1000000LL)
			fail("the job was not done", NULL);
		usleep(PAUSE_US);
		execute(producer, query, started, sizeof(started));
	}
	return atoll(started) - began;
}

static int
compare(const void *a, const void *b)
{
	long long	left = *(const long long *) a;
	long long	right = *(const long long *) b;

	return (left > right) - (left < right);
}

/* Take the notifications that others cause, for ever. */
static void
listen_only(void)
{
	PGconn	   *listener = connect_database();

	execute(listener, "LISTEN jobs", NULL, 0);
	for (;;)
		await_notification(listener, -1);
}

static long long
median_latency(int notify, int count)
{
	long long  *latency = calloc(count, sizeof(*latency));
	long long	median;
	PGconn	   *producer = connect_database();
	PGconn	   *listener = connect_database();

	if (latency == NULL)
		fail("out of memory", NULL);
	execute(listener, "LISTEN jobs", NULL, 0);
	for (int i = 0; i < count; i++)
	{
		usleep(PAUSE_US);
		latency[i] = notify ? measure_notify(producer, listener) : measure_worker(producer);
	}
	qsort(latency, count, sizeof(*latency), compare);
	median = latency[count / 2];
	free(latency);
	PQfinish(producer);
	PQfinish(listener);
	return median;
}

int
main(int argc, char **argv)
{
	int			count = argc == 3 ? atoi(argv[2]) : 0;

	if (argc == 2 && strcmp(argv[1], "listen") == 0)
		listen_only();
	if (count < 1 || (strcmp(argv[1], "notify") != 0 && strcmp(argv[1], "worker") != 0))
		fail("usage: latency notify COUNT | worker COUNT | listen", NULL);
	printf("%lld\n", median_latency(strcmp(argv[1], "notify") == 0, count));
	return 0;
}
