/*
 * Bodies as files in one folder; see folder.h.
 *
 * Design: the temporary name is a hash of what is fetched, so that it can be
 * found by the next run.  Two transfers of one URL at the same time, even in
 * two processes, are kept apart by a lock on the file: who finds it locked
 * takes the next name.
 *
 *      open -> write ... -> commit     temp becomes the name
 *                        -> abandon    temp stays, beside a .resume, or goes
 *
 * Locking: none but the kernel's on the files.
 */
#include "fetch/folder.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_TRIED 10000

int
weir__fetch_folder_open(struct weir_fetch_folder *folder, const char *path)
{
	if (mkdir(path, 0777) != 0 && errno != EEXIST)
		return errno;
	folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (folder->fd < 0)
		return errno;
	/* Better now than at the end of the first transfer. */
	return faccessat(folder->fd, ".", W_OK | X_OK, AT_EACCESS) == 0 ? 0
									: errno;
}

void
weir__fetch_folder_close(struct weir_fetch_folder *folder)
{
	if (folder->fd >= 0)
		(void)close(folder->fd);
	folder->fd = -1;
}

static void
hash_hex(const struct weir_fetch_request *request, char *hex, size_t digits)
{
	unsigned char sum[SHA256_DIGEST_LENGTH];
	struct weir_buf text = {0};

	/* The NUL keeps the two apart. Without memory it is only weaker. */
	weir__buf_append(&text, request->shown, strlen(request->shown) + 1);
	if (request->out)
		weir__buf_puts(&text, request->out);
	/* Answers to other bodies are other files. */
	if (request->body) {
		weir__buf_putc(&text, '\0');
		weir__buf_append(&text, request->body, request->body_len);
	}
	SHA256((const unsigned char *)weir__buf_str(&text), text.len, sum);
	weir__buf_fini(&text);
	for (size_t i = 0; i < digits; i++)
		hex[i] = "0123456789abcdef"[sum[i / 2] >> (i % 2 ? 0 : 4) & 15];
	hex[digits] = '\0';
}

/* ".weir-HASH.part" to ".weir-HASH.resume". */
static void
resume_name(const struct weir_fetch_file *file, char name[72])
{
	size_t len = strlen(file->temp) - strlen("part");

	snprintf(name, 72, "%.*sresume", (int)len, file->temp);
}

/* A file of that name that is ours alone. 0, EWOULDBLOCK or another errno. */
static int
open_locked(const struct weir_fetch_folder *folder,
	    struct weir_fetch_file *file)
{
	struct stat st;

	for (;;) {
		file->fd = openat(folder->fd, file->temp,
				  O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC |
					  O_NONBLOCK,
				  0666);
		if (file->fd < 0)
			return errno;
		if (flock(file->fd, LOCK_EX | LOCK_NB) != 0 ||
		    fstat(file->fd, &st) != 0)
			break;
		if (!S_ISREG(st.st_mode)) {
			errno = EEXIST;
			break;
		}
		file->size = (uint64_t)st.st_size;
		/* Else its last owner renamed it before we had the lock. */
		if (st.st_nlink > 0)
			return 0;
		(void)close(file->fd);
	}
	(void)close(file->fd);
	file->fd = -1;
	return errno;
}

/* Which version the beginning is of: two lines, the URL and the validator. */
static void
read_validator(const struct weir_fetch_folder *folder,
	       struct weir_fetch_file *file, const char *shown)
{
	char name[72], validator[WEIR_FETCH_VALIDATOR_MAX];
	char *url = NULL;
	size_t cap = 0, len = 0;
	FILE *in;
	int fd;

	file->validator[0] = '\0';
	resume_name(file, name);
	fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	in = fd >= 0 ? fdopen(fd, "r") : NULL;
	if (!in) {
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	if (getline(&url, &cap, in) > 0 &&
	    fgets(validator, sizeof(validator), in)) {
		url[strcspn(url, "\n")] = '\0';
		len = strcspn(validator, "\n");
		validator[len] = '\0';
		if (strcmp(url, shown) == 0)
			memcpy(file->validator, validator, len + 1);
	}
	free(url);
	(void)fclose(in);
}

static bool
write_validator(const struct weir_fetch_folder *folder,
		const struct weir_fetch_file *file, const char *shown)
{
	char name[72];
	int fd, written;

	resume_name(file, name);
	fd = openat(folder->fd, name,
		    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		    0666);
	if (fd < 0)
		return false;
	written = dprintf(fd, "%s\n%s\n", shown, file->validator);
	return close(fd) == 0 && written > 0;
}

static void
unlink_validator(const struct weir_fetch_folder *folder,
		 const struct weir_fetch_file *file)
{
	char name[72];

	resume_name(file, name);
	(void)unlinkat(folder->fd, name, 0);
}

int
weir__fetch_file_open(const struct weir_fetch_folder *folder,
		      struct weir_fetch_file *file,
		      const struct weir_fetch_request *request, bool resume)
{
	char hex[33];
	int failed = EWOULDBLOCK;

	hash_hex(request, hex, 32);
	for (int i = 0; i < NAMES_TRIED && failed == EWOULDBLOCK; i++) {
		if (i == 0)
			snprintf(file->temp, sizeof(file->temp),
				 ".weir-%s.part", hex);
		else
			snprintf(file->temp, sizeof(file->temp),
				 ".weir-%s-%d.part", hex, i);
		failed = open_locked(folder, file);
	}
	if (failed != 0)
		return failed;
	file->validator[0] = '\0';
	if (file->size > 0 && resume)
		read_validator(folder, file, request->shown);
	if (file->validator[0] == '\0')
		return file->size > 0 ? weir__fetch_file_truncate(file) : 0;
	if (lseek(file->fd, 0, SEEK_END) < 0)
		return errno;
	return 0;
}

int
weir__fetch_file_write(struct weir_fetch_file *file, const void *data,
		       size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t wrote = write(file->fd, at, len);

		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote < 0)
			return errno;
		at += wrote;
		len -= (size_t)wrote;
		file->size += (uint64_t)wrote;
	}
	return 0;
}

int
weir__fetch_file_truncate(struct weir_fetch_file *file)
{
	if (ftruncate(file->fd, 0) != 0 || lseek(file->fd, 0, SEEK_SET) < 0)
		return errno;
	file->size = 0;
	file->validator[0] = '\0';
	return 0;
}

/* "a.tar" and "1234abcd" to "a-1234abcd.tar". */
static void
other_name(char other[WEIR_FETCH_NAME_MAX + 16], const char *name,
	   const char *hex)
{
	const char *dot = strrchr(name, '.');
	size_t stem = dot && dot > name ? (size_t)(dot - name) : strlen(name);

	snprintf(other, WEIR_FETCH_NAME_MAX + 16, "%.*s-%s%s", (int)stem, name,
		 hex, name + stem);
}

/*
 * Give the file its name, and another if that is taken: one that follows from
 * the URL, so that the third file of a name is found as fast as the
 * millionth.  If that one is taken as well, it is the same body's, of an
 * earlier run or another line, and this one replaces it.
 */
static int
rename_to(const struct weir_fetch_folder *folder, struct weir_fetch_file *file,
	  const struct weir_fetch_request *request,
	  char name[WEIR_FETCH_NAME_MAX + 16])
{
	char other[WEIR_FETCH_NAME_MAX + 16], hex[9];

	if (renameat2(folder->fd, file->temp, folder->fd, name,
		      RENAME_NOREPLACE) == 0)
		return 0;
	/* Not every file system knows the flag; all know links. */
	if (errno == EINVAL &&
	    linkat(folder->fd, file->temp, folder->fd, name, 0) == 0)
		return unlinkat(folder->fd, file->temp, 0) == 0 ? 0 : errno;
	if (errno != EEXIST)
		return errno;
	hash_hex(request, hex, 8);
	other_name(other, name, hex);
	memcpy(name, other, sizeof(other));
	return renameat(folder->fd, file->temp, folder->fd, name) == 0 ? 0
								       : errno;
}

static void
close_file(struct weir_fetch_file *file)
{
	if (file->fd >= 0)
		(void)close(file->fd);
	file->fd = -1;
}

int
weir__fetch_file_commit(const struct weir_fetch_folder *folder,
			struct weir_fetch_file *file,
			const struct weir_fetch_request *request,
			char **ret_name)
{
	char name[WEIR_FETCH_NAME_MAX + 16];
	int failed;

	weir__fetch_file_name(name, request->url, request->out);
	failed = rename_to(folder, file, request, name);
	if (failed == 0 && file->validator[0])
		unlink_validator(folder, file);
	if (failed != 0)
		(void)unlinkat(folder->fd, file->temp, 0);
	close_file(file);
	if (failed == 0) {
		*ret_name = strdup(name);
		failed = *ret_name ? 0 : ENOMEM;
	}
	return failed;
}

bool
weir__fetch_file_abandon(const struct weir_fetch_folder *folder,
			 struct weir_fetch_file *file,
			 const struct weir_fetch_request *request, bool keep)
{
	if (file->fd < 0)
		return false;
	keep = keep && file->size > 0 && file->validator[0] &&
	       write_validator(folder, file, request->shown);
	if (!keep) {
		unlink_validator(folder, file);
		(void)unlinkat(folder->fd, file->temp, 0);
	}
	close_file(file);
	return keep;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last component of the URL's path, %XX decoded. */
static size_t
last_component(char *name, size_t max, const char *url)
{
	const char *path = strstr(url, "://");
	const char *end, *slash;
	size_t len = 0;

	path = path ? path + 3 : url;
	path += strcspn(path, "/?#");
	end = path + strcspn(path, "?#");
	slash = memrchr(path, '/', (size_t)(end - path));
	for (path = slash ? slash + 1 : end; path < end && len < max; path++) {
		if (*path == '%' && end - path > 2 && hex_digit(path[1]) >= 0 &&
		    hex_digit(path[2]) >= 0) {
			name[len++] = (char)(hex_digit(path[1]) * 16 +
					     hex_digit(path[2]));
			path += 2;
		} else {
			name[len++] = *path;
		}
	}
	return len;
}

void
weir__fetch_file_name(char name[WEIR_FETCH_NAME_MAX + 1], const char *url,
		      const char *out)
{
	size_t len, step;

	if (out) {
		len = strnlen(out, WEIR_FETCH_NAME_MAX);
		memcpy(name, out, len);
	} else {
		len = last_component(name, WEIR_FETCH_NAME_MAX, url);
	}
	if (len == 0) {
		memcpy(name, "index.html", sizeof("index.html"));
		return;
	}
	for (size_t i = 0; i < len; i += step) {
		bool is_character = weir__utf8_next(name + i, len - i, &step);
		unsigned char c = (unsigned char)name[i];

		if (!is_character)
			memset(name + i, '_', step);
		else if (c < ' ' || c == 0x7f || c == '/' || c == '\\')
			name[i] = '_';
	}
	if (name[0] == '.' || name[0] == '-')
		name[0] = '_';
	name[len] = '\0';
}
