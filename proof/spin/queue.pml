/*
 * Durable jobs: claim, heartbeat, rescue and finish, as src/queue/README.md
 * has them ("Who owns a job").
 *
 * WORKERS processes work a store of JOBS jobs, RESCUERS look for dead ones.  A
 * step is a transaction.  Time is "at any moment": a worker may stop between
 * any two steps, be taken for dead, and come back; it may die, leave, and
 * begin anew.  It may hand in an outcome a second time, however late, as
 * who does not know whether a commit has reached the disk.  A rescuer has
 * looked at a client's beat, and acts on that whenever it likes.  A rescue
 * gives back one job at a time.
 *
 * The clock stands still: the times of two claims of a job differ because the
 * store sees to that.  With STILL it does not, as where the time is another
 * database's business; then who hands in an outcome twice must have enlisted
 * anew in between, and the owner makes the difference.
 *
 *      promise                                         checked as
 *      -------                                         ----------
 *      no job is lost                                  who runs one is there
 *                                                      to be rescued: check;
 *                                                      the end of init
 *      two never run one at once                       claim: nobody is live
 *      no stale outcome is accepted                    finish: its claim is
 *      no other is refused                             live, or is not
 *      an effect through complete_tx comes once        finish: effects
 *      what is done stays done                         check
 *      who is alive keeps its jobs                     rescue: its beat is the
 *                                                      one that was seen
 *
 * Each BUG_ is a mistake that this model must find; see run.
 */

#define AVAILABLE 0
#define RUNNING   1
#define DONE      2

#define NOBODY 0

/* The store: jobs, and clients by id. */
byte state[JOBS], attempt[JOBS], stamp[JOBS], owner[JOBS];
bool client[IDS + 1];
bit beat[IDS + 1];
byte last_id;

/* What the model knows beside it: the live claim, by its number. */
byte live[JOBS], effects[JOBS];
bool was_done[JOBS];
byte claims;
#ifdef BUG_ID_AGAIN
byte lives[IDS + 1]; /* how often an id was given */
#endif

byte working = WORKERS;

/* For use within one step; no part of the state. */
hidden byte n;

inline check()
{
	for (n : 0 .. JOBS - 1) {
		assert((state[n] == RUNNING) == (live[n] != NOBODY));
		assert(state[n] != RUNNING || client[owner[n]]);
		assert(!was_done[n] || state[n] == DONE);
		was_done[n] = (state[n] == DONE)
	}
	n = 0
}

/*
 * Is that claim (job, attempt, stamp) of that owner the one under which the
 * job runs?
 */
#if defined(BUG_STATE_ONLY)
#define FENCED(j, a, s, o) (state[j] == RUNNING)
#elif defined(BUG_NO_OWNER)
#define FENCED(j, a, s, o) \
	(state[j] == RUNNING && attempt[j] == a && stamp[j] == s)
#elif defined(BUG_NO_STAMP)
#define FENCED(j, a, s, o) \
	(state[j] == RUNNING && attempt[j] == a && owner[j] == o)
#else
#define FENCED(j, a, s, o)                                         \
	(state[j] == RUNNING && attempt[j] == a && stamp[j] == s && \
	 owner[j] == o)
#endif

/* A turn of one who was taken for dead does nothing. */
#ifdef BUG_DEAD_CLAIM
#define MAY_CLAIM true
#else
#define MAY_CLAIM client[mine]
#endif

/* Give back, with or without its attempt. */
inline give_back(j)
{
	state[j] = AVAILABLE;
	owner[j] = NOBODY;
	live[j] = NOBODY
}

/* What is over needs no fence: one state instead of many. */
inline done(j)
{
	state[j] = DONE;
	attempt[j] = 0;
	stamp[j] = 0;
	owner[j] = NOBODY;
	live[j] = NOBODY
}

inline gone(id)
{
	client[id] = false;
	beat[id] = 0
}

inline claim(j)
{
	assert(live[j] == NOBODY);
	state[j] = RUNNING;
	attempt[j]++;
#ifndef STILL
	stamp[j]++;
#endif
	owner[j] = mine;
	claims++;
	live[j] = claims;
	has[j] = true;
	my_attempt[j] = attempt[j];
	my_stamp[j] = stamp[j];
	number[j] = claims
}

/*
 * Hand in an outcome of a claim: completed in a transaction with an effect,
 * completed, to be retried, or released, which gives the attempt back.
 */
inline finish(j, a, s, o, claim_number)
{
	if
	:: FENCED(j, a, s, o) ->
		assert(live[j] == claim_number);
		if
		:: effects[j]++; assert(effects[j] <= 1); done(j)
		:: done(j)
		:: give_back(j)
		:: attempt[j]--; give_back(j)
		fi
	:: else ->
		assert(live[j] != claim_number);
#ifdef BUG_EFFECT_STAYS
		/* The transaction of the effect is not rolled back. */
		effects[j]++;
		assert(effects[j] <= 1);
#endif
	fi;
	check()
}

/* The claim is no more held, but may be handed in again. */
inline put_by(j)
{
	again = true;
	old_job = j;
	old_attempt = my_attempt[j];
	old_stamp = my_stamp[j];
	old_number = number[j];
	old_owner = mine;
	drop(j)
}

inline drop(j)
{
	has[j] = false;
	my_attempt[j] = 0;
	my_stamp[j] = 0;
	number[j] = 0
}

inline forget()
{
	again = false;
	old_job = 0;
	old_attempt = 0;
	old_stamp = 0;
	old_number = 0;
	old_owner = 0
}

/* Whose a late outcome is: who hands it in, or whose claim it was. */
#ifdef STILL
#define MAY_COME_AGAIN (again && old_owner != mine)
#define OLD_OWNER      old_owner
#else
#define MAY_COME_AGAIN again
#define OLD_OWNER      mine
#endif

#if JOBS == 1
#define HAS_NONE (!has[0])
#else
#define HAS_NONE (!has[0] && !has[1])
#endif

proctype worker()
{
	byte mine;
	/* The claims that it holds, and one of which it is not sure. */
	bool has[JOBS], again;
	byte my_attempt[JOBS], my_stamp[JOBS], number[JOBS];
	byte old_job, old_attempt, old_stamp, old_number, old_owner;

enlist:
	atomic {
		for (n : 0 .. JOBS - 1) {
			if
			:: has[n] -> put_by(n)
			:: else
			fi
		}
		n = 0;
#ifdef BUG_ID_AGAIN
		if
		:: last_id > 0 && !client[last_id] && lives[last_id] < 2
		:: last_id < IDS -> last_id++
		:: else -> goto out
		fi;
#else
		if
		:: last_id < IDS -> last_id++
		:: else -> goto out
		fi;
#endif
		mine = last_id;
		client[mine] = true;
#ifdef BUG_ID_AGAIN
		lives[mine]++
#endif
	}
	do
	:: atomic {
		/* As many as there are, in one turn. */
		HAS_NONE && claims < CLAIMS && state[0] == AVAILABLE ->
		if
		:: MAY_CLAIM -> claim(0)
		:: else -> goto enlist
		fi;
#if JOBS > 1
		if
		:: claims < CLAIMS && state[1] == AVAILABLE -> claim(1)
		:: else
		fi;
#endif
		check()
	   }
#if JOBS > 1
	:: atomic {
		HAS_NONE && claims < CLAIMS && state[1] == AVAILABLE ->
		if
		:: MAY_CLAIM -> claim(1)
		:: else -> goto enlist
		fi;
		check()
	   }
	:: atomic {
		has[1] ->
		finish(1, my_attempt[1], my_stamp[1], mine, number[1]);
		put_by(1)
	   }
#endif
	:: atomic {
		has[0] ->
		finish(0, my_attempt[0], my_stamp[0], mine, number[0]);
		put_by(0)
	   }
	:: atomic {
		MAY_COME_AGAIN ->
		finish(old_job, old_attempt, old_stamp, OLD_OWNER, old_number);
		forget()
	   }
	:: atomic {
		if
		:: !client[mine] -> goto enlist
		:: client[mine] && beat[mine] == 0 -> beat[mine] = 1
		fi
	   }
	:: atomic {
		/* Leave, giving back what it has; and perhaps come again. */
		client[mine] ->
		for (n : 0 .. JOBS - 1) {
			if
			:: state[n] == RUNNING && owner[n] == mine ->
				attempt[n]--;
				give_back(n)
			:: else
			fi
		}
		n = 0;
		gone(mine);
		check();
		if
		:: goto enlist
		:: goto out
		fi
	   }
	:: goto out /* it dies */
	od;
out:
	atomic {
		for (n : 0 .. JOBS - 1) { drop(n) }
		n = 0;
		forget();
		mine = 0;
		working--
	}
}

#if IDS == 2
#define NO_CLIENT (!client[1] && !client[2])
#elif IDS == 3
#define NO_CLIENT (!client[1] && !client[2] && !client[3])
#elif IDS == 4
#define NO_CLIENT (!client[1] && !client[2] && !client[3] && !client[4])
#endif

inline look_at(id)
{
	who = id;
	seen = beat[id];
	looked = true;
#ifdef BUG_ID_AGAIN
	seen_life = lives[id];
#endif
#ifdef BUG_RESCUE_BY_ID
	for (n : 0 .. JOBS - 1) {
		noted[n] = (state[n] == RUNNING && owner[n] == id)
	}
	n = 0
#endif
}

/* What of the client is there to be rescued? */
#ifdef BUG_RESCUE_BY_ID
#define IS_TO_BE_RESCUED(j) noted[j]
#else
#define IS_TO_BE_RESCUED(j) (state[j] == RUNNING && owner[j] == who)
#endif

#if defined(BUG_NO_BEAT)
#define IS_DEAD client[who]
#else
#define IS_DEAD (client[who] && beat[who] == seen)
#endif

inline rescue_one(j)
{
	give_back(j);
#ifdef BUG_RESCUE_BY_ID
	noted[j] = false;
#endif
#ifdef BUG_ROW_FIRST
	gone(who)
#endif
}

proctype rescuer()
{
	byte who;
	bit seen;
	bool looked;
#ifdef BUG_ID_AGAIN
	byte seen_life;
#endif
#ifdef BUG_RESCUE_BY_ID
	bool noted[JOBS];
#endif

	do
	:: atomic { !looked && client[1] -> look_at(1) }
	:: atomic { !looked && client[2] -> look_at(2) }
#if IDS > 2
	:: atomic { !looked && client[3] -> look_at(3) }
#endif
#if IDS > 3
	:: atomic { !looked && client[4] -> look_at(4) }
#endif
	:: atomic {
		looked ->
		if
		:: IS_DEAD ->
			assert(beat[who] == seen);
#ifdef BUG_ID_AGAIN
			assert(lives[who] == seen_life);
#endif
			if
			:: IS_TO_BE_RESCUED(0) -> rescue_one(0)
#if JOBS > 1
			:: IS_TO_BE_RESCUED(1) -> rescue_one(1)
#endif
			:: else ->
				gone(who);
				looked = false
			fi
		:: else -> looked = false
		fi;
		check();
		if
		:: !looked -> who = 0; seen = 0
		:: looked
		fi
	   }
	:: atomic { !looked && working == 0 && NO_CLIENT -> break }
	od
}

init
{
	byte i;

	atomic {
		for (i : 1 .. WORKERS) { run worker() }
		for (i : 1 .. RESCUERS) { run rescuer() }
		i = 0
	}
	/* When all have gone, each job is done or can be claimed. */
	(_nr_pr == 1);
	for (i : 0 .. JOBS - 1) {
		assert(state[i] == DONE || state[i] == AVAILABLE);
		assert(effects[i] == 0 || state[i] == DONE)
	}
}
