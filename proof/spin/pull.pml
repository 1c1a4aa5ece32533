/*
 * The pull form: source and sink, the finished check, surplus workers.
 *
 * WORKERS take jobs from a source that a host feeds (BUSY until it has some
 * more, then poke; CLOSED in the end; with FED all from the start) and give them to a sink; a job may fail
 * once and go to the shelf; STOPS calls of close or a shutdown come at any
 * moment.  At most CAPACITY jobs are inside.  With SURPLUS a worker may rest
 * as long as another is active.
 *
 * Unlike in push form most of this goes on without the pool's mutex: each
 * read and each write of level, source_open, asking, accepted, delivered,
 * sleepers is a step of its own.
 *
 *      promise                                 checked as
 *      -------                                 ----------
 *      no job that came in is lost             state[], the end of init
 *      none reaches the sink twice             sink
 *      never more than CAPACITY inside         source
 *      finished is not said too early          over, at source and sink
 *      no wake-up is lost, everybody ends      the end of init
 *
 * Each BUG_ is a mistake that this model must find; see run.
 */

#define THREADS (WORKERS + STOPS + 1)
#define HOST    (WORKERS + STOPS)
#define NOBODY  JOBS

#include "common.pml"

/* Where a job is. */
#define NOWHERE   0
#define HELD      1
#define SHELVED   2
#define SUNK      3

byte state[JOBS];
bool tried[JOBS];

/* The host's: how many more jobs the source has just now. */
#ifdef FED
byte stock = JOBS;
bool no_more = true;
#else
byte stock;
bool no_more;
#endif

byte level, sleepers, accepted, delivered;
bool source_open = true, asking;
bool source_mu, sink_mu;
chan shelf = [JOBS] of { byte };
byte counted; /* as active */

chan idle = [WORKERS] of { byte };
chan keeper = [1] of { byte };
chan surplus = [WORKERS] of { byte };
chan monitor = [1] of { byte };
chan drained = [STOPS + 1] of { byte };
bool has_keeper, has_monitor;

/* What is true, whatever the counters say. */
byte truly_inside;
bool over;

inline notify()
{
	count_event();
	if
	:: len(idle) > 0 -> wake_one(idle)
	:: len(idle) == 0 -> wake_one(keeper)
	fi
}

inline notify_all()
{
	count_event();
	wake_all(idle);
	wake_all(keeper);
	wake_all(surplus);
	wake_all(monitor);
	wake_all(drained)
}

/* Each word in its turn, none under a mutex. */
inline is_finished()
{
	finished = level != OPEN;
	if
	:: !finished -> finished = !source_open
	:: else
	fi;
#ifdef BUG_ASKING_LAST
	if
	:: finished -> out = delivered; finished = accepted == out; out = 0
	:: else
	fi;
	if
	:: finished -> finished = !asking
	:: else
	fi;
#else
#ifndef BUG_ASKING_IGNORED
	if
	:: finished -> finished = !asking
	:: else
	fi;
#endif
	if
	:: finished -> out = delivered; finished = accepted == out; out = 0
	:: else
	fi;
#endif
	if
	:: finished -> atomic { assert(truly_inside == 0); over = true }
	:: else
	fi
}

inline notify_if_finished()
{
	is_finished();
	if
	:: finished -> atomic { !mu -> notify_all(); finished = false }
	:: else
	fi
}

/* The job has ended: to the sink, and out. */
inline give()
{
#ifdef BUG_COUNT_BEFORE_SINK
	delivered++;
#endif
	atomic { !sink_mu -> sink_mu = true };
	atomic {
		assert(state[job] == HELD);
		assert(!over);
		state[job] = SUNK;
		job = NOBODY;
		truly_inside--;
		sink_mu = false
	};
#ifndef BUG_COUNT_BEFORE_SINK
	delivered++;
#endif
	if
	:: sleepers > 0 ->
		atomic { !mu -> notify() }
	:: else
	fi
}

/* What waits on the shelf when the level is SOON, one by one. */
inline sweep()
{
	do
	:: atomic {
		!mu && len(shelf) > 0 ->
		shelf ? job;
		state[job] = HELD
	   };
	   give()
	:: len(shelf) == 0 -> break
	od
}

/* Ask the source for one; with source_mu held, and asking set. */
inline ask()
{
	finished = level == OPEN;
	if
	:: finished -> finished = source_open
	:: else
	fi;
	/* Only who holds source_mu makes it more. */
	if
	:: finished -> out = delivered; finished = accepted - out < CAPACITY;
		out = 0
	:: else
	fi;
	if
	:: finished && stock > 0 ->
#ifdef BUG_ASKING_DROPPED
		asking = false;
#endif
		atomic {
			stock--;
			job = accepted;
			assert(!over);
			assert(state[job] == NOWHERE);
			state[job] = HELD;
			truly_inside++;
			assert(truly_inside <= CAPACITY)
		};
		accepted++
	:: finished && stock == 0 && no_more -> source_open = false
	:: else
	fi;
	finished = false
}

inline take()
{
	if
	:: level >= SOON -> sweep()
	:: else ->
		if
		:: atomic {
			!mu && len(shelf) > 0 ->
			shelf ? job;
			state[job] = HELD
		   }
		:: true -> /* nothing there, or not yet due */
			atomic { !source_mu -> source_mu = true };
			asking = true;
			ask();
			asking = false;
			source_mu = false
		fi;
		/* There was plenty: another worker may find some more. */
		if
		:: job != NOBODY ->
			if
			:: sleepers > 0 -> atomic { !mu -> notify() }
			:: else
			fi
		:: else
		fi
	fi
}

/* With the mutex held, having found nothing: one minds the time. */
inline idle_wait()
{
	if
	:: len(shelf) > 0 && !has_keeper ->
		has_keeper = true;
		wait_or_leave(keeper);
		has_keeper = false
	:: else ->
		atomic { idle ! me; forget_events(); mu = false };
		wait_signal()
	fi
}

/* Short jobs: let others do them, unless nobody would be left. */
inline rest()
{
	lock();
	if
	:: counted > 1 && level == OPEN && source_open ->
		counted--;
		if
		:: has_monitor -> wait(surplus)
		:: else ->
			has_monitor = true;
			patient = true;
			wait_or_leave(monitor);
			has_monitor = false;
			/* They get nowhere: count them out, wake the rest. */
			if
			:: !patient -> atomic { wake_all(surplus) }
			:: else
			fi
		fi;
		counted++
	:: else
	fi;
	unlock()
}

proctype worker(byte me)
{
	byte job = NOBODY, out;
	bool announced, patient, finished;

	atomic { !mu -> counted++ };
look:
	take();
	if
	:: job != NOBODY -> goto work
	:: else
	fi;
check:
	is_finished();
	if
	:: finished -> goto leave
	:: !finished && !announced ->
#ifndef BUG_LOOK_BEFORE_EPOCH
		sleepers++;
		remember_events();
#endif
		announced = true;
		goto look
	:: else
	fi;
#ifdef BUG_LOOK_BEFORE_EPOCH
	sleepers++;
	remember_events();
#endif
	lock();
#ifdef SURPLUS
	atomic { wake_all(surplus); wake_all(monitor) };
#endif
	if
	:: !changed[me] -> idle_wait()
	:: else
	fi;
	unlock();
	sleepers--;
	announced = false;
	goto check;
work:
	if
	:: announced ->
		announced = false;
		forget_events();
#ifndef BUG_LOOK_BEFORE_EPOCH
		sleepers--;
#endif
		atomic {
			!mu ->
			if
			:: !has_keeper -> wake_one(idle)
			:: else
			fi
		}
	:: else
	fi;
	/* It may fail, once; then it goes to the shelf, if that is open. */
	if
	:: atomic {
		!mu && RETRIES && !tried[job] && level < SOON ->
		tried[job] = true;
		state[job] = SHELVED;
		shelf ! job;
		job = NOBODY;
		notify()
	   }
	:: give()
	fi;
#ifdef SURPLUS
	if
	:: counted > 1 -> rest()
	:: true
	fi;
#endif
	goto look;
leave:
	forget_events();
	finished = false;
#ifndef BUG_LOOK_BEFORE_EPOCH
	if
	:: announced -> sleepers--
	:: else
	fi;
#endif
	atomic { !mu -> counted-- };
#ifndef BUG_LEAVE_SILENT
	notify_if_finished()
#endif
}

#ifndef FED
/* Gives the source its jobs, one at a time, and says so each time. */
proctype host(byte me)
{
	byte given;

	do
	:: given < JOBS -> stock++; given++; atomic { !mu -> notify() }
	:: given == JOBS -> break
	od;
	given = 0;
	no_more = true;
	atomic { !mu -> notify() }
}
#endif

#if STOPS > 0
/* close, shutdown, shutdown_soon or shutdown_now. */
proctype stop(byte me)
{
	byte want, job = NOBODY, out;
	bool finished;
	chan begun = [JOBS] of { byte };

	/* SOON and NOW differ in contexts only, which are no part of this. */
	if
	:: want = DRAIN
	:: want = SOON
	fi;
	lock();
	if
	:: level < want -> level = want; atomic { notify_all() }
	:: else
	fi;
	atomic {
		want = 0;
		do
		:: level >= SOON && len(shelf) > 0 ->
			shelf ? n;
			state[n] = HELD;
			begun ! n;
			n = 0
		:: else -> break
		od;
		mu = false
	};
	do
	:: len(begun) > 0 -> begun ? job; give()
	:: len(begun) == 0 -> break
	od;
	notify_if_finished();
	sleepers++;
	do
	:: remember_events();
		is_finished();
		if
		:: finished -> forget_events(); break
		:: else
		fi;
		lock();
		if
		:: !changed[me] -> wait(drained)
		:: else
		fi;
		unlock()
	od;
	sleepers--
}
#endif

init
{
	byte i;

	atomic {
		for (i : 0 .. WORKERS - 1) { run worker(i) }
#if STOPS > 0
		for (i : 0 .. STOPS - 1) { run stop(WORKERS + i) }
#endif
#ifndef FED
		run host(HOST);
#endif
		i = 0
	};
	timeout;
	atomic {
		assert(_nr_pr == 1);
		for (i : 0 .. JOBS - 1) {
			assert(state[i] == SUNK || i >= accepted)
		}
		assert(accepted == delivered && truly_inside == 0);
		assert(sleepers == 0)
	}
}
