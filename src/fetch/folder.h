/*
 * Bodies as files in one folder.
 *
 * A body is written under a temporary name that follows from its URL, and
 * gets its own name in one step when it is complete.  So a name that is there
 * is a whole file, and what a broken transfer has left can be found again:
 *
 *      .weir-HASH.part      the beginning of a body
 *      .weir-HASH.resume    which version of it, if it can be continued
 *
 * All names are single components, opened relative to the folder and never
 * through a symbolic link: no URL and no list can write elsewhere.
 *
 * Threads: any number, each with files of its own.
 */
#ifndef WEIR_SRC_FETCH_FOLDER_H
#define WEIR_SRC_FETCH_FOLDER_H

#include "fetch/request.h"

#define WEIR_FETCH_NAME_MAX      200
#define WEIR_FETCH_VALIDATOR_MAX 200

struct weir_fetch_folder {
	int fd; /* -1: none */
};

/* A file that is being written.  fd is -1 while there is none. */
struct weir_fetch_file {
	int fd;
	uint64_t size;                            /* bytes in it */
	char temp[64];                            /* its name now */
	char validator[WEIR_FETCH_VALIDATOR_MAX]; /* ETag or date, or "" */
};

/* Open it, and make it if it is not there.  0 or an errno. */
int weir__fetch_folder_open(struct weir_fetch_folder *folder, const char *path);
void weir__fetch_folder_close(struct weir_fetch_folder *folder);

/*
 * Begin to write the body of request.  With resume, what is left of the same
 * body is kept: then size and validator are not empty.  0 or an errno.
 */
int weir__fetch_file_open(const struct weir_fetch_folder *folder,
			  struct weir_fetch_file *file,
			  const struct weir_fetch_request *request,
			  bool resume);

/* 0 or an errno. */
int weir__fetch_file_write(struct weir_fetch_file *file, const void *data,
			   size_t len);

/* Begin at the beginning again. */
int weir__fetch_file_truncate(struct weir_fetch_file *file);

/*
 * It is complete: give it its name, which *ret_name says (malloc()ed).  0 or
 * an errno; the file is closed either way.
 */
int weir__fetch_file_commit(const struct weir_fetch_folder *folder,
			    struct weir_fetch_file *file,
			    const struct weir_fetch_request *request,
			    char **ret_name);

/*
 * It is not complete: keep it if it can be continued, that is, if it has a
 * validator and a size.  Whether it was kept.
 */
bool weir__fetch_file_abandon(const struct weir_fetch_folder *folder,
			      struct weir_fetch_file *file,
			      const struct weir_fetch_request *request,
			      bool keep);

/*
 * The name for a body, made of `out` or, if that is NULL, of the URL: one
 * component, without control characters, not hidden, at most
 * WEIR_FETCH_NAME_MAX bytes.  A pure function.
 */
void weir__fetch_file_name(char name[WEIR_FETCH_NAME_MAX + 1], const char *url,
			   const char *out);

#endif
