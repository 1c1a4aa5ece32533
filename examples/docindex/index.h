/*
 * The index: documents, their chunks and the chunks' vectors, in one SQLite
 * file.
 *
 *      struct index_options options = {.path = "docs.db", .write = true};
 *
 *      status = index_open(&index, &options, &error);
 *      status = index_see(index, path, hash, &known, &error);
 *      if (known != INDEX_UNCHANGED)
 *              status = index_put(index, docs, 1, "model", 384, &error);
 *      status = index_forget_unseen(index, "folder", &count, &error);
 *      index_close(index);
 *
 * What is in it is derived: from the files, and from the model that made the
 * vectors.  So a lost transaction is no loss, for the next run sees that the
 * document is missing and puts it again; half a document is, because nobody
 * would notice.  Each document is there whole or not at all, whoever is killed
 * and when, and however full the disk is.
 *
 * A path is a name of bytes without a NUL, and need not be UTF-8.
 */
#ifndef DOCINDEX_INDEX_H
#define DOCINDEX_INDEX_H

#include <stdbool.h>
#include <weir/base.h>

/*
 * One connection.  Several may be open on the same file, in this and in other
 * processes; each is used by one thread at a time.  It must not be used in a
 * child after fork().
 */
struct index;

/*
 * path    the file.
 * create  make it if there is none, or if it is empty; means write, too.
 * write   to change it.  Without, index_put(), index_remove() and
 *         index_forget_unseen() are WEIR_INVAL; the folder must be one to write
 *         in all the same, for the files that SQLite has beside its own.
 * vec0    the file of sqlite-vec's extension; "none": do without; NULL: look
 *         in the system's folders.  Whether an index uses it is decided when
 *         it is made and never changes; afterwards it is a matter of finding
 *         it again.
 */
struct index_options {
	const char *path;
	bool create, write;
	const char *vec0;
};

/* The most numbers in a vector, and the most hits that a search can give. */
#define INDEX_DIMS_MAX 16384
#define INDEX_HITS_MAX 4096

/*
 * Open it, or make it.
 *
 * Waits:   for the disk, and up to 10 s for another process that holds it.
 * Threads: any.
 * Owns:    the caller owns *out and ends it with index_close().
 * Returns: WEIR_OK; WEIR_NOTFOUND (there is none, or an empty file),
 *          WEIR_FOREIGN (something else is there), WEIR_NEWER (a newer program
 *          has made it), WEIR_INVAL (not the name of a file, or sqlite-vec is
 *          needed and cannot be loaded), WEIR_BUSY, WEIR_CORRUPT, WEIR_NOMEM,
 *          WEIR_SYSTEM; reterr (NULL is fine) says why, here as below.
 */
WEIR_NODISCARD weir_status index_open(struct index **out,
				      const struct index_options *options,
				      weir_error *reterr);

/*
 * Close it.  NULL is fine.
 *
 * Waits:   for the disk.
 * Threads: no other call on it may be in progress or follow.
 * Owns:    takes index.
 * Returns: NULL.
 */
struct index *index_close(struct index *index);

/*
 * The model that made the vectors, and how many numbers each of them has, as
 * far as this connection knows: what was so when it was opened, or when it
 * last put or searched.
 *
 * Waits:   never.
 * Threads: as all calls on index.
 * Owns:    the text is the index's, until the next call.
 * Returns: NULL and 0 if there is no vector yet.
 */
const char *index_model(const struct index *index);
uint32_t index_dims(const struct index *index);

/*
 * Are the vectors kept by sqlite-vec?
 *
 * Waits:   never.
 * Threads: any.
 * Owns:    nothing.
 * Returns: whether they are.
 */
bool index_uses_vec0(const struct index *index);

enum index_known { INDEX_NEW, INDEX_CHANGED, INDEX_UNCHANGED };

/*
 * What is known of the document at path, whose bytes have that hash; and note
 * that there is one, whatever becomes of it, for index_forget_unseen().
 *
 * Waits:   for the disk.
 * Threads: as all calls on index.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_BUSY, WEIR_CORRUPT, WEIR_NOMEM, WEIR_SYSTEM.
 */
WEIR_NODISCARD weir_status index_see(struct index *index, const char *path,
				     const unsigned char hash[32],
				     enum index_known *ret, weir_error *reterr);

/*
 * A path that could not be read: nothing is known of it, nor of what is below
 * it, and so none of that is to be forgotten.
 *
 * Waits, Threads, Owns, Returns: as index_see().
 */
WEIR_NODISCARD weir_status index_spare(struct index *index, const char *path,
				       weir_error *reterr);

/*
 * Remove the documents at root and below it that were in the index when this
 * connection was opened and that it has neither seen nor spared, if is_gone
 * says so of them (NULL: all).  What was put since, by whomever, stays.
 * *ret_count: how many there were.  is_gone may not call the index.
 *
 * It removes some hundreds at a time; ended half-way it has removed some, and
 * can be called again.
 *
 * Waits:   for the disk, and up to 10 s for another process that writes.
 * Threads: as all calls on index.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_INVAL (opened to be read), WEIR_BUSY, WEIR_CORRUPT,
 *          WEIR_NOMEM, WEIR_SYSTEM.
 */
WEIR_NODISCARD weir_status
index_forget_unseen(struct index *index, const char *root,
		    bool (*is_gone)(const char *path, void *user), void *user,
		    uint64_t *ret_count, weir_error *reterr);

/*
 * number  tells it from the document's other chunks.
 * page    on which it begins, counted from 1; 0: there are no pages.
 * text    len bytes.
 * vector  as many numbers as the index has; any length but none.
 */
struct index_chunk {
	uint32_t number, page;
	const char *text;
	size_t len;
	const float *vector;
};

struct index_doc {
	const char *path;
	const unsigned char *hash; /* 32 bytes */
	uint64_t bytes;
	const char *kind; /* "pdf", "text", "markdown" */
	const struct index_chunk *chunks;
	size_t chunk_count;
};

/*
 * Put all these documents, or none: each in the place of the one that is there
 * under its path.  One without chunks is fine.  Vectors are brought to unit
 * length.  The model and the dims of the first chunks ever put are the
 * index's for good.
 *
 * Waits:   for the disk, and up to 10 s for another process that writes.
 * Threads: as all calls on index.
 * Owns:    nothing.
 * Returns: WEIR_OK; WEIR_PERMANENT (another model or dims, a vector that has
 *          no direction, a number twice in a document, more than SQLite
 *          takes), WEIR_INVAL (opened to be read), WEIR_BUSY, WEIR_CORRUPT,
 *          WEIR_NOMEM, WEIR_SYSTEM (native is ENOSPC when the disk is full).
 */
WEIR_NODISCARD weir_status index_put(struct index *index,
				     const struct index_doc *const *docs,
				     size_t count, const char *model,
				     uint32_t dims, weir_error *reterr);

/*
 * Remove the document at path, if there is one.
 *
 * Waits, Threads, Owns, Returns: as index_forget_unseen().
 */
WEIR_NODISCARD weir_status index_remove(struct index *index, const char *path,
					bool *ret_was_there,
					weir_error *reterr);

/* A chunk near to what was asked for.  score is the cosine, -1 to 1. */
struct index_hit {
	const char *path;
	uint32_t number, page;
	double score;
	const char *text;
	size_t len;
};

/*
 * Give the limit chunks that are nearest to vector, the nearest first, those
 * that are equally near by path and number; hit returns false to have no more.
 * Which of those are left out that are as near as the last one is sqlite-vec's
 * choice, where that is used.
 *
 * Waits:   for the disk.
 * Threads: as all calls on index, which hit must not use.
 * Owns:    what hit gets is valid until it returns.
 * Returns: WEIR_OK; WEIR_INVAL (a limit of 0 or over INDEX_HITS_MAX, another
 *          number of dims, a vector that has no direction), WEIR_BUSY,
 *          WEIR_CORRUPT, WEIR_NOMEM, WEIR_SYSTEM.
 */
WEIR_NODISCARD weir_status
index_search(struct index *index, const float *vector, uint32_t dims,
	     uint32_t limit, bool (*hit)(const struct index_hit *, void *user),
	     void *user, weir_error *reterr);

struct index_counts {
	uint64_t documents, chunks;
};

/*
 * How much there is.
 *
 * Waits, Threads, Owns, Returns: as index_see().
 */
WEIR_NODISCARD weir_status index_count(struct index *index,
				       struct index_counts *ret,
				       weir_error *reterr);

#endif
