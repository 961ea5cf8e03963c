/*
 * lease.pml: the lease protocol of one job, as src/queue keeps it.
 *
 * Durable tables say which attempts have ended and how; the ready list and
 * the holders of jobs are in shared memory and gone after a crash; leases are
 * in a file that a crash of the server does not lose.  Clients claim the job,
 * are slow, and complete it in a second transaction, which they try again when
 * the connection broke.  The server may crash between any two steps, a
 * transaction may be rolled back at its end, a lease may end at any time.
 *
 * Each step below is what one hold of the queue's lock, one snapshot or one
 * commit covers; its name says in which function.
 *
 * Checked: see README.md.  To be broken by -DNO_FENCING, -DNO_VERIFY,
 * -DSETTLE_FIRST and -DFREE_EARLY: each must make the checker complain.
 */

#ifndef CLIENTS
#define CLIENTS		2
#endif
#ifndef CLAIMS
#define CLAIMS		2			/* how often a client claims */
#endif
#ifndef CRASHES
#define CRASHES		1
#endif
#define MAX_ATTEMPTS 2
#define NOBODY		255

#define PENDING		0
#define COMPLETED	1
#define FAILED		2

/* padlock.job_outcomes */
byte d_status = PENDING;
bool d_outcome[MAX_ATTEMPTS + 3];	/* is there a row of the attempt: the primary key */
byte d_last;					/* the highest attempt that has one */

/* the lease file */
bool l_used;
bool l_over;					/* its deadline has passed */
byte l_attempt;
bool n_used;					/* a record kept of a lease whose end was noticed, */
byte n_attempt;					/* until the tables say so (two at a time: the later) */
byte n_holder = NOBODY;			/* whose transaction is to say it */

/* shared memory: the job's item */
bool m_known = true;
bool m_ready = true;			/* in the ready list */
bool m_unverified = false;		/* the job may have ended: look before running it */
byte m_attempts;
byte m_holder = NOBODY;			/* whose transaction is changing it */

byte epoch;						/* counts starts of the server */

/* what the world outside knows */
byte starts;					/* how often somebody began to do the job */
byte worker = NOBODY;			/* who began last */
bool reported;					/* a completion was acknowledged */

/* A step of a transaction that began in epoch `mine`, or its connection breaks. */
#define STEP(mine) if :: epoch != mine -> goto broken :: else -> skip fi

/* What may be broken. */
#ifdef NO_FENCING
#define TOKEN_FITS	true
#else
#define TOKEN_FITS	(m_attempts == token)
#endif
#ifdef NO_VERIFY
#define VERIFY		false
#else
#define VERIFY		true
#endif
#ifdef FREE_EARLY
#define KEEP_NOTICED	skip
#else
#define KEEP_NOTICED	n_used = true; n_attempt = retried; n_holder = me
#endif
#ifdef SETTLE_FIRST
#define SETTLE_EARLY	atomic { STEP(mine); l_used = false; m_known = false; m_holder = NOBODY }
#else
#define SETTLE_EARLY	skip;
#endif

inline record(attempt)
{
	assert(!d_outcome[attempt]);
	d_outcome[attempt] = true;
	d_last = (attempt > d_last -> attempt : d_last)
}

/* The one row that ends a job; a retry's may come after it. */
inline record_end(attempt, status)
{
	assert(d_status == PENDING);
	record(attempt);
	d_status = status
}

proctype client(byte me)
{
	byte mine;					/* epoch of the connection */
	byte token;					/* the claimed attempt, 0: none */
	byte retried;				/* attempt whose end "retry" is to be recorded */
	byte failed;				/* the same of "failed" */
	bool said;					/* nothing is left to be recorded of what was noticed */
	bool taken;
	bool going;					/* held, and to be forgotten at commit */
	byte held;					/* the attempt of the lease that is completed */
	byte claims;

broken:							/* the connection broke, or a call has ended */
	if
	:: token == 0 && claims < CLAIMS -> goto claim
	:: token == 0 && claims == CLAIMS -> goto end
	:: token > 0 -> goto complete
	:: token > 0 -> token = 0; goto broken	/* the client dies, or forgets */
	fi;

claim:
	claims++;
	mine = epoch; retried = 0; failed = 0; said = false; taken = false; going = false;

	atomic {					/* queue_reap: collect_ended */
		STEP(mine);
		if
		:: m_known && l_used && l_over && m_holder == NOBODY && l_attempt < MAX_ATTEMPTS ->
			retried = l_attempt; l_used = false; m_ready = true; m_unverified = true;
			KEEP_NOTICED
		:: m_known && l_used && l_over && m_holder == NOBODY && l_attempt >= MAX_ATTEMPTS ->
			failed = l_attempt; going = true; m_holder = me
		:: n_used && n_holder == NOBODY ->
			retried = n_attempt; n_holder = me
		:: else -> skip
		fi
	}
	atomic {					/* queue_reap: record_ended looks at the outcomes */
		STEP(mine);
		if
		:: retried > 0 && (d_status != PENDING || d_last >= retried) -> retried = 0; said = true
		:: else -> skip
		fi;
		if
		:: d_status != PENDING -> failed = 0
		:: else -> skip
		fi
	}
	atomic {					/* take */
		STEP(mine);
		if
		:: m_known && m_ready && m_holder == NOBODY ->
			m_ready = false; m_holder = me; taken = true;
			m_attempts++;
			l_used = true; l_over = false; l_attempt = m_attempts
		:: else -> skip
		fi
	}
	atomic {					/* read_taken */
		STEP(mine);
		if
		:: VERIFY && taken && m_unverified && d_status != PENDING ->
			taken = false; l_used = false; m_known = false; m_holder = NOBODY
		:: VERIFY && taken && m_unverified && d_status == PENDING && d_last >= m_attempts ->
			m_attempts = d_last + 1; l_attempt = m_attempts
		:: else -> skip
		fi
	}
	if
	:: goto rollback
	:: skip
	fi;
	atomic {					/* commit, durably; the primary key may refuse it */
		STEP(mine);
		if
		:: retried > 0 && d_outcome[retried] -> goto rollback
		:: retried > 0 && !d_outcome[retried] -> record(retried)
		:: else -> skip
		fi;
		if
		:: failed > 0 -> record_end(failed, FAILED)
		:: else -> skip
		fi
	}
	atomic {					/* commit_ops, and the answer arrives */
		STEP(mine);
		if
		:: going -> l_used = false; m_known = false; m_holder = NOBODY
		:: else -> skip
		fi;
		if
		:: n_holder == me && (said || n_attempt == retried) -> n_used = false; n_holder = NOBODY
		:: else -> skip
		fi;
		if
		:: taken ->
			m_holder = NOBODY;
			token = l_attempt;
			assert(!reported);				/* nothing reported complete runs again */
			starts++;
			assert(starts <= MAX_ATTEMPTS);	/* a poison job comes to an end */
			worker = me
		:: else -> skip
		fi;
		goto broken
	}
rollback:
	atomic {					/* abort_ops */
		STEP(mine);
		if
		:: going -> m_holder = NOBODY
		:: else -> skip
		fi;
		if
		:: taken -> l_used = false; m_attempts--; m_ready = true; m_holder = NOBODY
		:: else -> skip
		fi;
		if
		:: n_holder == me -> n_holder = NOBODY
		:: else -> skip
		fi;
		goto broken
	}

complete:
	mine = epoch;
	atomic {					/* queue_xact_hold_claim, waiting for who holds it */
		(m_holder == NOBODY || epoch != mine);
		STEP(mine);
		if
		:: m_known && l_used && TOKEN_FITS -> m_holder = me; held = m_attempts
		:: else -> token = 0; goto broken	/* refused: the claim is lost */
		fi
	}
	if
	:: goto undo
	:: skip
	fi;
	SETTLE_EARLY
	atomic {					/* commit, durably; the primary key may refuse it */
		STEP(mine);
		if
		:: d_outcome[held] -> goto refused
		:: else -> skip
		fi;
		assert(worker == me);	/* fencing: nobody has begun it since */
		record_end(held, COMPLETED)
	}
	atomic {					/* commit_ops, and the answer arrives */
		STEP(mine);
		l_used = false; m_known = false; m_holder = NOBODY;
		token = 0; held = 0; reported = true;
		goto broken
	}
refused:
	token = 0;
undo:
	atomic {					/* abort_ops */
		STEP(mine);
		m_holder = NOBODY;
		goto broken
	}
end:
	skip
}

/* Leases come to their ends. */
proctype clock()
{
	do
	:: atomic { l_used && !l_over -> l_over = true }
	:: break
	od
}

/* queue_leases_start and a scan; an adopted job's rows are not trusted. */
proctype crash()
{
	byte crashes;

	do
	:: crashes < CRASHES ->
		atomic {
			crashes++;
			epoch++;
			n_holder = NOBODY;
			m_holder = NOBODY;
			m_unverified = true;
			m_known = (l_used || d_status == PENDING);
			m_ready = !l_used && d_status == PENDING;
			m_attempts = (l_used -> l_attempt : (n_used && n_attempt > d_last -> n_attempt : d_last))
		}
	:: break
	od
}

/* When all have come to rest: nothing is lost, nothing is stuck. */
proctype rest()
{
	timeout;
	assert(m_holder == NOBODY);
	assert(d_status != PENDING || (m_known && (m_ready || l_used)));
	assert(!reported || d_status == COMPLETED)
}

init
{
	byte i;

	atomic {
		for (i : 0 .. CLIENTS - 1) {
			run client(i)
		}
		run clock();
		run crash();
		run rest()
	}
}
