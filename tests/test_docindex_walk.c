/*
 * The walk that finds documents, in a tree that each test makes for itself.
 */
#include "docindex/walk.h"
#include "base/buf.h"
#include "harness.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <sys/wait.h>

/* What was found and told: lines, in the order of their bytes. */
struct found {
	char root[SCRATCH_MAX];
	struct walk_options options;
	char *lines[64];
	size_t count;
	size_t stop_after; /* files; 0: never */
	size_t files, troubles;
};

static void note(struct found *f, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void
note(struct found *f, const char *format, ...)
{
	struct weir_buf line = {0};
	va_list args;

	va_start(args, format);
	weir__buf_vprintf(&line, format, args);
	va_end(args);
	REQUIRE(!line.failed && f->count < 64);
	f->lines[f->count++] = line.data;
}

/* The path without the scratch folder's. */
static const char *
inner(const struct found *f, const char *path)
{
	size_t n = strlen(f->root);

	return strncmp(path, f->root, n) == 0 ? path + n : path;
}

static bool
note_file(const char *path, int dir_fd, const char *name, void *user)
{
	struct found *f = user;
	struct stat by_path, by_name;

	CHECK(stat(path, &by_path) == 0 && S_ISREG(by_path.st_mode));
	CHECK(fstatat(dir_fd, name, &by_name, 0) == 0);
	CHECK_EQ_INT(by_path.st_ino, by_name.st_ino);
	note(f, "%s", inner(f, path));
	return ++f->files != f->stop_after;
}

static void
note_trouble(const char *path, const char *what, int error_number, void *user)
{
	struct found *f = user;

	CHECK(what[0]);
	f->troubles++;
	note(f, "! %s: %s", inner(f, path),
	     error_number ? strerrorname_np(error_number) : what);
}

static void
make(struct found *f)
{
	*f = (struct found){0};
	scratch_make(f->root);
	REQUIRE(chdir(f->root) == 0);
}

static void
folder(const char *path)
{
	REQUIRE(mkdir(path, 0755) == 0);
}

static void
file(const char *path)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	REQUIRE(fd >= 0);
	(void)close(fd);
}

static void
link_to(const char *target, const char *path)
{
	REQUIRE(symlink(target, path) == 0);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Walk from `from` and compare, line by line. */
static void
check_walk_status(struct found *f, const char *from, enum walk_status status,
		  const char *expected)
{
	struct walk_hooks hooks = {note_file, note_trouble, f};
	struct weir_buf all = {0};

	CHECK_EQ_INT(walk(from, &f->options, &hooks), status);
	qsort(f->lines, f->count, sizeof(f->lines[0]), by_bytes);
	for (size_t i = 0; i < f->count; i++) {
		weir__buf_printf(&all, "%s\n", f->lines[i]);
		free(f->lines[i]);
	}
	CHECK_STR(weir__buf_str(&all), expected);
	weir__buf_fini(&all);
	f->count = f->files = f->troubles = 0;
}

static void
check_walk(struct found *f, const char *from, const char *expected)
{
	check_walk_status(f, from, WALK_DONE, expected);
}

TEST(walk, finds_files_in_folders_within_folders)
{
	struct found f;

	make(&f);
	check_walk(&f, f.root, "");
	file("a");
	folder("one");
	file("one/b");
	folder("one/two");
	file("one/two/c");
	folder("empty");
	check_walk(&f, f.root, "/a\n/one/b\n/one/two/c\n");
	scratch_remove(f.root);
}

TEST(walk, takes_its_root_in_any_spelling)
{
	struct found f;
	struct weir_buf root = {0};

	make(&f);
	folder("d");
	file("d/a");
	link_to("d", "link");
	check_walk(&f, ".", "./d/a\n");
	check_walk(&f, "./", "./d/a\n");
	check_walk(&f, "d", "d/a\n");
	check_walk(&f, "d///", "d/a\n");
	check_walk(&f, ".//d/.//", "./d/./a\n");
	check_walk(&f, "link", "link/a\n");
	check_walk(&f, "link/", "link/a\n");
	weir__buf_printf(&root, "//%s//", f.root);
	check_walk(&f, weir__buf_str(&root), "/d/a\n");
	weir__buf_fini(&root);
	scratch_remove(f.root);
}

TEST(walk, tells_of_a_root_that_is_no_folder)
{
	struct found f;

	make(&f);
	file("a");
	REQUIRE(mkfifo("fifo", 0644) == 0);
	check_walk(&f, "a", "! a: ENOTDIR\n");
	check_walk(&f, "fifo", "! fifo: ENOTDIR\n");
	check_walk(&f, "none", "! none: ENOENT\n");
	check_walk(&f, "", "! : ENOENT\n");
	scratch_remove(f.root);
}

TEST(walk, leaves_hidden_names_out_unless_asked)
{
	struct found f;

	make(&f);
	file(".a");
	folder(".git");
	file(".git/b");
	file("..c");
	file("d.");
	check_walk(&f, ".", "./d.\n");
	f.options.hidden = true;
	check_walk(&f, ".", "./..c\n./.a\n./.git/b\n./d.\n");
	scratch_remove(f.root);
}

static bool
is_txt(const char *name, void *user)
{
	size_t n = strlen(name);

	CHECK(((struct found *)user)->root[0] == '/');
	return n > 4 && strcmp(name + n - 4, ".txt") == 0;
}

TEST(walk, gives_only_the_names_that_are_wanted)
{
	struct found f;

	make(&f);
	file("a.txt");
	file("a.c");
	folder("d.c");
	folder("e.txt");
	file("d.c/b.txt");
	link_to("a.txt", "l.txt");
	link_to("a.txt", "l.c");
	f.options.is_wanted = is_txt;
	check_walk(&f, ".", "./a.txt\n./d.c/b.txt\n");
	f.options.follow = true;
	check_walk(&f, ".", "./a.txt\n./d.c/b.txt\n./l.txt\n");
	scratch_remove(f.root);
}

TEST(walk, gives_only_regular_files)
{
	struct found f;

	make(&f);
	file("a.txt");
	REQUIRE(mkfifo("x.txt", 0644) == 0);
	link_to("x.txt", "y.txt");
	check_walk(&f, ".", "./a.txt\n");
	f.options.follow = true;
	check_walk(&f, ".", "./a.txt\n");
	scratch_remove(f.root);
}

TEST(walk, follows_links_only_if_asked)
{
	struct found f;

	make(&f);
	folder("d");
	file("d/a");
	folder("walked");
	link_to("../d", "walked/folder");
	link_to("../d/a", "walked/file");
	link_to("nowhere", "walked/broken");
	link_to("self", "walked/self");
	check_walk(&f, "walked", "");
	f.options.follow = true;
	check_walk(&f, "walked",
		   "! walked/broken: ENOENT\n! walked/self: ELOOP\n"
		   "walked/file\nwalked/folder/a\n");
	scratch_remove(f.root);
}

TEST(walk, tells_of_a_loop_once_and_leaves_it)
{
	struct found f;

	make(&f);
	folder("a");
	folder("a/b");
	file("a/b/file");
	link_to("..", "a/b/up");
	link_to(".", "a/self");
	f.options.follow = true;
	check_walk(&f, "a", "! a/b/up: ELOOP\n! a/self: ELOOP\na/b/file\n");
	scratch_remove(f.root);
}

TEST(walk, stops_when_told_to)
{
	struct found f;

	make(&f);
	folder("d");
	folder("d/e");
	file("d/e/a");
	file("d/e/b");
	file("d/e/c");
	f.stop_after = 1;
	f.options.is_wanted = NULL;
	{
		struct walk_hooks hooks = {note_file, note_trouble, &f};

		CHECK_EQ_INT(walk(".", &f.options, &hooks), WALK_STOPPED);
		CHECK_EQ_INT(f.count, 1);
		free(f.lines[0]);
	}
	scratch_remove(f.root);
}
