/*
 * What a child writes: from its pipes into spools, and out as chunks.
 *
 * Design.  All pipes of a reactor are read through one buffer; what is read
 * goes into the stream's spool at once.  With LINES each read that has a
 * newline in it gives a chunk, and what is behind the last newline begins the
 * next one:
 *
 *      spool   "...begun earlier" + "up to the newline\n"  --> hooks.chunk
 *      rest                          "begun"               --> spool
 *
 * When the hook has no room, spool keeps the lines, rest what was read behind
 * them, and the pipe is left alone until somebody pokes.  That ends with the
 * child: what is in the pipe by then is one pipe's worth, is kept, and goes
 * with the result, so that an end never waits for a reader.
 *
 * Locking: everything is the reactor's thread's.
 */
#include "exec/reactor.h"

#include "base/assert.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* At an attempt's end; a pipe holds less, but somebody may write on. */
#define READS_AT_END 32

void
weir__exec_stream_init(struct weir_exec_stream *stream, int fd,
		       struct weir_spool *spool)
{
	stream->fd = fd;
	stream->watched = false;
	stream->refused = false;
	stream->bytes = 0;
	stream->spool = spool;
	stream->rest.budget = spool->budget;
}

/* Into a spool, or the whole run is over. */
static void
keep(struct weir_exec_engine *engine, struct weir_spool *spool,
     const char *data, size_t len)
{
	int failed;

	if (weir__u32_load(&engine->fatal, WEIR_RELAXED))
		return;
	failed = weir__spool_append(spool, data, len);
	if (failed)
		weir__exec_engine_fatal(engine, failed);
}

static bool
offer_chunk(struct weir_exec_run *run, struct weir_exec_stream *stream)
{
	const struct weir_exec_hooks *hooks = &run->reactor->engine->hooks;

	return stream->spool->len == 0 ||
	       hooks->chunk(run->command, stream->is_err, stream->spool,
			    hooks->user);
}

/* There was no room for lines: let the pipe be, until there is. */
static void
refuse(struct weir_exec_run *run, struct weir_exec_stream *stream)
{
	stream->refused = true;
	weir__u32_add(&run->reactor->engine->refused, 1, WEIR_SEQ_CST);
	weir__exec_unwatch_stream(run, stream);
}

static void
unrefuse(struct weir_exec_run *run, struct weir_exec_stream *stream)
{
	stream->refused = false;
	weir__u32_sub(&run->reactor->engine->refused, 1, WEIR_RELAXED);
	weir__spool_move(stream->spool, &stream->rest);
}

/*
 * The child has ended: what was refused goes with the result, and so does what
 * was read behind it.
 */
static void
unrefuse_at_end(struct weir_exec_run *run, struct weir_exec_stream *stream)
{
	char *buffer = run->reactor->buffer;
	long len;

	stream->refused = false;
	weir__u32_sub(&run->reactor->engine->refused, 1, WEIR_RELAXED);
	while ((len = weir__spool_read(&stream->rest, buffer,
				       WEIR_EXEC_BUFFER)) > 0)
		keep(run->reactor->engine, stream->spool, buffer, (size_t)len);
	if (len < 0)
		weir__exec_engine_fatal(run->reactor->engine, errno);
	weir__spool_fini(&stream->rest);
}

bool
weir__exec_stream_offer(struct weir_exec_run *run,
			struct weir_exec_stream *stream)
{
	if (!stream->refused)
		return true;
	if (!offer_chunk(run, stream))
		return false;
	unrefuse(run, stream);
	return true;
}

/* With LINES, while the child runs: pass on what is complete. */
static void
take_lines(struct weir_exec_run *run, struct weir_exec_stream *stream,
	   const char *data, size_t len)
{
	struct weir_exec_engine *engine = run->reactor->engine;
	const char *newline = memrchr(data, '\n', len);
	size_t whole = newline ? (size_t)(newline - data) + 1 : 0;

	keep(engine, stream->spool, data, whole);
	if (whole == 0 || offer_chunk(run, stream)) {
		keep(engine, stream->spool, data + whole, len - whole);
		return;
	}
	keep(engine, &stream->rest, data + whole, len - whole);
	refuse(run, stream);
	/* There may have been room before it was known that we need it. */
	(void)weir__exec_stream_offer(run, stream);
}

/* One read.  -1: nothing there just now; 0: the end; 1: there was something. */
static int
read_once(struct weir_exec_run *run, struct weir_exec_stream *stream)
{
	struct weir_exec_engine *engine = run->reactor->engine;
	char *buffer = run->reactor->buffer;
	ssize_t len;

	do {
		len = read(stream->fd, buffer, WEIR_EXEC_BUFFER);
	} while (len < 0 && errno == EINTR);
	if (len < 0 && errno == EAGAIN)
		return -1;
	if (len <= 0)
		return 0;
	stream->bytes += (uint64_t)len;
	if (engine->options.output == WEIR_EXEC_LINES &&
	    run->phase != WEIR_EXEC_LINGERING)
		take_lines(run, stream, buffer, (size_t)len);
	else
		keep(engine, stream->spool, buffer, (size_t)len);
	return 1;
}

static void
close_stream(struct weir_exec_stream *stream)
{
	/* That takes it out of the epoll, too. */
	(void)close(stream->fd);
	stream->fd = -1;
	stream->watched = false;
}

bool
weir__exec_stream_read(struct weir_exec_run *run,
		       struct weir_exec_stream *stream, bool all)
{
	int reads = all ? READS_AT_END : 1, got = 1;

	if (stream->fd < 0)
		return false;
	if (stream->refused && all)
		unrefuse_at_end(run, stream);
	while (got > 0 && reads-- > 0 && !stream->refused)
		got = read_once(run, stream);
	if (got == 0)
		close_stream(stream);
	return got != 0;
}

void
weir__exec_stream_end(struct weir_exec_run *run,
		      struct weir_exec_stream *stream, bool will_retry)
{
	enum weir_exec_output output = run->reactor->engine->options.output;

	if (stream->fd >= 0)
		close_stream(stream);
	if (stream->refused)
		unrefuse_at_end(run, stream);
	if (!stream->spool || !will_retry)
		return;
	/*
	 * One output for each job: that of its last attempt.  Which this may
	 * turn out to be, if the run is stopped before there is another.
	 */
	if (output == WEIR_EXEC_LINES || stream->is_err)
		(void)offer_chunk(run, stream);
}
