/*
 * The walk that finds documents, in a tree that each test makes for itself.
 */
#include "docindex/walk.h"
#include "base/buf.h"
#include "harness.h"
#include "refuse.h"
#include "scratch.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <sys/wait.h>

/*
 * The directory stream as the walk sees it.  What a test does to an entry is
 * done when the entry has been read and not been looked at, or instead of the
 * entry that comes after so many.
 */
static struct {
	void (*meddle)(struct dirent *e);
	int fail_after; /* entries; 0: never */
	int error_number;
} stream;

struct dirent *
readdir(DIR *folder)
{
	static struct dirent *(*real)(DIR *);
	struct dirent *e;

	if (!real) {
		void *found = dlsym(RTLD_NEXT, "readdir64");

		memcpy(&real, &found, sizeof(real));
	}
	if (stream.fail_after > 0 && --stream.fail_after == 0) {
		errno = stream.error_number;
		return NULL;
	}
	e = real(folder);
	if (e && stream.meddle)
		stream.meddle(e);
	return e;
}

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

/* How many descriptors are open?  More than before: one was leaked. */
static int
open_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Walk from `from` and compare, line by line. */
static void
check_walk(struct found *f, const char *from, const char *expected)
{
	struct walk_hooks hooks = {note_file, note_trouble, f};
	struct weir_buf all = {0};

	CHECK_EQ_INT(walk(from, &f->options, &hooks), WALK_DONE);
	qsort(f->lines, f->count, sizeof(f->lines[0]), by_bytes);
	for (size_t i = 0; i < f->count; i++) {
		weir__buf_printf(&all, "%s\n", f->lines[i]);
		free(f->lines[i]);
	}
	CHECK_STR(weir__buf_str(&all), expected);
	weir__buf_fini(&all);
	f->count = f->files = f->troubles = 0;
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

static bool
stop_at_once(const char *path, int dir_fd, const char *name, void *user)
{
	(void)dir_fd;
	(void)name;
	(void)user;
	CHECK(path[0] == '/' && path[1] != '/' && !strstr(path, "//"));
	return false;
}

static void
ignore_trouble(const char *path, const char *what, int error_number, void *user)
{
	(void)path;
	(void)what;
	(void)error_number;
	(void)user;
}

TEST(walk, takes_the_root_of_all_as_its_root)
{
	struct walk_options options = {0};
	struct walk_hooks hooks = {stop_at_once, ignore_trouble, NULL};

	CHECK_EQ_INT(walk("/", &options, &hooks), WALK_STOPPED);
	CHECK_EQ_INT(walk("///", &options, &hooks), WALK_STOPPED);
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
	int fds = open_fds();

	make(&f);
	folder("a");
	folder("a/b");
	file("a/b/file");
	link_to("..", "a/b/up");
	link_to(".", "a/self");
	f.options.follow = true;
	check_walk(&f, "a", "! a/b/up: ELOOP\n! a/self: ELOOP\na/b/file\n");
	CHECK_EQ_INT(open_fds(), fds);
	scratch_remove(f.root);
}

TEST(walk, stops_when_told_to_and_closes_all)
{
	struct found f;
	struct walk_hooks hooks = {note_file, note_trouble, &f};
	int fds = open_fds();

	make(&f);
	folder("d");
	folder("d/e");
	file("d/e/a");
	file("d/e/b");
	file("d/e/c");
	f.stop_after = 2;
	CHECK_EQ_INT(walk(".", &f.options, &hooks), WALK_STOPPED);
	CHECK_EQ_INT(f.files, 2);
	CHECK_EQ_INT(open_fds(), fds);
	while (f.count > 0)
		free(f.lines[--f.count]);
	f.stop_after = f.files = 0;
	check_walk(&f, ".", "./d/e/a\n./d/e/b\n./d/e/c\n");
	CHECK_EQ_INT(open_fds(), fds);
	scratch_remove(f.root);
}

static void
forget_type(struct dirent *e)
{
	e->d_type = DT_UNKNOWN;
}

TEST(walk, asks_where_the_folder_does_not_say_what_a_name_is)
{
	struct found f;

	make(&f);
	folder("d.txt");
	file("d.txt/a.txt");
	file("d.txt/a.c");
	link_to("d.txt", "l.txt");
	REQUIRE(mkfifo("f.txt", 0644) == 0);
	f.options.is_wanted = is_txt;
	stream.meddle = forget_type;
	check_walk(&f, ".", "./d.txt/a.txt\n");
	f.options.follow = true;
	check_walk(&f, ".", "./d.txt/a.txt\n./l.txt/a.txt\n");
	stream.meddle = NULL;
	scratch_remove(f.root);
}

/* As somebody who may not do everything; in a process of its own. */
static void
check_walk_as_nobody(struct found *f, const char *from, const char *expected)
{
	pid_t child = fork();
	int status;

	REQUIRE(child >= 0);
	if (child == 0) {
		if (geteuid() == 0)
			REQUIRE(setgroups(0, NULL) == 0 &&
				setresuid(65534, 65534, 65534) == 0);
		check_walk(f, from, expected);
		_exit(0);
	}
	REQUIRE(waitpid(child, &status, 0) == child);
	CHECK_EQ_INT(status, 0);
}

TEST(walk, tells_of_folders_without_permission_and_goes_on)
{
	struct found f;

	make(&f);
	REQUIRE(chmod(f.root, 0755) == 0);
	file("a");
	folder("locked");
	file("locked/never");
	folder("listed");
	folder("listed/d");
	folder("open");
	file("open/b");
	REQUIRE(chmod("locked", 0) == 0 && chmod("listed", 0444) == 0);
	check_walk_as_nobody(&f, f.root,
			     "! /listed/d: EACCES\n! /locked: EACCES\n"
			     "/a\n/open/b\n");
	check_walk_as_nobody(&f, "locked", "! locked: EACCES\n");
	REQUIRE(chmod("locked", 0755) == 0 && chmod("listed", 0755) == 0);
	scratch_remove(f.root);
}

TEST(walk, tells_of_a_folder_that_cannot_be_read_to_its_end)
{
	struct found f;

	make(&f);
	folder("d");
	file("d/a");
	/* Three entries and an end each: the eighth is the root's end. */
	stream.fail_after = 8;
	stream.error_number = EIO;
	check_walk(&f, ".", "! .: EIO\n./d/a\n");
	for (int n = 1; n <= 7; n++) {
		struct walk_hooks hooks = {note_file, note_trouble, &f};

		stream.fail_after = n;
		CHECK_EQ_INT(walk(".", &f.options, &hooks), WALK_DONE);
		CHECK_EQ_INT(f.troubles, 1);
		CHECK(f.files <= 1);
		f.troubles = f.files = 0;
		while (f.count > 0)
			free(f.lines[--f.count]);
	}
	scratch_remove(f.root);
}

/* Between its name and its turn, a folder goes away. */
static void
remove_gone(struct dirent *e)
{
	if (!strcmp(e->d_name, "gone"))
		CHECK(rmdir("gone") == 0);
}

TEST(walk, tells_of_a_folder_that_went_away)
{
	struct found f;

	make(&f);
	folder("gone");
	folder("stays");
	file("stays/a");
	stream.meddle = remove_gone;
	check_walk(&f, ".", "! ./gone: ENOENT\n./stays/a\n");
	stream.meddle = NULL;
	scratch_remove(f.root);
}

static bool
remove_folder(const char *path, int dir_fd, const char *name, void *user)
{
	if (strcmp(path, "./d/a") == 0) {
		CHECK(unlinkat(dir_fd, name, 0) == 0);
		CHECK(rmdir("d") == 0);
	}
	note(user, "%s", path);
	return true;
}

TEST(walk, goes_on_when_the_folder_that_it_is_in_is_removed)
{
	struct found f;
	struct walk_hooks hooks = {remove_folder, note_trouble, &f};

	make(&f);
	folder("d");
	file("d/a");
	folder("e");
	file("e/b");
	CHECK_EQ_INT(walk(".", &f.options, &hooks), WALK_DONE);
	CHECK_EQ_INT(f.troubles, 0);
	CHECK_EQ_INT(f.count, 2);
	while (f.count > 0)
		free(f.lines[--f.count]);
	scratch_remove(f.root);
}

/* Between its name and its turn, a folder becomes a link to elsewhere. */
static void
swap_folder(struct dirent *e)
{
	if (strcmp(e->d_name, "swapped") != 0)
		return;
	CHECK(rmdir("swapped") == 0);
	CHECK(symlink("/", "swapped") == 0);
}

TEST(walk, is_not_led_astray_by_a_folder_that_becomes_a_link)
{
	struct found f;

	make(&f);
	folder("swapped");
	stream.meddle = swap_folder;
	check_walk(&f, ".", "! ./swapped: ENOTDIR\n");
	stream.meddle = NULL;
	scratch_remove(f.root);
}

/* A tree like this, from the inside out, for its path may be too long. */
static void
go_down(const char *name, int levels)
{
	for (int i = 0; i < levels; i++) {
		folder(name);
		REQUIRE(chdir(name) == 0);
		file("a");
	}
}

static void
go_up(const char *name, int levels)
{
	for (int i = 0; i < levels; i++) {
		REQUIRE(unlink("a") == 0);
		REQUIRE(chdir("..") == 0);
		REQUIRE(rmdir(name) == 0);
	}
}

struct tally {
	size_t files, troubles;
	size_t longest;     /* path of a file */
	size_t trouble_len; /* of its path */
	int error_number;
};

static bool
tally_file(const char *path, int dir_fd, const char *name, void *user)
{
	struct tally *t = user;

	(void)dir_fd;
	(void)name;
	t->files++;
	if (strlen(path) > t->longest)
		t->longest = strlen(path);
	return true;
}

static void
tally_trouble(const char *path, const char *what, int error_number, void *user)
{
	struct tally *t = user;

	(void)what;
	t->trouble_len = strlen(path);
	t->troubles++;
	t->error_number = error_number;
}

static const struct walk_options plain = {0};

TEST(walk, goes_64_folders_deep_and_tells_of_more)
{
	struct found f;
	struct tally t = {0};
	struct walk_hooks hooks = {tally_file, tally_trouble, &t};
	int fds = open_fds();

	make(&f);
	go_down("d", WALK_DEPTH_MAX);
	CHECK_EQ_INT(walk(f.root, &plain, &hooks), WALK_DONE);
	CHECK_EQ_INT(t.files, WALK_DEPTH_MAX);
	CHECK_EQ_INT(t.troubles, 0);
	go_down("d", 3);
	CHECK_EQ_INT(walk(f.root, &plain, &hooks), WALK_DONE);
	CHECK_EQ_INT(t.files, 2 * WALK_DEPTH_MAX);
	CHECK_EQ_INT(t.troubles, 1);
	CHECK_EQ_INT(t.error_number, 0);
	CHECK_EQ_INT(open_fds(), fds);
	go_up("d", WALK_DEPTH_MAX + 3);
	scratch_remove(f.root);
}

enum { LONG_LEVELS = PATH_MAX / 256 };

/* Many folders in one another, each with a name of 255 bytes and a file. */
static void
make_long(struct found *f, char name[256])
{
	memset(name, 'n', 255);
	name[255] = '\0';
	make(f);
	go_down(name, LONG_LEVELS);
}

static void
remove_long(const struct found *f, const char *name)
{
	REQUIRE(chdir(f->root) == 0);
	for (int i = 0; i < LONG_LEVELS; i++)
		REQUIRE(chdir(name) == 0);
	go_up(name, LONG_LEVELS);
	scratch_remove(f->root);
}

TEST(walk, tells_of_a_folder_whose_path_is_too_long)
{
	struct found f;
	struct tally t = {0};
	struct walk_hooks hooks = {tally_file, tally_trouble, &t};
	char name[256];

	make_long(&f, name);
	REQUIRE(chdir(f.root) == 0);
	CHECK_EQ_INT(walk(".", &plain, &hooks), WALK_DONE);
	CHECK_EQ_INT(t.files, LONG_LEVELS - 1);
	CHECK_EQ_INT(t.troubles, 1);
	CHECK_EQ_INT(t.error_number, ENAMETOOLONG);
	CHECK_EQ_INT(t.trouble_len, 1 + 256 * (LONG_LEVELS - 1));
	remove_long(&f, name);
}

TEST(walk, gives_the_longest_path_there_can_be_and_none_longer)
{
	struct found f;
	struct tally t = {0};
	struct walk_hooks hooks = {tally_file, tally_trouble, &t};
	size_t folder_len = 1 + 256 * (LONG_LEVELS - 1);
	size_t fits = PATH_MAX - 1 - folder_len - 1;
	char name[256];

	make_long(&f, name);
	REQUIRE(fits < 255);
	file(name + 255 - fits - 1);
	file(name + 255 - fits);
	REQUIRE(chdir(f.root) == 0 && chdir(name) == 0);
	CHECK_EQ_INT(walk(".", &plain, &hooks), WALK_DONE);
	CHECK_EQ_INT(t.files, LONG_LEVELS + 1);
	CHECK_EQ_INT(t.longest, PATH_MAX - 1);
	CHECK_EQ_INT(t.troubles, 1);
	CHECK_EQ_INT(t.trouble_len, folder_len);
	for (int i = 1; i < LONG_LEVELS; i++)
		REQUIRE(chdir(name) == 0);
	REQUIRE(unlink(name + 255 - fits) == 0);
	REQUIRE(unlink(name + 255 - fits - 1) == 0);
	remove_long(&f, name);
}

TEST(walk, tells_of_a_root_whose_path_is_too_long)
{
	struct tally t = {0};
	struct walk_hooks hooks = {tally_file, tally_trouble, &t};
	char root[PATH_MAX + 1];

	for (size_t i = 0; i < PATH_MAX; i++)
		root[i] = i % 2 ? '/' : '.';
	root[PATH_MAX] = '\0';
	CHECK_EQ_INT(walk(root, &plain, &hooks), WALK_DONE);
	CHECK_EQ_INT(t.troubles, 1);
	CHECK_EQ_INT(t.error_number, ENAMETOOLONG);
}

/* The memory in use, at the first file and at most. */
struct memory {
	struct tally tally; /* first, for tally_trouble() */
	size_t files, first, most;
};

static bool
weigh_file(const char *path, int dir_fd, const char *name, void *user)
{
	struct memory *m = user;
	size_t now = mallinfo2().uordblks;

	(void)path;
	(void)dir_fd;
	(void)name;
	if (m->files++ == 0)
		m->first = now;
	if (now > m->most)
		m->most = now;
	return true;
}

TEST_LIMIT(walk, takes_no_more_memory_for_20000_files_than_for_one, 60)
{
	struct found f;
	struct memory m = {.files = 0};
	struct walk_hooks hooks = {weigh_file, tally_trouble, &m};

	make(&f);
	for (int i = 0; i < 20000; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "document-%d.txt", i);
		file(name);
	}
	CHECK_EQ_INT(walk(".", &plain, &hooks), WALK_DONE);
	CHECK_EQ_INT(m.files, 20000);
	CHECK_EQ_INT(m.tally.troubles, 0);
	CHECK_EQ_INT(m.most, m.first);
	scratch_remove(f.root);
}

TEST(walk, tells_when_there_is_no_memory)
{
	struct found f;
	long asked = 1;

	if (!REFUSE_WORKS)
		SKIP("the sanitizer has the allocator");
	make(&f);
	folder("d");
	file("d/a");
	for (long n = 1; n <= asked; n++) {
		struct tally t = {0};
		struct walk_hooks hooks = {tally_file, tally_trouble, &t};

		refuse_arm(n, false);
		CHECK_EQ_INT(walk(".", &plain, &hooks), WALK_DONE);
		CHECK_EQ_INT(refuse_disarm(), 1);
		CHECK_EQ_INT(t.files, 0);
		CHECK_EQ_INT(t.troubles, 1);
		/* Who refuses opendir() its memory here sets no errno. */
		CHECK(t.error_number == ENOMEM || n > 1);
		refuse_arm(1000, false);
		CHECK_EQ_INT(walk(".", &plain, &hooks), WALK_DONE);
		(void)refuse_disarm();
		asked = refuse_asked();
		CHECK_EQ_INT(t.files, 1);
	}
	CHECK(asked > 1);
	scratch_remove(f.root);
}
