/*
 * Mutants: mistakes that can be switched on, one at a time, to see whether a
 * checker notices.  Each memory order, wake-up and second look that this
 * library relies on has one; `make prove` plants them all
 * (docs/verification.md).
 *
 * Only checked builds can be told to make mistakes: there weir__mutant is the
 * number of the one that is planted.  Elsewhere WEIR_MUTATED() is a constant
 * false, and nothing is left of it in the code.
 */
#ifndef WEIR_SRC_SYNC_MUTANT_H
#define WEIR_SRC_SYNC_MUTANT_H

/* Name, and the mistake in a few words.  Sorted by file. */
#define WEIR_MUTANT_TABLE(X)                                                   \
	X(MUTEX_LOCK_ORDER, "taking a free mutex does not acquire")            \
	X(MUTEX_SPIN_ORDER, "taking a spun-for mutex does not acquire")        \
	X(MUTEX_SLOW_ORDER, "taking a contended mutex does not acquire")       \
	X(MUTEX_UNLOCK_ORDER, "giving a mutex back does not release")          \
	X(MUTEX_UNLOCK_WAKE, "giving a mutex back wakes nobody")               \
	X(MUTEX_SLEEP_MARK, "a waiter takes the mutex as if it was alone")     \
	X(PARK_SIGNAL_ORDER, "a signal does not release")                      \
	X(PARK_SEEN_ORDER, "an owner that sees a signal does not acquire")     \
	X(PARK_RESET_ORDER, "forgetting a signal does not acquire")            \
	X(PARK_KICK, "a parked owner is not kicked")                           \
	X(PARK_TIMEOUT_RACE, "a signal at the last moment is lost")            \
	X(PARK_LATE_ORDER, "a signal at the last moment is not acquired")      \
	X(CTX_STATE_STORE, "ending a context does not release")                \
	X(CTX_STATE_LOAD, "seeing that a context ended does not acquire")      \
	X(CTX_UNREF_ORDER, "the last reference does not see the others")       \
	X(CTX_UNSHARED_ORDER, "the last owner does not see the others")        \
	X(CTX_TRY_REF, "a dying child is given one more reference")            \
	X(CTX_WATCH_DONE, "a watch on an ended context is not fired")          \
	X(CTX_ONCE, "a context ends twice")                                    \
	X(CTX_FIRE, "ending a context fires its first watch only")             \
	X(CTX_DESCEND, "ending a context ends its children only")              \
	X(CTX_UNWATCH_LOCK, "unwatching does not wait for the fire")           \
	X(CTX_REARM_WATCH, "a rearmed context does not join its parent")       \
	X(CTX_SLEEP_KICK, "cancelling does not kick a sleeper")                \
	X(WAIT_JOIN_LATE, "a waiter lets go before it joins the queue")        \
	X(WAIT_FIRE_KICK, "cancelling does not kick a waiter")                 \
	X(WAIT_EATEN, "a cancelled waiter keeps the wake-up it has eaten")     \
	X(WAIT_LEAVE, "a waiter that gives up stays in the queue")             \
	X(WAIT_KICK, "waking one does not kick it")                            \
	X(WAIT_ALL, "waking all wakes the first")                              \
	X(LIMIT_LOCK, "a token is taken without the lock")                     \
	X(LIMIT_RETURN, "who gives up keeps its token")                        \
	X(ATTEMPT_FIRED_ORDER, "telling of an ended context does not release") \
	X(ATTEMPT_FIRED_WAKE, "an ended context does not wake its worker")     \
	X(ATTEMPT_DEAD_CTX, "a job of an ended context is begun")              \
	X(ATTEMPT_SHELF_WATCH, "a job in back-off does not watch its context") \
	X(ATTEMPT_HURRIED_RESET,                                               \
	  "a cancellation before back-off is forgotten")                       \
	X(ATTEMPT_SHELF_WAKE, "nobody is told when a back-off ends")           \
	X(ATTEMPT_SHELF_UNWATCH, "a job that did not back off is watched on")  \
	X(ATTEMPT_DONE_WAKE, "the end of a job does not wake its worker")      \
	X(ASYNC_FIRED_ORDER, "being told of ended contexts does not acquire")  \
	X(ASYNC_TIMER, "a worker sleeps past its jobs' time-outs")             \
	X(ASYNC_SLEEPER_ORDER, "announcing a sleeper has no order")            \
	X(ASYNC_LOOK_AGAIN, "an async worker sleeps without a second look")    \
	X(ASYNC_IDLE_DONE, "an idle worker sleeps on jobs that have ended")    \
	X(ASYNC_BUSY_DONE, "a busy worker sleeps on jobs that have ended")     \
	X(ASYNC_IDLE_LEAVE, "a worker sleeps although the pool has finished")  \
	X(ASYNC_EVENTS, "an async worker sleeps although something happened")  \
	X(ASYNC_RESET_LATE, "a worker forgets signals after it has looked")    \
	X(ASYNC_LEAVE_TELL, "an async worker that leaves tells nobody")        \
	X(STOP_LEVEL_ORDER, "the level rises without order")                   \
	X(STOP_LEVEL_WAKE, "nobody is woken when the level rises")             \
	X(STOP_DISPOSE_TELL, "the last job that is disposed of tells nobody")  \
	X(STOP_INTAKE, "a shutdown does not end a source's wait")              \
	X(STOP_CANCEL, "shutdown_now does not tell running jobs")              \
	X(STOP_DRAIN_LOOK, "a shutdown waits without a look")                  \
	X(STOP_DRAIN_EVENTS, "a shutdown waits although something happened")   \
	X(LINE_END_FINISH, "the last item ends, and nobody learns of it")      \
	X(LINE_END_UNCOUNT, "the last item is refused, nobody learns of it")   \
	X(LINE_END_CLOSE, "an empty pipeline is closed, nobody learns of it")  \
	X(LINE_RESULT_WAKE, "an item's result wakes no collector")             \
	X(LINE_ROOM_WAKE, "room for an item's result wakes no worker")         \
	X(LINE_LIFT, "shutdown_now does not lift the bound on results")        \
	X(LINE_LIFT_WAKE, "workers are not told that the bound is lifted")     \
	X(SUBMIT_LEVEL, "a submitter looks whether it is open too early")      \
	X(RETURN_ORDER, "a record goes back without a release")                \
	X(REUSE_ORDER, "a record is used again without an acquire")            \
	X(PUBLISH_ORDER, "a job is published without a release")               \
	X(PUBLISH_FENCE,                                                       \
	  "a job is published, and sleepers are not looked for in order")      \
	X(INBOX_TAKE_ORDER, "a job is taken without an acquire")               \
	X(INBOX_LEFT_ORDER, "a place in the inbox is freed without a release") \
	X(LEFT_SEEN_ORDER, "a place in the inbox is used without an acquire")  \
	X(WAKE_WORKER, "a submitter wakes no worker")                          \
	X(WAKE_SUBMITTER, "a worker wakes no submitter")                       \
	X(WAKE_COLLECTOR, "a result wakes no collector")                       \
	X(FLUSH, "an idle worker leaves the patient waiting")                  \
	X(WAKE_NEXT_WORKER, "a worker with plenty wakes no other")             \
	X(ROOM_ASK_ORDER, "a worker asks for room without order")              \
	X(ROOM_LOOK_AGAIN, "a worker that asked for room does not look again") \
	X(DELIVERED_ORDER, "a result is counted out without order")            \
	X(WAKE_FOR_ROOM, "whoever makes room for results wakes nobody")        \
	X(WAKE_LAST_DELIVERED, "the last result that is taken wakes nobody")   \
	X(HELP_PASS_ON, "who was woken to help and cannot tells nobody")       \
	X(WAKE_LENT, "a worker that was lent is not woken")                    \
	X(CLAIM_ORDER, "a claim on a batch has no order")                      \
	X(LOOK_AGAIN, "a worker sleeps without a second look")                 \
	X(EVENT_CHECK, "a worker sleeps although something happened")          \
	X(CHAN_SEND_WAKE, "a send wakes no receiver")                          \
	X(CHAN_SEND_MANY_WAKE, "sending many wakes one receiver")              \
	X(CHAN_TRY_SEND_WAKE, "a try_send wakes no receiver")                  \
	X(CHAN_RECV_WAKE, "a receive wakes no sender")                         \
	X(CHAN_TRY_RECV_WAKE, "a try_recv wakes no sender")                    \
	X(CHAN_CLOSE_ROOM, "closing wakes one sender")                         \
	X(CHAN_CLOSE_DATA, "closing wakes one receiver")                       \
	X(CHAN_CLOSED_LOOK,                                                    \
	  "a sender that has waited does not look whether it is closed")       \
	X(PULL_ASKING_ORDER,                                                   \
	  "a worker asks the source without saying so in time")                \
	X(PULL_PLENTY_WAKE, "a full batch wakes no other worker")              \
	X(PULL_DELIVERED_ORDER, "a result is counted out without order")       \
	X(PULL_ROOM_WAKE, "a delivered job wakes no worker")                   \
	X(PULL_CANCEL_WAKE, "the run's context ends, and nobody wakes")        \
	X(PULL_WRITE_OFF, "the monitor does not wake the surplus")             \
	X(KEEPER_TELL, "the timekeeper does not learn of an earlier moment")   \
	X(KEEPER_REPLACE,                                                      \
	  "a timekeeper that leaves for a job has no successor")               \
	X(SLEEPER_ORDER, "a sleeper is announced without order")               \
	X(WATCHFUL_ORDER,                                                      \
	  "a worker that goes to sleep counts out without order")              \
	X(DISARM, "a timekeeper that leaves is counted on")                    \
	X(RESCUE, "nobody takes over what is stuck")

enum weir_mutant {
	WEIR_MUTANT_NONE,
#define WEIR_MUTANT_ENUM(name, mistake) WEIR_MUTANT_##name,
	WEIR_MUTANT_TABLE(WEIR_MUTANT_ENUM)
#undef WEIR_MUTANT_ENUM
		WEIR_MUTANTS
};

#ifdef WEIR_CHECKED
extern enum weir_mutant weir__mutant;
#define WEIR_MUTATED(name) (weir__mutant == WEIR_MUTANT_##name)
#else
#define WEIR_MUTATED(name) 0
#endif

/* The memory order of an operation, and the weaker one of its mutant. */
#define WEIR_ORDER(name, order, weaker) \
	(WEIR_MUTATED(name) ? (weaker) : (order))

#endif
