/*
 * What happened to jobs, noted by all who took part, for a judge to read.
 *
 * A history is a file of lines of words.  Every process opens it for itself
 * and appends; the order of the lines is the order in which they were written.
 * What may happen is noted before it can, what has happened after it has, so
 * that a process that is killed in between leaves out what is certain and not
 * what is possible.
 *
 *      submit KEY [once]     asked for before the insert; once: its effect is
 *                            promised to happen once
 *      ack KEY ID            the insert was acknowledged
 *      refuse KEY            the insert was answered with an error: it is not
 *                            there, and never will be
 *      claim ID FENCE        a handler begins with it
 *      effect ID FENCE       its effect has been committed
 *      complete ID FENCE     its completion has been committed
 *      give ID FENCE         the handler is about to return: from here on the
 *                            fence may be over
 *      over ID FENCE STATE   the fence is over, and that is what came of it
 *      stale ID FENCE        its owner was told that it has lost it
 *      rescue ID FENCE       it was taken from an owner that seemed dead
 *      ask ID ACTION         retry, cancel or delete is about to be asked for
 *      seen ID STATE         it is in that state now
 *      doom OWNER            is about to be killed or stopped: what it has, or
 *                            ever notes to have, may be taken from it; "*" is
 *                            all of them
 *      final ID STATE KEY EFFECTS   what is in the store at the end; KEY is -
 *                            where it is not known
 *      count STATE N         the store's own sums at the end
 *      look LOOK             somebody begins to look; what was over before
 *      seen ID STATE LOOK    that cannot be anything else in what is seen
 *      drained               nothing should be left to do; before the finals
 *      end                   of the finals: what is not among them is lost
 *
 * FENCE is ATTEMPT.TIME@OWNER, or anything with an @OWNER.  history_check.h
 * judges.
 */
#ifndef WEIR_TESTS_HISTORY_H
#define WEIR_TESTS_HISTORY_H

/*
 * Every line has this many bytes, filled up with spaces.  So none lies across
 * two pages of the file, and a signal that kills its writer, which the kernel
 * heeds between pages only, cannot cut it.
 */
#define HISTORY_LINE 64

/* Open it, make it if it is not there.  Gives a descriptor; aborts if it
 * cannot. */
int history_open(const char *path);

/* Append a line; aborts if it cannot, or if it is too long.  Any thread. */
void history_note(int fd, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#endif
