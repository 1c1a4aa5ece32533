/*
 * Folders of a test's own, in memory where the system has room for that.
 */
#ifndef WEIR_TESTS_SCRATCH_H
#define WEIR_TESTS_SCRATCH_H

#include <dirent.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SCRATCH_MAX = 128 };

/* Make one.  Its path is absolute. */
static inline void
scratch_make(char path[SCRATCH_MAX])
{
	const char *root = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

	(void)snprintf(path, SCRATCH_MAX, "%s/weir-test-XXXXXX", root);
	if (!mkdtemp(path)) {
		perror(path);
		abort();
	}
}

/* Remove what is in it, folders that hold nothing but files included. */
static inline void
scratch_empty(const char *path)
{
	DIR *folder = opendir(path);

	for (struct dirent *e; folder && (e = readdir(folder));) {
		char inner[1024];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name) >=
		    (int)sizeof(inner))
			abort();
		if (e->d_type == DT_DIR) {
			scratch_empty(inner);
			(void)rmdir(inner);
		} else {
			(void)unlink(inner);
		}
	}
	if (folder)
		(void)closedir(folder);
}

static inline void
scratch_remove(const char *path)
{
	scratch_empty(path);
	(void)rmdir(path);
}

#endif
