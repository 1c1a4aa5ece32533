/*
 * The push form: submit, next, and the ways to stop.
 *
 * SUBMITTERS threads submit one job each and may give up while they wait for
 * room (the first of them: one that may always leave is never stuck);
 * WORKERS run them; COLLECTORS take results until CLOSED; STOPS calls of
 * close or a shutdown, each of any kind, come at any moment.  A job may fail
 * once and be put on the shelf for another attempt.
 *
 * With STOPS 0 workers and collectors are left waiting in the end, and nothing
 * that comes later hides a wake-up which was lost: when nobody can go on, all
 * must have been delivered.
 *
 *      promise                                         checked as
 *      -------                                         ----------
 *      no accepted job is lost                         the end of init
 *      none is delivered or handed back twice          state[] at each step
 *      nothing is accepted once intake is shut         submitter
 *      nothing begins once SOON has cleared the queue  worker: level < SOON
 *      a worker never waits with a result              give: there is room
 *      finished is not said too early                  the end of stop
 *      everybody ends: no wake-up is lost              no invalid end state,
 *                                                      the end of init
 *
 * Each BUG_ is a mistake that this model must find; see run.
 */

#define RESULTS WORKERS
#define JOBS    SUBMITTERS
#define THREADS (SUBMITTERS + WORKERS + COLLECTORS + STOPS)
#define NOBODY  JOBS

#include "common.pml"

/* Where a job is. */
#define NOWHERE   0
#define ACCEPTED  1
#define RUNNING   2
#define SHELVED   3
#define FINISHED  4
#define DELIVERED 5
#define BACK      6
#define REFUSED   7

byte state[JOBS];
bool tried[JOBS];

byte level, inside;
chan queue = [JOBS] of { byte };
chan shelf = [JOBS] of { byte };
chan results = [JOBS] of { byte };

chan room = [SUBMITTERS] of { byte };
chan taken = [COLLECTORS] of { byte };
chan idle = [WORKERS] of { byte };
chan keeper = [1] of { byte };
chan drained = [STOPS + 1] of { byte };
bool has_keeper;

#define IS_FINISHED (level != OPEN && inside == len(results))

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
	wake_all(room);
#ifdef BUG_CLOSE_WAKES_ONE
	wake_one(taken);
#else
	wake_all(taken);
#endif
	wake_all(drained)
}

/* Whoever brings the end about tells the rest. */
inline notify_if_last()
{
#ifndef BUG_LAST_ONE_SILENT
	if
	:: IS_FINISHED -> notify_all()
	:: else
	fi
#else
	skip
#endif
}

inline give(which)
{
	assert(state[which] == RUNNING);
	assert(len(results) < RESULTS);
	state[which] = FINISHED;
	results ! which;
	wake_one(taken);
	notify_if_last()
}

proctype submitter(byte me; byte job)
{
	bool patient = true;
#ifdef BUG_CLOSED_OUTSIDE
	bool open = level == OPEN;
#endif

	lock();
	do
	:: level == OPEN && len(queue) >= QUEUE && patient && job == 0 ->
		wait_or_leave(room)
	:: level == OPEN && len(queue) >= QUEUE && job > 0 -> wait(room)
	:: else -> break
	od;
	atomic {
		if
#ifdef BUG_CLOSED_OUTSIDE
		:: open && len(queue) < QUEUE ->
#else
		:: level == OPEN && patient ->
#endif
			assert(level == OPEN);
			assert(len(queue) < QUEUE);
			state[job] = ACCEPTED;
			inside++;
			queue ! job;
			notify()
		:: else -> state[job] = REFUSED
		fi;
		mu = false
	}
}

/* One look: the shelf before the queue, and only with room for a result. */
inline take()
{
	if
	:: len(shelf) > 0 ->
		shelf ? job;
		assert(state[job] == SHELVED)
#ifdef BUG_NO_RESULT_ROOM
	:: len(shelf) == 0 && len(queue) > 0 ->
#else
	:: len(shelf) == 0 && len(queue) > 0 &&
	   inside - len(queue) < RESULTS ->
#endif
		queue ? job;
		assert(state[job] == ACCEPTED);
		if
		:: len(queue) < QUEUE -> wake_one(room)
		:: else
		fi
	:: else
	fi;
	if
	:: job != NOBODY -> state[job] = RUNNING; assert(level < SOON)
	:: else
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
end_idle:
		wait_signal()
	fi
}

proctype worker(byte me)
{
	byte job = NOBODY;
	bool announced, patient, finished;

look:
	atomic { !mu -> take() };
	if
	:: job != NOBODY -> goto work
	:: else
	fi;
check:
	atomic { !mu -> finished = IS_FINISHED };
	if
	:: finished -> goto leave
	:: !finished && !announced ->
#ifndef BUG_LOOK_BEFORE_EPOCH
		remember_events();
#endif
		announced = true;
		goto look
	:: else
	fi;
#ifdef BUG_LOOK_BEFORE_EPOCH
	remember_events();
#endif
	lock();
	if
	:: !changed[me] -> idle_wait()
	:: else
	fi;
	unlock();
	announced = false;
	goto check;
work:
	if
	:: announced ->
		announced = false;
		forget_events();
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
#ifdef BUG_LEVEL_OUTSIDE
	bool open = level < SOON;
#endif
	atomic {
		!mu ->
		if
#ifdef BUG_LEVEL_OUTSIDE
		:: !tried[job] && open ->
#else
		:: !tried[job] && level < SOON ->
#endif
			tried[job] = true;
			state[job] = SHELVED;
			shelf ! job;
			notify()
		:: true -> give(job)
		fi;
		job = NOBODY
	};
	goto look;
leave:
	forget_events();
	skip
}

proctype collector(byte me)
{
	bool closed;

	do
	:: lock();
		do
		:: len(results) == 0 && !(level != OPEN && inside == 0) ->
			atomic { taken ! me; mu = false };
end_taken:
			wait_signal()
		:: else -> break
		od;
		atomic {
			if
			:: len(results) > 0 ->
				results ? n;
				assert(state[n] == FINISHED);
				state[n] = DELIVERED;
				n = 0;
				inside--;
				notify();
				notify_if_last()
			:: else -> closed = true
			fi;
			mu = false
		};
		if
		:: closed -> break
		:: else
		fi
	od
}

/* Everything that waits leaves: to the host, or as cancelled. */
inline clear()
{
	do
	:: level >= SOON && len(shelf) > 0 ->
		shelf ? n;
		assert(state[n] == SHELVED);
		state[n] = RUNNING;
		begun ! n;
		n = 0
	:: level >= SOON && len(queue) > 0 ->
		queue ? n;
		unstarted ! n;
		n = 0
	:: else -> break
	od;
	skip
}

/* Their books, one critical section each. */
inline dispose()
{
	do
	:: atomic { !mu && len(begun) > 0 -> begun ? n; give(n); n = 0 }
	:: atomic {
		!mu && len(begun) == 0 && len(unstarted) > 0 ->
		unstarted ? n;
		assert(state[n] == ACCEPTED);
		state[n] = BACK;
		n = 0;
		inside--
	   }
	:: len(begun) == 0 && len(unstarted) == 0 -> break
	od
}

#if STOPS > 0
/* close, shutdown, shutdown_soon or shutdown_now. */
proctype stop(byte me)
{
	byte want;
	bool finished;
	chan unstarted = [JOBS] of { byte };
	chan begun = [JOBS] of { byte };

	/* SOON and NOW differ in contexts only, which are no part of this. */
	if
	:: want = DRAIN
	:: want = SOON
	fi;
	atomic {
		!mu ->
		if
		:: level < want ->
			level = want;
			notify_all()
		:: else
		fi;
		want = 0;
#ifndef BUG_CLEAR_LATER
		clear()
#endif
	};
#ifdef BUG_CLEAR_LATER
	atomic { !mu -> clear() };
#endif
	dispose();
	/* Once for all that were handed back. */
#ifndef BUG_HAND_BACK_SILENT
	atomic { !mu -> finished = IS_FINISHED };
	if
	:: finished -> atomic { !mu -> notify_all(); finished = false }
	:: else
	fi;
#endif
	do
	:: remember_events();
		atomic { !mu -> finished = IS_FINISHED };
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
	/* It said so: nobody has a job in hand, and none is to come. */
	atomic {
		for (n : 0 .. JOBS - 1) {
			assert(state[n] != ACCEPTED && state[n] != RUNNING &&
			       state[n] != SHELVED)
		}
		n = 0
	}
}
#endif

init
{
	byte i;

	atomic {
		for (i : 0 .. SUBMITTERS - 1) { run submitter(i, i) }
		for (i : 0 .. WORKERS - 1) { run worker(SUBMITTERS + i) }
		for (i : 0 .. COLLECTORS - 1) {
			run collector(SUBMITTERS + WORKERS + i)
		}
#if STOPS > 0
		for (i : 0 .. STOPS - 1) {
			run stop(SUBMITTERS + WORKERS + COLLECTORS + i)
		}
#endif
		i = 0
	};
	/* Nobody can go on; with STOPS 0 that is not the same as ended. */
	timeout;
	atomic {
		for (i : 0 .. JOBS - 1) {
			assert(state[i] == DELIVERED || state[i] == BACK ||
			       state[i] == REFUSED)
		}
		assert(inside == 0);
		assert(STOPS == 0 || _nr_pr == 1)
	}
}
