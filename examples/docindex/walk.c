/*
 * The walk of walk.h.
 *
 * Design: a stack of open folders on the heap, one for each level, and one
 * path that grows and shrinks with it.  Each turn of the loop takes one name
 * off the folder on top:
 *
 *      walk.path   docs/2024/may/a.txt       levels[0] docs       path_len 4
 *                  ^   ^    ^                levels[1] docs/2024       9
 *                  the ends of the levels    levels[2] .../may        13
 *
 * Everything is opened by its name within the folder above it, so a folder
 * that is renamed meanwhile does not lead us astray.  Why not fts(3)?  It
 * reads a folder to its end before it gives the first name.  Why not nftw(3)?
 * It knows neither errors half-way nor openat().
 *
 * No file is opened here, only folders, and those with O_DIRECTORY: a FIFO
 * called x.txt would make open() wait for its writer.
 */
#include "walk.h"
#include "base/assert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that is being read. */
struct level {
	DIR *folder;
	dev_t device;
	ino_t inode;
	size_t path_len; /* of its path, which walk.path begins with */
};

struct walker {
	const struct walk_options *options;
	const struct walk_hooks *hooks;
	struct level levels[WALK_DEPTH_MAX + 1];
	size_t depth; /* levels in use */
	char path[PATH_MAX];
};

static void
tell(struct walker *w, const char *what, int error_number)
{
	w->hooks->trouble(w->path, what, error_number, w->hooks->user);
}

/* Put name behind the path of the folder on top.  False: too long, told. */
static bool
path_put(struct walker *w, const char *name)
{
	size_t at = w->levels[w->depth - 1].path_len, len = strlen(name);
	bool slash = w->path[at - 1] != '/';

	w->path[at] = '\0';
	if (at + slash + len >= sizeof(w->path)) {
		tell(w, "a path in this folder is too long", ENAMETOOLONG);
		return false;
	}
	if (slash)
		w->path[at++] = '/';
	memcpy(w->path + at, name, len + 1);
	return true;
}

/* The path of the root, with one slash where there are several. */
static bool
path_root(struct walker *w, const char *root)
{
	size_t len = 0;

	for (; *root; root++) {
		if (*root == '/' && len > 0 && w->path[len - 1] == '/')
			continue;
		if (len + 1 == sizeof(w->path))
			return false;
		w->path[len++] = *root;
	}
	if (len > 1 && w->path[len - 1] == '/')
		len--;
	w->path[len] = '\0';
	return true;
}

static bool
is_ancestor(const struct walker *w, const struct stat *st)
{
	for (size_t i = 0; i < w->depth; i++)
		if (w->levels[i].device == st->st_dev &&
		    w->levels[i].inode == st->st_ino)
			return true;
	return false;
}

/* Read the folder open at fd, which is ours now and whose path is w->path. */
static void
push(struct walker *w, int fd)
{
	struct level *l = &w->levels[w->depth];
	struct stat st;

	weir_assert(w->depth < sizeof(w->levels) / sizeof(w->levels[0]));
	if (fstat(fd, &st) != 0) {
		tell(w, "cannot look at the folder", errno);
	} else if (is_ancestor(w, &st)) {
		tell(w, "is a folder that it is in itself", ELOOP);
	} else if (!(l->folder = fdopendir(fd))) {
		tell(w, "cannot read the folder", errno);
	} else {
		l->device = st.st_dev;
		l->inode = st.st_ino;
		l->path_len = strlen(w->path);
		w->depth++;
		return;
	}
	(void)close(fd);
}

static void
pop(struct walker *w)
{
	(void)closedir(w->levels[--w->depth].folder);
}

/* Go down into the folder name, whose path is w->path. */
static void
enter(struct walker *w, const char *name)
{
	int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int fd;

	if (w->depth > WALK_DEPTH_MAX) {
		tell(w, "is too deep: folders within folders", 0);
		return;
	}
	if (!w->options->follow)
		flags |= O_NOFOLLOW;
	fd = openat(dirfd(w->levels[w->depth - 1].folder), name, flags);
	if (fd < 0)
		tell(w, "cannot open the folder", errno);
	else
		push(w, fd);
}

/*
 * What is behind an entry: most file systems say it with the name.  Else, and
 * for links that are to be followed, ask.  DT_UNKNOWN: it was told why not.
 */
static unsigned char
kind_of(struct walker *w, const struct dirent *e)
{
	bool follow = w->options->follow;
	struct stat st;

	if (e->d_type != DT_UNKNOWN && !(e->d_type == DT_LNK && follow))
		return e->d_type;
	if (fstatat(dirfd(w->levels[w->depth - 1].folder), e->d_name, &st,
		    follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0) {
		tell(w,
		     e->d_type == DT_LNK ? "cannot follow the link"
					 : "cannot look at it",
		     errno);
		return DT_UNKNOWN;
	}
	return (unsigned char)IFTODT(st.st_mode);
}

static bool
is_wanted(const struct walker *w, const char *name)
{
	return !w->options->is_wanted ||
	       w->options->is_wanted(name, w->hooks->user);
}

/* One name.  False: stop. */
static bool
visit(struct walker *w, const struct dirent *e)
{
	const char *name = e->d_name;
	unsigned char kind;

	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return true;
	if (name[0] == '.' && !w->options->hidden)
		return true;
	if (e->d_type == DT_REG && !is_wanted(w, name))
		return true;
	if (!path_put(w, name))
		return true;
	kind = kind_of(w, e);
	if (kind == DT_DIR)
		enter(w, name);
	if (kind != DT_REG || (e->d_type != DT_REG && !is_wanted(w, name)))
		return true;
	return w->hooks->file(w->path, dirfd(w->levels[w->depth - 1].folder),
			      name, w->hooks->user);
}

/* Take names off the folder on top until there is none left.  False: stop. */
static bool
walk_on(struct walker *w)
{
	while (w->depth > 0) {
		struct level *l = &w->levels[w->depth - 1];
		const struct dirent *e;

		errno = 0;
		e = readdir(l->folder);
		if (e) {
			if (!visit(w, e))
				return false;
			continue;
		}
		if (errno != 0) {
			int error_number = errno;

			w->path[l->path_len] = '\0';
			tell(w, "cannot read all of the folder", error_number);
		}
		pop(w);
	}
	return true;
}

static enum walk_status
walk_from(struct walker *w, const char *root)
{
	enum walk_status status;
	int fd;

	if (!path_root(w, root)) {
		w->hooks->trouble(root, "the path is too long", ENAMETOOLONG,
				  w->hooks->user);
		return WALK_DONE;
	}
	fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		tell(w, "cannot open the folder", errno);
	else
		push(w, fd);
	status = walk_on(w) ? WALK_DONE : WALK_STOPPED;
	while (w->depth > 0)
		pop(w);
	return status;
}

enum walk_status
walk(const char *root, const struct walk_options *options,
     const struct walk_hooks *hooks)
{
	struct walker *w = malloc(sizeof(*w));
	enum walk_status status;

	if (!w) {
		hooks->trouble(root, "cannot look into it", ENOMEM,
			       hooks->user);
		return WALK_DONE;
	}
	w->options = options;
	w->hooks = hooks;
	w->depth = 0;
	status = walk_from(w, root);
	free(w);
	return status;
}
