/*
 * Ownership that is handed from thread to thread, told to a checker.
 *
 * Memory that one thread fills and another one reads is not locked here: what
 * makes it safe is that somebody published it and somebody else took it.  The
 * one who fills it says weir__data_write(), the one who takes it says
 * weir__data_read(), and a checker that models memory (relacy) reports the
 * pair as a race unless the one happens before the other.  Natively nothing.
 */
#ifndef WEIR_SRC_SYNC_DATA_H
#define WEIR_SRC_SYNC_DATA_H

#ifdef WEIR_CHECKED
void weir__data_read(const void *what);
void weir__data_write(const void *what);
#else
static inline void
weir__data_read(const void *what)
{
	(void)what;
}

static inline void
weir__data_write(const void *what)
{
	(void)what;
}
#endif

#endif
