/*
 * What the models share: levels, a mutex, wait queues, the epoch.
 *
 * A wait queue is a channel of the numbers of those who wait.  A waker takes
 * the first one out and signals it, under the mutex, as weir__waitq_wake_one()
 * does; who waits sleeps until its signal, and then takes the mutex again.
 *
 * A statement is a step, as far as it reads or writes one word that others
 * write without the mutex; what is done under the mutex alone is one step.
 *
 * The counter `events` is only ever compared with what it was, so it is kept
 * as what comes of that: changed[i], "events is not what thread i has seen";
 * true as well while i has not looked, which makes fewer states.
 */

#define OPEN  0
#define DRAIN 1
#define SOON  2

bool mu;
bool signalled[THREADS];
bool changed[THREADS] = true;

/* For use within one step; no part of the state. */
hidden byte sleeper, n;

/* For critical sections of several steps. */
inline lock() { atomic { !mu -> mu = true } }
inline unlock() { mu = false }

inline remember_events() { changed[me] = false }
inline forget_events() { changed[me] = true }

inline count_event()
{
	for (n : 0 .. THREADS - 1) { changed[n] = true }
	n = 0
}

inline wake_one(queue)
{
	if
	:: len(queue) > 0 ->
		queue ? sleeper;
		signalled[sleeper] = true;
		sleeper = 0
	:: len(queue) == 0
	fi
}

inline wake_all(queue)
{
	do
	:: len(queue) > 0 ->
		queue ? sleeper;
		signalled[sleeper] = true;
		sleeper = 0
	:: len(queue) == 0 -> break
	od;
	skip
}

inline wait_signal()
{
	atomic { signalled[me] && !mu -> signalled[me] = false; mu = true }
}

/* With the mutex held: wait, and have it again. */
inline wait(queue)
{
	atomic { queue ! me; forget_events(); mu = false };
	wait_signal()
}

/*
 * The same for one who may give up, because a context is done or a time-out
 * has come.  patient is false afterwards if it did: only who is still in the
 * queue has eaten no wake-up.
 */
inline wait_or_leave(queue)
{
	atomic { queue ! me; forget_events(); mu = false };
	atomic {
		!mu -> mu = true;
		if
		:: queue ?? [eval(me)] -> queue ?? eval(me); patient = false
		:: else ->
			assert(signalled[me]);
#ifdef BUG_LEAVER_EATS
			if
			:: patient = false
			:: true
			fi;
#endif
			signalled[me] = false
		fi
	}
}
