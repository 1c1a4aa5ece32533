/*
 * Shutting down in three steps, as a service does on Ctrl-C:
 *
 *      end of the jobs   shutdown       finish all that was accepted
 *      first SIGINT      shutdown_soon  finish what runs, hand back the rest
 *      second            shutdown_now   cancel what runs as well
 *      third             exit at once
 *
 *      graceful [JOBS [MILLISECONDS EACH]]
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir/weir.h>

static sigset_t signals;
static atomic_int ok, cancelled, handed_back;

static weir_status
work(weir_ctx *ctx, const void *in, void *out, void *user)
{
	(void)out;
	(void)user;
	return weir_ctx_sleep(ctx, *(const int64_t *)in);
}

static void
count(const weir_result *result, const void *in, void *out, void *user)
{
	(void)in;
	(void)out;
	(void)user;
	atomic_fetch_add(result->status == WEIR_OK ? &ok : &cancelled, 1);
}

static void
take_back(uint64_t id, const void *in, void *user)
{
	(void)id;
	(void)in;
	(void)user;
	atomic_fetch_add(&handed_back, 1);
}

/*
 * The thread that waits for signals.  It passes a context that is done, so
 * that its calls raise the level and return: the next signal must be heard.
 */
static void *
handle_signals(void *argument)
{
	weir_pool *pool = argument;
	weir_ctx *at_once = NULL;
	weir_status status = weir_ctx_new(&at_once, NULL, 0);
	int number = SIGINT;

	for (int level = 1; status != WEIR_NOMEM; level++) {
		sigwait(&signals, &number);
		if (number == SIGUSR1) /* from main: all is over */
			break;
		puts(level == 1 ? "finishing what runs" : "cancelling");
		fflush(stdout);
		if (level == 1)
			status = weir_pool_shutdown_soon(pool, take_back, NULL,
							 at_once);
		else if (level == 2)
			status = weir_pool_shutdown_now(pool, take_back, NULL,
							at_once);
		else
			_exit(130);
	}
	weir_ctx_unref(at_once);
	return NULL;
}

int
main(int argc, char **argv)
{
	long jobs = argc > 1 ? strtol(argv[1], NULL, 10) : 100;
	int64_t each_ns =
		(argc > 2 ? strtol(argv[2], NULL, 10) : 100) * WEIR_MS;
	weir_pool_options options = WEIR_POOL_OPTIONS_INIT;
	weir_pool *pool;
	pthread_t handler;
	int accepted = 0;

	options.workers = 4;
	options.queue = 8;
	options.in_size = sizeof(each_ns);
	options.run = work;
	options.done = count;
	/* Blocked before there are threads: they inherit it. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (weir_pool_new(&pool, &options) != WEIR_OK ||
	    pthread_create(&handler, NULL, handle_signals, pool) != 0)
		return 1;
	puts("running");
	fflush(stdout);
	while (accepted < jobs &&
	       weir_pool_submit(pool, &each_ns, NULL, NULL) == WEIR_OK)
		accepted++;
	if (weir_pool_shutdown(pool, NULL) != WEIR_OK)
		return 1;
	printf("accepted %d = ok %d + cancelled %d + handed back %d\n",
	       accepted, ok, cancelled, handed_back);
	pthread_kill(handler, SIGUSR1);
	pthread_join(handler, NULL);
	weir_pool_free(pool);
	return 0;
}
