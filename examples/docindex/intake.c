/*
 * The source of the pipeline.
 *
 * Design.  A document is opened once, here, and its contents are hashed; the
 * stages read from the same descriptor.  So what was hashed is what is
 * indexed, whatever becomes of its name.  (If somebody writes into the file
 * meanwhile, its hash will differ the next time, and it is indexed again.)
 *
 * The contents decide, not the time of the last change: a copy, a checkout or
 * a restored backup has new times and the same contents.  Reading a file costs
 * far less than embedding it.
 */
#include "intake.h"

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE_MAX (64 * 1024)

static void
failed(struct intake *in, const char *path, const char *reason, const char *why)
{
	weir_error error;

	in->hooks.failed(path, reason, why, in->hooks.user);
	/* It is not gone, we only cannot read it. */
	if (index_spare(in->index, path, &error) != WEIR_OK)
		in->error = error;
}

static bool
is_stopping(struct intake *in)
{
	in->stopped = in->stopped || in->hooks.stopping(in->hooks.user);
	return in->stopped;
}

/* All that fd has, into the digest; how much that was.  False: errno. */
static bool
hash_all(struct intake *in, EVP_MD_CTX *digest, int fd, uint64_t *ret_bytes)
{
	char piece[PIECE_MAX];
	ssize_t n;

	*ret_bytes = 0;
	for (;;) {
		n = pread(fd, piece, sizeof(piece), (off_t)*ret_bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0;
		if (is_stopping(in)) {
			errno = ECANCELED;
			return false;
		}
		if (EVP_DigestUpdate(digest, piece, (size_t)n) != 1) {
			errno = ENOMEM;
			return false;
		}
		*ret_bytes += (uint64_t)n;
	}
}

static bool
hash_file(struct intake *in, struct doc *doc)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	bool ok = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

	if (!ok)
		errno = ENOMEM;
	ok = ok && hash_all(in, digest, doc->fd, &doc->bytes) &&
	     EVP_DigestFinal_ex(digest, doc->hash, NULL) == 1;
	EVP_MD_CTX_free(digest);
	return ok;
}

/* NULL: all is well; else why not. */
static const char *
open_doc(struct intake *in, struct doc *doc, int dir_fd, const char *name)
{
	struct stat st;

	doc->fd = openat(dir_fd, name,
			 O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (doc->fd < 0 || fstat(doc->fd, &st) != 0)
		return strerror(errno);
	if (!S_ISREG(st.st_mode))
		return "it is no regular file";
	return hash_file(in, doc) ? NULL : strerror(errno);
}

struct doc *
intake_open(struct intake *in, const char *path, int dir_fd, const char *name,
	    enum index_known *ret_known)
{
	struct doc *doc = doc_new(path);
	const char *why = "out of memory";

	if (doc) {
		/* A file that was named outright may be called anything. */
		if (!doc_kind_of(name, &doc->kind))
			doc->kind = DOC_TEXT;
		why = open_doc(in, doc, dir_fd, name);
	}
	if (why && !in->stopped)
		failed(in, path, "unreadable", why);
	else if (!why && index_see(in->index, path, doc->hash, ret_known,
				   &in->error) == WEIR_OK)
		return doc;
	doc_free(doc);
	return NULL;
}

/* False: find no more. */
static bool
add_file(const char *path, int dir_fd, const char *name, void *user)
{
	struct intake *in = user;
	enum index_known known;
	struct doc *doc = intake_open(in, path, dir_fd, name, &known);

	if (!doc)
		return in->error.status == WEIR_OK && !in->stopped;
	if (known == INDEX_UNCHANGED) {
		in->hooks.unchanged(path, in->hooks.user);
		doc_free(doc);
		return !is_stopping(in);
	}
	in->stopped = !in->hooks.found(doc, in->hooks.user);
	return !in->stopped;
}

static void
trouble(const char *path, const char *what, int error_number, void *user)
{
	struct intake *in = user;
	char why[WEIR_ERROR_MAX];

	snprintf(why, sizeof(why), "%s%s%s", what, error_number ? ": " : "",
		 error_number ? strerror(error_number) : "");
	failed(in, path, "unreadable", why);
}

static bool
is_wanted(const char *name, void *user)
{
	enum doc_kind kind;

	(void)user;
	return doc_kind_of(name, &kind);
}

static bool
add_folder(struct intake *in, const char *path)
{
	struct walk_options options = {
		.follow = in->follow,
		.hidden = in->hidden,
		.is_wanted = is_wanted,
	};
	struct walk_hooks hooks = {
		.file = add_file, .trouble = trouble, .user = in};

	return walk(path, &options, &hooks) == WALK_DONE &&
	       in->error.status == WEIR_OK;
}

/* Whether there is anything of that name; a link that leads nowhere is. */
static bool
is_gone(const char *path, void *user)
{
	struct stat st;

	(void)user;
	return lstat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

bool
intake_add(struct intake *in, const char *path)
{
	struct stat st;

	/* It may be in the index all the same: see intake_forget(). */
	if (is_gone(path, NULL))
		return true;
	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return add_folder(in, path);
	return add_file(path, AT_FDCWD, path, in);
}

weir_status
intake_forget(struct intake *in, char *const *paths, size_t count,
	      uint64_t *ret_count)
{
	weir_status status = WEIR_OK;

	*ret_count = 0;
	for (size_t i = 0; status == WEIR_OK && i < count; i++) {
		uint64_t forgotten = 0;

		status = index_forget_unseen(in->index, paths[i], is_gone, NULL,
					     &forgotten, &in->error);
		*ret_count += forgotten;
		if (status == WEIR_OK && forgotten == 0 &&
		    is_gone(paths[i], NULL))
			in->hooks.failed(paths[i], "not there",
					 strerror(ENOENT), in->hooks.user);
	}
	return status;
}
